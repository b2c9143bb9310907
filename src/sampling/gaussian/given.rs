//! Some of the components: alone, or known.
//!
//! Owns the marginal and the conditional distribution. Its invariant: where the components that
//! are kept (or known) are the first ones, the factor is read and never worked again.

use super::density::{Measure, project, unexplained};
use super::make::{
    add_capacitance, deviation, start_capacitance, take, take_scratch, write_capacitance,
};
use super::{Component, Form, Gaussian};
use crate::kernels::Level;
use crate::sampling::cholesky::{self, BadPivot, packed_len, packed_row};
use crate::sampling::draw::{
    self, ROWS, factor_at, factor_len, loading_at, loadings_len, panel_start,
};
use crate::sampling::error::GaussianError;
use crate::sampling::real::Real;
use crate::sampling::semidefinite::{factor_semidefinite, semidefinite_scratch_len};
use crate::sampling::triangular::{solve, substitute};

impl<'a, T: Real> Gaussian<'a, T> {
    /// Elements of storage of the same form over `dim` of the dimensions: what
    /// [`given`](Self::given) needs for those that are left, [`marginal`](Self::marginal) for those
    /// that are kept.
    pub fn len_of(&self, dim: usize) -> usize {
        self.form().len(dim)
    }

    /// Elements of scratch that [`given`](Self::given) and [`marginal`](Self::marginal) need:
    /// about `2 * dim^2` in the full form.
    pub fn given_scratch_len(&self) -> usize {
        let of = |form| given_scratch_len(form, self.dim());
        match self.form() {
            Form::Mixture { of: component, components } => of(component.into()) + components,
            form => of(form),
        }
    }

