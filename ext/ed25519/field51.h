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
 * its carry 64 bits, which the next column has room for; the last column has no factor 19, so its
 * carry is below 2^59.4, and 19 times that and a limb fit too. */
#ifndef CCP2P_ED25519_FIELD51_H
#define CCP2P_ED25519_FIELD51_H

#include "common.h"

#define LANES 1
#define GROUPS 4 /* decompressed abreast: as many independent chains as keep the multiplier busy */
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

static inline void fe_twice(fe *r, const fe *a)
{
    fe_add(r, a, a);
}

static inline void fe_negate(fe *r, const fe *a)
{
    static const fe ZERO;
    fe_sub(r, &ZERO, a);
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

/* What all products end with: each column carries into the next as soon as it is summed, since a
 * column that waits for the others takes two registers. */
#define NEXT_LIMB(limb, carry, column) \
    do { \
        limb = (u64)(column) & MASK51; \
        carry = (u64)((column) >> 51); \
    } while (0)

static inline void fe_set_carried(fe *r, u64 r0, u64 r1, u64 r2, u64 r3, u64 r4, u64 carry)
{
    r0 += 19 * carry;
    r->v[0] = r0 & MASK51;
    r->v[1] = r1 + (r0 >> 51);
    r->v[2] = r2;
    r->v[3] = r3;
    r->v[4] = r4;
}

/* Not inlined, nor is fe_sq: point operations would outgrow the instruction cache, a loss of a
 * fifth as measured. */
static __attribute__((noinline)) void fe_mul(fe *r, const fe *a, const fe *b)
{
    fe_check(a, 1ULL << 54);
    fe_check(b, 1ULL << 54);
    const u64 *f = a->v, *g = b->v;
    const u64 h1 = 19 * f[1], h2 = 19 * f[2], h3 = 19 * f[3], h4 = 19 * f[4];
    u64 r0, r1, r2, r3, r4, carry;
    u128 t;
    t = (u128)f[0] * g[0] + (u128)h1 * g[4] + (u128)h2 * g[3] + (u128)h3 * g[2] + (u128)h4 * g[1];
    NEXT_LIMB(r0, carry, t);
    t = (u128)f[0] * g[1] + (u128)f[1] * g[0] + (u128)h2 * g[4] + (u128)h3 * g[3]
        + (u128)h4 * g[2] + carry;
    NEXT_LIMB(r1, carry, t);
    t = (u128)f[0] * g[2] + (u128)f[1] * g[1] + (u128)f[2] * g[0] + (u128)h3 * g[4]
        + (u128)h4 * g[3] + carry;
    NEXT_LIMB(r2, carry, t);
    t = (u128)f[0] * g[3] + (u128)f[1] * g[2] + (u128)f[2] * g[1] + (u128)f[3] * g[0]
        + (u128)h4 * g[4] + carry;
    NEXT_LIMB(r3, carry, t);
    t = (u128)f[0] * g[4] + (u128)f[1] * g[3] + (u128)f[2] * g[2] + (u128)f[3] * g[1]
        + (u128)f[4] * g[0] + carry;
    NEXT_LIMB(r4, carry, t);
    fe_set_carried(r, r0, r1, r2, r3, r4, carry);
}

static __attribute__((noinline)) void fe_sq(fe *r, const fe *a)
{
    fe_check(a, 1ULL << 54);
    const u64 *f = a->v;
    const u64 f0 = 2 * f[0], f1 = 2 * f[1], f2 = 2 * f[2], h3 = 19 * f[3], h4 = 19 * f[4];
    u64 r0, r1, r2, r3, r4, carry;
    u128 t;
    t = (u128)f[0] * f[0] + (u128)f1 * h4 + (u128)f2 * h3;
    NEXT_LIMB(r0, carry, t);
    t = (u128)f0 * f[1] + (u128)f2 * h4 + (u128)f[3] * h3 + carry;
    NEXT_LIMB(r1, carry, t);
    t = (u128)f0 * f[2] + (u128)f[1] * f[1] + (u128)(2 * f[3]) * h4 + carry;
    NEXT_LIMB(r2, carry, t);
    t = (u128)f0 * f[3] + (u128)f1 * f[2] + (u128)f[4] * h4 + carry;
    NEXT_LIMB(r3, carry, t);
    t = (u128)f0 * f[4] + (u128)f1 * f[3] + (u128)f[2] * f[2] + carry;
    NEXT_LIMB(r4, carry, t);
    fe_set_carried(r, r0, r1, r2, r3, r4, carry);
}

#undef NEXT_LIMB

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
