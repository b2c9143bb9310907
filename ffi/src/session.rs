//! `nowcast_session`: opening, extents and memory.

use core::ffi::{c_char, c_void};
use core::ops::Range;

use nowcast::runtime::{BindError, MAX_PORT_RANK, Program, Session, Shape};

use crate::guard::{Error, Out, elements, guard, length, sized, text};
use crate::handle::{self, Handle, Object, Open, shared, unique};
use crate::program::ProgramObject;

/// A session in the caller's memory.
pub(crate) struct SessionObject {
    pub(crate) session: Session<'static>,
    /// Addresses of the memory it lies in.
    pub(crate) memory: Range<usize>,
    _open: Open,
}

impl Object for SessionObject {
    const TAG: u64 = u64::from_le_bytes(*b"nc-sessi");
    const NAME: &'static str = "session";
    const BYTES: usize = 256 * size_of::<usize>();
}

/// `nowcast_shape`.
#[repr(C)]
pub(crate) struct ShapeInfo {
    struct_size: u32,
    rank: u32,
    extents: [u64; MAX_PORT_RANK],
}

impl ShapeInfo {
    fn new(shape: &Shape) -> Self {
        let mut extents = [0; MAX_PORT_RANK];
        for (to, extent) in extents.iter_mut().zip(shape) {
            *to = *extent as u64;
        }
        Self { struct_size: size_of::<Self>() as u32, rank: shape.len() as u32, extents }
    }
}

/// Bytes of a session with its handle.
pub(crate) fn bytes(program: &Program<'_>) -> usize {
    Handle::<SessionObject>::BYTES + program.memory().session_bytes
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_bytes(
    program: *const Handle<ProgramObject>,
    out: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(program)?;
            Out::new(out, "bytes")?.write(bytes(&object.program) as u64);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_open(
    program: *const Handle<ProgramObject>,
    isa: i32,
    memory: *mut c_void,
    memory_bytes: u64,
    session: *mut *mut Handle<SessionObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL; for a program that
    // outlives its sessions, and for memory that is the session's alone.
    unsafe {
        guard(error, || {
            let object: &'static ProgramObject = shared(program)?;
            let out = Out::new(session, "session")?;
            let level = handle::level(isa)?;
            let needed = object.program.memory().session_bytes;
            let (place, rest) =
                handle::carve::<SessionObject>(memory.cast(), memory_bytes, needed)?;
            let start = memory.addr();
            let session = Session::in_memory(&object.program, level, rest)?;
            place.write(Handle::new(SessionObject {
                session,
                memory: start..start + bytes(&object.program),
                _open: object.sessions.open(),
            }));
            out.write(place);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_close(
    session: *mut Handle<SessionObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for a live handle that nobody else uses, or NULL.
    unsafe { guard(error, || handle::close(session)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_isa(
    session: *const Handle<SessionObject>,
    isa: *mut i32,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(session)?;
            Out::new(isa, "isa")?.write(object.session.isa() as i32);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_prefault(
    session: *mut Handle<SessionObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for a live handle that nobody else uses, or NULL.
    unsafe {
        guard(error, || {
            unique(session)?.session.prefault();
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_set_extent(
    session: *mut Handle<SessionObject>,
    name: *const c_char,
    extent: u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = unique(session)?;
            let name = text(name, "name")?;
            Ok(object.session.set_extent(name, length::<u8>(extent, "extent")?)?)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_set_input_shape(
    session: *mut Handle<SessionObject>,
    index: u32,
    extents: *const u64,
    rank: u32,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = unique(session)?;
            let mut shape = Shape::new();
            if rank as usize > MAX_PORT_RANK {
                let expected = object.session.input_shape(index as usize)?.len();
                return Err(BindError::Rank { expected, got: rank as usize }.into());
            }
            for extent in elements(extents, rank.into(), "extents")? {
                shape.push(length::<u8>(*extent, "an extent")?);
            }
            Ok(object.session.set_input_shape(index as usize, &shape)?)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_input_shape(
    session: *const Handle<SessionObject>,
    index: u32,
    shape: *mut ShapeInfo,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(session)?;
            let out = sized(shape, "shape")?;
            out.write(ShapeInfo::new(&object.session.input_shape(index as usize)?));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_output_shape(
    session: *const Handle<SessionObject>,
    index: u32,
    shape: *mut ShapeInfo,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(session)?;
            let out = sized(shape, "shape")?;
            out.write(ShapeInfo::new(&object.session.output_shape(index as usize)?));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_input(
    session: *mut Handle<SessionObject>,
    index: u32,
    data: *mut *mut c_void,
    bytes: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = unique(session)?;
            let (data, bytes) = (Out::new(data, "data")?, Out::new(bytes, "bytes")?);
            let input = object.session.input_bytes_mut(index as usize)?;
            bytes.write(input.len() as u64);
            data.write(input.as_mut_ptr().cast());
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_output(
    session: *const Handle<SessionObject>,
    index: u32,
    data: *mut *const c_void,
    bytes: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(session)?;
            let (data, bytes) = (Out::new(data, "data")?, Out::new(bytes, "bytes")?);
            let output = object.session.output_bytes(index as usize)?;
            bytes.write(output.len() as u64);
            data.write(output.as_ptr().cast());
            Ok(())
        })
    }
}
