//! Convolution as a matrix product, and the plain form for other types.

use super::{Window, im2col_panels_f32};
use crate::kernels::gemm::{Activation, Bias, GemmF32, PANEL, gemm_f32};
use crate::kernels::number::{BinaryCode, Number};
use crate::kernels::simd::Simd;

/// The sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// The window over space.
    pub window: Window,
    /// Tensors in the batch.
    pub batch: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Input channels of a group.
    pub channels: usize,
    /// Output channels of a group.
    pub outputs: usize,
}

impl Geometry {
    /// Rows of the unrolled input of a group.
    pub const fn rows(&self) -> usize {
        self.channels * self.window.kernel_len()
    }

    /// Whether every output is made of the one input position that it stands at.
    pub fn is_pointwise(&self) -> bool {
        let w = &self.window;
        w.kernel == [1; 3] && w.stride == [1; 3] && w.pad_begin == [0; 3] && w.input == w.output
    }
}

/// Convolves by products of the weights with the unrolled input, a few panels at a time; without
/// unrolling where the window is one element.
///
/// **Shapes and units**: `x` is `[batch, groups * channels, input..]`, `weights` `[groups *
/// outputs, channels, kernel..]`, `bias` one element an output channel or empty, `y` `[batch,
/// groups * outputs, output..]`. `scratch` holds one panel of `16 * rows` elements or more, and
/// none where [`Geometry::is_pointwise`].
///
/// **Panics**: if a slice is too short.
///
/// **Cost**: that of the products, and one write for each element of the unrolled input; no
/// allocation.
pub fn conv_f32<S: Simd>(
    s: S,
    geometry: &Geometry,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    scratch: &mut [f32],
    y: &mut [f32],
) {
    let Geometry { window, batch, groups, channels, outputs } = *geometry;
    let (input_len, n, k) = (window.input_len(), window.output_len(), geometry.rows());
    if outputs * n == 0 {
        return;
    }
    let pointwise = geometry.is_pointwise();
    let step = if pointwise { usize::MAX } else { scratch.len() / (k * PANEL).max(1) };
    for (i, y) in y[..batch * groups * outputs * n].chunks_exact_mut(outputs * n).enumerate() {
        let group = i % groups;
        let x = &x[i * channels * input_len..][..channels * input_len];
        let a = &weights[group * outputs * k..][..outputs * k];
        let bias = match bias.is_empty() {
            true => Bias::None,
            false => Bias::PerRow(&bias[group * outputs..][..outputs]),
        };
        let panels = n.div_ceil(PANEL);
        let mut first = 0;
        while first < panels {
            let end = panels.min(first.saturating_add(step.max(1)));
            let cols = (end * PANEL).min(n) - first * PANEL;
            let (b, b_k_stride, b_panel_stride) = if pointwise {
                (x, input_len, PANEL)
            } else {
                im2col_panels_f32(&window, channels, x, first..end, scratch);
                (&*scratch, PANEL, PANEL * k)
            };
            let product = GemmF32 {
                m: outputs,
                n: cols,
                k,
                a_row_stride: k,
                a,
                b,
                b_k_stride,
                b_panel_stride,
                bias,
                activation: Activation::None,
                accumulate: false,
                c: &mut y[first * PANEL..],
                c_row_stride: n,
            };
            gemm_f32(s, product);
            first = end;
        }
    }
}

/// [`conv_f32`] of any type, element by element. Integers wrap.
pub fn conv_scalar<T: Number>(
    geometry: &Geometry,
    x: &[T],
    weights: &[T],
    bias: &[T],
    y: &mut [T],
) {
    let Geometry { window, batch, groups, channels, outputs } = *geometry;
    let (input_len, n, taps) = (window.input_len(), window.output_len(), window.kernel_len());
    let [depth, height, width] = window.output;
    if n == 0 {
        return;
    }
    let planes = y[..batch * groups * outputs * n].chunks_exact_mut(depth * height * width);
    for (plane, y) in planes.enumerate() {
        let output = plane % (groups * outputs);
        let x = &x[plane / outputs * channels * input_len..][..channels * input_len];
        let weights = &weights[output * channels * taps..][..channels * taps];
        for (position, y) in y.iter_mut().enumerate() {
            let o = [position / (height * width), position / width % height, position % width];
            let mut sum = bias.get(output).copied().unwrap_or_default();
            if channels == 0 {
                *y = sum;
                continue;
            }
            window.each_meeting(o, |tap, at| {
                for channel in 0..channels {
                    let x = x[channel * input_len + at];
                    let product = weights[channel * taps + tap].binary(BinaryCode::Mul, x);
                    sum = sum.binary(BinaryCode::Add, product);
                }
            });
            *y = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::tests::windows;
    use super::*;
    use crate::kernels::simd::{Vectorized, dispatch};
    use crate::kernels::suite::{Rng, assert_close, levels};
    use std::{format, vec, vec::Vec};

    struct Run<'a>(&'a Geometry, [&'a [f32]; 3], &'a mut [f32], &'a mut [f32]);
    impl Vectorized for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            conv_f32(s, self.0, self.1[0], self.1[1], self.1[2], self.2, self.3);
        }
    }

    #[test]
    fn products_agree_with_the_plain_form() {
        let mut rng = Rng::new(21);
        for (i, mut window) in windows(9, 60).into_iter().enumerate() {
            if i % 5 == 0 {
                window = Window { input: window.input, output: window.input, ..Window::POINT };
            }
            let (batch, groups) = (rng.below(3), 1 + rng.below(2));
            let (channels, outputs) = (1 + rng.below(3), 1 + rng.below(5));
            let g = Geometry { window, batch, groups, channels, outputs };
            let x = rng.vector(batch * groups * channels * window.input_len());
            let w = rng.vector(groups * outputs * g.rows());
            let bias = rng.vector(if i % 3 == 0 { 0 } else { groups * outputs });
            let len = batch * groups * outputs * window.output_len();
            let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
            let mut want = vec![0.0; len];
            conv_scalar(&g, &wide(&x), &wide(&w), &wide(&bias), &mut want);
            let want: Vec<f32> = want.iter().map(|x| *x as f32).collect();
            for level in levels() {
                let mut scratch = vec![f32::NAN; (1 + i % 2) * PANEL * g.rows()];
                let mut y = vec![f32::NAN; len];
                dispatch(level, Run(&g, [&x, &w, &bias], &mut scratch, &mut y));
                assert_close(&y, &want, 1e-5, &format!("{g:?} on {}", level.isa()));
            }
        }
    }
}
