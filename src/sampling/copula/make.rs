//! From quantiles to a [`Copula`].
//!
//! Owns the checks of what is given and the order of what is stored. Work is in `f64`, in one fixed
//! order, from knots and values that are rounded first: the same bits on every host.

use super::{Copula, CopulaError, Tails};
use crate::sampling::gaussian::Gaussian;
use crate::sampling::quantile::normal_quantile;
use crate::sampling::real::Real;

impl<'a, T: Real> Copula<'a, T> {
    /// The dependence of `gaussian` between marginals of which these are quantiles.
    ///
    /// Means and deviations of the Gaussian do not count; it may have any form but a mixture. A
    /// value that occurs twice running is one that has a probability of its own.
    ///
    /// **Shapes and units**: `levels` is `[levels]`, strictly ascending between zero and one, at
    /// least two; `values` is `[dim, levels]`, row-major, no row descending; `storage` has at least
    /// [`len`](Self::len) elements.
    ///
    /// **Errors**: any [`CopulaError`]; `storage` is unchanged.
    ///
    /// **Cost**: no allocation; four [`normal_quantile`]s for each level, two divisions for each
    /// value.
    ///
    /// **Source**: Nelsen, "An introduction to copulas", 2nd edition, 2006, section 2.10 (the
    /// construction of a joint distribution by inversion).
    pub fn new(
        gaussian: Gaussian<'a, T>,
        levels: &[f64],
        values: &[f64],
        tails: Tails,
        storage: &'a mut [T],
    ) -> Result<Self, CopulaError> {
        let (dim, count) = (gaussian.dim(), levels.len());
        let (needed, got) = (Copula::len(dim, count), storage.len());
        let storage =
            storage.get_mut(..needed).ok_or(CopulaError::StorageTooSmall { needed, got })?;
        check(&gaussian, levels, values, tails)?;

        let (zeros, rest) = storage.split_at_mut(dim);
        let (scales, rest) = rest.split_at_mut(dim);
        let (knots, tables) = rest.split_at_mut(count);
        zeros.fill(T::ZERO);
        for (index, scale) in scales.iter_mut().enumerate() {
            *scale = T::from_f64(1.0 / gaussian.marginal_std(index).to_f64());
        }
        for (knot, level) in knots.iter_mut().zip(levels) {
            *knot = score(*level);
        }
        let rows = values.chunks_exact(count);
        for (table, row) in tables.chunks_exact_mut(Copula::table_len(count)).zip(rows) {
            write(knots, row, tails, table);
        }
        let gaussian = gaussian.with_mean(zeros).map_err(|_| CopulaError::OfMixture)?;
        Ok(Self { gaussian, tails, scales, knots, tables })
    }
}

fn score<T: Real>(level: f64) -> T {
    T::from_f64(normal_quantile(level))
}

/// The slope between two values and two knots, as it is stored.
fn slope<T: Real>(values: [T; 2], knots: [T; 2]) -> T {
    let [rise, run] = [values, knots].map(|[from, to]| to.to_f64() - from.to_f64());
    T::from_f64(rise / run)
}

fn check<T: Real>(
    gaussian: &Gaussian<'_, T>,
    levels: &[f64],
    values: &[f64],
    tails: Tails,
) -> Result<(), CopulaError> {
    if !gaussian.weights().is_empty() {
        return Err(CopulaError::OfMixture);
    }
    let ([first, .., last], dim) = (levels, gaussian.dim()) else {
        return Err(CopulaError::FewLevels { got: levels.len() });
    };
    let inside = |level: f64| level > 0.0 && level < 1.0;
    let mut before = None;
    for (index, value) in levels.iter().copied().enumerate() {
        let knot = score::<T>(value);
        if !(inside(value) && before.is_none_or(|before| before < knot)) {
            return Err(CopulaError::Level { index, value });
        }
        before = Some(knot);
    }
    if tails == Tails::Exponential && !(*first < 0.5 && *last > 0.5) {
        return Err(CopulaError::OneSided);
    }
    let (expected, got) = (dim.saturating_mul(levels.len()), values.len());
    if got != expected {
        return Err(CopulaError::Length { expected, got });
    }
    let constant = |index: &usize| {
        let deviation = gaussian.marginal_std(*index).to_f64();
        !(deviation > 0.0 && T::from_f64(1.0 / deviation).to_f64().is_finite())
    };
    if let Some(index) = (0..dim).find(constant) {
        return Err(CopulaError::Constant { index });
    }
    let finite = |value: f64| T::from_f64(value).to_f64().is_finite();
    let rows = || values.chunks_exact(levels.len()).enumerate();
    for (index, row) in rows() {
        if let Some(level) = row.iter().position(|value| !finite(*value)) {
            return Err(CopulaError::NotFinite { index, level });
        }
        if let Some(level) = row.windows(2).position(|pair| pair[1] < pair[0]) {
            return Err(CopulaError::Descending { index, level: level + 1 });
        }
    }
    for level in 1..levels.len() {
        let knots = [levels[level - 1], levels[level]].map(score::<T>);
        for (index, row) in rows() {
            let slope = slope([row[level - 1], row[level]].map(T::from_f64), knots);
            let ends = [(level == 1, knots[0]), (level + 1 == levels.len(), knots[1])];
            let curves = ends.map(|(outer, knot)| {
                let bent = outer && tails == Tails::Exponential;
                if bent { curve(slope, knot) } else { T::ZERO }
            });
            if [slope, curves[0], curves[1]].iter().any(|x| !x.to_f64().is_finite()) {
                return Err(CopulaError::NotFinite { index, level });
            }
        }
    }
    Ok(())
}

/// The coefficient of the square beyond an outer knot.
fn curve<T: Real>(slope: T, knot: T) -> T {
    T::from_f64(slope.to_f64() / (2.0 * knot.to_f64()))
}

/// Writes the table of a dimension: values, slopes, curves.
fn write<T: Real>(knots: &[T], row: &[f64], tails: Tails, table: &mut [T]) {
    let last = knots.len() - 1;
    let (values, rest) = table.split_at_mut(knots.len());
    let (slopes, curves) = rest.split_at_mut(knots.len() + 1);
    for (to, value) in values.iter_mut().zip(row) {
        *to = T::from_f64(*value);
    }
    let between = values.windows(2).zip(knots.windows(2));
    for (to, (values, knots)) in slopes[1..].iter_mut().zip(between) {
        *to = slope([values[0], values[1]], [knots[0], knots[1]]);
    }
    (slopes[0], slopes[last + 1]) = match tails {
        Tails::Flat => (T::ZERO, T::ZERO),
        Tails::Normal | Tails::Exponential => (slopes[1], slopes[last]),
    };
    (curves[0], curves[1]) = match tails {
        Tails::Exponential => (curve(slopes[0], knots[0]), curve(slopes[last], knots[last])),
        Tails::Normal | Tails::Flat => (T::ZERO, T::ZERO),
    };
}
