//! Multivariate normal distributions and their mixtures, ready to draw from.
//!
//! Owns [`Gaussian`]: its four forms, as they lie in memory, and what is drawn from them. Its one
//! invariant: a `Gaussian` that exists can be drawn from.

mod count;
mod density;
mod given;
mod linear;
mod make;
mod mixture;
mod stored;
#[cfg(test)]
mod tests;

use super::draw::{self, Numbered, Shape};
use super::error::{DrawError, GaussianError};
use super::real::Real;
use super::source::Source;
use super::tile::{Layout, Window};
use crate::kernels::Level;

pub use count::Frequency;
pub use linear::Linear;
pub use make::OnSingular;
#[cfg(feature = "std")]
pub(super) use make::check_len;

/// Which numbers follow the means in storage; first of all the standard deviation of each
/// dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing more: the dimensions are independent.
    Diagonal,
    /// The packed Cholesky factor.
    Full,
    /// Deviations of each dimension's own part, packed loadings, the packed Cholesky factor of the
    /// capacitance `I + W' D^-1 W` (its first element zero where there is none).
    LowRank { rank: usize },
    /// Weights, cumulative weights, then each component: all of one form and, of low rank, one
    /// rank.
    Mixture { components: usize, of: Component },
}

/// The form of the components of a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    Diagonal,
    Full,
    LowRank { rank: usize },
}

impl From<Component> for Form {
    fn from(component: Component) -> Self {
        match component {
            Component::Diagonal => Self::Diagonal,
            Component::Full => Self::Full,
            Component::LowRank { rank } => Self::LowRank { rank },
        }
    }
}

impl Form {
    /// Elements of storage, means included.
    pub(super) fn len(self, dim: usize) -> usize {
        match self {
            Self::Diagonal => Gaussian::diagonal_len(dim),
            Self::Full => Gaussian::full_len(dim),
            Self::LowRank { rank } => Gaussian::low_rank_len(dim, rank),
            Self::Mixture { components, of } => {
                Gaussian::mixture_len(dim, components, Self::from(of).len(dim))
            }
        }
    }

    /// Words that a path takes.
    fn words(self, dim: usize) -> usize {
        match self {
            Self::Diagonal | Self::Full => dim,
            Self::LowRank { rank } => dim + rank,
            Self::Mixture { of, .. } => 1 + Self::from(of).words(dim),
        }
    }
}

/// A multivariate normal distribution, or a mixture of some, factored and ready to draw from.
///
/// It borrows the memory that it was made in and never changes it. Its numbers are `f32`, or `f64`
/// where a draw, a density or a condition must be as precise.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{Gaussian, PathAddress};
///
/// let level = Level::detect();
/// let mut storage = [0.0f32; Gaussian::full_len(2)];
/// let mut scratch = [0.0; Gaussian::full_scratch_len(2)];
/// let covariance = [4.0, 1.2, 1.2, 1.0];
/// let gaussian = Gaussian::full(level, &[10.0, -1.0], &covariance, &mut storage, &mut scratch)?;
///
/// let mut paths = [0.0; 500 * 2];
/// gaussian.draw(level, PathAddress { seed: 42, stream: 0, path: 0 }, &mut paths)?;
/// let mean = paths.iter().step_by(2).sum::<f32>() / 500.0;
/// assert!((mean - 10.0).abs() < 0.5);
/// assert_eq!(gaussian.marginal_std(0), 2.0);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gaussian<'a, T = f32> {
    form: Form,
    mean: &'a [T],
    /// What follows the means in storage.
    rest: &'a [T],
}

impl<'a, T: Real> Gaussian<'a, T> {
    /// The distribution that lies in `storage`, which is exactly as long as its form asks.
    pub(super) fn of(form: Form, dim: usize, storage: &'a [T]) -> Self {
        let (mean, rest) = storage.split_at(dim);
        Self { form, mean, rest }
    }

    /// A copy in memory of its own.
    ///
    /// **Cost**: one allocation.
    #[cfg(feature = "std")]
    pub fn to_owned(&self) -> super::OwnedGaussian<T> {
        super::OwnedGaussian::copied(self)
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// What follows the means in storage.
    #[cfg(feature = "std")]
    pub(super) fn rest(&self) -> &'a [T] {
        self.rest
    }

