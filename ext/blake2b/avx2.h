/* AVX2, four lanes; rotations by whole bytes are shuffles. The includer sets the target before and
 * ends it after. */
#define LANES 4
#include "words.h"

#include <immintrin.h>

typedef u64 vec __attribute__((vector_size(8 * LANES)));

#define PATTERN(a, b, c, d, e, f, g, h) \
    _mm256_setr_epi8( \
        a, b, c, d, e, f, g, h, a + 8, b + 8, c + 8, d + 8, e + 8, f + 8, g + 8, h + 8, \
        a, b, c, d, e, f, g, h, a + 8, b + 8, c + 8, d + 8, e + 8, f + 8, g + 8, h + 8)
#define SHUFFLED(x, ...) ((vec)_mm256_shuffle_epi8((__m256i)(x), PATTERN(__VA_ARGS__)))
#define ROTATE32(x) ((vec)_mm256_shuffle_epi32((__m256i)(x), 0xb1))
#define ROTATE24(x) SHUFFLED(x, 3, 4, 5, 6, 7, 0, 1, 2)
#define ROTATE16(x) SHUFFLED(x, 2, 3, 4, 5, 6, 7, 0, 1)

static inline __attribute__((always_inline)) vec ROTATE63(vec x)
{
    return x >> 63 | (x + x);
}
