//! Two forecasts from flash on a Cortex-M, without an allocator.
//!
//! `forecasts.rs` is the part to copy. Everything it prints is printed on a desk as well
//! (`cargo run`), so that the answers can be compared.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod board;
mod forecasts;

#[cfg(not(target_os = "none"))]
fn main() {
    struct Stdout;
    impl core::fmt::Write for Stdout {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            print!("{text}");
            Ok(())
        }
    }
    let mut arena = Box::new(forecasts::Arena::NEW);
    forecasts::run(&mut Stdout, &mut arena, || 0).expect("forecasts");
}
