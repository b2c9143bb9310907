//! Attention.

use arrayvec::ArrayVec;

use crate::kernels::Simd;
use crate::kernels::attention::{self, MASKS, MaskRows, Rows, Unseeing, scratch_len};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, Extents, Field, In, MAX_RANK, Out, Scratch};
use crate::runtime::step::{Kernel, Operands, Step, kernel};

use super::walk::rows;

crate::record! {
    /// A batch of matrices whose rows are contiguous.
    pub(crate) struct RowsRecord {
        pub(crate) memory: In,
        pub(crate) offset: Extent,
        pub(crate) row_stride: Extent,
        pub(crate) batch: Extents,
    }
}

crate::record! {
    /// What changes scores.
    pub(crate) struct MaskRecord {
        pub(crate) rows: RowsRecord,
        pub(crate) spread: bool,
        pub(crate) replace: bool,
    }
}

crate::record! {
    /// `y = softmax(masked(scale q k')) v` for each head of a batch.
    pub(crate) struct AttentionRecord {
        pub(crate) batch: Extents,
        pub(crate) queries: Extent,
        pub(crate) keys: Extent,
        pub(crate) size: Extent,
        pub(crate) width: Extent,
        pub(crate) scale: f32,
        pub(crate) softcap: f32,
        pub(crate) causal: Option<Extent>,
        /// Pinned: 0 NaN, 1 zero, 2 zero for NaN.
        pub(crate) unseeing: u32,
        pub(crate) q: RowsRecord,
        pub(crate) k: RowsRecord,
        /// Rows of `k` are those of its transpose.
        pub(crate) by_column: bool,
        pub(crate) v: RowsRecord,
        pub(crate) masks: ArrayVec<MaskRecord, MASKS>,
        pub(crate) y: Out,
        pub(crate) y_row_stride: Extent,
        pub(crate) y_batch: Extents,
        pub(crate) scratch: Scratch,
    }
}

impl RowsRecord {
    fn fits(&self, reach: &Reach<'_>, batch: &Extents, rows: usize, cols: usize) -> Option<usize> {
        let len = reach.len::<f32>(&self.memory)?;
        let axes = [(rows, reach.stride(self.row_stride)?), (cols, 1)];
        reach.within(len, self.offset, (batch, &self.batch), &axes)?;
        Some(len)
    }

    /// The matrices of the batch; `is_read` where they have elements.
    #[inline(always)]
    fn of<'a>(&self, operands: &Operands<'a>, is_read: bool) -> Matrices<'a> {
        let data = operands.read::<f32>(In(self.memory.0));
        Matrices { data, stride: operands.extent(self.row_stride), is_read }
    }
}

/// The matrices of a batch.
#[derive(Clone, Copy)]
struct Matrices<'a> {
    data: &'a [f32],
    stride: usize,
    is_read: bool,
}

impl<'a> Matrices<'a> {
    /// The one at this place; nothing where there is nothing to read.
    #[inline(always)]
    fn at(&self, place: usize) -> Rows<'a> {
        let data = if self.is_read { &self.data[place..] } else { &[] };
        Rows { data, stride: self.stride }
    }
}

impl AttentionRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (queries, keys) = (reach.extent(self.queries)?, reach.extent(self.keys)?);
        let (size, width, batch) =
            (reach.extent(self.size)?, reach.extent(self.width)?, &self.batch);
        self.q.fits(reach, batch, queries, size)?;
        let [rows, cols] = if self.by_column { [size, keys] } else { [keys, size] };
        let of_keys = self.k.fits(reach, batch, rows, cols)?;
        let of_values = self.v.fits(reach, batch, keys, width)?;
        for mask in &self.masks {
            let cols = if mask.spread { 1 } else { keys };
            mask.rows.fits(reach, batch, queries, cols)?;
        }
        let (stride, len) = (reach.stride(self.y_row_stride)?, reach.len::<f32>(&self.y)?);
        let axes = [(queries, stride), (width, 1)];
        reach.within(len, Extent(0), (batch, &self.y_batch), &axes)?;
        // The work is bounded by what there is: no more heads than results, no more keys than
        // they or their values have elements. Without results nothing runs.
        let whole = count(&[reach.product(batch)?, queries, width])?;
        let apart = queries <= 1 || reach.extent(self.y_row_stride)? >= width;
        require(whole == 0 || whole <= len && apart && keys <= of_keys.max(of_values))?;
        if let Some(offset) = self.causal {
            reach.signed(offset)?;
        }
        reach.holds::<f32>(&self.scratch, scratch_len(queries, keys, size)?)
    }
}

