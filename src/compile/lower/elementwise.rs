//! Operators that work element by element.

use arrayvec::ArrayVec;

use crate::graph::dim::{Dim, product};
use crate::graph::ops::{Binary, Compare, Logic, Unary};
use crate::graph::{Node, ValueId};
use crate::kernels::number::{BinaryCode, CompareCode, UnaryCode};
use crate::runtime::KernelId;
use crate::runtime::record::{Extents, In, SharedIn, SharedOut};
use crate::runtime::steps::elementwise::{
    BinaryRecord, CastRecord, Strided, UnaryRecord, WhereRecord,
};
use crate::runtime::steps::small::{NarrowRecord, WidenRecord};
use crate::tensor::{DType, Rounding};

use super::super::builder::{Builder, Lowered};
use super::super::place::{collapse, contiguous};
use super::movement::{broadcast, view_as};
use super::{operand, result};

/// The number and the parameters of a function.
fn unary_code(op: Unary) -> (UnaryCode, [f64; 2]) {
    use UnaryCode as C;
    let one = |code, a: f32| (code, [f64::from(a), 0.0]);
    let two = |code, a: f32, b: f32| (code, [f64::from(a), f64::from(b)]);
    match op {
        Unary::Identity => (C::Identity, [0.0; 2]),
        Unary::Neg => (C::Neg, [0.0; 2]),
        Unary::Abs => (C::Abs, [0.0; 2]),
        Unary::Sqrt => (C::Sqrt, [0.0; 2]),
        Unary::Reciprocal => (C::Reciprocal, [0.0; 2]),
        Unary::Exp => (C::Exp, [0.0; 2]),
        Unary::Log => (C::Log, [0.0; 2]),
        Unary::Tanh => (C::Tanh, [0.0; 2]),
        Unary::Sigmoid => (C::Sigmoid, [0.0; 2]),
        Unary::Relu => (C::Relu, [0.0; 2]),
        Unary::LeakyRelu { alpha } => one(C::LeakyRelu, alpha),
        Unary::Clip { min, max } => (C::Clip, [min, max]),
        Unary::Erf => (C::Erf, [0.0; 2]),
        Unary::Gelu => (C::Gelu, [0.0; 2]),
        Unary::GeluTanh => (C::GeluTanh, [0.0; 2]),
        Unary::Silu => (C::Silu, [0.0; 2]),
        Unary::Swish { alpha } => one(C::Swish, alpha),
        Unary::Softplus => (C::Softplus, [0.0; 2]),
        Unary::Softsign => (C::Softsign, [0.0; 2]),
        Unary::Elu { alpha } => one(C::Elu, alpha),
        Unary::Selu { alpha, gamma } => two(C::Selu, alpha, gamma),
        Unary::Celu { alpha } => one(C::Celu, alpha),
        Unary::HardSigmoid { alpha, beta } => two(C::HardSigmoid, alpha, beta),
        Unary::HardSwish => (C::HardSwish, [0.0; 2]),
        Unary::Mish => (C::Mish, [0.0; 2]),
        Unary::ThresholdedRelu { alpha } => one(C::ThresholdedRelu, alpha),
        Unary::Floor => (C::Floor, [0.0; 2]),
        Unary::Ceil => (C::Ceil, [0.0; 2]),
        Unary::Round => (C::Round, [0.0; 2]),
        Unary::Sign => (C::Sign, [0.0; 2]),
        Unary::Sin => (C::Sin, [0.0; 2]),
        Unary::Cos => (C::Cos, [0.0; 2]),
        Unary::Tan => (C::Tan, [0.0; 2]),
        Unary::Asin => (C::Asin, [0.0; 2]),
        Unary::Acos => (C::Acos, [0.0; 2]),
        Unary::Atan => (C::Atan, [0.0; 2]),
        Unary::Sinh => (C::Sinh, [0.0; 2]),
        Unary::Cosh => (C::Cosh, [0.0; 2]),
        Unary::Asinh => (C::Asinh, [0.0; 2]),
        Unary::Acosh => (C::Acosh, [0.0; 2]),
        Unary::Atanh => (C::Atanh, [0.0; 2]),
        Unary::Not => (C::Not, [0.0; 2]),
        Unary::BitwiseNot => (C::BitwiseNot, [0.0; 2]),
        Unary::IsNan => (C::IsNan, [0.0; 2]),
        Unary::IsInf { negative, positive } => {
            (C::IsInf, [f64::from(u8::from(negative)), f64::from(u8::from(positive))])
        }
    }
}

