//! Reductions, softmax and normalizations.

use crate::graph::dim::{Dim, product};
use crate::graph::ops::{Reduce, ReduceKind};
use crate::graph::{Node, Tensor, ValueId};
use crate::kernels::channel::batch_coefficients;
use crate::kernels::number::Number;
use crate::kernels::reduce::ReduceOp;
use crate::runtime::KernelId;
use crate::runtime::record::{In, Out, SharedIn, SharedOut};
use crate::runtime::steps::lanes::Lanes;
use crate::runtime::steps::normalize::{
    ChannelAffineRecord, CoefficientsRecord, GroupNormRecord, MomentsRecord, NormRecord,
    ReduceRecord, SoftmaxRecord,
};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::super::place::contiguous;
use super::lanes::{lanes, run};
use super::movement::{broadcast, copy};
use super::{operand, optional, optional_result, result};

/// The kernel for f32, or the one for everything else.
fn by_type(dtype: DType, f32: KernelId, other: KernelId) -> KernelId {
    if dtype == DType::F32 { f32 } else { other }
}

fn reduce_op(kind: ReduceKind) -> ReduceOp {
    match kind {
        ReduceKind::Sum => ReduceOp::Sum,
        ReduceKind::Mean => ReduceOp::Mean,
        ReduceKind::Max => ReduceOp::Max,
        ReduceKind::Min => ReduceOp::Min,
        ReduceKind::Prod => ReduceOp::Prod,
        ReduceKind::L1 => ReduceOp::L1,
        ReduceKind::L2 => ReduceOp::L2,
        ReduceKind::LogSum => ReduceOp::LogSum,
        ReduceKind::LogSumExp => ReduceOp::LogSumExp,
        ReduceKind::SumSquare => ReduceOp::SumSquare,
    }
}

pub(super) fn reduce(b: &mut Builder<'_>, node: &Node, op: &Reduce) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let (shape, dtype) = (b.shape(x), b.dtype(x));
    // Axes of one element are in nobody's way.
    let axes: Vec<usize> = op.axes.iter().copied().filter(|a| !shape[*a].is(1)).collect();
    let between = |a: usize, z: usize| (a..z).filter(|i| !shape[*i].is(1)).count();
    let (first, end) = match (axes.first(), axes.last()) {
        (Some(first), Some(last)) => (*first, last + 1),
        _ => (shape.len(), shape.len()),
    };
    let (memory, lanes) = if between(first, end) == axes.len() {
        (b.read(x)?, run(b, shape, first..end))
    } else {
        // The axes that go come last, in a copy.
        let kept = (0..shape.len()).filter(|i| !op.axes.contains(i));
        let order: Vec<usize> = kept.chain(op.axes.iter().copied()).collect();
        let (src, place) = b.view(x)?;
        let pick = |list: &[Dim]| order.iter().map(|i| list[*i].clone()).collect::<Vec<Dim>>();
        let (moved, strides) = (pick(shape), pick(&place.strides));
        let to = b.temporary(dtype, b.max_len(shape));
        let target = (Out(to), &Dim::Fixed(0), &contiguous(&moved)[..]);
        copy(b, dtype, &moved, (src, &place.offset, &strides), target)?;
        let split = shape.len() - op.axes.len();
        (In(to), run(b, &moved, split..moved.len()))
    };
    let y = b.write(y);
    let (x, y) = (SharedIn(memory.0), SharedOut(y.0));
    let record = ReduceRecord { x, y, op: reduce_op(op.kind) as u32, lanes };
    b.step(by_type(dtype, KernelId::ReduceF32, KernelId::Reduce), &record);
    Ok(())
}

/// Memory for a result in the place of `x`, unless one of `others` lies there too.
fn in_place(b: &mut Builder<'_>, y: ValueId, x: ValueId, others: &[ValueId]) -> Lowered<SharedOut> {
    let storage = b.place(x)?.storage;
    let mut apart = true;
    for other in others {
        apart &= b.place(*other)?.storage != storage;
    }
    let from = [x];
    Ok(b.write_shared(y, if apart { &from } else { &[] }, &from))
}

pub(super) fn softmax(b: &mut Builder<'_>, node: &Node, axis: usize, log: bool) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let memory = b.read_shared(x)?;
    let y = in_place(b, y, x, &[])?;
    let shape = b.shape(x);
    let lanes = lanes(b, shape, axis);
    let kernel = by_type(b.dtype(x), KernelId::SoftmaxF32, KernelId::Softmax);
    b.step(kernel, &SoftmaxRecord { x: memory, y, lanes, log });
    Ok(())
}

/// An operand with an element for each of `shape`, which it is broadcast to.
fn spread(b: &mut Builder<'_>, v: ValueId, shape: &[Dim]) -> Lowered<In> {
    if product(b.shape(v)) == product(shape) {
        return b.read(v);
    }
    let (src, place) = b.view(v)?;
    if b.shape(v).len() > shape.len() {
        return Err("scale or bias has more axes than are normalized".into());
    }
    let strides = broadcast(b.shape(v), &place.strides, shape);
    let to = b.temporary(b.dtype(v), b.max_len(shape));
    let target = (Out(to), &Dim::Fixed(0), &contiguous(shape)[..]);
    copy(b, b.dtype(v), shape, (src, &place.offset, &strides), target)?;
    Ok(In(to))
}

