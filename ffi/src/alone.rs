//! What a library needs that is built without `std`.

/// Ends the process: nothing unwinds, and there is nothing to print to.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg_attr(unix, link(name = "c"))]
    unsafe extern "C" {
        safe fn abort() -> !;
    }
    abort()
}

// The compiler's own library is compiled for unwinding and names the function that would find the
// way through it. Nothing calls it; another library of the program may have the real one.
#[cfg(not(any(target_vendor = "apple", windows)))]
core::arch::global_asm!(
    ".pushsection .text.rust_eh_personality,\"ax\"",
    ".weak rust_eh_personality",
    ".hidden rust_eh_personality",
    "rust_eh_personality:",
    ".byte 0",
    ".popsection",
);
