//! An allocator that counts, for the test binaries that install it.
#![allow(clippy::disallowed_types, reason = "counts belong to a thread: cases run side by side")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, each call counted for its thread.
pub(crate) struct Counting;

thread_local! {
    static HEAP_CALLS: Cell<u64> = const { Cell::new(0) };
}

static RUNS: AtomicU64 = AtomicU64::new(0);
static CALLS_IN_RUNS: AtomicU64 = AtomicU64::new(0);

fn count() {
    HEAP_CALLS.set(HEAP_CALLS.get() + 1);
}

// SAFETY: every method is `System`'s, which keeps the contract; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Heap calls of this thread.
pub(crate) fn heap_calls_so_far() -> u64 {
    HEAP_CALLS.get()
}

/// Runs a session's `run` and adds the heap calls of this thread meanwhile to the total.
pub(crate) fn counted<T>(run: impl FnOnce() -> T) -> T {
    let before = HEAP_CALLS.get();
    let result = run();
    CALLS_IN_RUNS.fetch_add(HEAP_CALLS.get() - before, Ordering::Relaxed);
    RUNS.fetch_add(1, Ordering::Relaxed);
    result
}

/// Heap calls in all counted runs, and how many runs those were.
pub(crate) fn heap_calls_in_runs() -> (u64, u64) {
    (CALLS_IN_RUNS.load(Ordering::Relaxed), RUNS.load(Ordering::Relaxed))
}
