//! Convolution of eight-bit values with packed eight-bit weights.
//!
//! The bytes that a window sees are a row of a matrix, and the convolution is a product of that
//! matrix with the weights ([`gemm_i8`]), whose columns are the output channels. Windows that lie
//! in one piece where channels are side by side are read in place; others are gathered, a block
//! of positions at a time. Where windows reach into padding, or channels do not lie side by side,
//! the input is copied once into an image.

use core::array::from_fn;

use arrayvec::ArrayVec;

use super::Geometry;
use super::direct::{TapAxis, Taps};
use crate::kernels::gemm::int8::{GemmI8, Output, PREPARED_ROWS, Stage, gemm_i8};
use crate::kernels::int8::{Grid8, QUAD};
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;
use crate::kernels::stages::MOST_STAGES;

mod image;
#[cfg(test)]
mod tests;

/// Rows that are gathered at a time: a multiple of those of a tile.
const BLOCK: usize = 4 * PREPARED_ROWS;
/// Bytes of gathered rows that stay in a first-level cache beside the weights.
const GATHERED: usize = 16 << 10;
/// A convolution in one group: `y = stages(x_scale w_scale sum((x - x_zero) (w - w_zero)))`.
#[derive(Debug)]
pub struct ConvI8<'a> {
    /// The sizes.
    pub geometry: &'a Geometry,
    /// The input, from its first element on.
    pub x: &'a [u8],
    /// Its strides: tensor of the batch, channel, depth, height, width.
    pub x_strides: [usize; 5],
    /// What its bytes stand for; padding is its zero.
    pub x_grid: Grid8,
    /// The weights, as [`pack_quads`](crate::kernels::int8::pack_quads) writes the matrix
    /// `[kernel.., channels]` by `outputs`.
    pub weights: &'a [u32],
    /// The sum of each column of the weights, those of the padding included.
    pub sums: &'a [i32],
    /// The scale of each column, those of the padding included.
    pub scales: &'a [f32],
    /// The zero point of each column, those of the padding included; without, they are zero.
    pub zeros: Option<&'a [i32]>,
    /// What is done to each element. Matrices are `[batch, output.., outputs]`.
    pub stages: &'a [Stage<'a>],
    /// The result, `[batch, output.., outputs]`.
    pub output: Output<'a>,
    /// Room for the image and for gathered rows: [`conv_i8_len`] bytes.
    pub room: &'a mut [u8],
    /// Room for the product: what one of as many rows as there are positions takes.
    pub scratch: &'a mut [u32],
}

/// Bytes of room that a [`ConvI8`] takes; they grow with the output. `None` if nothing can hold
/// them.
pub fn conv_i8_len(geometry: &Geometry) -> Option<usize> {
    let image = geometry.window.rows_len(geometry.channels)?;
    image.checked_add(QUAD)?.checked_add(gathered_len(bytes(geometry)?)?)
}

/// Bytes that a window sees.
fn bytes(geometry: &Geometry) -> Option<usize> {
    geometry.window.kernel.iter().try_fold(geometry.channels, |n, taps| n.checked_mul(*taps))
}

/// Rows of `k` bytes that are gathered at a time.
fn block(k: usize) -> usize {
    let tiles = GATHERED / k.max(1) / PREPARED_ROWS;
    (tiles * PREPARED_ROWS).clamp(PREPARED_ROWS, BLOCK)
}

/// Bytes of gathered rows, each of whole quads.
fn gathered_len(k: usize) -> Option<usize> {
    k.checked_next_multiple_of(QUAD)?.checked_mul(block(k))
}

