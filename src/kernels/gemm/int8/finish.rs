//! What follows the sums: zero points, scales, stages, and the output.
//!
//! Every operation is rounded by itself, none are fused.
#![allow(clippy::needless_range_loop, reason = "an index says which vector")]

use core::ops::Range;

use super::{GemmI8, Output, PANEL, Stage};
use crate::kernels::activation::Activation;
use crate::kernels::int8::Grid8;
use crate::kernels::simd::{Simd, Vectorized};

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
    fn run<S: Simd>(mut self, s: S) {
        let mut i = 0;
        while i < self.rows {
            if self.rows - i >= 4 {
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
        if self.gemm.b_zero.is_some() {
            for r in 0..R {
                distances[r] = distance(self.gemm, self.row + i + r);
            }
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
        let (row, cols) = (self.row + i, part.len());
        let col = self.panel * PANEL + part.start;
        let zero = s.u32_splat(gemm.a_grid.zero.wrapping_add(self.shift).cast_unsigned());
        let mut exact = [[s.i32_splat(0); V]; R];
        // The vectors may reach into the padding.
        let b_sums = &gemm.b_sums[col..][..V * S::LANES];
        for v in 0..V {
            let b_sum = s.i32_to_u32(s.i32_load(&b_sums[v * S::LANES..]));
            let shifts = s.u32_to_i32(s.u32_mul(b_sum, zero));
            for r in 0..R {
                let sums = &sums[(i + r) * *stride + part.start..];
                exact[r][v] = s.i32_sub(s.i32_load(&sums[v * S::LANES..]), shifts);
            }
        }
        if let Some(b_zero) = gemm.b_zero {
            let b_zero = &b_zero[col..][..V * S::LANES];
            for v in 0..V {
                let b_zero = s.i32_to_u32(s.i32_load(&b_zero[v * S::LANES..]));
                for r in 0..R {
                    let shifts = s.u32_mul(b_zero, s.u32_splat(distances[r].cast_unsigned()));
                    exact[r][v] = s.i32_sub(exact[r][v], s.u32_to_i32(shifts));
                }
            }
        }
        if let Output::I32(c) = &mut gemm.output {
            for r in 0..R {
                let mut lanes = [0; 4 * PANEL];
                for v in 0..V {
                    s.i32_store(exact[r][v], &mut lanes[v * S::LANES..]);
                }
                c[(row + r) * gemm.n + col..][..cols].copy_from_slice(&lanes[..cols]);
            }
            return;
        }
        let mut x = [[s.splat(0.0); V]; R];
        let (a_scale, b_scale) = (s.splat(gemm.a_grid.scale), &gemm.b_scale[col..]);
        for v in 0..V {
            let scale = s.mul(a_scale, s.load(&b_scale[v * S::LANES..]));
            for r in 0..R {
                x[r][v] = s.mul(s.i32_to_f32(exact[r][v]), scale);
            }
        }
        for stage in gemm.stages {
            match *stage {
                Stage::Round(grid) => {
                    let nearest = Nearest::new(s, grid);
                    for x in x.as_flattened_mut() {
                        *x = nearest.number(s, *x);
                    }
                }
                Stage::AddRow(data) => {
                    let data = &data[col..][..cols];
                    for v in 0..V {
                        let y = load::<S, WHOLE>(s, data, v);
                        for r in 0..R {
                            x[r][v] = s.add(x[r][v], y);
                        }
                    }
                }
                Stage::Add { data, row_stride } => {
                    for r in 0..R {
                        let data = &data[(row + r) * row_stride + col..][..cols];
                        for v in 0..V {
                            x[r][v] = s.add(x[r][v], load::<S, WHOLE>(s, data, v));
                        }
                    }
                }
                Stage::AddQuantized { data, row_stride, grid } => {
                    for r in 0..R {
                        let data = &data[(row + r) * row_stride + col..][..cols];
                        for v in 0..V {
                            let bytes = load_bytes::<S, WHOLE>(s, data, v);
                            x[r][v] = s.add(x[r][v], number(s, bytes, grid));
                        }
                    }
                }
                Stage::Activate(activation) => activate(s, activation, x.as_flattened_mut()),
            }
        }
        match &mut gemm.output {
            Output::F32(c) => {
                for r in 0..R {
                    let c = &mut c[(row + r) * gemm.n + col..][..cols];
                    for v in 0..V {
                        if WHOLE {
                            s.store(x[r][v], &mut c[v * S::LANES..]);
                        } else {
                            s.store_tail(x[r][v], c);
                        }
                    }
                }
            }
            Output::Quantized(c, grid) => {
                let nearest = Nearest::new(s, *grid);
                for r in 0..R {
                    let c = &mut c[(row + r) * gemm.n + col..][..cols];
                    for v in 0..V {
                        let bytes = nearest.bytes(s, x[r][v]);
                        if WHOLE {
                            s.bytes_store(bytes, &mut c[v * S::LANES..]);
                        } else {
                            s.bytes_store_tail(bytes, c);
                        }
                    }
                }
            }
            Output::I32(_) => {}
        }
    }
}

/// The sum of `a - a_zero` in a row.
#[inline(always)]
fn distance(gemm: &GemmI8<'_>, row: usize) -> i32 {
    let (flip, above) = if gemm.a_grid.signed { (0x80, 128) } else { (0, 0) };
    let sum = gemm.row(row).iter().fold(0u32, |sum, x| sum.wrapping_add((x ^ flip).into()));
    let zeros = (gemm.a_grid.zero + above).wrapping_mul(gemm.k as i32);
    sum.cast_signed().wrapping_sub(zeros)
}

#[inline(always)]
fn load<S: Simd, const WHOLE: bool>(s: S, data: &[f32], v: usize) -> S::F32 {
    if WHOLE { s.load(&data[v * S::LANES..]) } else { s.load_tail(data) }
}

#[inline(always)]
fn load_bytes<S: Simd, const WHOLE: bool>(s: S, data: &[u8], v: usize) -> S::U32 {
    if WHOLE { s.bytes_load(&data[v * S::LANES..]) } else { s.bytes_load_tail(data) }
}

#[inline(always)]
fn activate<S: Simd>(s: S, activation: Activation, x: &mut [S::F32]) {
    if let Some((low, high)) = activation.clamp() {
        let (low, high) = (s.splat(low), s.splat(high));
        for x in x {
            *x = s.min(high, s.max(low, *x));
        }
        return;
    }
    // Through memory, so that the functions are compiled once, not into every block.
    let mut lanes = [0.0; 8 * PANEL];
    let lanes = &mut lanes[..x.len() * S::LANES];
    for (x, lanes) in x.iter().zip(lanes.chunks_exact_mut(S::LANES)) {
        s.store(*x, lanes);
    }
    s.vectorize(Activate { activation, lanes });
    for (x, lanes) in x.iter_mut().zip(lanes.chunks_exact(S::LANES)) {
        *x = s.load(lanes);
    }
}

struct Activate<'a> {
    activation: Activation,
    lanes: &'a mut [f32],
}

impl Vectorized for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.activation.apply(s, self.lanes);
    }
}

