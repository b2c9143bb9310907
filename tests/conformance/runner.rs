//! Runs cases side by side, each on a thread that may panic or hang without ending the others.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::adapter::{self, Array, Failure};
use crate::compare::compare;
use crate::index::Case;

/// Longest time for one case; the longest honest one takes a fraction of a second.
const LIMIT: Duration = Duration::from_secs(10);

/// Deep recursion must end in an error, not need a large stack.
const STACK_BYTES: usize = 8 << 20;

/// How a case ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The expected outputs. `bound` if some inputs had to be constants.
    Pass { bound: bool },
    /// Refused, in these words.
    Error(String),
    /// Another answer, a panic, or no answer in time.
    Wrong(String),
}

/// The outcome of every case, in their order.
pub(crate) fn run_all(folder: &Path, cases: &Arc<Vec<Case>>) -> Vec<Outcome> {
    panic::set_hook(Box::new(|info| {
        LAST_PANIC.with_borrow_mut(|text| *text = info.to_string().replace('\n', " "));
    }));
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![None; cases.len()]);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= cases.len() {
                        break;
                    }
                    let outcome = run_in_time(folder.to_path_buf(), Arc::clone(cases), i);
                    outcomes.lock().expect("no worker panics")[i] = Some(outcome);
                }
            });
        }
    });
    // The default hook again: the checks after the run report by panicking.
    drop(panic::take_hook());
    let outcomes = outcomes.into_inner().expect("no worker panics");
    outcomes.into_iter().map(|outcome| outcome.expect("every case was run")).collect()
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fn run_in_time(folder: PathBuf, cases: Arc<Vec<Case>>, i: usize) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    let case = move || {
        let run = AssertUnwindSafe(|| run_case(&folder, &cases[i]));
        let outcome = panic::catch_unwind(run)
            .unwrap_or_else(|_| Outcome::Wrong(LAST_PANIC.with_borrow(Clone::clone)));
        // Nobody listens after the limit.
        let _ = sender.send(outcome);
    };
    let started = thread::Builder::new().stack_size(STACK_BYTES).spawn(case);
    drop(started.expect("a thread can be started"));
    // A thread that hangs is left behind; it ends with the process.
    receiver
        .recv_timeout(LIMIT)
        .unwrap_or_else(|_| Outcome::Wrong(format!("no answer within {} s", LIMIT.as_secs())))
}

fn run_case(folder: &Path, case: &Case) -> Outcome {
    let mut bound = false;
    for set in 0..case.sets {
        match run_set(folder, case, set) {
            Outcome::Pass { bound: b } => bound |= b,
            other => return other,
        }
    }
    Outcome::Pass { bound }
}

fn run_set(folder: &Path, case: &Case, set: usize) -> Outcome {
    let model = folder.join(&case.name).join("model.onnx");
    let arrays = |side| case.arrays(folder, side, set);
    let (inputs, expected) = match arrays("input").and_then(|i| Ok((i, arrays("output")?))) {
        Ok(both) => both,
        Err(why) => {
            // What nowcast says of the model is the better error; it must not accept it.
            return match adapter::answer(&model, &[], &[]) {
                Err(Failure::Load(text)) => Outcome::Error(text),
                _ => Outcome::Error(format!("not run: {why}")),
            };
        }
    };
    let mut bound = false;
    let mut answer = adapter::answer(&model, &inputs, &[]);
    // By convention of the standard the first input is the data and most floats decide no shape:
    // the integers behind it are bound first. Where that does not do, the first input too, as in
    // Range, and last floats, as the scales of Resize, the depth of OneHot, a Range of floats.
    for (skip, floats) in [(1, false), (0, false), (1, true), (0, true)] {
        if matches!(answer, Err(Failure::InputMustBeKnown(_))) {
            let decides = |array: &&Array| floats || !array.dtype.is_float();
            let deciding: Vec<Array> = inputs.iter().skip(skip).filter(decides).cloned().collect();
            answer = adapter::answer(&model, &inputs, &deciding);
            bound = true;
        }
    }
    let got = match answer {
        Ok(got) => got,
        Err(failure) => return Outcome::Error(failure.to_string()),
    };
    if got.len() != expected.len() {
        return Outcome::Wrong(format!("{} outputs, expected {}", got.len(), expected.len()));
    }
    let compared = |(got, expected)| compare(got, expected, case.rtol, case.atol);
    match got.iter().zip(&expected).try_for_each(compared) {
        Ok(()) => Outcome::Pass { bound },
        Err(text) => Outcome::Wrong(text),
    }
}
