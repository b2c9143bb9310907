//! Products of fours of bytes by `vpdpbusd`: AVX512-VNNI, and AVX-VNNI on 256 bits.
//!
//! The instruction multiplies unsigned bytes with signed ones; rows of signed bytes are copied with
//! their top bits flipped.
#![allow(clippy::needless_range_loop, reason = "an index says which row, panel, part or chain")]

use core::arch::x86_64::*;
use core::slice;

use super::{Avx2, Avx512};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::finish::{Finish, distances};
use crate::kernels::gemm::int8::{GemmI8, PREPARED_ROWS, Windows, last_word};
use crate::kernels::int8::QUAD;
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;

/// A token of the instruction.
trait Dots: Copy {
    /// The instruction set whose vectors it works on.
    type S: Simd;

    fn simd(self) -> Self::S;

    /// `sum` with the products of four unsigned bytes and four signed ones added to each word.
    fn dot(self, sum: Words<Self>, x: Words<Self>, weights: Words<Self>) -> Words<Self>;

    /// Computes as many panels from `panel` on, of those `left`, as suit the registers, and says
    /// how many.
    fn column(self, gemm: &mut GemmI8<'_>, rows: Rows<'_>, panel: usize, left: usize) -> usize;
}

/// A vector of words.
type Words<D> = <<D as Dots>::S as Simd>::U32;

/// Rows that are multiplied together: `len` from row `first` of the product on.
#[derive(Clone, Copy)]
struct Rows<'r> {
    first: usize,
    len: usize,
    /// Whether they are in the scratch.
    prepared: bool,
    distances: &'r [i32],
}

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

/// The token of AVX-VNNI.
#[derive(Clone, Copy, Debug)]
struct AvxVnni(Avx2);

impl AvxVnni {
    fn from_level(level: Level) -> Option<Self> {
        Avx2::from_level(level).filter(|_| level.has_avx_vnni()).map(Self)
    }
}

/// Computes the panels of one column of tiles: of the heights listed, each with the number of its
/// chains, the tallest that fits.
macro_rules! tiles {
    ($tile:ident, $token:expr, $gemm:expr, $rows:expr, $panel:expr;
        $panels:literal; $($mr:literal in $ch:literal),*) => {{
        let mut row = 0;
        while row < $rows.len {
            $(if $rows.len - row >= $mr {
                // SAFETY: the token proves the instructions.
                // All rows were checked to be inside, and prepared ones fill the scratch.
                let sums = unsafe { $tile::<$mr, $panels, $ch>($token, $gemm, $rows, row, $panel) };
                finish($token, $gemm, &$rows, row, $panel, &sums);
                row += $mr;
                continue;
            })*
        }
        $panels
    }};
}

impl Dots for Avx512Vnni {
    type S = Avx512;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, x: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: the token proves it.
        unsafe { _mm512_dpbusd_epi32(sum, x, weights) }
    }

    fn column(self, gemm: &mut GemmI8<'_>, rows: Rows<'_>, panel: usize, left: usize) -> usize {
        match (rows.len, left) {
            (1, 4..) => tiles! { tile_512, self, gemm, rows, panel; 4; 1 in 4 },
            (_, 4..) => tiles! {
                tile_512, self, gemm, rows, panel;
                4; 6 in 1, 5 in 1, 4 in 1, 3 in 1, 2 in 1, 1 in 4
            },
            (_, 2..) => tiles! {
                tile_512, self, gemm, rows, panel;
                2; 12 in 1, 11 in 1, 10 in 1, 9 in 1, 8 in 1, 7 in 1, 6 in 1, 5 in 1, 4 in 1,
                3 in 1, 2 in 2, 1 in 4
            },
            _ => tiles! {
                tile_512, self, gemm, rows, panel; 1; 12 in 1, 6 in 1, 4 in 1, 2 in 4, 1 in 8
            },
        }
    }
}

/// [`tile`] with the instructions of [`Avx512Vnni`].
///
/// # Safety
/// As there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
unsafe fn tile_512<const MR: usize, const P: usize, const CH: usize>(
    token: Avx512Vnni,
    gemm: &GemmI8<'_>,
    rows: Rows<'_>,
    row: usize,
    panel: usize,
) -> [[[__m512i; 1]; P]; MR] {
    // SAFETY: as the caller promises.
    unsafe { tile::<_, 1, MR, P, CH>(token, gemm, rows, row, panel) }
}

impl Dots for AvxVnni {
    type S = Avx2;

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self.0
    }

    #[inline(always)]
    fn dot(self, sum: __m256i, x: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: the token proves it.
        unsafe { _mm256_dpbusd_avx_epi32(sum, x, weights) }
    }

    // Of sixteen registers twelve are sums, two hold a panel.
    fn column(self, gemm: &mut GemmI8<'_>, rows: Rows<'_>, panel: usize, left: usize) -> usize {
        match (rows.len, left) {
            (1, 4..) => tiles! { tile_256, self, gemm, rows, panel; 4; 1 in 1 },
            (2, 2..) => tiles! { tile_256, self, gemm, rows, panel; 2; 2 in 1 },
            _ => tiles! {
                tile_256, self, gemm, rows, panel; 1; 6 in 1, 5 in 1, 4 in 1, 3 in 1, 2 in 2, 1 in 4
            },
        }
    }
}

