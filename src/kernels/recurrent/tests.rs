//! Steps of every form against their formulas in `f64`.

extern crate std;
use std::{format, vec, vec::Vec};

use super::layout::{GateWeights, pack_biases};
use super::*;
use crate::kernels::gemm::PANEL;
use crate::kernels::simd::Vectorized;
use crate::kernels::suite::{Rng, assert_close, levels};
use crate::kernels::{Level, dispatch};

const ALL: [RecurrentActivation; 11] = [
    RecurrentActivation::Sigmoid,
    RecurrentActivation::Tanh,
    RecurrentActivation::Relu,
    RecurrentActivation::Affine(0.5, 0.1),
    RecurrentActivation::LeakyRelu(0.1),
    RecurrentActivation::ThresholdedRelu(0.2),
    RecurrentActivation::ScaledTanh(0.7, 0.9),
    RecurrentActivation::HardSigmoid(0.2, 0.5),
    RecurrentActivation::Elu(0.3),
    RecurrentActivation::Softsign,
    RecurrentActivation::Softplus,
];

struct Apply<'a>(RecurrentActivation, &'a mut [f32]);

impl Vectorized for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in self.1.chunks_mut(S::LANES) {
            let y = self.0.lanes(s, s.load_tail(x));
            s.store_tail(y, x);
        }
    }
}

#[test]
fn activations_are_their_formulas() {
    for (activation, below, above) in [
        (ALL[0], 0.268_941_43, 0.731_058_6),
        (ALL[1], -0.761_594_2, 0.761_594_2),
        (ALL[2], 0.0, 1.0),
        (ALL[3], -0.4, 0.6),
        (ALL[4], -0.1, 1.0),
        (ALL[5], 0.0, 1.0),
        (ALL[6], -0.501_408_7, 0.501_408_7),
        (ALL[7], 0.3, 0.7),
        (ALL[8], -0.189_636_17, 1.0),
        (ALL[9], -0.5, 0.5),
        (ALL[10], 0.313_261_7, 1.313_261_7),
    ] {
        for level in levels() {
            let mut x = [-1.0, 1.0, f32::NAN];
            dispatch(level, Apply(activation, &mut x));
            let nan = if activation == ALL[5] { 0.0 } else { f32::NAN };
            assert_close(&x, &[below, above, nan], 1e-6, &format!("{activation:?}"));
        }
    }
}

/// What a layer of `gates` gates is made of, as ONNX has it, and packed.
struct Layer {
    rows: usize,
    hidden: usize,
    gates: usize,
    /// `[rows][gate][unit]`.
    x: Vec<f32>,
    /// `[gate][unit][hidden]`.
    r: Vec<f32>,
    /// `[rows][unit]`.
    h: Vec<f32>,
    c: Vec<f32>,
}

impl Layer {
    fn new(rng: &mut Rng, rows: usize, hidden: usize, gates: usize) -> Self {
        let x = rng.vector(rows * gates * hidden).iter().map(|x| 3.0 * x).collect();
        let r = rng.vector(gates * hidden * hidden);
        let (h, c) = (rng.vector(rows * hidden), rng.vector(rows * hidden));
        Self { rows, hidden, gates, x, r, h, c }
    }

    fn units(&self) -> usize {
        self.hidden.div_ceil(PANEL) * PANEL
    }

    /// Rows of gates in groups, with a gap behind each.
    fn packed_x(&self, gap: usize) -> (Vec<f32>, usize) {
        let columns = self.gates * self.hidden;
        let stride = self.gates * self.units() + gap;
        let mut packed = vec![0.0; self.rows * stride];
        for (row, to) in self.x.chunks(columns.max(1)).zip(packed.chunks_mut(stride.max(1))) {
            let both = [row, &vec![0.0; columns]].concat();
            pack_biases(self.gates, self.hidden, &both, to, None);
        }
        (packed, stride)
    }

    fn packed_r(&self, first: usize, gates: usize) -> Vec<f32> {
        let (hidden, depth) = (self.hidden, self.hidden);
        let weights = GateWeights { gates, hidden, depth, side_by_side: true };
        let mut packed = vec![f32::NAN; weights.packed_len().unwrap()];
        weights.pack(&self.r[first * hidden * hidden..], &mut packed);
        packed
    }

    /// Rows of states in whole groups.
    fn packed(&self, state: &[f32]) -> Vec<f32> {
        let mut packed = vec![0.0; self.rows * self.units()];
        for row in 0..self.rows {
            let from = &state[row * self.hidden..][..self.hidden];
            packed[row * self.units()..][..self.hidden].copy_from_slice(from);
        }
        packed
    }

    fn unpacked(&self, packed: &[f32]) -> Vec<f32> {
        let rows = (0..self.rows).flat_map(|row| &packed[row * self.units()..][..self.hidden]);
        rows.copied().collect()
    }

