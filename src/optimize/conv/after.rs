//! What reads a convolution moves into it.

use super::scale::Affine;
use super::{Known, Step, convolution, set_weights, views};
use crate::graph::ops::{Activation, Binary};
use crate::graph::{Graph, Op, ValueId};
use crate::optimize::linear::follow::activation;
use crate::tensor::DType;

/// Moves one node that alone reads the convolution, behind views or at once, into it.
pub(super) fn take(graph: &mut Graph, uses: &mut Vec<u32>, i: usize) -> Step {
    let Some(known) = convolution(graph, i) else { return Step::Nothing };
    if known.conv.activation != Activation::None {
        return Step::Nothing;
    }
    let mut chain = Vec::new();
    // The value that is looked at, and which of its axes has the channels.
    let (mut z, mut axis) = (known.y, (known.channels() > 1).then_some(1));
    loop {
        if uses[z.0 as usize] != 1 {
            return Step::Nothing;
        }
        let behind = chain.last().copied().unwrap_or(i) + 1;
        let reads = |node: &crate::graph::Node| node.inputs.contains(&Some(z));
        let Some(reader) = graph.nodes[behind..].iter().position(reads) else {
            return Step::Nothing;
        };
        let reader = behind + reader;
        if let Some(axes) = views::axes(graph, &graph.nodes[reader]) {
            let Some(Some(y)) = graph.nodes[reader].outputs.first().copied() else {
                return Step::Nothing;
            };
            axis = axis.and_then(|axis| axes.iter().position(|from| *from == Some(axis)));
            (z, _) = (y, chain.push(reader));
            continue;
        }
        let place = Reader { at: reader, z, axis, chain };
        return place.take(graph, uses, i, &known);
    }
}

/// The node that reads a convolution.
struct Reader {
    at: usize,
    /// What it reads.
    z: ValueId,
    /// Where the channels are in it, if there are several.
    axis: Option<usize>,
    /// The views between.
    chain: Vec<usize>,
}

impl Reader {
    fn take(self, graph: &mut Graph, uses: &mut Vec<u32>, i: usize, known: &Known) -> Step {
        let node = &graph.nodes[self.at];
        if let Op::Unary(op) = node.op {
            let Some(activation) = activation(op) else { return Step::Nothing };
            if let Op::Conv(conv) = &mut graph.nodes[i].op {
                conv.activation = activation;
            }
            self.remove(graph, uses, i);
            return Step::Taken(i);
        }
        // With one channel, every axis of one element, or one number, serves.
        let axis = self.axis.or_else(|| {
            let shape = &graph.value(self.z).shape;
            (known.channels() == 1).then(|| shape.iter().position(|n| n.is(1)))?
        });
        let affine = axis.and_then(|axis| Affine::of(graph, node, self.z, axis));
        if let Some(affine) = affine.filter(|a| known.is_linear() || a.is_shift()) {
            let Some((weights, bias)) = affine.behind(&known.weights, &known.bias) else {
                return Step::Nothing;
            };
            set_weights(graph, uses, i, weights, &bias);
            self.remove(graph, uses, i);
            return Step::Taken(i);
        }
        match self.residual(graph, known) {
            Some(residual) => self.add(graph, uses, i, residual),
            None => Step::Nothing,
        }
    }

    /// What the reader adds to the convolution element by element.
    fn residual(&self, graph: &Graph, known: &Known) -> Option<ValueId> {
        let node = &graph.nodes[self.at];
        let [Some(a), Some(b)] = node.inputs[..] else { return None };
        let other = if a == self.z { b } else { a };
        let shape = &graph.value(self.z).shape;
        let suits = known.residual.is_none()
            && node.op == Op::Binary(Binary::Add)
            && other != self.z
            && graph.value(other).shape == *shape
            && graph.value(other).dtype == DType::F32;
        suits.then_some(other)
    }

    /// Makes the residual an operand. It must be there before the convolution is computed: where
    /// it comes later, so does the convolution.
    fn add(self, graph: &mut Graph, uses: &mut Vec<u32>, i: usize, residual: ValueId) -> Step {
        let made = |v: ValueId| graph.nodes.iter().position(|n| n.outputs.contains(&Some(v)));
        let later = made(residual).filter(|at| *at > i);
        let mut at = i;
        if let Some(source) = later {
            // The later one of two convolutions adds the other.
            let takes = convolution(graph, source)
                .is_some_and(|k| k.is_linear() && uses[residual.0 as usize] == 1);
            let between = &graph.nodes[i + 1..self.at];
            let sets = between.iter().any(|n| n.outputs.is_empty() || n.op.blocks().count() > 0);
            if takes || sets {
                return Step::Nothing;
            }
            at = self.at;
        }
        let mut shapes = vec![];
        for node in &self.chain {
            let Some(x) = graph.nodes[*node].inputs[0] else { return Step::Nothing };
            shapes.push(graph.value(x).shape.clone());
        }
        let views: Vec<Op> = self.chain.iter().map(|node| graph.nodes[*node].op.clone()).collect();
        self.remove(graph, uses, i);
        if at != i {
            // The convolution and the views behind it take the place of the addition.
            let moved: Vec<usize> = [i].iter().chain(&self.chain).copied().collect();
            let nodes: Vec<_> = moved.iter().rev().map(|n| graph.nodes.remove(*n)).collect();
            at -= moved.len();
            for node in nodes {
                graph.nodes.insert(at, node);
            }
        }
        uses[residual.0 as usize] += 1;
        let mut residual = residual;
        for (op, shape) in views.iter().zip(&shapes).rev() {
            let inverse = views::inverse(op, shape);
            let view = inverse.and_then(|op| views::insert(graph, uses, at, op, residual));
            let Some(view) = view else { unreachable!("a view has an inverse") };
            (residual, at) = (view, at + 1);
        }
        let inputs = &mut graph.nodes[at].inputs;
        inputs.resize(4, None);
        inputs[3] = Some(residual);
        if later.is_some() { Step::Moved } else { Step::Taken(at) }
    }

    /// Gives the result of the reader to the node before it.
    fn remove(&self, graph: &mut Graph, uses: &mut [u32], i: usize) {
        let reader = graph.nodes.remove(self.at);
        reader.inputs.iter().flatten().for_each(|v| uses[v.0 as usize] -= 1);
        let last = self.chain.last().copied().unwrap_or(i);
        graph.nodes[last].outputs = reader.outputs;
    }
}
