//! Calls of the program in a folder of a test's own.
#![allow(dead_code, reason = "each test uses some")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::onnx_file;

/// A fresh folder with the test models.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME")).join(name);
    // It is not there the first time.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let models = [
        ("affine.onnx", onnx_file::affine()),
        ("reshape.onnx", onnx_file::reshape()),
        ("sum.onnx", onnx_file::running_sum()),
        ("unknown.onnx", onnx_file::unknown_operator()),
    ];
    for (name, bytes) in models {
        fs::write(folder.join(name), bytes).expect("written");
    }
    folder
}

pub(crate) fn nowcast(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nowcast"));
    command.current_dir(folder).args(arguments).env_remove("ORT_DYLIB_PATH");
    command
}

pub(crate) fn output(folder: &Path, arguments: &[&str]) -> Output {
    nowcast(folder, arguments).output().expect("runs")
}

/// Standard output of a call that succeeds.
pub(crate) fn prints(folder: &Path, arguments: &[&str]) -> String {
    let output = output(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub(crate) fn json(folder: &Path, arguments: &[&str]) -> Value {
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    serde_json::from_str(&prints(folder, &arguments)).expect("JSON")
}

/// Asserts that a call fails with this status and one line that has this text.
pub(crate) fn fails(folder: &Path, arguments: &[&str], status: i32, text: &str) {
    let output = output(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
    assert!(errors.contains(text), "{arguments:?}: {errors:?} does not say {text:?}");
    assert!(errors.trim_end().lines().count() == 1, "{arguments:?}: {errors}");
}

pub(crate) fn write_npy(path: &Path, descr: &str, shape: &[usize], data: &[u8]) {
    let extents: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
    // Magic, version and length take ten bytes; the data starts on a multiple of 64.
    let header =
        format!("{header:<width$}\n", width = (header.len() + 11).next_multiple_of(64) - 11);
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    fs::write(path, bytes).expect("written");
}

pub(crate) fn write_f32(path: &Path, shape: &[usize], values: &[f32]) {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    write_npy(path, "<f4", shape, &data);
}

/// Header and data of a file.
pub(crate) fn read_npy(path: &Path) -> (String, Vec<u8>) {
    let bytes = fs::read(path).expect("there");
    let len = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let header = String::from_utf8(bytes[10..10 + len].to_vec()).expect("ASCII");
    (header, bytes[10 + len..].to_vec())
}

pub(crate) fn floats(data: &[u8]) -> Vec<f32> {
    data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
