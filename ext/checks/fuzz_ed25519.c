/* Fuzz target of Ed25519 verification: every backend, in a batch and one by one, must give one
 * verdict. Input: records of public key (32), signature (64), message length (1), message.
 *
 * With libFuzzer: clang -fsanitize=fuzzer,address,undefined. Without, CCP2P_FUZZ_MAIN gives a main
 * that runs the files named as arguments. */
#include <stdio.h>
#include <stdlib.h>

#include "checks/ed25519.h"

#define MAX_ITEMS 64
#define HEAD_BYTES (KEY_BYTES + SIGNATURE_BYTES + 1)

struct batch {
    size_t count;
    u8 publics[MAX_ITEMS * KEY_BYTES];
    u8 signatures[MAX_ITEMS * SIGNATURE_BYTES];
    u8 coefficients[MAX_ITEMS * 16];
    u64 offsets[MAX_ITEMS];
    int64_t lengths[MAX_ITEMS];
};

static void read_batch(struct batch *batch, const u8 *data, size_t size)
{
    u64 state = 0x9e3779b97f4a7c15;
    size_t at = 0;
    batch->count = 0;
    while (batch->count < MAX_ITEMS && size - at >= HEAD_BYTES) {
        size_t i = batch->count++, rest = size - at - HEAD_BYTES;
        size_t wanted = data[at + HEAD_BYTES - 1];
        memcpy(batch->publics + KEY_BYTES * i, data + at, KEY_BYTES);
        memcpy(batch->signatures + SIGNATURE_BYTES * i, data + at + KEY_BYTES, SIGNATURE_BYTES);
        batch->offsets[i] = at + HEAD_BYTES;
        batch->lengths[i] = (int64_t)(wanted < rest ? wanted : rest);
        at += HEAD_BYTES + (size_t)batch->lengths[i];
        for (int j = 0; j < 16; j++) {
            state = state * 6364136223846793005 + 1442695040888963407;
            batch->coefficients[16 * i + (size_t)j] = (u8)(state >> 56);
        }
    }
}

static void judge(u8 *verdicts, const char *backend, const struct batch *b, const u8 *data,
                  size_t first, size_t count)
{
    if (!check_batch(
            backend, count, b->publics + KEY_BYTES * first,
            b->signatures + SIGNATURE_BYTES * first, data, b->offsets + first, b->lengths + first,
            b->coefficients, verdicts))
        abort();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static const char *const BACKENDS[] = {"portable", "avx2", "ifma"};
    struct batch batch;
    u8 expected[MAX_ITEMS], verdicts[MAX_ITEMS];
    read_batch(&batch, data, size);
    for (size_t i = 0; i < batch.count; i++) judge(expected + i, "portable", &batch, data, i, 1);
    for (size_t backend = 0; backend < 3; backend++) {
        judge(verdicts, BACKENDS[backend], &batch, data, 0, batch.count);
        if (memcmp(verdicts, expected, batch.count) != 0) abort();
    }
    return 0;
}

#ifdef CCP2P_FUZZ_MAIN
int main(int count, char **paths)
{
    static u8 data[1 << 20];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(paths[i], "rb");
        if (file == NULL) return 1;
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        /* A copy of the exact size, so that a sanitizer sees a read past its end. */
        u8 *exact = malloc(size + (size == 0));
        if (exact == NULL) return 1;
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    return 0;
}
#endif
