//! Categories by inversion.
//!
//! Owns [`Categorical`]: the words are divided among the categories, in order, so the category
//! grows with the word. Its invariant: a category of weight zero has no word.

use super::error::VariateError;
use crate::kernels::math::exp;
use crate::kernels::{Level, Simd, Vectorized, dispatch};
use crate::sampling::draw::{Numbered, WIDTH, whole_paths};
use crate::sampling::error::DrawError;
use crate::sampling::source::{Source, Words};

/// Up to as many categories, each word is compared with every limit.
const SCANNED: usize = 24;

/// A distribution over categories, ready to draw from: tokens of a vocabulary, regimes, states.
///
/// It borrows the memory that it was made in and never changes it.
///
/// # Examples
/// ```
/// use nowcast::kernels::Level;
/// use nowcast::sampling::{Categorical, PathAddress};
///
/// let mut storage = [0; Categorical::len(3)];
/// let weather = Categorical::new(&[5.0, 0.0, 3.0], &mut storage)?;
/// assert_eq!(weather.probability(0), 0.625);
///
/// let mut days = [0; 1000];
/// weather.draw(Level::detect(), PathAddress { seed: 42, stream: 0, path: 0 }, 1, &mut days)?;
/// assert!(days.iter().all(|day| *day != 1));
/// let first = days.iter().filter(|day| **day == 0).count();
/// assert!((550..700).contains(&first));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Categorical<'a> {
    categories: usize,
    /// The first word behind each category, up to the last category that has a word: words in all
    /// that it and those before it have.
    limits: &'a [u32],
    /// For each value of the upper bits of a word, the category of the first such word; then the
    /// last category. Empty where limits are scanned.
    guide: &'a [u32],
}

impl Categorical<'_> {
    /// Elements of storage: up to three for each category.
    pub const fn len(categories: usize) -> usize {
        if categories <= SCANNED {
            return categories;
        }
        match categories.checked_next_power_of_two() {
            Some(guide) => categories.saturating_add(guide).saturating_add(1),
            None => usize::MAX,
        }
    }
}

impl<'a> Categorical<'a> {
    /// Categories with these weights, which need not add up to one.
    ///
    /// The probability of each category is a whole number of words over `2^32`: within `2^-32` of
    /// its weight's share, and zero where the weight is.
    ///
    /// **Shapes and units**: `storage` has at least [`len`](Self::len) elements.
    ///
    /// **Errors**: [`VariateError::Empty`], [`VariateError::TooMany`], [`VariateError::Weight`],
    /// [`VariateError::Total`], [`VariateError::StorageTooSmall`]; `storage` is unchanged.
    ///
    /// **Cost**: no allocation; a division for each category.
    pub fn new(weights: &[f64], storage: &'a mut [u32]) -> Result<Self, VariateError> {
        let (limits, guide) = take(weights.len(), storage)?;
        let bad = |weight: &f64| !(*weight >= 0.0 && weight.is_finite());
        if let Some(index) = weights.iter().position(bad) {
            return Err(VariateError::Weight { index, value: weights[index] });
        }
        let total = weights.iter().sum::<f64>();
        if !(total > 0.0 && total.is_finite()) {
            return Err(VariateError::Total { value: total });
        }
        Ok(Self::divided(|index, _| weights[index], total, limits, guide))
    }

