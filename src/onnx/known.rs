//! Tensors of integers whose elements are known as dimensions.
//!
//! Exporters compute shapes with ordinary nodes (`Shape`, `Gather`, `Mul`, `Concat`), and on the
//! way cast them to floats and back. Here such small tensors are followed element by element, so
//! that a shape stays an expression of the model's open dimensions. Floats are followed as long as
//! they are whole and exact, and no zero may have a sign. What cannot be decided is unknown, never
//! guessed.

use crate::graph::ops::{Binary, Compare, Logic, Reduce, ReduceKind, Unary};
use crate::graph::{Dim, Fact, Op, Tensor, Variable};
use crate::tensor::DType;

/// Tensors with more elements are not followed.
const MAX_LEN: usize = 1024;
/// Numbers beyond it are no extents; leaving them out keeps the arithmetic exact.
const MAX_VALUE: i64 = 1 << 40;
/// Expressions of a greater weight are not followed.
const MAX_WEIGHT: usize = 64;

/// An operand: its shape and elements.
struct Known<'a> {
    shape: Vec<usize>,
    elements: &'a [Dim],
}

fn fixed(shape: &[Dim]) -> Option<Vec<usize>> {
    shape.iter().map(|d| d.fixed().and_then(|n| usize::try_from(n).ok())).collect()
}

/// The elements of a small constant of integers, booleans or whole floats.
pub(super) fn of_constant(tensor: &Tensor) -> Option<Vec<Dim>> {
    if tensor.len() > MAX_LEN {
        return None;
    }
    if !tensor.dtype().is_float() {
        return Some(tensor.to_i64s()?.into_iter().map(Dim::Fixed).collect());
    }
    let largest = range_of(tensor.dtype())?.1 as f64;
    let whole = |x: f64| {
        let signed_zero = x == 0.0 && x.is_sign_negative();
        let exact = x.fract() == 0.0 && x.abs() <= largest && !signed_zero;
        exact.then_some(Dim::Fixed(x as i64))
    };
    tensor.to_f64s().into_iter().map(whole).collect()
}

/// The constant with these elements, when all of them are numbers.
pub(super) fn to_constant(dtype: DType, shape: &[usize], elements: &[Dim]) -> Option<Tensor> {
    let numbers: Vec<i64> = elements.iter().map(Dim::fixed).collect::<Option<_>>()?;
    if shape.iter().product::<usize>() != numbers.len() {
        return None;
    }
    match dtype {
        DType::F32 => {
            let floats: Vec<f32> = numbers.iter().map(|n| *n as f32).collect();
            return Some(Tensor::new(shape, &floats));
        }
        DType::F64 => {
            let floats: Vec<f64> = numbers.iter().map(|n| *n as f64).collect();
            return Some(Tensor::new(shape, &floats));
        }
        _ => {}
    }
    let mut bytes = Vec::with_capacity(numbers.len() * dtype.bytes());
    for n in numbers {
        bytes.extend_from_slice(n.to_le_bytes().get(..dtype.bytes())?);
    }
    (!dtype.is_float()).then(|| Tensor::from_bytes(dtype, shape, &bytes))
}

/// The integers that an element type holds; of floats, those between which every integer is one.
fn range_of(dtype: DType) -> Option<(i64, i64)> {
    Some(match dtype {
        DType::Bool => (0, 1),
        DType::U8 => (0, 255),
        DType::I8 => (-128, 127),
        DType::U16 => (0, 65_535),
        DType::I16 => (-32_768, 32_767),
        DType::U32 => (0, (1 << 32) - 1),
        DType::I32 => (-(1 << 31), (1 << 31) - 1),
        DType::I64 => (i64::MIN, i64::MAX),
        DType::U64 => (0, i64::MAX),
        float => {
            let digits = mantissa(float)?;
            (-(1 << digits), 1 << digits)
        }
    })
}

fn mantissa(float: DType) -> Option<u32> {
    match float {
        DType::F32 => Some(f32::MANTISSA_DIGITS),
        DType::F64 => Some(f64::MANTISSA_DIGITS),
        _ => None,
    }
}

