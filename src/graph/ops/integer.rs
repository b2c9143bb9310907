//! Products of quantized values, and what happens to their elements.
//!
//! A quantized value of eight bits stands for `(q - zero) * scale`. The product of two such is an
//! exact sum of integers times both scales.

use crate::tensor::{DType, Grid8};

use super::super::dim::{Dim, product};
use super::product::{Activation, Conv, infer_product};
use super::{Fact, Operands, ShapeError};

/// What happens to each element of a product, in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    /// It is quantized, and dequantized again.
    Round(Grid8),
    /// It is multiplied by a number.
    Times(f32),
    /// A number is added.
    Plus(f32),
    /// It is multiplied by the next operand: one number for each column.
    MulRow,
    /// The next operand is added: one number for each column.
    AddRow,
    /// The next operand is added: of the result's shape, f32.
    Add,
    /// The next operand is added: of the result's shape, quantized.
    AddQuantized(Grid8),
    /// A function is applied.
    Activate(Activation),
}

impl Stage {
    /// Whether it has an operand.
    pub fn reads(&self) -> bool {
        matches!(self, Self::Add | Self::AddQuantized(_)) || self.is_by_column()
    }

    /// Whether its operand is one number for each column.
    pub fn is_by_column(&self) -> bool {
        matches!(self, Self::MulRow | Self::AddRow)
    }
}

/// What a product of quantized values gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Given {
    /// The sums as they are, `i32`: no scales, no stages.
    Sums,
    /// What the last stage gives, f32.
    Float,
    /// The same quantized.
    Quantized(Grid8),
}

impl Given {
    fn dtype(&self) -> DType {
        match self {
            Self::Sums => DType::I32,
            Self::Float => DType::F32,
            Self::Quantized(grid) => grid.dtype(),
        }
    }
}

/// `x · w` with both of eight bits, the weights constant.
///
/// Operands: x, its scale and its zero point (one number each, known to the run), the weights
/// `[k, n]`, their scales and zero points (one number, or `n`), then one for each stage that has
/// one. Without scales both are one; without zero points they are zero. Passes may give the rows
/// of the result other axes.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLinear {
    /// The weights are `[n, k]`.
    pub transposed: bool,
    /// What happens to the products, in order.
    pub stages: Vec<Stage>,
    /// The result.
    pub given: Given,
}

impl QuantizedLinear {
    /// Where the operands begin that stages have.
    pub const STAGES: usize = 6;

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let (x, w) = (operands.at(0)?, operands.at(3)?);
        let eight = |dtype| matches!(dtype, DType::U8 | DType::I8);
        let ([.., k], [a, b]) = (&x.shape[..], &w.shape[..]) else {
            return Err(ShapeError("an operand is no matrix".into()));
        };
        let (rows, n) = if self.transposed { (b, a) } else { (a, b) };
        if k != rows || !eight(x.dtype) || !eight(w.dtype) {
            let (x, w) = (operands.show(&x.shape), operands.show(&w.shape));
            return Err(ShapeError(format!("no product of eight bits of {x} and {w}")));
        }
        let mut shape = x.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = n.clone();
        }
        check_scales(operands, (x.dtype, w.dtype), n)?;
        check_stages(operands, Self::STAGES, &self.stages, &shape, n)?;
        Ok(vec![Fact { dtype: self.given.dtype(), shape }])
    }
}

/// A convolution of `x` with both of eight bits, the weights constant.
///
/// Operands: as those of [`QuantizedLinear`], with weights `[outputs, channels / group, kernel..]`
/// and a column for each output channel.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedConv {
    /// The window; it has no activation.
    pub window: Conv,
    /// What happens to the sums, in order.
    pub stages: Vec<Stage>,
    /// The result.
    pub given: Given,
}

impl QuantizedConv {
    /// Outputs that are multiplied as a whole.
    pub const PANEL: usize = 16;

    /// How many groups are computed as one, whose weights are zero where a channel is of another of
    /// them: as few as make whole panels of outputs. `None` where that is so much more to multiply
    /// that f32 is faster.
    pub fn groups_together(groups: usize, outputs: usize) -> Option<usize> {
        // Sums of bytes have four times the rate of f32 where an instruction sums four products.
        const MOST: usize = 4;
        (1..=groups.min(MOST)).find(|together| {
            let whole = (together * outputs).is_multiple_of(Self::PANEL);
            groups.is_multiple_of(*together) && (*together == groups || whole)
        })
    }

    /// Whether the operator is for such groups: `channels` and `outputs` are those of each.
    pub fn takes_groups(groups: usize, channels: usize, outputs: usize) -> bool {
        channels == 1 && outputs == 1 || Self::groups_together(groups, outputs).is_some()
    }

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let (x, w) = (operands.at(0)?, operands.at(3)?);
        let eight = |dtype| matches!(dtype, DType::U8 | DType::I8);
        if !eight(x.dtype) || !eight(w.dtype) {
            let (x, w) = (x.dtype, w.dtype);
            return Err(ShapeError(format!("no convolution of eight bits of {x} and {w}")));
        }
        let shape = self.window.shape(operands, x, w)?;
        check_scales(operands, (x.dtype, w.dtype), &shape[1])?;
        check_stages(operands, QuantizedLinear::STAGES, &self.stages, &shape, &shape[1])?;
        Ok(vec![Fact { dtype: self.given.dtype(), shape }])
    }
}

