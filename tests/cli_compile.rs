//! `nowcast compile`, and bundles in the other verbs.

#[path = "cli_run/call.rs"]
mod call;
#[path = "cli_run/onnx_file.rs"]
mod onnx_file;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use call::{
    fails, folder, json as json_of, nowcast, output, prints, read_npy, write_f32, write_npy,
};

const ROWS: [[f32; 4]; 2] = [[1.0, 2.0, 3.0, 4.0], [-1.0, 0.5, 0.0, -4.0]];
const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models");

/// A folder with `affine.nowcast`, of which a row count of 1 to 8 is chosen per call.
fn compiled(name: &str) -> PathBuf {
    let folder = folder(name);
    write_f32(&folder.join("x.npy"), &[2, 4], ROWS.as_flattened());
    prints(&folder, &["compile", "affine.onnx", "--dim", "rows=1..8", "-o", "affine.nowcast"]);
    folder
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let folder = compiled("bytes");
    let again = ["compile", "affine.onnx", "--dim", "rows=1..8", "-o", "again.nowcast"];
    let report = json_of(&folder, &again);
    let read = |name: &str| fs::read(folder.join(name)).expect("there");
    let bytes = read("affine.nowcast");
    assert_eq!(bytes, read("again.nowcast"));
    assert_eq!(report["bytes"], bytes.len());
    assert_eq!(report["models"], json!(["affine"]));
    assert_eq!(report["sections"][0]["tag"], "PROG");
    assert!(report["programs"][0]["session_bytes"].as_u64() > Some(0));

    // Neither the place of the file nor how it comes counts.
    fs::create_dir(folder.join("elsewhere")).expect("a folder");
    fs::copy(folder.join("affine.onnx"), folder.join("elsewhere/other.onnx")).expect("copied");
    let named =
        ["compile", "affine=elsewhere/other.onnx", "--dim=rows=1..8", "-o", "again.nowcast"];
    prints(&folder, &named);
    assert_eq!(bytes, read("again.nowcast"));
    let input = fs::File::open(folder.join("affine.onnx")).expect("there");
    let stdin = ["compile", "affine=-", "--dim", "rows=1..8", "--output", "again.nowcast"];
    let status =
        nowcast(&folder, &stdin).stdin(input).stdout(Stdio::null()).status().expect("runs");
    assert!(status.success());
    assert_eq!(bytes, read("again.nowcast"));
    // A file that was there is replaced, and nothing else is left.
    let hidden = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    assert!(!fs::read_dir(&folder).expect("a folder").flatten().any(|entry| hidden(&entry)));
}

