//! Softmax and normalisation.

use crate::graph::dim::product;
use crate::graph::ops::{Activation, Binary, Conv, Pool, PoolKind, ReduceKind, Unary};
use crate::graph::{Dim, Op, ValueId};

use super::super::call::{Call, Imported};

pub(super) fn softmax(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let since = call.version >= 13;
    let axis = call.int_or("axis", if since { -1 } else { 1 })?;
    Ok(vec![softmax_over(call, x, axis)?])
}

/// Softmax, or its logarithm, as the node's operator set has it.
pub(super) fn softmax_over(call: &mut Call, x: ValueId, axis: i64) -> Imported<ValueId> {
    let (shape, since) = (call.shape(x), call.version >= 13);
    let axis = call.axis(axis, shape.len())?;
    let log = call.node.op == "LogSoftmax";
    let op = |axis| if log { Op::LogSoftmax { axis } } else { Op::Softmax { axis } };
    if since || axis + 1 == shape.len() {
        return call.one(op(axis), &[x]);
    }
    // Before operator set 13 all axes from this one on are one.
    let flat = vec![product(shape.iter().take(axis)), product(shape.iter().skip(axis))];
    let flat = call.reshape(x, flat)?;
    let y = call.one(op(1), &[flat])?;
    call.reshape(y, shape)
}

/// Single precision inside, which is what the data has.
fn check_stash_type(call: &Call) -> Imported<()> {
    match call.int_or("stash_type", 1)? {
        1 => Ok(()),
        other => call.refuse("stash_type", format!("is {other}, only 1 (float32) is supported")),
    }
}

fn epsilon(call: &Call) -> Imported<f32> {
    call.float_or("epsilon", 1e-5)
}

pub(super) fn layer_norm(call: &mut Call) -> Imported {
    let (x, scale, bias) = (call.input(0)?, call.input(1)?, call.optional(2));
    check_stash_type(call)?;
    let axis = call.int_or("axis", -1)?;
    let axis = call.axis(axis, call.shape(x).len())?;
    let op = Op::LayerNorm { axis, epsilon: epsilon(call)? };
    call.emit(op, &[Some(x), Some(scale), bias])
}

pub(super) fn rms_norm(call: &mut Call) -> Imported {
    let (x, scale) = (call.input(0)?, call.input(1)?);
    check_stash_type(call)?;
    let axis = call.int_or("axis", -1)?;
    let axis = call.axis(axis, call.shape(x).len())?;
    let op = Op::RmsNorm { axis, epsilon: epsilon(call)? };
    Ok(vec![call.one(op, &[x, scale])?])
}

pub(super) fn batch_norm(call: &mut Call) -> Imported {
    let operands: Imported = (0..5).map(|i| call.input(i)).collect();
    if !call.flag("spatial", true)? {
        return call.refuse("spatial", "is 0, which is not supported");
    }
    if call.flag("training_mode", false)? {
        return call.refuse("training_mode", "is 1; export the model for inference");
    }
    call.attributes.ignore("momentum");
    let op = Op::BatchNorm { epsilon: epsilon(call)? };
    Ok(vec![call.one(op, &operands?)?])
}

fn channels(call: &Call, x: ValueId) -> Imported<usize> {
    let shape = call.shape(x);
    match shape.get(1) {
        Some(dim) => call.size(dim, "the number of channels"),
        None => call.fail(format!("the data {} has no channels", call.show(&shape))),
    }
}

pub(super) fn instance_norm(call: &mut Call) -> Imported {
    let (x, scale, bias) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let groups = channels(call, x)?;
    let op = Op::GroupNorm { groups, epsilon: epsilon(call)? };
    Ok(vec![call.one(op, &[x, scale, bias])?])
}

