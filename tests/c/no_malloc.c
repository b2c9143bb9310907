/* No serving call through the C interface touches the heap, the first call included.
 * Arguments: the models to serve. */
#include "check.h"
#include "counting_malloc.h"
#include "serving.h"

enum { CALLS = 20 };

int main(int argc, char **argv) {
    CHECK(argc > 1);
    for (int model = 1; model < argc; model++) {
        if (serving_open(argv[model]) != 0) {
            fprintf(stderr, "%s does not open\n", argv[model]);
            return EXIT_FAILURE;
        }
        for (int call = 0; call < CALLS; call++) {
            uint64_t before = heap_calls();
            int status = serving_call();
            uint64_t calls = heap_calls() - before;
            if (status != 0 || calls != 0) {
                fprintf(stderr, "%s: call %d: status %d, %llu heap calls\n", argv[model], call,
                        status, (unsigned long long)calls);
                return EXIT_FAILURE;
            }
        }
        serving_close();
    }
    return EXIT_SUCCESS;
}
