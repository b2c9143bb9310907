//! Attention: operands where they lie, the result where its reader wants it.

use crate::graph::ops::{self, Mask, Unseeing};
use crate::graph::{Dim, Node, Op, ValueId};
use crate::kernels::attention::{MASKS, scratch_len};
use crate::runtime::KernelId;
use crate::runtime::steps::attention::{AttentionRecord, MaskRecord, RowsRecord};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::super::place::collapse;
use super::movement::broadcast;
use super::{operand, result};

/// An operand as it lies: its strides, those of the last two axes apart.
struct Side {
    value: ValueId,
    batch: Vec<Dim>,
    row: Dim,
    col: Dim,
}

impl Side {
    /// `value` as one matrix for each of `batch`, its last two axes broadcast to `matrix`.
    fn new(b: &mut Builder<'_>, value: ValueId, batch: &[Dim], matrix: [&Dim; 2]) -> Lowered<Self> {
        let (shape, strides) = (b.shape(value), b.place(value)?.strides);
        let whole: Vec<Dim> = batch.iter().chain(matrix).cloned().collect();
        let mut strides = broadcast(shape, &strides, &whole);
        let (Some(col), Some(row)) = (strides.pop(), strides.pop()) else {
            return Err("an operand is no matrix".into());
        };
        Ok(Self { value, batch: strides, row, col })
    }

    fn forwards(&self, b: &Builder<'_>) -> bool {
        [&self.row, &self.col].iter().all(|s| s.bounds(&b.graph.variables).0 >= 0)
    }

    fn record(&self, b: &mut Builder<'_>, batch: &[Dim], row: &Dim) -> Lowered<RowsRecord> {
        let (memory, place) = b.view(self.value)?;
        Ok(RowsRecord {
            memory,
            offset: b.extent(&place.offset),
            row_stride: b.extent(row),
            batch: b.extents(batch)?,
        })
    }
}

/// The order of axes in which somebody wants `y`, where rows of it stay whole.
fn wanted(nodes: &[Node], y: ValueId) -> Option<&[usize]> {
    nodes.iter().find_map(|node| match &node.op {
        Op::Transpose { perm }
            if node.inputs.first() == Some(&Some(y)) && perm.last() == Some(&(perm.len() - 1)) =>
        {
            Some(&perm[..])
        }
        op => op.blocks().find_map(|block| wanted(&block.nodes, y)),
    })
}

pub(super) fn attention(b: &mut Builder<'_>, node: &Node, op: &ops::Attention) -> Lowered<()> {
    let (q, k, v, y) = (operand(node, 0)?, operand(node, 1)?, operand(node, 2)?, result(node, 0)?);
    if op.masks.len() > MASKS {
        return Err(format!("more than {MASKS} masks"));
    }
    let [.., keys, size] = b.shape(k) else { return Err("the keys are no matrix".into()) };
    let [batch @ .., queries, width] = b.shape(y) else { return Err("no result".into()) };
    let contiguous = |side: &Side, cols: &Dim| side.col.is(1) || cols.is(1);
    // Operands that no kernel can walk are copied.
    for (value, rows, cols) in [(q, queries, size), (v, keys, width)] {
        let side = Side::new(b, value, batch, [rows, cols])?;
        if !(contiguous(&side, cols) && side.forwards(b)) {
            b.read(value)?;
        }
    }
    let by_column = |side: &Side| !contiguous(side, size) && (side.row.is(1) || keys.is(1));
    let side = Side::new(b, k, batch, [keys, size])?;
    // Somebody must have as many elements as there are keys.
    let walks = (contiguous(&side, size) || by_column(&side)) && side.forwards(b);
    if !walks || (side.row.is(0) && !keys.is(1)) {
        b.read(k)?;
    }
    let mut masks = Vec::new();
    for i in 0..op.masks.len() {
        let mask = operand(node, 3 + i)?;
        let side = Side::new(b, mask, batch, [queries, keys])?;
        if !((side.col.is(0) || contiguous(&side, keys)) && side.forwards(b)) {
            b.read(mask)?;
        }
        masks.push(mask);
    }
    let sides = [(q, [queries, size]), (k, [keys, size]), (v, [keys, width])];
    let sides = sides.into_iter().chain(masks.iter().map(|mask| (*mask, [queries, keys])));
    let sides: Vec<Side> =
        sides.map(|(value, matrix)| Side::new(b, value, batch, matrix)).collect::<Lowered<_>>()?;
    let is_output = b.graph.outputs.iter().any(|port| port.value == y);
    let perm = wanted(&b.graph.nodes, y).filter(|_| !is_output);
    let memory = match perm {
        Some(perm) => b.write_transposed(y, perm),
        None => b.write(y),
    };
    let out = Side::new(b, y, batch, [queries, width])?;
    let all = sides.iter().chain([&out]).map(|side| side.batch.clone()).collect::<Vec<_>>();
    let (batch, strides) = collapse(batch, &all);
    let turned = by_column(&sides[1]);
    let k_row = if turned { &sides[1].col } else { &sides[1].row };
    let mut records = Vec::new();
    for (mask, i) in op.masks.iter().zip(3..) {
        records.push(MaskRecord {
            rows: sides[i].record(b, &strides[i], &sides[i].row)?,
            spread: sides[i].col.is(0),
            replace: *mask == Mask::Replace,
        });
    }
    let scratch = scratch_len(b.upper(queries), b.upper(keys), b.upper(size));
    let scratch = scratch.ok_or("an operand is too large")?;
    let record = AttentionRecord {
        batch: b.extents(&batch)?,
        queries: b.extent(queries),
        keys: b.extent(keys),
        size: b.extent(size),
        width: b.extent(width),
        scale: op.scale,
        softcap: op.softcap,
        causal: op.causal.as_ref().map(|offset| b.extent(offset)),
        unseeing: match op.unseeing {
            Unseeing::Nan => 0,
            Unseeing::Zero => 1,
            Unseeing::ZeroForNan => 2,
        },
        q: sides[0].record(b, &strides[0], &sides[0].row)?,
        k: sides[1].record(b, &strides[1], k_row)?,
        by_column: turned,
        v: sides[2].record(b, &strides[2], &sides[2].row)?,
        masks: records.into_iter().collect(),
        y: memory,
        y_row_stride: b.extent(&out.row),
        y_batch: b.extents(strides.last().map_or(&[], |s| &s[..]))?,
        scratch: b.scratch(DType::F32, scratch),
    };
    b.step(KernelId::AttentionF32, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
