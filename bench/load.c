/*
 * load: the client of the benchmark. One thread with epoll, so that what is measured is the path.
 *
 *   load --address IPV4 --port PORT [--connections N] [--seconds S] [--warm-up S] [--interval-us US]
 *        [--ca FILE --certificate FILE --key FILE] [--alpn NAME] [--say LINE --expect LINE] [--talk FILE]
 *        [--datagrams 1]
 *
 * It polls one register: 12 bytes out, 11 bytes back, one request outstanding per connection. With --talk it says
 * what that file says (talk.h), of whatever protocol; the beginning of a talk is not measured. With --datagrams it says
 * it over UDP, from a socket of its own for each "connection"; an answer that does not come within a second is an error.
 *
 * Without --interval-us it is a closed loop: the next request leaves when the reply is in. With it, each connection
 * sends one request per interval. A request whose turn comes while the last one is unanswered is sent late and counted
 * from its turn, so that a slow path cannot hide behind its own slowness ("coordinated omission").
 *
 * With --ca the connection is TLS 1.3, with a client certificate where one is given. --say sends one line first and
 * wants the line --expect back, as the gate's tunnel asks for.
 *
 * It prints one line of JSON. Every byte of every reply is checked, a wrong one counts as an error. A closed
 * connection or a second of silence ends the run with status 1.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "endpoint.h"
#include "histogram.h"
#include "talk.h"

enum {
	READ_REPLY_BYTES = 11,
	POLLED_REGISTER = 16,
	UNIT = 1,
	SILENCE_MS = 1000,
	CONNECT_TIMEOUT_S = 5,
	TIMER_SLACK_NS = 1000, /* the default of 50 us would show in a pace of 1 ms */
};

static const uint64_t SECOND_NS = 1000000000;

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

struct options {
	const char *address, *ca, *certificate, *key, *alpn, *say, *expect;
	const struct talk *talk;
	int port, connections, interval_us;
	bool datagrams;
	double seconds, warm_up;
};

struct connection {
	int fd;
	SSL *tls;
	bool is_waiting;
	unsigned transaction;
	uint64_t due_ns;  /* when the next paced request is to be sent */
	uint64_t from_ns; /* when the outstanding request was sent, or should have been */
	uint64_t replied_ns; /* when the last reply was complete */
	const struct talk *talk; /* NULL: one register is polled */
	uint64_t turn;
	size_t have;
	uint8_t reply[MAX_MESSAGE_BYTES];
};

struct run {
	struct histogram times;
	uint64_t errors;
	uint64_t delayed; /* sent late because the last reply was late */
	uint64_t skipped; /* not sent because this process was late */
};

static void tls_failure(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static SSL_CTX *tls_context(const struct options *o)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1)
		tls_failure("no TLS 1.3");
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_load_verify_locations(context, o->ca, NULL) != 1)
		tls_failure("--ca cannot be read");
	if (o->certificate && SSL_CTX_use_certificate_chain_file(context, o->certificate) != 1)
		tls_failure("--certificate cannot be read");
	if (o->key && SSL_CTX_use_PrivateKey_file(context, o->key, SSL_FILETYPE_PEM) != 1)
		tls_failure("--key cannot be read");
	if (o->alpn) { /* RFC 7301, section 3.1: a list of names, each after its length */
		uint8_t names[256];
		size_t length = strlen(o->alpn);
		if (length == 0 || length >= sizeof names)
			complain("--alpn wants one protocol name");
		names[0] = (uint8_t)length;
		memcpy(names + 1, o->alpn, length);
		if (SSL_CTX_set_alpn_protos(context, names, (unsigned)length + 1) != 0)
			tls_failure("--alpn");
	}
	return context;
}

static bool write_all(struct connection *c, const void *bytes, size_t length)
{
	ssize_t sent = c->tls ? SSL_write(c->tls, bytes, (int)length) : send(c->fd, bytes, length, MSG_NOSIGNAL);
	return sent == (ssize_t)length;
}

