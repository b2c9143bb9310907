extern crate std;
use super::*;
use crate::kernels::suite::{Rng, levels};
use proptest::prelude::*;
use std::{format, vec, vec::Vec};

/// The bound that the documentation states, in units of `dim * 2^-52`: what is left may be 32, what
/// is left out 16. Without either, rounding errors are near 2.
const BOUND: f64 = 64.0;

/// The factor and the rank, the same on every level of `levels`.
fn factored(levels: &[Level], given: &[f64], dim: usize) -> Result<(Vec<f64>, usize), BadPivot> {
    let mut first: Option<(Vec<f64>, Result<usize, BadPivot>)> = None;
    for level in levels {
        let mut found = given.to_vec();
        let mut scratch = vec![f64::NAN; semidefinite_scratch_len(dim)];
        let outcome = factor_semidefinite(*level, &mut found, dim, &mut scratch);
        if outcome.is_err() {
            assert!(found.iter().zip(given).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
        let now = (found, outcome);
        if let Some(first) = &first {
            assert!(first.0.iter().zip(&now.0).all(|(a, b)| a.to_bits() == b.to_bits()));
            assert_eq!(format!("{:?}", first.1), format!("{:?}", now.1), "{level:?}");
        }
        first = Some(now);
    }
    let (found, outcome) = first.expect("a level");
    outcome.map(|rank| (found, rank))
}

/// The largest error of an element of the product, in units of `dim * 2^-52` of the root of
/// `scale(row) * scale(col)`; checks what holds of every factor.
fn error(given: &[f64], factor: &[f64], rank: usize, scale: impl Fn(usize) -> f64) -> f64 {
    let dim = (0..).find(|dim| packed_len(*dim) == given.len()).expect("a triangle");
    let mut worst = 0.0f64;
    let mut pivots = 0;
    for row in 0..dim {
        let pivot = packed_row(factor, row)[row];
        assert!(pivot >= 0.0 && pivot.is_finite());
        pivots += usize::from(pivot > 0.0);
        for col in 0..=row {
            let rows = packed_row(factor, row).iter().zip(packed_row(factor, col));
            let product: f64 = rows.map(|(a, b)| a * b).sum();
            let difference = (product - packed_row(given, row)[col]).abs();
            assert!(difference.is_finite());
            if packed_row(factor, col)[col] == 0.0 {
                assert_eq!(packed_row(factor, row)[col], 0.0, "below a pivot of zero");
            }
            if difference > 0.0 {
                let unit = dim as f64 * f64::EPSILON * (scale(row) * scale(col)).sqrt();
                worst = worst.max(difference / unit);
            }
        }
    }
    assert_eq!(pivots, rank);
    worst
}

fn largest(given: &[f64]) -> f64 {
    let dim = (0..).find(|dim| packed_len(*dim) == given.len()).expect("a triangle");
    (0..dim).map(|row| packed_row(given, row)[row]).fold(0.0, f64::max)
}

/// The triangle of `sum of weights[k] * columns[k] columns[k]^T`.
fn sum_of_squares(dim: usize, columns: &[Vec<f64>], weights: impl Fn(usize) -> f64) -> Vec<f64> {
    let element = |i: usize, j: usize| {
        columns.iter().enumerate().map(|(k, column)| weights(k) * column[i] * column[j]).sum()
    };
    (0..dim).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| element(i, j)).collect()
}

fn numbers(rng: &mut Rng, len: usize) -> Vec<f64> {
    (0..len).map(|_| (rng.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0).collect()
}

/// `dim` orthonormal vectors: of random ones, by Gram and Schmidt, twice.
fn orthonormal(rng: &mut Rng, dim: usize) -> Vec<Vec<f64>> {
    let mut all: Vec<Vec<f64>> = Vec::new();
    while all.len() < dim {
        let mut next = numbers(rng, dim);
        for other in all.iter().chain(&all) {
            let product: f64 = other.iter().zip(&next).map(|(a, b)| a * b).sum();
            next.iter_mut().zip(other).for_each(|(x, other)| *x -= product * other);
        }
        let length = next.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length > 1e-3 {
            all.push(next.iter().map(|x| x / length).collect());
        }
    }
    all
}

/// `rank` columns that are safely independent: each has one row of its own.
fn independent(rng: &mut Rng, dim: usize, rank: usize) -> Vec<Vec<f64>> {
    let first = rng.below(dim);
    let step = if dim.is_multiple_of(7) { 1 } else { 7 };
    (0..rank)
        .map(|k| {
            let mut column = numbers(rng, dim);
            for own in 0..rank {
                column[(first + own * step) % dim] = f64::from(u8::from(own == k));
            }
            column
        })
        .collect()
}

#[test]
fn known_factors() {
    let levels = levels();
    let close = |given: &[f64], dim, expected: &[f64], rank| {
        let (found, found_rank) = factored(&levels, given, dim).expect("semi-definite");
        assert_eq!(found_rank, rank, "{given:?}");
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-15 * 4.0 && (*b != 0.0 || *a == 0.0), "{found:?}");
        }
    };
    // The second dimension is twice the first.
    close(&[4.0, 8.0, 16.0, 2.0, 4.0, 10.0], 3, &[2.0, 4.0, 0.0, 1.0, 0.0, 3.0], 2);
    // All are the same.
    close(&[1.0; 10], 4, &[1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], 1);
    // The third is the first less the second.
    let third = [1.0, 0.0, 1.0, 1.0, -1.0, 2.0];
    close(&third, 3, &[1.0, 0.0, 1.0, 1.0, -1.0, 0.0], 2);
    // A dimension without variance: first, between and last.
    close(&[0.0, 0.0, 4.0], 2, &[0.0, 0.0, 2.0], 1);
    close(&[4.0, 0.0, 0.0, 2.0, 0.0, 10.0], 3, &[2.0, 0.0, 0.0, 1.0, 0.0, 3.0], 2);
    close(&[4.0, -0.0, 0.0], 2, &[2.0, 0.0, 0.0], 1);
    close(&[0.0; 6], 3, &[0.0; 6], 0);
    close(&[], 0, &[], 0);
}

