//! The record: a table for people, and the same as data.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::json;

use crate::cases::Case;
use crate::chart;
use crate::engines::Engine;
use crate::machine;
use crate::rounds::{Measured, Refused};

/// A case and what the runtimes made of it.
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) measured: Vec<Measured>,
    pub(crate) refused: Vec<Refused>,
}

impl Row {
    pub(crate) fn of(&self, engine: Engine) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.engine == engine)
    }

    pub(crate) fn ours(&self) -> Option<&Measured> {
        self.of(Engine::Nowcast)
    }

    fn peers(&self) -> impl Iterator<Item = &Measured> {
        self.measured.iter().filter(|measured| measured.engine != Engine::Nowcast)
    }

    /// The peer with the least median.
    fn fastest(&self) -> Option<&Measured> {
        self.peers().min_by_key(|peer| peer.rank(500))
    }

    /// Our median over a peer's.
    pub(crate) fn ratio(&self, peer: &Measured) -> f64 {
        let ours = self.ours().map_or(0, |ours| ours.rank(500));
        ours as f64 / peer.rank(500).max(1) as f64
    }

    /// What a person reads while it runs.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{:<40}", self.case.title);
        for measured in &self.measured {
            let _ = write!(line, " {} {}", measured.engine.name(), us(measured.rank(500)));
            if measured.engine != Engine::Nowcast {
                let _ = write!(line, " ({:.2})", self.ratio(measured));
            }
        }
        for Refused { engine, reason } in &self.refused {
            let _ = write!(line, " | {}: {reason}", engine.name());
        }
        line
    }
}

/// Microseconds, with as many digits as mean something.
fn us(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{:.2}", ns as f64 / 1e3),
        10_000..100_000 => format!("{:.1}", ns as f64 / 1e3),
        _ => format!("{:.0}", ns as f64 / 1e3),
    }
}

/// All rows of a run.
pub(crate) struct Record {
    pub(crate) rows: Vec<Row>,
    isa: Option<String>,
}

impl Record {
    pub(crate) fn new(isa: Option<String>) -> Self {
        Self { rows: Vec::new(), isa }
    }

