//! What `nowcast sample` says of a draw.

use std::time::Duration;

use serde::Serialize;

use super::SampleArgs;
use super::check::{Compared, Comparison, Difference, Verdict};
use crate::failure::Failure;
use crate::output;

/// Everything that is told.
#[derive(Serialize)]
pub(super) struct Report {
    paths: u64,
    dim: usize,
    family: &'static str,
    precision: &'static str,
    scheme: &'static str,
    seed: u64,
    stream: u64,
    /// Dimensions whose values are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    given: Vec<Known>,
    /// The dimensions that were drawn.
    indices: Vec<usize>,
    draw_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plot: Option<String>,
    mean: Vec<f64>,
    std: Vec<f64>,
    asked_mean: Vec<f64>,
    asked_std: Vec<f64>,
    #[serde(rename = "largest_difference_of_mean")]
    of_mean: Difference,
    #[serde(rename = "largest_difference_of_std")]
    of_std: Difference,
    #[serde(rename = "largest_difference_of_correlation")]
    of_correlation: Difference,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
    #[serde(skip)]
    table: String,
}

#[derive(Serialize)]
struct Known {
    index: usize,
    value: f64,
}

/// What `--check` adds.
#[derive(Serialize)]
struct Check {
    #[serde(flatten)]
    verdict: Verdict,
    mean: Vec<Compared>,
    std: Vec<Compared>,
    correlation: Vec<Pair>,
}

#[derive(Serialize)]
struct Pair {
    /// The two dimensions.
    of: [usize; 2],
    #[serde(flatten)]
    compared: Compared,
}

/// What was drawn.
pub(super) struct Draw {
    pub(super) family: &'static str,
    pub(super) precision: &'static str,
    pub(super) given: Vec<(usize, f64)>,
    /// The dimensions that were drawn.
    pub(super) indices: Vec<usize>,
    pub(super) took: Duration,
    pub(super) comparison: Comparison,
}

impl Report {
    pub(super) fn new(args: &SampleArgs, draw: Draw) -> Self {
        let Draw { family, precision, given, indices, took, comparison } = draw;
        let names = super::names(&indices);
        let [of_mean, of_std, of_correlation] = comparison.largest();
        let table = if args.check && !args.json { comparison.table(&names) } else { String::new() };
        let path =
            |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string());
        let part = |all: &[Compared], of: fn(&Compared) -> f64| all.iter().map(of).collect();
        Self {
            paths: args.paths,
            dim: indices.len(),
            family,
            precision,
            scheme: args.scheme.name(),
            seed: args.seed,
            stream: args.stream,
            given: given.into_iter().map(|(index, value)| Known { index, value }).collect(),
            draw_ns: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            out: path(&args.out),
            plot: path(&args.plot),
            mean: part(&comparison.means, |c| c.drawn),
            std: part(&comparison.stds, |c| c.drawn),
            asked_mean: part(&comparison.means, |c| c.asked),
            asked_std: part(&comparison.stds, |c| c.asked),
            of_mean,
            of_std,
            of_correlation,
            check: args.check.then(|| Check::new(comparison, &indices)),
            indices,
            table,
        }
    }

    /// Prints it, and fails where a check says no.
    pub(super) fn finish(&self, args: &SampleArgs) -> Result<(), Failure> {
        match args.json {
            true => output::print_json(self)?,
            false => output::print(&self.text())?,
        }
        match &self.check {
            Some(Check { verdict, .. }) if !verdict.passed => {
                Err(Failure::Different(format!("the check fails: {}", verdict.sentence())))
            }
            _ => Ok(()),
        }
    }

    fn text(&self) -> String {
        let Self { paths, dim, family, precision, scheme, seed, stream, .. } = self;
        let dimensions = if *dim == 1 { "dimension" } else { "dimensions" };
        let mut text = format!(
            "{paths} {scheme} paths of {dim} {dimensions} in {precision}, {family}, seed {seed}, \
             stream {stream}: drawn in {:.1} µs\n",
            self.draw_ns as f64 / 1000.0
        );
        if !self.given.is_empty() {
            let known = self.given.iter().map(|k| format!("x{} = {}", k.index, k.value));
            let drawn = match self.indices.len() {
                0..=8 => super::names(&self.indices).join(", "),
                more => format!("the other {more}"),
            };
            text += &format!("given {}; drawn: {drawn}\n", known.collect::<Vec<_>>().join(", "));
        }
        text += "\n";
        if let Some(Check { verdict, .. }) = &self.check {
            text += &self.table;
            if verdict.passed {
                text += &format!("\nCheck {}\n", verdict.sentence());
            }
        } else {
            text +=
                &format!("{:<20}{:>20}{:>20}\n", "", "largest difference", "in standard errors");
            for (name, Difference { difference, standard_errors }) in [
                ("mean", self.of_mean),
                ("standard deviation", self.of_std),
                ("correlation", self.of_correlation),
            ] {
                if name == "correlation" && *dim == 1 {
                    continue;
                }
                text += &format!("{name:<20}{difference:>20.5}{standard_errors:>20.2}\n");
            }
        }
        for (what, path) in [("Paths", &self.out), ("Plot", &self.plot)] {
            if let Some(path) = path {
                text += &format!("\n{what}: {path}\n");
            }
        }
        text
    }
}

impl Check {
    fn new(comparison: Comparison, indices: &[usize]) -> Self {
        let verdict = comparison.verdict();
        let pairs = (0..indices.len()).flat_map(|i| (0..i).map(move |j| [indices[i], indices[j]]));
        let correlations = pairs.zip(comparison.correlations);
        let correlation = correlations.filter_map(|(of, c)| Some(Pair { of, compared: c? }));
        Self {
            verdict,
            correlation: correlation.collect(),
            mean: comparison.means,
            std: comparison.stds,
        }
    }
}
