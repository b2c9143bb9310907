//! From words to standard normals of double precision.
//!
//! Owns the inverse normal distribution function of double precision. As in single precision, it
//! uses `+`, `-`, `*`, `/`, square roots and fused multiply-add only, each rounded once and in one
//! order, so that its bits are the same everywhere. It must not know where the words come from.
//!
//! # Definition
//! A normal takes the word `w` that the one of single precision takes, and always the second word
//! `k` that goes with it, all 32 bits of it: the path of double precision is that of single
//! precision, refined. With `m` and `tail` of `w` as in the [module above](super),
//!
//! - `t = (tail * 2^32 + k + 1/2) / 2^64` is the probability beyond the normal,
//! - `q = (m * 2^32 + !k + 1/2) / 2^64 = 1/2 - t`,
//!
//! and the sign is that of `w`. Each is rounded once, so that a normal close to zero is as accurate
//! as any. Magnitudes reach from `6.8e-20` to 9.16, and no normal is zero.
//!
//! # Method
//! - The centre, `t > 2^-9`: `q * R(t)`, where `R = z / q` is smooth; a polynomial of degree 14 on
//!   each half octave of `t`, in its mantissa.
//! - The tails, one normal in 256: with `s = sqrt(-2 ln t)`, `s` less a rational function of it.
//!   The logarithm is the exponent's part and the series of `4 atanh((1 - m) / (1 + m))` for a
//!   mantissa `m` between `sqrt(1/2)` and `sqrt(2)`.
//!
//! Both start from `2^65 t` and `2^65 q`, which are odd integers below `2^64`, each rounded once.
//!
//! The coefficients are our own: least squares with 60 digits on Chebyshev nodes, reweighted by
//! Lawson's method until the error is level (minimax), against Newton's method on the error
//! function, then rounded; the leading coefficient of a polynomial is rounded first and the others
//! are fitted again around it. Relative errors of the exact functions: centre 4.2e-17, tail
//! 5.9e-17, series 4.9e-19 (absolute); of the rounded polynomials of the centre 7.9e-17. With
//! rounding, [`MAX_RELATIVE_ERROR`] is the bound that the tests hold all parts to.

#[cfg(test)]
mod anchors;
mod coefficients;
#[cfg(test)]
mod tests;

use crate::kernels::{PairTable, Simd};
use coefficients::{CENTRE, FAR_ABOVE, FAR_BELOW, LOG};

/// Tests measure 3.4e-16.
#[cfg(test)]
const MAX_RELATIVE_ERROR: f64 = 4e-16;

/// Of `R / 2^65`: the pairs of coefficients, those of `x^13` and `x^12` first.
static PAIRS: [PairTable; 7] = {
    let mut pairs = [PairTable::new([scaled(1), scaled(0)]); 7];
    let mut pair = 0;
    while pair < 6 {
        pairs[pair] = PairTable::new([scaled(13 - 2 * pair), scaled(12 - 2 * pair)]);
        pair += 1;
    }
    pairs
};
/// The coefficient of `x^14`, and nothing.
static LAST: PairTable = PairTable::new([scaled(14), [0.0; 16]]);

/// The coefficients of `x^n` in `R / 2^65`, in the order of the low four bits of exponent and
/// mantissa of `2^65 * t`: the first is that of `[2^-8, 1.5 * 2^-8)`.
const fn scaled(n: usize) -> [f64; 16] {
    let mut column = [0.0; 16];
    let mut piece = 0;
    while piece < 16 {
        column[(piece + 14) % 16] = CENTRE[n][piece] * SCALE;
        piece += 1;
    }
    column
}

/// `2^-65`.
const SCALE: f64 = f64::from_bits((1023 - 65) << 52);
/// `2^65 * 2^-9`: the largest of the tail.
const TAIL: f64 = (1u64 << 56) as f64;
const ONE: u64 = 1.0f64.to_bits();

/// The standard normals of the lower and the upper half of the lanes, from the paths' next words
/// and the second words that go with them. Where `F64_LANES` is `LANES`, the first is all.
#[inline(always)]
pub(super) fn normal64<S: Simd>(s: S, word: S::U32, second: S::U32) -> [S::F64; 2] {
    // The sign and `tail`: a negative word as it is, another's other bits flipped.
    let ones_if_negative = s.i32_to_u32(s.i32_shr::<31>(s.u32_to_i32(word)));
    let tail_bits = s.u32_splat(i32::MAX as u32);
    let flips = s.u32_xor(s.u32_and(ones_if_negative, tail_bits), tail_bits);
    let signed = s.u64_from_u32(second, s.u32_xor(word, flips));

    let low = inner(s, signed[0]);
    let high = if S::F64_LANES < S::LANES { inner(s, signed[1]) } else { low };
    let end = s.f64_splat(TAIL);
    let in_tail = [s.f64_le(low.t, end), s.f64_le(high.t, end)];
    let (mut low_z, mut high_z) = (low.z, high.z);
    // Both halves behind one branch, so that the lookups of both may share their tables' loads.
    if s.mask64_any(s.mask64_or(in_tail[0], in_tail[1])) {
        low_z = s.f64_select(in_tail[0], far(s, low.t), low_z);
        if S::F64_LANES < S::LANES {
            high_z = s.f64_select(in_tail[1], far(s, high.t), high_z);
        }
    }
    [with_sign(s, low_z, signed[0]), with_sign(s, high_z, signed[1])]
}

