//! Why a distribution or a draw was refused.
//!
//! Owns the error enums of this module: small, `Copy`, numbers only.

#[cfg(doc)]
use super::gaussian::Gaussian;

/// Why a Gaussian was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum GaussianError {
    /// There is no dimension.
    Empty,
    /// Covariance, variances, means, values or weights have `got` elements, not `expected`.
    Length {
        /// Elements for the dimension of the mean.
        expected: usize,
        /// Elements given.
        got: usize,
    },
    /// `storage` is shorter than its form asks: [`Gaussian::full_len`], for example.
    StorageTooSmall {
        /// Elements needed.
        needed: usize,
        /// Elements given.
        got: usize,
    },
    /// `scratch` is shorter than is asked: [`Gaussian::full_scratch_len`], for example.
    ScratchTooSmall {
        /// Elements needed.
        needed: usize,
        /// Elements given.
        got: usize,
    },
    /// This mean is infinite, NaN or beyond the range of the element type.
    MeanNotFinite {
        /// Its dimension.
        index: usize,
    },
    /// This covariance is infinite or NaN, or the square root of this variance is beyond the range
    /// of the element type.
    NotFinite {
        /// Its row.
        row: usize,
        /// Its column.
        col: usize,
    },
    /// This covariance differs from its mirror image by more than `2^-20` of the geometric mean of
    /// the two variances.
    NotSymmetric {
        /// Its row.
        row: usize,
        /// Its column, before the row.
        col: usize,
    },
    /// What is left of this variance, given the dimensions before it, is not above
    /// `dim * 2^-52` of the whole: the matrix is indefinite, or singular up to rounding.
    NotPositiveDefinite {
        /// Its dimension.
        pivot: usize,
        /// What is left of the variance.
        value: f64,
    },
    /// This variance of a diagonal form is below zero.
    NegativeVariance {
        /// Its dimension.
        index: usize,
        /// The variance.
        value: f64,
    },
    /// This jitter is negative or not finite.
    Jitter {
        /// The variance that was to be added.
        value: f64,
    },
    /// This weight, or the sum of all, is negative or not finite, or no weight is positive.
    Weight {
        /// Its component.
        index: usize,
        /// The weight, or the sum.
        value: f64,
    },
    /// This component is a mixture itself, or differs from the first one in form, dimensions or
    /// rank.
    Components {
        /// Its number.
        index: usize,
    },
    /// This is not for mixtures.
    OfMixture,
    /// There is no such component, or it was named before.
    Index {
        /// Its place in the list.
        position: usize,
        /// What stands there.
        index: usize,
    },
    /// This value of a known component is infinite or NaN.
    Value {
        /// Its place in the list.
        index: usize,
    },
    /// This known component is a constant, or one of the common factors alone, or, of a mixture, the
    /// values are beyond every density: nothing weighs what they tell.
    Constant {
        /// Its dimension.
        index: usize,
    },
    /// These bytes are no stored distribution, are misaligned, or are more or fewer than its form
    /// and dimensions ask.
    Stored,
}

impl core::fmt::Display for GaussianError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Empty => write!(f, "a distribution of no dimension"),
            Self::Length { expected, got } => {
                write!(f, "{got} numbers where {expected} are asked for")
            }
            Self::StorageTooSmall { needed, got } => {
                write!(f, "storage of {got} elements, {needed} needed")
            }
            Self::ScratchTooSmall { needed, got } => {
                write!(f, "scratch of {got} elements, {needed} needed")
            }
            Self::MeanNotFinite { index } => {
                write!(f, "mean {index} is not finite in the element type")
            }
            Self::NotFinite { row, col } => write!(f, "covariance [{row}, {col}] is not finite"),
            Self::NotSymmetric { row, col } => {
                write!(f, "covariance [{row}, {col}] is not [{col}, {row}]")
            }
            Self::NotPositiveDefinite { pivot, value } => {
                write!(f, "the covariance is not positive definite: {value:e} at pivot {pivot}")
            }
            Self::NegativeVariance { index, value } => {
                write!(f, "variance {index} is negative: {value:e}")
            }
            Self::Jitter { value } => write!(f, "a jitter of {value:e} is no variance"),
            Self::Weight { index, value } => write!(f, "weight {index} cannot be {value:e}"),
            Self::Components { index } => {
                write!(f, "component {index} is not of the form and dimensions of the first")
            }
            Self::OfMixture => write!(f, "this is not for mixtures"),
            Self::Index { position, index } => {
                write!(f, "component {index} (number {position} of the list) is not there or twice")
            }
            Self::Value { index } => write!(f, "value {index} is not finite"),
            Self::Constant { index } => {
                write!(f, "component {index} has no variance of its own, so it cannot be given")
            }
            Self::Stored => write!(f, "the stored distribution is damaged"),
        }
    }
}

impl core::error::Error for GaussianError {}

/// Why a draw was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrawError {
    /// The output has `len` elements, which is no whole number of paths of `dim`.
    NotWholePaths {
        /// Elements of a path.
        dim: usize,
        /// Elements of the output.
        len: usize,
    },
    /// There are `got` bounds or moments, not one for each dimension.
    Length {
        /// Dimensions.
        expected: usize,
        /// Elements given.
        got: usize,
    },
    /// `scratch` does not hold a path.
    ScratchTooSmall {
        /// Elements needed.
        needed: usize,
        /// Elements given.
        got: usize,
    },
    /// A path takes `needed` words, and the source has `most` for each.
    TooManyWords {
        /// Words of a path.
        needed: usize,
        /// Dimensions of the source.
        most: usize,
    },
}

impl core::fmt::Display for DrawError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotWholePaths { dim, len } => {
                write!(f, "an output of {len} elements is no whole number of paths of {dim}")
            }
            Self::Length { expected, got } => {
                write!(f, "{got} elements for {expected} dimensions")
            }
            Self::ScratchTooSmall { needed, got } => {
                write!(f, "scratch of {got} elements, {needed} needed")
            }
            Self::TooManyWords { needed, most } => {
                write!(f, "a path takes {needed} random numbers, the source has {most}")
            }
        }
    }
}

impl core::error::Error for DrawError {}

/// Why nothing can be said of a point or of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PointError {
    /// There are `got` elements, not one for each dimension.
    Length {
        /// Dimensions.
        expected: usize,
        /// Elements given.
        got: usize,
    },
    /// This element is infinite or NaN.
    NotFinite {
        /// Its dimension.
        index: usize,
    },
    /// This dimension is constant, or the others determine it: there is no density.
    Singular {
        /// The first such dimension.
        index: usize,
    },
    /// `scratch` is shorter than is needed.
    ScratchTooSmall {
        /// Elements needed.
        needed: usize,
        /// Elements given.
        got: usize,
    },
    /// This is not for mixtures.
    OfMixture,
}

impl core::fmt::Display for PointError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length { expected, got } => {
                write!(f, "{got} elements for {expected} dimensions")
            }
            Self::NotFinite { index } => write!(f, "element {index} is not finite"),
            Self::Singular { index } => {
                write!(f, "dimension {index} is constant or determined by others: no density")
            }
            Self::ScratchTooSmall { needed, got } => {
                write!(f, "scratch of {got} elements, {needed} needed")
            }
            Self::OfMixture => write!(f, "this is not for mixtures"),
        }
    }
}

impl core::error::Error for PointError {}
