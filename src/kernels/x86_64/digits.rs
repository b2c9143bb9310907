//! Products of digits with weights of few bits by `vpdpbusd`: AVX512-VNNI.
//!
//! The instruction multiplies unsigned bytes with signed ones: weights are made unsigned, by flipping
//! their top bits, and what that adds to each goes off again with their zero points.
#![allow(clippy::needless_range_loop, reason = "an index says which row, panel or digit")]

use core::arch::x86_64::*;

use super::Avx512;
use super::vnni::Avx512Vnni;
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::narrow::GemmNarrow;
use crate::kernels::gemm::narrow::digits::{DIGITS, Rows, part_end};
use crate::kernels::gemm::tile::{by_columns, finish};
use crate::kernels::int8::QUAD;
use crate::kernels::isa::Level;
use crate::kernels::narrow::Bits;
use crate::kernels::simd::Simd;

/// Computes `len` rows of a product from row `first` on, of which there are the digits.
///
/// **Panics**: if `level` does not prove AVX512-VNNI.
pub(in crate::kernels) fn gemm(
    level: Level,
    gemm: &mut GemmNarrow<'_>,
    rows: &Rows<'_>,
    (first, len): (usize, usize),
) {
    let Some(token) = Avx512Vnni::from_level(level) else { panic!("no AVX512-VNNI at this level") };
    let s = token.avx512();
    by_columns(
        s,
        gemm,
        first..first + len,
        |gemm| &mut gemm.product,
        |gemm, panel, left| match gemm.weights.bits {
            Bits::Four => column::<true>(token, gemm, rows, (first, len), panel, left),
            Bits::Eight => column::<false>(token, gemm, rows, (first, len), panel, left),
        },
    );
}

/// Computes as many panels from `panel` on as suit the registers, and says how many.
fn column<const FOUR: bool>(
    token: Avx512Vnni,
    gemm: &mut GemmNarrow<'_>,
    rows: &Rows<'_>,
    (first, len): (usize, usize),
    panel: usize,
    left: usize,
) -> usize {
    let mut row = 0;
    /// Tiles of at most `$tallest` rows; of those listed, the tallest that fits.
    macro_rules! rows {
        ($panels:literal, $tallest:literal; $($mr:literal),*) => {{
            while row < len {
                let blocks = (len - row).div_ceil($tallest);
                let tall = (len - row).div_ceil(blocks);
                $(if tall >= $mr {
                    // SAFETY: the token proves AVX-512 and AVX512-VNNI.
                    unsafe { tile::<$mr, $panels, FOUR>(token.avx512(), gemm, rows, (first, row), panel) };
                    row += $mr;
                    continue;
                })*
            }
            $panels
        }};
    }
    match (len, left) {
        (1..=2, 4..) => rows! { 4, 2; 2, 1 },
        (_, 2..) => rows! { 2, 4; 4, 3, 2, 1 },
        _ => rows! { 1, 4; 4, 3, 2, 1 },
    }
}

/// `MR` rows by `P` panels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
fn tile<const MR: usize, const P: usize, const FOUR: bool>(
    s: Avx512,
    gemm: &mut GemmNarrow<'_>,
    rows: &Rows<'_>,
    (first, row): (usize, usize),
    panel: usize,
) {
    let GemmNarrow { product, weights, .. } = gemm;
    let (k, block) = (product.k, weights.block);
    let depth = if FOUR { Bits::Four.rows() } else { Bits::Eight.rows() };
    let (lines, blocks) = (k.div_ceil(depth), k.div_ceil(block));
    let mut sums_of = [&[][..]; MR];
    let mut one = [s.splat(0.0); MR];
    let mut digits = [[&[][..]; DIGITS]; MR];
    for i in 0..MR {
        let (counts, sums) = rows.sums(row + i);
        (one[i], sums_of[i]) = (s.splat(counts), sums);
        for d in 0..DIGITS {
            digits[i][d] = rows.digit(row + i, d).as_chunks::<QUAD>().0;
        }
    }
    // What flipping adds to a weight.
    let moved = s.splat(if FOUR { 8.0 } else { 128.0 });
    let (nibbles, flip) = (s.u32_splat(0x0f0f_0f0f), s.u32_splat(0x0808_0808));
    let top = s.u32_splat(0x8080_8080);
    let mut tile = [[s.splat(0.0); P]; MR];
    let (mut at, mut part) = (0, 0);
    while at < k {
        let end = part_end(at, k, block);
        let many = (end - at).div_ceil(depth);
        let mut words = [&[][..]; P];
        for j in 0..P {
            words[j] = &weights.words[((panel + j) * lines + at / depth) * PANEL..][..many * PANEL];
        }
        let quads = depth / QUAD;
        let mut of = [[&[][..]; DIGITS]; MR];
        for i in 0..MR {
            for d in 0..DIGITS {
                of[i][d] = &digits[i][d][at / QUAD..][..many * quads];
            }
        }
        let mut sums = [[[s.u32_splat(0); P]; DIGITS]; MR];
        for line in 0..many {
            let mut bytes = [[top; P]; 2];
            for j in 0..P {
                let word = s.u32_load(&words[j][line * PANEL..][..PANEL]);
                if FOUR {
                    bytes[0][j] = s.u32_xor(s.u32_and(word, nibbles), flip);
                    bytes[1][j] = s.u32_xor(s.u32_and(s.u32_shr::<4>(word), nibbles), flip);
                } else {
                    bytes[0][j] = s.u32_xor(word, top);
                }
            }
            for q in 0..quads {
                for i in 0..MR {
                    for d in 0..DIGITS {
                        let x = s.u32_splat(u32::from_le_bytes(of[i][d][line * quads + q]));
                        for j in 0..P {
                            sums[i][d][j] = _mm512_dpbusd_epi32(sums[i][d][j], bytes[q][j], x);
                        }
                    }
                }
            }
        }
        for j in 0..P {
            let place = ((panel + j) * blocks + at / block) * PANEL;
            let scale = s.load(&weights.scales[place..][..PANEL]);
            let zero = match weights.zeros {
                [] => moved,
                zeros => s.add(s.load(&zeros[place..][..PANEL]), moved),
            };
            for i in 0..MR {
                let mut exact = [scale; DIGITS];
                for d in 0..DIGITS {
                    let sum = s.splat(sums_of[i][part * DIGITS + d]);
                    let products = s.i32_to_f32(s.u32_to_i32(sums[i][d][j]));
                    exact[d] = s.neg_mul_add(zero, sum, products);
                }
                let [upper, middle, lower] = exact;
                let low = s.mul_add(middle, s.splat(256.0), lower);
                let all = s.mul_add(upper, s.splat(65536.0), low);
                tile[i][j] = s.mul_add(all, scale, tile[i][j]);
            }
        }
        (at, part) = (end, part + 1);
    }
    for i in 0..MR {
        for j in 0..P {
            tile[i][j] = s.mul(tile[i][j], one[i]);
        }
    }
    finish(s, product, first + row, panel * PANEL, &tile);
}
