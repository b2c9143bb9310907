//! Steps of classical models: decision trees, lookups, distances, support vector machines.

use crate::kernels::classical;
use crate::kernels::number::Number;
use crate::kernels::trees::walk::{SLOT_LIMIT, Walk, scratch_len, walk_trees};
use crate::kernels::trees::{self, Aggregate, Forest, NodeWords};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, In, Out, Scratch};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::DType;

use super::types::by_dtype;

crate::record! {
    /// Decision trees. The layout of their tables: [`crate::kernels::trees`].
    pub(crate) struct TreeEnsembleRecord {
        pub(crate) x: In,
        pub(crate) nodes: In,
        pub(crate) roots: In,
        pub(crate) targets: In,
        pub(crate) values: In,
        pub(crate) y: Out,
        pub(crate) rows: Extent,
        pub(crate) features: Extent,
        pub(crate) outputs: u32,
        pub(crate) depth: u32,
        pub(crate) aggregate: u32,
    }
}

impl TreeEnsembleRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (dtype, outputs) = (reach.dtype(&self.x), self.outputs as usize);
        let [rows, features] = [reach.extent(self.rows)?, reach.extent(self.features)?];
        require(dtype.is_float() && outputs > 0)?;
        reach.holds_as(&self.x, dtype, count(&[rows, features])?)?;
        reach.holds_as(&self.y, dtype, count(&[rows, outputs])?)?;
        reach.len_as(&self.values, dtype)?;
        reach.len::<u32>(&self.roots)?;
        reach.len::<u32>(&self.targets)?;
        // No way down is longer than there are nodes.
        require(self.depth as usize <= reach.len::<u32>(&self.nodes)?)
    }
}

pub(crate) static TREE_ENSEMBLE: Kernel =
    kernel!(TreeEnsemble, TreeEnsembleRecord::fits, tree_ensemble);

fn tree_ensemble(step: Step<'_>) {
    let (record, operands) = step.decode::<TreeEnsembleRecord>();
    match operands.dtype_in(&record.x) {
        DType::F64 => tree_ensemble_of::<f64>(record, operands),
        _ => tree_ensemble_of::<f32>(record, operands),
    }
}

fn tree_ensemble_of<T: NodeWords>(record: TreeEnsembleRecord, operands: Operands<'_>) {
    let [rows, features] = [record.rows, record.features].map(|e| operands.extent(e));
    let forest = Forest {
        nodes: operands.read(record.nodes),
        roots: operands.read(record.roots),
        targets: operands.read(record.targets),
        values: operands.read::<T>(record.values),
        depth: record.depth as usize,
    };
    let aggregate = Aggregate::from_word(record.aggregate);
    let extents = [rows, features, record.outputs as usize];
    trees::tree_ensemble(
        forest,
        aggregate,
        extents,
        operands.read(record.x),
        operands.write(record.y),
    );
}

crate::record! {
    /// Decision trees of ordered comparisons. The layout of their tables:
    /// [`crate::kernels::trees::walk`].
    pub(crate) struct TreeWalkRecord {
        pub(crate) x: In,
        pub(crate) blocks: In,
        pub(crate) wide: bool,
        pub(crate) roots: In,
        pub(crate) slots: In,
        pub(crate) targets: In,
        pub(crate) values: In,
        pub(crate) single: bool,
        pub(crate) y: Out,
        pub(crate) rows: Extent,
        pub(crate) features: Extent,
        pub(crate) outputs: u32,
        pub(crate) depth: u32,
        pub(crate) aggregate: u32,
        pub(crate) scratch: Scratch,
    }
}

impl TreeWalkRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let outputs = self.outputs as usize;
        let [rows, features] = [reach.extent(self.rows)?, reach.extent(self.features)?];
        require(outputs > 0)?;
        reach.holds::<f32>(&self.x, count(&[rows, features])?)?;
        reach.holds::<f32>(&self.y, count(&[rows, outputs])?)?;
        reach.len::<u32>(&self.roots)?;
        reach.len::<u32>(&self.targets)?;
        reach.len::<f32>(&self.values)?;
        let slots = reach.len::<u32>(&self.slots)?;
        let scratch = if slots <= SLOT_LIMIT { scratch_len(slots) } else { usize::MAX };
        reach.holds::<f32>(&self.scratch, scratch)?;
        // No way down is longer than there are blocks.
        require(self.depth as usize <= reach.len::<u32>(&self.blocks)?)
    }
}

pub(crate) static TREE_WALK: Kernel = kernel!(TreeWalk, TreeWalkRecord::fits, tree_walk);

fn tree_walk(step: Step<'_>) {
    let (record, operands) = step.decode::<TreeWalkRecord>();
    let [rows, features] = [record.rows, record.features].map(|e| operands.extent(e));
    let walk = Walk {
        blocks: operands.read(record.blocks),
        wide: record.wide,
        roots: operands.read(record.roots),
        slots: operands.read(record.slots),
        targets: operands.read(record.targets),
        values: operands.read(record.values),
        single: record.single,
        depth: record.depth as usize,
    };
    walk_trees(
        operands.level(),
        walk,
        Aggregate::from_word(record.aggregate),
        [rows, features, record.outputs as usize],
        operands.read(record.x),
        operands.write(record.y),
        operands.scratch(record.scratch),
    );
}

crate::record! {
    /// Places in a sorted list.
    pub(crate) struct LookupRecord {
        pub(crate) x: In,
        pub(crate) list: In,
        pub(crate) y: Out,
        pub(crate) len: Extent,
    }
}

