/* AVX-512, eight lanes: the compiler knows its rotations. The includer sets the target. */
#define LANES 8
#include "words.h"

typedef u64 vec __attribute__((vector_size(8 * LANES)));

#define ROTATE(x, n) ((x) >> (n) | (x) << (64 - (n)))
#define ROTATE32(x) ROTATE(x, 32)
#define ROTATE24(x) ROTATE(x, 24)
#define ROTATE16(x) ROTATE(x, 16)
#define ROTATE63(x) ROTATE(x, 63)
