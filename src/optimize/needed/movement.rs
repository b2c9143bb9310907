//! Operators that move elements.

use crate::graph::dim::Variable;
use crate::graph::ops::SliceAxis;
use crate::graph::{Dim, Op};

use super::part::{Part, Window};
use super::pointwise::aligned;
use super::rules::{Call, Step};

pub(super) fn transpose(call: &Call<'_>, perm: &[usize]) -> Option<Step> {
    let part = call.want()?;
    let mut needs = Part::whole(perm.len());
    for (window, axis) in part.0.iter().zip(perm) {
        needs.0[*axis].clone_from(window);
    }
    Some(Step::of(call.node, call.node.op.clone(), |_, _| needs.clone(), &[part]))
}

pub(super) fn expand(call: &Call<'_>) -> Option<Step> {
    let (part, to) = (call.want()?, call.result_shape()?);
    let op =
        if part.is_whole() { call.node.op.clone() } else { Op::Expand { shape: part.shape(to) } };
    Some(Step::of(
        call.node,
        op,
        |_, v| aligned(&part, to, call.shape(v)),
        std::slice::from_ref(&part),
    ))
}

/// Axes that are not repeated, and those of which the only element is.
pub(super) fn tile(call: &Call<'_>, repeats: &[Dim]) -> Option<Step> {
    let mut part = call.want()?;
    let from = call.shape(call.operand(0)?);
    let mut repeats = repeats.to_vec();
    let mut needs = Part::whole(from.len());
    for (i, window) in part.0.iter_mut().enumerate() {
        if repeats[i].is(1) {
            needs.0[i].clone_from(window);
        } else if let Some(extent) = window.as_ref().map(|w| &w.extent).filter(|_| from[i].is(1)) {
            repeats[i] = extent.clone();
        } else {
            *window = None;
        }
    }
    Some(Step::of(call.node, Op::Tile { repeats }, |_, _| needs.clone(), &[part]))
}

/// The cut becomes part of what is needed; what is left of it is a change of order.
pub(super) fn slice(call: &Call<'_>, axes: &[SliceAxis]) -> Option<Step> {
    let part = call.want()?;
    let x = call.operand(0)?;
    let variables = &call.graph.variables;
    let mut needs = part.clone();
    let mut left = Vec::new();
    for cut in axes {
        let axis = cut.axis;
        let n = &call.shape(x)[axis];
        // The cut and the part of its result that is read, as one.
        let (start, step, extent) = match &part.0[axis] {
            None => (cut.start.clone(), cut.step, cut.extent.clone()),
            Some(Window { start, step, extent }) => (
                cut.start.clone() + start.clone() * Dim::Fixed(cut.step),
                cut.step.checked_mul(*step)?,
                extent.clone(),
            ),
        };
        let back = (extent.clone() - Dim::Fixed(1)) * Dim::Fixed(step);
        let some = extent.bounds(variables).0 >= 1;
        if extent.is(0) || (step < 0 && !some) {
            needs.0[axis] = None;
            left.push(SliceAxis { axis, start, step, extent });
        } else if step > 0 {
            needs.0[axis] = Window::over(n, start, step, extent);
        } else {
            needs.0[axis] = Window::over(n, start + back, -step, extent.clone());
            if !extent.is(1) {
                let start = extent.clone() - Dim::Fixed(1);
                left.push(SliceAxis { axis, start, step: -1, extent });
            }
        }
    }
    Some(Step::of(call.node, Op::Slice { axes: left }, |_, _| needs.clone(), &[part]))
}

/// Operands of which nothing is needed are dropped.
pub(super) fn concat(call: &Call<'_>, axis: usize) -> Option<Step> {
    let mut part = call.want()?;
    let variables = &call.graph.variables;
    let inputs: Vec<_> = call.node.inputs.iter().copied().collect::<Option<_>>()?;
    let extents: Vec<Dim> = inputs.iter().map(|v| call.shape(*v)[axis].clone()).collect();
    let shares = part.0[axis].as_ref().and_then(|window| shares(window, &extents, variables));
    if shares.is_none() {
        part.0[axis] = None;
    }
    let shares = shares.unwrap_or_else(|| vec![Share::All; inputs.len()]);
    let mut operands = Vec::new();
    for (v, share) in inputs.into_iter().zip(shares) {
        let mut needs = part.clone();
        needs.0[axis] = match share {
            Share::Nothing => continue,
            Share::All => None,
            Share::Of(window) => Some(window),
        };
        operands.push(Some((v, needs)));
    }
    let op = match operands.len() {
        1 => Op::Slice { axes: Vec::new() },
        _ => Op::Concat { axis },
    };
    Some(Step { op, operands, results: vec![Some((call.node.outputs[0]?, part))] })
}

