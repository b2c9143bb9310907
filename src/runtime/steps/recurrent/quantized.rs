//! An LSTM whose weights and data have eight bits.
//!
//! Both products are exact sums of integers: that of the sequence, which is quantized already, for a
//! chunk of moments at once; that of the state, which is quantized by its own range in every step.
//! Gates and cells are computed in f32.

use super::super::integer::{ColumnsRecord, GridRecord, room_fits};
use super::{Cell, Input, Layer, Moment, RecurrentRecord, place, through_time};
use crate::kernels::Simd;
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::{GemmI8, Output, Stage, Zeros, gemm_i8, scratch_len};
use crate::kernels::int8::{Grid8, dynamic_quantize};
use crate::kernels::isa::Level;
use crate::kernels::recurrent::layout::padded;
use crate::kernels::recurrent::{LstmCells, lstm_cells_f32};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{In, Scratch};
use crate::runtime::step::{Kernel, Operands, Step, kernel};

/// Input, output, forget and cell gate.
const GATES: usize = 4;

crate::record! {
    /// One direction of an LSTM. Weights are in quads of rows and panels of 16 columns.
    pub(crate) struct LstmI8Record {
        pub(crate) layer: RecurrentRecord,
        pub(crate) grid: GridRecord,
        pub(crate) w: ColumnsRecord,
        pub(crate) r: ColumnsRecord,
        /// The quantized state, without what fills up its last group.
        pub(crate) state: Scratch,
        /// Complete gates of a batch.
        pub(crate) complete: Scratch,
        /// Room of the product of the sequence, and of that of the state.
        pub(crate) input_room: Option<Scratch>,
        pub(crate) state_room: Option<Scratch>,
    }
}

impl LstmI8Record {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let layer = &self.layer;
        require(layer.c.is_some())?;
        layer.fits_but_weights(reach, [3, GATES])?;
        let (time, batch) = (reach.extent(layer.time)?, reach.extent(layer.batch)?);
        let (input, hidden) = (layer.input as usize, layer.hidden as usize);
        let columns = count(&[GATES, padded(hidden)?])?;
        layer.x_rows.fit_as(reach, &layer.x, self.grid.dtype(), [time, batch, input])?;
        self.grid.fits(reach)?;
        self.w.fits(reach, Some((&layer.w, input)), columns)?;
        self.r.fits(reach, Some((&layer.r, hidden)), columns)?;
        reach.holds::<u8>(&self.state, count(&[batch, hidden])?)?;
        reach.holds::<f32>(&self.complete, count(&[batch, columns])?)?;
        let chunk = count(&[layer.chunk as usize, batch])?;
        room_fits(reach, &self.input_room, scratch_len(chunk, input)?)?;
        room_fits(reach, &self.state_room, scratch_len(batch, hidden)?)
    }
}

/// Packed weights.
struct Weights<'a> {
    k: usize,
    n: usize,
    quads: &'a [u32],
    sums: &'a [i32],
    scale: &'a [f32],
    zero: Option<&'a [i32]>,
}

impl<'a> Weights<'a> {
    fn new(operands: &Operands<'a>, packed: &In, of: ColumnsRecord, [k, n]: [usize; 2]) -> Self {
        Self {
            k,
            n,
            quads: operands.read(In(packed.0)),
            sums: operands.read(of.sums),
            scale: operands.read(of.scale),
            zero: of.zero.map(|zero| operands.read(zero)),
        }
    }

    /// `c = a · w + more` for `m` rows.
    #[inline(always)]
    fn product<S: Simd>(
        &self,
        (s, level): (S, Level),
        (m, a, a_row_stride, a_grid): (usize, &[u8], usize, Grid8),
        stages: &[Stage<'_>],
        scratch: &mut [u32],
        c: &mut [f32],
    ) {
        let &Self { k, n, quads: b, sums: b_sums, scale: b_scale, zero: b_zero } = self;
        let output = Output::F32(c);
        let gemm = GemmI8 {
            m,
            n,
            k,
            a,
            a_row_stride,
            windows: None,
            a_grid,
            b,
            b_sums,
            b_scale,
            b_zero: Zeros::each(b_zero),
            stages,
            output,
            c_row_stride: n,
            scratch,
        };
        gemm_i8(s, level, gemm);
    }
}

/// The quantized sequence, and its weights.
struct Sequence<'a> {
    level: Level,
    x: &'a [u8],
    /// Of the first row, in time and in the batch.
    rows: [usize; 3],
    grid: Grid8,
    weights: Weights<'a>,
    bias: Option<&'a [f32]>,
    room: &'a mut [u32],
}

