//! Models and calibration data from files.

use std::path::{Path, PathBuf};

use nowcast::bundle::MAGIC;
use nowcast::forecast::Description;
use nowcast::graph::Tensor;
use nowcast::load::{self, Options};
use nowcast::quantize::{Calibration, Forecasts, Model, Samples};
use nowcast::sampling::PathAddress;

use super::{DataArgs, parquet, read_model, refused, warn};
use crate::arrays::{Array, read_input};
use crate::failure::Failure;
use crate::forecast::observations::Observations;
use crate::inputs::random;
use crate::npy;

/// A model that is to be quantized.
pub(super) struct Source {
    /// What errors call it.
    pub(super) name: String,
    pub(super) model: Model,
    /// The ONNX file, where there is one.
    pub(super) file: Option<PathBuf>,
    /// The ONNX bytes, where there is none.
    pub(super) bytes: Option<Vec<u8>>,
    /// Of a forecaster's folder.
    pub(super) forecaster: Option<(PathBuf, Description)>,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        if path.is_dir() {
            let described = Description::from_folder(path);
            let description = described.map_err(|error| Failure::User(error.to_string()))?;
            let file = path.join(&description.model);
            let model = read_model(&file, None);
            let model = model.map_err(|error| refused(&file.display().to_string(), &error))?;
            let forecaster = Some((path.to_owned(), description));
            return Ok(Self { name, model, file: Some(file), bytes: None, forecaster });
        }
        let (name, bytes) = read_input(path)?;
        if bytes.starts_with(MAGIC) {
            return Err(Failure::User(format!(
                "{name}: this model is compiled already: quantize its ONNX file, then compile"
            )));
        }
        let is_file = path.as_os_str() != "-" && path.is_file();
        let model = match is_file {
            true => read_model(path, None),
            false => read_model(path, Some(&bytes)),
        };
        let model = model.map_err(|error| refused(&name, &error))?;
        let (file, bytes) =
            if is_file { (Some(path.to_owned()), None) } else { (None, Some(bytes)) };
        Ok(Self { name, model, file, bytes, forecaster: None })
    }

    fn input_names(&self) -> Vec<String> {
        self.model.input_names().map(str::to_owned).collect()
    }
}

/// The calibration data that was given.
pub(super) fn calibration(
    args: &DataArgs,
    source: &Source,
    options: &Options,
) -> Result<Option<Calibration>, Failure> {
    let limit = args.samples as usize;
    let of_source = |error| refused(&source.name, &error);
    if let Some((folder, description)) = &source.forecaster {
        let series = match (&args.series, &description.series) {
            (Some(path), _) => path.clone(),
            (None, Some(own)) => folder.join(own),
            (None, None) => {
                return Err(Failure::User(format!(
                    "{}: the forecaster has no series of its own: give one with --series",
                    source.name
                )));
            }
        };
        let observed = Observations::read(&series, description.step_seconds)?;
        let is_before =
            |i: &usize| args.before.is_none_or(|time| observed.time(*i) < time.unix_seconds());
        let len = (0..observed.values.len()).take_while(is_before).count();
        let forecasts = Forecasts::new(folder, &observed.values[..len], observed.time(0), limit);
        return match forecasts {
            Ok(forecasts) => Ok(Some(Calibration::Forecasts(Box::new(forecasts)))),
            Err(error) => Err(refused(&observed.name, &error)),
        };
    }
    if args.series.is_some() || args.before.is_some() {
        return Err(Failure::User(format!(
            "{}: --series and --before are for a forecaster's folder: give calibration data with \
             --input",
            source.name
        )));
    }
    let arrays = match args.random {
        Some(count) => {
            warn(
                "calibrating on random samples: ranges and losses say nothing of real data; give \
                 some with --input",
            );
            random_arrays(source, options, count as usize, args.seed)?
        }
        None => read_arrays(&args.input, source)?,
    };
    if arrays.is_empty() {
        return Ok(None);
    }
    let samples = Samples::new(&source.model, &arrays, limit).map_err(of_source)?;
    Ok(Some(Calibration::Samples(samples)))
}

