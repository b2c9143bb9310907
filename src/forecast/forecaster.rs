//! A model, the covariance of its errors, and what lies between them and a series.
//!
//! Owns [`Forecaster`] and the check that its parts suit one another. Its invariant: a forecaster
//! that exists can forecast; only a context can be wrong after that.

use core::fmt;

use arrayvec::ArrayVec;

use super::calendar::Feature;
use super::scale::Scale;
use crate::runtime::{MemoryNeeds, Port, Program};
use crate::sampling::Gaussian;
#[cfg(feature = "std")]
use crate::sampling::OwnedGaussian;
use crate::tensor::DType;

/// Inputs that a model may have.
pub(super) const MAX_INPUTS: usize = 8;
/// Features that an input may have.
pub(super) const MAX_FEATURES: usize = 16;

/// What a forecaster is made of besides its program and covariance.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Its name.
    pub name: &'a str,
    /// The unit of observations and forecasts.
    pub unit: &'a str,
    /// Observations that a forecast is made from.
    pub context: usize,
    /// Steps that it reaches.
    pub horizon: usize,
    /// Seconds from one step to the next.
    pub step_seconds: u32,
    /// How observations are scaled for the model, and its output back.
    pub scale: Scale,
    /// What each input of the program is given.
    pub inputs: &'a [Input<'a>],
    /// The program's output that is the scaled mean, f32 `[1, horizon]`.
    pub output: &'a str,
}

/// An input of the program, f32 `[1, n]`.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Its name in the model.
    pub name: &'a str,
    /// What it is given.
    pub kind: InputKind<'a>,
}

/// What an input is given.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum InputKind<'a> {
    /// The scaled context.
    Context,
    /// Features of the time of the first step.
    Calendar(&'a [Feature]),
}

impl InputKind<'_> {
    /// Elements of the input.
    pub(super) fn len(&self, context: usize) -> usize {
        match self {
            Self::Context => context,
            Self::Calendar(features) => features.len(),
        }
    }
}

/// Why program, covariance and layout do not suit one another. Positions count from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// Context, horizon or step is zero.
    Zero,
    /// A fixed center is not finite, or a fixed spread not above zero.
    Scale,
    /// No input of the layout is given the context.
    NoContext,
    /// More inputs than 8, or more features of one than 16.
    TooMany,
    /// The program has no such input, or an earlier one of the layout is the same.
    NoSuchInput {
        /// Position in the layout.
        input: usize,
    },
    /// The program's input is not f32 `[1, n]` with the layout's `n`.
    InputShape {
        /// Position in the layout.
        input: usize,
    },
    /// The layout gives nothing to an input of the program.
    NotGiven {
        /// Position in the program.
        input: usize,
    },
    /// The program has no such output.
    NoSuchOutput,
    /// The program's output is not f32 `[1, horizon]`.
    OutputShape,
    /// The program keeps an output as an input of the next run.
    State,
    /// The covariance has another dimension than the horizon.
    Covariance {
        /// The horizon.
        expected: usize,
        /// The dimension.
        got: usize,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => write!(f, "context, horizon and step must be above zero"),
            Self::Scale => write!(f, "the scale must be finite and its spread above zero"),
            Self::NoContext => write!(f, "no input is given the context"),
            Self::TooMany => write!(
                f,
                "a model may have {MAX_INPUTS} inputs, and each of them {MAX_FEATURES} features"
            ),
            Self::NoSuchInput { input } => {
                write!(f, "the program has no input for input {input} of the layout")
            }
            Self::InputShape { input } => {
                write!(f, "the program's input for input {input} of the layout has another shape")
            }
            Self::NotGiven { input } => {
                write!(f, "the layout gives nothing to input {input} of the program")
            }
            Self::NoSuchOutput => write!(f, "the program has no output of the layout's name"),
            Self::OutputShape => write!(f, "the program's output is not f32 [1, horizon]"),
            Self::State => write!(f, "the program keeps state from one run to the next"),
            Self::Covariance { expected, got } => {
                write!(f, "the covariance has {got} dimensions, the horizon {expected}")
            }
        }
    }
}

