//! Operators that change the shape, or the order of axes, and no element.

use crate::graph::dim::product;
use crate::graph::{Dim, ValueId};

use super::super::call::{Call, Imported};

pub(super) fn reshape(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let target = call.known(1)?;
    let keep_zeros = call.flag("allowzero", false)?;
    let from = call.shape(x);
    let mut shape = Vec::with_capacity(target.len());
    let mut open = None;
    for (i, dim) in target.iter().enumerate() {
        shape.push(match dim.fixed() {
            Some(-1) if open.replace(i).is_some() => {
                return call.fail(format!("the shape {} has two -1", call.show(&target)));
            }
            Some(-1) => Dim::Fixed(1),
            Some(0) if !keep_zeros => match from.get(i) {
                Some(dim) => dim.clone(),
                None => {
                    return call.fail(format!("0 on axis {i} copies an axis that is not there"));
                }
            },
            Some(n) if n < 0 => return call.fail(format!("the extent {n} is negative")),
            None if dim.bounds(call.variables()).0 < 0 => {
                let dim = dim.display(call.variables());
                return call.fail(format!("whether the extent {dim} is -1 is open"));
            }
            _ => dim.clone(),
        });
    }
    if let Some(i) = open {
        let (have, rest) = (product(&from), product(&shape));
        let inferred = match (have.fixed(), rest.fixed()) {
            (Some(_), Some(0)) => None,
            (Some(a), Some(b)) => (a % b == 0).then(|| Dim::Fixed(a / b)),
            _ => have.exact_div(&rest),
        };
        match (inferred, shape.get_mut(i)) {
            (Some(dim), Some(slot)) => *slot = dim,
            _ => {
                let (from, target) = (call.show(&from), call.show(&target));
                return call.fail(format!("{from} elements cannot take the shape {target}"));
            }
        }
    }
    Ok(vec![call.reshape(x, shape)?])
}

pub(super) fn flatten(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let shape = call.shape(x);
    let axis = call.int_or("axis", 1)?;
    let axis = if axis == shape.len() as i64 { shape.len() } else { call.axis(axis, shape.len())? };
    let flat = vec![product(shape.iter().take(axis)), product(shape.iter().skip(axis))];
    Ok(vec![call.reshape(x, flat)?])
}

/// Axes from an attribute before operator set 13, from an input since.
fn axes_of(call: &mut Call) -> Imported<Option<Vec<i64>>> {
    if call.version >= 13 {
        return call.known_numbers(1);
    }
    if call.optional(1).is_some() {
        return call.fail("axes as an input came with operator set 13");
    }
    Ok(call.ints("axes")?.map(<[i64]>::to_vec))
}

pub(super) fn squeeze(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let shape = call.shape(x);
    let axes = match axes_of(call)? {
        Some(axes) => call.axes(&axes, shape.len())?,
        None => {
            let mut axes = Vec::new();
            for (i, dim) in shape.iter().enumerate() {
                let (low, high) = dim.bounds(call.variables());
                if dim.is(1) {
                    axes.push(i);
                } else if low <= 1 && high >= 1 {
                    return call.fail(format!(
                        "without axes it is open whether axis {i} goes; give its dimension one size"
                    ));
                }
            }
            axes
        }
    };
    let mut kept = Vec::with_capacity(shape.len());
    for (i, dim) in shape.iter().enumerate() {
        match (axes.contains(&i), dim.is(1)) {
            (false, _) => kept.push(dim.clone()),
            (true, true) => {}
            (true, false) => {
                return call.fail(format!("axis {i} of {} is not one", call.show(&shape)));
            }
        }
    }
    Ok(vec![call.reshape(x, kept)?])
}

pub(super) fn unsqueeze(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let axes = axes_of(call)?;
    let axes = axes.ok_or_else(|| call.problem("its axes are missing"))?;
    let rank = call.shape(x).len().saturating_add(axes.len());
    let axes = call.axes(&axes, rank)?;
    Ok(vec![call.unsqueeze(x, &axes)?])
}

pub(super) fn expand(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let target = call.known(1)?;
    let from = call.shape(x);
    let covers = target.len() <= from.len()
        && target.iter().rev().zip(from.iter().rev()).all(|(t, f)| t.is(1) || t == f);
    if covers {
        return Ok(vec![x]);
    }
    Ok(vec![call.expand(x, target)?])
}

pub(super) fn transpose(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let rank = call.shape(x).len();
    let perm = match call.ints("perm")? {
        None => (0..rank).rev().collect(),
        Some(perm) => perm.iter().map(|a| call.axis(*a, rank)).collect::<Imported<Vec<_>>>()?,
    };
    Ok(vec![call.transpose(x, perm)?])
}

/// `[n, c, h, w]` of the data and the block size.
fn image(call: &mut Call) -> Imported<(ValueId, [Dim; 4], Dim)> {
    let x = call.input(0)?;
    let block = call.int("blocksize")?;
    let block = call.required("blocksize", block)?;
    if !(1..=1 << 20).contains(&block) {
        return call.refuse("blocksize", format!("is {block}"));
    }
    match <[Dim; 4]>::try_from(call.shape(x)) {
        Ok(shape) => Ok((x, shape, Dim::Fixed(block))),
        Err(shape) => call.fail(format!("{} is not of rank 4", call.show(&shape))),
    }
}

fn is_depth_first(call: &Call) -> Imported<bool> {
    match call.string_or("mode", "DCR")? {
        "DCR" => Ok(true),
        "CRD" => Ok(false),
        other => call.refuse("mode", format!("is {other:?}, not DCR or CRD")),
    }
}

fn part(call: &Call, dim: &Dim, by: &Dim) -> Imported<Dim> {
    dim.exact_div(by)
        .ok_or_else(|| call.problem("the block size does not divide an axis of the data"))
}

pub(super) fn depth_to_space(call: &mut Call) -> Imported {
    let (x, [n, c, h, w], b) = image(call)?;
    let rest = part(call, &c, &(b.clone() * b.clone()))?;
    let (split, perm) = if is_depth_first(call)? {
        ([n.clone(), b.clone(), b.clone(), rest.clone(), h.clone(), w.clone()], [0, 3, 4, 1, 5, 2])
    } else {
        ([n.clone(), rest.clone(), b.clone(), b.clone(), h.clone(), w.clone()], [0, 1, 4, 2, 5, 3])
    };
    let x = call.reshape(x, split.to_vec())?;
    let x = call.transpose(x, perm.to_vec())?;
    Ok(vec![call.reshape(x, vec![n, rest, h * b.clone(), w * b])?])
}

pub(super) fn space_to_depth(call: &mut Call) -> Imported {
    let (x, [n, c, h, w], b) = image(call)?;
    let (rows, cols) = (part(call, &h, &b)?, part(call, &w, &b)?);
    let split = vec![n.clone(), c.clone(), rows.clone(), b.clone(), cols.clone(), b.clone()];
    let perm = if is_depth_first(call)? { [0, 3, 5, 1, 2, 4] } else { [0, 1, 3, 5, 2, 4] };
    let x = call.reshape(x, split)?;
    let x = call.transpose(x, perm.to_vec())?;
    Ok(vec![call.reshape(x, vec![n, c * b.clone() * b, rows, cols])?])
}
