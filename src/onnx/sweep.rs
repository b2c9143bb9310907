//! Removal of nodes and values that no output needs.

use std::collections::HashMap;

use crate::graph::{Graph, Live, Node, Op, ValueId};

/// Keeps what the outputs are computed from, and every input.
pub(super) fn sweep(graph: &mut Graph) {
    let mut needed = Live::keep(graph).values;
    for port in &graph.inputs {
        if let Some(flag) = needed.get_mut(port.value.0 as usize) {
            *flag = true;
        }
    }
    let mut moved = HashMap::new();
    let values = std::mem::take(&mut graph.values);
    for (i, (value, needed)) in values.into_iter().zip(needed).enumerate() {
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