/// The numbers that bytes stand for, each in the low bits of its lane, zeros above.
#[inline(always)]
pub(in crate::kernels) fn number<S: Simd>(s: S, bytes: S::U32, grid: Grid8) -> S::F32 {
    // Flipping the top bit adds 128 to a signed value and makes it unsigned.
    let (flip, above) = if grid.signed { (0x80, 128) } else { (0, 0) };
    let bytes = s.u32_to_i32(s.u32_xor(bytes, s.u32_splat(flip)));
    let steps = s.i32_sub(bytes, s.i32_splat(grid.zero + above));
    s.mul(s.i32_to_f32(steps), s.splat(grid.scale))
}

/// Rounds to the nearest value of a grid.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Nearest<S: Simd> {
    scale: S::F32,
    low: S::F32,
    high: S::F32,
    /// The zero point, as bits of an `i32`.
    zero: u32,
}

impl<S: Simd> Nearest<S> {
    #[inline(always)]
    pub(in crate::kernels) fn new(s: S, grid: Grid8) -> Self {
        let [low, high] = grid.range();
        Self {
            scale: s.splat(grid.scale),
            low: s.splat((low - grid.zero) as f32),
            high: s.splat((high - grid.zero) as f32),
            zero: grid.zero.cast_unsigned(),
        }
    }

    /// The number of steps from zero, rounded half to even by adding 1.5 * 2^23: the sum has no bits
    /// behind the point. NaN stays NaN.
    #[inline(always)]
    fn biased(&self, s: S, x: S::F32) -> S::F32 {
        let q = s.div(x, self.scale);
        s.add(s.min(self.high, s.max(self.low, q)), s.splat(BIAS))
    }

    /// The nearest value of the grid, as a number.
    #[inline(always)]
    fn number(&self, s: S, x: S::F32) -> S::F32 {
        let biased = self.biased(s, x);
        let steps = s.sub(biased, s.splat(BIAS));
        s.mul(s.select(s.eq(biased, biased), steps, s.splat(0.0)), self.scale)
    }

    /// The nearest value of the grid, in the lowest byte of each lane.
    #[inline(always)]
    pub(in crate::kernels) fn bytes(&self, s: S, x: S::F32) -> S::U32 {
        let biased = self.biased(s, x);
        // The low bits of the sum are the number of steps; without NaN, all that is left is zero.
        let steps = s.select(s.eq(biased, biased), biased, s.splat(BIAS));
        s.u32_add(s.to_bits(steps), s.u32_splat(self.zero))
    }
}

/// 1.5 * 2^23, of which the last eight bits are zero.
const BIAS: f32 = 12_582_912.0;
