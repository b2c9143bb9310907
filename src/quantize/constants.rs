//! Values of a model that no input decides.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::model::{Model, output};
use crate::graph::Tensor;
use crate::load::{self, Options};
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto};
use crate::onnx::tensor_of;
use crate::runtime::Session;

/// Element types that weights may have: f32, f16, bf16 and f64 by their numbers in the file.
const FLOATS: [i32; 4] = [1, 10, 16, 11];

/// The constants of a model, those that are computed included.
pub(super) struct Constants<'m> {
    model: &'m Model,
    initializers: HashMap<&'m str, &'m TensorProto>,
    /// The node that gives a value.
    givers: HashMap<&'m str, usize>,
    /// The nodes that read a value; none for whoever reads it otherwise, a body or an output.
    readers: HashMap<&'m str, Vec<Option<usize>>>,
    known: RefCell<HashMap<String, Option<Tensor>>>,
}

impl<'m> Constants<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        let graph = model.graph();
        let initializers = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
        let (mut givers, mut readers) = (HashMap::new(), HashMap::<&str, Vec<_>>::new());
        for (i, node) in graph.node.iter().enumerate() {
            givers.extend(node.output.iter().map(|name| (name.as_str(), i)));
            node.input.iter().for_each(|name| readers.entry(name).or_default().push(Some(i)));
            let bodies = node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs));
            bodies.for_each(|body| reads_of(body, &mut readers));
        }
        for info in &graph.output {
            readers.entry(&info.name).or_default().push(None);
        }
        Self { model, initializers, givers, readers, known: RefCell::default() }
    }

    /// The node at a position.
    pub(super) fn node(&self, i: usize) -> &'m NodeProto {
        &self.model.graph().node[i]
    }

    /// The only node that reads a value, if the value is nothing else.
    pub(super) fn only_reader(&self, name: &str) -> Option<usize> {
        match self.readers.get(name).map(Vec::as_slice) {
            Some([Some(only)]) => Some(*only),
            _ => None,
        }
    }

    /// The value, if it is constant and can be computed.
    pub(super) fn of(&self, name: &str) -> Option<Tensor> {
        if let Some(tensor) = self.initializers.get(name) {
            return tensor_of(tensor, None).ok();
        }
        if let Some(known) = self.known.borrow().get(name) {
            return known.clone();
        }
        let value = self.computed(name);
        self.known.borrow_mut().insert(name.to_owned(), value.clone());
        value
    }

    /// Runs the nodes that a value is computed by, if they need no input.
    fn computed(&self, name: &str) -> Option<Tensor> {
        let graph = self.model.graph();
        let (mut nodes, mut constants) = (HashSet::new(), HashSet::new());
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            if self.initializers.contains_key(name) {
                constants.insert(name);
                continue;
            }
            let i = *self.givers.get(name)?;
            let node = self.node(i);
            // What a body takes from around it is not among the node's inputs.
            let has_body = node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty());
            let is_random = node.op_type.starts_with("Random")
                || matches!(&node.op_type[..], "Bernoulli" | "Multinomial" | "Dropout");
            if has_body || is_random {
                return None;
            }
            if nodes.insert(i) {
                open.extend(node.input.iter().map(String::as_str).filter(|name| !name.is_empty()));
            }
        }
        let mut order: Vec<usize> = nodes.into_iter().collect();
        order.sort_unstable();
        let initializer = graph.initializer.iter().filter(|t| constants.contains(&t.name[..]));
        let mut proto = self.model.proto.clone();
        proto.graph = Some(GraphProto {
            node: order.iter().map(|i| graph.node[*i].clone()).collect(),
            initializer: initializer.cloned().collect(),
            ..GraphProto::default()
        });
        let program = FLOATS.iter().find_map(|elem_type| {
            proto.graph.as_mut()?.output = vec![output(name, *elem_type)];
            load::from_bytes(&self.model.encode(&proto).ok()?, &Options::new()).ok()
        })?;
        let mut session = Session::new(&program).ok()?;
        session.run().ok()?;
        let dtype = program.outputs().next()?.dtype;
        let shape = session.output_shape(0).ok()?;
        Some(Tensor::from_bytes(dtype, &shape, session.output_bytes(0).ok()?))
    }
}

/// Marks what a body reads, its own values included.
fn reads_of<'m>(body: &'m GraphProto, readers: &mut HashMap<&'m str, Vec<Option<usize>>>) {
    let outputs = body.output.iter().map(|info| info.name.as_str());
    let inputs = body.node.iter().flat_map(|node| node.input.iter().map(String::as_str));
    for name in outputs.chain(inputs) {
        readers.entry(name).or_default().push(None);
    }
    for node in &body.node {
        let bodies = node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs));
        bodies.for_each(|body| reads_of(body, readers));
    }
}
