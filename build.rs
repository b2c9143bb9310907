//! Names what stable Rust does not: a Cortex-M target whose floating-point unit has the fused
//! multiply-add.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(cortex_m_fpu)");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let target = variable("TARGET");
    // The units of these two architectures, FPv4-SP and FPv5, have `vfma.f32`; those of the R
    // profile, which the same name of the ABI stands for, need not.
    let main_line = ["thumbv7em-", "thumbv8m.main-"].iter().any(|name| target.starts_with(name));
    if main_line && variable("CARGO_CFG_TARGET_ABI") == "eabihf" {
        println!("cargo::rustc-cfg=cortex_m_fpu");
    }
}
