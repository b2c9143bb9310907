//! Convolution of each channel by itself, a block of a plane at a time, in tiles of several rows.
//!
//! A block is copied into working memory with its padding around it and its columns in phases,
//! so that neighbouring outputs meet neighbouring elements whatever the stride. It stays in the
//! first-level cache while its outputs are computed, and its rows lie a constant apart: a row
//! that was loaded serves every row of a tile that it meets, and one check the loads of a column.
#![allow(clippy::needless_range_loop, reason = "an index says which lane, row or dimension")]

use core::array::from_fn;

use super::direct::{DirectF32, epilogue, gcd};
use super::lines::Rest;
use super::{Geometry, Window};
use crate::kernels::simd::{Simd, Vectorized};

mod fill;

use fill::Fill;

/// Columns of the output of a block: a multiple of the lanes of every vector.
const BLOCK: usize = 128;
/// Columns that the taps of a row may reach over, counted in outputs.
const REACH: usize = 16;
/// Columns of a kernel in two phases that reach so far.
const WIDTH: usize = 2 * REACH + 2;
/// Lanes of the widest vector.
const WIDEST: usize = 16;
/// Elements from a row of a block to the next: what is read, what is there before it so that the
/// first element of the input is aligned, and what whole vectors write behind it.
const PITCH: usize = WIDEST + BLOCK + REACH + WIDEST;
/// Rows of a block, of all phases: half of a small first-level cache if they are full.
const ROWS: usize = 40;
/// Rows of a tile.
const TALL: usize = 4;

/// How a plane is cut into blocks.
#[derive(Clone, Copy)]
struct Layout {
    /// Phases of the columns.
    phases: usize,
    /// Columns that the taps of a row reach over.
    reach: usize,
    /// Where a row of each phase begins, so that the first element of the input is aligned.
    leads: [usize; 2],
    /// Rows of a tile are so many outputs apart that they meet the same rows of the input.
    apart: usize,
    /// Rows of a phase of a block.
    rows: usize,
    /// Rows of the output of a block.
    outputs: usize,
}

impl Layout {
    /// `None` for a window that is not computed so: the choice depends on its taps alone.
    fn new(window: &Window) -> Option<Self> {
        let [planes, height, width] = window.kernel;
        let [_, row_stride, phases] = window.stride;
        let [_, row_dilation, dilation] = window.dilation;
        if planes != 1 || width == 0 || phases > 2 {
            return None;
        }
        let reach = (width - 1).checked_mul(dilation)? / phases;
        let apart = row_dilation / gcd(row_stride, row_dilation);
        // Taps from a row of a tile to the next.
        let step = row_stride / gcd(row_stride, row_dilation);
        if reach > REACH || !matches!((height, step), (1, _) | (3 | 5 | 7, 1 | 2)) {
            return None;
        }
        let step = if height == 1 { 1 } else { step };
        let lead = |phase| {
            let padding = window.pad_begin[2].saturating_sub(phase).div_ceil(phases);
            padding.next_multiple_of(WIDEST) - padding
        };
        let leads = [lead(0), if phases == 2 { lead(1) } else { 0 }];
        let all = window.output[1].max(1).div_ceil(apart) - 1;
        let rows = all.saturating_mul(step).saturating_add(height).min(ROWS / phases);
        Some(Self { phases, reach, leads, apart, rows, outputs: (rows - height) / step + 1 })
    }

    /// Elements of a block.
    const fn len(&self) -> usize {
        self.phases * self.rows * PITCH
    }

    /// Blocks of channels that are copied together.
    fn together(&self, channels: usize) -> usize {
        (ROWS * PITCH / self.len()).min(channels).max(1)
    }
}

impl Window {
    /// Elements of working memory that [`planes`] needs, which grows with the output; `None` for
    /// a window that it does not compute.
    pub(super) fn planes_len(&self, channels: usize) -> Option<usize> {
        Some(Layout::new(self)?.len().saturating_mul(channels.max(1)).min(ROWS * PITCH))
    }
}

/// [`depthwise_lines_f32`](super::depthwise_lines_f32) of a window that has a
/// [length](Window::planes_len).
pub(super) fn planes<S: Simd>(s: S, conv: DirectF32<'_>) {
    // A row that fits half a vector takes half of the work there.
    match conv.geometry.window.output[2] <= S::LANES / 2 {
        true => planes_of(s.half(), conv),
        false => planes_of(s, conv),
    }
}

