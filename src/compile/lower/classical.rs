//! Operators of classical models.

mod tables;
mod walk;

use crate::graph::Node;
use crate::graph::dim::product;
use crate::graph::ops::trees::Aggregate;
use crate::graph::ops::{SvmPairs, TreeEnsemble};
use crate::kernels::trees::{self, walk::scratch_len};
use crate::runtime::KernelId;
use crate::runtime::record::Out;
use crate::runtime::steps::classical::{
    DistancesRecord, LookupRecord, PairCouplingRecord, SvmPairsRecord, TreeEnsembleRecord,
    TreeWalkRecord,
};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::{operand, optional_result, result};
use tables::tables;
use walk::{WalkTables, walk_tables};

fn word(n: usize, what: &str) -> Lowered<u32> {
    u32::try_from(n).map_err(|_| format!("{n} {what} are too many"))
}

pub(super) fn tree_ensemble(b: &mut Builder<'_>, node: &Node, op: &TreeEnsemble) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let [rows, features] = b.shape(x) else { return Err("the data is no table".into()) };
    let (rows, features) = (rows.clone(), features.clone());
    let (rows, features) = (b.extent(&rows), b.extent(&features));
    let outputs = word(op.targets, "targets")?;
    let aggregate = match op.aggregate {
        Aggregate::Sum => trees::Aggregate::Sum,
        Aggregate::Average => trees::Aggregate::Average,
        Aggregate::Min => trees::Aggregate::Min,
        Aggregate::Max => trees::Aggregate::Max,
    } as u32;
    let ordered = (b.dtype(x) == DType::F32).then(|| walk_tables(&op.trees)).flatten();
    if let Some(WalkTables { blocks, wide, roots, slots, targets, values, single, depth }) = ordered
    {
        let scratch = scratch_len(slots.shape()[0]);
        let record = TreeWalkRecord {
            x: b.read(x)?,
            blocks: b.table(&blocks),
            wide,
            roots: b.table(&roots),
            slots: b.table(&slots),
            targets: b.table(&targets),
            values: b.table(&values),
            single,
            y: b.write(y),
            rows,
            features,
            outputs,
            depth: word(depth, "blocks")?,
            aggregate,
            scratch: b.scratch(DType::F32, scratch),
        };
        b.step(KernelId::TreeWalk, &record);
        return Ok(());
    }
    let tables = match b.dtype(x) {
        DType::F64 => tables::<f64>(&op.trees)?,
        _ => tables::<f32>(&op.trees)?,
    };
    let record = TreeEnsembleRecord {
        x: b.read(x)?,
        nodes: b.table(&tables.nodes),
        roots: b.table(&tables.roots),
        targets: b.table(&tables.targets),
        values: b.table(&tables.values),
        y: b.write(y),
        rows,
        features,
        outputs,
        depth: word(tables.depth, "branches")?,
        aggregate,
    };
    b.step(KernelId::TreeEnsemble, &record);
    Ok(())
}

pub(super) fn lookup(b: &mut Builder<'_>, node: &Node) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let record = LookupRecord {
        x: b.read(x)?,
        list: b.read(operand(node, 1)?)?,
        y: b.write(y),
        len: b.extent(&product(b.shape(x))),
    };
    b.step(KernelId::Lookup, &record);
    Ok(())
}

pub(super) fn distances(b: &mut Builder<'_>, node: &Node, squared: bool) -> Lowered<()> {
    let (a, other) = (operand(node, 0)?, operand(node, 1)?);
    let ([m, k], [n, _]) = (b.shape(a), b.shape(other)) else {
        return Err("the operands are no tables".into());
    };
    let record = DistancesRecord {
        a: b.read(a)?,
        b: b.read(other)?,
        y: b.write(result(node, 0)?),
        m: b.extent(m),
        n: b.extent(n),
        k: b.extent(k),
        squared,
    };
    b.step(KernelId::Distances, &record);
    Ok(())
}

pub(super) fn svm_pairs(b: &mut Builder<'_>, node: &Node, op: &SvmPairs) -> Lowered<()> {
    let kernel = operand(node, 0)?;
    let [rows, vectors] = b.shape(kernel) else { return Err("the data is no table".into()) };
    let rows_most = b.upper(rows);
    let [scores, votes] = [0, 1].map(|i| match optional_result(node, i) {
        Some(y) => b.write(y),
        None => {
            let columns = if i == 0 { op.pairs() } else { op.classes };
            Out(b.temporary(DType::F32, rows_most.saturating_mul(columns)))
        }
    });
    let record = SvmPairsRecord {
        kernel: b.read(kernel)?,
        coefficients: b.read(operand(node, 1)?)?,
        rho: b.read(operand(node, 2)?)?,
        starts: b.read(operand(node, 3)?)?,
        scores,
        votes,
        rows: b.extent(rows),
        vectors: b.extent(vectors),
        classes: word(op.classes, "classes")?,
    };
    b.step(KernelId::SvmPairs, &record);
    Ok(())
}

pub(super) fn pair_coupling(b: &mut Builder<'_>, node: &Node, classes: usize) -> Lowered<()> {
    let pairs = operand(node, 0)?;
    let [rows, _] = b.shape(pairs) else { return Err("the data is no table".into()) };
    let record = PairCouplingRecord {
        pairs: b.read(pairs)?,
        y: b.write(result(node, 0)?),
        scratch: b.scratch(DType::F32, classes.saturating_mul(classes.saturating_add(1))),
        rows: b.extent(rows),
        classes: word(classes, "classes")?,
    };
    b.step(KernelId::PairCoupling, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