impl Input for Sequence<'_> {
    #[inline(always)]
    fn product<S: Simd>(
        &mut self,
        s: S,
        [t, moments]: [usize; 2],
        [first, rows]: [usize; 2],
        gates: &mut [f32],
    ) {
        let [offset, far, wide] = self.rows;
        let bias = self.bias.map(Stage::AddRow);
        // One product where all rows are as far apart.
        let (products, m, stride) = if rows == 1 {
            (1, moments, far)
        } else if far == rows * wide {
            (1, moments * rows, wide)
        } else {
            (moments, rows, wide)
        };
        for i in 0..products {
            let at = offset + (t + i) * far + first * wide;
            let x = &self.x[at.min(self.x.len())..];
            let gates = &mut gates[i * rows * self.weights.n..][..m * self.weights.n];
            let on = (s, self.level);
            let a = (m, x, stride, self.grid);
            self.weights.product(on, a, bias.as_slice(), self.room, gates);
        }
    }
}

/// The cell of an LSTM, and what quantizing its state takes.
struct Lstm<'a> {
    level: Level,
    weights: Weights<'a>,
    state: &'a mut [u8],
    complete: &'a mut [f32],
    room: &'a mut [u32],
}

impl Cell for Lstm<'_> {
    const GATES: usize = GATES;

    #[inline(always)]
    fn step<S: Simd>(&mut self, s: S, layer: &Layer<'_>, m: Moment<'_>) {
        let (n, units) = (layer.hidden, m.before.len() / m.rows);
        let columns = self.weights.n;
        let state = &mut self.state[..m.rows * n];
        let grid = if n == units || m.rows == 1 {
            dynamic_quantize(s, &m.before[..m.rows * n], state)
        } else {
            // The range is that of the states, without what fills up the last group.
            for (row, from) in m.before.chunks_exact(units).enumerate() {
                m.h[row * n..][..n].copy_from_slice(&from[..n]);
            }
            dynamic_quantize(s, &m.h[..m.rows * n], state)
        };
        let complete = &mut self.complete[..m.rows * columns];
        let input = [Stage::Add { data: m.gates, row_stride: columns }];
        let on = (s, self.level);
        self.weights.product(on, (m.rows, state, n, grid), &input, self.room, complete);
        let a = &layer.activations;
        let cells = LstmCells {
            rows: m.rows,
            hidden: n,
            gates: complete,
            gates_row_stride: columns,
            peephole: layer.peephole,
            clip: layer.clip,
            input_forget: layer.input_forget,
            activations: (!layer.usual).then(|| [a[0], a[1], a[2]]),
            c: m.c,
            h: m.h,
        };
        lstm_cells_f32(s, cells);
    }
}

pub(crate) static LSTM_I8: Kernel = kernel!(LstmI8, LstmI8Record::fits, simd lstm_i8);

fn lstm_i8<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<LstmI8Record>();
    let LstmI8Record { layer: record, grid, w, r, state, complete, input_room, state_room } =
        record;
    let level = operands.level();
    let Some(s) = S::from_level(level) else { return };
    let layer = Layer::new(&record, &operands);
    let (input, hidden) = (record.input as usize, layer.hidden);
    let columns = GATES * hidden.div_ceil(PANEL) * PANEL;
    let room = |room: Option<Scratch>| room.map_or(&mut [][..], |room| operands.scratch(room));
    let mut sequence = Sequence {
        level,
        x: operands.read(In(record.x.0)),
        rows: place(&record.x_rows, &operands),
        grid: grid.grid(&operands),
        weights: Weights::new(&operands, &record.w, w, [input, columns]),
        bias: record.bias.as_ref().map(|bias| operands.read(In(bias.0))),
        room: room(input_room),
    };
    let mut cell = Lstm {
        level,
        weights: Weights::new(&operands, &record.r, r, [hidden, columns]),
        state: operands.scratch(state),
        complete: operands.scratch(complete),
        room: room(state_room),
    };
    through_time(s, record, &operands, &layer, &mut sequence, &mut cell);
}
