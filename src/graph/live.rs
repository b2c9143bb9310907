//! What the outputs of a graph are computed from.

use super::dim::Dim;
use super::{Graph, Node, Op, ValueId};

/// Which values of a graph the outputs need.
#[derive(Clone, Debug)]
pub struct Live {
    /// For each value.
    pub values: Vec<bool>,
    /// For each variable: whether a dimension that is needed is computed from it.
    variables: Vec<bool>,
}

impl Live {
    /// Removes the nodes that no output needs, and marks results nobody reads.
    ///
    /// **Cost**: linear in the graph.
    pub fn keep(graph: &mut Graph) -> Self {
        let mut live = Self {
            values: vec![false; graph.values.len()],
            variables: vec![false; graph.variables.len()],
        };
        for port in &graph.outputs {
            live.need(graph, port.value);
        }
        let mut nodes = std::mem::take(&mut graph.nodes);
        live.keep_nodes(graph, &mut nodes);
        graph.nodes = nodes;
        live
    }

    /// Looks nodes through from the last one back.
    fn keep_nodes(&mut self, graph: &Graph, nodes: &mut Vec<Node>) {
        let mut kept = Vec::with_capacity(nodes.len());
        for mut node in std::mem::take(nodes).into_iter().rev() {
            if !self.is_needed(&node) {
                continue;
            }
            for output in &mut node.outputs {
                *output = output.filter(|id| self.values[id.0 as usize]);
            }
            node.release_results();
            self.need_node(graph, &node);
            for block in node.op.blocks_mut() {
                block.extents.retain(|(id, _)| self.variables[id.0 as usize]);
                block.extents.iter().for_each(|(_, dim)| self.need_dim(dim));
                block.results.iter().flatten().for_each(|id| self.need(graph, *id));
                self.keep_nodes(graph, &mut block.nodes);
            }
            kept.push(node);
        }
        kept.reverse();
        *nodes = kept;
    }

    /// Whether something needs a result of the node, or a dimension that it sets: a node that
    /// sets one comes before whatever uses it.
    fn is_needed(&self, node: &Node) -> bool {
        let is_used = |id: super::VarId| self.variables[id.0 as usize];
        let sets = match &node.op {
            Op::Measure(op) => op.numbers.iter().any(|(_, id)| is_used(*id)),
            Op::If(op) => op.then.extents.iter().any(|(id, _)| is_used(*id)),
            Op::Loop(op) => is_used(op.done),
            _ => false,
        };
        sets || node.outputs.iter().flatten().any(|id| self.values[id.0 as usize])
    }

    fn need_node(&mut self, graph: &Graph, node: &Node) {
        node.op.dims().into_iter().flatten().for_each(|dim| self.need_dim(dim));
        for id in node.inputs.iter().flatten() {
            self.need(graph, *id);
        }
        for id in node.outputs.iter().flatten() {
            graph.value(*id).shape.iter().for_each(|dim| self.need_dim(dim));
        }
        if let Op::Loop(op) = &node.op {
            op.carried.iter().for_each(|id| self.need(graph, *id));
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
