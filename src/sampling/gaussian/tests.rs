use super::make::ASYMMETRY;
use super::*;
use crate::sampling::{PathAddress, normal_quantile};

fn full(mean: &[f64], covariance: &[f64]) -> Result<(), GaussianError> {
    let mut storage = [f32::MAX; Gaussian::full_len(3)];
    let mut scratch = [0.0; Gaussian::full_scratch_len(3)];
    let made =
        Gaussian::full(Level::detect(), mean, covariance, &mut storage, &mut scratch).map(|_| ());
    assert!(made.is_ok() || storage == [f32::MAX; Gaussian::full_len(3)]);
    made
}

#[test]
fn refusals_of_the_full_form() {
    let nan = f64::NAN;
    let near = 0.5 + 0.9 * ASYMMETRY;
    let far = 0.5 + 1.1 * ASYMMETRY;
    let not_finite = |row, col| Err(GaussianError::NotFinite { row, col });
    let not_positive = |pivot, value| Err(GaussianError::NotPositiveDefinite { pivot, value });
    let cases = [
        ([0.0, 0.0], [1.0, 0.5, 0.5, 1.0], Ok(())),
        ([0.0, 0.0], [1.0, near, 0.5, 1.0], Ok(())),
        ([0.0, 0.0], [1.0, far, 0.5, 1.0], Err(GaussianError::NotSymmetric { row: 1, col: 0 })),
        ([0.0, nan], [1.0, 0.5, 0.5, 1.0], Err(GaussianError::MeanNotFinite { index: 1 })),
        ([1e39, 0.0], [1.0, 0.5, 0.5, 1.0], Err(GaussianError::MeanNotFinite { index: 0 })),
        ([0.0, 0.0], [1.0, nan, nan, 1.0], not_finite(0, 1)),
        ([0.0, 0.0], [1.0, 0.0, 0.0, f64::INFINITY], not_finite(1, 1)),
        ([0.0, 0.0], [1.0, 0.0, 0.0, 1e80], not_finite(1, 1)),
        ([0.0, 0.0], [1.0, 2.0, 2.0, 1.0], not_positive(1, -3.0)),
        ([0.0, 0.0], [1.0, 1.0, 1.0, 1.0], not_positive(1, 0.0)),
        ([0.0, 0.0], [0.0, 0.0, 0.0, 1.0], not_positive(0, 0.0)),
        ([0.0, 0.0], [1.0, 0.0, 0.0, -1.0], not_positive(1, -1.0)),
    ];
    for (mean, covariance, expected) in cases {
        assert_eq!(full(&mean, &covariance), expected, "{mean:?} {covariance:?}");
    }
}

#[test]
fn refusals_of_lengths() {
    assert_eq!(full(&[], &[]), Err(GaussianError::Empty));
    assert_eq!(full(&[0.0; 2], &[1.0; 3]), Err(GaussianError::Length { expected: 4, got: 3 }));
    let identity = [1.0, 0.0, 0.0, 1.0];
    let (needed, got) = (Gaussian::full_len(2), Gaussian::full_len(2) - 1);
    let (mut storage, mut scratch) = ([0.0f32; Gaussian::full_len(2)], [0.0; 3]);
    assert_eq!(
        Gaussian::full(Level::detect(), &[0.0; 2], &identity, &mut storage[1..], &mut scratch)
            .err(),
        Some(GaussianError::StorageTooSmall { needed, got })
    );
    assert_eq!(
        Gaussian::full(Level::detect(), &[0.0; 2], &identity, &mut storage, &mut scratch[1..])
            .err(),
        Some(GaussianError::ScratchTooSmall { needed: 3, got: 2 })
    );
}

#[test]
fn refusals_of_the_diagonal_form() {
    let mut storage = [0.0f32; 4];
    let mut diagonal =
        |variances: &[f64]| Gaussian::diagonal(&[0.0, 1.0], variances, &mut storage).map(|_| ());
    assert_eq!(diagonal(&[0.0, -0.0]), Ok(()));
    assert_eq!(diagonal(&[1.0]), Err(GaussianError::Length { expected: 2, got: 1 }));
    let negative = GaussianError::NegativeVariance { index: 1, value: -1e-300 };
    assert_eq!(diagonal(&[1.0, -1e-300]), Err(negative));
    let not_finite = Err(GaussianError::NotFinite { row: 0, col: 0 });
    assert_eq!(diagonal(&[f64::NAN, 1.0]), not_finite);
    assert_eq!(diagonal(&[f64::INFINITY, 1.0]), not_finite);
}

