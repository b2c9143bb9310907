//! Products of integers of eight bits.

use arrayvec::ArrayVec;

use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::{GemmI8, Zeros, gemm_i8, scratch_len};
use crate::kernels::int8::{Grid8, dynamic_quantize, packed_quads_len};
use crate::kernels::stages::{
    Chain, Elements, MOST_STAGES, Output, Stage, chain, softmax_chain, softmax_room,
};
use crate::kernels::{Simd, Vectorized};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, Field, In, Out, Scratch, Words};
use crate::runtime::step::{Kernel, KernelId, Operands, Step, kernel};
use crate::tensor::DType;

use super::product::{ActivationWords, MatrixRows};

pub(crate) mod conv;
pub(crate) mod matmul;

pub(crate) use conv::CONV_I8;
pub(crate) use matmul::{MATMUL_I8, MatMulI8Record};

crate::record! {
    /// How integers of eight bits stand for numbers.
    pub(crate) struct GridWords {
        pub(crate) scale: f32,
        pub(crate) zero: i32,
        pub(crate) signed: bool,
    }
}

impl GridWords {
    #[inline(always)]
    fn grid(&self) -> Grid8 {
        Grid8 { scale: self.scale, zero: self.zero, signed: self.signed }
    }

    fn dtype(&self) -> DType {
        self.grid().dtype()
    }

    /// Whether what stands for zero is a value of the type.
    fn fits(&self) -> Option<()> {
        let [low, high] = self.grid().range();
        require((low..=high).contains(&self.zero))
    }
}

fn byte(signed: bool) -> DType {
    if signed { DType::I8 } else { DType::U8 }
}

/// What a scale and a zero point say that lie in memory: one and zero where they are left out.
#[inline(always)]
pub(super) fn read_grid(
    operands: &Operands<'_>,
    signed: bool,
    scale: Option<&In>,
    zero: Option<&In>,
) -> Grid8 {
    let scale = scale.map_or(1.0, |scale| operands.read::<f32>(In(scale.0))[0]);
    let zero = zero.map_or(0, |zero| operands.read::<u8>(In(zero.0))[0]);
    let grid = Grid8 { scale, zero: 0, signed };
    Grid8 { zero: grid.value(zero), ..grid }
}

crate::record! {
    /// How integers of eight bits stand for numbers that a run may compute.
    pub(crate) struct GridRecord {
        pub(crate) signed: bool,
        pub(crate) scale: Option<In>,
        pub(crate) zero: Option<In>,
    }
}

impl GridRecord {
    pub(super) fn dtype(&self) -> DType {
        byte(self.signed)
    }

    pub(super) fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        reach.may_hold(&self.scale, DType::F32, 1)?;
        reach.may_hold(&self.zero, self.dtype(), 1)
    }

    #[inline(always)]
    pub(super) fn grid(&self, operands: &Operands<'_>) -> Grid8 {
        read_grid(operands, self.signed, self.scale.as_ref(), self.zero.as_ref())
    }
}

crate::record! {
    /// What belongs to the columns of packed weights: a number for each, in whole panels.
    pub(crate) struct ColumnsRecord {
        /// The sum of its weights as they are packed.
        pub(crate) sums: In,
        pub(crate) scale: In,
        /// Zero points, where not all are zero.
        pub(crate) zero: Option<In>,
    }
}

impl ColumnsRecord {
    /// Whether there is all that `n` columns have, and where they are those of packed weights, what
    /// a matrix of `k` rows has.
    pub(super) fn fits(
        &self,
        reach: &Reach<'_>,
        packed: Option<(&In, usize)>,
        n: usize,
    ) -> Option<()> {
        let columns = n.checked_next_multiple_of(PANEL)?;
        if let Some((packed, k)) = packed {
            reach.holds::<u32>(packed, packed_quads_len(k, n)?)?;
        }
        reach.holds::<i32>(&self.sums, columns)?;
        reach.holds::<f32>(&self.scale, columns)?;
        reach.may_hold(&self.zero, DType::I32, columns)
    }
}

