//! Recurrent layers: one step a direction.

use crate::graph::dim::Dim;
use crate::graph::ops::{Cell, CellActivation, Direction, Recurrent};
use crate::graph::{Node, ValueId};
use crate::kernels::gemm::PANEL;
use crate::kernels::recurrent::layout::{GateWeights, pack_biases, padded};
use crate::runtime::KernelId;
use crate::runtime::record::{HeldIn, In, Out, SharedOut};
use crate::runtime::steps::recurrent::{
    BiasRecord, CellActivationWords, GatesRecord, RecurrentRecord, Rows,
};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::super::place::{Place, contiguous};
use super::product::is_positive;
use super::{operand, optional, optional_result};

mod quantized;

pub(super) use quantized::quantized;

fn words(activation: CellActivation) -> CellActivationWords {
    let (code, p) = match activation {
        CellActivation::Sigmoid => (0, [0.0; 2]),
        CellActivation::Tanh => (1, [0.0; 2]),
        CellActivation::Relu => (2, [0.0; 2]),
        CellActivation::Affine { alpha, beta } => (3, [alpha, beta]),
        CellActivation::LeakyRelu { alpha } => (4, [alpha, 0.0]),
        CellActivation::ThresholdedRelu { alpha } => (5, [alpha, 0.0]),
        CellActivation::ScaledTanh { alpha, beta } => (6, [alpha, beta]),
        CellActivation::HardSigmoid { alpha, beta } => (7, [alpha, beta]),
        CellActivation::Elu { alpha } => (8, [alpha, 0.0]),
        CellActivation::Softsign => (9, [0.0; 2]),
        CellActivation::Softplus => (10, [0.0; 2]),
    };
    CellActivationWords { code, p }
}

/// Rows whose input parts are computed by one product, at the least: twice a tile's, so that
/// their weights are read a few times only, and their gates stay in the cache.
const CHUNK_ROWS: usize = 24;

/// The sizes that all directions share.
struct Sizes {
    hidden: usize,
    /// Hidden units in whole groups.
    units: usize,
    gates: usize,
    input: usize,
    time: Dim,
    batch: Dim,
    directions: usize,
    /// The reset gate applies to the state before the product, so the candidate has its own.
    reset: bool,
}

/// Forms under which packed weights are remembered: by direction, then input, recurrent, and
/// candidate weights, input and state bias.
const FORMS: [[&str; 5]; 2] = [
    ["recurrent_w0", "recurrent_r0", "recurrent_c0", "recurrent_x0", "recurrent_h0"],
    ["recurrent_w1", "recurrent_r1", "recurrent_c1", "recurrent_x1", "recurrent_h1"],
];

impl Sizes {
    fn new(b: &Builder<'_>, node: &Node, op: &Recurrent, hidden: &Dim) -> Lowered<Self> {
        let shape = b.shape(operand(node, 0)?);
        let fixed =
            |d: &Dim| d.fixed().map(|n| n as usize).ok_or("the sizes of a layer are not fixed");
        let (time, batch) = if op.batch_major { (1, 0) } else { (0, 1) };
        let hidden = fixed(hidden)?;
        Ok(Self {
            hidden,
            units: padded(hidden).ok_or("the layer is too large")?,
            gates: op.cell.gates(),
            input: fixed(&shape[2])?,
            time: shape[time].clone(),
            batch: shape[batch].clone(),
            directions: op.directions(),
            reset: matches!(op.cell, Cell::Gru { linear_before_reset: false }),
        })
    }
}

/// Memory of the results that are asked for.
fn results(b: &mut Builder<'_>, node: &Node) -> [Option<u32>; 3] {
    [0, 1, 2].map(|i| optional_result(node, i).map(|v| b.write(v).0))
}

pub(super) fn recurrent(b: &mut Builder<'_>, node: &Node, op: &Recurrent) -> Lowered<()> {
    let (x, r) = (operand(node, 0)?, operand(node, 2)?);
    if b.dtype(x) != DType::F32 {
        return Err(format!("recurrent layers of {} have no kernel: use f32", b.dtype(x)));
    }
    let sizes = Sizes::new(b, node, op, &b.shape(r)[2])?;
    let results = results(b, node);
    for d in 0..sizes.directions {
        let packed = weights(b, node, &sizes, d)?;
        let record = direction(b, node, op, &sizes, d, results, packed)?;
        let kernel = match op.cell {
            Cell::Rnn => KernelId::RnnF32,
            Cell::Lstm { .. } => KernelId::LstmF32,
            Cell::Gru { linear_before_reset: true } => KernelId::GruLinearF32,
            Cell::Gru { .. } => KernelId::GruResetF32,
        };
        b.step(kernel, &record);
    }
    Ok(())
}

