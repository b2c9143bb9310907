//! Products of fours of bytes by `vpdpbusd`: AVX512-VNNI.
//!
//! The instruction multiplies unsigned bytes with signed ones; rows of signed bytes are copied with
//! their top bits flipped.
#![allow(clippy::needless_range_loop, reason = "an index says which row, panel or chain")]

use core::arch::x86_64::*;
use core::slice;

use super::Avx512;
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::finish::Finish;
use crate::kernels::gemm::int8::{GemmI8, PREPARED_ROWS, Windows, last_word};
use crate::kernels::int8::QUAD;
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;

/// The token of AVX512-VNNI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512Vnni(Avx512);

impl Avx512Vnni {
    pub(super) fn from_level(level: Level) -> Option<Self> {
        Avx512::from_level(level).filter(|_| level.has_avx512_vnni()).map(Self)
    }

    /// The token of what it is beyond.
    pub(super) fn avx512(self) -> Avx512 {
        self.0
    }
}

/// Computes a product by AVX512-VNNI.
///
/// **Panics**: if `level` does not prove it.
pub(in crate::kernels) fn gemm(level: Level, gemm: &mut GemmI8<'_>) {
    let Some(s) = Avx512Vnni::from_level(level) else { panic!("no AVX512-VNNI at this level") };
    let panels = gemm.n.div_ceil(PANEL);
    // Rows are read through pointers.
    gemm.check_rows();
    for first in (0..gemm.m).step_by(PREPARED_ROWS) {
        let rows = (gemm.m - first).min(PREPARED_ROWS);
        let prepared = gemm.k > 0 && (gemm.a_grid.signed || !gemm.k.is_multiple_of(QUAD));
        if prepared {
            flip_rows(gemm, first, rows);
        }
        let mut panel = 0;
        while panel < panels {
            panel += column(s, gemm, (first, rows, prepared), panel, panels - panel);
        }
    }
}

/// Writes rows as words of unsigned bytes, padded with what zeros of `B` are multiplied with.
fn flip_rows(gemm: &mut GemmI8<'_>, first: usize, rows: usize) {
    let (quads, (flip, _)) = (gemm.k.div_ceil(QUAD), gemm.unsigned());
    let walk = gemm.walk();
    for i in 0..rows {
        let mut to = &mut gemm.scratch[i * quads..][..quads];
        let [begin] = walk.begins(first + i);
        for offset in walk.offsets() {
            let (words, last) = gemm.a[begin + offset..][..walk.run].as_chunks::<QUAD>();
            for (word, to) in words.iter().zip(&mut *to) {
                *to = u32::from_le_bytes(*word) ^ flip;
            }
            to = &mut to[words.len()..];
            // Behind the last run alone.
            if !last.is_empty()
                && let [to, ..] = to
            {
                *to = last_word(last) ^ flip;
            }
        }
    }
}

/// Computes as many panels from `panel` on as suit the registers, and says how many. There are
/// `len` rows from `first` on, which may be prepared.
fn column(
    s: Avx512Vnni,
    gemm: &mut GemmI8<'_>,
    (first, len, prepared): (usize, usize, bool),
    panel: usize,
    left: usize,
) -> usize {
    let mut row = 0;
    /// Tiles of the tallest of those listed that fits.
    macro_rules! rows {
        ($panels:literal; $($mr:literal in $ch:literal),*) => {{
            while row < len {
                $(if len - row >= $mr {
                    // SAFETY: the token proves AVX-512 and AVX512-VNNI.
                    // All rows were checked to be inside, and prepared ones fill the scratch.
                    let sums = unsafe {
                        tile::<$mr, $panels, $ch>(s.0, gemm, (first, row, prepared), panel)
                    };
                    finish(s, gemm, first + row, panel, &sums);
                    row += $mr;
                    continue;
                })*
            }
            $panels
        }};
    }
    match (len, left) {
        (1, 4..) => rows! { 4; 1 in 4 },
        (..=6, 4..) => rows! { 4; 6 in 1, 5 in 1, 4 in 1, 3 in 1, 2 in 1 },
        (_, 2..) => rows! {
            2; 12 in 1, 11 in 1, 10 in 1, 9 in 1, 8 in 1, 7 in 1, 6 in 1, 5 in 1, 4 in 1, 3 in 1,
            2 in 2, 1 in 4
        },
        _ => rows! { 1; 12 in 1, 6 in 1, 4 in 1, 2 in 4, 1 in 8 },
    }
}

