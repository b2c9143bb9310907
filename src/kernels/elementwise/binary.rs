//! Functions of two elements.

use core::cell::Cell;

use crate::kernels::fold::{load_some, store_some};
use crate::kernels::number::{BinaryCode, Number};
use crate::kernels::simd::{Simd, Vectorized};

/// The two arguments of a [`BinaryCode`].
#[derive(Clone, Copy, Debug)]
pub enum Operands<'a> {
    /// Element by element.
    Vectors(&'a [Cell<f32>], &'a [Cell<f32>]),
    /// Every element with one number on its right.
    VectorScalar(&'a [Cell<f32>], f32),
    /// Every element with one number on its left.
    ScalarVector(f32, &'a [Cell<f32>]),
}

/// Applies `op` to every pair of elements.
///
/// **Shapes and units**: vectors and `y` have the same length; `y` may be either of them.
///
/// **Panics**: if the lengths differ.
///
/// **Cost**: one pass, no allocation; operator and shape are chosen once. Powers are computed by
/// `libm` unless the exponent is one number for all, and 1, 2, 3 or -1; remainders are not
/// vectorized.
pub fn binary_f32<S: Simd>(s: S, op: BinaryCode, operands: Operands<'_>, y: &[Cell<f32>]) {
    let same = match operands {
        Operands::Vectors(a, b) => a.len() == y.len() && b.len() == y.len(),
        Operands::VectorScalar(a, _) => a.len() == y.len(),
        Operands::ScalarVector(_, b) => b.len() == y.len(),
    };
    assert!(same, "inputs and output differ in length");
    s.vectorize(Binary { op, operands, y });
}

struct Binary<'a> {
    op: BinaryCode,
    operands: Operands<'a>,
    y: &'a [Cell<f32>],
}

