//! Recurrent layers.

use crate::graph::ops::{Cell, CellActivation, Direction, QuantizedLstm, Recurrent};
use crate::graph::{Op, ValueId};

use super::super::call::{Call, Imported};

/// Parameters of an activation as the specification sets them where none are given.
fn defaults(name: &str) -> Option<(f32, f32)> {
    Some(match name {
        "relu" | "tanh" | "sigmoid" | "softsign" | "softplus" => (0.0, 0.0),
        "affine" => (1.0, 0.0),
        "leakyrelu" => (0.01, 0.0),
        "thresholdedrelu" | "elu" => (1.0, 0.0),
        "scaledtanh" => (1.0, 1.0),
        "hardsigmoid" => (0.2, 0.5),
        _ => return None,
    })
}

fn activation(name: &str, alpha: f32, beta: f32) -> Option<CellActivation> {
    Some(match name {
        "relu" => CellActivation::Relu,
        "tanh" => CellActivation::Tanh,
        "sigmoid" => CellActivation::Sigmoid,
        "softsign" => CellActivation::Softsign,
        "softplus" => CellActivation::Softplus,
        "affine" => CellActivation::Affine { alpha, beta },
        "leakyrelu" => CellActivation::LeakyRelu { alpha },
        "thresholdedrelu" => CellActivation::ThresholdedRelu { alpha },
        "scaledtanh" => CellActivation::ScaledTanh { alpha, beta },
        "hardsigmoid" => CellActivation::HardSigmoid { alpha, beta },
        "elu" => CellActivation::Elu { alpha },
        _ => return None,
    })
}

/// The activations of all directions; the lists of parameters run on over those that take some.
fn activations(call: &Call, cell: Cell, directions: usize) -> Imported<Vec<CellActivation>> {
    let usual: &[&str] = match cell {
        Cell::Rnn => &["Tanh"],
        Cell::Lstm { .. } => &["Sigmoid", "Tanh", "Tanh"],
        Cell::Gru { .. } => &["Sigmoid", "Tanh"],
    };
    let count = cell.activations() * directions;
    let mut names = match call.strings("activations")? {
        Some(names) if !names.is_empty() => names,
        _ => usual.repeat(directions),
    };
    // The default of RNN in the schema names two, whatever the direction.
    if cell == Cell::Rnn && names == ["Tanh", "Tanh"] {
        names.truncate(directions);
    }
    if names.len() != count {
        return call.refuse("activations", format!("names {}, expected {count}", names.len()));
    }
    let mut alphas = call.floats("activation_alpha")?.unwrap_or_default().iter();
    let mut betas = call.floats("activation_beta")?.unwrap_or_default().iter();
    let mut out = Vec::with_capacity(count);
    for name in names {
        let lower = name.to_ascii_lowercase();
        let Some((alpha, beta)) = defaults(&lower) else {
            return call.refuse("activations", format!("names the unknown function {name:?}"));
        };
        let takes_alpha = alpha != 0.0;
        let takes_beta = matches!(lower.as_str(), "affine" | "scaledtanh" | "hardsigmoid");
        let alpha = if takes_alpha { alphas.next().copied().unwrap_or(alpha) } else { alpha };
        let beta = if takes_beta { betas.next().copied().unwrap_or(beta) } else { beta };
        out.extend(activation(&lower, alpha, beta));
    }
    if alphas.next().is_some() || betas.next().is_some() {
        return call.refuse("activation_alpha", "has more numbers than the activations take");
    }
    Ok(out)
}

pub(super) fn recurrent(call: &mut Call) -> Imported {
    let name = call.node.op.clone();
    recurrent_of(call, &name)
}

fn lstm(call: &mut Call, rounded: bool) -> Imported<Cell> {
    Ok(Cell::Lstm { input_forget: call.flag("input_forget", false)?, rounded })
}

/// An LSTM that rounds the state to eight bits before each product.
pub(super) fn rounded_lstm(call: &mut Call) -> Imported {
    let cell = lstm(call, true)?;
    layer(call, cell)
}

/// An LSTM on integers: its data and weights are quantized, and these are their scales and zero
/// points.
pub(super) fn quantized_lstm(call: &mut Call, grids: &[Option<ValueId>]) -> Imported {
    let cell = lstm(call, false)?;
    let (op, mut operands) = parts(call, cell, 1)?;
    operands.extend(grids);
    call.emit(Op::QuantizedLstm(QuantizedLstm(op)), &operands)
}

/// The layer of this name with the operands and attributes of the node.
pub(super) fn recurrent_of(call: &mut Call, name: &str) -> Imported {
    let cell = match name {
        "RNN" => Cell::Rnn,
        "LSTM" => lstm(call, false)?,
        _ => Cell::Gru { linear_before_reset: call.flag("linear_before_reset", false)? },
    };
    layer(call, cell)
}

fn layer(call: &mut Call, cell: Cell) -> Imported {
    let (op, operands) = parts(call, cell, 2)?;
    call.emit(Op::Recurrent(op), &operands)
}

/// The layer and its operands; `axis` of the recurrent weights is that of the states.
fn parts(call: &mut Call, cell: Cell, axis: usize) -> Imported<(Recurrent, Vec<Option<ValueId>>)> {
    let direction = match call.string_or("direction", "forward")? {
        "forward" => Direction::Forward,
        "reverse" => Direction::Reverse,
        "bidirectional" => Direction::Bidirectional,
        other => return call.refuse("direction", format!("is {other:?}")),
    };
    let directions = 1 + usize::from(direction == Direction::Bidirectional);
    let clip = call.float("clip")?.filter(|c| *c != 0.0);
    if clip.is_some_and(|c| c.is_nan() || c < 0.0) {
        return call.refuse("clip", "is no limit");
    }
    let op = Recurrent {
        cell,
        direction,
        activations: activations(call, cell, directions)?,
        clip,
        batch_major: call.flag("layout", false)?,
    };
    let (x, w, r) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let hidden = call.shape(r).get(axis).and_then(crate::graph::Dim::fixed);
    if let Some(stated) = call.int("hidden_size")?
        && hidden != Some(stated)
    {
        return call.refuse("hidden_size", format!("is {stated}, the weights say otherwise"));
    }
    let mut operands = vec![Some(x), Some(w), Some(r)];
    let last = if matches!(cell, Cell::Lstm { .. }) { 8 } else { 6 };
    operands.extend((3..last).map(|i| call.optional(i)));
    Ok((op, operands))
}
