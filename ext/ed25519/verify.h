/* Verification of a batch: one rule, ZIP-215, whatever the backend and whatever else is in it.
 *
 * prepare and remember touch the key cache and need the GIL; run does not. */
#ifndef CCP2P_ED25519_VERIFY_H
#define CCP2P_ED25519_VERIFY_H

#include "backend.h"
#include "keys.h"

/* Bounds the memory of one batch; more signatures gain nothing measurable. */
#define MAX_BATCH 1024
#define COEFFICIENT_BYTES 16

struct verification;

/* The backend of that name, or NULL when there is none or this CPU lacks its instructions. */
const struct backend *backend_find(const char *name);

/* The fastest backend of this CPU. */
const struct backend *backend_best(void);

/* For at most MAX_BATCH items, borrowed until the verification is freed. NULL: memory is short. */
struct verification *verification_new(const struct item *items, size_t count);

/* Finds each distinct key once, and takes those that the cache knows. The cache may be NULL. */
void verification_prepare(
    struct verification *verification, struct key_cache *cache, const u64 seed[SEED_WORDS]);

/* Sets each verdict to 1 or 0. `coefficients` are 16 * count random bytes, drawn after the items
 * were fixed. Tells, for tests, whether the equation of the whole batch decided. */
int verification_run(
    struct verification *verification, const struct backend *backend,
    const struct affine *base, const u8 *coefficients, u8 *verdicts);

/* Offers the keys of valid signatures to the cache. */
void verification_remember(
    struct verification *verification, struct key_cache *cache, const u8 *verdicts);

void verification_free(struct verification *verification);

#endif
