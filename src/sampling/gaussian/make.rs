//! From means and covariances to a [`Gaussian`].
//!
//! Owns the checks of what is given and the order of what is stored. What is worked, is worked in
//! `f64` in one fixed order and rounded to the element type once: the same bits on every host.

use super::{Component, Form, Gaussian};
use crate::kernels::Level;
use crate::kernels::scalar::fma_f64;
use crate::sampling::cholesky::{self, BadPivot, packed_len, packed_row};
use crate::sampling::draw;
use crate::sampling::error::GaussianError;
use crate::sampling::real::Real;
use crate::sampling::semidefinite::{factor_semidefinite, semidefinite_scratch_len};

/// How far from symmetric a covariance may be: of the geometric mean of the two variances, about
/// one part in a million, which is what single precision leaves of it.
pub(super) const ASYMMETRY: f64 = 1.0 / (1 << 20) as f64;

/// What is done with a covariance that is not positive definite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum OnSingular {
    /// It is refused, and the pivot named.
    #[default]
    Refuse,
    /// This variance is added to that of every dimension first. What is then not positive definite
    /// is refused.
    Jitter(f64),
    /// It is accepted if it is positive semi-definite up to rounding: factored by pivoting, so
    /// that what depends on other dimensions follows them exactly and what is constant stays so.
    /// What is indefinite is refused.
    SemiDefinite,
}

impl OnSingular {
    /// Elements of scratch that the factorization of `dim` dimensions needs.
    pub const fn scratch_len(self, dim: usize) -> usize {
        match self {
            Self::SemiDefinite => Gaussian::semidefinite_scratch_len(dim),
            Self::Refuse | Self::Jitter(_) => Gaussian::full_scratch_len(dim),
        }
    }
}

/// Lengths of storage and scratch, the same for both element types.
impl Gaussian<'_> {
    /// Elements of storage for a full covariance of `dim` dimensions: about `dim^2 / 2`.
    pub const fn full_len(dim: usize) -> usize {
        draw::factor_len(dim).saturating_add(Self::diagonal_len(dim))
    }

    /// Elements of scratch that the factorization of `dim` dimensions needs.
    pub const fn full_scratch_len(dim: usize) -> usize {
        packed_len(dim)
    }

    /// Elements of scratch that [`OnSingular::SemiDefinite`] needs.
    pub const fn semidefinite_scratch_len(dim: usize) -> usize {
        packed_len(dim).saturating_add(semidefinite_scratch_len(dim))
    }

    /// Elements of storage for `dim` independent dimensions.
    pub const fn diagonal_len(dim: usize) -> usize {
        dim.saturating_mul(2)
    }

    /// Elements of storage for `rank` common factors and a part of its own of each of `dim`
    /// dimensions.
    pub const fn low_rank_len(dim: usize, rank: usize) -> usize {
        dim.saturating_mul(3)
            .saturating_add(draw::loadings_len(dim, rank))
            .saturating_add(packed_len(rank))
    }

    /// Elements of scratch that [`low_rank`](Self::low_rank) needs.
    pub const fn low_rank_scratch_len(rank: usize) -> usize {
        packed_len(rank)
    }

    /// Elements of storage for a mixture of as many components, of `component_len` elements each:
    /// [`full_len`](Self::full_len), for example.
    pub const fn mixture_len(dim: usize, components: usize, component_len: usize) -> usize {
        components
            .saturating_mul(component_len.saturating_add(2))
            .saturating_add(Self::diagonal_len(dim))
    }
}

impl<'a, T: Real> Gaussian<'a, T> {
    /// A distribution with a full covariance, which must be positive definite.
    ///
    /// The lower triangle is the one that counts. See [`full_or`](Self::full_or) for a covariance
    /// that may be singular.
    ///
    /// **Shapes and units**: `mean` is `[dim]`, `covariance` `[dim, dim]`, row-major; `storage` and
    /// `scratch` have at least [`full_len`](Self::full_len) and
    /// [`full_scratch_len`](Self::full_scratch_len) elements.
    ///
    /// **Errors**: any [`GaussianError`] that speaks of a mean or a covariance; `storage` is
    /// unchanged, `scratch` is not.
    ///
    /// **Cost**: no allocation; `dim^3 / 6` multiply-adds.
    pub fn full(
        level: Level,
        mean: &[f64],
        covariance: &[f64],
        storage: &'a mut [T],
        scratch: &mut [f64],
    ) -> Result<Self, GaussianError> {
        Self::full_or(level, OnSingular::Refuse, mean, covariance, storage, scratch)
    }

