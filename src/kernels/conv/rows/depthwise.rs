//! Direct convolution of each channel by itself, channels in the lanes of vectors.
#![allow(clippy::needless_range_loop, reason = "an index says which lane, row or dimension")]

use core::array::from_fn;

use super::super::direct::{DirectF32, Taps, epilogue};
use super::super::lines::Rest;
use super::{Geometry, Rows, Walk, bias, finish, image};
use crate::kernels::simd::{Simd, Vectorized};

/// Convolves each channel by itself, channel by channel in the lanes.
///
/// **Shapes and units**: as [`conv_rows_f32`](super::conv_rows_f32) with one channel and one output
/// a group, but for `weights`, which are `[kernel.., groups]`.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: as [`conv_rows_f32`](super::conv_rows_f32).
pub fn depthwise_rows_f32<S: Simd>(s: S, conv: DirectF32<'_>) {
    let Geometry { window, batch, groups, .. } = *conv.geometry;
    let len = groups * window.output_len();
    if batch * len == 0 {
        return;
    }
    let DirectF32 { x, x_strides, weights, bias, residual, scratch, y, .. } = conv;
    let (clamp, rest) = epilogue(conv.activation);
    let y = &mut y[..batch * len];
    for (i, y) in y.chunks_exact_mut(len).enumerate() {
        let x = x.get(i * x_strides[0]..).unwrap_or(&[]);
        let image = image(s, &window, groups, x, &x_strides, scratch);
        let taps = Taps::new(image.axes);
        let rows = Rows {
            window: &window,
            data: image.data,
            steps: image.steps,
            taps: &taps,
            run: groups,
            width: groups,
            weights,
            bias,
            residual: if residual.is_empty() { &[] } else { &residual[i * len..] },
            clamp,
            y,
        };
        s.vectorize(Depthwise(rows));
        s.vectorize(Rest { activation: rest, y });
    }
}

/// Each channel by itself.
struct Depthwise<'a>(Rows<'a>);

impl Vectorized for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let rows = &mut self.0;
        let positions = rows.window.output_len();
        let mut col = 0;
        while col < rows.width {
            let mut walk = Walk { output: rows.window.output, steps: rows.steps, next: [0; 3] };
            let two = rows.width - col >= 2 * S::LANES;
            let mut row = 0;
            while row < positions {
                if positions - row >= 4 {
                    let windows: [usize; 4] = from_fn(|_| walk.next());
                    match two {
                        true => depthwise_tile::<S, 4, 2>(s, rows, windows, row, col),
                        false => depthwise_tile::<S, 4, 1>(s, rows, windows, row, col),
                    }
                    row += 4;
                } else {
                    let windows = [walk.next()];
                    match two {
                        true => depthwise_tile::<S, 1, 2>(s, rows, windows, row, col),
                        false => depthwise_tile::<S, 1, 1>(s, rows, windows, row, col),
                    }
                    row += 1;
                }
            }
            col += if two { 2 * S::LANES } else { S::LANES };
        }
    }
}

/// `MR` positions by `NV` vectors of channels.
#[inline(always)]
fn depthwise_tile<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    rows: &mut Rows<'_>,
    windows: [usize; MR],
    row: usize,
    col: usize,
) {
    let cols = (rows.width - col).min(NV * S::LANES);
    let (taps, width) = (rows.taps, rows.width);
    let mut sums = [bias::<S, NV>(s, rows, col, cols); MR];
    for t in 0..taps.len() {
        let at = taps.at(t);
        let w = &rows.weights[t * width + col..][..cols];
        if cols == NV * S::LANES {
            for i in 0..MR {
                let x = &rows.data[windows[i] + at + col..][..NV * S::LANES];
                for v in 0..NV {
                    let (x, w) = (s.load(&x[v * S::LANES..]), s.load(&w[v * S::LANES..]));
                    sums[i][v] = s.mul_add_relaxed(x, w, sums[i][v]);
                }
            }
        } else {
            // Only the last vector of a row of channels is narrower, and it is alone.
            let w = s.load_tail(w);
            for i in 0..MR {
                let x = s.load_tail(&rows.data[windows[i] + at + col..][..cols]);
                sums[i][0] = s.mul_add_relaxed(x, w, sums[i][0]);
            }
        }
    }
    finish(s, rows, row * width + col, cols, sums);
}
