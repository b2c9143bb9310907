//! Products of the types that have no packed weights.

use crate::tensor::Element;

/// An element that can be multiplied and added. Integers wrap.
pub trait Arithmetic: Element {
    /// `self + a * b`; floats round twice.
    fn plus_product(self, a: Self, b: Self) -> Self;
}

macro_rules! arithmetic {
    (wrapping $($ty:ty)*) => {$(
        impl Arithmetic for $ty {
            #[inline(always)]
            fn plus_product(self, a: Self, b: Self) -> Self {
                self.wrapping_add(a.wrapping_mul(b))
            }
        }
    )*};
    (float $($ty:ty)*) => {$(
        impl Arithmetic for $ty {
            #[inline(always)]
            fn plus_product(self, a: Self, b: Self) -> Self {
                self + a * b
            }
        }
    )*};
}
arithmetic!(wrapping i32 i64 u32 u64);
arithmetic!(float f32 f64);

/// `C = A B`, or `C + A B`, of matrices with any strides.
///
/// `A` is `m` by `k`, `B` is `k` by `n`, `C` is `m` by `n` with contiguous rows; a stride is the
/// number of elements to the next row or column.
#[derive(Debug)]
pub struct GemmScalar<'a, T> {
    /// Rows of `A` and `C`.
    pub m: usize,
    /// Columns of `B` and `C`.
    pub n: usize,
    /// Columns of `A`, rows of `B`.
    pub k: usize,
    /// `A`.
    pub a: &'a [T],
    /// Its row and column strides.
    pub a_strides: [usize; 2],
    /// `B`.
    pub b: &'a [T],
    /// Its row and column strides.
    pub b_strides: [usize; 2],
    /// Whether `C` is added to the product rather than overwritten.
    pub accumulate: bool,
    /// `C`.
    pub c: &'a mut [T],
    /// Elements from a row of `C` to the next.
    pub c_row_stride: usize,
}

/// Computes a [`GemmScalar`]: every element is one sum in ascending `k`.
///
/// **Panics**: if a slice is too short for its shape and strides.
///
/// **Cost**: `m n k` scalar multiply-adds, no allocation.
pub fn gemm_scalar<T: Arithmetic>(gemm: GemmScalar<'_, T>) {
    let GemmScalar { m, n, k, a, a_strides, b, b_strides, accumulate, c, c_row_stride } = gemm;
    if n == 0 {
        return;
    }
    for i in 0..m {
        let row = &mut c[i * c_row_stride..][..n];
        if !accumulate {
            row.fill(T::default());
        }
        for p in 0..k {
            let x = a[i * a_strides[0] + p * a_strides[1]];
            let from = &b[p * b_strides[0]..];
            if b_strides[1] == 1 {
                for (c, &b) in row.iter_mut().zip(&from[..n]) {
                    *c = c.plus_product(x, b);
                }
            } else {
                for (j, c) in row.iter_mut().enumerate() {
                    *c = c.plus_product(x, from[j * b_strides[1]]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_and_strides_transpose() {
        // A is stored column by column.
        let (a, b) = ([i32::MAX, 1, 2, 3], [2, 5, 7, 11]);
        let mut c = [1, 1, -1, 1, 1, -1];
        let gemm = GemmScalar {
            m: 2,
            n: 2,
            k: 2,
            a: &a,
            a_strides: [1, 2],
            b: &b,
            b_strides: [2, 1],
            accumulate: true,
            c: &mut c,
            c_row_stride: 3,
        };
        gemm_scalar(gemm);
        let first = i32::MAX.wrapping_mul(2).wrapping_add(15);
        assert_eq!(c, [first, i32::MAX.wrapping_mul(5).wrapping_add(23), -1, 24, 39, -1]);

        let mut c = [9.0; 2];
        let gemm = GemmScalar {
            m: 1,
            n: 2,
            k: 0,
            a: &[],
            a_strides: [0, 1],
            b: &[],
            b_strides: [2, 1],
            accumulate: false,
            c: &mut c,
            c_row_stride: 2,
        };
        gemm_scalar(gemm);
        assert_eq!(c, [0.0; 2]);
    }
}
