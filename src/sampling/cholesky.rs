//! The Cholesky factor, in double precision and one fixed order.
//!
//! Owns the factorization of positive definite matrices and the packed layout of its result. Its
//! one invariant: an element of the factor is one chain of fused multiply-adds in the order of the
//! columns, so that its bits are the same on every instruction set. It must not know what the
//! matrix is.
//!
//! The columns are taken in blocks. A block is brought up to date by the blocks before it, one
//! after another, then factored; the sums wait in the triangle between them. Lanes are columns
//! while products are subtracted, and rows while a block is solved: never terms of one sum.

use core::ops::Range;

use crate::kernels::scalar::sqrt_f64;
use crate::kernels::{Level, Simd, Vectorized, dispatch};

/// Columns of a block, and rows that are solved together: a multiple of two vectors of every
/// instruction set.
const BLOCK: usize = 16;
/// Rows that products are subtracted from together.
const ROWS: usize = 4;
/// By column of a block, then by row.
type Tile = [f64; BLOCK * BLOCK];

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
/// The element of row `i` and column `j` is `a[i][j]` less the products `l[i][k] * l[j][k]` in
/// ascending `k`, each by one fused multiply-add, then divided by `l[j][j]` or, on the diagonal,
/// its square root. So the bits are the same on every host and level.
///
/// **Shapes and units**: `triangle` is the lower triangle of `[dim, dim]`, packed by rows.
///
/// **Errors**: the first pivot that is not above `dim * 2^-52` of its diagonal element, or is no
/// number: what is left of a singular matrix is rounding error of that size. The triangle is
/// spoilt.
///
/// **Panics**: when `triangle` is shorter than [`packed_len`].
///
/// **Cost**: no allocation; 5 KiB of stack; `dim^3 / 6` multiply-adds.
///
/// **Source**: Golub & Van Loan, "Matrix Computations", 4th edition, 2013, 4.2.5 and 4.2.6
/// (the order by blocks).
pub(super) fn factor(level: Level, triangle: &mut [f64], dim: usize) -> Result<(), BadPivot> {
    dispatch(level, Factor { triangle: &mut triangle[..packed_len(dim)], dim })
}

struct Factor<'a> {
    triangle: &'a mut [f64],
    dim: usize,
}

impl Vectorized for Factor<'_> {
    type Output = Result<(), BadPivot>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let Self { triangle, dim } = self;
        let threshold = dim as f64 * f64::EPSILON;
        // Lanes beyond the matrix and above the diagonal hold any numbers.
        let mut square = [0.0; BLOCK * BLOCK];
        let mut panel = [0.0; BLOCK * BLOCK];
        for start in (0..dim).step_by(BLOCK) {
            let cols = BLOCK.min(dim - start);
            let mut diagonal = [0.0; BLOCK];
            for row in 0..cols {
                let elements = &triangle[packed_len(start + row) + start..][..row + 1];
                for (col, element) in elements.iter().enumerate() {
                    square[row * BLOCK + col] = *element;
                    square[col * BLOCK + row] = *element;
                }
                diagonal[row] = elements[row];
            }
            let below = start + cols;
            for done in (0..start).step_by(BLOCK) {
                read(triangle, start, cols, done, &mut panel);
                let mut row = 0;
                while row + ROWS <= cols {
                    own::<S, ROWS>(s, triangle, start..below, row, done, &panel, &mut square);
                    row += ROWS;
                }
                while row < cols {
                    own::<S, 1>(s, triangle, start..below, row, done, &panel, &mut square);
                    row += 1;
                }
                let mut row = below;
                while row + ROWS <= dim {
                    lower::<S, ROWS>(s, triangle, start, row, done, &panel);
                    row += ROWS;
                }
                while row < dim {
                    lower::<S, 1>(s, triangle, start, row, done, &panel);
                    row += 1;
                }
            }
            factor_square(s, &mut square, &diagonal[..cols], threshold)
                .map_err(|bad| BadPivot { pivot: start + bad.pivot, ..bad })?;
            write(triangle, start, cols, start, &square);
            for row in (below..dim).step_by(BLOCK) {
                let rows = BLOCK.min(dim - row);
                read(triangle, row, rows, start, &mut panel);
                solve(s, &square, &mut panel, rows);
                write(triangle, row, rows, start, &panel);
            }
        }
        Ok(())
    }
}

/// Reads `rows` rows of `BLOCK` columns from `start`, so that the rows lie in lanes.
#[inline(always)]
fn read(triangle: &[f64], first: usize, rows: usize, start: usize, tile: &mut Tile) {
    for row in 0..rows {
        let elements = &triangle[packed_len(first + row) + start..][..BLOCK];
        for (col, element) in elements.iter().enumerate() {
            tile[col * BLOCK + row] = *element;
        }
    }
}

/// Writes what [`read`] reads, as far as it lies below the diagonal.
#[inline(always)]
fn write(triangle: &mut [f64], first: usize, rows: usize, start: usize, tile: &Tile) {
    for row in 0..rows {
        let len = BLOCK.min(first + row + 1 - start);
        let elements = &mut triangle[packed_len(first + row) + start..][..len];
        for (col, element) in elements.iter_mut().enumerate() {
            *element = tile[col * BLOCK + row];
        }
    }
}