impl core::error::Error for LayoutError {}

/// Text that is borrowed, or owned where there is a heap.
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    #[cfg(feature = "std")]
    Owned(String),
}

impl Text<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            #[cfg(feature = "std")]
            Self::Owned(text) => text,
        }
    }
}

/// The distribution of errors, about zero.
pub(super) enum Errors<'a> {
    Borrowed(Gaussian<'a>),
    #[cfg(feature = "std")]
    Owned(OwnedGaussian),
}

impl Errors<'_> {
    fn gaussian(&self) -> Gaussian<'_> {
        match self {
            Self::Borrowed(gaussian) => *gaussian,
            #[cfg(feature = "std")]
            Self::Owned(owned) => owned.gaussian(),
        }
    }
}

/// What a session gives to a port.
pub(super) enum Feed {
    Context,
    Calendar(ArrayVec<Feature, MAX_FEATURES>),
}

/// A layout whose names have become positions in the program.
pub(super) struct Bound {
    pub(super) feeds: ArrayVec<(usize, Feed), MAX_INPUTS>,
    pub(super) output: usize,
}

/// Memory that forecasts take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// All that a session takes: what the caller passes to
    /// [`ForecastSession::in_memory`](super::ForecastSession::in_memory), aligned to
    /// [`MemoryNeeds::ALIGNMENT`].
    pub session_bytes: usize,
    /// Weights; sessions share them.
    pub constant_bytes: usize,
    /// The factor of the covariance; sessions share it.
    pub factor_bytes: usize,
    /// Upper bound of the stack that a call uses.
    pub stack_bytes: usize,
}

/// A model ready to forecast: program, covariance, scale and inputs. Shared by any number of
/// sessions on any number of threads.
pub struct Forecaster<'a> {
    pub(super) program: Program<'a>,
    pub(super) bound: Bound,
    pub(super) scale: Scale,
    name: Text<'a>,
    unit: Text<'a>,
    context: usize,
    horizon: usize,
    step_seconds: u32,
    errors: Errors<'a>,
}

impl<'a> Forecaster<'a> {
    /// A forecaster of parts that are already in memory, as in flash.
    ///
    /// **Shapes and units**: `errors` has as many dimensions as the horizon, in the unit of the
    /// series; its means do not count.
    ///
    /// **Errors**: any [`LayoutError`].
    ///
    /// **Cost**: no allocation.
    pub fn new(
        program: Program<'a>,
        errors: Gaussian<'a>,
        layout: &Layout<'a>,
    ) -> Result<Self, LayoutError> {
        let texts = (Text::Borrowed(layout.name), Text::Borrowed(layout.unit));
        Self::of_parts(program, texts, Errors::Borrowed(errors), layout)
    }

    /// Parts that are checked here; the texts are the layout's.
    pub(super) fn of_parts(
        program: Program<'a>,
        texts: (Text<'a>, Text<'a>),
        errors: Errors<'a>,
        layout: &Layout<'_>,
    ) -> Result<Self, LayoutError> {
        let bound = bind(&program, layout)?;
        let (expected, got) = (layout.horizon, errors.gaussian().dim());
        if expected != got {
            return Err(LayoutError::Covariance { expected, got });
        }
        Ok(Self::assemble(program, bound, layout, texts, errors))
    }

    /// Parts that have been checked: `bound` is of this layout, `errors` of its horizon.
    pub(super) fn assemble(
        program: Program<'a>,
        bound: Bound,
        layout: &Layout<'_>,
        (name, unit): (Text<'a>, Text<'a>),
        errors: Errors<'a>,
    ) -> Self {
        let &Layout { context, horizon, step_seconds, scale, .. } = layout;
        Self { program, bound, scale, name, unit, context, horizon, step_seconds, errors }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The unit of observations and forecasts.
    pub fn unit(&self) -> &str {
        self.unit.as_str()
    }

    /// Observations that a forecast is made from.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Steps that a forecast reaches.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// Seconds from one step to the next.
    pub fn step_seconds(&self) -> u32 {
        self.step_seconds
    }

    /// The program.
    pub fn program(&self) -> &Program<'a> {
        &self.program
    }

