extern crate std;

use std::vec::Vec;

use super::*;
use crate::kernels::suite::levels;
use crate::sampling::{Antithetic, PathAddress};

const HOME: PathAddress = PathAddress { seed: 3, stream: 1, path: 77 };

/// A Gaussian of two dimensions, correlated, whose mean and scale must not count.
fn gaussian<T: Real>(check: impl FnOnce(Gaussian<'_, T>)) {
    let mut storage = [T::ZERO; Gaussian::full_len(2)];
    let mut scratch = [0.0; Gaussian::full_scratch_len(2)];
    let covariance = [9.0, 3.6, 3.6, 4.0];
    check(
        Gaussian::full(Level::detect(), &[5.0, -40.0], &covariance, &mut storage, &mut scratch)
            .unwrap(),
    );
}

fn copula<T: Real>(
    levels: &[f64],
    values: &[f64],
    tails: Tails,
    check: impl FnOnce(Copula<'_, T>),
) {
    gaussian(|gaussian| {
        let mut storage = std::vec![T::ZERO; Copula::len(2, levels.len())];
        check(Copula::new(gaussian, levels, values, tails, &mut storage).unwrap());
    });
}

/// `count` levels and, for two dimensions, values that rise unevenly, flat places among them.
fn uneven(count: usize) -> (Vec<f64>, Vec<f64>) {
    let levels = (1..=count).map(|n| n as f64 / (count + 1) as f64).collect();
    let rise = |n: usize| (n * n % 11) as f64 * if n % 4 == 1 { 0.0 } else { 0.25 };
    let values = (0..2 * count).scan(0.0, |sum, n| {
        *sum = if n == count { -7.0 } else { *sum + rise(n) };
        Some(*sum)
    });
    (levels, values.collect())
}

#[test]
fn normal_marginals_are_given_back() {
    for count in [2, 3, 9, 40] {
        let (levels, _) = uneven(count);
        let of = |mean: f64, deviation: f64| {
            levels.iter().map(move |level| mean + deviation * normal_quantile(*level))
        };
        let values: Vec<f64> = of(5.0, 3.0).chain(of(-40.0, 2.0)).collect();
        copula::<f64>(&levels, &values, Tails::Normal, |copula| {
            let (mut found, mut wanted) = ([0.0; 2 * 500], [0.0; 2 * 500]);
            copula.draw(Level::detect(), HOME, &mut found).unwrap();
            gaussian::<f64>(|g| g.draw(Level::detect(), HOME, &mut wanted).unwrap());
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-12, "{count}: {found} {wanted}");
            }
            assert!(
                (copula.quantile(1, 1e-9) - (-40.0 + 2.0 * normal_quantile(1e-9))).abs() < 1e-9
            );
        });
    }
}

/// Each element as the documentation says it, from the Gaussian of the same address: on every
/// level, in both layouts, in blocks, scanned and bisected.
#[test]
fn elements_are_quantiles_of_their_scores() {
    fn check<T: Real>(tolerance: f64) {
        for (count, tails) in [
            (2, Tails::Normal),
            (9, Tails::Flat),
            (32, Tails::Exponential),
            (33, Tails::Exponential),
            (99, Tails::Normal),
        ] {
            let (probabilities, values) = uneven(count);
            copula::<T>(&probabilities, &values, tails, |copula| {
                let paths = 3000;
                let mut z = std::vec![T::ZERO; 2 * paths];
                gaussian::<T>(|g| g.draw(Level::detect(), HOME, &mut z).unwrap());
                let mut first = std::vec![T::ZERO; 2 * paths];
                copula.draw(Level::scalar(), HOME, &mut first).unwrap();
                for (n, (y, z)) in first.iter().zip(&z).enumerate() {
                    let z = (z.to_f64() - [5.0, -40.0][n % 2]) / [3.0, 2.0][n % 2];
                    let wanted = copula.table(n % 2).value(z);
                    assert!((y.to_f64() - wanted).abs() < tolerance, "{tails:?} {z}: {wanted}");
                }
                for level in levels() {
                    let mut again = std::vec![T::ZERO; 2 * paths];
                    copula.draw(level, HOME, &mut again[..2 * 37]).unwrap();
                    let rest = PathAddress { path: HOME.path + 37, ..HOME };
                    copula.draw(level, rest, &mut again[2 * 37..]).unwrap();
                    assert!(again == first, "{level:?}");
                    copula.draw_transposed(level, HOME, &mut again).unwrap();
                    for (n, y) in first.iter().enumerate() {
                        assert!(*y == again[n % 2 * paths + n / 2], "{level:?} {n}");
                    }
                }
            });
        }
    }
    check::<f32>(3e-4);
    check::<f64>(1e-11);
}

