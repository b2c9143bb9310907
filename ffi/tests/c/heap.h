/* Counts the calls of the heap. Linked with --wrap for each function below. */
#ifndef HEAP_H
#define HEAP_H

#include "check.h"

static unsigned long calls = 0;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
int __real_posix_memalign(void **block, size_t alignment, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *block);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __wrap_free(void *block);

void *__wrap_malloc(size_t bytes)
{
    calls++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    calls++;
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *block, size_t bytes)
{
    calls++;
    return __real_realloc(block, bytes);
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes)
{
    calls++;
    return __real_posix_memalign(block, alignment, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    calls++;
    return __real_aligned_alloc(alignment, bytes);
}

void __wrap_free(void *block)
{
    calls++;
    __real_free(block);
}

/* Passes if the call succeeds without calling the heap. */
#define SERVES(call)                                                                          \
    do {                                                                                      \
        unsigned long before_ = calls;                                                        \
        nowcast_error error = NOWCAST_ERROR_INIT;                                             \
        nowcast_status status_ = (call);                                                      \
        unsigned long made_ = calls - before_;                                                \
        if (status_ != NOWCAST_OK || made_ != 0) {                                            \
            fprintf(stderr, "%s:%d: %s: %s, %lu calls of the heap %s\n", __FILE__, __LINE__,  \
                    #call, nowcast_status_name(status_), made_, error.message);               \
            failures++;                                                                       \
        }                                                                                     \
    } while (0)

#endif