/// Operands under the strides of a common shape, with axes joined, and that shape.
fn strided(
    b: &mut Builder<'_>,
    operands: &[ValueId],
    shape: &[Dim],
) -> Lowered<(Vec<Strided>, Extents)> {
    let mut sources = Vec::new();
    for x in operands {
        let (memory, place) = b.view(*x)?;
        sources.push(Source { memory, offset: place.offset, strides: place.strides, value: *x });
    }
    strided_sources(b, sources, shape)
}

/// An operand as it lies, or its elements converted, under the shape of its value.
struct Source {
    memory: In,
    offset: Dim,
    strides: Vec<Dim>,
    value: ValueId,
}

fn strided_sources(
    b: &mut Builder<'_>,
    sources: Vec<Source>,
    shape: &[Dim],
) -> Lowered<(Vec<Strided>, Extents)> {
    let mut strides = vec![contiguous(shape)];
    strides.extend(sources.iter().map(|s| broadcast(b.shape(s.value), &s.strides, shape)));
    // The row-major result takes part, so that rows go by in its order.
    let (shape, strides) = collapse(shape, &strides);
    let mut views = Vec::new();
    for (source, strides) in sources.into_iter().zip(&strides[1..]) {
        views.push(Strided {
            memory: SharedIn(source.memory.0),
            offset: b.extent(&source.offset),
            strides: b.extents(strides)?,
        });
    }
    Ok((views, b.extents(&shape)?))
}

/// Memory for the result: that of an operand of the same shape, where it is free.
fn in_place(b: &mut Builder<'_>, y: ValueId, operands: &[ValueId]) -> SharedOut {
    let same: Vec<ValueId> =
        operands.iter().copied().filter(|x| b.shape(*x) == b.shape(y)).collect();
    b.write_shared(y, &same, operands)
}

pub(super) fn unary(b: &mut Builder<'_>, node: &Node, op: Unary) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    if op == Unary::Identity {
        return view_as(b, x, y, b.shape(y));
    }
    let (code, p) = unary_code(op);
    let (mut views, shape) = strided(b, &[x], b.shape(y))?;
    let out = in_place(b, y, &[x]);
    let a = views.remove(0);
    let kernel = match (b.dtype(x), code) {
        (_, UnaryCode::IsNan | UnaryCode::IsInf) => KernelId::Unary,
        (DType::F32, _) => KernelId::UnaryF32,
        _ => KernelId::Unary,
    };
    b.step(kernel, &UnaryRecord { op: code as u32, p, a, out, shape });
    Ok(())
}

/// The order in which the axes of both operands lie, if it is another than that of the result's
/// axes, the same for both, and nothing is between their elements.
fn lie_alike(
    b: &mut Builder<'_>,
    operands: [ValueId; 2],
    y: ValueId,
) -> Lowered<Option<Vec<usize>>> {
    let shape = b.shape(y);
    let [first, second] = operands.map(|x| b.place(x));
    let (first, second) = (first?, second?);
    let whole = |x: ValueId| b.shape(x) == shape;
    let strides: Option<Vec<i64>> = first.strides.iter().map(Dim::fixed).collect();
    let Some(strides) = strides.filter(|_| {
        operands.into_iter().all(whole)
            && first.strides == second.strides
            && first.offset.is(0)
            && second.offset.is(0)
    }) else {
        return Ok(None);
    };
    let mut perm: Vec<usize> = (0..shape.len()).collect();
    perm.sort_by_key(|axis| std::cmp::Reverse(strides[*axis]));
    let lie = contiguous(&perm.iter().map(|axis| shape[*axis].clone()).collect::<Vec<_>>());
    let dense = perm.iter().zip(&lie).all(|(axis, dense)| first.strides[*axis] == *dense);
    Ok((dense && !perm.is_sorted()).then_some(perm))
}

