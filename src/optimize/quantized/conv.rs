//! Convolutions of dequantized values.

use crate::graph::ops::{Activation, Conv, Pad, PadMode, QuantizedConv};
use crate::graph::{Dim, Op, ValueId};

use super::super::pattern::Scope;
use super::dequantized;
use super::follow::Way;
use super::linear::{Form, Product, epilogue, sums_fit, weights};

/// A convolution of two dequantized operands.
pub(super) fn of_dequantized(scope: &mut Scope<'_>, i: usize) -> Option<Product> {
    let node = scope.node(i);
    let Op::Conv(conv) = &node.op else { return None };
    if conv.group > 1 {
        let w = scope.shape(node.inputs[1]?);
        let fixed = |dim: &Dim| dim.fixed().and_then(|n| usize::try_from(n).ok());
        if !QuantizedConv::takes_groups(conv.group, fixed(&w[1])?, fixed(&w[0])? / conv.group) {
            return None;
        }
    }
    let (conv, x, w, y) = (conv.clone(), node.inputs[0]?, node.inputs[1]?, node.outputs[0]?);
    let operands = (scope.operand(i, 2), scope.operand(i, 3));
    let mut x = dequantized(scope, x)?;
    let (q, scales, zeros) = weights(scope, scope.made(w)?, 0)?;
    let n = scope.shape(w)[0].fixed()?;
    let terms = scope.shape(w)[1..].iter().map(Dim::fixed);
    sums_fit(terms.map(|n| n.unwrap_or(i64::MAX)).fold(1, i64::saturating_mul))?;
    let way = Way::new(Some(n), i, y).with_axes_behind(conv.kernel.len());
    let way = epilogue(scope, way, operands, conv.activation)?;
    let mut window = Conv { activation: Activation::None, ..conv };
    if let Some(grid) = x.grid(scope.graph) {
        while let Some(q) = padding(scope, x.q, grid.zero, &mut window) {
            x.q = q;
        }
    }
    let operands = [Some(x.q), Some(x.scale), x.zero, Some(q), Some(scales), zeros];
    Some(Product { operands, form: Form::Conv(window), way })
}

/// Takes margins of what stands for zero into the window: what they are around.
fn padding(scope: &Scope<'_>, q: ValueId, zero: i32, window: &mut Conv) -> Option<ValueId> {
    let node = scope.made(q)?;
    let Op::Pad(Pad { mode: PadMode::Constant, before, after }) = &node.op else { return None };
    let value = node.inputs.get(1).copied().flatten();
    let value = value.map_or(Some(0.0), |v| scope.constant(v)?.to_f64s().first().copied());
    if value != Some(f64::from(zero)) {
        return None;
    }
    let margins = |dims: &[Dim]| -> Option<Vec<usize>> {
        dims.iter().map(|dim| dim.fixed().and_then(|n| usize::try_from(n).ok())).collect()
    };
    let (before, after) = (margins(before)?, margins(after)?);
    if before[..2].iter().chain(&after[..2]).any(|n| *n > 0) {
        return None;
    }
    let add = |pads: &mut [usize], more: &[usize]| {
        pads.iter_mut().zip(more).for_each(|(pad, n)| *pad += n);
    };
    add(&mut window.pads_before, &before[2..]);
    add(&mut window.pads_after, &after[2..]);
    node.inputs[0]
}
