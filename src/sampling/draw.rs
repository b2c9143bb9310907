//! The loop that makes paths.
//!
//! Owns the order of the arithmetic of a draw and its working memory. It must not know where the
//! factor comes from.
//!
//! The lanes are paths, twice `LANES` of them abreast. Each element is one chain of fused
//! multiply-adds, `mean + l[i][0] * z[0] + l[i][1] * z[1] + ...` up to the diagonal, from the left.
//! Dimensions come in blocks. Where there are several, the normals wait in the caller's memory,
//! where the elements will be: from the last block of rows up, each is read for the last time by
//! the block that replaces it. So working memory has a fixed size, whatever the dimension.

use super::error::DrawError;
use super::real::Real;
use super::room::Room;
use super::source::{Source, Words};
use super::tile::{Layout, Window};
use crate::kernels::{Level, Simd, Vectorized, dispatch};

/// Rows of the factor that are stored and multiplied together.
pub(super) const ROWS: usize = 4;
/// Dimensions at a time: a multiple of `ROWS`. The more, the less often normals that wait in the
/// caller's memory are read again, and the more working memory, of which two tiles should leave half
/// of a first-level cache of 32 KiB to the factor.
pub(super) const BLOCK: usize = 64;
/// Paths abreast at most: two of the widest vectors that the target may have.
pub(super) const WIDTH: usize = if cfg!(target_arch = "x86_64") {
    32
} else if cfg!(target_arch = "aarch64") {
    8
} else {
    2
};

/// Fills `out` with independent standard normals.
///
/// **Shapes and units**: `out` is `[paths, dim]`, row-major, as many paths as fit; row `n` is the
/// path of `source` that is `n` behind its first. Each normal is within 3e-7 (`f32`) of its own
/// size of the one that the [module](crate::sampling) defines, 1e-15 (`f64`), tails included.
///
/// **Errors**: [`DrawError::NotWholePaths`] unless `dim` divides the length of `out` (zero
/// divides none but an empty one), [`DrawError::TooManyWords`]; `out` is unchanged.
///
/// **Cost**: no allocation; at most 24 KiB of stack; one Philox block for each path and
/// one word and inverse for each normal. A single path costs as much as `LANES` of them.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{PathAddress, standard_normals};
///
/// let first = PathAddress { seed: 42, stream: 0, path: 0 };
/// let mut out = [0.0f32; 100 * 3];
/// standard_normals(Level::detect(), first, 3, &mut out)?;
///
/// let mut last = [0.0f32; 3];
/// standard_normals(Level::scalar(), PathAddress { path: 99, ..first }, 3, &mut last)?;
/// assert_eq!(out[99 * 3..], last);
///
/// let mut refined = [0.0f64; 3];
/// standard_normals(Level::detect(), PathAddress { path: 99, ..first }, 3, &mut refined)?;
/// assert!((refined[0] - f64::from(last[0])).abs() < 1e-6);
/// # Ok::<(), nowcast::sampling::DrawError>(())
/// ```
pub fn standard_normals<T: Real>(
    level: Level,
    source: impl Source,
    dim: usize,
    out: &mut [T],
) -> Result<(), DrawError> {
    if whole_paths(&source, dim, dim, out.len())? > 0 {
        let out = Window::new(out, dim, Layout::ByPath);
        draw(level, Shape::Standard, dim, Numbered::all(source), out);
    }
    Ok(())
}

/// How many paths of `dim` elements `len` elements are, each made from `words` words.
pub(super) fn whole_paths(
    source: &impl Source,
    dim: usize,
    words: usize,
    len: usize,
) -> Result<usize, DrawError> {
    if !len.is_multiple_of(dim) {
        return Err(DrawError::NotWholePaths { dim, len });
    }
    let most = source.most_words();
    if words > most {
        return Err(DrawError::TooManyWords { needed: words, most });
    }
    Ok(len.checked_div(dim).unwrap_or(0))
}

/// Draws from `shape` into `out`. One copy for all who call it: it is long.
#[inline(never)]
pub(super) fn draw<T: Real, G: Source>(
    level: Level,
    shape: Shape<'_, T>,
    dim: usize,
    from: Numbered<'_, G>,
    out: Window<'_, T>,
) {
    dispatch(level, Draw { shape, dim, from, out });
}

