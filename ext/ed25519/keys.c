/* See keys.h. */
#include "keys.h"

#include <stdlib.h>

struct key_cache *key_cache_new(const u8 seed[8 * SEED_WORDS])
{
    size_t bytes = (sizeof(struct key_cache) + 63) / 64 * 64;
    struct key_cache *cache = aligned_alloc(64, bytes);
    if (cache == NULL) return NULL;
    memset(cache, 0, bytes);
    for (int i = 0; i < SEED_WORDS; i++) cache->seed[i] = load_little(seed + 8 * i);
    return cache;
}

static struct cached_key *cache_set(struct key_cache *cache, const u8 encoding[KEY_BYTES])
{
    return cache->key[seeded_hash(cache->seed, encoding) % CACHE_SETS];
}

struct cached_key *key_cache_find(struct key_cache *cache, const u8 encoding[KEY_BYTES])
{
    struct cached_key *set = cache_set(cache, encoding);
    for (int way = 0; way < CACHE_WAYS; way++) {
        if (set[way].used != 0 && memcmp(set[way].encoding, encoding, KEY_BYTES) == 0) {
            set[way].used = ++cache->clock;
            return &set[way];
        }
    }
    return NULL;
}

void key_cache_insert(
    struct key_cache *cache, const u8 encoding[KEY_BYTES], const struct affine *point)
{
    if (key_cache_find(cache, encoding) != NULL) return;
    struct cached_key *set = cache_set(cache, encoding), *oldest = set;
    for (int way = 1; way < CACHE_WAYS; way++)
        if (set[way].used < oldest->used) oldest = &set[way];
    oldest->point = *point;
    oldest->has_high = 0;
    memcpy(oldest->encoding, encoding, KEY_BYTES);
    oldest->used = ++cache->clock;
}
