//! Results whose size depends on the data, and the step that makes a number a dimension.

use crate::kernels::dynamic::{self, Suppression, UniqueOut};
use crate::kernels::number::Number;
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, Extents, In, Out, Scratch};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::DType;

use super::lanes::Lanes;
use super::types::by_dtype;

crate::record! {
    /// `dims[dim] = from[at]`; the run takes it over and evaluates the table of dimensions.
    pub(crate) struct MeasureRecord {
        pub(crate) from: In,
        pub(crate) at: u32,
        pub(crate) dim: u32,
        /// A number outside the dimension's bounds means the nearest within; else it ends the run.
        pub(crate) saturate: bool,
    }
}

impl MeasureRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        reach.is_measured(self.dim)?;
        reach.holds::<i64>(&self.from, (self.at as usize).checked_add(1)?)
    }
}

pub(crate) static MEASURE: Kernel = kernel!(Measure, MeasureRecord::fits, measure_nothing);

/// The run sees to this step itself: dimensions are borrowed while a kernel runs.
fn measure_nothing(_: Step<'_>) {}

/// A number that a step has found for a dimension.
pub(in crate::runtime) struct Measured {
    pub(in crate::runtime) dim: u32,
    pub(in crate::runtime) number: i64,
    pub(in crate::runtime) saturate: bool,
}

/// Finds the number.
pub(in crate::runtime) fn measure(step: Step<'_>) -> Measured {
    let (record, operands) = step.decode::<MeasureRecord>();
    let number = operands.read::<i64>(record.from)[record.at as usize];
    Measured { dim: record.dim, number, saturate: record.saturate }
}

crate::record! {
    /// Positions of elements that are not zero, one column each, and how many there are.
    pub(crate) struct NonZeroRecord {
        pub(crate) x: In,
        pub(crate) positions: Out,
        pub(crate) found: Out,
        pub(crate) shape: Extents,
    }
}

impl NonZeroRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let len = reach.product(&self.shape)?;
        reach.holds_as(&self.x, reach.dtype(&self.x), len)?;
        reach.holds::<i64>(&self.positions, count(&[len, self.shape.len()])?)?;
        reach.holds::<i64>(&self.found, 1)
    }
}

pub(crate) static NON_ZERO: Kernel = kernel!(NonZero, NonZeroRecord::fits, non_zero);

fn non_zero(step: Step<'_>) {
    let (record, operands) = step.decode::<NonZeroRecord>();
    by_dtype!(operands.dtype_in(&record.x), non_zero_of(record, operands))
}

fn non_zero_of<T: Number>(record: NonZeroRecord, operands: Operands<'_>) {
    let shape = operands.extents(&record.shape);
    let x = &operands.read::<T>(record.x)[..shape.iter().product()];
    let found = dynamic::non_zero(&shape, x, operands.write(record.positions));
    operands.write::<i64>(record.found)[0] = found as i64;
}

crate::record! {
    /// Distinct slices of the middle axis, where each first occurs, which each slice is, and how
    /// often it occurs.
    pub(crate) struct UniqueRecord {
        pub(crate) x: In,
        pub(crate) values: Out,
        pub(crate) first: Out,
        pub(crate) inverse: Out,
        pub(crate) counts: Out,
        pub(crate) found: Out,
        pub(crate) order: Scratch,
        pub(crate) lanes: Lanes,
        pub(crate) sorted: bool,
    }
}

impl UniqueRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let ([outer, axis, inner], dtype) = (self.lanes.reach(reach)?, reach.dtype(&self.x));
        require(u32::try_from(axis).is_ok())?;
        reach.holds_as(&self.x, dtype, outer * axis * inner)?;
        reach.holds_as(&self.values, dtype, outer * axis * inner)?;
        for out in [&self.first, &self.inverse, &self.counts] {
            reach.holds::<i64>(out, axis)?;
        }
        reach.holds::<i64>(&self.found, 1)?;
        reach.holds::<u32>(&self.order, count(&[2, axis])?)
    }
}

pub(crate) static UNIQUE: Kernel = kernel!(Unique, UniqueRecord::fits, unique);

fn unique(step: Step<'_>) {
    let (record, operands) = step.decode::<UniqueRecord>();
    by_dtype!(operands.dtype_in(&record.x), unique_of(record, operands))
}

fn unique_of<T: Number>(record: UniqueRecord, operands: Operands<'_>) {
    let lanes = record.lanes.at(&operands);
    let out = UniqueOut {
        values: operands.write::<T>(record.values),
        first: operands.write(record.first),
        inverse: operands.write(record.inverse),
        counts: operands.write(record.counts),
    };
    let (x, order) = (operands.read(record.x), operands.scratch(record.order));
    let found = dynamic::unique(lanes, record.sorted, x, order, out);
    operands.write::<i64>(record.found)[0] = found as i64;
}

crate::record! {
    /// Boxes that no better box of the same class covers.
    pub(crate) struct SuppressionRecord {
        pub(crate) boxes: In,
        pub(crate) scores: In,
        /// Most boxes of each class.
        pub(crate) most: In,
        pub(crate) iou_threshold: Option<In>,
        pub(crate) score_threshold: Option<In>,
        pub(crate) selected: Out,
        pub(crate) found: Out,
        pub(crate) order: Scratch,
        pub(crate) batches: Extent,
        pub(crate) classes: Extent,
        pub(crate) boxes_len: Extent,
        pub(crate) centred: bool,
    }
}

impl SuppressionRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let [batches, classes, boxes] = [
            reach.extent(self.batches)?,
            reach.extent(self.classes)?,
            reach.extent(self.boxes_len)?,
        ];
        require(u32::try_from(boxes).is_ok())?;
        let pairs = count(&[batches, classes, boxes])?;
        reach.holds::<f32>(&self.boxes, count(&[batches, boxes, 4])?)?;
        reach.holds::<f32>(&self.scores, pairs)?;
        reach.holds::<i64>(&self.most, 1)?;
        reach.may_hold(&self.iou_threshold, DType::F32, 1)?;
        reach.may_hold(&self.score_threshold, DType::F32, 1)?;
        // Three numbers for each box that is selected; the kernel stops where there is no room.
        require(reach.len::<i64>(&self.selected)?.is_multiple_of(3) || pairs == 0)?;
        reach.holds::<i64>(&self.found, 1)?;
        reach.holds::<u32>(&self.order, count(&[2, boxes])?)
    }
}

pub(crate) static NON_MAX_SUPPRESSION: Kernel =
    kernel!(NonMaxSuppression, SuppressionRecord::fits, suppress);

fn suppress(step: Step<'_>) {
    let (record, operands) = step.decode::<SuppressionRecord>();
    let number = |from: Option<In>| from.map(|from| operands.read::<f32>(from)[0]);
    let most = operands.read::<i64>(record.most)[0];
    let rule = Suppression {
        most: usize::try_from(most).unwrap_or(0),
        iou_threshold: number(record.iou_threshold).unwrap_or(0.0),
        score_threshold: number(record.score_threshold),
        centred: record.centred,
    };
    let sizes = [record.batches, record.classes, record.boxes_len].map(|e| operands.extent(e));
    let found = dynamic::suppress(
        &rule,
        sizes,
        operands.read(record.boxes),
        operands.read(record.scores),
        operands.scratch(record.order),
        operands.write(record.selected),
    );
    operands.write::<i64>(record.found)[0] = found as i64;
}
