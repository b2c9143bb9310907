//! Operators that work element by element.

use crate::tensor::DType;

use super::{Fact, Operands, ShapeError};

/// A function of one element. Parameters are those of the ONNX operator of the same name.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are the functions")]
pub enum Unary {
    Identity,
    Neg,
    Abs,
    Sqrt,
    Reciprocal,
    Exp,
    Log,
    Tanh,
    Sigmoid,
    Relu,
    LeakyRelu {
        alpha: f32,
    },
    /// Limits; an infinite one does not limit.
    Clip {
        min: f64,
        max: f64,
    },
    Erf,
    Gelu,
    GeluTanh,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * sigmoid(alpha * x)`.
    Swish {
        alpha: f32,
    },
    Softplus,
    Softsign,
    Elu {
        alpha: f32,
    },
    Selu {
        alpha: f32,
        gamma: f32,
    },
    Celu {
        alpha: f32,
    },
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    HardSwish,
    Mish,
    ThresholdedRelu {
        alpha: f32,
    },
    Floor,
    Ceil,
    /// To the nearest, halves to even.
    Round,
    Sign,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    /// Boolean negation.
    Not,
    BitwiseNot,
    /// Result is boolean.
    IsNan,
    /// Result is boolean.
    IsInf {
        negative: bool,
        positive: bool,
    },
}

impl Unary {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Identity => "Identity",
            Self::Neg => "Neg",
            Self::Abs => "Abs",
            Self::Sqrt => "Sqrt",
            Self::Reciprocal => "Reciprocal",
            Self::Exp => "Exp",
            Self::Log => "Log",
            Self::Tanh => "Tanh",
            Self::Sigmoid => "Sigmoid",
            Self::Relu => "Relu",
            Self::LeakyRelu { .. } => "LeakyRelu",
            Self::Clip { .. } => "Clip",
            Self::Erf => "Erf",
            Self::Gelu => "Gelu",
            Self::GeluTanh => "GeluTanh",
            Self::Silu => "Silu",
            Self::Swish { .. } => "Swish",
            Self::Softplus => "Softplus",
            Self::Softsign => "Softsign",
            Self::Elu { .. } => "Elu",
            Self::Selu { .. } => "Selu",
            Self::Celu { .. } => "Celu",
            Self::HardSigmoid { .. } => "HardSigmoid",
            Self::HardSwish => "HardSwish",
            Self::Mish => "Mish",
            Self::ThresholdedRelu { .. } => "ThresholdedRelu",
            Self::Floor => "Floor",
            Self::Ceil => "Ceil",
            Self::Round => "Round",
            Self::Sign => "Sign",
            Self::Sin => "Sin",
            Self::Cos => "Cos",
            Self::Tan => "Tan",
            Self::Asin => "Asin",
            Self::Acos => "Acos",
            Self::Atan => "Atan",
            Self::Sinh => "Sinh",
            Self::Cosh => "Cosh",
            Self::Asinh => "Asinh",
            Self::Acosh => "Acosh",
            Self::Atanh => "Atanh",
            Self::Not => "Not",
            Self::BitwiseNot => "BitwiseNot",
            Self::IsNan => "IsNaN",
            Self::IsInf { .. } => "IsInf",
        }
    }

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        let suits = match self {
            Self::Identity => true,
            Self::Not => x.dtype == DType::Bool,
            Self::BitwiseNot => !x.dtype.is_float() && x.dtype != DType::Bool,
            Self::Neg | Self::Abs | Self::Sign | Self::Relu | Self::Clip { .. } => {
                x.dtype != DType::Bool
            }
            _ => x.dtype.is_float(),
        };
        if !suits {
            return Err(ShapeError(format!("no {} of {}", self.name(), x.dtype)));
        }
        let dtype = match self {
            Self::IsNan | Self::IsInf { .. } => DType::Bool,
            _ => x.dtype,
        };
        Ok(vec![Fact { dtype, shape: x.shape.clone() }])
    }
}

/// Arithmetic on two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are the functions")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    /// Integers round towards zero.
    Div,
    Min,
    Max,
    /// The exponent may have another type; the result has the base's.
    Pow,
    /// Remainder with the divisor's sign.
    Mod,
    /// C's `fmod`: remainder with the dividend's sign.
    Fmod,
    /// `x < 0 ? x * slope : x`.
    PRelu,
    BitwiseAnd,
    BitwiseOr,
    BitwiseXor,
    ShiftLeft,
    ShiftRight,
}

impl Binary {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Sub => "Sub",
            Self::Mul => "Mul",
            Self::Div => "Div",
            Self::Min => "Min",
            Self::Max => "Max",
            Self::Pow => "Pow",
            Self::Mod | Self::Fmod => "Mod",
            Self::PRelu => "PRelu",
            Self::BitwiseAnd => "BitwiseAnd",
            Self::BitwiseOr => "BitwiseOr",
            Self::BitwiseXor => "BitwiseXor",
            Self::ShiftLeft | Self::ShiftRight => "BitShift",
        }
    }

    pub(super) fn infer(self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let (a, b) = (operands.at(0)?, operands.at(1)?);
        if self != Self::Pow {
            same_type(a, b)?;
        }
        let suits = match self {
            Self::BitwiseAnd
            | Self::BitwiseOr
            | Self::BitwiseXor
            | Self::ShiftLeft
            | Self::ShiftRight => !a.dtype.is_float() && a.dtype != DType::Bool,
            _ => a.dtype != DType::Bool && b.dtype != DType::Bool,
        };
        if !suits {
            return Err(ShapeError(format!("no {} of {} and {}", self.name(), a.dtype, b.dtype)));
        }
        Ok(vec![Fact { dtype: a.dtype, shape: operands.broadcast(&a.shape, &b.shape)? }])
    }
}

/// Comparison of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the relations")]
pub enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equal => "Equal",
            Self::Less => "Less",
            Self::LessOrEqual => "LessOrEqual",
            Self::Greater => "Greater",
            Self::GreaterOrEqual => "GreaterOrEqual",
        }
    }
}

/// Boolean arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the functions")]
pub enum Logic {
    And,
    Or,
    Xor,
}

impl Logic {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::And => "And",
            Self::Or => "Or",
            Self::Xor => "Xor",
        }
    }
}

fn same_type(a: &Fact, b: &Fact) -> Result<(), ShapeError> {
    if a.dtype == b.dtype {
        return Ok(());
    }
    Err(ShapeError(format!("operands are {} and {}, not of one type", a.dtype, b.dtype)))
}

pub(super) fn infer_compare(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    let (a, b) = (operands.at(0)?, operands.at(1)?);
    same_type(a, b)?;
    Ok(vec![Fact { dtype: DType::Bool, shape: operands.broadcast(&a.shape, &b.shape)? }])
}

pub(super) fn infer_logic(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    if operands.at(0)?.dtype != DType::Bool {
        return Err(ShapeError("operands are not boolean".into()));
    }
    infer_compare(operands)
}

pub(super) fn infer_bit_cast(operands: &Operands<'_>, to: DType) -> Result<Vec<Fact>, ShapeError> {
    let x = operands.at(0)?;
    // A boolean has one of two bit patterns, which another type need not respect.
    if x.dtype.bits() != to.bits() || to == DType::Bool {
        return Err(ShapeError(format!("the bits of {} are none of {to}", x.dtype)));
    }
    Ok(vec![Fact { dtype: to, shape: x.shape.clone() }])
}

pub(super) fn infer_where(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    let (condition, a, b) = (operands.at(0)?, operands.at(1)?, operands.at(2)?);
    if condition.dtype != DType::Bool {
        return Err(ShapeError(format!("the condition is {}, not bool", condition.dtype)));
    }
    same_type(a, b)?;
    let shape = operands.broadcast(&a.shape, &b.shape)?;
    Ok(vec![Fact { dtype: a.dtype, shape: operands.broadcast(&condition.shape, &shape)? }])
}
