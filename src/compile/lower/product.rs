//! Matrix products.

use crate::graph::dim::{Dim, product};
use crate::graph::ops::{self, Gemm};
use crate::graph::{Node, Tensor, ValueId};
use crate::kernels::Activation;
use crate::kernels::bf16::{pack_pairs, packed_pairs_len};
use crate::kernels::gemm::bf16::rounded_len;
use crate::kernels::pack::{pack_panels, packed_len};
use crate::runtime::KernelId;
use crate::runtime::record::In;
use crate::runtime::steps::product::{
    ActivationWords, LinearBf16Record, LinearRecord, MatMulRecord, Matrix, MatrixRows,
};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::super::place::{Place, collapse, contiguous};
use super::movement::broadcast;
use super::{operand, optional, result};

pub(super) fn activation(activation: ops::Activation) -> Activation {
    match activation {
        ops::Activation::None => Activation::None,
        ops::Activation::Relu => Activation::Relu,
        ops::Activation::LeakyRelu { alpha } => Activation::LeakyRelu(alpha),
        ops::Activation::Clip { min, max } => Activation::Clip(min, max),
        ops::Activation::Sigmoid => Activation::Sigmoid,
        ops::Activation::Tanh => Activation::Tanh,
        ops::Activation::Gelu => Activation::Gelu,
        ops::Activation::GeluTanh => Activation::GeluTanh,
        ops::Activation::Silu => Activation::Silu,
        ops::Activation::Swish { alpha } => Activation::Swish(alpha),
    }
}

pub(super) fn linear(
    b: &mut Builder<'_>,
    node: &Node,
    op: ops::Activation,
    transposed: bool,
) -> Lowered<()> {
    let (x, w) = (operand(node, 0)?, operand(node, 1)?);
    let weights = b.constant(w).ok_or("the weights are not constant")?;
    let (k, n) = depth_and_columns(weights, transposed)?;
    let shape = b.shape(x);
    let in_bf16 = weights.dtype() == DType::BF16;
    let pack = if in_bf16 { pack_bf16 } else { pack_f32 };
    let w = pack(b, w, weights, (k, n), transposed)?;
    let record = linear_record(b, node, op, (k, n), w)?;
    if !in_bf16 {
        b.step(KernelId::LinearF32, &record);
        return Ok(());
    }
    let len =
        rounded_len(b.max_len(&shape[..shape.len() - 1]), k).ok_or("the operand is too large")?;
    let rounded = (len > 0).then(|| b.scratch(DType::U32, len));
    b.step(KernelId::LinearBf16, &LinearBf16Record { linear: record, rounded });
    Ok(())
}

/// Rows and columns of weights that are `[n, k]` where they are transposed.
pub(super) fn depth_and_columns(weights: &Tensor, transposed: bool) -> Lowered<(usize, usize)> {
    match (weights.shape(), transposed) {
        (&[k, n], false) | (&[n, k], true) => Ok((k, n)),
        _ => Err("the weights are no matrix".into()),
    }
}

/// What all products have in common, whatever their packed weights are: `x · w`, a bias and a
/// residual.
pub(super) fn linear_record(
    b: &mut Builder<'_>,
    node: &Node,
    op: ops::Activation,
    (k, n): (usize, usize),
    w: In,
) -> Lowered<LinearRecord> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let shape = b.shape(x);
    let x_rows = rows_of(b, x)?;
    let (bias, residual) = (optional(node, 2), optional(node, 3));
    let others: Vec<ValueId> = [x].into_iter().chain(bias).collect();
    let bias = bias.map(|v| b.read(v)).transpose()?;
    let onto = residual.and_then(|v| b.write_onto(y, v, &others));
    let accumulate = onto.is_some();
    let residual = residual.filter(|_| !accumulate).map(|v| rows_of(b, v)).transpose()?;
    Ok(LinearRecord {
        x: x_rows,
        rows: b.extent(&product(&shape[..shape.len() - 1])),
        k: k as u32,
        n: n as u32,
        w,
        bias,
        residual,
        accumulate,
        activation: ActivationWords::new(activation(op)),
        y: onto.unwrap_or_else(|| b.write(y)),
    })
}

/// Weights in panels of 16 columns.
fn pack_f32(
    b: &mut Builder<'_>,
    w: ValueId,
    weights: &Tensor,
    (k, n): (usize, usize),
    transposed: bool,
) -> Lowered<In> {
    if weights.dtype() != DType::F32 {
        return Err("the weights are not f32".into());
    }
    // Four bytes each: in a file they are not aligned.
    let data: &[[u8; 4]] = bytemuck::cast_slice(weights.bytes());
    let len = packed_len(k, n).ok_or("the weights are too large")?;
    let (form, (row, column)) = match transposed {
        false => ("panels_f32", (n, 1)),
        true => ("transposed_panels_f32", (1, k)),
    };
    let pack = |panels: &mut [f32]| {
        pack_panels(data, k, n, row, column, bytemuck::cast_slice_mut(panels));
    };
    Ok(b.packed_f32(w, form, len, pack))
}

