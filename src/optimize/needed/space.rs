//! Windows that slide over axes of space: the elements under those that are read.

use crate::graph::dim::Variable;
use crate::graph::ops::{Conv, Pad, PadMode, Pool, PoolKind};
use crate::graph::{Dim, Op, ValueId};

use super::part::{Part, Window, gcd};
use super::rules::{Call, Step};

/// Windows along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slide {
    taps: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    after: usize,
}

/// What is read of an axis through a part of the windows, and how they slide over that.
#[derive(Debug, PartialEq)]
struct Field {
    needs: Option<Window>,
    slide: Slide,
}

impl Slide {
    fn of(op: &Conv, i: usize) -> Self {
        Self {
            taps: op.kernel[i],
            stride: op.strides[i],
            dilation: op.dilations[i],
            before: op.pads_before[i],
            after: op.pads_after[i],
        }
    }

    fn put(self, op: &mut Conv, i: usize) {
        op.strides[i] = self.stride;
        op.dilations[i] = self.dilation;
        op.pads_before[i] = self.before;
        op.pads_after[i] = self.after;
    }

    /// The elements of an axis of extent `n` that lie under the windows `outputs`.
    ///
    /// With their stride and dilation, the taps of these windows stand on a lattice; only its
    /// points are needed, and seen from them the stride and dilation are smaller. Points before
    /// the first element and behind the last are the margin that is left.
    fn field(self, outputs: &Window, n: &Dim, variables: &[Variable]) -> Option<Field> {
        let stride = i64::try_from(self.stride).ok()?.checked_mul(outputs.step)?;
        let (dilation, gaps) = (i64::try_from(self.dilation).ok()?, self.taps.checked_sub(1)?);
        let (windows, gaps) = (outputs.extent.fixed()?, i64::try_from(gaps).ok()?);
        if windows < 1 {
            return None;
        }
        let first =
            outputs.start.clone() * Dim::Fixed(self.stride as i64) - Dim::Fixed(self.before as i64);
        let reach = (windows - 1).checked_mul(stride)?.checked_add(gaps.checked_mul(dilation)?)?;
        let stride = if windows > 1 { stride } else { 0 };
        let dilation = if gaps > 0 { dilation } else { 0 };
        let step = gcd(stride, dilation).max(1);
        let points = reach / step + 1;
        let behind = n.clone() - Dim::Fixed(1) - first.clone();
        // Points before the axis begins, and those up to its end.
        let (before, end) = match (first.fixed(), behind.fixed()) {
            (Some(first), Some(behind)) if behind >= 0 => (
                (-first).max(0).div_euclid(step) + i64::from((-first).max(0) % step > 0),
                (behind / step + 1).min(points),
            ),
            _ => {
                let begins = first.bounds(variables).0 >= 0;
                let ends = (behind - Dim::Fixed(reach)).bounds(variables).0 >= 0;
                (begins && ends).then_some((0, points))?
            }
        };
        if before >= end {
            return None;
        }
        let start = first + Dim::Fixed(before * step);
        let size = |n: i64| usize::try_from(n).ok();
        Some(Field {
            needs: Window::over(n, start, step, Dim::Fixed(end - before)),
            slide: Self {
                taps: self.taps,
                stride: size((stride / step).max(1))?,
                dilation: size((dilation / step).max(1))?,
                before: size(before)?,
                after: size(points - end)?,
            },
        })
    }
}

/// What is needed of the axes of space, `op` changed to windows over that. An axis of which all
/// windows are read is cut only where many elements lie under none of them.
fn fields(call: &Call<'_>, part: &mut Part, op: &mut Conv) -> Option<Part> {
    let (from, to) = (call.shape(call.operand(0)?), call.result_shape()?);
    let variables = &call.graph.variables;
    let mut needs = Part::whole(from.len());
    for i in 0..op.kernel.len() {
        let axis = i + 2;
        let n = &from[axis];
        let all = Window { start: Dim::Fixed(0), step: 1, extent: to[axis].clone() };
        let outputs = part.0[axis].as_ref().unwrap_or(&all);
        let field = Slide::of(op, i).field(outputs, n, variables);
        let worth = |field: &Field| {
            let (n, extent) = (n.fixed(), field.needs.as_ref().map(|w| w.extent.fixed()));
            part.0[axis].is_some()
                || extent.flatten().zip(n).is_some_and(|(extent, n)| extent <= n / 4 * 3)
        };
        match field.filter(worth) {
            Some(field) => {
                field.slide.put(op, i);
                needs.0[axis] = field.needs;
            }
            None => part.0[axis] = None,
        }
    }
    needs.0[0].clone_from(&part.0[0]);
    Some(needs)
}

