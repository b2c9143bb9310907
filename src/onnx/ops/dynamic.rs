//! Operators whose results' size depends on the data: planned for the largest, measured when they
//! run.

use crate::graph::dim::product;
use crate::graph::ops::{Measure, NonMaxSuppression, Unique};
use crate::graph::{Dim, Op, Tensor, ValueId, VarId, Variable};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

/// A number of elements that only a run knows, at most `most`.
fn count(call: &mut Call, most: &Dim) -> VarId {
    let most = most.upper(call.variables());
    let name = format!("{}.len", call.label);
    call.builder.add_variable(Variable::measured(name, 0, most))
}

/// Adds an operator whose last result is the number that `len` is.
fn counted(
    call: &mut Call,
    op: Op,
    inputs: &[Option<ValueId>],
    len: VarId,
) -> Imported<Vec<ValueId>> {
    let mut results = call.emit(op, inputs)?;
    let found = results.pop();
    let measure = Measure { numbers: vec![(0, len)], saturate: false };
    call.emit(Op::Measure(measure), &[found])?;
    Ok(results)
}

/// The positions of elements that are not zero, `[rank, len]`.
fn positions(call: &mut Call, x: ValueId) -> Imported<ValueId> {
    let shape = call.shape(x);
    // A scalar counts as a vector.
    let x = if shape.is_empty() { call.unsqueeze(x, &[0])? } else { x };
    if let Some(tensor) = call.builder.constant(x) {
        let tensor = positions_of(tensor);
        return Ok(call.constant(tensor));
    }
    if let Some(found) = call.builder.positions.get(&x) {
        return Ok(*found);
    }
    let len = count(call, &product(&shape));
    let results = counted(call, Op::NonZero { len: Dim::var(len) }, &[Some(x)], len)?;
    let found = results.first().copied();
    let found = found.ok_or_else(|| call.problem("the operator has no result"))?;
    call.builder.positions.insert(x, found);
    Ok(found)
}

/// The same of a constant.
fn positions_of(tensor: &Tensor) -> Tensor {
    let numbers = tensor.to_f64s();
    let places: Vec<usize> =
        numbers.iter().enumerate().filter(|(_, v)| **v != 0.0).map(|(i, _)| i).collect();
    let mut rows = Vec::with_capacity(places.len() * tensor.shape().len());
    let mut inner = numbers.len();
    for extent in tensor.shape() {
        inner = inner.checked_div(*extent).unwrap_or(0);
        rows.extend(places.iter().map(|place| (place / inner.max(1) % extent.max(&1)) as i64));
    }
    Tensor::new(&[tensor.shape().len(), places.len()], &rows)
}

pub(super) fn non_zero(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    Ok(vec![positions(call, x)?])
}

/// Keeps positions for which the condition holds.
pub(super) fn compress(call: &mut Call) -> Imported {
    let (x, condition) = (call.input(0)?, call.input(1)?);
    if call.dtype_of(condition) != DType::Bool || call.shape(condition).len() != 1 {
        return call.fail("the condition is no vector of bool");
    }
    let (x, axis) = match call.int("axis")? {
        Some(axis) => (x, call.axis(axis, call.shape(x).len())?),
        None => {
            let len = product(&call.shape(x));
            (call.reshape(x, vec![len])?, 0)
        }
    };
    let extent = call.shape(x).get(axis).cloned().unwrap_or(Dim::Fixed(0));
    let given = call.shape(condition).first().cloned().unwrap_or(Dim::Fixed(0));
    let len = Dim::min(&given, &extent, call.variables());
    let condition = call.slice(condition, 0, Dim::Fixed(0), len)?;
    let rows = positions(call, condition)?;
    let kept = call.shape(rows).get(1).cloned().unwrap_or(Dim::Fixed(0));
    let indices = call.reshape(rows, vec![kept])?;
    Ok(vec![call.one(Op::Gather { axis }, &[x, indices])?])
}

pub(super) fn unique(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let sorted = call.flag("sorted", true)?;
    let (x, axis) = match call.int("axis")? {
        Some(axis) => (x, call.axis(axis, call.shape(x).len())?),
        None => {
            let len = product(&call.shape(x));
            (call.reshape(x, vec![len])?, 0)
        }
    };
    let slices = call.shape(x).get(axis).cloned().unwrap_or(Dim::Fixed(0));
    let len = count(call, &slices);
    let op = Unique { axis, sorted, len: Dim::var(len) };
    counted(call, Op::Unique(op), &[Some(x)], len)
}

pub(super) fn non_max_suppression(call: &mut Call) -> Imported {
    let (boxes, scores) = (call.input(0)?, call.input(1)?);
    let centred = call.flag("center_point_box", false)?;
    let [batches, classes, boxes_len] = match &call.shape(scores)[..] {
        [a, b, c] => [a, b, c].map(Dim::clone),
        other => return call.fail(format!("scores {} are not of rank 3", call.show(other))),
    };
    let most = match call.optional(2) {
        Some(most) if call.dtype_of(most) == DType::I64 => most,
        Some(_) => return call.fail("the most boxes of a class are not i64"),
        None => call.constant(Tensor::scalar(0i64)),
    };
    let each = match call.builder.known(most).as_deref() {
        Some([most]) => {
            let most = Dim::max(most, &Dim::Fixed(0), call.variables());
            Dim::min(&most, &boxes_len, call.variables())
        }
        _ => boxes_len,
    };
    let mut operands = vec![Some(boxes), Some(scores)];
    for i in [2, 3, 4] {
        let scalar = if i == 2 { Some(most) } else { call.optional(i) };
        if let Some(id) = scalar
            && !product(&call.shape(id)).is(1)
        {
            return call.fail(format!("input {i} is no single number"));
        }
        operands.push(scalar);
    }
    let len = count(call, &(batches * classes * each));
    let op = NonMaxSuppression { centred, len: Dim::var(len) };
    counted(call, Op::NonMaxSuppression(op), &operands, len)
}
