/* Words and bytes, and a seeded hash of 32 bytes: what all of the native core shares. */
#ifndef CCP2P_WORDS_H
#define CCP2P_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__SIZEOF_INT128__)
#error "the native core needs a 64-bit compiler with __int128; CCP2P_PURE=1 works without it"
#endif

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;
typedef unsigned __int128 u128;

#define SEED_WORDS 4
#define HASHED_BYTES 32

static inline u64 load_little(const u8 *bytes)
{
    u64 word;
    memcpy(&word, bytes, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline u64 load_big(const u8 *bytes)
{
    u64 word;
    memcpy(&word, bytes, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline void store_little(u8 *bytes, u64 word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    memcpy(bytes, &word, 8);
}

static inline void store_big(u8 *bytes, u64 word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    memcpy(bytes, &word, 8);
}

static inline u64 folded_product(u64 left, u64 right)
{
    u128 product = (u128)left * right;
    return (u64)product ^ (u64)(product >> 64);
}

/* Mixes 32 bytes under a secret seed, for places in a table: digests and keys can be ground, so
 * their own bytes must not choose. */
static inline u64 seeded_hash(const u64 seed[SEED_WORDS], const u8 bytes[HASHED_BYTES])
{
    u64 low = folded_product(load_little(bytes) ^ seed[0], load_little(bytes + 8) ^ seed[1]);
    u64 high = folded_product(load_little(bytes + 16) ^ seed[2], load_little(bytes + 24) ^ seed[3]);
    return folded_product(low ^ seed[1], high ^ seed[2]);
}

#endif
