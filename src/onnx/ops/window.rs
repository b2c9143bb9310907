//! Convolution and pooling.

use crate::graph::ops::{
    Activation, Conv, MaxPositions, Pad, PadMode, Pool, PoolKind, SliceAxis, Unary,
};
use crate::graph::{Dim, Op, ValueId};

use super::super::call::{Call, Imported};

/// Largest extent, stride, dilation or margin of a window.
const FAR: i64 = 1 << 24;

/// A list attribute with one number for each axis of space.
pub(super) fn sizes(
    call: &Call,
    name: &str,
    space: usize,
    least: i64,
) -> Imported<Option<Vec<usize>>> {
    let Some(numbers) = call.ints(name)? else { return Ok(None) };
    if numbers.len() != space || numbers.iter().any(|n| !(least..=FAR).contains(n)) {
        return call.refuse(name, format!("is {numbers:?}, which does not suit {space} axes"));
    }
    Ok(Some(numbers.iter().map(|n| *n as usize).collect()))
}

/// The window that the attributes describe, over data of this shape.
pub(super) fn window(call: &Call, shape: &[Dim], kernel: Option<Vec<usize>>) -> Imported<Conv> {
    let Some(space) = shape.len().checked_sub(2).filter(|n| (1..=3).contains(n)) else {
        return call
            .fail(format!("the data {} has not one to three axes of space", call.show(shape)));
    };
    let stated = sizes(call, "kernel_shape", space, 1)?;
    let kernel = match (kernel, stated) {
        (Some(kernel), Some(stated)) if kernel != stated => {
            return call
                .refuse("kernel_shape", format!("is {stated:?}, the weights have {kernel:?}"));
        }
        (Some(kernel), _) | (None, Some(kernel)) => kernel,
        (None, None) => return call.refuse("kernel_shape", "is missing"),
    };
    let strides = sizes(call, "strides", space, 1)?.unwrap_or_else(|| vec![1; space]);
    let dilations = sizes(call, "dilations", space, 1)?.unwrap_or_else(|| vec![1; space]);
    let pads = sizes(call, "pads", 2 * space, 0)?;
    let (mut before, mut after) = (vec![0; space], vec![0; space]);
    match call.string_or("auto_pad", "NOTSET")? {
        "NOTSET" => {
            if let Some(pads) = pads {
                let (first, last) = pads.split_at(space);
                before = first.to_vec();
                after = last.to_vec();
            }
        }
        "VALID" => {}
        mode @ ("SAME_UPPER" | "SAME_LOWER") => {
            let axes = kernel.iter().zip(&strides).zip(&dilations).zip(shape.iter().skip(2));
            for (i, (((k, stride), dilation), n)) in axes.enumerate() {
                let reach = (k.saturating_sub(1) * dilation + 1) as i64;
                let margin = if *stride == 1 {
                    reach - 1
                } else {
                    let n = call.fixed(n, "an axis with auto_pad and strides")?;
                    let stride = *stride as i64;
                    let count = Dim::Fixed(n).ceil_div(&Dim::Fixed(stride)).fixed().unwrap_or(0);
                    (count - 1) * stride + reach - n
                };
                if margin < -1 {
                    return call.refuse(
                        "auto_pad",
                        format!(
                            "is {mode}, which leaves out {} elements of axis {}: which ones is \
                             not defined alike everywhere; export the model with pads",
                            -margin,
                            i + 2
                        ),
                    );
                }
                let margin = margin.max(0);
                let (small, large) = ((margin / 2) as usize, (margin - margin / 2) as usize);
                let (b, a) = if mode == "SAME_UPPER" { (small, large) } else { (large, small) };
                if let (Some(x), Some(y)) = (before.get_mut(i), after.get_mut(i)) {
                    (*x, *y) = (b, a);
                }
            }
        }
        other => return call.refuse("auto_pad", format!("is {other:?}")),
    }
    Ok(Conv {
        kernel,
        strides,
        dilations,
        pads_before: before,
        pads_after: after,
        group: 1,
        activation: Activation::None,
    })
}

/// Extents of a kernel whose first two axes are channels.
pub(super) fn kernel_of(call: &Call, w: ValueId) -> Imported<Vec<usize>> {
    call.shape(w).iter().skip(2).map(|d| call.size(d, "the kernel")).collect()
}

pub(super) fn group(call: &Call) -> Imported<usize> {
    match call.int_or("group", 1)? {
        n if (1..=FAR).contains(&n) => Ok(n as usize),
        other => call.refuse("group", format!("is {other}")),
    }
}

/// A convolution with the attributes of this node.
pub(super) fn convolution(
    call: &mut Call,
    x: ValueId,
    w: ValueId,
    bias: Option<ValueId>,
) -> Imported<ValueId> {
    let conv = convolution_of(call, x, w)?;
    call.first(Op::Conv(conv), &[Some(x), Some(w), bias])
}

/// The window of a convolution.
pub(super) fn convolution_of(call: &mut Call, x: ValueId, w: ValueId) -> Imported<Conv> {
    let kernel = kernel_of(call, w)?;
    let mut conv = window(call, &call.shape(x), Some(kernel))?;
    conv.group = group(call)?;
    Ok(conv)
}

