//! What the floating-point unit of a Cortex-M does in one instruction and stable Rust has no name
//! for there. The portable functions give the same bits, in hundreds of instructions.
//!
//! They are functions, not instructions inline: the registers of a unit that is single precision
//! only cannot be named as operands.
#![allow(unsafe_code, reason = "an instruction of the unit, through assembly")]

use core::arch::naked_asm;

/// `a * b + c`, rounded once.
#[inline(always)]
pub(super) fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
    /// The procedure call standard passes floats in `s0`, `s1`, `s2` and returns `s0`; `build.rs`
    /// names this unit only where that holds and the instruction is there.
    #[unsafe(naked)]
    extern "C" fn vfma(a: f32, b: f32, c: f32) -> f32 {
        naked_asm!(".fpu fpv4-sp-d16", "vfma.f32 s2, s0, s1", "vmov.f32 s0, s2", "bx lr")
    }
    vfma(a, b, c)
}

/// Square root.
#[inline(always)]
pub(super) fn sqrt_f32(a: f32) -> f32 {
    /// As `vfma`.
    #[unsafe(naked)]
    extern "C" fn vsqrt(a: f32) -> f32 {
        naked_asm!(".fpu fpv4-sp-d16", "vsqrt.f32 s0, s0", "bx lr")
    }
    vsqrt(a)
}