pub(crate) static ATTENTION_F32: Kernel =
    kernel!(AttentionF32, AttentionRecord::fits, simd attention_f32);

fn attention_f32<S: Simd>(step: Step<'_>) {
    /// Queries, keys, values and the result, which are walked together with the masks.
    const OPERANDS: usize = 4 + MASKS;
    let mut record = AttentionRecord::empty();
    let operands = step.read(&mut record);
    let Some(s) = S::from_level(operands.level()) else { return };
    let [queries, keys, size, width] =
        [record.queries, record.keys, record.size, record.width].map(|n| operands.extent(n));
    if queries == 0 || width == 0 {
        return;
    }
    let batch = operands.extents(&record.batch);
    // Filled where they lie: what is returned is copied.
    let mut strides = [const { ArrayVec::<isize, MAX_RANK>::new_const() }; OPERANDS];
    let mut offsets = [0; OPERANDS];
    let read = [&record.q, &record.k, &record.v].into_iter().map(Some).chain([None]);
    let masks = record.masks.iter().map(|mask| Some(&mask.rows));
    for (o, operand) in read.chain(masks).enumerate() {
        let of = operand.map_or(&record.y_batch, |rows| &rows.batch);
        strides[o].extend(of.iter().map(|stride| operands.signed(*stride)));
        offsets[o] = operand.map_or(0, |rows| operands.signed(rows.offset));
    }
    let of_masks = 4 + record.masks.len();
    for strides in &mut strides[of_masks..] {
        strides.extend(batch.iter().map(|_| 0));
    }
    let causal = record.causal.map(|offset| operands.signed(offset));
    let unseeing = match record.unseeing {
        1 => Unseeing::Zero,
        2 => Unseeing::ZeroForNan,
        _ => Unseeing::Nan,
    };
    let q = record.q.of(&operands, size > 0);
    let k = record.k.of(&operands, size > 0 && keys > 0);
    let v = record.v.of(&operands, keys > 0);
    let y = operands.write::<f32>(record.y);
    let y_stride = operands.extent(record.y_row_stride);
    let scratch = operands.scratch::<f32>(record.scratch);
    let last = batch.last().copied().unwrap_or(1);
    let steps = strides.each_ref().map(|s| s.last().copied().unwrap_or(0));
    let mut packed = None;
    let mut masks = ArrayVec::<MaskRows<'_>, MASKS>::new();
    rows(&batch, strides.each_ref().map(|s| &s[..]), offsets, |at| {
        for j in 0..last as isize {
            // Without elements to read, strides are any numbers.
            let place = |o: usize| at[o].wrapping_add(j.wrapping_mul(steps[o])) as usize;
            let of_keys = place(1);
            masks.clear();
            for (m, mask) in record.masks.iter().enumerate() {
                let rows = mask.rows.of(&operands, keys > 0).at(place(4 + m));
                masks.push(MaskRows { rows, spread: mask.spread, replace: mask.replace });
            }
            let head = attention::AttentionF32 {
                queries,
                keys,
                size,
                width,
                scale: record.scale,
                softcap: record.softcap,
                masks: &masks,
                causal,
                unseeing,
                q: q.at(place(0)),
                k: k.at(of_keys),
                by_column: record.by_column,
                v: v.at(place(2)),
                y: &mut y[place(3)..],
                y_stride,
                scratch: &mut *scratch,
                // Heads that share keys pack them once.
                same_keys: packed == Some(of_keys),
            };
            attention::attention_f32(s, head);
            packed = Some(of_keys);
        }
    });
}
