//! From scores to answers: transforms of scores, and the labels of classes.

use crate::graph::ops::{ArgReduce, Binary, Compare, ReduceKind, Unary};
use crate::graph::{Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};
use super::super::super::text::Texts;

/// What is done to the scores of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

/// The attribute `post_transform`, as text.
pub(super) fn transform(call: &Call) -> Imported<Transform> {
    Ok(match call.string_or("post_transform", "NONE")? {
        "NONE" => Transform::None,
        "LOGISTIC" => Transform::Logistic,
        "SOFTMAX" => Transform::Softmax,
        "SOFTMAX_ZERO" => Transform::SoftmaxZero,
        "PROBIT" => Transform::Probit,
        other => return call.refuse("post_transform", format!("is {other:?}, which is unknown")),
    })
}

/// `[rows, columns]` transformed. A transform of several columns leaves a single one as it is.
pub(super) fn transformed(call: &mut Call, x: ValueId, how: Transform) -> Imported<ValueId> {
    match how {
        Transform::None => Ok(x),
        Transform::Logistic => call.unary(Unary::Sigmoid, x),
        Transform::Softmax => call.one(Op::Softmax { axis: 1 }, &[x]),
        Transform::SoftmaxZero => softmax_zero(call, x),
        Transform::Probit => probit(call, x),
    }
}

/// The transform of a regressor. Engines do not agree on those of a single number but one.
pub(super) fn of_targets(
    call: &mut Call,
    x: ValueId,
    n: usize,
    how: Transform,
) -> Imported<ValueId> {
    if n == 1 && !matches!(how, Transform::None | Transform::Probit) {
        return call.refuse(
            "post_transform",
            "is one that engines do not apply to a single target; leave it out, and apply it behind \
             the node if it is meant",
        );
    }
    transformed(call, x, how)
}

/// Softmax over the scores that are not zero; zeros stay zero.
fn softmax_zero(call: &mut Call, x: ValueId) -> Imported<ValueId> {
    let largest = call.reduce(ReduceKind::Max, x, vec![1])?;
    let apart = call.binary(Binary::Sub, x, largest)?;
    let exp = call.unary(Unary::Exp, apart)?;
    let size = call.unary(Unary::Abs, x)?;
    let near = call.scalar(call.dtype_of(x), 1e-7f32.into());
    let counts = call.compare(Compare::Greater, size, near)?;
    // What is nearly zero is scaled as the others are.
    let opposite = call.unary(Unary::Neg, largest)?;
    let factor = call.unary(Unary::Exp, opposite)?;
    let small = call.binary(Binary::Mul, x, factor)?;
    let parts = call.one(Op::Where, &[counts, exp, small])?;
    let sum = call.reduce(ReduceKind::Sum, parts, vec![1])?;
    call.binary(Binary::Div, parts, sum)
}

/// The inverse of the normal distribution function, by the approximation that engines share.
///
/// Source: Winitzki, "A handy approximation for the error function and its inverse", 2008.
fn probit(call: &mut Call, x: ValueId) -> Imported<ValueId> {
    const A: f32 = 0.147;
    /// 2 / (pi A), with the six digits of pi that engines take.
    const LEVEL: f64 = 4.330750465393066;
    let twice = call.with(Binary::Mul, x, 2.0)?;
    let y = call.with(Binary::Sub, twice, 1.0)?;
    let above = call.with(Binary::Add, y, 1.0)?;
    let opposite = call.unary(Unary::Neg, y)?;
    let below = call.with(Binary::Add, opposite, 1.0)?;
    let rest = call.binary(Binary::Mul, below, above)?;
    let log = call.unary(Unary::Log, rest)?;
    let half = call.with(Binary::Mul, log, 0.5)?;
    let v = call.with(Binary::Add, half, LEVEL)?;
    let squared = call.binary(Binary::Mul, v, v)?;
    let scaled = call.with(Binary::Mul, log, f64::from(1.0 / A))?;
    let under = call.binary(Binary::Sub, squared, scaled)?;
    let root = call.unary(Unary::Sqrt, under)?;
    let inner = call.binary(Binary::Sub, root, v)?;
    let size = call.unary(Unary::Sqrt, inner)?;
    let size = call.with(Binary::Mul, size, f64::from(std::f32::consts::SQRT_2))?;
    let sign = call.unary(Unary::Sign, y)?;
    call.binary(Binary::Mul, sign, size)
}

