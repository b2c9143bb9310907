//! Weighted sums of the components: exactly, without sampling.

use super::{Form, Gaussian};
use crate::kernels::Level;
use crate::sampling::draw;
use crate::sampling::error::PointError;
use crate::sampling::quantile::normal_quantile;
use crate::sampling::real::Real;
use crate::sampling::triangular::transposed_norm2;

/// The mean and the standard deviation of a weighted sum of components.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation.
    pub std: f64,
}

impl<T: Real> Gaussian<'_, T> {
    /// The mean and the standard deviation of `weights[0] * x[0] + weights[1] * x[1] + ...`: of a
    /// total over the horizon, of a portfolio, of a difference.
    ///
    /// **Shapes and units**: `weights` is `[dim]`.
    ///
    /// **Errors**: [`PointError::Length`], [`PointError::NotFinite`].
    ///
    /// **Cost**: no allocation; `dim^2 / 2` multiply-adds (full), `dim * rank` (low rank), `dim`
    /// (diagonal); of a mixture for each component.
    ///
    /// # Examples
    /// ```
    /// use nowcast::kernels::Level;
    /// use nowcast::sampling::OwnedGaussian;
    ///
    /// let steps = OwnedGaussian::<f64>::full(&[1.0, 2.0], &[4.0, 2.0, 2.0, 4.0])?;
    /// let total = steps.gaussian().linear(Level::detect(), &[1.0, 1.0]).unwrap();
    /// assert_eq!(total.mean, 3.0);
    /// assert!((total.std - 12f64.sqrt()).abs() < 1e-15 * 12.0);
    /// # Ok::<(), nowcast::sampling::GaussianError>(())
    /// ```
    pub fn linear(&self, level: Level, weights: &[f64]) -> Result<Linear, PointError> {
        self.check_weights(weights)?;
        let Form::Mixture { .. } = self.form() else { return Ok(self.single(level, weights)) };
        let parts = || self.weights().iter().zip(self.components());
        let mean = parts().map(|(w, c)| w.to_f64() * c.weighted_mean(weights)).sum::<f64>();
        let variance = parts().map(|(w, c)| {
            let Linear { mean: at, std } = c.single(level, weights);
            w.to_f64() * ((at - mean) * (at - mean) + std * std)
        });
        Ok(Linear { mean, std: libm::sqrt(variance.sum()) })
    }

    /// Elements of scratch that [`linear_quantile`](Self::linear_quantile) needs.
    pub fn linear_scratch_len(&self) -> usize {
        2 * self.weights().len()
    }

    /// The value below which the weighted sum of [`linear`](Self::linear) falls with probability
    /// `p`; of a mixture by bisection, to the last bits of an `f64`.
    ///
    /// **Shapes and units**: `scratch` has at least
    /// [`linear_scratch_len`](Self::linear_scratch_len) elements: none but for a mixture.
    ///
    /// **Errors**: those of [`linear`](Self::linear), [`PointError::ScratchTooSmall`].
    ///
    /// **Cost**: that of [`linear`](Self::linear) and a quantile; of a mixture, at most 64 times an
    /// error function for each component.
    pub fn linear_quantile(
        &self,
        level: Level,
        weights: &[f64],
        p: f64,
        scratch: &mut [f64],
    ) -> Result<f64, PointError> {
        self.check_weights(weights)?;
        let (needed, got) = (self.linear_scratch_len(), scratch.len());
        if got < needed {
            return Err(PointError::ScratchTooSmall { needed, got });
        }
        if let Form::Mixture { .. } = self.form() {
            let parts = scratch[..needed].as_chunks_mut::<2>().0;
            for (part, component) in parts.iter_mut().zip(self.components()) {
                let Linear { mean, std } = component.single(level, weights);
                *part = [mean, std];
            }
            return Ok(mixture_quantile(self.weights(), |index| parts[index], p));
        }
        let Linear { mean, std } = self.single(level, weights);
        Ok(mean + normal_quantile(p) * std)
    }

    /// The value below which dimension `index` falls with probability `p`: exact, without
    /// sampling (of a mixture by bisection, to the last bits of an `f64`).
    ///
    /// Zero and one give the infinities (NaN if the deviation is zero), what is no probability
    /// NaN. See [`normal_quantile`].
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    ///
    /// **Cost**: no allocation; one quantile, of a mixture at most 64 times an error function for
    /// each component. For many dimensions work the quantile out once and use
    /// [`mean`](Self::mean) and [`marginal_std`](Self::marginal_std).
    pub fn marginal_quantile(&self, index: usize, p: f64) -> f64 {
        if let Form::Mixture { .. } = self.form() {
            let part = |component: usize| {
                let component = super::mixture::component(self, component);
                [component.mean[index], component.marginal_std(index)].map(T::to_f64)
            };
            return mixture_quantile(self.weights(), part, p);
        }
        self.mean[index].to_f64() + normal_quantile(p) * self.marginal_std(index).to_f64()
    }

    fn check_weights(&self, weights: &[f64]) -> Result<(), PointError> {
        let (expected, got) = (self.dim(), weights.len());
        if got != expected {
            return Err(PointError::Length { expected, got });
        }
        match weights.iter().position(|weight| !weight.is_finite()) {
            Some(index) => Err(PointError::NotFinite { index }),
            None => Ok(()),
        }
    }

    fn weighted_mean(&self, weights: &[f64]) -> f64 {
        weights.iter().zip(self.mean).map(|(w, mean)| w * mean.to_f64()).sum()
    }

    /// Of a distribution that is no mixture.
    fn single(&self, level: Level, weights: &[f64]) -> Linear {
        let dim = self.dim();
        let rest = &self.rest[dim..];
        let independent = |deviations: &[T]| -> f64 {
            let parts = weights.iter().zip(deviations).map(|(w, own)| w * own.to_f64());
            parts.map(|part| part * part).sum()
        };
        let variance = match self.form() {
            Form::Full => transposed_norm2(level, rest, weights),
            Form::LowRank { rank } => {
                let (own, loadings) = rest.split_at(dim);
                let of_factor = |column: usize| -> f64 {
                    let loading = |row| draw::loading_at(loadings, rank, row, column).to_f64();
                    weights.iter().enumerate().map(|(row, w)| w * loading(row)).sum()
                };
                let common: f64 = (0..rank).map(of_factor).map(|part| part * part).sum();
                common + independent(own)
            }
            Form::Diagonal | Form::Mixture { .. } => independent(self.rest),
        };
        Linear { mean: self.weighted_mean(weights), std: libm::sqrt(variance) }
    }
}

