//! (in preparation)
use std::path::Path;

use crate::graph::{Bindings, Fact, Graph, Op, Tensor};

/// Evaluates an operator on constants.
pub type Fold<'a> = dyn FnMut(&Op, &[Option<Tensor>], &[Fact]) -> Option<Vec<Tensor>> + 'a;

/// (in preparation)
#[derive(Debug, thiserror::Error)]
#[error("in preparation")]
pub struct ImportError;

/// (in preparation)
pub fn import(
    _bytes: &[u8],
    _folder: Option<&Path>,
    _bindings: &Bindings,
    _fold: &mut Fold<'_>,
) -> Result<Graph, ImportError> {
    Err(ImportError)
}
