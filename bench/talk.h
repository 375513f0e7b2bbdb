/*
 * A talk: what a client says over one connection and what its device answers, read from a file of lines.
 *
 *   once REQUEST ANSWER        in the beginning, one after the other
 *   cycle REQUEST ANSWER       then these, over and over
 *   count request|answer OFFSET BYTES le|be START STEP
 *
 * REQUEST and ANSWER are hexadecimal, ANSWER is - where there is none.  A count is a number in every message of the
 * cycle: START in the first one, STEP more in each that follows, as far as BYTES hold it.  Both ends know the whole
 * talk, so that both check every byte of every message, whatever the protocol.
 */
#ifndef PENSTOCK_BENCH_TALK_H
#define PENSTOCK_BENCH_TALK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"

enum {
	MAX_MESSAGE_BYTES = 1024,
	MAX_EXCHANGES = 256,
	MAX_COUNTS = 8,
	LINE_BYTES = 4 * MAX_MESSAGE_BYTES + 64,
};

struct message {
	size_t length;
	uint8_t bytes[MAX_MESSAGE_BYTES];
};

struct exchange {
	struct message request, answer;
};

struct count {
	bool is_answer, is_big_endian;
	size_t offset, bytes;
	uint64_t start, step;
};

struct talk {
	size_t begun, cycled, counts;
	struct exchange once[MAX_EXCHANGES], cycle[MAX_EXCHANGES];
	struct count count[MAX_COUNTS];
};

static inline void read_hex(struct message *into, const char *text)
{
	if (strcmp(text, "-") == 0)
		return;
	for (; *text; text += 2) {
		unsigned byte;
		if (into->length >= sizeof into->bytes || sscanf(text, "%2x", &byte) != 1 || !text[1])
			complain("a message of the talk is not hexadecimal, or too long");
		into->bytes[into->length++] = (uint8_t)byte;
	}
}

static inline void read_exchange(struct exchange *all, size_t *have, const char *request, const char *answer)
{
	if (*have >= MAX_EXCHANGES)
		complain("too many exchanges in the talk");
	read_hex(&all[*have].request, request);
	read_hex(&all[*have].answer, answer);
	++*have;
}

static inline bool read_count(struct talk *talk, const char *line)
{
	char whose[8], order[3];
	struct count *c = &talk->count[talk->counts];
	if (talk->counts >= MAX_COUNTS || sscanf(line, "count %7s %zu %zu %2s %" SCNu64 " %" SCNu64, whose, &c->offset,
						 &c->bytes, order, &c->start, &c->step) != 6)
		return false;
	c->is_answer = strcmp(whose, "answer") == 0;
	c->is_big_endian = strcmp(order, "be") == 0;
	talk->counts++;
	return true;
}

/* Whether every message of the cycle is long enough for the counts in it. */
static inline bool has_room_for_counts(const struct talk *talk)
{
	for (size_t i = 0; i < talk->counts; i++) {
		const struct count *c = &talk->count[i];
		for (size_t j = 0; j < talk->cycled; j++) {
			const struct exchange *e = &talk->cycle[j];
			if (c->offset + c->bytes > (c->is_answer ? e->answer : e->request).length)
				return false;
		}
	}
	return true;
}

static inline struct talk *read_talk(const char *path)
{
	static char line[LINE_BYTES], request[LINE_BYTES], answer[LINE_BYTES];
	struct talk *talk = calloc(1, sizeof *talk);
	FILE *file = fopen(path, "r");
	if (!talk || !file)
		fail(path);
	while (fgets(line, sizeof line, file)) {
		if (sscanf(line, "once %s %s", request, answer) == 2)
			read_exchange(talk->once, &talk->begun, request, answer);
		else if (sscanf(line, "cycle %s %s", request, answer) == 2)
			read_exchange(talk->cycle, &talk->cycled, request, answer);
		else if (!read_count(talk, line))
			complain("a line of the talk is not understood");
	}
	fclose(file);
	if (!talk->cycled || !has_room_for_counts(talk))
		complain("the talk has no cycle, or counts behind the end of its messages");
	return talk;
}

/* The request or answer of the turn with this number, which counts from 0 with the first message of all. */
static inline const struct message *message_of(const struct talk *talk, uint64_t turn, bool is_answer)
{
	static struct message made;
	if (turn < talk->begun)
		return is_answer ? &talk->once[turn].answer : &talk->once[turn].request;
	turn -= talk->begun;
	const struct exchange *e = &talk->cycle[turn % talk->cycled];
	const struct message *from = is_answer ? &e->answer : &e->request;
	made.length = from->length;
	memcpy(made.bytes, from->bytes, from->length);
	for (size_t i = 0; i < talk->counts; i++) {
		const struct count *c = &talk->count[i];
		uint64_t value = c->start + c->step * turn;
		for (size_t b = 0; c->is_answer == is_answer && b < c->bytes; b++)
			made.bytes[c->offset + b] = (uint8_t)(value >> 8 * (c->is_big_endian ? c->bytes - 1 - b : b));
	}
	return &made;
}

#endif