/// What a window over a concatenation takes of an operand.
#[derive(Clone, Debug, PartialEq)]
enum Share {
    Nothing,
    All,
    Of(Window),
}

/// `None` where nobody can say, or nothing is taken at all.
fn shares(window: &Window, extents: &[Dim], variables: &[Variable]) -> Option<Vec<Share>> {
    let (step, extent) = (window.step, window.extent.fixed()?);
    // How many elements of the window lie before this position, where it is certain.
    let before = |position: Dim| {
        let (low, high) = (position - window.start.clone()).bounds(variables);
        let count = |room: i64| (room.max(0) + step - 1).div_euclid(step).min(extent);
        (low > i64::MIN / 2 && high < i64::MAX / 2 && count(low) == count(high)).then(|| count(low))
    };
    let mut shares = Vec::new();
    let mut offset = Dim::Fixed(0);
    for n in extents {
        let end = offset.clone() + n.clone();
        let (first, last) = (before(offset.clone())?, before(end.clone())?);
        shares.push(if first == last {
            Share::Nothing
        } else {
            let start = window.start.clone() + Dim::Fixed(first * step) - offset;
            Window::over(n, start, step, Dim::Fixed(last - first)).map_or(Share::All, Share::Of)
        });
        offset = end;
    }
    shares.iter().any(|share| *share != Share::Nothing).then_some(shares)
}

/// Rows and columns that lie behind one another are a matrix with another diagonal.
pub(super) fn trilu(call: &Call<'_>, upper: bool, k: i64) -> Option<Step> {
    let mut part = call.want()?;
    let first = part.0.len().checked_sub(2)?;
    let mut starts = [0; 2];
    for (window, start) in part.0[first..].iter_mut().zip(&mut starts) {
        let of = |w: &Window| w.start.fixed().filter(|_| w.step == 1);
        match window.as_ref().map(of) {
            Some(Some(known)) => *start = known,
            _ => *window = None,
        }
    }
    let k = k.checked_add(starts[0])?.checked_sub(starts[1])?;
    let needs = part.clone();
    Some(Step::of(call.node, Op::Trilu { upper, k }, |_, _| needs.clone(), &[part]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: impl Into<Dim>, step: i64, extent: i64) -> Window {
        Window { start: start.into(), step, extent: extent.into() }
    }

    #[test]
    fn a_window_over_a_concatenation_falls_into_shares() {
        let extents = [4, 3, 5].map(Dim::Fixed);
        let of = |window: Window| shares(&window, &extents, &[]);
        use Share::{All, Nothing, Of};
        assert_eq!(of(window(5, 1, 1)), Some(vec![Nothing, Of(window(1, 1, 1)), Nothing]));
        assert_eq!(of(window(4, 1, 3)), Some(vec![Nothing, All, Nothing]));
        let strided = vec![Of(window(1, 1, 1)), Of(window(0, 1, 1)), Of(window(0, 3, 2))];
        assert_eq!(of(window(1, 3, 4)), Some(strided));
    }

    #[test]
    fn the_newest_element_of_a_growing_cache_is_the_new_one() {
        let variables = [Variable::chosen("past", 0, 512)];
        let past = Dim::var(crate::graph::VarId(0));
        let extents = [past.clone(), Dim::Fixed(1)];
        let newest = window(past.clone(), 1, 1);
        let want = Some(vec![Share::Nothing, Share::All]);
        assert_eq!(shares(&newest, &extents, &variables), want);
        assert_eq!(shares(&window(0, 1, 1), &extents, &variables), None);
    }
}
