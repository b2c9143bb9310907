//! Resampling of an axis whose extent is chosen per call: positions are computed when it runs, in
//! double precision as those of a fixed axis are at load.

use crate::graph::ops::{Binary, Unary};
use crate::graph::{Dim, Fact, Op, ValueId};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};
use super::{Mode, Sampler};

/// Factors that are whole over this power of two are exact.
const MAX_DENOMINATOR: i64 = 1 << 10;

/// An axis of which at least one extent is open.
pub(super) struct RangedAxis {
    pub(super) axis: usize,
    from: Dim,
    to: Dim,
    /// The factor, where the model gives it in place of a size.
    scale: Option<f64>,
}

impl RangedAxis {
    /// The axis of extent `from` under a factor or to a size.
    pub(super) fn new(
        call: &Call,
        axis: usize,
        from: &Dim,
        (scale, size): (Option<f64>, Option<&Dim>),
    ) -> Imported<Self> {
        let from = from.clone();
        let to = match (scale, size) {
            (Some(scale), _) => scaled(call, &from, scale)?,
            (None, Some(size)) => size.clone(),
            (None, None) => return call.fail("scales and sizes are missing"),
        };
        for dim in [&from, &to] {
            if dim.bounds(call.variables()).0 < 1 {
                let dim = dim.display(call.variables());
                return call.fail(format!(
                    "an axis that is resampled has {dim} elements, which may be none; narrow the \
                     --dim ranges"
                ));
            }
        }
        Ok(Self { axis, from, to, scale })
    }
}

/// `floor(from * scale)`.
fn scaled(call: &Call, from: &Dim, scale: f64) -> Imported<Dim> {
    let mut denominator = 1;
    while denominator <= MAX_DENOMINATOR {
        let numerator = scale * denominator as f64;
        if numerator.fract() == 0.0 && (1.0..1e6).contains(&numerator) {
            let whole = from.clone() * Dim::Fixed(numerator as i64);
            return Ok(whole.floor_div(&Dim::Fixed(denominator)));
        }
        denominator *= 2;
    }
    let from = from.display(call.variables());
    call.fail(format!("the extent {from} cannot be scaled by {scale}; give it one size with --dim"))
}

/// One axis resampled.
pub(super) fn resample(
    call: &mut Call,
    x: ValueId,
    axis: &RangedAxis,
    sampler: &Sampler,
) -> Imported<ValueId> {
    if matches!(sampler.mode, Mode::Cubic { .. }) || sampler.antialias {
        let from = axis.from.display(call.variables()).to_string();
        return call.fail(format!(
            "cubic or antialiased resampling of the extent {from} is not supported; give its \
             dimensions one size with --dim"
        ));
    }
    let at = positions(call, axis, sampler)?;
    let last = extent(call, &(axis.from.clone() - Dim::Fixed(1)))?;
    let zero = call.scalar(DType::F64, 0.0);
    let at = call.binary(Binary::Max, at, zero)?;
    let at = call.binary(Binary::Min, at, last)?;
    if sampler.mode == Mode::Nearest {
        let index = match sampler.nearest {
            "floor" => call.unary(Unary::Floor, at)?,
            "ceil" => call.unary(Unary::Ceil, at)?,
            "round_prefer_ceil" => {
                let right = call.with(Binary::Add, at, 0.5)?;
                call.unary(Unary::Floor, right)?
            }
            _ => {
                let left = call.with(Binary::Sub, at, 0.5)?;
                call.unary(Unary::Ceil, left)?
            }
        };
        let index = call.cast(index, DType::I64)?;
        return call.one(Op::Gather { axis: axis.axis }, &[x, index]);
    }
    let before = call.unary(Unary::Floor, at)?;
    let part = call.binary(Binary::Sub, at, before)?;
    let behind = call.with(Binary::Add, before, 1.0)?;
    let behind = call.binary(Binary::Min, behind, last)?;
    let part = call.cast(part, call.dtype_of(x))?;
    let trailing = call.shape(x).len() - 1 - axis.axis;
    let mut shape = vec![axis.to.clone()];
    shape.extend(vec![Dim::Fixed(1); trailing]);
    let part = call.reshape(part, shape)?;
    let mut ends = Vec::with_capacity(2);
    for index in [before, behind] {
        let index = call.cast(index, DType::I64)?;
        ends.push(call.one(Op::Gather { axis: axis.axis }, &[x, index])?);
    }
    let one = call.scalar(call.dtype_of(x), 1.0);
    let rest = call.binary(Binary::Sub, one, part)?;
    let first = call.binary(Binary::Mul, ends[0], rest)?;
    let second = call.binary(Binary::Mul, ends[1], part)?;
    call.binary(Binary::Add, first, second)
}

/// An extent as a double.
fn extent(call: &mut Call, dim: &Dim) -> Imported<ValueId> {
    let fact = Fact { dtype: DType::I64, shape: Vec::new() };
    let value = call.builder.add_known(&call.label, &fact, vec![dim.clone()]);
    call.cast(value, DType::F64)
}

/// Where the positions of the result lie in the data.
fn positions(call: &mut Call, axis: &RangedAxis, sampler: &Sampler) -> Imported<ValueId> {
    let (zero, one) = (call.scalar(DType::F64, 0.0), call.scalar(DType::F64, 1.0));
    let at = call.one(Op::Range { len: axis.to.clone() }, &[zero, one])?;
    if sampler.coordinates == "align_corners" {
        if axis.scale.is_some_and(|scale| scale.fract() != 0.0) {
            return call.refuse(
                "coordinate_transformation_mode",
                "is align_corners, on which engines differ where a scale gives a broken size; \
                 export the model with sizes",
            );
        }
        let from = extent(call, &(axis.from.clone() - Dim::Fixed(1)))?;
        let steps = Dim::max(&(axis.to.clone() - 1.into()), &1.into(), call.variables());
        let to = extent(call, &steps)?;
        let at = call.binary(Binary::Mul, at, from)?;
        return call.binary(Binary::Div, at, to);
    }
    let scale = match axis.scale {
        Some(scale) => call.scalar(DType::F64, scale),
        None => {
            let (to, from) = (extent(call, &axis.to)?, extent(call, &axis.from)?);
            call.binary(Binary::Div, to, from)?
        }
    };
    match sampler.coordinates {
        "asymmetric" => call.binary(Binary::Div, at, scale),
        "half_pixel" => half_pixel(call, at, scale),
        "pytorch_half_pixel" if axis.to.is(1) => call.with(Binary::Sub, at, 0.5),
        "pytorch_half_pixel" if axis.to.bounds(call.variables()).0 > 1 => {
            half_pixel(call, at, scale)
        }
        other => {
            let to = axis.to.display(call.variables()).to_string();
            call.refuse(
                "coordinate_transformation_mode",
                format!(
                    "is {other:?}, which is not supported for the extent {to}; give its \
                         dimensions one size with --dim"
                ),
            )
        }
    }
}

fn half_pixel(call: &mut Call, at: ValueId, scale: ValueId) -> Imported<ValueId> {
    let center = call.with(Binary::Add, at, 0.5)?;
    let center = call.binary(Binary::Div, center, scale)?;
    call.with(Binary::Sub, center, 0.5)
}
