//! What was drawn against what was asked for.

use std::fmt;

use nowcast::sampling::Gaussian;

use crate::arrays::Array;

/// Sums over paths of deviations from the mean that was asked for.
pub(super) struct Moments {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    sums: Vec<f64>,
    /// Lower triangle, row after row.
    products: Vec<f64>,
    paths: u64,
}

impl Moments {
    pub(super) fn new(mean: &[f32]) -> Self {
        let dim = mean.len();
        Self {
            mean: mean.iter().map(|m| f64::from(*m)).collect(),
            deviation: vec![0.0; dim],
            sums: vec![0.0; dim],
            products: vec![0.0; dim * (dim + 1) / 2],
            paths: 0,
        }
    }

    pub(super) fn add(&mut self, path: &[f32]) {
        self.paths += 1;
        let Self { mean, deviation, sums, products, .. } = self;
        for ((to, x), mean) in deviation.iter_mut().zip(path).zip(mean) {
            *to = f64::from(*x) - *mean;
        }
        let mut rest = products.as_mut_slice();
        for (row, (sum, a)) in sums.iter_mut().zip(&*deviation).enumerate() {
            *sum += a;
            let (products, below) = rest.split_at_mut(row + 1);
            for (product, b) in products.iter_mut().zip(&*deviation) {
                *product += a * b;
            }
            rest = below;
        }
    }

    /// Differences from what was asked for.
    pub(super) fn summary(&self, asked: Gaussian<'_>, covariance: &Array) -> Summary {
        let (dim, n) = (self.mean.len(), self.paths as f64);
        let bias: Vec<f64> = self.sums.iter().map(|sum| sum / n).collect();
        let covered = |row: usize, col: usize| {
            self.products[row * (row + 1) / 2 + col] / n - bias[row] * bias[col]
        };
        let std: Vec<f64> = (0..dim).map(|i| covered(i, i).max(0.0).sqrt()).collect();
        let asked_std: Vec<f64> = (0..dim).map(|i| f64::from(asked.marginal_std(i))).collect();

        let mut largest = [Difference::default(); 3];
        for i in 0..dim {
            let sigma = asked_std[i];
            largest[0].take(bias[i], sigma / n.sqrt());
            largest[1].take(std[i] - sigma, sigma / (2.0 * n).sqrt());
            for j in 0..i {
                let asked = if covariance.shape.len() == 2 {
                    covariance.elements[i * dim + j] / (sigma * asked_std[j])
                } else {
                    0.0
                };
                let got = covered(i, j) / (std[i] * std[j]);
                largest[2].take(got - asked, (1.0 - asked * asked) / n.sqrt());
            }
        }
        let [of_mean, of_std, of_correlation] = largest;
        let mean = bias.iter().zip(&self.mean).map(|(bias, mean)| bias + mean).collect();
        let asked_mean = self.mean.clone();
        Summary { mean, std, asked_mean, asked_std, of_mean, of_std, of_correlation }
    }
}

/// The difference that is largest in standard errors.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(super) struct Difference {
    difference: f64,
    standard_errors: f64,
}

impl Difference {
    fn take(&mut self, difference: f64, standard_error: f64) {
        let standard_errors = (difference / standard_error).abs();
        // A constant has no standard error, and no single path a deviation.
        if standard_errors.is_finite() && standard_errors > self.standard_errors {
            *self = Self { difference: difference.abs(), standard_errors };
        }
    }
}

/// Moments that were drawn and asked for.
#[derive(serde::Serialize)]
pub(super) struct Summary {
    pub(super) mean: Vec<f64>,
    std: Vec<f64>,
    asked_mean: Vec<f64>,
    asked_std: Vec<f64>,
    #[serde(rename = "largest_difference_of_mean")]
    of_mean: Difference,
    #[serde(rename = "largest_difference_of_std")]
    of_std: Difference,
    #[serde(rename = "largest_difference_of_correlation")]
    of_correlation: Difference,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20}{:>20}{:>20}", "", "largest difference", "in standard errors")?;
        let rows = [
            ("mean", self.of_mean),
            ("standard deviation", self.of_std),
            ("correlation", self.of_correlation),
        ];
        for (name, Difference { difference, standard_errors }) in rows {
            writeln!(f, "{name:<20}{difference:>20.5}{standard_errors:>20.2}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nowcast::sampling::OwnedGaussian;

    #[test]
    fn moments_by_hand() {
        let covariance = Array { shape: vec![2, 2], elements: vec![1.0, 0.5, 0.5, 4.0] };
        let asked = OwnedGaussian::full(&[1.0, 2.0], &covariance.elements).expect("definite");
        let mut moments = Moments::new(asked.gaussian().mean());
        for path in [[0.0, 1.0], [2.0, 3.0], [0.0, 3.0], [2.0, 1.0]] {
            moments.add(&path);
        }
        let summary = moments.summary(asked.gaussian(), &covariance);
        assert_eq!((summary.mean, summary.std), (vec![1.0, 2.0], vec![1.0, 1.0]));
        assert_eq!(summary.of_mean.standard_errors, 0.0);
        assert_eq!(summary.of_std.difference, 1.0);
        assert_eq!(summary.of_correlation.difference, 0.25);
    }
}