fn pair(b: &mut Builder<'_>, node: &Node, op: u32) -> Lowered<BinaryRecord> {
    let (x1, x2, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    if let Some(perm) = lie_alike(b, [x1, x2], y)? {
        // One behind the other, in the order in which they lie.
        let [first, second] = [x1, x2].map(|x| b.view(x).map(|(memory, _)| SharedIn(memory.0)));
        let (a, second) = (flat(b, first?)?, flat(b, second?)?);
        let out = SharedOut(b.write_transposed(y, &perm).0);
        let shape = b.extents(&[product(b.shape(y))])?;
        return Ok(BinaryRecord { op, a, b: second, out, shape });
    }
    let (mut views, shape) = strided(b, &[x1, x2], b.shape(y))?;
    let out = in_place(b, y, &[x1, x2]);
    let (second, first) = (views.remove(1), views.remove(0));
    Ok(BinaryRecord { op, a: first, b: second, out, shape })
}

pub(super) fn binary(b: &mut Builder<'_>, node: &Node, op: Binary) -> Lowered<()> {
    let code = match op {
        Binary::Add => BinaryCode::Add,
        Binary::Sub => BinaryCode::Sub,
        Binary::Mul => BinaryCode::Mul,
        Binary::Div => BinaryCode::Div,
        Binary::Min => BinaryCode::Min,
        Binary::Max => BinaryCode::Max,
        Binary::Pow => BinaryCode::Pow,
        Binary::Mod => BinaryCode::Mod,
        Binary::Fmod => BinaryCode::Fmod,
        Binary::PRelu => BinaryCode::PRelu,
        Binary::BitwiseAnd => BinaryCode::BitwiseAnd,
        Binary::BitwiseOr => BinaryCode::BitwiseOr,
        Binary::BitwiseXor => BinaryCode::BitwiseXor,
        Binary::ShiftLeft => BinaryCode::ShiftLeft,
        Binary::ShiftRight => BinaryCode::ShiftRight,
    };
    let (base, exponent) = (b.dtype(operand(node, 0)?), b.dtype(operand(node, 1)?));
    if base != exponent {
        return mixed(b, node, code);
    }
    let record = pair(b, node, code as u32)?;
    b.step(if base == DType::F32 { KernelId::BinaryF32 } else { KernelId::Binary }, &record);
    Ok(())
}

/// The elements of an operand, row-major, converted to another type.
pub(super) fn converted(b: &mut Builder<'_>, v: ValueId, to: DType) -> Lowered<In> {
    let (mut views, shape) = strided(b, &[v], b.shape(v))?;
    let out = b.temporary(to, b.max_len(b.shape(v)));
    b.step(KernelId::Cast, &CastRecord { a: views.remove(0), out: SharedOut(out), shape });
    Ok(In(out))
}

/// The elements of memory that is row-major, one behind the other.
fn flat(b: &mut Builder<'_>, memory: SharedIn) -> Lowered<Strided> {
    let (offset, strides) = (b.extent(&Dim::Fixed(0)), b.extents(&[Dim::Fixed(1)])?);
    Ok(Strided { memory, offset, strides })
}

/// A power whose exponent is of another type: computed in the type of the base, or, for an integer
/// base and a float exponent, in double precision.
fn mixed(b: &mut Builder<'_>, node: &Node, code: BinaryCode) -> Lowered<()> {
    let (x1, x2, y) = (operand(node, 0)?, operand(node, 1)?, result(node, 0)?);
    let (base, exponent) = (b.dtype(x1), b.dtype(x2));
    let common = if !base.is_float() && exponent.is_float() { DType::F64 } else { base };
    let mut sources = Vec::new();
    for value in [x1, x2] {
        let source = if b.dtype(value) == common {
            let (memory, place) = b.view(value)?;
            Source { memory, offset: place.offset, strides: place.strides, value }
        } else {
            let memory = converted(b, value, common)?;
            Source { memory, offset: Dim::Fixed(0), strides: contiguous(b.shape(value)), value }
        };
        sources.push(source);
    }
    let (mut views, shape) = strided_sources(b, sources, b.shape(y))?;
    let (second, first) = (views.remove(1), views.remove(0));
    let kernel = if common == DType::F32 { KernelId::BinaryF32 } else { KernelId::Binary };
    let op = code as u32;
    if common == base {
        let out = SharedOut(b.write(y).0);
        b.step(kernel, &BinaryRecord { op, a: first, b: second, out, shape });
        return Ok(());
    }
    let between = b.temporary(common, b.max_len(b.shape(y)));
    b.step(kernel, &BinaryRecord { op, a: first, b: second, out: SharedOut(between), shape });
    let a = flat(b, SharedIn(between))?;
    let shape = b.extents(&[product(b.shape(y))])?;
    let out = SharedOut(b.write(y).0);
    b.step(KernelId::Cast, &CastRecord { a, out, shape });
    Ok(())
}

pub(super) fn compare(b: &mut Builder<'_>, node: &Node, op: Compare) -> Lowered<()> {
    let code = match op {
        Compare::Equal => CompareCode::Equal,
        Compare::Less => CompareCode::Less,
        Compare::LessOrEqual => CompareCode::LessOrEqual,
        Compare::Greater => CompareCode::Greater,
        Compare::GreaterOrEqual => CompareCode::GreaterOrEqual,
    };
    let record = pair(b, node, code as u32)?;
    b.step(KernelId::Compare, &record);
    Ok(())
}

pub(super) fn logic(b: &mut Builder<'_>, node: &Node, op: Logic) -> Lowered<()> {
    let code = match op {
        Logic::And => CompareCode::And,
        Logic::Or => CompareCode::Or,
        Logic::Xor => CompareCode::Xor,
    };
    let record = pair(b, node, code as u32)?;
    b.step(KernelId::Compare, &record);
    Ok(())
}

pub(super) fn choose(b: &mut Builder<'_>, node: &Node) -> Lowered<()> {
    let (c, x1, x2, y) =
        (operand(node, 0)?, operand(node, 1)?, operand(node, 2)?, result(node, 0)?);
    let (mut views, shape) = strided(b, &[c, x1, x2], b.shape(y))?;
    let out = in_place(b, y, &[x1, x2, c]);
    let (b2, a, condition) = (views.remove(2), views.remove(1), views.remove(0));
    b.step(KernelId::Where, &WhereRecord { condition, a, b: b2, out, shape });
    Ok(())
}

pub(super) fn cast(b: &mut Builder<'_>, node: &Node, to: DType, rounding: Rounding) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    if b.dtype(x) == to {
        return view_as(b, x, y, b.shape(y));
    }
    if b.dtype(x).is_small() || to.is_small() {
        return cast_small(b, (x, y), &stages(b.dtype(x), to), rounding);
    }
    let (mut views, shape) = strided(b, &[x], b.shape(y))?;
    let out = in_place(b, y, &[x]);
    b.step(KernelId::Cast, &CastRecord { a: views.remove(0), out, shape });
    Ok(())
}

