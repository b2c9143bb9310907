//! Whole runs of the models in `models/`, and loading them.
//!
//! What a peer takes for models of this kind: `cargo xtask bench`.

use std::fs;
use std::path::{Path, PathBuf};

use criterion::{BenchmarkId, Criterion};
use nowcast::load::{self, Options};
use nowcast::runtime::{Program, Session};
use nowcast::tensor::DType;

/// Of each kind of model one, and one export.
const MODELS: [&str; 10] = [
    "jfk-lstm/model.onnx",
    "jfk-sklearn-mlp/model.onnx",
    "jfk-temperature/model.onnx",
    "families/encoder_library_torchscript.onnx",
    "families/encoder_library_dynamo.onnx",
    "families/lstm_uni_torchscript.onnx",
    "families/gru_uni_torchscript.onnx",
    "families/tcn_torchscript.onnx",
    "families/nbeats_dynamo.onnx",
    "families/sklearn/random_forest_regressor.onnx",
];

fn path(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(model)
}

/// The largest extents, floats of a half and integers of zero; the first run is checked.
fn session<'p>(program: &'p Program<'p>) -> Session<'p> {
    let mut session = Session::new(program).expect("memory");
    for port in program.inputs() {
        for (name, _, max) in (0..port.rank()).filter_map(|axis| port.variable(axis)) {
            session.set_extent(name, max).expect("within its bounds");
        }
    }
    for (i, port) in program.inputs().enumerate() {
        if port.dtype == DType::F32 && !port.is_state() {
            session.input_mut::<f32>(i).expect("f32").fill(0.5);
        }
    }
    session.run().expect("runs");
    for (i, port) in program.outputs().enumerate() {
        if port.dtype == DType::F32 {
            let shape = session.output_shape(i).expect("an output");
            let mut y = vec![f32::NAN; shape.iter().product()];
            session.copy_output(i, &mut y).expect("f32");
            assert!(y.iter().all(|y| y.is_finite()), "{port:?}");
        }
    }
    session
}

fn main() {
    let mut c = Criterion::default().configure_from_args();
    for model in MODELS {
        let program = load::from_path(path(model), &Options::default()).expect(model);
        let mut session = session(&program);
        let name = model.trim_end_matches(".onnx").trim_end_matches("/model");
        c.bench_function(&format!("run/{name}"), |b| b.iter(|| session.run().expect("runs")));
    }
    let mut group = c.benchmark_group("load");
    group.sample_size(20);
    for model in [MODELS[2], MODELS[3], MODELS[9]] {
        let bytes = fs::read(path(model)).expect("a model");
        group.bench_with_input(BenchmarkId::from_parameter(model), &bytes, |b, bytes| {
            b.iter(|| load::from_bytes(bytes, &Options::default()).expect("loads"));
        });
    }
    group.finish();
    c.final_summary();
}
