//! Fuzzing under AddressSanitizer: builds the targets of `fuzz/`, writes the seeds, runs each for
//! its share of the time, two side by side.
//!
//! The flags are those of cargo-fuzz, which need not be installed. They are not stable, hence
//! `RUSTC_BOOTSTRAP`. Corpus, logs and what is found stay in `fuzz/`, ignored by git.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::context::{Context, Failure, Outcome, host, run};

/// A binary of `fuzz/Cargo.toml`.
struct Target {
    name: &'static str,
    /// Longest input.
    most_bytes: usize,
    /// Words that inputs are made of.
    dictionary: Option<&'static str>,
}

/// Targets that are run side by side.
const AT_ONCE: usize = 2;

/// Those of the test command: what reads models, and what compares their answers.
const QUICK: &[&str] = &["onnx", "graph"];
const QUICK_SECONDS: u64 = 120;

/// Longest input that is printed when it is a finding, and last lines of the log.
const MOST_SHOWN: u64 = 16 << 10;
const SHOWN_LINES: usize = 30;

const TARGETS: &[Target] = &[
    Target { name: "onnx", most_bytes: 48 << 10, dictionary: Some("onnx.dict") },
    Target { name: "graph", most_bytes: 512, dictionary: None },
    Target { name: "program", most_bytes: 48 << 10, dictionary: None },
    Target { name: "bundle", most_bytes: 64 << 10, dictionary: None },
    Target { name: "c_api", most_bytes: 512, dictionary: None },
];

/// What cargo-fuzz passes, with the sanitizer.
const FLAGS: &[&str] = &[
    "-Zsanitizer=address",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "--cfg",
    "fuzzing",
];

/// What one input may take: memory out of proportion to the file, and a hang, are findings. The
/// clock is that of the wall, so a busy machine needs the time.
const LIMITS: &[&str] = &[
    "-rss_limit_mb=2048",
    "-malloc_limit_mb=512",
    "-timeout=120",
    "-report_slow_units=60",
    "-print_funcs=0",
];

/// The outcome of one target.
struct Report {
    target: &'static str,
    runs: u64,
    time: Duration,
    /// The input that was found, or the log if there is none.
    finding: Option<PathBuf>,
    /// What was said of it.
    said: Vec<String>,
}

/// Fuzzes `only` this target, or all, for `seconds` together.
pub(crate) fn fuzz(context: &Context, only: Option<&str>, seconds: u64) -> Outcome {
    let chosen: Vec<&'static Target> =
        TARGETS.iter().filter(|target| only.is_none_or(|name| name == target.name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        return Err(Failure(format!("there is no such target; there are {}", names.join(", "))));
    }
    run_targets(context, &build(context, &["--bins", "--features", "c"], "fuzz")?, &chosen, seconds)
}

/// Two minutes of the targets that models meet, built with less optimization.
pub(crate) fn quick(context: &Context) -> Outcome {
    let chosen: Vec<&'static Target> =
        TARGETS.iter().filter(|target| QUICK.contains(&target.name)).collect();
    let bins: Vec<&str> = QUICK.iter().flat_map(|name| ["--bin", *name]).collect();
    run_targets(context, &build(context, &bins, "fuzz-quick")?, &chosen, QUICK_SECONDS)
}

fn run_targets(
    context: &Context,
    built: &Path,
    chosen: &[&'static Target],
    seconds: u64,
) -> Outcome {
    let folder = context.root.join("fuzz");
    run(
        context
            .command(built.join("examples/seeds"))
            .arg(folder.join("corpus"))
            .arg(context.root.join("models"))
            .arg(context.oracle.join("node")),
        "the seeds were not written",
    )?;
    // The seeds of the repository, which no program can make.
    copy_seeds(&folder)?;
    let side_by_side = AT_ONCE.min(chosen.len()) as u64;
    let share = (seconds * side_by_side / chosen.len() as u64).max(1);
    let mut reports = Vec::new();
    for group in chosen.chunks(AT_ONCE) {
        let names: Vec<_> = group.iter().map(|target| target.name).collect();
        println!("    {}: {share} s", names.join(", "));
        let done: Vec<Outcome<Report>> = thread::scope(|scope| {
            let start = |target: &&'static Target| {
                let target: &'static Target = target;
                let folder = &folder;
                scope.spawn(move || attempt(context, folder, built, target, share))
            };
            let started: Vec<_> = group.iter().map(start).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, Outcome<Report>>| {
                thread.join().unwrap_or_else(|_| Err(Failure::new("a fuzzing thread panicked")))
            };
            started.into_iter().map(join).collect()
        });
        for report in done {
            reports.push(report?);
        }
    }
    for Report { target, runs, time, finding, said } in &reports {
        let found = u8::from(finding.is_some());
        println!("{target:<8} {runs:>10} runs {:>6} s, {found} findings", time.as_secs());
        if let Some(finding) = finding {
            said.iter().for_each(|line| println!("    {line}"));
            show(context, finding)?;
        }
    }
    let found: Vec<_> = reports.iter().filter_map(|report| report.finding.as_ref()).collect();
    match &found[..] {
        [] => Ok(()),
        [first, ..] => Err(Failure(format!(
            "{} findings; run the target on the file to see it again: {}",
            found.len(),
            first.display()
        ))),
    }
}

/// Prints a finding, so that it outlives the machine it was found on.
fn show(context: &Context, finding: &Path) -> Outcome {
    let bytes = fs::metadata(finding).map_err(|error| Failure::io(finding, &error))?.len();
    let is_log = finding.extension().is_some();
    if is_log || bytes > MOST_SHOWN {
        return Ok(());
    }
    println!("    its bytes, as `base64 -d` reads them:");
    let base64 = context.command("base64").args(["-w", "120"]).arg(finding).status();
    base64.map_err(|error| Failure(format!("base64 did not start: {error}")))?;
    Ok(())
}

/// The folder with the binaries.
fn build(context: &Context, what: &[&str], folder: &str) -> Outcome<PathBuf> {
    let host = host(context)?;
    // A folder of its own: other flags would otherwise throw away what is built.
    let target = context.target().join(folder);
    let level = if folder == "fuzz" { "3" } else { "1" };
    run(
        context
            .cargo(["build", "--quiet", "--release", "--manifest-path", "fuzz/Cargo.toml"])
            .args(what)
            .args(["--example", "seeds", "--target", &host])
            .arg("--target-dir")
            .arg(&target)
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", level)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")),
        "the fuzz targets do not build, or this toolchain has no address sanitizer for its host",
    )?;
    Ok(target.join(host).join("release"))
}

