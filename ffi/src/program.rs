//! `nowcast_program`: loading and freeing.

use core::ffi::{c_char, c_void};
use std::ffi::CString;

use nowcast::load;
use nowcast::runtime::{Port, Program};

use crate::guard::{Error, Out, elements, guard, sized, text};
use crate::handle::{self, Handle, Object, Sessions};
use crate::options::{CallerOptions, options};
use crate::session;
use crate::status::Failure;

/// A program, with its names as C reads them.
pub(crate) struct ProgramObject {
    pub(crate) program: Program<'static>,
    pub(crate) sessions: Sessions,
    /// Of the inputs, then of the outputs.
    names: Vec<CString>,
    /// Of the dimensions that are chosen per call.
    dims: Vec<CString>,
}

impl Object for ProgramObject {
    const TAG: u64 = u64::from_le_bytes(*b"nc-progr");
    const NAME: &'static str = "program";
}

impl ProgramObject {
    fn new(program: Program<'static>) -> Self {
        let ports = || program.inputs().chain(program.outputs());
        let names = ports().map(|port| c_text(port.name)).collect();
        let of = |port: Port<'_>| -> Vec<CString> {
            (0..port.rank()).filter_map(|axis| Some(c_text(port.variable(axis)?.0))).collect()
        };
        let dims = ports().flat_map(of).collect();
        Self { sessions: Sessions::default(), names, dims, program }
    }

    /// The name of input `i`, or of output `i - inputs`.
    pub(crate) fn port_name(&self, i: usize) -> *const c_char {
        self.names[i].as_ptr()
    }

    /// This name of a dimension as C reads it.
    pub(crate) fn dim_name(&self, name: &str) -> *const c_char {
        let found = self.dims.iter().find(|dim| dim.as_bytes() == visible(name));
        found.map_or(c"".as_ptr(), |dim| dim.as_ptr())
    }
}

/// What C sees of a name: up to a NUL.
fn visible(name: &str) -> &[u8] {
    name.as_bytes().split(|byte| *byte == 0).next().unwrap_or_default()
}

fn c_text(name: &str) -> CString {
    CString::new(visible(name)).unwrap_or_default()
}

/// `nowcast_memory`.
#[repr(C)]
pub(crate) struct Memory {
    struct_size: u32,
    alignment: u32,
    session_bytes: u64,
    arena_bytes: u64,
    state_bytes: u64,
    constant_bytes: u64,
    stack_bytes: u64,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_load(
    path: *const c_char,
    choices: *const CallerOptions,
    program: *mut *mut Handle<ProgramObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid or NULL pointers.
    unsafe {
        guard(error, || {
            let path = text(path, "path")?;
            let out = Out::new(program, "program")?;
            let loaded = load::from_path(path, &options(choices)?)?;
            out.write(Box::into_raw(Box::new(Handle::new(ProgramObject::new(loaded)))));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_load_bytes(
    bytes: *const c_void,
    len: u64,
    choices: *const CallerOptions,
    program: *mut *mut Handle<ProgramObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid or NULL pointers.
    unsafe {
        guard(error, || {
            if bytes.is_null() {
                return Err(Failure::Null("bytes"));
            }
            let bytes = elements(bytes.cast::<u8>(), len, "bytes")?;
            let out = Out::new(program, "program")?;
            let loaded = load::from_bytes(bytes, &options(choices)?)?;
            out.write(Box::into_raw(Box::new(Handle::new(ProgramObject::new(loaded)))));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_release(
    program: *mut Handle<ProgramObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for a live handle that nobody else uses, or NULL.
    unsafe { guard(error, || handle::free(program, |object| &object.sessions)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_memory(
    program: *const Handle<ProgramObject>,
    memory: *mut Memory,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = handle::shared(program)?;
            let out = sized(memory, "memory")?;
            let needs = object.program.memory();
            out.write(Memory {
                struct_size: size_of::<Memory>() as u32,
                alignment: handle::ALIGNMENT as u32,
                session_bytes: session::bytes(&object.program) as u64,
                arena_bytes: needs.arena_bytes as u64,
                state_bytes: needs.state_bytes as u64,
                constant_bytes: needs.constant_bytes as u64,
                stack_bytes: needs.stack_bytes as u64,
            });
            Ok(())
        })
    }
}
