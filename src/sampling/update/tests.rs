extern crate std;
use super::*;
use crate::kernels::Level;
use crate::kernels::suite::Rng;
use crate::sampling::cholesky::{factor, packed_row};
use proptest::prelude::*;
use std::{vec, vec::Vec};

fn numbers(rng: &mut Rng, len: usize) -> Vec<f64> {
    (0..len).map(|_| (rng.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0).collect()
}

/// `L L^T`.
fn product(factor: &[f64], dim: usize) -> Vec<f64> {
    let element = |i, j| {
        let rows = packed_row(factor, i).iter().zip(packed_row(factor, j));
        rows.map(|(a, b)| a * b).sum()
    };
    (0..dim).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| element(i, j)).collect()
}

/// `a + sign * x x^T`.
fn plus(a: &[f64], sign: f64, x: &[f64]) -> Vec<f64> {
    let pairs = (0..x.len()).flat_map(|i| (0..=i).map(move |j| (i, j)));
    a.iter().zip(pairs).map(|(a, (i, j))| a + sign * x[i] * x[j]).collect()
}

/// The largest difference, in units of `dim * 2^-52` of the largest of `a`.
fn difference(a: &[f64], b: &[f64], dim: usize) -> f64 {
    let largest = a.iter().fold(0.0f64, |most, a| most.max(a.abs()));
    let most = a.iter().zip(b).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(b.iter().all(|b| b.is_finite()));
    if most == 0.0 { 0.0 } else { most / (dim as f64 * f64::EPSILON * largest) }
}

/// The factor of a matrix whose eigenvalues are at least one, its variances at most three.
fn definite(rng: &mut Rng, dim: usize) -> Vec<f64> {
    let rows = numbers(rng, dim * dim);
    let row = |i: usize| &rows[i * dim..][..dim];
    let mut triangle = Vec::new();
    for i in 0..dim {
        for j in 0..=i {
            let dot: f64 = row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
            triangle.push(dot / dim as f64 + f64::from(u8::from(i == j)));
        }
    }
    factor(Level::detect(), &mut triangle, dim).expect("definite");
    triangle
}

#[test]
fn as_numpy_does() {
    // numpy.linalg.cholesky (2.4.6) of [[4, 2, 1], [2, 5, 3], [1, 3, 6]], and of that and the
    // square of the vector.
    let mut found = [2.0, 1.0, 2.0, 0.5, 1.25, 2.046_338_192_968_112_6];
    let start = found;
    let expected =
        [2.5, -0.4, 2.973_213_749_463_701, 0.7, 0.766_846_985_155_796_2, 2.274_191_219_171_656_5];
    let vector = [1.5, -2.0, 0.5];
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-15);
    rank_one_update(&mut found, &mut vector.clone());
    assert!(close(&found, &expected), "{found:?}");
    assert_eq!(rank_one_downdate(&mut found, &mut vector.clone()), Ok(()));
    assert!(close(&found, &start), "{found:?}");
}

#[test]
fn ends_of_the_range() {
    // Squares of these are beyond the range.
    for size in [1e-300, 1e-200, 1e200, 1e300] {
        let mut found = [3.0 * size, 0.0, 0.0];
        rank_one_update(&mut found, &mut [4.0 * size, 10.0 * size]);
        for (found, expected) in found.iter().zip([5.0, 8.0, 6.0]) {
            assert!((found / size - expected).abs() < 1e-14, "{found:e}");
        }
    }
    // Pivots of zero.
    let mut found = [0.0; 3];
    rank_one_update(&mut found, &mut [0.0, 0.0]);
    assert_eq!(found, [0.0; 3]);
    rank_one_update(&mut found, &mut [0.0, -2.0]);
    assert_eq!(found, [0.0, 0.0, 2.0]);
    assert_eq!(rank_one_downdate(&mut found, &mut [0.0, 1.0]), Ok(()));
    assert!((found[2] - 3f64.sqrt()).abs() < 1e-15);
    let refused = rank_one_downdate(&mut found, &mut [1e-9, 1.0]);
    assert_eq!(refused, Err(UpdateError::NotPositiveDefinite { left: f64::NEG_INFINITY }));
    rank_one_update(&mut [], &mut []);
    assert_eq!(rank_one_downdate(&mut [], &mut []), Ok(()));
}

#[test]
fn refused_downdates() {
    let start = [2.0, 1.0, 2.0];
    let nan = f64::NAN;
    for (vector, left) in [
        ([2.0, 1.0], 0.0),
        ([4.0, 2.0], -3.0),
        ([nan, 0.0], nan),
        ([0.0, nan], nan),
        ([f64::INFINITY, 0.0], f64::NEG_INFINITY),
    ] {
        let mut found = start;
        let Err(UpdateError::NotPositiveDefinite { left: got }) =
            rank_one_downdate(&mut found, &mut vector.clone())
        else {
            panic!("{vector:?} is refused")
        };
        assert!(got == left || left.is_nan() && got.is_nan(), "{vector:?}: {got}");
        assert_eq!(found, start);
    }
}

