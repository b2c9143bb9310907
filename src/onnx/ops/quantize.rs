//! Quantization of values.

use crate::graph::dim::product;
use crate::graph::ops::{Binary, Quantization, Unary};
use crate::graph::{Dim, Op, ValueId};
use crate::tensor::{DType, Rounding};

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

/// The integer type that values of a quantized type are computed in: itself, or one with room for
/// it; `None` for a float.
fn integer_of(call: &Call, dtype: DType) -> Imported<Option<DType>> {
    Ok(Some(match dtype {
        DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::I32 => dtype,
        DType::U4 | DType::U2 => DType::U8,
        DType::I4 | DType::I2 => DType::I8,
        _ if dtype.is_small() && !dtype.is_half() && dtype != DType::F8E8M0 => return Ok(None),
        other => return call.fail(format!("values of {other} are not quantized ones")),
    }))
}

/// Smallest and largest integer of fewer than eight bits.
fn limits(dtype: DType) -> Option<(f64, f64)> {
    Some(match dtype {
        DType::U4 => (0.0, 15.0),
        DType::I4 => (-8.0, 7.0),
        DType::U2 => (0.0, 3.0),
        DType::I2 => (-2.0, 1.0),
        _ => return None,
    })
}

/// The attribute that names a type; zero names none.
fn stated(call: &Call, name: &str) -> Imported<Option<DType>> {
    if call.int(name)? == Some(0) { Ok(None) } else { call.dtype(name) }
}

/// A float as one that is computed in.
fn computed(call: &mut Call, x: ValueId) -> Imported<ValueId> {
    let dtype = call.dtype_of(x);
    if dtype.is_half() {
        let wide = call.builder.widened(&call.label, x);
        return wide.map_err(|problem| call.problem(problem));
    }
    if dtype.is_small() { call.cast(x, DType::F32) } else { Ok(x) }
}

/// Scales or zero points with one element for each of `shape`, or one for all.
fn spread(
    call: &mut Call,
    x: ValueId,
    shape: &[Dim],
    &Quantization { axis, block, .. }: &Quantization,
) -> Imported<ValueId> {
    let mut given = call.shape(x);
    let Some(dim) = shape.get(axis).filter(|_| !product(&given).is(1)) else {
        return call.reshape(x, Vec::new());
    };
    if block == 0 {
        let mut wide = vec![Dim::Fixed(1); shape.len()];
        if let Some(slot) = wide.get_mut(axis) {
            *slot = dim.clone();
        }
        return call.reshape(x, wide);
    }
    let Some(blocks) = given.get(axis).cloned() else {
        return call.fail(format!("block scales {} have no axis {axis}", call.show(&given)));
    };
    let apart = call.unsqueeze(x, &[axis + 1])?;
    given.insert(axis + 1, Dim::Fixed(block as i64));
    let repeated = call.expand(apart, given.clone())?;
    given.remove(axis + 1);
    if let Some(slot) = given.get_mut(axis) {
        *slot = blocks * Dim::Fixed(block as i64);
    }
    let joined = call.reshape(repeated, given)?;
    call.slice(joined, axis, Dim::Fixed(0), dim.clone())
}

/// `x / scale + zero` as quantized values of the type in `op`. Halves are divided in f32, as ONNX
/// Runtime divides them.
fn quantized(
    call: &mut Call,
    [x, scale]: [ValueId; 2],
    zero: Option<ValueId>,
    op: Quantization,
    saturate: bool,
) -> Imported<ValueId> {
    let scale = computed(call, scale)?;
    let (x, float) = (computed(call, x)?, call.dtype_of(scale));
    let x = call.cast(x, float)?;
    if let Some(integer) = integer_of(call, op.integer)? {
        let zero = zero.map(|zero| call.cast(zero, integer)).transpose()?;
        let inner = Op::QuantizeLinear(Quantization { integer, ..op });
        let y = call.first(inner, &[Some(x), Some(scale), zero])?;
        let Some((min, max)) = limits(op.integer) else { return Ok(y) };
        let y = call.unary(Unary::Clip { min, max }, y)?;
        return call.cast(y, op.integer);
    }
    let shape = call.shape(x);
    let scale = spread(call, scale, &shape, &op)?;
    let mut y = call.binary(Binary::Div, x, scale)?;
    if let Some(zero) = zero {
        let zero = call.cast(zero, float)?;
        let zero = spread(call, zero, &shape, &op)?;
        y = call.binary(Binary::Add, y, zero)?;
    }
    let rounding = Rounding { saturate, ..Rounding::default() };
    call.one(Op::RoundingCast { to: op.integer, rounding }, &[y])
}

