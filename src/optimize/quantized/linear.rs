//! Products of integers, with what follows them.

use crate::graph::ops::{Activation, Binary, Given, Grid8, Quantization, QuantizedLinear, Stage};
use crate::graph::{Node, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::linear::follow::activation;
use super::super::pattern::Scope;
use super::{Quantized, dequantized};

/// Most stages of a product.
pub(in crate::optimize) const MOST_STAGES: usize = 8;

/// A product of integers, while it takes along what follows it.
#[derive(Clone)]
struct Product {
    /// x, scale, zero point, weights, scales, zero points.
    operands: [Option<ValueId>; QuantizedLinear::STAGES],
    transposed: bool,
    /// Columns.
    n: i64,
    stages: Vec<Stage>,
    /// Operands of stages.
    summands: Vec<ValueId>,
    given: Given,
    /// The node that it is written to.
    at: usize,
    /// Its result.
    y: ValueId,
}

/// Makes node `i` a product of integers if it is one in all but name.
pub(super) fn fuse(scope: &mut Scope<'_>, i: usize) -> Option<()> {
    let mut product = of_dequantized(scope, i).or_else(|| of_sums(scope, i))?;
    product.follow(scope);
    product.write(scope);
    Some(())
}

/// A product of two dequantized operands.
fn of_dequantized(scope: &mut Scope<'_>, i: usize) -> Option<Product> {
    let node = scope.node(i);
    let Op::Linear { activation, transposed } = node.op else { return None };
    let (x, w, y) = (node.inputs[0]?, node.inputs[1]?, node.outputs[0]?);
    let (bias, residual) = (scope.operand(i, 2), scope.operand(i, 3));
    let x = dequantized(scope, x)?;
    let weights = scope.made(w)?;
    let (q, scales, zeros) = Weights::of(scope, weights, usize::from(!transposed))?;
    let n = scope.shape(w)[usize::from(!transposed)].fixed()?;
    let operands = [Some(x.q), Some(x.scale), x.zero, Some(q), Some(scales), zeros];
    let mut product = Product {
        operands,
        transposed,
        n,
        stages: Vec::new(),
        summands: Vec::new(),
        given: Given::Float,
        at: i,
        y,
    };
    if let Some(bias) = bias {
        product.stages.push(Stage::AddRow);
        product.summands.push(bias);
    }
    if let Some(residual) = residual {
        product.add(scope, residual);
    }
    if activation != Activation::None {
        product.stages.push(Stage::Activate(activation));
    }
    Some(product)
}

/// Constant weights of eight bits.
struct Weights;

impl Weights {
    /// The integers, their scales and zero points, one each or one for each position of `axis`.
    fn of(
        scope: &Scope<'_>,
        node: &Node,
        axis: usize,
    ) -> Option<(ValueId, ValueId, Option<ValueId>)> {
        let Op::DequantizeLinear(Quantization { axis: along, block, integer }) = node.op else {
            return None;
        };
        let (q, scales) = (node.inputs[0]?, node.inputs[1]?);
        let zeros = node.inputs.get(2).copied().flatten();
        let constant = |v: ValueId| scope.constant(v).is_some();
        let one = scope.shape(scales).iter().all(|dim| dim.is(1));
        let fits = matches!(integer, DType::U8 | DType::I8)
            && scope.graph.value(q).dtype == integer
            && scope.is_f32(scales)
            && (one || along == axis && block == 0);
        let known = constant(q) && constant(scales) && zeros.is_none_or(constant);
        (fits && known).then_some((q, scales, zeros))
    }
}

/// A product of integers as the sums that it is, and what scales them: `MatMulInteger`, a cast,
/// and factors.
fn of_sums(scope: &mut Scope<'_>, i: usize) -> Option<Product> {
    let node = scope.node(i);
    let Op::QuantizedLinear(op) = &node.op else { return None };
    if op.given != Given::Sums || !op.stages.is_empty() {
        return None;
    }
    let transposed = op.transposed;
    let mut operands = [None; QuantizedLinear::STAGES];
    operands.iter_mut().zip(&node.inputs).for_each(|(to, v)| *to = *v);
    let n = scope.shape(operands[3]?)[usize::from(!transposed)].fixed()?;
    let cast = scope.follower(i, node.outputs[0]?)?;
    let Op::Cast { to: DType::F32 } = scope.node(cast).op else { return None };
    let (mut at, mut y) = (cast, scope.result(cast)?);
    let (mut scale, mut row) = (None, None);
    while let Some(next) = scope.follower(i, y)
        && scope.node(next).op == Op::Binary(Binary::Mul)
        && let Some((a, b)) = factors(scope, next, y)
        && let Some(result) = scope.result(next).filter(|r| scope.same_shape(*r, y))
    {
        let mut taken = (scale, row.clone());
        if ![Some(a), b].into_iter().flatten().all(|f| take_factor(scope, f, n, &mut taken)) {
            break;
        }
        (scale, row) = taken;
        (at, y) = (next, result);
    }
    operands[1] = scale;
    operands[4] = row.map(|row: Vec<f32>| {
        scope.graph.add_constant("scales", Tensor::vector(&row))
    });
    Some(Product {
        operands,
        transposed,
        n,
        stages: Vec::new(),
        summands: Vec::new(),
        given: Given::Float,
        at,
        y,
    })
}

/// What node `i` multiplies `y` with: one value, or two that are multiplied before.
fn factors(scope: &Scope<'_>, i: usize, y: ValueId) -> Option<(ValueId, Option<ValueId>)> {
    let (a, b) = (scope.operand(i, 0)?, scope.operand(i, 1)?);
    let other = if a == y { b } else { a };
    Some(match scope.binary(other, Binary::Mul) {
        Some([a, b]) if scope.constant(other).is_none() => (a, Some(b)),
        _ => (other, None),
    })
}

/// Takes a factor into the scale, which is one number of the run, or into those of the columns.
fn take_factor(
    scope: &Scope<'_>,
    factor: ValueId,
    n: i64,
    (scale, row): &mut (Option<ValueId>, Option<Vec<f32>>),
) -> bool {
    if !scope.is_f32(factor) {
        return false;
    }
    let one = scope.shape(factor).iter().all(|dim| dim.is(1));
    let Some(tensor) = scope.constant(factor) else {
        let taken = one && scale.is_none();
        if taken {
            *scale = Some(factor);
        }
        return taken;
    };
    let along = scope.shape(factor).last().is_some_and(|dim| dim.is(n));
    let Some(data) = tensor.as_slice::<f32>() else { return false };
    if !(data.len() == 1 || along && data.len() as i64 == n) {
        return false;
    }
    let before = row.take().unwrap_or_else(|| vec![1.0]);
    let len = before.len().max(data.len());
    *row = Some((0..len).map(|j| before[j % before.len()] * data[j % data.len()]).collect());
    true
}

impl Product {
    /// Takes along what follows, as far as it can.
    fn follow(&mut self, scope: &mut Scope<'_>) {
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
                Op::QuantizeLinear(_) => return self.quantize(scope, next),
                Op::Unary(op) => activation(*op).map(|f| self.stages.push(Stage::Activate(f))),
                Op::Binary(Binary::Add) => {
                    let (a, b) = (scope.operand(next, 0), scope.operand(next, 1));
                    let other = if a == Some(self.y) { b } else { a };
                    other.and_then(|other| self.add(scope, other))
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
        let columns = scope.shape(result).last().is_some_and(|dim| dim.is(self.n));
        let in_order = match &scope.node(i).op {
            Op::Reshape { .. } => true,
            Op::Transpose { perm } => {
                perm.iter().filter(|axis| !scope.shape(self.y)[**axis].is(1)).is_sorted()
            }
            _ => false,
        };
        columns && in_order
    }

    /// Adds a constant row, or a value of the result's shape.
    fn add(&mut self, scope: &mut Scope<'_>, v: ValueId) -> Option<()> {
        if !scope.is_f32(v) {
            return None;
        }
        if let Some(tensor) = scope.constant(v) {
            // Shapes meet at their ends.
            let data = tensor.as_slice::<f32>()?;
            let along = tensor.shape().last().is_some_and(|len| *len as i64 == self.n);
            let row = match data {
                [one] => vec![*one; usize::try_from(self.n).ok()?],
                row if row.len() as i64 == self.n && along => row.to_vec(),
                _ => return None,
            };
            let row = scope.graph.add_constant("bias", Tensor::vector(&row));
            self.stages.push(Stage::AddRow);
            self.summands.push(row);
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
    fn quantize(&mut self, scope: &mut Scope<'_>, i: usize) {
        let Some(quantized) = Quantized::of(scope.graph, scope.node(i)) else { return };
        let Some(grid) = quantized.grid(scope.graph) else { return };
        if let Some(on) = self.go_on(scope, &quantized, grid) {
            *self = on;
            return;
        }
        self.given = Given::Quantized(grid);
        (self.at, self.y) = (i, quantized.q);
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

    fn write(self, scope: &mut Scope<'_>) {
        let Self { operands, transposed, stages, summands, given, at, .. } = self;
        let inputs = operands.into_iter().chain(summands.into_iter().map(Some)).collect();
        let op = QuantizedLinear { transposed, stages, given };
        scope.rewrite(at, Op::QuantizedLinear(op), inputs);
    }
}
