//! Between numbers and eight-bit values, one grid for all of them.

#![allow(clippy::needless_range_loop, reason = "an index says which vector")]

use super::Grid8;
use crate::kernels::simd::{Simd, Vectorized};
use crate::kernels::stages::{Nearest, number};

/// Rounds every number to the nearest value of a grid, halves to even, and saturates. NaN becomes
/// the zero point.
///
/// **Panics**: if `y` is shorter than `x`.
///
/// **Cost**: one pass, no allocation.
pub fn quantize_rows<S: Simd>(s: S, grid: Grid8, x: &[f32], y: &mut [u8]) {
    s.vectorize(Quantize { grid, x, y: &mut y[..x.len()] });
}

struct Quantize<'a> {
    grid: Grid8,
    x: &'a [f32],
    y: &'a mut [u8],
}

impl Vectorized for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let nearest = Nearest::new(self.grid);
        let wide = 4 * S::LANES;
        let (mut x, mut y) = (self.x.chunks_exact(wide), self.y.chunks_exact_mut(wide));
        for (x, y) in x.by_ref().zip(y.by_ref()) {
            let mut numbers = [s.splat(0.0); 4];
            for v in 0..4 {
                numbers[v] = s.load(&x[v * S::LANES..]);
            }
            let biased = nearest.biased(s, &numbers);
            for v in 0..4 {
                s.bytes_store(s.to_bits(biased[v]), &mut y[v * S::LANES..]);
            }
        }
        let mut x = x.remainder().chunks_exact(S::LANES);
        let mut y = y.into_remainder().chunks_exact_mut(S::LANES);
        for (x, y) in x.by_ref().zip(y.by_ref()) {
            let biased = nearest.biased(s, &[s.load(x)]);
            s.bytes_store(s.to_bits(biased[0]), y);
        }
        let biased = nearest.biased(s, &[s.load_tail(x.remainder())]);
        s.bytes_store_tail(s.to_bits(biased[0]), y.into_remainder());
    }
}

/// The numbers that bytes stand for.
///
/// **Panics**: if `y` is shorter than `x`.
///
/// **Cost**: one pass, no allocation.
pub fn dequantize_rows<S: Simd>(s: S, grid: Grid8, x: &[u8], y: &mut [f32]) {
    s.vectorize(Dequantize { grid, x, y: &mut y[..x.len()] });
}

struct Dequantize<'a> {
    grid: Grid8,
    x: &'a [u8],
    y: &'a mut [f32],
}

impl Vectorized for Dequantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mut x, mut y) = (self.x.chunks_exact(S::LANES), self.y.chunks_exact_mut(S::LANES));
        for (x, y) in x.by_ref().zip(y.by_ref()) {
            s.store(number(s, s.bytes_load(x), self.grid), y);
        }
        let (x, y) = (x.remainder(), y.into_remainder());
        s.store_tail(number(s, s.bytes_load_tail(x), self.grid), y);
    }
}

/// The smallest and the largest of zero and all numbers; NaN are left out.
///
/// **Cost**: one pass, no allocation.
pub fn range_f32<S: Simd>(s: S, x: &[f32]) -> (f32, f32) {
    s.vectorize(Range(x))
}

struct Range<'a>(&'a [f32]);

impl Vectorized for Range<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32) {
        /// Vectors that do not wait for each other.
        const CHAINS: usize = 4;
        let (mut low, mut high) = ([s.splat(0.0); CHAINS], [s.splat(0.0); CHAINS]);
        let mut blocks = self.0.chunks_exact(CHAINS * S::LANES);
        for block in &mut blocks {
            for (c, x) in block.chunks_exact(S::LANES).enumerate() {
                // The second operand stays where the first is NaN.
                (low[c], high[c]) = (s.min(s.load(x), low[c]), s.max(s.load(x), high[c]));
            }
        }
        let mut vectors = blocks.remainder().chunks_exact(S::LANES);
        for x in &mut vectors {
            (low[0], high[0]) = (s.min(s.load(x), low[0]), s.max(s.load(x), high[0]));
        }
        // Zeros behind the last change nothing.
        let x = s.load_tail(vectors.remainder());
        (low[0], high[0]) = (s.min(x, low[0]), s.max(x, high[0]));
        for c in 1..CHAINS {
            (low[0], high[0]) = (s.min(low[0], low[c]), s.max(high[0], high[c]));
        }
        (s.reduce_min(low[0]), s.reduce_max(high[0]))
    }
}

