//! The guard of every export: panics become statuses, failures become text in the caller's struct.
//!
//! Owns [`Error`] and the conversion of arguments. Its invariant: [`guard`] never unwinds.

use core::ffi::{CStr, c_char};
use core::fmt::{self, Write};
use core::mem::{offset_of, size_of};
use core::slice;

use crate::status::{Failure, Status};

#[cfg(panic = "unwind")]
mod panics;

/// `nowcast_error`.
#[repr(C)]
pub(crate) struct Error {
    pub(crate) struct_size: u32,
    pub(crate) code: i32,
    pub(crate) message: [u8; 512],
}

/// Runs `body`; a failure or a panic is written to `error` and becomes the status.
///
/// # Safety
/// `error` is NULL or points to a `nowcast_error` whose first `struct_size` bytes are the caller's.
pub(crate) unsafe fn guard(error: *mut Error, body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let body = || match body() {
        Ok(()) => Status::Ok,
        Err(failure) => {
            let status = failure.status();
            // SAFETY: promised by the caller.
            unsafe { tell(error, status, &failure) };
            status
        }
    };
    #[cfg(panic = "unwind")]
    // SAFETY: promised by the caller.
    let status = unsafe { panics::caught(error, body) };
    #[cfg(not(panic = "unwind"))]
    let status = body();
    status as i32
}

/// # Safety
/// As for [`guard`].
unsafe fn tell(error: *mut Error, status: Status, text: &dyn fmt::Display) {
    if error.is_null() || !error.is_aligned() {
        return;
    }
    const HEAD: usize = offset_of!(Error, message);
    // SAFETY: the caller's struct has at least its size field.
    let given = (unsafe { (*error).struct_size } as usize).min(size_of::<Error>());
    if given <= HEAD {
        return;
    }
    // SAFETY: `given` bytes are the caller's, so the code and `given - HEAD` bytes of text are.
    let message = unsafe {
        (*error).code = status as i32;
        slice::from_raw_parts_mut((&raw mut (*error).message).cast::<u8>(), given - HEAD)
    };
    let mut cursor = Cursor { message, len: 0 };
    // Text that does not fit is cut; the sentence so far is still of use.
    let _ = write!(cursor, "{text}");
}

/// Text of fixed length, ended by NUL and cut between characters.
struct Cursor<'a> {
    message: &'a mut [u8],
    len: usize,
}

impl Write for Cursor<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.message.len() - self.len - 1;
        let whole = text.floor_char_boundary(room);
        self.message[self.len..self.len + whole].copy_from_slice(&text.as_bytes()[..whole]);
        self.len += whole;
        self.message[self.len] = 0;
        if whole == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The value that `pointer` points to.
///
/// # Safety
/// `pointer` is NULL or valid for reads during `'a`.
pub(crate) unsafe fn reference<'a, T>(
    pointer: *const T,
    what: &'static str,
) -> Result<&'a T, Failure> {
    check(pointer, what)?;
    // SAFETY: not NULL and aligned, as just checked; the rest is promised by the caller.
    Ok(unsafe { &*pointer })
}

/// Where a result goes: checked before work starts, written when it is done.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `pointer` is NULL or valid for writes until the value is dropped.
    pub(crate) unsafe fn new(pointer: *mut T, what: &'static str) -> Result<Self, Failure> {
        check(pointer, what)?;
        Ok(Self(pointer))
    }

    pub(crate) fn write(self, value: T) {
        // SAFETY: not NULL and aligned; valid as promised to `new`.
        unsafe { self.0.write(value) };
    }
}

fn check<T>(pointer: *const T, what: &'static str) -> Result<(), Failure> {
    if pointer.is_null() {
        Err(Failure::Null(what))
    } else if !pointer.is_aligned() {
        Err(Failure::Misaligned(what, align_of::<T>()))
    } else {
        Ok(())
    }
}

/// A struct of the caller that starts with its size. Later headers add fields at the end: a
/// smaller one comes from an earlier header, of which there is none yet.
///
/// # Safety
/// `T` is a `repr(C)` struct whose first field is its `u32` size. `pointer` is NULL or points to
/// as many bytes as that field says, valid for writes until the value is dropped.
pub(crate) unsafe fn sized<T>(pointer: *mut T, what: &'static str) -> Result<Out<T>, Failure> {
    check(pointer, what)?;
    // SAFETY: the first field is the size.
    if unsafe { pointer.cast::<u32>().read() } as usize != size_of::<T>() {
        return Err(Failure::Invalid(what, "started from its NOWCAST_..._INIT macro"));
    }
    Ok(Out(pointer))
}

/// The elements at `pointer`, which may be NULL if there is none.
///
/// # Safety
/// `pointer` is NULL or valid for reads of `len` elements during `'a`.
pub(crate) unsafe fn elements<'a, T>(
    pointer: *const T,
    len: u64,
    what: &'static str,
) -> Result<&'a [T], Failure> {
    let len = length::<T>(len, what)?;
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer, what)?;
    // SAFETY: not NULL, aligned and below the largest size; the rest is promised.
    Ok(unsafe { slice::from_raw_parts(pointer, len) })
}

/// The elements at `pointer`, to be written.
///
/// # Safety
/// `pointer` is NULL or valid for writes of `len` elements during `'a`, and nothing else refers to
/// them.
pub(crate) unsafe fn elements_mut<'a, T>(
    pointer: *mut T,
    len: u64,
    what: &'static str,
) -> Result<&'a mut [T], Failure> {
    let len = length::<T>(len, what)?;
    if len == 0 {
        return Ok(&mut []);
    }
    check(pointer, what)?;
    // SAFETY: not NULL, aligned and below the largest size; the rest is promised.
    Ok(unsafe { slice::from_raw_parts_mut(pointer, len) })
}

/// A number of elements that memory can have.
pub(crate) fn length<T>(len: u64, what: &'static str) -> Result<usize, Failure> {
    let bytes = usize::try_from(len).ok().and_then(|len| len.checked_mul(size_of::<T>()));
    match bytes {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(len as usize),
        _ => Err(Failure::Invalid(what, "no longer than memory")),
    }
}

/// A text argument.
///
/// # Safety
/// `pointer` is NULL or points to text ended by NUL that is valid during `'a`.
pub(crate) unsafe fn text<'a>(
    pointer: *const c_char,
    what: &'static str,
) -> Result<&'a str, Failure> {
    check(pointer, what)?;
    // SAFETY: promised by the caller.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| Failure::Invalid(what, "UTF-8"))
}
