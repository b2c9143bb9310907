//! Removal of nodes and values that no output needs.

use std::collections::HashMap;

use crate::graph::{Graph, ValueId};

/// Keeps what the outputs are computed from, and every input.
pub(super) fn sweep(graph: &mut Graph) {
    let mut needed = vec![false; graph.values.len()];
    let need = |needed: &mut Vec<bool>, id: ValueId| {
        if let Some(flag) = needed.get_mut(id.0 as usize) {
            *flag = true;
        }
    };
    for port in graph.inputs.iter().chain(&graph.outputs) {
        need(&mut needed, port.value);
    }
    let is_needed = |needed: &[bool], id: &ValueId| needed.get(id.0 as usize) == Some(&true);
    let mut keep = vec![false; graph.nodes.len()];
    for (node, keep) in graph.nodes.iter_mut().zip(&mut keep).rev() {
        for output in &mut node.outputs {
            if output.is_some_and(|id| !is_needed(&needed, &id)) {
                *output = None;
            }
        }
        *keep = node.outputs.iter().any(Option::is_some);
        if *keep {
            node.inputs.iter().flatten().for_each(|id| need(&mut needed, *id));
        }
    }
    let mut keep = keep.into_iter();
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
