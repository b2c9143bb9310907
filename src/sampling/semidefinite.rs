//! The Cholesky factor of a matrix that may be singular.
//!
//! Owns the factorization of positive semi-definite matrices. Its invariants: the factor is lower
//! triangular in the order of the matrix with no negative pivot, a pivot that vanishes has a column
//! of zeros, and the bits are the same on every instruction set. It must not know what the matrix
//! is.
//!
//! A dimension that the ones before it determine has a variance of zero, given them, and rounding
//! makes of that zero any small number of either sign, which plain elimination then divides by. So
//! elimination takes the largest variance that is left first (complete pivoting) and stops where
//! all that is left is rounding error: `A = U^T U` with as many rows in `U` as the rank. Its columns
//! are the dimensions in the order of the matrix; reflections from the left (Householder) make `U`
//! upper triangular without changing the product.
//!
//! What is small is measured twice. First against the variance of each dimension, so that units do
//! not matter: each is divided by a power of four that leaves it between one and four. A matrix that
//! is not consistent so, but is up to rounding errors of its largest variance, is taken by that
//! measure: what is left of a covariance when most of it has been conditioned away looks like this.

use super::cholesky::{self, BadPivot, packed_len, packed_row};
use crate::kernels::scalar::sqrt_f64;
use crate::kernels::{Level, Simd, Vectorized, dispatch};

/// Where elimination stops, in units of `dim * 2^-52` of a variance. Rounding errors of what is
/// left grow with the square of the coefficients that predict the dimensions left from those taken;
/// among 140,000 random matrices of every rank below their order, up to 512, none left more than
/// 3.4 units.
const STOP: f64 = 16.0;

/// Where plain elimination is trusted: every pivot leaves more than this part of the variance,
/// `2^-26`. Below, a pivot may be nothing but rounding error that small pivots before it have
/// magnified.
const CLEAR: f64 = 1.0 / (1 << 26) as f64;

/// What is left off the diagonal may be twice as large as on it: a matrix that is semi-definite
/// leaves no more than on it, and rounding errors come on top.
const CONSISTENT: f64 = 2.0;

/// Reflections that would change a row by less than this part of it are left out, so that their
/// divisors stay in range.
const TURN: f64 = 1.0 / (1u128 << 100) as f64;

/// Columns that are whole vectors of every instruction set, and a line of a cache.
const PAD: usize = 8;

/// Elements of a padded row: an odd number of lines, so that a column's lie all over the cache.
const fn stride(dim: usize) -> usize {
    (dim.div_ceil(PAD) | 1).saturating_mul(PAD)
}

/// Elements of scratch that [`factor_semidefinite`] needs: at most `dim^2 + 20 * dim + 75`.
pub(super) const fn semidefinite_scratch_len(dim: usize) -> usize {
    stride(dim).saturating_mul(dim.saturating_add(ROWS_BEHIND))
}

/// Rows of scratch behind the factor: variances, scales, open, products, vector.
const ROWS_BEHIND: usize = 5;

