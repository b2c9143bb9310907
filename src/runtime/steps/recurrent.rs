//! Recurrent layers, one direction a step.
//!
//! The input's part of the gates has been computed for all of time by one product; a step walks
//! through time, adds the hidden state's part and applies the cell.

use arrayvec::ArrayVec;

use crate::kernels::gemm::{Bias, GemmF32, PANEL, gemm_f32};
use crate::kernels::pack::packed_len;
use crate::kernels::quantize::round_to_range_f32;
use crate::kernels::recurrent::{
    GruCell, GruHalf, LstmCell, RecurrentActivation, gru_cell_f32, gru_reset_f32, gru_update_f32,
    lstm_cell_f32,
};
use crate::kernels::{Activation, Simd};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, HeldIn, In, Operand, Out, Scratch, SharedOut};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::DType;

crate::record! {
    /// Rows of a state or result: where the first begins, and how far apart they are.
    pub(crate) struct Rows {
        pub(crate) offset: Extent,
        pub(crate) time_stride: Extent,
        pub(crate) batch_stride: Extent,
    }
}

impl Rows {
    /// Whether rows of `width` numbers, where they are given, lie within.
    fn fit(
        &self,
        reach: &Reach<'_>,
        operand: &Option<impl Operand>,
        [time, batch, width]: [usize; 3],
    ) -> Option<()> {
        let Some(operand) = operand else { return Some(()) };
        let len = reach.len::<f32>(operand)?;
        let (far, wide) = (reach.stride(self.time_stride)?, reach.stride(self.batch_stride)?);
        require(reach.signed(self.offset)? >= 0)?;
        let axes = [(time, far), (batch, wide), (width, 1)];
        reach.within(len, self.offset, (&[], &[]), &axes)
    }
}

crate::record! {
    /// An activation and its parameters; the numbers are pinned.
    pub(crate) struct CellActivationWords {
        pub(crate) code: u32,
        pub(crate) p: [f32; 2],
    }
}

impl CellActivationWords {
    fn activation(&self) -> RecurrentActivation {
        let [a, b] = self.p;
        match self.code {
            0 => RecurrentActivation::Sigmoid,
            2 => RecurrentActivation::Relu,
            3 => RecurrentActivation::Affine(a, b),
            4 => RecurrentActivation::LeakyRelu(a),
            5 => RecurrentActivation::ThresholdedRelu(a),
            6 => RecurrentActivation::ScaledTanh(a, b),
            7 => RecurrentActivation::HardSigmoid(a, b),
            8 => RecurrentActivation::Elu(a),
            9 => RecurrentActivation::Softsign,
            10 => RecurrentActivation::Softplus,
            _ => RecurrentActivation::Tanh,
        }
    }
}

crate::record! {
    /// One direction of a recurrent layer.
    pub(crate) struct RecurrentRecord {
        pub(crate) time: Extent,
        pub(crate) batch: Extent,
        pub(crate) hidden: u32,
        pub(crate) reverse: bool,
        pub(crate) input_forget: bool,
        pub(crate) clip: f32,
        pub(crate) activations: ArrayVec<CellActivationWords, 3>,
        /// `[time, batch, gates * hidden]` in either order: the input's part, bias included. The
        /// state's part is added to it in place.
        pub(crate) gates: Scratch,
        pub(crate) gates_rows: Rows,
        /// Recurrent weights in panels: all gates, or with a reset of the state the first two.
        pub(crate) r: In,
        /// Recurrent weights of the candidate, with a reset of the state.
        pub(crate) r_candidate: Option<In>,
        /// Bias of the state's part, where it does not go with the input's.
        pub(crate) h_bias: Option<In>,
        pub(crate) peephole: Option<In>,
        pub(crate) peephole_offset: Extent,
        /// Steps of each row of the batch (i32).
        pub(crate) lengths: Option<In>,
        pub(crate) h0: Option<HeldIn>,
        pub(crate) c0: Option<HeldIn>,
        pub(crate) y: Option<Out>,
        pub(crate) y_rows: Rows,
        pub(crate) y_h: Option<SharedOut>,
        pub(crate) y_c: Option<SharedOut>,
        /// Of the states before and behind: offset and distance of rows.
        pub(crate) state_rows: Rows,
        pub(crate) h: Scratch,
        pub(crate) c: Option<Scratch>,
        /// `[batch, gates * hidden]`: the state's part alone, or the reset or rounded state.
        pub(crate) part: Option<Scratch>,
    }
}

