//! Convolution of eight-bit values with packed eight-bit weights.
//!
//! The bytes that a window sees are a row of a matrix, and the convolution is a product of that
//! matrix with the weights ([`gemm_i8`]), whose columns are the output channels. No matrix is
//! written: where channels are side by side, a window is some runs of bytes, and the product walks
//! from run to run. Where windows reach into padding, or channels do not lie side by side, the
//! input is copied once into an image. Only ways of the product that want their rows in one piece
//! have them gathered, a block of positions at a time.

use core::array::from_fn;

use arrayvec::ArrayVec;

use super::Geometry;
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::{
    GemmI8, Output, PREPARED_ROWS, Stage, Way, Windows, Zeros, gemm_i8,
};
use crate::kernels::int8::{Grid8, QUAD};
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;
use crate::kernels::stages::MOST_STAGES;

pub use depthwise::{pack_pairs, packed_pairs_len};

mod depthwise;
mod image;
#[cfg(test)]
mod tests;

/// Rows that are gathered at a time: a multiple of those of a tile.
const BLOCK: usize = 4 * PREPARED_ROWS;
/// Bytes of gathered rows that stay in a first-level cache beside the weights.
const GATHERED: usize = 16 << 10;
/// `y = stages(x_scale w_scale sum((x - x_zero) (w - w_zero)))`: the outputs of a group see its
/// channels.
#[derive(Debug)]
pub struct ConvI8<'a> {
    /// The sizes: one group, groups whose outputs are whole panels, or channels by themselves.
    pub geometry: &'a Geometry,
    /// The input, from its first element on.
    pub x: &'a [u8],
    /// Its strides: tensor of the batch, channel, depth, height, width.
    pub x_strides: [usize; 5],
    /// What its bytes stand for; padding is its zero.
    pub x_grid: Grid8,
    /// The weights, as [`pack_quads`](crate::kernels::int8::pack_quads) writes the matrix
    /// `[kernel.., channels]` by the outputs of all groups, its rows in [runs](conv_runs); those of
    /// channels by themselves, as [`pack_pairs`] does.
    pub weights: &'a [u32],
    /// The sum of each column of the weights, those of the padding included.
    pub sums: &'a [i32],
    /// The scale of each column, those of the padding included.
    pub scales: &'a [f32],
    /// The zero point of each column, those of the padding included; without, they are zero.
    pub zeros: Option<&'a [i32]>,
    /// What is done to each element. Matrices are `[batch, output.., groups, outputs]`.
    pub stages: &'a [Stage<'a>],
    /// The result, `[batch, output.., groups, outputs]`.
    pub output: Output<'a>,
    /// Room for the image and for gathered rows: [`conv_i8_len`] bytes.
    pub room: &'a mut [u8],
    /// Room for the product: what one of as many rows as there are positions takes.
    pub scratch: &'a mut [u32],
}

/// Whether each channel is a group that has one output.
pub fn are_alone(geometry: &Geometry) -> bool {
    geometry.groups > 1 && geometry.channels == 1 && geometry.outputs == 1
}

/// Bytes of a window that lie one behind the other: those of its last axis where nothing is between
/// them, else the channels of a tap. A run is padded to whole quads.
fn run(geometry: &Geometry) -> (usize, usize) {
    let Geometry { window, groups, channels, .. } = geometry;
    match window.kernel[2] {
        0 => (0, 0),
        taps if taps == 1 || *groups == 1 && window.dilation[2] == 1 => (taps * channels, 1),
        taps => (*channels, taps),
    }
}

/// How the weights of a convolution are a matrix: bytes of a run of taps and channels, those that
/// it has once it is padded to whole quads, and how many there are. Padding is multiplied with
/// what is there: its weights are their zero points.
///
/// Returns `None` where that exceeds the address space.
pub fn conv_runs(geometry: &Geometry) -> Option<[usize; 3]> {
    let Geometry { window, channels, .. } = geometry;
    let [d, h, taps] = window.kernel;
    taps.checked_mul(*channels)?;
    let (run, runs) = run(geometry);
    let runs = d.checked_mul(h)?.checked_mul(runs)?;
    let padded = run.checked_next_multiple_of(QUAD)?;
    runs.checked_mul(padded)?;
    Some([run, padded, runs])
}

/// Bytes of room that a [`ConvI8`] takes; they grow with the output. `None` if nothing can hold
/// them.
pub fn conv_i8_len(geometry: &Geometry) -> Option<usize> {
    let image = geometry.window.rows_len(geometry.groups.checked_mul(geometry.channels)?)?;
    if are_alone(geometry) {
        return image.checked_add(PANEL);
    }
    let [_, padded, runs] = conv_runs(geometry)?;
    image.checked_add(QUAD)?.checked_add(gathered_len(padded * runs)?)
}

/// Rows of `k` bytes that are gathered at a time.
fn block(k: usize) -> usize {
    let tiles = GATHERED / k.max(1) / PREPARED_ROWS;
    (tiles * PREPARED_ROWS).clamp(PREPARED_ROWS, BLOCK)
}

