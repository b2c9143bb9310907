//! The memory of a session, and the one place where offsets become references.
//!
//! Owns the block that holds a session's tables, arena and state, whether it is our own or the
//! caller's. Its invariant: a base's pointer is valid for its length for as long as the session
//! lives, or, for a bound port, for as long as the call. Checks of offsets against lengths are
//! made here, once more, on every access: they cost a comparison and make a wrong program panic
//! where it would otherwise read past its memory.
#![allow(unsafe_code, reason = "the one place where offsets become references")]

use core::cell::Cell;
use core::marker::PhantomData;
use core::slice;

use crate::tensor::Element;

use super::image::Buffer;

/// What a session needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryNeeds {
    /// All that a session takes: tables, arena and state. This is what the caller passes to
    /// [`Session::in_memory`](super::Session::in_memory), aligned to [`MemoryNeeds::ALIGNMENT`].
    pub session_bytes: usize,
    /// Inputs, outputs and everything between them.
    pub arena_bytes: usize,
    /// What is kept between runs.
    pub state_bytes: usize,
    /// Weights, in the program itself; sessions share them.
    pub constant_bytes: usize,
    /// Upper bound of the stack that a run uses.
    pub stack_bytes: usize,
}

impl MemoryNeeds {
    /// Alignment of a session's memory.
    pub const ALIGNMENT: usize = 64;
    /// Upper bound of the stack that any run uses: kernels keep small tiles on it, nothing that
    /// grows with the model.
    pub const STACK_BYTES: usize = 32 * 1024;
}

/// One region that offsets count from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    pub(super) pointer: *mut u8,
    pub(super) len: usize,
}

/// All regions of a session: constants, arena, state, ports.
#[derive(Clone, Copy)]
pub(crate) struct Bases<'s> {
    list: &'s [Base],
}

impl<'s> Bases<'s> {
    /// # Safety
    /// Each base is valid for reads (and, but for the first, writes) of its length during `'s`.
    pub(super) unsafe fn new(list: &'s [Base]) -> Self {
        Self { list }
    }

    #[inline(always)]
    fn place<T: Element>(&self, buffer: Buffer) -> (*mut T, usize) {
        let base = self.list[buffer.base as usize];
        assert!(buffer.offset <= base.len, "a buffer lies outside its region");
        let bytes = buffer.bytes.min(base.len - buffer.offset);
        // SAFETY: the offset is within the region, as just checked.
        let pointer = unsafe { base.pointer.add(buffer.offset) }.cast::<T>();
        assert!(pointer.is_aligned(), "a buffer is misaligned");
        (pointer, bytes / size_of::<T>())
    }

    #[inline(always)]
    pub(crate) fn slice<T: Element>(&self, buffer: Buffer) -> &'s [T] {
        let (pointer, len) = self.place(buffer);
        // SAFETY: in bounds, aligned and initialised (sessions zero their memory); every bit
        // pattern is a value of an `Element`. The planner gives a step no written operand that
        // overlaps a read one.
        unsafe { slice::from_raw_parts(pointer, len) }
    }

    #[inline(always)]
    pub(crate) fn slice_mut<T: Element>(&self, buffer: Buffer) -> &'s mut [T] {
        let (pointer, len) = self.place(buffer);
        // SAFETY: as for `slice`; an `Out` cannot be copied and `Step::decode` consumes the step,
        // so each written operand is borrowed once.
        unsafe { slice::from_raw_parts_mut(pointer, len) }
    }

    #[inline(always)]
    pub(crate) fn cells<T: Element>(&self, buffer: Buffer) -> &'s [Cell<T>] {
        let (pointer, len) = self.place::<T>(buffer);
        // SAFETY: as for `slice`; cells may overlap one another, and no plain reference to the
        // same elements lives at the same time.
        unsafe { slice::from_raw_parts(pointer.cast::<Cell<T>>(), len) }
    }
}

