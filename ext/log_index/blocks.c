/* See blocks.h. */
#include "blocks.h"

#include <stdlib.h>

/* Blocks whose digests are asked of the memory ahead of their turn. */
#define AHEAD 4
#define FIRST_FOUND 64
#define FEWEST_BITS 4
#define MOST_BITS 16
/* Rounds hold few blocks, where inserting is fastest. */
#define MOST_INSERTED 16
/* Blocks hashed at once: their places stay in the nearest cache. */
#define WINDOW 256

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

u32 *blocks_history(struct blocks *blocks, u32 tip, long long floor, size_t *count)
{
    u32 visit = begin_visit(blocks);
    size_t found = 1, room = FIRST_FOUND;
    u32 *ids = malloc(room * sizeof *ids);
    if (ids == NULL) return NULL;
    ids[0] = tip;
    blocks->block[tip].visit = visit;
    for (size_t at = 0; at < found; at++) {
        const struct block *block = &blocks->block[ids[at]];
        const u32 *parents = blocks->parent + block->first_parent;
        size_t parent_count = block[1].first_parent - block->first_parent;
        if (found + parent_count > room) {
            room = 2 * (found + parent_count);
            u32 *grown = realloc(ids, room * sizeof *ids);
            if (grown == NULL) {
                free(ids);
                return NULL;
            }
            ids = grown;
        }
        for (size_t i = 0; i < parent_count; i++) {
            struct block *parent = &blocks->block[parents[i]];
            if (parent->visit == visit || (long long)parent->round <= floor) continue;
            parent->visit = visit;
            ids[found++] = parents[i];
        }
    }
    *count = found;
    return ids;
}

/* How wide the digits of a radix sort are: a count for each value costs about what the items do. */
static int digit_bits(size_t count)
{
    int bits = FEWEST_BITS;
    while (bits < MOST_BITS && (size_t)1 << bits < count) bits++;
    return bits;
}

/* One stable pass by the digit of round - lowest at `shift`. */
static void sort_pass(
    const struct block *block, u32 *to, const u32 *from, size_t count, u64 lowest, int shift,
    u32 *at, size_t digits)
{
    u32 start = 0;
    memset(at, 0, digits * sizeof *at);
    for (size_t i = 0; i < count; i++)
        at[(block[from[i]].round - lowest) >> shift & (digits - 1)]++;
    for (size_t digit = 0; digit < digits; digit++) {
        u32 size = at[digit];
        at[digit] = start;
        start += size;
    }
    for (size_t i = 0; i < count; i++)
        to[at[(block[from[i]].round - lowest) >> shift & (digits - 1)]++] = from[i];
}

static void reverse(u32 *ids, size_t count)
{
    for (size_t left = 0, right = count - 1; left < right; left++, right--) {
        u32 id = ids[left];
        ids[left] = ids[right];
        ids[right] = id;
    }
}

static int sort_by_round(const struct block *block, u32 *ids, size_t count)
{
    u64 lowest = block[ids[0]].round, highest = lowest, above = lowest;
    int is_falling = 1;
    for (size_t i = 1; i < count; i++) {
        u64 round = block[ids[i]].round;
        if (round < lowest) lowest = round;
        if (round > highest) highest = round;
        if (round > above) is_falling = 0;
        above = round;
    }
    /* A walk from the tip meets whole rounds, the newest first, but where links skip some. */
    if (is_falling) {
        reverse(ids, count);
        return 1;
    }
    int bits = digit_bits(count);
    size_t digits = (size_t)1 << bits;
    u32 *scratch = malloc((count + digits) * sizeof *scratch), *from = ids, *to = scratch;
    if (scratch == NULL) return 0;
    for (int shift = 0; shift < 64 && (highest - lowest) >> shift != 0; shift += bits) {
        sort_pass(block, to, from, count, lowest, shift, scratch + count, digits);
        u32 *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != ids) memcpy(ids, from, count * sizeof *ids);
    free(scratch);
    return 1;
}

static inline int is_before(const struct place *left, const struct place *right)
{
    int i = 0;
    while (i < 3 && left->hash[i] == right->hash[i]) i++;
    return left->hash[i] < right->hash[i];
}

static int compare(const void *left, const void *right)
{
    return is_before(right, left) - is_before(left, right);
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
        for (; at > 0 && is_before(&moved, &places[at - 1]); at--) places[at] = places[at - 1];
        places[at] = moved;
    }
}

static order_hasher *chosen_hasher = order_hash_portable;

int order_use(const char *name)
{
    order_hasher *found = strcmp(name, "portable") && *name ? NULL : order_hash_portable;
#if defined(__x86_64__)
    if ((!*name || !strcmp(name, "avx2")) && __builtin_cpu_supports("avx2"))
        found = order_hash_avx2;
    if ((!*name || !strcmp(name, "avx512")) && __builtin_cpu_supports("avx512f"))
        found = order_hash_avx512;
#endif
    if (found) chosen_hasher = found;
    return found != NULL;
}

/* Where the blocks of the round at `start` end. */
static size_t round_end(const struct block *block, const u32 *ids, size_t start, size_t count)
{
    size_t end = start + 1;
    while (end < count && block[ids[end]].round == block[ids[start]].round) end++;
    return end;
}

/* Whole rounds from `start` on, as many as fill a window, and at least one. */
static size_t window_end(const struct block *block, const u32 *ids, size_t start, size_t count)
{
    size_t end = round_end(block, ids, start, count);
    while (end < count && end - start < WINDOW) end = round_end(block, ids, end, count);
    return end;
}

int blocks_order(
    const struct blocks *blocks, u32 *ids, size_t count, const struct order *order, long long *out)
{
    const u8(*digests)[DIGEST_BYTES] = (const u8(*)[DIGEST_BYTES])blocks->table.digest;
    const struct block *block = blocks->block;
    struct place *places = NULL;
    size_t room = 0;
    if (!sort_by_round(block, ids, count)) return 0;
    for (size_t start = 0, end; start < count; start = end) {
        end = window_end(block, ids, start, count);
        if (end - start > room) {
            free(places);
            room = 2 * (end - start);
            places = malloc(room * sizeof *places);
            if (places == NULL) return 0;
        }
        for (size_t i = start; i < end; i++) places[i - start].id = ids[i];
        chosen_hasher(places, end - start, digests, order);
        for (size_t i = start, next; i < end; i = next) {
            next = round_end(block, ids, i, end);
            sort_by_hash(places + (i - start), next - i);
        }
        for (size_t i = start; i < end; i++) out[i] = (long long)places[i - start].id;
    }
    free(places);
    return 1;
}

void blocks_free(struct blocks *blocks)
{
    table_free(&blocks->table);
    free(blocks->block);
    free(blocks->parent);
}
