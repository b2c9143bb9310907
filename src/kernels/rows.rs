//! Softmax and normalizations of rows.
//!
//! Input and output are cells: they may be the same slice, or not overlap at all.

use core::cell::Cell;

mod generic;

pub use generic::{moments_of_rows, norm_f64, softmax_f64};

use super::fold::{
    Max, Sum, SumExp, SumSquare, columns, contiguous, first_lanes, load_some, store_some,
};
use super::math;
use super::scalar::{Scalar, sqrt_f32};
use super::simd::{Simd, Vectorized};

/// `e^x` over its sum, in each row of `x`.
///
/// **Shapes and units**: `x` and `y` are `[rows, cols]`. A row of minus infinities, or with a
/// NaN or plus infinity, is all NaN.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: three passes over a row, one exponential an element, no allocation.
pub fn softmax_f32<S: Simd>(s: S, [rows, cols]: [usize; 2], x: &[Cell<f32>], y: &[Cell<f32>]) {
    s.vectorize(Softmax { log: false, rows, cols, x, y });
}

/// `x` minus the logarithm of the sum of `e^x`, in each row of `x`: as [`softmax_f32`].
pub fn log_softmax_f32<S: Simd>(s: S, [rows, cols]: [usize; 2], x: &[Cell<f32>], y: &[Cell<f32>]) {
    s.vectorize(Softmax { log: true, rows, cols, x, y });
}

struct Softmax<'a> {
    log: bool,
    rows: usize,
    cols: usize,
    x: &'a [Cell<f32>],
    y: &'a [Cell<f32>],
}

/// Applies `$body` to every vector of two slices, the tail included.
macro_rules! each_vector {
    ($s:ident, $x:expr, $y:expr, |$v:ident, $len:ident, $at:ident| $body:expr) => {{
        let (x, y) = ($x, $y);
        let mut $at = 0;
        while $at + S::LANES <= x.len() {
            let $v = $s.load_cells(&x[$at..][..S::LANES]);
            let $len = S::LANES;
            $s.store_cells($body, &y[$at..][..S::LANES]);
            $at += S::LANES;
        }
        if $at < x.len() {
            let $v = $s.load_cells_tail(&x[$at..]);
            let $len = x.len() - $at;
            $s.store_cells_tail($body, &y[$at..]);
        }
    }};
}

impl Vectorized for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { log, rows, cols, x, y } = self;
        if cols == 0 {
            return;
        }
        let (x, y) = (&x[..rows * cols], &y[..rows * cols]);
        for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact(cols)) {
            let max = contiguous(s, Max, x);
            if log {
                let offset = math::ln(Scalar, contiguous(s, SumExp(max), x));
                let (max, offset) = (s.splat(max), s.splat(offset));
                each_vector!(s, x, y, |v, len, at| {
                    let _ = len;
                    s.sub(s.sub(v, max), offset)
                });
            } else {
                let max = s.splat(max);
                let mut sum = s.splat(0.0);
                each_vector!(s, x, y, |v, len, at| {
                    let e = math::exp(s, s.sub(v, max));
                    let counted = if len == S::LANES {
                        e
                    } else {
                        s.select(first_lanes(s, len), e, s.splat(0.0))
                    };
                    sum = s.add(sum, counted);
                    e
                });
                let scale = s.splat(1.0 / s.reduce_add(sum));
                each_vector!(s, y, y, |v, len, at| {
                    let _ = len;
                    s.mul(v, scale)
                });
            }
        }
    }
}

/// [`softmax_f32`], or its logarithm, along the middle axis of `[outer, axis, inner]`.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: three passes, two exponentials an element for the logarithm, no allocation. Vectors
/// run along `inner`.
pub fn softmax_axis_f32<S: Simd>(
    s: S,
    log: bool,
    [outer, axis, inner]: [usize; 3],
    x: &[Cell<f32>],
    y: &[Cell<f32>],
) {
    s.vectorize(SoftmaxAxis { log, outer, axis, inner, x, y });
}

struct SoftmaxAxis<'a> {
    log: bool,
    outer: usize,
    axis: usize,
    inner: usize,
    x: &'a [Cell<f32>],
    y: &'a [Cell<f32>],
}

