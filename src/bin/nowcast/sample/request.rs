//! The distribution that was asked for.
//!
//! Owns the files, their shapes, and what a mistake in them is called.

mod files;

use std::path::{Path, PathBuf};

use nowcast::sampling::{GaussianError, OnSingular, OwnedGaussian};

use super::asked::{Asked, Component, Covariance};
use super::check::MOST_CORRELATED;
use super::rows::Number;
use crate::arrays::Array;
use crate::failure::Failure;
use files::Files;

/// Which distribution.
#[derive(clap::Args)]
pub(super) struct RequestArgs {
    /// Means, NPY or CSV; `-` reads standard input; of a mixture [components, dim] [default: zeros]
    #[arg(long, value_name = "FILE")]
    mean: Option<PathBuf>,
    /// Covariance, NPY or CSV: a square matrix, or a row of variances; of a mixture [components,
    /// dim, dim] or [components, dim]
    #[arg(long, value_name = "FILE")]
    covariance: PathBuf,
    /// Loadings of common factors [dim, rank], NPY or CSV: the covariance is their product with
    /// their transpose and, on its diagonal, the variances of --covariance
    #[arg(long, value_name = "FILE")]
    loadings: Option<PathBuf>,
    /// Weights of the components of a mixture, NPY or CSV
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Form of the covariance [default: by the files and their shapes]
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// What is done with a covariance that is not positive definite: refuse, semidefinite (a
    /// singular one is accepted), or a number, which is added to every variance [default: refuse]
    #[arg(long, value_name = "refuse|semidefinite|JITTER", value_parser = on_singular)]
    on_singular: Option<OnSingular>,
    /// Condition on this value of a dimension: what is drawn, written and shown are the other
    /// dimensions, which keep their numbers; may be given more than once, or as a list
    #[arg(long, value_name = "INDEX=VALUE", value_parser = known, value_delimiter = ',')]
    given: Vec<(usize, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Family {
    /// A covariance matrix
    Full,
    /// Independent dimensions
    Diagonal,
    /// Common factors and independent parts
    LowRank,
    /// Several distributions, each with a weight
    Mixture,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Diagonal => "diagonal",
            Self::LowRank => "low-rank",
            Self::Mixture => "mixture",
        }
    }
}

fn on_singular(text: &str) -> Result<OnSingular, String> {
    match text {
        "refuse" => Ok(OnSingular::Refuse),
        "semidefinite" => Ok(OnSingular::SemiDefinite),
        number => match number.parse::<f64>().ok().filter(|x| *x >= 0.0 && x.is_finite()) {
            Some(jitter) => Ok(OnSingular::Jitter(jitter)),
            None => Err("expected refuse, semidefinite, or a variance to add".to_owned()),
        },
    }
}

fn known(text: &str) -> Result<(usize, f64), String> {
    let parts = text.split_once('=');
    let known = parts.and_then(|(index, value)| {
        let value = value.trim().parse::<f64>().ok().filter(|x| x.is_finite())?;
        Some((index.trim().trim_start_matches('x').parse().ok()?, value))
    });
    known.ok_or_else(|| "expected the number of a dimension and its value, as 3=0.5".to_owned())
}

/// One component, as its files have it.
struct Part {
    mean: Vec<f64>,
    /// A matrix, or variances.
    covariance: Vec<f64>,
    form: Form,
}

enum Form {
    Full,
    Diagonal,
    LowRank(Vec<f64>),
}

/// A distribution whose files have shapes that fit.
pub(super) struct Request {
    pub(super) family: Family,
    on_singular: OnSingular,
    /// What errors call the covariance.
    name: String,
    weights: Vec<f64>,
    parts: Vec<Part>,
    /// Dimensions whose values are known.
    pub(super) given: Vec<(usize, f64)>,
}

