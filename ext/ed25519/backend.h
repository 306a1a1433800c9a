/* What a backend does, all in its own number of lanes. Each is one C file that defines a field and
 * includes the same sources over it; `verify.c` picks one at run time. */
#ifndef CCP2P_ED25519_BACKEND_H
#define CCP2P_ED25519_BACKEND_H

#include "common.h"

/* Windows of the narrowest digits, 4 bits, in a reduced scalar. */
#define MAX_WINDOWS 64

/* A term of the batch equation: digit rows of MAX_WINDOWS, of which the first are in use. */
struct term {
    const struct affine *point;
    const int16_t *digits;
};

/* One signature for the exact check: 4-bit digits of k, 8-bit digits of S. */
struct single {
    const struct affine *key;
    const struct affine *commitment;
    int16_t challenge[MAX_WINDOWS];
    int16_t response[MAX_WINDOWS / 2];
};

/* Multiples of the base point: 0 to 128, then 2^128. */
#define BASE_MULTIPLES 130
#define BASE_HIGH 129

struct backend {
    const char *name;
    int lanes;
    /* From this many signatures on, one batch is faster than exact singles. */
    size_t batch_from;
    /* SHA-512 of R || A || M of each item. */
    void (*hash)(u8 (*out)[64], const struct item *const *items, size_t count);
    /* Affine rows of encodings, as ZIP-215 decodes; `ok` says which are points. */
    void (*decompress)(struct affine *out, u8 *ok, const u8 *const *encodings, size_t count);
    /* sums[i] = sum of digit i times point over terms; the first `long_count` terms have
     * `long_windows` digits, the others `short_windows`. `buckets` has bucket_bytes(width). */
    void (*window_sums)(
        struct extended *sums, const struct term *terms, size_t count, size_t long_count,
        int width, int long_windows, int short_windows, void *buckets);
    size_t (*bucket_bytes)(int width);
    /* total = sum of sums[i] * 2^(width * i) over at least one window. */
    void (*join_windows)(
        struct extended *total, const struct extended *sums, int windows, int width);
    /* Whether [8](S B - R - k A) = O, for each. */
    void (*singles)(
        u8 *verdicts, const struct single *items, size_t count, const struct affine *base);
};

extern const struct backend backend_portable;
/* CCP2P_EMULATE, for tests: the vector backends with their multiplications written out in C. */
#if defined(__x86_64__) || defined(CCP2P_EMULATE)
#define CCP2P_HAVE_X86_BACKENDS 1
extern const struct backend backend_avx2;
extern const struct backend backend_ifma;
#endif

/* `struct backend`'s join_windows in one lane. */
void join_windows_singly(
    struct extended *total, const struct extended *sums, int windows, int width);

/* Whether [8] of a point is the identity. */
int vanishes(const struct extended *p);

/* Straus's method in one lane, for small batches: whether [8] of the sum of scalars[i] * points[i]
 * is the identity. Scalars are reduced or coefficients. `workspace` has straus_bytes(count). */
int straus_vanishes(
    const struct affine *const *points, const struct scalar *scalars, size_t count,
    void *workspace);
size_t straus_bytes(size_t count);

/* The base point's multiples. */
void base_multiples(struct affine out[BASE_MULTIPLES]);

/* 2^128 times a point. */
void affine_high(struct affine *out, const struct affine *in);

#endif