/// The probability that a mixture of normals, `[mean, deviation]` each, is at most `x`.
fn mixture_below<T: Real>(weights: &[T], part: &impl Fn(usize) -> [f64; 2], x: f64) -> f64 {
    let below = |index: usize| {
        let [mean, std] = part(index);
        if std > 0.0 {
            0.5 * libm::erfc((mean - x) / std * core::f64::consts::FRAC_1_SQRT_2)
        } else {
            f64::from(x >= mean)
        }
    };
    weights.iter().enumerate().map(|(index, weight)| weight.to_f64() * below(index)).sum()
}

/// The quantile of a mixture of normals, between the least and the largest of its components'.
fn mixture_quantile<T: Real>(weights: &[T], part: impl Fn(usize) -> [f64; 2], p: f64) -> f64 {
    let z = normal_quantile(p);
    let quantiles =
        (0..weights.len()).filter(|index| weights[*index].to_f64() > 0.0).map(|index| {
            let [mean, std] = part(index);
            mean + z * std
        });
    let (low, high) = quantiles
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if !z.is_finite() || low > high {
        // Infinite, but for constants, which have no place beyond all probability.
        return if low <= high { z } else { f64::NAN };
    }
    if mixture_below(weights, &part, low) >= p {
        return low;
    }
    let (mut low, mut high) = (order(low), order(high));
    loop {
        let middle = low.midpoint(high);
        if middle <= low || middle >= high {
            return ordered(high);
        }
        let below = mixture_below(weights, &part, ordered(middle)) < p;
        if below { low = middle } else { high = middle }
    }
}

/// Where a number stands among all of its type.
fn order(x: f64) -> i64 {
    let bits = x.to_bits().cast_signed();
    bits ^ ((bits >> 63) & i64::MAX)
}

/// The number that stands there.
fn ordered(place: i64) -> f64 {
    f64::from_bits((place ^ ((place >> 63) & i64::MAX)).cast_unsigned())
}
