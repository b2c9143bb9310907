//! What is done to elements one behind the other, in `f32`: the stages of a product of integers,
//! or of a chain that stands by itself.
//!
//! Every operation is rounded by itself, none are fused, so that results are the same bits on
//! every instruction set, but behind activations that are approximated.
#![allow(clippy::needless_range_loop, reason = "an index says which vector")]

use core::ops::Range;

use super::activation::Activation;
use super::int8::Grid8;
use super::simd::{Simd, Vectorized};

mod softmax;

pub use softmax::{softmax_chain, softmax_room};

/// Most stages of a step.
pub const MOST_STAGES: usize = 8;

/// Most vectors that go through the stages at a time.
const MOST_VECTORS: usize = 8;
/// Most lanes of a vector.
const MOST_LANES: usize = 16;

/// What is done to an element. Matrices are as the elements: rows of `n`.
#[derive(Clone, Copy, Debug)]
pub enum Stage<'a> {
    /// Rounds to the values of a grid: quantizes and dequantizes again.
    Round(Nearest),
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
    Quantized(&'a mut [u8], Nearest),
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

impl<'a> Stage<'a> {
    /// The stage of elements that begin so many rows and columns further on.
    #[must_use]
    pub fn behind(self, rows: usize, cols: usize) -> Self {
        match self {
            Self::MulRow(data) => Self::MulRow(data.get(cols..).unwrap_or(&[])),
            Self::AddRow(data) => Self::AddRow(data.get(cols..).unwrap_or(&[])),
            Self::Add { data, row_stride } => {
                let data = data.get(rows * row_stride + cols..).unwrap_or(&[]);
                Self::Add { data, row_stride }
            }
            Self::AddQuantized { data, row_stride, grid } => {
                let data = data.get(rows * row_stride + cols..).unwrap_or(&[]);
                Self::AddQuantized { data, row_stride, grid }
            }
            other => other,
        }
    }
}

impl Output<'_> {
    /// Some of the elements.
    ///
    /// **Panics**: if there are not as many.
    pub fn part(&mut self, range: Range<usize>) -> Output<'_> {
        match self {
            Self::F32(c) => Output::F32(&mut c[range]),
            Self::Quantized(c, to) => Output::Quantized(&mut c[range], *to),
            Self::I32(c) => Output::I32(&mut c[range]),
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
        let mut x = [[s.splat(0.0); V]; 1];
        let at = row * self.x_row_stride + col;
        match self.x {
            Elements::F32(data) => {
                let data = &data[at..][..cols];
                for v in 0..V {
                    x[0][v] = load::<S, WHOLE>(s, data, v);
                }
            }
            Elements::Quantized(data, grid) => {
                let data = &data[at..][..cols];
                for v in 0..V {
                    x[0][v] = number(s, load_bytes::<S, WHOLE>(s, data, v), grid);
                }
            }
        }
        apply::<S, 1, V, WHOLE>(s, self.stages, (row, col, cols), &mut x);
        store::<S, 1, V, WHOLE>(s, &mut self.output, self.n, (row, col, cols), &x);
        cols
    }
}

