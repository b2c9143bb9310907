//! Gaussian dependence between arbitrary marginals.
//!
//! Owns [`Copula`]. Its invariant: a path is that of its [`Gaussian`] at the same address, each
//! element mapped by its own non-decreasing table; so it has the same bits on every instruction set
//! and in every block. It must not know what the marginals are quantiles of.

mod error;
mod make;
#[cfg(test)]
mod tests;

pub use error::CopulaError;

use super::draw::{BLOCK, Numbered, WIDTH};
use super::error::DrawError;
use super::gaussian::Gaussian;
use super::quantile::normal_quantile;
use super::real::Real;
use super::room::Room;
use super::source::Source;
use super::tile::{Layout, Window};
use crate::kernels::{Level, Simd, Vectorized, dispatch};

/// How a marginal goes on beyond its outer levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tails {
    /// As a normal distribution: in the normal score, the slope of the outer segment goes on.
    #[default]
    Normal,
    /// Not at all: the outer values are the least and the largest.
    Flat,
    /// Falling off about as an exponential distribution: values go with the square of the normal
    /// score, from the slope of the outer segment on. The outer levels must lie on both sides of
    /// one half.
    Exponential,
}

/// Joint paths with the dependence of a [`Gaussian`] and marginals given by their quantiles.
///
/// Of the Gaussian only the correlations count. Between the levels, a marginal is linear in the
/// normal score of the probability, so the quantiles of a normal distribution give that
/// distribution back, whatever the levels.
///
/// It borrows the memory that it was made in and never changes it.
///
/// # Examples
/// Nine quantiles of each of two steps, as a forecaster gives them, and joint paths:
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{Copula, Gaussian, PathAddress, Tails};
///
/// let level = Level::detect();
/// let levels = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// let forecast = [
///     10.0, 10.4, 10.7, 11.0, 11.3, 11.7, 12.3, 13.2, 15.0, // step 1: skewed
///     9.0, 9.6, 10.1, 10.6, 11.0, 11.6, 12.5, 13.9, 16.5, // step 2
/// ];
/// let correlation = [1.0, 0.8, 0.8, 1.0];
/// let (mut storage, mut scratch) = ([0.0f32; Gaussian::full_len(2)], [0.0; 3]);
/// let gaussian = Gaussian::full(level, &[0.0; 2], &correlation, &mut storage, &mut scratch)?;
///
/// let mut storage = [0.0; Copula::len(2, 9)];
/// let copula = Copula::new(gaussian, &levels, &forecast, Tails::Normal, &mut storage)?;
/// assert!((copula.quantile(0, 0.9) - 15.0).abs() < 1e-6);
///
/// let mut paths = [0.0; 1000 * 2];
/// copula.draw(level, PathAddress { seed: 42, stream: 0, path: 0 }, &mut paths)?;
/// let both = paths.chunks(2).filter(|path| path[0] > 15.0 && path[1] > 16.5).count();
/// assert!((30..80).contains(&both), "independent steps: 10");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Copula<'a, T = f32> {
    /// About zero.
    gaussian: Gaussian<'a, T>,
    tails: Tails,
    /// One over the deviation of each dimension.
    scales: &'a [T],
    /// Normal scores of the levels.
    knots: &'a [T],
    /// The tables of the dimensions, one after another.
    tables: &'a [T],
}

/// The marginal of one dimension: a polynomial on each piece, of the distance from a knot. Piece
/// `j` lies below knot `j` and begins at the knot before; the first one is measured from the first
/// knot.
#[derive(Clone, Copy)]
struct Table<'a, T> {
    knots: &'a [T],
    /// At the knots.
    values: &'a [T],
    /// One for each piece: one more than knots.
    slopes: &'a [T],
    /// Coefficients of the squares in the first and the last piece.
    curves: [T; 2],
}

impl Copula<'_> {
    /// Elements of storage.
    pub const fn len(dim: usize, levels: usize) -> usize {
        dim.saturating_mul(Self::table_len(levels).saturating_add(2)).saturating_add(levels)
    }

    /// Elements of the table of a dimension.
    const fn table_len(levels: usize) -> usize {
        levels.saturating_mul(2).saturating_add(3)
    }
}

impl<'a, T: Real> Copula<'a, T> {
    /// Dimensions.
    pub fn dim(&self) -> usize {
        self.gaussian.dim()
    }

    /// What lies beyond the outer levels.
    pub fn tails(&self) -> Tails {
        self.tails
    }

