//! The instructions of AMX and of AVX-VNNI in plain Rust, for CPUs without them: the code of the
//! kernels itself is run and checked anywhere.
//!
//! An instruction that the CPU does not know raises SIGILL. The handler decodes it where it stands,
//! does what it says on tiles in memory, or on the vectors that the signal has saved, and goes on
//! behind it. Anything else dies as it would.

#![expect(clippy::disallowed_types, reason = "each thread of the tests has tiles of its own")]
extern crate std;

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::{mem, ptr};

use crate::kernels::bf16::widen;
use crate::kernels::isa::{Isa, Level, Tiles as Permission};

/// Eight tiles and their shapes.
struct Tiles {
    palette: u8,
    row_bytes: [usize; 8],
    rows: [usize; 8],
    data: [[[u8; 64]; 16]; 8],
}

const RELEASED: Tiles =
    Tiles { palette: 0, row_bytes: [0; 8], rows: [0; 8], data: [[[0; 64]; 16]; 8] };

std::thread_local! {
    static TILES: UnsafeCell<Tiles> = const { UnsafeCell::new(RELEASED) };
}

/// A level that has AMX, of this CPU or emulated. `None` without AVX512-BF16.
pub(in crate::kernels) fn amx() -> Option<Level> {
    let level = Level::detect().ask_for_amx();
    if level.tiles() == Permission::Allowed || !level.has_avx512_bf16() {
        return Some(level).filter(|level| level.has_avx512_bf16());
    }
    install();
    Some(Level::avx512(true, level.has_avx512_vnni(), Permission::Allowed))
}

/// A level that has AVX-VNNI and no AVX-512, of this CPU or emulated. `None` without AVX2.
pub(in crate::kernels) fn avx_vnni() -> Option<Level> {
    if !Level::detect().has(Isa::Avx2) {
        return None;
    }
    if !std::is_x86_feature_detected!("avxvnni") {
        install();
    }
    Some(Level::avx2(true))
}

/// Installs the handler, for the whole process.
fn install() {
    // SAFETY: the handler touches its thread's registers and tiles, and nothing else; a zeroed
    // action is a valid one.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = (handler as extern "C" fn(_, _, _)) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGILL, &action, ptr::null_mut()), 0);
    }
}

/// Whether tiles of this thread have shapes.
pub(in crate::kernels) fn is_configured() -> bool {
    // SAFETY: the handler runs between instructions of this thread that are none of these.
    TILES.with(|tiles| unsafe { (*tiles.get()).palette != 0 })
}

extern "C" fn handler(_: c_int, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel gives the context of the thread that it has stopped at an instruction, so
    // that the bytes there can be read, and those that its operands name as the CPU would.
    let done = unsafe {
        let machine = &mut (*context).uc_mcontext;
        let vectors = Vectors(machine.fpregs.cast());
        TILES.with(|tiles| step(&mut machine.gregs, &vectors, &mut *tiles.get()))
    };
    if done.is_none() {
        // SAFETY: the default action, to die at the same instruction again.
        unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
    }
}

type Registers = [libc::greg_t; 23];

/// A register by its number in an instruction.
fn register(registers: &Registers, number: u8) -> usize {
    const ORDER: [c_int; 16] = [
        libc::REG_RAX,
        libc::REG_RCX,
        libc::REG_RDX,
        libc::REG_RBX,
        libc::REG_RSP,
        libc::REG_RBP,
        libc::REG_RSI,
        libc::REG_RDI,
        libc::REG_R8,
        libc::REG_R9,
        libc::REG_R10,
        libc::REG_R11,
        libc::REG_R12,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
    ];
    registers[ORDER[usize::from(number & 15)] as usize] as usize
}

/// The vectors that a signal has saved.
struct Vectors(*mut u8);

impl Vectors {
    /// Where the halves of the first vector are; those of the next are 16 bytes on.
    ///
    /// **Source**: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 13.4.
    const LOWER: usize = 160;
    const UPPER: usize = 576;
    /// Which parts are not as they begin.
    const PRESENT: usize = 512;
    const AVX: u64 = 1 << 2;

    /// Half of a vector.
    fn half(&self, number: usize, upper: bool) -> *mut [u8; 16] {
        let begin = if upper { Self::UPPER } else { Self::LOWER };
        self.0.wrapping_add(begin + 16 * number).cast()
    }

    /// A vector by its number.
    ///
    /// # Safety
    /// A signal has saved them there, with their upper halves.
    unsafe fn get(&self, number: usize) -> [[u8; 16]; 2] {
        // SAFETY: as the caller promises.
        unsafe {
            let present = self.0.add(Self::PRESENT).cast::<u64>().read_unaligned();
            let upper = self.half(number, true).read_unaligned();
            let upper = if present & Self::AVX == 0 { [0; 16] } else { upper };
            [self.half(number, false).read_unaligned(), upper]
        }
    }

