//! The loop that makes paths.
//!
//! Owns the order of the arithmetic of a draw and its working memory. It must not know where the
//! factor comes from.
//!
//! The lanes are paths, twice `LANES` of them abreast. Each element is one chain of fused
//! multiply-adds, `mean + l[i][0] * z[0] + l[i][1] * z[1] + ...` up to the diagonal, from the left.
//! Dimensions come in blocks. Where there are several, the normals wait in `out`, where the
//! elements will be: from the last block of rows up, each is read for the last time by the block
//! that replaces it. So working memory has a fixed size, whatever the dimension.

use super::error::DrawError;
use super::normal::normal;
use super::paths::{Lanes, PathAddress};
use super::tile;
use crate::kernels::{Level, Simd, Vectorized, dispatch};

/// Rows of the factor that are stored and multiplied together.
const ROWS: usize = 4;
/// Dimensions at a time: a multiple of `ROWS`.
const BLOCK: usize = 32;
/// Paths abreast at most: two of the widest vectors that the target may have.
const WIDTH: usize = if cfg!(target_arch = "x86_64") {
    32
} else if cfg!(target_arch = "aarch64") {
    8
} else {
    2
};
/// Elements by dimension and path.
type Tile = [f32; BLOCK * WIDTH];

/// Fills `out` with independent standard normals.
///
/// **Shapes and units**: `out` is `[paths, dim]`, row-major, as many paths as fit; row `n` is the
/// path at `first` and `n` further on. Each normal is within 3e-7 of its own size of the one that
/// the [module](crate::sampling) defines, tails included.
///
/// **Errors**: [`DrawError::NotWholePaths`] unless `dim` divides the length of `out` (zero
/// divides none but an empty one); `out` is unchanged.
///
/// **Cost**: no allocation; at most 10 KiB of stack; one Philox block for each path and one word
/// and inverse for each normal. A single path costs as much as `LANES` of them.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{PathAddress, standard_normals};
///
/// let first = PathAddress { seed: 42, stream: 0, path: 0 };
/// let mut out = [0.0; 100 * 3];
/// standard_normals(Level::detect(), first, 3, &mut out)?;
///
/// let mut last = [0.0; 3];
/// standard_normals(Level::scalar(), PathAddress { path: 99, ..first }, 3, &mut last)?;
/// assert_eq!(out[99 * 3..], last);
/// # Ok::<(), nowcast::sampling::DrawError>(())
/// ```
pub fn standard_normals(
    level: Level,
    first: PathAddress,
    dim: usize,
    out: &mut [f32],
) -> Result<(), DrawError> {
    draw(level, Shape::Standard, dim, first, out)
}

/// Draws from `shape` into `out`, `[paths, dim]`.
pub(super) fn draw(
    level: Level,
    shape: Shape<'_>,
    dim: usize,
    first: PathAddress,
    out: &mut [f32],
) -> Result<(), DrawError> {
    if !out.len().is_multiple_of(dim) {
        return Err(DrawError::NotWholePaths { dim, len: out.len() });
    }
    dispatch(level, Draw { shape, dim, first, out });
    Ok(())
}

/// How normals become elements.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    /// They are the elements.
    Standard,
    /// `mean + deviation * z`, one of each.
    Diagonal { mean: &'a [f32], deviations: &'a [f32] },
    /// `mean + factor * z`, the factor as [`pack`] stores it.
    Full { mean: &'a [f32], factor: &'a [f32] },
}

/// Where the panel of rows `ROWS * panel ..` starts. A panel holds `ROWS` coefficients for each
/// column up to its last row, zeros above the diagonal.
const fn panel_start(panel: usize) -> usize {
    (ROWS * ROWS / 2).saturating_mul(panel).saturating_mul(panel.saturating_add(1))
}

/// Elements of a packed factor.
pub(super) const fn factor_len(dim: usize) -> usize {
    panel_start(dim.div_ceil(ROWS))
}

/// Packs a lower triangular factor, given row by row, each up to its diagonal.
pub(super) fn pack<'a>(rows: impl Iterator<Item = &'a [f64]>, factor: &mut [f32]) {
    factor.fill(0.0);
    for (row, elements) in rows.enumerate() {
        let panel = &mut factor[panel_start(row / ROWS)..];
        for (column, element) in panel.as_chunks_mut::<ROWS>().0.iter_mut().zip(elements) {
            column[row % ROWS] = *element as f32;
        }
    }
}

struct Draw<'a> {
    shape: Shape<'a>,
    dim: usize,
    first: PathAddress,
    out: &'a mut [f32],
}

impl Vectorized for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, dim, mut first, out } = self;
        let mut z = [0.0; BLOCK * WIDTH];
        let mut y = [0.0; BLOCK * WIDTH];
        let mut rest = out;
        while !rest.is_empty() {
            let paths = (rest.len() / dim).min(2 * S::LANES);
            let (now, later) = rest.split_at_mut(paths * dim);
            let group = Paths { dim, out: now };
            if paths > S::LANES {
                group.draw::<S, 2>(s, shape, first, &mut z, &mut y);
            } else {
                group.draw::<S, 1>(s, shape, first, &mut z, &mut y);
            }
            first = first.after(paths);
            rest = later;
        }
    }
}

/// Paths that are made together: at most `LANES` times the vectors abreast.
struct Paths<'a> {
    dim: usize,
    /// `[paths, dim]`.
    out: &'a mut [f32],
}

