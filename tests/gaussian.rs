//! What is said of Gaussians without drawing, against SciPy 1.17 and NumPy, in all four forms.
//!
//! Reference values: `scipy.stats.multivariate_normal` and the textbook formulas with
//! `numpy.linalg`. Tolerances are 1e-12 of the size of the numbers for `f64` (they are sums of a
//! few dozen terms) and 2e-6 for `f32`, whose factor is rounded to 2^-24.
#![cfg(feature = "std")]

use nowcast::kernels::Level;
use nowcast::sampling::{
    Antithetic, Gaussian, GaussianError, Moments, OnSingular, OwnedGaussian, PathAddress,
    PointError, Real,
};

const MEAN: [f64; 5] = [1.0, -2.0, 0.5, 3.0, 10.0];
const OTHER_MEAN: [f64; 5] = [0.0, 1.0, 1.0, 2.0, 9.0];
#[rustfmt::skip]
const COVARIANCE: [f64; 25] = [
    4.25, 1.0, -0.625, 1.875, 0.5,
    1.0, 1.0625, 0.625, 0.0, 0.53125,
    -0.625, 0.625, 3.0625, 0.0625, -1.1875,
    1.875, 0.0, 0.0625, 1.875, -0.3125,
    0.5, 0.53125, -1.1875, -0.3125, 5.328125,
];
#[rustfmt::skip]
const LOADINGS: [f64; 10] = [1.0, 0.5, 0.25, -1.0, 0.0, 2.0, 1.5, 0.75, -0.5, 0.125];
const VARIANCES: [f64; 5] = [1.0, 0.5, 2.0, 0.25, 1.5];
/// `LOADINGS LOADINGS' + VARIANCES`.
#[rustfmt::skip]
const LOW_RANK: [f64; 25] = [
    2.25, -0.25, 1.0, 1.875, -0.4375,
    -0.25, 1.5625, -2.0, -0.375, -0.25,
    1.0, -2.0, 6.0, 1.5, 0.25,
    1.875, -0.375, 1.5, 3.0625, -0.65625,
    -0.4375, -0.25, 0.25, -0.65625, 1.765625,
];
const POINT: [f64; 5] = [1.5, -1.0, 0.25, 2.5, 11.0];
const WEIGHTS: [f64; 5] = [1.0, -0.5, 2.0, 0.25, -1.0];

const FIRST: PathAddress = PathAddress { seed: 7, stream: 1, path: 0 };

fn full<T: Real>() -> OwnedGaussian<T> {
    OwnedGaussian::full(&MEAN, &COVARIANCE).unwrap()
}

fn low_rank<T: Real>() -> OwnedGaussian<T> {
    OwnedGaussian::low_rank(&MEAN, &LOADINGS, &VARIANCES).unwrap()
}

/// A quarter of the full one, three quarters of the low rank one, written out, about another mean.
fn mixture<T: Real>() -> OwnedGaussian<T> {
    let other = OwnedGaussian::full(&OTHER_MEAN, &LOW_RANK).unwrap();
    OwnedGaussian::mixture(&[1.0, 3.0], &[full().gaussian(), other.gaussian()]).unwrap()
}

fn tolerance<T>() -> f64 {
    if size_of::<T>() == 4 { 2e-6 } else { 1e-12 }
}

fn assert_close<T>(what: &str, got: f64, expected: f64) {
    let error = (got - expected).abs() / expected.abs().max(1.0);
    assert!(error <= tolerance::<T>(), "{what}: {got} is not {expected}, by {error:e}");
}

fn density<T: Real>(owned: &OwnedGaussian<T>) -> f64 {
    let gaussian = owned.gaussian();
    let mut scratch = vec![f64::NAN; gaussian.density_scratch_len()];
    let mut by_level =
        Level::each().map(|l| gaussian.log_density(l, &POINT, &mut scratch).unwrap());
    let first = by_level.next().unwrap();
    assert!(by_level.all(|other| other.to_bits() == first.to_bits()));
    first
}

