//! Folds of many elements into one: what reductions and normalizations share.
//!
//! A [`Fold`] says what each element becomes and how two of them join. [`contiguous`] folds a
//! row in four chains of vectors, [`columns`] folds as many adjacent columns as a vector holds.
#![allow(clippy::needless_range_loop, reason = "an index says which lane, row or dimension")]

use core::cell::Cell;

use super::math;
use super::scalar::Scalar;
use super::simd::Simd;

/// How elements are folded.
pub(crate) trait Fold: Copy {
    /// What no element folds to.
    const NEUTRAL: f32;

    /// What an element counts.
    #[inline(always)]
    fn term<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let _ = s;
        x
    }
    /// What two terms give.
    fn join<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32;
    /// What the lanes give, the upper half joined to the lower until one is left.
    #[inline(always)]
    fn across<S: Simd>(self, s: S, x: S::F32) -> f32 {
        let mut lanes = [0.0; 16];
        s.store(x, &mut lanes);
        let mut half = S::LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] = self.join(Scalar, lanes[i], lanes[i + half]);
            }
            half /= 2;
        }
        lanes[0]
    }
}

/// The sum.
#[derive(Clone, Copy)]
pub(crate) struct Sum;
/// The sum of magnitudes.
#[derive(Clone, Copy)]
pub(crate) struct SumAbs;
/// The sum of squared distances from a number.
#[derive(Clone, Copy)]
pub(crate) struct SumSquare(pub(crate) f32);
/// The sum of `e^(x - m)`.
#[derive(Clone, Copy)]
pub(crate) struct SumExp(pub(crate) f32);
/// The product.
#[derive(Clone, Copy)]
pub(crate) struct Product;
/// The largest; NaN if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Max;
/// The smallest; NaN if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Min;

macro_rules! sum {
    ($fold:ty) => {
        impl Fold for $fold {
            const NEUTRAL: f32 = 0.0;
            #[inline(always)]
            fn join<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32 {
                s.add(a, b)
            }
            #[inline(always)]
            fn across<S: Simd>(self, s: S, x: S::F32) -> f32 {
                s.reduce_add(x)
            }
        }
    };
    ($fold:ty, |$this:ident, $s:ident, $x:ident| $term:expr) => {
        impl Fold for $fold {
            const NEUTRAL: f32 = 0.0;
            #[inline(always)]
            fn term<S: Simd>(self, $s: S, $x: S::F32) -> S::F32 {
                let $this = self;
                $term
            }
            #[inline(always)]
            fn join<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32 {
                s.add(a, b)
            }
            #[inline(always)]
            fn across<S: Simd>(self, s: S, x: S::F32) -> f32 {
                s.reduce_add(x)
            }
        }
    };
}
sum!(Sum);
sum!(SumAbs, |_this, s, x| s.abs(x));
sum!(SumSquare, |this, s, x| {
    let d = s.sub(x, s.splat(this.0));
    s.mul(d, d)
});
sum!(SumExp, |this, s, x| math::exp(s, s.sub(x, s.splat(this.0))));

impl Fold for Product {
    const NEUTRAL: f32 = 1.0;
    #[inline(always)]
    fn join<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32 {
        s.mul(a, b)
    }
}

impl Fold for Max {
    const NEUTRAL: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn join<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32 {
        s.select(s.is_nan(b), b, s.max(b, a))
    }
    #[inline(always)]
    fn across<S: Simd>(self, s: S, x: S::F32) -> f32 {
        if s.mask_any(s.is_nan(x)) { f32::NAN } else { s.reduce_max(x) }
    }
}

impl Fold for Min {
    const NEUTRAL: f32 = f32::INFINITY;
    #[inline(always)]
    fn join<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32 {
        s.select(s.is_nan(b), b, s.min(b, a))
    }
    #[inline(always)]
    fn across<S: Simd>(self, s: S, x: S::F32) -> f32 {
        if s.mask_any(s.is_nan(x)) { f32::NAN } else { s.reduce_min(x) }
    }
}

/// True in the first `len` lanes.
#[inline(always)]
pub(crate) fn first_lanes<S: Simd>(s: S, len: usize) -> S::Mask {
    s.i32_gt(s.i32_splat(len as i32), s.u32_to_i32(s.u32_lane_index()))
}

/// Folds a row.
#[inline(always)]
pub(crate) fn contiguous<S: Simd, F: Fold>(s: S, fold: F, x: &[Cell<f32>]) -> f32 {
    const CHAINS: usize = 4;
    let mut sums = [s.splat(F::NEUTRAL); CHAINS];
    let mut blocks = x.chunks_exact(CHAINS * S::LANES);
    for block in &mut blocks {
        for c in 0..CHAINS {
            let x = s.load_cells(&block[c * S::LANES..][..S::LANES]);
            sums[c] = fold.join(s, sums[c], fold.term(s, x));
        }
    }
    let mut rest = blocks.remainder().chunks_exact(S::LANES);
    for chunk in &mut rest {
        sums[0] = fold.join(s, sums[0], fold.term(s, s.load_cells(chunk)));
    }
    let tail = rest.remainder();
    if !tail.is_empty() {
        let term = fold.term(s, s.load_cells_tail(tail));
        let term = s.select(first_lanes(s, tail.len()), term, s.splat(F::NEUTRAL));
        sums[1] = fold.join(s, sums[1], term);
    }
    let sum = fold.join(s, fold.join(s, sums[0], sums[1]), fold.join(s, sums[2], sums[3]));
    fold.across(s, sum)
}

/// A vector of at most `LANES` cells, zeros where there are fewer.
#[inline(always)]
pub(crate) fn load_some<S: Simd>(s: S, from: &[Cell<f32>]) -> S::F32 {
    if from.len() == S::LANES { s.load_cells(from) } else { s.load_cells_tail(from) }
}

/// Writes at most `LANES` cells.
#[inline(always)]
pub(crate) fn store_some<S: Simd>(s: S, x: S::F32, to: &[Cell<f32>]) {
    if to.len() == S::LANES { s.store_cells(x, to) } else { s.store_cells_tail(x, to) }
}

/// Folds `axis` rows of `cols` (at most `LANES`) adjacent columns, `stride` apart: block by block,
/// so that rounding errors of a long sum grow with the blocks and not with the rows.
#[inline(always)]
pub(crate) fn columns<S: Simd, F: Fold>(
    s: S,
    fold: F,
    x: &[Cell<f32>],
    axis: usize,
    stride: usize,
    cols: usize,
) -> S::F32 {
    const BLOCK: usize = 32;
    let mut sum = s.splat(F::NEUTRAL);
    let mut first = 0;
    while first < axis {
        let end = axis.min(first + BLOCK);
        let mut block = s.splat(F::NEUTRAL);
        for i in first..end {
            let x = load_some(s, &x[i * stride..][..cols]);
            block = fold.join(s, block, fold.term(s, x));
        }
        sum = fold.join(s, sum, block);
        first = end;
    }
    sum
}