/// Subtracts the products of the columns from `done` from rows of the block's own square.
#[inline(always)]
fn own<S: Simd, const R: usize>(
    s: S,
    triangle: &[f64],
    block: Range<usize>,
    row: usize,
    done: usize,
    panel: &Tile,
    square: &mut Tile,
) {
    let mut factors: [&[f64]; R] = [&[]; R];
    let mut to: [&mut [f64]; R] = core::array::from_fn(|_| Default::default());
    let rows = square[row * BLOCK..].chunks_exact_mut(BLOCK);
    for (r, elements) in rows.take(R).enumerate() {
        factors[r] = &triangle[packed_len(block.start + row + r) + done..][..BLOCK];
        to[r] = elements;
    }
    // By symmetry the elements on one side of the diagonal suffice.
    let width = 2 * S::F64_LANES;
    subtract(s, factors, panel, row / width * width..block.len(), to);
}

/// Subtracts the products of the columns from `done` from rows below the square.
#[inline(always)]
fn lower<S: Simd, const R: usize>(
    s: S,
    triangle: &mut [f64],
    start: usize,
    row: usize,
    done: usize,
    panel: &Tile,
) {
    let mut factors: [&[f64]; R] = [&[]; R];
    let mut to: [&mut [f64]; R] = core::array::from_fn(|_| Default::default());
    let mut rest = &mut triangle[packed_len(row)..];
    for r in 0..R {
        let (elements, next) = rest.split_at_mut(row + r + 1);
        let (before, block) = elements.split_at_mut(start);
        factors[r] = &before[done..][..BLOCK];
        to[r] = &mut block[..BLOCK];
        rest = next;
    }
    subtract(s, factors, panel, 0..BLOCK, to);
}

/// Subtracts from `cols` of each row its factors times the panel.
#[inline(always)]
fn subtract<S: Simd, const R: usize>(
    s: S,
    factors: [&[f64]; R],
    panel: &Tile,
    cols: Range<usize>,
    mut to: [&mut [f64]; R],
) {
    let lanes = S::F64_LANES;
    for col in cols.step_by(2 * lanes) {
        let mut sums = [[s.f64_splat(0.0); 2]; R];
        for (sums, to) in sums.iter_mut().zip(&to) {
            *sums = [s.f64_load(&to[col..]), s.f64_load(&to[col + lanes..])];
        }
        for k in 0..BLOCK {
            let other = &panel[k * BLOCK + col..][..2 * lanes];
            let other = [s.f64_load(other), s.f64_load(&other[lanes..])];
            for (sums, factors) in sums.iter_mut().zip(&factors) {
                let factor = s.f64_splat(factors[k]);
                sums[0] = s.f64_neg_mul_add(factor, other[0], sums[0]);
                sums[1] = s.f64_neg_mul_add(factor, other[1], sums[1]);
            }
        }
        for (sums, to) in sums.iter().zip(&mut to) {
            s.f64_store(sums[0], &mut to[col..]);
            s.f64_store(sums[1], &mut to[col + lanes..]);
        }
    }
}

/// Factors a square that the blocks before it have been subtracted from; `diagonal` is that of the
/// matrix.
#[inline(always)]
fn factor_square<S: Simd>(
    s: S,
    square: &mut Tile,
    diagonal: &[f64],
    threshold: f64,
) -> Result<(), BadPivot> {
    let lanes = S::F64_LANES;
    for (col, whole) in diagonal.iter().enumerate() {
        let (done, now) = square.split_at_mut(col * BLOCK);
        let now = &mut now[..BLOCK];
        let first = col / lanes * lanes;
        for row in (first..diagonal.len()).step_by(lanes) {
            let mut sum = s.f64_load(&now[row..]);
            for other in done.chunks_exact(BLOCK) {
                sum = s.f64_neg_mul_add(s.f64_splat(other[col]), s.f64_load(&other[row..]), sum);
            }
            s.f64_store(sum, &mut now[row..]);
        }
        let value = now[col];
        if value.is_nan() || value <= threshold * whole {
            return Err(BadPivot { pivot: col, value });
        }
        let pivot = sqrt_f64(value);
        for row in (first..diagonal.len()).step_by(lanes) {
            let quotient = s.f64_div(s.f64_load(&now[row..]), s.f64_splat(pivot));
            s.f64_store(quotient, &mut now[row..]);
        }
        now[col] = pivot;
    }
    Ok(())
}

