/* A bounded cache of decompressed public keys: a node meets the same few authors again and again,
 * and decompression is a third of a signature's cost. A key that is met again gets its multiple by
 * 2^128 too: with it a scalar falls into halves as short as a coefficient. Set-associative, the least recently used of
 * a set leaves. Slots are chosen by a secret seed, so that nobody can grind keys into one set. Not
 * thread-safe: callers hold the GIL. */
#ifndef CCP2P_ED25519_KEYS_H
#define CCP2P_ED25519_KEYS_H

#include "common.h"

#define CACHE_SETS 1024
#define CACHE_WAYS 4

struct cached_key {
    struct affine point;
    struct affine high; /* 2^128 times the point */
    u8 has_high;
    u8 encoding[KEY_BYTES];
    u64 used;
};

struct key_cache {
    u64 seed[SEED_WORDS];
    u64 clock;
    struct cached_key key[CACHE_SETS][CACHE_WAYS];
};

/* NULL when memory is short. */
struct key_cache *key_cache_new(const u8 seed[8 * SEED_WORDS]);

struct cached_key *key_cache_find(struct key_cache *cache, const u8 encoding[KEY_BYTES]);

void key_cache_insert(
    struct key_cache *cache, const u8 encoding[KEY_BYTES], const struct affine *point);

#endif
