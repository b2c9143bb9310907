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
use crate::kernels::gemm::int8::finish::{Finish, distances};
use crate::kernels::gemm::int8::{GemmI8, PREPARED_ROWS, Windows, last_word};
use crate::kernels::int8::QUAD;
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;

/// Products of halves that are added in 16 bits: `8 * 2 * 15 * 128` is below `2^15`.
const STEPS: usize = 8;

/// Integers of a vector.
const LANES: usize = 8;

/// Vectors of a panel.
const VECTORS: usize = PANEL / LANES;

/// Sums of prepared rows by panels that are finished together.
const SUMS: usize = PREPARED_ROWS * PANEL;

/// Computes a product by AVX2.
///
/// **Panics**: if `level` does not prove it.
pub(in crate::kernels) fn gemm(level: Level, gemm: &mut GemmI8<'_>) {
    let Some(s) = Avx2::from_level(level) else { panic!("no AVX2 at this level") };
    let (all, (_, shift)) = (gemm.n.div_ceil(PANEL), gemm.unsigned());
    let mut sums = [0; SUMS];
    for row in (0..gemm.m).step_by(PREPARED_ROWS) {
        let rows = (gemm.m - row).min(PREPARED_ROWS);
        // SAFETY: the token proves AVX2.
        unsafe { take_apart(gemm, row, rows) };
        let distances: [_; PREPARED_ROWS] = distances(s, gemm, row, rows);
        let many = PREPARED_ROWS / rows;
        for panel in (0..all).step_by(many) {
            let panels = (all - panel).min(many);
            // SAFETY: the token proves AVX2.
            unsafe { multiply(s, gemm, rows, panel, panels, &mut sums) };
            let (stride, sums, distances) = (panels * PANEL, &sums, &distances);
            s.vectorize(Finish { gemm, row, rows, panel, panels, sums, stride, shift, distances });
        }
    }
}

/// Writes the halves of the bytes of rows: for each row words of lower halves, then words of upper
/// ones.
#[target_feature(enable = "avx2,fma")]
fn take_apart(gemm: &mut GemmI8<'_>, first: usize, rows: usize) {
    let (quads, (flip, _)) = (gemm.k.div_ceil(QUAD), gemm.unsigned());
    let (walk, all) = (gemm.walk(), usize::from(gemm.k > 0));
    let Windows { runs, apart, .. } = walk;
    for i in 0..rows {
        let [begin] = walk.begins(first + i);
        let halves = &mut gemm.scratch[i * 2 * quads..][..2 * quads];
        let (mut lower, mut upper) = halves.split_at_mut(quads);
        for plane in 0..runs[0] * all {
            for line in 0..runs[1] {
                let mut at = begin + plane * apart[0] + line * apart[1];
                for _ in 0..runs[2] {
                    let bytes = &gemm.a[at..][..walk.run];
                    let words = bytes.len() / QUAD;
                    halves_of(bytes, flip, [&mut lower[..words], &mut upper[..words]]);
                    (lower, upper) = (&mut lower[words..], &mut upper[words..]);
                    // Behind the last run alone.
                    let last = &bytes[words * QUAD..];
                    if !last.is_empty() {
                        let word = last_word(last) ^ flip;
                        (lower[0], upper[0]) = (word & LOWER, word >> 4 & LOWER);
                    }
                    at += apart[2];
                }
            }
        }
    }
}

/// The lower halves of bytes.
const LOWER: u32 = 0x0f0f_0f0f;

/// Writes the halves of the bytes of whole words.
#[target_feature(enable = "avx2,fma")]
fn halves_of(bytes: &[u8], flip: u32, [lower, upper]: [&mut [u32]; 2]) {
    let words = lower.len();
    let (flips, lowers) = (_mm256_set1_epi32(flip.cast_signed()), _mm256_set1_epi32(LOWER as i32));
    // Vectors, of which the last ends with the words.
    for q in (0..words).step_by(LANES).take(if words < LANES { 0 } else { usize::MAX }) {
        let at = q.min(words - LANES);
        let from: &[u8] = &bytes[at * QUAD..][..LANES * QUAD];
        let [lower, upper] = [&mut lower[at..][..LANES], &mut upper[at..][..LANES]];
        // SAFETY: a vector is eight words, or 32 bytes.
        unsafe {
            let x = _mm256_xor_si256(_mm256_loadu_si256(from.as_ptr().cast()), flips);
            let shifted = _mm256_srli_epi32::<4>(x);
            _mm256_storeu_si256(lower.as_mut_ptr().cast(), _mm256_and_si256(x, lowers));
            _mm256_storeu_si256(upper.as_mut_ptr().cast(), _mm256_and_si256(shifted, lowers));
        }
    }
    let half = LANES / 2;
    for q in (0..words).step_by(half).take(if words < LANES && words >= half { 2 } else { 0 }) {
        let at = q.min(words - half);
        let from: &[u8] = &bytes[at * QUAD..][..half * QUAD];
        let [lower, upper] = [&mut lower[at..][..half], &mut upper[at..][..half]];
        // SAFETY: a vector is four words, or 16 bytes.
        unsafe {
            let lowers = _mm256_castsi256_si128(lowers);
            let x = _mm_loadu_si128(from.as_ptr().cast());
            let x = _mm_xor_si128(x, _mm256_castsi256_si128(flips));
            let shifted = _mm_srli_epi32::<4>(x);
            _mm_storeu_si128(lower.as_mut_ptr().cast(), _mm_and_si128(x, lowers));
            _mm_storeu_si128(upper.as_mut_ptr().cast(), _mm_and_si128(shifted, lowers));
        }
    }
    if words < half {
        for (q, word) in bytes.as_chunks::<QUAD>().0.iter().enumerate() {
            let word = u32::from_le_bytes(*word) ^ flip;
            (lower[q], upper[q]) = (word & LOWER, word >> 4 & LOWER);
        }
    }
}

