//! `nowcast_program`: its inputs and outputs.

use core::ffi::c_char;

use nowcast::runtime::{MAX_PORT_RANK, Port};

use crate::guard::{Error, Out, guard, sized, text};
use crate::handle::{Handle, shared};
use crate::program::ProgramObject;
use crate::status::Failure;

/// `nowcast_dim`.
#[repr(C)]
pub(crate) struct Dim {
    pub(crate) name: *const c_char,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// `nowcast_port`.
#[repr(C)]
pub(crate) struct PortInfo {
    struct_size: u32,
    dtype: i32,
    rank: u32,
    is_state: u32,
    name: *const c_char,
    bytes: u64,
    extents: [i64; MAX_PORT_RANK],
}

impl PortInfo {
    fn new(port: Port<'_>) -> Self {
        let mut extents = [0; MAX_PORT_RANK];
        for (axis, extent) in extents.iter_mut().enumerate().take(port.rank()) {
            *extent = port.fixed_extent(axis).map_or(-1, |extent| extent as i64);
        }
        Self {
            struct_size: size_of::<Self>() as u32,
            dtype: port.dtype as i32,
            rank: port.rank() as u32,
            is_state: port.is_state().into(),
            name: port.c_name().as_ptr(),
            bytes: port.max_bytes() as u64,
            extents,
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_inputs_len(
    program: *const Handle<ProgramObject>,
    len: *mut u32,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(program)?;
            Out::new(len, "len")?.write(object.program.inputs().len() as u32);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_outputs_len(
    program: *const Handle<ProgramObject>,
    len: *mut u32,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(program)?;
            Out::new(len, "len")?.write(object.program.outputs().len() as u32);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_input(
    program: *const Handle<ProgramObject>,
    index: u32,
    port: *mut PortInfo,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(program)?;
            let out = sized(port, "port")?;
            let found = object.program.inputs().nth(index as usize);
            out.write(PortInfo::new(found.ok_or(Failure::NotFound("input"))?));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_output(
    program: *const Handle<ProgramObject>,
    index: u32,
    port: *mut PortInfo,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(program)?;
            let out = sized(port, "port")?;
            let found = object.program.outputs().nth(index as usize);
            out.write(PortInfo::new(found.ok_or(Failure::NotFound("output"))?));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_input_dim(
    program: *const Handle<ProgramObject>,
    index: u32,
    axis: u32,
    dim: *mut Dim,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(program)?;
            let out = Out::new(dim, "dim")?;
            let found = object.program.inputs().nth(index as usize);
            let found = found.ok_or(Failure::NotFound("input"))?;
            let axis = axis as usize;
            let (name, (_, min, max)) = found
                .variable_c_name(axis)
                .zip(found.variable(axis))
                .ok_or(Failure::NotFound("axis whose extent is chosen per call"))?;
            out.write(Dim { name: name.as_ptr(), min: min as u64, max: max as u64 });
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_output_labels_len(
    program: *const Handle<ProgramObject>,
    index: u32,
    len: *mut u32,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(program)?;
            let out = Out::new(len, "len")?;
            let found = object.program.outputs().nth(index as usize);
            out.write(found.ok_or(Failure::NotFound("output"))?.labels().len() as u32);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_output_label(
    program: *const Handle<ProgramObject>,
    index: u32,
    label: u32,
    text: *mut *const c_char,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(program)?;
            let out = Out::new(text, "text")?;
            let found = object.program.outputs().nth(index as usize);
            let found = found.ok_or(Failure::NotFound("output"))?;
            let found = found.label_c_text(label as usize);
            out.write(found.ok_or(Failure::NotFound("label"))?.as_ptr());
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_find_input(
    program: *const Handle<ProgramObject>,
    name: *const c_char,
    index: *mut u32,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(program)?;
            let name = text(name, "name")?;
            let out = Out::new(index, "index")?;
            let found = object.program.input_index(name);
            out.write(found.ok_or(Failure::NotFound("input"))? as u32);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_find_output(
    program: *const Handle<ProgramObject>,
    name: *const c_char,
    index: *mut u32,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(program)?;
            let name = text(name, "name")?;
            let out = Out::new(index, "index")?;
            let found = object.program.output_index(name);
            out.write(found.ok_or(Failure::NotFound("output"))? as u32);
            Ok(())
        })
    }
}
