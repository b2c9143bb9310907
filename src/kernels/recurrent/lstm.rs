//! The LSTM cell.

use core::f32::consts::LOG2_E;

use super::product::{GroupProduct, Sweep};
use super::{RecurrentActivation, clipped};
use crate::kernels::gemm::PANEL;
use crate::kernels::math::{exp2m1, one_plus_exp2};
use crate::kernels::simd::{Simd, Vectorized};

/// Input, output, forget and cell gate.
const GATES: usize = 4;

/// The cells of an LSTM for each row of a batch.
#[derive(Debug)]
pub struct LstmCells<'a> {
    /// Rows.
    pub rows: usize,
    /// States of a row.
    pub hidden: usize,
    /// The gates, `[group][gate][16]` a row.
    pub gates: &'a mut [f32],
    /// Elements from a row of `gates` to the next.
    pub gates_row_stride: usize,
    /// `3 * hidden` weights of the cell state in the input, output and forget gate.
    pub peephole: Option<&'a [f32]>,
    /// Bound of what an activation is given; infinity for none.
    pub clip: f32,
    /// Whether the forget gate is one minus the input gate.
    pub input_forget: bool,
    /// Activations of the gates, of the cell input and of the cell state: ONNX's f, g and h;
    /// `None` for the usual ones, sigmoid, tanh and tanh.
    pub activations: Option<[RecurrentActivation; 3]>,
    /// The cell state in rows of whole groups, replaced by the next one.
    pub c: &'a mut [f32],
    /// The next hidden state in such rows, written.
    pub h: &'a mut [f32],
}

/// One step of an LSTM for each row of a batch.
#[derive(Debug)]
pub struct LstmStep<'a> {
    /// Its cells. Their gates are the input's part; the state's part is added to it.
    pub cells: LstmCells<'a>,
    /// Recurrent weights, side by side.
    pub r: &'a [f32],
    /// Which way they are read.
    pub sweep: Sweep,
    /// The hidden state before, in rows of whole groups.
    pub before: &'a [f32],
}

/// Sigmoid, tanh, tanh.
const USUAL: [RecurrentActivation; 3] =
    [RecurrentActivation::Sigmoid, RecurrentActivation::Tanh, RecurrentActivation::Tanh];

/// Computes an [`LstmStep`].
///
/// **Panics**: if a slice is too short for its shape.
///
/// **Cost**: each weight is read once for every few rows; no allocation. Activations other than
/// `Sigmoid` and `Tanh` are scalar.
///
/// **Source**: ONNX operator `LSTM`; S. Hochreiter and J. Schmidhuber, Long Short-Term Memory,
/// 1997, with the forget gate of F. Gers, 2000.
pub fn lstm_step_f32<S: Simd>(s: S, step: LstmStep<'_>) {
    s.vectorize(step);
}

impl Vectorized for LstmStep<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let form = self.cells.form::<S>();
        let groups = self.cells.hidden.div_ceil(PANEL);
        let weights = self.cells.hidden * GATES * PANEL;
        for i in 0..groups {
            let group = self.sweep.group(i, groups);
            let product = GroupProduct::<GATES> {
                rows: self.cells.rows,
                depth: self.cells.hidden,
                h: self.before,
                h_row_stride: groups * PANEL,
                w: &self.r[group * weights..][..weights],
                sweep: self.sweep,
                accumulate: true,
                c: &mut self.cells.gates[group * GATES * PANEL..],
                c_row_stride: self.cells.gates_row_stride,
            };
            product.run(s);
            for row in 0..self.cells.rows {
                self.cells.group(s, &form, row, group);
            }
        }
    }
}

/// Computes [`LstmCells`], whose gates are complete.
///
/// **Panics**, **cost** and **source**: as [`lstm_step_f32`].
pub fn lstm_cells_f32<S: Simd>(s: S, cells: LstmCells<'_>) {
    s.vectorize(cells);
}

impl Vectorized for LstmCells<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let form = self.form::<S>();
        for row in 0..self.rows {
            for group in 0..self.hidden.div_ceil(PANEL) {
                self.group(s, &form, row, group);
            }
        }
    }
}

