//! Operators that pick or place elements by index.

use crate::graph::ops::{Binary, Scatter};
use crate::graph::{Dim, Fact, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

/// The axis attribute, default 0.
fn axis_of(call: &Call, x: ValueId) -> Imported<usize> {
    let axis = call.int_or("axis", 0)?;
    call.axis(axis, call.shape(x).len())
}

pub(super) fn gather(call: &mut Call) -> Imported {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let axis = axis_of(call, x)?;
    Ok(vec![call.one(Op::Gather { axis }, &[x, indices])?])
}

pub(super) fn gather_elements(call: &mut Call) -> Imported {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let axis = axis_of(call, x)?;
    check_inside(call, indices, x, axis)?;
    Ok(vec![call.one(Op::GatherElements { axis }, &[x, indices])?])
}

/// Indices may be shorter than the data on other axes, never longer.
fn check_inside(call: &Call, indices: ValueId, x: ValueId, axis: usize) -> Imported<()> {
    let (at, shape) = (call.shape(indices), call.shape(x));
    let fits = at.len() == shape.len()
        && at.iter().zip(&shape).enumerate().all(|(i, (a, n))| {
            i == axis || (n.clone() - a.clone()).bounds(call.variables()).0 >= 0
        });
    if fits {
        return Ok(());
    }
    call.fail(format!("indices {} do not fit into {}", call.show(&at), call.show(&shape)))
}

pub(super) fn gather_nd(call: &mut Call) -> Imported {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let batch_dims = call.int_or("batch_dims", 0)?;
    let (shape, at) = (call.shape(x), call.shape(indices));
    let shared = usize::try_from(batch_dims).unwrap_or(usize::MAX);
    if shared >= shape.len().min(at.len()) || shape.get(..shared) != at.get(..shared) {
        return call
            .refuse("batch_dims", format!("is {batch_dims}, which the operands do not share"));
    }
    Ok(vec![call.one(Op::GatherNd { batch_dims: shared }, &[x, indices])?])
}

fn scatter(call: &Call, axis: usize) -> Imported<Scatter> {
    Ok(match call.string_or("reduction", "none")? {
        "none" => Scatter::Replace { axis },
        "add" => Scatter::Add { axis },
        "mul" => Scatter::Mul { axis },
        "min" => Scatter::Min { axis },
        "max" => Scatter::Max { axis },
        other => return call.refuse("reduction", format!("is {other:?}")),
    })
}

pub(super) fn scatter_elements(call: &mut Call) -> Imported {
    let (x, indices, updates) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let axis = axis_of(call, x)?;
    let op = scatter(call, axis)?;
    check_inside(call, indices, x, axis)?;
    if call.shape(indices) != call.shape(updates) || call.dtype_of(x) != call.dtype_of(updates) {
        return call.fail("the updates do not match the indices in shape or the data in type");
    }
    Ok(vec![call.one(Op::ScatterElements(op), &[x, indices, updates])?])
}

pub(super) fn scatter_nd(call: &mut Call) -> Imported {
    let (x, indices, updates) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let op = scatter(call, 0)?;
    let (shape, at) = (call.shape(x), call.shape(indices));
    let Some((tuple, outer)) = at.split_last() else {
        return call.fail("the indices are a scalar");
    };
    let tuple = call.size(tuple, "the last axis of the indices")?;
    let Some(rest) = shape.get(tuple..) else {
        return call.fail(format!("index tuples of {tuple} do not address {}", call.show(&shape)));
    };
    if [outer, rest].concat() != call.shape(updates) || call.dtype_of(x) != call.dtype_of(updates) {
        return call.fail("the updates do not match the indices in shape or the data in type");
    }
    Ok(vec![call.one(Op::ScatterNd(op), &[x, indices, updates])?])
}

/// Writes new steps into a cache, each batch at its own position.
pub(super) fn tensor_scatter(call: &mut Call) -> Imported {
    let (cache, update) = (call.input(0)?, call.input(1)?);
    let (shape, new) = (call.shape(cache), call.shape(update));
    let axis = call.int_or("axis", -2)?;
    let axis = call.axis(axis, shape.len())?;
    let circular = match call.string_or("mode", "linear")? {
        "linear" => false,
        "circular" => true,
        other => return call.refuse("mode", format!("is {other:?}, not linear or circular")),
    };
    let (Some(steps), Some(room), Some(batch)) = (new.get(axis), shape.get(axis), shape.first())
    else {
        return call.fail("cache and update differ in rank");
    };
    if axis == 0 {
        return call.refuse("axis", "is the batch axis");
    }
    let mut at = call.range(0, steps.clone())?;
    let mut column = vec![Dim::Fixed(1); shape.len()];
    if let Some(slot) = column.get_mut(axis) {
        *slot = steps.clone();
    }
    at = call.reshape(at, column)?;
    if let Some(first) = call.optional(2) {
        let first = call.cast(first, DType::I64)?;
        let mut rows = vec![Dim::Fixed(1); shape.len()];
        if let Some(slot) = rows.first_mut() {
            *slot = batch.clone();
        }
        let first = call.reshape(first, rows)?;
        at = call.binary(Binary::Add, at, first)?;
    }
    if circular {
        let fact = Fact { dtype: DType::I64, shape: Vec::new() };
        let room = call.builder.add_known(&call.label, &fact, vec![room.clone()]);
        at = call.binary(Binary::Mod, at, room)?;
    }
    let at = call.expand(at, new)?;
    check_inside(call, at, cache, axis)?;
    Ok(vec![call.one(Op::ScatterElements(Scatter::Replace { axis }), &[cache, at, update])?])
}

pub(super) fn one_hot(call: &mut Call) -> Imported {
    let (indices, values) = (call.input(0)?, call.input(2)?);
    let depth = match call.builder.constant(call.input(1)?).map(Tensor::to_f64s).as_deref() {
        Some([depth]) if depth.fract() == 0.0 && depth.abs() < 1e15 => Dim::Fixed(*depth as i64),
        _ if call.dtype_of(call.input(1)?).is_float() => return Err(call.not_constant(1)),
        _ => call.known_scalar(1)?,
    };
    if depth.bounds(call.variables()).0 < 1 {
        return call
            .fail(format!("a depth of {} is not possible", depth.display(call.variables())));
    }
    let rank = call.shape(indices).len();
    let axis = call.int_or("axis", -1)?;
    let axis = call.axis(axis, rank + 1)?;
    if call.shape(values) != [Dim::Fixed(2)] {
        return call.fail("the values are not a pair [off, on]");
    }
    let indices = match call.dtype_of(indices) {
        DType::I32 | DType::I64 => indices,
        _ => call.cast(indices, DType::I64)?,
    };
    Ok(vec![call.one(Op::OneHot { axis, depth }, &[indices, values])?])
}
