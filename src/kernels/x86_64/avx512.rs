//! Sixteen floats at a time: AVX-512 F, BW, VL and DQ.

use core::arch::x86_64::*;
use core::cell::Cell;

use crate::kernels::isa::{Isa, Level};
use crate::kernels::simd::{PairTable, Simd, Vectorized};

/// The token of AVX-512 F, BW, VL and DQ.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

/// Wraps instructions as methods of the trait.
macro_rules! ops {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: the token proves that the CPU has AVX-512 F, BW, VL and DQ; where memory is touched,
            // the body checks the slice's length first.
            unsafe { $body }
        }
    )*};
}

/// `true` in the first `len` lanes.
#[inline(always)]
fn tail_mask(len: usize) -> __mmask16 {
    assert!(len <= 16, "a tail longer than the vector");
    ((1u32 << len) - 1) as u16
}

/// # Safety
/// The CPU has AVX-512 DQ.
#[inline(always)]
unsafe fn halves(a: __m512) -> (__m256, __m256) {
    // SAFETY: as the caller promises.
    unsafe { (_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)) }
}

/// # Safety
/// The CPU has AVX.
#[inline(always)]
unsafe fn quarters(a: __m256) -> (__m128, __m128) {
    // SAFETY: as the caller promises.
    unsafe { (_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a)) }
}

impl Simd for Avx512 {
    const ISA: Isa = Isa::Avx512;
    const LANES: usize = 16;
    const F64_LANES: usize = 8;
    type Half = super::Avx2;
    type F32 = __m512;
    type I32 = __m512i;
    type U32 = __m512i;
    type Mask = __mmask16;
    type F64 = __m512d;
    type U64 = __m512i;
    type Mask64 = __mmask8;

    #[inline(always)]
    fn from_level(level: Level) -> Option<Self> {
        level.has(Isa::Avx512).then_some(Self(()))
    }

