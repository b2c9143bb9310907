//! Functions of one element, and softmax, from the operators that exporters write for them.
//!
//! A pattern begins at the last node of a formula. What multiplies, divides, shifts and scales is
//! read as a product or a polynomial, so that the order in which a model does it is of no
//! consequence; what is left are the functions themselves.

mod expression;
mod softmax;

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use crate::graph::ops::{Binary, Compare, Unary};
use crate::graph::{Graph, Op, ValueId};

use super::pattern::{Scope, each_list, near, orders};
use expression::{Polynomial, Shifted, arguments, factors, polynomial, shifted};

/// Most functions in a product that are looked at.
const FUNCTIONS: usize = 4;

/// Runs the pass.
pub(super) fn fuse(graph: &mut Graph) -> usize {
    each_list(graph, &mut |scope| {
        let mut fused = 0;
        for i in 0..scope.len() {
            // A limit may be one of a function that has limits itself.
            while fuse_at(scope, i) {
                fused += 1;
            }
        }
        fused
    })
}

/// Makes node `i` compute the function that it is the last step of.
fn fuse_at(scope: &mut Scope<'_>, i: usize) -> bool {
    let Some(y) = scope.result(i).filter(|y| scope.is_f32(*y)) else { return false };
    let found = match &scope.node(i).op {
        Op::Binary(Binary::Mul | Binary::Div) => {
            softmax::quotient(scope, y).or_else(|| product(scope, y))
        }
        Op::Unary(Unary::Reciprocal) => product(scope, y),
        Op::Binary(Binary::Add) => sum(scope, y),
        Op::Binary(Binary::Sub) => softmax::difference(scope, y).or_else(|| sum(scope, y)),
        Op::Binary(Binary::Min | Binary::Max) => limit(scope, y),
        Op::Unary(Unary::Log) => softplus(scope, y),
        Op::Unary(Unary::Clip { .. }) => hard_sigmoid(scope, y),
        Op::Where => choice(scope, i, y),
        _ => None,
    };
    let Some((op, x)) = found.filter(|(_, x)| scope.same_shape(*x, y)) else { return false };
    // A limit by a number has one step before and after; anything else must save some.
    let simple = matches!(op, Op::Unary(Unary::Relu | Unary::Clip { .. }));
    if !simple && scope.freed_by(i, &[x]) == 0 {
        return false;
    }
    scope.rewrite(i, op, vec![Some(x)]);
    true
}

type Found = Option<(Op, ValueId)>;

/// Whether a polynomial is `scale * x`.
fn scaled(p: Polynomial) -> Option<f64> {
    (p[0] == 0.0 && p[2..] == [0.0; 2]).then_some(p[1])
}

/// Whether a polynomial is `x` itself.
fn is_identity(p: Polynomial) -> bool {
    p == [0.0, 1.0, 0.0, 0.0]
}

/// A function times its argument, or a function scaled.
fn product(scope: &Scope<'_>, y: ValueId) -> Found {
    let whole = factors(scope, y, &[]);
    let mut leaves = [whole.above, whole.below].concat();
    leaves.dedup();
    let functions = leaves.iter().filter_map(|leaf| Some((leaf, shifted(scope, *leaf)?)));
    for (leaf, inner) in functions.take(FUNCTIONS) {
        // The deepest first: what shifts and scales belongs to a function that can.
        for x in candidates(scope, inner).into_iter().rev() {
            let found = factors(scope, y, &[x, *leaf]);
            let op = match &found.below[..] {
                [] => {
                    let beside = found.beside(*leaf);
                    let scale = found.number;
                    match beside.as_deref() {
                        Some([only]) if *only == x => gated(scope, scale, inner, x),
                        Some([]) => alone(scope, scale, inner, x),
                        _ => None,
                    }
                }
                [below] if below == leaf => quotient(scope, found.number, inner, x, &found.above),
                _ => None,
            };
            if let Some(op) = op {
                return Some((Op::Unary(op), x));
            }
        }
    }
    None
}

/// What a function may be a function of.
fn candidates(scope: &Scope<'_>, inner: Shifted) -> Vec<ValueId> {
    // The hyperbolic tangent of Mish looks at a function.
    let argument = match inner.function {
        Unary::Tanh => scope.unary(inner.argument, Unary::Softplus),
        _ => None,
    };
    arguments(scope, argument.unwrap_or(inner.argument))
}

