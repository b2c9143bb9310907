//! Pictures: grids, regions, shifted windows, columns and unpooling.

use crate::graph::dim::product;
use crate::graph::ops::vision::{GridMode, GridPadding};
use crate::graph::ops::{Binary, DeformColumns, GridSample, MaxRoiPool, RoiAlign, Scatter};
use crate::graph::{Dim, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};
use super::window::{group, kernel_of, sizes, window};

/// Most samples of a bin of RoiAlign along one axis.
const MAX_SAMPLING: u32 = 1 << 10;
/// Most elements of a constant grid or list of indices.
const MAX_GRID: usize = 1 << 24;

fn fixed(n: usize) -> Dim {
    Dim::Fixed(n as i64)
}

/// Extents that a constant input states, and their product.
fn extents(call: &Call, i: usize) -> Imported<(Vec<usize>, usize)> {
    let stated = call.known_numbers(i)?.unwrap_or_default();
    let extents: Option<Vec<usize>> = stated.iter().map(|n| usize::try_from(*n).ok()).collect();
    let whole = extents.and_then(|list| {
        let len = list.iter().try_fold(1usize, |len, n| len.checked_mul(*n))?;
        (len <= MAX_GRID).then_some((list, len))
    });
    whole.ok_or_else(|| call.problem(format!("the extents {stated:?} are not possible")))
}

/// Normalised positions, the last axis first and then a one, times each matrix of `theta`.
pub(super) fn affine_grid(call: &mut Call) -> Imported {
    let theta = call.input(0)?;
    let align_corners = call.flag("align_corners", false)?;
    let Some(size) = call.known_optional(1)? else { return call.fail("the size is missing") };
    let [batch, _channels, space @ ..] = &size[..] else {
        return call.fail("the size has no axes of space");
    };
    let space: Vec<usize> =
        space.iter().map(|d| call.size(d, "the size of the grid")).collect::<Imported<_>>()?;
    let n = space.len();
    let shape = call.shape(theta);
    if !(2..=3).contains(&n) || shape != [batch.clone(), fixed(n), fixed(n + 1)] {
        return call.fail(format!("theta {} does not suit a grid of {n} axes", call.show(&shape)));
    }
    let points = space.iter().try_fold(1usize, |len, n| len.checked_mul(*n));
    let Some(points) = points.filter(|p| *p <= MAX_GRID / 4) else {
        return call.fail(format!("a grid of {space:?} is too large"));
    };
    if align_corners && space.contains(&1) {
        return call
            .refuse("align_corners", "is 1 with an axis of one point, which has no two corners");
    }
    let mut grid = Vec::with_capacity(points * (n + 1));
    for point in 0..points {
        let (mut rest, first) = (point, grid.len());
        for extent in space.iter().rev() {
            let (i, extent) = ((rest % extent) as f64, *extent as f64);
            grid.push(if align_corners {
                2.0 * i / (extent - 1.0) - 1.0
            } else {
                (2.0 * i + 1.0) / extent - 1.0
            });
            rest /= extent as usize;
        }
        debug_assert_eq!(grid.len(), first + n);
        grid.push(1.0);
    }
    let grid = call.constant(Tensor::new(&[points, n + 1], &grid));
    let grid = call.cast(grid, call.dtype_of(theta))?;
    let theta = call.transpose(theta, vec![0, 2, 1])?;
    let y = call.one(Op::MatMul, &[grid, theta])?;
    let mut to = vec![batch.clone()];
    to.extend(space.iter().map(|n| fixed(*n)));
    to.push(fixed(n));
    Ok(vec![call.reshape(y, to)?])
}

/// A tensor of zeros.
fn zeros(call: &mut Call, dtype: DType, shape: Vec<Dim>) -> Imported<ValueId> {
    let zero = call.scalar(dtype, 0.0);
    call.one(Op::Fill { shape }, &[zero])
}