impl LookupRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (dtype, len) = (reach.dtype(&self.x), reach.extent(self.len)?);
        reach.holds_as(&self.x, dtype, len)?;
        reach.len_as(&self.list, dtype)?;
        reach.holds::<i64>(&self.y, len)
    }
}

pub(crate) static LOOKUP: Kernel = kernel!(Lookup, LookupRecord::fits, lookup);

fn lookup(step: Step<'_>) {
    let (record, operands) = step.decode::<LookupRecord>();
    by_dtype!(operands.dtype_in(&record.x), lookup_of(record, operands))
}

fn lookup_of<T: Number>(record: LookupRecord, operands: Operands<'_>) {
    let len = operands.extent(record.len);
    let (x, y) = (operands.read::<T>(record.x), operands.write(record.y));
    classical::lookup(operands.read(record.list), &x[..len], &mut y[..len]);
}

crate::record! {
    /// Distances between rows.
    pub(crate) struct DistancesRecord {
        pub(crate) a: In,
        pub(crate) b: In,
        pub(crate) y: Out,
        pub(crate) m: Extent,
        pub(crate) n: Extent,
        pub(crate) k: Extent,
        pub(crate) squared: bool,
    }
}

impl DistancesRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let dtype = reach.dtype(&self.a);
        let [m, n, k] = [reach.extent(self.m)?, reach.extent(self.n)?, reach.extent(self.k)?];
        require(dtype.is_float())?;
        reach.holds_as(&self.a, dtype, count(&[m, k])?)?;
        reach.holds_as(&self.b, dtype, count(&[n, k])?)?;
        reach.holds_as(&self.y, dtype, count(&[m, n])?)
    }
}

pub(crate) static DISTANCES: Kernel = kernel!(Distances, DistancesRecord::fits, distances);

fn distances(step: Step<'_>) {
    let (record, operands) = step.decode::<DistancesRecord>();
    match operands.dtype_in(&record.a) {
        DType::F64 => distances_of::<f64>(record, operands),
        _ => distances_of::<f32>(record, operands),
    }
}

fn distances_of<T: Number>(record: DistancesRecord, operands: Operands<'_>) {
    let extents = [record.m, record.n, record.k].map(|e| operands.extent(e));
    let (a, b) = (operands.read::<T>(record.a), operands.read(record.b));
    classical::distances(record.squared, extents, a, b, operands.write(record.y));
}

crate::record! {
    /// Decisions between each two classes, and votes.
    pub(crate) struct SvmPairsRecord {
        pub(crate) kernel: In,
        pub(crate) coefficients: In,
        pub(crate) rho: In,
        pub(crate) starts: In,
        pub(crate) scores: Out,
        pub(crate) votes: Out,
        pub(crate) rows: Extent,
        pub(crate) vectors: Extent,
        pub(crate) classes: u32,
    }
}

/// Pairs of this many classes; `None` for fewer than two.
fn pairs_of(classes: u32) -> Option<usize> {
    let classes = classes as usize;
    require(classes > 1)?;
    classes.checked_mul(classes - 1).map(|twice| twice / 2)
}

impl SvmPairsRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (classes, pairs) = (self.classes as usize, pairs_of(self.classes)?);
        let [rows, vectors] = [reach.extent(self.rows)?, reach.extent(self.vectors)?];
        reach.holds::<f32>(&self.kernel, count(&[rows, vectors])?)?;
        reach.holds::<f32>(&self.coefficients, count(&[classes - 1, vectors])?)?;
        reach.holds::<f32>(&self.rho, pairs)?;
        reach.holds::<u32>(&self.starts, classes)?;
        reach.holds::<f32>(&self.scores, count(&[rows, pairs])?)?;
        reach.holds::<f32>(&self.votes, count(&[rows, classes])?)
    }
}

pub(crate) static SVM_PAIRS: Kernel = kernel!(SvmPairs, SvmPairsRecord::fits, svm_pairs);

fn svm_pairs(step: Step<'_>) {
    let (record, operands) = step.decode::<SvmPairsRecord>();
    let [rows, vectors] = [record.rows, record.vectors].map(|e| operands.extent(e));
    let given = [record.kernel, record.coefficients, record.rho].map(|v| operands.read(v));
    classical::svm_pairs(
        [rows, vectors, record.classes as usize],
        given,
        operands.read(record.starts),
        operands.write(record.scores),
        operands.write(record.votes),
    );
}

crate::record! {
    /// Probabilities of classes from those of pairs.
    pub(crate) struct PairCouplingRecord {
        pub(crate) pairs: In,
        pub(crate) y: Out,
        pub(crate) scratch: Scratch,
        pub(crate) rows: Extent,
        pub(crate) classes: u32,
    }
}

impl PairCouplingRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (classes, pairs) = (self.classes as usize, pairs_of(self.classes)?);
        let rows = reach.extent(self.rows)?;
        reach.holds::<f32>(&self.pairs, count(&[rows, pairs])?)?;
        reach.holds::<f32>(&self.y, count(&[rows, classes])?)?;
        reach.holds::<f32>(&self.scratch, count(&[classes, classes.checked_add(1)?])?)
    }
}

pub(crate) static PAIR_COUPLING: Kernel =
    kernel!(PairCoupling, PairCouplingRecord::fits, pair_coupling);

fn pair_coupling(step: Step<'_>) {
    let (record, operands) = step.decode::<PairCouplingRecord>();
    let extents = [operands.extent(record.rows), record.classes as usize];
    let scratch = operands.scratch(record.scratch);
    let (pairs, y) = (operands.read(record.pairs), operands.write(record.y));
    classical::pair_coupling(extents, pairs, scratch, y);
}
