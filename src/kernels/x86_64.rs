//! The tokens of x86-64, and how a CPU is found to have them.
#![allow(unsafe_code, reason = "instructions that a token proves")]

use core::arch::x86_64::*;

use super::isa::{Level, Tiles};
use super::simd::Simd;

pub(crate) mod amx;
mod avx2;
mod avx512;
pub(super) mod avx512_bf16;
pub(super) mod digits;
#[cfg(all(test, target_os = "linux"))]
pub(super) mod emulator;
pub(super) mod nibbles;
pub(super) mod pairs;
pub(super) mod vnni;

pub use avx2::Avx2;
pub use avx512::Avx512;

/// [`Simd::byte_windows`] with one check of all that it reads.
#[inline(always)]
fn byte_windows<S: Simd, const R: usize>(
    s: S,
    bytes: &[u8],
    (begins, offsets): (&[usize; R], &[usize]),
    flip: u32,
    lines: &[u32],
    sums: &mut [S::I32; R],
) {
    /// Words from a line to the next.
    const LINE: usize = 16;
    let farthest = |places: &[usize]| places.iter().fold(0, |far, place| *place.max(&far));
    let last = farthest(begins).checked_add(farthest(offsets));
    let end = last.and_then(|last| last.checked_add(S::LANES));
    assert!(end.is_some_and(|end| bytes.len() >= end), "too few bytes");
    let pairs = offsets.len() / 2;
    let flip = s.u32_splat(flip);
    // SAFETY: no further than the farthest of the places and of the offsets.
    let load = |at: usize| unsafe { core::slice::from_raw_parts(bytes.as_ptr().add(at), S::LANES) };
    for (pair, offsets) in offsets.as_chunks::<2>().0.iter().enumerate() {
        let weights = s.u32_load(&lines[pair * LINE..]);
        for i in 0..R {
            let lower = s.bytes_load(load(begins[i] + offsets[0]));
            let upper = s.bytes_load(load(begins[i] + offsets[1]));
            let word = s.u32_xor(s.u32_or(lower, s.u32_shl::<16>(upper)), flip);
            sums[i] = s.i16_products(word, weights, sums[i]);
        }
    }
    if let [offset] = offsets.as_chunks::<2>().1 {
        let weights = s.u32_load(&lines[pairs * LINE..]);
        for i in 0..R {
            let word = s.u32_xor(s.bytes_load(load(begins[i] + offset)), flip);
            sums[i] = s.i16_products(word, weights, sums[i]);
        }
    }
}

const fn all(register: u32, bits: u32) -> bool {
    register & bits == bits
}

/// The best level that the CPU has and the operating system saves registers for.
///
/// **Source**: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 14.3
/// (AVX), 14.7.1 (AVX2), 15.2 (AVX-512) and 18.3 (AMX).
pub(super) fn detect() -> Level {
    const FMA_OSXSAVE_AVX: u32 = 1 << 12 | 1 << 27 | 1 << 28;
    const AVX2: u32 = 1 << 5;
    const AVX512_F_DQ_BW_VL: u32 = 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31;
    const XMM_YMM: u64 = 0b110;
    const MASKS_ZMM: u64 = 0b1110_0110;
    const AVX512_VNNI: u32 = 1 << 11;
    const AVX_VNNI: u32 = 1 << 4;
    const AVX512_BF16: u32 = 1 << 5;
    const AMX_BF16_TILE_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    const TILES: u64 = 0b11 << 17;

    let cpuid = |leaf| cpuid(leaf, 0);
    if cpuid(0).eax < 7 || !all(cpuid(1).ecx, FMA_OSXSAVE_AVX) {
        return Level::scalar();
    }
    // SAFETY: OSXSAVE is set, so XGETBV is there and enabled.
    let saved = unsafe { xgetbv0() };
    let CpuidResult { eax: last, ebx, ecx, edx } = cpuid(7);
    if saved & XMM_YMM != XMM_YMM || !all(ebx, AVX2) {
        return Level::scalar();
    }
    let more = if last >= 1 { self::cpuid(7, 1).eax } else { 0 };
    if saved & MASKS_ZMM != MASKS_ZMM || !all(ebx, AVX512_F_DQ_BW_VL) {
        return Level::avx2(all(more, AVX_VNNI));
    }
    let bf16 = all(more, AVX512_BF16);
    // Rows are rounded by AVX512-BF16 before they are tiles.
    let tiles =
        bf16 && all(edx, AMX_BF16_TILE_INT8) && saved & TILES == TILES && amx::has_palette();
    Level::avx512(bf16, all(ecx, AVX512_VNNI), if tiles { Tiles::Offered } else { Tiles::None })
}

