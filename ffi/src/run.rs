//! `nowcast_session`: running.

use core::ffi::c_void;
use core::ops::Range;

use arrayvec::ArrayVec;
use nowcast::runtime::{BindError, Port, RunError, View, ViewMut};
use nowcast::tensor::DType;

use crate::guard::{Error, elements, elements_mut, guard, length};
use crate::handle::{Handle, unique};
use crate::names::dtype;
use crate::session::SessionObject;
use crate::status::Failure;

/// `NOWCAST_MAX_BINDINGS`.
pub(crate) const MAX_BINDINGS: usize = 64;

/// `nowcast_input_binding`.
#[repr(C)]
pub(crate) struct InputBinding {
    index: u32,
    dtype: i32,
    data: *const c_void,
    bytes: u64,
}

/// `nowcast_output_binding`.
#[repr(C)]
pub(crate) struct OutputBinding {
    index: u32,
    dtype: i32,
    data: *mut c_void,
    bytes: u64,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_run(
    session: *mut Handle<SessionObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for a live handle that nobody else uses, or NULL.
    unsafe { guard(error, || Ok(unique(session)?.session.run()?)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_run_with(
    session: *mut Handle<SessionObject>,
    inputs: *const InputBinding,
    inputs_len: u32,
    outputs: *const OutputBinding,
    outputs_len: u32,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL; overlaps of memory
    // that is written are refused before a reference to it is made.
    unsafe {
        guard(error, || {
            let object = unique(session)?;
            if inputs_len as usize > MAX_BINDINGS || outputs_len as usize > MAX_BINDINGS {
                return Err(Failure::Invalid("inputs_len and outputs_len", "at most 64"));
            }
            let inputs = elements(inputs, inputs_len.into(), "inputs")?;
            let outputs = elements(outputs, outputs_len.into(), "outputs")?;
            check_overlaps(&object.memory, inputs, outputs)?;
            let inputs_all = object.session.program().inputs().len();
            let mut reads = ArrayVec::<_, MAX_BINDINGS>::new();
            for binding in inputs {
                let port = binding.index as usize;
                let ports = object.session.program().inputs();
                reads.push((port, view(binding, ports).map_err(|e| at(port, e))?));
            }
            let mut writes = ArrayVec::<_, MAX_BINDINGS>::new();
            for binding in outputs {
                let port = binding.index as usize;
                let ports = object.session.program().outputs();
                let write = view_mut(binding, ports).map_err(|e| at(inputs_all + port, e))?;
                writes.push((port, write));
            }
            Ok(object.session.run_with(&reads, &mut writes)?)
        })
    }
}

/// Says which port an error is about, where the error does not.
fn at(port: usize, failure: Failure) -> Failure {
    match failure {
        Failure::Bind(error) => RunError::Bind { port, error }.into(),
        other => other,
    }
}

/// Bytes of a binding, whole elements on an aligned address.
pub(crate) fn checked_len(code: i32, address: usize, bytes: u64) -> Result<(DType, u64), Failure> {
    let dtype = dtype(code)
        .ok_or(Failure::Invalid("the dtype of elements", "one of NOWCAST_F32 to NOWCAST_U2"))?;
    let len = bytes / dtype.bytes() as u64;
    if !bytes.is_multiple_of(dtype.bytes() as u64) {
        let expected = (len as usize).saturating_mul(dtype.bytes());
        return Err(BindError::Length { expected, got: bytes as usize }.into());
    }
    if !address.is_multiple_of(dtype.bytes()) {
        return Err(BindError::Misaligned.into());
    }
    Ok((dtype, len))
}

/// Small elements are handed on as their bits, which are those of other types, too: refuses a
/// type that port `index` does not have.
pub(crate) fn check_small<'p>(
    mut ports: impl Iterator<Item = Port<'p>>,
    index: usize,
    got: DType,
) -> Result<(), Failure> {
    match ports.nth(index).map(|port| port.dtype) {
        Some(expected) if got.is_small() && expected != got => {
            Err(BindError::DType { expected, got }.into())
        }
        _ => Ok(()),
    }
}

macro_rules! by_type {
    ($dtype:expr, $view:ident, $of:ident, $pointer:expr, $len:expr, $what:literal) => {
        match $dtype.plain() {
            DType::F32 => $view::new($of::<f32>($pointer.cast(), $len, $what)?),
            DType::F64 => $view::new($of::<f64>($pointer.cast(), $len, $what)?),
            DType::I32 => $view::new($of::<i32>($pointer.cast(), $len, $what)?),
            DType::I64 => $view::new($of::<i64>($pointer.cast(), $len, $what)?),
            DType::U8 => $view::new($of::<u8>($pointer.cast(), $len, $what)?),
            DType::I8 => $view::new($of::<i8>($pointer.cast(), $len, $what)?),
            DType::U16 => $view::new($of::<u16>($pointer.cast(), $len, $what)?),
            DType::I16 => $view::new($of::<i16>($pointer.cast(), $len, $what)?),
            DType::U32 => $view::new($of::<u32>($pointer.cast(), $len, $what)?),
            DType::U64 => $view::new($of::<u64>($pointer.cast(), $len, $what)?),
            _ => return Err(Failure::Invalid($what, "of a known dtype")),
        }
    };
}

/// # Safety
/// The binding's memory is valid for reads during `'a`, or NULL.
unsafe fn view<'a, 'p>(
    binding: &InputBinding,
    ports: impl Iterator<Item = Port<'p>>,
) -> Result<View<'a>, Failure> {
    let (dtype, len) = checked_len(binding.dtype, binding.data.addr(), binding.bytes)?;
    check_small(ports, binding.index as usize, dtype)?;
    let data = binding.data;
    // SAFETY: promised by the caller; aligned and whole, as just checked.
    Ok(unsafe { by_type!(dtype, View, elements, data, len, "the data of an input") })
}

/// # Safety
/// The binding's memory is valid for writes during `'a` and nothing else refers to it, or NULL.
unsafe fn view_mut<'a, 'p>(
    binding: &OutputBinding,
    ports: impl Iterator<Item = Port<'p>>,
) -> Result<ViewMut<'a>, Failure> {
    let (dtype, len) = checked_len(binding.dtype, binding.data.addr(), binding.bytes)?;
    check_small(ports, binding.index as usize, dtype)?;
    let data = binding.data;
    // SAFETY: promised by the caller; aligned and whole, as just checked.
    Ok(unsafe { by_type!(dtype, ViewMut, elements_mut, data, len, "the data of an output") })
}

/// Refuses memory to be written that other memory of the call overlaps.
fn check_overlaps(
    session: &Range<usize>,
    inputs: &[InputBinding],
    outputs: &[OutputBinding],
) -> Result<(), Failure> {
    let range = |address: usize, bytes: u64| {
        let bytes = length::<u8>(bytes, "the bytes of a binding")?;
        Ok::<_, Failure>(address..address.saturating_add(bytes))
    };
    let meets = |a: &Range<usize>, b: &Range<usize>| a.start.max(b.start) < a.end.min(b.end);
    for (i, output) in outputs.iter().enumerate() {
        let written = range(output.data.addr(), output.bytes)?;
        let mut clash = meets(&written, session);
        for other in &outputs[..i] {
            clash |= meets(&written, &range(other.data.addr(), other.bytes)?);
        }
        for input in inputs {
            clash |= meets(&written, &range(input.data.addr(), input.bytes)?);
        }
        if clash {
            return Err(Failure::Overlap(output.index));
        }
    }
    Ok(())
}
