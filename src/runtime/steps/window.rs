//! Convolution and pooling.

use crate::kernels::activation::Activation;
use crate::kernels::conv::{
    self, DepthwiseF32, Geometry, PoolOp, Pooling, Window, depthwise_f32, pool_f32, pool_positions,
    pool_scalar,
};
use crate::kernels::gemm::PANEL;
use crate::kernels::number::Number;
use crate::kernels::{Simd, Vectorized};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, In, Out, Scratch};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::DType;

use super::product::ActivationWords;
use super::types::by_dtype;

crate::record! {
    /// A window over depth, height and width; the extents of data are per call.
    pub(crate) struct WindowRecord {
        pub(crate) input: [Extent; 3],
        pub(crate) output: [Extent; 3],
        pub(crate) kernel: [u32; 3],
        pub(crate) stride: [u32; 3],
        pub(crate) dilation: [u32; 3],
        pub(crate) pad_begin: [u32; 3],
        pub(crate) pad_end: [u32; 3],
    }
}

impl WindowRecord {
    pub(super) fn window(&self, extent: impl Fn(Extent) -> usize) -> Window {
        let sizes = |list: &[u32; 3]| list.map(|n| n as usize);
        let steps = |list: &[u32; 3]| list.map(|n| n.max(1) as usize);
        Window {
            input: self.input.map(&extent),
            output: self.output.map(&extent),
            kernel: sizes(&self.kernel),
            stride: steps(&self.stride),
            dilation: steps(&self.dilation),
            pad_begin: sizes(&self.pad_begin),
            pad_end: sizes(&self.pad_end),
        }
    }

    /// Elements of the input, the output and the kernel, if no place in them overflows.
    pub(super) fn fits(&self, reach: &Reach<'_>) -> Option<[usize; 3]> {
        let (mut input, mut output) = ([0; 3], [0; 3]);
        for d in 0..3 {
            input[d] = reach.extent(self.input[d])?;
            output[d] = reach.extent(self.output[d])?;
            let far = |n: usize, step: u32| n.saturating_sub(1).checked_mul(step.max(1) as usize);
            let taps = far(self.kernel[d] as usize, self.dilation[d])?;
            far(output[d], self.stride[d])?.checked_add(taps)?;
            let padding = (self.pad_begin[d] as usize).checked_add(self.pad_end[d] as usize)?;
            input[d].checked_add(padding)?;
        }
        Some([count(&input)?, count(&output)?, count(&self.kernel.map(|n| n as usize))?])
    }
}

crate::record! {
    /// The sizes of a convolution; channels and outputs are those of one group.
    pub(crate) struct GeometryRecord {
        pub(crate) window: WindowRecord,
        pub(crate) batch: Extent,
        pub(crate) groups: u32,
        pub(crate) channels: u32,
        pub(crate) outputs: u32,
    }
}

impl GeometryRecord {
    pub(crate) fn geometry(&self, extent: impl Fn(Extent) -> usize) -> Geometry {
        Geometry {
            window: self.window.window(&extent),
            batch: extent(self.batch),
            groups: self.groups as usize,
            channels: self.channels as usize,
            outputs: self.outputs as usize,
        }
    }

    /// The sizes, with the positions of input, output and window.
    pub(crate) fn fits(&self, reach: &Reach<'_>) -> Option<(Geometry, [usize; 3])> {
        let positions = self.window.fits(reach)?;
        reach.extent(self.batch)?;
        Some((self.geometry(|e| reach.extent(e).unwrap_or(0)), positions))
    }
}

crate::record! {
    /// A convolution.
    pub(crate) struct ConvRecord {
        pub(crate) x: In,
        pub(crate) weights: In,
        pub(crate) bias: Option<In>,
        pub(crate) residual: Option<In>,
        pub(crate) activation: ActivationWords,
        pub(crate) y: Out,
        pub(crate) scratch: Option<Scratch>,
        pub(crate) sizes: GeometryRecord,
    }
}

