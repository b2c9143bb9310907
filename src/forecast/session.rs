//! One thread's memory for a forecaster, and the calls that serve.
//!
//! Owns [`ForecastSession`]. Its invariant: the mean it holds is that of the last forecast that
//! succeeded.

use core::fmt;

use super::forecaster::{Feed, Forecaster};
use crate::kernels::Level;
use crate::runtime::{RunError, Session, SessionError, split_elements};
use crate::sampling::{Gaussian, PathAddress, normal_quantile};

/// Why a forecast, or something of it, was refused. The last forecast and all outputs are
/// unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForecastError {
    /// The context has another length than the forecaster's.
    ContextLength {
        /// Observations needed.
        expected: usize,
        /// Observations given.
        got: usize,
    },
    /// An observation is NaN or infinite.
    NotFinite {
        /// Its position in the context.
        index: usize,
    },
    /// The model answered with NaN, or with a mean beyond the range of f32.
    MeanNotFinite {
        /// The step, from zero.
        step: usize,
    },
    /// The output is not one horizon, or for paths no whole number of them.
    OutputLength {
        /// Elements of one horizon.
        horizon: usize,
        /// Elements given.
        got: usize,
    },
    /// A probability that is not above zero and below one.
    Probability,
    /// Nothing has been forecast yet.
    NoForecast,
    /// The program refused to run.
    Run(RunError),
}

impl fmt::Display for ForecastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContextLength { expected, got } => {
                write!(f, "a context of {expected} observations is needed, {got} were given")
            }
            Self::NotFinite { index } => {
                write!(f, "observation {index} of the context is not a finite number")
            }
            Self::MeanNotFinite { step } => {
                write!(f, "the model's mean for step {step} is not a finite number")
            }
            Self::OutputLength { horizon, got } => {
                write!(f, "the output has {got} elements, the horizon {horizon}")
            }
            Self::Probability => write!(f, "a probability is above zero and below one"),
            Self::NoForecast => write!(f, "nothing has been forecast yet"),
            Self::Run(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ForecastError {}

enum Mean<'f> {
    Borrowed(&'f mut [f32]),
    #[cfg(feature = "std")]
    Owned(Box<[f32]>),
}

impl Mean<'_> {
    fn elements(&self) -> &[f32] {
        match self {
            Self::Borrowed(elements) => elements,
            #[cfg(feature = "std")]
            Self::Owned(elements) => elements,
        }
    }

    fn elements_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Borrowed(elements) => elements,
            #[cfg(feature = "std")]
            Self::Owned(elements) => elements,
        }
    }
}

/// One thread's memory for a forecaster.
///
/// Making one may allocate (not in [`ForecastSession::in_memory`]); nothing after that does, nor
/// locks, nor calls the system. A session moves between threads, but serves one at a time.
pub struct ForecastSession<'f> {
    forecaster: &'f Forecaster<'f>,
    session: Session<'f>,
    mean: Mean<'f>,
    has_forecast: bool,
}

impl<'f> ForecastSession<'f> {
    /// A session in memory of its own, on the best instruction set of this CPU.
    ///
    /// **Errors**: no memory.
    ///
    /// **Cost**: two allocations.
    #[cfg(feature = "std")]
    pub fn new(forecaster: &'f Forecaster<'f>) -> Result<Self, SessionError> {
        Self::new_at(forecaster, Level::detect())
    }

    /// A session in memory of its own, on the instruction set that `level` allows.
    ///
    /// **Errors** and **cost** as [`ForecastSession::new`].
    #[cfg(feature = "std")]
    pub fn new_at(forecaster: &'f Forecaster<'f>, level: Level) -> Result<Self, SessionError> {
        let session = Session::new_at(&forecaster.program, level)?;
        let mean = Mean::Owned(vec![0.0; forecaster.horizon()].into_boxed_slice());
        Ok(Self { forecaster, session, mean, has_forecast: false })
    }

    /// A session in the caller's memory.
    ///
    /// **Shapes and units**: `memory` has at least `forecaster.memory().session_bytes` bytes and
    /// starts on a multiple of [`MemoryNeeds::ALIGNMENT`](crate::runtime::MemoryNeeds::ALIGNMENT).
    ///
    /// **Errors**: memory too small or misaligned.
    ///
    /// **Cost**: no allocation; clears the memory.
    pub fn in_memory(
        forecaster: &'f Forecaster<'f>,
        level: Level,
        memory: &'f mut [u8],
    ) -> Result<Self, SessionError> {
        let (needed, given) = (forecaster.memory().session_bytes, memory.len());
        if given < needed {
            return Err(SessionError::TooSmall { needed, given });
        }
        let (memory, rest) = memory.split_at_mut(forecaster.mean_at());
        let (mean, _) =
            split_elements(rest, forecaster.horizon()).ok_or(SessionError::Misaligned)?;
        let session = Session::in_memory(&forecaster.program, level, memory)?;
        Ok(Self { forecaster, session, mean: Mean::Borrowed(mean), has_forecast: false })
    }

    /// The forecaster.
    pub fn forecaster(&self) -> &'f Forecaster<'f> {
        self.forecaster
    }

