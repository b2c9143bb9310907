//! No NaN comes out, whatever the covariance: definite, nearly singular, singular, indefinite.
#![cfg(feature = "std")]

use nowcast::kernels::Level;
use nowcast::sampling::{GaussianError, OnSingular, OwnedGaussian, PathAddress, PathWords, Real};
use proptest::prelude::*;

/// Numbers of a fixed sequence, between -1 and 1.
struct Numbers(PathWords);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(PathWords::new(PathAddress { seed, stream: 0, path: 0 }))
    }
    fn next(&mut self) -> f64 {
        f64::from(self.0.next_word() as i32) / 2_147_483_648.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Definite,
    /// The smallest eigenvalues are of the order of rounding errors.
    NearlySingular,
    Singular,
    Indefinite,
}

/// `B B' + shift`, with `rank` columns in `B`, rows scaled over twelve orders of magnitude.
fn covariance(kind: Kind, dim: usize, seed: u64) -> Vec<f64> {
    let mut numbers = Numbers::new(seed);
    let rank = match kind {
        Kind::Singular | Kind::NearlySingular => dim.div_ceil(2),
        _ => dim,
    };
    let scale: Vec<f64> = (0..dim).map(|_| 10f64.powf(6.0 * numbers.next())).collect();
    let b: Vec<f64> = (0..dim * rank).map(|_| numbers.next()).collect();
    let mut a = vec![0.0; dim * dim];
    for i in 0..dim {
        for j in 0..=i {
            let rows = b[i * rank..][..rank].iter().zip(&b[j * rank..][..rank]);
            let mut sum: f64 = rows.map(|(x, y)| x * y).sum();
            if i == j {
                match kind {
                    Kind::Definite => sum += 0.1,
                    Kind::NearlySingular => sum += 1e-15 * sum,
                    Kind::Singular => {}
                    Kind::Indefinite if i + 1 == dim => sum = -0.1 * sum - 1.0,
                    Kind::Indefinite => {}
                }
            }
            a[i * dim + j] = sum * scale[i] * scale[j];
            a[j * dim + i] = a[i * dim + j];
        }
    }
    a
}

fn assert_numbers<T: Real>(what: &str, numbers: &[T]) {
    let nan = numbers.iter().position(|x| !x.to_f64().is_finite());
    assert_eq!(nan, None, "{what}: {:?}", nan.map(|at| numbers[at].to_f64()));
}

fn check<T: Real>(kind: Kind, dim: usize, seed: u64) {
    let (mean, covariance) = (vec![1.0; dim], covariance(kind, dim, seed));
    let jitter = 1e-6 * (0..dim).map(|i| covariance[i * (dim + 1)]).fold(0.0, f64::max);
    for choice in [OnSingular::Refuse, OnSingular::SemiDefinite, OnSingular::Jitter(jitter)] {
        let made = OwnedGaussian::<T>::full_or(choice, &mean, &covariance);
        let owned = match made {
            Ok(owned) => owned,
            Err(GaussianError::NotPositiveDefinite { pivot, value }) => {
                assert!(pivot < dim && !value.is_nan(), "{kind:?} {choice:?}");
                let fine = kind == Kind::Definite
                    || (kind == Kind::Singular && choice == OnSingular::SemiDefinite);
                assert!(!fine, "{kind:?} of {dim} refused by {choice:?}: {value:e} at {pivot}");
                continue;
            }
            Err(other) => panic!("{kind:?} {choice:?}: {other}"),
        };
        let refused = kind == Kind::Indefinite && !matches!(choice, OnSingular::Jitter(_));
        assert!(!refused, "an indefinite matrix of {dim} was accepted by {choice:?}");
        let gaussian = owned.gaussian();
        let level = Level::detect();
        let mut out = vec![T::from_f64(0.0); dim * 40];
        let first = PathAddress { seed, stream: 1, path: 0 };
        gaussian.draw(level, first, &mut out).unwrap();
        assert_numbers("a draw", &out);
        let point: Vec<f64> = out[..dim].iter().map(|x| x.to_f64()).collect();
        let mut scratch = vec![0.0; gaussian.density_scratch_len()];
        if let Ok(density) = gaussian.log_density(level, &point, &mut scratch) {
            assert!(density.is_finite(), "{kind:?} {choice:?}: {density}");
        }
        let linear = gaussian.linear(level, &point).unwrap();
        assert_numbers("a weighted sum", &[linear.mean, linear.std]);
        if dim > 1 {
            for known in [vec![0], vec![dim - 1], (0..dim / 2).rev().collect()] {
                let values: Vec<f64> = known.iter().map(|index| point[*index]).collect();
                // What is left of a nearly singular one may be indefinite by rounding of `T`.
                if let Ok(given) = owned.given(&known, &values) {
                    let given = given.gaussian();
                    assert_numbers("a conditional mean", given.mean());
                    let mut out = vec![T::from_f64(0.0); given.dim() * 8];
                    given.draw(level, first, &mut out).unwrap();
                    assert_numbers("a conditional draw", &out);
                }
            }
        }
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Definite),
        Just(Kind::NearlySingular),
        Just(Kind::Singular),
        Just(Kind::Indefinite),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_nan_comes_out(kind in kinds(), dim in 1usize..40, seed in any::<u64>()) {
        check::<f32>(kind, dim, seed);
        check::<f64>(kind, dim, seed);
    }
}

#[test]
fn no_nan_comes_out_of_large_ones() {
    for dim in [129, 256, 512] {
        for kind in [Kind::Definite, Kind::NearlySingular, Kind::Singular, Kind::Indefinite] {
            check::<f32>(kind, dim, dim as u64);
        }
    }
}

/// Deviations that a float does not hold, loadings whose square it does not.
#[test]
fn no_nan_comes_out_of_extreme_low_rank() {
    for (loading, variance) in [(1e30, 1e-20), (1.0, 1e-100), (1e-30, 1e60), (0.0, 1.0)] {
        let variances = [variance, 1.0, variance];
        let made = OwnedGaussian::<f32>::low_rank(&[0.0; 3], &[loading; 6], &variances);
        let owned = made.unwrap();
        let gaussian = owned.gaussian();
        let mut out = [0.0f32; 3 * 40];
        let first = PathAddress { seed: 1, stream: 1, path: 0 };
        gaussian.draw(Level::detect(), first, &mut out).unwrap();
        assert_numbers("a draw", &out);
        let mut scratch = [0.0; 2];
        if let Ok(density) = gaussian.log_density(Level::detect(), &[1.0; 3], &mut scratch) {
            assert!(!density.is_nan(), "{loading} {variance}");
        }
        if let Ok(given) = owned.given(&[1], &[1.0]) {
            assert_numbers("a conditional mean", given.gaussian().mean());
        }
    }
}
