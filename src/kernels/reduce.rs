//! Reductions of one axis of an `[outer, axis, inner]` tensor.

use core::cell::Cell;

mod generic;

pub use generic::reduce_scalar;

use super::fold::{
    Max, Min, Product, Sum, SumAbs, SumExp, SumSquare, columns, contiguous, load_some, store_some,
};
use super::math;
use super::scalar::{Scalar, sqrt_f32};
use super::simd::{Simd, Vectorized};

/// What an axis is reduced to. The numbers are part of the program image: they are pinned.
///
/// Over an empty axis, the sums are 0, the product 1, the maximum -infinity, the minimum
/// +infinity, the mean NaN and the logarithms -infinity. A NaN makes every reduction NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum ReduceOp {
    /// The sum.
    Sum = 1,
    /// The sum over the length.
    Mean = 2,
    /// The largest element.
    Max = 3,
    /// The smallest element.
    Min = 4,
    /// The product.
    Prod = 5,
    /// The sum of magnitudes.
    L1 = 6,
    /// The square root of the sum of squares.
    L2 = 7,
    /// The sum of squares.
    SumSquare = 8,
    /// The logarithm of the sum.
    LogSum = 9,
    /// The logarithm of the sum of exponentials, of which none overflows.
    LogSumExp = 10,
}

impl ReduceOp {
    /// Every reduction, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::Sum,
        Self::Mean,
        Self::Max,
        Self::Min,
        Self::Prod,
        Self::L1,
        Self::L2,
        Self::SumSquare,
        Self::LogSum,
        Self::LogSumExp,
    ];

    /// The reduction with this pinned number.
    pub const fn from_code(code: u8) -> Option<Self> {
        if code >= 1 && code as usize <= Self::ALL.len() {
            Some(Self::ALL[code as usize - 1])
        } else {
            None
        }
    }
}

/// Reduces the middle axis.
///
/// **Shapes and units**: `x` is `[outer, axis, inner]`, `y` is `[outer, inner]`. They must not
/// overlap; if they do, the result is unspecified.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: one pass (two for `LogSumExp`), no allocation. With `inner` 1, rows are summed in
/// four chains of vectors; otherwise each vector of columns is summed in blocks of rows.
pub fn reduce_f32<S: Simd>(
    s: S,
    op: ReduceOp,
    [outer, axis, inner]: [usize; 3],
    x: &[Cell<f32>],
    y: &[Cell<f32>],
) {
    s.vectorize(Reduce { op, outer, axis, inner, x, y });
}

struct Reduce<'a> {
    op: ReduceOp,
    outer: usize,
    axis: usize,
    inner: usize,
    x: &'a [Cell<f32>],
    y: &'a [Cell<f32>],
}

/// The maximum, or zero where subtracting it would give NaN.
#[inline(always)]
fn offset<S: Simd>(s: S, max: S::F32) -> S::F32 {
    let infinite = s.eq(s.abs(max), s.splat(f32::INFINITY));
    s.select(infinite, s.splat(0.0), max)
}

