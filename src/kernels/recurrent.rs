//! What a recurrent layer does between two matrix products: gates to states.
//!
//! The products, biases included, are the caller's. Gates are in the order of ONNX.

use super::math;
use super::scalar::Scalar;
use super::simd::{Simd, Vectorized};

/// An activation of a recurrent layer, with the parameters of ONNX.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RecurrentActivation {
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `a x + b`.
    Affine(f32, f32),
    /// `x`, times `a` below zero.
    LeakyRelu(f32),
    /// `x` from `a` on, else zero.
    ThresholdedRelu(f32),
    /// `a tanh(b x)`.
    ScaledTanh(f32, f32),
    /// `a x + b`, at least zero and at most one.
    HardSigmoid(f32, f32),
    /// `x`, `a (e^x - 1)` below zero.
    Elu(f32),
    /// `x / (1 + |x|)`.
    Softsign,
    /// `ln(1 + e^x)`.
    Softplus,
}

impl RecurrentActivation {
    /// Its value at `x`.
    pub fn of(self, x: f32) -> f32 {
        match self {
            Self::Sigmoid => math::sigmoid(Scalar, x),
            Self::Tanh => math::tanh(Scalar, x),
            Self::Relu => Scalar.max(0.0, x),
            Self::Affine(a, b) => a * x + b,
            Self::LeakyRelu(a) => {
                if x < 0.0 {
                    a * x
                } else {
                    x
                }
            }
            Self::ThresholdedRelu(a) => {
                if x >= a {
                    x
                } else {
                    0.0
                }
            }
            Self::ScaledTanh(a, b) => a * math::tanh(Scalar, b * x),
            Self::HardSigmoid(a, b) => Scalar.min(1.0, Scalar.max(0.0, a * x + b)),
            Self::Elu(a) => {
                if x < 0.0 {
                    a * math::expm1(Scalar, x)
                } else {
                    x
                }
            }
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Softplus => math::softplus(Scalar, x),
        }
    }

    /// Applies it to every element in place: a whole layer of the plain kind.
    ///
    /// **Cost**: one pass; only `Sigmoid` and `Tanh` are vectorized.
    pub fn apply<S: Simd>(self, s: S, x: &mut [f32]) {
        s.vectorize(Apply(self, x));
    }

    /// Its values at the lanes of `x`.
    #[inline(always)]
    fn lanes<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        match self {
            Self::Sigmoid => math::sigmoid(s, x),
            Self::Tanh => math::tanh(s, x),
            _ => {
                let mut lanes = [0.0; 16];
                s.store(x, &mut lanes);
                self.each(&mut lanes[..S::LANES]);
                s.load(&lanes)
            }
        }
    }

    #[inline(never)]
    fn each(self, x: &mut [f32]) {
        for x in x {
            *x = self.of(*x);
        }
    }
}

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

/// A vector of at most `LANES` elements.
#[inline(always)]
fn load<S: Simd>(s: S, from: &[f32], at: usize, len: usize) -> S::F32 {
    let from = &from[at..at + len];
    if len == S::LANES { s.load(from) } else { s.load_tail(from) }
}

#[inline(always)]
fn store<S: Simd>(s: S, x: S::F32, to: &mut [f32], at: usize, len: usize) {
    let to = &mut to[at..at + len];
    if len == S::LANES { s.store(x, to) } else { s.store_tail(x, to) }
}

/// Between `-limit` and `limit`; NaN stays NaN.
#[inline(always)]
fn clipped<S: Simd>(s: S, x: S::F32, limit: f32) -> S::F32 {
    s.min(s.splat(limit), s.max(s.splat(-limit), x))
}

/// One step of an LSTM for each row of a batch.
#[derive(Debug)]
pub struct LstmCell<'a> {
    /// Rows.
    pub batch: usize,
    /// States of a row.
    pub hidden: usize,
    /// `[batch, 4 * hidden]`: input, output, forget and cell gate before their activations.
    pub gates: &'a [f32],
    /// Elements from a row of `gates` to the next, at least `4 * hidden`.
    pub gates_row_stride: usize,
    /// `3 * hidden` weights of the cell state in the input, output and forget gate.
    pub peephole: Option<&'a [f32]>,
    /// Bound of what an activation is given; infinity for none.
    pub clip: f32,
    /// Whether the forget gate is one minus the input gate.
    pub input_forget: bool,
    /// Activations of the gates, of the cell input and of the cell state: ONNX's f, g and h,
    /// by default [`LstmCell::DEFAULT`].
    pub activations: [RecurrentActivation; 3],
    /// `[batch, hidden]`: the cell state, replaced by the next one.
    pub c: &'a mut [f32],
    /// `[batch, hidden]`: the hidden state, written.
    pub h: &'a mut [f32],
}