impl RecurrentRecord {
    /// Whether a cell of `gates` gates, of which `plain` are one product with the state, finds
    /// what it needs; `part` is the width of the part that is computed apart.
    fn fits(
        &self,
        reach: &Reach<'_>,
        [activations, gates, plain]: [usize; 3],
        part: usize,
    ) -> Option<()> {
        let (time, batch) = (reach.extent(self.time)?, reach.extent(self.batch)?);
        let hidden = self.hidden as usize;
        let columns = count(&[gates, hidden])?;
        let states = count(&[batch, hidden])?;
        require(self.activations.len() >= activations && self.clip >= 0.0)?;

        // All of time has its own gates, and rows do not overlap.
        reach.holds::<f32>(&self.gates, count(&[time, batch, columns])?)?;
        let apart = reach.extent(self.gates_rows.batch_stride)? >= columns;
        require(apart || time == 0 || states == 0)?;
        let gates = Some(Scratch(self.gates.0));
        self.gates_rows.fit(reach, &gates, [time, batch, columns])?;

        reach.holds::<f32>(&self.r, packed_len(hidden, plain * hidden)?)?;
        reach.may_hold(&self.r_candidate, DType::F32, packed_len(hidden, hidden)?)?;
        reach.may_hold(&self.h_bias, DType::F32, columns)?;
        let peephole = reach.extent(self.peephole_offset)?.checked_add(count(&[3, hidden])?)?;
        reach.may_hold(&self.peephole, DType::F32, peephole)?;
        reach.may_hold(&self.lengths, DType::I32, batch)?;

        self.y_rows.fit(reach, &self.y, [time, batch, hidden])?;
        let state = [1, batch, hidden];
        self.state_rows.fit(reach, &self.h0, state)?;
        self.state_rows.fit(reach, &self.c0, state)?;
        self.state_rows.fit(reach, &self.y_h, state)?;
        self.state_rows.fit(reach, &self.y_c, state)?;
        reach.holds::<f32>(&self.h, states)?;
        reach.may_hold(&self.c, DType::F32, states)?;
        reach.may_hold(&self.part, DType::F32, count(&[batch, part, hidden])?)
    }

    fn fits_rnn(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, [1, 1, 1], 0)
    }

    fn fits_lstm(&self, reach: &Reach<'_>) -> Option<()> {
        require(self.c.is_some())?;
        self.fits(reach, [3, 4, 4], 1)
    }

    fn fits_gru_linear(&self, reach: &Reach<'_>) -> Option<()> {
        require(self.part.is_some())?;
        self.fits(reach, [2, 3, 3], 3)
    }

    fn fits_gru_reset(&self, reach: &Reach<'_>) -> Option<()> {
        require(self.part.is_some() && self.r_candidate.is_some())?;
        self.fits(reach, [2, 3, 2], 1)
    }
}

/// What a cell works on in one step of time: `rows` rows of a batch.
struct Moment<'a> {
    rows: usize,
    hidden: usize,
    gates: &'a mut [f32],
    gates_stride: usize,
    h: &'a mut [f32],
    c: &'a mut [f32],
    part: &'a mut [f32],
}

