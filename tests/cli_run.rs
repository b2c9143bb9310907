//! The verbs that run models: `run`, `inspect`, `bench` and `verify`.

#[path = "cli_run/call.rs"]
mod call;
#[path = "cli_run/onnx_file.rs"]
mod onnx_file;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use call::{fails, floats, folder, json, nowcast, output, prints, read_npy, write_f32, write_npy};

const ROWS: [[f32; 4]; 2] = [[1.0, 2.0, 3.0, 4.0], [-1.0, 0.5, 0.0, -4.0]];

#[test]
fn run_writes_outputs_in_order_with_their_types() {
    let folder = folder("run");
    write_f32(&folder.join("x.npy"), &[2, 4], ROWS.as_flattened());
    let call = ["run", "affine.onnx", "--input", "x=x.npy", "--output-dir", "out/deep"];
    let expected = ROWS.map(onnx_file::affine_row);
    for isa in [&[][..], &["--isa", "scalar"]] {
        let report = json(&folder, &[&call, isa].concat());
        let names: Vec<_> = report["outputs"].as_array().expect("a list").iter().collect();
        assert_eq!(names[0]["name"], "y");
        assert_eq!(names[1]["dtype"], "bool");
        let (header, data) = read_npy(&folder.join("out/deep/0.npy"));
        assert!(header.contains("'<f4'") && header.contains("(2, 3"), "{header}");
        assert_eq!(floats(&data), expected.as_flattened());
        let (header, data) = read_npy(&folder.join("out/deep/1.npy"));
        assert!(header.contains("'|b1'") && header.contains("(2, 4"), "{header}");
        assert_eq!(data, [1, 1, 1, 1, 0, 1, 0, 0]);
    }
    let text = prints(&folder, &call);
    assert!(text.contains("0.npy  y f32[2, 3]"), "{text}");

    // In bounds, the extent comes with the call.
    let report = json(&folder, &[&call[..], &["--dim", "rows=1..8"]].concat());
    assert_eq!(report["outputs"][0]["shape"], serde_json::json!([2, 3]));
}

/// Text comes back as numbers, and what they mean is at hand.
#[test]
fn labels_of_text() {
    let folder = folder("labels");
    let model = "models/families/sklearn/logistic_regression_text_zipmap.onnx";
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
    let model = model.to_str().expect("UTF-8");
    let rows: Vec<f32> = (0..30).map(|i| (i % 7) as f32 / 3.5 - 1.0).collect();
    write_f32(&folder.join("x.npy"), &[5, 6], &rows);
    let call = ["run", model, "--input", "features=x.npy", "--output-dir", "out"];
    let report = json(&folder, &call);
    let [label, scores] = [&report["outputs"][0], &report["outputs"][1]];
    assert_eq!((&label["dtype"], &label["shape"]), (&"i64".into(), &serde_json::json!([5])));
    assert_eq!(scores["labels"], serde_json::json!(["high", "low", "middle"]));
    let (_, data) = read_npy(&folder.join("out/0.npy"));
    for (i, index) in data.chunks_exact(8).enumerate() {
        let index = i64::from_le_bytes(index.try_into().expect("eight bytes"));
        assert_eq!(label["labels"][i], scores["labels"][index as usize]);
    }
    assert!(prints(&folder, &call).contains("output_probability f32[5, 3]  [\"high\", "));
    let inspect = ["inspect", model, "--dim", "rows=5"];
    let report = json(&folder, &inspect);
    assert_eq!(report["outputs"][0]["labels"], scores["labels"]);
    let text = prints(&folder, &inspect);
    assert!(text.contains("numbers: 0 \"high\", 1 \"low\", 2 \"middle\""), "{text}");
    assert!(text.contains("columns: 0 \"high\""), "{text}");
}