pub(super) fn conv(call: &Call<'_>, op: &Conv) -> Option<Step> {
    let mut part = call.want()?;
    if call.operand(2).is_some_and(|bias| call.rank(bias) != 1) {
        part.0[1] = None;
    }
    let (part, of_data, op) = windows(call, part, call.operand(1)?, op)?;
    let channels = part.0[1].clone();
    let needs = |i, v| match i {
        0 => of_data.clone(),
        1 | 2 => rows(call, v, &channels),
        _ => part.clone(),
    };
    Some(Step::of(call.node, Op::Conv(op), needs, std::slice::from_ref(&part)))
}

/// Of a part of a convolution's result: what of it is computed, what of the data that needs, and
/// the windows over that. Channels of the result are rows of the weights; with a group for each
/// channel they are channels of the data too.
pub(super) fn windows(
    call: &Call<'_>,
    mut part: Part,
    weights: ValueId,
    op: &Conv,
) -> Option<(Part, Part, Conv)> {
    let (from, weights) = (call.shape(call.operand(0)?), call.shape(weights));
    let apart = weights[1].is(1) && weights[0] == from[1];
    let mut op = op.clone();
    match part.0[1].as_ref().map(|window| window.extent.fixed()) {
        Some(Some(count)) if apart => op.group = usize::try_from(count).ok()?,
        Some(Some(_)) if op.group == 1 => {}
        _ => part.0[1] = None,
    }
    let mut of_data = fields(call, &mut part, &mut op)?;
    if apart {
        of_data.0[1].clone_from(&part.0[1]);
    }
    Some((part, of_data, op))
}

/// The rows of `v` for these channels.
pub(super) fn rows(call: &Call<'_>, v: ValueId, channels: &Option<Window>) -> Part {
    let mut rows = Part::whole(call.rank(v));
    rows.0.iter_mut().take(1).for_each(|first| first.clone_from(channels));
    rows
}

pub(super) fn pool(call: &Call<'_>, op: &Pool) -> Option<Step> {
    let mut part = call.want()?;
    let mut op = op.clone();
    let (from, to) = (call.shape(call.operand(0)?), call.result_shape()?);
    let counts = op.kind == PoolKind::Average { count_include_pad: true };
    for i in 0..op.window.kernel.len() {
        // A mean does not count what a last window has beyond the margin.
        let Conv { kernel, dilations, strides, pads_before, pads_after, .. } = &op.window;
        let reach = to[i + 2].clone() * Dim::Fixed(strides[i] as i64)
            + Dim::Fixed((kernel[i].max(1) - 1) as i64 * dilations[i] as i64)
            - Dim::Fixed(strides[i] as i64);
        let room = from[i + 2].clone() + Dim::Fixed((pads_before[i] + pads_after[i]) as i64);
        if counts && (room - reach).bounds(&call.graph.variables).0 < 1 {
            return None;
        }
    }
    let mut needs = fields(call, &mut part, &mut op.window)?;
    needs.0[1].clone_from(&part.0[1]);
    if op.ceil_mode {
        // Margins now say what the last windows reach; where an axis stays as it was, they do not.
        if part.0[2..].iter().any(Option::is_none) {
            return None;
        }
        op.ceil_mode = false;
    }
    Some(Step::of(call.node, Op::Pool(op), |_, _| needs.clone(), std::slice::from_ref(&part)))
}

/// A margin is windows of one element; what it holds must not depend on elements that are cut.
pub(super) fn pad(call: &Call<'_>, op: &Pad) -> Option<Step> {
    let mut part = call.want()?;
    let from = call.shape(call.operand(0)?);
    let mut op = op.clone();
    let mut needs = Part::whole(from.len());
    for (i, n) in from.iter().enumerate() {
        let Some(window) = part.0[i].clone() else { continue };
        if op.before[i].is(0) && op.after[i].is(0) {
            needs.0[i] = Some(window);
            continue;
        }
        let shifted = Window { start: window.start - op.before[i].clone(), ..window };
        let slide = Slide { taps: 1, stride: 1, dilation: 1, before: 0, after: 0 };
        let field = slide.field(&shifted, n, &call.graph.variables);
        let holds = |field: &Field| {
            op.mode == PadMode::Constant || (field.slide.before, field.slide.after) == (0, 0)
        };
        match field.filter(holds) {
            Some(field) => {
                op.before[i] = Dim::Fixed(field.slide.before as i64);
                op.after[i] = Dim::Fixed(field.slide.after as i64);
                needs.0[i] = field.needs;
            }
            None => part.0[i] = None,
        }
    }
    let none = op.before.iter().chain(&op.after).all(|margin| margin.is(0));
    if none {
        let data = Some((call.operand(0)?, needs));
        let results = vec![Some((call.node.outputs[0]?, part))];
        return Some(Step { op: Op::Slice { axes: Vec::new() }, operands: vec![data], results });
    }
    let needs = |i, v| if i == 0 { needs.clone() } else { Part::whole(call.rank(v)) };
    Some(Step::of(call.node, Op::Pad(op), needs, &[part]))
}