pub(super) fn norm(
    b: &mut Builder<'_>,
    node: &Node,
    axis: usize,
    epsilon: f32,
    center: bool,
) -> Lowered<()> {
    let x = operand(node, 0)?;
    let shape = b.shape(x);
    let (rows, cols) = (product(&shape[..axis]), product(&shape[axis..]));
    let affine: Vec<ValueId> = (1..3).filter_map(|i| optional(node, i)).collect();
    let [scale, bias] = [1, 2].map(|i| optional(node, i));
    let scale = scale.map(|v| spread(b, v, &shape[axis..])).transpose()?;
    let bias = bias.map(|v| spread(b, v, &shape[axis..])).transpose()?;
    let memory = b.read(x)?;
    let (rows, cols) = (b.extent(&rows), b.extent(&cols));
    let asked = |i| optional_result(node, i).filter(|v| !b.is_unused(*v));
    let moments = [1, 2].map(asked);
    if moments.iter().any(Option::is_some) {
        let [mean, inverse] = moments.map(|v| v.map(|v| b.write(v)));
        let record = MomentsRecord { x: In(memory.0), mean, inverse, rows, cols, epsilon };
        b.step(KernelId::Moments, &record);
    }
    let Some(y) = optional_result(node, 0) else { return Ok(()) };
    let y = in_place(b, y, x, &affine)?;
    let x_memory = SharedIn(memory.0);
    let record = NormRecord { x: x_memory, y, scale, bias, rows, cols, epsilon, center };
    b.step(by_type(b.dtype(x), KernelId::NormF32, KernelId::Norm), &record);
    Ok(())
}

/// Factors and summands of a batch normalization whose operands are all known.
fn known_coefficients<T: Number + bytemuck::Pod>(
    tensors: [&Tensor; 4],
    epsilon: f32,
) -> Option<[Tensor; 2]> {
    let mut given: [&[T]; 4] = [&[]; 4];
    for (to, tensor) in given.iter_mut().zip(tensors) {
        *to = tensor.as_slice::<T>()?;
    }
    let mut factor = vec![T::default(); given[0].len()];
    let mut shift = factor.clone();
    batch_coefficients(given, epsilon, &mut factor, &mut shift);
    Some([Tensor::vector(&factor), Tensor::vector(&shift)])
}

/// `[n, c, ..]` seen from its channels.
fn channels(b: &mut Builder<'_>, shape: &[Dim]) -> Lanes {
    lanes(b, shape, 1)
}

pub(super) fn batch_norm(b: &mut Builder<'_>, node: &Node, epsilon: f32) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let (shape, dtype) = (b.shape(x), b.dtype(x));
    let mut given = [x; 4];
    for (i, v) in given.iter_mut().enumerate() {
        *v = operand(node, i + 1)?;
        if b.dtype(*v) != dtype {
            return Err(format!("operand {} is {}, the data {dtype}", i + 1, b.dtype(*v)));
        }
    }
    let known = given.map(|v| b.constant(v));
    let known = match known {
        [Some(scale), Some(bias), Some(mean), Some(variance)] => {
            let tensors = [scale, bias, mean, variance];
            match dtype {
                DType::F32 => known_coefficients::<f32>(tensors, epsilon),
                _ => known_coefficients::<f64>(tensors, epsilon),
            }
        }
        _ => None,
    };
    let memory = b.read_shared(x)?;
    let (scale, bias) = match known {
        Some([factor, shift]) => (b.table(&factor), b.table(&shift)),
        None => {
            let mut read = Vec::new();
            for v in given {
                read.push(b.read(v)?.0);
            }
            let most = b.upper(&shape[1]);
            let [factor, shift] = [0, 1].map(|_| b.temporary(dtype, most));
            let record = CoefficientsRecord {
                scale: In(read[0]),
                bias: In(read[1]),
                mean: In(read[2]),
                variance: In(read[3]),
                factor: Out(factor),
                shift: Out(shift),
                len: b.extent(&shape[1]),
                epsilon,
            };
            b.step(KernelId::BatchCoefficients, &record);
            (In(factor), In(shift))
        }
    };
    let y = in_place(b, y, x, &[])?;
    let lanes = channels(b, shape);
    let kernel = by_type(dtype, KernelId::ChannelAffineF32, KernelId::ChannelAffine);
    b.step(kernel, &ChannelAffineRecord { x: memory, y, scale, bias, lanes });
    Ok(())
}

pub(super) fn group_norm(
    b: &mut Builder<'_>,
    node: &Node,
    groups: usize,
    epsilon: f32,
) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let (v_scale, v_bias) = (operand(node, 1)?, operand(node, 2)?);
    let (shape, dtype) = (b.shape(x), b.dtype(x));
    if shape[1].exact_div(&Dim::Fixed(groups as i64)).is_none() {
        return Err(format!("the channels do not fall into {groups} groups"));
    }
    if b.dtype(v_scale) != dtype || b.dtype(v_bias) != dtype {
        return Err("scale or bias is of another type than the data".into());
    }
    let memory = b.read_shared(x)?;
    let (scale, bias) = (b.read(v_scale)?, b.read(v_bias)?);
    let y = in_place(b, y, x, &[v_scale, v_bias])?;
    let record = GroupNormRecord {
        x: memory,
        y,
        scale,
        bias,
        lanes: channels(b, shape),
        groups: groups as u32,
        epsilon,
    };
    b.step(by_type(dtype, KernelId::GroupNormF32, KernelId::GroupNorm), &record);
    Ok(())
}

#[cfg(test)]
mod tests;