/// Puts `R` rows of `V` vectors through stages: rows from `row` and columns from `col` on, of which
/// there are `cols`. If not `WHOLE`, it is one vector a row of which there may be a part only.
#[inline(always)]
pub(in crate::kernels) fn apply<S: Simd, const R: usize, const V: usize, const WHOLE: bool>(
    s: S,
    stages: &[Stage<'_>],
    (row, col, cols): (usize, usize, usize),
    x: &mut [[S::F32; V]; R],
) {
    let cols = if WHOLE { V * S::LANES } else { cols };
    for stage in stages {
        match *stage {
            Stage::Round(ref to) => {
                let biased = to.biased(s, x.as_flattened());
                for (x, biased) in x.as_flattened_mut().iter_mut().zip(biased) {
                    *x = to.number(s, biased);
                }
            }
            Stage::Times(factor) => {
                let factor = s.splat(factor);
                for x in x.as_flattened_mut() {
                    *x = s.mul(*x, factor);
                }
            }
            Stage::Plus(summand) => {
                let summand = s.splat(summand);
                for x in x.as_flattened_mut() {
                    *x = s.add(*x, summand);
                }
            }
            Stage::MulRow(data) => {
                let data = &data[col..][..cols];
                for v in 0..V {
                    let y = load::<S, WHOLE>(s, data, v);
                    for r in 0..R {
                        x[r][v] = s.mul(x[r][v], y);
                    }
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
}

/// Writes `R` rows of `V` vectors of results among rows that are `stride` apart.
#[inline(always)]
pub(in crate::kernels) fn store<S: Simd, const R: usize, const V: usize, const WHOLE: bool>(
    s: S,
    output: &mut Output<'_>,
    stride: usize,
    (row, col, cols): (usize, usize, usize),
    x: &[[S::F32; V]; R],
) {
    let cols = if WHOLE { V * S::LANES } else { cols };
    match output {
        Output::F32(c) => {
            for r in 0..R {
                let c = &mut c[(row + r) * stride + col..][..cols];
                for v in 0..V {
                    if WHOLE {
                        s.store(x[r][v], &mut c[v * S::LANES..]);
                    } else {
                        s.store_tail(x[r][v], c);
                    }
                }
            }
        }
        Output::Quantized(c, to) => {
            let biased = to.biased(s, x.as_flattened());
            for r in 0..R {
                let c = &mut c[(row + r) * stride + col..][..cols];
                for v in 0..V {
                    // The lowest byte of each lane.
                    let bytes = s.to_bits(biased[r * V + v]);
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
    let mut lanes = [0.0; MOST_VECTORS * MOST_LANES];
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

/// A grid made ready for rounding to its nearest value, as division by the scale says.
///
/// The quotient lies between the products with two numbers, one on each side of the inverse of the
/// scale. Where both round to one integer, so does the quotient; else it is computed.
#[derive(Clone, Copy, Debug)]
pub struct Nearest {
    grid: Grid8,
    /// Numbers just beside the inverse of the scale, the smaller one first; NaN where it has fewer
    /// bits than others, or none: no product with them is sure.
    inverses: [f32; 2],
    /// What the ends of the range stand for.
    bounds: [f32; 2],
    /// The ends of the range in steps from zero.
    steps: [f32; 2],
    /// [`BIAS`] and the zero point.
    zero: f32,
}

/// 1.5 * 2^23, of which the last eight bits are zero: a number below 2^22 added to it is rounded to
/// an integer that stands in the last bits.
const BIAS: f32 = 12_582_912.0;

impl Nearest {
    /// The grid made ready.
    pub fn new(grid: Grid8) -> Self {
        // The inverse and the quotient are off by half of their last place each: with a third step
        // the products have the quotient between them.
        const BESIDE: u32 = 3;
        let steps = grid.range().map(|end| (end - grid.zero) as f32);
        let bounds = steps.map(|steps| steps * grid.scale);
        let inverse = 1.0 / grid.scale;
        // Infinite data are not to be clamped by infinite bounds.
        let finite = bounds.iter().all(|bound| bound.is_finite());
        let inverses = match grid.scale > 0.0 && inverse.is_normal() && finite {
            true => [inverse.to_bits() - BESIDE, inverse.to_bits() + BESIDE].map(f32::from_bits),
            false => [f32::NAN; 2],
        };
        Self { grid, inverses, bounds, steps, zero: BIAS + grid.zero as f32 }
    }

    /// The grid.
    pub fn grid(&self) -> Grid8 {
        self.grid
    }
}

impl From<Grid8> for Nearest {
    fn from(grid: Grid8) -> Self {
        Self::new(grid)
    }
}

impl Nearest {
    /// The nearest values, [`BIAS`] added; the zero point for NaN. There are at most
    /// [`MOST_VECTORS`].
    #[inline(always)]
    pub(in crate::kernels) fn biased<S: Simd>(&self, s: S, x: &[S::F32]) -> [S::F32; MOST_VECTORS] {
        let [low, high] = self.bounds.map(|bound| s.splat(bound));
        let [below, above] = self.inverses.map(|inverse| s.splat(inverse));
        let zero = s.splat(self.zero);
        let mut biased = [zero; MOST_VECTORS];
        let mut sure = s.eq(zero, zero);
        for (x, biased) in x.iter().zip(&mut biased) {
            // What is beyond the ends rounds to them, as they do.
            let x = s.min(high, s.max(low, *x));
            *biased = s.mul_add(x, below, zero);
            sure = s.mask_and(sure, s.eq(*biased, s.mul_add(x, above, zero)));
        }
        // Neither NaN nor a half is ever sure.
        if !s.mask_all(sure) {
            self.divided(s, x, &mut biased);
        }
        biased
    }

    /// The same by division: many times slower.
    #[cold]
    #[inline(always)]
    fn divided<S: Simd>(&self, s: S, x: &[S::F32], biased: &mut [S::F32; MOST_VECTORS]) {
        let [low, high] = self.steps.map(|end| s.splat(end));
        let (scale, bias) = (s.splat(self.grid.scale), s.splat(BIAS));
        let zero = s.splat(self.grid.zero as f32);
        for (x, biased) in x.iter().zip(biased) {
            let q = s.min(high, s.max(low, s.div(*x, scale)));
            let q = s.add(q, bias);
            *biased = s.add(s.select(s.eq(q, q), q, bias), zero);
        }
    }

    /// What biased values stand for.
    #[inline(always)]
    fn number<S: Simd>(&self, s: S, biased: S::F32) -> S::F32 {
        s.mul(s.sub(biased, s.splat(self.zero)), s.splat(self.grid.scale))
    }
}

#[cfg(test)]
mod tests;
