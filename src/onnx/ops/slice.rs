//! Cuts.

use crate::graph::ops::SliceAxis;
use crate::graph::{Dim, Op};

use super::super::call::{Call, Imported};

/// Bounds beyond it mean "to the end".
const FAR: i64 = 1 << 40;

pub(super) fn slice(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let shape = call.shape(x);
    let fixed = |numbers: &[i64]| numbers.iter().map(|n| Dim::Fixed(*n)).collect::<Vec<_>>();
    let (starts, ends, axes, steps) = if call.version < 10 {
        if call.inputs.len() > 1 {
            return call.fail("bounds as inputs came with operator set 10");
        }
        let (starts, ends) = (call.ints("starts")?, call.ints("ends")?);
        let starts = fixed(call.required("starts", starts)?);
        let ends = fixed(call.required("ends", ends)?);
        (starts, ends, call.ints("axes")?.map(<[i64]>::to_vec), None)
    } else {
        (call.known(1)?, call.known(2)?, call.known_numbers(3)?, call.known_numbers(4)?)
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|n| *n != starts.len()) {
        return call.fail("starts, ends, axes and steps differ in number");
    }
    call.axes(&axes, shape.len())?;
    let mut cuts = Vec::new();
    for (((start, end), axis), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = call.axis(*axis, shape.len())?;
        let Some(n) = shape.get(axis) else { continue };
        let cut = cut(call, axis, n, (start, end), *step)?;
        if !(cut.start.is(0) && cut.step == 1 && cut.extent == *n) {
            cuts.push(cut);
        }
    }
    if cuts.is_empty() {
        return Ok(vec![x]);
    }
    Ok(vec![call.one(Op::Slice { axes: cuts }, &[x])?])
}

fn cut(
    call: &Call,
    axis: usize,
    n: &Dim,
    (start, end): (&Dim, &Dim),
    step: i64,
) -> Imported<SliceAxis> {
    if step == 0 || step == i64::MIN {
        return call.fail(format!("a step of {step} is not possible"));
    }
    let variables = call.variables();
    let zero = Dim::Fixed(0);
    // A bound counted from the front, whichever end the model counts from.
    let from_front = |dim: &Dim| {
        let dim = match dim.fixed() {
            Some(n) => Dim::Fixed(n.clamp(-FAR, FAR)),
            None => dim.clone(),
        };
        match dim.bounds(variables) {
            (min, _) if min >= 0 => dim,
            (_, max) if max < 0 => dim + n.clone(),
            // One where it counts from the end, else zero.
            _ => {
                let one = Dim::Fixed(1);
                let negative = Dim::max(&-dim.clone(), &zero, variables);
                dim + n.clone() * Dim::min(&negative, &one, variables)
            }
        }
    };
    let within = |dim: &Dim, low: &Dim, high: &Dim| {
        Dim::min(&Dim::max(dim, low, variables), high, variables)
    };
    let bound = |dim: &Dim, low: &Dim, high: &Dim| within(&from_front(dim), low, high);
    let (start, distance) = if step > 0 {
        let start = bound(start, &zero, n);
        (start.clone(), bound(end, &zero, n) - start)
    } else {
        let last = n.clone() - Dim::Fixed(1);
        // On an axis without elements both bounds are -1: nothing lies between them.
        let start = from_front(start);
        let start = match (start.clone() - last.clone()).bounds(variables) {
            (beyond, _) if beyond >= 0 => last.clone(),
            _ => within(&start, &zero, &last),
        };
        // An end before the first element cannot be written from the front.
        let end = match end.bounds(variables) {
            (_, max) if max < 0 && (end.clone() + n.clone()).bounds(variables).1 < 0 => {
                Dim::Fixed(-1)
            }
            _ => bound(end, &Dim::Fixed(-1), &last),
        };
        let distance = start.clone() - end;
        (Dim::max(&start, &zero, variables), distance)
    };
    let step_size = Dim::Fixed(step.saturating_abs());
    let extent = Dim::max(&distance.ceil_div(&step_size), &zero, variables);
    let start = if extent.is(0) { zero } else { start };
    Ok(SliceAxis { axis, start, step, extent })
}

pub(super) fn split(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let shape = call.shape(x);
    let axis = call.int_or("axis", 0)?;
    let axis = call.axis(axis, shape.len())?;
    let n = shape.get(axis).cloned().unwrap_or(Dim::Fixed(0));
    let count = call.output_names.len();
    let given = if call.version < 13 {
        call.ints("split")?.map(|s| s.iter().map(|n| Dim::Fixed(*n)).collect())
    } else {
        call.known_optional(1)?
    };
    let parts = match given {
        Some(parts) => parts,
        None => equal_parts(call, &n, count)?,
    };
    let total = parts.iter().fold(Dim::Fixed(0), |a, b| a + b.clone());
    let negative = parts.iter().any(|p| p.bounds(call.variables()).0 < 0);
    if total != n || parts.len() != count || negative {
        return call.fail(format!(
            "the parts {} do not split {} into {count}",
            call.show(&parts),
            n.display(call.variables())
        ));
    }
    let mut start = Dim::Fixed(0);
    let mut results = Vec::with_capacity(count);
    for part in parts {
        results.push(call.slice(x, axis, start.clone(), part.clone())?);
        start = start + part;
    }
    Ok(results)
}

fn equal_parts(call: &Call, n: &Dim, count: usize) -> Imported<Vec<Dim>> {
    let parts = match call.int("num_outputs")? {
        Some(parts) if parts != count as i64 => {
            return call.refuse("num_outputs", format!("is {parts}, the node has {count} outputs"));
        }
        Some(parts) => parts,
        None => count as i64,
    };
    let by = Dim::Fixed(parts.max(1));
    if let Some(each) = n.exact_div(&by) {
        return Ok(vec![each; count]);
    }
    if call.version < 18 {
        return call.fail(format!("{count} parts of equal size do not make up the axis"));
    }
    let n = call.fixed(n, "the axis that is split")?;
    let each = Dim::Fixed(n).ceil_div(&by).fixed().unwrap_or(0);
    let mut left = n;
    let mut sizes = Vec::with_capacity(count);
    for _ in 0..count {
        let part = each.min(left);
        sizes.push(Dim::Fixed(part));
        left -= part;
    }
    Ok(sizes)
}
