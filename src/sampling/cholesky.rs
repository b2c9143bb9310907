//! The Cholesky factor, in double precision and one fixed order.
//!
//! Owns the factorization and the packed layout of its result. It must not know what the matrix
//! is.

use crate::kernels::scalar::{fma_f64, sqrt_f64};

/// Elements of a packed lower triangle: row by row, each up to its diagonal.
pub(super) const fn packed_len(dim: usize) -> usize {
    dim.saturating_mul(dim.saturating_add(1)) / 2
}

/// Row `row` of a packed lower triangle.
pub(super) fn packed_row(triangle: &[f64], row: usize) -> &[f64] {
    &triangle[packed_len(row)..][..row + 1]
}

/// A pivot that is not positive, and what was left of its variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BadPivot {
    pub(super) pivot: usize,
    pub(super) value: f64,
}

/// Replaces a packed symmetric matrix, its lower triangle, by its Cholesky factor.
///
/// Row by row; the element of row `i` and column `j` is `a[i][j]` less the products
/// `l[i][k] * l[j][k]` in ascending `k`, each by one fused multiply-add, then divided by `l[j][j]`
/// or, on the diagonal, its square root. So the bits are the same on every host.
///
/// A pivot is refused unless it is above `dim * 2^-52` of its diagonal element: what is left of a
/// singular matrix is rounding error of that size. On an error the triangle is spoilt.
pub(super) fn factor(triangle: &mut [f64], dim: usize) -> Result<(), BadPivot> {
    let threshold = dim as f64 * f64::EPSILON;
    for i in 0..dim {
        let (above, rest) = triangle.split_at_mut(packed_len(i));
        let (row, diagonal) = rest[..=i].split_at_mut(i);
        for j in 0..i {
            let other = packed_row(above, j);
            let (done, todo) = row.split_at_mut(j);
            let sum = done.iter().zip(other).fold(todo[0], |sum, (a, b)| fma_f64(-a, *b, sum));
            todo[0] = sum / other[j];
        }
        let value = row.iter().fold(diagonal[0], |sum, a| fma_f64(-a, *a, sum));
        if value.is_nan() || value <= threshold * diagonal[0] {
            return Err(BadPivot { pivot: i, value });
        }
        diagonal[0] = sqrt_f64(value);
    }
    Ok(())
}

pub(super) const fn semidefinite_scratch_len(dim: usize) -> usize {
    dim
}
pub(super) fn factor_semidefinite(
    triangle: &mut [f64],
    dim: usize,
    _: &mut [f64],
) -> Result<usize, BadPivot> {
    factor(triangle, dim)?;
    Ok(dim)
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_factors() {
        // Products of small integer factors: every step is exact.
        let mut triangle = [4.0, 12.0, 37.0, -16.0, -43.0, 98.0];
        assert_eq!(factor(&mut triangle, 3), Ok(()));
        assert_eq!(triangle, [2.0, 6.0, 1.0, -8.0, 5.0, 3.0]);

        let mut triangle = [25.0, 15.0, 18.0, -5.0, 0.0, 11.0];
        assert_eq!(factor(&mut triangle, 3), Ok(()));
        assert_eq!(triangle, [5.0, 3.0, 3.0, -1.0, 1.0, 3.0]);
    }

    #[test]
    fn hilbert_matrix_of_order_ten() {
        let dim = 10;
        let entry = |i: usize, j: usize| 1.0 / (i + j + 1) as f64;
        let mut triangle = [0.0; packed_len(10)];
        for i in 0..dim {
            for j in 0..=i {
                triangle[packed_len(i) + j] = entry(i, j);
            }
        }
        assert_eq!(factor(&mut triangle, dim), Ok(()));
        for i in 0..dim {
            for j in 0..=i {
                let rows = packed_row(&triangle, i).iter().zip(packed_row(&triangle, j));
                let product: f64 = rows.map(|(a, b)| a * b).sum();
                assert!((product - entry(i, j)).abs() < 4e-16, "{i} {j}");
            }
        }
    }

    #[test]
    fn bad_pivots_are_named() {
        let mut indefinite = [1.0, 2.0, 1.0];
        assert_eq!(factor(&mut indefinite, 2), Err(BadPivot { pivot: 1, value: -3.0 }));
        let mut singular = [1.0, 1.0, 1.0];
        assert_eq!(factor(&mut singular, 2), Err(BadPivot { pivot: 1, value: 0.0 }));
        let mut zero = [0.0];
        assert_eq!(factor(&mut zero, 1), Err(BadPivot { pivot: 0, value: 0.0 }));
        // 0.1 has no exact binary form: what is left of the second pivot is a rounding error.
        let mut rounded = [0.1 * 0.1, 0.1 * 0.3, 0.3 * 0.3];
        assert_eq!(factor(&mut rounded, 2).map_err(|bad| bad.pivot), Err(1));
    }
}
