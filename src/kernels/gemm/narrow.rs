//! Products of `f32` with weights of eight or four bits.
//!
//! Owns [`gemm_narrow`] and the ways in which a CPU computes it. All read a quarter or an eighth of
//! the bytes that [`gemm_f32`] reads. Where nothing multiplies bytes, weights are
//! widened to `f32`, which is exact, less their zero point, which is exact too, and a sum over the
//! rows that share a scale is multiplied with it once: in registers, in every tile again, or written
//! out for many rows. Where there is an instruction for bytes, the other operand is taken apart
//! instead ([`digits`]).
#![allow(clippy::needless_range_loop, reason = "an index says which lane, row or dimension")]

use super::tile::{by_columns, finish};
use super::{Bias, GemmF32, PANEL, begin, gemm_f32};
use crate::kernels::isa::Level;
use crate::kernels::narrow::{Bits, NarrowWeights, block_len};
use crate::kernels::simd::{Simd, Vectorized};

pub mod digits;
#[cfg(test)]
mod tests;

use digits::{DIGIT_ROWS, Rows};

/// A [`GemmF32`] whose `B` has eight or four bits.
#[derive(Debug)]
pub struct GemmNarrow<'a> {
    /// The product, but for `B`: its slice and strides are not looked at.
    pub product: GemmF32<'a>,
    /// `B`.
    pub weights: NarrowWeights<'a>,
    /// Room for panels written out: [`unpacked_len`] elements, or none where nothing is.
    pub unpacked: &'a mut [f32],
    /// Room for digits: [`digits_len`](digits::digits_len) bytes, and floats for what belongs to
    /// them.
    pub digits: (&'a mut [u8], &'a mut [f32]),
}

/// How a product with weights of few bits is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Weights are widened in registers.
    Widened,
    /// Weights are written out as `f32`, some panels at a time.
    WrittenOut,
    /// Rows are taken apart into digits that AVX512-VNNI multiplies; those that would lose by it
    /// are multiplied with widened weights.
    Digits,
}

impl Way {
    /// The way for a product of `rows` rows, each a sum of `k` in blocks of `block`, at a level.
    ///
    /// Digits count in steps of a row's largest element: they are not for sums of a few, which may be
    /// of numbers of any kind that a model is given. Nor are they for many rows and short blocks,
    /// at whose ends three sums are to be put together (`benches/record/weight-only.md`).
    pub const fn new(level: Level, rows: usize, k: usize, block: usize) -> Self {
        let long = block >= Self::LONG_BLOCK || rows < Self::MANY_ROWS;
        if level.has_avx512_vnni() && k >= Self::FEWEST_DIGITS && long {
            Self::Digits
        } else if rows >= UNPACKED_ROWS {
            Self::WrittenOut
        } else {
            Self::Widened
        }
    }

    /// Fewest elements in a row that is taken apart.
    pub const FEWEST_DIGITS: usize = 64;

    /// Fewest rows for which short blocks are written out, and the shortest that are not short.
    const MANY_ROWS: usize = 32;
    const LONG_BLOCK: usize = 128;

    /// Its short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Widened => "widened",
            Self::WrittenOut => "written out",
            Self::Digits => "digits",
        }
    }
}

/// Panels that are written out at a time.
const UNPACKED_PANELS: usize = 2;

/// Fewest rows for which panels are written out.
pub const UNPACKED_ROWS: usize = 12;

/// Elements of the panels that a product of at most `m` rows writes out.
///
/// Returns `None` where that exceeds the address space.
pub const fn unpacked_len(m: usize, k: usize) -> Option<usize> {
    if m < UNPACKED_ROWS {
        return Some(0);
    }
    k.checked_mul(UNPACKED_PANELS * PANEL)
}

