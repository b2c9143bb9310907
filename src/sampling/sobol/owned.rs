//! A Sobol sequence that owns its memory.
//!
//! Owns the allocation, for set-up and for programs that have a heap.

use super::{Sobol, SobolError, check_dim};

/// A [`Sobol`] that owns its memory.
///
/// # Examples
/// ```
/// use nowcast::sampling::{OwnedSobol, SobolError};
///
/// assert_eq!(OwnedSobol::new(24)?.sobol().dim(), 24);
/// assert_eq!(OwnedSobol::new(0).err(), Some(SobolError::Empty));
/// # Ok::<(), SobolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OwnedSobol(Box<[u32]>);

impl OwnedSobol {
    /// See [`Sobol::new`].
    ///
    /// **Errors**: [`SobolError::Empty`], [`SobolError::DimTooLarge`].
    ///
    /// **Cost**: one allocation.
    pub fn new(dim: usize) -> Result<Self, SobolError> {
        check_dim(dim)?;
        let mut storage = vec![0; Sobol::storage_len(dim)].into_boxed_slice();
        Sobol::new(dim, &mut storage)?;
        Ok(Self(storage))
    }

    /// The sequence.
    ///
    /// **Cost**: no allocation.
    pub fn sobol(&self) -> Sobol<'_> {
        Sobol::of(&self.0)
    }
}
