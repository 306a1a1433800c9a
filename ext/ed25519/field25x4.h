/* The field of 2^255 - 19 in four lanes of AVX2: ten limbs of radix 2^25.5 (26 and 25 bits in
 * turn), multiplied 32 by 32 to 64 bits.
 *
 * Bounds, e for even limbs (26 bits), o for odd ones (25 bits), a hair omitted:
 *   tight: e < 2^26 + 2^17, o < 2^25 + 2^17;
 *   loose: tight + 2p - tight: e < 2^27 + 2^26 + 2^17 < 2^27.59, o < 2^26.59;
 *   wide: at most (2 tight) + (tight + 2p - tight): e < 2^28.34, o < 2^27.34.
 * mul(wide f, loose g): every factor fits 32 bits, since 19 * 2^27.59 < 2^31.84 and an odd f is
 * doubled to < 2^28.34. A column sums at most 5 even-even products, 4 of them times 19, or 5
 * odd-odd ones times 2 * 19; with |o| = |e| / 2 both stay below (77 + 47.5) * 2^28.34 * 2^27.59
 * < 2^62.9. sq(loose) needs 4 * o < 2^28.6 and
 * 19 * e < 2^31.84, and sums below 2^62.2. */
#ifndef CCP2P_ED25519_FIELD25X4_H
#define CCP2P_ED25519_FIELD25X4_H

#include "vectors.h"

#define LANES 4
#define GROUPS 2
#define ROW_WORDS 20
#define LIMBS 10
#define MASK25 ((1ULL << 25) - 1)
#define MASK26 ((1ULL << 26) - 1)
#define UNROLL _Pragma("GCC unroll 10")

typedef vec4 vec;
typedef struct {
    vec v[LIMBS];
} fe;

#if defined(__AVX2__)
#include <immintrin.h>
static inline vec mul32(vec a, vec b)
{
    return (vec)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}
#else
static inline vec mul32(vec a, vec b)
{
    return (a & 0xffffffff) * (b & 0xffffffff);
}
#endif

static inline void fe_check(const fe *a, u64 even_below)
{
    for (int i = 0; i < LIMBS; i++)
        for (int lane = 0; lane < LANES; lane++)
            CHECK_BOUND(a->v[i][lane] < (i % 2 ? even_below / 2 + (1 << 17) : even_below));
    (void)a;
    (void)even_below;
}

#define WIDE_EVEN 340000000ULL  /* 2^28.34 */
#define LOOSE_EVEN 202000000ULL /* 2^27.59 */

static inline void fe_add(fe *r, const fe *a, const fe *b)
{
    UNROLL for (int i = 0; i < LIMBS; i++) r->v[i] = a->v[i] + b->v[i];
}

static inline void fe_sub(fe *r, const fe *a, const fe *b)
{
    fe_check(b, (1ULL << 27) - 38 - (1 << 17));
    r->v[0] = a->v[0] + ((1ULL << 27) - 38) - b->v[0];
    UNROLL for (int i = 1; i < LIMBS; i++)
        r->v[i] = a->v[i] + (i % 2 ? (1ULL << 26) - 2 : (1ULL << 27) - 2) - b->v[i];
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
    vec carry[LIMBS];
    UNROLL for (int i = 0; i < LIMBS; i++) carry[i] = a->v[i] >> (i % 2 ? 25 : 26);
    vec top = carry[9];
    r->v[0] = (a->v[0] & MASK26) + (top << 4) + (top << 1) + top;
    UNROLL for (int i = 1; i < LIMBS; i++)
        r->v[i] = (a->v[i] & (i % 2 ? MASK25 : MASK26)) + carry[i - 1];
}

static inline void fe_narrow(fe *r, const fe *a)
{
    fe_tighten(r, a);
}

/* Columns below 2^63 become tight: two interleaved chains, the last column folding into the first.
 * The carry out of column 9 is below 2^38, so column 0 is then below 2^42.3 and carries 2^16.3. */
static inline void fe_columns_reduce(fe *r, vec h[LIMBS])
{
#define CARRY(i) \
    do { \
        h[i + 1] += h[i] >> (i % 2 ? 25 : 26); \
        h[i] &= i % 2 ? MASK25 : MASK26; \
    } while (0)
    CARRY(0);
    CARRY(4);
    CARRY(1);
    CARRY(5);
    CARRY(2);
    CARRY(6);
    CARRY(3);
    CARRY(7);
    CARRY(4);
    CARRY(8);
    vec top = h[9] >> 25;
    h[9] &= MASK25;
    h[0] += (top << 4) + (top << 1) + top;
    CARRY(0);
#undef CARRY
    UNROLL for (int i = 0; i < LIMBS; i++) r->v[i] = h[i];
}

/* Holds the compiler to one row of products at a time, with the ten columns in registers: left
 * alone it computes all products first and spills them, which doubles the time. */