impl Request {
    pub(super) fn read(args: &RequestArgs) -> Result<Self, Failure> {
        let files = [Some(&args.covariance), args.mean.as_ref(), args.loadings.as_ref()];
        let files = files.into_iter().chain([args.weights.as_ref()]).flatten();
        if files.filter(|path| path.as_os_str() == "-").count() > 1 {
            let sentence = "standard input is one array: name files for the others";
            return Err(Failure::User(sentence.to_owned()));
        }
        let read = |path: &Option<PathBuf>| path.as_deref().map(Array::read).transpose();
        let covariance = Array::read(&args.covariance)?;
        let (mean, loadings) = (read(&args.mean)?, read(&args.loadings)?);
        let weights = read(&args.weights)?;
        let files = Files {
            args,
            name: shown(&args.covariance),
            is_mixture: weights.is_some(),
            components: weights.as_ref().map_or(1, |weights| weights.elements.len()),
        };
        let (dim, is_full) = files.dim(&covariance)?;
        let family = files.family(is_full, loadings.is_some())?;
        files.agree(family, is_full, &covariance)?;
        let means = files.means(mean, dim)?;
        let mut loadings = files.loadings(loadings, dim)?.into_iter();

        let size = if is_full { dim * dim } else { dim };
        let covariances = covariance.elements.chunks_exact(size);
        let part = |(mean, covariance): (&[f64], &[f64])| Part {
            mean: mean.to_vec(),
            covariance: covariance.to_vec(),
            form: match loadings.next() {
                Some(loadings) => Form::LowRank(loadings),
                None if is_full => Form::Full,
                None => Form::Diagonal,
            },
        };
        let parts = means.chunks_exact(dim).zip(covariances).map(part).collect();
        if args.on_singular.is_some() && !is_full {
            return Err(Failure::User(format!(
                "{}: --on-singular is for a covariance matrix, and variances may be zero: leave it \
                 out",
                files.name
            )));
        }
        check_given(&args.given, dim)?;
        Ok(Self {
            given: args.given.clone(),
            family,
            on_singular: args.on_singular.unwrap_or_default(),
            name: files.name,
            weights: weights.map_or(vec![1.0], |weights| weights.elements),
            parts,
        })
    }

    /// The dimensions that are drawn.
    pub(super) fn indices(&self) -> Vec<usize> {
        let dim = self.parts.first().map_or(0, |part| part.mean.len());
        (0..dim).filter(|index| self.given.iter().all(|(known, _)| known != index)).collect()
    }

    /// Random numbers that a path takes.
    pub(super) fn words(&self) -> usize {
        let rank = self.parts.first().map_or(0, |part| match &part.form {
            Form::LowRank(loadings) => loadings.len() / part.mean.len(),
            _ => 0,
        });
        let choice = usize::from(self.family == Family::Mixture);
        choice + rank + self.indices().len()
    }

    /// Factored, ready to draw from.
    pub(super) fn gaussian<T: Number>(&self) -> Result<OwnedGaussian<T>, Failure> {
        let whole = self.whole()?;
        if self.given.is_empty() {
            return Ok(whole);
        }
        let (indices, values): (Vec<usize>, Vec<f64>) = self.given.iter().copied().unzip();
        whole.given(&indices, &values).map_err(|error| {
            Failure::User(match error {
                GaussianError::Constant { index } => format!(
                    "--given {index}: x{index} of {} has no variance of its own, so that its value \
                     has no density: give another dimension",
                    self.name
                ),
                error => format!("--given, of {}: {error}", self.name),
            })
        })
    }

