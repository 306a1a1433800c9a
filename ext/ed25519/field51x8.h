/* The field of 2^255 - 19 in eight lanes of AVX-512 IFMA: five limbs of radix 2^51, multiplied by
 * vpmadd52lo and vpmadd52hi, which read only the low 52 bits of each factor.
 *
 * So every factor must stay below 2^52, and add and sub carry at once: here each level of bounds
 * is tight, limbs below 2^51 + 2^17. For mul and sq: 52-bit halves sum at most five times in a
 * column, and the high half counts twice (2^52 = 2 * 2^51): a column is below 5 * 2^52 + 2 * 5 *
 * 2^52 < 2^56; folding ten columns to five multiplies the upper ones by 19, so what is carried is
 * below 20 * 2^56 < 2^60.4. Its carry is below 2^9.4, times 19 below 2^13.7: tight. After add (or
 * sub with 2p) a limb is below 2^51 + 2^52 + 2^18, its carry at most 3, and the result tight.
 *
 * Two instructions a cycle are the limit, whichever they are: so a column's high halves are summed
 * first and doubled once, before its low halves are added to the same register. */
#ifndef CCP2P_ED25519_FIELD51X8_H
#define CCP2P_ED25519_FIELD51X8_H

#include "vectors.h"

#define LANES 8
#define GROUPS 2
#define ROW_WORDS 20
#define UNROLL _Pragma("GCC unroll 10")

typedef vec8 vec;
typedef struct {
    vec v[LIMBS51];
} fe;

#if defined(__AVX512IFMA__)
#include <immintrin.h>
static inline vec madd_low(vec sum, vec a, vec b)
{
    return (vec)_mm512_madd52lo_epu64((__m512i)sum, (__m512i)a, (__m512i)b);
}
static inline vec madd_high(vec sum, vec a, vec b)
{
    return (vec)_mm512_madd52hi_epu64((__m512i)sum, (__m512i)a, (__m512i)b);
}
/* By name: a product with a constant would become five shifts and sums. */
static inline vec times_19(vec a)
{
    return (vec)_mm512_maskz_mullo_epi64(0xff, (__m512i)a, _mm512_set1_epi64(19));
}
static inline vec blend(vec a, vec b, vec mask)
{
    return (vec)_mm512_mask_blend_epi64(
        _mm512_movepi64_mask((__m512i)mask), (__m512i)a, (__m512i)b);
}
static inline vec lane_signs(const int16_t *digits)
{
    return (vec)_mm512_movm_epi64(_mm_movepi16_mask(_mm_loadu_si128((const __m128i *)digits)));
}
static inline vec load_halves(const u64 *low, const u64 *high)
{
    __m512i lower = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)low));
    return (vec)_mm512_inserti64x4(lower, _mm256_loadu_si256((const __m256i *)high), 1);
}
static inline void store_halves(u64 *low, u64 *high, vec a)
{
    _mm256_storeu_si256((__m256i *)low, _mm512_castsi512_si256((__m512i)a));
    _mm256_storeu_si256((__m256i *)high, _mm512_extracti64x4_epi64((__m512i)a, 1));
}
#else
/* The same instructions written out, so that this backend's logic runs on any CPU. */
#define MASK52 ((1ULL << 52) - 1)
static inline vec madd_low(vec sum, vec a, vec b)
{
    for (int lane = 0; lane < LANES; lane++)
        sum[lane] += (u64)((u128)(a[lane] & MASK52) * (b[lane] & MASK52)) & MASK52;
    return sum;
}
static inline vec madd_high(vec sum, vec a, vec b)
{
    for (int lane = 0; lane < LANES; lane++)
        sum[lane] += (u64)((u128)(a[lane] & MASK52) * (b[lane] & MASK52) >> 52);
    return sum;
}
static inline vec times_19(vec a)
{
    return 19 * a;
}
static inline vec blend(vec a, vec b, vec mask)
{
    return (a & ~mask) | (b & mask);
}
static inline vec lane_signs(const int16_t *digits)
{
    vec signs;
    for (int lane = 0; lane < LANES; lane++) signs[lane] = digits[lane] < 0 ? ~0ULL : 0;
    return signs;
}
static inline vec load_halves(const u64 *low, const u64 *high)
{
    vec a;
    memcpy(&a, low, sizeof a / 2);
    memcpy((char *)&a + sizeof a / 2, high, sizeof a / 2);
    return a;
}
static inline void store_halves(u64 *low, u64 *high, vec a)
{
    memcpy(low, &a, sizeof a / 2);
    memcpy(high, (const char *)&a + sizeof a / 2, sizeof a / 2);
}
#endif

#define TIGHT ((1ULL << 51) + (1ULL << 17))
#define FACTOR (1ULL << 52)

static inline void fe_check(const fe *a, u64 below)
{
    for (int i = 0; i < LIMBS51; i++)
        for (int lane = 0; lane < LANES; lane++) CHECK_BOUND(a->v[i][lane] < below);
    (void)a;
    (void)below;
}

static inline void fe_tighten(fe *r, const fe *a)
{
    vec carry[LIMBS51];
    UNROLL for (int i = 0; i < LIMBS51; i++) carry[i] = a->v[i] >> 51;
    r->v[0] = madd_low(a->v[0] & MASK51, carry[4], (vec){0} + 19);
    UNROLL for (int i = 1; i < LIMBS51; i++) r->v[i] = (a->v[i] & MASK51) + carry[i - 1];
    fe_check(r, TIGHT);
}

static inline void fe_narrow(fe *r, const fe *a)
{
    *r = *a;
}

