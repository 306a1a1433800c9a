/* See verify.h. The steps: refuse S >= L; hash; decompress; one batch equation with random
 * coefficients; and if that fails, the exact equation of each signature. */
#include "verify.h"

#include <stdlib.h>

#include "scalar.h"

#define NO_KEY UINT32_MAX
#define MET_FIRST 2 /* of a key that this batch put into the cache */
#define HIGHS_AT_ONCE 16
/* A term more for a key costs what half a long term's windows save, until it has so many. */
#define SIGNATURES_PER_HIGH 4
#define MIN_WIDTH 4
#define MAX_WIDTH 9

struct verification {
    const struct item *items;
    size_t count;
    /* Distinct keys: where their bytes are, their points, whether those exist and were cached. */
    size_t key_count;
    const u8 **key_encodings;
    struct affine *keys;
    u8 *key_ok;
    u8 *key_cached;
    /* Their multiples by 2^128: whether they pay, and whether the cache knows them all. */
    struct affine *key_highs;
    int wants_highs, has_highs;
    /* For each item: its key, and while `live` its R, k and S. */
    uint32_t *key_of;
    u8 *live;
    struct affine *commitments;
    struct scalar *challenges;
    struct scalar *responses;
    /* Lists built for one call of a backend. */
    uint32_t *listed;
    const u8 **encodings;
    struct affine *points;
    u8 *ok;
    u8 *scratch;
};

/* Scratch, by turns: hashes; exact singles; terms, scalars and digits of the batch. */
static size_t scratch_bytes(size_t count)
{
    size_t terms = 3 * count + 2;
    size_t batch = 4 * 64 + terms
        * (sizeof(struct term) + sizeof(struct scalar) + sizeof(int16_t[MAX_WINDOWS])
           + sizeof(struct affine *));
    size_t exact = count * sizeof(struct single);
    return batch > exact ? batch : exact;
}

#define ALIGNED(bytes) (((bytes) + 63) / 64 * 64)

/* Takes aligned memory from a cursor. */
static void *take(uintptr_t *memory, size_t bytes)
{
    uintptr_t taken = *memory;
    *memory += ALIGNED(bytes);
    return (void *)taken;
}

/* Hands out the arrays from an address on; from 0 on, just measures them. */
static size_t lay_out(struct verification *v, uintptr_t memory, size_t count)
{
    uintptr_t start = memory;
    v->key_encodings = take(&memory, count * sizeof *v->key_encodings);
    v->keys = take(&memory, count * sizeof *v->keys);
    v->key_highs = take(&memory, count * sizeof *v->key_highs);
    v->key_ok = take(&memory, count);
    v->key_cached = take(&memory, count);
    v->key_of = take(&memory, count * sizeof *v->key_of);
    v->live = take(&memory, count);
    v->commitments = take(&memory, count * sizeof *v->commitments);
    v->challenges = take(&memory, count * sizeof *v->challenges);
    v->responses = take(&memory, count * sizeof *v->responses);
    v->listed = take(&memory, 2 * count * sizeof *v->listed);
    v->encodings = take(&memory, 2 * count * sizeof *v->encodings);
    v->points = take(&memory, 2 * count * sizeof *v->points);
    v->ok = take(&memory, 2 * count);
    v->scratch = take(&memory, scratch_bytes(count));
    return memory - start;
}

struct verification *verification_new(const struct item *items, size_t count)
{
    struct verification sizes;
    size_t head = ALIGNED(sizeof sizes);
    size_t bytes = head + lay_out(&sizes, 0, count);
    u8 *memory = aligned_alloc(64, bytes);
    if (memory == NULL) return NULL;
    struct verification *v = (struct verification *)memory;
    lay_out(v, (uintptr_t)memory + head, count);
    v->items = items;
    v->count = count;
    v->key_count = 0;
    return v;
}

void verification_free(struct verification *v)
{
    free(v);
}

