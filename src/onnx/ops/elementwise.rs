//! Operators that work element by element.

use crate::graph::ops::{Binary, Compare, Logic, Unary};
use crate::graph::{Op, ValueId};
use crate::tensor::{DType, Rounding, Towards};

use super::super::call::{Call, Imported};

pub(super) fn identity(call: &mut Call) -> Imported {
    Ok(vec![call.input(0)?])
}

/// Inference form: the data itself, and a mask that keeps everything.
pub(super) fn dropout(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    call.float("ratio")?;
    call.attributes.ignore("seed");
    if call.optional(2).is_some() {
        let training = call.known_numbers(2)?.unwrap_or_default();
        if training.iter().any(|t| *t != 0) {
            return call.fail("training mode is not supported; export the model for inference");
        }
    }
    let mut results = vec![x];
    if call.wants(1) {
        let dtype = if call.version < 10 { call.dtype_of(x) } else { DType::Bool };
        let one = call.scalar(dtype, 1.0);
        let shape = call.shape(x);
        results.push(call.one(Op::Fill { shape }, &[one])?);
    }
    Ok(results)
}

pub(super) fn cast(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let to = call.dtype("to")?;
    let to = call.required("to", to)?;
    Ok(vec![cast_to(call, x, to)?])
}

/// A conversion with the rounding that the node asks for.
fn cast_to(call: &mut Call, x: ValueId, to: DType) -> Imported<ValueId> {
    let towards = match call.string_or("round_mode", "up")? {
        "up" => Towards::Up,
        "down" => Towards::Down,
        "nearest" => Towards::Nearest,
        other => return call.refuse("round_mode", format!("is {other:?}")),
    };
    let rounding = Rounding { saturate: call.flag("saturate", true)?, towards };
    if rounding == Rounding::default() || call.dtype_of(x) == to {
        return call.cast(x, to);
    }
    call.one(Op::RoundingCast { to, rounding }, &[x])
}

pub(super) fn bit_cast(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let to = call.dtype("to")?;
    let to = call.required("to", to)?;
    if call.dtype_of(x) == to {
        return Ok(vec![x]);
    }
    Ok(vec![call.one(Op::BitCast { to }, &[x])?])
}

pub(super) fn cast_like(call: &mut Call) -> Imported {
    let (x, like) = (call.input(0)?, call.input(1)?);
    let to = call.dtype_of(like);
    Ok(vec![cast_to(call, x, to)?])
}

/// Functions without parameters.
pub(super) fn plain(call: &mut Call) -> Imported {
    let op = match call.node.op.as_str() {
        "Abs" => Unary::Abs,
        "Acos" => Unary::Acos,
        "Acosh" => Unary::Acosh,
        "Asin" => Unary::Asin,
        "Asinh" => Unary::Asinh,
        "Atan" => Unary::Atan,
        "Atanh" => Unary::Atanh,
        "BitwiseNot" => Unary::BitwiseNot,
        "Ceil" => Unary::Ceil,
        "Cos" => Unary::Cos,
        "Cosh" => Unary::Cosh,
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "HardSwish" => Unary::HardSwish,
        "IsNaN" => Unary::IsNan,
        "Log" => Unary::Log,
        "Mish" => Unary::Mish,
        "Neg" => Unary::Neg,
        "Not" => Unary::Not,
        "Reciprocal" => Unary::Reciprocal,
        "Relu" => Unary::Relu,
        "Round" => Unary::Round,
        "Sigmoid" => Unary::Sigmoid,
        "Sign" => Unary::Sign,
        "Sin" => Unary::Sin,
        "Sinh" => Unary::Sinh,
        "Softplus" => Unary::Softplus,
        "Softsign" => Unary::Softsign,
        "Sqrt" => Unary::Sqrt,
        "Tan" => Unary::Tan,
        "Tanh" => Unary::Tanh,
        _ => return call.fail("the function is not known"),
    };
    let x = call.input(0)?;
    Ok(vec![call.unary(op, x)?])
}