/// Packed weights of a direction: those of the input, of the state, and of the candidate where it
/// has its own.
struct Packed {
    w: In,
    r: In,
    r_hidden: Option<In>,
}

fn weights(b: &mut Builder<'_>, node: &Node, sizes: &Sizes, d: usize) -> Lowered<Packed> {
    let (w, r, hidden) = (operand(node, 1)?, operand(node, 2)?, sizes.hidden);
    let weights = |gates: usize, depth: usize, side_by_side: bool| GateWeights {
        gates,
        hidden,
        depth,
        side_by_side,
    };
    let of_x = weights(sizes.gates, sizes.input, false);
    let w = pack(b, w, FORMS[d][0], of_x, d * sizes.gates * hidden * sizes.input)?;
    let plain = weights(if sizes.reset { 2 } else { sizes.gates }, hidden, true);
    let first = d * sizes.gates * hidden * hidden;
    let packed = pack(b, r, FORMS[d][1], plain, first)?;
    let r_hidden = if sizes.reset {
        let first = first + plain.gates * hidden * hidden;
        Some(pack(b, r, FORMS[d][2], weights(1, hidden, true), first)?)
    } else {
        None
    };
    Ok(Packed { w, r: packed, r_hidden })
}

/// The record of a direction.
fn direction(
    b: &mut Builder<'_>,
    node: &Node,
    op: &Recurrent,
    sizes: &Sizes,
    d: usize,
    results: [Option<u32>; 3],
    Packed { w, r, r_hidden }: Packed,
) -> Lowered<RecurrentRecord> {
    let (x, hidden, units) = (operand(node, 0)?, sizes.hidden, sizes.units);
    let fixed = |n: usize| Dim::Fixed(n as i64);
    let (x_bias, h_bias) = biases(b, node, op.cell, sizes, d)?;
    let (x, x_place) = rows_of(b, x, sizes.input)?;
    let x_strides = {
        let (time, batch) = if op.batch_major { (1, 0) } else { (0, 1) };
        [x_place.strides[time].clone(), x_place.strides[batch].clone()]
    };

    let (y_strides, state_strides) = if op.batch_major {
        let y = contiguous(&[
            sizes.batch.clone(),
            sizes.time.clone(),
            fixed(sizes.directions),
            fixed(hidden),
        ]);
        let state = fixed(sizes.directions * hidden);
        ([fixed(d * hidden), y[1].clone(), y[0].clone()], [fixed(d * hidden), state])
    } else {
        let y = contiguous(&[
            sizes.time.clone(),
            fixed(sizes.directions),
            sizes.batch.clone(),
            fixed(hidden),
        ]);
        let offset = y[1].clone() * fixed(d);
        ([offset.clone(), y[0].clone(), fixed(hidden)], [offset, fixed(hidden)])
    };
    let mut place = |offset: &Dim, time: &Dim, batch: &Dim| Rows {
        offset: b.extent(offset),
        time_stride: b.extent(time),
        batch_stride: b.extent(batch),
    };
    let zero = Dim::Fixed(0);
    let x_rows = place(&x_place.offset, &x_strides[0], &x_strides[1]);
    let y_rows = place(&y_strides[0], &y_strides[1], &y_strides[2]);
    let state_rows = place(&state_strides[0], &zero, &state_strides[1]);

    let lstm = matches!(op.cell, Cell::Lstm { .. });
    let batch = b.upper(&sizes.batch);
    let held = |b: &mut Builder<'_>, i: usize| {
        optional(node, i).map(|v| b.read(v).map(|m| HeldIn(m.0))).transpose()
    };
    let (h0, c0) = (held(b, 5)?, if lstm { held(b, 6)? } else { None });
    let peephole = if lstm { optional(node, 7).map(|p| b.read(p)).transpose()? } else { None };
    let lengths = optional(node, 4).map(|l| b.read(l)).transpose()?;
    let part = match op.cell {
        Cell::Gru { linear_before_reset: true } => Some(sizes.gates * PANEL),
        Cell::Gru { .. } | Cell::Lstm { rounded: true, .. } => Some(units),
        _ => None,
    };
    let chunk = CHUNK_ROWS.div_ceil(batch.max(1)).min(b.upper(&sizes.time)).max(1);
    let states = batch.saturating_mul(units);
    let gates = states.saturating_mul(sizes.gates).saturating_mul(chunk);
    let per = op.cell.activations();
    Ok(RecurrentRecord {
        time: b.extent(&sizes.time),
        batch: b.extent(&sizes.batch),
        input: sizes.input as u32,
        hidden: hidden as u32,
        reverse: op.direction == Direction::Reverse || d == 1,
        input_forget: matches!(op.cell, Cell::Lstm { input_forget: true, .. }),
        clip: op.clip.unwrap_or(f32::INFINITY),
        activations: op.activations[d * per..][..per].iter().map(|a| words(*a)).collect(),
        x,
        x_rows,
        w,
        bias: x_bias,
        chunk: chunk as u32,
        gates: b.scratch(DType::F32, gates),
        r,
        r_hidden,
        h_bias,
        peephole,
        peephole_offset: b.extent(&fixed(d * 3 * hidden)),
        lengths,
        h0,
        c0,
        y: results[0].map(Out),
        y_rows,
        y_h: results[1].map(SharedOut),
        y_c: results[2].map(SharedOut),
        state_rows,
        h: b.scratch(DType::F32, states.saturating_mul(2)),
        c: lstm.then(|| b.scratch(DType::F32, states)),
        part: part.map(|n| b.scratch(DType::F32, batch.saturating_mul(n))),
    })
}

