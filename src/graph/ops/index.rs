//! Operators that pick or place elements by index.

use crate::tensor::DType;

use super::super::dim::Dim;
use super::{Fact, Operands, ShapeError};

/// How an update meets the element in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the functions")]
pub enum Scatter {
    /// Attributes: axis (of ScatterElements; zero for ScatterND).
    Replace {
        axis: usize,
    },
    Add {
        axis: usize,
    },
    Mul {
        axis: usize,
    },
    Min {
        axis: usize,
    },
    Max {
        axis: usize,
    },
}

impl Scatter {
    /// The axis.
    pub fn axis(self) -> usize {
        match self {
            Self::Replace { axis }
            | Self::Add { axis }
            | Self::Mul { axis }
            | Self::Min { axis }
            | Self::Max { axis } => axis,
        }
    }
}

/// Largest or smallest `k` elements along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    /// The axis.
    pub axis: usize,
    /// How many.
    pub k: Dim,
    /// The largest, else the smallest.
    pub largest: bool,
}

impl TopK {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        let mut shape = x.shape.clone();
        let dim = axis_mut(&mut shape, self.axis)?;
        if (dim.clone() - self.k.clone()).bounds(operands.variables).0 < 0 {
            let (k, dim) = (self.k.display(operands.variables), dim.display(operands.variables));
            return Err(ShapeError(format!("{k} elements may be more than the {dim} there are")));
        }
        *dim = self.k.clone();
        Ok(vec![Fact { dtype: x.dtype, shape: shape.clone() }, Fact { dtype: DType::I64, shape }])
    }
}

/// Position of the largest or smallest element.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgReduce {
    /// The largest, else the smallest.
    pub largest: bool,
    /// The axis.
    pub axis: usize,
    /// Keep the axis with extent one.
    pub keep_dims: bool,
    /// Of equal elements the last one, else the first.
    pub select_last: bool,
}

impl ArgReduce {
    pub(super) fn name(&self) -> &'static str {
        if self.largest { "ArgMax" } else { "ArgMin" }
    }

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let mut shape = operands.at(0)?.shape.clone();
        *axis_mut(&mut shape, self.axis)? = Dim::Fixed(1);
        if !self.keep_dims {
            shape.remove(self.axis);
        }
        Ok(vec![Fact { dtype: DType::I64, shape }])
    }
}

fn axis_mut(shape: &mut [Dim], axis: usize) -> Result<&mut Dim, ShapeError> {
    let rank = shape.len();
    shape.get_mut(axis).ok_or_else(|| ShapeError(format!("no axis {axis} in rank {rank}")))
}

fn indices<'a>(operands: &Operands<'a>, i: usize) -> Result<&'a Fact, ShapeError> {
    let fact = operands.at(i)?;
    match fact.dtype {
        DType::I32 | DType::I64 => Ok(fact),
        other => Err(ShapeError(format!("indices are {other}, not i32 or i64"))),
    }
}

pub(super) fn infer_gather(operands: &Operands<'_>, axis: usize) -> Result<Vec<Fact>, ShapeError> {
    let (x, at) = (operands.at(0)?, indices(operands, 1)?);
    if axis >= x.shape.len() {
        return Err(ShapeError(format!("no axis {axis} in {}", operands.show(&x.shape))));
    }
    let shape = [&x.shape[..axis], &at.shape, &x.shape[axis + 1..]].concat();
    Ok(vec![Fact { dtype: x.dtype, shape }])
}

pub(super) fn infer_gather_elements(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    let (x, at) = (operands.at(0)?, indices(operands, 1)?);
    if x.shape.len() != at.shape.len() {
        return Err(ShapeError("data and indices differ in rank".into()));
    }
    Ok(vec![Fact { dtype: x.dtype, shape: at.shape.clone() }])
}

pub(super) fn infer_gather_nd(
    operands: &Operands<'_>,
    batch_dims: usize,
) -> Result<Vec<Fact>, ShapeError> {
    let (x, at) = (operands.at(0)?, indices(operands, 1)?);
    let tuple = at.shape.last().and_then(Dim::fixed).unwrap_or(-1);
    let Some(rest) =
        usize::try_from(tuple).ok().and_then(|n| x.shape.get(batch_dims.checked_add(n)?..))
    else {
        return Err(ShapeError(format!(
            "index tuples of {} do not address {}",
            operands.show(&at.shape),
            operands.show(&x.shape)
        )));
    };
    let shape = [&at.shape[..at.shape.len() - 1], rest].concat();
    Ok(vec![Fact { dtype: x.dtype, shape }])
}

pub(super) fn infer_one_hot(
    operands: &Operands<'_>,
    axis: usize,
    depth: &Dim,
) -> Result<Vec<Fact>, ShapeError> {
    let (at, values) = (operands.at(0)?, operands.at(1)?);
    let mut shape = at.shape.clone();
    if axis > shape.len() {
        return Err(ShapeError(format!("no axis {axis} in rank {}", shape.len() + 1)));
    }
    shape.insert(axis, depth.clone());
    Ok(vec![Fact { dtype: values.dtype, shape }])
}