impl<'a> LstmCells<'a> {
    #[inline(always)]
    fn form<S: Simd>(&self) -> Form<'a> {
        Form {
            // The scalar instance has one form, for the sake of its size.
            usual: S::LANES > 1
                && self.activations.is_none()
                && self.peephole.is_none()
                && !self.input_forget
                && self.clip == f32::INFINITY,
            hidden: self.hidden,
            peephole: self.peephole,
            clip: self.clip,
            input_forget: self.input_forget,
            activations: self.activations.unwrap_or(USUAL),
        }
    }

    /// A group of units of a row.
    #[inline(always)]
    fn group<S: Simd>(&mut self, s: S, form: &Form<'_>, row: usize, group: usize) {
        let gates = &self.gates[row * self.gates_row_stride + group * GATES * PANEL..];
        let at = (row * self.hidden.div_ceil(PANEL) + group) * PANEL;
        let (c, h) = (&mut self.c[at..at + PANEL], &mut self.h[at..at + PANEL]);
        if form.usual {
            plain(s, &gates[..GATES * PANEL], c, h);
        } else {
            general(s, form, group * PANEL, &gates[..GATES * PANEL], c, h);
        }
    }
}

/// A group of units with the usual activations.
#[inline(always)]
fn plain<S: Simd>(s: S, gates: &[f32], c: &mut [f32], h: &mut [f32]) {
    for at in (0..PANEL).step_by(S::LANES) {
        let [input, output, forget, cell] = load(s, gates, at);
        // sigmoid(x) = 1 / (1 + e^-x) and tanh(x) = -m / (m + 2) where m = e^-2x - 1: products of
        // both are one quotient.
        let input = one_plus_exp2(s, s.mul(input, s.splat(-LOG2_E)));
        let output = one_plus_exp2(s, s.mul(output, s.splat(-LOG2_E)));
        let forget = one_plus_exp2(s, s.mul(forget, s.splat(-LOG2_E)));
        let m = exp2m1(s, s.mul(cell, s.splat(-2.0 * LOG2_E)));
        let added = s.div(m, s.mul(s.add(m, s.splat(2.0)), input));
        let state = s.sub(s.div(s.load(&c[at..at + S::LANES]), forget), added);
        s.store(state, &mut c[at..at + S::LANES]);
        let m = exp2m1(s, s.mul(state, s.splat(-2.0 * LOG2_E)));
        let hidden = s.div(s.neg(m), s.mul(s.add(m, s.splat(2.0)), output));
        s.store(hidden, &mut h[at..at + S::LANES]);
    }
}

/// The gates of the units from `at` on.
#[inline(always)]
fn load<S: Simd>(s: S, gates: &[f32], at: usize) -> [S::F32; GATES] {
    [
        s.load(&gates[at..at + S::LANES]),
        s.load(&gates[PANEL + at..][..S::LANES]),
        s.load(&gates[2 * PANEL + at..][..S::LANES]),
        s.load(&gates[3 * PANEL + at..][..S::LANES]),
    ]
}

/// What makes a cell unusual.
struct Form<'a> {
    /// Nothing does.
    usual: bool,
    hidden: usize,
    peephole: Option<&'a [f32]>,
    clip: f32,
    input_forget: bool,
    activations: [RecurrentActivation; 3],
}

impl Form<'_> {
    /// `x` with the part that the cell state has in a gate, from `unit` on.
    #[inline(always)]
    fn peep<S: Simd>(&self, s: S, gate: usize, unit: usize, state: S::F32, x: S::F32) -> S::F32 {
        let Some(weights) = self.peephole else { return x };
        let unit = unit.min(self.hidden);
        let weights = &weights[gate * self.hidden + unit..];
        let weights = s.load_tail(&weights[..S::LANES.min(self.hidden - unit)]);
        s.mul_add(weights, state, x)
    }
}

/// A group of units of any form, from unit `first` on.
#[inline(always)]
fn general<S: Simd>(
    s: S,
    form: &Form<'_>,
    first: usize,
    gates: &[f32],
    c: &mut [f32],
    h: &mut [f32],
) {
    let [f, g, of_state] = form.activations;
    for at in (0..PANEL).step_by(S::LANES) {
        let gates = load(s, gates, at);
        let state = s.load(&c[at..at + S::LANES]);
        /// What a gate is before its activation; the state is the one that its peephole sees.
        macro_rules! gate {
            ($gate:literal $(, $state:ident)?) => {{
                let x = gates[$gate];
                $(let x = form.peep(s, $gate, first + at, $state, x);)?
                clipped(s, x, form.clip)
            }};
        }
        let input = f.lanes(s, gate!(0, state));
        let forget = if form.input_forget {
            s.sub(s.splat(1.0), input)
        } else {
            f.lanes(s, gate!(2, state))
        };
        let candidate = g.lanes(s, gate!(3));
        let state = s.mul_add(forget, state, s.mul(input, candidate));
        let output = f.lanes(s, gate!(1, state));
        s.store(state, &mut c[at..at + S::LANES]);
        s.store(s.mul(output, of_state.lanes(s, state)), &mut h[at..at + S::LANES]);
    }
}
