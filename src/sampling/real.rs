//! The element types that are drawn.
//!
//! Owns [`Real`] and, behind it, what a draw does with a vector of either type. It must not know
//! what is drawn.

use core::mem::MaybeUninit;

use super::draw::{BLOCK, WIDTH};
use super::normal::normal;
use super::normal64::normal64;
use super::source::Words;
use super::transform::Transform;
use crate::kernels::Simd;

/// An element of a draw: `f32` or `f64`.
///
/// A path of `f64` is the path of `f32` at the same address, refined: both turn the same words
/// into normals, `f64` with more bits of each.
pub trait Real: Transform + crate::tensor::Element {
    /// Rounded to nearest, ties to even; beyond the range infinite.
    fn from_f64(x: f64) -> Self;
    /// Exactly.
    fn to_f64(self) -> f64;
    /// Appends its bytes, little-endian.
    #[cfg(feature = "std")]
    fn put(self, bytes: &mut Vec<u8>);
}

impl Real for f32 {
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[cfg(feature = "std")]
    fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

impl Real for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    #[cfg(feature = "std")]
    fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

/// Operations on one element of each of `S::LANES` paths. Nobody outside can name this trait, so
/// [`Real`] has the two instances that are here.
pub trait Arithmetic: Copy + PartialOrd {
    /// One element of each of `S::LANES` paths.
    type Vector<S: Simd>: Copy;
    /// Rows and columns of [`transpose`](Self::transpose).
    const SIDE: usize;
    const ZERO: Self;
    /// Working memory of a draw: elements by dimension and path, as many bytes of either type.
    type Tile: AsMut<[MaybeUninit<Self>]>;
    const TILE: Self::Tile;

    /// Whether registers hold the sums of two vectors of paths, four elements of each.
    fn twice<S: Simd>() -> bool;
    /// Paths abreast.
    #[inline(always)]
    fn abreast<S: Simd>() -> usize {
        if Self::twice::<S>() { 2 * S::LANES } else { S::LANES }
    }
    fn splat<S: Simd>(s: S, x: Self) -> Self::Vector<S>;
    /// The first `S::LANES` elements.
    fn load<S: Simd>(s: S, from: &[Self]) -> Self::Vector<S>;
    /// Writes the first `S::LANES` elements.
    fn store<S: Simd>(s: S, x: Self::Vector<S>, to: &mut [Self]);
    /// `a * b + c`, rounded once.
    fn mul_add<S: Simd>(
        s: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// The first `S::F64_LANES` elements, exactly.
    fn widen<S: Simd>(s: S, from: &[Self]) -> S::F64;
    /// The next normal of each path.
    fn normal<S: Simd>(s: S, words: &mut impl Words<S>) -> Self::Vector<S>;
    /// Transposes `SIDE` by `SIDE` elements.
    fn transpose<S: Simd>(
        s: S,
        from: &[Self],
        from_stride: usize,
        to: &mut [Self],
        to_stride: usize,
    );
}

impl Arithmetic for f32 {
    type Vector<S: Simd> = S::F32;
    const SIDE: usize = 8;
    const ZERO: Self = 0.0;
    type Tile = [MaybeUninit<f32>; BLOCK * WIDTH];
    const TILE: Self::Tile = [const { MaybeUninit::uninit() }; BLOCK * WIDTH];

    #[inline(always)]
    fn twice<S: Simd>() -> bool {
        S::LANES > 1
    }
    #[inline(always)]
    fn splat<S: Simd>(s: S, x: Self) -> S::F32 {
        s.splat(x)
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Self]) -> S::F32 {
        s.load(from)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: S::F32, to: &mut [Self]) {
        s.store(x, to);
    }
    #[inline(always)]
    fn mul_add<S: Simd>(s: S, a: S::F32, b: S::F32, c: S::F32) -> S::F32 {
        s.mul_add(a, b, c)
    }
    #[inline(always)]
    fn widen<S: Simd>(s: S, from: &[Self]) -> S::F64 {
        s.f64_load_f32(from)
    }
    #[inline(always)]
    fn normal<S: Simd>(s: S, words: &mut impl Words<S>) -> S::F32 {
        normal(s, words)
    }
    #[inline(always)]
    fn transpose<S: Simd>(
        s: S,
        from: &[Self],
        from_stride: usize,
        to: &mut [Self],
        to_stride: usize,
    ) {
        s.transpose8(from, from_stride, to, to_stride);
    }
}

/// Vectors of `F64` that `S::LANES` paths take: two, but one where a vector is an element.
const fn halves<S: Simd>() -> usize {
    S::LANES / S::F64_LANES
}

impl Arithmetic for f64 {
    /// The lower and the upper half of the paths; where a vector is one element, the second is
    /// never looked at.
    type Vector<S: Simd> = [S::F64; 2];
    const SIDE: usize = 4;
    const ZERO: Self = 0.0;
    /// Half of the paths abreast: see [`twice`](Arithmetic::twice).
    type Tile = [MaybeUninit<f64>; BLOCK * WIDTH / 2];
    const TILE: Self::Tile = [const { MaybeUninit::uninit() }; BLOCK * WIDTH / 2];

    /// One vector of paths is two of `f64` already.
    #[inline(always)]
    fn twice<S: Simd>() -> bool {
        false
    }
    #[inline(always)]
    fn splat<S: Simd>(s: S, x: Self) -> [S::F64; 2] {
        [s.f64_splat(x); 2]
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Self]) -> [S::F64; 2] {
        let low = s.f64_load(from);
        if halves::<S>() == 1 { [low; 2] } else { [low, s.f64_load(&from[S::F64_LANES..])] }
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: [S::F64; 2], to: &mut [Self]) {
        s.f64_store(x[0], to);
        if halves::<S>() == 2 {
            s.f64_store(x[1], &mut to[S::F64_LANES..]);
        }
    }
    #[inline(always)]
    fn mul_add<S: Simd>(s: S, a: [S::F64; 2], b: [S::F64; 2], c: [S::F64; 2]) -> [S::F64; 2] {
        let low = s.f64_mul_add(a[0], b[0], c[0]);
        if halves::<S>() == 1 { [low; 2] } else { [low, s.f64_mul_add(a[1], b[1], c[1])] }
    }
    #[inline(always)]
    fn widen<S: Simd>(s: S, from: &[Self]) -> S::F64 {
        s.f64_load(from)
    }
    #[inline(always)]
    fn normal<S: Simd>(s: S, words: &mut impl Words<S>) -> [S::F64; 2] {
        let word = words.next(s);
        normal64(s, word, words.second(s))
    }
    #[inline(always)]
    fn transpose<S: Simd>(
        s: S,
        from: &[Self],
        from_stride: usize,
        to: &mut [Self],
        to_stride: usize,
    ) {
        s.f64_transpose4(from, from_stride, to, to_stride);
    }
}
