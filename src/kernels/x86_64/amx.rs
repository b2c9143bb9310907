//! Products on the tiles of AMX: registers of up to 16 rows of 64 bytes.
//!
//! Owns the token [`Amx`], the question whether the process may use tiles, and the product of bf16;
//! that of bytes is in `amx/int8.rs`. Its
//! invariant: outside of [`gemm`] and [`touch`] a thread's tiles are released, so that switching
//! threads saves none. The instructions are written in assembly, since their intrinsics are not
//! stable; the compiler uses no tiles itself, so that they keep their contents between two blocks
//! of assembly.
//!
//! **Source**: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 18 and
//! volume 2; the Linux kernel's `Documentation/arch/x86/xstate.rst`.

use core::arch::asm;

use super::avx512_bf16::{Avx512Bf16, round_rows};
use super::cpuid;
use crate::kernels::bf16::PAIR;
use crate::kernels::gemm::bf16::{GemmBf16, LINE, ROUNDED_ROWS, rounded_stride};
use crate::kernels::gemm::tile::{by_columns, finish};
use crate::kernels::gemm::{GemmF32, PANEL};
use crate::kernels::isa::{Level, Tiles};
use crate::kernels::simd::{Simd, Vectorized};

pub(in crate::kernels) mod int8;
mod permission;
#[cfg(all(test, target_os = "linux"))]
mod tests;

pub(in crate::kernels) use permission::ask;

/// Rows of a tile.
const ROWS: usize = 16;

/// Floats of a tile.
const TILE: usize = ROWS * PANEL;

/// The token of AMX-TILE and AMX-BF16, and of the permission to use them.
#[derive(Clone, Copy, Debug)]
struct Amx(Avx512Bf16);

impl Amx {
    fn from_level(level: Level) -> Option<Self> {
        let allowed = level.tiles() == Tiles::Allowed;
        Avx512Bf16::from_level(level).filter(|_| allowed).map(Self)
    }
}

/// Whether tiles are as large as this file has them: eight, of 16 rows of 64 bytes.
pub(super) fn has_palette() -> bool {
    const TILE_INFORMATION: u32 = 0x1d;
    if cpuid(0, 0).eax < TILE_INFORMATION {
        return false;
    }
    let palette = cpuid(TILE_INFORMATION, 1);
    let [tile_bytes, row_bytes, names, rows] =
        [palette.eax >> 16, palette.ebx & 0xffff, palette.ebx >> 16, palette.ecx & 0xffff];
    tile_bytes >= 1024 && row_bytes >= 64 && names >= 8 && rows >= 16
}

/// The shapes of all tiles.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Tiles that have shapes, until it is dropped: 0 to 3 are results and 4 and 5 rows of `A`, all of
/// the same height; 6 and 7 are of `B`.
struct Configured {
    height: usize,
}

impl Configured {
    /// # Safety
    /// The process may use tiles.
    unsafe fn new(height: usize) -> Self {
        let mut configured = Self { height: 0 };
        configured.set_height(height);
        configured
    }