/// Every element added where its window met the image; one place more takes the margin.
pub(super) fn col2im(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let ((image, pixels), (block, taps)) = (extents(call, 1)?, extents(call, 2)?);
    let n = image.len();
    if n == 0 || block.len() != n || taps == 0 {
        return call.fail(format!("blocks {block:?} do not suit an image {image:?}"));
    }
    let strides = sizes(call, "strides", n, 1)?.unwrap_or_else(|| vec![1; n]);
    let dilations = sizes(call, "dilations", n, 1)?.unwrap_or_else(|| vec![1; n]);
    let pads = sizes(call, "pads", 2 * n, 0)?.unwrap_or_else(|| vec![0; 2 * n]);
    let mut counts = Vec::with_capacity(n);
    for d in 0..n {
        let room =
            (image[d] + pads[d] + pads[d + n]).checked_sub(dilations[d] * (block[d] - 1) + 1);
        let Some(room) = room else { return call.fail("the block is larger than the image") };
        counts.push(room / strides[d] + 1);
    }
    let blocks = counts.iter().try_fold(1usize, |len, n| len.checked_mul(*n));
    let len = blocks.and_then(|blocks| blocks.checked_mul(taps)).filter(|len| *len <= MAX_GRID);
    let (Some(blocks), Some(len)) = (blocks, len) else {
        return call.fail(format!("{counts:?} blocks of {block:?} are too many"));
    };
    let shape = call.shape(x);
    let channels = match &shape[..] {
        [_, rows, cols] if cols.is(blocks as i64) => rows.exact_div(&fixed(taps)),
        _ => None,
    };
    let (Some(channels), Some(batch)) = (channels, shape.first()) else {
        return call.fail(format!(
            "{} is not a column of {taps} for each channel and each of {blocks} blocks",
            call.show(&shape)
        ));
    };
    let target = |at: usize| {
        let (mut tap, mut block_at) = (at / blocks, at % blocks);
        let (mut place, mut unit) = (0, 1);
        for d in (0..n).rev() {
            let i = (block_at % counts[d] * strides[d] + tap % block[d] * dilations[d])
                .checked_sub(pads[d])
                .filter(|i| *i < image[d]);
            let Some(i) = i else { return pixels as i64 };
            place += i * unit;
            unit *= image[d];
            (tap, block_at) = (tap / block[d], block_at / counts[d]);
        }
        place as i64
    };
    let targets: Vec<i64> = (0..len).map(target).collect();
    let targets = call.constant(Tensor::new(&[len, 1], &targets));
    let lanes = batch.clone() * channels.clone();
    let updates = call.reshape(x, vec![lanes.clone(), fixed(len)])?;
    let updates = call.transpose(updates, vec![1, 0])?;
    let data = zeros(call, call.dtype_of(x), vec![fixed(pixels + 1), lanes])?;
    let add = Op::ScatterNd(Scatter::Add { axis: 0 });
    let y = call.one(add, &[data, targets, updates])?;
    let y = call.slice(y, 0, Dim::Fixed(0), fixed(pixels))?;
    let y = call.transpose(y, vec![1, 0])?;
    let mut to = vec![batch.clone(), channels];
    to.extend(image.iter().map(|n| fixed(*n)));
    Ok(vec![call.reshape(y, to)?])
}

/// Every element written where a pooling found it.
pub(super) fn max_unpool(call: &mut Call) -> Imported {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let shape = call.shape(x);
    let space = shape.len().saturating_sub(2);
    if space == 0 || call.shape(indices) != shape {
        return call.fail(format!(
            "indices {} do not match the data {}",
            call.show(&call.shape(indices)),
            call.show(&shape)
        ));
    }
    let kernel = sizes(call, "kernel_shape", space, 1)?;
    let kernel = call.required("kernel_shape", kernel)?;
    let strides = sizes(call, "strides", space, 1)?.unwrap_or_else(|| vec![1; space]);
    let pads = sizes(call, "pads", 2 * space, 0)?.unwrap_or_else(|| vec![0; 2 * space]);
    let mut to = shape[..2].to_vec();
    for (d, n) in shape[2..].iter().enumerate() {
        let margin = (pads[d] + pads[d + space]) as i64;
        let last = (n.clone() - Dim::Fixed(1)) * fixed(strides[d]);
        to.push(last + Dim::Fixed(kernel[d] as i64 - margin));
    }
    if let Some(stated) = call.known_optional(2)?
        && stated != to
    {
        return call.fail(format!(
            "output_shape is {}, where the window gives {}: whether the indices count in one or \
             in the other is not defined alike everywhere",
            call.show(&stated),
            call.show(&to)
        ));
    }
    if to.iter().any(|d| d.bounds(call.variables()).0 < 0) {
        return call.fail(format!("the result {} is not possible", call.show(&to)));
    }
    let data = zeros(call, call.dtype_of(x), vec![product(&to)])?;
    let (x, indices) =
        (call.reshape(x, vec![product(&shape)])?, call.reshape(indices, vec![product(&shape)])?);
    let place = Op::ScatterElements(Scatter::Replace { axis: 0 });
    let y = call.one(place, &[data, indices, x])?;
    Ok(vec![call.reshape(y, to)?])
}

pub(super) fn grid_sample(call: &mut Call) -> Imported {
    let (x, grid) = (call.input(0)?, call.input(1)?);
    let mode = match call.string_or("mode", "linear")? {
        "nearest" => GridMode::Nearest,
        "linear" | "bilinear" => GridMode::Linear,
        "cubic" | "bicubic" => GridMode::Cubic,
        other => return call.refuse("mode", format!("is {other:?}")),
    };
    let padding = match call.string_or("padding_mode", "zeros")? {
        "zeros" => GridPadding::Zeros,
        "border" => GridPadding::Border,
        "reflection" => GridPadding::Reflection,
        other => return call.refuse("padding_mode", format!("is {other:?}")),
    };
    let align_corners = call.flag("align_corners", false)?;
    let grid = call.cast(grid, call.dtype_of(x))?;
    let op = Op::GridSample(GridSample { mode, padding, align_corners });
    Ok(vec![call.one(op, &[x, grid])?])
}

