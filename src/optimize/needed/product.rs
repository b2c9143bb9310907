//! Matrix products: rows of the left operand, columns of the right one. Constant weights are cut
//! when the model is loaded. Attention: queries, and columns of the values. Products of integers
//! as long as they are no more than their sums.

use crate::graph::dim::product;
use crate::graph::ops::{Attention, Given, QuantizedConv, QuantizedLinear, QuantizedMatMul};
use crate::graph::{Dim, Op, ValueId};

use super::part::{Part, Window};
use super::pointwise::aligned;
use super::rules::{Call, Step};
use super::space;

/// `MatMul` and `Linear`: operands broadcast over the leading axes, vectors have no row or no
/// column; behind them a bias of one row, and what is broadcast to the result.
pub(super) fn matmul(call: &Call<'_>, transposed: bool) -> Option<Step> {
    multiply(call, 1, transposed)
}

/// The same where the right operand is that of this number. What is between it and the left one,
/// and behind it, is then no more than a number each.
fn multiply(call: &Call<'_>, second: usize, transposed: bool) -> Option<Step> {
    let (mut part, to) = (call.want()?, call.result_shape()?);
    let (left, right) = (call.rank(call.operand(0)?), call.rank(call.operand(second)?));
    let (has_row, has_column) = (left > 1, right > 1);
    // A bias under another shape than a row.
    if second == 1
        && has_column
        && call.operand(2).is_some_and(|v| call.shape(v).last() != to.last())
    {
        *part.0.last_mut()? = None;
    }
    let batch = to.len() - usize::from(has_row) - usize::from(has_column);
    let row = has_row.then(|| part.0[batch].clone()).flatten();
    let column = part.0.last().filter(|_| has_column).cloned().flatten();
    let outer = Part(part.0[..batch].to_vec());
    let needs = |i, v| {
        let shape = call.shape(v);
        match (i, shape.len()) {
            (_, rank) if i != 0 && i != second && second > 1 => Part::whole(rank),
            (_, rank) if (i == 0 || i == second) && rank < 2 => Part::whole(rank),
            (_, rank) if i == 0 || i == second => {
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

/// Sums of products of integers that are both computed.
pub(super) fn quantized_matmul(call: &Call<'_>, op: &QuantizedMatMul) -> Option<Step> {
    if op.given != Given::Sums || !op.stages.is_empty() {
        return None;
    }
    multiply(call, 3, false)
}

/// Sums of products of integers: rows of the data, columns of the weights and of what there is
/// for each of them. What is done to the sums is not part of such a product yet.
pub(super) fn quantized(call: &Call<'_>, op: &QuantizedLinear) -> Option<Step> {
    let mut part = call.want()?;
    if op.given != Given::Sums || !op.stages.is_empty() {
        return None;
    }
    let column = of_columns(call, part.0.last_mut()?);
    let mut rows = part.clone();
    *rows.0.last_mut()? = None;
    let weights = if op.transposed { [column.clone(), None] } else { [None, column.clone()] };
    let needs = |i, v| match i {
        0 => rows.clone(),
        3 => Part(weights.to_vec()),
        _ => for_each_column(call, i, v, &column),
    };
    Some(Step::of(call.node, call.node.op.clone(), needs, std::slice::from_ref(&part)))
}

/// The same of a convolution: columns are its channels.
pub(super) fn quantized_conv(call: &Call<'_>, op: &QuantizedConv) -> Option<Step> {
    if op.given != Given::Sums || !op.stages.is_empty() {
        return None;
    }
    let weights = call.operand(3)?;
    let mut part = call.want()?;
    let _ = of_columns(call, part.0.get_mut(1)?);
    let (part, of_data, window) = space::windows(call, part, weights, &op.window)?;
    let channel = part.0[1].clone();
    let op = QuantizedConv { window, ..op.clone() };
    let needs = |i, v| match i {
        0 => of_data.clone(),
        3 => space::rows(call, v, &channel),
        _ => for_each_column(call, i, v, &channel),
    };
    Some(Step::of(call.node, Op::QuantizedConv(op), needs, std::slice::from_ref(&part)))
}

/// Takes columns as they are wanted, all where what there is for each of them does not lie in a
/// row.
fn of_columns(call: &Call<'_>, wanted: &mut Option<Window>) -> Option<Window> {
    let in_a_row =
        |i| call.operand(i).is_none_or(|v| call.rank(v) == 1 || product(call.shape(v)).is(1));
    if !(in_a_row(4) && in_a_row(5)) {
        *wanted = None;
    }
    wanted.clone()
}

/// What is needed of scales or zero points, of the data or of the weights.
fn for_each_column(call: &Call<'_>, i: usize, v: ValueId, column: &Option<Window>) -> Part {
    let many = matches!(i, 4 | 5) && !product(call.shape(v)).is(1);
    match column {
        Some(_) if many => Part(vec![column.clone()]),
        _ => Part::whole(call.rank(v)),
    }
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
