//! Products of integers of eight bits.

use crate::graph::dim::{Dim, product};
use crate::graph::ops::{Chain, Given, Grid8, QuantizedLinear, Stage};
use crate::graph::{Node, Tensor, ValueId};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::scratch_len;
use crate::kernels::int8::{pack_quads, packed_quads_len};
use crate::kernels::stages::{MOST_STAGES, softmax_room};
use crate::runtime::KernelId;
use crate::runtime::record::{Extent, In};
use crate::runtime::steps::integer::{
    ChainRecord, ColumnsRecord, DynamicQuantizeRecord, GivenRecord, GridRecord, GridWords,
    LinearI8Record, MapBytesRecord, SoftmaxI8Record, StageRecord,
};
use crate::runtime::steps::product::{ActivationWords, MatrixRows};
use crate::tensor::{DType, Element};

use super::super::builder::{Builder, Lowered};
use super::super::place::{collapse, is_contiguous};
use super::product::{activation, rows_of};
use super::{operand, optional, optional_result, result};

mod conv;
mod matmul;

pub(super) use conv::conv;
pub(super) use matmul::matmul;

pub(super) fn grid(grid: Grid8) -> GridWords {
    GridWords { scale: grid.scale, zero: grid.zero, signed: grid.signed }
}

pub(super) fn linear(b: &mut Builder<'_>, node: &Node, op: &QuantizedLinear) -> Lowered<()> {
    let (x, w, y) = (operand(node, 0)?, operand(node, 3)?, result(node, 0)?);
    let weights = b.constant(w).ok_or("the weights are not constant")?;
    let &[rows, columns] = weights.shape() else { return Err("the weights are no matrix".into()) };
    let (k, n) = if op.transposed { (columns, rows) } else { (rows, columns) };
    let matrix = Matrix { k, n, transposed: op.transposed, padded: false };
    let shape = b.shape(x);
    let x_rows = rows_of(b, x)?;
    let grid = data_grid(b, node, 0)?;
    let (w, columns) = packed(b, node, weights, matrix)?;
    let stages = stages(b, node, QuantizedLinear::STAGES, &op.stages, rows_of)?;
    let before = &shape[..shape.len() - 1];
    let room = scratch_len(b.max_len(before), k).ok_or("the operand is too large")?;
    let scratch = (room > 0).then(|| b.scratch(DType::U32, room));
    let record = LinearI8Record {
        x: x_rows,
        grid,
        rows: b.extent(&product(before)),
        k: k as u32,
        n: n as u32,
        w,
        columns,
        stages,
        given: given(op.given),
        scratch,
        y: b.write(y),
    };
    b.step(KernelId::LinearI8, &record);
    Ok(())
}

/// What the operands of a product say of the one with this number.
fn data_grid(b: &mut Builder<'_>, node: &Node, at: usize) -> Lowered<GridRecord> {
    Ok(GridRecord {
        signed: b.dtype(operand(node, at)?) == DType::I8,
        scale: optional(node, at + 1).map(|v| b.read(v)).transpose()?,
        zero: optional(node, at + 2).map(|v| b.read(v)).transpose()?,
    })
}

/// What a matrix of weights is, beside its elements.
struct Matrix {
    k: usize,
    n: usize,
    /// It is `[n, k]`.
    transposed: bool,
    /// It has elements that operand 3 does not have, so that nobody else can share it.
    padded: bool,
}

/// The weights of a product in quads of rows and panels of columns, and what belongs to the
/// columns; `weights` is operand 3 as a matrix.
fn packed(
    b: &mut Builder<'_>,
    node: &Node,
    weights: &Tensor,
    Matrix { k, n, transposed, padded }: Matrix,
) -> Lowered<(In, ColumnsRecord)> {
    let w = operand(node, 3)?;
    // Unsigned weights are moved down by half of their range, and their zero points with them.
    let (flip, moved) = match weights.dtype() {
        DType::I8 => (0, 0),
        DType::U8 => (0x80, 128),
        other => return Err(format!("the weights are {other}, not of eight bits")),
    };
    let len = packed_quads_len(k, n).ok_or("the weights are too large")?;
    let (forms, (row, column)) = match transposed {
        false => (["quads_i8", "sums_i8"], (n, 1)),
        true => (["transposed_quads_i8", "transposed_sums_i8"], (1, k)),
    };
    let mut sums = vec![0i32; n.next_multiple_of(PANEL)];
    let mut pack = || {
        let mut quads = vec![0u32; len];
        pack_quads(weights.bytes(), flip, (k, n), (row, column), &mut quads, &mut sums);
        bytemuck::cast_slice(&quads).to_vec()
    };
    let (quads, sums) = if padded {
        let quads = b.table(&Tensor::from_bytes(DType::U32, &[len], &pack()));
        (quads, b.table(&Tensor::vector(&sums)))
    } else {
        let quads = b.packed(w, forms[0], DType::U32, pack);
        // Both are packed the first time that somebody asks.
        (quads, b.packed(w, forms[1], DType::I32, || bytemuck::cast_slice(&sums).to_vec()))
    };
    let scale = scales(b, node, n)?;
    let zeros = optional(node, 5);
    // Symmetric weights have zeros, which would be looked at behind each sum.
    let all_zero = |zeros: &Tensor| zeros.bytes().iter().all(|zero| *zero == 0);
    let symmetric = moved == 0 && zeros.is_none_or(|v| b.constant(v).is_some_and(all_zero));
    let zero = if symmetric {
        None
    } else {
        Some(by_column(b, zeros, n, "zero points", |zeros| {
            let zeros = match zeros {
                None => vec![0],
                Some(zeros) => integers(zeros)?,
            };
            Some(zeros.into_iter().map(|zero| zero - moved).collect())
        })?)
    };
    Ok((quads, ColumnsRecord { sums, scale, zero }))
}

