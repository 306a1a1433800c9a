/* SHA-512 (FIPS 180-4) of R || A || M for LANES signatures abreast. Lanes with fewer blocks than
 * the longest keep their state while the others finish. */
#ifndef CCP2P_ED25519_SHA512_H
#define CCP2P_ED25519_SHA512_H

#include "common.h"

#define HASH_BYTES 64
#define SHA_BLOCK_BYTES 128
#define SHA_PREFIX_BYTES 64

static const u64 SHA_INITIAL[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

static const u64 SHA_ROUND[80] = {
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc,
    0x3956c25bf348b538, 0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118,
    0xd807aa98a3030242, 0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235, 0xc19bf174cf692694,
    0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5,
    0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2, 0xd5a79147930aa725, 0x06ca6351e003826f, 0x142929670a0e6e70,
    0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df,
    0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30,
    0xd192e819d6ef5218, 0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b,
    0xca273eceea26619c, 0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178,
    0x06f067aa72176fba, 0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b,
    0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817};

#define ROTATE(x, n) ((x) >> (n) | (x) << (64 - (n)))

static inline u64 sha_blocks(const struct item *item)
{
    /* One byte of padding and sixteen of length at least. */
    return (SHA_PREFIX_BYTES + item->length + 17 + SHA_BLOCK_BYTES - 1) / SHA_BLOCK_BYTES;
}

/* Block `index` of the padded input: in place where it lies whole inside the message, else built
 * in `scratch`. */
static const u8 *sha_block(const struct item *item, u64 index, u8 scratch[SHA_BLOCK_BYTES])
{
    u64 start = index * SHA_BLOCK_BYTES, total = SHA_PREFIX_BYTES + item->length, filled = 0;
    if (index > 0 && start + SHA_BLOCK_BYTES <= total)
        return item->message + (start - SHA_PREFIX_BYTES);
    memset(scratch, 0, SHA_BLOCK_BYTES);
    if (index == 0) {
        memcpy(scratch, item->signature, 32);
        memcpy(scratch + 32, item->public_key, 32);
        filled = SHA_PREFIX_BYTES;
    }
    u64 room = SHA_BLOCK_BYTES - filled;
    u64 left = total > start + filled ? total - start - filled : 0;
    u64 taken = left < room ? left : room;
    if (taken > 0)
        memcpy(scratch + filled, item->message + (start + filled - SHA_PREFIX_BYTES), taken);
    if (total >= start && total < start + SHA_BLOCK_BYTES) scratch[total - start] = 0x80;
    if (index + 1 == sha_blocks(item)) {
        store_big(scratch + 112, total >> 61);
        store_big(scratch + 120, total << 3);
    }
    return scratch;
}

/* The round's variable of index k (a is 0, h is 7); the array turns instead of its contents. */
#define TURNED(k) s[((k) - i) & 7]

static inline void sha_compress(vec state[8], vec w[16])
{
    vec s[8];
    memcpy(s, state, sizeof s);
    for (int round = 0; round < 80; round += 16) {
        _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++)
        {
            vec a = TURNED(0), e = TURNED(4), word = w[i];
            vec next = w[(i + 1) % 16], late = w[(i + 14) % 16];
            vec t1 = TURNED(7) + (ROTATE(e, 14) ^ ROTATE(e, 18) ^ ROTATE(e, 41))
                + (TURNED(6) ^ (e & (TURNED(5) ^ TURNED(6)))) + SHA_ROUND[round + i] + word;
            vec t2 = (ROTATE(a, 28) ^ ROTATE(a, 34) ^ ROTATE(a, 39))
                + ((a & TURNED(1)) | (TURNED(2) & (a | TURNED(1))));
            TURNED(3) += t1;
            TURNED(7) = t1 + t2;
            w[i] = word + (ROTATE(next, 1) ^ ROTATE(next, 8) ^ next >> 7) + w[(i + 9) % 16]
                + (ROTATE(late, 19) ^ ROTATE(late, 61) ^ late >> 6);
        }
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

static void sha512_lanes(u8 (*out)[HASH_BYTES], const struct item *const items[LANES])
{
    vec state[8];
    u64 blocks[LANES], longest = 0;
    for (int lane = 0; lane < LANES; lane++) {
        blocks[lane] = sha_blocks(items[lane]);
        if (blocks[lane] > longest) longest = blocks[lane];
    }
    for (int i = 0; i < 8; i++) state[i] = (vec){0} + SHA_INITIAL[i];
    for (u64 index = 0; index < longest; index++) {
        u64 words[16][LANES] = {{0}}, running[LANES];
        for (int lane = 0; lane < LANES; lane++) {
            u8 scratch[SHA_BLOCK_BYTES];
            running[lane] = index < blocks[lane] ? ~0ULL : 0;
            if (!running[lane]) continue;
            const u8 *block = sha_block(items[lane], index, scratch);
            for (int i = 0; i < 16; i++) words[i][lane] = load_big(block + 8 * i);
        }
        vec w[16], before[8], mask = lane_load(running);
        for (int i = 0; i < 16; i++) w[i] = lane_load(words[i]);
        memcpy(before, state, sizeof before);
        sha_compress(state, w);
        for (int i = 0; i < 8; i++) state[i] = (before[i] & ~mask) | (state[i] & mask);
    }
    for (int i = 0; i < 8; i++) {
        u64 words[LANES];
        memcpy(words, &state[i], sizeof words);
        for (int lane = 0; lane < LANES; lane++) store_big(out[lane] + 8 * i, words[lane]);
    }
}

/* out[i] = SHA-512(R || A || M) of items[i]. */
static void hash_items(u8 (*out)[HASH_BYTES], const struct item *const *items, size_t count)
{
    for (size_t start = 0; start < count; start += LANES) {
        const struct item *group[LANES];
        u8 digests[LANES][HASH_BYTES];
        size_t live = count - start < LANES ? count - start : LANES;
        for (size_t lane = 0; lane < LANES; lane++)
            group[lane] = items[start + (lane < live ? lane : 0)];
        sha512_lanes(digests, group);
        memcpy(out + start, digests, live * HASH_BYTES);
    }
}

#endif
