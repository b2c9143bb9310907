//! One element at a time, in portable Rust: the fallback, and the oracle of the other tokens.

use core::cell::Cell;

use super::isa::{Isa, Level};
use super::simd::{PairTable, Simd, Vectorized};

/// The token of portable code. Anybody may make it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalar;

/// `a * b + c` in `f32`, rounded once.
#[inline(always)]
pub(crate) fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(all(target_arch = "x86_64", target_feature = "fma"))]
    return super::x86_64::fma_f32(a, b, c);
    #[cfg(target_arch = "aarch64")]
    return super::aarch64::fma_f32(a, b, c);
    #[cfg(cortex_m_fpu)]
    return super::cortex_m::fma_f32(a, b, c);
    #[allow(unreachable_code)]
    libm::fmaf(a, b, c)
}

/// `a * b + c` in `f64`, rounded once.
#[inline(always)]
pub(crate) fn fma_f64(a: f64, b: f64, c: f64) -> f64 {
    #[cfg(all(target_arch = "x86_64", target_feature = "fma"))]
    return super::x86_64::fma_f64(a, b, c);
    #[cfg(target_arch = "aarch64")]
    return super::aarch64::fma_f64(a, b, c);
    #[allow(unreachable_code)]
    libm::fma(a, b, c)
}

/// Square root: the instruction where every CPU of the target has it.
#[inline(always)]
pub(crate) fn sqrt_f32(a: f32) -> f32 {
    #[cfg(target_arch = "x86_64")]
    return super::x86_64::sqrt_f32(a);
    #[cfg(target_arch = "aarch64")]
    return super::aarch64::sqrt_f32(a);
    #[cfg(cortex_m_fpu)]
    return super::cortex_m::sqrt_f32(a);
    #[allow(unreachable_code)]
    libm::sqrtf(a)
}

/// Square root: the instruction where every CPU of the target has it.
#[inline(always)]
pub(crate) fn sqrt_f64(a: f64) -> f64 {
    #[cfg(target_arch = "x86_64")]
    return super::x86_64::sqrt_f64(a);
    #[cfg(target_arch = "aarch64")]
    return super::aarch64::sqrt_f64(a);
    #[allow(unreachable_code)]
    libm::sqrt(a)
}

macro_rules! ops {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) $(-> $ret)? {
            $body
        }
    )*};
}

impl Simd for Scalar {
    const ISA: Isa = Isa::Scalar;
    const LANES: usize = 1;
    const F64_LANES: usize = 1;
    type Half = Self;
    type F32 = f32;
    type I32 = i32;
    type U32 = u32;
    type Mask = bool;
    type F64 = f64;
    type U64 = u64;
    type Mask64 = bool;

    #[inline(always)]
    fn from_level(_: Level) -> Option<Self> {
        Some(Self)
    }
    #[inline(always)]
    fn vectorize<K: Vectorized>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
    #[inline(always)]
    fn half(self) -> Self::Half {
        self
    }

    #[inline(always)]
    fn prefetch(self, _: &[f32], _: usize) {}

    ops! {
        splat(x: f32) -> f32 = x;
        load(from: &[f32]) -> f32 = from[0];
        load_tail(from: &[f32]) -> f32 = match from {
            [] => 0.0,
            [x] => *x,
            _ => panic!("a tail longer than the vector"),
        };
        store(x: f32, to: &mut [f32]) = to[0] = x;
        store_tail(x: f32, to: &mut [f32]) = match to {
            [] => {}
            [to] => *to = x,
            _ => panic!("a tail longer than the vector"),
        };
        load_cells(from: &[Cell<f32>]) -> f32 = from[0].get();
        load_cells_tail(from: &[Cell<f32>]) -> f32 = match from {
            [] => 0.0,
            [x] => x.get(),
            _ => panic!("a tail longer than the vector"),
        };
        store_cells(x: f32, to: &[Cell<f32>]) = to[0].set(x);
        store_cells_tail(x: f32, to: &[Cell<f32>]) = match to {
            [] => {}
            [to] => to.set(x),
            _ => panic!("a tail longer than the vector"),
        };
        deal(a: f32, b: f32) -> (f32, f32) = (a, b);
        add(a: f32, b: f32) -> f32 = a + b;
        sub(a: f32, b: f32) -> f32 = a - b;
        mul(a: f32, b: f32) -> f32 = a * b;
        div(a: f32, b: f32) -> f32 = a / b;
        mul_add(a: f32, b: f32, c: f32) -> f32 = fma_f32(a, b, c);
        neg_mul_add(a: f32, b: f32, c: f32) -> f32 = fma_f32(-a, b, c);
        mul_add_relaxed(a: f32, b: f32, c: f32) -> f32 =
            if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                fma_f32(a, b, c)
            } else {
                a * b + c
            };
        min(a: f32, b: f32) -> f32 = if a < b { a } else { b };
        max(a: f32, b: f32) -> f32 = if a > b { a } else { b };
        sqrt(a: f32) -> f32 = sqrt_f32(a);
        floor(a: f32) -> f32 = libm::floorf(a);
        ceil(a: f32) -> f32 = libm::ceilf(a);
        round(a: f32) -> f32 = libm::rintf(a);
        lt(a: f32, b: f32) -> bool = a < b;
        le(a: f32, b: f32) -> bool = a <= b;
        eq(a: f32, b: f32) -> bool = a == b;
        select(mask: bool, a: f32, b: f32) -> f32 = if mask { a } else { b };
        mask_and(a: bool, b: bool) -> bool = a & b;
        mask_or(a: bool, b: bool) -> bool = a | b;
        mask_not(a: bool) -> bool = !a;
        mask_any(a: bool) -> bool = a;
        to_bits(a: f32) -> u32 = a.to_bits();
        from_bits(a: u32) -> f32 = f32::from_bits(a);
        round_to_i32(a: f32) -> i32 = libm::rintf(a) as i32;
        i32_to_f32(a: i32) -> f32 = a as f32;
        reduce_add(a: f32) -> f32 = a;
        reduce_max(a: f32) -> f32 = a;
        reduce_min(a: f32) -> f32 = a;