/* Bytes read, 0 when nothing is there yet; ends the run when the connection is closed. */
static size_t read_some(struct connection *c, void *into, size_t room)
{
	ssize_t got = c->tls ? SSL_read(c->tls, into, (int)room) : recv(c->fd, into, room, 0);
	if (got > 0)
		return (size_t)got;
	if (c->tls ? SSL_get_error(c->tls, (int)got) == SSL_ERROR_WANT_READ : got < 0 && errno == EAGAIN)
		return 0;
	complain("the connection was closed");
	return 0;
}

/* The one line each way that comes before the payload. The socket is still blocking here. */
static void introduce(struct connection *c, const struct options *o)
{
	char line[512];
	size_t have = 0;
	int length = snprintf(line, sizeof line, "%s\n", o->say);
	if (length >= (int)sizeof line || !write_all(c, line, (size_t)length))
		complain("the first line could not be sent");
	while (have < sizeof line - 1 && (have == 0 || line[have - 1] != '\n'))
		have += read_some(c, line + have, 1);
	line[have - 1] = 0;
	if (o->expect && strcmp(line, o->expect) != 0) {
		fprintf(stderr, "load: the first line was answered with: %s\n", line);
		exit(1);
	}
}

/* The exchanges in the beginning of a talk, one by one. The socket is still blocking here. */
static void begin_talk(struct connection *c, const struct talk *talk)
{
	for (c->talk = talk; c->turn < talk->begun; c->turn++) {
		const struct message *said = message_of(talk, c->turn, false), *wanted;
		if (!write_all(c, said->bytes, said->length))
			complain("the talk could not be begun");
		wanted = message_of(talk, c->turn, true);
		for (c->have = 0; c->have < wanted->length;) {
			size_t got = read_some(c, c->reply + c->have, wanted->length - c->have);
			if (!got)
				complain("the beginning of the talk was not answered in time");
			c->have += got;
		}
		if (memcmp(c->reply, wanted->bytes, wanted->length) != 0)
			complain("the beginning of the talk was answered otherwise");
	}
}

static void open_connection(struct connection *c, const struct options *o, SSL_CTX *context)
{
	struct sockaddr_in there = address_of(o->address, o->port);
	struct timeval patience = {.tv_sec = CONNECT_TIMEOUT_S};
	c->fd = socket(AF_INET, o->datagrams ? SOCK_DGRAM : SOCK_STREAM, 0);
	if (c->fd < 0)
		fail("socket");
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(c->fd, (struct sockaddr *)&there, sizeof there) < 0)
		fail("connect");
	if (!o->datagrams)
		set_nodelay(c->fd);
	if (context) {
		c->tls = SSL_new(context);
		SSL_set_fd(c->tls, c->fd);
		if (SSL_connect(c->tls) != 1)
			tls_failure("TLS handshake failed");
	}
	if (o->say)
		introduce(c, o);
	if (o->talk)
		begin_talk(c, o->talk);
	if (fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK) < 0)
		fail("fcntl");
}

static void send_request(struct connection *c, uint64_t from_ns)
{
	uint8_t frame[REQUEST_BYTES] = {0, 0, 0, 0, 0, REQUEST_BYTES - 6, UNIT, READ_HOLDING_REGISTERS};
	c->have = 0;
	c->is_waiting = true;
	c->from_ns = from_ns;
	if (c->talk) {
		const struct message *said = message_of(c->talk, c->turn, false);
		if (!write_all(c, said->bytes, said->length))
			fail("send");
		return;
	}
	c->transaction = (c->transaction + 1) & 0xffff;
	put16(frame, c->transaction);
	put16(frame + 8, POLLED_REGISTER);
	put16(frame + 10, 1);
	if (!write_all(c, frame, sizeof frame))
		fail("send");
}

static bool is_right_reply(const struct connection *c)
{
	if (c->talk) {
		const struct message *wanted = message_of(c->talk, c->turn, true);
		return c->have == wanted->length && memcmp(c->reply, wanted->bytes, c->have) == 0;
	}
	uint8_t right[READ_REPLY_BYTES] = {0, 0, 0, 0, 0, READ_REPLY_BYTES - 6, UNIT, READ_HOLDING_REGISTERS, 2};
	put16(right, c->transaction);
	put16(right + 9, POLLED_REGISTER);
	return c->have == sizeof right && memcmp(c->reply, right, sizeof right) == 0;
}