#[test]
fn a_bundle_answers_as_its_model() {
    let folder = compiled("answers");
    let run = |model: &str, out: &str, more: &[&str]| {
        let call = ["run", model, "--input", "x=x.npy", "--output-dir", out];
        let report = json_of(&folder, &[&call, more].concat());
        let arrays = [0, 1].map(|i| read_npy(&folder.join(format!("{out}/{i}.npy"))));
        (report["outputs"].as_array().expect("a list").len(), arrays)
    };
    let expected = run("affine.onnx", "from_onnx", &[]);
    assert_eq!(run("affine.nowcast", "from_bundle", &[]), expected);
    // Bytes decide what a file is, not its name; and it may come from standard input.
    fs::copy(folder.join("affine.nowcast"), folder.join("renamed.onnx")).expect("copied");
    assert_eq!(run("renamed.onnx", "from_renamed", &["--name", "affine"]), expected);
    let input = fs::File::open(folder.join("affine.nowcast")).expect("there");
    let call = ["run", "-", "--input", "x=x.npy", "--output-dir", "from_stdin"];
    let status = nowcast(&folder, &call).stdin(input).stdout(Stdio::null()).status().expect("runs");
    assert!(status.success());
    assert_eq!(read_npy(&folder.join("from_stdin/0.npy")), expected.1[0]);

    let inspected = json_of(&folder, &["inspect", "affine.nowcast", "--explain"]);
    let from_onnx =
        json_of(&folder, &["inspect", "affine.onnx", "--dim", "rows=1..8", "--explain"]);
    // What the passes did is told of the ONNX file alone.
    let told = from_onnx.as_object().expect("a map").iter().filter(|(key, _)| *key != "passes");
    for (key, value) in told {
        assert_eq!(inspected[key], *value, "{key}");
    }
    assert_eq!(inspected["whole"], true);
    assert_eq!(inspected["bundle"]["content_hash"].as_str().map(str::len), Some(32));
    assert_eq!(inspected["metadata"]["options"]["dims"]["rows"], json!([1, 8]));
    assert_eq!(inspected["metadata"]["inputs"][0]["shape"][0]["dim"], "rows");
    let text = prints(&folder, &["inspect", "affine.nowcast"]);
    for expected in ["PROG", "META", "whole", "\"precision\":\"f32\"", "x f32[rows=1..8, 4]"] {
        assert!(text.contains(expected), "no {expected} in {text}");
    }

    let bench = |model: &[&str]| json_of(&folder, &[&["bench", "--runs", "50"], model].concat());
    let report = bench(&["affine.nowcast"]);
    assert!(report["load_ns"].as_u64() > Some(0) && report["verify_ns"].as_u64() > Some(0));
    assert_eq!(report["allocations"], 0);
    assert_eq!(bench(&["affine.onnx", "--dim", "rows=1"])["verify_ns"], Value::Null);
    let report = json_of(&folder, &["verify", "affine.nowcast"]);
    assert_eq!((&report["whole"], &report["models"]), (&json!(true), &json!(["affine"])));
    assert!(prints(&folder, &["verify", "affine.nowcast"]).starts_with("whole: "));
}

#[test]
fn several_models_take_the_options_that_they_have() {
    let folder = compiled("several");
    let shape: Vec<u8> = [3i64, -1].iter().flat_map(|n| n.to_le_bytes()).collect();
    write_npy(&folder.join("shape.npy"), "<i8", &[2], &shape);
    write_f32(&folder.join("flat.npy"), &[2, 6], &[1.5; 12]);
    let all = [
        "compile",
        "affine.onnx",
        "total=sum.onnx",
        "reshape.onnx",
        "--dim=rows=2",
        "--state=total_out=total_in",
        "--value=shape=shape.npy",
        "-o=all.nowcast",
    ];
    let report = json_of(&folder, &all);
    assert_eq!(report["models"], json!(["affine", "total", "reshape"]));
    let inspected = json_of(&folder, &["inspect", "all.nowcast"]);
    assert_eq!(inspected["bundle"]["sections"].as_array().map(Vec::len), Some(6));
    assert_eq!(inspected.get("inputs"), None);
    let total = json_of(&folder, &["inspect", "all.nowcast", "--name", "total"]);
    assert_eq!(total["outputs"][0]["is_state"], true);
    assert_eq!(total["metadata"]["options"]["states"], json!([["total_out", "total_in"]]));
    let call = ["run", "all.nowcast", "--name=reshape", "--input=x=flat.npy", "--output-dir=out"];
    assert_eq!(json_of(&folder, &call)["outputs"][0]["shape"], json!([3, 4]));

    let stray = |option: &str, text: &str| fails(&folder, &[&all[..], &[option]].concat(), 2, text);
    stray("--dim=cols=3", "--dim cols: no model has an open dimension of this name");
    stray("--value=shap=shape.npy", "--value shap: no model has an input of this name");
    stray("--input-shape=z=1,2", "--input-shape z: no model has an input of this name");
    stray("--state=total_out=x2", "no model has both an output and an input so called");
    let named = "all.nowcast: the bundle has 3 models, [affine, total, reshape]: choose one with";
    for call in [&["run", "--output-dir=out"][..], &["bench"], &["forecast", "--model"]] {
        fails(&folder, &[call, &["all.nowcast"]].concat(), 2, named);
    }
    for verb in ["bench", "inspect", "verify"] {
        let text = "there is no model \"none\", only [affine, total, reshape]";
        fails(&folder, &[verb, "all.nowcast", "--name", "none"], 2, text);
    }
    let twice = ["compile", "affine.onnx", "affine=sum.onnx", "--dim=rows=2", "-o=twice.nowcast"];
    fails(&folder, &twice, 2, "two models are called \"affine\": give one another name");
    assert!(!folder.join("twice.nowcast").exists());
}

