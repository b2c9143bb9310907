//! Regions of pictures brought to one size.

use crate::kernels::index::{Indices, position};
use crate::kernels::number::Number;

/// Pictures, and the size that regions of them get.
#[derive(Clone, Copy, Debug)]
pub struct Regions {
    /// Pictures.
    pub batch: usize,
    /// Channels of each.
    pub channels: usize,
    /// Height and width of a picture.
    pub input: [usize; 2],
    /// Regions.
    pub count: usize,
    /// Height and width of the result.
    pub output: [usize; 2],
    /// From the unit of the regions to elements.
    pub scale: f64,
}

impl Regions {
    fn picture(&self) -> usize {
        self.input[0] * self.input[1]
    }

    fn channel<'x, T>(&self, x: &'x [T], image: i64, c: usize) -> &'x [T] {
        let image = position(image, self.batch);
        &x[(image * self.channels + c) * self.picture()..][..self.picture()]
    }

    /// Whether there is nothing to take a region of; then the result is zeros.
    fn is_empty(&self) -> bool {
        self.batch * self.channels * self.picture() == 0
    }

    fn output_len(&self) -> usize {
        self.output[0] * self.output[1]
    }
}

/// The samples of one axis of a bin: evenly spaced, `first` to `first + spacing * (count - 1)`.
#[derive(Clone, Copy)]
struct Samples {
    first: f64,
    spacing: f64,
    count: f64,
    /// Numbers of those that may be inside the picture; there are few, whatever the region.
    near: (f64, f64),
}

impl Samples {
    /// Bin `i` of a region that starts at `start`, with bins of `size`, over `n` elements.
    /// `sampling` is how many samples, or zero for one an element.
    fn new(start: f64, size: f64, i: usize, sampling: u32, n: usize) -> Self {
        let count = if sampling > 0 { f64::from(sampling) } else { libm::ceil(size).max(0.0) };
        let spacing = size / count.max(1.0);
        let first = start + i as f64 * size + 0.5 * spacing;
        let (low, high) = ((-1.0 - first) / spacing, (n as f64 - first) / spacing);
        let (low, high) = if spacing < 0.0 { (high, low) } else { (low, high) };
        let most = if sampling > 0 { count } else { 2.0 * n as f64 + 8.0 };
        let whole = !(low.is_finite() && high.is_finite());
        let from = if whole { 0.0 } else { libm::floor(low).clamp(0.0, count) };
        let to = if whole { count } else { (libm::ceil(high) + 1.0).clamp(from, count) };
        Self { first, spacing, count, near: (from, to.min(from + most)) }
    }

    /// The elements on both sides of each sample inside, with the weight of the second.
    fn each(self, n: usize) -> impl Iterator<Item = [(usize, f64); 2]> + Clone {
        let len = (self.near.1 - self.near.0).max(0.0) as usize;
        (0..len).filter_map(move |i| {
            let at = self.first + (self.near.0 + i as f64) * self.spacing;
            if !(at >= -1.0 && at <= n as f64) {
                return None;
            }
            let at = at.max(0.0);
            let low = (at as usize).min(n - 1);
            if low + 1 >= n {
                return Some([(n - 1, 1.0), (n - 1, 0.0)]);
            }
            let t = at - low as f64;
            Some([(low, 1.0 - t), (low + 1, t)])
        })
    }
}

/// Samples of regions, averaged (or the largest weighed element of them) in each bin.
///
/// **Shapes and units**: `x` is `[batch, channels, height, width]`, `rois` `[count, 4]` with the
/// left, top, right and bottom of each region, `images` the picture of each, `y` `[count,
/// channels, output..]`. `sampling` is the number of samples of a bin along each axis, zero for
/// one an element; with `half_pixel` the first element's center is at a half and no region is
/// widened.
///
/// **Panics**: if a slice is shorter than its shape.
///
/// **Cost**: samples outside a picture are not visited, so a region costs no more than a few
/// times the picture for each bin, or `sampling` squared.
pub fn roi_align<T: Number>(
    regions: &Regions,
    [largest, half_pixel]: [bool; 2],
    sampling: u32,
    x: &[T],
    rois: &[T],
    images: Indices<'_>,
    y: &mut [T],
) {
    let len = regions.output_len();
    let y = &mut y[..regions.count * regions.channels * len];
    if regions.is_empty() || len == 0 {
        y.fill(T::default());
        return;
    }
    let width = regions.input[1];
    let offset = if half_pixel { 0.5 } else { 0.0 };
    for (i, y) in y.iter_mut().enumerate() {
        let (bin, c, r) = (i % len, i / len % regions.channels, i / len / regions.channels);
        let bin = [bin / regions.output[1], bin % regions.output[1]];
        let edge = |k: usize| rois[r * 4 + k].to_f64() * regions.scale - offset;
        let samples = |d: usize| {
            let (start, end) = (edge(1 - d), edge(3 - d));
            let extent = if half_pixel { end - start } else { (end - start).max(1.0) };
            let size = extent / regions.output[d] as f64;
            Samples::new(start, size, bin[d], sampling, regions.input[d])
        };
        let (rows, cols) = (samples(0), samples(1));
        let x = regions.channel(x, images.at(r), c);
        let (mut sum, mut most, mut seen) = (0.0, f64::NEG_INFINITY, 0.0);
        for row in rows.each(regions.input[0]) {
            for col in cols.each(width) {
                seen += 1.0;
                for (h, wh) in row {
                    for (w, ww) in col {
                        let part = wh * ww * x[h * width + w].to_f64();
                        sum += part;
                        most = most.max(part);
                    }
                }
            }
        }
        let all = rows.count * cols.count;
        *y = T::from_f64(match (largest, seen < all || all <= 0.0) {
            (false, _) => sum / all.max(1.0),
            // What is outside counts as zero.
            (true, true) => most.max(0.0),
            (true, false) => most,
        });
    }
}

/// The largest element of each bin of regions; of an empty bin, zero.
///
/// **Shapes and units**: as [`roi_align`], but `rois` is `[count, 5]`: the picture, then the
/// region.
///
/// **Panics**: if a slice is shorter than its shape.
pub fn roi_max<T: Number>(regions: &Regions, x: &[T], rois: &[T], y: &mut [T]) {
    let len = regions.output_len();
    let y = &mut y[..regions.count * regions.channels * len];
    if regions.is_empty() || len == 0 {
        y.fill(T::default());
        return;
    }
    let [height, width] = regions.input;
    for (i, y) in y.iter_mut().enumerate() {
        let (bin, c, r) = (i % len, i / len % regions.channels, i / len / regions.channels);
        let bin = [bin / regions.output[1], bin % regions.output[1]];
        let roi = &rois[r * 5..][..5];
        let span = |d: usize, n: usize| {
            let edge = |k: usize| libm::round(roi[k].to_f64() * regions.scale);
            let (start, end) = (edge(2 - d), edge(4 - d));
            let size = (end - start + 1.0).max(1.0) / regions.output[d] as f64;
            let clamp = |at: f64| (at + start).clamp(0.0, n as f64) as usize;
            let i = bin[d] as f64;
            clamp(libm::floor(i * size))..clamp(libm::ceil((i + 1.0) * size))
        };
        let (rows, cols) = (span(0, height), span(1, width));
        let x = regions.channel(x, roi[0].to_i64(), c);
        let mut most = None;
        for row in rows {
            for x in &x[row * width..][cols.clone()] {
                if most.is_none_or(|most: f64| x.to_f64() > most) {
                    most = Some(x.to_f64());
                }
            }
        }
        *y = T::from_f64(most.unwrap_or(0.0));
    }
}
