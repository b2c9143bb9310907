//! Floats to integers of few bits and back.

use crate::kernels::Simd;
use crate::kernels::int8::{Grid8, dequantize_rows, quantize_rows};
use crate::kernels::quantize::{self, Grid, Quantized};
use crate::runtime::check::{Reach, count};
use crate::runtime::record::{In, Out};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::DType;

use super::integer::read_grid;
use super::lanes::Lanes;

crate::record! {
    /// Data, where its scales and zero points lie, and the result. The types of the operands
    /// are those of their buffers; `integer` is the pinned number of the integer one.
    pub(crate) struct QuantizeRecord {
        pub(crate) x: In,
        pub(crate) scale: In,
        pub(crate) zero: Option<In>,
        pub(crate) y: Out,
        pub(crate) integer: u32,
        pub(crate) lanes: Lanes,
        pub(crate) block: u32,
        pub(crate) by_outer: bool,
        pub(crate) by_inner: bool,
    }
}

impl QuantizeRecord {
    fn grid(&self, operands: &Operands<'_>) -> Grid {
        Grid {
            lanes: self.lanes.at(operands),
            block: self.block as usize,
            by_outer: self.by_outer,
            by_inner: self.by_inner,
        }
    }

    /// What one scale for all elements of eight bits, in one row, says of them.
    #[inline(always)]
    fn one_grid(&self, operands: &Operands<'_>) -> Option<Grid8> {
        let signed = match self.integer() {
            DType::I8 => true,
            DType::U8 => false,
            _ => return None,
        };
        let [outer, axis, _] = self.lanes.at(operands);
        if self.by_inner || (outer, axis) != (1, 1) {
            return None;
        }
        Some(read_grid(operands, signed, Some(&self.scale), self.zero.as_ref()))
    }

    fn integer(&self) -> DType {
        match DType::from_code(self.integer as u8) {
            Some(dtype @ (DType::I8 | DType::U16 | DType::I16 | DType::I32)) => dtype,
            _ => DType::U8,
        }
    }

    fn fits(&self, reach: &Reach<'_>, float: DType, from: DType, to: DType) -> Option<()> {
        let [outer, axis, inner] = self.lanes.reach(reach)?;
        reach.holds_as(&self.x, from, outer * axis * inner)?;
        reach.holds_as(&self.y, to, outer * axis * inner)?;
        let blocks = axis.div_ceil((self.block as usize).max(1));
        let by = |own: bool, n: usize| if own { n } else { 1 };
        let scales = count(&[by(self.by_outer, outer), blocks, by(self.by_inner, inner)])?;
        reach.holds_as(&self.scale, float, scales)?;
        reach.may_hold(&self.zero, self.integer(), scales)
    }

    fn quantizes_f32(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F32, DType::F32, self.integer())
    }

    fn quantizes_f64(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F64, DType::F64, self.integer())
    }

    fn gives_f32(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F32, self.integer(), DType::F32)
    }

    fn gives_f64(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F64, self.integer(), DType::F64)
    }
}

/// Calls a function generic over the integer type.
macro_rules! by_integer {
    ($dtype:expr, $f:ident$(::<$s:ty>)?($($arg:expr),*)) => {
        match $dtype {
            DType::I8 => $f::<$($s,)? i8>($($arg),*),
            DType::U16 => $f::<$($s,)? u16>($($arg),*),
            DType::I16 => $f::<$($s,)? i16>($($arg),*),
            DType::I32 => $f::<$($s,)? i32>($($arg),*),
            _ => $f::<$($s,)? u8>($($arg),*),
        }
    };
}

fn zeros<'s, T: Quantized>(zero: Option<In>, operands: &Operands<'s>) -> &'s [T] {
    zero.map_or(&[], |zero| operands.read(zero))
}

pub(crate) static QUANTIZE_F32: Kernel =
    kernel!(QuantizeF32, QuantizeRecord::quantizes_f32, simd quantize_f32);

fn quantize_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<QuantizeRecord>();
    if let (Some(grid), Some(s)) = (record.one_grid(&operands), S::from_level(operands.level())) {
        let len = record.lanes.at(&operands).iter().product::<usize>();
        let x = &operands.read(record.x)[..len];
        return quantize_rows(s, grid, x, &mut operands.write(record.y)[..len]);
    }
    by_integer!(record.integer(), quantize_f32_to::<S>(record, operands))
}

fn quantize_f32_to<S: Simd, T: Quantized>(record: QuantizeRecord, operands: Operands<'_>) {
    let Some(s) = S::from_level(operands.level()) else { return };
    let (grid, zero) = (record.grid(&operands), zeros::<T>(record.zero, &operands));
    let (x, scale) = (operands.read(record.x), operands.read(record.scale));
    quantize::quantize_f32(s, grid, x, scale, zero, operands.write(record.y));
}

pub(crate) static QUANTIZE: Kernel = kernel!(Quantize, QuantizeRecord::quantizes_f64, quantize);

fn quantize(step: Step<'_>) {
    let (record, operands) = step.decode::<QuantizeRecord>();
    by_integer!(record.integer(), quantize_to(record, operands))
}

fn quantize_to<T: Quantized>(record: QuantizeRecord, operands: Operands<'_>) {
    let (grid, zero) = (record.grid(&operands), zeros::<T>(record.zero, &operands));
    let (x, scale) = (operands.read(record.x), operands.read(record.scale));
    quantize::quantize_f64(grid, x, scale, zero, operands.write(record.y));
}

pub(crate) static DEQUANTIZE_F32: Kernel =
    kernel!(DequantizeF32, QuantizeRecord::gives_f32, simd dequantize_f32);

fn dequantize_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<QuantizeRecord>();
    if let (Some(grid), Some(s)) = (record.one_grid(&operands), S::from_level(operands.level())) {
        let len = record.lanes.at(&operands).iter().product::<usize>();
        let x = &operands.read(record.x)[..len];
        return dequantize_rows(s, grid, x, &mut operands.write(record.y)[..len]);
    }
    by_integer!(record.integer(), dequantize_f32_from::<S>(record, operands))
}

fn dequantize_f32_from<S: Simd, T: Quantized>(record: QuantizeRecord, operands: Operands<'_>) {
    let Some(s) = S::from_level(operands.level()) else { return };
    let (grid, zero) = (record.grid(&operands), zeros::<T>(record.zero, &operands));
    let (x, scale) = (operands.read(record.x), operands.read(record.scale));
    quantize::dequantize_f32(s, grid, x, scale, zero, operands.write(record.y));
}

pub(crate) static DEQUANTIZE: Kernel = kernel!(Dequantize, QuantizeRecord::gives_f64, dequantize);

fn dequantize(step: Step<'_>) {
    let (record, operands) = step.decode::<QuantizeRecord>();
    by_integer!(record.integer(), dequantize_from(record, operands))
}

fn dequantize_from<T: Quantized>(record: QuantizeRecord, operands: Operands<'_>) {
    let (grid, zero) = (record.grid(&operands), zeros::<T>(record.zero, &operands));
    let (x, scale) = (operands.read(record.x), operands.read(record.scale));
    quantize::dequantize_f64(grid, x, scale, zero, operands.write(record.y));
}
