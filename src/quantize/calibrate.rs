//! Ranges of activations, from what a model computes on calibration data.

use std::collections::HashMap;

use super::error::QuantizeError;
use super::histogram::Histogram;
use super::layers::Layer;
use super::model::Model;
use super::options::{Activations, Method, Options};
use super::samples::Observed;
use super::{Calibration, Progress, Stage};

/// What an activation lies between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least.
    pub low: f32,
    /// The largest.
    pub high: f32,
}

impl Range {
    /// Scale and zero point of 8 bits. Zero is always a value of its own, so that padding with it
    /// is exact.
    ///
    /// # Examples
    /// ```
    /// use nowcast::quantize::{Activations, Range};
    ///
    /// let range = Range { low: -0.5, high: 2.05 };
    /// assert_eq!(range.scale(Activations::U8), (0.01, 50));
    /// assert_eq!(range.scale(Activations::I8), (0.01, -78));
    /// ```
    pub fn scale(&self, activations: Activations) -> (f32, i32) {
        let least = match activations {
            Activations::U8 => 0.0,
            Activations::I8 => -128.0,
        };
        let (low, high) = (f64::from(self.low.min(0.0)), f64::from(self.high.max(0.0)));
        let scale = (high - low) / 255.0;
        if scale < f64::from(f32::MIN_POSITIVE) {
            return (1.0, 0);
        }
        (scale as f32, (least - low / scale).round_ties_even() as i32)
    }
}

/// The range of each layer's input.
pub(super) fn ranges(
    model: &Model,
    data: &Calibration,
    layers: &[Layer],
    options: &Options,
    watch: &mut dyn FnMut(Progress),
) -> Result<HashMap<String, Range>, QuantizeError> {
    let samples = match data {
        Calibration::Samples(samples) => samples,
        Calibration::Forecasts(forecasts) => &forecasts.samples(),
    };
    if samples.is_empty() {
        return Err(QuantizeError::NoCalibration);
    }
    let mut names: Vec<&str> = Vec::new();
    for layer in layers {
        if !names.contains(&&layer.input[..]) {
            names.push(&layer.input);
        }
    }
    let observed = Observed::load(model, &names, samples, options)?;
    let passes = if options.method == Method::MinMax { 1 } else { 2 };
    let parts = passes * samples.len();
    let mut told = |done| watch(Progress { stage: Stage::Calibrating, done, parts });
    let mut ranges: HashMap<String, Range> = HashMap::new();
    let mut least_and_largest = |sample, _, name: &str, elements: &[f32]| {
        if elements.iter().any(|x| !x.is_finite()) {
            return Err(QuantizeError::NotFinite { name: name.to_owned(), sample });
        }
        if let Some(first) = elements.first() {
            let range =
                ranges.entry(name.to_owned()).or_insert(Range { low: *first, high: *first });
            for x in elements {
                (range.low, range.high) = (range.low.min(*x), range.high.max(*x));
            }
        }
        Ok(())
    };
    observed.run(samples, &mut least_and_largest, &mut told)?;
    if passes == 1 {
        return Ok(ranges);
    }
    let mut histograms: HashMap<String, Histogram> =
        ranges.into_iter().map(|(name, range)| (name, Histogram::new(range))).collect();
    let mut count = |_, _, name: &str, elements: &[f32]| {
        if let Some(histogram) = histograms.get_mut(name) {
            histogram.add(elements);
        }
        Ok(())
    };
    observed.run(samples, &mut count, &mut |done| told(samples.len() + done))?;
    let narrowed = |(name, histogram): (String, Histogram)| (name, histogram.range(options.method));
    Ok(histograms.into_iter().map(narrowed).collect())
}
