//! Normalization of sums, and of embeddings.

use crate::graph::ops::{Binary, Compare, ReduceKind};
use crate::graph::{Op, ValueId};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};

fn epsilon(call: &Call) -> Imported<f32> {
    call.float_or("epsilon", 1e-12)
}

/// Results two and three are for training; the sum is the fourth.
fn normalized(call: &Call, y: ValueId, sum: ValueId) -> Imported {
    if call.wants(1) || call.wants(2) {
        return call.fail("mean and deviation are outputs of training; export for inference");
    }
    Ok(vec![y, y, y, sum])
}

/// The data, what is skipped, and a bias.
fn sum(call: &mut Call, bias: usize) -> Imported<ValueId> {
    let (x, skip) = (call.input(0)?, call.input(1)?);
    let shape = call.shape(x);
    let mut sum = call.binary(Binary::Add, x, skip)?;
    if let Some(bias) = call.optional(bias) {
        sum = call.binary(Binary::Add, sum, bias)?;
    }
    if shape.is_empty() || call.shape(sum) != shape {
        return call
            .fail(format!("the sum {} is not of the data's shape", call.show(&call.shape(sum))));
    }
    Ok(sum)
}

pub(in super::super) fn skip_layer_norm(call: &mut Call) -> Imported {
    let (scale, bias) = (call.input(2)?, call.optional(3));
    let sum = sum(call, 4)?;
    let axis = call.shape(sum).len() - 1;
    let op = Op::LayerNorm { axis, epsilon: epsilon(call)? };
    let y = call.first(op, &[Some(sum), Some(scale), bias])?;
    normalized(call, y, sum)
}

pub(in super::super) fn skip_rms_norm(call: &mut Call) -> Imported {
    let scale = call.input(2)?;
    let sum = sum(call, 3)?;
    let axis = call.shape(sum).len() - 1;
    let op = Op::RmsNorm { axis, epsilon: epsilon(call)? };
    let y = call.one(op, &[sum, scale])?;
    normalized(call, y, sum)
}

/// Words, positions and segments, added and normalized; the length of each row of the mask; the
/// sum itself.
pub(in super::super) fn embed_layer_norm(call: &mut Call) -> Imported {
    let (ids, words, positions) = (call.input(0)?, call.input(2)?, call.input(3)?);
    let (scale, bias) = (call.input(5)?, call.input(6)?);
    // It describes what the outputs show anyway.
    call.attributes.ignore("mask_index_type");
    let shape = call.shape(ids);
    let [rows, len] = &shape[..] else {
        return call.fail(format!("the words {} are no matrix", call.show(&shape)));
    };
    let gather = Op::Gather { axis: 0 };
    let mut sum = call.one(gather.clone(), &[words, ids])?;
    let at = match call.optional(8) {
        Some(ids) => ids,
        None => call.range(0, len.clone())?,
    };
    let place = call.one(gather.clone(), &[positions, at])?;
    sum = call.binary(Binary::Add, sum, place)?;
    match (call.optional(1), call.optional(4)) {
        (Some(ids), Some(segments)) => {
            let segment = call.one(gather, &[segments, ids])?;
            sum = call.binary(Binary::Add, sum, segment)?;
        }
        (None, None) => {}
        _ => return call.fail("segments and their embedding belong together"),
    }
    let op = Op::LayerNorm { axis: 2, epsilon: epsilon(call)? };
    let y = call.first(op, &[Some(sum), Some(scale), Some(bias)])?;
    let lengths = match call.optional(7) {
        Some(mask) => {
            let one = call.scalar(call.dtype_of(mask), 1.0);
            let seen = call.compare(Compare::Equal, mask, one)?;
            let seen = call.cast(seen, DType::I32)?;
            let total = call.reduce(ReduceKind::Sum, seen, vec![1])?;
            call.reshape(total, vec![rows.clone()])?
        }
        None => {
            let zero = call.scalar(DType::I32, 0.0);
            call.one(Op::Fill { shape: vec![rows.clone()] }, &[zero])?
        }
    };
    Ok(vec![y, lengths, sum])
}
