//! Operators on quantized values: dequantized, computed in f32, quantized again.

use crate::graph::dim::product;
use crate::graph::ops::{Binary, Gemm, PoolKind, Reduce, ReduceKind, Unary};
use crate::graph::{Dim, Op, ValueId};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};
use super::super::quantize::{dynamic_range, to_float, to_integer};
use super::super::{integer, normalize, recurrent, window};
use super::LIKE_VERSION;

/// A zero point, which is zero where none is given, of the scale's shape.
fn zero_point(
    call: &mut Call,
    given: Option<ValueId>,
    scale: ValueId,
    dtype: DType,
) -> Imported<ValueId> {
    if let Some(zero) = given {
        return Ok(zero);
    }
    let zero = call.scalar(dtype, 0.0);
    let shape = call.shape(scale);
    if shape.is_empty() { Ok(zero) } else { call.one(Op::Fill { shape }, &[zero]) }
}

/// A quantized operand as floats; one scale, or one for each position of `axis`.
pub(super) fn dequantized(
    call: &mut Call,
    x: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
    axis: usize,
) -> Imported<ValueId> {
    let zero = zero_point(call, zero, scale, call.dtype_of(x))?;
    to_float(call, [x, scale, zero], axis)
}

/// The operand whose value, scale and zero point are the inputs from `i` on.
fn operand(call: &mut Call, i: usize) -> Imported<ValueId> {
    let (x, scale) = (call.input(i)?, call.input(i + 1)?);
    dequantized(call, x, scale, call.optional(i + 2), 0)
}

/// `y` quantized by the scale at input `i` and the zero point behind it.
fn result(call: &mut Call, y: ValueId, i: usize) -> Imported {
    let scale = call.input(i)?;
    let dtype = call.dtype_of(call.input(0)?);
    let zero = zero_point(call, call.optional(i + 1), scale, dtype)?;
    Ok(vec![to_integer(call, [y, scale, zero], 0)?])
}

pub(in super::super) fn arithmetic(call: &mut Call) -> Imported {
    let (a, b) = (operand(call, 0)?, operand(call, 3)?);
    let op = if call.node.op == "QLinearAdd" { Binary::Add } else { Binary::Mul };
    let y = call.binary(op, a, b)?;
    result(call, y, 6)
}

pub(in super::super) fn activation(call: &mut Call) -> Imported {
    let x = operand(call, 0)?;
    let op = match call.node.op.as_str() {
        "QLinearSigmoid" => Unary::Sigmoid,
        _ => Unary::LeakyRelu { alpha: call.float_or("alpha", 0.01)? },
    };
    let y = call.unary(op, x)?;
    result(call, y, 3)
}

pub(in super::super) fn softmax(call: &mut Call) -> Imported {
    let x = operand(call, 0)?;
    let opset = call.int("opset")?;
    call.version = call.required("opset", opset)?;
    let axis = call.int_or("axis", -1)?;
    let y = normalize::softmax_over(call, x, axis)?;
    result(call, y, 3)
}

pub(in super::super) fn concat(call: &mut Call) -> Imported {
    let count = call.inputs.len().saturating_sub(2);
    if count == 0 || !count.is_multiple_of(3) {
        return call.fail(format!("{count} inputs are not triples"));
    }
    let parts: Imported = (0..count / 3).map(|i| operand(call, 2 + 3 * i)).collect();
    let parts = parts?;
    let rank = parts.first().map_or(0, |x| call.shape(*x).len());
    let axis = call.int("axis")?;
    let axis = call.required("axis", axis)?;
    let axis = call.axis(axis, rank)?;
    let y = call.concat(&parts, axis)?;
    let (scale, zero) = (call.input(0)?, call.input(1)?);
    Ok(vec![to_integer(call, [y, scale, zero], 0)?])
}