    #[inline(always)]
    fn vectorize<K: Vectorized>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
        fn enter<K: Vectorized>(s: Avx512, kernel: K) -> K::Output {
            kernel.run(s)
        }
        // SAFETY: the token proves that the CPU has AVX-512 F, BW, VL and DQ.
        unsafe { enter(self, kernel) }
    }

    #[inline(always)]
    fn half(self) -> super::Avx2 {
        super::Avx2::within(self)
    }

    #[inline(always)]
    fn prefetch(self, data: &[f32], index: usize) {
        // SAFETY: prefetching reads nothing, whatever the address; the pointer may wrap.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(data.as_ptr().wrapping_add(index).cast()) }
    }

    #[inline(always)]
    fn transpose8(self, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
        // SAFETY: the token proves AVX-512, and so AVX.
        unsafe { super::transpose8(from, from_stride, to, to_stride) }
    }

    #[inline(always)]
    fn f64_transpose4(self, from: &[f64], from_stride: usize, to: &mut [f64], to_stride: usize) {
        // SAFETY: the token proves AVX-512, and so AVX.
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
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        load(from: &[f32]) -> __m512 = {
            assert!(from.len() >= 16);
            _mm512_loadu_ps(from.as_ptr())
        };
        load_tail(from: &[f32]) -> __m512 =
            _mm512_maskz_loadu_ps(tail_mask(from.len()), from.as_ptr());
        store(x: __m512, to: &mut [f32]) = {
            assert!(to.len() >= 16);
            _mm512_storeu_ps(to.as_mut_ptr(), x)
        };
        store_tail(x: __m512, to: &mut [f32]) =
            _mm512_mask_storeu_ps(to.as_mut_ptr(), tail_mask(to.len()), x);
        load_cells(from: &[Cell<f32>]) -> __m512 = {
            assert!(from.len() >= 16);
            _mm512_loadu_ps(from.as_ptr().cast())
        };
        load_cells_tail(from: &[Cell<f32>]) -> __m512 =
            _mm512_maskz_loadu_ps(tail_mask(from.len()), from.as_ptr().cast());
        // A `Cell` may be written through a shared reference, and no other thread can see it.
        store_cells(x: __m512, to: &[Cell<f32>]) = {
            assert!(to.len() >= 16);
            _mm512_storeu_ps(to.as_ptr().cast::<f32>().cast_mut(), x)
        };
        store_cells_tail(x: __m512, to: &[Cell<f32>]) =
            _mm512_mask_storeu_ps(to.as_ptr().cast::<f32>().cast_mut(), tail_mask(to.len()), x);

        deal(a: __m512, b: __m512) -> (__m512, __m512) = {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        };

        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        neg_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        floor(a: __m512) -> __m512 = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a);
        ceil(a: __m512) -> __m512 = _mm512_roundscale_ps::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(a);
        round(a: __m512) -> __m512 =
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        le(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        eq(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        select(mask: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(mask, b, a);
        to_bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        from_bits(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        round_to_i32(a: __m512) -> __m512i = _mm512_cvtps_epi32(a);
        i32_to_f32(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        reduce_add(a: __m512) -> f32 = {
            let (low, high) = halves(a);
            let (low, high) = quarters(_mm256_add_ps(low, high));
            let a = _mm_add_ps(low, high);
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        };
        reduce_max(a: __m512) -> f32 = {
            let (low, high) = halves(a);
            let (low, high) = quarters(_mm256_max_ps(low, high));
            let a = _mm_max_ps(low, high);
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        };
        reduce_min(a: __m512) -> f32 = {
            let (low, high) = halves(a);
            let (low, high) = quarters(_mm256_min_ps(low, high));
            let a = _mm_min_ps(low, high);
            let a = _mm_min_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_min_ss(a, _mm_movehdup_ps(a)))
        };

        bytes_load(from: &[u8]) -> __m512i = {
            assert!(from.len() >= 16);
            _mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast()))
        };
        bytes_load_tail(from: &[u8]) -> __m512i =
            _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(tail_mask(from.len()), from.as_ptr().cast()));
        bytes_store(x: __m512i, to: &mut [u8]) = {
            assert!(to.len() >= 16);
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(x))
        };
        bytes_store_tail(x: __m512i, to: &mut [u8]) =
            _mm512_mask_cvtepi32_storeu_epi8(to.as_mut_ptr().cast(), tail_mask(to.len()), x);

        i32_load(from: &[i32]) -> __m512i = {
            assert!(from.len() >= 16);
            _mm512_loadu_si512(from.as_ptr().cast())
        };
        i32_store(x: __m512i, to: &mut [i32]) = {
            assert!(to.len() >= 16);
            _mm512_storeu_si512(to.as_mut_ptr().cast(), x)
        };
        i16_products(a: __m512i, b: __m512i, c: __m512i) -> __m512i =
            _mm512_add_epi32(c, _mm512_madd_epi16(a, b));
        i32_gt(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpgt_epi32_mask(a, b);

        u32_splat(x: u32) -> __m512i = _mm512_set1_epi32(x.cast_signed());
        u32_lane_index() -> __m512i =
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        u32_load(from: &[u32]) -> __m512i = {
            assert!(from.len() >= 16);
            _mm512_loadu_si512(from.as_ptr().cast())
        };
        u32_store(x: __m512i, to: &mut [u32]) = {
            assert!(to.len() >= 16);
            _mm512_storeu_si512(to.as_mut_ptr().cast(), x)
        };
        u32_add(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        u32_sub(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        u32_mul(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        u32_mul_wide(a: __m512i, b: __m512i) -> (__m512i, __m512i) = {
            let even = _mm512_mul_epu32(a, b);
            let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
            let high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64::<32>(even), odd);
            let low = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64::<32>(odd));
            (high, low)
        };
        u32_and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        u32_or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        u32_xor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        u32_eq(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpeq_epi32_mask(a, b);
        lookup16(table: &[f32; 16], index: __m512i) -> __m512 =
            _mm512_permutexvar_ps(index, _mm512_loadu_ps(table.as_ptr()));

        f64_lookup16(table: &PairTable, index: __m512i) -> [__m512d; 2] = {
            let [first, second] = &table.columns;
            let first = (_mm512_loadu_pd(first.as_ptr()), _mm512_loadu_pd(first[8..].as_ptr()));
            let second = (_mm512_loadu_pd(second.as_ptr()), _mm512_loadu_pd(second[8..].as_ptr()));
            [
                _mm512_permutex2var_pd(first.0, index, first.1),
                _mm512_permutex2var_pd(second.0, index, second.1),
            ]
        };
        f64_splat(x: f64) -> __m512d = _mm512_set1_pd(x);
        f64_load(from: &[f64]) -> __m512d = {
            assert!(from.len() >= 8);
            _mm512_loadu_pd(from.as_ptr())
        };
        f64_store(x: __m512d, to: &mut [f64]) = {
            assert!(to.len() >= 8);
            _mm512_storeu_pd(to.as_mut_ptr(), x)
        };
        f64_load_f32(from: &[f32]) -> __m512d = {
            assert!(from.len() >= 8);
            _mm512_cvtps_pd(_mm256_loadu_ps(from.as_ptr()))
        };
        f64_store_f32(x: __m512d, to: &mut [f32]) = {
            assert!(to.len() >= 8);
            _mm256_storeu_ps(to.as_mut_ptr(), _mm512_cvtpd_ps(x))
        };
        f64_add(a: __m512d, b: __m512d) -> __m512d = _mm512_add_pd(a, b);
        f64_sub(a: __m512d, b: __m512d) -> __m512d = _mm512_sub_pd(a, b);
        f64_mul(a: __m512d, b: __m512d) -> __m512d = _mm512_mul_pd(a, b);
        f64_div(a: __m512d, b: __m512d) -> __m512d = _mm512_div_pd(a, b);
        f64_mul_add(a: __m512d, b: __m512d, c: __m512d) -> __m512d = _mm512_fmadd_pd(a, b, c);
        f64_neg_mul_add(a: __m512d, b: __m512d, c: __m512d) -> __m512d =
            _mm512_fnmadd_pd(a, b, c);
        f64_sqrt(a: __m512d) -> __m512d = _mm512_sqrt_pd(a);
        f64_round(a: __m512d) -> __m512d =
            _mm512_roundscale_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        f64_min(a: __m512d, b: __m512d) -> __m512d = _mm512_min_pd(a, b);
        f64_max(a: __m512d, b: __m512d) -> __m512d = _mm512_max_pd(a, b);
        f64_lt(a: __m512d, b: __m512d) -> __mmask8 = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b);
        f64_le(a: __m512d, b: __m512d) -> __mmask8 = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(a, b);
        f64_eq(a: __m512d, b: __m512d) -> __mmask8 = _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(a, b);
        f64_select(mask: __mmask8, a: __m512d, b: __m512d) -> __m512d =
            _mm512_mask_blend_pd(mask, b, a);
        f64_to_bits(a: __m512d) -> __m512i = _mm512_castpd_si512(a);
        f64_from_bits(a: __m512i) -> __m512d = _mm512_castsi512_pd(a);

        u64_splat(x: u64) -> __m512i = _mm512_set1_epi64(x.cast_signed());
        u64_lane_index() -> __m512i = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
        u64_load(from: &[u64]) -> __m512i = {
            assert!(from.len() >= 8);
            _mm512_loadu_si512(from.as_ptr().cast())
        };
        u64_store(x: __m512i, to: &mut [u64]) = {
            assert!(to.len() >= 8);
            _mm512_storeu_si512(to.as_mut_ptr().cast(), x)
        };
        u64_load_u32(from: &[u32]) -> __m512i = {
            assert!(from.len() >= 8);
            _mm512_cvtepu32_epi64(_mm256_loadu_si256(from.as_ptr().cast()))
        };
        u64_from_u32(low: __m512i, high: __m512i) -> [__m512i; 2] = {
            let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
            [
                _mm512_permutex2var_epi32(low, first, high),
                _mm512_permutex2var_epi32(low, second, high),
            ]
        };
        u64_to_nearest_f64(a: __m512i) -> __m512d = _mm512_cvtepu64_pd(a);
        u64_add(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi64(a, b);
        u64_sub(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi64(a, b);
        u64_mul_low32(a: __m512i, b: __m512i) -> __m512i = _mm512_mul_epu32(a, b);
        u64_and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        u64_or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        u64_xor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        u64_eq(a: __m512i, b: __m512i) -> __mmask8 = _mm512_cmpeq_epi64_mask(a, b);
    }

    // A mask is a plain integer.
    #[inline(always)]
    fn mask_and(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }
    #[inline(always)]
    fn mask_or(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }
    #[inline(always)]
    fn mask_not(self, a: __mmask16) -> __mmask16 {
        !a
    }
    #[inline(always)]
    fn mask_bits(self, a: __mmask16) -> u32 {
        u32::from(a)
    }
    #[inline(always)]
    fn mask_any(self, a: __mmask16) -> bool {
        a != 0
    }
    #[inline(always)]
    fn mask64_and(self, a: __mmask8, b: __mmask8) -> __mmask8 {
        a & b
    }
    #[inline(always)]
    fn mask64_or(self, a: __mmask8, b: __mmask8) -> __mmask8 {
        a | b
    }
    #[inline(always)]
    fn mask64_not(self, a: __mmask8) -> __mmask8 {
        !a
    }
    #[inline(always)]
    fn mask64_any(self, a: __mmask8) -> bool {
        a != 0
    }
    #[inline(always)]
    fn i32_to_u32(self, a: __m512i) -> __m512i {
        a
    }
    #[inline(always)]
    fn u32_to_i32(self, a: __m512i) -> __m512i {
        a
    }
    #[inline(always)]
    fn i32_shr<const N: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }
    #[inline(always)]
    fn u32_shl<const N: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }
    #[inline(always)]
    fn u32_shr<const N: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_srl_epi32(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }
    #[inline(always)]
    fn u32_rotate_left<const N: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_rolv_epi32(a, _mm512_set1_epi32(N.cast_signed())) }
    }
    #[inline(always)]
    fn u64_shl<const N: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_sll_epi64(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }
    #[inline(always)]
    fn u64_shr<const N: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_srl_epi64(a, _mm_cvtsi32_si128(N.cast_signed())) }
    }
}
