//! Products with weights in bf16, packed in pairs.
//!
//! Owns [`gemm_bf16`], the ways in which a CPU computes it, and the one that every CPU has:
//! weights are widened in registers, which is exact, and multiplied with the `f32` of the other
//! operand. It reads half of the bytes that [`gemm_f32`](super::gemm_f32) reads. The other ways
//! round that operand to bf16 as well; they are for products of several rows, which are not bound by
//! the bytes of their weights.
#![allow(clippy::needless_range_loop, reason = "an index says which lane, row or dimension")]

use super::tile::{by_columns, finish};
use super::{GemmF32, PANEL, begin};
use crate::kernels::bf16::{PAIR, packed_pairs_len};
use crate::kernels::isa::{Level, Tiles};
use crate::kernels::simd::{Simd, Vectorized};

#[cfg(test)]
mod tests;

/// Rows that are rounded, and multiplied, at a time.
pub const ROUNDED_ROWS: usize = 64;

/// Words in a rounded row begin and end on these: 64 bytes, the row of a tile.
pub(in crate::kernels) const LINE: usize = 16;

/// A [`GemmF32`] whose `B` is bf16 in pairs.
#[derive(Debug)]
pub struct GemmBf16<'a> {
    /// The product, but for `B`: its slice and strides are not looked at.
    pub product: GemmF32<'a>,
    /// `B`, as [`pack_pairs`](crate::kernels::bf16::pack_pairs) writes it.
    pub b: &'a [u32],
    /// Room for rounded rows of `A`: [`rounded_len`] words, or none where nothing is rounded.
    pub rounded: &'a mut [u32],
}

/// How a product with weights in bf16 is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Weights are widened to `f32`: exact in the other operand.
    Widened,
    /// Pairs are multiplied by AVX512-BF16; the other operand is rounded.
    Avx512Bf16,
    /// Tiles are multiplied by AMX; the other operand is rounded.
    Amx,
}

impl Way {
    /// The way for a product of `rows` rows at a level.
    ///
    /// A product of one row waits for its weights, whichever way it takes; then it can as well be
    /// exact. From two rows on, pairs take half of the time of f32 (`benches/record/bf16.md`).
    #[inline]
    pub const fn new(level: Level, rows: usize) -> Self {
        if matches!(level.tiles(), Tiles::Allowed) && rows >= Self::AMX_ROWS {
            Self::Amx
        } else if level.has_avx512_bf16() && rows >= Self::AVX512_BF16_ROWS {
            Self::Avx512Bf16
        } else {
            Self::Widened
        }
    }

    /// Fewest rows for AVX512-BF16.
    pub const AVX512_BF16_ROWS: usize = 2;

    /// Fewest rows for AMX: tiles hold 16, and loading them for a few does not pay. Where exactly it
    /// begins to has not been measured.
    pub const AMX_ROWS: usize = 12;

    /// Its short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Widened => "widened",
            Self::Avx512Bf16 => "avx512bf16",
            Self::Amx => "amx",
        }
    }
}

/// Words of a row of `k` elements once it is rounded.
pub(in crate::kernels) const fn rounded_stride(k: usize) -> usize {
    k.div_ceil(PAIR).next_multiple_of(LINE)
}

/// Words that rounding takes in a product of at most `m` rows: none where they are so few that no
/// way rounds them.
///
/// Returns `None` where that exceeds the address space.
pub const fn rounded_len(m: usize, k: usize) -> Option<usize> {
    if m < Way::AVX512_BF16_ROWS && m < Way::AMX_ROWS {
        return Some(0);
    }
    let rows = if m < ROUNDED_ROWS { m.next_multiple_of(LINE) } else { ROUNDED_ROWS };
    match k.checked_add(PAIR * LINE) {
        Some(_) => rounded_stride(k).checked_mul(rows),
        None => None,
    }
}

