//! The answers of ONNX Runtime, on every model in the repository.
//!
//! A float output may differ by 1e-5 of the largest element of that output, one of f16 or bf16 by
//! two units in the last place of that element; other outputs not at all. The reference is the model as written: ONNX Runtime with no graph rewriting, one thread.
//! A quantized model is rounded at many places where either runtime may break a tie the other
//! way: there ONNX Runtime's own rewriting sets the measure, and we must be no further off.

mod adapter;

use std::path::Path;

use adapter::models::{Random, models, open_extent};
use nowcast::engine::{Array, EngineOptions, OrtEngine, Port, PortDim, Rewrite};
use nowcast::tensor::{DType, widen};

/// Largest difference, as a part of the largest element.
const LIMIT: f64 = 1e-5;

/// The same for an output of some type. Both runtimes round halves where they give them out, and
/// may round the last sum otherwise.
fn limit(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2.0 / f64::from(1 << 10),
        DType::BF16 => 2.0 / f64::from(1 << 7),
        _ => LIMIT,
    }
}

#[test]
fn every_model() {
    assert!(std::env::var_os("NOWCAST_ORACLE").is_some(), "run through cargo xtask test");
    let mut models = models();
    assert!(!models.is_empty(), "there is no model under models/");
    if let Ok(part) = std::env::var("NOWCAST_MODEL") {
        models.retain(|model| model.display().to_string().contains(&part));
    }
    let mut failures = Vec::new();
    for model in &models {
        let name = model.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(model).display();
        match difference(model) {
            Ok(part) => println!("parity: {name}: {part:.1e} of the largest element"),
            Err(text) => failures.push(format!("{name}: {text}")),
        }
    }
    println!("parity: {} of {} models agree", models.len() - failures.len(), models.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The reference answers of the node suite itself are reached through the same engine: the
/// wrapper hands arrays over correctly, for every element type that nowcast knows.
#[test]
fn the_oracle_answers_the_node_suite() {
    let oracle = std::env::var_os("NOWCAST_ORACLE").expect("run through cargo xtask test");
    let case = |name: &str| Path::new(&oracle).join("node").join(name).join("model.onnx");
    // With every byte of the answer to inputs of zeros.
    for (name, dtype, zero) in [
        ("test_transpose_default", DType::F32, 0),
        ("test_equal", DType::Bool, 1),
        ("test_max_float64", DType::F64, 0),
        ("test_max_int8", DType::I8, 0),
        ("test_bitwise_and_i16_3d", DType::I16, 0),
        ("test_max_int32", DType::I32, 0),
        ("test_max_int64", DType::I64, 0),
        ("test_max_uint8", DType::U8, 0),
        ("test_bitwise_not_3d", DType::U16, 255),
        ("test_max_uint32", DType::U32, 0),
        ("test_max_uint64", DType::U64, 0),
        ("test_max_float16", DType::F16, 0),
    ] {
        let mut engine = OrtEngine::load(case(name), &EngineOptions::default()).expect(name);
        let inputs = inputs_for(name, engine.inputs());
        let outputs = engine.run(&inputs).expect(name);
        assert_eq!(outputs[0].dtype, dtype, "{name}");
        assert_eq!(outputs[0].name, engine.outputs()[0].name, "{name}");
        let mut call = engine.prepare(&inputs).expect(name);
        assert_eq!(call.run_and_read().expect(name), outputs, "{name}: bound buffers");
        // The bound buffers are really read.
        for (i, input) in inputs.iter().enumerate() {
            call.set_input(i, &vec![0; input.bytes.len()]).expect(name);
            assert!(call.set_input(i, &[]).is_err(), "{name}: a short input is refused");
        }
        let zeros = call.run_and_read().expect(name).remove(0);
        assert!(zeros.bytes.iter().all(|&byte| byte == zero), "{name}: {zeros:?}");
    }
}

#[test]
fn the_oracle_refuses_in_words() {
    let oracle = std::env::var_os("NOWCAST_ORACLE").expect("run through cargo xtask test");
    let model = Path::new(&oracle).join("node/test_add/model.onnx");
    let options = EngineOptions::default();
    let error = OrtEngine::load_bytes(b"not a model", &options).map(drop).unwrap_err();
    assert!(error.to_string().starts_with("ONNX Runtime does not load the model"), "{error}");
    let mut engine = OrtEngine::load(&model, &options).expect("a good model");
    let error = engine.run(&[]).unwrap_err().to_string();
    assert_eq!(error, "input `x`: missing");
    let mut inputs = inputs_for("test_add", engine.inputs());
    inputs[0].dtype = DType::F64;
    let error = engine.run(&inputs).unwrap_err().to_string();
    assert_eq!(error, "input `x`: is f64, the model wants f32");
}

/// Seeded arrays for the inputs of a model; open dimensions are small.
fn inputs_for(name: &str, ports: &[Port]) -> Vec<Array> {
    let mut random = Random::new(name);
    let array = |port: &Port| {
        let extents = port.dims.iter().enumerate().map(|(axis, dim)| match dim {
            PortDim::Fixed(extent) => *extent,
            PortDim::Open(symbol) => open_extent(axis, symbol),
        });
        let shape: Vec<usize> = extents.collect();
        let mut bytes = random.elements(port.dtype, shape.iter().product());
        if port.name.ends_with("_with_gaps") {
            let gap = f32::NAN.to_ne_bytes();
            bytes.chunks_exact_mut(gap.len()).step_by(5).for_each(|x| x.copy_from_slice(&gap));
        }
        Array { name: port.name.clone(), dtype: port.dtype, shape, bytes, labels: Vec::new() }
    };
    ports.iter().map(array).collect()
}

/// The largest difference of any float output as a part of its largest element, or what differs
/// by more than it may.
fn difference(model: &Path) -> Result<f64, String> {
    let load = |rewrite| {
        let mut options = EngineOptions::default();
        options.rewrite = rewrite;
        OrtEngine::load(model, &options).map_err(|error| error.to_string())
    };
    let run = |engine: &mut OrtEngine, inputs: &[Array]| {
        let outputs = engine.run(inputs).map_err(|error| error.to_string())?;
        Ok::<Vec<_>, String>(outputs.into_iter().map(to_adapter).collect())
    };
    let mut reference = load(Rewrite::None)?;
    let inputs = inputs_for(&model.display().to_string(), reference.inputs());
    let expected = run(&mut reference, &inputs)?;
    let limits: Vec<f64> = if is_quantized(model) {
        let rewritten = run(&mut load(Rewrite::Full)?, &inputs)?;
        let part = |(rewritten, expected)| part(rewritten, expected).map(|part| part.max(LIMIT));
        rewritten.iter().zip(&expected).map(part).collect::<Result<_, _>>()?
    } else {
        expected.iter().map(|output| limit(output.dtype)).collect()
    };
    let ours: Vec<adapter::Array> = inputs.into_iter().map(to_adapter).collect();
    let got = adapter::answer(model, &ours, &[]).map_err(|failure| failure.to_string())?;
    let got: Vec<_> = got.into_iter().zip(&expected).map(|(g, e)| relabelled(g, e)).collect();
    if got.len() != expected.len() {
        return Err(format!("{} outputs, expected {}", got.len(), expected.len()));
    }
    let mut largest: f64 = 0.0;
    for ((got, expected), limit) in got.iter().zip(&expected).zip(limits) {
        let part = part(got, expected)?;
        if part > limit {
            let name = &expected.name;
            return Err(format!("output `{name}` is off by {part:.1e} of its largest element"));
        }
        largest = largest.max(part);
    }
    Ok(largest)
}

/// An array whose labels are numbered as those of another: text is compared as text.
fn relabelled(array: adapter::Array, like: &adapter::Array) -> adapter::Array {
    let adapter::Array { name, dtype, shape, bytes, labels } = array;
    let mut array = Array { name, dtype, shape, bytes, labels };
    array.relabel(&like.labels);
    to_adapter(array)
}

/// Whether the model computes in integers anywhere: the names of such operators are in its bytes.
fn is_quantized(model: &Path) -> bool {
    let bytes = std::fs::read(model).unwrap_or_default();
    let holds = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    ["QuantizeLinear", "QLinear", "MatMulInteger", "ConvInteger"].into_iter().any(holds)
}

/// The largest difference as a part of the largest expected element; an error where the arrays
/// differ in kind, in a bit of a type that must be exact, or in where they are not finite.
fn part(got: &adapter::Array, expected: &adapter::Array) -> Result<f64, String> {
    let name = &expected.name;
    let kind = |a: &adapter::Array| format!("{} {}{:?}", a.name, a.dtype, a.shape);
    if kind(got) != kind(expected) || got.bytes.len() != expected.bytes.len() {
        return Err(format!("output {} should be {}", kind(got), kind(expected)));
    }
    if !expected.dtype.is_float() {
        let same = got.bytes == expected.bytes;
        return if same { Ok(0.0) } else { Err(format!("output `{name}` differs")) };
    }
    let (mut difference, mut scale) = (0f64, 1e-30f64);
    for (got, expected) in floats(got).into_iter().zip(floats(expected)) {
        if expected.is_finite() && got.is_finite() {
            difference = difference.max((got - expected).abs());
            scale = scale.max(expected.abs());
        } else if got != expected && !(got.is_nan() && expected.is_nan()) {
            return Err(format!("output `{name}` has {got} where {expected} is expected"));
        }
    }
    Ok(difference / scale)
}

fn floats(array: &adapter::Array) -> Vec<f64> {
    let (size, bytes) = (array.dtype.bytes(), &array.bytes);
    let single = |b: &[u8]| f32::from_ne_bytes(b.try_into().expect("four bytes")).into();
    let double = |b: &[u8]| f64::from_ne_bytes(b.try_into().expect("eight bytes"));
    match array.dtype {
        DType::F32 => bytes.chunks_exact(size).map(single).collect(),
        small if small.is_small() => {
            let bits = |b: &[u8]| b.iter().rev().fold(0, |n, byte| n << 8 | u16::from(*byte));
            bytes.chunks_exact(size).map(|b| widen(small, bits(b)).into()).collect()
        }
        _ => bytes.chunks_exact(size).map(double).collect(),
    }
}

fn to_adapter(array: Array) -> adapter::Array {
    let Array { name, dtype, shape, bytes, labels } = array;
    adapter::Array { name, dtype, shape, bytes, labels }
}
