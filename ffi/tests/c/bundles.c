/* Bundles in place: every refusal has its status and its sentence and runs nothing, and neither
 * opening nor serving calls the heap. `pair.h` is emitted of two models, `affine` and `mlp`.
 * Linked with --wrap as no_alloc is. Usage: bundles [PAIR.nowcast] */
#include <string.h>

#include "heap.h"
#include "pair.h"

/* tests.rs has the same sizes. */
#define SIZE(type, bytes) \
    typedef char size_of_##type[sizeof(void *) != 8 || sizeof(type) == (bytes) ? 1 : -1]
SIZE(nowcast_kernels, 16);
SIZE(nowcast_bundle_info, 32);

/* What a failing call must leave alone. */
#define UNTOUCHED ((void *)(uintptr_t)0x5a5a5a40)

NOWCAST_ALIGNED static unsigned char model_memory[NOWCAST_FORECASTER_BYTES];
NOWCAST_ALIGNED static unsigned char affine_memory[PAIR_AFFINE_SESSION_BYTES];
NOWCAST_ALIGNED static unsigned char mlp_memory[PAIR_MLP_SESSION_BYTES];
NOWCAST_ALIGNED static unsigned char copy[PAIR_BUNDLE_BYTES + NOWCAST_ALIGNMENT];
static float context[PAIR_MLP_CONTEXT], steps[PAIR_MLP_HORIZON];

/* Passes if a call is refused with this status, a sentence that contains this, and no heap. */
#define REFUSED(call, expected, says)                                                            \
    do {                                                                                         \
        unsigned long before_ = calls;                                                           \
        nowcast_error error = NOWCAST_ERROR_INIT;                                                \
        nowcast_status status_ = (call);                                                         \
        if (status_ != (expected) || error.code != status_ || calls != before_ ||                \
            strstr(error.message, says) == NULL) {                                               \
            fprintf(stderr, "%s:%d: %s: %s \"%s\", not %s \"%s\"\n", __FILE__, __LINE__, #call,  \
                    nowcast_status_name(status_), error.message, nowcast_status_name(expected),  \
                    says);                                                                       \
            failures++;                                                                          \
        }                                                                                        \
    } while (0)

#define DESCRIBE(bytes, len) nowcast_bundle_describe(bytes, len, &info, &error)
#define OPEN(bytes, len, model, kernels)                                                    \
    nowcast_program_open(bytes, len, model, kernels, model_memory, sizeof model_memory,     \
                         &program, &error)

