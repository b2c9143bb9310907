//! Why a distribution of variates was refused.

#[cfg(doc)]
use super::{Categorical, StudentT};

/// Why a distribution was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum VariateError {
    /// There is no category.
    Empty,
    /// `storage` is shorter than [`StudentT::len`] or [`Categorical::len`].
    StorageTooSmall {
        /// Elements needed.
        needed: usize,
        /// Elements given.
        got: usize,
    },
    /// These degrees of freedom are below [`StudentT::LEAST_FREEDOM`] or not finite.
    Freedom {
        /// The degrees of freedom.
        value: f64,
    },
    /// This weight is negative or not finite.
    Weight {
        /// Its category.
        index: usize,
        /// The weight.
        value: f64,
    },
    /// The weights add up to zero or to infinity.
    Total {
        /// The sum.
        value: f64,
    },
    /// This logit is NaN or positive infinity.
    Logit {
        /// Its category.
        index: usize,
        /// The logit.
        value: f64,
    },
    /// There are more than `2^31` categories.
    TooMany {
        /// Categories given.
        got: usize,
    },
}

impl core::fmt::Display for VariateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Empty => write!(f, "no category"),
            Self::StorageTooSmall { needed, got } => {
                write!(f, "storage of {got} elements, {needed} needed")
            }
            Self::Freedom { value } => write!(f, "{value:e} is no number of degrees of freedom"),
            Self::Weight { index, value } => write!(f, "weight {index} cannot be {value:e}"),
            Self::Total { value } => write!(f, "the weights add up to {value:e}"),
            Self::Logit { index, value } => write!(f, "logit {index} cannot be {value:e}"),
            Self::TooMany { got } => write!(f, "{got} categories are too many for one word"),
        }
    }
}

impl core::error::Error for VariateError {}
