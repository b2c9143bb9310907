//! What the direct convolutions have in common: their arguments, and the image that they walk.
//!
//! No matrix is unrolled. Where windows reach into padding, or the input does not lie as a kernel
//! walks it, the input is copied once into an [`Image`], which has the padding around it; where
//! it does, the image is the input itself. A tap of the window is then an offset.

use super::{Geometry, Window};
use crate::kernels::activation::Activation;
use crate::kernels::gemm::PANEL;
use arrayvec::ArrayVec;

/// A convolution with weights in panels; see [`conv_lines_f32`](super::conv_lines_f32) and
/// [`conv_rows_f32`](super::conv_rows_f32) for the layout of weights and result.
#[derive(Debug)]
pub struct DirectF32<'a> {
    /// The sizes.
    pub geometry: &'a Geometry,
    /// The input, from its first element on.
    pub x: &'a [f32],
    /// Its strides: tensor of the batch, channel, depth, height, width.
    pub x_strides: [usize; 5],
    /// The weights.
    pub weights: &'a [f32],
    /// One number for each output channel of all groups, or empty.
    pub bias: &'a [f32],
    /// What is added, laid out as the result, or empty.
    pub residual: &'a [f32],
    /// What is applied to the sum.
    pub activation: Activation,
    /// Working memory: see [`Window::lines_len`] and [`Window::rows_len`].
    pub scratch: &'a mut [f32],
    /// The result.
    pub y: &'a mut [f32],
}

/// Taps whose offsets are kept in a table; further ones are computed where they are needed.
pub(super) const TABLE: usize = 64;

/// Where the taps of a window are, from its first element on.
pub(super) struct Taps {
    table: ArrayVec<usize, TABLE>,
    axes: [TapAxis; 3],
}

/// An axis of a window in an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct TapAxis {
    /// Taps.
    pub kernel: usize,
    /// Tap `t` is in phase `t % period`.
    pub period: usize,
    /// Elements from a phase to the next.
    pub phase: usize,
    /// Tap `t` is `t * dilation / stride` positions behind the first.
    pub dilation: usize,
    pub stride: usize,
    /// Elements from a position to the next.
    pub step: usize,
}

impl TapAxis {
    #[inline(always)]
    fn at(&self, t: usize) -> usize {
        if self.stride == 1 {
            return t * self.dilation * self.step;
        }
        t % self.period * self.phase + t * self.dilation / self.stride * self.step
    }
}

impl Taps {
    pub(super) fn new(axes: [TapAxis; 3]) -> Self {
        let mut table = ArrayVec::new();
        let [d, h, w] = &axes;
        'full: for td in 0..d.kernel {
            for th in 0..h.kernel {
                let line = d.at(td) + h.at(th);
                for tw in 0..w.kernel {
                    if table.try_push(line + w.at(tw)).is_err() {
                        break 'full;
                    }
                }
            }
        }
        Self { table, axes }
    }

    pub(super) fn len(&self) -> usize {
        self.axes.iter().map(|axis| axis.kernel).product()
    }

    /// The offsets of the first taps.
    #[inline(always)]
    pub(super) fn table(&self) -> &[usize] {
        &self.table
    }

    /// The offset of tap `t`, in the order of the window's elements.
    #[inline(always)]
    pub(super) fn at(&self, t: usize) -> usize {
        match self.table.get(t) {
            Some(at) => *at,
            None => self.compute(t),
        }
    }

    #[cold]
    fn compute(&self, t: usize) -> usize {
        let [d, h, w] = &self.axes;
        let plane = h.kernel * w.kernel;
        d.at(t / plane) + h.at(t / w.kernel % h.kernel) + w.at(t % w.kernel)
    }
}

/// An input that windows never leave.
pub(super) struct Image<'a> {
    pub data: &'a [f32],
    /// Elements from a channel to the next.
    pub channel: usize,
    /// Elements from a position to the next, for each axis.
    pub steps: [usize; 3],
    /// The axes of the window in it.
    pub axes: [TapAxis; 3],
}

impl Window {
    /// Whether every window lies inside the input.
    pub(super) fn stays_inside(&self) -> bool {
        (0..3).all(|d| {
            let far = self.kernel[d].max(1) - 1;
            let last = self.output[d].max(1) - 1;
            self.pad_begin[d] == 0 && last * self.stride[d] + far * self.dilation[d] < self.input[d]
        })
    }

    /// The indices `i` below `len` for which `i * step + shift` is inside the padded input
    /// along `d`, and the element that the first of them is.
    pub(super) fn covered(
        &self,
        d: usize,
        shift: usize,
        step: usize,
        len: usize,
    ) -> (usize, usize, usize) {
        let start = self.pad_begin[d].saturating_sub(shift).div_ceil(step).min(len);
        let end = (self.input[d] + self.pad_begin[d]).saturating_sub(shift).div_ceil(step);
        let end = end.clamp(start, len);
        (start, end, (start * step + shift).saturating_sub(self.pad_begin[d]))
    }

