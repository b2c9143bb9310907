//! Decision trees.

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::ops::trees::{Aggregate, Branch, Child, Ensemble, Split};
use crate::graph::ops::{Binary, TreeEnsemble};
use crate::graph::{Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};
use super::scores::{self, First, Labels};

/// The data as a table of floats: doubles stay doubles, everything else is compared as f32.
fn data(call: &mut Call) -> Imported<ValueId> {
    let x = call.input(0)?;
    if call.dtype_of(x) != DType::F64 {
        return Ok(super::features(call)?.0);
    }
    match &call.shape(x)[..] {
        [_, _] => Ok(x),
        [n] => call.reshape(x, vec![crate::graph::Dim::Fixed(1), n.clone()]),
        other => call.fail(format!("the data {} is no table", call.show(other))),
    }
}

/// An attribute of floats, or the same as a tensor, of floats or doubles.
fn numbers(call: &Call, name: &str, dtype: DType) -> Imported<Vec<f64>> {
    let as_tensor = format!("{name}_as_tensor");
    if let Some(tensor) = call.tensor(&as_tensor)? {
        return tensor_numbers(call, &as_tensor, &tensor, dtype);
    }
    Ok(call.floats(name)?.unwrap_or_default().iter().map(|v| f64::from(*v)).collect())
}

/// The numbers of a tensor that the data's type can hold.
fn tensor_numbers(call: &Call, name: &str, tensor: &Tensor, dtype: DType) -> Imported<Vec<f64>> {
    let numbers = tensor.to_f64s();
    let lost = |v: &&f64| !v.is_nan() && f64::from(**v as f32) != **v;
    if dtype == DType::F32
        && let Some(lost) = numbers.iter().find(lost)
    {
        let problem = format!("holds {lost:?}, which is no f32, but the data is f32; give doubles");
        return call.refuse(name, problem);
    }
    Ok(numbers)
}

/// A list that is as long as the list of nodes.
fn of_nodes<'l, T>(call: &Call, name: &str, list: Option<&'l [T]>, n: usize) -> Imported<&'l [T]> {
    match list {
        Some(list) if list.len() == n => Ok(list),
        Some(list) => {
            let have = list.len();
            call.refuse(name, format!("has {have} elements, there are {n} nodes"))
        }
        None => call.refuse(name, "is missing"),
    }
}

/// The comparison of this name; `None` for a leaf.
fn split(call: &Call, name: &str, threshold: f64) -> Imported<Option<Split>> {
    Ok(Some(match name {
        "BRANCH_LEQ" => Split::LessOrEqual(threshold),
        "BRANCH_LT" => Split::Less(threshold),
        "BRANCH_GTE" => Split::GreaterOrEqual(threshold),
        "BRANCH_GT" => Split::Greater(threshold),
        "BRANCH_EQ" => Split::Equal(threshold),
        "BRANCH_NEQ" => Split::NotEqual(threshold),
        "LEAF" => return Ok(None),
        _ => return call.refuse("nodes_modes", format!("holds {name:?}, which is unknown")),
    }))
}

