//! Convolution of each channel with its own kernel.

use super::Window;
use crate::kernels::activation::Activation;
use crate::kernels::simd::{Simd, Vectorized};

/// A convolution of each channel with kernels of its own.
#[derive(Debug)]
pub struct DepthwiseF32<'a> {
    /// The geometry.
    pub window: &'a Window,
    /// Channels of the input.
    pub channels: usize,
    /// Kernels, and output channels, for each channel of the input.
    pub multiplier: usize,
    /// The input, `[channels, input...]`.
    pub x: &'a [f32],
    /// The kernels, `[channels * multiplier, kernel...]`.
    pub weights: &'a [f32],
    /// One number for each output channel, or empty.
    pub bias: &'a [f32],
    /// What is applied to the result.
    pub activation: Activation,
    /// The output, `[channels * multiplier, output...]`.
    pub y: &'a mut [f32],
}

/// Computes a [`DepthwiseF32`].
///
/// **Panics**: if a slice is too short for its shape.
///
/// **Cost**: one multiply-add for each output and kernel position inside the input, no
/// allocation. An output row is summed in kernel order; it is vectorized along the width where
/// the stride there is one.
pub fn depthwise_f32<S: Simd>(s: S, depthwise: DepthwiseF32<'_>) {
    s.vectorize(depthwise);
}

impl Vectorized for DepthwiseF32<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { window, channels, multiplier, x, weights, bias, activation, y } = self;
        let (input_len, output_len) = (window.input_len(), window.output_len());
        let taps = window.kernel_len();
        let y = &mut y[..channels * multiplier * output_len];
        if output_len == 0 {
            return;
        }
        for (channel, y) in y.chunks_exact_mut(output_len).enumerate() {
            let x = &x[channel / multiplier * input_len..][..input_len];
            let weights = &weights[channel * taps..][..taps];
            let bias = if bias.is_empty() { 0.0 } else { bias[channel] };
            for (line, y) in y.chunks_exact_mut(window.output[2]).enumerate() {
                let (d, h) = (line / window.output[1], line % window.output[1]);
                y.fill(bias);
                for (tap, &weight) in weights.iter().enumerate() {
                    let tw = tap % window.kernel[2];
                    let th = tap / window.kernel[2] % window.kernel[1];
                    let td = tap / (window.kernel[2] * window.kernel[1]);
                    let (Some(id), Some(ih)) = (window.meet(0, d, td), window.meet(1, h, th))
                    else {
                        continue;
                    };
                    let inside = window.inside(2, tw, 0..window.output[2]);
                    if inside.is_empty() {
                        continue;
                    }
                    let line = (id * window.input[1] + ih) * window.input[2];
                    let stride = window.stride[2];
                    let from =
                        inside.start * stride + tw * window.dilation[2] - window.pad_begin[2];
                    let from = &x[line + from..line + window.input[2]];
                    add_scaled(s, weight, from, stride, &mut y[inside]);
                }
            }
        }
        activation.apply(s, y);
    }
}

/// `y[i] += weight * x[i * stride]`.
#[inline(always)]
fn add_scaled<S: Simd>(s: S, weight: f32, x: &[f32], stride: usize, y: &mut [f32]) {
    if stride != 1 {
        for (y, x) in y.iter_mut().zip(x.iter().step_by(stride)) {
            *y += weight * x;
        }
        return;
    }
    let weight = s.splat(weight);
    for (y, x) in y.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
        if y.len() == S::LANES {
            s.store(s.mul_add_relaxed(weight, s.load(x), s.load(y)), y);
        } else {
            let x = s.load_tail(&x[..y.len()]);
            s.store_tail(s.mul_add_relaxed(weight, x, s.load_tail(y)), y);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::im2col::im2col_panels_f32;
    use super::super::tests::windows;
    use super::*;
    use crate::kernels::dispatch;
    use crate::kernels::gemm::PANEL;
    use crate::kernels::suite::{Rng, assert_close, levels};
    use std::{format, vec};

    #[test]
    fn agrees_with_the_unrolled_product() {
        let mut rng = Rng::new(9);
        for window in windows(2, 120) {
            let (channels, multiplier) = (1 + rng.below(3), 1 + rng.below(2));
            let (taps, positions) = (window.kernel_len(), window.output_len());
            let x = rng.vector(channels * window.input_len());
            let weights = rng.vector(channels * multiplier * taps);
            let biases = rng.below(2) * channels * multiplier;
            let bias = rng.vector(biases);
            let panels = positions.div_ceil(PANEL);
            let mut b = vec![0.0; panels * channels * taps * PANEL];
            im2col_panels_f32(&window, channels, &x, 0..panels, &mut b);
            let mut wanted = vec![0.0; channels * multiplier * positions];
            for (i, wanted) in wanted.iter_mut().enumerate() {
                let (channel, position) = (i / positions, i % positions);
                let mut sum = if bias.is_empty() { 0.0 } else { bias[channel] };
                for t in 0..taps {
                    let row = channel / multiplier * taps + t;
                    let panel = position / PANEL * channels * taps;
                    sum +=
                        weights[channel * taps + t] * b[(panel + row) * PANEL + position % PANEL];
                }
                *wanted = sum.max(0.0);
            }
            for level in levels() {
                let mut y = vec![f32::NAN; wanted.len()];
                let depthwise = DepthwiseF32 {
                    window: &window,
                    channels,
                    multiplier,
                    x: &x,
                    weights: &weights,
                    bias: &bias,
                    activation: Activation::Relu,
                    y: &mut y,
                };
                dispatch(level, depthwise);
                assert_close(&y, &wanted, 1e-5, &format!("{window:?} on {}", level.isa()));
            }
        }
    }
}
