//! Products of bytes by `SDOT`, or by `SMULL` and `SADALP` where a CPU has no such instruction.
//!
//! Both multiply signed bytes; rows are copied, those of unsigned bytes with their top bits
//! flipped. A line of weights is four vectors of four columns, each a word of four bytes.
#![allow(clippy::needless_range_loop, reason = "an index says which row, vector or chain")]

use core::arch::aarch64::*;
use core::arch::asm;

use super::Neon;
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::finish::{Finish, distances};
use crate::kernels::gemm::int8::{GemmI8, PREPARED_ROWS, last_word};
use crate::kernels::int8::QUAD;
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;

/// Integers of a vector.
const LANES: usize = 4;

/// Vectors of a panel.
const VECTORS: usize = PANEL / LANES;

/// Sums of prepared rows by panels that are finished together.
const SUMS: usize = PREPARED_ROWS * PANEL;

/// Computes a product by Advanced SIMD.
///
/// **Panics**: if `level` does not prove it.
pub(in crate::kernels) fn gemm(level: Level, gemm: &mut GemmI8<'_>) {
    let Some(s) = Neon::from_level(level) else { panic!("no Advanced SIMD at this level") };
    by(Widened(s), gemm);
}

/// Computes a product by `SDOT`.
///
/// **Panics**: if `level` does not prove it.
pub(in crate::kernels) fn gemm_dotprod(level: Level, gemm: &mut GemmI8<'_>) {
    let Some(s) = Dotted::from_level(level) else { panic!("no SDOT at this level") };
    by(s, gemm);
}

/// How bytes are multiplied: the proof that the CPU can.
trait Multiply: Copy {
    /// Sums of four columns, in some form.
    type Sums: Copy;

    /// The token of the rest.
    fn neon(self) -> Neon;

    /// No products.
    fn zero(self) -> Self::Sums;

    /// Adds the products of four columns with word `LANE` of a row.
    fn add<const LANE: i32>(
        self,
        sums: Self::Sums,
        cols: uint32x4_t,
        row: uint32x4_t,
    ) -> Self::Sums;

    /// Both.
    fn join(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;

    /// The sums, a column a lane.
    fn total(self, sums: Self::Sums) -> int32x4_t;

    /// Multiplies all prepared rows with some panels, compiled for the instructions of `self`.
    fn multiply(self, gemm: &GemmI8<'_>, part: Part, sums: &mut [i32; SUMS]);

    /// Multiplies as many prepared rows from `row` on as suit the registers, of which `left` are
    /// left, and says how many.
    fn rows(self, gemm: &GemmI8<'_>, at: (usize, usize), left: usize, to: Target<'_>) -> usize;
}

/// So many prepared rows by so many panels from one on.
#[derive(Clone, Copy)]
struct Part {
    rows: usize,
    panel: usize,
    panels: usize,
}

/// Where sums go, and how many from a row to the next.
type Target<'t> = (&'t mut [i32], usize);

/// Products of bytes fill 16 bits: not even two of them can be added before they are widened.
#[derive(Clone, Copy)]
struct Widened(Neon);

impl Multiply for Widened {
    /// Each column in two lanes: the first two columns, and the last.
    type Sums = [int32x4_t; 2];

    #[inline(always)]
    fn neon(self) -> Neon {
        self.0
    }

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        [self.0.i32_splat(0); 2]
    }

    #[inline(always)]
    fn add<const LANE: i32>(
        self,
        [front, back]: Self::Sums,
        cols: uint32x4_t,
        row: uint32x4_t,
    ) -> Self::Sums {
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe {
            let cols = vreinterpretq_s8_u32(cols);
            let row = vreinterpretq_s8_u32(vdupq_laneq_u32::<LANE>(row));
            let low = vmull_s8(vget_low_s8(cols), vget_low_s8(row));
            [vpadalq_s16(front, low), vpadalq_s16(back, vmull_high_s8(cols, row))]
        }
    }

    #[inline(always)]
    fn join(self, a: Self::Sums, b: Self::Sums) -> Self::Sums {
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe { [vaddq_s32(a[0], b[0]), vaddq_s32(a[1], b[1])] }
    }

