//! Reads a forecaster: description, model, covariance.
//!
//! Owns the order of these steps and the sentences of their errors. Each names the file at fault.

use std::io::Read;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::description::Description;
use super::forecaster::{Errors, Forecaster, Input, InputKind, Layout, LayoutError, Text, bind};
use crate::load::{self, LoadError, Options, Precision};
use crate::runtime::Program;
use crate::sampling::OwnedGaussian;

const DESCRIPTION: &str = "forecaster.json";
const NPY_HEADER_BYTES: usize = 1024;

/// Why a forecaster cannot be loaded. Its text names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ForecasterError {
    /// A file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The description is not one.
    #[error("{path}: {reason}", path = path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(Box<LoadError>),
    /// The model does not suit the description.
    #[error("{path}: {reason}", path = path.display())]
    Layout {
        /// The model's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The covariance does not suit the description, or is none.
    #[error("{path}: {reason}", path = path.display())]
    Covariance {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl From<LoadError> for ForecasterError {
    fn from(error: LoadError) -> Self {
        Self::Model(Box::new(error))
    }
}

impl Description {
    /// Reads a folder's `forecaster.json`.
    ///
    /// **Errors**: the file cannot be read, or is no description.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self, ForecasterError> {
        let path = folder.as_ref().join(DESCRIPTION);
        let text = String::from_utf8(read(&path)?).map_err(|error| error.to_string());
        text.and_then(|text| Self::from_json(&text))
            .map_err(|reason| ForecasterError::Description { path, reason })
    }
}

impl Forecaster<'static> {
    /// Reads a folder: `forecaster.json` and the files it names.
    ///
    /// Dimensions of the model's inputs that are left open get the extents that the description
    /// implies: a batch of one, the context, the number of features.
    ///
    /// **Errors**: any [`ForecasterError`].
    ///
    /// **Cost**: loads the model (see [`load`](crate::load)) and factors the covariance.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self, ForecasterError> {
        Self::from_folder_at(folder, Precision::F32)
    }

    /// [`Forecaster::from_folder`], with the weights of its model stored in this type.
    ///
    /// **Errors** and **cost** as there.
    pub fn from_folder_at(
        folder: impl AsRef<Path>,
        precision: Precision,
    ) -> Result<Self, ForecasterError> {
        let folder = folder.as_ref();
        let description = Description::from_folder(folder)?;
        let covariance_path = folder.join(&description.covariance);
        let covariance = covariance(&read(&covariance_path)?, &covariance_path, &description)?;
        let path = folder.join(&description.model);
        let program = load::from_path(&path, &options(&description).precision(precision))?;
        assemble(program, &path, covariance, &description)
    }

    /// The same from memory, as of a program that has its model built in. The description's file
    /// names count for nothing but the text of errors.
    ///
    /// **Errors**: any [`ForecasterError`].
    ///
    /// **Cost** as [`Forecaster::from_folder`].
    pub fn from_parts(
        description_json: &str,
        model: &[u8],
        covariance_npy: &[u8],
    ) -> Result<Self, ForecasterError> {
        let description = Description::from_json(description_json)
            .map_err(|reason| ForecasterError::Description { path: DESCRIPTION.into(), reason })?;
        let covariance_path = Path::new(&description.covariance);
        let covariance = covariance(covariance_npy, covariance_path, &description)?;
        let program = load::from_bytes(model, &options(&description))?;
        assemble(program, Path::new(&description.model), covariance, &description)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ForecasterError> {
    std::fs::read(path).map_err(|source| ForecasterError::Io { path: path.to_owned(), source })
}

fn options(description: &Description) -> Options {
    description.inputs.iter().fold(Options::new(), |options, input| {
        let len = input.borrow().kind.len(description.context);
        options.input_shape(&input.name, &[1, len])
    })
}

fn assemble(
    program: Program<'static>,
    path: &Path,
    covariance: OwnedGaussian,
    description: &Description,
) -> Result<Forecaster<'static>, ForecasterError> {
    let inputs: Vec<Input<'_>> = description.inputs.iter().map(|input| input.borrow()).collect();
    let layout = description.layout(&inputs);
    let bound = bind(&program, &layout).map_err(|error| ForecasterError::Layout {
        path: path.to_owned(),
        reason: sentence(error, &program, &layout),
    })?;
    let texts = (Text::Owned(description.name.clone()), Text::Owned(description.unit.clone()));
    Ok(Forecaster::assemble(program, bound, &layout, texts, Errors::Owned(covariance)))
}

