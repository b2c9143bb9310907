//! What follows the sums: zero points, scales, stages, and the output.
//!
//! Every operation is rounded by itself, none are fused.
#![allow(clippy::needless_range_loop, reason = "an index says which vector")]

use core::ops::Range;

use super::{GemmI8, Output, PANEL, Zeros};
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
    /// [`distances`] of the rows; not read without zero points of `B`.
    pub distances: &'t [i32],
}

impl Vectorized for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let mut i = 0;
        while i < self.rows {
            // Blocks of eight vectors; wide ones where there are columns for them, since each row has
            // its own slices.
            if self.panels * PANEL >= 4 * S::LANES && self.rows - i >= 2 {
                self.across::<S, 2, 4>(s, i);
                i += 2;
            } else if self.rows - i >= 4 {
                self.across::<S, 4, 2>(s, i);
                i += 4;
            } else {
                self.across::<S, 1, 4>(s, i);
                i += 1;
            }
        }
    }
}

impl Finish<'_, '_> {
    /// Finishes `R` rows, `V` vectors of columns at a time.
    #[inline(always)]
    fn across<S: Simd, const R: usize, const V: usize>(&mut self, s: S, i: usize) {
        let cols = (self.panels * PANEL).min(self.gemm.n - self.panel * PANEL);
        let mut distances = [0; R];
        match self.gemm.b_zero {
            Zeros::None => {}
            // Then it is what is taken off.
            Zeros::One(zero) => {
                for r in 0..R {
                    distances[r] = self.distances[i + r].wrapping_mul(zero);
                }
            }
            Zeros::Each(_) => distances.copy_from_slice(&self.distances[i..i + R]),
        }
        let mut at = 0;
        /// Blocks of `$v` vectors, as long as they are whole.
        macro_rules! blocks {
            ($v:expr) => {
                while cols - at >= $v * S::LANES {
                    let end = at + $v * S::LANES;
                    self.block::<S, R, { $v }, true>(s, i, at..end, distances);
                    at = end;
                }
            };
        }
        blocks!(V);
        if V > 2 {
            blocks!(2);
        }
        blocks!(1);
        while at < cols {
            let end = cols.min(at + S::LANES);
            self.block::<S, R, 1, false>(s, i, at..end, distances);
            at = end;
        }
    }

    /// Finishes `R` rows by `V` vectors, which lie at `part`; if not `WHOLE`, one vector of which
    /// there may be a part only.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const V: usize, const WHOLE: bool>(
        &mut self,
        s: S,
        i: usize,
        part: Range<usize>,
        distances: [i32; R],
    ) {
        let Self { gemm, stride, sums, .. } = self;
        // Slices are cut to what is known here, so that nothing in them is checked.
        let len = V * S::LANES;
        let (row, cols) = (self.row + i, if WHOLE { len } else { part.len() });
        let col = self.panel * PANEL + part.start;
        let zero = s.u32_splat(gemm.a_grid.zero.wrapping_add(self.shift).cast_unsigned());
        let mut exact = [[s.i32_splat(0); V]; R];
        // The vectors may reach into the padding.
        let b_sums = &gemm.b_sums[col..][..len];
        let mut shifts = [s.i32_splat(0); V];
        for v in 0..V {
            let b_sum = s.i32_to_u32(s.i32_load(&b_sums[v * S::LANES..]));
            shifts[v] = s.u32_to_i32(s.u32_mul(b_sum, zero));
        }
        for r in 0..R {
            let sums = &sums[(i + r) * *stride + part.start..][..len];
            for v in 0..V {
                exact[r][v] = s.i32_sub(s.i32_load(&sums[v * S::LANES..]), shifts[v]);
            }
        }
        match gemm.b_zero {
            Zeros::None => {}
            Zeros::One(_) => {
                for r in 0..R {
                    for v in 0..V {
                        exact[r][v] = s.i32_sub(exact[r][v], s.i32_splat(distances[r]));
                    }
                }
            }
            Zeros::Each(b_zero) => {
                let b_zero = &b_zero[col..][..len];
                for v in 0..V {
                    let b_zero = s.i32_to_u32(s.i32_load(&b_zero[v * S::LANES..]));
                    for r in 0..R {
                        let shifts = s.u32_mul(b_zero, s.u32_splat(distances[r].cast_unsigned()));
                        exact[r][v] = s.i32_sub(exact[r][v], s.u32_to_i32(shifts));
                    }
                }
            }
        }
        if let Output::I32(c) = &mut gemm.output {
            for r in 0..R {
                let mut lanes = [0; 4 * PANEL];
                for v in 0..V {
                    s.i32_store(exact[r][v], &mut lanes[v * S::LANES..]);
                }
                c[(row + r) * gemm.c_row_stride + col..][..cols].copy_from_slice(&lanes[..cols]);
            }
            return;
        }
        let mut x = [[s.splat(0.0); V]; R];
        let (a_scale, b_scale) = (s.splat(gemm.a_grid.scale), &gemm.b_scale[col..][..len]);
        for v in 0..V {
            let scale = s.mul(a_scale, s.load(&b_scale[v * S::LANES..]));
            for r in 0..R {
                x[r][v] = s.mul(s.i32_to_f32(exact[r][v]), scale);
            }
        }
        apply::<S, R, V, WHOLE>(s, gemm.stages, (row, col, cols), &mut x);
        store::<S, R, V, WHOLE>(s, &mut gemm.output, gemm.c_row_stride, (row, col, cols), &x);
    }
}

/// What the zero points of `B` are multiplied with: the sum of `a - a_zero` in each of `rows` rows
/// from `first` on, of which there are `N` at most. Zeros, where there are no zero points.
pub(in crate::kernels) fn distances<S: Simd, const N: usize>(
    s: S,
    gemm: &GemmI8<'_>,
    first: usize,
    rows: usize,
) -> [i32; N] {
    let mut sums = [0; N];
    if !matches!(gemm.b_zero, Zeros::None) {
        s.vectorize(Distances { gemm, first, sums: &mut sums[..rows] });
    }
    sums
}

struct Distances<'t, 'g> {
    gemm: &'t GemmI8<'g>,
    first: usize,
    sums: &'t mut [i32],
}

impl Vectorized for Distances<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (i, sum) in self.sums.iter_mut().enumerate() {
            *sum = distance(self.gemm, self.first + i);
        }
    }
}

/// The sum of `a - a_zero` in a row.
#[inline(always)]
fn distance(gemm: &GemmI8<'_>, row: usize) -> i32 {
    let (flip, above) = if gemm.a_grid.signed { (0x80, 128) } else { (0, 0) };
    let mut sum = 0u32;
    let mut add = |bytes: &[u8]| {
        for x in bytes {
            sum = sum.wrapping_add((x ^ flip).into());
        }
    };
    match gemm.windows {
        None => add(gemm.row(row)),
        Some(_) if gemm.k == 0 => {}
        Some(walk) => {
            let [begin] = walk.begins(row);
            walk.offsets().for_each(|offset| add(&gemm.a[begin + offset..][..walk.run]));
        }
    }
    let zeros = (gemm.a_grid.zero + above).wrapping_mul(gemm.k as i32);
    sum.cast_signed().wrapping_sub(zeros)
}
