/* See table.h. */
#include "table.h"

#include <stdlib.h>

/* Lookups in flight at once: more than the memory serves at a time, few enough for registers. */
#define ABREAST 32
#define SMALLEST_ROOM 64

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
    u8(*digests)[DIGEST_BYTES] = realloc(table->digest, room * sizeof *digests);
    if (digests == NULL) return 0;
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

void table_find_many(
    const struct table *table, const u8 *digests, size_t count, long long *ids)
{
    u64 hashes[ABREAST];
    for (size_t start = 0; start < count; start += ABREAST) {
        const u8 *group = digests + start * DIGEST_BYTES;
        size_t size = count - start < ABREAST ? count - start : ABREAST;
        if (table->slot == NULL) {
            for (size_t i = 0; i < size; i++) ids[start + i] = UNKNOWN;
            continue;
        }
        for (size_t i = 0; i < size; i++) {
            hashes[i] = seeded_hash(table->seed, group + i * DIGEST_BYTES);
            __builtin_prefetch(&table->slot[hashes[i] & table->mask]);
        }
        for (size_t i = 0; i < size; i++) {
            u64 slot = table->slot[hashes[i] & table->mask];
            if (slot != 0) __builtin_prefetch(table->digest[(u32)slot - 1]);
        }
        for (size_t i = 0; i < size; i++) {
            size_t at = search(table, group + i * DIGEST_BYTES, hashes[i]);
            ids[start + i] = (long long)(u32)table->slot[at] - 1;
        }
    }
}

void table_free(struct table *table)
{
    free(table->digest);
    free(table->slot);
}
