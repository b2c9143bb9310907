//! Functions of one element.

use core::cell::Cell;

use crate::kernels::fold::{load_some, store_some};
use crate::kernels::math;
use crate::kernels::number::{Number, UnaryCode};
use crate::kernels::simd::{Simd, Vectorized};

/// Applies `op`, with its parameters `a` and `b`, to every element of `x`.
///
/// **Shapes and units**: `x` and `y` have the same length; `y` may be `x`.
///
/// **Panics**: if the lengths differ.
///
/// **Cost**: one pass, no allocation; the operator is chosen once. The accuracy is that of
/// [`math`]; trigonometric, hyperbolic and boolean functions are not
/// vectorized (but for the hyperbolic tangent).
pub fn unary_f32<S: Simd>(s: S, op: UnaryCode, [a, b]: [f32; 2], x: &[Cell<f32>], y: &[Cell<f32>]) {
    assert_eq!(x.len(), y.len(), "input and output differ in length");
    s.vectorize(Unary { op, a, b, x, y });
}

struct Unary<'a> {
    op: UnaryCode,
    a: f32,
    b: f32,
    x: &'a [Cell<f32>],
    y: &'a [Cell<f32>],
}

impl Vectorized for Unary<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, a, b, x, y } = self;
        macro_rules! each {
            (|$v:ident| $body:expr) => {
                for (x, y) in x.chunks(S::LANES).zip(y.chunks(S::LANES)) {
                    let $v = load_some(s, x);
                    store_some(s, $body, y);
                }
            };
        }
        macro_rules! scalar {
            ($function:path) => {
                for (x, y) in x.iter().zip(y) {
                    y.set($function(x.get()));
                }
            };
        }
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        let (a, b) = (s.splat(a), s.splat(b));
        match op {
            UnaryCode::Neg => each!(|x| s.neg(x)),
            UnaryCode::Abs => each!(|x| s.abs(x)),
            UnaryCode::Sqrt => each!(|x| s.sqrt(x)),
            UnaryCode::Reciprocal => each!(|x| s.div(one, x)),
            UnaryCode::Exp => each!(|x| math::exp(s, x)),
            UnaryCode::Log => each!(|x| math::ln(s, x)),
            UnaryCode::Tanh => each!(|x| math::tanh(s, x)),
            UnaryCode::Sigmoid => each!(|x| math::sigmoid(s, x)),
            UnaryCode::Relu => each!(|x| s.max(zero, x)),
            UnaryCode::LeakyRelu => each!(|x| s.select(s.lt(x, zero), s.mul(a, x), x)),
            UnaryCode::Clip => each!(|x| s.min(b, s.max(a, x))),
            UnaryCode::Erf => each!(|x| math::erf(s, x)),
            UnaryCode::Gelu => each!(|x| math::gelu(s, x)),
            UnaryCode::GeluTanh => each!(|x| math::gelu_tanh(s, x)),
            UnaryCode::Silu => each!(|x| math::silu(s, x)),
            UnaryCode::Swish => each!(|x| s.mul(x, math::sigmoid(s, s.mul(a, x)))),
            UnaryCode::Softplus => each!(|x| math::softplus(s, x)),
            UnaryCode::Elu => {
                each!(|x| s.select(s.lt(x, zero), s.mul(a, math::expm1(s, x)), x));
            }
            UnaryCode::Selu => {
                each!(|x| s.mul(b, s.select(s.lt(x, zero), s.mul(a, math::expm1(s, x)), x)));
            }
            UnaryCode::Celu => {
                each!(|x| s.select(s.lt(x, zero), s.mul(a, math::expm1(s, s.div(x, a))), x));
            }
            UnaryCode::HardSigmoid => {
                each!(|x| s.min(one, s.max(zero, s.add(s.mul(a, x), b))));
            }
            UnaryCode::HardSwish => {
                let (sixth, half) = (s.splat(1.0 / 6.0), s.splat(0.5));
                each!(|x| s.mul(x, s.min(one, s.max(zero, s.add(s.mul(x, sixth), half)))));
            }
            UnaryCode::Softsign => each!(|x| s.div(x, s.add(one, s.abs(x)))),
            UnaryCode::Mish => each!(|x| math::mish(s, x)),
            UnaryCode::ThresholdedRelu => each!(|x| s.select(s.gt(x, a), x, zero)),
            UnaryCode::Floor => each!(|x| s.floor(x)),
            UnaryCode::Ceil => each!(|x| s.ceil(x)),
            UnaryCode::Round => each!(|x| s.round(x)),
            UnaryCode::Sign => {
                // A zero stays, NaN too.
                each!(|x| {
                    let nonzero = s.mask_or(s.lt(x, zero), s.gt(x, zero));
                    s.select(nonzero, s.copysign(one, x), x)
                });
            }
            UnaryCode::Sin => scalar!(libm::sinf),
            UnaryCode::Cos => scalar!(libm::cosf),
            UnaryCode::Tan => scalar!(libm::tanf),
            UnaryCode::Asin => scalar!(libm::asinf),
            UnaryCode::Acos => scalar!(libm::acosf),
            UnaryCode::Atan => scalar!(libm::atanf),
            UnaryCode::Sinh => scalar!(libm::sinhf),
            UnaryCode::Cosh => scalar!(libm::coshf),
            UnaryCode::Asinh => scalar!(libm::asinhf),
            UnaryCode::Acosh => scalar!(acosh),
            UnaryCode::Atanh => scalar!(libm::atanhf),
            UnaryCode::Identity | UnaryCode::BitwiseNot => each!(|x| x),
            UnaryCode::Not | UnaryCode::IsNan | UnaryCode::IsInf => {
                for (x, y) in x.iter().zip(y) {
                    y.set(x.get().unary(op, [0.0; 2]));
                }
            }
        }
    }
}

