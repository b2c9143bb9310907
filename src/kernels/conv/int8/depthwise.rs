//! Convolution of each channel by itself, in eight bits, channels in the lanes of vectors.
//!
//! Positions that two neighbouring taps of a row see become a word for each channel: what the first
//! sees in its lower half, what the second sees in its upper one, both without the zero point. So a
//! word holds two terms of 16 bits for one instruction, and padding is zero. Words are written once
//! for a tensor; weights lie the same way, without their zero points.
#![allow(clippy::needless_range_loop, reason = "an index says which row or vector")]

use core::array::from_fn;

use super::super::{Geometry, Window};
use super::ConvI8;
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::finish::Finish;
use crate::kernels::gemm::int8::{GemmI8, PREPARED_ROWS, Windows};
use crate::kernels::int8::Grid8;
use crate::kernels::simd::{Simd, Vectorized};

/// Positions of a tile, and of a lower one.
const TALL: usize = 12;
const FEW: usize = 4;
/// Panels that are finished together.
const PANELS: usize = 2;
/// Words that are read behind the last: those of a vector.
const BEHIND: usize = PANEL;

/// Words of the packed weights of a convolution of each channel by itself: panels of 16 channels,
/// in each a line for each pair of taps of a row.
///
/// Returns `None` where that exceeds the address space.
pub fn packed_pairs_len(window: &Window, channels: usize) -> Option<usize> {
    let [d, h, w] = window.kernel;
    let pairs = d.checked_mul(h)?.checked_mul(w.div_ceil(2))?;
    pairs.checked_mul(channels.checked_next_multiple_of(PANEL)?)
}

/// Packs weights `[channels, kernel..]`, without their zero points.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: one write a word, no allocation.
pub fn pack_pairs(window: &Window, channels: usize, weights: &[i16], words: &mut [u32]) {
    let [d, h, w] = window.kernel;
    let (taps, pairs) = (d * h * w, w.div_ceil(2));
    for (panel, words) in words.chunks_exact_mut((PANEL * d * h * pairs).max(1)).enumerate() {
        for (pair, words) in words.chunks_exact_mut(PANEL).enumerate() {
            let (row, tap) = (pair / pairs, pair % pairs * 2);
            for (j, word) in words.iter_mut().enumerate() {
                let channel = panel * PANEL + j;
                let weight = |tap: usize| match channel < channels && tap < w {
                    true => weights[channel * taps + row * w + tap].cast_unsigned(),
                    false => 0,
                };
                *word = u32::from(weight(tap)) | u32::from(weight(tap + 1)) << 16;
            }
        }
    }
}

/// Words of scratch that a convolution of each channel by itself takes; they grow with the output.
/// `None` if nothing can hold them.
pub fn depthwise_i8_len(geometry: &Geometry) -> Option<usize> {
    geometry.window.rows_len(geometry.groups)?.checked_add(BEHIND)
}

/// Computes a [`ConvI8`] whose groups have one channel and one output each.
pub(super) fn depthwise<S: Simd>(s: S, conv: ConvI8<'_>) {
    let Geometry { window, batch, groups, .. } = *conv.geometry;
    let positions = window.output_len();
    if batch * positions * groups == 0 {
        return;
    }
    let ConvI8 {
        x, x_strides, x_grid, weights, sums, scales, stages, output, room, scratch, ..
    } = conv;
    let [_, height, cols] = window.output;
    let [_, lines, width] = window.seen();
    let apart = [lines * width * groups, width * groups, groups];
    let words = &mut scratch[..width * lines * window.seen()[0] * groups + BEHIND];
    let walk = Windows {
        each: [height, cols],
        steps: from_fn(|d| window.stride[d] * apart[d]),
        runs: [window.kernel[0], window.kernel[1], window.kernel[2].div_ceil(2)],
        apart: [
            apart[0] * window.dilation[0],
            apart[1] * window.dilation[1],
            2 * groups * window.dilation[2],
        ],
        run: 1,
    };
    // What finishes sums knows nothing of zero points: there are none left.
    let mut gemm = GemmI8 {
        m: batch * positions,
        n: groups,
        k: 0,
        a: &[],
        a_row_stride: 0,
        windows: None,
        a_grid: Grid8 { scale: x_grid.scale, zero: 0, signed: false },
        b: &[],
        b_sums: sums,
        b_scale: scales,
        b_zero: None,
        stages,
        output,
        scratch: &mut [],
    };
    for tensor in 0..batch {
        let x = x.get(tensor * x_strides[0]..).unwrap_or(&[]);
        let padding = x_grid.zero as u8;
        let (data, steps) = super::image::image(&window, groups, x, &x_strides, padding, room);
        s.vectorize(Widen { window: &window, channels: groups, data, steps, grid: x_grid, words });
        let (words, first) = (&*words, tensor * positions);
        s.vectorize(Depthwise { walk: &walk, positions, words, weights, first, gemm: &mut gemm });
    }
}