/// `a · b` with both of eight bits and both computed, for each matrix of a batch.
///
/// Operands: as those of [`QuantizedLinear`], with b as that of `MatMul` in the place of the
/// weights, its scale and its zero point one number each.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedMatMul {
    /// What happens to the products, in order.
    pub stages: Vec<Stage>,
    /// The result.
    pub given: Given,
}

impl QuantizedMatMul {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let (a, b) = (operands.at(0)?, operands.at(3)?);
        let eight = |dtype| matches!(dtype, DType::U8 | DType::I8);
        if !eight(a.dtype) || !eight(b.dtype) {
            return Err(ShapeError(format!("no product of {} and {}", a.dtype, b.dtype)));
        }
        let mut facts = infer_product(operands, [a, b], false, b.dtype)?;
        check_scales(operands, (a.dtype, b.dtype), &Dim::Fixed(1))?;
        for y in &mut facts {
            y.dtype = self.given.dtype();
            let columns = y.shape.last().cloned().unwrap_or(Dim::Fixed(1));
            check_stages(operands, QuantizedLinear::STAGES, &self.stages, &y.shape, &columns)?;
        }
        Ok(facts)
    }
}

/// Whether scales and zero points suit a product with `n` columns.
fn check_scales(
    operands: &Operands<'_>,
    (x, w): (DType, DType),
    n: &Dim,
) -> Result<(), ShapeError> {
    let one = |i: usize, dtype: DType| fits(operands.optional(i), &[Dim::Fixed(1)], dtype);
    let row =
        |i, dtype| one(i, dtype) || fits(operands.optional(i), std::slice::from_ref(n), dtype);
    let fit = one(1, DType::F32) && one(2, x) && row(4, DType::F32) && row(5, w);
    fit.then_some(()).ok_or_else(|| ShapeError("a scale or a zero point does not fit".into()))
}

/// What happens to each element of a value, one thing behind the other, in f32; as
/// `QuantizedSoftmax`, what happens to softmax of each row of it.
///
/// Operands: x, then one for each stage that has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// What x stands for, where it is quantized; else it is f32.
    pub from: Option<Grid8>,
    /// What happens to the elements, in order.
    pub stages: Vec<Stage>,
    /// The result: no sums.
    pub given: Given,
}

impl Chain {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        if x.dtype != self.from.map_or(DType::F32, |grid| grid.dtype()) {
            return Err(ShapeError(format!("the data is {}", x.dtype)));
        }
        let row = x.shape.last().cloned().unwrap_or(Dim::Fixed(1));
        check_stages(operands, 1, &self.stages, &x.shape, &row)?;
        Ok(vec![Fact { dtype: self.given.dtype(), shape: x.shape.clone() }])
    }
}

/// Whether operands from `at` on suit the stages of elements of this shape, in so many columns.
fn check_stages(
    operands: &Operands<'_>,
    mut at: usize,
    stages: &[Stage],
    shape: &[Dim],
    columns: &Dim,
) -> Result<(), ShapeError> {
    let row = std::slice::from_ref(columns);
    for stage in stages {
        let fitting = match stage {
            Stage::MulRow | Stage::AddRow => fits(operands.optional(at), row, DType::F32),
            Stage::Add => fits(operands.optional(at), shape, DType::F32),
            Stage::AddQuantized(grid) => fits(operands.optional(at), shape, grid.dtype()),
            _ => true,
        };
        if !fitting || stage.reads() && operands.optional(at).is_none() {
            return Err(ShapeError(format!("operand {at} does not fit the elements")));
        }
        at += usize::from(stage.reads());
    }
    Ok(())
}

/// Whether an operand, where there is one, has this type and as many elements.
fn fits(operand: Option<&Fact>, shape: &[Dim], dtype: DType) -> bool {
    operand.is_none_or(|x| x.dtype == dtype && product(&x.shape) == product(shape))
}

pub(super) fn infer_map(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    let (x, table) = (operands.at(0)?, operands.at(1)?);
    let eight = |fact: &Fact| matches!(fact.dtype, DType::U8 | DType::I8);
    if !eight(x) || !eight(table) || !product(&table.shape).is(256) {
        return Err(ShapeError("a table has a byte for each byte".into()));
    }
    Ok(vec![Fact { dtype: table.dtype, shape: x.shape.clone() }])
}

/// Results of DynamicQuantizeLinear: u8 values, their scale and their zero point.
pub(super) fn infer_dynamic(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    let x = operands.at(0)?;
    if x.dtype != DType::F32 {
        return Err(ShapeError(format!("the data is {}, not f32", x.dtype)));
    }
    let one = |dtype| Fact { dtype, shape: Vec::new() };
    let y = Fact { dtype: DType::U8, shape: x.shape.clone() };
    Ok(vec![y, one(DType::F32), one(DType::U8)])
}
