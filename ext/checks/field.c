/* One backend's field for tests: operations on raw limbs, laid out [limb][lane]. Compiled once for
 * each field header, named by CCP2P_FIELD. */
#include CCP2P_FIELD

int field_lanes(void)
{
    return LANES;
}

int field_limbs(void)
{
    return (int)(sizeof(fe) / sizeof(vec));
}

#define OPERATION(name) \
    void field_##name(u64 *out, const u64 *left, const u64 *right) \
    { \
        fe a, b, r; \
        memcpy(&a, left, sizeof a); \
        memcpy(&b, right, sizeof b); \
        fe_##name(&r, &a, &b); \
        memcpy(out, &r, sizeof r); \
    }

OPERATION(mul)
OPERATION(add)
OPERATION(sub)

#define OPERATION_OF_ONE(name) \
    void field_##name(u64 *out, const u64 *operand) \
    { \
        fe a, r; \
        memcpy(&a, operand, sizeof a); \
        fe_##name(&r, &a); \
        memcpy(out, &r, sizeof r); \
    }

OPERATION_OF_ONE(sq)
OPERATION_OF_ONE(tighten)

/* Rows of three elements through registers and back: the two transpositions. */
void field_rows(u64 *out, const u64 *in)
{
    u64 words[LANES][ROW_WORDS], back[LANES][ROW_WORDS];
    u64 *rows[LANES], *back_rows[LANES];
    fe elements[3];
    memset(words, 0, sizeof words);
    for (int lane = 0; lane < LANES; lane++) {
        memcpy(words[lane], in + 3 * LIMBS51 * lane, 3 * LIMBS51 * sizeof(u64));
        rows[lane] = words[lane];
        back_rows[lane] = back[lane];
    }
    fe_load_rows(elements, 3, (const u64 *const *)rows);
    fe_store_rows(back_rows, elements, 3);
    for (int lane = 0; lane < LANES; lane++)
        memcpy(out + 3 * LIMBS51 * lane, back[lane], 3 * LIMBS51 * sizeof(u64));
}