/// The trees of the older operators: lists over all nodes, and weights for some of them under
/// names that begin with `target` or `class`.
fn listed(call: &Call, of_weights: &str, outputs: usize, dtype: DType) -> Imported<Ensemble> {
    let ids = call.ints("nodes_nodeids")?;
    let ids = call.required("nodes_nodeids", ids)?;
    let n = ids.len();
    let ints = |name: &str| of_nodes(call, name, call.ints(name)?, n);
    let (trees, features) = (ints("nodes_treeids")?, ints("nodes_featureids")?);
    let (holds, fails) = (ints("nodes_truenodeids")?, ints("nodes_falsenodeids")?);
    let modes = call.strings("nodes_modes")?;
    let modes = of_nodes(call, "nodes_modes", modes.as_deref(), n)?;
    let thresholds = numbers(call, "nodes_values", dtype)?;
    let thresholds = of_nodes(call, "nodes_values", Some(&thresholds), n)?;
    let nan_holds = match call.ints("nodes_missing_value_tracks_true")? {
        None | Some([]) => &[],
        some => of_nodes(call, "nodes_missing_value_tracks_true", some, n)?,
    };
    call.attributes.ignore("nodes_hitrates");
    call.attributes.ignore("nodes_hitrates_as_tensor");

    // Places of nodes among the branches or the leaves.
    let mut places: HashMap<(i64, i64), Child> = HashMap::with_capacity(n);
    let (mut branches_len, mut leaves_len) = (0, 0);
    let mut splits = Vec::with_capacity(n);
    for i in 0..n {
        let split = split(call, modes[i], thresholds[i])?;
        let leaf = split.is_none();
        splits.push(split);
        let len = if leaf { &mut leaves_len } else { &mut branches_len };
        let place = if leaf { Child::Leaf(*len) } else { Child::Branch(*len) };
        *len += 1;
        if places.insert((trees[i], ids[i]), place).is_some() {
            let (tree, id) = (trees[i], ids[i]);
            return call.fail(format!("tree {tree} has two nodes {id}"));
        }
    }
    let mut ensemble = Ensemble { leaves: vec![Vec::new(); leaves_len], ..Ensemble::default() };
    let mut has_parent: HashMap<(i64, i64), ()> = HashMap::with_capacity(n);
    for (i, split) in splits.into_iter().enumerate() {
        let Some(split) = split else { continue };
        let child = |id: i64| {
            let missing = format!(
                "node {} of tree {} leads to node {id}, which is missing",
                ids[i], trees[i]
            );
            places.get(&(trees[i], id)).copied().ok_or_else(|| call.problem(missing))
        };
        let children = [child(holds[i])?, child(fails[i])?];
        for id in [holds[i], fails[i]] {
            if has_parent.insert((trees[i], id), ()).is_some() {
                let tree = trees[i];
                return call.fail(format!("node {id} of tree {tree} is reached in two ways"));
            }
        }
        let Ok(feature) = usize::try_from(features[i]) else {
            return call.refuse("nodes_featureids", format!("holds {}", features[i]));
        };
        ensemble.branches.push(Branch {
            feature,
            split,
            nan_holds: nan_holds.get(i).is_some_and(|flag| *flag != 0),
            children,
        });
    }
    // Trees in the order in which they are first named, as their weights are added.
    let mut order: HashMap<i64, usize> = HashMap::new();
    let mut roots: Vec<Option<Child>> = Vec::new();
    for i in 0..n {
        let tree = *order.entry(trees[i]).or_insert_with(|| {
            roots.push(None);
            roots.len() - 1
        });
        if has_parent.contains_key(&(trees[i], ids[i])) {
            continue;
        }
        if roots[tree].is_some() {
            return call.fail(format!("tree {} has two roots", trees[i]));
        }
        roots[tree] = places.get(&(trees[i], ids[i])).copied();
    }
    if let Some(rootless) = roots.iter().position(Option::is_none) {
        return call.fail(format!("tree #{rootless} has no root: its nodes lead in circles"));
    }
    ensemble.roots = roots.into_iter().flatten().collect();
    weights(call, of_weights, outputs, dtype, &places, &mut ensemble)?;
    Ok(ensemble)
}

