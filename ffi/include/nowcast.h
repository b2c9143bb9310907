/* nowcast: an embedded inference runtime for probabilistic forecasting.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Objects
 *   nowcast_program     a compiled model; shared by threads, never written again; on the heap if
 *                       it was loaded or mapped, in the caller's memory if it was opened
 *   nowcast_session     one thread's memory of a program; in the caller's memory
 *   nowcast_gaussian    a multivariate normal distribution; in the caller's memory
 *   nowcast_forecaster  a model with its series, scale and errors; otherwise as a program
 *   nowcast_forecast    one thread's memory of a forecaster; in the caller's memory
 *
 * A bundle is a file that `nowcast compile` writes: models ready to run, where they lie.
 *
 * There are two libraries. nowcast_c has everything. nowcast_minimal opens bundles and has nothing
 * that NOWCAST_MINIMAL, defined before this header, hides: it needs of the system memcpy, memmove,
 * memset, memcmp, bcmp, strlen and abort, and never allocates.
 *
 * Rules that hold for every function
 *   Errors      A function that can fail returns a status; NOWCAST_OK is zero. Unless a function
 *               says otherwise, everything it would have written through its arguments is
 *               unchanged when it fails. The sentence that says what went wrong goes into the
 *               caller's `nowcast_error`, which may be NULL; there is no hidden last error.
 *   Panics      NOWCAST_PANIC is an error of this library, caught at the border. The object that
 *               was passed may be half written: close or release it and go on. nowcast_minimal
 *               cannot catch one: it calls abort().
 *   Allocation  Functions of the heading "set-up" may allocate. All others do not, nor do they
 *               lock, call the system or start a thread: they serve.
 *   Threads     An object that is passed as `const` may be used by any number of threads at a
 *               time. One that is passed without may be used by one thread at a time; it may move
 *               between threads.
 *   Ownership   Pointers that are passed are read or written during the call only, except the
 *               memory that an `_open`, `_full` or `_diagonal` function is given: the object lives
 *               in it until it is closed or released, and nobody else may write it. A bundle and
 *               kernels that an `_open` function is given are read until then.
 *   Alignment   Memory for objects starts on a multiple of NOWCAST_ALIGNMENT bytes.
 *   Text        UTF-8, ended by NUL. Text that is returned belongs to the library or the object.
 *   Handles     A handle is valid from the call that made it to its close or release. One of
 *               another kind, or closed with its memory still there, is NOWCAST_INVALID_HANDLE.
 */
#ifndef NOWCAST_H
#define NOWCAST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The number of this interface. It changes when a program compiled against another header must
 * not run with the library. */
#define NOWCAST_ABI_VERSION 1u

/* Alignment, in bytes, of the memory that objects live in. */
#define NOWCAST_ALIGNMENT 64

/* Aligns an array: NOWCAST_ALIGNED static unsigned char memory[NOWCAST_PROGRAM_BYTES]; */
#if defined(_MSC_VER) && !defined(__clang__)
#define NOWCAST_ALIGNED __declspec(align(64))
#else
#define NOWCAST_ALIGNED __attribute__((aligned(64)))
#endif

/* Memory that objects take, in bytes. A session and a forecast take this and what their program
 * needs: nowcast_session_bytes, nowcast_forecaster_describe, or the macros of an emitted model. */
#define NOWCAST_PROGRAM_BYTES 256
#define NOWCAST_FORECASTER_BYTES 1024
#define NOWCAST_HANDLE_BYTES (256 * sizeof(void *))

/* Most axes of an input or output. */
#define NOWCAST_MAX_RANK 16

/* Most inputs and most outputs that one nowcast_session_run_with may bind. */
#define NOWCAST_MAX_BINDINGS 64

/* ---- statuses ------------------------------------------------------------------------------ */

/* What became of a call. The numbers are pinned and never used again for something else. */
typedef int32_t nowcast_status;

enum {
    NOWCAST_OK = 0,
    NOWCAST_NULL_ARGUMENT = 1,         /* a pointer that must not be NULL is */
    NOWCAST_INVALID_ARGUMENT = 2,      /* a value that has no meaning; text that is not UTF-8 */
    NOWCAST_INVALID_HANDLE = 3,        /* an object of another kind, or closed */
    NOWCAST_IO = 4,                    /* a file cannot be read */
    NOWCAST_INVALID_MODEL = 5,         /* not an ONNX model, or one that contradicts itself */
    NOWCAST_UNSUPPORTED = 6,           /* the model needs an operator that is not supported */
    NOWCAST_OPTION_NEEDED = 7,         /* an open dimension or a constant input must be chosen */
    NOWCAST_NOT_COMPILED = 8,          /* the model cannot be compiled */
    NOWCAST_NOT_FOUND = 9,             /* nothing of this name or position */
    NOWCAST_WRONG_DTYPE = 10,          /* another element type */
    NOWCAST_WRONG_LENGTH = 11,         /* another number of bytes or elements */
    NOWCAST_WRONG_RANK = 12,           /* another number of axes */
    NOWCAST_EXTENT_OUT_OF_BOUNDS = 13, /* an extent outside its bounds */
    NOWCAST_IS_STATE = 14,             /* kept between runs, so it cannot be bound */
    NOWCAST_STATE_FULL = 15,           /* a growing state has reached its largest extent */
    NOWCAST_MISALIGNED = 16,           /* memory that starts at the wrong address */
    NOWCAST_TOO_SMALL = 17,            /* memory with too few bytes */
    NOWCAST_OVERLAP = 18,              /* memory to be written overlaps other memory of the call */
    NOWCAST_OUT_OF_MEMORY = 19,        /* the allocator has nothing left */
    NOWCAST_MISSING_KERNEL = 20,       /* the program needs a kernel that was not listed */
    NOWCAST_IN_USE = 21,               /* sessions of the object are still open */
    NOWCAST_NOT_FINITE = 22,           /* a number is NaN, infinite or out of range */
    NOWCAST_NOT_COVARIANCE = 23,       /* not symmetric, not positive definite, or negative */
    NOWCAST_INVALID_FORECASTER = 24,   /* a folder or model that is no forecaster */
    NOWCAST_NO_FORECAST = 25,          /* asked before a forecast was made */
    NOWCAST_IN_PLACE = 26,             /* a cache that grows in place has no single pointer */
    NOWCAST_NOT_A_BUNDLE = 27,         /* does not begin as a bundle does */
    NOWCAST_OTHER_VERSION = 28,        /* a bundle of a format that this build does not read */
    NOWCAST_TRUNCATED = 29,            /* a bundle that is shorter than it says */
    NOWCAST_DAMAGED = 30,              /* a bundle whose contents are not what was written */
    NOWCAST_SEVERAL_MODELS = 31,       /* a bundle with several models, of which none was named */
    NOWCAST_TOO_LARGE = 32,            /* more memory than is allowed, or can be addressed */
    NOWCAST_OUT_OF_RANGE = 33,         /* a number in the data that decides a shape is outside the
                                        * bounds that memory was planned for */
    NOWCAST_MEASURED = 34,             /* the output's size is known only behind the run, so it
                                        * cannot be bound */
    NOWCAST_PANIC = 100                /* an error of this library */
};

