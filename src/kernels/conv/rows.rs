//! Direct convolution with output channels in the lanes of vectors.
#![allow(clippy::needless_range_loop, reason = "an index says which lane, row or dimension")]

use core::array::from_fn;

mod depthwise;

pub use depthwise::depthwise_rows_f32;

use super::direct::{DirectF32, Image, TapAxis, Taps, epilogue};
use super::lines::Rest;
use super::{Geometry, Window};
use crate::kernels::gemm::PANEL;
use crate::kernels::simd::{Simd, Vectorized};

/// Lanes of the widest tile.
const WIDEST: usize = 2 * PANEL;

/// Convolves a result whose channels lie side by side, channel by channel in the lanes.
///
/// **Shapes and units**: `x` as its strides say; `weights` for each group panels of 16 output
/// channels, `[groups, ceil(outputs / 16), kernel.., channels, 16]`; `bias`
/// `[groups * outputs]`; `residual` and `y` `[batch, output.., groups * outputs]`. `scratch`
/// holds [`Window::rows_len`] elements.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: a multiply-add an output, channel and tap, and one write for each element of the
/// padded input of each tensor unless windows stay inside an input whose channels lie side by
/// side; no allocation.
pub fn conv_rows_f32<S: Simd>(s: S, conv: DirectF32<'_>) {
    let Geometry { window, batch, groups, channels, outputs } = *conv.geometry;
    let len = groups * outputs * window.output_len();
    if batch * len == 0 {
        return;
    }
    let DirectF32 { x, x_strides, weights, bias, residual, scratch, y, .. } = conv;
    let (clamp, rest) = epilogue(conv.activation);
    let group_weights = outputs.div_ceil(PANEL) * PANEL * channels * window.kernel_len();
    let y = &mut y[..batch * len];
    for (i, y) in y.chunks_exact_mut(len).enumerate() {
        let x = x.get(i * x_strides[0]..).unwrap_or(&[]);
        let image = image(s, &window, groups * channels, x, &x_strides, scratch);
        // Where the elements of a row of the window lie one behind the other, they are one tap.
        let [d, h, w] = image.axes;
        let joins = groups == 1 && w.kernel > 1 && w.dilation * w.step == channels;
        let (axes, run) = match joins {
            true => ([d, h, TapAxis { kernel: 1, ..w }], channels * w.kernel),
            false => (image.axes, channels),
        };
        let taps = Taps::new(axes);
        for group in 0..groups {
            let all = group * outputs..(group + 1) * outputs;
            let mut rows = Rows {
                window: &window,
                data: &image.data[group * channels..],
                steps: image.steps,
                taps: &taps,
                run,
                width: groups * outputs,
                weights: &weights[group * group_weights..][..group_weights],
                bias: if bias.is_empty() { &[] } else { &bias[all.clone()] },
                residual: if residual.is_empty() { &[] } else { &residual[i * len + all.start..] },
                clamp,
                y: &mut y[all.start..],
            };
            let panels = outputs.div_ceil(PANEL);
            let mut panel = 0;
            while panel < panels {
                panel += column(s, &mut rows, outputs, panel, panels - panel);
            }
        }
        s.vectorize(Rest { activation: rest, y });
    }
}

impl Window {
    /// Positions of the padded input that the windows see, for each axis.
    pub(super) fn seen(&self) -> [usize; 3] {
        from_fn(|d| {
            let last = (self.output[d].max(1) - 1).saturating_mul(self.stride[d]);
            let far = (self.kernel[d].max(1) - 1).saturating_mul(self.dilation[d]);
            last.saturating_add(far).saturating_add(1)
        })
    }

    /// Elements of working memory that [`conv_rows_f32`] and [`depthwise_rows_f32`] need for an
    /// input of so many channels; it grows with the output. `None` if nothing can hold them.
    pub fn rows_len(&self, channels: usize) -> Option<usize> {
        self.seen().iter().try_fold(channels.max(1), |n, len| n.checked_mul(*len))
    }
}

