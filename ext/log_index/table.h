/* Digests to dense ids: 0 for the first digest added, then 1 and so on. Open addressing under a
 * secret seed, at most half full; a slot holds half of a digest's hash beside the id, so that a
 * digest is read only where it very likely matches. Not thread-safe: callers hold the GIL. */
#ifndef CCP2P_LOG_INDEX_TABLE_H
#define CCP2P_LOG_INDEX_TABLE_H

#include "words.h"

#define DIGEST_BYTES 32
/* An id and the empty slot's mark fit 32 bits. */
#define MAX_IDS ((size_t)INT32_MAX)
#define UNKNOWN (-1)

struct table {
    u64 seed[SEED_WORDS];
    u8 (*digest)[DIGEST_BYTES];
    u64 *slot;
    size_t count;
    size_t room;
    size_t mask;
};

/* Empty, without memory of its own. */
void table_init(struct table *table, const u8 seed[8 * SEED_WORDS]);

/* Makes room for `more` digests, at most MAX_IDS in all; 0 when memory is short. */
int table_reserve(struct table *table, size_t more);

/* Asks the memory for what table_find of this digest will read first. */
void table_prefetch(const struct table *table, const u8 digest[DIGEST_BYTES]);

/* The id of a digest, or UNKNOWN. */
int64_t table_find(const struct table *table, const u8 digest[DIGEST_BYTES]);

/* The id of a digest that may be new; room was reserved. New ones get the id `count`. */
u32 table_add(struct table *table, const u8 digest[DIGEST_BYTES]);

/* ids[i] = table_find of digest i, overlapping the memory's answers. */
void table_find_many(
    const struct table *table, const u8 *digests, size_t count, long long *ids);

void table_free(struct table *table);

#endif