    /// The distribution of the other components, given that these have these values.
    ///
    /// Of the full form, the mean is that of least squares and the factor the trailing block: where
    /// the known components are the first ones, in order, nothing is factored again. A known
    /// component that the known ones before it determine adds nothing, and its value is not looked
    /// at. A mixture's weights are those that the values leave likely.
    ///
    /// **Shapes and units**: `indices` and `values` are as many, in any order; the components that
    /// are left stay in theirs. `storage` has at least [`len_of`](Self::len_of) elements for the
    /// dimensions that are left, `scratch` [`given_scratch_len`](Self::given_scratch_len).
    ///
    /// **Errors**: [`GaussianError::Length`] of as many values as indices,
    /// [`GaussianError::Index`], [`GaussianError::Empty`] if no component is left,
    /// [`GaussianError::Value`], those of memory: `storage` is unchanged. Then, and `storage` is
    /// spoilt: [`GaussianError::MeanNotFinite`]; of low rank and mixtures
    /// [`GaussianError::Constant`]; [`GaussianError::NotPositiveDefinite`], where rounding leaves
    /// less than nothing of a variance.
    ///
    /// **Cost**: no allocation; `dim^2 / 2` multiply-adds and copies where the first components are
    /// known, `2/3 * dim^3` elsewhere; of low rank `dim * rank^2 / 2`.
    ///
    /// **Source**: Anderson, "An Introduction to Multivariate Statistical Analysis", 2003, 2.5.
    ///
    /// # Examples
    /// ```
    /// use nowcast::kernels::Level;
    /// use nowcast::sampling::OwnedGaussian;
    ///
    /// let both = OwnedGaussian::<f64>::full(&[0.0, 10.0], &[4.0, 3.0, 3.0, 9.0])?;
    /// let second = both.given(&[0], &[2.0])?;
    /// let second = second.gaussian();
    /// assert_eq!(second.mean(), [10.0 + 3.0 / 4.0 * 2.0]);
    /// assert_eq!(second.marginal_std(0), (9.0f64 - 9.0 / 4.0).sqrt());
    /// # Ok::<(), nowcast::sampling::GaussianError>(())
    /// ```
    pub fn given<'s>(
        &self,
        level: Level,
        indices: &[usize],
        values: &[f64],
        storage: &'s mut [T],
        scratch: &mut [f64],
    ) -> Result<Gaussian<'s, T>, GaussianError> {
        let known = indices.len();
        if values.len() != known {
            return Err(GaussianError::Length { expected: known, got: values.len() });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(GaussianError::Value { index });
        }
        let left = self.check_indices(indices)?;
        let storage = take(storage, self.len_of(left))?;
        let scratch = take_scratch(scratch, self.given_scratch_len())?;
        match self.form() {
            Form::Mixture { components, of } => {
                self.mixture_given(level, (components, of), indices, values, storage, scratch)?;
            }
            _ => {
                self.single_given(level, indices, values, storage, scratch)?;
            }
        }
        Ok(Gaussian::of(self.form(), left, storage))
    }

    /// The distribution of these components alone, in this order.
    ///
    /// Of the full form, where they are the first ones in order, nothing is factored again.
    ///
    /// **Shapes and units**: `storage` has at least [`len_of`](Self::len_of) elements for as many
    /// dimensions as indices, `scratch` [`given_scratch_len`](Self::given_scratch_len).
    ///
    /// **Errors**: [`GaussianError::Index`], [`GaussianError::Empty`], those of memory: `storage`
    /// is unchanged. [`GaussianError::NotPositiveDefinite`], where rounding leaves less than nothing
    /// of a variance: it is spoilt.
    ///
    /// **Cost**: no allocation; copies, and where the components are not the first ones `kept^2 *
    /// dim / 2 + kept^3 / 6` multiply-adds of the full form.
    pub fn marginal<'s>(
        &self,
        level: Level,
        indices: &[usize],
        storage: &'s mut [T],
        scratch: &mut [f64],
    ) -> Result<Gaussian<'s, T>, GaussianError> {
        let kept = indices.len();
        if kept == 0 {
            return Err(GaussianError::Empty);
        }
        self.check_distinct(indices)?;
        let storage = take(storage, self.len_of(kept))?;
        let scratch = take_scratch(scratch, self.given_scratch_len())?;
        if let Form::Mixture { components, of } = self.form() {
            let (head, parts) = storage.split_at_mut(2 * kept + 2 * components);
            let len = Form::from(of).len(kept);
            for (to, component) in parts.chunks_exact_mut(len).zip(self.components()) {
                component.single_marginal(level, indices, to, scratch)?;
            }
            let (moments, weights) = head.split_at_mut(2 * kept);
            let (means, deviations) = moments.split_at_mut(kept);
            for ((mean, std), index) in means.iter_mut().zip(deviations).zip(indices) {
                (*mean, *std) = (self.mean[*index], self.marginal_std(*index));
            }
            weights.copy_from_slice(&self.rest[self.dim()..][..2 * components]);
        } else {
            self.single_marginal(level, indices, storage, scratch)?;
        }
        Ok(Gaussian::of(self.form(), kept, storage))
    }

    /// How many dimensions are left when these are taken out.
    fn check_indices(&self, indices: &[usize]) -> Result<usize, GaussianError> {
        self.check_distinct(indices)?;
        match self.dim().saturating_sub(indices.len()) {
            0 => Err(GaussianError::Empty),
            left => Ok(left),
        }
    }

    fn check_distinct(&self, indices: &[usize]) -> Result<(), GaussianError> {
        for (position, index) in indices.iter().enumerate() {
            if *index >= self.dim() || indices[..position].contains(index) {
                return Err(GaussianError::Index { position, index: *index });
            }
        }
        Ok(())
    }

    /// Conditions one that is no mixture; returns the log density of the values, which only the
    /// weights of a mixture need: minus infinity where there is none.
    fn single_given(
        &self,
        level: Level,
        indices: &[usize],
        values: &[f64],
        storage: &mut [T],
        scratch: &mut [f64],
    ) -> Result<f64, GaussianError> {
        let (dim, known) = (self.dim(), indices.len());
        let left = dim - known;
        let away = |position: usize| values[position] - self.mean[indices[position]].to_f64();
        match self.form() {
            Form::Full => {
                let (x, scratch) = scratch.split_at_mut(dim);
                for (position, x) in x[..known].iter_mut().enumerate() {
                    *x = away(position);
                }
                let others = (0..dim).filter(|index| !indices.contains(index));
                let means = others.clone().map(|index| (index, self.mean[index].to_f64()));
                if is_leading(indices) {
                    return trailing(level, &self.rest[dim..], known, x, means, storage);
                }
                let (packed, scratch) = scratch.split_at_mut(factor_len(dim));
                let order = indices.iter().copied().chain(others);
                let triangle = self.reordered(level, order, dim, scratch)?;
                draw::pack((0..dim).map(|row| packed_row(triangle, row)), packed);
                trailing(level, packed, known, x, means, storage)
            }
            Form::LowRank { rank } => {
                self.low_rank_given(level, rank, indices, away, storage, scratch)
            }
            Form::Diagonal | Form::Mixture { .. } => {
                let (means, deviations) = storage.split_at_mut(left);
                let others = (0..dim).filter(|index| !indices.contains(index));
                for ((mean, std), index) in means.iter_mut().zip(deviations).zip(others) {
                    (*mean, *std) = (self.mean[index], self.marginal_std(index));
                }
                let std = |position: usize| self.marginal_std(indices[position]).to_f64();
                let scaled = (0..known).map(|position| away(position) / std(position));
                Ok(log_density(known, scaled.map(|y| y * y).sum(), (0..known).map(std)))
            }
        }
    }

    /// The factors of those known are normal too, given the values: their mean moves the means,
    /// and the factor of their covariance, the inverse of the capacitance, the loadings.
    fn low_rank_given(
        &self,
        level: Level,
        rank: usize,
        indices: &[usize],
        away: impl Fn(usize) -> f64,
        storage: &mut [T],
        scratch: &mut [f64],
    ) -> Result<f64, GaussianError> {
        let dim = self.dim();
        let left = dim - indices.len();
        let (own, rest) = self.rest[dim..].split_at(dim);
        let loadings = &rest[..loadings_len(dim, rank)];
        let loading = |row: usize, column: usize| loading_at(loadings, rank, row, column).to_f64();
        if let Some(index) = indices.iter().find(|index| own[**index].to_f64() == 0.0) {
            return Err(GaussianError::Constant { index: *index });
        }
        let (factor, scratch) = scratch.split_at_mut(packed_len(rank));
        let (v, scratch) = scratch.split_at_mut(rank);
        start_capacitance(factor, rank);
        for &index in indices {
            add_capacitance(factor, rank, |column| loading(index, column), own[index].to_f64());
        }
        let known = indices.iter().enumerate();
        let known = known.map(|(position, &index)| (index, own[index].to_f64(), away(position)));
        let distance2 = project(known, loading, v);
        cholesky::factor(level, factor, rank).map_err(not_definite)?;
        // L u = v, then u of the mean: L' m = u. New loadings w' solve L w' = w.
        let distance2 = unexplained(distance2, factor, v);
        let pivots = (0..rank).map(|row| packed_row(factor, row)[row]);
        let owns = indices.iter().map(|index| own[*index].to_f64());
        let log_density = log_density(indices.len(), distance2, pivots.chain(owns));

        let (means, rest) = storage.split_at_mut(left);
        let (deviations, rest) = rest.split_at_mut(left);
        let (own_left, rest) = rest.split_at_mut(left);
        let (packed, capacitance) = rest.split_at_mut(loadings_len(left, rank));
        packed.fill(T::ZERO);
        let (w, new_capacitance) = scratch.split_at_mut(rank);
        let new_capacitance = &mut new_capacitance[..packed_len(rank)];
        start_capacitance(new_capacitance, rank);
        let others = (0..dim).filter(|index| !indices.contains(index));
        for (row, index) in others.enumerate() {
            for (column, w) in w.iter_mut().enumerate() {
                *w = loading(index, column);
            }
            solve(factor, w);
            let shift: f64 = w.iter().zip(&*v).map(|(w, y)| w * y).sum();
            let mean = T::from_f64(self.mean[index].to_f64() + shift);
            if !mean.to_f64().is_finite() {
                return Err(GaussianError::MeanNotFinite { index });
            }
            means[row] = mean;
            own_left[row] = own[index];
            let own = own[index].to_f64();
            deviations[row] = deviation(w.iter().fold(own * own, |sum, w| sum + w * w));
            for (column, x) in w.iter().enumerate() {
                draw::set_loading(packed, rank, row, column, T::from_f64(*x));
            }
            add_capacitance(new_capacitance, rank, |column| w[column], own);
        }
        write_capacitance(level, own_left, rank, new_capacitance, capacitance);
        Ok(log_density)
    }

    fn mixture_given(
        &self,
        level: Level,
        (components, of): (usize, Component),
        indices: &[usize],
        values: &[f64],
        storage: &mut [T],
        scratch: &mut [f64],
    ) -> Result<(), GaussianError> {
        let left = self.dim() - indices.len();
        let (shares, scratch) = scratch.split_at_mut(components);
        let (head, parts) = storage.split_at_mut(2 * left + 2 * components);
        let len = Form::from(of).len(left);
        let weighted = self.weights().iter().zip(self.components());
        for ((share, to), (weight, component)) in
            shares.iter_mut().zip(parts.chunks_exact_mut(len)).zip(weighted)
        {
            let log_density = component.single_given(level, indices, values, to, scratch)?;
            *share = libm::log(weight.to_f64()) + log_density;
        }
        let largest = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !largest.is_finite() {
            // Some known dimension is a constant of every component that has a weight.
            return Err(GaussianError::Constant { index: indices.first().copied().unwrap_or(0) });
        }
        for share in shares.iter_mut() {
            *share = libm::exp(*share - largest);
        }
        let component =
            |index: usize| Gaussian::of(Form::from(of), left, &parts[index * len..][..len]);
        super::make::mixture_head(shares, component, left, head);
        Ok(())
    }

    /// Of one that is no mixture.
    fn single_marginal(
        &self,
        level: Level,
        indices: &[usize],
        storage: &mut [T],
        scratch: &mut [f64],
    ) -> Result<(), GaussianError> {
        let (dim, kept) = (self.dim(), indices.len());
        let (means, rest) = storage.split_at_mut(kept);
        let (deviations, rest) = rest.split_at_mut(kept);
        for ((mean, std), index) in means.iter_mut().zip(deviations).zip(indices) {
            (*mean, *std) = (self.mean[*index], self.marginal_std(*index));
        }
        match self.form() {
            Form::Full if is_leading(indices) => {
                rest.copy_from_slice(&self.rest[dim..][..rest.len()]);
                // The rows of the last panel that are not kept.
                if !kept.is_multiple_of(ROWS) {
                    let last = &mut rest[panel_start(kept / ROWS)..];
                    for column in last.as_chunks_mut::<ROWS>().0 {
                        column[kept % ROWS..].fill(T::ZERO);
                    }
                }
            }
            Form::Full => {
                let order = indices.iter().copied();
                let triangle = self.reordered(level, order, kept, scratch)?;
                draw::pack((0..kept).map(|row| packed_row(triangle, row)), rest);
            }
            Form::LowRank { rank } => {
                let (own, loadings) = self.rest[dim..].split_at(dim);
                let (own_kept, rest) = rest.split_at_mut(kept);
                let (packed, capacitance) = rest.split_at_mut(loadings_len(kept, rank));
                packed.fill(T::ZERO);
                let factor = &mut scratch[..packed_len(rank)];
                start_capacitance(factor, rank);
                for (row, &index) in indices.iter().enumerate() {
                    own_kept[row] = own[index];
                    let loading = |column| loading_at(loadings, rank, index, column);
                    for column in 0..rank {
                        draw::set_loading(packed, rank, row, column, loading(column));
                    }
                    let of_column = |column| loading(column).to_f64();
                    add_capacitance(factor, rank, of_column, own[index].to_f64());
                }
                write_capacitance(level, own_kept, rank, factor, capacitance);
            }
            Form::Diagonal | Form::Mixture { .. } => {}
        }
        Ok(())
    }

    /// The lower triangle of the factor of these rows of the covariance, `kept` of them, from the
    /// full form.
    fn reordered<'s>(
        &self,
        level: Level,
        rows: impl Iterator<Item = usize>,
        kept: usize,
        scratch: &'s mut [f64],
    ) -> Result<&'s [f64], GaussianError> {
        let dim = self.dim();
        let factor = &self.rest[dim..];
        let (triangle, scratch) = scratch.split_at_mut(packed_len(dim));
        // Rows of the factor lie together in the room of what comes next.
        for (index, to) in rows.zip(scratch.chunks_exact_mut(dim)) {
            to.fill(0.0);
            for (column, to) in to[..=index].iter_mut().enumerate() {
                *to = factor_at(factor, index, column).to_f64();
            }
        }
        for row in 0..kept {
            for column in 0..=row {
                let (a, b) = (&scratch[row * dim..][..dim], &scratch[column * dim..][..dim]);
                triangle[packed_len(row) + column] = dot(a, b);
            }
        }
        factor_semidefinite(level, triangle, kept, scratch).map_err(not_definite)?;
        Ok(triangle)
    }
}

