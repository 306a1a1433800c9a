#include "buckets.h"

#include <stdlib.h>

static size_t load_size(const u8 *bytes)
{
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
}

static u8 *store_size(u8 *out, size_t size)
{
    for (int i = 0; i < SIZE_BYTES; i++) out[i] = (u8)(size >> (24 - 8 * i));
    return out + SIZE_BYTES;
}

static u8 *store(u8 *out, struct span span)
{
    if (span.bytes) memcpy(out, span.data, span.bytes);
    return out + span.bytes;
}

static int compare_keys(struct span left, struct span right)
{
    size_t shorter = left.bytes < right.bytes ? left.bytes : right.bytes;
    int order = shorter ? memcmp(left.data, right.data, shorter) : 0;
    return order ? order : (left.bytes > right.bytes) - (left.bytes < right.bytes);
}

int entry_next(struct span *rest, struct entry *entry)
{
    size_t size, key_bytes;
    if (rest->bytes < ENTRY_BYTES) return 0;
    size = load_size(rest->data);
    if (size < ENTRY_BYTES - SIZE_BYTES || size > rest->bytes - SIZE_BYTES) return 0;
    key_bytes = load_size(rest->data + SIZE_BYTES + SALT_BYTES);
    if (key_bytes > size - (ENTRY_BYTES - SIZE_BYTES)) return 0;
    entry->whole = (struct span){rest->data, SIZE_BYTES + size};
    entry->leaf = (struct span){rest->data + SIZE_BYTES, size};
    entry->key = (struct span){rest->data + ENTRY_BYTES, key_bytes};
    entry->value = (struct span){
        rest->data + ENTRY_BYTES + key_bytes, size - (ENTRY_BYTES - SIZE_BYTES) - key_bytes};
    rest->data += SIZE_BYTES + size;
    rest->bytes -= SIZE_BYTES + size;
    return 1;
}

long long bucket_count(struct span bucket)
{
    struct entry entry;
    struct span last = {NULL, 0};
    long long count = 0;
    while (bucket.bytes) {
        if (!entry_next(&bucket, &entry)) return -1;
        if (count && compare_keys(last, entry.key) >= 0) return -1;
        last = entry.key;
        count++;
    }
    return count;
}

static int compare_writes(const void *left, const void *right)
{
    const struct write *a = left, *b = right;
    if (a->place != b->place) return a->place < b->place ? -1 : 1;
    return compare_keys(a->key, b->key);
}

/* What a salt covers: epoch and commit of the write, then the key. */
static int salt_all(
    struct write *writes, size_t count, const u8 *salt_key, size_t salt_key_bytes, u64 epoch,
    u64 commit, struct message *messages, u8 (*digests)[DIGEST_BYTES])
{
    struct parameters parameters;
    size_t total = 0;
    int done;
    u8 *texts, *out;
    for (size_t i = 0; i < count; i++) total += POSITION_BYTES + writes[i].key.bytes;
    texts = out = malloc(total + 1);
    if (texts == NULL) return 0;
    for (size_t i = 0; i < count; i++) {
        messages[i] = (struct message){out, POSITION_BYTES + writes[i].key.bytes, salt_key};
        store_big(out, epoch);
        store_big(out + 8, commit);
        out = store(out + POSITION_BYTES, writes[i].key);
    }
    done = parameters_set(&parameters, (const u8 *)"ccp2p.salt", 10, salt_key_bytes)
        && blake2b_many(messages, count, &parameters, digests);
    for (size_t i = 0; done && i < count; i++) memcpy(writes[i].salt, digests[i], SALT_BYTES);
    free(texts);
    return done;
}

static int place_all(
    struct write *writes, size_t count, const u8 placement[32], struct message *messages,
    u8 (*digests)[DIGEST_BYTES])
{
    struct parameters parameters;
    for (size_t i = 0; i < count; i++)
        messages[i] = (struct message){writes[i].key.data, writes[i].key.bytes, placement};
    if (!parameters_set(&parameters, (const u8 *)"ccp2p.bucket", 12, 32)
        || !blake2b_many(messages, count, &parameters, digests))
        return 0;
    for (size_t i = 0; i < count; i++) writes[i].place = (u32)digests[i][0] << 8 | digests[i][1];
    return 1;
}

int writes_prepare(
    struct write *writes, size_t count, const u8 placement[32], const u8 *salt_key,
    size_t salt_key_bytes, u64 epoch, u64 commit)
{
    struct message *messages = malloc((count + 1) * sizeof *messages);
    u8(*digests)[DIGEST_BYTES] = malloc((count + 1) * sizeof *digests);
    int done = messages && digests
        && place_all(writes, count, placement, messages, digests)
        && salt_all(writes, count, salt_key, salt_key_bytes, epoch, commit, messages, digests);
    free(messages);
    free(digests);
    if (done) qsort(writes, count, sizeof *writes, compare_writes);
    return done;
}

