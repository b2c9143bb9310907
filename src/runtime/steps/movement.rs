//! Copies, constants and dimensions.

use arrayvec::ArrayVec;

use crate::kernels::movement::{self, PadAxis, PadCode};
use crate::kernels::number::Number;
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, Extents, In, MAX_RANK, Out};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::{DType, Element};

use super::lanes::Lanes;
use super::types::{by_dtype, by_width};
use super::walk::{last, rows};

crate::record! {
    /// `dst[..] = src[..]` under strides of each; elements of any type.
    pub(crate) struct CopyRecord {
        pub(crate) src: In,
        pub(crate) dst: Out,
        /// Bytes of an element: 1, 2, 4 or 8.
        pub(crate) width: u32,
        pub(crate) src_offset: Extent,
        pub(crate) dst_offset: Extent,
        pub(crate) shape: Extents,
        pub(crate) src_strides: Extents,
        pub(crate) dst_strides: Extents,
    }
}

impl CopyRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let src = reach.len_of_width(&self.src, self.width)?;
        let dst = reach.len_of_width(&self.dst, self.width)?;
        reach.within(src, self.src_offset, (&self.shape, &self.src_strides), &[])?;
        reach.within(dst, self.dst_offset, (&self.shape, &self.dst_strides), &[])?;
        // Nothing is written twice.
        require(reach.product(&self.shape)? <= dst)
    }
}

pub(crate) static COPY: Kernel = kernel!(Copy, CopyRecord::fits, copy);

fn copy(step: Step<'_>) {
    let (record, operands) = step.decode::<CopyRecord>();
    let shape = operands.extents(&record.shape);
    let (from, to) = (operands.strides(&record.src_strides), operands.strides(&record.dst_strides));
    let offsets = [operands.signed(record.src_offset), operands.signed(record.dst_offset)];
    let geometry = (&shape[..], [&from[..], &to[..]], offsets);
    by_width!(
        record.width,
        copy_elements(operands.read(record.src), operands.write(record.dst), geometry)
    )
}

type Geometry<'a> = (&'a [usize], [&'a [isize]; 2], [isize; 2]);

fn copy_elements<T: Element>(src: &[T], dst: &mut [T], (shape, strides, offsets): Geometry<'_>) {
    let (n, [a, b]) = last(shape, strides);
    rows(shape, strides, offsets, |[i, j]| {
        let (i, j) = (i as usize, j as usize);
        match (a, b) {
            (1, 1) => dst[j..j + n].copy_from_slice(&src[i..i + n]),
            (0, 1) => dst[j..j + n].fill(src[i]),
            (1.., 1..) => {
                let from = src[i..].iter().step_by(a as usize);
                let to = dst[j..].iter_mut().step_by(b as usize);
                to.zip(from).take(n).for_each(|(to, from)| *to = *from);
            }
            _ => {
                for k in 0..n as isize {
                    dst[(j as isize + k * b) as usize] = src[(i as isize + k * a) as usize];
                }
            }
        }
    });
}

crate::record! {
    /// `dst[..len] = value[0]`.
    pub(crate) struct FillRecord {
        pub(crate) value: In,
        pub(crate) dst: Out,
        pub(crate) width: u32,
        pub(crate) len: Extent,
    }
}

impl FillRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        reach.holds_wide(&self.value, self.width, 1)?;
        reach.holds_wide(&self.dst, self.width, reach.extent(self.len)?)
    }
}

pub(crate) static FILL: Kernel = kernel!(Fill, FillRecord::fits, fill);

fn fill(step: Step<'_>) {
    let (record, operands) = step.decode::<FillRecord>();
    by_width!(record.width, fill_of(record, operands))
}

fn fill_of<T: Element>(record: FillRecord, operands: Operands<'_>) {
    let len = operands.extent(record.len);
    operands.write::<T>(record.dst)[..len].fill(operands.read::<T>(record.value)[0]);
}

crate::record! {
    /// `dst[i] = dims[i]`, as i64.
    pub(crate) struct ExtentsRecord {
        pub(crate) dst: Out,
        pub(crate) dims: ArrayVec<Extent, 16>,
    }
}

impl ExtentsRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        reach.holds::<i64>(&self.dst, self.dims.len())
    }
}

pub(crate) static EXTENTS: Kernel = kernel!(Extents, ExtentsRecord::fits, extents);

fn extents(step: Step<'_>) {
    let (record, operands) = step.decode::<ExtentsRecord>();
    debug_assert_eq!(DType::I64, <i64 as Element>::DTYPE);
    for (to, dim) in operands.write::<i64>(record.dst).iter_mut().zip(&record.dims) {
        *to = operands.signed(*dim) as i64;
    }
}