/// The covariance of a distribution of the full form, by weighted sums.
fn covariance_of<T: Real>(gaussian: &Gaussian<'_, T>, i: usize, j: usize) -> f64 {
    let variance = |of: &[usize]| {
        let mut weights = vec![0.0; gaussian.dim()];
        of.iter().for_each(|index| weights[*index] += 1.0);
        gaussian.linear(Level::detect(), &weights).unwrap().std.powi(2)
    };
    (variance(&[i, j]) - variance(&[i]) - variance(&[j])) / 2.0
}

fn assert_moments<T: Real>(owned: &OwnedGaussian<T>, mean: &[f64], covariance: &[f64]) {
    let gaussian = owned.gaussian();
    assert_eq!(gaussian.dim(), mean.len());
    for (i, expected) in mean.iter().enumerate() {
        assert_close::<T>(&format!("mean {i}"), gaussian.mean()[i].to_f64(), *expected);
        let variance = gaussian.marginal_std(i).to_f64().powi(2);
        assert_close::<T>(&format!("variance {i}"), variance, covariance[i * (mean.len() + 1)]);
        for j in 0..mean.len() {
            let got = covariance_of(&gaussian, i, j);
            // Differences of three variances.
            let error = (got - covariance[i * mean.len() + j]).abs();
            assert!(error < 20.0 * tolerance::<T>(), "covariance {i} {j}: {got} off by {error:e}");
        }
    }
}

fn in_both<F: Fn(bool)>(test: F) {
    test(false);
    test(true);
}

#[test]
fn densities_and_distances() {
    fn test<T: Real>() {
        assert_close::<T>("full", density(&full::<T>()), -6.767352683637393);
        assert_close::<T>("low rank", density(&low_rank::<T>()), -7.3823326145997905);
        assert_close::<T>("mixture", density(&mixture::<T>()), -8.116340109689833);
        let written_out = OwnedGaussian::<T>::full(&MEAN, &LOW_RANK).unwrap();
        assert_close::<T>("written out", density(&written_out), -7.3823326145997905);
        let owned = full::<T>();
        let mut scratch = [0.0; 5];
        let distance = owned.gaussian().mahalanobis(Level::detect(), &POINT, &mut scratch);
        assert_close::<T>("distance", distance.unwrap(), 1.2108849177153944);
    }
    in_both(|double| if double { test::<f64>() } else { test::<f32>() });
}

#[test]
fn conditions_of_the_full_form() {
    fn test<T: Real>() {
        let owned = full::<T>();
        let leading = owned.given(&[0, 1], &[1.5, -1.0]).unwrap();
        #[rustfmt::skip]
        assert_moments(&leading, &[1.25, 2.75, 10.5], &[
            2.25, 0.75, -1.5,
            0.75, 0.8125, -0.3125,
            -1.5, -0.3125, 5.0625,
        ]);
        let some = owned.given(&[3, 1], &[2.5, -1.0]).unwrap();
        #[rustfmt::skip]
        assert_moments(&some, &[1.4411764705882353, 1.0715686274509804, 10.583333333333334], &[
            1.4338235294117645, -1.2757352941176472, 0.3125,
            -1.2757352941176472, 2.6927696078431373, -1.4895833333333335,
            0.3125, -1.4895833333333333, 5.010416666666667,
        ]);
        // The same, whatever the order.
        let turned = owned.given(&[1, 3], &[-1.0, 2.5]).unwrap();
        let mean = some.gaussian().mean().iter().map(|x| x.to_f64()).collect::<Vec<_>>();
        for (a, b) in mean.iter().zip(turned.gaussian().mean()) {
            assert_close::<T>("turned", b.to_f64(), *a);
        }
        // Nothing known is the whole.
        assert_moments(&owned.given(&[], &[]).unwrap(), &MEAN, &COVARIANCE);
    }
    in_both(|double| if double { test::<f64>() } else { test::<f32>() });
}

#[test]
fn one_after_the_other_is_all_at_once() {
    let owned = full::<f64>();
    let step = owned.given(&[4], &[11.0]).unwrap().given(&[1], &[-1.0]).unwrap();
    let once = owned.given(&[1, 4], &[-1.0, 11.0]).unwrap();
    for index in 0..3 {
        let (a, b) = (step.gaussian(), once.gaussian());
        assert_close::<f64>("mean", a.mean()[index], b.mean()[index]);
        assert_close::<f64>("deviation", a.marginal_std(index), b.marginal_std(index));
    }
}

