//! `nowcast_program`: opening and freeing.

use core::ffi::{c_char, c_void};

use nowcast::runtime::Program;

use crate::bundle::model;
use crate::guard::{Error, Out, guard, sized};
use crate::handle::{self, Handle, Home, Object, Sessions, Shared};
use crate::kernels::{CallerKernels, kernels};
use crate::session;

/// A program.
pub(crate) struct ProgramObject {
    pub(crate) program: Program<'static>,
    pub(crate) sessions: Sessions,
}

impl Object for ProgramObject {
    const TAG: u64 = u64::from_le_bytes(*b"nc-progr");
    const NAME: &'static str = "program";
    const BYTES: usize = 256;
}

impl Shared for ProgramObject {
    fn sessions(&self) -> &Sessions {
        &self.sessions
    }
}

impl ProgramObject {
    pub(crate) fn new(program: Program<'static>, home: Home) -> Self {
        Self { program, sessions: Sessions::new(home) }
    }
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
unsafe extern "C" fn nowcast_program_open(
    bundle: *const c_void,
    bundle_bytes: u64,
    name: *const c_char,
    list: *const CallerKernels,
    memory: *mut c_void,
    memory_bytes: u64,
    program: *mut *mut Handle<ProgramObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL; for a bundle and kernels that outlive
    // the program, and for memory that is the program's alone.
    unsafe {
        guard(error, || {
            let list = kernels(list)?;
            let out = Out::new(program, "program")?;
            let (place, _) = handle::carve::<ProgramObject>(memory.cast(), memory_bytes, 0)?;
            let opened = model(bundle, bundle_bytes, name)?.program(&list)?;
            place.write(Handle::new(ProgramObject::new(opened, Home::Caller)));
            out.write(place);
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
    unsafe { guard(error, || handle::release(program)) }
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
