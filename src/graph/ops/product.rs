//! Matrix products, convolutions and pooling.

use crate::tensor::DType;

use super::super::dim::{Dim, product};
use super::{Fact, Operands, ShapeError};

/// A function applied to each element of a product before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[allow(missing_docs, reason = "the names are the functions")]
pub enum Activation {
    #[default]
    None,
    Relu,
    LeakyRelu {
        alpha: f32,
    },
    Clip {
        min: f32,
        max: f32,
    },
    Sigmoid,
    Tanh,
    Gelu,
    GeluTanh,
    Silu,
    Swish {
        alpha: f32,
    },
}

pub(super) fn infer_matmul(operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
    let a = operands.at(0)?;
    infer_product(operands, [a, operands.at(1)?], false, a.dtype)
}

/// A product whose second operand is of this type.
pub(super) fn infer_product(
    operands: &Operands<'_>,
    [a, b]: [&Fact; 2],
    transposed: bool,
    dtype: DType,
) -> Result<Vec<Fact>, ShapeError> {
    let mismatch = || {
        ShapeError(format!(
            "no product of {} and {}",
            operands.show(&a.shape),
            operands.show(&b.shape)
        ))
    };
    if a.shape.is_empty() || b.shape.is_empty() || b.dtype != dtype {
        return Err(mismatch());
    }
    let (mut left, mut right) = (a.shape.clone(), b.shape.clone());
    if left.len() == 1 {
        left.insert(0, Dim::Fixed(1));
    }
    if right.len() == 1 {
        right.push(Dim::Fixed(1));
    }
    let (i, j) = (left.len() - 2, right.len() - 2);
    if transposed {
        right.swap(j, j + 1);
    }
    if left[i + 1] != right[j] {
        return Err(mismatch());
    }
    let mut shape = operands.broadcast(&left[..i], &right[..j])?;
    if a.shape.len() > 1 {
        shape.push(left[i].clone());
    }
    if b.shape.len() > 1 {
        shape.push(right[j + 1].clone());
    }
    Ok(vec![Fact { dtype: a.dtype, shape }])
}

pub(super) fn infer_linear(
    operands: &Operands<'_>,
    transposed: bool,
) -> Result<Vec<Fact>, ShapeError> {
    let (x, w) = (operands.at(0)?.dtype, operands.at(1)?.dtype);
    // Weights may be stored with fewer bits than the products have.
    let stored = if (x, w) == (DType::F32, DType::BF16) { w } else { x };
    infer_linear_stored(operands, transposed, stored)
}

/// As [`infer_linear`], with weights of this type.
fn infer_linear_stored(
    operands: &Operands<'_>,
    transposed: bool,
    stored: DType,
) -> Result<Vec<Fact>, ShapeError> {
    let results = infer_product(operands, [operands.at(0)?, operands.at(1)?], transposed, stored)?;
    let result = &results[0];
    if let Some(bias) = operands.optional(2)
        && product(&bias.shape) != product(result.shape.last())
    {
        return Err(ShapeError(format!("bias {} is not one row", operands.show(&bias.shape))));
    }
    if let Some(residual) = operands.optional(3)
        && residual != result
    {
        let (shape, wanted) = (operands.show(&residual.shape), operands.show(&result.shape));
        return Err(ShapeError(format!("the residual {shape} is no {wanted}")));
    }
    Ok(results)
}

/// `activation(a · b + bias + residual)` with `a` of f32 and integers for the constant `b`, each of
/// which stands for itself less its zero point, times its scale.
///
/// Operands: a `[.., k]`, b `[k, n]` (`i8` or `u8`), optional bias, optional residual, the scales
/// of b, its zero points, where there are any, of the shape of the scales.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightOnlyLinear {
    /// Applied to each element.
    pub activation: Activation,
    /// The constant is `[n, k]`, and so are scales of blocks.
    pub transposed: bool,
    /// How many along `k` share a scale; scales are then a matrix. Zero where there is one scale,
    /// or one for each column.
    pub block: usize,
}

