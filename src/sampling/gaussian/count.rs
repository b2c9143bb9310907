//! What is known of paths that are drawn and not kept: moments, probabilities; and as many paths
//! as time allows.

use super::Gaussian;
use crate::kernels::Level;
use crate::sampling::draw::WIDTH;
use crate::sampling::error::DrawError;
use crate::sampling::moments::Moments;
use crate::sampling::real::Real;
use crate::sampling::source::Source;
use crate::sampling::tile::Layout;

/// Paths that are counted together.
const BLOCK: usize = 256;

/// A probability by Monte Carlo: how many paths did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequency {
    /// Paths that did.
    pub hits: u64,
    /// Paths in all.
    pub paths: u64,
}

impl Frequency {
    /// The estimate: hits over paths, NaN of no paths.
    pub fn value(&self) -> f64 {
        self.hits as f64 / self.paths as f64
    }

    /// The standard error of independent paths, from the estimate itself: zero of no hits, where
    /// [`interval`](Self::interval) still says something.
    pub fn standard_error(&self) -> f64 {
        let p = self.value();
        libm::sqrt(p * (1.0 - p) / self.paths as f64)
    }

    /// Where the probability lies: the score interval at `z` standard deviations (1.96 for 95 %),
    /// which is right for rare events and for none.
    ///
    /// **Source**: Wilson, "Probable inference, the law of succession, and statistical inference",
    /// Journal of the American Statistical Association 22, 1927.
    pub fn interval(&self, z: f64) -> (f64, f64) {
        let (n, p, z2) = (self.paths as f64, self.value(), z * z);
        let scale = 1.0 / (1.0 + z2 / n);
        let centre = scale * (p + z2 / (2.0 * n));
        let half = scale * z * libm::sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n));
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }
}