/// Computes a [`GemmNarrow`] in the way that suits `level` and the number of rows.
///
/// **Shapes and units**: as the structs say; `m`, `n` or `k` may be zero. `s` is of the instruction
/// set of `level`.
///
/// **Panics**: if a slice is too short for its shape and strides, a block is no multiple of the
/// rows in a word, or rows of `C` overlap.
///
/// **Cost**: `m n k` multiply-adds, no allocation. Each panel of `B` is widened once for every
/// eight rows (AVX-512; five elsewhere), or once in all from [`UNPACKED_ROWS`] on.
pub fn gemm_narrow<S: Simd>(s: S, level: Level, gemm: GemmNarrow<'_>) {
    let GemmF32 { m, k, .. } = gemm.product;
    gemm_narrow_by(Way::new(level, m, k, gemm.weights.block), s, level, gemm);
}

/// [`gemm_narrow`] in a given way.
///
/// **Panics**: as there; if `level` does not have the way; if there is no room for it.
pub fn gemm_narrow_by<S: Simd>(way: Way, s: S, level: Level, mut gemm: GemmNarrow<'_>) {
    let GemmF32 { n, k, .. } = gemm.product;
    if !begin(&gemm.product) {
        return;
    }
    let NarrowWeights { bits, words, block, scales, zeros } = gemm.weights;
    assert!(bits.packed_len(k, n).is_some_and(|len| words.len() >= len), "B is too short");
    assert!(block > 0 && block.is_multiple_of(bits.rows()), "blocks end within a word");
    let room = |all: &[f32]| block_len(k, n, block).is_some_and(|len| all.len() >= len);
    assert!(room(scales) && (zeros.is_empty() || room(zeros)), "scales are missing");
    match (way, bits) {
        (Way::Widened, _) => widened(s, &mut gemm),
        (Way::WrittenOut, Bits::Four) => written_out::<S, Nibbles>(s, &mut gemm),
        (Way::WrittenOut, Bits::Eight) => written_out::<S, Bytes>(s, &mut gemm),
        (Way::Digits, _) => by_digits(s, level, &mut gemm),
    }
}

/// Multiplies digits where rows have them.
fn by_digits<S: Simd>(s: S, level: Level, gemm: &mut GemmNarrow<'_>) {
    let GemmF32 { m, k, a_row_stride, c_row_stride, .. } = gemm.product;
    let (bytes, sums) = core::mem::take(&mut gemm.digits);
    for first in (0..m).step_by(DIGIT_ROWS) {
        let len = (m - first).min(DIGIT_ROWS);
        let mut rows = Rows::new(len, k, &gemm.weights, bytes, sums);
        let a = &gemm.product.a[(first * a_row_stride).min(gemm.product.a.len())..];
        let apart = (0..len).all(|i| {
            let x = if k == 0 { &[] } else { &a[i * a_row_stride..] };
            rows.take_apart(s, i, x)
        });
        #[cfg(target_arch = "x86_64")]
        if apart {
            crate::kernels::x86_64::digits::gemm(level, gemm, &rows, (first, len));
            continue;
        }
        let _ = (level, apart);
        let product = GemmF32 {
            m: len,
            a,
            bias: match gemm.product.bias {
                Bias::PerRow(bias) => Bias::PerRow(&bias[first..]),
                bias => bias,
            },
            c: &mut gemm.product.c[first * c_row_stride..],
            ..gemm.product
        };
        let weights = gemm.weights;
        widened(
            s,
            &mut GemmNarrow { product, weights, unpacked: &mut [], digits: Default::default() },
        );
    }
}

/// How rows come out of words.
trait Word: 'static {
    /// How they went in.
    const BITS: Bits;
    /// Rows in a word.
    const ROWS: usize = Self::BITS.rows();
    /// A row of each of the words: `row` is a constant where this is inlined.
    fn row<S: Simd>(s: S, words: S::U32, row: usize) -> S::F32;
}

/// Four rows in a word.
struct Bytes;

impl Word for Bytes {
    const BITS: Bits = Bits::Eight;

    #[inline(always)]
    fn row<S: Simd>(s: S, words: S::U32, row: usize) -> S::F32 {
        let top = match row {
            0 => s.u32_shl::<24>(words),
            1 => s.u32_shl::<16>(words),
            2 => s.u32_shl::<8>(words),
            _ => words,
        };
        s.i32_to_f32(s.i32_shr::<24>(s.u32_to_i32(top)))
    }
}

/// Eight rows in a word.
struct Nibbles;