/// Computes a [`ConvI8`].
///
/// **Shapes and units**: as the struct says; `s` is of the instruction set of `level`.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: a multiply-add an output, channel and tap; a copy of each byte for each tap that sees
/// it, unless windows lie in one piece; no allocation.
pub fn conv_i8<S: Simd>(s: S, level: Level, conv: ConvI8<'_>) {
    let Geometry { window, batch, outputs, channels, .. } = *conv.geometry;
    let (positions, k) = (window.output_len(), window.kernel_len() * channels);
    let Some(gathered) = gathered_len(k) else { return };
    if batch * positions * outputs == 0 {
        return;
    }
    let ConvI8 { x, x_strides, x_grid, room, .. } = conv;
    let (gathered, room) = room.split_at_mut(gathered);
    let mut product = Product {
        level,
        k,
        n: outputs,
        x_grid,
        weights: conv.weights,
        sums: conv.sums,
        scales: conv.scales,
        zeros: conv.zeros,
        stages: conv.stages,
        output: conv.output,
        scratch: conv.scratch,
    };
    let [depth, height, cols] = window.output;
    for tensor in 0..batch {
        let x = x.get(tensor * x_strides[0]..).unwrap_or(&[]);
        let padding = x_grid.zero as u8;
        let (data, positions_at) = image::image(&window, channels, x, &x_strides, padding, room);
        let steps: [usize; 3] = from_fn(|d| window.stride[d] * positions_at[d]);
        let first = tensor * positions;
        let [_, _, width] = window.kernel;
        // Where the taps of a row lie one behind the other, they are one.
        let joins = width == 1 || window.dilation[2] * positions_at[2] == channels;
        let run = if joins { width * channels } else { channels };
        if run == k {
            // Rows of windows may lie one behind the other, too.
            let (lines, rows) = match height == 1 || steps[1] == cols * steps[2] {
                true => (depth, height * cols),
                false => (depth * height, cols),
            };
            let each = lines / depth;
            for line in 0..lines {
                let a = &data[line / each * steps[0] + line % each * steps[1]..];
                // Whole quads are faster; weights behind the last are zeros, but where weights
                // have a zero point the bytes count.
                let whole = k.next_multiple_of(QUAD);
                let there = a.len() >= (rows - 1) * steps[2] + whole;
                product.k = if there && product.zeros.is_none() { whole } else { k };
                product.rows(s, first + line * rows, rows, a, steps[2]);
            }
            continue;
        }
        let taps = Taps::new(from_fn(|d| TapAxis {
            kernel: if d == 2 && joins { 1 } else { window.kernel[d] },
            period: 1,
            phase: 0,
            dilation: window.dilation[d],
            stride: 1,
            step: positions_at[d],
        }));
        product.k = k.next_multiple_of(QUAD);
        let to_step = product.k;
        let mut row = 0;
        while row < positions {
            let rows = (positions - row).min(block(k));
            let mut i = 0;
            while i < rows {
                // Positions of one row of the output, tap by tap.
                let (line, col) = ((row + i) / cols, (row + i) % cols);
                let len = (rows - i).min(cols - col);
                let at = line / height * steps[0] + line % height * steps[1] + col * steps[2];
                let to = &mut gathered[i * to_step..];
                for t in 0..taps.len() {
                    let (from, to) = (&data[at + taps.at(t)..], &mut to[t * run..]);
                    Runs { from, from_step: steps[2], to, to_step, run, len }.copy();
                }
                if k < to_step {
                    for to in to.chunks_exact_mut(to_step).take(len) {
                        to[k..].fill(padding);
                    }
                }
                i += len;
            }
            product.rows(s, first + row, rows, gathered, to_step);
            row += rows;
        }
    }
}

/// Runs of bytes that lie a step apart.
struct Runs<'a> {
    from: &'a [u8],
    from_step: usize,
    to: &'a mut [u8],
    to_step: usize,
    /// Bytes of each.
    run: usize,
    /// How many there are.
    len: usize,
}

impl Runs<'_> {
    #[inline(always)]
    fn copy(self) {
        match self.run {
            16.. => self.pieces::<16>(),
            8.. => self.pieces::<8>(),
            4.. => self.pieces::<4>(),
            _ => self.pieces::<1>(),
        }
    }

    /// Copies in pieces of `P` bytes, the last of which begins early enough to end with its run.
    #[inline(always)]
    fn pieces<const P: usize>(self) {
        let Self { from, from_step, to, to_step, run, len } = self;
        for i in 0..len {
            let (from, to) = (&from[i * from_step..][..run], &mut to[i * to_step..][..run]);
            let mut at = 0;
            while at + P <= run {
                to[at..at + P].copy_from_slice(&from[at..at + P]);
                at += P;
            }
            if at < run {
                to[run - P..].copy_from_slice(&from[run - P..]);
            }
        }
    }
}

/// The product of all windows with the weights.
struct Product<'a> {
    level: Level,
    k: usize,
    n: usize,
    x_grid: Grid8,
    weights: &'a [u32],
    sums: &'a [i32],
    scales: &'a [f32],
    zeros: Option<&'a [i32]>,
    stages: &'a [Stage<'a>],
    output: Output<'a>,
    scratch: &'a mut [u32],
}

impl Product<'_> {
    /// Computes `m` rows from `row` on.
    fn rows<S: Simd>(&mut self, s: S, row: usize, m: usize, a: &[u8], a_row_stride: usize) {
        let (n, at) = (self.n, row * self.n);
        let stages = self.stages.iter().map(|stage| match *stage {
            Stage::Add { data, row_stride } => {
                Stage::Add { data: &data[row * row_stride..], row_stride }
            }
            Stage::AddQuantized { data, row_stride, grid } => {
                Stage::AddQuantized { data: &data[row * row_stride..], row_stride, grid }
            }
            stage => stage,
        });
        let stages: ArrayVec<Stage<'_>, MOST_STAGES> = stages.collect();
        gemm_i8(
            s,
            self.level,
            GemmI8 {
                m,
                n,
                k: self.k,
                a,
                a_row_stride,
                a_grid: self.x_grid,
                b: self.weights,
                b_sums: self.sums,
                b_scale: self.scales,
                b_zero: self.zeros,
                stages: &stages,
                output: match &mut self.output {
                    Output::F32(y) => Output::F32(&mut y[at..][..m * n]),
                    Output::Quantized(y, grid) => Output::Quantized(&mut y[at..][..m * n], *grid),
                    Output::I32(y) => Output::I32(&mut y[at..][..m * n]),
                },
                scratch: self.scratch,
            },
        );
    }
}
