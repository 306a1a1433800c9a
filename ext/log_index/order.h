/* The linear order's hash: BLAKE2b-256 of a digest, keyed by the coin under a domain. Each backend
 * is one C file that includes blake2b.h over its number of lanes. */
#ifndef CCP2P_LOG_INDEX_ORDER_H
#define CCP2P_LOG_INDEX_ORDER_H

#include "table.h"

#define PERSON_BYTES 16
#define MAX_COIN_BYTES 64

/* A block's place among those of its round: by hash, as big-endian words. */
struct place {
    u64 hash[4];
    u64 id;
};

struct order {
    const u8 *domain;
    size_t domain_bytes;
    const u8 *coin;
    size_t coin_bytes;
};

/* Fills in the hashes of `count` places, each of the digest that its id names. */
typedef void order_hasher(
    struct place *places, size_t count, const u8 (*digests)[DIGEST_BYTES],
    const struct order *order);

order_hasher order_hash_portable;
#if defined(__x86_64__)
order_hasher order_hash_avx2;
order_hasher order_hash_avx512;
#endif

#endif
