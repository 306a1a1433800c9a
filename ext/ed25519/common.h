/* What all of the Ed25519 code shares: items, scalars, and the two forms in which points lie in
 * memory. Verification handles public data only, so nothing here is constant-time.
 *
 * A field element in memory is five 64-bit limbs of radix 2^51, each below 2^51 + 2^43, whatever
 * the backend computes in. A row is consecutive elements of one point:
 *   affine: y+x, y-x, 2dxy, and one word of padding;
 *   extended: X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z, and padding that some backends want. */
#ifndef CCP2P_ED25519_COMMON_H
#define CCP2P_ED25519_COMMON_H

#include "words.h"

#define KEY_BYTES 32
#define SIGNATURE_BYTES 64
#define LIMBS51 5
#define MASK51 ((1ULL << 51) - 1)
#define AFFINE_WORDS 16
#define EXTENDED_WORDS 24

struct affine {
    _Alignas(64) u64 word[AFFINE_WORDS];
};

struct extended {
    _Alignas(64) u64 word[EXTENDED_WORDS];
};

/* The order of the prime-order subgroup is 2^252 plus something: a reduced scalar has 253 bits. */
struct scalar {
    u64 word[4];
};

/* One signature to verify. Borrowed memory; `public_key` is NULL for an item refused already. */
struct item {
    const u8 *public_key;
    const u8 *signature;
    const u8 *message;
    u64 length;
};

/* In builds for tests: stop at a limb that breaks the bounds that the comments prove. */
#ifdef CCP2P_CHECK_BOUNDS
#include <stdlib.h>
#define CHECK_BOUND(condition) \
    do { \
        if (!(condition)) abort(); \
    } while (0)
#else
#define CHECK_BOUND(condition) ((void)0)
#endif

#endif
