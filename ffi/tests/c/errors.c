/* Every way to call the library wrongly, one line each. Usage:
 *   errors AFFINE.onnx RESHAPE.onnx SUM.onnx UNKNOWN.onnx [FORECASTER] */
#include <math.h>
#include <string.h>

#include "aligned.h"
#include "check.h"

/* tests.rs has the same sizes. */
#define SIZE(type, bytes) \
    typedef char size_of_##type[sizeof(void *) != 8 || sizeof(type) == (bytes) ? 1 : -1]
SIZE(nowcast_error, 520);
SIZE(nowcast_dim, 24);
SIZE(nowcast_state, 16);
SIZE(nowcast_value, 40);
SIZE(nowcast_options, 80);
SIZE(nowcast_memory, 48);
SIZE(nowcast_port, 160);
SIZE(nowcast_shape, 136);
SIZE(nowcast_input_binding, 24);
SIZE(nowcast_output_binding, 24);
SIZE(nowcast_forecaster_info, 40);

/* What a failing call must leave alone. */
#define UNTOUCHED ((void *)(uintptr_t)0x5a5a5a40)

static const nowcast_dim ROWS[] = { { "rows", 1, 8 } };

static void names(void)
{
    CHECK(nowcast_abi_version() == NOWCAST_ABI_VERSION);
    CHECK(strchr(nowcast_version(), '.') != NULL);
    CHECK(strcmp(nowcast_status_name(NOWCAST_OK), "NOWCAST_OK") == 0);
    CHECK(strcmp(nowcast_status_name(NOWCAST_PANIC), "NOWCAST_PANIC") == 0);
    CHECK(strcmp(nowcast_status_name(-3), "unknown") == 0);
    CHECK(strcmp(nowcast_dtype_name(NOWCAST_I64), "i64") == 0);
    CHECK(strcmp(nowcast_dtype_name(0), "unknown") == 0);
    CHECK(nowcast_dtype_bytes(NOWCAST_F64) == 8);
    CHECK(nowcast_dtype_bytes(300) == 0);
    CHECK(strcmp(nowcast_isa_name(NOWCAST_ISA_SCALAR), "scalar") == 0);
    CHECK(strcmp(nowcast_isa_name(NOWCAST_ISA_AUTO), "unknown") == 0);
    EXPECT(nowcast_thread_prepare(&error), NOWCAST_OK);
    CHECK(nowcast_thread_prepare(NULL) == NOWCAST_OK);
}

