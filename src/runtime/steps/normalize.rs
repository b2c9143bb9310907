//! Reductions, softmax and normalizations.

use crate::kernels::number::Number;
use crate::kernels::reduce::{self, ReduceOp};
use crate::kernels::rows::{self, Affine};
use crate::kernels::{Simd, channel};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, In, Out, SharedIn, SharedOut};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::DType;

use super::lanes::Lanes;
use super::types::by_dtype;

crate::record! {
    /// One axis, or a run of them, reduced.
    pub(crate) struct ReduceRecord {
        pub(crate) x: SharedIn,
        pub(crate) y: SharedOut,
        pub(crate) op: u32,
        pub(crate) lanes: Lanes,
    }
}

impl ReduceRecord {
    fn op(&self) -> ReduceOp {
        ReduceOp::from_code(self.op as u8).unwrap_or(ReduceOp::Sum)
    }

    fn fits_as(&self, reach: &Reach<'_>, dtype: DType) -> Option<()> {
        let [outer, axis, inner] = self.lanes.reach(reach)?;
        reach.holds_as(&self.x, dtype, outer * axis * inner)?;
        reach.holds_as(&self.y, dtype, outer * inner)
    }

    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits_as(reach, reach.dtype(&self.x))
    }

    fn fits_f32(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits_as(reach, DType::F32)
    }
}

pub(crate) static REDUCE_F32: Kernel = kernel!(ReduceF32, ReduceRecord::fits_f32, simd reduce_f32);

fn reduce_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<ReduceRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let (op, lanes) = (record.op(), record.lanes.at(&operands));
    reduce::reduce_f32(s, op, lanes, operands.cells(record.x), operands.cells_out(record.y));
}

pub(crate) static REDUCE: Kernel = kernel!(Reduce, ReduceRecord::fits, reduce);

fn reduce(step: Step<'_>) {
    let (record, operands) = step.decode::<ReduceRecord>();
    by_dtype!(operands.dtype(&record.x), reduce_of(record, operands))
}

fn reduce_of<T: Number>(record: ReduceRecord, operands: Operands<'_>) {
    let (op, lanes) = (record.op(), record.lanes.at(&operands));
    let (x, y) = (operands.cells::<T>(record.x), operands.cells_out(record.y));
    reduce::reduce_scalar(op, lanes, x, y);
}

crate::record! {
    /// Softmax or its logarithm along an axis.
    pub(crate) struct SoftmaxRecord {
        pub(crate) x: SharedIn,
        pub(crate) y: SharedOut,
        pub(crate) lanes: Lanes,
        pub(crate) log: bool,
    }
}

/// Whether two operands have elements `dtype` for all of `lanes`.
fn whole(
    reach: &Reach<'_>,
    dtype: DType,
    lanes: &Lanes,
    (x, y): (&SharedIn, &SharedOut),
) -> Option<()> {
    let len = count(&lanes.reach(reach)?)?;
    reach.holds_as(x, dtype, len)?;
    reach.holds_as(y, dtype, len)
}

impl SoftmaxRecord {
    fn fits_f32(&self, reach: &Reach<'_>) -> Option<()> {
        whole(reach, DType::F32, &self.lanes, (&self.x, &self.y))
    }

    fn fits_f64(&self, reach: &Reach<'_>) -> Option<()> {
        whole(reach, DType::F64, &self.lanes, (&self.x, &self.y))
    }
}

pub(crate) static SOFTMAX_F32: Kernel =
    kernel!(SoftmaxF32, SoftmaxRecord::fits_f32, simd softmax_f32);

fn softmax_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<SoftmaxRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    match (record.lanes.at(&operands), record.log) {
        ([outer, axis, 1], false) => rows::softmax_f32(s, [outer, axis], x, y),
        ([outer, axis, 1], true) => rows::log_softmax_f32(s, [outer, axis], x, y),
        (lanes, log) => rows::softmax_axis_f32(s, log, lanes, x, y),
    }
}

pub(crate) static SOFTMAX: Kernel = kernel!(Softmax, SoftmaxRecord::fits_f64, softmax);

fn softmax(step: Step<'_>) {
    let (record, operands) = step.decode::<SoftmaxRecord>();
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    rows::softmax_f64(record.log, record.lanes.at(&operands), x, y);
}

