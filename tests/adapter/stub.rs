//! Stands in for `api.rs` until the library loads models: refuses everything.

use std::path::Path;

use super::{Array, Failure};

fn refusal() -> Failure {
    Failure::Load("nowcast does not load models yet".into())
}

pub(crate) fn answer(
    _model: &Path,
    _inputs: &[Array],
    _bound: &[Array],
) -> Result<Vec<Array>, Failure> {
    Err(refusal())
}

pub(crate) fn served() -> Vec<String> {
    super::models::models().iter().map(|path| path.display().to_string()).collect()
}

pub(crate) fn with_serving(
    _what: &str,
    _body: &mut dyn FnMut(&mut dyn FnMut()),
) -> Result<(), Failure> {
    Err(refusal())
}