/// The elements of the operator's only result, where operands `inputs` are known.
pub(super) fn evaluate(
    op: &Op,
    inputs: &[Option<Vec<Dim>>],
    facts: &[Option<Fact>],
    result: &Fact,
    variables: &[Variable],
) -> Option<Vec<Dim>> {
    let out_shape = fixed(&result.shape)?;
    let len = out_shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b))?;
    let range = range_of(result.dtype)?;
    if len > MAX_LEN {
        return None;
    }
    let mut operands = Vec::with_capacity(inputs.len());
    for (elements, fact) in inputs.iter().zip(facts) {
        let (elements, fact) = (elements.as_ref()?, fact.as_ref()?);
        operands.push(Known { shape: fixed(&fact.shape)?, elements });
    }
    let moved = moves(op, &operands, &out_shape);
    let (elements, computed) = match moved {
        Some(elements) => (elements, false),
        None => {
            let is_float = facts.iter().flatten().any(|fact| fact.dtype.is_float());
            if is_float && !is_exact(op, &operands, variables) {
                return None;
            }
            (computes(op, &operands, &out_shape, variables)?, true)
        }
    };
    let decided = elements.iter().all(|d| {
        let (low, high) = d.bounds(variables);
        let exact = !computed || (low >= -MAX_VALUE && high <= MAX_VALUE);
        exact && low >= range.0 && high <= range.1 && d.weight() <= MAX_WEIGHT
    });
    (decided && elements.len() == len).then_some(elements)
}

