//! The GRU cell, in both forms.

use core::f32::consts::LOG2_E;

use super::product::{GroupProduct, Sweep};
use super::{RecurrentActivation, clipped};
use crate::kernels::gemm::PANEL;
use crate::kernels::math::{exp2m1, one_plus_exp2};
use crate::kernels::simd::{Simd, Vectorized};

/// Update, reset and hidden gate.
const GATES: usize = 3;

/// One step of a GRU for each row of a batch.
#[derive(Debug)]
pub struct GruStep<'a> {
    /// Rows.
    pub rows: usize,
    /// States of a row.
    pub hidden: usize,
    /// The input's part of the gates, `[group][gate][16]` a row; may be changed.
    pub gates: &'a mut [f32],
    /// Elements from a row of `gates` to the next.
    pub gates_row_stride: usize,
    /// Recurrent weights, side by side: of all gates, for [`gru_reset_state_f32`] of the first
    /// two.
    pub r: &'a [f32],
    /// The bias of the state's part in the hidden gate, in whole groups. Not for
    /// [`gru_reset_state_f32`], where it can be in `gates`.
    pub h_bias: Option<&'a [f32]>,
    /// Which way the weights are read.
    pub sweep: Sweep,
    /// Bound of what an activation is given; infinity for none.
    pub clip: f32,
    /// Activations of the gates and of the candidate: ONNX's f and g; `None` for the usual ones,
    /// sigmoid and tanh.
    pub activations: Option<[RecurrentActivation; 2]>,
    /// The hidden state before, in rows of whole groups.
    pub before: &'a [f32],
    /// The next one, written.
    pub h: &'a mut [f32],
    /// Working memory: 48 elements a row, for [`gru_reset_state_f32`] as much as a state.
    pub part: &'a mut [f32],
}

/// Sigmoid, tanh.
const USUAL: [RecurrentActivation; 2] = [RecurrentActivation::Sigmoid, RecurrentActivation::Tanh];

/// Computes a [`GruStep`] whose reset gate applies to the product with the recurrent weights
/// (`linear_before_reset` 1).
///
/// **Panics**: if a slice is too short for its shape.
///
/// **Cost**: each weight is read once for every few rows; no allocation. Activations other than
/// `Sigmoid` and `Tanh` are scalar.
///
/// **Source**: ONNX operator `GRU`; K. Cho et al., Learning Phrase Representations using RNN
/// Encoder-Decoder, 2014.
pub fn gru_step_f32<S: Simd>(s: S, step: GruStep<'_>) {
    s.vectorize(ResetProduct(step));
}

/// Computes a [`GruStep`] whose reset gate applies to the hidden state (`linear_before_reset` 0),
/// with the recurrent weights of the hidden gate apart.
///
/// **Panics**, **Cost**, **Source**: as [`gru_step_f32`].
pub fn gru_reset_state_f32<S: Simd>(s: S, step: GruStep<'_>, r_hidden: &[f32]) {
    s.vectorize(ResetState(step, r_hidden));
}

/// The reset gate applies to the product with the recurrent weights.
pub(super) struct ResetProduct<'a>(pub(super) GruStep<'a>);

impl Vectorized for ResetProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let step = self.0;
        // The scalar instance has one form, for the sake of its size.
        let usual = S::LANES > 1 && step.activations.is_none() && step.clip == f32::INFINITY;
        let activations = step.activations.unwrap_or(USUAL);
        let groups = step.hidden.div_ceil(PANEL);
        let units = groups * PANEL;
        let weights = step.hidden * GATES * PANEL;
        for i in 0..groups {
            let group = step.sweep.group(i, groups);
            let product = GroupProduct::<GATES> {
                rows: step.rows,
                depth: step.hidden,
                h: step.before,
                h_row_stride: units,
                w: &step.r[group * weights..][..weights],
                sweep: step.sweep,
                accumulate: false,
                c: step.part,
                c_row_stride: GATES * PANEL,
            };
            product.run(s);
            for row in 0..step.rows {
                let at = row * units + group * PANEL;
                let columns = row * step.gates_row_stride + group * GATES * PANEL;
                let x = &step.gates[columns..columns + GATES * PANEL];
                let state = &step.part[row * GATES * PANEL..][..GATES * PANEL];
                let before = &step.before[at..at + PANEL];
                let h = &mut step.h[at..at + PANEL];
                for at in (0..PANEL).step_by(S::LANES) {
                    let [z, r, x] = load(s, x, at);
                    let [of_z, of_r, mut of_state] = load(s, state, at);
                    if let Some(bias) = step.h_bias {
                        of_state = s.add(of_state, s.load(&bias[group * PANEL + at..][..S::LANES]));
                    }
                    let parts = [s.add(z, of_z), s.add(r, of_r), x, of_state];
                    let before = s.load(&before[at..at + S::LANES]);
                    let next = if usual {
                        plain(s, parts, before)
                    } else {
                        general(s, &activations, step.clip, parts, before)
                    };
                    s.store(next, &mut h[at..at + S::LANES]);
                }
            }
        }
    }
}

