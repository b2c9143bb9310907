//! Factors and summands of channels, and what they do to weights.

use crate::graph::ops::Binary;
use crate::graph::{Dim, Graph, Node, Op, Tensor, ValueId};

/// `factor * x + shift`, one of each for every channel.
pub(super) struct Affine {
    pub(super) factor: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

impl Affine {
    /// What a node does to the channels along `axis` of its operand `x`, if that is all it does.
    pub(super) fn of(graph: &Graph, node: &Node, x: ValueId, axis: usize) -> Option<Self> {
        let shape = &graph.value(x).shape;
        let channels = usize::try_from(shape.get(axis)?.fixed()?).ok()?;
        let y = (*node.outputs.first()?)?;
        if graph.value(y).shape != *shape {
            return None;
        }
        let affine = match &node.op {
            Op::BatchNorm { epsilon } if axis == 1 && node.inputs.first() == Some(&Some(x)) => {
                let given = |i: usize| {
                    let v = node.inputs.get(i).copied()??;
                    let values = graph.value(v).constant.as_ref()?.to_f64s();
                    (values.len() == channels).then_some(values)
                };
                let (scale, bias, mean, variance) = (given(1)?, given(2)?, given(3)?, given(4)?);
                let root = |v: &f64| (v + f64::from(*epsilon)).sqrt();
                let factor: Vec<f64> =
                    scale.iter().zip(&variance).map(|(s, v)| s / root(v)).collect();
                let moved = mean.iter().zip(&factor).map(|(m, f)| m * f);
                let shift = bias.iter().zip(moved).map(|(b, m)| b - m).collect();
                Self { factor, shift }
            }
            Op::Binary(op) => {
                let [Some(a), Some(b)] = node.inputs[..] else { return None };
                let first = a == x;
                let other = if first { b } else { a };
                let given = each(graph, other, shape, axis)?;
                let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
                match op {
                    Binary::Mul => Self { factor: given, shift: zeros },
                    Binary::Div if first => {
                        Self { factor: given.iter().map(|d| 1.0 / d).collect(), shift: zeros }
                    }
                    Binary::Add => Self { factor: ones, shift: given },
                    Binary::Sub if first => {
                        Self { factor: ones, shift: given.iter().map(|d| -d).collect() }
                    }
                    Binary::Sub => Self { factor: vec![-1.0; channels], shift: given },
                    _ => return None,
                }
            }
            _ => return None,
        };
        let finite = affine.factor.iter().chain(&affine.shift).all(|x| x.is_finite());
        finite.then_some(affine)
    }

    /// Whether it is a summand only.
    pub(super) fn is_shift(&self) -> bool {
        self.factor.iter().all(|f| *f == 1.0)
    }

    /// Weights and bias of a convolution that is followed by this.
    pub(super) fn behind(&self, weights: &Tensor, bias: &[f64]) -> Option<(Tensor, Vec<f64>)> {
        let data = weights.as_slice::<f32>()?;
        let rows = data.len() / self.factor.len();
        let scaled: Vec<f32> = data
            .iter()
            .enumerate()
            .map(|(i, w)| (f64::from(*w) * self.factor[i / rows]) as f32)
            .collect();
        let bias = bias.iter().zip(&self.factor).zip(&self.shift);
        let bias = bias.map(|((b, factor), shift)| b * factor + shift).collect();
        finite(Tensor::new(weights.shape(), &scaled), bias)
    }

    /// Weights and bias of a convolution in groups that reads the result of this.
    pub(super) fn ahead(
        &self,
        weights: &Tensor,
        bias: &[f64],
        groups: usize,
    ) -> Option<(Tensor, Vec<f64>)> {
        let data = weights.as_slice::<f32>()?;
        let (outputs, channels) = (weights.shape()[0], weights.shape()[1]);
        let taps: usize = weights.shape()[2..].iter().product();
        let mut bias = bias.to_vec();
        let mut scaled = Vec::with_capacity(data.len());
        for (i, w) in data.iter().enumerate() {
            let output = i / taps / channels;
            let channel = output * groups / outputs * channels + i / taps % channels;
            scaled.push((f64::from(*w) * self.factor[channel]) as f32);
            bias[output] += f64::from(*w) * self.shift[channel];
        }
        finite(Tensor::new(weights.shape(), &scaled), bias)
    }
}

/// Weights that overflow are left alone.
fn finite(weights: Tensor, bias: Vec<f64>) -> Option<(Tensor, Vec<f64>)> {
    let small = bias.iter().all(|b| (*b as f32).is_finite());
    let finite = weights.as_slice::<f32>()?.iter().all(|w| w.is_finite());
    (small && finite).then_some((weights, bias))
}

/// A constant that is broadcast to `shape` and differs along `axis` only: its numbers there.
fn each(graph: &Graph, v: ValueId, shape: &[Dim], axis: usize) -> Option<Vec<f64>> {
    let tensor = graph.value(v).constant.as_ref()?;
    let channels = usize::try_from(shape[axis].fixed()?).ok()?;
    let numbers = tensor.to_f64s();
    if numbers.len() == 1 && tensor.shape().len() <= shape.len() {
        return Some(vec![numbers[0]; channels]);
    }
    let missing = shape.len().checked_sub(tensor.shape().len())?;
    let along = axis.checked_sub(missing)?;
    let suits = tensor
        .shape()
        .iter()
        .enumerate()
        .all(|(i, n)| if i == along { *n == channels } else { *n == 1 });
    suits.then_some(numbers)
}
