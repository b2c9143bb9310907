//! Float models in, quantized models out: standard ONNX that other runtimes read too.
//!
//! Owns which products of a model are quantized, how ranges are taken from calibration data, and
//! the forms that are written: `QuantizeLinear` and `DequantizeLinear` around products, dynamic
//! quantization, and weights alone. Its invariant: a model that it returns has been read back and
//! run, has the inputs and outputs of the float model, and everything that was not quantized is as
//! it was. It must not know how a runtime executes quantized operators.
//!
//! What is left in float is said, with the reason: nothing is left out without a word.
//!
//! # Examples
//! ```
//! use nowcast::graph::Tensor;
//! use nowcast::quantize::{Calibration, Mode, Model, Options, Samples, quantize};
//!
//! let model = Model::from_path("models/jfk-sklearn-mlp/model.onnx")?;
//! let data: Vec<f32> = (0..8 * 96).map(|i| (i as f32 * 0.1).sin()).collect();
//! let data = [("context".to_owned(), Tensor::new(&[8, 96], &data))];
//! let samples = Calibration::Samples(Samples::new(&model, &data, 512)?);
//! let quantized = quantize(&model, Some(&samples), &Options::new(Mode::Static), &mut |_| {})?;
//! assert!(quantized.layers.iter().all(|layer| layer.is_quantized));
//! assert!(quantized.onnx.len() < 48_578 / 2);
//! # Ok::<(), nowcast::quantize::QuantizeError>(())
//! ```

mod calibrate;
mod constants;
mod draft;
mod dynamic;
mod error;
mod forecasts;
mod histogram;
mod judge;
mod layers;
mod model;
mod opset;
mod options;
mod qdq;
mod samples;
mod search;
mod weight_only;
mod weights;

use std::collections::HashMap;

pub use calibrate::Range;
pub use error::QuantizeError;
pub use forecasts::Forecasts;
pub use histogram::{BINS, Histogram};
pub use layers::LeftOut;
pub use model::Model;
pub use options::{Activations, Method, Mode, Options};
pub use samples::Samples;

use judge::Judge;
use layers::Layer;

/// What ranges and losses are taken from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Calibration {
    /// Inputs of the model. Losses are distances from the float model's outputs.
    Samples(Samples),
    /// Forecasts of a series. Losses are of the forecasts: their weighted quantile loss.
    Forecasts(Box<Forecasts>),
}

/// A layer of the model, and what became of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerReport {
    /// The node's name, or that of its output.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// The shape of its weights.
    pub shape: Vec<usize>,
    /// The loss in per cent when this layer alone is quantized; `None` where it was not measured.
    pub loss: Option<f64>,
    /// Whether it is quantized.
    pub is_quantized: bool,
}

/// A quantized model and what is known of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Quantized {
    /// The file.
    pub onnx: Vec<u8>,
    /// The layers that could be quantized, in the order of the model.
    pub layers: Vec<LayerReport>,
    /// What could not, and why.
    pub left_out: Vec<LeftOut>,
    /// The loss of the whole in per cent, where there is calibration data: the largest root mean
    /// square of the differences over the standard deviation of an output, or the change of the
    /// weighted quantile loss of forecasts.
    pub loss: Option<f64>,
    /// The weighted quantile loss of the float model's forecasts and of the quantized model's.
    pub quantile_losses: Option<[f64; 2]>,
    /// The range of each activation that is quantized by calibration.
    pub ranges: Vec<(String, Range)>,
}

/// How far [`quantize`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub stage: Stage,
    /// Parts that are done.
    pub done: usize,
    /// All parts of the stage.
    pub parts: usize,
}

/// A stage of [`quantize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Ranges of activations are taken.
    Calibrating,
    /// Each layer is quantized alone.
    Measuring,
    /// Layers are kept in float until the loss is small enough.
    Searching,
}

/// Quantizes a model.
///
/// Static quantization needs `calibration`; the other modes measure what they lose where it is
/// given. `watch` is told how far it is.
///
/// **Errors**: [`QuantizeError`], a sentence with what to do.
///
/// **Cost**: runs the model twice over the calibration data, and once for each layer over a part
/// of it; see [`Options::table`].
pub fn quantize(
    model: &Model,
    calibration: Option<&Calibration>,
    options: &Options,
    watch: &mut dyn FnMut(Progress),
) -> Result<Quantized, QuantizeError> {
    model.refuse_quantized()?;
    let (layers, left_out) = layers::find(model, options);
    if layers.is_empty() {
        return Err(QuantizeError::nothing(options.mode, &left_out));
    }
    let ranges = match (options.mode, calibration) {
        (Mode::Static, None) => return Err(QuantizeError::NoCalibration),
        (Mode::Static, Some(data)) => calibrate::ranges(model, data, &layers, options, watch)?,
        _ => HashMap::new(),
    };
    let ranks = match calibration {
        Some(Calibration::Samples(samples)) => {
            opset::ranks(model, &options.clone().load(samples.shaped(&options.load)))
        }
        _ => opset::ranks(model, options),
    };
    let task = Task { model, layers: &layers, options, ranges: &ranges, ranks: &ranks };
    let judge = calibration.map(|data| Judge::new(model, data, options)).transpose()?;
    let found = search::search(&task, judge.as_ref(), watch)?;
    let mut observed: Vec<(String, Range)> = ranges.into_iter().collect();
    observed.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Quantized {
        onnx: found.onnx,
        layers: found.layers,
        left_out,
        loss: found.loss,
        quantile_losses: judge.as_ref().and_then(Judge::score).zip(found.score).map(Into::into),
        ranges: observed,
    })
}

/// What a quantized model is written from.
struct Task<'a> {
    model: &'a Model,
    layers: &'a [Layer],
    options: &'a Options,
    ranges: &'a HashMap<String, Range>,
    ranks: &'a opset::Ranks,
}

impl Task<'_> {
    /// The file in which the layers for which `takes` says so are quantized.
    fn write(&self, takes: &dyn Fn(usize) -> bool) -> Result<Vec<u8>, QuantizeError> {
        let mut draft = draft::Draft::new(self.model);
        for (_, layer) in self.layers.iter().enumerate().filter(|(i, _)| takes(*i)) {
            match self.options.mode {
                Mode::Static => {
                    let range = self.ranges.get(&layer.input).copied();
                    let range = range.ok_or_else(|| QuantizeError::unseen(layer))?;
                    qdq::write(&mut draft, layer, range, self.options);
                }
                Mode::Dynamic => dynamic::write(&mut draft, layer, self.options),
                Mode::Weights => weight_only::write(&mut draft, layer, self.options),
            }
        }
        draft.finish(self.ranks)
    }
}
