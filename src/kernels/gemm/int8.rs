//! Products of eight-bit values with packed eight-bit weights.
//!
//! Owns [`gemm_i8`], its arguments, and the choice between the ways in which a CPU computes it.
//! Sums are exact integers that wrap, so that every way gives the same; what follows them, in
//! `kernels/stages.rs`, is one correctly rounded operation after the other. Results are therefore the
//! same bits on every instruction set, but behind activations that are approximated.
//!
//! Instructions want their operands signed in certain ways. What a way multiplies is `a + shift`,
//! where `shift` makes signed values unsigned or the reverse; its product with the sums of the
//! columns is taken off again behind the sum, together with the zero point.

use super::{PANEL, extent};
use crate::kernels::int8::{Grid8, QUAD, packed_quads_len};
use crate::kernels::isa::{Isa, Level, Tiles};
use crate::kernels::simd::Simd;
pub use crate::kernels::stages::{Nearest, Output, Stage};

pub(in crate::kernels) mod finish;
mod plain;
#[cfg(test)]
mod tests;

/// `C = stages(a_scale b_scale sum((a - a_zero) (b - b_zero)))`; `A` is `m` by `k`, `B` is `k` by
/// `n`.
#[derive(Debug)]
pub struct GemmI8<'a> {
    /// Rows of `A` and `C`.
    pub m: usize,
    /// Columns of `B` and `C`.
    pub n: usize,
    /// Columns of `A`, rows of `B`. With zero, the sums are zero.
    pub k: usize,
    /// `A`, each row contiguous; nothing behind `k` bytes of a row is read.
    pub a: &'a [u8],
    /// Bytes from a row of `A` to the next.
    pub a_row_stride: usize,
    /// Where the rows of `A` are windows: only in ways that [walk](Way::walks). The stride is not
    /// looked at then.
    pub windows: Option<Windows>,
    /// What the bytes of `A` stand for.
    pub a_grid: Grid8,
    /// `B`, as [`pack_quads`](crate::kernels::int8::pack_quads) writes it.
    pub b: &'a [u32],
    /// The sum of each column of `B`, those of the padding included.
    pub b_sums: &'a [i32],
    /// The scale of each column of `B`, those of the padding included.
    pub b_scale: &'a [f32],
    /// The zero points of `B`.
    pub b_zero: Zeros<'a>,
    /// What is done to each element, in this order.
    pub stages: &'a [Stage<'a>],
    /// `C`. Elements between rows are left alone.
    pub output: Output<'a>,
    /// Elements from a row of `C` to the next, at least `n`.
    pub c_row_stride: usize,
    /// Room for rows of `A` in another form: [`scratch_len`] words.
    pub scratch: &'a mut [u32],
}

/// Zero points of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros<'a> {
    /// They are zero.
    None,
    /// All have this one.
    One(i32),
    /// That of each column, those of the padding included.
    Each(&'a [i32]),
}

impl<'a> Zeros<'a> {
    /// Those of each column, where not all are zero.
    #[inline(always)]
    pub fn each(zeros: Option<&'a [i32]>) -> Self {
        zeros.map_or(Self::None, Self::Each)
    }
}

/// Rows that are windows over bytes: each consists of the same runs, as far apart in every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Lines of a plane, and rows of a line.
    pub each: [usize; 2],
    /// Bytes from a plane to the next, from a line, and from a row.
    pub steps: [usize; 3],
    /// Runs of a row along three axes.
    pub runs: [usize; 3],
    /// Bytes from a run to the next along each axis.
    pub apart: [usize; 3],
    /// Bytes of a run: whole quads, where there are several runs.
    pub run: usize,
}

impl Windows {
    /// Rows of `k` bytes that are so many bytes apart.
    #[inline(always)]
    pub(in crate::kernels) const fn rows(stride: usize, k: usize) -> Self {
        let (each, steps) = ([1, usize::MAX], [0, 0, stride]);
        Self { each, steps, runs: [1; 3], apart: [0; 3], run: k }
    }

    /// Where `N` rows from one on begin.
    #[inline(always)]
    pub(in crate::kernels) fn begins<const N: usize>(&self, first: usize) -> [usize; N] {
        let (Self { each: [lines, rows], steps, .. }, mut begins) = (self, [0; N]);
        if first + N <= *rows {
            for (i, begin) in begins.iter_mut().enumerate() {
                *begin = (first + i) * steps[2];
            }
            return begins;
        }
        let (mut line, mut row) = (first / rows, first % rows);
        for begin in &mut begins {
            let (plane, above) =
                if line < *lines { (0, line) } else { (line / lines, line % lines) };
            *begin = plane * steps[0] + above * steps[1] + row * steps[2];
            row += 1;
            if row == *rows {
                (line, row) = (line + 1, 0);
            }
        }
        begins
    }

