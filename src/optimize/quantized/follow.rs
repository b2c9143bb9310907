//! What follows a value, element by element, up to the next quantized one.

use crate::graph::ops::{Binary, Given, Grid8, Stage};
use crate::graph::{Op, Tensor, ValueId};

use super::super::linear::follow::activation;
use super::super::pattern::Scope;
use super::{Quantized, dequantized};

/// Most stages of a step.
const MOST_STAGES: usize = 8;

/// Elements on their way: what happens to them, and where they are.
#[derive(Clone)]
pub(super) struct Way {
    /// Columns, where their number is fixed.
    pub(super) n: Option<i64>,
    pub(super) stages: Vec<Stage>,
    /// Operands of stages.
    pub(super) summands: Vec<ValueId>,
    pub(super) given: Given,
    /// The node that is rewritten.
    pub(super) at: usize,
    /// Its result.
    pub(super) y: ValueId,
}

impl Way {
    /// What node `at` gives, as f32.
    pub(super) fn new(n: Option<i64>, at: usize, y: ValueId) -> Self {
        Self { n, stages: Vec::new(), summands: Vec::new(), given: Given::Float, at, y }
    }

    /// Takes along what follows, as far as it can.
    pub(super) fn follow(&mut self, scope: &mut Scope<'_>) {
        while self.stages.len() + 1 < MOST_STAGES
            && let Some(next) = scope.follower(self.at, self.y)
            && let Some(result) = scope.result(next)
            && (scope.same_shape(result, self.y) || self.is_reshape(scope, next, result))
        {
            let taken = match &scope.node(next).op {
                Op::Reshape { .. } | Op::Transpose { .. }
                    if self.is_reshape(scope, next, result) =>
                {
                    Some(())
                }
                Op::QuantizeLinear(_) => {
                    self.quantize(scope, next);
                    return;
                }
                Op::Unary(op) => activation(*op).map(|f| self.stages.push(Stage::Activate(f))),
                Op::Binary(op @ (Binary::Add | Binary::Mul)) => {
                    let (a, b) = (scope.operand(next, 0), scope.operand(next, 1));
                    let other = if a == Some(self.y) { b } else { a };
                    match (op, other) {
                        (Binary::Add, Some(other)) => self.add(scope, other),
                        (_, Some(other)) => self.row(scope, other, Stage::MulRow),
                        _ => None,
                    }
                }
                _ => None,
            };
            if taken.is_none() {
                return;
            }
            (self.at, self.y) = (next, result);
        }
    }

    /// Whether a node gives the rows other axes: rows they stay, in their order.
    fn is_reshape(&self, scope: &Scope<'_>, i: usize, result: ValueId) -> bool {
        let columns = scope.shape(result).last() == scope.shape(self.y).last();
        let in_order = match &scope.node(i).op {
            Op::Reshape { .. } => true,
            Op::Transpose { perm } => {
                perm.iter().filter(|axis| !scope.shape(self.y)[**axis].is(1)).is_sorted()
            }
            _ => false,
        };
        columns && in_order
    }

    /// Takes a stage whose operand is a constant for each column.
    pub(super) fn row(&mut self, scope: &mut Scope<'_>, v: ValueId, stage: Stage) -> Option<()> {
        let (n, tensor) = (usize::try_from(self.n?).ok()?, scope.constant(v)?);
        // Shapes meet at their ends.
        let along = tensor.shape().last() == Some(&n);
        let row = match tensor.as_slice::<f32>()? {
            [one] if tensor.shape().len() <= scope.shape(self.y).len() => vec![*one; n],
            row if row.len() == n && along => row.to_vec(),
            _ => return None,
        };
        let row = scope.graph.add_constant("row", Tensor::vector(&row));
        self.stages.push(stage);
        self.summands.push(row);
        Some(())
    }

    /// Adds a constant row, or a value of the result's shape.
    pub(super) fn add(&mut self, scope: &mut Scope<'_>, v: ValueId) -> Option<()> {
        if !scope.is_f32(v) {
            return None;
        }
        if scope.constant(v).is_some() {
            return self.row(scope, v, Stage::AddRow);
        }
        if !scope.same_shape(v, self.y) {
            return None;
        }
        let quantized = dequantized(scope, v);
        let known = quantized.and_then(|x| Some((x.grid(scope.graph)?, x.q)));
        let (stage, summand) = match known {
            Some((grid, q)) => (Stage::AddQuantized(grid), q),
            None => (Stage::Add, v),
        };
        self.stages.push(stage);
        self.summands.push(summand);
        Some(())
    }

    /// What node `i` quantizes: the result, unless it is dequantized again and goes on from there.
    pub(super) fn quantize(&mut self, scope: &mut Scope<'_>, i: usize) -> Option<()> {
        let quantized = Quantized::of(scope.graph, scope.node(i))?;
        let grid = quantized.grid(scope.graph)?;
        if let Some(on) = self.go_on(scope, &quantized, grid) {
            *self = on;
            return Some(());
        }
        self.given = Given::Quantized(grid);
        (self.at, self.y) = (i, quantized.q);
        Some(())
    }

    /// The product with what follows behind a pair of QuantizeLinear and DequantizeLinear. `None`
    /// where it is the integers that are wanted.
    fn go_on(&self, scope: &mut Scope<'_>, quantized: &Quantized, grid: Grid8) -> Option<Self> {
        let next = scope.follower(self.at, quantized.q)?;
        let again = dequantized(scope, scope.result(next)?)?;
        if again.q != quantized.q || again.grid(scope.graph) != Some(grid) {
            return None;
        }
        let y = scope.result(next)?;
        let mut on = self.clone();
        on.stages.push(Stage::Round(grid));
        (on.at, on.y) = (next, y);
        let before = on.stages.len();
        on.follow(scope);
        let readers = scope.readers(y);
        let takes_integers = |i: &usize| match scope.node(*i).op {
            Op::Linear { .. } => scope.operand(*i, 0) == Some(y),
            Op::Conv(_) => true,
            _ => false,
        };
        (on.stages.len() > before || !readers.iter().any(takes_integers)).then_some(on)
    }
}
