//! `nowcast bench`: the latency of one call, its tail, and what it takes from the heap.

mod ceilings;
mod profile;

use std::time::Instant;

use nowcast::runtime::{Session, prepare_thread};
use serde::Serialize;

use crate::against::{AgainstArgs, Call, with_call};
use crate::failure::Failure;
use crate::inputs::{InputArgs, LevelArgs, ModelArgs};
use crate::progress::Progress;
use crate::source::Source;
use crate::{allocations, output};

/// Both sides take turns of this many, so that whatever disturbs the machine disturbs both.
const ROUNDS: u64 = 20;

/// Arguments of `nowcast bench`.
#[derive(clap::Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    inputs: InputArgs,
    /// Calls to time
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    runs: u64,
    /// Seed of random inputs
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    against: AgainstArgs,
    /// Time each step, beside the ceilings of this core
    #[arg(long, conflicts_with = "against")]
    profile: bool,
    #[command(flatten)]
    level: LevelArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    runs: u64,
    isa: &'static str,
    pinned: bool,
    #[serde(flatten)]
    times: Times,
    /// The most of any call.
    allocations: u64,
    arena_bytes: usize,
    constant_bytes: usize,
    /// From opening the file to a program that can run.
    load_ns: u64,
    /// For every byte of a bundle against its checksum, which is beside loading it.
    verify_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Peer>,
}

#[derive(Serialize)]
struct Peer {
    name: &'static str,
    #[serde(flatten)]
    times: Times,
    /// Ours over theirs.
    ratio_p50: f64,
    ratio_p99: f64,
}

#[derive(Clone, Copy, Serialize)]
struct Times {
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
}

/// Times of calls, and the most allocations of one.
struct Clock {
    times_ns: Vec<u64>,
    allocations: u64,
}

impl Clock {
    fn new(runs: u64) -> Self {
        Self { times_ns: Vec::with_capacity(runs as usize), allocations: 0 }
    }

    fn measure(&mut self, runs: u64, call: Call<'_>) -> Result<(), Failure> {
        for _ in 0..runs {
            let before = allocations::count();
            let started = Instant::now();
            call()?;
            self.times_ns.push(started.elapsed().as_nanos() as u64);
            self.allocations = self.allocations.max(allocations::count() - before);
        }
        Ok(())
    }

    fn times(&mut self) -> Times {
        self.times_ns.sort_unstable();
        let len = self.times_ns.len();
        let rank = |permille: usize| self.times_ns[(len * permille).div_ceil(1000) - 1];
        Times { p50_ns: rank(500), p99_ns: rank(990), p999_ns: rank(999), max_ns: rank(1000) }
    }
}

/// Pins this thread to the last core it may run on, which the system uses least.
fn pin() -> bool {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.last().is_some_and(|core| core_affinity::set_for_current(*core))
}

