//! Convolution of integers of eight bits.

use arrayvec::ArrayVec;

use crate::kernels::Simd;
use crate::kernels::conv::Geometry;
use crate::kernels::conv::int8::{
    ConvI8, are_alone, conv_i8, conv_i8_len, conv_runs, packed_pairs_len,
};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::scratch_len;
use crate::kernels::stages::MOST_STAGES;
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, Field, In, Out, Scratch};
use crate::runtime::step::{Kernel, Step, kernel};

use super::super::direct::input_fits;
use super::super::window::GeometryRecord;
use super::{
    ColumnsRecord, GivenRecord, GridRecord, StageRecord, Stages, given, room_fits, stages_fit,
    take_stages,
};

crate::record! {
    /// A convolution of an input under strides: in one group, in groups whose outputs are whole
    /// panels, or of each channel by itself. Weights are the matrix `[kernel.., channels]` by the
    /// outputs of all groups, in runs, in quads of rows and panels of 16 columns; those of channels
    /// by themselves are pairs of taps in panels of 16 channels. The result and the matrices of
    /// stages are `[batch, output.., groups, outputs]`.
    pub(crate) struct ConvI8Record {
        pub(crate) x: In,
        pub(crate) x_offset: Extent,
        /// Of the tensors of the batch, channels, depth, height, width.
        pub(crate) x_strides: [Extent; 5],
        pub(crate) grid: GridRecord,
        pub(crate) w: In,
        pub(crate) columns: ColumnsRecord,
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
        let alone = are_alone(&geometry);
        require(channels > 0 && outputs > 0 && groups > 0 && taps > 0)?;
        require(alone || groups == 1 || outputs.is_multiple_of(PANEL))?;
        count(&[batch, groups, channels, input])?;
        let x = reach.len_as(&self.x, self.grid.dtype())?;
        input_fits(reach, x, self.x_offset, &self.x_strides, &geometry)?;
        self.grid.fits(reach)?;
        let (columns, rows) = (count(&[groups, outputs])?, count(&[batch, output])?);
        let scratch = if alone {
            require(self.columns.zero.is_none())?;
            reach.holds::<u32>(&self.w, packed_pairs_len(&geometry.window, groups)?)?;
            self.columns.fits(reach, None, columns)?;
            0
        } else {
            let [_, run, runs] = conv_runs(&geometry)?;
            let k = count(&[run, runs])?;
            self.columns.fits(reach, Some((&self.w, k)), columns)?;
            scratch_len(output, k)?
        };
        stages_fit(&self.stages, reach, rows, columns)?;
        reach.holds::<u8>(&self.room, conv_i8_len(&geometry)?)?;
        room_fits(reach, &self.scratch, scratch)?;
        self.given.fits()?;
        reach.holds_as(&self.y, self.given.dtype(), count(&[rows, columns])?)
    }
}

pub(crate) static CONV_I8: Kernel = kernel!(ConvI8, ConvI8Record::fits, simd conv_of_i8);

fn conv_of_i8<S: Simd>(step: Step<'_>) {
    let mut record = ConvI8Record::empty();
    let operands = step.read(&mut record);
    let level = operands.level();
    let Some(s) = S::from_level(level) else { return };
    let geometry = record.sizes.geometry(|e| operands.extent(e));
    let mut stages = Stages::new();
    take_stages(&mut record.stages, &operands, &mut stages);
    conv_i8(
        s,
        level,
        ConvI8 {
            geometry: &geometry,
            x: operands.read(record.x).get(operands.extent(record.x_offset)..).unwrap_or(&[]),
            x_strides: record.x_strides.map(|stride| operands.extent(stride)),
            x_grid: record.grid.grid(&operands),
            weights: operands.read(record.w),
            sums: operands.read(record.columns.sums),
            scales: operands.read(record.columns.scale),
            zeros: record.columns.zero.map(|zero| operands.read(zero)),
            stages: &stages,
            output: given(record.given, record.y, &operands),
            room: operands.scratch(record.room),
            scratch: record.scratch.map_or(&mut [], |scratch| operands.scratch(scratch)),
        },
    );
}