/// Whether there is the room that a product may take.
pub(super) fn room_fits(reach: &Reach<'_>, room: &Option<Scratch>, len: usize) -> Option<()> {
    match room {
        Some(room) => reach.holds::<u32>(room, len),
        None => require(len == 0),
    }
}

/// Defines an enum that is read and written as a pinned number and what the variant holds; an
/// unknown number reads as the first variant.
macro_rules! variants {
    ($(#[$doc:meta])* enum $name:ident { $first:ident, $($variant:ident($($field:ident: $ty:ty),*) = $n:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, PartialEq)]
        pub(crate) enum $name { $first, $($variant($($ty),*),)* }

        impl Field for $name {
            #[inline(always)]
            fn take(words: &mut Words<'_>) -> Self {
                match words.next() {
                    $($n => Self::$variant($(<$ty>::take(words)),*),)*
                    _ => Self::$first,
                }
            }
            #[cfg(feature = "std")]
            fn put(&self, out: &mut Vec<u32>) {
                match self {
                    Self::$first => out.push(0),
                    $(Self::$variant($($field),*) => {
                        out.push($n);
                        $($field.put(out);)*
                    })*
                }
            }
            fn operands(&self, visit: &mut dyn FnMut(u32, crate::runtime::record::Access)) {
                match self {
                    Self::$first => {}
                    $(Self::$variant($($field),*) => { $($field.operands(visit);)* })*
                }
            }
        }
    };
}

variants! {
    /// What happens to each element of a product.
    enum StageRecord {
        Nothing,
        Round(grid: GridWords) = 1,
        AddRow(row: In) = 2,
        Add(rows: MatrixRows) = 3,
        AddQuantized(rows: MatrixRows, grid: GridWords) = 4,
        Activate(activation: ActivationWords) = 5,
        MulRow(row: In) = 6,
        Times(factor: f32) = 7,
        Plus(summand: f32) = 8,
    }
}

variants! {
    /// The result of a product.
    enum GivenRecord {
        Float,
        Sums() = 1,
        Quantized(grid: GridWords) = 2,
    }
}

impl GivenRecord {
    fn fits(&self) -> Option<()> {
        if let Self::Quantized(grid) = self { grid.fits() } else { Some(()) }
    }

    fn dtype(&self) -> DType {
        match self {
            Self::Float => DType::F32,
            Self::Sums() => DType::I32,
            Self::Quantized(grid) => grid.dtype(),
        }
    }
}

crate::record! {
    /// `y[rows, n]`, from the product of `x[rows, k]` and `w[k, n]` by way of the stages. Weights in
    /// quads of rows and panels of 16 columns.
    pub(crate) struct LinearI8Record {
        pub(crate) x: MatrixRows,
        pub(crate) grid: GridRecord,
        pub(crate) rows: Extent,
        pub(crate) k: u32,
        pub(crate) n: u32,
        pub(crate) w: In,
        pub(crate) columns: ColumnsRecord,
        pub(crate) stages: ArrayVec<StageRecord, MOST_STAGES>,
        pub(crate) given: GivenRecord,
        pub(crate) scratch: Option<Scratch>,
        pub(crate) y: Out,
    }
}

impl LinearI8Record {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (k, n, rows) = (self.k as usize, self.n as usize, reach.extent(self.rows)?);
        self.x.fits_as(reach, self.grid.dtype(), rows, k)?;
        self.grid.fits(reach)?;
        self.columns.fits(reach, Some((&self.w, k)), n)?;
        stages_fit(&self.stages, reach, rows, n)?;
        room_fits(reach, &self.scratch, scratch_len(rows, k)?)?;
        self.given.fits()?;
        reach.holds_as(&self.y, self.given.dtype(), count(&[rows, n])?)
    }
}

pub(crate) static LINEAR_I8: Kernel = kernel!(LinearI8, LinearI8Record::fits, simd linear_i8);