/// `2^65 * t`, and the magnitude of the normal where that is above [`TAIL`].
#[derive(Clone, Copy)]
struct Inner<S: Simd> {
    t: S::F64,
    z: S::F64,
}

/// From the sign and the 63 bits of `tail * 2^32 + k`.
#[inline(always)]
fn inner<S: Simd>(s: S, signed: S::U64) -> Inner<S> {
    // 2^65 t and 2^65 q before they are rounded. Both are odd, and their sum is 2^64.
    let twice = s.u64_or(s.u64_shl::<1>(signed), s.u64_splat(1));
    let t = s.u64_to_nearest_f64(twice);
    let q = s.u64_to_nearest_f64(s.u64_xor(twice, s.u64_splat(!1)));
    Inner { t, z: s.f64_mul(q, centre(s, t)) }
}

/// `z` with the sign in the uppermost bit of `signed`.
#[inline(always)]
fn with_sign<S: Simd>(s: S, z: S::F64, signed: S::U64) -> S::F64 {
    let sign = s.u64_and(signed, s.u64_splat(1 << 63));
    s.f64_from_bits(s.u64_xor(s.f64_to_bits(z), sign))
}

/// `R / 2^65`, from `2^65 * t` above [`TAIL`]; any number elsewhere.
#[inline(always)]
fn centre<S: Simd>(s: S, t: S::F64) -> S::F64 {
    // One unit in the last place less, so that no probability is rounded to 1/2, which would be
    // the first of the next sixteen half octaves. R hardly notices.
    let bits = s.u64_sub(s.f64_to_bits(t), s.u64_splat(1));
    let index = s.u64_shr::<51>(bits);
    // In [1.5, 2): where it is in its half octave.
    let mantissa = s.u64_and(bits, s.u64_splat((1 << 51) - 1));
    let x = s.f64_from_bits(s.u64_or(mantissa, s.u64_splat(ONE | 1 << 51)));
    let x = s.f64_sub(x, s.f64_splat(1.75));
    // Even and odd powers side by side, but for the last two, which are rounded in turn.
    let x2 = s.f64_mul(x, x);
    let [last, _] = s.f64_lookup16(&LAST, index);
    let [mut odd, next] = s.f64_lookup16(&PAIRS[0], index);
    let mut even = s.f64_mul_add(last, x2, next);
    for pair in &PAIRS[1..6] {
        let [c_odd, c_even] = s.f64_lookup16(pair, index);
        odd = s.f64_mul_add(odd, x2, c_odd);
        even = s.f64_mul_add(even, x2, c_even);
    }
    let [c1, c0] = s.f64_lookup16(&PAIRS[6], index);
    let r = s.f64_mul_add(odd, x, even);
    let r = s.f64_mul_add(r, x, c1);
    s.f64_mul_add(r, x, c0)
}

/// The magnitude of the normal, from `2^65 * t` up to [`TAIL`]; any number elsewhere.
#[inline(always)]
fn far<S: Simd>(s: S, t: S::F64) -> S::F64 {
    // A mantissa between sqrt(1/2) and sqrt(2), and its exponent plus 1023.
    const OFFSET: u64 = ONE - core::f64::consts::FRAC_1_SQRT_2.to_bits();
    let bits = s.f64_to_bits(t);
    let biased = s.u64_shr::<52>(s.u64_add(bits, s.u64_splat(OFFSET)));
    let mantissa = s.u64_sub(s.u64_add(bits, s.u64_splat(ONE)), s.u64_shl::<52>(biased));
    let mantissa = s.f64_from_bits(mantissa);
    let exponent = s.f64_sub(s.u64_to_f64(biased), s.f64_splat(1023.0 + 65.0));
    let one = s.f64_splat(1.0);
    let r = s.f64_div(s.f64_sub(one, mantissa), s.f64_add(one, mantissa));
    let r2 = s.f64_mul(r, r);
    let series = s.f64_mul_add(polynomial(s, &LOG, r2), r2, s.f64_splat(4.0));
    let fraction = s.f64_mul(r, series);
    let y = s.f64_neg_mul_add(exponent, s.f64_splat(2.0 * core::f64::consts::LN_2), fraction);
    let root = s.f64_sqrt(y);
    let v = s.f64_sub(root, s.f64_splat(3.5));
    s.f64_sub(root, s.f64_div(polynomial(s, &FAR_ABOVE, v), polynomial(s, &FAR_BELOW, v)))
}

/// Horner's rule on ascending coefficients.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, coefficients: &[f64; N], x: S::F64) -> S::F64 {
    let mut sum = s.f64_splat(coefficients[N - 1]);
    for c in coefficients[..N - 1].iter().rev() {
        sum = s.f64_mul_add(sum, x, s.f64_splat(*c));
    }
    sum
}