/// Replaces a packed symmetric matrix, its lower triangle, by a lower triangular factor `L` with no
/// negative pivot, where the matrix is positive semi-definite; returns the rank.
///
/// A matrix whose pivots are all above `2^-26` of their variances gets the very bits of
/// [`factor`](super::cholesky::factor). Elsewhere elimination stops where no variance that is left
/// is above `16 * dim * 2^-52` of a whole one (of its own to within a factor of four, or of the
/// largest: see the module). Where a pivot vanishes, it and the column below it are exactly zero. A
/// variance of zero is allowed and gives a row of zeros. Elements of `L L^T` are within
/// `64 * dim * 2^-52` of the largest variance of the matrix.
///
/// **Shapes and units**: `triangle` is the lower triangle of `[dim, dim]`, packed by rows;
/// `scratch` has at least [`semidefinite_scratch_len`] elements, and any values.
///
/// **Errors**: the matrix is indefinite: a variance that is left is below minus that threshold, or
/// a covariance that is left beyond twice the threshold. `value` is the variance that is left, or
/// the negative variance of a combination of two dimensions of which `pivot` is the first. An
/// element that is not finite is an error too, its value NaN. The triangle is unchanged.
///
/// **Panics**: when `triangle` or `scratch` is too short.
///
/// **Cost**: no allocation; that of `factor` where that succeeds, else about `dim * rank^2`
/// multiply-adds to eliminate and twice that to reflect.
///
/// **Source**: Higham, "Analysis of the Cholesky decomposition of a semi-definite matrix", in
/// Reliable Numerical Computation, 1990; Golub & Van Loan, "Matrix Computations", 4th edition,
/// 2013, 4.2.8 and 5.1.
pub(super) fn factor_semidefinite(
    level: Level,
    triangle: &mut [f64],
    dim: usize,
    scratch: &mut [f64],
) -> Result<usize, BadPivot> {
    let triangle = &mut triangle[..packed_len(dim)];
    let scratch = &mut scratch[..semidefinite_scratch_len(dim)];
    for pivot in 0..dim {
        if packed_row(triangle, pivot).iter().any(|element| !element.is_finite()) {
            return Err(BadPivot { pivot, value: f64::NAN });
        }
    }
    let limit = STOP * dim as f64 * f64::EPSILON;
    let copy = &mut scratch[..triangle.len()];
    copy.copy_from_slice(triangle);
    if cholesky::factor(level, copy, dim).is_ok() {
        let diagonal = |triangle: &[f64], row: usize| packed_row(triangle, row)[row];
        let clear = |row| {
            let pivot = diagonal(copy, row);
            pivot * pivot > CLEAR.max(limit) * diagonal(triangle, row)
        };
        if (0..dim).all(clear) {
            triangle.copy_from_slice(copy);
            return Ok(dim);
        }
    }

    let largest = (0..dim).fold(0.0, |largest, row| {
        let variance = packed_row(triangle, row)[row];
        if variance > largest { variance } else { largest }
    });
    let stride = stride(dim);
    let (rows, rest) = scratch.split_at_mut(stride * dim);
    let (variances, rest) = rest.split_at_mut(stride);
    let (scales, rest) = rest.split_at_mut(stride);
    let (open, rest) = rest.split_at_mut(stride);
    let (products, vector) = rest.split_at_mut(stride);
    let mut eliminate = |common: Option<f64>| {
        scales.fill(0.0);
        for (row, scale) in scales[..dim].iter_mut().enumerate() {
            *scale = scale_of(common.unwrap_or(packed_row(triangle, row)[row]));
        }
        let work = Eliminate { triangle, dim, limit, scales, rows, variances, open };
        dispatch(level, work)
    };
    let rank = eliminate(None).or_else(|_| eliminate(Some(largest)))?;
    let work = Reflect { triangle, dim, rank, limit, scales, rows, products, vector };
    Ok(dispatch(level, work))
}

/// The power of two whose square takes a variance to between one and four.
fn scale_of(variance: f64) -> f64 {
    let exponent = (variance.to_bits() >> 52 & 0x7ff) as i64 - 1023;
    f64::from_bits(((1023 - (exponent >> 1)) as u64) << 52)
}

/// Element `[row, col]` of the symmetric matrix.
#[inline(always)]
fn symmetric(triangle: &[f64], row: usize, col: usize) -> f64 {
    if col <= row { triangle[packed_len(row) + col] } else { triangle[packed_len(col) + row] }
}

/// The elimination; it returns the number of rows that it has made.
struct Eliminate<'a> {
    triangle: &'a [f64],
    dim: usize,
    limit: f64,
    /// Zero in the padding.
    scales: &'a [f64],
    rows: &'a mut [f64],
    /// What is left of each variance, scaled.
    variances: &'a mut [f64],
    /// One for each dimension that has not been a pivot, else zero.
    open: &'a mut [f64],
}