    /// A distribution with a full covariance, and what to do if that is not positive definite.
    ///
    /// **Shapes and units**: as [`full`](Self::full); `scratch` has at least
    /// [`OnSingular::scratch_len`] elements.
    ///
    /// **Errors**: as there, and [`GaussianError::Jitter`].
    ///
    /// **Cost**: no allocation; `dim^3 / 6` multiply-adds, four times as many by pivoting.
    ///
    /// # Examples
    /// ```
    /// use nowcast::kernels::Level;
    /// use nowcast::sampling::{Gaussian, GaussianError, OnSingular};
    ///
    /// // The second dimension is twice the first.
    /// let covariance = [1.0, 2.0, 2.0, 4.0];
    /// let mut storage = [0.0f64; Gaussian::full_len(2)];
    /// let mut scratch = [0.0; Gaussian::semidefinite_scratch_len(2)];
    /// let level = Level::detect();
    /// let refused = Gaussian::full(level, &[0.0; 2], &covariance, &mut storage, &mut scratch).err();
    /// assert_eq!(refused, Some(GaussianError::NotPositiveDefinite { pivot: 1, value: 0.0 }));
    /// let accepted = OnSingular::SemiDefinite;
    /// Gaussian::full_or(level, accepted, &[0.0; 2], &covariance, &mut storage, &mut scratch)?;
    /// # Ok::<(), GaussianError>(())
    /// ```
    pub fn full_or(
        level: Level,
        on_singular: OnSingular,
        mean: &[f64],
        covariance: &[f64],
        storage: &'a mut [T],
        scratch: &mut [f64],
    ) -> Result<Self, GaussianError> {
        let dim = mean.len();
        check_len(dim, dim.saturating_mul(dim), covariance.len())?;
        let storage = take(storage, Gaussian::full_len(dim))?;
        let pivoting = on_singular == OnSingular::SemiDefinite;
        let scratch = take_scratch(scratch, on_singular.scratch_len(dim))?;
        let jitter = match on_singular {
            OnSingular::Jitter(jitter) => jitter,
            _ => 0.0,
        };
        if !(jitter >= 0.0 && jitter.is_finite()) {
            return Err(GaussianError::Jitter { value: jitter });
        }
        check_mean::<T>(mean)?;
        check_covariance::<T>(dim, covariance, jitter, pivoting)?;

        let (triangle, scratch) = scratch.split_at_mut(packed_len(dim));
        for (row, elements) in covariance.chunks_exact(dim).enumerate() {
            let to = &mut triangle[packed_len(row)..][..=row];
            to.copy_from_slice(&elements[..=row]);
            to[row] += jitter;
        }
        let factored = if pivoting {
            factor_semidefinite(level, triangle, dim, scratch).map(|_| ())
        } else {
            cholesky::factor(level, triangle, dim)
        };
        factored.map_err(|BadPivot { pivot, value }| GaussianError::NotPositiveDefinite {
            pivot,
            value,
        })?;

        let (head, factor) = storage.split_at_mut(Gaussian::diagonal_len(dim));
        write_head(mean, covariance.iter().step_by(dim + 1).map(|x| x + jitter), head);
        draw::pack((0..dim).map(|row| packed_row(triangle, row)), factor);
        Ok(Self::of(Form::Full, dim, storage))
    }

