//! One step of an optimiser (ai.onnx.preview.training): arithmetic like any other.

use crate::graph::ops::{Binary, Compare, Unary};
use crate::graph::{Op, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

/// The tensors that are optimised: for each its value, its gradient and `N - 2` running sums.
fn tensors<const N: usize>(call: &Call) -> Imported<Vec<[ValueId; N]>> {
    let all = call.all_inputs()?;
    let tensors = all.get(2..).unwrap_or_default();
    if tensors.is_empty() || !tensors.len().is_multiple_of(N) {
        return call.fail(format!("{} tensors are not groups of {N}", tensors.len()));
    }
    let count = tensors.len() / N;
    let group = |i: usize| std::array::from_fn(|part| tensors[part * count + i]);
    Ok((0..count).map(group).collect())
}

/// The results of each tensor, first results first.
fn interleaved<const N: usize>(results: &[[ValueId; N]]) -> Vec<ValueId> {
    (0..N).flat_map(|part| results.iter().map(move |r| r[part])).collect()
}

/// The gradient with that of `norm_coefficient / 2 * x * x`.
fn regularized(call: &mut Call, x: ValueId, gradient: ValueId) -> Imported<ValueId> {
    let norm = f64::from(call.float_or("norm_coefficient", 0.0)?);
    let pull = call.with(Binary::Mul, x, norm)?;
    call.binary(Binary::Add, pull, gradient)
}

/// `keep * old + take * new`.
fn blend(call: &mut Call, old: ValueId, keep: f64, new: ValueId, take: f64) -> Imported<ValueId> {
    let (old, new) = (call.with(Binary::Mul, old, keep)?, call.with(Binary::Mul, new, take)?);
    call.binary(Binary::Add, old, new)
}

/// The learning rate as a scalar of some type.
fn rate(call: &mut Call, dtype: DType) -> Imported<ValueId> {
    let rate = call.input(0)?;
    let rate = call.reshape(rate, Vec::new())?;
    call.cast(rate, dtype)
}

/// The update count as a scalar of some type, and whether it is positive.
fn count(call: &mut Call, dtype: DType) -> Imported<(ValueId, ValueId)> {
    let count = call.input(1)?;
    let count = call.reshape(count, Vec::new())?;
    let zero = call.scalar(call.dtype_of(count), 0.0);
    let positive = call.compare(Compare::Greater, count, zero)?;
    Ok((call.cast(count, dtype)?, positive))
}

pub(super) fn adagrad(call: &mut Call) -> Imported {
    let epsilon = f64::from(call.float_or("epsilon", 1e-6)?);
    let decay = f64::from(call.float_or("decay_factor", 0.0)?);
    let mut results = Vec::new();
    for [x, gradient, squares] in tensors(call)? {
        let dtype = call.dtype_of(x);
        let (rate, (count, _)) = (rate(call, dtype)?, count(call, dtype)?);
        let slower = call.with(Binary::Mul, count, decay)?;
        let slower = call.with(Binary::Add, slower, 1.0)?;
        let rate = call.binary(Binary::Div, rate, slower)?;
        let gradient = regularized(call, x, gradient)?;
        let square = call.binary(Binary::Mul, gradient, gradient)?;
        let squares = call.binary(Binary::Add, squares, square)?;
        let root = call.unary(Unary::Sqrt, squares)?;
        let root = call.with(Binary::Add, root, epsilon)?;
        let step = call.binary(Binary::Mul, rate, gradient)?;
        let step = call.binary(Binary::Div, step, root)?;
        results.push([call.binary(Binary::Sub, x, step)?, squares]);
    }
    Ok(interleaved(&results))
}

pub(super) fn adam(call: &mut Call) -> Imported {
    let alpha = f64::from(call.float_or("alpha", 0.9)?);
    let beta = f64::from(call.float_or("beta", 0.999)?);
    let epsilon = f64::from(call.float_or("epsilon", 1e-6)?);
    let after = f64::from(call.float_or("norm_coefficient_post", 0.0)?);
    let mut results = Vec::new();
    for [x, gradient, mean, squares] in tensors(call)? {
        let dtype = call.dtype_of(x);
        let (rate, (count, positive)) = (rate(call, dtype)?, count(call, dtype)?);
        let gradient = regularized(call, x, gradient)?;
        let mean = blend(call, mean, alpha, gradient, 1.0 - alpha)?;
        let square = call.binary(Binary::Mul, gradient, gradient)?;
        let squares = blend(call, squares, beta, square, 1.0 - beta)?;
        let root = call.unary(Unary::Sqrt, squares)?;
        let root = call.with(Binary::Add, root, epsilon)?;
        // How far the running means have come from their start at zero.
        let mut missing = |base: f64| {
            let (base, one) = (call.scalar(dtype, base), call.scalar(dtype, 1.0));
            let power = call.binary(Binary::Pow, base, count)?;
            call.binary(Binary::Sub, one, power)
        };
        let (of_mean, of_squares) = (missing(alpha)?, missing(beta)?);
        let of_squares = call.unary(Unary::Sqrt, of_squares)?;
        let adjusted = call.binary(Binary::Mul, rate, of_squares)?;
        let adjusted = call.binary(Binary::Div, adjusted, of_mean)?;
        let rate = call.one(Op::Where, &[positive, adjusted, rate])?;
        let step = call.binary(Binary::Mul, rate, mean)?;
        let step = call.binary(Binary::Div, step, root)?;
        let x = call.binary(Binary::Sub, x, step)?;
        results.push([call.with(Binary::Mul, x, 1.0 - after)?, mean, squares]);
    }
    Ok(interleaved(&results))
}

pub(super) fn momentum(call: &mut Call) -> Imported {
    let parameter = |name| -> Imported<f64> {
        let value = call.float(name)?;
        call.required(name, value).map(f64::from)
    };
    let (alpha, beta) = (parameter("alpha")?, parameter("beta")?);
    let nesterov = match call.string_or("mode", "")? {
        "nesterov" => true,
        "standard" => false,
        other => return call.refuse("mode", format!("is {other:?}, not nesterov or standard")),
    };
    let mut results = Vec::new();
    for [x, gradient, velocity] in tensors(call)? {
        let dtype = call.dtype_of(x);
        let (rate, (_, positive)) = (rate(call, dtype)?, count(call, dtype)?);
        let gradient = regularized(call, x, gradient)?;
        let (later, first) = (call.scalar(dtype, beta), call.scalar(dtype, 1.0));
        let beta = call.one(Op::Where, &[positive, later, first])?;
        let kept = call.with(Binary::Mul, velocity, alpha)?;
        let added = call.binary(Binary::Mul, beta, gradient)?;
        let velocity = call.binary(Binary::Add, kept, added)?;
        let direction = if nesterov {
            let ahead = call.with(Binary::Mul, velocity, alpha)?;
            call.binary(Binary::Add, gradient, ahead)?
        } else {
            velocity
        };
        let step = call.binary(Binary::Mul, rate, direction)?;
        results.push([call.binary(Binary::Sub, x, step)?, velocity]);
    }
    Ok(interleaved(&results))
}