/// Solves `rows` rows below a factored square.
#[inline(always)]
fn solve<S: Simd>(s: S, square: &Tile, panel: &mut Tile, rows: usize) {
    let lanes = S::F64_LANES;
    for row in (0..rows).step_by(lanes) {
        let mut x = [s.f64_splat(0.0); BLOCK];
        for (col, x) in x.iter_mut().enumerate() {
            *x = s.f64_load(&panel[col * BLOCK + row..]);
        }
        for col in 0..BLOCK {
            let factors = &square[col * BLOCK..][..BLOCK];
            let done = s.f64_div(x[col], s.f64_splat(factors[col]));
            x[col] = done;
            for (x, factor) in x[col + 1..].iter_mut().zip(&factors[col + 1..]) {
                *x = s.f64_neg_mul_add(s.f64_splat(*factor), done, *x);
            }
        }
        for (col, x) in x.iter().enumerate() {
            s.f64_store(*x, &mut panel[col * BLOCK + row..]);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernels::scalar::fma_f64;
    use crate::kernels::suite::{Rng, levels};
    use std::vec::Vec;

    /// The chains as the documentation says them, one element at a time.
    fn plain(triangle: &mut [f64], dim: usize) -> Result<(), BadPivot> {
        for i in 0..dim {
            for j in 0..=i {
                let (row, other) = (packed_row(triangle, i), packed_row(triangle, j));
                let value = (0..j).fold(row[j], |sum, k| fma_f64(-row[k], other[k], sum));
                if i == j && value <= dim as f64 * f64::EPSILON * row[i] {
                    return Err(BadPivot { pivot: i, value });
                }
                let element = if i == j { value.sqrt() } else { value / other[j] };
                triangle[packed_len(i) + j] = element;
            }
        }
        Ok(())
    }

    /// The Gram matrix of rows of random numbers.
    fn gram(dim: usize, rank: usize, seed: u64) -> Vec<f64> {
        let mut rng = Rng::new(seed);
        let rows: Vec<f64> = rng.vector(dim * rank).into_iter().map(f64::from).collect();
        let row = |i: usize| &rows[i * rank..][..rank];
        let dot = |i, j| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
        (0..dim).flat_map(|i| (0..=i).map(move |j| dot(i, j))).collect()
    }

    #[test]
    fn every_level_gives_the_bits_of_the_chains() {
        for dim in (1..=50).chain([63, 64, 65, 97, 130]) {
            // Well above singular, just singular, and far from definite.
            for (rank, spoil) in [(2 * dim, 0.0), (dim.max(2) - 1, 0.0), (2 * dim, 1e3)] {
                let mut given = gram(dim, rank, (dim * 1000 + rank) as u64);
                given[packed_len(dim * 2 / 3)] += spoil;
                let mut expected = given.clone();
                let outcome = plain(&mut expected, dim);
                for level in levels() {
                    let mut found = given.clone();
                    assert_eq!(factor(level, &mut found, dim), outcome, "{level:?} {dim} {rank}");
                    let same = found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(outcome.is_err() || same, "{level:?} {dim} {rank}");
                }
            }
        }
    }

    #[test]
    fn a_large_matrix_is_the_product_of_its_factor() {
        let dim = 512;
        let given = gram(dim, 2 * dim, 7);
        let mut found = given.clone();
        assert_eq!(factor(Level::detect(), &mut found, dim), Ok(()));
        let mut worst = 0.0f64;
        for i in 0..dim {
            for j in 0..=i {
                let rows = packed_row(&found, i).iter().zip(packed_row(&found, j));
                let product: f64 = rows.map(|(a, b)| a * b).sum();
                worst = worst.max((product - packed_row(&given, i)[j]).abs());
            }
        }
        // Variances are near 340; a chain rounds each of its 512 steps by half a unit at most.
        assert!(worst < 1e-12 * 340.0, "{worst:e}");
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for place in 0..packed_len(20) {
                let mut given = gram(20, 40, 3);
                given[place] = value;
                for level in levels() {
                    assert!(factor(level, &mut given.clone(), 20).is_err());
                }
            }
        }
    }

    #[test]
    fn known_factors() {
        // Products of small integer factors: every step is exact.
        let mut triangle = [4.0, 12.0, 37.0, -16.0, -43.0, 98.0];
        assert_eq!(factor(Level::detect(), &mut triangle, 3), Ok(()));
        assert_eq!(triangle, [2.0, 6.0, 1.0, -8.0, 5.0, 3.0]);

        let mut triangle = [25.0, 15.0, 18.0, -5.0, 0.0, 11.0];
        assert_eq!(factor(Level::detect(), &mut triangle, 3), Ok(()));
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
        assert_eq!(factor(Level::detect(), &mut triangle, dim), Ok(()));
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
        assert_eq!(
            factor(Level::detect(), &mut indefinite, 2),
            Err(BadPivot { pivot: 1, value: -3.0 })
        );
        let mut singular = [1.0, 1.0, 1.0];
        assert_eq!(
            factor(Level::detect(), &mut singular, 2),
            Err(BadPivot { pivot: 1, value: 0.0 })
        );
        let mut zero = [0.0];
        assert_eq!(factor(Level::detect(), &mut zero, 1), Err(BadPivot { pivot: 0, value: 0.0 }));
        // 0.1 has no exact binary form: what is left of the second pivot is a rounding error.
        let mut rounded = [0.1 * 0.1, 0.1 * 0.3, 0.3 * 0.3];
        assert_eq!(factor(Level::detect(), &mut rounded, 2).map_err(|bad| bad.pivot), Err(1));
    }
}
