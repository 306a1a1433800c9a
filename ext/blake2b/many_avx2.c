/* Many hashes for AVX2. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#include "avx2.h"
#define MANY_HASH many_avx2
#include "many_lanes.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int no_x86_here;
#endif