static void refusals(void)
{
    const uint64_t len = PAIR_BUNDLE_BYTES;
    nowcast_bundle_info info = NOWCAST_BUNDLE_INFO_INIT;
    nowcast_program *program = UNTOUCHED;
    nowcast_forecaster *forecaster = UNTOUCHED;
    const char *name = UNTOUCHED;
    const nowcast_kernels *all = nowcast_kernels_all();

    REFUSED(DESCRIBE(NULL, len), NOWCAST_NULL_ARGUMENT, "bundle is NULL");
    REFUSED(DESCRIBE("an ONNX file", 12), NOWCAST_NOT_A_BUNDLE, "not a nowcast bundle");
    REFUSED(DESCRIBE(copy, 0), NOWCAST_NOT_A_BUNDLE, "not a nowcast bundle");
    memcpy(copy, pair_bundle, PAIR_BUNDLE_BYTES);
    REFUSED(DESCRIBE(copy, 20), NOWCAST_TRUNCATED, "20 bytes of 64");
    REFUSED(DESCRIBE(copy, len - 1), NOWCAST_TRUNCATED, "cut short");
    copy[24] = 9;
    REFUSED(DESCRIBE(copy, len), NOWCAST_OTHER_VERSION, "format version 9, newer than the 1");
    copy[24] = 1;
    copy[70] ^= 1;
    REFUSED(DESCRIBE(copy, len), NOWCAST_DAMAGED, "header or directory is damaged");
    REFUSED(OPEN(copy, len, "affine", all), NOWCAST_DAMAGED, "header or directory is damaged");
    memcpy(copy + 4, pair_bundle, PAIR_BUNDLE_BYTES);
    REFUSED(DESCRIBE(copy + 4, len), NOWCAST_MISALIGNED, "64-byte boundary");
    info.struct_size = 7;
    REFUSED(DESCRIBE(pair_bundle, len), NOWCAST_INVALID_ARGUMENT, "NOWCAST_..._INIT");
    CHECK(info.models_len == 0 && info.bytes == 0);
    REFUSED(nowcast_bundle_model_name(pair_bundle, len, 2, &name, &error), NOWCAST_NOT_FOUND,
            "no such model");
    CHECK(name == UNTOUCHED);

    /* Opening does not read weights; this does. */
    memcpy(copy, pair_bundle, PAIR_BUNDLE_BYTES);
    copy[PAIR_BUNDLE_BYTES - NOWCAST_ALIGNMENT] ^= 1;
    SERVES(DESCRIBE((info.struct_size = sizeof info, copy), len));
    REFUSED(nowcast_bundle_verify(copy, len, &error), NOWCAST_DAMAGED, "its checksum differs");

    /* The first section is the first program. */
    uint64_t at = 0;
    memcpy(copy, pair_bundle, PAIR_BUNDLE_BYTES);
    memcpy(&at, copy + 64 + 8, sizeof at);
    copy[at] ^= 1;
    REFUSED(OPEN(copy, len, "affine", all), NOWCAST_DAMAGED, "not a compiled program");
    copy[at] ^= 1;
    copy[at + 4] ^= 64;
    REFUSED(OPEN(copy, len, "affine", all), NOWCAST_OTHER_VERSION, "compile the model again");
    copy[at + 4] ^= 64;
    copy[at + 8 + 3] ^= 1;
    REFUSED(OPEN(copy, len, "affine", all), NOWCAST_TRUNCATED, "cut short");

    REFUSED(OPEN(pair_bundle, len, NULL, all), NOWCAST_SEVERAL_MODELS, "2 models");
    REFUSED(OPEN(pair_bundle, len, "gru", all), NOWCAST_NOT_FOUND, "no model of this name");
    REFUSED(OPEN(pair_bundle, len, "\xff", all), NOWCAST_INVALID_ARGUMENT, "UTF-8");
    static const nowcast_kernel *const few[] = { &nowcast_kernel_copy };
    static const nowcast_kernel *const none[] = { NULL };
    nowcast_kernels list = NOWCAST_KERNELS(few);
    REFUSED(OPEN(pair_bundle, len, "affine", &list), NOWCAST_MISSING_KERNEL, "linear_f32");
    list.list = none;
    REFUSED(OPEN(pair_bundle, len, "affine", &list), NOWCAST_NULL_ARGUMENT, "a kernel");
    list.list = NULL;
    REFUSED(OPEN(pair_bundle, len, "affine", &list), NOWCAST_NULL_ARGUMENT, "list");
    list.struct_size = 0;
    REFUSED(OPEN(pair_bundle, len, "affine", &list), NOWCAST_INVALID_ARGUMENT, "NOWCAST_KERNELS");
    REFUSED(OPEN(pair_bundle, len, "affine", NULL), NOWCAST_NULL_ARGUMENT, "kernels is NULL");
    REFUSED(pair_affine_open(NULL, 4096, &program, &error), NOWCAST_NULL_ARGUMENT, "memory");
    REFUSED(pair_affine_open(model_memory, NOWCAST_PROGRAM_BYTES - 1, &program, &error),
            NOWCAST_TOO_SMALL, "needs 256 bytes, 255 were given");
    REFUSED(pair_affine_open(model_memory + 8, NOWCAST_PROGRAM_BYTES, &program, &error),
            NOWCAST_MISALIGNED, "multiple of 64");
    REFUSED(pair_affine_open(model_memory, sizeof model_memory, NULL, &error),
            NOWCAST_NULL_ARGUMENT, "program is NULL");
    REFUSED(nowcast_forecaster_open(pair_bundle, len, "affine", all, model_memory,
                                    sizeof model_memory, &forecaster, &error),
            NOWCAST_INVALID_FORECASTER, "no forecaster");
    REFUSED(pair_mlp_open(model_memory, NOWCAST_PROGRAM_BYTES, &forecaster, &error),
            NOWCAST_TOO_SMALL, "needs 1024 bytes");
    CHECK(program == UNTOUCHED && forecaster == UNTOUCHED);
}

