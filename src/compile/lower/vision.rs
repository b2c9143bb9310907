//! Pictures sampled where data say, and determinants.

use crate::graph::Node;
use crate::graph::dim::{Dim, product};
use crate::graph::ops::vision::{GridMode, GridPadding};
use crate::graph::ops::{DeformColumns, GridSample, MaxRoiPool, RoiAlign};
use crate::kernels::vision as kernel;
use crate::runtime::KernelId;
use crate::runtime::steps::vision::{
    DeformRecord, DeterminantRecord, GridSampleRecord, RegionsRecord, RoiAlignRecord, RoiMaxRecord,
};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::{operand, optional, result};

pub(super) fn grid_sample(b: &mut Builder<'_>, node: &Node, op: &GridSample) -> Lowered<()> {
    let (x, grid, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    let (from, at) = (b.shape(x), b.shape(grid));
    let axes = from.len() - 2;
    let mut space = [(); 3].map(|()| b.extent(&Dim::Fixed(1)));
    for (to, dim) in space[3 - axes..].iter_mut().zip(&from[2..]) {
        *to = b.extent(dim);
    }
    let mode = match op.mode {
        GridMode::Nearest => kernel::GridMode::Nearest,
        GridMode::Linear => kernel::GridMode::Linear,
        GridMode::Cubic => kernel::GridMode::Cubic,
    };
    let padding = match op.padding {
        GridPadding::Zeros => kernel::GridPadding::Zeros,
        GridPadding::Border => kernel::GridPadding::Border,
        GridPadding::Reflection => kernel::GridPadding::Reflection,
    };
    let record = GridSampleRecord {
        x: b.read(x)?,
        grid: b.read(grid)?,
        y: b.write(y),
        mode: mode as u32,
        padding: padding as u32,
        align_corners: op.align_corners,
        axes: axes as u32,
        batch: b.extent(&from[0]),
        channels: b.extent(&from[1]),
        points: b.extent(&product(&at[1..at.len() - 1])),
        space,
    };
    b.step(KernelId::GridSample, &record);
    Ok(())
}

fn regions(
    b: &mut Builder<'_>,
    node: &Node,
    scale: f32,
    size: [usize; 2],
) -> Lowered<RegionsRecord> {
    let (x, rois, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    let (from, count) = (b.shape(x), &b.shape(rois)[0]);
    let output = size.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    Ok(RegionsRecord {
        x: b.read(x)?,
        rois: b.read(rois)?,
        y: b.write(y),
        batch: b.extent(&from[0]),
        channels: b.extent(&from[1]),
        input: [b.extent(&from[2]), b.extent(&from[3])],
        count: b.extent(count),
        output,
        scale,
    })
}

pub(super) fn roi_align(b: &mut Builder<'_>, node: &Node, op: &RoiAlign) -> Lowered<()> {
    let images = b.read(operand(node, 2)?)?;
    let record = RoiAlignRecord {
        images,
        regions: regions(b, node, op.scale, op.size)?,
        largest: op.largest,
        half_pixel: op.half_pixel,
        sampling: op.sampling,
    };
    b.step(KernelId::RoiAlign, &record);
    Ok(())
}

pub(super) fn max_roi_pool(b: &mut Builder<'_>, node: &Node, op: &MaxRoiPool) -> Lowered<()> {
    let record = RoiMaxRecord { regions: regions(b, node, op.scale, op.size)? };
    b.step(KernelId::RoiMax, &record);
    Ok(())
}

pub(super) fn deform_columns(b: &mut Builder<'_>, node: &Node, op: &DeformColumns) -> Lowered<()> {
    let (x, offset, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    let (from, at, w) = (b.shape(x), b.shape(offset), &op.window);
    let pair = |list: &[usize]| -> Lowered<[u32; 2]> {
        match list {
            [a, b] => Ok([*a, *b].map(|n| u32::try_from(n).unwrap_or(u32::MAX))),
            _ => Err("the window has not two axes".into()),
        }
    };
    let record = DeformRecord {
        x: b.read(x)?,
        offset: b.read(offset)?,
        mask: optional(node, 2).map(|v| b.read(v)).transpose()?,
        y: b.write(y),
        batch: b.extent(&from[0]),
        channels: b.extent(&from[1]),
        groups: u32::try_from(w.group).unwrap_or(u32::MAX),
        input: [b.extent(&from[2]), b.extent(&from[3])],
        output: [b.extent(&at[2]), b.extent(&at[3])],
        kernel: pair(&w.kernel)?,
        stride: pair(&w.strides)?,
        dilation: pair(&w.dilations)?,
        pad: pair(&w.pads_before)?,
    };
    b.step(KernelId::DeformColumns, &record);
    Ok(())
}

pub(super) fn determinant(b: &mut Builder<'_>, node: &Node) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let [outer @ .., rows, cols] = b.shape(x) else { return Err("the data is no matrix".into()) };
    let len = b.max_len(&[rows.clone(), cols.clone()]);
    let record = DeterminantRecord {
        x: b.read(x)?,
        y: b.write(y),
        scratch: b.scratch(DType::F64, len),
        count: b.extent(&product(outer)),
        n: b.extent(rows),
    };
    b.step(KernelId::Determinant, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
