//! The ONNX node suite: what passes stays passing, and nothing is silently wrong.
//!
//! Every case is run and ends as pass, error (refused at load, or by the session) or wrong
//! (another answer, a panic, no answer in time). `tests/conformance/passing.txt` lists the cases
//! that must pass; a line that ends in ` bound` passes with inputs that are no floats as constants.
//! `tests/conformance/known_wrong.txt` lists wrong cases that are tolerated: none, hopefully.
//! `excluded.txt` there lists cases that are not run, with the reason.
//!
//! The suite runs under an allocator that counts: no session's run touches the heap. What is found
//! out is written to `docs/operators.md`, which must be up to date.
#![expect(clippy::disallowed_types, reason = "a test harness may lock and wait")]

mod adapter;
#[path = "conformance/compare.rs"]
mod compare;
#[path = "conformance/index.rs"]
mod index;
#[path = "conformance/operators.rs"]
mod operators;
#[path = "conformance/report.rs"]
mod report;
#[path = "conformance/runner.rs"]
mod runner;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use index::Case;
use nowcast::tensor::DType;
use runner::Outcome;

#[global_allocator]
static COUNTING: adapter::counting::Counting = adapter::counting::Counting;

fn list_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(name)
}

/// Lines of a list, without comments.
fn read_list(name: &str) -> BTreeSet<String> {
    let path = list_path(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn node_suite() {
    let folder = index::folder();
    let mut cases = index::read(&folder);
    let excluded = excluded();
    cases.retain(|case| !excluded.contains(&case.name));
    let chosen = env::var("NOWCAST_CASE").ok();
    if let Some(text) = &chosen {
        cases.retain(|case| case.name.contains(text.as_str()));
    }
    let cases = Arc::new(cases);
    let outcomes = runner::run_all(&folder, &cases);
    report::totals(&cases, &outcomes);
    let (heap_calls, runs) = adapter::counting::heap_calls_in_runs();
    println!("{heap_calls} heap calls in {runs} runs");
    assert_eq!(heap_calls, 0, "a run touches the heap");
    if chosen.is_some() {
        for (case, outcome) in cases.iter().zip(&outcomes) {
            println!("{}: {outcome:?}", case.name);
        }
        return;
    }
    if env::var_os("NOWCAST_REPORT").is_some() {
        report::tables(&cases, &outcomes);
    }
    let page = operators::page(&cases, &outcomes, &excluded);
    if env::var_os("NOWCAST_BLESS").is_some() {
        let lines: BTreeSet<String> = cases.iter().zip(&outcomes).filter_map(passing).collect();
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(list_path("passing.txt"), text).expect("the list can be written");
    }
    if env::var_os("NOWCAST_REPORT").is_some() {
        fs::write(page_path(), &page).expect("the page can be written");
    }
    check(&cases, &outcomes);
    let written = fs::read_to_string(page_path()).unwrap_or_default();
    assert!(written == page, "docs/operators.md is out of date: `cargo xtask conformance`");
}

fn page_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md")
}

/// Names of the cases that are not run.
fn excluded() -> Vec<String> {
    let names = read_list("excluded.txt").into_iter();
    names.map(|line| line.split_whitespace().next().unwrap_or_default().to_owned()).collect()
}

/// The line of a passing case in `passing.txt`.
fn passing((case, outcome): (&Case, &Outcome)) -> Option<String> {
    match outcome {
        Outcome::Pass { bound: false } => Some(case.name.clone()),
        Outcome::Pass { bound: true } => Some(format!("{} bound", case.name)),
        _ => None,
    }
}

/// Compares the outcomes with the lists.
fn check(cases: &[Case], outcomes: &[Outcome]) {
    let mut must_pass = read_list("passing.txt");
    let tolerated = read_list("known_wrong.txt");
    let (mut complaints, mut news, mut mended) = (Vec::new(), 0, Vec::new());
    for (case, outcome) in cases.iter().zip(outcomes) {
        let (name, bound) = (&case.name, format!("{} bound", case.name));
        let unbound_listed = must_pass.remove(name);
        let listed = must_pass.remove(&bound) || unbound_listed;
        if tolerated.contains(name) && !matches!(outcome, Outcome::Wrong(_)) {
            mended.push(name.as_str());
        }
        match outcome {
            Outcome::Pass { bound: true } if unbound_listed => {
                complaints.push(format!("{name}: passes only with bound inputs now"));
            }
            Outcome::Pass { .. } => news += usize::from(!listed),
            Outcome::Wrong(text) if !tolerated.contains(name) => {
                complaints.push(format!("{name}: WRONG: {text}"));
            }
            Outcome::Error(text) | Outcome::Wrong(text) if listed => {
                complaints.push(format!("{name}: no longer passes: {text}"));
            }
            Outcome::Error(_) | Outcome::Wrong(_) => {}
        }
    }
    complaints.extend(must_pass.iter().map(|name| format!("{name}: listed, but not a case")));
    if news > 0 {
        println!("{news} cases pass and are not listed: `cargo xtask conformance --bless`");
    }
    if !mended.is_empty() {
        println!("no longer wrong, take them off known_wrong.txt: {}", mended.join(", "));
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

/// Models of one operator each, over all their attributes, answer as ONNX Runtime does or are
/// refused: `tests/oracle/single_operators.py` says which answers are the standard's instead.
#[test]
fn single_operators() {
    let folder = index::folder_of("single/node");
    let cases = Arc::new(index::read(&folder));
    let outcomes = runner::run_all(&folder, &cases);
    report::totals(&cases, &outcomes);
    let mut refused = 0;
    let mut wrong = Vec::new();
    for (case, outcome) in cases.iter().zip(&outcomes) {
        match outcome {
            Outcome::Pass { .. } => {}
            Outcome::Error(_) => refused += 1,
            Outcome::Wrong(text) => wrong.push(format!("{}: {text}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    // Forms that engines do not agree on; a family that is refused as a whole is more than that.
    assert!(cases.len() > 1000 && refused * 25 < cases.len(), "{refused} forms are refused");
}

#[test]
fn index_is_whole() {
    let folder = index::folder();
    let cases = index::read(&folder);
    let expanded = cases.iter().filter(|case| case.expanded).count();
    assert_eq!((cases.len() - expanded, expanded), (1404, 480), "the pinned onnx has these");
    let mut arrays = 0;
    for case in &cases {
        assert!(folder.join(&case.name).join("model.onnx").exists(), "{}", case.name);
        assert!(!case.opsets.is_empty() && !case.ops.is_empty(), "{}", case.name);
        let values = || case.inputs.iter().chain(&case.outputs);
        assert_eq!(case.reason.is_some(), values().any(|v| v.shape.is_none()), "{}", case.name);
        let nameable = |v: &index::Value| {
            let dtype = v.dtype.as_deref().and_then(index::dtype);
            // The bits of types that NPY cannot name are those that nowcast has in memory.
            let as_bits = dtype.is_some_and(|dtype| dtype.is_small() && dtype != DType::F16);
            assert!(dtype.is_none() || v.shape.is_none() || v.raw_bits == as_bits, "{v:?}");
            v.shape.is_some() && dtype.is_some()
        };
        // Arrays of types that nowcast knows are read to the last byte; no other is.
        for side in ["input", "output"] {
            let values = if side == "input" { &case.inputs } else { &case.outputs };
            let read = case.arrays(&folder, side, 0);
            assert_eq!(read.is_ok(), values.iter().all(nameable), "{} {read:?}", case.name);
            for (array, value) in read.iter().flatten().zip(values) {
                assert_eq!(Some(&array.shape), value.shape.as_ref(), "{}", case.name);
                arrays += 1;
            }
        }
    }
    assert!(arrays > 5000, "{arrays} arrays were read");
    for name in excluded() {
        assert!(cases.iter().any(|case| case.name == name), "{name}: excluded, but not a case");
    }
}