/// The image of a tensor with its channels side by side: the input itself where it lies so and
/// windows do not leave it, else a copy.
fn image<'a, S: Simd>(
    s: S,
    window: &Window,
    channels: usize,
    x: &'a [f32],
    strides: &[usize; 5],
    scratch: &'a mut [f32],
) -> Image<'a> {
    let [_, channel, d, h, w] = *strides;
    let (data, steps) = if channel == 1 && window.stays_inside() {
        (x, [d, h, w])
    } else {
        let seen = window.seen();
        let [depth, rows, cols] = seen;
        let image = &mut scratch[..depth * rows * cols * channels];
        let (start, end, first) = window.covered(2, 0, 1, cols);
        for (line, to) in image.chunks_exact_mut((cols * channels).max(1)).enumerate() {
            let at = (window.element(0, line / rows, 1, 0), window.element(1, line % rows, 1, 0));
            let ((Some(id), Some(ih)), true) = (at, start < end) else {
                to.fill(0.0);
                continue;
            };
            to[..start * channels].fill(0.0);
            to[end * channels..].fill(0.0);
            let from = &x[id * d + ih * h + first * w..];
            let to = &mut to[start * channels..end * channels];
            s.vectorize(Gather { from, channel, step: w, channels, to });
        }
        (&*image, [rows * cols * channels, cols * channels, channels])
    };
    let axis = |d: usize| TapAxis {
        kernel: window.kernel[d],
        period: 1,
        phase: 0,
        dilation: window.dilation[d],
        stride: 1,
        step: steps[d],
    };
    let from = from_fn(|d| steps[d] * window.stride[d]);
    Image { data, channel: 1, steps: from, axes: from_fn(axis) }
}

/// Brings the channels of one row of positions side by side.
struct Gather<'a> {
    from: &'a [f32],
    channel: usize,
    /// Elements from a position to the next.
    step: usize,
    channels: usize,
    to: &'a mut [f32],
}

impl Vectorized for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, channel, step, channels, to } = self;
        if channel == 1 && step == channels {
            return to.copy_from_slice(&from[..to.len()]);
        }
        if channel == 1 {
            for (i, to) in to.chunks_exact_mut(channels).enumerate() {
                to.copy_from_slice(&from[i * step..][..channels]);
            }
            return;
        }
        let positions = to.len() / channels;
        // Eight by eight where positions are neighbours, and one by one what is left.
        let (whole, blocks) = match step {
            1 => (positions / 8 * 8, channels / 8 * 8),
            _ => (0, 0),
        };
        for i in (0..whole).step_by(8) {
            for c in (0..blocks).step_by(8) {
                let from = &from[c * channel + i..];
                s.transpose8(from, channel, &mut to[i * channels + c..], channels);
            }
        }
        for (i, to) in to.chunks_exact_mut(channels).enumerate() {
            let done = if i < whole { blocks } else { 0 };
            for (c, to) in to.iter_mut().enumerate().skip(done) {
                *to = from[c * channel + i * step];
            }
        }
    }
}

/// The outputs of one group of one tensor.
struct Rows<'a> {
    window: &'a Window,
    data: &'a [f32],
    /// From a window to the next, for each axis.
    steps: [usize; 3],
    taps: &'a Taps,
    /// Elements of a tap.
    run: usize,
    /// Elements from a position of the output to the next.
    width: usize,
    weights: &'a [f32],
    bias: &'a [f32],
    residual: &'a [f32],
    clamp: (f32, f32),
    y: &'a mut [f32],
}

/// Walks the windows in the order of the output.
struct Walk {
    output: [usize; 3],
    steps: [usize; 3],
    next: [usize; 3],
}

impl Walk {
    /// Where the next window begins.
    #[inline(always)]
    fn next(&mut self) -> usize {
        let [d, h, w] = self.next;
        let at = d * self.steps[0] + h * self.steps[1] + w * self.steps[2];
        self.next[2] += 1;
        if self.next[2] == self.output[2] {
            self.next = if h + 1 == self.output[1] { [d + 1, 0, 0] } else { [d, h + 1, 0] };
        }
        at
    }
}

