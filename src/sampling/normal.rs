//! From words to standard normals.
//!
//! Owns the inverse normal distribution function of single precision, which uses `+`, `-`, `*`,
//! `/`, square roots and fused multiply-add only, each rounded once, so that its bits are the same
//! everywhere. It must not know where the words come from.
//!
//! With `t` the probability beyond the normal (below 1/2) and `q = 1/2 - t`:
//!
//! - the centre, `t >= 2^-9`: `q * R(t)`, where `R = z / q` is smooth; a polynomial of degree 5 on
//!   each half octave of `t`, in its mantissa;
//! - the tails: a rational function of `sqrt(-log2 t)`.
//!
//! The coefficients are our own: least squares in double precision on Chebyshev nodes, reweighted
//! by Lawson's method until the relative error is level (minimax), against SciPy's `ndtri`, then
//! rounded to `f32`. Relative errors of the exact polynomials: centre 1.0e-7, tail 2.1e-8 (for the
//! rational function), log2 3.0e-7 (absolute). With rounding, [`MAX_RELATIVE_ERROR`] is the bound
//! that the tests hold both parts to.

use super::source::Words;
use crate::kernels::Simd;

/// Tests measure 2.7e-7.
#[cfg(test)]
const MAX_RELATIVE_ERROR: f64 = 3e-7;

/// Words whose `tail` is below this take a second word.
const TAIL_END: i32 = 1 << 23;

/// `2^-exponent`.
const fn power(exponent: u32) -> f32 {
    f32::from_bits((127 - exponent) << 23)
}

/// One standard normal for each path, from its next word (and the second that goes with it).
#[inline(always)]
pub(super) fn normal<S: Simd>(s: S, words: &mut impl Words<S>) -> S::F32 {
    let word = s.u32_to_i32(words.next(s));
    let ones_if_negative = s.i32_to_u32(s.i32_shr::<31>(word));
    let magnitude = s.u32_xor(s.i32_to_u32(word), ones_if_negative);
    let tail = s.u32_to_i32(s.u32_xor(magnitude, s.u32_splat(i32::MAX as u32)));
    let z = centre(s, word, tail);
    let in_tail = s.i32_gt(s.i32_splat(TAIL_END), tail);
    if s.mask_any(in_tail) {
        let magnitude = far(s, tail, words.second(s));
        return s.select(in_tail, s.copysign(magnitude, z), z);
    }
    z
}

/// The normal of `word` where `tail` is at least [`TAIL_END`], its sign alone elsewhere.
#[inline(always)]
fn centre<S: Simd>(s: S, word: S::I32, tail: S::I32) -> S::F32 {
    let q = s.mul_add(s.i32_to_f32(word), s.splat(power(32)), s.splat(power(33)));
    // Less than the probability by one part in 2^24, so that rounding never takes it to 1/2, which
    // would be the first of the next sixteen half octaves. R hardly notices.
    const SCALE: f32 = power(32) - power(56);
    let t = s.mul_add(s.i32_to_f32(tail), s.splat(SCALE), s.splat(SCALE / 2.0));
    let bits = s.to_bits(t);
    let index = s.u32_shr::<22>(bits);
    // In [1, 1.5): where it is in its half octave.
    let mantissa = s.u32_and(bits, s.u32_splat(0x003f_ffff));
    let x = s.from_bits(s.u32_or(mantissa, s.u32_splat(0x3f80_0000)));
    let x = s.sub(x, s.splat(1.25));
    let [c0, c1, c2, c3, c4, c5] = &CENTRE;
    let mut r = s.lookup16(c5, index);
    for c in [c4, c3, c2, c1, c0] {
        r = s.mul_add(r, x, s.lookup16(c, index));
    }
    s.mul(q, r)
}

/// The magnitude of the normal where `tail` is below [`TAIL_END`], any number elsewhere.
#[inline(always)]
fn far<S: Simd>(s: S, tail: S::I32, second: S::U32) -> S::F32 {
    let fraction = s.u32_to_f32(s.u32_shr::<1>(second));
    let fraction = s.mul_add(fraction, s.splat(power(31)), s.splat(power(32)));
    let t = s.mul(s.add(s.i32_to_f32(tail), fraction), s.splat(power(32)));
    // A mantissa between sqrt(1/2) and sqrt(2), and its exponent.
    let bits = s.u32_to_i32(s.to_bits(t));
    let offset = s.i32_sub(bits, s.i32_splat(core::f32::consts::FRAC_1_SQRT_2.to_bits() as i32));
    let exponent = s.i32_shr::<23>(offset);
    let scaled = s.i32_to_u32(exponent);
    let mantissa = s.u32_sub(s.i32_to_u32(bits), s.u32_shl::<23>(scaled));
    let f = s.sub(s.from_bits(mantissa), s.splat(1.0));
    let minus_log = s.neg_mul_add(polynomial(s, &LOG2, f), f, s.neg(s.i32_to_f32(exponent)));
    let v = s.sqrt(minus_log);
    s.div(polynomial(s, &TAIL_ABOVE, v), polynomial(s, &TAIL_BELOW, v))
}

/// Horner's rule on ascending coefficients.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, coefficients: &[f32; N], x: S::F32) -> S::F32 {
    let mut sum = s.splat(coefficients[N - 1]);
    for c in coefficients[..N - 1].iter().rev() {
        sum = s.mul_add(sum, x, s.splat(*c));
    }
    sum
}

/// `log2(1 + f) / f`.
const LOG2: [f32; 7] = [
    1.442_699_7,
    -0.721_375_9,
    0.480_465_02,
    -0.358_961_85,
    0.297_262_6,
    -0.272_698_01,
    0.170_634_52,
];
const TAIL_ABOVE: [f32; 4] = [-2.461_785_6, 0.065_163_03, 2.015_235, 0.393_721_88];
const TAIL_BELOW: [f32; 3] = [1.0, 1.725_405_8, 0.334_184_08];

