//! Decision trees.

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::ops::trees::{Aggregate, Child, Ensemble, Weights};
use crate::graph::ops::{Binary, TreeEnsemble};
use crate::graph::{Dim, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};
use super::nodes::{listed, numbers, separate};
use super::scores::{self, First, Labels};

/// The data as a table of floats: doubles stay doubles, everything else is compared as f32.
fn data(call: &mut Call) -> Imported<ValueId> {
    let x = call.input(0)?;
    if call.dtype_of(x) != DType::F64 {
        return Ok(super::features(call)?.0);
    }
    match &call.shape(x)[..] {
        [_, _] => Ok(x),
        [n] => call.reshape(x, vec![Dim::Fixed(1), n.clone()]),
        other => call.fail(format!("the data {} is no table", call.show(other))),
    }
}

/// Adds what the trees compute: `[rows, outputs]`.
fn emit(
    call: &mut Call,
    x: ValueId,
    trees: Ensemble,
    targets: usize,
    aggregate: Aggregate,
) -> Imported<ValueId> {
    let features = call.shape(x)[1].clone();
    call.size(&features, "the number of features")?;
    let op = TreeEnsemble { trees: Arc::new(trees), targets, aggregate };
    call.one(Op::TreeEnsemble(op), &[x])
}

/// Scores with the base values added, one for each column.
fn with_base(call: &mut Call, scores: ValueId, base: &[f64]) -> Imported<ValueId> {
    if base.is_empty() {
        return Ok(scores);
    }
    let base = match call.dtype_of(scores) {
        DType::F64 => Tensor::vector(base),
        _ => Tensor::vector(&base.iter().map(|v| *v as f32).collect::<Vec<f32>>()),
    };
    let base = call.constant(base);
    call.binary(Binary::Add, scores, base)
}

fn outputs(call: &Call, name: &str) -> Imported<usize> {
    let given = call.int(name)?;
    let given = call.required(name, given)?;
    match usize::try_from(given) {
        Ok(n) if n > 0 => Ok(n),
        _ => call.refuse(name, format!("is {given}")),
    }
}

pub(in super::super) fn regressor(call: &mut Call) -> Imported {
    let targets = outputs(call, "n_targets")?;
    let x = data(call)?;
    let dtype = call.dtype_of(x);
    let aggregate = match call.string_or("aggregate_function", "SUM")? {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => {
            return call.refuse("aggregate_function", format!("is {other:?}, which is unknown"));
        }
    };
    let how = scores::transform(call)?;
    let mut ensemble = listed(call, "target", targets, dtype)?;
    if targets == 1 {
        // Of several weights the first counts, as in ONNX Runtime: converters repeat them.
        ensemble.leaves.iter_mut().for_each(|weights| weights.truncate(1));
        if ensemble.leaves.iter().any(|weights| weights.is_empty()) {
            return call.fail("a leaf has no weight; engines differ on what that means");
        }
    }
    let base = numbers(call, "base_values", dtype)?;
    if !base.is_empty() && base.len() != targets {
        let problem = format!("has {} numbers for {targets} targets", base.len());
        return call.refuse("base_values", problem);
    }
    if !base.is_empty() && targets > 1 && !gives_all(&ensemble, targets) {
        return call.refuse(
            "base_values",
            "are given, but a target may get no weight; engines differ on what it gets then",
        );
    }
    let sums = emit(call, x, ensemble, targets, aggregate)?;
    let scores = with_base(call, sums, &base)?;
    let scores = call.cast(scores, DType::F32)?;
    Ok(vec![scores::of_targets(call, scores, targets, how)?])
}

pub(in super::super) fn classifier(call: &mut Call) -> Imported {
    let labels = Labels::read(call, "classlabels_int64s", "classlabels_strings")?;
    let x = data(call)?;
    let dtype = call.dtype_of(x);
    let how = scores::transform(call)?;
    let classes = labels.len();
    let ensemble = listed(call, "class", classes, dtype)?;
    let base = numbers(call, "base_values", dtype)?;
    let (top, scores) = match classes {
        1 => return call.fail("an ensemble of one class is not supported, since engines differ"),
        2 => of_two(call, x, ensemble, &base, how)?,
        _ => {
            if !base.is_empty() && base.len() != classes {
                let problem = format!("has {} numbers for {classes} classes", base.len());
                return call.refuse("base_values", problem);
            }
            let negative = ensemble.leaves.iter().flatten().any(|(_, weight)| *weight < 0.0);
            if base.is_empty() && negative && !gives_all(&ensemble, classes) {
                return call.fail(
                    "a class may get no weight, where others get negative ones; engines differ on \
                     the label then",
                );
            }
            let sums = emit(call, x, ensemble, classes, Aggregate::Sum)?;
            let scores = with_base(call, sums, &base)?;
            (scores::top(call, scores)?, scores::transformed(call, scores, how)?)
        }
    };
    let label = labels.pick(call, top)?;
    Ok(vec![label, call.cast(scores, DType::F32)?])
}