    /// The element that `i * step + shift` in the padded input is, if it is inside.
    pub(super) fn element(&self, d: usize, i: usize, step: usize, shift: usize) -> Option<usize> {
        let at = (i * step + shift).checked_sub(self.pad_begin[d])?;
        (at < self.input[d]).then_some(at)
    }
}

/// Elements of the panels of weights `[groups * outputs, channels, kernel..]`.
pub fn packed_taps_len(groups: usize, outputs: usize, rows: usize) -> Option<usize> {
    outputs.checked_next_multiple_of(PANEL)?.checked_mul(rows)?.checked_mul(groups)
}

/// Packs weights `[groups * outputs, channels, kernel..]` into zeroed panels of 16 outputs, tap
/// by tap.
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: one write an element, no allocation.
pub fn pack_taps_f32(geometry: &Geometry, weights: &[f32], panels: &mut [f32]) {
    let Geometry { window, groups, channels, outputs, .. } = *geometry;
    let (taps, rows) = (window.kernel_len(), geometry.rows());
    let padded = outputs.next_multiple_of(PANEL);
    for output in 0..groups * outputs {
        let (group, column) = (output / outputs, output % outputs);
        let panel = (group * padded + column / PANEL * PANEL) * rows + column % PANEL;
        for (row, weight) in weights[output * rows..][..rows].iter().enumerate() {
            let (channel, tap) = (row / taps, row % taps);
            panels[panel + (tap * channels + channel) * PANEL] = *weight;
        }
    }
}

/// The bounds that are applied to a sum in registers, and what is left for a pass over the
/// result.
pub(super) fn epilogue(activation: Activation) -> ((f32, f32), Activation) {
    match activation.clamp() {
        Some(bounds) => (bounds, Activation::None),
        None => ((f32::NEG_INFINITY, f32::INFINITY), activation),
    }
}