/// Axes with the channels second, as the standard operators have them, or last again.
fn channels(call: &mut Call, x: ValueId, second: bool) -> Imported<ValueId> {
    if !call.flag("channels_last", false)? {
        return Ok(x);
    }
    let rank = call.shape(x).len();
    if rank < 2 {
        return call.fail("the data has no channels");
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    if second {
        perm[1..].rotate_right(1);
    } else {
        perm[1..].rotate_left(1);
    }
    call.transpose(x, perm)
}

pub(in super::super) fn average_pool(call: &mut Call) -> Imported {
    let x = operand(call, 0)?;
    let x = channels(call, x, true)?;
    let kind = PoolKind::Average { count_include_pad: call.flag("count_include_pad", false)? };
    let y = window::pooled(call, x, kind)?;
    let y = channels(call, y, false)?;
    result(call, y, 3)
}

pub(in super::super) fn global_average_pool(call: &mut Call) -> Imported {
    let x = operand(call, 0)?;
    let x = channels(call, x, true)?;
    let axes = (2..call.shape(x).len()).collect();
    let y = call.reduce(ReduceKind::Mean, x, axes)?;
    let y = channels(call, y, false)?;
    result(call, y, 3)
}

pub(in super::super) fn reduce_mean(call: &mut Call) -> Imported {
    let x = operand(call, 0)?;
    let rank = call.shape(x).len();
    let axes = match call.ints("axes")? {
        Some(axes) if !axes.is_empty() => call.axes(axes, rank)?,
        _ => (0..rank).collect(),
    };
    let keep_dims = call.flag("keepdims", true)?;
    let op = Reduce { kind: ReduceKind::Mean, axes, keep_dims };
    let y = call.one(Op::Reduce(op), &[x])?;
    result(call, y, 3)
}

pub(in super::super) fn select(call: &mut Call) -> Imported {
    let condition = call.input(0)?;
    let (a, b) = (operand(call, 1)?, operand(call, 4)?);
    let y = call.one(Op::Where, &[condition, a, b])?;
    let (scale, zero) = (call.input(7)?, call.input(8)?);
    Ok(vec![to_integer(call, [y, scale, zero], 0)?])
}

/// The standard operator, over data with the channels last where `channels_last` says so.
pub(in super::super) fn conv(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let turned = channels(call, x, true)?;
    if let Some(slot) = call.inputs.first_mut() {
        *slot = Some(turned);
    }
    let y = integer::qlinear_conv(call)?;
    y.into_iter().map(|y| channels(call, y, false)).collect()
}

pub(in super::super) fn gemm(call: &mut Call) -> Imported {
    let (a, b) = (operand(call, 0)?, {
        let trans_b = call.int_or("transB", 0)? != 0;
        let (b, scale) = (call.input(3)?, call.input(4)?);
        dequantized(call, b, scale, call.optional(5), usize::from(!trans_b))?
    });
    let truth = |name: &str| Ok(call.int_or(name, 0)? != 0);
    let alpha = call.float_or("alpha", 1.0)?;
    let op = Gemm { alpha, beta: alpha, trans_a: truth("transA")?, trans_b: truth("transB")? };
    let c = match call.optional(6) {
        None => None,
        Some(c) => {
            // It counts in steps of the product.
            let (a, b) = (call.input(1)?, call.input(4)?);
            let (a, b) = (call.reshape(a, Vec::new())?, vector(call, b)?);
            let step = call.binary(Binary::Mul, a, b)?;
            let c = call.cast(c, call.dtype_of(step))?;
            Some(call.binary(Binary::Mul, c, step)?)
        }
    };
    let y = call.first(Op::Gemm(op), &[Some(a), Some(b), c])?;
    if call.optional(7).is_none() {
        return Ok(vec![y]);
    }
    result(call, y, 7)
}

/// One number as a scalar, several as a vector.
fn vector(call: &mut Call, x: ValueId) -> Imported<ValueId> {
    let count = product(&call.shape(x));
    let shape = if count.is(1) { Vec::new() } else { vec![count] };
    call.reshape(x, shape)
}

/// The exact product of two operands without their zero points.
pub(in super::super) fn mul_integer(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(2)?);
    let a = integer::centred(call, a, call.optional(1), 0)?;
    let b = integer::centred(call, b, call.optional(3), 0)?;
    Ok(vec![call.binary(Binary::Mul, a, b)?])
}

