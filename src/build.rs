//! Models and forecasters ahead of time: files in, a bundle out, and source that has it built in.
//!
//! Owns what `nowcast compile` and build scripts share: which sections a model gets, what is said
//! of it as JSON, and which files are written. Its invariant: the same models and options give the
//! same bytes on every host; nothing of the time, the machine or a path goes into a bundle.
//!
//! # Examples
//! ```
//! use nowcast::build::{Model, bundle};
//!
//! let lstm = Model::new("models/jfk-lstm/model.onnx").name("lstm").dim("batch", 1);
//! let temperature = Model::new("models/jfk-temperature"); // a forecaster's folder
//! let bytes = bundle(&[lstm, temperature])?;
//! # Ok::<(), nowcast::build::BuildError>(())
//! ```

mod metadata;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::bundle::{self, BundleError, Writer, write_atomically};
use crate::emit::{self, EmitError};
use crate::forecast::{Forecaster, ForecasterError};
use crate::graph::Tensor;
use crate::load::{self, LoadError, Options, Precision};

/// Why a bundle cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A forecaster cannot be loaded.
    #[error(transparent)]
    Forecaster(#[from] ForecasterError),
    /// Options for a forecaster's folder, which says itself what its model is given.
    #[error("{path}: a forecaster's folder has no open dimensions: leave out the options", path = path.display())]
    Options {
        /// The folder.
        path: PathBuf,
    },
    /// A name that is empty or taken, or too many models.
    #[error("{0}")]
    Names(String),
    /// Bytes that are no bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle cannot be said in source.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// Cargo has not said where a build script writes.
    #[error("OUT_DIR is not set: emit from a build script, or name a folder")]
    NoOutDir,
    /// A file cannot be written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A model on its way into a bundle: an ONNX file or a forecaster's folder, and what is chosen of
/// it.
#[derive(Clone, Debug)]
pub struct Model {
    source: Source,
    name: String,
    options: Options,
}

#[derive(Clone, Debug)]
enum Source {
    Path(PathBuf),
    Bytes(Vec<u8>),
}

impl Model {
    /// The model of an ONNX file, or of a folder with a `forecaster.json`. It is called as the file
    /// is, without its ending.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        Self { name: name_of(path), source: Source::Path(path.to_owned()), options: Options::new() }
    }

    /// The model of an ONNX file in memory.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Self {
        let source = Source::Bytes(bytes.to_owned());
        Self { source, name: name.to_owned(), options: Options::new() }
    }

    /// Calls it otherwise.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Chooses these options in place of those so far.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// As [`Options::dim`].
    #[must_use]
    pub fn dim(mut self, name: &str, extent: usize) -> Self {
        self.options = self.options.dim(name, extent);
        self
    }

    /// As [`Options::dim_range`].
    #[must_use]
    pub fn dim_range(mut self, name: &str, min: usize, max: usize) -> Self {
        self.options = self.options.dim_range(name, min, max);
        self
    }

    /// As [`Options::input_shape`].
    #[must_use]
    pub fn input_shape(mut self, name: &str, shape: &[usize]) -> Self {
        self.options = self.options.input_shape(name, shape);
        self
    }

    /// As [`Options::bind_value`].
    #[must_use]
    pub fn bind_value(mut self, name: &str, value: Tensor) -> Self {
        self.options = self.options.bind_value(name, value);
        self
    }

    /// As [`Options::value_range`].
    #[must_use]
    pub fn value_range(mut self, name: &str, min: i64, max: i64) -> Self {
        self.options = self.options.value_range(name, min, max);
        self
    }

    /// As [`Options::max_trips`].
    #[must_use]
    pub fn max_trips(mut self, node: &str, trips: usize) -> Self {
        self.options = self.options.max_trips(node, trips);
        self
    }

    /// As [`Options::precision`], of a forecaster too.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.options = self.options.precision(precision);
        self
    }

    /// As [`Options::bind_state`].
    #[must_use]
    pub fn bind_state(mut self, output: &str, input: &str) -> Self {
        self.options = self.options.bind_state(output, input);
        self
    }

    /// Whether it is a forecaster's folder.
    pub fn is_forecaster(&self) -> bool {
        matches!(&self.source, Source::Path(path) if path.is_dir())
    }

    /// Compiles the model and adds it to a bundle.
    ///
    /// **Errors**: any [`BuildError`]; a name that was free is taken then.
    ///
    /// **Cost**: that of [`load::from_path`] or [`Forecaster::from_folder`].
    pub fn write(&self, bundle: &mut Writer) -> Result<(), BuildError> {
        let mut section = bundle.model(&self.name).map_err(BuildError::Names)?;
        match &self.source {
            Source::Path(folder) if self.is_forecaster() => {
                if !self.options.is_empty() {
                    return Err(BuildError::Options { path: folder.clone() });
                }
                let precision = self.options.chosen_precision();
                let forecaster = Forecaster::from_folder_at(folder, precision)?;
                forecaster.write(&mut section);
                section.metadata(&metadata::of_forecaster(&self.name, &forecaster));
            }
            source => {
                let program = match source {
                    Source::Path(path) => load::from_path(path, &self.options)?,
                    Source::Bytes(bytes) => load::from_bytes(bytes, &self.options)?,
                };
                let metadata = metadata::of_program(&self.name, &program, &self.options);
                section.program(&program).metadata(&metadata);
            }
        }
        Ok(())
    }

    /// [`emit()`] for this model alone.
    ///
    /// **Errors** and **cost** as there.
    pub fn emit(&self, stem: &str) -> Result<(), BuildError> {
        emit(stem, std::slice::from_ref(self))
    }
}

