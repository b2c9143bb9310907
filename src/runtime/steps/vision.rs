//! Pictures sampled where data say, and determinants.

use crate::kernels::index::Indices;
use crate::kernels::number::Number;
use crate::kernels::vision::{
    self, Deform, GridMode, GridPadding, Regions, Sampling, deform_columns, roi_align, roi_max,
};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, In, Out, Scratch};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::DType;

/// The type of the data, if it is a float.
fn float(reach: &Reach<'_>, x: &In) -> Option<DType> {
    let dtype = reach.dtype(x);
    require(matches!(dtype, DType::F32 | DType::F64))?;
    Some(dtype)
}

/// Calls a function generic over the type for a float type.
macro_rules! by_float {
    ($dtype:expr, $f:ident($($arg:expr),* $(,)?)) => {
        match $dtype {
            DType::F32 => $f::<f32>($($arg),*),
            _ => $f::<f64>($($arg),*),
        }
    };
}

crate::record! {
    /// Samples at the positions of a grid.
    pub(crate) struct GridSampleRecord {
        pub(crate) x: In,
        pub(crate) grid: In,
        pub(crate) y: Out,
        pub(crate) mode: u32,
        pub(crate) padding: u32,
        pub(crate) align_corners: bool,
        /// Axes of space: two or three.
        pub(crate) axes: u32,
        pub(crate) batch: Extent,
        pub(crate) channels: Extent,
        pub(crate) points: Extent,
        pub(crate) space: [Extent; 3],
    }
}

impl GridSampleRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let dtype = float(reach, &self.x)?;
        require(matches!(self.axes, 2 | 3))?;
        let [batch, channels, points] =
            [reach.extent(self.batch)?, reach.extent(self.channels)?, reach.extent(self.points)?];
        let mut space = [0; 3];
        for (to, extent) in space.iter_mut().zip(self.space) {
            *to = reach.extent(extent)?;
        }
        require(self.axes == 3 || space[0] == 1)?;
        reach.holds_as(&self.x, dtype, count(&[batch, channels, count(&space)?])?)?;
        reach.holds_as(&self.grid, dtype, count(&[batch, points, self.axes as usize])?)?;
        reach.holds_as(&self.y, dtype, count(&[batch, channels, points])?)
    }
}

pub(crate) static GRID_SAMPLE: Kernel = kernel!(GridSample, GridSampleRecord::fits, grid_sample);

fn grid_sample(step: Step<'_>) {
    let (record, operands) = step.decode::<GridSampleRecord>();
    by_float!(operands.dtype_in(&record.x), grid_sample_of(record, operands))
}

fn grid_sample_of<T: Number>(record: GridSampleRecord, operands: Operands<'_>) {
    let sampling = Sampling {
        mode: GridMode::from_word(record.mode),
        padding: GridPadding::from_word(record.padding),
        align_corners: record.align_corners,
    };
    let [batch, channels, points] =
        [record.batch, record.channels, record.points].map(|e| operands.extent(e));
    let space = record.space.map(|e| operands.extent(e));
    let (x, grid) = (operands.read::<T>(record.x), operands.read(record.grid));
    let sizes = [batch, channels, points, record.axes as usize];
    vision::grid_sample(sampling, sizes, space, x, grid, operands.write(record.y));
}

crate::record! {
    /// Regions of pictures, brought to one size.
    pub(crate) struct RegionsRecord {
        pub(crate) x: In,
        pub(crate) rois: In,
        pub(crate) y: Out,
        pub(crate) batch: Extent,
        pub(crate) channels: Extent,
        pub(crate) input: [Extent; 2],
        pub(crate) count: Extent,
        pub(crate) output: [u32; 2],
        pub(crate) scale: f32,
    }
}