#[test]
fn a_forecaster_forecasts_from_its_bundle() {
    let folder = folder("forecaster");
    let from = |name: &str| format!("{MODELS}/{name}");
    let (temperature, lstm) = (from("jfk-temperature"), from("jfk-lstm"));
    let compile = ["compile", &temperature, &lstm, "-o", "jfk.nowcast"];
    let report = json_of(&folder, &compile);
    assert_eq!(report["models"], json!(["jfk-temperature", "jfk-lstm"]));
    let series = from("jfk-temperature/series.csv");
    let forecast = |model: &[&str]| {
        let call = ["forecast", "--series", &series, "--paths", "2", "--seed", "3", "--model"];
        let mut report = json_of(&folder, &[&call, model].concat());
        for time in ["p50_ns", "p99_ns", "calls"] {
            report.as_object_mut().expect("a map").remove(time);
        }
        report
    };
    assert_eq!(forecast(&["jfk.nowcast", "--name", "jfk-temperature"]), forecast(&[&temperature]));
    assert_eq!(forecast(&["jfk.nowcast", "--name", "jfk-lstm"]), forecast(&[&lstm]));
    let own = ["forecast", "--model", "jfk.nowcast", "--name", "jfk-lstm"];
    fails(&folder, &own, 2, "no series of its own: give one with --series");
    let inspected = json_of(&folder, &["inspect", "jfk.nowcast", "--name", "jfk-lstm"]);
    assert_eq!(inspected["metadata"]["forecaster"]["horizon"], 24);

    let options = ["compile", &lstm, "--dim=batch=1", "-o=jfk.nowcast"];
    fails(&folder, &options, 2, "has no open dimensions: leave out the options");
    fails(&folder, &["forecast", "--model", "affine.onnx"], 2, "this is no bundle");
    prints(&folder, &["compile", "affine.onnx", "--dim=rows=1", "-o=affine.nowcast"]);
    let other = ["forecast", "--model", "affine.nowcast", "--series", &series];
    fails(&folder, &other, 2, "no forecaster: compile a folder that has a forecaster.json");
}

#[test]
fn a_module_is_written_beside_its_bundle() {
    let folder = compiled("emit");
    let call = ["compile", "affine.onnx", "--dim=rows=2", "--emit=rust", "-o=carried.nowcast"];
    let report = json_of(&folder, &call);
    assert_eq!(report["files"], json!(["carried.nowcast", "carried.rs"]));
    let text = fs::read_to_string(folder.join("carried.rs")).expect("there");
    for part in [
        "include_bytes!(\"carried.nowcast\")",
        "pub const X_SHAPE: [usize; 2] = [2, 4];",
        "pub fn x_mut(&mut self) -> &mut [f32; 8] {",
        "pub fn positive(&self) -> &[u8; 8] {",
        "kernels::LINEAR_F32",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains("kernels::LSTM_F32"), "{text}");
    let plain = ["compile", "affine.onnx", "--dim=rows=2", "-o=plain.nowcast"];
    prints(&folder, &plain);
    let read = |name: &str| fs::read(folder.join(name)).expect("there");
    assert_eq!(read("carried.nowcast"), read("plain.nowcast"));
    prints(&folder, &call);
    assert_eq!(read("carried.rs"), text.as_bytes());

    let call = ["compile", "affine.onnx", "--dim=rows=2", "--emit=c", "-o=carried_c"];
    let files = json!(["carried_c.nowcast", "carried_c.c", "carried_c.h"]);
    assert_eq!(json_of(&folder, &call)["files"], files);
    let (header, source) = (read("carried_c.h"), read("carried_c.c"));
    let has = |text: &[u8], part: &str| String::from_utf8_lossy(text).contains(part);
    assert!(has(&header, "CARRIED_C_BUNDLE_BYTES") && has(&source, "#include \"carried_c.h\""));
    assert_eq!(read("carried_c.nowcast"), read("plain.nowcast"));
}

