//! Products with dequantized weights read the integers.
//!
//! `Linear` whose weights are a dequantized constant, and whose other operand is a float, becomes
//! `WeightOnlyLinear`: the same answer from a quarter or an eighth of the bytes. A row gathered from
//! a large table that is dequantized is gathered first and dequantized then. What has another form
//! is folded to f32 behind the passes.

use std::collections::{HashMap, HashSet};

use crate::graph::dim::product as count;
use crate::graph::ops::{Quantization, WeightOnlyLinear};
use crate::graph::{Fact, Graph, Node, Op, ValueId};
use crate::kernels::gemm::narrow::UNPACKED_ROWS;
use crate::tensor::DType;

use super::dequantized::{self, Integers};

/// Blocks of scales end where a word of packed weights does, whatever bits these have.
const WORD_ROWS: usize = 8;

/// Bytes of all such weights of a model as f32 up to which they stay in a cache that gives them as
/// fast as they are multiplied. Then reading fewer gains nothing, and widening them costs.
const NEAR: usize = 1 << 20;

/// Bytes that no cache holds.
const FAR: usize = 1 << 25;

/// Bytes of f32 from which on a table is read as integers: a smaller one is in a cache anyway.
const LARGE_TABLE: usize = 1 << 18;

/// Runs the pass: products and tables that read integers now.
pub(super) fn narrow(graph: &mut Graph) -> usize {
    let mut found = dequantized::constants(graph);
    found.retain(|y, integers| {
        let eight = matches!(graph.value(integers.data).dtype, DType::I8 | DType::U8);
        eight && graph.value(*y).dtype == DType::F32
    });
    let mut pass = Pass { found, bytes: 0 };
    let mut read = HashSet::new();
    pass.count(graph, &graph.nodes, &mut read);
    let mut nodes = std::mem::take(&mut graph.nodes);
    let places = pass.rewrite(graph, &mut nodes);
    graph.nodes = nodes;
    places
}

struct Pass {
    /// The dequantized constants of eight bits, those in blocks included.
    found: HashMap<ValueId, Integers>,
    /// Bytes of those of them that are weights of products, as f32.
    bytes: usize,
}

impl Pass {
    fn count(&mut self, graph: &Graph, nodes: &[Node], read: &mut HashSet<ValueId>) {
        for node in nodes {
            node.op.blocks().for_each(|block| self.count(graph, &block.nodes, read));
            if let (Op::Linear { .. }, &[_, Some(w), ..]) = (&node.op, &node.inputs[..])
                && let Some(w) = self.found.get(&w)
                && read.insert(w.data)
            {
                let len = len(graph, w.data).unwrap_or(0);
                self.bytes = self.bytes.saturating_add(len.saturating_mul(size_of::<f32>()));
            }
        }
    }

    fn rewrite(&self, graph: &mut Graph, nodes: &mut Vec<Node>) -> usize {
        let mut places = 0;
        for mut node in std::mem::take(nodes) {
            for block in node.op.blocks_mut() {
                places += self.rewrite(graph, &mut block.nodes);
            }
            let of =
                |i: usize| node.inputs.get(i).copied().flatten().and_then(|v| self.found.get(&v));
            let rewritten = match &node.op {
                Op::Linear { .. } => of(1)
                    .filter(|_| self.pays(graph, &node))
                    .and_then(|w| product(graph, &node, w))
                    .map(|node| vec![node]),
                Op::Gather { axis: 0 } => of(0).and_then(|table| gathered(graph, &node, table)),
                _ => None,
            };
            places += usize::from(rewritten.is_some());
            match rewritten {
                Some(several) => nodes.extend(several),
                None => nodes.push(node),
            }
        }
        places
    }

