//! Products of two computed values, and softmax between them: attention that is quantized.

use crate::graph::ops::{Binary, Chain, Given, QuantizedMatMul};
use crate::graph::{Op, ValueId};
use crate::tensor::DType;

use super::super::pattern::Scope;
use super::chain::source;
use super::dequantized;
use super::follow::Way;
use super::linear::{Form, Product, factors, sums_fit};

/// A product of two dequantized operands.
pub(super) fn of_dequantized(scope: &Scope<'_>, i: usize) -> Option<Product> {
    let (Op::MatMul, Some(a), Some(b)) =
        (&scope.node(i).op, scope.operand(i, 0), scope.operand(i, 1))
    else {
        return None;
    };
    if scope.shape(a).len() < 2 || scope.shape(b).len() < 2 {
        return None;
    }
    let terms = scope.shape(a).last()?.upper(&scope.graph.variables);
    sums_fit(terms)?;
    let (a, b, y) = (dequantized(scope, a)?, dequantized(scope, b)?, scope.result(i)?);
    let operands = [Some(a.q), Some(a.scale), a.zero, Some(b.q), Some(b.scale), b.zero];
    let way = Way::new(scope.shape(y).last()?.fixed(), i, y);
    Some(Product { operands, form: Form::MatMul, way })
}

/// A product of integers as the sums that it is, and what scales them: a cast, and a scale of each
/// operand, or both as one.
pub(super) fn of_sums(scope: &Scope<'_>, i: usize) -> Option<Product> {
    let node = scope.node(i);
    let Op::QuantizedMatMul(QuantizedMatMul { stages, given: Given::Sums }) = &node.op else {
        return None;
    };
    if !stages.is_empty() {
        return None;
    }
    let [a, a_zero, b, b_zero] = [0, 2, 3, 5].map(|operand| scope.operand(i, operand));
    let cast = scope.follower(i, node.outputs[0]?)?;
    let Op::Cast { to: DType::F32 } = scope.node(cast).op else { return None };
    let (mut at, mut y) = (cast, scope.result(cast)?);
    let mut scales: Vec<ValueId> = Vec::new();
    while let Some(next) = scope.follower(i, y)
        && scope.node(next).op == Op::Binary(Binary::Mul)
        && let Some((first, second)) = factors(scope, next, y)
        && let Some(result) = scope.result(next).filter(|r| scope.same_shape(*r, y))
    {
        let more: Vec<ValueId> = [first].into_iter().chain(second).collect();
        let one = |v: &ValueId| scope.is_f32(*v) && scope.shape(*v).iter().all(|dim| dim.is(1));
        if scales.len() + more.len() > 2 || !more.iter().all(one) {
            break;
        }
        scales.extend(more);
        (at, y) = (next, result);
    }
    let mut scales = scales.into_iter();
    let operands = [a, scales.next(), a_zero, b, scales.next(), b_zero];
    let way = Way::new(scope.shape(y).last()?.fixed(), at, y);
    Some(Product { operands, form: Form::MatMul, way })
}

/// Whether node `i` takes integers: a product of two dequantized values, or softmax of one.
pub(super) fn takes(scope: &Scope<'_>, i: usize) -> bool {
    of_dequantized(scope, i).is_some() || is_softmax(scope, i)
}

/// Softmax along the last axis.
fn is_softmax(scope: &Scope<'_>, i: usize) -> bool {
    let Op::Softmax { axis } = scope.node(i).op else { return false };
    let Some(x) = scope.operand(i, 0) else { return false };
    scope.is_f32(x) && axis + 1 == scope.shape(x).len()
}

/// Makes softmax take integers, or give them.
pub(super) fn softmax(scope: &mut Scope<'_>, i: usize) -> Option<()> {
    if !is_softmax(scope, i) {
        return None;
    }
    let (x, y) = (scope.operand(i, 0)?, scope.result(i)?);
    let mut way = Way::new(scope.shape(y).last()?.fixed(), i, y);
    way.follow(scope);
    let (x, from) = source(scope, x);
    let Way { stages, summands, given, at, .. } = way;
    if from.is_none() && given == Given::Float {
        return None;
    }
    let inputs = [x].into_iter().chain(summands).map(Some).collect();
    scope.rewrite(at, Op::QuantizedSoftmax(Chain { from, stages, given }), inputs);
    Some(())
}