static inline void fe_add(fe *r, const fe *a, const fe *b)
{
    fe sum;
    UNROLL for (int i = 0; i < LIMBS51; i++) sum.v[i] = a->v[i] + b->v[i];
    fe_tighten(r, &sum);
}

static inline void fe_sub(fe *r, const fe *a, const fe *b)
{
    fe sum;
    fe_check(b, TIGHT);
    sum.v[0] = a->v[0] + ((1ULL << 52) - 38) - b->v[0];
    UNROLL for (int i = 1; i < LIMBS51; i++)
        sum.v[i] = a->v[i] + ((1ULL << 52) - 2) - b->v[i];
    fe_tighten(r, &sum);
}

/* For sums and differences alone, which carry. */
static inline void fe_twice(fe *r, const fe *a)
{
    UNROLL for (int i = 0; i < LIMBS51; i++) r->v[i] = a->v[i] + a->v[i];
}

/* 2p - a, below 2^52 as it is: for products alone. */
static inline void fe_negate(fe *r, const fe *a)
{
    fe_check(a, TIGHT);
    r->v[0] = ((1ULL << 52) - 38) - a->v[0];
    UNROLL for (int i = 1; i < LIMBS51; i++) r->v[i] = ((1ULL << 52) - 2) - a->v[i];
}

/* Ten columns become five, the upper ones times 19 (2^255 = 19). */
static inline void fe_columns_reduce(fe *r, const vec z[2 * LIMBS51])
{
    fe sum;
    UNROLL for (int i = 0; i < LIMBS51; i++) {
        sum.v[i] = z[i] + times_19(z[i + LIMBS51]);
        for (int lane = 0; lane < LANES; lane++) CHECK_BOUND(sum.v[i][lane] < 1ULL << 61);
    }
    fe_tighten(r, &sum);
}

/* Not inlined, nor is fe_sq: so measured for the other two fields (instruction cache). */
static __attribute__((noinline)) void fe_mul(fe *r, const fe *a, const fe *b)
{
    fe_check(a, FACTOR);
    fe_check(b, FACTOR);
    vec z[2 * LIMBS51] = {{0}};
    UNROLL for (int i = 0; i < LIMBS51; i++)
        UNROLL for (int j = 0; j < LIMBS51; j++)
            z[i + j + 1] = madd_high(z[i + j + 1], a->v[i], b->v[j]);
    UNROLL for (int i = 1; i < 2 * LIMBS51; i++) z[i] += z[i];
    UNROLL for (int i = 0; i < LIMBS51; i++)
        UNROLL for (int j = 0; j < LIMBS51; j++)
            z[i + j] = madd_low(z[i + j], a->v[i], b->v[j]);
    fe_columns_reduce(r, z);
}

/* Products of two different limbs count twice, and are doubled as sums: a doubled limb could pass
 * 52 bits. What ends in a column is what mul would sum there. */
static __attribute__((noinline)) void fe_sq(fe *r, const fe *a)
{
    fe_check(a, FACTOR);
    vec z[2 * LIMBS51] = {{0}};
    UNROLL for (int i = 0; i < LIMBS51; i++)
        UNROLL for (int j = i + 1; j < LIMBS51; j++)
            z[i + j + 1] = madd_high(z[i + j + 1], a->v[i], a->v[j]);
    UNROLL for (int i = 2; i < 2 * LIMBS51 - 1; i++) z[i] += z[i];
    UNROLL for (int i = 0; i < LIMBS51; i++) {
        z[2 * i + 1] = madd_high(z[2 * i + 1], a->v[i], a->v[i]);
        UNROLL for (int j = i + 1; j < LIMBS51; j++)
            z[i + j] = madd_low(z[i + j], a->v[i], a->v[j]);
    }
    UNROLL for (int i = 1; i < 2 * LIMBS51; i++) z[i] += z[i];
    UNROLL for (int i = 0; i < LIMBS51; i++) z[2 * i] = madd_low(z[2 * i], a->v[i], a->v[i]);
    fe_columns_reduce(r, z);
}

static inline void fe_select(fe *r, const fe *a, const fe *b, vec mask)
{
    UNROLL for (int i = 0; i < LIMBS51; i++) r->v[i] = blend(a->v[i], b->v[i], mask);
}

static inline void fe_broadcast(fe *r, const u64 word[LIMBS51])
{
    UNROLL for (int i = 0; i < LIMBS51; i++) r->v[i] = (vec){0} + word[i];
}

/* Rows are read and written to a multiple of four words: their padding. */
static inline void fe_load_rows(fe *r, int elements, const u64 *const rows[LANES])
{
    vec *words = (vec *)r;
    UNROLL for (int i = 0; i < LIMBS51 * elements; i += 4) {
        vec in[4], out[4];
        UNROLL for (int lane = 0; lane < 4; lane++)
            in[lane] = load_halves(rows[lane] + i, rows[lane + 4] + i);
        transpose_halves(out, in);
        UNROLL for (int j = 0; j < 4; j++)
            if (i + j < LIMBS51 * elements) words[i + j] = out[j];
    }
}

static inline void fe_store_rows(u64 *const rows[LANES], const fe *a, int elements)
{
    const vec *words = (const vec *)a;
    UNROLL for (int i = 0; i < LIMBS51 * elements; i += 4) {
        vec in[4], out[4];
        UNROLL for (int j = 0; j < 4; j++)
            in[j] = i + j < LIMBS51 * elements ? words[i + j] : (vec){0};
        transpose_halves(out, in);
        UNROLL for (int lane = 0; lane < 4; lane++)
            store_halves(rows[lane] + i, rows[lane + 4] + i, out[lane]);
    }
}

static inline vec lane_load(const u64 *words)
{
    vec out;
    memcpy(&out, words, sizeof out);
    return out;
}

#endif
