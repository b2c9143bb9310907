//! Direct convolution with output positions in the lanes of vectors.
#![allow(clippy::needless_range_loop, reason = "an index says which lane, row or dimension")]

use core::array::from_fn;

use arrayvec::ArrayVec;

use super::direct::{DirectF32, Image, TapAxis, Taps, epilogue, gcd};
use super::planes::planes;
use super::{Geometry, Window};
use crate::kernels::gemm::PANEL;
use crate::kernels::simd::{Simd, Vectorized};

/// Lanes of the widest tile.
const WIDEST: usize = 64;

/// Convolves a row-major result, position by position in the lanes.
///
/// **Shapes and units**: `x` as its strides say; `weights` for each group panels of 16 output
/// channels, `[groups, ceil(outputs / 16), kernel.., channels, 16]`; `bias`
/// `[groups * outputs]`; `residual` and `y` `[batch, groups * outputs, output..]`. `scratch`
/// holds [`Window::lines_len`] elements.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: a multiply-add an output, channel and tap, and one write for each element of the
/// padded input of each tensor unless windows stay inside an input of whole vectors; no
/// allocation.
pub fn conv_lines_f32<S: Simd>(s: S, conv: DirectF32<'_>) {
    let Geometry { window, batch, groups, channels, outputs } = *conv.geometry;
    let len = window.output_len();
    if batch * groups * outputs * len == 0 {
        return;
    }
    let DirectF32 { x, x_strides, weights, bias, residual, scratch, y, .. } = conv;
    let (clamp, rest) = epilogue(conv.activation);
    let panels = outputs.div_ceil(PANEL);
    let group_weights = panels * PANEL * channels * window.kernel_len();
    let y = &mut y[..batch * groups * outputs * len];
    for (i, y) in y.chunks_exact_mut(groups * outputs * len).enumerate() {
        let x = x.get(i * x_strides[0]..).unwrap_or(&[]);
        let image = image::<S>(&window, groups * channels, x, &x_strides, scratch);
        let taps = Taps::new(image.axes);
        let residual = match residual {
            [] => &[][..],
            _ => &residual[i * groups * outputs * len..][..groups * outputs * len],
        };
        for group in 0..groups {
            let (first, all) = (group * outputs, group * outputs..(group + 1) * outputs);
            let lines = Lines {
                window: &window,
                image: &image,
                taps: &taps,
                from: group * channels * image.channel,
                channels,
                outputs,
                weights: &weights[group * group_weights..][..group_weights],
                k_stride: PANEL,
                bias: if bias.is_empty() { &[] } else { &bias[all] },
                residual: if residual.is_empty() { &[] } else { &residual[first * len..] },
                clamp,
                y: &mut y[first * len..][..outputs * len],
            };
            s.vectorize(lines);
        }
        s.vectorize(Rest { activation: rest, y });
    }
}

/// Convolves each channel by itself, row-major, position by position in the lanes.
///
/// **Shapes and units**: as [`conv_lines_f32`] with one channel a group, but for `weights`, which
/// are `[groups, outputs, kernel..]`.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: as [`conv_lines_f32`].
pub fn depthwise_lines_f32<S: Simd>(s: S, conv: DirectF32<'_>) {
    let Geometry { window, batch, groups, outputs, .. } = *conv.geometry;
    let (len, kernel) = (window.output_len(), window.kernel_len());
    if batch * groups * outputs * len == 0 {
        return;
    }
    if window.planes_len(groups).is_some() {
        return planes(s, conv);
    }
    let DirectF32 { x, x_strides, weights, bias, residual, scratch, y, .. } = conv;
    let (clamp, rest) = epilogue(conv.activation);
    let y = &mut y[..batch * groups * outputs * len];
    for (i, y) in y.chunks_exact_mut(groups * outputs * len).enumerate() {
        let x = x.get(i * x_strides[0]..).unwrap_or(&[]);
        let image = image::<S>(&window, groups, x, &x_strides, scratch);
        let taps = Taps::new(image.axes);
        for (channel, y) in y.chunks_exact_mut(len).enumerate() {
            let at = (i * groups * outputs + channel) * len;
            let lines = Lines {
                window: &window,
                image: &image,
                taps: &taps,
                from: channel / outputs * image.channel,
                channels: 1,
                outputs: 1,
                weights: &weights[channel * kernel..][..kernel],
                k_stride: 1,
                bias: if bias.is_empty() { &[] } else { &bias[channel..][..1] },
                residual: if residual.is_empty() { &[] } else { &residual[at..][..len] },
                clamp,
                y,
            };
            s.vectorize(lines);
        }
        s.vectorize(Rest { activation: rest, y });
    }
}