impl Vectorized for SoftmaxAxis<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { log, outer, axis, inner, x, y } = self;
        let len = axis * inner;
        if len == 0 {
            return;
        }
        for (x, y) in x[..outer * len].chunks_exact(len).zip(y[..outer * len].chunks_exact(len)) {
            let mut at = 0;
            while at < inner {
                let cols = S::LANES.min(inner - at);
                let max = columns(s, Max, &x[at..], axis, inner, cols);
                let mut sum = s.splat(0.0);
                for i in 0..axis {
                    let at = i * inner + at;
                    let e = math::exp(s, s.sub(load_some(s, &x[at..][..cols]), max));
                    sum = s.add(sum, e);
                    if !log {
                        store_some(s, e, &y[at..][..cols]);
                    }
                }
                let offset = if log { math::ln(s, sum) } else { s.div(s.splat(1.0), sum) };
                for i in 0..axis {
                    let at = i * inner + at;
                    let v = if log {
                        s.sub(s.sub(load_some(s, &x[at..][..cols]), max), offset)
                    } else {
                        s.mul(load_some(s, &y[at..][..cols]), offset)
                    };
                    store_some(s, v, &y[at..][..cols]);
                }
                at += cols;
            }
        }
    }
}

/// What [`layer_norm_f32`] and [`rms_norm_f32`] scale and shift by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Affine<'a> {
    /// Factor of each column; one if absent.
    pub scale: Option<&'a [f32]>,
    /// Summand of each column; zero if absent.
    pub bias: Option<&'a [f32]>,
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, in each row of `x`.
///
/// **Shapes and units**: `x` and `y` are `[rows, cols]`, `scale` and `bias` `cols` elements. The
/// variance is that of the population.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: three passes over a row, no allocation. The variance is of the differences from the
/// mean, so that a large mean costs no accuracy.
///
/// **Source**: J. L. Ba, J. R. Kiros and G. E. Hinton, Layer Normalization, 2016.
pub fn layer_norm_f32<S: Simd>(
    s: S,
    [rows, cols]: [usize; 2],
    x: &[Cell<f32>],
    affine: Affine<'_>,
    epsilon: f32,
    y: &[Cell<f32>],
) {
    s.vectorize(Norm { center: true, rows, cols, x, affine, epsilon, y });
}

/// `x / sqrt(mean of x^2 + epsilon) * scale + bias`, in each row: as [`layer_norm_f32`].
///
/// **Source**: B. Zhang and R. Sennrich, Root Mean Square Layer Normalization, 2019.
pub fn rms_norm_f32<S: Simd>(
    s: S,
    [rows, cols]: [usize; 2],
    x: &[Cell<f32>],
    affine: Affine<'_>,
    epsilon: f32,
    y: &[Cell<f32>],
) {
    s.vectorize(Norm { center: false, rows, cols, x, affine, epsilon, y });
}

struct Norm<'a> {
    center: bool,
    rows: usize,
    cols: usize,
    x: &'a [Cell<f32>],
    affine: Affine<'a>,
    epsilon: f32,
    y: &'a [Cell<f32>],
}

impl Vectorized for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { center, rows, cols, x, affine, epsilon, y } = self;
        if cols == 0 {
            return;
        }
        let (x, y) = (&x[..rows * cols], &y[..rows * cols]);
        let scale = affine.scale.map(|scale| &scale[..cols]);
        let bias = affine.bias.map(|bias| &bias[..cols]);
        let inverse = 1.0 / cols as f32;
        // Some rows at a time: what one waits for, the sum across a vector and the root, the
        // others need not.
        const ROWS: usize = 4;
        let mut first = 0;
        while first < rows {
            let count = ROWS.min(rows - first);
            // By index: to cut a slice into rows, the iterators would divide.
            let row = |i: usize| (first + i) * cols..(first + i + 1) * cols;
            let (mut means, mut factors) = ([0.0; ROWS], [0.0; ROWS]);
            if center {
                for (i, mean) in means[..count].iter_mut().enumerate() {
                    *mean = contiguous(s, Sum, &x[row(i)]) * inverse;
                }
            }
            for (i, factor) in factors[..count].iter_mut().enumerate() {
                let variance = contiguous(s, SumSquare(means[i]), &x[row(i)]) * inverse;
                *factor = 1.0 / sqrt_f32(variance + epsilon);
            }
            for i in 0..count {
                let (mean, factor) = (s.splat(means[i]), s.splat(factors[i]));
                each_vector!(s, &x[row(i)], &y[row(i)], |v, len, at| {
                    let mut v = s.mul(s.sub(v, mean), factor);
                    if let Some(scale) = scale {
                        v = s.mul(v, part(s, &scale[at..at + len]));
                    }
                    if let Some(bias) = bias {
                        v = s.add(v, part(s, &bias[at..at + len]));
                    }
                    v
                });
            }
            first += count;
        }
    }
}