/// Whether every target gets a weight, whatever the data. The nodes are those of [`listed`]: none is
/// reached twice.
fn gives_all(ensemble: &Ensemble, targets: usize) -> bool {
    let mut open: Vec<Child> = Vec::new();
    let mut given = vec![false; targets];
    for root in &ensemble.roots {
        // How many leaves the tree has, and in how many of them each class has a weight.
        let (mut leaves, mut counts) = (0usize, HashMap::new());
        open.push(*root);
        while let Some(child) = open.pop() {
            match child {
                Child::Branch(branch) => open.extend(ensemble.branches[branch].children),
                Child::Leaf(leaf) => {
                    leaves += 1;
                    for (target, _) in &ensemble.leaves[leaf] {
                        *counts.entry(*target).or_insert(0usize) += 1;
                    }
                }
            }
        }
        for (target, count) in counts {
            given[target] |= count >= leaves;
        }
    }
    given.iter().all(|given| *given)
}

/// Label position and scores of two classes. The forms are those of ONNX Runtime: converters write
/// one column of weights, whose sign or half decides.
fn of_two(
    call: &mut Call,
    x: ValueId,
    ensemble: Ensemble,
    base: &[f64],
    how: scores::Transform,
) -> Imported<(ValueId, ValueId)> {
    let weights = || ensemble.leaves.iter().flatten();
    let positive = weights().all(|(_, weight)| *weight >= 0.0);
    let limit = if positive { 0.5 } else { 0.0 };
    let [first, second] = [0, 1].map(|class| weights().any(|(target, _)| *target == class));
    let differ = "is a form of two classes that engines differ on; give one column of weights, \
                  under class 0, and one base value";
    if !second {
        if base.len() > 1 {
            return call.refuse("base_values", differ);
        }
        let sum = emit(call, x, ensemble, 1, Aggregate::Sum)?;
        let score = with_base(call, sum, base)?;
        let other = if positive { First::Complement } else { First::Negative };
        return Ok((scores::above(call, score, limit)?, scores::both(call, score, other, how)?));
    }
    if !base.is_empty() {
        return call.refuse("base_values", differ);
    }
    let opposite = |leaf: &Weights| match leaf[..] {
        [(a, v), (b, w)] => a != b && v == -w,
        _ => false,
    };
    if first && !ensemble.leaves.iter().all(opposite) {
        return call.refuse("class_ids", differ);
    }
    let sums = emit(call, x, ensemble, 2, Aggregate::Sum)?;
    let one = Dim::Fixed(1);
    let score = call.slice(sums, 1, one.clone(), one)?;
    let label = scores::above(call, score, if first { 0.0 } else { limit })?;
    Ok((label, scores::transformed(call, sums, how)?))
}

/// The operator of version 5: branches and leaves in lists of their own.
pub(in super::super) fn ensemble(call: &mut Call) -> Imported {
    let targets = outputs(call, "n_targets")?;
    let x = data(call)?;
    let dtype = call.dtype_of(x);
    let aggregate = match call.int_or("aggregate_function", 1)? {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return call.refuse("aggregate_function", format!("is {other}, which is unknown")),
    };
    let how = match call.int_or("post_transform", 0)? {
        0 => scores::Transform::None,
        1 | 2 => {
            return call.refuse(
                "post_transform",
                "is SOFTMAX or LOGISTIC, which ONNX Runtime takes one for the other; leave it out \
                 and apply Softmax or Sigmoid behind the node",
            );
        }
        3 => scores::Transform::SoftmaxZero,
        4 => scores::Transform::Probit,
        other => return call.refuse("post_transform", format!("is {other}, which is unknown")),
    };
    let ensemble = separate(call, targets, dtype)?;
    let sums = emit(call, x, ensemble, targets, aggregate)?;
    Ok(vec![scores::of_targets(call, sums, targets, how)?])
}
