//! `nowcast quantize`: what it writes, prints and refuses.

#[path = "cli_run/call.rs"]
mod call;
#[path = "cli_run/onnx_file.rs"]
mod onnx_file;

use std::fs;
use std::path::Path;

use parquet::data_type::{DoubleType, FloatType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use call::{fails, folder, json, output, prints, write_f32};

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models");

/// A folder with `mlp.onnx`, whose input is 8 rows of calibration data in several formats.
fn with_data(name: &str) -> std::path::PathBuf {
    let folder = folder(name);
    let model = Path::new(MODELS).join("jfk-sklearn-mlp/model.onnx");
    fs::copy(model, folder.join("mlp.onnx")).expect("copied");
    let rows: Vec<f32> = (0..8 * 96).map(|i| (i as f32 * 0.37).sin()).collect();
    write_f32(&folder.join("rows.npy"), &[8, 96], &rows);
    write_f32(&folder.join("apart.npy"), &[8, 1, 96], &rows);
    let line = |row: &[f32]| row.iter().map(f32::to_string).collect::<Vec<_>>().join(",") + "\n";
    let csv: String = rows.chunks(96).map(line).collect();
    fs::write(folder.join("rows.csv"), &csv).expect("written");
    let names: Vec<String> = (0..96).map(|i| format!("lag{i}")).collect();
    fs::write(folder.join("named.csv"), names.join(",") + "\n" + &csv).expect("written");
    fs::write(folder.join("rows.npz"), stored("context.npy", &folder.join("rows.npy")))
        .expect("written");
    columns(&folder.join("rows.parquet"), &rows);
    lists(&folder.join("lists.parquet"), &rows);
    folder
}

fn parquet_file(path: &Path, schema: &str) -> SerializedFileWriter<fs::File> {
    let schema = parse_message_type(schema).expect("a schema").into();
    let properties =
        WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build();
    let file = fs::File::create(path).expect("created");
    SerializedFileWriter::new(file, schema, properties.into()).expect("begun")
}

/// A Parquet file with a column for each element of a sample.
fn columns(path: &Path, rows: &[f32]) {
    let names: String = (0..96).map(|i| format!("REQUIRED DOUBLE lag{i};\n")).collect();
    let mut file = parquet_file(path, &format!("message table {{ {names} }}"));
    let mut group = file.next_row_group().expect("a group");
    for i in 0..96 {
        let column: Vec<f64> = rows.iter().skip(i).step_by(96).map(|x| f64::from(*x)).collect();
        let mut writer = group.next_column().expect("a column").expect("one more");
        writer.typed::<DoubleType>().write_batch(&column, None, None).expect("written");
        writer.close().expect("whole");
    }
    group.close().expect("whole");
    file.close().expect("whole");
}

/// A Parquet file with a list for each sample, in a column that is called as the input.
fn lists(path: &Path, rows: &[f32]) {
    let schema = "message table { REQUIRED group context (LIST) { REPEATED group list { \
                  REQUIRED FLOAT element; } } }";
    let mut file = parquet_file(path, schema);
    let mut group = file.next_row_group().expect("a group");
    let mut writer = group.next_column().expect("a column").expect("one");
    let repeats: Vec<i16> = (0..rows.len()).map(|i| i16::from(i % 96 > 0)).collect();
    let defined = vec![1; rows.len()];
    let lists = writer.typed::<FloatType>();
    lists.write_batch(rows, Some(&defined), Some(&repeats)).expect("written");
    writer.close().expect("whole");
    group.close().expect("whole");
    file.close().expect("whole");
}

/// A ZIP archive with one file, as numpy.savez writes it.
fn stored(name: &str, file: &Path) -> Vec<u8> {
    let data = fs::read(file).expect("there");
    let len = (data.len() as u32).to_le_bytes();
    let name_len = (name.len() as u16).to_le_bytes();
    // Version, flags, method, time, checksum (nobody looks), sizes, lengths of name and extra.
    let head = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &len, &len, &name_len, &[0, 0]];
    let head = head.concat();
    let local = [b"PK\x03\x04", &head[..], name.as_bytes(), &data].concat();
    let entry = [b"PK\x01\x02\x14\x00", &head[..], &[0; 14], name.as_bytes()].concat();
    let sizes = [(entry.len() as u32).to_le_bytes(), (local.len() as u32).to_le_bytes()].concat();
    let end = [b"PK\x05\x06", &[0, 0, 0, 0, 1, 0, 1, 0][..], &sizes, &[0, 0]].concat();
    [local, entry, end].concat()
}

