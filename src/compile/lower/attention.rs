//! Attention: operands where they lie, the result where its reader wants it.

use arrayvec::ArrayVec;

use crate::graph::dim::joined;
use crate::graph::ops::{self, Mask, Unseeing};
use crate::graph::{Dim, Graph, Node, Op, ValueId};
use crate::kernels::attention::{MASKS, scratch_len};
use crate::runtime::KernelId;
use crate::runtime::record::Out;
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

    fn record(&self, b: &mut Builder<'_>, row: &Dim) -> Lowered<RowsRecord> {
        let (memory, place) = b.view(self.value)?;
        Ok(RowsRecord {
            memory,
            offset: b.extent(&place.offset),
            row_stride: b.extent(row),
            batch: b.extents(&self.batch)?,
        })
    }
}

/// The order of axes in which somebody wants `y`, where rows of it stay whole. Axes may be joined
/// first, as those of heads that share keys are.
fn wanted(graph: &Graph, nodes: &[Node], y: ValueId) -> Option<Vec<usize>> {
    nodes.iter().find_map(|node| match &node.op {
        _ if node.inputs.first() != Some(&Some(y)) => {
            node.op.blocks().find_map(|block| wanted(graph, &block.nodes, y))
        }
        Op::Transpose { perm } => Some(perm.clone()),
        Op::Reshape { shape } => {
            let joined = joined(&graph.value(y).shape, shape)?;
            let order = wanted(graph, nodes, node.outputs.first().copied()??)?;
            Some(order.into_iter().flat_map(|axis| joined[axis].clone()).collect())
        }
        _ => None,
    })
}

/// Operands and result as a batch of matrices.
struct Heads {
    batch: Vec<Dim>,
    queries: Dim,
    /// Queries, keys, values, then masks.
    sides: Vec<Side>,
    result: Side,
}

impl Heads {
    /// Single queries that share their keys become the rows of one matrix.
    fn join_queries(&mut self, b: &Builder<'_>) {
        let shared = |axis: &usize| {
            let [_, k, v, ..] = &self.sides[..] else { return false };
            let forwards = |side: &Side| side.batch[*axis].bounds(&b.graph.variables).0 >= 0;
            let walks = self.sides.iter().chain([&self.result]).all(forwards);
            let still = k.batch[*axis].is(0) && v.batch[*axis].is(0);
            still && walks && !self.batch[*axis].is(1)
        };
        if let Some(axis) = (0..self.batch.len()).rev().find(shared) {
            self.queries = self.batch.remove(axis);
            for (i, side) in self.sides.iter_mut().chain([&mut self.result]).enumerate() {
                let stride = side.batch.remove(axis);
                // Rows of the other two are keys.
                if !matches!(i, 1 | 2) {
                    side.row = stride;
                }
            }
        }
    }

    /// Joins axes of the batch that lie behind one another in all operands.
    fn collapse(&mut self) {
        let all: Vec<Vec<Dim>> =
            self.sides.iter().chain([&self.result]).map(|side| side.batch.clone()).collect();
        let (batch, strides) = collapse(&self.batch, &all);
        self.batch = batch;
        for (side, strides) in self.sides.iter_mut().chain([&mut self.result]).zip(strides) {
            side.batch = strides;
        }
    }
}

/// Whether rows of a matrix are contiguous.
fn by_row(side: &Side, cols: &Dim) -> bool {
    side.col.is(1) || cols.is(1)
}

/// Whether its columns are instead.
fn by_column(side: &Side, rows: &Dim, cols: &Dim) -> bool {
    !by_row(side, cols) && (side.row.is(1) || rows.is(1))
}

/// All operands of a node, copied where no kernel can walk them.
fn operands(b: &mut Builder<'_>, node: &Node, matrices: &[[&Dim; 2]]) -> Lowered<Vec<Side>> {
    let y = result(node, 0)?;
    let batch = &b.shape(y)[..b.shape(y).len() - 2];
    for (i, [rows, cols]) in matrices.iter().copied().enumerate() {
        let value = operand(node, i)?;
        let side = Side::new(b, value, batch, [rows, cols])?;
        let walks = match i {
            // Somebody must have as many elements as there are keys.
            1 => {
                (by_row(&side, cols) || by_column(&side, rows, cols))
                    && (!side.row.is(0) || rows.is(1))
            }
            0 | 2 => by_row(&side, cols),
            _ => by_row(&side, cols) || side.col.is(0),
        };
        if !walks || !side.forwards(b) {
            b.read(value)?;
        }
    }
    let sides = matrices.iter().enumerate();
    sides.map(|(i, matrix)| Side::new(b, operand(node, i)?, batch, *matrix)).collect()
}

/// Memory for a result, in the order of axes in which it is read.
fn memory(b: &mut Builder<'_>, y: ValueId) -> Out {
    let is_output = b.graph.outputs.iter().any(|port| port.value == y);
    let whole = |order: &Vec<usize>| !is_output && order.last() == Some(&(order.len() - 1));
    match wanted(b.graph, &b.graph.nodes, y).filter(whole) {
        Some(order) => b.write_transposed(y, &order),
        None => b.write(y),
    }
}

pub(super) fn attention(b: &mut Builder<'_>, node: &Node, op: &ops::Attention) -> Lowered<()> {
    const { assert!(ops::Attention::MASKS <= MASKS) };
    let (k, y) = (operand(node, 1)?, result(node, 0)?);
    let [.., keys, size] = b.shape(k) else { return Err("the keys are no matrix".into()) };
    let [batch @ .., queries, width] = b.shape(y) else { return Err("no result".into()) };
    let mut matrices = vec![[queries, size], [keys, size], [keys, width]];
    matrices.extend(op.masks.iter().map(|_| [queries, keys]));
    let sides = operands(b, node, &matrices)?;
    let out = memory(b, y);
    let result = Side::new(b, y, batch, [queries, width])?;
    let mut heads = Heads { batch: batch.to_vec(), queries: queries.clone(), sides, result };
    if queries.is(1) && op.causal.is_none() {
        heads.join_queries(b);
    }
    heads.collapse();
    let Heads { batch, queries, sides, result } = heads;
    let [q, k, v, masks @ ..] = &sides[..] else { return Err("operands are missing".into()) };
    let by_column = by_column(k, keys, size);
    let mut changes = ArrayVec::new();
    for (mask, side) in op.masks.iter().zip(masks) {
        let (spread, replace) = (side.col.is(0), *mask == Mask::Replace);
        changes.push(MaskRecord { rows: side.record(b, &side.row)?, spread, replace });
    }
    let scratch = scratch_len(b.upper(&queries), b.upper(keys), b.upper(size));
    let scratch = scratch.ok_or("an operand is too large")?;
    let record = AttentionRecord {
        batch: b.extents(&batch)?,
        queries: b.extent(&queries),
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
        q: q.record(b, &q.row)?,
        k: k.record(b, if by_column { &k.col } else { &k.row })?,
        by_column,
        v: v.record(b, &v.row)?,
        masks: changes,
        y: out,
        y_row_stride: b.extent(&result.row),
        y_batch: b.extents(&result.batch)?,
        scratch: b.scratch(DType::F32, scratch),
    };
    b.step(KernelId::AttentionF32, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
