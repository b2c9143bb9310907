//! Working memory of the loops that make paths.
//!
//! Owns [`Room`]. Its invariant: what it gives was set to zero.
#![allow(
    unsafe_code,
    reason = "setting all of it to zero takes as long as a path of a few dimensions"
)]

use core::ptr;

use super::real::Real;

/// Room for [`BLOCK`](super::draw::BLOCK) dimensions of the paths abreast. No vector crosses a
/// cache line.
#[repr(C, align(64))]
pub(super) struct Room<T: Real>(T::Tile);

impl<T: Real> Room<T> {
    pub(super) const NEW: Self = Self(T::TILE);

    /// As many zeros.
    ///
    /// **Panics**: if there is no room for them.
    #[inline(always)]
    pub(super) fn zeros(&mut self, len: usize) -> &mut [T] {
        let room = &mut self.0.as_mut()[..len];
        for element in &mut *room {
            element.write(T::ZERO);
        }
        let zeros: *mut [T] = ptr::from_mut(room) as *mut [T];
        // SAFETY: every element was just written; `MaybeUninit` has the layout of what it holds.
        unsafe { &mut *zeros }
    }
}