static bool is_whole_reply(const struct connection *c)
{
	if (c->talk)
		return c->have >= message_of(c->talk, c->turn, true)->length;
	return c->have >= MAX_FRAME_BYTES || (c->have > MBAP_BYTES && c->have >= 6 + get16(c->reply + 4));
}

/* Take what has arrived; true when it completes a reply, which is then counted. */
static bool take_reply(struct connection *c, struct run *run)
{
	while (!is_whole_reply(c)) {
		size_t got = read_some(c, c->reply + c->have, sizeof c->reply - c->have);
		if (got == 0)
			return false;
		c->have += got;
	}
	if (!c->is_waiting || !is_right_reply(c))
		run->errors++;
	c->turn++;
	c->replied_ns = now_ns();
	histogram_add(&run->times, c->replied_ns - c->from_ns);
	c->is_waiting = false;
	return true;
}

/*
 * Send what is due, and set the timer to the next turn. A turn that passed while the last request was unanswered is
 * sent late and counts from its turn. Turns that passed while nothing was outstanding were missed by this process,
 * not by the path: they are left out, and counted.
 */
static void keep_pace(struct connection *all, const struct options *o, int timer, struct run *run)
{
	uint64_t now = now_ns(), step = (uint64_t)o->interval_us * 1000, next = UINT64_MAX;
	for (int i = 0; i < o->connections; i++) {
		struct connection *c = &all[i];
		if (c->is_waiting)
			continue;
		if (c->due_ns <= now) {
			bool was_blocked = c->due_ns < c->replied_ns;
			for (; !was_blocked && c->due_ns + step <= now; c->due_ns += step)
				run->skipped++;
			run->delayed += was_blocked;
			send_request(c, was_blocked ? c->due_ns : now);
			c->due_ns += step;
		} else if (c->due_ns < next) {
			next = c->due_ns;
		}
	}
	if (next == UINT64_MAX)
		return; /* all wait for replies, and each reply brings us back here */
	struct itimerspec when = {.it_value = {(time_t)(next / SECOND_NS), (long)(next % SECOND_NS)}};
	if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		fail("timerfd_settime");
}

static struct connection *open_all(const struct options *o, int poller)
{
	SSL_CTX *context = o->ca ? tls_context(o) : NULL;
	struct connection *all = calloc((size_t)o->connections, sizeof *all);
	if (!all)
		fail("calloc");
	for (int i = 0; i < o->connections; i++) {
		open_connection(&all[i], o, context);
		watch(poller, all[i].fd, &all[i]);
	}
	return all;
}

static void start(struct connection *all, const struct options *o, int timer, int poller)
{
	uint64_t now = now_ns(), step = (uint64_t)o->interval_us * 1000;
	if (o->interval_us)
		watch(poller, timer, NULL);
	for (int i = 0; i < o->connections; i++) {
		if (o->interval_us)
			all[i].due_ns = now + step + step * (uint64_t)i / (uint64_t)o->connections;
		else
			send_request(&all[i], now_ns());
	}
}

static void take_events(int poller, int timer, const struct options *o, struct run *run)
{
	struct epoll_event events[MAX_EVENTS];
	int n = epoll_wait(poller, events, MAX_EVENTS, SILENCE_MS);
	if (n == 0)
		complain("no reply within a second");
	for (int i = 0; i < n; i++) {
		struct connection *c = events[i].data.ptr;
		uint64_t expirations;
		if (!c) {
			if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
				fail("timer");
		} else if (take_reply(c, run) && !o->interval_us) {
			send_request(c, now_ns());
		}
	}
}

static double percentile_us(const struct run *run, double share)
{
	return (double)histogram_percentile(&run->times, share) / 1e3;
}

