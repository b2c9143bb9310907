//! Softmax and its logarithm.

use crate::graph::ops::{Binary, ReduceKind, Unary};
use crate::graph::{Op, ValueId};

use super::super::pattern::Scope;
use super::Found;

/// The one axis along which `of` is summed up in `v`, which meets `of` element by element.
fn summed(scope: &Scope<'_>, v: ValueId, log: bool) -> Option<(ValueId, usize)> {
    let shape = scope.shape(source(scope, v)?).to_vec();
    let sum = scope.reduced(v, &shape)?;
    match (sum.kind, &sum.axes[..]) {
        (ReduceKind::Sum, [axis]) if sum.log == log => Some((sum.of, *axis)),
        _ => None,
    }
}

/// What the reduction behind `v` reduces.
fn source(scope: &Scope<'_>, v: ValueId) -> Option<ValueId> {
    let mut at = v;
    loop {
        let node = scope.made(at)?;
        let operand = (*node.inputs.first()?)?;
        match node.op {
            Op::Reduce(_) => return Some(operand),
            Op::Reshape { .. } | Op::Expand { .. } | Op::Unary(Unary::Log | Unary::Identity) => {
                at = operand
            }
            _ => return None,
        }
    }
}

/// Whether two exponentials are of the same numbers: of `z`, or of what it is shifted from.
fn is_same(scope: &Scope<'_>, z: ValueId, other: ValueId, axis: usize) -> bool {
    let [a, b] = [z, other].map(|z| unshifted(scope, z, axis));
    z == other || (a == b && a != z && b != other)
}

/// What `e^z` is the exponential of, without what is taken off each row of it: its largest
/// element, or nothing.
fn unshifted(scope: &Scope<'_>, z: ValueId, axis: usize) -> ValueId {
    let shifted = scope.binary(z, Binary::Sub).filter(|[x, _]| scope.same_shape(*x, z));
    let largest = |m: ValueId| {
        let found = scope.reduced(m, scope.shape(z))?;
        let suits = found.kind == ReduceKind::Max && found.axes == [axis] && !found.log;
        suits.then_some(found.of)
    };
    match shifted {
        Some([x, m]) if largest(m) == Some(x) => x,
        _ => z,
    }
}

/// `e^z` over its sum.
pub(super) fn quotient(scope: &Scope<'_>, y: ValueId) -> Found {
    let [e, sum] = match scope.binary(y, Binary::Div) {
        Some(pair) => pair,
        None => {
            let [a, b] = scope.binary(y, Binary::Mul)?;
            let inverse = |v| scope.unary(v, Unary::Reciprocal);
            inverse(b).map(|sum| [a, sum]).or_else(|| Some([b, inverse(a)?]))?
        }
    };
    let z = scope.unary(e, Unary::Exp).filter(|_| scope.same_shape(e, y))?;
    let (of, axis) = summed(scope, sum, false)?;
    (scope.unary(of, Unary::Exp)? == z).then(|| (Op::Softmax { axis }, unshifted(scope, z, axis)))
}

/// `z` minus the logarithm of the sum of `e^z`.
pub(super) fn difference(scope: &Scope<'_>, y: ValueId) -> Found {
    let [z, sum] = scope.binary(y, Binary::Sub)?;
    if !scope.same_shape(z, y) {
        return None;
    }
    if let Some(found) = scope.reduced(sum, scope.shape(z))
        && found.kind == ReduceKind::LogSumExp
        && found.of == z
        && !found.log
        && let [axis] = found.axes[..]
    {
        return Some((Op::LogSoftmax { axis }, z));
    }
    let (of, axis) = summed(scope, sum, true)?;
    is_same(scope, z, scope.unary(of, Unary::Exp)?, axis)
        .then(|| (Op::LogSoftmax { axis }, unshifted(scope, z, axis)))
}