static void loading(const char *affine, const char *reshape, const char *unknown)
{
    nowcast_program *program = UNTOUCHED;
    nowcast_options options = NOWCAST_OPTIONS_INIT;
    EXPECT(nowcast_program_load(NULL, NULL, &program, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_load(affine, NULL, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_load("no/such.onnx", NULL, &program, &error), NOWCAST_IO);
    EXPECT(nowcast_program_load("\xff\xfe", NULL, &program, &error), NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_program_load(affine, NULL, &program, &error), NOWCAST_OPTION_NEEDED);
    EXPECT(nowcast_program_load(reshape, NULL, &program, &error), NOWCAST_OPTION_NEEDED);
    EXPECT(nowcast_program_load(unknown, NULL, &program, &error), NOWCAST_UNSUPPORTED);
    EXPECT(nowcast_program_load_bytes(NULL, 0, NULL, &program, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_load_bytes("", 0, NULL, &program, &error), NOWCAST_INVALID_MODEL);
    EXPECT(nowcast_program_load_bytes("not onnx", 8, NULL, &program, &error),
           NOWCAST_INVALID_MODEL);
    EXPECT(nowcast_program_load_bytes("x", UINT64_MAX, NULL, &program, &error),
           NOWCAST_INVALID_ARGUMENT);
    /* Without an error struct the status is the same. */
    CHECK(nowcast_program_load("no/such.onnx", NULL, &program, NULL) == NOWCAST_IO);

    options.struct_size = 3;
    EXPECT(nowcast_program_load(affine, &options, &program, &error), NOWCAST_INVALID_ARGUMENT);
    options.struct_size = sizeof options;
    options.max_memory = 1;
    EXPECT(nowcast_program_load(affine, &options, &program, &error), NOWCAST_TOO_LARGE);
    options.max_memory = 0;
    options.ranges_len = 1;
    EXPECT(nowcast_program_load(affine, &options, &program, &error), NOWCAST_NULL_ARGUMENT);
    nowcast_value_range range = { "x", 2, 1 };
    options.ranges = &range;
    EXPECT(nowcast_program_load(affine, &options, &program, &error), NOWCAST_INVALID_ARGUMENT);
    options.ranges_len = 0;
    options.trips_len = 1;
    EXPECT(nowcast_program_load(affine, &options, &program, &error), NOWCAST_NULL_ARGUMENT);
    options.trips_len = 0;
    options.dims_len = 1;
    EXPECT(nowcast_program_load(affine, &options, &program, &error), NOWCAST_NULL_ARGUMENT);
    nowcast_dim dim = { "rows", 8, 1 };
    options.dims = &dim;
    EXPECT(nowcast_program_load(affine, &options, &program, &error), NOWCAST_INVALID_ARGUMENT);
    dim.min = 1;
    dim.max = UINT64_MAX;
    EXPECT(nowcast_program_load(affine, &options, &program, &error), NOWCAST_INVALID_ARGUMENT);
    dim.name = NULL;
    EXPECT(nowcast_program_load(affine, &options, &program, &error), NOWCAST_NULL_ARGUMENT);
    options.dims_len = 0;

    const int64_t shape[] = { 3, 4 };
    const uint64_t two = 2;
    nowcast_value value = { "shape", NOWCAST_I64, 1, &two, shape, sizeof shape };
    options.values = &value;
    options.values_len = 1;
    value.dtype = 99;
    EXPECT(nowcast_program_load(reshape, &options, &program, &error), NOWCAST_INVALID_ARGUMENT);
    value.dtype = NOWCAST_I64;
    value.bytes = 8;
    EXPECT(nowcast_program_load(reshape, &options, &program, &error), NOWCAST_INVALID_ARGUMENT);
    value.bytes = sizeof shape;
    value.data = NULL;
    EXPECT(nowcast_program_load(reshape, &options, &program, &error), NOWCAST_NULL_ARGUMENT);
    value.data = shape;
    CHECK(program == UNTOUCHED);
    EXPECT(nowcast_program_load(reshape, &options, &program, &error), NOWCAST_OK);
    uint32_t len = 0;
    EXPECT(nowcast_program_inputs_len(program, &len, &error), NOWCAST_OK);
    CHECK(len == 1);
    EXPECT(nowcast_program_release(program, &error), NOWCAST_OK);
    EXPECT(nowcast_program_release(NULL, &error), NOWCAST_OK);
}

static void questions(nowcast_program *program)
{
    nowcast_memory memory = NOWCAST_MEMORY_INIT;
    nowcast_port port = NOWCAST_PORT_INIT;
    nowcast_dim dim = { NULL, 0, 0 };
    const char *label = NULL;
    uint32_t number = 77;
    uint64_t bytes = 77;

    EXPECT(nowcast_program_memory(NULL, &memory, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_memory(program, NULL, &error), NOWCAST_NULL_ARGUMENT);
    memory.struct_size = 8;
    EXPECT(nowcast_program_memory(program, &memory, &error), NOWCAST_INVALID_ARGUMENT);
    CHECK(memory.session_bytes == 0);
    memory.struct_size = sizeof memory;
    EXPECT(nowcast_program_memory(program, &memory, &error), NOWCAST_OK);
    EXPECT(nowcast_session_bytes(program, &bytes, &error), NOWCAST_OK);
    CHECK(memory.alignment == NOWCAST_ALIGNMENT && memory.session_bytes == bytes);
    CHECK(memory.arena_bytes + memory.state_bytes < memory.session_bytes);
    EXPECT(nowcast_session_bytes(program, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_bytes(NULL, &bytes, &error), NOWCAST_NULL_ARGUMENT);

    EXPECT(nowcast_program_inputs_len(program, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_inputs_len(program, &number, &error), NOWCAST_OK);
    CHECK(number == 1);
    EXPECT(nowcast_program_outputs_len(NULL, &number, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_outputs_len(program, &number, &error), NOWCAST_OK);
    CHECK(number == 2);

    EXPECT(nowcast_program_input(program, 1, &port, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_program_input(program, 0, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_output(program, 2, &port, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_program_output(program, UINT32_MAX, &port, &error), NOWCAST_NOT_FOUND);
    CHECK(port.name == NULL);
    EXPECT(nowcast_program_input(program, 0, &port, &error), NOWCAST_OK);
    CHECK(strcmp(port.name, "x") == 0 && port.dtype == NOWCAST_F32 && port.rank == 2);
    CHECK(port.extents[0] == -1 && port.extents[1] == 4 && port.bytes == 8 * 4 * 4);
    CHECK(!port.is_state);
    EXPECT(nowcast_program_output(program, 1, &port, &error), NOWCAST_OK);
    CHECK(strcmp(port.name, "positive") == 0 && port.dtype == NOWCAST_BOOL);

    EXPECT(nowcast_program_output_labels_len(program, 2, &number, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_program_output_labels_len(program, 0, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_output_labels_len(program, 0, &number, &error), NOWCAST_OK);
    CHECK(number == 0);
    EXPECT(nowcast_program_output_label(program, 0, 0, &label, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_program_output_label(program, 0, 0, NULL, &error), NOWCAST_NULL_ARGUMENT);
    CHECK(label == NULL);

    EXPECT(nowcast_program_input_dim(program, 0, 1, &dim, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_program_input_dim(program, 0, 9, &dim, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_program_input_dim(program, 3, 0, &dim, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_program_input_dim(program, 0, 0, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_input_dim(program, 0, 0, &dim, &error), NOWCAST_OK);
    CHECK(strcmp(dim.name, "rows") == 0 && dim.min == 1 && dim.max == 8);

    EXPECT(nowcast_program_find_input(program, "y", &number, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_program_find_input(program, NULL, &number, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_find_input(program, "x", NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_program_find_input(program, "x", &number, &error), NOWCAST_OK);
    CHECK(number == 0);
    EXPECT(nowcast_program_find_output(program, "positive", &number, &error), NOWCAST_OK);
    CHECK(number == 1);
    EXPECT(nowcast_program_find_output(program, "x", &number, &error), NOWCAST_NOT_FOUND);
}

static void opening(nowcast_program *program, char *memory, uint64_t bytes)
{
    nowcast_session *session = UNTOUCHED;
    nowcast_isa auto_isa = NOWCAST_ISA_AUTO;
    EXPECT(nowcast_session_open(NULL, auto_isa, memory, bytes, &session, &error),
           NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_open(program, auto_isa, NULL, bytes, &session, &error),
           NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_open(program, auto_isa, memory, bytes, NULL, &error),
           NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_open(program, auto_isa, memory, bytes - 1, &session, &error),
           NOWCAST_TOO_SMALL);
    EXPECT(nowcast_session_open(program, auto_isa, memory, 0, &session, &error),
           NOWCAST_TOO_SMALL);
    EXPECT(nowcast_session_open(program, auto_isa, memory + 4, bytes, &session, &error),
           NOWCAST_MISALIGNED);
    EXPECT(nowcast_session_open(program, 99, memory, bytes, &session, &error),
           NOWCAST_INVALID_ARGUMENT);
    /* Memory that holds no object is no handle. */
    memset(memory, 0, (size_t)bytes);
    EXPECT(nowcast_session_run((nowcast_session *)memory, &error), NOWCAST_INVALID_HANDLE);
    EXPECT(nowcast_session_open((nowcast_program *)memory, auto_isa, memory, bytes, &session,
                                &error),
           NOWCAST_INVALID_HANDLE);
    /* A program is no session. */
    EXPECT(nowcast_session_run((nowcast_session *)program, &error), NOWCAST_INVALID_HANDLE);
    EXPECT(nowcast_session_close((nowcast_session *)program, &error), NOWCAST_INVALID_HANDLE);
    CHECK(session == UNTOUCHED);
    EXPECT(nowcast_session_close(NULL, &error), NOWCAST_OK);
}

static void serving(nowcast_session *session)
{
    void *data = UNTOUCHED;
    const void *read = UNTOUCHED;
    uint64_t bytes = 77;
    nowcast_isa isa = 77;
    nowcast_shape shape = NOWCAST_SHAPE_INIT;
    uint64_t extents[17] = { 2, 4 };

    EXPECT(nowcast_session_isa(session, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_isa(session, &isa, &error), NOWCAST_OK);
    CHECK(isa >= NOWCAST_ISA_SCALAR);
    EXPECT(nowcast_session_prefault(NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_prefault(session, &error), NOWCAST_OK);
    EXPECT(nowcast_session_run(NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_reset(NULL, &error), NOWCAST_NULL_ARGUMENT);

    EXPECT(nowcast_session_set_extent(session, NULL, 2, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_set_extent(session, "columns", 2, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_session_set_extent(session, "rows", 9, &error),
           NOWCAST_EXTENT_OUT_OF_BOUNDS);
    EXPECT(nowcast_session_set_extent(session, "rows", 0, &error),
           NOWCAST_EXTENT_OUT_OF_BOUNDS);
    EXPECT(nowcast_session_set_extent(session, "rows", UINT64_MAX, &error),
           NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_session_set_input_shape(session, 0, NULL, 2, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_set_input_shape(session, 5, extents, 2, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_session_set_input_shape(session, 0, extents, 1, &error), NOWCAST_WRONG_RANK);
    EXPECT(nowcast_session_set_input_shape(session, 0, extents, 17, &error), NOWCAST_WRONG_RANK);
    extents[1] = 5;
    EXPECT(nowcast_session_set_input_shape(session, 0, extents, 2, &error),
           NOWCAST_EXTENT_OUT_OF_BOUNDS);
    extents[1] = 4;
    EXPECT(nowcast_session_input_shape(session, 0, &shape, &error), NOWCAST_OK);
    CHECK(shape.rank == 2 && shape.extents[0] == 1 && shape.extents[1] == 4);
    EXPECT(nowcast_session_set_input_shape(session, 0, extents, 2, &error), NOWCAST_OK);
    EXPECT(nowcast_session_output_shape(session, 0, &shape, &error), NOWCAST_OK);
    CHECK(shape.rank == 2 && shape.extents[0] == 2 && shape.extents[1] == 3);
    EXPECT(nowcast_session_output_shape(session, 2, &shape, &error), NOWCAST_NOT_FOUND);
    shape.struct_size = 0;
    EXPECT(nowcast_session_output_shape(session, 0, &shape, &error), NOWCAST_INVALID_ARGUMENT);

    EXPECT(nowcast_session_input(session, 0, NULL, &bytes, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_input(session, 0, &data, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_input(session, 1, &data, &bytes, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_session_output(session, 2, &read, &bytes, &error), NOWCAST_NOT_FOUND);
    CHECK(data == UNTOUCHED && read == UNTOUCHED && bytes == 77);

    const float x[8] = { 1, 2, 3, 4, -1, -2, -3, -4 };
    const float expected[6] = { 2.75f, 5.0f, 4.5f, 0.0f, 0.0f, 0.0f };
    EXPECT(nowcast_session_input(session, 0, &data, &bytes, &error), NOWCAST_OK);
    CHECK(bytes == sizeof x);
    memcpy(data, x, sizeof x);
    EXPECT(nowcast_session_run(session, &error), NOWCAST_OK);
    EXPECT(nowcast_session_output(session, 0, &read, &bytes, &error), NOWCAST_OK);
    CHECK(bytes == sizeof expected && memcmp(read, expected, sizeof expected) == 0);

    float copied[7] = { 0 };
    EXPECT(nowcast_session_copy_output(session, 0, NOWCAST_F32, copied, 24, &error), NOWCAST_OK);
    CHECK(memcmp(copied, expected, sizeof expected) == 0);
    EXPECT(nowcast_session_copy_input(session, 0, NOWCAST_F32, x, sizeof x, &error), NOWCAST_OK);
    EXPECT(nowcast_session_copy_input(session, 0, NOWCAST_F32, NULL, sizeof x, &error),
           NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_copy_input(NULL, 0, NOWCAST_F32, x, sizeof x, &error),
           NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_copy_input(session, 1, NOWCAST_F32, x, sizeof x, &error),
           NOWCAST_NOT_FOUND);
    EXPECT(nowcast_session_copy_output(session, 2, NOWCAST_F32, copied, 24, &error),
           NOWCAST_NOT_FOUND);
    EXPECT(nowcast_session_copy_output(session, 0, NOWCAST_I32, copied, 24, &error),
           NOWCAST_WRONG_DTYPE);
    EXPECT(nowcast_session_copy_output(session, 0, 0, copied, 24, &error),
           NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_session_copy_output(session, 0, NOWCAST_F32, copied, 28, &error),
           NOWCAST_WRONG_LENGTH);
    EXPECT(nowcast_session_copy_output(session, 0, NOWCAST_F32, copied, 23, &error),
           NOWCAST_WRONG_LENGTH);
    EXPECT(nowcast_session_copy_output(session, 0, NOWCAST_F32, (char *)copied + 1, 24, &error),
           NOWCAST_MISALIGNED);

    float y[7] = { 0 };
    uint8_t positive[8];
    nowcast_input_binding in = { 0, NOWCAST_F32, x, sizeof x };
    nowcast_output_binding out[2] = { { 0, NOWCAST_F32, y, sizeof expected },
                                      { 1, NOWCAST_BOOL, positive, sizeof positive } };
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 2, &error), NOWCAST_OK);
    CHECK(memcmp(y, expected, sizeof expected) == 0);
    CHECK(positive[0] == 1 && positive[7] == 0);
    out[1].dtype = NOWCAST_U8;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 2, &error), NOWCAST_OK);
    EXPECT(nowcast_session_run_with(session, NULL, 0, NULL, 0, &error), NOWCAST_OK);

    memset(y, 0, sizeof y);
    EXPECT(nowcast_session_run_with(NULL, &in, 1, out, 1, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_run_with(session, NULL, 1, out, 1, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_run_with(session, &in, 1, NULL, 1, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_run_with(session, &in, 65, out, 1, &error), NOWCAST_INVALID_ARGUMENT);
    in.data = NULL;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_NULL_ARGUMENT);
    in.data = x;
    in.index = 1;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_NOT_FOUND);
    in.index = 0;
    in.dtype = NOWCAST_I32;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_WRONG_DTYPE);
    in.dtype = -1;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_INVALID_ARGUMENT);
    in.dtype = NOWCAST_F32;
    in.bytes = sizeof x - 4;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_WRONG_LENGTH);
    in.bytes = sizeof x - 1;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_WRONG_LENGTH);
    in.bytes = sizeof x;
    in.data = (const char *)x + 2;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_MISALIGNED);
    in.data = x;
    out[0].index = 7;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_NOT_FOUND);
    out[0].index = 0;
    out[0].bytes = sizeof expected + 4;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_WRONG_LENGTH);
    out[0].bytes = sizeof expected;
    out[0].data = data;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_OVERLAP);
    out[0].data = y;
    out[1].data = y + 1;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 2, &error), NOWCAST_OVERLAP);
    in.data = y;
    in.bytes = 4;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_OVERLAP);
    in.bytes = UINT64_MAX;
    EXPECT(nowcast_session_run_with(session, &in, 1, out, 1, &error), NOWCAST_INVALID_ARGUMENT);
    for (int i = 0; i < 7; i++) {
        CHECK(y[i] == 0.0f);
    }
}

static void states(const char *sum)
{
    nowcast_program *program = NULL;
    nowcast_session *session = NULL;
    nowcast_options options = NOWCAST_OPTIONS_INIT;
    nowcast_state state = { "total_out", "x_in" };
    options.states = &state;
    options.states_len = 1;
    CHECK(nowcast_program_load(sum, &options, &program, NULL) != NOWCAST_OK);
    state.input = NULL;
    EXPECT(nowcast_program_load(sum, &options, &program, &error), NOWCAST_NULL_ARGUMENT);
    state.input = "total_in";
    options.precision = 2;
    EXPECT(nowcast_program_load(sum, &options, &program, &error), NOWCAST_INVALID_ARGUMENT);
    options.precision = NOWCAST_PRECISION_BF16;
    EXPECT(nowcast_program_load(sum, &options, &program, &error), NOWCAST_OK);
    uint64_t bytes = 0, snapshot_bytes = 0;
    EXPECT(nowcast_session_bytes(program, &bytes, &error), NOWCAST_OK);
    void *block = NULL;
    void *memory = aligned(bytes, &block);
    EXPECT(nowcast_session_open(program, NOWCAST_ISA_AUTO_WITHOUT_AMX, memory, bytes, &session,
                                &error),
           NOWCAST_OK);
    EXPECT(nowcast_program_release(program, &error), NOWCAST_IN_USE);

    uint32_t x = 0, total = 0;
    EXPECT(nowcast_program_find_input(program, "x", &x, &error), NOWCAST_OK);
    EXPECT(nowcast_program_find_output(program, "total_out", &total, &error), NOWCAST_OK);
    nowcast_port port = NOWCAST_PORT_INIT;
    EXPECT(nowcast_program_output(program, total, &port, &error), NOWCAST_OK);
    CHECK(port.is_state == 1);
    void *data = NULL;
    const void *read = NULL;
    EXPECT(nowcast_session_input(session, x, &data, &bytes, &error), NOWCAST_OK);
    ((float *)data)[0] = 1.0f;
    ((float *)data)[1] = 2.0f;
    EXPECT(nowcast_session_run(session, &error), NOWCAST_OK);
    EXPECT(nowcast_session_run(session, &error), NOWCAST_OK);

    EXPECT(nowcast_session_snapshot_bytes(session, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_snapshot_bytes(session, &snapshot_bytes, &error), NOWCAST_OK);
    void *snapshot = malloc((size_t)snapshot_bytes);
    EXPECT(nowcast_session_snapshot(session, NULL, snapshot_bytes, &error),
           NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_session_snapshot(session, snapshot, snapshot_bytes - 1, &error),
           NOWCAST_WRONG_LENGTH);
    EXPECT(nowcast_session_snapshot(session, snapshot, snapshot_bytes, &error), NOWCAST_OK);
    EXPECT(nowcast_session_run(session, &error), NOWCAST_OK);
    EXPECT(nowcast_session_output(session, total, &read, &bytes, &error), NOWCAST_OK);
    CHECK(((const float *)read)[0] == 3.0f && ((const float *)read)[1] == 6.0f);
    EXPECT(nowcast_session_restore(session, snapshot, snapshot_bytes + 1, &error),
           NOWCAST_WRONG_LENGTH);
    EXPECT(nowcast_session_restore(session, snapshot, snapshot_bytes, &error), NOWCAST_OK);
    EXPECT(nowcast_session_run(session, &error), NOWCAST_OK);
    EXPECT(nowcast_session_output(session, total, &read, &bytes, &error), NOWCAST_OK);
    CHECK(((const float *)read)[0] == 3.0f && ((const float *)read)[1] == 6.0f);
    EXPECT(nowcast_session_reset(session, &error), NOWCAST_OK);
    EXPECT(nowcast_session_run(session, &error), NOWCAST_OK);
    EXPECT(nowcast_session_output(session, total, &read, &bytes, &error), NOWCAST_OK);
    CHECK(((const float *)read)[0] == 1.0f && ((const float *)read)[1] == 2.0f);

    float elsewhere[2];
    nowcast_output_binding out = { total, NOWCAST_F32, elsewhere, sizeof elsewhere };
    EXPECT(nowcast_session_run_with(session, NULL, 0, &out, 1, &error), NOWCAST_IS_STATE);

    EXPECT(nowcast_session_close(session, &error), NOWCAST_OK);
    EXPECT(nowcast_session_close(session, &error), NOWCAST_INVALID_HANDLE);
    EXPECT(nowcast_session_run(session, &error), NOWCAST_INVALID_HANDLE);
    free(snapshot);
    free(block);
    EXPECT(nowcast_program_release(program, &error), NOWCAST_OK);
}

static uint64_t ticks(void *context)
{
    uint64_t *now = context;
    return (*now)++;
}

/* What is left of two dimensions of which the second is known, and densities. */
static void given(const nowcast_gaussian *both)
{
    const size_t second[2] = { 1, 1 }, beyond[1] = { 2 };
    const double values[2] = { 0.5, 0.5 }, not_finite[1] = { HUGE_VAL };
    const double at[2] = { 10.0, -1.0 }, nowhere[2] = { HUGE_VAL, 0.0 };
    uint64_t bytes = 77, scratch_bytes = 77, density_bytes = 77, dim = 0;
    nowcast_gaussian *rest = UNTOUCHED;
    double value = 77.0;

    EXPECT(nowcast_gaussian_given_bytes(both, 2, &bytes, &scratch_bytes, &error),
           NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_gaussian_given_bytes(NULL, 1, &bytes, &scratch_bytes, &error),
           NOWCAST_NULL_ARGUMENT);
    CHECK(bytes == 77 && scratch_bytes == 77);
    EXPECT(nowcast_gaussian_given_bytes(both, 1, &bytes, &scratch_bytes, &error), NOWCAST_OK);
    void *block = NULL, *scratch_block = NULL;
    char *memory = aligned(bytes, &block);
    char *scratch = aligned(scratch_bytes, &scratch_block);
#define GIVEN(indices, values, known, bytes, scratch_bytes, out, expected)                     \
    EXPECT(nowcast_gaussian_given(both, indices, values, known, memory, bytes, scratch,        \
                                  scratch_bytes, out, &error),                                 \
           expected)
    GIVEN(NULL, values, 1, bytes, scratch_bytes, &rest, NOWCAST_NULL_ARGUMENT);
    GIVEN(second, NULL, 1, bytes, scratch_bytes, &rest, NOWCAST_NULL_ARGUMENT);
    GIVEN(second, values, 1, bytes, scratch_bytes, NULL, NOWCAST_NULL_ARGUMENT);
    GIVEN(second, values, 2, bytes, scratch_bytes, &rest, NOWCAST_INVALID_ARGUMENT);
    GIVEN(beyond, values, 1, bytes, scratch_bytes, &rest, NOWCAST_INVALID_ARGUMENT);
    GIVEN(second, not_finite, 1, bytes, scratch_bytes, &rest, NOWCAST_NOT_FINITE);
    GIVEN(second, values, 1, bytes - 1, scratch_bytes, &rest, NOWCAST_TOO_SMALL);
    GIVEN(second, values, 1, bytes, scratch_bytes - 1, &rest, NOWCAST_TOO_SMALL);
    CHECK(rest == UNTOUCHED);
    GIVEN(second, values, 1, bytes, scratch_bytes, &rest, NOWCAST_OK);
    EXPECT(nowcast_gaussian_dim(rest, &dim, &error), NOWCAST_OK);
    CHECK(dim == 1);
    /* 10 + 1.2 (0.5 + 1) */
    EXPECT(nowcast_gaussian_quantile(rest, 0, 0.5, &value, &error), NOWCAST_OK);
    CHECK(fabs(value - 11.8) < 1e-5);

    EXPECT(nowcast_gaussian_log_density_bytes(both, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_gaussian_log_density_bytes(both, &density_bytes, &error), NOWCAST_OK);
    CHECK(density_bytes <= scratch_bytes);
#define DENSITY(x, bytes, expected)                                                            \
    EXPECT(nowcast_gaussian_log_density(both, x, scratch, bytes, &value, &error), expected)
    DENSITY(NULL, density_bytes, NOWCAST_NULL_ARGUMENT);
    DENSITY(nowhere, density_bytes, NOWCAST_NOT_FINITE);
    DENSITY(at, density_bytes - 1, NOWCAST_TOO_SMALL);
    DENSITY(at, density_bytes, NOWCAST_OK);
    /* -ln(2 pi) - ln(det) / 2, where det = 4 - 1.2^2 */
    CHECK(fabs(value + 2.307880695) < 1e-6);
    EXPECT(nowcast_gaussian_release(rest, &error), NOWCAST_OK);
    free(block);
    free(scratch_block);
}

/* A distribution with a common factor: constants, where there is nothing else. */
static void low_rank(void)
{
    const double mean[2] = { 10.0, -1.0 }, loadings[2] = { 2.0, 0.0 }, variances[2] = { 1.0, 0.0 };
    const double bad[2] = { 1.0, -1.0 }, at[2] = { 10.0, -1.0 };
    uint64_t bytes = 77, scratch_bytes = 77, now = 0, drawn = 77;
    nowcast_gaussian *gaussian = UNTOUCHED;
    float paths[6] = { 0 }, some[6] = { 0 };
    double value = 77.0;

    EXPECT(nowcast_gaussian_low_rank_bytes(2, 0, &bytes, &scratch_bytes, &error),
           NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_gaussian_low_rank_bytes(2, UINT64_MAX, &bytes, &scratch_bytes, &error),
           NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_gaussian_low_rank_bytes(2, 1, &bytes, NULL, &error), NOWCAST_NULL_ARGUMENT);
    CHECK(bytes == 77 && scratch_bytes == 77);
    EXPECT(nowcast_gaussian_low_rank_bytes(2, 1, &bytes, &scratch_bytes, &error), NOWCAST_OK);
    void *block = NULL, *scratch_block = NULL;
    char *memory = aligned(bytes, &block);
    char *scratch = aligned(scratch_bytes, &scratch_block);
#define LOW_RANK(mean, loadings, variances, rank, scratch_bytes, out, expected)                \
    EXPECT(nowcast_gaussian_low_rank(mean, loadings, variances, 2, rank, NOWCAST_ISA_AUTO,     \
                                     memory, bytes, scratch, scratch_bytes, out, &error),      \
           expected)
    LOW_RANK(mean, NULL, variances, 1, scratch_bytes, &gaussian, NOWCAST_NULL_ARGUMENT);
    LOW_RANK(mean, loadings, NULL, 1, scratch_bytes, &gaussian, NOWCAST_NULL_ARGUMENT);
    LOW_RANK(mean, loadings, variances, 0, scratch_bytes, &gaussian, NOWCAST_INVALID_ARGUMENT);
    LOW_RANK(mean, loadings, variances, 1, scratch_bytes - 1, &gaussian, NOWCAST_TOO_SMALL);
    LOW_RANK(mean, loadings, bad, 1, scratch_bytes, &gaussian, NOWCAST_NOT_COVARIANCE);
    LOW_RANK(mean, loadings, variances, 1, scratch_bytes, NULL, NOWCAST_NULL_ARGUMENT);
    CHECK(gaussian == UNTOUCHED);
    LOW_RANK(mean, loadings, variances, 1, scratch_bytes, &gaussian, NOWCAST_OK);
    EXPECT(nowcast_gaussian_draw(gaussian, 1, 2, 3, paths, 3, &error), NOWCAST_OK);
    CHECK(paths[0] != paths[2] && paths[1] == -1.0f && paths[5] == -1.0f);
    EXPECT(nowcast_gaussian_log_density(gaussian, at, scratch, scratch_bytes, &value, &error),
           NOWCAST_NOT_COVARIANCE);

#define UNTIL(clock, deadline, out, drawn, expected)                                           \
    EXPECT(nowcast_gaussian_draw_until(gaussian, 1, 2, 3, clock, &now, deadline, out, 3,       \
                                       drawn, &error),                                         \
           expected)
    UNTIL(NULL, 9, some, &drawn, NOWCAST_NULL_ARGUMENT);
    UNTIL(ticks, 9, NULL, &drawn, NOWCAST_NULL_ARGUMENT);
    UNTIL(ticks, 9, some, NULL, NOWCAST_NULL_ARGUMENT);
    CHECK(drawn == 77);
    UNTIL(ticks, 0, some, &drawn, NOWCAST_OK);
    CHECK(drawn == 0 && some[1] == 0.0f);
    UNTIL(ticks, UINT64_MAX, some, &drawn, NOWCAST_OK);
    CHECK(drawn == 3 && memcmp(some, paths, sizeof paths) == 0);
    EXPECT(nowcast_gaussian_release(gaussian, &error), NOWCAST_OK);
    free(block);
    free(scratch_block);
}

static void gaussians(void)
{
    const double mean[2] = { 10.0, -1.0 };
    const double covariance[4] = { 4.0, 1.2, 1.2, 1.0 };
    const double variances[2] = { 4.0, 0.0 };
    double bad[4] = { 1.0, 2.0, 2.0, 1.0 };
    uint64_t bytes = 77, scratch_bytes = 77, dim = 0;
    nowcast_gaussian *gaussian = UNTOUCHED;
    int32_t isa = NOWCAST_ISA_AUTO;
    double value = 77.0;

    EXPECT(nowcast_gaussian_full_bytes(2, NULL, &scratch_bytes, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_gaussian_full_bytes(0, &bytes, &scratch_bytes, &error),
           NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_gaussian_full_bytes(UINT64_MAX, &bytes, &scratch_bytes, &error),
           NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_gaussian_diagonal_bytes(0, &bytes, &error), NOWCAST_INVALID_ARGUMENT);
    CHECK(bytes == 77 && scratch_bytes == 77);
    EXPECT(nowcast_gaussian_full_bytes(2, &bytes, &scratch_bytes, &error), NOWCAST_OK);
    void *block = NULL, *scratch_block = NULL;
    char *memory = aligned(bytes, &block);
    char *scratch = aligned(scratch_bytes, &scratch_block);

#define FULL(mean, covariance, dim, isa, memory, bytes, scratch, scratch_bytes, out, expected) \
    EXPECT(nowcast_gaussian_full(mean, covariance, dim, isa, memory, bytes, scratch,           \
                                 scratch_bytes, out, &error),                                  \
           expected)
    FULL(NULL, covariance, 2, isa, memory, bytes, scratch, scratch_bytes, &gaussian,
         NOWCAST_NULL_ARGUMENT);
    FULL(mean, NULL, 2, isa, memory, bytes, scratch, scratch_bytes, &gaussian,
         NOWCAST_NULL_ARGUMENT);
    FULL(mean, covariance, 2, isa, NULL, bytes, scratch, scratch_bytes, &gaussian,
         NOWCAST_NULL_ARGUMENT);
    FULL(mean, covariance, 2, isa, memory, bytes, NULL, scratch_bytes, &gaussian,
         NOWCAST_NULL_ARGUMENT);
    FULL(mean, covariance, 2, isa, memory, bytes, scratch, scratch_bytes, NULL,
         NOWCAST_NULL_ARGUMENT);
    FULL(mean, covariance, 0, isa, memory, bytes, scratch, scratch_bytes, &gaussian,
         NOWCAST_INVALID_ARGUMENT);
    FULL(mean, covariance, 2, 1234, memory, bytes, scratch, scratch_bytes, &gaussian,
         NOWCAST_INVALID_ARGUMENT);
    FULL(mean, covariance, 2, isa, memory, bytes - 1, scratch, scratch_bytes, &gaussian,
         NOWCAST_TOO_SMALL);
    FULL(mean, covariance, 2, isa, memory, bytes, scratch, scratch_bytes - 1, &gaussian,
         NOWCAST_TOO_SMALL);
    FULL(mean, covariance, 2, isa, memory + 8, bytes, scratch, scratch_bytes, &gaussian,
         NOWCAST_MISALIGNED);
    FULL(mean, covariance, 2, isa, memory, bytes, scratch + 8, scratch_bytes, &gaussian,
         NOWCAST_MISALIGNED);
    FULL(mean, bad, 2, isa, memory, bytes, scratch, scratch_bytes, &gaussian,
         NOWCAST_NOT_COVARIANCE);
    bad[1] = 0.5;
    FULL(mean, bad, 2, isa, memory, bytes, scratch, scratch_bytes, &gaussian,
         NOWCAST_NOT_COVARIANCE);
    bad[1] = HUGE_VAL;
    FULL(mean, bad, 2, isa, memory, bytes, scratch, scratch_bytes, &gaussian, NOWCAST_NOT_FINITE);
    bad[1] = -1.0;
    EXPECT(nowcast_gaussian_diagonal(mean, bad, 2, isa, memory, bytes, &gaussian, &error),
           NOWCAST_NOT_COVARIANCE);
    CHECK(gaussian == UNTOUCHED);

    float paths[6] = { 0 }, one[2] = { 0 };
    FULL(mean, covariance, 2, isa, memory, bytes, scratch, scratch_bytes, &gaussian, NOWCAST_OK);
    EXPECT(nowcast_gaussian_dim(gaussian, &dim, &error), NOWCAST_OK);
    CHECK(dim == 2);
    EXPECT(nowcast_gaussian_draw(gaussian, 1, 2, 3, paths, 3, &error), NOWCAST_OK);
    EXPECT(nowcast_gaussian_draw(gaussian, 1, 2, 5, one, 1, &error), NOWCAST_OK);
    CHECK(memcmp(paths + 4, one, sizeof one) == 0);
    EXPECT(nowcast_gaussian_draw(gaussian, 1, 2, 3, NULL, 0, &error), NOWCAST_OK);
    EXPECT(nowcast_gaussian_draw(gaussian, 1, 2, 3, NULL, 1, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_gaussian_draw(gaussian, 1, 2, 3, paths, UINT64_MAX, &error),
           NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_gaussian_draw(NULL, 1, 2, 3, paths, 3, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_gaussian_quantile(gaussian, 2, 0.5, &value, &error), NOWCAST_NOT_FOUND);
    EXPECT(nowcast_gaussian_quantile(gaussian, 0, 1.0, &value, &error), NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_gaussian_quantile(gaussian, 0, 0.5, NULL, &error), NOWCAST_NULL_ARGUMENT);
    CHECK(value == 77.0);
    EXPECT(nowcast_gaussian_quantile(gaussian, 0, 0.5, &value, &error), NOWCAST_OK);
    CHECK(value == 10.0);
    given(gaussian);
    low_rank();
    EXPECT(nowcast_gaussian_release(gaussian, &error), NOWCAST_OK);
    EXPECT(nowcast_gaussian_release(gaussian, &error), NOWCAST_INVALID_HANDLE);
    EXPECT(nowcast_gaussian_draw(gaussian, 1, 2, 3, paths, 3, &error), NOWCAST_INVALID_HANDLE);
    EXPECT(nowcast_gaussian_release(NULL, &error), NOWCAST_OK);

    EXPECT(nowcast_gaussian_diagonal(mean, variances, 2, isa, memory, bytes, &gaussian, &error),
           NOWCAST_OK);
    EXPECT(nowcast_gaussian_draw(gaussian, 1, 2, 3, paths, 3, &error), NOWCAST_OK);
    CHECK(paths[1] == -1.0f && paths[5] == -1.0f);
    EXPECT(nowcast_gaussian_release(gaussian, &error), NOWCAST_OK);
    free(block);
    free(scratch_block);
}

static void forecasters(const char *folder)
{
    nowcast_forecaster *forecaster = UNTOUCHED;
    nowcast_forecast *forecast = UNTOUCHED;
    nowcast_forecaster_info info = NOWCAST_FORECASTER_INFO_INIT;
    EXPECT(nowcast_forecaster_load(NULL, &forecaster, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_forecaster_load(folder, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_forecaster_load("no/such", &forecaster, &error), NOWCAST_IO);
    EXPECT(nowcast_forecaster_load_parts(NULL, 0, "", 0, "", 0, &forecaster, &error),
           NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_forecaster_load_parts("{}", 2, "", 0, "", 0, &forecaster, &error),
           NOWCAST_INVALID_FORECASTER);
    CHECK(forecaster == UNTOUCHED);
    EXPECT(nowcast_forecaster_load(folder, &forecaster, &error), NOWCAST_OK);
    EXPECT(nowcast_forecaster_describe(forecaster, NULL, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_forecaster_describe(forecaster, &info, &error), NOWCAST_OK);
    CHECK(info.context > 0 && info.horizon > 0 && info.step_seconds == 3600);
    info.struct_size = 1;
    EXPECT(nowcast_forecaster_describe(forecaster, &info, &error), NOWCAST_INVALID_ARGUMENT);

    uint64_t bytes = info.forecast_bytes, horizon = info.horizon;
    void *block = NULL;
    char *memory = aligned(bytes, &block);
    int32_t isa = NOWCAST_ISA_AUTO;
    EXPECT(nowcast_forecast_open(NULL, isa, memory, bytes, &forecast, &error),
           NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_forecast_open(forecaster, isa, memory, bytes - 1, &forecast, &error),
           NOWCAST_TOO_SMALL);
    EXPECT(nowcast_forecast_open(forecaster, isa, memory + 16, bytes, &forecast, &error),
           NOWCAST_MISALIGNED);
    EXPECT(nowcast_forecast_open(forecaster, -3, memory, bytes, &forecast, &error),
           NOWCAST_INVALID_ARGUMENT);
    CHECK(forecast == UNTOUCHED);
    EXPECT(nowcast_forecast_open(forecaster, isa, memory, bytes, &forecast, &error), NOWCAST_OK);
    EXPECT(nowcast_forecaster_release(forecaster, &error), NOWCAST_IN_USE);

    float *context = calloc((size_t)info.context, sizeof *context);
    float *out = calloc((size_t)horizon * 3, sizeof *out);
    EXPECT(nowcast_forecast_mean(forecast, out, horizon, &error), NOWCAST_NO_FORECAST);
    EXPECT(nowcast_forecast_quantile(forecast, 0.5, out, horizon, &error), NOWCAST_NO_FORECAST);
    EXPECT(nowcast_forecast_paths(forecast, 1, 0, 0, out, 3, &error), NOWCAST_NO_FORECAST);
    EXPECT(nowcast_forecast_prefault(forecast, &error), NOWCAST_OK);
    EXPECT(nowcast_forecast_run(forecast, NULL, info.context, 0, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_forecast_run(forecast, context, info.context - 1, 0, &error),
           NOWCAST_WRONG_LENGTH);
    context[1] = (float)HUGE_VAL;
    EXPECT(nowcast_forecast_run(forecast, context, info.context, 0, &error), NOWCAST_NOT_FINITE);
    context[1] = 0.0f;
    EXPECT(nowcast_forecast_mean(forecast, out, horizon, &error), NOWCAST_NO_FORECAST);
    EXPECT(nowcast_forecast_run(forecast, context, info.context, 0, &error), NOWCAST_OK);
    EXPECT(nowcast_forecast_mean(forecast, out, horizon - 1, &error), NOWCAST_WRONG_LENGTH);
    EXPECT(nowcast_forecast_mean(forecast, NULL, horizon, &error), NOWCAST_NULL_ARGUMENT);
    EXPECT(nowcast_forecast_mean(forecast, out, horizon, &error), NOWCAST_OK);
    EXPECT(nowcast_forecast_quantile(forecast, 0.0, out, horizon, &error),
           NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_forecast_quantile(forecast, 0.9, out, horizon + 1, &error),
           NOWCAST_WRONG_LENGTH);
    EXPECT(nowcast_forecast_quantile(forecast, 0.9, out, horizon, &error), NOWCAST_OK);
    EXPECT(nowcast_forecast_paths(forecast, 1, 0, 0, out, 3, &error), NOWCAST_OK);
    EXPECT(nowcast_forecast_paths(forecast, 1, 0, 0, out, UINT64_MAX, &error),
           NOWCAST_INVALID_ARGUMENT);
    EXPECT(nowcast_forecast_close(forecast, &error), NOWCAST_OK);
    EXPECT(nowcast_forecast_close(forecast, &error), NOWCAST_INVALID_HANDLE);
    EXPECT(nowcast_forecast_close(NULL, &error), NOWCAST_OK);
    EXPECT(nowcast_forecaster_release(forecaster, &error), NOWCAST_OK);
    EXPECT(nowcast_forecaster_release(NULL, &error), NOWCAST_OK);
    free(context);
    free(out);
    free(block);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: errors AFFINE RESHAPE SUM UNKNOWN FORECASTER\n");
        return 2;
    }
    names();
    loading(argv[1], argv[2], argv[4]);

    nowcast_program *program = NULL;
    nowcast_session *session = NULL;
    nowcast_options options = NOWCAST_OPTIONS_INIT;
    options.dims = ROWS;
    options.dims_len = 1;
    EXPECT(nowcast_program_load(argv[1], &options, &program, &error), NOWCAST_OK);
    if (program == NULL) {
        return 1;
    }
    questions(program);
    uint64_t bytes = 0;
    EXPECT(nowcast_session_bytes(program, &bytes, &error), NOWCAST_OK);
    void *block = NULL;
    char *memory = aligned(bytes, &block);
    opening(program, memory, bytes);
    EXPECT(nowcast_session_open(program, NOWCAST_ISA_AUTO, memory, bytes, &session, &error),
           NOWCAST_OK);
    serving(session);
    EXPECT(nowcast_session_close(session, &error), NOWCAST_OK);
    free(block);
    EXPECT(nowcast_program_release(program, &error), NOWCAST_OK);

    states(argv[3]);
    gaussians();
    forecasters(argv[5]);
    if (failures == 0) {
        puts("ok");
    }
    return failures != 0;
}
