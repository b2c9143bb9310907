//! `nowcast_session`: copying elements in and out, also where they do not lie behind one another.

use core::ffi::c_void;

use nowcast::tensor::DType;

use crate::guard::{Error, elements, elements_mut, guard};
use crate::handle::{Handle, shared, unique};
use crate::run::{check_small, checked_len};
use crate::session::SessionObject;
use crate::status::Failure;

/// Calls a generic method with the Rust type of an element type.
macro_rules! typed {
    ($dtype:expr, $call:ident) => {
        match $dtype.plain() {
            DType::F32 => $call!(f32),
            DType::F64 => $call!(f64),
            DType::I32 => $call!(i32),
            DType::I64 => $call!(i64),
            DType::U8 => $call!(u8),
            DType::I8 => $call!(i8),
            DType::U16 => $call!(u16),
            DType::I16 => $call!(i16),
            DType::U32 => $call!(u32),
            DType::U64 => $call!(u64),
            _ => Err(Failure::Invalid("dtype", "one of NOWCAST_F32 to NOWCAST_U2")),
        }
    };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_copy_input(
    session: *mut Handle<SessionObject>,
    index: u32,
    dtype: i32,
    data: *const c_void,
    bytes: u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = unique(session)?;
            let (dtype, len) = checked_len(dtype, data.addr(), bytes)?;
            check_small(object.session.program().inputs(), index as usize, dtype)?;
            macro_rules! copy {
                ($element:ty) => {{
                    let from = elements::<$element>(data.cast(), len, "data")?;
                    Ok(object.session.copy_input(index as usize, from)?)
                }};
            }
            typed!(dtype, copy)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_copy_output(
    session: *const Handle<SessionObject>,
    index: u32,
    dtype: i32,
    data: *mut c_void,
    bytes: u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(session)?;
            let (dtype, len) = checked_len(dtype, data.addr(), bytes)?;
            check_small(object.session.program().outputs(), index as usize, dtype)?;
            macro_rules! copy {
                ($element:ty) => {{
                    let to = elements_mut::<$element>(data.cast(), len, "data")?;
                    Ok(object.session.copy_output(index as usize, to)?)
                }};
            }
            typed!(dtype, copy)
        })
    }
}
