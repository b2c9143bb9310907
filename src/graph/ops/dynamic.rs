//! Operators whose results' size depends on the data.

use super::super::dim::{Dim, VarId};
use super::{Fact, Operands, ShapeError};
use crate::tensor::DType;

/// Numbers in the data that become dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Positions in the flattened operand, and the measured variables that they set.
    pub numbers: Vec<(usize, VarId)>,
    /// A number outside its variable's bounds means the nearest within; else it ends the run.
    pub saturate: bool,
}

impl Measure {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        if operands.at(0)?.dtype != DType::I64 {
            return Err(ShapeError("a dimension is not i64".into()));
        }
        Ok(Vec::new())
    }
}

fn scalar() -> Fact {
    Fact { dtype: DType::I64, shape: Vec::new() }
}

pub(super) fn infer_non_zero(operands: &Operands<'_>, len: &Dim) -> Result<Vec<Fact>, ShapeError> {
    let rank = Dim::Fixed(operands.at(0)?.shape.len() as i64);
    Ok(vec![Fact { dtype: DType::I64, shape: vec![rank, len.clone()] }, scalar()])
}

/// Distinct slices along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Unique {
    /// The axis.
    pub axis: usize,
    /// In ascending order, else in that of their first occurrence.
    pub sorted: bool,
    /// How many: a measured variable.
    pub len: Dim,
}

impl Unique {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        let mut shape = x.shape.clone();
        let Some(slot) = shape.get_mut(self.axis) else {
            return Err(ShapeError(format!("no axis {} in rank {}", self.axis, x.shape.len())));
        };
        let all = std::mem::replace(slot, self.len.clone());
        let list = |dim: &Dim| Fact { dtype: DType::I64, shape: vec![dim.clone()] };
        let values = Fact { dtype: x.dtype, shape };
        Ok(vec![values, list(&self.len), list(&all), list(&self.len), scalar()])
    }
}

/// Boxes that no better box covers.
#[derive(Clone, Debug, PartialEq)]
pub struct NonMaxSuppression {
    /// Boxes are centre and size, else two opposite corners.
    pub centred: bool,
    /// How many: a measured variable.
    pub len: Dim,
}

impl NonMaxSuppression {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let (boxes, scores) = (operands.at(0)?, operands.at(1)?);
        let fits = match (&boxes.shape[..], &scores.shape[..]) {
            ([batches, n, four], [of_batches, _, m]) => {
                batches == of_batches && n == m && four.is(4)
            }
            _ => false,
        };
        if !fits || [boxes, scores].iter().any(|fact| fact.dtype != DType::F32) {
            return Err(ShapeError(format!(
                "boxes {} and scores {} are not [batches, boxes, 4] and [batches, classes, boxes] \
                 of f32",
                operands.show(&boxes.shape),
                operands.show(&scores.shape)
            )));
        }
        let shape = vec![self.len.clone(), Dim::Fixed(3)];
        Ok(vec![Fact { dtype: DType::I64, shape }, scalar()])
    }
}