    /// Dimensions.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// The means.
    pub fn mean(&self) -> &'a [T] {
        self.mean
    }

    /// The same distribution about other means, in the memory of the caller.
    ///
    /// **Errors**: [`GaussianError::Length`] if there are not `dim` of them,
    /// [`GaussianError::MeanNotFinite`], [`GaussianError::OfMixture`], whose components have means
    /// of their own.
    ///
    /// **Cost**: no allocation, no copy.
    ///
    /// # Examples
    /// ```
    /// use nowcast::sampling::Gaussian;
    ///
    /// let mut storage = [0.0f32; Gaussian::diagonal_len(1)];
    /// let errors = Gaussian::diagonal(&[0.0], &[4.0], &mut storage)?;
    /// let mean = [10.0];
    /// assert_eq!(errors.with_mean(&mean)?.marginal_quantile(0, 0.5), 10.0);
    /// # Ok::<(), nowcast::sampling::GaussianError>(())
    /// ```
    pub fn with_mean(self, mean: &'a [T]) -> Result<Self, GaussianError> {
        let (expected, got) = (self.dim(), mean.len());
        if got != expected {
            return Err(GaussianError::Length { expected, got });
        }
        if matches!(self.form, Form::Mixture { .. }) {
            return Err(GaussianError::OfMixture);
        }
        match mean.iter().position(|mean| !mean.to_f64().is_finite()) {
            Some(index) => Err(GaussianError::MeanNotFinite { index }),
            None => Ok(Self { mean, ..self }),
        }
    }

    /// The standard deviation of dimension `index`, from the variance that was given.
    ///
    /// **Panics**: when `index` is not below [`dim`](Self::dim).
    pub fn marginal_std(&self, index: usize) -> T {
        self.rest[..self.dim()][index]
    }

    /// The mixture's components, or the distribution itself.
    pub fn components(&self) -> impl ExactSizeIterator<Item = Gaussian<'a, T>> + use<'a, T> {
        let whole = *self;
        let components = match self.form {
            Form::Mixture { components, .. } => components,
            _ => 1,
        };
        (0..components).map(move |index| match whole.form {
            Form::Mixture { .. } => mixture::component(&whole, index),
            _ => whole,
        })
    }

    /// The probability of each component of a mixture; none of any other form.
    pub fn weights(&self) -> &'a [T] {
        match self.form {
            Form::Mixture { components, .. } => &self.rest[self.dim()..][..components],
            _ => &[],
        }
    }

    /// Draws paths.
    ///
    /// Element `i` of a path is one chain of fused multiply-adds, from the mean through the
    /// normals `z` of the path in order:
    /// - full: `mean[i] + l[i][0] * z[0] + ... + l[i][i] * z[i]`;
    /// - diagonal: `mean[i] + deviation[i] * z[i]`;
    /// - low rank: `mean[i] + w[i][0] * z[0] + ... + w[i][rank-1] * z[rank-1] + deviation[i] *
    ///   z[rank + i]`;
    /// - mixture: the first word of the path chooses the component (that whose cumulative weight is
    ///   the first above it), the words behind it are the component's.
    ///
    /// Paths have the same bits on every level and in every block. What overflows is infinite.
    ///
    /// **Shapes and units**: `out` is `[paths, dim]`, row-major, as many paths as fit; row `n` is
    /// the path of `source` that is `n` behind its first.
    ///
    /// **Errors**: [`DrawError::NotWholePaths`], [`DrawError::TooManyWords`]; `out` is unchanged.
    ///
    /// **Cost**: no allocation; at most 24 KiB of stack, 6 more for a mixture, whatever
    /// the dimension. `dim` normals and, in the full form, `dim^2 / 2` multiply-adds for each path,
    /// `dim * rank` of low rank; a single path costs as much as `LANES` of them.
    pub fn draw(&self, level: Level, source: impl Source, out: &mut [T]) -> Result<(), DrawError> {
        self.draw_as(level, source, Layout::ByPath, out)
    }

    /// Draws the paths of [`draw`](Self::draw), dimension after dimension: the layout for working
    /// on all paths of one step at a time. Nothing is transposed, so it is a little faster.
    ///
    /// **Shapes and units**: `out` is `[dim, paths]`, row-major, as many paths as fit.
    ///
    /// **Errors**, **Cost**: as there.
    ///
    /// # Examples
    /// ```
    /// use nowcast::kernels::Level;
    /// use nowcast::sampling::{Gaussian, PathAddress};
    ///
    /// let mut storage = [0.0f32; Gaussian::diagonal_len(2)];
    /// let gaussian = Gaussian::diagonal(&[1.0, 2.0], &[1.0, 4.0], &mut storage)?;
    /// let first = PathAddress { seed: 42, stream: 0, path: 0 };
    /// let (mut by_path, mut by_dim) = ([0.0; 2 * 3], [0.0; 2 * 3]);
    /// gaussian.draw(Level::detect(), first, &mut by_path)?;
    /// gaussian.draw_transposed(Level::detect(), first, &mut by_dim)?;
    /// assert_eq!(by_path[3], by_dim[3 + 1]);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn draw_transposed(
        &self,
        level: Level,
        source: impl Source,
        out: &mut [T],
    ) -> Result<(), DrawError> {
        self.draw_as(level, source, Layout::ByDim, out)
    }

    fn draw_as(
        &self,
        level: Level,
        source: impl Source,
        layout: Layout,
        out: &mut [T],
    ) -> Result<(), DrawError> {
        if self.whole_paths(&source, out.len())? > 0 {
            self.fill(level, Numbered::all(source), Window::new(out, self.dim(), layout));
        }
        Ok(())
    }

    /// How many paths of `source` fill `len` elements.
    pub(super) fn whole_paths(&self, source: &impl Source, len: usize) -> Result<usize, DrawError> {
        let dim = self.dim();
        draw::whole_paths(source, dim, self.form.words(dim), len)
    }

    /// Draws into `out`, which was checked.
    pub(super) fn fill<G: Source>(&self, level: Level, from: Numbered<'_, G>, out: Window<'_, T>) {
        let Self { form, mean, rest } = *self;
        let dim = mean.len();
        let (deviations, rest) = rest.split_at(dim);
        let shape = match form {
            Form::Diagonal => Shape::Diagonal { mean, deviations },
            Form::Full => Shape::Full { mean, factor: rest },
            Form::LowRank { rank } => {
                let (deviations, rest) = rest.split_at(dim);
                Shape::LowRank { mean, loadings: rest, deviations, rank }
            }
            Form::Mixture { .. } => return mixture::fill(self, level, from.source, out),
        };
        draw::draw(level, shape, dim, from, out);
    }
}
