//! Eight floats at a time: AVX2 with FMA.

use core::arch::x86_64::*;
use core::cell::Cell;

use crate::kernels::isa::{Isa, Level};
use crate::kernels::simd::{PairTable, Simd, Vectorized};

/// The token of AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// What has AVX-512 has AVX2 and FMA.
    #[inline(always)]
    pub(super) const fn within(_: super::Avx512) -> Self {
        Self(())
    }
}

/// Wraps instructions as methods of the trait.
macro_rules! ops {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: the token proves that the CPU has AVX2 and FMA; where memory is touched,
            // the body checks the slice's length first.
            unsafe { $body }
        }
    )*};
}

/// `true` in the first `len` lanes.
#[inline(always)]
fn tail_mask(len: usize) -> __m256i {
    const LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(len <= 8, "a tail longer than the vector");
    // SAFETY: eight elements from 8 - len, which is at most 8, are inside the sixteen; AVX is
    // proven by the token of the only callers.
    unsafe { _mm256_loadu_si256(LANES.as_ptr().add(8 - len).cast()) }
}

/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn halves(a: __m256) -> (__m128, __m128) {
    // SAFETY: as the caller promises.
    unsafe { (_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a)) }
}

/// Row `index % 16`.
///
/// # Safety
/// The CPU has SSE2.
#[inline(always)]
unsafe fn row(table: &PairTable, index: i64) -> __m128d {
    // SAFETY: as the caller promises; a row holds two elements.
    unsafe { _mm_loadu_pd(table.rows[index as usize % 16].as_ptr()) }
}

impl Simd for Avx2 {
    const ISA: Isa = Isa::Avx2;
    const LANES: usize = 8;
    const F64_LANES: usize = 4;
    type Half = Self;
    type F32 = __m256;
    type I32 = __m256i;
    type U32 = __m256i;
    type Mask = __m256;
    type F64 = __m256d;
    type U64 = __m256i;
    type Mask64 = __m256d;

    #[inline(always)]
    fn from_level(level: Level) -> Option<Self> {
        level.has(Isa::Avx2).then_some(Self(()))
    }

