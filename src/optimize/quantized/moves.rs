//! Elements that are only moved are moved as integers.
//!
//! `DequantizeLinear` and an operator that moves elements change places; behind it, the
//! `QuantizeLinear` that gives the integers again is left out. A reshape of integers that keeps
//! their columns goes before the `QuantizeLinear` that makes them, to the product in front of it;
//! so do bounds, which are how exporters write fewer than eight bits.

use std::collections::HashMap;

use crate::graph::ops::{Grid8, PadMode, Quantization, Unary};
use crate::graph::{Fact, Graph, Node, Op, Tensor, ValueId};

use super::super::dequantized as constants;
use super::super::fold::evaluate;
use super::Quantized;

/// Rewrites a graph.
pub(super) fn integers(graph: &mut Graph) {
    let nodes = std::mem::take(&mut graph.nodes);
    graph.nodes = rewrite(graph, nodes);
    let uses = graph.use_counts();
    let nodes = std::mem::take(&mut graph.nodes);
    graph.nodes = quantize_last(graph, nodes, &uses);
}

/// Puts reshapes and bounds before what quantizes, where nobody else reads the integers.
fn quantize_last(graph: &mut Graph, nodes: Vec<Node>, uses: &[u32]) -> Vec<Node> {
    let mut quantizers: HashMap<ValueId, usize> = HashMap::new();
    let mut written: Vec<Option<Node>> = Vec::with_capacity(nodes.len());
    for mut node in nodes {
        if node.outputs.is_empty() || node.op.blocks().next().is_some() {
            // No node moves across this one.
            quantizers.clear();
        }
        for block in node.op.blocks_mut() {
            block.nodes = quantize_last(graph, std::mem::take(&mut block.nodes), uses);
        }
        let q = node.inputs.first().copied().flatten();
        let at = q.and_then(|q| quantizers.get(&q).copied());
        let z = node.outputs.first().copied().flatten();
        let before = at.and_then(|at| of_numbers(graph, &node, written[at].as_ref()?));
        if let (Some(at), Some(z), Some(op)) = (at, z, before)
            && let Some(mut quantizer) = written[at].take()
            && let Some(y) = quantizer.inputs[0]
        {
            let fact = Fact { dtype: graph.value(y).dtype, shape: graph.value(z).shape.clone() };
            let changed = graph.add_value(node.name.clone(), &fact);
            node.op = op;
            (node.inputs[0], node.outputs[0]) = (Some(y), Some(changed));
            (quantizer.inputs[0], quantizer.outputs[0]) = (Some(changed), Some(z));
            written.push(Some(node));
            node = quantizer;
        }
        if let (Op::QuantizeLinear(_), Some(q)) =
            (&node.op, node.outputs.first().copied().flatten())
            && Quantized::of(graph, &node).is_some()
            && uses.get(q.0 as usize) == Some(&1)
        {
            quantizers.insert(q, written.len());
        }
        written.push(Some(node));
    }
    written.into_iter().flatten().collect()
}

/// What an operator on integers is on the numbers that `quantizer` makes them of.
fn of_numbers(graph: &Graph, node: &Node, quantizer: &Node) -> Option<Op> {
    match node.op {
        _ if keeps_columns(graph, node) => Some(node.op.clone()),
        Op::Unary(Unary::Clip { min, max }) => {
            let grid = Quantized::of(graph, quantizer)?.grid(graph)?;
            let zero = f64::from(grid.zero);
            // What is no number becomes the zero point, before and behind.
            let inside = min <= zero && zero <= max;
            // A bound is an integer of steps, and what is divided by the step again is so near to
            // it that it is rounded to it.
            let [least, most] = grid.range().map(f64::from);
            let number = |q: f64| f64::from((q.clamp(least, most) - zero) as f32 * grid.scale);
            let (min, max) = (number(min.ceil()), number(max.floor()));
            let exact = grid.scale.is_normal() && min.is_finite() && max.is_finite();
            (inside && exact).then_some(Op::Unary(Unary::Clip { min, max }))
        }
        _ => None,
    }
}

/// Whether a node is a reshape that leaves the last axis as it is.
fn keeps_columns(graph: &Graph, node: &Node) -> bool {
    let (Op::Reshape { .. }, [Some(x)], [Some(y)]) =
        (&node.op, &node.inputs[..], &node.outputs[..])
    else {
        return false;
    };
    graph.value(*x).shape.last() == graph.value(*y).shape.last()
}

/// What is known of a dequantized value.
struct Source {
    quantized: Quantized,
    grid: Grid8,
    op: Quantization,
}

