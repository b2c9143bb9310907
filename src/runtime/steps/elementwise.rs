//! Steps that work element by element.
//!
//! Operands lie under strides of their own, zero where they are broadcast; the result is
//! row-major. A result may be the very elements of an operand, so all are read through cells.

use core::cell::Cell;

use crate::kernels::Simd;
use crate::kernels::elementwise::{Operands as Vectors, binary_f32, unary_f32};
use crate::kernels::number::{self, BinaryCode, CompareCode, Number, UnaryCode};
use crate::runtime::check::Reach;
use crate::runtime::record::{Extent, Extents, SharedIn, SharedOut};
use crate::runtime::step::{Kernel, Operands, Step, kernel};
use crate::tensor::{DType, Element};

use super::types::{by_dtype, by_width};
use super::walk::{last, rows};

crate::record! {
    /// An operand under strides.
    pub(crate) struct Strided {
        pub(crate) memory: SharedIn,
        pub(crate) offset: Extent,
        pub(crate) strides: Extents,
    }
}

impl Strided {
    /// Whether it has elements `dtype` for all of `shape`.
    fn fits(&self, reach: &Reach<'_>, dtype: DType, shape: &Extents) -> Option<()> {
        let len = reach.len_as(&self.memory, dtype)?;
        reach.within(len, self.offset, (shape, &self.strides), &[])
    }

    /// The same for elements of whatever type it has.
    pub(super) fn fits_bits(&self, reach: &Reach<'_>, shape: &Extents) -> Option<()> {
        let width = reach.dtype(&self.memory).bytes() as u32;
        let len = reach.len_of_width(&self.memory, width)?;
        reach.within(len, self.offset, (shape, &self.strides), &[])
    }
}

crate::record! {
    /// `out[..] = f(a[..])`; parameters as the function's own.
    pub(crate) struct UnaryRecord {
        pub(crate) op: u32,
        pub(crate) p: [f64; 2],
        pub(crate) a: Strided,
        pub(crate) out: SharedOut,
        pub(crate) shape: Extents,
    }
}

crate::record! {
    /// `out[..] = f(a[..], b[..])`.
    pub(crate) struct BinaryRecord {
        pub(crate) op: u32,
        pub(crate) a: Strided,
        pub(crate) b: Strided,
        pub(crate) out: SharedOut,
        pub(crate) shape: Extents,
    }
}

crate::record! {
    /// `out[..] = condition[..] ? a[..] : b[..]`.
    pub(crate) struct WhereRecord {
        pub(crate) condition: Strided,
        pub(crate) a: Strided,
        pub(crate) b: Strided,
        pub(crate) out: SharedOut,
        pub(crate) shape: Extents,
    }
}

/// A row of an operand: its cells from `at` on, `stride` apart.
#[inline(always)]
fn run<T>(cells: &[Cell<T>], at: isize, stride: isize, i: usize) -> &Cell<T> {
    &cells[(at + stride * i as isize) as usize]
}

impl UnaryRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let from = reach.dtype(&self.a.memory);
        let to = match UnaryCode::from_word(self.op) {
            UnaryCode::IsNan | UnaryCode::IsInf => DType::U8,
            _ => from,
        };
        self.a.fits(reach, from, &self.shape)?;
        reach.holds_as(&self.out, to, reach.product(&self.shape)?)
    }

    fn fits_f32(&self, reach: &Reach<'_>) -> Option<()> {
        self.a.fits(reach, DType::F32, &self.shape)?;
        reach.holds::<f32>(&self.out, reach.product(&self.shape)?)
    }
}

impl BinaryRecord {
    fn fits_as(&self, reach: &Reach<'_>, from: DType, to: DType) -> Option<()> {
        self.a.fits(reach, from, &self.shape)?;
        self.b.fits(reach, from, &self.shape)?;
        reach.holds_as(&self.out, to, reach.product(&self.shape)?)
    }

    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let dtype = reach.dtype(&self.a.memory);
        self.fits_as(reach, dtype, dtype)
    }

    fn fits_f32(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits_as(reach, DType::F32, DType::F32)
    }

    fn fits_relation(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits_as(reach, reach.dtype(&self.a.memory), DType::Bool)
    }
}

pub(crate) static UNARY: Kernel = kernel!(Unary, UnaryRecord::fits, unary);

fn unary(step: Step<'_>) {
    let (record, operands) = step.decode::<UnaryRecord>();
    by_dtype!(operands.dtype(&record.a.memory), unary_of(record, operands))
}

fn unary_of<T: Number>(record: UnaryRecord, operands: Operands<'_>) {
    let p = record.p;
    match UnaryCode::from_word(record.op) {
        UnaryCode::IsNan => {
            map(&record.a, record.out, &record.shape, &operands, |x: T| u8::from(x.is_nan()))
        }
        UnaryCode::IsInf => map(&record.a, record.out, &record.shape, &operands, |x: T| {
            u8::from(x.is_infinite(p[0] != 0.0, p[1] != 0.0))
        }),
        code => map(&record.a, record.out, &record.shape, &operands, move |x: T| x.unary(code, p)),
    }
}