/* Detail of a failure. Start from NOWCAST_ERROR_INIT; a call that succeeds does not touch it. */
typedef struct nowcast_error {
    uint32_t struct_size; /* set by the caller: sizeof(nowcast_error) */
    int32_t code;         /* the status that was returned */
    char message[512];    /* one sentence, always ended by NUL, cut if it is longer */
} nowcast_error;

#define NOWCAST_ERROR_INIT { (uint32_t)sizeof(nowcast_error), NOWCAST_OK, { 0 } }

/* The NOWCAST_ABI_VERSION that the library was built with. Compare it once, at start.
 * Errors: none. Threads: any. */
uint32_t nowcast_abi_version(void);

/* The library's version, such as "0.1.0". It belongs to the library.
 * Errors: none. Threads: any. */
const char *nowcast_version(void);

/* The name of a status, such as "NOWCAST_NOT_FOUND"; "unknown" for any other number. It belongs to
 * the library.
 * Errors: none. Threads: any. */
const char *nowcast_status_name(nowcast_status status);

/* ---- element types and instruction sets ---------------------------------------------------- */

/* An element type. The numbers are pinned. */
typedef int32_t nowcast_dtype;

enum {
    NOWCAST_F32 = 1,
    NOWCAST_F64 = 2,
    NOWCAST_I32 = 3,
    NOWCAST_I64 = 4,
    NOWCAST_U8 = 5,
    NOWCAST_I8 = 6,
    NOWCAST_BOOL = 7, /* one byte, zero or one */
    NOWCAST_U16 = 8,
    NOWCAST_I16 = 9,
    NOWCAST_U32 = 10,
    NOWCAST_U64 = 11,
    /* Types that nothing is computed in: elements are bits, uint16_t or uint8_t. An element of
     * fewer than eight bits is the low bits of a byte. */
    NOWCAST_F16 = 12,
    NOWCAST_BF16 = 13,
    NOWCAST_F8E4M3FN = 14,
    NOWCAST_F8E4M3FNUZ = 15,
    NOWCAST_F8E5M2 = 16,
    NOWCAST_F8E5M2FNUZ = 17,
    NOWCAST_F8E8M0 = 18,
    NOWCAST_F6E2M3 = 19,
    NOWCAST_F6E3M2 = 20,
    NOWCAST_F4E2M1 = 21,
    NOWCAST_I4 = 22,
    NOWCAST_U4 = 23,
    NOWCAST_I2 = 24,
    NOWCAST_U2 = 25
};

/* The short name of an element type, such as "f32"; "unknown" for any other number.
 * Errors: none. Threads: any. */
const char *nowcast_dtype_name(nowcast_dtype dtype);

/* Bytes of one element; zero for a number that is no element type.
 * Errors: none. Threads: any. */
uint32_t nowcast_dtype_bytes(nowcast_dtype dtype);

/* An instruction set, as a limit: code never uses more than the limit and never more than the CPU
 * has. NOWCAST_ISA_AUTO takes what a CPU has beyond one too: AVX512-BF16, and AMX, whose tiles the
 * process asks the system for when a session is opened that uses them. The numbers are pinned. */
typedef int32_t nowcast_isa;

enum {
    NOWCAST_ISA_AUTO_WITHOUT_AMX = -2, /* no limit but that AMX is not used, nor asked for */
    NOWCAST_ISA_AUTO = -1, /* no limit */
    NOWCAST_ISA_SCALAR = 0,
    NOWCAST_ISA_AVX2 = 1,
    NOWCAST_ISA_AVX512 = 2,
    NOWCAST_ISA_NEON = 3
};

/* The short name of an instruction set, such as "avx2"; "unknown" for any other number.
 * Errors: none. Threads: any. */
const char *nowcast_isa_name(nowcast_isa isa);

/* Pays beforehand what a thread's first call would: the pages of its stack, and the tiles of AMX
 * where a session of the process uses them. Call it once on each thread that serves, when the
 * sessions are open.
 * Errors: NOWCAST_PANIC. Threads: any. */
nowcast_status nowcast_thread_prepare(nowcast_error *error);

/* ---- kernels ------------------------------------------------------------------------------- */

/* The code of one kind of step. A program is opened with those that it may use: all of them, or the
 * few that a list names, and then a linker that drops unused sections (-Wl,--gc-sections) drops
 * the others. `nowcast compile --emit c` writes the list of a model. */
typedef struct nowcast_kernel nowcast_kernel;

/* Define NOWCAST_SHARED on Windows to use the shared library, whose addresses are no constants. */
#if defined(_WIN32) && defined(NOWCAST_SHARED)
#define NOWCAST_DATA __declspec(dllimport)
#else
#define NOWCAST_DATA
#endif

extern NOWCAST_DATA const nowcast_kernel
    nowcast_kernel_copy, nowcast_kernel_fill, nowcast_kernel_extents, nowcast_kernel_unary_f32,
    nowcast_kernel_unary, nowcast_kernel_binary_f32, nowcast_kernel_binary, nowcast_kernel_compare,
    nowcast_kernel_where, nowcast_kernel_cast, nowcast_kernel_pad, nowcast_kernel_range,
    nowcast_kernel_trilu, nowcast_kernel_gather, nowcast_kernel_gather_elements,
    nowcast_kernel_gather_nd, nowcast_kernel_scatter_elements, nowcast_kernel_scatter_nd,
    nowcast_kernel_one_hot, nowcast_kernel_top_k, nowcast_kernel_arg_reduce, nowcast_kernel_cum_sum,
    nowcast_kernel_reduce_f32, nowcast_kernel_reduce, nowcast_kernel_softmax_f32,
    nowcast_kernel_softmax, nowcast_kernel_norm_f32, nowcast_kernel_norm, nowcast_kernel_moments,
    nowcast_kernel_batch_coefficients, nowcast_kernel_channel_affine_f32,
    nowcast_kernel_channel_affine, nowcast_kernel_group_norm_f32, nowcast_kernel_group_norm,
    nowcast_kernel_quantize_f32, nowcast_kernel_quantize, nowcast_kernel_dequantize_f32,
    nowcast_kernel_dequantize, nowcast_kernel_conv_f32, nowcast_kernel_conv_depthwise_f32,
    nowcast_kernel_conv, nowcast_kernel_pool_f32, nowcast_kernel_pool,
    nowcast_kernel_conv_lines_f32, nowcast_kernel_conv_rows_f32, nowcast_kernel_depthwise_lines_f32,
    nowcast_kernel_depthwise_rows_f32, nowcast_kernel_linear_f32,
    nowcast_kernel_matmul_f32, nowcast_kernel_matmul, nowcast_kernel_pack_f32,
    nowcast_kernel_rnn_f32, nowcast_kernel_lstm_f32, nowcast_kernel_gru_linear_f32,
    nowcast_kernel_gru_reset_f32, nowcast_kernel_recurrent_bias, nowcast_kernel_recurrent_gates,
    nowcast_kernel_lstm_i8,
    nowcast_kernel_measure, nowcast_kernel_non_zero, nowcast_kernel_unique, nowcast_kernel_non_max_suppression,
    nowcast_kernel_jump, nowcast_kernel_jump_unless, nowcast_kernel_enter_loop,
    nowcast_kernel_repeat_loop, nowcast_kernel_set_extent, nowcast_kernel_cum_prod,
    nowcast_kernel_pool_positions, nowcast_kernel_grid_sample, nowcast_kernel_roi_align,
    nowcast_kernel_roi_max, nowcast_kernel_deform_columns, nowcast_kernel_determinant,
    nowcast_kernel_tree_walk,
    nowcast_kernel_random, nowcast_kernel_tree_ensemble, nowcast_kernel_lookup,
    nowcast_kernel_distances, nowcast_kernel_svm_pairs, nowcast_kernel_pair_coupling,
    nowcast_kernel_widen, nowcast_kernel_narrow, nowcast_kernel_attention_f32,
    nowcast_kernel_linear_bf16, nowcast_kernel_linear_w8, nowcast_kernel_linear_w4,
    nowcast_kernel_conv_i8, nowcast_kernel_linear_i8, nowcast_kernel_dynamic_quantize,
    nowcast_kernel_chain, nowcast_kernel_map_bytes, nowcast_kernel_matmul_i8,
    nowcast_kernel_softmax_i8;

