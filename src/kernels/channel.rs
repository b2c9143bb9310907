//! Normalizations of channels: tensors `[outer, channels, inner]`.
//!
//! Input and output are cells: they may be the same slice, or not overlap at all. Functions here
//! panic when a slice is shorter than its shape.

use core::cell::Cell;

use super::fold::{Sum, SumSquare, contiguous, load_some, store_some};
use super::number::Number;
use super::scalar::sqrt_f32;
use super::simd::{Simd, Vectorized};

/// Factor and summand of each channel that make a batch normalization: `scale / sqrt(variance +
/// epsilon)` and what is left of bias and mean.
pub fn batch_coefficients<T: Number>(
    [scale, bias, mean, variance]: [&[T]; 4],
    epsilon: f32,
    factor: &mut [T],
    shift: &mut [T],
) {
    for (c, (factor, shift)) in factor.iter_mut().zip(shift).enumerate() {
        let deviation = libm::sqrt(variance[c].to_f64() + f64::from(epsilon));
        let f = scale[c].to_f64() / deviation;
        *factor = T::from_f64(f);
        *shift = T::from_f64(bias[c].to_f64() - mean[c].to_f64() * f);
    }
}

/// `y = x * scale[channel] + bias[channel]`.
///
/// **Cost**: one pass, vectorized along `inner`, or along the channels where `inner` is one.
pub fn channel_affine_f32<S: Simd>(
    s: S,
    [outer, channels, inner]: [usize; 3],
    x: &[Cell<f32>],
    scale: &[f32],
    bias: &[f32],
    y: &[Cell<f32>],
) {
    let len = outer * channels * inner;
    let (x, y) = (&x[..len], &y[..len]);
    s.vectorize(Affine { channels, inner, x, scale: &scale[..channels], bias, y });
}

struct Affine<'a> {
    channels: usize,
    inner: usize,
    x: &'a [Cell<f32>],
    scale: &'a [f32],
    bias: &'a [f32],
    y: &'a [Cell<f32>],
}

/// `y = x * scale + bias` with one number of each for all.
#[inline(always)]
fn affine_row<S: Simd>(s: S, x: &[Cell<f32>], scale: f32, bias: f32, y: &[Cell<f32>]) {
    let (scale, bias) = (s.splat(scale), s.splat(bias));
    for (x, y) in x.chunks(S::LANES).zip(y.chunks(S::LANES)) {
        store_some(s, s.add(s.mul(load_some(s, x), scale), bias), y);
    }
}

impl Vectorized for Affine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { channels, inner, x, scale, bias, y } = self;
        if x.is_empty() {
            return;
        }
        if inner != 1 {
            let rows = x.chunks_exact(inner).zip(y.chunks_exact(inner));
            for (row, (x, y)) in rows.enumerate() {
                affine_row(s, x, scale[row % channels], bias[row % channels], y);
            }
            return;
        }
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact(channels)) {
            let vectors = x.chunks(S::LANES).zip(y.chunks(S::LANES));
            let coefficients = scale.chunks(S::LANES).zip(bias.chunks(S::LANES));
            for ((x, y), (scale, bias)) in vectors.zip(coefficients) {
                let (scale, bias) = if scale.len() == S::LANES {
                    (s.load(scale), s.load(bias))
                } else {
                    (s.load_tail(scale), s.load_tail(&bias[..scale.len()]))
                };
                store_some(s, s.add(s.mul(load_some(s, x), scale), bias), y);
            }
        }
    }
}

/// [`channel_affine_f32`] in double precision, element by element.
pub fn channel_affine_f64(
    [outer, channels, inner]: [usize; 3],
    x: &[Cell<f64>],
    scale: &[f64],
    bias: &[f64],
    y: &[Cell<f64>],
) {
    for (i, (x, y)) in x[..outer * channels * inner].iter().zip(y).enumerate() {
        let c = i / inner % channels;
        y.set(x.get() * scale[c] + bias[c]);
    }
}

/// Mean and variance removed over each group of channels and `inner`, then scale and bias of each
/// channel.
///
/// **Shapes and units**: `groups` divides the channels; `scale` and `bias` are one element a
/// channel.
///
/// **Cost**: three passes, no allocation.
///
/// **Source**: Y. Wu and K. He, Group Normalization, 2018.
pub fn group_norm_f32<S: Simd>(
    s: S,
    groups: usize,
    [outer, channels, inner]: [usize; 3],
    x: &[Cell<f32>],
    [scale, bias]: [&[f32]; 2],
    epsilon: f32,
    y: &[Cell<f32>],
) {
    let len = outer * channels * inner;
    let (x, y) = (&x[..len], &y[..len]);
    s.vectorize(GroupNorm { groups: groups.max(1), channels, inner, x, scale, bias, epsilon, y });
}

struct GroupNorm<'a> {
    groups: usize,
    channels: usize,
    inner: usize,
    x: &'a [Cell<f32>],
    scale: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    y: &'a [Cell<f32>],
}

impl Vectorized for GroupNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { groups, channels, inner, x, scale, bias, epsilon, y } = self;
        let members = channels / groups;
        let len = members * inner;
        if len == 0 {
            return;
        }
        for (i, (x, y)) in x.chunks_exact(len).zip(y.chunks_exact(len)).enumerate() {
            let mean = contiguous(s, Sum, x) / len as f32;
            let variance = contiguous(s, SumSquare(mean), x) / len as f32;
            let inverse = 1.0 / sqrt_f32(variance + epsilon);
            let first = i % groups * members;
            let rows = x.chunks_exact(inner).zip(y.chunks_exact(inner));
            for (c, (x, y)) in (first..).zip(rows) {
                // Not folded into one factor and summand: a large mean would cost accuracy.
                let (mean, inverse) = (s.splat(mean), s.splat(inverse));
                let (scale, bias) = (s.splat(scale[c]), s.splat(bias[c]));
                for (x, y) in x.chunks(S::LANES).zip(y.chunks(S::LANES)) {
                    let v = s.mul(s.sub(load_some(s, x), mean), inverse);
                    store_some(s, s.add(s.mul(v, scale), bias), y);
                }
            }
        }
    }
}

/// [`group_norm_f32`] in double precision, element by element.
pub fn group_norm_f64(
    groups: usize,
    [outer, channels, inner]: [usize; 3],
    x: &[Cell<f64>],
    [scale, bias]: [&[f64]; 2],
    epsilon: f64,
    y: &[Cell<f64>],
) {
    let groups = groups.max(1);
    let members = channels / groups;
    let len = members * inner;
    if len == 0 {
        return;
    }
    let total = outer * channels * inner;
    let blocks = x[..total].chunks_exact(len).zip(y[..total].chunks_exact(len));
    for (i, (x, y)) in blocks.enumerate() {
        let mean = x.iter().map(Cell::get).sum::<f64>() / len as f64;
        let square = |x: &Cell<f64>| (x.get() - mean) * (x.get() - mean);
        let variance = x.iter().map(square).sum::<f64>() / len as f64;
        let inverse = 1.0 / libm::sqrt(variance + epsilon);
        for (j, (x, y)) in x.iter().zip(y).enumerate() {
            let c = i % groups * members + j / inner;
            y.set((x.get() - mean) * inverse * scale[c] + bias[c]);
        }
    }
}
