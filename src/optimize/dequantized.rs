//! Dequantized constants become floats.
//!
//! The importer leaves them as they are: weights are wanted as integers by what computes with
//! integers. Before the passes only what is no matrix is folded, biases above all; behind the
//! passes that take integers, the rest.

use std::collections::HashMap;

use crate::graph::ops::Quantization;
use crate::graph::{Graph, Node, Op, ValueId};

use super::fold::evaluate;

/// Folds constants of at most one axis, and those that lie along one and are nobody's weights.
pub(super) fn fold_vectors(graph: &mut Graph) {
    fn walk(nodes: &[Node], weights: &mut [bool]) {
        for node in nodes {
            node.op.blocks().for_each(|block| {
                walk(&block.nodes, weights);
                block.each_read(&mut |v| weights[v.0 as usize] = true);
            });
            for (i, v) in node.inputs.iter().enumerate() {
                let is_summand =
                    matches!(node.op, Op::Binary(_)) || i == 2 && matches!(node.op, Op::Gemm(_));
                if let Some(v) = v.filter(|_| !is_summand) {
                    weights[v.0 as usize] = true;
                }
            }
        }
    }
    let mut weights = vec![false; graph.values.len()];
    graph.outputs.iter().for_each(|port| weights[port.value.0 as usize] = true);
    walk(&graph.nodes, &mut weights);
    fold(graph, |node, graph| {
        let (Some(Some(x)), Some(Some(y))) = (node.inputs.first(), node.outputs.first()) else {
            return false;
        };
        let shape = &graph.value(*x).shape;
        let long = shape.iter().filter(|n| !n.is(1)).count();
        shape.len() <= 1 || long <= 1 && !weights[y.0 as usize]
    });
}

/// Folds all that are left.
pub(super) fn fold_all(graph: &mut Graph) {
    fold(graph, |_, _| true);
}

fn fold(graph: &mut Graph, which: impl Fn(&Node, &Graph) -> bool + Copy) {
    let mut nodes = std::mem::take(&mut graph.nodes);
    fold_nodes(graph, &mut nodes, which);
    graph.nodes = nodes;
    // The integers count as memory as long as they are there.
    let uses = graph.use_counts();
    for (value, uses) in graph.values.iter_mut().zip(uses) {
        if uses == 0 {
            value.constant = None;
        }
    }
}

fn fold_nodes(
    graph: &mut Graph,
    nodes: &mut Vec<Node>,
    which: impl Fn(&Node, &Graph) -> bool + Copy,
) {
    nodes.retain_mut(|node| {
        for block in node.op.blocks_mut() {
            fold_nodes(graph, &mut block.nodes, which);
        }
        !(is_constant(graph, node) && which(node, graph) && folded(graph, node))
    });
}

/// Whether a node dequantizes a constant.
pub(super) fn is_constant(graph: &Graph, node: &Node) -> bool {
    let given = |v: &ValueId| graph.value(*v).constant.is_some();
    matches!(node.op, Op::DequantizeLinear(_)) && node.inputs.iter().flatten().all(given)
}

/// Makes the result of a node a constant.
fn folded(graph: &mut Graph, node: &Node) -> bool {
    let [Some(y)] = node.outputs[..] else { return false };
    let operands: Vec<_> =
        node.inputs.iter().map(|v| v.and_then(|v| graph.value(v).constant.clone())).collect();
    let Some(mut tensors) = evaluate(&node.op, &operands, &[graph.fact(y)]) else { return false };
    graph.value_mut(y).constant = tensors.pop();
    true
}

/// A dequantized constant.
pub(super) struct Integers {
    pub(super) op: Quantization,
    pub(super) data: ValueId,
    pub(super) scale: ValueId,
    pub(super) zero: Option<ValueId>,
}

/// The values that are dequantized constants, those in blocks included.
pub(super) fn constants(graph: &Graph) -> HashMap<ValueId, Integers> {
    fn walk(graph: &Graph, nodes: &[Node], found: &mut HashMap<ValueId, Integers>) {
        for node in nodes {
            node.op.blocks().for_each(|block| walk(graph, &block.nodes, found));
            if let (Op::DequantizeLinear(op), &[Some(y)], &[Some(data), Some(scale), ..]) =
                (&node.op, &node.outputs[..], &node.inputs[..])
                && is_constant(graph, node)
            {
                let zero = node.inputs.get(2).copied().flatten();
                found.insert(y, Integers { op: *op, data, scale, zero });
            }
        }
    }
    let mut found = HashMap::new();
    walk(graph, &graph.nodes, &mut found);
    found
}