impl LstmCell<'_> {
    /// Sigmoid, tanh, tanh.
    pub const DEFAULT: [RecurrentActivation; 3] =
        [RecurrentActivation::Sigmoid, RecurrentActivation::Tanh, RecurrentActivation::Tanh];
}

/// Computes an [`LstmCell`].
///
/// **Panics**: if a slice is too short for its shape.
///
/// **Cost**: one pass, no allocation. Activations other than `Sigmoid` and `Tanh` are scalar.
///
/// **Source**: ONNX operator `LSTM`; S. Hochreiter and J. Schmidhuber, Long Short-Term Memory,
/// 1997, with the forget gate of F. Gers, 2000.
pub fn lstm_cell_f32<S: Simd>(s: S, cell: LstmCell<'_>) {
    s.vectorize(cell);
}

impl Vectorized for LstmCell<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [f, g, h] = self.activations;
        let default = self.activations == Self::DEFAULT;
        // The usual activations without a choice in the loop.
        if default && self.peephole.is_none() && !self.input_forget {
            let [f, g, h] = Self::DEFAULT;
            lstm(s, self, [f, g, h], false, None);
        } else {
            let (input_forget, peephole) = (self.input_forget, self.peephole);
            lstm(s, self, [f, g, h], input_forget, peephole);
        }
    }
}

#[inline(always)]
fn lstm<S: Simd>(
    s: S,
    cell: LstmCell<'_>,
    [f, g, h]: [RecurrentActivation; 3],
    input_forget: bool,
    peephole: Option<&[f32]>,
) {
    let LstmCell { batch, hidden, gates, gates_row_stride, clip, c: state, h: out, .. } = cell;
    for row in 0..batch {
        let gates = &gates[row * gates_row_stride..][..4 * hidden];
        let state = &mut state[row * hidden..][..hidden];
        let out = &mut out[row * hidden..][..hidden];
        let mut at = 0;
        while at < hidden {
            let len = S::LANES.min(hidden - at);
            // What a gate is before its activation; `c` is the state that its peephole sees.
            macro_rules! gate {
                ($gate:literal $(, $weight:literal, $c:ident)?) => {{
                    #[allow(unused_mut)]
                    let mut x = load(s, gates, $gate * hidden + at, len);
                    $(if let Some(weights) = peephole {
                        x = s.mul_add(load(s, weights, $weight * hidden + at, len), $c, x);
                    })?
                    clipped(s, x, clip)
                }};
            }
            let c = load(s, state, at, len);
            let input = f.lanes(s, gate!(0, 0, c));
            let forget =
                if input_forget { s.sub(s.splat(1.0), input) } else { f.lanes(s, gate!(2, 2, c)) };
            let candidate = g.lanes(s, gate!(3));
            let c = s.mul_add(forget, c, s.mul(input, candidate));
            let output = f.lanes(s, gate!(1, 1, c));
            store(s, c, state, at, len);
            store(s, s.mul(output, h.lanes(s, c)), out, at, len);
            at += len;
        }
    }
}

/// One step of a GRU for each row of a batch, whose reset gate applies to the product with the
/// recurrent weights (`linear_before_reset` 1).
#[derive(Debug)]
pub struct GruCell<'a> {
    /// Rows.
    pub batch: usize,
    /// States of a row.
    pub hidden: usize,
    /// `[batch, 3 * hidden]`: update, reset and hidden gate's part of the input, bias included.
    pub x_gates: &'a [f32],
    /// Elements from a row of `x_gates` to the next.
    pub x_row_stride: usize,
    /// `[batch, 3 * hidden]`: their part of the hidden state, its bias included.
    pub h_gates: &'a [f32],
    /// Bound of what an activation is given; infinity for none.
    pub clip: f32,
    /// Activations of the gates and of the candidate: ONNX's f and g, by default
    /// [`GruCell::DEFAULT`].
    pub activations: [RecurrentActivation; 2],
    /// `[batch, hidden]`: the hidden state, replaced by the next one.
    pub h: &'a mut [f32],
}

impl GruCell<'_> {
    /// Sigmoid, tanh.
    pub const DEFAULT: [RecurrentActivation; 2] =
        [RecurrentActivation::Sigmoid, RecurrentActivation::Tanh];
}

/// Computes a [`GruCell`].
///
/// **Panics**: if a slice is too short for its shape.
///
/// **Cost**: one pass, no allocation. Activations other than `Sigmoid` and `Tanh` are scalar.
///
/// **Source**: ONNX operator `GRU`; K. Cho et al., Learning Phrase Representations using RNN
/// Encoder-Decoder, 2014.
pub fn gru_cell_f32<S: Simd>(s: S, cell: GruCell<'_>) {
    s.vectorize(cell);
}