/// The same in bf16, two rows in a word.
fn pack_bf16(
    b: &mut Builder<'_>,
    w: ValueId,
    weights: &Tensor,
    (k, n): (usize, usize),
    transposed: bool,
) -> Lowered<In> {
    let len = packed_pairs_len(k, n).ok_or("the weights are too large")?;
    let (form, (row, column)) = match transposed {
        false => ("pairs_bf16", (n, 1)),
        true => ("transposed_pairs_bf16", (1, k)),
    };
    Ok(b.packed(w, form, DType::U32, || {
        let mut pairs = vec![0u32; len];
        pack_pairs(bytemuck::cast_slice(weights.bytes()), k, n, row, column, &mut pairs);
        bytemuck::cast_slice(&pairs).to_vec()
    }))
}

/// An operand as rows that may lie apart from one another; each is contiguous.
pub(super) fn rows_of(b: &mut Builder<'_>, v: ValueId) -> Lowered<MatrixRows> {
    let shape = b.shape(v);
    let last = shape.len() - 1;
    let strides = |place: &Place| {
        let (_, mut strides) = collapse(&shape[..last], &[place.strides[..last].to_vec()]);
        strides.pop().unwrap_or_default()
    };
    let place = b.place(v)?;
    let over = strides(&place);
    let apart = over.len() <= 1
        && (place.strides[last].is(1) || shape[last].is(1))
        && over.iter().all(|s| is_positive(b, s));
    if !apart {
        b.read(v)?;
    }
    let (memory, place) = b.view(v)?;
    let stride = strides(&place).pop().unwrap_or_else(|| shape[last].clone());
    Ok(MatrixRows { memory, offset: b.extent(&place.offset), stride: b.extent(&stride) })
}

pub(super) fn is_positive(b: &Builder<'_>, stride: &Dim) -> bool {
    stride.bounds(&b.graph.variables).0 >= 0
}

/// An operand as matrices `[batch.., rows, cols]` with strides.
pub(super) struct Side {
    value: ValueId,
    shape: Vec<Dim>,
    strides: Vec<Dim>,
}

impl Side {
    /// `value` with an axis of one inserted where it is a vector.
    fn new(b: &mut Builder<'_>, value: ValueId, vector_axis: usize) -> Lowered<Self> {
        let (mut shape, mut strides) = (b.shape(value).to_vec(), b.place(value)?.strides);
        if shape.len() == 1 {
            shape.insert(vector_axis, Dim::Fixed(1));
            strides.insert(vector_axis, Dim::Fixed(0));
        }
        Ok(Self { value, shape, strides })
    }

    fn transpose(&mut self) {
        let n = self.shape.len();
        self.shape.swap(n - 2, n - 1);
        self.strides.swap(n - 2, n - 1);
    }

    pub(super) fn rows(&self) -> &Dim {
        &self.shape[self.shape.len() - 2]
    }

    pub(super) fn cols(&self) -> &Dim {
        &self.shape[self.shape.len() - 1]
    }

    fn stride(&self, from_end: usize) -> &Dim {
        &self.strides[self.strides.len() - from_end]
    }

    /// Whether a kernel can walk it: strides forwards, and with `rows` each row contiguous.
    fn suits(&self, b: &Builder<'_>, rows: bool) -> bool {
        self.strides.iter().rev().take(2).all(|s| is_positive(b, s))
            && (!rows || self.stride(1).is(1) || self.cols().is(1))
    }

    pub(super) fn matrix(&self, b: &mut Builder<'_>, batch: &[Dim]) -> Lowered<Matrix> {
        let (memory, place) = b.view(self.value)?;
        Ok(Matrix {
            memory,
            offset: b.extent(&place.offset),
            row_stride: b.extent(self.stride(2)),
            col_stride: b.extent(self.stride(1)),
            batch: b.extents(batch)?,
        })
    }
}

pub(super) fn matmul(b: &mut Builder<'_>, node: &Node) -> Lowered<()> {
    let rows = b.dtype(operand(node, 0)?) == DType::F32;
    let operands = [operand(node, 0)?, operand(node, 1)?];
    let (left, right) = sides(b, operands, rows)?;
    multiply(b, node, left, right, (1.0, 1.0), None)
}

/// The operands of a product, copied where they do not suit; with `rows`, rows of the left one are
/// contiguous.
pub(super) fn sides(
    b: &mut Builder<'_>,
    [x, w]: [ValueId; 2],
    rows: bool,
) -> Lowered<(Side, Side)> {
    let sides = |b: &mut Builder<'_>| Ok::<_, String>((Side::new(b, x, 0)?, Side::new(b, w, 1)?));
    let (left, right) = sides(b)?;
    if !left.suits(b, rows) {
        b.read(x)?;
    }
    if !right.suits(b, false) {
        b.read(w)?;
    }
    sides(b)
}

