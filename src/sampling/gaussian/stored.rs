//! A [`Gaussian`] as bytes.

use super::{Component, Form, Gaussian};
use crate::sampling::error::GaussianError;
use crate::sampling::real::Real;
use crate::tensor::view;

/// Bytes before the numbers of a stored distribution: six words, zeros.
const HEAD_BYTES: usize = 64;

impl<'a, T: Real> Gaussian<'a, T> {
    /// The distribution that [`to_bytes`](Self::to_bytes) stored, where it lies: nothing is
    /// factored again.
    ///
    /// **Shapes and units**: `bytes` lies on a boundary of the element type's size. Little-endian
    /// `u32`: form (1 diagonal, 2 full, 3 low rank, 4 mixture), dimensions, bytes of an element
    /// beyond four (0 of `f32`, 4 of `f64`), rank, components of a mixture, their form; zeros up to
    /// byte 64; then the numbers: means, standard deviations and what the form adds to them.
    ///
    /// **Errors**: [`GaussianError::Stored`].
    ///
    /// **Cost**: no allocation, no copy; the numbers are not read.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, GaussianError> {
        Self::stored(bytes).ok_or(GaussianError::Stored)
    }

    fn stored(bytes: &'a [u8]) -> Option<Self> {
        let (head, numbers) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let (words, _) = head.as_chunks::<4>();
        let word = |index: usize| u32::from_le_bytes(words[index]);
        let [dim, rank, components] = [1, 3, 4].map(|index| word(index) as usize);
        let single = |form: u32| match form {
            1 => Some(Component::Diagonal),
            2 => Some(Component::Full),
            3 if rank > 0 => Some(Component::LowRank { rank }),
            _ => None,
        };
        let form = match word(0) {
            4 if components > 0 => Form::Mixture { components, of: single(word(5))? },
            form => single(form)?.into(),
        };
        if dim == 0 || word(2) as usize != size_of::<T>() - 4 {
            return None;
        }
        let storage = view::<T>(numbers).filter(|numbers| numbers.len() == form.len(dim))?;
        Some(Self::of(form, dim, storage))
    }

    /// The bytes that [`from_bytes`](Self::from_bytes) reads: the same on every host.
    ///
    /// **Cost**: one allocation.
    #[cfg(feature = "std")]
    pub fn to_bytes(&self) -> Vec<u8> {
        let single = |form: Form| match form {
            Form::Diagonal => (1, 0),
            Form::Full => (2, 0),
            Form::LowRank { rank } => (3, rank),
            Form::Mixture { .. } => (4, 0),
        };
        let (form, mut rank) = single(self.form);
        let (mut components, mut of) = (0, 0);
        if let Form::Mixture { components: count, of: component } = self.form {
            components = count;
            (of, rank) = single(component.into());
        }
        let words = [form, self.dim(), size_of::<T>() - 4, rank, components, of];
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| (*w as u32).to_le_bytes()).collect();
        bytes.resize(HEAD_BYTES, 0);
        for number in self.mean.iter().chain(self.rest) {
            T::put(*number, &mut bytes);
        }
        bytes
    }
}
