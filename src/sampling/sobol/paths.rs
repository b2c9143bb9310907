//! Sobol points as a source of words.

use super::scramble::Key;
use super::{Points, Sobol};
use crate::kernels::Simd;
use crate::sampling::paths::PathAddress;
use crate::sampling::source::{Generator, Words};

/// Keys that are made together: a vector of the widest.
const KEYS: usize = 16;

/// The paths of a [`Sobol`] sequence, whose words are the coordinates of scrambled points: word
/// `j` of a path is coordinate `j` of the point with its number.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{Gaussian, PathAddress, Sobol};
///
/// let mut numbers = [0; Sobol::storage_len(2)];
/// let sobol = Sobol::new(2, &mut numbers)?;
/// let mut storage = [0.0f32; Gaussian::diagonal_len(2)];
/// let gaussian = Gaussian::diagonal(&[1.0, 2.0], &[1.0, 4.0], &mut storage).unwrap();
///
/// let mut paths = [0.0; 2 * 1024];
/// let first = PathAddress { seed: 42, stream: 0, path: 0 };
/// gaussian.draw(Level::detect(), sobol.paths(first), &mut paths).unwrap();
/// let mean = paths.iter().step_by(2).sum::<f32>() / 1024.0;
/// assert!((mean - 1.0).abs() < 0.002, "independent paths would be off by 0.03");
/// # Ok::<(), nowcast::sampling::SobolError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SobolPaths<'a> {
    sobol: Sobol<'a>,
    first: PathAddress,
}

impl<'a> SobolPaths<'a> {
    pub(super) fn new(sobol: Sobol<'a>, first: PathAddress) -> Self {
        Self { sobol, first }
    }
}

impl<'a> Generator for SobolPaths<'a> {
    type Words<S: Simd> = Coordinates<'a, S>;

    #[inline(always)]
    fn first(&self) -> u64 {
        self.first.path
    }

    #[inline(always)]
    fn at(self, path: u64) -> Self {
        Self { first: PathAddress { path, ..self.first }, ..self }
    }

    fn most_words(&self) -> usize {
        self.sobol.dim()
    }

    /// Up to the end of the block of `2^32` points, behind which there are other keys.
    #[inline(always)]
    fn together(number: u64) -> u64 {
        (1 << 32) - (number & 0xffff_ffff)
    }

    #[inline(always)]
    fn words<S: Simd>(&self, s: S, low: S::U32, high: S::U32) -> Coordinates<'a, S> {
        let (mut lows, mut highs) = ([0; 16], [0; 16]);
        s.u32_store(low, &mut lows);
        s.u32_store(high, &mut highs);
        let block = PathAddress { path: u64::from(highs[0]) << 32, ..self.first };
        let points = Points::new(s, lows[0], low);
        Coordinates {
            sobol: self.sobol,
            block,
            low,
            points,
            index: 0,
            keys: [Key::default(); KEYS],
        }
    }
}

/// The coordinates of one point in each lane, one dimension after the other.
#[derive(Clone, Copy, Debug)]
pub struct Coordinates<'a, S: Simd> {
    sobol: Sobol<'a>,
    block: PathAddress,
    low: S::U32,
    points: Points<S>,
    index: usize,
    /// Those of the dimensions from the last multiple of as many on.
    keys: [Key; KEYS],
}

impl<S: Simd> Words<S> for Coordinates<'_, S> {
    #[inline(always)]
    fn next(&mut self, s: S) -> S::U32 {
        if self.index.is_multiple_of(KEYS) {
            Key::fill(s, self.block, self.index, &mut self.keys);
        }
        let key = self.keys[self.index % KEYS];
        let word = self.sobol.words(s, self.index, key, &self.points);
        self.index += 1;
        word
    }

    #[inline(always)]
    fn second(&self, s: S) -> S::U32 {
        self.keys[(self.index + KEYS - 1) % KEYS].second(s, self.low)
    }
}
