#include "counting_malloc.h"

#include <errno.h>
#include <stddef.h>

#ifndef __GLIBC__
#error "counting_malloc.c forwards to names that only glibc has"
#endif

/* glibc's own functions, under the names that it keeps for programs that replace malloc. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *pointer);

/* Initial-exec: reading it must not allocate. */
static _Thread_local uint64_t calls __attribute__((tls_model("initial-exec")));

uint64_t heap_calls(void) { return calls; }

void *malloc(size_t size) {
    calls++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    calls++;
    return __libc_calloc(count, size);
}

void *realloc(void *pointer, size_t size) {
    calls++;
    return __libc_realloc(pointer, size);
}

void free(void *pointer) {
    calls++;
    __libc_free(pointer);
}

void *memalign(size_t alignment, size_t size) {
    calls++;
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **pointer, size_t alignment, size_t size) {
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) {
        return EINVAL;
    }
    void *made = memalign(alignment, size);
    if (made == NULL && size != 0) {
        return ENOMEM;
    }
    *pointer = made;
    return 0;
}
