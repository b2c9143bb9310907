//! The largest or the mean element under a window.
#![allow(clippy::needless_range_loop, reason = "an index says which lane, row or dimension")]

use super::Window;
use crate::kernels::simd::{Simd, Vectorized};

/// What is made of the elements under a window. The numbers are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum PoolOp {
    /// The largest; NaN if there is one, -infinity if all is padding.
    Max = 1,
    /// The mean of the elements inside the input; NaN if all is padding.
    Average = 2,
    /// The mean over the padded input; positions past its end do not count.
    AverageWithPadding = 3,
}

impl PoolOp {
    /// The operation with this pinned number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Max),
            2 => Some(Self::Average),
            3 => Some(Self::AverageWithPadding),
            _ => None,
        }
    }
}

/// Pools every channel.
///
/// **Shapes and units**: `x` is `[channels, input...]`, `y` `[channels, output...]`. The output's
/// extents are given, so any rounding of them (`ceil_mode`) is the caller's.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: one operation for each output and kernel position inside the input, no allocation;
/// vectorized along the width where the stride there is one.
pub fn pool_f32<S: Simd>(
    s: S,
    op: PoolOp,
    window: &Window,
    channels: usize,
    x: &[f32],
    y: &mut [f32],
) {
    s.vectorize(Pool { op, window, channels, x, y });
}

struct Pool<'a> {
    op: PoolOp,
    window: &'a Window,
    channels: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Vectorized for Pool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, window, channels, x, y } = self;
        let (input_len, output_len) = (window.input_len(), window.output_len());
        if output_len == 0 {
            return;
        }
        let y = &mut y[..channels * output_len];
        for (channel, y) in y.chunks_exact_mut(output_len).enumerate() {
            let x = &x[channel * input_len..][..input_len];
            for (line, y) in y.chunks_exact_mut(window.output[2]).enumerate() {
                let (d, h) = (line / window.output[1], line % window.output[1]);
                y.fill(if op == PoolOp::Max { f32::NEG_INFINITY } else { 0.0 });
                if window.stride[2] == 1 {
                    for td in window.taps(0, d) {
                        let Some(id) = window.meet(0, d, td) else { continue };
                        for th in window.taps(1, h) {
                            let Some(ih) = window.meet(1, h, th) else { continue };
                            let line = (id * window.input[1] + ih) * window.input[2];
                            pool_line(s, op, window, &x[line..][..window.input[2]], y);
                        }
                    }
                } else {
                    for (w, y) in y.iter_mut().enumerate() {
                        window.each_meeting([d, h, w], |_, at| *y = join(op, *y, x[at]));
                    }
                }
                if op != PoolOp::Max {
                    for (w, y) in y.iter_mut().enumerate() {
                        *y /= counted(op, window, [d, h, w]) as f32;
                    }
                }
            }
        }
    }
}

/// What is so far, and one more element.
#[inline(always)]
fn join(op: PoolOp, y: f32, x: f32) -> f32 {
    match op {
        PoolOp::Max if x > y || x.is_nan() => x,
        PoolOp::Max => y,
        _ => y + x,
    }
}

/// Joins what the kernel's width meets in one line of the input, with a stride of one.
#[inline(always)]
fn pool_line<S: Simd>(s: S, op: PoolOp, window: &Window, x: &[f32], y: &mut [f32]) {
    // The last output meets the first positions, the first output the last ones.
    let first = window.taps(2, window.output[2] - 1).start;
    for tw in first..window.taps(2, 0).end {
        let inside = window.inside(2, tw, 0..window.output[2]);
        if inside.is_empty() {
            continue;
        }
        let x = &x[inside.start + tw * window.dilation[2] - window.pad_begin[2]..];
        let y = &mut y[inside];
        for (y, x) in y.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
            let whole = y.len() == S::LANES;
            let (a, b) = if whole {
                (s.load(y), s.load(x))
            } else {
                (s.load_tail(y), s.load_tail(&x[..y.len()]))
            };
            let joined = match op {
                PoolOp::Max => s.select(s.is_nan(b), b, s.max(b, a)),
                _ => s.add(a, b),
            };
            if whole {
                s.store(joined, y);
            } else {
                s.store_tail(joined, y);
            }
        }
    }
}

/// By how many elements the sum at an output position is divided.
#[inline(always)]
fn counted(op: PoolOp, window: &Window, o: [usize; 3]) -> usize {
    match op {
        PoolOp::AverageWithPadding => window.padded_count(o),
        _ => (0..3).map(|d| window.taps(d, o[d]).len()).product(),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::tests::windows;
    use super::*;
    use crate::kernels::dispatch;
    use crate::kernels::suite::{Rng, assert_close, levels};
    use std::{format, vec, vec::Vec};

    fn naive(op: PoolOp, window: &Window, x: &[f32], o: [usize; 3]) -> f32 {
        let (mut max, mut sum, mut count) = (f32::NEG_INFINITY, 0.0, 0);
        for i in 0..window.kernel_len() {
            let [_, height, width] = window.kernel;
            let t = [i / (height * width), i / width % height, i % width];
            let at: [isize; 3] = core::array::from_fn(|d| {
                (o[d] * window.stride[d] + t[d] * window.dilation[d]) as isize
                    - window.pad_begin[d] as isize
            });
            let inside = |d: usize, pad: usize| at[d] < (window.input[d] + pad) as isize;
            if (0..3).all(|d| at[d] >= 0 && inside(d, 0)) {
                let [d, h, w] = at.map(|at| at as usize);
                let x = x[(d * window.input[1] + h) * window.input[2] + w];
                max = if x.is_nan() || max.is_nan() { f32::NAN } else { max.max(x) };
                sum += x;
                count += usize::from(op == PoolOp::Average);
            }
            if op == PoolOp::AverageWithPadding && (0..3).all(|d| inside(d, window.pad_end[d])) {
                count += 1;
            }
        }
        if op == PoolOp::Max { max } else { sum / count as f32 }
    }

    #[test]
    fn every_window() {
        let mut rng = Rng::new(10);
        for window in windows(4, 150) {
            let mut x = rng.vector(2 * window.input_len());
            if rng.below(4) == 0 {
                x[0] = f32::NAN;
            }
            for op in [PoolOp::Max, PoolOp::Average, PoolOp::AverageWithPadding] {
                let [_, height, width] = window.output;
                let wanted: Vec<f32> = (0..2 * window.output_len())
                    .map(|i| {
                        let (channel, i) = (i / window.output_len(), i % window.output_len());
                        let o = [i / (height * width), i / width % height, i % width];
                        naive(op, &window, &x[channel * window.input_len()..], o)
                    })
                    .collect();
                for level in levels() {
                    let mut y = vec![7.0; wanted.len()];
                    dispatch(level, Pool { op, window: &window, channels: 2, x: &x, y: &mut y });
                    let what = format!("{op:?} {window:?} on {}", level.isa());
                    assert_close(&y, &wanted, 1e-6, &what);
                }
            }
        }
    }
}
