//! Recurrent layers, one direction a step.
//!
//! A step walks through time in chunks: one product for the input's part of a chunk's gates, then
//! for each moment the state's part and the cell. So it needs memory for the gates of a chunk only,
//! and finds them in the cache.

use arrayvec::ArrayVec;

use crate::kernels::gemm::{Bias, GemmF32, PANEL, gemm_f32};
use crate::kernels::quantize::round_to_range_f32;
use crate::kernels::recurrent::layout::{GateWeights, pack_biases, padded};
use crate::kernels::recurrent::{
    GruStep, LstmCells, LstmStep, RecurrentActivation, RnnStep, Sweep, gru_reset_state_f32,
    gru_step_f32, lstm_step_f32, rnn_step_f32,
};
use crate::kernels::{Activation, Simd};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{HeldIn, In, Out, SharedOut};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::DType;

pub(crate) mod quantized;
mod records;

pub(crate) use quantized::LSTM_I8;
pub(crate) use records::{CellActivationWords, RecurrentRecord, Rows};

/// What a cell works on in one step of time: some rows of a batch.
struct Moment<'a> {
    rows: usize,
    gates: &'a mut [f32],
    sweep: Sweep,
    before: &'a [f32],
    h: &'a mut [f32],
    c: &'a mut [f32],
    part: &'a mut [f32],
}

/// The parts of a record that do not change with time.
struct Layer<'a> {
    hidden: usize,
    r: &'a [f32],
    r_hidden: Option<&'a [f32]>,
    h_bias: Option<&'a [f32]>,
    peephole: Option<&'a [f32]>,
    clip: f32,
    input_forget: bool,
    activations: ArrayVec<RecurrentActivation, 3>,
    /// Those are sigmoid and then only tanh.
    usual: bool,
}

impl<'a> Layer<'a> {
    /// That of a record, but for the recurrent weights.
    #[inline(always)]
    fn new(record: &RecurrentRecord, operands: &Operands<'a>) -> Self {
        let activations: ArrayVec<_, 3> =
            record.activations.iter().map(CellActivationWords::activation).collect();
        let usual = activations.split_first().is_some_and(|(first, rest)| {
            *first == RecurrentActivation::Sigmoid
                && rest.iter().all(|a| *a == RecurrentActivation::Tanh)
        });
        let read = |of: &Option<In>| of.as_ref().map(|of| operands.read(In(of.0)));
        Self {
            hidden: record.hidden as usize,
            r: &[],
            r_hidden: read(&record.r_hidden),
            h_bias: read(&record.h_bias),
            peephole: read(&record.peephole)
                .map(|p: &[f32]| &p[operands.extent(record.peephole_offset)..]),
            clip: record.clip,
            input_forget: record.input_forget,
            activations,
            usual,
        }
    }
}

trait Cell {
    const GATES: usize;
    fn step<S: Simd>(&mut self, s: S, layer: &Layer<'_>, moment: Moment<'_>);
}

/// The product of the input with its weights.
trait Input {
    /// Writes `[moments, rows, columns]` from moment `t` and row `first` of the batch on.
    fn product<S: Simd>(&mut self, s: S, at: [usize; 2], rows: [usize; 2], gates: &mut [f32]);
}

struct Rnn;

impl Cell for Rnn {
    const GATES: usize = 1;

    #[inline(always)]
    fn step<S: Simd>(&mut self, s: S, layer: &Layer<'_>, m: Moment<'_>) {
        let step = RnnStep {
            rows: m.rows,
            hidden: layer.hidden,
            gates_row_stride: m.gates.len() / m.rows,
            gates: m.gates,
            r: layer.r,
            sweep: m.sweep,
            clip: layer.clip,
            activation: layer.activations[0],
            before: m.before,
            h: m.h,
        };
        rnn_step_f32(s, step);
    }
}

struct Lstm;

impl Cell for Lstm {
    const GATES: usize = 4;