    /// The distribution of the mean's errors, about zero, in the unit of the series.
    pub fn errors(&self) -> Gaussian<'_> {
        self.errors.gaussian()
    }

    /// What it takes, in bytes.
    pub fn memory(&self) -> Memory {
        let program = self.program.memory();
        Memory {
            session_bytes: self.mean_at() + self.horizon * size_of::<f32>(),
            constant_bytes: program.constant_bytes,
            factor_bytes: Gaussian::full_len(self.horizon) * size_of::<f32>(),
            stack_bytes: program.stack_bytes,
        }
    }

    /// The `session_bytes` of [`Forecaster::memory`] on a host whose addresses have this many
    /// bytes.
    pub fn session_bytes_on_host(&self, address_bytes: usize) -> usize {
        let program = self.program.session_bytes_on_host(address_bytes);
        program.next_multiple_of(MemoryNeeds::ALIGNMENT) + self.horizon * size_of::<f32>()
    }

    /// Where a session's mean lies in its memory, behind what the program needs.
    pub(super) fn mean_at(&self) -> usize {
        self.program.memory().session_bytes.next_multiple_of(MemoryNeeds::ALIGNMENT)
    }
}

/// Finds the layout's names in the program and checks shapes.
pub(super) fn bind(program: &Program<'_>, layout: &Layout<'_>) -> Result<Bound, LayoutError> {
    if layout.context == 0 || layout.horizon == 0 || layout.step_seconds == 0 {
        return Err(LayoutError::Zero);
    }
    if !layout.scale.is_valid() {
        return Err(LayoutError::Scale);
    }
    let mut feeds = ArrayVec::<(usize, Feed), MAX_INPUTS>::new();
    for (input, Input { name, kind }) in layout.inputs.iter().enumerate() {
        let port = program.input_index(name).filter(|i| feeds.iter().all(|(port, _)| port != i));
        let port = port.ok_or(LayoutError::NoSuchInput { input })?;
        if !program.inputs().nth(port).is_some_and(|p| is_row(&p, kind.len(layout.context))) {
            return Err(LayoutError::InputShape { input });
        }
        let feed = match kind {
            InputKind::Context => Feed::Context,
            InputKind::Calendar(features) => {
                Feed::Calendar((*features).try_into().map_err(|_| LayoutError::TooMany)?)
            }
        };
        feeds.try_push((port, feed)).map_err(|_| LayoutError::TooMany)?;
    }
    let given = |input: &usize| feeds.iter().any(|(port, _)| port == input);
    if let Some(input) = (0..program.inputs().len()).find(|input| !given(input)) {
        return Err(LayoutError::NotGiven { input });
    }
    if !feeds.iter().any(|(_, feed)| matches!(feed, Feed::Context)) {
        return Err(LayoutError::NoContext);
    }
    let output = program.output_index(layout.output).ok_or(LayoutError::NoSuchOutput)?;
    if !program.outputs().nth(output).is_some_and(|p| is_row(&p, layout.horizon)) {
        return Err(LayoutError::OutputShape);
    }
    if program.inputs().any(|p| p.is_state()) {
        return Err(LayoutError::State);
    }
    Ok(Bound { feeds, output })
}

/// Whether a port is f32 `[1, len]` in every call.
fn is_row(port: &Port<'_>, len: usize) -> bool {
    let extents = (port.rank(), port.fixed_extent(0), port.fixed_extent(1));
    port.dtype == DType::F32 && extents == (2, Some(1), Some(len))
}

impl fmt::Debug for Forecaster<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forecaster")
            .field("name", &self.name())
            .field("unit", &self.unit())
            .field("context", &self.context)
            .field("horizon", &self.horizon)
            .field("step_seconds", &self.step_seconds)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}
