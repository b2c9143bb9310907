//! Convolution of each channel by itself, in eight bits, channels in the lanes of vectors.
//!
//! Two taps of a window share a word for each channel, the value that one sees in its lower half,
//! that of the other in its upper one, for an instruction that multiplies and adds both in 16
//! bits. Weights lie the same way, without their zero points, which 16 bits hold.

use core::array::from_fn;

use super::super::direct::{TABLE, TapAxis, Taps};
use super::super::{Geometry, Window};
use super::{ConvI8, image};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::finish::Finish;
use crate::kernels::gemm::int8::{GemmI8, PREPARED_ROWS, Windows, Zeros};
use crate::kernels::simd::{Simd, Vectorized};

/// Positions of a tile, and of a lower one.
const TALL: usize = 6;
const FEW: usize = 2;
/// Panels that are finished together.
const PANELS: usize = 2;

/// Words of the packed weights of a convolution of each channel by itself: panels of 16 channels,
/// in each a line for each pair of taps.
///
/// Returns `None` where that exceeds the address space.
pub fn packed_pairs_len(window: &Window, channels: usize) -> Option<usize> {
    let taps = window.kernel.iter().try_fold(1usize, |n, taps| n.checked_mul(*taps))?;
    taps.div_ceil(2).checked_mul(channels.checked_next_multiple_of(PANEL)?)
}

/// Packs weights `[channels, kernel..]`, without their zero points, and adds up those of each
/// channel.
///
/// **Panics**: if a slice is too short: `words` holds [`packed_pairs_len`] of them, `sums` a number
/// for each channel.
///
/// **Cost**: one write a word, no allocation.
pub fn pack_pairs(
    window: &Window,
    channels: usize,
    weights: &[i16],
    words: &mut [u32],
    sums: &mut [i32],
) {
    let taps = window.kernel_len();
    for (panel, words) in words.chunks_exact_mut((PANEL * taps.div_ceil(2)).max(1)).enumerate() {
        for (pair, words) in words.chunks_exact_mut(PANEL).enumerate() {
            for (j, word) in words.iter_mut().enumerate() {
                let channel = panel * PANEL + j;
                let weight = |tap: usize| match channel < channels && tap < taps {
                    true => weights[channel * taps + tap].cast_unsigned(),
                    false => 0,
                };
                *word = u32::from(weight(2 * pair)) | u32::from(weight(2 * pair + 1)) << 16;
            }
        }
    }
    for (channel, sum) in sums[..channels].iter_mut().enumerate() {
        *sum = weights[channel * taps..][..taps].iter().map(|weight| i32::from(*weight)).sum();
    }
}

/// Computes a [`ConvI8`] whose groups have one channel and one output each.
pub(super) fn depthwise<S: Simd>(s: S, conv: ConvI8<'_>) {
    let Geometry { window, batch, groups, .. } = *conv.geometry;
    let positions = window.output_len();
    if batch * positions * groups == 0 {
        return;
    }
    let ConvI8 { x, x_strides, x_grid, weights, sums, scales, stages, output, room, .. } = conv;
    // What makes bytes unsigned, and the number that this adds.
    let (flip, shift) = if x_grid.signed { (0x0080_0080, 128) } else { (0, 0) };
    let mut gemm = GemmI8 {
        m: batch * positions,
        n: groups,
        k: 0,
        a: &[],
        a_row_stride: 0,
        windows: None,
        a_grid: x_grid,
        b: &[],
        b_sums: sums,
        b_scale: scales,
        b_zero: Zeros::None,
        stages,
        output,
        c_row_stride: groups,
        scratch: &mut [],
    };
    for tensor in 0..batch {
        let x = x.get(tensor * x_strides[0]..).unwrap_or(&[]);
        let padding = x_grid.zero as u8;
        let edge = (padding, groups.next_multiple_of(PANEL) - groups);
        let (data, apart) = image::image(&window, groups, x, &x_strides, edge, room);
        let [_, height, cols] = window.output;
        let walk = Windows {
            each: [height, cols],
            steps: from_fn(|d| window.stride[d] * apart[d]),
            ..Windows::rows(0, 0)
        };
        let taps = Taps::new(from_fn(|d| TapAxis {
            kernel: window.kernel[d],
            period: 1,
            phase: 0,
            dilation: window.dilation[d],
            stride: 1,
            step: apart[d],
        }));
        let first = tensor * positions;
        let (walk, taps, gemm) = (&walk, &taps, &mut gemm);
        s.vectorize(Depthwise { walk, taps, positions, data, weights, first, flip, shift, gemm });
    }
}

struct Depthwise<'t, 'g> {
    walk: &'t Windows,
    taps: &'t Taps,
    positions: usize,
    data: &'t [u8],
    weights: &'t [u32],
    /// The row of the first position.
    first: usize,
    flip: u32,
    shift: i32,
    gemm: &'t mut GemmI8<'g>,
}

impl Vectorized for Depthwise<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let all = self.gemm.n.div_ceil(PANEL);
        let mut sums = [0; PREPARED_ROWS * PANELS * PANEL];
        for row in (0..self.positions).step_by(PREPARED_ROWS) {
            let rows = (self.positions - row).min(PREPARED_ROWS);
            let begins: [usize; PREPARED_ROWS] = match rows {
                PREPARED_ROWS => self.walk.begins(row),
                // Of the last ones some are there.
                _ => from_fn(|i| self.walk.begins::<1>(row + i.min(rows - 1))[0]),
            };
            for panel in (0..all).step_by(PANELS) {
                let panels = (all - panel).min(PANELS);
                let stride = panels * PANEL;
                for col in (0..stride).step_by(S::LANES) {
                    let mut i = 0;
                    while i < rows {
                        let to = &mut sums[i * stride + col..];
                        let at = (&begins[i..], panel * PANEL + col);
                        i += match rows - i {
                            TALL.. => self.tile::<S, TALL>(s, at, to, stride),
                            FEW.. => self.tile::<S, FEW>(s, at, to, stride),
                            _ => self.tile::<S, 1>(s, at, to, stride),
                        };
                    }
                }
                s.vectorize(Finish {
                    gemm: &mut *self.gemm,
                    row: self.first + row,
                    rows,
                    panel,
                    panels,
                    sums: &sums,
                    stride,
                    shift: self.shift,
                    distances: &[],
                });
            }
        }
    }
}

impl Depthwise<'_, '_> {
    /// Writes the sums of `R` positions by a vector of channels, and says how many positions they
    /// are.
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(
        &mut self,
        s: S,
        (begins, channel): (&[usize], usize),
        to: &mut [i32],
        stride: usize,
    ) -> usize {
        let begins: [usize; R] = from_fn(|i| begins[i]);
        let taps = self.taps.len();
        let len = taps.div_ceil(2) * PANEL;
        let weights = &self.weights[channel / PANEL * len..][..len];
        let data = &self.data[channel..];
        let mut sums = [s.i32_splat(0); R];
        for first in (0..taps).step_by(TABLE) {
            let (mut table, few) = ([0; TABLE], (taps - first).min(TABLE));
            let lines = &weights[first / 2 * PANEL + channel % PANEL..];
            let offsets = match self.taps.table() {
                // As a rule all are there.
                table if taps <= table.len() => table,
                _ => {
                    (0..few).for_each(|t| table[t] = self.taps.at(first + t));
                    &table[..few]
                }
            };
            s.byte_windows(data, (&begins, offsets), self.flip, lines, &mut sums);
        }
        for (i, sum) in sums.into_iter().enumerate() {
            s.i32_store(sum, &mut to[i * stride..]);
        }
        R
    }
}
