//! Draws: ours beside MKL and NumPy, which a script runs (`benches/peers/sampling.py`).
//!
//! No file is a reference here. What is compared before the clock starts are the moments of the
//! draws with those asked for.

use std::error::Error;

use nowcast::kernels::Level;
use nowcast::sampling::{OwnedGaussian, PathAddress, Real, standard_normals};

use crate::cases::Case;
use crate::engines::Call;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The group of these cases.
pub(crate) const GROUP: &str = "sampling";

/// Paths of a call.
const PATHS: usize = 1000;

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub(crate) kind: Kind,
    pub(crate) dim: usize,
    pub(crate) element: Element,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Gaussians with a full covariance.
    Full,
    /// Independent standard normals.
    Standard,
}

/// In which type ours draws. MKL draws `f64` in every case; NumPy whichever is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F64,
}

const DRAWS: &[Draw] = &[
    Draw { kind: Kind::Full, dim: 20, element: Element::F32 },
    Draw { kind: Kind::Full, dim: 96, element: Element::F32 },
    Draw { kind: Kind::Full, dim: 256, element: Element::F32 },
    Draw { kind: Kind::Full, dim: 20, element: Element::F64 },
    Draw { kind: Kind::Full, dim: 96, element: Element::F64 },
    Draw { kind: Kind::Full, dim: 256, element: Element::F64 },
    Draw { kind: Kind::Standard, dim: 20, element: Element::F32 },
];

/// The cases of this group.
pub(crate) fn cases() -> impl Iterator<Item = Case> {
    DRAWS.iter().map(|draw| {
        let (name, title) = match draw.kind {
            Kind::Full => ("gaussian_full", "Gaussians"),
            Kind::Standard => ("standard_normals", "standard normals"),
        };
        let (dim, element) = (draw.dim, draw.element.name());
        Case {
            group: GROUP.to_owned(),
            case: format!("{name}_{PATHS}x{dim}_{element}"),
            title: format!("{title}, {PATHS} x {dim}, {element}"),
            file: Default::default(),
            precision: element.to_owned(),
            to_reach: None,
            inputs: Vec::new(),
            draw: Some(*draw),
        }
    })
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Standard => "standard",
        }
    }
}

impl Element {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

impl Draw {
    /// What the script is told: kind, paths, dimensions, type.
    pub(crate) fn arguments(self) -> [String; 4] {
        let (kind, element) = (self.kind.name(), self.element.name());
        [kind.to_owned(), PATHS.to_string(), self.dim.to_string(), element.to_owned()]
    }

    /// Correlations that fall with the distance, and different variances: as the script has them.
    fn covariance(self, row: usize, col: usize) -> f64 {
        let scale = |index: usize| 1.0 + 0.1 * index as f64;
        match self.kind {
            Kind::Full => 0.8f64.powi(row.abs_diff(col) as i32) * scale(row) * scale(col),
            Kind::Standard => f64::from(u8::from(row == col)),
        }
    }

    fn mean(self) -> f64 {
        if self.kind == Kind::Full { 1.0 } else { 0.0 }
    }

    /// The largest error of a mean or covariance of these draws, in standard errors.
    pub(crate) fn standard_errors(self, answer: &[f32]) -> f32 {
        let dim = self.dim;
        if answer.len() != PATHS * dim || answer.iter().any(|x| !x.is_finite()) {
            return f32::INFINITY;
        }
        let (mut sums, mut products) = (vec![0.0; dim], vec![0.0; dim * dim]);
        for path in answer.chunks_exact(dim) {
            for row in 0..dim {
                let x = f64::from(path[row]) - self.mean();
                sums[row] += x;
                for col in 0..=row {
                    products[row * dim + col] += x * (f64::from(path[col]) - self.mean());
                }
            }
        }
        let paths = PATHS as f64;
        let mut most = 0.0f64;
        for row in 0..dim {
            let variance = self.covariance(row, row);
            most = most.max((sums[row] / (paths * variance).sqrt()).abs());
            for col in 0..=row {
                let expected = self.covariance(row, col);
                let spread = variance * self.covariance(col, col) + expected * expected;
                let error = products[row * dim + col] / paths - expected;
                most = most.max((error / (spread / paths).sqrt()).abs());
            }
        }
        most as f32
    }

    /// Passes ours to `body`, ready to run.
    pub(crate) fn with_ours(
        self,
        level: Level,
        body: &mut dyn FnMut(&mut dyn Call) -> Outcome<()>,
    ) -> Outcome<()> {
        match self.element {
            Element::F32 => body(&mut Ours::<f32>::new(self, level)?),
            Element::F64 => body(&mut Ours::<f64>::new(self, level)?),
        }
    }

    /// Makes ours once, with its factor.
    pub(crate) fn load(self, level: Level) -> Outcome<()> {
        self.with_ours(level, &mut |_| Ok(()))
    }
}

struct Ours<T> {
    gaussian: Option<OwnedGaussian<T>>,
    level: Level,
    dim: usize,
    /// Of the next call: each draws other paths, as a program would.
    stream: u64,
    out: Vec<T>,
}

impl<T: Real> Ours<T> {
    fn new(draw: Draw, level: Level) -> Outcome<Self> {
        let dim = draw.dim;
        let gaussian = match draw.kind {
            Kind::Full => {
                let entries = (0..dim * dim).map(|n| draw.covariance(n / dim, n % dim));
                let covariance: Vec<f64> = entries.collect();
                Some(OwnedGaussian::full(&vec![draw.mean(); dim], &covariance)?)
            }
            Kind::Standard => None,
        };
        let out = vec![T::from_f64(0.0); PATHS * dim];
        Ok(Self { gaussian, level, dim, stream: 0, out })
    }
}

impl<T: Real> Call for Ours<T> {
    fn run(&mut self) -> Outcome<()> {
        let first = PathAddress { seed: 42, stream: self.stream, path: 0 };
        self.stream += 1;
        match &self.gaussian {
            Some(owned) => owned.gaussian().draw(self.level, first, &mut self.out)?,
            None => standard_normals(self.level, first, self.dim, &mut self.out)?,
        }
        Ok(())
    }

    fn answer(&mut self) -> Outcome<Vec<f32>> {
        self.run()?;
        Ok(self.out.iter().map(|x| x.to_f64() as f32).collect())
    }
}