typedef struct nowcast_kernels {
    uint32_t struct_size; /* set by the caller: sizeof(nowcast_kernels) */
    uint32_t len;
    const nowcast_kernel *const *list;
} nowcast_kernels;

/* Those of an array: static const nowcast_kernel *const list[] = { &nowcast_kernel_linear_f32 };
 * static const nowcast_kernels kernels = NOWCAST_KERNELS(list); */
#define NOWCAST_KERNELS(list) \
    { (uint32_t)sizeof(nowcast_kernels), (uint32_t)(sizeof(list) / sizeof((list)[0])), list }

/* All kernels. A program that calls it is linked with all of them.
 * Errors: none. Threads: any. */
const nowcast_kernels *nowcast_kernels_all(void);

/* ---- bundles ------------------------------------------------------------------------------- */

/* What is in a bundle. Start from NOWCAST_BUNDLE_INFO_INIT. */
typedef struct nowcast_bundle_info {
    uint32_t struct_size;     /* set by the caller: sizeof(nowcast_bundle_info) */
    uint32_t models_len;
    uint64_t bytes;           /* of the bundle; what was passed may be longer, as flash is */
    uint8_t content_hash[16]; /* stands for every byte; tells damage, not malice */
} nowcast_bundle_info;

#define NOWCAST_BUNDLE_INFO_INIT { (uint32_t)sizeof(nowcast_bundle_info), 0, 0, { 0 } }

/* What is in a bundle, which has `bundle_bytes` bytes or is followed by others and starts on a
 * multiple of NOWCAST_ALIGNMENT. Reads and checks its directory, not its contents.
 * Errors: NOWCAST_NOT_A_BUNDLE, NOWCAST_OTHER_VERSION, NOWCAST_TRUNCATED, NOWCAST_DAMAGED,
 *   NOWCAST_MISALIGNED, NOWCAST_INVALID_ARGUMENT (struct_size), NOWCAST_NULL_ARGUMENT.
 * Threads: any. */
nowcast_status nowcast_bundle_describe(const void *bundle, uint64_t bundle_bytes,
                                       nowcast_bundle_info *info, nowcast_error *error);

/* The name of model `index`, which belongs to the bundle.
 * Errors: NOWCAST_NOT_FOUND, otherwise as nowcast_bundle_describe. Threads: any. */
nowcast_status nowcast_bundle_model_name(const void *bundle, uint64_t bundle_bytes, uint32_t index,
                                         const char **name, nowcast_error *error);

/* Reads every byte of a bundle against its checksums. Opening does not: it checks all that could
 * lead a program outside of its memory, but a weight may have any value.
 * Errors: as nowcast_bundle_describe. Threads: any. */
nowcast_status nowcast_bundle_verify(const void *bundle, uint64_t bundle_bytes,
                                     nowcast_error *error);

/* ---- programs: set-up ---------------------------------------------------------------------- */

typedef struct nowcast_program nowcast_program;

/* An open dimension: its choice, or what was chosen. An unnamed one is called INPUT.AXIS. */
typedef struct nowcast_dim {
    const char *name;
    uint64_t min; /* smallest extent; equal to `max` to fix it */
    uint64_t max; /* largest extent, which memory is planned for */
} nowcast_dim;

#ifndef NOWCAST_MINIMAL

/* An output that is kept as the input of the next run. */
typedef struct nowcast_state {
    const char *output;
    const char *input;
} nowcast_state;

/* An input that becomes a constant and is no input of the program then: what an integer input
 * that decides shapes needs. */
typedef struct nowcast_value {
    const char *name;
    nowcast_dtype dtype;
    uint32_t rank;
    const uint64_t *extents; /* `rank` of them; may be NULL if there is none */
    const void *data;        /* row-major; copied; need not be aligned */
    uint64_t bytes;
} nowcast_value;

/* Bounds, both included, of the elements of an integer value that decides a shape while the program
 * runs: of an input, or of any other value of the model. A run with a number outside fails with
 * NOWCAST_OUT_OF_RANGE. */
typedef struct nowcast_value_range {
    const char *name;
    int64_t min;
    int64_t max;
} nowcast_value_range;

/* Iterations at most of a loop whose number is decided while the program runs. A node without a
 * name is called Loop_ and its position. A run that would go on fails with NOWCAST_OUT_OF_RANGE. */
typedef struct nowcast_max_trips {
    const char *node;
    uint64_t trips;
} nowcast_max_trips;

/* In which type the weights of products with constants are stored. The numbers are pinned. */
typedef uint32_t nowcast_precision;

enum {
    NOWCAST_PRECISION_F32 = 0, /* as in the model */
    NOWCAST_PRECISION_BF16 = 1 /* rounded: half of the bytes; products of many rows round both
                                * operands where the CPU multiplies bf16 */
};

/* What is chosen of a model. Start from NOWCAST_OPTIONS_INIT. An array may be NULL if its length
 * is zero. */
