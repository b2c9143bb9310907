//! Sums of products: any equation as transposes, reductions and matrix products.

use crate::graph::dim::product;
use crate::graph::ops::{Binary, Reduce, ReduceKind, SliceAxis};
use crate::graph::{Dim, Op, ValueId};

use super::super::call::{Call, Imported};

/// A letter, or an axis behind the ellipsis counted from the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

/// A value and what its axes are called.
#[derive(Clone, Debug)]
struct Term {
    value: ValueId,
    labels: Vec<Label>,
}

pub(super) fn einsum(call: &mut Call) -> Imported {
    let inputs = call.all_inputs()?;
    let equation = call.string_or("equation", "")?;
    let ranks: Vec<usize> = inputs.iter().map(|x| call.shape(*x).len()).collect();
    let (operands, output) = match parse(equation, &ranks) {
        Ok(parsed) => parsed,
        Err(problem) => return call.refuse("equation", format!("{equation:?} {problem}")),
    };
    let mut terms = Vec::with_capacity(inputs.len());
    for (value, labels) in inputs.into_iter().zip(operands) {
        terms.push(diagonal(call, Term { value, labels })?);
    }
    let mut rest = terms.into_iter();
    let Some(mut total) = rest.next() else { return call.fail("it has no inputs") };
    while let Some(next) = rest.next() {
        let later = rest.as_slice().iter().flat_map(|t| &t.labels);
        let keep: Vec<Label> = output.iter().chain(later).copied().collect();
        total = contract(call, total, next, &keep)?;
    }
    let total = sum_out(call, total, &output)?;
    let perm: Option<Vec<usize>> =
        output.iter().map(|l| total.labels.iter().position(|t| t == l)).collect();
    let Some(perm) = perm.filter(|p| p.len() == total.labels.len()) else {
        return call.refuse("equation", format!("{equation:?} has an output that no input has"));
    };
    Ok(vec![call.transpose(total.value, perm)?])
}

/// Labels of one operand or the output; the ellipsis stands for `rank` less the letters.
fn labels(term: &str, ellipsis: usize) -> Result<Vec<Label>, String> {
    let mut out = Vec::new();
    let mut rest = term;
    let mut seen = false;
    while let Some(c) = rest.chars().next() {
        if let Some(tail) = rest.strip_prefix("...") {
            if seen {
                return Err("has two ellipses in a term".into());
            }
            seen = true;
            out.extend((0..ellipsis).rev().map(Label::Ellipsis));
            rest = tail;
        } else if c.is_ascii_alphabetic() {
            out.push(Label::Letter(c));
            rest = rest.get(1..).unwrap_or_default();
        } else {
            return Err(format!("has the unexpected character {c:?}"));
        }
    }
    Ok(out)
}

type Parsed = (Vec<Vec<Label>>, Vec<Label>);

