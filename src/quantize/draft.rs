//! A graph in the making: new nodes before and in the place of old ones, new constants.

use std::collections::{HashMap, HashSet};

use super::error::QuantizeError;
use super::model::{Model, raw};
use super::opset;
use crate::onnx::proto::{
    AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto,
};

/// Element types by their numbers in the file.
pub(super) mod code {
    pub(in super::super) const F32: i32 = 1;
    pub(in super::super) const U8: i32 = 2;
    pub(in super::super) const I8: i32 = 3;
    pub(in super::super) const I32: i32 = 6;
    pub(in super::super) const I64: i32 = 7;
    pub(in super::super) const I4: i32 = 22;
}

/// The domain of ONNX Runtime's own operators.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// A model that is being rewritten.
pub(super) struct Draft<'m> {
    model: &'m Model,
    /// For each old node what stands before it.
    before: HashMap<usize, Vec<NodeProto>>,
    /// What stands in its place.
    instead: HashMap<usize, Vec<NodeProto>>,
    constants: Vec<TensorProto>,
    taken: HashSet<String>,
    /// Values that were made, by what they are made of.
    made: HashMap<String, Vec<String>>,
    /// The operator set that the new nodes need.
    opset: i64,
    uses_microsoft: bool,
}

impl<'m> Draft<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        let graph = model.graph();
        let mut taken = HashSet::new();
        names(graph, &mut taken);
        Self {
            model,
            before: HashMap::new(),
            instead: HashMap::new(),
            constants: Vec::new(),
            taken,
            made: HashMap::new(),
            opset: 1,
            uses_microsoft: false,
        }
    }

    /// The node at a position, as it was.
    pub(super) fn node(&self, i: usize) -> &'m NodeProto {
        &self.model.graph().node[i]
    }

    /// A name like this one that nothing has.
    pub(super) fn name(&mut self, like: &str) -> String {
        let mut name = like.to_owned();
        for i in 1.. {
            if !self.taken.contains(&name) {
                break;
            }
            name = format!("{like}_{i}");
        }
        self.taken.insert(name.clone());
        name
    }

    /// Says that the new nodes need this version of the standard operators.
    pub(super) fn needs(&mut self, opset: i64) {
        self.opset = self.opset.max(opset);
    }

    /// A new constant; its name.
    pub(super) fn constant(
        &mut self,
        like: &str,
        data_type: i32,
        dims: &[usize],
        bytes: &[u8],
    ) -> String {
        let name = self.name(like);
        let dims: Vec<i64> = dims.iter().map(|n| *n as i64).collect();
        self.constants.push(raw(&name, data_type, &dims, bytes));
        name
    }

    pub(super) fn floats(&mut self, like: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(like, code::F32, dims, &bytes)
    }

    /// The names that `make` gave for this key the first time.
    pub(super) fn once(
        &mut self,
        key: &str,
        make: impl FnOnce(&mut Self) -> Vec<String>,
    ) -> Vec<String> {
        if let Some(made) = self.made.get(key) {
            return made.clone();
        }
        let made = make(self);
        self.made.insert(key.to_owned(), made.clone());
        made
    }

    /// Puts a node before the old node at a position.
    pub(super) fn put_before(&mut self, at: usize, node: NodeProto) {
        self.before.entry(at).or_default().push(node);
    }

    /// Puts a node in the place of the old node at a position, behind those put there already.
    pub(super) fn put_instead(&mut self, at: usize, node: NodeProto) {
        self.uses_microsoft |= node.domain == MICROSOFT;
        self.instead.entry(at).or_default().push(node);
    }

    /// The old node with other inputs in some places. An Einsum that is a layer is a product, and
    /// becomes one, which runtimes know in integers.
    pub(super) fn with_inputs(&self, at: usize, inputs: &[(usize, &str)]) -> NodeProto {
        let mut node = self.node(at).clone();
        if node.op_type == "Einsum" {
            node.op_type = "MatMul".to_owned();
            node.attribute.clear();
        }
        for (i, name) in inputs {
            if let Some(slot) = node.input.get_mut(*i) {
                (*name).clone_into(slot);
            }
        }
        node
    }

    /// The file.
    pub(super) fn finish(mut self, ranks: &opset::Ranks) -> Result<Vec<u8>, QuantizeError> {
        let has = self.model.opset();
        let mut proto = self.model.proto.clone();
        let mut graph = proto.graph.take().unwrap_or_default();
        let old = std::mem::take(&mut graph.node);
        for (i, node) in old.into_iter().enumerate() {
            graph.node.extend(self.before.remove(&i).into_iter().flatten());
            match self.instead.remove(&i) {
                Some(nodes) => graph.node.extend(nodes),
                None => graph.node.push(node),
            }
        }
        graph.initializer.append(&mut self.constants);
        if self.opset > has {
            opset::raise(&mut graph, &proto.functions, has, self.opset, ranks)?;
        }
        sweep(&mut graph);
        set_versions(&mut proto, &mut graph, self.opset.max(has), self.uses_microsoft);
        proto.graph = Some(graph);
        self.model.encode(&proto)
    }
}

