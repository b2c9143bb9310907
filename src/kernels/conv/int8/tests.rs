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

/// Exact sums, `[batch, output.., groups outputs]`, of `x` `[batch, groups channels, input..]` and
/// `w` `[groups outputs, channels, kernel..]`.
fn plain(geometry: &Geometry, x: &[i32], w: &[i32]) -> Vec<i32> {
    let Geometry { window, batch, groups, channels, outputs } = *geometry;
    let (positions, taps) = (window.output_len(), window.kernel_len());
    let (each, outputs) = (outputs, groups * outputs);
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
                let channel = output / each * channels + c;
                let from = (tensor * groups * channels + channel) * window.input_len();
                let x = x[from + (d * height + h) * width + w_at];
                sum += x * w[(output * channels + c) * taps + t];
            }
        }
        y.push(sum);
    }
    y
}

/// Each channel by itself: as many groups as outputs.
#[test]
fn sums_of_channels_by_themselves_are_exact() {
    let mut rng = Rng::new(71);
    for (i, window) in windows(72, 90).into_iter().enumerate() {
        let (batch, groups) = (rng.below(3), 2 + rng.below(50));
        let geometry = Geometry { window, batch, groups, channels: 1, outputs: 1 };
        let (len, taps) = (window.input_len(), window.kernel_len());
        let signed = rng.below(2) == 1;
        let zero = if signed { rng.below(256) as i32 - 128 } else { rng.below(256) as i32 };
        let grid = Grid8 { scale: 0.5, zero, signed };
        let x: Vec<u8> = (0..batch * groups * len).map(|_| rng.next() as u8).collect();
        let weights: Vec<i16> = (0..groups * taps).map(|_| rng.below(511) as i16 - 255).collect();
        let positions = window.output_len();
        let mut want = vec![0; batch * positions * groups];
        for group in 0..groups {
            let one = Geometry { groups: 1, ..geometry };
            let of_group = |tensor: usize| &x[(tensor * groups + group) * len..][..len];
            let x: Vec<i32> =
                (0..batch).flat_map(of_group).map(|x| grid.value(*x) - zero).collect();
            let w: Vec<i32> = weights[group * taps..][..taps].iter().map(|w| (*w).into()).collect();
            for (at, sum) in plain(&one, &x, &w).into_iter().enumerate() {
                want[at * groups + group] = sum;
            }
        }
        let mut words = vec![u32::MAX; packed_pairs_len(&window, groups).unwrap()];
        let mut sums = vec![0; groups.next_multiple_of(PANEL)];
        pack_pairs(&window, groups, &weights, &mut words, &mut sums);
        let beside: Vec<u8> = (0..x.len())
            .map(|j| {
                let (tensor, position, channel) = (j / groups / len, j / groups % len, j % groups);
                x[(tensor * groups + channel) * len + position]
            })
            .collect();
        let [_, h, w] = window.input;
        let apart = [groups * len, len, h * w, w, 1];
        let near = [groups * len, 1, h * w * groups, w * groups, groups];
        let cols = groups.next_multiple_of(PANEL);
        let scale: Vec<f32> = (0..cols).map(|j| 0.25 + j as f32).collect();
        for level in levels_and_beyond() {
            for (x, x_strides) in [(&x, apart), (&beside, near)] {
                let (mut y, mut numbers) = (vec![7; want.len()], vec![7.0; want.len()]);
                let mut room = vec![9; conv_i8_len(&geometry).unwrap()];
                for output in [Output::I32(&mut y), Output::F32(&mut numbers)] {
                    let conv = ConvI8 {
                        geometry: &geometry,
                        x,
                        x_strides,
                        x_grid: grid,
                        weights: &words,
                        sums: &sums,
                        scales: &scale,
                        zeros: None,
                        stages: &[],
                        output,
                        room: &mut room,
                        scratch: &mut [],
                    };
                    dispatch(level, Run(level, conv));
                }
                let what = format!("{i}: {geometry:?}, {x_strides:?} on {}", level.isa());
                assert!(y == want, "{what}");
                for (j, (got, want)) in numbers.iter().zip(&want).enumerate() {
                    assert_eq!(*got, *want as f32 * (0.5 * scale[j % groups]), "{what}");
                }
            }
        }
    }
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
        let groups = [1, 1, 2, 3][rng.below(4)];
        let channels = 1 + rng.below(21);
        let outputs = if groups > 1 { PANEL * (1 + rng.below(2)) } else { 1 + rng.below(40) };
        let geometry = Geometry { window, batch: rng.below(3), groups, channels, outputs };
        let (all, outputs) = (groups * channels, groups * outputs);
        let (len, taps) = (window.input_len(), window.kernel_len());
        let signed = rng.below(2) == 1;
        let zero = if signed { rng.below(256) as i32 - 128 } else { rng.below(256) as i32 };
        let grid = Grid8 { scale: 0.5, zero, signed };
        let mut bytes = |n: usize| (0..n).map(|_| rng.next() as u8).collect::<Vec<u8>>();
        let x = bytes(geometry.batch * all * len);
        // What lies behind the data, too short for a word.
        let behind = bytes(i % 4);
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
        let [run, padded, runs] = conv_runs(&geometry).unwrap();
        let k = padded * runs;
        let matrix: Vec<i8> = (0..k * outputs)
            .map(|j| {
                let (row, output) = (j / outputs, j % outputs);
                if row % padded >= run {
                    return zeros[output] as i8;
                }
                let row = row / padded * run + row % padded;
                let (tap, channel) = (row / channels, row % channels);
                w[(output * channels + channel) * taps + tap].cast_signed()
            })
            .collect();
        let cols = outputs.next_multiple_of(PANEL);
        let mut quads = vec![0; packed_quads_len(k, outputs).unwrap()];
        let mut sums = vec![0; cols];
        pack_quads(
            &matrix.iter().map(|x| x.cast_unsigned()).collect::<Vec<_>>(),
            0,
            (k, outputs),
            (outputs, 1),
            &mut quads,
            &mut sums,
        );
        let mut padded = zeros.clone();
        padded.resize(cols, 0);
        let beside: Vec<u8> = (0..x.len())
            .map(|j| {
                let (tensor, position, channel) = (j / all / len, j / all % len, j % all);
                x[(tensor * all + channel) * len + position]
            })
            .collect();
        let beside = [beside, behind].concat();
        let [_, h, w] = window.input;
        let apart = [all * len, len, h * w, w, 1];
        let near = [all * len, 1, h * w * all, w * all, all];
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