/// The scale of each column of the weights of a product.
fn scales(b: &mut Builder<'_>, node: &Node, n: usize) -> Lowered<In> {
    by_column(b, optional(node, 4), n, "scales", |scales| match scales {
        None => Some(vec![1.0f32]),
        Some(scales) => Some(scales.as_slice::<f32>()?.to_vec()),
    })
}

fn given(given: Given) -> GivenRecord {
    match given {
        Given::Float => GivenRecord::Float,
        Given::Sums => GivenRecord::Sums(),
        Given::Quantized(of) => GivenRecord::Quantized(grid(of)),
    }
}

type Stages = arrayvec::ArrayVec<StageRecord, MOST_STAGES>;

/// Stages whose operands are those of the node from `at` on; `rows` says where matrices are.
pub(super) fn stages(
    b: &mut Builder<'_>,
    node: &Node,
    mut at: usize,
    stages: &[Stage],
    rows: impl Fn(&mut Builder<'_>, ValueId) -> Lowered<MatrixRows>,
) -> Lowered<Stages> {
    let mut records = Stages::new();
    for stage in stages {
        let given = if stage.reads() { Some(operand(node, at)?) } else { None };
        at += usize::from(stage.reads());
        let record = match (*stage, given) {
            (Stage::Round(of), _) => StageRecord::Round(grid(of)),
            (Stage::Activate(f), _) => StageRecord::Activate(ActivationWords::new(activation(f))),
            (Stage::Times(factor), _) => StageRecord::Times(factor),
            (Stage::Plus(summand), _) => StageRecord::Plus(summand),
            (Stage::MulRow, Some(v)) => StageRecord::MulRow(b.read(v)?),
            (Stage::AddRow, Some(v)) => StageRecord::AddRow(b.read(v)?),
            (Stage::Add, Some(v)) => StageRecord::Add(rows(b, v)?),
            (Stage::AddQuantized(of), Some(v)) => StageRecord::AddQuantized(rows(b, v)?, grid(of)),
            (_, None) => return Err("a stage has no operand".into()),
        };
        records.try_push(record).map_err(|_| "more stages than a step has")?;
    }
    Ok(records)
}

pub(super) fn chain(b: &mut Builder<'_>, node: &Node, op: &Chain) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    // Under other axes elements are taken in their order, and so are those of other operands.
    let in_order = op.stages.iter().any(Stage::reads) || b.shape(x) != b.shape(y);
    let rows = if in_order { None } else { Rows::as_they_lie(b, x)? };
    let (x, rows, n, perm) = match rows {
        Some(Rows { memory, rows, n, perm }) => (memory, rows, n, Some(perm)),
        None => {
            let shape = b.shape(x);
            let mut before = shape.len().saturating_sub(1);
            if !op.stages.iter().any(Stage::is_by_column) && are_whole(b, node)? {
                before = 0;
            }
            let (rows, n) = (product(&shape[..before]), product(&shape[before..]));
            (rows_of(b, x)?, b.extent(&rows), b.extent(&n), None)
        }
    };
    let stages = stages(b, node, 1, &op.stages, rows_of)?;
    let (from, given) = (op.from.map(grid), given(op.given));
    let y = match perm {
        Some(perm) => b.write_transposed(y, &perm),
        None => b.write(y),
    };
    b.step(KernelId::Chain, &ChainRecord { x, from, rows, n, stages, given, y });
    Ok(())
}

pub(super) fn softmax(b: &mut Builder<'_>, node: &Node, op: &Chain) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let shape = b.shape(x);
    let last = shape.len().checked_sub(1).ok_or("softmax of a scalar")?;
    let (before, n) = (product(&shape[..last]), &shape[last]);
    let chain = ChainRecord {
        x: rows_of(b, x)?,
        from: op.from.map(grid),
        rows: b.extent(&before),
        n: b.extent(n),
        stages: stages(b, node, 1, &op.stages, rows_of)?,
        given: given(op.given),
        y: b.write(y),
    };
    let room = softmax_room(b.upper(n)).ok_or("the operand is too large")?;
    let room = b.scratch(DType::F32, room);
    b.step(KernelId::SoftmaxI8, &SoftmaxI8Record { chain, room });
    Ok(())
}

pub(super) fn map_bytes(b: &mut Builder<'_>, node: &Node) -> Lowered<()> {
    let (x, table, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    let record = MapBytesRecord {
        signed: [x, y].map(|v| b.dtype(v) == DType::I8),
        x: b.read(x)?,
        len: b.extent(&product(b.shape(x))),
        table: b.read(table)?,
        y: b.write(y),
    };
    b.step(KernelId::MapBytes, &record);
    Ok(())
}

/// Whether all operands lie row-major, without gaps.
fn are_whole(b: &mut Builder<'_>, node: &Node) -> Lowered<bool> {
    for v in node.inputs.iter().flatten() {
        let place = b.place(*v)?;
        if !is_contiguous(b.shape(*v), &place.strides) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Elements of a value in the order in which they lie.
struct Rows {
    memory: MatrixRows,
    rows: Extent,
    n: Extent,
    /// Its axes in that order.
    perm: Vec<usize>,
}

impl Rows {
    /// A value as rows with the elements of each side by side, whatever the order of its axes.
    fn as_they_lie(b: &mut Builder<'_>, v: ValueId) -> Lowered<Option<Self>> {
        let (memory, place) = b.view(v)?;
        let shape = b.shape(v);
        let strides: Option<Vec<i64>> = place.strides.iter().map(Dim::fixed).collect();
        let Some(strides) = strides else { return Ok(None) };
        let mut perm: Vec<usize> = (0..shape.len()).collect();
        // Axes of one lie anywhere.
        perm.sort_by_key(|axis| {
            std::cmp::Reverse(if shape[*axis].is(1) { i64::MAX } else { strides[*axis] })
        });
        let lie: Vec<Dim> = perm.iter().map(|axis| shape[*axis].clone()).collect();
        let strides = perm.iter().map(|axis| place.strides[*axis].clone()).collect();
        let (extents, strides) = collapse(&lie, &[strides]);
        let one = Dim::Fixed(1);
        let (rows, stride, n, last) = match (&extents[..], &strides[0][..]) {
            ([], []) => (&one, &one, &one, &one),
            ([n], [last]) => (&one, n, n, last),
            ([rows, n], [stride, last]) => (rows, stride, n, last),
            _ => return Ok(None),
        };
        if !last.is(1) || stride.is(0) {
            return Ok(None);
        }
        let memory =
            MatrixRows { memory, offset: b.extent(&place.offset), stride: b.extent(stride) };
        Ok(Some(Self { memory, rows: b.extent(rows), n: b.extent(n), perm }))
    }
}

/// A table with one number for each of `n` columns, in whole panels, from one number or `n`.
fn by_column<T: bytemuck::Pod + Element>(
    b: &mut Builder<'_>,
    v: Option<ValueId>,
    n: usize,
    what: &str,
    numbers: impl FnOnce(Option<&Tensor>) -> Option<Vec<T>>,
) -> Lowered<In> {
    let tensor = v.map(|v| b.constant(v).ok_or("a scale is not constant")).transpose()?;
    let numbers = numbers(tensor).filter(|numbers| numbers.len() == 1 || numbers.len() == n);
    let numbers = numbers.ok_or_else(|| format!("the {what} do not fit"))?;
    let mut row = vec![T::zeroed(); n.next_multiple_of(PANEL)];
    for (to, i) in row.iter_mut().zip(0..n) {
        *to = numbers[i % numbers.len()];
    }
    Ok(b.table(&Tensor::vector(&row)))
}

/// Integers of eight bits as wider ones.
fn integers(tensor: &Tensor) -> Option<Vec<i32>> {
    let bytes = tensor.bytes().iter();
    match tensor.dtype() {
        DType::I8 => Some(bytes.map(|q| i32::from(*q as i8)).collect()),
        DType::U8 => Some(bytes.map(|q| i32::from(*q)).collect()),
        _ => None,
    }
}

pub(super) fn dynamic_quantize(b: &mut Builder<'_>, node: &Node) -> Lowered<()> {
    let x = operand(node, 0)?;
    let record = DynamicQuantizeRecord {
        len: b.extent(&product(b.shape(x))),
        x: b.read(x)?,
        y: b.write(result(node, 0)?),
        scale: optional_result(node, 1).map(|v| b.write(v)),
        zero: optional_result(node, 2).map(|v| b.write(v)),
    };
    b.step(KernelId::DynamicQuantize, &record);
    Ok(())
}
