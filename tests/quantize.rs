//! Quantized models: what they lose, that they are sound, and that ONNX Runtime runs them with the
//! same answers.

mod adapter;

use std::path::{Path, PathBuf};

use adapter::models::Random;
use nowcast::forecast::{ForecastSession, Forecaster, calendar::DateTime};
use nowcast::graph::Tensor;
use nowcast::load;
use nowcast::quantize::{
    Activations, Calibration, Forecasts, Method, Mode, Model, Options, Samples, quantize,
};
use nowcast::tensor::DType;
use serde_json::Value;

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models");

fn model(name: &str) -> PathBuf {
    Path::new(MODELS).join(name)
}

/// Times and values of the series that the shipped forecasters use.
fn series() -> (i64, Vec<f32>) {
    let text = std::fs::read_to_string(model("jfk-temperature/series.csv")).expect("a series");
    let mut first = None;
    let mut values = Vec::new();
    for line in text.lines().skip(1) {
        let (time, value) = line.split_once(',').expect("two columns");
        first.get_or_insert_with(|| seconds(time));
        values.push(value.parse().expect("a number"));
    }
    (first.expect("a line"), values)
}

fn seconds(time: &str) -> i64 {
    time.parse::<DateTime>().expect("a time").unix_seconds()
}

/// What a shipped model's manifest says it scores on the test windows is what it scores, and that is
/// at most one per cent worse than the float model.
#[test]
fn shipped_models_lose_less_than_one_per_cent() {
    let (first, values) = series();
    for name in ["jfk-temperature", "jfk-lstm", "jfk-sklearn-mlp"] {
        let int8 = model(&format!("{name}-int8"));
        let manifest = std::fs::read_to_string(int8.join("manifest.json")).expect("a manifest");
        let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
        let part = &manifest["split"]["test"];
        let at = |key: &str| {
            let time = seconds(part[key].as_str().expect("a time"));
            ((time - first) / 3600) as usize
        };
        let (from, to) = (at("first_target"), at("last_target") + 1);
        let forecaster = Forecaster::from_folder(&int8).expect("a forecaster");
        let context = forecaster.context();
        let time = first + (from - context) as i64 * 3600;
        let windows = &values[from - context..to];
        let loss = |folder: &Path| {
            let forecasts = Forecasts::new(folder, windows, time, usize::MAX).expect("forecasts");
            assert_eq!(forecasts.len() as u64, part["windows"].as_u64().expect("a number"));
            let onnx = std::fs::read(folder.join("model.onnx")).expect("a model");
            forecasts.quantile_loss(&onnx).expect("a loss")
        };
        let (float, quantized) = (loss(&model(name)), loss(&int8));
        assert!(quantized <= float * 1.01, "{name}: {quantized} after {float}");
        let scores = &manifest["test_scores"];
        for (loss, key) in [(float, "float"), (quantized, "model")] {
            let stated = scores[key]["wql"].as_f64().expect("a score");
            assert!((loss - stated).abs() < 2e-5, "{name}: {key}: {loss}, stated {stated}");
        }
    }
}

/// Random samples for a model whose open dimensions are `open`.
fn samples(model: &Model, path: &Path, open: usize) -> Samples {
    const COUNT: usize = 3;
    let program = {
        let names = nowcast::onnx::names(&std::fs::read(path).expect("a file")).expect("names");
        let options = names.dims.iter().fold(load::Options::new(), |options, dim| {
            options.dim(dim, if dim.contains("batch") { 1 } else { open })
        });
        load::from_path(path, &options).expect("a program")
    };
    let mut random = Random::new(&path.display().to_string());
    let mut arrays = Vec::new();
    for port in program.inputs() {
        let extents: Vec<usize> =
            (0..port.rank()).map(|axis| port.fixed_extent(axis).expect("fixed")).collect();
        let shape = [&[COUNT], &extents[..]].concat();
        let elements = random.elements(port.dtype, shape.iter().product());
        arrays.push((port.name.to_owned(), Tensor::from_bytes(port.dtype, &shape, &elements)));
    }
    Samples::new(model, &arrays, usize::MAX).expect("samples")
}

/// Small models of several exporters, and an extent for their open dimensions.
const FAMILIES: [(&str, usize); 10] = [
    ("mlp_torchscript.onnx", 1),
    ("mlp_sklearn.onnx", 1),
    ("mlp_jax.onnx", 1),
    ("mlp_keras.onnx", 1),
    ("encoder_library_torchscript.onnx", 7),
    ("encoder_hand_dynamo.onnx", 7),
    ("tcn_torchscript.onnx", 7),
    ("lstm_bi_torchscript.onnx", 7),
    ("lstm_stateful_torchscript.onnx", 7),
    ("bag_torchscript.onnx", 7),
];

