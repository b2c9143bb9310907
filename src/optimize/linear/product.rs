//! A product with constant weights, while it is being fused.

use crate::graph::dim::product as count;
use crate::graph::ops::{Activation, Gemm};
use crate::graph::{Dim, Graph, Node, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::{Pass, Step};

/// `activation(x · weights * factors + bias + residual)`.
pub(super) struct Product {
    pub(super) name: String,
    pub(super) x: ValueId,
    /// A constant matrix.
    pub(super) weights: ValueId,
    /// It is `[n, k]`.
    pub(super) transposed: bool,
    /// Nobody else reads it, so that it may be multiplied.
    pub(super) sole: bool,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) factors: Option<Vec<f64>>,
    pub(super) bias: Option<Vec<f64>>,
    pub(super) residual: Option<ValueId>,
    pub(super) activation: Activation,
    pub(super) result: ValueId,
}

impl Product {
    /// Takes a step along, whose result is `y`.
    pub(super) fn take(&mut self, step: Step, y: ValueId) {
        match step {
            Step::Affine { factors, summands } => {
                if let Some(factors) = factors {
                    times(self.bias.as_mut(), &factors);
                    match &mut self.factors {
                        Some(before) => times(Some(before), &factors),
                        None => self.factors = Some(factors),
                    }
                }
                match (&mut self.bias, summands) {
                    (Some(bias), Some(summands)) => {
                        bias.iter_mut().zip(summands).for_each(|(b, s)| *b += s);
                    }
                    (None, summands) => self.bias = summands,
                    (Some(_), None) => {}
                }
            }
            Step::Residual(v) => self.residual = Some(v),
            Step::Activation(activation) => self.activation = activation,
            Step::Reshape => {}
        }
        self.result = y;
    }

    /// Whether weights and bias stay what they are but for rounding when they are multiplied.
    pub(super) fn bears(&self, graph: &Graph, factors: &[f64]) -> bool {
        let Some(weights) = &graph.value(self.weights).constant else { return false };
        let mut all = factors.to_vec();
        times(Some(&mut all), self.factors.as_deref().unwrap_or(&vec![1.0; factors.len()]));
        let kept = |x: &f32| x.is_normal();
        let Some(before) = weights.as_slice::<f32>() else { return false };
        let after = scaled(weights, self.transposed, &all);
        all.iter().all(|f| kept(&(*f as f32)))
            && before.iter().zip(after).all(|(b, a)| *b == 0.0 || kept(&a))
    }
}

fn times(row: Option<&mut Vec<f64>>, factors: &[f64]) {
    row.into_iter().flatten().zip(factors).for_each(|(x, f)| *x *= f);
}

/// The elements of weights with each column times its factor.
pub(super) fn scaled(
    weights: &Tensor,
    transposed: bool,
    factors: &[f64],
) -> impl Iterator<Item = f32> {
    let row = weights.shape().last().copied().unwrap_or(1).max(1);
    let data = weights.as_slice::<f32>().unwrap_or(&[]);
    data.iter().enumerate().map(move |(i, x)| {
        let column = if transposed { i / row } else { i % row };
        (f64::from(*x) * factors[column]) as f32
    })
}

/// The shape of a product of `n` columns whose elements have this shape: but for axes of one
/// behind them, the last axis is the columns. `None` where it is not.
pub(super) fn column_shape(shape: &[Dim], n: usize) -> Option<Vec<Dim>> {
    if n == 1 {
        let last = shape.last().is_some_and(|d| d.is(1));
        return Some(shape.iter().cloned().chain((!last).then_some(Dim::Fixed(1))).collect());
    }
    let len = shape.iter().rposition(|d| !d.is(1))? + 1;
    shape[len - 1].is(n as i64).then(|| shape[..len].to_vec())
}

/// The elements of a constant by the column of `shape` they are broadcast to, if that is all that
/// they depend on.
pub(super) fn by_column(tensor: &Tensor, shape: &[Dim], n: usize) -> Option<Vec<f64>> {
    let data = tensor.as_slice::<f32>()?;
    if let [one] = data {
        return Some(vec![f64::from(*one); n]);
    }
    // Shapes meet at their ends.
    let behind = shape.len().checked_sub(column_shape(shape, n)?.len())?;
    let axis = tensor.shape().len().checked_sub(behind + 1)?;
    let fits = data.len() == n && tensor.shape()[axis] == n;
    fits.then(|| data.iter().copied().map(f64::from).collect())
}

