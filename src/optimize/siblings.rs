//! Products of the same data become one, with their weights side by side.
//!
//! Queries, keys and values, or the gates of a layer, are products of one value. As one product
//! they stream their weights without a break, and the data once. Each result is a view of a part
//! of the rows; where a reader would copy it for that, the product stays alone.

use std::collections::HashMap;

use crate::graph::dim::product;
use crate::graph::ops::{Activation, SliceAxis};
use crate::graph::{Dim, Fact, Graph, Node, Op, Tensor, ValueId};
use crate::tensor::DType;

/// Runs the pass: how many products became part of another.
pub(super) fn fuse(graph: &mut Graph) -> usize {
    let uses = graph.use_counts();
    let nodes = std::mem::take(&mut graph.nodes);
    let (nodes, fused) = fuse_nodes(graph, nodes, &uses);
    graph.nodes = nodes;
    fused
}

/// Fuses within a list of nodes, then within the blocks of each.
fn fuse_nodes(graph: &mut Graph, mut nodes: Vec<Node>, uses: &[u32]) -> (Vec<Node>, usize) {
    let mut wide: HashMap<usize, Node> = HashMap::new();
    let mut fused = 0;
    for group in groups(graph, &nodes, uses) {
        let members: Vec<Node> = group.iter().map(|i| nodes[*i].clone()).collect();
        let Some((whole, parts)) = side_by_side(graph, &members) else { continue };
        fused += parts.len() - 1;
        wide.insert(group[0], whole);
        for (i, part) in group.into_iter().zip(parts) {
            nodes[i] = part;
        }
    }
    let mut placed = Vec::with_capacity(nodes.len() + wide.len());
    for (i, mut node) in nodes.into_iter().enumerate() {
        for block in node.op.blocks_mut() {
            let (inner, count) = fuse_nodes(graph, std::mem::take(&mut block.nodes), uses);
            block.nodes = inner;
            fused += count;
        }
        placed.extend(wide.remove(&i));
        placed.push(node);
    }
    (placed, fused)
}

/// Positions of products that can be one, in their order. Between them no node sets dimensions
/// or decides what runs.
fn groups(graph: &Graph, nodes: &[Node], uses: &[u32]) -> Vec<Vec<usize>> {
    type Key = (ValueId, bool, usize);
    let mut readers: HashMap<ValueId, Vec<&Node>> = HashMap::new();
    for node in nodes {
        node.inputs.iter().flatten().for_each(|v| readers.entry(*v).or_default().push(node));
    }
    let views = Views { readers, uses };
    let (mut order, mut found): (Vec<Key>, HashMap<Key, Vec<Vec<usize>>>) = Default::default();
    let mut section = 0;
    for (i, node) in nodes.iter().enumerate() {
        section += usize::from(node.outputs.is_empty() || node.op.blocks().next().is_some());
        let (Op::Linear { activation, transposed }, &[Some(x), Some(w), ..]) =
            (&node.op, &node.inputs[..])
        else {
            continue;
        };
        // Its weights may move, and its result is wholly known as rows that lie apart.
        let apart = node.outputs[0].is_some_and(|y| views.are_read_apart(y, width(graph, node)));
        if uses[w.0 as usize] != 1 || node.inputs.get(3).is_some() || !apart {
            continue;
        }
        let key = (x, *transposed, section);
        let alike = found.entry(key).or_insert_with(|| {
            order.push(key);
            Vec::new()
        });
        match alike.iter_mut().find(|group| activation_of(&nodes[group[0]]) == Some(*activation)) {
            Some(group) => group.push(i),
            None => alike.push(vec![i]),
        }
    }
    let all = order.iter().filter_map(|key| found.remove(key)).flatten();
    all.filter(|group| group.len() > 1).collect()
}

fn activation_of(node: &Node) -> Option<Activation> {
    match node.op {
        Op::Linear { activation, .. } => Some(activation),
        _ => None,
    }
}

/// Columns of a product.
fn width(graph: &Graph, node: &Node) -> usize {
    let Op::Linear { transposed, .. } = node.op else { return 0 };
    let weights = node.inputs[1].and_then(|w| graph.value(w).constant.as_ref());
    weights.and_then(|w| w.shape().get(usize::from(!transposed)).copied()).unwrap_or(0)
}

/// How values are read.
struct Views<'g> {
    readers: HashMap<ValueId, Vec<&'g Node>>,
    uses: &'g [u32],
}

