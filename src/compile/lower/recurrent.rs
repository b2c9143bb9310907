//! Recurrent layers: one product for the input over all of time, then one step a direction.

use crate::graph::dim::{Dim, product};
use crate::graph::ops::{Cell, CellActivation, Direction, Recurrent};
use crate::graph::{Node, ValueId};
use crate::kernels::Activation;
use crate::kernels::pack::{pack_panels_f32, packed_len};
use crate::runtime::KernelId;
use crate::runtime::record::{HeldIn, In, Out, Scratch, SharedOut};
use crate::runtime::steps::product::{ActivationWords, LinearRecord, MatrixRows, PackRecord};
use crate::runtime::steps::recurrent::{CellActivationWords, RecurrentRecord, Rows};
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::super::place::contiguous;
use super::{operand, optional, optional_result};

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

/// The sizes that all directions share.
struct Sizes {
    hidden: usize,
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

pub(super) fn recurrent(b: &mut Builder<'_>, node: &Node, op: &Recurrent) -> Lowered<()> {
    let (x, r) = (operand(node, 0)?, operand(node, 2)?);
    if b.dtype(x) != DType::F32 {
        return Err(format!("recurrent layers of {} have no kernel: use f32", b.dtype(x)));
    }
    let shape = b.shape(x);
    let fixed = |d: &Dim| d.fixed().map(|n| n as usize).ok_or("the sizes of a layer are not fixed");
    let (time, batch) = if op.batch_major { (1, 0) } else { (0, 1) };
    let sizes = Sizes {
        hidden: fixed(&b.shape(r)[2])?,
        gates: op.cell.gates(),
        input: fixed(&shape[2])?,
        time: shape[time].clone(),
        batch: shape[batch].clone(),
        directions: op.directions(),
        reset: matches!(op.cell, Cell::Gru { linear_before_reset: false }),
    };
    let memory = |b: &mut Builder<'_>, i: usize| optional_result(node, i).map(|v| b.write(v).0);
    let results = [memory(b, 0), memory(b, 1), memory(b, 2)];
    for d in 0..sizes.directions {
        direction(b, node, op, &sizes, d, results)?;
    }
    Ok(())
}

fn direction(
    b: &mut Builder<'_>,
    node: &Node,
    op: &Recurrent,
    sizes: &Sizes,
    d: usize,
    results: [Option<u32>; 3],
) -> Lowered<()> {
    let (x, w, r) = (operand(node, 0)?, operand(node, 1)?, operand(node, 2)?);
    let (hidden, columns) = (sizes.hidden, sizes.gates * sizes.hidden);
    let fixed = |n: usize| Dim::Fixed(n as i64);

    let (x_bias, h_bias) = biases(b, node, op.cell, sizes, d)?;
    let w_panels = panels(b, w, FORMS[d][0], (sizes.input, columns), d * columns * sizes.input)?;
    let plain = if sizes.reset { 2 * hidden } else { columns };
    let r_first = d * columns * hidden;
    let r_panels = panels(b, r, FORMS[d][1], (hidden, plain), r_first)?;
    let r_candidate = if sizes.reset {
        let first = r_first + plain * hidden;
        Some(panels(b, r, FORMS[d][2], (hidden, hidden), first)?)
    } else {
        None
    };

    let rows = product([&sizes.time, &sizes.batch]);
    let len = b.max_len(std::slice::from_ref(&rows)).saturating_mul(columns);
    let gates = b.temporary(DType::F32, len);
    let record = LinearRecord {
        x: MatrixRows {
            memory: b.read(x)?,
            offset: b.extent(&Dim::Fixed(0)),
            stride: b.extent(&fixed(sizes.input)),
        },
        rows: b.extent(&rows),
        k: sizes.input as u32,
        n: columns as u32,
        w: w_panels,
        bias: x_bias,
        residual: None,
        accumulate: false,
        activation: ActivationWords::new(Activation::None),
        y: Out(gates),
    };
    b.step(KernelId::LinearF32, &record);

    // Distance of rows in time and batch, of `width` elements each, in [time, batch] or
    // [batch, time] with `between` rows between the two axes.
    let gates_strides = {
        let inner = if op.batch_major { &sizes.time } else { &sizes.batch };
        let outer = inner.clone() * fixed(columns);
        if op.batch_major { [fixed(columns), outer] } else { [outer, fixed(columns)] }
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
    let gates_rows = place(&zero, &gates_strides[0], &gates_strides[1]);
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
        Cell::Gru { linear_before_reset: true } => Some(columns),
        Cell::Gru { .. } | Cell::Lstm { rounded: true, .. } => Some(hidden),
        _ => None,
    };
    let per = op.cell.activations();
    let record = RecurrentRecord {
        time: b.extent(&sizes.time),
        batch: b.extent(&sizes.batch),
        hidden: hidden as u32,
        reverse: op.direction == Direction::Reverse || d == 1,
        input_forget: matches!(op.cell, Cell::Lstm { input_forget: true, .. }),
        clip: op.clip.unwrap_or(f32::INFINITY),
        activations: op.activations[d * per..][..per].iter().map(|a| words(*a)).collect(),
        gates: Scratch(gates),
        gates_rows,
        r: r_panels,
        r_candidate,
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
        h: b.scratch(DType::F32, batch * hidden),
        c: lstm.then(|| b.scratch(DType::F32, batch * hidden)),
        part: part.map(|n| b.scratch(DType::F32, batch * n)),
    };
    let kernel = match op.cell {
        Cell::Rnn => KernelId::RnnF32,
        Cell::Lstm { .. } => KernelId::LstmF32,
        Cell::Gru { linear_before_reset: true } => KernelId::GruLinearF32,
        Cell::Gru { .. } => KernelId::GruResetF32,
    };
    b.step(kernel, &record);
    Ok(())
}

/// The transpose of `columns` rows of `k` elements, from element `first` of `v` on, in panels:
/// packed now where `v` is constant, else by a step.
fn panels(
    b: &mut Builder<'_>,
    v: ValueId,
    form: &'static str,
    (k, columns): (usize, usize),
    first: usize,
) -> Lowered<In> {
    let len = packed_len(k, columns).ok_or("the weights are too large")?;
    if let Some(data) = b.constant(v).and_then(|t| t.as_slice::<f32>()) {
        return Ok(b.packed(v, form, DType::F32, || {
            let mut packed = vec![0f32; len];
            pack_panels_f32(&data[first..], k, columns, 1, k, &mut packed);
            bytemuck::cast_slice(&packed).to_vec()
        }));
    }
    let src = b.read(v)?;
    let out = b.temporary(DType::F32, len);
    let record = PackRecord {
        src,
        offset: b.extent(&Dim::Fixed(first as i64)),
        k: k as u32,
        n: columns as u32,
        row_stride: 1,
        col_stride: k as u32,
        out: Out(out),
    };
    b.step(KernelId::PackF32, &record);
    Ok(In(out))
}

/// Bias of the input's part and, where it cannot go with that, of the state's.
fn biases(
    b: &mut Builder<'_>,
    node: &Node,
    cell: Cell,
    sizes: &Sizes,
    d: usize,
) -> Lowered<(Option<In>, Option<In>)> {
    let Some(v) = optional(node, 3) else { return Ok((None, None)) };
    let (hidden, columns) = (sizes.hidden, sizes.gates * sizes.hidden);
    let apart = matches!(cell, Cell::Gru { linear_before_reset: true });
    let shared = if apart { 2 * hidden } else { columns };
    let first = d * 2 * columns;
    if let Some(data) = b.constant(v).and_then(|t| t.as_slice::<f32>()) {
        let (of_x, of_h) = data[first..first + 2 * columns].split_at(columns);
        let bytes = |x: Vec<f32>| bytemuck::cast_slice(&x).to_vec();
        let x = b.packed(v, FORMS[d][3], DType::F32, || {
            let sum = |i: usize| if i < shared { of_x[i] + of_h[i] } else { of_x[i] };
            bytes((0..columns).map(sum).collect())
        });
        let h = apart.then(|| {
            b.packed(v, FORMS[d][4], DType::F32, || {
                let rest = |i: usize| if i < shared { 0.0 } else { of_h[i] };
                bytes((0..columns).map(rest).collect())
            })
        });
        return Ok((Some(x), h));
    }
    let src = b.read(v)?.0;
    let x = b.temporary(DType::F32, columns);
    let h = apart.then(|| b.temporary(DType::F32, columns));
    let record = crate::runtime::steps::recurrent::BiasRecord {
        src: In(src),
        first: first as u32,
        columns: columns as u32,
        shared: shared as u32,
        x: Out(x),
        h: h.map(Out),
    };
    b.step(KernelId::RecurrentBias, &record);
    Ok((Some(In(x)), h.map(In)))
}

#[cfg(test)]
mod tests;
