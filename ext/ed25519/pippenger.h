/* Pippenger's bucket method with windows as lanes: lane j of group g adds every term into the
 * buckets of window LANES * g + j, so no two lanes ever touch the same bucket. */
#ifndef CCP2P_ED25519_PIPPENGER_H
#define CCP2P_ED25519_PIPPENGER_H

#include "backend.h"
#include "point.h"

/* Buckets 0 (digit zero, never read back) to 2^(width-1), a row for each lane. */
static size_t bucket_bytes(int width)
{
    return (((size_t)1 << (width - 1)) + 1) * LANES * ROW_WORDS * sizeof(u64);
}

static void buckets_clear(u64 *buckets, int width)
{
    size_t rows = bucket_bytes(width) / (ROW_WORDS * sizeof(u64));
    for (size_t i = 0; i < rows; i++) {
        u64 *row = buckets + i * ROW_WORDS;
        memset(row, 0, ROW_WORDS * sizeof(u64));
        row[LIMBS51] = row[2 * LIMBS51] = 1;
    }
}

static inline void bucket_add(u64 *buckets, const struct term *term, int first_window)
{
    const int16_t *digits = term->digits + first_window;
    u64 *rows[LANES];
    point sum;
    affine_lanes addend;
    for (int lane = 0; lane < LANES; lane++) {
        int index = digits[lane] < 0 ? -digits[lane] : digits[lane];
        rows[lane] = buckets + ((size_t)index * LANES + (size_t)lane) * ROW_WORDS;
    }
    fe_broadcast(&addend.plus, term->point->word);
    fe_broadcast(&addend.minus, term->point->word + LIMBS51);
    fe_broadcast(&addend.t2d, term->point->word + 2 * LIMBS51);
    affine_negate(&addend, lane_signs(digits));
    fe_load_rows((fe *)&sum, 4, (const u64 *const *)rows);
    point_add_affine(&sum, &sum, &addend);
    fe_store_rows(rows, (const fe *)&sum, 4);
}

static inline void bucket_load(point *r, const u64 *buckets, int index)
{
    const u64 *rows[LANES];
    for (int lane = 0; lane < LANES; lane++)
        rows[lane] = buckets + ((size_t)index * LANES + (size_t)lane) * ROW_WORDS;
    fe_load_rows((fe *)r, 4, rows);
}

/* The sum of b * bucket[b]: a running sum from the top, summed. Of each running sum the form in
 * which it is added serves twice. */
static void buckets_collect(point *total, u64 *buckets, int width)
{
    point running, bucket;
    table_lanes addend;
    int index = 1 << (width - 1);
    bucket_load(&running, buckets, index);
    *total = running;
    table_of_point(&addend, &running);
    while (--index > 0) {
        bucket_load(&bucket, buckets, index);
        point_add_table(&running, &bucket, &addend);
        table_of_point(&addend, &running);
        point_add_table(total, total, &addend);
    }
}

/* See `struct backend`. Digit rows are zero past their last window. */
static void window_sums(
    struct extended *sums, const struct term *terms, size_t count, size_t long_count, int width,
    int long_windows, int short_windows, void *workspace)
{
    u64 *buckets = workspace;
    for (int first = 0; first < long_windows; first += LANES) {
        size_t live = first < short_windows ? count : long_count;
        point total;
        struct extended group[LANES];
        u64 *rows[LANES];
        buckets_clear(buckets, width);
        for (size_t i = 0; i < live; i++) bucket_add(buckets, &terms[i], first);
        buckets_collect(&total, buckets, width);
        for (int lane = 0; lane < LANES; lane++) rows[lane] = group[lane].word;
        fe_store_rows(rows, (const fe *)&total, 4);
        for (int lane = 0; lane < LANES && first + lane < long_windows; lane++)
            sums[first + lane] = group[lane];
    }
}

#endif
