//! Memory of exactly the length asked for, so that the sanitizer sees the first byte behind it.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::slice;

/// Zeroed bytes on a 64-byte boundary, and not one byte more.
pub struct Aligned {
    pointer: *mut u8,
    layout: Layout,
    len: usize,
}

impl Aligned {
    /// `len` bytes.
    ///
    /// **Panics**: more than memory can be.
    pub fn zeroed(len: usize) -> Self {
        let layout = Layout::from_size_align(len.max(1), 64).expect("no longer than memory");
        // SAFETY: the layout's size is not zero.
        let pointer = unsafe { alloc_zeroed(layout) };
        if pointer.is_null() {
            handle_alloc_error(layout);
        }
        Self { pointer, layout, len }
    }

    /// A copy of `bytes`.
    pub fn copy(bytes: &[u8]) -> Self {
        let mut copy = Self::zeroed(bytes.len());
        copy.bytes_mut().copy_from_slice(bytes);
        copy
    }

    /// Where it starts.
    pub fn pointer(&self) -> *mut u8 {
        self.pointer
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: allocated and initialised for `len` bytes.
        unsafe { slice::from_raw_parts(self.pointer, self.len) }
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and borrowed for writing.
        unsafe { slice::from_raw_parts_mut(self.pointer, self.len) }
    }

    /// The whole words of it.
    pub fn words(&self) -> &[u32] {
        // SAFETY: as for `bytes`; aligned to 64 and rounded down.
        unsafe { slice::from_raw_parts(self.pointer.cast(), self.len / 4) }
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: allocated by `zeroed` with this layout.
        unsafe { dealloc(self.pointer, self.layout) };
    }
}
