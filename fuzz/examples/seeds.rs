//! Writes the seed corpus: `seeds CORPUS MODELS [NODE_SUITE]`.
//!
//! `onnx` gets the models as they are, `program` the images that they compile to.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use nowcast::load::{Options, from_bytes};

/// Larger seeds slow every change down and add no kernel that a smaller one lacks.
const MOST_BYTES: usize = 48 << 10;

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let corpus = arguments.next().expect("the corpus's folder");
    for target in ["onnx", "program", "c_api"] {
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
        }
    }
    println!("{models} models, {programs} programs");
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