/// The gates of the units from `at` on.
#[inline(always)]
fn load<S: Simd>(s: S, gates: &[f32], at: usize) -> [S::F32; GATES] {
    [
        s.load(&gates[at..at + S::LANES]),
        s.load(&gates[PANEL + at..][..S::LANES]),
        s.load(&gates[2 * PANEL + at..][..S::LANES]),
    ]
}

/// The next state with the usual activations, from the update and the reset gate and both parts of
/// the hidden gate.
#[inline(always)]
fn plain<S: Simd>(s: S, [z, r, x, h]: [S::F32; 4], before: S::F32) -> S::F32 {
    let r = one_plus_exp2(s, s.mul(r, s.splat(-LOG2_E)));
    let x = s.add(x, s.div(h, r));
    // z = 1 / (1 + e) and tanh(x) = -m / (m + 2), where e = e^-z and m = e^-2x - 1; what is left of
    // the candidate is 1 - z = 1 / (1 + 1 / e).
    let e = one_plus_exp2(s, s.mul(z, s.splat(-LOG2_E)));
    let m = exp2m1(s, s.mul(x, s.splat(-2.0 * LOG2_E)));
    let m2 = s.add(m, s.splat(2.0));
    let rest = s.sub(e, s.splat(1.0));
    s.div(s.neg_mul_add(rest, m, s.mul(before, m2)), s.mul(m2, e))
}

#[inline(always)]
fn general<S: Simd>(
    s: S,
    [f, g]: &[RecurrentActivation; 2],
    clip: f32,
    [z, r, x, h]: [S::F32; 4],
    before: S::F32,
) -> S::F32 {
    let z = f.lanes(s, clipped(s, z, clip));
    let r = f.lanes(s, clipped(s, r, clip));
    let candidate = g.lanes(s, clipped(s, s.mul_add(r, h, x), clip));
    blend(s, z, before, candidate)
}

/// `(1 - z) candidate + z h`.
#[inline(always)]
fn blend<S: Simd>(s: S, z: S::F32, h: S::F32, candidate: S::F32) -> S::F32 {
    s.mul_add(z, h, s.mul(s.sub(s.splat(1.0), z), candidate))
}

/// The reset gate applies to the hidden state: all of it before the product of the hidden gate.
pub(super) struct ResetState<'a>(pub(super) GruStep<'a>, pub(super) &'a [f32]);

impl Vectorized for ResetState<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(step, r_hidden) = self;
        let [f, g] = step.activations.unwrap_or(USUAL);
        let groups = step.hidden.div_ceil(PANEL);
        let units = groups * PANEL;
        let weights = step.hidden * PANEL;
        for i in 0..groups {
            let group = step.sweep.group(i, groups);
            let product = GroupProduct::<2> {
                rows: step.rows,
                depth: step.hidden,
                h: step.before,
                h_row_stride: units,
                w: &step.r[group * 2 * weights..][..2 * weights],
                sweep: step.sweep,
                accumulate: true,
                c: &mut step.gates[group * GATES * PANEL..],
                c_row_stride: step.gates_row_stride,
            };
            product.run(s);
            for row in 0..step.rows {
                let columns = row * step.gates_row_stride + group * GATES * PANEL;
                let r = &step.gates[columns + PANEL..][..PANEL];
                let at = row * units + group * PANEL;
                for lane in (0..PANEL).step_by(S::LANES) {
                    let r = f.lanes(s, clipped(s, s.load(&r[lane..]), step.clip));
                    let before = s.load(&step.before[at + lane..]);
                    s.store(s.mul(r, before), &mut step.part[at + lane..]);
                }
            }
        }
        for i in 0..groups {
            let group = step.sweep.group(i, groups);
            let product = GroupProduct::<1> {
                rows: step.rows,
                depth: step.hidden,
                h: step.part,
                h_row_stride: units,
                w: &r_hidden[group * weights..][..weights],
                sweep: step.sweep,
                accumulate: true,
                c: &mut step.gates[group * GATES * PANEL + 2 * PANEL..],
                c_row_stride: step.gates_row_stride,
            };
            product.run(s);
            for row in 0..step.rows {
                let columns = row * step.gates_row_stride + group * GATES * PANEL;
                let gates = &step.gates[columns..][..GATES * PANEL];
                let at = row * units + group * PANEL;
                for lane in (0..PANEL).step_by(S::LANES) {
                    let z = f.lanes(s, clipped(s, s.load(&gates[lane..]), step.clip));
                    let candidate = clipped(s, s.load(&gates[2 * PANEL + lane..]), step.clip);
                    let candidate = g.lanes(s, candidate);
                    let next = blend(s, z, s.load(&step.before[at + lane..]), candidate);
                    s.store(next, &mut step.h[at + lane..]);
                }
            }
        }
    }
}
