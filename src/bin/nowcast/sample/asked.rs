//! What was asked for, exactly.
//!
//! Owns means, covariances, fourth moments and quantiles of the request, in f64 and worked from the
//! files alone: what is drawn is compared with them, so nothing here comes from what draws.

use nowcast::sampling::normal_quantile;

/// What is left of a variance that the dimensions before determine, relatively: rounding.
const DETERMINED: f64 = 1e-12;

/// Covariances of one normal distribution.
pub(super) enum Covariance {
    /// Variances of independent dimensions.
    Diagonal(Vec<f64>),
    /// All, row-major.
    Dense(Vec<f64>),
}

/// A normal distribution and its probability.
pub(super) struct Component {
    pub(super) weight: f64,
    pub(super) mean: Vec<f64>,
    pub(super) covariance: Covariance,
}

/// One normal distribution, or a mixture of some.
pub(super) struct Asked {
    components: Vec<Component>,
    pub(super) mean: Vec<f64>,
    pub(super) std: Vec<f64>,
}

impl Component {
    pub(super) fn covariance(&self, row: usize, col: usize) -> f64 {
        match &self.covariance {
            Covariance::Diagonal(variances) if row == col => variances[row],
            Covariance::Diagonal(_) => 0.0,
            Covariance::Dense(all) => all[row * self.mean.len() + col],
        }
    }
}

impl Component {
    /// One known dimension after the other; also the logarithm of the density that they have.
    fn given(mut self, known: &[(usize, f64)], is_known: &[bool]) -> (Self, f64) {
        let dim = self.mean.len();
        let before: Vec<f64> = (0..dim).map(|index| self.covariance(index, index)).collect();
        let mut log_density = 0.0;
        for (k, value) in known {
            let (variance, away) = (self.covariance(*k, *k), value - self.mean[*k]);
            // The known ones before it determine it.
            if variance <= DETERMINED * before[*k] {
                continue;
            }
            log_density -= (away * away / variance + (std::f64::consts::TAU * variance).ln()) / 2.0;
            if let Covariance::Dense(all) = &mut self.covariance {
                let row = all[k * dim..][..dim].to_vec();
                for (i, to) in all.chunks_exact_mut(dim).enumerate() {
                    let gain = row[i] / variance;
                    self.mean[i] += gain * away;
                    to.iter_mut().zip(&row).for_each(|(to, x)| *to -= gain * x);
                }
            }
        }
        let left = |all: &[f64]| -> Vec<f64> {
            all.iter().zip(is_known).filter(|(_, known)| !**known).map(|(x, _)| *x).collect()
        };
        let covariance = match &self.covariance {
            Covariance::Diagonal(variances) => Covariance::Diagonal(left(variances)),
            Covariance::Dense(all) => {
                let rows = all.chunks_exact(dim).zip(is_known).filter(|(_, known)| !**known);
                Covariance::Dense(rows.flat_map(|(row, _)| left(row)).collect())
            }
        };
        (Self { mean: left(&self.mean), covariance, ..self }, log_density)
    }
}

impl Asked {
    /// The other dimensions, given that these have these values.
    pub(super) fn given(self, known: &[(usize, f64)]) -> Self {
        let is_known: Vec<bool> =
            (0..self.dim()).map(|index| known.iter().any(|(k, _)| *k == index)).collect();
        let components = self.components.into_iter().map(|c| c.given(known, &is_known));
        let (mut components, densities): (Vec<Component>, Vec<f64>) = components.unzip();
        let largest = densities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (component, density) in components.iter_mut().zip(densities) {
            component.weight *= (density - largest).exp();
        }
        Self::new(components)
    }

    pub(super) fn new(mut components: Vec<Component>) -> Self {
        let total: f64 = components.iter().map(|component| component.weight).sum();
        components.iter_mut().for_each(|component| component.weight /= total);
        let dim = components.first().map_or(0, |component| component.mean.len());
        let mean = |index: usize| components.iter().map(|c| c.weight * c.mean[index]).sum();
        let mean: Vec<f64> = (0..dim).map(mean).collect();
        let mut asked = Self { components, mean, std: Vec::new() };
        // Below zero only by rounding.
        asked.std = (0..dim).map(|index| asked.moment([index; 2]).max(0.0).sqrt()).collect();
        asked
    }

