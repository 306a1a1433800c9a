/* The linear order's hash: one 32-byte message a lane, under one key and personalisation. Included
 * over a backend's lanes. */
#include "order.h"

#include "blake2b/lanes.h"

/* The state after the parameters and, where there is a coin, its block. */
static void begin(vec h[HASH_WORDS], const struct order *order)
{
    u8 person[PERSON_BYTES] = {0}, block[BLOCK_BYTES] = {0};
    vec m[BLOCK_WORDS];
    memcpy(person, order->domain, order->domain_bytes);
    begin_hash(h, person, order->coin_bytes);
    if (order->coin_bytes == 0) return;
    memcpy(block, order->coin, order->coin_bytes);
    for (int i = 0; i < BLOCK_WORDS; i++) m[i] = (vec){0} + load_little(block + 8 * i);
    compress(h, m, BLOCK_WORDS, (vec){0} + BLOCK_BYTES, (vec){0});
}

void ORDER_HASH(
    struct place *places, size_t count, const u8 (*digests)[DIGEST_BYTES],
    const struct order *order)
{
    vec start[HASH_WORDS];
    u64 bytes = DIGEST_BYTES + (order->coin_bytes ? BLOCK_BYTES : 0);
    begin(start, order);
    for (size_t first = 0; first < count; first += LANES) {
        size_t live = count - first < LANES ? count - first : LANES;
        vec h[HASH_WORDS], m[DIGEST_WORDS];
        const u8 *digest[LANES];
        /* Idle lanes repeat the first. */
        for (size_t lane = 0; lane < LANES; lane++)
            digest[lane] = digests[places[first + (lane < live ? lane : 0)].id];
        for (int i = 0; i < DIGEST_WORDS; i++) {
            vec word = {0};
            for (int lane = 0; lane < LANES; lane++)
                word[lane] = load_little(digest[lane] + 8 * i);
            m[i] = word;
        }
        memcpy(h, start, sizeof h);
        compress(h, m, DIGEST_WORDS, (vec){0} + bytes, ~(vec){0});
        for (size_t lane = 0; lane < live; lane++)
            for (int i = 0; i < DIGEST_WORDS; i++)
                places[first + lane].hash[i] = __builtin_bswap64(h[i][lane]);
    }
}