    /// A distribution with a full covariance, given its lower triangular factor: nothing is
    /// factored. So a factor that follows a stream
    /// ([`ExponentialCovariance`](crate::sampling::ExponentialCovariance)) is drawn from as it is.
    ///
    /// **Shapes and units**: `mean` is `[dim]`; `factor` the lower triangle of `[dim, dim]`, row by
    /// row, each up to its diagonal, which is not negative; `storage` has at least
    /// [`full_len`](Self::full_len) elements.
    ///
    /// **Errors**: [`GaussianError::Empty`], [`GaussianError::Length`],
    /// [`GaussianError::StorageTooSmall`], [`GaussianError::MeanNotFinite`],
    /// [`GaussianError::NotFinite`], [`GaussianError::NotPositiveDefinite`] for a pivot below zero;
    /// `storage` is unchanged.
    ///
    /// **Cost**: no allocation; `dim^2 / 2` multiply-adds and a copy.
    ///
    /// # Examples
    /// ```
    /// use nowcast::sampling::{Decay, ExponentialCovariance, Gaussian};
    ///
    /// let mut state = [0.0; ExponentialCovariance::storage_len(2)];
    /// let decay = Decay::from_half_life(20.0).unwrap();
    /// let mut errors =
    ///     ExponentialCovariance::from_variances(&[0.0; 2], &[1.0; 2], decay, &mut state).unwrap();
    /// errors.observe(&[0.5, 0.75]).unwrap();
    ///
    /// let mut storage = [0.0f32; Gaussian::full_len(2)];
    /// let gaussian = Gaussian::from_factor(errors.mean(), errors.factor(), &mut storage)?;
    /// assert!((f64::from(gaussian.marginal_std(1)).powi(2) - errors.covariance(1, 1)).abs() < 1e-6);
    /// # Ok::<(), nowcast::sampling::GaussianError>(())
    /// ```
    pub fn from_factor(
        mean: &[f64],
        factor: &[f64],
        storage: &'a mut [T],
    ) -> Result<Self, GaussianError> {
        let dim = mean.len();
        check_len(dim, packed_len(dim), factor.len())?;
        let storage = take(storage, Gaussian::full_len(dim))?;
        check_mean::<T>(mean)?;
        let variance = |row: usize| packed_row(factor, row).iter().map(|l| l * l).sum::<f64>();
        for row in 0..dim {
            let pivot = packed_row(factor, row)[row];
            if pivot < 0.0 {
                return Err(GaussianError::NotPositiveDefinite { pivot: row, value: pivot });
            }
            // No element is larger than the deviation.
            if !deviation::<T>(variance(row)).to_f64().is_finite() {
                return Err(GaussianError::NotFinite { row, col: row });
            }
        }
        let (head, packed) = storage.split_at_mut(Gaussian::diagonal_len(dim));
        write_head(mean, (0..dim).map(variance), head);
        draw::pack((0..dim).map(|row| packed_row(factor, row)), packed);
        Ok(Self::of(Form::Full, dim, storage))
    }

    /// A distribution of independent dimensions. A variance of zero is a constant.
    ///
    /// **Shapes and units**: `mean` and `variances` are `[dim]`; `storage` has at least
    /// [`diagonal_len`](Self::diagonal_len) elements.
    ///
    /// **Errors**: any [`GaussianError`] that speaks of a mean or a variance; `storage` is
    /// unchanged.
    ///
    /// **Cost**: no allocation; one square root a dimension.
    ///
    /// # Examples
    /// ```
    /// use nowcast::sampling::{Gaussian, GaussianError};
    ///
    /// let mut storage = [0.0f32; Gaussian::diagonal_len(2)];
    /// let gaussian = Gaussian::diagonal(&[1.0, 2.0], &[9.0, 0.0], &mut storage)?;
    /// assert_eq!((gaussian.marginal_std(0), gaussian.marginal_std(1)), (3.0, 0.0));
    ///
    /// let refused = Gaussian::diagonal(&[1.0], &[-1.0], &mut storage).err();
    /// assert_eq!(refused, Some(GaussianError::NegativeVariance { index: 0, value: -1.0 }));
    /// # Ok::<(), GaussianError>(())
    /// ```
    pub fn diagonal(
        mean: &[f64],
        variances: &[f64],
        storage: &'a mut [T],
    ) -> Result<Self, GaussianError> {
        let dim = mean.len();
        check_len(dim, dim, variances.len())?;
        let storage = take(storage, Gaussian::diagonal_len(dim))?;
        check_mean::<T>(mean)?;
        check_variances::<T>(variances)?;
        write_head(mean, variances.iter().copied(), storage);
        Ok(Self::of(Form::Diagonal, dim, storage))
    }

