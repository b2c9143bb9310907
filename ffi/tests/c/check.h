/* What the test programs share. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "nowcast.h"

static int failures = 0;

/* Says so if a condition does not hold. */
#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition);  \
            failures++;                                                          \
        }                                                                        \
    } while (0)

/* Says so if a call does not return this status, or a failure not its code and a sentence. The
 * call passes `&error`. */
#define EXPECT(call, expected)                                                              \
    do {                                                                                    \
        nowcast_error error = NOWCAST_ERROR_INIT;                                           \
        nowcast_status status_ = (call);                                                    \
        if (status_ != (expected)) {                                                        \
            fprintf(stderr, "%s:%d: %s is %s (%s), not %s\n", __FILE__, __LINE__, #call,    \
                    nowcast_status_name(status_), error.message,                            \
                    nowcast_status_name(expected));                                         \
            failures++;                                                                     \
        } else if (error.code != status_ || (status_ != 0) != (error.message[0] != 0)) {    \
            fprintf(stderr, "%s:%d: %s: the error says %d \"%s\"\n", __FILE__, __LINE__,    \
                    #call, (int)error.code, error.message);                                 \
            failures++;                                                                     \
        }                                                                                   \
    } while (0)

#endif