/// Which paths of a source are drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered<'a, G> {
    pub(super) source: G,
    /// Their numbers, or, empty, all from the first of the source on.
    pub(super) numbers: &'a [u64],
    /// Words of each path that went elsewhere.
    pub(super) used: usize,
}

impl<G: Source> Numbered<'_, G> {
    pub(super) fn all(source: G) -> Self {
        Self { source, numbers: &[], used: 0 }
    }

    /// How many of these `paths` at `start` may share vectors.
    #[inline(always)]
    pub(super) fn together(&self, start: usize, paths: usize) -> usize {
        // Those of a list may all.
        if !self.numbers.is_empty() {
            return paths;
        }
        let most = G::together(self.source.first().wrapping_add(start as u64));
        most.min(paths as u64) as usize
    }

    /// The words of the paths at `start` and behind it, some lanes of which nobody looks at.
    #[inline(always)]
    pub(super) fn words<S: Simd, const VECTORS: usize>(
        &self,
        s: S,
        start: usize,
        paths: usize,
    ) -> [G::Words<S>; VECTORS] {
        let (mut low, mut high) = ([0u32; WIDTH], [0u32; WIDTH]);
        let first = self.source.first().wrapping_add(start as u64);
        let lanes = low.iter_mut().zip(&mut high).take(VECTORS * S::LANES);
        for ((low, high), lane) in lanes.zip(0u64..) {
            let number = first.wrapping_add(lane);
            (*low, *high) = (number as u32, (number >> 32) as u32);
        }
        let listed = self.numbers.iter().skip(start).take(paths);
        for (number, (low, high)) in listed.zip(low.iter_mut().zip(&mut high)) {
            (*low, *high) = (*number as u32, (*number >> 32) as u32);
        }
        // No closure: that would not be compiled for the instruction set.
        let mut words = [self.source.words(s, s.u32_load(&low), s.u32_load(&high)); VECTORS];
        for (at, words) in words.iter_mut().enumerate().skip(1) {
            let lanes = at * S::LANES;
            *words = self.source.words(s, s.u32_load(&low[lanes..]), s.u32_load(&high[lanes..]));
        }
        for words in &mut words {
            for _ in 0..self.used {
                words.next(s);
            }
        }
        words
    }
}

/// How normals become elements.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a, T> {
    /// They are the elements.
    Standard,
    /// `mean + deviation * z`, one of each.
    Diagonal { mean: &'a [T], deviations: &'a [T] },
    /// `mean + factor * z`, the factor as [`pack`] stores it.
    Full { mean: &'a [T], factor: &'a [T] },
    /// `mean + loadings * z + deviation * z'`: `rank` normals for all dimensions, then one for
    /// each; the loadings as [`pack_loadings`] stores them.
    LowRank { mean: &'a [T], loadings: &'a [T], deviations: &'a [T], rank: usize },
}

impl<T> Shape<'_, T> {
    /// Dimensions, or common factors, that are made together, up to a whole panel.
    fn normals_together(&self, dim: usize) -> usize {
        let rank = if let Shape::LowRank { rank, .. } = self { *rank } else { 0 };
        rank.max(dim).min(BLOCK).next_multiple_of(ROWS)
    }
}

/// Where the panel of rows `ROWS * panel ..` starts. A panel holds `ROWS` coefficients for each
/// column up to its last row, zeros above the diagonal.
pub(super) const fn panel_start(panel: usize) -> usize {
    (ROWS * ROWS / 2).saturating_mul(panel).saturating_mul(panel.saturating_add(1))
}

/// Elements of a packed factor.
pub(super) const fn factor_len(dim: usize) -> usize {
    panel_start(dim.div_ceil(ROWS))
}

/// Packs a lower triangular factor, given row by row, each up to its diagonal.
pub(super) fn pack<'a, T: Real>(rows: impl Iterator<Item = &'a [f64]>, factor: &mut [T]) {
    factor.fill(T::ZERO);
    for (row, elements) in rows.enumerate() {
        let panel = &mut factor[panel_start(row / ROWS)..];
        for (column, element) in panel.as_chunks_mut::<ROWS>().0.iter_mut().zip(elements) {
            column[row % ROWS] = T::from_f64(*element);
        }
    }
}

