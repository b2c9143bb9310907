//! Operators that work along one axis of a row-major tensor.

use std::ops::Range;

use crate::graph::Node;
use crate::graph::dim::{Dim, product};
use crate::graph::ops::{ArgReduce, TopK};
use crate::runtime::KernelId;
use crate::runtime::record::Out;
use crate::runtime::steps::lanes::{ArgReduceRecord, CumSumRecord, Lanes, TopKRecord};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::{operand, optional_result};

/// A shape seen from a run of its axes.
pub(super) fn run(b: &mut Builder<'_>, shape: &[Dim], axes: Range<usize>) -> Lanes {
    Lanes {
        outer: b.extent(&product(&shape[..axes.start])),
        inner: b.extent(&product(&shape[axes.end..])),
        axis: b.extent(&product(&shape[axes])),
    }
}

/// A shape seen from one axis.
pub(super) fn lanes(b: &mut Builder<'_>, shape: &[Dim], axis: usize) -> Lanes {
    run(b, shape, axis..axis + 1)
}

fn check_axis(b: &Builder<'_>, node: &Node, axis: usize) -> Lowered<()> {
    let rank = b.shape(operand(node, 0)?).len();
    if axis < rank { Ok(()) } else { Err(format!("no axis {axis} in rank {rank}")) }
}

/// A running sum or product, by its kernel.
pub(super) fn running(
    b: &mut Builder<'_>,
    node: &Node,
    kernel: KernelId,
    axis: usize,
    exclusive: bool,
    reverse: bool,
) -> Lowered<()> {
    check_axis(b, node, axis)?;
    let x = operand(node, 0)?;
    let memory = b.read(x)?;
    let y = b.write(super::result(node, 0)?);
    let shape = b.shape(x);
    let lanes = lanes(b, shape, axis);
    b.step(kernel, &CumSumRecord { x: memory, y, lanes, exclusive, reverse });
    Ok(())
}

pub(super) fn arg_reduce(b: &mut Builder<'_>, node: &Node, op: &ArgReduce) -> Lowered<()> {
    let x = operand(node, 0)?;
    let memory = b.read(x)?;
    let y = b.write(super::result(node, 0)?);
    let shape = b.shape(x);
    let lanes = lanes(b, shape, op.axis);
    let (largest, select_last) = (op.largest, op.select_last);
    b.step(KernelId::ArgReduce, &ArgReduceRecord { x: memory, y, lanes, largest, select_last });
    Ok(())
}

pub(super) fn top_k(b: &mut Builder<'_>, node: &Node, op: &TopK) -> Lowered<()> {
    let x = operand(node, 0)?;
    let memory = b.read(x)?;
    let shape = b.shape(x);
    let mut chosen = shape.to_vec();
    chosen[op.axis] = op.k.clone();
    let len = b.max_len(&chosen);
    let dtypes = [b.dtype(x), DType::I64];
    let [values, positions] = [0, 1].map(|i| match optional_result(node, i) {
        Some(y) => b.write(y),
        None => Out(b.temporary(dtypes[i], len)),
    });
    let most = b.upper(&shape[op.axis]);
    let record = TopKRecord {
        x: memory,
        values,
        positions,
        scratch: b.scratch(DType::U32, most),
        lanes: lanes(b, shape, op.axis),
        k: b.extent(&op.k),
        largest: op.largest,
    };
    b.step(KernelId::TopK, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