    /// Writes `<cpu>.md` and `<cpu>.csv`, with the instruction set in the names if it was chosen,
    /// and otherwise the chart: the files.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let suffix = self.isa.as_ref().map_or(String::new(), |isa| format!("-{isa}"));
        let name = format!("{}{suffix}", machine::slug());
        let mut files = vec![
            (folder.join(format!("{name}.md")), self.markdown()),
            (folder.join(format!("{name}.csv")), self.csv()),
        ];
        if self.isa.is_none() {
            files.push((folder.join("latency.svg"), chart::draw(&self.rows)));
        }
        for (file, text) in &files {
            fs::write(file, text)?;
        }
        Ok(files.into_iter().map(|(file, _)| file).collect())
    }

    /// One object for each case and peer.
    pub(crate) fn json(&self) -> String {
        let mut rows = Vec::new();
        for row in &self.rows {
            let Some(ours) = row.ours() else { continue };
            rows.extend(row.peers().map(|peer| {
                json!({
                    "group": row.case.group,
                    "case": row.case.case,
                    "peer": peer.engine.name(),
                    "ours_p50_ns": ours.rank(500),
                    "peer_p50_ns": peer.rank(500),
                    "ours_p99_ns": ours.rank(990),
                    "peer_p99_ns": peer.rank(990),
                    "ratio": row.ratio(peer),
                    "allocations": ours.heap_calls,
                    "peer_allocations": peer.heap_calls,
                    "ours_p999_ns": ours.rank(999),
                    "peer_p999_ns": peer.rank(999),
                    "peer_way": peer.way,
                })
            }));
        }
        serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n"
    }

    fn csv(&self) -> String {
        let mut text = "group,case,runtime,calls,p50_ns,p99_ns,p999_ns,max_ns,heap_calls,\
                        arena_bytes,load_ns,difference\n"
            .to_owned();
        for row in &self.rows {
            for m in &row.measured {
                let arena = m.arena_bytes.map_or(String::new(), |bytes| bytes.to_string());
                let heap = m.heap_calls.map_or(String::new(), |calls| calls.to_string());
                let _ = writeln!(
                    text,
                    "{},{},{},{},{},{},{},{},{heap},{arena},{},{:e}",
                    row.case.group,
                    row.case.case,
                    m.engine.name(),
                    m.times_ns.len(),
                    m.rank(500),
                    m.rank(990),
                    m.rank(999),
                    m.rank(1000),
                    m.load_ns,
                    m.difference
                );
            }
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_head(&mut text);
        let _ = self.write_ratios(&mut text);
        let _ = self.write_details(&mut text);
        text
    }

    fn write_head(&self, out: &mut String) -> std::fmt::Result {
        let isa = machine::isa(self.isa.as_deref());
        writeln!(out, "# Latency beside other runtimes: {}\n", machine::cpu())?;
        write!(
            out,
            "Written by `cargo xtask bench{}`. Caches: {}. nowcast on {isa}",
            self.isa.as_ref().map_or(String::new(), |isa| format!(" --isa {isa}")),
            machine::caches()
        )?;
        let draws = self.rows.iter().any(|row| row.case.draw.is_some());
        let drawing = Engine::DRAWING.iter().filter(|_| draws);
        for engine in Engine::PEERS.iter().chain(drawing).copied() {
            write!(out, "; {} {}", engine.title(), machine::version(engine))?;
        }
        writeln!(out, ".\n")?;
        writeln!(
            out,
            "One process a runtime, all on one core, one thread each, taking turns of some 40 ms \
             over twenty rounds; each turn begins with calls that do not count, until its caches \
             have seen the model again. Inputs are bound, every rewriting that a runtime has is on \
             (rten: weights packed beforehand). Answers are compared before the clock starts, with \
             those of ONNX Runtime without its optimizer: ours within 1e-5 of the largest element \
             (bf16: 3e-2, int8: 6e-2), or the run fails, a peer's within 1e-4 (int8: 6e-2), or it is \
             left out. Heap calls are those of a warm call, counted in `malloc` itself.\n"
        )?;
        if draws {
            writeln!(
                out,
                "Draws are compared with MKL (`mkl_random`: every method of its normals with \
                 SFMT19937, MCG59 and Philox, always f64) and NumPy (`multivariate_normal`, and \
                 `standard_normal` times the factor; f32 too beside our f32), each in a process of \
                 Python, `benches/peers/sampling.py`; the fastest of their ways counts, by trial. \
                 What a call from Python costs is in their times. Heap calls are not counted there. \
                 Means and covariances of the draws are within 6 standard errors of those asked \
                 for. MKL chooses its loops by the vendor of the CPU.\n"
            )?;
        }
        if self.isa.is_some() {
            writeln!(
                out,
                "The instruction set is forced: ours by its option; tract by `TRACT_CPU_ISA`; ONNX \
                 Runtime by a CPU that seems older (`benches/peers/src/older.rs`): each of its \
                 `cpuid` instructions is answered without AVX-512, AVX-VNNI and AMX. rten cannot be \
                 told and is left out. MKL is told by `MKL_ENABLE_INSTRUCTIONS`, which has no \
                 effect on a CPU that is not Intel's; NumPy by `NPY_DISABLE_CPU_FEATURES` and \
                 `OPENBLAS_CORETYPE`.\n"
            )?;
        }
        Ok(())
    }

    fn write_ratios(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "## Ratios\n")?;
        writeln!(
            out,
            "Ours over the fastest peer's, medians; below 1 ours is faster. The spread is p99 over \
             p50.\n"
        )?;
        writeln!(
            out,
            "| case | nowcast p50 µs | fastest peer | p50 µs | ratio | to reach | over ONNX \
             Runtime | spread | of ONNX Runtime |\n|---|---:|---|---:|---:|---:|---:|---:|---:|"
        )?;
        let spread =
            |m: &Measured| format!("{:.2}", m.rank(990) as f64 / m.rank(500).max(1) as f64);
        for row in &self.rows {
            let (Some(ours), Some(peer)) = (row.ours(), row.fastest()) else { continue };
            let ort = row.of(Engine::Ort);
            writeln!(
                out,
                "| {} | {} | {} | {} | {:.2} | {} | {} | {} | {} |",
                row.case.title,
                us(ours.rank(500)),
                peer.engine.title(),
                us(peer.rank(500)),
                row.ratio(peer),
                row.case.to_reach.map_or("-".to_owned(), |goal| format!("{goal:.2}")),
                ort.map_or("-".to_owned(), |ort| format!("{:.2}", row.ratio(ort))),
                spread(ours),
                ort.map_or("-".to_owned(), spread)
            )?;
        }
        writeln!(out)
    }

    fn write_details(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "## All figures\n")?;
        writeln!(
            out,
            "Times in µs. Of the rows of loading every time is that of a load. Arena: bytes for \
             values, which only ours says.\n"
        )?;
        writeln!(
            out,
            "| case | runtime | p50 | p99 | p99.9 | max | heap calls | arena | load |\n\
             |---|---|---:|---:|---:|---:|---:|---:|---:|"
        )?;
        for row in &self.rows {
            for m in &row.measured {
                writeln!(
                    out,
                    "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                    row.case.title,
                    m.engine.title(),
                    us(m.rank(500)),
                    us(m.rank(990)),
                    us(m.rank(999)),
                    us(m.rank(1000)),
                    m.heap_calls.map_or(String::new(), |calls| calls.to_string()),
                    m.arena_bytes.map_or(String::new(), |bytes| bytes.to_string()),
                    us(m.load_ns)
                )?;
            }
        }
        let measured = self.rows.iter().flat_map(|row| row.measured.iter().map(move |m| (row, m)));
        let mut ways = measured.filter_map(|(row, m)| Some((row, m, m.way.as_ref()?))).peekable();
        if ways.peek().is_some() {
            writeln!(out, "\nThe fastest of the ways that an engine has to draw:\n")?;
        }
        for (row, m, way) in ways {
            writeln!(out, "- {}, {}: {way}", row.case.title, m.engine.title())?;
        }
        let refused = self.rows.iter().flat_map(|row| row.refused.iter().map(move |r| (row, r)));
        let mut refused = refused.peekable();
        if refused.peek().is_some() {
            writeln!(out, "\nNot measured:\n")?;
        }
        for (row, Refused { engine, reason }) in refused {
            writeln!(out, "- {}, {}: {reason}", row.case.title, engine.title())?;
        }
        Ok(())
    }
}
