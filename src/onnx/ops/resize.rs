//! Resampling on a regular grid: one constant matrix, or list of indices, for each axis.

mod ranged;

use crate::graph::{Dim, Op, Tensor, ValueId};
use crate::tensor::DType;

use self::ranged::RangedAxis;
use super::super::call::{Call, Imported};

/// Most elements of a resampled axis.
const MAX_EXTENT: i64 = 1 << 20;
/// Most elements of a constant matrix.
const MAX_MATRIX: i64 = 1 << 24;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic { a: f64 },
}

/// How one axis is resampled.
struct Axis {
    axis: usize,
    from: i64,
    to: i64,
    scale: f64,
    /// Part of the axis that is read, as fractions.
    region: Option<(f64, f64)>,
}

impl Axis {
    /// Whether a position of a region lies outside the data.
    fn is_outside(&self, at: f64) -> bool {
        self.region.is_some() && !(0.0..=(self.from - 1) as f64).contains(&at)
    }
}

struct Sampler<'m> {
    mode: Mode,
    coordinates: &'m str,
    nearest: &'m str,
    antialias: bool,
    exclude_outside: bool,
}

/// What Resize was called before it had more than scales.
pub(super) fn upsample(call: &mut Call) -> Imported {
    if call.version >= 10 {
        return call.fail("it is gone from operator set 10 on; export the model with Resize");
    }
    resize(call)
}

pub(super) fn resize(call: &mut Call) -> Imported {
    let mut x = call.input(0)?;
    let legacy = call.version < 11;
    let mode = match call.string_or("mode", "nearest")? {
        "nearest" => Mode::Nearest,
        "linear" => Mode::Linear,
        "cubic" if !legacy => Mode::Cubic { a: f64::from(call.float_or("cubic_coeff_a", -0.75)?) },
        other => return call.refuse("mode", format!("is {other:?}")),
    };
    call.attributes.ignore("cubic_coeff_a");
    let sampler = Sampler {
        mode,
        coordinates: call.string_or(
            "coordinate_transformation_mode",
            if legacy { "asymmetric" } else { "half_pixel" },
        )?,
        nearest: call
            .string_or("nearest_mode", if legacy { "floor" } else { "round_prefer_floor" })?,
        antialias: call.flag("antialias", false)?,
        exclude_outside: call.flag("exclude_outside", false)?,
    };
    let extrapolation = call.float_or("extrapolation_value", 0.0)?;
    if !["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"].contains(&sampler.nearest) {
        return call.refuse("nearest_mode", format!("is {:?}", sampler.nearest));
    }
    // Bytes are interpolated in f32 and cut off, as ONNX Runtime does.
    let dtype = call.dtype_of(x);
    let bytes = mode == Mode::Linear && matches!(dtype, DType::U8 | DType::I8);
    if bytes {
        x = call.cast(x, DType::F32)?;
    } else if mode != Mode::Nearest && !dtype.is_float() {
        return call.fail(format!("interpolation of {dtype} is not supported"));
    }
    let (fixed, ranged) = axes(call, x, sampler.coordinates)?;
    for axis in &fixed {
        if axis.from == axis.to && axis.scale == 1.0 && axis.region.is_none() {
            continue;
        }
        x = resample(call, x, axis, &sampler)?;
    }
    for axis in &fixed {
        x = extrapolated(call, x, axis, &sampler, extrapolation)?;
    }
    for axis in ranged {
        x = ranged::resample(call, x, &axis, &sampler)?;
    }
    Ok(vec![if bytes { call.cast(x, dtype)? } else { x }])
}

/// One value wherever a region reaches out of the data along an axis.
fn extrapolated(
    call: &mut Call,
    x: ValueId,
    axis: &Axis,
    sampler: &Sampler,
    value: f32,
) -> Imported<ValueId> {
    let outside: Vec<u8> = (0..axis.to)
        .map(|i| u8::from(sampler.coordinate(i, axis).is_some_and(|at| axis.is_outside(at))))
        .collect();
    if !outside.contains(&1) {
        return Ok(x);
    }
    let mut shape = vec![1; call.shape(x).len()];
    if let Some(slot) = shape.get_mut(axis.axis) {
        *slot = outside.len();
    }
    let outside = call.constant(Tensor::from_bytes(DType::Bool, &shape, &outside));
    let value = call.scalar(call.dtype_of(x), f64::from(value));
    call.one(Op::Where, &[outside, value, x])
}

/// The numbers of a constant input; `None` where it is left out or empty.
fn constant(call: &Call, i: usize) -> Imported<Option<Vec<f64>>> {
    let Some(id) = call.optional(i) else { return Ok(None) };
    match call.builder.constant(id) {
        Some(tensor) => Ok(Some(tensor.to_f64s()).filter(|n| !n.is_empty())),
        None => Err(call.not_constant(i)),
    }
}

