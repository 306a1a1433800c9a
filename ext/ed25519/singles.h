/* The exact check of LANES signatures abreast: [8](S B - R - k A) = O, four doublings a step. */
#ifndef CCP2P_ED25519_SINGLES_H
#define CCP2P_ED25519_SINGLES_H

#include "backend.h"
#include "canonical.h"
#include "point.h"

#define KEY_MULTIPLES 9 /* 0 to 8, for signed digits of 4 bits */

struct key_table {
    _Alignas(64) u64 row[KEY_MULTIPLES][LANES][ROW_WORDS];
};

static void key_table_store(struct key_table *table, int multiple, const point *p)
{
    u64 *rows[LANES];
    table_lanes entry;
    for (int lane = 0; lane < LANES; lane++) rows[lane] = table->row[multiple][lane];
    table_of_point(&entry, p);
    fe_store_rows(rows, (const fe *)&entry, 4);
}

static void key_table_fill(struct key_table *table, const affine_lanes *key)
{
    point multiple;
    point_identity(&multiple);
    key_table_store(table, 0, &multiple);
    for (int i = 1; i < KEY_MULTIPLES; i++) {
        point_add_affine(&multiple, &multiple, key);
        key_table_store(table, i, &multiple);
    }
}

static inline int magnitude(int16_t digit)
{
    return digit < 0 ? -digit : digit;
}

/* p -= digit * A */
static inline void subtract_key(
    point *p, const struct key_table *table, const struct single *const items[LANES], int window)
{
    const u64 *rows[LANES];
    int16_t digits[LANES];
    table_lanes entry;
    for (int lane = 0; lane < LANES; lane++) {
        digits[lane] = items[lane]->challenge[window];
        rows[lane] = table->row[magnitude(digits[lane])][lane];
    }
    fe_load_rows((fe *)&entry, 4, rows);
    table_negate(&entry, ~lane_signs(digits));
    point_add_table(p, p, &entry);
}

/* p += digit * B */
static inline void add_base(
    point *p, const struct affine *base, const struct single *const items[LANES], int window)
{
    const u64 *rows[LANES];
    int16_t digits[LANES];
    affine_lanes entry;
    for (int lane = 0; lane < LANES; lane++) {
        digits[lane] = items[lane]->response[window];
        rows[lane] = base[magnitude(digits[lane])].word;
    }
    fe_load_rows((fe *)&entry, 3, rows);
    affine_negate(&entry, lane_signs(digits));
    point_add_affine(p, p, &entry);
}

static inline void affine_load(affine_lanes *r, const struct affine *const points[LANES])
{
    const u64 *rows[LANES];
    for (int lane = 0; lane < LANES; lane++) rows[lane] = points[lane]->word;
    fe_load_rows((fe *)r, 3, rows);
}

/* Sets each lane's verdict to whether the point is the identity: X = 0 and Y = Z. */
static void lanes_identity(u8 verdicts[LANES], const point *p)
{
    u64 words[LANES][ROW_WORDS];
    u64 *rows[LANES];
    fe difference[2];
    for (int lane = 0; lane < LANES; lane++) rows[lane] = words[lane];
    fe_tighten(&difference[0], &p->x);
    fe_sub(&difference[1], &p->y, &p->z);
    fe_tighten(&difference[1], &difference[1]);
    fe_store_rows(rows, difference, 2);
    for (int lane = 0; lane < LANES; lane++)
        verdicts[lane] = is_zero(words[lane]) && is_zero(words[lane] + LIMBS51);
}

static void singles_group(
    u8 verdicts[LANES], const struct single *const items[LANES], const struct affine *base)
{
    const struct affine *keys[LANES], *commitments[LANES];
    struct key_table table;
    affine_lanes key, commitment;
    point p;
    for (int lane = 0; lane < LANES; lane++) {
        keys[lane] = items[lane]->key;
        commitments[lane] = items[lane]->commitment;
    }
    affine_load(&key, keys);
    affine_load(&commitment, commitments);
    key_table_fill(&table, &key);
    point_identity(&p);
    for (int window = MAX_WINDOWS - 1; window >= 0; window--) {
        for (int i = 0; i < 4; i++) point_double(&p, &p);
        subtract_key(&p, &table, items, window);
        if (window % 2 == 0) add_base(&p, base, items, window / 2);
    }
    affine_negate(&commitment, ~((vec){0}));
    point_add_affine(&p, &p, &commitment);
    for (int i = 0; i < 3; i++) point_double(&p, &p);
    lanes_identity(verdicts, &p);
}

static void singles(
    u8 *verdicts, const struct single *items, size_t count, const struct affine *base)
{
    for (size_t start = 0; start < count; start += LANES) {
        const struct single *group[LANES];
        u8 group_verdicts[LANES];
        size_t live = count - start < LANES ? count - start : LANES;
        for (size_t lane = 0; lane < LANES; lane++)
            group[lane] = &items[start + (lane < live ? lane : 0)];
        singles_group(group_verdicts, group, base);
        memcpy(verdicts + start, group_verdicts, live);
    }
}

#endif