/// Operators that copy elements.
fn moves(op: &Op, operands: &[Known<'_>], out_shape: &[usize]) -> Option<Vec<Dim>> {
    let x = operands.first()?;
    let len: usize = out_shape.iter().product();
    match op {
        Op::Unary(Unary::Identity | Unary::Floor | Unary::Ceil | Unary::Round)
        | Op::Reshape { .. } => Some(x.elements.to_vec()),
        Op::Cast { to } if *to != DType::Bool => Some(x.elements.to_vec()),
        Op::Expand { .. } | Op::Fill { .. } => spread(x, out_shape),
        Op::Tile { .. } => (0..len)
            .map(|flat| {
                let at: Vec<usize> = coordinates(flat, out_shape)
                    .zip(&x.shape)
                    .map(|(i, n)| i % n.max(&1))
                    .collect();
                x.elements.get(offset(&at, &x.shape)).cloned()
            })
            .collect(),
        Op::Gather { axis } => gather(x, operands.get(1)?, *axis),
        Op::Slice { axes } => (0..len)
            .map(|flat| {
                let mut at: Vec<i64> = coordinates(flat, out_shape).map(|i| i as i64).collect();
                for cut in axes {
                    let i = at.get_mut(cut.axis)?;
                    *i = cut.start.fixed()?.checked_add(i.checked_mul(cut.step)?)?;
                }
                let at: Vec<usize> =
                    at.into_iter().map(|i| usize::try_from(i).ok()).collect::<Option<_>>()?;
                x.elements.get(offset(&at, &x.shape)).cloned()
            })
            .collect(),
        Op::Concat { axis } => {
            let inner = |k: &Known<'_>| k.shape.iter().skip(*axis).product::<usize>();
            let outer: usize = x.shape.iter().take(*axis).product();
            let mut out = Vec::with_capacity(len);
            for i in 0..outer {
                for k in operands {
                    out.extend_from_slice(k.elements.get(i * inner(k)..(i + 1) * inner(k))?);
                }
            }
            Some(out)
        }
        _ => None,
    }
}

/// Whether an operator on whole floats does what it does on integers: no quotient is broken, no
/// sum is out of range on the way to one that is in it, no zero gets a sign.
fn is_exact(op: &Op, operands: &[Known<'_>], variables: &[Variable]) -> bool {
    let all = |test: &dyn Fn(i64, i64) -> bool| {
        let mut elements = operands.iter().flat_map(|k| k.elements);
        elements.all(|d| {
            let (low, high) = d.bounds(variables);
            test(low, high)
        })
    };
    match op {
        Op::Unary(Unary::Neg) => all(&|low, high| low > 0 || high < 0),
        Op::Binary(Binary::Mul) | Op::Reduce(_) => all(&|low, _| low >= 0),
        Op::Binary(Binary::Div) => match operands {
            [a, b] if a.elements.len() == 1 || b.elements.len() == 1 => {
                let mut pairs =
                    a.elements.iter().flat_map(|a| b.elements.iter().map(move |b| (a, b)));
                pairs.all(|(a, b)| {
                    let countable = a.bounds(variables).0 >= 0 && b.bounds(variables).0 > 0;
                    countable && a.exact_div(b).is_some()
                })
            }
            _ => false,
        },
        _ => true,
    }
}

/// Operators that calculate.
fn computes(
    op: &Op,
    operands: &[Known<'_>],
    out_shape: &[usize],
    variables: &[Variable],
) -> Option<Vec<Dim>> {
    let small = |d: &Dim| {
        let (low, high) = d.bounds(variables);
        low >= -MAX_VALUE && high <= MAX_VALUE
    };
    if !operands.iter().all(|k| k.elements.iter().all(small)) {
        return None;
    }
    let x = operands.first()?;
    let both = |f: &dyn Fn(&Dim, &Dim) -> Option<Dim>| -> Option<Vec<Dim>> {
        let (a, b) = (spread(x, out_shape)?, spread(operands.get(1)?, out_shape)?);
        a.iter().zip(&b).map(|(a, b)| f(a, b)).collect()
    };
    let truth = |known: Option<bool>| known.map(|t| Dim::Fixed(i64::from(t)));
    match op {
        Op::Cast { .. } => {
            x.elements.iter().map(|d| truth(differ(d, &Dim::Fixed(0), variables))).collect()
        }
        Op::Unary(Unary::Neg) => Some(x.elements.iter().map(|d| -d.clone()).collect()),
        Op::Unary(Unary::Abs) => {
            let zero = Dim::Fixed(0);
            Some(
                x.elements
                    .iter()
                    .map(|d| d.max(&zero, variables) - d.min(&zero, variables))
                    .collect(),
            )
        }
        Op::Unary(Unary::Not) => {
            x.elements.iter().map(|d| Some(Dim::Fixed(1 - d.fixed()?))).collect()
        }
        Op::Binary(op) => both(&|a, b| binary(*op, a, b, variables)),
        Op::Compare(op) => both(&|a, b| truth(compare(*op, a, b, variables))),
        Op::Logic(op) => both(&|a, b| {
            let (a, b) = (a.fixed()? != 0, b.fixed()? != 0);
            truth(Some(match op {
                Logic::And => a && b,
                Logic::Or => a || b,
                Logic::Xor => a != b,
            }))
        }),
        Op::Where => {
            let picked = [0, 1, 2].map(|i| spread(operands.get(i)?, out_shape));
            let [Some(c), Some(a), Some(b)] = picked else { return None };
            let each = c.iter().zip(a.iter().zip(&b));
            each.map(|(c, (a, b))| {
                if a == b {
                    return Some(a.clone());
                }
                Some(if c.fixed()? != 0 { a.clone() } else { b.clone() })
            })
            .collect()
        }
        Op::Range { .. } => {
            let (start, step) = (x.elements.first()?, operands.get(1)?.elements.first()?);
            let len = i64::try_from(*out_shape.first()?).ok()?;
            Some((0..len).map(|i| start.clone() + step.clone() * Dim::Fixed(i)).collect())
        }
        Op::Reduce(op) => reduce(op, x, variables),
        _ => None,
    }
}

fn binary(op: Binary, a: &Dim, b: &Dim, variables: &[Variable]) -> Option<Dim> {
    let countable = || a.bounds(variables).0 >= 0 && b.bounds(variables).0 > 0;
    Some(match op {
        Binary::Add => a.clone() + b.clone(),
        Binary::Sub => a.clone() - b.clone(),
        Binary::Mul => a.clone() * b.clone(),
        Binary::Min => a.min(b, variables),
        Binary::Max => a.max(b, variables),
        Binary::Div => match (a.fixed(), b.fixed()) {
            (Some(a), Some(b)) => Dim::Fixed(a.checked_div(b)?),
            _ if countable() => a.floor_div(b),
            _ => return None,
        },
        Binary::Mod | Binary::Fmod if countable() => a.clone() - b.clone() * a.floor_div(b),
        _ => return None,
    })
}

/// Whether the two differ for every extent (`Some(true)`) or never do.
fn differ(a: &Dim, b: &Dim, variables: &[Variable]) -> Option<bool> {
    let (low, high) = (a.clone() - b.clone()).bounds(variables);
    match (low, high) {
        (0, 0) => Some(false),
        _ if low > 0 || high < 0 => Some(true),
        _ => None,
    }
}

fn compare(op: Compare, a: &Dim, b: &Dim, variables: &[Variable]) -> Option<bool> {
    let (low, high) = (a.clone() - b.clone()).bounds(variables);
    let decide = |yes: bool, no: bool| if yes { Some(true) } else { no.then_some(false) };
    match op {
        Compare::Equal => differ(a, b, variables).map(|d| !d),
        Compare::Less => decide(high < 0, low >= 0),
        Compare::LessOrEqual => decide(high <= 0, low > 0),
        Compare::Greater => decide(low > 0, high <= 0),
        Compare::GreaterOrEqual => decide(low >= 0, high < 0),
    }
}

/// A reduction of a vector.
fn reduce(op: &Reduce, x: &Known<'_>, variables: &[Variable]) -> Option<Vec<Dim>> {
    if x.shape.len() != 1 || op.axes != [0] {
        return None;
    }
    let mut elements = x.elements.iter().cloned();
    let total = match op.kind {
        ReduceKind::Sum => elements.fold(Dim::Fixed(0), |a, b| a + b),
        ReduceKind::Prod => elements.try_fold(Dim::Fixed(1), |a, b| {
            let next = a * b;
            (next.weight() <= MAX_WEIGHT && next.bounds(variables).1 <= MAX_VALUE).then_some(next)
        })?,
        ReduceKind::Min => elements.reduce(|a, b| Dim::min(&a, &b, variables))?,
        ReduceKind::Max => elements.reduce(|a, b| Dim::max(&a, &b, variables))?,
        _ => return None,
    };
    Some(vec![total])
}

fn coordinates(flat: usize, shape: &[usize]) -> impl Iterator<Item = usize> {
    let mut rest: usize = shape.iter().product();
    let mut left = flat;
    shape.iter().map(move |n| {
        rest /= (*n).max(1);
        let i = left / rest.max(1);
        left %= rest.max(1);
        i
    })
}

fn offset(at: &[usize], shape: &[usize]) -> usize {
    at.iter().zip(shape).fold(0, |sum, (i, n)| sum * n + i)
}

/// The elements broadcast to a shape.
fn spread(x: &Known<'_>, out_shape: &[usize]) -> Option<Vec<Dim>> {
    let skip = out_shape.len().checked_sub(x.shape.len())?;
    (0..out_shape.iter().product())
        .map(|flat| {
            let at: Vec<usize> = coordinates(flat, out_shape)
                .skip(skip)
                .zip(&x.shape)
                .map(|(i, n)| if *n == 1 { 0 } else { i })
                .collect();
            x.elements.get(offset(&at, &x.shape)).cloned()
        })
        .collect()
}

fn gather(x: &Known<'_>, indices: &Known<'_>, axis: usize) -> Option<Vec<Dim>> {
    let n = *x.shape.get(axis)?;
    let outer: usize = x.shape.iter().take(axis).product();
    let inner: usize = x.shape.iter().skip(axis + 1).product();
    let mut out = Vec::new();
    for i in 0..outer {
        for index in indices.elements {
            let index = index.fixed()?;
            let index = usize::try_from(if index < 0 { index + n as i64 } else { index }).ok()?;
            if index >= n {
                return None;
            }
            let start = (i * n + index) * inner;
            out.extend_from_slice(x.elements.get(start..start + inner)?);
        }
    }
    Some(out)
}