#[test]
fn mistakes_are_told_in_a_sentence() {
    let folder = compiled("mistakes");
    let cases: [(&[&str], &str); 12] = [
        (&["compile", "none.onnx", "-o=o.nowcast"], "none.onnx cannot be read"),
        (&["compile", "x.npy", "-o=o.nowcast"], "x.npy: this is not an ONNX model"),
        (&["compile", "affine.onnx", "-o=o.nowcast"], "--dim rows=N"),
        (&["compile", "affine.onnx", "--dim=columns=3", "-o=o.nowcast"], "the model has rows"),
        (&["compile", "=affine.onnx", "--dim=rows=1", "-o=o.nowcast"], "needs a name"),
        (&["compile", "affine.nowcast", "-o=o.nowcast"], "this model is compiled already"),
        (&["compile", "affine.onnx", "--dim=rows=1", "-o=no/o.nowcast"], "cannot be written"),
        (&["inspect", "affine.onnx", "--dim=rows=1", "--name=a"], "--name is for bundles"),
        (&["inspect", "affine.nowcast", "--dim=rows=1"], "give --dim to `nowcast compile`"),
        (&["inspect", "affine.nowcast", "--graph"], "a bundle has no graph"),
        (&["verify", "affine.nowcast", "--input=x=x.npy"], "name the ONNX file with --onnx"),
        (&["bench", "affine.nowcast", "--against=ort"], "name the ONNX file with --onnx"),
    ];
    for (arguments, text) in cases {
        fails(&folder, arguments, 2, text);
    }
    assert!(!folder.join("o.nowcast").exists());
    let half = ["compile", "affine.onnx", "--dim=rows=1", "--precision=f16", "-o=o.nowcast"];
    let refused = output(&folder, &half);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("[possible values: f32, bf16]"));
}

#[test]
fn weights_in_bf16_are_told_of_everywhere() {
    let folder = compiled("bf16");
    let call = ["compile", "affine.onnx", "--dim=rows=1..64", "--precision=bf16", "-o=o.nowcast"];
    let report = json_of(&folder, &call);
    assert_eq!(report["programs"][0]["kernels"]["linear_bf16"], 1);
    let inspected = json_of(&folder, &["inspect", "o.nowcast", "--explain"]);
    assert_eq!(inspected["metadata"]["precision"], "bf16");
    let steps = inspected["steps"].as_array().expect("a list");
    let product = steps.iter().find(|step| step["kernel"] == "linear_bf16").expect("a product");
    let ways = ["widened", "avx512bf16", "amx"];
    assert!(product["way"].as_str().is_some_and(|way| ways.contains(&way)), "{product}");

    let model = ["affine.onnx", "--dim=rows=1..64", "--precision=bf16"];
    let explained = json_of(&folder, &[&["inspect", "--explain"][..], &model].concat());
    assert_eq!(explained["bf16"]["products"], 1);
    let text = prints(&folder, &[&["inspect", "--explain"][..], &model].concat());
    assert!(text.contains("Products with weights in bf16: 1"), "{text}");

    // Without another runtime, it is our own answer in f32 that tells.
    for more in [&[][..], &["--isa=scalar"], &["--no-amx"]] {
        let report = json_of(&folder, &[&["verify"], &model[..], more].concat());
        assert_eq!((&report["agrees"], &report["precision"]), (&true.into(), &"bf16".into()));
        assert_eq!(report["against"], "the same in f32");
        assert_eq!(report["outputs"][0]["tolerance"], 1.0 / 64.0);
    }
    fails(&folder, &["run", "o.nowcast", "--precision=bf16", "--output-dir=o"], 2, "--precision");
}