/// How an axis is cut into phases, so that neighbouring outputs meet neighbouring elements
/// whatever the stride.
#[derive(Clone, Copy)]
struct Phases {
    count: usize,
    /// Positions of a phase.
    len: usize,
    period: usize,
}

impl Window {
    fn phases(&self, d: usize) -> Phases {
        let (stride, dilation) = (self.stride[d], self.dilation[d]);
        let period = stride / gcd(stride, dilation);
        let reach = (self.kernel[d].max(1) - 1).saturating_mul(dilation) / stride;
        Phases {
            count: period.min(self.kernel[d].max(1)),
            len: self.output[d].saturating_add(reach),
            period,
        }
    }

    /// Elements of working memory that [`depthwise_lines_f32`] needs for an input of so many
    /// channels; it grows with the output. `None` if nothing can hold them.
    pub fn depthwise_lines_len(&self, channels: usize) -> Option<usize> {
        self.planes_len(channels).or_else(|| self.lines_len(channels))
    }

    /// Elements of working memory that [`conv_lines_f32`] needs for an input of so many channels;
    /// it grows with the output. `None` if nothing can hold them.
    pub fn lines_len(&self, channels: usize) -> Option<usize> {
        let each = (0..3).map(|d| self.phases(d)).try_fold(1usize, |n, phases| {
            n.checked_mul(phases.count)?.checked_mul(phases.len.max(1))
        })?;
        each.checked_mul(channels.max(1))?.checked_add(WIDEST)
    }
}

/// The image of a tensor: the input itself where windows do not leave it and whole vectors do
/// not either, else a copy.
fn image<'a, S: Simd>(
    window: &Window,
    channels: usize,
    x: &'a [f32],
    strides: &[usize; 5],
    scratch: &'a mut [f32],
) -> Image<'a> {
    let [_, channel, d, h, w] = *strides;
    let [_, height, width] = window.input;
    let steps = [height * width, width, 1];
    let lies = (w == 1 || window.input[2] == 1)
        && (h == width || window.input[1] == 1)
        && (d == steps[0] || window.input[0] == 1);
    let whole = || Run::of::<S>(window, steps).len().is_multiple_of(S::LANES);
    if lies && window.stride == [1; 3] && window.stays_inside() && whole() {
        let axis = |d: usize| TapAxis {
            kernel: window.kernel[d],
            period: 1,
            phase: 0,
            dilation: window.dilation[d],
            stride: 1,
            step: steps[d],
        };
        return Image { data: x, channel, steps, axes: from_fn(axis) };
    }
    let phases: [Phases; 3] = from_fn(|d| window.phases(d));
    let [pd, ph, pw] = phases;
    let block = pd.len * ph.len * pw.len;
    let size = block * pd.count * ph.count * pw.count;
    let image = &mut scratch[..channels * size + WIDEST];
    let (image, slack) = image.split_at_mut(channels * size);
    slack.fill(0.0);
    for phase in 0..pd.count * ph.count * pw.count {
        let at = [phase / (ph.count * pw.count), phase / pw.count % ph.count, phase % pw.count];
        let copy = PhaseCopy {
            window,
            steps: [d, h, w],
            shift: from_fn(|d| at[d] * window.dilation[d] % window.stride[d]),
            lens: [pd.len, ph.len, pw.len],
        };
        let covered = window.covered(2, copy.shift[2], window.stride[2], pw.len);
        for c in 0..channels {
            let x = x.get(c * channel..).unwrap_or(&[]);
            copy.run(x, covered, &mut image[c * size + phase * block..][..block]);
        }
    }
    let steps = [ph.len * pw.len, pw.len, 1];
    let phase_steps = [block * ph.count * pw.count, block * pw.count, block];
    let axis = |d: usize| TapAxis {
        kernel: window.kernel[d],
        period: phases[d].period,
        phase: phase_steps[d],
        dilation: window.dilation[d],
        stride: window.stride[d],
        step: steps[d],
    };
    Image { data: scratch, channel: size, steps, axes: from_fn(axis) }
}

