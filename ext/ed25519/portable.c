/* The backend for any 64-bit CPU, one lane, and what is done in one lane whatever the backend:
 * joining the windows of a batch, Straus's method, and the table of the base point. */
#if defined(__GNUC__) && !defined(__clang__)
/* Five limbs are no vector: packed and unpacked again they cost 2% of a batch. */
#pragma GCC optimize("no-tree-vectorize")
#endif
#include "field51.h"

#include "decompress.h"
#include "pippenger.h"
#include "sha512.h"
#include "singles.h"
#include "straus.h"

const struct backend backend_portable = {
    "portable", LANES, 3, hash_items, decompress, window_sums, bucket_bytes, join_windows_singly,
    singles};

void join_windows_singly(
    struct extended *total, const struct extended *sums, int windows, int width)
{
    point p, sum;
    memcpy(&p, sums[windows - 1].word, sizeof p);
    for (int i = windows - 2; i >= 0; i--) {
        for (int j = 0; j < width; j++) point_double(&p, &p);
        memcpy(&sum, sums[i].word, sizeof sum);
        point_add(&p, &p, &sum);
    }
    memcpy(total->word, &p, sizeof p);
}

int vanishes(const struct extended *whole)
{
    point p;
    u8 verdict[LANES];
    memcpy(&p, whole->word, sizeof p);
    for (int i = 0; i < 3; i++) point_double(&p, &p);
    lanes_identity(verdict, &p);
    return verdict[0];
}

/* 1/z = z^(p - 2), from groups_power's z^(2^252 - 3): p - 2 = 8 * (2^252 - 3) + 3. */
static void invert(fe *r, const fe *z)
{
    fe power[GROUPS], cube, input[GROUPS];
    for (int i = 0; i < GROUPS; i++) input[i] = *z;
    groups_power(power, input);
    fe_sq(&cube, z);
    fe_mul(&cube, &cube, z);
    for (int i = 0; i < 3; i++) fe_sq(&power[0], &power[0]);
    fe_mul(r, &power[0], &cube);
}

static void store_affine(struct affine *out, const point *p)
{
    affine_lanes row;
    fe inverse, x, y;
    invert(&inverse, &p->z);
    fe_mul(&x, &p->x, &inverse);
    fe_mul(&y, &p->y, &inverse);
    affine_of_coordinates(&row, &x, &y);
    memset(out, 0, sizeof *out);
    memcpy(out->word, &row, sizeof row);
}

void affine_high(struct affine *out, const struct affine *in)
{
    affine_lanes row;
    point p;
    memcpy(&row, in->word, sizeof row);
    point_of_affine(&p, &row);
    for (int i = 0; i < 128; i++) point_double(&p, &p);
    store_affine(out, &p);
}

void base_multiples(struct affine out[BASE_MULTIPLES])
{
    static const struct affine BASE = {
        {0x493c6f58c3b85, 0x0df7181c325f7, 0x0f50b0b3e4cb7, 0x5329385a44c32, 0x07cf9d3a33d4b,
         0x03905d740913e, 0x0ba2817d673a2, 0x23e2827f4e67c, 0x133d2e0c21a34, 0x44fd2f9298f81,
         0x11205877aaa68, 0x479955893d579, 0x50d66309b67a0, 0x2d42d0dbee5ee, 0x6f117b689f0c6, 0}};
    affine_lanes base;
    point p;
    memcpy(&base, BASE.word, sizeof base);
    point_identity(&p);
    for (int i = 0; i < BASE_HIGH; i++) {
        store_affine(&out[i], &p);
        point_add_affine(&p, &p, &base);
    }
    affine_high(&out[BASE_HIGH], &BASE);
}
