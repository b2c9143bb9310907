//! Arithmetic of one value and numbers: products, polynomials, and functions shifted and scaled.

use crate::graph::ops::{Binary, Unary};
use crate::graph::{Op, ValueId};

use super::super::pattern::{Scope, orders};

/// How deep an expression is looked through.
const DEPTH: usize = 8;
/// Factors from which on no others are looked into.
const FACTORS: usize = 8;
/// Most values that are looked at for the argument of a function.
const ARGUMENTS: usize = 16;

/// A product: a number times some values over others.
#[derive(Clone, Debug)]
pub(super) struct Factors {
    pub(super) number: f64,
    pub(super) above: Vec<ValueId>,
    pub(super) below: Vec<ValueId>,
}

impl Factors {
    /// What stands above beside `leaf`.
    pub(super) fn beside(&self, leaf: ValueId) -> Option<Vec<ValueId>> {
        let mut others = self.above.clone();
        others.remove(others.iter().position(|v| *v == leaf)?);
        Some(others)
    }
}

/// `y` as a product; what `stop` holds is a factor, whatever it is made of.
pub(super) fn factors(scope: &Scope<'_>, y: ValueId, stop: &[ValueId]) -> Factors {
    let mut found = Factors { number: 1.0, above: Vec::new(), below: Vec::new() };
    gather(scope, y, false, stop, DEPTH, &mut found);
    found
}

fn gather(
    scope: &Scope<'_>,
    v: ValueId,
    inverse: bool,
    stop: &[ValueId],
    depth: usize,
    found: &mut Factors,
) {
    let factors = match scope.made(v) {
        _ if depth == 0 || stop.contains(&v) => None,
        _ if found.above.len() + found.below.len() >= FACTORS => None,
        Some(node) => match (&node.op, &node.inputs[..]) {
            (Op::Unary(Unary::Neg), [Some(a)]) => {
                found.number = -found.number;
                Some([Some((*a, inverse)), None])
            }
            (Op::Unary(Unary::Reciprocal), [Some(a)]) => Some([Some((*a, !inverse)), None]),
            (Op::Binary(op @ (Binary::Mul | Binary::Div)), [Some(a), Some(b)]) => {
                let second = if *op == Binary::Div { !inverse } else { inverse };
                let parts = [(*a, inverse), (*b, second)];
                let fits = |(u, _): &(ValueId, bool)| {
                    scope.same_shape(*u, v) || scope.number(*u).is_some()
                };
                parts.iter().all(fits).then_some(parts.map(Some))
            }
            _ => None,
        },
        None => None,
    };
    match factors {
        Some(factors) => {
            for (factor, inverse) in factors.into_iter().flatten() {
                match scope.number(factor) {
                    Some(c) if inverse => found.number /= c,
                    Some(c) => found.number *= c,
                    None => gather(scope, factor, inverse, stop, depth - 1, found),
                }
            }
        }
        None if inverse => found.below.push(v),
        None => found.above.push(v),
    }
}

/// `shift + scale * function(argument)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shifted {
    pub(super) shift: f64,
    pub(super) scale: f64,
    pub(super) function: Unary,
    pub(super) argument: ValueId,
}