/// The element of a packed factor, on or below the diagonal.
pub(super) fn factor_at<T: Real>(factor: &[T], row: usize, column: usize) -> T {
    factor[panel_start(row / ROWS) + ROWS * column + row % ROWS]
}

/// Writes the element of a packed factor, on or below the diagonal.
pub(super) fn set_factor<T: Real>(factor: &mut [T], row: usize, column: usize, to: T) {
    factor[panel_start(row / ROWS) + ROWS * column + row % ROWS] = to;
}

/// Elements of packed loadings.
pub(super) const fn loadings_len(dim: usize, rank: usize) -> usize {
    dim.div_ceil(ROWS).saturating_mul(ROWS).saturating_mul(rank)
}

/// Packs loadings, `[dim, rank]`, in panels of `ROWS` rows, column by column.
pub(super) fn pack_loadings<T: Real>(loadings: &[f64], rank: usize, packed: &mut [T]) {
    packed.fill(T::ZERO);
    for (row, elements) in loadings.chunks_exact(rank).enumerate() {
        let panel = &mut packed[row / ROWS * ROWS * rank..];
        for (column, element) in panel.as_chunks_mut::<ROWS>().0.iter_mut().zip(elements) {
            column[row % ROWS] = T::from_f64(*element);
        }
    }
}

/// The element of packed loadings.
pub(super) fn loading_at<T: Real>(packed: &[T], rank: usize, row: usize, column: usize) -> T {
    packed[(row / ROWS * rank + column) * ROWS + row % ROWS]
}

/// Writes the element of packed loadings.
pub(super) fn set_loading<T: Real>(
    packed: &mut [T],
    rank: usize,
    row: usize,
    column: usize,
    to: T,
) {
    packed[(row / ROWS * rank + column) * ROWS + row % ROWS] = to;
}

struct Draw<'a, T, G> {
    shape: Shape<'a, T>,
    dim: usize,
    from: Numbered<'a, G>,
    out: Window<'a, T>,
}

impl<T: Real, G: Source> Vectorized for Draw<'_, T, G> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, dim, from, mut out } = self;
        let abreast = T::abreast::<S>();
        let mut rooms = [Room::NEW, Room::NEW];
        let [z, y] = &mut rooms;
        let len = shape.normals_together(dim) * abreast;
        let mut tiles = Tiles { z: z.zeros(len), y: y.zeros(len) };
        let mut start = 0;
        while start < out.paths() {
            let paths = from.together(start, (out.paths() - start).min(abreast));
            let group = out.part(start, paths);
            if T::twice::<S>() && paths > S::LANES {
                tiles.draw::<S, 2>(s, shape, dim, from.words(s, start, paths), group);
            } else {
                tiles.draw::<S, 1>(s, shape, dim, from.words(s, start, paths), group);
            }
            start += paths;
        }
    }
}

/// Working memory: normals, and elements that are being made of them.
struct Tiles<'t, T> {
    z: &'t mut [T],
    y: &'t mut [T],
}