typedef struct nowcast_options {
    uint32_t struct_size; /* set by the caller: sizeof(nowcast_options) */
    uint32_t dims_len;
    const nowcast_dim *dims;
    uint32_t states_len;
    uint32_t values_len;
    const nowcast_state *states;
    const nowcast_value *values;
    uint64_t max_memory; /* bytes that loading, and then a session, may take; 0 for 2 GiB */
    uint32_t ranges_len;
    uint32_t trips_len;
    const nowcast_value_range *ranges;
    const nowcast_max_trips *trips;
    nowcast_precision precision;
    uint32_t reserved; /* zero */
} nowcast_options;

#define NOWCAST_OPTIONS_INIT \
    { (uint32_t)sizeof(nowcast_options), 0, NULL, 0, 0, NULL, NULL, 0, 0, 0, NULL, NULL, 0, 0 }

#endif /* NOWCAST_MINIMAL */

/* What a program takes, in bytes. Start from NOWCAST_MEMORY_INIT. */
typedef struct nowcast_memory {
    uint32_t struct_size; /* set by the caller: sizeof(nowcast_memory) */
    uint32_t alignment;   /* of a session's memory */
    uint64_t session_bytes;  /* what nowcast_session_open takes, all included */
    uint64_t arena_bytes;    /* of these: inputs, outputs and what is between */
    uint64_t state_bytes;    /* of these: what is kept between runs */
    uint64_t constant_bytes; /* weights, in the program: sessions share them */
    uint64_t stack_bytes;    /* upper bound of the stack that a run uses */
} nowcast_memory;

#define NOWCAST_MEMORY_INIT { (uint32_t)sizeof(nowcast_memory), 0, 0, 0, 0, 0, 0 }

/* An input or output of a program. Start from NOWCAST_PORT_INIT. */
typedef struct nowcast_port {
    uint32_t struct_size; /* set by the caller: sizeof(nowcast_port) */
    nowcast_dtype dtype;
    uint32_t rank;
    uint32_t is_state;    /* one if it is kept between runs, else zero */
    const char *name;     /* belongs to the program */
    uint64_t bytes;       /* at the largest extents */
    int64_t extents[NOWCAST_MAX_RANK]; /* -1: follows from a choice per call */
} nowcast_port;

#define NOWCAST_PORT_INIT { (uint32_t)sizeof(nowcast_port), 0, 0, 0, NULL, 0, { 0 } }

/* Opens a program of a bundle where it lies: no weight is copied or even read.
 * Arguments: `bundle` as for nowcast_bundle_describe. `model` is a name, or NULL for the only one.
 *   `kernels` lists what the program may use; nowcast_kernels_all() if in doubt. `memory` has at
 *   least NOWCAST_PROGRAM_BYTES bytes. `*program` receives the program, which lies in `memory`.
 * Ownership: bundle, kernels and memory stay the caller's and must outlive the program, which the
 *   caller ends with nowcast_program_release.
 * Errors: those of nowcast_bundle_describe, NOWCAST_NOT_FOUND (model), NOWCAST_SEVERAL_MODELS,
 *   NOWCAST_MISSING_KERNEL, NOWCAST_TOO_LARGE, NOWCAST_TOO_SMALL (memory).
 * Threads: any. Allocation: none, but checks every step: set-up. */
nowcast_status nowcast_program_open(const void *bundle, uint64_t bundle_bytes, const char *model,
                                    const nowcast_kernels *kernels, void *memory,
                                    uint64_t memory_bytes, nowcast_program **program,
                                    nowcast_error *error);

#ifndef NOWCAST_MINIMAL

/* Maps a bundle file and opens a program of it. Pages are read when they are needed, and shared
 * with every process that maps the file.
 * Arguments: `model` and `kernels` as for nowcast_program_open. `*program` receives the program.
 * Ownership: the caller releases the program with nowcast_program_release. Nobody may write the
 *   file until then; to replace it by another of its name is allowed.
 * Errors: NOWCAST_IO, otherwise as nowcast_program_open. Threads: any. Allocation: yes. */
nowcast_status nowcast_program_map(const char *path, const char *model,
                                   const nowcast_kernels *kernels, nowcast_program **program,
                                   nowcast_error *error);

/* Loads an ONNX file and compiles it. External data is read from the file's folder.
 * Arguments: `options` may be NULL. `*program` receives the program.
 * Ownership: the caller releases the program with nowcast_program_release.
 * Errors: NOWCAST_IO, NOWCAST_INVALID_MODEL, NOWCAST_UNSUPPORTED, NOWCAST_OPTION_NEEDED,
 *   NOWCAST_NOT_COMPILED, NOWCAST_TOO_LARGE (max_memory), NOWCAST_INVALID_ARGUMENT,
 *   NOWCAST_NULL_ARGUMENT.
 * Threads: any. Allocation: yes. */
nowcast_status nowcast_program_load(const char *path, const nowcast_options *options,
                                    nowcast_program **program, nowcast_error *error);

/* Loads an ONNX model from `len` bytes at `bytes`, which are not needed afterwards. A model with
 * external data is refused.
 * Otherwise as nowcast_program_load. */
nowcast_status nowcast_program_load_bytes(const void *bytes, uint64_t len,
                                          const nowcast_options *options,
                                          nowcast_program **program, nowcast_error *error);

#endif /* NOWCAST_MINIMAL */

/* Ends a program: frees one that was loaded or mapped; the memory that one was opened in may be
 * reused. NULL is allowed and does nothing.
 * Errors: NOWCAST_IN_USE while sessions of it are open; it stays valid then.
 *   NOWCAST_INVALID_HANDLE.
 * Threads: no other thread may use the program. Allocation: frees. */
nowcast_status nowcast_program_release(nowcast_program *program, nowcast_error *error);

/* ---- programs: questions ------------------------------------------------------------------- */

/* Bytes that the program and its sessions take.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE, NOWCAST_INVALID_ARGUMENT (struct_size).
 * Threads: any. */
nowcast_status nowcast_program_memory(const nowcast_program *program, nowcast_memory *memory,
                                      nowcast_error *error);

/* Number of inputs, in the model's order.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: any. */
nowcast_status nowcast_program_inputs_len(const nowcast_program *program, uint32_t *len,
                                          nowcast_error *error);

/* Number of outputs, in the model's order.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: any. */
nowcast_status nowcast_program_outputs_len(const nowcast_program *program, uint32_t *len,
                                           nowcast_error *error);

/* Name, type and extents of input `index`.
 * Errors: NOWCAST_NOT_FOUND, NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE,
 *   NOWCAST_INVALID_ARGUMENT (struct_size).
 * Threads: any. */
nowcast_status nowcast_program_input(const nowcast_program *program, uint32_t index,
                                     nowcast_port *port, nowcast_error *error);

/* Name, type and extents of output `index`. Otherwise as nowcast_program_input. */
nowcast_status nowcast_program_output(const nowcast_program *program, uint32_t index,
                                      nowcast_port *port, nowcast_error *error);

/* Number of labels of output `index`; mostly zero.
 * Text comes back as numbers: in an output of NOWCAST_I64 that has labels, each element is the
 * position of its text among them. Those of an output of floats are the names of its columns.
 * Errors: NOWCAST_NOT_FOUND, NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: any. */
