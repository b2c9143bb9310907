//! Scans, positions and selections along one axis.

use crate::kernels::lanes;
use crate::kernels::number::Number;
use crate::runtime::check::{Reach, count};
use crate::runtime::record::{Extent, In, Out, Scratch};
use crate::runtime::step::{Kernel, Operands, Step, kernel};

use super::types::by_dtype;

crate::record! {
    /// A row-major tensor seen from one axis, or a run of them: `[outer, axis, inner]`.
    pub(crate) struct Lanes {
        pub(crate) outer: Extent,
        pub(crate) axis: Extent,
        pub(crate) inner: Extent,
    }
}

impl Lanes {
    /// The extents of this call.
    #[inline(always)]
    pub(crate) fn at(&self, operands: &Operands<'_>) -> [usize; 3] {
        [&self.outer, &self.axis, &self.inner].map(|e| operands.extent(*e))
    }

    /// The extents at a corner; their products do not overflow.
    pub(crate) fn reach(&self, reach: &Reach<'_>) -> Option<[usize; 3]> {
        let (outer, axis, inner) =
            (reach.extent(self.outer)?, reach.extent(self.axis)?, reach.extent(self.inner)?);
        count(&[outer, axis, inner])?;
        Some([outer, axis, inner])
    }
}

crate::record! {
    /// A running sum or product.
    pub(crate) struct CumSumRecord {
        pub(crate) x: In,
        pub(crate) y: Out,
        pub(crate) lanes: Lanes,
        pub(crate) exclusive: bool,
        pub(crate) reverse: bool,
    }
}

impl CumSumRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (dtype, len) = (reach.dtype(&self.x), count(&self.lanes.reach(reach)?)?);
        reach.holds_as(&self.x, dtype, len)?;
        reach.holds_as(&self.y, dtype, len)
    }
}

pub(crate) static CUM_SUM: Kernel = kernel!(CumSum, CumSumRecord::fits, cum_sum);

fn cum_sum(step: Step<'_>) {
    let (record, operands) = step.decode::<CumSumRecord>();
    by_dtype!(operands.dtype_in(&record.x), cum_sum_of(record, operands))
}

fn cum_sum_of<T: Number>(record: CumSumRecord, operands: Operands<'_>) {
    let lanes = record.lanes.at(&operands);
    let (x, y) = (operands.read::<T>(record.x), operands.write::<T>(record.y));
    lanes::cum_sum(lanes, record.exclusive, record.reverse, x, y);
}

pub(crate) static CUM_PROD: Kernel = kernel!(CumProd, CumSumRecord::fits, cum_prod);

fn cum_prod(step: Step<'_>) {
    let (record, operands) = step.decode::<CumSumRecord>();
    by_dtype!(operands.dtype_in(&record.x), cum_prod_of(record, operands))
}

fn cum_prod_of<T: Number>(record: CumSumRecord, operands: Operands<'_>) {
    let lanes = record.lanes.at(&operands);
    let (x, y) = (operands.read::<T>(record.x), operands.write::<T>(record.y));
    lanes::cum_prod(lanes, record.exclusive, record.reverse, x, y);
}

crate::record! {
    /// The position of an extreme.
    pub(crate) struct ArgReduceRecord {
        pub(crate) x: In,
        pub(crate) y: Out,
        pub(crate) lanes: Lanes,
        pub(crate) largest: bool,
        pub(crate) select_last: bool,
    }
}

impl ArgReduceRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let [outer, axis, inner] = self.lanes.reach(reach)?;
        reach.holds_as(&self.x, reach.dtype(&self.x), outer * axis * inner)?;
        reach.holds::<i64>(&self.y, outer * inner)
    }
}

pub(crate) static ARG_REDUCE: Kernel = kernel!(ArgReduce, ArgReduceRecord::fits, arg_reduce);

fn arg_reduce(step: Step<'_>) {
    let (record, operands) = step.decode::<ArgReduceRecord>();
    by_dtype!(operands.dtype_in(&record.x), arg_reduce_of(record, operands))
}

fn arg_reduce_of<T: Number>(record: ArgReduceRecord, operands: Operands<'_>) {
    let lanes = record.lanes.at(&operands);
    let (x, y) = (operands.read::<T>(record.x), operands.write::<i64>(record.y));
    lanes::arg_reduce(lanes, record.largest, record.select_last, x, y);
}

crate::record! {
    /// The largest or smallest elements, and where they are.
    pub(crate) struct TopKRecord {
        pub(crate) x: In,
        pub(crate) values: Out,
        pub(crate) positions: Out,
        pub(crate) scratch: Scratch,
        pub(crate) lanes: Lanes,
        pub(crate) k: Extent,
        pub(crate) largest: bool,
    }
}

impl TopKRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let ([outer, axis, inner], dtype) = (self.lanes.reach(reach)?, reach.dtype(&self.x));
        let chosen = count(&[outer, reach.extent(self.k)?, inner])?;
        reach.holds_as(&self.x, dtype, outer * axis * inner)?;
        reach.holds_as(&self.values, dtype, chosen)?;
        reach.holds::<i64>(&self.positions, chosen)?;
        reach.holds::<u32>(&self.scratch, axis)
    }
}

pub(crate) static TOP_K: Kernel = kernel!(TopK, TopKRecord::fits, top_k);

fn top_k(step: Step<'_>) {
    let (record, operands) = step.decode::<TopKRecord>();
    by_dtype!(operands.dtype_in(&record.x), top_k_of(record, operands))
}

fn top_k_of<T: Number>(record: TopKRecord, operands: Operands<'_>) {
    let lanes = record.lanes.at(&operands);
    lanes::top_k(
        lanes,
        operands.extent(record.k),
        record.largest,
        operands.read::<T>(record.x),
        operands.scratch(record.scratch),
        operands.write::<T>(record.values),
        operands.write(record.positions),
    );
}
