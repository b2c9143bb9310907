//! What is done to elements one behind the other, in `f32`: the stages of a product of integers,
//! or of a chain that stands by itself.
//!
//! Every operation is rounded by itself, none are fused, so that results are the same bits on
//! every instruction set, but behind activations that are approximated.
#![allow(clippy::needless_range_loop, reason = "an index says which vector")]

use super::activation::Activation;
use super::int8::Grid8;
use super::simd::{Simd, Vectorized};

/// Most elements that go through the stages at a time.
const MOST: usize = 64;

/// What is done to an element. Matrices are as the elements: rows of `n`.
#[derive(Clone, Copy, Debug)]
pub enum Stage<'a> {
    /// Rounds to the values of a grid: quantizes and dequantizes again.
    Round(Grid8),
    /// Multiplies by a number.
    Times(f32),
    /// Adds a number.
    Plus(f32),
    /// Multiplies each column by a number: `n` elements.
    MulRow(&'a [f32]),
    /// Adds a number to each column: `n` elements.
    AddRow(&'a [f32]),
    /// Adds a matrix.
    Add {
        /// Rows of `n` elements.
        data: &'a [f32],
        /// Elements from a row to the next.
        row_stride: usize,
    },
    /// Adds a matrix of eight-bit values.
    AddQuantized {
        /// Rows of `n` bytes.
        data: &'a [u8],
        /// Bytes from a row to the next.
        row_stride: usize,
        /// What the bytes stand for.
        grid: Grid8,
    },
    /// Applies a function to each element.
    Activate(Activation),
}

/// Where results go: rows of `n` elements, one behind the other.
#[derive(Debug)]
pub enum Output<'a> {
    /// As they are.
    F32(&'a mut [f32]),
    /// Rounded to the nearest value of a grid, halves to even; NaN becomes its zero.
    Quantized(&'a mut [u8], Grid8),
    /// The sums of a product, which are exact and wrap: scales and stages are not looked at.
    I32(&'a mut [i32]),
}

/// Where the elements of a chain are: rows of `n`.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// Numbers.
    F32(&'a [f32]),
    /// What stands for numbers.
    Quantized(&'a [u8], Grid8),
}

/// `y = stages(x)`, element by element.
#[derive(Debug)]
pub struct Chain<'a> {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub n: usize,
    /// The elements.
    pub x: Elements<'a>,
    /// Elements from a row to the next.
    pub x_row_stride: usize,
    /// What is done to them.
    pub stages: &'a [Stage<'a>],
    /// The results: no sums.
    pub output: Output<'a>,
}

/// Computes a chain.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: one pass, no allocation.
pub fn chain<S: Simd>(s: S, chain: Chain<'_>) {
    s.vectorize(chain);
}

impl Vectorized for Chain<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for row in 0..self.rows {
            let mut col = 0;
            while col < self.n {
                let left = self.n - col;
                col += if left >= 4 * S::LANES {
                    self.strip::<S, 4, true>(s, row, col, 4 * S::LANES)
                } else if left >= S::LANES {
                    self.strip::<S, 1, true>(s, row, col, S::LANES)
                } else {
                    self.strip::<S, 1, false>(s, row, col, left)
                };
            }
        }
    }
}

impl Chain<'_> {
    #[inline(always)]
    fn strip<S: Simd, const V: usize, const WHOLE: bool>(
        &mut self,
        s: S,
        row: usize,
        col: usize,
        cols: usize,
    ) -> usize {
        let mut x = [s.splat(0.0); V];
        let at = row * self.x_row_stride + col;
        match self.x {
            Elements::F32(data) => {
                let data = &data[at..][..cols];
                for v in 0..V {
                    x[v] = load::<S, WHOLE>(s, data, v);
                }
            }
            Elements::Quantized(data, grid) => {
                let data = &data[at..][..cols];
                for v in 0..V {
                    x[v] = number(s, load_bytes::<S, WHOLE>(s, data, v), grid);
                }
            }
        }
        apply::<S, V, WHOLE>(s, self.stages, (row, col, cols), &mut x);
        store::<S, V, WHOLE>(s, &mut self.output, row * self.n + col, cols, &x);
        cols
    }
}

