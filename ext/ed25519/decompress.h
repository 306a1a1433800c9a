/* From 32 bytes to an affine row, as ZIP-215 decodes: bit 255 is the sign of x, y is taken modulo
 * p, and x = 0 may carry either sign. Runs LANES points abreast, GROUPS such groups interleaved,
 * since the exponentiation is a chain of dependent squarings. */
#ifndef CCP2P_ED25519_DECOMPRESS_H
#define CCP2P_ED25519_DECOMPRESS_H

#include "canonical.h"
#include "point.h"

#define DECOMPRESS_MANY (GROUPS * LANES)

static inline void groups_mul(fe r[GROUPS], const fe a[GROUPS], const fe b[GROUPS])
{
    for (int j = 0; j < GROUPS; j++) fe_mul(&r[j], &a[j], &b[j]);
}

static inline void groups_square_times(fe r[GROUPS], const fe a[GROUPS], int times)
{
    for (int j = 0; j < GROUPS; j++) fe_sq(&r[j], &a[j]);
    for (int i = 1; i < times; i++)
        for (int j = 0; j < GROUPS; j++) fe_sq(&r[j], &r[j]);
}

/* z^((p - 5) / 8) = z^(2^252 - 3): the usual addition chain; `kN` holds z^(2^N - 1). */
static void groups_power(fe r[GROUPS], const fe z[GROUPS])
{
    fe z2[GROUPS], z9[GROUPS], k5[GROUPS], k10[GROUPS], k20[GROUPS], k50[GROUPS], k100[GROUPS], t[GROUPS];
    groups_square_times(z2, z, 1);
    groups_square_times(t, z2, 2);
    groups_mul(z9, t, z);
    groups_mul(t, z9, z2);
    groups_square_times(t, t, 1);
    groups_mul(k5, t, z9);
    groups_square_times(t, k5, 5);
    groups_mul(k10, t, k5);
    groups_square_times(t, k10, 10);
    groups_mul(k20, t, k10);
    groups_square_times(t, k20, 20);
    groups_mul(t, t, k20);
    groups_square_times(t, t, 10);
    groups_mul(k50, t, k10);
    groups_square_times(t, k50, 50);
    groups_mul(k100, t, k50);
    groups_square_times(t, k100, 100);
    groups_mul(t, t, k100);
    groups_square_times(t, t, 50);
    groups_mul(t, t, k50);
    groups_square_times(t, t, 2);
    groups_mul(r, t, z);
}

/* A mask of the lanes in which `test` holds of the element. */
static vec lanes_where(const fe *a, int (*test)(const u64 *))
{
    u64 words[LANES][ROW_WORDS], mask[LANES];
    u64 *rows[LANES];
    fe tight;
    fe_tighten(&tight, a);
    for (int lane = 0; lane < LANES; lane++) rows[lane] = words[lane];
    fe_store_rows(rows, &tight, 1);
    for (int lane = 0; lane < LANES; lane++) mask[lane] = test(words[lane]) ? ~0ULL : 0;
    return lane_load(mask);
}

/* u = y^2 - 1 and v = dy^2 + 1, both tight. */
static void curve_ratio(fe *u, fe *v, const fe *y)
{
    fe one, d, square, t;
    fe_broadcast(&one, CONSTANT_ONE);
    fe_broadcast(&d, CONSTANT_D);
    fe_sq(&square, y);
    fe_sub(&t, &square, &one);
    fe_tighten(u, &t);
    fe_mul(&t, &square, &d);
    fe_add(&t, &t, &one);
    fe_tighten(v, &t);
}

/* u v^3 and u v^7. */
static void root_inputs(fe *uv3, fe *uv7, const fe *u, const fe *v)
{
    fe v2, v3, v4;
    fe_sq(&v2, v);
    fe_mul(&v3, &v2, v);
    fe_sq(&v4, &v2);
    fe_mul(uv3, u, &v3);
    fe_mul(uv7, uv3, &v4);
}