#[test]
fn values_at_levels_and_back() {
    for tails in [Tails::Normal, Tails::Flat, Tails::Exponential] {
        let (probabilities, values) = uneven(9);
        copula::<f64>(&probabilities, &values, tails, |copula| {
            for index in 0..2 {
                for (level, p) in probabilities.iter().enumerate() {
                    let value = values[9 * index + level];
                    assert_eq!(copula.quantile(index, *p), value, "{tails:?} {index} {level}");
                }
                for p in [1e-12, 0.01, 0.137, 0.45, 0.83, 0.97, 1.0 - 1e-9] {
                    let (x, z) = (copula.quantile(index, p), normal_quantile(p));
                    let back = copula.score(index, x);
                    // The same value again, and the same score where values rise.
                    if back.is_finite() {
                        assert!((copula.table(index).value(back) - x).abs() < 1e-9);
                    }
                    let rises = copula.table(index).slopes[copula.table(index).piece(z)] > 0.0;
                    assert!(!rises || (back - z).abs() < 1e-9, "{tails:?} {p}: {z} {back}");
                }
                assert!(copula.quantile(index, -1.0).is_nan());
                assert!(copula.score(index, f64::NAN).is_nan());
            }
        });
    }
}

#[test]
fn tails_beyond_the_levels() {
    let (levels, values) = ([0.2, 0.5, 0.9], [1.0, 1.0, 3.0, 0.0, 2.0, 2.0]);
    let [z0, _, z2] = levels.map(normal_quantile);
    copula::<f64>(&levels, &values, Tails::Flat, |copula| {
        assert_eq!((copula.quantile(0, 0.0), copula.quantile(0, 1.0)), (1.0, 3.0));
        assert_eq!(
            (copula.score(0, 0.9), copula.score(0, 3.1)),
            (f64::NEG_INFINITY, f64::INFINITY)
        );
        // The middle of the scores of 1.
        assert_eq!(copula.score(0, 1.0), 0.5 * z0);
    });
    copula::<f64>(&levels, &values, Tails::Normal, |copula| {
        assert_eq!((copula.quantile(0, 0.0), copula.quantile(0, 1.0)), (1.0, f64::INFINITY));
        assert_eq!((copula.quantile(1, 0.0), copula.quantile(1, 1.0)), (f64::NEG_INFINITY, 2.0));
        assert!((copula.quantile(0, 0.99) - normal_quantile(0.99) * 2.0 / z2 - 1.0).abs() < 1e-12);
        assert!((copula.score(0, 5.0) - 2.0 * z2).abs() < 1e-12);
    });
    copula::<f64>(&levels, &values, Tails::Exponential, |copula| {
        let z = normal_quantile(0.999);
        let wanted = 3.0 + 2.0 / z2 * (z * z - z2 * z2) / (2.0 * z2);
        assert!((copula.quantile(0, 0.999) - wanted).abs() < 1e-12);
        // Steps of the logarithm of the probability are about steps of the value.
        let steps: Vec<f64> = [1e-6, 1e-7, 1e-8, 1e-9].map(|p| copula.quantile(0, 1.0 - p)).into();
        let rises: Vec<f64> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(rises.windows(2).all(|pair| (pair[0] / pair[1] - 1.0).abs() < 0.01), "{rises:?}");
    });
}

#[test]
fn antithetic_paths_mirror_symmetric_marginals() {
    copula::<f32>(&[0.25, 0.5, 0.75], &[-3.0, 0.0, 3.0, -1.0, 0.0, 1.0], Tails::Normal, |copula| {
        let mut paths = [0.0; 4];
        copula
            .draw(Level::detect(), Antithetic(PathAddress { path: 4, ..HOME }), &mut paths)
            .unwrap();
        // The mean of the Gaussian is taken out before anything is rounded to its size.
        assert!((paths[0] + paths[2]).abs() < 1e-6 && (paths[1] + paths[3]).abs() < 1e-6);
    });
}

