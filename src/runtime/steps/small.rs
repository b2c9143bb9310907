//! To and from numbers of few bits.

use crate::runtime::check::{Reach, require};
use crate::runtime::record::{Extents, SharedOut};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::{Bf16, DType, Element, F16, Rounding, Towards, narrow, widen};

use super::elementwise::{Strided, map};

crate::record! {
    /// `out[..] = a[..]`, from a small type to f32.
    pub(crate) struct WidenRecord {
        pub(crate) a: Strided,
        pub(crate) out: SharedOut,
        pub(crate) shape: Extents,
    }
}

impl WidenRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        require(reach.dtype(&self.a.memory).is_small())?;
        self.a.fits_bits(reach, &self.shape)?;
        reach.holds::<f32>(&self.out, reach.product(&self.shape)?)
    }
}

pub(crate) static WIDEN: Kernel = kernel!(Widen, WidenRecord::fits, widen_all);

fn widen_all(step: Step<'_>) {
    let (WidenRecord { a, out, shape }, operands) = step.decode::<WidenRecord>();
    match operands.dtype(&a.memory) {
        DType::F16 => map(&a, out, &shape, &operands, F16::to_f32),
        DType::BF16 => map(&a, out, &shape, &operands, Bf16::to_f32),
        dtype => map(&a, out, &shape, &operands, |x: u8| widen(dtype, u16::from(x))),
    }
}

crate::record! {
    /// `out[..] = a[..]`, from f32 or f64 to a small type.
    pub(crate) struct NarrowRecord {
        pub(crate) a: Strided,
        pub(crate) out: SharedOut,
        pub(crate) shape: Extents,
        pub(crate) saturate: bool,
        pub(crate) towards: u32,
    }
}

impl NarrowRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (from, to) = (reach.dtype(&self.a.memory), reach.dtype(&self.out));
        require(matches!(from, DType::F32 | DType::F64) && to.is_small())?;
        self.a.fits_bits(reach, &self.shape)?;
        reach.holds_wide(&self.out, to.bytes() as u32, reach.product(&self.shape)?)
    }
}

pub(crate) static NARROW: Kernel = kernel!(Narrow, NarrowRecord::fits, narrow_all);

fn narrow_all(step: Step<'_>) {
    let (record, operands) = step.decode::<NarrowRecord>();
    match operands.dtype(&record.a.memory) {
        DType::F64 => narrow_from::<f64>(record, operands),
        _ => narrow_from::<f32>(record, operands),
    }
}

fn narrow_from<T: Element + Into<f64>>(record: NarrowRecord, operands: Operands<'_>) {
    let NarrowRecord { a, out, shape, saturate, towards } = record;
    let rounding = Rounding { saturate, towards: Towards::from_word(towards) };
    match operands.dtype_out(&out) {
        // Apart, so that the loop knows the type.
        DType::F16 => {
            map(&a, out, &shape, &operands, |x: T| narrow(DType::F16, x.into(), rounding));
        }
        DType::BF16 => {
            map(&a, out, &shape, &operands, |x: T| narrow(DType::BF16, x.into(), rounding));
        }
        dtype => {
            map(&a, out, &shape, &operands, |x: T| narrow(dtype, x.into(), rounding) as u8);
        }
    }
}