impl RegionsRecord {
    /// Checks regions of `columns` numbers; gives how many there are.
    fn fits(&self, reach: &Reach<'_>, columns: usize) -> Option<usize> {
        let dtype = float(reach, &self.x)?;
        let [batch, channels, regions] =
            [reach.extent(self.batch)?, reach.extent(self.channels)?, reach.extent(self.count)?];
        let picture = count(&[reach.extent(self.input[0])?, reach.extent(self.input[1])?])?;
        let result = count(&self.output.map(|n| n as usize))?;
        reach.holds_as(&self.x, dtype, count(&[batch, channels, picture])?)?;
        reach.holds_as(&self.rois, dtype, count(&[regions, columns])?)?;
        reach.holds_as(&self.y, dtype, count(&[regions, channels, result])?)?;
        Some(regions)
    }

    fn regions(&self, operands: &Operands<'_>) -> Regions {
        Regions {
            batch: operands.extent(self.batch),
            channels: operands.extent(self.channels),
            input: self.input.map(|e| operands.extent(e)),
            count: operands.extent(self.count),
            output: self.output.map(|n| n as usize),
            scale: f64::from(self.scale),
        }
    }
}

crate::record! {
    /// Samples of regions.
    pub(crate) struct RoiAlignRecord {
        pub(crate) images: In,
        pub(crate) regions: RegionsRecord,
        pub(crate) largest: bool,
        pub(crate) half_pixel: bool,
        pub(crate) sampling: u32,
    }
}

/// Most samples of a bin along one axis that a model may ask for.
pub(crate) const MAX_SAMPLING: u32 = 1 << 10;

impl RoiAlignRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let dtype = reach.dtype(&self.images);
        require(matches!(dtype, DType::I32 | DType::I64) && self.sampling <= MAX_SAMPLING)?;
        reach.holds_as(&self.images, dtype, self.regions.fits(reach, 4)?)
    }
}

pub(crate) static ROI_ALIGN: Kernel = kernel!(RoiAlign, RoiAlignRecord::fits, align);

fn align(step: Step<'_>) {
    let (record, operands) = step.decode::<RoiAlignRecord>();
    by_float!(operands.dtype_in(&record.regions.x), align_of(record, operands))
}

fn align_of<T: Number>(record: RoiAlignRecord, operands: Operands<'_>) {
    let regions = record.regions.regions(&operands);
    let images = match operands.dtype_in(&record.images) {
        DType::I32 => Indices::I32(&operands.read(record.images)[..regions.count]),
        _ => Indices::I64(&operands.read(record.images)[..regions.count]),
    };
    let RegionsRecord { x, rois, y, .. } = record.regions;
    let (x, rois) = (operands.read::<T>(x), operands.read(rois));
    let how = [record.largest, record.half_pixel];
    roi_align(&regions, how, record.sampling, x, rois, images, operands.write(y));
}

crate::record! {
    /// Largest elements of regions.
    pub(crate) struct RoiMaxRecord {
        pub(crate) regions: RegionsRecord,
    }
}

impl RoiMaxRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        self.regions.fits(reach, 5).map(|_| ())
    }
}

pub(crate) static ROI_MAX: Kernel = kernel!(RoiMax, RoiMaxRecord::fits, largest);

fn largest(step: Step<'_>) {
    let (record, operands) = step.decode::<RoiMaxRecord>();
    by_float!(operands.dtype_in(&record.regions.x), largest_of(record, operands))
}

fn largest_of<T: Number>(record: RoiMaxRecord, operands: Operands<'_>) {
    let regions = record.regions.regions(&operands);
    let RegionsRecord { x, rois, y, .. } = record.regions;
    roi_max::<T>(&regions, operands.read(x), operands.read(rois), operands.write(y));
}

crate::record! {
    /// Windows shifted by data, unrolled.
    pub(crate) struct DeformRecord {
        pub(crate) x: In,
        pub(crate) offset: In,
        pub(crate) mask: Option<In>,
        pub(crate) y: Out,
        pub(crate) batch: Extent,
        pub(crate) channels: Extent,
        pub(crate) groups: u32,
        pub(crate) input: [Extent; 2],
        pub(crate) output: [Extent; 2],
        pub(crate) kernel: [u32; 2],
        pub(crate) stride: [u32; 2],
        pub(crate) dilation: [u32; 2],
        pub(crate) pad: [u32; 2],
    }
}

