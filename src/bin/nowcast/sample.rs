//! `nowcast sample`: a mean and a covariance in, paths out.

mod moments;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nowcast::kernels::Level;
use nowcast::sampling::{OwnedGaussian, PathAddress};

use crate::arrays::{Array, RowsFile};
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use moments::{Moments, Summary};

/// Elements that are drawn before they are written: a quarter of a megabyte.
const BLOCK: usize = 1 << 16;

/// Arguments of `nowcast sample`.
#[derive(clap::Args)]
pub(crate) struct SampleArgs {
    /// Means, NPY or CSV; `-` reads standard input [default: zeros]
    #[arg(long, value_name = "FILE")]
    mean: Option<PathBuf>,
    /// Covariance, NPY or CSV: a matrix, or a row of variances if the dimensions are independent
    #[arg(long, value_name = "FILE")]
    covariance: PathBuf,
    /// Paths to draw
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    paths: u64,
    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Stream: under one seed, another stream is another set of paths
    #[arg(long, default_value_t = 0)]
    stream: u64,
    /// Write the paths, one a row [default: a summary of their moments only]
    #[arg(long, value_name = "FILE.npy|FILE.csv")]
    out: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: SampleArgs) -> Result<(), Failure> {
    let covariance = Array::read(&args.covariance)?;
    let gaussian = gaussian(&args, &covariance)?;
    let dim = gaussian.gaussian().dim();
    let mut out = match &args.out {
        Some(path) => Some((path, RowsFile::create(path, args.paths as usize, dim)?)),
        None => None,
    };

    let mut moments = Moments::new(gaussian.gaussian().mean());
    let mut block = vec![0.0f32; (BLOCK / dim).max(1) * dim];
    let mut progress = Progress::new("drawing", args.paths);
    let (level, mut drawing, mut drawn) = (Level::detect(), Duration::ZERO, 0);
    while drawn < args.paths {
        let paths = (args.paths - drawn).min((block.len() / dim) as u64);
        let elements = &mut block[..paths as usize * dim];
        let first = PathAddress { seed: args.seed, stream: args.stream, path: drawn };
        let started = Instant::now();
        gaussian
            .gaussian()
            .draw(level, first, elements)
            .map_err(|error| Failure::Internal(error.to_string()))?;
        drawing += started.elapsed();
        if let Some((path, file)) = &mut out {
            let written = file.write(elements, dim);
            written.map_err(|error| Failure::writing(path.display(), &error))?;
        }
        elements.chunks_exact(dim).for_each(|path| moments.add(path));
        drawn += paths;
        progress.set(drawn);
    }
    drop(progress);
    let out = match out {
        Some((path, file)) => {
            file.finish(path)?;
            Some(path.as_path())
        }
        None => None,
    };
    report(&args, &moments.summary(gaussian.gaussian(), &covariance), drawing, out)
}

fn gaussian(args: &SampleArgs, covariance: &Array) -> Result<OwnedGaussian, Failure> {
    let name = args.covariance.display();
    let dim = covariance.shape.first().copied().unwrap_or(0);
    let shape = &covariance.shape;
    if !matches!(shape[..], [_]) && !matches!(shape[..], [rows, cols] if rows == cols) {
        return Err(Failure::User(format!(
            "{name}: the shape is {shape:?}, expected a square matrix or a row of variances"
        )));
    }
    let mean = match &args.mean {
        None => vec![0.0; dim],
        Some(path) => {
            let mean = Array::read(path)?;
            if mean.elements.len() != dim {
                return Err(Failure::User(format!(
                    "{}: {} means, but {name} is of {dim} dimensions: give one for each",
                    path.display(),
                    mean.elements.len(),
                )));
            }
            mean.elements
        }
    };
    let gaussian = match shape.len() {
        1 => OwnedGaussian::diagonal(&mean, &covariance.elements),
        _ => OwnedGaussian::full(&mean, &covariance.elements),
    };
    gaussian.map_err(|error| Failure::User(format!("{name}: {error}")))
}

fn report(
    args: &SampleArgs,
    summary: &Summary,
    drawing: Duration,
    out: Option<&Path>,
) -> Result<(), Failure> {
    if args.json {
        let report = Report {
            paths: args.paths,
            dim: summary.mean.len(),
            seed: args.seed,
            stream: args.stream,
            draw_ns: u64::try_from(drawing.as_nanos()).unwrap_or(u64::MAX),
            out: out.map(|path| path.display().to_string()),
            summary,
        };
        return output::print_json(&report);
    }
    let mut text = format!(
        "{} paths of {} steps, seed {}, stream {}: drawn in {:.1} µs\n\n{summary}",
        args.paths,
        summary.mean.len(),
        args.seed,
        args.stream,
        drawing.as_nanos() as f64 / 1000.0
    );
    if let Some(path) = out {
        text += &format!("\nPaths: {}\n", path.display());
    }
    output::print(&text)
}

#[derive(serde::Serialize)]
struct Report<'a> {
    paths: u64,
    dim: usize,
    seed: u64,
    stream: u64,
    draw_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<String>,
    #[serde(flatten)]
    summary: &'a Summary,
}
