//! What is done with words and normals besides drawing normals: the operations of variates and
//! copulas.
//!
//! Owns [`Transform`], the second half of what a draw does with a vector of either element type.
//! It must not know what is drawn.

use super::real::Arithmetic;
use super::source::Words;
use super::variates::{exponential32, exponential64, uniform32, uniform64};
use crate::kernels::Simd;

/// Operations on one element of each of `S::LANES` paths. Nobody outside can name this trait.
pub trait Transform: Arithmetic {
    /// `a - b`.
    fn sub<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a * b`.
    fn mul<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `if a < b { a } else { b }`.
    fn min<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `if a > b { a } else { b }`.
    fn max<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `if x < limit { below } else { above }`.
    fn below<S: Simd, const N: usize>(
        s: S,
        x: Self::Vector<S>,
        limit: Self::Vector<S>,
        below: [Self::Vector<S>; N],
        above: [Self::Vector<S>; N],
    ) -> [Self::Vector<S>; N];
    /// The nearest element of each double, ties to even; beyond the range infinite.
    fn rounded<S: Simd>(s: S, x: [S::F64; 2]) -> Self::Vector<S>;
    /// A uniform of the open interval from zero to one, from the next word of each path.
    fn uniform<S: Simd>(s: S, words: &mut impl Words<S>) -> Self::Vector<S>;
    /// An exponential of unit rate, from the next word of each path.
    fn exponential<S: Simd>(s: S, words: &mut impl Words<S>) -> Self::Vector<S>;
}

impl Transform for f32 {
    #[inline(always)]
    fn sub<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
        s.sub(a, b)
    }
    #[inline(always)]
    fn mul<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
        s.mul(a, b)
    }
    #[inline(always)]
    fn min<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
        s.min(a, b)
    }
    #[inline(always)]
    fn max<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
        s.max(a, b)
    }
    #[inline(always)]
    fn below<S: Simd, const N: usize>(
        s: S,
        x: S::F32,
        limit: S::F32,
        below: [S::F32; N],
        above: [S::F32; N],
    ) -> [S::F32; N] {
        let mask = s.lt(x, limit);
        let mut chosen = above;
        for (to, below) in chosen.iter_mut().zip(below) {
            *to = s.select(mask, below, *to);
        }
        chosen
    }
    #[inline(always)]
    fn rounded<S: Simd>(s: S, x: [S::F64; 2]) -> S::F32 {
        let mut lanes = [0.0; 16];
        s.f64_store_f32(x[0], &mut lanes);
        if S::LANES > S::F64_LANES {
            s.f64_store_f32(x[1], &mut lanes[S::F64_LANES..]);
        }
        s.load(&lanes)
    }
    #[inline(always)]
    fn uniform<S: Simd>(s: S, words: &mut impl Words<S>) -> S::F32 {
        uniform32(s, words.next(s))
    }
    #[inline(always)]
    fn exponential<S: Simd>(s: S, words: &mut impl Words<S>) -> S::F32 {
        exponential32(s, words)
    }
}

/// An instruction on the lower and on the upper half of the paths.
macro_rules! halves {
    ($s:ident.$instruction:ident($a:ident, $b:ident)) => {{
        let low = $s.$instruction($a[0], $b[0]);
        [low, if S::LANES == S::F64_LANES { low } else { $s.$instruction($a[1], $b[1]) }]
    }};
}

impl Transform for f64 {
    #[inline(always)]
    fn sub<S: Simd>(s: S, a: [S::F64; 2], b: [S::F64; 2]) -> [S::F64; 2] {
        halves!(s.f64_sub(a, b))
    }
    #[inline(always)]
    fn mul<S: Simd>(s: S, a: [S::F64; 2], b: [S::F64; 2]) -> [S::F64; 2] {
        halves!(s.f64_mul(a, b))
    }
    #[inline(always)]
    fn min<S: Simd>(s: S, a: [S::F64; 2], b: [S::F64; 2]) -> [S::F64; 2] {
        halves!(s.f64_min(a, b))
    }
    #[inline(always)]
    fn max<S: Simd>(s: S, a: [S::F64; 2], b: [S::F64; 2]) -> [S::F64; 2] {
        halves!(s.f64_max(a, b))
    }
    #[inline(always)]
    fn below<S: Simd, const N: usize>(
        s: S,
        x: [S::F64; 2],
        limit: [S::F64; 2],
        below: [[S::F64; 2]; N],
        above: [[S::F64; 2]; N],
    ) -> [[S::F64; 2]; N] {
        let mut chosen = above;
        for half in 0..S::LANES / S::F64_LANES {
            let mask = s.f64_lt(x[half], limit[half]);
            for (to, below) in chosen.iter_mut().zip(&below) {
                to[half] = s.f64_select(mask, below[half], to[half]);
            }
        }
        chosen
    }
    #[inline(always)]
    fn rounded<S: Simd>(_: S, x: [S::F64; 2]) -> [S::F64; 2] {
        x
    }
    #[inline(always)]
    fn uniform<S: Simd>(s: S, words: &mut impl Words<S>) -> [S::F64; 2] {
        let word = words.next(s);
        uniform64(s, word, words.second(s))
    }
    #[inline(always)]
    fn exponential<S: Simd>(s: S, words: &mut impl Words<S>) -> [S::F64; 2] {
        let word = words.next(s);
        exponential64(s, word, words.second(s))
    }
}