    /// Where the runs of a row are, from its begin on.
    #[inline(always)]
    pub(in crate::kernels) fn offsets(&self) -> impl Iterator<Item = usize> + use<> {
        let Self { runs: [d, h, w], apart, .. } = *self;
        (0..d).flat_map(move |d| {
            (0..h)
                .flat_map(move |h| (0..w).map(move |w| d * apart[0] + h * apart[1] + w * apart[2]))
        })
    }

    /// Bytes of a row; `None` beyond the address space.
    pub(in crate::kernels) fn depth(&self) -> Option<usize> {
        self.runs.iter().try_fold(self.run, |n, runs| n.checked_mul(*runs))
    }

    /// The bytes that `m` rows, of which there is one, reach over; `None` beyond the address space.
    pub(in crate::kernels) fn extent(&self, m: usize) -> Option<usize> {
        let (Self { each: [lines, rows], .. }, last) = (*self, m - 1);
        // Few rows are of one line, and dividing takes its time.
        let begin = if last < rows {
            [0, 0, last]
        } else {
            let line = last.checked_div(rows)?;
            [line.checked_div(lines)?, line.min(lines - 1), rows - 1]
        };
        let mut extent = self.run;
        for (n, step) in begin.into_iter().zip(self.steps) {
            extent = extent.checked_add(n.checked_mul(step)?)?;
        }
        for (runs, apart) in self.runs.into_iter().zip(self.apart) {
            extent = extent.checked_add(runs.checked_sub(1)?.checked_mul(apart)?)?;
        }
        Some(extent)
    }
}

/// Rows that are prepared, and multiplied, at a time by the ways that prepare them.
pub const PREPARED_ROWS: usize = 12;

/// Words of scratch that a product of at most `m` rows takes, whichever its way.
///
/// Returns `None` where that exceeds the address space.
pub const fn scratch_len(m: usize, k: usize) -> Option<usize> {
    let rows = if m < PREPARED_ROWS { m } else { PREPARED_ROWS };
    k.div_ceil(QUAD).checked_mul(2 * rows)
}

/// How a product of eight-bit values is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Portable code.
    Plain,
    /// AVX2: pairs of bytes in 16 bits, or halves of bytes, whose products fit 16 bits.
    Avx2,
    /// AVX-VNNI: sums of four products in one instruction, on 256 bits.
    AvxVnni,
    /// AVX512-VNNI: sums of four products in one instruction.
    Avx512Vnni,
    /// AMX-INT8: tiles.
    Amx,
    /// Advanced SIMD: products in 16 bits, each widened.
    Neon,
    /// `SDOT` of AArch64: sums of four products in one instruction.
    NeonDotprod,
}

impl Way {
    /// The way for a product of `rows` rows at a level.
    #[inline]
    pub const fn new(level: Level, rows: usize) -> Self {
        if matches!(level.tiles(), Tiles::Allowed) && rows >= Self::AMX_ROWS {
            Self::Amx
        } else if level.has_avx512_vnni() {
            Self::Avx512Vnni
        } else if level.has_avx_vnni() {
            Self::AvxVnni
        } else if level.has(Isa::Avx2) {
            Self::Avx2
        } else if level.has_neon_dotprod() {
            Self::NeonDotprod
        } else if level.has(Isa::Neon) {
            Self::Neon
        } else {
            Self::Plain
        }
    }

    /// Fewest rows for AMX: tiles hold 16, and loading them for a few does not pay. Where exactly it
    /// begins to has not been measured.
    pub const AMX_ROWS: usize = 12;

    /// Whether it takes rows that are [`Windows`]; others want each in one piece.
    pub const fn walks(self) -> bool {
        matches!(self, Self::Avx2 | Self::AvxVnni | Self::Avx512Vnni)
    }

    /// Its short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512Vnni => "avx512vnni",
            Self::Amx => "amx",
            Self::Neon => "neon",
            Self::NeonDotprod => "neondotprod",
        }
    }
}

/// Computes a [`GemmI8`] in the way that suits `level` and the number of rows.
///
/// **Shapes and units**: as the structs say; `m`, `n` or `k` may be zero. `s` is of the
/// instruction set of `level`.
///
/// **Panics**: if a slice is too short for its shape and strides.
///
/// **Cost**: `m n k` multiply-adds, no allocation.
#[inline(always)]
pub fn gemm_i8<S: Simd>(s: S, level: Level, gemm: GemmI8<'_>) {
    gemm_i8_by(Way::new(level, gemm.m), s, level, gemm);
}

/// [`gemm_i8`] in a given way.
///
/// **Panics**: as there; if `level` does not have the way.
#[inline(always)]
pub fn gemm_i8_by<S: Simd>(way: Way, s: S, level: Level, mut gemm: GemmI8<'_>) {
    run_by(way, s, level, &mut gemm);
}

