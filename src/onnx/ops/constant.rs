//! Values made from nothing but numbers and shapes.

use crate::graph::{Dim, Fact, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};
use super::super::proto::TensorProto;
use super::super::tensor::decode_sparse;
use super::super::text::TEXT_CODE;

/// Dense forms of sparse constants are at most this large.
const SPARSE_LIMIT: usize = 256 << 20;

pub(super) fn constant(call: &mut Call) -> Imported {
    let mut found = Vec::new();
    match text_value(call)? {
        Some(text) => return Ok(vec![text]),
        None => found.extend(call.tensor("value")?),
    }
    found.extend(call.float("value_float")?.map(Tensor::scalar));
    found.extend(call.floats("value_floats")?.map(Tensor::vector));
    found.extend(call.int("value_int")?.map(Tensor::scalar));
    found.extend(call.ints("value_ints")?.map(Tensor::vector));
    if let Ok(Some(sparse)) = call.attributes.sparse_tensor("sparse_value") {
        let limit = SPARSE_LIMIT.min(call.builder.budget.left() / 2);
        found.push(decode_sparse(sparse, call.folder, limit)?);
    }
    if let Some(attribute) = call.attributes.unread() {
        return call.refuse(attribute, "is not supported; constants are numbers or texts");
    }
    match found.pop() {
        Some(tensor) if found.is_empty() => Ok(vec![call.constant(tensor)]),
        _ => call.fail("it needs exactly one value"),
    }
}

/// A constant of texts.
fn text_value(call: &mut Call) -> Imported<Option<ValueId>> {
    let proto = match call.attributes.tensor("value") {
        Ok(Some(proto)) if proto.data_type == TEXT_CODE => proto.clone(),
        _ => {
            let (one, many) = (call.string("value_string")?, call.strings("value_strings")?);
            let (dims, texts) = match (one, many) {
                (Some(text), None) => (vec![], vec![text]),
                (None, Some(texts)) => (vec![texts.len() as i64], texts),
                _ => return Ok(None),
            };
            let string_data = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
            TensorProto { dims, data_type: TEXT_CODE, string_data, ..TensorProto::default() }
        }
    };
    let label = call.label.clone();
    call.builder.add_stored(&label, &proto, call.folder).map(Some)
}

pub(super) fn constant_of_shape(call: &mut Call) -> Imported {
    let shape = call.known(0)?;
    let value = match call.tensor("value")? {
        None => Tensor::scalar(0f32),
        Some(tensor) if tensor.len() == 1 => tensor.reshaped(&[]),
        Some(_) => return call.refuse("value", "has more than one element"),
    };
    let value = call.constant(value);
    Ok(vec![call.one(Op::Fill { shape }, &[value])?])
}

/// The index that `start` or `end` of Shape means.
fn bound(index: i64, rank: usize) -> usize {
    let rank = rank as i64;
    let from_front = if index < 0 { index.saturating_add(rank) } else { index };
    from_front.clamp(0, rank) as usize
}

pub(super) fn shape(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let shape = call.shape(x);
    let start = bound(call.int_or("start", 0)?, shape.len());
    let end = bound(call.int_or("end", i64::MAX)?, shape.len());
    let dims: Vec<Dim> = shape.into_iter().take(end).skip(start).collect();
    let fact = Fact { dtype: DType::I64, shape: vec![Dim::Fixed(dims.len() as i64)] };
    Ok(vec![call.builder.add_known(&call.label, &fact, dims)])
}

pub(super) fn size(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let count = crate::graph::dim::product(&call.shape(x));
    let fact = Fact { dtype: DType::I64, shape: Vec::new() };
    Ok(vec![call.builder.add_known(&call.label, &fact, vec![count])])
}

