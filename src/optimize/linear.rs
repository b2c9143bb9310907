//! Products with constant weights take along what follows them.
//!
//! `MatMul` and `Gemm` with constant weights become `Linear`, whichever operand the weights are.
//! What alone reads the product and works on its elements moves into it: factors and summands of
//! columns into weights and bias, one summand of the result's shape as the residual, a function
//! of each element as the activation. Dequantized constants are weights like others, but that
//! nothing is multiplied into them. A reshape that keeps the columns stands in no way: the
//! product is made under the last shape.

pub(super) mod follow;
mod product;

use std::collections::HashMap;

use crate::graph::{Fact, Graph, Node, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::dequantized::{self, Integers};
use follow::Step;
use product::{Product, column_shape};

/// Runs the pass: how many products are `Linear` now.
pub(super) fn fuse(graph: &mut Graph) -> usize {
    let uses = graph.use_counts();
    let dequantized = dequantized::constants(graph);
    Pass { graph, uses, dequantized, matrices: HashMap::new() }.fuse_nodes()
}

struct Pass<'g> {
    graph: &'g mut Graph,
    /// How often each value of the original graph is read.
    uses: Vec<u32>,
    /// Constants in all but their type: they stay quantized until somebody has taken them so.
    dequantized: HashMap<ValueId, Integers>,
    /// Weights of fewer or more axes than two, on the left or not, as the matrices they are.
    matrices: HashMap<(ValueId, bool), ValueId>,
}

/// Who reads and writes the values of a list of nodes.
struct Links {
    /// The first node that reads each value.
    readers: HashMap<ValueId, usize>,
    writers: HashMap<ValueId, usize>,
    /// For each node, how many before it set dimensions or have blocks.
    barriers: Vec<usize>,
}

impl Links {
    fn new(nodes: &[Node]) -> Self {
        let (mut readers, mut writers) = (HashMap::new(), HashMap::new());
        let mut barriers = vec![0];
        for (i, node) in nodes.iter().enumerate() {
            for v in node.inputs.iter().flatten() {
                readers.entry(*v).or_insert(i);
            }
            writers.extend(node.outputs.iter().flatten().map(|v| (*v, i)));
            barriers.push(barriers[i] + usize::from(is_barrier(node)));
        }
        Self { readers, writers, barriers }
    }
}

/// Whether no node moves across this one: it sets dimensions, or decides what runs.
fn is_barrier(node: &Node) -> bool {
    node.outputs.is_empty() || node.op.blocks().next().is_some()
}

