//! Uniforms, exponentials, Student t and categories, from the words of paths.
//!
//! Owns the maps from words to variates that are not normal. Its invariants are those of normals:
//! one word a variate, so that any [`Source`] will do, and the same bits on every instruction set
//! and in every block.
//!
//! A word is read as a fraction, `word / 2^32`: uniforms, exponentials and categories grow with it.
//! A Student t variate is the quantile of the probability below the normal of the same word, for
//! which the word is a two's complement integer; so it grows with that normal.

mod categorical;
mod error;
mod fill;
mod logarithm;
mod student;

pub use categorical::Categorical;
pub use error::VariateError;
pub use student::StudentT;

use super::draw::whole_paths;
use super::error::DrawError;
use super::real::Real;
use super::source::{Source, Words};
use super::tile::{Layout, Window};
use crate::kernels::{Level, Simd};
use fill::{Variate, fill};
use logarithm::{minus_log32, minus_log64};

/// `2^exponent`, for exponents of normal numbers.
const fn power(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

/// Fills `out` with independent uniforms of the open interval from zero to one.
///
/// Of a word `w` and, for `f64`, the upper 20 bits `k` of its second word (complemented where the
/// top bit of `w` is set):
/// - `f32`: `(floor(w / 2^9) + 1/2) / 2^23`, from `2^-24` to `1 - 2^-24`;
/// - `f64`: `(w * 2^20 + k + 1/2) / 2^52`, from `2^-53` to `1 - 2^-53`.
///
/// Both are exact, so a path whose words are flipped ([`Antithetic`](super::Antithetic)) has one
/// minus the uniforms of the other.
///
/// **Shapes and units**: `out` is `[paths, dim]`, row-major, as many paths as fit; row `n` is the
/// path of `source` that is `n` behind its first.
///
/// **Errors**: [`DrawError::NotWholePaths`] unless `dim` divides the length of `out` (zero divides
/// none but an empty one), [`DrawError::TooManyWords`]; `out` is unchanged.
///
/// **Cost**: no allocation; at most 9 KiB of stack; one word for each uniform. A single path costs
/// as much as `LANES` of them.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{Antithetic, PathAddress, uniforms};
///
/// let first = Antithetic(PathAddress { seed: 42, stream: 0, path: 0 });
/// let mut out = [0.0f32; 2 * 3];
/// uniforms(Level::detect(), first, 3, &mut out)?;
/// assert!(out.iter().all(|u| 0.0 < *u && *u < 1.0));
/// assert_eq!(out[0], 1.0 - out[3]);
/// # Ok::<(), nowcast::sampling::DrawError>(())
/// ```
pub fn uniforms<T: Real>(
    level: Level,
    source: impl Source,
    dim: usize,
    out: &mut [T],
) -> Result<(), DrawError> {
    drawn(level, source, Uniform, dim, Layout::ByPath, out)
}

/// Fills `out` with independent exponentials of unit rate.
///
/// The quantile of an exponential at the probability of the word: `-ln(1 - w / 2^32)` up to the
/// place within the word, so it grows with the word. Both ends are as fine as those of normals: of
/// the distance `tail` of the word from the nearer end, the probability there is
/// `(tail + 1/2) / 2^32`, or `(tail + (k + 1/2) / 2^31) / 2^32` with the upper 31 bits of the second
/// word where `tail` is below `2^23` (`f64`: always, with all 32 bits). Values reach from `5.4e-20`
/// to 44.4 (`f64`: from `2.7e-20`).
///
/// Each is within 3e-7 (`f32`) of its own size of the exact one, 6e-16 (`f64`), small ones
/// included.
///
/// **Shapes and units**, **Errors**, **Cost**: as [`uniforms`], and one logarithm each.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{PathAddress, exponentials};
///
/// let mut waits = [0.0f64; 1000];
/// exponentials(Level::detect(), PathAddress { seed: 42, stream: 0, path: 0 }, 1, &mut waits)?;
/// let mean = waits.iter().sum::<f64>() / 1000.0;
/// assert!((mean - 1.0).abs() < 0.15);
/// # Ok::<(), nowcast::sampling::DrawError>(())
/// ```
pub fn exponentials<T: Real>(
    level: Level,
    source: impl Source,
    dim: usize,
    out: &mut [T],
) -> Result<(), DrawError> {
    drawn(level, source, Exponential, dim, Layout::ByPath, out)
}

/// Checks `out` and fills it.
fn drawn<T: Real>(
    level: Level,
    source: impl Source,
    variate: impl Variate,
    dim: usize,
    layout: Layout,
    out: &mut [T],
) -> Result<(), DrawError> {
    if whole_paths(&source, dim, dim, out.len())? > 0 {
        fill(level, source, variate, Window::new(out, dim, layout));
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Uniform;

impl Variate for Uniform {
    #[inline(always)]
    fn next<S: Simd, T: Real>(&self, s: S, words: &mut impl Words<S>) -> T::Vector<S> {
        T::uniform(s, words)
    }
}

#[derive(Clone, Copy)]
struct Exponential;

impl Variate for Exponential {
    #[inline(always)]
    fn next<S: Simd, T: Real>(&self, s: S, words: &mut impl Words<S>) -> T::Vector<S> {
        T::exponential(s, words)
    }
}

/// The lower and the upper half of the lanes, with zeros above them. Where `F64_LANES` is `LANES`,
/// both are the whole.
#[inline(always)]
fn widened<S: Simd>(s: S, x: S::U32) -> [S::U64; 2] {
    let mut lanes = [0; 16];
    s.u32_store(x, &mut lanes);
    [s.u64_load_u32(&lanes), s.u64_load_u32(&lanes[S::LANES - S::F64_LANES..])]
}

/// All ones where the top bit of a word is set, zeros elsewhere.
#[inline(always)]
fn top_bit<S: Simd>(s: S, word: S::U32) -> S::U32 {
    s.i32_to_u32(s.i32_shr::<31>(s.u32_to_i32(word)))
}

#[inline(always)]
pub(super) fn uniform32<S: Simd>(s: S, word: S::U32) -> S::F32 {
    const UNIT: f32 = power(-23) as f32;
    s.mul_add(s.u32_to_f32(s.u32_shr::<9>(word)), s.splat(UNIT), s.splat(UNIT / 2.0))
}

#[inline(always)]
pub(super) fn uniform64<S: Simd>(s: S, word: S::U32, second: S::U32) -> [S::F64; 2] {
    let fine = s.u32_shr::<12>(s.u32_xor(second, top_bit(s, word)));
    let (word, fine) = (widened(s, word), widened(s, fine));
    let mut u = [s.f64_splat(0.0); 2];
    for (u, (word, fine)) in u.iter_mut().zip(word.into_iter().zip(fine)) {
        let whole = s.u64_to_f64(s.u64_or(s.u64_shl::<20>(word), fine));
        *u = s.f64_mul_add(whole, s.f64_splat(power(-52)), s.f64_splat(power(-53)));
    }
    u
}

/// Words whose distance from an end is below this take a second word.
const TAIL_END: i32 = 1 << 23;

#[inline(always)]
pub(super) fn exponential32<S: Simd>(s: S, words: &mut impl Words<S>) -> S::F32 {
    const UNIT: f32 = power(-32) as f32;
    let word = words.next(s);
    let top = top_bit(s, word);
    let tail = s.u32_to_i32(s.u32_xor(word, top));
    let mut t = s.mul_add(s.i32_to_f32(tail), s.splat(UNIT), s.splat(UNIT / 2.0));
    let in_tail = s.i32_gt(s.i32_splat(TAIL_END), tail);
    if s.mask_any(in_tail) {
        let fraction = s.u32_to_f32(s.u32_shr::<1>(words.second(s)));
        let fraction = s.mul_add(fraction, s.splat(2.0 * UNIT), s.splat(UNIT));
        let finer = s.mul(s.add(s.i32_to_f32(tail), fraction), s.splat(UNIT));
        t = s.select(in_tail, finer, t);
    }
    let rest = s.sub(s.splat(1.0), t);
    let low = s.u32_eq(top, s.u32_splat(0));
    minus_log32(s, s.select(low, rest, t), s.select(low, t, rest))
}

#[inline(always)]
pub(super) fn exponential64<S: Simd>(s: S, word: S::U32, second: S::U32) -> [S::F64; 2] {
    let top = top_bit(s, word);
    let tail = widened(s, s.u32_xor(word, top));
    let (top, second) = (widened(s, top), widened(s, second));
    let mut e = [s.f64_splat(0.0); 2];
    for half in 0..S::LANES / S::F64_LANES {
        let t = within(s, tail[half], second[half], power(-32));
        let rest = s.f64_sub(s.f64_splat(1.0), t);
        let low = s.u64_eq(top[half], s.u64_splat(0));
        e[half] = minus_log64(s, s.f64_select(low, rest, t), s.f64_select(low, t, rest));
    }
    e
}

/// `(whole + (part + 1/2) / 2^32) * unit` for a power of two.
#[inline(always)]
fn within<S: Simd>(s: S, whole: S::U64, part: S::U64, unit: f64) -> S::F64 {
    let fraction =
        s.f64_mul_add(s.u64_to_f64(part), s.f64_splat(power(-32)), s.f64_splat(power(-33)));
    s.f64_mul(s.f64_add(s.u64_to_f64(whole), fraction), s.f64_splat(unit))
}

#[cfg(test)]
mod tests;
