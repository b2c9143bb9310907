//! Losses of classifiers, as a model that was exported with its loss has them.

use crate::graph::ops::{Binary, Compare, ReduceKind, Unary};
use crate::graph::{Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

pub(super) fn negative_log_likelihood(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    Ok(vec![loss(call, x)?])
}

/// The loss and the logarithms of the probabilities.
pub(super) fn softmax_cross_entropy(call: &mut Call) -> Imported {
    let scores = call.input(0)?;
    if call.shape(scores).len() < 2 {
        return call.fail(format!("the scores {} have no classes", call.show(&call.shape(scores))));
    }
    let log = call.one(Op::LogSoftmax { axis: 1 }, &[scores])?;
    Ok(vec![loss(call, log)?, log])
}

/// The reduced loss of logarithms `[n, classes, ..]` against the classes `[n, ..]` of input 1,
/// weighted by input 2.
fn loss(call: &mut Call, x: ValueId) -> Imported<ValueId> {
    let (target, weight) = (call.input(1)?, call.optional(2));
    let (shape, labels) = (call.shape(x), call.shape(target));
    let fits = shape.len() >= 2
        && shape.len() == labels.len() + 1
        && shape.iter().take(1).chain(shape.iter().skip(2)).eq(&labels);
    if !fits {
        let (shape, labels) = (call.show(&shape), call.show(&labels));
        return call.fail(format!("classes {labels} do not fit the data {shape}"));
    }
    let dtype = call.dtype_of(x);
    let target = call.cast(target, DType::I64)?;
    let ignored = match call.int("ignore_index")? {
        None => None,
        Some(index) => {
            let index = call.constant(Tensor::scalar(index));
            Some(call.compare(Compare::Equal, target, index)?)
        }
    };
    let class = match ignored {
        None => target,
        Some(ignored) => {
            let zero = call.constant(Tensor::scalar(0i64));
            call.one(Op::Where, &[ignored, zero, target])?
        }
    };
    let at = call.unsqueeze(class, &[1])?;
    let picked = call.one(Op::GatherElements { axis: 1 }, &[x, at])?;
    let picked = call.reshape(picked, labels.clone())?;
    let mut losses = call.unary(Unary::Neg, picked)?;
    // What each loss counts; absent where all count one.
    let mut weights = match weight {
        None => None,
        Some(weight) => Some(call.one(Op::Gather { axis: 0 }, &[weight, class])?),
    };
    if let Some(ignored) = ignored {
        let (zero, one) = (call.scalar(dtype, 0.0), call.scalar(dtype, 1.0));
        let weight = weights.unwrap_or(one);
        weights = Some(call.one(Op::Where, &[ignored, zero, weight])?);
        // A loss that is infinite must not survive a weight of zero.
        losses = call.one(Op::Where, &[ignored, zero, losses])?;
    }
    if let Some(weights) = weights {
        losses = call.binary(Binary::Mul, losses, weights)?;
    }
    let total = |call: &mut Call, kind, x: ValueId| {
        let axes = (0..labels.len()).collect();
        let y = call.reduce(kind, x, axes)?;
        call.reshape(y, Vec::new())
    };
    match (call.string_or("reduction", "mean")?, weights) {
        ("none", _) => Ok(losses),
        ("sum", _) => total(call, ReduceKind::Sum, losses),
        ("mean", None) => total(call, ReduceKind::Mean, losses),
        ("mean", Some(weights)) => {
            let losses = total(call, ReduceKind::Sum, losses)?;
            let weights = total(call, ReduceKind::Sum, weights)?;
            call.binary(Binary::Div, losses, weights)
        }
        (other, _) => call.refuse("reduction", format!("is {other:?}, not none, sum or mean")),
    }
}