impl Vectorized for GruCell<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { batch, hidden, x_gates, x_row_stride, h_gates, clip, h, .. } = self;
        let [f, g] = self.activations;
        for row in 0..batch {
            let x_gates = &x_gates[row * x_row_stride..][..3 * hidden];
            let h_gates = &h_gates[row * 3 * hidden..][..3 * hidden];
            let state = &mut h[row * hidden..][..hidden];
            let mut at = 0;
            while at < hidden {
                let len = S::LANES.min(hidden - at);
                let x = |gate: usize| load(s, x_gates, gate * hidden + at, len);
                let h = |gate: usize| load(s, h_gates, gate * hidden + at, len);
                let update = f.lanes(s, clipped(s, s.add(x(0), h(0)), clip));
                let reset = f.lanes(s, clipped(s, s.add(x(1), h(1)), clip));
                let candidate = clipped(s, s.mul_add(reset, h(2), x(2)), clip);
                let candidate = g.lanes(s, candidate);
                let next = blend(s, update, load(s, state, at, len), candidate);
                store(s, next, state, at, len);
                at += len;
            }
        }
    }
}

/// `(1 - z) candidate + z h`.
#[inline(always)]
fn blend<S: Simd>(s: S, z: S::F32, h: S::F32, candidate: S::F32) -> S::F32 {
    s.mul_add(z, h, s.mul(s.sub(s.splat(1.0), z), candidate))
}

/// One step of a GRU whose reset gate applies to the hidden state (`linear_before_reset` 0): its
/// two halves, [`gru_reset_f32`] and [`gru_update_f32`], with the product of the reset state and
/// the hidden gate's recurrent weights between them.
#[derive(Debug)]
pub struct GruHalf<'a> {
    /// Rows.
    pub batch: usize,
    /// States of a row.
    pub hidden: usize,
    /// `[batch, 3 * hidden]`: update, reset and hidden gate before their activations.
    pub gates: &'a [f32],
    /// Elements from a row of `gates` to the next.
    pub gates_row_stride: usize,
    /// Bound of what an activation is given; infinity for none.
    pub clip: f32,
    /// As in [`GruCell`].
    pub activations: [RecurrentActivation; 2],
}

/// Writes `[batch, hidden]` into `reset`: the reset gate times the hidden state `h`.
///
/// **Panics**: if a slice is too short for its shape.
pub fn gru_reset_f32<S: Simd>(s: S, half: GruHalf<'_>, h: &[f32], reset: &mut [f32]) {
    s.vectorize(GruReset(half, h, reset));
}

/// Replaces the hidden state `h` by the next one. The hidden gate in `gates` now has the product
/// of the reset state in it.
///
/// **Panics**: if a slice is too short for its shape.
pub fn gru_update_f32<S: Simd>(s: S, half: GruHalf<'_>, h: &mut [f32]) {
    s.vectorize(GruUpdate(half, h));
}

struct GruReset<'a>(GruHalf<'a>, &'a [f32], &'a mut [f32]);

impl Vectorized for GruReset<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(GruHalf { batch, hidden, gates, gates_row_stride, clip, activations }, h, reset) =
            self;
        for row in 0..batch {
            let gates = &gates[row * gates_row_stride..][..3 * hidden];
            let h = &h[row * hidden..][..hidden];
            let reset = &mut reset[row * hidden..][..hidden];
            let mut at = 0;
            while at < hidden {
                let len = S::LANES.min(hidden - at);
                let gate = clipped(s, load(s, gates, hidden + at, len), clip);
                let gate = activations[0].lanes(s, gate);
                store(s, s.mul(gate, load(s, h, at, len)), reset, at, len);
                at += len;
            }
        }
    }
}

struct GruUpdate<'a>(GruHalf<'a>, &'a mut [f32]);

