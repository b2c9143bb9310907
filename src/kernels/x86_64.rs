//! The tokens of x86-64, and how a CPU is found to have them.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::isa::Isa;

mod avx2;
mod avx512;

pub use avx2::Avx2;
pub use avx512::Avx512;

const fn all(register: u32, bits: u32) -> bool {
    register & bits == bits
}

/// The best instruction set that the CPU has and the operating system saves registers for.
///
/// **Source**: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 14.3
/// (AVX), 14.7.1 (AVX2) and 15.2 (AVX-512).
pub(super) fn detect() -> Isa {
    const FMA_OSXSAVE_AVX: u32 = 1 << 12 | 1 << 27 | 1 << 28;
    const AVX2: u32 = 1 << 5;
    const AVX512_F_DQ_BW_VL: u32 = 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31;
    const XMM_YMM: u64 = 0b110;
    const MASKS_ZMM: u64 = 0b1110_0110;

    // SAFETY: every x86-64 CPU has CPUID.
    #[allow(unused_unsafe, reason = "safe since Rust 1.94")]
    let cpuid = |leaf| unsafe { __cpuid_count(leaf, 0) };

    if cpuid(0).eax < 7 || !all(cpuid(1).ecx, FMA_OSXSAVE_AVX) {
        return Isa::Scalar;
    }
    // SAFETY: OSXSAVE is set, so XGETBV is there and enabled.
    let saved = unsafe { xgetbv0() };
    let ebx = cpuid(7).ebx;
    if saved & XMM_YMM != XMM_YMM || !all(ebx, AVX2) {
        return Isa::Scalar;
    }
    if saved & MASKS_ZMM == MASKS_ZMM && all(ebx, AVX512_F_DQ_BW_VL) {
        return Isa::Avx512;
    }
    Isa::Avx2
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