/* The index of the item's key among the distinct ones, found or added by open addressing. */
static uint32_t key_index(
    struct verification *v, uint32_t *slots, size_t slot_count, const u64 *seed, const u8 *encoding)
{
    size_t slot = seeded_hash(seed, encoding) & (slot_count - 1);
    while (slots[slot] != NO_KEY) {
        if (memcmp(v->key_encodings[slots[slot]], encoding, KEY_BYTES) == 0) return slots[slot];
        slot = (slot + 1) & (slot_count - 1);
    }
    slots[slot] = (uint32_t)v->key_count++;
    v->key_encodings[slots[slot]] = encoding;
    return slots[slot];
}

void verification_prepare(
    struct verification *v, struct key_cache *cache, const u64 seed[SEED_WORDS])
{
    uint32_t slots[2 * MAX_BATCH];
    size_t slot_count = 2;
    while (slot_count < 2 * v->count) slot_count *= 2;
    for (size_t i = 0; i < slot_count; i++) slots[i] = NO_KEY;
    for (size_t i = 0; i < v->count; i++) {
        const u8 *encoding = v->items[i].public_key;
        v->key_of[i] = encoding == NULL ? NO_KEY : key_index(v, slots, slot_count, seed, encoding);
    }
    v->wants_highs = v->has_highs = v->key_count * SIGNATURES_PER_HIGH <= v->count;
    for (size_t i = 0; i < v->key_count; i++) {
        const struct cached_key *known =
            cache == NULL ? NULL : key_cache_find(cache, v->key_encodings[i]);
        v->key_cached[i] = v->key_ok[i] = known != NULL;
        if (known != NULL) v->keys[i] = known->point;
        v->has_highs = v->has_highs && known != NULL && known->has_high;
        if (v->has_highs) v->key_highs[i] = known->high;
    }
}

/* Keys that were met before get their high multiples, a few at a time: each takes some 15 us. */
static void remember_highs(struct verification *v, struct key_cache *cache)
{
    int left = v->wants_highs && !v->has_highs ? HIGHS_AT_ONCE : 0;
    for (size_t i = 0; i < v->key_count && left > 0; i++) {
        if (v->key_cached[i] != 1) continue;
        struct cached_key *known = key_cache_find(cache, v->key_encodings[i]);
        if (known == NULL || known->has_high) continue;
        affine_high(&known->high, &known->point);
        known->has_high = 1;
        left--;
    }
}

void verification_remember(
    struct verification *v, struct key_cache *cache, const u8 *verdicts)
{
    for (size_t i = 0; i < v->count; i++) {
        uint32_t key = v->key_of[i];
        if (!verdicts[i] || v->key_cached[key]) continue;
        key_cache_insert(cache, v->key_encodings[key], &v->keys[key]);
        v->key_cached[key] = MET_FIRST;
    }
    remember_highs(v, cache);
}

/* Reads every S; what is not below the order, or was refused before, is not live. */
static void read_responses(struct verification *v)
{
    for (size_t i = 0; i < v->count; i++) {
        v->live[i] = 0;
        if (v->key_of[i] == NO_KEY) continue;
        scalar_of_bytes(&v->responses[i], v->items[i].signature + 32);
        v->live[i] = (u8)scalar_is_reduced(&v->responses[i]);
    }
}

/* Decompresses the keys that the cache did not know and every live R, in one list. */
static void read_points(struct verification *v, const struct backend *backend)
{
    size_t keys = 0, listed;
    for (size_t i = 0; i < v->key_count; i++) {
        if (v->key_cached[i]) continue;
        v->encodings[keys] = v->key_encodings[i];
        v->listed[keys++] = (uint32_t)i;
    }
    listed = keys;
    for (size_t i = 0; i < v->count; i++) {
        if (!v->live[i]) continue;
        v->encodings[listed] = v->items[i].signature;
        v->listed[listed++] = (uint32_t)i;
    }
    backend->decompress(v->points, v->ok, v->encodings, listed);
    for (size_t j = 0; j < keys; j++) {
        v->keys[v->listed[j]] = v->points[j];
        v->key_ok[v->listed[j]] = v->ok[j];
    }
    for (size_t j = keys; j < listed; j++) {
        uint32_t i = v->listed[j];
        v->commitments[i] = v->points[j];
        v->live[i] = v->ok[j] && v->key_ok[v->key_of[i]];
    }
}

