//! Checks of the sources: format, lints, the build without std, documentation.

use crate::context::{Context, Outcome, run};
use crate::steps::cargo_tests::FEATURES;

pub(crate) fn fmt(context: &Context) -> Outcome {
    run(
        &mut context.cargo(["fmt", "--all", "--check"]),
        "sources are not formatted: run `cargo fmt --all`",
    )?;
    run(
        &mut context.cargo(["fmt", "--check", "--manifest-path", "examples/cortex-m/Cargo.toml"]),
        "the Cortex-M example is not formatted: run `cargo fmt` in its folder",
    )?;
    run(
        &mut context.cargo(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]),
        "the fuzz targets are not formatted: run `cargo fmt` in their folder",
    )
}

pub(crate) fn lint(context: &Context) -> Outcome {
    let clippy = |features: &[&str]| {
        let mut command = context.cargo(["clippy", "--quiet", "--workspace", "--all-targets"]);
        // Its build script has the library compiled: once, by the step `no-std`.
        command.args(["--exclude", "nowcast-example-build"]);
        command.args(features).args(["--", "--deny", "warnings"]);
        run(&mut command, "clippy found something")
    };
    clippy(&[])?;
    clippy(&["--features", FEATURES])?;
    // A workspace of its own, without the flags that fuzzing needs.
    run(
        context
            .cargo([
                "clippy",
                "--quiet",
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--all-targets",
                "--features",
                "c",
            ])
            .arg("--target-dir")
            .arg(context.target())
            .args(["--", "--deny", "warnings"]),
        "clippy found something in the fuzz targets",
    )
}

pub(crate) fn no_std(context: &Context) -> Outcome {
    // Clippy is `check` with warnings: code that only the set-up side uses shows up as dead here.
    run(
        context
            .cargo(["clippy", "--quiet", "--package", "nowcast", "--lib", "--no-default-features"])
            // A program of models that a build script has compiled.
            .args(["--package", "nowcast-example-build", "--bins"])
            .args(["--", "--deny", "warnings"]),
        "the serving side does not build without std",
    )
}

pub(crate) fn docs(context: &Context) -> Outcome {
    run(
        context
            .cargo(["doc", "--quiet", "--package", "nowcast", "--lib", "--no-deps"])
            .args(["--features", "ort"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
        "the documentation has a warning",
    )
}
