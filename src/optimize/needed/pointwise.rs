//! Operators that give each element from the elements in its place.

use crate::graph::dim::product;
use crate::graph::ops::Quantization;
use crate::graph::{Dim, Op};

use super::part::Part;
use super::rules::{Call, Step};

/// The part of an operand of shape `from` that is broadcast to the part `of` a shape `to`.
pub(super) fn aligned(of: &Part, to: &[Dim], from: &[Dim]) -> Part {
    let missing = to.len() - from.len();
    let axes = of.0[missing..].iter().zip(&to[missing..]).zip(from);
    Part(axes.map(|((window, t), f)| window.clone().filter(|_| f == t)).collect())
}

pub(super) fn elements(call: &Call<'_>) -> Option<Step> {
    let (part, to) = (call.want()?, call.result_shape()?);
    let op = call.node.op.clone();
    Some(Step::of(
        call.node,
        op,
        |_, v| aligned(&part, to, call.shape(v)),
        std::slice::from_ref(&part),
    ))
}

/// Scales lie along one axis, or there is one.
pub(super) fn quantize(call: &Call<'_>, op: &Quantization) -> Option<Step> {
    let part = call.want()?;
    let scale = call.operand(1)?;
    let one = product(call.shape(scale)).is(1);
    if !one && (op.block != 0 || call.rank(scale) != 1) {
        return None;
    }
    let of_scale = |rank| if one { Part::whole(rank) } else { Part(vec![part.0[op.axis].clone()]) };
    let needs = |i, v| if i == 0 { part.clone() } else { of_scale(call.rank(v)) };
    Some(Step::of(call.node, call.node.op.clone(), needs, std::slice::from_ref(&part)))
}

/// The list stays whole.
pub(super) fn lookup(call: &Call<'_>) -> Option<Step> {
    let part = call.want()?;
    let needs = |i, v| if i == 0 { part.clone() } else { Part::whole(call.rank(v)) };
    Some(Step::of(call.node, call.node.op.clone(), needs, std::slice::from_ref(&part)))
}

pub(super) fn fill(call: &Call<'_>) -> Option<Step> {
    let part = call.want()?;
    let op = Op::Fill { shape: part.shape(call.result_shape()?) };
    Some(Step::of(call.node, op, |_, v| Part::whole(call.rank(v)), &[part]))
}
