/* Points of edwards25519 (a = -1) in the lanes of the backend that includes this: extended
 * coordinates (Hisil, Wong, Carter, Dawson 2008), complete for all points, torsion included.
 * Comments after a line give the bound of its result, as the backends' fields define them. */
#ifndef CCP2P_ED25519_POINT_H
#define CCP2P_ED25519_POINT_H

#include "common.h"

/* X, Y, Z, T: all tight. In memory order of an extended row. */
typedef struct {
    fe x, y, z, t;
} point;

/* y+x, y-x, 2dxy of an affine point: tight, but for a negated 2dxy (loose). */
typedef struct {
    fe plus, minus, t2d;
} affine_lanes;

/* Y+X, Y-X, Z, 2dT: the form in which tables keep multiples. Tight, but for a negated 2dT. */
typedef struct {
    fe plus, minus, z, t2d;
} table_lanes;

static const u64 CONSTANT_ONE[LIMBS51] = {1, 0, 0, 0, 0};
static const u64 CONSTANT_ZERO[LIMBS51] = {0, 0, 0, 0, 0};
static const u64 CONSTANT_D[LIMBS51] = {
    0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029, 0x739c663a03cbb, 0x52036cee2b6ff};
static const u64 CONSTANT_2D[LIMBS51] = {
    0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff};
static const u64 CONSTANT_ROOT_OF_MINUS_ONE[LIMBS51] = {
    0x61b274a0ea0b0, 0x0d5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d};

static inline void point_identity(point *r)
{
    fe_broadcast(&r->x, CONSTANT_ZERO);
    fe_broadcast(&r->y, CONSTANT_ONE);
    fe_broadcast(&r->z, CONSTANT_ONE);
    fe_broadcast(&r->t, CONSTANT_ZERO);
}

/* The end of every addition: E = B - A, F = D - C, G = D + C, H = B + A. */
static inline void point_finish(point *r, const fe *a, const fe *b, const fe *c, const fe *d)
{
    fe e, f, g, h;
    fe_sub(&e, b, a); /* loose */
    fe_sub(&f, d, c); /* wide: d is 2Z */
    fe_add(&g, d, c); /* loose: three tight */
    fe_add(&h, b, a); /* loose */
    fe_mul(&r->x, &f, &e);
    fe_mul(&r->y, &g, &h);
    fe_mul(&r->z, &f, &g);
    fe_mul(&r->t, &e, &h);
}

static inline void point_add_affine(point *r, const point *p, const affine_lanes *q)
{
    fe a, b, c, d, sum;
    fe_sub(&sum, &p->y, &p->x);
    fe_mul(&a, &sum, &q->minus);
    fe_add(&sum, &p->y, &p->x);
    fe_mul(&b, &sum, &q->plus);
    fe_mul(&c, &p->t, &q->t2d);
    fe_twice(&d, &p->z);
    point_finish(r, &a, &b, &c, &d);
}

static inline void point_add_table(point *r, const point *p, const table_lanes *q)
{
    fe a, b, c, d, sum;
    fe_sub(&sum, &p->y, &p->x);
    fe_mul(&a, &sum, &q->minus);
    fe_add(&sum, &p->y, &p->x);
    fe_mul(&b, &sum, &q->plus);
    fe_mul(&c, &p->t, &q->t2d);
    fe_mul(&sum, &p->z, &q->z);
    fe_twice(&d, &sum);
    point_finish(r, &a, &b, &c, &d);
}

static inline void table_of_point(table_lanes *r, const point *p)
{
    fe sum, factor;
    fe_add(&sum, &p->y, &p->x);
    fe_tighten(&r->plus, &sum);
    fe_sub(&sum, &p->y, &p->x);
    fe_tighten(&r->minus, &sum);
    r->z = p->z;
    fe_broadcast(&factor, CONSTANT_2D);
    fe_mul(&r->t2d, &p->t, &factor);
}

static inline void point_add(point *r, const point *p, const point *q)
{
    table_lanes entry;
    table_of_point(&entry, q);
    point_add_table(r, p, &entry);
}

static inline void point_double(point *r, const point *p)
{
    fe a, b, c, e, f, g, h, sum;
    fe_sq(&a, &p->x);
    fe_sq(&b, &p->y);
    fe_sq(&c, &p->z);
    fe_add(&sum, &p->x, &p->y); /* loose */
    fe_sq(&e, &sum);
    fe_add(&h, &a, &b); /* loose: two tight */
    fe_sub(&e, &h, &e); /* wide */
    fe_sub(&g, &a, &b); /* loose */
    fe_add(&c, &c, &c); /* loose: two tight */
    fe_add(&f, &c, &g); /* wide */
    fe_mul(&r->y, &g, &h);
    fe_mul(&r->z, &f, &g);
    fe_mul(&r->t, &e, &h);
    fe_narrow(&f, &f);
    fe_mul(&r->x, &e, &f);
}

/* q, or -q in the lanes of `negative`. */
static inline void affine_negate(affine_lanes *q, vec negative)
{
    fe minus_t2d, plus = q->plus;
    fe_negate(&minus_t2d, &q->t2d);
    fe_select(&q->plus, &plus, &q->minus, negative);
    fe_select(&q->minus, &q->minus, &plus, negative);
    fe_select(&q->t2d, &q->t2d, &minus_t2d, negative);
}

static inline void table_negate(table_lanes *q, vec negative)
{
    affine_lanes same = {q->plus, q->minus, q->t2d};
    affine_negate(&same, negative);
    q->plus = same.plus;
    q->minus = same.minus;
    q->t2d = same.t2d;
}

/* The point that an affine row stands for: from y+x = 2y', y-x = 2x' up to the common factor 2,
 * X = (y+x) - (y-x), Y = (y+x) + (y-x), Z = 2, T = XY / Z; scaled by 2 to avoid the division. */
static inline void point_of_affine(point *r, const affine_lanes *q)
{
    fe x, y, z;
    fe_sub(&x, &q->plus, &q->minus);
    fe_add(&y, &q->plus, &q->minus);
    fe_broadcast(&z, CONSTANT_ONE);
    fe_add(&z, &z, &z);
    fe_mul(&r->t, &x, &y);
    fe_mul(&r->x, &x, &z);
    fe_mul(&r->y, &y, &z);
    fe_mul(&r->z, &z, &z);
}

#endif
