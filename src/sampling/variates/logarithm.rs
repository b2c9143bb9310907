//! Logarithms of probabilities, in both precisions.
//!
//! Uses `+`, `-`, `*`, `/` and fused multiply-add only, each rounded once. With `f` between
//! `sqrt(1/2) - 1` and `sqrt(2) - 1` and `r = f / (2 + f)`, `ln(1 + f)` is `2 r + r^3 P(r^2)`. `P`
//! is our own: near-minimax (Chebyshev interpolation with 40 digits, mpmath) on the squares that
//! occur, then rounded. Relative errors of the logarithm of the exact polynomials: 2.8e-9 (`f32`),
//! 4.6e-18 (`f64`).

use crate::kernels::Simd;

/// `P` of `f32`, ascending.
const SERIES32: [f32; 3] = [0.666_666_87, 0.399_887_8, 0.295_799_5];
/// `P` of `f64`, ascending.
const SERIES64: [f64; 7] = [
    0.666_666_666_666_667,
    0.399_999_999_998_995_04,
    0.285_714_286_259_754_85,
    0.222_222_111_347_950_8,
    0.181_828_891_252_617_22,
    0.153_317_216_005_560_41,
    0.146_164_496_850_434_06,
];
/// `1 - sqrt(1/2)`.
const NEAR_ONE: f64 = 1.0 - core::f64::consts::FRAC_1_SQRT_2;

/// `-ln(q)` for `q` above zero and `rest = 1 - q` above zero, each with its own last digits.
#[inline(always)]
pub(super) fn minus_log32<S: Simd>(s: S, q: S::F32, rest: S::F32) -> S::F32 {
    // A mantissa between sqrt(1/2) and sqrt(2), and how often two divides it.
    let bits = s.to_bits(q);
    let root = core::f32::consts::FRAC_1_SQRT_2.to_bits();
    let exponent = s.i32_shr::<23>(s.u32_to_i32(s.u32_sub(bits, s.u32_splat(root))));
    let mantissa = s.u32_sub(bits, s.u32_shl::<23>(s.i32_to_u32(exponent)));
    let near = s.lt(rest, s.splat(NEAR_ONE as f32));
    let minus_f = s.sub(s.splat(1.0), s.from_bits(mantissa));
    let minus_f = s.select(near, rest, minus_f);
    let times = s.neg(s.i32_to_f32(exponent));
    let times = s.select(near, s.splat(0.0), times);
    let r = s.div(minus_f, s.sub(s.splat(2.0), minus_f));
    let z = s.mul(r, r);
    let [c0, c1, c2] = SERIES32;
    let p = s.mul_add(s.splat(c2), z, s.splat(c1));
    let p = s.mul_add(p, z, s.splat(c0));
    let log = s.mul_add(s.mul(r, z), p, s.add(r, r));
    s.mul_add(times, s.splat(core::f32::consts::LN_2), log)
}

/// As [`minus_log32`].
#[inline(always)]
pub(super) fn minus_log64<S: Simd>(s: S, q: S::F64, rest: S::F64) -> S::F64 {
    let bits = s.f64_to_bits(q);
    // With the bias of one's exponent, so that nothing is below zero.
    const FROM_ROOT: u64 = 1.0f64.to_bits() - core::f64::consts::FRAC_1_SQRT_2.to_bits();
    let biased = s.u64_shr::<52>(s.u64_add(bits, s.u64_splat(FROM_ROOT)));
    let times = s.u64_sub(s.u64_splat(1023), biased);
    let mantissa = s.u64_add(bits, s.u64_shl::<52>(times));
    let near = s.f64_lt(rest, s.f64_splat(NEAR_ONE));
    let minus_f = s.f64_sub(s.f64_splat(1.0), s.f64_from_bits(mantissa));
    let minus_f = s.f64_select(near, rest, minus_f);
    let times = s.f64_select(near, s.f64_splat(0.0), s.u64_to_f64(times));
    let r = s.f64_div(minus_f, s.f64_sub(s.f64_splat(2.0), minus_f));
    let z = s.f64_mul(r, r);
    let [rest @ .., last] = &SERIES64;
    let mut p = s.f64_splat(*last);
    for c in rest.iter().rev() {
        p = s.f64_mul_add(p, z, s.f64_splat(*c));
    }
    let log = s.f64_mul_add(s.f64_mul(r, z), p, s.f64_add(r, r));
    s.f64_mul_add(times, s.f64_splat(core::f64::consts::LN_2), log)
}
