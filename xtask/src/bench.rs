//! `cargo xtask bench`: nowcast beside ONNX Runtime, tract and rten, and its draws beside MKL and
//! NumPy.
//!
//! Makes the models (`benches/models/make.py`), builds the runtimes (`benches/peers`, outside the
//! workspace) and has them take turns.

use std::path::{Path, PathBuf};

use crate::context::{Context, Outcome, Stamp, output, run};
use crate::steps::oracle;

/// What is measured, and where it goes.
#[derive(clap::Args)]
pub(crate) struct BenchArgs {
    /// Only these groups, for example f32,load or sampling; the record is not written then.
    #[arg(long, value_name = "GROUP,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Only beside these: ort, tract, rten, mkl, numpy; the record is not written then.
    #[arg(long, value_name = "PEER,...", value_delimiter = ',')]
    peers: Vec<String>,
    /// On another instruction set than the best: avx2.
    #[arg(long, value_name = "ISA")]
    isa: Option<String>,
    /// Also write rows of case, peer, medians, ratio and allocations.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Timing of each runtime and model.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.8)]
    seconds: f64,
}

/// The group of draws.
const DRAWS: &str = "sampling";

/// Measures, prints a line a case, and writes `benches/record/<cpu>.md`, `.csv` and the chart.
pub(crate) fn bench(context: &Context, args: &BenchArgs) -> Outcome {
    // Draws need neither models nor ONNX Runtime, and models no MKL, which takes 700 MB.
    let draws = args.only.is_empty() || args.only.iter().any(|group| group == DRAWS);
    let models = args.only.is_empty() || args.only.iter().any(|group| group != DRAWS);
    let folder = context.oracle.join("bench-models");
    let mut library = None;
    if models {
        oracle::install(context)?;
        make_models(context, &folder)?;
        library = Some(oracle::runtime_library(context)?);
    }
    let python = if draws { Some(oracle::drawing_peers(context)?) } else { None };
    let program = build(context)?;
    let mut command = context.command(program);
    command.arg("compare").arg(&folder).arg(context.root.join("benches/record"));
    command.envs(library.map(|library| ("ORT_DYLIB_PATH", library)));
    command.envs(python.map(|python| ("NOWCAST_DRAWS_PYTHON", python)));
    if !args.only.is_empty() {
        command.arg("--only").arg(args.only.join(","));
    }
    if !args.peers.is_empty() {
        command.arg("--peers").arg(args.peers.join(","));
    }
    if let Some(isa) = &args.isa {
        command.args(["--isa", isa]);
    }
    if let Some(json) = &args.json {
        // The command starts in the root of the workspace.
        command.arg("--json").arg(std::path::absolute(json).unwrap_or_else(|_| json.clone()));
    }
    command.arg("--seconds").arg(args.seconds.to_string());
    run(&mut command, "what it says above is why")
}

/// Makes the models in `folder` if they are not there.
fn make_models(context: &Context, folder: &Path) -> Outcome {
    let scripts = context.root.join("benches/models");
    let names = ["make.py", "graph.py", "torchscript.py", "dynamo.py", "forest.py", "quantized.py"];
    let sources: Vec<PathBuf> = names.iter().map(|name| scripts.join(name)).collect();
    let stamp = Stamp::new(context.oracle.join("bench-models.stamp"), &sources)?;
    if stamp.is_current() && folder.join("cases.json").exists() {
        return Ok(());
    }
    stamp.clear();
    let mut command = context.command(oracle::python(context));
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(&sources[0]).arg(folder);
    output(&mut command, "the models were not made")?;
    stamp.set()
}

/// Builds the runtimes: the first time takes minutes.
fn build(context: &Context) -> Outcome<PathBuf> {
    let target = context.target().join("peers");
    let manifest = context.root.join("benches/peers/Cargo.toml");
    let mut command = context.cargo(["build", "--quiet", "--release"]);
    command.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(&target);
    run(&mut command, "tract and rten come from crates.io: the first build needs a network")?;
    Ok(target.join("release/nowcast-peers"))
}
