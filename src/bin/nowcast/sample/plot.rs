//! A draw as an SVG plot: what was drawn in blue, what was asked for in lines over it.

mod fan;
mod histogram;
mod points;

use super::SampleArgs;
use super::asked::Asked;
use super::rows::Number;
use crate::picture;

/// Twice the size in which it is looked at, since coordinates are whole numbers.
const SIZE: (u32, u32) = (1800, 960);
/// Top, right and bottom of the plotting area.
const FRAME: (i32, i32, i32) = (190, 1750, 870);
/// Middle of the legend, below the titles.
const LEGEND: i32 = 148;
/// More would be a file that nobody opens.
pub(super) const MOST_DIMENSIONS: usize = 4096;
/// Elements of the paths that a plot is made of, at most; but a hundred paths in any case.
const MOST_ELEMENTS: usize = 1 << 22;
const LEAST_PATHS: usize = 100;

/// The first paths of a draw.
pub(super) struct Shown {
    dim: usize,
    /// `[paths, dim]`.
    paths: Vec<f64>,
    /// Whether there were more.
    cut: bool,
}

impl Shown {
    pub(super) fn new(dim: usize) -> Self {
        Self { dim, paths: Vec::new(), cut: false }
    }

    pub(super) fn add<T: Number>(&mut self, paths: &[T]) {
        let most = (MOST_ELEMENTS / self.dim).max(LEAST_PATHS) * self.dim;
        let room = (most - self.paths.len()).min(paths.len());
        self.cut |= room < paths.len();
        self.paths.extend(paths[..room].iter().map(|x| x.to_f64()));
    }

    fn len(&self) -> usize {
        self.paths.len() / self.dim
    }

    fn each(&self) -> impl Iterator<Item = &[f64]> {
        self.paths.chunks_exact(self.dim)
    }

    /// What was drawn of dimension `index`, sorted.
    fn sorted(&self, index: usize) -> Vec<f64> {
        let mut values: Vec<f64> = self.each().map(|path| path[index]).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }
}

/// What is shown.
pub(super) struct Picture<'a> {
    pub(super) asked: &'a Asked,
    pub(super) shown: &'a Shown,
    /// The dimensions that were drawn.
    pub(super) indices: &'a [usize],
    /// The others and their values.
    pub(super) given: &'a [(usize, f64)],
    pub(super) args: &'a SampleArgs,
}

impl Picture<'_> {
    /// Title and subtitle.
    fn titles(&self, area: &picture::Area<'_>, left: i32) -> picture::Drawn {
        let dims = match self.indices {
            [one] => format!("x{one}"),
            [one, other] => format!("x{one} and x{other}"),
            all => format!("{} dimensions", all.len()),
        };
        let SampleArgs { paths, scheme, seed, stream, .. } = self.args;
        let first = match self.shown.cut {
            true => format!("the first {} of {paths}", self.shown.len()),
            false => paths.to_string(),
        };
        let mut line = format!("{first} {} paths, seed {seed}, stream {stream}", scheme.name());
        if let [(index, value), more @ ..] = self.given {
            line += &format!(", given x{index} = {value}");
            if !more.is_empty() {
                line += &format!(" and {} more", more.len());
            }
        }
        picture::titles(area, left, &format!("Sample of {dims}"), &line)
    }
}

/// Draws it: a histogram, points, or a fan, by the dimensions.
pub(super) fn svg(picture: &Picture<'_>) -> Result<String, String> {
    match picture.indices.len() {
        1 => histogram::svg(picture),
        2 => points::svg(picture),
        _ => fan::svg(picture),
    }
}

/// Quantile `p` of sorted values, between two of them where it falls there.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}
