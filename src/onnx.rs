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
//! Not supported: half precision and 8-bit floats, integers below 8 bits, strings, sequences,
//! optionals, loops, and operators whose result's shape depends on data.

mod attributes;
mod builder;
mod call;
mod error;
#[cfg(test)]
mod fixture;
mod functions;
mod known;
mod ops;
mod order;
mod ports;
pub mod proto;
mod sweep;
mod tensor;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message;

pub use error::{ImportError, NodeRef, UnsupportedOperator};

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
    let mut model =
        proto::ModelProto::decode(bytes).map_err(|e| ImportError::Decode(e.to_string()))?;
    let mut graph = model.graph.take().ok_or(ImportError::NoGraph)?;
    let initializers = std::mem::take(&mut graph.initializer);
    let opsets = walk::Opsets::of_model(&model.opset_import)?;
    let functions = functions::Functions::new(&model.functions);
    walk::check_supported(&graph, &functions, &opsets)?;
    let builder = builder::Builder::new(fold, bytes.len());
    let (builder, scope) = ports::open(builder, &graph, initializers, folder, bindings)?;
    let (builder, scope) =
        walk::Walker::new(builder, &functions, folder).run(&graph.node, scope, &opsets)?;
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
}

/// What bindings may name in a model, of which only the declarations are looked at.
///
/// **Errors**: bytes that are no model; declarations that are not supported.
pub fn names(bytes: &[u8]) -> Result<Names, ImportError> {
    let model = proto::ModelProto::decode(bytes).map_err(|e| ImportError::Decode(e.to_string()))?;
    ports::names(&model.graph.ok_or(ImportError::NoGraph)?)
}