/// Copies the elements at `i * stride + shift` of padded channels.
struct PhaseCopy<'a> {
    window: &'a Window,
    /// Elements of the input from a position to the next.
    steps: [usize; 3],
    shift: [usize; 3],
    lens: [usize; 3],
}

impl PhaseCopy<'_> {
    /// Copies one channel; `covered` is what [`Window::covered`] says of its lines.
    #[inline]
    fn run(&self, x: &[f32], (start, end, first): (usize, usize, usize), to: &mut [f32]) {
        let Self { window, steps: [d, h, w], shift, lens: [depth, rows, cols] } = *self;
        let step = w * window.stride[2];
        let mut left = to;
        for line in 0..depth {
            let plane = window.element(0, line, window.stride[0], shift[0]);
            for row in 0..rows {
                let (to, rest) = left.split_at_mut(cols);
                left = rest;
                let at = plane.zip(window.element(1, row, window.stride[1], shift[1]));
                let (Some((id, ih)), true) = (at, start < end) else {
                    to.fill(0.0);
                    continue;
                };
                to[..start].fill(0.0);
                to[end..].fill(0.0);
                let from = &x[id * d + ih * h + first * w..];
                let to = &mut to[start..end];
                if step == 1 {
                    to.copy_from_slice(&from[..end - start]);
                } else {
                    for (to, from) in to.iter_mut().zip(from.iter().step_by(step.max(1))) {
                        *to = *from;
                    }
                }
            }
        }
    }
}

/// An activation that is not a clamp.
pub(super) struct Rest<'a> {
    pub activation: crate::kernels::activation::Activation,
    pub y: &'a mut [f32],
}

impl Vectorized for Rest<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.activation.apply(s, self.y);
    }
}

/// The outputs of one group of one tensor.
struct Lines<'a, 'i> {
    window: &'a Window,
    image: &'a Image<'i>,
    taps: &'a Taps,
    /// Where the group's channels begin in the image.
    from: usize,
    channels: usize,
    outputs: usize,
    weights: &'a [f32],
    /// Elements from the weights of one channel and tap to the next.
    k_stride: usize,
    bias: &'a [f32],
    residual: &'a [f32],
    clamp: (f32, f32),
    y: &'a mut [f32],
}

/// A piece of the lanes of a tile that lies in one row of the output.
#[derive(Clone, Copy)]
struct Piece {
    lane: usize,
    len: usize,
    /// Its first position in the output.
    at: usize,
}

type Pieces = ArrayVec<Piece, WIDEST>;

impl Vectorized for Lines<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let [depth, rows, cols] = self.window.output;
        match Run::of::<S>(self.window, self.image.steps) {
            Run::Whole(len) => self.columns(s, self.from, len, None),
            Run::Row(len) => {
                let [d, h, _] = self.image.steps;
                for line in 0..depth * rows {
                    let from = self.from + line / rows * d + line % rows * h;
                    self.columns(s, from, len, Some(line * cols));
                }
            }
        }
    }
}

/// Which positions vectors run through, and how many.
enum Run {
    /// All, with what lies between rows.
    Whole(usize),
    /// Those of each row.
    Row(usize),
}

impl Run {
    /// The run that takes fewer vectors in an image with these steps.
    #[inline(always)]
    fn of<S: Simd>(window: &Window, [d, h, _]: [usize; 3]) -> Self {
        let [depth, rows, cols] = window.output;
        let whole = (depth - 1) * d + (rows - 1) * h + cols;
        match whole.div_ceil(S::LANES) <= depth * rows * cols.div_ceil(S::LANES) {
            true => Self::Whole(whole),
            false => Self::Row(cols),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Whole(len) | Self::Row(len) => *len,
        }
    }
}