    /// The state's part of a gate.
    fn product(&self, h: &[f32], row: usize, gate: usize, unit: usize) -> f32 {
        let n = self.hidden;
        let r = &self.r[(gate * n + unit) * n..][..n];
        h[row * n..][..n].iter().zip(r).map(|(h, r)| f64::from(*h) * f64::from(*r)).sum::<f64>()
            as f32
    }

    fn x(&self, row: usize, gate: usize, unit: usize) -> f32 {
        self.x[(row * self.gates + gate) * self.hidden + unit]
    }
}

/// Rows and hidden units of each case.
fn cases() -> impl Iterator<Item = (usize, [usize; 2])> {
    let widths = (0..36).chain([48, 50, 64]);
    widths.enumerate().map(|(case, hidden)| (case, [[1, 2, 3, 7, 13][case % 5], hidden]))
}

fn bounds(case: usize) -> (Sweep, f32) {
    let sweep = if case.is_multiple_of(2) { Sweep::To } else { Sweep::Fro };
    (sweep, if case % 3 == 1 { 1.0 } else { f32::INFINITY })
}

fn on_levels(what: &str, run: impl Fn(Level, &str)) {
    for level in levels() {
        run(level, &format!("{what} on {}", level.isa()));
    }
}

#[test]
fn lstm_of_every_width() {
    let mut rng = Rng::new(21);
    for (case, [rows, n]) in cases() {
        let layer = Layer::new(&mut rng, rows, n, 4);
        let peephole = rng.vector(3 * n);
        let peephole = (case % 4 == 3).then_some(&peephole[..]);
        let activations = match case % 7 {
            0..4 => None,
            _ => Some([ALL[case % 11], ALL[case * 3 % 11], ALL[case * 7 % 11]]),
        };
        let [f, g, of_state] = activations.unwrap_or([ALL[0], ALL[1], ALL[1]]);
        let input_forget = case % 9 == 4;
        let (sweep, clip) = bounds(case);
        let (mut wanted_c, mut wanted_h) = (layer.c.clone(), layer.h.clone());
        for i in 0..rows * n {
            let (row, unit) = (i / n, i % n);
            let gate = |gate: usize, c: f32| {
                let weight = peephole.filter(|_| gate < 3).map_or(0.0, |p| p[gate * n + unit]);
                let sum = layer.x(row, gate, unit) + layer.product(&layer.h, row, gate, unit);
                (sum + weight * c).clamp(-clip, clip)
            };
            let c = layer.c[i];
            let input = f.of(gate(0, c));
            let forget = if input_forget { 1.0 - input } else { f.of(gate(2, c)) };
            wanted_c[i] = forget * c + input * g.of(gate(3, 0.0));
            wanted_h[i] = f.of(gate(1, wanted_c[i])) * of_state.of(wanted_c[i]);
        }
        let r = layer.packed_r(0, 4);
        on_levels(&format!("{rows}x{n} {activations:?}"), |level, what| {
            let (mut gates, gates_row_stride) = layer.packed_x(case % 3);
            let (before, mut c) = (layer.packed(&layer.h), layer.packed(&layer.c));
            let mut h = vec![f32::NAN; before.len()];
            let cells = LstmCells {
                rows,
                hidden: n,
                gates: &mut gates,
                gates_row_stride,
                peephole,
                clip,
                input_forget,
                activations,
                c: &mut c,
                h: &mut h,
            };
            let step = LstmStep { cells, r: &r, sweep, before: &before };
            dispatch(level, step);
            assert_close(&layer.unpacked(&c), &wanted_c, 5e-6, what);
            assert_close(&layer.unpacked(&h), &wanted_h, 5e-6, what);
        });
    }
}

