//! Drops what no output needs.

use crate::graph::{Graph, Live};

/// Removes nodes that no output needs, and marks results nobody reads.
pub(super) fn prune(graph: &mut Graph) {
    Live::keep(graph);
}
