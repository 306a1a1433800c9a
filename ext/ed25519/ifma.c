/* The backend for AVX-512 IFMA, eight lanes. The rest of the program stays compiled for any CPU. */
#if defined(__x86_64__) || defined(CCP2P_EMULATE)
#ifndef CCP2P_EMULATE
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx512ifma,bmi2,avx2"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx512ifma,bmi2,avx2")
#endif
#endif
#include "field51x8.h"

#include "decompress.h"
#include "join51x8.h"
#include "pippenger.h"
#include "sha512.h"
#include "singles.h"

const struct backend backend_ifma = {
    "ifma", LANES, 12, hash_items, decompress, window_sums, bucket_bytes, join_windows,
    singles};

#if defined(__clang__) && !defined(CCP2P_EMULATE)
#pragma clang attribute pop
#endif
#else
typedef int no_x86_here;
#endif
