/* Counts the heap calls of a whole program.
 *
 * Link counting_malloc.c into the program: its malloc, calloc, realloc, free and their aligned
 * relatives take the place of the C library's for every caller, libraries included. glibc only.
 */
#ifndef COUNTING_MALLOC_H
#define COUNTING_MALLOC_H

#include <stdint.h>

/* Heap calls of this thread since it started. */
uint64_t heap_calls(void);

#endif
