//! Products of integers, with what follows them.

use crate::graph::ops::{
    Activation, Binary, Conv, Given, Quantization, QuantizedConv, QuantizedLinear, QuantizedMatMul,
    Stage,
};
use crate::graph::{Node, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::pattern::Scope;
use super::follow::{Way, lies_along};
use super::{conv, dequantized, matmul};

/// A product of integers, while it takes along what follows it.
pub(super) struct Product {
    /// x, scale, zero point, weights, scales, zero points.
    pub(super) operands: [Option<ValueId>; QuantizedLinear::STAGES],
    pub(super) form: Form,
    pub(super) way: Way,
}

/// What multiplies.
pub(super) enum Form {
    Linear {
        transposed: bool,
    },
    Conv(Conv),
    /// Both operands are computed.
    MatMul,
}

/// Makes node `i` a product of integers if it is one in all but name.
pub(super) fn fuse(scope: &mut Scope<'_>, i: usize) -> Option<()> {
    let product = of_dequantized(scope, i).or_else(|| conv::of_dequantized(scope, i));
    let product = product.or_else(|| matmul::of_dequantized(scope, i));
    let product = product.or_else(|| of_sums(scope, i));
    let mut product = product.or_else(|| matmul::of_sums(scope, i))?;
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
    let (q, scales, zeros) = weights(scope, scope.made(w)?, usize::from(!transposed))?;
    let n = scope.shape(w)[usize::from(!transposed)].fixed()?;
    sums_fit(scope.shape(w)[usize::from(transposed)].fixed()?)?;
    let operands = [Some(x.q), Some(x.scale), x.zero, Some(q), Some(scales), zeros];
    let way = Way::new(Some(n), i, y);
    let way = epilogue(scope, way, (bias, residual), activation)?;
    Some(Product { operands, form: Form::Linear { transposed }, way })
}

/// Whether 32 bits hold the sum of so many products, whatever the integers are: in f32 it would not
/// wrap.
pub(super) fn sums_fit(terms: i64) -> Option<()> {
    // With its zero point taken off, eight bits are up to 255 on either side.
    (terms.checked_mul(255 * 255)? <= i64::from(i32::MAX)).then_some(())
}

/// A product with what an operator in f32 has done to its result.
pub(super) fn epilogue(
    scope: &mut Scope<'_>,
    mut way: Way,
    (bias, residual): (Option<ValueId>, Option<ValueId>),
    activation: Activation,
) -> Option<Way> {
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
    Some(way)
}

/// Constant weights of eight bits that a node dequantizes: the integers, their scales and zero
/// points, one each or one for each position of `axis`.
pub(super) fn weights(
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

/// A product of integers as the sums that it is, and what scales them: `MatMulInteger` or
/// `ConvInteger`, a cast, and factors.
fn of_sums(scope: &mut Scope<'_>, i: usize) -> Option<Product> {
    let node = scope.node(i);
    let (form, stages, given) = match &node.op {
        Op::QuantizedLinear(QuantizedLinear { transposed, stages, given }) => {
            (Form::Linear { transposed: *transposed }, stages, given)
        }
        Op::QuantizedConv(QuantizedConv { window, stages, given }) => {
            (Form::Conv(window.clone()), stages, given)
        }
        _ => return None,
    };
    if *given != Given::Sums || !stages.is_empty() {
        return None;
    }
    let mut operands = [None; QuantizedLinear::STAGES];
    operands.iter_mut().zip(&node.inputs).for_each(|(to, v)| *to = *v);
    let (axis, behind) = match &form {
        Form::Linear { transposed } => (usize::from(!transposed), 0),
        Form::Conv(window) => (0, window.kernel.len()),
        Form::MatMul => return None,
    };
    let n = scope.shape(operands[3]?)[axis].fixed()?;
    let along = (usize::try_from(n).ok()?, behind);
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
        if ![Some(a), b].into_iter().flatten().all(|f| take_factor(scope, f, along, &mut taken)) {
            break;
        }
        (scale, row) = taken;
        (at, y) = (next, result);
    }
    operands[1] = scale;
    operands[4] = row.map(|row: Vec<f32>| scope.graph.add_constant("scales", Tensor::vector(&row)));
    let way = Way::new(Some(n), at, y).with_axes_behind(behind);
    Some(Product { operands, form, way })
}

/// What node `i` multiplies `y` with: one value, or two that are multiplied before.
pub(super) fn factors(
    scope: &Scope<'_>,
    i: usize,
    y: ValueId,
) -> Option<(ValueId, Option<ValueId>)> {
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
    (n, behind): (usize, usize),
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
    let Some(data) = tensor.as_slice::<f32>() else { return false };
    if !(data.len() == 1 || data.len() == n && lies_along(tensor.shape(), n, behind)) {
        return false;
    }
    let before = row.take().unwrap_or_else(|| vec![1.0]);
    let len = before.len().max(data.len());
    *row = Some((0..len).map(|j| before[j % before.len()] * data[j % data.len()]).collect());
    true
}

impl Product {
    fn write(self, scope: &mut Scope<'_>) {
        let Self { operands, form, way: Way { stages, summands, given, at, .. } } = self;
        let inputs = operands.into_iter().chain(summands.into_iter().map(Some)).collect();
        let op = match form {
            Form::Linear { transposed } => {
                Op::QuantizedLinear(QuantizedLinear { transposed, stages, given })
            }
            Form::Conv(window) => Op::QuantizedConv(QuantizedConv { window, stages, given }),
            Form::MatMul => Op::QuantizedMatMul(QuantizedMatMul { stages, given }),
        };
        scope.rewrite(at, op, inputs);
    }
}
