//! The vector instructions that kernels are written in.
//!
//! Owns [`Simd`], a zero-sized token per instruction set whose methods are its instructions, and
//! [`Vectorized`], a loop that is compiled once for each of them. Its invariant: a token is made
//! only from a [`Level`] that proves its instructions, so every method is safe.
//!
//! Every elementwise method gives the same bits on every instruction set (a NaN's payload and
//! sign excepted): one correctly rounded IEEE operation, subnormals included. Only the reductions
//! depend on the number of lanes, and [`Simd::mul_add_relaxed`] on the CPU.
//!
//! Methods without a prefix work on `f32`; `i32_`, `u32_`, `f64_` and `u64_` name the others.
//!
//! A kernel is a struct of its arguments with a `run` that must be `#[inline(always)]`, entered
//! through [`Simd::vectorize`]; what `run` calls with the token must be `#[inline(always)]` too,
//! or the call leaves the instruction set behind. Closures do not inherit it.

use core::cell::Cell;

use super::isa::{Isa, Level};
use super::scalar::Scalar;

/// A loop that can be compiled for any instruction set.
///
/// # Examples
/// ```
/// use nowcast::kernels::{Level, Simd, Vectorized, dispatch};
///
/// struct Sum<'a>(&'a [f32]);
/// impl Vectorized for Sum<'_> {
///     type Output = f32;
///     #[inline(always)]
///     fn run<S: Simd>(self, s: S) -> f32 {
///         let mut sum = s.splat(0.0);
///         let mut chunks = self.0.chunks_exact(S::LANES);
///         for chunk in &mut chunks {
///             sum = s.add(sum, s.load(chunk));
///         }
///         s.reduce_add(s.add(sum, s.load_tail(chunks.remainder())))
///     }
/// }
/// assert_eq!(dispatch(Level::detect(), Sum(&[1.0; 37])), 37.0);
/// ```
pub trait Vectorized {
    /// What the loop returns.
    type Output;
    /// The loop. Implementations must be `#[inline(always)]`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Runs `kernel` compiled for the instruction set of `level`.
///
/// **Cost**: one branch and one call.
#[inline]
pub fn dispatch<K: Vectorized>(level: Level, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(s) = super::x86_64::Avx512::from_level(level) {
            return s.vectorize(kernel);
        }
        if let Some(s) = super::x86_64::Avx2::from_level(level) {
            return s.vectorize(kernel);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if let Some(s) = super::aarch64::Neon::from_level(level) {
        return s.vectorize(kernel);
    }
    let _ = level;
    scalar(kernel)
}

/// Out of line beside other instruction sets, which would have its memory on the stack as well.
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
fn scalar<K: Vectorized>(kernel: K) -> K::Output {
    Scalar.vectorize(kernel)
}

/// Sixteen rows of two numbers, for [`Simd::f64_lookup16`]: by rows where memory is read at an
/// index, by columns where registers are permuted.
#[derive(Clone, Copy, Debug)]
// No load crosses a cache line.
#[repr(align(64))]
pub struct PairTable {
    pub(super) rows: [[f64; 2]; 16],
    #[cfg(target_arch = "x86_64")]
    pub(super) columns: [[f64; 16]; 2],
}

impl PairTable {
    /// The table of two columns.
    pub const fn new(columns: [[f64; 16]; 2]) -> Self {
        let mut rows = [[0.0; 2]; 16];
        let mut row = 0;
        while row < 16 {
            rows[row] = [columns[0][row], columns[1][row]];
            row += 1;
        }
        Self {
            rows,
            #[cfg(target_arch = "x86_64")]
            columns,
        }
    }
}

/// An instruction set: a zero-sized proof that the CPU has it, and its instructions.
///
/// Loads and stores panic on a slice shorter than the vector; the `_tail` ones on a slice longer
/// than it, fill missing lanes with zero and leave missing elements alone.
#[allow(clippy::wrong_self_convention, reason = "`self` is the token, not the value")]
pub trait Simd: Copy + core::fmt::Debug + Send + Sync + 'static {
    /// Which instruction set it is.
    const ISA: Isa;
    /// Lanes of `F32`, `I32` and `U32`: a divisor of 16.
    const LANES: usize;
    /// Lanes of `F64` and `U64`: half of `LANES`, but at least one.
    const F64_LANES: usize;

    /// An instruction set with half of the lanes, where this one has one within it; else itself.
    type Half: Simd;

    /// A vector of `f32`.
    type F32: Copy;
    /// A vector of `i32`.
    type I32: Copy;
    /// A vector of `u32`.
    type U32: Copy;
    /// One truth value for each 32-bit lane.
    type Mask: Copy;
    /// A vector of `f64`.
    type F64: Copy;
    /// A vector of `u64`.
    type U64: Copy;
    /// One truth value for each 64-bit lane.
    type Mask64: Copy;

    /// The token, if `level` proves this instruction set.
    fn from_level(level: Level) -> Option<Self>;
    /// Runs `kernel` compiled for this instruction set.
    fn vectorize<K: Vectorized>(self, kernel: K) -> K::Output;
    /// The token of [`Half`](Self::Half).
    fn half(self) -> Self::Half;
    /// Asks for the cache line that holds `data[index]`; an index past the end is harmless.
    fn prefetch(self, data: &[f32], index: usize);

    // f32: memory

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F32;
    /// The first `LANES` elements.
    fn load(self, from: &[f32]) -> Self::F32;
    /// All elements, then zeros.
    fn load_tail(self, from: &[f32]) -> Self::F32;
    /// Writes the first `LANES` elements.
    fn store(self, x: Self::F32, to: &mut [f32]);
    /// Writes all elements.
    fn store_tail(self, x: Self::F32, to: &mut [f32]);
    /// [`load`](Self::load) from cells.
    fn load_cells(self, from: &[Cell<f32>]) -> Self::F32;
    /// [`load_tail`](Self::load_tail) from cells.
    fn load_cells_tail(self, from: &[Cell<f32>]) -> Self::F32;
    /// [`store`](Self::store) to cells.
    fn store_cells(self, x: Self::F32, to: &[Cell<f32>]);
    /// [`store_tail`](Self::store_tail) to cells.
    fn store_cells_tail(self, x: Self::F32, to: &[Cell<f32>]);

    /// Transposes eight by eight elements: `to[i * to_stride + j] = from[j * from_stride + i]`.
    #[inline(always)]
    fn transpose8(self, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
        for j in 0..8 {
            let row = &from[j * from_stride..][..8];
            for (i, x) in row.iter().enumerate() {
                to[i * to_stride + j] = *x;
            }
        }
    }

    /// The elements with even indices and those with odd ones of `a` and then `b`.
    #[inline(always)]
    fn deal(self, a: Self::F32, b: Self::F32) -> (Self::F32, Self::F32) {
        let (mut both, mut even, mut odd) = ([0.0; 32], [0.0; 16], [0.0; 16]);
        self.store(a, &mut both);
        self.store(b, &mut both[Self::LANES..]);
        for i in 0..Self::LANES {
            (even[i], odd[i]) = (both[2 * i], both[2 * i + 1]);
        }
        (self.load(&even), self.load(&odd))
    }

    // f32: arithmetic

    /// `a + b`.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `c - a * b`, rounded once.
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once or twice, whichever is faster here: for sums of products that
    /// promise a tolerance, not bits.
    #[inline(always)]
    fn mul_add_relaxed(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        self.mul_add(a, b, c)
    }
    /// `if a < b { a } else { b }`: `b` where either is NaN or both are zeros.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a > b { a } else { b }`: `b` where either is NaN or both are zeros.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The square root.
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// Rounded down.
    fn floor(self, a: Self::F32) -> Self::F32;
    /// Rounded up.
    fn ceil(self, a: Self::F32) -> Self::F32;
    /// Rounded to nearest, half to even.
    fn round(self, a: Self::F32) -> Self::F32;
    /// With the sign bit cleared.
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        self.from_bits(self.u32_and(self.to_bits(a), self.u32_splat(0x7fff_ffff)))
    }
    /// With the sign bit flipped.
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        self.from_bits(self.u32_xor(self.to_bits(a), self.u32_splat(0x8000_0000)))
    }
    /// The magnitude of `a` with the sign of `sign`.
    #[inline(always)]
    fn copysign(self, a: Self::F32, sign: Self::F32) -> Self::F32 {
        let magnitude = self.u32_and(self.to_bits(a), self.u32_splat(0x7fff_ffff));
        let sign = self.u32_and(self.to_bits(sign), self.u32_splat(0x8000_0000));
        self.from_bits(self.u32_or(magnitude, sign))
    }

    // f32: comparison and choice; comparisons are false where either is NaN

    /// `a < b`.
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a <= b`.
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a == b`.
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a > b`.
    #[inline(always)]
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        self.lt(b, a)
    }
    /// `a >= b`.
    #[inline(always)]
    fn ge(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        self.le(b, a)
    }
    /// Whether it is NaN.
    #[inline(always)]
    fn is_nan(self, a: Self::F32) -> Self::Mask {
        self.mask_not(self.eq(a, a))
    }
    /// `if mask { a } else { b }`.
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a && b`.
    fn mask_and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `a || b`.
    fn mask_or(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `!a`.
    fn mask_not(self, a: Self::Mask) -> Self::Mask;
    /// Bit `i` of the result is whether lane `i` is true.
    #[inline(always)]
    fn mask_bits(self, a: Self::Mask) -> u32 {
        let mut lanes = [0.0; 16];
        self.store(self.select(a, self.splat(1.0), self.splat(0.0)), &mut lanes);
        lanes.iter().enumerate().fold(0, |bits, (i, x)| bits | u32::from(*x != 0.0) << i)
    }
    /// Whether any lane is true.
    fn mask_any(self, a: Self::Mask) -> bool;
    /// Whether every lane is true.
    #[inline(always)]
    fn mask_all(self, a: Self::Mask) -> bool {
        !self.mask_any(self.mask_not(a))
    }

    // f32: conversion and reduction

    /// The bits of each lane.
    fn to_bits(self, a: Self::F32) -> Self::U32;
    /// The floats with these bits.
    fn from_bits(self, a: Self::U32) -> Self::F32;
    /// Rounded to the nearest integer, half to even; any value where it does not fit or is NaN.
    fn round_to_i32(self, a: Self::F32) -> Self::I32;
    /// The nearest float, ties to even: exact below 2^24.
    fn i32_to_f32(self, a: Self::I32) -> Self::F32;
    /// The sum of the lanes: the upper half is added to the lower until one is left.
    fn reduce_add(self, a: Self::F32) -> f32;
    /// The largest lane, halving as [`reduce_add`](Self::reduce_add) by [`max`](Self::max) with
    /// the lower half first; any lane or NaN if there is a NaN.
    fn reduce_max(self, a: Self::F32) -> f32;
    /// The smallest lane, halving as [`reduce_add`](Self::reduce_add) by [`min`](Self::min) with
    /// the lower half first; any lane or NaN if there is a NaN.
    fn reduce_min(self, a: Self::F32) -> f32;

    // bytes

    /// The first `LANES` bytes, each in the low bits of a lane, zeros above.
    #[inline(always)]
    fn bytes_load(self, from: &[u8]) -> Self::U32 {
        self.bytes_load_tail(&from[..Self::LANES])
    }
    /// All bytes, then zeros.
    #[inline(always)]
    fn bytes_load_tail(self, from: &[u8]) -> Self::U32 {
        let mut lanes = [0; 16];
        for (lane, x) in lanes[..Self::LANES][..from.len()].iter_mut().zip(from) {
            *lane = u32::from(*x);
        }
        self.u32_load(&lanes)
    }
    /// Writes the low byte of each lane to the first `LANES` bytes.
    #[inline(always)]
    fn bytes_store(self, x: Self::U32, to: &mut [u8]) {
        self.bytes_store_tail(x, &mut to[..Self::LANES]);
    }
    /// Writes all bytes.
    #[inline(always)]
    fn bytes_store_tail(self, x: Self::U32, to: &mut [u8]) {
        let mut lanes = [0; 16];
        self.u32_store(x, &mut lanes);
        assert!(to.len() <= Self::LANES, "a tail longer than the vector");
        for (to, lane) in to.iter_mut().zip(lanes) {
            *to = lane as u8;
        }
    }

    // i32: two's complement, wrapping

    /// The first `LANES` elements.
    fn i32_load(self, from: &[i32]) -> Self::I32;
    /// Writes the first `LANES` elements.
    fn i32_store(self, x: Self::I32, to: &mut [i32]);
    /// All lanes `x`.
    #[inline(always)]
    fn i32_splat(self, x: i32) -> Self::I32 {
        self.u32_to_i32(self.u32_splat(x.cast_unsigned()))
    }
    /// `a + b`.
    #[inline(always)]
    fn i32_add(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        self.u32_to_i32(self.u32_add(self.i32_to_u32(a), self.i32_to_u32(b)))
    }
    /// `a - b`.
    #[inline(always)]
    fn i32_sub(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        self.u32_to_i32(self.u32_sub(self.i32_to_u32(a), self.i32_to_u32(b)))
    }
    /// `a >> N` with copies of the sign, `N` below 32.
    fn i32_shr<const N: u32>(self, a: Self::I32) -> Self::I32;
    /// `a > b`.
    fn i32_gt(self, a: Self::I32, b: Self::I32) -> Self::Mask;
    /// The same bits, unsigned.
    fn i32_to_u32(self, a: Self::I32) -> Self::U32;

    /// `c` and the products of the lower and of the upper halves of `a` and `b`, which are signed
    /// integers of 16 bits.
    #[inline(always)]
    fn i16_products(self, a: Self::U32, b: Self::U32, c: Self::I32) -> Self::I32 {
        let upper = |x: Self::U32| self.i32_to_u32(self.i32_shr::<16>(self.u32_to_i32(x)));
        let lower = |x: Self::U32| upper(self.u32_shl::<16>(x));
        let products = self.u32_mul(lower(a), lower(b));
        let products = self.u32_add(products, self.u32_mul(upper(a), upper(b)));
        self.i32_add(c, self.u32_to_i32(products))
    }

    /// Adds to each of `sums` the products of the bytes that are at the `offsets` from one of
    /// `begins` on, a vector each, with 16-bit weights: two offsets share a line of 16 words, with
    /// their weights in its halves. Bytes are unsigned once bits of `flip` are flipped, which has
    /// them in both halves of a word.
    ///
    /// **Panics**: if `bytes` or `lines` end before.
    #[inline(always)]
    fn byte_windows<const R: usize>(
        self,
        bytes: &[u8],
        (begins, offsets): (&[usize; R], &[usize]),
        flip: u32,
        lines: &[u32],
        sums: &mut [Self::I32; R],
    ) {
        let flip = self.u32_splat(flip);
        assert!(lines.chunks(16).len() >= offsets.chunks(2).len(), "too few lines");
        for (offsets, line) in offsets.chunks(2).zip(lines.chunks(16)) {
            let weights = self.u32_load(line);
            for (sum, begin) in sums.iter_mut().zip(begins) {
                let mut word = self.bytes_load(&bytes[begin + offsets[0]..]);
                if let [_, second] = offsets {
                    let upper = self.bytes_load(&bytes[begin + second..]);
                    word = self.u32_or(word, self.u32_shl::<16>(upper));
                }
                *sum = self.i16_products(self.u32_xor(word, flip), weights, *sum);
            }
        }
    }

    // u32: wrapping

    /// All lanes `x`.
    fn u32_splat(self, x: u32) -> Self::U32;
    /// 0, 1, 2 and so on.
    fn u32_lane_index(self) -> Self::U32;
    /// The first `LANES` elements.
    fn u32_load(self, from: &[u32]) -> Self::U32;
    /// Writes the first `LANES` elements.
    fn u32_store(self, x: Self::U32, to: &mut [u32]);
    /// `a + b`.
    fn u32_add(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a - b`.
    fn u32_sub(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// The low 32 bits of `a * b`.
    fn u32_mul(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// The 64-bit product of each lane as `(high, low)`.
    fn u32_mul_wide(self, a: Self::U32, b: Self::U32) -> (Self::U32, Self::U32);
    /// `a & b`.
    fn u32_and(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a | b`.
    fn u32_or(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a ^ b`.
    fn u32_xor(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a << N`, `N` below 32.
    fn u32_shl<const N: u32>(self, a: Self::U32) -> Self::U32;
    /// `a >> N`, `N` below 32.
    fn u32_shr<const N: u32>(self, a: Self::U32) -> Self::U32;
    /// `a` rotated left by `N`, `N` from 1 to 31.
    fn u32_rotate_left<const N: u32>(self, a: Self::U32) -> Self::U32;
    /// `a == b`.
    fn u32_eq(self, a: Self::U32, b: Self::U32) -> Self::Mask;
    /// `if mask { a } else { b }`.
    #[inline(always)]
    fn u32_select(self, mask: Self::Mask, a: Self::U32, b: Self::U32) -> Self::U32 {
        self.to_bits(self.select(mask, self.from_bits(a), self.from_bits(b)))
    }
    /// `table[index % 16]` in each lane.
    fn lookup16(self, table: &[f32; 16], index: Self::U32) -> Self::F32;
    /// The same bits, signed.
    fn u32_to_i32(self, a: Self::U32) -> Self::I32;
    /// The float of each lane below 2^24, exactly; values up to 2^31 are rounded to nearest even.
    #[inline(always)]
    fn u32_to_f32(self, a: Self::U32) -> Self::F32 {
        self.i32_to_f32(self.u32_to_i32(a))
    }

    // f64

    /// Both columns of row `index % 16` in each lane.
    fn f64_lookup16(self, table: &PairTable, index: Self::U64) -> [Self::F64; 2];
    /// All lanes `x`.
    fn f64_splat(self, x: f64) -> Self::F64;
    /// The first `F64_LANES` elements.
    fn f64_load(self, from: &[f64]) -> Self::F64;
    /// Writes the first `F64_LANES` elements.
    fn f64_store(self, x: Self::F64, to: &mut [f64]);
    /// Transposes four by four elements: `to[i * to_stride + j] = from[j * from_stride + i]`.
    #[inline(always)]
    fn f64_transpose4(self, from: &[f64], from_stride: usize, to: &mut [f64], to_stride: usize) {
        for j in 0..4 {
            let row = &from[j * from_stride..][..4];
            for (i, x) in row.iter().enumerate() {
                to[i * to_stride + j] = *x;
            }
        }
    }
    /// All elements, then zeros.
    #[inline(always)]
    fn f64_load_tail(self, from: &[f64]) -> Self::F64 {
        let mut lanes = [0.0; 8];
        lanes[..Self::F64_LANES][..from.len()].copy_from_slice(from);
        self.f64_load(&lanes)
    }
    /// Writes all elements.
    #[inline(always)]
    fn f64_store_tail(self, x: Self::F64, to: &mut [f64]) {
        let mut lanes = [0.0; 8];
        self.f64_store(x, &mut lanes);
        to.copy_from_slice(&lanes[..Self::F64_LANES][..to.len()]);
    }
    /// The first `F64_LANES` elements, widened.
    fn f64_load_f32(self, from: &[f32]) -> Self::F64;
    /// Writes the first `F64_LANES` elements, each rounded to the nearest float, ties to even.
    fn f64_store_f32(self, x: Self::F64, to: &mut [f32]);
    /// `a + b`.
    fn f64_add(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a - b`.
    fn f64_sub(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a * b`.
    fn f64_mul(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a / b`.
    fn f64_div(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a * b + c`, rounded once.
    fn f64_mul_add(self, a: Self::F64, b: Self::F64, c: Self::F64) -> Self::F64;
    /// `c - a * b`, rounded once.
    fn f64_neg_mul_add(self, a: Self::F64, b: Self::F64, c: Self::F64) -> Self::F64;
    /// The square root.
    fn f64_sqrt(self, a: Self::F64) -> Self::F64;
    /// Rounded to nearest, half to even.
    fn f64_round(self, a: Self::F64) -> Self::F64;
    /// With the sign bit cleared.
    #[inline(always)]
    fn f64_abs(self, a: Self::F64) -> Self::F64 {
        self.f64_from_bits(self.u64_and(self.f64_to_bits(a), self.u64_splat(!(1 << 63))))
    }
    /// With the sign bit flipped.
    #[inline(always)]
    fn f64_neg(self, a: Self::F64) -> Self::F64 {
        self.f64_from_bits(self.u64_xor(self.f64_to_bits(a), self.u64_splat(1 << 63)))
    }
    /// The magnitude of `a` with the sign of `sign`.
    #[inline(always)]
    fn f64_copysign(self, a: Self::F64, sign: Self::F64) -> Self::F64 {
        let magnitude = self.u64_and(self.f64_to_bits(a), self.u64_splat(!(1 << 63)));
        let sign = self.u64_and(self.f64_to_bits(sign), self.u64_splat(1 << 63));
        self.f64_from_bits(self.u64_or(magnitude, sign))
    }
    /// `if a < b { a } else { b }`.
    #[inline(always)]
    fn f64_min(self, a: Self::F64, b: Self::F64) -> Self::F64 {
        self.f64_select(self.f64_lt(a, b), a, b)
    }
    /// `if a > b { a } else { b }`.
    #[inline(always)]
    fn f64_max(self, a: Self::F64, b: Self::F64) -> Self::F64 {
        self.f64_select(self.f64_lt(b, a), a, b)
    }
    /// `a < b`.
    fn f64_lt(self, a: Self::F64, b: Self::F64) -> Self::Mask64;
    /// `a <= b`.
    fn f64_le(self, a: Self::F64, b: Self::F64) -> Self::Mask64;
    /// `a == b`.
    fn f64_eq(self, a: Self::F64, b: Self::F64) -> Self::Mask64;
    /// `if mask { a } else { b }`.
    fn f64_select(self, mask: Self::Mask64, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a && b`.
    fn mask64_and(self, a: Self::Mask64, b: Self::Mask64) -> Self::Mask64;
    /// `a || b`.
    fn mask64_or(self, a: Self::Mask64, b: Self::Mask64) -> Self::Mask64;
    /// `!a`.
    fn mask64_not(self, a: Self::Mask64) -> Self::Mask64;
    /// Whether any lane is true.
    fn mask64_any(self, a: Self::Mask64) -> bool;
    /// The bits of each lane.
    fn f64_to_bits(self, a: Self::F64) -> Self::U64;
    /// The floats with these bits.
    fn f64_from_bits(self, a: Self::U64) -> Self::F64;

    // u64: wrapping

    /// All lanes `x`.
    fn u64_splat(self, x: u64) -> Self::U64;
    /// 0, 1, 2 and so on.
    fn u64_lane_index(self) -> Self::U64;
    /// The first `F64_LANES` elements.
    fn u64_load(self, from: &[u64]) -> Self::U64;
    /// Writes the first `F64_LANES` elements.
    fn u64_store(self, x: Self::U64, to: &mut [u64]);
    /// The first `F64_LANES` elements, with zeros above them.
    fn u64_load_u32(self, from: &[u32]) -> Self::U64;
    /// `low + 2^32 * high`, of the lower and of the upper half of the lanes. Where `F64_LANES` is
    /// `LANES`, both are the whole.
    fn u64_from_u32(self, low: Self::U32, high: Self::U32) -> [Self::U64; 2];
    /// `a + b`.
    fn u64_add(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a - b`.
    fn u64_sub(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// The 64-bit product of the low 32 bits of `a` and of `b`.
    fn u64_mul_low32(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a & b`.
    fn u64_and(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a | b`.
    fn u64_or(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a ^ b`.
    fn u64_xor(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a << N`, `N` below 64.
    fn u64_shl<const N: u32>(self, a: Self::U64) -> Self::U64;
    /// `a >> N`, `N` below 64.
    fn u64_shr<const N: u32>(self, a: Self::U64) -> Self::U64;
    /// `a == b`.
    fn u64_eq(self, a: Self::U64, b: Self::U64) -> Self::Mask64;
    /// The float of each lane below 2^52, exactly; any value above.
    #[inline(always)]
    fn u64_to_f64(self, a: Self::U64) -> Self::F64 {
        // 2^52 has the exponent at which the last bit of the significand counts one.
        let biased = self.u64_or(a, self.u64_splat(0x4330_0000_0000_0000));
        self.f64_sub(self.f64_from_bits(biased), self.f64_splat(4_503_599_627_370_496.0))
    }
    /// The nearest float, ties to even.
    fn u64_to_nearest_f64(self, a: Self::U64) -> Self::F64;
    /// The integer in each lane that is one from 0 to 2^52 - 1, exactly; any value elsewhere.
    #[inline(always)]
    fn f64_to_u64(self, a: Self::F64) -> Self::U64 {
        let biased = self.f64_add(a, self.f64_splat(4_503_599_627_370_496.0));
        self.u64_and(self.f64_to_bits(biased), self.u64_splat(0x000f_ffff_ffff_ffff))
    }
}