fn finish<const MR: usize, const P: usize>(
    s: Avx512Vnni,
    gemm: &mut GemmI8<'_>,
    row: usize,
    panel: usize,
    sums: &[[__m512i; P]; MR],
) {
    // SAFETY: a vector is 16 integers.
    let sums = unsafe { slice::from_raw_parts(sums.as_ptr().cast(), MR * P * PANEL) };
    let (stride, (_, shift)) = (P * PANEL, gemm.unsigned());
    s.0.vectorize(Finish { gemm, row, rows: MR, panel, panels: P, sums, stride, shift });
}

/// `MR` rows by `P` panels; the sum over `k` is split into `CH` chains, so that few rows still
/// keep enough instructions in flight.
///
/// # Safety
/// The rows are inside `A`, or are prepared.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
unsafe fn tile<const MR: usize, const P: usize, const CH: usize>(
    s: Avx512,
    gemm: &GemmI8<'_>,
    (first, row, prepared): (usize, usize, bool),
    panel: usize,
) -> [[__m512i; P]; MR] {
    let (data, walk, row) = if prepared {
        let len = gemm.k.next_multiple_of(QUAD);
        (bytes(gemm.scratch), Windows::rows(len, len), row)
    } else {
        (gemm.a, gemm.walk(), first + row)
    };
    let begins = walk.begins::<MR>(row);
    let quads = walk.run.div_ceil(QUAD);
    let mut sums = [[[s.u32_splat(0); P]; MR]; CH];
    let mut panels = [&[][..]; P];
    for j in 0..P {
        panels[j] = gemm.panel(panel + j);
    }
    let (Windows { runs, apart, .. }, all) = (walk, usize::from(gemm.k > 0));
    for plane in 0..runs[0] * all {
        for line in 0..runs[1] {
            for run in 0..runs[2] {
                let offset = plane * apart[0] + line * apart[1] + run * apart[2];
                let (mut a, mut b) = ([data.as_ptr(); MR], [&[][..]; P]);
                for i in 0..MR {
                    a[i] = data.as_ptr().wrapping_add(begins[i] + offset);
                }
                for j in 0..P {
                    (b[j], panels[j]) = panels[j].split_at(quads * PANEL);
                }
                /// Adds the products of four columns of `A` with four rows of the panels to a chain. A
                /// function would keep the sums in memory.
                macro_rules! step {
                    ($chain:expr, $q:expr) => {
                        let mut words = [s.u32_splat(0); P];
                        for j in 0..P {
                            words[j] = s.u32_load(&b[j][$q * PANEL..][..PANEL]);
                        }
                        for i in 0..MR {
                            // SAFETY: a run of a row, whose bytes are inside as the caller has checked.
                            let x = unsafe { a[i].cast::<u32>().add($q).read_unaligned() };
                            let x = s.u32_splat(x);
                            for j in 0..P {
                                let sum = &mut sums[$chain][i][j];
                                *sum = _mm512_dpbusd_epi32(*sum, x, words[j]);
                            }
                        }
                    };
                }
                let mut q = 0;
                while q + CH <= quads {
                    for c in 0..CH {
                        step!(c, q + c);
                    }
                    q += CH;
                }
                // Each four that is left to a chain of its own.
                for c in 0..CH {
                    if q < quads {
                        step!(c, q);
                        q += 1;
                    }
                }
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

/// The bytes of words.
#[inline(always)]
fn bytes(words: &[u32]) -> &[u8] {
    // SAFETY: the same memory, of which any bits are bytes.
    unsafe { slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}
