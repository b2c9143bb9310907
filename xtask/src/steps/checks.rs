//! Checks of the sources: format, lints, the build without std, documentation.

use crate::context::{Context, Outcome, run};
use crate::steps::cargo_tests::FEATURES;

pub(crate) fn fmt(context: &Context) -> Outcome {
    run(
        &mut context.cargo(["fmt", "--all", "--check"]),
        "sources are not formatted: run `cargo fmt --all`",
    )?;
    // A workspace of its own.
    run(
        &mut context.cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]),
        "sources are not formatted: run `cargo fmt` in `fuzz`",
    )
}

pub(crate) fn lint(context: &Context) -> Outcome {
    let clippy = |features: &[&str]| {
        let mut command = context.cargo(["clippy", "--quiet", "--workspace", "--all-targets"]);
        command.args(features).args(["--", "--deny", "warnings"]);
        run(&mut command, "clippy found something")
    };
    clippy(&[])?;
    clippy(&["--features", FEATURES])
}

pub(crate) fn no_std(context: &Context) -> Outcome {
    // Clippy is `check` with warnings: code that only the set-up side uses shows up as dead here.
    run(
        context
            .cargo(["clippy", "--quiet", "--package", "nowcast", "--lib", "--no-default-features"])
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