/* Given a candidate root x, corrects it by sqrt(-1) and by sign; returns the lanes on the curve. */
static vec choose_root(fe *x, const fe *u, const fe *v, vec sign)
{
    fe vx2, t, root, other, zero;
    fe_broadcast(&zero, CONSTANT_ZERO);
    fe_sq(&vx2, x);
    fe_mul(&vx2, &vx2, v);
    fe_sub(&t, &vx2, u);
    vec is_root = lanes_where(&t, is_zero);
    fe_add(&t, &vx2, u);
    vec is_root_of_minus = lanes_where(&t, is_zero);
    fe_broadcast(&root, CONSTANT_ROOT_OF_MINUS_ONE);
    fe_mul(&other, x, &root);
    fe_select(x, &other, x, is_root);
    fe_sub(&t, &zero, x);
    fe_tighten(&other, &t);
    fe_select(x, x, &other, lanes_where(x, is_odd) ^ sign);
    return is_root | is_root_of_minus;
}

static void affine_of_coordinates(affine_lanes *r, const fe *x, const fe *y)
{
    fe t, factor;
    fe_add(&t, y, x);
    fe_tighten(&r->plus, &t);
    fe_sub(&t, y, x);
    fe_tighten(&r->minus, &t);
    fe_broadcast(&factor, CONSTANT_2D);
    fe_mul(&t, x, y);
    fe_mul(&r->t2d, &t, &factor);
}

static void decompress_store(struct affine *out, u8 *ok, const fe *x, const fe *y, vec good)
{
    affine_lanes result;
    u64 words[LANES][ROW_WORDS];
    u64 *rows[LANES];
    affine_of_coordinates(&result, x, y);
    for (int lane = 0; lane < LANES; lane++) rows[lane] = words[lane];
    fe_store_rows(rows, (const fe *)&result, 3);
    u64 mask[LANES];
    memcpy(mask, &good, sizeof mask);
    for (int lane = 0; lane < LANES; lane++) {
        memcpy(out[lane].word, words[lane], sizeof(u64) * 3 * LIMBS51);
        out[lane].word[AFFINE_WORDS - 1] = 0;
        ok[lane] = mask[lane] != 0;
    }
}

/* Decompresses DECOMPRESS_MANY encodings; `ok` says which are points. */
static void decompress_group(
    struct affine *out, u8 *ok, const u8 *const encodings[DECOMPRESS_MANY])
{
    fe y[GROUPS], u[GROUPS], v[GROUPS], x[GROUPS], uv3[GROUPS];
    vec sign[GROUPS];
    for (int j = 0; j < GROUPS; j++) {
        u64 words[LANES][ROW_WORDS] = {{0}}, signs[LANES];
        const u64 *rows[LANES];
        for (int lane = 0; lane < LANES; lane++) {
            const u8 *bytes = encodings[j * LANES + lane];
            limbs_of_bytes(words[lane], bytes);
            signs[lane] = bytes[31] & 0x80 ? ~0ULL : 0;
            rows[lane] = words[lane];
        }
        fe_load_rows(&y[j], 1, rows);
        sign[j] = lane_load(signs);
        curve_ratio(&u[j], &v[j], &y[j]);
        root_inputs(&uv3[j], &x[j], &u[j], &v[j]);
    }
    groups_power(x, x);
    groups_mul(x, x, uv3);
    for (int j = 0; j < GROUPS; j++) {
        vec good = choose_root(&x[j], &u[j], &v[j], sign[j]);
        decompress_store(out + j * LANES, ok + j * LANES, &x[j], &y[j], good);
    }
}

static void decompress(struct affine *out, u8 *ok, const u8 *const *encodings, size_t count)
{
    for (size_t start = 0; start < count; start += DECOMPRESS_MANY) {
        struct affine group[DECOMPRESS_MANY];
        u8 group_ok[DECOMPRESS_MANY];
        const u8 *group_encodings[DECOMPRESS_MANY];
        size_t live = count - start < DECOMPRESS_MANY ? count - start : DECOMPRESS_MANY;
        for (size_t i = 0; i < DECOMPRESS_MANY; i++)
            group_encodings[i] = encodings[start + (i < live ? i : 0)];
        decompress_group(group, group_ok, group_encodings);
        memcpy(out + start, group, live * sizeof *out);
        memcpy(ok + start, group_ok, live);
    }
}

#endif
