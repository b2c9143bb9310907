extern crate std;
use super::*;
use crate::kernels::Level;
use crate::kernels::suite::Rng;
use crate::sampling::cholesky::factor;
use proptest::prelude::*;
use std::{vec, vec::Vec};

fn number(rng: &mut Rng) -> f64 {
    (rng.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// The recurrence on the covariance itself, lower triangle by rows.
struct Direct {
    lambda: f64,
    mean: Vec<f64>,
    covariance: Vec<f64>,
}

impl Direct {
    fn observe(&mut self, x: &[f64]) {
        let d: Vec<f64> = x.iter().zip(&self.mean).map(|(x, mean)| x - mean).collect();
        let fresh = 1.0 - self.lambda;
        for i in 0..d.len() {
            for j in 0..=i {
                let element = &mut self.covariance[packed_len(i) + j];
                *element = self.lambda * (*element + fresh * d[i] * d[j]);
            }
            self.mean[i] += fresh * d[i];
        }
    }
}

/// Relative distances, in the Frobenius norm, of the covariance and of the factor from those of
/// the direct sum.
fn distances(found: &ExponentialCovariance<'_>, direct: &Direct) -> [f64; 2] {
    let dim = found.dim();
    let mut fresh = direct.covariance.clone();
    factor(Level::detect(), &mut fresh, dim).expect("definite");
    let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
    let pairs = || (0..dim).flat_map(|i| (0..dim).map(move |j| (i, j)));
    let whole = |i: usize, j: usize| direct.covariance[packed_len(i.max(j)) + i.min(j)];
    let covariance = norm(&mut pairs().map(|(i, j)| found.covariance(i, j) - whole(i, j)))
        / norm(&mut pairs().map(|(i, j)| whole(i, j)));
    let factor = norm(&mut found.factor().iter().zip(&fresh).map(|(a, b)| a - b))
        / norm(&mut fresh.iter().copied());
    [covariance, factor]
}

/// `observations` of a moving average with a common part.
fn followed(lambda: f64, dim: usize, observations: usize) -> [f64; 2] {
    let mut rng = Rng::new(dim as u64);
    let mut storage = vec![f64::NAN; ExponentialCovariance::storage_len(dim)];
    let decay = Decay::new(lambda).expect("between zero and one");
    let (mean, variances) = (vec![5.0; dim], vec![2.0; dim]);
    let mut found = ExponentialCovariance::from_variances(&mean, &variances, decay, &mut storage)
        .expect("made");
    let covariance = (0..packed_len(dim)).map(|_| 0.0).collect();
    let mut direct = Direct { lambda, mean, covariance };
    (0..dim).for_each(|i| direct.covariance[packed_len(i) + i] = 2.0);
    let mut x = vec![0.0; dim];
    for step in 0..observations {
        let common = number(&mut rng);
        for (i, x) in x.iter_mut().enumerate() {
            *x = 0.5 * *x + common + (i + 1) as f64 * 0.3 * number(&mut rng);
        }
        // Quiet and restless times take turns.
        let size = if step % 5000 < 2500 { 1.0 } else { 1e-2 };
        let now: Vec<f64> = x.iter().map(|x| x * size).collect();
        found.observe(&now).expect("finite");
        direct.observe(&now);
    }
    assert_eq!(found.observations(), observations as u64);
    let bound = 1e-13 / (1.0 - lambda);
    for (a, b) in found.mean().iter().zip(&direct.mean) {
        assert!((a - b).abs() <= bound, "{a} {b}");
    }
    distances(&found, &direct)
}

/// A rounding error of each rotation, `2^-52` and a few of them for each dimension, is remembered
/// as long as an observation: `1 / (1 - lambda)` of them. Measured in a million: 1e-16 to 1.3e-12.
#[test]
fn a_million_updates_stay_with_the_direct_sum() {
    let observations = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    for (lambda, dim) in [(0.94, 2), (0.94, 8), (0.999, 5), (0.999_99, 3), (0.5, 1)] {
        let bound = 4.0 * dim as f64 * f64::EPSILON / (1.0 - lambda);
        let [covariance, factor] = followed(lambda, dim, observations);
        std::eprintln!("{lambda} {dim}: {covariance:.1e} {factor:.1e} of {bound:.1e}");
        assert!(covariance < bound && factor < bound, "{lambda} {dim}: {covariance:e} {factor:e}");
    }
}

#[test]
fn many_dimensions() {
    let [covariance, factor] = followed(0.98, 64, 2000);
    assert!(covariance < 1e-12 && factor < 1e-12, "{covariance:e} {factor:e}");
}

/// `numpy.average`, `numpy.cov(x, aweights=w, ddof=0)` and its Cholesky factor (2.4.6) for the
/// closed form of the weights.
#[test]
fn as_numpy_does() {
    let row = |t: u32| {
        let (a, b, c) =
            (f64::from(t * 37 % 101), f64::from(t * 53 % 89), f64::from(t * t * 7 % 97));
        [a / 8.0 - 6.0, b / 16.0 + a / 32.0, c / 4.0 - 12.0]
    };
    let mut storage = [0.0; ExponentialCovariance::storage_len(3)];
    let decay = Decay::new(0.9375).expect("between zero and one");
    let mut found = ExponentialCovariance::from_variances(&row(0), &[0.0; 3], decay, &mut storage)
        .expect("made");
    for t in 1..=200 {
        found.observe(&row(t)).expect("finite");
    }
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 5e-14);
    let mean = [0.318_117_904_151_907_4, 4.347_551_036_363_596, -1.165_022_626_607_092_2];
    assert!(close(found.mean(), &mean), "{:?}", found.mean());
    let factor = [
        3.625_685_071_557_663,
        1.256_878_992_435_561_7,
        1.586_942_476_068_744_5,
        0.413_377_437_114_008_87,
        -0.914_442_429_982_606_9,
        6.708_755_255_232_995,
    ];
    assert!(close(found.factor(), &factor), "{:?}", found.factor());
    assert!((found.covariance(0, 2) - 1.498_776_402_663_028_8).abs() < 5e-14);
    assert!((found.covariance(2, 2) - 46.014_482_937_883_76).abs() < 5e-13);
}

#[test]
fn what_does_not_move() {
    let mut storage = [0.0; ExponentialCovariance::storage_len(3)];
    let decay = Decay::from_half_life(2.0).expect("above zero");
    let start = [1.0, 0.5, 1.0, -0.25, 0.5, 2.0];
    let mut found =
        ExponentialCovariance::from_factor(&[0.0; 3], &start, decay, &mut storage).expect("made");
    // The second follows the first, the third stands still.
    for step in 0..20_000 {
        let x = f64::from(step % 7) - 3.0;
        found.observe(&[x, 2.0 * x, 0.0]).expect("finite");
        assert!(found.factor().iter().all(|l| l.is_finite()));
    }
    let [deviation, cross, pivot, last @ ..] = found.factor() else { panic!("six elements") };
    assert!((cross / deviation - 2.0).abs() < 1e-9);
    let own = FLOOR * 2.0 * deviation;
    assert!((pivot / own - 1.0).abs() < 1e-6, "{pivot:e} {own:e}");
    assert_eq!(last, [0.0; 3]);
    // It can still be factored afresh once the third moves, and forgets nothing.
    for step in 0..200 {
        found
            .observe(&[f64::from(step % 7), f64::from(step % 5), f64::from(step % 3)])
            .expect("finite");
    }
    let mut triangle: Vec<f64> = (0..3)
        .flat_map(|i| (0..=i).map(move |j| (i, j)))
        .map(|(i, j)| found.covariance(i, j))
        .collect();
    assert_eq!(factor(Level::detect(), &mut triangle, 3), Ok(()));
}

#[test]
fn refusals() {
    use ExponentialError::{Empty, Length, Negative, NotFinite, StorageTooSmall};
    let made = |mean: &[f64], variances: &[f64]| {
        let (decay, mut storage) = (Decay(0.9), [7.0; 9]);
        let made = ExponentialCovariance::from_variances(mean, variances, decay, &mut storage);
        let made = made.map(|_| ());
        assert!(made.is_ok() || storage == [7.0; 9]);
        made
    };
    assert_eq!(made(&[0.0; 2], &[1.0, 0.0]), Ok(()));
    assert_eq!(made(&[], &[]), Err(Empty));
    assert_eq!(made(&[0.0; 2], &[1.0]), Err(Length { expected: 2, got: 1 }));
    assert_eq!(made(&[0.0; 3], &[1.0; 3]), Err(StorageTooSmall { needed: 15, got: 9 }));
    assert_eq!(made(&[0.0, f64::NAN], &[1.0; 2]), Err(NotFinite { index: 1 }));
    assert_eq!(made(&[0.0; 2], &[f64::INFINITY, 1.0]), Err(NotFinite { index: 0 }));
    assert_eq!(made(&[0.0; 2], &[1.0, -2.0]), Err(Negative { index: 1, value: -2.0 }));
    let mut storage = [0.0; 9];
    let mut from = |factor: &[f64]| {
        ExponentialCovariance::from_factor(&[0.0; 2], factor, Decay(0.9), &mut storage).map(|_| ())
    };
    assert_eq!(from(&[1.0; 4]), Err(Length { expected: 3, got: 4 }));
    assert_eq!(from(&[1.0, 0.0, -1.0]), Err(Negative { index: 1, value: -1.0 }));
    assert_eq!(from(&[1.0, 1e200, 1.0]), Err(NotFinite { index: 2 }));

    for value in [0.0, 1.0, -0.5, 1.5, f64::INFINITY] {
        assert_eq!(Decay::new(value), Err(ExponentialError::Decay { value }), "{value}");
    }
    assert!(Decay::new(f64::NAN).is_err() && Decay::from_half_life(f64::NAN).is_err());
    for value in [0.0, -3.0, 1e300] {
        assert!(Decay::from_half_life(value).is_err(), "{value}");
    }
    assert_eq!(Decay::from_half_life(1.0).map(Decay::value), Ok(0.5));
}

#[test]
fn a_refused_observation_changes_nothing() {
    let mut storage = [0.0; ExponentialCovariance::storage_len(2)];
    let mut found =
        ExponentialCovariance::from_variances(&[0.0; 2], &[1.0; 2], Decay(0.9), &mut storage)
            .expect("made");
    found.observe(&[1.0, 2.0]).expect("finite");
    let before = (found.mean().to_vec(), found.factor().to_vec(), found.variances.to_vec());
    for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e200, f64::MAX] {
        let refused = Err(ExponentialError::NotFinite { index: 1 });
        assert_eq!(found.observe(&[0.5, x]), refused, "{x}");
    }
    let refused = Err(ExponentialError::Length { expected: 2, got: 3 });
    assert_eq!(found.observe(&[0.0; 3]), refused);
    let after = (found.mean().to_vec(), found.factor().to_vec(), found.variances.to_vec());
    assert_eq!((before, found.observations()), (after, 1));
}

proptest! {
    /// Any observations: no NaN, no infinity, no negative pivot, and variances that the factor has.
    #[test]
    fn any_observations(
        lambda in 0.01f64..0.999,
        x in proptest::collection::vec(
            prop_oneof![-1.0f64..1.0, -1e150..1e150, -1e-160..1e-160, Just(0.0), any::<f64>()],
            3..300,
        ),
    ) {
        let mut storage = [0.0; ExponentialCovariance::storage_len(3)];
        let mut found = ExponentialCovariance::from_variances(
            &[0.0; 3], &[1.0, 0.0, 1e-300], Decay(lambda), &mut storage,
        ).expect("made");
        for x in x.as_chunks::<3>().0 {
            let before = found.observations();
            let taken = found.observe(x).is_ok();
            prop_assert_eq!(found.observations(), before + u64::from(taken));
            prop_assert!(found.factor().iter().chain(found.mean()).all(|x| x.is_finite()));
            for i in 0..3 {
                prop_assert!(found.factor()[packed_len(i) + i] >= 0.0);
                let (a, b) = (found.covariance(i, i), found.variances[i]);
                prop_assert!((a - b).abs() <= 1e-12 * b + 1e-280, "{:e} {:e}", a, b);
            }
        }
    }
}
