//! The way that every CPU has.

use super::finish::Finish;
use super::{GemmI8, PANEL};
use crate::kernels::int8::QUAD;
use crate::kernels::simd::{Simd, Vectorized};

/// Computes a product in portable code.
pub(super) fn gemm<S: Simd>(s: S, gemm: &mut GemmI8<'_>) {
    for panel in 0..gemm.n.div_ceil(PANEL) {
        let mut row = 0;
        while row < gemm.m {
            if gemm.m - row >= 4 {
                s.vectorize(Tile::<4> { gemm, row, panel });
                row += 4;
            } else {
                s.vectorize(Tile::<1> { gemm, row, panel });
                row += 1;
            }
        }
    }
}

/// `MR` rows by one panel.
struct Tile<'t, 'g, const MR: usize> {
    gemm: &'t mut GemmI8<'g>,
    row: usize,
    panel: usize,
}

impl<const MR: usize> Vectorized for Tile<'_, '_, MR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { gemm, row, panel } = self;
        let mut sums = [[0i32; PANEL]; MR];
        for (quad, words) in gemm.panel(panel).chunks_exact(PANEL).enumerate() {
            let mut b = [[0; PANEL]; QUAD];
            for (j, word) in words.iter().enumerate() {
                for (b, byte) in b.iter_mut().zip(word.to_le_bytes()) {
                    b[j] = i32::from(byte.cast_signed());
                }
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = &gemm.row(row + i)[QUAD * quad..];
                for (x, b) in a.iter().zip(&b) {
                    let x = gemm.a_grid.value(*x);
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = sum.wrapping_add(x * b);
                    }
                }
            }
        }
        let sums = sums.as_flattened();
        let at = Finish { gemm, row, rows: MR, panel, panels: 1, sums, stride: PANEL, shift: 0 };
        s.vectorize(at);
    }
}