/// `out = f(a)` for an operand under strides.
#[inline(always)]
pub(super) fn map<T: Element, U: Element>(
    a: &Strided,
    out: SharedOut,
    shape: &Extents,
    operands: &Operands<'_>,
    f: impl Fn(T) -> U,
) {
    let (shape, strides) = (operands.extents(shape), operands.strides(&a.strides));
    let cells = operands.cells::<T>(SharedIn(a.memory.0));
    let mut out = operands.cells_out::<U>(out).iter();
    let (n, [step]) = last(&shape, [&strides]);
    rows(&shape, [&strides], [operands.signed(a.offset)], |[at]| {
        for (i, to) in out.by_ref().take(n).enumerate() {
            to.set(f(run(cells, at, step, i).get()));
        }
    });
}

/// `out = f(a, b)` for operands under strides.
#[inline(always)]
fn zip<T: Element, U: Element>(
    record: BinaryRecord,
    operands: &Operands<'_>,
    f: impl Fn(T, T) -> U,
) {
    let shape = operands.extents(&record.shape);
    let (sa, sb) = (operands.strides(&record.a.strides), operands.strides(&record.b.strides));
    let a = operands.cells::<T>(record.a.memory);
    let b = operands.cells::<T>(record.b.memory);
    let mut out = operands.cells_out::<U>(record.out).iter();
    let (n, [da, db]) = last(&shape, [&sa, &sb]);
    let offsets = [operands.signed(record.a.offset), operands.signed(record.b.offset)];
    rows(&shape, [&sa, &sb], offsets, |[i, j]| {
        for (k, to) in out.by_ref().take(n).enumerate() {
            to.set(f(run(a, i, da, k).get(), run(b, j, db, k).get()));
        }
    });
}

pub(crate) static BINARY: Kernel = kernel!(Binary, BinaryRecord::fits, binary);

fn binary(step: Step<'_>) {
    let (record, operands) = step.decode::<BinaryRecord>();
    by_dtype!(operands.dtype(&record.a.memory), binary_of(record, operands))
}

fn binary_of<T: Number>(record: BinaryRecord, operands: Operands<'_>) {
    let code = BinaryCode::from_word(record.op);
    zip(record, &operands, move |x: T, y: T| x.binary(code, y));
}

pub(crate) static COMPARE: Kernel = kernel!(Compare, BinaryRecord::fits_relation, compare);

fn compare(step: Step<'_>) {
    let (record, operands) = step.decode::<BinaryRecord>();
    by_dtype!(operands.dtype(&record.a.memory), compare_of(record, operands))
}

fn compare_of<T: Number>(record: BinaryRecord, operands: Operands<'_>) {
    let code = CompareCode::from_word(record.op);
    zip(record, &operands, move |x: T, y: T| u8::from(number::compare(code, x, y)));
}

impl WhereRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (shape, width) = (&self.shape, reach.dtype(&self.a.memory).bytes() as u32);
        self.condition.fits(reach, DType::Bool, shape)?;
        for choice in [&self.a, &self.b] {
            let len = reach.len_of_width(&choice.memory, width)?;
            reach.within(len, choice.offset, (shape, &choice.strides), &[])?;
        }
        reach.holds_wide(&self.out, width, reach.product(shape)?)
    }
}

pub(crate) static WHERE: Kernel = kernel!(Where, WhereRecord::fits, choose);

fn choose(step: Step<'_>) {
    let (record, operands) = step.decode::<WhereRecord>();
    by_width!(operands.dtype(&record.a.memory).bytes(), choose_of(record, operands))
}

fn choose_of<T: Element>(record: WhereRecord, operands: Operands<'_>) {
    let shape = operands.extents(&record.shape);
    let [sc, sa, sb] =
        [&record.condition, &record.a, &record.b].map(|s| operands.strides(&s.strides));
    let offsets = [&record.condition, &record.a, &record.b].map(|s| operands.signed(s.offset));
    let condition = operands.cells::<u8>(record.condition.memory);
    let a = operands.cells::<T>(record.a.memory);
    let b = operands.cells::<T>(record.b.memory);
    let mut out = operands.cells_out::<T>(record.out).iter();
    let (n, [dc, da, db]) = last(&shape, [&sc, &sa, &sb]);
    rows(&shape, [&sc, &sa, &sb], offsets, |[c, i, j]| {
        for (k, to) in out.by_ref().take(n).enumerate() {
            let chosen = run(condition, c, dc, k).get() != 0;
            to.set(if chosen { run(a, i, da, k).get() } else { run(b, j, db, k).get() });
        }
    });
}

crate::record! {
    /// `out[..] = a[..]` as another type.
    pub(crate) struct CastRecord {
        pub(crate) a: Strided,
        pub(crate) out: SharedOut,
        pub(crate) shape: Extents,
    }
}

impl CastRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        self.a.fits(reach, reach.dtype(&self.a.memory), &self.shape)?;
        reach.holds_as(&self.out, reach.dtype(&self.out), reach.product(&self.shape)?)
    }
}

pub(crate) static CAST: Kernel = kernel!(Cast, CastRecord::fits, cast);

