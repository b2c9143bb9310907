/* The C interface as the C tests use it: every call of theirs into nowcast is in serving.c.
 *
 * Functions return zero on success. One model is open at a time.
 */
#ifndef SERVING_H
#define SERVING_H

/* Loads a model, makes a session, fills its inputs and prefaults it. */
int serving_open(const char *path);

/* One serving call: writes the inputs, runs, reads the outputs. */
int serving_call(void);

/* Releases what serving_open made. */
void serving_close(void);

#endif