nowcast_status nowcast_program_output_labels_len(const nowcast_program *program, uint32_t index,
                                                 uint32_t *len, nowcast_error *error);

/* Label `label` of output `index`: UTF-8, up to its first NUL. The text belongs to the program.
 * Errors: NOWCAST_NOT_FOUND (no such output or label), NOWCAST_NULL_ARGUMENT,
 *   NOWCAST_INVALID_HANDLE.
 * Threads: any. */
nowcast_status nowcast_program_output_label(const nowcast_program *program, uint32_t index,
                                            uint32_t label, const char **text,
                                            nowcast_error *error);

/* Name and bounds of the dimension that is chosen per call on `axis` of input `index`. The name
 * belongs to the program; nowcast_session_set_extent takes it.
 * Errors: NOWCAST_NOT_FOUND (no such input or axis, or its extent is fixed),
 *   NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE.
 * Threads: any. */
nowcast_status nowcast_program_input_dim(const nowcast_program *program, uint32_t index,
                                         uint32_t axis, nowcast_dim *dim, nowcast_error *error);

/* Position of the input of this name.
 * Errors: NOWCAST_NOT_FOUND, NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE,
 *   NOWCAST_INVALID_ARGUMENT.
 * Threads: any. */
nowcast_status nowcast_program_find_input(const nowcast_program *program, const char *name,
                                          uint32_t *index, nowcast_error *error);

/* Position of the output of this name. Otherwise as nowcast_program_find_input. */
nowcast_status nowcast_program_find_output(const nowcast_program *program, const char *name,
                                           uint32_t *index, nowcast_error *error);

/* ---- sessions ------------------------------------------------------------------------------ */

typedef struct nowcast_session nowcast_session;

/* Extents of an input or output in a session. Start from NOWCAST_SHAPE_INIT. */
typedef struct nowcast_shape {
    uint32_t struct_size; /* set by the caller: sizeof(nowcast_shape) */
    uint32_t rank;
    uint64_t extents[NOWCAST_MAX_RANK];
} nowcast_shape;

#define NOWCAST_SHAPE_INIT { (uint32_t)sizeof(nowcast_shape), 0, { 0 } }

/* Elements of the caller that an input is read from. */
typedef struct nowcast_input_binding {
    uint32_t index;      /* of the input */
    nowcast_dtype dtype; /* of the elements; NOWCAST_U8 also serves a boolean input */
    const void *data;    /* aligned to its element type */
    uint64_t bytes;
} nowcast_input_binding;

/* Memory of the caller that an output is written to. */
typedef struct nowcast_output_binding {
    uint32_t index;      /* of the output */
    nowcast_dtype dtype; /* of the elements; NOWCAST_U8 also serves a boolean output */
    void *data;          /* aligned to its element type */
    uint64_t bytes;
} nowcast_output_binding;

/* Bytes of memory that a session of the program takes: handle, tables, arena and state.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: any. */
nowcast_status nowcast_session_bytes(const nowcast_program *program, uint64_t *bytes,
                                     nowcast_error *error);

/* Opens a session in the caller's memory, which is cleared.
 * Arguments: `isa` limits the instruction set. `memory` has at least nowcast_session_bytes bytes.
 *   `*session` receives the session, which lies in `memory`.
 * Ownership: the memory stays the caller's, who closes the session before reusing it. The program
 *   must outlive the session.
 * Errors: NOWCAST_TOO_SMALL, NOWCAST_MISALIGNED, NOWCAST_INVALID_ARGUMENT (isa),
 *   NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE.
 * Threads: any; each has its own memory. Allocation: none, but asks the CPU what it has, which a
 *   hypervisor may make slow: set-up. */
nowcast_status nowcast_session_open(const nowcast_program *program, nowcast_isa isa, void *memory,
                                    uint64_t memory_bytes, nowcast_session **session,
                                    nowcast_error *error);

/* Closes a session: its memory may be reused or freed. NULL is allowed and does nothing.
 * Errors: NOWCAST_INVALID_HANDLE, for one already closed too as long as its memory is not reused.
 * Threads: one. Allocation: none, frees nothing. */
nowcast_status nowcast_session_close(nowcast_session *session, nowcast_error *error);

/* The instruction set that the session runs on.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: any. */
nowcast_status nowcast_session_isa(const nowcast_session *session, nowcast_isa *isa,
                                   nowcast_error *error);

/* Pays beforehand what the first run would: touches all memory and code by running once on zeros,
 * then clears inputs, outputs and state and takes the least extents.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: one. */
nowcast_status nowcast_session_prefault(nowcast_session *session, nowcast_error *error);

/* Sets a dimension that is chosen per call, by its name. Pointers into inputs and outputs stay
 * where they are; their bytes change.
 * Errors: NOWCAST_NOT_FOUND, NOWCAST_EXTENT_OUT_OF_BOUNDS, NOWCAST_NULL_ARGUMENT,
 *   NOWCAST_INVALID_HANDLE, NOWCAST_INVALID_ARGUMENT.
 * Threads: one. */
nowcast_status nowcast_session_set_extent(nowcast_session *session, const char *name,
                                          uint64_t extent, nowcast_error *error);

/* Sets the dimensions that are chosen per call from the shape of input `index`, `rank` extents.
 * Errors: NOWCAST_NOT_FOUND, NOWCAST_WRONG_RANK, NOWCAST_EXTENT_OUT_OF_BOUNDS,
 *   NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE.
 * Threads: one. */
nowcast_status nowcast_session_set_input_shape(nowcast_session *session, uint32_t index,
                                               const uint64_t *extents, uint32_t rank,
                                               nowcast_error *error);

/* Shape of input `index` under the present extents.
 * Errors: NOWCAST_NOT_FOUND, NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE,
 *   NOWCAST_INVALID_ARGUMENT (struct_size).
 * Threads: any. */
nowcast_status nowcast_session_input_shape(const nowcast_session *session, uint32_t index,
                                           nowcast_shape *shape, nowcast_error *error);

/* Shape of output `index` under the present extents. Otherwise as nowcast_session_input_shape. */
nowcast_status nowcast_session_output_shape(const nowcast_session *session, uint32_t index,
                                            nowcast_shape *shape, nowcast_error *error);

/* Where input `index` lies, to be written before a run, and its bytes under the present extents.
 * Inputs keep their elements from run to run. The pointer is valid until the session is closed.
 * Errors: NOWCAST_NOT_FOUND, NOWCAST_IN_PLACE (nowcast_session_copy_input takes it),
 *   NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE.
 * Threads: one. */
nowcast_status nowcast_session_input(nowcast_session *session, uint32_t index, void **data,
                                     uint64_t *bytes, nowcast_error *error);

