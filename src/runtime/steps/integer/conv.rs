//! Convolution of integers of eight bits.

use arrayvec::ArrayVec;

use crate::kernels::Simd;
use crate::kernels::conv::Geometry;
use crate::kernels::conv::int8::{ConvI8, conv_i8, conv_i8_len};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::scratch_len;
use crate::kernels::int8::{Grid8, packed_quads_len};
use crate::kernels::stages::Stage;
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, In, Out, Scratch};
use crate::runtime::step::{Kernel, Step, kernel};
use crate::tensor::DType;

use super::super::direct::input_fits;
use super::super::window::GeometryRecord;
use super::{GivenRecord, MOST_STAGES, StageRecord, byte, given, stages_fit, taken};

crate::record! {
    /// A convolution of an input under strides in one group. Weights are the matrix
    /// `[kernel.., channels]` by outputs in quads of rows and panels of 16 columns, and the result
    /// and the matrices of stages `[batch, output.., outputs]`.
    pub(crate) struct ConvI8Record {
        pub(crate) x: In,
        pub(crate) x_offset: Extent,
        /// Of the tensors of the batch, channels, depth, height, width.
        pub(crate) x_strides: [Extent; 5],
        pub(crate) signed: bool,
        pub(crate) x_scale: Option<In>,
        pub(crate) x_zero: Option<In>,
        pub(crate) w: In,
        /// For each column, the sum of its weights.
        pub(crate) sums: In,
        pub(crate) w_scale: In,
        pub(crate) w_zero: Option<In>,
        pub(crate) stages: ArrayVec<StageRecord, MOST_STAGES>,
        pub(crate) given: GivenRecord,
        pub(crate) room: Scratch,
        pub(crate) scratch: Option<Scratch>,
        pub(crate) y: Out,
        pub(crate) sizes: GeometryRecord,
    }
}

impl ConvI8Record {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (geometry, [input, output, taps]) = self.sizes.fits(reach)?;
        let Geometry { batch, groups, channels, outputs, .. } = geometry;
        require(channels > 0 && outputs > 0 && groups == 1 && taps > 0)?;
        count(&[batch, channels, input])?;
        let x = reach.len_as(&self.x, byte(self.signed))?;
        input_fits(reach, x, self.x_offset, &self.x_strides, &geometry)?;
        reach.may_hold(&self.x_scale, DType::F32, 1)?;
        reach.may_hold(&self.x_zero, byte(self.signed), 1)?;
        let (k, columns) = (count(&[channels, taps])?, outputs.checked_next_multiple_of(PANEL)?);
        reach.holds::<u32>(&self.w, packed_quads_len(k, outputs)?)?;
        reach.holds::<i32>(&self.sums, columns)?;
        reach.holds::<f32>(&self.w_scale, columns)?;
        reach.may_hold(&self.w_zero, DType::I32, columns)?;
        let rows = count(&[batch, output])?;
        stages_fit(&self.stages, reach, rows, outputs)?;
        reach.holds::<u8>(&self.room, conv_i8_len(&geometry)?)?;
        match &self.scratch {
            Some(scratch) => reach.holds::<u32>(scratch, scratch_len(output, k)?)?,
            None => require(scratch_len(output, k)? == 0)?,
        }
        self.given.fits()?;
        reach.holds_as(&self.y, self.given.dtype(), count(&[rows, outputs])?)
    }
}

pub(crate) static CONV_I8: Kernel = kernel!(ConvI8, ConvI8Record::fits, simd conv_of_i8);

fn conv_of_i8<S: Simd>(step: Step<'_>) {
    let (record, operands): (ConvI8Record, _) = step.decode();
    let level = operands.level();
    let Some(s) = S::from_level(level) else { return };
    let geometry = record.sizes.geometry(|e| operands.extent(e));
    let zero = record.x_zero.map_or(0, |zero| match record.signed {
        true => i32::from(operands.read::<i8>(zero)[0]),
        false => i32::from(operands.read::<u8>(zero)[0]),
    });
    let scale = record.x_scale.map_or(1.0, |scale| operands.read::<f32>(scale)[0]);
    let stages: ArrayVec<Stage<'_>, MOST_STAGES> =
        record.stages.into_iter().filter_map(|stage| taken(stage, &operands)).collect();
    conv_i8(
        s,
        level,
        ConvI8 {
            geometry: &geometry,
            x: operands.read(record.x).get(operands.extent(record.x_offset)..).unwrap_or(&[]),
            x_strides: record.x_strides.map(|stride| operands.extent(stride)),
            x_grid: Grid8 { scale, zero, signed: record.signed },
            weights: operands.read(record.w),
            sums: operands.read(record.sums),
            scales: operands.read(record.w_scale),
            zeros: record.w_zero.map(|zero| operands.read(zero)),
            stages: &stages,
            output: given(record.given, record.y, &operands),
            room: operands.scratch(record.room),
            scratch: record.scratch.map_or(&mut [], |scratch| operands.scratch(scratch)),
        },
    );
}