static void questions(void)
{
    nowcast_bundle_info info = NOWCAST_BUNDLE_INFO_INIT;
    const char *name = NULL;
    SERVES(DESCRIBE(pair_bundle, PAIR_BUNDLE_BYTES));
    CHECK(info.models_len == 2 && info.bytes == PAIR_BUNDLE_BYTES);
    CHECK(memcmp(info.content_hash, pair_bundle + 8, 16) == 0);
    SERVES(nowcast_bundle_model_name(pair_bundle, PAIR_BUNDLE_BYTES, 1, &name, &error));
    CHECK(strcmp(name, "mlp") == 0);
    SERVES(nowcast_bundle_verify(pair_bundle, PAIR_BUNDLE_BYTES, &error));
}

static void program(nowcast_program *program)
{
    nowcast_session *session = UNTOUCHED;
    nowcast_memory needs = NOWCAST_MEMORY_INIT;
    nowcast_port port = NOWCAST_PORT_INIT;
    nowcast_dim dim = { NULL, 0, 0 };
    uint64_t bytes = 0;
    float x[2 * 4] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    static const int64_t extents[PAIR_AFFINE_INPUT_X_RANK] = PAIR_AFFINE_INPUT_X_SHAPE;

    /* The macros say what the library does. */
    SERVES(nowcast_session_bytes(program, &bytes, &error));
    CHECK(bytes == PAIR_AFFINE_SESSION_BYTES);
    SERVES(nowcast_program_memory(program, &needs, &error));
    CHECK(needs.arena_bytes == PAIR_AFFINE_ARENA_BYTES && needs.alignment == PAIR_AFFINE_ALIGNMENT);
    CHECK(needs.state_bytes == PAIR_AFFINE_STATE_BYTES);
    CHECK(needs.stack_bytes == PAIR_AFFINE_STACK_BYTES);
    SERVES(nowcast_program_input(program, PAIR_AFFINE_INPUT_X, &port, &error));
    CHECK(strcmp(port.name, PAIR_AFFINE_INPUT_X_NAME) == 0);
    CHECK(port.dtype == PAIR_AFFINE_INPUT_X_DTYPE && port.rank == PAIR_AFFINE_INPUT_X_RANK);
    CHECK(memcmp(port.extents, extents, sizeof extents) == 0);
    CHECK(port.bytes == PAIR_AFFINE_INPUT_X_ELEMENTS * sizeof(float));
    SERVES(nowcast_program_input_dim(program, PAIR_AFFINE_INPUT_X, 0, &dim, &error));
    CHECK(strcmp(dim.name, PAIR_AFFINE_DIM_ROWS_NAME) == 0);
    CHECK(dim.min == PAIR_AFFINE_DIM_ROWS_MIN && dim.max == PAIR_AFFINE_DIM_ROWS_MAX);
    SERVES(nowcast_program_output(program, PAIR_AFFINE_OUTPUT_POSITIVE, &port, &error));
    CHECK(strcmp(port.name, "positive") == 0 && port.dtype == NOWCAST_BOOL);

    REFUSED(nowcast_session_open(program, NOWCAST_ISA_AUTO, affine_memory, bytes - 1, &session,
                                 &error),
            NOWCAST_TOO_SMALL, "were given");
    CHECK(session == UNTOUCHED);
    SERVES(nowcast_session_open(program, NOWCAST_ISA_AUTO, affine_memory, sizeof affine_memory,
                                &session, &error));
    SERVES(nowcast_session_prefault(session, &error));
    SERVES(nowcast_session_set_extent(session, PAIR_AFFINE_DIM_ROWS_NAME, 2, &error));
    SERVES(nowcast_session_copy_input(session, PAIR_AFFINE_INPUT_X, NOWCAST_F32, x, sizeof x,
                                      &error));
    SERVES(nowcast_session_run(session, &error));
    SERVES(nowcast_session_reset(session, &error));
    REFUSED(nowcast_program_release(program, &error), NOWCAST_IN_USE, "1 sessions are open");
    SERVES(nowcast_session_close(session, &error));
}

