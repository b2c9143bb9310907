//! Models and forecasters ahead of time: files in, a bundle out.
//!
//! Owns what `nowcast compile` and build scripts share: which sections a model gets, and what is
//! said of it as JSON. Its invariant: the same models and options give the same bytes on every
//! host; nothing of the time, the machine or a path goes into a bundle.
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

use crate::bundle::Writer;
use crate::forecast::{Forecaster, ForecasterError};
use crate::graph::Tensor;
use crate::load::{self, LoadError, Options};

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
                let forecaster = Forecaster::from_folder(folder)?;
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
