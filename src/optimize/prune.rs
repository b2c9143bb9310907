//! Drops what no output needs.

use crate::graph::{Graph, Live};

/// Removes nodes that no output needs, and marks results nobody reads. Counts the nodes.
pub(super) fn prune(graph: &mut Graph) -> usize {
    let before = graph.nodes.len();
    Live::keep(graph);
    before - graph.nodes.len()
}
