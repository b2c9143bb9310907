//! nowcast beside ONNX Runtime, tract and rten, and beside MKL and NumPy: what `cargo xtask bench`
//! runs.
//!
//! `compare` is the parent: for each case it starts this program once for each runtime (`serve`),
//! compares their answers, and has them take turns. Then it writes the record.

mod cases;
mod chart;
mod draws;
mod engines;
mod heap;
mod machine;
mod older;
mod record;
mod rounds;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use nowcast::kernels::{Isa, Level};

use crate::engines::{Engine, on_its_thread};
use crate::record::{Record, Row};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measure all cases and write the record.
    Compare(CompareArgs),
    /// Run one engine on one case: the other end of a pipe.
    Serve {
        engine: Engine,
        models: PathBuf,
        case: String,
        #[arg(long)]
        isa: Option<String>,
    },
}

#[derive(clap::Args)]
struct CompareArgs {
    /// Folder of the models and `cases.json`
    models: PathBuf,
    /// Folder of the record
    record: PathBuf,
    /// Only these groups; the record is not written then
    #[arg(long, value_name = "GROUP,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these peers
    #[arg(long, value_name = "PEER,...", value_delimiter = ',')]
    peers: Vec<Engine>,
    /// Instruction set for all: avx2
    #[arg(long, value_name = "ISA")]
    isa: Option<String>,
    /// Rows of case, peer, ours_p50_ns, peer_p50_ns, ratio, allocations
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Timing for each runtime and case
    #[arg(long, value_name = "SECONDS", default_value_t = 0.8)]
    seconds: f64,
}

/// The instruction set of ours: the best, or at most the one that is named.
fn level(isa: Option<&str>) -> Result<Level, String> {
    let best = Level::detect();
    let Some(name) = isa else { return Ok(best) };
    let isa = Isa::ALL.into_iter().find(|isa| isa.name() == name);
    match isa.filter(|isa| best.has(*isa)) {
        Some(isa) => Ok(best.at_most(isa)),
        None => Err(format!("this CPU has no instruction set {name:?}")),
    }
}

fn compare(args: &CompareArgs) -> Result<(), String> {
    level(args.isa.as_deref())?;
    if args.isa.as_ref().is_some_and(|isa| isa != "avx2") {
        return Err("of the peers' instruction sets only avx2 can be forced".to_owned());
    }
    let mut cases = Vec::new();
    // Draws need no models.
    if args.only.is_empty() || args.only.iter().any(|group| group != draws::GROUP) {
        cases = cases::read(&args.models).map_err(|error| error.to_string())?;
    }
    cases.extend(draws::cases());
    let chosen = |group: &String| args.only.is_empty() || args.only.contains(group);
    let groups: Vec<&str> = cases.iter().map(|case| case.group.as_str()).collect();
    if let Some(stray) = args.only.iter().find(|group| !groups.contains(&group.as_str())) {
        let mut groups = groups;
        groups.dedup();
        return Err(format!("there is no group {stray:?}, only [{}]", groups.join(", ")));
    }
    let mut engines = vec![Engine::Nowcast];
    let all = [&Engine::PEERS[..], &Engine::DRAWING].concat();
    let peers = if args.peers.is_empty() { &all } else { &args.peers };
    engines.extend(peers.iter().filter(|peer| **peer != Engine::Nowcast));

    let mut record = Record::new(args.isa.clone());
    let mut failures = Vec::new();
    let time = Duration::from_secs_f64(args.seconds);
    for case in cases.iter().filter(|case| chosen(&case.group)) {
        let engines: Vec<_> =
            engines.iter().copied().filter(|engine| engine.serves(case)).collect();
        match rounds::measure(&engines, &args.models, case, args.isa.as_deref(), time) {
            Ok((measured, refused)) => {
                let row = Row { case: case.clone(), measured, refused };
                println!("{}", row.line());
                record.rows.push(row);
            }
            Err(reason) => {
                eprintln!("{}: {reason}", case.case);
                failures.push(case.case.clone());
            }
        }
    }
    let written = |error: std::io::Error| error.to_string();
    if let Some(file) = &args.json {
        std::fs::write(file, record.json()).map_err(written)?;
    }
    if args.only.is_empty() && args.peers.is_empty() && failures.is_empty() {
        for file in record.write(&args.record).map_err(written)? {
            println!("wrote {}", file.display());
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("failed: {}", failures.join(", "))) }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Compare(args) => compare(&args),
        Verb::Serve { engine, models, case, isa } => {
            serve::pin();
            let served = || -> Result<(), String> {
                if isa.is_some() && engine == Engine::Ort {
                    older::answer_cpuid().map_err(|error| error.to_string())?;
                }
                let level = level(isa.as_deref())?;
                let drawn = draws::cases().find(|listed| listed.case == case);
                let listed = match drawn {
                    Some(case) => vec![case],
                    None => cases::read(&models).map_err(|error| error.to_string())?,
                };
                let case = listed.into_iter().find(|listed| listed.case == case);
                let case = case.ok_or("there is no such case")?;
                let serve =
                    || serve::serve(engine, &case, level).map_err(|error| error.to_string());
                on_its_thread(engine, serve)
            };
            served()
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}