/// `scale * x * inner`.
fn gated(scope: &Scope<'_>, scale: f64, inner: Shifted, x: ValueId) -> Option<Unary> {
    let (shift, scale) = (scale * inner.shift, scale * inner.scale);
    if inner.function == Unary::Tanh && scope.unary(inner.argument, Unary::Softplus) == Some(x) {
        return (shift == 0.0 && near(scale, 1.0)).then_some(Unary::Mish);
    }
    let p = polynomial(scope, inner.argument, x)?;
    match inner.function {
        Unary::Sigmoid if shift == 0.0 && near(scale, 1.0) => match scaled(p)? {
            1.0 => Some(Unary::Silu),
            alpha => Some(Unary::Swish { alpha: alpha as f32 }),
        },
        Unary::Erf => {
            let of = scaled(p)?;
            let halves = near(shift, 0.5) && near(scale * of.signum(), 0.5);
            (halves && near(of.abs(), FRAC_1_SQRT_2)).then_some(Unary::Gelu)
        }
        Unary::Tanh if near(shift, 0.5) && near(scale, 0.5) => {
            let linear = (2.0 / PI).sqrt();
            let even = p[0] == 0.0 && p[2] == 0.0;
            let cubic = near(p[1], linear) && near(p[3], 0.044715 * linear);
            (even && cubic).then_some(Unary::GeluTanh)
        }
        Unary::Clip { min: 0.0, max } if shift == 0.0 => {
            let steps = near(scale * max, 1.0) && p[2..] == [0.0; 2];
            let sixth = near(scale * p[1], 1.0 / 6.0) && near(scale * p[0], 0.5);
            (steps && sixth).then_some(Unary::HardSwish)
        }
        Unary::HardSigmoid { alpha, beta } if shift == 0.0 && near(scale, 1.0) => {
            let sixth = near(alpha.into(), 1.0 / 6.0) && beta == 0.5;
            (sixth && is_identity(p)).then_some(Unary::HardSwish)
        }
        _ => None,
    }
}

/// `scale * inner`.
fn alone(scope: &Scope<'_>, scale: f64, inner: Shifted, x: ValueId) -> Option<Unary> {
    let (shift, scale) = (scale * inner.shift, scale * inner.scale);
    let p = polynomial(scope, inner.argument, x)?;
    match inner.function {
        Unary::Clip { min: 0.0, max }
            if shift == 0.0 && scale > 0.0 && near(scale * max, 1.0) && p[2..] == [0.0; 2] =>
        {
            let (alpha, beta) = ((scale * p[1]) as f32, (scale * p[0]) as f32);
            Some(Unary::HardSigmoid { alpha, beta })
        }
        Unary::Tanh if near(shift, 0.5) && near(scale, 0.5) && scaled(p) == Some(0.5) => {
            Some(Unary::Sigmoid)
        }
        Unary::Elu { alpha } if shift == 0.0 && is_identity(p) => {
            Some(Unary::Selu { alpha, gamma: scale as f32 })
        }
        _ => None,
    }
}

/// `number * above / inner`.
fn quotient(
    scope: &Scope<'_>,
    number: f64,
    inner: Shifted,
    x: ValueId,
    above: &[ValueId],
) -> Option<Unary> {
    // One over a scaled sum is a number over the sum.
    let (shift, scale) = (inner.shift / number, inner.scale / number);
    if !near(shift, 1.0) || !near(scale, 1.0) {
        return None;
    }
    let slope = scaled(polynomial(scope, inner.argument, x)?)?;
    match (inner.function, above) {
        (Unary::Exp, []) if slope == -1.0 => Some(Unary::Sigmoid),
        (Unary::Exp, [only]) if *only == x => match -slope {
            1.0 => Some(Unary::Silu),
            alpha => Some(Unary::Swish { alpha: alpha as f32 }),
        },
        (Unary::Abs, [only]) if *only == x && slope.abs() == 1.0 => Some(Unary::Softsign),
        _ => None,
    }
}

