//! What follows the sums: zero points, scales, stages, and the output.
//!
//! Every operation is rounded by itself, none are fused.
#![allow(clippy::needless_range_loop, reason = "an index says which vector")]

use super::{GemmI8, Output, PANEL};
use crate::kernels::simd::{Simd, Vectorized};
use crate::kernels::stages::{apply, store};

/// Sums of `rows` rows by `panels` panels, and the product that they are of.
pub(in crate::kernels) struct Finish<'t, 'g> {
    pub gemm: &'t mut GemmI8<'g>,
    pub row: usize,
    pub rows: usize,
    pub panel: usize,
    pub panels: usize,
    pub sums: &'t [i32],
    /// Sums from a row to the next.
    pub stride: usize,
    /// What the way has added to each value of `A`.
    pub shift: i32,
}

impl Vectorized for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { gemm, row, rows, panel, panels, sums, stride, shift } = self;
        let first = panel * PANEL;
        let cols = (panels * PANEL).min(gemm.n - first);
        let zero = gemm.a_grid.zero.wrapping_add(shift);
        for i in 0..rows {
            let row = row + i;
            let distance = if gemm.b_zero.is_some() { distance(gemm, row) } else { 0 };
            let sums = &sums[i * stride..][..panels * PANEL];
            let (mut at, mut strip) = (0, Strip { row, col: first, cols: 0, zero, distance });
            while at < cols {
                let left = cols - at;
                strip.col = first + at;
                let sums = &sums[at..];
                at += if left >= 4 * S::LANES {
                    strip.cols = 4 * S::LANES;
                    strip.finish::<S, 4, true>(s, gemm, sums);
                    4 * S::LANES
                } else if left >= 2 * S::LANES {
                    strip.cols = 2 * S::LANES;
                    strip.finish::<S, 2, true>(s, gemm, sums);
                    2 * S::LANES
                } else if left >= S::LANES {
                    strip.cols = S::LANES;
                    strip.finish::<S, 1, true>(s, gemm, sums);
                    S::LANES
                } else {
                    strip.cols = left;
                    strip.finish::<S, 1, false>(s, gemm, sums);
                    S::LANES
                };
            }
        }
    }
}

/// The sum of `a - a_zero` in a row.
#[inline(always)]
fn distance(gemm: &GemmI8<'_>, row: usize) -> i32 {
    // With the top bit flipped, signed bytes are unsigned ones, 128 above their values.
    let (flip, above) = if gemm.a_grid.signed { (0x80, 128) } else { (0, 0) };
    let sum = gemm.row(row).iter().fold(0u32, |sum, x| sum.wrapping_add((x ^ flip).into()));
    let zeros = (gemm.a_grid.zero + above).wrapping_mul(gemm.k as i32);
    sum.cast_signed().wrapping_sub(zeros)
}

/// A part of a row.
struct Strip {
    row: usize,
    col: usize,
    cols: usize,
    /// The zero point of what was multiplied.
    zero: i32,
    /// The sum of `a - a_zero`, where `B` has zero points.
    distance: i32,
}

impl Strip {
    /// Finishes `V` vectors; if not `WHOLE`, one of which there may be a part only.
    #[inline(always)]
    fn finish<S: Simd, const V: usize, const WHOLE: bool>(
        &self,
        s: S,
        gemm: &mut GemmI8<'_>,
        sums: &[i32],
    ) {
        let &Self { row, col, cols, zero, distance } = self;
        let padded = V * S::LANES;
        let mut exact = [s.i32_splat(0); V];
        let b_sums = &gemm.b_sums[col..][..padded];
        for v in 0..V {
            let at = v * S::LANES;
            let shifts = s.u32_mul(
                s.i32_to_u32(s.i32_load(&b_sums[at..])),
                s.u32_splat(zero.cast_unsigned()),
            );
            exact[v] = s.i32_sub(s.i32_load(&sums[at..]), s.u32_to_i32(shifts));
        }
        if let Some(b_zero) = gemm.b_zero {
            let b_zero = &b_zero[col..][..padded];
            for v in 0..V {
                let b_zero = s.i32_to_u32(s.i32_load(&b_zero[v * S::LANES..]));
                let shifts = s.u32_mul(b_zero, s.u32_splat(distance.cast_unsigned()));
                exact[v] = s.i32_sub(exact[v], s.u32_to_i32(shifts));
            }
        }
        let place = row * gemm.n + col;
        if let Output::I32(c) = &mut gemm.output {
            let mut lanes = [0; 4 * PANEL];
            for v in 0..V {
                s.i32_store(exact[v], &mut lanes[v * S::LANES..]);
            }
            c[place..][..cols].copy_from_slice(&lanes[..cols]);
            return;
        }
        let mut x = [s.splat(0.0); V];
        let (a_scale, b_scale) = (s.splat(gemm.a_grid.scale), &gemm.b_scale[col..][..padded]);
        for v in 0..V {
            let scale = s.mul(a_scale, s.load(&b_scale[v * S::LANES..]));
            x[v] = s.mul(s.i32_to_f32(exact[v]), scale);
        }
        apply::<S, V, WHOLE>(s, gemm.stages, (row, col, cols), &mut x);
        store::<S, V, WHOLE>(s, &mut gemm.output, place, cols, &x);
    }
}
