//! Pooling of any element type, and by any norm.

use super::Window;
use crate::kernels::number::{BinaryCode, Number};

/// What is made of the elements under a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest.
    Max,
    /// The mean; with the padding counted as zeros, or not.
    Average {
        /// Count it.
        padding: bool,
    },
    /// The p-norm.
    Lp(u32),
}

impl Window {
    /// Calls `f` with each kernel position that meets the input at output `o`, and where.
    #[inline(always)]
    pub(super) fn each_meeting(&self, o: [usize; 3], mut f: impl FnMut(usize, usize)) {
        let [_, height, width] = self.kernel;
        for td in self.taps(0, o[0]) {
            let Some(id) = self.meet(0, o[0], td) else { continue };
            for th in self.taps(1, o[1]) {
                let Some(ih) = self.meet(1, o[1], th) else { continue };
                for tw in self.taps(2, o[2]) {
                    let Some(iw) = self.meet(2, o[2], tw) else { continue };
                    let tap = (td * height + th) * width + tw;
                    f(tap, (id * self.input[1] + ih) * self.input[2] + iw);
                }
            }
        }
    }

    /// Kernel positions at output `o` that are inside the padded input.
    pub(super) fn padded_count(&self, o: [usize; 3]) -> usize {
        let along = |d: usize| {
            let end = self.pad_begin[d] + self.input[d] + self.pad_end[d];
            let left = end.saturating_sub(o[d] * self.stride[d]);
            left.div_ceil(self.dilation[d]).min(self.kernel[d])
        };
        along(0) * along(1) * along(2)
    }
}

/// Pools every channel, element by element.
///
/// **Shapes and units**: `x` is `[channels, input..]`, `y` `[channels, output..]`. A window that
/// meets nothing gives the smallest number, NaN (of integers zero), or zero.
///
/// **Panics**: if a slice is too short.
pub fn pool_scalar<T: Number>(
    pooling: Pooling,
    window: &Window,
    channels: usize,
    x: &[T],
    y: &mut [T],
) {
    let (input_len, n) = (window.input_len(), window.output_len());
    let [_, height, width] = window.output;
    if n == 0 {
        return;
    }
    for (channel, y) in y[..channels * n].chunks_exact_mut(n).enumerate() {
        let x = &x[channel * input_len..][..input_len];
        for (position, y) in y.iter_mut().enumerate() {
            let o = [position / (height * width), position / width % height, position % width];
            *y = match pooling {
                Pooling::Max => {
                    let mut max = T::LOWEST;
                    window.each_meeting(o, |_, at| max = max.binary(BinaryCode::Max, x[at]));
                    max
                }
                Pooling::Average { padding } => {
                    let (mut sum, mut count) = (0.0, 0);
                    window.each_meeting(o, |_, at| {
                        sum += x[at].to_f64();
                        count += 1;
                    });
                    let count = if padding { window.padded_count(o) } else { count };
                    T::from_f64(sum / count as f64)
                }
                Pooling::Lp(p) => {
                    let p = f64::from(p);
                    let mut sum = 0.0;
                    window.each_meeting(o, |_, at| {
                        sum += libm::pow(libm::fabs(x[at].to_f64()), p);
                    });
                    T::from_f64(libm::pow(sum, 1.0 / p))
                }
            };
        }
    }
}

/// Where the largest element of each window is: of equal ones the first, of those that are no
/// number too.
///
/// **Shapes and units**: `x` is `[channels, input..]`, `y` `[channels, output..]`: places in `x`,
/// those within a channel counted with the last axis fastest, or with `column_major` the first. A
/// window that meets nothing gives the first place of its channel.
///
/// **Panics**: if a slice is too short.
pub fn pool_positions<T: Number>(
    window: &Window,
    channels: usize,
    column_major: bool,
    x: &[T],
    y: &mut [i64],
) {
    let (input_len, n) = (window.input_len(), window.output_len());
    let [_, height, width] = window.output;
    if n == 0 {
        return;
    }
    for (channel, y) in y[..channels * n].chunks_exact_mut(n).enumerate() {
        let x = &x[channel * input_len..][..input_len];
        for (position, y) in y.iter_mut().enumerate() {
            let o = [position / (height * width), position / width % height, position % width];
            let mut best: Option<usize> = None;
            window.each_meeting(o, |_, at| {
                let is_better = best
                    .is_none_or(|best| !x[best].is_nan() && (x[at] > x[best] || x[at].is_nan()));
                if is_better {
                    best = Some(at);
                }
            });
            let place = best.map_or(0, |best| {
                if !column_major {
                    return best;
                }
                let [depth, height, width] = window.input;
                let (d, h, w) = (best / (height * width), best / width % height, best % width);
                d + depth * (h + height * w)
            });
            *y = (channel * input_len + place) as i64;
        }
    }
}
