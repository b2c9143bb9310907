//! What follows a product, and whether it moves into it.

use crate::graph::ops::{Activation, Binary, Unary};
use crate::graph::{Dim, Node, Op, ValueId};

use super::Pass;
use super::product::{Product, by_column, column_shape};

/// What a node does to a product.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Multiplies and adds one number for each column.
    Affine { factors: Option<Vec<f64>>, summands: Option<Vec<f64>> },
    /// Adds as many elements.
    Residual(ValueId),
    /// Applies a function to each element.
    Activation(Activation),
    /// Gives it another shape of the same columns.
    Reshape,
}

impl Pass<'_> {
    /// What `node` does to the product whose elements are `y`, if the product can do it itself.
    pub(super) fn follow(&self, product: &Product, node: &Node, y: ValueId) -> Option<Step> {
        if product.activation != Activation::None {
            return None;
        }
        let (shape, result) = (&self.graph.value(y).shape, node.outputs[0]?);
        let step = match &node.op {
            Op::Reshape { .. } => {
                column_shape(&self.graph.value(result).shape, product.n)?;
                return Some(Step::Reshape);
            }
            Op::Transpose { perm } => {
                let moved = perm.iter().filter(|axis| !shape[**axis].is(1));
                column_shape(&self.graph.value(result).shape, product.n)?;
                // Only axes of one change their place: the elements stay where they are.
                return moved.is_sorted().then_some(Step::Reshape);
            }
            Op::Unary(op) => Step::Activation(activation(*op)?),
            Op::BatchNorm { epsilon } => self.normalization(product, node, shape, *epsilon)?,
            Op::Binary(op) => {
                let &[Some(a), Some(b)] = &node.inputs[..] else { return None };
                let (other, swapped) = if a == y { (b, false) } else { (a, true) };
                let kept = self.graph.value(result).shape == *shape;
                let constant = self.graph.value(other).constant.as_ref().filter(|_| kept);
                match constant.and_then(|c| by_column(c, shape, product.n)) {
                    Some(row) => affine(*op, row, swapped)?,
                    None if *op == Binary::Add && product.residual.is_none() => {
                        let same = kept && self.graph.fact(other) == self.graph.fact(y);
                        same.then_some(Step::Residual(other))?
                    }
                    None => return None,
                }
            }
            _ => return None,
        };
        match &step {
            Step::Affine { factors: Some(factors), .. } => {
                let alone = product.residual.is_none() && product.sole;
                (alone && product.bears(self.graph, factors)).then_some(step)
            }
            _ => Some(step),
        }
    }

    /// A batch normalization whose channels are the columns.
    fn normalization(
        &self,
        product: &Product,
        node: &Node,
        shape: &[Dim],
        epsilon: f32,
    ) -> Option<Step> {
        let by_columns = column_shape(shape, product.n)?.len() == 2 && shape.len() >= 2;
        if !by_columns || node.outputs.iter().skip(1).any(Option::is_some) {
            return None;
        }
        let given = |i: usize| {
            let tensor = self.graph.value(node.inputs.get(i).copied()??).constant.as_ref()?;
            let row = tensor.as_slice::<f32>().filter(|row| row.len() == product.n)?;
            Some(row.iter().copied().map(f64::from).collect::<Vec<f64>>())
        };
        let (scale, bias, mean, variance) = (given(1)?, given(2)?, given(3)?, given(4)?);
        let factors: Vec<f64> = scale
            .iter()
            .zip(&variance)
            .map(|(scale, variance)| scale / (variance + f64::from(epsilon)).sqrt())
            .collect();
        let summands = bias.iter().zip(&mean).zip(&factors).map(|((b, m), f)| b - m * f).collect();
        Some(Step::Affine { factors: Some(factors), summands: Some(summands) })
    }
}

/// Arithmetic with one constant for each column, which stands on the left if `swapped`.
fn affine(op: Binary, row: Vec<f64>, swapped: bool) -> Option<Step> {
    let len = row.len();
    let with = |f: fn(f64) -> f64| Some(row.iter().copied().map(f).collect::<Vec<f64>>());
    let (factors, summands) = match (op, swapped) {
        (Binary::Add, _) => (None, Some(row)),
        (Binary::Sub, false) => (None, with(|x| -x)),
        (Binary::Sub, true) => (Some(vec![-1.0; len]), Some(row)),
        (Binary::Mul, _) => (Some(row), None),
        (Binary::Div, false) => (with(f64::recip), None),
        _ => return None,
    };
    Some(Step::Affine { factors, summands })
}

pub(in crate::optimize) fn activation(op: Unary) -> Option<Activation> {
    Some(match op {
        Unary::Relu => Activation::Relu,
        Unary::LeakyRelu { alpha } => Activation::LeakyRelu { alpha },
        Unary::Clip { min, max } => Activation::Clip { min: min as f32, max: max as f32 },
        Unary::Sigmoid => Activation::Sigmoid,
        Unary::Tanh => Activation::Tanh,
        Unary::Gelu => Activation::Gelu,
        Unary::GeluTanh => Activation::GeluTanh,
        Unary::Silu => Activation::Silu,
        Unary::Swish { alpha } => Activation::Swish { alpha },
        _ => return None,
    })
}