    pub(super) fn dim(&self) -> usize {
        self.mean.len()
    }

    pub(super) fn components(&self) -> &[Component] {
        &self.components
    }

    /// The largest numbers that paths are made of in a dimension: what rounding is relative to.
    pub(super) fn scale(&self, index: usize) -> f64 {
        let of = |c: &Component| c.mean[index].abs() + c.covariance(index, index).sqrt();
        self.components.iter().map(of).fold(self.mean[index].abs() + self.std[index], f64::max)
    }

    /// The expected product of the deviations of two or four dimensions.
    fn moment<const N: usize>(&self, of: [usize; N]) -> f64 {
        let of_component = |c: &Component| {
            let d = of.map(|index| c.mean[index] - self.mean[index]);
            let s = |i: usize, j: usize| c.covariance(of[i], of[j]);
            let product = match N {
                2 => d[0] * d[1] + s(0, 1),
                // All four shifts, two of them with a covariance, or none (Isserlis).
                _ => {
                    let pairs = [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)];
                    let pairs = pairs.map(|(a, b, x, y)| {
                        d[a] * d[b] * s(x, y) + s(a, b) * d[x] * d[y] + s(a, b) * s(x, y)
                    });
                    d.iter().product::<f64>() + pairs.iter().sum::<f64>()
                }
            };
            c.weight * product
        };
        self.components.iter().map(of_component).sum()
    }

    /// Fourth moment over the square of the variance: 3 of a normal distribution.
    pub(super) fn kurtosis(&self, index: usize) -> f64 {
        self.moment([index; 4]) / self.std[index].powi(4)
    }

    /// The correlation, and the variance of that of `n` paths times `n`, where `n` is large.
    ///
    /// `(1 - r^2)^2` of a normal distribution.
    pub(super) fn correlation(&self, row: usize, col: usize) -> (f64, f64) {
        let (a, b) = (self.std[row], self.std[col]);
        let r = (self.moment([row, col]) / (a * b)).clamp(-1.0, 1.0);
        let m22 = self.moment([row, row, col, col]) / (a * b).powi(2);
        let m31 = self.moment([row, row, row, col]) / (a.powi(3) * b);
        let m13 = self.moment([row, col, col, col]) / (a * b.powi(3));
        let (m40, m04) = (self.kurtosis(row), self.kurtosis(col));
        let variance = m22 + r * r / 4.0 * (m40 + m04 + 2.0 * m22) - r * (m31 + m13);
        (r, variance.max(0.0))
    }

    /// The value below which a dimension falls with probability `p`, between zero and one.
    pub(super) fn quantile(&self, index: usize, p: f64) -> f64 {
        let of =
            |c: &Component| c.mean[index] + normal_quantile(p) * c.covariance(index, index).sqrt();
        let quantiles = || self.components.iter().filter(|c| c.weight > 0.0).map(of);
        // That of the mixture is between those of its components.
        let mut low = quantiles().fold(f64::INFINITY, f64::min);
        let mut high = quantiles().fold(f64::NEG_INFINITY, f64::max);
        for _ in 0..100 {
            let middle = low + (high - low) / 2.0;
            if self.below(index, middle) < p { low = middle } else { high = middle }
        }
        low + (high - low) / 2.0
    }

    /// The probability below `x`.
    fn below(&self, index: usize, x: f64) -> f64 {
        let of = |c: &Component| {
            let std = c.covariance(index, index).sqrt();
            let away = x - c.mean[index];
            let z = if std > 0.0 { away / std } else { away * f64::INFINITY };
            c.weight
                * if away == 0.0 {
                    0.5
                } else {
                    libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2) / 2.0
                }
        };
        self.components.iter().map(of).sum()
    }

    /// The probability density at `x`: infinite at a constant.
    pub(super) fn density(&self, index: usize, x: f64) -> f64 {
        let of = |c: &Component| {
            let variance = c.covariance(index, index);
            let exponent = (x - c.mean[index]).powi(2) / (2.0 * variance);
            c.weight * (-exponent).exp() / (std::f64::consts::TAU * variance).sqrt()
        };
        self.components.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(weight: f64, mean: [f64; 2], [a, c, b]: [f64; 3]) -> Component {
        let covariance = Covariance::Dense(vec![a, c, c, b]);
        Component { weight, mean: mean.to_vec(), covariance }
    }

    #[test]
    fn moments_of_a_normal_distribution() {
        let asked = Asked::new(vec![normal(2.0, [1.0, -1.0], [4.0, 1.2, 1.0])]);
        assert_eq!((asked.mean[0], asked.std[0], asked.scale(1)), (1.0, 2.0, 2.0));
        assert!((asked.kurtosis(1) - 3.0).abs() < 1e-12);
        let (r, variance) = asked.correlation(1, 0);
        assert!((r - 0.6).abs() < 1e-15 && (variance - 0.64f64.powi(2)).abs() < 1e-12);
        assert!((asked.quantile(0, 0.975) - (1.0 + 2.0 * 1.959963984540054)).abs() < 1e-12);
        assert!((asked.density(0, 1.0) - 0.199_471_140_200_716_35).abs() < 1e-15);
    }

    /// Against the normal equations by hand, and for the weights against `scipy.stats.norm.pdf`.
    #[test]
    fn known_dimensions() {
        let parts = vec![
            normal(0.3, [0.0, 1.0], [1.0, 0.5, 2.0]),
            normal(0.7, [3.0, -1.0], [0.5, -0.2, 1.0]),
        ];
        let asked = Asked::new(parts).given(&[(0, 2.0)]);
        let [first, second] = asked.components() else { panic!("two") };
        assert_eq!((first.mean[0], first.covariance(0, 0)), (2.0, 1.75));
        assert!((second.mean[0] - (-1.0 + 0.4)).abs() < 1e-15);
        assert!((second.covariance(0, 0) - 0.92).abs() < 1e-15);
        assert!((first.weight - WEIGHT).abs() < 1e-12, "{}", first.weight);
        let whole = normal(1.0, [0.0, 0.0], [1.0, 2.0, 4.0]);
        let determined = Asked::new(vec![whole]).given(&[(1, 3.0)]);
        assert_eq!((determined.mean[0], determined.std[0]), (1.5, 0.0));
    }

    const WEIGHT: f64 = 0.100_302_186_424_822_91;

    /// Against NumPy and SciPy: moments by Gauss-Hermite quadrature of 40 by 40 points, quantiles by
    /// `brentq` on the sum of `norm.cdf`.
    #[test]
    fn moments_of_a_mixture() {
        let asked = Asked::new(vec![
            normal(0.3, [0.0, 1.0], [1.0, 0.5, 2.0]),
            normal(0.7, [3.0, -1.0], [0.5, -0.2, 1.0]),
        ]);
        let close = |got: f64, expected: f64| {
            assert!((got - expected).abs() < 1e-9 * expected.abs(), "{got} is not {expected}");
        };
        let [m20, m11, m40, m22, m31, m13, q05, q60] = EXPECTED;
        close(asked.std[0], f64::sqrt(m20));
        close(asked.moment([0, 1]), m11);
        close(asked.moment([0; 4]), m40);
        close(asked.moment([0, 0, 1, 1]), m22);
        close(asked.moment([0, 0, 0, 1]), m31);
        close(asked.moment([0, 1, 1, 1]), m13);
        close(asked.quantile(0, 0.05), q05);
        close(asked.quantile(0, 0.6), q60);
    }

    const EXPECTED: [f64; 8] = [
        2.54,
        -1.25,
        17.3577,
        6.4186,
        -5.5245,
        -7.08,
        -0.967_421_660_151_412,
        2.874_274_916_841_550_5,
    ];
}