/// The axes that change, with extents that are numbers and with others.
fn axes(call: &mut Call, x: ValueId, coordinates: &str) -> Imported<(Vec<Axis>, Vec<RangedAxis>)> {
    let shape = call.shape(x);
    let order = match call.ints("axes")? {
        None => (0..shape.len()).collect(),
        Some(axes) => {
            call.axes(axes, shape.len())?;
            axes.iter().map(|a| call.axis(*a, shape.len())).collect::<Imported<Vec<_>>>()?
        }
    };
    let legacy = call.version < 11;
    // Upsample-7 has them as an attribute.
    let scales = match call.floats("scales")? {
        Some(scales) if call.version < 9 => Some(scales.iter().map(|s| f64::from(*s)).collect()),
        _ => constant(call, if legacy { 1 } else { 2 })?,
    };
    let sizes = if scales.is_none() { call.known_optional(3)? } else { None };
    let policy = call.string_or("keep_aspect_ratio_policy", "stretch")?;
    let region = if coordinates == "tf_crop_and_resize" { constant(call, 1)? } else { None };
    let given = scales.as_ref().map(Vec::len).or(sizes.as_ref().map(Vec::len));
    if given != Some(order.len()) {
        return call.fail(format!("it needs one scale or size for each of {} axes", order.len()));
    }
    let (mut out, mut ranged) = (Vec::with_capacity(order.len()), Vec::new());
    for (i, axis) in order.iter().enumerate() {
        let dim = shape.get(*axis).cloned().unwrap_or(Dim::Fixed(1));
        let number = |list: &Option<Vec<f64>>| list.as_ref().and_then(|l| l.get(i)).copied();
        let scale = number(&scales);
        let size = sizes.as_ref().and_then(|sizes| sizes.get(i));
        let is_kept = scale == Some(1.0) || (size == Some(&dim) && policy == "stretch");
        if is_kept && region.is_none() {
            continue;
        }
        let is_open = dim.fixed().is_none() || size.is_some_and(|size| size.fixed().is_none());
        if is_open && region.is_none() && policy == "stretch" {
            ranged.push(RangedAxis::new(call, *axis, &dim, (scale, size))?);
            continue;
        }
        let from = call.fixed(&dim, "an axis that is resampled")?;
        let (to, scale) = match (scale, size) {
            // The product is of f32, as shape inference of the standard has it: 10 times 0.7 is 7.
            (Some(scale), _) => ((from as f32 * scale as f32).floor() as i64, scale),
            (None, Some(to)) => {
                let to = call.fixed(to, "the size of an axis that is resampled")?;
                (to, to as f64 / from as f64)
            }
            (None, None) => return call.fail("scales and sizes are missing"),
        };
        let ends = region.as_ref().map(|r| (r.get(i), r.get(i + order.len())));
        let region = match ends {
            None => None,
            Some((Some(a), Some(b))) => Some((*a, *b)),
            Some(_) => return call.fail("the region has not two numbers for each axis"),
        };
        out.push(Axis { axis: *axis, from, to, scale, region });
    }
    if sizes.is_some() && policy != "stretch" {
        let all = out.iter().map(|a| a.scale);
        let common = match policy {
            "not_larger" => all.fold(f64::INFINITY, f64::min),
            "not_smaller" => all.fold(0.0, f64::max),
            other => return call.refuse("keep_aspect_ratio_policy", format!("is {other:?}")),
        };
        for axis in &mut out {
            axis.scale = common;
            axis.to = (common * axis.from as f64 + 0.5).floor() as i64;
        }
    }
    for axis in &out {
        let broken = (axis.scale * axis.from as f64 - axis.to as f64).abs() > 1e-5 * axis.to as f64;
        if broken && matches!(coordinates, "align_corners" | "tf_crop_and_resize") {
            return call.refuse(
                "coordinate_transformation_mode",
                format!(
                    "is {coordinates}, on which engines differ where a scale gives a broken size; \
                     export the model with sizes"
                ),
            );
        }
        let sane = axis.scale.is_finite() && axis.scale > 0.0;
        if !sane || !(1..=MAX_EXTENT).contains(&axis.to) || axis.from < 1 {
            return call
                .fail(format!("axis {} cannot go from {} to {}", axis.axis, axis.from, axis.to));
        }
    }
    Ok((out, ranged))
}

