/* Straus's method: one chain of doublings for all terms, each with a table of its odd multiples
 * and digits in width-5 non-adjacent form. In one lane only: lanes would need dense digits. */
#ifndef CCP2P_ED25519_STRAUS_H
#define CCP2P_ED25519_STRAUS_H

#include "backend.h"
#include "point.h"

#define NAF_DIGITS 256
#define ODD_MULTIPLES 8 /* 1, 3, ... 15 */

struct straus_term {
    table_lanes multiple[ODD_MULTIPLES];
    int8_t digits[NAF_DIGITS];
};

size_t straus_bytes(size_t count)
{
    return count * sizeof(struct straus_term);
}

/* Width-5 NAF of a two's complement integer of fewer than 255 bits: a digit is zero or odd, at most
 * 15 in size, and of any five in a row at most one is not zero. A negative number's last digit is
 * negative, so the sign extension above it vanishes. */
static void naf_recode(int8_t digits[NAF_DIGITS], const struct scalar *a)
{
    u64 carry = 0;
    memset(digits, 0, NAF_DIGITS);
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
        digits[bit] = (int8_t)((int)window - (carry ? 32 : 0));
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

int straus_vanishes(
    const struct affine *const *points, const struct scalar *scalars, size_t count,
    void *workspace)
{
    struct straus_term *terms = workspace;
    point p;
    u8 verdict[LANES];
    for (size_t i = 0; i < count; i++) {
        odd_multiples(terms[i].multiple, points[i]);
        naf_recode(terms[i].digits, &scalars[i]);
    }
    point_identity(&p);
    for (int bit = NAF_DIGITS - 1; bit >= 0; bit--) {
        point_double(&p, &p);
        for (size_t i = 0; i < count; i++) {
            int digit = terms[i].digits[bit];
            if (digit == 0) continue;
            table_lanes entry = terms[i].multiple[(digit < 0 ? -digit : digit) / 2];
            if (digit < 0) table_negate(&entry, ~(vec)0);
            point_add_table(&p, &p, &entry);
        }
    }
    for (int i = 0; i < 3; i++) point_double(&p, &p);
    lanes_identity(verdict, &p);
    return verdict[0];
}

#endif
