/* BLAKE2b-256 of many messages at once, as many lanes wide as the CPU allows. Each backend is one C
 * file that includes many_lanes.h over its lanes. */
#ifndef CCP2P_BLAKE2B_MANY_H
#define CCP2P_BLAKE2B_MANY_H

#include "words.h"

#define BLAKE2B_DIGEST_BYTES 32
#define BLAKE2B_PERSON_BYTES 16
#define BLAKE2B_MAX_KEY_BYTES 64

/* `key` is read only where the parameters have key bytes; `data` only where there are bytes. */
struct message {
    const u8 *data;
    size_t bytes;
    const u8 *key;
};

struct parameters {
    u8 person[BLAKE2B_PERSON_BYTES];
    size_t key_bytes;
};

/* digests[order[i]] = the hash of messages[order[i]]; neighbours in `order` should be alike long. */
typedef void many_hasher(
    const struct message *messages, const u32 *order, size_t count,
    const struct parameters *parameters, u8 (*digests)[BLAKE2B_DIGEST_BYTES]);

many_hasher many_portable;
#if defined(__x86_64__)
many_hasher many_avx2;
many_hasher many_avx512;
#endif

/* The personalisation is zero-filled to its 16 bytes; 0 when it, or the key, is too long. */
int parameters_set(
    struct parameters *parameters, const u8 *person, size_t person_bytes, size_t key_bytes);

/* Hashes all messages; 0 when memory is short. */
int blake2b_many(
    const struct message *messages, size_t count, const struct parameters *parameters,
    u8 (*digests)[BLAKE2B_DIGEST_BYTES]);

/* Picks a backend by name, the fastest of this CPU when it is empty; 0 when this CPU lacks it. Until
 * then the portable one hashes. */
int blake2b_use(const char *name);

#endif
