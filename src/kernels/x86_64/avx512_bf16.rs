//! Products of pairs of bf16 by `vdpbf16ps`: beyond AVX-512.

use core::arch::x86_64::*;

use super::Avx512;
use crate::kernels::bf16::PAIR;
use crate::kernels::gemm::bf16::{GemmBf16, ROUNDED_ROWS, rounded_stride};
use crate::kernels::gemm::tile::{by_columns, finish};
use crate::kernels::gemm::{GemmF32, PANEL};
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;

/// The token of AVX512-BF16.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Avx512Bf16(Avx512);

impl Avx512Bf16 {
    /// The token, if `level` proves the instructions.
    pub(in crate::kernels) fn from_level(level: Level) -> Option<Self> {
        Avx512::from_level(level).filter(|_| level.has_avx512_bf16()).map(Self)
    }

    /// The token of what it is beyond.
    pub(super) fn avx512(self) -> Avx512 {
        self.0
    }
}

/// Rounds `rows` rows of `k` elements, `stride` apart, to pairs: rows of [`rounded_stride`] words,
/// zeros behind the last element.
///
/// **Panics**: if a slice is too short.
pub(super) fn round_rows(
    s: Avx512Bf16,
    a: &[f32],
    (rows, k, stride): (usize, usize, usize),
    out: &mut [u32],
) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    fn enter(s: Avx512, a: &[f32], (rows, k, stride): (usize, usize, usize), out: &mut [u32]) {
        /// Words that a vector is rounded to.
        const WORDS: usize = 16 / PAIR;
        let out_stride = rounded_stride(k);
        for i in 0..rows {
            let from = &a[i * stride..][..k];
            let to = &mut out[i * out_stride..][..out_stride];
            let mut vectors = from.chunks_exact(16);
            let mut words = to.chunks_exact_mut(WORDS);
            for (vector, words) in vectors.by_ref().zip(words.by_ref()) {
                store(_mm512_cvtneps_pbh(s.load(vector)), words);
            }
            // What is left, which may be nothing, and the room behind it.
            let mut rest = vectors.remainder();
            for words in words {
                store(_mm512_cvtneps_pbh(s.load_tail(rest)), words);
                rest = &[];
            }
        }
    }
    #[target_feature(enable = "avx512f")]
    fn store(x: __m256bh, to: &mut [u32]) {
        assert!(to.len() >= 8);
        // SAFETY: the slice has room for eight words; any bits are a vector of bf16.
        unsafe { to.as_mut_ptr().cast::<__m256bh>().write_unaligned(x) };
    }
    // SAFETY: the token proves AVX-512 and AVX512-BF16.
    unsafe { enter(s.avx512(), a, (rows, k, stride), out) }
}

/// Computes a product by AVX512-BF16.
///
/// **Panics**: if `level` does not prove it, or there is no room for rounded rows.
pub(in crate::kernels) fn gemm(level: Level, gemm: &mut GemmBf16<'_>) {
    let Some(s) = Avx512Bf16::from_level(level) else { panic!("no AVX512-BF16 at this level") };
    let GemmF32 { m, k, a, a_row_stride, .. } = gemm.product;
    for first in (0..m).step_by(ROUNDED_ROWS) {
        let rows = (m - first).min(ROUNDED_ROWS);
        let a = if k > 0 { &a[first * a_row_stride..] } else { a };
        round_rows(s, a, (rows, k, a_row_stride), gemm.rounded);
        by_columns(
            s.avx512(),
            gemm,
            first..first + rows,
            |gemm| &mut gemm.product,
            |gemm, panel, left| column(s, gemm, (first, rows), panel, left),
        );
    }
}

/// Computes as many panels from `panel` on as suit the registers, and says how many.
fn column(
    s: Avx512Bf16,
    gemm: &mut GemmBf16<'_>,
    (first, len): (usize, usize),
    panel: usize,
    left: usize,
) -> usize {
    let mut row = 0;
    /// Tiles of at most `$tallest` rows; of those listed, the tallest that fits.
    macro_rules! rows {
        ($tallest:literal; $($mr:literal x $p:literal;)*) => {
            while row < len {
                let blocks = (len - row).div_ceil($tallest);
                let rows = (len - row).div_ceil(blocks);
                $(if rows >= $mr {
                    // SAFETY: the token proves AVX-512 and AVX512-BF16.
                    unsafe { tile::<$mr, $p>(s.avx512(), gemm, (first, row), panel) };
                    row += $mr;
                    continue;
                })*
            }
        };
    }
    if left > 1 {
        rows! {
            12; 12 x 2; 11 x 2; 10 x 2; 9 x 2; 8 x 2; 7 x 2; 6 x 2; 5 x 2; 4 x 2; 3 x 2; 2 x 2;
            1 x 2;
        }
        return 2;
    }
    rows! { 12; 12 x 1; 6 x 1; 4 x 1; 2 x 1; 1 x 1; }
    1
}

/// `MR` rows by `P` panels of `C`, from `row` of the rounded rows on, which begin at `first`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")]
fn tile<const MR: usize, const P: usize>(
    s: Avx512,
    GemmBf16 { product, b, rounded }: &mut GemmBf16<'_>,
    (first, row): (usize, usize),
    panel: usize,
) {
    let (pairs, stride) = (product.k.div_ceil(PAIR), rounded_stride(product.k));
    let (mut a, mut panels) = ([&[][..]; MR], [&[][..]; P]);
    for i in 0..MR {
        a[i] = &rounded[(row + i) * stride..][..pairs];
    }
    for j in 0..P {
        panels[j] = &b[(panel + j) * pairs * PANEL..][..pairs * PANEL];
    }
    let mut sums = [[s.splat(0.0); P]; MR];
    // No closure here: it would be compiled without the instructions.
    for p in 0..pairs {
        let mut words = [pairs_of(s.u32_splat(0)); P];
        for j in 0..P {
            words[j] = pairs_of(s.u32_load(&panels[j][p * PANEL..][..PANEL]));
        }
        for i in 0..MR {
            let pair = pairs_of(s.u32_splat(a[i][p]));
            for j in 0..P {
                sums[i][j] = _mm512_dpbf16_ps(sums[i][j], pair, words[j]);
            }
        }
    }
    // A copy in memory for the epilogue, which is not unrolled: the sums stay in registers.
    let tile = sums;
    finish(s, product, first + row, panel * PANEL, &tile);
}

/// Words as pairs of bf16.
#[inline(always)]
fn pairs_of(words: __m512i) -> __m512bh {
    // SAFETY: vectors of the same size, of which any bits are values.
    unsafe { core::mem::transmute(words) }
}