pub(super) fn group_norm(call: &mut Call) -> Imported {
    let (x, mut scale, mut bias) = (call.input(0)?, call.input(1)?, call.input(2)?);
    check_stash_type(call)?;
    let groups = call.int("num_groups")?;
    let groups = call.required("num_groups", groups)?;
    let channels = channels(call, x)?;
    let each = usize::try_from(groups).ok().filter(|g| *g > 0 && channels % *g == 0);
    let Some(count) = each else {
        return call.refuse("num_groups", format!("is {groups}, the data has {channels} channels"));
    };
    if call.version < 21 {
        // One number for each group, not for each channel.
        for operand in [&mut scale, &mut bias] {
            let size = Dim::Fixed((channels / count) as i64);
            let column = call.reshape(*operand, vec![Dim::Fixed(groups), Dim::Fixed(1)])?;
            let wide = call.expand(column, vec![Dim::Fixed(groups), size])?;
            *operand = call.reshape(wide, vec![Dim::Fixed(channels as i64)])?;
        }
    }
    let op = Op::GroupNorm { groups: count, epsilon: epsilon(call)? };
    Ok(vec![call.one(op, &[x, scale, bias])?])
}

/// `x / norm`, zero where the norm is.
pub(super) fn lp_norm(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let axis = call.int_or("axis", -1)?;
    let axis = call.axis(axis, call.shape(x).len())?;
    let kind = match call.int_or("p", 2)? {
        1 => ReduceKind::L1,
        2 => ReduceKind::L2,
        other => return call.refuse("p", format!("is {other}, not 1 or 2")),
    };
    let norm = call.reduce(kind, x, vec![axis])?;
    Ok(vec![divided(call, x, norm)?])
}

/// `x / by`, zero where `by` is zero.
pub(super) fn divided(call: &mut Call, x: ValueId, by: ValueId) -> Imported<ValueId> {
    let (zero, one) = (call.scalar(call.dtype_of(x), 0.0), call.scalar(call.dtype_of(x), 1.0));
    let is_zero = call.compare(crate::graph::ops::Compare::Equal, by, zero)?;
    let safe = call.one(Op::Where, &[is_zero, one, by])?;
    let ratio = call.binary(Binary::Div, x, safe)?;
    call.one(Op::Where, &[is_zero, zero, ratio])
}

/// `(x - mean) / (deviation + 1e-9)`.
pub(super) fn mean_variance(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    if call.version < 9 {
        return call.fail("before operator set 9 it is an experiment that is not supported");
    }
    let axes = call.ints("axes")?.unwrap_or(&[0, 2, 3]);
    let axes = call.axes(axes, call.shape(x).len())?;
    let mean = call.reduce(ReduceKind::Mean, x, axes.clone())?;
    let centred = call.binary(Binary::Sub, x, mean)?;
    let squares = call.binary(Binary::Mul, centred, centred)?;
    let variance = call.reduce(ReduceKind::Mean, squares, axes)?;
    let deviation = call.unary(Unary::Sqrt, variance)?;
    let deviation = call.with(Binary::Add, deviation, 1e-9)?;
    Ok(vec![call.binary(Binary::Div, centred, deviation)?])
}

/// `x / (bias + alpha / size * (squares of neighbouring channels))^beta`.
pub(super) fn local_response(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let (alpha, beta) = (call.float_or("alpha", 1e-4)?, call.float_or("beta", 0.75)?);
    let bias = call.float_or("bias", 1.0)?;
    let size = call.int("size")?;
    let size = call.required("size", size)?;
    let shape = call.shape(x);
    let (Some(rows), Some(channels)) = (shape.first(), shape.get(1)) else {
        return call.fail("the data has no channels");
    };
    if !(1..=1 << 16).contains(&size) {
        return call.refuse("size", format!("is {size}"));
    }
    let image = vec![rows.clone(), Dim::Fixed(1), channels.clone(), product(shape.iter().skip(2))];
    let squares = call.binary(Binary::Mul, x, x)?;
    let squares = call.reshape(squares, image)?;
    let reach = (size - 1) as usize;
    let window = Conv {
        kernel: vec![size as usize, 1],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        pads_before: vec![reach / 2, 0],
        pads_after: vec![reach - reach / 2, 0],
        group: 1,
        activation: Activation::None,
    };
    let kind = PoolKind::Average { count_include_pad: true };
    let mean = call.one(Op::Pool(Pool { kind, window, ceil_mode: false }), &[squares])?;
    let mean = call.reshape(mean, shape)?;
    let scaled = call.with(Binary::Mul, mean, f64::from(alpha))?;
    let total = call.with(Binary::Add, scaled, f64::from(bias))?;
    let power = call.with(Binary::Pow, total, f64::from(beta))?;
    Ok(vec![call.binary(Binary::Div, x, power)?])
}
