//! Softmax of rows, with what is done to the weights behind it.

use core::f32::consts::LOG2_E;
use core::ops::Range;

use super::{Chain, Elements, MOST_LANES, apply, number, store};
use crate::kernels::fold::first_lanes;
use crate::kernels::int8::Grid8;
use crate::kernels::math;
use crate::kernels::simd::{Simd, Vectorized};

/// Computes a chain whose stages are those of softmax of each row: as
/// [`softmax_f32`](crate::kernels::rows::softmax_f32). `room` is for one row, in whole vectors:
/// [`softmax_room`] elements.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: two or three passes over a row, one exponential an element, no allocation.
pub fn softmax_chain<S: Simd>(s: S, chain: Chain<'_>, room: &mut [f32]) {
    s.vectorize(SoftmaxChain { chain, room });
}

/// Elements of working memory for rows of `n`; `None` beyond the address space.
pub const fn softmax_room(n: usize) -> Option<usize> {
    n.checked_next_multiple_of(MOST_LANES)
}

struct SoftmaxChain<'t, 'a> {
    chain: Chain<'a>,
    room: &'t mut [f32],
}

impl Vectorized for SoftmaxChain<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Chain { rows, n, x, x_row_stride, stages, mut output } = self.chain;
        for row in 0..rows {
            let at = row * x_row_stride;
            let sum = match x {
                Elements::Quantized(data, grid) if grid.scale > 0.0 && factor(grid).is_finite() => {
                    exponentials_of_bytes(s, &data[at..][..n], grid, self.room)
                }
                _ => exponentials(s, x, at..at + n, self.room),
            };
            let part = s.splat(1.0 / s.reduce_add(sum));
            let mut col = 0;
            /// Strips of `$v` vectors, as long as there are as many elements as `$least`.
            macro_rules! strips {
                ($v:literal, $whole:literal, $least:expr) => {
                    while col < n && n - col >= $least {
                        let cols = (n - col).min($v * S::LANES);
                        let mut x = [[part; $v]; 1];
                        for v in 0..$v {
                            x[0][v] = s.mul(s.load(&self.room[col + v * S::LANES..]), part);
                        }
                        apply::<S, 1, $v, $whole>(s, stages, (row, col, cols), &mut x);
                        store::<S, 1, $v, $whole>(s, &mut output, n, (row, col, cols), &x);
                        col += cols;
                    }
                };
            }
            strips!(4, true, 4 * S::LANES);
            strips!(1, true, S::LANES);
            strips!(1, false, 1);
        }
    }
}

/// A vector of bytes, of which there may be a part only.
#[inline(always)]
fn some_bytes<S: Simd>(s: S, data: &[u8], left: usize) -> S::U32 {
    if left >= S::LANES { s.bytes_load(data) } else { s.bytes_load_tail(&data[..left]) }
}

/// A vector, zeros behind the end of a row.
#[inline(always)]
fn within<S: Simd>(s: S, x: S::F32, left: usize) -> S::F32 {
    if left >= S::LANES { x } else { s.select(first_lanes(s, left), x, s.splat(0.0)) }
}

/// A step of a grid as an exponent of two.
#[inline(always)]
fn factor(grid: Grid8) -> f32 {
    grid.scale * LOG2_E
}

/// Writes powers of what bytes stand for, relative to the largest: their sum.
#[inline(always)]
fn exponentials_of_bytes<S: Simd>(s: S, data: &[u8], grid: Grid8, room: &mut [f32]) -> S::F32 {
    let flip = if grid.signed { 0x80 } else { 0 };
    let top = data.iter().fold(0, |top, byte| top.max(byte ^ flip));
    let (top, flip) = (s.i32_splat(top.into()), s.u32_splat(flip.into()));
    let factor = s.splat(factor(grid));
    let mut sum = s.splat(0.0);
    for (room, col) in room.chunks_exact_mut(S::LANES).zip((0..data.len()).step_by(S::LANES)) {
        let left = data.len() - col;
        let bytes = s.u32_xor(some_bytes(s, &data[col..], left), flip);
        let steps = s.i32_to_f32(s.i32_sub(s.u32_to_i32(bytes), top));
        let e = within(s, math::exp2_normal(s, s.mul(steps, factor)), left);
        s.store(e, room);
        sum = s.add(sum, e);
    }
    sum
}

/// The same of some numbers.
#[inline(always)]
fn exponentials<S: Simd>(s: S, x: Elements<'_>, row: Range<usize>, room: &mut [f32]) -> S::F32 {
    let low = s.splat(f32::NEG_INFINITY);
    let mut top = low;
    for (room, at) in room.chunks_exact_mut(S::LANES).zip(row.clone().step_by(S::LANES)) {
        let left = row.end - at;
        let x = match x {
            Elements::F32(data) if left >= S::LANES => s.load(&data[at..]),
            Elements::F32(data) => s.load_tail(&data[at..][..left]),
            Elements::Quantized(data, grid) => number(s, some_bytes(s, &data[at..], left), grid),
        };
        let x = if left >= S::LANES { x } else { s.select(first_lanes(s, left), x, low) };
        s.store(x, room);
        top = s.max(x, top);
    }
    let (top, mut sum) = (s.splat(s.reduce_max(top)), s.splat(0.0));
    for (room, at) in room.chunks_exact_mut(S::LANES).zip(row.clone().step_by(S::LANES)) {
        let e = within(s, math::exp(s, s.sub(s.load(room), top)), row.end - at);
        s.store(e, room);
        sum = s.add(sum, e);
    }
    sum
}
