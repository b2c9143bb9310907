//! Covariances that follow a stream of observations.
//!
//! Owns [`ExponentialCovariance`]: an exponentially weighted mean and the Cholesky factor of the
//! covariance about it. Its invariant: the state is finite, whatever is observed. It must not know
//! what the observations are.

use super::cholesky::{packed_len, packed_row};
use super::update::rotate;
use crate::kernels::scalar::sqrt_f64;

/// A pivot is at least this part of the standard deviation of its dimension: `2^-20`. Its square is
/// above what [`factor`](super::cholesky::factor) asks of up to 512 dimensions, eight times over.
const FLOOR: f64 = 1.0 / (1 << 20) as f64;

/// Elements smaller than this, `2^-500`, become zero: their squares count for nothing, and
/// arithmetic on what they would decay to is slow.
const NOTHING: f64 = 1.0
    / (1u128 << 125) as f64
    / (1u128 << 125) as f64
    / (1u128 << 125) as f64
    / (1u128 << 125) as f64;

/// Why a covariance was not made, or an observation not taken.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ExponentialError {
    /// There is no dimension.
    Empty,
    /// There are `got` numbers, not `expected`.
    Length {
        /// Numbers for the dimension.
        expected: usize,
        /// Numbers given.
        got: usize,
    },
    /// The storage is shorter than [`ExponentialCovariance::storage_len`].
    StorageTooSmall {
        /// Elements needed.
        needed: usize,
        /// Elements given.
        got: usize,
    },
    /// The decay is not between zero and one, or the half-life not above zero.
    Decay {
        /// The decay.
        value: f64,
    },
    /// This number is infinite or NaN, or so large or far from the mean that its variance is.
    NotFinite {
        /// Its place.
        index: usize,
    },
    /// This variance, or this pivot of the factor, is negative.
    Negative {
        /// Its dimension.
        index: usize,
        /// The variance or the pivot.
        value: f64,
    },
}

impl core::fmt::Display for ExponentialError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Empty => write!(f, "a covariance of no dimension"),
            Self::Length { expected, got } => write!(f, "{got} numbers where {expected} belong"),
            Self::StorageTooSmall { needed, got } => {
                write!(f, "storage of {got} elements, {needed} needed")
            }
            Self::Decay { value } => write!(f, "the decay {value} is not between zero and one"),
            Self::NotFinite { index } => {
                write!(f, "number {index} is not finite, or too far from the mean")
            }
            Self::Negative { index, value } => write!(f, "variance {index} is negative: {value:e}"),
        }
    }
}

impl core::error::Error for ExponentialError {}

/// What the weight of an observation is multiplied by with each later one: between zero and one.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Decay(f64);

impl Decay {
    /// This decay, often called lambda: RiskMetrics takes 0.94 for daily returns.
    ///
    /// **Errors**: [`ExponentialError::Decay`].
    pub fn new(lambda: f64) -> Result<Self, ExponentialError> {
        if lambda > 0.0 && lambda < 1.0 {
            Ok(Self(lambda))
        } else {
            Err(ExponentialError::Decay { value: lambda })
        }
    }

    /// The decay that halves a weight in so many observations: `2^(-1 / half_life)`.
    ///
    /// **Errors**: [`ExponentialError::Decay`], where the half-life is not above zero or the decay
    /// rounds to zero or one.
    pub fn from_half_life(half_life: f64) -> Result<Self, ExponentialError> {
        // What is negative would grow: above one.
        Self::new(libm::exp2(-1.0 / half_life))
    }

    /// Lambda.
    pub const fn value(self) -> f64 {
        self.0
    }
}

