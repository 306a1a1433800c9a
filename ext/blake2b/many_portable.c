/* Many hashes on any CPU. */
#include "portable.h"
#define MANY_HASH many_portable
#include "many_lanes.h"