    /// A distribution whose covariance is `W W' + D`: `rank` common factors with loadings `W`, and
    /// a part of its own of each dimension with variance `D`, which may be zero.
    ///
    /// **Shapes and units**: `mean` and `variances` are `[dim]`, `loadings` `[dim, rank]`,
    /// row-major; `storage` and `scratch` have at least [`low_rank_len`](Self::low_rank_len) and
    /// [`low_rank_scratch_len`](Self::low_rank_scratch_len) elements.
    ///
    /// **Errors**: any [`GaussianError`] that speaks of a mean, a loading or a variance; `storage`
    /// is unchanged, `scratch` is not.
    ///
    /// **Cost**: no allocation; `dim * rank^2 / 2 + rank^3 / 6` multiply-adds.
    ///
    /// # Examples
    /// ```
    /// use nowcast::kernels::Level;
    /// use nowcast::sampling::Gaussian;
    ///
    /// let level = Level::detect();
    /// let mut storage = [0.0f32; Gaussian::low_rank_len(3, 1)];
    /// let mut scratch = [0.0; Gaussian::low_rank_scratch_len(1)];
    /// let (loadings, variances) = ([3.0, 0.0, 1.0], [16.0, 1.0, 0.0]);
    /// let gaussian =
    ///     Gaussian::low_rank(level, &[0.0; 3], &loadings, &variances, &mut storage, &mut scratch)?;
    /// assert_eq!(gaussian.marginal_std(0), 5.0);
    /// # Ok::<(), nowcast::sampling::GaussianError>(())
    /// ```
    pub fn low_rank(
        level: Level,
        mean: &[f64],
        loadings: &[f64],
        variances: &[f64],
        storage: &'a mut [T],
        scratch: &mut [f64],
    ) -> Result<Self, GaussianError> {
        let dim = mean.len();
        check_len(dim, dim, variances.len())?;
        let rank = loadings.len() / dim;
        check_len(rank, rank * dim, loadings.len())?;
        let storage = take(storage, Gaussian::low_rank_len(dim, rank))?;
        let scratch = take_scratch(scratch, Gaussian::low_rank_scratch_len(rank))?;
        check_mean::<T>(mean)?;
        check_variances::<T>(variances)?;
        let row = |index: usize| &loadings[index * rank..][..rank];
        let variance =
            |index: usize| row(index).iter().fold(variances[index], |sum, w| fma_f64(*w, *w, sum));
        for index in 0..dim {
            let fits = |w: &f64| T::from_f64(*w).to_f64().is_finite();
            if let Some(col) = row(index).iter().position(|w| !fits(w)) {
                return Err(GaussianError::NotFinite { row: index, col });
            }
            if !deviation::<T>(variance(index)).to_f64().is_finite() {
                return Err(GaussianError::NotFinite { row: index, col: index });
            }
        }
        start_capacitance(scratch, rank);
        for (index, variance) in variances.iter().enumerate() {
            // Of the numbers that are stored.
            let loadings = row(index);
            let loading = |column: usize| T::from_f64(loadings[column]).to_f64();
            add_capacitance(scratch, rank, loading, deviation::<T>(*variance).to_f64());
        }

        let (head, rest) = storage.split_at_mut(Gaussian::diagonal_len(dim));
        write_head(mean, (0..dim).map(variance), head);
        let (own, rest) = rest.split_at_mut(dim);
        for (to, variance) in own.iter_mut().zip(variances) {
            *to = deviation(*variance);
        }
        let (packed, factor) = rest.split_at_mut(draw::loadings_len(dim, rank));
        draw::pack_loadings(loadings, rank, packed);
        write_capacitance(level, own, rank, scratch, factor);
        Ok(Self::of(Form::LowRank { rank }, dim, storage))
    }

