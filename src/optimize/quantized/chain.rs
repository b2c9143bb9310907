//! Elements that are quantized and dequantized on the way from one operator to the next.

use crate::graph::ops::{Binary, Chain, Given, Grid8, Stage};
use crate::graph::{Op, ValueId};

use super::super::linear::follow::activation;
use super::super::pattern::Scope;
use super::follow::Way;
use super::{Quantized, dequantized};

/// Makes the operators on elements from node `i` on one, if integers are among what they pass.
pub(super) fn fuse(scope: &mut Scope<'_>, i: usize) -> Option<()> {
    let y = scope.result(i)?;
    let op = scope.node(i).op.clone();
    let (a, b) = (scope.operand(i, 0)?, scope.operand(i, 1));
    // Of two operands the one that is spread is the second.
    let swapped = matches!(op, Op::Binary(_)) && !scope.same_shape(a, y);
    let (x, other) = if swapped { (b?, Some(a)) } else { (a, b) };
    if !scope.same_shape(x, y) || !scope.is_f32(x) || scope.shape(x).is_empty() {
        return None;
    }
    let mut way = Way::new(scope.shape(x).last()?.fixed(), i, x);
    way.behind_products = true;
    match op {
        Op::Unary(op) => way.stages.push(Stage::Activate(activation(op)?)),
        Op::Binary(Binary::Add) => way.add(scope, other?)?,
        Op::Binary(Binary::Mul) => {
            way.constant(scope, other?, Stage::Times, Stage::MulRow)?;
        }
        Op::QuantizeLinear(_) => way.quantize(scope, i)?,
        _ => return None,
    }
    if way.given == Given::Float && way.at == i {
        way.y = y;
        way.follow(scope);
    }
    let (x, from) = source(scope, x);
    write(scope, way, x, from)
}

/// Makes a DequantizeLinear that nobody has taken along a chain without stages.
pub(super) fn dequantize(scope: &mut Scope<'_>, i: usize) -> Option<()> {
    let node = scope.node(i);
    let x =
        Quantized::of(scope.graph, node).filter(|_| matches!(node.op, Op::DequantizeLinear(_)))?;
    let from = Some(x.grid(scope.graph)?);
    if scope.constant(x.q).is_some() || scope.shape(x.q).is_empty() {
        return None;
    }
    let op = Chain { from, stages: Vec::new(), given: Given::Float };
    scope.rewrite(i, Op::Chain(op), vec![Some(x.q)]);
    Some(())
}

/// The value as it was dequantized.
pub(super) fn source(scope: &Scope<'_>, x: ValueId) -> (ValueId, Option<Grid8>) {
    let quantized = dequantized(scope, x).and_then(|x| Some((x.q, x.grid(scope.graph)?)));
    quantized.map_or((x, None), |(q, grid)| (q, Some(grid)))
}

fn write(scope: &mut Scope<'_>, way: Way, x: ValueId, from: Option<Grid8>) -> Option<()> {
    let Way { stages, summands, given, at, .. } = way;
    let rounds = stages.iter().any(|s| matches!(s, Stage::Round(_) | Stage::AddQuantized(_)));
    if !rounds && from.is_none() && given == Given::Float {
        return None;
    }
    let inputs = [x].into_iter().chain(summands).map(Some).collect();
    scope.rewrite(at, Op::Chain(Chain { from, stages, given }), inputs);
    Some(())
}
