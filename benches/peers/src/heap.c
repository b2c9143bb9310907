/* The memory functions of glibc with a counter, for the program and all that it loads.
 *
 * Counts calls for memory, also those that need none from the system: what a real-time caller
 * cannot bound. The counter needs no lock: one thread serves. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

volatile uint64_t nowcast_heap_calls;

void *malloc(size_t bytes) {
    nowcast_heap_calls += 1;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    nowcast_heap_calls += 1;
    return __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes) {
    nowcast_heap_calls += 1;
    return __libc_realloc(block, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
    nowcast_heap_calls += 1;
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    return memalign(alignment, bytes);
}

int posix_memalign(void **block, size_t alignment, size_t bytes) {
    void *memory;
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) {
        return EINVAL;
    }
    memory = memalign(alignment, bytes);
    if (memory == NULL) {
        return ENOMEM;
    }
    *block = memory;
    return 0;
}
