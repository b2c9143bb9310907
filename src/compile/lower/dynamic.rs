//! Operators whose results' size depends on the data.

use crate::graph::ops::{Measure, NonMaxSuppression, Unique};
use crate::graph::{Node, ValueId};
use crate::runtime::KernelId;
use crate::runtime::record::{In, Out};
use crate::runtime::steps::dynamic::{
    MeasureRecord, NonZeroRecord, SuppressionRecord, UniqueRecord,
};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::lanes::lanes;
use super::{operand, optional, optional_result};

pub(super) fn measure(b: &mut Builder<'_>, node: &Node, op: &Measure) -> Lowered<()> {
    let from = b.read(operand(node, 0)?)?.0;
    for (at, id) in &op.numbers {
        let (at, dim) = (*at as u32, b.variable(*id));
        let record = MeasureRecord { from: In(from), at, dim, saturate: op.saturate };
        b.step(KernelId::Measure, &record);
    }
    Ok(())
}

/// Memory for a result, also where nobody reads it: `len` elements then.
fn written(b: &mut Builder<'_>, node: &Node, i: usize, dtype: DType, len: usize) -> Out {
    match optional_result(node, i) {
        Some(y) => b.write(y),
        None => Out(b.temporary(dtype, len)),
    }
}

pub(super) fn non_zero(b: &mut Builder<'_>, node: &Node) -> Lowered<()> {
    let x = operand(node, 0)?;
    let shape = b.shape(x);
    let len = b.max_len(shape).saturating_mul(shape.len());
    let record = NonZeroRecord {
        x: b.read(x)?,
        positions: written(b, node, 0, DType::I64, len),
        found: written(b, node, 1, DType::I64, 1),
        shape: b.extents(shape)?,
    };
    b.step(KernelId::NonZero, &record);
    Ok(())
}

pub(super) fn unique(b: &mut Builder<'_>, node: &Node, op: &Unique) -> Lowered<()> {
    let x = operand(node, 0)?;
    let shape = b.shape(x);
    let (all, slices) = (b.max_len(shape), b.upper(&shape[op.axis]));
    let list = |b: &mut Builder<'_>, i: usize| written(b, node, i, DType::I64, slices);
    let record = UniqueRecord {
        x: b.read(x)?,
        values: written(b, node, 0, b.dtype(x), all),
        first: list(b, 1),
        inverse: list(b, 2),
        counts: list(b, 3),
        found: written(b, node, 4, DType::I64, 1),
        order: b.scratch(DType::U32, slices.saturating_mul(2)),
        lanes: lanes(b, shape, op.axis),
        sorted: op.sorted,
    };
    b.step(KernelId::Unique, &record);
    Ok(())
}

pub(super) fn suppress(b: &mut Builder<'_>, node: &Node, op: &NonMaxSuppression) -> Lowered<()> {
    let (boxes, scores) = (operand(node, 0)?, operand(node, 1)?);
    let shape = b.shape(scores);
    let threshold = |b: &mut Builder<'_>, v: Option<ValueId>| v.map(|v| b.read(v)).transpose();
    let most_rows = b.upper(&op.len);
    let most_boxes = b.upper(&shape[2]);
    let record = SuppressionRecord {
        boxes: b.read(boxes)?,
        scores: b.read(scores)?,
        most: b.read(operand(node, 2)?)?,
        iou_threshold: threshold(b, optional(node, 3))?,
        score_threshold: threshold(b, optional(node, 4))?,
        selected: written(b, node, 0, DType::I64, most_rows.saturating_mul(3)),
        found: written(b, node, 1, DType::I64, 1),
        order: b.scratch(DType::U32, most_boxes.saturating_mul(2)),
        batches: b.extent(&shape[0]),
        classes: b.extent(&shape[1]),
        boxes_len: b.extent(&shape[2]),
        centred: op.centred,
    };
    b.step(KernelId::NonMaxSuppression, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
