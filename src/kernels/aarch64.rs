//! The token of AArch64. Advanced SIMD is part of the architecture, so nothing is detected.
#![allow(unsafe_code, reason = "instructions that a token proves")]

use core::arch::aarch64::*;

mod neon;

pub use neon::Neon;

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
