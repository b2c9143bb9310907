//! Floats to integers of few bits and back.
//!
//! Data are `[outer, axis, inner]`; a [`Grid`] says which scale and zero point an element has.

use super::number::Number;
use super::simd::{Simd, Vectorized};
use crate::tensor::Element;

/// How scales and zero points lie over the data. They are `[outer or 1, ceil(axis / block),
/// inner or 1]`.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Extents of the data.
    pub lanes: [usize; 3],
    /// Elements along the axis that share a scale, at least one.
    pub block: usize,
    /// Every outer element has scales of its own.
    pub by_outer: bool,
    /// Every inner element has scales of its own.
    pub by_inner: bool,
}

impl Grid {
    /// How many rows of `inner` elements there are; rows of nothing do not count.
    #[inline(always)]
    fn rows(&self) -> usize {
        if self.lanes[2] == 0 { 0 } else { self.lanes[0] * self.lanes[1] }
    }

    /// Where a row of data begins, and its scales, which are one, or as many as the row is long.
    #[inline(always)]
    fn row(&self, row: usize) -> (usize, usize) {
        let [_, axis, inner] = self.lanes;
        let block = self.block.max(1);
        let outer = if self.by_outer { row / axis * axis.div_ceil(block) } else { 0 };
        let width = if self.by_inner { inner } else { 1 };
        (row * inner, (outer + row % axis / block) * width)
    }
}

/// An integer type of quantized values.
pub trait Quantized: Number {
    /// Its value.
    fn widen(self) -> i32;
    /// The low bits.
    fn narrow(x: i32) -> Self;
    /// Smallest and largest value.
    const RANGE: [i32; 2];
}

macro_rules! quantized {
    ($($ty:ident),*) => {$(
        impl Quantized for $ty {
            #[inline(always)]
            fn widen(self) -> i32 { i32::from(self) }
            #[inline(always)]
            fn narrow(x: i32) -> Self { x as $ty }
            const RANGE: [i32; 2] = [$ty::MIN as i32, $ty::MAX as i32];
        }
    )*};
}
quantized!(u8, i8, u16, i16, i32);

/// `x / scale`, rounded half to even, plus the zero point, saturated. NaN gives the zero point.
#[inline(always)]
fn quantize<T: Quantized>(x: f32, scale: f32, zero: T) -> T {
    let q = x / scale;
    if T::DTYPE == i32::DTYPE {
        return quantize_wide(f64::from(q), zero);
    }
    let zero = zero.widen();
    let (low, high) = ((T::RANGE[0] - zero) as f32, (T::RANGE[1] - zero) as f32);
    let q = if q < low { low } else { q };
    let q = if q > high { high } else { q };
    // 1.5 * 2^23: the sum has no bits behind the point, and is rounded half to even.
    let rounded = (q + 12_582_912.0) - 12_582_912.0;
    T::narrow(rounded as i32 + zero)
}

/// The same for a quotient in double precision.
#[inline(always)]
fn quantize_wide<T: Quantized>(q: f64, zero: T) -> T {
    if q.is_nan() { zero } else { T::from_f64(libm::rint(q) + zero.to_f64()) }
}

/// Rounds every element to eight bits of the range of all of them, zero included: what quantizing
/// them to `u8` by that range and dequantizing them gives.
///
/// **Panics**: if `y` is shorter than `x`.
///
/// **Cost**: two passes; no allocation.
pub fn round_to_range_f32<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
    s.vectorize(RoundToRange { x, y: &mut y[..x.len()] });
}

struct RoundToRange<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Vectorized for RoundToRange<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (mut low, mut high) = (0.0, 0.0);
        for x in self.x {
            low = if *x < low { *x } else { low };
            high = if *x > high { *x } else { high };
        }
        let scale = (high - low) / 255.0;
        if scale == 0.0 {
            self.y.copy_from_slice(self.x);
            return;
        }
        let zero = quantize(-low, scale, 0u8);
        for (x, y) in self.x.iter().zip(self.y) {
            *y = (i32::from(quantize(*x, scale, zero)) - i32::from(zero)) as f32 * scale;
        }
    }
}

/// Quantizes every element.
///
/// **Shapes and units**: `x` and `y` as the grid says; `zero` is empty for zero points of zero.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: one pass, vectorized along `inner`; no allocation.
pub fn quantize_f32<S: Simd, T: Quantized>(
    s: S,
    grid: Grid,
    x: &[f32],
    scale: &[f32],
    zero: &[T],
    y: &mut [T],
) {
    s.vectorize(QuantizeF32 { grid, x, scale, zero, y });
}

struct QuantizeF32<'a, T> {
    grid: Grid,
    x: &'a [f32],
    scale: &'a [f32],
    zero: &'a [T],
    y: &'a mut [T],
}

