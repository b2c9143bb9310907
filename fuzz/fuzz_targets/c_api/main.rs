//! Sequences of calls of the C interface with arguments that are wrong in every way that the
//! header says is checked: NULL, other handles, closed ones, lengths, sizes of structs, names.
//! Memory that the header leaves to the caller is always ours and exactly as long as we say.
#![no_main]
#![allow(unsafe_code, reason = "calls the C interface as C does")]

mod calls;
mod header;
mod world;

use libfuzzer_sys::fuzz_target;
use nowcast_fuzz::choices::Choices;

use calls::{begin, step};
use world::World;

fuzz_target!(|bytes: &[u8]| {
    let mut world = World::default();
    let mut choices = Choices::new(bytes);
    begin(&mut world, choices.byte());
    // Long enough for calls to meet; more would only be slower.
    for _ in 0..24 {
        if choices.is_empty() {
            break;
        }
        step(&mut world, &mut choices);
    }
    world.end();
});