crate::record! {
    /// Layer normalization, or without `center` the one by root mean square, of rows.
    pub(crate) struct NormRecord {
        pub(crate) x: SharedIn,
        pub(crate) y: SharedOut,
        pub(crate) scale: Option<In>,
        pub(crate) bias: Option<In>,
        pub(crate) rows: Extent,
        pub(crate) cols: Extent,
        pub(crate) epsilon: f32,
        pub(crate) center: bool,
    }
}

impl NormRecord {
    fn fits(&self, reach: &Reach<'_>, dtype: DType) -> Option<()> {
        let (rows, cols) = (reach.extent(self.rows)?, reach.extent(self.cols)?);
        let len = count(&[rows, cols])?;
        reach.holds_as(&self.x, dtype, len)?;
        reach.holds_as(&self.y, dtype, len)?;
        reach.may_hold(&self.scale, dtype, cols)?;
        reach.may_hold(&self.bias, dtype, cols)
    }

    fn fits_f32(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F32)
    }

    fn fits_f64(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F64)
    }
}

pub(crate) static NORM_F32: Kernel = kernel!(NormF32, NormRecord::fits_f32, simd norm_f32);

fn norm_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<NormRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let shape = [operands.extent(record.rows), operands.extent(record.cols)];
    let affine = Affine {
        scale: record.scale.map(|scale| operands.read(scale)),
        bias: record.bias.map(|bias| operands.read(bias)),
    };
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    let norm = if record.center { rows::layer_norm_f32::<S> } else { rows::rms_norm_f32::<S> };
    norm(s, shape, x, affine, record.epsilon, y);
}

pub(crate) static NORM: Kernel = kernel!(Norm, NormRecord::fits_f64, norm);

fn norm(step: Step<'_>) {
    let (record, operands) = step.decode::<NormRecord>();
    let shape = [operands.extent(record.rows), operands.extent(record.cols)];
    let affine = [record.scale, record.bias].map(|v| v.map(|v| operands.read::<f64>(v)));
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    rows::norm_f64(record.center, shape, x, affine, f64::from(record.epsilon), y);
}

crate::record! {
    /// Mean and inverse deviation of rows.
    pub(crate) struct MomentsRecord {
        pub(crate) x: In,
        pub(crate) mean: Option<Out>,
        pub(crate) inverse: Option<Out>,
        pub(crate) rows: Extent,
        pub(crate) cols: Extent,
        pub(crate) epsilon: f32,
    }
}

impl MomentsRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (rows, cols) = (reach.extent(self.rows)?, reach.extent(self.cols)?);
        let dtype = reach.dtype(&self.x);
        require(dtype.is_float() && (self.mean.is_some() || self.inverse.is_some()))?;
        reach.holds_as(&self.x, dtype, count(&[rows, cols])?)?;
        reach.may_hold(&self.mean, dtype, rows)?;
        reach.may_hold(&self.inverse, dtype, rows)
    }
}

pub(crate) static MOMENTS: Kernel = kernel!(Moments, MomentsRecord::fits, moments);

fn moments(step: Step<'_>) {
    let (record, operands) = step.decode::<MomentsRecord>();
    match operands.dtype_in(&record.x) {
        DType::F64 => moments_of::<f64>(record, operands),
        _ => moments_of::<f32>(record, operands),
    }
}

fn moments_of<T: Number>(record: MomentsRecord, operands: Operands<'_>) {
    let shape = [operands.extent(record.rows), operands.extent(record.cols)];
    let mean = record.mean.map(|mean| operands.write::<T>(mean));
    let inverse = record.inverse.map(|inverse| operands.write::<T>(inverse));
    rows::moments_of_rows(shape, operands.read(record.x), record.epsilon, mean, inverse);
}

crate::record! {
    /// Factor and summand of each channel from the operands of a batch normalization.
    pub(crate) struct CoefficientsRecord {
        pub(crate) scale: In,
        pub(crate) bias: In,
        pub(crate) mean: In,
        pub(crate) variance: In,
        pub(crate) factor: Out,
        pub(crate) shift: Out,
        pub(crate) len: Extent,
        pub(crate) epsilon: f32,
    }
}

impl CoefficientsRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (dtype, len) = (reach.dtype(&self.scale), reach.extent(self.len)?);
        require(dtype.is_float())?;
        for given in [&self.scale, &self.bias, &self.mean, &self.variance] {
            reach.holds_as(given, dtype, len)?;
        }
        reach.holds_as(&self.factor, dtype, len)?;
        reach.holds_as(&self.shift, dtype, len)
    }
}

pub(crate) static BATCH_COEFFICIENTS: Kernel =
    kernel!(BatchCoefficients, CoefficientsRecord::fits, coefficients);

