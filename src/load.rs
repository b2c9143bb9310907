//! The pipeline: a model's bytes and options in, a program out.
//!
//! Owns the order of the stages (import, optimize, compile) and what a caller may choose. It
//! never guesses: what the options leave open and the model needs is an error that names the
//! option.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

use crate::compile::{CompileError, compile_within};
use crate::graph::{Bindings, Extent, Graph, Tensor};
pub use crate::onnx::DEFAULT_MAX_MEMORY;
use crate::onnx::ImportError;
use crate::optimize::bf16::Narrowed;
use crate::optimize::{self, Applied, Kept, PASSES, Report};
use crate::runtime::{Program, Storage};

/// Bytes of a sentence that says what is wrong with a model.
const LONGEST: usize = 4096;

/// Why a model cannot be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The model cannot be imported.
    #[error("{path}: {source}", path = path.display(), source = short(source))]
    Import {
        /// The file, or `model` for bytes in memory.
        path: PathBuf,
        /// Why.
        source: ImportError,
    },
    /// The model cannot be compiled.
    #[error("{path}: {source}", path = path.display(), source = short(source))]
    Compile {
        /// The file, or `model` for bytes in memory.
        path: PathBuf,
        /// Why.
        source: CompileError,
    },
    /// A pass to leave out that is none.
    #[error("there is no pass \"{name}\": they are {}", pass_names().join(", "))]
    Pass {
        /// The name.
        name: String,
    },
}

/// The names of the passes, each once.
pub fn pass_names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for pass in PASSES {
        if !names.contains(&pass.name) {
            names.push(pass.name);
        }
    }
    names
}

/// A sentence for people, whatever a hostile model calls its values: its middle is left out where
/// it is too long.
fn short(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    if text.len() <= LONGEST {
        return text;
    }
    let first = text.floor_char_boundary(LONGEST / 2);
    let last = text.ceil_char_boundary(text.len() - LONGEST / 2);
    format!("{} ... {}", &text[..first], &text[last..])
}

/// In which type the weights of products with constants are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// As in the model.
    #[default]
    F32,
    /// Rounded to the nearest bf16, which has 8 significant bits: half of the bytes. Sums are f32,
    /// and so is everything between products; products of many rows round their first operand
    /// too where the CPU multiplies bf16 (AVX512-BF16, AMX).
    Bf16,
}

impl Precision {
    /// Its short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// What a caller chooses of a model.
///
/// # Examples
/// ```
/// use nowcast::graph::Tensor;
/// use nowcast::load::Options;
///
/// let options = Options::new()
///     .dim("batch", 1)
///     .dim_range("past", 0, 512)
///     .input_shape("x", &[1, 37, 8])
///     .bind_value("shape", Tensor::vector(&[2i64, -1]))
///     .bind_state("present.0.key", "past.0.key");
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    bindings: Bindings,
    without: Vec<String>,
    precision: Precision,
}

impl Options {
    /// Nothing chosen.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives an open dimension its extent. An unnamed dimension is called `INPUT.AXIS`.
    #[must_use]
    pub fn dim(mut self, name: &str, extent: usize) -> Self {
        self.bindings.dims.insert(name.to_owned(), Extent::Fixed(extent as i64));
        self
    }

    /// Leaves an open dimension to each call, within bounds, both included. Memory is planned
    /// for the largest extent.
    #[must_use]
    pub fn dim_range(mut self, name: &str, min: usize, max: usize) -> Self {
        self.bindings.dims.insert(name.to_owned(), Extent::Range(min as i64, max as i64));
        self
    }

    /// Gives an input its shape, and with it the open dimensions in it.
    #[must_use]
    pub fn input_shape(mut self, name: &str, shape: &[usize]) -> Self {
        self.bindings.shapes.insert(name.to_owned(), shape.to_vec());
        self
    }

    /// Makes an input a constant; it is no input of the program then. This is what an integer
    /// input that decides shapes needs.
    #[must_use]
    pub fn bind_value(mut self, name: &str, value: Tensor) -> Self {
        self.bindings.values.insert(name.to_owned(), value);
        self
    }

    /// Bounds the elements of an integer value that decides a shape, or how often a loop runs,
    /// while the program runs: an input, or any other value of the model, by its name. Memory is
    /// planned for the largest shape; a number outside its bounds ends a run with
    /// [`RunError::OutOfRange`](crate::runtime::RunError::OutOfRange).
    #[must_use]
    pub fn value_range(mut self, name: &str, min: i64, max: i64) -> Self {
        self.bindings.ranges.insert(name.to_owned(), (min, max));
        self
    }

    /// Keeps an output as the input of the next run.
    #[must_use]
    pub fn bind_state(mut self, output: &str, input: &str) -> Self {
        self.bindings.states.push((output.to_owned(), input.to_owned()));
        self
    }

    /// Bounds a loop whose number of iterations is decided at run time. A node without a name is
    /// called `Loop_` and its position. A run that would go on beyond the bound fails.
    #[must_use]
    pub fn max_trips(mut self, node: &str, trips: usize) -> Self {
        self.bindings.trips.insert(node.to_owned(), trips);
        self
    }

