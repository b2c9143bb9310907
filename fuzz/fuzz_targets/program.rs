//! Words of a compiled program: checked, served.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};
use nowcast::runtime::{KERNELS, Program};
use nowcast_fuzz::aligned::Aligned;
use nowcast_fuzz::change;
use nowcast_fuzz::choices::Choices;
use nowcast_fuzz::serve::{Origin, serve};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let memory = Aligned::copy(&bytes[..bytes.len() / 4 * 4]);
    match Program::from_words(memory.words(), &KERNELS) {
        Ok(program) => {
            // What lies behind the image chooses extents; the constants do otherwise.
            serve(&program, Origin::Words, &mut Choices::new(change::tail(bytes)));
            Corpus::Keep
        }
        Err(error) => {
            std::hint::black_box(error.to_string());
            Corpus::Keep
        }
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match change::words(data, size, seed) {
        Some(size) => size,
        None => fuzzer_mutate(data, size, max_size),
    }
});
