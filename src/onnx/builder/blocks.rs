//! Blocks of nodes under construction, ways back, and sequences.

use std::collections::{BTreeMap, BTreeSet};

use super::Builder;
use crate::graph::{Dim, Fact, Node, ValueId};
use crate::tensor::DType;

/// The nodes around a block.
pub(super) struct Outer {
    /// The first value that is the block's.
    first: u32,
    nodes: Vec<Node>,
}

/// A state of the builder to go back to.
pub(in crate::onnx) struct Mark {
    values: usize,
    variables: usize,
    /// Nodes of each block that is open, the innermost last.
    nodes: Vec<usize>,
    known: BTreeMap<ValueId, Vec<Dim>>,
    pending: BTreeSet<ValueId>,
    sequences: BTreeMap<ValueId, Option<Vec<ValueId>>>,
}

impl Builder<'_> {
    /// Begins a block: nodes that are added from now on are its own.
    pub(in crate::onnx) fn open_block(&mut self) {
        let first = self.graph.values.len() as u32;
        self.outer.push(Outer { first, nodes: std::mem::take(&mut self.graph.nodes) });
    }

    /// Ends a block: its nodes.
    pub(in crate::onnx) fn close_block(&mut self) -> Vec<Node> {
        let Some(outer) = self.outer.pop() else { return Vec::new() };
        self.forget_derived(outer.first);
        std::mem::replace(&mut self.graph.nodes, outer.nodes)
    }

    /// Conversions and positions of values from `first` on, or that are such values, cannot be
    /// used any more.
    fn forget_derived(&mut self, first: u32) {
        self.wide.retain(|from, to| from.0 < first && to.0 < first);
        self.rounded.retain(|(from, _), to| from.0 < first && to.0 < first);
        self.positions.retain(|of, at| of.0 < first && at.0 < first);
    }

    /// The nodes among which a value belongs: those of the block that it was made in.
    pub(super) fn nodes_around(&mut self, id: ValueId) -> &mut Vec<Node> {
        match self.outer.iter_mut().find(|outer| outer.first > id.0) {
            Some(outer) => &mut outer.nodes,
            None => &mut self.graph.nodes,
        }
    }

    /// Nodes from the outermost block to the present one.
    pub(super) fn all_nodes(&self) -> impl DoubleEndedIterator<Item = &Node> {
        self.outer.iter().flat_map(|outer| &outer.nodes).chain(&self.graph.nodes)
    }

    /// The present state.
    pub(in crate::onnx) fn mark(&self) -> Mark {
        let nodes = self.outer.iter().map(|outer| outer.nodes.len());
        Mark {
            values: self.graph.values.len(),
            variables: self.graph.variables.len(),
            nodes: nodes.chain([self.graph.nodes.len()]).collect(),
            known: self.known.clone(),
            pending: self.pending.clone(),
            sequences: self.sequences.clone(),
        }
    }

    /// Forgets what was added since.
    pub(in crate::onnx) fn go_back(&mut self, mark: Mark) {
        while self.outer.len() >= mark.nodes.len() {
            self.close_block();
        }
        let lists = self.outer.iter_mut().map(|outer| &mut outer.nodes);
        for (list, len) in lists.chain([&mut self.graph.nodes]).zip(mark.nodes) {
            list.truncate(len);
        }
        let first = mark.values as u32;
        self.forget_derived(first);
        self.ratios.retain(|id, _| id.0 < first);
        self.stacks.retain(|id, _| id.0 < first);
        self.texts.forget(first);
        self.graph.values.truncate(mark.values);
        self.graph.variables.truncate(mark.variables);
        self.known = mark.known;
        self.pending = mark.pending;
        self.sequences = mark.sequences;
    }

    /// The elements of a sequence.
    pub(in crate::onnx) fn sequence(&self, id: ValueId) -> Option<&[ValueId]> {
        self.sequences.get(&id)?.as_deref()
    }

    /// Whether a value is an optional one that is not there.
    pub(in crate::onnx) fn is_absent(&self, id: ValueId) -> bool {
        self.sequences.get(&id).is_some_and(Option::is_none)
    }

    /// Whether a value is neither a sequence nor absent.
    pub(in crate::onnx) fn is_tensor(&self, id: ValueId) -> bool {
        !self.sequences.contains_key(&id) && !self.stacks.contains_key(&id)
    }

    /// The elements of a sequence of open length, along the first axis.
    pub(in crate::onnx) fn stack(&self, id: ValueId) -> Option<ValueId> {
        self.stacks.get(&id).copied()
    }

    /// Adds a sequence of open length, from its elements along the first axis.
    pub(in crate::onnx) fn add_stack(&mut self, name: &str, elements: ValueId) -> ValueId {
        let dtype = self.fact(elements).dtype;
        let id = self.graph.add_value(name, &Fact { dtype, shape: Vec::new() });
        self.stacks.insert(id, elements);
        id
    }

    /// Adds an optional value that is not there.
    pub(in crate::onnx) fn add_absent(&mut self, name: &str) -> ValueId {
        let id = self.graph.add_value(name, &Fact { dtype: DType::F32, shape: Vec::new() });
        self.sequences.insert(id, None);
        id
    }

    /// Adds a sequence.
    pub(in crate::onnx) fn add_sequence(&mut self, name: &str, elements: Vec<ValueId>) -> ValueId {
        let dtype = elements.first().map_or(DType::F32, |id| self.fact(*id).dtype);
        let id = self.graph.add_value(name, &Fact { dtype, shape: Vec::new() });
        self.sequences.insert(id, Some(elements));
        id
    }
}