/// Sigmoid by the hyperbolic tangent; what is one function above zero and another below.
fn sum(scope: &Scope<'_>, y: ValueId) -> Found {
    if let Some(inner) = shifted(scope, y)
        && inner.function == Unary::Tanh
        && near(inner.shift, 0.5)
        && near(inner.scale, 0.5)
    {
        let half = |x: &ValueId| {
            polynomial(scope, inner.argument, *x).and_then(scaled).is_some_and(|k| k == 0.5)
        };
        let x = arguments(scope, inner.argument).into_iter().find(half)?;
        return Some((Op::Unary(Unary::Sigmoid), x));
    }
    let pair = scope.binary(y, Binary::Add)?;
    orders(pair).into_iter().find_map(|(above, below)| {
        let x = scope.unary(above, Unary::Relu)?;
        if let Some(Shifted {
            shift: 0.0,
            scale: 1.0,
            function: Unary::Clip { min, max },
            argument,
        }) = shifted(scope, below)
            && min == f64::NEG_INFINITY
            && max == 0.0
        {
            let function = exponential(scope, argument, &[x])?;
            return Some((Op::Unary(function), x));
        }
        // Below zero, the exponential of x; above, nothing.
        let low = below_zero(scope, below, x);
        if let Some(function) = low.and_then(|low| exponential(scope, below, &[low])) {
            return Some((Op::Unary(function), x));
        }
        // ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|).
        let far = scope.unary(below, Unary::Softplus)?;
        let size = scope.unary(scope.unary(far, Unary::Neg)?, Unary::Abs)?;
        (size == x).then_some((Op::Unary(Unary::Softplus), x))
    })
}

/// `v` as `alpha * (e^x - 1)`, or with `e^(x / alpha)`, where `x` is one of `arguments`.
fn exponential(scope: &Scope<'_>, v: ValueId, of: &[ValueId]) -> Option<Unary> {
    let inner = shifted(scope, v)?;
    let alpha = inner.scale;
    if inner.function != Unary::Exp || !near(inner.shift, -alpha) || alpha <= 0.0 {
        return None;
    }
    let mut slopes = of.iter().filter_map(|x| scaled(polynomial(scope, inner.argument, *x)?));
    match slopes.next()? {
        1.0 => Some(Unary::Elu { alpha: alpha as f32 }),
        slope if near(slope, 1.0 / alpha) => Some(Unary::Celu { alpha: alpha as f32 }),
        _ => None,
    }
}

/// Limits that are numbers.
fn limit(scope: &Scope<'_>, y: ValueId) -> Found {
    let (op, pair) = match scope.binary(y, Binary::Min) {
        Some(pair) => (Binary::Min, pair),
        None => (Binary::Max, scope.binary(y, Binary::Max)?),
    };
    orders(pair).into_iter().find_map(|(x, other)| {
        if !scope.same_shape(x, y) {
            return None;
        }
        let Some(bound) = scope.number(other) else {
            // max(x, a x) with a from 0 to 1.
            let slope = scaled(polynomial(scope, other, x)?)?;
            let leaks = op == Binary::Max && (0.0..=1.0).contains(&slope);
            return leaks.then(|| (Op::Unary(Unary::LeakyRelu { alpha: slope as f32 }), x));
        };
        if bound.is_nan() {
            return None;
        }
        let (low, high) = match op {
            Binary::Max => (bound, f64::INFINITY),
            _ => (f64::NEG_INFINITY, bound),
        };
        let inner = scope.made(x).map(|node| (&node.op, node.inputs[0]));
        Some(match inner {
            // The limit that comes last holds where they cross.
            Some((Op::Unary(Unary::Clip { min, max }), Some(x))) if *min <= high && low <= *max => {
                let (min, max) = (min.max(low), max.min(high));
                (Op::Unary(Unary::Clip { min, max }), x)
            }
            Some((Op::Unary(Unary::Relu), Some(x))) if op == Binary::Min && high >= 0.0 => {
                (Op::Unary(Unary::Clip { min: 0.0, max: high }), x)
            }
            _ if op == Binary::Max && bound == 0.0 => (Op::Unary(Unary::Relu), x),
            _ => (Op::Unary(Unary::Clip { min: low, max: high }), x),
        })
    })
}

/// `ln(1 + e^x)`.
fn softplus(scope: &Scope<'_>, y: ValueId) -> Found {
    let inner = shifted(scope, scope.unary(y, Unary::Log)?)?;
    let suits = inner.function == Unary::Exp && inner.shift == 1.0 && inner.scale == 1.0;
    suits.then_some((Op::Unary(Unary::Softplus), inner.argument))
}

