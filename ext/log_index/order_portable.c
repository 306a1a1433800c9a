/* The linear order's hash on any CPU. */
#include "blake2b/portable.h"
#define ORDER_HASH order_hash_portable
#include "order_lanes.h"
