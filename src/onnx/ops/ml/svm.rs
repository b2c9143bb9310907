//! Support vector machines.

use crate::graph::ops::{Binary, Compare, Gemm, SvmPairs, Unary};
use crate::graph::{Op, Tensor, ValueId};

use super::super::super::call::{Call, Imported};
use super::features;
use super::scores::{self, First, Labels};

/// The kernel function of the machine.
#[derive(Clone, Copy)]
enum Kernel {
    Linear,
    Poly,
    Rbf,
    Sigmoid,
}

/// `a · b'`, scaled, with a summand.
fn products(call: &mut Call, a: ValueId, b: ValueId, alpha: f32, add: f32) -> Imported<ValueId> {
    let op = Op::Gemm(Gemm { alpha, beta: 1.0, trans_a: false, trans_b: true });
    let y = call.one(op, &[a, b])?;
    if add == 0.0 { Ok(y) } else { call.with(Binary::Add, y, add.into()) }
}

/// The kernel of each row of the data with each support vector: `[rows, vectors]`.
fn kernel(call: &mut Call, x: ValueId, vectors: ValueId) -> Imported<ValueId> {
    let kind = match call.string_or("kernel_type", "LINEAR")? {
        "LINEAR" => Kernel::Linear,
        "POLY" => Kernel::Poly,
        "RBF" => Kernel::Rbf,
        "SIGMOID" => Kernel::Sigmoid,
        other => return call.refuse("kernel_type", format!("is {other:?}, which is unknown")),
    };
    let (gamma, coef0, degree) = match call.floats("kernel_params")? {
        None | Some([]) => (0.0, 0.0, 0.0),
        Some([gamma, coef0, degree]) => (*gamma, *coef0, *degree),
        Some(other) => {
            let problem = format!("has {} numbers, expected gamma, coef0, degree", other.len());
            return call.refuse("kernel_params", problem);
        }
    };
    match kind {
        Kernel::Linear => products(call, x, vectors, 1.0, 0.0),
        Kernel::Poly => {
            let y = products(call, x, vectors, gamma, coef0)?;
            call.with(Binary::Pow, y, degree.into())
        }
        Kernel::Sigmoid => {
            let y = products(call, x, vectors, gamma, coef0)?;
            call.unary(Unary::Tanh, y)
        }
        Kernel::Rbf => {
            let squares = call.one(Op::Distances { squared: true }, &[x, vectors])?;
            let scaled = call.with(Binary::Mul, squares, f64::from(-gamma))?;
            call.unary(Unary::Exp, scaled)
        }
    }
}

/// A matrix of an attribute's numbers.
fn matrix(call: &mut Call, name: &str, rows: usize, cols: usize) -> Imported<ValueId> {
    let given = call.floats(name)?;
    let given = call.required(name, given)?;
    if rows.checked_mul(cols) != Some(given.len()) {
        let have = given.len();
        return call.refuse(name, format!("has {have} numbers for {rows} x {cols}"));
    }
    Ok(call.constant(Tensor::new(&[rows, cols], given)))
}

/// An attribute of `len` numbers, or of more, which are not read.
fn numbers<'m>(call: &Call<'_, 'm, '_>, name: &str, len: usize) -> Imported<&'m [f32]> {
    let given = call.floats(name)?;
    let given = call.required(name, given)?;
    match given.get(..len) {
        Some(numbers) => Ok(numbers),
        None => call.refuse(name, format!("has {} numbers, {len} are needed", given.len())),
    }
}

pub(in super::super) fn regressor(call: &mut Call) -> Imported {
    let (x, features) = features(call)?;
    let features = call.size(&features, "the number of features")?;
    if call.string_or("post_transform", "NONE")? != "NONE" {
        return call.refuse("post_transform", "is one that engines do not apply to this operator");
    }
    let count = call.int_or("n_supports", 0)?;
    let Ok(count) = usize::try_from(count) else {
        return call.refuse("n_supports", format!("is {count}"));
    };
    let rho = numbers(call, "rho", 1)?[0];
    let mut y = if count > 0 {
        let vectors = matrix(call, "support_vectors", count, features)?;
        let kernel = kernel(call, x, vectors)?;
        let coefficients = matrix(call, "coefficients", 1, count)?;
        products(call, kernel, coefficients, 1.0, rho)?
    } else {
        for unused in ["kernel_type", "kernel_params", "support_vectors"] {
            call.attributes.ignore(unused);
        }
        let coefficients = matrix(call, "coefficients", 1, features)?;
        products(call, x, coefficients, 1.0, rho)?
    };
    if call.flag("one_class", false)? {
        let zero = call.scalar(call.dtype_of(y), 0.0);
        let inside = call.compare(Compare::Greater, y, zero)?;
        let [one, minus] = [1.0, -1.0].map(|v| call.scalar(call.dtype_of(y), v));
        y = call.one(Op::Where, &[inside, one, minus])?;
    }
    Ok(vec![y])
}