impl Word for Nibbles {
    const BITS: Bits = Bits::Four;

    #[inline(always)]
    fn row<S: Simd>(s: S, words: S::U32, row: usize) -> S::F32 {
        if S::LANES == PANEL {
            // One instruction where a register holds the table.
            const TABLE: [f32; 16] = [
                0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0,
                -1.0,
            ];
            let index = match row {
                0 => words,
                1 => s.u32_shr::<8>(words),
                2 => s.u32_shr::<16>(words),
                3 => s.u32_shr::<24>(words),
                4 => s.u32_shr::<4>(words),
                5 => s.u32_shr::<12>(words),
                6 => s.u32_shr::<20>(words),
                _ => s.u32_shr::<28>(words),
            };
            return s.lookup16(&TABLE, index);
        }
        let top = match row {
            0 => s.u32_shl::<28>(words),
            1 => s.u32_shl::<20>(words),
            2 => s.u32_shl::<12>(words),
            3 => s.u32_shl::<4>(words),
            4 => s.u32_shl::<24>(words),
            5 => s.u32_shl::<16>(words),
            6 => s.u32_shl::<8>(words),
            _ => words,
        };
        s.i32_to_f32(s.i32_shr::<28>(s.u32_to_i32(top)))
    }
}

/// Most rows in a word.
const MOST: usize = 8;

/// `MR` rows by `P` panels of `C`, which are `NV` vectors a row; the sum over a block is split into
/// `CH` chains, so that few rows still keep enough multiply-adds in flight.
struct Tile<
    't,
    'g,
    W,
    const ZEROS: bool,
    const MR: usize,
    const P: usize,
    const NV: usize,
    const CH: usize,
> {
    gemm: &'t mut GemmNarrow<'g>,
    row: usize,
    panel: usize,
    word: core::marker::PhantomData<W>,
}

impl<W: Word, const ZEROS: bool, const MR: usize, const P: usize, const NV: usize, const CH: usize>
    Vectorized for Tile<'_, '_, W, ZEROS, MR, P, NV, CH>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        debug_assert!(NV * S::LANES == P * PANEL);
        let Self { gemm: GemmNarrow { product, weights, .. }, row, panel, .. } = self;
        let (k, block) = (product.k, weights.block);
        let (groups, blocks) = (k.div_ceil(W::ROWS), k.div_ceil(block.max(1)));
        let mut tile = [[s.splat(0.0); NV]; MR];
        let (mut a, mut rest) = ([&[][..]; MR], [&[][..]; P]);
        if k > 0 {
            for i in 0..MR {
                a[i] = &product.a[(row + i) * product.a_row_stride..][..k];
            }
            for j in 0..P {
                rest[j] = &weights.words[(panel + j) * groups * PANEL..][..groups * PANEL];
            }
        }
        for b in 0..blocks {
            let len = block.min(k - b * block);
            let (mut x, mut words) = ([&[][..]; MR], [&[][..]; P]);
            for i in 0..MR {
                (x[i], a[i]) = a[i].split_at(len);
            }
            for j in 0..P {
                (words[j], rest[j]) = rest[j].split_at(len.div_ceil(W::ROWS) * PANEL);
            }
            let at = |v: usize| {
                ((panel + v * S::LANES / PANEL) * blocks + b) * PANEL + v * S::LANES % PANEL
            };
            let mut zeros = [s.splat(0.0); NV];
            if ZEROS {
                for v in 0..NV {
                    zeros[v] = s.load(&weights.zeros[at(v)..]);
                }
            }
            let mut sums = [[[s.splat(0.0); NV]; MR]; CH];
            let mut group = 0;
            while (group + 1) * W::ROWS <= len {
                let mut line = [&[][..]; P];
                for j in 0..P {
                    line[j] = &words[j][group * PANEL..][..PANEL];
                }
                let mut from = [&[][..]; MR];
                for i in 0..MR {
                    from[i] = &x[i][group * W::ROWS..][..W::ROWS];
                }
                step::<S, W, ZEROS, MR, P, NV, CH>(s, &mut sums, from, line, &zeros);
                group += 1;
            }
            if group * W::ROWS < len {
                // Behind the last row there are zeros.
                let (mut line, mut padded) = ([&[][..]; P], [[0.0; MOST]; MR]);
                for j in 0..P {
                    line[j] = &words[j][group * PANEL..][..PANEL];
                }
                for i in 0..MR {
                    let last = &x[i][group * W::ROWS..];
                    padded[i][..last.len()].copy_from_slice(last);
                }
                let mut from = [&[][..]; MR];
                for i in 0..MR {
                    from[i] = &padded[i][..W::ROWS];
                }
                step::<S, W, ZEROS, MR, P, NV, CH>(s, &mut sums, from, line, &zeros);
            }
            for v in 0..NV {
                let scale = s.load(&weights.scales[at(v)..]);
                for i in 0..MR {
                    let mut sum = sums[0][i][v];
                    for c in 1..CH {
                        sum = s.add(sum, sums[c][i][v]);
                    }
                    tile[i][v] = s.mul_add_relaxed(sum, scale, tile[i][v]);
                }
            }
        }
        finish(s, product, row, panel * PANEL, &tile);
    }
}

