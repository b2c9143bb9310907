//! Multivariate normal distributions, ready to draw from.
//!
//! Owns [`Gaussian`]: means, standard deviations and factor, as they lie in memory. Its one
//! invariant: a `Gaussian` that exists can be drawn from.

use super::cholesky::{self, BadPivot, packed_len, packed_row};
use super::draw::{self, Shape};
use super::error::{DrawError, GaussianError};
use super::paths::PathAddress;
use super::quantile::normal_quantile;
use crate::kernels::Level;
use crate::tensor::view;

/// Bytes before the numbers of a stored distribution: form, dimensions, zeros.
const STORED_HEAD_BYTES: usize = 64;

/// How far from symmetric a covariance may be: of the geometric mean of the two variances, about
/// one part in a million, since the factor is rounded to single precision in the end.
const ASYMMETRY: f64 = 1.0 / (1 << 20) as f64;

/// Which numbers follow mean and deviations in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Form {
    /// None: the dimensions are independent.
    Diagonal = 1,
    /// The packed Cholesky factor.
    Full = 2,
}

/// A multivariate normal distribution, factored and ready to draw from.
///
/// It borrows the memory that it was made in and never changes it.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{Gaussian, PathAddress};
///
/// let mut storage = [0.0; Gaussian::full_len(2)];
/// let mut scratch = [0.0; Gaussian::full_scratch_len(2)];
/// let covariance = [4.0, 1.2, 1.2, 1.0];
/// let gaussian = Gaussian::full(&[10.0, -1.0], &covariance, &mut storage, &mut scratch)?;
///
/// let mut paths = [0.0; 500 * 2];
/// gaussian.draw(Level::detect(), PathAddress { seed: 42, stream: 0, path: 0 }, &mut paths)?;
/// let mean = paths.iter().step_by(2).sum::<f32>() / 500.0;
/// assert!((mean - 10.0).abs() < 0.5);
/// assert_eq!(gaussian.marginal_std(0), 2.0);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gaussian<'a> {
    form: Form,
    mean: &'a [f32],
    deviations: &'a [f32],
    /// Empty in the diagonal form.
    factor: &'a [f32],
}

impl<'a> Gaussian<'a> {
    /// Elements of storage for a full covariance of `dim` dimensions: about `dim^2 / 2`.
    pub const fn full_len(dim: usize) -> usize {
        draw::factor_len(dim).saturating_add(Self::diagonal_len(dim))
    }

    /// Elements of scratch that the factorization of `dim` dimensions needs.
    pub const fn full_scratch_len(dim: usize) -> usize {
        packed_len(dim)
    }

    /// Elements of storage for `dim` independent dimensions.
    pub const fn diagonal_len(dim: usize) -> usize {
        dim.saturating_mul(2)
    }

    /// A distribution with a full covariance.
    ///
    /// The factor is worked in `f64`, in one fixed order of fused multiply-adds, and rounded to
    /// `f32` once: the same bits on every host. The lower triangle is the one that counts.
    ///
    /// **Shapes and units**: `mean` is `[dim]`, `covariance` `[dim, dim]`, row-major; `storage` and
    /// `scratch` have at least [`full_len`](Self::full_len) and
    /// [`full_scratch_len`](Self::full_scratch_len) elements.
    ///
    /// **Errors**: any [`GaussianError`] but `NegativeVariance`; `storage` is unchanged, `scratch`
    /// is not.
    ///
    /// **Cost**: no allocation; `dim^3 / 6` multiply-adds.
    pub fn full(
        mean: &[f64],
        covariance: &[f64],
        storage: &'a mut [f32],
        scratch: &mut [f64],
    ) -> Result<Self, GaussianError> {
        let dim = mean.len();
        check_len(dim, dim.saturating_mul(dim), covariance.len())?;
        let storage = take(storage, Self::full_len(dim))?;
        let (needed, got) = (Self::full_scratch_len(dim), scratch.len());
        let triangle =
            scratch.get_mut(..needed).ok_or(GaussianError::ScratchTooSmall { needed, got })?;
        check_mean(mean)?;
        check_covariance(dim, covariance)?;

        for (row, elements) in covariance.chunks_exact(dim).enumerate() {
            triangle[packed_len(row)..][..=row].copy_from_slice(&elements[..=row]);
        }
        cholesky::factor(Level::detect(), triangle, dim).map_err(|BadPivot { pivot, value }| {
            GaussianError::NotPositiveDefinite { pivot, value }
        })?;

        let (head, factor) = storage.split_at_mut(Self::diagonal_len(dim));
        write_head(mean, covariance.iter().step_by(dim + 1), head);
        draw::pack((0..dim).map(|row| packed_row(triangle, row)), factor);
        Ok(Self::of(Form::Full, dim, storage))
    }

