//! Softmax and normalisation.

use super::super::dim::{Dim, product};
use super::{Fact, Operands, ShapeError};

fn float(operands: &Operands<'_>) -> Result<Fact, ShapeError> {
    let x = operands.at(0)?;
    if !x.dtype.is_float() {
        return Err(ShapeError(format!("the data is {}, not a float", x.dtype)));
    }
    Ok(x.clone())
}

fn check_axis(x: &Fact, axis: usize) -> Result<(), ShapeError> {
    if axis < x.shape.len() {
        return Ok(());
    }
    Err(ShapeError(format!("no axis {axis} in rank {}", x.shape.len())))
}

pub(super) fn infer_softmax(operands: &Operands<'_>, axis: usize) -> Result<Vec<Fact>, ShapeError> {
    let x = float(operands)?;
    check_axis(&x, axis)?;
    Ok(vec![x])
}

fn check_scale(operands: &Operands<'_>, x: &Fact, axis: usize) -> Result<(), ShapeError> {
    for i in 1..operands.inputs.len().min(3) {
        let Some(scale) = operands.optional(i) else { continue };
        if scale.dtype != x.dtype {
            return Err(ShapeError(format!(
                "operand {i} is {}, the data {}",
                scale.dtype, x.dtype
            )));
        }
        let wide = operands.broadcast(&scale.shape, &x.shape[axis..])?;
        if wide != x.shape[axis..] {
            return Err(ShapeError(format!(
                "operand {i} {} does not broadcast to {}",
                operands.show(&scale.shape),
                operands.show(&x.shape[axis..])
            )));
        }
    }
    Ok(())
}

pub(super) fn infer_layer_norm(
    operands: &Operands<'_>,
    axis: usize,
) -> Result<Vec<Fact>, ShapeError> {
    let x = float(operands)?;
    check_axis(&x, axis)?;
    check_scale(operands, &x, axis)?;
    let mut shape = x.shape.clone();
    shape[axis..].fill(Dim::Fixed(1));
    let moment = Fact { dtype: x.dtype, shape };
    Ok(vec![x, moment.clone(), moment])
}

pub(super) fn infer_rms_norm(
    operands: &Operands<'_>,
    axis: usize,
) -> Result<Vec<Fact>, ShapeError> {
    let x = float(operands)?;
    check_axis(&x, axis)?;
    check_scale(operands, &x, axis)?;
    Ok(vec![x])
}

/// `[n, c, ..]` with `count - 1` operands of `[c]`.
pub(super) fn infer_channels(
    operands: &Operands<'_>,
    count: usize,
) -> Result<Vec<Fact>, ShapeError> {
    let x = float(operands)?;
    check_axis(&x, 1)?;
    for i in 1..count {
        let each = operands.at(i)?;
        if product(&each.shape) != x.shape[1] {
            return Err(ShapeError(format!(
                "operand {i} {} is not one number for each of the channels of {}",
                operands.show(&each.shape),
                operands.show(&x.shape)
            )));
        }
    }
    Ok(vec![x])
}
