//! The models in the repository, and seeded inputs for them.

use std::path::{Path, PathBuf};

use nowcast::tensor::{DType, Rounding, narrow};

/// Every ONNX file under `models/`, in order of path.
pub(crate) fn models() -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models"), &mut found);
    found.sort();
    found
}

/// Every folder of a forecaster under `models/`, in order of path.
pub(crate) fn forecasters() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path());
    let mut found: Vec<_> = folders.filter(|f| f.join("forecaster.json").exists()).collect();
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "onnx") {
            found.push(path);
        }
    }
}

/// The extent of an open dimension: its name decides, or its place where it has none. Inputs that
/// share a name get the same extent.
pub(crate) fn open_extent(axis: usize, symbol: &str) -> usize {
    let symbol = symbol.to_ascii_lowercase();
    let is_batch = symbol.contains("batch") || matches!(symbol.as_str(), "n" | "b");
    match symbol.as_str() {
        // Of tables: enough to see many ways through a tree.
        "rows" => 61,
        _ if is_batch || (symbol.is_empty() && axis == 0) => 2,
        _ => 5,
    }
}

/// SplitMix64: inputs are the same on every host and in every run.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
pub(crate) struct Random(u64);

impl Random {
    /// A sequence that depends on the name alone.
    pub(crate) fn new(name: &str) -> Self {
        let file = Path::new(name).file_name().map_or(name.as_bytes(), |n| n.as_encoded_bytes());
        Self(file.iter().fold(1, |state: u64, &b| state.wrapping_mul(31).wrapping_add(b.into())))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Elements as bytes: floats uniform in -1..1, integers and booleans zero or one, which is a
    /// valid index, token and mask.
    pub(crate) fn elements(&mut self, dtype: DType, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len * dtype.bytes());
        for _ in 0..len {
            let bits = self.next();
            let unit = (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
            match dtype {
                DType::F32 => bytes.extend((unit as f32).to_ne_bytes()),
                DType::F64 => bytes.extend(unit.to_ne_bytes()),
                DType::F16 | DType::BF16 => {
                    bytes.extend(narrow(dtype, unit, Rounding::default()).to_ne_bytes());
                }
                _ => {
                    let start = bytes.len();
                    bytes.resize(start + dtype.bytes(), 0);
                    let low = if cfg!(target_endian = "little") { start } else { bytes.len() - 1 };
                    bytes[low] = (bits >> 63) as u8;
                }
            }
        }
        bytes
    }
}
