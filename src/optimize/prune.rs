//! Drops what no output needs.

use crate::graph::{Graph, Live};

/// Removes nodes that no output needs, and marks results nobody reads.
pub(super) fn prune(graph: &mut Graph) {
    let live = Live::of(graph);
    let mut keep = live.nodes.iter();
    graph.nodes.retain(|_| keep.next() == Some(&true));
    for output in graph.nodes.iter_mut().flat_map(|node| &mut node.outputs) {
        *output = output.filter(|v| live.values[v.0 as usize]);
    }
}