#[test]
fn a_definite_matrix_gets_the_bits_of_plain_elimination() {
    let given = sum_of_squares(40, &orthonormal(&mut Rng::new(1), 40), |k| 1.0 + k as f64);
    let mut expected = given.clone();
    assert_eq!(cholesky::factor(Level::scalar(), &mut expected, 40), Ok(()));
    assert_eq!(factored(&levels(), &given, 40), Ok((expected, 40)));
}

#[test]
fn indefinite_matrices_are_refused() {
    let cases: [(&[f64], usize, f64); 8] = [
        (&[-1.0], 0, -1.0),
        (&[1.0, 2.0, 1.0], 1, -3.0),
        (&[0.0, 1.0, 0.0], 0, -1.0),
        (&[0.0, 1e-6, 1.0], 0, -1e-12),
        (&[1.0, 0.0, -1e-3], 1, -1e-3),
        (&[1.0, 1.0 + 1e-6, 1.0], 1, -2e-6),
        (&[1.0, 1e200, 1.0], 1, f64::NEG_INFINITY),
        // Each pair is possible, the three are not.
        (&[1.0, -0.9, 1.0, -0.9, -0.9, 1.0], 2, -15.2),
    ];
    for (given, pivot, value) in cases {
        let dim = (0..).find(|dim| packed_len(*dim) == given.len()).expect("a triangle");
        let refused = factored(&levels(), given, dim).expect_err("indefinite");
        assert_eq!(refused.pivot, pivot, "{given:?}: {refused:?}");
        let close = (refused.value / value - 1.0).abs() < 1e-3;
        assert!(refused.value == value || close || pivot == 0, "{given:?}: {refused:?}");
        assert!(refused.value < 0.0, "{given:?}: {refused:?}");
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for place in 0..3 {
            let mut given = [1.0, 0.5, 1.0];
            given[place] = value;
            let refused = factored(&levels(), &given, 2).expect_err("not finite");
            assert!(refused.value.is_nan() && refused.pivot == usize::from(place > 0));
        }
    }
}

#[test]
fn small_units_keep_their_digits() {
    // Variances from 1e-24 to 1e24 in one matrix of rank 5.
    let mut rng = Rng::new(9);
    let columns = independent(&mut rng, 9, 5);
    let scaled = |column: &Vec<f64>| {
        (0..).zip(column).map(|(row, x)| x * 10f64.powi(row * 3 - 12)).collect::<Vec<f64>>()
    };
    let columns: Vec<Vec<f64>> = columns.iter().map(scaled).collect();
    let given = sum_of_squares(9, &columns, |_| 1.0);
    let (found, rank) = factored(&levels(), &given, 9).expect("semi-definite");
    assert_eq!(rank, 5);
    let worst = error(&given, &found, rank, |row| packed_row(&given, row)[row]);
    assert!(worst < BOUND, "{worst}");
}