#[test]
fn run_reads_standard_input() {
    let folder = folder("stdin");
    write_f32(&folder.join("x.npy"), &[2, 4], ROWS.as_flattened());
    for (file, arguments) in [
        ("affine.onnx", ["run", "-", "--input", "x=x.npy", "--output-dir", "."]),
        ("x.npy", ["run", "affine.onnx", "--input", "x=-", "--output-dir", "."]),
    ] {
        let input = fs::File::open(folder.join(file)).expect("there");
        let status =
            nowcast(&folder, &arguments).stdin(input).stdout(Stdio::null()).status().expect("runs");
        assert!(status.success(), "{file}");
        assert_eq!(floats(&read_npy(&folder.join("0.npy")).1).len(), 6);
    }
}

#[test]
fn run_binds_an_input_that_decides_a_shape() {
    let folder = folder("bind");
    let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
    write_f32(&folder.join("x.npy"), &[2, 6], &values);
    let shape: Vec<u8> = [3i64, -1].iter().flat_map(|n| n.to_le_bytes()).collect();
    write_npy(&folder.join("shape.npy"), "<i8", &[2], &shape);
    for option in ["--input", "--value"] {
        let report = json(
            &folder,
            &[
                "run",
                "reshape.onnx",
                "--input",
                "x=x.npy",
                option,
                "shape=shape.npy",
                "--output-dir",
                "out",
            ],
        );
        assert_eq!(report["constants"], serde_json::json!(["shape"]));
        assert_eq!(report["outputs"][0]["shape"], serde_json::json!([3, 4]));
        assert_eq!(floats(&read_npy(&folder.join("out/0.npy")).1), values);
    }
}

#[test]
fn run_keeps_states() {
    let folder = folder("state");
    write_f32(&folder.join("x.npy"), &[1, 2], &[1.5, -2.0]);
    let call = ["run", "sum.onnx", "--input", "x=x.npy", "--output-dir", "."];
    prints(&folder, &[&call[..], &["--state", "total_out=total_in"]].concat());
    assert_eq!(floats(&read_npy(&folder.join("0.npy")).1), [1.5, -2.0]);
    fails(&folder, &call, 2, "input total_in f32[1, 2] has no value");
}