pub(super) fn gemm(b: &mut Builder<'_>, node: &Node, op: &Gemm) -> Lowered<()> {
    let (x, w) = (operand(node, 0)?, operand(node, 1)?);
    let sides = |b: &mut Builder<'_>| {
        let (mut left, mut right) = (Side::new(b, x, 0)?, Side::new(b, w, 1)?);
        if op.trans_a {
            left.transpose();
        }
        if op.trans_b {
            right.transpose();
        }
        Ok::<_, String>((left, right))
    };
    let (mut left, right) = sides(b)?;
    if !right.suits(b, false) {
        b.read(w)?;
    }
    if !left.suits(b, false) {
        b.read(x)?;
    }
    let (again, right) = sides(b)?;
    left = again;
    if b.dtype(x) == DType::F32 && !left.suits(b, true) {
        return gemm_by_rows(b, node, op, left);
    }
    multiply(b, node, left, right, (op.alpha, op.beta), optional(node, 2))
}

/// A left operand whose rows are not contiguous is copied row by row first.
fn gemm_by_rows(b: &mut Builder<'_>, node: &Node, op: &Gemm, mut left: Side) -> Lowered<()> {
    let w = operand(node, 1)?;
    let (src, place) = b.view(left.value)?;
    let len = b.max_len(&left.shape);
    let copied = b.temporary(DType::F32, len);
    let to = contiguous(&left.shape);
    super::movement::copy(
        b,
        DType::F32,
        &left.shape,
        (src, &place.offset, &left.strides),
        (crate::runtime::record::Out(copied), &Dim::Fixed(0), &to),
    )?;
    left.strides = to;
    let mut right = Side::new(b, w, 1)?;
    if op.trans_b {
        right.transpose();
    }
    let a = Matrix {
        memory: In(copied),
        offset: b.extent(&Dim::Fixed(0)),
        row_stride: b.extent(left.stride(2)),
        col_stride: b.extent(left.stride(1)),
        batch: b.extents(&[])?,
    };
    finish(b, node, (&left, a), &right, (op.alpha, op.beta), optional(node, 2))
}

fn multiply(
    b: &mut Builder<'_>,
    node: &Node,
    left: Side,
    right: Side,
    factors: (f32, f32),
    addend: Option<ValueId>,
) -> Lowered<()> {
    let batch = batch_strides(&left, &right);
    let a = left.matrix(b, &batch.1)?;
    finish(b, node, (&left, a), &right, factors, addend)
}

pub(super) type Batch = (Vec<Dim>, Vec<Dim>, Vec<Dim>);

/// Shape of the batch, and the strides of both operands over it.
pub(super) fn batch_strides(left: &Side, right: &Side) -> Batch {
    let outer = |side: &Side| side.shape.len() - 2;
    let (a, b) = (&left.shape[..outer(left)], &right.shape[..outer(right)]);
    let (long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let mut shape = long.to_vec();
    for (n, other) in shape.iter_mut().rev().zip(short.iter().rev()).filter(|(n, _)| n.is(1)) {
        n.clone_from(other);
    }
    let of = |side: &Side| {
        let axes = outer(side);
        broadcast(&side.shape[..axes], &side.strides[..axes], &shape)
    };
    let (shape, mut strides) = collapse(&shape, &[of(left), of(right)]);
    let second = strides.pop().unwrap_or_default();
    let first = strides.pop().unwrap_or_default();
    (shape, first, second)
}

fn finish(
    b: &mut Builder<'_>,
    node: &Node,
    (left, a): (&Side, Matrix),
    right: &Side,
    (alpha, beta): (f32, f32),
    addend: Option<ValueId>,
) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let batch = batch_strides(left, right);
    let (k, n) = (right.rows().clone(), right.cols().clone());
    let vector = b.dtype(x) == DType::F32;
    if !vector
        && !matches!(b.dtype(x), DType::F64 | DType::I32 | DType::I64 | DType::U32 | DType::U64)
    {
        return Err(format!("no product of {}", b.dtype(x)));
    }
    let rows_apart = !right.stride(1).is(1) && !n.is(1) || n.is(1) && !right.stride(2).is(1);
    let panels = if vector && rows_apart {
        let len = packed_len(b.upper(&k), b.upper(&n)).ok_or("an operand is too large")?;
        Some(b.scratch(DType::F32, len))
    } else {
        None
    };
    let d = match addend.filter(|_| beta != 0.0) {
        None => None,
        Some(v) => {
            let (_, place) = b.view(v)?;
            let shape = [left.rows().clone(), n.clone()];
            let strides = broadcast(b.shape(v), &place.strides, &shape);
            Some(Side { value: v, shape: shape.to_vec(), strides }.matrix(b, &[])?)
        }
    };
    let record = MatMulRecord {
        batch: b.extents(&batch.0)?,
        m: b.extent(left.rows()),
        n: b.extent(&n),
        k: b.extent(&k),
        a,
        b: right.matrix(b, &batch.2)?,
        c: b.write(y),
        panels,
        alpha,
        d,
        beta,
    };
    b.step(if vector { KernelId::MatMulF32 } else { KernelId::MatMul }, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
