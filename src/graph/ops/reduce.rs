//! Reductions over axes.

use crate::tensor::DType;

use super::super::dim::Dim;
use super::{Fact, Operands, ShapeError};

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the functions")]
pub enum ReduceKind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    LogSum,
    LogSumExp,
    SumSquare,
}

impl ReduceKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sum => "ReduceSum",
            Self::Mean => "ReduceMean",
            Self::Max => "ReduceMax",
            Self::Min => "ReduceMin",
            Self::Prod => "ReduceProd",
            Self::L1 => "ReduceL1",
            Self::L2 => "ReduceL2",
            Self::LogSum => "ReduceLogSum",
            Self::LogSumExp => "ReduceLogSumExp",
            Self::SumSquare => "ReduceSumSquare",
        }
    }
}

/// A reduction.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// What it computes.
    pub kind: ReduceKind,
    /// Over these axes, in ascending order, each once; none for the identity (of one element).
    pub axes: Vec<usize>,
    /// Keep the axes with extent one.
    pub keep_dims: bool,
}

impl Reduce {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        let ordering = matches!(self.kind, ReduceKind::Max | ReduceKind::Min);
        if x.dtype == DType::Bool && !ordering {
            return Err(ShapeError(format!("no {} of bool", self.kind.name())));
        }
        if self.axes.iter().any(|a| *a >= x.shape.len()) {
            return Err(ShapeError(format!(
                "no axes {:?} in {}",
                self.axes,
                operands.show(&x.shape)
            )));
        }
        let kept = x.shape.iter().enumerate().filter_map(|(i, dim)| {
            match (self.axes.contains(&i), self.keep_dims) {
                (false, _) => Some(dim.clone()),
                (true, true) => Some(Dim::Fixed(1)),
                (true, false) => None,
            }
        });
        Ok(vec![Fact { dtype: x.dtype, shape: kept.collect() }])
    }
}
