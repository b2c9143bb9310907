//! Elements picked and placed by index. What an index outside means: [`crate::kernels::index`].

use crate::kernels::index::{self, Along, Indices, ScatterCode};
use crate::kernels::number::Number;
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, Extents, In, Out};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::{DType, Element};

use super::lanes::Lanes;
use super::types::{by_dtype, by_width};
use super::walk::{last, rows};

/// The first `len` indices of an operand.
fn indices<'s>(operands: &Operands<'s>, memory: In, len: usize) -> Indices<'s> {
    match operands.dtype_in(&memory) {
        DType::I32 => Indices::I32(&operands.read(memory)[..len]),
        _ => Indices::I64(&operands.read(memory)[..len]),
    }
}

/// Whether there are `len` indices of either type.
fn holds_indices(reach: &Reach<'_>, memory: &In, len: usize) -> Option<()> {
    let dtype = reach.dtype(memory);
    require(matches!(dtype, DType::I32 | DType::I64))?;
    reach.holds_as(memory, dtype, len)
}

crate::record! {
    /// Rows of `data` picked along the axis of `lanes`.
    pub(crate) struct GatherRecord {
        pub(crate) data: In,
        pub(crate) indices: In,
        pub(crate) out: Out,
        pub(crate) width: u32,
        pub(crate) lanes: Lanes,
        pub(crate) len: Extent,
    }
}

impl GatherRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let ([outer, axis, inner], len) = (self.lanes.reach(reach)?, reach.extent(self.len)?);
        reach.holds_wide(&self.data, self.width, outer * axis * inner)?;
        holds_indices(reach, &self.indices, len)?;
        reach.holds_wide(&self.out, self.width, count(&[outer, len, inner])?)
    }
}

pub(crate) static GATHER: Kernel = kernel!(Gather, GatherRecord::fits, gather);

fn gather(step: Step<'_>) {
    let (record, operands) = step.decode::<GatherRecord>();
    by_width!(record.width, gather_of(record, operands))
}

fn gather_of<T: Element>(record: GatherRecord, operands: Operands<'_>) {
    let indices = indices(&operands, record.indices, operands.extent(record.len));
    let lanes = record.lanes.at(&operands);
    index::gather(lanes, operands.read::<T>(record.data), indices, operands.write(record.out));
}

crate::record! {
    /// Slices of `data` picked by tuples of indices.
    pub(crate) struct GatherNdRecord {
        pub(crate) data: In,
        pub(crate) indices: In,
        pub(crate) out: Out,
        pub(crate) width: u32,
        pub(crate) dims: Extents,
        pub(crate) batches: Extent,
        pub(crate) tuples: Extent,
        pub(crate) inner: Extent,
    }
}

impl GatherNdRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let [batches, tuples] = [reach.extent(self.batches)?, reach.extent(self.tuples)?];
        let (inner, dims) = (reach.extent(self.inner)?, reach.product(&self.dims)?);
        reach.holds_wide(&self.data, self.width, count(&[batches, dims, inner])?)?;
        holds_indices(reach, &self.indices, count(&[batches, tuples, self.dims.len()])?)?;
        reach.holds_wide(&self.out, self.width, count(&[batches, tuples, inner])?)
    }
}

pub(crate) static GATHER_ND: Kernel = kernel!(GatherNd, GatherNdRecord::fits, gather_nd);

fn gather_nd(step: Step<'_>) {
    let (record, operands) = step.decode::<GatherNdRecord>();
    by_width!(record.width, gather_nd_of(record, operands))
}

fn gather_nd_of<T: Element>(record: GatherNdRecord, operands: Operands<'_>) {
    let sizes = [record.batches, record.tuples, record.inner].map(|e| operands.extent(e));
    let dims = operands.extents(&record.dims);
    let indices = indices(&operands, record.indices, sizes[0] * sizes[1] * dims.len());
    let (data, out) = (operands.read::<T>(record.data), operands.write(record.out));
    index::gather_nd(&dims, sizes, data, indices, out);
}

