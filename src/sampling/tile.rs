//! Between tiles, where the lanes of a row are paths, and rows of memory, where a path lies
//! together.
//!
//! Both loops are kept out of line, so that they are compiled for the least of the target: given
//! AVX-512, the compiler makes them of gathers and scatters, which are slower.

/// Writes a tile of `width` lanes to `out`, `[paths, dim]`, from column `start`. There are no more
/// paths than lanes.
#[inline(never)]
pub(super) fn write(tile: &[f32], width: usize, out: &mut [f32], dim: usize, start: usize) {
    for (lane, path) in out.chunks_exact_mut(dim).enumerate() {
        for (element, row) in path[start..].iter_mut().zip(tile.chunks_exact(width)) {
            *element = row[lane];
        }
    }
}

/// Reads what [`write`] has written: the rows of the tile, or as many as `dim` has from `start`.
#[inline(never)]
pub(super) fn read(tile: &mut [f32], width: usize, out: &[f32], dim: usize, start: usize) {
    for (lane, path) in out.chunks_exact(dim).enumerate() {
        for (row, element) in tile.chunks_exact_mut(width).zip(&path[start..]) {
            row[lane] = *element;
        }
    }
}
