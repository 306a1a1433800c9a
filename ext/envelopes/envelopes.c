#include "envelopes.h"

#include <stdlib.h>

/* A reader over MessagePack in its shortest form; `good` falls once something else is met. */
struct reader {
    const u8 *at;
    const u8 *end;
    int good;
};

static const u8 *take(struct reader *reader, size_t bytes)
{
    const u8 *from = reader->at;
    if (!reader->good || (size_t)(reader->end - reader->at) < bytes) {
        reader->good = 0;
        return NULL;
    }
    reader->at += bytes;
    return from;
}

static u64 take_big(struct reader *reader, size_t bytes)
{
    const u8 *from = take(reader, bytes);
    u64 value = 0;
    for (size_t i = 0; from && i < bytes; i++) value = value << 8 | from[i];
    return value;
}

static u64 take_number(struct reader *reader)
{
    u64 first = take_big(reader, 1), value;
    size_t bytes;
    if (first < 0x80) return first;
    bytes = (size_t)1 << (first & 3);
    if (first < 0xcc || first > 0xcf) reader->good = 0;
    value = take_big(reader, bytes);
    if (bytes == 1 ? value < 0x80 : value >> (4 * bytes) == 0) reader->good = 0;
    return value;
}

static const u8 *take_binary(struct reader *reader, size_t *bytes)
{
    u64 first = take_big(reader, 1), size_bytes;
    if (first < 0xc4 || first > 0xc6) reader->good = 0;
    size_bytes = reader->good ? (u64)1 << (first - 0xc4) : 0;
    *bytes = take_big(reader, size_bytes);
    if (size_bytes > 1 && *bytes >> (4 * size_bytes) == 0) reader->good = 0;
    return take(reader, *bytes);
}

static const u8 *take_fixed(struct reader *reader, size_t bytes)
{
    size_t found;
    const u8 *data = take_binary(reader, &found);
    if (found != bytes) reader->good = 0;
    return data;
}

int envelope_parse(const u8 *data, size_t bytes, u64 epoch, struct envelope *envelope)
{
    struct reader reader = {data, data + bytes, bytes <= MAX_ENVELOPE_BYTES};
    if (take_big(&reader, 1) != 0x94 || take_number(&reader) != epoch) return 0;
    envelope->tag = take_fixed(&reader, TAG_BYTES);
    take_fixed(&reader, 0);
    envelope->sealed = take_binary(&reader, &envelope->sealed_bytes);
    return reader.good && reader.at == reader.end;
}

size_t envelope_plaintext_bytes(const struct cipher *cipher, const struct envelope *envelope)
{
    size_t overhead = cipher->nonce_bytes + cipher->tag_bytes;
    return envelope->sealed_bytes < overhead ? 0 : envelope->sealed_bytes - overhead;
}

static int is_bucket(size_t bytes)
{
    return bytes == 256 || bytes == 1024 || bytes == 4096 || bytes == 16384 || bytes == 65536;
}

/* The event inside a padded plaintext: its length in front, zeros behind, no smaller bucket. */
static struct reader unpad(const u8 *padded, size_t bytes)
{
    struct reader reader = {padded, padded + bytes, is_bucket(bytes)};
    size_t length = take_big(&reader, 4);
    const u8 *event = take(&reader, length);
    size_t smaller = bytes == 1024 ? 256 : bytes / 4;
    if (reader.good && bytes > 256 && length + 4 <= smaller) reader.good = 0;
    for (const u8 *at = reader.at; reader.good && at < reader.end; at++)
        if (*at) reader.good = 0;
    if (!reader.good) return reader;
    return (struct reader){event, event + length, 1};
}

static void parse_event(struct item *item, size_t bytes)
{
    struct reader reader = unpad(item->plaintext, bytes);
    const u8 *member;
    if (take_big(&reader, 1) != 0x94) reader.good = 0;
    member = take_fixed(&reader, KEY_BYTES);
    item->sequence = take_number(&reader);
    item->body = take_binary(&reader, &item->body_bytes);
    item->signature = take_fixed(&reader, SIGNATURE_BYTES);
    if (!reader.good || reader.at != reader.end || item->sequence >> 63
        || memcmp(member, item->member, KEY_BYTES))
        item->status = EVENT_ODD;
}