    /// The most memory that loading, and then a session, may take, in bytes: the file, what it is
    /// decoded to, its constants, their packed forms, the arena and the state. A model that needs
    /// more is refused before the memory is taken. Where it is not given:
    /// [`DEFAULT_MAX_MEMORY`].
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.bindings.max_memory = Some(bytes);
        self
    }

    /// Leaves out a pass over the graph, by its name in [`pass_names`]: to see what it is worth, or
    /// to find the one that is wrong.
    #[must_use]
    pub fn without_pass(mut self, name: &str) -> Self {
        self.without.push(name.to_owned());
        self
    }

    /// Chooses in which type the weights of products are stored.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    fn memory_limit(&self) -> u64 {
        self.bindings.max_memory.unwrap_or(DEFAULT_MAX_MEMORY)
    }

    /// Open dimensions chosen so far.
    pub fn dims(&self) -> &BTreeMap<String, Extent> {
        &self.bindings.dims
    }

    /// The type of weights that is chosen.
    pub fn chosen_precision(&self) -> Precision {
        self.precision
    }

    /// All that is chosen so far.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// Whether nothing is chosen yet of what is open in a model, or of passes.
    pub fn is_empty(&self) -> bool {
        let Bindings { dims, shapes, values, ranges, states, trips, max_memory: _ } =
            &self.bindings;
        let inputs = dims.is_empty() && shapes.is_empty() && values.is_empty();
        let decided = ranges.is_empty() && states.is_empty() && trips.is_empty();
        inputs && decided && self.without.is_empty()
    }
}

/// Loads an ONNX file. External data is read from the file's folder.
///
/// **Errors**: [`LoadError`], with the file in its text.
///
/// **Cost**: reads the file, folds constants, packs weights; see [`compile_within`].
pub fn from_path(path: impl AsRef<Path>, options: &Options) -> Result<Program<'static>, LoadError> {
    let path = path.as_ref();
    compile_within(&graph_from_path(path, options)?.graph, options.memory_limit())
        .map_err(|source| LoadError::Compile { path: path.to_owned(), source })
}

/// Loads an ONNX model from memory. External data is refused.
///
/// **Errors** and **cost** as [`from_path`].
pub fn from_bytes(bytes: &[u8], options: &Options) -> Result<Program<'static>, LoadError> {
    let path = Path::new("model");
    let graph = graph_from_bytes(bytes, options)?.graph;
    compile_within(&graph, options.memory_limit())
        .map_err(|source| LoadError::Compile { path: path.to_owned(), source })
}

/// A graph behind the passes.
#[derive(Clone, Debug)]
pub struct Optimized {
    /// The graph.
    pub graph: Graph,
    /// What each pass did, in their order.
    pub passes: Vec<Applied>,
    /// What computes in f32 though an operand is quantized.
    pub kept: Vec<Kept>,
    /// What became bf16, where that was chosen.
    pub bf16: Option<Narrowed>,
}

/// The optimized graph of a model in memory: what [`from_bytes`] compiles.
///
/// **Errors**: as [`from_bytes`].
pub fn graph_from_bytes(bytes: &[u8], options: &Options) -> Result<Optimized, LoadError> {
    graph_from(Bytes::copy_from_slice(bytes), Path::new("model"), None, options)
}

/// The optimized graph of an ONNX file: what [`from_path`] compiles.
///
/// **Errors**: as [`from_path`].
pub fn graph_from_path(path: impl AsRef<Path>, options: &Options) -> Result<Optimized, LoadError> {
    let path = path.as_ref();
    let io = |source| LoadError::Io { path: path.to_owned(), source };
    if path.is_dir() {
        return Err(io(io::Error::other(in_folder(path))));
    }
    graph_from(read(path).map_err(io)?, path, path.parent(), options)
}

/// The bytes of a file: of a large one in memory that the system may give in large pages.
fn read(path: &Path) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    let stated = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut rest = Vec::new();
    let Some(mut storage) = Storage::zeroed(stated) else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    let mut len = 0;
    while let to = &mut storage.bytes_mut()[len..stated]
        && !to.is_empty()
    {
        match file.read(to) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // What is no regular file, or grows, is longer than it says.
    file.read_to_end(&mut rest)?;
    if rest.is_empty() {
        return Ok(Bytes::from_owner(storage).slice(..len));
    }
    Ok([&storage.bytes()[..len], &rest].concat().into())
}

/// What to say of a folder: the models in it, if there are any.
fn in_folder(path: &Path) -> String {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut models: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "onnx"))
        .filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned()))
        .collect();
    models.sort();
    models.truncate(5);
    match &models[..] {
        [] => "this is a folder; name the ONNX file".to_owned(),
        models => format!("this is a folder; name a file in it, such as {}", models.join(", ")),
    }
}

fn graph_from(
    bytes: Bytes,
    path: &Path,
    folder: Option<&Path>,
    options: &Options,
) -> Result<Optimized, LoadError> {
    let unknown = |name: &&String| !PASSES.iter().any(|pass| pass.name == **name);
    if let Some(name) = options.without.iter().find(unknown) {
        return Err(LoadError::Pass { name: name.clone() });
    }
    let mut fold =
        |op: &_, inputs: &[_], results: &[_]| optimize::fold::evaluate(op, inputs, results);
    let mut graph = crate::onnx::import_file(bytes, folder, &options.bindings, &mut fold)
        .map_err(|source| LoadError::Import { path: path.to_owned(), source })?;
    let Report { passes, kept } = optimize::run(&mut graph, &options.without);
    let bf16 = match options.precision {
        Precision::F32 => None,
        Precision::Bf16 => Some(optimize::bf16::narrow(&mut graph)),
    };
    Ok(Optimized { graph, passes, kept, bf16 })
}

#[cfg(test)]
mod damaged;
