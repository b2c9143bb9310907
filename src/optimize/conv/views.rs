//! Nodes that only look at a value otherwise.

use crate::graph::{Dim, Graph, Node, Op, ValueId};

/// For each axis of the result of a transpose, or of a reshape that only adds and drops axes of
/// one element: the axis of the operand that it is, `None` where it is new.
pub(super) fn axes(graph: &Graph, node: &Node) -> Option<Vec<Option<usize>>> {
    let (x, y) = (node.inputs.first().copied()??, node.outputs.first().copied()??);
    match &node.op {
        Op::Transpose { perm } => Some(perm.iter().copied().map(Some).collect()),
        Op::Reshape { .. } => {
            let (from, to) = (&graph.value(x).shape, &graph.value(y).shape);
            let mut left = from.iter().enumerate().filter(|(_, n)| !n.is(1));
            let mut axes = Vec::with_capacity(to.len());
            for n in to {
                if n.is(1) {
                    axes.push(None);
                    continue;
                }
                let (axis, same) = left.next()?;
                if same != n {
                    return None;
                }
                axes.push(Some(axis));
            }
            left.next().is_none().then_some(axes)
        }
        _ => None,
    }
}

/// Adds a node with one operand and one result before node `at`.
pub(super) fn insert(
    graph: &mut Graph,
    uses: &mut Vec<u32>,
    at: usize,
    op: Op,
    x: ValueId,
) -> Option<ValueId> {
    let fact = op.infer(&[Some(graph.fact(x))], &graph.variables).ok()?.into_iter().next()?;
    let name = graph.nodes[at].name.clone();
    let y = graph.add_value(format!("{name}:view"), &fact);
    uses.resize(graph.values.len(), 1);
    graph.nodes.insert(at, Node { name, op, inputs: vec![Some(x)], outputs: vec![Some(y)] });
    Some(y)
}

/// The node that undoes a view whose operand has this shape.
pub(super) fn inverse(op: &Op, shape: &[Dim]) -> Option<Op> {
    match op {
        Op::Transpose { perm } => {
            let mut back = vec![0; perm.len()];
            perm.iter().enumerate().for_each(|(i, axis)| back[*axis] = i);
            Some(Op::Transpose { perm: back })
        }
        Op::Reshape { .. } => Some(Op::Reshape { shape: shape.to_vec() }),
        _ => None,
    }
}
