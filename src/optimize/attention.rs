//! Attention out of its parts.
//!
//! A product of softmax with something, where softmax has the products of queries and keys under
//! it, scaled, bent and masked in any of the ways in which exporters write that, becomes one
//! [`Attention`]. What stands between must have no other reader.

mod groups;
mod limit;
mod scores;
mod weights;

use std::collections::HashMap;
use std::ops::Range;

use crate::graph::dim::joined;
use crate::graph::ops::{Attention, Mask, Unseeing};
use crate::graph::{Dim, Graph, Live, Node, Op, Tensor, ValueId};
use crate::tensor::DType;

use limit::{Limit, limit};
use scores::{Change, Scores};

/// Runs the pass, and counts the products that became attention.
pub(super) fn fuse(graph: &mut Graph) -> usize {
    let uses = graph.use_counts();
    let made = fuse_nodes(graph, &uses);
    if made > 0 {
        Live::keep(graph);
    }
    made
}

/// Fuses within the graph's nodes, then within each block as if its nodes were the graph's.
fn fuse_nodes(graph: &mut Graph, uses: &[u32]) -> usize {
    let mut made = 0;
    let mut parts = Parts::new(std::mem::take(&mut graph.nodes), uses);
    for i in 0..parts.nodes.len() {
        let Some(found) = parts.attention(graph, i) else { continue };
        let before = parts.lift(&found.scores.lifted);
        // What is built meanwhile is collected in the graph.
        let built = parts.build(graph, i, &found);
        let mut nodes = std::mem::take(&mut graph.nodes);
        if built.is_none() {
            parts.lift(&before);
            // One of them may have been made just now, and is dropped.
            parts.masks.clear();
        }
        if built.is_some()
            && let Some(last) = nodes.pop()
        {
            made += 1;
            parts.nodes[i] = last;
            parts.before.insert(i, nodes);
        }
    }
    graph.nodes = parts.finish();
    for i in 0..graph.nodes.len() {
        if graph.nodes[i].op.blocks().next().is_none() {
            continue;
        }
        let mut node = graph.nodes[i].clone();
        for block in node.op.blocks_mut() {
            let outer = std::mem::replace(&mut graph.nodes, std::mem::take(&mut block.nodes));
            made += fuse_nodes(graph, uses);
            block.nodes = std::mem::replace(&mut graph.nodes, outer);
        }
        graph.nodes[i] = node;
    }
    made
}

/// The nodes of one block while some of them are replaced.
struct Parts<'u> {
    nodes: Vec<Node>,
    /// Where each value is written.
    writers: HashMap<ValueId, usize>,
    /// The first node that reads each value.
    readers: HashMap<ValueId, usize>,
    uses: &'u [u32],
    /// What comes before a node that was replaced.
    before: HashMap<usize, Vec<Node>>,
    /// Nodes whose results others give now.
    gone: Vec<usize>,
    /// Masks made of conditions, by condition, which side is kept, and the bits of the other.
    masks: HashMap<(ValueId, bool, u32), ValueId>,
}

/// A product that is attention.
struct Found {
    scores: Scores,
    unseeing: Unseeing,
    /// Shape of the weights as the product sees them.
    weights: Vec<Dim>,
    v: Operand,
    /// The product has the transposed result.
    turned: bool,
}

/// A value, or the one with its last two axes exchanged.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Operand {
    value: ValueId,
    turned: bool,
}

impl<'u> Parts<'u> {
    fn new(nodes: Vec<Node>, uses: &'u [u32]) -> Self {
        let (mut writers, mut readers) = (HashMap::new(), HashMap::new());
        for (i, node) in nodes.iter().enumerate() {
            node.outputs.iter().flatten().for_each(|v| {
                writers.insert(*v, i);
            });
            node.each_read(&mut |v| {
                readers.entry(v).or_insert(i);
            });
        }
        let (before, masks) = (HashMap::new(), HashMap::new());
        Self { nodes, writers, readers, uses, before, gone: Vec::new(), masks }
    }