impl Lines<'_, '_> {
    /// Computes all outputs at `len` positions from `from` in the image on: those of the whole
    /// output, or of a row that begins there at `row`.
    #[inline(always)]
    fn columns<S: Simd>(&mut self, s: S, from: usize, len: usize, row: Option<usize>) {
        let mut left = len.div_ceil(S::LANES);
        let (mut at, mut pieces) = (0, Pieces::new());
        // A depthwise convolution has one output, which leaves more registers for positions.
        let widest = if self.outputs <= 4 || S::LANES == 1 { 4 } else { 3 };
        while left > 0 {
            let vectors = left.div_ceil(left.div_ceil(widest));
            let lanes = (vectors * S::LANES).min(len - at);
            pieces.clear();
            match row {
                Some(row) => pieces.push(Piece { lane: 0, len: lanes, at: row + at }),
                None => self.pieces(at, lanes, &mut pieces),
            }
            match vectors {
                4 => self.outputs_of::<S, 4>(s, from + at, &pieces),
                3 => self.outputs_of::<S, 3>(s, from + at, &pieces),
                2 => self.outputs_of::<S, 2>(s, from + at, &pieces),
                _ => self.outputs_of::<S, 1>(s, from + at, &pieces),
            }
            at += vectors * S::LANES;
            left -= vectors;
        }
    }

    /// Where the lanes of a run over the whole image belong.
    #[inline(always)]
    fn pieces(&self, at: usize, lanes: usize, pieces: &mut Pieces) {
        let [depth, rows, cols] = self.window.output;
        let [d, h, _] = self.image.steps;
        let planes_join = depth == 1 || d == rows * cols;
        if depth * rows == 1 || h == cols && planes_join {
            return pieces.push(Piece { lane: 0, len: lanes, at });
        }
        let mut lane = 0;
        while lane < lanes {
            let position = at + lane;
            let (id, ih, col) = (position / d, position % d / h, position % h);
            let step = (h - col).min(lanes - lane);
            if col < cols && ih < rows {
                let len = (cols - col).min(step);
                let at = (id * rows + ih) * cols + col;
                pieces.push(Piece { lane, len, at });
            }
            lane += step;
        }
    }

    /// Computes all outputs at `NV` vectors of positions.
    #[inline(always)]
    fn outputs_of<S: Simd, const NV: usize>(&mut self, s: S, at: usize, pieces: &Pieces) {
        let mut first = 0;
        while first < self.outputs {
            let left = (self.outputs - first).min(PANEL - first % PANEL);
            let tile = Place { at, first, pieces };
            first += match left {
                8.. if S::LANES == 16 => {
                    s.vectorize(Tile::<8, NV> { lines: self, place: tile });
                    8
                }
                4.. if S::LANES > 1 => {
                    s.vectorize(Tile::<4, NV> { lines: self, place: tile });
                    4
                }
                2.. => {
                    s.vectorize(Tile::<2, NV> { lines: self, place: tile });
                    2
                }
                _ => {
                    s.vectorize(Tile::<1, NV> { lines: self, place: tile });
                    1
                }
            };
        }
    }
}

/// Where a tile is.
struct Place<'t> {
    /// Its first element in the image.
    at: usize,
    /// Its first output channel.
    first: usize,
    pieces: &'t Pieces,
}

/// `MR` output channels by `NV` vectors of positions.
struct Tile<'t, 'a, 'i, const MR: usize, const NV: usize> {
    lines: &'t mut Lines<'a, 'i>,
    place: Place<'t>,
}