#[test]
fn gru_of_every_width_and_form() {
    let mut rng = Rng::new(22);
    for (case, [rows, n]) in cases() {
        let layer = Layer::new(&mut rng, rows, n, 3);
        let h_bias = rng.vector(n);
        let activations = match case % 7 {
            0..4 => None,
            _ => Some([ALL[case % 11], ALL[case / 3 % 11]]),
        };
        let [f, g] = activations.unwrap_or([ALL[0], ALL[1]]);
        let (sweep, clip) = bounds(case);
        let bound = |x: f32| x.clamp(-clip, clip);
        let (mut of_product, mut of_state) = (layer.h.clone(), layer.h.clone());
        let (mut z, mut r) = (layer.h.clone(), layer.h.clone());
        for i in 0..rows * n {
            let gate = |gate| {
                let sum = layer.x(i / n, gate, i % n) + layer.product(&layer.h, i / n, gate, i % n);
                f.of(bound(sum))
            };
            (z[i], r[i]) = (gate(0), gate(1));
        }
        let reset: Vec<f32> = r.iter().zip(&layer.h).map(|(r, h)| r * h).collect();
        for i in 0..rows * n {
            let (row, unit) = (i / n, i % n);
            let x = layer.x(row, 2, unit);
            let next = |x: f32| (1.0 - z[i]) * g.of(bound(x)) + z[i] * layer.h[i];
            let state = layer.product(&layer.h, row, 2, unit) + h_bias[unit];
            of_product[i] = next(x + r[i] * state);
            of_state[i] = next(x + layer.product(&reset, row, 2, unit));
        }
        let (all, two, hidden) = (layer.packed_r(0, 3), layer.packed_r(0, 2), layer.packed_r(2, 1));
        let (mut bias, mut dummy) = (vec![0.0; layer.units()], vec![0.0; 3 * layer.units()]);
        let both = [vec![0.0; 5 * n], h_bias].concat();
        pack_biases(3, n, &both, &mut dummy, Some(&mut bias));
        on_levels(&format!("{rows}x{n} {activations:?}"), |level, what| {
            for reset_state in [false, true] {
                let (mut gates, gates_row_stride) = layer.packed_x(case % 3);
                let before = layer.packed(&layer.h);
                let mut h = vec![f32::NAN; before.len()];
                let mut part = vec![f32::NAN; if reset_state { h.len() } else { rows * 48 }];
                let step = GruStep {
                    rows,
                    hidden: n,
                    gates: &mut gates,
                    gates_row_stride,
                    r: if reset_state { &two } else { &all },
                    h_bias: Some(&bias),
                    sweep,
                    clip,
                    activations,
                    before: &before,
                    h: &mut h,
                    part: &mut part,
                };
                if reset_state {
                    dispatch(level, gru::ResetState(step, &hidden));
                    assert_close(&layer.unpacked(&h), &of_state, 5e-6, what);
                } else {
                    dispatch(level, gru::ResetProduct(step));
                    assert_close(&layer.unpacked(&h), &of_product, 5e-6, what);
                }
            }
        });
    }
}

#[test]
fn rnn_of_every_width() {
    let mut rng = Rng::new(23);
    for (case, [rows, n]) in cases() {
        let layer = Layer::new(&mut rng, rows, n, 1);
        let activation = ALL[case % 11];
        let (sweep, clip) = bounds(case);
        let sum = |i: usize| layer.x(i / n, 0, i % n) + layer.product(&layer.h, i / n, 0, i % n);
        let wanted: Vec<f32> =
            (0..rows * n).map(|i| activation.of(sum(i).clamp(-clip, clip))).collect();
        let r = layer.packed_r(0, 1);
        on_levels(&format!("{rows}x{n} {activation:?}"), |level, what| {
            let (mut gates, gates_row_stride) = layer.packed_x(case % 3);
            let before = layer.packed(&layer.h);
            let mut h = vec![f32::NAN; before.len()];
            let step = RnnStep {
                rows,
                hidden: n,
                gates: &mut gates,
                gates_row_stride,
                r: &r,
                sweep,
                clip,
                activation,
                before: &before,
                h: &mut h,
            };
            dispatch(level, step);
            assert_close(&layer.unpacked(&h), &wanted, 1e-5, what);
        });
    }
}

/// Gates and states at which an exponential overflows or a product of two would.
#[test]
fn saturated_gates_are_their_limits() {
    const X: [f32; 9] =
        [0.0, 1e-20, 30.0, -30.0, 100.0, -100.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for level in levels() {
        for i in 0..9 * 9 * 9 {
            let (input, other, state) = (X[i % 9], X[i / 9 % 9], X[i / 81]);
            let gates_of = [input, other, -input, other];
            let mut gates = gates_of.map(|x| [x; PANEL]).concat();
            let (mut c, mut h) = ([state; PANEL], [0.0; PANEL]);
            let cells = LstmCells {
                rows: 1,
                hidden: 1,
                gates: &mut gates,
                gates_row_stride: 64,
                peephole: None,
                clip: f32::INFINITY,
                input_forget: false,
                activations: None,
                c: &mut c,
                h: &mut h,
            };
            let step = LstmStep { cells, r: &[0.0; 64], sweep: Sweep::To, before: &[0.0; PANEL] };
            dispatch(level, step);
            let sigmoid = |x: f32| RecurrentActivation::Sigmoid.of(x);
            let tanh = |x: f32| RecurrentActivation::Tanh.of(x);
            let wanted_c = sigmoid(-input) * state + sigmoid(input) * tanh(other);
            // A gate that is all but closed keeps an infinity out or not.
            if state.is_infinite() && input == f32::INFINITY {
                continue;
            }
            let what = format!("{input} {other} {state} on {}", level.isa());
            assert_close(&c[..1], &[wanted_c], 1e-6, &what);
            assert_close(&h[..1], &[sigmoid(other) * tanh(wanted_c)], 1e-6, &what);
        }
    }
}
