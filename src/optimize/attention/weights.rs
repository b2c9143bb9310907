//! From the weights down to softmax.

use crate::graph::ops::{Compare, Reduce, ReduceKind, Unary, Unseeing};
use crate::graph::{Graph, Op, ValueId};
use crate::tensor::DType;

use super::Parts;
use super::scores::{Change, uniform};

/// Weights that are softmax of something.
pub(super) struct Softmax {
    pub(super) scores: ValueId,
    pub(super) unseeing: Unseeing,
    /// Rows where this holds are zero.
    pub(super) emptied: Option<ValueId>,
}

impl Parts<'_> {
    /// What weights are softmax of, over their last axis.
    pub(super) fn weights(&self, graph: &Graph, mut weights: ValueId) -> Option<Softmax> {
        let (mut unseeing, mut emptied) = (Unseeing::Nan, None);
        let mut readers = 1;
        loop {
            let node = self.maker(weights).filter(|_| self.has_readers(weights, readers))?;
            readers = 1;
            weights = match (&node.op, &node.inputs[..]) {
                (Op::Softmax { axis }, [Some(x)]) => {
                    let last = axis + 1 == graph.value(*x).shape.len();
                    return last.then_some(Softmax { scores: *x, unseeing, emptied });
                }
                (Op::Where, [Some(condition), Some(zero), Some(x)])
                    if uniform(graph, *zero) == Some(0.0)
                        && graph.value(*x).shape == graph.value(weights).shape =>
                {
                    if emptied.is_some() || unseeing != Unseeing::Nan {
                        return None;
                    } else if self.is_nan_of(*condition, *x) {
                        unseeing = Unseeing::ZeroForNan;
                        readers = 2;
                    } else if graph.value(*condition).constant.is_none() {
                        emptied = Some(*condition);
                    } else if uniform(graph, *condition) != Some(0.0) {
                        return None;
                    }
                    *x
                }
                _ => self.same(graph, weights)?,
            };
        }
    }

    /// What a value is but for its name or its shape before the last two axes.
    pub(super) fn same(&self, graph: &Graph, v: ValueId) -> Option<ValueId> {
        let node = self.maker(v)?;
        let from = node.inputs.first().copied().flatten()?;
        match &node.op {
            Op::Unary(Unary::Identity) => Some(from),
            Op::Cast { to: DType::F32 } if graph.value(from).dtype == DType::F32 => Some(from),
            Op::Reshape { .. } => self.regrouped(graph, v),
            _ => None,
        }
    }

    fn is_nan_of(&self, condition: ValueId, x: ValueId) -> bool {
        self.has_readers(condition, 1)
            && self
                .maker(condition)
                .is_some_and(|node| node.op == Op::Unary(Unary::IsNan) && node.inputs[0] == Some(x))
    }

    /// Whether a condition holds just where the changes leave nothing but minus infinity of a row.
    pub(super) fn empties(&self, graph: &Graph, condition: ValueId, changes: &[Change]) -> bool {
        let of = |v: ValueId, op: &Op| {
            let node = self.maker(v).filter(|node| node.op == *op)?;
            node.inputs.iter().copied().collect::<Option<Vec<ValueId>>>()
        };
        let low = |v: ValueId| uniform(graph, v) == Some(f64::NEG_INFINITY);
        let Some([best, far]) = of(condition, &Op::Compare(Compare::Equal)).as_deref().map(pair)
        else {
            return false;
        };
        let reduced = self.maker(best).and_then(|node| match &node.op {
            Op::Reduce(Reduce { kind: ReduceKind::Max, axes, keep_dims: true }) => {
                let x = node.inputs[0]?;
                (axes[..] == [graph.value(x).shape.len() - 1]).then_some(x)
            }
            _ => None,
        });
        let Some(visible) = reduced.filter(|_| low(far)) else { return false };
        let chosen = of(visible, &Op::Where);
        match (changes, chosen.as_deref()) {
            ([Change::Add(bias)], None) => *bias == visible,
            ([rest @ .., Change::Choose { condition, keep: true, fill }], Some([c, bias, far])) => {
                let same = match rest {
                    [] => uniform(graph, *bias) == Some(0.0),
                    [Change::Add(mask)] => mask == bias,
                    _ => false,
                };
                same && condition == c && *fill == f32::NEG_INFINITY && low(*far)
            }
            _ => false,
        }
    }
}

fn pair(list: &[ValueId]) -> [ValueId; 2] {
    [list[0], list[1]]
}
