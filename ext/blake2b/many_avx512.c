/* Many hashes for AVX-512. CCP2P_EMULATE, for tests: the same lanes without its
 * instructions. */
#if defined(__x86_64__) || defined(CCP2P_EMULATE)
#ifndef CCP2P_EMULATE
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC target("avx512f")
#endif
#endif
#include "avx512.h"
#define MANY_HASH many_avx512
#include "many_lanes.h"

#if defined(__clang__) && !defined(CCP2P_EMULATE)
#pragma clang attribute pop
#endif
#else
typedef int no_x86_here;
#endif
