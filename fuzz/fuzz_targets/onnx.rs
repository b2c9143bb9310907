//! Bytes of a model: imported, optimized, compiled, served.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use nowcast::load::from_bytes;
use nowcast_fuzz::change;
use nowcast_fuzz::choices::Choices;
use nowcast_fuzz::serve::{Origin, serve};
use nowcast_fuzz::variants::variants;

fuzz_target!(|bytes: &[u8]| {
    for options in variants(bytes) {
        match from_bytes(bytes, &options) {
            Ok(program) => serve(&program, Origin::Compiled, &mut Choices::new(bytes)),
            Err(error) => drop(std::hint::black_box(error.to_string())),
        }
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match change::model(data, size, max_size, seed) {
        Some(size) => size,
        None => fuzzer_mutate(data, size, max_size),
    }
});
