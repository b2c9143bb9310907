//! `nowcast bench --profile`: where the time of a run goes, step by step, and how near each step
//! comes to what the machine can do.

use std::time::Instant;

use nowcast::runtime::{Session, Work};
use serde::Serialize;

use super::ceilings::Ceilings;
use crate::failure::Failure;
use crate::output;

/// Below this share of both ceilings, neither of them is what a step waits for.
const BINDS: f64 = 0.4;

#[derive(Serialize)]
struct Report {
    isa: &'static str,
    pinned: bool,
    runs: u64,
    /// Of whole runs, without a clock between the steps.
    p50_ns: u64,
    ceilings: Ceilings,
    steps: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    step: usize,
    kernel: &'static str,
    node: String,
    p50_ns: f64,
    p99_ns: f64,
    /// Of the time of all steps.
    share: f64,
    constant_bytes: Option<u64>,
    /// How often the constants are read.
    passes: u64,
    value_bytes: u64,
    multiply_adds: Option<u64>,
    /// The least time that the ceilings allow, over the time it took; null where nobody knows
    /// what the step has to do.
    of_ceiling: Option<f64>,
    /// The ceiling that it runs into: memory, arithmetic, or neither.
    binds: Option<&'static str>,
}

/// Time that each step took in each run, in nanoseconds.
struct Times {
    steps: usize,
    /// One row of steps a run.
    ns: Vec<u64>,
}

/// Profiles `runs` runs of a session whose inputs are written.
pub(super) fn run(
    session: &mut Session<'_>,
    runs: u64,
    pinned: bool,
    json: bool,
    reset: &mut dyn FnMut(&mut Session<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let program = session.program();
    let needs = program.memory();
    let footprint_bytes = needs.constant_bytes + needs.arena_bytes + needs.state_bytes;
    let ceilings = Ceilings::measure(session.level(), footprint_bytes);
    let (times, p50_ns) = measure(session, runs, reset)?;
    let clock_ns = clock_ns();

    let infos = program.steps().enumerate();
    let mut rows: Vec<Row> = infos
        .map(|(step, info)| {
            let [p50_ns, p99_ns] = times.ranks(step).map(|ns| (ns - clock_ns).max(0.0));
            let work = session.work(step).unwrap_or_default();
            let values = needs.arena_bytes + needs.state_bytes;
            let limit = limit(&work, &ceilings, footprint_bytes as u64, values as u64);
            let of_ceiling = limit.map(|[memory, arithmetic]| {
                [memory, arithmetic].map(|seconds| seconds * 1e9 / p50_ns.max(1.0))
            });
            Row {
                step,
                kernel: info.kernel,
                node: info.node.to_owned(),
                p50_ns,
                p99_ns,
                share: 0.0,
                constant_bytes: work.constant_bytes,
                passes: work.passes,
                value_bytes: work.value_bytes,
                multiply_adds: work.multiply_adds,
                of_ceiling: of_ceiling.map(|[memory, arithmetic]| memory.max(arithmetic)),
                binds: of_ceiling.map(binds),
            }
        })
        .collect();
    let all_ns: f64 = rows.iter().map(|row| row.p50_ns).sum();
    rows.iter_mut().for_each(|row| row.share = row.p50_ns / all_ns.max(1.0));
    let isa = session.isa().name();
    let report = Report { isa, pinned, runs, p50_ns, ceilings, steps: rows };
    if json { output::print_json(&report) } else { output::print(&report.text()) }
}

/// The least seconds that the memory and the arithmetic of a step take. In a run all of the
/// program lies between two uses of a constant, and at most the values between two of a value.
fn limit(
    work: &Work,
    ceilings: &Ceilings,
    program_bytes: u64,
    values_bytes: u64,
) -> Option<[f64; 2]> {
    let constants = work.constant_bytes?;
    let again = constants * work.passes.saturating_sub(1);
    let memory = ceilings.memory_s(constants, program_bytes)
        + ceilings.memory_s(again, constants)
        + ceilings.memory_s(work.value_bytes, values_bytes);
    Some([memory, ceilings.arithmetic_s(work.multiply_adds.unwrap_or(0))])
}

fn binds([memory, arithmetic]: [f64; 2]) -> &'static str {
    match memory.max(arithmetic) {
        most if most < BINDS => "neither",
        _ if memory > arithmetic => "memory",
        _ => "arithmetic",
    }
}