static void forecaster(nowcast_forecaster *forecaster)
{
    nowcast_forecast *forecast = NULL;
    nowcast_forecaster_info info = NOWCAST_FORECASTER_INFO_INIT;
    SERVES(nowcast_forecaster_describe(forecaster, &info, &error));
    CHECK(info.forecast_bytes == PAIR_MLP_SESSION_BYTES && info.alignment == PAIR_MLP_ALIGNMENT);
    CHECK(info.context == PAIR_MLP_CONTEXT && info.horizon == PAIR_MLP_HORIZON);
    CHECK(info.step_seconds == PAIR_MLP_STEP_SECONDS);
    SERVES(nowcast_forecast_open(forecaster, NOWCAST_ISA_AUTO, mlp_memory, sizeof mlp_memory,
                                 &forecast, &error));
    SERVES(nowcast_forecast_prefault(forecast, &error));
    SERVES(nowcast_forecast_run(forecast, context, PAIR_MLP_CONTEXT, 1388448000, &error));
    SERVES(nowcast_forecast_quantile(forecast, 0.9, steps, PAIR_MLP_HORIZON, &error));
    SERVES(nowcast_forecast_paths(forecast, 1, 0, 0, steps, 1, &error));
    SERVES(nowcast_forecast_close(forecast, &error));
}

#ifndef NOWCAST_MINIMAL
static void mapped(const char *path)
{
    nowcast_program *opened = NULL;
    nowcast_forecaster *model = NULL;
    const nowcast_kernels *all = nowcast_kernels_all();
    EXPECT(nowcast_program_map("no/such", NULL, all, &opened, &error), NOWCAST_IO);
    EXPECT(nowcast_program_map(__FILE__, NULL, all, &opened, &error), NOWCAST_NOT_A_BUNDLE);
    EXPECT(nowcast_program_map(path, NULL, all, &opened, &error), NOWCAST_SEVERAL_MODELS);
    EXPECT(nowcast_program_map(path, "affine", NULL, &opened, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_forecaster_map(path, "affine", all, &model, &error),
           NOWCAST_INVALID_FORECASTER);
    CHECK(opened == NULL && model == NULL);
    EXPECT(nowcast_program_map(path, "affine", &pair_affine_kernels, &opened, &error), NOWCAST_OK);
    program(opened);
    EXPECT(nowcast_program_release(opened, &error), NOWCAST_OK);
    EXPECT(nowcast_forecaster_map(path, "mlp", &pair_mlp_kernels, &model, &error), NOWCAST_OK);
    forecaster(model);
    EXPECT(nowcast_forecaster_release(model, &error), NOWCAST_OK);
}
#endif

int main(int argc, char **argv)
{
    nowcast_program *opened = NULL;
    nowcast_forecaster *model = NULL;
    refusals();
    questions();
    SERVES(pair_affine_open(model_memory, PAIR_AFFINE_MODEL_BYTES, &opened, &error));
    program(opened);
    SERVES(nowcast_program_release(opened, &error));
    REFUSED(nowcast_program_release(opened, &error), NOWCAST_INVALID_HANDLE, "released");
    SERVES(pair_mlp_open(model_memory, PAIR_MLP_MODEL_BYTES, &model, &error));
    forecaster(model);
    SERVES(nowcast_forecaster_release(model, &error));
#ifndef NOWCAST_MINIMAL
    if (argc == 2) {
        mapped(argv[1]);
    }
#else
    (void)argc;
    (void)argv;
#endif
    if (failures == 0) {
        puts("ok");
    }
    return failures != 0;
}
