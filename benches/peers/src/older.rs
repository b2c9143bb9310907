//! A CPU that seems older, for a library that asks it and cannot be told: ONNX Runtime chooses
//! its loops by `cpuid` and has no switch.
//!
//! [`disguise`] writes a copy of the library in which each `cpuid` is an illegal instruction of
//! the same length; [`answer_cpuid`] answers them in a signal handler, without AVX-512, AVX-VNNI
//! and AMX: what is left is a CPU of the AVX2 generation. No instruction that is timed changes.
#![allow(unsafe_code, reason = "a signal handler that answers for an instruction")]

use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io, mem, ptr};

/// `cpuid`, and what takes its place.
const CPUID: [u8; 2] = [0x0f, 0xa2];
const ILLEGAL: [u8; 2] = [0x0f, 0x0b];

/// A copy of the library at `path` in `folder` that leaves `cpuid` to the signal handler.
pub(crate) fn disguise(path: &Path, folder: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let copy = folder.join("older").join(name);
    if copy.exists() {
        return Ok(copy);
    }
    let mut bytes = fs::read(path)?;
    for address in addresses(path)? {
        let at = file_offset(&bytes, address).ok_or(io::ErrorKind::InvalidData)?;
        let place = bytes.get_mut(at..at + 2).ok_or(io::ErrorKind::InvalidData)?;
        if place != CPUID {
            return Err(io::Error::other("objdump and the file disagree"));
        }
        place.copy_from_slice(&ILLEGAL);
    }
    fs::create_dir_all(folder.join("older"))?;
    // Whoever finds the copy finds it whole.
    let unfinished = copy.with_extension("unfinished");
    fs::write(&unfinished, bytes)?;
    fs::rename(unfinished, &copy)?;
    Ok(copy)
}

/// Where the disassembler sees `cpuid`.
fn addresses(path: &Path) -> io::Result<Vec<u64>> {
    let mut command = Command::new("objdump");
    let output = command.args(["-d", "-w", "--no-show-raw-insn"]).arg(path).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let seen = text.lines().filter(|line| line.trim_end().ends_with("\tcpuid"));
    let address = |line: &str| u64::from_str_radix(line.split_once(':')?.0.trim(), 16).ok();
    let addresses: Vec<u64> = seen.filter_map(address).collect();
    if addresses.is_empty() {
        return Err(io::Error::other("objdump (binutils) sees no cpuid in the library"));
    }
    Ok(addresses)
}

/// Where an address of a 64-bit little-endian ELF file lies in it.
fn file_offset(elf: &[u8], address: u64) -> Option<usize> {
    let word = |at: usize| elf.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let half = |at: usize| elf.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
    let (table, entry_bytes, entries) = (word(0x20)? as usize, half(0x36)?, half(0x38)?);
    (0..entries as usize).find_map(|i| {
        let header = table + i * entry_bytes as usize;
        let [offset, start, len] = [word(header + 8)?, word(header + 16)?, word(header + 32)?];
        let loaded = elf.get(header..header + 4)? == [1, 0, 0, 0];
        let within = loaded && (start..start + len).contains(&address);
        within.then(|| (address - start + offset) as usize)
    })
}

/// From now on this process answers the illegal instructions of a disguised library.
pub(crate) fn answer_cpuid() -> io::Result<()> {
    // SAFETY: the handler touches the registers of the context that it is given, nothing else.
    let failed = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = answer as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGILL, &action, ptr::null_mut())
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The answer of this CPU without what came after AVX2.
fn older(leaf: u32, subleaf: u32) -> [u32; 4] {
    let bits = |list: &[u32]| list.iter().fold(0, |bits, bit| bits | 1 << bit);
    let real = std::arch::x86_64::__cpuid_count(leaf, subleaf);
    let mut registers = [real.eax, real.ebx, real.ecx, real.edx];
    let newer: [u32; 4] = match (leaf, subleaf) {
        // F, DQ, IFMA, PF, ER, CD, BW, VL; VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; 4VNNIW, 4FMAPS,
        // VP2INTERSECT, AMX-BF16, FP16, AMX-TILE, AMX-INT8.
        (7, 0) => [
            0,
            bits(&[16, 17, 21, 26, 27, 28, 30, 31]),
            bits(&[1, 6, 11, 12, 14]),
            bits(&[2, 3, 8, 22, 23, 24, 25]),
        ],
        // AVX-VNNI, AVX512-BF16, AMX-FP16, AVX-IFMA; AVX-VNNI-INT8, AVX-NE-CONVERT, AMX-COMPLEX,
        // AVX-VNNI-INT16, AVX10.
        (7, 1) => [bits(&[4, 5, 21, 23]), 0, 0, bits(&[4, 5, 8, 10, 19])],
        _ => [0; 4],
    };
    registers.iter_mut().zip(newer).for_each(|(register, newer)| *register &= !newer);
    registers
}

extern "C" fn answer(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes the context of the thread that it interrupted.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = registers[libc::REG_RIP as usize];
    // SAFETY: the two bytes have just been fetched from there as an instruction.
    let instruction = unsafe { ptr::read_unaligned(at as *const [u8; 2]) };
    if instruction != ILLEGAL {
        // SAFETY: ends the process, as the instruction would have.
        unsafe { libc::abort() };
    }
    let [leaf, subleaf] = [libc::REG_RAX, libc::REG_RCX].map(|r| registers[r as usize] as u32);
    let places = [libc::REG_RAX, libc::REG_RBX, libc::REG_RCX, libc::REG_RDX];
    for (place, value) in places.into_iter().zip(older(leaf, subleaf)) {
        registers[place as usize] = i64::from(value);
    }
    registers[libc::REG_RIP as usize] = at + 2;
}