/// The types that a conversion from or to a small type goes by. The first step out of one and the
/// last step into one have kernels; no step but the last loses anything that the result keeps.
fn stages(from: DType, to: DType) -> ArrayVec<DType, 3> {
    let mut stages = ArrayVec::new();
    match (from.is_small(), to.is_small()) {
        (true, _) => stages.push(DType::F32),
        (false, true) if matches!(from, DType::F32 | DType::F64) => {}
        (false, true) if to.is_float() => stages.push(DType::F64),
        // The low bits of an integer are those of its lowest byte.
        _ => stages.extend([DType::I8, DType::F32]),
    }
    if stages.last() != Some(&to) {
        stages.push(to);
    }
    stages
}

/// Converts by way of other types.
fn cast_small(
    b: &mut Builder<'_>,
    (x, y): (ValueId, ValueId),
    stages: &[DType],
    rounding: Rounding,
) -> Lowered<()> {
    let (mut views, mut shape) = strided(b, &[x], b.shape(y))?;
    let (mut a, mut from) = (views.remove(0), b.dtype(x));
    for (i, to) in stages.iter().enumerate() {
        if i > 0 {
            shape = b.extents(&[product(b.shape(y))])?;
        }
        let out = match (i, stages.len()) {
            (0, 1) => in_place(b, y, &[x]),
            (i, n) if i + 1 == n => SharedOut(b.write(y).0),
            _ => SharedOut(b.temporary(*to, b.max_len(b.shape(y)))),
        };
        let next = SharedIn(out.0);
        let shape = shape.clone();
        if from.is_small() {
            b.step(KernelId::Widen, &WidenRecord { a, out, shape });
        } else if to.is_small() {
            let Rounding { saturate, towards } = rounding;
            let record = NarrowRecord { a, out, shape, saturate, towards: towards as u32 };
            b.step(KernelId::Narrow, &record);
        } else {
            b.step(KernelId::Cast, &CastRecord { a, out, shape });
        }
        (a, from) = (flat(b, next)?, *to);
    }
    Ok(())
}

/// The same bits as another type.
pub(super) fn reinterpret(b: &mut Builder<'_>, node: &Node) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    view_as(b, x, y, b.shape(y))
}

#[cfg(test)]
mod tests;