    fn finish(mut self) -> Vec<Node> {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for (i, node) in self.nodes.into_iter().enumerate() {
            nodes.extend(self.before.remove(&i).into_iter().flatten());
            if !self.gone.contains(&i) {
                nodes.push(node);
            }
        }
        nodes
    }

    /// The node that writes a value here.
    fn maker(&self, v: ValueId) -> Option<&Node> {
        self.writers.get(&v).map(|i| &self.nodes[*i])
    }

    fn has_readers(&self, v: ValueId, count: u32) -> bool {
        self.uses.get(v.0 as usize) == Some(&count)
    }

    /// Lets nodes read other values: the ones they read before.
    fn lift(&mut self, reads: &[(usize, ValueId)]) -> Vec<(usize, ValueId)> {
        let mut before = Vec::new();
        for (node, value) in reads {
            before.extend(self.nodes[*node].inputs[0].replace(*value).map(|v| (*node, v)));
        }
        before
    }

    /// What node `i` is, if it is the second product of attention.
    fn attention(&self, graph: &Graph, i: usize) -> Option<Found> {
        let node = &self.nodes[i];
        let (Op::MatMul, [Some(a), Some(b)]) = (&node.op, &node.inputs[..]) else { return None };
        let y = node.outputs[0]?;
        let matrices = [*a, *b, y].into_iter().all(|v| graph.value(v).shape.len() >= 2);
        if !matrices || graph.value(y).dtype != DType::F32 {
            return None;
        }
        let plain = || {
            let v = Operand { value: *b, turned: false };
            self.found(graph, *a, v, false)
        };
        plain().or_else(|| {
            let weights = self.transposed(graph, *b).filter(|_| self.has_readers(*b, 1))?;
            self.found(graph, weights, Operand { value: *a, turned: true }, true)
        })
    }

    fn found(&self, graph: &Graph, weights: ValueId, v: Operand, turned: bool) -> Option<Found> {
        // A constant is packed for a product once and for all.
        if graph.value(v.value).constant.is_some() {
            return None;
        }
        let softmax = self.weights(graph, weights)?;
        let scores = self.scores(graph, softmax.scores)?;
        let constant = |operand: Operand| graph.value(operand.value).constant.is_some();
        let unseeing = match softmax.emptied {
            Some(emptied) if !self.empties(graph, emptied, &scores.changes) => return None,
            Some(_) => Unseeing::Zero,
            None => softmax.unseeing,
        };
        let weights = graph.value(weights).shape.clone();
        let suits = !constant(scores.k) && scores.changes.len() <= Attention::MASKS;
        suits.then_some(Found { scores, unseeing, weights, v, turned })
    }

