/* See ed25519.c. */
#ifndef CCP2P_CHECKS_ED25519_H
#define CCP2P_CHECKS_ED25519_H

#include "ed25519/common.h"

/* Judges `count` signatures on a backend; message i is lengths[i] bytes at offsets[i], -1 for one
 * refused already; `coefficients` are 16 * count random bytes. 2 when the batch held as a whole, 1
 * when each signature was judged by itself, 0 when it cannot run. */
int check_batch(
    const char *backend_name, size_t count, const u8 *publics, const u8 *signatures,
    const u8 *messages, const u64 *offsets, const int64_t *lengths, const u8 *coefficients,
    u8 *verdicts);

#endif