impl Sampler<'_> {
    /// A result of arithmetic, in f32 where the nearest element depends on its rounding: 3 / 0.6
    /// is 5, whose floor is not that of the quotient of f64.
    fn rounded(&self, x: f64) -> f64 {
        if self.mode == Mode::Nearest { f64::from(x as f32) } else { x }
    }

    /// Where position `i` of the result lies in the data.
    fn coordinate(&self, i: i64, axis: &Axis) -> Option<f64> {
        let r = |x: f64| self.rounded(x);
        let (i, from, to) = (i as f64, axis.from as f64, axis.to as f64);
        let scale = r(axis.scale);
        let center = r((i + 0.5) / scale);
        let half_pixel = r(center - 0.5);
        Some(match self.coordinates {
            "half_pixel" => half_pixel,
            "pytorch_half_pixel" if axis.to == 1 => 0.0,
            "pytorch_half_pixel" => half_pixel,
            "half_pixel_symmetric" => {
                let adjustment = r(to / r(scale * from));
                let offset = r(from / 2.0 * r(1.0 - adjustment));
                r(r(offset + center) - 0.5)
            }
            "align_corners" if axis.to == 1 => 0.0,
            "align_corners" => r(r(i * (from - 1.0)) / (to - 1.0)),
            "asymmetric" => r(i / scale),
            "tf_crop_and_resize" => {
                let (start, end) = axis.region?;
                let width = r(r(end - start) * (from - 1.0));
                if axis.to == 1 {
                    r(0.5 * r(start + end) * (from - 1.0))
                } else {
                    r(r(start * (from - 1.0)) + r(r(i * width) / (to - 1.0)))
                }
            }
            _ => return None,
        })
    }

    /// The first position that has a weight, counted from the one before `x`, and the weights.
    fn weights(&self, ratio: f64, scale: f64) -> (i64, Vec<f64>) {
        let scale = if self.antialias { scale.min(1.0) } else { 1.0 };
        let (reach, weight): (f64, &dyn Fn(f64) -> f64) = match self.mode {
            Mode::Nearest => {
                let right = match self.nearest {
                    _ if ratio == 1.0 => true,
                    "floor" => false,
                    "ceil" => true,
                    "round_prefer_ceil" => ratio >= 0.5,
                    _ => ratio > 0.5,
                };
                return (i64::from(right), vec![1.0]);
            }
            Mode::Linear => (1.0, &|t: f64| (1.0 - t).max(0.0)),
            Mode::Cubic { a } => (2.0, &move |t: f64| {
                if t <= 1.0 {
                    ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0
                } else if t < 2.0 {
                    ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a
                } else {
                    0.0
                }
            }),
        };
        let first = (-reach / scale).floor() as i64 + 1;
        let count = 2 - 2 * first;
        let mut weights: Vec<f64> =
            (first..first + count).map(|k| weight(((k as f64 - ratio) * scale).abs())).collect();
        if self.antialias {
            let total: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= total);
        }
        (first, weights)
    }
}

/// One axis resampled.
fn resample(call: &mut Call, x: ValueId, axis: &Axis, sampler: &Sampler) -> Imported<ValueId> {
    let is_nearest = sampler.mode == Mode::Nearest;
    if !is_nearest && axis.from.saturating_mul(axis.to) > MAX_MATRIX {
        return call.fail(format!("resampling {} to {} is too large", axis.from, axis.to));
    }
    let (rows, cols) = (axis.from as usize, axis.to as usize);
    let mut indices = Vec::new();
    let mut matrix = if is_nearest { Vec::new() } else { vec![0f64; rows * cols] };
    for i in 0..axis.to {
        let Some(at) = sampler.coordinate(i, axis) else {
            return call
                .refuse("coordinate_transformation_mode", format!("is {:?}", sampler.coordinates));
        };
        // What is computed there is replaced.
        let at = if axis.is_outside(at) { 0.0 } else { at };
        let before = at.ceil() - 1.0;
        let (first, mut weights) = sampler.weights(at - before, axis.scale);
        let start = before as i64 + first;
        let inside = |k: usize| (0..axis.from).contains(&(start + k as i64));
        if sampler.exclude_outside && !is_nearest {
            weights.iter_mut().enumerate().filter(|(k, _)| !inside(*k)).for_each(|(_, w)| *w = 0.0);
            let total: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= total);
        }
        for (k, weight) in weights.iter().enumerate() {
            let row = (start + k as i64).clamp(0, axis.from - 1);
            if is_nearest {
                indices.push(row);
            } else if let Some(cell) = matrix.get_mut(row as usize * cols + i as usize) {
                *cell += weight;
            }
        }
    }
    if is_nearest {
        let indices = call.constant(Tensor::vector(&indices));
        return call.one(Op::Gather { axis: axis.axis }, &[x, indices]);
    }
    let matrix = if call.dtype_of(x) == DType::F64 {
        Tensor::new(&[rows, cols], &matrix)
    } else {
        Tensor::new(&[rows, cols], &matrix.iter().map(|w| *w as f32).collect::<Vec<_>>())
    };
    let matrix = call.constant(matrix);
    let mut order: Vec<usize> = (0..call.shape(x).len()).collect();
    let last = order.len().saturating_sub(1);
    order.swap(axis.axis, last);
    let turned = call.transpose(x, order.clone())?;
    let y = call.one(Op::MatMul, &[turned, matrix])?;
    call.transpose(y, order)
}
