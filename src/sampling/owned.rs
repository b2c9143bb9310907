//! A distribution that owns its memory.
//!
//! Owns the allocation, for set-up and for programs that have a heap.

use super::error::GaussianError;
use super::gaussian::{Form, Gaussian, check_len};

/// A [`Gaussian`] that owns its memory.
///
/// # Examples
/// ```
/// use nowcast::sampling::OwnedGaussian;
///
/// let owned = OwnedGaussian::full(&[0.0, 0.0], &[1.0, 0.5, 0.5, 1.0])?;
/// assert_eq!(owned.gaussian().marginal_quantile(1, 0.5), 0.0);
/// # Ok::<(), nowcast::sampling::GaussianError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OwnedGaussian {
    form: Form,
    dim: usize,
    storage: Box<[f32]>,
}

impl OwnedGaussian {
    /// See [`Gaussian::full`].
    ///
    /// **Errors**: as there.
    ///
    /// **Cost**: two allocations, one of them freed.
    pub fn full(mean: &[f64], covariance: &[f64]) -> Result<Self, GaussianError> {
        let dim = mean.len();
        check_len(dim, dim.saturating_mul(dim), covariance.len())?;
        let mut storage = vec![0.0; Gaussian::full_len(dim)].into_boxed_slice();
        let mut scratch = vec![0.0; Gaussian::full_scratch_len(dim)];
        Gaussian::full(mean, covariance, &mut storage, &mut scratch)?;
        Ok(Self { form: Form::Full, dim, storage })
    }

    /// See [`Gaussian::diagonal`].
    ///
    /// **Errors**: as there.
    ///
    /// **Cost**: one allocation.
    pub fn diagonal(mean: &[f64], variances: &[f64]) -> Result<Self, GaussianError> {
        let dim = mean.len();
        check_len(dim, dim, variances.len())?;
        let mut storage = vec![0.0; Gaussian::diagonal_len(dim)].into_boxed_slice();
        Gaussian::diagonal(mean, variances, &mut storage)?;
        Ok(Self { form: Form::Diagonal, dim, storage })
    }

    /// A copy of a distribution, in storage of its own.
    pub(super) fn copied(gaussian: &Gaussian<'_>) -> Self {
        let (form, parts) = gaussian.parts();
        Self { form, dim: gaussian.dim(), storage: parts.concat().into_boxed_slice() }
    }

    /// The distribution, to draw from.
    ///
    /// **Cost**: no allocation.
    pub fn gaussian(&self) -> Gaussian<'_> {
        Gaussian::of(self.form, self.dim, &self.storage)
    }
}
