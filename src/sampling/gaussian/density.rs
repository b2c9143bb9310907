//! How likely a point is.
//!
//! Owns the log density and the Mahalanobis distance of each form, in `f64` whatever the element
//! type. Its invariant: the same bits on every instruction set.

use core::f64::consts::TAU;

use super::{Form, Gaussian, mixture};
use crate::kernels::Level;
use crate::sampling::cholesky::packed_len;
use crate::sampling::draw::{self, factor_at};
use crate::sampling::error::PointError;
use crate::sampling::real::Real;
use crate::sampling::triangular::{solve, substitute};

/// The squared Mahalanobis distance of a point and the logarithm of the determinant.
pub(super) struct Measure {
    distance2: f64,
    log_determinant: f64,
}

impl Measure {
    /// From pivots of a factor, whose squares make the determinant.
    ///
    /// **Errors**: [`PointError::Singular`] where one of them is zero.
    pub(super) fn new(
        distance2: f64,
        pivots: impl Iterator<Item = f64>,
    ) -> Result<Self, PointError> {
        // The difference of two infinities is a point beyond all others.
        let distance2 = if distance2.is_nan() { f64::INFINITY } else { distance2.max(0.0) };
        Ok(Self { distance2, log_determinant: 2.0 * log_product(pivots)? })
    }

    /// The logarithm of the density, in `dim` dimensions.
    pub(super) fn log_density(&self, dim: usize) -> f64 {
        -0.5 * (self.distance2 + self.log_determinant + dim as f64 * libm::log(TAU))
    }
}

impl<T: Real> Gaussian<'_, T> {
    /// Elements of scratch that [`log_density`](Self::log_density) and
    /// [`mahalanobis`](Self::mahalanobis) need.
    pub fn density_scratch_len(&self) -> usize {
        match self.form() {
            Form::Diagonal => 0,
            Form::LowRank { rank } => rank,
            Form::Full => self.dim(),
            // All components are of one form.
            Form::Mixture { .. } => mixture::component(self, 0).density_scratch_len(),
        }
    }

    /// The natural logarithm of the density at `x`.
    ///
    /// The numbers are the stored ones: of `f32`, whose factor is rounded, the density is that of a
    /// distribution that differs from the one asked for by the condition number times `2^-24`.
    ///
    /// **Shapes and units**: `x` is `[dim]`, in the units of the mean; `scratch` has at least
    /// [`density_scratch_len`](Self::density_scratch_len) elements.
    ///
    /// **Errors**: [`PointError`]; [`PointError::Singular`] where the distribution has no density.
    ///
    /// **Cost**: no allocation; `dim^2 / 2` multiply-adds (full), `2 * dim * rank` (low rank), of a
    /// mixture for each component.
    ///
    /// # Examples
    /// ```
    /// use nowcast::kernels::Level;
    /// use nowcast::sampling::Gaussian;
    ///
    /// let mut storage = [0.0f64; Gaussian::diagonal_len(1)];
    /// let gaussian = Gaussian::diagonal(&[3.0], &[4.0], &mut storage)?;
    /// let density = gaussian.log_density(Level::detect(), &[3.0], &mut []).unwrap();
    /// assert!((density + (2.0f64 * (2.0 * std::f64::consts::PI).sqrt()).ln()).abs() < 1e-15);
    /// # Ok::<(), nowcast::sampling::GaussianError>(())
    /// ```
    pub fn log_density(
        &self,
        level: Level,
        x: &[f64],
        scratch: &mut [f64],
    ) -> Result<f64, PointError> {
        self.check_point(x, scratch)?;
        let Form::Mixture { .. } = self.form() else {
            return self.single_density(level, x, scratch);
        };
        // The largest term is taken out, so that nothing overflows.
        let (mut largest, mut sum) = (f64::NEG_INFINITY, 0.0);
        for (weight, component) in self.weights().iter().zip(self.components()) {
            if weight.to_f64() == 0.0 {
                continue;
            }
            let term = libm::log(weight.to_f64()) + component.single_density(level, x, scratch)?;
            if term > largest {
                sum = sum * libm::exp(largest - term) + 1.0;
                largest = term;
            } else if largest > f64::NEG_INFINITY {
                sum += libm::exp(term - largest);
            }
        }
        Ok(largest + libm::log(sum.max(1.0)))
    }

    /// The Mahalanobis distance of `x` from the mean: how many standard deviations it is away,
    /// correlations taken into account.
    ///
    /// **Shapes and units**: as [`log_density`](Self::log_density); the result has no unit.
    ///
    /// **Errors**: [`PointError`], [`PointError::OfMixture`] among them.
    ///
    /// **Cost**: that of the density.
    pub fn mahalanobis(
        &self,
        level: Level,
        x: &[f64],
        scratch: &mut [f64],
    ) -> Result<f64, PointError> {
        self.check_point(x, scratch)?;
        if let Form::Mixture { .. } = self.form() {
            return Err(PointError::OfMixture);
        }
        Ok(libm::sqrt(self.measure(level, x, scratch)?.distance2))
    }

    fn check_point(&self, x: &[f64], scratch: &[f64]) -> Result<(), PointError> {
        let (expected, got) = (self.dim(), x.len());
        if got != expected {
            return Err(PointError::Length { expected, got });
        }
        if let Some(index) = x.iter().position(|x| !x.is_finite()) {
            return Err(PointError::NotFinite { index });
        }
        let (needed, got) = (self.density_scratch_len(), scratch.len());
        if got < needed { Err(PointError::ScratchTooSmall { needed, got }) } else { Ok(()) }
    }

    fn single_density(
        &self,
        level: Level,
        x: &[f64],
        scratch: &mut [f64],
    ) -> Result<f64, PointError> {
        Ok(self.measure(level, x, scratch)?.log_density(self.dim()))
    }

    /// Of a distribution that is no mixture.
    fn measure(&self, level: Level, x: &[f64], scratch: &mut [f64]) -> Result<Measure, PointError> {
        let dim = self.dim();
        let away = |index: usize| x[index] - self.mean[index].to_f64();
        let rest = &self.rest[dim..];
        match self.form() {
            Form::Full => {
                let y = &mut scratch[..dim];
                for (index, y) in y.iter_mut().enumerate() {
                    *y = away(index);
                }
                substitute(level, rest, dim, y);
                let pivot = |index: usize| factor_at(rest, index, index).to_f64();
                Measure::new(y.iter().map(|y| y * y).sum(), (0..dim).map(pivot))
            }
            Form::LowRank { rank } => self.measure_low_rank(away, rank, &mut scratch[..rank]),
            Form::Diagonal | Form::Mixture { .. } => {
                let deviation = |index: usize| self.rest[index].to_f64();
                let scaled = (0..dim).map(|index| away(index) / deviation(index));
                Measure::new(scaled.map(|y| y * y).sum(), (0..dim).map(deviation))
            }
        }
    }

    /// By the lemmas of Woodbury and of the determinant: `(W W' + D)^-1 = D^-1 - D^-1 W C^-1 W'
    /// D^-1` with the capacitance `C = I + W' D^-1 W`.
    fn measure_low_rank(
        &self,
        away: impl Fn(usize) -> f64,
        rank: usize,
        v: &mut [f64],
    ) -> Result<Measure, PointError> {
        let dim = self.dim();
        let (own, rest) = self.rest[dim..].split_at(dim);
        let (loadings, factor) = rest.split_at(draw::loadings_len(dim, rank));
        if factor[0].to_f64() == 0.0 {
            let index = own.iter().position(|own| own.to_f64() == 0.0).unwrap_or(0);
            return Err(PointError::Singular { index });
        }
        let loading = |row, column| draw::loading_at(loadings, rank, row, column).to_f64();
        let known = own.iter().enumerate().map(|(row, own)| (row, own.to_f64(), away(row)));
        let distance2 = project(known, loading, v);
        let distance2 = unexplained(distance2, factor, v);
        let pivots = (0..rank).map(|row| factor[packed_len(row) + row].to_f64());
        Measure::new(distance2, pivots.chain(own.iter().map(|own| own.to_f64())))
    }
}

