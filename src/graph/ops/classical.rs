//! Operators of classical models.

use crate::tensor::DType;

use super::super::dim::Dim;
use super::{Fact, Operands, ShapeError};

pub(super) fn infer_lookup(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    let (x, list) = (operands.at(0)?, operands.at(1)?);
    if x.dtype != list.dtype || list.shape.len() != 1 {
        return Err(ShapeError(format!("data of {} and a list of {}", x.dtype, list.dtype)));
    }
    Ok(vec![Fact { dtype: DType::I64, shape: x.shape.clone() }])
}

pub(super) fn infer_distances(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    let (a, b) = (operands.at(0)?, operands.at(1)?);
    match (&a.shape[..], &b.shape[..]) {
        ([m, k], [n, l]) if k == l && a.dtype == b.dtype && a.dtype.is_float() => {
            Ok(vec![Fact { dtype: a.dtype, shape: vec![m.clone(), n.clone()] }])
        }
        _ => Err(ShapeError(format!(
            "no distances between the rows of {} {} and {} {}",
            a.dtype,
            operands.show(&a.shape),
            b.dtype,
            operands.show(&b.shape)
        ))),
    }
}

/// A support vector classifier. Operands: the kernel of data and support vectors `[rows,
/// vectors]`, coefficients `[classes - 1, vectors]`, rho (one a pair of classes), and where the
/// vectors of each class begin (u32). Results: decisions `[rows, pairs]`, votes `[rows, classes]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SvmPairs {
    /// Number of classes, two or more.
    pub classes: usize,
}

impl SvmPairs {
    /// Number of pairs of classes.
    pub fn pairs(&self) -> usize {
        self.classes.saturating_mul(self.classes.saturating_sub(1)) / 2
    }

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        let of = |columns: usize| match &x.shape[..] {
            [rows, _] if x.dtype == DType::F32 => {
                let shape = vec![rows.clone(), Dim::Fixed(columns as i64)];
                Ok(Fact { dtype: DType::F32, shape })
            }
            _ => Err(ShapeError(format!("the kernel {} is no table", operands.show(&x.shape)))),
        };
        Ok(vec![of(self.pairs())?, of(self.classes)?])
    }
}

pub(super) fn infer_coupling(
    operands: &Operands<'_>,
    classes: usize,
) -> Result<Vec<Fact>, ShapeError> {
    let x = operands.at(0)?;
    let pairs = SvmPairs { classes }.pairs() as i64;
    match &x.shape[..] {
        [rows, columns] if columns.is(pairs) && x.dtype == DType::F32 => {
            let shape = vec![rows.clone(), Dim::Fixed(classes as i64)];
            Ok(vec![Fact { dtype: DType::F32, shape }])
        }
        _ => Err(ShapeError(format!("{} are no {pairs} pairs", operands.show(&x.shape)))),
    }
}