/// Elements of scratch for one that is no mixture.
fn given_scratch_len(form: Form, dim: usize) -> usize {
    match form {
        Form::Full => {
            // The last is room for `dim` rows of as many elements, too.
            dim + factor_len(dim) + packed_len(dim) + semidefinite_scratch_len(dim)
        }
        Form::LowRank { rank } => 2 * packed_len(rank) + 2 * rank,
        Form::Diagonal | Form::Mixture { .. } => 0,
    }
}

/// Whether these are the first ones, in order.
fn is_leading(indices: &[usize]) -> bool {
    indices.iter().copied().eq(0..indices.len())
}

/// The product of two rows, summed in four lanes, these in one order.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (a, b) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (a, b) in a.0.iter().zip(b.0) {
        for ((sum, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    for ((sum, a), b) in lanes.iter_mut().zip(a.1).zip(b.1) {
        *sum += a * b;
    }
    let [a, b, c, d] = lanes;
    (a + b) + (c + d)
}

/// Conditions on the first `known` rows of `factor`, from whose means they are `x` away, and
/// writes the means of the others, their deviations and the trailing block of the factor. Returns
/// the log density of `x`.
fn trailing<T: Real, U: Real>(
    level: Level,
    factor: &[U],
    known: usize,
    x: &mut [f64],
    others: impl Iterator<Item = (usize, f64)>,
    storage: &mut [T],
) -> Result<f64, GaussianError> {
    let left = x.len() - known;
    substitute(level, factor, known, x);
    let (means, rest) = storage.split_at_mut(left);
    let (deviations, packed) = rest.split_at_mut(left);
    packed.fill(T::ZERO);
    for (row, (index, mean)) in others.enumerate() {
        let moved = T::from_f64(mean + x[known + row]);
        if !moved.to_f64().is_finite() {
            return Err(GaussianError::MeanNotFinite { index });
        }
        means[row] = moved;
        let mut variance = 0.0;
        for column in 0..=row {
            let l = factor_at(factor, known + row, known + column).to_f64();
            variance += l * l;
            draw::set_factor(packed, row, column, T::from_f64(l));
        }
        deviations[row] = deviation(variance);
    }
    let distance2 = x[..known].iter().map(|y| y * y).sum();
    let pivot = |row| factor_at(factor, row, row).to_f64();
    Ok(log_density(known, distance2, (0..known).map(pivot)))
}

/// The log density at a squared distance, given the pivots; minus infinity where one is zero.
fn log_density(dim: usize, distance2: f64, pivots: impl Iterator<Item = f64>) -> f64 {
    Measure::new(distance2, pivots).map_or(f64::NEG_INFINITY, |measure| measure.log_density(dim))
}

fn not_definite(BadPivot { pivot, value }: BadPivot) -> GaussianError {
    GaussianError::NotPositiveDefinite { pivot, value }
}