/// A vector of at most `LANES` numbers.
#[inline(always)]
fn part<S: Simd>(s: S, from: &[f32]) -> S::F32 {
    if from.len() == S::LANES { s.load(from) } else { s.load_tail(from) }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernels::dispatch;
    use crate::kernels::suite::{Rng, assert_close, cells, levels, values};
    use std::{format, vec, vec::Vec};

    fn naive_softmax(x: &[f32], log: bool) -> Vec<f32> {
        let max = x.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(f64::from(b)));
        let sum: f64 = x.iter().map(|&x| (f64::from(x) - max).exp()).sum();
        let y = x.iter().map(|&x| f64::from(x) - max);
        y.map(|y| if log { y - sum.ln() } else { y.exp() / sum } as f32).collect()
    }

    #[test]
    fn softmax_of_every_length() {
        let mut rng = Rng::new(1);
        for level in levels() {
            for log in [false, true] {
                for cols in (1..36).chain([64, 127, 256]) {
                    let mut x = rng.vector(3 * cols);
                    x.iter_mut().for_each(|x| *x *= 30.0);
                    x[0] = f32::NEG_INFINITY;
                    if cols == 1 {
                        x[0] = 5.0;
                    }
                    let wanted: Vec<f32> =
                        x.chunks(cols).flat_map(|x| naive_softmax(x, log)).collect();
                    let what = format!("{cols} {}", level.isa());
                    // In place.
                    let y = cells(&x);
                    dispatch(level, Softmax { log, rows: 3, cols, x: &y, y: &y });
                    assert_close(&values(&y), &wanted, 1e-6, &what);

                    // The same numbers as columns.
                    let mut across = vec![0.0; 3 * cols];
                    let mut wanted_across = across.clone();
                    for i in 0..3 {
                        for j in 0..cols {
                            across[i * cols + j] = x[i * cols + j];
                        }
                    }
                    for j in 0..cols {
                        let col: Vec<f32> = (0..3).map(|i| across[i * cols + j]).collect();
                        for (i, y) in naive_softmax(&col, log).into_iter().enumerate() {
                            wanted_across[i * cols + j] = y;
                        }
                    }
                    let y = cells(&across);
                    let axis = SoftmaxAxis { log, outer: 1, axis: 3, inner: cols, x: &y, y: &y };
                    dispatch(level, axis);
                    assert_close(&values(&y), &wanted_across, 1e-6, &what);
                }
                for bad in [f32::NAN, f32::INFINITY] {
                    let mut x = vec![0.5; 21];
                    x[19] = bad;
                    let x = cells(&x);
                    dispatch(level, Softmax { log, rows: 1, cols: 21, x: &x, y: &x });
                    assert!(x[19].get().is_nan());
                    assert!(bad.is_infinite() || x.iter().all(|x| x.get().is_nan()));
                }
            }
        }
    }

    #[test]
    fn norms_of_every_length() {
        let mut rng = Rng::new(2);
        for level in levels() {
            for cols in (1..36).chain([64, 128, 200]) {
                for center in [false, true] {
                    // A mean far from zero must not cost the variance its digits.
                    let shift = if center { 100.0 } else { 0.5 };
                    let x: Vec<f32> = rng.vector(2 * cols).iter().map(|x| x + shift).collect();
                    let (scale, bias) = (rng.vector(cols), rng.vector(cols));
                    let with = cols % 2 == 0;
                    let affine = Affine {
                        scale: with.then_some(&scale),
                        bias: (with && cols % 4 == 0).then_some(&bias),
                    };
                    let mut wanted = Vec::new();
                    for x in x.chunks(cols) {
                        let n = cols as f64;
                        let sum: f64 = x.iter().map(|&x| f64::from(x)).sum();
                        let mean = if center { sum / n } else { 0.0 };
                        let square: f64 = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
                        for (j, &x) in x.iter().enumerate() {
                            let y = (f64::from(x) - mean) / (square / n + 1e-3).sqrt();
                            let y = y * affine.scale.map_or(1.0, |scale| f64::from(scale[j]));
                            wanted.push((y + affine.bias.map_or(0.0, |b| f64::from(b[j]))) as f32);
                        }
                    }
                    let y = cells(&vec![0.0; 2 * cols]);
                    let (x, epsilon) = (cells(&x), 1e-3);
                    dispatch(level, Norm { center, rows: 2, cols, x: &x, affine, epsilon, y: &y });
                    let what = format!("{cols} {center} {}", level.isa());
                    assert_close(&values(&y), &wanted, if center { 4e-4 } else { 2e-6 }, &what);
                }
            }
        }
    }
}
