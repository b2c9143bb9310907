//! Elementary functions of `f32` vectors.
//!
//! Owns their polynomials. Each function gives the same bits on every instruction set: it uses
//! only correctly rounded operations, in one order. The polynomials are weighted minimax fits of
//! our own (Lawson's iteration on Chebyshev nodes, coefficients rounded to `f32` one after
//! another from the lowest, the rest fitted again); each states the largest error of the fit. The
//! bounds in ULP are of the result against `f64` over every exponent, measured by the tests.
//!
//! NaN gives NaN. Subnormal arguments and results are not flushed.

use super::simd::Simd;

const LOG2_E: f32 = core::f32::consts::LOG2_E;
// ln 2 = HIGH + LOW, where HIGH = 355 / 512: its product with an exponent is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `(e^r - 1 - r) / r^2` on |r| <= ln(2) / 2; error of the fit 1.4e-8 of `e^r - 1`.
const EXP: [f32; 5] = [0.5, 0.166_665_43, 0.041_666_422, 0.008_366_566, 0.001_393_895_7];

/// `(2^r - 1) / r` on |r| <= 1/2; error of the fit 9.4e-8 of `2^r`.
#[expect(clippy::approx_constant, reason = "the first number of a fit, near the logarithm of 2")]
const EXP2: [f32; 5] = [0.693_147, 0.240_222_47, 0.055_507_112, 0.009_671_294, 0.001_326_940_6];

/// `(2^r - 1) / r` on |r| <= 1/2; error of the fit 1.3e-8 of `2^r - 1`.
#[expect(clippy::approx_constant, reason = "the first number of a fit, near the logarithm of 2")]
const EXP2M1: [f32; 6] =
    [0.693_147_2, 0.240_226_49, 0.055_503_674, 0.009_618_311, 0.001_338_737_7, 0.000_153_822_32];

/// `(ln(1 + f) - f + f^2 / 2) / f^3` between the square roots of 1/2 and 2; 5.9e-9 of `ln`.
const LN: [f32; 8] = [
    0.333_333_3,
    -0.250_008_2,
    0.200_012_42,
    -0.166_234_08,
    0.142_015_77,
    -0.131_596_31,
    0.127_622_65,
    -0.076_364_38,
];

/// `erf(x) / x - 1` in `x^2` on x <= 0.92; 1.6e-8 of `erf`.
const ERF_SMALL: [f32; 6] =
    [0.128_379_15, -0.376_125, 0.112_818_77, -0.026_768_58, 0.004_995_853_6, -0.000_600_380_1];

/// `-ln(1 - erf(x))` on 0.92 to 4; 1.6e-9 of `erf`.
const ERF_LARGE: [f32; 7] = [
    0.000_195_674_93,
    1.127_675_7,
    0.637_182_2,
    0.103_931_665,
    -0.022_226_945,
    0.003_043_217_8,
    -0.000_195_936_33,
];

/// `erf(x / sqrt(2)) / 2x` in `x^2` on x <= 5.5, a quotient; 1.7e-8 of 1/2. At 5.5 the quotient
/// times x rounds to 1/2.
const GELU: ([f32; 6], [f32; 6]) = (
    [0.398_942_26, 0.034_625_51, 0.004_726_016, 0.000_176_551_13, 6.390_977_4e-6, 2.210_384_6e-8],
    [1.0, 0.253_459_3, 0.029_091_118, 0.001_929_326, 7.601_56e-5, 1.181_200_2e-6],
);

/// Horner's rule, lowest coefficient first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F32, coefficients: &[f32; N]) -> S::F32 {
    let mut sum = s.splat(coefficients[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = s.mul_add(sum, x, s.splat(coefficients[i]));
    }
    sum
}

/// `n` and `e^r - 1` where `x = n ln(2) + r`, for |x| up to 110.
#[inline(always)]
fn reduced_expm1<S: Simd>(s: S, x: S::F32) -> (S::I32, S::F32) {
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    let r = s.neg_mul_add(n, s.splat(LN_2_HIGH), x);
    let r = s.neg_mul_add(n, s.splat(LN_2_LOW), r);
    let q = polynomial(s, r, &EXP);
    (s.round_to_i32(n), s.mul_add(s.mul(r, r), q, r))
}

