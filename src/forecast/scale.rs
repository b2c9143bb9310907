//! How observations become numbers of the size that a model was trained on.
//!
//! Owns [`Scale`]. Its invariant: the spread is finite and above zero, so that scaling can be
//! undone.

use libm::sqrt;

/// Smallest spread taken from a context: a series that does not move.
const SPREAD_FLOOR: f64 = 1e-6;

/// What is subtracted from each observation.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Center {
    /// The mean of the context.
    ContextMean,
    /// The last observation.
    Last,
    /// This number.
    Fixed(f64),
}

/// What each difference is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Spread {
    /// The standard deviation of the context (divided by its length), at least 1e-6.
    ContextStd,
    /// This number, above zero.
    Fixed(f64),
}

/// The scale of a context: `(x - center) / spread`.
///
/// # Examples
/// ```
/// use nowcast::forecast::{Center, Scale, Spread};
///
/// let scale = Scale { center: Center::ContextMean, spread: Spread::ContextStd };
/// assert_eq!(scale.of(&[1.0, 3.0]), (2.0, 1.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// What is subtracted.
    pub center: Center,
    /// What is divided by.
    pub spread: Spread,
}

impl Scale {
    /// Center and spread of a context, worked in f64.
    ///
    /// **Cost**: no allocation; up to two passes.
    pub fn of(&self, context: &[f32]) -> (f64, f64) {
        let len = context.len().max(1) as f64;
        let values = || context.iter().map(|x| f64::from(*x));
        let mean = || values().sum::<f64>() / len;
        let center = match self.center {
            Center::ContextMean => mean(),
            Center::Last => values().next_back().unwrap_or(0.0),
            Center::Fixed(center) => center,
        };
        let spread = match self.spread {
            Spread::ContextStd => {
                let mean = mean();
                let squares = values().map(|x| (x - mean) * (x - mean)).sum::<f64>();
                sqrt(squares / len).max(SPREAD_FLOOR)
            }
            Spread::Fixed(spread) => spread,
        };
        (center, spread)
    }

    /// Whether it can be undone: fixed numbers are finite, and the spread is above zero.
    pub(super) fn is_valid(&self) -> bool {
        let center = !matches!(self.center, Center::Fixed(c) if !c.is_finite());
        let spread = !matches!(self.spread, Spread::Fixed(s) if !(s.is_finite() && s > 0.0));
        center && spread
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn each_center_and_spread() {
        let context = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        let cases = [
            (Center::ContextMean, Spread::ContextStd, (5.0, 2.0)),
            (Center::Last, Spread::Fixed(10.0), (9.0, 10.0)),
            (Center::Fixed(-1.5), Spread::ContextStd, (-1.5, 2.0)),
        ];
        for (center, spread, expected) in cases {
            assert_eq!(Scale { center, spread }.of(&context), expected);
        }
    }

    #[test]
    fn a_constant_context_has_the_least_spread() {
        let scale = Scale { center: Center::ContextMean, spread: Spread::ContextStd };
        assert_eq!(scale.of(&[0.5; 7]), (0.5, SPREAD_FLOOR));
    }

    #[test]
    fn what_cannot_be_undone_is_invalid() {
        for spread in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(!Scale { center: Center::Last, spread: Spread::Fixed(spread) }.is_valid());
        }
        assert!(!Scale { center: Center::Fixed(f64::NAN), spread: Spread::ContextStd }.is_valid());
        assert!(Scale { center: Center::Last, spread: Spread::Fixed(0.1) }.is_valid());
    }
}
