//! Products with constant weights take their bias and activation along.
//!
//! `MatMul(x, W)` and `Gemm(x, W, b)` become `Linear`; an `Add` of one constant row and a
//! function of each element that alone read the product move into it.

use std::collections::HashMap;

use crate::graph::dim::product;
use crate::graph::ops::{Activation, Binary, Unary};
use crate::graph::{Dim, Graph, Node, Op, Tensor, ValueId};
use crate::tensor::DType;

/// Runs the pass, and counts the nodes that moved into a product.
pub(super) fn fuse(graph: &mut Graph) -> usize {
    let mut uses = graph.use_counts();
    fuse_nodes(graph, &mut uses)
}

/// Fuses within the graph's nodes, then within each block as if its nodes were the graph's.
fn fuse_nodes(graph: &mut Graph, uses: &mut [u32]) -> usize {
    let mut moved = 0;
    // The first node that reads each value.
    let mut readers = HashMap::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        for v in node.inputs.iter().flatten() {
            readers.entry(*v).or_insert(i);
        }
    }
    for i in 0..graph.nodes.len() {
        let Some(mut node) = as_linear(graph, i) else { continue };
        while let Some(y) = node.outputs[0].filter(|y| uses[y.0 as usize] == 1) {
            let reader = readers.get(&y).copied();
            let Some((reader, step)) = next(graph, &node, y, reader) else { break };
            match step {
                Step::Bias(bias) => node.inputs.push(Some(bias)),
                Step::Activation(activation) => node.op = Op::Linear { activation },
            }
            moved += 1;
            uses[y.0 as usize] = 0;
            node.outputs.clone_from(&graph.nodes[reader].outputs);
            for v in graph.nodes[reader].inputs.iter().flatten() {
                uses[v.0 as usize] = uses[v.0 as usize].saturating_sub(1);
            }
            graph.nodes[reader].outputs = vec![None];
            graph.nodes[reader].inputs.clear();
        }
        graph.nodes[i] = node;
    }
    // A node without results, or with blocks, may set dimensions.
    graph.nodes.retain(|n| {
        let sets = n.outputs.is_empty() || n.op.blocks().next().is_some();
        sets || n.outputs.iter().any(Option::is_some)
    });
    for i in 0..graph.nodes.len() {
        if graph.nodes[i].op.blocks().next().is_none() {
            continue;
        }
        let mut node = graph.nodes[i].clone();
        for block in node.op.blocks_mut() {
            let outer = std::mem::replace(&mut graph.nodes, std::mem::take(&mut block.nodes));
            moved += fuse_nodes(graph, uses);
            block.nodes = std::mem::replace(&mut graph.nodes, outer);
        }
        graph.nodes[i] = node;
    }
    moved
}

enum Step {
    Bias(ValueId),
    Activation(Activation),
}

/// Node `i` as a `Linear`, where it is a product with constant f32 weights of rank 2.
fn as_linear(graph: &mut Graph, i: usize) -> Option<Node> {
    let node = graph.nodes[i].clone();
    let (x, w) = (node.inputs.first().copied()??, node.inputs.get(1).copied()??);
    let weights = graph.value(w).constant.clone()?;
    let suits = weights.dtype() == DType::F32
        && weights.shape().len() == 2
        && graph.value(x).constant.is_none()
        && graph.value(x).shape.len() >= 2;
    if !suits {
        return None;
    }
    let linear = Op::Linear { activation: Activation::None };
    match &node.op {
        Op::MatMul => Some(Node { op: linear, inputs: vec![Some(x), Some(w)], ..node }),
        Op::Gemm(gemm) if !gemm.trans_a => {
            let columns = weights.shape()[usize::from(!gemm.trans_b)];
            let c = match node.inputs.get(2).copied().flatten() {
                None => None,
                Some(c) => {
                    let tensor = graph.value(c).constant.clone()?;
                    let row = tensor.shape().last() == Some(&columns) && tensor.len() == columns;
                    let spread = tensor.len() == 1;
                    if !row && !spread {
                        return None;
                    }
                    let scaled: Vec<f32> = tensor
                        .as_slice::<f32>()?
                        .iter()
                        .map(|v| gemm.beta * v)
                        .cycle()
                        .take(columns)
                        .collect();
                    // Exporters write a bias of zeros in front of the true one.
                    let nothing = scaled.iter().all(|v| *v == 0.0);
                    let name = graph.value(c).name.clone();
                    (!nothing).then(|| graph.add_constant(name, Tensor::vector(&scaled)))
                }
            };
            let w = if gemm.trans_b || gemm.alpha != 1.0 {
                let plain = untransposed(&weights, gemm.trans_b, gemm.alpha)?;
                graph.add_constant(graph.value(w).name.clone(), plain)
            } else {
                w
            };
            let mut inputs = vec![Some(x), Some(w)];
            inputs.extend(c.map(Some));
            Some(Node { op: linear, inputs, ..node })
        }
        _ => None,
    }
}

fn untransposed(w: &Tensor, transposed: bool, alpha: f32) -> Option<Tensor> {
    let data = w.as_slice::<f32>()?;
    if !transposed {
        let scaled: Vec<f32> = data.iter().map(|v| alpha * v).collect();
        return Some(Tensor::new(w.shape(), &scaled));
    }
    let (n, k) = (w.shape()[0], w.shape()[1]);
    let plain: Vec<f32> = (0..k * n).map(|at| alpha * data[(at % n) * k + at / n]).collect();
    Some(Tensor::new(&[k, n], &plain))
}

/// The one reader of `y` and what of it moves into the product.
fn next(graph: &Graph, node: &Node, y: ValueId, reader: Option<usize>) -> Option<(usize, Step)> {
    let reader = reader.filter(|j| graph.nodes[*j].inputs.contains(&Some(y)))?;
    let found = &graph.nodes[reader];
    let plain = node.op == Op::Linear { activation: Activation::None };
    match &found.op {
        Op::Binary(Binary::Add) if plain && node.inputs.len() == 2 => {
            let other = found.inputs.iter().flatten().copied().find(|v| *v != y)?;
            let tensor = graph.value(other).constant.as_ref()?;
            let columns = graph.value(y).shape.last()?.fixed()?;
            let result = found.outputs[0]?;
            let row = tensor.shape().last() == Some(&(columns as usize))
                && product(&graph.value(other).shape) == Dim::Fixed(columns)
                && graph.value(result).shape == graph.value(y).shape;
            row.then_some((reader, Step::Bias(other)))
        }
        Op::Unary(op) if plain => Some((reader, Step::Activation(activation(*op)?))),
        _ => None,
    }
}

fn activation(op: Unary) -> Option<Activation> {
    Some(match op {
        Unary::Relu => Activation::Relu,
        Unary::LeakyRelu { alpha } => Activation::LeakyRelu { alpha },
        Unary::Clip { min, max } => Activation::Clip { min: min as f32, max: max as f32 },
        Unary::Sigmoid => Activation::Sigmoid,
        Unary::Tanh => Activation::Tanh,
        Unary::Gelu => Activation::Gelu,
        Unary::GeluTanh => Activation::GeluTanh,
        Unary::Silu => Activation::Silu,
        _ => return None,
    })
}