/// An exponentially weighted mean, and the Cholesky factor of the covariance about it.
///
/// With the decay `l`, an observation `x` makes of the mean `m` and the covariance `S`
///
/// ```text
/// d  = x - m
/// m' = m + (1 - l) d
/// S' = l S + l (1 - l) d d^T  =  l (S + (1 - l) d d^T)
/// ```
///
/// which is exactly the mean and the covariance of the distribution that is the old one with weight
/// `l` and the observation with weight `1 - l`. So the observation `k` steps back counts
/// `(1 - l) l^k`, and the start `l^n` after `n` observations; weights sum to one, and the
/// covariance is the biased one. The factor follows by one rotation for each column; `S` itself is
/// never formed.
///
/// Variance in a direction that nothing happens in decays without end. A pivot is therefore kept
/// at `2^-20` of the standard deviation of its dimension, which adds at most `2^-40` of a variance
/// to it: the factor can always be inverted, and a dimension that follows from others keeps a
/// millionth of a movement of its own. A dimension that does not move at all has a deviation that
/// decays to zero itself; below `2^-500`, elements of the factor become zero.
///
/// Rounding errors decay like everything else: after any number of observations the factor is
/// within about `dim * 2^-52 / (1 - l)` of the exact one (tests hold it to that).
///
/// # Examples
/// ```
/// use nowcast::sampling::{Decay, ExponentialCovariance};
///
/// const STORAGE: usize = ExponentialCovariance::storage_len(2);
/// let decay = Decay::from_half_life(50.0)?;
/// let mut storage = [0.0; STORAGE];
/// let mut covariance =
///     ExponentialCovariance::from_variances(&[0.0, 0.0], &[1.0, 1.0], decay, &mut storage)?;
/// for step in 0..1000 {
///     let x = (step * 7 % 11) as f64 - 5.0;
///     covariance.observe(&[x, 2.0 * x + 1.0])?;
/// }
/// assert!((covariance.covariance(0, 1) - 2.0 * covariance.covariance(0, 0)).abs() < 1e-3);
/// assert!(covariance.observe(&[f64::NAN, 0.0]).is_err());
/// assert_eq!(covariance.observations(), 1000);
/// # Ok::<(), nowcast::sampling::ExponentialError>(())
/// ```
#[derive(Debug)]
pub struct ExponentialCovariance<'a> {
    decay: f64,
    /// Roots of the decay and of what is one with it.
    roots: [f64; 2],
    observations: u64,
    mean: &'a mut [f64],
    /// Followed on their own, for the floor of the pivots.
    variances: &'a mut [f64],
    work: &'a mut [f64],
    factor: &'a mut [f64],
}

impl<'a> ExponentialCovariance<'a> {
    /// Elements of storage for `dim` dimensions: `dim * (dim + 1) / 2 + 3 * dim`.
    pub const fn storage_len(dim: usize) -> usize {
        packed_len(dim).saturating_add(dim.saturating_mul(3))
    }

    /// A start without correlations. A variance of zero is allowed.
    ///
    /// To start from the first observation alone, give it as the mean and variances of zero.
    ///
    /// **Shapes and units**: `mean` and `variances` are `[dim]`; `storage` has at least
    /// [`storage_len`](Self::storage_len) elements.
    ///
    /// **Errors**: any [`ExponentialError`] but `Decay`; `storage` is unchanged.
    ///
    /// **Cost**: no allocation; `dim^2`.
    pub fn from_variances(
        mean: &[f64],
        variances: &[f64],
        decay: Decay,
        storage: &'a mut [f64],
    ) -> Result<Self, ExponentialError> {
        let dim = mean.len();
        check(mean, dim)?;
        check(variances, dim)?;
        let negative = |(index, value): (usize, &f64)| (*value < 0.0).then_some((index, *value));
        if let Some((index, value)) = variances.iter().enumerate().find_map(negative) {
            return Err(ExponentialError::Negative { index, value });
        }
        let made = Self::of(mean, decay, storage)?;
        made.factor.fill(0.0);
        made.variances.copy_from_slice(variances);
        for (index, variance) in variances.iter().enumerate() {
            made.factor[packed_len(index) + index] = sqrt_f64(*variance);
        }
        Ok(made)
    }

    /// A start from the factor of a covariance.
    ///
    /// **Shapes and units**: `mean` is `[dim]`, `factor` the lower triangle of `[dim, dim]`, packed
    /// by rows; `storage` has at least [`storage_len`](Self::storage_len) elements.
    ///
    /// **Errors**: any [`ExponentialError`] but `Decay`; `storage` is unchanged.
    ///
    /// **Cost**: no allocation; `dim^2`.
    pub fn from_factor(
        mean: &[f64],
        factor: &[f64],
        decay: Decay,
        storage: &'a mut [f64],
    ) -> Result<Self, ExponentialError> {
        let dim = mean.len();
        check(mean, dim)?;
        check(factor, packed_len(dim))?;
        for index in 0..dim {
            let row = packed_row(factor, index);
            if row[index] < 0.0 {
                return Err(ExponentialError::Negative { index, value: row[index] });
            }
            if !square(row).is_finite() {
                return Err(ExponentialError::NotFinite { index: packed_len(index) + index });
            }
        }
        let made = Self::of(mean, decay, storage)?;
        made.factor.copy_from_slice(factor);
        for (index, variance) in made.variances.iter_mut().enumerate() {
            *variance = square(packed_row(factor, index));
        }
        Ok(made)
    }