/// Ascending coefficients of `R`; the columns are the half octaves, in the order of the low four
/// bits of exponent and mantissa: the first is `[2^-7, 1.5 * 2^-7)`, the thirteenth
/// `[2^-9, 1.5 * 2^-9)`.
#[rustfmt::skip]
const CENTRE: [[f32; 16]; 6] = [
    [
        4.763_503_6, 4.537_214_8, 4.294_822_7, 4.065_006_7,
        3.821_929_2, 3.595_247_5, 3.360_704_7, 3.148_438_5,
        2.938_153_5, 2.760_610_8, 2.606_807_7, 2.516_971,
        5.656_952, 5.446_698_7, 5.219_006, 4.999_9,
    ],
    [
        -0.534_535_6, -0.386_559_52, -0.545_646, -0.390_406_46,
        -0.542_953_85, -0.381_386_55, -0.516_694_25, -0.350_640_65,
        -0.449_557_21, -0.279_011_64, -0.290_477_37, -0.083_461_374,
        -0.494_555_68, -0.360_862_02, -0.516_098_4, -0.375_465_1,
    ],
    [
        0.204_727_68, 0.107_045_39, 0.215_016_42, 0.112_137,
        0.224_315_54, 0.116_371_945, 0.231_232_75, 0.119_235_43,
        0.236_453_03, 0.123_602_815, 0.262_593_18, 0.172_731_74,
        0.184_996_23, 0.096_716_516, 0.194_532_45, 0.101_768_38,
    ],
    [
        -0.105_149_23, -0.039_324_947, -0.110_771_81, -0.041_397_683,
        -0.116_383_55, -0.043_348_826, -0.121_170_774, -0.044_756_025,
        -0.123_323_17, -0.044_365_08, -0.112_257_734, -0.023_776_783,
        -0.095_112_815, -0.035_503_55, -0.099_887_05, -0.037_332_743,
    ],
    [
        0.064_019_74, 0.016_763_171, 0.067_458_95, 0.017_668_22,
        0.071_061_894, 0.018_581_653, 0.074_502_67, 0.019_387_04,
        0.077_217_58, 0.019_979_94, 0.081_109_49, 0.026_834_996,
        0.058_049_37, 0.015_159_804, 0.060_874_3, 0.015_921_205,
    ],
    [
        -0.040_813_405, -7.574_517e-3, -0.042_974_643, -7.982_737e-3,
        -0.045_290_265, -8.408_448e-3, -0.047_610_242, -8.809_91e-3,
        -0.049_603_555, -9.093_706_5e-3, -0.049_838_614, -6.618_001e-3,
        -0.037_103_754, -6.864_367e-3, -0.038_856, -7.200_489_8e-3,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Scalar;
    use crate::sampling::normal_quantile;

    /// The magnitude of the normal beyond which lies `(tail + fraction) / 2^32`, by one Newton step
    /// on the error function that is accurate there.
    fn reference(tail: i32, fraction: f64) -> f64 {
        let beyond = (f64::from(tail) + fraction) * 2f64.powi(-32);
        let z = -normal_quantile(beyond);
        let density = (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
        let error = if z < 0.5 {
            0.5 * libm::erf(z * std::f64::consts::FRAC_1_SQRT_2) - (0.5 - beyond)
        } else {
            beyond - 0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2)
        };
        z - error / density
    }

    fn relative_error(z: f32, expected: f64) -> f64 {
        ((f64::from(z) - expected) / expected).abs()
    }

    #[test]
    fn centre_is_accurate() {
        let steps = (TAIL_END..i32::MAX).step_by(1_117);
        let edges = (TAIL_END..TAIL_END + 1000).chain(i32::MAX - 1000..=i32::MAX);
        let octaves = (23..31).flat_map(|bit| (1 << bit) - 9..(1 << bit) + 9);
        let mut worst = 0.0f64;
        for tail in steps.chain(edges).chain(octaves).filter(|tail| *tail >= TAIL_END) {
            let z = centre(Scalar, i32::MAX - tail, tail);
            worst = worst.max(relative_error(z, reference(tail, 0.5)));
        }
        assert!(worst < MAX_RELATIVE_ERROR, "{worst:e}");
        assert!(worst > 0.5 * MAX_RELATIVE_ERROR, "the stated bound is loose: {worst:e}");
    }

    #[test]
    fn tail_is_accurate() {
        let tails = (0..TAIL_END).step_by(1_117).chain(0..1000);
        let mut worst = 0.0f64;
        for (n, tail) in tails.chain([TAIL_END - 1]).enumerate() {
            for second in [0, 1, 2, 3, 1 << 20, u32::MAX, (n as u32).wrapping_mul(0x9e37_79b9)] {
                let fraction = (f64::from(second >> 1) + 0.5) * 2f64.powi(-31);
                let z = far(Scalar, tail, second);
                worst = worst.max(relative_error(z, reference(tail, fraction)));
            }
        }
        assert!(worst < MAX_RELATIVE_ERROR, "{worst:e}");
    }

    #[test]
    fn the_parts_meet_and_the_ends_are_finite() {
        let inner = centre(Scalar, i32::MAX - TAIL_END, TAIL_END);
        let outer = far(Scalar, TAIL_END - 1, u32::MAX);
        assert!(relative_error(inner, f64::from(outer)) < 4e-7);
        let largest = far(Scalar, 0, 0);
        assert!(9.07 < largest && largest < 9.09, "{largest}");
        let smallest = centre(Scalar, 0, i32::MAX);
        assert!(2.9e-10 < smallest && smallest < 3e-10, "{smallest}");
    }
}
