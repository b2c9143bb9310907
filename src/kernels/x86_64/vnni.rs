//! Products of fours of bytes by `vpdpbusd`: AVX512-VNNI.
//!
//! The instruction multiplies unsigned bytes with signed ones; rows of signed bytes have their top
//! bits flipped in registers.
#![allow(clippy::needless_range_loop, reason = "an index says which row, panel or chain")]

use core::arch::x86_64::*;

use super::Avx512;
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::finish::Finish;
use crate::kernels::gemm::int8::{GemmI8, last_word};
use crate::kernels::int8::QUAD;
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;

/// The token of AVX512-VNNI.
#[derive(Clone, Copy, Debug)]
struct Avx512Vnni(Avx512);

impl Avx512Vnni {
    fn from_level(level: Level) -> Option<Self> {
        Avx512::from_level(level).filter(|_| level.has_avx512_vnni()).map(Self)
    }
}

/// Computes a product by AVX512-VNNI; `s` finishes it.
///
/// **Panics**: if `level` does not prove it.
pub(in crate::kernels) fn gemm<S: Simd>(s: S, level: Level, gemm: &mut GemmI8<'_>) {
    let Some(token) = Avx512Vnni::from_level(level) else { panic!("no AVX512-VNNI at this level") };
    let panels = gemm.n.div_ceil(PANEL);
    let mut panel = 0;
    while panel < panels {
        panel += column(s, token, gemm, panel, panels - panel);
    }
}

/// Computes as many panels from `panel` on as suit the registers, and says how many.
fn column<S: Simd>(
    s: S,
    token: Avx512Vnni,
    gemm: &mut GemmI8<'_>,
    panel: usize,
    left: usize,
) -> usize {
    let mut row = 0;
    /// Tiles of at most `$tallest` rows; of those listed, the tallest that fits.
    macro_rules! rows {
        ($panels:literal, $tallest:literal; $($mr:literal in $ch:literal),*) => {{
            while row < gemm.m {
                let blocks = (gemm.m - row).div_ceil($tallest);
                let rows = (gemm.m - row).div_ceil(blocks);
                $(if rows >= $mr {
                    Tile::<$mr, $panels, $ch>::compute(s, token, gemm, row, panel);
                    row += $mr;
                    continue;
                })*
            }
            $panels
        }};
    }
    match (gemm.m, left) {
        (1, 4..) => rows! { 4, 1; 1 in 2 },
        (..=6, 4..) => rows! { 4, 6; 6 in 1, 5 in 1, 4 in 1, 3 in 1, 2 in 1, 1 in 2 },
        (_, 2..) => rows! {
            2, 12; 12 in 1, 11 in 1, 10 in 1, 9 in 1, 8 in 1, 7 in 1, 6 in 1, 5 in 1, 4 in 1,
            3 in 1, 2 in 2, 1 in 4
        },
        _ => rows! { 1, 12; 12 in 1, 6 in 1, 4 in 1, 2 in 4, 1 in 8 },
    }
}

/// `MR` rows by `P` panels; the sum over `k` is split into `CH` chains, so that few rows still
/// keep enough instructions in flight.
struct Tile<const MR: usize, const P: usize, const CH: usize>;

impl<const MR: usize, const P: usize, const CH: usize> Tile<MR, P, CH> {
    fn compute<S: Simd>(s: S, token: Avx512Vnni, gemm: &mut GemmI8<'_>, row: usize, panel: usize) {
        // SAFETY: the token proves AVX-512 and AVX512-VNNI.
        let sums = unsafe { Self::sums(token.0, gemm, row, panel) };
        let len = MR * P * PANEL;
        // SAFETY: a vector is 16 integers.
        let sums = unsafe { core::slice::from_raw_parts(sums.as_ptr().cast::<i32>(), len) };
        let (_, shift) = gemm.unsigned();
        s.vectorize(Finish {
            gemm,
            row,
            rows: MR,
            panel,
            panels: P,
            sums,
            stride: P * PANEL,
            shift,
        });
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
    fn sums(s: Avx512, gemm: &GemmI8<'_>, row: usize, panel: usize) -> [[__m512i; P]; MR] {
        let (quads, rest) = (gemm.k / QUAD, gemm.k % QUAD);
        let (mut a, mut b) = ([&[][..]; MR], [&[][..]; P]);
        let (mut last_a, mut last_b) = ([0; MR], [&[][..]; P]);
        for i in 0..MR {
            let (words, last) = gemm.row(row + i).as_chunks::<QUAD>();
            (a[i], last_a[i]) = (&words[..quads], last_word(last));
        }
        for j in 0..P {
            (b[j], last_b[j]) = gemm.panel(panel + j).split_at(quads * PANEL);
        }
        let flip = s.u32_splat(gemm.unsigned().0);
        let mut sums = [[[s.u32_splat(0); P]; MR]; CH];
        // No closure here: it would be compiled without the instructions.
        let mut q = 0;
        while q + CH <= quads {
            for c in 0..CH {
                let (mut x, mut words) = ([flip; MR], [flip; P]);
                for j in 0..P {
                    words[j] = s.u32_load(&b[j][(q + c) * PANEL..][..PANEL]);
                }
                for i in 0..MR {
                    x[i] = s.u32_xor(s.u32_splat(u32::from_le_bytes(a[i][q + c])), flip);
                    for j in 0..P {
                        sums[c][i][j] = _mm512_dpbusd_epi32(sums[c][i][j], x[i], words[j]);
                    }
                }
            }
            q += CH;
        }
        // Each four that is left to a chain of its own.
        for c in 0..CH {
            if q < quads {
                for i in 0..MR {
                    let x = s.u32_xor(s.u32_splat(u32::from_le_bytes(a[i][q])), flip);
                    for j in 0..P {
                        let words = s.u32_load(&b[j][q * PANEL..][..PANEL]);
                        sums[c][i][j] = _mm512_dpbusd_epi32(sums[c][i][j], x, words);
                    }
                }
                q += 1;
            }
        }
        if rest > 0 {
            for i in 0..MR {
                let x = s.u32_xor(s.u32_splat(last_a[i]), flip);
                for j in 0..P {
                    let words = s.u32_load(last_b[j]);
                    sums[0][i][j] = _mm512_dpbusd_epi32(sums[0][i][j], x, words);
                }
            }
        }
        let mut tile = sums[0];
        for i in 0..MR {
            for j in 0..P {
                for c in 1..CH {
                    tile[i][j] = s.u32_add(tile[i][j], sums[c][i][j]);
                }
            }
        }
        tile
    }
}