    #[inline(always)]
    fn step<S: Simd>(&mut self, s: S, layer: &Layer<'_>, m: Moment<'_>) {
        let before = if m.part.is_empty() {
            m.before
        } else {
            // The range is that of the states, without what fills up the last group.
            let (n, units) = (layer.hidden, m.before.len() / m.rows);
            let rounded = &mut m.part[..m.before.len()];
            for (row, from) in m.before.chunks_exact(units).enumerate() {
                m.h[row * n..][..n].copy_from_slice(&from[..n]);
            }
            round_to_range_f32(s, &m.h[..m.rows * n], &mut rounded[..m.rows * n]);
            for row in (0..m.rows).rev() {
                rounded.copy_within(row * n..(row + 1) * n, row * units);
            }
            rounded
        };
        let a = &layer.activations;
        let cells = LstmCells {
            rows: m.rows,
            hidden: layer.hidden,
            gates_row_stride: m.gates.len() / m.rows,
            gates: m.gates,
            peephole: layer.peephole,
            clip: layer.clip,
            input_forget: layer.input_forget,
            activations: (!layer.usual).then(|| [a[0], a[1], a[2]]),
            c: m.c,
            h: m.h,
        };
        let step = LstmStep { cells, r: layer.r, sweep: m.sweep, before };
        lstm_step_f32(s, step);
    }
}

/// A GRU: the reset gate applies to the product with the recurrent weights, or with `RESET_STATE`
/// to the hidden state.
struct Gru<const RESET_STATE: bool>;

impl<const RESET_STATE: bool> Cell for Gru<RESET_STATE> {
    const GATES: usize = 3;

    #[inline(always)]
    fn step<S: Simd>(&mut self, s: S, layer: &Layer<'_>, m: Moment<'_>) {
        let step = GruStep {
            rows: m.rows,
            hidden: layer.hidden,
            gates_row_stride: m.gates.len() / m.rows,
            gates: m.gates,
            r: layer.r,
            h_bias: layer.h_bias,
            sweep: m.sweep,
            clip: layer.clip,
            activations: (!layer.usual).then(|| [layer.activations[0], layer.activations[1]]),
            before: m.before,
            h: m.h,
            part: m.part,
        };
        if RESET_STATE {
            gru_reset_state_f32(s, step, layer.r_hidden.unwrap_or(&[]));
        } else {
            gru_step_f32(s, step);
        }
    }
}

/// The input's part of the gates.
struct InputPart<'a> {
    x: &'a [f32],
    /// Of the first row, in time and in the batch.
    rows: [usize; 3],
    input: usize,
    w: &'a [f32],
    bias: Option<&'a [f32]>,
    columns: usize,
}

impl Input for InputPart<'_> {
    #[inline(always)]
    fn product<S: Simd>(
        &mut self,
        s: S,
        [t, moments]: [usize; 2],
        [first, rows]: [usize; 2],
        gates: &mut [f32],
    ) {
        let [offset, far, wide] = self.rows;
        let at = offset + t * far + first * wide;
        // As few products as the order of the rows allows.
        let (products, m, stride) = if rows == 1 {
            (1, moments, far)
        } else if far == rows * wide || moments == 1 {
            (1, moments * rows, wide)
        } else {
            (rows, moments, far)
        };
        for row in 0..products {
            let gemm = GemmF32 {
                m,
                n: self.columns,
                k: self.input,
                a_row_stride: stride,
                a: &self.x[(at + row * wide).min(self.x.len())..],
                b: self.w,
                b_k_stride: PANEL,
                b_panel_stride: PANEL * self.input,
                bias: self.bias.map_or(Bias::None, Bias::PerCol),
                activation: Activation::None,
                accumulate: false,
                c: &mut gates[row * self.columns..],
                c_row_stride: products * self.columns,
            };
            gemm_f32(s, gemm);
        }
    }
}

/// Where rows begin, and how far apart they are in time and in the batch.
fn place(rows: &Rows, operands: &Operands<'_>) -> [usize; 3] {
    [
        operands.extent(rows.offset),
        operands.extent(rows.time_stride),
        operands.extent(rows.batch_stride),
    ]
}

/// Walks through time with weights of f32.
#[inline(always)]
fn walk<S: Simd, C: Cell>(step: Step<'_>, mut cell: C) {
    let (record, operands) = step.decode::<RecurrentRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let layer = Layer { r: operands.read(In(record.r.0)), ..Layer::new(&record, &operands) };
    let mut input = InputPart {
        x: operands.read(In(record.x.0)),
        rows: place(&record.x_rows, &operands),
        input: record.input as usize,
        w: operands.read(In(record.w.0)),
        bias: record.bias.as_ref().map(|b| operands.read(In(b.0))),
        columns: C::GATES * layer.hidden.div_ceil(PANEL) * PANEL,
    };
    through_time(s, record, &operands, &layer, &mut input, &mut cell);
}