#if defined(__AVX2__)
#define ROW_BARRIER(h, factor) \
    __asm__ volatile("" \
                     : "+x"(factor), "+x"(h[0]), "+x"(h[1]), "+x"(h[2]), "+x"(h[3]), "+x"(h[4]), \
                       "+x"(h[5]), "+x"(h[6]), "+x"(h[7]), "+x"(h[8]), "+x"(h[9]))
#else
#define ROW_BARRIER(h, factor) ((void)(factor))
#endif

/* Not inlined, nor is fe_sq: point operations would outgrow the instruction cache. */
static __attribute__((noinline)) void fe_mul(fe *r, const fe *a, const fe *b)
{
    fe_check(a, WIDE_EVEN);
    fe_check(b, LOOSE_EVEN);
    const vec nineteen = (vec){0} + 19;
    vec b19[LIMBS], h[LIMBS] = {{0}};
    UNROLL for (int i = 1; i < LIMBS; i++) b19[i] = mul32(b->v[i], nineteen);
    UNROLL for (int i = 0; i < LIMBS; i++) {
        vec factor = a->v[i];
        ROW_BARRIER(h, factor);
        vec twice = factor + factor;
        UNROLL for (int j = 0; j < LIMBS; j++)
            h[(i + j) % LIMBS] +=
                mul32(i % 2 && j % 2 ? twice : factor, i + j >= LIMBS ? b19[j] : b->v[j]);
    }
    fe_columns_reduce(r, h);
}

static __attribute__((noinline)) void fe_sq(fe *r, const fe *a)
{
    fe_check(a, LOOSE_EVEN);
    const vec nineteen = (vec){0} + 19;
    vec a19[LIMBS], h[LIMBS] = {{0}};
    UNROLL for (int i = 5; i < LIMBS; i++) a19[i] = mul32(a->v[i], nineteen);
    UNROLL for (int i = 0; i < LIMBS; i++) {
        vec factor = a->v[i];
        ROW_BARRIER(h, factor);
        vec twice = factor + factor, four_times = twice + twice;
        UNROLL for (int j = i; j < LIMBS; j++) {
            vec left = i == j ? (i % 2 ? twice : factor) : (i % 2 && j % 2 ? four_times : twice);
            h[(i + j) % LIMBS] += mul32(left, i + j >= LIMBS ? a19[j] : a->v[j]);
        }
    }
    fe_columns_reduce(r, h);
}

static inline void fe_select(fe *r, const fe *a, const fe *b, vec mask)
{
    UNROLL for (int i = 0; i < LIMBS; i++) r->v[i] = (a->v[i] & ~mask) | (b->v[i] & mask);
}

static inline void fe_broadcast(fe *r, const u64 word[LIMBS51])
{
    UNROLL for (int i = 0; i < LIMBS51; i++) {
        vec both = (vec){0} + word[i];
        r->v[2 * i] = both & MASK26;
        r->v[2 * i + 1] = both >> 26;
    }
}

/* Rows are read to a multiple of four words: the padding of an affine row, nothing otherwise. */
static inline void fe_load_rows(fe *r, int elements, const u64 *const rows[LANES])
{
    vec words[ROW_WORDS];
    UNROLL for (int i = 0; i < LIMBS51 * elements; i += LANES) {
        vec in[LANES];
        UNROLL for (int lane = 0; lane < LANES; lane++)
            memcpy(&in[lane], rows[lane] + i, sizeof in[lane]);
        transpose4(words + i, in);
    }
    UNROLL for (int e = 0; e < elements; e++)
        UNROLL for (int i = 0; i < LIMBS51; i++) {
            r[e].v[2 * i] = words[LIMBS51 * e + i] & MASK26;
            r[e].v[2 * i + 1] = words[LIMBS51 * e + i] >> 26;
        }
}

static inline void fe_store_rows(u64 *const rows[LANES], const fe *a, int elements)
{
    vec words[ROW_WORDS] = {{0}};
    UNROLL for (int e = 0; e < elements; e++)
        UNROLL for (int i = 0; i < LIMBS51; i++)
            words[LIMBS51 * e + i] = a[e].v[2 * i] + (a[e].v[2 * i + 1] << 26);
    UNROLL for (int i = 0; i < LIMBS51 * elements; i += LANES) {
        vec out[LANES];
        transpose4(out, words + i);
        UNROLL for (int lane = 0; lane < LANES; lane++)
            memcpy(rows[lane] + i, &out[lane], sizeof out[lane]);
    }
}

static inline vec lane_signs(const int16_t *digits)
{
    digits4 packed;
    memcpy(&packed, digits, sizeof packed);
    return (vec)(__builtin_convertvector(packed, signed4) < 0);
}

static inline vec lane_load(const u64 *words)
{
    vec out;
    memcpy(&out, words, sizeof out);
    return out;
}

#endif