    /// Replaces a vector.
    ///
    /// # Safety
    /// As for [`get`](Self::get).
    unsafe fn set(&self, number: usize, [lower, upper]: [[u8; 16]; 2]) {
        // SAFETY: as the caller promises.
        unsafe {
            let present = self.0.add(Self::PRESENT).cast::<u64>();
            let before = present.read_unaligned();
            if before & Self::AVX == 0 {
                for number in 0..16 {
                    self.half(number, true).write_unaligned([0; 16]);
                }
                present.write_unaligned(before | Self::AVX);
            }
            self.half(number, false).write_unaligned(lower);
            self.half(number, true).write_unaligned(upper);
        }
    }
}

/// An operand in memory: its address, the index that is a stride, and its length in the code.
struct Memory {
    address: usize,
    stride: usize,
    bytes: usize,
}

/// # Safety
/// `code` is a ModRM byte and what belongs to it.
unsafe fn memory(registers: &Registers, code: *const u8, vex: u8) -> Option<Memory> {
    // SAFETY: as the caller promises.
    let at = |i: usize| unsafe { code.add(i).read() };
    let (mode, low) = (at(0) >> 6, at(0) & 7);
    let (extend_base, extend_index) =
        (u8::from(vex & 0x20 == 0) << 3, u8::from(vex & 0x40 == 0) << 3);
    let (base, stride, mut bytes) = match low {
        4 => {
            let (scale, index, base) = (at(1) >> 6, at(1) >> 3 & 7 | extend_index, at(1) & 7);
            // No base at all.
            if mode == 0 && base == 5 {
                return None;
            }
            let stride = if index == 4 { 0 } else { register(registers, index) << scale };
            (register(registers, base | extend_base), stride, 2)
        }
        // An address within the code.
        5 if mode == 0 => return None,
        _ => (register(registers, low | extend_base), 0, 1),
    };
    let displacement = match mode {
        0 => 0,
        1 => at(bytes).cast_signed() as isize,
        // SAFETY: as the caller promises.
        2 => unsafe { code.add(bytes).cast::<i32>().read_unaligned() as isize },
        _ => return None,
    };
    bytes += [0, 1, 4][usize::from(mode)];
    Some(Memory { address: base.wrapping_add_signed(displacement), stride, bytes })
}

/// Does one instruction, and moves behind it. `None` where it is none that is emulated.
///
/// # Safety
/// The registers and vectors are those of a thread at an instruction.
unsafe fn step(registers: &mut Registers, vectors: &Vectors, tiles: &mut Tiles) -> Option<()> {
    let code = ptr::with_exposed_provenance::<u8>(registers[libc::REG_RIP as usize] as usize);
    // SAFETY: an instruction is there, as the caller promises; a VEX prefix has more bytes behind.
    let at = |i: usize| unsafe { code.add(i).read() };
    // Three bytes of VEX, the map 0F38, W0.
    if at(0) != 0xc4 || at(1) & 0x1f != 2 || at(2) & 0x80 != 0 {
        return None;
    }
    let (vex, prefix, opcode, modrm) = (at(1), at(2) & 3, at(3), at(4));
    let (third, is_register) = (usize::from(!at(2) >> 3 & 15), modrm >> 6 == 3);
    let (reg, low) = (usize::from(modrm >> 3 & 7), usize::from(modrm & 7));
    // SAFETY: the ModRM byte and what belongs to it.
    let memory = || unsafe { memory(registers, code.add(4), vex) };
    // SAFETY: rows of a tile, where the program says they are.
    let row =
        |m: &Memory, i: usize| ptr::with_exposed_provenance_mut::<u8>(m.address + i * m.stride);
    let bytes = match (prefix, opcode, is_register) {
        // VPDPBUSD, of 256 bits
        (1, 0x50, _) if at(2) & 4 != 0 => {
            let sums = reg | usize::from(vex & 0x80 == 0) << 3;
            // SAFETY: saved vectors; 32 bytes of memory are there, as the instruction says.
            let (weights, bytes) = unsafe {
                if is_register {
                    (vectors.get(low | usize::from(vex & 0x20 == 0) << 3), 1)
                } else {
                    let memory = memory()?;
                    let at = ptr::with_exposed_provenance(memory.address + memory.stride);
                    (ptr::read_unaligned(at), memory.bytes)
                }
            };
            // SAFETY: saved vectors.
            unsafe { vectors.set(sums, dots(vectors.get(sums), vectors.get(third), weights)) };
            bytes
        }
        // What is left is of 128 bits.
        _ if at(2) & 4 != 0 => return None,
        // LDTILECFG
        (0, 0x49, false) => {
            let memory = memory()?;
            let config = ptr::with_exposed_provenance::<u8>(memory.address);
            *tiles = RELEASED;
            // SAFETY: 64 bytes are there, as the instruction says.
            unsafe {
                tiles.palette = config.read();
                for i in 0..8 {
                    tiles.row_bytes[i] =
                        config.add(16 + 2 * i).cast::<u16>().read_unaligned().into();
                    tiles.rows[i] = config.add(48 + i).read().into();
                }
            }
            memory.bytes
        }
        // TILERELEASE
        (0, 0x49, true) if modrm == 0xc0 => {
            *tiles = RELEASED;
            1
        }
        // TILEZERO
        (3, 0x49, true) => {
            tiles.data[reg] = [[0; 64]; 16];
            1
        }
        // TILELOADD
        (3, 0x4b, false) => {
            let memory = memory()?;
            tiles.data[reg] = [[0; 64]; 16];
            for i in 0..tiles.rows[reg] {
                let to = tiles.data[reg][i].as_mut_ptr();
                // SAFETY: a row of memory, as the instruction says, and one of a tile.
                unsafe { row(&memory, i).copy_to_nonoverlapping(to, tiles.row_bytes[reg]) };
            }
            memory.bytes
        }
        // TILESTORED
        (2, 0x4b, false) => {
            let memory = memory()?;
            for i in 0..tiles.rows[reg] {
                let from = tiles.data[reg][i].as_ptr();
                // SAFETY: as above.
                unsafe { row(&memory, i).copy_from_nonoverlapping(from, tiles.row_bytes[reg]) };
            }
            memory.bytes
        }
        // TDPBF16PS
        (2, 0x5c, true) => {
            multiply(tiles, reg, low, third & 7)?;
            1
        }
        // TDPBUSD, TDPBSSD
        (1 | 3, 0x5e, true) => {
            multiply_bytes(tiles, reg, low, third & 7, prefix == 3)?;
            1
        }
        _ => return None,
    };
    registers[libc::REG_RIP as usize] += 4 + bytes as libc::greg_t;
    Some(())
}

