//! Layer and root-mean-square normalisation from the operators that exporters write for them.
//!
//! Every mean or sum over the last axes of a value makes a row of it. From there on each value
//! that is computed from the row alone gets its [`Form`]; where one is that of a normalised row,
//! with or without factors and summands, its node becomes the operator.

mod form;

use std::collections::{BTreeSet, HashMap};

use crate::graph::dim::product;
use crate::graph::ops::{Binary, Compare, Logic, Reduce, ReduceKind, Unary};
use crate::graph::{Dim, Graph, Node, Op, Tensor, ValueId};

use super::pattern::{Scope, each_list, orders};
use crate::tensor::DType;
use form::{Coefficient, Form, MEAN, ONE, Powers, Root, X, cancel};

/// Rows with more elements have no factors or summands of their own: a number is not written out.
const WRITTEN: usize = 1 << 16;

/// Most values that are looked at behind the rows of one.
const MAX_VALUES: usize = 40;

/// Runs the pass.
pub(super) fn fuse(graph: &mut Graph) -> usize {
    each_list(graph, &mut |scope| {
        let (mut fused, mut in_vain) = (0, BTreeSet::new());
        for i in 0..scope.len() {
            for rows in rows_of(scope, i) {
                if !in_vain.contains(&rows) {
                    let found = Rows::new(scope, rows).fuse(scope);
                    fused += found;
                    if found == 0 {
                        in_vain.insert(rows);
                    }
                }
            }
        }
        fused
    })
}

/// The values whose rows node `i` looks at, if it reduces rows, and the first axis of a row.
fn rows_of(scope: &Scope<'_>, i: usize) -> Vec<(ValueId, usize)> {
    let node = scope.node(i);
    let Op::Reduce(Reduce { kind, axes, .. }) = &node.op else { return Vec::new() };
    let mean = matches!(kind, ReduceKind::Mean | ReduceKind::Sum | ReduceKind::SumSquare);
    let (Some(z), true, true) = (scope.operand(i, 0), mean, scope.result(i).is_some()) else {
        return Vec::new();
    };
    // Axes of one element belong to the row or do not, as one likes.
    let counts = |a: &usize| !scope.shape(z)[*a].is(1);
    let Some(axis) = axes.iter().copied().find(counts) else { return Vec::new() };
    let whole = (axis..scope.shape(z).len()).filter(counts).all(|a| axes.contains(&a));
    if !whole || !scope.is_f32(z) {
        return Vec::new();
    }
    // The mean of squares comes from what is squared.
    let squared = match scope.made(z) {
        Some(Node { op: Op::Binary(Binary::Mul | Binary::Pow), inputs, .. }) => inputs[0],
        _ => None,
    };
    let same = |v: &ValueId| scope.same_shape(*v, z);
    squared.filter(same).into_iter().chain([z]).map(|x| (x, axis)).collect()
}

/// A normalisation that a value is.
struct Norm {
    root: Root,
    scale: Coefficient,
    bias: Option<Coefficient>,
}

/// The rows of one value, and what is known of those computed from them.
struct Rows {
    x: ValueId,
    axis: usize,
    shape: Vec<Dim>,
    /// Number of elements of a row, where it is fixed.
    cols: Option<usize>,
    forms: HashMap<ValueId, Form>,
    root: Option<Root>,
}

impl Rows {
    fn new(scope: &Scope<'_>, (x, axis): (ValueId, usize)) -> Self {
        let shape = scope.shape(x).to_vec();
        let cols = product(&shape[axis..]).fixed().and_then(|n| usize::try_from(n).ok());
        let cols = cols.filter(|n| *n > 0);
        let forms = HashMap::from([(x, Form::power(X))]);
        Self { x, axis, shape, cols, forms, root: None }
    }

    /// Finds the forms of all values that are computed from the rows alone, and makes the last
    /// node that normalises them do so at once.
    fn fuse(mut self, scope: &mut Scope<'_>) -> usize {
        let mut pending: BTreeSet<usize> = scope.readers(self.x).iter().copied().collect();
        let mut found = Vec::new();
        while let Some(i) = pending.pop_first().filter(|_| self.forms.len() < MAX_VALUES) {
            let Some(y) = scope.result(i).filter(|y| !self.forms.contains_key(y)) else { continue };
            let Some(form) = self.derive(scope, i, y) else { continue };
            if scope.is_f32(y)
                && scope.shape(y) == self.shape
                && let Some(norm) = self.norm(&form)
            {
                found.push((i, norm));
            }
            self.forms.insert(y, form);
            pending.extend(scope.readers(y));
        }
        let mut fused = 0;
        for (i, norm) in found.into_iter().rev() {
            // Where the moments are needed for something else, little would be saved.
            if scope.result(i).is_some() && scope.freed_by(i, &[self.x]) >= 3 {
                self.rewrite(scope, i, norm);
                fused += 1;
            }
        }
        fused
    }

