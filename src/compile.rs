//! Turns a graph into a program: steps, packed weights, memory plan.
//!
//! Owns lowering (which kernels compute an operator), placement (which values share memory, which
//! are views of others) and the planner. Its invariant: a program it returns is runnable on any
//! inputs of the right length. It knows nothing of ONNX and changes nothing in the graph.

mod builder;
mod dims;
mod flow;
#[cfg(test)]
pub(crate) mod harness;
mod lower;
mod place;
pub mod plan;
#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::graph::{Graph, Node, Op, size};
use crate::runtime::Program;

pub(crate) use builder::Builder;

/// Why a graph cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompileError {
    /// An operator, or a form of it, that no kernel computes.
    #[error("node \"{node}\" ({op}): {reason}")]
    Unsupported {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
        /// What about it, and what to do.
        reason: String,
    },
    /// More memory than a program can address or the limit allows.
    #[error("{what} needs {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Which memory.
        what: String,
        /// Bytes needed.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// More memory than the caller allows.
    #[error(
        "{} in constants, {} in the arena of a session and {} in its state are more than the {} \
         that are allowed; the largest value is {largest}: give open dimensions smaller sizes, or \
         allow more with --max-memory (Options::max_memory)",
        size(*.constants), size(*.arena), size(*.state), size(*.limit)
    )]
    Memory {
        /// Bytes of constants, packed for the kernels.
        constants: u64,
        /// Bytes of values that live during a run.
        arena: u64,
        /// Bytes of values that live between runs.
        state: u64,
        /// Bytes allowed.
        limit: u64,
        /// The largest value, and its bytes.
        largest: String,
    },
    /// The graph breaks a rule that its maker must keep.
    #[error("{0}")]
    Graph(String),
}

/// Compiles a graph.
///
/// **Errors**: an operator without a kernel, or too much memory.
///
/// **Cost**: linear in the nodes and bytes of weights, quadratic in the number of values for the
/// memory plan.
pub fn compile(graph: &Graph) -> Result<Program<'static>, CompileError> {
    compile_within(graph, u64::MAX)
}

/// As [`compile`], in at most `limit` bytes: constants of the graph and the packed forms of them
/// while it is compiled; packed constants, arena and state of a session afterwards.
pub fn compile_within(graph: &Graph, limit: u64) -> Result<Program<'static>, CompileError> {
    let mut builder = Builder::new(graph, limit)?;
    lower_nodes(&mut builder, &graph.nodes)?;
    builder.finish()
}

/// Writes the steps of nodes, one after the other.
fn lower_nodes(builder: &mut Builder<'_>, nodes: &[Node]) -> Result<(), CompileError> {
    for node in nodes {
        builder.begin(node);
        match &node.op {
            Op::If(branches) => flow::branch(builder, node, branches)?,
            Op::Loop(repeat) => flow::repeat(builder, node, repeat)?,
            _ => lower::lower(builder, node).map_err(|reason| unsupported(node, reason))?,
        }
        builder.check_constants()?;
    }
    Ok(())
}

fn unsupported(node: &Node, reason: String) -> CompileError {
    CompileError::Unsupported { node: node.name.clone(), op: node.op.name(), reason }
}