/// The labels of classes.
#[derive(Clone, Debug)]
pub(super) enum Labels<'m> {
    Numbers(&'m [i64]),
    Texts(Vec<&'m str>),
}

impl<'m> Labels<'m> {
    /// From the attributes of these names, of which a model gives one.
    pub(super) fn read(call: &Call<'_, 'm, '_>, numbers: &str, texts: &str) -> Imported<Self> {
        let (given_numbers, given_texts) = (call.ints(numbers)?, call.strings(texts)?);
        match (given_numbers.unwrap_or_default(), given_texts.unwrap_or_default()) {
            ([], given) if !given.is_empty() => Ok(Self::Texts(given)),
            (given, none) if none.is_empty() && !given.is_empty() => Ok(Self::Numbers(given)),
            ([], _) => call.refuse(numbers, "is missing, and so are labels of text"),
            _ => call.refuse(numbers, format!("is given together with {texts}")),
        }
    }

    /// The labels as text.
    pub(super) fn names(&self) -> Texts {
        match self {
            Self::Texts(texts) => texts.iter().map(|text| (*text).to_owned()).collect(),
            Self::Numbers(numbers) => numbers.iter().map(i64::to_string).collect(),
        }
    }

    /// Number of classes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers(labels) => labels.len(),
            Self::Texts(labels) => labels.len(),
        }
    }

    /// The labels of classes that are given by position; `at` must be a value of this node.
    pub(super) fn pick(&self, call: &mut Call, at: ValueId) -> Imported<ValueId> {
        match self {
            Self::Texts(_) => {
                call.builder.texts.set(at, self.names());
                Ok(at)
            }
            Self::Numbers(labels) if labels.iter().copied().eq(0..labels.len() as i64) => Ok(at),
            Self::Numbers(labels) => {
                let labels = call.constant(Tensor::vector(labels));
                call.one(Op::Gather { axis: 0 }, &[labels, at])
            }
        }
    }
}

/// The position of the largest score of each row, the first of equal ones.
pub(super) fn top(call: &mut Call, scores: ValueId) -> Imported<ValueId> {
    let op = ArgReduce { largest: true, axis: 1, keep_dims: false, select_last: false };
    call.one(Op::ArgReduce(op), &[scores])
}

/// One for rows whose only score is above `limit`, else zero.
pub(super) fn above(call: &mut Call, score: ValueId, limit: f64) -> Imported<ValueId> {
    let limit = call.scalar(call.dtype_of(score), limit);
    let above = call.compare(Compare::Greater, score, limit)?;
    let rows = call.shape(above).into_iter().take(1).collect();
    let above = call.reshape(above, rows)?;
    call.cast(above, DType::I64)
}

/// How the score of the second of two classes gives that of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// One minus the score.
    Complement,
    /// The negative of the score.
    Negative,
}

/// Both columns of two classes from the score of the second. The other transforms do nothing here.
pub(super) fn both(
    call: &mut Call,
    score: ValueId,
    first: First,
    how: Transform,
) -> Imported<ValueId> {
    let negative = call.unary(Unary::Neg, score)?;
    let columns = match (how, first) {
        (Transform::Probit, _) => {
            return call.refuse("post_transform", "PROBIT of a single score is not supported");
        }
        (Transform::Logistic, _) => {
            [call.unary(Unary::Sigmoid, negative)?, call.unary(Unary::Sigmoid, score)?]
        }
        (_, First::Complement) => [call.with(Binary::Add, negative, 1.0)?, score],
        (_, First::Negative) => [negative, score],
    };
    call.concat(&columns, 1)
}
