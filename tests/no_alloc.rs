//! No serving call touches the heap, the first call included: over every model and every other
//! serving function, with an allocator that counts.
//!
//! `cargo xtask rtsan` runs the same file under the realtime sanitizer, where a serving call may
//! not block in any other way either.
#![cfg_attr(nowcast_rtsan, feature(sanitize))]
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]
#![expect(clippy::disallowed_types, reason = "counts belong to a thread: tests run side by side")]

mod adapter;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

/// How often a serving call is repeated: state that grows is seen in the second call or later.
const CALLS: usize = 20;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static HEAP_CALLS: Cell<u64> = const { Cell::new(0) };
}

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

/// Heap calls of this thread while `serve` runs, once a call.
fn heap_calls(serve: &mut dyn FnMut()) -> Vec<u64> {
    let mut counts = vec![0; CALLS];
    for calls in &mut counts {
        let before = HEAP_CALLS.get();
        nonblocking(serve);
        *calls = HEAP_CALLS.get() - before;
    }
    counts
}

/// The sanitizer ends the process at a blocking call inside.
#[cfg_attr(nowcast_rtsan, sanitize(realtime = "nonblocking"))]
#[inline(never)]
fn nonblocking(serve: &mut dyn FnMut()) {
    serve();
}

#[test]
fn serving_calls() {
    let served = adapter::served();
    let mut failures = Vec::new();
    for what in &served {
        let outcome = adapter::with_serving(what, false, &mut |serve| {
            let counts = heap_calls(serve);
            if counts.iter().any(|&calls| calls > 0) {
                failures.push(format!("{what}: heap calls in successive calls: {counts:?}"));
            }
        });
        if let Err(failure) = outcome {
            failures.push(format!("{what}: {failure}"));
        }
    }
    assert!(!served.is_empty(), "nothing is served");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
#[cfg(not(nowcast_rtsan))]
fn the_count_sees_every_kind_of_heap_call() {
    let mut kept: Vec<u64> = Vec::with_capacity(1);
    let mut calls =
        |act: &mut dyn FnMut(&mut Vec<u64>)| heap_calls(&mut || act(&mut kept)).iter().sum::<u64>();
    assert_eq!(calls(&mut |kept| black_box(kept).clear()), 0);
    assert_eq!(calls(&mut |_| drop(black_box(Box::new(1)))), 2 * CALLS as u64);
    assert_eq!(calls(&mut |_| drop(black_box(vec![0u8; 9]))), 2 * CALLS as u64);
    assert!(calls(&mut |kept| kept.reserve_exact(kept.capacity() + 1)) >= CALLS as u64);
}

/// The sanitizer sees what the count sees: a process that allocates in a marked call ends.
#[test]
#[cfg(nowcast_rtsan)]
fn the_sanitizer_is_on() {
    let program = std::env::current_exe().expect("this test has a path");
    let output = std::process::Command::new(program)
        .args(["--exact", "blocks", "--ignored", "--nocapture"])
        .output()
        .expect("this test can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("RealtimeSanitizer"), "{errors}");
}

#[test]
#[cfg(nowcast_rtsan)]
#[ignore = "the child of the_sanitizer_is_on"]
fn blocks() {
    nonblocking(&mut || drop(black_box(Box::new(1))));
}
