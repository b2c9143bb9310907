//! A clock for the benches of kernels.

use std::time::Instant;

/// Seconds of a call: of as many in a row as a clock can tell from none.
pub(crate) fn seconds(mut call: impl FnMut()) -> f64 {
    let mut calls = 1;
    loop {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        let seconds = start.elapsed().as_secs_f64();
        if seconds > 2e-5 {
            return seconds / f64::from(calls);
        }
        calls *= 2;
    }
}