/// Gives the leaves their weights.
fn weights(
    call: &Call,
    prefix: &str,
    outputs: usize,
    dtype: DType,
    places: &HashMap<(i64, i64), Child>,
    ensemble: &mut Ensemble,
) -> Imported<()> {
    let name = |part: &str| format!("{prefix}_{part}");
    let values = numbers(call, &name("weights"), dtype)?;
    let ints = |part: &str| {
        let given = call.ints(&name(part))?.unwrap_or_default();
        if given.len() == values.len() {
            return Ok(given);
        }
        let problem = format!("has {} elements for {} weights", given.len(), values.len());
        call.refuse(&name(part), problem)
    };
    let (trees, nodes, targets) = (ints("treeids")?, ints("nodeids")?, ints("ids")?);
    for (i, value) in values.iter().enumerate() {
        let target = usize::try_from(targets[i]).ok().filter(|t| *t < outputs);
        let Some(target) = target else {
            let problem = format!("holds {}, there are {outputs} outputs", targets[i]);
            return call.refuse(&name("ids"), problem);
        };
        let (tree, node) = (trees[i], nodes[i]);
        match places.get(&(tree, node)) {
            Some(Child::Leaf(leaf)) => ensemble.leaves[*leaf].push((target, *value)),
            Some(Child::Branch(_)) => {
                return call
                    .fail(format!("node {node} of tree {tree} has a weight, but is no leaf"));
            }
            None => {
                return call
                    .fail(format!("node {node} of tree {tree} has a weight, but is missing"));
            }
        }
    }
    Ok(())
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
        if ensemble.leaves.iter().any(Vec::is_empty) {
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
    let opposite = |leaf: &Vec<(usize, f64)>| match leaf[..] {
        [(a, v), (b, w)] => a != b && v == -w,
        _ => false,
    };
    if first && !ensemble.leaves.iter().all(opposite) {
        return call.refuse("class_ids", differ);
    }
    let sums = emit(call, x, ensemble, 2, Aggregate::Sum)?;
    let one = crate::graph::Dim::Fixed(1);
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

/// The trees of version 5.
fn separate(call: &Call, outputs: usize, dtype: DType) -> Imported<Ensemble> {
    let features = call.ints("nodes_featureids")?;
    let features = call.required("nodes_featureids", features)?;
    let n = features.len();
    let ints = |name: &str| of_nodes(call, name, call.ints(name)?, n);
    let (holds, fails) = (ints("nodes_truenodeids")?, ints("nodes_falsenodeids")?);
    let (holds_leaf, fails_leaf) = (ints("nodes_trueleafs")?, ints("nodes_falseleafs")?);
    let tensor = |name: &str| {
        let tensor = call.tensor(name)?;
        let tensor = call.required(name, tensor)?;
        tensor_numbers(call, name, &tensor, dtype)
    };
    let (splits, modes) = (tensor("nodes_splits")?, tensor("nodes_modes")?);
    let splits = of_nodes(call, "nodes_splits", Some(&splits), n)?;
    let modes = of_nodes(call, "nodes_modes", Some(&modes), n)?;
    let nan_holds = match call.ints("nodes_missing_value_tracks_true")? {
        None | Some([]) => &[],
        some => of_nodes(call, "nodes_missing_value_tracks_true", some, n)?,
    };
    if call.attributes.tensor("nodes_hitrates").is_err() {
        return call.refuse("nodes_hitrates", "is no tensor");
    }
    let members = match call.tensor("membership_values")? {
        None => Vec::new(),
        Some(members) => tensor_numbers(call, "membership_values", &members, dtype)?,
    };
    let mut sets = members.split(|v| v.is_nan());
    let weights = tensor("leaf_weights")?;
    let of_leaves = call.ints("leaf_targetids")?.unwrap_or_default();
    if of_leaves.len() != weights.len() {
        let problem = format!("has {} elements for {} weights", of_leaves.len(), weights.len());
        return call.refuse("leaf_targetids", problem);
    }
    let mut ensemble = Ensemble::default();
    for (target, weight) in of_leaves.iter().zip(&weights) {
        match usize::try_from(*target).ok().filter(|t| *t < outputs) {
            Some(target) => ensemble.leaves.push(vec![(target, *weight)]),
            None => return call.refuse("leaf_targetids", format!("holds {target}")),
        }
    }
    let child = |at: i64, is_leaf: i64| {
        let place = usize::try_from(at).ok();
        match (is_leaf, place) {
            (0, Some(branch)) if branch < n => Ok(Child::Branch(branch)),
            (1, Some(leaf)) if leaf < weights.len() => Ok(Child::Leaf(leaf)),
            _ => call.fail(format!("there is no node or leaf {at}")),
        }
    };
    for i in 0..n {
        let split = match (modes[i], splits[i]) {
            (0.0, threshold) => Split::LessOrEqual(threshold),
            (1.0, threshold) => Split::Less(threshold),
            (2.0, threshold) => Split::GreaterOrEqual(threshold),
            (3.0, threshold) => Split::Greater(threshold),
            (4.0, threshold) => Split::Equal(threshold),
            (5.0, threshold) => Split::NotEqual(threshold),
            (6.0, _) => match sets.next() {
                Some(set) => Split::Member(set.to_vec()),
                None => return call.refuse("membership_values", "has fewer sets than are asked"),
            },
            (other, _) => return call.refuse("nodes_modes", format!("holds {other}")),
        };
        let Ok(feature) = usize::try_from(features[i]) else {
            return call.refuse("nodes_featureids", format!("holds {}", features[i]));
        };
        ensemble.branches.push(Branch {
            feature,
            split,
            nan_holds: nan_holds.get(i).is_some_and(|flag| *flag != 0),
            children: [child(holds[i], holds_leaf[i])?, child(fails[i], fails_leaf[i])?],
        });
    }
    let roots = call.ints("tree_roots")?;
    for root in call.required("tree_roots", roots)? {
        ensemble.roots.push(child(*root, 0)?);
    }
    Ok(ensemble)
}
