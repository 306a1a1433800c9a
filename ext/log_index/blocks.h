/* Blocks by dense id: round, author, the ids of the parents, and a block's history in the linear
 * order. Not thread-safe: callers hold the GIL. */
#ifndef CCP2P_LOG_INDEX_BLOCKS_H
#define CCP2P_LOG_INDEX_BLOCKS_H

#include "order.h"

/* Its parents are parent[first_parent .. the next block's first_parent]. */
struct block {
    u64 round;
    u64 first_parent;
    u32 author;
    u32 visit;
};

struct blocks {
    struct table table;
    struct block *block; /* one more than there are, to end the last one's parents */
    u32 *parent;
    size_t block_room;
    size_t parent_count;
    size_t parent_room;
    u32 visits;
};

/* Blocks to append, parents' digests one after another; checked and non-negative. */
struct batch {
    size_t count;
    size_t parent_count;
    const u8 *digests;
    const long long *rounds;
    const long long *authors;
    const long long *parent_counts;
    const u8 *parents;
};

void blocks_init(struct blocks *blocks, const u8 seed[8 * SEED_WORDS]);

/* Gives each block its id; a known digest keeps its id and what is known of it. Unknown parents are
 * left out. 0 when memory is short: nothing was appended. */
int blocks_append(struct blocks *blocks, const struct batch *batch, long long *ids);

/* The block `tip` and its ancestors reached through blocks above round `floor`, unordered; `count`
 * says how many. NULL when memory is short; else free it. */
u32 *blocks_history(struct blocks *blocks, u32 tip, long long floor, size_t *count);

/* Puts `count` ids in the linear order; 0 when memory is short. */
int blocks_order(
    const struct blocks *blocks, u32 *ids, size_t count, const struct order *order, long long *out);

void blocks_free(struct blocks *blocks);

/* Picks the order's hash by name, the fastest of this CPU when it is empty; 0 when it lacks it. */
int order_use(const char *name);

#endif
