//! Operators that put elements side by side, repeat them or leave some out.

use crate::graph::ops::{Binary, Compare, Pad, PadMode, SliceAxis};
use crate::graph::{Dim, Op, Tensor};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

pub(super) fn concat(call: &mut Call) -> Imported {
    let inputs = call.all_inputs()?;
    let rank = inputs.first().map_or(0, |x| call.shape(*x).len());
    let axis = call.int("axis")?;
    let axis = call.required("axis", axis)?;
    let axis = call.axis(axis, rank)?;
    Ok(vec![call.concat(&inputs, axis)?])
}

pub(super) fn pad(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let rank = call.shape(x).len();
    let mode = match call.string_or("mode", "constant")? {
        "constant" => PadMode::Constant,
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" => PadMode::Wrap,
        other => return call.refuse("mode", format!("is {other:?}")),
    };
    let (pads, value, axes) = if call.version < 11 {
        if call.inputs.len() > 1 {
            return call.fail("pads as an input came with operator set 11");
        }
        let pads = call.ints("pads")?;
        let pads = call.required("pads", pads)?.iter().map(|n| Dim::Fixed(*n)).collect();
        let value = f64::from(call.float_or("value", 0.0)?);
        let value = (value != 0.0).then(|| call.scalar(call.dtype_of(x), value));
        (pads, value, None)
    } else {
        (call.known(1)?, call.optional(2), call.known_numbers(3)?)
    };
    let axes = match axes {
        None => (0..rank).collect(),
        Some(axes) => {
            call.axes(&axes, rank)?;
            axes.iter().map(|a| call.axis(*a, rank)).collect::<Imported<Vec<_>>>()?
        }
    };
    if pads.len() != 2 * axes.len() {
        return call.fail(format!("{} pads for {} axes", pads.len(), axes.len()));
    }
    let mut before = vec![Dim::Fixed(0); rank];
    let mut after = before.clone();
    let (first, last) = pads.split_at(axes.len());
    for ((axis, first), last) in axes.iter().zip(first).zip(last) {
        if let (Some(b), Some(a)) = (before.get_mut(*axis), after.get_mut(*axis)) {
            *b = first.clone();
            *a = last.clone();
        }
    }
    if before.iter().chain(&after).all(|d| d.is(0)) {
        return Ok(vec![x]);
    }
    let mut operands = vec![Some(x)];
    if let (Some(value), PadMode::Constant) = (value, mode) {
        if call.dtype_of(value) != call.dtype_of(x) {
            return call.fail("the value is not of the data's type");
        }
        operands.push(Some(call.reshape(value, Vec::new())?));
    }
    Ok(vec![call.first(Op::Pad(Pad { mode, before, after }), &operands)?])
}

pub(super) fn tile(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let repeats = call.known(1)?;
    if repeats.iter().all(|r| r.is(1)) && repeats.len() == call.shape(x).len() {
        return Ok(vec![x]);
    }
    Ok(vec![call.one(Op::Tile { repeats }, &[x])?])
}

/// Cuts or pads axes to given extents around their middle.
pub(super) fn center_crop_pad(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let shape = call.shape(x);
    let target = call.known_numbers(1)?.unwrap_or_default();
    let axes = match call.ints("axes")? {
        Some(axes) => axes.to_vec(),
        None => (0..shape.len() as i64).collect(),
    };
    call.axes(&axes, shape.len())?;
    if target.len() != axes.len() || target.iter().any(|n| *n < 0) {
        return call.fail(format!("the shape {target:?} does not fit {} axes", axes.len()));
    }
    let mut before = vec![Dim::Fixed(0); shape.len()];
    let mut after = before.clone();
    let mut cuts = Vec::new();
    for (axis, want) in axes.iter().zip(&target) {
        let axis = call.axis(*axis, shape.len())?;
        let Some(dim) = shape.get(axis) else { continue };
        let have = call.fixed(dim, "the axis that is cut")?;
        if have > *want {
            let start = Dim::Fixed((have - want) / 2);
            cuts.push(SliceAxis { axis, start, step: 1, extent: Dim::Fixed(*want) });
        }
        let missing = want.saturating_sub(have).max(0);
        if let (Some(b), Some(a)) = (before.get_mut(axis), after.get_mut(axis)) {
            *b = Dim::Fixed(missing / 2);
            *a = Dim::Fixed(missing - missing / 2);
        }
    }
    let x = if cuts.is_empty() { x } else { call.one(Op::Slice { axes: cuts }, &[x])? };
    if before.iter().chain(&after).all(|d| d.is(0)) {
        return Ok(vec![x]);
    }
    Ok(vec![call.one(Op::Pad(Pad { mode: PadMode::Constant, before, after }), &[x])?])
}

pub(super) fn trilu(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let upper = call.flag("upper", true)?;
    let k = match call.optional(1) {
        None => 0,
        Some(_) => call.known_number(1)?,
    };
    if call.shape(x).len() < 2 {
        return call.fail("the data is no matrix");
    }
    Ok(vec![call.one(Op::Trilu { upper, k }, &[x])?])
}

/// Picks, for each batch, time `t < len ? len - 1 - t : t`.
pub(super) fn reverse_sequence(call: &mut Call) -> Imported {
    let (x, lengths) = (call.input(0)?, call.input(1)?);
    let shape = call.shape(x);
    let (batch, time) = (call.int_or("batch_axis", 1)?, call.int_or("time_axis", 0)?);
    let (batch, time) = (call.axis(batch, shape.len())?, call.axis(time, shape.len())?);
    if batch == time || batch > 1 || time > 1 {
        return call.fail("batch and time must be the first two axes");
    }
    let mut order: Vec<usize> = (0..shape.len()).collect();
    order.swap(0, batch);
    let data = call.transpose(x, order.clone())?;
    let extents = call.shape(data);
    let (Some(rows), Some(steps)) = (extents.first().cloned(), extents.get(1).cloned()) else {
        return call.fail("the data has less than two axes");
    };
    let lengths = call.cast(lengths, DType::I64)?;
    let lengths = call.reshape(lengths, vec![rows, Dim::Fixed(1)])?;
    let t = call.range(0, steps)?;
    let one = call.constant(Tensor::scalar(1i64));
    let last = call.binary(Binary::Sub, lengths, one)?;
    let mirrored = call.binary(Binary::Sub, last, t)?;
    let inside = call.compare(Compare::Less, t, lengths)?;
    let index = call.one(Op::Where, &[inside, mirrored, t])?;
    let index = call.unsqueeze(index, &[2])?;
    let picked = call.one(Op::GatherNd { batch_dims: 1 }, &[data, index])?;
    Ok(vec![call.transpose(picked, order)?])
}
