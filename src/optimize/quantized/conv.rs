//! Convolutions of dequantized values.

use crate::graph::Op;
use crate::graph::ops::{Activation, Conv};

use super::super::pattern::Scope;
use super::dequantized;
use super::follow::Way;
use super::linear::{Form, Product, Weights, epilogue};

/// A convolution of two dequantized operands in one group.
pub(super) fn of_dequantized(scope: &mut Scope<'_>, i: usize) -> Option<Product> {
    let node = scope.node(i);
    let Op::Conv(conv) = &node.op else { return None };
    if conv.group != 1 {
        return None;
    }
    let (conv, x, w, y) = (conv.clone(), node.inputs[0]?, node.inputs[1]?, node.outputs[0]?);
    let operands = (scope.operand(i, 2), scope.operand(i, 3));
    let x = dequantized(scope, x)?;
    let (q, scales, zeros) = Weights::of(scope, scope.made(w)?, 0)?;
    let n = scope.shape(w)[0].fixed()?;
    let way = Way::new(Some(n), i, y).with_axes_behind(conv.kernel.len());
    let way = epilogue(scope, way, operands, conv.activation)?;
    let operands = [Some(x.q), Some(x.scale), x.zero, Some(q), Some(scales), zeros];
    let window = Conv { activation: Activation::None, ..conv };
    Some(Product { operands, form: Form::Conv(window), way })
}