/// Versions of the format and of its operators that go together.
fn set_versions(proto: &mut ModelProto, graph: &mut GraphProto, opset: i64, microsoft: bool) {
    /// (operator set, version of the format that came with it), where the new nodes need it.
    const FORMATS: [(i64, i64); 4] = [(21, 10), (13, 7), (11, 6), (10, 5)];
    let format = FORMATS.iter().find(|(set, _)| opset >= *set).map_or(4, |(_, format)| *format);
    if proto.ir_version < 4 {
        // Constants had to be inputs, too.
        let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        graph.input.retain(|info| !constants.contains(info.name.as_str()));
    }
    proto.ir_version = proto.ir_version.max(format);
    for set in &mut proto.opset_import {
        if set.domain.is_empty() || set.domain == "ai.onnx" {
            set.version = opset;
        }
    }
    if microsoft && !proto.opset_import.iter().any(|set| set.domain == MICROSOFT) {
        proto.opset_import.push(OperatorSetIdProto { domain: MICROSOFT.to_owned(), version: 1 });
    }
}

/// Leaves out nodes and constants that nobody reads, and with a constant the input of its name.
fn sweep(graph: &mut GraphProto) {
    let mut read: HashSet<String> = graph.output.iter().map(|info| info.name.clone()).collect();
    let mut kept = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|name| read.contains(name)) {
            read.extend(node.input.iter().cloned());
            for body in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
                names(body, &mut read);
            }
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    let mut gone = HashSet::new();
    graph.initializer.retain(|tensor| {
        let keep = read.contains(&tensor.name);
        if !keep {
            gone.insert(tensor.name.clone());
        }
        keep
    });
    graph.input.retain(|info| !gone.contains(&info.name));
}

/// Every name in a graph and its bodies.
fn names(graph: &GraphProto, into: &mut HashSet<String>) {
    into.extend(graph.input.iter().chain(&graph.output).map(|info| info.name.clone()));
    into.extend(graph.initializer.iter().map(|tensor| tensor.name.clone()));
    for sparse in &graph.sparse_initializer {
        into.extend(sparse.values.iter().map(|values| values.name.clone()));
    }
    for node in &graph.node {
        into.extend(node.input.iter().chain(&node.output).cloned());
        into.insert(node.name.clone());
        for body in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
            names(body, into);
        }
    }
}

/// A node of the standard operators.
pub(super) fn node(op: &str, inputs: &[&str], outputs: &[&str], name: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: outputs.iter().map(|name| (*name).to_owned()).collect(),
        name: name.to_owned(),
        op_type: op.to_owned(),
        ..NodeProto::default()
    }
}

/// An integer attribute.
pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    let r#type = AttributeType::Int as i32;
    AttributeProto { name: name.to_owned(), r#type, i, ..AttributeProto::default() }
}
