//! Products of integers, with what follows them.

use crate::graph::ops::{Activation, Binary, Given, Quantization, QuantizedLinear, Stage};
use crate::graph::{Node, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::pattern::Scope;
use super::dequantized;
use super::follow::Way;

/// A product of integers, while it takes along what follows it.
struct Product {
    /// x, scale, zero point, weights, scales, zero points.
    operands: [Option<ValueId>; QuantizedLinear::STAGES],
    transposed: bool,
    way: Way,
}

/// Makes node `i` a product of integers if it is one in all but name.
pub(super) fn fuse(scope: &mut Scope<'_>, i: usize) -> Option<()> {
    let mut product = of_dequantized(scope, i).or_else(|| of_sums(scope, i))?;
    product.way.follow(scope);
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
    let mut way = Way::new(Some(n), i, y);
    if let Some(bias) = bias {
        way.stages.push(Stage::AddRow);
        way.summands.push(bias);
    }
    if let Some(residual) = residual {
        way.add(scope, residual)?;
    }
    if activation != Activation::None {
        way.stages.push(Stage::Activate(activation));
    }
    Some(Product { operands, transposed, way })
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
    Some(Product { operands, transposed, way: Way::new(Some(n), at, y) })
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
    fn write(self, scope: &mut Scope<'_>) {
        let Self { operands, transposed, way: Way { stages, summands, given, at, .. } } = self;
        let inputs = operands.into_iter().chain(summands.into_iter().map(Some)).collect();
        let op = QuantizedLinear { transposed, stages, given };
        scope.rewrite(at, Op::QuantizedLinear(op), inputs);
    }
}