impl Paths<'_> {
    #[inline(always)]
    fn draw<S: Simd, const VECTORS: usize>(
        self,
        s: S,
        shape: Shape<'_>,
        first: PathAddress,
        z: &mut Tile,
        y: &mut Tile,
    ) {
        let width = VECTORS * S::LANES;
        let mut lanes = [Lanes::new(s, first); VECTORS];
        for (vector, lanes) in lanes.iter_mut().enumerate().skip(1) {
            *lanes = Lanes::new(s, first.after(vector * S::LANES));
        }
        let blocks = self.dim.div_ceil(BLOCK);
        for block in 0..blocks {
            let start = block * BLOCK;
            let dims = BLOCK.min(self.dim - start);
            normals(s, &mut lanes, &mut z[..dims * width]);
            match shape {
                Shape::Diagonal { mean, deviations } => {
                    let rows = z.chunks_exact_mut(width).zip(&mean[start..][..dims]);
                    for ((row, mean), deviation) in rows.zip(&deviations[start..]) {
                        for z in row.chunks_exact_mut(S::LANES) {
                            let y = s.mul_add(s.splat(*deviation), s.load(z), s.splat(*mean));
                            s.store(y, z);
                        }
                    }
                }
                Shape::Full { .. } if blocks == 1 => continue,
                _ => {}
            }
            tile::write(s, &z[..dims * width], width, self.out, self.dim, start);
        }
        let Shape::Full { mean, factor } = shape else { return };
        for rows in (0..blocks).rev() {
            let start = rows * BLOCK;
            let mean = &mean[start..][..BLOCK.min(self.dim - start)];
            for columns in 0..=rows {
                if blocks > 1 {
                    let dims = BLOCK.min(self.dim - columns * BLOCK);
                    tile::read(
                        s,
                        &mut z[..dims * width],
                        width,
                        self.out,
                        self.dim,
                        columns * BLOCK,
                    );
                }
                let panels = start / ROWS..(start + mean.len()).div_ceil(ROWS);
                for (panel, y) in panels.zip(y.chunks_exact_mut(ROWS * width)) {
                    let before = ROWS * panel - columns * BLOCK;
                    let coefficients = &factor[panel_start(panel)..][ROWS * columns * BLOCK..];
                    let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
                    if columns == 0 {
                        for (row, mean) in sums.iter_mut().zip(&mean[ROWS * panel - start..]) {
                            *row = [s.splat(*mean); VECTORS];
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
            tile::write(s, &y[..mean.len() * width], width, self.out, self.dim, start);
        }
    }
}

/// Fills whole rows of a tile with normals.
#[inline(always)]
fn normals<S: Simd, const VECTORS: usize>(s: S, lanes: &mut [Lanes<S>; VECTORS], tile: &mut [f32]) {
    for row in tile.chunks_exact_mut(VECTORS * S::LANES) {
        for (lanes, to) in lanes.iter_mut().zip(row.chunks_exact_mut(S::LANES)) {
            let z = normal(s, lanes);
            s.store(z, to);
        }
    }
}

#[inline(always)]
fn load<S: Simd, const VECTORS: usize>(s: S, from: &[f32], to: &mut [[S::F32; VECTORS]; ROWS]) {
    for (row, from) in to.iter_mut().zip(from.chunks_exact(VECTORS * S::LANES)) {
        for (to, from) in row.iter_mut().zip(from.chunks_exact(S::LANES)) {
            *to = s.load(from);
        }
    }
}

#[inline(always)]
fn store<S: Simd, const VECTORS: usize>(s: S, from: &[[S::F32; VECTORS]; ROWS], to: &mut [f32]) {
    for (row, to) in from.iter().zip(to.chunks_exact_mut(VECTORS * S::LANES)) {
        for (from, to) in row.iter().zip(to.chunks_exact_mut(S::LANES)) {
            s.store(*from, to);
        }
    }
}

/// Adds the products of whole columns.
#[inline(always)]
fn multiply<S: Simd, const VECTORS: usize>(
    s: S,
    coefficients: &[f32],
    z: &[f32],
    sums: &mut [[S::F32; VECTORS]; ROWS],
) {
    let columns = coefficients.as_chunks::<ROWS>().0;
    for (column, z) in columns.iter().zip(z.chunks_exact(VECTORS * S::LANES)) {
        for (coefficient, row) in column.iter().zip(sums.iter_mut()) {
            let coefficient = s.splat(*coefficient);
            for (sum, z) in row.iter_mut().zip(z.chunks_exact(S::LANES)) {
                *sum = s.mul_add(coefficient, s.load(z), *sum);
            }
        }
    }
}

/// Adds the products of the columns on the diagonal: column `k` in rows `k` and below.
#[inline(always)]
fn multiply_triangle<S: Simd, const VECTORS: usize>(
    s: S,
    coefficients: &[f32],
    z: &[f32],
    sums: &mut [[S::F32; VECTORS]; ROWS],
) {
    let columns = coefficients.as_chunks::<ROWS>().0[..ROWS].iter().enumerate();
    for ((k, column), z) in columns.zip(z.chunks_exact(VECTORS * S::LANES)) {
        for (coefficient, row) in column[k..].iter().zip(&mut sums[k..]) {
            let coefficient = s.splat(*coefficient);
            for (sum, z) in row.iter_mut().zip(z.chunks_exact(S::LANES)) {
                *sum = s.mul_add(coefficient, s.load(z), *sum);
            }
        }
    }
}