fn linear_i8<S: Simd>(step: Step<'_>) {
    let mut record = LinearI8Record::empty();
    let operands = step.read(&mut record);
    let level = operands.level();
    let Some(s) = S::from_level(level) else { return };
    let (m, n, k) = (operands.extent(record.rows), record.n as usize, record.k as usize);
    if m == 0 || n == 0 {
        return;
    }
    let mut stages = Stages::new();
    take_stages(&mut record.stages, &operands, &mut stages);
    let (a, a_row_stride) = record.x.at::<u8>(&operands);
    gemm_i8(
        s,
        level,
        GemmI8 {
            m,
            n,
            k,
            a,
            a_row_stride,
            windows: None,
            a_grid: record.grid.grid(&operands),
            b: operands.read(record.w),
            b_sums: operands.read(record.columns.sums),
            b_scale: operands.read(record.columns.scale),
            b_zero: Zeros::each(record.columns.zero.map(|zero| operands.read(zero))),
            stages: &stages,
            output: given(record.given, record.y, &operands),
            c_row_stride: n,
            scratch: record.scratch.map_or(&mut [], |scratch| operands.scratch(scratch)),
        },
    );
}

/// Whether the operands of stages have `rows` of `n` elements.
fn stages_fit(stages: &[StageRecord], reach: &Reach<'_>, rows: usize, n: usize) -> Option<()> {
    for stage in stages {
        match stage {
            StageRecord::MulRow(row) | StageRecord::AddRow(row) => reach.holds::<f32>(row, n)?,
            StageRecord::Add(from) => from.fits_as(reach, DType::F32, rows, n)?,
            StageRecord::AddQuantized(from, grid) => {
                grid.fits()?;
                from.fits_as(reach, grid.dtype(), rows, n)?;
            }
            StageRecord::Round(grid) => grid.fits()?,
            _ => {}
        }
    }
    Some(())
}

crate::record! {
    /// `y[rows, n]`, from `x[rows, n]` by way of the stages.
    pub(crate) struct ChainRecord {
        pub(crate) x: MatrixRows,
        pub(crate) from: Option<GridWords>,
        pub(crate) rows: Extent,
        pub(crate) n: Extent,
        pub(crate) stages: ArrayVec<StageRecord, MOST_STAGES>,
        pub(crate) given: GivenRecord,
        pub(crate) y: Out,
    }
}

impl ChainRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (rows, n) = (reach.extent(self.rows)?, reach.extent(self.n)?);
        let from = self.from.as_ref().map_or(DType::F32, GridWords::dtype);
        self.x.fits_as(reach, from, rows, n)?;
        stages_fit(&self.stages, reach, rows, n)?;
        require(self.given != GivenRecord::Sums())?;
        self.from.as_ref().map_or(Some(()), GridWords::fits)?;
        self.given.fits()?;
        reach.holds_as(&self.y, self.given.dtype(), count(&[rows, n])?)
    }
}

pub(crate) static CHAIN: Kernel = kernel!(Chain, ChainRecord::fits, simd chain_of);

fn chain_of<S: Simd>(step: Step<'_>) {
    let mut record = ChainRecord::empty();
    let operands = step.read(&mut record);
    let Some(s) = S::from_level(operands.level()) else { return };
    let (rows, n) = (operands.extent(record.rows), operands.extent(record.n));
    if rows == 0 || n == 0 {
        return;
    }
    let mut stages = Stages::new();
    take_stages(&mut record.stages, &operands, &mut stages);
    let (x, x_row_stride) = elements(&record, &operands);
    let output = given(record.given, record.y, &operands);
    chain(s, Chain { rows, n, x, x_row_stride, stages: &stages, output });
}