/// The exact product of integers, times both scales, plus a bias.
fn scaled_product(
    call: &mut Call,
    [a, a_scale]: [ValueId; 2],
    a_zero: Option<ValueId>,
    b_zero: Option<ValueId>,
    bias: Option<ValueId>,
    (b, b_scale): (ValueId, ValueId),
) -> Imported {
    let (rows, cols) = (call.shape(a).len(), call.shape(b).len());
    let a_scale = vector(call, a_scale)?;
    let b_scale = vector(call, b_scale)?;
    if !call.shape(a_scale).is_empty() {
        return call.fail("more than one scale for the first operand is not supported");
    }
    let y = match integer::sums(call, [a, b], [a_zero, b_zero])? {
        Some(y) => y,
        None => {
            let a = integer::centred(call, a, a_zero, rows.saturating_sub(2))?;
            let b = integer::centred(call, b, b_zero, cols.saturating_sub(1))?;
            call.one(Op::MatMul, &[a, b])?
        }
    };
    let scale = call.binary(Binary::Mul, a_scale, b_scale)?;
    let y = call.cast(y, call.dtype_of(scale))?;
    let mut y = call.binary(Binary::Mul, y, scale)?;
    if let Some(bias) = bias {
        y = call.binary(Binary::Add, y, bias)?;
    }
    Ok(vec![y])
}

pub(in super::super) fn matmul_to_float(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let (a_scale, b_scale) = (call.input(2)?, call.input(3)?);
    let (a_zero, b_zero, bias) = (call.optional(4), call.optional(5), call.optional(6));
    scaled_product(call, [a, a_scale], a_zero, b_zero, bias, (b, b_scale))
}

pub(in super::super) fn dynamic_matmul(call: &mut Call) -> Imported {
    let (x, b, b_scale) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let (b_zero, bias) = (call.optional(3), call.optional(4));
    let [a, a_scale, a_zero] = dynamic_range(call, x)?;
    scaled_product(call, [a, a_scale], Some(a_zero), b_zero, bias, (b, b_scale))
}

/// An LSTM with weights of eight bits, and data that is rounded to eight bits of its range: the
/// sequence once, the state in every step. Weights that are not constant are rounded, not integers.
pub(in super::super) fn lstm(call: &mut Call) -> Imported {
    let constant = [1, 2, 8, 9, 10, 11]
        .into_iter()
        .all(|i| call.input(i).is_ok_and(|v| call.builder.constant(v).is_some()));
    if constant {
        let x = call.input(0)?;
        let [x, scale, zero] = dynamic_range(call, x)?;
        let given = call.inputs[8..12].to_vec();
        call.inputs.truncate(8);
        call.inputs[0] = Some(x);
        call.version = LIKE_VERSION;
        return recurrent::quantized_lstm(call, &[&[Some(scale), Some(zero)], &given[..]].concat());
    }
    let mut turned = Vec::new();
    for (weights, scale) in [(1, 8), (2, 10)] {
        let (x, zero) = (call.input(weights)?, call.input(scale + 1)?);
        let scale = call.input(scale)?;
        let mut grid = call.shape(scale);
        let [directions, ..] = &grid[..] else { return call.fail("a scale is no vector") };
        let directions = directions.clone();
        if grid.len() == 1 {
            grid.push(Dim::Fixed(1));
        }
        // `[directions, 1, gates]`: a scale for each column, or for all of them.
        grid.insert(1, Dim::Fixed(1));
        let (scale, zero) = (call.reshape(scale, grid.clone())?, call.reshape(zero, grid)?);
        let x = call.cast(x, DType::I32)?;
        let zero = call.cast(zero, DType::I32)?;
        let x = call.binary(Binary::Sub, x, zero)?;
        let x = call.cast(x, call.dtype_of(scale))?;
        let x = call.binary(Binary::Mul, x, scale)?;
        if call.shape(x).first() != Some(&directions) {
            return call.fail("weights and scales differ in directions");
        }
        turned.push(call.transpose(x, vec![0, 2, 1])?);
    }
    for (i, weights) in turned.into_iter().enumerate() {
        call.inputs[i + 1] = Some(weights);
    }
    call.inputs.truncate(8);
    call.version = LIKE_VERSION;
    let x = call.input(0)?;
    let rounded = dynamic_range(call, x)?;
    call.inputs[0] = Some(to_float(call, rounded, 0)?);
    recurrent::rounded_lstm(call)
}
