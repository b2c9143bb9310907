//! Between tiles, where the lanes of a row are paths, and rows of memory, where a path lies
//! together.
//!
//! Squares of eight paths and eight dimensions are transposed in registers. The last square of
//! eight paths overlaps the one before, so that the dimensions need not be a multiple of eight; what
//! is still left goes one by one, out of line: given AVX-512, the compiler would make scatters and
//! gathers of it, which are slower.

use crate::kernels::Simd;

/// Paths and dimensions of a square.
const SIDE: usize = 8;

/// Where the squares of `dims` dimensions begin.
#[inline(always)]
fn squares(dims: usize) -> impl Iterator<Item = usize> {
    (0..dims.div_ceil(SIDE)).map(move |square| (square * SIDE).min(dims - SIDE))
}

/// Writes a tile of `width` lanes to `out`, `[paths, dim]`, from column `start`. There are no more
/// paths than lanes.
#[inline(always)]
pub(super) fn write<S: Simd>(
    s: S,
    tile: &[f32],
    width: usize,
    out: &mut [f32],
    dim: usize,
    start: usize,
) {
    let dims = tile.len() / width;
    let mut lane = 0;
    let mut rest = out;
    while dims >= SIDE && rest.len() >= SIDE * dim {
        for row in squares(dims) {
            s.transpose8(&tile[row * width + lane..], width, &mut rest[start + row..], dim);
        }
        rest = &mut rest[SIDE * dim..];
        lane += SIDE;
    }
    write_singly(tile, width, lane, rest, dim, start);
}

#[inline(never)]
fn write_singly(
    tile: &[f32],
    width: usize,
    first: usize,
    out: &mut [f32],
    dim: usize,
    start: usize,
) {
    for (path, lane) in out.chunks_exact_mut(dim).zip(first..) {
        for (element, row) in path[start..].iter_mut().zip(tile.chunks_exact(width)) {
            *element = row[lane];
        }
    }
}

/// Reads what [`write`] has written into as many rows as the tile has, which are no more than the
/// columns from `start`.
#[inline(always)]
pub(super) fn read<S: Simd>(
    s: S,
    tile: &mut [f32],
    width: usize,
    out: &[f32],
    dim: usize,
    start: usize,
) {
    let dims = tile.len() / width;
    let mut lane = 0;
    let mut rest = out;
    while dims >= SIDE && rest.len() >= SIDE * dim {
        for row in squares(dims) {
            s.transpose8(&rest[start + row..], dim, &mut tile[row * width + lane..], width);
        }
        rest = &rest[SIDE * dim..];
        lane += SIDE;
    }
    read_singly(tile, width, lane, rest, dim, start);
}

#[inline(never)]
fn read_singly(
    tile: &mut [f32],
    width: usize,
    first: usize,
    out: &[f32],
    dim: usize,
    start: usize,
) {
    for (path, lane) in out.chunks_exact(dim).zip(first..) {
        for (element, row) in path[start..].iter().zip(tile.chunks_exact_mut(width)) {
            row[lane] = *element;
        }
    }
}
