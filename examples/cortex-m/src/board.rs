//! The board: start, clock, depth of the stack, output through the debugger or emulator.

use core::fmt::Write;
use core::panic::PanicInfo;

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{Peripherals, SYST};
use cortex_m_semihosting::{debug, hio};

use crate::forecasts::{self, Arena, Refused, TICKS_MASK};

#[cortex_m_rt::entry]
fn main() -> ! {
    // The entry macro makes this a `&'static mut`: it runs once.
    static mut ARENA: Arena = Arena::NEW;

    if let Some(mut peripherals) = Peripherals::take() {
        let clock = &mut peripherals.SYST;
        clock.set_clock_source(SystClkSource::Core);
        clock.set_reload(TICKS_MASK);
        clock.clear_current();
        clock.enable_counter();
    }
    let status = match hio::hstdout() {
        Ok(mut out) => {
            let done = forecasts::run(&mut out, ARENA, ticks);
            let printed = match &done {
                Ok(()) => writeln!(out, "size stack {}", stack_depth()),
                Err(Refused(what)) => writeln!(out, "refused: {what}"),
            };
            if done.is_ok() && printed.is_ok() { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE }
        }
        Err(()) => debug::EXIT_FAILURE,
    };
    exit(status)
}

/// Clock cycles since the start, modulo 2^24: SysTick counts down.
fn ticks() -> u32 {
    TICKS_MASK - SYST::get_current()
}

/// Bytes of the stack that have been used: what start-up painted and nobody has overwritten is
/// left out.
fn stack_depth() -> usize {
    unsafe extern "C" {
        static mut _stack_end: u32;
        static mut _stack_start: u32;
    }
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    let words = (start.addr() - end.addr()) / size_of::<u32>();
    let painted = (0..words)
        // SAFETY: the linker puts both symbols around the memory that is left for the stack, and
        // a volatile read of the part in use gives some word.
        .map(|i| unsafe { end.add(i).read_volatile() })
        .take_while(|word| *word == cortex_m_rt::STACK_PAINT_VALUE);
    (words - painted.count()) * size_of::<u32>()
}

fn exit(status: debug::ExitStatus) -> ! {
    debug::exit(status);
    // Without a debugger.
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if let Ok(mut out) = hio::hstdout() {
        let _ = writeln!(out, "{info}");
    }
    exit(debug::EXIT_FAILURE)
}