impl Views<'_> {
    /// Whether everybody who reads the rows of `v`, each of `n` elements, takes them as they lie,
    /// the rows apart from one another.
    fn are_read_apart(&self, v: ValueId, n: usize) -> bool {
        let readers = self.readers.get(&v).map_or(&[][..], Vec::as_slice);
        let all = readers.len() as u32 == self.uses[v.0 as usize];
        all && readers.iter().all(|node| match &node.op {
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Where
            | Op::Slice { .. }
            | Op::Concat { .. }
            | Op::MatMul
            | Op::Attention(_)
            | Op::Linear { .. } => true,
            // What moves axes is copied, or not, either way.
            Op::Transpose { .. } => true,
            Op::Reshape { shape } => {
                let whole = (0..shape.len()).any(|i| product(&shape[i..]).is(n as i64));
                whole && node.outputs[0].is_some_and(|y| self.are_read_apart(y, n))
            }
            _ => false,
        })
    }
}

/// One product for several, and the part of its result that each of them is.
fn side_by_side(graph: &mut Graph, members: &[Node]) -> Option<(Node, Vec<Node>)> {
    let first = members.first()?;
    let widths: Vec<usize> = members.iter().map(|node| width(graph, node)).collect();
    let n: usize = widths.iter().sum();
    let Op::Linear { transposed, .. } = first.op else { return None };
    let (x, y) = (first.inputs[0]?, first.outputs[0]?);
    let weights = {
        let tensors: Option<Vec<&Tensor>> =
            members.iter().map(|node| graph.value(node.inputs[1]?).constant.as_ref()).collect();
        joined(&tensors?, transposed)?
    };
    let bias = members.iter().any(|node| node.inputs.len() > 2);
    let bias = if bias {
        let mut row: Vec<f32> = Vec::with_capacity(n);
        for (node, width) in members.iter().zip(&widths) {
            match node.inputs.get(2) {
                Some(v) => row.extend(graph.value((*v)?).constant.as_ref()?.as_slice::<f32>()?),
                None => row.resize(row.len() + width, 0.0),
            }
        }
        (row.len() == n).then_some(Some(row))?
    } else {
        None
    };
    let mut shape = graph.value(y).shape.clone();
    let axis = shape.len().checked_sub(1)?;
    shape[axis] = Dim::Fixed(n as i64);
    // The weights of each are in those of all.
    for node in members {
        graph.value_mut(node.inputs[1]?).constant = None;
    }
    let names: Vec<&str> = members.iter().map(|node| &*node.name).collect();
    let name = names.join(", ");
    let w = graph.add_constant(format!("{name}:weights"), weights);
    let bias = bias.map(|row| graph.add_constant(format!("{name}:bias"), Tensor::vector(&row)));
    let all = graph.add_value(&*name, &Fact { dtype: DType::F32, shape });
    let inputs = [Some(x), Some(w)].into_iter().chain(bias.map(Some)).collect();
    let whole = Node { name, op: first.op.clone(), inputs, outputs: vec![Some(all)] };
    let mut start = 0;
    let parts = members.iter().zip(widths).map(|(node, width)| {
        let extent = Dim::Fixed(width as i64);
        let cut = SliceAxis { axis, start: Dim::Fixed(start as i64), step: 1, extent };
        start += width;
        let op = Op::Slice { axes: vec![cut] };
        Node { op, inputs: vec![Some(all)], ..node.clone() }
    });
    let parts = parts.collect();
    Some((whole, parts))
}

/// Matrices of as many rows side by side; of transposed ones, one below the other.
fn joined(tensors: &[&Tensor], transposed: bool) -> Option<Tensor> {
    let depth = |t: &Tensor| t.shape().get(usize::from(transposed)).copied();
    let k = depth(tensors.first()?)?;
    if tensors.iter().any(|t| depth(t) != Some(k) || t.shape().len() != 2) {
        return None;
    }
    let data: Vec<&[f32]> = tensors.iter().map(|t| t.as_slice::<f32>()).collect::<Option<_>>()?;
    let len = data.iter().map(|d| d.len()).sum::<usize>();
    let mut all = Vec::with_capacity(len);
    if transposed {
        data.iter().for_each(|rows| all.extend_from_slice(rows));
        return Some(Tensor::new(&[len / k.max(1), k], &all));
    }
    for row in 0..k {
        for matrix in &data {
            let n = matrix.len() / k;
            all.extend_from_slice(&matrix[row * n..][..n]);
        }
    }
    Some(Tensor::new(&[k, len / k.max(1)], &all))
}

#[cfg(test)]
mod tests;