#[test]
fn conditions_of_the_other_forms() {
    fn test<T: Real>() {
        let some = low_rank::<T>().given(&[3, 1], &[2.5, -1.0]).unwrap();
        let mean = [0.6812447434819175, -0.8692178301093356, 9.90264928511354];
        #[rustfmt::skip]
        assert_moments(&some, &mean, &[
            1.1017661900756939, 0.057190916736753694, -0.04015979814970566,
            0.057190916736753694, 3.089991589571068, 0.1757779646761984,
            -0.04015979814970572, 0.17577796467619844, 1.55303826745164,
        ]);
        // Its density is that of the conditional distribution: p(x) = p(known) p(rest | known).
        let known = low_rank::<T>().marginal(&[3, 1]).unwrap();
        let part = |owned: &OwnedGaussian<T>, x: &[f64]| {
            let mut scratch = vec![0.0; owned.gaussian().density_scratch_len()];
            owned.gaussian().log_density(Level::detect(), x, &mut scratch).unwrap()
        };
        let split = part(&known, &[2.5, -1.0]) + part(&some, &[1.5, 0.25, 11.0]);
        let error = (split - density(&low_rank::<T>())).abs();
        assert!(error < 10.0 * tolerance::<T>(), "{error:e}");

        let some = mixture::<T>().given(&[3, 1], &[2.5, -1.0]).unwrap();
        let some = some.gaussian();
        assert_close::<T>("weight", some.weights()[0].to_f64(), 0.5168507855367154);
        let mean = [0.9053811301240906, 2.277168099923328, 9.970626444736565];
        let std = [1.257176068264018, 2.1070221828380062, 1.9343172066063605];
        for index in 0..3 {
            assert_close::<T>("mean", some.mean()[index].to_f64(), mean[index]);
            assert_close::<T>("deviation", some.marginal_std(index).to_f64(), std[index]);
        }

        let diagonal = OwnedGaussian::<T>::diagonal(&MEAN, &VARIANCES).unwrap();
        let some = diagonal.given(&[0, 3], &[9.0, 9.0]).unwrap();
        let kept = [1, 2, 4];
        assert!(some.gaussian().mean().iter().zip(kept).all(|(x, i)| x.to_f64() == MEAN[i]));
    }
    in_both(|double| if double { test::<f64>() } else { test::<f32>() });
}

#[test]
fn marginals_are_parts() {
    fn test<T: Real>() {
        let written_out = OwnedGaussian::<T>::full(&MEAN, &LOW_RANK).unwrap();
        for (owned, covariance) in [(full::<T>(), COVARIANCE), (written_out, LOW_RANK)] {
            for indices in [vec![0, 1, 2], vec![4, 1], vec![2], vec![4, 3, 2, 1, 0]] {
                let part: Vec<f64> = indices
                    .iter()
                    .flat_map(|i| indices.iter().map(move |j| covariance[i * 5 + j]))
                    .collect();
                let mean: Vec<f64> = indices.iter().map(|i| MEAN[*i]).collect();
                assert_moments(&owned.marginal(&indices).unwrap(), &mean, &part);
            }
        }
        let of_low_rank = low_rank::<T>().marginal(&[4, 1]).unwrap();
        let part = [LOW_RANK[24], LOW_RANK[21], LOW_RANK[21], LOW_RANK[6]];
        assert_moments(&of_low_rank, &[10.0, -2.0], &part);
        let of_mixture = mixture::<T>().marginal(&[4, 1]).unwrap();
        let (part, whole) = (of_mixture.gaussian(), mixture::<T>());
        assert_eq!(part.marginal_quantile(1, 0.3), whole.gaussian().marginal_quantile(1, 0.3));
    }
    in_both(|double| if double { test::<f64>() } else { test::<f32>() });
}