/// Computes a [`GemmBf16`] in the way that suits `level` and the number of rows.
///
/// **Shapes and units**: as the structs say; `m`, `n` or `k` may be zero. `s` is of the
/// instruction set of `level`.
///
/// **Panics**: if a slice is too short for its shape and strides, or rows of `C` overlap.
///
/// **Cost**: `m n k` multiply-adds, no allocation. Each panel of `B` is read once for every
/// eight rows or more, once in all for one row.
pub fn gemm_bf16<S: Simd>(s: S, level: Level, gemm: GemmBf16<'_>) {
    gemm_bf16_by(Way::new(level, gemm.product.m), s, level, gemm);
}

/// [`gemm_bf16`] in a given way.
///
/// **Panics**: as there; if `level` does not have the way; if there is no room for rounded rows.
pub fn gemm_bf16_by<S: Simd>(way: Way, s: S, level: Level, mut gemm: GemmBf16<'_>) {
    let GemmF32 { n, k, .. } = gemm.product;
    if !begin(&gemm.product) {
        return;
    }
    assert!(packed_pairs_len(k, n).is_some_and(|len| gemm.b.len() >= len), "B is too short");
    match way {
        #[cfg(target_arch = "x86_64")]
        Way::Amx => crate::kernels::x86_64::amx::gemm(level, &mut gemm),
        #[cfg(target_arch = "x86_64")]
        Way::Avx512Bf16 => crate::kernels::x86_64::avx512_bf16::gemm(level, &mut gemm),
        _ => {
            let _ = level;
            widened(s, &mut gemm);
        }
    }
}

/// `MR` rows by `P` panels of `C`, which are `NV` vectors a row. Pairs of rows of `B` are taken
/// `KP` at a time; the sum over `k` is split into `CH` chains, so that few rows still keep enough
/// multiply-adds in flight.
struct Tile<
    't,
    'g,
    const MR: usize,
    const P: usize,
    const NV: usize,
    const KP: usize,
    const CH: usize,
> {
    gemm: &'t mut GemmBf16<'g>,
    row: usize,
    panel: usize,
}

impl<const MR: usize, const P: usize, const NV: usize, const KP: usize, const CH: usize> Vectorized
    for Tile<'_, '_, MR, P, NV, KP, CH>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        debug_assert!(NV * S::LANES == P * PANEL);
        let Self { gemm: GemmBf16 { product, b, .. }, row, panel } = self;
        let k = product.k;
        let mut sums = [[[s.splat(0.0); NV]; MR]; CH];

        if k > 0 {
            let len = k.div_ceil(PAIR) * PANEL;
            let (mut a, mut rest) = ([&[][..]; MR], [&[][..]; P]);
            for i in 0..MR {
                a[i] = &product.a[(row + i) * product.a_row_stride..][..k];
            }
            for j in 0..P {
                rest[j] = &b[(panel + j) * len..][..len];
            }
            let (mut block, mut p) = ([&[][..]; P], 0);
            while p + PAIR * KP <= k {
                for j in 0..P {
                    (block[j], rest[j]) = rest[j].split_at(PANEL * KP);
                }
                for c in 0..KP {
                    let mut rows = [&[][..]; P];
                    for j in 0..P {
                        rows[j] = &block[j][c * PANEL..][..PANEL];
                    }
                    let mut x = [[0.0; PAIR]; MR];
                    for i in 0..MR {
                        x[i] = [a[i][p + PAIR * c], a[i][p + PAIR * c + 1]];
                    }
                    step::<S, MR, P, NV, CH>(s, &mut sums, PAIR * c, x, rows);
                }
                p += PAIR * KP;
            }
            while p < k {
                let mut x = [[0.0; PAIR]; MR];
                for i in 0..MR {
                    // Behind an odd number of columns there is a zero.
                    let pair = &a[i][p..k.min(p + PAIR)];
                    x[i][..pair.len()].copy_from_slice(pair);
                }
                for j in 0..P {
                    (block[j], rest[j]) = rest[j].split_at(PANEL);
                }
                step::<S, MR, P, NV, CH>(s, &mut sums, p, x, block);
                p += PAIR;
            }
        }
        // A copy in memory for the epilogue, which is not unrolled: the sums stay in registers.
        let mut tile = sums[0];
        for i in 0..MR {
            for v in 0..NV {
                let mut sum = sums[0][i][v];
                for c in 1..CH {
                    sum = s.add(sum, sums[c][i][v]);
                }
                tile[i][v] = sum;
            }
        }
        finish(s, product, row, panel * PANEL, &tile);
    }
}