/// Multiplies all prepared rows with some panels.
#[target_feature(enable = "avx2,fma")]
fn multiply(
    s: Avx2,
    gemm: &GemmI8<'_>,
    rows: usize,
    panel: usize,
    panels: usize,
    sums: &mut [i32; SUMS],
) {
    let stride = panels * PANEL;
    let mut j = 0;
    while j < panels {
        if rows == 1 && panels - j >= 2 {
            let tile = tile::<1, 4>(s, gemm, 0, panel + j);
            store(s, &tile, &mut sums[j * PANEL..], stride);
            j += 2;
            continue;
        }
        let mut row = 0;
        while row < rows {
            let to = &mut sums[row * stride + j * PANEL..];
            row += match rows - row {
                1 => store(s, &tile::<1, 2>(s, gemm, row, panel + j), to, stride),
                2 | 4 => store(s, &tile::<2, 2>(s, gemm, row, panel + j), to, stride),
                _ => store(s, &tile::<3, 2>(s, gemm, row, panel + j), to, stride),
            };
        }
        j += 1;
    }
}

/// Writes rows, and says how many there are.
#[inline(always)]
fn store<const MR: usize, const NV: usize>(
    s: Avx2,
    tile: &[[__m256i; NV]; MR],
    to: &mut [i32],
    stride: usize,
) -> usize {
    for i in 0..MR {
        for v in 0..NV {
            s.i32_store(tile[i][v], &mut to[i * stride + v * LANES..]);
        }
    }
    MR
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
    let (mut a, mut b) = ([[&[][..]; 2]; MR], [&[][..]; NV]);
    for i in 0..MR {
        let halves = &gemm.scratch[(row + i) * 2 * quads..][..2 * quads];
        a[i] = [&halves[..quads], &halves[quads..]];
    }
    for v in 0..NV {
        b[v] = &gemm.panel(panel + v / VECTORS).as_chunks::<PANEL>().0[..quads];
    }
    let mut sums = [[_mm256_setzero_si256(); NV]; MR];
    /// Adds the products of so many quads.
    macro_rules! steps {
        ($x:ident, $lines:ident, $quads:expr) => {
            let mut halves = [[[_mm256_setzero_si256(); 2]; NV]; MR];
            for q in 0..$quads {
                let mut words = [_mm256_setzero_si256(); NV];
                for v in 0..NV {
                    words[v] = s.u32_load(&$lines[v][q][v % VECTORS * LANES..][..LANES]);
                }
                for i in 0..MR {
                    for h in 0..2 {
                        let x = s.u32_splat($x[i][h][q]);
                        for v in 0..NV {
                            let products = _mm256_maddubs_epi16(x, words[v]);
                            halves[i][v][h] = _mm256_add_epi16(halves[i][v][h], products);
                        }
                    }
                }
            }
            // The weights of the halves.
            let (ones, sixteens) = (_mm256_set1_epi16(1), _mm256_set1_epi16(16));
            for i in 0..MR {
                for v in 0..NV {
                    let lower = _mm256_madd_epi16(halves[i][v][0], ones);
                    let upper = _mm256_madd_epi16(halves[i][v][1], sixteens);
                    sums[i][v] = s.u32_add(sums[i][v], s.u32_add(lower, upper));
                }
            }
        };
    }
    let mut q = 0;
    // Of as many steps as are known here there are neither a loop nor checks.
    while quads - q >= STEPS {
        let end = q + STEPS;
        let (mut x, mut lines) = ([[&[0; STEPS]; 2]; MR], [&[[0; PANEL]; STEPS]; NV]);
        for i in 0..MR {
            for h in 0..2 {
                x[i][h] = known(&a[i][h][q..end]);
            }
        }
        for v in 0..NV {
            lines[v] = known(&b[v][q..end]);
        }
        steps!(x, lines, STEPS);
        q = end;
    }
    if q < quads {
        let len = quads - q;
        let (mut x, mut lines) = ([[&[][..]; 2]; MR], [&[][..]; NV]);
        for i in 0..MR {
            for h in 0..2 {
                x[i][h] = &a[i][h][q..][..len];
            }
        }
        for v in 0..NV {
            lines[v] = &b[v][q..][..len];
        }
        steps!(x, lines, len);
    }
    sums
}

/// A slice of so many elements.
#[inline(always)]
fn known<T, const N: usize>(slice: &[T]) -> &[T; N] {
    let Some(array) = slice.first_chunk() else { panic!("not {N} elements") };
    array
}
