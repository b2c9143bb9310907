//! Operators that pick elements by index.

use crate::graph::{Dim, Op, Tensor};

use super::constant;
use super::part::{Part, Window, gcd};
use super::rules::{Call, Step};

/// `Gather`: indices that are constant make it a slice of the data, as far as they have a common
/// step; others are narrowed like an operand of each element.
pub(super) fn gather(call: &mut Call<'_>, axis: usize) -> Option<Step> {
    let part = call.want()?;
    let (data, at) = (call.operand(0)?, call.operand(1)?);
    let picked = call.rank(at);
    let of_indices = Part(part.0[axis..axis + picked].to_vec());
    let mut of_data = Part::whole(call.rank(data));
    of_data.0[..axis].clone_from_slice(&part.0[..axis]);
    of_data.0[axis + 1..].clone_from_slice(&part.0[axis + picked..]);
    if let Some(tensor) = call.graph.value(at).constant.clone()
        && let Some(picks) =
            picks(call, &constant::cut(&tensor, &of_indices.within(&Part::whole(picked))?)?, axis)
    {
        let Picks { window, order, is_ascending } = picks;
        of_data.0[axis] = window;
        let shape = part.shape(call.result_shape()?);
        let mut operands = vec![Some((data, of_data))];
        let op = if is_ascending {
            Op::Reshape { shape }
        } else {
            let name = call.graph.value(at).name.clone();
            let order = call.graph.add_constant(name, order);
            operands.push(Some((order, Part::whole(picked))));
            Op::Gather { axis }
        };
        let results = vec![Some((call.node.outputs[0]?, part))];
        return Some(Step { op, operands, results });
    }
    let needs = |i, _| if i == 0 { of_data.clone() } else { of_indices.clone() };
    Some(Step::of(call.node, call.node.op.clone(), needs, std::slice::from_ref(&part)))
}

/// What constant indices pick of an axis.
struct Picks {
    /// The part of the axis that they reach.
    window: Option<Window>,
    /// The indices, counted in that part.
    order: Tensor,
    /// They are each element of that part, in its order.
    is_ascending: bool,
}

/// `None` where an index is outside, or from another end than the rest on an axis without a fixed
/// extent.
fn picks(call: &Call<'_>, indices: &Tensor, axis: usize) -> Option<Picks> {
    let n = &call.shape(call.operand(0)?)[axis];
    let variables = &call.graph.variables;
    let least = n.bounds(variables).0;
    let mut numbers = indices.to_i64s()?;
    let (min, max) = (*numbers.iter().min()?, *numbers.iter().max()?);
    if max >= least || min < -least {
        return None;
    }
    let base = if max < 0 { n.clone() } else { Dim::Fixed(0) };
    if let Some(n) = n.fixed().filter(|_| max >= 0) {
        numbers.iter_mut().filter(|i| **i < 0).for_each(|i| *i += n);
    } else if max >= 0 && min < 0 {
        return None;
    }
    let first = *numbers.iter().min()?;
    let step = numbers.iter().fold(0, |step, i| gcd(step, i - first)).max(1);
    let order: Vec<i64> = numbers.iter().map(|i| (i - first) / step).collect();
    let extent = order.iter().max()? + 1;
    let window = Window::over(n, base + Dim::Fixed(first), step, Dim::Fixed(extent));
    let is_ascending = order.iter().copied().eq(0..extent);
    Some(Picks { window, order: Tensor::new(indices.shape(), &order), is_ascending })
}

/// `GatherElements`: on other axes each index reads the data in its own place.
pub(super) fn gather_elements(call: &Call<'_>, axis: usize) -> Option<Step> {
    let part = call.want()?;
    let (data, at) = (call.operand(0)?, call.operand(1)?);
    let mut of_data = part.clone();
    for (i, window) in of_data.0.iter_mut().enumerate() {
        let (n, read) = (&call.shape(data)[i], call.shape(at)[i].clone());
        if i == axis {
            *window = None;
        } else if window.is_none() {
            // There may be more data than indices.
            *window = Window::over(n, Dim::Fixed(0), 1, read);
        }
    }
    let needs = |i, _| if i == 0 { of_data.clone() } else { part.clone() };
    Some(Step::of(call.node, call.node.op.clone(), needs, std::slice::from_ref(&part)))
}

/// `OneHot`: the new axis stays whole.
pub(super) fn one_hot(call: &Call<'_>, axis: usize) -> Option<Step> {
    let mut part = call.want()?;
    part.0[axis] = None;
    let mut of_indices = part.clone();
    of_indices.0.remove(axis);
    let needs = |i, v| if i == 0 { of_indices.clone() } else { Part::whole(call.rank(v)) };
    Some(Step::of(call.node, call.node.op.clone(), needs, std::slice::from_ref(&part)))
}
