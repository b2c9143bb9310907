//! bf16, the upper half of an `f32`, and weights packed in pairs of them.
//!
//! Owns the rounding and the one layout of packed bf16 weights: panels of 16 columns, a word for
//! each column that holds the elements of two rows, the upper row in its low half. A line of 64
//! bytes is an operand of `vdpbf16ps` and a row of an AMX tile alike, and shifting it makes the two
//! rows that every other CPU multiplies. So one file serves them all.

use super::gemm::PANEL;

/// Rows in a word.
pub const PAIR: usize = 2;

/// `x` rounded to the nearest bf16, halves to even. A NaN stays one.
#[inline]
pub const fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 1 << 6;
    }
    // Half of the last place, and less than that unless it is odd.
    let up = 0x7fff + (bits >> 16 & 1);
    ((bits + up) >> 16) as u16
}

/// The number that the bits of a bf16 mean: every one is an `f32`.
#[inline]
pub const fn widen(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

/// Words of a packed `k` by `n` matrix: the last panel is padded to 16 columns, the last pair of
/// rows to two.
///
/// Returns `None` where that exceeds the address space.
pub const fn packed_pairs_len(k: usize, n: usize) -> Option<usize> {
    match n.div_ceil(PANEL).checked_mul(PANEL) {
        Some(cols) => cols.checked_mul(k.div_ceil(PAIR)),
        None => None,
    }
}

/// Packs the `k` by `n` matrix of bf16 whose element `(p, j)` has the bits
/// `src[p * row_stride + j * col_stride]`.
///
/// **Shapes and units**: `out` holds [`packed_pairs_len`] words or more; the padding is zeroed.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: one pass, no allocation.
pub fn pack_pairs(
    src: &[u16],
    k: usize,
    n: usize,
    row_stride: usize,
    col_stride: usize,
    out: &mut [u32],
) {
    let Some(len) = packed_pairs_len(k, n) else {
        panic!("a packed matrix beyond the address space")
    };
    if len == 0 {
        return;
    }
    for (panel, out) in out[..len].chunks_exact_mut(PANEL * k.div_ceil(PAIR)).enumerate() {
        let first = panel * PANEL;
        let cols = (n - first).min(PANEL);
        let src = &src[first * col_stride..];
        for (pair, words) in out.chunks_exact_mut(PANEL).enumerate() {
            let (low, high) = (PAIR * pair, PAIR * pair + 1);
            words[cols..].fill(0);
            for (j, word) in words[..cols].iter_mut().enumerate() {
                *word = u32::from(src[low * row_stride + j * col_stride]);
                if high < k {
                    *word |= u32::from(src[high * row_stride + j * col_stride]) << 16;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernels::suite::Rng;
    use crate::tensor::{DType, Rounding, narrow};
    use std::{vec, vec::Vec};

    #[test]
    fn rounding_is_that_of_the_type() {
        let mut rng = Rng::new(1);
        let mut numbers = rng.any_vector(4000);
        numbers.extend([1.0, 1.003_906_2, 1.011_718_8, f32::MAX, f32::MIN_POSITIVE, -0.0]);
        for x in numbers {
            let wanted = narrow(DType::BF16, x.into(), Rounding::default());
            assert!(round(x) == wanted || x.is_nan(), "{x:e}: {:x}, not {wanted:x}", round(x));
            assert_eq!(x.is_nan(), widen(round(x)).is_nan());
        }
    }

    #[test]
    fn every_element_is_where_it_belongs() {
        for k in [0, 1, 2, 3, 16, 17] {
            for n in [0, 1, 15, 16, 17, 33] {
                let src: Vec<u16> = (1..=(k * n) as u16).collect();
                let mut out = vec![u32::MAX; packed_pairs_len(k, n).unwrap() + 1];
                pack_pairs(&src, k, n, n, 1, &mut out);
                assert_eq!(out.pop(), Some(u32::MAX));
                let turned: Vec<u16> =
                    (0..k * n).map(|i| src[i % k.max(1) * n + i / k.max(1)]).collect();
                let mut again = vec![u32::MAX; out.len()];
                pack_pairs(&turned, k, n, 1, k, &mut again);
                assert_eq!(again, out);
                let pairs = k.div_ceil(PAIR);
                for (i, word) in out.iter().enumerate() {
                    let (pair, j) = (i / PANEL % pairs, i / PANEL / pairs * PANEL + i % PANEL);
                    let at = |p: usize| if p < k && j < n { src[p * n + j] } else { 0 };
                    let wanted = u32::from(at(2 * pair)) | u32::from(at(2 * pair + 1)) << 16;
                    assert_eq!(*word, wanted, "{k}x{n}: {pair}, {j}");
                }
            }
        }
        assert_eq!(packed_pairs_len(3, usize::MAX), None);
    }
}
