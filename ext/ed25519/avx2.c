/* The backend for AVX2, four lanes. The rest of the program stays compiled for any CPU. */
#if defined(__x86_64__) || defined(CCP2P_EMULATE)
#ifndef CCP2P_EMULATE
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi2"))), apply_to = function)
#else
#pragma GCC target("avx2,bmi2")
#endif
#endif
#include "field25x4.h"

#include "decompress.h"
#include "pippenger.h"
#include "sha512.h"
#include "singles.h"

const struct backend backend_avx2 = {
    "avx2", LANES, 10, hash_items, decompress, window_sums, bucket_bytes, join_windows_singly,
    singles};

#if defined(__clang__) && !defined(CCP2P_EMULATE)
#pragma clang attribute pop
#endif
#else
typedef int no_x86_here;
#endif
