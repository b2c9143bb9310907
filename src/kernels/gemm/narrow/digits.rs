//! Rows of `f32` as sums of three bytes, so that instructions for bytes multiply them.
//!
//! A row is rounded to whole numbers of 23 bits with a sign, counted in a fraction of its largest
//! element, and those are taken apart into three signed digits of eight bits. Three products of
//! bytes, each an exact sum, are together the product of the row to nearly the precision of `f32`:
//! what is lost is at most 2^-24 of the largest element, for each element. That is less than a sum
//! of products in `f32` loses, unless a row's largest element is far from its others; then the row
//! is none for digits.

use crate::kernels::narrow::NarrowWeights;
use crate::kernels::simd::{Simd, Vectorized};

/// Digits of an element.
pub(in crate::kernels) const DIGITS: usize = 3;

/// Nearly the largest number of three digits, which are up to 127: what is rounded to one beyond it
/// still has three.
const LARGEST: f32 = (127 << 16 | 127 << 8) as f32;

/// Most that the largest element may be of the mean of those that are not zero. Errors that are
/// 2^-24 of the largest element are then below 2^-19 of the mean, and of any sign.
const OUTLIER: f32 = 32.0;

/// Rows whose digits are there at a time.
pub(in crate::kernels) const DIGIT_ROWS: usize = 8;

/// Most elements that are multiplied before the sums become floats, which then is exact:
/// `512 * 255 * 128` is below 2^24.
const PART: usize = 512;

/// Elements behind which a part of a row begins anew, from `at` on: where a block ends, or where sums
/// must.
#[inline(always)]
pub(in crate::kernels) fn part_end(at: usize, k: usize, block: usize) -> usize {
    k.min(at + PART).min((at / block + 1).saturating_mul(block))
}

/// Bytes of a digit of a row of `k` elements, in whole words of any weights.
const fn plane_len(k: usize) -> Option<usize> {
    k.checked_next_multiple_of(8)
}

