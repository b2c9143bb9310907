//! Products of bytes by `vpmaddubsw`: AVX2.
//!
//! The instruction adds two products of an unsigned byte and a signed one in 16 bits, and
//! saturates. So bytes of `A` are taken apart into halves of four bits, whose products are small
//! enough for [`STEPS`] of them to be added before they are widened to 32 bits. Weights are
//! multiplied as they are packed.
#![allow(clippy::needless_range_loop, reason = "an index says which row or vector")]

use core::arch::x86_64::*;

use super::Avx2;
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::finish::Finish;
use crate::kernels::gemm::int8::{GemmI8, PREPARED_ROWS, last_word};
use crate::kernels::int8::QUAD;
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;

/// Products of halves that are added in 16 bits: `8 * 2 * 15 * 128` is below `2^15`.
const STEPS: usize = 8;

/// Integers of a vector.
const LANES: usize = 8;

/// Vectors of a panel.
const VECTORS: usize = PANEL / LANES;

/// Computes a product by AVX2; `s` finishes it.
///
/// **Panics**: if `level` does not prove it.
pub(in crate::kernels) fn gemm<S: Simd>(s: S, level: Level, gemm: &mut GemmI8<'_>) {
    let Some(token) = Avx2::from_level(level) else { panic!("no AVX2 at this level") };
    let panels = gemm.n.div_ceil(PANEL);
    for first in (0..gemm.m).step_by(PREPARED_ROWS) {
        let rows = (gemm.m - first).min(PREPARED_ROWS);
        take_apart(gemm, first, rows);
        let mut panel = 0;
        while panel < panels {
            panel += column(s, token, gemm, (first, rows), panel, panels - panel);
        }
    }
}

/// Writes the halves of the bytes of rows: words of lower halves and of upper halves by turns.
fn take_apart(gemm: &mut GemmI8<'_>, first: usize, rows: usize) {
    const LOWER: u32 = 0x0f0f_0f0f;
    let (quads, (flip, _)) = (gemm.k.div_ceil(QUAD), gemm.unsigned());
    for i in 0..rows {
        let row =
            if gemm.k > 0 { &gemm.a[(first + i) * gemm.a_row_stride..][..gemm.k] } else { &[] };
        let halves = &mut gemm.scratch[i * 2 * quads..][..2 * quads];
        let (words, last) = row.as_chunks::<QUAD>();
        let (mut halves, _) = halves.as_chunks_mut::<2>();
        for (word, to) in words.iter().zip(&mut *halves) {
            let word = u32::from_le_bytes(*word) ^ flip;
            *to = [word & LOWER, word >> 4 & LOWER];
        }
        halves = &mut halves[words.len()..];
        if let [to] = halves {
            let word = last_word(last) ^ flip;
            *to = [word & LOWER, word >> 4 & LOWER];
        }
    }
}

/// Computes as many panels from `panel` on as suit the registers, and says how many.
fn column<S: Simd>(
    s: S,
    token: Avx2,
    gemm: &mut GemmI8<'_>,
    (first, len): (usize, usize),
    panel: usize,
    left: usize,
) -> usize {
    let mut row = 0;
    macro_rules! rows {
        ($panels:literal, $vectors:literal, $tallest:literal; $($mr:literal),*) => {{
            while row < len {
                let blocks = (len - row).div_ceil($tallest);
                let rows = (len - row).div_ceil(blocks);
                $(if rows >= $mr {
                    compute::<S, $mr, $vectors>(s, token, gemm, (first, row), panel);
                    row += $mr;
                    continue;
                })*
            }
            $panels
        }};
    }
    match (len, left) {
        (1, 2..) => rows! { 2, 4, 1; 1 },
        _ => rows! { 1, 2, 3; 3, 2, 1 },
    }
}

fn compute<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    token: Avx2,
    gemm: &mut GemmI8<'_>,
    (first, row): (usize, usize),
    panel: usize,
) {
    // SAFETY: the token proves AVX2.
    let sums = unsafe { tile::<MR, NV>(token, gemm, row, panel) };
    let len = MR * NV * LANES;
    // SAFETY: a vector is eight integers.
    let sums = unsafe { core::slice::from_raw_parts(sums.as_ptr().cast::<i32>(), len) };
    let (_, shift) = gemm.unsigned();
    s.vectorize(Finish {
        gemm,
        row: first + row,
        rows: MR,
        panel,
        panels: NV / VECTORS,
        sums,
        stride: NV * LANES,
        shift,
    });
}

/// `MR` prepared rows by `NV` vectors of columns.
#[target_feature(enable = "avx2,fma")]
fn tile<const MR: usize, const NV: usize>(
    s: Avx2,
    gemm: &GemmI8<'_>,
    row: usize,
    panel: usize,
) -> [[__m256i; NV]; MR] {
    let quads = gemm.k.div_ceil(QUAD);
    let (mut a, mut b) = ([&[][..]; MR], [&[][..]; NV]);
    for i in 0..MR {
        a[i] = &gemm.scratch[(row + i) * 2 * quads..][..2 * quads].as_chunks::<2>().0[..quads];
    }
    for v in 0..NV {
        b[v] = gemm.panel(panel + v / VECTORS);
    }
    // The weights of the halves.
    let (ones, sixteens) = (_mm256_set1_epi16(1), _mm256_set1_epi16(16));
    let mut sums = [[_mm256_setzero_si256(); NV]; MR];
    let mut q = 0;
    while q < quads {
        let end = quads.min(q + STEPS);
        let mut halves = [[[_mm256_setzero_si256(); 2]; NV]; MR];
        while q < end {
            let mut words = [ones; NV];
            for v in 0..NV {
                words[v] = s.u32_load(&b[v][q * PANEL + v % VECTORS * LANES..][..LANES]);
            }
            for i in 0..MR {
                for h in 0..2 {
                    let x = s.u32_splat(a[i][q][h]);
                    for v in 0..NV {
                        let products = _mm256_maddubs_epi16(x, words[v]);
                        halves[i][v][h] = _mm256_add_epi16(halves[i][v][h], products);
                    }
                }
            }
            q += 1;
        }
        for i in 0..MR {
            for v in 0..NV {
                let lower = _mm256_madd_epi16(halves[i][v][0], ones);
                let upper = _mm256_madd_epi16(halves[i][v][1], sixteens);
                sums[i][v] = s.u32_add(sums[i][v], s.u32_add(lower, upper));
            }
        }
    }
    sums
}