#[test]
fn mistakes_of_the_user_are_told_in_a_sentence() {
    let folder = folder("mistakes");
    write_f32(&folder.join("x.npy"), &[2, 4], ROWS.as_flattened());
    write_f32(&folder.join("wide.npy"), &[2, 5], &[0.0; 10]);
    write_npy(&folder.join("double.npy"), "<f8", &[2, 4], &[0; 64]);
    fs::write(folder.join("text.npy"), "1,2,3\n").expect("written");
    let cases: [(&[&str], &str); 10] = [
        (&["no.onnx"], "no.onnx: "),
        (&["x.npy"], "x.npy: this is not an ONNX model"),
        (&["affine.onnx"], "--dim rows=N"),
        (&["affine.onnx", "--input", "x=wide.npy"], "input \"x\" declares 4"),
        (
            &["affine.onnx", "--input", "x=wide.npy", "--dim", "rows=1..3"],
            "wide.npy: the shape is [2, 5], the input is x f32[rows=1..3, 4]",
        ),
        (
            &["affine.onnx", "--input", "x=double.npy"],
            "double.npy: the elements are f64, input \"x\" is f32: save it with astype(\"float32\")",
        ),
        (&["affine.onnx", "--input", "x=text.npy"], "text.npy: no NPY array"),
        (&["affine.onnx", "--input", "x=none.npy"], "none.npy cannot be read"),
        (&["affine.onnx", "--input", "z=x.npy"], "there is no input \"z\""),
        (&["affine.onnx", "--dim", "columns=3"], "there is no open dimension \"columns\""),
    ];
    for (arguments, text) in cases {
        fails(&folder, &[&["run", "--output-dir", "out"], arguments].concat(), 2, text);
    }
    assert!(!folder.join("out").exists());
    for (arguments, text) in [
        (&["bench", "affine.onnx"][..], "--dim rows=N"),
        (&["verify", "affine.onnx"], "--dim rows=N"),
        (&["inspect", "unknown.onnx"], "not supported: Frobnicate (1 x)"),
        (&["inspect", "."], "is a folder"),
        (&["bench", "sum.onnx", "--max-memory", "1K"], "more than the 1.0 KiB that are allowed"),
    ] {
        fails(&folder, arguments, 2, text);
    }
    let refused = output(&folder, &["run", "affine.onnx", "--output-dir", "o", "--isa", "mmx"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("scalar, avx2, avx512, neon"));
}

#[test]
fn a_pass_is_left_out() {
    let folder = folder("without");
    let call = ["inspect", "affine.onnx", "--dim", "rows=5", "--explain"];
    let report = json(&folder, &call);
    let places = |report: &Value, name: &str| -> u64 {
        let passes = report["passes"].as_array().unwrap().iter();
        passes.filter(|pass| pass["name"] == name).map(|p| p["places"].as_u64().unwrap()).sum()
    };
    assert_eq!(places(&report, "linear"), 1);
    assert_eq!(report["kernels"]["linear_f32"], 1);
    let plain = json(&folder, &[&call[..], &["--without", "linear"]].concat());
    assert!(plain["passes"].as_array().unwrap().iter().all(|pass| pass["name"] != "linear"));
    assert_eq!(plain["kernels"]["linear_f32"], Value::Null);
    let refused = output(&folder, &[&call[..], &["--without", "lines"]].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("linear"));
}

#[test]
fn inspect_shows_ports_memory_and_steps() {
    let folder = folder("inspect");
    let call = ["inspect", "affine.onnx", "--dim", "rows=1..8"];
    let text = prints(&folder, &[&call[..], &["--explain", "--graph"]].concat());
    for expected in ["x f32[rows=1..8, 4]", "positive bool[", "Memory in bytes", "Graph"] {
        assert!(text.contains(expected), "{text}");
    }
    let report = json(&folder, &call);
    assert_eq!(report["inputs"][0]["shape"], serde_json::json!(["rows", 4]));
    assert_eq!(report["inputs"][0]["dims"]["rows"], serde_json::json!([1, 8]));
    assert_eq!(report["outputs"][0]["dtype"], "f32");
    assert!(report["session_bytes"].as_u64() >= report["arena_bytes"].as_u64());
    assert_eq!(report.get("steps"), None);
    let explained = json(&folder, &[&call[..], &["--explain"]].concat());
    let steps = explained["steps"].as_array().expect("a list");
    let counted: u64 =
        explained["kernels"].as_object().expect("a map").values().filter_map(Value::as_u64).sum();
    assert_eq!(steps.len() as u64, counted);

    let kept = json(&folder, &["inspect", "sum.onnx", "--state", "total_out=total_in"]);
    assert_eq!(kept["outputs"][0]["is_state"], true);
    assert!(kept["state_bytes"].as_u64() >= Some(8));

    let refused = output(&folder, &["inspect", "unknown.onnx", "--json"]);
    assert_eq!(refused.status.code(), Some(2));
    let listed: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!(listed["unsupported"][0]["operator"], "Frobnicate");
    let refused = output(&folder, &["inspect", "unknown.onnx"]);
    let shown = String::from_utf8_lossy(&refused.stdout);
    assert!(shown.contains("1 x Frobnicate  (not supported)"), "{shown}");
}

#[test]
fn bench_reports_tails_and_no_allocation() {
    let folder = folder("bench");
    let call = ["bench", "affine.onnx", "--dim", "rows=1..8", "--runs", "500"];
    let report = json(&folder, &call);
    assert_eq!(report["allocations"], 0);
    assert_eq!(report["runs"], 500);
    let ns = |name: &str| report[name].as_u64().expect(name);
    assert!(0 < ns("p50_ns") && ns("p50_ns") <= ns("p99_ns"));
    assert!(ns("p99_ns") <= ns("p999_ns") && ns("p999_ns") <= ns("max_ns"));
    assert!(ns("arena_bytes") > 0 && ns("constant_bytes") > 0 && ns("load_ns") > 0);
    let text = prints(&folder, &call);
    assert!(text.contains("p99.9") && text.contains("heap allocations in a call: 0"), "{text}");
    // A sum is served for ever.
    let kept = ["bench", "sum.onnx", "--state", "total_out=total_in", "--runs", "50"];
    assert_eq!(json(&folder, &kept)["allocations"], 0);
}

#[test]
fn bench_says_where_the_time_goes() {
    let folder = folder("profile");
    let call = ["bench", "affine.onnx", "--dim", "rows=1..8", "--runs", "200", "--profile"];
    let report = json(&folder, &call);
    let inspect = json(&folder, &["inspect", "affine.onnx", "--dim", "rows=1..8", "--explain"]);
    let steps = report["steps"].as_array().expect("steps");
    let explained = inspect["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), explained.len());
    for (step, explained) in steps.iter().zip(explained) {
        assert_eq!((&step["kernel"], &step["node"]), (&explained["kernel"], &explained["node"]));
    }
    let linear = steps.iter().find(|step| step["kernel"] == "linear_f32").expect("a product");
    // Eight rows, the largest extent, by four and by three.
    assert_eq!(linear["multiply_adds"], 8 * 4 * 3);
    assert!(linear["constant_bytes"].as_u64() >= Some(4 * 3 * 4));
    assert!(linear["value_bytes"].as_u64() >= Some(8 * 3 * 4));
    assert!(report["ceilings"]["multiply_adds_per_s"].as_f64() > Some(1e6));
    let text = prints(&folder, &call);
    assert!(text.contains("ceilings:") && text.contains("linear_f32"), "{text}");
}

#[test]
fn another_runtime_that_is_missing_is_named() {
    let folder = folder("missing");
    let text = if cfg!(feature = "ort") { "ORT_DYLIB_PATH" } else { "--features ort" };
    fails(&folder, &["verify", "affine.onnx", "--dim", "rows=2"], 2, text);
    let call = ["bench", "affine.onnx", "--dim", "rows=2", "--against", "ort"];
    fails(&folder, &call, 2, text);
    if cfg!(not(feature = "tract")) {
        let call = ["verify", "affine.onnx", "--dim", "rows=2", "--against", "tract"];
        fails(&folder, &call, 2, "--features tract");
    }
}

/// Answers of ONNX Runtime itself; `cargo xtask test` installs it.
#[cfg(all(feature = "ort", feature = "oracle-tests"))]
mod oracle {
    use std::path::Path;
    use std::process::Output;

    use super::*;

    fn with_oracle(folder: &Path, arguments: &[&str]) -> Output {
        let library = std::env::var_os("ORT_DYLIB_PATH")
            .expect("ORT_DYLIB_PATH is set by `cargo xtask test`");
        nowcast(folder, arguments).env("ORT_DYLIB_PATH", library).output().expect("runs")
    }

    #[test]
    fn verify_agrees_with_onnx_runtime() {
        let folder = folder("verify");
        let shape: Vec<u8> = [3i64, -1].iter().flat_map(|n| n.to_le_bytes()).collect();
        write_npy(&folder.join("shape.npy"), "<i8", &[2], &shape);
        for arguments in [
            &["verify", "affine.onnx", "--dim", "rows=1..5"][..],
            &["verify", "sum.onnx", "--state", "total_out=total_in"],
            &["verify", "reshape.onnx", "--input", "shape=shape.npy"],
        ] {
            let output = with_oracle(&folder, &[arguments, &["--json"]].concat());
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{arguments:?}: {errors}");
            let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(report["agrees"], true);
        }
        let strict = ["verify", "affine.onnx", "--dim", "rows=1", "--tolerance=-1"];
        let output = with_oracle(&folder, &strict);
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains("y, positive differs from the answer of ONNX Runtime"), "{errors}");
    }

    #[test]
    fn bench_times_both_sides() {
        let folder = folder("against");
        let call = ["bench", "affine.onnx", "--dim", "rows=4", "--runs", "100", "--against", "ort"];
        let output = with_oracle(&folder, &[&call[..], &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(report["against"]["p50_ns"].as_u64() > Some(0));
        assert!(report["against"]["ratio_p50"].as_f64() > Some(0.0));
    }
}