/// Bytes and floats that digits of a product of at most `m` rows take.
///
/// Returns `None` where that exceeds the address space.
pub const fn digits_len(m: usize, k: usize, block: usize) -> Option<(usize, usize)> {
    let rows = if m < DIGIT_ROWS { m } else { DIGIT_ROWS };
    if block == 0 {
        return None;
    }
    let parts = k.div_ceil(PART) + k.div_ceil(block);
    match (plane_len(k), DIGITS.checked_mul(parts)) {
        (Some(plane), Some(sums)) => {
            match (plane.checked_mul(DIGITS * rows), (sums + 1).checked_mul(rows)) {
                (Some(bytes), Some(floats)) => Some((bytes, floats)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The digits of some rows.
#[derive(Debug)]
pub(in crate::kernels) struct Rows<'a> {
    k: usize,
    block: usize,
    bytes: &'a mut [u8],
    /// For each row what one counts, then for each of its parts the sums of its digits.
    sums: &'a mut [f32],
}

impl<'a> Rows<'a> {
    /// Room for rows of `k` elements beside these weights.
    ///
    /// **Panics**: if there is less of it than [`digits_len`].
    pub(in crate::kernels) fn new(
        rows: usize,
        k: usize,
        weights: &NarrowWeights<'_>,
        bytes: &'a mut [u8],
        sums: &'a mut [f32],
    ) -> Self {
        let len = digits_len(rows, k, weights.block);
        let room = len.is_some_and(|(b, s)| bytes.len() >= b && sums.len() >= s);
        assert!(room, "no room for digits");
        Self { k, block: weights.block, bytes, sums }
    }

    fn plane(&self) -> usize {
        self.k.next_multiple_of(8)
    }

    fn sums_len(&self) -> usize {
        1 + DIGITS * (self.k.div_ceil(PART) + self.k.div_ceil(self.block))
    }

    /// The bytes of a digit of a row, zeros behind its elements.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(in crate::kernels) fn digit(&self, row: usize, digit: usize) -> &[u8] {
        let plane = self.plane();
        &self.bytes[(row * DIGITS + digit) * plane..][..plane]
    }

    /// What one counts in a row, and the sums of its digits, part by part.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(in crate::kernels) fn sums(&self, row: usize) -> (f32, &[f32]) {
        let len = self.sums_len();
        let sums = &self.sums[row * len..][..len];
        (sums[0], &sums[1..])
    }

    /// Takes a row apart; whether that is as good as `f32`.
    pub(in crate::kernels) fn take_apart<S: Simd>(&mut self, s: S, row: usize, x: &[f32]) -> bool {
        let (plane, len) = (self.plane(), self.sums_len());
        s.vectorize(TakeApart {
            x: &x[..self.k],
            block: self.block,
            bytes: &mut self.bytes[row * DIGITS * plane..][..DIGITS * plane],
            sums: &mut self.sums[row * len..][..len],
        })
    }
}

struct TakeApart<'a> {
    x: &'a [f32],
    block: usize,
    bytes: &'a mut [u8],
    sums: &'a mut [f32],
}

impl Vectorized for TakeApart<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        let Self { x, block, bytes, sums } = self;
        let Some(one) = one(s, x) else { return false };
        let inverse = s.splat(if one == 0.0 { 0.0 } else { 1.0 / one });
        sums[0] = one;
        let plane = bytes.len() / DIGITS;
        let (upper, rest) = bytes.split_at_mut(plane);
        let (middle, lower) = rest.split_at_mut(plane);
        let mut parts = sums[1..].chunks_exact_mut(DIGITS);
        let mut at = 0;
        while at < x.len() {
            let end = part_end(at, x.len(), block);
            let zero = s.u32_to_i32(s.u32_splat(0));
            let mut sum = [zero; DIGITS];
            let mut p = at;
            while p < end {
                let len = S::LANES.min(end - p);
                let whole = len == S::LANES;
                let from = &x[p..p + len];
                let digits =
                    digits(s, s.mul(if whole { s.load(from) } else { s.load_tail(from) }, inverse));
                let to = [&mut upper[p..p + len], &mut middle[p..p + len], &mut lower[p..p + len]];
                for ((to, digit), sum) in to.into_iter().zip(digits).zip(&mut sum) {
                    *sum = s.i32_add(*sum, digit);
                    match whole {
                        true => s.bytes_store(s.i32_to_u32(digit), to),
                        false => s.bytes_store_tail(s.i32_to_u32(digit), to),
                    }
                }
                p += len;
            }
            if let Some(part) = parts.next() {
                for (to, sum) in part.iter_mut().zip(sum) {
                    *to = s.reduce_add(s.i32_to_f32(sum));
                }
            }
            at = end;
        }
        for plane in [upper, middle, lower] {
            plane[x.len()..].fill(0);
        }
        true
    }
}

/// What one counts in a row; `None` where digits are not for it.
#[inline(always)]
fn one<S: Simd>(s: S, x: &[f32]) -> Option<f32> {
    let zero = s.splat(0.0);
    let (mut largest, mut sum, mut some) = (zero, zero, zero);
    let mut at = 0;
    while at < x.len() {
        let len = S::LANES.min(x.len() - at);
        let from = &x[at..at + len];
        let x = s.abs(if len == S::LANES { s.load(from) } else { s.load_tail(from) });
        largest = s.max(x, largest);
        sum = s.add(sum, x);
        some = s.add(some, s.select(s.gt(x, zero), s.splat(1.0), zero));
        at += len;
    }
    let (largest, sum, some) = (s.reduce_max(largest), s.reduce_add(sum), s.reduce_add(some));
    if largest == 0.0 && sum == 0.0 {
        return Some(0.0);
    }
    let usual = sum.is_finite() && (1e-25..=1e30).contains(&largest);
    (usual && largest * some <= OUTLIER * sum).then_some(largest / LARGEST)
}

/// The digits of numbers up to [`LARGEST`], the highest first.
#[inline(always)]
fn digits<S: Simd>(s: S, x: S::F32) -> [S::I32; DIGITS] {
    let low = |q: S::I32| s.i32_shr::<24>(s.u32_to_i32(s.u32_shl::<24>(s.i32_to_u32(q))));
    let q = s.round_to_i32(x);
    let lower = low(q);
    let q = s.i32_shr::<8>(s.i32_sub(q, lower));
    let middle = low(q);
    [s.i32_shr::<8>(s.i32_sub(q, middle)), middle, lower]
}
