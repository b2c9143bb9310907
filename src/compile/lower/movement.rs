//! Operators that move elements: views where they can be, copies where they must.

use crate::graph::dim::{Dim, product};
use crate::graph::ops::{Pad, PadMode, SliceAxis};
use crate::graph::{Node, ValueId};
use crate::kernels::movement::PadCode;
use crate::runtime::KernelId;
use crate::runtime::record::{In, Out};
use crate::runtime::steps::lanes::Lanes;
use crate::runtime::steps::movement::{
    CopyRecord, ExtentsRecord, FillRecord, PadRecord, RangeRecord, TriluRecord,
};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::super::place::{Place, collapse, contiguous, is_contiguous};
use super::{operand, optional, result};

/// An operand of a copy: memory, offset and strides in elements.
pub(in crate::compile) type Strided<'a, M> = (M, &'a Dim, &'a [Dim]);

/// One strided copy.
pub(in crate::compile) fn copy(
    b: &mut Builder<'_>,
    dtype: DType,
    shape: &[Dim],
    (src, src_offset, src_strides): Strided<'_, In>,
    (dst, dst_offset, dst_strides): Strided<'_, Out>,
) -> Lowered<()> {
    let (shape, strides) = collapse(shape, &[src_strides.to_vec(), dst_strides.to_vec()]);
    let record = CopyRecord {
        src,
        dst,
        width: dtype.bytes() as u32,
        src_offset: b.extent(src_offset),
        dst_offset: b.extent(dst_offset),
        shape: b.extents(&shape)?,
        src_strides: b.extents(&strides[0])?,
        dst_strides: b.extents(&strides[1])?,
    };
    b.step(KernelId::Copy, &record);
    Ok(())
}

pub(super) fn extents(b: &mut Builder<'_>, node: &Node, dims: &[Dim]) -> Lowered<()> {
    let dst = b.write(result(node, 0)?);
    if dims.len() > 16 {
        return Err("more than 16 dimensions".into());
    }
    let dims = dims.iter().map(|d| b.extent(d)).collect();
    b.step(KernelId::Extents, &ExtentsRecord { dst, dims });
    Ok(())
}

pub(super) fn reshape(b: &mut Builder<'_>, node: &Node, shape: &[Dim]) -> Lowered<()> {
    view_as(b, operand(node, 0)?, result(node, 0)?, shape)
}

/// Makes `y` the elements of `x` under another shape, without a copy where strides allow.
pub(super) fn view_as(b: &mut Builder<'_>, x: ValueId, y: ValueId, shape: &[Dim]) -> Lowered<()> {
    let place = b.place(x)?;
    if let Some(strides) = reshaped(b.shape(x), &place.strides, shape) {
        b.alias(y, Place { strides, ..place });
        return Ok(());
    }
    b.read(x)?;
    let place = b.place(x)?;
    b.alias(y, Place { strides: contiguous(shape), ..place });
    Ok(())
}

/// Strides of the same elements under another shape, where there are such: axes may be split, and
/// joined where they lie behind one another.
fn reshaped(from: &[Dim], strides: &[Dim], to: &[Dim]) -> Option<Vec<Dim>> {
    if is_contiguous(from, strides) {
        return Some(contiguous(to));
    }
    let (from, strides) = collapse(from, &[strides.to_vec()]);
    let strides = &strides[0];
    let mut out = Vec::with_capacity(to.len());
    let mut axis = 0;
    let mut rest: Option<Dim> = None;
    for extent in to {
        if extent.is(1) {
            out.push(Dim::Fixed(1));
            continue;
        }
        let whole = match rest.take() {
            Some(rest) => rest,
            None => {
                axis += 1;
                from.get(axis - 1)?.clone()
            }
        };
        let inner = whole.exact_div(extent)?;
        out.push(strides[axis - 1].clone() * inner.clone());
        if !inner.is(1) {
            rest = Some(inner);
        }
    }
    (axis == from.len() && rest.is_none()).then_some(out)
}

pub(super) fn transpose(b: &mut Builder<'_>, node: &Node, perm: &[usize]) -> Lowered<()> {
    let place = b.place(operand(node, 0)?)?;
    let strides = perm.iter().map(|axis| place.strides[*axis].clone()).collect();
    b.alias(result(node, 0)?, Place { strides, ..place });
    Ok(())
}

/// Strides of an operand under the shape it is broadcast to.
pub(super) fn broadcast(from: &[Dim], strides: &[Dim], to: &[Dim]) -> Vec<Dim> {
    let missing = to.len() - from.len();
    let zeros = std::iter::repeat_n(Dim::Fixed(0), missing);
    let kept =
        from.iter().zip(strides).zip(&to[missing..]).map(|((f, stride), t)| {
            if f.is(1) && !t.is(1) { Dim::Fixed(0) } else { stride.clone() }
        });
    zeros.chain(kept).collect()
}

pub(super) fn expand(b: &mut Builder<'_>, node: &Node, _shape: &[Dim]) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let place = b.place(x)?;
    let strides = broadcast(b.shape(x), &place.strides, b.shape(y));
    b.alias(y, Place { strides, ..place });
    Ok(())
}

pub(super) fn slice(b: &mut Builder<'_>, node: &Node, axes: &[SliceAxis]) -> Lowered<()> {
    let mut place = b.place(operand(node, 0)?)?;
    for cut in axes {
        let stride = place.strides[cut.axis].clone();
        place.offset = place.offset + stride.clone() * cut.start.clone();
        place.strides[cut.axis] = stride * Dim::Fixed(cut.step);
    }
    b.alias(result(node, 0)?, place);
    Ok(())
}

