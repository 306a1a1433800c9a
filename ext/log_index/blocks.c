/* See blocks.h. */
#include "blocks.h"

#include <stdlib.h>

/* Blocks whose digests are asked of the memory ahead of their turn. */
#define AHEAD 4
#define FIRST_PLACES 64
#define RADIX_BITS 8
#define RADIX (1 << RADIX_BITS)
/* Rounds hold few blocks, where inserting is fastest. */
#define MOST_INSERTED 16

void blocks_init(struct blocks *blocks, const u8 seed[8 * SEED_WORDS])
{
    memset(blocks, 0, sizeof *blocks);
    table_init(&blocks->table, seed);
}

static int reserve(struct blocks *blocks, const struct batch *batch)
{
    size_t parents = blocks->parent_count + batch->parent_count, room = blocks->parent_room;
    if (!table_reserve(&blocks->table, batch->count + 1)) return 0;
    if (blocks->block_room < blocks->table.room) {
        struct block *grown = realloc(blocks->block, blocks->table.room * sizeof *grown);
        if (grown == NULL) return 0;
        blocks->block = grown;
        blocks->block_room = blocks->table.room;
    }
    if (parents <= room) return 1;
    room = 2 * parents;
    u32 *grown = realloc(blocks->parent, room * sizeof *grown);
    if (grown == NULL) return 0;
    blocks->parent = grown;
    blocks->parent_room = room;
    return 1;
}

static void prefetch(const struct blocks *blocks, const struct batch *batch, size_t index,
                     const u8 *parents)
{
    table_prefetch(&blocks->table, batch->digests + index * DIGEST_BYTES);
    for (long long i = 0; i < batch->parent_counts[index]; i++)
        table_prefetch(&blocks->table, parents + i * DIGEST_BYTES);
}

static void add_parents(struct blocks *blocks, const u8 *parents, long long count)
{
    for (long long i = 0; i < count; i++) {
        int64_t id = table_find(&blocks->table, parents + i * DIGEST_BYTES);
        if (id != UNKNOWN) blocks->parent[blocks->parent_count++] = (u32)id;
    }
}

int blocks_append(struct blocks *blocks, const struct batch *batch, long long *ids)
{
    const u8 *parents = batch->parents, *ahead = batch->parents;
    size_t asked = 0;
    if (!reserve(blocks, batch)) return 0;
    for (size_t i = 0; i < batch->count; i++) {
        for (; asked < batch->count && asked < i + AHEAD; asked++) {
            prefetch(blocks, batch, asked, ahead);
            ahead += batch->parent_counts[asked] * DIGEST_BYTES;
        }
        size_t next = blocks->table.count;
        struct block *block = &blocks->block[next];
        block->first_parent = blocks->parent_count;
        /* Before the block itself, so that none is its own parent. */
        add_parents(blocks, parents, batch->parent_counts[i]);
        parents += batch->parent_counts[i] * DIGEST_BYTES;
        ids[i] = table_add(&blocks->table, batch->digests + i * DIGEST_BYTES);
        if (blocks->table.count == next) {
            blocks->parent_count = block->first_parent;
            continue;
        }
        block->round = (u64)batch->rounds[i];
        block->author = (u32)batch->authors[i];
        block->visit = 0;
        block[1].first_parent = blocks->parent_count;
    }
    return 1;
}

/* A fresh mark for one walk. */
static u32 begin_visit(struct blocks *blocks)
{
    if (++blocks->visits == 0) {
        for (size_t id = 0; id < blocks->table.count; id++) blocks->block[id].visit = 0;
        blocks->visits = 1;
    }
    return blocks->visits;
}

struct place *blocks_history(
    struct blocks *blocks, u32 tip, long long floor, size_t *count)
{
    u32 visit = begin_visit(blocks);
    size_t found = 1, room = FIRST_PLACES;
    struct place *places = malloc(room * sizeof *places);
    if (places == NULL) return NULL;
    places[0].id = tip;
    blocks->block[tip].visit = visit;
    for (size_t at = 0; at < found; at++) {
        const struct block *block = &blocks->block[places[at].id];
        size_t parents = block[1].first_parent - block->first_parent;
        places[at].round = block->round;
        if (found + parents > room) {
            room = 2 * (found + parents);
            struct place *grown = realloc(places, room * sizeof *places);
            if (grown == NULL) {
                free(places);
                return NULL;
            }
            places = grown;
        }
        for (size_t i = 0; i < parents; i++) {
            u32 id = blocks->parent[block->first_parent + i];
            struct block *parent = &blocks->block[id];
            if (parent->visit == visit || (long long)parent->round <= floor) continue;
            parent->visit = visit;
            places[found++].id = id;
        }
    }
    *count = found;
    return places;
}

/* One stable pass by the digit of round - lowest at `shift`. */
static void sort_pass(
    struct place *to, const struct place *from, size_t count, u64 lowest, int shift)
{
    size_t at[RADIX] = {0}, start = 0;
    for (size_t i = 0; i < count; i++) at[(from[i].round - lowest) >> shift & (RADIX - 1)]++;
    for (int digit = 0; digit < RADIX; digit++) {
        size_t size = at[digit];
        at[digit] = start;
        start += size;
    }
    for (size_t i = 0; i < count; i++) {
        struct place *place = &to[at[(from[i].round - lowest) >> shift & (RADIX - 1)]++];
        place->round = from[i].round;
        place->id = from[i].id;
    }
}

static int sort_by_round(struct place *places, size_t count)
{
    u64 lowest = places[0].round, highest = lowest;
    for (size_t i = 1; i < count; i++) {
        if (places[i].round < lowest) lowest = places[i].round;
        if (places[i].round > highest) highest = places[i].round;
    }
    if (lowest == highest) return 1;
    struct place *spare = malloc(count * sizeof *spare), *from = places, *to = spare;
    if (spare == NULL) return 0;
    for (int shift = 0; shift < 64 && (highest - lowest) >> shift != 0; shift += RADIX_BITS) {
        sort_pass(to, from, count, lowest, shift);
        struct place *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != places) memcpy(places, from, count * sizeof *places);
    free(spare);
    return 1;
}

static int compare(const void *left, const void *right)
{
    const u64 *a = ((const struct place *)left)->hash, *b = ((const struct place *)right)->hash;
    for (int i = 0; i < 4; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

static void sort_by_hash(struct place *places, size_t count)
{
    if (count > MOST_INSERTED) {
        qsort(places, count, sizeof *places, compare);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct place moved = places[i];
        size_t at = i;
        for (; at > 0 && compare(&moved, &places[at - 1]) < 0; at--) places[at] = places[at - 1];
        places[at] = moved;
    }
}

static order_hasher *fastest_hasher(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return order_hash_avx2;
#endif
    return order_hash_portable;
}

int blocks_order(
    const struct blocks *blocks, struct place *places, size_t count, const struct order *order)
{
    const u8(*digests)[DIGEST_BYTES] = (const u8(*)[DIGEST_BYTES])blocks->table.digest;
    if (!sort_by_round(places, count)) return 0;
    fastest_hasher()(places, count, digests, order);
    for (size_t start = 0, end; start < count; start = end) {
        for (end = start + 1; end < count && places[end].round == places[start].round;) end++;
        sort_by_hash(places + start, end - start);
    }
    return 1;
}

void blocks_free(struct blocks *blocks)
{
    table_free(&blocks->table);
    free(blocks->block);
    free(blocks->parent);
}
