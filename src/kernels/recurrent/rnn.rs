//! The Elman cell.

use super::product::{GroupProduct, Sweep};
use super::{RecurrentActivation, clipped};
use crate::kernels::gemm::PANEL;
use crate::kernels::simd::{Simd, Vectorized};

/// One step of an Elman network for each row of a batch.
#[derive(Debug)]
pub struct RnnStep<'a> {
    /// Rows.
    pub rows: usize,
    /// States of a row.
    pub hidden: usize,
    /// The input's part, in rows of whole groups; the state's part is added to it.
    pub gates: &'a mut [f32],
    /// Elements from a row of `gates` to the next.
    pub gates_row_stride: usize,
    /// Recurrent weights, in groups.
    pub r: &'a [f32],
    /// Which way they are read.
    pub sweep: Sweep,
    /// Bound of what the activation is given; infinity for none.
    pub clip: f32,
    /// ONNX's f.
    pub activation: RecurrentActivation,
    /// The hidden state before, in rows of whole groups.
    pub before: &'a [f32],
    /// The next one, written.
    pub h: &'a mut [f32],
}

/// Computes an [`RnnStep`].
///
/// **Panics**: if a slice is too short for its shape.
///
/// **Cost**: each weight is read once for every few rows; no allocation. Activations other than
/// `Sigmoid` and `Tanh` are scalar.
///
/// **Source**: ONNX operator `RNN`; J. Elman, Finding Structure in Time, 1990.
pub fn rnn_step_f32<S: Simd>(s: S, step: RnnStep<'_>) {
    s.vectorize(step);
}

impl Vectorized for RnnStep<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let groups = self.hidden.div_ceil(PANEL);
        let units = groups * PANEL;
        let weights = self.hidden * PANEL;
        for i in 0..groups {
            let group = self.sweep.group(i, groups);
            let product = GroupProduct::<1> {
                rows: self.rows,
                depth: self.hidden,
                h: self.before,
                h_row_stride: units,
                w: &self.r[group * weights..][..weights],
                sweep: self.sweep,
                accumulate: true,
                c: &mut self.gates[group * PANEL..],
                c_row_stride: self.gates_row_stride,
            };
            product.run(s);
            for row in 0..self.rows {
                let from = &self.gates[row * self.gates_row_stride + group * PANEL..][..PANEL];
                let to = &mut self.h[row * units + group * PANEL..][..PANEL];
                for (from, to) in from.chunks_exact(S::LANES).zip(to.chunks_exact_mut(S::LANES)) {
                    let x = clipped(s, s.load(from), self.clip);
                    s.store(self.activation.lanes(s, x), to);
                }
            }
        }
    }
}