    /// Adds the nodes that compute what node `i` does; the last of them gives its result.
    fn build(&mut self, graph: &mut Graph, i: usize, found: &Found) -> Option<()> {
        let (scores, name) = (&found.scores, self.nodes[i].name.clone());
        let result = self.nodes[i].outputs[0]?;
        let mut make = Maker { parts: self, graph, name: &name };
        let outer = |shape: &[Dim]| shape[..shape.len() - 2].to_vec();
        let product = outer(&make.graph.value(scores.product).shape);
        let weights = outer(&found.weights);
        let changed = scores.target.as_ref().map_or_else(|| product.clone(), |shape| outer(shape));
        // Axes that the scores join for their masks stay apart: keys may be broadcast along them.
        let apart = joined(&product, &changed).filter(|_| product == weights);
        let target = if apart.is_some() { &product } else { &changed };
        let (mut q, mut k, mut v) =
            (make.natural(scores.q)?, make.natural(scores.k)?, make.natural(found.v)?);
        (q, k) = (make.regroup(q, &product, target)?, make.regroup(k, &product, target)?);
        v = make.regroup(v, &weights, target)?;
        let mut masks = Vec::new();
        let mut op = Attention {
            scale: scores.scale as f32,
            softcap: scores.softcap.unwrap_or(0.0) as f32,
            masks: Vec::new(),
            causal: None,
            unseeing: found.unseeing,
        };
        for (at, change) in scores.changes.iter().enumerate() {
            let (kind, mask) = make.mask(*change)?;
            let added_to = |change: &Change| matches!(change, Change::Add(_));
            let is_last = scores.changes[at + 1..].iter().all(added_to);
            match limit(make.graph.value(mask).constant.as_ref(), make.score_extents(q, k)) {
                Some(Limit::Nothing) => {}
                Some(Limit::Causal { offset, infinite })
                    if op.causal.is_none()
                        && (infinite && is_last || scores.changes.len() == 1) =>
                {
                    op.causal = Some(Dim::Fixed(offset));
                }
                _ => {
                    op.masks.push(kind);
                    masks.push(make.split(mask, &product, apart.as_deref())?);
                }
            }
        }
        let mut y = make.grouped(op, [q, k, v], &masks)?;
        if found.turned {
            y = make.add(Op::Transpose { perm: swap(make.graph.value(y).shape.len()) }, &[y])?;
        }
        let shape = make.graph.value(result).shape.clone();
        if make.graph.value(y).shape != shape {
            // A reader that takes the axes of the target up again finds them.
            let reader = make.parts.readers.get(&result).copied();
            let again = reader.filter(|_| make.parts.has_readers(result, 1)).filter(|j| {
                let node = &make.parts.nodes[*j];
                let given = node.outputs.first().copied().flatten();
                matches!(node.op, Op::Reshape { .. })
                    && given.is_some_and(|g| make.graph.value(g).shape == make.graph.value(y).shape)
            });
            if let Some(j) = again {
                let outputs = make.parts.nodes[j].outputs.clone();
                outputs.iter().flatten().for_each(|v| {
                    make.parts.writers.insert(*v, i);
                });
                make.parts.gone.push(j);
                make.graph.nodes.last_mut()?.outputs = outputs;
                return Some(());
            }
            make.add(Op::Reshape { shape }, &[y])?;
        }
        make.graph.nodes.last_mut()?.outputs = vec![Some(result)];
        Some(())
    }

    /// What `v` is the transpose of, in the last two axes.
    fn transposed(&self, graph: &Graph, v: ValueId) -> Option<ValueId> {
        let node = self.maker(v)?;
        let Op::Transpose { perm } = &node.op else { return None };
        let rank = graph.value(v).shape.len();
        (rank >= 2 && *perm == swap(rank)).then(|| node.inputs[0])?
    }

    /// Whether `v` is another under a shape with the same last two axes: which.
    fn regrouped(&self, graph: &Graph, v: ValueId) -> Option<ValueId> {
        let node = self.maker(v).filter(|node| matches!(node.op, Op::Reshape { .. }))?;
        let from = node.inputs[0]?;
        let (a, b) = (&graph.value(from).shape, &graph.value(v).shape);
        (a.len() >= 2 && b.len() >= 2 && a[a.len() - 2..] == b[b.len() - 2..]).then_some(from)
    }
}

/// All axes in their order but for the last two.
fn swap(rank: usize) -> Vec<usize> {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    perm
}

/// Adds nodes to the graph, whose nodes are no others meanwhile.
struct Maker<'a, 'u> {
    parts: &'a mut Parts<'u>,
    graph: &'a mut Graph,
    name: &'a str,
}

impl Maker<'_, '_> {
    fn add(&mut self, op: Op, inputs: &[ValueId]) -> Option<ValueId> {
        let inputs: Vec<Option<ValueId>> = inputs.iter().copied().map(Some).collect();
        self.graph.add_node(self.name, op, &inputs, &[]).ok()?.into_iter().next()
    }

    /// `v` under another shape.
    fn reshaped(&mut self, v: ValueId, shape: Vec<Dim>) -> Option<ValueId> {
        if self.graph.value(v).shape == shape {
            return Some(v);
        }
        let before = self.parts.regrouped(self.graph, v);
        if let Some(before) = before.filter(|v| self.graph.value(*v).shape == shape) {
            return Some(before);
        }
        self.add(Op::Reshape { shape }, &[v])
    }