    #[inline(always)]
    fn vectorize<K: Vectorized>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn enter<K: Vectorized>(s: Avx2, kernel: K) -> K::Output {
            kernel.run(s)
        }
        // SAFETY: the token proves that the CPU has AVX2 and FMA.
        unsafe { enter(self, kernel) }
    }

    #[inline(always)]
    fn half(self) -> Self::Half {
        self
    }

    #[inline(always)]
    fn prefetch(self, data: &[f32], index: usize) {
        // SAFETY: prefetching reads nothing, whatever the address; the pointer may wrap.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(data.as_ptr().wrapping_add(index).cast()) }
    }

    #[inline(always)]
    fn transpose8(self, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
        // SAFETY: the token proves AVX2.
        unsafe { super::transpose8(from, from_stride, to, to_stride) }
    }

    #[inline(always)]
    fn f64_transpose4(self, from: &[f64], from_stride: usize, to: &mut [f64], to_stride: usize) {
        // SAFETY: the token proves AVX2.
        unsafe { super::transpose4(from, from_stride, to, to_stride) }
    }

    #[inline(always)]
    fn byte_windows<const R: usize>(
        self,
        bytes: &[u8],
        places: (&[usize; R], &[usize]),
        flip: u32,
        lines: &[u32],
        sums: &mut [Self::I32; R],
    ) {
        super::byte_windows(self, bytes, places, flip, lines, sums);
    }

    ops! {
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        load(from: &[f32]) -> __m256 = {
            assert!(from.len() >= 8);
            _mm256_loadu_ps(from.as_ptr())
        };
        load_tail(from: &[f32]) -> __m256 =
            _mm256_maskload_ps(from.as_ptr(), tail_mask(from.len()));
        store(x: __m256, to: &mut [f32]) = {
            assert!(to.len() >= 8);
            _mm256_storeu_ps(to.as_mut_ptr(), x)
        };
        store_tail(x: __m256, to: &mut [f32]) =
            _mm256_maskstore_ps(to.as_mut_ptr(), tail_mask(to.len()), x);
        load_cells(from: &[Cell<f32>]) -> __m256 = {
            assert!(from.len() >= 8);
            _mm256_loadu_ps(from.as_ptr().cast())
        };
        load_cells_tail(from: &[Cell<f32>]) -> __m256 =
            _mm256_maskload_ps(from.as_ptr().cast(), tail_mask(from.len()));
        // A `Cell` may be written through a shared reference, and no other thread can see it.
        store_cells(x: __m256, to: &[Cell<f32>]) = {
            assert!(to.len() >= 8);
            _mm256_storeu_ps(to.as_ptr().cast::<f32>().cast_mut(), x)
        };
        store_cells_tail(x: __m256, to: &[Cell<f32>]) =
            _mm256_maskstore_ps(to.as_ptr().cast::<f32>().cast_mut(), tail_mask(to.len()), x);

        deal(a: __m256, b: __m256) -> (__m256, __m256) = {
            // Each half of a shuffle takes from one half of each operand.
            let low = _mm256_permute2f128_ps::<0x20>(a, b);
            let high = _mm256_permute2f128_ps::<0x31>(a, b);
            let even = _mm256_shuffle_ps::<0b10_00_10_00>(low, high);
            (even, _mm256_shuffle_ps::<0b11_01_11_01>(low, high))
        };

        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        neg_mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fnmadd_ps(a, b, c);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        floor(a: __m256) -> __m256 = _mm256_floor_ps(a);
        ceil(a: __m256) -> __m256 = _mm256_ceil_ps(a);
        round(a: __m256) -> __m256 =
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        lt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        le(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LE_OQ>(a, b);
        eq(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        select(mask: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, mask);
        mask_and(a: __m256, b: __m256) -> __m256 = _mm256_and_ps(a, b);
        mask_or(a: __m256, b: __m256) -> __m256 = _mm256_or_ps(a, b);
        mask_not(a: __m256) -> __m256 =
            _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));
        mask_bits(a: __m256) -> u32 = _mm256_movemask_ps(a).cast_unsigned();
        mask_any(a: __m256) -> bool = _mm256_movemask_ps(a) != 0;
        to_bits(a: __m256) -> __m256i = _mm256_castps_si256(a);
        from_bits(a: __m256i) -> __m256 = _mm256_castsi256_ps(a);
        round_to_i32(a: __m256) -> __m256i = _mm256_cvtps_epi32(a);
        i32_to_f32(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        reduce_add(a: __m256) -> f32 = {
            let (low, high) = halves(a);
            let a = _mm_add_ps(low, high);
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        };
        reduce_max(a: __m256) -> f32 = {
            let (low, high) = halves(a);
            let a = _mm_max_ps(low, high);
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        };
        reduce_min(a: __m256) -> f32 = {
            let (low, high) = halves(a);
            let a = _mm_min_ps(low, high);
            let a = _mm_min_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_min_ss(a, _mm_movehdup_ps(a)))
        };

        bytes_load(from: &[u8]) -> __m256i = {
            assert!(from.len() >= 8);
            _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.as_ptr().cast()))
        };
        bytes_store(x: __m256i, to: &mut [u8]) = {
            assert!(to.len() >= 8);
            // The low bytes of each half, then those of both.
            let low = _mm256_setr_epi64x(0x0c08_0400, -1, 0x0c08_0400, -1);
            let fours = _mm256_shuffle_epi8(x, low);
            let halves = (_mm256_castsi256_si128(fours), _mm256_extracti128_si256::<1>(fours));
            _mm_storel_epi64(to.as_mut_ptr().cast(), _mm_unpacklo_epi32(halves.0, halves.1));
        };

        i32_load(from: &[i32]) -> __m256i = {
            assert!(from.len() >= 8);
            _mm256_loadu_si256(from.as_ptr().cast())
        };
        i32_store(x: __m256i, to: &mut [i32]) = {
            assert!(to.len() >= 8);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), x)
        };
        i16_products(a: __m256i, b: __m256i, c: __m256i) -> __m256i =
            _mm256_add_epi32(c, _mm256_madd_epi16(a, b));
        i32_gt(a: __m256i, b: __m256i) -> __m256 = _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b));

        u32_splat(x: u32) -> __m256i = _mm256_set1_epi32(x.cast_signed());
        u32_lane_index() -> __m256i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        u32_load(from: &[u32]) -> __m256i = {
            assert!(from.len() >= 8);
            _mm256_loadu_si256(from.as_ptr().cast())
        };
        u32_store(x: __m256i, to: &mut [u32]) = {
            assert!(to.len() >= 8);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), x)
        };
        u32_add(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        u32_sub(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        u32_mul(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32(a, b);
        u32_mul_wide(a: __m256i, b: __m256i) -> (__m256i, __m256i) = {
            let even = _mm256_mul_epu32(a, b);
            let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
            let high = _mm256_blend_epi32::<0xaa>(_mm256_srli_epi64::<32>(even), odd);
            let low = _mm256_blend_epi32::<0xaa>(even, _mm256_slli_epi64::<32>(odd));
            (high, low)
        };
        u32_and(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        u32_or(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        u32_xor(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256(a, b);
        u32_eq(a: __m256i, b: __m256i) -> __m256 = _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
        lookup16(table: &[f32; 16], index: __m256i) -> __m256 = {
            let lower = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), index);
            let upper = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table[8..].as_ptr()), index);
            // Bit 3 of the index becomes the sign, by which the blend chooses.
            let choice = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
            _mm256_blendv_ps(lower, upper, choice)
        };

        f64_lookup16(table: &PairTable, index: __m256i) -> [__m256d; 2] = {
            // Lanes 0 and 2 beside lanes 1 and 3.
            let (low, high) = (_mm256_castsi256_si128(index), _mm256_extracti128_si256::<1>(index));
            let even = (_mm_cvtsi128_si64(low), _mm_cvtsi128_si64(high));
            let odd = (_mm_extract_epi64::<1>(low), _mm_extract_epi64::<1>(high));
            let even = _mm256_set_m128d(row(table, even.1), row(table, even.0));
            let odd = _mm256_set_m128d(row(table, odd.1), row(table, odd.0));
            [_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd)]
        };
        f64_splat(x: f64) -> __m256d = _mm256_set1_pd(x);
        f64_load(from: &[f64]) -> __m256d = {
            assert!(from.len() >= 4);
            _mm256_loadu_pd(from.as_ptr())
        };
        f64_store(x: __m256d, to: &mut [f64]) = {
            assert!(to.len() >= 4);
            _mm256_storeu_pd(to.as_mut_ptr(), x)
        };
        f64_load_f32(from: &[f32]) -> __m256d = {
            assert!(from.len() >= 4);
            _mm256_cvtps_pd(_mm_loadu_ps(from.as_ptr()))
        };
        f64_store_f32(x: __m256d, to: &mut [f32]) = {
            assert!(to.len() >= 4);
            _mm_storeu_ps(to.as_mut_ptr(), _mm256_cvtpd_ps(x))
        };
        f64_add(a: __m256d, b: __m256d) -> __m256d = _mm256_add_pd(a, b);
        f64_sub(a: __m256d, b: __m256d) -> __m256d = _mm256_sub_pd(a, b);
        f64_mul(a: __m256d, b: __m256d) -> __m256d = _mm256_mul_pd(a, b);
        f64_div(a: __m256d, b: __m256d) -> __m256d = _mm256_div_pd(a, b);
        f64_mul_add(a: __m256d, b: __m256d, c: __m256d) -> __m256d = _mm256_fmadd_pd(a, b, c);
        f64_neg_mul_add(a: __m256d, b: __m256d, c: __m256d) -> __m256d =
            _mm256_fnmadd_pd(a, b, c);
        f64_sqrt(a: __m256d) -> __m256d = _mm256_sqrt_pd(a);
        f64_round(a: __m256d) -> __m256d =
            _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        f64_min(a: __m256d, b: __m256d) -> __m256d = _mm256_min_pd(a, b);
        f64_max(a: __m256d, b: __m256d) -> __m256d = _mm256_max_pd(a, b);
        f64_lt(a: __m256d, b: __m256d) -> __m256d = _mm256_cmp_pd::<_CMP_LT_OQ>(a, b);
        f64_le(a: __m256d, b: __m256d) -> __m256d = _mm256_cmp_pd::<_CMP_LE_OQ>(a, b);
        f64_eq(a: __m256d, b: __m256d) -> __m256d = _mm256_cmp_pd::<_CMP_EQ_OQ>(a, b);
        f64_select(mask: __m256d, a: __m256d, b: __m256d) -> __m256d =
            _mm256_blendv_pd(b, a, mask);
        mask64_and(a: __m256d, b: __m256d) -> __m256d = _mm256_and_pd(a, b);
        mask64_or(a: __m256d, b: __m256d) -> __m256d = _mm256_or_pd(a, b);
        mask64_not(a: __m256d) -> __m256d =
            _mm256_xor_pd(a, _mm256_castsi256_pd(_mm256_set1_epi32(-1)));
        mask64_any(a: __m256d) -> bool = _mm256_movemask_pd(a) != 0;
        f64_to_bits(a: __m256d) -> __m256i = _mm256_castpd_si256(a);
        f64_from_bits(a: __m256i) -> __m256d = _mm256_castsi256_pd(a);

        u64_splat(x: u64) -> __m256i = _mm256_set1_epi64x(x.cast_signed());
        u64_lane_index() -> __m256i = _mm256_setr_epi64x(0, 1, 2, 3);
        u64_load(from: &[u64]) -> __m256i = {
            assert!(from.len() >= 4);
            _mm256_loadu_si256(from.as_ptr().cast())
        };
        u64_store(x: __m256i, to: &mut [u64]) = {
            assert!(to.len() >= 4);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), x)
        };
        u64_load_u32(from: &[u32]) -> __m256i = {
            assert!(from.len() >= 4);
            _mm256_cvtepu32_epi64(_mm_loadu_si128(from.as_ptr().cast()))
        };
        u64_from_u32(low: __m256i, high: __m256i) -> [__m256i; 2] = {
            // Each half of an unpacking takes from one half of each operand.
            let even = _mm256_unpacklo_epi32(low, high);
            let odd = _mm256_unpackhi_epi32(low, high);
            [
                _mm256_permute2x128_si256::<0x20>(even, odd),
                _mm256_permute2x128_si256::<0x31>(even, odd),
            ]
        };
        u64_to_nearest_f64(a: __m256i) -> __m256d = {
            // The halves as the last bits of 2^84 and of 2^52; only the last sum is rounded.
            let exponents = (0x4530_0000_0000_0000, 0x4330_0000_0000_0000);
            let high = _mm256_or_si256(_mm256_srli_epi64::<32>(a), _mm256_set1_epi64x(exponents.0));
            let low = _mm256_blend_epi32::<0xaa>(a, _mm256_set1_epi64x(exponents.1));
            let both = _mm256_set1_pd(19_342_813_118_337_666_422_669_312.0);
            _mm256_add_pd(
                _mm256_sub_pd(_mm256_castsi256_pd(high), both),
                _mm256_castsi256_pd(low),
            )
        };
        u64_add(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi64(a, b);
        u64_sub(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi64(a, b);
        u64_mul_low32(a: __m256i, b: __m256i) -> __m256i = _mm256_mul_epu32(a, b);
        u64_and(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        u64_or(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        u64_xor(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256(a, b);
        u64_eq(a: __m256i, b: __m256i) -> __m256d = _mm256_castsi256_pd(_mm256_cmpeq_epi64(a, b));
    }

    #[inline(always)]
    fn i32_to_u32(self, a: __m256i) -> __m256i {
        a
    }
    #[inline(always)]
    fn u32_to_i32(self, a: __m256i) -> __m256i {
        a
    }
    #[inline(always)]
    fn i32_shr<const N: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_sra_epi32(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }
    #[inline(always)]
    fn u32_shl<const N: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }
    #[inline(always)]
    fn u32_shr<const N: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_srl_epi32(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }
    #[inline(always)]
    fn u32_rotate_left<const N: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe {
            let left = _mm256_sll_epi32(a, _mm_cvtsi32_si128(N.cast_signed()));
            let right = _mm256_srl_epi32(a, _mm_cvtsi32_si128((32 - N).cast_signed()));
            _mm256_or_si256(left, right)
        }
    }
    #[inline(always)]
    fn u64_shl<const N: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_sll_epi64(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }
    #[inline(always)]
    fn u64_shr<const N: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_srl_epi64(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }
}