/* Lists the live items; returns how many. */
static size_t list_live(struct verification *v)
{
    size_t live = 0;
    for (size_t i = 0; i < v->count; i++)
        if (v->live[i]) v->listed[live++] = (uint32_t)i;
    return live;
}

#define HASH_MANY 64

static void hash_live(struct verification *v, const struct backend *backend, size_t live)
{
    for (size_t start = 0; start < live; start += HASH_MANY) {
        u8 digests[HASH_MANY][64];
        const struct item *items[HASH_MANY];
        size_t count = live - start < HASH_MANY ? live - start : HASH_MANY;
        for (size_t j = 0; j < count; j++) items[j] = &v->items[v->listed[start + j]];
        backend->hash(digests, items, count);
        for (size_t j = 0; j < count; j++)
            scalar_of_hash(&v->challenges[v->listed[start + j]], digests[j]);
    }
}

/* The terms of sum(z R) + sum(z k) A - sum(z S) B. B and the keys come first: one term for each
 * key, whatever the number of its signatures, and only their scalars are long. */
struct batch {
    const struct affine **points;
    struct scalar *scalars;
    size_t count;
    size_t long_count;
};

static void batch_terms(
    struct verification *v, size_t live, const struct affine *base, const u8 *coefficients,
    struct batch *batch)
{
    struct scalar *scalars = batch->scalars;
    batch->long_count = v->key_count + 1;
    batch->count = batch->long_count + live;
    memset(scalars, 0, batch->long_count * sizeof *scalars);
    batch->points[0] = &base[1];
    for (size_t i = 0; i < v->key_count; i++) batch->points[1 + i] = &v->keys[i];
    for (size_t j = 0; j < live; j++) {
        uint32_t i = v->listed[j];
        struct scalar *z = &scalars[batch->long_count + j], product;
        coefficient_of_bytes(z, coefficients + COEFFICIENT_BYTES * i);
        batch->points[batch->long_count + j] = &v->commitments[i];
        scalar_mul_coefficient(&product, z, &v->responses[i]);
        scalar_add(&scalars[0], &product);
        scalar_mul_coefficient(&product, z, &v->challenges[i]);
        scalar_add(&scalars[1 + v->key_of[i]], &product);
    }
    scalar_negate(&scalars[0]);
}

/* Halves the long scalars: the high halves, times the high multiples, become terms of their own. */
static void halve_terms(
    const struct verification *v, const struct affine *base, struct batch *batch)
{
    for (size_t i = 0; i < batch->long_count; i++) {
        struct scalar whole = batch->scalars[i];
        scalar_halve(&batch->scalars[i], &batch->scalars[batch->count + i], &whole);
        batch->points[batch->count + i] = i == 0 ? &base[BASE_HIGH] : &v->key_highs[i - 1];
    }
    batch->count += batch->long_count;
    batch->long_count = 0;
}

/* How many windows the longest scalars have. */
static int batch_windows(const struct batch *batch, int width)
{
    return batch->long_count > 0 ? SCALAR_WINDOWS(width) : COEFFICIENT_WINDOWS(width);
}

/* The window width with the fewest point additions for these terms in so many lanes. */
static int best_width(const struct batch *batch, size_t lanes)
{
    int best = MIN_WIDTH;
    size_t best_cost = SIZE_MAX, short_count = batch->count - batch->long_count;
    for (int width = MIN_WIDTH; width <= MAX_WIDTH; width++) {
        size_t groups = ((size_t)batch_windows(batch, width) + lanes - 1) / lanes;
        size_t short_groups = (COEFFICIENT_WINDOWS(width) + lanes - 1) / lanes;
        size_t collect = groups * ((size_t)5 << (width - 1)) / 2;
        size_t cost = groups * batch->long_count + short_groups * short_count + collect;
        if (cost < best_cost) {
            best_cost = cost;
            best = width;
        }
    }
    return best;
}