    /// Forecasts the steps that follow a context.
    ///
    /// **Shapes and units**: `context` is the latest [`Forecaster::context`] observations, oldest
    /// first, in the series' unit; `first_step_unix_seconds` is the time of the first step that is
    /// forecast, one step after the last observation.
    ///
    /// **Errors**: [`ForecastError::ContextLength`], [`ForecastError::NotFinite`],
    /// [`ForecastError::MeanNotFinite`]. The last forecast is unchanged then.
    ///
    /// **Cost**: no allocation, no lock, no system call; one run of the program.
    pub fn forecast(
        &mut self,
        context: &[f32],
        first_step_unix_seconds: i64,
    ) -> Result<(), ForecastError> {
        let (expected, got) = (self.forecaster.context(), context.len());
        if expected != got {
            return Err(ForecastError::ContextLength { expected, got });
        }
        if let Some(index) = context.iter().position(|x| !x.is_finite()) {
            return Err(ForecastError::NotFinite { index });
        }
        let (center, spread) = self.forecaster.scale.of(context);
        for (port, feed) in &self.forecaster.bound.feeds {
            let refused = |error| ForecastError::Run(RunError::Bind { port: *port, error });
            let elements = self.session.input_mut::<f32>(*port).map_err(refused)?;
            match feed {
                Feed::Context => {
                    for (to, x) in elements.iter_mut().zip(context) {
                        *to = ((f64::from(*x) - center) / spread) as f32;
                    }
                }
                Feed::Calendar(features) => {
                    for (to, feature) in elements.iter_mut().zip(features) {
                        *to = feature.value(first_step_unix_seconds) as f32;
                    }
                }
            }
        }
        self.session.run().map_err(ForecastError::Run)?;
        let output = self.forecaster.bound.output;
        let refused = |error| ForecastError::Run(RunError::Bind { port: output, error });
        let scaled = self.session.output::<f32>(output).map_err(refused)?;
        let unscaled = |y: &f32| (f64::from(*y) * spread + center) as f32;
        if let Some(step) = scaled.iter().position(|y| !unscaled(y).is_finite()) {
            return Err(ForecastError::MeanNotFinite { step });
        }
        for (to, y) in self.mean.elements_mut().iter_mut().zip(scaled) {
            *to = unscaled(y);
        }
        self.has_forecast = true;
        Ok(())
    }

    /// The mean, which is the median too, of the last forecast; empty before the first.
    ///
    /// **Shapes and units**: `[horizon]`, in the series' unit.
    pub fn mean(&self) -> &[f32] {
        if self.has_forecast { self.mean.elements() } else { &[] }
    }

    /// The value that each step falls below with probability `p`.
    ///
    /// **Shapes and units**: `out` is `[horizon]`, in the series' unit; `p` is above zero and
    /// below one.
    ///
    /// **Errors**: [`ForecastError::Probability`], [`ForecastError::OutputLength`],
    /// [`ForecastError::NoForecast`]; `out` is unchanged then.
    ///
    /// **Cost**: no allocation, no lock, no system call; one normal quantile.
    pub fn quantile(&self, p: f64, out: &mut [f32]) -> Result<(), ForecastError> {
        if !(p > 0.0 && p < 1.0) {
            return Err(ForecastError::Probability);
        }
        let (horizon, got) = (self.forecaster.horizon(), out.len());
        if horizon != got {
            return Err(ForecastError::OutputLength { horizon, got });
        }
        if !self.has_forecast {
            return Err(ForecastError::NoForecast);
        }
        let (z, errors) = (normal_quantile(p), self.forecaster.errors());
        for (step, (to, mean)) in out.iter_mut().zip(self.mean.elements()).enumerate() {
            *to = (f64::from(*mean) + z * f64::from(errors.marginal_std(step))) as f32;
        }
        Ok(())
    }

    /// Samples paths of the last forecast: the mean, and errors correlated as the covariance says.
    ///
    /// **Shapes and units**: `out` is `[paths, horizon]`, as many paths as fit, in the series'
    /// unit. A path is a function of the forecast and of its address `(seed, stream, path)`; row
    /// `n` is path `first_path + n`.
    ///
    /// **Errors**: [`ForecastError::NoForecast`], [`ForecastError::OutputLength`]; `out` is
    /// unchanged then.
    ///
    /// **Cost**: no allocation, no lock, no system call; that of
    /// [`Gaussian::draw`](crate::sampling::Gaussian::draw).
    pub fn paths(
        &self,
        seed: u64,
        stream: u64,
        first_path: u64,
        out: &mut [f32],
    ) -> Result<(), ForecastError> {
        let (horizon, got) = (self.forecaster.horizon(), out.len());
        let refused = ForecastError::OutputLength { horizon, got };
        if !got.is_multiple_of(horizon) {
            return Err(refused);
        }
        if !self.has_forecast {
            return Err(ForecastError::NoForecast);
        }
        let errors: Gaussian<'_> = self.forecaster.errors();
        let forecast = errors.with_mean(self.mean.elements()).map_err(|_| refused)?;
        let first = PathAddress { seed, stream, path: first_path };
        forecast.draw(self.session.level(), first, out).map_err(|_| refused)
    }

    /// Pays beforehand what the first calls would: touches memory, weights, factor and code. The
    /// session is as new afterwards.
    ///
    /// **Cost**: one run of the program on zeros, one path.
    pub fn prefault(&mut self) {
        self.session.prefault();
        let (errors, mean) = (self.forecaster.errors(), self.mean.elements_mut());
        // One path fits exactly, so that the draw is not refused.
        let _ =
            errors.draw(self.session.level(), PathAddress { seed: 0, stream: 0, path: 0 }, mean);
        mean.fill(0.0);
        self.has_forecast = false;
    }
}

impl fmt::Debug for ForecastSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForecastSession")
            .field("forecaster", &self.forecaster.name())
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
