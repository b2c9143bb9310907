//! What a caller chooses of a model, as C writes it.

use core::ffi::{c_char, c_void};

use nowcast::graph::Tensor;
use nowcast::load::{Options, Precision};

use crate::guard::{elements, reference, text};
use crate::names::dtype;
use crate::ports::Dim;
use crate::status::Failure;

/// `nowcast_state`.
#[repr(C)]
pub(crate) struct State {
    output: *const c_char,
    input: *const c_char,
}

/// `nowcast_value`.
#[repr(C)]
pub(crate) struct Value {
    name: *const c_char,
    dtype: i32,
    rank: u32,
    extents: *const u64,
    data: *const c_void,
    bytes: u64,
}

/// `nowcast_value_range`.
#[repr(C)]
pub(crate) struct ValueRange {
    name: *const c_char,
    min: i64,
    max: i64,
}

/// `nowcast_max_trips`.
#[repr(C)]
pub(crate) struct MaxTrips {
    node: *const c_char,
    trips: u64,
}

/// `nowcast_options`.
#[repr(C)]
pub(crate) struct CallerOptions {
    struct_size: u32,
    dims_len: u32,
    dims: *const Dim,
    states_len: u32,
    values_len: u32,
    states: *const State,
    values: *const Value,
    max_memory: u64,
    ranges_len: u32,
    trips_len: u32,
    ranges: *const ValueRange,
    trips: *const MaxTrips,
    precision: u32,
    reserved: u32,
}

/// # Safety
/// `options` is NULL or valid for its `struct_size`, and so are the arrays and texts that it names.
pub(crate) unsafe fn options(options: *const CallerOptions) -> Result<Options, Failure> {
    let mut chosen = Options::new();
    if options.is_null() {
        return Ok(chosen);
    }
    // SAFETY: promised by the caller; the size field is read before the others.
    unsafe {
        let size = *reference(options.cast::<u32>(), "options")?;
        if size as usize != size_of::<CallerOptions>() {
            return Err(Failure::Invalid("options", "started from NOWCAST_OPTIONS_INIT"));
        }
        let options = reference(options, "options")?;
        if options.max_memory > 0 {
            chosen = chosen.max_memory(options.max_memory);
        }
        chosen = match (options.precision, options.reserved) {
            (0, 0) => chosen,
            (1, 0) => chosen.precision(Precision::Bf16),
            (_, 0) => return Err(Failure::Invalid("precision", "one of NOWCAST_PRECISION_...")),
            _ => return Err(Failure::Invalid("options", "started from NOWCAST_OPTIONS_INIT")),
        };
        for dim in elements(options.dims, options.dims_len.into(), "dims")? {
            let name = text(dim.name, "the name of a dim")?;
            let (min, max) = (extent(dim.min)?, extent(dim.max)?);
            if min > max {
                return Err(Failure::Invalid("the min of a dim", "at most its max"));
            }
            chosen =
                if min == max { chosen.dim(name, max) } else { chosen.dim_range(name, min, max) };
        }
        for state in elements(options.states, options.states_len.into(), "states")? {
            let output = text(state.output, "the output of a state")?;
            chosen = chosen.bind_state(output, text(state.input, "the input of a state")?);
        }
        for value in elements(options.values, options.values_len.into(), "values")? {
            let name = text(value.name, "the name of a value")?;
            chosen = chosen.bind_value(name, tensor(value)?);
        }
        for range in elements(options.ranges, options.ranges_len.into(), "ranges")? {
            let name = text(range.name, "the name of a range")?;
            if range.min > range.max {
                return Err(Failure::Invalid("the min of a range", "at most its max"));
            }
            chosen = chosen.value_range(name, range.min, range.max);
        }
        for bound in elements(options.trips, options.trips_len.into(), "trips")? {
            let node = text(bound.node, "the node of trips")?;
            chosen = chosen.max_trips(node, extent(bound.trips)?);
        }
    }
    Ok(chosen)
}

/// Extents are signed in the graph.
fn extent(extent: u64) -> Result<usize, Failure> {
    isize::try_from(extent)
        .map(isize::unsigned_abs)
        .map_err(|_| Failure::Invalid("an extent", "no longer than memory"))
}

/// # Safety
/// The arrays that `value` names are valid.
unsafe fn tensor(value: &Value) -> Result<Tensor, Failure> {
    let dtype = dtype(value.dtype)
        .ok_or(Failure::Invalid("the dtype of a value", "one of NOWCAST_F32 to NOWCAST_U2"))?;
    // SAFETY: promised by the caller.
    let (extents, bytes) = unsafe {
        let extents = elements(value.extents, value.rank.into(), "the extents of a value")?;
        (extents, elements(value.data.cast::<u8>(), value.bytes, "the data of a value")?)
    };
    let shape = extents.iter().map(|e| extent(*e)).collect::<Result<Vec<_>, _>>()?;
    let needed = shape.iter().try_fold(dtype.bytes(), |bytes, extent| bytes.checked_mul(*extent));
    if needed != Some(bytes.len()) {
        return Err(Failure::Invalid("the bytes of a value", "those of its dtype and extents"));
    }
    Ok(Tensor::from_bytes(dtype, &shape, bytes))
}
