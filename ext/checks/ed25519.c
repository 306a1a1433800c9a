/* The Ed25519 core without Python, for tests, sanitizers and fuzzers: one flat call. */
#include "checks/ed25519.h"

#include "ed25519/verify.h"

int check_batch(
    const char *backend_name, size_t count, const u8 *publics, const u8 *signatures,
    const u8 *messages, const u64 *offsets, const int64_t *lengths, const u8 *coefficients,
    u8 *verdicts)
{
    static struct affine base[BASE_MULTIPLES];
    static struct key_cache *cache;
    static const u8 SEED[8 * SEED_WORDS] = {1, 2, 3};
    const struct backend *backend = backend_find(backend_name);
    struct item items[MAX_BATCH];
    if (backend == NULL || count > MAX_BATCH) return 0;
    if (cache == NULL) {
        cache = key_cache_new(SEED);
        base_multiples(base);
    }
    for (size_t i = 0; i < count; i++) {
        items[i].public_key = lengths[i] < 0 ? NULL : publics + KEY_BYTES * i;
        items[i].signature = signatures + SIGNATURE_BYTES * i;
        items[i].message = messages + offsets[i];
        items[i].length = (u64)lengths[i];
    }
    struct verification *batch = verification_new(items, count);
    if (batch == NULL) return 0;
    verification_prepare(batch, cache, cache->seed);
    int held = verification_run(batch, backend, base, coefficients, verdicts);
    verification_remember(batch, cache, verdicts);
    verification_free(batch);
    return held ? 2 : 1;
}
