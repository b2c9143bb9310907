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
mod picture;
mod progress;
mod quantize;
mod refusal;
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
    ///
    /// Without options: the temperature at JFK airport, from the model and series built in.
    Forecast(forecast::ForecastArgs),
    /// Sample paths of a Gaussian with a given mean and covariance, or of a mixture.
    ///
    /// A square matrix is a full covariance, a row the variances of independent dimensions; with
    /// --loadings it is of low rank, with --weights a mixture. The same seed, stream and path
    /// number give the same path on every machine.
    Sample(sample::SampleArgs),
    /// Run a model on arrays.
    ///
    /// Writes the outputs as 0.npy, 1.npy and so on, in the model's order, with the model's types.
    /// Open dimensions take their sizes from the inputs, and an integer input that decides shapes
    /// or between branches that do not both fit becomes a constant.
    Run(run::RunArgs),
    /// Show inputs, outputs, memory and kernels of a model.
    ///
    /// Of a bundle also sections, checksums and metadata. Operators that are not supported are
    /// listed.
    Inspect(inspect::InspectArgs),
    /// Time calls of a model: p50, p99, p99.9, the worst.
    ///
    /// Times calls on one pinned thread. Inputs that are not given are random: floats between -1
    /// and 1, integers 0 or 1. Open dimensions need --dim or --input; one in bounds is timed at its
    /// largest.
    Bench(bench::BenchArgs),
    /// Compare a model's answer with another runtime's; check every byte of a bundle.
    ///
    /// Runs the model here and in another runtime, which takes it as it is written, and compares.
    /// The status is 1 if an output differs by more than the tolerance. Inputs that are not given
    /// are random. Of a bundle every byte and every program is checked; its answers are compared if
    /// --onnx names the file that it was compiled from.
    Verify(verify::VerifyArgs),
    /// Compile models ahead of time into one file that runs where it lies.
    ///
    /// A model that lacks a dimension, input or output that an option names is compiled without
    /// that option; one that suits no model is an error. The same models and options give the same
    /// bytes on every host.
    Compile(compile::CompileArgs),
    /// Write a quantized model: ONNX with integer weights that other runtimes read too.
    ///
    /// Static quantization takes the ranges of activations from calibration data: arrays for the
    /// inputs of an ONNX file, or a series for a forecaster's folder. Dynamic quantization takes
    /// them from the data of each run; weights alone need no ranges. Where there is calibration
    /// data, what each layer loses and what the whole loses is measured.
    Quantize(quantize::QuantizeArgs),
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
        Verb::Quantize(args) => quantize::run(args),
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