/// The elements of a chain, and how far apart their rows are.
#[inline(always)]
fn elements<'s>(record: &ChainRecord, operands: &Operands<'s>) -> (Elements<'s>, usize) {
    match &record.from {
        None => {
            let (data, stride) = record.x.at(operands);
            (Elements::F32(data), stride)
        }
        Some(grid) => {
            let (data, stride) = record.x.at(operands);
            (Elements::Quantized(data, grid.grid()), stride)
        }
    }
}

crate::record! {
    /// A chain whose stages are those of softmax of each row.
    pub(crate) struct SoftmaxI8Record {
        pub(crate) chain: ChainRecord,
        /// Room for a row.
        pub(crate) room: Scratch,
    }
}

impl SoftmaxI8Record {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        reach.holds::<f32>(&self.room, softmax_room(reach.extent(self.chain.n)?)?)?;
        self.chain.fits(reach)
    }
}

pub(crate) static SOFTMAX_I8: Kernel = kernel!(SoftmaxI8, SoftmaxI8Record::fits, simd softmax_i8);

fn softmax_i8<S: Simd>(step: Step<'_>) {
    let mut record = SoftmaxI8Record::empty();
    let operands = step.read(&mut record);
    let Some(s) = S::from_level(operands.level()) else { return };
    let (rows, n) = (operands.extent(record.chain.rows), operands.extent(record.chain.n));
    if rows == 0 || n == 0 {
        return;
    }
    let mut stages = Stages::new();
    take_stages(&mut record.chain.stages, &operands, &mut stages);
    let (x, x_row_stride) = elements(&record.chain, &operands);
    let output = given(record.chain.given, record.chain.y, &operands);
    let chain = Chain { rows, n, x, x_row_stride, stages: &stages, output };
    softmax_chain(s, chain, operands.scratch(record.room));
}

crate::record! {
    /// Each byte replaced by that of a table at its place.
    pub(crate) struct MapBytesRecord {
        pub(crate) x: In,
        pub(crate) len: Extent,
        pub(crate) table: In,
        /// Whether the bytes are `i8`: those that are read, those that are written.
        pub(crate) signed: [bool; 2],
        pub(crate) y: Out,
    }
}

impl MapBytesRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (len, [from, to]) = (reach.extent(self.len)?, self.signed.map(byte));
        reach.holds_as(&self.x, from, len)?;
        reach.holds_as(&self.table, to, TABLE)?;
        reach.holds_as(&self.y, to, len)
    }
}

/// Entries of a table.
const TABLE: usize = 1 << u8::BITS;

pub(crate) static MAP_BYTES: Kernel = kernel!(MapBytes, MapBytesRecord::fits, map_bytes);

fn map_bytes(step: Step<'_>) {
    let (record, operands) = step.decode::<MapBytesRecord>();
    let len = operands.extent(record.len);
    let x = &operands.read::<u8>(record.x)[..len];
    let y = &mut operands.write::<u8>(record.y)[..len];
    let Some(table) = operands.read::<u8>(record.table).first_chunk::<TABLE>() else { return };
    for (x, y) in x.iter().zip(y) {
        *y = table[usize::from(*x)];
    }
}

#[inline(always)]
fn given<'s>(given: GivenRecord, y: Out, operands: &Operands<'s>) -> Output<'s> {
    match given {
        GivenRecord::Float => Output::F32(operands.write(y)),
        GivenRecord::Sums() => Output::I32(operands.write(y)),
        GivenRecord::Quantized(grid) => Output::Quantized(operands.write(y), grid.grid().into()),
    }
}

/// The stages of a step.
type Stages<'s> = ArrayVec<Stage<'s>, MOST_STAGES>;

/// Adds stages with their operands to a list, which would be copied if it were returned.
#[inline(always)]
fn take_stages<'s>(
    stages: &mut ArrayVec<StageRecord, MOST_STAGES>,
    operands: &Operands<'s>,
    to: &mut Stages<'s>,
) {
    for stage in stages.drain(..) {
        if let Some(stage) = taken_one(stage, operands) {
            to.push(stage);
        }
    }
}