/// Computes as many panels from `panel` on as suit the number of positions, and says how many.
fn column<S: Simd>(s: S, rows: &mut Rows<'_>, outputs: usize, panel: usize, left: usize) -> usize {
    let positions = rows.window.output_len();
    let mut walk = Walk { output: rows.window.output, steps: rows.steps, next: [0; 3] };
    let mut row = 0;
    /// Tiles of at most `$tallest` rows; of those listed, the tallest that fits.
    macro_rules! tiles {
        ($tallest:literal; $($mr:literal x $nv:literal, $ks:literal;)*) => {
            while row < positions {
                let blocks = (positions - row).div_ceil($tallest);
                let tall = (positions - row).div_ceil(blocks);
                $(if tall >= $mr {
                    let windows: [usize; $mr] = from_fn(|_| walk.next());
                    let tile = Tile::<$mr, $nv, $ks> { rows, windows, row, panel, outputs };
                    s.vectorize(tile);
                    row += $mr;
                    continue;
                })*
            }
        };
    }
    match S::LANES {
        16 if left >= 2 && positions > 1 => {
            tiles! { 8; 8 x 2, 1; 7 x 2, 1; 6 x 2, 1; 5 x 2, 1; 4 x 2, 1; 3 x 2, 2; 2 x 2, 2; 1 x 2, 4; }
            return 2;
        }
        16 => {
            tiles! { 12; 12 x 1, 1; 8 x 1, 1; 6 x 1, 1; 4 x 1, 2; 2 x 1, 4; 1 x 1, 8; }
        }
        8 => {
            tiles! { 6; 6 x 2, 1; 5 x 2, 1; 4 x 2, 1; 3 x 2, 1; 2 x 2, 2; 1 x 2, 4; }
        }
        4 => {
            tiles! { 6; 6 x 4, 1; 4 x 4, 1; 2 x 4, 1; 1 x 4, 2; }
        }
        _ => {
            tiles! { 1; 1 x 16, 1; }
        }
    }
    1
}

/// `MR` positions by `NV` vectors of output channels; the sum is split into `KS` chains.
struct Tile<'t, 'a, const MR: usize, const NV: usize, const KS: usize> {
    rows: &'t mut Rows<'a>,
    windows: [usize; MR],
    row: usize,
    panel: usize,
    outputs: usize,
}

impl<const MR: usize, const NV: usize, const KS: usize> Vectorized for Tile<'_, '_, MR, NV, KS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rows, windows, row, panel, outputs } = self;
        let (run, taps) = (rows.run, rows.taps);
        let panel_len = taps.len() * run * PANEL;
        // A tile spans one panel or two.
        let panels: [&[f32]; 2] = from_fn(|j| {
            let at = (panel + j) * panel_len;
            if j * PANEL < NV * S::LANES { &rows.weights[at..][..panel_len] } else { &[] }
        });
        let col = panel * PANEL;
        let cols = (outputs - col).min(NV * S::LANES);
        let mut sums = [[[s.splat(0.0); NV]; MR]; KS];
        sums[0] = [bias::<S, NV>(s, rows, col, cols); MR];
        for t in 0..taps.len() {
            let at = taps.at(t);
            let x: [&[f32]; MR] = from_fn(|i| &rows.data[windows[i] + at..][..run]);
            let w: [&[f32]; 2] = from_fn(|j| match panels[j] {
                [] => panels[j],
                panel => &panel[t * run * PANEL..][..run * PANEL],
            });
            let whole = run / KS * KS;
            let mut c = 0;
            while c < whole {
                for chain in 0..KS {
                    step(s, &mut sums[chain], &x, c + chain, &w);
                }
                c += KS;
            }
            while c < run {
                step(s, &mut sums[0], &x, c, &w);
                c += 1;
            }
        }
        let mut tile = sums[0];
        for i in 0..MR {
            for v in 0..NV {
                let mut sum = sums[0][i][v];
                for chain in 1..KS {
                    sum = s.add(sum, sums[chain][i][v]);
                }
                tile[i][v] = sum;
            }
        }
        finish(s, rows, row * rows.width + col, cols, tile);
    }
}