fn families() -> impl Iterator<Item = (PathBuf, usize)> {
    FAMILIES.into_iter().map(|(name, open)| (model("families").join(name), open))
}

/// Every form that is written, and the largest loss in per cent that it may have on small random
/// models: 8 bits are precise to half a per cent of a range, 4 bits to 7.
fn forms() -> [(&'static str, Options, f64); 7] {
    [
        ("static", Options::new(Mode::Static), 4.0),
        ("static i8", Options::new(Mode::Static).activations(Activations::I8), 4.0),
        ("static mse", Options::new(Mode::Static).method(Method::Mse).per_tensor(), 5.0),
        ("dynamic", Options::new(Mode::Dynamic), 4.0),
        ("dynamic per tensor", Options::new(Mode::Dynamic).per_tensor(), 5.0),
        ("weights", Options::new(Mode::Weights), 4.0),
        ("weights of 4 bits", Options::new(Mode::Weights).int4(16), 40.0),
    ]
}

#[test]
fn every_form_of_every_family_loses_little() {
    for (path, open) in families().filter(|(path, _)| path.exists()) {
        let float = Model::from_path(&path).expect("a model");
        let samples = Calibration::Samples(samples(&float, &path, open));
        for (form, options, limit) in forms() {
            let what = format!("{}: {form}", path.display());
            let options = options.table(false);
            let quantized = match quantize(&float, Some(&samples), &options, &mut |_| {}) {
                Ok(quantized) => quantized,
                Err(error) => panic!("{what}: {error}"),
            };
            assert!(!quantized.layers.is_empty(), "{what}");
            let loss = quantized.loss.expect("a loss");
            assert!(loss < limit, "{what} loses {loss} %");
            let again = Model::from_bytes(&quantized.onnx).expect("a model");
            assert!(again.input_names().eq(float.input_names()), "{what}");
        }
    }
}

/// Layers that lose most stay in float, as few as suffice.
#[test]
fn a_loss_is_kept() {
    let path = model("families/mlp_torchscript.onnx");
    let float = Model::from_path(&path).expect("a model");
    let samples = Calibration::Samples(samples(&float, &path, 1));
    let all = Options::new(Mode::Weights).int4(32);
    let whole = quantize(&float, Some(&samples), &all, &mut |_| {}).expect("quantized");
    let lost = whole.loss.expect("a loss");
    let least = whole.layers.iter().filter_map(|l| l.loss).fold(f64::INFINITY, f64::min);
    let limit = (lost + least) / 2.0;
    let options = all.clone().max_loss(limit);
    let some = quantize(&float, Some(&samples), &options, &mut |_| {}).expect("quantized");
    assert!(some.loss.expect("a loss") <= limit);
    let kept = some.layers.iter().filter(|layer| !layer.is_quantized).count();
    assert!((1..whole.layers.len()).contains(&kept), "{:?}", some.layers);
    let worst = |quantized: bool| {
        let losses = some.layers.iter().filter(|l| l.is_quantized == quantized);
        losses.filter_map(|l| l.loss).fold(0.0, f64::max)
    };
    assert!(worst(false) >= worst(true), "{:?}", some.layers);
    let nothing = quantize(&float, Some(&samples), &all.max_loss(1e-9), &mut |_| {});
    let error = nothing.expect_err("impossible").to_string();
    assert!(error.contains("allow more"), "{error}");
}

#[test]
fn a_forecast_is_what_is_served() {
    let (first, values) = series();
    let forecasts = Forecasts::new(model("jfk-lstm"), &values[..200], first, 3).expect("three");
    assert_eq!(forecasts.len(), 3);
    let samples = forecasts.samples();
    let forecaster = Forecaster::from_folder(model("jfk-lstm")).expect("a forecaster");
    let mut session = ForecastSession::new(&forecaster).expect("a session");
    session.forecast(&values[..96], first + 96 * 3600).expect("a forecast");
    let names: Vec<&str> = samples.sample(0).expect("one").map(|(name, _)| name).collect();
    assert_eq!(names, ["context", "calendar"]);
    for (_, tensor) in samples.sample(2).expect("the last") {
        assert_eq!(tensor.dtype(), DType::F32);
    }
    let short = Forecasts::new(model("jfk-lstm"), &values[..119], first, 3).expect_err("short");
    assert!(short.to_string().contains("too short a series"), "{short}");
}

/// Whatever the bytes are, there is a model or an error.
#[test]
fn damaged_models_are_refused_or_quantized() {
    let path = model("families/mlp_torchscript.onnx");
    let whole = std::fs::read(&path).expect("a file");
    let float = Model::from_path(&path).expect("a model");
    let samples = Calibration::Samples(samples(&float, &path, 1));
    let mut random = Random::new("damage");
    let mut number = |limit: usize| {
        let bytes = random.elements(DType::F64, 1);
        let unit = f64::from_ne_bytes(bytes.try_into().expect("eight")) / 2.0 + 0.5;
        ((unit * limit as f64) as usize).min(limit - 1)
    };
    let mut quantized = 0;
    for round in 0..300 {
        let mut bytes = whole.clone();
        if round % 10 == 0 {
            bytes.truncate(number(whole.len()));
        } else {
            for _ in 0..=number(3) {
                let at = number(bytes.len());
                bytes[at] = number(256) as u8;
            }
        }
        let Ok(model) = Model::from_bytes(&bytes) else { continue };
        for mode in [Mode::Static, Mode::Dynamic, Mode::Weights] {
            let options = Options::new(mode).table(false);
            quantized +=
                usize::from(quantize(&model, Some(&samples), &options, &mut |_| {}).is_ok());
        }
    }
    assert!(quantized > 0, "damage of weights leaves a model");
}

#[cfg(all(feature = "ort", feature = "oracle-tests"))]
mod in_onnx_runtime {
    use super::*;
    use nowcast::engine::{Array, EngineOptions, OrtEngine, Rewrite};

    fn floats(array: &Array) -> Vec<f64> {
        let (_, bytes) = array.bytes.as_chunks::<4>().0.split_at(0);
        bytes.iter().map(|bytes| f64::from(f32::from_ne_bytes(*bytes))).collect()
    }

    /// The largest difference over the largest element.
    fn part(got: &[f64], expected: &[f64]) -> f64 {
        assert_eq!(got.len(), expected.len());
        let largest = expected.iter().fold(1e-30f64, |largest, x| largest.max(x.abs()));
        got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
    }

    /// ONNX Runtime runs what is written, as it stands and rewritten; as it stands, its answers
    /// are ours. Where both round to integers, one may break a tie the other way: an answer may
    /// then differ by what a step is worth, a 255th, and seldom does.
    #[test]
    fn every_form_answers_alike() {
        const STEP: f64 = 1.0 / 255.0;
        let mut exact = 0;
        let mut all = 0;
        for (path, open) in families().filter(|(path, _)| path.exists()) {
            let float = Model::from_path(&path).expect("a model");
            let samples = samples(&float, &path, open);
            let data = Calibration::Samples(samples.clone());
            for (form, options, _) in forms() {
                let what = format!("{}: {form}", path.display());
                let options = options.table(false);
                let quantized =
                    quantize(&float, Some(&data), &options, &mut |_| {}).expect("quantized");
                let engine = |rewrite| {
                    let mut options = EngineOptions::default();
                    options.rewrite = rewrite;
                    OrtEngine::load_bytes(&quantized.onnx, &options)
                        .unwrap_or_else(|error| panic!("{what}: {error}"))
                };
                let inputs: Vec<Array> = samples
                    .sample(0)
                    .expect("a sample")
                    .map(|(name, tensor)| Array {
                        name: name.to_owned(),
                        dtype: tensor.dtype(),
                        shape: tensor.shape().to_vec(),
                        bytes: tensor.bytes().to_vec(),
                        labels: Vec::new(),
                    })
                    .collect();
                let expected = engine(Rewrite::None).run(&inputs).expect("an answer");
                let rewritten = engine(Rewrite::Full).run(&inputs).expect("an answer");
                let ours = ours(&quantized.onnx, &inputs);
                for ((ours, expected), rewritten) in ours.iter().zip(&expected).zip(&rewritten) {
                    let own = part(&floats(rewritten), &floats(expected));
                    let off = part(&ours.to_f64s(), &floats(expected));
                    assert!(off <= own.max(STEP), "{what}: off by {off:.1e}, rewritten {own:.1e}");
                    all += 1;
                    exact += usize::from(off <= 1e-5);
                }
            }
        }
        println!("quantize: {exact} of {all} answers within 1e-5");
        assert!(exact * 2 >= all, "{exact} of {all}");
    }

    fn ours(onnx: &[u8], inputs: &[Array]) -> Vec<Tensor> {
        let options = inputs.iter().fold(load::Options::new(), |options, array| {
            options.input_shape(&array.name, &array.shape)
        });
        let program = load::from_bytes(onnx, &options).expect("a program");
        let mut session = nowcast::runtime::Session::new(&program).expect("a session");
        for array in inputs {
            let Some(i) = program.input_index(&array.name) else { continue };
            session.input_bytes_mut(i).expect("an input").copy_from_slice(&array.bytes);
        }
        session.run().expect("a run");
        let output = |(i, port): (usize, nowcast::runtime::Port<'_>)| {
            let shape = session.output_shape(i).expect("a shape");
            Tensor::from_bytes(port.dtype, &shape, session.output_bytes(i).expect("bytes"))
        };
        program.outputs().enumerate().map(output).collect()
    }
}
