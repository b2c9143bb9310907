//! Reductions, orders and running sums.

use crate::graph::ops::{ArgReduce, Binary, Reduce, ReduceKind, TopK, Unary};
use crate::graph::{Dim, Op, Tensor};
use crate::tensor::DType;

use super::super::call::{Call, Imported, scalar};

pub(super) fn reduce(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let rank = call.shape(x).len();
    let kind = match call.node.op.as_str() {
        "ReduceSum" => ReduceKind::Sum,
        "ReduceMean" => ReduceKind::Mean,
        "ReduceMax" => ReduceKind::Max,
        "ReduceMin" => ReduceKind::Min,
        "ReduceProd" => ReduceKind::Prod,
        "ReduceL1" => ReduceKind::L1,
        "ReduceL2" => ReduceKind::L2,
        "ReduceLogSum" => ReduceKind::LogSum,
        "ReduceLogSumExp" => ReduceKind::LogSumExp,
        _ => ReduceKind::SumSquare,
    };
    let keep_dims = call.flag("keepdims", true)?;
    let since = if kind == ReduceKind::Sum { 13 } else { 18 };
    let axes = if call.version >= since {
        call.known_numbers(1)?
    } else if call.optional(1).is_some() {
        return call.fail(format!("axes as an input came with operator set {since}"));
    } else {
        call.ints("axes")?.map(<[i64]>::to_vec)
    };
    let nothing = call.version >= since && call.flag("noop_with_empty_axes", false)?;
    let axes = match axes {
        Some(axes) if !axes.is_empty() => call.axes(&axes, rank)?,
        _ if nothing => Vec::new(),
        _ => (0..rank).collect(),
    };
    Ok(vec![call.one(Op::Reduce(Reduce { kind, axes, keep_dims }), &[x])?])
}

pub(super) fn arg_reduce(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let axis = call.int_or("axis", 0)?;
    let op = ArgReduce {
        largest: call.node.op == "ArgMax",
        axis: call.axis(axis, call.shape(x).len())?,
        keep_dims: call.flag("keepdims", true)?,
        select_last: call.flag("select_last_index", false)?,
    };
    Ok(vec![call.one(Op::ArgReduce(op), &[x])?])
}

pub(super) fn top_k(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let axis = call.int_or("axis", -1)?;
    let axis = call.axis(axis, call.shape(x).len())?;
    let k = if call.version < 10 {
        let k = call.int("k")?;
        Dim::Fixed(call.required("k", k)?)
    } else {
        let n = call.shape(x).get(axis).map_or(0, |n| n.bounds(call.variables()).0);
        call.known_within(1, 0, n)?
    };
    let largest = call.flag("largest", true)?;
    // Where any order will do, the sorted one does.
    call.flag("sorted", true)?;
    if k.bounds(call.variables()).0 < 0 {
        return call.fail(format!("k is {}", k.display(call.variables())));
    }
    call.emit(Op::TopK(TopK { axis, k, largest }), &[Some(x)])
}

/// A running sum or product.
pub(super) fn running(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let axis = call.known_number(1)?;
    let axis = call.axis(axis, call.shape(x).len())?;
    let (exclusive, reverse) = (call.flag("exclusive", false)?, call.flag("reverse", false)?);
    if call.dtype_of(x) == DType::Bool {
        return call.fail("there is no sum or product of bool");
    }
    let op = if call.node.op == "CumSum" {
        Op::CumSum { axis, exclusive, reverse }
    } else {
        Op::CumProd { axis, exclusive, reverse }
    };
    Ok(vec![call.one(op, &[x])?])
}

/// One at the first largest element, else zero.
pub(super) fn hardmax(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let shape = call.shape(x);
    let since = call.version >= 13;
    let axis = call.int_or("axis", if since { -1 } else { 1 })?;
    let axis = call.axis(axis, shape.len())?;
    let (data, at) = if since || axis + 1 == shape.len() {
        (x, axis)
    } else {
        let flat = [shape.get(..axis), shape.get(axis..)]
            .map(|part| crate::graph::dim::product(part.unwrap_or_default()));
        (call.reshape(x, flat.to_vec())?, 1)
    };
    let depth = call.shape(data).get(at).cloned().unwrap_or(Dim::Fixed(1));
    let op = ArgReduce { largest: true, axis: at, keep_dims: false, select_last: false };
    let first = call.one(Op::ArgReduce(op), &[data])?;
    let dtype = call.dtype_of(x);
    let pair = Tensor::vector(&[0f32, 1.0]);
    let pair = call.constant(pair);
    let pair = call.cast(pair, dtype)?;
    let hot = call.one(Op::OneHot { axis: at, depth }, &[first, pair])?;
    Ok(vec![call.reshape(hot, shape)?])
}

pub(super) fn global_pool(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let rank = call.shape(x).len();
    if rank < 3 {
        return call.fail("the data has no axes of space");
    }
    let axes: Vec<usize> = (2..rank).collect();
    let result = match call.node.op.as_str() {
        "GlobalMaxPool" => call.reduce(ReduceKind::Max, x, axes)?,
        "GlobalAveragePool" => call.reduce(ReduceKind::Mean, x, axes)?,
        _ => match call.int_or("p", 2)? {
            1 => call.reduce(ReduceKind::L1, x, axes)?,
            2 => call.reduce(ReduceKind::L2, x, axes)?,
            p if (3..=64).contains(&p) => {
                let dtype = call.dtype_of(x);
                let (power, root) = (
                    call.constant(scalar(dtype, p as f64)),
                    call.constant(scalar(dtype, 1.0 / p as f64)),
                );
                let size = call.unary(Unary::Abs, x)?;
                let powers = call.binary(Binary::Pow, size, power)?;
                let total = call.reduce(ReduceKind::Sum, powers, axes)?;
                call.binary(Binary::Pow, total, root)?
            }
            other => return call.refuse("p", format!("is {other}")),
        },
    };
    Ok(vec![result])
}