impl Vectorized for Eliminate<'_> {
    type Output = Result<usize, BadPivot>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let Self { triangle, dim, limit, scales, rows, variances, open } = self;
        let stride = scales.len();
        variances.fill(0.0);
        open.fill(0.0);
        open[..dim].fill(1.0);
        for (row, variance) in variances[..dim].iter_mut().enumerate() {
            *variance = symmetric(triangle, row, row) * scales[row] * scales[row];
        }
        let mut rank = 0;
        while rank < dim {
            let mut pivot = None;
            let mut largest = limit;
            for (index, variance) in variances[..dim].iter().enumerate() {
                if open[index] > 0.0 && *variance > largest {
                    (pivot, largest) = (Some(index), *variance);
                }
            }
            let Some(pivot) = pivot else { break };
            let (done, row) = rows.split_at_mut(rank * stride);
            let row = &mut row[..stride];
            gather(triangle, scales, pivot, row);
            eliminate(s, done, pivot, row);
            let root = sqrt_f64(largest);
            let divisor = s.f64_splat(root);
            for at in (0..stride).step_by(S::F64_LANES) {
                let quotient = s.f64_div(s.f64_load(&row[at..]), divisor);
                // Of those that have been pivots nothing is left but rounding errors.
                let closed = s.f64_eq(s.f64_load(&open[at..]), s.f64_splat(0.0));
                let now = s.f64_select(closed, s.f64_splat(0.0), quotient);
                s.f64_store(now, &mut row[at..]);
                let left = s.f64_neg_mul_add(now, now, s.f64_load(&variances[at..]));
                s.f64_store(left, &mut variances[at..]);
            }
            row[pivot] = root;
            open[pivot] = 0.0;
            rank += 1;
        }
        for pivot in (0..dim).filter(|index| open[*index] > 0.0) {
            let unscaled = |value: f64| value / scales[pivot] / scales[pivot];
            let left = variances[pivot];
            if left.is_nan() || left < -limit {
                return Err(BadPivot { pivot, value: unscaled(left) });
            }
            let (done, row) = rows.split_at_mut(rank * stride);
            let row = &mut row[..stride];
            gather(triangle, scales, pivot, row);
            eliminate(s, done, pivot, row);
            for other in (pivot + 1..dim).filter(|index| open[*index] > 0.0) {
                let both = row[other].abs();
                if both.is_nan() || both > CONSISTENT * limit {
                    let value = (left + variances[other]) * 0.5 - both;
                    return Err(BadPivot { pivot, value: unscaled(value) });
                }
            }
        }
        Ok(rank)
    }
}

/// Row `pivot` of the matrix, scaled.
#[inline(always)]
fn gather(triangle: &[f64], scales: &[f64], pivot: usize, row: &mut [f64]) {
    row.fill(0.0);
    for (col, (to, scale)) in row.iter_mut().zip(scales).enumerate() {
        if *scale > 0.0 {
            *to = symmetric(triangle, pivot, col) * scales[pivot] * scale;
        }
    }
}

/// Subtracts from `row` the products of column `pivot` and each row that is done, in order.
#[inline(always)]
fn eliminate<S: Simd>(s: S, done: &[f64], pivot: usize, row: &mut [f64]) {
    let stride = row.len();
    let mut at = 0;
    while at < stride {
        at += if at + 4 * PAD <= stride {
            eliminate_columns::<S, 4>(s, done, pivot, row, at)
        } else {
            eliminate_columns::<S, 1>(s, done, pivot, row, at)
        };
    }
}

/// The same, of `VECTORS` vectors from `at`; returns the number of columns.
#[inline(always)]
fn eliminate_columns<S: Simd, const VECTORS: usize>(
    s: S,
    done: &[f64],
    pivot: usize,
    row: &mut [f64],
    at: usize,
) -> usize {
    let mut sums = [s.f64_splat(0.0); VECTORS];
    for (sum, from) in sums.iter_mut().zip(row[at..].chunks_exact(S::F64_LANES)) {
        *sum = s.f64_load(from);
    }
    for other in done.chunks_exact(row.len()) {
        let factor = s.f64_splat(other[pivot]);
        for (sum, other) in sums.iter_mut().zip(other[at..].chunks_exact(S::F64_LANES)) {
            *sum = s.f64_neg_mul_add(factor, s.f64_load(other), *sum);
        }
    }
    for (sum, to) in sums.iter().zip(row[at..].chunks_exact_mut(S::F64_LANES)) {
        s.f64_store(*sum, to);
    }
    VECTORS * S::F64_LANES
}

