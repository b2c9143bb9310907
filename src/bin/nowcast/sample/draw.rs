//! Drawing, block after block.

use std::time::{Duration, Instant};

use nowcast::kernels::Level;
use nowcast::sampling::{Antithetic, DrawError, Gaussian, OwnedSobol, PathAddress, Sobol};

use super::SampleArgs;
use super::check::Independent;
use super::rows::Number;
use crate::failure::Failure;
use crate::progress::Progress;

/// Elements that are drawn before they are written: half a megabyte at most.
const BLOCK: usize = 1 << 16;

/// How paths are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Scheme {
    /// Each for itself
    Random,
    /// Pairs that mirror each other about the mean
    Antithetic,
    /// Scrambled Sobol points, which are spread evenly: best a power of two of them
    Sobol,
}

impl Scheme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Antithetic => "antithetic",
            Self::Sobol => "sobol",
        }
    }

    /// Sobol points are compared as independent ones: where they are too few for so many dimensions,
    /// pairs of those are correlated, and a check says so.
    pub(super) fn independent(self) -> Independent {
        match self {
            Self::Random => Independent::All,
            Self::Sobol => Independent::Points,
            Self::Antithetic => Independent::Pairs,
        }
    }
}

/// Type of what is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Precision {
    F32,
    F64,
}

/// Which paths.
pub(super) struct Drawing {
    level: Level,
    scheme: Scheme,
    seed: u64,
    stream: u64,
    /// For Sobol points.
    points: Option<OwnedSobol>,
}

impl Drawing {
    /// Paths that take so many random numbers each.
    pub(super) fn new(args: &SampleArgs, level: Level, words: usize) -> Result<Self, Failure> {
        let SampleArgs { scheme, seed, stream, .. } = *args;
        let points = match scheme {
            Scheme::Sobol => Some(OwnedSobol::new(words).map_err(|_| {
                Failure::User(format!(
                    "--scheme sobol: a path takes {words} random numbers, and there are Sobol \
                     points of {} dimensions at most: choose --scheme random",
                    Sobol::MAX_DIM
                ))
            })?),
            _ => None,
        };
        Ok(Self { level, scheme, seed, stream, points })
    }

    /// Draws paths and gives them to `each`, block after block: the time that drawing took.
    pub(super) fn draw<T: Number>(
        &self,
        gaussian: Gaussian<'_, T>,
        paths: u64,
        mut each: impl FnMut(&[T]) -> Result<(), Failure>,
    ) -> Result<Duration, Failure> {
        let dim = gaussian.dim();
        let most = (BLOCK / dim).max(1) as u64;
        let mut block = vec![T::from_f64(0.0); most.min(paths) as usize * dim];
        let mut progress = Progress::new("drawing", paths);
        let (mut took, mut drawn) = (Duration::ZERO, 0);
        while drawn < paths {
            let count = (paths - drawn).min(most);
            let elements = &mut block[..count as usize * dim];
            let started = Instant::now();
            let made = self.block(gaussian, drawn, elements);
            made.map_err(|error| Failure::Internal(error.to_string()))?;
            took += started.elapsed();
            each(elements)?;
            drawn += count;
            progress.set(drawn);
        }
        Ok(took)
    }

    fn block<T: Number>(
        &self,
        gaussian: Gaussian<'_, T>,
        path: u64,
        out: &mut [T],
    ) -> Result<(), DrawError> {
        let Self { level, scheme, seed, stream, points } = self;
        let (level, first) = (*level, PathAddress { seed: *seed, stream: *stream, path });
        match (scheme, points) {
            (Scheme::Antithetic, _) => gaussian.draw(level, Antithetic(first), out),
            (Scheme::Sobol, Some(points)) => gaussian.draw(level, points.sobol().paths(first), out),
            _ => gaussian.draw(level, first, out),
        }
    }
}
