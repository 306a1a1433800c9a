/* Questions that need the one canonical form of a field element in memory: zero, and parity. */
#ifndef CCP2P_ED25519_CANONICAL_H
#define CCP2P_ED25519_CANONICAL_H

#include "common.h"

/* Reduces limbs below 2^63 to the value in [0, p). */
static inline void canonical(u64 out[LIMBS51], const u64 in[LIMBS51])
{
    u64 t[LIMBS51];
    memcpy(t, in, sizeof t);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < LIMBS51 - 1; i++) {
            t[i + 1] += t[i] >> 51;
            t[i] &= MASK51;
        }
        t[0] += 19 * (t[4] >> 51);
        t[4] &= MASK51;
    }
    /* The value is now below 2^255 + 2^18: adding 19 overflows bit 255 exactly when it is >= p. */
    u64 carry = 19;
    for (int i = 0; i < LIMBS51; i++) carry = (t[i] + carry) >> 51;
    t[0] += 19 * carry;
    for (int i = 0; i < LIMBS51 - 1; i++) {
        t[i + 1] += t[i] >> 51;
        t[i] &= MASK51;
    }
    t[4] &= MASK51;
    memcpy(out, t, sizeof t);
}

static inline int is_zero(const u64 in[LIMBS51])
{
    u64 t[LIMBS51];
    canonical(t, in);
    return (t[0] | t[1] | t[2] | t[3] | t[4]) == 0;
}

static inline int is_odd(const u64 in[LIMBS51])
{
    u64 t[LIMBS51];
    canonical(t, in);
    return (int)(t[0] & 1);
}

/* The 255 low bits of 32 bytes; values from p to 2^255 - 1 stand for themselves reduced. */
static inline void limbs_of_bytes(u64 out[LIMBS51], const u8 bytes[32])
{
    u64 w0 = load_little(bytes), w1 = load_little(bytes + 8);
    u64 w2 = load_little(bytes + 16), w3 = load_little(bytes + 24);
    out[0] = w0 & MASK51;
    out[1] = (w0 >> 51 | w1 << 13) & MASK51;
    out[2] = (w1 >> 38 | w2 << 26) & MASK51;
    out[3] = (w2 >> 25 | w3 << 39) & MASK51;
    out[4] = w3 >> 12 & MASK51;
}

#endif