pub(super) fn concat(b: &mut Builder<'_>, node: &Node, axis: usize) -> Lowered<()> {
    let y = result(node, 0)?;
    let mut at = Dim::Fixed(0);
    let mut first = 0;
    if b.append_in_place(y) {
        at = b.shape(operand(node, 0)?)[axis].clone();
        first = 1;
    } else {
        b.write(y);
    }
    let (dst, Place { strides, .. }) = b.view(y)?;
    let dst = dst.0;
    for i in first..node.inputs.len() {
        let x = operand(node, i)?;
        let (src, place) = b.view(x)?;
        let offset = strides[axis].clone() * at.clone();
        let (dtype, shape) = (b.dtype(x), b.shape(x));
        at = at + shape[axis].clone();
        if shape.iter().any(|d| d.is(0)) {
            continue;
        }
        copy(b, dtype, shape, (src, &place.offset, &place.strides), (Out(dst), &offset, &strides))?;
    }
    Ok(())
}

/// A tile is a copy from `[1, n0, 1, n1, ..]` broadcast to `[r0, n0, r1, n1, ..]`.
pub(super) fn tile(b: &mut Builder<'_>, node: &Node, repeats: &[Dim]) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let (src, place) = b.view(x)?;
    let (dtype, extents) = (b.dtype(x), b.shape(x));
    let mut shape = Vec::new();
    let mut strides = Vec::new();
    for ((n, r), stride) in extents.iter().zip(repeats).zip(&place.strides) {
        shape.extend([r.clone(), n.clone()]);
        strides.extend([Dim::Fixed(0), stride.clone()]);
    }
    let dst = b.write(y);
    let to = contiguous(&shape);
    copy(b, dtype, &shape, (src, &place.offset, &strides), (dst, &Dim::Fixed(0), &to))
}

pub(super) fn fill(b: &mut Builder<'_>, node: &Node, shape: &[Dim]) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let (value, dst) = (b.read(x)?, b.write(y));
    let record =
        FillRecord { value, dst, width: b.dtype(y).bytes() as u32, len: b.extent(&product(shape)) };
    b.step(KernelId::Fill, &record);
    Ok(())
}

/// Negative margins cut a view of the operand; a kernel sees none of them.
pub(super) fn pad(b: &mut Builder<'_>, node: &Node, op: &Pad) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let value = match (op.mode, optional(node, 1)) {
        (PadMode::Constant, Some(value)) => Some(b.read(value)?),
        _ => None,
    };
    let (src, Place { mut offset, strides, .. }) = b.view(x)?;
    let (variables, zero) = (&b.graph.variables, Dim::Fixed(0));
    let mut axes: Vec<[Dim; 4]> = Vec::new();
    let margins = op.before.iter().zip(&op.after);
    for ((n, stride), (before, after)) in b.shape(x).iter().zip(&strides).zip(margins) {
        let cut = Dim::max(&-before.clone(), &zero, variables);
        let cut_after = Dim::max(&-after.clone(), &zero, variables);
        let kept = Dim::max(&(n.clone() - cut.clone() - cut_after.clone()), &zero, variables);
        offset = offset + stride.clone() * cut.clone();
        let (before, after) = (before.clone() + cut, after.clone() + cut_after);
        // An axis without margins joins the one before it: where that one has none, or where a
        // margin is as good as one of whole rows.
        let whole = before.is(0) && after.is(0);
        match axes.last_mut() {
            Some([b0, n0, a0, s0])
                if whole
                    && *s0 == stride.clone() * kept.clone()
                    && (op.mode == PadMode::Constant || (b0.is(0) && a0.is(0))) =>
            {
                for extent in [b0, n0, a0] {
                    *extent = extent.clone() * kept.clone();
                }
                *s0 = stride.clone();
            }
            _ => axes.push([before, kept, after, stride.clone()]),
        }
    }
    let column = |i: usize| axes.iter().map(|axis| axis[i].clone()).collect::<Vec<Dim>>();
    let [before, shape, after, strides] = [0, 1, 2, 3].map(column);
    let mode = match op.mode {
        PadMode::Constant => PadCode::Constant,
        PadMode::Reflect => PadCode::Reflect,
        PadMode::Edge => PadCode::Edge,
        PadMode::Wrap => PadCode::Wrap,
    };
    let record = PadRecord {
        src,
        dst: b.write(y),
        value,
        width: b.dtype(x).bytes() as u32,
        mode: mode as u32,
        offset: b.extent(&offset),
        before: b.extents(&before)?,
        shape: b.extents(&shape)?,
        after: b.extents(&after)?,
        strides: b.extents(&strides)?,
    };
    b.step(KernelId::Pad, &record);
    Ok(())
}

pub(super) fn range(b: &mut Builder<'_>, node: &Node, len: &Dim) -> Lowered<()> {
    let (start, step) = (b.read(operand(node, 0)?)?, b.read(operand(node, 1)?)?);
    let record = RangeRecord { start, step, out: b.write(result(node, 0)?), len: b.extent(len) };
    b.step(KernelId::Range, &record);
    Ok(())
}

pub(super) fn trilu(b: &mut Builder<'_>, node: &Node, upper: bool, k: i64) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let shape = b.shape(x);
    let [many @ .., rows, cols] = shape else { return Err("the data is no matrix".into()) };
    let record = TriluRecord {
        x: b.read(x)?,
        y: b.write(y),
        width: b.dtype(x).bytes() as u32,
        upper,
        k: k.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32,
        lanes: Lanes {
            outer: b.extent(&product(many)),
            axis: b.extent(rows),
            inner: b.extent(cols),
        },
    };
    b.step(KernelId::Trilu, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
