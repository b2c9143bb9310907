//! What each operator needs of its operands for a part of its results.

use crate::graph::ops::Gemm;
use crate::graph::{Graph, Node, Op, ValueId};

use super::part::Part;
use super::{movement, normalize, pick, pointwise, product, recurrent, reshape, space};

/// A value, and which part of it.
pub(super) type Portion = Option<(ValueId, Part)>;

/// A node to be: what it needs of its operands, what it gives of its results.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) operands: Vec<Portion>,
    pub(super) results: Vec<Portion>,
}

impl Step {
    /// The operands and results of `node`, with the part that `needs` says of each operand.
    pub(super) fn of(
        node: &Node,
        op: Op,
        mut needs: impl FnMut(usize, ValueId) -> Part,
        gives: &[Part],
    ) -> Self {
        let operands = node.inputs.iter().enumerate();
        let operands = operands.map(|(i, v)| v.map(|v| (v, needs(i, v)))).collect();
        let results = node.outputs.iter().zip(gives);
        let results = results.map(|(v, part)| v.map(|v| (v, part.clone()))).collect();
        Self { op, operands, results }
    }

    /// Whether it is `node` as it is.
    pub(super) fn is(&self, node: &Node) -> bool {
        let whole = |portions: &[Portion], ids: &[Option<ValueId>]| {
            portions.len() == ids.len()
                && portions.iter().zip(ids).all(|(portion, id)| match (portion, id) {
                    (Some((v, part)), Some(id)) => v == id && part.is_whole(),
                    (None, None) => true,
                    _ => false,
                })
        };
        self.op == node.op
            && whole(&self.operands, &node.inputs)
            && whole(&self.results, &node.outputs)
    }
}

/// A node, and which part of each of its results somebody reads.
pub(super) struct Call<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) node: &'a Node,
    pub(super) wanted: &'a [Option<Part>],
}

impl Call<'_> {
    /// Operand `i`, where it is given.
    pub(super) fn operand(&self, i: usize) -> Option<ValueId> {
        self.node.inputs.get(i).copied().flatten()
    }

    pub(super) fn shape(&self, v: ValueId) -> &[crate::graph::Dim] {
        &self.graph.value(v).shape
    }

    pub(super) fn rank(&self, v: ValueId) -> usize {
        self.shape(v).len()
    }

    /// The shape of the first result that somebody reads.
    pub(super) fn result_shape(&self) -> Option<&[crate::graph::Dim]> {
        self.node.outputs.iter().flatten().next().map(|v| self.shape(*v))
    }

    /// What is read of the one result.
    pub(super) fn want(&self) -> Option<Part> {
        self.wanted.first()?.clone()
    }

    /// What is read of results that have one shape.
    pub(super) fn want_of_any(&self) -> Option<Part> {
        let shape = self.result_shape()?.to_vec();
        let mut parts = self.wanted.iter().flatten().cloned();
        let first = parts.next()?;
        Some(parts.fold(first, |a, b| a.join(&b, &shape)))
    }
}

/// The nodes that give what is wanted of the results of `node`; `None` where it stays as it is.
pub(super) fn plan(graph: &mut Graph, node: &Node, wanted: &[Option<Part>]) -> Option<Vec<Step>> {
    let mut call = Call { graph, node, wanted };
    let call = &mut call;
    let step = match &node.op {
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Logic(_)
        | Op::Where
        | Op::Cast { .. }
        | Op::RoundingCast { .. }
        | Op::BitCast { .. } => pointwise::elements(call),
        Op::QuantizeLinear(op) | Op::DequantizeLinear(op) => pointwise::quantize(call, op),
        Op::Lookup => pointwise::lookup(call),
        Op::Fill { .. } => pointwise::fill(call),
        Op::Reshape { .. } => reshape::reshape(call),
        Op::Transpose { perm } => movement::transpose(call, perm),
        Op::Expand { .. } => movement::expand(call),
        Op::Slice { axes } => movement::slice(call, axes),
        Op::Concat { axis } => movement::concat(call, *axis),
        Op::Tile { repeats } => movement::tile(call, repeats),
        Op::Pad(op) => space::pad(call, op),
        Op::Trilu { upper, k } => movement::trilu(call, *upper, *k),
        Op::Gather { axis } => pick::gather(call, *axis),
        Op::GatherElements { axis } => pick::gather_elements(call, *axis),
        Op::OneHot { axis, .. } => pick::one_hot(call, *axis),
        Op::TopK(op) => normalize::along(call, op.axis),
        Op::Softmax { axis }
        | Op::LogSoftmax { axis }
        | Op::CumSum { axis, .. }
        | Op::CumProd { axis, .. } => normalize::along(call, *axis),
        Op::ArgReduce(op) => normalize::reduce(call, &[op.axis], op.keep_dims),
        Op::Reduce(op) => normalize::reduce(call, &op.axes, op.keep_dims),
        Op::LayerNorm { axis, .. } | Op::RmsNorm { axis, .. } => normalize::norm(call, *axis),
        Op::BatchNorm { .. } => normalize::batch_norm(call),
        Op::GroupNorm { .. } => normalize::group_norm(call),
        Op::MatMul => product::matmul(call, false),
        Op::Linear { transposed, .. } => product::matmul(call, *transposed),
        Op::Attention(op) => product::attention(call, op),
        Op::Gemm(Gemm { trans_a, trans_b, .. }) => product::gemm(call, *trans_a, *trans_b),
        Op::QuantizedMatMul(op) => product::quantized_matmul(call, op),
        Op::QuantizedLinear(op) => product::quantized(call, op),
        Op::Conv(op) => space::conv(call, op),
        Op::QuantizedConv(op) => product::quantized_conv(call, op),
        Op::Pool(op) => space::pool(call, op),
        Op::Recurrent(op) => return recurrent::recurrent(call, op),
        _ => None,
    };
    step.map(|step| vec![step])
}