/// Elements of `out`, if `len` updates can be joined with them: of one type that is computed in,
/// or of one width where they only replace.
fn joined(reach: &Reach<'_>, op: u32, out: &Out, updates: &In, len: usize) -> Option<usize> {
    let dtype = reach.dtype(updates);
    if ScatterCode::from_word(op) == ScatterCode::Replace {
        let width = dtype.bytes() as u32;
        reach.holds_wide(updates, width, len)?;
        return reach.len_of_width(out, width);
    }
    reach.holds_as(updates, dtype, len)?;
    reach.len_as(out, dtype)
}

crate::record! {
    /// Slices joined into `out`, which holds the data, by tuples of indices.
    pub(crate) struct ScatterNdRecord {
        pub(crate) out: Out,
        pub(crate) indices: In,
        pub(crate) updates: In,
        pub(crate) op: u32,
        pub(crate) dims: Extents,
        pub(crate) tuples: Extent,
        pub(crate) inner: Extent,
    }
}

impl ScatterNdRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let [tuples, inner] = [reach.extent(self.tuples)?, reach.extent(self.inner)?];
        let dims = reach.product(&self.dims)?;
        holds_indices(reach, &self.indices, count(&[tuples, self.dims.len()])?)?;
        let out = joined(reach, self.op, &self.out, &self.updates, count(&[tuples, inner])?)?;
        require(out >= count(&[dims, inner])?)
    }
}

pub(crate) static SCATTER_ND: Kernel = kernel!(ScatterNd, ScatterNdRecord::fits, scatter_nd);

fn scatter_nd(step: Step<'_>) {
    let (record, operands) = step.decode::<ScatterNdRecord>();
    by_dtype!(operands.dtype_in(&record.updates), scatter_nd_of(record, operands))
}

fn scatter_nd_of<T: Number>(record: ScatterNdRecord, operands: Operands<'_>) {
    let sizes = [record.tuples, record.inner].map(|e| operands.extent(e));
    let dims = operands.extents(&record.dims);
    let indices = indices(&operands, record.indices, sizes[0] * dims.len());
    let (updates, out) = (operands.read::<T>(record.updates), operands.write(record.out));
    index::scatter_nd(ScatterCode::from_word(record.op), &dims, sizes, indices, updates, out);
}

crate::record! {
    /// The geometry of indices that move elements along an axis of a tensor under strides: the
    /// stride is zero where the axis is, and stands apart.
    pub(crate) struct AlongRecord {
        pub(crate) shape: Extents,
        pub(crate) offset: Extent,
        pub(crate) strides: Extents,
        pub(crate) axis_stride: Extent,
        pub(crate) axis_extent: Extent,
    }
}

impl AlongRecord {
    /// Calls `row` with the place of each row, the position of its first index and its length;
    /// gives whether there were elements to index.
    #[inline(always)]
    fn each_row(&self, operands: &Operands<'_>, mut row: impl FnMut(Along, usize, usize)) -> bool {
        let (shape, strides) = (operands.extents(&self.shape), operands.strides(&self.strides));
        let (stride, extent) =
            (operands.signed(self.axis_stride), operands.extent(self.axis_extent));
        if extent == 0 {
            return false;
        }
        let (len, [step]) = last(&shape, [&strides]);
        let mut first = 0;
        rows(&shape, [&strides], [operands.signed(self.offset)], |[base]| {
            row(Along { base, step, stride, extent }, first, len);
            first += len;
        });
        true
    }

    fn len(&self, operands: &Operands<'_>) -> usize {
        operands.extents(&self.shape).iter().product()
    }

    /// How many indices there are, if all that they can mean lies within `len`.
    fn fits(&self, reach: &Reach<'_>, len: usize) -> Option<usize> {
        let axis = (reach.extent(self.axis_extent)?, reach.signed(self.axis_stride)?);
        reach.within(len, self.offset, (&self.shape, &self.strides), &[axis])?;
        reach.product(&self.shape)
    }
}