    fn set_height(&mut self, height: usize) {
        if height == self.height {
            return;
        }
        let h = height.min(ROWS) as u8;
        let mut config = Config {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [h, h, h, h, h, h, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        config.row_bytes[..8].fill(64);
        // SAFETY: `new` asks for the permission; the shapes are within the palette.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, preserves_flags));
        }
        self.height = height;
    }

    fn clear(&mut self) {
        // SAFETY: `new` asks for the permission.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                options(nomem, nostack, preserves_flags)
            );
        }
    }

    /// Writes the results: those of a second tile below the first, those of a second panel beside
    /// it.
    fn store<T>(&self, sums: &mut Sums<T>) {
        const { assert!(size_of::<T>() == 4) };
        let second = self.height.min(ROWS) * 2 * PANEL;
        let sums = sums.0.as_mut_ptr();
        // SAFETY: `new` asks for the permission; twice `height` rows of 128 bytes are at most the
        // four kilobytes that there are.
        unsafe {
            asm!(
                "tilestored [{first} + {stride}], tmm0",
                "tilestored [{first} + {stride} + 64], tmm1",
                "tilestored [{second} + {stride}], tmm2",
                "tilestored [{second} + {stride} + 64], tmm3",
                first = in(reg) sums,
                second = in(reg) sums.wrapping_add(second),
                stride = in(reg) 2 * PANEL * size_of::<f32>(),
                options(nostack, preserves_flags)
            );
        }
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: `new` asks for the permission.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

/// Uses a tile, so that the operating system makes room for all of them on this thread: the first
/// use costs tens of microseconds.
///
/// **Cost**: one system call, which says whether the process has asked for tiles.
pub(crate) fn touch() {
    if permission::has() {
        // SAFETY: a process that has the permission has tiles.
        unsafe { Configured::new(1) }.clear();
    }
}

/// Computes a product by AMX.
///
/// Blocks of up to 64 rows are rounded, cut into tiles of about the same height, and multiplied two
/// tiles by two panels at a time.
///
/// **Panics**: if `level` does not prove it, or there is no room for rounded rows.
pub(in crate::kernels) fn gemm(level: Level, gemm: &mut GemmBf16<'_>) {
    let Some(s) = Amx::from_level(level) else { panic!("no AMX at this level") };
    let GemmF32 { m, k, a, a_row_stride, .. } = gemm.product;
    // SAFETY: the token proves the permission.
    let mut registers = unsafe { Configured::new(m.min(ROWS)) };
    for first in (0..m).step_by(ROUNDED_ROWS) {
        let rows = (m - first).min(ROUNDED_ROWS);
        registers.set_height(rows.div_ceil(rows.div_ceil(ROWS)));
        let a = if k > 0 { &a[first * a_row_stride..] } else { a };
        round_rows(s.0, a, (rows, k, a_row_stride), gemm.rounded);
        by_columns(
            s.0.avx512(),
            gemm,
            first..first + rows,
            |gemm| &mut gemm.product,
            |gemm, panel, left| column(s, &mut registers, gemm, (first, rows), panel, left.min(2)),
        );
    }
}

/// Computes one or two panels from `panel` on, and says how many.
fn column(
    s: Amx,
    registers: &mut Configured,
    gemm: &mut GemmBf16<'_>,
    (first, rows): (usize, usize),
    panel: usize,
    panels: usize,
) -> usize {
    let (k, height) = (gemm.product.k, registers.height);
    let b = &gemm.b[panel * k.div_ceil(PAIR) * PANEL..];
    let tiles = rows.div_ceil(height);
    for tile in (0..tiles).step_by(2) {
        let row = tile * height;
        let a = &gemm.rounded[row * rounded_stride(k)..];
        let mut sums = Sums([0.0; 4 * TILE]);
        Block { a, b, k, tiles: (tiles - tile).min(2), panels }.multiply(registers, &mut sums);
        s.0.avx512().vectorize(Store {
            product: &mut gemm.product,
            row: first + row,
            rows: (rows - row).min(2 * height),
            col: panel * PANEL,
            sums: &sums.0,
        });
    }
    panels
}

/// Results of up to two tiles by two panels: rows of 32 numbers.
#[repr(align(64))]
struct Sums<T>([T; 4 * TILE]);

/// One or two tiles of rounded rows, and the one or two panels that they are multiplied with.
struct Block<'a> {
    a: &'a [u32],
    b: &'a [u32],
    k: usize,
    tiles: usize,
    panels: usize,
}

/// Where the steps along the depth read: two tiles of `A` and two of `B`; the second of each is not
/// looked at where there is one.
struct Sources {
    a: [*const u32; 2],
    b: [*const u32; 2],
    a_row_bytes: usize,
    steps: usize,
}

impl Block<'_> {
    fn multiply(&self, registers: &mut Configured, sums: &mut Sums<f32>) {
        let (pairs, stride) = (self.k.div_ceil(PAIR), rounded_stride(self.k));
        let (tile, panel) = (registers.height * stride, pairs * PANEL);
        // Everything that is read through a pointer below.
        let (a, b) = (&self.a[..self.tiles * tile], &self.b[..self.panels * panel]);
        let mut sources = Sources {
            a: [a.as_ptr(), a[(self.tiles - 1) * tile..].as_ptr()],
            b: [b.as_ptr(), b[(self.panels - 1) * panel..].as_ptr()],
            a_row_bytes: stride * size_of::<u32>(),
            steps: pairs / ROWS,
        };
        let run = bf16(self.tiles, self.panels);
        registers.clear();
        // SAFETY: tiles are configured, for whom the process has the permission. Each step reads 64
        // bytes of each row of `A`, which has whole lines, and 16 lines of each panel.
        unsafe { run(&sources) };
        let rest = pairs % ROWS;
        if rest > 0 {
            // The last lines of the panels, and zeros in place of what lies behind them.
            let mut last = [[0u32; TILE]; 2];
            for (last, panel) in last.iter_mut().zip(b.chunks_exact(panel)) {
                let lines = &panel[panel.len() - rest * PANEL..];
                last[..lines.len()].copy_from_slice(lines);
            }
            sources.a = sources.a.map(|a| a.wrapping_add(pairs / ROWS * LINE));
            sources.b = [last[0].as_ptr(), last[1].as_ptr()];
            sources.steps = 1;
            // SAFETY: as above; `last` holds 16 lines of each panel.
            unsafe { run(&sources) };
        }
        registers.store(sums);
    }
}

