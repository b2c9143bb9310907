//! Quantized values are computed with as integers.
//!
//! Models say it in several ways, and the importer makes one of them: `DequantizeLinear`, an
//! operator in f32, `QuantizeLinear`. A product of two dequantized values, its weights constant,
//! becomes a product of integers, together with all that follows it up to the next quantized
//! value ([`linear`]); so does one of two computed values, and softmax between two of them
//! ([`matmul`]). So do other operators on elements that are quantized on their way
//! ([`chain`]), a function of eight bits a table ([`functions`], [`tables`]). What only moves elements moves the integers ([`moves`]).

mod chain;
mod conv;
mod follow;
mod functions;
mod linear;
mod matmul;
mod moves;
mod tables;

use std::collections::HashMap;

use crate::graph::ops::{Chain, Grid8, Quantization, QuantizedLinear, Stage};
use crate::graph::{Graph, Node, Op, ValueId};
use crate::tensor::DType;

use super::pattern::{Scope, each_list};
use super::{Kept, dequantized as constants, identities, prune};

/// Moves integers instead of what they stand for: how many nodes went.
pub(super) fn move_integers(graph: &mut Graph) -> usize {
    let before = graph.nodes.len();
    moves::integers(graph);
    identities::remove(graph);
    prune::prune(graph);
    before.saturating_sub(graph.nodes.len())
}

/// Runs the pass: how many products take integers now.
pub(super) fn fuse(graph: &mut Graph) -> usize {
    let products = each_list(graph, &mut |scope| {
        // Before products take part of a function along.
        (0..scope.len()).for_each(|i| {
            functions::tabulate(scope, i);
        });
        let products = (0..scope.len()).filter(|i| linear::fuse(scope, *i).is_some()).count();
        (0..scope.len()).for_each(|i| {
            matmul::softmax(scope, i);
        });
        (0..scope.len()).for_each(|i| {
            chain::fuse(scope, i);
        });
        // Behind what takes them along.
        (0..scope.len()).for_each(|i| {
            chain::dequantize(scope, i);
        });
        products
    });
    tables::look_up(graph);
    products
}

/// An operand or result that is quantized as a whole, with one scale.
struct Quantized {
    /// The integers, of eight bits.
    q: ValueId,
    /// One number.
    scale: ValueId,
    /// One integer; zero where it is left out.
    zero: Option<ValueId>,
}

impl Quantized {
    /// What a node dequantizes or quantizes with one scale for all elements.
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let (integer, q) = match node.op {
            Op::DequantizeLinear(Quantization { integer, .. }) => {
                (integer, node.inputs.first().copied()??)
            }
            Op::QuantizeLinear(Quantization { integer, .. }) => {
                (integer, node.outputs.first().copied()??)
            }
            _ => return None,
        };
        let (scale, zero) = (node.inputs.get(1).copied()??, node.inputs.get(2).copied().flatten());
        let one = |v: ValueId| graph.value(v).shape.iter().all(|dim| dim.is(1));
        let fits = matches!(integer, DType::U8 | DType::I8)
            && graph.value(q).dtype == integer
            && graph.value(scale).dtype == DType::F32
            && one(scale)
            && zero.is_none_or(one);
        fits.then_some(Self { q, scale, zero })
    }

    /// Its numbers, where they are constant.
    fn grid(&self, graph: &Graph) -> Option<Grid8> {
        let constant = |v: ValueId| graph.value(v).constant.as_ref();
        let &[scale] = constant(self.scale)?.as_slice::<f32>()? else { return None };
        let signed = graph.value(self.q).dtype == DType::I8;
        let zero = match self.zero {
            None => 0,
            Some(zero) => match *constant(zero)?.bytes() {
                [zero] if signed => i32::from(zero as i8),
                [zero] => i32::from(zero),
                _ => return None,
            },
        };
        Some(Grid8 { scale, zero, signed })
    }
}

/// The value as it was dequantized, with one scale.
fn dequantized(scope: &Scope<'_>, v: ValueId) -> Option<Quantized> {
    let node = scope.made(v)?;
    match node.op {
        Op::DequantizeLinear(_) => Quantized::of(scope.graph, node),
        _ => None,
    }
}

/// Products and other layers that stay in f32 though an operand is quantized, and why.
pub(super) fn kept(graph: &Graph) -> Vec<Kept> {
    let mut kept = Vec::new();
    keep(graph, &graph.nodes, &mut kept);
    kept
}

fn keep(graph: &Graph, nodes: &[Node], kept: &mut Vec<Kept>) {
    let makers: HashMap<ValueId, &Node> = nodes
        .iter()
        .flat_map(|node| node.outputs.iter().flatten().map(move |v| (*v, node)))
        .collect();
    let quantized = |v: Option<&Option<ValueId>>| {
        let maker = v.copied().flatten().and_then(|v| makers.get(&v));
        maker.is_some_and(|node| match &node.op {
            Op::DequantizeLinear(_) => true,
            Op::Chain(Chain { from: Some(_), stages, .. }) if stages.is_empty() => true,
            // It has taken the pair along.
            Op::Chain(Chain { stages, .. })
            | Op::QuantizedLinear(QuantizedLinear { stages, .. }) => {
                matches!(stages.last(), Some(Stage::Round(_)))
            }
            _ => false,
        })
    };
    for node in nodes {
        node.op.blocks().for_each(|block| keep(graph, &block.nodes, kept));
        let (x, w) = (quantized(node.inputs.first()), quantized(node.inputs.get(1)));
        let constant = |v: Option<&Option<ValueId>>| {
            let maker = v.copied().flatten().and_then(|v| makers.get(&v));
            maker.is_some_and(|node| constants::is_constant(graph, node))
        };
        let reason = match node.op {
            _ if !x && !w => continue,
            Op::MatMul | Op::Gemm(_) if x && w && !constant(node.inputs.get(1)) => {
                "both operands are computed, not of eight bits with one scale each"
            }
            Op::Linear { .. } | Op::Conv(_) if !x => {
                "its data is not quantized: weights become f32 when the model is loaded"
            }
            Op::Linear { .. } | Op::Conv(_) if !w => "its weights are not quantized",
            Op::Conv(ref conv) if conv.group > 1 => {
                "groups of a few outputs, of which a vector is a part, are faster in f32"
            }
            Op::Linear { .. } | Op::Conv(_) | Op::MatMul | Op::Gemm(_) => {
                "not eight bits, scales that differ along what is summed over, or sums beyond 32 bits"
            }
            Op::Recurrent(_) => "recurrent layers take integers only as DynamicQuantizeLSTM",
            Op::Attention(_) => "attention is computed in f32",
            _ => continue,
        };
        kept.push(Kept { node: node.name.clone(), op: node.op.name(), reason });
    }
}

#[cfg(test)]
mod tests;
