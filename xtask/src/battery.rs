//! `cargo xtask battery`: TestU01 on the generator's words, in the orders that draws read them.
//!
//! Installs TestU01 into `.oracle/`, feeds it with `examples/words.rs` and writes
//! docs/randomness.md. Each battery that has finished leaves what it printed in `.oracle/battery/`
//! and is not run again while generator and orders are the same, so a run that was stopped goes on.

mod report;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::battery::report::Result;
use crate::context::{Context, Failure, Outcome, Stamp, run};

/// The package of crates.io that has TestU01 1.2.3 in it, and a program around it.
const PACKAGE: (&str, &str) = ("TestU01Drv", "0.1.0");

/// Orders of `examples/words.rs`, and what the report says of them.
const ORDERS: &[(&str, &str)] = &[
    ("path", "one path"),
    ("starts", "the first word of paths 0, 1, 2, ..."),
    ("rows", "paths 0, 1, 2, ..., 20 words of each: draws of 20 dimensions, path by path"),
    ("columns", "1,000 such paths at a time, word by word, the path fastest: as draws make them"),
    ("streams", "as `columns`, over streams 0, 1, 2, ... at path 0"),
    ("seeds", "as `columns`, over neighbouring seeds at path 0 of stream 0"),
    ("seconds", "one path, each word followed by the second word that goes with it"),
];

/// The seed of every run, and that of the run that decides where a p-value was suspect.
const SEEDS: [u64; 2] = [1, 2];

/// What is tested.
#[derive(clap::Args)]
pub(crate) struct BatteryArgs {
    /// Only these orders, for example rows,seconds; the report is not written then.
    #[arg(long, value_name = "ORDER,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Orders that Crush tests too: 35 thousand million words, some 20 minutes of
    /// CPU each.
    #[arg(long, value_name = "ORDER,...", value_delimiter = ',')]
    crush: Vec<String>,
    /// Batteries at a time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
}

/// A battery of TestU01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Battery {
    Small,
    Crush,
}

impl Battery {
    fn name(self) -> &'static str {
        match self {
            Self::Small => "SmallCrush",
            Self::Crush => "Crush",
        }
    }

    /// How far from 0 and 1 a p-value may be and still call for a run with the other seed: beyond
    /// TestU01's own limit, or, where hundreds of statistics take long, well beyond it.
    fn repeats_within(self) -> f64 {
        match self {
            Self::Small => 1e-3,
            Self::Crush => 1e-4,
        }
    }
}

/// One run of a battery.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    battery: Battery,
    order: &'static str,
    reversed: bool,
    seed: u64,
}

impl Job {
    fn name(&self) -> String {
        let bits = if self.reversed { "-reversed" } else { "" };
        format!("{}-{}{bits}-{}", self.battery.name(), self.order, self.seed)
    }
}

/// Runs the batteries, prints a line for each and writes docs/randomness.md.
pub(crate) fn battery(context: &Context, args: &BatteryArgs) -> Outcome {
    let chosen = |list: &[String]| -> Outcome<Vec<&'static str>> {
        let names = || ORDERS.iter().map(|(name, _)| *name);
        let list: Vec<_> = list.iter().filter(|order| !order.is_empty()).collect();
        if let Some(stray) = list.iter().find(|order| names().all(|name| name != **order)) {
            let names: Vec<_> = names().collect();
            return Err(Failure(format!("no order {stray:?}; there are {}", names.join(", "))));
        }
        Ok(names().filter(|name| list.iter().any(|order| *order == name)).collect())
    };
    let crush = chosen(&args.crush)?;
    let only = chosen(&args.only)?;
    let wanted = |order: &&'static str| only.is_empty() || only.contains(order);

    let driver = install(context)?;
    let words = build(context)?;
    let folder = results(context, &words)?;
    let mut jobs = Vec::new();
    for reversed in [false, true] {
        let orders = ORDERS.iter().map(|(order, _)| *order).filter(wanted);
        let job = |order| Job { battery: Battery::Small, order, reversed, seed: SEEDS[0] };
        jobs.extend(orders.map(job));
    }
    let job = |order| Job { battery: Battery::Crush, order, reversed: false, seed: SEEDS[0] };
    jobs.extend(crush.into_iter().filter(wanted).map(job));
    let bench = Bench { context, driver: &driver, words: &words, folder: &folder, jobs: args.jobs };
    let mut results = bench.run(jobs)?;
    let doubtful = results.iter().filter(|result| result.calls_for_another());
    let again = doubtful.map(|result| Job { seed: SEEDS[1], ..result.job.clone() }).collect();
    results.extend(bench.run(again)?);

    if only.is_empty() {
        let path = context.root.join("docs/randomness.md");
        let text = report::write(&results, &version(context)?);
        fs::write(&path, text).map_err(|error| Failure::io(&path, &error))?;
        println!("wrote {}", path.display());
    }
    match &report::failures(&results)[..] {
        [] => Ok(()),
        failures => Err(Failure(format!("the words are not random: {}", failures.join("; ")))),
    }
}

