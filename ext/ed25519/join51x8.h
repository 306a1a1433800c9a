/* Joining the windows of a batch with one point's coordinates in four lanes of field51x8.h: the
 * chain of doublings is one of dependent steps, so lanes can only share the work of each. A
 * doubling is one square and one product instead of four and four; lanes 4 to 7 hold zeros. All
 * elements are tight, as everything is in that field. */
#ifndef CCP2P_ED25519_JOIN51X8_H
#define CCP2P_ED25519_JOIN51X8_H

#include "backend.h"
#include "point.h"

/* Lanes 0 to 3: X, Y, Z, T. */
typedef fe quad;

static inline void quad_of_words(quad *r, const u64 *x, const u64 *y, const u64 *z, const u64 *t)
{
    UNROLL for (int i = 0; i < LIMBS51; i++) r->v[i] = (vec){x[i], y[i], z[i], t[i], 0, 0, 0, 0};
}

static inline void quad_load(quad *r, const struct extended *p)
{
    const u64 *word = p->word;
    quad_of_words(r, word, word + LIMBS51, word + 2 * LIMBS51, word + 3 * LIMBS51);
}

static inline void quad_store(struct extended *r, const quad *p)
{
    for (int i = 0; i < LIMBS51; i++)
        for (int lane = 0; lane < 4; lane++) r->word[lane * LIMBS51 + i] = p->v[i][lane];
}

/* Every lane of r is one lane of a. */
#define QUAD_SPREAD(r, a, lane) \
    UNROLL for (int i = 0; i < LIMBS51; i++) \
        (r)->v[i] = SHUFFLE8( \
            (a)->v[i], (a)->v[i], lane, lane, lane, lane, lane, lane, lane, lane)

/* Lane by lane from a or b: an index below 8 is a's lane, from 8 on b's. */
#define QUAD_BLEND(r, a, b, ...) \
    UNROLL for (int i = 0; i < LIMBS51; i++) \
        (r)->v[i] = SHUFFLE8((a)->v[i], (b)->v[i], __VA_ARGS__, 4, 5, 6, 7)

/* X = EF, Y = GH, Z = FG, T = EH, of four elements that fill all lanes. */
static inline void quad_finish(quad *r, const fe *e, const fe *f, const fe *g, const fe *h)
{
    fe left, right;
    QUAD_BLEND(&left, e, g, 0, 9, 2, 3);
    QUAD_BLEND(&left, &left, f, 0, 1, 10, 3);
    QUAD_BLEND(&right, h, f, 8, 1, 2, 3);
    QUAD_BLEND(&right, &right, g, 0, 1, 10, 3);
    fe_mul(r, &left, &right);
}

/* As point_double. */
static inline void quad_double(quad *p)
{
    fe x, y, a, b, c, e, f, g, h, input;
    QUAD_SPREAD(&x, p, 0);
    QUAD_SPREAD(&y, p, 1);
    fe_add(&input, &x, &y);
    QUAD_BLEND(&input, p, &input, 0, 1, 2, 11);
    fe_sq(&input, &input);
    QUAD_SPREAD(&a, &input, 0);
    QUAD_SPREAD(&b, &input, 1);
    QUAD_SPREAD(&c, &input, 2);
    QUAD_SPREAD(&e, &input, 3);
    fe_add(&h, &a, &b);
    fe_sub(&e, &h, &e);
    fe_sub(&g, &a, &b);
    fe_add(&c, &c, &c);
    fe_add(&f, &c, &g);
    quad_finish(p, &e, &f, &g, &h);
}

/* Y-X, Y+X, Z, T of a point. */
static inline void quad_differences(fe *r, const quad *p)
{
    fe x, y, sum, difference;
    QUAD_SPREAD(&x, p, 0);
    QUAD_SPREAD(&y, p, 1);
    fe_add(&sum, &y, &x);
    fe_sub(&difference, &y, &x);
    QUAD_BLEND(r, p, &difference, 8, 1, 2, 3);
    QUAD_BLEND(r, r, &sum, 0, 9, 2, 3);
}

/* As point_add, with A, B, D, C in lanes 0 to 3. */
static inline void quad_add(quad *p, const quad *q)
{
    static const u64 TWO[LIMBS51] = {2, 0, 0, 0, 0};
    fe factor, left, right, a, b, c, d, e, f, g, h;
    quad_of_words(&factor, CONSTANT_ONE, CONSTANT_ONE, TWO, CONSTANT_2D);
    quad_differences(&left, p);
    quad_differences(&right, q);
    fe_mul(&right, &right, &factor);
    fe_mul(&left, &left, &right);
    QUAD_SPREAD(&a, &left, 0);
    QUAD_SPREAD(&b, &left, 1);
    QUAD_SPREAD(&d, &left, 2);
    QUAD_SPREAD(&c, &left, 3);
    fe_sub(&e, &b, &a);
    fe_sub(&f, &d, &c);
    fe_add(&g, &d, &c);
    fe_add(&h, &b, &a);
    quad_finish(p, &e, &f, &g, &h);
}

/* See `struct backend`. */
static void join_windows(
    struct extended *total, const struct extended *sums, int windows, int width)
{
    quad p, sum;
    quad_load(&p, &sums[windows - 1]);
    for (int i = windows - 2; i >= 0; i--) {
        for (int j = 0; j < width; j++) quad_double(&p);
        quad_load(&sum, &sums[i]);
        quad_add(&p, &sum);
    }
    quad_store(total, &p);
}

#endif