impl<T: Real> Gaussian<'_, T> {
    /// The probability that every component lies between its bounds, by Monte Carlo over the first
    /// `paths` paths of `source`.
    ///
    /// **Shapes and units**: `lower` and `upper` are `[dim]`, bounds included; infinities leave a
    /// side open. `scratch` has room for a path at least; for 256 at best.
    ///
    /// **Errors**: [`DrawError::Length`], [`DrawError::ScratchTooSmall`],
    /// [`DrawError::TooManyWords`].
    ///
    /// **Cost**: no allocation; that of drawing the paths.
    ///
    /// # Examples
    /// ```
    /// use nowcast::kernels::Level;
    /// use nowcast::sampling::{Gaussian, PathAddress};
    ///
    /// let mut storage = [0.0f32; Gaussian::diagonal_len(2)];
    /// let gaussian = Gaussian::diagonal(&[0.0; 2], &[1.0; 2], &mut storage)?;
    /// let (source, level) = (PathAddress { seed: 1, stream: 0, path: 0 }, Level::detect());
    /// let mut scratch = [0.0; 2 * 256];
    /// let (lower, upper) = ([0.0; 2], [f32::INFINITY; 2]);
    /// let quarter = gaussian
    ///     .probability_within(level, source, 100_000, &lower, &upper, &mut scratch)
    ///     .unwrap();
    /// assert!((quarter.value() - 0.25).abs() < 5.0 * quarter.standard_error());
    /// # Ok::<(), nowcast::sampling::GaussianError>(())
    /// ```
    pub fn probability_within(
        &self,
        level: Level,
        source: impl Source,
        paths: u64,
        lower: &[T],
        upper: &[T],
        scratch: &mut [T],
    ) -> Result<Frequency, DrawError> {
        for bounds in [lower, upper] {
            let (expected, got) = (self.dim(), bounds.len());
            if got != expected {
                return Err(DrawError::Length { expected, got });
            }
        }
        let mut hits = 0;
        self.blocks(level, source, Layout::ByDim, paths, scratch, |block, paths| {
            let mut within = [true; BLOCK];
            let within = &mut within[..paths];
            for ((row, lower), upper) in block.chunks_exact(paths).zip(lower).zip(upper) {
                for (within, x) in within.iter_mut().zip(row) {
                    *within &= (lower <= x) & (x <= upper);
                }
            }
            hits += within.iter().map(|within| u64::from(*within)).sum::<u64>();
        })?;
        Ok(Frequency { hits, paths })
    }

    /// The probability that some component is above its threshold: that a path crosses a barrier
    /// at one of its steps. By Monte Carlo over the first `paths` paths of `source`.
    ///
    /// **Shapes and units**: `thresholds` is `[dim]`; infinity for a step that does not count.
    /// For a barrier from below, negate mean and thresholds.
    ///
    /// **Errors**, **Cost**: as [`probability_within`](Self::probability_within).
    pub fn probability_above(
        &self,
        level: Level,
        source: impl Source,
        paths: u64,
        thresholds: &[T],
        scratch: &mut [T],
    ) -> Result<Frequency, DrawError> {
        let (expected, got) = (self.dim(), thresholds.len());
        if got != expected {
            return Err(DrawError::Length { expected, got });
        }
        let mut hits = 0;
        self.blocks(level, source, Layout::ByDim, paths, scratch, |block, paths| {
            let mut above = [false; BLOCK];
            let above = &mut above[..paths];
            for (row, threshold) in block.chunks_exact(paths).zip(thresholds) {
                for (above, x) in above.iter_mut().zip(row) {
                    *above |= x > threshold;
                }
            }
            hits += above.iter().map(|above| u64::from(*above)).sum::<u64>();
        })?;
        Ok(Frequency { hits, paths })
    }

    /// Adds the first `paths` paths of `source` to `moments`, and keeps none.
    ///
    /// **Shapes and units**: `scratch` has room for a path at least; for 32 or more at best.
    ///
    /// **Errors**: [`DrawError::Length`] if `moments` is of other dimensions,
    /// [`DrawError::ScratchTooSmall`], [`DrawError::TooManyWords`]; `moments` is unchanged.
    ///
    /// **Cost**: no allocation; that of drawing the paths and `dim^2 / 2` multiply-adds for each.
    pub fn draw_moments(
        &self,
        level: Level,
        source: impl Source,
        paths: u64,
        moments: &mut Moments<'_>,
        scratch: &mut [T],
    ) -> Result<(), DrawError> {
        let (dim, got) = (self.dim(), moments.dim());
        if got != dim {
            return Err(DrawError::Length { expected: dim, got });
        }
        self.blocks(level, source, Layout::ByPath, paths, scratch, |block, _| {
            moments.add(level, block);
        })
    }

    /// Draws as many of the paths of [`draw`](Self::draw) as fit into the time until `deadline`,
    /// and says how many: the first ones, the same whatever the deadline was.
    ///
    /// Paths are drawn in blocks. A block is begun if it will end in time, at the pace of the
    /// slowest so far; the first one, which is the smallest, if the deadline is still ahead.
    ///
    /// **Shapes and units**: `clock` says what time it is, in any unit, and never goes back;
    /// `deadline` is a time of that clock. `out` is `[paths, dim]`, row-major; what is behind the
    /// paths that were drawn is unchanged.
    ///
    /// **Errors**: those of [`draw`](Self::draw).
    ///
    /// **Cost**: no allocation; a reading of the clock for each block of some thousand elements, at
    /// least a vector of paths: microseconds in few dimensions, milliseconds of a full form of a
    /// thousand.
    ///
    /// # Examples
    /// ```
    /// use std::time::Instant;
    ///
    /// use nowcast::kernels::Level;
    /// use nowcast::sampling::{Gaussian, PathAddress};
    ///
    /// let mut storage = [0.0f32; Gaussian::diagonal_len(2)];
    /// let gaussian = Gaussian::diagonal(&[0.0; 2], &[1.0; 2], &mut storage)?;
    /// let first = PathAddress { seed: 1, stream: 0, path: 0 };
    /// let mut out = [0.0; 2 * 10_000];
    /// let start = Instant::now();
    /// let clock = || start.elapsed().as_nanos() as u64;
    /// let paths = gaussian.draw_until(Level::detect(), first, clock, 50_000, &mut out).unwrap();
    /// let drawn = &out[..2 * paths];
    /// # assert!(drawn.iter().all(|x| *x != 0.0));
    /// # Ok::<(), nowcast::sampling::GaussianError>(())
    /// ```
    pub fn draw_until<G: Source>(
        &self,
        level: Level,
        source: G,
        mut clock: impl FnMut() -> u64,
        deadline: u64,
        out: &mut [T],
    ) -> Result<usize, DrawError> {
        let dim = self.dim();
        let paths = self.whole_paths(&source, out.len())?;
        // Some thousand elements: long enough that the clock costs nothing.
        let most = (4096 / dim).clamp(1, 1 << 10).next_multiple_of(WIDTH);
        let (mut done, mut pace) = (0, 0.0f64);
        let mut now = clock();
        while done < paths && now < deadline {
            let fit = if done == 0 { WIDTH } else { ((deadline - now) as f64 / pace) as usize };
            let block = (paths - done).min(most).min(fit / WIDTH * WIDTH);
            // The last paths may be fewer than fill a vector, at the price of one.
            if block == 0 {
                break;
            }
            let to = &mut out[done * dim..][..block * dim];
            self.draw(level, source.at(source.first().wrapping_add(done as u64)), to)?;
            done += block;
            let then = clock();
            pace = pace.max(then.saturating_sub(now) as f64 / block as f64);
            now = then;
        }
        Ok(done)
    }

    /// Draws blocks of paths, as many as `scratch` holds, one after the other.
    fn blocks<G: Source>(
        &self,
        level: Level,
        source: G,
        layout: Layout,
        paths: u64,
        scratch: &mut [T],
        mut each: impl FnMut(&[T], usize),
    ) -> Result<(), DrawError> {
        let (needed, got) = (self.dim(), scratch.len());
        let block = (got / needed).min(BLOCK);
        if block == 0 {
            return Err(DrawError::ScratchTooSmall { needed, got });
        }
        let mut done = 0;
        while done < paths {
            let now = (paths - done).min(block as u64);
            let to = &mut scratch[..now as usize * self.dim()];
            let source = source.at(source.first().wrapping_add(done));
            self.draw_as(level, source, layout, to)?;
            each(to, now as usize);
            done += now;
        }
        Ok(())
    }
}