    /// Categories whose weights are the exponentials of these logits. Negative infinity is a
    /// weight of zero.
    ///
    /// Weights are rounded to `f32`, relative to the largest: each is within 1.1 units in the last
    /// place of that of its difference from the largest logit.
    ///
    /// **Shapes and units**: as [`new`](Self::new).
    ///
    /// **Errors**: as there, [`VariateError::Logit`] in place of [`VariateError::Weight`];
    /// `storage` is unchanged.
    ///
    /// **Cost**: no allocation; an exponential and a division for each category.
    ///
    /// # Examples
    /// ```
    /// use nowcast::kernels::Level;
    /// use nowcast::sampling::{Categorical, PathAddress};
    ///
    /// let logits = [1.0, f32::NEG_INFINITY, 1.0, -3.0];
    /// let mut storage = [0; Categorical::len(4)];
    /// let next = Categorical::from_logits(Level::detect(), &logits, &mut storage)?;
    /// let mut token = [0];
    /// next.draw(Level::detect(), PathAddress { seed: 42, stream: 0, path: 0 }, 1, &mut token)?;
    /// assert_ne!(token, [1]);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn from_logits(
        level: Level,
        logits: &[f32],
        storage: &'a mut [u32],
    ) -> Result<Self, VariateError> {
        let (limits, guide) = take(logits.len(), storage)?;
        let bad = |logit: &f32| logit.is_nan() || *logit == f32::INFINITY;
        if let Some(index) = logits.iter().position(bad) {
            return Err(VariateError::Logit { index, value: f64::from(logits[index]) });
        }
        let largest = logits.iter().fold(f32::NEG_INFINITY, |most, logit| most.max(*logit));
        if largest == f32::NEG_INFINITY {
            return Err(VariateError::Total { value: 0.0 });
        }
        dispatch(level, Weights { logits, largest, bits: limits });
        let weight = |bits: u32| f64::from(f32::from_bits(bits));
        let total = limits.iter().map(|bits| weight(*bits)).sum::<f64>();
        Ok(Self::divided(|_, bits| weight(bits), total, limits, guide))
    }

    /// Divides the words by weights, given the number of the category and what lies in its limit.
    fn divided(
        weight: impl Fn(usize, u32) -> f64,
        total: f64,
        limits: &'a mut [u32],
        guide: &'a mut [u32],
    ) -> Self {
        let categories = limits.len();
        let (mut sum, mut last) = (0.0, categories - 1);
        for (index, limit) in limits.iter_mut().enumerate() {
            sum += weight(index, *limit);
            let words = (sum / total * WORDS + 0.5) as u64;
            match u32::try_from(words) {
                Ok(words) => *limit = words,
                Err(_) => {
                    last = index;
                    break;
                }
            }
        }
        let limits = &limits[..last];
        if let Some((end, buckets)) = guide.split_last_mut() {
            let shift = 32 - buckets.len().trailing_zeros();
            let mut category = 0;
            for (bucket, to) in buckets.iter_mut().enumerate() {
                let word = (bucket as u32) << shift;
                while limits.get(category).is_some_and(|limit| *limit <= word) {
                    category += 1;
                }
                *to = category as u32;
            }
            *end = last as u32;
        }
        Self { categories, limits, guide }
    }

    /// Categories.
    pub fn categories(&self) -> usize {
        self.categories
    }

    /// The probability of a category, exactly.
    ///
    /// **Panics**: when `index` is not below [`categories`](Self::categories).
    pub fn probability(&self, index: usize) -> f64 {
        assert!(index < self.categories, "category {index} of {}", self.categories);
        let last = self.limits.len();
        let limit = |index: usize| if index < last { f64::from(self.limits[index]) } else { WORDS };
        let before = if index == 0 { 0.0 } else { limit(index - 1) };
        (limit(index) - before) / WORDS
    }

    /// The category of a word: as many as have their first word behind them.
    #[inline]
    fn category(&self, word: u32) -> u32 {
        let bits = self.guide.len().ilog2();
        let bucket = (word >> (32 - bits)) as usize;
        let (mut low, mut high) = (self.guide[bucket], self.guide[bucket + 1]);
        while low < high {
            let middle = low.midpoint(high);
            if self.limits[middle as usize] <= word {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Draws independent categories: a word each, as a fraction.
    ///
    /// **Shapes and units**: `out` is `[paths, dim]`, row-major, as many paths as fit; row `n` is
    /// the path of `source` that is `n` behind its first.
    ///
    /// **Errors**: [`DrawError::NotWholePaths`], [`DrawError::TooManyWords`]; `out` is unchanged.
    ///
    /// **Cost**: no allocation; for each draw, up to 24 categories: a comparison each, for a vector
    /// of paths; more: one look into a table and some steps of bisection, on average about one.
    pub fn draw(
        &self,
        level: Level,
        source: impl Source,
        dim: usize,
        out: &mut [u32],
    ) -> Result<(), DrawError> {
        let paths = whole_paths(&source, dim, dim, out.len())?;
        dispatch(level, Draw { categorical: *self, source, dim, paths, strides: [dim, 1], out });
        Ok(())
    }

    /// Draws the paths of [`draw`](Self::draw), dimension after dimension.
    ///
    /// **Shapes and units**: `out` is `[dim, paths]`, row-major, as many paths as fit.
    ///
    /// **Errors**, **Cost**: as there.
    pub fn draw_transposed(
        &self,
        level: Level,
        source: impl Source,
        dim: usize,
        out: &mut [u32],
    ) -> Result<(), DrawError> {
        let paths = whole_paths(&source, dim, dim, out.len())?;
        dispatch(level, Draw { categorical: *self, source, dim, paths, strides: [1, paths], out });
        Ok(())
    }
}

/// Values of a word.
const WORDS: f64 = 4_294_967_296.0;

/// Limits and guide of as many categories.
fn take(categories: usize, storage: &mut [u32]) -> Result<(&mut [u32], &mut [u32]), VariateError> {
    if categories == 0 {
        return Err(VariateError::Empty);
    }
    if categories > 1 << 31 {
        return Err(VariateError::TooMany { got: categories });
    }
    let (needed, got) = (Categorical::len(categories), storage.len());
    let storage = storage.get_mut(..needed).ok_or(VariateError::StorageTooSmall { needed, got })?;
    Ok(storage.split_at_mut(categories))
}

/// The bits of the exponentials of logits less the largest.
struct Weights<'a> {
    logits: &'a [f32],
    largest: f32,
    bits: &'a mut [u32],
}

impl Vectorized for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let largest = s.splat(self.largest);
        let mut lanes = [0; 16];
        for (from, to) in self.logits.chunks(S::LANES).zip(self.bits.chunks_mut(S::LANES)) {
            let below = s.sub(s.load_tail(from), largest);
            let none = s.lt(below, s.splat(-103.9));
            let weight = s.select(none, s.splat(0.0), exp(s, below));
            s.u32_store(s.to_bits(weight), &mut lanes);
            to.copy_from_slice(&lanes[..to.len()]);
        }
    }
}