    /// Whether a shape is that of one number for each row.
    fn is_of_rows(&self, shape: &[Dim]) -> bool {
        let counts = |dim: &&Dim| !dim.is(1);
        shape.iter().filter(counts).eq(self.shape[..self.axis].iter().filter(counts))
    }

    /// Whether a shape is that of one number for each row, in the place of the row.
    fn is_kept(&self, shape: &[Dim]) -> bool {
        shape.len() == self.shape.len()
            && shape[..self.axis] == self.shape[..self.axis]
            && shape[self.axis..].iter().all(|dim| dim.is(1))
    }

    /// The form of operand `at` of a node whose result is of shape `result`, where its elements
    /// meet those of the result that belong to the same row.
    fn operand(&self, scope: &Scope<'_>, node: &Node, at: usize, result: &[Dim]) -> Option<Form> {
        let v = (*node.inputs.get(at)?)?;
        if let Some(form) = self.forms.get(&v) {
            let shape = scope.shape(v);
            let meets = shape == result || (self.is_kept(shape) && result == self.shape);
            return meets.then(|| form.clone());
        }
        if let Some(number) = scope.number(v) {
            return Some(Form::constant(vec![number]));
        }
        let tensor = scope.constant(v).filter(|_| scope.is_f32(v))?;
        let cols = self.cols.filter(|cols| *cols <= WRITTEN)?;
        // One number for each element of a row, the same for all rows.
        let (_, row) = tensor
            .shape()
            .split_at_checked((tensor.shape().len() + self.axis).checked_sub(self.shape.len())?)?;
        let data = tensor.as_slice::<f32>()?;
        let (first, rest) = data.split_at_checked(cols)?;
        let same = rest.chunks(cols).all(|other| other == first);
        if row.iter().product::<usize>() != cols || !same || result != self.shape {
            return None;
        }
        let row = first.iter().map(|c| f64::from(*c));
        Some(Form::constant(row.collect()))
    }

    fn derive(&mut self, scope: &Scope<'_>, i: usize, y: ValueId) -> Option<Form> {
        let (node, result) = (scope.node(i), scope.shape(y));
        let wide = scope.graph.value(y).dtype == DType::F64;
        if !(scope.is_f32(y) || wide) || !(result == self.shape || self.is_of_rows(result)) {
            return None;
        }
        let operand = |at| self.operand(scope, node, at, result);
        match &node.op {
            Op::Unary(Unary::Neg) => operand(0)?.scaled(-1.0),
            Op::Unary(Unary::Reciprocal) => operand(0)?.inverse(),
            Op::Unary(Unary::Sqrt) => self.root_of(operand(0)?, [0, 0, 0, -1]),
            Op::Unary(Unary::Relu) => operand(0)?.clamped(),
            Op::Unary(Unary::Clip { min, max }) if *min <= 0.0 && *max == f64::INFINITY => {
                operand(0)?.clamped()
            }
            Op::Binary(Binary::Max) => {
                let (a, b) = (operand(0)?, operand(1)?);
                let zero = Form::constant(vec![0.0]);
                orders([&a, &b]).into_iter().find(|(_, low)| **low == zero)?.0.clamped()
            }
            Op::Binary(Binary::Add) => operand(0)?.plus(&operand(1)?),
            Op::Binary(Binary::Sub) => operand(0)?.minus(&operand(1)?),
            Op::Binary(Binary::Mul) => operand(0)?.times(&operand(1)?),
            Op::Binary(Binary::Div) => operand(0)?.times(&operand(1)?.inverse()?),
            Op::Binary(Binary::Pow) => {
                let (base, exponent) = (operand(0)?, operand(1)?);
                match Form::half_power(&exponent) {
                    Some(power) => self.root_of(base, power),
                    None => base.to_the(&exponent),
                }
            }
            // The row is looked at in double precision, or taken for what it is.
            Op::Cast { to } if to.is_float() && !to.is_small() => operand(0),
            Op::Where => self.constant_row(scope, node).then(|| operand(2)).flatten(),
            Op::Reshape { .. } | Op::Expand { .. } => self.moved(scope, node, result),
            Op::Reduce(op) => self.reduced(scope, node, op),
            _ => None,
        }
    }

    /// Whether a choice gives zeros for rows of one number, and the distance from the mean, which
    /// is zero there, for others.
    fn constant_row(&self, scope: &Scope<'_>, node: &Node) -> bool {
        let [Some(condition), Some(zero), Some(centered)] = node.inputs[..] else { return false };
        let distance = Form::power(X).minus(&Form::power(MEAN));
        let is_centered = self.forms.get(&centered) == distance.as_ref();
        let extreme = |v: Option<ValueId>, wanted: ReduceKind| {
            v.and_then(|v| scope.reduced(v, &self.shape)).is_some_and(|found| {
                let row = self.is_row(&found.axes);
                found.of == self.x && row && found.kind == wanted && !found.log
            })
        };
        let is_constant = |v: ValueId| {
            scope.made(v).is_some_and(|node| {
                let pair = || [node.inputs[0], node.inputs[1]];
                node.op == Op::Compare(Compare::Equal)
                    && orders(pair()).into_iter().any(|(low, high)| {
                        extreme(low, ReduceKind::Min) && extreme(high, ReduceKind::Max)
                    })
            })
        };
        let both = match scope.made(condition) {
            Some(Node { op: Op::Logic(Logic::And), inputs, .. }) => inputs.clone(),
            _ => vec![Some(condition)],
        };
        is_centered
            && scope.number(zero) == Some(0.0)
            && both.into_iter().flatten().any(is_constant)
    }