/// The data where they lie, if each row is contiguous, else a copy.
fn rows_of(b: &mut Builder<'_>, x: ValueId, input: usize) -> Lowered<(In, Place)> {
    let (memory, place) = b.view(x)?;
    if let [first, second, last] = &place.strides[..] {
        let forwards = [first, second].into_iter().all(|s| is_positive(b, s));
        if forwards && (last.is(1) || input <= 1) {
            return Ok((memory, place));
        }
    }
    b.read(x)?;
    b.view(x)
}

/// The weights of one direction, from element `first` of `v` on: packed now where `v` is
/// constant, else by a step.
fn pack(
    b: &mut Builder<'_>,
    v: ValueId,
    form: &'static str,
    weights: GateWeights,
    first: usize,
) -> Lowered<In> {
    let len = weights.packed_len().ok_or("the weights are too large")?;
    if let Some(data) = b.constant(v).and_then(|t| t.as_slice::<f32>()) {
        return Ok(b.packed(v, form, DType::F32, || {
            let mut packed = vec![0f32; len];
            weights.pack(&data[first..], &mut packed);
            bytemuck::cast_slice(&packed).to_vec()
        }));
    }
    let out = b.temporary(DType::F32, len);
    let record = GatesRecord {
        src: b.read(v)?,
        first: first as u32,
        gates: weights.gates as u32,
        hidden: weights.hidden as u32,
        depth: weights.depth as u32,
        side_by_side: weights.side_by_side,
        out: Out(out),
    };
    b.step(KernelId::RecurrentGates, &record);
    Ok(In(out))
}

/// Bias of the input's part and, where it cannot go with that, of the state's in the hidden gate.
fn biases(
    b: &mut Builder<'_>,
    node: &Node,
    cell: Cell,
    sizes: &Sizes,
    d: usize,
) -> Lowered<(Option<In>, Option<In>)> {
    let Some(v) = optional(node, 3) else { return Ok((None, None)) };
    let (gates, hidden, units) = (sizes.gates, sizes.hidden, sizes.units);
    let apart = matches!(cell, Cell::Gru { linear_before_reset: true });
    let columns = gates.saturating_mul(units);
    let first = d * 2 * gates * hidden;
    if let Some(data) = b.constant(v).and_then(|t| t.as_slice::<f32>()) {
        let (mut x, mut h) = (vec![0f32; columns], vec![0f32; units]);
        pack_biases(gates, hidden, &data[first..], &mut x, apart.then_some(&mut h));
        let bytes = |x: &[f32]| bytemuck::cast_slice(x).to_vec();
        let x = b.packed(v, FORMS[d][3], DType::F32, || bytes(&x));
        let h = apart.then(|| b.packed(v, FORMS[d][4], DType::F32, || bytes(&h)));
        return Ok((Some(x), h));
    }
    let x = b.temporary(DType::F32, columns);
    let h = apart.then(|| b.temporary(DType::F32, units));
    let record = BiasRecord {
        src: b.read(v)?,
        first: first as u32,
        gates: gates as u32,
        hidden: hidden as u32,
        x: Out(x),
        h: h.map(Out),
    };
    b.step(KernelId::RecurrentBias, &record);
    Ok((Some(In(x)), h.map(In)))
}

#[cfg(test)]
mod tests;