/// `(x - zero) * scale` in the type of the scale, f32 for a small one.
fn dequantized(
    call: &mut Call,
    [x, scale]: [ValueId; 2],
    zero: Option<ValueId>,
    op: Quantization,
) -> Imported<ValueId> {
    let scale = computed(call, scale)?;
    if let Some(integer) = integer_of(call, op.integer)? {
        let x = call.cast(x, integer)?;
        let zero = zero.map(|zero| call.cast(zero, integer)).transpose()?;
        let inner = Op::DequantizeLinear(Quantization { integer, ..op });
        return call.first(inner, &[Some(x), Some(scale), zero]);
    }
    let (shape, float) = (call.shape(x), call.dtype_of(scale));
    let mut y = call.cast(x, float)?;
    if let Some(zero) = zero {
        let zero = call.cast(zero, float)?;
        let zero = spread(call, zero, &shape, &op)?;
        y = call.binary(Binary::Sub, y, zero)?;
    }
    let scale = spread(call, scale, &shape, &op)?;
    call.binary(Binary::Mul, y, scale)
}

pub(super) fn quantize(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let Operands { mut scale, zero_point, axis, block } = operands(call, x)?;
    let saturate = call.flag("saturate", true)?;
    let named = stated(call, "output_dtype")?;
    let given = zero_point.map(|z| call.dtype_of(z));
    let integer = match (named, given) {
        (Some(a), Some(b)) if a != b => {
            return call.refuse("output_dtype", format!("is {a}, the zero point {b}"));
        }
        (a, b) => a.or(b).unwrap_or(DType::U8),
    };
    let (mut x, op) = (x, Quantization { axis, block, integer });
    match stated(call, "precision")? {
        // More precision than is asked for does no harm: halves are divided in f32.
        None | Some(DType::F32) => {}
        Some(precision) if precision.is_half() => {
            // The quotient in that precision, and then a scale of one.
            (x, scale) = (computed(call, x)?, computed(call, scale)?);
            let shape = call.shape(x);
            let divisor = spread(call, scale, &shape, &op)?;
            let quotient = call.binary(Binary::Div, x, divisor)?;
            x = call.cast(quotient, precision)?;
            let (one, shape) = (call.scalar(DType::F32, 1.0), call.shape(scale));
            scale = call.one(Op::Fill { shape }, &[one])?;
        }
        Some(precision) if precision == call.dtype_of(scale) => {}
        Some(other) => {
            let scale = call.dtype_of(scale);
            return call.refuse("precision", format!("is {other}, the scale {scale}"));
        }
    }
    Ok(vec![quantized(call, [x, scale], zero_point, op, saturate)?])
}

pub(super) fn dequantize(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let Operands { scale, zero_point, axis, block } = operands(call, x)?;
    let given = call.dtype_of(scale);
    let dtype = match stated(call, "output_dtype")? {
        Some(named) => named,
        None if given == DType::F8E8M0 => {
            return call.refuse("output_dtype", "is missing, and the scale is no type of results");
        }
        None => given,
    };
    let op = Quantization { axis, block, integer: call.dtype_of(x) };
    let y = dequantized(call, [x, scale], zero_point, op)?;
    if dtype.is_half() && call.dtype_of(y) == DType::F32 {
        let half = call.builder.rounded(&call.label, y, dtype);
        return Ok(vec![half.map_err(|problem| call.problem(problem))?]);
    }
    Ok(vec![call.cast(y, dtype)?])
}

pub(super) fn dynamic(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    Ok(dynamic_range(call, x)?.to_vec())
}

/// Data quantized by its own range, with the scale and the zero point, as the specification
/// computes them.
pub(super) fn dynamic_range(call: &mut Call, x: ValueId) -> Imported<[ValueId; 3]> {
    if call.dtype_of(x) != DType::F32 {
        return call.fail(format!("the data is {}, not f32", call.dtype_of(x)));
    }
    let results = call.emit(Op::DynamicQuantizeLinear, &[Some(x)])?;
    match results[..] {
        [y, scale, zero] => Ok([y, scale, zero]),
        _ => call.fail("it has three results"),
    }
}

/// A quantized operand as floats; one scale, or one for each position of `axis`.
pub(super) fn to_float(
    call: &mut Call,
    [x, scale, zero]: [ValueId; 3],
    axis: usize,
) -> Imported<ValueId> {
    let (scale, zero) = aligned(call, scale, zero)?;
    let op = Quantization { axis, block: 0, integer: call.dtype_of(x) };
    dequantized(call, [x, scale], Some(zero), op)
}

/// Floats as quantized values.
pub(super) fn to_integer(
    call: &mut Call,
    [y, scale, zero]: [ValueId; 3],
    axis: usize,
) -> Imported<ValueId> {
    let (scale, zero) = aligned(call, scale, zero)?;
    let op = Quantization { axis, block: 0, integer: call.dtype_of(zero) };
    quantized(call, [y, scale], Some(zero), op, true)
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