/// Puts `V` vectors through stages: columns from `col` on, of which there are `cols`. If not
/// `WHOLE`, it is one vector of which there may be a part only.
#[inline(always)]
pub(in crate::kernels) fn apply<S: Simd, const V: usize, const WHOLE: bool>(
    s: S,
    stages: &[Stage<'_>],
    (row, col, cols): (usize, usize, usize),
    x: &mut [S::F32; V],
) {
    for stage in stages {
        match *stage {
            Stage::Round(grid) => {
                let nearest = Nearest::new(s, grid);
                let steps = nearest.steps(s, x);
                for v in 0..V {
                    x[v] = s.mul(steps[v], nearest.scale);
                }
            }
            Stage::Times(factor) => {
                let factor = s.splat(factor);
                for v in 0..V {
                    x[v] = s.mul(x[v], factor);
                }
            }
            Stage::Plus(summand) => {
                let summand = s.splat(summand);
                for v in 0..V {
                    x[v] = s.add(x[v], summand);
                }
            }
            Stage::MulRow(data) => {
                let data = &data[col..][..cols];
                for v in 0..V {
                    x[v] = s.mul(x[v], load::<S, WHOLE>(s, data, v));
                }
            }
            Stage::AddRow(data) => {
                let data = &data[col..][..cols];
                for v in 0..V {
                    x[v] = s.add(x[v], load::<S, WHOLE>(s, data, v));
                }
            }
            Stage::Add { data, row_stride } => {
                let data = &data[row * row_stride + col..][..cols];
                for v in 0..V {
                    x[v] = s.add(x[v], load::<S, WHOLE>(s, data, v));
                }
            }
            Stage::AddQuantized { data, row_stride, grid } => {
                let data = &data[row * row_stride + col..][..cols];
                for v in 0..V {
                    let bytes = load_bytes::<S, WHOLE>(s, data, v);
                    x[v] = s.add(x[v], number(s, bytes, grid));
                }
            }
            Stage::Activate(activation) => activate::<S, V>(s, activation, x),
        }
    }
}

/// Writes `V` vectors of results, from `place` on.
#[inline(always)]
pub(in crate::kernels) fn store<S: Simd, const V: usize, const WHOLE: bool>(
    s: S,
    output: &mut Output<'_>,
    place: usize,
    cols: usize,
    x: &[S::F32; V],
) {
    match output {
        Output::F32(c) => {
            let c = &mut c[place..][..cols];
            for v in 0..V {
                if WHOLE {
                    s.store(x[v], &mut c[v * S::LANES..]);
                } else {
                    s.store_tail(x[v], c);
                }
            }
        }
        Output::Quantized(c, grid) => {
            let bytes = Nearest::new(s, *grid).bytes(s, x);
            let c = &mut c[place..][..cols];
            for v in 0..V {
                if WHOLE {
                    s.bytes_store(bytes[v], &mut c[v * S::LANES..]);
                } else {
                    s.bytes_store_tail(bytes[v], c);
                }
            }
        }
        Output::I32(_) => {}
    }
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
fn activate<S: Simd, const V: usize>(s: S, activation: Activation, x: &mut [S::F32; V]) {
    if let Some((low, high)) = activation.clamp() {
        let (low, high) = (s.splat(low), s.splat(high));
        for x in x {
            *x = s.min(high, s.max(low, *x));
        }
        return;
    }
    let mut lanes = [0.0; MOST];
    let lanes = &mut lanes[..V * S::LANES];
    for v in 0..V {
        s.store(x[v], &mut lanes[v * S::LANES..]);
    }
    activation.apply(s, lanes);
    for v in 0..V {
        x[v] = s.load(&lanes[v * S::LANES..]);
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

/// Rounds to the nearest value of a grid, as division by its scale says.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Nearest<S: Simd> {
    scale: S::F32,
    inverse: S::F32,
    low: S::F32,
    high: S::F32,
    zero: i32,
}

impl<S: Simd> Nearest<S> {
    #[inline(always)]
    pub(in crate::kernels) fn new(s: S, grid: Grid8) -> Self {
        let [low, high] = grid.range().map(|x| s.splat((x - grid.zero) as f32));
        let inverse = s.splat(1.0 / grid.scale);
        Self { scale: s.splat(grid.scale), inverse, low, high, zero: grid.zero }
    }

    /// The number of steps from zero: integers, and zero for NaN.
    #[inline(always)]
    fn steps<const V: usize>(&self, s: S, x: &[S::F32; V]) -> [S::F32; V] {
        // A product with the inverse is off by less than 2^-14 where it is no more than 255, so that
        // division can give another integer only beside a half.
        let near = s.splat(0.5 - 1.0 / 8192.0);
        let mut steps = *x;
        let mut sure = s.le(near, near);
        for v in 0..V {
            let q = self.clamped(s, s.mul(x[v], self.inverse));
            steps[v] = whole(s, q);
            sure = s.mask_and(sure, s.le(s.abs(s.sub(q, steps[v])), near));
        }
        // NaN is never sure.
        if !s.mask_all(sure) {
            self.divided(s, x, &mut steps);
        }
        steps
    }

    /// The same by division: many times slower.
    #[cold]
    #[inline(always)]
    fn divided<const V: usize>(&self, s: S, x: &[S::F32; V], steps: &mut [S::F32; V]) {
        for v in 0..V {
            let q = whole(s, self.clamped(s, s.div(x[v], self.scale)));
            steps[v] = s.select(s.eq(q, q), q, s.splat(0.0));
        }
    }

    #[inline(always)]
    fn clamped(&self, s: S, q: S::F32) -> S::F32 {
        s.min(self.high, s.max(self.low, q))
    }

    /// The values, each in the lowest byte of its lane.
    #[inline(always)]
    pub(in crate::kernels) fn bytes<const V: usize>(&self, s: S, x: &[S::F32; V]) -> [S::U32; V] {
        let zero = s.i32_splat(self.zero);
        let mut bytes = [s.u32_splat(0); V];
        for (byte, steps) in bytes.iter_mut().zip(self.steps(s, x)) {
            *byte = s.i32_to_u32(s.i32_add(s.round_to_i32(steps), zero));
        }
        bytes
    }
}

/// The nearest integer, halves to even, of numbers below 2^22.
#[inline(always)]
fn whole<S: Simd>(s: S, q: S::F32) -> S::F32 {
    // 1.5 * 2^23: the sum has no bits behind the point.
    let magic = s.splat(12_582_912.0);
    s.sub(s.add(q, magic), magic)
}

#[cfg(test)]
mod tests;
