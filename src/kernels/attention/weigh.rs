//! From scores to weights, and from gathered values to the result.
#![allow(clippy::needless_range_loop, reason = "an index says which row or column")]

use core::array::from_fn;
use core::f32::consts::LOG2_E;
use core::ops::Range;

use super::{AttentionF32, MASKS, Unseeing};
use crate::kernels::fold::first_lanes;
use crate::kernels::math;
use crate::kernels::scalar::Scalar;
use crate::kernels::simd::{Simd, Vectorized};

/// Makes the scores of a block weights, relative to the largest score that each query has met.
pub(super) struct Weigh<'a, 'b> {
    pub(super) a: &'a mut AttentionF32<'b>,
    pub(super) queries: Range<usize>,
    /// Those that the last query sees.
    pub(super) keys: Range<usize>,
    pub(super) scores: &'a mut [f32],
    /// Elements from a row of scores to the next: whole vectors.
    pub(super) stride: usize,
    /// The largest score and the sum of the weights of each query.
    pub(super) state: [&'a mut [f32]; 2],
}

impl Vectorized for Weigh<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, queries, keys, scores, stride, state: [tops, sums] } = self;
        let first = keys.start == 0;
        // Without masks the scale is left to the exponential.
        let plain = a.masks.is_empty() && a.softcap == 0.0 && a.scale > 0.0;
        let factor = if plain { a.scale * LOG2_E } else { LOG2_E };
        for (i, row) in scores.chunks_exact_mut(stride).take(queries.len()).enumerate() {
            let query = queries.start + i;
            let seen = a.seen(query).min(keys.end).saturating_sub(keys.start);
            row[seen..keys.len()].fill(0.0);
            let largest = if plain {
                largest(s, row, seen)
            } else {
                masked(s, a, query, keys.start..keys.start + seen, row)
            };
            let old = if first { f32::NEG_INFINITY } else { tops[i] };
            let top = if largest > old { largest } else { old };
            // Nothing seen so far: all weights are zero, whatever they are relative to.
            let base = if top == f32::NEG_INFINITY { 0.0 } else { top };
            let sum = exponentials(s, row, seen, factor, base);
            tops[i] = top;
            if first {
                sums[i] = sum;
            } else if top == old {
                sums[i] += sum;
            } else {
                let lower = math::exp2_normal(Scalar, (old - base) * factor);
                sums[i] = sums[i] * lower + sum;
                let y = &mut a.y[query * a.y_stride..][..a.width];
                scale(s, y, lower);
            }
        }
    }
}

/// A vector of a row, minus infinity beyond its end; rows have room for whole vectors.
#[inline(always)]
fn load_seen<S: Simd>(s: S, row: &[f32], at: usize, seen: usize) -> S::F32 {
    let x = s.load(&row[at..]);
    if at + S::LANES <= seen {
        return x;
    }
    s.select(first_lanes(s, seen - at), x, s.splat(f32::NEG_INFINITY))
}

#[inline(always)]
fn largest<S: Simd>(s: S, row: &[f32], seen: usize) -> f32 {
    let low = s.splat(f32::NEG_INFINITY);
    let (mut even, mut odd) = (low, low);
    let mut at = 0;
    while at + S::LANES < seen {
        even = s.max(load_seen(s, row, at, seen), even);
        odd = s.max(load_seen(s, row, at + S::LANES, seen), odd);
        at += 2 * S::LANES;
    }
    if at < seen {
        even = s.max(load_seen(s, row, at, seen), even);
    }
    s.reduce_max(s.max(even, odd))
}

/// Replaces scores by powers of two with the exponents `factor (score - base)`: the sum of these.
/// There are zeros up to the end of a vector. The difference is taken first: of large scores the
/// product alone is rounded by more than the exponents are apart.
#[inline(always)]
fn exponentials<S: Simd>(s: S, row: &mut [f32], seen: usize, factor: f32, base: f32) -> f32 {
    let (factor, base) = (s.splat(factor), s.splat(base));
    let mut sum = s.splat(0.0);
    let mut at = 0;
    while at < seen {
        let x = s.load(&row[at..]);
        let e = math::exp2_normal(s, s.mul(s.sub(x, base), factor));
        let e = if at + S::LANES <= seen {
            e
        } else {
            s.select(first_lanes(s, seen - at), e, s.splat(0.0))
        };
        s.store(e, &mut row[at..]);
        sum = s.add(sum, e);
        at += S::LANES;
    }
    s.reduce_add(sum)
}

/// Scales, caps and masks the scores of a query: the largest of them.
#[inline(always)]
fn masked<S: Simd>(
    s: S,
    a: &AttentionF32<'_>,
    query: usize,
    keys: Range<usize>,
    row: &mut [f32],
) -> f32 {
    let seen = keys.len();
    let masks: [&[f32]; MASKS] = from_fn(|m| {
        a.masks.get(m).map_or(&[][..], |mask| {
            let row = &mask.rows.data[query * mask.rows.stride..];
            if mask.spread { &row[..1] } else { &row[keys.clone()] }
        })
    });
    let (scale, cap) = (s.splat(a.scale), s.splat(a.softcap));
    let inverse = s.splat(1.0 / a.softcap);
    let mut top = s.splat(f32::NEG_INFINITY);
    let mut at = 0;
    while at < seen {
        let mut x = s.mul(s.load(&row[at..]), scale);
        if a.softcap != 0.0 {
            x = s.mul(math::tanh(s, s.mul(x, inverse)), cap);
        }
        for (mask, values) in a.masks.iter().zip(&masks) {
            let value = if mask.spread {
                s.splat(values[0])
            } else if at + S::LANES <= seen {
                s.load(&values[at..])
            } else {
                s.load_tail(&values[at..])
            };
            x = if mask.replace {
                s.select(s.eq(value, s.splat(0.0)), x, value)
            } else {
                s.add(x, value)
            };
        }
        s.store(x, &mut row[at..]);
        top = s.max(load_seen(s, row, at, seen), top);
        at += S::LANES;
    }
    s.reduce_max(top)
}

#[inline(always)]
fn scale<S: Simd>(s: S, y: &mut [f32], factor: f32) {
    let factor = s.splat(factor);
    let mut whole = y.chunks_exact_mut(S::LANES);
    for y in &mut whole {
        s.store(s.mul(s.load(y), factor), y);
    }
    let rest = whole.into_remainder();
    if !rest.is_empty() {
        s.store_tail(s.mul(s.load_tail(rest), factor), rest);
    }
}

/// Divides what queries have gathered by the sum of their weights.
pub(super) struct Finish<'a> {
    pub(super) unseeing: Unseeing,
    pub(super) width: usize,
    pub(super) tops: &'a [f32],
    pub(super) sums: &'a [f32],
    pub(super) y: &'a mut [f32],
    pub(super) y_stride: usize,
}

impl Vectorized for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { unseeing, width, tops, sums, y, y_stride } = self;
        for i in 0..sums.len() {
            let y = &mut y[i * y_stride..][..width];
            let unseen = match unseeing {
                Unseeing::Nan => false,
                Unseeing::Zero => tops[i] == f32::NEG_INFINITY && sums[i] == 0.0,
                Unseeing::ZeroForNan => sums[i].is_nan() || sums[i] == 0.0,
            };
            if unseen {
                y.fill(0.0);
            } else {
                scale(s, y, 1.0 / sums[i]);
            }
        }
    }
}