    /// A distribution of independent dimensions. A variance of zero is a constant.
    ///
    /// **Shapes and units**: `mean` and `variances` are `[dim]`; `storage` has at least
    /// [`diagonal_len`](Self::diagonal_len) elements.
    ///
    /// **Errors**: any [`GaussianError`] but `ScratchTooSmall`, `NotSymmetric` and
    /// `NotPositiveDefinite`; `storage` is unchanged.
    ///
    /// **Cost**: no allocation; one square root a dimension.
    ///
    /// # Examples
    /// ```
    /// use nowcast::sampling::{Gaussian, GaussianError};
    ///
    /// let mut storage = [0.0; Gaussian::diagonal_len(2)];
    /// let gaussian = Gaussian::diagonal(&[1.0, 2.0], &[9.0, 0.0], &mut storage)?;
    /// assert_eq!((gaussian.marginal_std(0), gaussian.marginal_std(1)), (3.0, 0.0));
    ///
    /// let refused = Gaussian::diagonal(&[1.0], &[-1.0], &mut storage).err();
    /// assert_eq!(refused, Some(GaussianError::NegativeVariance { index: 0, value: -1.0 }));
    /// # Ok::<(), GaussianError>(())
    /// ```
    pub fn diagonal(
        mean: &[f64],
        variances: &[f64],
        storage: &'a mut [f32],
    ) -> Result<Self, GaussianError> {
        let dim = mean.len();
        check_len(dim, dim, variances.len())?;
        let storage = take(storage, Self::diagonal_len(dim))?;
        check_mean(mean)?;
        for (index, &value) in variances.iter().enumerate() {
            if value < 0.0 {
                return Err(GaussianError::NegativeVariance { index, value });
            }
            if !deviation(value).is_finite() {
                return Err(GaussianError::NotFinite { row: index, col: index });
            }
        }
        write_head(mean, variances.iter(), storage);
        Ok(Self::of(Form::Diagonal, dim, storage))
    }