static int pippenger_holds(
    const struct backend *backend, const struct batch *batch, uintptr_t memory)
{
    int width = best_width(batch, (size_t)backend->lanes);
    int windows = batch_windows(batch, width), short_windows = COEFFICIENT_WINDOWS(width);
    struct recoding whole = recoding_of(width, windows);
    struct recoding halved = recoding_of(width, short_windows);
    int16_t(*digits)[MAX_WINDOWS] = take(&memory, batch->count * sizeof *digits);
    struct term *terms = take(&memory, batch->count * sizeof *terms);
    struct extended sums[MAX_WINDOWS], total;
    void *buckets = aligned_alloc(64, ALIGNED(backend->bucket_bytes(width)));
    if (buckets == NULL) return 0; /* the exact check still decides */
    for (size_t i = 0; i < batch->count; i++) {
        memset(digits[i], 0, sizeof digits[i]);
        scalar_recode(digits[i], &batch->scalars[i], i < batch->long_count ? &whole : &halved);
        terms[i] = (struct term){batch->points[i], digits[i]};
    }
    backend->window_sums(
        sums, terms, batch->count, batch->long_count, width, windows, short_windows, buckets);
    free(buckets);
    backend->join_windows(&total, sums, windows, width);
    return vanishes(&total);
}

static int straus_holds(const struct batch *batch)
{
    void *workspace = aligned_alloc(64, ALIGNED(straus_bytes(batch->count)));
    if (workspace == NULL) return 0;
    int holds = straus_vanishes(batch->points, batch->scalars, batch->count, workspace);
    free(workspace);
    return holds;
}

/* Below this many terms one lane is faster with Straus's method than with Pippenger's. */
#define STRAUS_TERMS 200

static int batch_holds(
    struct verification *v, const struct backend *backend, const struct affine *base,
    const u8 *coefficients, size_t live)
{
    size_t room = 2 * (v->key_count + 1) + live;
    uintptr_t memory = (uintptr_t)v->scratch;
    struct batch batch = {0};
    batch.scalars = take(&memory, room * sizeof *batch.scalars);
    batch.points = take(&memory, room * sizeof *batch.points);
    batch_terms(v, live, base, coefficients, &batch);
    if (backend->lanes == 1 && batch.count < STRAUS_TERMS) return straus_holds(&batch);
    if (v->has_highs) halve_terms(v, base, &batch);
    return pippenger_holds(backend, &batch, memory);
}

static void check_singles(
    struct verification *v, const struct backend *backend, const struct affine *base, size_t live,
    u8 *verdicts)
{
    struct single *singles = (struct single *)v->scratch;
    struct recoding challenge = recoding_of(4, MAX_WINDOWS);
    struct recoding response = recoding_of(8, MAX_WINDOWS / 2);
    /* A few signatures leave most lanes idle. */
    if (live * 2 < (size_t)backend->lanes) backend = &backend_portable;
    for (size_t j = 0; j < live; j++) {
        uint32_t i = v->listed[j];
        singles[j].key = &v->keys[v->key_of[i]];
        singles[j].commitment = &v->commitments[i];
        scalar_recode(singles[j].challenge, &v->challenges[i], &challenge);
        scalar_recode(singles[j].response, &v->responses[i], &response);
    }
    backend->singles(v->ok, singles, live, base);
    for (size_t j = 0; j < live; j++) verdicts[v->listed[j]] = v->ok[j];
}

int verification_run(
    struct verification *v, const struct backend *backend, const struct affine *base,
    const u8 *coefficients, u8 *verdicts)
{
    memset(verdicts, 0, v->count);
    read_responses(v);
    read_points(v, backend);
    size_t live = list_live(v);
    hash_live(v, backend, live);
    if (live >= backend->batch_from && batch_holds(v, backend, base, coefficients, live)) {
        for (size_t j = 0; j < live; j++) verdicts[v->listed[j]] = 1;
        return 1;
    }
    check_singles(v, backend, base, live, verdicts);
    return 0;
}
