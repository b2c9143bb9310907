//! What a quantized model loses.

use super::Calibration;
use super::error::QuantizeError;
use super::forecasts::Forecasts;
use super::model::Model;
use super::options::Options;
use super::samples::{Observed, Samples};

/// Samples that a candidate is run on at most.
const JUDGED: usize = 128;

/// The float model's answers, and the distance from them.
pub(super) enum Judge<'a> {
    Distance { samples: Samples, outputs: Vec<Output>, options: &'a Options },
    Forecasts { forecasts: &'a Forecasts, float: f64 },
}

/// An output of the float model on every sample.
pub(super) struct Output {
    place: usize,
    answers: Vec<Vec<f32>>,
    /// The standard deviation of all its elements; where they are all the same, the value.
    spread: f64,
}

/// What a candidate loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Loss {
    pub(super) per_cent: f64,
    /// The weighted quantile loss itself.
    pub(super) score: Option<f64>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        model: &Model,
        data: &'a Calibration,
        options: &'a Options,
    ) -> Result<Self, QuantizeError> {
        match data {
            Calibration::Forecasts(forecasts) => {
                let float = forecasts.quantile_loss(&model.to_bytes()?)?;
                Ok(Self::Forecasts { forecasts, float })
            }
            Calibration::Samples(samples) => {
                let samples = samples.thinned(JUDGED);
                if samples.is_empty() {
                    return Err(QuantizeError::NoCalibration);
                }
                let outputs = answers(&model.to_bytes()?, &samples, options)?;
                if outputs.is_empty() {
                    return Err(QuantizeError::Samples(
                        "the model has no output of f32 by which its loss could be told".to_owned(),
                    ));
                }
                Ok(Self::Distance { samples, outputs, options })
            }
        }
    }

    /// The weighted quantile loss of the float model.
    pub(super) fn score(&self) -> Option<f64> {
        match self {
            Self::Distance { .. } => None,
            Self::Forecasts { float, .. } => Some(*float),
        }
    }

    /// What a candidate loses.
    pub(super) fn loss(&self, file: &[u8]) -> Result<Loss, QuantizeError> {
        match self {
            Self::Forecasts { forecasts, float } => {
                let score = forecasts.quantile_loss(file)?;
                Ok(Loss { per_cent: (score / float - 1.0) * 100.0, score: Some(score) })
            }
            Self::Distance { samples, outputs, options } => {
                let candidate = answers(file, samples, options)?;
                let pairs = outputs.iter().zip(&candidate);
                let most = pairs.map(|(float, ours)| distance(float, ours)).fold(0.0, f64::max);
                Ok(Loss { per_cent: most * 100.0, score: None })
            }
        }
    }
}

/// The outputs of f32 on every sample.
fn answers(
    file: &[u8],
    samples: &Samples,
    options: &Options,
) -> Result<Vec<Output>, QuantizeError> {
    let model = Observed::load_bytes(file, samples, options)?;
    let mut outputs: Vec<Output> = Vec::new();
    let mut keep = |_, place, _: &str, elements: &[f32]| {
        match outputs.iter_mut().find(|output| output.place == place) {
            Some(output) => output.answers.push(elements.to_vec()),
            None => {
                let answers = vec![elements.to_vec()];
                outputs.push(Output { place, answers, spread: 0.0 });
            }
        }
        Ok(())
    };
    model.run(samples, &mut keep, &mut |_| {})?;
    for output in &mut outputs {
        output.spread = spread(&output.answers);
    }
    Ok(outputs)
}

fn spread(answers: &[Vec<f32>]) -> f64 {
    let elements = || answers.iter().flatten().filter(|x| x.is_finite()).map(|x| f64::from(*x));
    let len = elements().count().max(1) as f64;
    let mean = elements().sum::<f64>() / len;
    let variance = elements().map(|x| (x - mean) * (x - mean)).sum::<f64>() / len;
    if variance > 0.0 { variance.sqrt() } else { mean.abs().max(f64::from(f32::MIN_POSITIVE)) }
}

/// The root mean square of the differences over the spread of the float answers. What is not
/// finite in both does not count; what is in one is infinitely far.
fn distance(float: &Output, ours: &Output) -> f64 {
    let (mut squares, mut len) = (0.0, 0usize);
    for (a, b) in float.answers.iter().flatten().zip(ours.answers.iter().flatten()) {
        let difference = f64::from(*a) - f64::from(*b);
        match (a.is_finite(), b.is_finite()) {
            (true, true) => squares += difference * difference,
            (false, false) => continue,
            _ => return f64::INFINITY,
        }
        len += 1;
    }
    let same_len = |(a, b): (&Vec<f32>, &Vec<f32>)| a.len() == b.len();
    if !float.answers.iter().zip(&ours.answers).all(same_len) {
        return f64::INFINITY;
    }
    (squares / len.max(1) as f64).sqrt() / float.spread
}
