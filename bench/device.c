/*
 * device: the simulated controller of the benchmark, a Modbus TCP device in one thread with epoll.
 *
 *   device PORT
 *
 * It answers read holding registers (register n holds the value n) and write single register, and refuses the rest
 * as a device does. A peer that breaks the framing is cut.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <unistd.h>

#include "endpoint.h"

enum {
	MAX_READ_REGISTERS = 125,
	ILLEGAL_FUNCTION = 1,
	ILLEGAL_VALUE = 3,
	EXCEPTION_BIT = 0x80,
};

struct peer {
	int fd;
	size_t have;
	uint8_t bytes[MAX_FRAME_BYTES];
};

static size_t refuse(uint8_t *reply, unsigned exception)
{
	reply[MBAP_BYTES] |= EXCEPTION_BIT;
	reply[MBAP_BYTES + 1] = (uint8_t)exception;
	return MBAP_BYTES + 2;
}

/* The reply to one complete request frame; returns its length. Register n holds the value n. */
static size_t answer(const uint8_t *request, size_t length, uint8_t *reply)
{
	memcpy(reply, request, length);
	size_t bytes;
	if (request[7] == WRITE_SINGLE_REGISTER && length == REQUEST_BYTES) {
		bytes = REQUEST_BYTES;
	} else if (request[7] != READ_HOLDING_REGISTERS || length != REQUEST_BYTES) {
		bytes = refuse(reply, ILLEGAL_FUNCTION);
	} else {
		unsigned first = get16(request + 8), count = get16(request + 10);
		if (count == 0 || count > MAX_READ_REGISTERS) {
			bytes = refuse(reply, ILLEGAL_VALUE);
		} else {
			reply[8] = (uint8_t)(2 * count);
			for (unsigned i = 0; i < count; i++)
				put16(reply + 9 + 2 * i, first + i);
			bytes = MBAP_BYTES + 2 + 2 * count;
		}
	}
	put16(reply + 4, (unsigned)(bytes - 6));
	return bytes;
}

/* Answer every complete frame that is there. False when the peer is gone or speaks something else. */
static bool serve(struct peer *peer)
{
	ssize_t got = recv(peer->fd, peer->bytes + peer->have, sizeof peer->bytes - peer->have, 0);
	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	peer->have += (size_t)got;
	while (peer->have >= MBAP_BYTES + 1) {
		size_t length = 6 + get16(peer->bytes + 4);
		if (length <= MBAP_BYTES || length > MAX_FRAME_BYTES || get16(peer->bytes + 2) != 0)
			return false;
		if (peer->have < length)
			break;
		uint8_t reply[MAX_FRAME_BYTES];
		size_t bytes = answer(peer->bytes, length, reply);
		if (send(peer->fd, reply, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
			return false;
		peer->have -= length;
		memmove(peer->bytes, peer->bytes + length, peer->have);
	}
	return true;
}

static void accept_all(int poller, int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		if (fd < 0)
			return;
		struct peer *peer = calloc(1, sizeof *peer);
		if (!peer)
			fail("calloc");
		peer->fd = fd;
		set_nodelay(fd);
		watch(poller, fd, peer);
	}
}

static _Noreturn void run(int port)
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
			} else if (!serve(peer)) {
				close(peer->fd);
				free(peer);
			}
		}
	}
}

int main(int argc, char **argv)
{
	int port = argc == 2 ? atoi(argv[1]) : 0;
	if (port <= 0 || port > 65535) {
		fputs("usage: device PORT\n", stderr);
		return 2;
	}
	run(port);
}
