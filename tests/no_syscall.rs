//! No serving call enters the kernel: neither by a system call nor, once memory is prefaulted,
//! by a page fault. The first call included.
//!
//! Each thing that is served runs in a child process. After set-up the child installs a seccomp
//! filter that allows nothing but the end of the process; the parent watches its page faults from
//! outside. See `tests/realtime/` for both sides.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(unsafe_code, reason = "raw system calls and a page shared between processes")]
#![expect(clippy::disallowed_methods, reason = "the parent sleeps while the child works")]

mod adapter;
#[path = "realtime/child.rs"]
mod child;
#[path = "realtime/parent.rs"]
mod parent;
#[path = "realtime/seccomp.rs"]
mod seccomp;
#[path = "realtime/shared_page.rs"]
mod shared_page;

use parent::{Report, watch};

/// A page fault that the program makes is made every time; one that the kernel makes (it took a
/// page back, or moved it) is not. A child is given this many chances.
const ATTEMPTS: usize = 3;

#[test]
fn serving_calls() {
    let served = adapter::served();
    assert!(!served.is_empty(), "nothing is served");
    let failures: Vec<String> = served.iter().filter_map(|what| complaint(what)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is wrong with the serving call of `what`.
fn complaint(what: &str) -> Option<String> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        last = match watch(what) {
            Report::Served { first: 0, later: 0 } => return None,
            Report::Served { first, later } => Some(format!(
                "{what}: {first} page faults in the first call, {later} in the {} after it",
                child::CALLS
            )),
            Report::SystemCall(number) => return Some(format!("{what}: system call {number}")),
            Report::Died(status) => return Some(format!("{what}: the child ended: {status}")),
        };
    }
    last
}

/// The other side of `watch`: not a test of its own.
#[test]
#[ignore = "the child process of the other tests"]
fn serving_child() {
    child::run();
}

#[test]
fn a_call_that_does_nothing_passes() {
    assert_eq!(complaint(child::NOTHING), None);
}

#[test]
fn a_system_call_is_seen() {
    let number = libc::SYS_getppid;
    assert_eq!(
        complaint(child::SYSTEM_CALL),
        Some(format!("{}: system call {number}", child::SYSTEM_CALL))
    );
}

#[test]
fn page_faults_are_seen() {
    let pages = child::FRESH_PAGES as u64;
    match watch(child::FRESH) {
        Report::Served { first, .. } => assert!(first >= pages, "{first} of {pages} faults"),
        other => panic!("{other:?}"),
    }
}