impl ConvRecord {
    /// The sizes, if the operands hold elements `dtype` for them.
    fn fits_as(&self, reach: &Reach<'_>, dtype: DType) -> Option<Geometry> {
        let (geometry, [input, output, taps]) = self.sizes.fits(reach)?;
        let Geometry { batch, groups, channels, outputs, .. } = geometry;
        reach.holds_as(&self.x, dtype, count(&[batch, groups, channels, input])?)?;
        reach.holds_as(&self.weights, dtype, count(&[groups, outputs, channels, taps])?)?;
        reach.may_hold(&self.bias, dtype, count(&[groups, outputs])?)?;
        let len = count(&[batch, groups, outputs, output])?;
        reach.may_hold(&self.residual, dtype, len)?;
        reach.holds_as(&self.y, dtype, len)?;
        reach.may_hold(&self.scratch, dtype, 0)?;
        Some(geometry)
    }

    fn fits_f32(&self, reach: &Reach<'_>) -> Option<()> {
        let geometry = self.fits_as(reach, DType::F32)?;
        let scratch = self.scratch.as_ref().map_or(Some(0), |scratch| reach.len::<f32>(scratch))?;
        require(geometry.is_pointwise() || scratch >= geometry.rows().checked_mul(PANEL)?)
    }

    fn fits_depthwise(&self, reach: &Reach<'_>) -> Option<()> {
        require(self.sizes.channels == 1)?;
        self.fits_as(reach, DType::F32).map(|_| ())
    }

    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let dtype = reach.dtype(&self.x);
        require(matches!(dtype, DType::I32 | DType::F64))?;
        require(self.residual.is_none() && self.activation.activation() == Activation::None)?;
        self.fits_as(reach, dtype).map(|_| ())
    }
}

pub(crate) static CONV_F32: Kernel = kernel!(ConvF32, ConvRecord::fits_f32, simd conv_f32);

fn conv_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<ConvRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let geometry = record.sizes.geometry(|e| operands.extent(e));
    let (x, weights) = (operands.read(record.x), operands.read(record.weights));
    let bias = record.bias.map_or(&[][..], |bias| operands.read(bias));
    let scratch = record.scratch.map_or(&mut [][..], |scratch| operands.scratch(scratch));
    let y = operands.write::<f32>(record.y);
    let len = geometry.batch * geometry.groups * geometry.outputs * geometry.window.output_len();
    let y = &mut y[..len];
    conv::conv_f32(s, &geometry, x, weights, bias, scratch, y);
    let residual = record.residual.map(|residual| operands.read(residual));
    s.vectorize(Epilogue { residual, activation: record.activation.activation(), y });
}

/// What comes behind a convolution.
struct Epilogue<'a> {
    residual: Option<&'a [f32]>,
    activation: Activation,
    y: &'a mut [f32],
}

impl Vectorized for Epilogue<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if let Some(residual) = self.residual {
            for (y, r) in self.y.iter_mut().zip(residual) {
                *y += r;
            }
        }
        self.activation.apply(s, self.y);
    }
}

pub(crate) static CONV_DEPTHWISE_F32: Kernel =
    kernel!(ConvDepthwiseF32, ConvRecord::fits_depthwise, simd conv_depthwise_f32);

fn conv_depthwise_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<ConvRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let Geometry { window, batch, groups, outputs, .. } =
        record.sizes.geometry(|e| operands.extent(e));
    let x = operands.read::<f32>(record.x);
    let weights = operands.read(record.weights);
    let bias = record.bias.map_or(&[][..], |bias| operands.read(bias));
    let y = operands.write::<f32>(record.y);
    let (x_len, y_len) = (groups * window.input_len(), groups * outputs * window.output_len());
    if y_len == 0 {
        return;
    }
    for i in 0..batch {
        let depthwise = DepthwiseF32 {
            window: &window,
            channels: groups,
            multiplier: outputs,
            x: &x[i * x_len..],
            weights,
            bias,
            activation: Activation::None,
            y: &mut y[i * y_len..],
        };
        depthwise_f32(s, depthwise);
    }
    let residual = record.residual.map(|residual| operands.read(residual));
    let y = &mut y[..batch * y_len];
    s.vectorize(Epilogue { residual, activation: record.activation.activation(), y });
}

pub(crate) static CONV: Kernel = kernel!(Conv, ConvRecord::fits, conv);