/// Walks through time.
#[inline(always)]
fn through_time<S: Simd, C: Cell>(
    s: S,
    record: RecurrentRecord,
    operands: &Operands<'_>,
    layer: &Layer<'_>,
    input: &mut impl Input,
    cell: &mut C,
) {
    let (time, batch, hidden) =
        (operands.extent(record.time), operands.extent(record.batch), layer.hidden);
    if batch == 0 || hidden == 0 {
        return;
    }
    let units = hidden.div_ceil(PANEL) * PANEL;
    let columns = C::GATES * units;
    let gates = operands.scratch::<f32>(record.gates);
    let (mut before, mut h) = operands.scratch::<f32>(record.h).split_at_mut(batch * units);
    let c: &mut [f32] = record.c.map_or(&mut [], |c| operands.scratch::<f32>(c));
    let part: &mut [f32] = record.part.map_or(&mut [], |p| operands.scratch::<f32>(p));
    let (state, y_at) = (place(&record.state_rows, operands), place(&record.y_rows, operands));
    let has_c = !c.is_empty();
    load(operands, record.h0, before, [batch, hidden, units], state);
    if has_c {
        load(operands, record.c0, c, [batch, hidden, units], state);
    }
    let mut y = record.y.map(|y| operands.write::<f32>(y));
    let lengths = record.lengths.map(|l| operands.read::<i32>(l));
    let length = |row: usize| lengths.map_or(time, |l| (l[row].max(0) as usize).min(time));
    let mut sweep = Sweep::To;
    let mut first = 0;
    while first < batch {
        // Rows of one length run together.
        let len = length(first);
        let rows = (first..batch).take_while(|row| length(*row) == len).count();
        let range = first * units..(first + rows) * units;
        let mut done = 0;
        while done < len {
            let moments = (record.chunk as usize).min(len - done);
            let t = if record.reverse { len - done - moments } else { done };
            input.product(s, [t, moments], [first, rows], gates);
            for i in 0..moments {
                let i = if record.reverse { moments - 1 - i } else { i };
                let moment = Moment {
                    rows,
                    gates: &mut gates[i * rows * columns..][..rows * columns],
                    sweep,
                    before: &before[range.clone()],
                    h: &mut h[range.clone()],
                    c: if has_c { &mut c[range.clone()] } else { &mut [] },
                    part: &mut *part,
                };
                cell.step(s, layer, moment);
                sweep = sweep.back();
                core::mem::swap(&mut before, &mut h);
                let Some(y) = y.as_deref_mut() else { continue };
                for row in first..first + rows {
                    let at = y_at[0] + (t + i) * y_at[1] + row * y_at[2];
                    y[at..at + hidden].copy_from_slice(&before[row * units..][..hidden]);
                }
            }
            done += moments;
        }
        if let Some(y) = y.as_deref_mut() {
            for row in first..first + rows {
                for t in len..time {
                    let at = y_at[0] + t * y_at[1] + row * y_at[2];
                    y[at..at + hidden].fill(0.0);
                }
            }
        }
        // Rows of another length may have taken fewer turns.
        if len % 2 == 1 {
            h[range.clone()].copy_from_slice(&before[range]);
            core::mem::swap(&mut before, &mut h);
        }
        first += rows;
    }
    store(operands, record.y_h, before, [batch, hidden, units], state);
    if has_c {
        store(operands, record.y_c, c, [batch, hidden, units], state);
    }
}

fn load(
    operands: &Operands<'_>,
    from: Option<HeldIn>,
    to: &mut [f32],
    [batch, hidden, units]: [usize; 3],
    [offset, _, stride]: [usize; 3],
) {
    to[..batch * units].fill(0.0);
    let Some(from) = from else { return };
    let cells = operands.held::<f32>(from);
    for (row, to) in to.chunks_exact_mut(units).take(batch).enumerate() {
        for (to, cell) in to[..hidden].iter_mut().zip(&cells[offset + row * stride..]) {
            *to = cell.get();
        }
    }
}

