//! ONNX files as typed graphs.
//!
//! Owns the file format, the meaning of its operators over all supported operator sets, and the
//! decomposition of those that the graph does not know. Invariant: whatever the bytes are, the
//! result is a graph that satisfies [`crate::graph`]'s invariants or an [`ImportError`] that says
//! what and where; nothing panics, recursion is bounded, and memory stays in proportion to the
//! file. It never guesses: an attribute or form that it does not know is refused. It neither
//! optimises nor runs anything; constants are folded by a function that the caller passes in.
//!
//! An operator that it lacks, but that ONNX defines by a function body, is inlined from that body.
//!
//! Not supported: texts that are computed with, complex numbers, and sequences or optional values
//! that are inputs, outputs, or of a length that only a run knows.

mod attributes;
mod budget;
mod builder;
mod call;
mod error;
#[cfg(test)]
mod fixture;
mod foreign;
mod functions;
mod half;
mod known;
mod ops;
mod order;
mod ports;
pub mod proto;
mod scan;
mod survey;
mod sweep;
mod tensor;
#[cfg(test)]
mod tests;
mod text;
mod walk;

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use prost::Message;

pub use budget::DEFAULT_MAX_MEMORY;
pub use error::{ImportError, NodeRef, UnsupportedOperator};
pub use survey::{Survey, UsedOperator};
pub(crate) use tensor::{decode as tensor_of, element_type};

use crate::graph::{Bindings, Fact, Graph, Op, Tensor};

/// Evaluates one operator on constant operands: given the operator, its operands and what is
/// known of its results, the results; `None` where it cannot.
pub type Fold<'a> = dyn FnMut(&Op, &[Option<Tensor>], &[Fact]) -> Option<Vec<Tensor>> + 'a;

/// Reads a model.
///
/// `folder` is where files with external data may lie; without it, a model that refers to one is
/// refused. `bindings` fixes what the model leaves open. `fold` evaluates operators whose
/// operands are all constant.
///
/// **Errors**: the first thing wrong with the model or the bindings; operators that are not
/// supported are collected over the whole model.
///
/// **Cost**: allocates; memory is bounded by a small multiple of the file and its external data.
pub fn import(
    bytes: &[u8],
    folder: Option<&Path>,
    bindings: &Bindings,
    fold: &mut Fold<'_>,
) -> Result<Graph, ImportError> {
    import_file(Bytes::copy_from_slice(bytes), folder, bindings, fold)
}

/// As [`import`]; constants share the file's bytes.
pub(crate) fn import_file(
    file: Bytes,
    folder: Option<&Path>,
    bindings: &Bindings,
    fold: &mut Fold<'_>,
) -> Result<Graph, ImportError> {
    let limit = bindings.max_memory.unwrap_or(DEFAULT_MAX_MEMORY);
    let len = file.len();
    let mut budget = budget::Budget::open(&file, limit)?;
    let mut model = decode(file)?;
    budget.external(&model)?;
    let mut graph = model.graph.take().ok_or(ImportError::NoGraph)?;
    let initializers = std::mem::take(&mut graph.initializer);
    let opsets = walk::Opsets::of_model(&model.opset_import)?;
    let functions = functions::Functions::new(&model.functions);
    let completed = |error| survey::completed(error, &graph, &functions, &opsets);
    walk::check_supported(&graph, &functions, &opsets).map_err(completed)?;
    let builder = builder::Builder::new(fold, len, bindings.ranges.clone(), budget);
    let (builder, scope) = ports::open(builder, &graph, initializers, folder, bindings)?;
    let walker = walk::Walker::new(builder, &functions, folder, &bindings.trips);
    let walked = walker.run(&graph.node, scope, &opsets).map_err(completed);
    let (builder, scope) = walked.map_err(|e| error::within_bounds(e, &bindings.dims))?;
    if let Some(name) = builder.unused_range() {
        return Err(ImportError::Binding(format!(
            "--value-range {name}: no value of this name decides a shape or the length of a loop \
             at run time"
        )));
    }
    ports::close(builder, &graph, &scope, bindings)
}

/// What bindings may name in a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Names {
    /// Inputs, without those that are constants.
    pub inputs: BTreeSet<String>,
    /// Outputs.
    pub outputs: BTreeSet<String>,
    /// Open dimensions; an unnamed one is called `INPUT.AXIS`.
    pub dims: BTreeSet<String>,
    /// Inputs and the results of nodes.
    pub values: BTreeSet<String>,
    /// Loops; one without a name is called `Loop_` and its position among the nodes around it.
    pub loops: BTreeSet<String>,
}

/// What bindings may name in a model, of which only the declarations are looked at.
///
/// **Errors**: bytes that are no model; declarations that are not supported.
pub fn names(bytes: &[u8]) -> Result<Names, ImportError> {
    budget::Budget::open(bytes, DEFAULT_MAX_MEMORY)?;
    let model = decode(Bytes::copy_from_slice(bytes))?;
    ports::names(&model.graph.ok_or(ImportError::NoGraph)?)
}

/// What a model uses, whether or not it can be loaded.
///
/// **Errors**: bytes that are no model.
pub fn survey(bytes: &[u8]) -> Result<Survey, ImportError> {
    budget::Budget::open(bytes, DEFAULT_MAX_MEMORY)?;
    Ok(survey::survey(&decode(Bytes::copy_from_slice(bytes))?))
}

/// The messages of a model, for whoever rewrites it.
///
/// **Errors**: bytes that are no model, or that decode to more memory than `max_memory`.
pub(crate) fn message(file: Bytes, max_memory: u64) -> Result<proto::ModelProto, ImportError> {
    budget::Budget::open(&file, max_memory)?.external(&decode(file.clone())?)?;
    decode(file)
}

/// Parts of the file that the model holds are shared with it, not copied.
fn decode(file: Bytes) -> Result<proto::ModelProto, ImportError> {
    let foreign = |otherwise: ImportError| match foreign::recognise(&file) {
        Some((what, advice)) => ImportError::OtherFile { what, advice },
        None => otherwise,
    };
    match proto::ModelProto::decode(file.clone()) {
        Err(error) => {
            let text = error.to_string();
            // The path to where it gave up says nothing but how deep that is.
            let nests = text.ends_with("recursion limit reached");
            let nested = "its graphs nest too deep: recursion limit reached";
            Err(foreign(ImportError::Decode(if nests { nested.into() } else { text })))
        }
        Ok(model) if model.graph.is_none() => Err(foreign(ImportError::NoGraph)),
        Ok(model) => Ok(model),
    }
}
