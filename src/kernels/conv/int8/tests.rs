extern crate std;

use std::{format, vec, vec::Vec};

use super::super::tests::windows;
use super::*;
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::scratch_len;
use crate::kernels::int8::{pack_quads, packed_quads_len};
use crate::kernels::simd::{Vectorized, dispatch};
use crate::kernels::suite::{Rng, levels_and_beyond};

struct Run<'a>(Level, ConvI8<'a>);

impl Vectorized for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        conv_i8(s, self.0, self.1);
    }
}

/// Exact sums, `[batch, output.., outputs]`, of `x` `[batch, channels, input..]` and `w`
/// `[outputs, channels, kernel..]`.
fn plain(geometry: &Geometry, x: &[i32], w: &[i32]) -> Vec<i32> {
    let Geometry { window, batch, channels, outputs, .. } = *geometry;
    let (positions, taps) = (window.output_len(), window.kernel_len());
    let three = |i: usize, of: [usize; 3]| [i / (of[1] * of[2]), i / of[2] % of[1], i % of[2]];
    let mut y = Vec::new();
    for i in 0..batch * positions * outputs {
        let (tensor, position, output) =
            (i / outputs / positions, i / outputs % positions, i % outputs);
        let mut sum = 0i32;
        for t in 0..taps {
            let (at, tap) = (three(position, window.output), three(t, window.kernel));
            let place = |d: usize| window.meet(d, at[d], tap[d]);
            let (Some(d), Some(h), Some(w_at)) = (place(0), place(1), place(2)) else { continue };
            for c in 0..channels {
                let [_, height, width] = window.input;
                let from = (tensor * channels + c) * window.input_len();
                let x = x[from + (d * height + h) * width + w_at];
                sum += x * w[(output * channels + c) * taps + t];
            }
        }
        y.push(sum);
    }
    y
}

#[test]
fn sums_are_exact() {
    let mut rng = Rng::new(61);
    for (i, mut window) in windows(62, 90).into_iter().enumerate() {
        if i % 3 == 0 {
            // Windows that stay inside.
            window.pad_begin = [0; 3];
            window.input = from_fn(|d| {
                (window.output[d] - 1) * window.stride[d]
                    + (window.kernel[d] - 1) * window.dilation[d]
                    + 1
            });
        }
        let (channels, outputs) = (1 + rng.below(21), 1 + rng.below(40));
        let geometry = Geometry { window, batch: rng.below(3), groups: 1, channels, outputs };
        let (len, taps) = (window.input_len(), window.kernel_len());
        let signed = rng.below(2) == 1;
        let zero = if signed { rng.below(256) as i32 - 128 } else { rng.below(256) as i32 };
        let grid = Grid8 { scale: 0.5, zero, signed };
        let mut bytes = |n: usize| (0..n).map(|_| rng.next() as u8).collect::<Vec<u8>>();
        let x = bytes(geometry.batch * channels * len);
        let w = bytes(outputs * channels * taps);
        let zeros: Vec<i32> = bytes(outputs).iter().map(|b| i32::from(b.cast_signed())).collect();
        let centred: Vec<i32> = x.iter().map(|x| grid.value(*x) - zero).collect();
        let weights: Vec<i32> = w
            .iter()
            .enumerate()
            .map(|(j, w)| i32::from(w.cast_signed()) - zeros[j / (channels * taps)])
            .collect();
        let want = plain(&geometry, &centred, &weights);
        // Weights as a matrix whose rows are taps and channels.
        let k = taps * channels;
        let matrix: Vec<i8> = (0..k * outputs)
            .map(|j| {
                let (row, output) = (j / outputs, j % outputs);
                let (tap, channel) = (row / channels, row % channels);
                w[(output * channels + channel) * taps + tap].cast_signed()
            })
            .collect();
        let cols = outputs.next_multiple_of(PANEL);
        let mut quads = vec![0; packed_quads_len(k, outputs).unwrap()];
        let mut sums = vec![0; cols];
        pack_quads(&matrix, (k, outputs), (outputs, 1), &mut quads, &mut sums);
        let mut padded = zeros.clone();
        padded.resize(cols, 0);
        let beside: Vec<u8> = (0..x.len())
            .map(|j| {
                let (tensor, position, channel) =
                    (j / channels / len, j / channels % len, j % channels);
                x[(tensor * channels + channel) * len + position]
            })
            .collect();
        let [_, h, w] = window.input;
        let apart = [channels * len, len, h * w, w, 1];
        let near = [channels * len, 1, h * w * channels, w * channels, channels];
        for level in levels_and_beyond() {
            for (x, x_strides) in [(&x, apart), (&beside, near)] {
                let mut y = vec![7; want.len()];
                let mut room = vec![9; conv_i8_len(&geometry).unwrap()];
                let mut scratch = vec![0; scratch_len(window.output_len(), k).unwrap()];
                let conv = ConvI8 {
                    geometry: &geometry,
                    x,
                    x_strides,
                    x_grid: grid,
                    weights: &quads,
                    sums: &sums,
                    scales: &vec![1.0; cols],
                    zeros: Some(&padded),
                    stages: &[],
                    output: Output::I32(&mut y),
                    room: &mut room,
                    scratch: &mut scratch,
                };
                dispatch(level, Run(level, conv));
                assert!(y == want, "{}", format!("{geometry:?}, {x_strides:?} on {}", level.isa()));
            }
        }
    }
}