    /// The distribution that [`to_bytes`](Self::to_bytes) stored, where it lies: nothing is
    /// factored again.
    ///
    /// **Shapes and units**: `bytes` lies on a boundary of 4 bytes. Little-endian: form (1
    /// diagonal, 2 full) and dimensions as `u32`, zeros up to byte 64, then means, standard
    /// deviations and the packed factor as `f32`.
    ///
    /// **Errors**: [`GaussianError::Stored`].
    ///
    /// **Cost**: no allocation, no copy; the numbers are not read.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, GaussianError> {
        let (head, numbers) =
            bytes.split_first_chunk::<STORED_HEAD_BYTES>().ok_or(GaussianError::Stored)?;
        let [a, b, c, d, e, f, g, h, ..] = *head;
        let dim = u32::from_le_bytes([e, f, g, h]) as usize;
        let (form, len) = match u32::from_le_bytes([a, b, c, d]) {
            1 => (Form::Diagonal, Self::diagonal_len(dim)),
            2 => (Form::Full, Self::full_len(dim)),
            _ => return Err(GaussianError::Stored),
        };
        let storage = view::<f32>(numbers).filter(|numbers| dim > 0 && numbers.len() == len);
        Ok(Self::of(form, dim, storage.ok_or(GaussianError::Stored)?))
    }

    /// The bytes that [`from_bytes`](Self::from_bytes) reads: the same on every host.
    ///
    /// **Cost**: one allocation.
    #[cfg(feature = "std")]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; STORED_HEAD_BYTES];
        bytes[..4].copy_from_slice(&(self.form as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&(self.dim() as u32).to_le_bytes());
        for number in self.parts().1.into_iter().flatten() {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }

    /// A copy in memory of its own.
    ///
    /// **Cost**: one allocation.
    #[cfg(feature = "std")]
    pub fn to_owned(&self) -> super::OwnedGaussian {
        super::OwnedGaussian::copied(self)
    }

    /// What lies in its storage, in this order.
    #[cfg(feature = "std")]
    pub(super) fn parts(&self) -> (Form, [&'a [f32]; 3]) {
        (self.form, [self.mean, self.deviations, self.factor])
    }

    /// The distribution that lies in `storage`, which is exactly as long as its form asks.
    pub(super) fn of(form: Form, dim: usize, storage: &'a [f32]) -> Self {
        let (mean, rest) = storage.split_at(dim);
        let (deviations, factor) = rest.split_at(dim);
        Self { form, mean, deviations, factor }
    }

    /// Dimensions.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// The means.
    pub fn mean(&self) -> &'a [f32] {
        self.mean
    }

    /// The same distribution about other means, in the memory of the caller.
    ///
    /// **Errors**: [`GaussianError::Length`] if there are not `dim` of them,
    /// [`GaussianError::MeanNotFinite`].
    ///
    /// **Cost**: no allocation, no copy.
    ///
    /// # Examples
    /// ```
    /// use nowcast::sampling::Gaussian;
    ///
    /// let mut storage = [0.0; Gaussian::diagonal_len(1)];
    /// let errors = Gaussian::diagonal(&[0.0], &[4.0], &mut storage)?;
    /// let mean = [10.0];
    /// assert_eq!(errors.with_mean(&mean)?.marginal_quantile(0, 0.5), 10.0);
    /// # Ok::<(), nowcast::sampling::GaussianError>(())
    /// ```
    pub fn with_mean(self, mean: &'a [f32]) -> Result<Self, GaussianError> {
        let (expected, got) = (self.dim(), mean.len());
        if got != expected {
            return Err(GaussianError::Length { expected, got });
        }
        match mean.iter().position(|mean| !mean.is_finite()) {
            Some(index) => Err(GaussianError::MeanNotFinite { index }),
            None => Ok(Self { mean, ..self }),
        }
    }

    /// The standard deviation of dimension `index`, from the variance that was given.
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    pub fn marginal_std(&self, index: usize) -> f32 {
        self.deviations[index]
    }

    /// The value below which dimension `index` falls with probability `p`: exact, without
    /// sampling.
    ///
    /// Zero and one give the infinities (NaN if the deviation is zero), what is no probability
    /// NaN. See [`normal_quantile`].
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    ///
    /// **Cost**: no allocation; one quantile. For many dimensions work that out once and use
    /// [`mean`](Self::mean) and [`marginal_std`](Self::marginal_std).
    pub fn marginal_quantile(&self, index: usize, p: f64) -> f64 {
        f64::from(self.mean[index]) + normal_quantile(p) * f64::from(self.deviations[index])
    }

    /// Draws paths.
    ///
    /// Element `i` of a path is one chain of fused multiply-adds in `f32`, from the mean through
    /// the normals `z` of the path in order: `mean[i] + l[i][0] * z[0] + ... + l[i][i] * z[i]`, or
    /// `mean[i] + deviation[i] * z[i]` in the diagonal form. Paths have the same bits on every
    /// level and in every block. What overflows is infinite.
    ///
    /// **Shapes and units**: `out` is `[paths, dim]`, row-major, as many paths as fit; row `n` is
    /// the path at `first` and `n` further on.
    ///
    /// **Errors**: [`DrawError::NotWholePaths`]; `out` is unchanged.
    ///
    /// **Cost**: no allocation; at most 10 KiB of stack, whatever the dimension. `dim` normals and,
    /// in the full form, `dim^2 / 2` multiply-adds for each path; a single path costs as much as
    /// `LANES` of them.
    pub fn draw(&self, level: Level, first: PathAddress, out: &mut [f32]) -> Result<(), DrawError> {
        let Self { form, mean, deviations, factor } = *self;
        let shape = match form {
            Form::Diagonal => Shape::Diagonal { mean, deviations },
            Form::Full => Shape::Full { mean, factor },
        };
        draw::draw(level, shape, mean.len(), first, out)
    }
}