pub(crate) fn run(args: BenchArgs) -> Result<(), Failure> {
    let level = args.level.level()?;
    let source = Source::open(&args.model.model)?;
    let file = match (args.against.against, &args.against.onnx) {
        (None, None) => None,
        (None, Some(_)) => {
            return Err(Failure::User(
                "--onnx is for --against: add it, or leave --onnx out".into(),
            ));
        }
        (Some(against), _) => Some((against, args.against.file(&source, &args.model.model)?)),
    };
    let model = args.model.load_from(source, &args.inputs, file.is_some())?;
    let pinned = pin();
    let mut session = Session::new_at(&model.program, level)
        .map_err(|error| Failure::User(format!("{}: {error}", model.name)))?;
    prepare_thread();
    session.prefault();
    model.fill(&mut session, Some(args.seed))?;
    if args.profile {
        let reset = &mut |session: &mut Session<'_>| {
            session.reset();
            model.fill(session, Some(args.seed))
        };
        return profile::run(&mut session, args.runs, pinned, args.json, reset);
    }
    let inputs = match file {
        Some(_) => model.inputs(&mut session)?,
        None => Vec::new(),
    };
    let has_state = model.program.inputs().any(|port| port.is_state());
    let mut call = || {
        let done = session.run();
        // A growing state is full once in a while: the reset is part of serving it.
        if has_state && done.is_err() {
            session.reset();
            return model.fill(&mut session, Some(args.seed));
        }
        done.map_err(|error| Failure::Internal(error.to_string()))
    };

    let (mut ours, mut theirs) = (Clock::new(args.runs), Clock::new(args.runs));
    let mut rounds = |ours: &mut Clock, theirs: &mut Clock, peer: Option<Call<'_>>| {
        let mut peer = peer;
        let warm_up = (args.runs / 10).clamp(10, 1000);
        for _ in 0..warm_up {
            call()?;
        }
        if let Some(peer) = &mut peer {
            for _ in 0..warm_up {
                peer()?;
            }
        }
        let mut progress = Progress::new("timing", args.runs);
        let mut done = 0;
        for round in 1..=ROUNDS {
            let runs = args.runs * round / ROUNDS - done;
            ours.measure(runs, &mut call)?;
            if let Some(peer) = &mut peer {
                theirs.measure(runs, *peer)?;
            }
            done += runs;
            progress.set(done);
        }
        Ok::<(), Failure>(())
    };
    match file {
        None => rounds(&mut ours, &mut theirs, None)?,
        Some((against, path)) => with_call(against, &model, path, &inputs, |peer| {
            rounds(&mut ours, &mut theirs, Some(peer))
        })?,
    }

    let times = ours.times();
    let needs = model.program.memory();
    let against = file.map(|(against, _)| {
        let peer = theirs.times();
        let ratio = |ours: u64, theirs: u64| ours as f64 / theirs.max(1) as f64;
        Peer {
            name: against.name(),
            times: peer,
            ratio_p50: ratio(times.p50_ns, peer.p50_ns),
            ratio_p99: ratio(times.p99_ns, peer.p99_ns),
        }
    });
    let report = Report {
        runs: args.runs,
        isa: level.isa().name(),
        pinned,
        times,
        allocations: ours.allocations,
        arena_bytes: needs.arena_bytes,
        constant_bytes: needs.constant_bytes,
        load_ns: model.load_ns,
        verify_ns: model.verify_ns,
        against,
    };
    if args.json { output::print_json(&report) } else { output::print(&report.text()) }
}

impl Report {
    fn text(&self) -> String {
        let row = |name: &str, t: &Times| {
            let us = |ns: u64| ns as f64 / 1000.0;
            format!(
                "{name:<14} p50 {:.2} µs  p99 {:.2} µs  p99.9 {:.2} µs  max {:.2} µs\n",
                us(t.p50_ns),
                us(t.p99_ns),
                us(t.p999_ns),
                us(t.max_ns)
            )
        };
        let mut text = row("nowcast", &self.times);
        if let Some(peer) = &self.against {
            text += &row(peer.name, &peer.times);
            text +=
                &format!("ratio          p50 {:.3}  p99 {:.3}\n", peer.ratio_p50, peer.ratio_p99);
        }
        text += &format!(
            "{} calls on {}{}, heap allocations in a call: {}\n\
             arena {} bytes, constants {} bytes, loaded in {:.3} ms{}\n",
            self.runs,
            self.isa,
            if self.pinned { ", pinned" } else { ", not pinned" },
            self.allocations,
            self.arena_bytes,
            self.constant_bytes,
            self.load_ns as f64 / 1e6,
            self.verify_ns
                .map_or(String::new(), |ns| format!(", verified in {:.3} ms", ns as f64 / 1e6))
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_of_sorted_times() {
        let mut clock = Clock { times_ns: (1..=1000).rev().collect(), allocations: 0 };
        let times = clock.times();
        assert_eq!(
            (times.p50_ns, times.p99_ns, times.p999_ns, times.max_ns),
            (500, 990, 999, 1000)
        );
        let mut one = Clock { times_ns: vec![7], allocations: 0 };
        assert_eq!((one.times().p50_ns, one.times().max_ns), (7, 7));
    }
}
