//! Products of quantized values, as dequantized products or exact integer ones.

use crate::graph::dim::product;
use crate::graph::ops::{Binary, Given, QuantizedConv, QuantizedLinear, QuantizedMatMul};
use crate::graph::{Dim, Op, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};
use super::quantize::{to_float, to_integer};
use super::window::{convolution, convolution_of};

/// The operand in 32 bits without its zero point; one zero point, or one for each position of
/// `axis`.
pub(super) fn centred(
    call: &mut Call,
    x: ValueId,
    zero: Option<ValueId>,
    axis: usize,
) -> Imported<ValueId> {
    let dtype = call.dtype_of(x);
    if !matches!(dtype, DType::U8 | DType::I8) {
        return call.fail(format!("an operand is {dtype}, not u8 or i8"));
    }
    let x = call.cast(x, DType::I32)?;
    let Some(zero) = zero else { return Ok(x) };
    let (shape, rank) = (call.shape(zero), call.shape(x).len());
    let zero = if product(&shape).is(1) {
        call.reshape(zero, Vec::new())?
    } else if shape.len() == 1 {
        let mut wide = vec![Dim::Fixed(1); rank];
        match (wide.get_mut(axis), shape.first()) {
            (Some(slot), Some(n)) => *slot = n.clone(),
            _ => return call.fail(format!("zero points {} do not fit", call.show(&shape))),
        }
        call.reshape(zero, wide)?
    } else {
        zero
    };
    let zero = call.cast(zero, DType::I32)?;
    call.binary(Binary::Sub, x, zero)
}

pub(super) fn matmul_integer(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let zeros = [call.optional(2), call.optional(3)];
    if let Some(y) = sums(call, [a, b], zeros)? {
        return Ok(vec![y]);
    }
    let one = |v: Option<ValueId>| v.is_none_or(|v| product(&call.shape(v)).is(1));
    let eight = |v| matches!(call.dtype_of(v), DType::U8 | DType::I8) && call.shape(v).len() > 1;
    if eight(a) && eight(b) && zeros.into_iter().all(one) {
        let op = QuantizedMatMul { stages: Vec::new(), given: Given::Sums };
        let operands = [Some(a), None, zeros[0], Some(b), None, zeros[1]];
        return Ok(vec![call.first(Op::QuantizedMatMul(op), &operands)?]);
    }
    let (rows, cols) = (call.shape(a).len(), call.shape(b).len());
    let a = centred(call, a, call.optional(2), rows.saturating_sub(2))?;
    let b = centred(call, b, call.optional(3), cols.saturating_sub(1))?;
    Ok(vec![call.one(Op::MatMul, &[a, b])?])
}

pub(super) fn conv_integer(call: &mut Call) -> Imported {
    let (x, w) = (call.input(0)?, call.input(1)?);
    let zeros = [call.optional(2), call.optional(3)];
    let weights = call.shape(w);
    if weights.len() < 3 {
        return call.fail(format!("weights {} are no windows", call.show(&weights)));
    }
    let window = convolution_of(call, x, w)?;
    if takes_integers(call, [x, w], zeros, &weights[0]) {
        let fixed = |i: usize| weights[i].fixed().and_then(|n| usize::try_from(n).ok());
        let group = window.group.max(1);
        if let (Some(outputs), Some(channels)) = (fixed(0), fixed(1))
            && QuantizedConv::takes_groups(group, channels, outputs / group)
        {
            let op = QuantizedConv { window, stages: Vec::new(), given: Given::Sums };
            let operands = [Some(x), None, zeros[0], Some(w), None, zeros[1]];
            return Ok(vec![call.first(Op::QuantizedConv(op), &operands)?]);
        }
    }
    let x = centred(call, x, call.optional(2), 1)?;
    let w = centred(call, w, call.optional(3), 0)?;
    // Single precision holds the sums of few products exactly, double precision all of 32 bits.
    let taps = product(&call.shape(w)[1..]).fixed().unwrap_or(i64::MAX);
    let float = if taps <= (1 << 24) / (255 * 255) { DType::F32 } else { DType::F64 };
    let (x, w) = (call.cast(x, float)?, call.cast(w, float)?);
    let y = convolution(call, x, w, None)?;
    Ok(vec![call.cast(y, DType::I32)?])
}

/// The product of integers of eight bits with constant weights, which is one operator. `None`
/// for other products.
pub(super) fn sums(
    call: &mut Call,
    [a, b]: [ValueId; 2],
    [a_zero, b_zero]: [Option<ValueId>; 2],
) -> Imported<Option<ValueId>> {
    let (shape, weights) = (call.shape(a), call.shape(b));
    let [k, n] = &weights[..] else { return Ok(None) };
    let suits = shape.len() >= 2
        && shape.last() == Some(k)
        && takes_integers(call, [a, b], [a_zero, b_zero], n);
    if !suits {
        return Ok(None);
    }
    let op = QuantizedLinear { transposed: false, stages: Vec::new(), given: Given::Sums };
    let operands = [Some(a), None, a_zero, Some(b), None, b_zero];
    Ok(Some(call.first(Op::QuantizedLinear(op), &operands)?))
}

/// Whether operands suit an operator of integers of eight bits with constant weights, of which
/// there are `n` columns.
fn takes_integers(
    call: &Call,
    [a, b]: [ValueId; 2],
    [a_zero, b_zero]: [Option<ValueId>; 2],
    n: &Dim,
) -> bool {
    let eight = |v| matches!(call.dtype_of(v), DType::U8 | DType::I8);
    let one = |v: Option<ValueId>| v.is_none_or(|v| product(&call.shape(v)).is(1));
    let known = |v: ValueId| call.builder.constant(v).is_some();
    let row = b_zero.is_none_or(|v| call.shape(v) == [n.clone()] || one(Some(v)));
    eight(a) && eight(b) && one(a_zero) && row && known(b) && !known(a) && b_zero.is_none_or(known)
}

/// The three inputs from `i` on.
fn three(call: &Call, i: usize) -> Imported<[ValueId; 3]> {
    Ok([call.input(i)?, call.input(i + 1)?, call.input(i + 2)?])
}

pub(super) fn qlinear_matmul(call: &mut Call) -> Imported {
    let (a, b) = (three(call, 0)?, three(call, 3)?);
    let (rows, cols) = (call.shape(a[0]).len(), call.shape(b[0]).len());
    let a = to_float(call, a, rows.saturating_sub(2))?;
    let b = to_float(call, b, cols.saturating_sub(1))?;
    let y = call.one(Op::MatMul, &[a, b])?;
    let (scale, zero) = (call.input(6)?, call.input(7)?);
    let axis = call.shape(y).len().saturating_sub(2);
    Ok(vec![to_integer(call, [y, scale, zero], axis)?])
}

pub(super) fn qlinear_conv(call: &mut Call) -> Imported {
    let (x, w) = (three(call, 0)?, three(call, 3)?);
    let scales = [x[1], w[1]];
    let x = to_float(call, x, 0)?;
    let w = to_float(call, w, 0)?;
    let bias = match call.optional(8) {
        None => None,
        Some(bias) => {
            // Its scale is the product of the other two, its zero point zero.
            let [a, b] = scales;
            let a = call.reshape(a, Vec::new())?;
            let scale = call.binary(Binary::Mul, a, b)?;
            let bias = call.cast(bias, call.dtype_of(scale))?;
            Some(call.binary(Binary::Mul, bias, scale)?)
        }
    };
    let y = convolution(call, x, w, bias)?;
    let (scale, zero) = (call.input(6)?, call.input(7)?);
    Ok(vec![to_integer(call, [y, scale, zero], 1)?])
}
