//! Whether the files of a request have shapes that fit each other.

use super::{Family, RequestArgs, shown};
use crate::arrays::Array;
use crate::failure::Failure;

/// The files, while their shapes are looked at.
pub(super) struct Files<'a> {
    pub(super) args: &'a RequestArgs,
    pub(super) name: String,
    pub(super) is_mixture: bool,
    pub(super) components: usize,
}

impl Files<'_> {
    /// The family that was named, if it fits the files that were; otherwise that of the files.
    pub(super) fn family(&self, is_full: bool, with_loadings: bool) -> Result<Family, Failure> {
        let wrong = |sentence: &str| Err(Failure::User(sentence.to_owned()));
        let of_files = match (self.is_mixture, with_loadings, is_full) {
            (true, ..) => Family::Mixture,
            (false, true, _) => Family::LowRank,
            (false, false, true) => Family::Full,
            (false, false, false) => Family::Diagonal,
        };
        match self.args.family {
            Some(Family::Mixture) if !self.is_mixture => {
                wrong("--family mixture needs the weights of its components: give --weights FILE")
            }
            Some(Family::LowRank) if !with_loadings => {
                wrong("--family low-rank needs the loadings of its factors: give --loadings FILE")
            }
            Some(Family::LowRank | Family::Full | Family::Diagonal) if self.is_mixture => {
                wrong("--weights are for a mixture: leave them out, or --family")
            }
            Some(Family::Full | Family::Diagonal) if with_loadings => {
                wrong("--loadings are for --family low-rank: leave them out, or --family")
            }
            Some(family) => Ok(family),
            None => Ok(of_files),
        }
    }

    /// The dimensions, and whether there are covariances between them.
    pub(super) fn dim(&self, covariance: &Array) -> Result<(usize, bool), Failure> {
        let (shape, k) = (&covariance.shape, self.components);
        let wrong = |expected: &str| {
            Failure::User(format!("{}: the shape is {shape:?}, expected {expected}", self.name))
        };
        let found = match (self.is_mixture, &shape[..]) {
            // A single number is both; it is a matrix where one was asked for.
            (false, [1] | [1, 1]) => Some((1, self.args.family == Some(Family::Full))),
            (false, [dim] | [1, dim] | [dim, 1]) => Some((*dim, false)),
            (false, [rows, cols]) if rows == cols => Some((*rows, true)),
            (true, [of, rows, cols]) if *of == k && rows == cols => Some((*rows, true)),
            (true, [of, dim]) if *of == k => Some((*dim, false)),
            (true, [rows, cols]) if k == 1 && rows == cols => Some((*rows, true)),
            // A row or a column in CSV: of one component, or of one dimension.
            (true, [dim]) if k == 1 => Some((*dim, false)),
            (true, [of]) if *of == k => Some((1, false)),
            _ => None,
        };
        match found {
            Some((0, _)) => Err(wrong("at least one dimension")),
            Some(found) => Ok(found),
            None if self.is_mixture => {
                Err(wrong(&format!("[{k}, dim, dim] or [{k}, dim], since there are {k} weights")))
            }
            None => Err(wrong(
                "a square matrix or a row of variances (of a mixture give --weights too)",
            )),
        }
    }

    pub(super) fn agree(
        &self,
        family: Family,
        is_full: bool,
        covariance: &Array,
    ) -> Result<(), Failure> {
        let shape = &covariance.shape;
        let instead = match family {
            Family::Diagonal if is_full => "a row of variances, or choose --family full",
            Family::LowRank if is_full => "a row of variances beside the loadings",
            Family::Full if !is_full => "a square matrix, or choose --family diagonal",
            Family::Mixture if is_full && self.args.loadings.is_some() => {
                "[components, dim] variances beside the loadings"
            }
            _ => return Ok(()),
        };
        Err(Failure::User(format!("{}: the shape is {shape:?}, give {instead}", self.name)))
    }

    /// Means of all components, one after the other.
    pub(super) fn means(&self, mean: Option<Array>, dim: usize) -> Result<Vec<f64>, Failure> {
        let (count, name) = (self.components * dim, &self.name);
        let (Some(mean), Some(path)) = (mean, &self.args.mean) else { return Ok(vec![0.0; count]) };
        let got = mean.elements.len();
        let is_right = match (self.is_mixture, &mean.shape[..]) {
            (true, [rows, cols]) => (*rows, *cols) == (self.components, dim),
            _ => got == count,
        };
        if is_right {
            return Ok(mean.elements);
        }
        let path = shown(path);
        Err(Failure::User(match self.is_mixture {
            false => {
                format!("{path}: {got} means, but {name} is of {dim} dimensions: give one for each")
            }
            true => format!(
                "{path}: the shape is {:?}, expected [{}, {dim}], as {name} and the weights ask",
                mean.shape, self.components
            ),
        }))
    }

    /// Loadings of each component, or of none.
    pub(super) fn loadings(
        &self,
        loadings: Option<Array>,
        dim: usize,
    ) -> Result<Vec<Vec<f64>>, Failure> {
        let (Some(Array { shape, elements }), Some(path)) = (loadings, &self.args.loadings) else {
            return Ok(Vec::new());
        };
        let k = self.components;
        let rank = match (self.is_mixture, &shape[..]) {
            (true, [of, rows, rank]) if *of == k && *rows == dim => Some(*rank),
            (false, [rows, rank]) if *rows == dim => Some(*rank),
            // A column in CSV, or the row of a single dimension.
            (false, [rows]) if *rows == dim => Some(1),
            (false, [rank]) if dim == 1 => Some(*rank),
            _ => None,
        };
        match rank.filter(|rank| *rank > 0) {
            Some(rank) => Ok(elements.chunks_exact(dim * rank).map(<[f64]>::to_vec).collect()),
            None => {
                let of = if self.is_mixture { format!("{k}, ") } else { String::new() };
                Err(Failure::User(format!(
                    "{}: the shape is {shape:?}, expected [{of}{dim}, rank], as {} has {dim} \
                     dimensions",
                    shown(path),
                    self.name
                )))
            }
        }
    }
}