pub(super) fn conv(call: &mut Call) -> Imported {
    let (x, w, bias) = (call.input(0)?, call.input(1)?, call.optional(2));
    Ok(vec![convolution(call, x, w, bias)?])
}

pub(super) fn pool(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let kind = match call.node.op.as_str() {
        "MaxPool" => PoolKind::Max,
        "AveragePool" => {
            PoolKind::Average { count_include_pad: call.flag("count_include_pad", false)? }
        }
        _ => match call.int_or("p", 2)? {
            p if (1..=64).contains(&p) => PoolKind::Lp { p: p as u32 },
            other => return call.refuse("p", format!("is {other}")),
        },
    };
    let pool = pool_of(call, x, kind)?;
    let mut outputs = vec![call.one(Op::Pool(pool.clone()), &[x])?];
    if kind == PoolKind::Max {
        let column_major = call.flag("storage_order", false)?;
        if call.wants(1) {
            let positions = MaxPositions { pool, column_major };
            outputs.push(call.one(Op::MaxPositions(positions), &[x])?);
        }
    }
    Ok(outputs)
}

/// The pool of a kind with the attributes of this node.
pub(super) fn pooled(call: &mut Call, x: ValueId, kind: PoolKind) -> Imported<ValueId> {
    let pool = pool_of(call, x, kind)?;
    call.one(Op::Pool(pool), &[x])
}

fn pool_of(call: &Call, x: ValueId, kind: PoolKind) -> Imported<Pool> {
    let ceil_mode = call.flag("ceil_mode", false)?;
    let window = window(call, &call.shape(x), None)?;
    let mode = call.string_or("auto_pad", "NOTSET")?;
    if mode.starts_with("SAME") && window.dilations.iter().any(|d| *d > 1) {
        return call.refuse(
            "auto_pad",
            format!(
                "is {mode} with dilations, for which engines give results of different shapes; \
                 export the model with pads"
            ),
        );
    }
    Ok(Pool { kind, window, ceil_mode })
}

/// Zeros between the elements, a margin, and a convolution with the mirrored kernel.
pub(super) fn conv_transpose(call: &mut Call) -> Imported {
    let (x, w, bias) = (call.input(0)?, call.input(1)?, call.optional(2));
    let (data, weights) = (call.shape(x), call.shape(w));
    let space = data.len().saturating_sub(2);
    let kernel = kernel_of(call, w)?;
    if !(1..=3).contains(&space) || kernel.len() != space || kernel.contains(&0) {
        return call.fail(format!(
            "weights {} do not fit {}",
            call.show(&weights),
            call.show(&data)
        ));
    }
    if let Some(stated) = sizes(call, "kernel_shape", space, 1)?
        && stated != kernel
    {
        return call.refuse("kernel_shape", format!("is {stated:?}, the weights have {kernel:?}"));
    }
    let one = || vec![1usize; space];
    let strides = sizes(call, "strides", space, 1)?.unwrap_or_else(one);
    let dilations = sizes(call, "dilations", space, 1)?.unwrap_or_else(one);
    let extra = sizes(call, "output_padding", space, 0)?.unwrap_or_else(|| vec![0; space]);
    let wanted = sizes(call, "output_shape", space, 0)?;
    let pads = sizes(call, "pads", 2 * space, 0)?.unwrap_or_else(|| vec![0; 2 * space]);
    let mode = call.string_or("auto_pad", "NOTSET")?;
    let group = group(call)?;
    let mut x = x;
    let mut before = vec![Dim::Fixed(0); data.len()];
    let mut after = before.clone();
    for i in 0..space {
        let at = |list: &[usize]| list.get(i).copied().unwrap_or(1) as i64;
        let (k, stride, dilation) = (at(&kernel), at(&strides), at(&dilations));
        let reach = (k - 1) * dilation + 1;
        let n = data.get(i + 2).cloned().unwrap_or(Dim::Fixed(1));
        let (mut first, mut last) = (at(&pads), pads.get(i + space).copied().unwrap_or(0) as i64);
        let full =
            (n.clone() - Dim::Fixed(1)) * Dim::Fixed(stride) + Dim::Fixed(reach + at(&extra));
        let want = match (&wanted, mode) {
            (Some(wanted), _) => Some(Dim::Fixed(at(wanted))),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(n.clone() * Dim::Fixed(stride)),
            (None, "VALID") => Some(full.clone()),
            (None, "NOTSET") => None,
            (None, other) => return call.refuse("auto_pad", format!("is {other:?}")),
        };
        if let Some(want) = want {
            let total = call.fixed(&(full - want), "the margin that is cut")?;
            if total < -1 {
                return call.fail(format!(
                    "axis {} is to be {} longer than its windows reach: where the zeros go is not \
                     defined alike everywhere; export the model with pads and output_padding",
                    i + 2,
                    -total
                ));
            }
            let small = total / 2;
            // A single element too much is a zero at the end.
            (first, last) = match mode {
                _ if total < 0 => (0, total),
                "SAME_UPPER" => (small, total - small),
                _ => (total - small, small),
            };
        }
        x = spread(call, x, i + 2, &n, stride)?;
        if let (Some(b), Some(a)) = (before.get_mut(i + 2), after.get_mut(i + 2)) {
            *b = Dim::Fixed(reach - 1 - first);
            *a = Dim::Fixed(reach - 1 - last + at(&extra));
        }
    }
    if before.iter().chain(&after).any(|d| !d.is(0)) {
        x = call.one(Op::Pad(Pad { mode: PadMode::Constant, before, after }), &[x])?;
    }
    let w = mirrored(call, w, &weights, group)?;
    let conv = Conv {
        strides: one(),
        pads_before: vec![0; space],
        pads_after: vec![0; space],
        kernel,
        dilations,
        group,
        activation: Activation::None,
    };
    Ok(vec![call.first(Op::Conv(conv), &[Some(x), Some(w), bias])?])
}