impl Vectorized for Binary<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, operands, y } = self;
        macro_rules! each {
            (|$a:ident, $b:ident| $body:expr) => {
                match operands {
                    Operands::Vectors(a, b) => {
                        let vectors = a.chunks(S::LANES).zip(b.chunks(S::LANES));
                        for ((a, b), y) in vectors.zip(y.chunks(S::LANES)) {
                            let ($a, $b) = (load_some(s, a), load_some(s, b));
                            store_some(s, $body, y);
                        }
                    }
                    Operands::VectorScalar(a, b) => {
                        let $b = s.splat(b);
                        for (a, y) in a.chunks(S::LANES).zip(y.chunks(S::LANES)) {
                            let $a = load_some(s, a);
                            store_some(s, $body, y);
                        }
                    }
                    Operands::ScalarVector(a, b) => {
                        let $a = s.splat(a);
                        for (b, y) in b.chunks(S::LANES).zip(y.chunks(S::LANES)) {
                            let $b = load_some(s, b);
                            store_some(s, $body, y);
                        }
                    }
                }
            };
        }
        match (op, operands) {
            (BinaryCode::Add, _) => each!(|a, b| s.add(a, b)),
            (BinaryCode::Sub, _) => each!(|a, b| s.sub(a, b)),
            (BinaryCode::Mul, _) => each!(|a, b| s.mul(a, b)),
            (BinaryCode::Div, _) => each!(|a, b| s.div(a, b)),
            // `min` and `max` give `b` where either is NaN.
            (BinaryCode::Min, _) => each!(|a, b| s.select(s.is_nan(a), a, s.min(a, b))),
            (BinaryCode::Max, _) => each!(|a, b| s.select(s.is_nan(a), a, s.max(a, b))),
            (BinaryCode::Pow, Operands::VectorScalar(a, 1.0)) => {
                each_with(s, a, y, Power::One);
            }
            (BinaryCode::Pow, Operands::VectorScalar(a, 2.0)) => {
                each_with(s, a, y, Power::Two);
            }
            (BinaryCode::Pow, Operands::VectorScalar(a, 3.0)) => {
                each_with(s, a, y, Power::Three);
            }
            (BinaryCode::Pow, Operands::VectorScalar(a, -1.0)) => {
                each_with(s, a, y, Power::MinusOne);
            }
            (BinaryCode::PRelu, _) => {
                let zero = s.splat(0.0);
                each!(|a, b| s.select(s.lt(a, zero), s.mul(a, b), a));
            }
            (_, Operands::Vectors(a, b)) => {
                for ((a, b), y) in a.iter().zip(b).zip(y) {
                    y.set(a.get().binary(op, b.get()));
                }
            }
            (_, Operands::VectorScalar(a, b)) => {
                for (a, y) in a.iter().zip(y) {
                    y.set(a.get().binary(op, b));
                }
            }
            (_, Operands::ScalarVector(a, b)) => {
                for (b, y) in b.iter().zip(y) {
                    y.set(a.binary(op, b.get()));
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Power {
    One,
    Two,
    Three,
    MinusOne,
}

/// Powers that are a few products.
#[inline(always)]
fn each_with<S: Simd>(s: S, a: &[Cell<f32>], y: &[Cell<f32>], power: Power) {
    for (a, y) in a.chunks(S::LANES).zip(y.chunks(S::LANES)) {
        let a = load_some(s, a);
        let result = match power {
            Power::One => a,
            Power::Two => s.mul(a, a),
            Power::Three => s.mul(s.mul(a, a), a),
            Power::MinusOne => s.div(s.splat(1.0), a),
        };
        store_some(s, result, y);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernels::dispatch;
    use crate::kernels::suite::{Rng, assert_close, cells, levels, values};
    use std::{format, vec::Vec};

    fn naive(op: BinaryCode, a: f32, b: f32) -> f32 {
        match op {
            BinaryCode::Add => a + b,
            BinaryCode::Sub => a - b,
            BinaryCode::Mul => a * b,
            BinaryCode::Div => a / b,
            BinaryCode::Min | BinaryCode::Max if a.is_nan() || b.is_nan() => f32::NAN,
            BinaryCode::Min => a.min(b),
            BinaryCode::Max => a.max(b),
            BinaryCode::Pow => f64::from(a).powf(f64::from(b)) as f32,
            BinaryCode::PRelu if a < 0.0 => a * b,
            BinaryCode::PRelu => a,
            _ => a.binary(op, b),
        }
    }

    #[test]
    fn every_operator_shape_and_length() {
        let mut rng = Rng::new(17);
        for &op in BinaryCode::ALL {
            for len in 0..35 {
                let (a, b) = (rng.any_vector(len), rng.any_vector(len));
                for level in levels() {
                    let what = format!("{op:?} of {len} on {}", level.isa());
                    let tolerance = if op == BinaryCode::Pow { 1e-6 } else { 0.0 };
                    let (av, bv) = (cells(&a), cells(&b));

                    let wanted: Vec<f32> =
                        a.iter().zip(&b).map(|(&a, &b)| naive(op, a, b)).collect();
                    let y = cells(&a);
                    dispatch(level, Binary { op, operands: Operands::Vectors(&y, &bv), y: &y });
                    assert_close(&values(&y), &wanted, tolerance, &what);
                    let y = cells(&b);
                    dispatch(level, Binary { op, operands: Operands::Vectors(&av, &y), y: &y });
                    assert_close(&values(&y), &wanted, tolerance, &what);

                    for number in [1.0, 2.0, 3.0, -1.0, 0.5, -0.0, f32::NAN, f32::INFINITY] {
                        let wanted: Vec<f32> = a.iter().map(|&a| naive(op, a, number)).collect();
                        let operands = Operands::VectorScalar(&av, number);
                        dispatch(level, Binary { op, operands, y: &y });
                        assert_close(&values(&y), &wanted, tolerance, &what);
                        let wanted: Vec<f32> = b.iter().map(|&b| naive(op, number, b)).collect();
                        let operands = Operands::ScalarVector(number, &bv);
                        dispatch(level, Binary { op, operands, y: &y });
                        assert_close(&values(&y), &wanted, tolerance, &what);
                    }
                }
            }
        }
    }
}
