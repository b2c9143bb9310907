//! Drawing, block after block.

use std::time::{Duration, Instant};

use nowcast::kernels::Level;
use nowcast::sampling::{Antithetic, DrawError, Gaussian, PathAddress};

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
}

impl Scheme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Antithetic => "antithetic",
        }
    }

    pub(super) fn independent(self) -> Independent {
        match self {
            Self::Random => Independent::All,
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
    pub(super) level: Level,
    pub(super) scheme: Scheme,
    pub(super) seed: u64,
    pub(super) stream: u64,
}

impl Drawing {
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
        let &Self { level, scheme, seed, stream } = self;
        let first = PathAddress { seed, stream, path };
        match scheme {
            Scheme::Random => gaussian.draw(level, first, out),
            Scheme::Antithetic => gaussian.draw(level, Antithetic(first), out),
        }
    }
}