#[test]
fn a_part_of_a_path_is_refused() {
    let mut storage = [0.0f32; 4];
    let gaussian = Gaussian::diagonal(&[0.0; 2], &[1.0; 2], &mut storage).unwrap();
    let first = PathAddress { seed: 0, stream: 0, path: 0 };
    let mut out = [7.0; 5];
    let refused = gaussian.draw(Level::scalar(), first, &mut out);
    assert_eq!(refused, Err(DrawError::NotWholePaths { dim: 2, len: 5 }));
    assert_eq!(out, [7.0; 5]);
    assert_eq!(gaussian.draw(Level::scalar(), first, &mut []), Ok(()));
}

#[cfg(feature = "std")]
#[test]
fn what_is_stored_draws_the_same() {
    let mut storage = [0.0; Gaussian::full_len(3)];
    let mut scratch = [0.0; Gaussian::full_scratch_len(3)];
    let covariance = [4.0, 1.0, 0.5, 1.0, 2.0, 0.25, 0.5, 0.25, 1.0];
    let made =
        Gaussian::full(Level::detect(), &[1.0, 2.0, 3.0], &covariance, &mut storage, &mut scratch);
    let mut diagonal = [0.0; 4];
    let diagonal = Gaussian::diagonal(&[1.0, 2.0], &[4.0, 0.0], &mut diagonal);
    for gaussian in [made.unwrap(), diagonal.unwrap()] {
        let stored = gaussian.to_bytes();
        let aligned = crate::bundle::File::from_bytes(&{
            let mut writer = crate::bundle::Writer::new();
            writer.model("g").unwrap().section(crate::bundle::Tag::GAUSSIAN, &stored);
            writer.finish().unwrap()
        });
        let file = aligned.unwrap();
        let section = file.bundle().only_model().unwrap();
        let section = section.section(crate::bundle::Tag::GAUSSIAN).unwrap();
        let again = Gaussian::from_bytes(section).unwrap();
        let first = PathAddress { seed: 5, stream: 1, path: 9 };
        let (mut a, mut b) = (vec![0.0; 7 * gaussian.dim()], vec![1.0; 7 * gaussian.dim()]);
        gaussian.draw(Level::scalar(), first, &mut a).unwrap();
        again.draw(Level::scalar(), first, &mut b).unwrap();
        assert_eq!(a, b);
        assert_eq!(again.marginal_std(0), gaussian.marginal_std(0));
        // Another form, dimension or length is refused.
        for (at, value) in [(0, 0u8), (0, 3), (4, 0), (4, 9)] {
            let mut bytes = file.bundle().as_bytes().to_vec();
            let place = section.as_ptr().addr() - file.bundle().as_bytes().as_ptr().addr();
            bytes[place + at] = value;
            let damaged = crate::bundle::File::from_bytes(&bytes).unwrap();
            let section = damaged.bundle().only_model().unwrap();
            let section = section.section(crate::bundle::Tag::GAUSSIAN).unwrap();
            assert_eq!(<Gaussian>::from_bytes(section).err(), Some(GaussianError::Stored));
        }
    }
    assert_eq!(<Gaussian>::from_bytes(&[]).err(), Some(GaussianError::Stored));
}

#[test]
fn marginals() {
    let mut storage = [0.0f32; 4];
    let gaussian = Gaussian::diagonal(&[1.0, 2.0], &[4.0, 0.0], &mut storage).unwrap();
    assert_eq!(gaussian.marginal_quantile(0, 0.975), 1.0 + 2.0 * normal_quantile(0.975));
    assert_eq!(gaussian.marginal_quantile(1, 0.1), 2.0);
    assert!(gaussian.marginal_quantile(1, 1.0).is_nan());
}