/// Functions whose attributes are parameters.
pub(super) fn parametric(call: &mut Call) -> Imported {
    let op = match call.node.op.as_str() {
        "Celu" => Unary::Celu { alpha: call.float_or("alpha", 1.0)? },
        "Elu" => Unary::Elu { alpha: call.float_or("alpha", 1.0)? },
        "Gelu" => match call.string_or("approximate", "none")? {
            "none" => Unary::Gelu,
            "tanh" => Unary::GeluTanh,
            other => return call.refuse("approximate", format!("is {other:?}, not none or tanh")),
        },
        "HardSigmoid" => Unary::HardSigmoid {
            alpha: call.float_or("alpha", 0.2)?,
            beta: call.float_or("beta", 0.5)?,
        },
        "IsInf" => Unary::IsInf {
            negative: call.flag("detect_negative", true)?,
            positive: call.flag("detect_positive", true)?,
        },
        "LeakyRelu" => Unary::LeakyRelu { alpha: call.float_or("alpha", 0.01)? },
        "Selu" => Unary::Selu {
            alpha: call.float_or("alpha", 1.673_263_2)?,
            gamma: call.float_or("gamma", 1.050_701)?,
        },
        "ThresholdedRelu" => Unary::ThresholdedRelu { alpha: call.float_or("alpha", 1.0)? },
        _ => return call.fail("the function is not known"),
    };
    let x = call.input(0)?;
    Ok(vec![call.unary(op, x)?])
}

pub(super) fn clip(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    if call.version < 11 {
        let min = call.float("min")?.map_or(f64::NEG_INFINITY, f64::from);
        let max = call.float("max")?.map_or(f64::INFINITY, f64::from);
        if min <= max {
            return Ok(vec![call.unary(Unary::Clip { min, max }, x)?]);
        }
        let low = call.with(Binary::Max, x, min)?;
        return Ok(vec![call.with(Binary::Min, low, max)?]);
    }
    let (min, max) = (call.optional(1), call.optional(2));
    let limit = |id: Option<ValueId>, none: f64| match id {
        None => Some(none),
        Some(id) => match call.builder.constant(id) {
            Some(t) if t.len() == 1 => t.to_f64s().first().copied(),
            _ => None,
        },
    };
    let limits = (limit(min, f64::NEG_INFINITY), limit(max, f64::INFINITY));
    // Limits that a double cannot hold exactly, vary, or cross go the long way round.
    if let (Some(low), Some(high)) = limits
        && low <= high
        && [low, high].iter().all(|l| l.is_infinite() || l.abs() < 9e15 || l.fract() != 0.0)
        && [min, max].iter().flatten().all(|id| call.dtype_of(*id) == call.dtype_of(x))
    {
        return Ok(vec![call.unary(Unary::Clip { min: low, max: high }, x)?]);
    }
    let mut result = x;
    for (id, op) in [(min, Binary::Max), (max, Binary::Min)] {
        if let Some(id) = id {
            let scalar = call.reshape(id, Vec::new())?;
            result = call.binary(op, result, scalar)?;
        }
    }
    Ok(vec![result])
}

/// `x < -lambd ? x + bias : x > lambd ? x - bias : 0`.
pub(super) fn shrink(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let (bias, lambd) = (call.float_or("bias", 0.0)?, call.float_or("lambd", 0.5)?);
    let dtype = call.dtype_of(x);
    let integer = !dtype.is_float();
    if integer && (bias.fract() != 0.0 || lambd.fract() != 0.0 || lambd < 0.0) {
        return call.fail(format!("bias {bias} and lambd {lambd} are no numbers of type {dtype}"));
    }
    let (bias, lambd) = (f64::from(bias), f64::from(lambd));
    let (low, high) = (call.scalar(dtype, -lambd), call.scalar(dtype, lambd));
    let zero = call.scalar(dtype, 0.0);
    let (below, above) =
        (call.compare(Compare::Less, x, low)?, call.compare(Compare::Greater, x, high)?);
    let (plus, minus) = (call.with(Binary::Add, x, bias)?, call.with(Binary::Sub, x, bias)?);
    let upper = call.one(Op::Where, &[above, minus, zero])?;
    Ok(vec![call.one(Op::Where, &[below, plus, upper])?])
}

