//! Operators that give back what they got.

use crate::graph::ops::{Binary, Unary};
use crate::graph::{Graph, Op, ValueId};

use super::pattern::{Scope, each_list, orders};

/// Runs the pass.
pub(super) fn remove(graph: &mut Graph) -> usize {
    each_list(graph, &mut |scope| {
        let mut removed = 0;
        for i in 0..scope.len() {
            if let (Some(y), Some(x)) = (scope.result(i), unchanged(scope, i)) {
                removed += usize::from(scope.read_instead(y, x));
            }
        }
        removed
    })
}

/// The operand that node `i` gives back as it is.
fn unchanged(scope: &Scope<'_>, i: usize) -> Option<ValueId> {
    let y = scope.result(i)?;
    let (first, second) = (scope.operand(i, 0)?, scope.operand(i, 1));
    let x = match &scope.node(i).op {
        Op::Unary(Unary::Identity) | Op::Reshape { .. } | Op::Expand { .. } => first,
        Op::Transpose { perm } if perm.is_sorted() => first,
        Op::Binary(op @ (Binary::Add | Binary::Mul | Binary::Max | Binary::Min)) => {
            let neutral = match op {
                Binary::Add => 0.0,
                Binary::Mul => 1.0,
                Binary::Max => f64::NEG_INFINITY,
                _ => f64::INFINITY,
            };
            let pairs = orders([first, second?]);
            pairs.into_iter().find(|(_, c)| scope.number(*c) == Some(neutral))?.0
        }
        Op::Binary(Binary::Sub) if scope.number(second?) == Some(0.0) => first,
        Op::Binary(Binary::Div | Binary::Pow) if scope.number(second?) == Some(1.0) => first,
        Op::Where => {
            let condition = scope.constant(first)?.bytes();
            let (known, rest) = condition.split_first()?;
            let chosen = if *known != 0 { 1 } else { 2 };
            let same = rest.iter().all(|c| c == known);
            scope.operand(i, chosen).filter(|_| same)?
        }
        _ => return None,
    };
    scope.same_shape(x, y).then_some(x)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Formula;
    use super::*;
    use crate::graph::Tensor;

    #[test]
    fn neutral_numbers() {
        let (mut f, x) = Formula::of(&[-1, 4]);
        let a = f.plus(x, 0.0);
        let b = f.times(a, 1.0);
        let low = f.number(f32::NEG_INFINITY);
        let c = f.binary(Binary::Max, low, b);
        let condition = f.graph.add_constant("condition", Tensor::scalar(1u8));
        f.graph.value_mut(condition).dtype = crate::tensor::DType::Bool;
        let d = f.op(Op::Where, &[condition, c, a]);
        let y = f.unary(Unary::Tanh, d);
        f.output(y);
        let graph = f.becomes(remove, &["Tanh"]);
        assert_eq!(graph.nodes[0].inputs, [Some(x)]);
    }

    #[test]
    fn what_gives_another_shape_or_an_output_stays() {
        let (mut f, x) = Formula::of(&[4]);
        let one = f.graph.add_constant("one", Tensor::new(&[3, 4], &[1.0f32; 12]));
        let wide = f.mul(x, one);
        let same = f.plus(x, 0.0);
        f.output(wide);
        f.output(same);
        f.becomes(remove, &["Mul", "Add"]);
    }
}
