//! What a loop only adds to: a list, or a tensor that grows by concatenation.
//!
//! Nothing of it need be carried from one iteration to the next: what each adds is collected, and
//! put behind the first value when the loop has ended.

use crate::graph::ops::SliceAxis;
use crate::graph::{Dim, Op, ValueId};
use crate::onnx::proto::{GraphProto, NodeProto};

use super::{Control, Imported, Walker, domain};

/// How a value grows.
#[derive(Clone, Copy)]
pub(super) enum Growth {
    /// A list that begins empty; one element comes behind the last.
    List,
    /// A tensor; others come behind it along this axis.
    Joined { axis: usize },
}

impl<'m> Walker<'m, '_, '_> {
    /// How the value that the body carries at `i` grows, where the body does nothing else with it.
    pub(super) fn growth(
        &self,
        graph: &GraphProto,
        initial: &[ValueId],
        i: usize,
    ) -> Option<Growth> {
        let id = *initial.get(i)?;
        let (before, after) = (&graph.input.get(i + 2)?.name, &graph.output.get(i + 1)?.name);
        let adds = |n: &&NodeProto| n.output.first() == Some(after);
        let node = graph.node.iter().find(adds)?;
        let alone = uses(graph, before) == 1 && uses(graph, after) == 1;
        if !alone || node.input.first() != Some(before) || !domain(&node.domain).is_empty() {
            return None;
        }
        match node.op_type.as_str() {
            "SequenceInsert" => {
                let behind = node.input.get(2).is_none_or(String::is_empty);
                let empty = self.builder.sequence(id).is_some_and(<[_]>::is_empty);
                (behind && empty).then_some(Growth::List)
            }
            "Concat" if self.builder.is_tensor(id) => {
                let rank = self.builder.fact(id).shape.len() as i64;
                let axis = node.attribute.iter().find(|a| a.name == "axis")?.i;
                let axis = if axis < 0 { axis + rank } else { axis };
                let axis = usize::try_from(axis).ok().filter(|axis| (*axis as i64) < rank)?;
                Some(Growth::Joined { axis })
            }
            _ => None,
        }
    }

    /// What stands for the value before an iteration, so that what is there after it is what it
    /// adds.
    pub(super) fn nothing(
        &mut self,
        of: &Control<'_, 'm>,
        growth: Growth,
        initial: ValueId,
    ) -> Imported<ValueId> {
        match growth {
            Growth::List => Ok(self.builder.add_sequence(&of.name.label(), Vec::new())),
            Growth::Joined { axis } => {
                let (start, extent) = (Dim::Fixed(0), Dim::Fixed(0));
                let axes = vec![SliceAxis { axis, start, step: 1, extent }];
                self.emit(of, Op::Slice { axes }, &[initial])
            }
        }
    }

    /// What an iteration adds, from the value after it.
    pub(super) fn piece(
        &self,
        of: &Control<'_, 'm>,
        growth: Growth,
        after: ValueId,
    ) -> Imported<ValueId> {
        match (growth, self.builder.sequence(after)) {
            (Growth::List, Some([piece])) => Ok(*piece),
            (Growth::List, _) => of.fail("an iteration does not add one element to its sequence"),
            (Growth::Joined { .. }, _) => Ok(after),
        }
    }

    /// The last value: the first, and behind it what was collected along a new first axis.
    pub(super) fn grown(
        &mut self,
        of: &Control<'_, 'm>,
        growth: Growth,
        (initial, collected): (ValueId, ValueId),
        output: usize,
    ) -> Imported<ValueId> {
        let Growth::Joined { axis } = growth else {
            return Ok(self.builder.add_stack(&of.output_name(output), collected));
        };
        let rank = self.builder.fact(collected).shape.len();
        let mut perm: Vec<usize> = (1..rank).collect();
        perm.insert(axis, 0);
        let pieces = self.emit(of, Op::Transpose { perm }, &[collected])?;
        let mut shape = self.builder.fact(pieces).shape;
        let count = shape.remove(axis);
        shape[axis] = count * shape[axis].clone();
        let pieces = self.emit(of, Op::Reshape { shape }, &[pieces])?;
        self.emit(of, Op::Concat { axis }, &[initial, pieces])
    }
}

/// How often a body and the graphs in it read a value, as an output too.
fn uses(graph: &GraphProto, name: &str) -> usize {
    let mut open = vec![graph];
    let mut uses = 0;
    while let Some(graph) = open.pop() {
        uses += graph.output.iter().filter(|info| info.name == name).count();
        uses += graph.node.iter().flat_map(|n| &n.input).filter(|n| *n == name).count();
        let attributes = graph.node.iter().flat_map(|node| &node.attribute);
        open.extend(attributes.flat_map(|a| a.g.iter().chain(&a.graphs)));
    }
    uses
}
