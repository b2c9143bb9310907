//! Solving with a packed factor.
//!
//! Owns the order of forward substitution. The lanes are rows: each row is one chain of fused
//! multiply-adds from the left, so the bits are the same on every instruction set.

use super::cholesky::packed_len;
use super::draw::{ROWS, panel_start};
use super::real::Real;
use crate::kernels::{Level, Simd, Vectorized, dispatch};

/// Vectors of `S` that hold the rows of a panel.
const fn vectors<S: Simd>() -> usize {
    ROWS / S::F64_LANES
}

/// Forward substitution through the first `given` rows of `factor`, of `dim` rows: replaces
/// element `i` of `x` by `y[i]`, where `L y = x`, and each element behind by
/// `l[i][0] * y[0] + ... + l[i][given-1] * y[given-1]`.
///
/// Where a pivot is zero, the row is determined by those before it, and `y` is zero there.
///
/// **Cost**: no allocation; `given^2 / 2 + given * (dim - given)` multiply-adds.
pub(super) fn substitute<T: Real>(level: Level, factor: &[T], given: usize, x: &mut [f64]) {
    dispatch(level, Substitute { factor, given, x });
}

struct Substitute<'a, T> {
    factor: &'a [T],
    given: usize,
    x: &'a mut [f64],
}

impl<T: Real> Vectorized for Substitute<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if S::F64_LANES > ROWS { self.rows(s.half()) } else { self.rows(s) }
    }
}

impl<T: Real> Substitute<'_, T> {
    #[inline(always)]
    fn rows<S: Simd>(self, s: S) {
        let Self { factor, given, x } = self;
        for (panel, first) in (0..x.len()).step_by(ROWS).enumerate() {
            let coefficients = &factor[panel_start(panel)..panel_start(panel + 1)];
            let rows = first..x.len().min(first + ROWS);
            let mut lanes = [0.0; ROWS];
            for (lane, row) in lanes.iter_mut().zip(first..given.min(rows.end)) {
                *lane = x[row];
            }
            let mut sums = load::<S>(s, &lanes);
            let columns = coefficients.as_chunks::<ROWS>().0;
            for (column, y) in columns.iter().zip(&x[..first.min(given)]) {
                subtract(s, column, *y, &mut sums);
            }
            for j in first..given.min(rows.end) {
                store::<S>(s, &sums, &mut lanes);
                let column = &columns[j];
                let pivot = column[j - first].to_f64();
                let y = if pivot == 0.0 { 0.0 } else { lanes[j - first] / pivot };
                x[j] = y;
                subtract(s, column, y, &mut sums);
            }
            store::<S>(s, &sums, &mut lanes);
            for row in rows.start.max(given)..rows.end {
                x[row] = -lanes[row - first];
            }
        }
    }
}

/// Replaces `x` by `y`, where `L y = x`, for a factor packed by rows and without a pivot of zero.
pub(super) fn solve<T: Real>(factor: &[T], x: &mut [f64]) {
    for row in 0..x.len() {
        let (done, todo) = x.split_at_mut(row);
        let l = &factor[packed_len(row)..][..=row];
        let sum = done.iter().zip(l).fold(todo[0], |sum, (y, l)| sum - l.to_f64() * y);
        todo[0] = sum / l[row].to_f64();
    }
}

/// The lengths of what a packed factor makes of `weights`: `L' a`, squared and summed.
///
/// Each column is summed in four lanes, row `i` in lane `i % 4`, lanes at last.
///
/// **Cost**: no allocation; `dim^2 / 2` multiply-adds.
pub(super) fn transposed_norm2<T: Real>(level: Level, factor: &[T], weights: &[f64]) -> f64 {
    dispatch(level, TransposedNorm { factor, weights })
}

struct TransposedNorm<'a, T> {
    factor: &'a [T],
    weights: &'a [f64],
}

impl<T: Real> Vectorized for TransposedNorm<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        if S::F64_LANES > ROWS { self.columns(s.half()) } else { self.columns(s) }
    }
}

impl<T: Real> TransposedNorm<'_, T> {
    #[inline(always)]
    fn columns<S: Simd>(self, s: S) -> f64 {
        let Self { factor, weights } = self;
        let mut norm2 = 0.0;
        for column in 0..weights.len() {
            let mut sums = load::<S>(s, &[0.0; ROWS]);
            for panel in column / ROWS..weights.len().div_ceil(ROWS) {
                let (first, mut lanes) = (panel * ROWS, [0.0; ROWS]);
                for (lane, weight) in lanes.iter_mut().zip(&weights[first..]) {
                    *lane = *weight;
                }
                let coefficients = &factor[panel_start(panel) + ROWS * column..][..ROWS];
                for (v, sum) in sums.iter_mut().enumerate().take(vectors::<S>()) {
                    let l = T::widen(s, &coefficients[v * S::F64_LANES..]);
                    let a = s.f64_load(&lanes[v * S::F64_LANES..]);
                    *sum = s.f64_mul_add(l, a, *sum);
                }
            }
            let mut lanes = [0.0; ROWS];
            store::<S>(s, &sums, &mut lanes);
            let [a, b, c, d] = lanes;
            let sum = (a + b) + (c + d);
            norm2 += sum * sum;
        }
        norm2
    }
}

/// Vectors of `S`; those beyond the rows are never looked at.
#[inline(always)]
fn load<S: Simd>(s: S, from: &[f64; ROWS]) -> [S::F64; ROWS] {
    let mut to = [s.f64_load(from); ROWS];
    for (v, to) in to.iter_mut().enumerate().take(vectors::<S>()).skip(1) {
        *to = s.f64_load(&from[v * S::F64_LANES..]);
    }
    to
}

#[inline(always)]
fn store<S: Simd>(s: S, from: &[S::F64; ROWS], to: &mut [f64; ROWS]) {
    for (v, from) in from.iter().enumerate().take(vectors::<S>()) {
        s.f64_store(*from, &mut to[v * S::F64_LANES..]);
    }
}

/// Subtracts `column * y`.
#[inline(always)]
fn subtract<S: Simd, T: Real>(s: S, column: &[T; ROWS], y: f64, sums: &mut [S::F64; ROWS]) {
    for (v, sum) in sums.iter_mut().enumerate().take(vectors::<S>()) {
        let l = T::widen(s, &column[v * S::F64_LANES..]);
        *sum = s.f64_neg_mul_add(l, s.f64_splat(y), *sum);
    }
}
