/* Memory for objects. */
#ifndef ALIGNED_H
#define ALIGNED_H

#include <stdlib.h>

#include "nowcast.h"

/* Memory on a multiple of NOWCAST_ALIGNMENT, in a block of its own so that a sanitizer sees its
 * end. `*block` is what is to be freed. */
static void *aligned(uint64_t bytes, void **block)
{
    /* The object ends where the block does. */
    size_t whole = (size_t)((bytes + NOWCAST_ALIGNMENT - 1) / NOWCAST_ALIGNMENT * NOWCAST_ALIGNMENT);
    char *memory = malloc(whole + NOWCAST_ALIGNMENT);
    if (memory == NULL) {
        abort();
    }
    *block = memory;
    return memory + NOWCAST_ALIGNMENT - (uintptr_t)memory % NOWCAST_ALIGNMENT;
}

#endif