pub(super) fn check_len(dim: usize, expected: usize, got: usize) -> Result<(), GaussianError> {
    if dim == 0 {
        return Err(GaussianError::Empty);
    }
    if got != expected {
        return Err(GaussianError::Length { expected, got });
    }
    Ok(())
}

fn take(storage: &mut [f32], needed: usize) -> Result<&mut [f32], GaussianError> {
    let got = storage.len();
    storage.get_mut(..needed).ok_or(GaussianError::StorageTooSmall { needed, got })
}

fn check_mean(mean: &[f64]) -> Result<(), GaussianError> {
    match mean.iter().position(|mean| !(*mean as f32).is_finite()) {
        Some(index) => Err(GaussianError::MeanNotFinite { index }),
        None => Ok(()),
    }
}

fn check_covariance(dim: usize, covariance: &[f64]) -> Result<(), GaussianError> {
    if let Some(index) = covariance.iter().position(|element| !element.is_finite()) {
        return Err(GaussianError::NotFinite { row: index / dim, col: index % dim });
    }
    let variance = |index: usize| covariance[index * (dim + 1)];
    for pivot in 0..dim {
        let value = variance(pivot);
        if value <= 0.0 {
            return Err(GaussianError::NotPositiveDefinite { pivot, value });
        }
        if !deviation(value).is_finite() {
            return Err(GaussianError::NotFinite { row: pivot, col: pivot });
        }
    }
    for row in 0..dim {
        for col in 0..row {
            let difference = covariance[row * dim + col] - covariance[col * dim + row];
            let scale = libm::sqrt(variance(row)) * libm::sqrt(variance(col));
            if difference.abs() > ASYMMETRY * scale {
                return Err(GaussianError::NotSymmetric { row, col });
            }
        }
    }
    Ok(())
}

fn deviation(variance: f64) -> f32 {
    libm::sqrt(variance) as f32
}

fn write_head<'v>(mean: &[f64], variances: impl Iterator<Item = &'v f64>, head: &mut [f32]) {
    let (means, deviations) = head.split_at_mut(mean.len());
    for (to, mean) in means.iter_mut().zip(mean) {
        *to = *mean as f32;
    }
    for (to, variance) in deviations.iter_mut().zip(variances) {
        *to = deviation(*variance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(mean: &[f64], covariance: &[f64]) -> Result<(), GaussianError> {
        let mut storage = [f32::MAX; Gaussian::full_len(3)];
        let mut scratch = [0.0; Gaussian::full_scratch_len(3)];
        let made = Gaussian::full(mean, covariance, &mut storage, &mut scratch).map(|_| ());
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
        let (mut storage, mut scratch) = ([0.0; Gaussian::full_len(2)], [0.0; 3]);
        assert_eq!(
            Gaussian::full(&[0.0; 2], &identity, &mut storage[1..], &mut scratch).err(),
            Some(GaussianError::StorageTooSmall { needed, got })
        );
        assert_eq!(
            Gaussian::full(&[0.0; 2], &identity, &mut storage, &mut scratch[1..]).err(),
            Some(GaussianError::ScratchTooSmall { needed: 3, got: 2 })
        );
    }

    #[test]
    fn refusals_of_the_diagonal_form() {
        let mut storage = [0.0; 4];
        let mut diagonal = |variances: &[f64]| {
            Gaussian::diagonal(&[0.0, 1.0], variances, &mut storage).map(|_| ())
        };
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
        let mut storage = [0.0; 4];
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
        let made = Gaussian::full(&[1.0, 2.0, 3.0], &covariance, &mut storage, &mut scratch);
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
                assert_eq!(Gaussian::from_bytes(section).err(), Some(GaussianError::Stored));
            }
        }
        assert_eq!(Gaussian::from_bytes(&[]).err(), Some(GaussianError::Stored));
    }

    #[test]
    fn marginals() {
        let mut storage = [0.0; 4];
        let gaussian = Gaussian::diagonal(&[1.0, 2.0], &[4.0, 0.0], &mut storage).unwrap();
        assert_eq!(gaussian.marginal_quantile(0, 0.975), 1.0 + 2.0 * normal_quantile(0.975));
        assert_eq!(gaussian.marginal_quantile(1, 0.1), 2.0);
        assert!(gaussian.marginal_quantile(1, 1.0).is_nan());
    }
}