fn store(
    operands: &Operands<'_>,
    to: Option<SharedOut>,
    from: &[f32],
    [batch, hidden, units]: [usize; 3],
    [offset, _, stride]: [usize; 3],
) {
    let Some(to) = to else { return };
    let cells = operands.cells_out::<f32>(to);
    for (row, from) in from.chunks_exact(units).take(batch).enumerate() {
        for (from, cell) in from[..hidden].iter().zip(&cells[offset + row * stride..]) {
            cell.set(*from);
        }
    }
}

crate::record! {
    /// Biases of the input's and the state's part that are not constant.
    pub(crate) struct BiasRecord {
        pub(crate) src: In,
        pub(crate) first: u32,
        pub(crate) gates: u32,
        pub(crate) hidden: u32,
        pub(crate) x: Out,
        pub(crate) h: Option<Out>,
    }
}

impl BiasRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (gates, hidden) = (self.gates as usize, self.hidden as usize);
        let units = padded(hidden)?;
        let needed = count(&[2, gates, hidden])?.checked_add(self.first as usize)?;
        require(gates > 0)?;
        reach.holds::<f32>(&self.src, needed)?;
        reach.holds::<f32>(&self.x, count(&[gates, units])?)?;
        reach.may_hold(&self.h, DType::F32, units)
    }
}

fn bias(step: Step<'_>) {
    let (record, operands) = step.decode::<BiasRecord>();
    let src = &operands.read::<f32>(record.src)[record.first as usize..];
    let x = operands.write::<f32>(record.x);
    let h = record.h.map(|h| operands.write::<f32>(h));
    pack_biases(record.gates as usize, record.hidden as usize, src, x, h);
}

pub(crate) static RECURRENT_BIAS: Kernel = kernel!(RecurrentBias, BiasRecord::fits, bias);

crate::record! {
    /// Weights that are not constant.
    pub(crate) struct GatesRecord {
        pub(crate) src: In,
        pub(crate) first: u32,
        pub(crate) gates: u32,
        pub(crate) hidden: u32,
        pub(crate) depth: u32,
        pub(crate) side_by_side: bool,
        pub(crate) out: Out,
    }
}

impl GatesRecord {
    fn weights(&self) -> GateWeights {
        GateWeights {
            gates: self.gates as usize,
            hidden: self.hidden as usize,
            depth: self.depth as usize,
            side_by_side: self.side_by_side,
        }
    }

    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let weights = self.weights();
        let len = count(&[weights.gates, weights.hidden, weights.depth])?;
        // In any order of its factors.
        count(&[weights.gates, padded(weights.hidden)?, weights.depth])?;
        reach.holds::<f32>(&self.src, len.checked_add(self.first as usize)?)?;
        reach.holds::<f32>(&self.out, weights.packed_len()?)
    }
}

fn gates(step: Step<'_>) {
    let (record, operands) = step.decode::<GatesRecord>();
    let weights = record.weights();
    let src = &operands.read::<f32>(record.src)[record.first as usize..];
    weights.pack(src, operands.write(record.out));
}

pub(crate) static RECURRENT_GATES: Kernel = kernel!(RecurrentGates, GatesRecord::fits, gates);

fn rnn<S: Simd>(step: Step<'_>) {
    walk::<S, _>(step, Rnn);
}

fn lstm<S: Simd>(step: Step<'_>) {
    walk::<S, _>(step, Lstm);
}

fn gru_linear<S: Simd>(step: Step<'_>) {
    walk::<S, _>(step, Gru::<false>);
}

fn gru_reset<S: Simd>(step: Step<'_>) {
    walk::<S, _>(step, Gru::<true>);
}

pub(crate) static RNN_F32: Kernel = kernel!(RnnF32, RecurrentRecord::fits_rnn, simd rnn);
pub(crate) static LSTM_F32: Kernel = kernel!(LstmF32, RecurrentRecord::fits_lstm, simd lstm);
pub(crate) static GRU_LINEAR_F32: Kernel =
    kernel!(GruLinearF32, RecurrentRecord::fits_gru_linear, simd gru_linear);
pub(crate) static GRU_RESET_F32: Kernel =
    kernel!(GruResetF32, RecurrentRecord::fits_gru_reset, simd gru_reset);
