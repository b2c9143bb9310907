//! Sequences and optional values: lists of values that are known while a model is read.
//!
//! Nothing of them is left in the graph. Positions and lengths must be known, but for the list
//! that a loop of open length fills: a tensor whose first axis are the elements.

use crate::graph::{Dim, Fact, Tensor, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

/// Parts that a sequence is split into, at most.
const MAX_PARTS: i64 = 1 << 16;

/// Operand `i`, which must be a sequence.
fn sequence(call: &Call, i: usize) -> Imported<Vec<ValueId>> {
    let id = call.input(i)?;
    match call.builder.sequence(id) {
        Some(elements) => Ok(elements.to_vec()),
        None => call.fail(format!("input {i} is no sequence of known length")),
    }
}

/// Operand `i`, which must be a tensor.
fn tensor(call: &Call, i: usize) -> Imported<ValueId> {
    let id = call.input(i)?;
    if call.builder.is_tensor(id) { Ok(id) } else { call.fail(format!("input {i} is no tensor")) }
}

/// The one number of operand `i`, which must be known.
fn number(call: &Call, i: usize) -> Imported<i64> {
    match call.known_numbers(i)?.as_deref() {
        Some([one]) => Ok(*one),
        _ => call.fail(format!("input {i} is not one number")),
    }
}

/// The position that operand `i` names among `len`, counted from either end.
fn position(call: &Call, i: usize, len: usize) -> Imported<usize> {
    let at = number(call, i)?;
    let from_front = if at < 0 { at.saturating_add(len as i64) } else { at };
    let found = usize::try_from(from_front).ok().filter(|p| *p < len);
    found.ok_or_else(|| call.problem(format!("there is no position {at} among {len}")))
}

fn give(call: &mut Call, elements: Vec<ValueId>) -> Imported {
    let label = call.label.clone();
    Ok(vec![call.builder.add_sequence(&label, elements)])
}

pub(super) fn construct(call: &mut Call) -> Imported {
    let elements = (0..call.inputs.len()).map(|i| tensor(call, i)).collect::<Imported<Vec<_>>>()?;
    let dtypes = elements.iter().map(|id| call.dtype_of(*id));
    if dtypes.clone().zip(dtypes.skip(1)).any(|(a, b)| a != b) {
        return call.fail("its inputs differ in element type");
    }
    give(call, elements)
}

pub(super) fn empty(call: &mut Call) -> Imported {
    call.dtype("dtype")?;
    give(call, Vec::new())
}

pub(super) fn insert(call: &mut Call) -> Imported {
    let (mut elements, x) = (sequence(call, 0)?, tensor(call, 1)?);
    // The place behind the last is a position here.
    let at = match call.optional(2) {
        Some(_) => {
            let behind = number(call, 2)? == elements.len() as i64;
            if behind { elements.len() } else { position(call, 2, elements.len())? }
        }
        None => elements.len(),
    };
    if elements.first().is_some_and(|first| call.dtype_of(*first) != call.dtype_of(x)) {
        return call.fail("the sequence has another element type");
    }
    elements.insert(at, x);
    give(call, elements)
}

pub(super) fn erase(call: &mut Call) -> Imported {
    let mut elements = sequence(call, 0)?;
    let at = match (call.optional(1), elements.len().checked_sub(1)) {
        (Some(_), _) => position(call, 1, elements.len())?,
        (None, Some(last)) => last,
        (None, None) => return call.fail("the sequence is empty"),
    };
    elements.remove(at);
    give(call, elements)
}

pub(super) fn at(call: &mut Call) -> Imported {
    let id = call.input(0)?;
    if let Some(stack) = call.builder.stack(id) {
        return Ok(vec![row(call, stack)?]);
    }
    let elements = sequence(call, 0)?;
    let at = position(call, 1, elements.len())?;
    Ok(elements.get(at).copied().into_iter().collect())
}

/// The element of a list of open length that operand 1 names.
fn row(call: &mut Call, stack: ValueId) -> Imported<ValueId> {
    let (at, mut shape) = (number(call, 1)?, call.shape(stack));
    let len = shape.remove(0);
    let from_front = if at < 0 { len.clone() + Dim::Fixed(at) } else { Dim::Fixed(at) };
    let behind = len.clone() - from_front.clone();
    if from_front.bounds(call.variables()).0 < 0 || behind.bounds(call.variables()).0 < 1 {
        let len = call.show(&[len]);
        return call.fail(format!("there may be no position {at} among {len}"));
    }
    let row = call.slice(stack, 0, from_front, Dim::Fixed(1))?;
    call.reshape(row, shape)
}

pub(super) fn length(call: &mut Call) -> Imported {
    let id = call.input(0)?;
    if let Some(stack) = call.builder.stack(id) {
        let len = call.shape(stack).swap_remove(0);
        let fact = Fact { dtype: DType::I64, shape: Vec::new() };
        return Ok(vec![call.builder.add_known(&call.label, &fact, vec![len])]);
    }
    let len = sequence(call, 0)?.len();
    Ok(vec![call.constant(Tensor::scalar(len as i64))])
}

pub(super) fn split(call: &mut Call) -> Imported {
    let x = tensor(call, 0)?;
    let shape = call.shape(x);
    let axis = call.int_or("axis", 0)?;
    let axis = call.axis(axis, shape.len())?;
    let keep = call.flag("keepdims", true)?;
    let whole = shape.get(axis).cloned().unwrap_or(Dim::Fixed(0));
    let chunk = match call.optional(1) {
        None => Some(1),
        Some(id) if call.shape(id).is_empty() => Some(number(call, 1)?),
        Some(_) => None,
    };
    let parts: Vec<Dim> = match chunk {
        None => call.known(1)?,
        Some(chunk) => {
            let n = call.fixed(&whole, "the axis that is split")?;
            if chunk < 1 || n / chunk >= MAX_PARTS {
                return call.fail(format!("parts of {chunk} do not split {n}"));
            }
            (0..n).step_by(chunk as usize).map(|at| Dim::Fixed(chunk.min(n - at))).collect()
        }
    };
    let total = parts.iter().fold(Dim::Fixed(0), |a, b| a + b.clone());
    if total != whole || parts.iter().any(|p| p.bounds(call.variables()).0 < 0) {
        let (parts, whole) = (call.show(&parts), call.show(&[whole]));
        return call.fail(format!("the parts {parts} do not split {whole}"));
    }
    let drops = call.optional(1).is_none() && !keep;
    let mut elements = Vec::with_capacity(parts.len());
    let mut start = Dim::Fixed(0);
    for part in parts {
        let mut piece = call.slice(x, axis, start.clone(), part.clone())?;
        if drops {
            let mut shape = call.shape(piece);
            shape.remove(axis);
            piece = call.reshape(piece, shape)?;
        }
        elements.push(piece);
        start = start + part;
    }
    give(call, elements)
}

pub(super) fn concat(call: &mut Call) -> Imported {
    let id = call.input(0)?;
    if let Some(stack) = call.builder.stack(id) {
        return Ok(vec![joined(call, stack)?]);
    }
    let mut elements = sequence(call, 0)?;
    let axis = call.int("axis")?;
    let axis = call.required("axis", axis)?;
    let new_axis = call.flag("new_axis", false)?;
    let Some(first) = elements.first() else { return call.fail("the sequence is empty") };
    let rank = call.shape(*first).len() + usize::from(new_axis);
    let axis = call.axis(axis, rank)?;
    if new_axis {
        for x in &mut elements {
            *x = call.unsqueeze(*x, &[axis])?;
        }
    }
    Ok(vec![call.concat(&elements, axis)?])
}

/// A list of open length one behind the other.
fn joined(call: &mut Call, stack: ValueId) -> Imported<ValueId> {
    let axis = call.int("axis")?;
    let axis = call.required("axis", axis)?;
    let new_axis = call.flag("new_axis", false)?;
    let rank = call.shape(stack).len();
    let axis = call.axis(axis, rank - usize::from(!new_axis))?;
    // The elements move to where they are joined.
    let mut perm: Vec<usize> = (1..rank).collect();
    perm.insert(axis, 0);
    let mut x = call.transpose(stack, perm)?;
    if !new_axis {
        let mut shape = call.shape(x);
        let elements = shape.remove(axis);
        shape[axis] = elements * shape[axis].clone();
        x = call.reshape(x, shape)?;
    }
    Ok(x)
}

/// An optional value that is there is the value itself.
pub(super) fn optional(call: &mut Call) -> Imported {
    call.attributes.ignore("type");
    Ok(vec![match call.optional(0) {
        Some(id) => id,
        None => call.builder.add_absent(&call.label),
    }])
}

pub(super) fn has_element(call: &mut Call) -> Imported {
    let there = call.optional(0).is_some_and(|id| !call.builder.is_absent(id));
    let there = Tensor::from_bytes(DType::Bool, &[], &[u8::from(there)]);
    Ok(vec![call.constant(there)])
}

pub(super) fn get_element(call: &mut Call) -> Imported {
    let id = call.input(0)?;
    if call.builder.is_absent(id) {
        return call.fail("the optional value that it takes the element of is empty");
    }
    Ok(vec![id])
}