/// Bytes of gathered rows.
fn gathered_len(k: usize) -> Option<usize> {
    k.checked_mul(block(k))
}

/// Computes a [`ConvI8`].
///
/// **Shapes and units**: as the struct says; `s` is of the instruction set of `level`.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: a multiply-add an output, channel and tap, and a copy of the input unless its channels
/// lie side by side and windows stay inside; in ways that want rows in one piece, also a copy of
/// each byte for each tap that sees it. No allocation.
pub fn conv_i8<S: Simd>(s: S, level: Level, conv: ConvI8<'_>) {
    let Geometry { window, batch, groups, outputs, channels } = *conv.geometry;
    if are_alone(conv.geometry) {
        return depthwise::depthwise(s, conv);
    }
    assert!(groups == 1 || outputs.is_multiple_of(PANEL), "groups of parts of panels");
    let positions = window.output_len();
    let Some([run, padded, runs]) = conv_runs(conv.geometry) else { return };
    let k = padded * runs;
    let Some(gathered) = gathered_len(k) else { return };
    if batch * positions * groups * outputs == 0 {
        return;
    }
    let ConvI8 { x, x_strides, x_grid, room, .. } = conv;
    let (gathered, room) = room.split_at_mut(gathered);
    let mut product = Product {
        level,
        k,
        n: outputs,
        all: groups * outputs,
        x_grid,
        weights: conv.weights,
        sums: conv.sums,
        scales: conv.scales,
        zeros: conv.zeros,
        stages: conv.stages,
        output: conv.output,
        scratch: conv.scratch,
    };
    for tensor in 0..batch {
        let x = x.get(tensor * x_strides[0]..).unwrap_or(&[]);
        let padding = x_grid.zero as u8;
        let edge = (padding, padded - run);
        let (data, apart) = image::image(&window, groups * channels, x, &x_strides, edge, room);
        let [depth, height, cols] = window.output;
        let [planes, lines, taps] = window.kernel;
        let steps: [usize; 3] = from_fn(|d| window.stride[d] * apart[d]);
        // Where lines lie one behind the other, they are one.
        let in_order = height == 1 || steps[1] == cols * steps[2];
        let [height, cols] = if in_order { [1, height * cols] } else { [height, cols] };
        let windows = Windows {
            each: [height, cols],
            steps,
            runs: [planes, lines, if run == channels { taps } else { 1 }],
            apart: from_fn(|d| window.dilation[d] * apart[d]),
            run: padded,
        };
        let first = tensor * positions;
        for group in 0..groups {
            let (data, col) = (&data[(group * channels).min(data.len())..], group * outputs);
            if Way::new(level, positions).walks() {
                product.rows(s, (first, col), positions, (data, 0), Some(windows));
                continue;
            }
            // Rows in one piece: where they lie, or gathered.
            if runs == 1 {
                for line in 0..depth * height {
                    let [from] = windows.begins(line * cols);
                    let rows = (&data[from..], windows.steps[2]);
                    product.rows(s, (first + line * cols, col), cols, rows, None);
                }
                continue;
            }
            for row in (0..positions).step_by(block(k)) {
                let rows = (positions - row).min(block(k));
                for (i, to) in gathered.chunks_exact_mut(k).enumerate().take(rows) {
                    let [from] = windows.begins(row + i);
                    for (offset, to) in windows.offsets().zip(to.chunks_exact_mut(padded)) {
                        to.copy_from_slice(&data[from + offset..][..padded]);
                    }
                }
                product.rows(s, (first + row, col), rows, (gathered, k), None);
            }
        }
    }
}

/// The product of windows with the weights of a group.
struct Product<'a> {
    level: Level,
    k: usize,
    /// Outputs of a group, and of all.
    n: usize,
    all: usize,
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
    /// Computes `m` rows from `row` on, of the group whose first output is `col`.
    fn rows<S: Simd>(
        &mut self,
        s: S,
        (row, col): (usize, usize),
        m: usize,
        (a, a_row_stride): (&[u8], usize),
        windows: Option<Windows>,
    ) {
        let (n, all, at) = (self.n, self.all, row * self.all + col);
        let mut moved = ArrayVec::<Stage<'_>, MOST_STAGES>::new();
        if at > 0 {
            moved.extend(self.stages.iter().map(|stage| stage.behind(row, col)));
        }
        let stages = if at > 0 { &moved[..] } else { self.stages };
        let part = at..at + (m - 1) * all + n;
        gemm_i8(
            s,
            self.level,
            GemmI8 {
                m,
                n,
                k: self.k,
                a,
                a_row_stride,
                windows,
                a_grid: self.x_grid,
                b: &self.weights[self.k / QUAD * col..],
                b_sums: &self.sums[col..],
                b_scale: &self.scales[col..],
                b_zero: Zeros::each(self.zeros.map(|zeros| &zeros[col..])),
                stages,
                output: self.output.part(part),
                c_row_stride: all,
                scratch: self.scratch,
            },
        );
    }
}
