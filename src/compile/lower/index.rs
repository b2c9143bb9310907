//! Operators that pick or place elements by index.

use crate::graph::dim::{Dim, product};
use crate::graph::ops::Scatter;
use crate::graph::{Node, ValueId};
use crate::kernels::index::ScatterCode;
use crate::runtime::KernelId;
use crate::runtime::record::{In, Out};
use crate::runtime::steps::index::{
    AlongRecord, GatherElementsRecord, GatherNdRecord, GatherRecord, OneHotRecord,
    ScatterElementsRecord, ScatterNdRecord,
};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::super::place::{Place, collapse, contiguous};
use super::elementwise::converted;
use super::lanes::lanes;
use super::movement::copy;
use super::{operand, result};

fn width(b: &Builder<'_>, v: ValueId) -> u32 {
    b.dtype(v).bytes() as u32
}

/// Indices as the kernels take them; those of another type are converted first.
fn indices(b: &mut Builder<'_>, v: ValueId) -> Lowered<In> {
    if matches!(b.dtype(v), DType::I32 | DType::I64) {
        return b.read(v);
    }
    converted(b, v, DType::I64)
}

/// The only index, where it is known and certain to be inside: the gather is a view then.
fn known_index(b: &Builder<'_>, at: ValueId, extent: &Dim) -> Option<Dim> {
    let index = match b.constant(at)?.to_i64s()?[..] {
        [index] => index,
        _ => return None,
    };
    let least = extent.bounds(&b.graph.variables).0;
    if index >= 0 && index < least {
        return Some(Dim::Fixed(index));
    }
    (index < 0 && index >= -least).then(|| extent.clone() + Dim::Fixed(index))
}