/// The inverse of the hyperbolic cosine; `libm` 0.2 gives a number below minus one.
fn acosh(x: f32) -> f32 {
    if x < 1.0 { f32::NAN } else { libm::acoshf(x) }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernels::suite::{Rng, cells, levels, values};
    use crate::kernels::{Level, dispatch};
    use std::vec::Vec;

    fn naive(op: UnaryCode, a: f64, b: f64, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match op {
            UnaryCode::Neg => -x,
            UnaryCode::Abs => x.abs(),
            UnaryCode::Sqrt => x.sqrt(),
            UnaryCode::Reciprocal => 1.0 / x,
            UnaryCode::Exp => x.exp(),
            UnaryCode::Log => x.ln(),
            UnaryCode::Tanh => x.tanh(),
            UnaryCode::Sigmoid => sigmoid(x),
            UnaryCode::Relu if x.is_nan() => x,
            UnaryCode::Relu => x.max(0.0),
            UnaryCode::LeakyRelu if x < 0.0 => a * x,
            UnaryCode::LeakyRelu => x,
            UnaryCode::Clip => x.clamp(a, b),
            UnaryCode::Erf => libm::erf(x),
            UnaryCode::Gelu => 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
            UnaryCode::GeluTanh => {
                let u = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + u.tanh())
            }
            UnaryCode::Silu => x * sigmoid(x),
            UnaryCode::Swish => x * sigmoid(a * x),
            UnaryCode::Softplus if x > 700.0 => x,
            UnaryCode::Softplus => (1.0 + x.exp()).ln(),
            UnaryCode::Elu if x < 0.0 => a * x.exp_m1(),
            UnaryCode::Elu => x,
            UnaryCode::Selu if x < 0.0 => b * a * x.exp_m1(),
            UnaryCode::Selu => b * x,
            UnaryCode::Celu if x < 0.0 => a * (x / a).exp_m1(),
            UnaryCode::Celu => x,
            UnaryCode::HardSigmoid => (a * x + b).clamp(0.0, 1.0),
            UnaryCode::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            UnaryCode::Softsign => x / (1.0 + x.abs()),
            UnaryCode::Mish if x > 700.0 => x,
            UnaryCode::Mish => x * (1.0 + x.exp()).ln().tanh(),
            UnaryCode::ThresholdedRelu => {
                if x > a {
                    x
                } else {
                    0.0
                }
            }
            UnaryCode::Floor => x.floor(),
            UnaryCode::Ceil => x.ceil(),
            UnaryCode::Round => x.round_ties_even(),
            UnaryCode::Sign if x == 0.0 || x.is_nan() => x,
            UnaryCode::Sign => x.signum(),
            UnaryCode::Sin => x.sin(),
            UnaryCode::Cos => x.cos(),
            UnaryCode::Tan => x.tan(),
            UnaryCode::Asin => x.asin(),
            UnaryCode::Acos => x.acos(),
            UnaryCode::Atan => x.atan(),
            UnaryCode::Sinh => x.sinh(),
            UnaryCode::Cosh => x.cosh(),
            UnaryCode::Asinh => x.asinh(),
            UnaryCode::Acosh => x.acosh(),
            UnaryCode::Atanh => x.atanh(),
            _ => (x as f32).unary(op, [0.0; 2]).into(),
        }
    }

    #[test]
    fn every_operator_at_every_length() {
        let mut rng = Rng::new(11);
        for &op in UnaryCode::ALL {
            for len in 0..35 {
                let mut x = rng.any_vector(len);
                x.iter_mut().for_each(|x| *x = if x.abs() > 1e4 { x.signum() * 80.0 } else { *x });
                let (a, b) = (0.25f32, 1.5f32);
                let mut first = None;
                for level in levels() {
                    // In place.
                    let y = cells(&x);
                    dispatch(level, Unary { op, a, b, x: &y, y: &y });
                    let y = values(&y);
                    for (&x, &y) in x.iter().zip(&y) {
                        let wanted = naive(op, f64::from(a), f64::from(b), f64::from(x)) as f32;
                        let close = y == wanted
                            || y.is_nan() && wanted.is_nan()
                            || (y - wanted).abs() <= 1e-6 * wanted.abs().max(1.0);
                        assert!(close, "{op:?}({x:e}) is {y:e}, wanted {wanted:e}");
                    }
                    let bits = |y: &f32| if y.is_nan() { 1 } else { y.to_bits() };
                    let y: Vec<u32> = y.iter().map(bits).collect();
                    assert_eq!(first.get_or_insert_with(|| y.clone()), &y, "{op:?}");
                }
            }
        }
    }

    #[test]
    fn infinities_where_the_formula_is_not_nan() {
        const INF: f32 = f32::INFINITY;
        let cases = [
            (UnaryCode::Exp, [0.0, INF]),
            (UnaryCode::Tanh, [-1.0, 1.0]),
            (UnaryCode::Sigmoid, [0.0, 1.0]),
            (UnaryCode::Relu, [0.0, INF]),
            (UnaryCode::Clip, [0.25, 1.5]),
            (UnaryCode::Erf, [-1.0, 1.0]),
            (UnaryCode::Softplus, [0.0, INF]),
            (UnaryCode::Elu, [-0.25, INF]),
            (UnaryCode::HardSigmoid, [0.0, 1.0]),
            (UnaryCode::Sign, [-1.0, 1.0]),
            (UnaryCode::Round, [-INF, INF]),
        ];
        for level in levels() {
            for (op, wanted) in cases {
                let x = cells(&[-INF, INF]);
                dispatch(level, Unary { op, a: 0.25, b: 1.5, x: &x, y: &x });
                assert_eq!(values(&x), wanted, "{op:?}");
            }
        }
        let x = cells(&[0.5, 1.5, 2.5, -0.5, -1.5]);
        dispatch(Level::detect(), Unary { op: UnaryCode::Round, a: 0.0, b: 0.0, x: &x, y: &x });
        assert_eq!(values(&x), [0.0, 2.0, 2.0, 0.0, -2.0]);
    }
}