    #[inline(always)]
    fn total(self, [front, back]: Self::Sums) -> int32x4_t {
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe { vpaddq_s32(front, back) }
    }

    #[inline(always)]
    fn multiply(self, gemm: &GemmI8<'_>, part: Part, sums: &mut [i32; SUMS]) {
        multiply(self, gemm, part, sums);
    }

    #[inline(always)]
    fn rows(self, gemm: &GemmI8<'_>, at: (usize, usize), left: usize, to: Target<'_>) -> usize {
        // Eight vectors a row, of 32: with three rows, some would be kept in memory.
        match left {
            1 => tile::<Self, 1, 1>(self, gemm, at, to),
            _ => tile::<Self, 2, 1>(self, gemm, at, to),
        }
    }
}

/// The token of `SDOT`.
#[derive(Clone, Copy)]
struct Dotted(Neon);

impl Dotted {
    fn from_level(level: Level) -> Option<Self> {
        Neon::from_level(level).filter(|_| level.has_neon_dotprod()).map(Self)
    }
}

impl Multiply for Dotted {
    type Sums = int32x4_t;

    #[inline(always)]
    fn neon(self) -> Neon {
        self.0
    }

    #[inline(always)]
    fn zero(self) -> int32x4_t {
        self.0.i32_splat(0)
    }

    #[inline(always)]
    fn add<const LANE: i32>(self, sums: int32x4_t, cols: uint32x4_t, row: uint32x4_t) -> int32x4_t {
        // SAFETY: the token proves SDOT.
        unsafe { sdot::<LANE>(sums, cols, row) }
    }

    #[inline(always)]
    fn join(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe { vaddq_s32(a, b) }
    }

    #[inline(always)]
    fn total(self, sums: int32x4_t) -> int32x4_t {
        sums
    }

    #[inline(always)]
    fn multiply(self, gemm: &GemmI8<'_>, part: Part, sums: &mut [i32; SUMS]) {
        #[target_feature(enable = "neon,dotprod")]
        fn enter(s: Dotted, gemm: &GemmI8<'_>, part: Part, sums: &mut [i32; SUMS]) {
            multiply(s, gemm, part, sums);
        }
        // SAFETY: the token proves SDOT.
        unsafe { enter(self, gemm, part, sums) }
    }

    #[inline(always)]
    fn rows(self, gemm: &GemmI8<'_>, at: (usize, usize), left: usize, to: Target<'_>) -> usize {
        // Four vectors a row and chain, of 32, and no fewer than twelve: they take turns.
        match left {
            1 => tile::<Self, 1, 4>(self, gemm, at, to),
            2 => tile::<Self, 2, 2>(self, gemm, at, to),
            3 | 5 => tile::<Self, 3, 1>(self, gemm, at, to),
            4 | 7 | 8 | 11 => tile::<Self, 4, 1>(self, gemm, at, to),
            _ => tile::<Self, 6, 1>(self, gemm, at, to),
        }
    }
}

/// `sums[i] += sum(cols[4i + b] row[4 LANE + b])`, of signed bytes. There is no stable intrinsic.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot<const LANE: i32>(sums: int32x4_t, cols: uint32x4_t, row: uint32x4_t) -> int32x4_t {
    let mut sums = sums;
    // SAFETY: the attribute says that the CPU has the instruction, which touches no memory.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {cols:v}.16b, {row:v}.4b[{lane}]",
            sums = inout(vreg) sums,
            cols = in(vreg) cols,
            row = in(vreg) row,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

fn by<M: Multiply>(s: M, gemm: &mut GemmI8<'_>) {
    let (all, (_, shift)) = (gemm.n.div_ceil(PANEL), gemm.signed());
    let mut sums = [0; SUMS];
    for row in (0..gemm.m).step_by(PREPARED_ROWS) {
        let rows = (gemm.m - row).min(PREPARED_ROWS);
        prepare(gemm, row, rows);
        let distances: [_; PREPARED_ROWS] = distances(s.neon(), gemm, row, rows);
        let many = PREPARED_ROWS / rows;
        for panel in (0..all).step_by(many) {
            let panels = (all - panel).min(many);
            s.multiply(gemm, Part { rows, panel, panels }, &mut sums);
            let stride = panels * PANEL;
            s.neon().vectorize(Finish {
                gemm,
                row,
                rows,
                panel,
                panels,
                sums: &sums,
                stride,
                shift,
                distances: &distances,
            });
        }
    }
}

