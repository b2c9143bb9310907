//! A distribution that owns its memory.
//!
//! Owns the allocation, for set-up and for programs that have a heap.

use super::error::GaussianError;
use super::gaussian::{Form, Gaussian, OnSingular, check_len};
use super::real::Real;
use crate::kernels::Level;

/// A [`Gaussian`] that owns its memory.
///
/// # Examples
/// ```
/// use nowcast::sampling::OwnedGaussian;
///
/// let owned = OwnedGaussian::<f32>::full(&[0.0, 0.0], &[1.0, 0.5, 0.5, 1.0])?;
/// assert_eq!(owned.gaussian().marginal_quantile(1, 0.5), 0.0);
/// # Ok::<(), nowcast::sampling::GaussianError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OwnedGaussian<T = f32> {
    form: Form,
    dim: usize,
    storage: Box<[T]>,
}

impl<T: Real> OwnedGaussian<T> {
    /// See [`Gaussian::full`].
    ///
    /// **Errors**: as there.
    ///
    /// **Cost**: two allocations, one of them freed.
    pub fn full(mean: &[f64], covariance: &[f64]) -> Result<Self, GaussianError> {
        Self::full_or(OnSingular::Refuse, mean, covariance)
    }

    /// See [`Gaussian::full_or`].
    ///
    /// **Errors**: as there.
    ///
    /// **Cost**: two allocations, one of them freed.
    pub fn full_or(
        on_singular: OnSingular,
        mean: &[f64],
        covariance: &[f64],
    ) -> Result<Self, GaussianError> {
        let dim = mean.len();
        check_len(dim, dim.saturating_mul(dim), covariance.len())?;
        let mut scratch = vec![0.0; on_singular.scratch_len(dim)];
        Self::made(Gaussian::full_len(dim), |storage| {
            Gaussian::full_or(Level::detect(), on_singular, mean, covariance, storage, &mut scratch)
        })
    }

    /// See [`Gaussian::diagonal`].
    ///
    /// **Errors**: as there.
    ///
    /// **Cost**: one allocation.
    pub fn diagonal(mean: &[f64], variances: &[f64]) -> Result<Self, GaussianError> {
        check_len(mean.len(), mean.len(), variances.len())?;
        Self::made(Gaussian::diagonal_len(mean.len()), |storage| {
            Gaussian::diagonal(mean, variances, storage)
        })
    }

    /// See [`Gaussian::low_rank`].
    ///
    /// **Errors**: as there.
    ///
    /// **Cost**: two allocations, one of them freed.
    pub fn low_rank(
        mean: &[f64],
        loadings: &[f64],
        variances: &[f64],
    ) -> Result<Self, GaussianError> {
        check_len(mean.len(), mean.len(), variances.len())?;
        let rank = loadings.len() / mean.len();
        let mut scratch = vec![0.0; Gaussian::low_rank_scratch_len(rank)];
        Self::made(Gaussian::low_rank_len(mean.len(), rank), |storage| {
            Gaussian::low_rank(Level::detect(), mean, loadings, variances, storage, &mut scratch)
        })
    }

    /// See [`Gaussian::mixture`].
    ///
    /// **Errors**: as there.
    ///
    /// **Cost**: one allocation.
    pub fn mixture(weights: &[f64], components: &[Gaussian<'_, T>]) -> Result<Self, GaussianError> {
        let [first, ..] = components else { return Err(GaussianError::Empty) };
        let component_len = first.form().len(first.dim());
        let len = Gaussian::mixture_len(first.dim(), components.len(), component_len);
        Self::made(len, |storage| Gaussian::mixture(weights, components, storage))
    }

    /// See [`Gaussian::given`].
    ///
    /// **Errors**: as there.
    ///
    /// **Cost**: two allocations, one of them freed.
    pub fn given(&self, indices: &[usize], values: &[f64]) -> Result<Self, GaussianError> {
        let whole = self.gaussian();
        let mut scratch = vec![0.0; whole.given_scratch_len()];
        let len = whole.len_of(self.dim.saturating_sub(indices.len()));
        Self::made(len, |storage| {
            whole.given(Level::detect(), indices, values, storage, &mut scratch)
        })
    }

    /// See [`Gaussian::marginal`].
    ///
    /// **Errors**: as there.
    ///
    /// **Cost**: two allocations, one of them freed.
    pub fn marginal(&self, indices: &[usize]) -> Result<Self, GaussianError> {
        let whole = self.gaussian();
        let mut scratch = vec![0.0; whole.given_scratch_len()];
        Self::made(whole.len_of(indices.len()), |storage| {
            whole.marginal(Level::detect(), indices, storage, &mut scratch)
        })
    }

    fn made(
        len: usize,
        make: impl for<'s> FnOnce(&'s mut [T]) -> Result<Gaussian<'s, T>, GaussianError>,
    ) -> Result<Self, GaussianError> {
        let mut storage = vec![T::ZERO; len].into_boxed_slice();
        let made = make(&mut storage)?;
        let (form, dim) = (made.form(), made.dim());
        Ok(Self { form, dim, storage })
    }

    /// A copy of a distribution, in storage of its own.
    pub(super) fn copied(gaussian: &Gaussian<'_, T>) -> Self {
        let storage = [gaussian.mean(), gaussian.rest()].concat().into_boxed_slice();
        Self { form: gaussian.form(), dim: gaussian.dim(), storage }
    }

    /// The distribution, to draw from.
    ///
    /// **Cost**: no allocation.
    pub fn gaussian(&self) -> Gaussian<'_, T> {
        Gaussian::of(self.form, self.dim, &self.storage)
    }
}
