//! Functions of one element.

use core::cell::Cell;

use crate::kernels::fold::{load_some, store_some};
use crate::kernels::math;
use crate::kernels::simd::{Simd, Vectorized};

macro_rules! operators {
    ($($(#[$doc:meta])+ $name:ident = $code:literal,)*) => {
        /// A function of one element; `a` and `b` are the parameters that [`unary_f32`] is
        /// given. The numbers are part of the program image: they are pinned.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum UnaryOp {
            $($(#[$doc])+ $name = $code,)*
        }

        impl UnaryOp {
            /// Every operator, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The operator with this pinned number.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

operators! {
    /// `-x`.
    Neg = 1,
    /// `|x|`.
    Abs = 2,
    /// The square root.
    Sqrt = 3,
    /// `1 / x`.
    Recip = 4,
    /// `e^x`.
    Exp = 5,
    /// The natural logarithm.
    Ln = 6,
    /// The hyperbolic tangent.
    Tanh = 7,
    /// `1 / (1 + e^-x)`.
    Sigmoid = 8,
    /// `max(x, 0)`.
    Relu = 9,
    /// `x`, times `a` below zero.
    LeakyRelu = 10,
    /// `x`, at least `a` and at most `b`.
    Clip = 11,
    /// The error function.
    Erf = 12,
    /// `x / 2 (1 + erf(x / sqrt(2)))`.
    Gelu = 13,
    /// The approximation of `Gelu` by a hyperbolic tangent.
    GeluTanh = 14,
    /// `x / (1 + e^-x)`.
    Silu = 15,
    /// `x / (1 + e^(-a x))`.
    Swish = 16,
    /// `ln(1 + e^x)`.
    Softplus = 17,
    /// `x`, `a (e^x - 1)` below zero.
    Elu = 18,
    /// `b x`, `b a (e^x - 1)` below zero.
    Selu = 19,
    /// `x`, `a (e^(x / a) - 1)` below zero.
    Celu = 20,
    /// `a x + b`, at least zero and at most one.
    HardSigmoid = 21,
    /// `x` times `x / 6 + 1 / 2`, of which at least zero and at most one counts.
    HardSwish = 22,
    /// `x / (1 + |x|)`.
    Softsign = 23,
    /// `x tanh(ln(1 + e^x))`.
    Mish = 24,
    /// `x` above `a`, else zero; NaN gives zero.
    ThresholdedRelu = 25,
    /// Rounded down.
    Floor = 26,
    /// Rounded up.
    Ceil = 27,
    /// Rounded to nearest, half to even.
    Round = 28,
    /// -1, 0 or 1.
    Sign = 29,
    /// The sine, by `libm`, as all that follow.
    Sin = 30,
    /// The cosine.
    Cos = 31,
    /// The tangent.
    Tan = 32,
    /// The inverse of the sine.
    Asin = 33,
    /// The inverse of the cosine.
    Acos = 34,
    /// The inverse of the tangent.
    Atan = 35,
    /// The hyperbolic sine.
    Sinh = 36,
    /// The hyperbolic cosine.
    Cosh = 37,
    /// The inverse of the hyperbolic sine.
    Asinh = 38,
    /// The inverse of the hyperbolic cosine.
    Acosh = 39,
    /// The inverse of the hyperbolic tangent.
    Atanh = 40,
}

/// Applies `op`, with its parameters `a` and `b`, to every element of `x`.
///
/// **Shapes and units**: `x` and `y` have the same length; `y` may be `x`.
///
/// **Panics**: if the lengths differ.
///
/// **Cost**: one pass, no allocation; the operator is chosen once. The accuracy is that of
/// [`math`]; operators from `Sin` on are not vectorized.
pub fn unary_f32<S: Simd>(s: S, op: UnaryOp, [a, b]: [f32; 2], x: &[Cell<f32>], y: &[Cell<f32>]) {
    assert_eq!(x.len(), y.len(), "input and output differ in length");
    s.vectorize(Unary { op, a, b, x, y });
}

struct Unary<'a> {
    op: UnaryOp,
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
            UnaryOp::Neg => each!(|x| s.neg(x)),
            UnaryOp::Abs => each!(|x| s.abs(x)),
            UnaryOp::Sqrt => each!(|x| s.sqrt(x)),
            UnaryOp::Recip => each!(|x| s.div(one, x)),
            UnaryOp::Exp => each!(|x| math::exp(s, x)),
            UnaryOp::Ln => each!(|x| math::ln(s, x)),
            UnaryOp::Tanh => each!(|x| math::tanh(s, x)),
            UnaryOp::Sigmoid => each!(|x| math::sigmoid(s, x)),
            UnaryOp::Relu => each!(|x| s.max(zero, x)),
            UnaryOp::LeakyRelu => each!(|x| s.select(s.lt(x, zero), s.mul(a, x), x)),
            UnaryOp::Clip => each!(|x| s.min(b, s.max(a, x))),
            UnaryOp::Erf => each!(|x| math::erf(s, x)),
            UnaryOp::Gelu => each!(|x| math::gelu(s, x)),
            UnaryOp::GeluTanh => each!(|x| math::gelu_tanh(s, x)),
            UnaryOp::Silu => each!(|x| math::silu(s, x)),
            UnaryOp::Swish => each!(|x| s.mul(x, math::sigmoid(s, s.mul(a, x)))),
            UnaryOp::Softplus => each!(|x| math::softplus(s, x)),
            UnaryOp::Elu => {
                each!(|x| s.select(s.lt(x, zero), s.mul(a, math::expm1(s, x)), x));
            }
            UnaryOp::Selu => {
                each!(|x| s.mul(b, s.select(s.lt(x, zero), s.mul(a, math::expm1(s, x)), x)));
            }
            UnaryOp::Celu => {
                each!(|x| s.select(s.lt(x, zero), s.mul(a, math::expm1(s, s.div(x, a))), x));
            }
            UnaryOp::HardSigmoid => {
                each!(|x| s.min(one, s.max(zero, s.add(s.mul(a, x), b))));
            }
            UnaryOp::HardSwish => {
                let (sixth, half) = (s.splat(1.0 / 6.0), s.splat(0.5));
                each!(|x| s.mul(x, s.min(one, s.max(zero, s.add(s.mul(x, sixth), half)))));
            }
            UnaryOp::Softsign => each!(|x| s.div(x, s.add(one, s.abs(x)))),
            UnaryOp::Mish => each!(|x| math::mish(s, x)),
            UnaryOp::ThresholdedRelu => each!(|x| s.select(s.gt(x, a), x, zero)),
            UnaryOp::Floor => each!(|x| s.floor(x)),
            UnaryOp::Ceil => each!(|x| s.ceil(x)),
            UnaryOp::Round => each!(|x| s.round(x)),
            UnaryOp::Sign => {
                // A zero stays, NaN too.
                each!(|x| {
                    let nonzero = s.mask_or(s.lt(x, zero), s.gt(x, zero));
                    s.select(nonzero, s.copysign(one, x), x)
                });
            }
            UnaryOp::Sin => scalar!(libm::sinf),
            UnaryOp::Cos => scalar!(libm::cosf),
            UnaryOp::Tan => scalar!(libm::tanf),
            UnaryOp::Asin => scalar!(libm::asinf),
            UnaryOp::Acos => scalar!(libm::acosf),
            UnaryOp::Atan => scalar!(libm::atanf),
            UnaryOp::Sinh => scalar!(libm::sinhf),
            UnaryOp::Cosh => scalar!(libm::coshf),
            UnaryOp::Asinh => scalar!(libm::asinhf),
            UnaryOp::Acosh => scalar!(acosh),
            UnaryOp::Atanh => scalar!(libm::atanhf),
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

    fn naive(op: UnaryOp, a: f64, b: f64, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match op {
            UnaryOp::Neg => -x,
            UnaryOp::Abs => x.abs(),
            UnaryOp::Sqrt => x.sqrt(),
            UnaryOp::Recip => 1.0 / x,
            UnaryOp::Exp => x.exp(),
            UnaryOp::Ln => x.ln(),
            UnaryOp::Tanh => x.tanh(),
            UnaryOp::Sigmoid => sigmoid(x),
            UnaryOp::Relu if x.is_nan() => x,
            UnaryOp::Relu => x.max(0.0),
            UnaryOp::LeakyRelu if x < 0.0 => a * x,
            UnaryOp::LeakyRelu => x,
            UnaryOp::Clip => x.clamp(a, b),
            UnaryOp::Erf => libm::erf(x),
            UnaryOp::Gelu => 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
            UnaryOp::GeluTanh => {
                let u = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + u.tanh())
            }
            UnaryOp::Silu => x * sigmoid(x),
            UnaryOp::Swish => x * sigmoid(a * x),
            UnaryOp::Softplus if x > 700.0 => x,
            UnaryOp::Softplus => (1.0 + x.exp()).ln(),
            UnaryOp::Elu if x < 0.0 => a * x.exp_m1(),
            UnaryOp::Elu => x,
            UnaryOp::Selu if x < 0.0 => b * a * x.exp_m1(),
            UnaryOp::Selu => b * x,
            UnaryOp::Celu if x < 0.0 => a * (x / a).exp_m1(),
            UnaryOp::Celu => x,
            UnaryOp::HardSigmoid => (a * x + b).clamp(0.0, 1.0),
            UnaryOp::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            UnaryOp::Softsign => x / (1.0 + x.abs()),
            UnaryOp::Mish if x > 700.0 => x,
            UnaryOp::Mish => x * (1.0 + x.exp()).ln().tanh(),
            UnaryOp::ThresholdedRelu => {
                if x > a {
                    x
                } else {
                    0.0
                }
            }
            UnaryOp::Floor => x.floor(),
            UnaryOp::Ceil => x.ceil(),
            UnaryOp::Round => x.round_ties_even(),
            UnaryOp::Sign if x == 0.0 || x.is_nan() => x,
            UnaryOp::Sign => x.signum(),
            UnaryOp::Sin => x.sin(),
            UnaryOp::Cos => x.cos(),
            UnaryOp::Tan => x.tan(),
            UnaryOp::Asin => x.asin(),
            UnaryOp::Acos => x.acos(),
            UnaryOp::Atan => x.atan(),
            UnaryOp::Sinh => x.sinh(),
            UnaryOp::Cosh => x.cosh(),
            UnaryOp::Asinh => x.asinh(),
            UnaryOp::Acosh => x.acosh(),
            UnaryOp::Atanh => x.atanh(),
        }
    }

    #[test]
    fn every_operator_at_every_length() {
        let mut rng = Rng::new(11);
        for &op in UnaryOp::ALL {
            assert_eq!(UnaryOp::from_code(op as u8), Some(op));
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
        assert_eq!(UnaryOp::from_code(0), None);
    }

    #[test]
    fn infinities_where_the_formula_is_not_nan() {
        const INF: f32 = f32::INFINITY;
        let cases = [
            (UnaryOp::Exp, [0.0, INF]),
            (UnaryOp::Tanh, [-1.0, 1.0]),
            (UnaryOp::Sigmoid, [0.0, 1.0]),
            (UnaryOp::Relu, [0.0, INF]),
            (UnaryOp::Clip, [0.25, 1.5]),
            (UnaryOp::Erf, [-1.0, 1.0]),
            (UnaryOp::Softplus, [0.0, INF]),
            (UnaryOp::Elu, [-0.25, INF]),
            (UnaryOp::HardSigmoid, [0.0, 1.0]),
            (UnaryOp::Sign, [-1.0, 1.0]),
            (UnaryOp::Round, [-INF, INF]),
        ];
        for level in levels() {
            for (op, wanted) in cases {
                let x = cells(&[-INF, INF]);
                dispatch(level, Unary { op, a: 0.25, b: 1.5, x: &x, y: &x });
                assert_eq!(values(&x), wanted, "{op:?}");
            }
        }
        let x = cells(&[0.5, 1.5, 2.5, -0.5, -1.5]);
        dispatch(Level::detect(), Unary { op: UnaryOp::Round, a: 0.0, b: 0.0, x: &x, y: &x });
        assert_eq!(values(&x), [0.0, 2.0, 2.0, 0.0, -2.0]);
    }
}
