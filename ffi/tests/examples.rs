//! The C interface from C: the header's promises, the examples, and what is exported.
#![cfg(unix)]

#[path = "../../tests/cli_run/onnx_file.rs"]
mod onnx_file;

mod build;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use build::{build, cargo, compiler, finish, folder, libraries, root};

/// The test models as files.
fn models(to: &Path) -> [PathBuf; 4] {
    let files = [
        ("affine.onnx", onnx_file::affine()),
        ("reshape.onnx", onnx_file::reshape()),
        ("sum.onnx", onnx_file::running_sum()),
        ("unknown.onnx", onnx_file::unknown_operator()),
    ];
    files.map(|(name, bytes)| {
        let path = to.join(name);
        fs::write(&path, bytes).expect("written");
        path
    })
}

fn forecaster() -> PathBuf {
    root().join("models/jfk-temperature")
}

/// What the declarations of the header name.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(root().join("ffi/include/nowcast.h")).expect("the header");
    let mut code = String::new();
    let mut rest = header.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").expect("comments end").1;
    }
    code += rest;
    let calls = code.split("nowcast_").skip(1).filter_map(|text| {
        let (name, _) = text.split_once('(')?;
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then(|| format!("nowcast_{name}"))
    });
    let kernels = code.split_once("extern NOWCAST_DATA const nowcast_kernel").expect("kernels").1;
    let kernels = kernels.split_once(';').expect("an end").0.split(',').map(str::trim);
    calls.chain(kernels.map(str::to_owned)).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn the_library_exports_what_the_header_declares() {
    cargo(&["build", "--package", "nowcast-ffi"]);
    let library = libraries().join("libnowcast_c.so");
    let listed = finish(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let exported: BTreeSet<String> =
        listed.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect();
    let declared = declared();
    assert!(declared.len() > 40, "{declared:?}");
    assert_eq!(exported, declared);
}

#[test]
fn the_header_compiles_alone() {
    let to = folder("header");
    for (is_cpp, standard, file) in
        [(false, "-std=c99", "alone.c"), (true, "-std=c++11", "alone.cpp")]
    {
        let source = to.join(file);
        fs::write(&source, "#include \"nowcast.h\"\n#include \"nowcast.h\"\n").expect("written");
        for part in [&[][..], &["-DNOWCAST_MINIMAL"]] {
            let mut command = compiler(is_cpp, standard);
            finish(command.args(part).arg("-fsyntax-only").arg(&source));
        }
    }
}

#[test]
fn errors_are_statuses() {
    let to = folder("errors");
    let program = build("ffi/tests/c/errors.c", &to, &[]);
    finish(Command::new(program).args(models(&to)).arg(forecaster()));
}

#[test]
fn errors_touch_nothing_that_is_not_theirs() {
    let to = folder("sanitized");
    let sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let program = build("ffi/tests/c/errors.c", &to, &sanitizers);
    finish(Command::new(program).args(models(&to)).arg(forecaster()));
}

/// `--wrap` is of GNU's linker and those that follow it.
#[cfg(target_os = "linux")]
#[test]
fn serving_calls_leave_the_heap_alone() {
    let to = folder("no_alloc");
    let functions = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "free"];
    let wraps = functions.map(|function| format!("-Wl,--wrap={function}"));
    let program = build("ffi/tests/c/no_alloc.c", &to, &wraps.each_ref().map(String::as_str));
    let [affine, ..] = models(&to);
    for name in ["jfk-temperature", "jfk-lstm", "jfk-sklearn-mlp"] {
        let shipped = root().join("models").join(name);
        finish(Command::new(&program).arg(&affine).arg(shipped));
    }
}

/// Mean and five quantiles of each step, as the command line gives them: `$NOWCAST_PROGRAM`, or
/// what `cargo` builds.
fn expected() -> Vec<[f64; 6]> {
    let forecast = ["forecast", "--json", "--model", "models/jfk-temperature"];
    let printed = match env::var_os("NOWCAST_PROGRAM") {
        Some(program) => finish(Command::new(program).current_dir(root()).args(forecast)),
        None => {
            let run = ["run", "--quiet", "--package", "nowcast", "--bin", "nowcast", "--"];
            cargo(&[&run[..], &forecast[..]].concat())
        }
    };
    let report: serde_json::Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let quantiles = &report["quantiles"];
    let columns = [
        &report["mean"],
        &quantiles["0.05"],
        &quantiles["0.25"],
        &quantiles["0.5"],
        &quantiles["0.75"],
        &quantiles["0.95"],
    ];
    let steps = report["mean"].as_array().expect("means").len();
    (0..steps).map(|step| columns.map(|column| column[step].as_f64().expect("a number"))).collect()
}

#[test]
fn the_examples_print_what_the_command_line_does() {
    let expected = expected();
    assert_eq!(expected.len(), 24);
    for source in ["examples/c/forecast.c", "examples/cpp/forecast.cpp"] {
        let program = build(source, &folder(source), &[]);
        let printed = finish(Command::new(&program).current_dir(root()));
        let printed = String::from_utf8(printed.stdout).expect("text");
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{source}");
        for (line, expected) in lines.iter().zip(&expected) {
            let numbers: Vec<f64> =
                line.split(' ').map(|number| number.parse().expect(number)).collect();
            assert_eq!(numbers.len(), expected.len(), "{source}: {line}");
            let near = numbers.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-4);
            assert!(near, "{source}: {line} is not {expected:?}");
        }
        let refused = Command::new(&program).arg("no/such/folder").output().expect("runs");
        assert!(!refused.status.success());
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(text.starts_with("forecast: no/such/folder"), "{text}");
    }
}