/// Runs with a clock between the steps, in turns with runs without, whose median comes along.
fn measure(
    session: &mut Session<'_>,
    runs: u64,
    reset: &mut dyn FnMut(&mut Session<'_>) -> Result<(), Failure>,
) -> Result<(Times, u64), Failure> {
    const TURN: u64 = 16;
    let steps = session.program().steps().len();
    let mut times = Times { steps, ns: Vec::with_capacity(steps * runs as usize) };
    let mut whole_ns = Vec::with_capacity(runs as usize);
    let warm_up = (runs / 10).clamp(TURN, 1000);
    for i in 0..runs + warm_up {
        let watched = i % (2 * TURN) >= TURN || i < warm_up;
        let begun = times.ns.len();
        times.ns.resize(begun + if watched { steps } else { 0 }, 0);
        let done = match watched {
            true => {
                let row = &mut times.ns[begun..];
                let mut before = (steps, Instant::now());
                session.run_watched(&mut |step| {
                    let now = Instant::now();
                    if let Some(ns) = row.get_mut(before.0) {
                        *ns += (now - before.1).as_nanos() as u64;
                    }
                    before = (step, now);
                })
            }
            false => {
                let started = Instant::now();
                let done = session.run();
                whole_ns.push(started.elapsed().as_nanos() as u64);
                done
            }
        };
        if i < warm_up || done.is_err() {
            times.ns.truncate(begun);
        }
        if let Err(error) = done {
            // A growing state is full once in a while.
            if session.program().inputs().all(|port| !port.is_state()) {
                return Err(Failure::Internal(error.to_string()));
            }
            reset(session)?;
        }
    }
    whole_ns.sort_unstable();
    Ok((times, whole_ns.get(whole_ns.len() / 2).copied().unwrap_or(0)))
}

impl Times {
    /// The median of a step and its 99th percentile.
    fn ranks(&self, step: usize) -> [f64; 2] {
        let mut ns: Vec<u64> = self.ns.iter().skip(step).step_by(self.steps).copied().collect();
        ns.sort_unstable();
        let rank = |percent: usize| (ns.len() * percent).div_ceil(100).saturating_sub(1);
        [50, 99].map(|percent| ns.get(rank(percent)).copied().unwrap_or(0) as f64)
    }
}

/// What looking at the clock takes.
fn clock_ns() -> f64 {
    let mut before = Instant::now();
    let mut ns: Vec<u64> = (0..1000)
        .map(|_| {
            let now = Instant::now();
            now.duration_since(std::mem::replace(&mut before, now)).as_nanos() as u64
        })
        .collect();
    ns.sort_unstable();
    ns[ns.len() / 2] as f64
}

impl Report {
    fn text(&self) -> String {
        const NODE: usize = 36;
        let mut text = self.ceilings.text();
        text += &format!(
            "{:>4}  {:<18} {:<NODE$} {:>9} {:>6} {:>10} {:>7} {:>8} {:>8}  binds\n",
            "step", "kernel", "node", "p50 ns", "share", "bytes", "GB/s", "GFLOP/s", "ceiling"
        );
        let dash = || "-".to_owned();
        for row in &self.steps {
            let per_ns = |n: f64| format!("{:.1}", n / row.p50_ns.max(1.0));
            let bytes = row.constant_bytes.map(|bytes| bytes * row.passes + row.value_bytes);
            let flops = row.multiply_adds.map(|n| 2.0 * n as f64);
            // The end of a node's name says more than its scopes.
            let skip = row.node.chars().count().saturating_sub(NODE);
            let node: String = row.node.chars().skip(skip).collect();
            text += &format!(
                "{:>4}  {:<18} {node:<NODE$} {:>9.0} {:>5.1}% {:>10} {:>7} {:>8} {:>8}  {}\n",
                row.step,
                row.kernel,
                row.p50_ns,
                row.share * 100.0,
                bytes.map_or_else(dash, |bytes| bytes.to_string()),
                bytes.map_or_else(dash, |bytes| per_ns(bytes as f64)),
                flops.map_or_else(dash, per_ns),
                row.of_ceiling.map_or_else(dash, |part| format!("{part:.2}")),
                row.binds.unwrap_or("-"),
            );
        }
        let all_ns: f64 = self.steps.iter().map(|row| row.p50_ns).sum();
        text += &format!(
            "steps {:.2} µs, a run without clocks p50 {:.2} µs; {} runs on {}{}\n",
            all_ns / 1000.0,
            self.p50_ns as f64 / 1000.0,
            self.runs,
            self.isa,
            if self.pinned { ", pinned" } else { ", not pinned" }
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_of_one_step() {
        let times = Times { steps: 2, ns: (1..=100).flat_map(|n| [n, 1000 + n]).collect() };
        assert_eq!(times.ranks(0), [50.0, 99.0]);
        assert_eq!(times.ranks(1), [1050.0, 1099.0]);
    }

    #[test]
    fn the_higher_ceiling_binds() {
        assert_eq!(binds([0.5, 0.7]), "arithmetic");
        assert_eq!(binds([0.8, 0.7]), "memory");
        assert_eq!(binds([0.1, 0.2]), "neither");
    }
}