impl Vectorized for GruUpdate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(GruHalf { batch, hidden, gates, gates_row_stride, clip, activations }, h) = self;
        let [f, g] = activations;
        for row in 0..batch {
            let gates = &gates[row * gates_row_stride..][..3 * hidden];
            let h = &mut h[row * hidden..][..hidden];
            let mut at = 0;
            while at < hidden {
                let len = S::LANES.min(hidden - at);
                let update = f.lanes(s, clipped(s, load(s, gates, at, len), clip));
                let candidate = clipped(s, load(s, gates, 2 * hidden + at, len), clip);
                let candidate = g.lanes(s, candidate);
                store(s, blend(s, update, load(s, h, at, len), candidate), h, at, len);
                at += len;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernels::dispatch;
    use crate::kernels::suite::{Rng, assert_close, levels};
    use std::{format, vec, vec::Vec};

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

    #[test]
    fn lstm_of_every_width() {
        let mut rng = Rng::new(21);
        for (case, hidden) in (0..36).chain([64]).enumerate() {
            let (batch, stride) = (2, 4 * hidden + case % 3);
            let gates: Vec<f32> = rng.vector(batch * stride).iter().map(|x| 3.0 * x).collect();
            let (peephole, c) = (rng.vector(3 * hidden), rng.vector(batch * hidden));
            let peephole = (case % 2 == 1).then_some(&peephole[..]);
            let activations = match case % 4 {
                0 | 1 => LstmCell::DEFAULT,
                _ => [ALL[case % 11], ALL[case * 3 % 11], ALL[case * 7 % 11]],
            };
            let (input_forget, clip) =
                (case % 5 == 4, if case % 3 == 0 { 1.0 } else { f32::INFINITY });
            let (mut wanted_c, mut wanted_h) = (c.clone(), vec![0.0; batch * hidden]);
            for i in 0..batch * hidden {
                let (row, j) = (i / hidden, i % hidden);
                let gate = |gate: usize, weight: usize, c: f32| {
                    let weight =
                        peephole.filter(|_| weight < 3).map_or(0.0, |p| p[weight * hidden + j]);
                    (gates[row * stride + gate * hidden + j] + weight * c).clamp(-clip, clip)
                };
                let [f, g, h] = activations;
                let input = f.of(gate(0, 0, c[i]));
                let forget = if input_forget { 1.0 - input } else { f.of(gate(2, 2, c[i])) };
                wanted_c[i] = forget * c[i] + input * g.of(gate(3, 3, 0.0));
                wanted_h[i] = f.of(gate(1, 1, wanted_c[i])) * h.of(wanted_c[i]);
            }
            for level in levels() {
                let (mut c, mut h) = (c.clone(), vec![0.0; batch * hidden]);
                let cell = LstmCell {
                    batch,
                    hidden,
                    gates: &gates,
                    gates_row_stride: stride,
                    peephole,
                    clip,
                    input_forget,
                    activations,
                    c: &mut c,
                    h: &mut h,
                };
                dispatch(level, cell);
                let what = format!("{hidden} {activations:?} on {}", level.isa());
                assert_close(&c, &wanted_c, 2e-6, &what);
                assert_close(&h, &wanted_h, 2e-6, &what);
            }
        }
    }

    #[test]
    fn gru_of_every_width() {
        let mut rng = Rng::new(22);
        for (case, hidden) in (0..36).chain([64]).enumerate() {
            let (batch, stride) = (2, 3 * hidden);
            let (x, r, h) =
                (rng.vector(2 * stride), rng.vector(2 * stride), rng.vector(2 * hidden));
            let activations =
                if case % 2 == 0 { GruCell::DEFAULT } else { [ALL[case % 11], ALL[case / 3 % 11]] };
            let [f, g] = activations;
            let clip = if case % 3 == 0 { 0.5 } else { f32::INFINITY };
            let bound = |x: f32| x.clamp(-clip, clip);
            let (mut after, mut before, mut reset) = (h.clone(), h.clone(), h.clone());
            for i in 0..2 * hidden {
                let at = |gate: usize| i / hidden * stride + gate * hidden + i % hidden;
                let z = f.of(bound(x[at(0)] + r[at(0)]));
                let gate = f.of(bound(x[at(1)] + r[at(1)]));
                let n = g.of(bound(x[at(2)] + gate * r[at(2)]));
                after[i] = (1.0 - z) * n + z * h[i];
                reset[i] = f.of(bound(x[at(1)])) * h[i];
                let z = f.of(bound(x[at(0)]));
                before[i] = (1.0 - z) * g.of(bound(x[at(2)])) + z * h[i];
            }
            for level in levels() {
                let what = format!("{hidden} {activations:?} on {}", level.isa());
                let mut got = h.clone();
                let cell = GruCell {
                    batch,
                    hidden,
                    x_gates: &x,
                    x_row_stride: stride,
                    h_gates: &r,
                    clip,
                    activations,
                    h: &mut got,
                };
                dispatch(level, cell);
                assert_close(&got, &after, 2e-6, &what);
                let half = || GruHalf {
                    batch,
                    hidden,
                    gates: &x,
                    gates_row_stride: stride,
                    clip,
                    activations,
                };
                dispatch(level, GruReset(half(), &h, &mut got));
                assert_close(&got, &reset, 2e-6, &what);
                got.copy_from_slice(&h);
                dispatch(level, GruUpdate(half(), &mut got));
                assert_close(&got, &before, 2e-6, &what);
            }
        }
    }
}