crate::record! {
    /// `dst` is `src` with margins; the source may lie under strides.
    pub(crate) struct PadRecord {
        pub(crate) src: In,
        pub(crate) dst: Out,
        pub(crate) value: Option<In>,
        pub(crate) width: u32,
        pub(crate) mode: u32,
        pub(crate) offset: Extent,
        pub(crate) before: Extents,
        pub(crate) shape: Extents,
        pub(crate) after: Extents,
        pub(crate) strides: Extents,
    }
}

impl PadRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let rank = self.shape.len();
        require(self.before.len() == rank && self.after.len() == rank)?;
        let src = reach.len_of_width(&self.src, self.width)?;
        reach.within(src, self.offset, (&self.shape, &self.strides), &[])?;
        let mut padded = reach.extents(&self.shape)?;
        for margins in [&self.before, &self.after] {
            for (extent, margin) in padded.iter_mut().zip(margins) {
                *extent = extent.checked_add(reach.extent(*margin)?)?;
            }
        }
        reach.holds_wide(&self.dst, self.width, count(&padded)?)?;
        self.value.as_ref().map_or(Some(()), |value| reach.holds_wide(value, self.width, 1))
    }
}

pub(crate) static PAD: Kernel = kernel!(Pad, PadRecord::fits, pad);

fn pad(step: Step<'_>) {
    let (record, operands) = step.decode::<PadRecord>();
    by_width!(record.width, pad_of(record, operands))
}

fn pad_of<T: Element>(record: PadRecord, operands: Operands<'_>) {
    let (before, after) = (operands.extents(&record.before), operands.extents(&record.after));
    let strides = operands.strides(&record.strides);
    let axes: ArrayVec<PadAxis, MAX_RANK> = operands
        .extents(&record.shape)
        .into_iter()
        .zip(before.into_iter().zip(after))
        .zip(strides)
        .map(|((extent, (before, after)), stride)| PadAxis { before, extent, after, stride })
        .collect();
    let value = record.value.map_or(T::default(), |value| operands.read::<T>(value)[0]);
    movement::pad(
        PadCode::from_word(record.mode),
        &axes,
        operands.signed(record.offset),
        value,
        operands.read::<T>(record.src),
        operands.write::<T>(record.dst),
    );
}

crate::record! {
    /// `out[i] = start + i * step`.
    pub(crate) struct RangeRecord {
        pub(crate) start: In,
        pub(crate) step: In,
        pub(crate) out: Out,
        pub(crate) len: Extent,
    }
}

impl RangeRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let dtype = reach.dtype(&self.start);
        reach.holds_as(&self.start, dtype, 1)?;
        reach.holds_as(&self.step, dtype, 1)?;
        reach.holds_as(&self.out, dtype, reach.extent(self.len)?)
    }
}

pub(crate) static RANGE: Kernel = kernel!(Range, RangeRecord::fits, range);

fn range(step: Step<'_>) {
    let (record, operands) = step.decode::<RangeRecord>();
    by_dtype!(operands.dtype_in(&record.start), range_of(record, operands))
}

fn range_of<T: Number>(record: RangeRecord, operands: Operands<'_>) {
    let (start, step) = (operands.read::<T>(record.start)[0], operands.read::<T>(record.step)[0]);
    let len = operands.extent(record.len);
    movement::range(start, step, &mut operands.write::<T>(record.out)[..len]);
}

crate::record! {
    /// One triangle of `x` (matrices in the axis and inner part of `lanes`).
    pub(crate) struct TriluRecord {
        pub(crate) x: In,
        pub(crate) y: Out,
        pub(crate) width: u32,
        pub(crate) upper: bool,
        pub(crate) k: i32,
        pub(crate) lanes: Lanes,
    }
}

impl TriluRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let len = count(&self.lanes.reach(reach)?)?;
        reach.holds_wide(&self.x, self.width, len)?;
        reach.holds_wide(&self.y, self.width, len)
    }
}

pub(crate) static TRILU: Kernel = kernel!(Trilu, TriluRecord::fits, trilu);

fn trilu(step: Step<'_>) {
    let (record, operands) = step.decode::<TriluRecord>();
    by_width!(record.width, trilu_of(record, operands))
}

fn trilu_of<T: Element>(record: TriluRecord, operands: Operands<'_>) {
    let lanes = record.lanes.at(&operands);
    let (x, y) = (operands.read::<T>(record.x), operands.write::<T>(record.y));
    movement::trilu(record.upper, i64::from(record.k), lanes, x, y);
}