/// The greatest common divisor.
pub(super) const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::tests::windows;
    use super::super::{
        conv_lines_f32, conv_rows_f32, conv_scalar, depthwise_lines_f32, depthwise_rows_f32,
    };
    use super::*;
    use crate::kernels::Level;
    use crate::kernels::simd::{Simd, Vectorized, dispatch};
    use crate::kernels::suite::{Rng, assert_close, levels};
    use core::array::from_fn;
    use std::{format, vec, vec::Vec};

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Form {
        Lines,
        Rows,
        DepthwiseLines,
        DepthwiseRows,
    }

    struct Run<'a>(Form, DirectF32<'a>);

    impl Vectorized for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            match self.0 {
                Form::Lines => conv_lines_f32(s, self.1),
                Form::Rows => conv_rows_f32(s, self.1),
                Form::DepthwiseLines => depthwise_lines_f32(s, self.1),
                Form::DepthwiseRows => depthwise_rows_f32(s, self.1),
            }
        }
    }

    /// Channels side by side, from `[batch, channels, positions]`.
    fn turned(x: &[f32], channels: usize, positions: usize) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        for (i, x) in x.iter().enumerate() {
            let (position, channel) = (i % positions, i / positions % channels);
            let batch = i / positions / channels;
            out[(batch * positions + position) * channels + channel] = *x;
        }
        out
    }

    struct Case {
        geometry: Geometry,
        x: Vec<f32>,
        weights: Vec<f32>,
        bias: Vec<f32>,
        residual: Vec<f32>,
        activation: Activation,
        want: Vec<f32>,
    }

    impl Case {
        fn new(geometry: Geometry, rng: &mut Rng) -> Self {
            let Geometry { window, batch, groups, channels, outputs } = geometry;
            let x = rng.vector(batch * groups * channels * window.input_len());
            let weights = rng.vector(groups * outputs * geometry.rows());
            let biases = rng.below(2) * groups * outputs;
            let bias = rng.vector(biases);
            let len = batch * groups * outputs * window.output_len();
            let residuals = rng.below(2) * len;
            let residual = rng.vector(residuals);
            let activation = match rng.below(4) {
                0 => Activation::Relu,
                1 => Activation::Tanh,
                2 => Activation::Clip(-0.5, 0.75),
                _ => Activation::None,
            };
            let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
            let mut sums = vec![0.0; len];
            conv_scalar(&geometry, &wide(&x), &wide(&weights), &wide(&bias), &mut sums);
            let apply = |(i, sum): (usize, &f64)| {
                let sum = sum + residual.get(i).map_or(0.0, |r| f64::from(*r));
                (match activation {
                    Activation::Relu => sum.max(0.0),
                    Activation::Tanh => sum.tanh(),
                    Activation::Clip(low, high) => sum.clamp(f64::from(low), f64::from(high)),
                    _ => sum,
                }) as f32
            };
            let want = sums.iter().enumerate().map(apply).collect();
            Self { geometry, x, weights, bias, residual, activation, want }
        }

        /// Runs a kernel on an input whose channels lie side by side, or apart.
        fn check(&self, form: Form, beside: bool, level: Level) {
            let Geometry { window, groups, channels, outputs, .. } = self.geometry;
            let [d, h, w] = window.input;
            let all = groups * channels;
            let (x, x_strides) = match beside {
                true => {
                    let x = turned(&self.x, all, d * h * w);
                    (x, [all * d * h * w, 1, h * w * all, w * all, all])
                }
                false => (self.x.clone(), [all * d * h * w, d * h * w, h * w, w, 1]),
            };
            let by_rows = matches!(form, Form::Rows | Form::DepthwiseRows);
            let weights = match form {
                Form::Lines | Form::Rows => {
                    let len = packed_taps_len(groups, outputs, self.geometry.rows()).unwrap();
                    let mut panels = vec![0.0; len];
                    pack_taps_f32(&self.geometry, &self.weights, &mut panels);
                    panels
                }
                Form::DepthwiseLines => self.weights.clone(),
                Form::DepthwiseRows => turned(&self.weights, groups, window.kernel_len()),
            };
            let order = |x: &[f32]| match by_rows {
                true => turned(x, groups * outputs, window.output_len()),
                false => x.to_vec(),
            };
            let len = match form {
                Form::DepthwiseLines => window.depthwise_lines_len(all),
                _ if by_rows => window.rows_len(all),
                _ => window.lines_len(all),
            };
            let mut scratch = vec![f32::NAN; len.unwrap()];
            let mut y = vec![f32::NAN; self.want.len()];
            let conv = DirectF32 {
                geometry: &self.geometry,
                x: &x,
                x_strides,
                weights: &weights,
                bias: &self.bias,
                residual: &order(&self.residual),
                activation: self.activation,
                scratch: &mut scratch,
                y: &mut y,
            };
            dispatch(level, Run(form, conv));
            let what = format!("{form:?}, {beside}, {:?} on {}", self.geometry, level.isa());
            // Sums of many terms of about one drift further from the one in double precision.
            let tolerance = 1e-5 * (self.geometry.rows() as f32 / 100.0).max(1.0);
            assert_close(&y, &order(&self.want), tolerance, &what);
        }
    }

    #[test]
    fn direct_convolutions_agree_with_the_plain_form() {
        let mut rng = Rng::new(31);
        for (i, mut window) in windows(17, 64).into_iter().enumerate() {
            let batch = rng.below(3);
            if i % 4 == 0 {
                // Windows that stay inside, on whole vectors.
                window.pad_begin = [0; 3];
                window.stride = [1; 3];
                window.output[2] = [16, 20, 7, 32][rng.below(4)];
                window.kernel[2] = 1 + rng.below(4) * 11;
                window.input =
                    from_fn(|d| window.output[d] + (window.kernel[d] - 1) * window.dilation[d]);
            }
            let depthwise = i % 3 == 0;
            let (groups, channels, outputs) = match depthwise {
                true => (1 + rng.below(40), 1, 1 + rng.below(2)),
                false => (1 + rng.below(2), 1 + rng.below(20), 1 + rng.below(40)),
            };
            let geometry = Geometry { window, batch, groups, channels, outputs };
            let case = Case::new(geometry, &mut rng);
            for level in levels() {
                for beside in [false, true] {
                    case.check(Form::Lines, beside, level);
                    case.check(Form::Rows, beside, level);
                    if depthwise {
                        case.check(Form::DepthwiseLines, beside, level);
                    }
                    if depthwise && outputs == 1 {
                        case.check(Form::DepthwiseRows, beside, level);
                    }
                }
            }
        }
    }

    /// Rows that end a little behind a block of columns, or before.
    #[test]
    fn rows_of_any_length() {
        let mut rng = Rng::new(33);
        for cols in [1, 7, 15, 17, 63, 127, 128, 129, 130, 135, 143, 144, 257, 260, 385, 513] {
            for (kernel, stride, rows) in [(3, 1, 5), (3, 2, 9), (5, 1, 7), (1, 1, 1), (7, 1, 43)] {
                let window = Window {
                    input: [1, rows * stride, cols * stride],
                    kernel: [1, kernel.min(rows), 3],
                    stride: [1, stride, stride],
                    pad_begin: [0, kernel.min(rows) / 2, 1],
                    output: [1, rows, cols],
                    ..Window::POINT
                };
                let (groups, outputs) = (1 + rng.below(5), 1 + rng.below(2));
                let geometry = Geometry { window, batch: 1, groups, channels: 1, outputs };
                let case = Case::new(geometry, &mut rng);
                for level in levels() {
                    case.check(Form::Lines, false, level);
                    case.check(Form::Rows, true, level);
                    case.check(Form::DepthwiseLines, false, level);
                    if outputs == 1 {
                        case.check(Form::DepthwiseRows, true, level);
                    }
                }
            }
        }
    }

    #[test]
    fn windows_of_many_taps() {
        let mut rng = Rng::new(32);
        let window = Window {
            input: [1, 9, 30],
            kernel: [1, 9, 9],
            pad_begin: [0, 4, 4],
            output: [1, 9, 30],
            ..Window::POINT
        };
        let geometry = Geometry { window, batch: 1, groups: 1, channels: 2, outputs: 3 };
        let case = Case::new(geometry, &mut rng);
        for level in levels() {
            case.check(Form::Lines, false, level);
            case.check(Form::Rows, false, level);
        }
    }
}