/// Adds the products of element `c` of each row with a row of the panels.
#[inline(always)]
fn step<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    sums: &mut [[S::F32; NV]; MR],
    x: &[&[f32]; MR],
    c: usize,
    panels: &[&[f32]; 2],
) {
    let mut w = [s.splat(0.0); NV];
    for v in 0..NV {
        let at = v * S::LANES;
        w[v] = s.load(&panels[at / PANEL][c * PANEL..][..PANEL][at % PANEL..]);
    }
    for i in 0..MR {
        let x = s.splat(x[i][c]);
        for v in 0..NV {
            sums[i][v] = s.mul_add_relaxed(x, w[v], sums[i][v]);
        }
    }
}

/// The biases of `cols` channels from `col` on.
#[inline(always)]
fn bias<S: Simd, const NV: usize>(s: S, rows: &Rows<'_>, col: usize, cols: usize) -> [S::F32; NV] {
    let mut bias = [s.splat(0.0); NV];
    if rows.bias.is_empty() {
        return bias;
    }
    let from = &rows.bias[col..][..cols];
    for v in 0..NV {
        bias[v] = load(s, from, v * S::LANES);
    }
    bias
}

/// A vector of what there is from `at` on, then zeros.
#[inline(always)]
fn load<S: Simd>(s: S, from: &[f32], at: usize) -> S::F32 {
    let from = &from[at.min(from.len())..];
    if from.len() >= S::LANES { s.load(from) } else { s.load_tail(from) }
}

/// Adds the residual to the first `cols` sums of each position, clamps, and stores them.
#[inline(always)]
fn finish<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    rows: &mut Rows<'_>,
    at: usize,
    cols: usize,
    sums: [[S::F32; NV]; MR],
) {
    if cols < NV * S::LANES {
        // Through memory: loops that are not unrolled must not index what is to stay in registers.
        let mut tile = [[0.0; WIDEST]; MR];
        for i in 0..MR {
            for v in 0..NV {
                s.store(sums[i][v], &mut tile[i][v * S::LANES..]);
            }
        }
        return finish_narrow(s, rows, at, cols, &tile);
    }
    let (low, high) = (s.splat(rows.clamp.0), s.splat(rows.clamp.1));
    let (width, all) = (rows.width, (MR - 1) * rows.width + NV * S::LANES);
    let y = &mut rows.y[at..][..all];
    if rows.residual.is_empty() {
        for i in 0..MR {
            let y = &mut y[i * width..][..NV * S::LANES];
            for v in 0..NV {
                s.store(s.min(high, s.max(low, sums[i][v])), &mut y[v * S::LANES..]);
            }
        }
        return;
    }
    let residual = &rows.residual[at..][..all];
    for i in 0..MR {
        let y = &mut y[i * width..][..NV * S::LANES];
        let residual = &residual[i * width..][..NV * S::LANES];
        for v in 0..NV {
            let x = s.add(sums[i][v], s.load(&residual[v * S::LANES..]));
            s.store(s.min(high, s.max(low, x)), &mut y[v * S::LANES..]);
        }
    }
}

/// [`finish`] of sums in memory.
#[inline(always)]
fn finish_narrow<S: Simd>(
    s: S,
    rows: &mut Rows<'_>,
    at: usize,
    cols: usize,
    tile: &[[f32; WIDEST]],
) {
    let (low, high) = (s.splat(rows.clamp.0), s.splat(rows.clamp.1));
    for (i, sums) in tile.iter().enumerate() {
        let at = at + i * rows.width;
        let y = &mut rows.y[at..][..cols];
        let residual = if rows.residual.is_empty() { &[] } else { &rows.residual[at..][..cols] };
        for from in (0..cols).step_by(S::LANES) {
            let to = &mut y[from..];
            let mut x = s.load(&sums[from..]);
            // A load of nothing, from nowhere, is slow.
            if !residual.is_empty() {
                x = s.add(x, load(s, residual, from));
            }
            let x = s.min(high, s.max(low, x));
            if to.len() >= S::LANES {
                s.store(x, to);
            } else {
                s.store_tail(x, to);
            }
        }
    }
}