/// `min(max(alpha x + beta, 0), 1)`.
fn hard_sigmoid(scope: &Scope<'_>, y: ValueId) -> Found {
    let v = scope.unary(y, Unary::Clip { min: 0.0, max: 1.0 })?;
    let deepest = arguments(scope, v).into_iter().skip(1).rev();
    let linear = |x| Some((x, polynomial(scope, v, x).filter(|p| p[2..] == [0.0; 2])?));
    let (x, p) = deepest.filter_map(linear).next()?;
    let (alpha, beta) = (p[1] as f32, p[0] as f32);
    Some((Op::Unary(Unary::HardSigmoid { alpha, beta }), x))
}

/// What is one function of `x` above a number and another below.
fn choice(scope: &Scope<'_>, i: usize, y: ValueId) -> Found {
    let (condition, above, below) =
        (scope.operand(i, 0)?, scope.operand(i, 1)?, scope.operand(i, 2)?);
    // NaN is told apart by functions that keep it.
    if scope.unary(below, Unary::Softplus) == Some(above) && is_nan(scope, condition, above) {
        return Some((Op::Unary(Unary::Softplus), above));
    }
    let (x, bound, turned) = threshold(scope, condition)?;
    let (above, below) = if turned { (below, above) } else { (above, below) };
    if above != x || !scope.same_shape(x, y) {
        return None;
    }
    if scope.unary(below, Unary::Softplus) == Some(x) {
        // The difference is e^-x: nothing, from here on.
        return (bound >= 16.0).then_some((Op::Unary(Unary::Softplus), x));
    }
    if bound != 0.0 {
        return None;
    }
    if scope.number(below) == Some(0.0) {
        // Relu keeps NaN: it is not below zero, nor above.
        let strict = Unary::ThresholdedRelu { alpha: 0.0 };
        return Some((Op::Unary(if turned { Unary::Relu } else { strict }), x));
    }
    if let Some(alpha) = polynomial(scope, below, x).and_then(scaled) {
        return Some((Op::Unary(Unary::LeakyRelu { alpha: alpha as f32 }), x));
    }
    let mut arguments = vec![x];
    arguments.extend(below_zero(scope, below, x));
    Some((Op::Unary(exponential(scope, below, &arguments)?), x))
}

/// Whether a condition asks for what is not equal to itself.
fn is_nan(scope: &Scope<'_>, condition: ValueId, x: ValueId) -> bool {
    let equal = scope.unary(condition, Unary::Not).and_then(|v| scope.made(v));
    scope.unary(condition, Unary::IsNan) == Some(x)
        || equal.is_some_and(|node| {
            node.op == Op::Compare(Compare::Equal) && node.inputs[..] == [Some(x), Some(x)]
        })
}

/// `x` where it is below zero, in the argument of an exponential: models keep it from overflowing.
fn below_zero(scope: &Scope<'_>, v: ValueId, x: ValueId) -> Option<ValueId> {
    let inner = shifted(scope, v).filter(|inner| inner.function == Unary::Exp)?;
    arguments(scope, inner.argument).into_iter().find(|safe| {
        let Some(node) = scope.made(*safe) else { return false };
        match (&node.op, &node.inputs[..]) {
            (Op::Unary(Unary::Clip { min, max }), [Some(v)]) => {
                *v == x && *min == f64::NEG_INFINITY && *max == 0.0
            }
            (Op::Where, [Some(condition), Some(a), Some(b)]) => {
                let Some((v, bound, turned)) = threshold(scope, *condition) else { return false };
                let (above, below) = if turned { (*b, *a) } else { (*a, *b) };
                v == x && bound == 0.0 && scope.number(above) == Some(0.0) && below == x
            }
            _ => false,
        }
    })
}

/// A condition as `x > bound` or `x >= bound`; or, turned, as `x < bound` or `x <= bound`.
fn threshold(scope: &Scope<'_>, condition: ValueId) -> Option<(ValueId, f64, bool)> {
    let node = scope.made(condition)?;
    let Op::Compare(relation) = node.op else { return None };
    let (a, b) = (node.inputs[0]?, node.inputs[1]?);
    let turned = match relation {
        Compare::Greater | Compare::GreaterOrEqual => false,
        Compare::Less | Compare::LessOrEqual => true,
        Compare::Equal => return None,
    };
    match (scope.number(a), scope.number(b)) {
        (None, Some(bound)) => Some((a, bound, turned)),
        (Some(bound), None) => Some((b, bound, !turned)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