impl<const MR: usize, const NV: usize> Vectorized for Tile<'_, '_, '_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { lines, place } = self;
        let Place { at, first, pieces } = place;
        let (channels, channel, stride) = (lines.channels, lines.image.channel, lines.k_stride);
        let taps = lines.taps;
        let x = &lines.image.data[at..];
        let panel = first / PANEL * PANEL * channels * taps.len();
        let weights = &lines.weights[panel + first % PANEL..];
        let mut k = 0;
        let mut sums = [[s.splat(0.0); NV]; MR];
        for i in 0..MR {
            sums[i] = [s.splat(lines.bias.get(first + i).copied().unwrap_or(0.0)); NV];
        }
        for t in 0..taps.len() {
            let x = &x[taps.at(t)..];
            for c in 0..channels {
                let x = &x[c * channel..][..NV * S::LANES];
                let w = &weights[k..][..MR];
                k += stride;
                let mut row = [s.splat(0.0); NV];
                for v in 0..NV {
                    row[v] = s.load(&x[v * S::LANES..]);
                }
                for i in 0..MR {
                    let w = s.splat(w[i]);
                    for v in 0..NV {
                        sums[i][v] = s.mul_add_relaxed(w, row[v], sums[i][v]);
                    }
                }
            }
        }
        if let [Piece { lane: 0, len, at }] = pieces[..]
            && len == NV * S::LANES
        {
            return store(s, lines, first, at, sums);
        }
        // A copy in memory for the epilogue, which is not unrolled: the sums stay in registers.
        let tile = sums;
        finish(s, lines, first, pieces, &tile);
    }
}

/// Adds the residual, clamps, and stores a tile whose lanes are all one piece of the output.
#[inline(always)]
fn store<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    lines: &mut Lines<'_, '_>,
    first: usize,
    at: usize,
    sums: [[S::F32; NV]; MR],
) {
    let len = lines.window.output_len();
    let (low, high) = (s.splat(lines.clamp.0), s.splat(lines.clamp.1));
    let all = (first * len + at, (MR - 1) * len + NV * S::LANES);
    let y = &mut lines.y[all.0..][..all.1];
    if lines.residual.is_empty() {
        for i in 0..MR {
            let y = &mut y[i * len..][..NV * S::LANES];
            for v in 0..NV {
                s.store(s.min(high, s.max(low, sums[i][v])), &mut y[v * S::LANES..]);
            }
        }
        return;
    }
    let residual = &lines.residual[all.0..][..all.1];
    for i in 0..MR {
        let y = &mut y[i * len..][..NV * S::LANES];
        let residual = &residual[i * len..][..NV * S::LANES];
        for v in 0..NV {
            let x = s.add(sums[i][v], s.load(&residual[v * S::LANES..]));
            s.store(s.min(high, s.max(low, x)), &mut y[v * S::LANES..]);
        }
    }
}

/// Adds the residual, clamps, and stores the pieces that belong to the output.
#[inline(always)]
fn finish<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    lines: &mut Lines<'_, '_>,
    first: usize,
    pieces: &Pieces,
    tile: &[[S::F32; NV]; MR],
) {
    let len = lines.window.output_len();
    let (low, high) = (s.splat(lines.clamp.0), s.splat(lines.clamp.1));
    for i in 0..MR {
        let y = &mut lines.y[(first + i) * len..][..len];
        let residual = match lines.residual {
            [] => &[][..],
            residual => &residual[(first + i) * len..][..len],
        };
        if let [Piece { lane: 0, len, at }] = pieces[..] {
            let y = &mut y[at..][..len];
            let residual = if residual.is_empty() { residual } else { &residual[at..][..len] };
            for v in 0..NV {
                let from = v * S::LANES;
                if from >= len {
                    break;
                }
                let mut x = tile[i][v];
                if len - from >= S::LANES {
                    if !residual.is_empty() {
                        x = s.add(x, s.load(&residual[from..]));
                    }
                    s.store(s.min(high, s.max(low, x)), &mut y[from..]);
                } else {
                    if !residual.is_empty() {
                        x = s.add(x, s.load_tail(&residual[from..]));
                    }
                    s.store_tail(s.min(high, s.max(low, x)), &mut y[from..]);
                }
            }
            continue;
        }
        let mut lanes = [0.0; WIDEST];
        if !residual.is_empty() {
            for piece in pieces {
                lanes[piece.lane..][..piece.len]
                    .copy_from_slice(&residual[piece.at..][..piece.len]);
            }
        }
        for v in 0..NV {
            let lanes = &mut lanes[v * S::LANES..];
            let x = s.add(tile[i][v], s.load(lanes));
            s.store(s.min(high, s.max(low, x)), lanes);
        }
        for piece in pieces {
            y[piece.at..][..piece.len].copy_from_slice(&lanes[piece.lane..][..piece.len]);
        }
    }
}