/// What CPUID says of a leaf and a subleaf.
fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    // SAFETY: every x86-64 CPU has CPUID.
    #[allow(unused_unsafe, reason = "safe since Rust 1.94")]
    unsafe {
        __cpuid_count(leaf, subleaf)
    }
}

#[target_feature(enable = "xsave")]
fn xgetbv0() -> u64 {
    // SAFETY: the caller has the XSAVE instructions, as the attribute says.
    unsafe { _xgetbv(0) }
}

macro_rules! scalar {
    ($($(#[$attr:meta])* $name:ident($($arg:ident),*: $ty:ty) = $body:expr;)*) => {$(
        $(#[$attr])*
        #[inline(always)]
        pub(super) fn $name($($arg: $ty),*) -> $ty {
            // SAFETY: every x86-64 CPU has SSE2, and FMA is enabled for the whole build where a
            // function is conditional on it.
            unsafe { $body }
        }
    )*};
}

scalar! {
    sqrt_f32(a: f32) = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a)));
    sqrt_f64(a: f64) = _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(a)));
    #[cfg(target_feature = "fma")]
    fma_f32(a, b, c: f32) =
        _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
    #[cfg(target_feature = "fma")]
    fma_f64(a, b, c: f64) =
        _mm_cvtsd_f64(_mm_fmadd_sd(_mm_set_sd(a), _mm_set_sd(b), _mm_set_sd(c)));
}

/// `to[i * to_stride + j] = from[j * from_stride + i]` for four by four elements of `f64`.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
unsafe fn transpose4(from: &[f64], from_stride: usize, to: &mut [f64], to_stride: usize) {
    // SAFETY: as the caller promises; the slices are checked to hold four elements.
    unsafe {
        let mut rows = [_mm256_setzero_pd(); 4];
        for (j, row) in rows.iter_mut().enumerate() {
            *row = _mm256_loadu_pd(from[j * from_stride..][..4].as_ptr());
        }
        // No closure: that would not be compiled for the instruction set. Columns 0 and 2, then 1
        // and 3, of the upper two rows and of the lower two.
        let even = (_mm256_unpacklo_pd(rows[0], rows[1]), _mm256_unpacklo_pd(rows[2], rows[3]));
        let odd = (_mm256_unpackhi_pd(rows[0], rows[1]), _mm256_unpackhi_pd(rows[2], rows[3]));
        for (i, (a, b)) in [even, odd].into_iter().enumerate() {
            let (low, high) =
                (_mm256_permute2f128_pd::<0x20>(a, b), _mm256_permute2f128_pd::<0x31>(a, b));
            _mm256_storeu_pd(to[i * to_stride..][..4].as_mut_ptr(), low);
            _mm256_storeu_pd(to[(i + 2) * to_stride..][..4].as_mut_ptr(), high);
        }
    }
}

/// `to[i * to_stride + j] = from[j * from_stride + i]` for eight by eight elements.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
unsafe fn transpose8(from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
    // SAFETY: as the caller promises; the slices are checked to hold eight elements.
    unsafe {
        let mut rows = [_mm256_setzero_ps(); 8];
        for (j, row) in rows.iter_mut().enumerate() {
            *row = _mm256_loadu_ps(from[j * from_stride..][..8].as_ptr());
        }
        // Pairs of rows, then fours, then halves.
        let mut pairs = rows;
        for j in 0..4 {
            pairs[2 * j] = _mm256_unpacklo_ps(rows[2 * j], rows[2 * j + 1]);
            pairs[2 * j + 1] = _mm256_unpackhi_ps(rows[2 * j], rows[2 * j + 1]);
        }
        let mut fours = pairs;
        for half in [0, 4] {
            for i in 0..2 {
                let (a, b) = (pairs[half + i], pairs[half + 2 + i]);
                fours[half + 2 * i] = _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
                fours[half + 2 * i + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
            }
        }
        for i in 0..4 {
            let (a, b) = (fours[i], fours[4 + i]);
            let (low, high) =
                (_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
            _mm256_storeu_ps(to[i * to_stride..][..8].as_mut_ptr(), low);
            _mm256_storeu_ps(to[(i + 4) * to_stride..][..8].as_mut_ptr(), high);
        }
    }
}
