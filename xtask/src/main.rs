//! Project tasks: `cargo xtask test` is the one test command, the other verbs are parts of it
//! that a developer runs often.
//!
//! It installs what it needs beside the sources (`.oracle/`) and never asks for more than a Rust
//! toolchain, a C and C++ compiler, Python 3 with pip, and a network on the first run.

mod battery;
mod bench;
mod context;
mod fuzz;
mod models;
mod steps;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::{Context, Failure};
use crate::steps::{cargo_tests, realtime, targets};

/// Project tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run every check, in order, and stop at the first that fails.
    Test {
        /// Only these steps and what they need, for example `lint,unit`.
        #[arg(long, value_name = "STEP,...", value_delimiter = ',')]
        only: Vec<String>,
        /// Print the steps and stop.
        #[arg(long)]
        list: bool,
    },
    /// Run the ONNX node suite, print its errors, grouped by text, and write docs/operators.md.
    Conformance {
        /// Rewrite tests/conformance/passing.txt from this run.
        #[arg(long)]
        bless: bool,
        /// Only the cases whose name contains this text, with every mismatch in detail.
        #[arg(long, value_name = "TEXT", conflicts_with = "bless")]
        case: Option<String>,
    },
    /// Measure latency beside ONNX Runtime, tract and rten, draws beside MKL and NumPy, and write
    /// benches/record/<cpu>.md.
    Bench(bench::BenchArgs),
    /// Test the generator's words with TestU01 and write docs/randomness.md: half an hour of CPU.
    Battery(battery::BatteryArgs),
    /// Run the serving calls under the realtime sanitizer.
    Rtsan,
    /// Run the Cortex-M example and the library's tests for other CPUs, under emulation.
    Targets,
    /// Make the models under models/families again, with the exporters that wrote them.
    Models {
        /// Only this group: sklearn, or networks (PyTorch and JAX, some 5 GB).
        #[arg(long, value_name = "GROUP")]
        only: Option<String>,
    },
    /// Fuzz the readers and the C interface under AddressSanitizer.
    Fuzz {
        /// Only this target: onnx, graph, program, bundle or c_api.
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
        /// For all targets together.
        #[arg(long, value_name = "N", default_value_t = 3600)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Context::new().and_then(|context| match arguments.verb {
        Verb::Test { list: true, .. } => {
            steps::list();
            Ok(())
        }
        Verb::Test { only, .. } => steps::run(&context, &only),
        Verb::Conformance { bless, case } => {
            steps::run_needs(&context, "conformance")?;
            cargo_tests::conformance_report(&context, bless, case.as_deref())
        }
        Verb::Bench(args) => bench::bench(&context, &args),
        Verb::Battery(args) => battery::battery(&context, &args),
        Verb::Rtsan => {
            steps::run_needs(&context, "realtime")?;
            realtime::sanitizer(&context)
        }
        Verb::Targets => targets::all(&context),
        Verb::Models { only } => models::make(&context, only.as_deref()),
        Verb::Fuzz { target, seconds } => {
            steps::run_needs(&context, "conformance")?;
            fuzz::fuzz(&context, target.as_deref(), seconds)
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(sentence)) => {
            eprintln!("\nxtask: {sentence}");
            ExitCode::FAILURE
        }
    }
}
