//! Products with what follows them, and products with weights of a few bits.

use crate::graph::dim::product;
use crate::graph::ops::{Binary, Quantization, Unary};
use crate::graph::{Dim, Op, ValueId};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};
use super::super::{product as standard, window};

/// The function that an attribute names, with its parameters; the identity where none is named.
fn activated(
    call: &mut Call,
    x: ValueId,
    name: &str,
    [alpha, beta, gamma]: [Option<f32>; 3],
) -> Imported<ValueId> {
    let or = |given: Option<f32>, usual: f32| given.unwrap_or(usual);
    let op = match name {
        "" => return Ok(x),
        "Relu" => Unary::Relu,
        "Tanh" => Unary::Tanh,
        "Sigmoid" => Unary::Sigmoid,
        "Softplus" => Unary::Softplus,
        "Softsign" => Unary::Softsign,
        "HardSwish" => Unary::HardSwish,
        "Gelu" => Unary::Gelu,
        "LeakyRelu" => Unary::LeakyRelu { alpha: or(alpha, 0.01) },
        "ThresholdedRelu" => Unary::ThresholdedRelu { alpha: or(alpha, 1.0) },
        "Elu" => Unary::Elu { alpha: or(alpha, 1.0) },
        "Selu" => Unary::Selu { alpha: or(alpha, 1.673_263_2), gamma: or(gamma, 1.050_701) },
        "HardSigmoid" => Unary::HardSigmoid { alpha: or(alpha, 0.2), beta: or(beta, 0.5) },
        "Clip" => Unary::Clip {
            min: alpha.map_or(f64::NEG_INFINITY, f64::from),
            max: beta.map_or(f64::INFINITY, f64::from),
        },
        other => return call.refuse("activation", format!("is {other:?}, which is not known")),
    };
    call.unary(op, x)
}

/// The activation of a product's own attributes.
fn finished(call: &mut Call, x: ValueId) -> Imported<ValueId> {
    let name = call.string_or("activation", "")?;
    let parameter = |name: &str| call.float(name);
    let parameters = [
        parameter("activation_alpha")?,
        parameter("activation_beta")?,
        parameter("activation_gamma")?,
    ];
    call.attributes.ignore("activation_axis");
    activated(call, x, name, parameters)
}

