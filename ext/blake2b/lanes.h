/* BLAKE2b's compression (RFC 7693), one message a lane. Included over a vector type `vec` of LANES
 * 64-bit words and the rotations of each of its words; a backend's header gives both. */
#include "words.h"

#define HASH_WORDS 8
#define BLOCK_WORDS 16
#define BLOCK_BYTES 128
#define DIGEST_WORDS 4

static const u64 INITIAL[HASH_WORDS] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

#define MIX(a, b, c, d, x, y) \
    do { \
        if ((x) < words) v[a] += m[x]; \
        v[a] += v[b]; \
        v[d] = ROTATE32(v[d] ^ v[a]); \
        v[c] += v[d]; \
        v[b] = ROTATE24(v[b] ^ v[c]); \
        if ((y) < words) v[a] += m[y]; \
        v[a] += v[b]; \
        v[d] = ROTATE16(v[d] ^ v[a]); \
        v[c] += v[d]; \
        v[b] = ROTATE63(v[b] ^ v[c]); \
    } while (0)

#define ROUND(a, b, c, d, e, f, g, h, i, j, k, l, n, o, p, q) \
    do { \
        MIX(0, 4, 8, 12, a, b); \
        MIX(1, 5, 9, 13, c, d); \
        MIX(2, 6, 10, 14, e, f); \
        MIX(3, 7, 11, 15, g, h); \
        MIX(0, 5, 10, 15, i, j); \
        MIX(1, 6, 11, 12, k, l); \
        MIX(2, 7, 8, 13, n, o); \
        MIX(3, 4, 9, 14, p, q); \
    } while (0)

/* The first `words` words of the block are in `m`, the others are zero. The schedule is written out
 * so that these cost nothing. `hashed_bytes` counts this block; `last` is all ones in lanes whose
 * message ends with it. */
static inline __attribute__((always_inline)) void compress(
    vec h[HASH_WORDS], const vec *m, int words, vec hashed_bytes, vec last)
{
    vec v[2 * HASH_WORDS];
    for (int i = 0; i < HASH_WORDS; i++) {
        v[i] = h[i];
        v[i + HASH_WORDS] = (vec){0} + INITIAL[i];
    }
    v[12] ^= hashed_bytes;
    v[14] ^= last;
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    for (int i = 0; i < HASH_WORDS; i++) h[i] ^= v[i] ^ v[i + HASH_WORDS];
}

/* The state after the parameter block: 32-byte digests, and a personalisation of 16 bytes. */
static inline __attribute__((always_inline)) void begin_hash(
    vec h[HASH_WORDS], const u8 *person, size_t key_bytes)
{
    for (int i = 0; i < HASH_WORDS; i++) h[i] = (vec){0} + INITIAL[i];
    h[0] ^= 8 * DIGEST_WORDS | key_bytes << 8 | 1 << 16 | 1 << 24;
    h[6] ^= load_little(person);
    h[7] ^= load_little(person + 8);
}