impl<T: Real> Tiles<'_, T> {
    /// Paths that are made together: at most `LANES` times the vectors abreast. Normals come in
    /// blocks, those of common factors first. There is one place where they are made, since the
    /// inverse is long.
    #[inline(always)]
    fn draw<S: Simd, const VECTORS: usize>(
        &mut self,
        s: S,
        shape: Shape<'_, T>,
        dim: usize,
        mut words: [impl Words<S>; VECTORS],
        mut out: Window<'_, T>,
    ) {
        let width = VECTORS * S::LANES;
        let rank = if let Shape::LowRank { rank, .. } = shape { rank } else { 0 };
        let mut done = 0;
        while done < rank + dim {
            let common = done < rank;
            let (start, end) = if common { (done, rank) } else { (done - rank, dim) };
            let normals = BLOCK.min(end - start);
            done += normals;
            let z = &mut self.z[..normals * width];
            fill(s, &mut words, z);
            match shape {
                Shape::Standard => {}
                Shape::Diagonal { mean, deviations } => {
                    let rows = z.chunks_exact_mut(width).zip(&mean[start..]);
                    for ((row, mean), deviation) in rows.zip(&deviations[start..]) {
                        let (mean, deviation) = (T::splat(s, *mean), T::splat(s, *deviation));
                        for z in row.chunks_exact_mut(S::LANES) {
                            T::store(s, T::mul_add(s, deviation, T::load(s, z), mean), z);
                        }
                    }
                }
                // One block waits where it is.
                Shape::Full { .. } if dim <= BLOCK => continue,
                Shape::Full { .. } => {}
                Shape::LowRank { mean, loadings, .. } if common => {
                    let block = Block { loadings, rank, first: start, factors: normals };
                    self.common::<S, VECTORS>(s, mean, block, &mut out);
                    continue;
                }
                Shape::LowRank { deviations, .. } => {
                    let y = &mut self.y[..normals * width];
                    out.read(s, y, width, start);
                    let rows = z.chunks_exact_mut(width).zip(y.chunks_exact(width));
                    for ((z, y), deviation) in rows.zip(&deviations[start..]) {
                        let deviation = T::splat(s, *deviation);
                        for (z, y) in z.chunks_exact_mut(S::LANES).zip(y.chunks_exact(S::LANES)) {
                            let sum = T::mul_add(s, deviation, T::load(s, z), T::load(s, y));
                            T::store(s, sum, z);
                        }
                    }
                }
            }
            out.write(s, z, width, start);
        }
        if let Shape::Full { mean, factor } = shape {
            self.full::<S, VECTORS>(s, mean, factor, &mut out);
        }
    }

    /// The products of a factor and the normals, which wait in `z` or, of several blocks, in the
    /// caller's memory.
    #[inline(always)]
    fn full<S: Simd, const VECTORS: usize>(
        &mut self,
        s: S,
        mean: &[T],
        factor: &[T],
        out: &mut Window<'_, T>,
    ) {
        let width = VECTORS * S::LANES;
        let dim = mean.len();
        let blocks = dim.div_ceil(BLOCK);
        let (z, y) = (&mut *self.z, &mut *self.y);
        for rows in (0..blocks).rev() {
            let start = rows * BLOCK;
            let mean = &mean[start..][..BLOCK.min(dim - start)];
            for columns in 0..=rows {
                if blocks > 1 {
                    let dims = BLOCK.min(dim - columns * BLOCK);
                    out.read(s, &mut z[..dims * width], width, columns * BLOCK);
                }
                let panels = start / ROWS..(start + mean.len()).div_ceil(ROWS);
                for (panel, y) in panels.zip(y.chunks_exact_mut(ROWS * width)) {
                    let before = ROWS * panel - columns * BLOCK;
                    let coefficients = &factor[panel_start(panel)..][ROWS * columns * BLOCK..];
                    let mut sums = [[T::splat(s, T::ZERO); VECTORS]; ROWS];
                    if columns == 0 {
                        for (row, mean) in sums.iter_mut().zip(&mean[ROWS * panel - start..]) {
                            *row = [T::splat(s, *mean); VECTORS];
                        }
                    } else {
                        load(s, y, &mut sums);
                    }
                    if columns < rows {
                        multiply(s, &coefficients[..ROWS * BLOCK], z, &mut sums);
                    } else {
                        let (full, triangle) = coefficients.split_at(ROWS * before);
                        multiply(s, full, z, &mut sums);
                        multiply_triangle(s, triangle, &z[before * width..], &mut sums);
                    }
                    store(s, &sums, y);
                }
            }
            out.write(s, &y[..mean.len() * width], width, start);
        }
    }

    /// Adds the products of a block of common factors, in `z`, to the sums, which wait in the
    /// caller's memory.
    #[inline(always)]
    fn common<S: Simd, const VECTORS: usize>(
        &mut self,
        s: S,
        mean: &[T],
        block: Block<'_, T>,
        out: &mut Window<'_, T>,
    ) {
        let Block { loadings, rank, first, factors } = block;
        let width = VECTORS * S::LANES;
        let (z, y) = (&mut *self.z, &mut *self.y);
        for start in (0..mean.len()).step_by(BLOCK) {
            let mean = &mean[start..][..BLOCK.min(mean.len() - start)];
            if first > 0 {
                out.read(s, &mut y[..mean.len() * width], width, start);
            } else {
                for (row, mean) in y.chunks_exact_mut(width).zip(mean) {
                    for y in row.chunks_exact_mut(S::LANES) {
                        T::store(s, T::splat(s, *mean), y);
                    }
                }
            }
            let panels = start / ROWS..(start + mean.len()).div_ceil(ROWS);
            for (panel, y) in panels.zip(y.chunks_exact_mut(ROWS * width)) {
                let mut sums = [[T::splat(s, T::ZERO); VECTORS]; ROWS];
                load(s, y, &mut sums);
                let coefficients = &loadings[ROWS * (panel * rank + first)..];
                multiply(s, &coefficients[..ROWS * factors], &z[..factors * width], &mut sums);
                store(s, &sums, y);
            }
            out.write(s, &y[..mean.len() * width], width, start);
        }
    }
}