fn swish_of(call: &mut Call, x: ValueId) -> Imported<ValueId> {
    let alpha = call.float_or("alpha", 1.0)?;
    if alpha == 1.0 {
        return call.unary(Unary::Silu, x);
    }
    call.unary(Unary::Swish { alpha }, x)
}

pub(super) fn swish(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    Ok(vec![swish_of(call, x)?])
}

pub(super) fn swiglu(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(1)?);
    if call.shape(a) != call.shape(b) {
        return call.fail("gate and value differ in shape");
    }
    let gate = swish_of(call, a)?;
    Ok(vec![call.binary(Binary::Mul, gate, b)?])
}

pub(super) fn arithmetic(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let op = match call.node.op.as_str() {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Pow" => return power(call, a, b),
        "BitwiseAnd" => Binary::BitwiseAnd,
        "BitwiseOr" => Binary::BitwiseOr,
        "BitwiseXor" => Binary::BitwiseXor,
        "Mod" if call.flag("fmod", false)? => Binary::Fmod,
        "Mod" if call.dtype_of(a).is_float() && call.version < 28 => {
            return call.refuse("fmod", "must be 1 for floats before operator set 28");
        }
        "Mod" => Binary::Mod,
        "BitShift" => match call.string_or("direction", "")? {
            "LEFT" => Binary::ShiftLeft,
            "RIGHT" => Binary::ShiftRight,
            other => return call.refuse("direction", format!("is {other:?}, not LEFT or RIGHT")),
        },
        _ => return call.fail("the operation is not known"),
    };
    Ok(vec![call.binary(op, a, b)?])
}

/// The result has the base's type; an integer with a broken exponent is raised in double
/// precision.
fn power(call: &mut Call, a: ValueId, b: ValueId) -> Imported {
    let (base, exponent) = (call.dtype_of(a), call.dtype_of(b));
    if exponent.is_float() && !base.is_float() {
        let (a, b) = (call.cast(a, DType::F64)?, call.cast(b, DType::F64)?);
        let y = call.binary(Binary::Pow, a, b)?;
        return Ok(vec![call.cast(y, base)?]);
    }
    let b = call.cast(b, base)?;
    Ok(vec![call.binary(Binary::Pow, a, b)?])
}

pub(super) fn prelu(call: &mut Call) -> Imported {
    let (x, slope) = (call.input(0)?, call.input(1)?);
    let y = call.binary(Binary::PRelu, x, slope)?;
    if call.shape(y) != call.shape(x) {
        return call.fail("the slope does not broadcast to the data");
    }
    Ok(vec![y])
}

pub(super) fn variadic(call: &mut Call) -> Imported {
    let inputs = call.all_inputs()?;
    let op = match call.node.op.as_str() {
        "Min" => Binary::Min,
        "Max" => Binary::Max,
        _ => Binary::Add,
    };
    let Some((first, rest)) = inputs.split_first() else { return call.fail("it has no inputs") };
    let mut total = *first;
    for next in rest {
        total = call.binary(op, total, *next)?;
    }
    if call.node.op == "Mean" && inputs.len() > 1 {
        total = call.with(Binary::Div, total, inputs.len() as f64)?;
    }
    Ok(vec![total])
}

pub(super) fn comparison(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let op = match call.node.op.as_str() {
        "Equal" => Compare::Equal,
        "Less" => Compare::Less,
        "LessOrEqual" => Compare::LessOrEqual,
        "Greater" => Compare::Greater,
        _ => Compare::GreaterOrEqual,
    };
    Ok(vec![call.compare(op, a, b)?])
}

pub(super) fn logic(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let op = match call.node.op.as_str() {
        "And" => Logic::And,
        "Or" => Logic::Or,
        _ => Logic::Xor,
    };
    Ok(vec![call.one(Op::Logic(op), &[a, b])?])
}

pub(super) fn select(call: &mut Call) -> Imported {
    let (condition, a, b) = (call.input(0)?, call.input(1)?, call.input(2)?);
    Ok(vec![call.one(Op::Where, &[condition, a, b])?])
}