/// TestU01's program, installed if it is not there.
fn install(context: &Context) -> Outcome<PathBuf> {
    let (package, version) = PACKAGE;
    let root = context.oracle.join("testu01");
    let program = root.join("bin").join(package);
    // `cargo install` does nothing where this version is installed, but asks the registry first.
    if program.exists() {
        return Ok(program);
    }
    println!("==> {package} {version}, with TestU01 1.2.3 under the licence in its COPYING");
    let mut command = context.cargo(["install", "--quiet", "--locked", package]);
    command.arg("--version").arg(format!("={version}")).arg("--root").arg(&root);
    command.arg("--target-dir").arg(context.target().join("testu01"));
    run(
        &mut command,
        "TestU01 was not installed: it comes from crates.io and is C, so the first run needs a \
         network and a C compiler",
    )?;
    Ok(program)
}

/// The program that writes words.
fn build(context: &Context) -> Outcome<PathBuf> {
    let mut command = context.cargo(["build", "--quiet", "--release", "--package", "nowcast"]);
    run(
        command.args(["--no-default-features", "--example", "words"]),
        "examples/words.rs was not built",
    )?;
    Ok(context.target().join("release/examples/words"))
}

/// The folder of the results, empty if they were of other words.
fn results(context: &Context, words: &Path) -> Outcome<PathBuf> {
    let folder = context.oracle.join("battery");
    let first = context.oracle.join("battery.words");
    fs::write(&first, first_words(context, words)?).map_err(|error| Failure::io(&first, &error))?;
    let stamp = Stamp::new(context.oracle.join("battery.stamp"), &[first])?;
    if !stamp.is_current() && folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| Failure::io(&folder, &error))?;
    }
    fs::create_dir_all(&folder).map_err(|error| Failure::io(&folder, &error))?;
    stamp.set()?;
    Ok(folder)
}

/// The first words of each order, as text.
fn first_words(context: &Context, words: &Path) -> Outcome<String> {
    let mut text = String::new();
    for (order, _) in ORDERS {
        let mut command = context.command(words);
        command.arg(order).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = start(&mut command)?;
        let mut bytes = [0; 1 << 16];
        let read = child.stdout.take().map(|mut stdout| stdout.read_exact(&mut bytes));
        // It ends when nobody reads on.
        let _ = child.wait();
        if !matches!(read, Some(Ok(()))) {
            return Err(Failure(format!("examples/words.rs does not write {order}")));
        }
        text.push_str(&format!("{order} {bytes:?}\n"));
    }
    Ok(text)
}

/// The version of nowcast.
fn version(context: &Context) -> Outcome<String> {
    let path = context.root.join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|error| Failure::io(&path, &error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("version = \""));
    Ok(line.unwrap_or_default().trim_end_matches('"').to_owned())
}

/// Where batteries are run.
struct Bench<'a> {
    context: &'a Context,
    driver: &'a Path,
    words: &'a Path,
    folder: &'a Path,
    jobs: usize,
}

impl Bench<'_> {
    /// The results of `jobs`, in their order.
    fn run(&self, jobs: Vec<Job>) -> Outcome<Vec<Result>> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut results = Vec::new();
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                results.push(self.run_one(job.clone()));
            }
            results
        };
        let done: Vec<Outcome<Result>> = thread::scope(|scope| {
            let started: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            started.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        });
        let mut results = done.into_iter().collect::<Outcome<Vec<_>>>()?;
        if results.len() < jobs.len() {
            return Err(Failure::new("a thread of the batteries panicked"));
        }
        results.sort_by_key(|result| jobs.iter().position(|job| *job == result.job));
        Ok(results)
    }

    fn run_one(&self, job: Job) -> Outcome<Result> {
        let path = self.folder.join(job.name()).with_extension("txt");
        if !path.exists() {
            let unfinished = path.with_extension("unfinished");
            self.test(&job, &unfinished)?;
            fs::rename(&unfinished, &path).map_err(|error| Failure::io(&path, &error))?;
        }
        let text = fs::read(&path).map_err(|error| Failure::io(&path, &error))?;
        let result = Result::read(job, &String::from_utf8_lossy(&text))
            .ok_or_else(|| Failure(format!("{} is not TestU01's", path.display())))?;
        println!("{}", result.line());
        Ok(result)
    }

    /// Has TestU01 read words until it is done, and writes what it says to `path`; the last line
    /// is the number of words.
    fn test(&self, job: &Job, path: &Path) -> Outcome {
        let mut words = self.context.command(self.words);
        words.arg(job.order).args(["--seed", &job.seed.to_string()]);
        if job.reversed {
            words.arg("--reverse");
        }
        let mut words = start(words.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let mut file = File::create(path).map_err(|error| Failure::io(path, &error))?;
        let output = file.try_clone().map_err(|error| Failure::io(path, &error))?;
        let input = words.stdout.take().map_or(Stdio::null(), Stdio::from);
        let mut driver = self.context.command(self.driver);
        driver.args(["--tests", job.battery.name()]).stderr(Stdio::null());
        let tested = run(
            driver.stdin(input).stdout(output),
            &format!("TestU01 did not end well; {} says how far it came", path.display()),
        );
        // The command holds our end of the pipe: without it the words end.
        drop(driver);
        let mut written = String::new();
        if let Some(mut stderr) = words.stderr.take() {
            let _ = stderr.read_to_string(&mut written);
        }
        let ended = words.wait();
        tested?;
        match ended {
            Ok(status) if status.success() => write!(file, "{written}"),
            _ => return Err(Failure(format!("the words ended: {written}"))),
        }
        .map_err(|error| Failure::io(path, &error))
    }
}

fn start(command: &mut Command) -> Outcome<Child> {
    command.spawn().map_err(|error| Failure(format!("examples/words.rs did not start: {error}")))
}
