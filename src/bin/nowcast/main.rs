//! The `nowcast` program: forecasts, samples and looks into models from the command line.
//!
//! Owns arguments, files and what is printed; each verb is a file. It uses the library's public
//! interface only.

mod allocations;
mod arrays;
mod failure;
mod forecast;
mod output;
mod progress;
mod sample;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Probabilistic forecasts without allocation: ONNX in; means, quantiles and correlated paths out.
#[derive(Parser)]
#[command(name = "nowcast", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Forecast a series: mean, quantiles, sample paths.
    Forecast(forecast::ForecastArgs),
    /// Sample paths of a Gaussian with a given mean and covariance.
    Sample(sample::SampleArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Forecast(args) => forecast::run(args),
        Verb::Sample(args) => sample::run(args),
    };
    match done {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody can be told that standard error is closed.
            let _ = writeln!(std::io::stderr(), "nowcast: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
