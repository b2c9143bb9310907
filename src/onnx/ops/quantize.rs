//! Quantization of values.

use crate::graph::dim::product;
use crate::graph::ops::{Binary, Quantization, ReduceKind, Unary};
use crate::graph::{Dim, Op, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

/// Data, scale and zero point in the form of the graph's operators.
struct Operands {
    scale: ValueId,
    zero_point: Option<ValueId>,
    axis: usize,
    block: usize,
}

fn operands(call: &mut Call, x: ValueId) -> Imported<Operands> {
    let (mut scale, mut zero_point) = (call.input(1)?, call.optional(2));
    let (shape, scales) = (call.shape(x), call.shape(scale));
    let single = product(&scales).is(1);
    let block = if call.version >= 21 { call.int_or("block_size", 0)? } else { 0 };
    let Ok(block) = usize::try_from(block) else {
        return call.refuse("block_size", format!("is {block}"));
    };
    let axis = if call.version >= 13 { call.int_or("axis", 1)? } else { 1 };
    let axis = if single && block == 0 { 0 } else { call.axis(axis, shape.len())? };
    if single {
        scale = call.reshape(scale, Vec::new())?;
        if let Some(zero) = zero_point {
            zero_point = Some(call.reshape(zero, Vec::new())?);
        }
    } else if block > 0 {
        let fits = scales.len() == shape.len()
            && scales.iter().zip(&shape).enumerate().all(|(i, (s, n))| i == axis || s == n);
        if !fits {
            let (scales, shape) = (call.show(&scales), call.show(&shape));
            return call.fail(format!("block scales {scales} do not fit {shape}"));
        }
    }
    Ok(Operands { scale, zero_point, axis, block: if single { 0 } else { block } })
}

fn check_integer(call: &Call, dtype: DType) -> Imported<()> {
    match dtype {
        DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::I32 => Ok(()),
        other => call.fail(format!("values of {other} are not quantized ones")),
    }
}

/// The attribute that names a type; zero names none.
fn stated(call: &Call, name: &str) -> Imported<Option<DType>> {
    if call.int(name)? == Some(0) { Ok(None) } else { call.dtype(name) }
}

pub(super) fn quantize(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let Operands { scale, zero_point, axis, block } = operands(call, x)?;
    // It matters only for floats of eight bits.
    call.attributes.ignore("saturate");
    let named = stated(call, "output_dtype")?;
    let given = zero_point.map(|z| call.dtype_of(z));
    let integer = match (named, given) {
        (Some(a), Some(b)) if a != b => {
            return call.refuse("output_dtype", format!("is {a}, the zero point {b}"));
        }
        (a, b) => a.or(b).unwrap_or(DType::U8),
    };
    check_integer(call, integer)?;
    let float = call.dtype_of(scale);
    if let Some(precision) = stated(call, "precision")?
        && precision != float
    {
        return call.refuse("precision", format!("is {precision}, the scale {float}"));
    }
    let x = call.cast(x, float)?;
    let op = Op::QuantizeLinear(Quantization { axis, block, integer });
    Ok(vec![call.first(op, &[Some(x), Some(scale), zero_point])?])
}

pub(super) fn dequantize(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let Operands { scale, zero_point, axis, block } = operands(call, x)?;
    let integer = call.dtype_of(x);
    check_integer(call, integer)?;
    let named = stated(call, "output_dtype")?;
    let op = Op::DequantizeLinear(Quantization { axis, block, integer });
    let y = call.first(op, &[Some(x), Some(scale), zero_point])?;
    let dtype = named.unwrap_or(call.dtype_of(y));
    Ok(vec![call.cast(y, dtype)?])
}

pub(super) fn dynamic(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    Ok(dynamic_range(call, x)?.to_vec())
}

/// Data quantized by its own range, with the scale and the zero point, as the specification
/// computes them.
pub(super) fn dynamic_range(call: &mut Call, x: ValueId) -> Imported<[ValueId; 3]> {
    let rank = call.shape(x).len();
    if call.dtype_of(x) != DType::F32 {
        return call.fail(format!("the data is {}, not f32", call.dtype_of(x)));
    }
    let mut extreme = |kind, op| -> Imported<ValueId> {
        let all = call.reduce(kind, x, (0..rank).collect())?;
        let all = call.reshape(all, Vec::new())?;
        call.with(op, all, 0.0)
    };
    let low = extreme(ReduceKind::Min, Binary::Min)?;
    let high = extreme(ReduceKind::Max, Binary::Max)?;
    let range = call.binary(Binary::Sub, high, low)?;
    let scale = call.with(Binary::Div, range, 255.0)?;
    let zero = super::normalize::divided(call, low, scale)?;
    let zero = call.unary(Unary::Neg, zero)?;
    let zero = call.unary(Unary::Clip { min: 0.0, max: 255.0 }, zero)?;
    let zero = call.unary(Unary::Round, zero)?;
    let zero = call.cast(zero, DType::U8)?;
    let op = Op::QuantizeLinear(Quantization { axis: 0, block: 0, integer: DType::U8 });
    let y = call.one(op, &[x, scale, zero])?;
    Ok([y, scale, zero])
}

/// A quantized operand as floats; one scale, or one for each position of `axis`.
pub(super) fn to_float(
    call: &mut Call,
    [x, scale, zero]: [ValueId; 3],
    axis: usize,
) -> Imported<ValueId> {
    let (scale, zero) = aligned(call, scale, zero)?;
    let integer = call.dtype_of(x);
    check_integer(call, integer)?;
    call.one(Op::DequantizeLinear(Quantization { axis, block: 0, integer }), &[x, scale, zero])
}

/// Floats as quantized values.
pub(super) fn to_integer(
    call: &mut Call,
    [y, scale, zero]: [ValueId; 3],
    axis: usize,
) -> Imported<ValueId> {
    let (scale, zero) = aligned(call, scale, zero)?;
    let integer = call.dtype_of(zero);
    check_integer(call, integer)?;
    call.one(Op::QuantizeLinear(Quantization { axis, block: 0, integer }), &[y, scale, zero])
}

/// Scale and zero point of one shape: scalars, or vectors.
fn aligned(call: &mut Call, scale: ValueId, zero: ValueId) -> Imported<(ValueId, ValueId)> {
    let shape = call.shape(scale);
    let wanted = if product(&shape).is(1) { Vec::new() } else { vec![product(&shape)] };
    let scale = call.reshape(scale, wanted.clone())?;
    let zeros = call.shape(zero);
    let zero = if product(&zeros).is(1) && !wanted.is_empty() {
        let zero = call.reshape(zero, vec![Dim::Fixed(1)])?;
        call.expand(zero, wanted)?
    } else {
        call.reshape(zero, wanted)?
    };
    Ok((scale, zero))
}