fn run_by<S: Simd>(way: Way, s: S, level: Level, gemm: &mut GemmI8<'_>) {
    if gemm.m == 0 || gemm.n == 0 {
        return;
    }
    gemm.check();
    assert!(way.walks() || gemm.windows.is_none(), "a way that does not take windows");
    match way {
        #[cfg(target_arch = "x86_64")]
        Way::Amx => crate::kernels::x86_64::amx::int8::gemm(level, gemm),
        #[cfg(target_arch = "x86_64")]
        Way::AvxVnni | Way::Avx512Vnni => crate::kernels::x86_64::vnni::gemm(level, gemm),
        #[cfg(target_arch = "x86_64")]
        Way::Avx2 => crate::kernels::x86_64::pairs::gemm(level, gemm),
        #[cfg(target_arch = "aarch64")]
        Way::NeonDotprod => crate::kernels::aarch64::int8::gemm_dotprod(level, gemm),
        #[cfg(target_arch = "aarch64")]
        Way::Neon => crate::kernels::aarch64::int8::gemm(level, gemm),
        _ => {
            let _ = level;
            plain::gemm(s, gemm);
        }
    }
}

impl GemmI8<'_> {
    /// Panics where a row of `A`, or its last word, ends behind `A`.
    #[inline(always)]
    pub(in crate::kernels) fn check_rows(&self) {
        let Some(windows) = self.windows else {
            let bytes = (self.m - 1).checked_mul(self.a_row_stride);
            let bytes = bytes.and_then(|bytes| bytes.checked_add(self.k));
            let long = bytes.is_some_and(|len| self.a.len() >= len);
            return assert!(self.k == 0 || long, "A is too short");
        };
        let whole = windows.runs == [1; 3] || windows.run.is_multiple_of(QUAD);
        assert!(whole, "runs that are no whole quads");
        assert!(windows.depth() == Some(self.k), "windows of another depth");
        let long = windows.extent(self.m).is_some_and(|len| self.a.len() >= len);
        assert!(self.k == 0 || long, "A is too short");
    }

    /// Panics where a slice is too short.
    fn check(&self) {
        let &Self { m, n, k, c_row_stride, .. } = self;
        assert!(c_row_stride >= n || m == 1, "rows of C overlap");
        let cols = n.next_multiple_of(PANEL);
        self.check_rows();
        assert!(packed_quads_len(k, n).is_some_and(|len| self.b.len() >= len), "B is too short");
        assert!(scratch_len(m, k).is_some_and(|len| self.scratch.len() >= len), "no scratch");
        assert!(self.b_sums.len() >= cols, "too few sums");
        let zeros = if let Zeros::Each(zeros) = self.b_zero { zeros.len() } else { cols };
        assert!(zeros >= cols, "too few zero points");
        let len = match &self.output {
            Output::F32(c) => c.len(),
            Output::Quantized(c, _) => c.len(),
            Output::I32(c) => {
                assert!(c.len() >= extent(m, c_row_stride, n), "C is too short");
                return;
            }
        };
        assert!(len >= extent(m, c_row_stride, n), "C is too short");
        assert!(self.b_scale.len() >= cols, "too few scales");
        for stage in self.stages {
            let long = match *stage {
                Stage::MulRow(data) | Stage::AddRow(data) => data.len() >= n,
                Stage::Add { data, row_stride } => data.len() >= extent(m, row_stride, n),
                Stage::AddQuantized { data, row_stride, .. } => {
                    data.len() >= extent(m, row_stride, n)
                }
                Stage::Round(_) | Stage::Times(_) | Stage::Plus(_) | Stage::Activate(_) => true,
            };
            assert!(long, "a stage's data are too short");
        }
    }

    /// A row of `A`, which is no window.
    #[inline(always)]
    pub(in crate::kernels) fn row(&self, i: usize) -> &[u8] {
        if self.k == 0 { &[] } else { &self.a[i * self.a_row_stride..][..self.k] }
    }

    /// Where the rows of `A` lie.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(in crate::kernels) fn walk(&self) -> Windows {
        self.windows.unwrap_or(Windows::rows(self.a_row_stride, self.k))
    }

    /// A panel of `B`.
    #[inline(always)]
    pub(in crate::kernels) fn panel(&self, j: usize) -> &[u32] {
        let len = self.k.div_ceil(QUAD) * PANEL;
        &self.b[j * len..][..len]
    }

    /// What makes the bytes of `A` unsigned: bits of a word to flip, and the number that this adds.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(in crate::kernels) fn unsigned(&self) -> (u32, i32) {
        if self.a_grid.signed { (0x8080_8080, 128) } else { (0, 0) }
    }

    /// What makes the bytes of `A` signed: bits of a word to flip, and the number that this adds.
    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    pub(in crate::kernels) fn signed(&self) -> (u32, i32) {
        if self.a_grid.signed { (0, 0) } else { (0x8080_8080, -128) }
    }
}

/// The last bytes of a row, fewer than four, as a word with zeros behind them.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(in crate::kernels) fn last_word(bytes: &[u8]) -> u32 {
    let mut word = [0; QUAD];
    word[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(word)
}
