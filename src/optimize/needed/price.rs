//! Whether a cut pays where its operand is there anyway.

use crate::graph::dim::product;
use crate::graph::{Dim, Graph, Node, Op, ValueId};

use super::part::Part;
use super::rules::{Portion, Step};

/// What an element that lies apart from the next costs, in elements of whole vectors.
const APART: f64 = 8.0;

/// Whether computing part of the results from part of the operands, which are there in whole, is
/// less work than computing all: kernels that want elements in order have cut operands copied,
/// and elements that lie apart go one by one.
pub(super) fn pays<'a>(
    graph: &Graph,
    node: &Node,
    step: &Step,
    shape: impl Fn(ValueId) -> &'a [Dim],
) -> bool {
    // What an element of the result costs, and whether operands are taken as they lie.
    let (work, views) = match &step.op {
        Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice { .. } | Op::Expand { .. } => {
            return true;
        }
        Op::MatMul
        | Op::Gemm(_)
        | Op::Linear { .. }
        | Op::QuantizedLinear(_)
        | Op::QuantizedMatMul(_)
        | Op::Attention(_) => return true,
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Logic(_)
        | Op::Where
        | Op::Cast { .. }
        | Op::RoundingCast { .. }
        | Op::BitCast { .. }
        | Op::Concat { .. }
        | Op::Tile { .. }
        | Op::Pad(_) => (1.0, true),
        Op::Conv(_) | Op::QuantizedConv(_) => {
            let at = if matches!(step.op, Op::Conv(_)) { 1 } else { 3 };
            let weights = node.inputs.get(at).copied().flatten().map_or(&[][..], &shape);
            (product(weights.iter().skip(1)).upper(&graph.variables) as f64, false)
        }
        _ => (4.0, false),
    };
    let variables = &graph.variables;
    let len = |v: &ValueId, part: &Part| part.len(shape(*v), variables);
    let whole = |v: &ValueId| len(v, &Part::whole(shape(*v).len()));
    let elements = |portions: &[Portion], len: &dyn Fn(&ValueId, &Part) -> f64| -> f64 {
        portions.iter().flatten().map(|(v, part)| len(v, part)).fold(0.0, f64::max)
    };
    let extra = |(v, part): &(ValueId, Part)| {
        let apart = part.0.last().is_some_and(|w| w.as_ref().is_some_and(|w| w.step > 1));
        let each = match (views, apart) {
            (true, true) => APART - 1.0,
            (true, false) => 0.0,
            (false, true) => APART,
            (false, false) => 1.0,
        };
        let moved = !part.is_whole() && graph.value(*v).constant.is_none();
        if moved { each * len(v, part) } else { 0.0 }
    };
    let cuts: f64 = step.operands.iter().flatten().map(extra).sum();
    // Reductions give less than they read; what picks elements reads no more than it gives.
    let picks = matches!(
        step.op,
        Op::Gather { .. } | Op::GatherElements { .. } | Op::OneHot { .. } | Op::Fill { .. }
    );
    let data = if picks { &[] } else { &step.operands[..step.operands.len().min(1)] };
    let all_of = |v: &ValueId, _: &Part| whole(v);
    let part = elements(&step.results, &len).max(elements(data, &len));
    let all = elements(&step.results, &all_of).max(elements(data, &all_of));
    work * part + cuts < work * all
}