#[test]
fn every_format_of_data_gives_the_same_file() {
    let folder = with_data("formats");
    let inputs = [
        "context=rows.npy",
        "context=apart.npy",
        "context=rows.csv",
        "named.csv",
        "rows.npz",
        "rows.parquet",
        "context=rows.parquet",
        "lists.parquet",
    ];
    let files = inputs.map(|input| {
        let report = json(&folder, &["quantize", "mlp.onnx", "-o", "out.onnx", "--input", input]);
        assert_eq!(report["layers"].as_array().map(Vec::len), Some(3), "{input}");
        assert!(report["loss_percent"].as_f64() < Some(5.0), "{input}: {report}");
        assert!(report["bytes"][1].as_u64() < Some(20_000), "{input}: {report}");
        fs::read(folder.join("out.onnx")).expect("written")
    });
    assert!(files.iter().all(|file| *file == files[0]));
}

#[test]
fn the_report_has_every_layer() {
    let folder = with_data("report");
    let text = prints(&folder, &["quantize", "mlp.onnx", "-o", "o.onnx", "--input=rows.npy"]);
    for part in ["static, 3 of 3 layers", "loss alone", "[96, 64]", "p50 of a call", "bytes"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let dynamic = ["quantize", "mlp.onnx", "-o", "o.onnx", "--mode", "dynamic"];
    let text = prints(&folder, &dynamic);
    assert!(text.contains("no calibration data: the loss was not measured"), "{text}");
    let lstm = format!("{MODELS}/jfk-lstm/model.onnx");
    let random = ["quantize", &lstm, "-o", "o.onnx", "--random", "2", "--dim", "batch=1"];
    let output = output(&folder, &random);
    let [out, errors] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).expect("text"));
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("random samples"), "{errors}");
    assert!(out.contains("has no static form"), "{out}");
}

#[test]
fn a_forecaster_becomes_a_forecaster() {
    let folder = folder("forecaster");
    let from = format!("{MODELS}/jfk-sklearn-mlp");
    let arguments =
        ["quantize", &from, "-o", "small", "--samples", "20", "--before", "2013-03-01T00:00:00Z"];
    let report = json(&folder, &arguments);
    assert!(report["weighted_quantile_loss"][1].as_f64() > Some(0.0), "{report}");
    let forecast = json(&folder, &["forecast", "--model", "small"]);
    assert_eq!(forecast["name"], "small");
    let again = ["quantize", "small", "-o", "other"];
    fails(&folder, &again, 2, "quantized already: it has the operator");
    fails(&folder, &["quantize", &from, "-o", &from], 2, "name another");
}

#[test]
fn mistakes_are_named_and_leave_the_output() {
    let folder = with_data("mistakes");
    fs::write(folder.join("out.onnx"), "as it was").expect("written");
    write_f32(&folder.join("wide.npy"), &[8, 97], &[0.0; 8 * 97]);
    write_f32(&folder.join("nan.npy"), &[1, 96], &[f32::NAN; 96]);
    fs::write(folder.join("no.parquet"), "PAR1").expect("written");
    fs::write(folder.join("no.npz"), "PK\x05\x06").expect("written");
    let cases: [(&[&str], &str); 15] = [
        (&["mlp.onnx"], "needs calibration data: give it with --input"),
        (&["mlp.onnx", "--input", "x=rows.npy"], "there is no input \"x\", only [context]"),
        (&["mlp.onnx", "--input", "wide.npy"], "the input is [?, 96] and the array [8, 97]"),
        (&["mlp.onnx", "--input", "nan.npy"], "is not finite on calibration sample 0"),
        (&["mlp.onnx", "--input", "no.npz"], "no NPZ archive"),
        (&["mlp.onnx", "--input", "no.parquet"], "no Parquet file that can be read"),
        (&["mlp.onnx", "--input", "rows.npy", "--input", "rows.csv"], "is given twice"),
        (&["mlp.onnx", "--input", "gone.npy"], "gone.npy cannot be read"),
        (&["mlp.onnx", "--bits", "4"], "--mode weights"),
        (&["mlp.onnx", "--mode", "weights", "--bits", "5"], "--bits is 8 or 4"),
        (&["mlp.onnx", "--series", "rows.csv"], "are for a forecaster's folder"),
        (&["rows.csv", "--mode", "dynamic"], "rows.csv: this is"),
        (&["gone.onnx"], "gone.onnx cannot be read"),
        (&["sum.onnx", "--mode", "weights"], "no layer can be quantized"),
        (&["mlp.onnx", "--input", "rows.npy", "--max-loss=-100"], "allow more"),
    ];
    for (arguments, text) in cases {
        let call = [&["quantize", "-o", "out.onnx"], arguments].concat();
        fails(&folder, &call, 2, text);
    }
    fails(&folder, &["quantize", "mlp.onnx", "-o", "out.bin"], 2, "must end in .onnx");
    assert_eq!(fs::read(folder.join("out.onnx")).expect("there"), b"as it was");
}
