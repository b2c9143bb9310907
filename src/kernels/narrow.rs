//! Weights of eight and of four bits, packed in words of 32.
//!
//! Owns the two layouts and their packing. Panels of 16 columns, a word for each column that holds
//! the elements of several rows: a line of 64 bytes is [`Bits::rows`] rows of a panel.
//!
//! - Eight bits: byte `i` of a word is row `i` of four, which is the operand of `vpdpbusd`, of
//!   `sdot` and of an AMX tile alike.
//! - Four bits: row `i` of eight has the lower half of byte `i` for the first four rows and the
//!   upper half of byte `i - 4` for the others, so that one mask, or a shift and a mask, makes a
//!   line of eight bits.
//!
//! All are two's complement; unsigned weights are moved down by half of their range, and their zero
//! points with them. Zero points are never folded into packed weights.

use super::gemm::PANEL;

/// How many bits a packed weight has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// From -8 to 7.
    Four,
    /// From -128 to 127.
    Eight,
}

impl Bits {
    /// Rows in a word.
    pub const fn rows(self) -> usize {
        match self {
            Self::Four => 8,
            Self::Eight => 4,
        }
    }

    /// Where a row of a word begins: its lowest bit.
    const fn shift(self, row: usize) -> usize {
        match self {
            Self::Four => 8 * (row % 4) + 4 * (row / 4),
            Self::Eight => 8 * row,
        }
    }

    /// The bits of a weight.
    const fn mask(self) -> u32 {
        match self {
            Self::Four => 0xf,
            Self::Eight => 0xff,
        }
    }

    /// Words of a packed `k` by `n` matrix: the last panel is padded to 16 columns, the last rows
    /// to a word.
    ///
    /// Returns `None` where that exceeds the address space.
    pub const fn packed_len(self, k: usize, n: usize) -> Option<usize> {
        match n.div_ceil(PANEL).checked_mul(PANEL) {
            Some(cols) => cols.checked_mul(k.div_ceil(self.rows())),
            None => None,
        }
    }

    /// Packs the `k` by `n` matrix whose element `(p, j)` is `src[p * row_stride + j * col_stride]`,
    /// of which it takes the lowest bits.
    ///
    /// **Shapes and units**: `out` holds [`packed_len`](Self::packed_len) words or more; the padding
    /// is zeroed.
    ///
    /// **Panics**: if a slice is too short.
    ///
    /// **Cost**: one pass, no allocation.
    pub fn pack(
        self,
        src: &[i8],
        k: usize,
        n: usize,
        row_stride: usize,
        col_stride: usize,
        out: &mut [u32],
    ) {
        let Some(len) = self.packed_len(k, n) else {
            panic!("a packed matrix beyond the address space")
        };
        if len == 0 {
            return;
        }
        let panels = out[..len].chunks_exact_mut(PANEL * k.div_ceil(self.rows()));
        for (panel, out) in panels.enumerate() {
            let first = panel * PANEL;
            let cols = (n - first).min(PANEL);
            for (group, words) in out.chunks_exact_mut(PANEL).enumerate() {
                let p = group * self.rows();
                words.fill(0);
                for (j, word) in words[..cols].iter_mut().enumerate() {
                    for row in 0..self.rows().min(k - p) {
                        let x = src[(p + row) * row_stride + (first + j) * col_stride];
                        *word |= (x as u32 & self.mask()) << self.shift(row);
                    }
                }
            }
        }
    }
}

/// Numbers for each block of rows and each column of a `k` by `n` matrix: a row of 16 for each
/// block of a panel.
///
/// Returns `None` where that exceeds the address space.
pub const fn block_len(k: usize, n: usize, block: usize) -> Option<usize> {
    match n.div_ceil(PANEL).checked_mul(PANEL) {
        Some(cols) if block > 0 => cols.checked_mul(k.div_ceil(block)),
        _ => None,
    }
}

/// Packed weights and what they mean: weight `(p, j)` is its integer less the zero point of its
/// block and column, times their scale.
#[derive(Clone, Copy, Debug)]
pub struct NarrowWeights<'a> {
    /// How they are packed.
    pub bits: Bits,
    /// As [`Bits::pack`] writes them.
    pub words: &'a [u32],
    /// Rows that share a scale in a column: a multiple of [`Bits::rows`]. As many as there are, or
    /// more, where each column has one scale.
    pub block: usize,
    /// [`block_len`] scales: that of block `b` of column `j` is
    /// `scales[(j / 16 * blocks + b) * 16 + j % 16]`.
    pub scales: &'a [f32],
    /// Zero points alike, whole numbers; none where all are zero.
    pub zeros: &'a [f32],
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{vec, vec::Vec};

    #[test]
    fn every_weight_is_where_it_belongs() {
        for bits in [Bits::Four, Bits::Eight] {
            let rows = bits.rows();
            for k in [0, 1, 3, 4, 5, 8, 9, 17] {
                for n in [0, 1, 15, 16, 17, 33] {
                    let least = if bits == Bits::Four { 8 } else { 128 };
                    let src: Vec<i8> = (0..k * n)
                        .map(|i| ((i * 7 % (2 * least)) as i64 - least as i64) as i8)
                        .collect();
                    let mut out = vec![u32::MAX; bits.packed_len(k, n).unwrap() + 1];
                    bits.pack(&src, k, n, n, 1, &mut out);
                    assert_eq!(out.pop(), Some(u32::MAX));
                    let turned: Vec<i8> =
                        (0..k * n).map(|i| src[i % k.max(1) * n + i / k.max(1)]).collect();
                    let mut again = vec![u32::MAX; out.len()];
                    bits.pack(&turned, k, n, 1, k, &mut again);
                    assert_eq!(again, out);
                    let groups = k.div_ceil(rows);
                    for (i, word) in out.iter().enumerate() {
                        let (group, j) =
                            (i / PANEL % groups, i / PANEL / groups * PANEL + i % PANEL);
                        for row in 0..rows {
                            let p = group * rows + row;
                            let wanted = if p < k && j < n { src[p * n + j] } else { 0 };
                            let up = 32 - if bits == Bits::Four { 4 } else { 8 };
                            let got = (word << (up - bits.shift(row))).cast_signed() >> up;
                            assert_eq!(got, i32::from(wanted), "{bits:?} {k}x{n}: {p}, {j}");
                        }
                    }
                }
            }
        }
        assert_eq!(Bits::Four.packed_len(3, usize::MAX), None);
        assert_eq!(block_len(33, 17, 16), Some(32 * 3));
        assert_eq!(block_len(33, 17, 0), None);
    }
}