#[test]
fn what_conditioning_leaves_is_measured_by_the_largest_variance() {
    // Points on a line seen exactly: their variances are rounding errors of either sign.
    let given = [1.0, 1e-17, -2e-17, 3e-17, 4e-17, 1e-17, 0.5, 1e-17, -1e-17, 2.0];
    let (found, rank) = factored(&levels(), &given, 4).expect("semi-definite");
    assert_eq!(rank, 2);
    assert!(error(&given, &found, rank, |_| largest(&given)) < BOUND);
}

#[test]
fn large_matrices() {
    for (dim, rank) in [(130, 64), (512, 200)] {
        let columns = independent(&mut Rng::new(dim as u64), dim, rank);
        let given = sum_of_squares(dim, &columns, |_| 1.0);
        let (found, found_rank) = factored(&[Level::detect()], &given, dim).expect("semi-definite");
        assert_eq!(found_rank, rank);
        assert!(error(&given, &found, rank, |_| largest(&given)) < BOUND);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn singular_matrices_have_their_rank(dim in 1usize..=64, part in 0.0f64..1.0, seed: u64) {
        let rank = (dim as f64 * part) as usize;
        let columns = independent(&mut Rng::new(seed), dim, rank);
        let given = sum_of_squares(dim, &columns, |_| 1.0);
        let (found, found_rank) = factored(&levels(), &given, dim).expect("semi-definite");
        prop_assert_eq!(found_rank, rank);
        prop_assert!(error(&given, &found, rank, |row| packed_row(&given, row)[row]) < BOUND);
    }

    /// Eigenvalues from one down to `2^-bits`, in equal steps of their logarithm.
    #[test]
    fn nearly_singular_matrices(dim in 1usize..=64, bits in 0.0f64..53.0, seed: u64) {
        let vectors = orthonormal(&mut Rng::new(seed), dim);
        let given = sum_of_squares(dim, &vectors, |k| (-bits * k as f64 / dim as f64).exp2());
        let (found, rank) = factored(&levels(), &given, dim).expect("semi-definite");
        prop_assert!(error(&given, &found, rank, |_| largest(&given)) < BOUND);
        prop_assert!(rank == dim || bits > 30.0);
        let mut plain = given.clone();
        match cholesky::factor(Level::detect(), &mut plain, dim) {
            Ok(()) => {
                prop_assert!(error(&given, &plain, dim, |_| largest(&given)) < BOUND);
            }
            Err(bad) => prop_assert!(bits > 30.0 && bad.value.abs() < 1e-9),
        }
    }

    /// One eigenvalue below zero, by more than the stated bound allows the product to differ.
    #[test]
    fn indefinite_matrices(dim in 1usize..=64, digits in 0.0f64..8.0, seed: u64) {
        let vectors = orthonormal(&mut Rng::new(seed), dim);
        let negative = -10f64.powf(-digits);
        let given = sum_of_squares(dim, &vectors, |k| if k == 0 { negative } else { 1.0 });
        let refused = factored(&levels(), &given, dim).expect_err("indefinite");
        prop_assert!(refused.value < 0.0 && refused.pivot < dim);
        let plain = cholesky::factor(Level::detect(), &mut given.clone(), dim);
        prop_assert!(plain.expect_err("indefinite").value < 0.0);
    }

    /// Any numbers at all: an answer without NaN, or a refusal.
    #[test]
    fn any_numbers(
        dim in 1usize..=6,
        bits in proptest::collection::vec(any::<f64>(), 21),
        large: bool,
    ) {
        let mut given: Vec<f64> = bits[..packed_len(dim)].to_vec();
        if large {
            // A diagonal that may carry what lies beside it.
            for row in 0..dim {
                given[packed_len(row) + row] = f64::MAX / 4.0;
            }
        }
        if let Ok((found, rank)) = factored(&levels(), &given, dim) {
            prop_assert!(found.iter().all(|x| x.is_finite()));
            prop_assert!(rank <= dim);
        }
        if cholesky::factor(Level::detect(), &mut given, dim).is_ok() {
            prop_assert!(given.iter().all(|x| x.is_finite()));
        }
    }
}
