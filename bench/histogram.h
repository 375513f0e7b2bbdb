/*
 * A histogram of durations with a constant relative error.
 *
 * Every power of two is divided into 128 equal buckets, so a value is known to better than 1/128 (0.8 %) whatever
 * its size, in 64 KiB of counters and without sorting. Values are nanoseconds.
 */
#ifndef PENSTOCK_BENCH_HISTOGRAM_H
#define PENSTOCK_BENCH_HISTOGRAM_H

#include <stdint.h>
#include <string.h>

enum { SUB_BITS = 7, SUB_BUCKETS = 1 << SUB_BITS, BUCKETS = (64 - SUB_BITS + 1) * SUB_BUCKETS };

struct histogram {
	uint64_t counts[BUCKETS];
	uint64_t total;
	uint64_t largest;
};

static inline int bucket_of(uint64_t value)
{
	if (value < SUB_BUCKETS)
		return (int)value;
	int shift = 63 - __builtin_clzll(value) - SUB_BITS;
	return (shift + 1) * SUB_BUCKETS + (int)((value >> shift) - SUB_BUCKETS);
}

/* The smallest value that falls into the bucket. */
static inline uint64_t bucket_start(int bucket)
{
	if (bucket < SUB_BUCKETS)
		return (uint64_t)bucket;
	int shift = bucket / SUB_BUCKETS - 1;
	return (uint64_t)(bucket % SUB_BUCKETS + SUB_BUCKETS) << shift;
}

static inline void histogram_clear(struct histogram *h)
{
	memset(h, 0, sizeof *h);
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	h->counts[bucket_of(value)]++;
	h->total++;
	if (value > h->largest)
		h->largest = value;
}

/* The value that `share` (0 to 1) of all values do not exceed, by nearest rank; 0 for an empty histogram. */
static inline uint64_t histogram_percentile(const struct histogram *h, double share)
{
	if (h->total == 0)
		return 0;
	uint64_t rank = (uint64_t)(share * (double)h->total);
	if ((double)rank < share * (double)h->total || rank == 0)
		rank++;
	uint64_t seen = 0;
	for (int i = 0; i < BUCKETS; i++) {
		seen += h->counts[i];
		if (seen >= rank)
			return bucket_start(i);
	}
	return h->largest;
}

#endif
