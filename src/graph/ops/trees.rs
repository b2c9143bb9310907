//! Decision trees.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::dim::Dim;
use super::{Fact, Operands, ShapeError};

/// What a branch compares a feature with: its threshold, or a set.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the comparisons")]
pub enum Split {
    LessOrEqual(f64),
    Less(f64),
    GreaterOrEqual(f64),
    Greater(f64),
    Equal(f64),
    NotEqual(f64),
    /// One of these.
    Member(Vec<f64>),
}

/// Where a branch leads: a position among the branches or the leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the lists")]
pub enum Child {
    Branch(usize),
    Leaf(usize),
}

/// A node that compares a feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// The feature.
    pub feature: usize,
    /// The comparison.
    pub split: Split,
    /// NaN goes where the comparison holds.
    pub nan_holds: bool,
    /// Where the comparison holds, and where not.
    pub children: [Child; 2],
}

/// Targets of a leaf and what it adds to each; nearly every leaf has one.
pub type Weights = SmallVec<[(usize, f64); 1]>;

/// Trees over shared lists of branches and leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ensemble {
    /// Branches; each is reached in one way.
    pub branches: Vec<Branch>,
    /// Targets and weights of each leaf.
    pub leaves: Vec<Weights>,
    /// The root of each tree.
    pub roots: Vec<Child>,
}

/// How the weights of the trees become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the functions")]
pub enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// Decision trees. Operand: data `[rows, features]` (f32 or f64), with which thresholds and weights
/// are compared and added in its type. Result: `[rows, targets]`, zero where no tree has a weight.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeEnsemble {
    /// The trees.
    pub trees: Arc<Ensemble>,
    /// Numbers a row.
    pub targets: usize,
    /// How the weights of the trees become one.
    pub aggregate: Aggregate,
}

impl TreeEnsemble {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        let ([rows, features], true) = (&x.shape[..], x.dtype.is_float()) else {
            let shape = operands.show(&x.shape);
            return Err(ShapeError(format!("the data {} {shape} is no table of floats", x.dtype)));
        };
        self.trees.check(features, self.targets).map_err(ShapeError)?;
        let shape = vec![rows.clone(), Dim::Fixed(self.targets as i64)];
        Ok(vec![Fact { dtype: x.dtype, shape }])
    }
}

impl Ensemble {
    /// Whether these are trees: what is referred to exists, and each branch is reached in one way,
    /// so that there is no way around in circles.
    fn check(&self, features: &Dim, targets: usize) -> Result<(), String> {
        let mut seen = vec![false; self.branches.len()];
        let mut open = self.roots.clone();
        while let Some(child) = open.pop() {
            match child {
                Child::Leaf(leaf) if leaf < self.leaves.len() => {}
                Child::Leaf(leaf) => return Err(format!("leaf {leaf} does not exist")),
                Child::Branch(branch) => match seen.get_mut(branch) {
                    Some(seen) if !*seen => {
                        *seen = true;
                        open.extend(self.branches[branch].children);
                    }
                    Some(_) => return Err(format!("branch {branch} is reached in two ways")),
                    None => return Err(format!("branch {branch} does not exist")),
                },
            }
        }
        if let Some(branch) = seen.iter().position(|seen| !seen) {
            return Err(format!("branch {branch} is reached from no root"));
        }
        let largest = self.branches.iter().map(|branch| branch.feature).max();
        if let (Some(feature), Some(n)) = (largest, features.fixed())
            && feature as i64 >= n
        {
            return Err(format!("feature {feature} is used, the data has {n}"));
        }
        let target = self.leaves.iter().flatten().map(|(target, _)| *target).max();
        match target {
            Some(target) if target >= targets => {
                Err(format!("target {target} is none of {targets}"))
            }
            _ => Ok(()),
        }
    }
}
