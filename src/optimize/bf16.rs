//! Weights of products become bf16, where the caller chooses that.
//!
//! It is no fusion: answers change, by what rounding each weight to eight significant bits does.
//! The first operand stays f32, and so does everything that is no product with constant weights.

use std::collections::HashMap;

use crate::graph::{Graph, Node, Op, Tensor, ValueId};
use crate::kernels::bf16::round;
use crate::tensor::DType;

use super::Kept;

/// What became of the products of a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// Products whose weights are bf16.
    pub places: usize,
    /// The others.
    pub kept: Vec<Kept>,
}

/// Stores the weights of products in bf16, those in blocks included.
pub fn narrow(graph: &mut Graph) -> Narrowed {
    let mut narrowed = Narrowed::default();
    let mut weights = Weights::default();
    let mut nodes = std::mem::take(&mut graph.nodes);
    for node in &mut nodes {
        narrow_node(graph, node, &mut weights, &mut narrowed);
    }
    graph.nodes = nodes;
    // What was rounded counts as memory as long as it is there.
    let uses = graph.use_counts();
    for (w, _) in weights.0.iter().filter(|(_, bf16)| bf16.is_some()) {
        if uses[w.0 as usize] == 0 {
            graph.value_mut(*w).constant = None;
        }
    }
    narrowed
}

/// Weights in bf16; none where they cannot be.
#[derive(Default)]
struct Weights(HashMap<ValueId, Option<ValueId>>);

fn narrow_node(graph: &mut Graph, node: &mut Node, weights: &mut Weights, to: &mut Narrowed) {
    for block in node.op.blocks_mut() {
        for node in &mut block.nodes {
            narrow_node(graph, node, weights, to);
        }
    }
    let reason = match &node.op {
        Op::Linear { .. } => {
            let w = node.inputs.get(1).copied().flatten();
            match w.and_then(|w| weights.narrowed(graph, w)) {
                Some(w) => {
                    node.inputs[1] = Some(w);
                    to.places += 1;
                    return;
                }
                None => "a weight is beyond the largest bf16",
            }
        }
        Op::MatMul | Op::Gemm(_) => {
            let mut operands = node.inputs.iter().take(2).flatten();
            match operands.any(|v| graph.value(*v).constant.is_some()) {
                true => "its constant is no matrix that rows are multiplied with",
                false => "both operands are computed",
            }
        }
        Op::Conv(_) => "weights of convolutions stay f32",
        Op::Recurrent(_) => "weights of recurrent layers stay f32",
        _ => return,
    };
    to.kept.push(Kept { node: node.name.clone(), op: node.op.name(), reason });
}

impl Weights {
    /// The constant `w` in bf16: rounded once, whoever reads it. `None` where rounding would make
    /// a number infinite.
    fn narrowed(&mut self, graph: &mut Graph, w: ValueId) -> Option<ValueId> {
        if let Some(known) = self.0.get(&w) {
            return *known;
        }
        let bf16 = rounded(graph.value(w).constant.as_ref()?).map(|tensor| {
            let name = graph.value(w).name.clone();
            graph.add_constant(name, tensor)
        });
        self.0.insert(w, bf16);
        bf16
    }
}

fn rounded(weights: &Tensor) -> Option<Tensor> {
    let data = weights.as_slice::<f32>()?;
    // From here on the nearest bf16 is infinite.
    let beyond = f32::from_bits(0x7f7f_8000);
    if data.iter().any(|w| w.is_finite() && w.abs() >= beyond) {
        return None;
    }
    let bits: Vec<u16> = data.iter().map(|w| round(*w)).collect();
    Some(Tensor::from_bytes(DType::BF16, weights.shape(), bytemuck::cast_slice(&bits)))
}