impl Pass<'_> {
    /// Fuses within the graph's nodes, then within each block as if its nodes were the graph's.
    fn fuse_nodes(&mut self) -> usize {
        let links = Links::new(&self.graph.nodes);
        let mut places: Vec<Vec<Node>> =
            std::mem::take(&mut self.graph.nodes).into_iter().map(|node| vec![node]).collect();
        let mut fused = 0;
        for i in 0..places.len() {
            fused += usize::from(self.fuse(&mut places, &links, i));
        }
        let mut nodes: Vec<Node> = places.into_iter().flatten().collect();
        for node in &mut nodes {
            for block in node.op.blocks_mut() {
                self.graph.nodes = std::mem::take(&mut block.nodes);
                fused += self.fuse_nodes();
                block.nodes = std::mem::take(&mut self.graph.nodes);
            }
        }
        self.graph.nodes = nodes;
        fused
    }

    /// Makes the product that stands at place `i`, if there is one, a `Linear` with all that
    /// follows it.
    fn fuse(&mut self, places: &mut [Vec<Node>], links: &Links, i: usize) -> bool {
        let [node] = &places[i][..] else { return false };
        let Some(mut product) = self.product(node) else { return false };
        let (mut taken, mut passed) = (vec![i], Vec::new());
        let (mut at, mut y) = (i, product.result);
        while let Some(reader) = self.sole_reader(links, y)
            && links.barriers[i] == links.barriers[reader]
            && let [node] = &places[reader][..]
            && let &[Some(next), ..] = &node.outputs[..]
            && let Some(step) = self.follow(&product, node, y)
        {
            y = next;
            passed.push(reader);
            if step == Step::Reshape {
                continue;
            }
            taken.append(&mut passed);
            if matches!(step, Step::Residual(_)) {
                at = reader;
            }
            product.take(step, y);
        }
        for place in taken {
            places[place].clear();
        }
        places[at] = self.write(product, &|v| {
            let place = &places[*links.writers.get(&v)?];
            let node = place.iter().find(|node| node.outputs.contains(&Some(v)))?;
            matches!(node.op, Op::Reshape { .. }).then(|| node.inputs[0])?
        });
        true
    }

    /// The one node that reads a value once, where it stands beside the value's own.
    fn sole_reader(&self, links: &Links, v: ValueId) -> Option<usize> {
        let sole = self.uses.get(v.0 as usize) == Some(&1);
        links.readers.get(&v).copied().filter(|_| sole)
    }

    /// The nodes that compute a product. `source` is what a reshape is made of.
    fn write(
        &mut self,
        product: Product,
        source: &dyn Fn(ValueId) -> Option<ValueId>,
    ) -> Vec<Node> {
        let mut nodes = Vec::new();
        let (name, n) = (product.name, product.n);
        let shape = self.graph.value(product.result).shape.clone();
        let columns = column_shape(&shape, n).unwrap_or_else(|| shape.clone());
        let mut rows = columns.clone();
        if let Some(last) = rows.last_mut() {
            *last = (product.k as i64).into();
        }
        let mut viewed = |graph: &mut Graph, v: ValueId, shape: &[crate::graph::Dim]| {
            let same = |v: &ValueId| graph.value(*v).shape == shape;
            if let Some(v) = Some(v).filter(same).or_else(|| source(v).filter(same)) {
                return v;
            }
            let view = graph.add_value(&*name, &Fact { dtype: DType::F32, shape: shape.to_vec() });
            let op = Op::Reshape { shape: shape.to_vec() };
            let (inputs, outputs) = (vec![Some(v)], vec![Some(view)]);
            nodes.push(Node { name: name.clone(), op, inputs, outputs });
            view
        };
        let x = viewed(self.graph, product.x, &rows);
        let residual = product.residual.map(|v| viewed(self.graph, v, &columns));
        let mut weights = product.weights;
        if let Some(factors) = &product.factors {
            weights = self.scaled(weights, product.transposed, factors);
        }
        let bias = product.bias.map(|bias| {
            let row: Vec<f32> = bias.iter().map(|v| *v as f32).collect();
            self.graph.add_constant(format!("{name}:bias"), Tensor::vector(&row))
        });
        let y = if columns == shape {
            product.result
        } else {
            let fact = Fact { dtype: DType::F32, shape: columns };
            self.graph.add_value(&*name, &fact)
        };
        let op = Op::Linear { activation: product.activation, transposed: product.transposed };
        let mut inputs = vec![Some(x), Some(weights), bias, residual];
        while inputs.last() == Some(&None) {
            inputs.pop();
        }
        nodes.push(Node { name: name.clone(), op, inputs, outputs: vec![Some(y)] });
        if y != product.result {
            let (inputs, outputs) = (vec![Some(y)], vec![Some(product.result)]);
            nodes.push(Node { name, op: Op::Reshape { shape }, inputs, outputs });
        }
        nodes
    }

    /// Weights with each column times its factor.
    fn scaled(&mut self, weights: ValueId, transposed: bool, factors: &[f64]) -> ValueId {
        let value = self.graph.value(weights);
        let Some(tensor) = &value.constant else { return weights };
        let scaled = product::scaled(tensor, transposed, factors);
        let tensor = Tensor::new(tensor.shape(), &scaled.collect::<Vec<f32>>());
        self.graph.add_constant(value.name.clone(), tensor)
    }
}

#[cfg(test)]
pub(super) mod tests;