    /// A mixture: each path is drawn from one of the components, chosen with the probability that
    /// is its weight's share of all.
    ///
    /// **Shapes and units**: `weights` and `components` are as many; the components are all
    /// diagonal, all full, or all of low rank and one rank, of the same dimensions; `storage` has at
    /// least [`mixture_len`](Self::mixture_len) elements, to which they are copied.
    ///
    /// **Errors**: [`GaussianError::Empty`], [`GaussianError::Length`],
    /// [`GaussianError::Weight`], [`GaussianError::Components`],
    /// [`GaussianError::StorageTooSmall`]; `storage` is unchanged.
    ///
    /// **Cost**: no allocation; copies the components.
    ///
    /// # Examples
    /// ```
    /// use nowcast::sampling::Gaussian;
    ///
    /// let (mut calm, mut storm) = ([0.0f32; Gaussian::diagonal_len(1)], [0.0; 2]);
    /// let calm = Gaussian::diagonal(&[1.0], &[1.0], &mut calm)?;
    /// let storm = Gaussian::diagonal(&[5.0], &[1.0], &mut storm)?;
    /// let mut storage = [0.0; Gaussian::mixture_len(1, 2, Gaussian::diagonal_len(1))];
    /// let mixture = Gaussian::mixture(&[3.0, 1.0], &[calm, storm], &mut storage)?;
    /// assert_eq!((mixture.mean()[0], mixture.marginal_std(0)), (2.0, 2.0));
    /// # Ok::<(), nowcast::sampling::GaussianError>(())
    /// ```
    pub fn mixture(
        weights: &[f64],
        components: &[Gaussian<'_, T>],
        storage: &'a mut [T],
    ) -> Result<Self, GaussianError> {
        let [first, ..] = components else { return Err(GaussianError::Empty) };
        check_len(1, components.len(), weights.len())?;
        let dim = first.dim();
        let of = match first.form {
            Form::Diagonal => Component::Diagonal,
            Form::Full => Component::Full,
            Form::LowRank { rank } => Component::LowRank { rank },
            Form::Mixture { .. } => return Err(GaussianError::Components { index: 0 }),
        };
        let other = |c: &Gaussian<'_, T>| c.form != first.form || c.dim() != dim;
        if let Some(index) = components.iter().position(other) {
            return Err(GaussianError::Components { index });
        }
        let form = Form::Mixture { components: components.len(), of };
        let storage = take(storage, form.len(dim))?;
        let bad = |weight: &f64| !(*weight >= 0.0 && weight.is_finite());
        if let Some(index) = weights.iter().position(bad) {
            return Err(GaussianError::Weight { index, value: weights[index] });
        }
        let total = weights.iter().sum::<f64>();
        if !(total > 0.0 && total.is_finite()) {
            return Err(GaussianError::Weight { index: 0, value: total });
        }

        let (head, rest) = storage.split_at_mut(2 * dim + 2 * weights.len());
        mixture_head(weights, |index| components[index], dim, head);
        for (to, component) in rest.chunks_exact_mut(Form::from(of).len(dim)).zip(components) {
            to[..dim].copy_from_slice(component.mean);
            to[dim..].copy_from_slice(component.rest);
        }
        Ok(Self::of(form, dim, storage))
    }
}

/// Writes the moments of a mixture, the shares that its weights are of all, and these summed.
pub(super) fn mixture_head<'c, T: Real + 'c>(
    weights: &[f64],
    component: impl Fn(usize) -> Gaussian<'c, T>,
    dim: usize,
    head: &mut [T],
) {
    let total = weights.iter().sum::<f64>();
    let (mean, rest) = head.split_at_mut(dim);
    let (deviations, rest) = rest.split_at_mut(dim);
    for (index, (mean, std)) in mean.iter_mut().zip(deviations).enumerate() {
        let parts = || {
            let shares = weights.iter().map(|weight| weight / total);
            shares.enumerate().map(|(c, share)| (share, component(c)))
        };
        let centre = parts().map(|(w, c)| w * c.mean[index].to_f64()).sum::<f64>();
        let variance = parts().map(|(w, c)| {
            let (away, own) = (c.mean[index].to_f64() - centre, c.marginal_std(index).to_f64());
            w * (away * away + own * own)
        });
        *mean = T::from_f64(centre);
        *std = deviation(variance.sum());
    }
    let (shares, cumulative) = rest.split_at_mut(weights.len());
    let mut sum = 0.0;
    for ((share, cumulative), weight) in shares.iter_mut().zip(cumulative).zip(weights) {
        sum += weight / total;
        *share = T::from_f64(weight / total);
        *cumulative = T::from_f64(sum);
    }
}

/// The capacitance `I + W' D^-1 W` of no dimension, packed.
pub(super) fn start_capacitance(packed: &mut [f64], rank: usize) {
    packed.fill(0.0);
    for row in 0..rank {
        packed[packed_len(row) + row] = 1.0;
    }
}

/// Adds a dimension with these loadings and this deviation of its own.
pub(super) fn add_capacitance(
    packed: &mut [f64],
    rank: usize,
    loading: impl Fn(usize) -> f64,
    own: f64,
) {
    for i in 0..rank {
        let w = loading(i) / own;
        for j in 0..=i {
            packed[packed_len(i) + j] += w * (loading(j) / own);
        }
    }
}

/// Factors a capacitance, which is spoilt, and stores the factor: zeros where there is none, since
/// some deviation is zero or too small for the element type.
pub(super) fn write_capacitance<T: Real>(
    level: Level,
    deviations: &[T],
    rank: usize,
    packed: &mut [f64],
    to: &mut [T],
) {
    let factored = deviations.iter().all(|own| *own > T::ZERO)
        && packed.iter().all(|x| x.is_finite())
        && cholesky::factor(level, packed, rank).is_ok();
    for (to, from) in to.iter_mut().zip(&*packed) {
        *to = T::from_f64(*from);
    }
    if !factored || to.iter().any(|x| !x.to_f64().is_finite()) {
        to.fill(T::ZERO);
    }
}

pub(in crate::sampling) fn check_len(
    dim: usize,
    expected: usize,
    got: usize,
) -> Result<(), GaussianError> {
    if dim == 0 {
        return Err(GaussianError::Empty);
    }
    if got != expected {
        return Err(GaussianError::Length { expected, got });
    }
    Ok(())
}

pub(super) fn take<T>(storage: &mut [T], needed: usize) -> Result<&mut [T], GaussianError> {
    let got = storage.len();
    storage.get_mut(..needed).ok_or(GaussianError::StorageTooSmall { needed, got })
}

pub(super) fn take_scratch(
    scratch: &mut [f64],
    needed: usize,
) -> Result<&mut [f64], GaussianError> {
    let got = scratch.len();
    scratch.get_mut(..needed).ok_or(GaussianError::ScratchTooSmall { needed, got })
}

fn check_mean<T: Real>(mean: &[f64]) -> Result<(), GaussianError> {
    match mean.iter().position(|mean| !T::from_f64(*mean).to_f64().is_finite()) {
        Some(index) => Err(GaussianError::MeanNotFinite { index }),
        None => Ok(()),
    }
}

fn check_variances<T: Real>(variances: &[f64]) -> Result<(), GaussianError> {
    for (index, &value) in variances.iter().enumerate() {
        if value < 0.0 {
            return Err(GaussianError::NegativeVariance { index, value });
        }
        if !deviation::<T>(value).to_f64().is_finite() {
            return Err(GaussianError::NotFinite { row: index, col: index });
        }
    }
    Ok(())
}

fn check_covariance<T: Real>(
    dim: usize,
    covariance: &[f64],
    jitter: f64,
    may_be_zero: bool,
) -> Result<(), GaussianError> {
    if let Some(index) = covariance.iter().position(|element| !element.is_finite()) {
        return Err(GaussianError::NotFinite { row: index / dim, col: index % dim });
    }
    let variance = |index: usize| covariance[index * (dim + 1)] + jitter;
    for pivot in 0..dim {
        let value = variance(pivot);
        if value < 0.0 || (value == 0.0 && !may_be_zero) {
            return Err(GaussianError::NotPositiveDefinite { pivot, value });
        }
        if !deviation::<T>(value).to_f64().is_finite() {
            return Err(GaussianError::NotFinite { row: pivot, col: pivot });
        }
    }
    for row in 0..dim {
        for col in 0..row {
            let difference = covariance[row * dim + col] - covariance[col * dim + row];
            let scale = || libm::sqrt(variance(row)) * libm::sqrt(variance(col));
            if difference != 0.0 && difference.abs() > ASYMMETRY * scale() {
                return Err(GaussianError::NotSymmetric { row, col });
            }
        }
    }
    Ok(())
}

pub(super) fn deviation<T: Real>(variance: f64) -> T {
    T::from_f64(libm::sqrt(variance))
}

fn write_head<T: Real>(mean: &[f64], variances: impl Iterator<Item = f64>, head: &mut [T]) {
    let (means, deviations) = head.split_at_mut(mean.len());
    for (to, mean) in means.iter_mut().zip(mean) {
        *to = T::from_f64(*mean);
    }
    for (to, variance) in deviations.iter_mut().zip(variances) {
        *to = deviation(variance);
    }
}