fn cast(step: Step<'_>) {
    let (record, operands) = step.decode::<CastRecord>();
    by_dtype!(operands.dtype(&record.a.memory), cast_from(record, operands))
}

fn cast_from<T: Number>(record: CastRecord, operands: Operands<'_>) {
    let CastRecord { a, out, shape } = record;
    match operands.dtype_out(&out) {
        DType::F32 => map(&a, out, &shape, &operands, |x: T| x.to_f32()),
        DType::F64 => map(&a, out, &shape, &operands, |x: T| x.to_f64()),
        DType::Bool => map(&a, out, &shape, &operands, |x: T| u8::from(x != T::default())),
        DType::I64 => map(&a, out, &shape, &operands, |x: T| x.to_i64()),
        DType::U64 => map(&a, out, &shape, &operands, |x: T| x.to_i64() as u64),
        DType::I32 => map(&a, out, &shape, &operands, |x: T| x.to_i64() as i32),
        DType::U32 => map(&a, out, &shape, &operands, |x: T| x.to_i64() as u32),
        DType::I16 => map(&a, out, &shape, &operands, |x: T| x.to_i64() as i16),
        DType::U16 => map(&a, out, &shape, &operands, |x: T| x.to_i64() as u16),
        DType::I8 => map(&a, out, &shape, &operands, |x: T| x.to_i64() as i8),
        _ => map(&a, out, &shape, &operands, |x: T| x.to_i64() as u8),
    }
}

/// Elements that are gathered from under strides at a time.
const GATHERED: usize = 64;

/// A part of a row of an operand that vectors can be loaded from: where it lies, or gathered.
#[inline(always)]
fn part<'a>(
    cells: &'a [Cell<f32>],
    at: isize,
    stride: isize,
    len: usize,
    gathered: &'a [Cell<f32>; GATHERED],
) -> &'a [Cell<f32>] {
    if stride == 1 {
        return &cells[at as usize..][..len];
    }
    for (i, to) in gathered[..len].iter().enumerate() {
        to.set(run(cells, at, stride, i).get());
    }
    &gathered[..len]
}

pub(crate) static UNARY_F32: Kernel = kernel!(UnaryF32, UnaryRecord::fits_f32, simd unary_vector);

fn unary_vector<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<UnaryRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let (code, p) = (UnaryCode::from_word(record.op), record.p.map(|p| p as f32));
    let (shape, strides) = (operands.extents(&record.shape), operands.strides(&record.a.strides));
    let x = operands.cells::<f32>(record.a.memory);
    let mut out = operands.cells_out::<f32>(record.out);
    let gathered = [const { Cell::new(0.0) }; GATHERED];
    let (n, [stride]) = last(&shape, [&strides]);
    rows(&shape, [&strides], [operands.signed(record.a.offset)], |[at]| {
        let (row, rest) = out.split_at(n);
        out = rest;
        let whole = if stride == 1 { n } else { GATHERED };
        for (i, to) in row.chunks(whole.max(1)).enumerate() {
            let at = at + (i * whole) as isize * stride;
            unary_f32(s, code, p, part(x, at, stride, to.len(), &gathered), to);
        }
    });
}

pub(crate) static BINARY_F32: Kernel =
    kernel!(BinaryF32, BinaryRecord::fits_f32, simd binary_vector);

fn binary_vector<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<BinaryRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let code = BinaryCode::from_word(record.op);
    let shape = operands.extents(&record.shape);
    let (sa, sb) = (operands.strides(&record.a.strides), operands.strides(&record.b.strides));
    let a = operands.cells::<f32>(record.a.memory);
    let b = operands.cells::<f32>(record.b.memory);
    let mut out = operands.cells_out::<f32>(record.out);
    let [left, right] = [const { [const { Cell::new(0.0) }; GATHERED] }; 2];
    let (n, [da, db]) = last(&shape, [&sa, &sb]);
    let offsets = [operands.signed(record.a.offset), operands.signed(record.b.offset)];
    rows(&shape, [&sa, &sb], offsets, |[i, j]| {
        let (row, rest) = out.split_at(n);
        out = rest;
        match (da, db) {
            (1, 1) => {
                let (a, b) = (&a[i as usize..][..n], &b[j as usize..][..n]);
                binary_f32(s, code, Vectors::Vectors(a, b), row);
            }
            (1, 0) => {
                let (a, b) = (&a[i as usize..][..n], b[j as usize].get());
                binary_f32(s, code, Vectors::VectorScalar(a, b), row);
            }
            (0, 1) => {
                let (a, b) = (a[i as usize].get(), &b[j as usize..][..n]);
                binary_f32(s, code, Vectors::ScalarVector(a, b), row);
            }
            _ => {
                for (k, to) in row.chunks(GATHERED).enumerate() {
                    let far = (k * GATHERED) as isize;
                    let a = part(a, i + far * da, da, to.len(), &left);
                    let b = part(b, j + far * db, db, to.len(), &right);
                    binary_f32(s, code, Vectors::Vectors(a, b), to);
                }
            }
        }
    });
}
