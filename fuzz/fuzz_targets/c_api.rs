#![no_main]
use libfuzzer_sys::fuzz_target; extern crate nowcast_c as _;
fuzz_target!(|_b: &[u8]| {});
