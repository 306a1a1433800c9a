/* Buckets of the state in their encoded form: entries in key order, each
 *
 *     u32 size of what follows | 16 bytes of salt | u32 key bytes | key | value      (big-endian)
 *
 * What follows the size is exactly what an entry's leaf hashes, so hashing copies nothing. The
 * readable twin is ccp2p/crypto/_buckets_pure.py. */
#ifndef CCP2P_BUCKETS_H
#define CCP2P_BUCKETS_H

#include "blake2b/many.h"

#define SALT_BYTES 16
#define SIZE_BYTES 4
#define ENTRY_BYTES (SIZE_BYTES + SALT_BYTES + SIZE_BYTES) /* besides key and value */
#define MAX_ENTRY_BYTES ((size_t)1 << 30)
#define DIGEST_BYTES BLAKE2B_DIGEST_BYTES
#define POSITION_BYTES 16

/* Tree: sixteen children a node, leaves first. */
#define ARITY 16
#define TREE_LEVELS 4
#define LEAVES 65536

struct span {
    const u8 *data;
    size_t bytes;
};

/* One change: `value` NULL deletes. `place` and `salt` are filled in by writes_prepare. */
struct write {
    struct span key;
    struct span value;
    u32 place;
    u8 salt[SALT_BYTES];
};

struct entry {
    struct span whole; /* with its size in front */
    struct span leaf;
    struct span key;
    struct span value;
};

/* The entry at the front of `rest`, which moves on; 0 when it is malformed. */
int entry_next(struct span *rest, struct entry *entry);

/* How many entries a bucket has, in ascending order of keys; -1 when it is malformed. */
long long bucket_count(struct span bucket);

/* Places and salts of all writes, then their order by place and key; 0 when memory is short. */
int writes_prepare(
    struct write *writes, size_t count, const u8 placement[32], const u8 *salt_key,
    size_t salt_key_bytes, u64 epoch, u64 commit);

/* Merges the sorted writes of one bucket into it; the bytes written to `out`, which has room for
 * the bucket and all new entries; -1 when the bucket is malformed. */
long long bucket_merge(struct span bucket, const struct write *writes, size_t count, u8 *out);

/* The digest of each bucket; 1, or 0 when memory is short, or -1 when one is malformed. */
int bucket_digests(const struct span *buckets, size_t count, u8 (*digests)[DIGEST_BYTES]);

/* Sets leaves, their indices ascending, and all that is above; 0 when memory is short. */
int tree_update(
    u8 *const levels[TREE_LEVELS], const u32 *indices, const u8 (*leaves)[DIGEST_BYTES],
    size_t count, u8 root[DIGEST_BYTES]);

#endif
