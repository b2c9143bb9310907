//! Drops what no output needs.

use crate::graph::Graph;

/// Removes nodes none of whose results is read, and marks results nobody reads.
pub(super) fn prune(graph: &mut Graph) {
    let mut uses = graph.use_counts();
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for mut node in std::mem::take(&mut graph.nodes).into_iter().rev() {
        for output in &mut node.outputs {
            *output = output.filter(|v| uses[v.0 as usize] > 0);
        }
        if node.outputs.iter().any(Option::is_some) {
            kept.push(node);
        } else {
            for v in node.inputs.iter().flatten() {
                uses[v.0 as usize] -= 1;
            }
        }
    }
    kept.reverse();
    graph.nodes = kept;
}