/// Makes the eliminated rows upper triangular and writes the factor; returns the number of pivots
/// that do not vanish.
///
/// Dimension after dimension, a reflection of all rows from the next free one on makes of its
/// column one positive element. Where the column is as short as what elimination took for nothing,
/// and so are its products with every later column, it is left out instead: there is no content
/// behind it, and no element of the matrix changes by more than the threshold.
struct Reflect<'a> {
    triangle: &'a mut [f64],
    dim: usize,
    rank: usize,
    limit: f64,
    scales: &'a [f64],
    rows: &'a mut [f64],
    products: &'a mut [f64],
    vector: &'a mut [f64],
}

impl Vectorized for Reflect<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let Self { triangle, dim, rank, limit, scales, rows, products, vector } = self;
        let stride = scales.len();
        let mut free = 0;
        for index in 0..dim {
            let from = index / PAD * PAD;
            let rows = &mut rows[free * stride..rank * stride];
            let vector = &mut vector[..rank - free];
            let mut square = 0.0;
            for (to, row) in vector.iter_mut().zip(rows.chunks_exact(stride)) {
                *to = row[index];
                square += *to * *to;
            }
            let mut left_out = square <= limit;
            if left_out && square > 0.0 {
                multiply(s, vector, rows, from, products);
                left_out = products[index + 1..dim].iter().all(|x| x.abs() <= limit);
            }
            if left_out {
                rows.chunks_exact_mut(stride).for_each(|row| row[index] = 0.0);
                for row in index..dim {
                    triangle[packed_len(row) + index] = 0.0;
                }
                continue;
            }
            let length = sqrt_f64(square);
            if let [first, others @ ..] = &mut *vector {
                let beyond = others.iter().fold(0.0, |sum, x| sum + x * x);
                if beyond > TURN * TURN * square || *first < 0.0 {
                    // The difference to the length, without cancellation.
                    *first =
                        if *first <= 0.0 { *first - length } else { -beyond / (*first + length) };
                    let size = 2.0 / (beyond + *first * *first);
                    multiply(s, vector, rows, from, products);
                    subtract(s, vector, size, rows, from, products);
                }
            }
            for (number, row) in rows.chunks_exact_mut(stride).enumerate() {
                row[index] = if number == 0 { length } else { 0.0 };
            }
            for row in index..dim {
                // Minus zero becomes zero.
                triangle[packed_len(row) + index] = rows[row] / scales[row] + 0.0;
            }
            free += 1;
        }
        free
    }
}

/// The product of `vector` and the columns from `from`.
#[inline(always)]
fn multiply<S: Simd>(s: S, vector: &[f64], rows: &[f64], from: usize, products: &mut [f64]) {
    let stride = products.len();
    let mut at = from;
    while at < stride {
        at += if at + 4 * PAD <= stride {
            multiply_columns::<S, 4>(s, vector, rows, at, products)
        } else {
            multiply_columns::<S, 1>(s, vector, rows, at, products)
        };
    }
}

#[inline(always)]
fn multiply_columns<S: Simd, const VECTORS: usize>(
    s: S,
    vector: &[f64],
    rows: &[f64],
    at: usize,
    products: &mut [f64],
) -> usize {
    let mut sums = [s.f64_splat(0.0); VECTORS];
    for (factor, row) in vector.iter().zip(rows.chunks_exact(products.len())) {
        let factor = s.f64_splat(*factor);
        for (sum, row) in sums.iter_mut().zip(row[at..].chunks_exact(S::F64_LANES)) {
            *sum = s.f64_mul_add(factor, s.f64_load(row), *sum);
        }
    }
    for (sum, to) in sums.iter().zip(products[at..].chunks_exact_mut(S::F64_LANES)) {
        s.f64_store(*sum, to);
    }
    VECTORS * S::F64_LANES
}

/// Subtracts `size * vector` times the products from the columns from `from`.
#[inline(always)]
fn subtract<S: Simd>(
    s: S,
    vector: &[f64],
    size: f64,
    rows: &mut [f64],
    from: usize,
    products: &[f64],
) {
    for (factor, row) in vector.iter().zip(rows.chunks_exact_mut(products.len())) {
        let factor = s.f64_splat(size * factor);
        let columns = row[from..].chunks_exact_mut(S::F64_LANES);
        for (to, product) in columns.zip(products[from..].chunks_exact(S::F64_LANES)) {
            let now = s.f64_neg_mul_add(factor, s.f64_load(product), s.f64_load(to));
            s.f64_store(now, to);
        }
    }
}

#[cfg(test)]
mod tests;
