/* BLAKE2b-256 (RFC 7693) of one 32-byte message a lane, under one key and personalisation. Included
 * over a vector type `vec` of LANES 64-bit words and the rotations of each of its words. */
#include "order.h"

#define HASH_WORDS 8
#define BLOCK_WORDS 16
#define BLOCK_BYTES 128
#define ROUNDS 12

static const u64 INITIAL[HASH_WORDS] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

static const u8 SCHEDULE[ROUNDS][BLOCK_WORDS] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3}};

#define MIX(a, b, c, d, x, y) \
    do { \
        v[a] += v[b] + (x); \
        v[d] = ROTATE32(v[d] ^ v[a]); \
        v[c] += v[d]; \
        v[b] = ROTATE24(v[b] ^ v[c]); \
        v[a] += v[b] + (y); \
        v[d] = ROTATE16(v[d] ^ v[a]); \
        v[c] += v[d]; \
        v[b] = ROTATE63(v[b] ^ v[c]); \
    } while (0)

static inline __attribute__((always_inline)) void compress(
    vec h[HASH_WORDS], const vec m[BLOCK_WORDS], u64 hashed_bytes, int is_last)
{
    vec v[2 * HASH_WORDS];
    for (int i = 0; i < HASH_WORDS; i++) {
        v[i] = h[i];
        v[i + HASH_WORDS] = (vec){0} + INITIAL[i];
    }
    v[12] ^= hashed_bytes;
    if (is_last) v[14] = ~v[14];
    _Pragma("GCC unroll 12") for (int r = 0; r < ROUNDS; r++)
    {
        const u8 *s = SCHEDULE[r];
        MIX(0, 4, 8, 12, m[s[0]], m[s[1]]);
        MIX(1, 5, 9, 13, m[s[2]], m[s[3]]);
        MIX(2, 6, 10, 14, m[s[4]], m[s[5]]);
        MIX(3, 7, 11, 15, m[s[6]], m[s[7]]);
        MIX(0, 5, 10, 15, m[s[8]], m[s[9]]);
        MIX(1, 6, 11, 12, m[s[10]], m[s[11]]);
        MIX(2, 7, 8, 13, m[s[12]], m[s[13]]);
        MIX(3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < HASH_WORDS; i++) h[i] ^= v[i] ^ v[i + HASH_WORDS];
}

/* The state after the parameters and, where there is a coin, its block. */
static void begin(vec h[HASH_WORDS], const struct order *order)
{
    u8 person[PERSON_BYTES] = {0}, block[BLOCK_BYTES] = {0};
    vec m[BLOCK_WORDS];
    memcpy(person, order->domain, order->domain_bytes);
    for (int i = 0; i < HASH_WORDS; i++) h[i] = (vec){0} + INITIAL[i];
    h[0] ^= DIGEST_BYTES | order->coin_bytes << 8 | 1 << 16 | 1 << 24;
    h[6] ^= load_little(person);
    h[7] ^= load_little(person + 8);
    if (order->coin_bytes == 0) return;
    memcpy(block, order->coin, order->coin_bytes);
    for (int i = 0; i < BLOCK_WORDS; i++) m[i] = (vec){0} + load_little(block + 8 * i);
    compress(h, m, BLOCK_BYTES, 0);
}

void ORDER_HASH(
    struct place *places, size_t count, const u8 (*digests)[DIGEST_BYTES],
    const struct order *order)
{
    vec start[HASH_WORDS];
    u64 bytes = DIGEST_BYTES + (order->coin_bytes ? BLOCK_BYTES : 0);
    begin(start, order);
    for (size_t first = 0; first < count; first += LANES) {
        size_t live = count - first < LANES ? count - first : LANES;
        vec h[HASH_WORDS], m[BLOCK_WORDS] = {{0}};
        u64 words[DIGEST_BYTES / 8][LANES] = {{0}};
        for (size_t lane = 0; lane < live; lane++)
            for (int i = 0; i < 4; i++)
                words[i][lane] = load_little(digests[places[first + lane].id] + 8 * i);
        memcpy(m, words, sizeof words);
        memcpy(h, start, sizeof h);
        compress(h, m, bytes, 1);
        memcpy(words, h, sizeof words);
        for (size_t lane = 0; lane < live; lane++)
            for (int i = 0; i < 4; i++)
                places[first + lane].hash[i] = __builtin_bswap64(words[i][lane]);
    }
}
