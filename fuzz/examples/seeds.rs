//! Writes the seed corpus: `seeds CORPUS MODELS [NODE_SUITE]`.
//!
//! `onnx` gets the models as they are, `program` the images that they compile to,
//! `bundle` some of these as bundles, with forecasters; `c_api` starts from nothing.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use nowcast::bundle::Writer;
use nowcast::forecast::Forecaster;
use nowcast::load::{Options, from_bytes};
use nowcast_fuzz::fixture;

/// Larger seeds slow every change down and add no kernel that a smaller one lacks.
const MOST_BYTES: usize = 48 << 10;

/// Folders of models that become bundles: one of each kind of step is in `program`.
const BUNDLED: &str = "families";

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let corpus = arguments.next().expect("the corpus's folder");
    for target in ["onnx", "program", "bundle", "c_api"] {
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
        if bytes.len() <= MOST_BYTES {
            fs::write(corpus.join("onnx").join(&name), &bytes)?;
            models += 1;
        }
        for (kind, options) in [("plain", Options::new()), ("ranged", ranged())] {
            let Ok(program) = from_bytes(&bytes, &options) else { continue };
            let image: Vec<u8> = program.words().iter().flat_map(|w| w.to_le_bytes()).collect();
            if image.len() <= MOST_BYTES {
                fs::write(corpus.join("program").join(format!("{name}-{kind}")), image)?;
                programs += 1;
            }
            if kind == "plain" && parts[1].starts_with(BUNDLED) {
                let mut writer = Writer::new();
                let mut model = writer.model("m").expect("a first name");
                model.program(&program).metadata("{\"a\": 1}");
                fs::write(corpus.join("bundle").join(&name), writer.finish().expect("a model"))?;
            }
        }
    }
    bundles(&corpus.join("bundle"))?;
    println!("{models} models, {programs} programs");
    Ok(())
}

/// Bundles of forecasters, one and two.
fn bundles(folder: &Path) -> io::Result<()> {
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

/// The open dimensions of the models in `models/`.
fn ranged() -> Options {
    Options::new().dim_range("batch", 1, 4)
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
