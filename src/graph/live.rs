//! What the outputs of a graph are computed from.

use super::dim::Dim;
use super::{Graph, Node, Op, ValueId};

/// Which nodes and values of a graph the outputs need.
#[derive(Clone, Debug)]
pub struct Live {
    /// For each node.
    pub nodes: Vec<bool>,
    /// For each value.
    pub values: Vec<bool>,
    /// For each variable: whether a dimension that is needed is computed from it.
    variables: Vec<bool>,
}

impl Live {
    /// Looks a graph through, from its outputs back.
    ///
    /// **Cost**: linear in the graph.
    pub fn of(graph: &Graph) -> Self {
        let mut live = Self {
            nodes: vec![false; graph.nodes.len()],
            values: vec![false; graph.values.len()],
            variables: vec![false; graph.variables.len()],
        };
        for port in &graph.outputs {
            live.need(graph, port.value);
        }
        for (i, node) in graph.nodes.iter().enumerate().rev() {
            if live.is_needed(node) {
                live.nodes[i] = true;
                live.need_node(graph, node);
            }
        }
        live
    }

    fn is_needed(&self, node: &Node) -> bool {
        // A node that measures comes before whatever uses the dimension.
        if let Op::Measure(op) = &node.op {
            return op.numbers.iter().any(|(_, id)| self.variables[id.0 as usize]);
        }
        node.outputs.iter().flatten().any(|id| self.values[id.0 as usize])
    }

    fn need_node(&mut self, graph: &Graph, node: &Node) {
        node.op.dims().into_iter().flatten().for_each(|dim| self.need_dim(dim));
        for id in node.inputs.iter().flatten() {
            self.need(graph, *id);
        }
        for id in node.outputs.iter().flatten() {
            graph.value(*id).shape.iter().for_each(|dim| self.need_dim(dim));
        }
    }

    fn need(&mut self, graph: &Graph, id: ValueId) {
        if !std::mem::replace(&mut self.values[id.0 as usize], true) {
            graph.value(id).shape.iter().for_each(|dim| self.need_dim(dim));
        }
    }

    fn need_dim(&mut self, dim: &Dim) {
        dim.variables(&mut |id| self.variables[id.0 as usize] = true);
    }
}