static void open_item(struct item *item, const struct cipher *cipher, u8 *associated)
{
    const struct envelope *envelope = &item->envelope;
    size_t overhead = cipher->nonce_bytes + cipher->tag_bytes;
    unsigned long long written = 0;
    item->status = EVENT_SEALED;
    if (envelope->sealed_bytes < overhead) return;
    memcpy(associated + ASSOCIATED_BYTES - TAG_BYTES, envelope->tag, TAG_BYTES);
    if (cipher->open(
            item->plaintext, &written, NULL, envelope->sealed + cipher->nonce_bytes,
            envelope->sealed_bytes - cipher->nonce_bytes, associated, ASSOCIATED_BYTES,
            envelope->sealed, item->up_key) != 0)
        return;
    item->status = EVENT_GOOD;
    parse_event(item, envelope->sealed_bytes - overhead);
}

/* Whether each good item's sequence number has the tag that it came under. */
static int check_tags(
    struct item *items, size_t count, struct message *messages, u8 (*digests)[BLAKE2B_DIGEST_BYTES])
{
    struct parameters parameters;
    u8(*numbers)[8] = malloc((count + 1) * sizeof *numbers);
    int done;
    if (numbers == NULL) return 0;
    for (size_t i = 0; i < count; i++) {
        store_big(numbers[i], items[i].sequence);
        messages[i] = (struct message){numbers[i], sizeof numbers[i], items[i].tag_key};
    }
    done = parameters_set(&parameters, (const u8 *)"ccp2p.envelope", 14, KEY_BYTES)
        && blake2b_many(messages, count, &parameters, digests);
    for (size_t i = 0; done && i < count; i++)
        if (items[i].status == EVENT_GOOD && memcmp(digests[i], items[i].envelope.tag, TAG_BYTES))
            items[i].status = EVENT_ODD;
    free(numbers);
    return done;
}

static int hash_ids(
    const struct item *items, size_t count, const u8 network[NETWORK_BYTES],
    struct message *messages, u8 (*ids)[BLAKE2B_DIGEST_BYTES])
{
    struct parameters parameters;
    const size_t front = NETWORK_BYTES + KEY_BYTES + 8;
    size_t total = 0;
    int done;
    u8 *texts, *out;
    for (size_t i = 0; i < count; i++)
        total += items[i].status == EVENT_GOOD ? front + items[i].body_bytes : 0;
    texts = out = malloc(total + 1);
    if (texts == NULL) return 0;
    for (size_t i = 0; i < count; i++) {
        messages[i] = (struct message){out, 0, NULL};
        if (items[i].status != EVENT_GOOD) continue;
        messages[i].bytes = front + items[i].body_bytes;
        memcpy(out, network, NETWORK_BYTES);
        memcpy(out + NETWORK_BYTES, items[i].member, KEY_BYTES);
        store_big(out + NETWORK_BYTES + KEY_BYTES, items[i].sequence);
        if (items[i].body_bytes) memcpy(out + front, items[i].body, items[i].body_bytes);
        out += messages[i].bytes;
    }
    done = parameters_set(&parameters, (const u8 *)"ccp2p.event", 11, 0)
        && blake2b_many(messages, count, &parameters, ids);
    free(texts);
    return done;
}

int envelopes_open(
    struct item *items, size_t count, const struct cipher *cipher, const u8 network[NETWORK_BYTES],
    u64 epoch, u8 (*ids)[BLAKE2B_DIGEST_BYTES])
{
    u8 associated[ASSOCIATED_BYTES];
    struct message *messages = malloc((count + 1) * sizeof *messages);
    int done;
    if (messages == NULL) return 0;
    memcpy(associated, "event", 5);
    memcpy(associated + 5, network, NETWORK_BYTES);
    store_big(associated + 5 + NETWORK_BYTES, epoch);
    for (size_t i = 0; i < count; i++) open_item(&items[i], cipher, associated);
    done = check_tags(items, count, messages, ids)
        && hash_ids(items, count, network, messages, ids);
    free(messages);
    return done;
}