fn coefficients(step: Step<'_>) {
    let (record, operands) = step.decode::<CoefficientsRecord>();
    match operands.dtype_in(&record.scale) {
        DType::F64 => coefficients_of::<f64>(record, operands),
        _ => coefficients_of::<f32>(record, operands),
    }
}

fn coefficients_of<T: Number>(record: CoefficientsRecord, operands: Operands<'_>) {
    let len = operands.extent(record.len);
    let given = [record.scale, record.bias, record.mean, record.variance];
    let given = given.map(|v| operands.read::<T>(v));
    let factor = &mut operands.write::<T>(record.factor)[..len];
    let shift = &mut operands.write::<T>(record.shift)[..len];
    channel::batch_coefficients(given, record.epsilon, factor, shift);
}

/// Whether each of these has a number for every channel.
fn by_channel(reach: &Reach<'_>, dtype: DType, lanes: &Lanes, operands: [&In; 2]) -> Option<()> {
    let channels = reach.extent(lanes.axis)?;
    operands.into_iter().try_for_each(|operand| reach.holds_as(operand, dtype, channels))
}

crate::record! {
    /// `y = x * scale + bias`, one of each a channel.
    pub(crate) struct ChannelAffineRecord {
        pub(crate) x: SharedIn,
        pub(crate) y: SharedOut,
        pub(crate) scale: In,
        pub(crate) bias: In,
        pub(crate) lanes: Lanes,
    }
}

impl ChannelAffineRecord {
    fn fits(&self, reach: &Reach<'_>, dtype: DType) -> Option<()> {
        whole(reach, dtype, &self.lanes, (&self.x, &self.y))?;
        by_channel(reach, dtype, &self.lanes, [&self.scale, &self.bias])
    }

    fn fits_f32(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F32)
    }

    fn fits_f64(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F64)
    }
}

pub(crate) static CHANNEL_AFFINE_F32: Kernel =
    kernel!(ChannelAffineF32, ChannelAffineRecord::fits_f32, simd affine_f32);

fn affine_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<ChannelAffineRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let (scale, bias) = (operands.read(record.scale), operands.read(record.bias));
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    channel::channel_affine_f32(s, record.lanes.at(&operands), x, scale, bias, y);
}

pub(crate) static CHANNEL_AFFINE: Kernel =
    kernel!(ChannelAffine, ChannelAffineRecord::fits_f64, affine);

fn affine(step: Step<'_>) {
    let (record, operands) = step.decode::<ChannelAffineRecord>();
    let (scale, bias) = (operands.read(record.scale), operands.read(record.bias));
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    channel::channel_affine_f64(record.lanes.at(&operands), x, scale, bias, y);
}

crate::record! {
    /// Normalization of groups of channels.
    pub(crate) struct GroupNormRecord {
        pub(crate) x: SharedIn,
        pub(crate) y: SharedOut,
        pub(crate) scale: In,
        pub(crate) bias: In,
        pub(crate) lanes: Lanes,
        pub(crate) groups: u32,
        pub(crate) epsilon: f32,
    }
}

impl GroupNormRecord {
    fn fits(&self, reach: &Reach<'_>, dtype: DType) -> Option<()> {
        whole(reach, dtype, &self.lanes, (&self.x, &self.y))?;
        by_channel(reach, dtype, &self.lanes, [&self.scale, &self.bias])
    }

    fn fits_f32(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F32)
    }

    fn fits_f64(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F64)
    }
}

pub(crate) static GROUP_NORM_F32: Kernel =
    kernel!(GroupNormF32, GroupNormRecord::fits_f32, simd group_norm_f32);

fn group_norm_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<GroupNormRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let affine = [operands.read(record.scale), operands.read(record.bias)];
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    let (groups, lanes) = (record.groups as usize, record.lanes.at(&operands));
    channel::group_norm_f32(s, groups, lanes, x, affine, record.epsilon, y);
}

pub(crate) static GROUP_NORM: Kernel = kernel!(GroupNorm, GroupNormRecord::fits_f64, group_norm);

fn group_norm(step: Step<'_>) {
    let (record, operands) = step.decode::<GroupNormRecord>();
    let affine = [operands.read(record.scale), operands.read(record.bias)];
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    let (groups, lanes) = (record.groups as usize, record.lanes.at(&operands));
    channel::group_norm_f64(groups, lanes, x, affine, f64::from(record.epsilon), y);
}