/// Copies the seeds of the repository to the corpus.
fn copy_seeds(folder: &Path) -> Outcome {
    for target in TARGETS {
        let (from, to) =
            (folder.join("seeds").join(target.name), folder.join("corpus").join(target.name));
        fs::create_dir_all(&to).map_err(|error| Failure::io(&to, &error))?;
        for entry in fs::read_dir(&from).into_iter().flatten().flatten() {
            let to = to.join(entry.file_name());
            fs::copy(entry.path(), &to).map_err(|error| Failure::io(&to, &error))?;
        }
    }
    Ok(())
}

fn attempt(
    context: &Context,
    folder: &Path,
    built: &Path,
    target: &'static Target,
    seconds: u64,
) -> Outcome<Report> {
    let artifacts = folder.join("artifacts").join(target.name);
    fs::create_dir_all(&artifacts).map_err(|error| Failure::io(&artifacts, &error))?;
    let log_path = artifacts.join("log.txt");
    let log = File::create(&log_path).map_err(|error| Failure::io(&log_path, &error))?;
    let mut command = fuzzer(context, &built.join(target.name), target, folder);
    command
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(folder.join("corpus").join(target.name))
        .stderr(log);
    let start = Instant::now();
    let status = command
        .status()
        .map_err(|error| Failure(format!("{} did not start: {error}", target.name)))?;
    let time = start.elapsed();
    let text = fs::read(&log_path).map_err(|error| Failure::io(&log_path, &error))?;
    let text = String::from_utf8_lossy(&text);
    let after = |what: &str| text.lines().rev().find_map(|line| Some(line.split_once(what)?.1));
    let runs = after("stat::number_of_executed_units:").and_then(|n| n.trim().parse().ok());
    let finding = (!status.success())
        .then(|| after("Test unit written to ").map_or_else(|| log_path.clone(), PathBuf::from));
    // All but progress and frames of the stack, which begin alike.
    let said = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut said: Vec<String> = said.map(|line| line.chars().take(200).collect()).collect();
    said.drain(..said.len().saturating_sub(SHOWN_LINES));
    Ok(Report { target: target.name, runs: runs.unwrap_or(0), time, finding, said })
}

fn fuzzer(context: &Context, binary: &Path, target: &Target, folder: &Path) -> Command {
    let mut command = context.command(binary);
    command
        .args(LIMITS)
        // Long inputs from the start: short ones are few calls.
        .args(["-print_final_stats=1", "-len_control=0"])
        .arg(format!("-max_len={}", target.most_bytes));
    if let Some(dictionary) = target.dictionary {
        command.arg(format!("-dict={}", folder.join(dictionary).display()));
    }
    command
}
