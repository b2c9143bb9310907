/* Counts the calls of the heap in every serving function; there must be none, from the first call
 * on. Linked with --wrap for each function below. Usage: no_alloc AFFINE.onnx FORECASTER */
#include <string.h>

#include "aligned.h"
#include "heap.h"

static void session(const char *path)
{
    const nowcast_dim dims[] = { { "rows", 1, 8 } };
    nowcast_options options = NOWCAST_OPTIONS_INIT;
    nowcast_program *program = NULL;
    nowcast_session *session = NULL;
    nowcast_isa isa = 0;
    nowcast_shape shape = NOWCAST_SHAPE_INIT;
    uint64_t bytes = 0;
    void *block = NULL, *data = NULL;
    const void *read = NULL;
    char snapshot[256];
    float x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, y[6];
    const uint64_t extents[2] = { 2, 4 };
    options.dims = dims;
    options.dims_len = 1;
    unsigned long before = calls;
    EXPECT(nowcast_program_load(path, &options, &program, &error), NOWCAST_OK);
    /* The counter counts. */
    CHECK(calls > before);
    SERVES(nowcast_session_bytes(program, &bytes, &error));
    void *memory = aligned(bytes, &block);
    SERVES(nowcast_thread_prepare(&error));
    SERVES(nowcast_session_open(program, NOWCAST_ISA_AUTO, memory, bytes, &session, &error));
    SERVES(nowcast_session_isa(session, &isa, &error));
    SERVES(nowcast_session_prefault(session, &error));
    SERVES(nowcast_session_set_extent(session, "rows", 1, &error));
    SERVES(nowcast_session_set_input_shape(session, 0, extents, 2, &error));
    SERVES(nowcast_session_input_shape(session, 0, &shape, &error));
    SERVES(nowcast_session_output_shape(session, 0, &shape, &error));
    SERVES(nowcast_session_input(session, 0, &data, &bytes, &error));
    memcpy(data, x, sizeof x);
    SERVES(nowcast_session_run(session, &error));
    SERVES(nowcast_session_output(session, 0, &read, &bytes, &error));
    SERVES(nowcast_session_copy_input(session, 0, NOWCAST_F32, x, sizeof x, &error));
    SERVES(nowcast_session_copy_output(session, 0, NOWCAST_F32, y, sizeof y, &error));
    nowcast_input_binding in = { 0, NOWCAST_F32, x, sizeof x };
    nowcast_output_binding out = { 0, NOWCAST_F32, y, sizeof y };
    SERVES(nowcast_session_run_with(session, &in, 1, &out, 1, &error));
    SERVES(nowcast_session_snapshot_bytes(session, &bytes, &error));
    CHECK(bytes <= sizeof snapshot);
    SERVES(nowcast_session_snapshot(session, snapshot, bytes, &error));
    SERVES(nowcast_session_restore(session, snapshot, bytes, &error));
    SERVES(nowcast_session_reset(session, &error));
    /* A refusal does not allocate its sentence either. */
    before = calls;
    EXPECT(nowcast_session_set_extent(session, "rows", 99, &error), NOWCAST_EXTENT_OUT_OF_BOUNDS);
    out.bytes = 4;
    EXPECT(nowcast_session_run_with(session, &in, 1, &out, 1, &error), NOWCAST_WRONG_LENGTH);
    CHECK(calls == before);
    SERVES(nowcast_session_close(session, &error));
    free(block);
    EXPECT(nowcast_program_release(program, &error), NOWCAST_OK);
}

static uint64_t ticks(void *context)
{
    uint64_t *now = context;
    return (*now)++;
}