/// Adds the products of a group of columns of `a` with a line of each panel.
#[inline(always)]
fn step<
    S: Simd,
    W: Word,
    const ZEROS: bool,
    const MR: usize,
    const P: usize,
    const NV: usize,
    const CH: usize,
>(
    s: S,
    sums: &mut [[[S::F32; NV]; MR]; CH],
    from: [&[f32]; MR],
    line: [&[u32]; P],
    zeros: &[S::F32; NV],
) {
    let mut words = [s.u32_splat(0); NV];
    for v in 0..NV {
        let at = v * S::LANES;
        words[v] = s.u32_load(&line[at / PANEL][at % PANEL..]);
    }
    for r in 0..W::ROWS {
        let mut b = [s.splat(0.0); NV];
        for v in 0..NV {
            b[v] = W::row(s, words[v], r);
            if ZEROS {
                b[v] = s.sub(b[v], zeros[v]);
            }
        }
        for i in 0..MR {
            let x = s.splat(from[i][r]);
            for v in 0..NV {
                sums[r % CH][i][v] = s.mul_add_relaxed(x, b[v], sums[r % CH][i][v]);
            }
        }
    }
}

fn widened<S: Simd>(s: S, gemm: &mut GemmNarrow<'_>) {
    match (gemm.weights.bits, gemm.weights.zeros.is_empty()) {
        (Bits::Four, true) => widened_from::<S, Nibbles, false>(s, gemm),
        (Bits::Four, false) => widened_from::<S, Nibbles, true>(s, gemm),
        (Bits::Eight, true) => widened_from::<S, Bytes, false>(s, gemm),
        (Bits::Eight, false) => widened_from::<S, Bytes, true>(s, gemm),
    }
}

fn widened_from<S: Simd, W: Word, const ZEROS: bool>(s: S, gemm: &mut GemmNarrow<'_>) {
    let rows = 0..gemm.product.m;
    by_columns(
        s,
        gemm,
        rows,
        |gemm| &mut gemm.product,
        |gemm, panel, left| column::<S, W, ZEROS>(s, gemm, panel, left),
    );
}