fn planes_of<S: Simd>(s: S, conv: DirectF32<'_>) {
    let Geometry { window, batch, groups, outputs, .. } = conv.geometry;
    let len = batch * groups * outputs * window.output_len();
    let (_, rest) = epilogue(conv.activation);
    let DirectF32 { geometry, x, x_strides, weights, bias, residual, activation, scratch, y } =
        conv;
    let conv = DirectF32 {
        geometry,
        x,
        x_strides,
        weights,
        bias,
        residual,
        activation,
        scratch,
        y: &mut *y,
    };
    match (window.kernel[1], window.stride[1] / gcd(window.stride[1], window.dilation[1])) {
        (7, 1) => s.vectorize(Planes::<7, 1>(conv)),
        (7, _) => s.vectorize(Planes::<7, 2>(conv)),
        (5, 1) => s.vectorize(Planes::<5, 1>(conv)),
        (5, _) => s.vectorize(Planes::<5, 2>(conv)),
        (3, 1) => s.vectorize(Planes::<3, 1>(conv)),
        (3, _) => s.vectorize(Planes::<3, 2>(conv)),
        _ => s.vectorize(Planes::<1, 1>(conv)),
    }
    // Apart, so that its constants take no registers there.
    s.vectorize(Rest { activation: rest, y: &mut y[..len] });
}

/// Kernels of `K` rows; the rows of a tile are `STEP` taps apart.
struct Planes<'a, const K: usize, const STEP: usize>(DirectF32<'a>);

impl<const K: usize, const STEP: usize> Vectorized for Planes<'_, K, STEP> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let DirectF32 { geometry, x, x_strides, weights, bias, residual, scratch, y, .. } = self.0;
        let Geometry { window, batch, groups, outputs, .. } = geometry;
        let (Some(layout), batch, groups, outputs) =
            (Layout::new(window), *batch, *groups, *outputs)
        else {
            return;
        };
        let (clamp, _) = epilogue(self.0.activation);
        let (taps, len) = (window.kernel_len(), window.output_len());
        let [depth, height, cols] = window.output;
        let y = &mut y[..batch * groups * outputs * len];
        // Loads would wait for what was written just before them: channels that fit are copied
        // together.
        let size = layout.len();
        let together = layout.together(groups);
        let image = &mut scratch[..together * size];
        let whole = depth == 1 && layout.apart == 1 && layout.outputs >= height;
        // Rows go by whole, channel by channel: several blocks of columns do not.
        let in_order =
            cols <= BLOCK && (whole || layout.apart == 1 && outputs == 1 && together == 1);
        // Padding that is in the same place in every block is written once.
        image.fill(0.0);
        let steady = [whole, cols <= BLOCK];
        let mut columns = Columns::new(window, &layout);
        for first in (0..batch * groups).step_by(together) {
            let channels = first..(first + together).min(batch * groups);
            for line in 0..depth * layout.apart.min(height) {
                let (line, phase) = (line % depth, line / depth);
                let all = (height - phase).div_ceil(layout.apart);
                for above in (0..all).step_by(layout.outputs) {
                    let row = phase + above * layout.apart;
                    let rows = (all - above).min(layout.outputs);
                    for col in (0..cols).step_by(BLOCK) {
                        let width = (cols - col).min(BLOCK);
                        let seen = [(rows - 1) * STEP + K, width + layout.reach];
                        let at = [line, row, col];
                        let fill = Fill::new(window, &layout, &x_strides, at, seen, steady);
                        for (channel, image) in channels.clone().zip(image.chunks_exact_mut(size)) {
                            let (tensor, channel) = (channel / groups, channel % groups);
                            let at = tensor * x_strides[0] + channel * x_strides[1];
                            fill.run(s, x.get(at..).unwrap_or(&[]), image);
                        }
                        let images = channels.clone().zip(image.chunks_exact(size));
                        for (output, image) in images.flat_map(|(channel, image)| {
                            (channel * outputs..(channel + 1) * outputs).map(move |o| (o, image))
                        }) {
                            let kernel = output % (groups * outputs);
                            columns.take(&weights[kernel * taps..][..taps]);
                            let at = output * len + (line * height + row) * cols + col;
                            // Where all is written in order, what was too much is written over.
                            let end = if in_order { y.len() } else { (output + 1) * len };
                            let mut block = Block::<K, STEP> {
                                image,
                                columns: &columns,
                                bias: bias.get(kernel).copied().unwrap_or(0.0),
                                residual: residual.get(at..end).unwrap_or(&[]),
                                clamp,
                                rows,
                                line: layout.apart * cols,
                                cols: width,
                                spills: in_order,
                                y: &mut y[at..end],
                            };
                            block.tiles(s);
                        }
                    }
                }
            }
        }
    }
}

/// The columns of a kernel, and where they are in a row of a block.
struct Columns<const K: usize> {
    width: usize,
    places: [usize; WIDTH],
    weights: [[f32; K]; WIDTH],
}

impl<const K: usize> Columns<K> {
    /// In two phases, every other column is in the second.
    fn new(window: &Window, layout: &Layout) -> Self {
        let (width, dilation) = (window.kernel[2], window.dilation[2]);
        let place = |t: usize| match (layout.phases, t * dilation) {
            (2, at) if at % 2 == 1 => layout.rows * PITCH + layout.leads[1] + at / 2,
            (phases, at) => layout.leads[0] + at / phases,
        };
        let places = from_fn(|t| if t < width { place(t) } else { 0 });
        Self { width, places, weights: [[0.0; K]; WIDTH] }
    }

