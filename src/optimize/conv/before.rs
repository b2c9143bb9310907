//! What a convolution reads moves into it.

use super::scale::Affine;
use super::{Known, Step, convolution, set_weights, views};
use crate::graph::ops::PadMode;
use crate::graph::{Dim, Graph, Op, ValueId};

/// Moves one node that the convolution reads, behind views or at once, into it.
pub(super) fn take(graph: &mut Graph, uses: &mut Vec<u32>, i: usize) -> Step {
    let Some(known) = convolution(graph, i) else { return Step::Nothing };
    let taken = scale(graph, uses, i, &known).or_else(|| pad(graph, uses, i, &known));
    taken.map_or(Step::Nothing, Step::Taken)
}

fn producer(graph: &Graph, before: usize, v: ValueId) -> Option<usize> {
    graph.nodes[..before].iter().rposition(|node| node.outputs.contains(&Some(v)))
}

/// Factors of the channels that it reads, and summands where no padding hides them.
fn scale(graph: &mut Graph, uses: &mut Vec<u32>, i: usize, known: &Known) -> Option<usize> {
    if uses[known.x.0 as usize] != 1 {
        return None;
    }
    let node = producer(graph, i, known.x)?;
    let channels = graph.value(known.x).shape[1].fixed()?;
    let found = &graph.nodes[node];
    let reads = |v: &ValueId| graph.value(*v).constant.is_none();
    let x = found.inputs.iter().flatten().copied().find(reads)?;
    let affine = Affine::of(graph, found, x, 1).filter(|a| a.factor.len() as i64 == channels)?;
    let padded = known.conv.pads_before.iter().chain(&known.conv.pads_after).any(|n| *n > 0);
    if padded && affine.shift.iter().any(|s| *s != 0.0) {
        return None;
    }
    let (weights, bias) = affine.ahead(&known.weights, &known.bias, known.conv.group.max(1))?;
    set_weights(graph, uses, i, weights, &bias);
    graph.nodes[i].inputs[0] = Some(x);
    let gone = graph.nodes.remove(node);
    gone.inputs.iter().flatten().for_each(|v| uses[v.0 as usize] -= 1);
    uses[known.x.0 as usize] -= 1;
    uses[x.0 as usize] += 1;
    Some(i - 1)
}

/// Zeros around what it reads: where the convolution is then.
fn pad(graph: &mut Graph, uses: &mut Vec<u32>, i: usize, known: &Known) -> Option<usize> {
    let mut chain = Vec::new();
    let mut v = known.x;
    let pad = loop {
        let at = producer(graph, i, v)?;
        let node = &graph.nodes[at];
        if let Op::Pad(pad) = &node.op {
            if pad.mode != PadMode::Constant {
                return None;
            }
            let zero = |v: ValueId| {
                let value = graph.value(v).constant.as_ref();
                value.is_some_and(|t| t.to_f64s().iter().all(|x| *x == 0.0))
            };
            if !node.inputs.get(1).copied().flatten().is_none_or(zero) {
                return None;
            }
            v = node.inputs.first().copied()??;
            break pad.clone();
        }
        chain.push((node.op.clone(), views::axes(graph, node)?));
        v = node.inputs.first().copied()??;
    };
    let margin = |dim: &Dim| dim.fixed().and_then(|n| usize::try_from(n).ok());
    let margins: Vec<(usize, usize)> = pad
        .before
        .iter()
        .zip(&pad.after)
        .map(|(before, after)| Some((margin(before)?, margin(after)?)))
        .collect::<Option<_>>()?;
    // Which axis of what is padded each axis is, view by view.
    let mut from: Vec<Option<usize>> = (0..margins.len()).map(Some).collect();
    let mut shape = graph.value(v).shape.clone();
    let mut ops = Vec::new();
    for (op, axes) in chain.iter().rev() {
        from = axes.iter().map(|axis| axis.and_then(|axis| from[axis])).collect();
        shape = axes
            .iter()
            .map(|axis| axis.map_or(Dim::Fixed(1), |axis| shape[axis].clone()))
            .collect();
        ops.push(match op {
            Op::Reshape { .. } => Op::Reshape { shape: shape.clone() },
            other => other.clone(),
        });
    }
    let mut conv = known.conv.clone();
    for (axis, (before, after)) in margins.iter().enumerate().filter(|(_, m)| **m != (0, 0)) {
        let space = from.iter().position(|f| *f == Some(axis))?.checked_sub(2)?;
        *conv.pads_before.get_mut(space)? += before;
        *conv.pads_after.get_mut(space)? += after;
    }
    // The shape rule has the last word.
    let weights = graph.nodes[i].inputs[1]?;
    let mut data = graph.fact(v);
    data.shape = shape;
    let facts = [Some(data), Some(graph.fact(weights))];
    let made = Op::Conv(conv.clone()).infer(&facts, &graph.variables).ok()?;
    if made[0].shape != graph.value(known.y).shape {
        return None;
    }
    let source = v;
    let mut at = i;
    for op in ops {
        v = views::insert(graph, uses, at, op, v)?;
        at += 1;
    }
    uses[known.x.0 as usize] -= 1;
    uses[source.0 as usize] += 1;
    graph.nodes[at].op = Op::Conv(conv);
    graph.nodes[at].inputs[0] = Some(v);
    Some(at)
}