pub(in super::super) fn classifier(call: &mut Call) -> Imported {
    let labels = Labels::read(call, "classlabels_ints", "classlabels_strings")?;
    let how = scores::transform(call)?;
    let (x, features) = features(call)?;
    let features = call.size(&features, "the number of features")?;
    let classes = labels.len();
    if classes < 2 {
        return call.fail("a machine of one class is not supported; export it as SVMRegressor");
    }
    let sizes = call.ints("vectors_per_class")?.unwrap_or_default();
    if sizes.iter().all(|n| *n == 0) {
        return linear(call, x, &labels, features, how);
    }
    let mut starts = vec![0u32];
    for n in sizes {
        let end = u32::try_from(*n).ok().and_then(|n| starts.last()?.checked_add(n));
        match end {
            Some(end) => starts.push(end),
            None => return call.refuse("vectors_per_class", format!("holds {n}")),
        }
    }
    if sizes.len() != classes {
        let problem = format!("has {} numbers for {classes} classes", sizes.len());
        return call.refuse("vectors_per_class", problem);
    }
    let count = starts[classes] as usize;
    let vectors = matrix(call, "support_vectors", count, features)?;
    let kernel = kernel(call, x, vectors)?;
    let coefficients = matrix(call, "coefficients", classes - 1, count)?;
    let op = SvmPairs { classes };
    let rho = numbers(call, "rho", op.pairs())?;
    let rho = call.constant(Tensor::vector(rho));
    let starts = call.constant(Tensor::vector(&starts));
    let operands = [kernel, coefficients, rho, starts].map(Some);
    let pairs = op.pairs();
    let results = call.emit(Op::SvmPairs(op), &operands)?;
    let &[decisions, votes] = &results[..] else { return call.fail("it has no results") };
    let top = scores::top(call, votes)?;
    let label = labels.pick(call, top)?;
    let probabilities = call.floats("prob_a")?.is_some_and(|a| !a.is_empty());
    let scores = if probabilities {
        let probabilities = of_classes(call, decisions, pairs, classes)?;
        scores::transformed(call, probabilities, how)?
    } else if classes == 2 {
        call.attributes.ignore("prob_b");
        let first = match how {
            scores::Transform::None => First::Negative,
            _ => First::Complement,
        };
        scores::both(call, decisions, first, how)?
    } else {
        call.attributes.ignore("prob_b");
        scores::transformed(call, decisions, how)?
    };
    Ok(vec![label, scores])
}

/// Probabilities of classes from decisions between each two of them.
fn of_classes(
    call: &mut Call,
    decisions: ValueId,
    pairs: usize,
    classes: usize,
) -> Imported<ValueId> {
    /// No probability is nearer to zero or one, as in LIBSVM.
    const NEAR: f32 = 1e-7;
    let [a, b] = ["prob_a", "prob_b"].map(|name| numbers(call, name, pairs));
    let [a, b] = [a?, b?].map(|numbers| call.constant(Tensor::vector(numbers)));
    let scaled = call.binary(Binary::Mul, decisions, a)?;
    let shifted = call.binary(Binary::Add, scaled, b)?;
    let opposite = call.unary(Unary::Neg, shifted)?;
    let p = call.unary(Unary::Sigmoid, opposite)?;
    let p = call.with(Binary::Max, p, NEAR.into())?;
    let p = call.with(Binary::Min, p, f64::from(1.0 - NEAR))?;
    call.one(Op::PairCoupling { classes }, &[p])
}

/// A machine without support vectors: one score a class.
fn linear(
    call: &mut Call,
    x: ValueId,
    labels: &Labels<'_>,
    features: usize,
    how: scores::Transform,
) -> Imported {
    if labels.len() == 2 {
        return call.fail(
            "a machine of two classes without support vectors is not supported, since engines \
             differ on its labels; export it as LinearClassifier",
        );
    }
    for unused in ["kernel_type", "kernel_params", "support_vectors", "prob_a", "prob_b"] {
        call.attributes.ignore(unused);
    }
    let coefficients = matrix(call, "coefficients", labels.len(), features)?;
    let rho = numbers(call, "rho", 1)?[0];
    let scores = products(call, x, coefficients, 1.0, rho)?;
    let top = scores::top(call, scores)?;
    let label = labels.pick(call, top)?;
    Ok(vec![label, scores::transformed(call, scores, how)?])
}