    /// Whether a product is no slower than in f32 on any CPU. One row is bound by the bytes of its
    /// weights, where a cache near by does not hold them; a few rows are by what widening costs,
    /// unless weights come from far away; many are bound by multiply-adds, so that fewer bytes gain
    /// nothing. Where the number of rows is chosen later and may be one, that is what counts.
    fn pays(&self, graph: &Graph, node: &Node) -> bool {
        let y = node.outputs.first().copied().flatten().map(|y| &graph.value(y).shape);
        let rows = y.and_then(|shape| shape.split_last()).map(|(_, rows)| count(rows));
        let (least, most) = rows.map_or((1, 1), |rows| rows.bounds(&graph.variables));
        let (one, few) = (least <= 1, most < UNPACKED_ROWS as i64);
        one && self.bytes >= NEAR || few && self.bytes >= FAR
    }
}

/// How many numbers a value has, where that is fixed.
fn len(graph: &Graph, v: ValueId) -> Option<usize> {
    let dims = graph.value(v).shape.iter();
    dims.map(|d| usize::try_from(d.fixed()?).ok()).try_fold(1usize, |n, d| n.checked_mul(d?))
}

/// A product with these weights, where their scales lie over blocks of rows, or over columns, or
/// are one.
fn product(graph: &Graph, node: &Node, w: &Integers) -> Option<Node> {
    let Op::Linear { activation, transposed } = node.op else { return None };
    // The axis of columns; blocks lie along the other one.
    let columns = usize::from(!transposed);
    let block = match (len(graph, w.scale)?, w.op.block) {
        (1, _) => 0,
        (_, 0) if w.op.axis == columns => 0,
        (_, block) if block > 0 && w.op.axis != columns => block,
        _ => return None,
    };
    let k = usize::try_from(graph.value(w.data).shape.get(1 - columns)?.fixed()?).ok()?;
    if block < k && !block.is_multiple_of(WORD_ROWS) {
        return None;
    }
    let mut inputs = node.inputs.clone();
    inputs[1] = Some(w.data);
    inputs.resize(WeightOnlyLinear::SCALES, None);
    inputs.push(Some(w.scale));
    inputs.extend(w.zero.map(Some));
    let op = Op::WeightOnlyLinear(WeightOnlyLinear { activation, transposed, block });
    Some(Node { op, inputs, ..node.clone() })
}

/// Rows of a large table, dequantized when they are gathered.
fn gathered(graph: &mut Graph, node: &Node, table: &Integers) -> Option<Vec<Node>> {
    let (&[_, Some(at)], &[Some(y)]) = (&node.inputs[..], &node.outputs[..]) else { return None };
    if len(graph, table.data)?.saturating_mul(size_of::<f32>()) < LARGE_TABLE {
        return None;
    }
    let shape = graph.value(y).shape.clone();
    let picked = graph.value(at).shape.len();
    let mut nodes = Vec::new();
    let mut add = |graph: &mut Graph, op: Op, inputs: Vec<Option<ValueId>>, fact: &Fact| {
        let made = graph.add_value(&*node.name, fact);
        nodes.push(Node { name: node.name.clone(), op, inputs, outputs: vec![Some(made)] });
        made
    };
    let mut pick = |graph: &mut Graph, from: ValueId| {
        let value = graph.value(from);
        let shape = shape[..picked].iter().chain(&value.shape[1..]).cloned().collect();
        let fact = Fact { dtype: value.dtype, shape };
        add(graph, Op::Gather { axis: 0 }, vec![Some(from), Some(at)], &fact)
    };
    let op = table.op;
    // Scales of rows, or of blocks in them, are gathered too.
    let own = len(graph, table.scale)? > 1 && (op.axis == 0 || op.block > 0);
    if own && (op.axis == 0 && (op.block > 0 || picked != 1)) {
        return None;
    }
    let data = pick(graph, table.data);
    let [scale, zero] =
        [Some(table.scale), table.zero].map(|v| v.map(|v| if own { pick(graph, v) } else { v }));
    let axis = if op.axis == 0 { 0 } else { op.axis + picked - 1 };
    let op = Op::DequantizeLinear(Quantization { axis, ..op });
    let mut inputs = vec![Some(data), scale];
    inputs.extend(zero.map(Some));
    nodes.push(Node { name: node.name.clone(), op, inputs, outputs: vec![Some(y)] });
    Some(nodes)
}

#[cfg(test)]
mod tests;