/// `sums` with the products of fours of bytes added, unsigned ones of `x` and signed ones.
fn dots(sums: [[u8; 16]; 2], x: [[u8; 16]; 2], weights: [[u8; 16]; 2]) -> [[u8; 16]; 2] {
    let mut all = sums;
    for ((sums, x), weights) in all.iter_mut().zip(&x).zip(&weights) {
        let words = sums.as_chunks_mut::<4>().0.iter_mut();
        for ((sum, x), weights) in words.zip(x.as_chunks().0).zip(weights.as_chunks().0) {
            *sum = add_products(*sum, *x, *weights, false);
        }
    }
    all
}

/// An integer with the products of fours of bytes added, of which the first are signed or not.
fn add_products(sum: [u8; 4], x: [u8; 4], y: [u8; 4], signed: bool) -> [u8; 4] {
    let products = x.into_iter().zip(y).map(|(x, y)| {
        let x = if signed { x.cast_signed().into() } else { i32::from(x) };
        x * i32::from(y.cast_signed())
    });
    products.fold(i32::from_le_bytes(sum), i32::wrapping_add).to_le_bytes()
}

/// Rows, columns and depth of a product of tiles; shapes that do not suit are no instruction.
fn shape(tiles: &Tiles, c: usize, a: usize, b: usize) -> Option<[usize; 3]> {
    let (rows, cols, depth) = (tiles.rows[c], tiles.row_bytes[c] / 4, tiles.row_bytes[a] / 4);
    let suits = tiles.rows[a] == rows
        && tiles.rows[b] == depth
        && tiles.row_bytes[b] == 4 * cols
        && rows > 0
        && c != a
        && c != b
        && a != b;
    suits.then_some([rows, cols, depth])
}

/// Four bytes of a tile.
fn word(tile: &mut [[u8; 64]; 16], i: usize, j: usize) -> &mut [u8; 4] {
    &mut tile[i].as_chunks_mut().0[j]
}

/// Adds to tile `c` the product of the pairs of `a` and `b`.
fn multiply(tiles: &mut Tiles, c: usize, a: usize, b: usize) -> Option<()> {
    let [rows, cols, depth] = shape(tiles, c, a, b)?;
    let number = |[_0, _1, _2, _3]: [u8; 4], h: usize| {
        widen(u16::from_le_bytes(if h == 0 { [_0, _1] } else { [_2, _3] }))
    };
    for i in 0..rows {
        for j in 0..cols {
            let mut sum = f32::from_le_bytes(*word(&mut tiles.data[c], i, j));
            for p in 0..depth {
                let (x, y) = (*word(&mut tiles.data[a], i, p), *word(&mut tiles.data[b], p, j));
                for h in 0..2 {
                    sum = libm::fmaf(number(x, h), number(y, h), sum);
                }
            }
            *word(&mut tiles.data[c], i, j) = sum.to_le_bytes();
        }
    }
    Some(())
}

/// Adds to tile `c` the product of the fours of bytes of `a`, signed or not, and of `b`, signed.
fn multiply_bytes(tiles: &mut Tiles, c: usize, a: usize, b: usize, signed: bool) -> Option<()> {
    let [rows, cols, depth] = shape(tiles, c, a, b)?;
    for i in 0..rows {
        for j in 0..cols {
            for p in 0..depth {
                let (x, y) = (*word(&mut tiles.data[a], i, p), *word(&mut tiles.data[b], p, j));
                let sum = word(&mut tiles.data[c], i, j);
                *sum = add_products(*sum, x, y, signed);
            }
        }
    }
    Some(())
}
