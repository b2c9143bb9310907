//! Convolution and pooling over one to three spatial dimensions.
//!
//! Owns the geometry of a sliding [`Window`]. A convolution with packed weights is computed
//! directly, by lines of positions ([`conv_lines_f32`]) or by rows of channels
//! ([`conv_rows_f32`]), and so is one of each channel by itself. With weights that only a run
//! knows it is a matrix product whose `B` is the input unrolled by [`im2col_panels_f32`]
//! ([`conv_f32`]), or [`depthwise_f32`].

use core::ops::Range;

mod depthwise;
mod direct;
mod generic;
mod im2col;
pub mod int8;
mod lines;
mod planes;
mod pool;
mod product;
mod rows;

pub use depthwise::{DepthwiseF32, depthwise_f32};
pub use direct::{DirectF32, pack_taps_f32, packed_taps_len};
pub use generic::{Pooling, pool_positions, pool_scalar};
pub use im2col::im2col_panels_f32;
pub use lines::{conv_lines_f32, depthwise_lines_f32};
pub use pool::{PoolOp, pool_f32};
pub use product::{Geometry, conv_f32, conv_scalar};
pub use rows::{conv_rows_f32, depthwise_rows_f32};

/// A window that slides over the last three dimensions of a tensor: depth, height and width.
///
/// With fewer dimensions, the first ones are those of [`Window::POINT`]. Output position `o`
/// and kernel position `t` meet at input position `o * stride + t * dilation - pad_begin`;
/// outside the input there is padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Extents of the input.
    pub input: [usize; 3],
    /// Extents of the kernel.
    pub kernel: [usize; 3],
    /// Distances between output positions, at least one.
    pub stride: [usize; 3],
    /// Distances between kernel positions, at least one.
    pub dilation: [usize; 3],
    /// Padding before the input.
    pub pad_begin: [usize; 3],
    /// Padding after the input; only an average that counts padding looks at it.
    pub pad_end: [usize; 3],
    /// Extents of the output.
    pub output: [usize; 3],
}

impl Window {
    /// One element in, one out.
    pub const POINT: Self = Self {
        input: [1; 3],
        kernel: [1; 3],
        stride: [1; 3],
        dilation: [1; 3],
        pad_begin: [0; 3],
        pad_end: [0; 3],
        output: [1; 3],
    };

    /// Elements of one channel of the input.
    pub const fn input_len(&self) -> usize {
        self.input[0] * self.input[1] * self.input[2]
    }

    /// Elements of the kernel for one channel.
    pub const fn kernel_len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.kernel[2]
    }

    /// Elements of one channel of the output.
    pub const fn output_len(&self) -> usize {
        self.output[0] * self.output[1] * self.output[2]
    }

    /// Where output `o` meets kernel `t` along dimension `d`, if inside the input.
    #[inline(always)]
    fn meet(&self, d: usize, o: usize, t: usize) -> Option<usize> {
        let at = (o * self.stride[d] + t * self.dilation[d]).checked_sub(self.pad_begin[d])?;
        (at < self.input[d]).then_some(at)
    }

    /// The kernel positions that meet the input at output `o` along dimension `d`.
    #[inline(always)]
    fn taps(&self, d: usize, o: usize) -> Range<usize> {
        let at = o * self.stride[d];
        let before = |end: usize| end.saturating_sub(at).div_ceil(self.dilation[d]);
        let end = before(self.pad_begin[d] + self.input[d]).min(self.kernel[d]);
        before(self.pad_begin[d]).min(end)..end
    }

    /// The outputs among `outputs` that meet kernel `t` inside the input along dimension `d`.
    #[inline(always)]
    fn inside(&self, d: usize, t: usize, outputs: Range<usize>) -> Range<usize> {
        let shift = t * self.dilation[d];
        let first = self.pad_begin[d].saturating_sub(shift).div_ceil(self.stride[d]);
        let end = (self.input[d] + self.pad_begin[d]).saturating_sub(shift);
        let start = first.max(outputs.start).min(outputs.end);
        start..end.div_ceil(self.stride[d]).min(outputs.end).max(start)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernels::suite::Rng;
    use std::vec::Vec;

    /// Windows of one to three dimensions, with some that reach outside everywhere.
    pub(super) fn windows(seed: u64, len: usize) -> Vec<Window> {
        let mut rng = Rng::new(seed);
        (0..len)
            .map(|i| {
                let mut window = Window::POINT;
                for d in (2 - i % 3)..3 {
                    window.input[d] = 1 + rng.below(if d == 2 { 40 } else { 7 });
                    window.kernel[d] = 1 + rng.below(4);
                    window.stride[d] = 1 + rng.below(3) * rng.below(2);
                    window.dilation[d] = 1 + rng.below(3);
                    window.pad_begin[d] = rng.below(5);
                    window.pad_end[d] = rng.below(5);
                    window.output[d] = 1 + rng.below(if d == 2 { 45 } else { 6 });
                }
                window
            })
            .collect()
    }

    #[test]
    fn inside_is_where_they_meet() {
        for window in windows(3, 300) {
            for t in 0..window.kernel[2] {
                let meets = |o: usize| window.taps(2, o).contains(&t);
                for outputs in [0..window.output[2], 2..window.output[2].max(2), 3..5] {
                    let inside = window.inside(2, t, outputs.clone());
                    assert!(inside.start >= outputs.start && inside.end <= outputs.end);
                    for o in outputs {
                        assert_eq!(inside.contains(&o), window.meet(2, o, t).is_some());
                        assert_eq!(inside.contains(&o), meets(o));
                    }
                }
            }
        }
    }
}
