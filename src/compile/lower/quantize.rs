//! Quantization of values.

use crate::graph::dim::{Dim, product};
use crate::graph::ops::Quantization;
use crate::graph::{Node, ValueId};
use crate::runtime::KernelId;
use crate::runtime::steps::lanes::Lanes;
use crate::runtime::steps::quantize::QuantizeRecord;
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::{operand, optional, result};

/// A layout of scales as the kernels see it: the data as three axes, elements that share a scale
/// along the middle one, and whether outer and inner elements have scales of their own.
type Layout = ([Dim; 3], usize, bool, bool);

fn layout(shape: &[Dim], scales: &[Dim], op: &Quantization) -> Layout {
    let one = Dim::Fixed(1);
    if product(scales).is(1) {
        return ([one.clone(), one, product(shape)], 1, false, false);
    }
    let (outer, axis) = (product(&shape[..op.axis]), shape[op.axis].clone());
    let inner = product(&shape[op.axis + 1..]);
    match (op.block, inner.is(1)) {
        (0, true) => ([outer, one, axis], 1, false, true),
        (0, false) => ([outer, axis, inner], 1, false, false),
        (block, true) => match axis.exact_div(&Dim::Fixed(block as i64)) {
            // Each block is a row with a scale of its own.
            Some(blocks) => ([one, outer * blocks, Dim::Fixed(block as i64)], 1, false, false),
            None => ([outer, axis, inner], block, true, true),
        },
        (block, false) => ([outer, axis, inner], block, true, true),
    }
}

fn lower(
    b: &mut Builder<'_>,
    node: &Node,
    op: &Quantization,
    (float, integer): (ValueId, ValueId),
    kernels: [KernelId; 2],
) -> Lowered<()> {
    let (x, scale, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    let dtype = b.dtype(integer);
    if !matches!(dtype, DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::I32) {
        return Err(format!("{dtype} is no type of quantized values"));
    }
    if b.dtype(scale) != b.dtype(float) || !b.dtype(float).is_float() {
        return Err(format!("{} with scales of {}", b.dtype(float), b.dtype(scale)));
    }
    let (lanes, block, by_outer, by_inner) = layout(b.shape(x), b.shape(scale), op);
    let [outer, axis, inner] = lanes.map(|dim| b.extent(&dim));
    let record = QuantizeRecord {
        x: b.read(x)?,
        scale: b.read(scale)?,
        zero: optional(node, 2).map(|v| b.read(v)).transpose()?,
        y: b.write(y),
        integer: dtype as u32,
        lanes: Lanes { outer, axis, inner },
        block: block as u32,
        by_outer,
        by_inner,
    };
    b.step(kernels[usize::from(b.dtype(float) != DType::F32)], &record);
    Ok(())
}

pub(super) fn quantize(b: &mut Builder<'_>, node: &Node, op: &Quantization) -> Lowered<()> {
    let ends = (operand(node, 0)?, result(node, 0)?);
    lower(b, node, op, ends, [KernelId::QuantizeF32, KernelId::Quantize])
}

pub(super) fn dequantize(b: &mut Builder<'_>, node: &Node, op: &Quantization) -> Lowered<()> {
    let ends = (result(node, 0)?, operand(node, 0)?);
    lower(b, node, op, ends, [KernelId::DequantizeF32, KernelId::Dequantize])
}

#[cfg(test)]
mod tests;