#[test]
fn refusals() {
    let ok = [0.1, 0.5, 0.9];
    let rising = [1.0, 2.0, 3.0, 1.0, 1.0, 1.0];
    let made = |levels: &[f64], values: &[f64], tails: Tails| {
        let mut refused = None;
        gaussian::<f32>(|gaussian| {
            let mut storage = [7.0; Copula::len(2, 3)];
            refused = Copula::new(gaussian, levels, values, tails, &mut storage).err();
            assert!(refused.is_none() || storage == [7.0; Copula::len(2, 3)]);
        });
        refused
    };
    let normal = |levels: &[f64], values: &[f64]| made(levels, values, Tails::Normal);
    assert_eq!(normal(&ok, &rising), None);
    assert_eq!(normal(&[], &[]), Some(CopulaError::FewLevels { got: 0 }));
    assert_eq!(normal(&[0.5], &[1.0; 2]), Some(CopulaError::FewLevels { got: 1 }));
    let level = |index, value| Some(CopulaError::Level { index, value });
    assert_eq!(normal(&[0.0, 0.5], &[1.0; 4]), level(0, 0.0));
    assert_eq!(normal(&[0.5, 1.0], &[1.0; 4]), level(1, 1.0));
    assert_eq!(normal(&[0.5, 0.5], &[1.0; 4]), level(1, 0.5));
    assert_eq!(normal(&[0.1, 0.1 + 1e-12], &[1.0; 4]), level(1, 0.1 + 1e-12));
    assert!(matches!(
        normal(&[f64::NAN, 0.5], &[1.0; 4]),
        Some(CopulaError::Level { index: 0, .. })
    ));
    assert_eq!(normal(&ok, &[1.0; 5]), Some(CopulaError::Length { expected: 6, got: 5 }));
    let not_finite = |index, level| Some(CopulaError::NotFinite { index, level });
    assert_eq!(normal(&ok, &[1.0, 2.0, 1e39, 1.0, 1.0, 1.0]), not_finite(0, 2));
    assert_eq!(normal(&ok, &[1.0, 2.0, 3.0, f64::NAN, 1.0, 1.0]), not_finite(1, 0));
    assert_eq!(normal(&ok, &[-3e38, 3e38, 3e38, 1.0, 1.0, 1.0]), not_finite(0, 1));
    let descending = Some(CopulaError::Descending { index: 1, level: 2 });
    assert_eq!(normal(&ok, &[1.0, 2.0, 3.0, 1.0, 1.0, 0.5]), descending);
    assert_eq!(made(&[0.6, 0.7], &[1.0; 4], Tails::Exponential), Some(CopulaError::OneSided));
    // The curve of a tail whose outer level is all but one half.
    let steep = [0.0, 1e38, 0.0, 0.0];
    let levels = [0.499_999_9, 0.9];
    assert_eq!(made(&levels, &steep, Tails::Exponential), not_finite(0, 1));
    assert_eq!(made(&levels, &steep, Tails::Normal), None);
    let (needed, got) = (Copula::len(2, 4), Copula::len(2, 3));
    let small = Some(CopulaError::StorageTooSmall { needed, got });
    assert_eq!(normal(&[0.1, 0.2, 0.3, 0.4], &[1.0; 8]), small);

    let (mut storage, mut of) = ([0.0f32; 2], [0.0; 20]);
    let constant = Gaussian::diagonal(&[0.0], &[0.0], &mut storage).unwrap();
    let refused = Copula::new(constant, &ok, &[1.0; 3], Tails::Flat, &mut of).err();
    assert_eq!(refused, Some(CopulaError::Constant { index: 0 }));
    let (mut storage, mut mixed) = ([0.0f32; 2], [0.0; 20]);
    let one = Gaussian::diagonal(&[0.0], &[1.0], &mut storage).unwrap();
    let mixture = Gaussian::mixture(&[1.0], &[one], &mut mixed).unwrap();
    let refused = Copula::new(mixture, &ok, &[1.0; 3], Tails::Flat, &mut of).err();
    assert_eq!(refused, Some(CopulaError::OfMixture));
}