/// The bytes of words.
pub(super) fn bytes_of(words: &[u32]) -> &[u8] {
    // SAFETY: any memory is bytes, and the length is that of the words.
    unsafe { slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

/// Memory of 64-byte alignment: our own, or the caller's for `'m`.
pub(crate) struct Block<'m> {
    pointer: *mut u8,
    len: usize,
    #[cfg(feature = "std")]
    owned: bool,
    caller: PhantomData<&'m mut [u8]>,
}

// SAFETY: a block is reached only through the session that owns it.
unsafe impl Send for Block<'_> {}

impl<'m> Block<'m> {
    /// The caller's memory, zeroed. `None` when it is misaligned.
    pub(super) fn borrowed(memory: &'m mut [u8]) -> Option<Self> {
        if !memory.as_ptr().addr().is_multiple_of(MemoryNeeds::ALIGNMENT) {
            return None;
        }
        memory.fill(0);
        Some(Self {
            pointer: memory.as_mut_ptr(),
            len: memory.len(),
            #[cfg(feature = "std")]
            owned: false,
            caller: PhantomData,
        })
    }

    /// Our own memory, zeroed. `None` when there is not as much.
    #[cfg(feature = "std")]
    pub(super) fn owned(len: usize) -> Option<Self> {
        let layout = Self::layout(len)?;
        // SAFETY: the layout's size is not zero.
        let pointer = unsafe { std::alloc::alloc_zeroed(layout) };
        (!pointer.is_null()).then_some(Self { pointer, len, owned: true, caller: PhantomData })
    }

    #[cfg(feature = "std")]
    fn layout(len: usize) -> Option<std::alloc::Layout> {
        std::alloc::Layout::from_size_align(len.max(1), MemoryNeeds::ALIGNMENT).ok()
    }

    pub(super) fn pointer(&self) -> *mut u8 {
        self.pointer
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the block is valid and initialised for its length.
        unsafe { slice::from_raw_parts(self.pointer, self.len) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed for writing.
        unsafe { slice::from_raw_parts_mut(self.pointer, self.len) }
    }
}

#[cfg(feature = "std")]
impl Drop for Block<'_> {
    fn drop(&mut self) {
        if let (true, Some(layout)) = (self.owned, Self::layout(self.len)) {
            // SAFETY: allocated by `owned` with this layout.
            unsafe { std::alloc::dealloc(self.pointer, layout) };
        }
    }
}

/// Where a session's tables lie in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) dims_len: usize,
    pub(super) bases_len: usize,
    bases_at: usize,
    pub(super) arena_at: usize,
    pub(super) state_at: usize,
    pub(super) total: usize,
}

impl Tables {
    pub(super) fn new(dims_len: usize, bases_len: usize, arena: usize, state: usize) -> Self {
        const { assert!(size_of::<Base>() == 2 * size_of::<usize>()) };
        Self::on_host(size_of::<usize>(), dims_len, bases_len, arena, state)
    }

    /// Where they lie on a host with addresses of `address_bytes` bytes.
    pub(super) fn on_host(
        address_bytes: usize,
        dims_len: usize,
        bases_len: usize,
        arena: usize,
        state: usize,
    ) -> Self {
        let bases_at = dims_len * size_of::<i64>();
        let arena_at = (bases_at + bases_len * 2 * address_bytes).next_multiple_of(64);
        let state_at = (arena_at + arena).next_multiple_of(64);
        Self { dims_len, bases_len, bases_at, arena_at, state_at, total: state_at + state }
    }

    /// Dimensions and bases, to change.
    pub(super) fn split<'b>(&self, block: &'b mut Block<'_>) -> (&'b mut [i64], &'b mut [Base]) {
        assert!(self.total <= block.len);
        // SAFETY: both tables lie in the block, do not overlap, and are aligned: the block is
        // aligned to 64 and the sizes are multiples of 8. Zeroed memory is a valid value of both.
        unsafe {
            (
                slice::from_raw_parts_mut(block.pointer.cast(), self.dims_len),
                slice::from_raw_parts_mut(block.pointer.add(self.bases_at).cast(), self.bases_len),
            )
        }
    }

    /// Dimensions and bases, to read.
    pub(super) fn view<'b>(&self, block: &'b Block<'_>) -> (&'b [i64], &'b [Base]) {
        assert!(self.total <= block.len);
        // SAFETY: as for `split`.
        unsafe {
            (
                slice::from_raw_parts(block.pointer.cast(), self.dims_len),
                slice::from_raw_parts(block.pointer.add(self.bases_at).cast(), self.bases_len),
            )
        }
    }
}