fn parse(equation: &str, ranks: &[usize]) -> Result<Parsed, String> {
    let plain: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match plain.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (plain.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != ranks.len() {
        return Err(format!("has {} terms for {} inputs", terms.len(), ranks.len()));
    }
    let mut operands = Vec::with_capacity(terms.len());
    let mut widest = 0;
    for (term, rank) in terms.iter().zip(ranks) {
        let letters = term.chars().filter(char::is_ascii_alphabetic).count();
        let hidden = rank.checked_sub(letters).filter(|n| *n == 0 || term.contains("..."));
        let hidden =
            hidden.ok_or_else(|| format!("names {letters} axes of a rank {rank} input"))?;
        widest = widest.max(hidden);
        operands.push(labels(term, hidden)?);
    }
    let output = match right {
        Some(right) => labels(right, widest)?,
        None => {
            let all: Vec<Label> = operands.iter().flatten().copied().collect();
            let mut once: Vec<Label> = all
                .iter()
                .copied()
                .filter(|l| matches!(l, Label::Letter(_)))
                .filter(|l| all.iter().filter(|m| *m == l).count() == 1)
                .collect();
            once.sort_unstable();
            (0..widest).rev().map(Label::Ellipsis).chain(once).collect()
        }
    };
    for (i, label) in output.iter().enumerate() {
        if output.iter().skip(i + 1).any(|l| l == label) {
            return Err("names an axis of the output twice".into());
        }
    }
    Ok((operands, output))
}

/// The term with each label once: a repeated one means the diagonal of its axes.
fn diagonal(call: &mut Call, mut term: Term) -> Imported<Term> {
    loop {
        let pair = term.labels.iter().enumerate().find_map(|(i, label)| {
            let j = term.labels.iter().skip(i + 1).position(|l| l == label)?;
            Some((i, i + 1 + j))
        });
        let Some((i, j)) = pair else { return Ok(term) };
        let shape = call.shape(term.value);
        let (Some(n), Some(m)) = (shape.get(i).cloned(), shape.get(j)) else {
            return call.fail("the equation names more axes than there are");
        };
        if n != *m {
            return call.fail("a diagonal needs axes of the same extent");
        }
        let mut perm: Vec<usize> = (0..shape.len()).filter(|a| *a != i && *a != j).collect();
        let axis = perm.len();
        let mut labels: Vec<Label> =
            perm.iter().filter_map(|a| term.labels.get(*a).copied()).collect();
        labels.extend(term.labels.get(i));
        let mut flat: Vec<Dim> = perm.iter().filter_map(|a| shape.get(*a).cloned()).collect();
        flat.push(n.clone() * n.clone());
        perm.extend([i, j]);
        let square = call.transpose(term.value, perm)?;
        let flat = call.reshape(square, flat)?;
        let size = call.fixed(&n, "the diagonal")?;
        let cut = SliceAxis { axis, start: Dim::Fixed(0), step: size + 1, extent: n };
        let value = call.one(Op::Slice { axes: vec![cut] }, &[flat])?;
        term = Term { value, labels };
    }
}

/// The term summed over the axes that are not in `keep`.
fn sum_out(call: &mut Call, term: Term, keep: &[Label]) -> Imported<Term> {
    let gone = |l: &Label| !keep.contains(l);
    let axes: Vec<usize> =
        term.labels.iter().enumerate().filter(|(_, l)| gone(l)).map(|(i, _)| i).collect();
    if axes.is_empty() {
        return Ok(term);
    }
    let op = Op::Reduce(Reduce { kind: ReduceKind::Sum, axes, keep_dims: false });
    let value = call.one(op, &[term.value])?;
    Ok(Term { value, labels: term.labels.into_iter().filter(|l| !gone(l)).collect() })
}

/// The term without axes of extent one that `other` has with a larger extent.
fn narrow(call: &mut Call, term: Term, other: &Term) -> Imported<Term> {
    let (shape, wide) = (call.shape(term.value), call.shape(other.value));
    let broadcast = |label: &Label, dim: &Dim| {
        let theirs = other.labels.iter().position(|l| l == label).and_then(|i| wide.get(i));
        dim.is(1) && theirs.is_some_and(|d| !d.is(1))
    };
    let (mut dims, mut labels) = (Vec::new(), Vec::new());
    for (dim, label) in shape.iter().zip(&term.labels) {
        if !broadcast(label, dim) {
            dims.push(dim.clone());
            labels.push(*label);
        }
    }
    Ok(Term { value: call.reshape(term.value, dims)?, labels })
}

/// Axes of a term in a given order, and their extents.
fn arranged(call: &mut Call, term: &Term, order: &[Label]) -> Imported<(ValueId, Vec<Dim>)> {
    let perm: Vec<usize> =
        order.iter().filter_map(|l| term.labels.iter().position(|t| t == l)).collect();
    let value = call.transpose(term.value, perm)?;
    Ok((value, call.shape(value)))
}

/// The product of two terms, summed over axes that are not in `keep`.
fn contract(call: &mut Call, a: Term, b: Term, keep: &[Label]) -> Imported<Term> {
    let (a, b) = (narrow(call, a.clone(), &b)?, narrow(call, b, &a)?);
    let wanted = |other: &Term| [keep, &other.labels].concat();
    let (keep_a, keep_b) = (wanted(&b), wanted(&a));
    let (a, b) = (sum_out(call, a, &keep_a)?, sum_out(call, b, &keep_b)?);
    let shared = |l: &&Label| b.labels.contains(l);
    let batch: Vec<Label> =
        a.labels.iter().filter(shared).filter(|l| keep.contains(l)).copied().collect();
    let inner: Vec<Label> =
        a.labels.iter().filter(shared).filter(|l| !keep.contains(l)).copied().collect();
    let left: Vec<Label> = a.labels.iter().filter(|l| !shared(l)).copied().collect();
    let right: Vec<Label> = b.labels.iter().filter(|l| !a.labels.contains(l)).copied().collect();
    let (x, rows) = arranged(call, &a, &[&batch[..], &left, &inner].concat())?;
    let (y, cols) = arranged(call, &b, &[&batch[..], &inner, &right].concat())?;
    let part = |dims: &[Dim], from: usize, len: usize| -> Vec<Dim> {
        dims.iter().skip(from).take(len).cloned().collect()
    };
    let lead = part(&rows, 0, batch.len());
    let m = part(&rows, batch.len(), left.len());
    let k = part(&rows, batch.len() + left.len(), inner.len());
    let n = part(&cols, batch.len() + inner.len(), right.len());
    if lead != part(&cols, 0, batch.len()) || k != part(&cols, batch.len(), inner.len()) {
        return call.fail("axes of one name differ in extent");
    }
    let labels = [batch, left, right].concat();
    let shape = [&lead[..], &m, &n].concat();
    let joined = |middle: [Dim; 2]| [&lead[..], &middle].concat();
    let one = Dim::Fixed(1);
    let value = if inner.is_empty() {
        let x = call.reshape(x, joined([product(&m), one.clone()]))?;
        let y = call.reshape(y, joined([one, product(&n)]))?;
        call.binary(Binary::Mul, x, y)?
    } else {
        // A table takes rows of any number of axes: what follows sees them as they are.
        let rows = match &m[..] {
            [_, _, ..] if lead.is_empty() => [&m[..], &[product(&k)]].concat(),
            _ => joined([product(&m), product(&k)]),
        };
        let x = call.reshape(x, rows)?;
        let y = call.reshape(y, joined([product(&k), product(&n)]))?;
        call.one(Op::MatMul, &[x, y])?
    };
    Ok(Term { value: call.reshape(value, shape)?, labels })
}
