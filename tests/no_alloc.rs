//! No serving call touches the heap, the first call included: over every model and every other
//! serving function, with an allocator that counts.
//!
//! `cargo xtask rtsan` runs the same file under the realtime sanitizer, where a serving call may
//! not block in any other way either.
#![cfg_attr(nowcast_rtsan, feature(sanitize))]

mod adapter;

use std::hint::black_box;

use adapter::counting::{Counting, heap_calls_so_far};

/// How often a serving call is repeated: state that grows is seen in the second call or later.
const CALLS: usize = 20;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Heap calls of this thread while `serve` runs, once a call.
fn heap_calls(serve: &mut dyn FnMut()) -> Vec<u64> {
    let mut counts = vec![0; CALLS];
    for calls in &mut counts {
        let before = heap_calls_so_far();
        nonblocking(serve);
        *calls = heap_calls_so_far() - before;
    }
    counts
}

/// The sanitizer ends the process at a blocking call inside.
#[cfg_attr(nowcast_rtsan, sanitize(realtime = "nonblocking"))]
#[inline(never)]
fn nonblocking(serve: &mut dyn FnMut()) {
    serve();
}

#[test]
fn serving_calls() {
    let served = adapter::served();
    let mut failures = Vec::new();
    for what in &served {
        let outcome = adapter::with_serving(what, false, &mut |serve| {
            let counts = heap_calls(serve);
            if counts.iter().any(|&calls| calls > 0) {
                failures.push(format!("{what}: heap calls in successive calls: {counts:?}"));
            }
        });
        if let Err(failure) = outcome {
            failures.push(format!("{what}: {failure}"));
        }
    }
    assert!(!served.is_empty(), "nothing is served");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// From the bytes of a bundle to a forecast, without the heap.
#[test]
fn opening_a_bundle() {
    use nowcast::bundle::{Bundle, File, Writer};
    use nowcast::forecast::{ForecastSession, Forecaster};
    use nowcast::kernels::Level;
    use nowcast::runtime::{KERNELS, MemoryNeeds};

    let forecaster = Forecaster::from_folder("models/jfk-temperature").expect("a forecaster");
    let mut writer = Writer::new();
    forecaster.write(&mut writer.model("temperature").expect("a name"));
    let file = File::from_bytes(&writer.finish().expect("a bundle")).expect("opens");
    let bytes = file.bundle().as_bytes();
    let session_bytes = forecaster.memory().session_bytes;
    let mut memory = vec![0; session_bytes + MemoryNeeds::ALIGNMENT];
    let start = memory.as_ptr().align_offset(MemoryNeeds::ALIGNMENT);
    let context = vec![41.0; forecaster.context()];
    let mut paths = vec![0.0; 8 * forecaster.horizon()];
    let level = Level::detect();
    let counts = heap_calls(&mut || {
        let bundle = Bundle::open(bytes).expect("opens");
        bundle.verify().expect("whole");
        let model = bundle.only_model().expect("a model");
        let forecaster = Forecaster::from_model(&model, &KERNELS).expect("a forecaster");
        let memory = &mut memory[start..start + session_bytes];
        let mut session = ForecastSession::in_memory(&forecaster, level, memory).expect("fits");
        session.forecast(&context, 1_388_448_000).expect("a forecast");
        session.paths(1, 2, 3, &mut paths).expect("paths");
    });
    assert_eq!(counts, vec![0; CALLS]);
}

#[test]
#[cfg(not(nowcast_rtsan))]
fn the_count_sees_every_kind_of_heap_call() {
    let mut kept: Vec<u64> = Vec::with_capacity(1);
    let mut calls =
        |act: &mut dyn FnMut(&mut Vec<u64>)| heap_calls(&mut || act(&mut kept)).iter().sum::<u64>();
    assert_eq!(calls(&mut |kept| black_box(kept).clear()), 0);
    assert_eq!(calls(&mut |_| drop(black_box(Box::new(1)))), 2 * CALLS as u64);
    assert_eq!(calls(&mut |_| drop(black_box(vec![0u8; 9]))), 2 * CALLS as u64);
    assert!(calls(&mut |kept| kept.reserve_exact(kept.capacity() + 1)) >= CALLS as u64);
}

/// The sanitizer sees what the count sees: a process that allocates in a marked call ends.
#[test]
#[cfg(nowcast_rtsan)]
fn the_sanitizer_is_on() {
    let program = std::env::current_exe().expect("this test has a path");
    let output = std::process::Command::new(program)
        .args(["--exact", "blocks", "--ignored", "--nocapture"])
        .output()
        .expect("this test can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("RealtimeSanitizer"), "{errors}");
}

#[test]
#[cfg(nowcast_rtsan)]
#[ignore = "the child of the_sanitizer_is_on"]
fn blocks() {
    nonblocking(&mut || drop(black_box(Box::new(1))));
}
