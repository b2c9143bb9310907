//! Eight-bit values that stand for numbers, and weights packed in fours of them.
//!
//! Owns the one layout of packed eight-bit weights, and the loops between numbers and bytes in
//! `int8/rows.rs`. Weights are signed, in panels of 16 columns, a word for each column
//! that holds the elements of four rows, the upper row in its lowest byte. A line of 64 bytes is
//! an operand of `vpdpbusd`, four of `SDOT`, and a row of an AMX tile alike. So one file serves
//! them all.

use super::gemm::PANEL;

mod rows;

pub use crate::tensor::Grid8;
pub use rows::{dequantize_rows, dynamic_quantize, quantize_rows, range_f32};

/// Rows in a word.
pub const QUAD: usize = 4;

/// Words of a packed `k` by `n` matrix: the last panel is padded to 16 columns, the last rows to
/// four.
///
/// Returns `None` where that exceeds the address space.
pub const fn packed_quads_len(k: usize, n: usize) -> Option<usize> {
    match n.div_ceil(PANEL).checked_mul(PANEL) {
        Some(cols) => cols.checked_mul(k.div_ceil(QUAD)),
        None => None,
    }
}

/// Packs the `k` by `n` matrix whose element `(p, j)` is `src[p * row_stride + j * col_stride]`
/// with the bits of `flip` turned over, and adds up its columns. Unsigned bytes become signed ones,
/// smaller by 128, with their top bits turned over.
///
/// **Shapes and units**: `out` holds [`packed_quads_len`] words or more, `sums` a number for each
/// column of all panels; the padding is zeroed.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: one pass, no allocation.
#[inline(always)]
pub fn pack_quads(
    src: &[u8],
    flip: u8,
    (k, n): (usize, usize),
    (row_stride, col_stride): (usize, usize),
    out: &mut [u32],
    sums: &mut [i32],
) {
    let Some(len) = packed_quads_len(k, n) else {
        panic!("a packed matrix beyond the address space")
    };
    sums[..n.next_multiple_of(PANEL)].fill(0);
    if len == 0 {
        return;
    }
    let panels = out[..len].chunks_exact_mut(PANEL * k.div_ceil(QUAD));
    for (panel, (out, sums)) in panels.zip(sums.chunks_exact_mut(PANEL)).enumerate() {
        let first = panel * PANEL;
        let cols = (n - first).min(PANEL);
        for (quad, words) in out.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
            let (row, rows) = (QUAD * quad, (k - QUAD * quad).min(QUAD));
            let at = row * row_stride + first * col_stride;
            let all = u32::from_le_bytes([flip; QUAD]);
            // Elements that lie side by side are taken as one, along rows or along columns, with
            // what is behind them; that becomes zero.
            if col_stride == 1 {
                let mut lines = [[flip; PANEL]; QUAD];
                for (p, line) in lines.iter_mut().enumerate().take(rows) {
                    let src = &src[at + p * row_stride..];
                    match src.first_chunk::<PANEL>() {
                        Some(whole) => {
                            for j in 0..PANEL {
                                line[j] = if j < cols { whole[j] } else { flip };
                            }
                        }
                        None => line[..cols].copy_from_slice(&src[..cols]),
                    }
                }
                let [a, b, c, d] = lines;
                for j in 0..PANEL {
                    words[j] = u32::from_le_bytes([a[j], b[j], c[j], d[j]]) ^ all;
                }
            } else {
                *words = [0; PANEL];
                let seen = u32::MAX >> (u32::BITS - u8::BITS * rows as u32);
                for (j, word) in words.iter_mut().enumerate().take(cols) {
                    let src = &src[at + j * col_stride..];
                    let bytes = match src.first_chunk::<QUAD>() {
                        Some(bytes) if row_stride == 1 => *bytes,
                        _ => {
                            let mut bytes = [0; QUAD];
                            for (p, byte) in bytes.iter_mut().enumerate().take(rows) {
                                *byte = src[p * row_stride];
                            }
                            bytes
                        }
                    };
                    *word = (u32::from_le_bytes(bytes) ^ all) & seen;
                }
            }
            for (word, sum) in words.iter().zip(&mut *sums) {
                let word = word.cast_signed();
                let bytes = (word << 24 >> 24) + (word << 16 >> 24) + (word << 8 >> 24);
                *sum = sum.wrapping_add(bytes + (word >> 24));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{vec, vec::Vec};

    #[test]
    fn every_element_is_where_it_belongs() {
        for k in [0, 1, 2, 3, 4, 5, 16, 19] {
            for n in [0, 1, 15, 16, 17, 33] {
                let src: Vec<u8> = (0..k * n).map(|i| (i * 37 + 1) as u8).collect();
                let mut out = vec![u32::MAX; packed_quads_len(k, n).unwrap() + 1];
                let cols = n.next_multiple_of(PANEL);
                let mut sums = vec![7; cols + 1];
                pack_quads(&src, 0, (k, n), (n, 1), &mut out, &mut sums);
                assert_eq!((out.pop(), sums.pop()), (Some(u32::MAX), Some(7)));
                let turned: Vec<u8> =
                    (0..k * n).map(|i| src[i % k.max(1) * n + i / k.max(1)]).collect();
                let (mut again, mut same) = (vec![u32::MAX; out.len()], vec![7; cols]);
                pack_quads(&turned, 0, (k, n), (1, k), &mut again, &mut same);
                assert_eq!((again, same), (out.clone(), sums.clone()));
                let flipped: Vec<u8> = src.iter().map(|x| x ^ 0x80).collect();
                let (mut again, mut same) = (vec![u32::MAX; out.len()], vec![7; cols]);
                pack_quads(&flipped, 0x80, (k, n), (n, 1), &mut again, &mut same);
                assert_eq!((again, same), (out.clone(), sums.clone()));
                let quads = k.div_ceil(QUAD);
                let at = |p: usize, j: usize| {
                    if p < k && j < n { src[p * n + j].cast_signed() } else { 0 }
                };
                for (i, word) in out.iter().enumerate() {
                    let (quad, j) = (i / PANEL % quads, i / PANEL / quads * PANEL + i % PANEL);
                    let bytes = [0, 1, 2, 3].map(|h| at(4 * quad + h, j).cast_unsigned());
                    assert_eq!(*word, u32::from_le_bytes(bytes), "{k}x{n}: {quad}, {j}");
                }
                for (j, sum) in sums.iter().enumerate() {
                    assert_eq!(*sum, (0..k).map(|p| i32::from(at(p, j))).sum::<i32>());
                }
            }
        }
        assert_eq!(packed_quads_len(5, usize::MAX), None);
    }
}
