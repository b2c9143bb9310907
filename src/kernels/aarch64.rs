//! The token of AArch64, and how a CPU is found to have what lies beyond it. Advanced SIMD itself is
//! part of the architecture.
#![allow(unsafe_code, reason = "instructions that a token proves")]

use core::arch::aarch64::*;

use super::isa::Level;

pub(super) mod int8;
mod neon;

pub use neon::Neon;

/// Advanced SIMD, and what was found beyond it.
pub(super) fn detect() -> Level {
    Level::neon(has_dotprod())
}

/// Whether there is `SDOT`. User code cannot ask the CPU, only the operating system, which is what
/// `std` does.
#[cfg(feature = "std")]
fn has_dotprod() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// Whether the build relies on `SDOT`: without `std`, there is nobody to ask.
#[cfg(not(feature = "std"))]
const fn has_dotprod() -> bool {
    cfg!(target_feature = "dotprod")
}

macro_rules! scalar {
    ($($name:ident($($arg:ident),*: $ty:ty) = $body:expr;)*) => {$(
        #[inline(always)]
        pub(super) fn $name($($arg: $ty),*) -> $ty {
            // SAFETY: every AArch64 CPU that Rust's targets stand for has Advanced SIMD.
            unsafe { $body }
        }
    )*};
}

scalar! {
    sqrt_f32(a: f32) = vget_lane_f32::<0>(vsqrt_f32(vdup_n_f32(a)));
    sqrt_f64(a: f64) = vget_lane_f64::<0>(vsqrt_f64(vdup_n_f64(a)));
    fma_f32(a, b, c: f32) =
        vget_lane_f32::<0>(vfma_f32(vdup_n_f32(c), vdup_n_f32(a), vdup_n_f32(b)));
    fma_f64(a, b, c: f64) =
        vget_lane_f64::<0>(vfma_f64(vdup_n_f64(c), vdup_n_f64(a), vdup_n_f64(b)));
}
