/* Vectors of 64-bit lanes, in the compiler's own extension: the same source compiles for any CPU,
 * and only the multiplications name an instruction. Also the transpositions between rows in memory
 * (one point each) and vectors (one word of every lane's point). */
#ifndef CCP2P_ED25519_VECTORS_H
#define CCP2P_ED25519_VECTORS_H

#include "common.h"

typedef u64 vec4 __attribute__((vector_size(32)));
typedef u64 vec8 __attribute__((vector_size(64)));
typedef int64_t signed4 __attribute__((vector_size(32)));
typedef int64_t signed8 __attribute__((vector_size(64)));
typedef int16_t digits4 __attribute__((vector_size(8)));
typedef int16_t digits8 __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE4(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define SHUFFLE8(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE4(a, b, ...) __builtin_shuffle(a, b, (vec4){__VA_ARGS__})
#define SHUFFLE8(a, b, ...) __builtin_shuffle(a, b, (vec8){__VA_ARGS__})
#endif

static inline void transpose4(vec4 out[4], const vec4 in[4])
{
    vec4 a = SHUFFLE4(in[0], in[1], 0, 4, 2, 6);
    vec4 b = SHUFFLE4(in[0], in[1], 1, 5, 3, 7);
    vec4 c = SHUFFLE4(in[2], in[3], 0, 4, 2, 6);
    vec4 d = SHUFFLE4(in[2], in[3], 1, 5, 3, 7);
    out[0] = SHUFFLE4(a, c, 0, 1, 4, 5);
    out[1] = SHUFFLE4(b, d, 0, 1, 4, 5);
    out[2] = SHUFFLE4(a, c, 2, 3, 6, 7);
    out[3] = SHUFFLE4(b, d, 2, 3, 6, 7);
}

/* Four vectors of four words of lanes 0 to 3 in their lower halves, of lanes 4 to 7 in their upper
 * ones, become four words of all eight lanes in order; and back. */
static inline void transpose_halves(vec8 out[4], const vec8 in[4])
{
    vec8 pair[4];
    for (int i = 0; i < 4; i += 2) {
        pair[i] = SHUFFLE8(in[i], in[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        pair[i + 1] = SHUFFLE8(in[i], in[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int i = 0; i < 2; i++) {
        out[i] = SHUFFLE8(pair[i], pair[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        out[i + 2] = SHUFFLE8(pair[i], pair[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
}

#endif
