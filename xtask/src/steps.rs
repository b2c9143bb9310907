//! The steps of `cargo xtask test`, in order.
//!
//! Every step that builds uses the `dev` profile, which the workspace manifest sets to optimized
//! code with debug assertions and overflow checks: one profile, so that a dependency is compiled
//! once, fast enough for numeric suites, and strict enough to find what a release would hide.

pub(crate) mod cargo_tests;
pub(crate) mod checks;
pub(crate) mod cortex_m;
pub(crate) mod cross;
pub(crate) mod oracle;
pub(crate) mod realtime;
pub(crate) mod targets;

use std::time::{Duration, Instant};

use crate::context::{Context, Failure, Outcome};

/// One step.
struct Step {
    name: &'static str,
    what: &'static str,
    /// Steps that must have run before; each is before this one in `STEPS`.
    needs: &'static [&'static str],
    run: fn(&Context) -> Outcome,
}

const fn step(
    name: &'static str,
    what: &'static str,
    needs: &'static [&'static str],
    run: fn(&Context) -> Outcome,
) -> Step {
    Step { name, what, needs, run }
}

const STEPS: &[Step] = &[
    step("fmt", "sources are formatted", &[], checks::fmt),
    step("lint", "clippy finds nothing, with and without the oracles", &[], checks::lint),
    step("no-std", "the serving side builds without std", &[], checks::no_std),
    step("oracle", "install ONNX Runtime and onnx, pinned", &[], oracle::install),
    step(
        "node-suite",
        "export the ONNX node suite and single operators",
        &["oracle"],
        oracle::node_suite,
    ),
    step(
        "unit",
        "unit tests and tests without a step of their own",
        &["oracle"],
        cargo_tests::unit,
    ),
    step("conformance", "the ONNX node suite", &["node-suite"], cargo_tests::conformance),
    step("parity", "the answers of ONNX Runtime on every model", &["oracle"], cargo_tests::parity),
    step("functions", "ONNX's function bodies are those in use", &["oracle"], oracle::functions),
    step("rewrite", "let ONNX Runtime rewrite models", &["oracle"], oracle::contrib),
    step(
        "contrib",
        "the answers of ONNX Runtime to its own operators",
        &["rewrite"],
        cargo_tests::contrib,
    ),
    step("realtime", "no allocation, no system call, no page fault", &["oracle"], realtime::tests),
    step("c", "C and C++ programs", &["oracle"], cargo_tests::c),
    step("cortex-m", "forecasts on a Cortex-M under emulation", &[], cortex_m::example),
    step(
        "fuzz",
        "two minutes of fuzzing of models, and of their answers",
        &["node-suite"],
        crate::fuzz::quick,
    ),
    step("docs", "documentation builds without a warning", &[], checks::docs),
    step("readme", "examples in the documentation and the README run", &[], cargo_tests::readme),
];

/// Prints the steps.
pub(crate) fn list() {
    for step in STEPS {
        println!("{:<12} {}", step.name, step.what);
    }
}

/// Runs the steps named in `only` and what they need, or all if it is empty.
pub(crate) fn run(context: &Context, only: &[String]) -> Outcome {
    let mut chosen = vec![only.is_empty(); STEPS.len()];
    for name in only {
        let position = position(name).ok_or_else(|| {
            Failure::new(format!("there is no step `{name}`; `cargo xtask test --list` names them"))
        })?;
        choose(&mut chosen, position);
    }
    run_chosen(context, &chosen)
}

/// Runs what the step `name` needs, but not the step.
pub(crate) fn run_needs(context: &Context, name: &str) -> Outcome {
    let mut chosen = vec![false; STEPS.len()];
    if let Some(position) = position(name) {
        choose(&mut chosen, position);
        chosen[position] = false;
    }
    if chosen.contains(&true) { run_chosen(context, &chosen) } else { Ok(()) }
}

fn position(name: &str) -> Option<usize> {
    STEPS.iter().position(|step| step.name == name)
}

fn choose(chosen: &mut [bool], which: usize) {
    chosen[which] = true;
    for need in STEPS[which].needs {
        if let Some(position) = position(need) {
            choose(chosen, position);
        }
    }
}

fn run_chosen(context: &Context, chosen: &[bool]) -> Outcome {
    let start = Instant::now();
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for step in STEPS.iter().zip(chosen).filter_map(|(step, &chosen)| chosen.then_some(step)) {
        println!("==> {}: {}", step.name, step.what);
        let start = Instant::now();
        (step.run)(context).map_err(|Failure(sentence)| {
            Failure(format!("step {} failed: {sentence}", step.name))
        })?;
        times.push((step.name, start.elapsed()));
        println!("    {} took {:.1} s\n", step.name, start.elapsed().as_secs_f64());
    }
    for (name, time) in &times {
        println!("{name:<12} {:>7.1} s", time.as_secs_f64());
    }
    println!("{:<12} {:>7.1} s", "total", start.elapsed().as_secs_f64());
    println!("steps: {} passed, 0 failed", times.len());
    Ok(())
}