/* Where output `index` of the last run lies, and its bytes under the present extents; zeros before
 * the first run. The pointer is valid until the session is closed; the next run writes there.
 * Errors: NOWCAST_NOT_FOUND, NOWCAST_IN_PLACE (nowcast_session_copy_output gives it),
 *   NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE.
 * Threads: one. */
nowcast_status nowcast_session_output(const nowcast_session *session, uint32_t index,
                                      const void **data, uint64_t *bytes, nowcast_error *error);

/* Copies `bytes` bytes of elements into input `index`, row-major, also into a cache that grows in
 * place. NOWCAST_U8 also serves a boolean input.
 * Errors: NOWCAST_NOT_FOUND, NOWCAST_WRONG_DTYPE, NOWCAST_WRONG_LENGTH, NOWCAST_MISALIGNED,
 *   NOWCAST_INVALID_ARGUMENT (dtype), NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE.
 * Threads: one. */
nowcast_status nowcast_session_copy_input(nowcast_session *session, uint32_t index,
                                          nowcast_dtype dtype, const void *data, uint64_t bytes,
                                          nowcast_error *error);

/* Copies the elements of output `index` of the last run, row-major, to exactly as many bytes at
 * `data`, also those of a cache that grows in place.
 * Otherwise as nowcast_session_copy_input. */
nowcast_status nowcast_session_copy_output(const nowcast_session *session, uint32_t index,
                                           nowcast_dtype dtype, void *data, uint64_t bytes,
                                           nowcast_error *error);

/* Runs the program on the inputs as they are.
 * Errors: NOWCAST_STATE_FULL, with outputs and state unchanged; NOWCAST_OUT_OF_RANGE, with outputs
 *   and state undefined; NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE.
 * Threads: one. */
nowcast_status nowcast_session_run(nowcast_session *session, nowcast_error *error);

/* Runs the program on memory of the caller, without copying. Ports that are not bound stay in the
 * session. An array may be NULL if its length is zero.
 * Errors: NOWCAST_NOT_FOUND, NOWCAST_WRONG_DTYPE, NOWCAST_WRONG_LENGTH, NOWCAST_MISALIGNED,
 *   NOWCAST_IS_STATE, NOWCAST_MEASURED, NOWCAST_OVERLAP (an output overlaps another binding or the session),
 *   NOWCAST_STATE_FULL, NOWCAST_INVALID_ARGUMENT (more than NOWCAST_MAX_BINDINGS),
 *   NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Outputs and state are unchanged then.
 *   NOWCAST_OUT_OF_RANGE, with outputs and state undefined.
 * Threads: one. */
nowcast_status nowcast_session_run_with(nowcast_session *session,
                                        const nowcast_input_binding *inputs, uint32_t inputs_len,
                                        const nowcast_output_binding *outputs,
                                        uint32_t outputs_len, nowcast_error *error);

/* Clears the state and takes the least extents.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: one. */
nowcast_status nowcast_session_reset(nowcast_session *session, nowcast_error *error);

/* Bytes of a snapshot.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: any. */
nowcast_status nowcast_session_snapshot_bytes(const nowcast_session *session, uint64_t *bytes,
                                              nowcast_error *error);

/* Copies state and extents into `bytes` bytes at `snapshot`, exactly nowcast_session_snapshot_bytes.
 * Errors: NOWCAST_WRONG_LENGTH, NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE; NOWCAST_IS_STATE
 *   if a growing state is full, with the snapshot written.
 * Threads: one. */
nowcast_status nowcast_session_snapshot(nowcast_session *session, void *snapshot, uint64_t bytes,
                                        nowcast_error *error);

/* Puts back what nowcast_session_snapshot took of a session of the same program.
 * Errors: NOWCAST_WRONG_LENGTH, NOWCAST_EXTENT_OUT_OF_BOUNDS, NOWCAST_NULL_ARGUMENT,
 *   NOWCAST_INVALID_HANDLE.
 * Threads: one. */
nowcast_status nowcast_session_restore(nowcast_session *session, const void *snapshot,
                                       uint64_t bytes, nowcast_error *error);

/* ---- Gaussian sample paths ----------------------------------------------------------------- */

typedef struct nowcast_gaussian nowcast_gaussian;

/* Bytes of memory and of scratch for a full covariance of `dim` dimensions.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_ARGUMENT (no dimension, or too many).
 * Threads: any. */
nowcast_status nowcast_gaussian_full_bytes(uint64_t dim, uint64_t *memory_bytes,
                                           uint64_t *scratch_bytes, nowcast_error *error);

/* Bytes of memory for `dim` independent dimensions.
 * Errors: as nowcast_gaussian_full_bytes. Threads: any. */
nowcast_status nowcast_gaussian_diagonal_bytes(uint64_t dim, uint64_t *memory_bytes,
                                               nowcast_error *error);

/* Factors a covariance and makes a distribution in the caller's memory.
 * Arguments: `mean` has `dim` elements, `covariance` `dim * dim`, row-major; `isa` limits the
 *   instruction set of draws, which does not change what is drawn; `memory` and `scratch` have the
 *   bytes of nowcast_gaussian_full_bytes and start on a multiple of NOWCAST_ALIGNMENT.
 *   `*gaussian` receives the distribution, which lies in `memory`.
 * Ownership: memory and scratch stay the caller's; scratch is free again after the call.
 * Errors: NOWCAST_NOT_FINITE, NOWCAST_NOT_COVARIANCE, NOWCAST_TOO_SMALL, NOWCAST_MISALIGNED,
 *   NOWCAST_INVALID_ARGUMENT, NOWCAST_NULL_ARGUMENT. `memory` and `scratch` are written even so.
 * Threads: any. Allocation: none; dim^3 / 6 multiply-adds. */
nowcast_status nowcast_gaussian_full(const double *mean, const double *covariance, uint64_t dim,
                                     nowcast_isa isa, void *memory, uint64_t memory_bytes,
                                     void *scratch, uint64_t scratch_bytes,
                                     nowcast_gaussian **gaussian, nowcast_error *error);

/* Makes a distribution of independent dimensions in the caller's memory: `mean` and `variances`
 * have `dim` elements each.
 * Otherwise as nowcast_gaussian_full. */
nowcast_status nowcast_gaussian_diagonal(const double *mean, const double *variances, uint64_t dim,
                                         nowcast_isa isa, void *memory, uint64_t memory_bytes,
                                         nowcast_gaussian **gaussian, nowcast_error *error);

/* Bytes of memory and of scratch for `dim` dimensions with `rank` common factors.
 * Errors: as nowcast_gaussian_full_bytes. Threads: any. */
nowcast_status nowcast_gaussian_low_rank_bytes(uint64_t dim, uint64_t rank, uint64_t *memory_bytes,
                                               uint64_t *scratch_bytes, nowcast_error *error);