/// Computes as many panels from `panel` on as suit the number of rows, and says how many: blocks of
/// rows are as tall as the registers allow, and about equally tall.
fn column<S: Simd, W: Word, const ZEROS: bool>(
    s: S,
    gemm: &mut GemmNarrow<'_>,
    panel: usize,
    left: usize,
) -> usize {
    let m = gemm.product.m;
    let (mut row, word) = (0, core::marker::PhantomData);
    /// Tiles of at most `$tallest` rows; of those listed, the tallest that fits.
    macro_rules! rows {
        ($tallest:literal; $($mr:literal x $p:literal, $nv:literal, $ch:literal;)*) => {
            while row < m {
                let blocks = (m - row).div_ceil($tallest);
                let rows = (m - row).div_ceil(blocks);
                $(if rows >= $mr {
                    s.vectorize(Tile::<W, ZEROS, $mr, $p, $nv, $ch> { gemm, row, panel, word });
                    row += $mr;
                    continue;
                })*
            }
        };
    }
    match S::LANES {
        16 => match (m, left) {
            (1, _) => {
                rows! { 1; 1 x 1, 1, 4; }
                1
            }
            (_, 2..) => {
                rows! {
                    8; 8 x 2, 2, 1; 7 x 2, 2, 1; 6 x 2, 2, 1; 5 x 2, 2, 1; 4 x 2, 2, 1;
                    3 x 2, 2, 2; 2 x 2, 2, 2; 1 x 2, 2, 4;
                }
                2
            }
            _ => {
                rows! { 8; 8 x 1, 1, 1; 6 x 1, 1, 1; 4 x 1, 1, 2; 2 x 1, 1, 4; 1 x 1, 1, 4; }
                1
            }
        },
        8 => {
            rows! { 5; 5 x 1, 2, 1; 4 x 1, 2, 1; 3 x 1, 2, 1; 2 x 1, 2, 2; 1 x 1, 2, 4; }
            1
        }
        4 => {
            rows! { 4; 4 x 1, 4, 1; 3 x 1, 4, 1; 2 x 1, 4, 1; 1 x 1, 4, 2; }
            1
        }
        _ => {
            rows! { 2; 2 x 1, 16, 1; 1 x 1, 16, 1; }
            1
        }
    }
}

/// Writes panels out and multiplies all rows with them.
fn written_out<S: Simd, W: Word>(s: S, gemm: &mut GemmNarrow<'_>) {
    let GemmNarrow { product, weights, unpacked, .. } = gemm;
    let (n, k, all) = (product.n, product.k, product.n.div_ceil(PANEL));
    let unpacked = &mut unpacked[..UNPACKED_PANELS * PANEL * k];
    let mut panel = 0;
    while panel < all {
        let panels = UNPACKED_PANELS.min(all - panel);
        s.vectorize(Unpack::<W> {
            weights,
            k,
            panel,
            out: &mut unpacked[..panels * PANEL * k],
            word: core::marker::PhantomData,
        });
        let first = panel * PANEL;
        let cols = (n - first).min(panels * PANEL);
        gemm_f32(
            s,
            GemmF32 {
                n: cols,
                b: unpacked,
                b_k_stride: PANEL,
                b_panel_stride: PANEL * k,
                bias: match product.bias {
                    Bias::PerCol(bias) => Bias::PerCol(&bias[first..]),
                    bias => bias,
                },
                c: &mut product.c[first..],
                ..*product
            },
        );
        panel += panels;
    }
}

/// Writes panels from `panel` on as `f32`.
struct Unpack<'t, 'g, W> {
    weights: &'t NarrowWeights<'g>,
    k: usize,
    panel: usize,
    out: &'t mut [f32],
    word: core::marker::PhantomData<W>,
}

impl<W: Word> Vectorized for Unpack<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            weights: NarrowWeights { words, block, scales, zeros, .. }, k, panel, out, ..
        } = self;
        if k == 0 {
            return;
        }
        let (groups, blocks) = (k.div_ceil(W::ROWS), k.div_ceil(*block));
        for (j, out) in out.chunks_exact_mut(PANEL * k).enumerate() {
            let lines = words[(panel + j) * groups * PANEL..].chunks_exact(PANEL);
            let rows = out.chunks_mut(PANEL * W::ROWS);
            for (group, (line, rows)) in lines.zip(rows).enumerate() {
                let at = ((panel + j) * blocks + group * W::ROWS / block) * PANEL;
                for lane in (0..PANEL).step_by(S::LANES) {
                    let (words, scale) = (s.u32_load(&line[lane..]), s.load(&scales[at + lane..]));
                    let zero = match zeros {
                        [] => s.splat(0.0),
                        zeros => s.load(&zeros[at + lane..]),
                    };
                    for r in 0..W::ROWS {
                        let x = s.mul(s.sub(W::row(s, words, r), zero), scale);
                        // The last word may have rows that there are not.
                        if r * PANEL < rows.len() {
                            s.store(x, &mut rows[r * PANEL + lane..]);
                        }
                    }
                }
            }
        }
    }
}