    /// An operand as a value, without a transpose where there was none before.
    fn natural(&mut self, operand: Operand) -> Option<ValueId> {
        if !operand.turned {
            return Some(operand.value);
        }
        if let Some(v) = self.parts.transposed(self.graph, operand.value) {
            return Some(v);
        }
        if let Some(before) = self.parts.regrouped(self.graph, operand.value)
            && let Some(v) = self.parts.transposed(self.graph, before)
        {
            let mut shape = self.graph.value(operand.value).shape.clone();
            let n = shape.len();
            shape.swap(n - 2, n - 1);
            return self.reshaped(v, shape);
        }
        let perm = swap(self.graph.value(operand.value).shape.len());
        self.add(Op::Transpose { perm }, &[operand.value])
    }

    /// `v`, whose axes before the last two are `from`, with `to` in their place.
    fn regroup(&mut self, v: ValueId, from: &[Dim], to: &[Dim]) -> Option<ValueId> {
        if from == to {
            return Some(v);
        }
        let shape = &self.graph.value(v).shape;
        let (batch, matrix) = shape.split_at(shape.len() - 2);
        if batch != from {
            return None;
        }
        let shape = [to, matrix].concat();
        self.reshaped(v, shape)
    }

    /// A mask with the axes before its last two taken apart, each into a range of axes of `batch`.
    fn split(
        &mut self,
        mask: ValueId,
        batch: &[Dim],
        apart: Option<&[Range<usize>]>,
    ) -> Option<ValueId> {
        let shape = self.graph.value(mask).shape.clone();
        let (Some(apart), Some(outer)) = (apart, shape.len().checked_sub(2)) else {
            return Some(mask);
        };
        let apart = &apart[apart.len().checked_sub(outer)?..];
        let each = shape[..outer].iter().zip(apart).flat_map(|(extent, axes)| {
            let one = extent.is(1);
            axes.clone().map(move |axis| if one { Dim::Fixed(1) } else { batch[axis].clone() })
        });
        let shape = each.chain(shape[outer..].iter().cloned()).collect();
        self.reshaped(mask, shape)
    }

    /// Numbers of queries and keys, where they are known.
    fn score_extents(&self, q: ValueId, k: ValueId) -> Option<[usize; 2]> {
        let rows = |v: ValueId| {
            let shape = &self.graph.value(v).shape;
            usize::try_from(shape[shape.len() - 2].fixed()?).ok()
        };
        Some([rows(q)?, rows(k)?])
    }

    /// A change of scores as a mask.
    fn mask(&mut self, change: Change) -> Option<(Mask, ValueId)> {
        let (condition, keep, fill) = match change {
            Change::Add(mask) => return Some((Mask::Add, mask)),
            Change::Choose { condition, keep, fill } => (condition, keep, fill),
        };
        let key = (condition, keep, fill.to_bits());
        if let Some(mask) = self.parts.masks.get(&key) {
            return Some((Mask::Replace, *mask));
        }
        let mask = match &self.graph.value(condition).constant {
            Some(tensor) => {
                let value = |kept: &u8| if (*kept != 0) == keep { 0.0 } else { fill };
                let data: Vec<f32> = tensor.bytes().iter().map(value).collect();
                let mask = Tensor::new(tensor.shape(), &data);
                self.graph.add_constant("mask", mask)
            }
            None => {
                let zero = self.graph.add_constant("zero", Tensor::scalar(0.0f32));
                let fill = self.graph.add_constant("masked", Tensor::scalar(fill));
                let [yes, no] = if keep { [zero, fill] } else { [fill, zero] };
                self.add(Op::Where, &[condition, yes, no])?
            }
        };
        self.parts.masks.insert(key, mask);
        Some((Mask::Replace, mask))
    }
}

#[cfg(test)]
mod tests;
