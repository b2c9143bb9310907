//! The `nowcast` program: forecasts, samples and looks into models from the command line.
//!
//! Owns arguments, files and what is printed; each verb is a file. It uses the library's public
//! interface only.

mod against;
mod allocations;
mod arrays;
mod bench;
mod choices;
mod compile;
mod contents;
mod failure;
mod forecast;
mod inputs;
mod inspect;
mod npy;
mod output;
mod progress;
mod run;
mod sample;
mod source;
mod verify;

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
    /// Run a model on arrays.
    Run(run::RunArgs),
    /// Show inputs, outputs, memory and kernels of a model.
    Inspect(inspect::InspectArgs),
    /// Time calls of a model: p50, p99, p99.9, the worst.
    Bench(bench::BenchArgs),
    /// Compare a model's answer with another runtime's; check every byte of a bundle.
    Verify(verify::VerifyArgs),
    /// Compile models ahead of time into one file that runs where it lies.
    Compile(compile::CompileArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Forecast(args) => forecast::run(args),
        Verb::Sample(args) => sample::run(args),
        Verb::Run(args) => run::run(args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Bench(args) => bench::run(args),
        Verb::Verify(args) => verify::run(args),
        Verb::Compile(args) => compile::run(args),
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