    fn table(&self, index: usize) -> Table<'a, T> {
        let (knots, len) = (self.knots, Copula::table_len(self.knots.len()));
        let (values, rest) = self.tables[index * len..][..len].split_at(knots.len());
        let (slopes, curves) = rest.split_at(knots.len() + 1);
        Table { knots, values, slopes, curves: [curves[0], curves[1]] }
    }

    /// The value below which dimension `index` falls with probability `p`: exact, without
    /// sampling.
    ///
    /// What is no probability gives NaN.
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    ///
    /// **Cost**: no allocation; one [`normal_quantile`] and a search of the levels.
    pub fn quantile(&self, index: usize, p: f64) -> f64 {
        let z = normal_quantile(p);
        if z.is_nan() { z } else { self.table(index).value(z) }
    }

    /// The normal score at which dimension `index` has the value `x`: what a Gaussian is
    /// conditioned on where `x` is observed.
    ///
    /// Of several scores between the outer levels the middle one; an infinity where `x` is beyond
    /// all values, NaN where it is NaN.
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    ///
    /// **Cost**: no allocation; a search of the levels.
    ///
    /// # Examples
    /// ```
    /// use nowcast::sampling::{Copula, Gaussian, Tails, normal_quantile};
    ///
    /// let mut storage = [0.0f64; Gaussian::diagonal_len(1)];
    /// let gaussian = Gaussian::diagonal(&[0.0], &[1.0], &mut storage)?;
    /// let mut storage = [0.0; Copula::len(1, 3)];
    /// let levels = [0.25, 0.5, 0.75];
    /// let copula = Copula::new(gaussian, &levels, &[1.0, 2.0, 4.0], Tails::Normal, &mut storage)?;
    /// assert_eq!(copula.score(0, 4.0), normal_quantile(0.75));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn score(&self, index: usize, x: f64) -> f64 {
        self.table(index).score(x)
    }

    /// Draws paths: those of the Gaussian at the same addresses, less their means, over their
    /// deviations, mapped to the marginals.
    ///
    /// Paths have the same bits on every level and in every block.
    ///
    /// **Shapes and units**: `out` is `[paths, dim]`, row-major, as many paths as fit; row `n` is
    /// the path of `source` that is `n` behind its first.
    ///
    /// **Errors**: [`DrawError::NotWholePaths`], [`DrawError::TooManyWords`]; `out` is unchanged.
    ///
    /// **Cost**: no allocation; the stack of [`Gaussian::draw`] and at most 8 KiB; its time, and for
    /// each element four operations a level up to 32 levels, a bisection of more.
    pub fn draw(&self, level: Level, source: impl Source, out: &mut [T]) -> Result<(), DrawError> {
        self.draw_as(level, source, Layout::ByPath, out)
    }

    /// Draws the paths of [`draw`](Self::draw), dimension after dimension: the faster layout.
    ///
    /// **Shapes and units**: `out` is `[dim, paths]`, row-major, as many paths as fit.
    ///
    /// **Errors**, **Cost**: as there.
    pub fn draw_transposed(
        &self,
        level: Level,
        source: impl Source,
        out: &mut [T],
    ) -> Result<(), DrawError> {
        self.draw_as(level, source, Layout::ByDim, out)
    }

    fn draw_as(
        &self,
        level: Level,
        source: impl Source,
        layout: Layout,
        out: &mut [T],
    ) -> Result<(), DrawError> {
        let dim = self.dim();
        let paths = self.gaussian.whole_paths(&source, out.len())?;
        if paths == 0 {
            return Ok(());
        }
        let mut out = Window::new(out, dim, layout);
        // What is mapped is still in a near cache.
        let chunk = (CACHED / dim).clamp(WIDTH, CACHED).next_multiple_of(WIDTH);
        for first in (0..paths).step_by(chunk) {
            let count = (paths - first).min(chunk);
            let source = source.at(source.first().wrapping_add(first as u64));
            self.gaussian.fill(level, Numbered::all(source), out.part(first, count));
            dispatch(level, Map { copula: self, out: out.part(first, count) });
        }
        Ok(())
    }
}

/// Elements that are drawn before they are mapped.
const CACHED: usize = 1 << 12;
/// Up to as many levels, each element is compared with every one.
const SCANNED: usize = 32;

/// From elements of the Gaussian to those of the marginals, in place.
struct Map<'a, 'b, T> {
    copula: &'a Copula<'b, T>,
    out: Window<'a, T>,
}

impl<T: Real> Vectorized for Map<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { copula, mut out } = self;
        let (paths, dim) = (out.paths(), out.dim());
        let (mut room, width) = (Room::NEW, T::abreast::<S>());
        let tile = room.zeros(dim.min(BLOCK) * width);
        for first in (0..paths).step_by(width) {
            let mut group = out.part(first, width.min(paths - first));
            for start in (0..dim).step_by(BLOCK) {
                let tile = &mut tile[..BLOCK.min(dim - start) * width];
                group.read(s, tile, width, start);
                for (row, index) in tile.chunks_exact_mut(width).zip(start..) {
                    copula.map(s, index, row);
                }
                group.write(s, tile, width, start);
            }
        }
    }
}

