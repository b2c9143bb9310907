//! How likely a point is.
//!
//! Owns the log density and the Mahalanobis distance of each form, in `f64` whatever the element
//! type. Its invariant: the same bits on every instruction set.

use core::f64::consts::TAU;

use super::{Form, Gaussian};
use crate::kernels::Level;
use crate::sampling::cholesky::packed_len;
use crate::sampling::draw::{self, factor_at};
use crate::sampling::error::PointError;
use crate::sampling::real::Real;
use crate::sampling::triangular::{solve, substitute};

/// The squared Mahalanobis distance of a point and the logarithm of the determinant.
struct Measure {
    distance2: f64,
    log_determinant: f64,
}

impl<T: Real> Gaussian<'_, T> {
    /// Elements of scratch that [`log_density`](Self::log_density) and
    /// [`mahalanobis`](Self::mahalanobis) need.
    pub fn density_scratch_len(&self) -> usize {
        match self.form() {
            Form::Diagonal => 0,
            Form::LowRank { rank } => rank,
            Form::Full => self.dim(),
            Form::Mixture { .. } => self
                .components()
                .map(|component| component.density_scratch_len())
                .max()
                .unwrap_or(0),
        }
    }

    /// The natural logarithm of the density at `x`.
    ///
    /// The factor is the stored one: of `f32`, whose elements are rounded, the density is that of
    /// the distribution that is drawn, which differs from the one asked for by the condition number
    /// times `2^-24`.
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
        let Measure { distance2, log_determinant } = self.measure(level, x, scratch)?;
        Ok(-0.5 * (distance2 + log_determinant + self.dim() as f64 * libm::log(TAU)))
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
                let pivot = |index: usize| factor_at(rest, index, index).to_f64();
                let determinant = log_product((0..dim).map(pivot))?;
                substitute(level, rest, dim, y);
                let distance2 = y.iter().map(|y| y * y).sum();
                Ok(Measure { distance2, log_determinant: 2.0 * determinant })
            }
            Form::LowRank { rank } => self.measure_low_rank(away, rank, &mut scratch[..rank]),
            Form::Diagonal | Form::Mixture { .. } => {
                let deviation = |index: usize| self.rest[index].to_f64();
                let determinant = log_product((0..dim).map(deviation))?;
                let scaled = (0..dim).map(|index| away(index) / deviation(index));
                let distance2 = scaled.map(|y| y * y).sum();
                Ok(Measure { distance2, log_determinant: 2.0 * determinant })
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
        v.fill(0.0);
        let mut distance2 = 0.0;
        for (index, own) in own.iter().enumerate() {
            let (own, away) = (own.to_f64(), away(index));
            let scaled = away / own;
            distance2 += scaled * scaled;
            for (column, v) in v.iter_mut().enumerate() {
                let loading = draw::loading_at(loadings, rank, index, column).to_f64();
                *v += loading / own * scaled;
            }
        }
        // What the factors explain.
        solve(factor, v);
        distance2 -= v.iter().map(|y| y * y).sum::<f64>();
        let pivots = (0..rank).map(|row| factor[packed_len(row) + row].to_f64());
        let determinant = log_product(pivots.chain(own.iter().map(|own| own.to_f64())))?;
        Ok(Measure { distance2: distance2.max(0.0), log_determinant: 2.0 * determinant })
    }
}

/// The logarithm of a product of positive numbers, whose exponents are summed apart.
///
/// **Errors**: [`PointError::Singular`] where one of them is zero.
pub(super) fn log_product(numbers: impl Iterator<Item = f64>) -> Result<f64, PointError> {
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
