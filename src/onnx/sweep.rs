//! Removal of nodes and values that no output needs.

use std::collections::HashMap;

use crate::graph::{Graph, Node, Op, ValueId};

/// Keeps what the outputs are computed from, and every input.
pub(super) fn sweep(graph: &mut Graph) {
    let mut needed = Needed(vec![false; graph.values.len()]);
    for port in graph.inputs.iter().chain(&graph.outputs) {
        needed.add(port.value);
    }
    needed.keep(&mut graph.nodes);
    let mut moved = HashMap::new();
    let values = std::mem::take(&mut graph.values);
    for (i, (value, needed)) in values.into_iter().zip(needed.0).enumerate() {
        if needed {
            moved.insert(ValueId(i as u32), ValueId(graph.values.len() as u32));
            graph.values.push(value);
        }
    }
    let update = |id: &mut ValueId| {
        if let Some(new) = moved.get(id) {
            *id = *new;
        }
    };
    rename(&mut graph.nodes, &update);
    for port in graph.inputs.iter_mut().chain(&mut graph.outputs) {
        update(&mut port.value);
    }
}

/// Which values something needs.
struct Needed(Vec<bool>);

impl Needed {
    fn add(&mut self, id: ValueId) {
        if let Some(flag) = self.0.get_mut(id.0 as usize) {
            *flag = true;
        }
    }

    fn has(&self, id: ValueId) -> bool {
        self.0.get(id.0 as usize) == Some(&true)
    }

    /// Drops nodes that give nothing needed, and notes what the others need.
    fn keep(&mut self, nodes: &mut Vec<Node>) {
        let mut kept = Vec::with_capacity(nodes.len());
        for mut node in std::mem::take(nodes).into_iter().rev() {
            for output in &mut node.outputs {
                *output = output.filter(|id| self.has(*id));
            }
            if node.outputs.iter().all(Option::is_none) {
                continue;
            }
            node.release_results();
            node.inputs.iter().flatten().for_each(|id| self.add(*id));
            if let Op::Loop(repeat) = &node.op {
                repeat.carried.iter().for_each(|id| self.add(*id));
            }
            for block in node.op.blocks_mut() {
                block.results.iter().flatten().for_each(|id| self.add(*id));
                self.keep(&mut block.nodes);
            }
            kept.push(node);
        }
        kept.reverse();
        *nodes = kept;
    }
}

fn rename(nodes: &mut [Node], update: &dyn Fn(&mut ValueId)) {
    for node in nodes {
        node.inputs.iter_mut().chain(&mut node.outputs).flatten().for_each(update);
        if let Op::Loop(repeat) = &mut node.op {
            repeat.carried.iter_mut().for_each(update);
        }
        for block in node.op.blocks_mut() {
            block.results.iter_mut().flatten().for_each(update);
            rename(&mut block.nodes, update);
        }
    }
}
