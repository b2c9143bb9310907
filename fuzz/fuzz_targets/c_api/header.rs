//! `nowcast.h`, as far as it is called.

use core::ffi::{c_char, c_void};

// Links the library whose names are declared here.
extern crate nowcast_c as _;

pub(crate) const OK: i32 = 0;
pub(crate) const IN_USE: i32 = 21;
pub(crate) const PANIC: i32 = 100;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Dim {
    pub(crate) name: *const c_char,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

#[repr(C)]
pub(crate) struct State {
    pub(crate) output: *const c_char,
    pub(crate) input: *const c_char,
}

#[repr(C)]
pub(crate) struct Value {
    pub(crate) name: *const c_char,
    pub(crate) dtype: i32,
    pub(crate) rank: u32,
    pub(crate) extents: *const u64,
    pub(crate) data: *const c_void,
    pub(crate) bytes: u64,
}

#[repr(C)]
pub(crate) struct Options {
    pub(crate) struct_size: u32,
    pub(crate) dims_len: u32,
    pub(crate) dims: *const Dim,
    pub(crate) states_len: u32,
    pub(crate) values_len: u32,
    pub(crate) states: *const State,
    pub(crate) values: *const Value,
    pub(crate) max_memory: u64,
    pub(crate) ranges_len: u32,
    pub(crate) trips_len: u32,
    pub(crate) ranges: *const ValueRange,
    pub(crate) trips: *const MaxTrips,
}

#[repr(C)]
pub(crate) struct ValueRange {
    pub(crate) name: *const c_char,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

#[repr(C)]
pub(crate) struct MaxTrips {
    pub(crate) node: *const c_char,
    pub(crate) trips: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    pub(crate) struct_size: u32,
    pub(crate) len: u32,
    pub(crate) list: *const *const c_void,
}

/// `nowcast_input_binding` and `nowcast_output_binding`: they differ in `const` alone.
#[repr(C)]
pub(crate) struct Binding {
    pub(crate) index: u32,
    pub(crate) dtype: i32,
    pub(crate) data: *mut c_void,
    pub(crate) bytes: u64,
}

pub(crate) const PORT_BYTES: u32 = 160;
pub(crate) const SHAPE_BYTES: u32 = 136;
pub(crate) const MEMORY_BYTES: u32 = 48;
pub(crate) const INFO_BYTES: u32 = 40;
pub(crate) const BUNDLE_INFO_BYTES: u32 = 32;
pub(crate) const PROGRAM_BYTES: u64 = 256;
pub(crate) const FORECASTER_BYTES: u64 = 1024;

type Object = *mut c_void;
type Error = *mut c_void;

unsafe extern "C" {
    pub(crate) fn nowcast_abi_version() -> u32;
    pub(crate) fn nowcast_version() -> *const c_char;
    pub(crate) fn nowcast_status_name(status: i32) -> *const c_char;
    pub(crate) fn nowcast_dtype_name(dtype: i32) -> *const c_char;
    pub(crate) fn nowcast_dtype_bytes(dtype: i32) -> u32;
    pub(crate) fn nowcast_isa_name(isa: i32) -> *const c_char;
    pub(crate) fn nowcast_thread_prepare(e: Error) -> i32;

    pub(crate) fn nowcast_kernels_all() -> *const Kernels;
    pub(crate) fn nowcast_bundle_describe(
        bundle: *const c_void,
        bytes: u64,
        info: *mut c_void,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_bundle_model_name(
        bundle: *const c_void,
        bytes: u64,
        i: u32,
        name: *mut *const c_char,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_bundle_verify(bundle: *const c_void, bytes: u64, e: Error) -> i32;
    pub(crate) fn nowcast_program_open(
        bundle: *const c_void,
        bytes: u64,
        model: *const c_char,
        kernels: *const Kernels,
        memory: *mut c_void,
        memory_bytes: u64,
        program: *mut Object,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_program_map(
        path: *const c_char,
        model: *const c_char,
        kernels: *const Kernels,
        program: *mut Object,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_forecaster_open(
        bundle: *const c_void,
        bytes: u64,
        model: *const c_char,
        kernels: *const Kernels,
        memory: *mut c_void,
        memory_bytes: u64,
        f: *mut Object,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_forecaster_map(
        path: *const c_char,
        model: *const c_char,
        kernels: *const Kernels,
        f: *mut Object,
        e: Error,
    ) -> i32;

    pub(crate) fn nowcast_program_load(
        path: *const c_char,
        options: *const Options,
        program: *mut Object,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_program_load_bytes(
        bytes: *const c_void,
        len: u64,
        options: *const Options,
        program: *mut Object,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_program_release(p: Object, e: Error) -> i32;
    pub(crate) fn nowcast_program_memory(p: Object, memory: *mut c_void, e: Error) -> i32;
    pub(crate) fn nowcast_program_inputs_len(p: Object, len: *mut u32, e: Error) -> i32;
    pub(crate) fn nowcast_program_outputs_len(p: Object, len: *mut u32, e: Error) -> i32;
    pub(crate) fn nowcast_program_input(p: Object, i: u32, port: *mut c_void, e: Error) -> i32;
    pub(crate) fn nowcast_program_output(p: Object, i: u32, port: *mut c_void, e: Error) -> i32;
    pub(crate) fn nowcast_program_input_dim(
        p: Object,
        i: u32,
        axis: u32,
        dim: *mut Dim,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_program_output_labels_len(
        p: Object,
        i: u32,
        len: *mut u32,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_program_output_label(
        p: Object,
        i: u32,
        label: u32,
        text: *mut *const c_char,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_program_find_input(
        p: Object,
        name: *const c_char,
        index: *mut u32,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_program_find_output(
        p: Object,
        name: *const c_char,
        index: *mut u32,
        e: Error,
    ) -> i32;

    pub(crate) fn nowcast_session_bytes(p: Object, bytes: *mut u64, e: Error) -> i32;
    pub(crate) fn nowcast_session_open(
        p: Object,
        isa: i32,
        memory: *mut c_void,
        bytes: u64,
        session: *mut Object,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_session_close(s: Object, e: Error) -> i32;
    pub(crate) fn nowcast_session_isa(s: Object, isa: *mut i32, e: Error) -> i32;
    pub(crate) fn nowcast_session_prefault(s: Object, e: Error) -> i32;
    pub(crate) fn nowcast_session_set_extent(
        s: Object,
        name: *const c_char,
        extent: u64,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_session_set_input_shape(
        s: Object,
        i: u32,
        extents: *const u64,
        rank: u32,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_session_input_shape(
        s: Object,
        i: u32,
        shape: *mut c_void,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_session_output_shape(
        s: Object,
        i: u32,
        shape: *mut c_void,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_session_input(
        s: Object,
        i: u32,
        data: *mut *mut c_void,
        bytes: *mut u64,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_session_output(
        s: Object,
        i: u32,
        data: *mut *mut c_void,
        bytes: *mut u64,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_session_copy_input(
        s: Object,
        i: u32,
        dtype: i32,
        data: *const c_void,
        bytes: u64,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_session_copy_output(
        s: Object,
        i: u32,
        dtype: i32,
        data: *mut c_void,
        bytes: u64,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_session_run(s: Object, e: Error) -> i32;
    pub(crate) fn nowcast_session_run_with(
        s: Object,
        inputs: *const Binding,
        inputs_len: u32,
        outputs: *const Binding,
        outputs_len: u32,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_session_reset(s: Object, e: Error) -> i32;
    pub(crate) fn nowcast_session_snapshot_bytes(s: Object, bytes: *mut u64, e: Error) -> i32;
    pub(crate) fn nowcast_session_snapshot(s: Object, to: *mut c_void, n: u64, e: Error) -> i32;
    pub(crate) fn nowcast_session_restore(s: Object, from: *const c_void, n: u64, e: Error) -> i32;

    pub(crate) fn nowcast_gaussian_full_bytes(
        dim: u64,
        memory: *mut u64,
        scratch: *mut u64,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_gaussian_diagonal_bytes(dim: u64, memory: *mut u64, e: Error) -> i32;
    pub(crate) fn nowcast_gaussian_full(
        mean: *const f64,
        covariance: *const f64,
        dim: u64,
        isa: i32,
        memory: *mut c_void,
        memory_bytes: u64,
        scratch: *mut c_void,
        scratch_bytes: u64,
        gaussian: *mut Object,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_gaussian_diagonal(
        mean: *const f64,
        variances: *const f64,
        dim: u64,
        isa: i32,
        memory: *mut c_void,
        memory_bytes: u64,
        gaussian: *mut Object,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_gaussian_dim(g: Object, dim: *mut u64, e: Error) -> i32;
    pub(crate) fn nowcast_gaussian_draw(
        g: Object,
        seed: u64,
        stream: u64,
        first: u64,
        out: *mut f32,
        paths: u64,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_gaussian_quantile(
        g: Object,
        index: u64,
        p: f64,
        value: *mut f64,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_gaussian_release(g: Object, e: Error) -> i32;

    pub(crate) fn nowcast_forecaster_load(path: *const c_char, f: *mut Object, e: Error) -> i32;
    pub(crate) fn nowcast_forecaster_load_parts(
        json: *const c_void,
        json_bytes: u64,
        model: *const c_void,
        model_bytes: u64,
        covariance: *const c_void,
        covariance_bytes: u64,
        f: *mut Object,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_forecaster_describe(f: Object, info: *mut c_void, e: Error) -> i32;
    pub(crate) fn nowcast_forecaster_release(f: Object, e: Error) -> i32;
    pub(crate) fn nowcast_forecast_open(
        f: Object,
        isa: i32,
        memory: *mut c_void,
        bytes: u64,
        forecast: *mut Object,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_forecast_close(f: Object, e: Error) -> i32;
    pub(crate) fn nowcast_forecast_prefault(f: Object, e: Error) -> i32;
    pub(crate) fn nowcast_forecast_run(
        f: Object,
        context: *const f32,
        len: u64,
        first_step: i64,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_forecast_mean(f: Object, out: *mut f32, horizon: u64, e: Error) -> i32;
    pub(crate) fn nowcast_forecast_quantile(
        f: Object,
        p: f64,
        out: *mut f32,
        horizon: u64,
        e: Error,
    ) -> i32;
    pub(crate) fn nowcast_forecast_paths(
        f: Object,
        seed: u64,
        stream: u64,
        first: u64,
        out: *mut f32,
        paths: u64,
        e: Error,
    ) -> i32;
}
