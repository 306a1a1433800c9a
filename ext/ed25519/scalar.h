/* Scalars modulo the group's order L = 2^252 + 27742317777372353535851937790883648493. */
#ifndef CCP2P_ED25519_SCALAR_H
#define CCP2P_ED25519_SCALAR_H

#include "common.h"

static const u64 ORDER[5] = {0x5812631a5cf5d3ed, 0x14def9dea2f79cd6, 0, 0x1000000000000000, 0};
/* floor(2^512 / L), for Barrett's reduction. */
static const u64 ORDER_INVERSE[5] = {
    0xed9ce5a30a2c131b, 0x2106215d086329a7, 0xffffffffffffffeb, 0xffffffffffffffff, 0xf};

/* out[0 .. n + m) = a[0 .. n) * b[0 .. m) */
static inline void words_mul(u64 *out, const u64 *a, int n, const u64 *b, int m)
{
    memset(out, 0, (size_t)(n + m) * sizeof *out);
    for (int i = 0; i < n; i++) {
        u64 carry = 0;
        for (int j = 0; j < m; j++) {
            u128 sum = (u128)a[i] * b[j] + out[i + j] + carry;
            out[i + j] = (u64)sum;
            carry = (u64)(sum >> 64);
        }
        out[i + m] = carry;
    }
}

/* a -= b over n words; returns the borrow. */
static inline u64 words_sub(u64 *a, const u64 *b, int n)
{
    u64 borrow = 0;
    for (int i = 0; i < n; i++) {
        u128 difference = (u128)a[i] - b[i] - borrow;
        a[i] = (u64)difference;
        borrow = (u64)(difference >> 64) & 1;
    }
    return borrow;
}

static inline int words_below(const u64 *a, const u64 *b, int n)
{
    for (int i = n - 1; i >= 0; i--)
        if (a[i] != b[i]) return a[i] < b[i];
    return 0;
}

/* x mod L for 512 bits: Handbook of Applied Cryptography 14.42 with b = 2^64 and k = 4. The
 * estimate of the quotient is at most 2 too small. */
static void scalar_reduce(struct scalar *r, const u64 x[8])
{
    u64 product[10], remainder[5], multiple[10];
    words_mul(product, x + 3, 5, ORDER_INVERSE, 5);
    words_mul(multiple, product + 5, 5, ORDER, 5);
    memcpy(remainder, x, sizeof remainder);
    words_sub(remainder, multiple, 5);
    while (!words_below(remainder, ORDER, 5)) words_sub(remainder, ORDER, 5);
    memcpy(r->word, remainder, sizeof r->word);
}

static inline void scalar_of_hash(struct scalar *r, const u8 bytes[64])
{
    u64 x[8];
    for (int i = 0; i < 8; i++) x[i] = load_little(bytes + 8 * i);
    scalar_reduce(r, x);
}

static inline void scalar_of_bytes(struct scalar *r, const u8 bytes[32])
{
    for (int i = 0; i < 4; i++) r->word[i] = load_little(bytes + 8 * i);
}

static inline int scalar_is_reduced(const struct scalar *a)
{
    return words_below(a->word, ORDER, 4);
}

static inline void scalar_add(struct scalar *r, const struct scalar *a)
{
    u64 carry = 0;
    for (int i = 0; i < 4; i++) {
        u128 sum = (u128)r->word[i] + a->word[i] + carry;
        r->word[i] = (u64)sum;
        carry = (u64)(sum >> 64);
    }
    if (!scalar_is_reduced(r)) words_sub(r->word, ORDER, 4);
}

static inline void scalar_negate(struct scalar *r)
{
    struct scalar difference;
    if ((r->word[0] | r->word[1] | r->word[2] | r->word[3]) == 0) return;
    memcpy(difference.word, ORDER, sizeof difference.word);
    words_sub(difference.word, r->word, 4);
    *r = difference;
}

/* A random coefficient: 128 bits read as a two's complement integer, sign-extended. */
static inline void coefficient_of_bytes(struct scalar *r, const u8 bytes[16])
{
    r->word[0] = load_little(bytes);
    r->word[1] = load_little(bytes + 8);
    r->word[2] = r->word[3] = (u64)((int64_t)r->word[1] >> 63);
}

/* r = coefficient * a mod L */
static inline void scalar_mul_coefficient(
    struct scalar *r, const struct scalar *coefficient, const struct scalar *a)
{
    u64 magnitude[2] = {coefficient->word[0], coefficient->word[1]}, x[8] = {0};
    int negative = (int)(coefficient->word[3] >> 63);
    if (negative) {
        u64 low = ~magnitude[0] + 1;
        magnitude[1] = ~magnitude[1] + (low == 0);
        magnitude[0] = low;
    }
    words_mul(x, a->word, 4, magnitude, 2);
    scalar_reduce(r, x);
    if (negative) scalar_negate(r);
}

/* low + 2^128 * high = a reduced scalar, both signed and sign-extended as coefficients are. */
static inline void scalar_halve(
    struct scalar *low, struct scalar *high, const struct scalar *a)
{
    u64 sign = (u64)((int64_t)a->word[1] >> 63);
    *low = (struct scalar){{a->word[0], a->word[1], sign, sign}};
    *high = (struct scalar){{a->word[2] - sign, a->word[3] + (sign && a->word[2] == ~0ULL), 0, 0}};
}

/* How many windows of `width` bits hold a reduced scalar, or a coefficient, in signed digits. */
#define SCALAR_WINDOWS(width) ((254 + (width) - 1) / (width))
#define COEFFICIENT_WINDOWS(width) ((128 + (width) - 1) / (width))

/* How scalars become digits: windows, their width, and 2^(width-1) in every window but the top. */
struct recoding {
    int width, windows;
    u64 bias[4];
};

static struct recoding recoding_of(int width, int windows)
{
    struct recoding recoding = {width, windows, {0}};
    for (int i = 0; i + 1 < windows; i++) {
        int bit = i * width + width - 1;
        recoding.bias[bit / 64] |= 1ULL << bit % 64;
    }
    return recoding;
}

/* The low 64 bits of a two's complement integer, whose words go on with its sign, from `bit` on. */
static inline u64 bits_from(const u64 word[5], int bit)
{
    int at = bit / 64, shift = bit % 64;
    return word[at] >> shift | (word[at + 1] << 1 << (63 - shift));
}

/* Signed digits in [-2^(width-1), 2^(width-1)] whose sum of digit[i] * 2^(width * i) is `a` as a
 * two's complement integer below 2^254 in size. With the bias added no digit hangs on another: each
 * but the top one is then too large by 2^(width-1). */
static void scalar_recode(int16_t *digits, const struct scalar *a, const struct recoding *recoding)
{
    int width = recoding->width, top = recoding->windows - 1, half = 1 << (width - 1);
    u64 biased[5], mask = ((u64)1 << width) - 1;
    u128 carry = 0;
    for (int i = 0; i < 4; i++) {
        carry += (u128)a->word[i] + recoding->bias[i];
        biased[i] = (u64)carry;
        carry >>= 64;
    }
    biased[4] = (u64)((int64_t)biased[3] >> 63);
    for (int i = 0; i < top; i++)
        digits[i] = (int16_t)((int)(bits_from(biased, i * width) & mask) - half);
    digits[top] = (int16_t)bits_from(biased, top * width);
}

#endif
