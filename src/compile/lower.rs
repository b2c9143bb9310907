//! Lowering: which steps compute an operator, one family a file.
//!
//! A lowering reads its operands through the [`Builder`] (row-major, or as the view they are),
//! asks it for the result's memory, and writes steps. Operators that only look at their operand
//! otherwise (reshape, transpose, slice, expand) write none.

mod attention;
mod classical;
mod dynamic;
mod elementwise;
mod index;
mod integer;
mod lanes;
pub(super) mod movement;
mod narrow;
mod normalize;
mod product;
mod quantize;
mod random;
mod recurrent;
mod vision;
mod window;

use crate::graph::{Node, Op, ValueId};
use crate::runtime::KernelId;
use crate::tensor::Rounding;

use super::builder::{Builder, Lowered};

/// Operand `i` of a node, which its operator requires.
fn operand(node: &Node, i: usize) -> Lowered<ValueId> {
    optional(node, i).ok_or_else(|| format!("operand {i} is missing"))
}

/// Operand `i` of a node, where it is given.
fn optional(node: &Node, i: usize) -> Option<ValueId> {
    node.inputs.get(i).copied().flatten()
}

/// Result `i` of a node, which somebody reads.
fn result(node: &Node, i: usize) -> Lowered<ValueId> {
    optional_result(node, i).ok_or_else(|| format!("result {i} is missing"))
}

/// Result `i` of a node, where somebody reads it.
fn optional_result(node: &Node, i: usize) -> Option<ValueId> {
    node.outputs.get(i).copied().flatten()
}

/// Writes the steps of `node`.
pub(super) fn lower(b: &mut Builder<'_>, node: &Node) -> Lowered<()> {
    match &node.op {
        Op::Unary(op) => elementwise::unary(b, node, *op),
        Op::Binary(op) => elementwise::binary(b, node, *op),
        Op::Compare(op) => elementwise::compare(b, node, *op),
        Op::Logic(op) => elementwise::logic(b, node, *op),
        Op::Where => elementwise::choose(b, node),
        Op::Cast { to } => elementwise::cast(b, node, *to, Rounding::default()),
        Op::RoundingCast { to, rounding } => elementwise::cast(b, node, *to, *rounding),
        Op::BitCast { .. } => elementwise::reinterpret(b, node),
        Op::Extents { dims } => movement::extents(b, node, dims),
        Op::Reshape { shape } => movement::reshape(b, node, shape),
        Op::Transpose { perm } => movement::transpose(b, node, perm),
        Op::Expand { shape } => movement::expand(b, node, shape),
        Op::Slice { axes } => movement::slice(b, node, axes),
        Op::Concat { axis } => movement::concat(b, node, *axis),
        Op::Tile { repeats } => movement::tile(b, node, repeats),
        Op::Fill { shape } => movement::fill(b, node, shape),
        Op::Pad(op) => movement::pad(b, node, op),
        Op::Random(op) => random::random(b, node, op),
        Op::Range { len } => movement::range(b, node, len),
        Op::Trilu { upper, k } => movement::trilu(b, node, *upper, *k),
        Op::Gather { axis } => index::gather(b, node, *axis),
        Op::GatherElements { axis } => index::gather_elements(b, node, *axis),
        Op::GatherNd { batch_dims } => index::gather_nd(b, node, *batch_dims),
        Op::ScatterElements(op) => index::scatter_elements(b, node, *op),
        Op::ScatterNd(op) => index::scatter_nd(b, node, *op),
        Op::OneHot { axis, .. } => index::one_hot(b, node, *axis),
        Op::TopK(op) => lanes::top_k(b, node, op),
        Op::ArgReduce(op) => lanes::arg_reduce(b, node, op),
        Op::CumSum { axis, exclusive, reverse } => {
            lanes::running(b, node, KernelId::CumSum, *axis, *exclusive, *reverse)
        }
        Op::CumProd { axis, exclusive, reverse } => {
            lanes::running(b, node, KernelId::CumProd, *axis, *exclusive, *reverse)
        }
        Op::MatMul => product::matmul(b, node),
        Op::Linear { activation, transposed } => product::linear(b, node, *activation, *transposed),
        Op::WeightOnlyLinear(op) => narrow::linear(b, node, op),
        Op::Gemm(op) => product::gemm(b, node, op),
        Op::Attention(op) => attention::attention(b, node, op),
        Op::Recurrent(op) => recurrent::recurrent(b, node, op),
        Op::QuantizedLstm(op) => recurrent::quantized(b, node, op),
        Op::Reduce(op) => normalize::reduce(b, node, op),
        Op::Softmax { axis } => normalize::softmax(b, node, *axis, false),
        Op::LogSoftmax { axis } => normalize::softmax(b, node, *axis, true),
        Op::LayerNorm { axis, epsilon } => normalize::norm(b, node, *axis, *epsilon, true),
        Op::RmsNorm { axis, epsilon } => normalize::norm(b, node, *axis, *epsilon, false),
        Op::BatchNorm { epsilon } => normalize::batch_norm(b, node, *epsilon),
        Op::GroupNorm { groups, epsilon } => normalize::group_norm(b, node, *groups, *epsilon),
        Op::Measure(op) => dynamic::measure(b, node, op),
        Op::NonZero { .. } => dynamic::non_zero(b, node),
        Op::Unique(op) => dynamic::unique(b, node, op),
        Op::NonMaxSuppression(op) => dynamic::suppress(b, node, op),
        Op::QuantizeLinear(op) => quantize::quantize(b, node, op),
        Op::DequantizeLinear(op) => quantize::dequantize(b, node, op),
        Op::DynamicQuantizeLinear => integer::dynamic_quantize(b, node),
        Op::QuantizedLinear(op) => integer::linear(b, node, op),
        Op::QuantizedConv(op) => integer::conv(b, node, op),
        Op::QuantizedMatMul(op) => integer::matmul(b, node, op),
        Op::Chain(op) => integer::chain(b, node, op),
        Op::QuantizedSoftmax(op) => integer::softmax(b, node, op),
        Op::MapBytes => integer::map_bytes(b, node),
        Op::TreeEnsemble(op) => classical::tree_ensemble(b, node, op),
        Op::Lookup => classical::lookup(b, node),
        Op::Distances { squared } => classical::distances(b, node, *squared),
        Op::SvmPairs(op) => classical::svm_pairs(b, node, op),
        Op::PairCoupling { classes } => classical::pair_coupling(b, node, *classes),
        Op::Conv(op) => window::conv(b, node, op),
        Op::Pool(op) => window::pool(b, node, op),
        Op::If(_) | Op::Loop(_) => Err("blocks are lowered around this".into()),
        Op::MaxPositions(op) => window::positions(b, node, op),
        Op::GridSample(op) => vision::grid_sample(b, node, op),
        Op::RoiAlign(op) => vision::roi_align(b, node, op),
        Op::MaxRoiPool(op) => vision::max_roi_pool(b, node, op),
        Op::DeformColumns(op) => vision::deform_columns(b, node, op),
        Op::Det => vision::determinant(b, node),
    }
}
