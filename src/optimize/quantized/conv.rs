//! Convolutions of dequantized values.

use crate::graph::ops::{Activation, Conv, PadMode};
use crate::graph::{Dim, Fact, Op, ValueId};
use crate::tensor::DType;

use super::super::pattern::Scope;
use super::follow::Way;
use super::linear::{Form, Product, Weights, epilogue};
use super::{Quantized, dequantized};

/// A convolution with the margins of zeros around its data, and the data without them.
fn padded(
    scope: &Scope<'_>,
    conv: &Conv,
    x: &Quantized,
    w: ValueId,
    y: ValueId,
) -> Option<(Conv, ValueId)> {
    let node = scope.made(x.q)?;
    let Op::Pad(pad) = &node.op else { return None };
    let inner = node.inputs[0]?;
    let bytes = |v: Option<ValueId>| match v {
        Some(v) => Some(scope.constant(v)?.bytes()),
        None => Some(&[0][..]),
    };
    let value = bytes(node.inputs.get(1).copied().flatten())?;
    if pad.mode != PadMode::Constant || value != bytes(x.zero)? {
        return None;
    }
    let mut wide = conv.clone();
    let margin = |dim: &Dim| dim.fixed().and_then(|n| usize::try_from(n).ok());
    for (axis, (before, after)) in pad.before.iter().zip(&pad.after).enumerate() {
        let (before, after) = (margin(before)?, margin(after)?);
        if axis < 2 {
            (before + after == 0).then_some(())?;
            continue;
        }
        *wide.pads_before.get_mut(axis - 2)? += before;
        *wide.pads_after.get_mut(axis - 2)? += after;
    }
    // The shape rule has the last word.
    let fact = |v: ValueId| Fact { dtype: DType::F32, shape: scope.shape(v).to_vec() };
    let facts = [Some(fact(inner)), Some(fact(w))];
    let made = Op::Conv(wide.clone()).infer(&facts, &scope.graph.variables).ok()?;
    (made[0].shape == scope.shape(y)).then_some((wide, inner))
}

/// A convolution of two dequantized operands in one group.
pub(super) fn of_dequantized(scope: &mut Scope<'_>, i: usize) -> Option<Product> {
    let node = scope.node(i);
    let Op::Conv(conv) = &node.op else { return None };
    if conv.group != 1 {
        return None;
    }
    let (mut conv, x, w, y) = (conv.clone(), node.inputs[0]?, node.inputs[1]?, node.outputs[0]?);
    let operands = (scope.operand(i, 2), scope.operand(i, 3));
    let mut x = dequantized(scope, x)?;
    if let Some((wide, inner)) = padded(scope, &conv, &x, w, y) {
        (conv, x.q) = (wide, inner);
    }
    let (q, scales, zeros) = Weights::of(scope, scope.made(w)?, 0)?;
    let n = scope.shape(w)[0].fixed()?;
    let way = Way::new(Some(n), i, y).with_axes_behind(conv.kernel.len());
    let way = epilogue(scope, way, operands, conv.activation)?;
    let operands = [Some(x.q), Some(x.scale), x.zero, Some(q), Some(scales), zeros];
    let window = Conv { activation: Activation::None, ..conv };
    Some(Product { operands, form: Form::Conv(window), way })
}
