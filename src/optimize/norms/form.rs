//! The algebra of normalisation: what a value is in terms of a row, its moments and one root.
//!
//! A [`Form`] is a sum of products of powers of `x`, of the mean `m` of its row, of the mean
//! square `q`, and of one inverse root `r`, each product with a coefficient that is a number or
//! one number for each element of the row. Two formulas that a model may write for one function
//! have the same form, so that it does not matter in which order it multiplies, subtracts and
//! divides.

use std::collections::BTreeMap;

/// Most products of a sum.
const MAX_TERMS: usize = 8;

/// Powers of `x`, `m`, `q` and `r`.
pub(super) type Powers = [i8; 4];

pub(super) const ONE: Powers = [0, 0, 0, 0];
pub(super) const X: Powers = [1, 0, 0, 0];
pub(super) const MEAN: Powers = [0, 1, 0, 0];
const SQUARE: Powers = [0, 0, 1, 0];

/// A number, or one for each element of a row.
pub(super) type Coefficient = Vec<f64>;

fn combine(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Option<Coefficient> {
    let len = a.len().max(b.len());
    let suits = |x: &[f64]| x.len() == 1 || x.len() == len;
    let at = |x: &[f64], i: usize| if x.len() == 1 { x[0] } else { x[i] };
    (suits(a) && suits(b)).then(|| (0..len).map(|i| f(at(a, i), at(b, i))).collect())
}

/// Whether `b` is `-a`, up to the rounding of constants.
pub(super) fn cancel(a: &[f64], b: &[f64]) -> bool {
    combine(a, b, |a, b| f64::from(u8::from((a + b).abs() > 1e-6 * a.abs())))
        .is_some_and(|differs| differs.iter().all(|d| *d == 0.0))
}

/// What stands under the root: `scale * (q - m^2) + epsilon`, or without `center`
/// `scale * q + epsilon`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Root {
    pub(super) center: bool,
    pub(super) scale: f64,
    pub(super) epsilon: f64,
}

/// A sum of products.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Form(BTreeMap<Powers, Coefficient>);

impl Form {
    pub(super) fn constant(value: Coefficient) -> Self {
        Self(BTreeMap::from([(ONE, value)]))
    }

    pub(super) fn power(powers: Powers) -> Self {
        Self(BTreeMap::from([(powers, vec![1.0])]))
    }

    /// The coefficient of a product.
    pub(super) fn coefficient(&self, powers: Powers) -> Option<&Coefficient> {
        self.0.get(&powers)
    }

    /// Whether no other products stand in it than these.
    pub(super) fn has_only(&self, powers: &[Powers]) -> bool {
        self.0.keys().all(|found| powers.contains(found))
    }

    /// Whether it differs from element to element of a row.
    pub(super) fn varies(&self) -> bool {
        self.0.iter().any(|(powers, c)| powers[0] != 0 || c.len() > 1)
    }

    /// The one number that it is.
    fn number(&self) -> Option<f64> {
        match self.0.first_key_value() {
            Some((powers, c)) if *powers == ONE && c.len() == 1 && self.0.len() == 1 => Some(c[0]),
            _ => None,
        }
    }

    fn collect(terms: impl Iterator<Item = Option<(Powers, Coefficient)>>) -> Option<Self> {
        let mut sum = BTreeMap::<Powers, Coefficient>::new();
        for term in terms {
            let (powers, c) = term?;
            let c = match sum.get(&powers) {
                Some(found) => combine(found, &c, |a, b| a + b)?,
                None => c,
            };
            sum.insert(powers, c);
        }
        sum.retain(|powers, c| *powers == ONE || c.iter().any(|c| *c != 0.0));
        (sum.len() <= MAX_TERMS).then_some(Self(sum))
    }

    fn map(
        &self,
        f: impl Fn(Powers, &Coefficient) -> Option<(Powers, Coefficient)>,
    ) -> Option<Self> {
        Self::collect(self.0.iter().map(|(powers, c)| f(*powers, c)))
    }

    pub(super) fn scaled(&self, by: f64) -> Option<Self> {
        self.map(|powers, c| Some((powers, c.iter().map(|c| c * by).collect())))
    }

    pub(super) fn plus(&self, other: &Self) -> Option<Self> {
        let all = self.0.iter().chain(&other.0);
        Self::collect(all.map(|(powers, c)| Some((*powers, c.clone()))))
    }

    pub(super) fn minus(&self, other: &Self) -> Option<Self> {
        self.plus(&other.scaled(-1.0)?)
    }

    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        Self::collect(self.0.iter().flat_map(|(a, ca)| {
            other.0.iter().map(move |(b, cb)| {
                let mut powers = *a;
                for (p, b) in powers.iter_mut().zip(b) {
                    *p = p.checked_add(*b).filter(|p| (-4..=4).contains(p))?;
                }
                Some((powers, combine(ca, cb, |a, b| a * b)?))
            })
        }))
    }

    /// One over it, where it is a number or row of numbers times a power of the root.
    pub(super) fn inverse(&self) -> Option<Self> {
        let (powers, c) = self.0.first_key_value()?;
        if self.0.len() > 1 || powers[..3] != [0; 3] || c.contains(&0.0) {
            return None;
        }
        let c = c.iter().map(|c| 1.0 / c).collect();
        Some(Self(BTreeMap::from([([0, 0, 0, -powers[3]], c)])))
    }

    /// Its mean over the row.
    pub(super) fn mean(&self) -> Option<Self> {
        self.map(|[x, m, q, r], c| {
            let powers = match x {
                0 => [0, m, q, r],
                1 => [0, m + 1, q, r],
                2 => [0, m, q + 1, r],
                _ => return None,
            };
            (c.len() == 1).then(|| (powers, c.clone()))
        })
    }

    /// It, where it is known not to be negative, so that a limit of zero below does nothing.
    pub(super) fn clamped(&self) -> Option<Self> {
        let root = self.radicand()?;
        (root.scale >= 0.0 && root.epsilon >= 0.0).then(|| self.clone())
    }

    /// It as what stands under a root.
    pub(super) fn radicand(&self) -> Option<Root> {
        const MEAN_SQUARED: Powers = [0, 2, 0, 0];
        if !self.has_only(&[ONE, SQUARE, MEAN_SQUARED]) || self.varies() {
            return None;
        }
        let scale = self.coefficient(SQUARE)?;
        let center = match self.coefficient(MEAN_SQUARED) {
            None => false,
            Some(mean) if cancel(scale, mean) => true,
            Some(_) => return None,
        };
        let epsilon = self.coefficient(ONE).map_or(0.0, |c| c[0]);
        Some(Root { center, scale: scale[0], epsilon })
    }

    /// It to a power that is a constant, where that is a whole number.
    pub(super) fn to_the(&self, exponent: &Self) -> Option<Self> {
        match exponent.number()? {
            1.0 => Some(self.clone()),
            2.0 => self.times(self),
            -1.0 => self.inverse(),
            _ => None,
        }
    }

    /// The power of a square root that a constant exponent is.
    pub(super) fn half_power(exponent: &Self) -> Option<Powers> {
        match exponent.number()? {
            0.5 => Some([0, 0, 0, -1]),
            -0.5 => Some([0, 0, 0, 1]),
            _ => None,
        }
    }
}