/// `2^n` for n from -126 to 127.
#[inline(always)]
fn exp2_of_int<S: Simd>(s: S, n: S::I32) -> S::F32 {
    let biased = s.i32_to_u32(s.i32_add(n, s.i32_splat(127)));
    s.from_bits(s.u32_shl::<23>(biased))
}

/// `e^x`: at most 1.1 ULP. Overflows to infinity above 88.72, ends in subnormals and zero.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // `x` is the second operand: NaN passes.
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.0), x));
    let (n, p) = reduced_expm1(s, x);
    // 2^n in two factors: it may be below the normal range, or 2^128.
    let half = s.i32_shr::<1>(n);
    let y = s.add(p, s.splat(1.0));
    s.mul(s.mul(y, exp2_of_int(s, half)), exp2_of_int(s, s.i32_sub(n, half)))
}

/// `2^n` and `2^r - 1` where `x = n + r`, for |x| up to 126.
#[inline(always)]
fn reduced_exp2m1<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    // The sum with 1.5 * 2^23 rounds to an integer, which is left in its low bits.
    let magic = s.splat(12_582_912.0);
    let shifted = s.add(x, magic);
    let r = s.sub(x, s.sub(shifted, magic));
    let n = s.u32_shl::<23>(s.to_bits(shifted));
    let scale = s.from_bits(s.u32_add(n, s.u32_splat(0x3f80_0000)));
    (scale, s.mul(r, polynomial(s, r, &EXP2M1)))
}

/// `1 + 2^x`, where `x` lies between -90 and 90, and otherwise what it is at the nearer of these:
/// for the denominator of a sigmoid. At most 1.5 ULP.
#[inline(always)]
pub(super) fn one_plus_exp2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.min(s.splat(90.0), s.max(s.splat(-90.0), x));
    let (scale, p) = reduced_exp2m1(s, x);
    s.mul_add(scale, p, s.add(scale, s.splat(1.0)))
}

/// `2^x - 1`, where `x` lies between -30 and 30, and otherwise what it is at the nearer of these:
/// from there on, `x / (x + 2)` rounds to one. At most 2 ULP.
#[inline(always)]
pub(super) fn exp2m1<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.min(s.splat(30.0), s.max(s.splat(-30.0), x));
    let (scale, p) = reduced_exp2m1(s, x);
    s.mul_add(scale, p, s.sub(scale, s.splat(1.0)))
}

/// `2^x` for x up to 127: at most 2.5 ULP. From -126.5 down it is zero; there is no subnormal.
///
/// Two thirds of what [`exp`] costs, for weights that are relative to the largest.
#[inline(always)]
pub fn exp2_normal<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // Added to x, it leaves the nearest integer to x, biased as an exponent, in the lowest bits.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    // `x` is the second operand: NaN passes.
    let x = s.max(s.splat(-127.0), x);
    let biased = s.add(x, s.splat(ROUND));
    let r = s.sub(x, s.sub(biased, s.splat(ROUND)));
    let y = s.mul_add(polynomial(s, r, &EXP2), r, s.splat(1.0));
    s.mul(y, s.from_bits(s.u32_shl::<23>(s.to_bits(biased))))
}

/// `e^x - 1`: at most 2 ULP, also near zero.
#[inline(always)]
pub fn expm1<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.min(s.splat(89.0), s.max(s.splat(-30.0), x));
    let (n, p) = reduced_expm1(s, x);
    // Half of 2^n: n = 128 must not overflow before the sum.
    let half = exp2_of_int(s, s.i32_sub(n, s.i32_splat(1)));
    let y = s.mul_add(half, p, s.sub(half, s.splat(0.5)));
    s.add(y, y)
}

/// `ln(2^e (1 + f))` with `1 + f` between the square roots of 1/2 and 2.
#[inline(always)]
fn ln_of_sum<S: Simd>(s: S, f: S::F32, e: S::F32) -> S::F32 {
    let f2 = s.mul(f, f);
    let y = s.mul(s.mul(f, f2), polynomial(s, f, &LN));
    let y = s.mul_add(e, s.splat(LN_2_LOW), y);
    let y = s.neg_mul_add(f2, s.splat(0.5), y);
    s.mul_add(e, s.splat(LN_2_HIGH), s.add(f, y))
}

