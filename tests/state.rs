//! State that a session keeps in place gives what ONNX Runtime gives when the caller feeds each
//! output back by hand: growing caches of decoders, hidden states of recurrent layers.

use std::path::{Path, PathBuf};

use nowcast::engine::{Array, EngineOptions, OrtEngine, PortDim};
use nowcast::load::{self, Options};
use nowcast::runtime::{RunError, Session};
use nowcast::tensor::DType;

const STEPS: usize = 6;
/// As the parity suite: a part of the largest element.
const LIMIT: f32 = 1e-5;

/// Output and input names that belong together.
type Pairs = Vec<(String, String)>;

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/families").join(name)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let word = |c: &[u8]| f32::from_ne_bytes([c[0], c[1], c[2], c[3]]);
    bytes.chunks_exact(4).map(word).collect()
}

/// The free input of step `i`: a token, or some numbers.
fn step_input(dtype: DType, len: usize, i: usize) -> Vec<u8> {
    match dtype {
        DType::I64 => (0..len).flat_map(|j| ((7 * i + j) as i64 % 32).to_ne_bytes()).collect(),
        _ => (0..len).flat_map(|j| ((i * len + j) as f32).sin().to_ne_bytes()).collect(),
    }
}

/// Runs the oracle with outputs fed back by hand; the first output of each step.
fn by_hand(path: &Path, pairs: &Pairs) -> Vec<Vec<f32>> {
    let mut engine = OrtEngine::load(path, &EngineOptions::default()).expect("the oracle loads");
    let ports = engine.inputs().to_vec();
    let mut inputs: Vec<Array> = ports
        .iter()
        .map(|port| {
            // A cache begins without rows.
            let extent = |dim: &PortDim| match dim {
                PortDim::Fixed(n) => *n,
                PortDim::Open(_) => 0,
            };
            let shape: Vec<usize> = port.dims.iter().map(extent).collect();
            let bytes = vec![0; shape.iter().product::<usize>() * port.dtype.bytes()];
            Array { name: port.name.clone(), dtype: port.dtype, shape, bytes, labels: Vec::new() }
        })
        .collect();
    let mut first = Vec::new();
    for i in 0..STEPS {
        let len = inputs[0].shape.iter().product();
        inputs[0].bytes = step_input(inputs[0].dtype, len, i);
        let outputs = engine.run(&inputs).expect("the oracle runs");
        first.push(floats(&outputs[0].bytes));
        for (output, input) in pairs {
            let from = outputs.iter().find(|a| a.name == *output).expect("an output");
            let to = inputs.iter_mut().find(|a| a.name == *input).expect("an input");
            to.shape.clone_from(&from.shape);
            to.bytes.clone_from(&from.bytes);
        }
    }
    first
}

/// Step `i` served, and whether its first output is `want`.
fn serve(session: &mut Session<'_>, i: usize, want: &[f32]) {
    let dtype = session.program().inputs().next().expect("an input").dtype;
    let bytes = session.input_bytes_mut(0).expect("there");
    let input = step_input(dtype, bytes.len() / dtype.bytes(), i);
    bytes.copy_from_slice(&input);
    session.run().expect("has room");
    let got = session.output::<f32>(0).expect("f32");
    let scale = want.iter().fold(1e-30f32, |m, x| m.max(x.abs()));
    let difference = got.iter().zip(want).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(got.len() == want.len() && difference <= LIMIT * scale, "step {i}: {difference}");
}

fn check(name: &str, pairs: &Pairs, grows: bool) {
    assert!(std::env::var_os("NOWCAST_ORACLE").is_some(), "run through cargo xtask test");
    let path = model(name);
    let want = by_hand(&path, pairs);
    let mut options = Options::new();
    if grows {
        options = options.dim_range("past", 0, STEPS - 1);
    }
    for (output, input) in pairs {
        options = options.bind_state(output, input);
    }
    let program = load::from_path(&path, &options).expect("loads");
    assert!(program.memory().state_bytes > 0);
    let mut session = Session::new(&program).expect("runs");
    let mut saved = vec![0; session.snapshot_bytes()];
    for _ in 0..2 {
        for (i, want) in want.iter().enumerate() {
            if i == 2 {
                session.snapshot(&mut saved).expect("fits");
            }
            serve(&mut session, i, want);
        }
        if grows {
            assert_eq!(session.run(), Err(RunError::StateFull { max: STEPS - 1 }));
        }
        session.reset();
    }
    // From the snapshot on, the same answers again.
    session.restore(&saved).expect("fits");
    for (i, want) in want.iter().enumerate().skip(2) {
        serve(&mut session, i, want);
    }
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(o, i)| ((*o).to_owned(), (*i).to_owned())).collect()
}

#[test]
fn caches_of_decoders() {
    let each = ["key_0", "value_0", "key_1", "value_1"];
    let pairs: Pairs = each.iter().map(|s| (format!("present_{s}"), format!("past_{s}"))).collect();
    check("decoder_cache_torchscript.onnx", &pairs, true);
    check("decoder_cache_dynamo.onnx", &pairs, true);
}

#[test]
fn states_of_recurrent_layers() {
    let pairs = pairs(&[("hidden_out", "hidden_in"), ("cell_out", "cell_in")]);
    check("lstm_stateful_torchscript.onnx", &pairs, false);
    check("lstm_stateful_dynamo.onnx", &pairs, false);
}