static void print_result(const struct run *run, double elapsed_s)
{
	printf("{\"n\": %" PRIu64 ", \"per_s\": %.1f, ", run->times.total, (double)run->times.total / elapsed_s);
	printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, ", percentile_us(run, 0.5),
	       percentile_us(run, 0.99), percentile_us(run, 0.999));
	printf("\"max_us\": %.1f, \"errors\": %" PRIu64 ", ", (double)run->times.largest / 1e3, run->errors);
	printf("\"delayed\": %" PRIu64 ", \"skipped\": %" PRIu64 "}\n", run->delayed, run->skipped);
}

static void run_client(const struct options *o)
{
	static struct run run;
	int poller = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	if (poller < 0 || timer < 0)
		fail("epoll");
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
	struct connection *all = open_all(o, poller);
	start(all, o, timer, poller);
	uint64_t from = now_ns() + (uint64_t)(o->warm_up * (double)SECOND_NS), until = UINT64_MAX, now;
	while ((now = now_ns()) < until) {
		if (until == UINT64_MAX && now >= from) {
			uint64_t errors = run.errors;
			memset(&run, 0, sizeof run);
			run.errors = errors;
			from = now;
			until = now + (uint64_t)(o->seconds * (double)SECOND_NS);
		}
		if (o->interval_us)
			keep_pace(all, o, timer, &run);
		take_events(poller, timer, o, &run);
	}
	for (int i = 0; i < o->connections; i++) /* datagrams may be lost */
		run.errors += all[i].is_waiting && now - all[i].from_ns > (uint64_t)SILENCE_MS * 1000000;
	print_result(&run, (double)(now - from) / (double)SECOND_NS);
}

static const struct option OPTIONS[] = {
	{"address", required_argument, NULL, 'a'},     {"port", required_argument, NULL, 'p'},
	{"connections", required_argument, NULL, 'n'}, {"seconds", required_argument, NULL, 's'},
	{"warm-up", required_argument, NULL, 'w'},     {"interval-us", required_argument, NULL, 'i'},
	{"ca", required_argument, NULL, 'A'},          {"certificate", required_argument, NULL, 'C'},
	{"key", required_argument, NULL, 'K'},         {"alpn", required_argument, NULL, 'L'},
	{"say", required_argument, NULL, 'S'},         {"expect", required_argument, NULL, 'E'},
	{"talk", required_argument, NULL, 'T'},        {"datagrams", required_argument, NULL, 'D'},
	{NULL, 0, NULL, 0},
};

static bool read_options(int argc, char **argv, struct options *o)
{
	for (int letter; (letter = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
		switch (letter) {
		case 'a': o->address = optarg; break;
		case 'p': o->port = atoi(optarg); break;
		case 'n': o->connections = atoi(optarg); break;
		case 's': o->seconds = atof(optarg); break;
		case 'w': o->warm_up = atof(optarg); break;
		case 'i': o->interval_us = atoi(optarg); break;
		case 'A': o->ca = optarg; break;
		case 'C': o->certificate = optarg; break;
		case 'K': o->key = optarg; break;
		case 'L': o->alpn = optarg; break;
		case 'S': o->say = optarg; break;
		case 'E': o->expect = optarg; break;
		case 'T': o->talk = read_talk(optarg); break;
		case 'D': o->datagrams = atoi(optarg) != 0; break;
		default: return false;
		}
	}
	return o->port > 0 && o->connections > 0 && o->connections <= MAX_CONNECTIONS && o->interval_us >= 0 &&
	       o->interval_us < SILENCE_MS * 1000;
}

int main(int argc, char **argv)
{
	struct options o = {.address = "127.0.0.1", .connections = 1, .seconds = 3, .warm_up = 0.3};
	signal(SIGPIPE, SIG_IGN);
	if (!read_options(argc, argv, &o)) {
		fputs("usage: load --address IPV4 --port PORT [--connections N] [--seconds S] [--warm-up S]\n"
		      "            [--interval-us US] [--ca FILE --certificate FILE --key FILE]\n"
		      "            [--alpn NAME] [--say LINE --expect LINE] [--talk FILE] [--datagrams 1]\n",
		      stderr);
		return 2;
	}
	run_client(&o);
	return 0;
}
