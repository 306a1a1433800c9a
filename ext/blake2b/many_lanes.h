/* Many messages, LANES at a time. A lane whose message has ended keeps its hash while its
 * neighbours go on; idle lanes repeat the first. */
#include "many.h"

#include "lanes.h"

struct lane {
    const u8 *data;
    size_t left;
    const u8 *key; /* set while the key's block is still to come */
};

/* Where a lane's next block lies; moves on. Short blocks are filled up in `scratch`. */
static const u8 *next_block(struct lane *lane, u8 *scratch, size_t key_bytes)
{
    const u8 *from = lane->key ? lane->key : lane->data;
    size_t bytes = lane->key ? key_bytes : lane->left;
    if (bytes >= BLOCK_BYTES) {
        lane->data += BLOCK_BYTES;
        lane->left -= BLOCK_BYTES;
        return from;
    }
    memset(scratch, 0, BLOCK_BYTES);
    if (bytes) memcpy(scratch, from, bytes);
    if (lane->key)
        lane->key = NULL;
    else
        lane->left = 0;
    return scratch;
}

static size_t blocks_of(const struct message *message, size_t key_bytes)
{
    size_t blocks = (message->bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
    return blocks + (key_bytes ? 1 : blocks == 0);
}

static void hash_group(
    vec h[HASH_WORDS], const struct message *const *messages, const size_t *blocks, size_t key_bytes)
{
    struct lane lanes[LANES];
    u8 scratch[LANES][BLOCK_BYTES] = {{0}};
    size_t steps = 0;
    for (int i = 0; i < LANES; i++) {
        lanes[i].data = messages[i]->data;
        lanes[i].left = messages[i]->bytes;
        lanes[i].key = key_bytes ? messages[i]->key : NULL;
        if (blocks[i] > steps) steps = blocks[i];
    }
    for (size_t step = 0; step < steps; step++) {
        vec before[HASH_WORDS], m[BLOCK_WORDS], hashed = {0}, last = {0}, ended = {0};
        const u8 *block[LANES];
        for (int i = 0; i < LANES; i++) {
            size_t key_block = key_bytes ? BLOCK_BYTES : 0;
            block[i] = scratch[i];
            if (step >= blocks[i]) {
                ended[i] = ~(u64)0;
                continue;
            }
            block[i] = next_block(&lanes[i], scratch[i], key_bytes);
            last[i] = step + 1 == blocks[i] ? ~(u64)0 : 0;
            hashed[i] = last[i] ? messages[i]->bytes + key_block : (step + 1) * BLOCK_BYTES;
        }
        for (int w = 0; w < BLOCK_WORDS; w++) {
            vec word = {0};
            for (int i = 0; i < LANES; i++) word[i] = load_little(block[i] + 8 * w);
            m[w] = word;
        }
        memcpy(before, h, sizeof before);
        compress(h, m, BLOCK_WORDS, hashed, last);
        for (int w = 0; w < HASH_WORDS; w++) h[w] = (h[w] & ~ended) | (before[w] & ended);
    }
}

void MANY_HASH(
    const struct message *messages, const u32 *order, size_t count,
    const struct parameters *parameters, u8 (*digests)[BLAKE2B_DIGEST_BYTES])
{
    vec start[HASH_WORDS];
    begin_hash(start, parameters->person, parameters->key_bytes);
    for (size_t first = 0; first < count; first += LANES) {
        size_t live = count - first < LANES ? count - first : LANES;
        const struct message *group[LANES];
        size_t blocks[LANES];
        vec h[HASH_WORDS];
        for (size_t i = 0; i < LANES; i++) {
            group[i] = &messages[order[first + (i < live ? i : 0)]];
            blocks[i] = blocks_of(group[i], parameters->key_bytes);
        }
        memcpy(h, start, sizeof h);
        hash_group(h, group, blocks, parameters->key_bytes);
        for (size_t i = 0; i < live; i++)
            for (int w = 0; w < DIGEST_WORDS; w++)
                store_little(digests[order[first + i]] + 8 * w, h[w][i]);
    }
}
