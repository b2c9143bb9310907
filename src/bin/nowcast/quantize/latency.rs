//! How long a call takes before and after, briefly.

use std::time::{Duration, Instant};

use nowcast::graph::Tensor;
use nowcast::load::Options;
use nowcast::quantize::Samples;
use nowcast::runtime::{Program, Session};

use super::data::Source;
use crate::failure::Failure;

/// Calls are timed for this long, or so many times.
const ENOUGH: Duration = Duration::from_millis(400);
const MAX_CALLS: usize = 10_000;
const MIN_CALLS: usize = 5;

/// The medians of one call of the float model and of the quantized one, whose calls alternate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) float_ns: u64,
    pub(super) quantized_ns: u64,
    pub(super) calls: usize,
}

pub(super) fn measure(
    source: &Source,
    quantized: &[u8],
    samples: &Samples,
    options: &Options,
) -> Result<Latency, Failure> {
    let sample = || samples.sample(0).into_iter().flatten();
    let user = |error: &dyn std::fmt::Display| Failure::User(error.to_string());
    let float = source.model.to_bytes().map_err(|error| user(&error))?;
    let float = samples.load(&float, options).map_err(|error| user(&error))?;
    let quantized = samples.load(quantized, options).map_err(|error| user(&error))?;
    let mut sessions = [session(&float)?, session(&quantized)?];
    let internal = |error: &dyn std::fmt::Display| Failure::Internal(error.to_string());
    for session in &mut sessions {
        for (name, tensor) in sample() {
            fill(session, name, tensor);
        }
        session.run().map_err(|error| internal(&error))?;
    }
    let mut times = [Vec::new(), Vec::new()];
    let started = Instant::now();
    while times[0].len() < MIN_CALLS || (times[0].len() < MAX_CALLS && started.elapsed() < ENOUGH) {
        for (session, times) in sessions.iter_mut().zip(&mut times) {
            let call = Instant::now();
            session.run().map_err(|error| internal(&error))?;
            times.push(call.elapsed().as_nanos() as u64);
        }
    }
    let calls = times[0].len();
    let [float_ns, quantized_ns] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    Ok(Latency { float_ns, quantized_ns, calls })
}

fn session<'p>(program: &'p Program<'static>) -> Result<Session<'p>, Failure> {
    Session::new(program).map_err(|error| Failure::User(error.to_string()))
}

/// Gives an input its elements where they have its type; how long a call takes does not hang on
/// the others.
fn fill(session: &mut Session<'_>, name: &str, tensor: &Tensor) {
    let Some(i) = session.program().input_index(name) else { return };
    let dtype = session.program().inputs().nth(i).map(|port| port.dtype);
    if session.set_input_shape(i, tensor.shape()).is_err() || dtype != Some(tensor.dtype()) {
        return;
    }
    if let Ok(bytes) = session.input_bytes_mut(i)
        && bytes.len() == tensor.bytes().len()
    {
        bytes.copy_from_slice(tensor.bytes());
    }
}