/// A layout's error with the names of model and description.
fn sentence(error: LayoutError, program: &Program<'_>, layout: &Layout<'_>) -> String {
    let described = |input: usize| {
        let Input { name, kind } = layout.inputs[input];
        let what = match kind {
            InputKind::Context => "the context",
            InputKind::Calendar(_) => "the calendar",
        };
        (name, what, kind.len(layout.context))
    };
    match error {
        LayoutError::NoSuchInput { input } => {
            let (name, what, _) = described(input);
            let names: Vec<_> = program.inputs().map(|port| port.name.to_owned()).collect();
            format!(
                "{what} is for the input \"{name}\", but the model's inputs are [{}], each of \
                 which is given one thing: correct {DESCRIPTION}",
                names.join(", ")
            )
        }
        LayoutError::InputShape { input } => {
            let (name, what, len) = described(input);
            let port = program.input_index(name).and_then(|i| program.inputs().nth(i));
            let port = port.map_or(String::new(), |port| format!("{port:?}"));
            format!("{what} is f32[1, {len}], but the model's input is {port}")
        }
        LayoutError::NotGiven { input } => {
            let port = program.inputs().nth(input);
            let port = port.map_or(String::new(), |port| format!("{port:?}"));
            format!("the model's input {port} is not among the \"inputs\" of {DESCRIPTION}")
        }
        LayoutError::NoSuchOutput => {
            let names: Vec<_> = program.outputs().map(|port| port.name.to_owned()).collect();
            format!(
                "the model has no output \"{}\", only [{}]: correct \"output\" in {DESCRIPTION}",
                layout.output,
                names.join(", ")
            )
        }
        LayoutError::OutputShape => {
            let port = program.output_index(layout.output).and_then(|i| program.outputs().nth(i));
            let port = port.map_or(String::new(), |port| format!("{port:?}"));
            format!("the mean is f32[1, {}], but the model's output is {port}", layout.horizon)
        }
        other => other.to_string(),
    }
}

fn covariance(
    bytes: &[u8],
    path: &Path,
    description: &Description,
) -> Result<OwnedGaussian, ForecasterError> {
    let refused = |reason: String| ForecasterError::Covariance { path: path.to_owned(), reason };
    let horizon = description.horizon;
    let elements = square_npy(bytes, horizon).map_err(refused)?;
    OwnedGaussian::full(&vec![0.0; horizon], &elements).map_err(|error| refused(error.to_string()))
}

/// The elements of an array of f64 `[dim, dim]`, row-major.
fn square_npy(bytes: &[u8], dim: usize) -> Result<Vec<f64>, String> {
    check_npy_header(bytes).ok_or("this is no NPY array")?;
    let mut rest = bytes;
    let not_npy = |error: std::io::Error| format!("this is no NPY array: {error}");
    let header = npyz::NpyHeader::from_reader(&mut rest).map_err(not_npy)?;
    let side = dim as u64;
    if header.shape() != [side, side] {
        let shape = header.shape();
        return Err(format!("the shape is {shape:?}, expected [{dim}, {dim}] for the horizon"));
    }
    let fortran = header.order() == npyz::Order::Fortran;
    let data = npyz::NpyFile::with_header(header, rest.take(8 * side * side));
    let not_f64 = |_| "the elements are not f64: save it with dtype float64".to_owned();
    let elements: Result<Vec<f64>, _> = data.data::<f64>().map_err(not_f64)?.collect();
    let elements = elements.map_err(|_| format!("fewer than {dim} x {dim} elements"))?;
    if !fortran {
        return Ok(elements);
    }
    Ok((0..dim * dim).map(|i| elements[i % dim * dim + i / dim]).collect())
}

