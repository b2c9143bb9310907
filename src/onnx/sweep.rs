//! Removal of nodes and values that no output needs.

use std::collections::HashMap;

use crate::graph::{Graph, Live, ValueId};

/// Keeps what the outputs are computed from, and every input.
pub(super) fn sweep(graph: &mut Graph) {
    let live = Live::of(graph);
    let mut needed = live.values;
    for port in &graph.inputs {
        if let Some(flag) = needed.get_mut(port.value.0 as usize) {
            *flag = true;
        }
    }
    for output in graph.nodes.iter_mut().flat_map(|node| &mut node.outputs) {
        *output = output.filter(|id| needed.get(id.0 as usize) == Some(&true));
    }
    let mut keep = live.nodes.into_iter();
    graph.nodes.retain(|_| keep.next() == Some(true));
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
    for node in &mut graph.nodes {
        node.inputs.iter_mut().chain(&mut node.outputs).flatten().for_each(update);
    }
    for port in graph.inputs.iter_mut().chain(&mut graph.outputs) {
        update(&mut port.value);
    }
}