/// An operand with its batch axes or its matrix turned.
///
/// With `batch`, the first axis is one of the matrix and the others before the last are the batch.
fn turned(call: &mut Call, x: ValueId, matrix: bool, batch: bool) -> Imported<ValueId> {
    let rank = call.shape(x).len();
    if rank < 2 {
        return Ok(x);
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    if batch && rank > 2 {
        perm[..rank - 1].rotate_left(1);
    }
    if matrix {
        perm.swap(rank - 2, rank - 1);
    }
    call.transpose(x, perm)
}

fn scaled(call: &mut Call, x: ValueId, alpha: f32) -> Imported<ValueId> {
    if alpha == 1.0 { Ok(x) } else { call.with(Binary::Mul, x, f64::from(alpha)) }
}

pub(in super::super) fn matmul(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let truth = |name: &str| Ok(call.int_or(name, 0)? != 0);
    let ((ta, tb), (ba, bb)) =
        ((truth("transA")?, truth("transB")?), (truth("transBatchA")?, truth("transBatchB")?));
    let (a, b) = (turned(call, a, ta, ba)?, turned(call, b, tb, bb)?);
    let y = call.one(Op::MatMul, &[a, b])?;
    let alpha = call.float_or("alpha", 1.0)?;
    let y = scaled(call, y, alpha)?;
    Ok(vec![finished(call, y)?])
}

pub(in super::super) fn gemm(call: &mut Call) -> Imported {
    let mut y = standard::gemm(call)?;
    if let Some(y) = y.first_mut() {
        *y = finished(call, *y)?;
    }
    Ok(y)
}

pub(in super::super) fn gemm_fast_gelu(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let mut y = call.one(Op::MatMul, &[a, b])?;
    if let Some(bias) = call.optional(2) {
        y = call.binary(Binary::Add, y, bias)?;
    }
    Ok(vec![call.unary(Unary::GeluTanh, y)?])
}

/// A convolution, an addend of the result's shape, and an activation.
pub(in super::super) fn conv(call: &mut Call) -> Imported {
    let (x, w) = (call.input(0)?, call.input(1)?);
    let mut y = window::convolution(call, x, w, call.optional(2))?;
    if let Some(addend) = call.optional(3) {
        y = call.binary(Binary::Add, y, addend)?;
    }
    let name = call.string_or("activation", "")?;
    let given = call.floats("activation_params")?.unwrap_or_default();
    // Selu alone has a gamma, which stands where others have their beta.
    let (second, is_selu) = (given.get(1).copied(), name == "Selu");
    let parameters =
        [given.first().copied(), second.filter(|_| !is_selu), second.filter(|_| is_selu)];
    Ok(vec![activated(call, y, name, parameters)?])
}

/// Bytes that hold several numbers of `bits` along their last axis, the lowest bits first.
pub(super) fn unpacked(call: &mut Call, x: ValueId, bits: i64) -> Imported<ValueId> {
    let mut shape = call.shape(x);
    let Some(last) = shape.last_mut().filter(|_| bits < 8) else { return Ok(x) };
    let axis_len = last.clone() * Dim::Fixed(8 / bits);
    *last = axis_len;
    let mask = call.scalar(DType::U8, f64::from((1u32 << bits) - 1));
    let mut parts = Vec::new();
    let axis = shape.len();
    for shift in (0..8).step_by(bits as usize) {
        let shift = call.scalar(DType::U8, f64::from(shift));
        let part = call.binary(Binary::ShiftRight, x, shift)?;
        let part = call.binary(Binary::BitwiseAnd, part, mask)?;
        parts.push(call.unsqueeze(part, &[axis])?);
    }
    let all = call.concat(&parts, axis)?;
    call.reshape(all, shape)
}

/// A product with weights `[cols, blocks, bytes]` of 2, 4 or 8 bits, each block with its scale.
pub(in super::super) fn n_bits(call: &mut Call) -> Imported {
    let (a, b, scales) = (call.input(0)?, call.input(1)?, call.input(2)?);
    if call.optional(4).is_some() {
        return call.fail("the input g_idx is not supported; quantize without reordering");
    }
    if call.int_or("weight_prepacked", 0)? != 0 {
        return call.refuse("weight_prepacked", "is for one device; store the weights unpacked");
    }
    // It allows less accurate products.
    call.attributes.ignore("accuracy_level");
    let number = |name| -> Imported<i64> {
        let n = call.int(name)?;
        match call.required(name, n)? {
            n if (1..=1 << 30).contains(&n) => Ok(n),
            n => call.refuse(name, format!("is {n}")),
        }
    };
    let (rows, cols, block) = (number("K")?, number("N")?, number("block_size")?);
    let bits = call.int_or("bits", 4)?;
    if ![2, 4, 8].contains(&bits) {
        return call.refuse("bits", format!("is {bits}, not 2, 4 or 8"));
    }
    if block % (8 / bits) != 0 {
        return call.refuse("block_size", format!("is {block}"));
    }
    let blocks = rows / block + i64::from(rows % block != 0);
    let shape = [cols, blocks, block * bits / 8].map(Dim::Fixed);
    if call.shape(b) != shape || call.dtype_of(b) != DType::U8 {
        let (is, expected) = (call.show(&call.shape(b)), call.show(&shape));
        return call.fail(format!("the weights {is} are not bytes {expected}"));
    }
    let grid = vec![Dim::Fixed(cols), Dim::Fixed(blocks)];
    // A single scale is a scalar.
    let single = cols * blocks == 1;
    let stored = if single { Vec::new() } else { grid.clone() };
    if !product(&call.shape(scales)).is(cols.saturating_mul(blocks)) {
        return call.fail(format!(
            "{} scales, not {}",
            call.show(&call.shape(scales)),
            call.show(&grid)
        ));
    }
    let scales = call.reshape(scales, stored.clone())?;
    let whole = unpacked(call, b, bits)?;
    let whole = call.reshape(whole, vec![Dim::Fixed(cols), Dim::Fixed(blocks * block)])?;
    let whole = call.slice(whole, 1, Dim::Fixed(0), Dim::Fixed(rows))?;
    // Integers are turned, not what they mean, so that a product may read them as they are.
    let turned = |call: &mut Call, x: ValueId| match single {
        true => Ok(x),
        false => call.transpose(x, vec![1, 0]),
    };
    let whole = call.transpose(whole, vec![1, 0])?;
    let quantization = Quantization { axis: 0, block: block as usize, integer: DType::U8 };
    let op = Op::DequantizeLinear(quantization);
    let middle = f64::from(1u32 << (bits - 1));
    let weights = match call.optional(3) {
        Some(zero) if call.dtype_of(zero) == DType::U8 => {
            let bytes = (blocks * bits + 7) / 8;
            let zero = call.reshape(zero, vec![Dim::Fixed(cols), Dim::Fixed(bytes)])?;
            let zero = unpacked(call, zero, bits)?;
            let zero = call.slice(zero, 1, Dim::Fixed(0), Dim::Fixed(blocks))?;
            let zero = call.reshape(zero, stored)?;
            let (scales, zero) = (turned(call, scales)?, turned(call, zero)?);
            call.one(op, &[whole, scales, zero])?
        }
        Some(zero) => {
            // `q * scale - zero * scale`, for a zero that is no integer.
            let zero = call.reshape(zero, stored)?;
            let zero = call.binary(Binary::Mul, zero, scales)?;
            let zero = call.reshape(zero, grid)?;
            let scales = turned(call, scales)?;
            let all = call.one(op, &[whole, scales])?;
            let zero = call.unsqueeze(zero, &[2])?;
            let wide = vec![Dim::Fixed(cols), Dim::Fixed(blocks), Dim::Fixed(block)];
            let zero = call.expand(zero, wide)?;
            let flat = vec![Dim::Fixed(cols), Dim::Fixed(blocks * block)];
            let zero = call.reshape(zero, flat)?;
            let zero = call.slice(zero, 1, Dim::Fixed(0), Dim::Fixed(rows))?;
            let zero = call.transpose(zero, vec![1, 0])?;
            call.binary(Binary::Sub, all, zero)?
        }
        None => {
            let zero = call.scalar(DType::U8, middle);
            let zero = call.one(Op::Fill { shape: stored }, &[zero])?;
            let (scales, zero) = (turned(call, scales)?, turned(call, zero)?);
            call.one(op, &[whole, scales, zero])?
        }
    };
    let mut y = call.one(Op::MatMul, &[a, weights])?;
    if let Some(bias) = call.optional(5) {
        y = call.binary(Binary::Add, y, bias)?;
    }
    Ok(vec![y])
}

/// Rows of a table of 2, 4 or 8 bits, each block of a row with its scale.
pub(in super::super) fn gather_n_bits(call: &mut Call) -> Imported {
    let (table, at, scales) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let rank = call.shape(table).len();
    let bits = call.int_or("bits", 4)?;
    let (gathered, quantized) = (call.int_or("gather_axis", 0)?, call.int_or("quantize_axis", 1)?);
    let (gathered, quantized) = (call.axis(gathered, rank)?, call.axis(quantized, rank)?);
    let integer = call.dtype_of(table);
    let packed = integer == DType::U8 && [2, 4, 8].contains(&bits);
    if !packed && (!matches!(integer, DType::I4 | DType::U4) || bits != 4) {
        return call.fail(format!("{integer} of {bits} bits are not supported"));
    }
    if gathered != 0 || quantized + 1 != rank || rank < 2 {
        return call.fail("only rows whose last axis is quantized are supported");
    }
    let block = match call.int_or("block_size", 128)? {
        n if (1..=1 << 24).contains(&n) => n,
        n => return call.refuse("block_size", format!("is {n}")),
    };
    let gather = Op::Gather { axis: 0 };
    let rows = call.one(gather.clone(), &[table, at])?;
    // Integers of four bits become bytes.
    let wide = if integer == DType::I4 { DType::I8 } else { DType::U8 };
    let rows = if packed { unpacked(call, rows, bits)? } else { call.cast(rows, wide)? };
    let scales = call.one(gather.clone(), &[scales, at])?;
    let (shape, axis) = (call.shape(scales), call.shape(rows).len() - 1);
    let zero = match call.optional(3) {
        None => {
            // In the middle of bytes, zero of integers of four bits.
            let middle = if packed { f64::from(1u32 << (bits - 1)) } else { 0.0 };
            let middle = call.scalar(wide, middle);
            call.one(Op::Fill { shape }, &[middle])?
        }
        Some(zero) => {
            let zero = call.one(gather, &[zero, at])?;
            let zero = if packed { unpacked(call, zero, bits)? } else { call.cast(zero, wide)? };
            let blocks = shape.last().cloned().unwrap_or(Dim::Fixed(0));
            call.slice(zero, axis, Dim::Fixed(0), blocks)?
        }
    };
    let op = Quantization { axis, block: block as usize, integer: wide };
    let (mut scales, mut zero) = (scales, zero);
    if product(&call.shape(scales)).is(1) {
        // A single scale is a scalar.
        (scales, zero) = (call.reshape(scales, Vec::new())?, call.reshape(zero, Vec::new())?);
    }
    Ok(vec![call.one(Op::DequantizeLinear(op), &[rows, scales, zero])?])
}
