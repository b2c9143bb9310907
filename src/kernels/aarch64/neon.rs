//! Four floats at a time: Advanced SIMD.

use core::arch::aarch64::*;
use core::cell::Cell;

use crate::kernels::isa::{Isa, Level};
use crate::kernels::simd::{PairTable, Simd, Vectorized};

/// The token of Advanced SIMD.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

/// Wraps instructions as methods of the trait.
macro_rules! ops {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: every AArch64 CPU has Advanced SIMD; where memory is touched, the body
            // checks the slice's length first.
            unsafe { $body }
        }
    )*};
}

const TOO_LONG: &str = "a tail longer than the vector";

impl Simd for Neon {
    const ISA: Isa = Isa::Neon;
    const LANES: usize = 4;
    const F64_LANES: usize = 2;
    type Half = Self;
    type F32 = float32x4_t;
    type I32 = int32x4_t;
    type U32 = uint32x4_t;
    type Mask = uint32x4_t;
    type F64 = float64x2_t;
    type U64 = uint64x2_t;
    type Mask64 = uint64x2_t;

    #[inline(always)]
    fn from_level(level: Level) -> Option<Self> {
        level.has(Isa::Neon).then_some(Self(()))
    }

    #[inline(always)]
    fn vectorize<K: Vectorized>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn enter<K: Vectorized>(s: Neon, kernel: K) -> K::Output {
            kernel.run(s)
        }
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe { enter(self, kernel) }
    }

    #[inline(always)]
    fn half(self) -> Self::Half {
        self
    }

    #[inline(always)]
    fn prefetch(self, data: &[f32], index: usize) {
        let address = data.as_ptr().wrapping_add(index);
        // SAFETY: prefetching reads nothing that the program can see, whatever the address.
        unsafe {
            core::arch::asm!(
                "prfm pldl1keep, [{address}]",
                address = in(reg) address,
                options(nostack, preserves_flags, readonly)
            );
        }
    }

    ops! {
        splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        load(from: &[f32]) -> float32x4_t = {
            assert!(from.len() >= 4);
            vld1q_f32(from.as_ptr())
        };
        load_tail(from: &[f32]) -> float32x4_t = {
            assert!(from.len() <= 4, "{TOO_LONG}");
            let mut lanes = [0.0; 4];
            for (lane, x) in lanes.iter_mut().zip(from) {
                *lane = *x;
            }
            vld1q_f32(lanes.as_ptr())
        };
        store(x: float32x4_t, to: &mut [f32]) = {
            assert!(to.len() >= 4);
            vst1q_f32(to.as_mut_ptr(), x)
        };
        store_tail(x: float32x4_t, to: &mut [f32]) = {
            assert!(to.len() <= 4, "{TOO_LONG}");
            let mut lanes = [0.0; 4];
            vst1q_f32(lanes.as_mut_ptr(), x);
            for (to, lane) in to.iter_mut().zip(lanes) {
                *to = lane;
            }
        };
        load_cells(from: &[Cell<f32>]) -> float32x4_t = {
            assert!(from.len() >= 4);
            vld1q_f32(from.as_ptr().cast())
        };
        load_cells_tail(from: &[Cell<f32>]) -> float32x4_t = {
            assert!(from.len() <= 4, "{TOO_LONG}");
            let mut lanes = [0.0; 4];
            for (lane, x) in lanes.iter_mut().zip(from) {
                *lane = x.get();
            }
            vld1q_f32(lanes.as_ptr())
        };
        // A `Cell` may be written through a shared reference, and no other thread can see it.
        store_cells(x: float32x4_t, to: &[Cell<f32>]) = {
            assert!(to.len() >= 4);
            vst1q_f32(to.as_ptr().cast::<f32>().cast_mut(), x)
        };
        store_cells_tail(x: float32x4_t, to: &[Cell<f32>]) = {
            assert!(to.len() <= 4, "{TOO_LONG}");
            let mut lanes = [0.0; 4];
            vst1q_f32(lanes.as_mut_ptr(), x);
            for (to, lane) in to.iter().zip(lanes) {
                to.set(lane);
            }
        };

        deal(a: float32x4_t, b: float32x4_t) -> (float32x4_t, float32x4_t) = (vuzp1q_f32(a, b), vuzp2q_f32(a, b));
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t =
            vfmaq_f32(c, a, b);
        neg_mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t =
            vfmsq_f32(c, a, b);
        // FMIN and FMAX treat NaN and zeros otherwise than the trait says.
        min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(a, b), a, b);
        max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(a, b), a, b);
        sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
        floor(a: float32x4_t) -> float32x4_t = vrndmq_f32(a);
        ceil(a: float32x4_t) -> float32x4_t = vrndpq_f32(a);
        round(a: float32x4_t) -> float32x4_t = vrndnq_f32(a);
        abs(a: float32x4_t) -> float32x4_t = vabsq_f32(a);
        neg(a: float32x4_t) -> float32x4_t = vnegq_f32(a);
        lt(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcltq_f32(a, b);
        le(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcleq_f32(a, b);
        eq(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vceqq_f32(a, b);
        select(mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t =
            vbslq_f32(mask, a, b);
        mask_and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vandq_u32(a, b);
        mask_or(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vorrq_u32(a, b);
        mask_not(a: uint32x4_t) -> uint32x4_t = vmvnq_u32(a);
        mask_bits(a: uint32x4_t) -> u32 =
            vaddvq_u32(vandq_u32(a, vld1q_u32([1u32, 2, 4, 8].as_ptr())));
        mask_any(a: uint32x4_t) -> bool = vmaxvq_u32(a) != 0;
        to_bits(a: float32x4_t) -> uint32x4_t = vreinterpretq_u32_f32(a);
        from_bits(a: uint32x4_t) -> float32x4_t = vreinterpretq_f32_u32(a);
        round_to_i32(a: float32x4_t) -> int32x4_t = vcvtnq_s32_f32(a);
        i32_to_f32(a: int32x4_t) -> float32x4_t = vcvtq_f32_s32(a);
        reduce_add(a: float32x4_t) -> f32 = {
            let a = vadd_f32(vget_low_f32(a), vget_high_f32(a));
            vget_lane_f32::<0>(a) + vget_lane_f32::<1>(a)
        };
        reduce_max(a: float32x4_t) -> f32 = {
            let (low, high) = (vget_low_f32(a), vget_high_f32(a));
            let a = vbsl_f32(vcgt_f32(low, high), low, high);
            let (a, b) = (vget_lane_f32::<0>(a), vget_lane_f32::<1>(a));
            if a > b { a } else { b }
        };
        reduce_min(a: float32x4_t) -> f32 = {
            let (low, high) = (vget_low_f32(a), vget_high_f32(a));
            let a = vbsl_f32(vclt_f32(low, high), low, high);
            let (a, b) = (vget_lane_f32::<0>(a), vget_lane_f32::<1>(a));
            if a < b { a } else { b }
        };

        bytes_load(from: &[u8]) -> uint32x4_t = {
            assert!(from.len() >= 4);
            let word = from.as_ptr().cast::<u32>().read_unaligned();
            let bytes = vreinterpret_u8_u32(vdup_n_u32(word));
            vmovl_u16(vget_low_u16(vmovl_u8(bytes)))
        };
        bytes_store(x: uint32x4_t, to: &mut [u8]) = {
            assert!(to.len() >= 4);
            let halves = vmovn_u32(x);
            let bytes = vmovn_u16(vcombine_u16(halves, halves));
            let word = vget_lane_u32::<0>(vreinterpret_u32_u8(bytes));
            to.as_mut_ptr().cast::<u32>().write_unaligned(word)
        };

        i32_load(from: &[i32]) -> int32x4_t = {
            assert!(from.len() >= 4);
            vld1q_s32(from.as_ptr())
        };
        i32_store(x: int32x4_t, to: &mut [i32]) = {
            assert!(to.len() >= 4);
            vst1q_s32(to.as_mut_ptr(), x)
        };
        i32_gt(a: int32x4_t, b: int32x4_t) -> uint32x4_t = vcgtq_s32(a, b);
        i32_to_u32(a: int32x4_t) -> uint32x4_t = vreinterpretq_u32_s32(a);

        u32_splat(x: u32) -> uint32x4_t = vdupq_n_u32(x);
        u32_lane_index() -> uint32x4_t = vld1q_u32([0, 1, 2, 3].as_ptr());
        u32_load(from: &[u32]) -> uint32x4_t = {
            assert!(from.len() >= 4);
            vld1q_u32(from.as_ptr())
        };
        u32_store(x: uint32x4_t, to: &mut [u32]) = {
            assert!(to.len() >= 4);
            vst1q_u32(to.as_mut_ptr(), x)
        };
        u32_add(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vaddq_u32(a, b);
        u32_sub(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vsubq_u32(a, b);
        u32_mul(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vmulq_u32(a, b);
        u32_mul_wide(a: uint32x4_t, b: uint32x4_t) -> (uint32x4_t, uint32x4_t) = {
            let front = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(a), vget_low_u32(b)));
            let back = vreinterpretq_u32_u64(vmull_high_u32(a, b));
            (vuzp2q_u32(front, back), vuzp1q_u32(front, back))
        };
        u32_and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vandq_u32(a, b);
        u32_or(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vorrq_u32(a, b);
        u32_xor(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = veorq_u32(a, b);
        u32_eq(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vceqq_u32(a, b);
        lookup16(table: &[f32; 16], index: uint32x4_t) -> float32x4_t = {
            let entry = vandq_u32(index, vdupq_n_u32(15));
            // The four bytes of each entry.
            let bytes = vmlaq_n_u32(vdupq_n_u32(0x0302_0100), entry, 0x0404_0404);
            let table = vld1q_u8_x4(table.as_ptr().cast());
            vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(bytes)))
        };
        u32_to_i32(a: uint32x4_t) -> int32x4_t = vreinterpretq_s32_u32(a);

        f64_lookup16(table: &PairTable, index: uint64x2_t) -> [float64x2_t; 2] = {
            let indices = (vgetq_lane_u64::<0>(index), vgetq_lane_u64::<1>(index));
            let first = vld1q_f64(table.rows[indices.0 as usize % 16].as_ptr());
            let second = vld1q_f64(table.rows[indices.1 as usize % 16].as_ptr());
            [vzip1q_f64(first, second), vzip2q_f64(first, second)]
        };
        f64_splat(x: f64) -> float64x2_t = vdupq_n_f64(x);
        f64_load(from: &[f64]) -> float64x2_t = {
            assert!(from.len() >= 2);
            vld1q_f64(from.as_ptr())
        };
        f64_store(x: float64x2_t, to: &mut [f64]) = {
            assert!(to.len() >= 2);
            vst1q_f64(to.as_mut_ptr(), x)
        };
        f64_load_f32(from: &[f32]) -> float64x2_t = {
            assert!(from.len() >= 2);
            vcvt_f64_f32(vld1_f32(from.as_ptr()))
        };
        f64_store_f32(x: float64x2_t, to: &mut [f32]) = {
            assert!(to.len() >= 2);
            vst1_f32(to.as_mut_ptr(), vcvt_f32_f64(x))
        };
        f64_add(a: float64x2_t, b: float64x2_t) -> float64x2_t = vaddq_f64(a, b);
        f64_sub(a: float64x2_t, b: float64x2_t) -> float64x2_t = vsubq_f64(a, b);
        f64_mul(a: float64x2_t, b: float64x2_t) -> float64x2_t = vmulq_f64(a, b);
        f64_div(a: float64x2_t, b: float64x2_t) -> float64x2_t = vdivq_f64(a, b);
        f64_mul_add(a: float64x2_t, b: float64x2_t, c: float64x2_t) -> float64x2_t =
            vfmaq_f64(c, a, b);
        f64_neg_mul_add(a: float64x2_t, b: float64x2_t, c: float64x2_t) -> float64x2_t =
            vfmsq_f64(c, a, b);
        f64_sqrt(a: float64x2_t) -> float64x2_t = vsqrtq_f64(a);
        f64_round(a: float64x2_t) -> float64x2_t = vrndnq_f64(a);
        f64_lt(a: float64x2_t, b: float64x2_t) -> uint64x2_t = vcltq_f64(a, b);
        f64_le(a: float64x2_t, b: float64x2_t) -> uint64x2_t = vcleq_f64(a, b);
        f64_eq(a: float64x2_t, b: float64x2_t) -> uint64x2_t = vceqq_f64(a, b);
        f64_select(mask: uint64x2_t, a: float64x2_t, b: float64x2_t) -> float64x2_t =
            vbslq_f64(mask, a, b);
        mask64_and(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t = vandq_u64(a, b);
        mask64_or(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t = vorrq_u64(a, b);
        mask64_not(a: uint64x2_t) -> uint64x2_t =
            vreinterpretq_u64_u32(vmvnq_u32(vreinterpretq_u32_u64(a)));
        mask64_any(a: uint64x2_t) -> bool = vmaxvq_u32(vreinterpretq_u32_u64(a)) != 0;
        f64_to_bits(a: float64x2_t) -> uint64x2_t = vreinterpretq_u64_f64(a);
        f64_from_bits(a: uint64x2_t) -> float64x2_t = vreinterpretq_f64_u64(a);

        u64_splat(x: u64) -> uint64x2_t = vdupq_n_u64(x);
        u64_lane_index() -> uint64x2_t = vld1q_u64([0, 1].as_ptr());
        u64_load(from: &[u64]) -> uint64x2_t = {
            assert!(from.len() >= 2);
            vld1q_u64(from.as_ptr())
        };
        u64_store(x: uint64x2_t, to: &mut [u64]) = {
            assert!(to.len() >= 2);
            vst1q_u64(to.as_mut_ptr(), x)
        };
        u64_load_u32(from: &[u32]) -> uint64x2_t = {
            assert!(from.len() >= 2);
            vmovl_u32(vld1_u32(from.as_ptr()))
        };
        u64_from_u32(low: uint32x4_t, high: uint32x4_t) -> [uint64x2_t; 2] = [
            vreinterpretq_u64_u32(vzip1q_u32(low, high)),
            vreinterpretq_u64_u32(vzip2q_u32(low, high)),
        ];
        u64_to_nearest_f64(a: uint64x2_t) -> float64x2_t = vcvtq_f64_u64(a);
        u64_add(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t = vaddq_u64(a, b);
        u64_sub(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t = vsubq_u64(a, b);
        u64_mul_low32(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t =
            vmull_u32(vmovn_u64(a), vmovn_u64(b));
        u64_and(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t = vandq_u64(a, b);
        u64_or(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t = vorrq_u64(a, b);
        u64_xor(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t = veorq_u64(a, b);
        u64_eq(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t = vceqq_u64(a, b);
    }

    // A shift by a negative vector is a shift to the right.
    #[inline(always)]
    fn i32_shr<const N: u32>(self, a: int32x4_t) -> int32x4_t {
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe { vshlq_s32(a, vdupq_n_s32(-N.cast_signed())) }
    }
    #[inline(always)]
    fn u32_shl<const N: u32>(self, a: uint32x4_t) -> uint32x4_t {
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe { vshlq_u32(a, vdupq_n_s32(N.cast_signed())) }
    }
    #[inline(always)]
    fn u32_shr<const N: u32>(self, a: uint32x4_t) -> uint32x4_t {
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe { vshlq_u32(a, vdupq_n_s32(-N.cast_signed())) }
    }
    #[inline(always)]
    fn u32_rotate_left<const N: u32>(self, a: uint32x4_t) -> uint32x4_t {
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe {
            let left = vshlq_u32(a, vdupq_n_s32(N.cast_signed()));
            let right = vshlq_u32(a, vdupq_n_s32(N.cast_signed() - 32));
            vorrq_u32(left, right)
        }
    }
    #[inline(always)]
    fn u64_shl<const N: u32>(self, a: uint64x2_t) -> uint64x2_t {
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe { vshlq_u64(a, vdupq_n_s64(i64::from(N))) }
    }
    #[inline(always)]
    fn u64_shr<const N: u32>(self, a: uint64x2_t) -> uint64x2_t {
        // SAFETY: every AArch64 CPU has Advanced SIMD.
        unsafe { vshlq_u64(a, vdupq_n_s64(-i64::from(N))) }
    }
}