fn rewrite(graph: &mut Graph, nodes: Vec<Node>) -> Vec<Node> {
    let mut sources: HashMap<ValueId, Source> = HashMap::new();
    let mut weights: HashMap<ValueId, Node> = HashMap::new();
    let mut written = Vec::with_capacity(nodes.len());
    for mut node in nodes {
        for block in node.op.blocks_mut() {
            block.nodes = rewrite(graph, std::mem::take(&mut block.nodes));
        }
        let source = node.inputs.first().copied().flatten().and_then(|x| sources.get(&x));
        match (&node.op, source) {
            (Op::DequantizeLinear(op), _) => {
                let op = *op;
                if let (true, Some(y)) = (constants::is_constant(graph, &node), node.outputs[0]) {
                    weights.insert(y, node.clone());
                    written.push(node);
                    continue;
                }
                let known = Quantized::of(graph, &node)
                    .and_then(|q| Some((q.grid(graph)?, q)))
                    .zip(node.outputs[0]);
                if let Some(((grid, quantized), y)) = known {
                    sources.insert(y, Source { quantized, grid, op });
                }
            }
            (Op::QuantizeLinear(_), Some(source)) => {
                let to = Quantized::of(graph, &node).and_then(|q| q.grid(graph));
                // The nearest integer to an integer is itself, unless nothing is left of a step.
                let same = to == Some(source.grid) && source.grid.scale.is_normal();
                if same {
                    node.op = Op::Unary(Unary::Identity);
                    node.inputs = vec![Some(source.quantized.q)];
                }
            }
            (Op::Transpose { perm }, None) => {
                if let Some(turned) = turned_weights(graph, &weights, &node, perm) {
                    node = turned;
                }
            }
            (op, Some(source))
                if moves(op) && node.inputs.len() == 1 || pads_with_zeros(graph, &node) =>
            {
                let (Some(y), Quantized { q, scale, zero }) = (node.outputs[0], &source.quantized)
                else {
                    written.push(node);
                    continue;
                };
                let (op, grid) = (source.op, source.grid);
                let (q, scale, zero) = (*q, *scale, *zero);
                let fact =
                    Fact { dtype: graph.value(q).dtype, shape: graph.value(y).shape.clone() };
                let moved = graph.add_value(node.name.clone(), &fact);
                let name = node.name.clone();
                if let Op::Pad(_) = node.op {
                    let bytes = [grid.zero as u8];
                    let zero = Tensor::from_bytes(grid.dtype(), &[], &bytes);
                    node.inputs = vec![None, Some(graph.add_constant("zero", zero))];
                }
                node.inputs[0] = Some(q);
                node.outputs[0] = Some(moved);
                written.push(node);
                node = Node {
                    name,
                    op: Op::DequantizeLinear(op),
                    inputs: vec![Some(moved), Some(scale), zero],
                    outputs: vec![Some(y)],
                };
                let quantized = Quantized { q: moved, scale, zero };
                sources.insert(y, Source { quantized, grid, op });
            }
            _ => {}
        }
        written.push(node);
    }
    written
}

/// A transposed dequantized constant, as the integers transposed first.
fn turned_weights(
    graph: &mut Graph,
    weights: &HashMap<ValueId, Node>,
    node: &Node,
    perm: &[usize],
) -> Option<Node> {
    let mut turned = weights.get(&node.inputs.first().copied()??)?.clone();
    let Op::DequantizeLinear(op) = &mut turned.op else { return None };
    let q = turned.inputs[0]?;
    if op.block != 0 {
        return None;
    }
    op.axis = perm.iter().position(|axis| *axis == op.axis)?;
    let y = node.outputs[0]?;
    let fact = Fact { dtype: graph.value(q).dtype, shape: graph.value(y).shape.clone() };
    let tensor = graph.value(q).constant.clone();
    let tensor = evaluate(&node.op, &[tensor], &[fact])?.pop()?;
    let name = graph.value(q).name.clone();
    turned.inputs[0] = Some(graph.add_constant(name, tensor));
    turned.outputs = vec![Some(y)];
    Some(turned)
}

/// Whether a node puts zeros around its operand.
fn pads_with_zeros(graph: &Graph, node: &Node) -> bool {
    let zero = |v: ValueId| {
        let value = graph.value(v).constant.as_ref();
        value.is_some_and(|value| value.to_f64s().iter().all(|x| *x == 0.0))
    };
    matches!(&node.op, Op::Pad(pad) if pad.mode == PadMode::Constant)
        && node.inputs.get(1).copied().flatten().is_none_or(zero)
}

/// Whether an operator only moves elements of its one operand.
fn moves(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Expand { .. }
            | Op::Tile { .. }
            | Op::Unary(Unary::Identity)
    )
}
