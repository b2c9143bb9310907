//! Steps that are `cargo test` of some targets.
//!
//! All use the same packages and features, so that the library is compiled once for all of them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::context::{Context, Failure, Outcome, run};
use crate::steps::{cross, oracle};

/// The oracle engine and the tests that compare with it.
pub(crate) const FEATURES: &str = "ort,oracle-tests";

/// Integration tests that have a step of their own.
const OWN_STEP: &[&str] =
    &["conformance", "contrib", "parity", "no_alloc", "no_syscall", "examples", "embedded"];

/// Folders with integration tests: the root package and the C interface.
const FOLDERS: &[&str] = &["tests", "ffi/tests"];

/// `cargo test` of the workspace, with the oracle named in the environment.
pub(crate) fn cargo_test(context: &Context) -> Outcome<Command> {
    let mut command = context.cargo(["test", "--quiet", "--workspace", "--features", FEATURES]);
    command
        .env("NOWCAST_ORACLE", &context.oracle)
        .env("ORT_DYLIB_PATH", oracle::runtime_library(context)?);
    Ok(command)
}

/// The `nowcast` program, built of the same packages and features.
pub(crate) fn program(context: &Context) -> Outcome<PathBuf> {
    let mut command = context.cargo(["build", "--quiet", "--workspace", "--features", FEATURES]);
    run(command.args(["--bin", "nowcast"]), "the program does not build")?;
    Ok(context.target().join("debug").join("nowcast"))
}

pub(crate) fn unit(context: &Context) -> Outcome {
    let mut command = cargo_test(context)?;
    command.args(["--lib", "--bins"]);
    for folder in FOLDERS {
        for name in test_names(context, folder)? {
            command.arg("--test").arg(name);
        }
    }
    run(&mut command, "a unit test failed")
}

pub(crate) fn conformance(context: &Context) -> Outcome {
    run(
        cargo_test(context)?.args(["--test", "conformance", "--", "--nocapture"]),
        "the node suite is not as listed in tests/conformance; `cargo xtask conformance` shows it",
    )
}

/// The node suite with a table of its errors; `bless` rewrites the list of passing cases and
/// `case` chooses by name.
pub(crate) fn conformance_report(context: &Context, bless: bool, case: Option<&str>) -> Outcome {
    let mut command = cargo_test(context)?;
    command.args(["--test", "conformance"]).env("NOWCAST_REPORT", "1");
    if bless {
        command.env("NOWCAST_BLESS", "1");
    }
    if let Some(case) = case {
        command.env("NOWCAST_CASE", case);
    }
    run(
        command.args(["--", "--nocapture", "node_suite"]),
        "the node suite is not as listed in tests/conformance",
    )
}

pub(crate) fn parity(context: &Context) -> Outcome {
    run(
        cargo_test(context)?.args(["--test", "parity", "--", "--nocapture"]),
        "an answer differs from ONNX Runtime's",
    )
}

pub(crate) fn contrib(context: &Context) -> Outcome {
    run(
        cargo_test(context)?.args(["--test", "contrib", "--", "--nocapture"]),
        "an answer to an operator of com.microsoft differs from ONNX Runtime's",
    )
}

/// Builds and runs C and C++ programs against the static libraries: ffi/tests/examples.rs and
/// ffi/tests/embedded.rs, which prints how large a program with its model is.
pub(crate) fn c(context: &Context) -> Outcome {
    // A program without any shared library is linked with musl.
    cross::install(context, &["musl-tools"])?;
    let program = program(context)?;
    run(
        cargo_test(context)?.env("NOWCAST_PROGRAM", program).args([
            "--test",
            "examples",
            "--test",
            "embedded",
            "--",
            "--show-output",
        ]),
        "a C or C++ program failed (set CC and CXX to name the compilers)",
    )
}

pub(crate) fn readme(context: &Context) -> Outcome {
    let mut command = context.cargo(["test", "--quiet", "--doc", "--package", "nowcast"]);
    run(command.args(["--features", FEATURES]), "an example in the documentation failed")
}

/// The integration tests in `folder` without a step of their own, in order of name.
fn test_names(context: &Context, folder: &str) -> Outcome<Vec<String>> {
    let folder = context.root.join(folder);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| Failure::io(&folder, &error))?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.retain(|name| !OWN_STEP.contains(&name.as_str()));
    names.sort();
    Ok(names)
}