/// An extent of the result that an attribute states.
fn stated(call: &Call, name: &str, n: i64) -> Imported<usize> {
    if (1..=1 << 16).contains(&n) {
        return Ok(n as usize);
    }
    call.refuse(name, format!("is {n}"))
}

pub(super) fn roi_align(call: &mut Call) -> Imported {
    let (x, rois, images) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let largest = match call.string_or("mode", "avg")? {
        "avg" => false,
        "max" => true,
        other => return call.refuse("mode", format!("is {other:?}")),
    };
    let usual = if call.version < 16 { "output_half_pixel" } else { "half_pixel" };
    let half_pixel = match call.string_or("coordinate_transformation_mode", usual)? {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => {
            return call.refuse("coordinate_transformation_mode", format!("is {other:?}"));
        }
    };
    let sampling = match call.int_or("sampling_ratio", 0)? {
        n if n <= 0 => 0,
        n if n <= i64::from(MAX_SAMPLING) => n as u32,
        n => return call.refuse("sampling_ratio", format!("is {n}: at most {MAX_SAMPLING}")),
    };
    let height = call.int_or("output_height", 1)?;
    let width = call.int_or("output_width", 1)?;
    let size = [stated(call, "output_height", height)?, stated(call, "output_width", width)?];
    let scale = call.float_or("spatial_scale", 1.0)?;
    let op = Op::RoiAlign(RoiAlign { largest, half_pixel, sampling, scale, size });
    Ok(vec![call.one(op, &[x, rois, images])?])
}

pub(super) fn max_roi_pool(call: &mut Call) -> Imported {
    let (x, rois) = (call.input(0)?, call.input(1)?);
    let size = match call.ints("pooled_shape")? {
        Some([h, w]) => [stated(call, "pooled_shape", *h)?, stated(call, "pooled_shape", *w)?],
        _ => return call.refuse("pooled_shape", "is not the height and width of the result"),
    };
    let scale = call.float_or("spatial_scale", 1.0)?;
    Ok(vec![call.one(Op::MaxRoiPool(MaxRoiPool { scale, size }), &[x, rois])?])
}

/// The shifted windows unrolled, then a product for each group.
pub(super) fn deform_conv(call: &mut Call) -> Imported {
    let (x, w, offset) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let (bias, mask) = (call.optional(3), call.optional(4));
    let (data, weights) = (call.shape(x), call.shape(w));
    let kernel = kernel_of(call, w)?;
    let mut windows = window(call, &data, Some(kernel))?;
    windows.group = match call.int_or("offset_group", 1)? {
        n if (1..=1 << 16).contains(&n) => n as usize,
        other => return call.refuse("offset_group", format!("is {other}")),
    };
    let groups = fixed(group(call)?);
    let ([batch, channels, ..], [outputs, per_group, ..]) = (&data[..], &weights[..]) else {
        return call.fail("the data or the weights have no channels");
    };
    let Some(inner) = outputs.exact_div(&groups) else {
        return call.fail("the groups do not divide the output channels");
    };
    if per_group.clone() * groups.clone() != *channels {
        return call.fail(format!(
            "weights {} do not fit the data {}",
            call.show(&weights),
            call.show(&data)
        ));
    }
    let op = Op::DeformColumns(DeformColumns { window: windows });
    let columns = call.first(op, &[Some(x), Some(offset), mask])?;
    let shape = call.shape(columns);
    let [_, _, taps, positions] = &shape[..] else { return call.fail("no columns") };
    let rows = per_group.clone() * taps.clone();
    let to = vec![batch.clone(), groups.clone(), rows.clone(), positions.clone()];
    let columns = call.reshape(columns, to)?;
    let w = call.reshape(w, vec![groups, inner, rows])?;
    let mut y = call.one(Op::MatMul, &[w, columns])?;
    let space = call.shape(offset);
    let to = [&[batch.clone(), outputs.clone()], space.get(2..).unwrap_or_default()].concat();
    y = call.reshape(y, to)?;
    if let Some(bias) = bias {
        if call.shape(bias) != std::slice::from_ref(outputs) {
            return call.fail("the bias is not one number for each output channel");
        }
        let bias = call.unsqueeze(bias, &[1, 2])?;
        y = call.binary(Binary::Add, y, bias)?;
    }
    Ok(vec![y])
}

pub(super) fn determinant(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    Ok(vec![call.one(Op::Det, &[x])?])
}