/// The parts of a record that do not change with time.
struct Layer<'a> {
    r: &'a [f32],
    r_candidate: &'a [f32],
    h_bias: Option<&'a [f32]>,
    peephole: Option<&'a [f32]>,
    clip: f32,
    input_forget: bool,
    activations: ArrayVec<RecurrentActivation, 3>,
}

trait Cell {
    fn step<S: Simd>(s: S, layer: &Layer<'_>, moment: Moment<'_>);
}

/// `c += h · r`, or `c = h · r + bias`, for `columns` columns.
#[allow(clippy::too_many_arguments, reason = "a product has as many")]
#[inline(always)]
fn add_product<S: Simd>(
    s: S,
    (rows, k, columns): (usize, usize, usize),
    h: &[f32],
    r: &[f32],
    bias: Bias<'_>,
    accumulate: bool,
    c: &mut [f32],
    c_row_stride: usize,
) {
    let gemm = GemmF32 {
        m: rows,
        n: columns,
        k,
        a_row_stride: k,
        a: h,
        b: r,
        b_k_stride: PANEL,
        b_panel_stride: PANEL * k,
        bias,
        activation: Activation::None,
        accumulate,
        c,
        c_row_stride,
    };
    gemm_f32(s, gemm);
}

struct Rnn;

impl Cell for Rnn {
    #[inline(always)]
    fn step<S: Simd>(s: S, layer: &Layer<'_>, m: Moment<'_>) {
        let n = m.hidden;
        add_product(s, (m.rows, n, n), m.h, layer.r, Bias::None, true, m.gates, m.gates_stride);
        for (h, gates) in m.h.chunks_exact_mut(n).zip(m.gates.chunks_mut(m.gates_stride)) {
            for (h, x) in h.iter_mut().zip(gates) {
                *h = if layer.clip < f32::INFINITY { x.clamp(-layer.clip, layer.clip) } else { *x };
            }
            layer.activations[0].apply(s, h);
        }
    }
}

struct Lstm;

impl Cell for Lstm {
    #[inline(always)]
    fn step<S: Simd>(s: S, layer: &Layer<'_>, m: Moment<'_>) {
        let shape = (m.rows, m.hidden, 4 * m.hidden);
        let h = if m.part.is_empty() {
            &*m.h
        } else {
            let rounded = &mut m.part[..m.h.len()];
            round_to_range_f32(s, m.h, rounded);
            rounded
        };
        add_product(s, shape, h, layer.r, Bias::None, true, m.gates, m.gates_stride);
        let a = &layer.activations;
        let cell = LstmCell {
            batch: m.rows,
            hidden: m.hidden,
            gates: m.gates,
            gates_row_stride: m.gates_stride,
            peephole: layer.peephole,
            clip: layer.clip,
            input_forget: layer.input_forget,
            activations: [a[0], a[1], a[2]],
            c: m.c,
            h: m.h,
        };
        lstm_cell_f32(s, cell);
    }
}

/// The reset gate applies to the product with the recurrent weights.
struct GruLinear;

impl Cell for GruLinear {
    #[inline(always)]
    fn step<S: Simd>(s: S, layer: &Layer<'_>, m: Moment<'_>) {
        let columns = 3 * m.hidden;
        let bias = layer.h_bias.map_or(Bias::None, Bias::PerCol);
        add_product(s, (m.rows, m.hidden, columns), m.h, layer.r, bias, false, m.part, columns);
        let cell = GruCell {
            batch: m.rows,
            hidden: m.hidden,
            x_gates: m.gates,
            x_row_stride: m.gates_stride,
            h_gates: m.part,
            clip: layer.clip,
            activations: [layer.activations[0], layer.activations[1]],
            h: m.h,
        };
        gru_cell_f32(s, cell);
    }
}

/// The reset gate applies to the hidden state.
struct GruReset;

