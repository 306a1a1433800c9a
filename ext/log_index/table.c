/* See table.h. */
#include "table.h"

#include <stdlib.h>

/* Lookups in flight at once: more than the memory serves at a time, few enough for registers. */
#define ABREAST 16
#define SMALLEST_ROOM 64
/* Digests lie at multiples of it, so that none is in two lines: a read of one is one miss. */
#define CACHE_LINE_BYTES 64

void table_init(struct table *table, const u8 seed[8 * SEED_WORDS])
{
    memset(table, 0, sizeof *table);
    for (int i = 0; i < SEED_WORDS; i++) table->seed[i] = load_little(seed + 8 * i);
}

static u64 slot_of(u64 hash, size_t id)
{
    return hash >> 32 << 32 | (id + 1);
}

static void put(u64 *slots, size_t mask, u64 hash, size_t id)
{
    size_t at = hash & mask;
    while (slots[at] != 0) at = (at + 1) & mask;
    slots[at] = slot_of(hash, id);
}

int table_reserve(struct table *table, size_t more)
{
    size_t wanted = table->count + more, room = table->room ? table->room : SMALLEST_ROOM;
    if (wanted <= table->room) return 1;
    while (room < wanted) room *= 2;
    u8(*digests)[DIGEST_BYTES] = aligned_alloc(CACHE_LINE_BYTES, room * sizeof *digests);
    if (digests == NULL) return 0;
    if (table->count) memcpy(digests, table->digest, table->count * sizeof *digests);
    free(table->digest);
    table->digest = digests;
    u64 *slots = calloc(2 * room, sizeof *slots);
    if (slots == NULL) return 0;
    for (size_t id = 0; id < table->count; id++)
        put(slots, 2 * room - 1, seeded_hash(table->seed, digests[id]), id);
    free(table->slot);
    table->slot = slots;
    table->room = room;
    table->mask = 2 * room - 1;
    return 1;
}

void table_prefetch(const struct table *table, const u8 digest[DIGEST_BYTES])
{
    if (table->slot != NULL)
        __builtin_prefetch(&table->slot[seeded_hash(table->seed, digest) & table->mask]);
}

static int is_same(const u8 *left, const u8 *right)
{
    u64 difference = 0;
    for (int i = 0; i < DIGEST_BYTES; i += 8)
        difference |= load_little(left + i) ^ load_little(right + i);
    return difference == 0;
}

/* Where a digest is, or the empty slot where its search ends. */
static size_t search(const struct table *table, const u8 *digest, u64 hash)
{
    size_t at = hash & table->mask;
    for (; table->slot[at] != 0; at = (at + 1) & table->mask) {
        u64 slot = table->slot[at];
        if ((slot ^ hash) >> 32 == 0
            && is_same(table->digest[(u32)slot - 1], digest))
            break;
    }
    return at;
}

int64_t table_find(const struct table *table, const u8 digest[DIGEST_BYTES])
{
    if (table->slot == NULL) return UNKNOWN;
    size_t at = search(table, digest, seeded_hash(table->seed, digest));
    return (int64_t)(u32)table->slot[at] - 1;
}

u32 table_add(struct table *table, const u8 digest[DIGEST_BYTES])
{
    u64 hash = seeded_hash(table->seed, digest);
    size_t at = search(table, digest, hash);
    if (table->slot[at] == 0) {
        memcpy(table->digest[table->count], digest, DIGEST_BYTES);
        table->slot[at] = slot_of(hash, table->count++);
    }
    return (u32)table->slot[at] - 1;
}

/* Each digest passes three stages, ABREAST digests apart: its slot is asked of the memory, then the
 * digest that the slot names, then both are compared. So the memory is never waited for by a group. */
void table_find_many(
    const struct table *table, const u8 *digests, size_t count, long long *ids)
{
    u64 hashes[2 * ABREAST];
    if (table->slot == NULL) {
        for (size_t i = 0; i < count; i++) ids[i] = UNKNOWN;
        return;
    }
    for (size_t i = 0; i < count + 2 * ABREAST; i++) {
        u64 *hash = &hashes[i % (2 * ABREAST)];
        size_t last = i - 2 * ABREAST, second = i - ABREAST;
        if (i >= 2 * ABREAST) {
            size_t at = search(table, digests + last * DIGEST_BYTES, *hash);
            ids[last] = (long long)(u32)table->slot[at] - 1;
        }
        if (second < count) {
            u64 slot = table->slot[hashes[second % (2 * ABREAST)] & table->mask];
            if (slot != 0) __builtin_prefetch(table->digest[(u32)slot - 1]);
        }
        if (i < count) {
            *hash = seeded_hash(table->seed, digests + i * DIGEST_BYTES);
            __builtin_prefetch(&table->slot[*hash & table->mask]);
        }
    }
}

void table_free(struct table *table)
{
    free(table->digest);
    free(table->slot);
}