    /// Before anything is known.
    fn whole<T: Number>(&self) -> Result<OwnedGaussian<T>, Failure> {
        let is_mixture = self.family == Family::Mixture;
        let component = |(i, part): (usize, &Part)| {
            let Part { mean, covariance, form } = part;
            let made = match form {
                Form::Full => OwnedGaussian::full_or(self.on_singular, mean, covariance),
                Form::Diagonal => OwnedGaussian::diagonal(mean, covariance),
                Form::LowRank(loadings) => OwnedGaussian::low_rank(mean, loadings, covariance),
            };
            made.map_err(|error| {
                let of = if is_mixture { format!(", component {i}") } else { String::new() };
                Failure::User(format!("{}{of}: {error}{}", self.name, self.advice(&error)))
            })
        };
        let components = self.parts.iter().enumerate().map(component);
        let mut components = components.collect::<Result<Vec<_>, _>>()?;
        if !is_mixture && components.len() == 1 {
            return Ok(components.remove(0));
        }
        let components: Vec<_> = components.iter().map(OwnedGaussian::gaussian).collect();
        OwnedGaussian::mixture(&self.weights, &components)
            .map_err(|error| Failure::User(format!("the mixture: {error}")))
    }

    /// What to do about an error.
    fn advice(&self, error: &GaussianError) -> &'static str {
        match error {
            GaussianError::NotPositiveDefinite { .. } => match self.on_singular {
                OnSingular::Refuse => {
                    "; if it should be singular: --on-singular semidefinite, or a small variance \
                     to add, as --on-singular 1e-6"
                }
                OnSingular::Jitter(_) => ": add a larger variance with --on-singular",
                _ => ": it is indefinite",
            },
            GaussianError::NotSymmetric { .. } => ": average it with its transpose",
            _ => "",
        }
    }

    /// The same distribution in plain numbers.
    pub(super) fn asked(&self) -> Asked {
        let (on_singular, dense) = (self.on_singular, !self.given.is_empty());
        let parts = self.weights.iter().zip(&self.parts);
        let components = parts.map(|(weight, part)| part.component(*weight, on_singular, dense));
        let asked = Asked::new(components.collect());
        if self.given.is_empty() { asked } else { asked.given(&self.given) }
    }
}

impl Part {
    /// `dense` asks for all covariances, however many.
    fn component(&self, weight: f64, on_singular: OnSingular, dense: bool) -> Component {
        let (dim, mean) = (self.mean.len(), self.mean.clone());
        let covariance = match &self.form {
            Form::Diagonal => Covariance::Diagonal(self.covariance.clone()),
            Form::Full => {
                let jitter = match on_singular {
                    OnSingular::Jitter(jitter) => jitter,
                    _ => 0.0,
                };
                // The lower triangle is the one that counts.
                let of = |i: usize, j: usize| self.covariance[i.max(j) * dim + i.min(j)];
                let added = |i: usize, j: usize| if i == j { jitter } else { 0.0 };
                let all = (0..dim * dim).map(|at| (at / dim, at % dim));
                Covariance::Dense(all.map(|(i, j)| of(i, j) + added(i, j)).collect())
            }
            Form::LowRank(loadings) => {
                let rank = loadings.len() / dim;
                let row = |i: usize| &loadings[i * rank..][..rank];
                let product =
                    |i: usize, j: usize| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum::<f64>();
                if dim > MOST_CORRELATED && !dense {
                    let variance = |i: usize| product(i, i) + self.covariance[i];
                    Covariance::Diagonal((0..dim).map(variance).collect())
                } else {
                    let mut all: Vec<f64> =
                        (0..dim * dim).map(|at| product(at / dim, at % dim)).collect();
                    for (to, own) in all.iter_mut().step_by(dim + 1).zip(&self.covariance) {
                        *to += own;
                    }
                    Covariance::Dense(all)
                }
            }
        };
        Component { weight, mean, covariance }
    }
}

fn check_given(given: &[(usize, f64)], dim: usize) -> Result<(), Failure> {
    for (at, (index, _)) in given.iter().enumerate() {
        if *index >= dim {
            return Err(Failure::User(format!(
                "--given {index}: there is no such dimension, they are 0 to {}",
                dim - 1
            )));
        }
        if given[..at].iter().any(|(before, _)| before == index) {
            return Err(Failure::User(format!("--given {index}: it is given twice")));
        }
    }
    if given.len() == dim {
        let sentence = "--given: all dimensions are known: leave one to draw";
        return Err(Failure::User(sentence.to_owned()));
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() }
}
