//! Why a model is not quantized.

use thiserror::Error;

use super::layers::{Layer, LeftOut};
use super::options::Mode;
use crate::forecast::{ForecastError, ForecasterError};
use crate::load::LoadError;
use crate::onnx::ImportError;
use crate::runtime::{RunError, SessionError};

/// Why a model is not quantized: a sentence with what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes are no model.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(Box<LoadError>),
    /// The forecaster cannot be loaded.
    #[error(transparent)]
    Forecaster(Box<ForecasterError>),
    /// No forecast can be made.
    #[error("a calibration forecast: {0}")]
    Forecast(#[from] ForecastError),
    /// No session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A run fails.
    #[error("on the calibration data: {0}")]
    Run(#[from] RunError),
    /// Static quantization without data.
    #[error(
        "static quantization takes the ranges of activations from calibration data, and there is \
         none: give data for the model's inputs, or choose dynamic quantization or weights alone"
    )]
    NoCalibration,
    /// The model is quantized already.
    #[error(
        "the model is quantized already: it has the operator {op}; start from the float model that \
         it was made from"
    )]
    Quantized {
        /// A quantized operator.
        op: String,
    },
    /// Nothing can be quantized.
    #[error("no layer can be quantized: {0}")]
    Nothing(String),
    /// The data does not suit the model.
    #[error("{0}")]
    Samples(String),
    /// The operator set must be raised, and cannot.
    #[error(
        "the form needs operator set {needed}, the model has {has}, and {op} has changed between \
         them: {advice}"
    )]
    Opset {
        /// The operator set needed.
        needed: i64,
        /// That of the model.
        has: i64,
        /// The operator.
        op: String,
        /// What to do.
        advice: &'static str,
    },
    /// An activation is not finite.
    #[error(
        "the value {name:?} is not finite on calibration sample {sample}: correct the data, or the \
         model"
    )]
    NotFinite {
        /// The value.
        name: String,
        /// The sample, from zero.
        sample: usize,
    },
    /// The result is larger than a file of the format can be.
    #[error("the quantized model would be of {bytes} bytes, and an ONNX file has at most 2 GiB")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
}

impl From<LoadError> for QuantizeError {
    fn from(error: LoadError) -> Self {
        Self::Load(Box::new(error))
    }
}

impl From<ForecasterError> for QuantizeError {
    fn from(error: ForecasterError) -> Self {
        Self::Forecaster(Box::new(error))
    }
}

impl QuantizeError {
    /// Nothing can be quantized, and why.
    pub(super) fn nothing(mode: Mode, left_out: &[LeftOut]) -> Self {
        let reasons: Vec<String> = left_out
            .iter()
            .take(3)
            .map(|left| format!("{} {:?} {}", left.op, left.name, left.why))
            .collect();
        Self::Nothing(match &reasons[..] {
            [] => format!(
                "the model has no operator that {} quantization takes, such as a product with \
                 constant weights in f32",
                mode.name()
            ),
            reasons => reasons.join("; "),
        })
    }

    /// A layer whose input was not observed.
    pub(super) fn unseen(layer: &Layer) -> Self {
        let (input, name) = (&layer.input, &layer.name);
        Self::Samples(format!("the input {input:?} of {name:?} was not calibrated"))
    }
}