impl Vectorized for Reduce<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, outer, axis, inner, x, y } = self;
        let (x, y) = (&x[..outer * axis * inner], &y[..outer * inner]);
        if y.is_empty() {
            return;
        }
        let len = axis as f32;
        if inner == 1 {
            for (i, y) in y.iter().enumerate() {
                let x = &x[i * axis..][..axis];
                y.set(match op {
                    ReduceOp::Sum => contiguous(s, Sum, x),
                    ReduceOp::Mean => contiguous(s, Sum, x) / len,
                    ReduceOp::Max => contiguous(s, Max, x),
                    ReduceOp::Min => contiguous(s, Min, x),
                    ReduceOp::Prod => contiguous(s, Product, x),
                    ReduceOp::L1 => contiguous(s, SumAbs, x),
                    ReduceOp::L2 => sqrt_f32(contiguous(s, SumSquare(0.0), x)),
                    ReduceOp::SumSquare => contiguous(s, SumSquare(0.0), x),
                    ReduceOp::LogSum => math::ln(Scalar, contiguous(s, Sum, x)),
                    ReduceOp::LogSumExp => {
                        let offset = offset(Scalar, contiguous(s, Max, x));
                        math::ln(Scalar, contiguous(s, SumExp(offset), x)) + offset
                    }
                });
            }
            return;
        }
        for i in 0..outer {
            let (x, y) = (&x[i * axis * inner..], &y[i * inner..][..inner]);
            let mut at = 0;
            while at < inner {
                let cols = S::LANES.min(inner - at);
                let x = if axis == 0 { x } else { &x[at..] };
                let sum = match op {
                    ReduceOp::Sum | ReduceOp::Mean | ReduceOp::LogSum => {
                        columns(s, Sum, x, axis, inner, cols)
                    }
                    ReduceOp::Max | ReduceOp::LogSumExp => columns(s, Max, x, axis, inner, cols),
                    ReduceOp::Min => columns(s, Min, x, axis, inner, cols),
                    ReduceOp::Prod => columns(s, Product, x, axis, inner, cols),
                    ReduceOp::L1 => columns(s, SumAbs, x, axis, inner, cols),
                    ReduceOp::L2 | ReduceOp::SumSquare => {
                        columns(s, SumSquare(0.0), x, axis, inner, cols)
                    }
                };
                let result = match op {
                    ReduceOp::Mean => s.div(sum, s.splat(len)),
                    ReduceOp::L2 => s.sqrt(sum),
                    ReduceOp::LogSum => math::ln(s, sum),
                    ReduceOp::LogSumExp => {
                        let offset = offset(s, sum);
                        let mut sum = s.splat(0.0);
                        for j in 0..axis {
                            let x = load_some(s, &x[j * inner..][..cols]);
                            sum = s.add(sum, math::exp(s, s.sub(x, offset)));
                        }
                        s.add(math::ln(s, sum), offset)
                    }
                    _ => sum,
                };
                store_some(s, result, &y[at..][..cols]);
                at += cols;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernels::suite::{Rng, assert_close, cells, levels, values};
    use crate::kernels::{Level, dispatch};
    use std::{format, vec, vec::Vec};

    fn naive(op: ReduceOp, x: &[f64]) -> f64 {
        let nan = x.iter().any(|x| x.is_nan());
        let max = x.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let min = x.iter().fold(f64::INFINITY, |a, &b| a.min(b));
        let sum: f64 = x.iter().sum();
        let squares: f64 = x.iter().map(|x| x * x).sum();
        match op {
            _ if nan => f64::NAN,
            ReduceOp::Sum => sum,
            ReduceOp::Mean => sum / x.len() as f64,
            ReduceOp::Max => max,
            ReduceOp::Min => min,
            ReduceOp::Prod => x.iter().product(),
            ReduceOp::L1 => x.iter().map(|x| x.abs()).sum(),
            ReduceOp::L2 => squares.sqrt(),
            ReduceOp::SumSquare => squares,
            ReduceOp::LogSum => sum.ln(),
            ReduceOp::LogSumExp if max.is_infinite() => max,
            ReduceOp::LogSumExp => x.iter().map(|x| (x - max).exp()).sum::<f64>().ln() + max,
        }
    }

    fn check(op: ReduceOp, [outer, axis, inner]: [usize; 3], x: &[f32], level: Level) {
        let mut wanted = Vec::new();
        for i in 0..outer {
            for j in 0..inner {
                let x: Vec<f64> =
                    (0..axis).map(|a| f64::from(x[(i * axis + a) * inner + j])).collect();
                wanted.push(naive(op, &x) as f32);
            }
        }
        let y = cells(&vec![7.0; outer * inner]);
        dispatch(level, Reduce { op, outer, axis, inner, x: &cells(x), y: &y });
        let what = format!("{op:?} of [{outer}, {axis}, {inner}] on {}", level.isa());
        assert_close(&values(&y), &wanted, 1e-5, &what);
    }

    #[test]
    fn every_length() {
        let mut rng = Rng::new(5);
        for level in levels() {
            for op in ReduceOp::ALL {
                for axis in (0..36).chain([63, 64, 65, 129]) {
                    for inner in [1, 2, 7, 16, 19] {
                        let mut x = rng.vector(2 * axis * inner);
                        // The sum of a logarithm's argument away from zero.
                        x.iter_mut().for_each(|x| *x += 1.0);
                        check(op, [2, axis, inner], &x, level);
                    }
                }
            }
        }
    }

    #[test]
    fn long_sums_stay_exact() {
        let mut rng = Rng::new(6);
        for (level, inner) in levels().into_iter().flat_map(|level| [(level, 1), (level, 5)]) {
            let axis = 4096;
            let x: Vec<f32> = rng.vector(axis * inner).iter().map(|x| x.abs() + 0.1).collect();
            let y = cells(&vec![0.0; inner]);
            dispatch(
                level,
                Reduce { op: ReduceOp::Sum, outer: 1, axis, inner, x: &cells(&x), y: &y },
            );
            for (j, y) in values(&y).into_iter().enumerate() {
                let wanted: f64 = x.iter().skip(j).step_by(inner).map(|x| f64::from(*x)).sum();
                assert!((f64::from(y) / wanted - 1.0).abs() < 5e-7, "{y} for {wanted}");
            }
        }
    }

    #[test]
    fn nan_and_infinity_anywhere() {
        for level in levels() {
            for op in ReduceOp::ALL {
                for (inner, special) in
                    [1, 5, 18].into_iter().flat_map(|i| [(i, f32::NAN), (i, f32::INFINITY)])
                {
                    for at in [0, 3, 16, 36] {
                        let mut x = vec![0.5; 37 * inner];
                        x[at * inner] = special;
                        check(op, [1, 37, inner], &x, level);
                    }
                }
            }
            check(ReduceOp::LogSumExp, [1, 3, 1], &[f32::NEG_INFINITY; 3], level);
        }
    }

    #[test]
    fn numbers_are_pinned() {
        for op in ReduceOp::ALL {
            assert_eq!(ReduceOp::from_code(op as u8), Some(op));
        }
        assert_eq!(ReduceOp::from_code(0), None);
        assert_eq!(ReduceOp::from_code(11), None);
    }
}
