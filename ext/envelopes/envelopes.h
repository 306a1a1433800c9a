/* Envelopes of a commit to events: parsing, opening, padding, the event inside, its tag and its id.
 * Only the plain case is decided here: whatever is encoded or padded in another way than our own
 * encoder does is left to the caller. The readable twin is ccp2p/crypto/_envelopes_pure.py. */
#ifndef CCP2P_ENVELOPES_H
#define CCP2P_ENVELOPES_H

#include "blake2b/many.h"

#define TAG_BYTES 16
#define KEY_BYTES 32
#define SIGNATURE_BYTES 64
#define NETWORK_BYTES 32
#define ASSOCIATED_BYTES (5 + NETWORK_BYTES + 8 + TAG_BYTES)
#define MAX_ENVELOPE_BYTES (65536 + 512)

/* What became of an item. */
#define EVENT_GOOD 0
#define EVENT_SEALED 1 /* does not open under its session's key */
#define EVENT_ODD 2    /* opens, and is not plain: the caller looks */

typedef int (*open_function)(
    unsigned char *out, unsigned long long *out_bytes, unsigned char *unused,
    const unsigned char *sealed, unsigned long long sealed_bytes, const unsigned char *associated,
    unsigned long long associated_bytes, const unsigned char *nonce, const unsigned char *key);

struct cipher {
    size_t nonce_bytes;
    size_t tag_bytes;
    open_function open;
};

struct envelope {
    const u8 *tag;
    const u8 *sealed;
    size_t sealed_bytes;
};

/* An envelope and its claim in; `status`, sequence and pointers into `plaintext` out. */
struct item {
    struct envelope envelope;
    const u8 *tag_key;
    const u8 *up_key;
    const u8 *member;
    u8 *plaintext;
    int status;
    u64 sequence;
    const u8 *body;
    size_t body_bytes;
    const u8 *signature;
};

/* 1 when `data` is a plain envelope of this epoch: canonical, without an opening. */
int envelope_parse(const u8 *data, size_t bytes, u64 epoch, struct envelope *envelope);

/* How many bytes `plaintext` needs. */
size_t envelope_plaintext_bytes(const struct cipher *cipher, const struct envelope *envelope);

/* Opens all items; ids[i] where the status is good. 0 when memory is short. */
int envelopes_open(
    struct item *items, size_t count, const struct cipher *cipher, const u8 network[NETWORK_BYTES],
    u64 epoch, u8 (*ids)[BLAKE2B_DIGEST_BYTES]);

#endif
