//! The answers of ONNX Runtime to its own operators (com.microsoft), node by node, and to the
//! models in the repository as its optimizer and quantizers rewrite them.
//!
//! `tests/oracle/contrib.py` writes models and answers with a fixed seed, and states how far each
//! answer may be off: a float by a part of its output's largest element, an integer of eight bits
//! by some steps, other integers not at all.
#![expect(dead_code, reason = "the index of the node suite, of which a part is used")]

mod adapter;
#[path = "conformance/index.rs"]
mod index;

use std::path::Path;

use adapter::Array;
use index::Case;
use nowcast::tensor::DType;

#[test]
fn rewritten_models() {
    let oracle = std::env::var_os("NOWCAST_ORACLE").expect("run through cargo xtask test");
    let folder = Path::new(&oracle).join("contrib");
    let mut cases = index::read(&folder);
    assert!(!cases.is_empty(), "tests/oracle/contrib.py writes cases");
    if let Ok(text) = std::env::var("NOWCAST_CASE") {
        cases.retain(|case| case.name.contains(&text));
    }
    let mut failures = Vec::new();
    for case in &cases {
        match check(&folder, case) {
            Ok(off) => println!("contrib: {}: {off}", case.name),
            Err(text) => failures.push(format!("{}: {text}", case.name)),
        }
    }
    println!("contrib: {} of {} cases agree", cases.len() - failures.len(), cases.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// How far the answers are off, in words, or what is wrong with them.
fn check(folder: &Path, case: &Case) -> Result<String, String> {
    let (inputs, expected) = (case.arrays(folder, "input", 0)?, case.arrays(folder, "output", 0)?);
    let model = folder.join(&case.name).join("model.onnx");
    let got = adapter::answer(&model, &inputs, &[]).map_err(|failure| failure.to_string())?;
    if got.len() != expected.len() {
        return Err(format!("{} outputs, expected {}", got.len(), expected.len()));
    }
    let mut worst = (0.0f64, 0.0f64);
    for (got, expected) in got.iter().zip(&expected) {
        let kind = |a: &Array| format!("{} {}{:?}", a.name, a.dtype, a.shape);
        if kind(got) != kind(expected) {
            return Err(format!("output {} should be {}", kind(got), kind(expected)));
        }
        let pairs = numbers(got).into_iter().zip(numbers(expected));
        let (mut off, mut scale) = (0.0f64, 1e-30f64);
        for (a, b) in pairs {
            if a.is_nan() != b.is_nan() || a.is_infinite() != b.is_infinite() {
                return Err(format!("output `{}` has {a} where {b} is expected", got.name));
            }
            if b.is_finite() {
                off = off.max((a - b).abs());
                scale = scale.max(b.abs());
            }
        }
        let (part, steps) = match expected.dtype {
            DType::F32 | DType::F64 => (off / scale, 0.0),
            _ => (0.0, off),
        };
        let limit = if matches!(expected.dtype, DType::U8 | DType::I8) { case.atol } else { 0.0 };
        if part > case.rtol || steps > limit {
            return Err(format!("output `{}` is off by {part:.1e}, {steps} steps", got.name));
        }
        worst = (worst.0.max(part), worst.1.max(steps));
    }
    Ok(format!("off by {:.1e} of the largest element, {} steps", worst.0, worst.1))
}

/// The elements of an array as numbers; those of 64 bits are small in these cases.
fn numbers(array: &Array) -> Vec<f64> {
    macro_rules! read {
        ($number:ty) => {{
            let number = |b: &[u8]| <$number>::from_ne_bytes(b.try_into().expect("whole")) as f64;
            array.bytes.chunks_exact(size_of::<$number>()).map(number).collect()
        }};
    }
    match array.dtype {
        DType::F32 => read!(f32),
        DType::F64 => read!(f64),
        DType::I64 => read!(i64),
        DType::I32 => read!(i32),
        DType::I16 => read!(i16),
        DType::I8 => read!(i8),
        DType::U64 => read!(u64),
        DType::U32 => read!(u32),
        DType::U16 => read!(u16),
        _ => read!(u8),
    }
}
