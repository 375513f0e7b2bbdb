/*
 * storm: many short connections, or many datagrams, at a steady rate; and where they go.
 *
 *   storm sink ADDRESS PORT                         accepts connections and closes them, and takes datagrams
 *   storm connections ADDRESS PORT COUNT RATE       connects, waits for the close, closes
 *   storm datagrams ADDRESS PORT COUNT RATE         sends datagrams of 100 bytes
 *
 * The last two print how many they did and how long it took: "COUNT SECONDS". What is behind its time is sent at once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD_BYTES = 100, BACKLOG = 4096, BURST = 32 };

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int opened(int type)
{
	int fd = socket(AF_INET, type, 0);
	if (fd < 0) {
		perror("socket");
		exit(1);
	}
	return fd;
}

static void sink(const struct sockaddr_in *at)
{
	int listener = opened(SOCK_STREAM), datagrams = opened(SOCK_DGRAM), one = 1;
	char data[2048];
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (const struct sockaddr *)at, sizeof *at) || listen(listener, BACKLOG) ||
	    bind(datagrams, (const struct sockaddr *)at, sizeof *at)) {
		perror("bind");
		exit(1);
	}
	struct pollfd both[] = {{.fd = listener, .events = POLLIN}, {.fd = datagrams, .events = POLLIN}};
	puts("ready");
	fflush(stdout);
	for (;;) {
		poll(both, 2, -1);
		if (both[0].revents)
			close(accept(listener, NULL, NULL));
		while (recv(datagrams, data, sizeof data, MSG_DONTWAIT) > 0)
			;
	}
}

static void connect_once(const struct sockaddr_in *to)
{
	char byte;
	int fd = opened(SOCK_STREAM);
	if (connect(fd, (const struct sockaddr *)to, sizeof *to)) {
		perror("connect");
		exit(1);
	}
	if (read(fd, &byte, 1) != 0) {
		fputs("the sink did not close\n", stderr);
		exit(1);
	}
	close(fd);
}

int main(int count, char **words)
{
	if (count != 4 && count != 6) {
		fputs("usage: storm sink|connections|datagrams ADDRESS PORT [COUNT RATE]\n", stderr);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[3]))};
	inet_pton(AF_INET, words[2], &to.sin_addr);
	if (count == 4) {
		sink(&to);
		return 0;
	}
	long wanted = atol(words[4]);
	double rate = atof(words[5]), begun = now_s();
	int is_datagrams = !strcmp(words[1], "datagrams"), fd = opened(SOCK_DGRAM);
	char data[PAYLOAD_BYTES] = {0};
	if (is_datagrams && connect(fd, (struct sockaddr *)&to, sizeof to)) {
		perror("connect");
		return 1;
	}
	for (long done = 0; done < wanted; done++) {
		double due = begun + (double)done / rate, early = due - now_s();
		if (early > 0 && done % BURST == 0)
			usleep((useconds_t)(early * 1e6));
		if (!is_datagrams)
			connect_once(&to);
		else if (send(fd, data, sizeof data, 0) < 0)
			done--;
	}
	printf("%ld %.6f\n", wanted, now_s() - begun);
	return 0;
}