/// Writes the words of an image.
struct Widen<'a> {
    window: &'a Window,
    channels: usize,
    data: &'a [u8],
    steps: [usize; 3],
    grid: Grid8,
    words: &'a mut [u32],
}

impl Vectorized for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { window, channels, data, steps, grid, words } = self;
        let [planes, lines, width] = window.seen();
        let pair = window.dilation[2];
        let (flip, above) = if grid.signed { (0x80, 128) } else { (0, 0) };
        let (flip, zero) = (s.u32_splat(flip), s.i32_splat(grid.zero + above));
        let lower = s.u32_splat(0xffff);
        let centred =
            |bytes: S::U32| s.i32_to_u32(s.i32_sub(s.u32_to_i32(s.u32_xor(bytes, flip)), zero));
        for line in 0..planes * lines {
            let from = &data[line / lines * steps[0] + line % lines * steps[1]..];
            let to = &mut words[line * width * channels..];
            let len = channels * width;
            // Positions side by side are one row of bytes.
            let (rows, run, step) = match steps[2] == channels {
                true => (1, len, 0),
                false => (width, channels, steps[2]),
            };
            for row in 0..rows {
                let (from, to) = (&from[row * step..], &mut to[row * run..]);
                // What the second of two taps sees; behind the end nobody reads it.
                let second = if rows == 1 { pair * channels } else { pair * step };
                let mut at = 0;
                while at < run {
                    let some = |at: usize| -> S::U32 {
                        match from.get(at..at + S::LANES) {
                            Some(bytes) => s.bytes_load(bytes),
                            None => {
                                let bytes = from.get(at..).unwrap_or(&[]);
                                s.bytes_load_tail(&bytes[..bytes.len().min(S::LANES)])
                            }
                        }
                    };
                    let (a, b) = (centred(some(at)), centred(some(at + second)));
                    let word = s.u32_or(s.u32_and(a, lower), s.u32_shl::<16>(b));
                    // Lanes that are too many are written over, or nobody reads them.
                    s.u32_store(word, &mut to[at..]);
                    at += S::LANES;
                }
            }
        }
    }
}

struct Depthwise<'t, 'g> {
    walk: &'t Windows,
    positions: usize,
    words: &'t [u32],
    weights: &'t [u32],
    /// The row of the first position.
    first: usize,
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
            for panel in (0..all).step_by(PANELS) {
                let panels = (all - panel).min(PANELS);
                let stride = panels * PANEL;
                for j in 0..panels {
                    for part in (0..PANEL).step_by(S::LANES) {
                        let col = j * PANEL + part;
                        let mut i = 0;
                        while i < rows {
                            let to = &mut sums[i * stride + col..];
                            let at = (row + i, panel * PANEL + col);
                            i += match rows - i {
                                TALL.. => self.tile::<S, TALL>(s, at, to, stride),
                                FEW.. => self.tile::<S, FEW>(s, at, to, stride),
                                _ => self.tile::<S, 1>(s, at, to, stride),
                            };
                        }
                    }
                }
                let (row, sums) = (self.first + row, &sums[..]);
                let gemm = &mut *self.gemm;
                s.vectorize(Finish { gemm, row, rows, panel, panels, sums, stride, shift: 0 });
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
        (row, channel): (usize, usize),
        to: &mut [i32],
        stride: usize,
    ) -> usize {
        let begins = self.walk.begins::<R>(row);
        let [planes, lines, pairs] = self.walk.runs;
        let len = planes * lines * pairs * PANEL;
        let weights = &self.weights[channel / PANEL * len..][..len];
        let (mut weights, words) = (weights.chunks_exact(PANEL), &self.words[channel..]);
        let mut sums = [s.i32_splat(0); R];
        for plane in 0..planes {
            for line in 0..lines {
                let mut offset = plane * self.walk.apart[0] + line * self.walk.apart[1];
                for weights in weights.by_ref().take(pairs) {
                    let weights = s.u32_load(&weights[channel % PANEL..]);
                    for i in 0..R {
                        let word = s.u32_load(&words[begins[i] + offset..]);
                        sums[i] = s.i16_products(word, weights, sums[i]);
                    }
                    offset += self.walk.apart[2];
                }
            }
        }
        for i in 0..R {
            s.i32_store(sums[i], &mut to[i * stride..]);
        }
        R
    }
}