/// What is known and what is left, drawn: means after one observation are the regression.
#[test]
fn a_leading_block_reads_the_factor() {
    let owned = full::<f32>();
    let some = owned.given(&[0, 1], &[1.0, -2.0]).unwrap();
    let draw = |gaussian: Gaussian<'_>, address, paths: usize| {
        let mut out = vec![0.0; paths * gaussian.dim()];
        gaussian.draw(Level::detect(), address, &mut out).unwrap();
        out
    };
    // At the means of the known ones, the mean of the others is unmoved and their factor is the
    // trailing block bit for bit: a draw differs from that of the whole by what the first two
    // normals add, which is nothing where these are zero. Antithetic pairs cancel them out.
    let pair = {
        let mut out = [0.0; 10];
        owned.gaussian().draw(Level::detect(), Antithetic(FIRST), &mut out).unwrap();
        out
    };
    for index in 0..5 {
        let centre = (pair[index] + pair[5 + index]) / 2.0;
        assert!((f64::from(centre) - MEAN[index]).abs() < 2e-6);
    }
    assert_eq!(some.gaussian().mean(), [0.5, 3.0, 10.0]);
    let paths = draw(some.gaussian(), FIRST, 3);
    assert_eq!(paths[3..6], draw(some.gaussian(), PathAddress { path: 1, ..FIRST }, 1));
}

#[test]
fn weighted_sums() {
    fn test<T: Real>() {
        for level in Level::each() {
            let linear = full::<T>().gaussian().linear(level, &WEIGHTS).unwrap();
            assert_close::<T>("mean", linear.mean, -6.25);
            assert_close::<T>("deviation", linear.std, 4.785231185637743);
            let linear = low_rank::<T>().gaussian().linear(level, &WEIGHTS).unwrap();
            assert_close::<T>("deviation", linear.std, 6.2715254324605905);
        }
        let owned = mixture::<T>();
        let gaussian = owned.gaussian();
        let mut scratch = vec![0.0; gaussian.linear_scratch_len()];
        let cases =
            [(0.01, -20.965005673645052), (0.5, -6.772248884138968), (0.975, 4.808325077874331)];
        for (p, expected) in cases {
            let level = Level::detect();
            let got = gaussian.linear_quantile(level, &WEIGHTS, p, &mut scratch).unwrap();
            assert_close::<T>("quantile", got, expected);
        }
        assert_eq!(gaussian.linear_quantile(Level::detect(), &WEIGHTS, 0.5, &mut []), {
            Err(PointError::ScratchTooSmall { needed: 4, got: 0 })
        });
    }
    in_both(|double| if double { test::<f64>() } else { test::<f32>() });
}

/// 400,000 paths; five standard errors: one run in a million would fail had the seed been drawn.
#[test]
fn probabilities_by_counting() {
    let owned = full::<f32>();
    let gaussian = owned.gaussian();
    let mut scratch = vec![0.0; 5 * 100];
    let (lower, upper) = ([-1.0, -4.0, -1.0, 1.0, 8.0], [3.0, 0.0, 2.0, 5.0, 13.0]);
    let level = Level::detect();
    let paths = 400_000;
    let inside =
        gaussian.probability_within(level, FIRST, paths, &lower, &upper, &mut scratch).unwrap();
    let error = (inside.value() - 0.2725021491220797) / inside.standard_error();
    assert!(error.abs() < 5.0, "{error}");
    let thresholds = [4.0, 1.0, 4.0, 6.0, 14.0];
    let crossed =
        gaussian.probability_above(level, FIRST, paths, &thresholds, &mut scratch).unwrap();
    let error = (crossed.value() - 0.13751098038697118) / crossed.standard_error();
    assert!(error.abs() < 5.0, "{error}");
    let (low, high) = crossed.interval(5.0);
    assert!(low < 0.1375 && 0.1375 < high);
    // Blocks of another size count the same paths.
    let mut other = vec![0.0; 5];
    let again = gaussian.probability_above(level, FIRST, 1000, &thresholds, &mut other).unwrap();
    let whole = gaussian.probability_above(level, FIRST, 1000, &thresholds, &mut scratch).unwrap();
    assert_eq!(again, whole);
}

