//! A process that runs one engine: it does what it reads on its standard input, a command a line,
//! and answers each with a line.
//!
//! `load` · `answer` · `reference` · `heap` · `time CALLS` · `reload TIMES`

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use nowcast::kernels::Level;

use crate::cases::Case;
use crate::engines::{Call, Engine, reference};
use crate::heap;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Pins this thread to the last core it may run on, which the system uses least.
pub(crate) fn pin() {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(core) = cores.last() {
        core_affinity::set_for_current(*core);
    }
}

/// Serves commands until the input ends.
pub(crate) fn serve(engine: Engine, case: &Case, level: Level) -> Outcome<()> {
    engine.with(case, level, &mut |call| {
        for line in stdin().lock().lines() {
            let line = line?;
            let mut words = line.split(' ');
            let command = words.next().unwrap_or_default();
            let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let reply = match command {
                "load" => call.arena_bytes().map_or(String::new(), |bytes| bytes.to_string()),
                "answer" => joined(&call.answer()?),
                "reference" => joined(&reference(case)?),
                "heap" => heap_calls(call)?.to_string(),
                "time" => joined(&times(call, number)?),
                "reload" => joined(&reloads(engine, case, level, number)?),
                other => return Err(format!("no such command: {other}").into()),
            };
            let mut out = stdout().lock();
            writeln!(out, "{reply}")?;
            out.flush()?;
        }
        Ok(())
    })
}

fn joined<T: ToString>(numbers: &[T]) -> String {
    let numbers: Vec<String> = numbers.iter().map(T::to_string).collect();
    numbers.join(" ")
}

/// The most calls for memory of a warm call.
fn heap_calls(call: &mut dyn Call) -> Outcome<u64> {
    let mut most = 0;
    for i in 0..40 {
        let before = heap::calls();
        call.run()?;
        if i >= 20 {
            most = most.max(heap::calls() - before);
        }
    }
    Ok(most)
}

/// Nanoseconds of each of `calls` calls, when the caches have seen the model again.
fn times(call: &mut dyn Call, calls: usize) -> Outcome<Vec<u64>> {
    for _ in 0..(calls / 10).max(3) {
        call.run()?;
    }
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let started = Instant::now();
        call.run()?;
        times.push(started.elapsed().as_nanos() as u64);
    }
    Ok(times)
}

/// Nanoseconds of loading the model anew.
fn reloads(engine: Engine, case: &Case, level: Level, times: usize) -> Outcome<Vec<u64>> {
    let time = |_| {
        let started = Instant::now();
        engine.load(case, level)?;
        Ok(started.elapsed().as_nanos() as u64)
    };
    (0..times).map(time).collect()
}