/// [`tile`] with the instructions of [`AvxVnni`].
///
/// # Safety
/// As there.
#[target_feature(enable = "avxvnni,avx2,fma")]
unsafe fn tile_256<const MR: usize, const P: usize, const CH: usize>(
    token: AvxVnni,
    gemm: &GemmI8<'_>,
    rows: Rows<'_>,
    row: usize,
    panel: usize,
) -> [[[__m256i; 2]; P]; MR] {
    // SAFETY: as the caller promises.
    unsafe { tile::<_, 2, MR, P, CH>(token, gemm, rows, row, panel) }
}

/// Computes a product by AVX512-VNNI, or by AVX-VNNI.
///
/// **Panics**: if `level` proves neither.
pub(in crate::kernels) fn gemm(level: Level, gemm: &mut GemmI8<'_>) {
    if let Some(token) = Avx512Vnni::from_level(level) {
        multiply(token, gemm);
    } else if let Some(token) = AvxVnni::from_level(level) {
        multiply(token, gemm);
    } else {
        panic!("no VNNI at this level");
    }
}

fn multiply<D: Dots>(token: D, gemm: &mut GemmI8<'_>) {
    let panels = gemm.n.div_ceil(PANEL);
    // Rows are read through pointers.
    gemm.check_rows();
    for first in (0..gemm.m).step_by(PREPARED_ROWS) {
        let len = (gemm.m - first).min(PREPARED_ROWS);
        let prepared = gemm.k > 0 && (gemm.a_grid.signed || !gemm.k.is_multiple_of(QUAD));
        if prepared {
            flip_rows(gemm, first, len);
        }
        let distances: [_; PREPARED_ROWS] = distances(token.simd(), gemm, first, len);
        let (rows, mut panel) = (Rows { first, len, prepared, distances: &distances }, 0);
        while panel < panels {
            panel += token.column(gemm, rows, panel, panels - panel);
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

fn finish<D: Dots, const H: usize, const MR: usize, const P: usize>(
    token: D,
    gemm: &mut GemmI8<'_>,
    rows: &Rows<'_>,
    row: usize,
    panel: usize,
    sums: &[[[Words<D>; H]; P]; MR],
) {
    const { assert!(H * D::S::LANES == PANEL) };
    // SAFETY: the vectors of a panel are that many integers.
    let sums = unsafe { slice::from_raw_parts(sums.as_ptr().cast(), MR * P * PANEL) };
    let (_, shift) = gemm.unsigned();
    token.simd().vectorize(Finish {
        gemm,
        row: rows.first + row,
        rows: MR,
        panel,
        panels: P,
        sums,
        stride: P * PANEL,
        shift,
        distances: &rows.distances[row..],
    });
}

/// `MR` rows by `P` panels of `H` vectors; the sum over `k` is split into `CH` chains, so that few
/// rows still keep enough instructions in flight.
///
/// # Safety
/// The rows are inside `A`, or are prepared.
#[inline(always)]
unsafe fn tile<D: Dots, const H: usize, const MR: usize, const P: usize, const CH: usize>(
    token: D,
    gemm: &GemmI8<'_>,
    Rows { first, prepared, .. }: Rows<'_>,
    row: usize,
    panel: usize,
) -> [[[Words<D>; H]; P]; MR] {
    let s = token.simd();
    let (data, walk, row) = if prepared {
        let len = gemm.k.next_multiple_of(QUAD);
        (bytes(gemm.scratch), Windows::rows(len, len), row)
    } else {
        (gemm.a, gemm.walk(), first + row)
    };
    let begins = walk.begins::<MR>(row);
    let quads = walk.run.div_ceil(QUAD);
    let mut sums = [[[[s.u32_splat(0); H]; P]; MR]; CH];
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
                    let (lines, behind) = panels[j].split_at(quads * PANEL);
                    (b[j], panels[j]) = (lines.as_chunks::<PANEL>().0, behind);
                }
                /// Adds the products of four columns of `A` with four rows of the panels to a chain. A
                /// function would keep the sums in memory.
                macro_rules! step {
                    ($chain:expr, $q:expr) => {
                        let mut words = [[s.u32_splat(0); H]; P];
                        for j in 0..P {
                            let line: &[u32; PANEL] = &b[j][$q];
                            for h in 0..H {
                                words[j][h] = s.u32_load(&line[h * D::S::LANES..]);
                            }
                        }
                        for i in 0..MR {
                            // SAFETY: a run of a row, whose bytes are inside as the caller has checked.
                            let x = unsafe { a[i].cast::<u32>().add($q).read_unaligned() };
                            let x = s.u32_splat(x);
                            for j in 0..P {
                                for h in 0..H {
                                    let sum = &mut sums[$chain][i][j][h];
                                    *sum = token.dot(*sum, x, words[j][h]);
                                }
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
            for h in 0..H {
                for c in 1..CH {
                    tile[i][j][h] = s.u32_add(tile[i][j][h], sums[c][i][j][h]);
                }
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
