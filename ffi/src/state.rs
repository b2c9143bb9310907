//! `nowcast_session`: what is kept between runs.

use core::ffi::c_void;

use crate::guard::{Error, Out, elements, elements_mut, guard};
use crate::handle::{Handle, shared, unique};
use crate::session::SessionObject;

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_reset(
    session: *mut Handle<SessionObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for a live handle that nobody else uses, or NULL.
    unsafe {
        guard(error, || {
            unique(session)?.session.reset();
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_snapshot_bytes(
    session: *const Handle<SessionObject>,
    bytes: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(session)?;
            Out::new(bytes, "bytes")?.write(object.session.snapshot_bytes() as u64);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_snapshot(
    session: *mut Handle<SessionObject>,
    snapshot: *mut c_void,
    bytes: u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = unique(session)?;
            let into = elements_mut(snapshot.cast::<u8>(), bytes, "snapshot")?;
            Ok(object.session.snapshot(into)?)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_session_restore(
    session: *mut Handle<SessionObject>,
    snapshot: *const c_void,
    bytes: u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = unique(session)?;
            let from = elements(snapshot.cast::<u8>(), bytes, "snapshot")?;
            Ok(object.session.restore(from)?)
        })
    }
}
