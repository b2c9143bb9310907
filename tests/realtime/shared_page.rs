//! One page of memory that parent and child both see: how they talk without a system call.

use std::env;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// Environment variable with the number of the page's file descriptor.
pub(crate) const DESCRIPTOR: &str = "NOWCAST_TEST_PAGE";

const PAGE_BYTES: usize = 4096;

/// What is on the page. All zero at first.
pub(crate) struct Notes {
    /// The last point of its protocol that the child has reached.
    pub(crate) reached: AtomicU32,
    /// The last point that the child may go on from.
    pub(crate) allowed: AtomicU32,
    /// The number of the first system call under the filter, plus one.
    pub(crate) system_call: AtomicI32,
}

/// A mapping of the page. Never unmapped: both processes are short-lived.
#[derive(Clone, Copy)]
pub(crate) struct SharedPage(&'static Notes);

impl SharedPage {
    /// A new page, and the descriptor that a child inherits.
    pub(crate) fn create() -> (Self, i32) {
        // SAFETY: the name is a C string; without MFD_CLOEXEC a child inherits the descriptor.
        let descriptor = unsafe { libc::memfd_create(c"nowcast-test".as_ptr(), 0) };
        assert!(descriptor >= 0, "memfd_create: {}", std::io::Error::last_os_error());
        // SAFETY: the descriptor is ours.
        let grown = unsafe { libc::ftruncate(descriptor, PAGE_BYTES as libc::off_t) };
        assert_eq!(grown, 0, "ftruncate: {}", std::io::Error::last_os_error());
        (Self::map(descriptor), descriptor)
    }

    /// The page that the parent made.
    pub(crate) fn inherited() -> Self {
        let number = env::var(DESCRIPTOR).expect("only `watch` starts this test");
        Self::map(number.parse().expect("the parent sets a number"))
    }

    fn map(descriptor: i32) -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new shared mapping of a file that is a page long.
        let address = unsafe {
            libc::mmap(ptr::null_mut(), PAGE_BYTES, protection, libc::MAP_SHARED, descriptor, 0)
        };
        assert_ne!(address, libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
        // SAFETY: the mapping is page-aligned, larger than `Notes`, never unmapped, and its bytes
        // are valid atomics whatever they are.
        Self(unsafe { &*address.cast::<Notes>() })
    }

    pub(crate) fn notes(self) -> &'static Notes {
        self.0
    }

    /// Child: says that `point` is reached and spins until the parent lets it go on.
    pub(crate) fn reach(self, point: u32) {
        self.0.reached.store(point, Ordering::Release);
        while self.0.allowed.load(Ordering::Acquire) < point {
            std::hint::spin_loop();
        }
    }
}