        i32_load(from: &[i32]) -> i32 = from[0];
        i32_store(x: i32, to: &mut [i32]) = to[0] = x;
        i32_gt(a: i32, b: i32) -> bool = a > b;
        i32_to_u32(a: i32) -> u32 = a.cast_unsigned();

        u32_splat(x: u32) -> u32 = x;
        u32_lane_index() -> u32 = 0;
        u32_load(from: &[u32]) -> u32 = from[0];
        u32_store(x: u32, to: &mut [u32]) = to[0] = x;
        u32_add(a: u32, b: u32) -> u32 = a.wrapping_add(b);
        u32_sub(a: u32, b: u32) -> u32 = a.wrapping_sub(b);
        u32_mul(a: u32, b: u32) -> u32 = a.wrapping_mul(b);
        u32_mul_wide(a: u32, b: u32) -> (u32, u32) = {
            let product = u64::from(a) * u64::from(b);
            ((product >> 32) as u32, product as u32)
        };
        u32_and(a: u32, b: u32) -> u32 = a & b;
        u32_or(a: u32, b: u32) -> u32 = a | b;
        u32_xor(a: u32, b: u32) -> u32 = a ^ b;
        u32_eq(a: u32, b: u32) -> bool = a == b;
        lookup16(table: &[f32; 16], index: u32) -> f32 = table[index as usize % 16];
        u32_to_i32(a: u32) -> i32 = a.cast_signed();

        f64_lookup16(table: &PairTable, index: u64) -> [f64; 2] = table.rows[index as usize % 16];
        f64_splat(x: f64) -> f64 = x;
        f64_load(from: &[f64]) -> f64 = from[0];
        f64_store(x: f64, to: &mut [f64]) = to[0] = x;
        f64_load_f32(from: &[f32]) -> f64 = f64::from(from[0]);
        f64_store_f32(x: f64, to: &mut [f32]) = to[0] = x as f32;
        f64_add(a: f64, b: f64) -> f64 = a + b;
        f64_sub(a: f64, b: f64) -> f64 = a - b;
        f64_mul(a: f64, b: f64) -> f64 = a * b;
        f64_div(a: f64, b: f64) -> f64 = a / b;
        f64_mul_add(a: f64, b: f64, c: f64) -> f64 = fma_f64(a, b, c);
        f64_neg_mul_add(a: f64, b: f64, c: f64) -> f64 = fma_f64(-a, b, c);
        f64_sqrt(a: f64) -> f64 = sqrt_f64(a);
        f64_round(a: f64) -> f64 = libm::rint(a);
        f64_lt(a: f64, b: f64) -> bool = a < b;
        f64_le(a: f64, b: f64) -> bool = a <= b;
        f64_eq(a: f64, b: f64) -> bool = a == b;
        f64_select(mask: bool, a: f64, b: f64) -> f64 = if mask { a } else { b };
        mask64_and(a: bool, b: bool) -> bool = a & b;
        mask64_or(a: bool, b: bool) -> bool = a | b;
        mask64_not(a: bool) -> bool = !a;
        mask64_any(a: bool) -> bool = a;
        f64_to_bits(a: f64) -> u64 = a.to_bits();
        f64_from_bits(a: u64) -> f64 = f64::from_bits(a);

        u64_splat(x: u64) -> u64 = x;
        u64_lane_index() -> u64 = 0;
        u64_load(from: &[u64]) -> u64 = from[0];
        u64_store(x: u64, to: &mut [u64]) = to[0] = x;
        u64_load_u32(from: &[u32]) -> u64 = u64::from(from[0]);
        u64_from_u32(low: u32, high: u32) -> [u64; 2] =
            [u64::from(low) | u64::from(high) << 32; 2];
        u64_to_nearest_f64(a: u64) -> f64 = a as f64;
        u64_add(a: u64, b: u64) -> u64 = a.wrapping_add(b);
        u64_sub(a: u64, b: u64) -> u64 = a.wrapping_sub(b);
        u64_mul_low32(a: u64, b: u64) -> u64 = u64::from(a as u32) * u64::from(b as u32);
        u64_and(a: u64, b: u64) -> u64 = a & b;
        u64_or(a: u64, b: u64) -> u64 = a | b;
        u64_xor(a: u64, b: u64) -> u64 = a ^ b;
        u64_eq(a: u64, b: u64) -> bool = a == b;
    }

    #[inline(always)]
    fn i32_shr<const N: u32>(self, a: i32) -> i32 {
        a >> N
    }
    #[inline(always)]
    fn u32_shl<const N: u32>(self, a: u32) -> u32 {
        a << N
    }
    #[inline(always)]
    fn u32_shr<const N: u32>(self, a: u32) -> u32 {
        a >> N
    }
    #[inline(always)]
    fn u32_rotate_left<const N: u32>(self, a: u32) -> u32 {
        a.rotate_left(N)
    }
    #[inline(always)]
    fn u64_shl<const N: u32>(self, a: u64) -> u64 {
        a << N
    }
    #[inline(always)]
    fn u64_shr<const N: u32>(self, a: u64) -> u64 {
        a >> N
    }
}