struct Draw<'a, G> {
    categorical: Categorical<'a>,
    source: G,
    dim: usize,
    paths: usize,
    /// Between paths and between dimensions.
    strides: [usize; 2],
    out: &'a mut [u32],
}

impl<G: Source> Vectorized for Draw<'_, G> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { categorical, source, dim, paths, strides, out } = self;
        let from = Numbered::all(source);
        let mut lanes = [0; WIDTH];
        let mut first = 0;
        while first < paths {
            let count = from.together(first, (paths - first).min(S::LANES));
            let [mut words] = from.words::<S, 1>(s, first, count);
            for index in 0..dim {
                let word = words.next(s);
                if categorical.guide.is_empty() {
                    s.u32_store(scanned(s, categorical.limits, word), &mut lanes);
                } else {
                    s.u32_store(word, &mut lanes);
                    for lane in &mut lanes[..count] {
                        *lane = categorical.category(*lane);
                    }
                }
                let start = first * strides[0] + index * strides[1];
                if strides[0] == 1 {
                    out[start..][..count].copy_from_slice(&lanes[..count]);
                } else {
                    let to = out[start..].iter_mut().step_by(strides[0]);
                    for (to, lane) in to.zip(&lanes[..count]) {
                        *to = *lane;
                    }
                }
            }
            first += count;
        }
    }
}

