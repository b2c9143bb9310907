//! Objects behind handles.
//!
//! Owns the tag by which a handle is known, memory of the caller that an object is put in, and the
//! count of sessions that keeps a program from being freed under them.

use core::sync::atomic::{AtomicU32, Ordering};

use nowcast::kernels::{Isa, Level};
use nowcast::runtime::MemoryNeeds;

use crate::guard::{elements_mut, reference};
use crate::status::Failure;

/// Alignment of the memory that objects live in.
pub(crate) const ALIGNMENT: usize = MemoryNeeds::ALIGNMENT;

/// An object behind a handle.
pub(crate) trait Object {
    /// What a live object of this kind starts with.
    const TAG: u64;
    /// What the header calls the argument.
    const NAME: &'static str;
    /// Bytes that the handle takes of the memory that its object lies in: for those that a program
    /// may set aside when it is compiled, the header's number, which leaves room to grow.
    const BYTES: usize;
}

/// An object that sessions are opened of.
pub(crate) trait Shared: Object {
    /// Those that are open.
    fn sessions(&self) -> &Sessions;
}

/// An object and its tag, which is cleared when the object goes.
#[repr(C, align(64))]
pub(crate) struct Handle<T> {
    tag: u64,
    pub(crate) value: T,
}

impl<T: Object> Handle<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { tag: T::TAG, value }
    }

    /// [`Object::BYTES`], which hold it.
    pub(crate) const BYTES: usize = {
        assert!(T::BYTES.is_multiple_of(ALIGNMENT) && T::BYTES >= size_of::<Self>());
        T::BYTES
    };
}

/// The object, to look at.
///
/// # Safety
/// `pointer` is NULL or readable for the size of the handle; if its tag says so, it is a live
/// object of this kind that nobody changes during `'a`.
pub(crate) unsafe fn shared<'a, T: Object>(pointer: *const Handle<T>) -> Result<&'a T, Failure> {
    // SAFETY: the tag is read through a raw pointer before anything is believed of the rest.
    let tag = unsafe { reference(pointer.cast::<u64>(), T::NAME) }?;
    if !pointer.is_aligned() || *tag != T::TAG {
        return Err(Failure::Handle(T::NAME));
    }
    // SAFETY: the tag says that it is live; the rest is promised by the caller.
    Ok(unsafe { &(*pointer).value })
}

/// The object, to change.
///
/// # Safety
/// As for [`shared`], and nobody else looks at the object during `'a`.
pub(crate) unsafe fn unique<'a, T: Object>(pointer: *mut Handle<T>) -> Result<&'a mut T, Failure> {
    // SAFETY: as promised by the caller.
    unsafe { shared(pointer) }?;
    // SAFETY: live, as just checked, and ours alone.
    Ok(unsafe { &mut (*pointer).value })
}

/// Memory of the caller for an object: the handle first, `rest_bytes` behind it.
///
/// # Safety
/// `memory` is NULL or valid for writes of `bytes` bytes for as long as the object lives, and
/// nothing else refers to it.
pub(crate) unsafe fn carve<T: Object>(
    memory: *mut u8,
    bytes: u64,
    rest_bytes: usize,
) -> Result<(*mut Handle<T>, &'static mut [u8]), Failure> {
    // SAFETY: as promised by the caller.
    let memory = unsafe { room("memory", memory, bytes, Handle::<T>::BYTES + rest_bytes) }?;
    let (head, rest) = memory.split_at_mut(Handle::<T>::BYTES);
    Ok((head.as_mut_ptr().cast(), rest))
}

/// `needed` bytes on an aligned address.
///
/// # Safety
/// As for [`carve`].
pub(crate) unsafe fn room<'m>(
    what: &'static str,
    memory: *mut u8,
    bytes: u64,
    needed: usize,
) -> Result<&'m mut [u8], Failure> {
    if memory.is_null() {
        return Err(Failure::Null(what));
    }
    if !memory.addr().is_multiple_of(ALIGNMENT) {
        return Err(Failure::Misaligned(what, ALIGNMENT));
    }
    if bytes < needed as u64 {
        return Err(Failure::TooSmall { what, needed, given: bytes });
    }
    // SAFETY: as promised by the caller; `needed` is at most `bytes`.
    unsafe { elements_mut(memory, needed as u64, what) }
}

/// [`room`], of which none may be needed: then it may be NULL.
///
/// # Safety
/// As for [`carve`].
pub(crate) unsafe fn optional<'m>(
    what: &'static str,
    memory: *mut u8,
    bytes: u64,
    needed: usize,
) -> Result<&'m mut [u8], Failure> {
    if needed == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as promised by the caller.
    unsafe { room(what, memory, bytes, needed) }
}

/// Drops an object that lies in the caller's memory. Nothing happens to NULL.
///
/// # Safety
/// As for [`unique`].
pub(crate) unsafe fn close<T: Object>(pointer: *mut Handle<T>) -> Result<(), Failure> {
    if pointer.is_null() {
        return Ok(());
    }
    // SAFETY: as promised by the caller; a live object is dropped once, since its tag goes first.
    unsafe {
        unique(pointer)?;
        (&raw mut (*pointer).tag).write_volatile(0);
        core::ptr::drop_in_place(&raw mut (*pointer).value);
    }
    Ok(())
}

/// Puts an object on the heap.
#[cfg(feature = "std")]
pub(crate) fn boxed<T: Shared>(value: T) -> *mut Handle<T> {
    Box::into_raw(Box::new(Handle::new(value)))
}

/// Drops an object of which no session is open, and frees it if it is on the heap. Nothing happens
/// to NULL.
///
/// # Safety
/// As for [`unique`].
pub(crate) unsafe fn release<T: Shared>(pointer: *mut Handle<T>) -> Result<(), Failure> {
    if pointer.is_null() {
        return Ok(());
    }
    // SAFETY: as promised by the caller; what says that it is on the heap came from a box.
    unsafe {
        let sessions = unique(pointer)?.sessions();
        sessions.none()?;
        match sessions.home {
            Home::Caller => close(pointer),
            #[cfg(feature = "std")]
            Home::Heap => {
                (&raw mut (*pointer).tag).write_volatile(0);
                drop(Box::from_raw(pointer));
                Ok(())
            }
        }
    }
}

/// Where an object lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Home {
    Caller,
    #[cfg(feature = "std")]
    Heap,
}

/// How many sessions of an object are open, and where the object lies.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: AtomicU32,
    home: Home,
}

impl Sessions {
    /// None yet.
    pub(crate) fn new(home: Home) -> Self {
        Self { open: AtomicU32::new(0), home }
    }

    fn none(&self) -> Result<(), Failure> {
        match self.open.load(Ordering::Acquire) {
            0 => Ok(()),
            open => Err(Failure::InUse(open)),
        }
    }

    /// Counts one more, until the value is dropped.
    pub(crate) fn open(&'static self) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self)
    }
}

/// One session that is open.
pub(crate) struct Open(&'static Sessions);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}

/// The level of this CPU under a limit of the header.
pub(crate) fn level(limit: i32) -> Result<Level, Failure> {
    let level = Level::detect();
    match limit {
        -1 => return Ok(level),
        -2 => return Ok(level.without_amx()),
        _ => {}
    }
    let isa = Isa::ALL.into_iter().find(|isa| *isa as i32 == limit);
    isa.map(|isa| level.at_most(isa)).ok_or(Failure::Invalid("isa", "one of NOWCAST_ISA_..."))
}