/// A header that can be parsed in little stack and memory: of at most [`NPY_HEADER_BYTES`], and
/// with so few digits that no product of its numbers overflows.
fn check_npy_header(bytes: &[u8]) -> Option<()> {
    let (version, rest) = bytes.strip_prefix(b"\x93NUMPY")?.split_at_checked(2)?;
    let (len, text) = match version[0] {
        1 => {
            rest.split_first_chunk::<2>().map(|(len, text)| (u16::from_le_bytes(*len).into(), text))
        }
        _ => rest.split_first_chunk::<4>().map(|(len, text)| (u32::from_le_bytes(*len), text)),
    }?;
    let text = text.get(..usize::try_from(len).ok()?)?;
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    (text.len() <= NPY_HEADER_BYTES && digits < u64::MAX.ilog10() as usize).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use npyz::WriterBuilder;

    fn npy(shape: &[u64], elements: &[f64], order: npyz::Order) -> Vec<u8> {
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().shape(shape).order(order);
        let mut writer = options.writer(&mut bytes).begin_nd().expect("a header");
        writer.extend(elements.iter().copied()).expect("elements");
        writer.finish().expect("whole");
        bytes
    }

    #[test]
    fn squares_are_read_in_either_order() {
        let expected = Ok(vec![1.0, 2.0, 3.0, 4.0]);
        let rows = npy(&[2, 2], &[1.0, 2.0, 3.0, 4.0], npyz::Order::C);
        assert_eq!(square_npy(&rows, 2), expected);
        let columns = npy(&[2, 2], &[1.0, 3.0, 2.0, 4.0], npyz::Order::Fortran);
        assert_eq!(square_npy(&columns, 2), expected);
    }

    #[test]
    fn what_is_no_square_is_refused() {
        let good = npy(&[2, 2], &[1.0, 0.0, 0.0, 1.0], npyz::Order::C);
        let with_shape = |shape: &[u8]| {
            let at = good.windows(2).position(|two| two == b"(2").expect("the shape");
            [&good[..at], shape, &good[at + shape.len()..]].concat()
        };
        let cases: [(&[u8], usize, &str); 7] = [
            (&with_shape(b"(9999999999,9999999999)"), 2, "this is no NPY array"),
            (&with_shape(&[b'('; 50]), 2, "this is no NPY array"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", 2, "this is no NPY array"),
            (b"time,value\n", 2, "this is no NPY array"),
            (&good, 3, "the shape is [2, 2], expected [3, 3]"),
            (&good[..good.len() - 1], 2, "fewer than 2 x 2 elements"),
            (&good[..20], 2, "this is no NPY array"),
        ];
        for (bytes, dim, expected) in cases {
            let error = square_npy(bytes, dim).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    const DESCRIPTION: &str = r#"{"format": 1, "name": "n", "model": "m.onnx",
        "covariance": "c.npy", "context": 4, "horizon": 2, "step_seconds": 3600, "unit": "degF",
        "scale": {"center": "last", "spread": 10.0},
        "inputs": [{"name": "x", "kind": "context"}], "output": "mean"}"#;

    #[test]
    fn a_covariance_that_is_none_names_file_and_pivot() {
        let indefinite = npy(&[2, 2], &[1.0, 2.0, 2.0, 1.0], npyz::Order::C);
        let error = Forecaster::from_parts(DESCRIPTION, &[], &indefinite).expect_err("indefinite");
        let text = error.to_string();
        assert!(text.starts_with("c.npy: the covariance is not positive definite"), "{text}");
        assert!(text.ends_with("at pivot 1"), "{text}");
        let error = Forecaster::from_parts("{}", &[], &indefinite).expect_err("empty");
        assert!(error.to_string().starts_with("forecaster.json: missing field"), "{error}");
    }
}