impl WeightOnlyLinear {
    /// Where the scales stand among the operands; the zero points are behind them.
    pub const SCALES: usize = 4;

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let (x, w) = (operands.at(0)?, operands.at(1)?);
        if x.dtype != DType::F32 || !matches!(w.dtype, DType::I8 | DType::U8) {
            return Err(ShapeError(format!(
                "no product of {} and weights of {}",
                x.dtype, w.dtype
            )));
        }
        let results = infer_linear_stored(operands, self.transposed, w.dtype)?;
        let [k, n] = match &w.shape[..] {
            [n, k] if self.transposed => [k, n],
            [k, n] => [k, n],
            _ => return Err(ShapeError("the weights are no matrix".into())),
        };
        let scales = operands.at(Self::SCALES)?;
        let fits = if self.block > 0 {
            let blocks = k.ceil_div(&Dim::Fixed(self.block as i64));
            let wanted = if self.transposed { [n.clone(), blocks] } else { [blocks, n.clone()] };
            scales.shape == wanted
        } else {
            let many = product(&scales.shape);
            many.is(1) || many == *n
        };
        let zeros = operands.optional(Self::SCALES + 1);
        if !fits || zeros.is_some_and(|z| z.shape != scales.shape || z.dtype != w.dtype) {
            let (scales, w) = (operands.show(&scales.shape), operands.show(&w.shape));
            return Err(ShapeError(format!("scales {scales} do not fit weights {w}")));
        }
        Ok(results)
    }
}

/// `alpha * a' · b' + beta * c`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the addend.
    pub beta: f32,
    /// Transpose the left operand.
    pub trans_a: bool,
    /// Transpose the right operand.
    pub trans_b: bool,
}

impl Gemm {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let (a, b) = (operands.at(0)?, operands.at(1)?);
        let ([a0, a1], [b0, b1]) = (&a.shape[..], &b.shape[..]) else {
            return Err(ShapeError("an operand is no matrix".into()));
        };
        let (m, k) = if self.trans_a { (a1, a0) } else { (a0, a1) };
        let (l, n) = if self.trans_b { (b1, b0) } else { (b0, b1) };
        if k != l || a.dtype != b.dtype {
            return Err(ShapeError(format!(
                "no product of {} and {}",
                operands.show(&a.shape),
                operands.show(&b.shape)
            )));
        }
        let shape = vec![m.clone(), n.clone()];
        if let Some(c) = operands.optional(2)
            && operands.broadcast(&c.shape, &shape)? != shape
        {
            return Err(ShapeError("the addend does not broadcast to the product".into()));
        }
        Ok(vec![Fact { dtype: a.dtype, shape }])
    }
}

/// A convolution over one to three axes of space: `activation(conv(x, weights) + bias +
/// residual)`. Operands: data, weights, then where given the bias and the residual.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Extent of the window, for each axis of space.
    pub kernel: Vec<usize>,
    /// Steps between windows.
    pub strides: Vec<usize>,
    /// Distance between elements of a window.
    pub dilations: Vec<usize>,
    /// Margin before the first element of each axis.
    pub pads_before: Vec<usize>,
    /// Margin behind the last.
    pub pads_after: Vec<usize>,
    /// Groups of channels.
    pub group: usize,
    /// What is applied to the sum.
    pub activation: Activation,
}