#[test]
fn moments_without_keeping_paths() {
    let owned = full::<f64>();
    let gaussian = owned.gaussian();
    let mut by_level = Level::each().map(|level| {
        let mut storage = vec![f64::NAN; Moments::storage_len(5)];
        let mut moments = Moments::new(&MEAN, &mut storage);
        let mut scratch = vec![0.0; 5 * 33];
        gaussian.draw_moments(level, FIRST, 40_000, &mut moments, &mut scratch).unwrap();
        assert_eq!(moments.paths(), 40_000);
        for i in 0..5 {
            let error = (moments.mean(i) - MEAN[i]) / gaussian.marginal_std(i);
            assert!(error.abs() < 5.0 / 200.0, "mean {i}: {error}");
            for j in 0..5 {
                let (a, b) = (COVARIANCE[i * 6], COVARIANCE[j * 6]);
                let spread = (a * b + COVARIANCE[i * 5 + j].powi(2)).sqrt() / 200.0;
                let error = (moments.covariance(i, j) - COVARIANCE[i * 5 + j]) / spread;
                assert!(error.abs() < 5.0, "covariance {i} {j}: {error}");
            }
        }
        (0..15).map(|n| moments.covariance(n % 5, n / 5).to_bits()).collect::<Vec<_>>()
    });
    let first = by_level.next().unwrap();
    assert!(by_level.all(|other| other == first));
}

/// A clock that counts the readings.
#[test]
fn the_first_paths_are_the_same_whatever_the_deadline() {
    let owned = full::<f32>();
    let gaussian = owned.gaussian();
    let mut whole = vec![0.0; 5 * 5000];
    gaussian.draw(Level::detect(), FIRST, &mut whole).unwrap();
    let mut counts = Vec::new();
    for deadline in [0, 1, 2, 3, 5, 1000] {
        let mut out = vec![f32::NAN; 5 * 5000];
        let mut now = 0;
        let clock = || {
            now += 1;
            now
        };
        let paths = gaussian.draw_until(Level::detect(), FIRST, clock, deadline, &mut out).unwrap();
        assert_eq!(out[..5 * paths], whole[..5 * paths]);
        assert!(out[5 * paths..].iter().all(|x| x.is_nan()), "behind the paths nothing changes");
        counts.push(paths);
    }
    assert_eq!(counts[..2], [0, 0], "the deadline is over");
    assert!(counts.is_sorted() && counts[2] > 0 && counts[5] == 5000, "{counts:?}");
}

#[test]
fn refusals() {
    let owned = full::<f64>();
    let given = |indices: &[usize], values: &[f64]| owned.given(indices, values).err();
    let all = [0, 1, 2, 3, 4];
    assert_eq!(given(&[0], &[]), Some(GaussianError::Length { expected: 1, got: 0 }));
    assert_eq!(given(&[5], &[0.0]), Some(GaussianError::Index { position: 0, index: 5 }));
    assert_eq!(given(&[2, 2], &[0.0; 2]), Some(GaussianError::Index { position: 1, index: 2 }));
    assert_eq!(given(&[2], &[f64::NAN]), Some(GaussianError::Value { index: 0 }));
    assert_eq!(given(&all, &[0.0; 5]), Some(GaussianError::Empty));
    assert_eq!(owned.marginal(&[]).err(), Some(GaussianError::Empty));
    let gaussian = owned.gaussian();
    let density =
        |x: &[f64], scratch: &mut [f64]| gaussian.log_density(Level::scalar(), x, scratch);
    assert_eq!(density(&[0.0; 4], &mut [0.0; 5]), {
        Err(PointError::Length { expected: 5, got: 4 })
    });
    assert_eq!(density(&[f64::INFINITY; 5], &mut [0.0; 5]), {
        Err(PointError::NotFinite { index: 0 })
    });
    assert_eq!(density(&[0.0; 5], &mut [0.0; 4]), {
        Err(PointError::ScratchTooSmall { needed: 5, got: 4 })
    });
    let mixture = mixture::<f64>();
    let mut scratch = [0.0; 5];
    let distance = mixture.gaussian().mahalanobis(Level::scalar(), &POINT, &mut scratch);
    assert_eq!(distance, Err(PointError::OfMixture));
    assert_eq!(mixture.gaussian().with_mean(&MEAN).err(), Some(GaussianError::OfMixture));
    let of_itself = OwnedGaussian::mixture(&[1.0], &[mixture.gaussian()]).err();
    assert_eq!(of_itself, Some(GaussianError::Components { index: 0 }));
    let nothing = OwnedGaussian::mixture(&[0.0], &[owned.gaussian()]).err();
    assert_eq!(nothing, Some(GaussianError::Weight { index: 0, value: 0.0 }));
}