crate::record! {
    /// Elements of `data` picked along an axis.
    pub(crate) struct GatherElementsRecord {
        pub(crate) data: In,
        pub(crate) indices: In,
        pub(crate) out: Out,
        pub(crate) width: u32,
        pub(crate) along: AlongRecord,
    }
}

impl GatherElementsRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let len = self.along.fits(reach, reach.len_of_width(&self.data, self.width)?)?;
        holds_indices(reach, &self.indices, len)?;
        reach.holds_wide(&self.out, self.width, len)
    }
}

pub(crate) static GATHER_ELEMENTS: Kernel =
    kernel!(GatherElements, GatherElementsRecord::fits, gather_elements);

fn gather_elements(step: Step<'_>) {
    let (record, operands) = step.decode::<GatherElementsRecord>();
    by_width!(record.width, gather_elements_of(record, operands))
}

fn gather_elements_of<T: Element>(record: GatherElementsRecord, operands: Operands<'_>) {
    let len = record.along.len(&operands);
    let indices = indices(&operands, record.indices, len);
    let data = operands.read::<T>(record.data);
    let out = &mut operands.write::<T>(record.out)[..len];
    let any = record.along.each_row(&operands, |along, first, n| {
        index::pick_row(along, data, indices, first, &mut out[first..first + n]);
    });
    if !any {
        out.fill(T::default());
    }
}

crate::record! {
    /// Elements joined into `out`, which holds the data, along an axis.
    pub(crate) struct ScatterElementsRecord {
        pub(crate) out: Out,
        pub(crate) indices: In,
        pub(crate) updates: In,
        pub(crate) op: u32,
        pub(crate) along: AlongRecord,
    }
}

impl ScatterElementsRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let len = reach.product(&self.along.shape)?;
        holds_indices(reach, &self.indices, len)?;
        let out = joined(reach, self.op, &self.out, &self.updates, len)?;
        self.along.fits(reach, out).map(drop)
    }
}

pub(crate) static SCATTER_ELEMENTS: Kernel =
    kernel!(ScatterElements, ScatterElementsRecord::fits, scatter_elements);

fn scatter_elements(step: Step<'_>) {
    let (record, operands) = step.decode::<ScatterElementsRecord>();
    by_dtype!(operands.dtype_in(&record.updates), scatter_elements_of(record, operands))
}

fn scatter_elements_of<T: Number>(record: ScatterElementsRecord, operands: Operands<'_>) {
    let len = record.along.len(&operands);
    let indices = indices(&operands, record.indices, len);
    let updates = operands.read::<T>(record.updates);
    let out = operands.write::<T>(record.out);
    let code = ScatterCode::from_word(record.op);
    record.along.each_row(&operands, |along, first, n| {
        index::place_row(code, along, out, indices, first, &updates[first..first + n]);
    });
}

crate::record! {
    /// One value where the axis of `lanes` is at the index, another elsewhere.
    pub(crate) struct OneHotRecord {
        pub(crate) indices: In,
        pub(crate) values: In,
        pub(crate) out: Out,
        pub(crate) width: u32,
        pub(crate) lanes: Lanes,
    }
}

impl OneHotRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let [outer, depth, inner] = self.lanes.reach(reach)?;
        holds_indices(reach, &self.indices, outer * inner)?;
        reach.holds_wide(&self.values, self.width, 2)?;
        reach.holds_wide(&self.out, self.width, outer * depth * inner)
    }
}

pub(crate) static ONE_HOT: Kernel = kernel!(OneHot, OneHotRecord::fits, one_hot);

fn one_hot(step: Step<'_>) {
    let (record, operands) = step.decode::<OneHotRecord>();
    by_width!(record.width, one_hot_of(record, operands))
}

fn one_hot_of<T: Element>(record: OneHotRecord, operands: Operands<'_>) {
    let lanes = record.lanes.at(&operands);
    let indices = indices(&operands, record.indices, lanes[0] * lanes[2]);
    let values = operands.read::<T>(record.values);
    index::one_hot(lanes, indices, [values[0], values[1]], operands.write(record.out));
}
