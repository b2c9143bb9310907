//! Operators that mix the elements along some axes: those stay whole.

use super::part::Part;
use super::rules::{Call, Step};

/// One axis is mixed; all results have one shape.
pub(super) fn along(call: &Call<'_>, axis: usize) -> Option<Step> {
    let mut part = call.want_of_any()?;
    part.0[axis] = None;
    let gives = vec![part.clone(); call.node.outputs.len()];
    Some(Step::of(call.node, call.node.op.clone(), |_, _| part.clone(), &gives))
}

/// The axes from `axis` on are mixed; scale and bias lie along them.
pub(super) fn norm(call: &Call<'_>, axis: usize) -> Option<Step> {
    let mut part = call.want_of_any()?;
    part.0[axis..].fill(None);
    let gives = vec![part.clone(); call.node.outputs.len()];
    let needs = |i, v| if i == 0 { part.clone() } else { Part::whole(call.rank(v)) };
    Some(Step::of(call.node, call.node.op.clone(), needs, &gives))
}

/// Nothing is mixed; coefficients lie along the channels.
pub(super) fn batch_norm(call: &Call<'_>) -> Option<Step> {
    let mut part = call.want()?;
    if call.node.inputs.iter().skip(1).flatten().any(|v| call.rank(*v) != 1) {
        part.0[1] = None;
    }
    let needs = |i, v| match (i, call.rank(v)) {
        (0, _) => part.clone(),
        (_, 1) => Part(vec![part.0[1].clone()]),
        (_, rank) => Part::whole(rank),
    };
    Some(Step::of(call.node, call.node.op.clone(), needs, std::slice::from_ref(&part)))
}

/// Everything but the batch is mixed.
pub(super) fn group_norm(call: &Call<'_>) -> Option<Step> {
    norm(call, 1)
}

pub(super) fn reduce(call: &Call<'_>, axes: &[usize], keep_dims: bool) -> Option<Step> {
    let part = call.want()?;
    let mut kept = part.0.iter();
    let x = call.operand(0)?;
    let needs = (0..call.rank(x)).map(|axis| {
        let reduced = axes.contains(&axis);
        let window = if reduced && !keep_dims { None } else { kept.next().cloned().flatten() };
        window.filter(|_| !reduced)
    });
    let needs = Part(needs.collect());
    let mut gives = part;
    if keep_dims {
        axes.iter().for_each(|axis| gives.0[*axis] = None);
    }
    Some(Step::of(call.node, call.node.op.clone(), |_, _| needs.clone(), &[gives]))
}
