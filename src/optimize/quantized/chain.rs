//! Elements that are quantized and dequantized on the way from one operator to the next.

use crate::graph::ops::{Binary, Chain, Given, Grid8, Stage};
use crate::graph::{Op, ValueId};

use super::super::linear::follow::activation;
use super::super::pattern::Scope;
use super::dequantized;
use super::follow::Way;

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
    match op {
        Op::Unary(op) => way.stages.push(Stage::Activate(activation(op)?)),
        Op::Binary(Binary::Add) => way.add(scope, other?)?,
        Op::Binary(Binary::Mul) => way.row(scope, other?, Stage::MulRow)?,
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

/// The value as it was dequantized.
fn source(scope: &Scope<'_>, x: ValueId) -> (ValueId, Option<Grid8>) {
    let quantized = dequantized(scope, x).and_then(|x| Some((x.q, x.grid(scope.graph)?)));
    quantized.map_or((x, None), |(q, grid)| (q, Some(grid)))
}

fn write(scope: &mut Scope<'_>, way: Way, x: ValueId, from: Option<Grid8>) -> Option<()> {
    let Way { stages, summands, given, at, .. } = way;
    // Nodes that become one, and how many of them have to do with integers.
    let integers = |stage: &Stage| match stage {
        Stage::Round(_) => 2,
        Stage::AddQuantized(_) => 1,
        _ => 0,
    };
    let among: usize = stages.iter().map(integers).sum::<usize>()
        + usize::from(from.is_some())
        + usize::from(matches!(given, Given::Quantized(_)));
    let others = stages.iter().filter(|stage| !matches!(stage, Stage::Round(_))).count();
    if among == 0 || among + others < 2 {
        return None;
    }
    let inputs = [x].into_iter().chain(summands).map(Some).collect();
    scope.rewrite(at, Op::Chain(Chain { from, stages, given }), inputs);
    Some(())
}
