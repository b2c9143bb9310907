//! Other runtimes, as oracles: for `verify`, `bench --against` and tests.
//!
//! Owns the call shape that the engines share ([`Array`], [`Port`], [`EngineOptions`]). An engine
//! allocates and may take locks: it is never on the serving path.

#[cfg(feature = "ort")]
mod ort;
#[cfg(feature = "tract")]
mod tract;

#[cfg(feature = "ort")]
pub use self::ort::{OrtCall, OrtEngine};
#[cfg(feature = "tract")]
pub use self::tract::{TractCall, TractEngine};

use crate::tensor::DType;

/// A named array, as an engine takes and gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The model's name of the input or output.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Elements in C order, each in the byte order of the host.
    pub bytes: Vec<u8>,
    /// Texts: of i64 what each number means, of floats the names of the columns. An engine that
    /// gives text gives numbers and these; one that gives a list of maps, a table.
    pub labels: Vec<String>,
}

impl Array {
    /// Numbers texts as `labels` does, or puts the columns in its order; a text that is not there
    /// becomes -1. Changes nothing where one of the two has no labels.
    pub fn relabel(&mut self, labels: &[String]) {
        if self.labels.is_empty() || labels.is_empty() {
            return;
        }
        let place = |text: &String| labels.iter().position(|label| label == text);
        if self.dtype == DType::I64 {
            let number = |bytes: &[u8; 8]| {
                let text = usize::try_from(i64::from_ne_bytes(*bytes)).ok();
                let text = text.and_then(|i| self.labels.get(i));
                text.and_then(place).map_or(-1, |i| i as i64).to_ne_bytes()
            };
            self.bytes = self.bytes.as_chunks().0.iter().flat_map(number).collect();
        } else {
            let (width, columns) = (self.dtype.bytes(), self.labels.len());
            let places: Vec<Option<usize>> = self.labels.iter().map(place).collect();
            let mut bytes = vec![0xff; self.bytes.len() / columns * labels.len()];
            let rows = bytes.chunks_exact_mut(labels.len() * width);
            for (from, to) in self.bytes.chunks_exact(columns * width).zip(rows) {
                for (element, place) in from.chunks_exact(width).zip(&places) {
                    if let Some(place) = place {
                        to[place * width..][..width].copy_from_slice(element);
                    }
                }
            }
            (self.bytes, self.shape) = (bytes, vec![self.shape[0], labels.len()]);
        }
        self.labels = labels.to_vec();
    }
}

/// An input or output that a model declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The model's name of it.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub dims: Vec<PortDim>,
}

/// One dimension of a [`Port`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortDim {
    /// Known when the model is loaded.
    Fixed(usize),
    /// Given with each call; the text is the model's name of it and may be empty.
    Open(String),
}

/// How much an engine may rewrite a model before it runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewrite {
    /// As written, operator by operator: the reference.
    None,
    /// Everything the engine can do: the fast form.
    #[default]
    Full,
}

/// How an engine loads a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Threads within one operator.
    pub threads: usize,
    /// Graph rewriting.
    pub rewrite: Rewrite,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { threads: 1, rewrite: Rewrite::Full }
    }
}

/// Why an engine did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The engine's shared library cannot be used.
    #[error("{engine} is not available: {reason}")]
    Unavailable {
        /// The engine's name.
        engine: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The engine refused the model.
    #[error("{engine} does not load the model: {reason}")]
    Load {
        /// The engine's name.
        engine: &'static str,
        /// The engine's own words.
        reason: String,
    },
    /// The engine failed in a call.
    #[error("{engine} failed: {reason}")]
    Run {
        /// The engine's name.
        engine: &'static str,
        /// The engine's own words.
        reason: String,
    },
    /// A value is not a tensor, or of an element type that does not pass between engines.
    #[error(
        "`{name}` is {found}: only tensors of f32, f64, bool and integers of 8 to 64 bits pass \
         between engines"
    )]
    Type {
        /// The input or output.
        name: String,
        /// What the engine says it is.
        found: String,
    },
    /// The inputs given are not the model's inputs.
    #[error("input `{name}`: {reason}")]
    Input {
        /// The input.
        name: String,
        /// What does not match.
        reason: String,
    },
}

impl EngineError {
    /// [`EngineError::Input`].
    #[cfg(any(feature = "ort", feature = "tract"))]
    fn input(name: &str, reason: &str) -> Self {
        Self::Input { name: name.to_owned(), reason: reason.to_owned() }
    }
}

/// The array that is given for each input, in the order of the inputs.
#[cfg(any(feature = "ort", feature = "tract"))]
fn matched<'a>(inputs: &[Port], arrays: &'a [Array]) -> Result<Vec<&'a Array>, EngineError> {
    if let Some(stray) = arrays.iter().find(|a| inputs.iter().all(|p| p.name != a.name)) {
        return Err(EngineError::input(&stray.name, "the model has no such input"));
    }
    let of = |port: &Port| {
        let array = arrays
            .iter()
            .find(|array| array.name == port.name)
            .ok_or_else(|| EngineError::input(&port.name, "missing"))?;
        if array.dtype != port.dtype {
            let reason = format!("is {}, the model wants {}", array.dtype, port.dtype);
            return Err(EngineError::input(&port.name, &reason));
        }
        Ok(array)
    };
    inputs.iter().map(of).collect()
}