/* Makes a distribution of covariance `loadings * transpose(loadings) + diagonal(variances)` in the
 * caller's memory: `loadings` has `dim * rank` elements, row-major, `mean` and `variances` `dim`.
 * Otherwise as nowcast_gaussian_full, with the bytes of nowcast_gaussian_low_rank_bytes.
 * Allocation: none; dim * rank^2 / 2 multiply-adds; a path costs dim * rank. */
nowcast_status nowcast_gaussian_low_rank(const double *mean, const double *loadings,
                                         const double *variances, uint64_t dim, uint64_t rank,
                                         nowcast_isa isa, void *memory, uint64_t memory_bytes,
                                         void *scratch, uint64_t scratch_bytes,
                                         nowcast_gaussian **gaussian, nowcast_error *error);

/* Bytes of memory and of scratch for what is left of a distribution when `known` dimensions are
 * known. No bytes of scratch may be needed.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE, NOWCAST_INVALID_ARGUMENT (none left).
 * Threads: any. */
nowcast_status nowcast_gaussian_given_bytes(const nowcast_gaussian *gaussian, uint64_t known,
                                            uint64_t *memory_bytes, uint64_t *scratch_bytes,
                                            nowcast_error *error);

/* Makes the distribution of the other dimensions, in their order, given that dimension `indices[i]`
 * is `values[i]`, for `known` of them.
 * Arguments: memory and scratch have the bytes of nowcast_gaussian_given_bytes and start on a
 *   multiple of NOWCAST_ALIGNMENT; `*rest` receives the distribution, which lies in `memory` and
 *   keeps nothing of `gaussian`.
 * Ownership: memory and scratch stay the caller's; scratch is free again after the call.
 * Errors: NOWCAST_INVALID_ARGUMENT (an index that is none or comes twice), NOWCAST_NOT_FINITE,
 *   NOWCAST_NOT_COVARIANCE (known dimensions that determine each other), NOWCAST_TOO_SMALL,
 *   NOWCAST_MISALIGNED, NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. `memory` and `scratch` are
 *   written even so.
 * Threads: any. Allocation: none. Where `indices` are 0, 1, 2 and so on the factor is read, else
 *   made anew: dim^3 / 2 multiply-adds of a full covariance. */
nowcast_status nowcast_gaussian_given(const nowcast_gaussian *gaussian, const size_t *indices,
                                      const double *values, uint64_t known, void *memory,
                                      uint64_t memory_bytes, void *scratch, uint64_t scratch_bytes,
                                      nowcast_gaussian **rest, nowcast_error *error);

/* Bytes of scratch for nowcast_gaussian_log_density; none may be needed.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: any. */
nowcast_status nowcast_gaussian_log_density_bytes(const nowcast_gaussian *gaussian,
                                                  uint64_t *scratch_bytes, nowcast_error *error);

/* The natural logarithm of the density at `x`, which has an element for each dimension, in the
 * units of the mean. The factor is kept in float: of a covariance of condition c, the distance is
 * right to c * 2^-24 of itself.
 * Errors: NOWCAST_NOT_FINITE, NOWCAST_NOT_COVARIANCE (a dimension that is constant or determined by
 *   others has no density), NOWCAST_TOO_SMALL, NOWCAST_MISALIGNED, NOWCAST_NULL_ARGUMENT,
 *   NOWCAST_INVALID_HANDLE.
 * Threads: any, each with scratch of its own. Allocation: none; dim^2 / 2 multiply-adds of a full
 *   covariance. */
nowcast_status nowcast_gaussian_log_density(const nowcast_gaussian *gaussian, const double *x,
                                            void *scratch, uint64_t scratch_bytes, double *value,
                                            nowcast_error *error);

/* Number of dimensions.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: any. */
nowcast_status nowcast_gaussian_dim(const nowcast_gaussian *gaussian, uint64_t *dim,
                                    nowcast_error *error);

/* Draws `paths` paths into `out`, `paths * dim` elements, one path after the other. Row n is a
 * function of (seed, stream, first_path + n) alone: the same bits on every CPU, in whatever blocks
 * the paths are drawn.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE, NOWCAST_MISALIGNED,
 *   NOWCAST_INVALID_ARGUMENT (more elements than memory has).
 * Threads: any. */
nowcast_status nowcast_gaussian_draw(const nowcast_gaussian *gaussian, uint64_t seed,
                                     uint64_t stream, uint64_t first_path, float *out,
                                     uint64_t paths, nowcast_error *error);

/* What time it is, in any unit, never going back. It returns: an exception ends the process. */
typedef uint64_t (*nowcast_clock)(void *context);

/* Draws as many of the paths of nowcast_gaussian_draw as fit into the time until `deadline`, a time
 * of `clock`, at most `paths`; `*drawn` receives how many, the first ones, the same whatever the
 * deadline was. `out` has `paths * dim` elements; what is behind the paths drawn is unchanged.
 * Paths are drawn in blocks of some thousand elements. A block is begun if it will end in time at
 * the pace of the slowest so far; the first, which is the smallest, if the deadline is ahead.
 * Errors: as nowcast_gaussian_draw.
 * Threads: any. Allocation: none; one reading of the clock for each block. */
nowcast_status nowcast_gaussian_draw_until(const nowcast_gaussian *gaussian, uint64_t seed,
                                           uint64_t stream, uint64_t first_path,
                                           nowcast_clock clock, void *context, uint64_t deadline,
                                           float *out, uint64_t paths, uint64_t *drawn,
                                           nowcast_error *error);

/* The value below which dimension `index` falls with probability `p`, which is between zero and
 * one, both excluded: exact, without sampling.
 * Errors: NOWCAST_NOT_FOUND (index), NOWCAST_INVALID_ARGUMENT (p), NOWCAST_NULL_ARGUMENT,
 *   NOWCAST_INVALID_HANDLE.
 * Threads: any. */
nowcast_status nowcast_gaussian_quantile(const nowcast_gaussian *gaussian, uint64_t index,
                                         double p, double *value, nowcast_error *error);

/* Ends a distribution: its memory may be reused or freed. NULL is allowed and does nothing.
 * Errors: NOWCAST_INVALID_HANDLE. Threads: one. */
nowcast_status nowcast_gaussian_release(nowcast_gaussian *gaussian, nowcast_error *error);

/* ---- forecasters: set-up ------------------------------------------------------------------- */

typedef struct nowcast_forecaster nowcast_forecaster;

/* What a forecaster takes and gives. Start from NOWCAST_FORECASTER_INFO_INIT. */
typedef struct nowcast_forecaster_info {
    uint32_t struct_size;    /* set by the caller: sizeof(nowcast_forecaster_info) */
    uint32_t alignment;      /* of a forecast's memory */
    uint64_t context;        /* observations that a forecast takes */
    uint64_t horizon;        /* steps that it gives */
    int64_t step_seconds;    /* time between two steps */
    uint64_t forecast_bytes; /* memory that nowcast_forecast_open takes, all included */
} nowcast_forecaster_info;

