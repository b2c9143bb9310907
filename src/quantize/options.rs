//! What a caller chooses.

use crate::load;

/// What is quantized, and when the ranges of activations are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Weights and activations; ranges are taken from calibration data, once.
    Static,
    /// Weights and activations; ranges are taken from the data of each run.
    Dynamic,
    /// Weights alone: products are computed in float.
    Weights,
}

impl Mode {
    /// Its short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
            Self::Weights => "weights",
        }
    }
}

/// How a range is taken from what was observed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// From the least to the largest.
    MinMax,
    /// Without the outermost elements, half of them on each side: so many per cent are kept.
    Percentile(f64),
    /// The range whose quantized distribution has the least relative entropy to what was observed.
    Entropy,
    /// The range of the least squared error.
    Mse,
}

/// The type of quantized activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activations {
    /// 0 to 255.
    #[default]
    U8,
    /// -128 to 127.
    I8,
}

/// How a model is quantized.
///
/// # Examples
/// ```
/// use nowcast::quantize::{Method, Mode, Options};
///
/// let options = Options::new(Mode::Static).method(Method::Percentile(99.99)).max_loss(1.0);
/// assert_eq!(options.mode(), Mode::Static);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) mode: Mode,
    pub(super) method: Method,
    pub(super) activations: Activations,
    pub(super) per_channel: bool,
    pub(super) bits: u8,
    pub(super) block: usize,
    pub(super) max_loss: Option<f64>,
    pub(super) table: bool,
    pub(super) load: load::Options,
}

impl Options {
    /// The defaults of a mode: ranges from the least to the largest, activations u8, weights i8
    /// with a scale for each channel.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            method: Method::MinMax,
            activations: Activations::U8,
            per_channel: true,
            bits: 8,
            block: 32,
            max_loss: None,
            table: true,
            load: load::Options::new(),
        }
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How ranges are taken. Static mode.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The type of activations. Static mode.
    #[must_use]
    pub fn activations(mut self, activations: Activations) -> Self {
        self.activations = activations;
        self
    }

    /// One scale for all channels of a weight.
    #[must_use]
    pub fn per_tensor(mut self) -> Self {
        self.per_channel = false;
        self
    }

    /// Weights of 4 bits, with a scale for each `block` of a channel. Weights mode.
    #[must_use]
    pub fn int4(mut self, block: usize) -> Self {
        (self.bits, self.block) = (4, block.max(1));
        self
    }

    /// Keeps layers in float, those that lose most first, until the loss is at most this, in per
    /// cent.
    #[must_use]
    pub fn max_loss(mut self, per_cent: f64) -> Self {
        self.max_loss = Some(per_cent);
        self
    }

    /// Whether every layer is quantized alone, to say what it loses. [`Options::max_loss`] does
    /// that anyway where the loss is too large.
    #[must_use]
    pub fn table(mut self, table: bool) -> Self {
        self.table = table;
        self
    }

    /// What is chosen of what the model leaves open, when it is run.
    #[must_use]
    pub fn load(mut self, load: load::Options) -> Self {
        self.load = load;
        self
    }
}