impl DeformRecord {
    fn geometry(&self, extent: impl Fn(Extent) -> usize) -> Deform {
        let sizes = |list: [u32; 2]| list.map(|n| n as usize);
        Deform {
            batch: extent(self.batch),
            channels: extent(self.channels),
            groups: self.groups as usize,
            input: self.input.map(&extent),
            output: self.output.map(&extent),
            kernel: sizes(self.kernel),
            stride: sizes(self.stride),
            dilation: sizes(self.dilation),
            pad: sizes(self.pad),
        }
    }

    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let dtype = float(reach, &self.x)?;
        for pair in [[self.batch, self.channels], self.input, self.output] {
            reach.extent(pair[0])?;
            reach.extent(pair[1])?;
        }
        let geometry = self.geometry(|e| reach.extent(e).unwrap_or(0));
        let Deform { batch, channels, groups, input, output, kernel, .. } = geometry;
        require(groups > 0 && channels.is_multiple_of(groups))?;
        for d in 0..2 {
            let far = |n: usize, step: usize| n.saturating_sub(1).checked_mul(step);
            let last = far(kernel[d], geometry.dilation[d])?;
            far(output[d], geometry.stride[d])?.checked_add(last)?;
        }
        let (taps, positions) = (count(&kernel)?, count(&output)?);
        let shifts = count(&[batch, groups, taps, positions])?;
        reach.holds_as(&self.x, dtype, count(&[batch, channels, count(&input)?])?)?;
        reach.holds_as(&self.offset, dtype, count(&[shifts, 2])?)?;
        reach.may_hold(&self.mask, dtype, shifts)?;
        reach.holds_as(&self.y, dtype, count(&[batch, channels, taps, positions])?)
    }
}

pub(crate) static DEFORM_COLUMNS: Kernel = kernel!(DeformColumns, DeformRecord::fits, deform);

fn deform(step: Step<'_>) {
    let (record, operands) = step.decode::<DeformRecord>();
    by_float!(operands.dtype_in(&record.x), deform_of(record, operands))
}

fn deform_of<T: Number>(record: DeformRecord, operands: Operands<'_>) {
    let geometry = record.geometry(|e| operands.extent(e));
    let mask = record.mask.map_or(&[][..], |mask| operands.read(mask));
    let (x, offset) = (operands.read::<T>(record.x), operands.read(record.offset));
    deform_columns(&geometry, x, offset, mask, operands.write(record.y));
}

crate::record! {
    /// Determinants of square matrices.
    pub(crate) struct DeterminantRecord {
        pub(crate) x: In,
        pub(crate) y: Out,
        pub(crate) scratch: Scratch,
        pub(crate) count: Extent,
        pub(crate) n: Extent,
    }
}

impl DeterminantRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let dtype = float(reach, &self.x)?;
        let (matrices, n) = (reach.extent(self.count)?, reach.extent(self.n)?);
        let len = count(&[n, n])?;
        reach.holds_as(&self.x, dtype, count(&[matrices, len])?)?;
        reach.holds_as(&self.y, dtype, matrices)?;
        reach.holds::<f64>(&self.scratch, len)
    }
}

pub(crate) static DETERMINANT: Kernel = kernel!(Determinant, DeterminantRecord::fits, determinant);

fn determinant(step: Step<'_>) {
    let (record, operands) = step.decode::<DeterminantRecord>();
    by_float!(operands.dtype_in(&record.x), determinant_of(record, operands))
}

fn determinant_of<T: Number>(record: DeterminantRecord, operands: Operands<'_>) {
    let (matrices, n) = (operands.extent(record.count), operands.extent(record.n));
    let scratch = operands.scratch(record.scratch);
    let y = &mut operands.write::<T>(record.y)[..matrices];
    vision::determinant(n, operands.read(record.x), scratch, y);
}