/// A value as a function, shifted and scaled.
pub(super) fn shifted(scope: &Scope<'_>, v: ValueId) -> Option<Shifted> {
    let (mut at, mut shift, mut scale) = (v, 0.0, 1.0);
    for _ in 0..DEPTH {
        let node = scope.made(at)?;
        let (op, first) = (&node.op, node.inputs.first().copied()??);
        let pair = || Some([first, (*node.inputs.get(1)?)?]);
        let with_number = || {
            let (u, c) = orders(pair()?).into_iter().find(|(_, c)| scope.number(*c).is_some())?;
            Some((u, scope.number(c)?))
        };
        // v = shift + scale * at, and now at = f(next).
        let next = match op {
            Op::Unary(Unary::Neg) => {
                scale = -scale;
                first
            }
            Op::Binary(Binary::Add) => {
                let (u, c) = with_number()?;
                shift += scale * c;
                u
            }
            Op::Binary(Binary::Sub) => {
                let [a, b] = pair()?;
                match (scope.number(a), scope.number(b)) {
                    (_, Some(c)) => {
                        shift -= scale * c;
                        a
                    }
                    (Some(c), None) => {
                        shift += scale * c;
                        scale = -scale;
                        b
                    }
                    _ => return None,
                }
            }
            Op::Binary(Binary::Mul) => {
                let (u, c) = with_number()?;
                scale *= c;
                u
            }
            Op::Binary(Binary::Div) => {
                let [a, b] = pair()?;
                scale /= scope.number(b)?;
                a
            }
            Op::Unary(function) => {
                return Some(Shifted { shift, scale, function: *function, argument: first });
            }
            _ => return None,
        };
        if !scope.same_shape(next, v) {
            return None;
        }
        at = next;
    }
    None
}

/// Coefficients of a polynomial, the constant first.
pub(super) type Polynomial = [f64; 4];

fn times(a: Polynomial, b: Polynomial) -> Option<Polynomial> {
    let mut product = [0.0; 7];
    for (i, a) in a.iter().enumerate() {
        b.iter().enumerate().for_each(|(j, b)| product[i + j] += a * b);
    }
    let [c0, c1, c2, c3, beyond @ ..] = product;
    beyond.iter().all(|c| *c == 0.0).then_some([c0, c1, c2, c3])
}

/// `v` as a polynomial in `x`.
pub(super) fn polynomial(scope: &Scope<'_>, v: ValueId, x: ValueId) -> Option<Polynomial> {
    polynomial_within(scope, v, x, DEPTH)
}

fn polynomial_within(
    scope: &Scope<'_>,
    v: ValueId,
    x: ValueId,
    depth: usize,
) -> Option<Polynomial> {
    if v == x {
        return Some([0.0, 1.0, 0.0, 0.0]);
    }
    if let Some(c) = scope.number(v) {
        return Some([c, 0.0, 0.0, 0.0]);
    }
    if depth == 0 || !scope.same_shape(v, x) {
        return None;
    }
    let node = scope.made(v)?;
    let at = |i: usize| polynomial_within(scope, (*node.inputs.get(i)?)?, x, depth - 1);
    match node.op {
        Op::Unary(Unary::Neg) => Some(at(0)?.map(|c| -c)),
        Op::Binary(op) => {
            let (a, b) = (at(0)?, at(1)?);
            let number = (b[1..] == [0.0; 3]).then_some(b[0]);
            match op {
                Binary::Add => Some([0, 1, 2, 3].map(|i| a[i] + b[i])),
                Binary::Sub => Some([0, 1, 2, 3].map(|i| a[i] - b[i])),
                Binary::Mul => times(a, b),
                Binary::Div => number.map(|n| a.map(|c| c / n)),
                Binary::Pow => match number? {
                    1.0 => Some(a),
                    2.0 => times(a, a),
                    3.0 => times(times(a, a)?, a),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}

/// The values that `v` may be a polynomial in, from itself down.
pub(super) fn arguments(scope: &Scope<'_>, v: ValueId) -> Vec<ValueId> {
    let mut found = vec![v];
    let mut next = 0;
    while next < found.len() && found.len() < ARGUMENTS {
        let at = found[next];
        next += 1;
        let Some(node) = scope.made(at) else { continue };
        let arithmetic = matches!(
            node.op,
            Op::Unary(Unary::Neg)
                | Op::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Pow)
        );
        for operand in node.inputs.iter().flatten().filter(|_| arithmetic) {
            if scope.same_shape(*operand, v)
                && scope.number(*operand).is_none()
                && !found.contains(operand)
            {
                found.push(*operand);
            }
        }
    }
    found
}