#[test]
fn singular_covariances_are_a_choice() {
    // The third is the sum of the others, the fourth a constant.
    #[rustfmt::skip]
    let covariance = [
        1.0, 0.5, 1.5, 0.0,
        0.5, 2.0, 2.5, 0.0,
        1.5, 2.5, 4.0, 0.0,
        0.0, 0.0, 0.0, 0.0,
    ];
    let mean = [1.0, 2.0, 3.0, 7.0];
    let make = |choice| OwnedGaussian::<f64>::full_or(choice, &mean, &covariance);
    assert!(matches!(
        make(OnSingular::Refuse).err(),
        Some(GaussianError::NotPositiveDefinite { .. })
    ));
    let negative = make(OnSingular::Jitter(-1.0)).err();
    assert_eq!(negative, Some(GaussianError::Jitter { value: -1.0 }));
    let jittered = make(OnSingular::Jitter(0.25)).unwrap();
    assert_eq!(jittered.gaussian().marginal_std(3), 0.5);
    let owned = make(OnSingular::SemiDefinite).unwrap();
    let mut out = [0.0; 4 * 100];
    owned.gaussian().draw(Level::detect(), FIRST, &mut out).unwrap();
    for path in out.chunks_exact(4) {
        assert!((path[0] + path[1] - path[2]).abs() < 1e-14 * 10.0, "{path:?}");
        assert_eq!(path[3], 7.0);
    }
    let mut scratch = [0.0; 4];
    let density = owned.gaussian().log_density(Level::detect(), &mean, &mut scratch);
    assert_eq!(density, Err(PointError::Singular { index: 2 }));
    // What is determined is known.
    let known = owned.given(&[0, 1], &[1.5, 2.5]).unwrap();
    assert!((known.gaussian().mean()[0] - 4.0).abs() < 1e-14);
    assert!(known.gaussian().marginal_std(0) < 1e-7);
}

#[test]
fn a_factor_is_taken_as_it_is() {
    // Of `COVARIANCE`, by the textbook.
    let mut plain = [0.0; 15];
    for (row, column) in (0..5).flat_map(|row| (0..=row).map(move |column| (row, column))) {
        let at = |i: usize, j: usize| plain[i * (i + 1) / 2 + j];
        let done: f64 = (0..column).map(|k| at(row, k) * at(column, k)).sum();
        let left = COVARIANCE[row * 5 + column] - done;
        let value = if row == column { left.sqrt() } else { left / at(column, column) };
        plain[row * (row + 1) / 2 + column] = value;
    }
    let mut storage = [0.0f64; Gaussian::full_len(5)];
    let taken = Gaussian::from_factor(&MEAN, &plain, &mut storage).unwrap();
    let (mut a, mut b) = ([0.0; 5 * 9], [0.0; 5 * 9]);
    taken.draw(Level::detect(), FIRST, &mut a).unwrap();
    full::<f64>().gaussian().draw(Level::detect(), FIRST, &mut b).unwrap();
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-13));
    for (index, variance) in COVARIANCE.iter().step_by(6).enumerate() {
        assert_close::<f64>("variance", taken.marginal_std(index).powi(2), *variance);
    }
    let mut storage = [0.0f64; Gaussian::full_len(2)];
    let mut refused = |factor: &[f64]| Gaussian::from_factor(&[0.0; 2], factor, &mut storage).err();
    assert_eq!(refused(&[1.0; 4]), Some(GaussianError::Length { expected: 3, got: 4 }));
    let negative = Some(GaussianError::NotPositiveDefinite { pivot: 1, value: -1.0 });
    assert_eq!(refused(&[1.0, 0.5, -1.0]), negative);
    let infinite = Some(GaussianError::NotFinite { row: 1, col: 1 });
    assert_eq!(refused(&[1.0, f64::NAN, 1.0]), infinite);
}

