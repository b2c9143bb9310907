//! Panics as statuses, where a panic unwinds.

use core::fmt;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Error, tell};
use crate::status::Status;

/// Runs `body`; a panic is written to `error`.
///
/// # Safety
/// As for [`guard`](super::guard).
pub(super) unsafe fn caught(error: *mut Error, body: impl FnOnce() -> Status) -> Status {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        // SAFETY: promised by the caller.
        unsafe { tell(error, Status::Panic, &Panic(text)) };
        discard(payload)
    })
}

/// The payload of a panic may be any value, and one whose drop panics would unwind into C.
fn discard(payload: Box<dyn Any + Send>) -> Status {
    core::mem::forget(payload);
    Status::Panic
}

struct Panic<'a>(Option<&'a str>);

impl fmt::Display for Panic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an error of nowcast, please report it: {}", self.0.unwrap_or("no text"))
    }
}