impl Cell for GruReset {
    #[inline(always)]
    fn step<S: Simd>(s: S, layer: &Layer<'_>, m: Moment<'_>) {
        let n = m.hidden;
        let stride = m.gates_stride;
        add_product(s, (m.rows, n, 2 * n), m.h, layer.r, Bias::None, true, m.gates, stride);
        let activations = [layer.activations[0], layer.activations[1]];
        let half = GruHalf {
            batch: m.rows,
            hidden: n,
            gates: m.gates,
            gates_row_stride: stride,
            clip: layer.clip,
            activations,
        };
        gru_reset_f32(s, half, m.h, m.part);
        let candidate = &mut m.gates[2 * n..];
        let shape = (m.rows, n, n);
        add_product(s, shape, m.part, layer.r_candidate, Bias::None, true, candidate, stride);
        let half = GruHalf {
            batch: m.rows,
            hidden: n,
            gates: m.gates,
            gates_row_stride: stride,
            clip: layer.clip,
            activations,
        };
        gru_update_f32(s, half, m.h);
    }
}

/// Walks through time.
#[inline(always)]
fn walk<S: Simd, C: Cell>(step: Step<'_>) {
    let (record, operands) = step.decode::<RecurrentRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let (time, batch, hidden) =
        (operands.extent(record.time), operands.extent(record.batch), record.hidden as usize);
    if batch == 0 || hidden == 0 {
        return;
    }
    let layer = Layer {
        r: operands.read(record.r),
        r_candidate: record.r_candidate.map_or(&[], |r| operands.read(r)),
        h_bias: record.h_bias.map(|b| operands.read(b)),
        peephole: record
            .peephole
            .map(|p| &operands.read(p)[operands.extent(record.peephole_offset)..]),
        clip: record.clip,
        input_forget: record.input_forget,
        activations: record.activations.iter().map(CellActivationWords::activation).collect(),
    };
    let gates = operands.scratch::<f32>(record.gates);
    let (h, c) = (operands.scratch::<f32>(record.h), record.c.map(|c| operands.scratch::<f32>(c)));
    let c: &mut [f32] = c.unwrap_or(&mut []);
    let part: &mut [f32] = record.part.map_or(&mut [], |p| operands.scratch::<f32>(p));
    let place = |rows: &Rows| {
        [
            operands.extent(rows.offset),
            operands.extent(rows.time_stride),
            operands.extent(rows.batch_stride),
        ]
    };
    let (state, y_at, gates_at) =
        (place(&record.state_rows), place(&record.y_rows), place(&record.gates_rows));
    let has_c = !c.is_empty();
    load(&operands, record.h0, h, batch, hidden, state);
    if has_c {
        load(&operands, record.c0, c, batch, hidden, state);
    }
    let mut y = record.y.map(|y| operands.write::<f32>(y));
    let lengths = record.lengths.map(|l| operands.read::<i32>(l));
    // Rows of different lengths run alone, the others together.
    let (runs, together) = if lengths.is_some() { (batch, 1) } else { (1, batch) };
    for run in 0..runs {
        let len = lengths.map_or(time, |l| (l[run].max(0) as usize).min(time));
        let range = run * hidden..(run + together) * hidden;
        for i in 0..time {
            let t = if record.reverse && i < len { len - 1 - i } else { i };
            if i < len {
                let at = gates_at[0] + t * gates_at[1] + run * gates_at[2];
                let moment = Moment {
                    rows: together,
                    hidden,
                    gates: &mut gates[at..],
                    gates_stride: gates_at[2],
                    h: &mut h[range.clone()],
                    c: if has_c { &mut c[range.clone()] } else { &mut [] },
                    part: &mut *part,
                };
                C::step(s, &layer, moment);
            }
            let Some(y) = y.as_deref_mut() else { continue };
            for row in run..run + together {
                let at = y_at[0] + t * y_at[1] + row * y_at[2];
                let to = &mut y[at..at + hidden];
                if i < len {
                    to.copy_from_slice(&h[row * hidden..][..hidden]);
                } else {
                    to.fill(0.0);
                }
            }
        }
    }
    store(&operands, record.y_h, h, batch, hidden, state);
    if has_c {
        store(&operands, record.y_c, c, batch, hidden, state);
    }
}