#[inline(always)]
fn taken_one<'s>(stage: StageRecord, operands: &Operands<'s>) -> Option<Stage<'s>> {
    Some(match stage {
        StageRecord::Nothing => return None,
        StageRecord::Round(grid) => Stage::Round(grid.grid().into()),
        StageRecord::Times(factor) => Stage::Times(factor),
        StageRecord::Plus(summand) => Stage::Plus(summand),
        StageRecord::MulRow(row) => Stage::MulRow(operands.read(row)),
        StageRecord::AddRow(row) => Stage::AddRow(operands.read(row)),
        StageRecord::Add(from) => {
            let (data, row_stride) = from.at(operands);
            Stage::Add { data, row_stride }
        }
        StageRecord::AddQuantized(from, grid) => {
            let (data, row_stride) = from.at(operands);
            Stage::AddQuantized { data, row_stride, grid: grid.grid() }
        }
        StageRecord::Activate(activation) => Stage::Activate(activation.activation()),
    })
}

/// The rows of a step that is a product of integers.
pub(crate) fn rows_in_i8(kernel: u32, words: &[u32]) -> Option<Extent> {
    if kernel == KernelId::ConvI8 as u32 {
        return Some(conv::ConvI8Record::take(&mut Words(words)).sizes.window.output[2]);
    }
    if kernel == KernelId::MatMulI8 as u32 {
        return Some(MatMulI8Record::take(&mut Words(words)).m);
    }
    let is_one = kernel == KernelId::LinearI8 as u32;
    is_one.then(|| LinearI8Record::take(&mut Words(words)).rows)
}

/// From what a step that is a chain makes what.
pub(crate) fn types_of_chain(kernel: u32, words: &[u32]) -> Option<&'static str> {
    if kernel != KernelId::Chain as u32 {
        return None;
    }
    let record = ChainRecord::take(&mut Words(words));
    Some(match (record.from.map(|grid| grid.signed), record.given) {
        (None, GivenRecord::Quantized(GridWords { signed: false, .. })) => "f32 to u8",
        (None, GivenRecord::Quantized(_)) => "f32 to i8",
        (None, _) => "f32",
        (Some(false), GivenRecord::Quantized(GridWords { signed: false, .. })) => "u8",
        (Some(false), GivenRecord::Quantized(_)) => "u8 to i8",
        (Some(false), _) => "u8 to f32",
        (Some(true), GivenRecord::Quantized(GridWords { signed: true, .. })) => "i8",
        (Some(true), GivenRecord::Quantized(_)) => "i8 to u8",
        (Some(true), _) => "i8 to f32",
    })
}

crate::record! {
    /// f32 to u8 by the range of all elements.
    pub(crate) struct DynamicQuantizeRecord {
        pub(crate) x: In,
        pub(crate) len: Extent,
        pub(crate) y: Out,
        pub(crate) scale: Option<Out>,
        pub(crate) zero: Option<Out>,
    }
}

impl DynamicQuantizeRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let len = reach.extent(self.len)?;
        reach.holds::<f32>(&self.x, len)?;
        reach.holds::<u8>(&self.y, len)?;
        reach.may_hold(&self.scale, DType::F32, 1)?;
        reach.may_hold(&self.zero, DType::U8, 1)
    }
}

pub(crate) static DYNAMIC_QUANTIZE: Kernel =
    kernel!(DynamicQuantize, DynamicQuantizeRecord::fits, simd dynamic_quantize_f32);

fn dynamic_quantize_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<DynamicQuantizeRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let len = operands.extent(record.len);
    let x = &operands.read::<f32>(record.x)[..len];
    let grid = dynamic_quantize(s, x, &mut operands.write::<u8>(record.y)[..len]);
    if let Some(scale) = record.scale {
        operands.write::<f32>(scale)[0] = grid.scale;
    }
    if let Some(zero) = record.zero {
        operands.write::<u8>(zero)[0] = grid.zero as u8;
    }
}
