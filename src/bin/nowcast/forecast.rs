//! `nowcast forecast`: a series in, the forecast of what follows out.

mod chart;
mod fan;
mod json;
mod measure;
pub(crate) mod observations;
mod plot;
mod table;
pub(crate) mod ticks;

use std::io::IsTerminal;
use std::path::PathBuf;

use nowcast::forecast::calendar::DateTime;
use nowcast::forecast::{Description, ForecastError, ForecastSession, Forecaster};
use nowcast::runtime::KERNELS;

use crate::failure::Failure;
use crate::output;
use crate::source::Source;
use fan::Fan;
use observations::Observations;

const DESCRIPTION: &str = include_str!("../../../models/jfk-temperature/forecaster.json");
const MODEL: &[u8] = include_bytes!("../../../models/jfk-temperature/model.onnx");
const COVARIANCE: &[u8] = include_bytes!("../../../models/jfk-temperature/covariance.npy");
const SERIES: &[u8] = include_bytes!("../../../models/jfk-temperature/series.csv");

/// Paths that a plot shows.
const PLOTTED_PATHS: usize = 16;

/// Arguments of `nowcast forecast`.
#[derive(clap::Args)]
pub(crate) struct ForecastArgs {
    /// Folder of a forecaster (forecaster.json and what it names), or a bundle; `-` reads a bundle
    /// from standard input [default: the one built in]
    #[arg(long, value_name = "DIR|FILE")]
    model: Option<PathBuf>,
    /// Model of a bundle that has several
    #[arg(long, requires = "model")]
    name: Option<String>,
    /// Observations, CSV with the columns time (ISO 8601, UTC) and value; `-` reads standard
    /// input [default: the forecaster's own]
    #[arg(long, value_name = "FILE")]
    series: Option<PathBuf>,
    /// Forecast from this time on, inside the series [default: after its end]
    #[arg(long, value_name = "TIME")]
    at: Option<DateTime>,
    /// Sample paths to give
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    paths: u32,
    /// Seed of the sample paths
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draw a plot
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: ForecastArgs) -> Result<(), Failure> {
    let user = |error: &dyn std::fmt::Display| Failure::User(error.to_string());
    let (forecaster, observations) = match bundle(&args)? {
        Some(forecaster) => {
            let observations = observations(&args, forecaster.step_seconds(), None)?;
            (forecaster, observations)
        }
        None => {
            let description = match &args.model {
                Some(folder) => Description::from_folder(folder).map_err(|error| user(&error))?,
                None => Description::from_json(DESCRIPTION).map_err(Failure::Internal)?,
            };
            let (step, series) = (description.step_seconds, description.series.as_deref());
            let observations = observations(&args, step, series)?;
            // A mistake in the series is told before the model is compiled.
            observations.position(args.at, description.context)?;
            let forecaster = match &args.model {
                Some(folder) => Forecaster::from_folder(folder).map_err(|error| user(&error))?,
                None => Forecaster::from_parts(DESCRIPTION, MODEL, COVARIANCE)
                    .map_err(|error| Failure::Internal(error.to_string()))?,
            };
            (forecaster, observations)
        }
    };
    let at = observations.position(args.at, forecaster.context())?;
    let mut session = ForecastSession::new(&forecaster).map_err(|error| user(&error))?;

    let paths = (args.paths as usize).max(if args.plot.is_some() { PLOTTED_PATHS } else { 0 });
    let mut fan = Fan::new(&forecaster, &observations, at, paths);
    let context = &observations.values[at - forecaster.context()..at];
    let refused = |error: ForecastError| match error {
        ForecastError::MeanNotFinite { .. } => {
            Failure::User(format!("{}: {error}", observations.name))
        }
        _ => Failure::Internal(error.to_string()),
    };
    let measured = measure::run(&mut session, context, args.seed, &mut fan).map_err(refused)?;

    if let Some(path) = &args.plot {
        let svg = plot::svg(&fan).map_err(Failure::Internal)?;
        output::write_file(path, svg.as_bytes())?;
    }
    fan.keep_paths(args.paths as usize);
    if args.json {
        return output::print_json(&json::Report::new(&fan, &measured));
    }
    let mut text = table::heading(&fan);
    text += &table::steps(&fan);
    text += &chart::draw(&fan, &chart::Style::of_standard_output());
    text += &table::paths(&fan);
    text += &measured.to_string();
    if let Some(path) = &args.plot {
        text += &format!("Plot: {}\n", path.display());
    }
    output::print(&text)
}

/// The forecaster of a bundle, if one was asked for.
fn bundle(args: &ForecastArgs) -> Result<Option<Forecaster<'static>>, Failure> {
    let Some(path) = &args.model else { return Ok(None) };
    if path.as_os_str() == "-" && args.series.as_ref().is_some_and(|s| s.as_os_str() == "-") {
        let sentence = "standard input is one thing: name a file for --model or --series";
        return Err(Failure::User(sentence.to_owned()));
    }
    // One that is not there is missed as a folder.
    let is_folder = path.as_os_str() != "-" && !path.is_file();
    if is_folder {
        return match args.name {
            None => Ok(None),
            Some(_) => Err(Failure::User(format!(
                "{}: --name is for bundles, and this is none: leave it out",
                path.display()
            ))),
        };
    }
    let source = Source::open(path)?;
    let user = |text: &dyn std::fmt::Display| Failure::User(format!("{}: {text}", source.name));
    let file = source.bundle().ok_or_else(|| {
        user(&"this is no bundle: give a forecaster's folder, or compile one to a bundle")
    })?;
    source.verify()?;
    let name = source.model(args.name.as_deref())?.name();
    Forecaster::from_file(file, Some(name), &KERNELS).map(Some).map_err(|error| user(&error))
}

/// The series that was asked for, or the forecaster's own.
fn observations(
    args: &ForecastArgs,
    step_seconds: u32,
    own: Option<&str>,
) -> Result<Observations, Failure> {
    match (&args.series, &args.model, own) {
        (Some(path), ..) => Observations::read(path, step_seconds),
        (None, Some(folder), Some(own)) => Observations::read(&folder.join(own), step_seconds),
        (None, Some(model), None) => Err(Failure::User(format!(
            "{}: the forecaster has no series of its own: give one with --series",
            model.display()
        ))),
        (None, None, _) => {
            Observations::parse("the series built in".to_owned(), SERIES, step_seconds)
        }
    }
}

/// Whether colours go to standard output: to a terminal, unless `NO_COLOR` is set.
fn wants_colour() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}
