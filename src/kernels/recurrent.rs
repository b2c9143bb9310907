//! One step of time of a recurrent layer: the product with the recurrent weights and, while its
//! sums are warm, the cell.
//!
//! Hidden units are taken in groups of 16, and what belongs to a group lies together (see
//! [`layout`]). A state has room for whole groups; what is computed in the units that only fill up
//! the last one is not read. The product of the input, biases included, is the caller's.

use super::simd::Simd;

mod activation;
mod gru;
pub mod layout;
mod lstm;
mod product;
mod rnn;

pub use activation::RecurrentActivation;
pub use gru::{GruStep, gru_reset_state_f32, gru_step_f32};
pub use lstm::{LstmCells, LstmStep, lstm_cells_f32, lstm_step_f32};
pub use product::Sweep;
pub use rnn::{RnnStep, rnn_step_f32};

/// Between `-limit` and `limit`; NaN stays NaN.
#[inline(always)]
fn clipped<S: Simd>(s: S, x: S::F32, limit: f32) -> S::F32 {
    s.min(s.splat(limit), s.max(s.splat(-limit), x))
}

#[cfg(test)]
mod tests;
