/* The linear order's hash for AVX-512, eight lanes: the compiler knows its rotations.
 * CCP2P_EMULATE, for tests: the same lanes without its instructions. */
#if defined(__x86_64__) || defined(CCP2P_EMULATE)
#ifndef CCP2P_EMULATE
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC target("avx512f")
#endif
#endif
#define LANES 8
#define ORDER_HASH order_hash_avx512
#include "words.h"

typedef u64 vec __attribute__((vector_size(8 * LANES)));

#define ROTATE(x, n) ((x) >> (n) | (x) << (64 - (n)))
#define ROTATE32(x) ROTATE(x, 32)
#define ROTATE24(x) ROTATE(x, 24)
#define ROTATE16(x) ROTATE(x, 16)
#define ROTATE63(x) ROTATE(x, 63)

#include "blake2b.h"

#if defined(__clang__) && !defined(CCP2P_EMULATE)
#pragma clang attribute pop
#endif
#else
typedef int no_x86_here;
#endif
