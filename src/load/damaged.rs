//! Damaged programs of every model in the repository: what is opened runs to its end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use super::{LoadError, Options, from_path};
use crate::onnx::ImportError;
use crate::runtime::Program;
use crate::runtime::damage::{Counts, damage};

fn models(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            models(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "onnx") {
            found.push(path);
        }
    }
    found.sort();
}

/// A model whose open dimensions are ranges where it can be served so, else small numbers, and
/// whose states are kept. `None` where it cannot be loaded without more.
fn open(path: &Path) -> Option<Program<'static>> {
    let load = |ranged: bool| {
        let mut options = Options::new();
        let caches = ["key_0", "value_0", "key_1", "value_1"];
        let caches = caches.iter().map(|s| (format!("present_{s}"), format!("past_{s}")));
        let hidden = ["hidden", "cell"].iter().map(|s| (format!("{s}_out"), format!("{s}_in")));
        let name = path.file_name()?.to_str()?;
        if name.starts_with("decoder_cache") {
            options = caches.fold(options, |options, (o, i)| options.bind_state(&o, &i));
        } else if name.starts_with("lstm_stateful") {
            options = hidden.fold(options, |options, (o, i)| options.bind_state(&o, &i));
        }
        loop {
            match from_path(path, &options) {
                Err(LoadError::Import {
                    source: ImportError::OpenDimension { name, .. }, ..
                }) if !options.dims().contains_key(&name) => {
                    let least = usize::from(!name.contains("past"));
                    options = match ranged {
                        true => options.dim_range(&name, least, 5),
                        false => options.dim(&name, 2),
                    };
                }
                other => return other.ok(),
            }
        }
    };
    load(true).or_else(|| load(false))
}

#[test]
fn models_survive_damage() {
    let mut found = Vec::new();
    models(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models"), &mut found);
    assert!(!found.is_empty(), "there is no model under models/");
    let mut counts = Counts::default();
    for (seed, path) in found.iter().enumerate() {
        let program = open(path).expect("loads");
        let more = damage(&path.display().to_string(), &program, seed as u64, 60);
        counts.add(more);
    }
    assert!(counts.opened * 10 > counts.tried, "hardly anything is opened: {counts:?}");
}

/// By hand: `NOWCAST_DAMAGE_SECONDS` long, over the models under `NOWCAST_DAMAGE_MODELS`, seeds
/// from `NOWCAST_DAMAGE_SEED` on.
#[test]
#[ignore = "runs as long as it is told to"]
fn models_survive_damage_for_long() {
    let given = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let seconds = given("NOWCAST_DAMAGE_SECONDS", "600").parse().expect("a number of seconds");
    let seed: u64 = given("NOWCAST_DAMAGE_SEED", "1").parse().expect("a number");
    let folder = given("NOWCAST_DAMAGE_MODELS", concat!(env!("CARGO_MANIFEST_DIR"), "/models"));
    let mut found = Vec::new();
    models(Path::new(&folder), &mut found);
    let mut opened: Vec<_> = found.iter().filter_map(|p| Some((p, open(p)?))).collect();
    opened.retain(|(_, program)| program.memory().session_bytes < 16 << 20);
    println!("{} of {} models", opened.len(), found.len());
    let (start, limit) = (Instant::now(), Duration::from_secs(seconds));
    let mut counts = Counts::default();
    'all: for round in seed.. {
        for (path, program) in &opened {
            let name = format!("{} seed {round}", path.display());
            let more = damage(&name, program, round, 100);
            counts.add(more);
            if start.elapsed() > limit {
                println!("{counts:?} up to seed {round}");
                break 'all;
            }
        }
    }
}