/// Adds the products of a pair of columns of `a` with a pair of rows of the panels, to the chains
/// from `chain` on.
#[inline(always)]
fn step<S: Simd, const MR: usize, const P: usize, const NV: usize, const CH: usize>(
    s: S,
    sums: &mut [[[S::F32; NV]; MR]; CH],
    chain: usize,
    x: [[f32; PAIR]; MR],
    rows: [&[u32]; P],
) {
    let upper = s.u32_splat(0xffff_0000);
    let mut words = [upper; NV];
    for v in 0..NV {
        let at = v * S::LANES;
        words[v] = s.u32_load(&rows[at / PANEL][at % PANEL..]);
    }
    for h in 0..PAIR {
        let mut b = [s.splat(0.0); NV];
        for v in 0..NV {
            let bits = match h {
                0 => s.u32_shl::<16>(words[v]),
                _ => s.u32_and(words[v], upper),
            };
            b[v] = s.from_bits(bits);
        }
        let sums = &mut sums[(chain + h) % CH];
        for i in 0..MR {
            let x = s.splat(x[i][h]);
            for v in 0..NV {
                sums[i][v] = s.mul_add_relaxed(x, b[v], sums[i][v]);
            }
        }
    }
}

fn widened<S: Simd>(s: S, gemm: &mut GemmBf16<'_>) {
    let rows = 0..gemm.product.m;
    by_columns(
        s,
        gemm,
        rows,
        |gemm| &mut gemm.product,
        |gemm, panel, left| column(s, gemm, panel, left),
    );
}

/// Computes as many panels from `panel` on as suit the number of rows, and says how many: blocks of
/// rows are as tall as the registers allow, and about equally tall.
fn column<S: Simd>(s: S, gemm: &mut GemmBf16<'_>, panel: usize, left: usize) -> usize {
    let m = gemm.product.m;
    let mut row = 0;
    /// Tiles of at most `$tallest` rows; of those listed, the tallest that fits.
    macro_rules! rows {
        ($tallest:literal; $($mr:literal x $p:literal, $nv:literal, $kp:literal, $ch:literal;)*) => {
            while row < m {
                let blocks = (m - row).div_ceil($tallest);
                let rows = (m - row).div_ceil(blocks);
                $(if rows >= $mr {
                    s.vectorize(Tile::<$mr, $p, $nv, $kp, $ch> { gemm, row, panel });
                    row += $mr;
                    continue;
                })*
            }
        };
    }
    match S::LANES {
        16 => match (m, left) {
            (1, _) => {
                rows! { 1; 1 x 1, 1, 4, 8; }
                1
            }
            (_, 2..) => {
                // Taller tiles do not stay in registers, with two more for each vector of `B`.
                rows! {
                    8; 8 x 2, 2, 1, 1; 7 x 2, 2, 1, 1; 6 x 2, 2, 1, 1; 5 x 2, 2, 1, 1;
                    4 x 2, 2, 1, 1; 3 x 2, 2, 1, 2; 2 x 2, 2, 1, 2; 1 x 2, 2, 2, 4;
                }
                2
            }
            _ => {
                rows! {
                    12; 12 x 1, 1, 1, 1; 6 x 1, 1, 1, 2; 4 x 1, 1, 1, 2; 2 x 1, 1, 2, 4;
                    1 x 1, 1, 4, 8;
                }
                1
            }
        },
        8 => {
            rows! {
                5; 5 x 1, 2, 1, 1; 4 x 1, 2, 1, 1; 3 x 1, 2, 1, 1; 2 x 1, 2, 1, 2; 1 x 1, 2, 2, 4;
            }
            1
        }
        4 => {
            rows! {
                5; 5 x 1, 4, 1, 1; 4 x 1, 4, 1, 1; 3 x 1, 4, 1, 1; 2 x 1, 4, 1, 1; 1 x 1, 4, 1, 2;
            }
            1
        }
        _ => {
            rows! { 2; 2 x 1, 16, 1, 1; 1 x 1, 16, 1, 1; }
            1
        }
    }
}
