//! Compiles the counting `malloc`.

fn main() {
    println!("cargo::rerun-if-changed=src/heap.c");
    cc::Build::new().file("src/heap.c").opt_level(2).compile("heap");
    // ONNX Runtime is loaded later and finds our malloc only if the program exports it.
    println!("cargo::rustc-link-arg=-Wl,--export-dynamic");
}
