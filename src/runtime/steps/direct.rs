//! Direct convolution: by lines of positions, or by rows of channels.

use crate::kernels::Simd;
use crate::kernels::conv::{
    DirectF32, Geometry, conv_lines_f32, conv_rows_f32, depthwise_lines_f32, depthwise_rows_f32,
    packed_taps_len,
};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, In, Out, Scratch};
use crate::runtime::step::{Kernel, Step, kernel};
use crate::tensor::DType;

use super::product::ActivationWords;
use super::window::GeometryRecord;

crate::record! {
    /// A convolution of an input under strides. The kernel says how weights, residual and result
    /// are laid out.
    pub(crate) struct DirectRecord {
        pub(crate) x: In,
        pub(crate) x_offset: Extent,
        /// Of the tensors of the batch, channels, depth, height and width.
        pub(crate) x_strides: [Extent; 5],
        pub(crate) weights: In,
        pub(crate) bias: Option<In>,
        pub(crate) residual: Option<In>,
        pub(crate) activation: ActivationWords,
        pub(crate) y: Out,
        pub(crate) scratch: Option<Scratch>,
        pub(crate) sizes: GeometryRecord,
    }
}

/// Whether an input of these sizes under strides lies within `len` elements.
pub(super) fn input_fits(
    reach: &Reach<'_>,
    len: usize,
    offset: Extent,
    strides: &[Extent; 5],
    geometry: &Geometry,
) -> Option<()> {
    let [depth, height, width] = geometry.window.input;
    let all = count(&[geometry.groups, geometry.channels])?;
    // Of nothing, any place is as good.
    let none = [geometry.batch, all, depth, height, width].contains(&0);
    require(reach.extent(offset)? <= len || none)?;
    let mut axes = [geometry.batch, all, depth, height, width].map(|extent| (extent, 0));
    for (axis, stride) in axes.iter_mut().zip(*strides) {
        axis.1 = reach.stride(stride)?;
    }
    reach.within(len, offset, (&[], &[]), &axes)
}

impl DirectRecord {
    /// The sizes, if all operands but the weights and the working memory hold what they say.
    fn fits(&self, reach: &Reach<'_>) -> Option<Geometry> {
        let (geometry, [input, output, taps]) = self.sizes.fits(reach)?;
        let Geometry { batch, groups, channels, outputs, .. } = geometry;
        require(channels > 0 && outputs > 0 && groups > 0 && taps > 0)?;
        count(&[batch, groups, channels, input])?;
        let x = reach.len::<f32>(&self.x)?;
        input_fits(reach, x, self.x_offset, &self.x_strides, &geometry)?;
        reach.may_hold(&self.bias, DType::F32, count(&[groups, outputs])?)?;
        let len = count(&[batch, groups, outputs, output])?;
        reach.may_hold(&self.residual, DType::F32, len)?;
        reach.holds::<f32>(&self.y, len)?;
        Some(geometry)
    }

    /// Whether weights and working memory hold so much.
    fn has_room(&self, reach: &Reach<'_>, weights: usize, scratch: Option<usize>) -> Option<()> {
        reach.holds::<f32>(&self.weights, weights)?;
        reach.holds::<f32>(self.scratch.as_ref()?, scratch?)
    }

    fn fits_lines(&self, reach: &Reach<'_>) -> Option<()> {
        let geometry = self.fits(reach)?;
        let Geometry { window, groups, channels, outputs, .. } = geometry;
        let rows = count(&[channels, window.kernel_len()])?;
        let weights = packed_taps_len(groups, outputs, rows)?;
        self.has_room(reach, weights, window.lines_len(groups * channels))
    }

    fn fits_rows(&self, reach: &Reach<'_>) -> Option<()> {
        let geometry = self.fits(reach)?;
        let Geometry { window, groups, channels, outputs, .. } = geometry;
        let rows = count(&[channels, window.kernel_len()])?;
        let weights = packed_taps_len(groups, outputs, rows)?;
        self.has_room(reach, weights, window.rows_len(groups * channels))
    }

    fn fits_depthwise_lines(&self, reach: &Reach<'_>) -> Option<()> {
        let geometry = self.fits(reach)?;
        let Geometry { window, groups, channels, outputs, .. } = geometry;
        require(channels == 1)?;
        let weights = count(&[groups, outputs, window.kernel_len()])?;
        self.has_room(reach, weights, window.depthwise_lines_len(groups))
    }

    fn fits_depthwise_rows(&self, reach: &Reach<'_>) -> Option<()> {
        let geometry = self.fits(reach)?;
        let Geometry { window, groups, channels, outputs, .. } = geometry;
        require(channels == 1 && outputs == 1)?;
        let weights = count(&[groups, window.kernel_len()])?;
        self.has_room(reach, weights, window.rows_len(groups))
    }
}

/// Runs one of the kernels on the operands of a step.
fn direct<S: Simd>(step: Step<'_>, kernel: fn(S, DirectF32<'_>)) {
    let (record, operands) = step.decode::<DirectRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let geometry = record.sizes.geometry(|e| operands.extent(e));
    let conv = DirectF32 {
        geometry: &geometry,
        x: operands.read(record.x).get(operands.extent(record.x_offset)..).unwrap_or(&[]),
        x_strides: record.x_strides.map(|stride| operands.extent(stride)),
        weights: operands.read(record.weights),
        bias: record.bias.map_or(&[], |bias| operands.read(bias)),
        residual: record.residual.map_or(&[], |residual| operands.read(residual)),
        activation: record.activation.activation(),
        scratch: record.scratch.map_or(&mut [], |scratch| operands.scratch(scratch)),
        y: operands.write(record.y),
    };
    kernel(s, conv);
}

pub(crate) static CONV_LINES_F32: Kernel =
    kernel!(ConvLinesF32, DirectRecord::fits_lines, simd lines);

fn lines<S: Simd>(step: Step<'_>) {
    direct::<S>(step, conv_lines_f32);
}

pub(crate) static CONV_ROWS_F32: Kernel = kernel!(ConvRowsF32, DirectRecord::fits_rows, simd rows);

fn rows<S: Simd>(step: Step<'_>) {
    direct::<S>(step, conv_rows_f32);
}

pub(crate) static DEPTHWISE_LINES_F32: Kernel =
    kernel!(DepthwiseLinesF32, DirectRecord::fits_depthwise_lines, simd depthwise_lines);

fn depthwise_lines<S: Simd>(step: Step<'_>) {
    direct::<S>(step, depthwise_lines_f32);
}

pub(crate) static DEPTHWISE_ROWS_F32: Kernel =
    kernel!(DepthwiseRowsF32, DirectRecord::fits_depthwise_rows, simd depthwise_rows);

fn depthwise_rows<S: Simd>(step: Step<'_>) {
    direct::<S>(step, depthwise_rows_f32);
}