/// Elements of a region as a slice.
///
/// # Safety
/// `base` is valid for `len * size_of::<T>()` bytes of initialised memory during `'a`.
pub(super) unsafe fn elements<'a, T: Element>(base: *const u8, len: usize) -> &'a [T] {
    // SAFETY: promised by the caller; ports are 64-byte aligned.
    unsafe { slice::from_raw_parts(base.cast(), len) }
}

/// Elements of a region as a slice to write.
///
/// # Safety
/// As for [`elements`], and nothing else refers to the region during `'a`.
pub(super) unsafe fn elements_mut<'a, T: Element>(base: *mut u8, len: usize) -> &'a mut [T] {
    // SAFETY: promised by the caller; ports are 64-byte aligned.
    unsafe { slice::from_raw_parts_mut(base.cast(), len) }
}

/// Splits `len` elements, zeroed, off the front of the caller's memory. `None` when there is not
/// as much, or it is misaligned.
pub(crate) fn split_elements<T: Element>(
    memory: &mut [u8],
    len: usize,
) -> Option<(&mut [T], &mut [u8])> {
    let (head, rest) = memory.split_at_mut_checked(len.checked_mul(size_of::<T>())?)?;
    if !head.as_ptr().addr().is_multiple_of(align_of::<T>()) {
        return None;
    }
    head.fill(0);
    // SAFETY: as long and as aligned as the elements, initialised, and borrowed for writing.
    Some((unsafe { slice::from_raw_parts_mut(head.as_mut_ptr().cast(), len) }, rest))
}

/// The bytes of a program or bundle, kept for as long as anybody uses them.
#[cfg(feature = "std")]
pub(crate) enum Storage {
    Owned(Block<'static>),
    Anonymous(memmap2::MmapMut),
    Mapped(memmap2::Mmap),
}

// SAFETY: read only once made.
#[cfg(feature = "std")]
unsafe impl Sync for Storage {}

#[cfg(feature = "std")]
impl Storage {
    /// From so many bytes on, memory is mapped: it costs nothing before it is written, and the
    /// system may give it in large pages, which spares a load a thousand page faults and a run
    /// the misses of the translation buffer.
    const MAPPED: usize = 1 << 18;

    /// Zeros, on a 64-byte boundary. `None` when there is no memory.
    pub(crate) fn zeroed(bytes: usize) -> Option<Self> {
        if bytes < Self::MAPPED {
            return Block::owned(bytes).map(Self::Owned);
        }
        let map = memmap2::MmapMut::map_anon(bytes).ok()?;
        // Without large pages it works as well.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Some(Self::Anonymous(map))
    }

    /// A copy, on a 64-byte boundary. `None` when there is no memory.
    pub(crate) fn copied(bytes: &[u8]) -> Option<Self> {
        let mut storage = Self::zeroed(bytes.len())?;
        storage.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        Some(storage)
    }

    /// A file where it is mapped, on the boundary of a page.
    pub(crate) fn mapped(map: memmap2::Mmap) -> Self {
        Self::Mapped(map)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(block) => block.bytes(),
            Self::Anonymous(map) => map,
            Self::Mapped(map) => map,
        }
    }

    /// The bytes to write; none of a file.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Owned(block) => block.bytes_mut(),
            Self::Anonymous(map) => map,
            Self::Mapped(_) => &mut [],
        }
    }
}

#[cfg(feature = "std")]
impl AsRef<[u8]> for Storage {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

#[cfg(feature = "std")]
impl core::fmt::Debug for Storage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes", self.bytes().len())
    }
}