/// The natural logarithm: at most 1 ULP. Zero gives -infinity, below zero NaN.
#[inline(always)]
pub fn ln<S: Simd>(s: S, x: S::F32) -> S::F32 {
    const TWO_23: f32 = 8_388_608.0;
    let tiny = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let scaled = s.select(tiny, s.mul(x, s.splat(TWO_23)), x);
    // x = 2^e m with m between the square roots of 1/2 and 2.
    let bits = s.to_bits(scaled);
    let above = s.u32_sub(bits, s.u32_splat(core::f32::consts::FRAC_1_SQRT_2.to_bits()));
    let e = s.i32_shr::<23>(s.u32_to_i32(above));
    let m = s.from_bits(s.u32_sub(bits, s.u32_shl::<23>(s.i32_to_u32(e))));
    let e = s.sub(s.i32_to_f32(e), s.select(tiny, s.splat(23.0), s.splat(0.0)));

    let y = ln_of_sum(s, s.sub(m, s.splat(1.0)), e);

    let y = s.select(s.lt(x, s.splat(f32::INFINITY)), y, x);
    let y = s.select(s.lt(x, s.splat(0.0)), s.splat(f32::NAN), y);
    s.select(s.eq(x, s.splat(0.0)), s.splat(f32::NEG_INFINITY), y)
}

/// The hyperbolic tangent: at most 2.5 ULP.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // (e^2x - 1) / (e^2x + 1); from 2x = 20 on the quotient rounds to one.
    let x2 = s.abs(s.add(x, x));
    let (n, p) = reduced_expm1(s, s.min(s.splat(20.0), x2));
    let scale = exp2_of_int(s, n);
    let m = s.mul_add(scale, p, s.sub(scale, s.splat(1.0)));
    s.copysign(s.div(m, s.add(m, s.splat(2.0))), x)
}

/// `1 / (1 + e^-x)`: at most 2.5 ULP, also far below zero.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // With -|x| nothing overflows, and the small side keeps its relative accuracy.
    let e = exp(s, s.neg(s.abs(x)));
    let one = s.splat(1.0);
    s.div(s.select(s.lt(x, s.splat(0.0)), e, one), s.add(one, e))
}

/// The error function: at most 2 ULP.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let a = s.min(s.splat(4.0), s.abs(x));
    let small = s.mul_add(a, polynomial(s, s.mul(a, a), &ERF_SMALL), a);
    let large = exp(s, s.neg(polynomial(s, a, &ERF_LARGE)));
    let large = s.sub(s.splat(1.0), large);
    s.copysign(s.select(s.lt(a, s.splat(0.92)), small, large), x)
}