/// A line of a step along the depth: loads a tile of `A` or `B`, or multiplies two of them.
macro_rules! line {
    ($instruction:literal, a0) => {
        "tileloadd tmm4, [{a0} + {a_stride}]"
    };
    ($instruction:literal, a1) => {
        "tileloadd tmm5, [{a1} + {a_stride}]"
    };
    ($instruction:literal, b0) => {
        "tileloadd tmm6, [{b0} + {b_stride}]"
    };
    ($instruction:literal, b1) => {
        "tileloadd tmm7, [{b1} + {b_stride}]"
    };
    ($instruction:literal, a0b0) => {
        concat!($instruction, " tmm0, tmm4, tmm6")
    };
    ($instruction:literal, a0b1) => {
        concat!($instruction, " tmm1, tmm4, tmm7")
    };
    ($instruction:literal, a1b0) => {
        concat!($instruction, " tmm2, tmm5, tmm6")
    };
    ($instruction:literal, a1b1) => {
        concat!($instruction, " tmm3, tmm5, tmm7")
    };
}

/// A loop over the depth, of these lines.
macro_rules! steps {
    ($instruction:literal: $($line:ident)*) => {{
        /// # Safety
        /// The CPU has the instruction and tiles are configured; each step reads 64 bytes of each
        /// row of each tile of `A`, and 16 lines of each panel of `B`.
        unsafe fn run(sources: &Sources) {
            if sources.steps == 0 {
                return;
            }
            let Sources { a: [a0, a1], b: [b0, b1], a_row_bytes, steps } = *sources;
            // SAFETY: as the caller promises.
            unsafe {
                asm!(
                    "2:",
                    $(line!($instruction, $line),)*
                    "add {a0}, 64",
                    "add {a1}, 64",
                    "add {b0}, 1024",
                    "add {b1}, 1024",
                    "dec {steps}",
                    "jnz 2b",
                    a0 = inout(reg) a0 => _,
                    a1 = inout(reg) a1 => _,
                    b0 = inout(reg) b0 => _,
                    b1 = inout(reg) b1 => _,
                    steps = inout(reg) steps => _,
                    a_stride = in(reg) a_row_bytes,
                    b_stride = in(reg) PANEL * size_of::<u32>(),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, readonly)
                );
            }
        }
        run
    }};
}

/// Names the loops that multiply by an instruction: one for each number of tiles and of panels.
macro_rules! multiply {
    ($($name:ident: $instruction:literal;)*) => {$(
        fn $name(tiles: usize, panels: usize) -> unsafe fn(&Sources) {
            match (tiles, panels) {
                (1, 1) => steps!($instruction: a0 b0 a0b0),
                (1, _) => steps!($instruction: a0 b0 a0b0 b1 a0b1),
                (_, 1) => steps!($instruction: a0 b0 a0b0 a1 a1b0),
                _ => steps!($instruction: a0 b0 a0b0 a1 a1b0 b1 a0b1 a1b1),
            }
        }
    )*};
}

multiply! {
    bf16: "tdpbf16ps";
    unsigned_bytes: "tdpbusd";
    signed_bytes: "tdpbssd";
}

/// The epilogue of a block, row by row.
struct Store<'s, 'g> {
    product: &'s mut GemmF32<'g>,
    row: usize,
    rows: usize,
    col: usize,
    sums: &'s [f32],
}

impl Vectorized for Store<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { product, row, rows, col, sums } = self;
        for (i, sums) in sums.chunks_exact(2 * PANEL).take(rows).enumerate() {
            // One vector beyond the last column is not stored.
            for (half, sums) in sums.chunks_exact(PANEL).enumerate() {
                let col = col + half * PANEL;
                if S::LANES == PANEL && col < product.n {
                    finish::<S, 1, 1>(s, product, row + i, col, &[[s.load(sums)]]);
                }
            }
        }
    }
}