impl Pass<'_> {
    /// A node as a product, where one of its operands is a constant matrix of f32.
    pub(super) fn product(&mut self, node: &Node) -> Option<Product> {
        let (&[Some(a), Some(b), ..], &[Some(result)]) = (&node.inputs[..], &node.outputs[..])
        else {
            return None;
        };
        let constant = |v: ValueId| {
            self.graph.value(v).constant.is_some() || self.dequantized.contains_key(&v)
        };
        let left = match (constant(a), constant(b)) {
            (false, true) => false,
            (true, false) => true,
            _ => return None,
        };
        let gemm = match &node.op {
            Op::MatMul => Gemm { alpha: 1.0, beta: 0.0, trans_a: false, trans_b: false },
            Op::Gemm(gemm) => *gemm,
            _ => return None,
        };
        let (x, w) = if left { (b, a) } else { (a, b) };
        let turned = if left { !gemm.trans_a } else { gemm.trans_b };
        if self.graph.value(x).dtype != DType::F32 || !self.is_rows(x, left, &gemm) {
            return None;
        }
        let weights = self.matrix(w, left)?;
        let [rows, columns] = &self.graph.value(weights).shape[..] else { return None };
        let fixed = |dim: &Dim| dim.fixed().and_then(|n| usize::try_from(n).ok());
        let (rows, columns) = (fixed(rows)?, fixed(columns)?);
        let (k, n) = if turned { (columns, rows) } else { (rows, columns) };
        if k == 0 || n == 0 {
            return None;
        }
        let result_shape = &self.graph.value(result).shape;
        let rows = column_shape(result_shape, n)?;
        let mut product = Product {
            name: node.name.clone(),
            x,
            weights,
            transposed: turned,
            sole: self.uses.get(w.0 as usize) == Some(&1),
            k,
            n,
            factors: None,
            bias: None,
            residual: None,
            activation: Activation::None,
            result,
        };
        // Nothing is lost and nothing repeated on the way to the rows of the product.
        let elements = count(&rows[..rows.len() - 1]) * Dim::Fixed(k as i64);
        if elements != count(&self.graph.value(x).shape) {
            return None;
        }
        if gemm.alpha != 1.0 {
            let factors = vec![f64::from(gemm.alpha); n];
            if !product.bears(self.graph, &factors) {
                return None;
            }
            product.factors = Some(factors);
        }
        let addend = node.inputs.get(2).copied().flatten().filter(|_| gemm.beta != 0.0);
        if let Some(c) = addend {
            let (value, beta) = (self.graph.value(c), f64::from(gemm.beta));
            let row = value.constant.as_ref().and_then(|c| by_column(c, result_shape, n));
            match row {
                Some(row) => product.bias = Some(row.iter().map(|x| beta * x).collect()),
                None if beta == 1.0 && self.graph.fact(c) == self.graph.fact(result) => {
                    product.residual = Some(c);
                }
                None => return None,
            }
            // Exporters write a bias of zeros in front of the true one.
            product.bias = product.bias.filter(|row| row.iter().any(|x| *x != 0.0));
        }
        Some(product)
    }

    /// Whether an operand is rows, one for each of the result: not columns, unless it is a single
    /// one.
    fn is_rows(&self, x: ValueId, left: bool, gemm: &Gemm) -> bool {
        match (&self.graph.value(x).shape[..], left) {
            ([], _) => false,
            ([_], _) | ([.., _, _], false) if !gemm.trans_a => true,
            ([.., rows, _], true) if gemm.trans_b => rows.is(1),
            ([.., columns], _) => columns.is(1),
        }
    }

    /// A constant of f32 that is a matrix but for axes of one before it; a vector on the `left` is
    /// one row, else one column.
    fn matrix(&mut self, w: ValueId, left: bool) -> Option<ValueId> {
        let value = self.graph.value(w);
        if self.dequantized.contains_key(&w) {
            return (value.dtype == DType::F32 && value.shape.len() == 2).then_some(w);
        }
        let tensor = value.constant.as_ref().filter(|t| t.dtype() == DType::F32)?;
        let shape = match tensor.shape() {
            [_, _] => return Some(w),
            [k] if left => [1, *k],
            [k] => [*k, 1],
            [ones @ .., k, n] if ones.iter().all(|d| *d == 1) => [*k, *n],
            _ => return None,
        };
        if let Some(matrix) = self.matrices.get(&(w, left)) {
            return Some(*matrix);
        }
        let matrix = self.graph.add_constant(value.name.clone(), tensor.reshaped(&shape));
        self.matrices.insert((w, left), matrix);
        Some(matrix)
    }
}
