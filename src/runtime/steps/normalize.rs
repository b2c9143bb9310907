//! Reductions, softmax and normalizations.

use crate::kernels::number::Number;
use crate::kernels::reduce::{self, ReduceOp};
use crate::kernels::rows::{self, Affine};
use crate::kernels::{Simd, channel};
use crate::runtime::record::{Extent, In, Out, SharedIn, SharedOut};
use crate::runtime::step::{Kernel, Operands, Step, kernel, operands_only};
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
}

pub(crate) static REDUCE_F32: Kernel =
    kernel!(ReduceF32, operands_only::<ReduceRecord>, simd reduce_f32);

fn reduce_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<ReduceRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let (op, lanes) = (record.op(), record.lanes.at(&operands));
    reduce::reduce_f32(s, op, lanes, operands.cells(record.x), operands.cells_out(record.y));
}

pub(crate) static REDUCE: Kernel = kernel!(Reduce, operands_only::<ReduceRecord>, reduce);

fn reduce(step: Step<'_>) {
    let (record, operands) = step.decode::<ReduceRecord>();
    by_dtype!(operands.dtype(&record.x), reduce_of(record, operands))
}

fn reduce_of<T: Number>(record: ReduceRecord, operands: Operands<'_>) {
    let (op, lanes) = (record.op(), record.lanes.at(&operands));
    let (x, y) = (operands.read::<T>(In(record.x.0)), operands.write::<T>(Out(record.y.0)));
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

pub(crate) static SOFTMAX_F32: Kernel =
    kernel!(SoftmaxF32, operands_only::<SoftmaxRecord>, simd softmax_f32);

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

pub(crate) static SOFTMAX: Kernel = kernel!(Softmax, operands_only::<SoftmaxRecord>, softmax);

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

pub(crate) static NORM_F32: Kernel = kernel!(NormF32, operands_only::<NormRecord>, simd norm_f32);

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

pub(crate) static NORM: Kernel = kernel!(Norm, operands_only::<NormRecord>, norm);

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

pub(crate) static MOMENTS: Kernel = kernel!(Moments, operands_only::<MomentsRecord>, moments);

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

pub(crate) static BATCH_COEFFICIENTS: Kernel =
    kernel!(BatchCoefficients, operands_only::<CoefficientsRecord>, coefficients);

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

pub(crate) static CHANNEL_AFFINE_F32: Kernel =
    kernel!(ChannelAffineF32, operands_only::<ChannelAffineRecord>, simd affine_f32);

fn affine_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<ChannelAffineRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let (scale, bias) = (operands.read(record.scale), operands.read(record.bias));
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    channel::channel_affine_f32(s, record.lanes.at(&operands), x, scale, bias, y);
}

pub(crate) static CHANNEL_AFFINE: Kernel =
    kernel!(ChannelAffine, operands_only::<ChannelAffineRecord>, affine);

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

pub(crate) static GROUP_NORM_F32: Kernel =
    kernel!(GroupNormF32, operands_only::<GroupNormRecord>, simd group_norm_f32);

fn group_norm_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<GroupNormRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let affine = [operands.read(record.scale), operands.read(record.bias)];
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    let (groups, lanes) = (record.groups as usize, record.lanes.at(&operands));
    channel::group_norm_f32(s, groups, lanes, x, affine, record.epsilon, y);
}

pub(crate) static GROUP_NORM: Kernel =
    kernel!(GroupNorm, operands_only::<GroupNormRecord>, group_norm);

fn group_norm(step: Step<'_>) {
    let (record, operands) = step.decode::<GroupNormRecord>();
    let affine = [operands.read(record.scale), operands.read(record.bias)];
    let (x, y) = (operands.cells(record.x), operands.cells_out(record.y));
    let (groups, lanes) = (record.groups as usize, record.lanes.at(&operands));
    channel::group_norm_f64(groups, lanes, x, affine, f64::from(record.epsilon), y);
}
