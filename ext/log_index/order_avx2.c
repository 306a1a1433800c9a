/* The linear order's hash for AVX2. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#include "blake2b/avx2.h"
#define ORDER_HASH order_hash_avx2
#include "order_lanes.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int no_x86_here;
#endif