/// The name of a file without its ending, or of a folder.
fn name_of(path: &Path) -> String {
    // `.` and `..` have a name only where they lie.
    let whole = path.file_name().is_none().then(|| path.canonicalize().ok()).flatten();
    let path = whole.as_deref().unwrap_or(path);
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The bytes of a bundle of these models.
///
/// **Errors**: any [`BuildError`].
///
/// **Cost**: that of [`Model::write`] for each.
pub fn bundle(models: &[Model]) -> Result<Vec<u8>, BuildError> {
    let mut writer = Writer::new();
    models.iter().try_for_each(|model| model.write(&mut writer))?;
    writer.finish().map_err(BuildError::Names)
}

/// For a build script: writes a bundle of these models to `STEM.nowcast` and the module that has it
/// built in to `STEM.rs`, both in `OUT_DIR`, and asks Cargo to run the script again when a model
/// changes (files with external data are not watched).
///
/// **Errors**: any [`BuildError`].
///
/// **Cost**: that of [`Model::write`] for each.
///
/// # Examples
/// In `build.rs`, with `nowcast` among the build dependencies:
/// ```no_run
/// # fn main() -> Result<(), nowcast::build::BuildError> {
/// nowcast::build::Model::new("models/lstm.onnx").dim("batch", 1).emit("lstm")
/// # }
/// ```
/// In the program, with `nowcast` among the dependencies (`default-features = false` will do):
/// ```ignore
/// mod lstm {
///     include!(concat!(env!("OUT_DIR"), "/lstm.rs"));
/// }
/// ```
pub fn emit(stem: &str, models: &[Model]) -> Result<(), BuildError> {
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").ok_or(BuildError::NoOutDir)?);
    for model in models {
        if let Source::Path(path) = &model.source {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    emit_rust(&folder.join(stem), &bundle(models)?).map(|_| ())
}

/// Writes a bundle to `STEM.nowcast` and the module that has it built in to `STEM.rs`: a path whose
/// ending, if it has one, is replaced. The paths that were written.
///
/// **Errors**: [`BuildError::Emit`], [`BuildError::Io`].
pub fn emit_rust(stem: &Path, bytes: &[u8]) -> Result<[PathBuf; 2], BuildError> {
    let paths = ["nowcast", "rs"].map(|ending| stem.with_extension(ending));
    let file = bundle::File::from_bytes(bytes)?;
    let name = paths[0].file_name().unwrap_or_default().to_string_lossy();
    let text = emit::rust(&file.bundle(), &name)?;
    write(&paths[0], bytes)?;
    write(&paths[1], text.as_bytes())?;
    Ok(paths)
}

/// Writes a bundle to `STEM.nowcast`, and the C file that has it built in and its header to
/// `STEM.c` and `STEM.h`, as [`emit_rust`] does.
///
/// **Errors**: [`BuildError::Emit`], [`BuildError::Io`].
pub fn emit_c(stem: &Path, bytes: &[u8]) -> Result<[PathBuf; 3], BuildError> {
    let paths = ["nowcast", "c", "h"].map(|ending| stem.with_extension(ending));
    let file = bundle::File::from_bytes(bytes)?;
    let name = stem.file_stem().unwrap_or_default().to_string_lossy();
    let text = emit::c(&file.bundle(), &name)?;
    write(&paths[0], bytes)?;
    write(&paths[1], text.source.as_bytes())?;
    write(&paths[2], text.header.as_bytes())?;
    Ok(paths)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    write_atomically(path, bytes).map_err(|source| BuildError::Io { path: path.to_owned(), source })
}