    fn of(mean: &[f64], decay: Decay, storage: &'a mut [f64]) -> Result<Self, ExponentialError> {
        let dim = mean.len();
        let (needed, got) = (Self::storage_len(dim), storage.len());
        let storage =
            storage.get_mut(..needed).ok_or(ExponentialError::StorageTooSmall { needed, got })?;
        let (means, rest) = storage.split_at_mut(dim);
        let (variances, rest) = rest.split_at_mut(dim);
        let (work, factor) = rest.split_at_mut(dim);
        means.copy_from_slice(mean);
        let Decay(decay) = decay;
        let roots = [sqrt_f64(decay), sqrt_f64(1.0 - decay)];
        Ok(Self { decay, roots, observations: 0, mean: means, variances, work, factor })
    }

    /// Takes one observation.
    ///
    /// **Shapes and units**: `x` is `[dim]`.
    ///
    /// **Errors**: [`ExponentialError::Length`]; [`ExponentialError::NotFinite`] with the first
    /// number that is infinite or NaN, or further from the mean than 1e154. The state is unchanged.
    ///
    /// **Cost**: no allocation; `3 * dim^2` multiplications, `dim` square roots.
    ///
    /// **Source**: West, "Updating mean and variance estimates: an improved method",
    /// Communications of the ACM 22(9), 1979, with weights that decay; Finch, "Incremental
    /// calculation of weighted mean and variance", University of Cambridge, 2009, section 9.
    pub fn observe(&mut self, x: &[f64]) -> Result<(), ExponentialError> {
        let dim = self.dim();
        if x.len() != dim {
            return Err(ExponentialError::Length { expected: dim, got: x.len() });
        }
        let fresh = 1.0 - self.decay;
        let later = |variance: f64, d: f64| self.decay * (variance + fresh * (d * d));
        for (index, x) in x.iter().enumerate() {
            let d = x - self.mean[index];
            if !later(self.variances[index], d).is_finite() {
                return Err(ExponentialError::NotFinite { index });
            }
        }
        for (index, x) in x.iter().enumerate() {
            let d = x - self.mean[index];
            self.variances[index] = later(self.variances[index], d);
            self.mean[index] += fresh * d;
            self.work[index] = self.roots[1] * d;
        }
        rotate(self.factor, self.work, self.roots[0]);
        for element in &mut *self.factor {
            if element.abs() < NOTHING {
                *element = 0.0;
            }
        }
        for (index, variance) in self.variances.iter().enumerate() {
            let pivot = &mut self.factor[packed_len(index) + index];
            if *pivot * *pivot < FLOOR * FLOOR * variance {
                *pivot = FLOOR * sqrt_f64(*variance);
            }
        }
        self.observations += 1;
        Ok(())
    }

    /// Dimensions.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Observations taken since the start.
    pub fn observations(&self) -> u64 {
        self.observations
    }

    /// The mean, `[dim]`.
    pub fn mean(&self) -> &[f64] {
        self.mean
    }

    /// The factor of the covariance: the lower triangle of `[dim, dim]`, packed by rows. No pivot
    /// is negative.
    pub fn factor(&self) -> &[f64] {
        self.factor
    }

    /// Element `[row, col]` of the covariance.
    ///
    /// **Panics**: when either is not below [`dim`](Self::dim).
    ///
    /// **Cost**: at most `dim` multiply-adds.
    pub fn covariance(&self, row: usize, col: usize) -> f64 {
        let dim = self.dim();
        assert!(row < dim && col < dim, "element [{row}, {col}] of {dim} dimensions");
        let (a, b) = (packed_row(self.factor, row), packed_row(self.factor, col));
        a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
    }
}

/// Whether there are `expected` numbers, all finite.
fn check(numbers: &[f64], expected: usize) -> Result<(), ExponentialError> {
    if expected == 0 {
        return Err(ExponentialError::Empty);
    }
    if numbers.len() != expected {
        return Err(ExponentialError::Length { expected, got: numbers.len() });
    }
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(index) => Err(ExponentialError::NotFinite { index }),
        None => Ok(()),
    }
}

fn square(row: &[f64]) -> f64 {
    row.iter().fold(0.0, |sum, l| sum + l * l)
}

#[cfg(test)]
mod tests;