impl Conv {
    /// Extent of the result along axis `i` of space.
    pub(super) fn extent(&self, i: usize, n: &Dim) -> Dim {
        let window = self.dilations[i] * (self.kernel[i].max(1) - 1) + 1;
        let margin = (self.pads_before[i] + self.pads_after[i]) as i64;
        let room = n.clone() + Dim::Fixed(margin - window as i64);
        room.floor_div(&Dim::Fixed(self.strides[i] as i64)) + Dim::Fixed(1)
    }

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let (x, w) = (operands.at(0)?, operands.at(1)?);
        if x.dtype != w.dtype {
            return Err(ShapeError(format!(
                "the data is {}, the weights are {}",
                x.dtype, w.dtype
            )));
        }
        let shape = self.shape(operands, x, w)?;
        if let Some(bias) = operands.optional(2)
            && product(&bias.shape) != w.shape[0]
        {
            return Err(ShapeError("the bias is not one number for each output channel".into()));
        }
        if let Some(residual) = operands.optional(3)
            && (residual.shape != shape || residual.dtype != x.dtype)
        {
            return Err(ShapeError(format!(
                "the residual {} is not like the result {}",
                operands.show(&residual.shape),
                operands.show(&shape)
            )));
        }
        Ok(vec![Fact { dtype: x.dtype, shape }])
    }

    /// The shape of the result.
    pub(super) fn shape(
        &self,
        operands: &Operands<'_>,
        x: &Fact,
        w: &Fact,
    ) -> Result<Vec<Dim>, ShapeError> {
        let space = self.kernel.len();
        let group = Dim::Fixed(self.group as i64);
        let fits = x.shape.len() == space + 2
            && w.shape.len() == space + 2
            && w.shape[1].clone() * group.clone() == x.shape[1]
            && w.shape[0].exact_div(&group).is_some()
            && w.shape[2..].iter().zip(&self.kernel).all(|(d, k)| d.is(*k as i64));
        if !fits {
            return Err(ShapeError(format!(
                "weights {} in {} groups do not fit the data {}",
                operands.show(&w.shape),
                self.group,
                operands.show(&x.shape)
            )));
        }
        let mut shape = vec![x.shape[0].clone(), w.shape[0].clone()];
        shape.extend((0..space).map(|i| self.extent(i, &x.shape[i + 2])));
        check_extents(&shape, operands)?;
        Ok(shape)
    }
}

/// What a window gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest element.
    Max,
    /// The mean.
    Average {
        /// Count the margin too.
        count_include_pad: bool,
    },
    /// The p-norm.
    Lp {
        /// The power.
        p: u32,
    },
}

/// Pooling over one to three axes of space.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// What a window gives.
    pub kind: PoolKind,
    /// The window; its `group` is one and it has no activation.
    pub window: Conv,
    /// Keep a last window that is not whole.
    pub ceil_mode: bool,
}

/// Windows leave nothing of an axis that is too short for them, and no less.
fn check_extents(shape: &[Dim], operands: &Operands<'_>) -> Result<(), ShapeError> {
    let short = |dim: &&Dim| dim.bounds(operands.variables).0 < 0;
    match shape.iter().find(short) {
        None => Ok(()),
        Some(Dim::Fixed(_)) => Err(ShapeError("the window is larger than the padded data".into())),
        Some(_) => Err(ShapeError(
            "the window may be larger than the padded data; narrow the --dim ranges".into(),
        )),
    }
}

impl Pool {
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "MaxPool",
            PoolKind::Average { .. } => "AveragePool",
            PoolKind::Lp { .. } => "LpPool",
        }
    }

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let x = operands.at(0)?;
        let w = &self.window;
        if x.shape.len() != w.kernel.len() + 2 {
            return Err(ShapeError(format!(
                "the data {} has another rank",
                operands.show(&x.shape)
            )));
        }
        let mut shape = x.shape[..2].to_vec();
        for (i, n) in x.shape[2..].iter().enumerate() {
            if !self.ceil_mode {
                shape.push(w.extent(i, n));
                continue;
            }
            let window = (w.dilations[i] * (w.kernel[i].max(1) - 1) + 1) as i64;
            let margin = (w.pads_before[i] + w.pads_after[i]) as i64;
            let stride = Dim::Fixed(w.strides[i] as i64);
            let room = n.clone() + Dim::Fixed(margin - window);
            let ceil = room.ceil_div(&stride) + Dim::Fixed(1);
            // The last window must begin inside the data or the margin before it.
            let last = n.clone() + Dim::Fixed(w.pads_before[i] as i64 - 1);
            let begins = last.floor_div(&stride) + Dim::Fixed(1);
            shape.push(Dim::min(&ceil, &begins, operands.variables));
        }
        check_extents(&shape, operands)?;
        Ok(vec![Fact { dtype: x.dtype, shape }])
    }
}

/// Where the largest element of each window of a [`Pool`] is: its place in the whole tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPositions {
    /// The pooling; its kind is the largest element.
    pub pool: Pool,
    /// Places of one channel count the axes of space in the order of columns.
    pub column_major: bool,
}

impl MaxPositions {
    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let facts = self.pool.infer(operands)?;
        Ok(facts.into_iter().map(|fact| Fact { dtype: DType::I64, ..fact }).collect())
    }
}