/// `x / 2 (1 + erf(x / sqrt(2)))`: within 2e-7 absolute where |x| <= 1 and 2e-7 of |x| beyond.
/// Minus infinity gives NaN, as the formula does.
///
/// **Source**: D. Hendrycks and K. Gimpel, Gaussian Error Linear Units, 2016.
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // The limits come first: NaN passes.
    let a = s.min(s.splat(5.5), s.max(s.splat(-5.5), x));
    let square = s.mul(a, a);
    let p = s.mul(polynomial(s, square, &GELU.0), a);
    let e = s.div(p, polynomial(s, square, &GELU.1));
    let e = s.min(s.splat(0.5), s.max(s.splat(-0.5), e));
    s.mul_add(x, e, s.mul(x, s.splat(0.5)))
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`: within 4e-7 of |x|. Minus infinity gives
/// NaN.
///
/// **Source**: as [`gelu`]; the approximation of the ONNX operator `Gelu`.
#[inline(always)]
pub fn gelu_tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // (1 + tanh(u)) / 2 = sigmoid(2u); 2 sqrt(2 / pi) = 1.59...
    let x2 = s.mul(x, x);
    let u = s.mul_add(s.mul(x2, x), s.splat(0.071_354_814), s.mul(x, s.splat(1.595_769)));
    s.mul(x, sigmoid(s, u))
}

/// `x sigmoid(x)`: at most 3.5 ULP, or 1e-43 where the result is subnormal. Minus infinity gives NaN.
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.mul(x, sigmoid(s, x))
}

/// `ln(1 + e^x)`: at most 3 ULP, also far below zero.
#[inline(always)]
pub fn softplus<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let t = exp(s, s.neg(s.abs(x)));
    // ln(1 + t) where t <= 1, as `ln` has it: 1 + t is 1 + f, or twice that.
    let one = s.splat(1.0);
    let twice = s.gt(t, s.splat(core::f32::consts::SQRT_2 - 1.0));
    let f = s.select(twice, s.mul(s.sub(t, one), s.splat(0.5)), t);
    let e = s.select(twice, one, s.splat(0.0));
    // `x` second: NaN passes.
    s.add(s.max(s.splat(0.0), x), ln_of_sum(s, f, e))
}

/// `x tanh(ln(1 + e^x))`: at most 4.5 ULP, or 1e-43 where the result is subnormal. Minus infinity gives NaN.
///
/// **Source**: D. Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019.
#[inline(always)]
pub fn mish<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // tanh(ln(u)) = (u^2 - 1) / (u^2 + 1) with u = 1 + e^x; from x = 30 on it rounds to one.
    let e = exp(s, s.min(s.splat(30.0), x));
    let n = s.mul(e, s.add(e, s.splat(2.0)));
    s.mul(x, s.div(n, s.add(n, s.splat(2.0))))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::suite::{Rng, levels, ulps};
    use super::super::{Level, Vectorized, dispatch};
    use super::*;
    use std::vec::Vec;

    macro_rules! functions {
        ($($function:ident),*) => {
            #[derive(Clone, Copy, Debug)]
            #[allow(non_camel_case_types)]
            enum Function { $($function),* }
            struct Apply<'a>(Function, &'a mut [f32]);
            impl Vectorized for Apply<'_> {
                type Output = ();
                #[inline(always)]
                fn run<S: Simd>(self, s: S) {
                    for chunk in self.1.chunks_mut(S::LANES) {
                        let x = s.load_tail(chunk);
                        let y = match self.0 { $(Function::$function => $function(s, x)),* };
                        s.store_tail(y, chunk);
                    }
                }
            }
            const FUNCTIONS: &[Function] = &[$(Function::$function),*];
        };
    }
    functions!(exp, expm1, ln, tanh, sigmoid, erf, gelu, gelu_tanh, silu, softplus, mish);

    fn reference(function: Function, x: f64) -> f64 {
        let log1pexp = |x: f64| x.max(0.0) + libm::log1p(libm::exp(-x.abs()));
        let sigmoid = |x: f64| {
            let e = libm::exp(-x.abs());
            if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
        };
        match function {
            Function::exp => libm::exp(x),
            Function::expm1 => libm::expm1(x),
            Function::ln => libm::log(x),
            Function::tanh => libm::tanh(x),
            Function::sigmoid => sigmoid(x),
            Function::erf => libm::erf(x),
            Function::gelu => 0.5 * x * (1.0 + libm::erf(x * core::f64::consts::FRAC_1_SQRT_2)),
            Function::gelu_tanh => {
                let c = libm::sqrt(2.0 / core::f64::consts::PI);
                x * sigmoid(2.0 * c * (x + 0.044715 * x * x * x))
            }
            Function::silu => x * sigmoid(x),
            Function::softplus => log1pexp(x) + if x.is_nan() { x } else { 0.0 },
            Function::mish => x * libm::tanh(log1pexp(x)),
        }
    }

    /// Every `step`th bit pattern: all exponents, both signs, subnormals, infinities and NaN.
    fn samples(step: usize) -> Vec<f32> {
        let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE];
        let mut x: Vec<f32> = special.to_vec();
        x.extend((0..=u32::MAX).step_by(step).map(f32::from_bits));
        let mut rng = Rng::new(7);
        x.extend((0..(1 << 32) / step / 2).map(|_| rng.uniform(-12.0, 12.0)));
        x.extend((0..(1 << 32) / step / 4).map(|_| rng.uniform(-110.0, 95.0)));
        x
    }

    #[test]
    fn bounds_hold() {
        let x = samples(if cfg!(debug_assertions) { 40_009 } else { 1_009 });
        let mut within = true;
        for &function in FUNCTIONS {
            let mut y = x.clone();
            dispatch(Level::detect(), Apply(function, &mut y));
            let (mut worst, mut at) = (0.0, 0.0);
            for (&x, &y) in x.iter().zip(&y) {
                if x == f32::NEG_INFINITY
                    && matches!(
                        function,
                        Function::gelu | Function::gelu_tanh | Function::silu | Function::mish
                    )
                {
                    assert!(y.is_nan());
                    continue;
                }
                let wanted = reference(function, f64::from(x));
                let error = match function {
                    Function::gelu | Function::gelu_tanh if x.is_finite() => {
                        (f64::from(y) - wanted).abs() / f64::from(x).abs().max(1.0)
                    }
                    Function::silu | Function::mish if (f64::from(y) - wanted).abs() < 1e-43 => 0.0,
                    _ => ulps(y, wanted),
                };
                if error > worst || error.is_nan() {
                    (worst, at) = (error, x);
                }
            }
            let bound = match function {
                Function::exp => 1.1,
                Function::ln => 1.0,
                Function::expm1 | Function::erf => 2.0,
                Function::tanh | Function::sigmoid => 2.5,
                Function::gelu => 2e-7,
                Function::gelu_tanh => 4e-7,
                Function::silu => 3.5,
                Function::softplus => 3.0,
                Function::mish => 4.5,
            };
            std::println!("{function:?}: {worst:.3e} at {at:e}, bound {bound}");
            within &= worst <= bound;
        }
        assert!(within);
    }

    #[test]
    fn same_bits_on_every_level() {
        let x = samples(if cfg!(debug_assertions) { 400_009 } else { 40_009 });
        for &function in FUNCTIONS {
            let mut wanted = x.clone();
            dispatch(Level::scalar(), Apply(function, &mut wanted));
            for level in levels() {
                let mut y = x.clone();
                dispatch(level, Apply(function, &mut y));
                for i in 0..x.len() {
                    let same = y[i].to_bits() == wanted[i].to_bits()
                        || y[i].is_nan() && wanted[i].is_nan();
                    assert!(same, "{function:?}({:e}) on {}", x[i], level.isa());
                }
            }
        }
    }

    struct Exp2<'a>(&'a mut [f32]);

    impl Vectorized for Exp2<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for chunk in self.0.chunks_mut(S::LANES) {
                s.store_tail(exp2_normal(s, s.load_tail(chunk)), chunk);
            }
        }
    }

    #[test]
    fn powers_of_two() {
        let all = samples(if cfg!(debug_assertions) { 40_009 } else { 1_009 });
        let x: Vec<f32> = all.into_iter().filter(|x| x.is_nan() || *x <= 127.0).collect();
        let mut wanted = x.clone();
        dispatch(Level::scalar(), Exp2(&mut wanted));
        for (&x, &y) in x.iter().zip(&wanted) {
            match x {
                _ if x.is_nan() => assert!(y.is_nan()),
                _ if x < -126.5 => assert_eq!(y, 0.0, "{x}"),
                _ if x < -126.0 => assert!((0.0..=f32::MIN_POSITIVE).contains(&y), "{x}: {y}"),
                _ => assert!(ulps(y, libm::exp2(f64::from(x))) <= 2.5, "{x}: {y}"),
            }
        }
        for level in levels() {
            let mut y = x.clone();
            dispatch(level, Exp2(&mut y));
            let same =
                |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            assert!(y.iter().zip(&wanted).all(same), "{}", level.isa());
        }
    }

    /// FNV-1a of every result: the same on every host.
    #[test]
    fn bits_are_pinned() {
        let x = samples(4_000_037);
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for &function in FUNCTIONS {
            let mut y = x.clone();
            dispatch(Level::detect(), Apply(function, &mut y));
            for y in y {
                let bits = if y.is_nan() { f32::NAN.to_bits() } else { y.to_bits() };
                for byte in bits.to_le_bytes() {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
        assert_eq!(hash, 7_300_286_344_627_997_280);
    }
}
