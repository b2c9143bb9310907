//! What `nowcast forecast` prints, writes and refuses.
#![cfg(feature = "cli")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nowcast::forecast::{ForecastSession, Forecaster};
use serde_json::Value;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/jfk-temperature");

fn nowcast(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nowcast")).args(args).output().expect("runs")
}

fn with_input(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nowcast"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    // A program that has refused already does not read.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("ends")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// A folder of a test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// 336 hours of a series, from the file of the model.
fn series() -> Vec<String> {
    let csv = std::fs::read_to_string(format!("{MODEL}/series.csv")).expect("a series");
    csv.lines().skip(1).take(336).map(str::to_owned).collect()
}

#[test]
fn without_arguments_it_forecasts_the_model_built_in() {
    let output = nowcast(&["forecast"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let text = text(&output.stdout);
    assert!(text.starts_with("jfk-temperature: 24 steps of 1 h after 2013-12-30 23:00, in degF\n"));
    for part in ["2013-12-31 00:00", "2013-12-31 23:00", "90 %", "history", "p50"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(text.ends_with("the first included: 0.\n"), "{text}");
    assert!(!text.contains('\x1b'), "colours go to terminals only");
    assert!(text.lines().filter(|l| !l.starts_with("One")).all(|l| l.chars().count() <= 80));
}

#[test]
fn json_is_what_the_library_says() {
    let report = json(&nowcast(&["forecast", "--json", "--paths", "3", "--seed", "7"]));
    let forecaster = Forecaster::from_folder(MODEL).expect("a forecaster");
    let mut session = ForecastSession::new(&forecaster).expect("a session");
    let csv = std::fs::read_to_string(format!("{MODEL}/series.csv")).expect("a series");
    let values: Vec<f32> =
        csv.lines().skip(1).map(|l| l[21..].parse().expect("a number")).collect();
    let context = &values[values.len() - forecaster.context()..];
    session.forecast(context, 1_388_448_000).expect("a context");

    let as_f64 = |values: &[f32]| -> Vec<f64> { values.iter().map(|x| f64::from(*x)).collect() };
    let close = |value: &Value, expected: &[f32]| {
        let (got, expected) = (numbers(value), as_f64(expected));
        let close = got.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs());
        assert!(got.len() == expected.len() && close, "{got:?} is not {expected:?}");
    };
    assert_eq!((&report["name"], &report["unit"]), (&"jfk-temperature".into(), &"degF".into()));
    let time = report["time"].as_array().expect("times");
    assert_eq!((time.len(), &time[0]), (24, &"2013-12-31T00:00:00Z".into()));
    close(&report["mean"], session.mean());
    let mut out = vec![0.0; 24];
    for p in ["0.05", "0.25", "0.5", "0.75", "0.95"] {
        session.quantile(p.parse().expect("a number"), &mut out).expect("a probability");
        close(&report["quantiles"][p], &out);
    }
    for path in 0..3 {
        session.paths(7, 0, path, &mut out).expect("a path");
        close(&report["paths"][path as usize], &out);
    }
    assert_eq!(report["allocations"], 0);
    let (p50, p99) = (report["p50_ns"].as_u64(), report["p99_ns"].as_u64());
    assert!(p50 > Some(0) && p50 <= p99);
    assert!(report["calls"].as_u64() >= Some(1000));
}

#[test]
fn the_seed_decides_the_paths() {
    let paths = |seed| {
        let args = ["forecast", "--model", MODEL, "--json", "--paths", "2", "--seed", seed];
        json(&nowcast(&args))["paths"].clone()
    };
    assert_eq!(paths("1"), paths("1"));
    assert_ne!(paths("1"), paths("2"));
}

#[test]
fn a_series_comes_from_standard_input_and_a_time_from_inside_it() {
    let mut lines = series();
    let first = json(&with_input(&["forecast", "--json", "--series", "-"], &lines.join("\n")));
    let next = "2013-01-15T06:00:00Z";
    assert_eq!(first["time"][0], next);
    assert!(first.get("observed").is_none() && first.get("paths").is_none());
    // What comes after it does not change a forecast.
    lines.push(format!("{next},71.5"));
    let args = ["forecast", "--json", "--series", "-", "--at", next];
    let inside = json(&with_input(&args, &lines.join("\n")));
    assert_eq!((&inside["mean"], numbers(&inside["observed"])), (&first["mean"], vec![71.5]));
}

#[test]
fn mistakes_are_told_in_one_sentence() {
    let folder = folder("mistakes");
    let good = series();
    let path = folder.join("series.csv");
    let file = path.to_str().expect("text");
    type Spoil<'a> = &'a dyn Fn(&mut Vec<String>);
    let cases: [(&str, Spoil<'_>); 6] = [
        ("series.csv, line 9: a gap: 2013-01-01T15:00:00Z is 2 h after", &|l| drop(l.remove(8))),
        ("series.csv, line 9: expected a finite number", &|l| l[8] = good[8].replace(',', ",N")),
        ("series.csv, line 9: expected two columns, time and value", &|l| l[8] = "x".into()),
        ("series.csv, line 9: 2013-01-01T13:00:00Z is not after", &|l| l[8] = l[7].clone()),
        ("line 337: 2013-01-15T06:30:00Z is 90 min after the line before", &|l| {
            l.push("2013-01-15T06:30:00Z,1".into());
        }),
        ("series.csv: 335 observations are too short a series: give at least the 336", &|l| {
            l.truncate(335);
        }),
    ];
    for (expected, spoil) in cases {
        let mut lines = good.clone();
        spoil(&mut lines);
        std::fs::write(&path, lines.join("\n")).expect("written");
        refused(&["forecast", "--series", file], expected);
    }
    let at = "2014-06-01T00:00:00Z";
    refused(&["forecast", "--at", at], "--at 2014-06-01T00:00:00Z is not one of the times");
    refused(&["forecast", "--series", "missing.csv"], "missing.csv cannot be read");
    refused(&["forecast", "--model", "missing"], "missing/forecaster.json");
    refused(&["forecast", "--plot", "missing/plot.svg"], "missing/plot.svg cannot be written");

    let description = std::fs::read_to_string(format!("{MODEL}/forecaster.json")).expect("there");
    let model = folder.join("model");
    std::fs::create_dir_all(&model).expect("a folder");
    for file in ["model.onnx", "covariance.npy", "series.csv"] {
        std::fs::copy(format!("{MODEL}/{file}"), model.join(file)).expect("copied");
    }
    let cases = [
        ("\"unit\"", "\"units\"", "forecaster.json: unknown field `units`"),
        ("\"output\": \"mean\"", "\"output\": \"y\"", "model.onnx: the model has no output \"y\""),
        ("\"horizon\": 24", "\"horizon\": 23", "covariance.npy: the shape is [24, 24]"),
        (", \"hour_cos\"", "", "model.onnx: "),
        ("\"name\": \"calendar\"", "\"name\": \"hour\"", "model.onnx: "),
    ];
    let compact = description.replace("\n        ", " ").replace("\n      ", " ");
    for (good, bad, expected) in cases {
        let text = compact.replacen(good, bad, 1);
        assert_ne!(text, compact, "{good}");
        std::fs::write(model.join("forecaster.json"), text).expect("written");
        refused(&["forecast", "--model", model.to_str().expect("text")], expected);
    }
}

/// The user is told, and nothing is printed.
fn refused(args: &[&str], expected: &str) {
    let output = nowcast(args);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
    assert!(error.starts_with("nowcast: ") && error.contains(expected), "{args:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_plot_is_written_whole() {
    let path = folder("plot").join("plot.svg");
    let output = nowcast(&["forecast", "--json", "--plot", path.to_str().expect("text")]);
    let report = json(&output);
    assert!(report.get("paths").is_none(), "the plot's paths are the plot's");
    let svg = std::fs::read_to_string(&path).expect("a plot");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("31 Dec") && svg.contains("degF"));
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nowcast"))
        .args(["forecast", "--json", "--paths", "20000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}
