//! Why a copula was refused.

#[cfg(doc)]
use super::{Copula, Tails};

/// Why a [`Copula`] was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum CopulaError {
    /// There are fewer than two levels.
    FewLevels {
        /// Levels given.
        got: usize,
    },
    /// This level is not between zero and one, or not above the one before by more than the
    /// rounding of its normal score.
    Level {
        /// Its number.
        index: usize,
        /// The level.
        value: f64,
    },
    /// There are `got` values, not `expected`.
    Length {
        /// The dimensions of the Gaussian times the levels.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// This value is not finite, or it or its distance from the one before is beyond the range of
    /// the element type.
    NotFinite {
        /// Its dimension.
        index: usize,
        /// Its level.
        level: usize,
    },
    /// This value is below the one before.
    Descending {
        /// Its dimension.
        index: usize,
        /// Its level.
        level: usize,
    },
    /// This dimension of the Gaussian is constant: it has no correlations.
    Constant {
        /// The dimension.
        index: usize,
    },
    /// The Gaussian is a mixture.
    OfMixture,
    /// [`Tails::Exponential`] and outer levels on one side of one half.
    OneSided,
    /// `storage` is shorter than [`Copula::len`].
    StorageTooSmall {
        /// Elements needed.
        needed: usize,
        /// Elements given.
        got: usize,
    },
}

impl core::fmt::Display for CopulaError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::FewLevels { got } => write!(f, "{got} levels, at least two needed"),
            Self::Level { index, value } => {
                write!(f, "level {index}, {value:e}, is not between the one before and 1")
            }
            Self::Length { expected, got } => {
                write!(f, "{got} values where dimensions and levels ask for {expected}")
            }
            Self::NotFinite { index, level } => {
                write!(f, "value {level} of dimension {index} is not finite or too far")
            }
            Self::Descending { index, level } => {
                write!(f, "value {level} of dimension {index} is below the one before")
            }
            Self::Constant { index } => write!(f, "dimension {index} has no deviation"),
            Self::OfMixture => write!(f, "a mixture has no Gaussian dependence"),
            Self::OneSided => write!(f, "the outer levels lie on one side of one half"),
            Self::StorageTooSmall { needed, got } => {
                write!(f, "storage of {got} elements, {needed} needed")
            }
        }
    }
}

impl core::error::Error for CopulaError {}
