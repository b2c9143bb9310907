//! Operators of classical models.

mod tables;

use crate::graph::Node;
use crate::graph::dim::product;
use crate::graph::ops::trees::Aggregate;
use crate::graph::ops::{SvmPairs, TreeEnsemble};
use crate::kernels::trees;
use crate::runtime::KernelId;
use crate::runtime::record::Out;
use crate::runtime::steps::classical::{
    DistancesRecord, LookupRecord, PairCouplingRecord, SvmPairsRecord, TreeEnsembleRecord,
};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::{operand, optional_result, result};
use tables::tables;

fn word(n: usize, what: &str) -> Lowered<u32> {
    u32::try_from(n).map_err(|_| format!("{n} {what} are too many"))
}

pub(super) fn tree_ensemble(b: &mut Builder<'_>, node: &Node, op: &TreeEnsemble) -> Lowered<()> {
    let (x, y) = (operand(node, 0)?, result(node, 0)?);
    let [rows, features] = b.shape(x) else { return Err("the data is no table".into()) };
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
        rows: b.extent(rows),
        features: b.extent(features),
        outputs: word(op.targets, "targets")?,
        depth: word(tables.depth, "branches")?,
        aggregate: match op.aggregate {
            Aggregate::Sum => trees::Aggregate::Sum,
            Aggregate::Average => trees::Aggregate::Average,
            Aggregate::Min => trees::Aggregate::Min,
            Aggregate::Max => trees::Aggregate::Max,
        } as u32,
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
