//! Products of some rows of bytes by `vpmaddwd`: AVX2.
//!
//! The instruction adds two products of 16 bits in 32, so that nothing saturates. A word of four
//! bytes is two pairs: its even bytes, and its odd ones. Rows are taken apart as they are read, and
//! so are weights, once for all rows of a tile.
#![allow(clippy::needless_range_loop, reason = "an index says which row, vector or pair")]

use core::arch::x86_64::*;

use super::{Avx2, nibbles};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::finish::{Finish, distances};
use crate::kernels::gemm::int8::{GemmI8, PREPARED_ROWS, Windows, last_word};
use crate::kernels::int8::QUAD;
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;

/// Integers of a vector.
const LANES: usize = 8;

/// Vectors of a panel.
const VECTORS: usize = PANEL / LANES;

/// Rows of a tile, and the fewest that are worth taking weights apart.
const ROWS: usize = 4;

/// Panels up to which rows are taken apart for each of them: for more it is done once, into halves
/// of bytes, whose products are added in 16 bits (`benches/record/conv-int8.md`).
const MOST_PANELS: usize = 2;

/// Computes a product by AVX2.
///
/// **Panics**: if `level` does not prove it.
pub(in crate::kernels) fn gemm(level: Level, gemm: &mut GemmI8<'_>) {
    if gemm.m < ROWS || gemm.n > MOST_PANELS * PANEL {
        return nibbles::gemm(level, gemm);
    }
    let Some(s) = Avx2::from_level(level) else { panic!("no AVX2 at this level") };
    // Rows are read through pointers.
    gemm.check_rows();
    let walk = gemm.walk();
    let mut sums = [0; PREPARED_ROWS * PANEL];
    for first in (0..gemm.m).step_by(PREPARED_ROWS) {
        let rows = (gemm.m - first).min(PREPARED_ROWS);
        let distances: [_; PREPARED_ROWS] = distances(s, gemm, first, rows);
        for panel in 0..gemm.n.div_ceil(PANEL) {
            let mut row = 0;
            while row < rows {
                let at = (first + row, panel);
                let to = &mut sums[row * PANEL..];
                // SAFETY: the token proves AVX2; all rows were checked to be inside.
                row += unsafe {
                    match (rows - row, gemm.a_grid.signed) {
                        (1, false) => tile::<1, false>(s, gemm, &walk, at, to),
                        (2, false) => tile::<2, false>(s, gemm, &walk, at, to),
                        (3, false) => tile::<3, false>(s, gemm, &walk, at, to),
                        (_, false) => tile::<ROWS, false>(s, gemm, &walk, at, to),
                        (1, true) => tile::<1, true>(s, gemm, &walk, at, to),
                        (2, true) => tile::<2, true>(s, gemm, &walk, at, to),
                        (3, true) => tile::<3, true>(s, gemm, &walk, at, to),
                        (_, true) => tile::<ROWS, true>(s, gemm, &walk, at, to),
                    }
                };
            }
            s.vectorize(Finish {
                gemm,
                row: first,
                rows,
                panel,
                panels: 1,
                sums: &sums,
                stride: PANEL,
                // Bytes were widened with their signs: nothing was added to them.
                shift: 0,
                distances: &distances,
            });
        }
    }
}

/// The even bytes of words as pairs of 16 bits, and the odd ones.
#[inline(always)]
fn pairs<const SIGNED: bool>(_: Avx2, x: __m256i) -> [__m256i; 2] {
    // SAFETY: the token proves AVX2.
    unsafe {
        if SIGNED {
            [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x)), _mm256_srai_epi16::<8>(x)]
        } else {
            [_mm256_and_si256(x, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(x)]
        }
    }
}

/// Writes the sums of `MR` rows by a panel, and says how many rows they are.
///
/// # Safety
/// The rows are inside `A`.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize, const SIGNED: bool>(
    s: Avx2,
    gemm: &GemmI8<'_>,
    walk: &Windows,
    (row, panel): (usize, usize),
    to: &mut [i32],
) -> usize {
    let begins = walk.begins::<MR>(row);
    let (quads, rest) = (walk.run / QUAD, walk.run % QUAD);
    let Windows { runs, apart, .. } = *walk;
    let mut weights = gemm.panel(panel);
    let mut sums = [[s.u32_splat(0); VECTORS]; MR];
    /// Adds the products of words of rows with the next line of weights.
    macro_rules! step {
        ($line:expr, $word:expr) => {
            let mut w = [[s.u32_splat(0); 2]; VECTORS];
            for v in 0..VECTORS {
                w[v] = pairs::<true>(s, s.u32_load(&$line[v * LANES..][..LANES]));
            }
            for i in 0..MR {
                let x = pairs::<SIGNED>(s, s.u32_splat($word(i)));
                for h in 0..2 {
                    for v in 0..VECTORS {
                        let products = _mm256_madd_epi16(x[h], w[v][h]);
                        sums[i][v] = _mm256_add_epi32(sums[i][v], products);
                    }
                }
            }
        };
    }
    for plane in 0..runs[0] * usize::from(gemm.k > 0) {
        for line in 0..runs[1] {
            for run in 0..runs[2] {
                let offset = plane * apart[0] + line * apart[1] + run * apart[2];
                let mut a = [gemm.a.as_ptr(); MR];
                for i in 0..MR {
                    a[i] = gemm.a.as_ptr().wrapping_add(begins[i] + offset);
                }
                let (lines, behind) = weights.split_at(quads * PANEL);
                weights = behind;
                for q in 0..quads {
                    // SAFETY: a run of a row, whose bytes are inside as the caller has checked.
                    let word = |i: usize| unsafe { a[i].cast::<u32>().add(q).read_unaligned() };
                    step!(lines[q * PANEL..][..PANEL], word);
                }
                if rest > 0 {
                    let word =
                        |i: usize| last_word(&gemm.a[begins[i] + offset + quads * QUAD..][..rest]);
                    step!(weights[..PANEL], word);
                }
            }
        }
    }
    for i in 0..MR {
        for v in 0..VECTORS {
            s.i32_store(sums[i][v], &mut to[i * PANEL + v * LANES..]);
        }
    }
    MR
}