pub(super) fn range(call: &mut Call) -> Imported {
    let (start, limit, delta) = (call.input(0)?, call.input(1)?, call.input(2)?);
    // It matters only for half precision.
    call.attributes.ignore("stash_type");
    let dtype = call.dtype_of(start);
    if [limit, delta].iter().any(|id| call.dtype_of(*id) != dtype) {
        return call.fail("start, limit and delta are not of one type");
    }
    let whole = [start, limit, delta].map(|id| call.builder.known(id).filter(|k| k.len() == 1));
    let len = match whole {
        [Some(start), Some(limit), Some(delta)] => steps(call, &start[0], &limit[0], &delta[0])?,
        _ if dtype.is_float() => broken_steps(call)?,
        _ => {
            let (start, limit) = (call.known_scalar(0)?, call.known_scalar(1)?);
            let delta = Dim::Fixed(call.known_number(2)?);
            steps(call, &start, &limit, &delta)?
        }
    };
    let start = call.reshape(start, Vec::new())?;
    let delta = call.reshape(delta, Vec::new())?;
    Ok(vec![call.one(Op::Range { len }, &[start, delta])?])
}

/// Number of whole steps from `start` to before `limit`.
fn steps(call: &Call, start: &Dim, limit: &Dim, delta: &Dim) -> Imported<Dim> {
    let delta = call.fixed(delta, "the step of the range")?;
    let distance =
        if delta < 0 { start.clone() - limit.clone() } else { limit.clone() - start.clone() };
    let step = match delta.checked_abs() {
        Some(step) if step > 0 => Dim::Fixed(step),
        _ => return call.fail(format!("no range in steps of {delta}")),
    };
    Ok(Dim::max(&distance.ceil_div(&step), &Dim::Fixed(0), call.variables()))
}

/// The same between constant floats.
fn broken_steps(call: &Call) -> Imported<Dim> {
    let mut numbers = [0.0; 3];
    for (i, slot) in numbers.iter_mut().enumerate() {
        let constant = call.builder.constant(call.input(i)?);
        let number = constant.and_then(|t| t.to_f64s().first().copied());
        *slot = number.ok_or_else(|| call.not_constant(i))?;
    }
    let [start, limit, delta] = numbers;
    let len = ((limit - start) / delta).ceil().max(0.0);
    if !len.is_finite() || len > 4e9 {
        return call.fail(format!("no range from {start} to {limit} in steps of {delta}"));
    }
    Ok(Dim::Fixed(len as i64))
}

/// Ones on a diagonal: a full matrix without its two triangles.
pub(super) fn eye_like(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let k = call.int_or("k", 0)?;
    let dtype = call.dtype("dtype")?.unwrap_or(call.dtype_of(x));
    let shape = call.shape(x);
    if shape.len() != 2 {
        return call.fail(format!("{} is no matrix", call.show(&shape)));
    }
    let one = call.scalar(DType::F32, 1.0);
    let full = call.one(Op::Fill { shape }, &[one])?;
    let upper = call.one(Op::Trilu { upper: true, k }, &[full])?;
    let diagonal = call.one(Op::Trilu { upper: false, k }, &[upper])?;
    Ok(vec![call.cast(diagonal, dtype)?])
}

/// Window functions of signal processing.
pub(super) fn window(call: &mut Call) -> Imported {
    let size = call.known_scalar(0)?;
    let periodic = call.flag("periodic", true)?;
    let dtype = call.dtype("output_datatype")?.unwrap_or(DType::F32);
    let size = call.size(&size, "the size of the window")?;
    if size > 1 << 20 {
        return call.fail(format!("a window of {size} elements is too long"));
    }
    let weights: &[f64] = match call.node.op.as_str() {
        "HannWindow" => &[0.5, -0.5],
        "HammingWindow" => &[25.0 / 46.0, -21.0 / 46.0],
        _ => &[0.42, -0.5, 0.08],
    };
    let steps = if periodic { size } else { size.saturating_sub(1).max(1) };
    let at = |i: usize| {
        let angle = std::f64::consts::TAU * i as f64 / steps as f64;
        weights.iter().enumerate().map(|(j, w)| w * libm::cos(angle * j as f64)).sum::<f64>()
    };
    let values: Vec<f64> = (0..size).map(at).collect();
    let values = call.constant(Tensor::vector(&values));
    Ok(vec![call.cast(values, dtype)?])
}