    /// Takes over the weights of a kernel, which lie row by row.
    #[inline(always)]
    fn take(&mut self, weights: &[f32]) {
        let width = self.width;
        for (t, column) in self.weights[..width].iter_mut().enumerate() {
            for k in 0..K {
                column[k] = weights[k * width + t];
            }
        }
    }
}

/// A block, and a kernel that it meets.
struct Block<'a, const K: usize, const STEP: usize> {
    image: &'a [f32],
    columns: &'a Columns<K>,
    bias: f32,
    /// What is added to `y`, or empty.
    residual: &'a [f32],
    clamp: (f32, f32),
    /// How many rows there are, and elements from one to the next in `y`.
    rows: usize,
    line: usize,
    cols: usize,
    /// Whether lanes behind the end of a row may be written.
    spills: bool,
    y: &'a mut [f32],
}

/// Where the vectors of a tile are in a row: the first, and from each to the next.
#[derive(Clone, Copy)]
struct Cols {
    first: usize,
    step: usize,
}

impl<const K: usize, const STEP: usize> Block<'_, K, STEP> {
    #[inline(always)]
    fn tiles<S: Simd>(&mut self, s: S) {
        let mut col = 0;
        while col < self.cols {
            let left = self.cols - col;
            if K == 1 && left == 4 * S::LANES && self.rows == 1 {
                self.tile::<S, 1, 4>(s, 0, Cols { first: col, step: S::LANES });
                return;
            }
            // The last vector begins early enough to be full.
            let (two, last) = (left > S::LANES, self.cols.saturating_sub(S::LANES));
            let cols = match two {
                true => Cols { first: col, step: S::LANES.min(left - S::LANES) },
                false => Cols { first: col.min(last), step: 0 },
            };
            col += if two { 2 * S::LANES } else { S::LANES };
            let mut row = 0;
            while row < self.rows {
                if self.rows >= TALL {
                    let at = row.min(self.rows - TALL);
                    match two {
                        true => self.tile::<S, TALL, 2>(s, at, cols),
                        false => self.tile::<S, TALL, 1>(s, at, cols),
                    }
                    row += TALL;
                } else {
                    match two {
                        true => self.tile::<S, 1, 2>(s, row, cols),
                        false => self.tile::<S, 1, 1>(s, row, cols),
                    }
                    row += 1;
                }
            }
        }
    }

    /// `R` rows from `row` on by `NV` vectors of columns.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const NV: usize>(&mut self, s: S, row: usize, cols: Cols) {
        let image = &self.image[row * STEP * PITCH + cols.first..];
        let mut sums = [[s.splat(self.bias); NV]; R];
        let columns = self.columns;
        for (place, w) in columns.places.iter().zip(&columns.weights).take(columns.width) {
            let mut lines = [&image[..0]; NV];
            for v in 0..NV {
                let len = ((R - 1) * STEP + K - 1) * PITCH + S::LANES;
                lines[v] = &image[place + v * cols.step..][..len];
            }
            for i in 0..(R - 1) * STEP + K {
                let mut x = [s.splat(0.0); NV];
                for v in 0..NV {
                    x[v] = s.load(&lines[v][i * PITCH..]);
                }
                for r in 0..R {
                    if i >= r * STEP && i < r * STEP + K {
                        let w = s.splat(w[i - r * STEP]);
                        for v in 0..NV {
                            sums[r][v] = s.mul_add_relaxed(w, x[v], sums[r][v]);
                        }
                    }
                }
            }
        }
        self.store(s, row, cols, sums);
    }

    /// Adds the residual, clamps and stores.
    #[inline(always)]
    fn store<S: Simd, const R: usize, const NV: usize>(
        &mut self,
        s: S,
        row: usize,
        cols: Cols,
        mut sums: [[S::F32; NV]; R],
    ) {
        let line = self.line;
        let (first, last) = (row * line + cols.first, (R - 1) * line + (NV - 1) * cols.step);
        let (low, high) = (s.splat(self.clamp.0), s.splat(self.clamp.1));
        let (y, adds) = (&mut self.y[first..], !self.residual.is_empty());
        let residual = if adds { &self.residual[first..] } else { &[] };
        if last + S::LANES > y.len() || !self.spills && self.cols < S::LANES {
            // Through memory: loops that are not unrolled must not index what is to stay in
            // registers.
            let mut tile = [[0.0; WIDEST]; R];
            for r in 0..R {
                s.store(sums[r][0], &mut tile[r]);
            }
            for (r, tile) in tile.iter().enumerate() {
                let mut x = s.load(tile);
                if adds {
                    x = s.add(x, s.load_tail(&residual[r * line..][..self.cols]));
                }
                s.store_tail(s.min(high, s.max(low, x)), &mut y[r * line..][..self.cols]);
            }
            return;
        }
        for r in 0..R {
            if adds {
                let residual = &residual[r * line..];
                for v in 0..NV {
                    sums[r][v] = s.add(sums[r][v], s.load(&residual[v * cols.step..]));
                }
            }
            let y = &mut y[r * line..];
            for v in 0..NV {
                s.store(s.min(high, s.max(low, sums[r][v])), &mut y[v * cols.step..]);
            }
        }
    }
}