static u8 *store_write(u8 *out, const struct write *write)
{
    if (write->value.data == NULL) return out;
    out = store_size(
        out, ENTRY_BYTES - SIZE_BYTES + write->key.bytes + write->value.bytes);
    memcpy(out, write->salt, SALT_BYTES);
    out = store_size(out + SALT_BYTES, write->key.bytes);
    return store(store(out, write->key), write->value);
}

long long bucket_merge(struct span bucket, const struct write *writes, size_t count, u8 *out)
{
    const u8 *start = out;
    size_t next = 0;
    struct entry entry;
    while (bucket.bytes) {
        int order = 1;
        if (!entry_next(&bucket, &entry)) return -1;
        while (next < count && (order = compare_keys(writes[next].key, entry.key)) < 0)
            out = store_write(out, &writes[next++]);
        if (next < count && order == 0)
            out = store_write(out, &writes[next++]);
        else
            out = store(out, entry.whole);
    }
    while (next < count) out = store_write(out, &writes[next++]);
    return out - start;
}

int bucket_digests(const struct span *buckets, size_t count, u8 (*digests)[DIGEST_BYTES])
{
    size_t entries = 0, at = 0;
    struct message *messages;
    u8(*leaves)[DIGEST_BYTES];
    struct parameters leaf, bucket;
    int done;
    for (size_t i = 0; i < count; i++) {
        long long found = bucket_count(buckets[i]);
        if (found < 0) return -1;
        entries += (size_t)found;
    }
    messages = malloc((entries + count + 1) * sizeof *messages);
    leaves = malloc((entries + 1) * sizeof *leaves);
    for (size_t i = 0; messages && leaves && i < count; i++) {
        struct span rest = buckets[i];
        struct message *whole = &messages[entries + i];
        struct entry entry;
        *whole = (struct message){leaves[at], 0, NULL};
        for (; rest.bytes; whole->bytes += DIGEST_BYTES) {
            entry_next(&rest, &entry);
            messages[at++] = (struct message){entry.leaf.data, entry.leaf.bytes, NULL};
        }
    }
    done = messages && leaves && parameters_set(&leaf, (const u8 *)"ccp2p.leaf", 10, 0)
        && parameters_set(&bucket, (const u8 *)"ccp2p.bucket", 12, 0)
        && blake2b_many(messages, entries, &leaf, leaves)
        && blake2b_many(messages + entries, count, &bucket, digests);
    free(messages);
    free(leaves);
    for (size_t i = 0; i < count; i++)
        if (buckets[i].bytes == 0) memset(digests[i], 0, DIGEST_BYTES);
    return done;
}

static int is_zero(const u8 *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i]) return 0;
    return 1;
}

int tree_update(
    u8 *const levels[TREE_LEVELS], const u32 *indices, const u8 (*leaves)[DIGEST_BYTES],
    size_t count, u8 root[DIGEST_BYTES])
{
    struct message *messages = malloc((count + 1) * sizeof *messages);
    u8(*digests)[DIGEST_BYTES] = malloc((count + 1) * sizeof *digests);
    u32 *changed = malloc((count + 1) * sizeof *changed);
    struct parameters parameters;
    int done = messages && digests && changed
        && parameters_set(&parameters, (const u8 *)"ccp2p.tree", 10, 0);
    if (done && count) {
        memcpy(changed, indices, count * sizeof *changed);
        memcpy(digests, leaves, count * sizeof *digests);
    }
    for (int level = 0; done && level < TREE_LEVELS; level++) {
        const size_t group_bytes = ARITY * DIGEST_BYTES;
        size_t groups = 0;
        for (size_t i = 0; i < count; i++) {
            u32 group = changed[i] / ARITY;
            memcpy(levels[level] + (size_t)changed[i] * DIGEST_BYTES, digests[i], DIGEST_BYTES);
            if (groups == 0 || changed[groups - 1] != group) changed[groups++] = group;
        }
        count = groups;
        for (size_t i = 0; i < count; i++)
            messages[i] = (struct message){
                levels[level] + changed[i] * group_bytes, group_bytes, NULL};
        done = blake2b_many(messages, count, &parameters, digests);
        for (size_t i = 0; done && i < count; i++)
            if (is_zero(messages[i].data, group_bytes)) memset(digests[i], 0, DIGEST_BYTES);
    }
    if (done && count) memcpy(root, digests[0], DIGEST_BYTES);
    free(messages);
    free(digests);
    free(changed);
    return done;
}
