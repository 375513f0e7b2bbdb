/*
 * respondent: a device of any protocol that answers as a talk says, in one thread with epoll.
 *
 *   respondent PORT TALK [ADDRESS]
 *
 * Every connection goes through the talk from its beginning.  Each request is compared byte for byte with the one that
 * the talk has at this place; a peer that sends anything else is cut.
 *
 * With an address it answers datagrams there, each by itself: the first count of the talk says which turn it is, and what
 * is not exactly the request of that turn is not answered.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <unistd.h>

#include "talk.h"

struct peer {
	int fd;
	uint64_t turn;
	size_t have;
	uint8_t bytes[MAX_MESSAGE_BYTES];
};

/* Answer every complete request that is there. False when the peer is gone or says something else. */
static bool serve(struct peer *peer, const struct talk *talk)
{
	ssize_t got = recv(peer->fd, peer->bytes + peer->have, sizeof peer->bytes - peer->have, 0);
	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	peer->have += (size_t)got;
	for (;;) {
		const struct message *wanted = message_of(talk, peer->turn, false);
		size_t length = wanted->length;
		if (peer->have < length || !peer->have)
			return memcmp(peer->bytes, wanted->bytes, peer->have) == 0;
		if (memcmp(peer->bytes, wanted->bytes, length) != 0)
			return false;
		const struct message *answer = message_of(talk, peer->turn++, true);
		if (answer->length &&
		    send(peer->fd, answer->bytes, answer->length, MSG_NOSIGNAL) != (ssize_t)answer->length)
			return false;
		peer->have -= length;
		memmove(peer->bytes, peer->bytes + length, peer->have);
	}
}

static void accept_all(int poller, int listener)
{
	for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
		struct peer *peer = calloc(1, sizeof *peer);
		if (!peer)
			fail("calloc");
		peer->fd = fd;
		set_nodelay(fd);
		watch(poller, fd, peer);
	}
}

static _Noreturn void run(int port, const struct talk *talk)
{
	int poller = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
	if (poller < 0 || listener < 0)
		fail("socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	struct sockaddr_in here = address_of("0.0.0.0", port);
	if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0 || listen(listener, MAX_CONNECTIONS) < 0)
		fail("listen");
	watch(poller, listener, NULL);
	for (;;) {
		struct epoll_event events[MAX_EVENTS];
		int n = epoll_wait(poller, events, MAX_EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct peer *peer = events[i].data.ptr;
			if (!peer) {
				accept_all(poller, listener);
			} else if (!serve(peer, talk)) {
				close(peer->fd);
				free(peer);
			}
		}
	}
}

/* The turn of a datagram by the first count in it, which must go up by one. */
static uint64_t turn_of(const struct talk *talk, const uint8_t *bytes)
{
	const struct count *c = &talk->count[0];
	uint64_t value = 0, mask = c->bytes < 8 ? (1ULL << 8 * c->bytes) - 1 : ~0ULL;
	for (size_t b = 0; b < c->bytes; b++)
		value = value << 8 | bytes[c->offset + (c->is_big_endian ? b : c->bytes - 1 - b)];
	return (value - c->start) & mask;
}

static _Noreturn void run_datagrams(const char *address, int port, const struct talk *talk)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in here = address_of(address, port), there;
	if (talk->begun || talk->cycled != 1 || !talk->counts || talk->count[0].is_answer || talk->count[0].step != 1)
		complain("datagrams want a talk of one exchange whose request counts");
	if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) < 0)
		fail("bind");
	for (;;) {
		uint8_t bytes[MAX_MESSAGE_BYTES];
		socklen_t size = sizeof there;
		ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&there, &size);
		if (got != (ssize_t)talk->cycle[0].request.length)
			continue;
		uint64_t turn = turn_of(talk, bytes);
		if (memcmp(bytes, message_of(talk, turn, false)->bytes, (size_t)got) != 0)
			continue;
		const struct message *said = message_of(talk, turn, true);
		sendto(fd, said->bytes, said->length, 0, (struct sockaddr *)&there, size);
	}
}

int main(int argc, char **argv)
{
	int port = argc == 3 || argc == 4 ? atoi(argv[1]) : 0;
	if (port <= 0 || port > 65535) {
		fputs("usage: respondent PORT TALK [ADDRESS]\n", stderr);
		return 2;
	}
	if (argc == 4)
		run_datagrams(argv[3], port, read_talk(argv[2]));
	run(port, read_talk(argv[2]));
}