/// Common factors that are drawn together.
struct Block<'a, T> {
    /// Of all factors.
    loadings: &'a [T],
    rank: usize,
    first: usize,
    factors: usize,
}

/// Fills whole rows of a tile with normals.
#[inline(always)]
fn fill<S: Simd, T: Real, const VECTORS: usize>(
    s: S,
    words: &mut [impl Words<S>; VECTORS],
    tile: &mut [T],
) {
    for row in tile.chunks_exact_mut(VECTORS * S::LANES) {
        for (words, to) in words.iter_mut().zip(row.chunks_exact_mut(S::LANES)) {
            let z = T::normal(s, words);
            T::store(s, z, to);
        }
    }
}

#[inline(always)]
fn load<S: Simd, T: Real, const VECTORS: usize>(
    s: S,
    from: &[T],
    to: &mut [[T::Vector<S>; VECTORS]; ROWS],
) {
    for (row, from) in to.iter_mut().zip(from.chunks_exact(VECTORS * S::LANES)) {
        for (to, from) in row.iter_mut().zip(from.chunks_exact(S::LANES)) {
            *to = T::load(s, from);
        }
    }
}

#[inline(always)]
fn store<S: Simd, T: Real, const VECTORS: usize>(
    s: S,
    from: &[[T::Vector<S>; VECTORS]; ROWS],
    to: &mut [T],
) {
    for (row, to) in from.iter().zip(to.chunks_exact_mut(VECTORS * S::LANES)) {
        for (from, to) in row.iter().zip(to.chunks_exact_mut(S::LANES)) {
            T::store(s, *from, to);
        }
    }
}

/// Adds the products of whole columns.
#[inline(always)]
fn multiply<S: Simd, T: Real, const VECTORS: usize>(
    s: S,
    coefficients: &[T],
    z: &[T],
    sums: &mut [[T::Vector<S>; VECTORS]; ROWS],
) {
    let columns = coefficients.as_chunks::<ROWS>().0;
    for (column, z) in columns.iter().zip(z.chunks_exact(VECTORS * S::LANES)) {
        for (coefficient, row) in column.iter().zip(sums.iter_mut()) {
            let coefficient = T::splat(s, *coefficient);
            for (sum, z) in row.iter_mut().zip(z.chunks_exact(S::LANES)) {
                *sum = T::mul_add(s, coefficient, T::load(s, z), *sum);
            }
        }
    }
}

/// Adds the products of the columns on the diagonal: column `k` in rows `k` and below.
#[inline(always)]
fn multiply_triangle<S: Simd, T: Real, const VECTORS: usize>(
    s: S,
    coefficients: &[T],
    z: &[T],
    sums: &mut [[T::Vector<S>; VECTORS]; ROWS],
) {
    let columns = coefficients.as_chunks::<ROWS>().0[..ROWS].iter().enumerate();
    for ((k, column), z) in columns.zip(z.chunks_exact(VECTORS * S::LANES)) {
        for (coefficient, row) in column[k..].iter().zip(&mut sums[k..]) {
            let coefficient = T::splat(s, *coefficient);
            for (sum, z) in row.iter_mut().zip(z.chunks_exact(S::LANES)) {
                *sum = T::mul_add(s, coefficient, T::load(s, z), *sum);
            }
        }
    }
}