#define NOWCAST_FORECASTER_INFO_INIT { (uint32_t)sizeof(nowcast_forecaster_info), 0, 0, 0, 0, 0 }

/* Opens the forecaster that a model of a bundle is, where it lies, in at least
 * NOWCAST_FORECASTER_BYTES bytes at `memory`. The caller ends it with nowcast_forecaster_release.
 * Errors: NOWCAST_INVALID_FORECASTER (a model that is none).
 * Otherwise as nowcast_program_open. */
nowcast_status nowcast_forecaster_open(const void *bundle, uint64_t bundle_bytes,
                                       const char *model, const nowcast_kernels *kernels,
                                       void *memory, uint64_t memory_bytes,
                                       nowcast_forecaster **forecaster, nowcast_error *error);

#ifndef NOWCAST_MINIMAL

/* Maps a bundle file and opens a forecaster of it. Otherwise as nowcast_program_map, with the
 * errors of nowcast_forecaster_open; the caller releases it with nowcast_forecaster_release. */
nowcast_status nowcast_forecaster_map(const char *path, const char *model,
                                      const nowcast_kernels *kernels,
                                      nowcast_forecaster **forecaster, nowcast_error *error);

/* Loads the forecaster whose files are in the folder `path`.
 * Arguments: `*forecaster` receives the forecaster.
 * Ownership: the caller releases it with nowcast_forecaster_release.
 * Errors: NOWCAST_IO, NOWCAST_INVALID_FORECASTER, those of nowcast_program_load for its model,
 *   NOWCAST_INVALID_ARGUMENT, NOWCAST_NULL_ARGUMENT.
 * Threads: any. Allocation: yes. */
nowcast_status nowcast_forecaster_load(const char *path, nowcast_forecaster **forecaster,
                                       nowcast_error *error);

/* Loads a forecaster from the contents of its files: `json` is its description (not ended by
 * NUL), `model` the ONNX file, `covariance` the NPY file. None is needed afterwards.
 * Otherwise as nowcast_forecaster_load. */
nowcast_status nowcast_forecaster_load_parts(const void *json, uint64_t json_bytes,
                                             const void *model, uint64_t model_bytes,
                                             const void *covariance, uint64_t covariance_bytes,
                                             nowcast_forecaster **forecaster,
                                             nowcast_error *error);

#endif /* NOWCAST_MINIMAL */

/* What the forecaster takes and gives.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE, NOWCAST_INVALID_ARGUMENT (struct_size).
 * Threads: any. */
nowcast_status nowcast_forecaster_describe(const nowcast_forecaster *forecaster,
                                           nowcast_forecaster_info *info, nowcast_error *error);

/* Ends a forecaster as nowcast_program_release does a program. NULL is allowed and does nothing.
 * Errors: NOWCAST_IN_USE while forecasts of it are open; it stays valid then.
 *   NOWCAST_INVALID_HANDLE.
 * Threads: no other thread may use the forecaster. Allocation: frees. */
nowcast_status nowcast_forecaster_release(nowcast_forecaster *forecaster, nowcast_error *error);

/* ---- forecasts ----------------------------------------------------------------------------- */

typedef struct nowcast_forecast nowcast_forecast;

/* Opens a forecast in the caller's memory, which is cleared.
 * Arguments: `isa` limits the instruction set; `memory` has at least the `forecast_bytes` of
 *   nowcast_forecaster_describe. `*forecast` receives the forecast, which lies in `memory`.
 * Ownership: the memory stays the caller's, who closes the forecast before reusing it. The
 *   forecaster must outlive the forecast.
 * Errors: NOWCAST_TOO_SMALL, NOWCAST_MISALIGNED, NOWCAST_INVALID_ARGUMENT (isa),
 *   NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE.
 * Threads: any; each has its own memory. Allocation: none, but asks the CPU what it has, which a
 *   hypervisor may make slow: set-up. */
nowcast_status nowcast_forecast_open(const nowcast_forecaster *forecaster, nowcast_isa isa,
                                     void *memory, uint64_t memory_bytes,
                                     nowcast_forecast **forecast, nowcast_error *error);

/* Closes a forecast: its memory may be reused or freed. NULL is allowed and does nothing.
 * Errors: NOWCAST_INVALID_HANDLE, for one already closed too as long as its memory is not reused.
 * Threads: one. Allocation: none, frees nothing. */
nowcast_status nowcast_forecast_close(nowcast_forecast *forecast, nowcast_error *error);

/* Pays beforehand what the first calls would: touches memory, weights and code by running once on
 * zeros and drawing a path. The forecast is as new afterwards.
 * Errors: NOWCAST_NULL_ARGUMENT, NOWCAST_INVALID_HANDLE. Threads: one. */
nowcast_status nowcast_forecast_prefault(nowcast_forecast *forecast, nowcast_error *error);

/* Forecasts from the last observations, oldest first, in the unit of the series.
 * Arguments: `context` has exactly `context_len` elements, the `context` of
 *   nowcast_forecaster_describe; `first_step` is the time of the first step of the forecast, in
 *   seconds since 1970-01-01 00:00 UTC, one step behind the last observation.
 * Errors: NOWCAST_WRONG_LENGTH, NOWCAST_NOT_FINITE, NOWCAST_MISALIGNED, NOWCAST_NULL_ARGUMENT,
 *   NOWCAST_INVALID_HANDLE. The forecast before it stays then.
 * Threads: one. */
nowcast_status nowcast_forecast_run(nowcast_forecast *forecast, const float *context,
                                    uint64_t context_len, int64_t first_step,
                                    nowcast_error *error);

/* Copies the mean of each step into `out`, exactly `horizon` elements.
 * Errors: NOWCAST_NO_FORECAST, NOWCAST_WRONG_LENGTH, NOWCAST_MISALIGNED, NOWCAST_NULL_ARGUMENT,
 *   NOWCAST_INVALID_HANDLE.
 * Threads: any. */
nowcast_status nowcast_forecast_mean(const nowcast_forecast *forecast, float *out, uint64_t horizon,
                                     nowcast_error *error);

/* Writes the value of each step that the series stays below with probability `p`, which is between
 * zero and one, both excluded, into `out`, exactly `horizon` elements.
 * Errors: NOWCAST_INVALID_ARGUMENT (p), otherwise as nowcast_forecast_mean. Threads: any. */
nowcast_status nowcast_forecast_quantile(const nowcast_forecast *forecast, double p, float *out,
                                         uint64_t horizon, nowcast_error *error);

/* Draws `paths` sample paths into `out`, `paths * horizon` elements, one path after the other. Row
 * n is a function of the forecast and (seed, stream, first_path + n) alone.
 * Errors: as nowcast_forecast_mean. Threads: any. */
nowcast_status nowcast_forecast_paths(const nowcast_forecast *forecast, uint64_t seed,
                                      uint64_t stream, uint64_t first_path, float *out,
                                      uint64_t paths, nowcast_error *error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* NOWCAST_H */
