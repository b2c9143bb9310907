//! Matrix products: rows of the left operand, columns of the right one. Constant weights are cut
//! when the model is loaded. Attention: queries, and columns of the values.

use crate::graph::ops::Attention;
use crate::graph::{Dim, Op};

use super::part::{Part, Window};
use super::pointwise::aligned;
use super::rules::{Call, Step};

/// `MatMul` and `Linear`: operands broadcast over the leading axes, vectors have no row or no
/// column; behind them a bias of one row, and what is broadcast to the result.
pub(super) fn matmul(call: &Call<'_>, transposed: bool) -> Option<Step> {
    let (mut part, to) = (call.want()?, call.result_shape()?);
    let (left, right) = (call.rank(call.operand(0)?), call.rank(call.operand(1)?));
    let (has_row, has_column) = (left > 1, right > 1);
    // A bias under another shape than a row.
    if has_column && call.operand(2).is_some_and(|v| call.shape(v).last() != to.last()) {
        *part.0.last_mut()? = None;
    }
    let batch = to.len() - usize::from(has_row) - usize::from(has_column);
    let row = has_row.then(|| part.0[batch].clone()).flatten();
    let column = part.0.last().filter(|_| has_column).cloned().flatten();
    let outer = Part(part.0[..batch].to_vec());
    let needs = |i, v| {
        let shape = call.shape(v);
        match (i, shape.len()) {
            (0 | 1, 0 | 1) => Part::whole(shape.len()),
            (0 | 1, rank) => {
                let mut needs = aligned(&outer, &to[..batch], &shape[..rank - 2]);
                needs.0.extend(match i {
                    0 => [row.clone(), None],
                    _ if transposed => [column.clone(), None],
                    _ => [None, column.clone()],
                });
                needs
            }
            _ => aligned(&part, to, shape),
        }
    };
    Some(Step::of(call.node, call.node.op.clone(), needs, std::slice::from_ref(&part)))
}

pub(super) fn gemm(call: &Call<'_>, trans_a: bool, trans_b: bool) -> Option<Step> {
    let (part, to) = (call.want()?, call.result_shape()?);
    let [row, column] = &part.0[..] else { return None };
    let matrix = |first: Option<_>, second: Option<_>, swap: bool| {
        Part(if swap { vec![second, first] } else { vec![first, second] })
    };
    let needs = |i, v| match i {
        0 => matrix(row.clone(), None, trans_a),
        1 => matrix(None, column.clone(), trans_b),
        _ => aligned(&part, to, call.shape(v)),
    };
    Some(Step::of(call.node, call.node.op.clone(), needs, std::slice::from_ref(&part)))
}

/// Queries are rows, whatever the keys are; with a causal border the keys up to that of the last
/// one are enough.
pub(super) fn attention(call: &Call<'_>, op: &Attention) -> Option<Step> {
    let (mut part, to) = (call.want()?, call.result_shape()?);
    let batch = to.len().checked_sub(2)?;
    let n = call.shape(call.operand(1)?).iter().rev().nth(1)?;
    let mut op = op.clone();
    let mut keys = None;
    if let (Some(queries), Some(causal)) = (&part.0[batch], &mut op.causal) {
        // The border goes on by one key with each query, so that none is left out.
        let gaps = (queries.extent.clone() - Dim::Fixed(1)) * Dim::Fixed(queries.step);
        let (start, extent) = (queries.start.clone(), gaps + Dim::Fixed(1));
        *causal = causal.clone() + start.clone();
        let seen = (causal.clone() + extent.clone()).fixed();
        let some = seen.filter(|seen| *seen > 0 && n.fixed().is_some_and(|n| *seen < n));
        keys = some.and_then(|seen| Window::over(n, Dim::Fixed(0), 1, Dim::Fixed(seen)));
        part.0[batch] = Window::over(&to[batch], start, 1, extent);
    }
    let (queries, columns) = (part.0[batch].clone(), part.0[batch + 1].clone());
    let outer = Part(part.0[..batch].to_vec());
    let needs = |i, v| {
        let shape = call.shape(v);
        let (first, matrix) = shape.split_at(shape.len().saturating_sub(2));
        let mut needs = aligned(&outer, &to[..batch], first);
        needs.0.extend(match i {
            0 => vec![queries.clone(), None],
            1 => vec![keys.clone(), None],
            2 => vec![keys.clone(), columns.clone()],
            _ => {
                // A mask, which is broadcast to the scores.
                let scores = [to[batch].clone(), n.clone()];
                aligned(&Part(vec![queries.clone(), keys.clone()]), &scores, matrix).0
            }
        });
        needs
    };
    Some(Step::of(call.node, Op::Attention(op), needs, std::slice::from_ref(&part)))
}
