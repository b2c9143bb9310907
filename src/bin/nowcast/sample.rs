//! `nowcast sample`: a distribution in, paths out, and whether they are what was asked for.

mod asked;
mod check;
mod draw;
mod plot;
mod report;
mod request;
mod rows;

use std::path::PathBuf;

use nowcast::kernels::Level;
use nowcast::sampling::Moments;

use crate::failure::Failure;
use crate::output;
use check::{Comparison, FALSE_ALARM, LEAST_PATHS, MOST_CORRELATED};
use draw::{Drawing, Precision, Scheme};
use plot::{Picture, Shown};
use report::{Draw, Report};
use request::{Request, RequestArgs};
use rows::{Number, RowsFile};

/// Arguments of `nowcast sample`.
#[derive(clap::Args)]
pub(crate) struct SampleArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Paths to draw
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    paths: u64,
    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Stream: under one seed, another stream is another set of paths
    #[arg(long, default_value_t = 0)]
    stream: u64,
    /// How paths are chosen
    #[arg(long, value_enum, default_value_t = Scheme::Random)]
    scheme: Scheme,
    /// Type that is drawn and written
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Write the paths, one a row, under the names of their dimensions in CSV and Parquet
    /// [default: a summary of their moments only]
    #[arg(long, value_name = "FILE.npy|.csv|.parquet")]
    out: Option<PathBuf>,
    /// Compare all moments with those asked for; the status is 1 if a difference is larger than a
    /// right draw makes once in a million runs
    #[arg(long)]
    check: bool,
    /// Draw a plot: a fan over the dimensions, of two dimensions their points, of one a histogram
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: SampleArgs) -> Result<(), Failure> {
    let request = Request::read(&args.request)?;
    match args.precision {
        Precision::F32 => drawn::<f32>(&args, &request),
        Precision::F64 => drawn::<f64>(&args, &request),
    }
}

fn drawn<T: Number>(args: &SampleArgs, request: &Request) -> Result<(), Failure> {
    let gaussian = request.gaussian::<T>()?;
    let asked = request.asked();
    if args.check {
        // What is as good as never drawn is no part of the draw.
        let counts = asked.components().iter().map(|c| c.weight * args.paths as f64);
        let fewest = counts.filter(|n| *n > FALSE_ALARM / 10.0).fold(args.paths as f64, f64::min);
        let least = (LEAST_PATHS as f64 / fewest * args.paths as f64).ceil();
        if (args.paths as f64) < least {
            return Err(Failure::User(format!(
                "--check says little of so few paths: draw at least {least} with --paths"
            )));
        }
    }
    if args.plot.is_some() && asked.dim() > plot::MOST_DIMENSIONS {
        return Err(Failure::User(format!(
            "a plot shows {} dimensions at most: leave out --plot",
            plot::MOST_DIMENSIONS
        )));
    }
    let indices = request.indices();
    let level = Level::detect();
    let drawing = Drawing::new(args, level, request.words())?;
    let mut out = match &args.out {
        Some(path) => Some((path, RowsFile::create(path, args.paths, &names(&indices))?)),
        None => None,
    };

    let mut sums = Vec::new();
    let mut moments = if asked.dim() <= MOST_CORRELATED {
        sums.resize(Moments::storage_len(asked.dim()), 0.0);
        Moments::new(&asked.mean, &mut sums)
    } else {
        sums.resize(Moments::variances_len(asked.dim()), 0.0);
        Moments::of_variances(&asked.mean, &mut sums)
    };
    let mut shown = args.plot.as_ref().map(|_| Shown::new(asked.dim()));
    let took = drawing.draw(gaussian.gaussian(), args.paths, |paths| {
        if let Some((path, file)) = &mut out {
            let written = file.write(paths);
            written.map_err(|error| Failure::writing(path.display(), &error))?;
        }
        moments.add(level, paths);
        if let Some(shown) = &mut shown {
            shown.add(paths);
        }
        Ok(())
    })?;
    if let Some((path, file)) = out {
        file.finish(path)?;
    }
    if let (Some(path), Some(shown)) = (&args.plot, &shown) {
        let picture =
            Picture { asked: &asked, shown, indices: &indices, given: &request.given, args };
        let svg = plot::svg(&picture).map_err(Failure::Internal)?;
        output::write_file(path, svg.as_bytes())?;
    }
    let comparison = Comparison::new(&moments, &asked, args.scheme.independent(), T::ROUNDING);
    let (family, given) = (request.family.name(), request.given.clone());
    let draw = Draw { family, precision: T::NAME, given, indices, took, comparison };
    Report::new(args, draw).finish(args)
}

/// What dimensions are called.
fn names(indices: &[usize]) -> Vec<String> {
    indices.iter().map(|index| format!("x{index}")).collect()
}
