//! Decision trees as models list them.
//!
//! The older operators list nodes and leaves together, by the numbers that the model gives them;
//! version 5 lists branches and leaves apart, by their places.

use std::collections::HashMap;

use smallvec::{SmallVec, smallvec};

use crate::graph::Tensor;
use crate::graph::ops::trees::{Branch, Child, Ensemble, Split};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};

/// Nodes that each node of the model may become, on average, where trees share them.
const COPIES: usize = 16;

/// An attribute of floats, or the same as a tensor, of floats or doubles.
pub(super) fn numbers(call: &Call, name: &str, dtype: DType) -> Imported<Vec<f64>> {
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

/// Which feature a node looks at.
fn feature(call: &Call, id: i64) -> Imported<usize> {
    match usize::try_from(id) {
        Ok(feature) => Ok(feature),
        Err(_) => call.refuse("nodes_featureids", format!("holds {id}")),
    }
}

/// The trees of the older operators: lists over all nodes, and weights for some of them under
/// names that begin with `target` or `class`.
pub(super) fn listed(
    call: &Call,
    of_weights: &str,
    outputs: usize,
    dtype: DType,
) -> Imported<Ensemble> {
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

    let mut places = Places::default();
    let mut splits = Vec::with_capacity(n);
    let (mut branches_len, mut leaves_len) = (0, 0);
    for i in 0..n {
        let split = split(call, modes[i], thresholds[i])?;
        let (len, place): (_, fn(usize) -> Child) = match split {
            None => (&mut leaves_len, Child::Leaf),
            Some(_) => (&mut branches_len, Child::Branch),
        };
        if !places.insert(trees[i], ids[i], place(*len)) {
            let (tree, id) = (trees[i], ids[i]);
            return call.fail(format!("tree {tree} has two nodes {id}"));
        }
        *len += 1;
        splits.push(split);
    }
    let mut ensemble =
        Ensemble { leaves: vec![SmallVec::new(); leaves_len], ..Ensemble::default() };
    ensemble.branches.reserve_exact(branches_len);
    let mut has_parent = Seen::default();
    for (i, split) in splits.into_iter().enumerate() {
        let Some(split) = split else { continue };
        let mut child = |id: i64| {
            let child = places.find(trees[i], id).ok_or_else(|| {
                let (node, tree) = (ids[i], trees[i]);
                call.problem(format!(
                    "node {node} of tree {tree} leads to node {id}, which is missing"
                ))
            })?;
            has_parent.insert(child);
            Ok(child)
        };
        let children = [child(holds[i])?, child(fails[i])?];
        ensemble.branches.push(Branch {
            feature: feature(call, features[i])?,
            split,
            nan_holds: nan_holds.get(i).is_some_and(|flag| *flag != 0),
            children,
        });
    }
    // Trees in the order in which they are first named, as their weights are added.
    let mut roots: Vec<Option<Child>> = vec![None; places.trees.len()];
    for i in 0..n {
        let Some(place) = places.find(trees[i], ids[i]) else { continue };
        if has_parent.contains(place) {
            continue;
        }
        let root = &mut roots[places.tree(trees[i])];
        if root.is_some() {
            return call.fail(format!("tree {} has two roots", trees[i]));
        }
        *root = Some(place);
    }
    if let Some(rootless) = roots.iter().position(Option::is_none) {
        return call.fail(format!("tree #{rootless} has no root: its nodes lead in circles"));
    }
    ensemble.roots = roots.into_iter().flatten().collect();
    weights(call, of_weights, outputs, dtype, &mut places, &mut ensemble)?;
    unshare(call, &mut ensemble)?;
    Ok(ensemble)
}

/// Where the nodes that a model numbers lie among the branches and the leaves.
#[derive(Default)]
struct Places {
    /// The places of trees by their numbers, and the one that was asked for last.
    trees: HashMap<i64, usize>,
    last: Option<(i64, usize)>,
    /// For each tree the nodes that are listed in the order of their numbers from zero on, as
    /// nearly all are; the others stand in the map.
    in_order: Vec<Vec<Child>>,
    others: HashMap<(usize, i64), Child>,
}

impl Places {
    /// The place of a tree, in the order in which trees are first named.
    fn tree(&mut self, number: i64) -> usize {
        if let Some((_, tree)) = self.last.filter(|(last, _)| *last == number) {
            return tree;
        }
        let next = self.trees.len();
        let tree = *self.trees.entry(number).or_insert(next);
        if tree == next {
            self.in_order.push(Vec::new());
        }
        self.last = Some((number, tree));
        tree
    }

    /// Whether the node was not there before.
    fn insert(&mut self, tree: i64, id: i64, place: Child) -> bool {
        let tree = self.tree(tree);
        let nodes = &mut self.in_order[tree];
        match usize::try_from(id) {
            Ok(id) if id < nodes.len() => false,
            // One before it may have come out of order.
            Ok(id) if id == nodes.len() && !self.others.contains_key(&(tree, id as i64)) => {
                nodes.push(place);
                true
            }
            _ => self.others.insert((tree, id), place).is_none(),
        }
    }

    fn find(&mut self, tree: i64, id: i64) -> Option<Child> {
        if self.last.is_none_or(|(last, _)| last != tree) && !self.trees.contains_key(&tree) {
            return None;
        }
        let tree = self.tree(tree);
        let place = usize::try_from(id).ok().and_then(|id| self.in_order[tree].get(id));
        place.or_else(|| self.others.get(&(tree, id))).copied()
    }
}

/// A set of branches and leaves.
#[derive(Default)]
struct Seen {
    branches: Vec<bool>,
    leaves: Vec<bool>,
}

impl Seen {
    /// Whether it was not there before.
    fn insert(&mut self, child: Child) -> bool {
        let (flags, at) = match child {
            Child::Branch(at) => (&mut self.branches, at),
            Child::Leaf(at) => (&mut self.leaves, at),
        };
        if flags.len() <= at {
            flags.resize(at + 1, false);
        }
        !std::mem::replace(&mut flags[at], true)
    }

    fn contains(&self, child: Child) -> bool {
        let (flags, at) = match child {
            Child::Branch(at) => (&self.branches, at),
            Child::Leaf(at) => (&self.leaves, at),
        };
        flags.get(at).is_some_and(|flag| *flag)
    }
}

/// Gives each way to a node a node of its own. Converters let the tests of a category against
/// several numbers lead to the same child.
fn unshare(call: &Call, ensemble: &mut Ensemble) -> Imported<()> {
    let len = |ensemble: &Ensemble| ensemble.branches.len() + ensemble.leaves.len();
    let limit = len(ensemble).saturating_mul(COPIES);
    let mut seen = Seen::default();
    let mut own = |child: Child, ensemble: &mut Ensemble| {
        let child = match child {
            _ if seen.insert(child) => child,
            Child::Branch(branch) => {
                ensemble.branches.push(ensemble.branches[branch].clone());
                Child::Branch(ensemble.branches.len() - 1)
            }
            Child::Leaf(leaf) => {
                ensemble.leaves.push(ensemble.leaves[leaf].clone());
                Child::Leaf(ensemble.leaves.len() - 1)
            }
        };
        seen.insert(child);
        if len(ensemble) > limit {
            return call.fail(
                "its nodes lead in circles, or are shared too often; export each tree as a tree",
            );
        }
        Ok(child)
    };
    let mut open = Vec::new();
    for i in 0..ensemble.roots.len() {
        let root = own(ensemble.roots[i], ensemble)?;
        ensemble.roots[i] = root;
        open.push(root);
    }
    while let Some(child) = open.pop() {
        let Child::Branch(branch) = child else { continue };
        for side in 0..2 {
            let child = own(ensemble.branches[branch].children[side], ensemble)?;
            ensemble.branches[branch].children[side] = child;
            open.push(child);
        }
    }
    Ok(())
}

/// Gives the leaves their weights.
fn weights(
    call: &Call,
    prefix: &str,
    outputs: usize,
    dtype: DType,
    places: &mut Places,
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
        match places.find(tree, node) {
            Some(Child::Leaf(leaf)) => ensemble.leaves[leaf].push((target, *value)),
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

/// The trees of version 5.
pub(super) fn separate(call: &Call, outputs: usize, dtype: DType) -> Imported<Ensemble> {
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
            Some(target) => ensemble.leaves.push(smallvec![(target, *weight)]),
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
        ensemble.branches.push(Branch {
            feature: feature(call, features[i])?,
            split,
            nan_holds: nan_holds.get(i).is_some_and(|flag| *flag != 0),
            children: [child(holds[i], holds_leaf[i])?, child(fails[i], fails_leaf[i])?],
        });
    }
    let roots = call.ints("tree_roots")?;
    for root in call.required("tree_roots", roots)? {
        ensemble.roots.push(child(*root, 0)?);
    }
    unshare(call, &mut ensemble)?;
    Ok(ensemble)
}