#[test]
fn a_bundle_that_is_wrong_is_refused_and_nothing_runs() {
    let folder = compiled("wrong");
    let good = fs::read(folder.join("affine.nowcast")).expect("there");
    let change = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        fs::write(folder.join("bad.nowcast"), bytes).expect("written");
    };
    let refused = |text: &str| {
        let run = ["run", "bad.nowcast", "--input", "x=x.npy", "--output-dir", "out"];
        let forecast = ["forecast", "--model", "bad.nowcast", "--series", "x.npy"];
        let (inspect, bench) = (["inspect", "bad.nowcast"], ["bench", "bad.nowcast"]);
        for call in [&run[..], &forecast, &inspect, &bench, &["verify", "bad.nowcast"]] {
            fails(&folder, call, 2, &format!("nowcast: bad.nowcast: {text}"));
        }
        assert!(!folder.join("out").exists());
    };
    let len = good.len();
    change(&|bytes| bytes.truncate(len - 64));
    refused(&format!("the bundle has {} bytes of {len}: the file is cut short", len - 64));
    change(&|bytes| bytes.truncate(20));
    refused("the bundle has 20 bytes of 64: the file is cut short");
    change(&|bytes| bytes[70] ^= 1);
    refused("the bundle's header or directory is damaged");
    change(&|bytes| bytes[len - 64] ^= 1);
    refused("section META of model 0 is damaged: its checksum differs");
    change(&|bytes| bytes[24] = 9);
    refused(
        "the bundle has format version 9, newer than the 1 that this build reads: read it with \
         a newer nowcast",
    );
    change(&|bytes| bytes[24] = 0);
    refused(
        "the bundle has format version 0, older than the 1 that this build reads: compile the \
         model again",
    );
}

#[test]
fn another_runtime_that_is_missing_is_named() {
    let folder = compiled("missing");
    let text = if cfg!(feature = "ort") { "ORT_DYLIB_PATH" } else { "--features ort" };
    fails(&folder, &["verify", "affine.nowcast", "--onnx", "affine.onnx"], 2, text);
    let call = ["bench", "affine.nowcast", "--against", "ort", "--onnx", "affine.onnx"];
    fails(&folder, &call, 2, text);
}

/// Answers of ONNX Runtime itself; `cargo xtask test` installs it.
#[cfg(all(feature = "ort", feature = "oracle-tests"))]
#[test]
fn a_bundle_agrees_with_onnx_runtime() {
    let library =
        std::env::var_os("ORT_DYLIB_PATH").expect("ORT_DYLIB_PATH is set by `cargo xtask test`");
    let folder = compiled("oracle");
    let with_oracle = |folder: &std::path::Path, arguments: &[&str]| -> Value {
        let mut command = nowcast(folder, &[arguments, &["--json"]].concat());
        let output = command.env("ORT_DYLIB_PATH", &library).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let verify = ["verify", "affine.nowcast", "--onnx", "affine.onnx"];
    assert_eq!(with_oracle(&folder, &verify)["agrees"], true);
    let given = with_oracle(&folder, &[&verify[..], &["--input", "x=x.npy"]].concat());
    assert_eq!(given["outputs"][0]["shape"], json!([2, 3]));
    let bench = ["bench", "affine.nowcast", "--runs=50", "--against=ort", "--onnx=affine.onnx"];
    assert!(with_oracle(&folder, &bench)["against"]["p50_ns"].as_u64() > Some(0));

    // What was bound to a constant, the other runtime is given.
    let shape: Vec<u8> = [3i64, -1].iter().flat_map(|n| n.to_le_bytes()).collect();
    write_npy(&folder.join("shape.npy"), "<i8", &[2], &shape);
    let value = "--value=shape=shape.npy";
    prints(&folder, &["compile", "reshape.onnx", value, "-o=reshape.nowcast"]);
    let verify = ["verify", "reshape.nowcast", "--onnx", "reshape.onnx", value];
    assert_eq!(with_oracle(&folder, &verify)["agrees"], true);
}