fn read_arrays(given: &[String], source: &Source) -> Result<Vec<(String, Tensor)>, Failure> {
    let mut arrays: Vec<(String, Tensor)> = Vec::new();
    for text in given {
        let inputs = source.input_names();
        let named = inputs.iter().find_map(|name| {
            Some((name.clone(), text.strip_prefix(name.as_str())?.strip_prefix('=')?))
        });
        let (name, file) = match named {
            Some((name, file)) => (Some(name), file),
            None => (None, &text[..]),
        };
        if let (None, Some((name, _))) = (&name, text.split_once('='))
            && !Path::new(text).exists()
        {
            return Err(Failure::User(format!(
                "{}: there is no input {name:?}, only [{}]",
                source.name,
                inputs.join(", ")
            )));
        }
        let path = Path::new(file);
        let more = match (path.extension().and_then(|e| e.to_str()), name) {
            (Some("npz"), name) => {
                let mut all = npy::read_archive(path)?;
                match name {
                    None => all,
                    Some(name) => match all.len() {
                        1 => vec![(name, all.remove(0).1)],
                        len => {
                            return Err(Failure::User(format!(
                                "{file}: {len} arrays for one input: leave out its name, and call \
                                 each array as its input"
                            )));
                        }
                    },
                }
            }
            (Some("parquet" | "pq"), name) => {
                let only = inputs.first().filter(|_| inputs.len() == 1).cloned();
                let columns = match &name {
                    Some(_) => parquet::read(path, &[])?,
                    None => parquet::read(path, &inputs)?,
                };
                let named = |(column, tensor): (Option<String>, Tensor)| {
                    let name = column.or_else(|| name.clone()).or_else(|| only.clone());
                    Ok((name.ok_or_else(|| unnamed(text, &inputs))?, tensor))
                };
                columns.into_iter().map(named).collect::<Result<_, Failure>>()?
            }
            (_, Some(name)) => vec![(name, table(path)?)],
            (_, None) => match &inputs[..] {
                [only] => vec![(only.clone(), table(path)?)],
                names => return Err(unnamed(text, names)),
            },
        };
        for (name, array) in more {
            if arrays.iter().any(|(other, _)| *other == name) {
                return Err(Failure::User(format!("{file}: input {name:?} is given twice")));
            }
            arrays.push((name, array));
        }
    }
    Ok(arrays)
}

fn unnamed(text: &str, names: &[String]) -> Failure {
    let names = names.join(", ");
    Failure::User(format!("--input {text}: name the input: it is one of [{names}]"))
}

/// One array: NPY as it is, rows of numbers otherwise.
fn table(path: &Path) -> Result<Tensor, Failure> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => {
            let Array { shape, elements } = Array::read_table(path)?;
            Ok(Tensor::new(&shape, &elements))
        }
        _ => npy::read(path),
    }
}

/// Random elements for every input, of the types and sizes that the model declares.
fn random_arrays(
    source: &Source,
    options: &Options,
    count: usize,
    seed: u64,
) -> Result<Vec<(String, Tensor)>, Failure> {
    let program = match (&source.file, &source.bytes) {
        (Some(path), _) => load::from_path(path, options),
        (None, bytes) => load::from_bytes(bytes.as_deref().unwrap_or_default(), options),
    };
    let program = program.map_err(|error| Failure::User(error.to_string()))?;
    let mut arrays = Vec::new();
    for (i, port) in program.inputs().enumerate() {
        let extents: Option<Vec<usize>> =
            (0..port.rank()).map(|axis| port.max_extent(axis)).collect();
        let extents = extents.unwrap_or_default();
        let shape = [&[count], &extents[..]].concat();
        let len: usize = shape.iter().product();
        let mut bytes = vec![0; len * port.dtype.bytes()];
        random(port.dtype, &mut bytes, PathAddress { seed, stream: i as u64, path: 0 });
        arrays.push((port.name.to_owned(), Tensor::from_bytes(port.dtype, &shape, &bytes)));
    }
    Ok(arrays)
}
