//! Factors that follow their matrix at `dim^2` a step.
//!
//! Owns updates and downdates of a Cholesky factor by one vector. Its invariant: a refused downdate
//! leaves the factor as it was. It must not know what the matrix is.
//!
//! Factors are lower triangles, packed by rows. Each product and each sum is rounded, in one fixed
//! order, without fused multiply-adds: the same bits on every host.

use super::cholesky::packed_len;
use crate::kernels::scalar::sqrt_f64;

/// Why a factor was not changed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum UpdateError {
    /// Without the vector the matrix would not be positive definite, or be singular up to rounding:
    /// of the part of the variance along it `left` would remain, which is not above `dim * 2^-52`.
    NotPositiveDefinite {
        /// One less the square of `L^-1 x`: minus infinity where a pivot is zero and the vector
        /// is not, NaN where a number is.
        left: f64,
    },
}

impl core::fmt::Display for UpdateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotPositiveDefinite { left } => {
                write!(f, "the matrix would not be positive definite: {left:e} is left")
            }
        }
    }
}

impl core::error::Error for UpdateError {}

/// Makes of the factor `L` of `A` that of `A + x x^T`.
///
/// No pivot of the result is negative, and none smaller in magnitude than before. Pivots may be
/// zero. What is finite stays so, unless a variance overflows.
///
/// **Shapes and units**: `factor` is the lower triangle of `[dim, dim]`, packed by rows, element
/// `[i, j]` at `i * (i + 1) / 2 + j`; `vector` is `[dim]` and is used up.
///
/// **Panics**: when `factor` has not `dim * (dim + 1) / 2` elements.
///
/// **Cost**: no allocation; `2 * dim^2` multiplications, `dim` square roots.
///
/// **Source**: Givens rotations, as method C1 of Gill, Golub, Murray & Saunders, "Methods for
/// modifying matrix factorizations", Mathematics of Computation 28(126), 1974; LINPACK `dchud`.
///
/// # Examples
/// ```
/// use nowcast::sampling::{rank_one_downdate, rank_one_update};
///
/// // [[1, 0], [0, 1]] + [3, 4] [3, 4]^T = [[10, 12], [12, 17]]
/// let mut factor = [1.0, 0.0, 1.0];
/// rank_one_update(&mut factor, &mut [3.0, 4.0]);
/// assert!((factor[0] - 10f64.sqrt()).abs() < 1e-15);
/// assert!((factor[0] * factor[1] - 12.0).abs() < 1e-14);
///
/// rank_one_downdate(&mut factor, &mut [3.0, 4.0])?;
/// assert!((factor[0] - 1.0).abs() < 1e-14 && factor[1].abs() < 1e-14);
/// assert!(rank_one_downdate(&mut factor, &mut [0.0, 1.5]).is_err());
/// # Ok::<(), nowcast::sampling::UpdateError>(())
/// ```
pub fn rank_one_update(factor: &mut [f64], vector: &mut [f64]) {
    rotate(factor, vector, 1.0);
}

/// Makes of the factor `L` of `A` that of `scale^2 * (A + x x^T)`.
pub(super) fn rotate(factor: &mut [f64], vector: &mut [f64], scale: f64) {
    assert_eq!(factor.len(), packed_len(vector.len()), "elements of the factor");
    for col in 0..vector.len() {
        let mut at = packed_len(col) + col;
        let [x, below @ ..] = &mut vector[col..] else { return };
        let (cosine, sine, length) = rotation(factor[at], *x);
        factor[at] = length * scale;
        *x = 0.0;
        for (row, x) in (col + 1..).zip(below) {
            at += row;
            let l = factor[at];
            factor[at] = (cosine * l + sine * *x) * scale;
            *x = cosine * *x - sine * l;
        }
    }
}

/// The rotation that takes `(a, b)` to `(length, 0)`, as `(cosine, sine, length)`.
fn rotation(a: f64, b: f64) -> (f64, f64, f64) {
    // Powers of two beyond which squares leave the range where they keep all their digits.
    const LARGE: f64 = (1u128 << 100) as f64 * (1u128 << 100) as f64 * (1u128 << 100) as f64;
    let largest = a.abs().max(b.abs());
    if largest == 0.0 {
        return (1.0, 0.0, 0.0);
    }
    let shift = if largest > LARGE {
        1.0 / LARGE / LARGE
    } else if largest < 1.0 / LARGE {
        LARGE * LARGE
    } else {
        1.0
    };
    let (a, b) = (a * shift, b * shift);
    let length = sqrt_f64(a * a + b * b);
    (a / length, b / length, length / shift)
}

/// Makes of the factor `L` of `A` that of `A - x x^T`.
///
/// The matrix keeps its determinant times `left = 1 - |L^-1 x|^2`, which is computed first. Digits
/// are lost as it nears zero: about as many as `1 / left` has.
///
/// **Shapes and units**: as [`rank_one_update`]; `vector` is used up in any case.
///
/// **Errors**: [`UpdateError::NotPositiveDefinite`] unless `left` is above `dim * 2^-52`; the factor
/// is unchanged. Where a pivot is zero, what is left of the vector there must be zero too.
///
/// **Panics**: when `factor` has not `dim * (dim + 1) / 2` elements.
///
/// **Cost**: no allocation; `2.5 * dim^2` multiplications, `dim` square roots.
///
/// **Source**: Stewart, "The effects of rounding error on an algorithm for downdating a Cholesky
/// factorization", IMA Journal of Applied Mathematics 23(2), 1979; LINPACK `dchdd`.
pub fn rank_one_downdate(factor: &mut [f64], vector: &mut [f64]) -> Result<(), UpdateError> {
    let dim = vector.len();
    assert_eq!(factor.len(), packed_len(dim), "elements of the factor");
    let mut left = 1.0;
    for row in 0..dim {
        let elements = &factor[packed_len(row)..][..=row];
        let sum = elements[..row].iter().zip(&*vector).fold(vector[row], |sum, (l, p)| sum - l * p);
        let p = if sum == 0.0 { 0.0 } else { sum / elements[row] };
        left -= p * p;
        vector[row] = p;
        if !left.is_finite() {
            break;
        }
    }
    if left.is_nan() || left <= dim as f64 * f64::EPSILON {
        return Err(UpdateError::NotPositiveDefinite { left });
    }
    // Rotations take `(root, p)` to `(1, 0)`, from the last element to the first; applied to a row
    // of zeros above the factor they take it back to `x`.
    let mut root = sqrt_f64(left);
    for col in (0..dim).rev() {
        let (cosine, sine, length) = rotation(root, vector[col]);
        root = length;
        vector[col] = 0.0;
        let mut at = packed_len(col) + col;
        for (row, x) in (col..).zip(&mut vector[col..]) {
            let l = factor[at];
            factor[at] = cosine * l - sine * *x;
            *x = cosine * *x + sine * l;
            at += row + 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