    /// Whether a reduction over these axes is one over the row.
    fn is_row(&self, axes: &[usize]) -> bool {
        let counts = |a: &usize| !self.shape[*a].is(1);
        axes.iter().copied().filter(counts).eq((self.axis..self.shape.len()).filter(counts))
    }

    /// A power of the one root that there may be.
    fn root_of(&mut self, form: Form, power: Powers) -> Option<Form> {
        let root = form.radicand().filter(|root| root.scale > 0.0 && root.epsilon >= 0.0)?;
        (*self.root.get_or_insert(root) == root).then(|| Form::power(power))
    }

    /// A form whose value has been given another shape.
    fn moved(&self, scope: &Scope<'_>, node: &Node, result: &[Dim]) -> Option<Form> {
        let v = node.inputs[0]?;
        let (form, shape) = (self.forms.get(&v)?, scope.shape(v));
        let suits = match node.op {
            // One number for each row stays that, whatever axes of one element there are.
            Op::Reshape { .. } => {
                shape == result || self.is_of_rows(shape) && self.is_of_rows(result)
            }
            _ => shape == result || self.is_kept(shape) && result == self.shape,
        };
        suits.then(|| form.clone())
    }

    /// A form reduced over the row.
    fn reduced(&self, scope: &Scope<'_>, node: &Node, op: &Reduce) -> Option<Form> {
        let v = node.inputs[0]?;
        if !self.is_row(&op.axes) || scope.shape(v) != self.shape {
            return None;
        }
        let form = self.forms.get(&v)?;
        match op.kind {
            ReduceKind::Mean => form.mean(),
            ReduceKind::Sum => form.mean()?.scaled(self.cols? as f64),
            ReduceKind::SumSquare => form.times(form)?.mean()?.scaled(self.cols? as f64),
            _ => None,
        }
    }

    /// The normalisation that a form is.
    fn norm(&self, form: &Form) -> Option<Norm> {
        const SCALED: Powers = [1, 0, 0, 1];
        const SHIFTED: Powers = [0, 1, 0, 1];
        let root = self.root?;
        let scale = form.coefficient(SCALED)?;
        let centered = match form.coefficient(SHIFTED) {
            None => !root.center,
            Some(shift) => root.center && cancel(scale, shift),
        };
        if !centered || !form.has_only(&[SCALED, SHIFTED, ONE]) {
            return None;
        }
        // 1 / sqrt(a v + e) is 1 / sqrt(a) times 1 / sqrt(v + e / a).
        let scale = scale.iter().map(|c| c / root.scale.sqrt()).collect();
        let bias = form.coefficient(ONE).filter(|c| c.iter().any(|c| *c != 0.0)).cloned();
        let root = Root { epsilon: root.epsilon / root.scale, ..root };
        Some(Norm { root, scale, bias })
    }

    fn rewrite(&self, scope: &mut Scope<'_>, i: usize, norm: Norm) {
        let name = scope.node(i).name.clone();
        let constant = |scope: &mut Scope<'_>, c: Coefficient| {
            let extents: Option<Vec<usize>> = self.shape[self.axis..]
                .iter()
                .map(|dim| dim.fixed().and_then(|n| usize::try_from(n).ok()))
                .collect();
            let data: Vec<f32> = c.iter().map(|c| *c as f32).collect();
            let tensor = match (extents, self.cols) {
                (Some(shape), Some(cols)) if cols <= WRITTEN => {
                    let data: Vec<f32> = data.into_iter().cycle().take(cols).collect();
                    Tensor::new(&shape, &data)
                }
                _ => Tensor::vector(&data),
            };
            scope.graph.add_constant(name.clone(), tensor)
        };
        let plain = norm.scale.iter().all(|c| *c as f32 == 1.0);
        let scale = (!plain).then(|| constant(scope, norm.scale));
        let bias = norm.bias.map(|bias| constant(scope, bias));
        let (axis, epsilon) = (self.axis, norm.root.epsilon as f32);
        let op = match norm.root.center {
            true => Op::LayerNorm { axis, epsilon },
            false => Op::RmsNorm { axis, epsilon },
        };
        let mut inputs = vec![Some(self.x), scale, bias];
        while inputs.last() == Some(&None) {
            inputs.pop();
        }
        scope.rewrite(i, op, inputs);
    }
}

#[cfg(test)]
mod tests;