pub(super) fn gather(b: &mut Builder<'_>, node: &Node, axis: usize) -> Lowered<()> {
    let (x, at, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    if let Some(index) = known_index(b, at, &b.shape(x)[axis]) {
        let Place { storage, offset, mut strides } = b.place(x)?;
        let offset = offset + strides[axis].clone() * index;
        let one = std::iter::repeat_n(Dim::Fixed(1), b.shape(at).len());
        strides.splice(axis..=axis, one);
        b.alias(y, Place { storage, offset, strides });
        return Ok(());
    }
    let (data, indices, shape) = (b.read(x)?, indices(b, at)?, b.shape(x));
    let record = GatherRecord {
        data,
        indices,
        out: b.write(y),
        width: width(b, x),
        lanes: lanes(b, shape, axis),
        len: b.extent(&product(b.shape(at))),
    };
    b.step(KernelId::Gather, &record);
    Ok(())
}

pub(super) fn gather_nd(b: &mut Builder<'_>, node: &Node, batch_dims: usize) -> Lowered<()> {
    let (x, at, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    let (from, tuples) = (b.shape(x), b.shape(at));
    let Some((tuple, many)) = tuples.split_last() else { return Err("no index tuples".into()) };
    let tuple = tuple.fixed().unwrap_or(0).max(0) as usize;
    if many.get(..batch_dims) != from.get(..batch_dims) {
        return Err("data and indices differ in their batches".into());
    }
    let record = GatherNdRecord {
        data: b.read(x)?,
        indices: indices(b, at)?,
        out: b.write(y),
        width: width(b, x),
        dims: b.extents(&from[batch_dims..batch_dims + tuple])?,
        batches: b.extent(&product(&from[..batch_dims])),
        tuples: b.extent(&product(&many[batch_dims..])),
        inner: b.extent(&product(&from[batch_dims + tuple..])),
    };
    b.step(KernelId::GatherNd, &record);
    Ok(())
}

/// Where indices of shape `shape` reach in a tensor at `place`.
fn along(
    b: &mut Builder<'_>,
    shape: &[Dim],
    from: &[Dim],
    place: &Place,
    axis: usize,
) -> Lowered<AlongRecord> {
    let reaches = |(i, (n, room)): (usize, (&Dim, &Dim))| {
        i == axis || (room.clone() - n.clone()).bounds(&b.graph.variables).0 >= 0
    };
    if shape.len() != from.len() || axis >= shape.len() {
        return Err("data and indices differ in rank".into());
    }
    if !shape.iter().zip(from).enumerate().all(reaches) {
        return Err("the indices reach past the data".into());
    }
    let mut strides = place.strides.clone();
    strides[axis] = Dim::Fixed(0);
    let (joined, strides) = collapse(shape, &[contiguous(shape), strides]);
    Ok(AlongRecord {
        shape: b.extents(&joined)?,
        offset: b.extent(&place.offset),
        strides: b.extents(&strides[1])?,
        axis_stride: b.extent(&place.strides[axis]),
        axis_extent: b.extent(&from[axis]),
    })
}

pub(super) fn gather_elements(b: &mut Builder<'_>, node: &Node, axis: usize) -> Lowered<()> {
    let (x, at, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    let indices = indices(b, at)?;
    let (data, place) = b.view(x)?;
    let (shape, from) = (b.shape(at), b.shape(x));
    let along = along(b, shape, from, &place, axis)?;
    let record = GatherElementsRecord { data, indices, out: b.write(y), width: width(b, x), along };
    b.step(KernelId::GatherElements, &record);
    Ok(())
}

fn scatter_code(op: Scatter) -> ScatterCode {
    match op {
        Scatter::Replace { .. } => ScatterCode::Replace,
        Scatter::Add { .. } => ScatterCode::Add,
        Scatter::Mul { .. } => ScatterCode::Mul,
        Scatter::Min { .. } => ScatterCode::Min,
        Scatter::Max { .. } => ScatterCode::Max,
    }
}

/// The data of a scatter in the memory of its result: where they lie, if nobody reads them later,
/// else a copy.
fn scattered(b: &mut Builder<'_>, x: ValueId, y: ValueId, others: [ValueId; 2]) -> Lowered<Out> {
    let from = b.place(x)?;
    let mut apart = true;
    for other in others {
        apart &= b.place(other)?.storage != from.storage;
    }
    if apart {
        let out = b.write_shared(y, &[x], &[x]);
        if b.place(y)?.storage == from.storage {
            return Ok(Out(out.0));
        }
    } else {
        b.write(y);
    }
    let (src, place) = b.view(x)?;
    let (dst, to) = b.view(y)?;
    let (dtype, shape) = (b.dtype(x), b.shape(x));
    let target = (Out(dst.0), &to.offset, &to.strides[..]);
    copy(b, dtype, shape, (src, &place.offset, &place.strides), target)?;
    Ok(Out(dst.0))
}

pub(super) fn scatter_elements(b: &mut Builder<'_>, node: &Node, op: Scatter) -> Lowered<()> {
    let (x, at, new) = (operand(node, 0)?, operand(node, 1)?, operand(node, 2)?);
    let y = result(node, 0)?;
    if b.shape(at) != b.shape(new) {
        return Err("indices and updates differ in shape".into());
    }
    let (indices, updates) = (indices(b, at)?, b.read(new)?);
    let out = scattered(b, x, y, [at, new])?;
    let place = b.place(y)?;
    let (shape, from) = (b.shape(at), b.shape(x));
    let along = along(b, shape, from, &place, op.axis())?;
    let record =
        ScatterElementsRecord { out, indices, updates, op: scatter_code(op) as u32, along };
    b.step(KernelId::ScatterElements, &record);
    Ok(())
}

pub(super) fn scatter_nd(b: &mut Builder<'_>, node: &Node, op: Scatter) -> Lowered<()> {
    let (x, at, new) = (operand(node, 0)?, operand(node, 1)?, operand(node, 2)?);
    let y = result(node, 0)?;
    let (data, tuples) = (b.shape(x), b.shape(at));
    let (tuple, many) = match tuples.split_last() {
        Some((tuple, many)) => (tuple.fixed().unwrap_or(-1), many),
        None => return Err("no index tuples".into()),
    };
    let split = usize::try_from(tuple).ok().filter(|n| *n <= data.len());
    let Some(tuple) = split else { return Err("index tuples longer than the data's rank".into()) };
    if b.shape(new) != [many, &data[tuple..]].concat() {
        return Err("updates do not suit data and indices".into());
    }
    let (indices, updates) = (indices(b, at)?, b.read(new)?);
    let record = ScatterNdRecord {
        out: scattered(b, x, y, [at, new])?,
        indices,
        updates,
        op: scatter_code(op) as u32,
        dims: b.extents(&data[..tuple])?,
        tuples: b.extent(&product(many)),
        inner: b.extent(&product(&data[tuple..])),
    };
    b.step(KernelId::ScatterNd, &record);
    Ok(())
}

pub(super) fn one_hot(b: &mut Builder<'_>, node: &Node, axis: usize) -> Lowered<()> {
    let (at, values, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    if !product(b.shape(values)).is(2) {
        return Err("the values are not a pair".into());
    }
    let shape = b.shape(y);
    let record = OneHotRecord {
        indices: indices(b, at)?,
        values: b.read(values)?,
        out: b.write(y),
        width: width(b, y),
        lanes: lanes(b, shape, axis),
    };
    b.step(KernelId::OneHot, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
