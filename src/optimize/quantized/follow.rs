//! What follows a value, element by element, up to the next quantized one.

use crate::graph::ops::{Activation, Binary, Given, Grid8, Stage};
use crate::graph::{Op, Tensor, ValueId};
use crate::kernels::stages::MOST_STAGES;

use super::super::linear::follow::activation;
use super::super::pattern::Scope;
use super::{Quantized, dequantized, matmul};

/// Elements on their way: what happens to them, and where they are.
#[derive(Clone)]
pub(super) struct Way {
    /// Columns, where their number is fixed.
    pub(super) n: Option<i64>,
    /// Axes behind that of the columns.
    pub(super) behind: usize,
    pub(super) stages: Vec<Stage>,
    /// Operands of stages.
    pub(super) summands: Vec<ValueId>,
    pub(super) given: Given,
    /// The node that is rewritten.
    pub(super) at: usize,
    /// Its result.
    pub(super) y: ValueId,
    /// Products that take integers have been found.
    pub(super) behind_products: bool,
}

impl Way {
    /// What node `at` gives, as f32.
    pub(super) fn new(n: Option<i64>, at: usize, y: ValueId) -> Self {
        let (stages, summands, given) = (Vec::new(), Vec::new(), Given::Float);
        Self { n, behind: 0, stages, summands, given, at, y, behind_products: false }
    }

    /// The same where columns are so many axes before the last.
    pub(super) fn with_axes_behind(self, behind: usize) -> Self {
        Self { behind, ..self }
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
                        (_, Some(other)) => {
                            self.constant(scope, other, Stage::Times, Stage::MulRow)
                        }
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
        if self.behind > 0 {
            return false;
        }
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

    /// Takes a stage with a constant: one number, or one for each column.
    pub(super) fn constant(
        &mut self,
        scope: &mut Scope<'_>,
        v: ValueId,
        one: fn(f32) -> Stage,
        row: Stage,
    ) -> Option<()> {
        let tensor = scope.constant(v)?;
        let data = tensor.as_slice::<f32>()?;
        if let [number] = data {
            // Shapes meet at their ends.
            let spread = tensor.shape().len() > scope.shape(self.y).len();
            self.stages.extend((!spread).then(|| one(*number)));
            return (!spread).then_some(());
        }
        let n = usize::try_from(self.n?).ok()?;
        let fits = data.len() == n && lies_along(tensor.shape(), n, self.behind);
        let tensor = fits.then(|| Tensor::vector(data))?;
        self.summands.push(scope.graph.add_constant("row", tensor));
        self.stages.push(row);
        Some(())
    }

    /// Adds a constant number or row, or a value of the result's shape.
    pub(super) fn add(&mut self, scope: &mut Scope<'_>, v: ValueId) -> Option<()> {
        if !scope.is_f32(v) {
            return None;
        }
        let constant = scope.constant(v).is_some();
        if constant && self.constant(scope, v, Stage::Plus, Stage::AddRow).is_some() {
            return Some(());
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
        // Bounds that the range of the grid keeps anyway.
        while let Some(Stage::Activate(f)) = self.stages.last()
            && keeps(grid, *f)
        {
            self.stages.pop();
        }
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
            _ if self.behind_products => false,
            Op::Linear { .. } => scope.operand(*i, 0) == Some(y),
            Op::Conv(_) => true,
            _ => matmul::takes(scope, *i),
        };
        (on.stages.len() > before || !readers.iter().any(takes_integers)).then_some(on)
    }
}

/// Whether bounds round to the ends of a grid, so that rounding alone gives the same.
fn keeps(grid: Grid8, f: Activation) -> bool {
    let (low, high) = match f {
        Activation::Relu => (0.0, f32::INFINITY),
        Activation::Clip { min, max } => (min, max),
        _ => return false,
    };
    let end = |x: f32| {
        let steps = f64::from((x / grid.scale).round_ties_even()) + f64::from(grid.zero);
        let [least, most] = grid.range().map(f64::from);
        steps.clamp(least, most)
    };
    let [least, most] = grid.range().map(f64::from);
    grid.scale > 0.0 && low <= high && end(low) == least && end(high) == most
}

/// Whether `n` numbers of this shape lie along the axis with so many axes behind it, where shapes
/// meet at their ends.
pub(super) fn lies_along(shape: &[usize], n: usize, behind: usize) -> bool {
    shape.iter().rev().nth(behind) == Some(&n)
}