static void gaussian(void)
{
    const double mean[3] = { 1, 2, 3 };
    const double covariance[9] = { 2, 1, 0, 1, 2, 1, 0, 1, 2 };
    uint64_t bytes = 0, scratch_bytes = 0;
    void *block = NULL, *scratch_block = NULL;
    nowcast_gaussian *gaussian = NULL;
    float paths[300];
    double value = 0;
    SERVES(nowcast_gaussian_full_bytes(3, &bytes, &scratch_bytes, &error));
    void *memory = aligned(bytes, &block);
    void *scratch = aligned(scratch_bytes, &scratch_block);
    SERVES(nowcast_gaussian_full(mean, covariance, 3, NOWCAST_ISA_AUTO, memory, bytes, scratch,
                                 scratch_bytes, &gaussian, &error));
    SERVES(nowcast_gaussian_draw(gaussian, 1, 2, 3, paths, 100, &error));
    SERVES(nowcast_gaussian_quantile(gaussian, 1, 0.9, &value, &error));
    uint64_t now = 0, drawn = 0, rest_bytes = 0, given_bytes = 0;
    SERVES(nowcast_gaussian_draw_until(gaussian, 1, 2, 3, ticks, &now, 1000, paths, 100, &drawn,
                                       &error));
    CHECK(drawn == 100);
    const size_t known[1] = { 1 };
    void *rest_block = NULL, *given_block = NULL;
    nowcast_gaussian *rest = NULL;
    SERVES(nowcast_gaussian_given_bytes(gaussian, 1, &rest_bytes, &given_bytes, &error));
    void *rest_memory = aligned(rest_bytes, &rest_block);
    void *given_scratch = aligned(given_bytes, &given_block);
    SERVES(nowcast_gaussian_given(gaussian, known, mean, 1, rest_memory, rest_bytes, given_scratch,
                                  given_bytes, &rest, &error));
    SERVES(nowcast_gaussian_draw(rest, 1, 2, 3, paths, 100, &error));
    SERVES(nowcast_gaussian_release(rest, &error));
    SERVES(nowcast_gaussian_log_density_bytes(gaussian, &given_bytes, &error));
    SERVES(nowcast_gaussian_log_density(gaussian, mean, given_scratch, given_bytes, &value,
                                        &error));
    SERVES(nowcast_gaussian_release(gaussian, &error));
    SERVES(nowcast_gaussian_low_rank_bytes(3, 1, &rest_bytes, &given_bytes, &error));
    free(rest_block);
    free(given_block);
    rest_memory = aligned(rest_bytes, &rest_block);
    given_scratch = aligned(given_bytes, &given_block);
    SERVES(nowcast_gaussian_low_rank(mean, mean, mean, 3, 1, NOWCAST_ISA_AUTO, rest_memory,
                                     rest_bytes, given_scratch, given_bytes, &gaussian, &error));
    SERVES(nowcast_gaussian_draw(gaussian, 1, 2, 3, paths, 100, &error));
    SERVES(nowcast_gaussian_release(gaussian, &error));
    free(rest_block);
    free(given_block);
    SERVES(nowcast_gaussian_diagonal(mean, mean, 3, NOWCAST_ISA_AUTO, memory, bytes, &gaussian,
                                     &error));
    SERVES(nowcast_gaussian_draw(gaussian, 1, 2, 3, paths, 100, &error));
    SERVES(nowcast_gaussian_release(gaussian, &error));
    free(block);
    free(scratch_block);
}

static void forecast(const char *folder)
{
    nowcast_forecaster *forecaster = NULL;
    nowcast_forecast *forecast = NULL;
    nowcast_forecaster_info info = NOWCAST_FORECASTER_INFO_INIT;
    void *block = NULL;
    EXPECT(nowcast_forecaster_load(folder, &forecaster, &error), NOWCAST_OK);
    SERVES(nowcast_forecaster_describe(forecaster, &info, &error));
    void *memory = aligned(info.forecast_bytes, &block);
    float *context = calloc((size_t)info.context, sizeof *context);
    float *out = calloc((size_t)info.horizon * 50, sizeof *out);
    SERVES(nowcast_forecast_open(forecaster, NOWCAST_ISA_AUTO, memory, info.forecast_bytes,
                                 &forecast, &error));
    SERVES(nowcast_forecast_run(forecast, context, info.context, 1388448000, &error));
    SERVES(nowcast_forecast_mean(forecast, out, info.horizon, &error));
    SERVES(nowcast_forecast_quantile(forecast, 0.9, out, info.horizon, &error));
    SERVES(nowcast_forecast_paths(forecast, 1, 0, 0, out, 50, &error));
    SERVES(nowcast_forecast_prefault(forecast, &error));
    SERVES(nowcast_forecast_close(forecast, &error));
    free(context);
    free(out);
    free(block);
    EXPECT(nowcast_forecaster_release(forecaster, &error), NOWCAST_OK);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: no_alloc AFFINE FORECASTER\n");
        return 2;
    }
    session(argv[1]);
    gaussian();
    forecast(argv[2]);
    if (failures == 0) {
        puts("ok");
    }
    return failures != 0;
}
