//! Windows whose elements are each shifted by data.

use crate::kernels::number::Number;

/// The geometry of shifted windows over two axes: height, then width.
#[derive(Clone, Copy, Debug)]
pub struct Deform {
    /// Pictures.
    pub batch: usize,
    /// Channels of each.
    pub channels: usize,
    /// Groups of channels that share shifts; they divide the channels.
    pub groups: usize,
    /// Extents of a picture.
    pub input: [usize; 2],
    /// Extents of the result.
    pub output: [usize; 2],
    /// Extents of the window.
    pub kernel: [usize; 2],
    /// Distances between windows.
    pub stride: [usize; 2],
    /// Distances between elements of a window.
    pub dilation: [usize; 2],
    /// Margin before the first element.
    pub pad: [usize; 2],
}

impl Deform {
    /// Elements of a window.
    pub const fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Elements of one channel of the result.
    pub const fn output_len(&self) -> usize {
        self.output[0] * self.output[1]
    }
}

/// The value between elements, zeros being outside.
fn bilinear<T: Number>(x: &[T], [height, width]: [usize; 2], [h, w]: [f64; 2]) -> f64 {
    // Not a number is not inside either.
    let inside = |at: f64, n: usize| at > -1.0 && at < n as f64;
    if !(inside(h, height) && inside(w, width)) {
        return 0.0;
    }
    let (top, left) = (libm::floor(h), libm::floor(w));
    let (down, right) = (h - top, w - left);
    let mut sum = 0.0;
    for (row, wh) in [(top, 1.0 - down), (top + 1.0, down)] {
        for (col, ww) in [(left, 1.0 - right), (left + 1.0, right)] {
            if row >= 0.0 && row < height as f64 && col >= 0.0 && col < width as f64 {
                sum += wh * ww * x[row as usize * width + col as usize].to_f64();
            }
        }
    }
    sum
}

/// Unrolls shifted windows, so that a convolution is a product: `out[b, c, tap, o]` is channel
/// `c` where the window at `o` has `tap` after its shift, times its mask.
///
/// **Shapes and units**: `x` is `[batch, channels, input..]`, `offset` `[batch, groups, taps, 2,
/// output..]` in elements, `mask` (empty for ones) `[batch, groups, taps, output..]`, `out`
/// `[batch, channels, taps, output..]`.
///
/// **Panics**: if a slice is shorter than its shape.
pub fn deform_columns<T: Number>(
    geometry: &Deform,
    x: &[T],
    offset: &[T],
    mask: &[T],
    out: &mut [T],
) {
    let Deform { batch, channels, groups, input, kernel, .. } = *geometry;
    let (taps, len, picture) = (geometry.taps(), geometry.output_len(), input[0] * input[1]);
    let columns = &mut out[..batch * channels * taps * len];
    if columns.is_empty() {
        return;
    }
    for (i, column) in columns.chunks_exact_mut(len).enumerate() {
        let (tap, c, b) = (i % taps, i / taps % channels, i / taps / channels);
        let x = &x[(b * channels + c) * picture..][..picture];
        let shifts = (b * groups + c / (channels / groups)) * taps + tap;
        let at = [tap / kernel[1], tap % kernel[1]];
        for (o, y) in column.iter_mut().enumerate() {
            let place = |d: usize, o_d: usize| {
                let start = o_d * geometry.stride[d] + at[d] * geometry.dilation[d];
                start as f64 - geometry.pad[d] as f64 + offset[(shifts * 2 + d) * len + o].to_f64()
            };
            let h = place(0, o / geometry.output[1]);
            let w = place(1, o % geometry.output[1]);
            let value = bilinear(x, input, [h, w]);
            *y = T::from_f64(match mask.get(shifts * len + o) {
                Some(weight) => value * weight.to_f64(),
                None => value,
            });
        }
    }
}
