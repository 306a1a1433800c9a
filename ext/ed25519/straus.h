/* Straus's method: one chain of doublings for all terms, each with a table of its odd multiples
 * and digits in width-5 non-adjacent form. In one lane only: lanes would need dense digits. */
#ifndef CCP2P_ED25519_STRAUS_H
#define CCP2P_ED25519_STRAUS_H

#include "backend.h"
#include "point.h"

#define NAF_DIGITS 256
#define ODD_MULTIPLES 8 /* 1, 3, ... 15 */

struct straus_table {
    table_lanes multiple[ODD_MULTIPLES];
};

/* The tables, then the digits: all terms' digits of one bit lie together. */
size_t straus_bytes(size_t count)
{
    return count * (sizeof(struct straus_table) + NAF_DIGITS);
}

/* Writes the width-5 NAF of a two's complement integer of fewer than 255 bits, digit i at
 * digits[i * stride], zeros left out: a digit is zero or odd, at most 15 in size, and of any five
 * in a row at most one is not zero. A negative number's last digit is negative, so the sign
 * extension above it vanishes. */
static void naf_recode(int8_t *digits, size_t stride, const struct scalar *a)
{
    u64 carry = 0;
    for (int bit = 0; bit < NAF_DIGITS;) {
        int word = bit / 64, shift = bit % 64;
        u64 bits = a->word[word] >> shift;
        if (shift > 64 - 5 && word < 3) bits |= a->word[word + 1] << (64 - shift);
        u64 window = (bits & 31) + carry;
        if (window % 2 == 0) {
            bit++;
            continue;
        }
        carry = window >= 16;
        digits[(size_t)bit * stride] = (int8_t)((int)window - (carry ? 32 : 0));
        bit += 5;
    }
}

static void odd_multiples(table_lanes out[ODD_MULTIPLES], const struct affine *base)
{
    affine_lanes one;
    table_lanes two;
    point p, doubled;
    memcpy(&one, base->word, sizeof one);
    point_of_affine(&p, &one);
    point_double(&doubled, &p);
    table_of_point(&two, &doubled);
    table_of_point(&out[0], &p);
    for (int i = 1; i < ODD_MULTIPLES; i++) {
        point_add_table(&p, &p, &two);
        table_of_point(&out[i], &p);
    }
}

/* p += digit * P. Negating the entry swaps its sums, and F with G: done on pointers, since the
 * sign is a coin toss that no branch predictor learns. */
static inline void add_multiple(point *p, const struct straus_table *table, int digit)
{
    const int negative = digit < 0;
    const table_lanes *entry = &table->multiple[(negative ? -digit : digit) / 2];
    const fe *plus = negative ? &entry->minus : &entry->plus;
    const fe *minus = negative ? &entry->plus : &entry->minus;
    fe a, b, c, d, e, h, sum, fg[2];
    fe_sub(&sum, &p->y, &p->x);
    fe_mul(&a, &sum, minus);
    fe_add(&sum, &p->y, &p->x);
    fe_mul(&b, &sum, plus);
    fe_mul(&c, &p->t, &entry->t2d);
    fe_mul(&sum, &p->z, &entry->z);
    fe_add(&d, &sum, &sum);
    fe_sub(&fg[negative], &d, &c);
    fe_add(&fg[!negative], &d, &c);
    fe_sub(&e, &b, &a);
    fe_add(&h, &b, &a);
    fe_mul(&p->x, &fg[0], &e);
    fe_mul(&p->y, &fg[1], &h);
    fe_mul(&p->z, &fg[0], &fg[1]);
    fe_mul(&p->t, &e, &h);
}

int straus_vanishes(
    const struct affine *const *points, const struct scalar *scalars, size_t count,
    void *workspace)
{
    struct straus_table *tables = workspace;
    int8_t *digits = (int8_t *)(tables + count);
    point p;
    u8 verdict[LANES];
    memset(digits, 0, count * NAF_DIGITS);
    for (size_t i = 0; i < count; i++) {
        odd_multiples(tables[i].multiple, points[i]);
        naf_recode(digits + i, count, &scalars[i]);
    }
    point_identity(&p);
    for (int bit = NAF_DIGITS - 1; bit >= 0; bit--) {
        const int8_t *row = digits + (size_t)bit * count;
        point_double(&p, &p);
        for (size_t i = 0; i < count; i++)
            if (row[i] != 0) add_multiple(&p, &tables[i], row[i]);
    }
    for (int i = 0; i < 3; i++) point_double(&p, &p);
    lanes_identity(verdict, &p);
    return verdict[0];
}

#endif