/// Rounds numbers to 256 steps of their own range, zero included, and says what the bytes stand
/// for.
///
/// **Panics**: if `y` is shorter than `x`.
///
/// **Cost**: two passes, no allocation.
///
/// **Source**: ONNX, DynamicQuantizeLinear-11.
pub fn dynamic_quantize<S: Simd>(s: S, x: &[f32], y: &mut [u8]) -> Grid8 {
    let (low, high) = range_f32(s, x);
    let scale = (high - low) / 255.0;
    let grid = if scale == 0.0 {
        Grid8 { scale: 1.0, zero: 0, signed: false }
    } else {
        // Saturated, with NaN as zero.
        let zero = libm::rintf((0.0 - low) / scale) as u8;
        Grid8 { scale, zero: zero.into(), signed: false }
    };
    quantize_rows(s, grid, x, y);
    grid
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernels::quantize;
    use crate::kernels::simd::dispatch;
    use crate::kernels::suite::{Rng, levels};
    use std::{vec, vec::Vec};

    struct There<'a>(Grid8, &'a [f32], &'a mut [u8], &'a mut [f32]);

    impl Vectorized for There<'_> {
        type Output = (f32, f32);
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> (f32, f32) {
            quantize_rows(s, self.0, self.1, self.2);
            dequantize_rows(s, self.0, self.2, self.3);
            range_f32(s, self.1)
        }
    }

    #[test]
    fn the_same_as_element_by_element() {
        let mut rng = Rng::new(3);
        for level in levels() {
            for len in (0..70).chain([1000]) {
                let x = rng.any_vector(len);
                for signed in [false, true] {
                    let zero = rng.below(256) as i32 - if signed { 128 } else { 0 };
                    let scale = [0.5, 0.013, 1e-30, 3e30, 0.0][rng.below(5)];
                    let grid = Grid8 { scale, zero, signed };
                    let (mut y, mut z) = (vec![1; len], vec![f32::NAN; len]);
                    let range = dispatch(level, There(grid, &x, &mut y, &mut z));
                    let lanes = [1, 1, len];
                    let plain =
                        quantize::Grid { lanes, block: 1, by_outer: false, by_inner: false };
                    let s = crate::kernels::Scalar;
                    let mut back = vec![f32::NAN; len];
                    if signed {
                        let (zero, mut wanted) = ([zero as i8], vec![0i8; len]);
                        quantize::quantize_f32(s, plain, &x, &[scale], &zero, &mut wanted);
                        quantize::dequantize_f32(s, plain, &wanted, &[scale], &zero, &mut back);
                        let wanted: Vec<u8> = wanted.iter().map(|x| x.cast_unsigned()).collect();
                        assert_eq!(y, wanted);
                    } else {
                        let (zero, mut wanted) = ([zero as u8], vec![0u8; len]);
                        quantize::quantize_f32(s, plain, &x, &[scale], &zero, &mut wanted);
                        quantize::dequantize_f32(s, plain, &wanted, &[scale], &zero, &mut back);
                        assert_eq!(y, wanted);
                    }
                    assert_eq!(z, back);
                    let numbers = x.iter().filter(|x| !x.is_nan());
                    let wanted = numbers
                        .fold((0.0, 0.0), |(low, high): (f32, f32), x| (low.min(*x), high.max(*x)));
                    assert_eq!(range, wanted);
                }
            }
        }
    }

    struct Dynamic<'a>(&'a [f32], &'a mut [u8]);

    impl Vectorized for Dynamic<'_> {
        type Output = Grid8;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Grid8 {
            dynamic_quantize(s, self.0, self.1)
        }
    }

    /// The examples of the specification.
    #[test]
    fn a_range_becomes_a_grid() {
        for level in levels() {
            let mut y = [0; 6];
            let grid = dispatch(level, Dynamic(&[0.0, 2.0, -3.0, -2.5, 1.34, 0.5], &mut y));
            assert_eq!((grid.zero, y), (153, [153, 255, 0, 26, 221, 179]));
            assert!((grid.scale - 0.019_607_844).abs() < 1e-8);
            let mut y = [0; 6];
            let grid = dispatch(level, Dynamic(&[-1.0, -2.1, -1.3, -2.5, -3.34, -4.0], &mut y));
            assert_eq!((grid.zero, y), (255, [191, 121, 172, 96, 42, 0]));
            let grid = dispatch(level, Dynamic(&[0.0; 6], &mut y));
            assert_eq!((grid, y), (Grid8 { scale: 1.0, zero: 0, signed: false }, [0; 6]));
        }
    }
}
