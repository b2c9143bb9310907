/* The count sees every kind of heap call, through the C library too. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "counting_malloc.h"

#include <string.h>

/* Keeps the compiler from leaving out a call whose result is not used. */
static void *volatile kept;

int main(void) {
    uint64_t before = heap_calls();
    CHECK(heap_calls() == before);

    kept = malloc(10);
    CHECK(heap_calls() == before + 1);
    kept = realloc(kept, 20);
    CHECK(heap_calls() == before + 2);
    free(kept);
    CHECK(heap_calls() == before + 3);
    kept = calloc(3, 5);
    free(kept);
    CHECK(heap_calls() == before + 5);
    kept = aligned_alloc(64, 128);
    free(kept);
    CHECK(heap_calls() == before + 7);
    void *aligned = NULL;
    CHECK(posix_memalign(&aligned, 64, 100) == 0);
    kept = aligned;
    free(kept);
    CHECK(heap_calls() == before + 9);

    /* A call of a library on our behalf counts as well. */
    kept = strdup("text");
    free(kept);
    CHECK(heap_calls() >= before + 11);
    return EXIT_SUCCESS;
}
