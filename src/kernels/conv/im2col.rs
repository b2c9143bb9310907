//! The input of a convolution as a matrix.

use core::ops::Range;

use super::Window;
use crate::kernels::gemm::PANEL;

/// Writes the matrix `B` for which `weights[c_out, channels * kernel] B` is the convolution, in
/// panels of 16 output positions.
///
/// **Shapes and units**: `x` is `[channels, input...]`: for a group, the part with its channels.
/// Row `(c, t)` of `B` is what kernel position `t` meets in channel `c`; its columns are output
/// positions, row-major. Only `panels` are written, each `16 * channels * kernel_len` elements;
/// `out` holds them from its start. Columns past the last position are zero.
///
/// **Panics**: if a slice is too short, or `panels` reach past the last output.
///
/// **Cost**: one write for each element of `B`, no allocation. Runs of positions in one output
/// row are copied as a whole where the stride is one.
pub fn im2col_panels_f32(
    window: &Window,
    channels: usize,
    x: &[f32],
    panels: Range<usize>,
    out: &mut [f32],
) {
    let (input_len, rows) = (window.input_len(), channels * window.kernel_len());
    let output_len = window.output_len();
    assert!(panels.end <= output_len.div_ceil(PANEL), "panels past the last output");
    assert!(x.len() >= channels * input_len, "the input is too short");
    if rows == 0 || panels.is_empty() {
        return;
    }
    let out = &mut out[..panels.len() * rows * PANEL];
    for (panel, out) in panels.zip(out.chunks_exact_mut(rows * PANEL)) {
        let first = panel * PANEL;
        let cols = PANEL.min(output_len - first);
        out.fill(0.0);
        // A panel is cut into runs of positions that share depth and height.
        let mut col = 0;
        while col < cols {
            let position = first + col;
            let w = position % window.output[2];
            let h = position / window.output[2] % window.output[1];
            let d = position / (window.output[2] * window.output[1]);
            let run = (cols - col).min(window.output[2] - w);
            unroll(window, x, [d, h, w], run, col, out);
            col += run;
        }
    }
}

/// Fills `run` columns from `col` on, whose positions begin at `(d, h, w)`.
fn unroll(
    window: &Window,
    x: &[f32],
    [d, h, w]: [usize; 3],
    run: usize,
    col: usize,
    out: &mut [f32],
) {
    let [_, height, width] = window.input;
    let taps = window.kernel_len();
    for (row, out) in out.chunks_exact_mut(PANEL).enumerate() {
        let (channel, tap) = (row / taps, row % taps);
        let tw = tap % window.kernel[2];
        let th = tap / window.kernel[2] % window.kernel[1];
        let td = tap / (window.kernel[2] * window.kernel[1]);
        let (Some(id), Some(ih)) = (window.meet(0, d, td), window.meet(1, h, th)) else {
            continue;
        };
        let inside = window.inside(2, tw, w..w + run);
        if inside.is_empty() {
            continue;
        }
        let line = channel * window.input_len() + (id * height + ih) * width;
        let stride = window.stride[2];
        let from = inside.start * stride + tw * window.dilation[2] - window.pad_begin[2];
        let from = &x[line + from..line + width];
        let to = &mut out[col + inside.start - w..][..inside.len()];
        if stride == 1 {
            to.copy_from_slice(&from[..to.len()]);
        } else {
            for (to, from) in to.iter_mut().zip(from.iter().step_by(stride)) {
                *to = *from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::tests::windows;
    use super::*;
    use crate::kernels::suite::Rng;
    use std::vec;

    #[test]
    fn every_element_is_what_the_kernel_meets() {
        let mut rng = Rng::new(8);
        for window in windows(1, 200) {
            let channels = 1 + rng.below(3);
            let x = rng.vector(channels * window.input_len());
            let (taps, positions) = (window.kernel_len(), window.output_len());
            let rows = channels * taps;
            let all = positions.div_ceil(PANEL);
            let panels = rng.below(2).min(all - 1)..all;
            let mut out = vec![f32::NAN; panels.len() * rows * PANEL];
            im2col_panels_f32(&window, channels, &x, panels.clone(), &mut out);
            for (i, &got) in out.iter().enumerate() {
                let (row, col) = (i / PANEL % rows, i % PANEL);
                let position = (panels.start + i / PANEL / rows) * PANEL + col;
                let (channel, tap) = (row / taps, row % taps);
                let split = |i: usize, extent: [usize; 3]| {
                    [i / (extent[1] * extent[2]), i / extent[2] % extent[1], i % extent[2]]
                };
                let (o, t) = (split(position, window.output), split(tap, window.kernel));
                let mut at = Some(channel);
                for d in 0..3 {
                    let here = window.meet(d, o[d], t[d]);
                    at = at.zip(here).map(|(at, here)| at * window.input[d] + here);
                }
                let wanted = at.filter(|_| position < positions).map_or(0.0, |at| x[at]);
                assert_eq!(got, wanted, "{window:?}: {row}, {position}");
            }
        }
    }
}
