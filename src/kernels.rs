//! Numeric loops, the CPU tokens that choose between them, and the scalar oracle.
//!
//! Owns every loop over elements that serving runs. A kernel is a safe function, generic over a
//! [`Simd`] token that proves what the CPU has; the choice is made once, from [`Level::detect`],
//! and [`dispatch`] turns it into a type. The one invariant: a token exists only where its
//! instructions do. Kernels never allocate, lock, call the system or keep state, and know nothing
//! of graphs, programs or files.
//!
//! # Panics
//! Kernels panic when a slice is shorter than the shape they are given says. The runtime checks
//! lengths once, when a program is made, so that serving never gets there.

pub mod activation;
pub mod attention;
pub mod bf16;
pub mod ceiling;
pub mod channel;
pub mod classical;
pub mod conv;
pub mod dynamic;
pub mod elementwise;
mod fold;
pub mod gemm;
pub mod index;
pub mod int8;
pub mod isa;
pub mod lanes;
pub mod math;
pub mod movement;
pub mod narrow;
pub mod number;
pub mod pack;
pub mod quantize;
pub mod recurrent;
pub mod reduce;
pub mod rows;
pub mod scalar;
pub mod simd;
pub mod stages;
pub mod trees;
pub mod vision;

#[cfg(target_arch = "aarch64")]
pub mod aarch64;
#[cfg(cortex_m_fpu)]
mod cortex_m;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

pub use activation::Activation;
pub use isa::{Isa, Level, Tiles};
pub use scalar::Scalar;
pub use simd::{PairTable, Simd, Vectorized, dispatch};

#[cfg(test)]
mod simd_tests;
#[cfg(test)]
pub(crate) mod suite;
