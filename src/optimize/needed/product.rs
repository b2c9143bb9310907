//! Matrix products: rows of the left operand, columns of the right one. Constant weights are cut
//! when the model is loaded.

use super::part::Part;
use super::pointwise::aligned;
use super::rules::{Call, Step};

/// `MatMul` and `Linear`: operands broadcast over the leading axes, vectors have no row or no
/// column; behind them a bias of one row, and what is broadcast to the result.
pub(super) fn matmul(call: &Call<'_>) -> Option<Step> {
    let (part, to) = (call.want()?, call.result_shape()?);
    let (left, right) = (call.rank(call.operand(0)?), call.rank(call.operand(1)?));
    let (has_row, has_column) = (left > 1, right > 1);
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
                let matrix = if i == 0 { [row.clone(), None] } else { [None, column.clone()] };
                needs.0.extend(matrix);
                needs
            }
            _ => aligned(&part, to, shape),
        }
    };
    Some(Step::of(call.node, call.node.op.clone(), needs, &[part.clone()]))
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
    Some(Step::of(call.node, call.node.op.clone(), needs, &[part.clone()]))
}