/// Writes rows as words of signed bytes, padded with what zeros of `B` are multiplied with.
fn prepare(gemm: &mut GemmI8<'_>, first: usize, rows: usize) {
    let (quads, (flip, _)) = (gemm.k.div_ceil(QUAD), gemm.signed());
    for i in 0..rows {
        let row =
            if gemm.k > 0 { &gemm.a[(first + i) * gemm.a_row_stride..][..gemm.k] } else { &[] };
        let (words, last) = row.as_chunks::<QUAD>();
        let to = &mut gemm.scratch[i * quads..][..quads];
        for (word, to) in words.iter().zip(&mut *to) {
            *to = u32::from_le_bytes(*word) ^ flip;
        }
        if let Some(to) = to.get_mut(words.len()) {
            *to = last_word(last) ^ flip;
        }
    }
}

#[inline(always)]
fn multiply<M: Multiply>(s: M, gemm: &GemmI8<'_>, part: Part, sums: &mut [i32; SUMS]) {
    let Part { rows, panel, panels } = part;
    let stride = panels * PANEL;
    for j in 0..panels {
        let mut row = 0;
        while row < rows {
            let to = &mut sums[row * stride + j * PANEL..];
            row += s.rows(gemm, (row, panel + j), rows - row, (to, stride));
        }
    }
}

/// `MR` prepared rows by a panel; the sum over `k` is split into `CH` chains, so that few rows
/// still keep enough instructions in flight. Returns `MR`.
#[inline(always)]
fn tile<M: Multiply, const MR: usize, const CH: usize>(
    s: M,
    gemm: &GemmI8<'_>,
    (row, panel): (usize, usize),
    (to, stride): Target<'_>,
) -> usize {
    let (neon, quads) = (s.neon(), gemm.k.div_ceil(QUAD));
    // Four words of a row are loaded at a time.
    let (lines, last_lines) = gemm.panel(panel).as_chunks::<{ LANES * PANEL }>();
    let (mut words, mut last_words) = ([&[][..]; MR], [&[][..]; MR]);
    for i in 0..MR {
        let row = &gemm.scratch[(row + i) * quads..][..quads];
        let (whole, last) = row.as_chunks::<LANES>();
        (words[i], last_words[i]) = (&whole[..lines.len()], last);
    }
    let mut sums = [[[s.zero(); VECTORS]; MR]; CH];
    /// Adds the products of a line with a word of each row to a chain. A function would keep the
    /// sums in memory.
    macro_rules! step {
        ($lane:literal, $line:expr, $rows:expr) => {
            for v in 0..VECTORS {
                let cols = neon.u32_load(&$line[v * LANES..][..LANES]);
                for i in 0..MR {
                    let sums = &mut sums[$lane % CH][i][v];
                    *sums = s.add::<$lane>(*sums, cols, $rows[i]);
                }
            }
        };
    }
    for (q, line) in lines.iter().enumerate() {
        let mut rows = [neon.u32_splat(0); MR];
        for i in 0..MR {
            rows[i] = neon.u32_load(&words[i][q]);
        }
        step!(0, line[..PANEL], rows);
        step!(1, line[PANEL..2 * PANEL], rows);
        step!(2, line[2 * PANEL..3 * PANEL], rows);
        step!(3, line[3 * PANEL..], rows);
    }
    for (q, line) in last_lines.chunks_exact(PANEL).enumerate() {
        let mut rows = [neon.u32_splat(0); MR];
        for i in 0..MR {
            rows[i] = neon.u32_splat(last_words[i][q]);
        }
        step!(0, line, rows);
    }
    for i in 0..MR {
        for v in 0..VECTORS {
            let mut all = sums[0][i][v];
            for c in 1..CH {
                all = s.join(all, sums[c][i][v]);
            }
            neon.i32_store(s.total(all), &mut to[i * stride + v * LANES..]);
        }
    }
    MR
}
