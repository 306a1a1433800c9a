/* Chooses a backend, and puts messages of like length side by side. */
#include "many.h"

#include <stdlib.h>

#define LONGEST 64 /* longer messages share a class */

struct backend {
    const char *name;
    many_hasher *hash;
};

static const struct backend PORTABLE = {"portable", many_portable};
#if defined(__x86_64__)
static const struct backend AVX2 = {"avx2", many_avx2};
static const struct backend AVX512 = {"avx512", many_avx512};
#endif

static const struct backend *chosen = &PORTABLE;

static const struct backend *find(const char *name)
{
#if defined(__x86_64__)
    if (!strcmp(name, AVX512.name) && __builtin_cpu_supports("avx512f")) return &AVX512;
    if (!strcmp(name, AVX2.name) && __builtin_cpu_supports("avx2")) return &AVX2;
#endif
    return strcmp(name, PORTABLE.name) ? NULL : &PORTABLE;
}

static const struct backend *best(void)
{
    if (find("avx512")) return find("avx512");
    return find("avx2") ? find("avx2") : &PORTABLE;
}

int blake2b_use(const char *name)
{
    const struct backend *found = *name ? find(name) : best();
    if (found) chosen = found;
    return found != NULL;
}

int parameters_set(
    struct parameters *parameters, const u8 *person, size_t person_bytes, size_t key_bytes)
{
    if (person_bytes > BLAKE2B_PERSON_BYTES || key_bytes > BLAKE2B_MAX_KEY_BYTES) return 0;
    memset(parameters, 0, sizeof *parameters);
    memcpy(parameters->person, person, person_bytes);
    parameters->key_bytes = key_bytes;
    return 1;
}

static size_t length_class(const struct message *message)
{
    size_t blocks = message->bytes / 128;
    return blocks < LONGEST ? blocks : LONGEST - 1;
}

int blake2b_many(
    const struct message *messages, size_t count, const struct parameters *parameters,
    u8 (*digests)[BLAKE2B_DIGEST_BYTES])
{
    size_t start[LONGEST + 1] = {0};
    u32 *order = malloc((count ? count : 1) * sizeof *order);
    if (order == NULL) return 0;
    for (size_t i = 0; i < count; i++) start[length_class(&messages[i]) + 1]++;
    for (size_t i = 0; i < LONGEST; i++) start[i + 1] += start[i];
    for (size_t i = 0; i < count; i++) order[start[length_class(&messages[i])]++] = (u32)i;
    chosen->hash(messages, order, count, parameters, digests);
    free(order);
    return 1;
}
