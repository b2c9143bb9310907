//! How often an activation takes which values, and the range that loses least of them.
//!
//! **Source**: relative entropy as a measure of a clipped range: S. Migacz, "8-bit Inference with
//! TensorRT", GTC 2017. Squared error and percentiles: H. Wu et al., "Integer Quantization for
//! Deep Learning Inference", 2020 (arXiv:2004.09602).

use super::calibrate::Range;
use super::options::Method;

/// Bins of a histogram.
pub const BINS: usize = 2048;

/// Counts of values between the least and the largest.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    range: Range,
    counts: Vec<u64>,
}

impl Histogram {
    /// Nothing counted, between these bounds.
    pub fn new(range: Range) -> Self {
        Self { range, counts: vec![0; BINS] }
    }

    /// Counts elements; those outside the bounds as the bound.
    pub fn add(&mut self, elements: &[f32]) {
        let (low, width) = (f64::from(self.range.low), self.width());
        for x in elements {
            let bin = if width > 0.0 { (f64::from(*x) - low) / width } else { 0.0 };
            self.counts[(bin as usize).min(BINS - 1)] += 1;
        }
    }

    fn width(&self) -> f64 {
        (f64::from(self.range.high) - f64::from(self.range.low)) / BINS as f64
    }

    fn center(&self, bin: usize) -> f64 {
        f64::from(self.range.low) + (bin as f64 + 0.5) * self.width()
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The range that a method takes.
    ///
    /// # Examples
    /// ```
    /// use nowcast::quantize::{Histogram, Method, Range};
    ///
    /// let mut histogram = Histogram::new(Range { low: 0.0, high: 100.0 });
    /// histogram.add(&[0.5; 9999]);
    /// histogram.add(&[100.0]);
    /// assert_eq!(histogram.range(Method::MinMax).high, 100.0);
    /// assert!(histogram.range(Method::Percentile(99.9)).high < 1.0);
    /// ```
    pub fn range(&self, method: Method) -> Range {
        if self.total() == 0 || self.width() == 0.0 {
            return self.range;
        }
        match method {
            Method::MinMax => self.range,
            Method::Percentile(kept) => self.percentile(kept),
            Method::Entropy => self.entropy(),
            Method::Mse => self.mse(),
        }
    }

    /// Leaves out the outermost elements, half of them on each side.
    fn percentile(&self, kept: f64) -> Range {
        let cut = self.total() as f64 * (100.0 - kept.clamp(0.0, 100.0)) / 200.0;
        let outside = |bins: &mut dyn Iterator<Item = &u64>| {
            let mut sum = 0.0;
            bins.take_while(|count| {
                sum += **count as f64;
                sum <= cut
            })
            .count()
        };
        let (below, above) =
            (outside(&mut self.counts.iter()), outside(&mut self.counts.iter().rev()));
        let edge = |bins: usize| bins as f64 * self.width();
        let low = (f64::from(self.range.low) + edge(below)) as f32;
        let high = (f64::from(self.range.high) - edge(above)) as f32;
        if low < high { Range { low, high } } else { self.range }
    }

    /// The magnitude above which elements are clipped, such that the relative entropy of the
    /// quantized distribution to the observed one is least.
    fn entropy(&self) -> Range {
        let Range { low, high } = self.range;
        let largest = f64::from(low.abs().max(high.abs()));
        let levels = if low < 0.0 { 128 } else { 256 };
        let mut magnitudes = vec![0.0f64; BINS];
        for (bin, count) in self.counts.iter().enumerate() {
            let at = self.center(bin).abs() / largest * BINS as f64;
            magnitudes[(at as usize).min(BINS - 1)] += *count as f64;
        }
        let mut behind: f64 = magnitudes[levels..].iter().sum();
        let mut best = (f64::INFINITY, BINS);
        for bins in levels..=BINS {
            let entropy = relative_entropy(&magnitudes[..bins], behind, levels);
            if entropy < best.0 {
                best = (entropy, bins);
            }
            behind -= magnitudes.get(bins).copied().unwrap_or(0.0);
        }
        let limit = (largest * best.1 as f64 / BINS as f64) as f32;
        Range { low: low.max(-limit), high: high.min(limit) }
    }

    /// Narrows the range from both sides while the squared error falls.
    fn mse(&self) -> Range {
        const STEPS: u32 = 100;
        let fraction = |range: Range, low: f32, high: f32| Range {
            low: range.low * low,
            high: range.high * high,
        };
        let share = |step: u32| step as f32 / STEPS as f32;
        let mut best = (self.squared_error(self.range), 1.0, 1.0);
        let consider = |low: f32, high: f32, best: &mut (f64, f32, f32)| {
            let error = self.squared_error(fraction(self.range, low, high));
            if error < best.0 {
                *best = (error, low, high);
            }
        };
        (1..STEPS).for_each(|step| consider(share(step), share(step), &mut best));
        for _ in 0..2 {
            let high = best.2;
            (1..=STEPS).for_each(|step| consider(share(step), high, &mut best));
            let low = best.1;
            (1..=STEPS).for_each(|step| consider(low, share(step), &mut best));
        }
        fraction(self.range, best.1, best.2)
    }

    /// The sum of squared errors when the elements are quantized to 256 levels over a range.
    fn squared_error(&self, range: Range) -> f64 {
        let (scale, zero) = range.scale(super::options::Activations::U8);
        let (scale, zero) = (f64::from(scale), f64::from(zero));
        let bins = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        bins.map(|(bin, count)| {
            let x = self.center(bin);
            let q = ((x / scale).round_ties_even() + zero).clamp(0.0, 255.0);
            let error = (q - zero) * scale - x;
            *count as f64 * error * error
        })
        .sum()
    }
}

/// The relative entropy of a distribution, what was clipped counted with its last bin, to the same
/// in so many levels.
fn relative_entropy(bins: &[f64], clipped: f64, levels: usize) -> f64 {
    /// Stands for a probability of zero.
    const NEXT_TO_NOTHING: f64 = 1e-9;
    let inside: f64 = bins.iter().sum();
    let (total, last) = (inside + clipped, bins.len() - 1);
    if inside == 0.0 {
        return f64::INFINITY;
    }
    let mut entropy = 0.0;
    for level in 0..levels {
        let (from, to) = (level * bins.len() / levels, (level + 1) * bins.len() / levels);
        let group = &bins[from..to];
        let filled = group.iter().filter(|count| **count > 0.0).count();
        let mean = group.iter().sum::<f64>() / filled.max(1) as f64;
        for (i, count) in group.iter().enumerate() {
            let observed = if from + i == last { count + clipped } else { *count };
            if observed > 0.0 {
                let p = observed / total;
                let q = if *count > 0.0 { mean / inside } else { NEXT_TO_NOTHING };
                entropy += p * (p / q).ln();
            }
        }
    }
    entropy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(elements: &[f32]) -> Histogram {
        let low = elements.iter().copied().fold(f32::INFINITY, f32::min);
        let high = elements.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut histogram = Histogram::new(Range { low, high });
        histogram.add(elements);
        histogram
    }

    /// A bell between -1 and 1, and one element far away.
    fn bell_with_outlier() -> Vec<f32> {
        let bell = (0..20_000).map(|i| {
            let u = |k: u32| f64::from((i * k + 17) % 9973) / 9973.0 - 0.5;
            ((u(7) + u(1231) + u(4999)) / 1.5) as f32
        });
        bell.chain([30.0]).collect()
    }

    #[test]
    fn outliers_are_clipped_by_every_method_but_min_max() {
        let histogram = of(&bell_with_outlier());
        assert_eq!(histogram.range(Method::MinMax).high, 30.0);
        for method in [Method::Percentile(99.9), Method::Entropy] {
            let range = histogram.range(method);
            assert!(range.high < 10.0, "{method:?}: {range:?}");
            assert!(range.low < -0.5, "{method:?}: {range:?}");
        }
        let mse = histogram.range(Method::Mse);
        assert!(histogram.squared_error(mse) <= histogram.squared_error(histogram.range));
    }

    #[test]
    fn an_even_distribution_keeps_its_range() {
        let even: Vec<f32> = (0..100_000).map(|i| i as f32 / 1000.0 - 50.0).collect();
        let histogram = of(&even);
        for method in [Method::Mse, Method::Percentile(100.0), Method::Entropy] {
            let range = histogram.range(method);
            assert!(range.low < -48.0 && range.high > 48.0, "{method:?}: {range:?}");
        }
    }

    #[test]
    fn one_value_alone_is_a_range() {
        for method in [Method::MinMax, Method::Percentile(99.0), Method::Entropy, Method::Mse] {
            let range = of(&[2.5; 10]).range(method);
            assert_eq!((range.low, range.high), (2.5, 2.5), "{method:?}");
        }
        assert_eq!(of(&[0.0; 3]).range(Method::Mse).scale(Default::default()), (1.0, 0));
    }
}