impl<T: Real> Copula<'_, T> {
    /// Maps whole vectors of dimension `index`.
    #[inline(always)]
    fn map<S: Simd>(&self, s: S, index: usize, row: &mut [T]) {
        let table = self.table(index);
        let scale = T::splat(s, self.scales[index]);
        for x in row.chunks_exact_mut(S::LANES) {
            let z = T::mul(s, T::load(s, x), scale);
            let [knot, value, slope] = if table.knots.len() <= SCANNED {
                table.scan(s, z)
            } else {
                T::store(s, z, x);
                table.bisect(s, x)
            };
            let mut y = T::mul_add(s, slope, T::sub(s, z, knot), value);
            if self.tails == Tails::Exponential {
                let first = T::splat(s, table.knots[0]);
                let last = T::splat(s, table.knots[table.knots.len() - 1]);
                let zero = T::splat(s, T::ZERO);
                let below = T::min(s, T::sub(s, z, first), zero);
                let above = T::max(s, T::sub(s, z, last), zero);
                let low = T::splat(s, table.curves[0]);
                let high = T::splat(s, table.curves[1]);
                y = T::mul_add(s, T::mul(s, below, below), low, y);
                y = T::mul_add(s, T::mul(s, above, above), high, y);
            }
            T::store(s, y, x);
        }
    }
}

impl<T: Real> Table<'_, T> {
    /// Knot, value and slope of the piece of each lane.
    #[inline(always)]
    fn scan<S: Simd>(&self, s: S, z: T::Vector<S>) -> [T::Vector<S>; 3] {
        let first = [self.knots[0], self.values[0], self.slopes[0]];
        let mut piece = [T::splat(s, first[0]), T::splat(s, first[1]), T::splat(s, first[2])];
        let pieces = self.knots.iter().zip(self.values).zip(&self.slopes[1..]);
        for ((knot, value), slope) in pieces {
            let knot = T::splat(s, *knot);
            let next = [knot, T::splat(s, *value), T::splat(s, *slope)];
            piece = T::below(s, z, knot, piece, next);
        }
        piece
    }

    /// As [`scan`](Self::scan), lane by lane.
    #[inline(always)]
    fn bisect<S: Simd>(&self, s: S, z: &[T]) -> [T::Vector<S>; 3] {
        let mut lanes = [[T::ZERO; 16]; 3];
        let [knots, values, slopes] = &mut lanes;
        for (((z, knot), value), slope) in z.iter().zip(knots).zip(values).zip(slopes) {
            let piece = self.piece(*z);
            let start = piece.saturating_sub(1);
            (*knot, *value) = (self.knots[start], self.values[start]);
            *slope = self.slopes[piece];
        }
        [T::load(s, &lanes[0]), T::load(s, &lanes[1]), T::load(s, &lanes[2])]
    }

    /// The number of the piece: how many knots are no more than `z`.
    #[inline]
    fn piece(&self, z: T) -> usize {
        self.knots.partition_point(|knot| *knot <= z)
    }

    /// The value at a normal score, in double precision.
    fn value(&self, z: f64) -> f64 {
        let (last, piece) =
            (self.knots.len() - 1, self.knots.partition_point(|knot| knot.to_f64() <= z));
        let start = piece.saturating_sub(1);
        let (slope, value) = (self.slopes[piece].to_f64(), self.values[start].to_f64());
        let curve = match piece {
            0 => self.curves[0].to_f64(),
            _ if start == last => self.curves[1].to_f64(),
            _ => 0.0,
        };
        if slope == 0.0 {
            return value;
        }
        let distance = z - self.knots[start].to_f64();
        if curve == 0.0 {
            value + slope * distance
        } else {
            // Both terms have the sign of the distance.
            value + distance * (slope + curve * distance)
        }
    }

    /// The normal score at a value, in double precision.
    fn score(&self, x: f64) -> f64 {
        let last = self.knots.len() - 1;
        let [knot, value] = [self.knots, self.values].map(|row| move |at: usize| row[at].to_f64());
        // Knots whose values are below `x`, and no more than it.
        let below = self.values.partition_point(|value| value.to_f64() < x);
        let up_to = self.values.partition_point(|value| value.to_f64() <= x);
        if x.is_nan() {
            return x;
        }
        if up_to > below {
            return 0.5 * (knot(below) + knot(up_to - 1));
        }
        let (start, side) = (below.saturating_sub(1), if below == 0 { -1.0 } else { 1.0 });
        let slope = self.slopes[below].to_f64();
        let outside = below == 0 || start == last;
        if outside && slope == 0.0 {
            return f64::INFINITY * side;
        }
        let distance = (x - value(start)) / slope;
        let curve = if below == 0 { self.curves[0] } else { self.curves[1] };
        if outside && curve != T::ZERO {
            // `curve` is the slope over twice the knot.
            return side * libm::sqrt(knot(start) * (knot(start) + 2.0 * distance));
        }
        knot(start) + distance
    }
}
