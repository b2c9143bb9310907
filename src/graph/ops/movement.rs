//! Operators that move elements without computing with them.

use super::super::dim::{Dim, product};
use super::{Fact, Operands, ShapeError};

/// A strided cut of one axis: elements `start`, `start + step`, .. , `extent` of them.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceAxis {
    /// Which axis.
    pub axis: usize,
    /// The first element.
    pub start: Dim,
    /// Distance between elements; negative runs backwards, never zero.
    pub step: i64,
    /// Number of elements.
    pub extent: Dim,
}

/// What stands in a margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// A given value, zero where none is given.
    Constant,
    /// The mirror image without the border itself.
    Reflect,
    /// The border.
    Edge,
    /// The other end.
    Wrap,
}

/// Margins of each axis; negative ones cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// What stands in the margin.
    pub mode: PadMode,
    /// Margin before the first element of each axis.
    pub before: Vec<Dim>,
    /// Margin behind the last.
    pub after: Vec<Dim>,
}

impl Pad {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        let rank = x.shape.len();
        if self.before.len() != rank || self.after.len() != rank {
            return Err(ShapeError(format!("margins for another rank than {rank}")));
        }
        let margins = self.before.iter().zip(&self.after);
        let shape: Vec<Dim> = x
            .shape
            .iter()
            .zip(margins)
            .map(|(n, (b, a))| n.clone() + b.clone() + a.clone())
            .collect();
        if shape.iter().any(|d| d.bounds(operands.variables).0 < 0) {
            return Err(ShapeError("more is cut than there is".into()));
        }
        Ok(vec![Fact { dtype: x.dtype, shape }])
    }
}

pub(super) fn infer_reshape(
    operands: &Operands<'_>,
    shape: &[Dim],
) -> Result<Vec<Fact>, ShapeError> {
    let x = operands.at(0)?;
    if product(&x.shape) != product(shape) {
        return Err(ShapeError(format!(
            "{} elements cannot take the shape {}",
            operands.show(&x.shape),
            operands.show(shape)
        )));
    }
    Ok(vec![Fact { dtype: x.dtype, shape: shape.to_vec() }])
}

pub(super) fn infer_transpose(
    operands: &Operands<'_>,
    perm: &[usize],
) -> Result<Vec<Fact>, ShapeError> {
    let x = operands.at(0)?;
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.shape.len()) {
        return Err(ShapeError(format!("perm {perm:?} is no order of {} axes", x.shape.len())));
    }
    Ok(vec![Fact { dtype: x.dtype, shape: perm.iter().map(|i| x.shape[*i].clone()).collect() }])
}

pub(super) fn infer_expand(
    operands: &Operands<'_>,
    shape: &[Dim],
) -> Result<Vec<Fact>, ShapeError> {
    let x = operands.at(0)?;
    let wide = operands.broadcast(&x.shape, shape)?;
    Ok(vec![Fact { dtype: x.dtype, shape: wide }])
}

pub(super) fn infer_slice(
    operands: &Operands<'_>,
    axes: &[SliceAxis],
) -> Result<Vec<Fact>, ShapeError> {
    let x = operands.at(0)?;
    let mut shape = x.shape.clone();
    for cut in axes {
        let Some(dim) = shape.get_mut(cut.axis) else {
            return Err(ShapeError(format!("no axis {} in {}", cut.axis, operands.show(&x.shape))));
        };
        *dim = cut.extent.clone();
    }
    Ok(vec![Fact { dtype: x.dtype, shape }])
}

pub(super) fn infer_concat(operands: &Operands<'_>, axis: usize) -> Result<Vec<Fact>, ShapeError> {
    let first = operands.at(0)?;
    let mut shape = first.shape.clone();
    if axis >= shape.len() {
        return Err(ShapeError(format!("no axis {axis} in {}", operands.show(&shape))));
    }
    for i in 1..operands.inputs.len() {
        let x = operands.at(i)?;
        let fits = x.shape.len() == shape.len()
            && x.shape.iter().zip(&shape).enumerate().all(|(j, (a, b))| j == axis || a == b);
        if !fits || x.dtype != first.dtype {
            return Err(ShapeError(format!(
                "{} {} does not fit behind {} {} on axis {axis}",
                x.dtype,
                operands.show(&x.shape),
                first.dtype,
                operands.show(&first.shape)
            )));
        }
        shape[axis] = shape[axis].clone() + x.shape[axis].clone();
    }
    Ok(vec![Fact { dtype: first.dtype, shape }])
}

pub(super) fn infer_tile(
    operands: &Operands<'_>,
    repeats: &[Dim],
) -> Result<Vec<Fact>, ShapeError> {
    let x = operands.at(0)?;
    if repeats.len() != x.shape.len() {
        return Err(ShapeError(format!("{} repeats of {} axes", repeats.len(), x.shape.len())));
    }
    let shape = x.shape.iter().zip(repeats).map(|(n, r)| n.clone() * r.clone()).collect();
    Ok(vec![Fact { dtype: x.dtype, shape }])
}