fn conv(step: Step<'_>) {
    let (record, operands) = step.decode::<ConvRecord>();
    match operands.dtype_in(&record.x) {
        DType::I32 => conv_of::<i32>(record, operands),
        _ => conv_of::<f64>(record, operands),
    }
}

fn conv_of<T: Number>(record: ConvRecord, operands: Operands<'_>) {
    let geometry = record.sizes.geometry(|e| operands.extent(e));
    let (x, weights) = (operands.read::<T>(record.x), operands.read(record.weights));
    let bias = record.bias.map_or(&[][..], |bias| operands.read(bias));
    conv::conv_scalar(&geometry, x, weights, bias, operands.write(record.y));
}

crate::record! {
    /// Pooling of every channel of a batch.
    pub(crate) struct PoolRecord {
        pub(crate) x: In,
        pub(crate) y: Out,
        /// The number of a [`PoolOp`], or zero for the norm by `p`.
        pub(crate) op: u32,
        pub(crate) p: u32,
        pub(crate) window: WindowRecord,
        pub(crate) channels: Extent,
    }
}

impl PoolRecord {
    fn fits_as(&self, reach: &Reach<'_>, dtype: DType) -> Option<()> {
        let ([input, output, _], channels) =
            (self.window.fits(reach)?, reach.extent(self.channels)?);
        reach.holds_as(&self.x, dtype, count(&[channels, input])?)?;
        reach.holds_as(&self.y, dtype, count(&[channels, output])?)
    }

    fn fits_f32(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits_as(reach, DType::F32)
    }

    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits_as(reach, reach.dtype(&self.x))
    }
}

pub(crate) static POOL_F32: Kernel = kernel!(PoolF32, PoolRecord::fits_f32, simd pool);

fn pool<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<PoolRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let op = PoolOp::from_code(record.op as u8).unwrap_or(PoolOp::Max);
    let (window, channels) =
        (record.window.window(|e| operands.extent(e)), operands.extent(record.channels));
    pool_f32(s, op, &window, channels, operands.read(record.x), operands.write(record.y));
}

pub(crate) static POOL: Kernel = kernel!(Pool, PoolRecord::fits, pool_any);

fn pool_any(step: Step<'_>) {
    let (record, operands) = step.decode::<PoolRecord>();
    by_dtype!(operands.dtype_in(&record.x), pool_of(record, operands))
}

fn pool_of<T: Number>(record: PoolRecord, operands: Operands<'_>) {
    let pooling = match PoolOp::from_code(record.op as u8) {
        Some(PoolOp::Max) => Pooling::Max,
        Some(PoolOp::Average) => Pooling::Average { padding: false },
        Some(PoolOp::AverageWithPadding) => Pooling::Average { padding: true },
        None => Pooling::Lp(record.p),
    };
    let (window, channels) =
        (record.window.window(|e| operands.extent(e)), operands.extent(record.channels));
    let (x, y) = (operands.read::<T>(record.x), operands.write(record.y));
    pool_scalar(pooling, &window, channels, x, y);
}

crate::record! {
    /// Where the largest element of each window of every channel is.
    pub(crate) struct PoolPositionsRecord {
        pub(crate) x: In,
        pub(crate) y: Out,
        pub(crate) window: WindowRecord,
        pub(crate) channels: Extent,
        pub(crate) column_major: bool,
    }
}

impl PoolPositionsRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let ([input, output, _], channels) =
            (self.window.fits(reach)?, reach.extent(self.channels)?);
        reach.holds_as(&self.x, reach.dtype(&self.x), count(&[channels, input])?)?;
        reach.holds::<i64>(&self.y, count(&[channels, output])?)
    }
}

pub(crate) static POOL_POSITIONS: Kernel =
    kernel!(PoolPositions, PoolPositionsRecord::fits, positions);

fn positions(step: Step<'_>) {
    let (record, operands) = step.decode::<PoolPositionsRecord>();
    by_dtype!(operands.dtype_in(&record.x), positions_of(record, operands))
}

fn positions_of<T: Number>(record: PoolPositionsRecord, operands: Operands<'_>) {
    let (window, channels) =
        (record.window.window(|e| operands.extent(e)), operands.extent(record.channels));
    let (x, y) = (operands.read::<T>(record.x), operands.write(record.y));
    pool_positions(&window, channels, record.column_major, x, y);
}
