//! Drops what no output needs.

use crate::graph::{Graph, Node};

/// Removes nodes none of whose results is read, and marks results nobody reads.
pub(super) fn prune(graph: &mut Graph) {
    let mut uses = graph.use_counts();
    prune_nodes(&mut graph.nodes, &mut uses);
}

fn prune_nodes(nodes: &mut Vec<Node>, uses: &mut [u32]) {
    let mut kept = Vec::with_capacity(nodes.len());
    for mut node in std::mem::take(nodes).into_iter().rev() {
        for output in &mut node.outputs {
            *output = output.filter(|v| uses[v.0 as usize] > 0);
        }
        if node.outputs.iter().all(Option::is_none) {
            node.each_read(&mut |v| uses[v.0 as usize] -= 1);
            continue;
        }
        node.op.blocks().flat_map(|b| &b.results).flatten().for_each(|v| uses[v.0 as usize] -= 1);
        node.release_results();
        node.op.blocks().flat_map(|b| &b.results).flatten().for_each(|v| uses[v.0 as usize] += 1);
        for block in node.op.blocks_mut() {
            prune_nodes(&mut block.nodes, uses);
        }
        kept.push(node);
    }
    kept.reverse();
    *nodes = kept;
}