/// `stride - 1` zeros between the elements of one axis.
fn spread(call: &mut Call, x: ValueId, axis: usize, n: &Dim, stride: i64) -> Imported<ValueId> {
    if stride == 1 {
        return Ok(x);
    }
    let wide = call.unsqueeze(x, &[axis + 1])?;
    let before = vec![Dim::Fixed(0); call.shape(wide).len()];
    let mut after = before.clone();
    if let Some(slot) = after.get_mut(axis + 1) {
        *slot = Dim::Fixed(stride - 1);
    }
    let wide = call.one(Op::Pad(Pad { mode: PadMode::Constant, before, after }), &[wide])?;
    let mut flat = call.shape(x);
    if let Some(slot) = flat.get_mut(axis) {
        *slot = n.clone() * Dim::Fixed(stride);
    }
    let flat = call.reshape(wide, flat)?;
    let used = (n.clone() - Dim::Fixed(1)) * Dim::Fixed(stride) + Dim::Fixed(1);
    call.slice(flat, axis, Dim::Fixed(0), used)
}

/// `[c, m / group, ..]` as the weights `[m, c / group, ..]` of the mirrored convolution.
fn mirrored(call: &mut Call, w: ValueId, shape: &[Dim], group: usize) -> Imported<ValueId> {
    let mut cuts = Vec::new();
    for (axis, dim) in shape.iter().enumerate().skip(2) {
        let n = call.fixed(dim, "the kernel")?;
        if n > 1 {
            let start = Dim::Fixed(n - 1);
            cuts.push(SliceAxis { axis, start, step: -1, extent: Dim::Fixed(n) });
        }
    }
    let w = if cuts.is_empty() { w } else { call.one(Op::Slice { axes: cuts }, &[w])? };
    let groups = Dim::Fixed(group as i64);
    let [c, m, space @ ..] = shape else { return call.fail("the weights have no channels") };
    let Some(inner) = c.exact_div(&groups) else {
        return call.fail(format!(
            "{} input channels in {group} groups",
            call.show(std::slice::from_ref(c))
        ));
    };
    let split = [&[groups.clone(), inner.clone(), m.clone()], space].concat();
    let w = call.reshape(w, split)?;
    let mut perm: Vec<usize> = (0..space.len() + 3).collect();
    perm.swap(1, 2);
    let w = call.transpose(w, perm)?;
    call.reshape(w, [&[groups * m.clone(), inner], space].concat())
}

/// A depthwise convolution that sees only the past, with the past carried along.
pub(super) fn causal_conv(call: &mut Call) -> Imported {
    let (x, w, bias) = (call.input(0)?, call.input(1)?, call.optional(2));
    let shape = call.shape(x);
    let [batch, channels, len] = &shape[..] else {
        return call.fail(format!("the data {} is not of rank 3", call.show(&shape)));
    };
    let kernel = kernel_of(call, w)?;
    let (Some(k), group) = (kernel.first().copied(), call.size(channels, "the channels")?) else {
        return call.fail("the weights are not of rank 3");
    };
    let past_len = Dim::Fixed(k.saturating_sub(1) as i64);
    let past = match call.optional(3) {
        Some(past) => past,
        None => {
            let zero = call.scalar(call.dtype_of(x), 0.0);
            let shape = vec![batch.clone(), channels.clone(), past_len.clone()];
            call.one(Op::Fill { shape }, &[zero])?
        }
    };
    let whole = call.concat(&[past, x], 2)?;
    let conv = Conv {
        kernel,
        strides: vec![1],
        dilations: vec![1],
        pads_before: vec![0],
        pads_after: vec![0],
        group,
        activation: Activation::None,
    };
    let y = call.first(Op::Conv(conv), &[Some(whole), Some(w), bias])?;
    let y = match call.string_or("activation", "none")? {
        "none" => y,
        "silu" | "swish" => call.unary(Unary::Silu, y)?,
        other => return call.refuse("activation", format!("is {other:?}")),
    };
    let present = call.slice(whole, 2, len.clone(), past_len)?;
    Ok(vec![y, present])
}
