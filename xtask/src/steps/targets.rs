//! Other CPUs, under emulation.

use std::time::Instant;

use crate::context::{Context, Outcome, run};
use crate::steps::{cortex_m, cross};

/// The Cortex-M example, then the library's tests for AArch64.
pub(crate) fn all(context: &Context) -> Outcome {
    for (name, what) in
        [("cortex-m", cortex_m::example as fn(&Context) -> Outcome), ("aarch64", aarch64)]
    {
        println!("==> {name}");
        let start = Instant::now();
        what(context)?;
        println!("    {name} took {:.1} s\n", start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Unit tests and golden bits with NEON, in QEMU's user mode.
fn aarch64(context: &Context) -> Outcome {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let packages = [
        "libstd-rust-web-dev:arm64",
        "gcc-aarch64-linux-gnu",
        "libc6-dev-arm64-cross",
        "qemu-user",
    ];
    cross::install(context, &[cross::COMPILER, &packages].concat())?;
    run(
        cross::cargo(context, &context.root, "test", TARGET)
            .args(["--package", "nowcast", "--no-default-features", "--features", "std"])
            .args(["--lib", "--test", "determinism", "--test", "forms"])
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
            // Without a system root of that CPU, which makes threads hang in QEMU, there is no
            // dynamic loader.
            .env(
                "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
                "-C target-feature=+crt-static",
            )
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "qemu-aarch64"),
        "a test failed on AArch64",
    )
}
