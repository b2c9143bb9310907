//! Questions that passes ask of a list of nodes, and the rewriting of one of its nodes.
//!
//! A [`Scope`] is the graph's own list, or that of a block: [`each_list`] puts every one of them
//! in the place of the graph's. A pattern begins at the node that it will rewrite, the last of
//! those it looks for, and asks back who made each operand. What it finds may have other readers:
//! the rewritten node stands where it stood and gives what it gave, and only nodes that nobody
//! reads any more go.

use std::collections::HashMap;

use crate::graph::ops::{Binary, Reduce, ReduceKind, Unary};
use crate::graph::{Dim, Graph, Node, Op, Tensor, ValueId};
use crate::tensor::{DType, Rounding, narrow, widen};

/// Runs `pass` on the graph's nodes, then on those of each block, and adds up what it returns.
pub(super) fn each_list(graph: &mut Graph, pass: &mut dyn FnMut(&mut Scope<'_>) -> usize) -> usize {
    let mut uses = graph.use_counts();
    walk(graph, &mut uses, pass)
}

fn walk(
    graph: &mut Graph,
    uses: &mut Vec<u32>,
    pass: &mut dyn FnMut(&mut Scope<'_>) -> usize,
) -> usize {
    let mut scope = Scope::new(graph, std::mem::take(uses));
    let mut rewritten = pass(&mut scope);
    *uses = scope.finish();
    for i in 0..graph.nodes.len() {
        if graph.nodes[i].op.blocks().next().is_none() {
            continue;
        }
        let mut node = graph.nodes[i].clone();
        for block in node.op.blocks_mut() {
            let outer = std::mem::replace(&mut graph.nodes, std::mem::take(&mut block.nodes));
            rewritten += walk(graph, uses, pass);
            block.nodes = std::mem::replace(&mut graph.nodes, outer);
        }
        graph.nodes[i] = node;
    }
    rewritten
}

/// Both orders of the operands of an operator that commutes.
pub(super) fn orders<T: Copy>([a, b]: [T; 2]) -> [(T, T); 2] {
    [(a, b), (b, a)]
}

/// Whether a constant is the number that a formula has there: exporters write irrational ones
/// with five digits or more, or in the type of a model of 16 bits.
pub(super) fn near(found: f64, wanted: f64) -> bool {
    let rounded = |dtype| f64::from(widen(dtype, narrow(dtype, wanted, Rounding::default())));
    (found - wanted).abs() <= 1e-5 * wanted.abs()
        || [DType::F16, DType::BF16].into_iter().any(|dtype| rounded(dtype) == found)
}

/// A reduction, as somebody reads it.
pub(super) struct Reduced {
    pub(super) kind: ReduceKind,
    pub(super) axes: Vec<usize>,
    /// What is reduced.
    pub(super) of: ValueId,
    /// The logarithm of the result is meant.
    pub(super) log: bool,
}

/// A list of nodes, with who makes and who reads each value.
pub(super) struct Scope<'g> {
    /// The graph, whose nodes are those of the list.
    pub(super) graph: &'g mut Graph,
    makers: HashMap<ValueId, usize>,
    /// Readers in the list, once for each operand.
    readers: HashMap<ValueId, Vec<usize>>,
    /// Readings of each value, those in other lists and by outputs included.
    uses: Vec<u32>,
}

impl<'g> Scope<'g> {
    fn new(graph: &'g mut Graph, uses: Vec<u32>) -> Self {
        let (mut makers, mut readers) = (HashMap::new(), HashMap::<_, Vec<usize>>::new());
        for (i, node) in graph.nodes.iter().enumerate() {
            node.outputs.iter().flatten().for_each(|v| {
                makers.insert(*v, i);
            });
            node.inputs.iter().flatten().for_each(|v| readers.entry(*v).or_default().push(i));
        }
        Self { graph, makers, readers, uses }
    }

    /// Drops the nodes that nobody needs.
    fn finish(self) -> Vec<u32> {
        let Self { graph, uses, .. } = self;
        // A node without results, or with blocks, may set dimensions.
        let needed = |node: &Node| {
            let sets = node.outputs.is_empty() || node.op.blocks().next().is_some();
            sets || node.outputs.iter().any(Option::is_some)
        };
        graph.nodes.retain(needed);
        uses
    }

    /// How many nodes the list has, in topological order.
    pub(super) fn len(&self) -> usize {
        self.graph.nodes.len()
    }

    /// Node `i`.
    pub(super) fn node(&self, i: usize) -> &Node {
        &self.graph.nodes[i]
    }

    /// Operand `at` of a node.
    pub(super) fn operand(&self, i: usize, at: usize) -> Option<ValueId> {
        self.node(i).inputs.get(at).copied().flatten()
    }

    /// The first result of node `i`, where somebody reads it.
    pub(super) fn result(&self, i: usize) -> Option<ValueId> {
        self.node(i).outputs.first().copied().flatten()
    }

    /// The shape of a value.
    pub(super) fn shape(&self, v: ValueId) -> &[Dim] {
        &self.graph.value(v).shape
    }

    /// Whether two values have the same shape.
    pub(super) fn same_shape(&self, a: ValueId, b: ValueId) -> bool {
        self.shape(a) == self.shape(b)
    }

    /// Whether a value is of f32.
    pub(super) fn is_f32(&self, v: ValueId) -> bool {
        self.graph.value(v).dtype == DType::F32
    }

    /// The node of the list that makes a value.
    pub(super) fn maker(&self, v: ValueId) -> Option<usize> {
        self.makers.get(&v).copied()
    }

    /// The node whose first result the value is.
    pub(super) fn made(&self, v: ValueId) -> Option<&Node> {
        self.maker(v).map(|i| self.node(i)).filter(|node| node.outputs[0] == Some(v))
    }

    /// The nodes of the list that read a value, once for each operand.
    pub(super) fn readers(&self, v: ValueId) -> &[usize] {
        self.readers.get(&v).map_or(&[], Vec::as_slice)
    }

    /// How often a value is read, wherever that is.
    pub(super) fn uses(&self, v: ValueId) -> usize {
        self.uses.get(v.0 as usize).map_or(0, |uses| *uses as usize)
    }

    /// The one node that reads a value once, if nothing between it and node `i` sets dimensions or
    /// decides what runs.
    pub(super) fn follower(&self, i: usize, v: ValueId) -> Option<usize> {
        let &[reader] = self.readers(v) else { return None };
        let sole = self.uses.get(v.0 as usize) == Some(&1) && reader > i;
        let barrier = |node: &Node| node.outputs.is_empty() || node.op.blocks().next().is_some();
        (sole && !self.graph.nodes[i..=reader].iter().any(barrier)).then_some(reader)
    }

    /// How many nodes would go if node `i` read these values instead of its operands.
    pub(super) fn freed_by(&self, i: usize, kept: &[ValueId]) -> usize {
        let mut left = HashMap::<ValueId, u32>::new();
        let mut pending: Vec<ValueId> = self.node(i).inputs.iter().flatten().copied().collect();
        let mut freed = 0;
        while let Some(v) = pending.pop() {
            let left = left.entry(v).or_insert(self.uses[v.0 as usize]);
            *left = left.saturating_sub(1);
            let Some(maker) = self.maker(v).filter(|_| *left == 0 && !kept.contains(&v)) else {
                continue;
            };
            let node = self.node(maker);
            if node.op.blocks().next().is_none() && node.outputs.iter().flatten().count() == 1 {
                freed += 1;
                pending.extend(node.inputs.iter().flatten());
            }
        }
        freed
    }

    /// The data of a constant.
    pub(super) fn constant(&self, v: ValueId) -> Option<&Tensor> {
        self.graph.value(v).constant.as_ref()
    }

    /// The one number that all elements of a value of f32 or f64 are.
    pub(super) fn number(&self, v: ValueId) -> Option<f64> {
        if !self.graph.value(v).dtype.is_float() {
            return None;
        }
        if let Some(tensor) = self.constant(v) {
            let len = tensor.dtype().bytes();
            let (first, rest) = tensor.bytes().split_at_checked(len)?;
            let same = rest.chunks_exact(len).all(|x| x == first);
            return match first {
                _ if !same => None,
                [a, b, c, d] => Some(f32::from_le_bytes([*a, *b, *c, *d]).into()),
                _ => Some(f64::from_le_bytes(first.try_into().ok()?)),
            };
        }
        let node = self.made(v)?;
        match &node.op {
            Op::Expand { .. } | Op::Fill { .. } | Op::Reshape { .. } => {
                self.number((*node.inputs.first()?)?)
            }
            _ => None,
        }
    }

    /// The operand, where the value is this function of it.
    pub(super) fn unary(&self, v: ValueId, op: Unary) -> Option<ValueId> {
        match self.made(v)? {
            node if node.op == Op::Unary(op) => node.inputs[0],
            _ => None,
        }
    }

    /// The operands, where the value is made of them by this operator.
    pub(super) fn binary(&self, v: ValueId, op: Binary) -> Option<[ValueId; 2]> {
        match self.made(v)? {
            node if node.op == Op::Binary(op) => Some([node.inputs[0]?, node.inputs[1]?]),
            _ => None,
        }
    }

    /// The reduction that a value is, spread over `shape`: with or without the reduced axes, and
    /// with a logarithm on the way.
    pub(super) fn reduced(&self, v: ValueId, shape: &[Dim]) -> Option<Reduced> {
        let (mut at, mut log, mut path) = (v, false, Vec::new());
        loop {
            let node = self.made(at)?;
            path.push(at);
            let operand = (*node.inputs.first()?)?;
            match &node.op {
                Op::Reshape { .. } | Op::Expand { .. } | Op::Unary(Unary::Identity) => {}
                Op::Unary(Unary::Log) if !log => log = true,
                Op::Reduce(Reduce { kind, axes, .. }) if self.shape(operand) == shape => {
                    let found = Reduced { kind: *kind, axes: axes.clone(), of: operand, log };
                    return self.spreads(&found.axes, shape, &path).then_some(found);
                }
                _ => return None,
            }
            at = operand;
        }
    }

    /// Whether each of these values, made one from the next, holds what is left of `shape` once
    /// `axes` are reduced, and the first of them meets `shape` as it should.
    fn spreads(&self, axes: &[usize], shape: &[Dim], path: &[ValueId]) -> bool {
        let kept: Vec<Dim> = (0..shape.len())
            .map(|i| if axes.contains(&i) { Dim::Fixed(1) } else { shape[i].clone() })
            .collect();
        let counts = |dim: &&Dim| !dim.is(1);
        let squeezed = |shape: &[Dim]| shape.iter().filter(counts).eq(kept.iter().filter(counts));
        path.iter().enumerate().all(|(i, v)| {
            let found = self.shape(*v);
            let is_whole = |next: &ValueId| self.shape(*next) == kept || self.shape(*next) == shape;
            match i {
                0 => found == kept || found == shape && path.get(1).is_some_and(is_whole),
                // Only what lies behind the spreading may be whole.
                _ if found == shape && found != kept => path.get(i + 1).is_some_and(is_whole),
                _ => squeezed(found),
            }
        })
    }

    /// Makes node `i` compute its results by another operator from other operands. Nodes that
    /// only it has read lose their results, and go.
    pub(super) fn rewrite(&mut self, i: usize, op: Op, inputs: Vec<Option<ValueId>>) {
        for v in inputs.iter().flatten() {
            self.read(*v, i);
        }
        let node = &mut self.graph.nodes[i];
        node.op = op;
        let old = std::mem::replace(&mut node.inputs, inputs);
        self.release(i, old);
    }

    /// Lets the nodes of the list read `x` where they read `y`, which is the same; whether some
    /// did. The node that makes `y` goes, unless it is read elsewhere as well.
    pub(super) fn read_instead(&mut self, y: ValueId, x: ValueId) -> bool {
        let readers = self.readers.get(&y).cloned().unwrap_or_default();
        for &reader in &readers {
            let node = &mut self.graph.nodes[reader];
            if let Some(at) = node.inputs.iter().position(|v| *v == Some(y)) {
                node.inputs[at] = Some(x);
                self.read(x, reader);
                self.release(reader, vec![Some(y)]);
            }
        }
        !readers.is_empty()
    }

    fn read(&mut self, v: ValueId, reader: usize) {
        let len = self.uses.len().max(self.graph.values.len());
        self.uses.resize(len, 0);
        self.uses[v.0 as usize] += 1;
        self.readers.entry(v).or_default().push(reader);
    }

    /// Node `i` no longer reads these.
    fn release(&mut self, i: usize, operands: Vec<Option<ValueId>>) {
        let mut pending: Vec<(usize, ValueId)> =
            operands.into_iter().flatten().map(|v| (i, v)).collect();
        while let Some((reader, v)) = pending.pop() {
            let readers = self.readers.entry(v).or_default();
            if let Some(at) = readers.iter().position(|r| *r == reader) {
                readers.swap_remove(at);
            }
            self.uses[v.0 as usize] = self.uses[v.0 as usize].saturating_sub(1);
            let Some(maker) = self.maker(v).filter(|_| self.uses[v.0 as usize] == 0) else {
                continue;
            };
            let uses = &self.uses;
            let node = &mut self.graph.nodes[maker];
            let read = |v: &ValueId| uses[v.0 as usize] > 0;
            if node.op.blocks().next().is_some() || node.outputs.iter().flatten().any(read) {
                continue;
            }
            node.outputs.fill(None);
            let operands = std::mem::take(&mut node.inputs);
            pending.extend(operands.into_iter().flatten().map(|v| (maker, v)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Fact, Port};

    fn graph() -> (Graph, ValueId) {
        let mut graph = Graph::default();
        let x = graph.add_value("x", &Fact { dtype: DType::F32, shape: vec![Dim::Fixed(3)] });
        graph.inputs.push(Port { name: "x".into(), value: x });
        (graph, x)
    }

    fn unary(graph: &mut Graph, op: Unary, x: ValueId) -> ValueId {
        graph.add_node("node", Op::Unary(op), &[Some(x)], &[]).expect("suits")[0]
    }

    #[test]
    fn nodes_that_only_a_rewritten_one_read_go() {
        let (mut graph, x) = graph();
        let a = unary(&mut graph, Unary::Exp, x);
        let b = unary(&mut graph, Unary::Neg, a);
        let c = unary(&mut graph, Unary::Abs, b);
        let kept = unary(&mut graph, Unary::Sqrt, a);
        for (name, value) in [("c", c), ("kept", kept)] {
            graph.outputs.push(Port { name: name.into(), value });
        }
        let count = each_list(&mut graph, &mut |scope| {
            assert_eq!(scope.readers(a), [1, 3]);
            assert_eq!(scope.freed_by(2, &[x]), 1);
            scope.rewrite(2, Op::Unary(Unary::Tanh), vec![Some(x)]);
            assert_eq!(scope.readers(a), [3]);
            1
        });
        assert_eq!(count, 1);
        let names: Vec<_> = graph.nodes.iter().map(|node| node.op.name()).collect();
        assert_eq!(names, ["Exp", "Tanh", "Sqrt"]);
        assert_eq!(graph.nodes[1].outputs, [Some(c)]);
    }
}
