//! How long a forecast takes, and what it takes from the heap.

use std::fmt;
use std::time::{Duration, Instant};

use nowcast::forecast::{ForecastError, ForecastSession};

use super::fan::Fan;
use crate::allocations;
use crate::progress::Progress;

const MIN_CALLS: usize = 1000;
const MAX_CALLS: usize = 20_000;
/// Calls go on for this long between the two.
const ENOUGH: Duration = Duration::from_millis(200);

/// Latency and allocations of one forecast: the mean and the quantiles that are shown.
pub(super) struct Measured {
    pub(super) calls: usize,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    /// The most of any call, the first and the sampling of paths included.
    pub(super) allocations: u64,
}

/// Forecasts into `fan`, and then again and again.
pub(super) fn run(
    session: &mut ForecastSession<'_>,
    context: &[f32],
    seed: u64,
    fan: &mut Fan,
) -> Result<Measured, ForecastError> {
    let first_step = fan.first_step;
    let before = allocations::count();
    session.forecast(context, first_step)?;
    fan.take(session)?;
    session.paths(seed, 0, 0, &mut fan.paths)?;
    let mut most = allocations::count() - before;

    let mut times_ns = Vec::with_capacity(MAX_CALLS);
    let mut progress = Progress::new("timing", MIN_CALLS as u64);
    let started = Instant::now();
    while times_ns.len() < MIN_CALLS || (times_ns.len() < MAX_CALLS && started.elapsed() < ENOUGH) {
        let before = allocations::count();
        let call = Instant::now();
        session.forecast(context, first_step)?;
        fan.take(session)?;
        times_ns.push(call.elapsed().as_nanos() as u64);
        most = most.max(allocations::count() - before);
        progress.set(times_ns.len() as u64);
    }
    times_ns.sort_unstable();
    let calls = times_ns.len();
    let rank = |percent: usize| times_ns[(calls * percent).div_ceil(100) - 1];
    Ok(Measured { calls, p50_ns: rank(50), p99_ns: rank(99), allocations: most })
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |ns: u64| ns as f64 / 1000.0;
        writeln!(
            f,
            "One forecast: p50 {:.1} µs, p99 {:.1} µs over {} calls. Heap allocations in a call, \
             the first included: {}.",
            us(self.p50_ns),
            us(self.p99_ns),
            self.calls,
            self.allocations
        )
    }
}