/// `W' D^-1 x` of some dimensions, each with its deviation and how far it is from its mean;
/// returns `x' D^-1 x`.
pub(super) fn project(
    known: impl Iterator<Item = (usize, f64, f64)>,
    loading: impl Fn(usize, usize) -> f64,
    v: &mut [f64],
) -> f64 {
    v.fill(0.0);
    let mut distance2 = 0.0;
    for (row, own, away) in known {
        let scaled = away / own;
        distance2 += scaled * scaled;
        for (column, v) in v.iter_mut().enumerate() {
            *v += loading(row, column) / own * scaled;
        }
    }
    distance2
}

/// What the common factors leave of a squared distance. Replaces the projection `v` by `y`, where
/// `L y = v` and `L` is the factor of the capacitance.
pub(super) fn unexplained<F: Real>(distance2: f64, factor: &[F], v: &mut [f64]) -> f64 {
    solve(factor, v);
    distance2 - v.iter().map(|y| y * y).sum::<f64>()
}

/// The logarithm of a product of positive numbers, whose exponents are summed apart.
///
/// **Errors**: [`PointError::Singular`] where one of them is zero.
fn log_product(numbers: impl Iterator<Item = f64>) -> Result<f64, PointError> {
    let (mut product, mut exponents) = (1.0, 0i64);
    for (index, number) in numbers.enumerate() {
        if number <= 0.0 {
            return Err(PointError::Singular { index });
        }
        let (mantissa, exponent) = libm::frexp(number);
        let (mantissa, more) = libm::frexp(product * mantissa);
        product = mantissa;
        exponents += i64::from(exponent) + i64::from(more);
    }
    Ok(libm::log(product) + exponents as f64 * core::f64::consts::LN_2)
}
