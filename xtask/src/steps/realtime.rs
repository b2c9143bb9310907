//! The real-time promises: tests that count, a child that dies at a system call, and the
//! realtime sanitizer.

use std::env;

use crate::context::{Context, Outcome, host, run};
use crate::steps::cargo_tests::cargo_test;

pub(crate) fn tests(context: &Context) -> Outcome {
    run(
        cargo_test(context)?.args(["--test", "no_alloc", "--test", "no_syscall"]),
        "a serving call allocates, calls the system or faults",
    )
}

/// Runs `tests/no_alloc.rs` with every serving call marked `nonblocking`, under the sanitizer
/// that ends the process at a blocking call. It is a verb of its own because the whole library is
/// compiled once more, and because the flags are not stable yet.
pub(crate) fn sanitizer(context: &Context) -> Outcome {
    let host = host(context)?;
    // A folder of its own: other flags would otherwise throw away what is built.
    let target = context.target().join("rtsan");
    let flags = env::var("RUSTFLAGS").unwrap_or_default();
    run(
        context
            .cargo(["test", "--quiet", "--package", "nowcast", "--test", "no_alloc"])
            .args(["--no-default-features", "--features", "onnx", "--target", &host])
            .arg("--target-dir")
            .arg(target)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", format!("{flags} -Zsanitizer=realtime --cfg nowcast_rtsan")),
        "a serving call blocks, or this toolchain has no realtime sanitizer for its host",
    )
}