fn load(
    operands: &Operands<'_>,
    from: Option<HeldIn>,
    to: &mut [f32],
    batch: usize,
    hidden: usize,
    [offset, _, stride]: [usize; 3],
) {
    let Some(from) = from else { return to[..batch * hidden].fill(0.0) };
    let cells = operands.held::<f32>(from);
    for (row, to) in to.chunks_exact_mut(hidden).take(batch).enumerate() {
        for (to, cell) in to.iter_mut().zip(&cells[offset + row * stride..]) {
            *to = cell.get();
        }
    }
}

fn store(
    operands: &Operands<'_>,
    to: Option<SharedOut>,
    from: &[f32],
    batch: usize,
    hidden: usize,
    [offset, _, stride]: [usize; 3],
) {
    let Some(to) = to else { return };
    let cells = operands.cells_out::<f32>(to);
    for (row, from) in from.chunks_exact(hidden).take(batch).enumerate() {
        for (from, cell) in from.iter().zip(&cells[offset + row * stride..]) {
            cell.set(*from);
        }
    }
}

crate::record! {
    /// Biases of the input's and the state's part, from ONNX's two rows behind one another.
    pub(crate) struct BiasRecord {
        pub(crate) src: In,
        pub(crate) first: u32,
        pub(crate) columns: u32,
        /// The first ones that go together with the input's.
        pub(crate) shared: u32,
        pub(crate) x: Out,
        pub(crate) h: Option<Out>,
    }
}

impl BiasRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (first, columns) = (self.first as usize, self.columns as usize);
        reach.holds::<f32>(&self.src, columns.checked_mul(2)?.checked_add(first)?)?;
        reach.holds::<f32>(&self.x, columns)?;
        require(self.shared <= self.columns)?;
        reach.may_hold(&self.h, DType::F32, columns)
    }
}

fn bias(step: Step<'_>) {
    let (record, operands) = step.decode::<BiasRecord>();
    let (columns, shared) = (record.columns as usize, record.shared as usize);
    let src = &operands.read::<f32>(record.src)[record.first as usize..];
    let (of_x, of_h) = (&src[..columns], &src[columns..2 * columns]);
    for (i, x) in operands.write::<f32>(record.x)[..columns].iter_mut().enumerate() {
        *x = if i < shared { of_x[i] + of_h[i] } else { of_x[i] };
    }
    if let Some(h) = record.h {
        let h = operands.write::<f32>(h);
        h[..shared].fill(0.0);
        h[shared..columns].copy_from_slice(&of_h[shared..]);
    }
}

pub(crate) static RECURRENT_BIAS: Kernel = kernel!(RecurrentBias, BiasRecord::fits, bias);

fn rnn<S: Simd>(step: Step<'_>) {
    walk::<S, Rnn>(step);
}

fn lstm<S: Simd>(step: Step<'_>) {
    walk::<S, Lstm>(step);
}

fn gru_linear<S: Simd>(step: Step<'_>) {
    walk::<S, GruLinear>(step);
}

fn gru_reset<S: Simd>(step: Step<'_>) {
    walk::<S, GruReset>(step);
}

pub(crate) static RNN_F32: Kernel = kernel!(RnnF32, RecurrentRecord::fits_rnn, simd rnn);
pub(crate) static LSTM_F32: Kernel = kernel!(LstmF32, RecurrentRecord::fits_lstm, simd lstm);
pub(crate) static GRU_LINEAR_F32: Kernel =
    kernel!(GruLinearF32, RecurrentRecord::fits_gru_linear, simd gru_linear);
pub(crate) static GRU_RESET_F32: Kernel =
    kernel!(GruResetF32, RecurrentRecord::fits_gru_reset, simd gru_reset);
