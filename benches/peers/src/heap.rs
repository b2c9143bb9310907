//! The counter of `heap.c`.
#![allow(unsafe_code, reason = "a variable of C")]

unsafe extern "C" {
    static nowcast_heap_calls: u64;
}

/// Calls for memory so far.
pub(crate) fn calls() -> u64 {
    // SAFETY: a number that C code writes; a read between two writes is all that is asked for.
    unsafe { (&raw const nowcast_heap_calls).read_volatile() }
}