/// How many limits are no more than each word.
#[inline(always)]
fn scanned<S: Simd>(s: S, limits: &[u32], word: S::U32) -> S::U32 {
    // Comparisons are of signed integers.
    const TOP: u32 = 1 << 31;
    let word = s.u32_to_i32(s.u32_xor(word, s.u32_splat(TOP)));
    let mut passed = s.u32_splat(0);
    for limit in limits {
        let ahead = s.i32_gt(s.i32_splat((limit ^ TOP).cast_signed()), word);
        passed = s.u32_add(passed, s.u32_select(ahead, s.u32_splat(0), s.u32_splat(1)));
    }
    passed
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn made(weights: &[f64]) -> Result<(), VariateError> {
        let mut storage = [9; Categorical::len(30)];
        let made = Categorical::new(weights, &mut storage).map(|_| ());
        assert!(made.is_ok() || storage == [9; Categorical::len(30)]);
        made
    }

    #[test]
    fn refusals() {
        assert_eq!(made(&[]), Err(VariateError::Empty));
        assert_eq!(made(&[0.0, 0.0]), Err(VariateError::Total { value: 0.0 }));
        assert_eq!(made(&[1e308, 1e308]), Err(VariateError::Total { value: f64::INFINITY }));
        assert_eq!(made(&[1.0, -1.0]), Err(VariateError::Weight { index: 1, value: -1.0 }));
        let infinite = VariateError::Weight { index: 0, value: f64::INFINITY };
        assert_eq!(made(&[f64::INFINITY, 1.0]), Err(infinite));
        let refused = made(&[1.0, f64::NAN]);
        assert!(matches!(refused, Err(VariateError::Weight { index: 1, .. })), "{refused:?}");
        let (needed, got) = (Categorical::len(31), Categorical::len(30));
        assert_eq!(made(&[1.0; 31]), Err(VariateError::StorageTooSmall { needed, got }));

        let mut storage = [9; 3];
        let mut logits = |logits: &[f32]| {
            Categorical::from_logits(Level::scalar(), logits, &mut storage).map(|_| ())
        };
        assert_eq!(logits(&[f32::NEG_INFINITY; 3]), Err(VariateError::Total { value: 0.0 }));
        let infinite = VariateError::Logit { index: 1, value: f64::INFINITY };
        assert_eq!(logits(&[0.0, f32::INFINITY]), Err(infinite));
        let refused = logits(&[f32::NAN]);
        assert!(matches!(refused, Err(VariateError::Logit { index: 0, .. })), "{refused:?}");
        assert_eq!(logits(&[0.0, f32::NEG_INFINITY, -200.0]), Ok(()));
    }

    /// Words at and around every limit, against a search of the documented kind.
    #[test]
    fn every_word_has_its_category() {
        for categories in [1, 2, 3, 23, 24, 25, 26, 64, 65, 1000] {
            // Zeros in front, between and behind; some weights far below one word.
            let weight = |index: usize| match index % 7 {
                0 | 3 => 0.0,
                4 => 1e-13,
                part => (part + index / 5) as f64,
            };
            let mut weights: Vec<f64> = (0..categories).map(weight).collect();
            weights[categories / 2] += 1.5;
            let total: f64 = weights.iter().sum();
            let mut storage = std::vec![0; Categorical::len(categories)];
            let made = Categorical::new(&weights, &mut storage).unwrap();
            for (index, weight) in weights.iter().enumerate() {
                let (found, wanted) = (made.probability(index), weight / total);
                assert!((found - wanted).abs() < power_of_word(), "{categories} {index}");
                assert!(*weight > 0.0 || found == 0.0);
            }
            let edges = made.limits.iter().flat_map(|limit| [limit.wrapping_sub(1), *limit]);
            let words: Vec<u32> = edges
                .chain([0, 1, u32::MAX - 1, u32::MAX])
                .chain((0..=u32::MAX).step_by(9_999_991))
                .collect();
            for word in words {
                let wanted = made.limits.iter().filter(|limit| **limit <= word).count();
                let found = if made.guide.is_empty() {
                    scanned(crate::kernels::Scalar, made.limits, word)
                } else {
                    made.category(word)
                };
                assert_eq!(found as usize, wanted, "{categories} {word:#x}");
                assert!(weights[wanted] > 0.0);
            }
        }
    }

    fn power_of_word() -> f64 {
        1.0 / WORDS
    }

    #[test]
    fn logits_are_logarithms_of_weights() {
        let logits: [f32; 40] = core::array::from_fn(|i| (i as f32 * 0.7).sin() * 9.0 + 500.0);
        let mut storage = [0; Categorical::len(40)];
        let total: f64 = logits.iter().map(|l| (f64::from(*l) - 500.0).exp()).sum();
        for level in crate::kernels::suite::levels() {
            let made = Categorical::from_logits(level, &logits, &mut storage).unwrap();
            for (index, logit) in logits.iter().enumerate() {
                let wanted = (f64::from(*logit) - 500.0).exp() / total;
                let found = made.probability(index);
                assert!(
                    (found - wanted).abs() < 2e-7 * wanted + 4e-10,
                    "{index}: {found} {wanted}"
                );
            }
        }
    }
}
