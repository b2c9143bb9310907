//! Reductions of any element type.

use core::cell::Cell;

use super::ReduceOp;
use crate::kernels::number::{BinaryCode, Number, UnaryCode};

/// Reduces the middle axis, as [`reduce_f32`](super::reduce_f32) does. Integers wrap, but for the
/// mean, which is rounded towards zero; roots and logarithms of integers too.
///
/// **Shapes and units**: `x` is `[outer, axis, inner]`, `y` is `[outer, inner]`. They must not
/// overlap; if they do, the result is unspecified.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: one pass (two for `LogSumExp`), in order.
pub fn reduce_scalar<T: Number>(
    op: ReduceOp,
    [outer, axis, inner]: [usize; 3],
    x: &[Cell<T>],
    y: &[Cell<T>],
) {
    if outer * inner == 0 {
        return;
    }
    for o in 0..outer {
        for lane in 0..inner {
            let lane_at = |i: usize| x[(o * axis + i) * inner + lane].get();
            y[o * inner + lane].set(reduce_lane(op, (0..axis).map(lane_at)));
        }
    }
}

#[inline(always)]
fn reduce_lane<T: Number>(op: ReduceOp, lane: impl ExactSizeIterator<Item = T> + Clone) -> T {
    let len = lane.len();
    let fold = |from: T, code: BinaryCode| lane.clone().fold(from, |a, b| a.binary(code, b));
    let total = |f: &dyn Fn(f64) -> f64| lane.clone().map(|x| f(x.to_f64())).sum::<f64>();
    let zero = T::default();
    match op {
        ReduceOp::Sum => fold(zero, BinaryCode::Add),
        ReduceOp::Mean if T::DTYPE.is_float() => {
            fold(zero, BinaryCode::Add).binary(BinaryCode::Div, T::from_f64(len as f64))
        }
        ReduceOp::Mean => {
            let sum: i128 = lane.map(|x| i128::from(x.to_i64())).sum();
            T::from_f64((sum / (len as i128).max(1)) as f64)
        }
        ReduceOp::Max => fold(T::LOWEST, BinaryCode::Max),
        ReduceOp::Min => fold(T::HIGHEST, BinaryCode::Min),
        ReduceOp::Prod => fold(T::from_f64(1.0), BinaryCode::Mul),
        ReduceOp::L1 => lane
            .map(|x| x.unary(UnaryCode::Abs, [0.0; 2]))
            .fold(zero, |a, b| a.binary(BinaryCode::Add, b)),
        ReduceOp::SumSquare => lane
            .map(|x| x.binary(BinaryCode::Mul, x))
            .fold(zero, |a, b| a.binary(BinaryCode::Add, b)),
        ReduceOp::L2 => T::from_f64(libm::sqrt(total(&|x| x * x))),
        ReduceOp::LogSum => T::from_f64(libm::log(total(&|x| x))),
        ReduceOp::LogSumExp => {
            let largest = lane.clone().fold(f64::NEG_INFINITY, |a, x| {
                let x = x.to_f64();
                if x > a || x.is_nan() { x } else { a }
            });
            let offset = if largest.is_infinite() { 0.0 } else { largest };
            T::from_f64(libm::log(total(&|x| libm::exp(x - offset))) + offset)
        }
    }
}
