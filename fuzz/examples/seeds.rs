//! Writes the seed corpus: `seeds CORPUS FOLDER...`.
//!
//! `onnx` gets the models below the folders as they are, `program` the images that they compile
//! to, `bundle` bundles of those in `families`, and of forecasters, `c_api` sequences
//! of one kind of call each.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use nowcast::bundle::Writer;
use nowcast::forecast::Forecaster;
use nowcast::load::from_bytes;
use nowcast::runtime::Program;
use nowcast_fuzz::fixture;
use nowcast_fuzz::variants::variants;

/// Larger seeds slow every change down and add no kernel that a smaller one lacks.
const MOST_BYTES: usize = 48 << 10;

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let corpus = arguments.next().ok_or(io::ErrorKind::InvalidInput)?;
    for target in ["onnx", "graph", "program", "bundle", "c_api"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    let mut files = Vec::new();
    for folder in arguments {
        collect(&folder, &mut files)?;
    }
    files.sort();
    let (mut models, mut programs) = (0, 0);
    for file in &files {
        let bytes = fs::read(file)?;
        let parts: Vec<_> = file.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
        let name = format!("{}-{}", parts[1], parts[0]);
        if bytes.len() > MOST_BYTES {
            continue;
        }
        fs::write(corpus.join("onnx").join(&name), &bytes)?;
        models += 1;
        for (i, options) in variants(&bytes).iter().enumerate() {
            let Ok(program) = from_bytes(&bytes, options) else { continue };
            let image: Vec<u8> = program.words().iter().flat_map(|w| w.to_le_bytes()).collect();
            if image.len() <= MOST_BYTES {
                fs::write(corpus.join("program").join(format!("{name}-{i}")), image)?;
                programs += 1;
                if parts[1] == "families" {
                    fs::write(corpus.join("bundle").join(format!("{name}-{i}")), bundle(&program))?;
                }
            }
        }
    }
    forecasters(&corpus.join("bundle"))?;
    for call in 0..26 {
        // The objects that it needs, bit by bit, then the call, its choices small numbers.
        let objects = match call {
            4 | 5 => 0b1,
            6..=15 => 0b111,
            17 => 0b11000,
            19 => 0b110_0000,
            20 | 21 => 0b1110_0000,
            22 => 0xff,
            // Calls that make objects, and one that needs none.
            _ => 0,
        };
        let mut sequence = vec![objects];
        for choice in 0..6 {
            sequence.extend([call, choice, choice / 2, choice % 3, 0, 0, 0, 0]);
        }
        fs::write(corpus.join("c_api").join(format!("call-{call}")), sequence)?;
    }
    println!("    seeds: {models} models, {programs} programs");
    Ok(())
}

fn bundle(program: &Program<'_>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.model("m").expect("a first name").program(program).metadata("{\"a\": 1}");
    writer.finish().expect("a model")
}

/// Bundles of one forecaster and of two.
fn forecasters(folder: &Path) -> io::Result<()> {
    let (model, covariance) = (fixture::forecaster_model(), fixture::covariance_npy());
    let forecaster = Forecaster::from_parts(fixture::FORECASTER_JSON, &model, &covariance);
    let forecaster = forecaster.expect("a forecaster");
    let mut writer = Writer::new();
    for name in ["one", "two"] {
        forecaster.write(&mut writer.model(name).expect("another name"));
        fs::write(folder.join(name), writer.finish().expect("a model"))?;
    }
    Ok(())
}

/// The ONNX files below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "onnx") {
            files.push(path);
        }
    }
    Ok(())
}
