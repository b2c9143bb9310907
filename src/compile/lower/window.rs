//! Convolution and pooling.

use crate::graph::Node;
use crate::graph::dim::{Dim, product};
use crate::graph::ops::{self, Conv, MaxPositions, Pool, PoolKind};
use crate::kernels::conv::PoolOp;
use crate::kernels::gemm::PANEL;
use crate::runtime::KernelId;
use crate::runtime::steps::product::ActivationWords;
use crate::runtime::steps::window::{
    ConvRecord, GeometryRecord, PoolPositionsRecord, PoolRecord, WindowRecord,
};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::product::activation;
use super::{operand, optional, result};

pub(super) mod direct;

/// Elements of unrolled input that a convolution holds at a time: half of a common L2.
const UNROLLED_LEN: usize = 1 << 16;

/// The window over `[n, c, space..]`, its axes moved to the last of three.
pub(super) fn window(
    b: &mut Builder<'_>,
    op: &Conv,
    from: &[Dim],
    to: &[Dim],
) -> Lowered<WindowRecord> {
    let space = op.kernel.len();
    if !(1..=3).contains(&space) {
        return Err(format!("a window over {space} axes: 1 to 3 are supported"));
    }
    let place = |list: &[usize], fill: u32| -> Lowered<[u32; 3]> {
        let mut out = [fill; 3];
        for (to, n) in out[3 - space..].iter_mut().zip(list) {
            *to = u32::try_from(*n).map_err(|_| "a window without bounds".to_owned())?;
        }
        Ok(out)
    };
    let mut extents = |shape: &[Dim]| {
        let mut out = [(); 3].map(|()| b.extent(&Dim::Fixed(1)));
        for (to, dim) in out[3 - space..].iter_mut().zip(&shape[2..]) {
            *to = b.extent(dim);
        }
        out
    };
    Ok(WindowRecord {
        input: extents(from),
        output: extents(to),
        kernel: place(&op.kernel, 1)?,
        stride: place(&op.strides, 1)?,
        dilation: place(&op.dilations, 1)?,
        pad_begin: place(&op.pads_before, 0)?,
        pad_end: place(&op.pads_after, 0)?,
    })
}

pub(super) fn conv(b: &mut Builder<'_>, node: &Node, op: &Conv) -> Lowered<()> {
    let (x, w, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    let (from, weights, dtype) = (b.shape(x), b.shape(w), b.dtype(x));
    let fixed = |dim: &Dim| {
        dim.fixed().and_then(|n| u32::try_from(n).ok()).ok_or("the number of channels is not fixed")
    };
    let groups = op.group.max(1) as u32;
    let (channels, outputs) = (fixed(&weights[1])?, fixed(&weights[0])? / groups);
    if !matches!(dtype, DType::F32 | DType::F64 | DType::I32) {
        return Err(format!("no convolution of {dtype}"));
    }
    let to = b.shape(y);
    let window = window(b, op, from, to)?;
    if let Some(direct) = direct::Direct::new(b, node, op) {
        return direct.lower(b, node, window);
    }
    let rows = channels as usize * op.kernel.iter().product::<usize>();
    let all = |list: &[usize], n: usize| list.iter().all(|i| *i == n);
    let pointwise = all(&op.kernel, 1)
        && all(&op.strides, 1)
        && all(&op.pads_before, 0)
        && all(&op.pads_after, 0);
    let kernel = match (dtype, channels) {
        (DType::F64 | DType::I32, _) => KernelId::Conv,
        (_, 1) if !pointwise => KernelId::ConvDepthwiseF32,
        _ => KernelId::ConvF32,
    };
    let plain = optional(node, 3).is_none() && op.activation == ops::Activation::None;
    if kernel == KernelId::Conv && !plain {
        return Err(format!("no activation or residual with a convolution of {dtype}"));
    }
    let operands = (b.read(x)?, b.read(w)?);
    let bias = optional(node, 2).map(|v| b.read(v)).transpose()?;
    let residual = optional(node, 3).map(|v| b.read(v)).transpose()?;
    let y = b.write(y);
    let scratch = (kernel == KernelId::ConvF32 && !pointwise).then(|| {
        let panels = b.max_len(&to[2..]).div_ceil(PANEL);
        let panel = (PANEL * rows).max(1);
        b.scratch(DType::F32, panel * panels.clamp(1, (UNROLLED_LEN / panel).max(1)))
    });
    let record = ConvRecord {
        x: operands.0,
        weights: operands.1,
        bias,
        residual,
        activation: ActivationWords::new(activation(op.activation)),
        y,
        scratch,
        sizes: GeometryRecord { window, batch: b.extent(&from[0]), groups, channels, outputs },
    };
    b.step(kernel, &record);
    Ok(())
}

pub(super) fn pool(b: &mut Builder<'_>, node: &Node, op: &Pool) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let (from, to, dtype) = (b.shape(x), b.shape(y), b.dtype(x));
    let (code, p) = match op.kind {
        PoolKind::Max => (PoolOp::Max as u32, 0),
        PoolKind::Average { count_include_pad: false } => (PoolOp::Average as u32, 0),
        PoolKind::Average { count_include_pad: true } => (PoolOp::AverageWithPadding as u32, 0),
        PoolKind::Lp { p } => (0, p.max(1)),
    };
    let record = PoolRecord {
        x: b.read(x)?,
        y: b.write(y),
        op: code,
        p,
        window: window(b, &op.window, from, to)?,
        channels: b.extent(&product(&from[..2])),
    };
    let vector = dtype == DType::F32 && code != 0;
    b.step(if vector { KernelId::PoolF32 } else { KernelId::Pool }, &record);
    Ok(())
}

pub(super) fn positions(b: &mut Builder<'_>, node: &Node, op: &MaxPositions) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let (from, to) = (b.shape(x), b.shape(y));
    let record = PoolPositionsRecord {
        x: b.read(x)?,
        y: b.write(y),
        window: window(b, &op.pool.window, from, to)?,
        channels: b.extent(&product(&from[..2])),
        column_major: op.column_major,
    };
    b.step(KernelId::PoolPositions, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
