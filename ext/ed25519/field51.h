/* The field of 2^255 - 19 in one lane: five limbs of radix 2^51, products in 128 bits.
 *
 * Three levels of bounds, the same for every backend:
 *   tight: what mul, sq and tighten yield, limbs below 2^51 + 2^17;
 *   loose: a sum or difference of two tight elements;
 *   wide: a sum or difference of a loose and a tight element, or of two loose ones.
 * add takes tight or loose, sub takes tight to subtract, mul(wide, loose), sq(loose).
 *
 * Here everything up to 2^54 may be multiplied, and wide stays below 4 * 2^51 + 2^53 < 2^54. With
 * limbs below 2^54 a product column is below (1 + 4 * 19) * 2^108 < 2^114.3: it fits 128 bits and
 * its carry 64 bits; the last column has no factor 19, so its carry is below 2^59.4, and 19 times
 * that fits too. */
#ifndef CCP2P_ED25519_FIELD51_H
#define CCP2P_ED25519_FIELD51_H

#include "common.h"

#define LANES 1
#define ROW_WORDS 20

typedef u64 vec;
typedef struct {
    u64 v[LIMBS51];
} fe;

static inline void fe_check(const fe *a, u64 below)
{
    for (int i = 0; i < LIMBS51; i++) CHECK_BOUND(a->v[i] < below);
    (void)a;
    (void)below;
}

static inline void fe_add(fe *r, const fe *a, const fe *b)
{
    for (int i = 0; i < LIMBS51; i++) r->v[i] = a->v[i] + b->v[i];
}

/* a + 2p - b; the limbs of 2p exceed those of a tight b. */
static inline void fe_sub(fe *r, const fe *a, const fe *b)
{
    fe_check(b, (1ULL << 52) - 38);
    r->v[0] = a->v[0] + ((1ULL << 52) - 38) - b->v[0];
    for (int i = 1; i < LIMBS51; i++) r->v[i] = a->v[i] + ((1ULL << 52) - 2) - b->v[i];
}

static inline void fe_tighten(fe *r, const fe *a)
{
    u64 carry[LIMBS51];
    for (int i = 0; i < LIMBS51; i++) carry[i] = a->v[i] >> 51;
    r->v[0] = (a->v[0] & MASK51) + 19 * carry[4];
    for (int i = 1; i < LIMBS51; i++) r->v[i] = (a->v[i] & MASK51) + carry[i - 1];
}

/* Makes a wide element loose, where a backend needs that before it multiplies two wide ones. */
static inline void fe_narrow(fe *r, const fe *a)
{
    *r = *a;
}

static inline void fe_columns_reduce(fe *r, u128 t[LIMBS51])
{
    for (int i = 0; i < LIMBS51 - 1; i++) t[i + 1] += ((u64)(t[i] >> 64) << 13) + ((u64)t[i] >> 51);
    u64 carry = (((u64)(t[4] >> 64) << 13) + ((u64)t[4] >> 51)) * 19;
    u64 low = ((u64)t[0] & MASK51) + (carry & MASK51);
    r->v[0] = low & MASK51;
    r->v[1] = ((u64)t[1] & MASK51) + (carry >> 51) + (low >> 51);
    for (int i = 2; i < LIMBS51; i++) r->v[i] = (u64)t[i] & MASK51;
}

/* Not inlined, nor is fe_sq: point operations would outgrow the instruction cache, a loss of a
 * fifth as measured. */
static __attribute__((noinline)) void fe_mul(fe *r, const fe *a, const fe *b)
{
    fe_check(a, 1ULL << 54);
    fe_check(b, 1ULL << 54);
    const u64 *f = a->v, *g = b->v;
    u64 g1 = 19 * g[1], g2 = 19 * g[2], g3 = 19 * g[3], g4 = 19 * g[4];
    u128 t[LIMBS51];
    t[0] = (u128)f[0] * g[0] + (u128)f[1] * g4 + (u128)f[2] * g3 + (u128)f[3] * g2
        + (u128)f[4] * g1;
    t[1] = (u128)f[0] * g[1] + (u128)f[1] * g[0] + (u128)f[2] * g4 + (u128)f[3] * g3
        + (u128)f[4] * g2;
    t[2] = (u128)f[0] * g[2] + (u128)f[1] * g[1] + (u128)f[2] * g[0] + (u128)f[3] * g4
        + (u128)f[4] * g3;
    t[3] = (u128)f[0] * g[3] + (u128)f[1] * g[2] + (u128)f[2] * g[1] + (u128)f[3] * g[0]
        + (u128)f[4] * g4;
    t[4] = (u128)f[0] * g[4] + (u128)f[1] * g[3] + (u128)f[2] * g[2] + (u128)f[3] * g[1]
        + (u128)f[4] * g[0];
    fe_columns_reduce(r, t);
}

static __attribute__((noinline)) void fe_sq(fe *r, const fe *a)
{
    fe_check(a, 1ULL << 54);
    const u64 *f = a->v;
    u64 f0 = 2 * f[0], f1 = 2 * f[1], f3 = 19 * f[3], f4 = 19 * f[4];
    u128 t[LIMBS51];
    t[0] = (u128)f[0] * f[0] + (u128)f1 * f4 + (u128)(2 * f[2]) * f3;
    t[1] = (u128)f0 * f[1] + (u128)(2 * f[2]) * f4 + (u128)f[3] * f3;
    t[2] = (u128)f0 * f[2] + (u128)f[1] * f[1] + (u128)(2 * f[3]) * f4;
    t[3] = (u128)f0 * f[3] + (u128)f1 * f[2] + (u128)f[4] * f4;
    t[4] = (u128)f0 * f[4] + (u128)f1 * f[3] + (u128)f[2] * f[2];
    fe_columns_reduce(r, t);
}

/* r = mask ? b : a, a mask being all ones or all zeros. */
static inline void fe_select(fe *r, const fe *a, const fe *b, vec mask)
{
    for (int i = 0; i < LIMBS51; i++) r->v[i] = a->v[i] ^ ((a->v[i] ^ b->v[i]) & mask);
}

static inline void fe_broadcast(fe *r, const u64 word[LIMBS51])
{
    memcpy(r->v, word, sizeof r->v);
}

static inline void fe_load_rows(fe *r, int elements, const u64 *const rows[LANES])
{
    memcpy(r, rows[0], (size_t)elements * sizeof *r);
}

static inline void fe_store_rows(u64 *const rows[LANES], const fe *a, int elements)
{
    memcpy(rows[0], a, (size_t)elements * sizeof *a);
}

/* All ones in the lanes whose digit is negative. */
static inline vec lane_signs(const int16_t *digits)
{
    return (u64)((int64_t)digits[0] >> 63);
}

static inline vec lane_load(const u64 *words)
{
    return words[0];
}

#endif