#[test]
#[should_panic(expected = "elements of the factor")]
fn other_lengths_panic() {
    rank_one_update(&mut [1.0; 3], &mut [1.0; 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_update_adds_and_a_downdate_returns(dim in 1usize..=64, seed: u64, size in -3i32..=3) {
        let mut rng = Rng::new(seed);
        let start = definite(&mut rng, dim);
        let vector: Vec<f64> =
            numbers(&mut rng, dim).iter().map(|x| x * 10f64.powi(size)).collect();
        let mut found = start.clone();
        rank_one_update(&mut found, &mut vector.clone());
        let expected = plus(&product(&start, dim), 1.0, &vector);
        prop_assert!(difference(&expected, &product(&found, dim), dim) < 4.0);
        prop_assert!((0..dim).all(|i| packed_row(&found, i)[i] > 0.0));

        // What returns has the rounding errors of the larger matrix.
        let mut used = vector.clone();
        match rank_one_downdate(&mut found, &mut used) {
            Ok(()) => {
                let back = product(&found, dim);
                let larger = expected.iter().fold(0.0f64, |most, a| most.max(a.abs()));
                let unit = dim as f64 * f64::EPSILON * larger;
                for (a, b) in back.iter().zip(&product(&start, dim)) {
                    prop_assert!((a - b).abs() < 8.0 * unit, "{:e}", (a - b).abs() / unit);
                }
                // The zeros above the factor have become the vector.
                let most = vector.iter().fold(0.0f64, |most, x| most.max(x.abs()));
                for (a, b) in used.iter().zip(&vector) {
                    prop_assert!((a - b).abs() <= 1e-13 * most * dim as f64);
                }
            }
            Err(refused) => prop_assert!(false, "{refused:?}"),
        }
    }

    /// Vectors whose `|L^-1 x|` is known: below one they may be taken away, above they may not.
    #[test]
    fn downdates_are_refused_beyond_one(dim in 1usize..=64, seed: u64, length in 0.0f64..2.0) {
        let mut rng = Rng::new(seed);
        let start = definite(&mut rng, dim);
        let direction = numbers(&mut rng, dim);
        let whole = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
        prop_assume!(whole > 1e-3 && (length - 1.0).abs() > 1e-6);
        let p: Vec<f64> = direction.iter().map(|x| x / whole * length).collect();
        let row = |i| packed_row(&start, i).iter().zip(&p).map(|(l, p)| l * p).sum::<f64>();
        let vector: Vec<f64> = (0..dim).map(row).collect();
        let mut found = start.clone();
        match rank_one_downdate(&mut found, &mut vector.clone()) {
            Ok(()) => {
                prop_assert!(length < 1.0);
                let expected = plus(&product(&start, dim), -1.0, &vector);
                let larger = product(&start, dim).iter().fold(0.0f64, |most, a| most.max(a.abs()));
                for (a, b) in product(&found, dim).iter().zip(&expected) {
                    prop_assert!((a - b).abs() < 4.0 * dim as f64 * f64::EPSILON * larger);
                }
            }
            Err(UpdateError::NotPositiveDefinite { left }) => {
                prop_assert!(length > 1.0);
                prop_assert!((left - (1.0 - length * length)).abs() < 1e-12 * dim as f64);
                prop_assert_eq!(found, start);
            }
        }
    }

    /// Any finite numbers below the square root of the range.
    #[test]
    fn no_nan(
        dim in 1usize..=6,
        l in proptest::collection::vec(-1e153f64..1e153, 21),
        x in proptest::collection::vec(prop_oneof![-1e153f64..1e153, -1.0..1.0, Just(0.0)], 6),
    ) {
        let mut found = l[..packed_len(dim)].to_vec();
        let mut vector = x[..dim].to_vec();
        rank_one_update(&mut found, &mut vector);
        prop_assert!(found.iter().chain(&vector).all(|x| x.is_finite()));
        let mut vector = x[..dim].to_vec();
        if rank_one_downdate(&mut found, &mut vector).is_ok() {
            prop_assert!(found.iter().chain(&vector).all(|x| x.is_finite()));
        }
    }
}

#[test]
fn a_large_factor() {
    let dim = 512;
    let mut rng = Rng::new(4);
    let start = definite(&mut rng, dim);
    let vector = numbers(&mut rng, dim);
    let mut found = start.clone();
    rank_one_update(&mut found, &mut vector.clone());
    let expected = plus(&product(&start, dim), 1.0, &vector);
    assert!(difference(&expected, &product(&found, dim), dim) < 4.0);
    assert_eq!(rank_one_downdate(&mut found, &mut vec![0.0; dim]), Ok(()));
    assert_eq!(rank_one_downdate(&mut found, &mut vector.clone()), Ok(()));
    assert!(difference(&product(&start, dim), &product(&found, dim), dim) < 4.0);
}
