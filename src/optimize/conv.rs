//! Convolutions with constant weights take along what stands beside them.
//!
//! What alone reads a convolution moves into it: a normalization, factors and summands of each
//! channel into weights and bias, a tensor of the same shape that is added as its residual, an
//! activation. So do factors and summands of the channels that it reads, and zeros around them.
//! Transposes, and axes of one element that come and go, may stand between: they change where
//! elements lie, not what they are.

mod after;
mod before;
mod scale;
mod views;

use crate::graph::ops::{Activation, Conv};
use crate::graph::{Graph, Node, Op, Tensor, ValueId};
use crate::tensor::DType;

/// Runs the pass.
pub(super) fn fuse(graph: &mut Graph) -> usize {
    let mut uses = graph.use_counts();
    fuse_nodes(graph, &mut uses)
}

/// What became of a convolution.
enum Step {
    /// Something moved into it; it is the node at this position now.
    Taken(usize),
    /// Something moved into it, and it stands further behind now.
    Moved,
    /// There is nothing to take.
    Nothing,
}

/// Fuses within the graph's nodes, then within each block as if its nodes were the graph's.
fn fuse_nodes(graph: &mut Graph, uses: &mut Vec<u32>) -> usize {
    let mut places = 0;
    let mut i = 0;
    while i < graph.nodes.len() {
        let step = match convolution(graph, i) {
            None => Step::Nothing,
            Some(_) => match before::take(graph, uses, i) {
                Step::Nothing => after::take(graph, uses, i),
                step => step,
            },
        };
        match step {
            Step::Taken(at) => i = at,
            Step::Moved => {}
            Step::Nothing => {
                i += 1;
                continue;
            }
        }
        places += 1;
    }
    for i in 0..graph.nodes.len() {
        if graph.nodes[i].op.blocks().next().is_none() {
            continue;
        }
        let mut node = graph.nodes[i].clone();
        for block in node.op.blocks_mut() {
            let outer = std::mem::replace(&mut graph.nodes, std::mem::take(&mut block.nodes));
            places += fuse_nodes(graph, uses);
            block.nodes = std::mem::replace(&mut graph.nodes, outer);
        }
        graph.nodes[i] = node;
    }
    places
}

/// A convolution whose weights are known.
struct Known {
    conv: Conv,
    x: ValueId,
    weights: Tensor,
    /// One number for each output channel, zeros where there is no bias.
    bias: Vec<f64>,
    residual: Option<ValueId>,
    y: ValueId,
}

impl Known {
    /// Whether what is applied to each output channel may still move into the weights.
    fn is_linear(&self) -> bool {
        self.residual.is_none() && self.conv.activation == Activation::None
    }

    fn channels(&self) -> usize {
        self.weights.shape()[0]
    }
}

/// Node `i`, where it is a convolution of f32 with constant weights and bias.
fn convolution(graph: &Graph, i: usize) -> Option<Known> {
    let Node { op: Op::Conv(conv), inputs, outputs, .. } = &graph.nodes[i] else { return None };
    let operand = |i: usize| inputs.get(i).copied().flatten();
    let (x, y) = (operand(0)?, (*outputs.first()?)?);
    let weights = graph.value(operand(1)?).constant.clone()?;
    let suits = weights.dtype() == DType::F32 && !weights.is_empty();
    let bias = match operand(2) {
        None => vec![0.0; weights.shape()[0]],
        Some(bias) => graph.value(bias).constant.as_ref()?.to_f64s(),
    };
    let known = Known { conv: conv.clone(), x, weights, bias, residual: operand(3), y };
    suits.then_some(known)
}

/// Gives node `i` other weights and another bias.
fn set_weights(graph: &mut Graph, uses: &mut Vec<u32>, i: usize, weights: Tensor, bias: &[f64]) {
    let bias: Vec<f32> = bias.iter().map(|b| *b as f32).collect();
    let name = graph.nodes[i].name.clone();
    let weights = graph.add_constant(format!("{name}:weights"), weights);
    let bias = graph.add_constant(format!("{name}:bias"), Tensor::vector(&bias));
    uses.resize(graph.values.len(), 1);
    let inputs = &mut graph.nodes[i].inputs;
    inputs.resize(inputs.len().max(3), None);
    let old = [inputs[1].replace(weights), inputs[2].replace(bias)];
    old.into_iter().flatten().for_each(|v| uses[v.0 as usize] -= 1);
}

#[cfg(test)]
mod tests;
