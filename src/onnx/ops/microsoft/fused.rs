//! Activations with the bias before them, and other small fusions.

use crate::graph::ops::{Binary, Unary};
use crate::graph::{Dim, Op, Tensor, ValueId};

use super::super::super::call::{Call, Imported};
use super::super::constant;
use super::LIKE_VERSION;

/// The sum of an operand and its bias, where it has one.
fn biased(call: &mut Call, bias: usize) -> Imported<ValueId> {
    let x = call.input(0)?;
    match call.optional(bias) {
        Some(bias) => call.binary(Binary::Add, x, bias),
        None => Ok(x),
    }
}

/// Gelu and BiasGelu.
pub(in super::super) fn gelu(call: &mut Call) -> Imported {
    let x = biased(call, 1)?;
    Ok(vec![call.unary(Unary::Gelu, x)?])
}

pub(in super::super) fn fast_gelu(call: &mut Call) -> Imported {
    let x = biased(call, 1)?;
    Ok(vec![call.unary(Unary::GeluTanh, x)?])
}

/// `x * sigmoid(alpha * x)`.
pub(in super::super) fn quick_gelu(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let alpha = call.float_or("alpha", 1.702)?;
    if alpha == 1.0 {
        return Ok(vec![call.unary(Unary::Silu, x)?]);
    }
    Ok(vec![call.unary(Unary::Swish { alpha }, x)?])
}

/// The left half of `x + bias` times Gelu of the right half.
pub(in super::super) fn bias_split_gelu(call: &mut Call) -> Imported {
    let x = biased(call, 1)?;
    let shape = call.shape(x);
    let (axis, half) = match shape.split_last() {
        Some((last, outer)) => (outer.len(), last.exact_div(&Dim::Fixed(2))),
        None => (0, None),
    };
    let Some(half) = half else { return call.fail("the last axis has no two halves") };
    let left = call.slice(x, axis, Dim::Fixed(0), half.clone())?;
    let right = call.slice(x, axis, half.clone(), half)?;
    let right = call.unary(Unary::Gelu, right)?;
    Ok(vec![call.binary(Binary::Mul, left, right)?])
}

pub(in super::super) fn bias_add(call: &mut Call) -> Imported {
    let (x, skip) = (biased(call, 1)?, call.input(2)?);
    Ok(vec![call.binary(Binary::Add, x, skip)?])
}

/// `x + bias + residual`: nothing is dropped when a model is served.
pub(in super::super) fn bias_dropout(call: &mut Call) -> Imported {
    let mut y = biased(call, 1)?;
    if let Some(residual) = call.optional(2) {
        y = call.binary(Binary::Add, y, residual)?;
    }
    call.attributes.ignore("seed");
    if call.optional(4).is_some()
        && call.known_numbers(4)?.unwrap_or_default().iter().any(|flag| *flag != 0)
    {
        return call.fail("training mode is not supported; export the model for inference");
    }
    let mut results = vec![y];
    if call.wants(1) {
        let kept = call.constant(Tensor::from_bytes(crate::tensor::DType::Bool, &[], &[1]));
        let shape = call.shape(y);
        results.push(call.one(Op::Fill { shape }, &[kept])?);
    }
    Ok(results)
}

pub(in super::super) fn expand_dims(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let axis = call.known_scalar(1)?;
    let axis = call.fixed(&axis, "the axis")?;
    let axis = call.axis(axis, call.shape(x).len() + 1)?;
    Ok(vec![call.unsqueeze(x, &[axis])?])
}

/// As the standard operator, with a step of one where none is given.
pub(in super::super) fn range(call: &mut Call) -> Imported {
    call.version = LIKE_VERSION;
    if call.optional(2).is_none() {
        let one = call.scalar(call.dtype_of(call.input(0)?), 1.0);
        call.inputs.resize(2, None);
        call.inputs.push(Some(one));
    }
    constant::range(call)
}
