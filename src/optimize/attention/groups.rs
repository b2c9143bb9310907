//! Heads that share keys: repeated in front of the product, one for all behind it.

use crate::graph::dim::product;
use crate::graph::ops::Attention;
use crate::graph::{Dim, Op, ValueId};

use super::Maker;

impl Maker<'_, '_> {
    /// Attention of `[q, k, v]` with masks. Where keys and values are repeated for several heads
    /// each, these heads get an axis of their own instead.
    pub(super) fn grouped(
        &mut self,
        op: Attention,
        [q, k, v]: [ValueId; 3],
        masks: &[ValueId],
    ) -> Option<ValueId> {
        let plain = [&[q, k, v], masks].concat();
        let (Some((k, each)), Some((v, of_v))) = (self.repeated(k), self.repeated(v)) else {
            return self.add(Op::Attention(op), &plain);
        };
        let shape = self.graph.value(q).shape.clone();
        let heads = shape.len().checked_sub(3).map(|axis| shape[axis].clone());
        let of_k = &self.graph.value(k).shape;
        let groups = of_k[of_k.len() - 4].clone();
        if each != of_v || heads != Some(groups.clone() * each.clone()) {
            return self.add(Op::Attention(op), &plain);
        }
        let (axis, heads) = (shape.len() - 3, shape[shape.len() - 3].clone());
        let split = |shape: &[Dim]| {
            let at = shape.len() - 3;
            let pair = if shape[at].is(1) {
                [Dim::Fixed(1), Dim::Fixed(1)]
            } else {
                [groups.clone(), each.clone()]
            };
            [&shape[..at], &pair, &shape[at + 1..]].concat()
        };
        let mut operands = vec![self.reshaped(q, split(&shape))?, k, v];
        for mask in masks {
            let shape = self.graph.value(*mask).shape.clone();
            let stays = shape.len() < 3;
            operands.push(if stays { *mask } else { self.reshaped(*mask, split(&shape))? });
        }
        let y = self.add(Op::Attention(op), &operands)?;
        let mut shape = self.graph.value(y).shape.clone();
        shape.splice(axis..axis + 2, [heads]);
        (product(&shape) == product(&self.graph.value(y).shape))
            .then(|| self.reshaped(y, shape))
            .flatten()
    }

    /// What stands under a value that repeats each matrix of an axis, `[.., 1, rows, cols]`, and
    /// how often.
    fn repeated(&self, v: ValueId) -> Option<(ValueId, Dim)> {
        let joined = &self.graph.value(v).shape;
        let reshape = self.parts.maker(v).filter(|node| matches!(node.op, Op::Reshape { .. }))?;
        let wide = reshape.inputs[0]?;
        let node = self.parts.maker(wide)?;
        let repeats = matches!(node.op, Op::Expand { .. } | Op::Tile { .. });
        let narrow = node.inputs[0].filter(|_| repeats)?;
        let (from, to) = (&self.graph.value(narrow).shape, &self.graph.value(wide).shape);
        let axis = to.len().checked_sub(3).filter(|axis| *axis > 0)?;
        let each = to[axis].clone();
        let mut one = to.clone();
        one[axis] = Dim::Fixed(1);
        let mut all = to.clone();
        all.splice(axis - 1..=axis, [to[axis - 1].clone() * each.clone()]);
        (*from == one && *joined == all).then_some((narrow, each))
    }
}
