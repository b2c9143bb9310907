//! Source files for programs that carry their model: a bundle, said in another language.
//!
//! Owns what stands in these files: the bundle, the few kernels that its programs need, sizes, and
//! typed inputs and outputs. Its invariant: the same bundle gives the same text on every host. It
//! writes no file; `nowcast compile --emit` and [`build`](crate::build) do.

mod names;
mod rust;

use thiserror::Error;

use crate::forecast::ModelError;

pub use rust::rust;

/// Why nothing is emitted.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum EmitError {
    /// A model of the bundle is refused.
    #[error("model {model:?}: {source}")]
    Model {
        /// The model.
        model: String,
        /// Why.
        source: ModelError,
    },
}