/// Storage that holds anything before.
#[test]
fn what_lay_in_storage_does_not_matter() {
    let owned = full::<f64>();
    let whole = owned.gaussian();
    let mut scratch = vec![f64::NAN; whole.given_scratch_len()];
    for kept in 1..=5 {
        let indices: Vec<usize> = (0..kept).collect();
        let mut storage = vec![f64::NAN; whole.len_of(kept)];
        let part = whole.marginal(Level::detect(), &indices, &mut storage, &mut scratch).unwrap();
        let clean = owned.marginal(&indices).unwrap();
        assert_eq!(part.to_bytes(), clean.gaussian().to_bytes());
        let linear = part.linear(Level::detect(), &WEIGHTS[..kept]).unwrap();
        assert_eq!(linear, clean.gaussian().linear(Level::detect(), &WEIGHTS[..kept]).unwrap());
    }
    let beyond = owned.marginal(&[0, 1, 2, 3, 4, 5]).err();
    assert_eq!(beyond, Some(GaussianError::Index { position: 5, index: 5 }));
}

#[test]
fn quantiles_of_mixtures_with_constants() {
    let part = |mean, variance| OwnedGaussian::<f64>::diagonal(&[mean], &[variance]).unwrap();
    let mixed = |a: &OwnedGaussian<f64>, b: &OwnedGaussian<f64>| {
        OwnedGaussian::mixture(&[1.0, 1.0], &[a.gaussian(), b.gaussian()]).unwrap()
    };
    let quantile = |owned: &OwnedGaussian<f64>, p| owned.gaussian().marginal_quantile(0, p);
    // Half of it is zero: its quantiles from one half of N(-5, 1)'s mass on are zero.
    let inflated = mixed(&part(0.0, 0.0), &part(-5.0, 1.0));
    assert_eq!(quantile(&inflated, 0.75), 0.0);
    assert!((quantile(&inflated, 0.25) + 5.0).abs() < 1e-12);
    let constants = mixed(&part(1.0, 0.0), &part(2.0, 0.0));
    assert_eq!((quantile(&constants, 0.25), quantile(&constants, 0.75)), (1.0, 2.0));
    assert!(quantile(&constants, 0.0).is_nan() && quantile(&constants, 1.0).is_nan());
    assert!(quantile(&constants, f64::NAN).is_nan());
    let far = mixed(&part(-1.7e308, 1.0), &part(1.7e308, 1.0));
    assert_eq!((quantile(&far, 0.25), quantile(&far, 0.75)), (-1.7e308, 1.7e308));
    assert_eq!((quantile(&far, 0.0), quantile(&far, 1.0)), (f64::NEG_INFINITY, f64::INFINITY));
}

/// What lies beyond every float is not likely.
#[test]
fn points_beyond_all_distances() {
    let far = [1e300; 5];
    let density = |owned: &OwnedGaussian<f64>| {
        let mut scratch = vec![0.0; owned.gaussian().density_scratch_len()];
        owned.gaussian().log_density(Level::detect(), &far, &mut scratch).unwrap()
    };
    for owned in [full(), low_rank(), mixture()] {
        assert_eq!(density(&owned), f64::NEG_INFINITY);
    }
    // The component that a value is beyond has no weight.
    let (near, wide) = (low_rank::<f64>(), {
        let variances = [1e308; 5];
        OwnedGaussian::low_rank(&MEAN, &LOADINGS, &variances).unwrap()
    });
    let both = OwnedGaussian::mixture(&[1.0, 1.0], &[near.gaussian(), wide.gaussian()]).unwrap();
    let given = both.given(&[0, 1], &[1e170, -1e170]).unwrap();
    assert_eq!(given.gaussian().weights(), [0.0, 1.0]);
}

/// No word chooses a component without weight, rounding or not.
#[test]
fn a_component_without_weight_is_never_drawn() {
    let part = |mean| OwnedGaussian::<f32>::diagonal(&[mean], &[0.0]).unwrap();
    let (a, b) = (part(1.0), part(2.0));
    let owned = OwnedGaussian::mixture(&[1.0, 0.0], &[a.gaussian(), b.gaussian()]).unwrap();
    let mut out = vec![0.0; 1 << 20];
    for path in (0..1u64 << 28).step_by(1 << 20) {
        let first = PathAddress { path, ..FIRST };
        owned.gaussian().draw(Level::detect(), first, &mut out).unwrap();
        assert!(out.iter().all(|x| *x == 1.0), "from {path} on");
        // Unoptimized, a part of that.
        if cfg!(debug_assertions) {
            break;
        }
    }
}
