//! Quantization of values.

use crate::tensor::DType;

use super::super::dim::{Dim, product};
use super::{Fact, Operands, ShapeError};

/// How scales and zero points lie over the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantization {
    /// The axis along which scales differ, where there is more than one.
    pub axis: usize,
    /// Elements that share a scale along the axis; zero for one scale a position.
    pub block: usize,
    /// The integer type (of the result, or of the data).
    pub integer: DType,
}

impl Quantization {
    fn check(&self, operands: &Operands<'_>, x: &Fact) -> Result<(), ShapeError> {
        let scale = operands.at(1)?;
        if let Some(zero) = operands.optional(2)
            && (zero.shape != scale.shape || zero.dtype != self.integer)
        {
            return Err(ShapeError("the zero point does not match the scale or the type".into()));
        }
        if product(&scale.shape).is(1) {
            return Ok(());
        }
        let Some(dim) = x.shape.get(self.axis) else {
            return Err(ShapeError(format!(
                "no axis {} in {}",
                self.axis,
                operands.show(&x.shape)
            )));
        };
        let fits = if self.block == 0 {
            scale.shape.len() == 1 && scale.shape[0] == *dim
        } else {
            let blocks = dim.ceil_div(&Dim::Fixed(self.block as i64));
            scale.shape.len() == x.shape.len() && scale.shape[self.axis] == blocks
        };
        if fits {
            return Ok(());
        }
        Err(ShapeError(format!(
            "scales {} do not fit {} along axis {}",
            operands.show(&scale.shape),
            operands.show(&x.shape),
            self.axis
        )))
    }

    pub(super) fn infer_quantize(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        self.check(operands, x)?;
        Ok(vec![Fact { dtype: self.integer, shape: x.shape.clone() }])
    }

    pub(super) fn infer_dequantize(
        &self,
        operands: &Operands<'_>,
    ) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        self.check(operands, x)?;
        Ok(vec![Fact { dtype: operands.at(1)?.dtype, shape: x.shape.clone() }])
    }
}
