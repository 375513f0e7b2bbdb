/*
 * What the simulated device and the load generator share: the Modbus frame's numbers, and sockets that fail loudly.
 *
 * MBAP header and function codes: MODBUS Application Protocol Specification V1.1b3, sections 4.1, 6.3, 6.6 and 7;
 * MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3.
 */
#ifndef PENSTOCK_BENCH_ENDPOINT_H
#define PENSTOCK_BENCH_ENDPOINT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	MBAP_BYTES = 7,        /* transaction, protocol, length, unit */
	MAX_FRAME_BYTES = 260, /* MBAP header and 253 bytes of PDU */
	REQUEST_BYTES = 12,
	READ_HOLDING_REGISTERS = 3,
	WRITE_SINGLE_REGISTER = 6,
	MAX_EVENTS = 256,
	MAX_CONNECTIONS = 1000, /* below the usual limit of 1,024 descriptors */
};

static inline void fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

static inline void complain(const char *what)
{
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
	exit(1);
}

static inline void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static inline void set_nodelay(int fd)
{
	int on = 1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
		fail("TCP_NODELAY");
}

static inline struct sockaddr_in address_of(const char *ipv4, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (inet_pton(AF_INET, ipv4, &a.sin_addr) != 1)
		complain("not an IPv4 address");
	return a;
}

static inline void watch(int poller, int fd, void *what)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) < 0)
		fail("epoll_ctl");
}

#endif
