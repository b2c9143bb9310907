//! What the record says of the machine and of the runtimes.

use std::{env, fs};

use nowcast::kernels::Level;

use crate::engines::Engine;

/// The CPU as Linux names it, with the numbers that tell one generation from another.
pub(crate) fn cpu() -> String {
    let of = |key| field("/proc/cpuinfo", key);
    format!(
        "{}, family {}, model {}",
        of("model name").unwrap_or_else(|| env::consts::ARCH.to_owned()),
        of("cpu family").unwrap_or_default(),
        of("model\t").unwrap_or_default()
    )
}

/// Its name as that of a file.
pub(crate) fn slug() -> String {
    let cpu = cpu().to_lowercase().replace(" family", "").replace(" model", "");
    let words = cpu.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// First-, second- and third-level caches, as far as Linux says.
pub(crate) fn caches() -> String {
    let cache = |i: u32| {
        let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{i}");
        let read = |name: &str| fs::read_to_string(format!("{folder}/{name}"));
        let (level, kind, size) = (read("level").ok()?, read("type").ok()?, read("size").ok()?);
        (kind.trim() != "Instruction").then(|| format!("L{} {}", level.trim(), size.trim()))
    };
    let caches: Vec<String> = (0..4).filter_map(cache).collect();
    if caches.is_empty() { "unknown".to_owned() } else { caches.join(", ") }
}

/// The instruction set that ours runs on.
pub(crate) fn isa(forced: Option<&str>) -> &str {
    forced.unwrap_or_else(|| Level::detect().isa().name())
}

fn field(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The version of a runtime.
pub(crate) fn version(engine: Engine) -> String {
    match engine {
        Engine::Nowcast => locked("nowcast"),
        // The library's name ends in it.
        Engine::Ort => {
            let path = env::var("ORT_DYLIB_PATH").unwrap_or_default();
            path.split_once(".so.").map_or(String::new(), |(_, version)| version.to_owned())
        }
        Engine::Tract => locked("tract-onnx"),
        Engine::Rten => locked("rten"),
        Engine::Mkl => pinned("mkl"),
        Engine::Numpy => pinned("numpy"),
    }
}

/// The version of a package of Python.
fn pinned(package: &str) -> String {
    let pins = include_str!("../requirements.txt").lines();
    let version = pins.filter_map(|line| line.split_once("==")).find(|(name, _)| *name == package);
    version.map_or(String::new(), |(_, version)| version.to_owned())
}

/// The version of a package in our lock file.
fn locked(package: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    let behind = lock.split_once(&format!("name = \"{package}\"\nversion = \""));
    let version = behind.and_then(|(_, rest)| rest.split_once('"'));
    version.map_or(String::new(), |(version, _)| version.to_owned())
}