impl<T: Quantized> Vectorized for QuantizeF32<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { grid, x, scale, zero, y } = self;
        let inner = grid.lanes[2];
        for row in 0..grid.rows() {
            let (at, first) = grid.row(row);
            let (x, y) = (&x[at..at + inner], &mut y[at..at + inner]);
            if !grid.by_inner {
                let (scale, zero) = (scale[first], zero.get(first).copied().unwrap_or_default());
                for (x, y) in x.iter().zip(y) {
                    *y = quantize(*x, scale, zero);
                }
            } else if zero.is_empty() {
                for ((x, y), scale) in x.iter().zip(y).zip(&scale[first..first + inner]) {
                    *y = quantize(*x, *scale, T::default());
                }
            } else {
                let (scale, zero) = (&scale[first..first + inner], &zero[first..first + inner]);
                for ((x, y), (scale, zero)) in x.iter().zip(y).zip(scale.iter().zip(zero)) {
                    *y = quantize(*x, *scale, *zero);
                }
            }
        }
    }
}

/// `(x - zero) * scale` for every element; the rest as [`quantize_f32`].
pub fn dequantize_f32<S: Simd, T: Quantized>(
    s: S,
    grid: Grid,
    x: &[T],
    scale: &[f32],
    zero: &[T],
    y: &mut [f32],
) {
    s.vectorize(DequantizeF32 { grid, x, scale, zero, y });
}

struct DequantizeF32<'a, T> {
    grid: Grid,
    x: &'a [T],
    scale: &'a [f32],
    zero: &'a [T],
    y: &'a mut [f32],
}

#[inline(always)]
fn dequantize<T: Quantized>(x: T, scale: f32, zero: T) -> f32 {
    x.widen().wrapping_sub(zero.widen()) as f32 * scale
}

impl<T: Quantized> Vectorized for DequantizeF32<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { grid, x, scale, zero, y } = self;
        let inner = grid.lanes[2];
        for row in 0..grid.rows() {
            let (at, first) = grid.row(row);
            let (x, y) = (&x[at..at + inner], &mut y[at..at + inner]);
            if !grid.by_inner {
                let (scale, zero) = (scale[first], zero.get(first).copied().unwrap_or_default());
                for (x, y) in x.iter().zip(y) {
                    *y = dequantize(*x, scale, zero);
                }
            } else if zero.is_empty() {
                for ((x, y), scale) in x.iter().zip(y).zip(&scale[first..first + inner]) {
                    *y = dequantize(*x, *scale, T::default());
                }
            } else {
                let (scale, zero) = (&scale[first..first + inner], &zero[first..first + inner]);
                for ((x, y), (scale, zero)) in x.iter().zip(y).zip(scale.iter().zip(zero)) {
                    *y = dequantize(*x, *scale, *zero);
                }
            }
        }
    }
}

/// [`quantize_f32`] of doubles, element by element.
pub fn quantize_f64<T: Quantized>(grid: Grid, x: &[f64], scale: &[f64], zero: &[T], y: &mut [T]) {
    each_f64(grid, |at, i| {
        let zero = zero.get(i).copied().unwrap_or_default();
        y[at] = quantize_wide(x[at] / scale[i], zero);
    });
}

/// [`dequantize_f32`] to doubles, element by element.
pub fn dequantize_f64<T: Quantized>(grid: Grid, x: &[T], scale: &[f64], zero: &[T], y: &mut [f64]) {
    each_f64(grid, |at, i| {
        let zero = zero.get(i).copied().unwrap_or_default();
        y[at] = (x[at].to_f64() - zero.to_f64()) * scale[i];
    });
}

/// Calls `f` with the place of each element and of its scale.
fn each_f64(grid: Grid, mut f: impl FnMut(usize, usize)) {
    for row in 0..grid.rows() {
        let (at, first) = grid.row(row);
        for i in 0..grid.lanes[2] {
            f(at + i, first + if grid.by_inner { i } else { 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_even_and_ends_saturate() {
        let x = [0.5, 1.5, 2.5, -0.5, -1.5, 1e9, -1e9, f32::INFINITY, f32::NAN];
        assert_eq!(x.map(|x| quantize(x, 1.0, 0i8)), [0, 2, 2, 0, -2, 127, -128, 127, 0]);
        assert_eq!(x.map(|x| quantize(x, 1.0, 3u8)), [3, 5, 5, 3, 1, 255, 0, 255, 3]);
        assert_eq!(quantize(-0.5, 0.0, 5u8), 0);
        assert_eq!(quantize(3e9, 1.0, 7i32), i32::MAX);
        assert_eq!(quantize(-40_000.0, 1.0, -32_768i16), -32_768);
        assert_eq!(quantize(65_534.5, 1.0, 0u16), 65_534);
        assert_eq!(dequantize(200u8, 0.5, 128), 36.0);
    }

    /// From -1 to 4.1 a step is 0.02, and zero is the 50th.
    #[test]
    fn a_range_includes_zero_and_has_256_steps() {
        let rounded = |x: [f32; 3]| {
            let mut y = [9.0; 3];
            round_to_range_f32(crate::kernels::scalar::Scalar, &x, &mut y);
            y
        };
        let near = |x: [f32; 3], expected: [f32; 3]| {
            let off = rounded(x).iter().zip(expected).any(|(y, e)| (y - e).abs() > 1e-6);
            assert!(!off, "{:?}", rounded(x));
        };
        near([-1.0, 4.1, 0.031], [-1.0, 4.1, 0.04]);
        near([2.55, 1.004, 1.006], [2.55, 1.0, 1.01]);
        near([-2.55, -1.004, -1.006], [-2.55, -1.0, -1.01]);
        assert_eq!(rounded([0.0; 3]), [0.0; 3]);
    }
}
