//! The way that every CPU has.

use super::finish::{Finish, distances};
use super::{GemmI8, PANEL};
use crate::kernels::int8::QUAD;
use crate::kernels::simd::{Simd, Vectorized};

/// Rows of a tile.
const ROWS: usize = 4;

/// Computes a product in portable code.
pub(super) fn gemm<S: Simd>(s: S, gemm: &mut GemmI8<'_>) {
    s.vectorize(Plain(gemm));
}

struct Plain<'t, 'g>(&'t mut GemmI8<'g>);

impl Vectorized for Plain<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let gemm = self.0;
        for row in (0..gemm.m).step_by(ROWS) {
            let rows = (gemm.m - row).min(ROWS);
            let distances: [_; ROWS] = distances(s, gemm, row, rows);
            for panel in 0..gemm.n.div_ceil(PANEL) {
                let mut sums = [[0; PANEL]; ROWS];
                add_products(gemm, row, panel, &mut sums[..rows]);
                let sums = sums.as_flattened();
                s.vectorize(Finish {
                    gemm: &mut *gemm,
                    row,
                    rows,
                    panel,
                    panels: 1,
                    sums,
                    stride: PANEL,
                    shift: 0,
                    distances: &distances,
                });
            }
        }
    }
}

/// Adds the products of rows with a panel.
#[inline(always)]
fn add_products(gemm: &GemmI8<'_>, row: usize, panel: usize, sums: &mut [[i32; PANEL]]) {
    for (quad, words) in gemm.panel(panel).chunks_exact(PANEL).enumerate() {
        let mut b = [[0; PANEL]; QUAD];
        for (j, word) in words.iter().enumerate() {
            for (b, byte) in b.iter_mut().zip(word.to_le_bytes()) {
                b[j] = i32::from(byte.cast_signed());
            }
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // The last four may be fewer.
            for (x, b) in gemm.row(row + i)[QUAD * quad..].iter().zip(&b) {
                let x = gemm.a_grid.value(*x);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = sum.wrapping_add(x * b);
                }
            }
        }
    }
}
