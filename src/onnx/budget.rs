//! Memory that reading a model takes, counted as it grows.

use super::error::ImportError;
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use super::scan;
use super::tensor::declared_bytes;

/// Memory that loading takes where nobody says otherwise.
pub const DEFAULT_MAX_MEMORY: u64 = 2 << 30;
/// What a model may take for each byte of its file and of the data beside it, and whatever its
/// size.
const MEMORY_PER_BYTE: u64 = 256;
const FREE_BYTES: u64 = 256 << 20;
/// What a node of the graph takes, its names and values included.
const NODE_BYTES: u64 = 1 << 10;

/// An account with a limit.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    spent: u64,
    /// Bytes of the file, and what they may become.
    file: u64,
    proportion: u64,
    /// The constant that takes most.
    largest: Option<(String, u64)>,
}

impl Budget {
    /// An account with the file on it.
    ///
    /// **Errors**: a file that would become more once decoded than it may.
    pub(super) fn open(file: &[u8], limit: u64) -> Result<Self, ImportError> {
        let len = file.len() as u64;
        let proportion = len.saturating_mul(MEMORY_PER_BYTE).saturating_add(FREE_BYTES);
        let mut budget = Self { limit, spent: 0, file: len, proportion, largest: None };
        budget.spend(len.saturating_add(scan::decoded_bytes(file)));
        budget.check()?;
        Ok(budget)
    }

    /// Refuses data in other files that would pass the limit, before any of it is read.
    pub(super) fn external(&mut self, model: &ModelProto) -> Result<(), ImportError> {
        let mut tensors = Vec::new();
        if let Some(graph) = &model.graph {
            of_graph(graph, &mut tensors);
        }
        for function in &model.functions {
            of_nodes(&function.node, &mut tensors);
            function.attribute_proto.iter().for_each(|a| of_attribute(a, &mut tensors));
        }
        let before = self.spent;
        for tensor in tensors.into_iter().filter(|tensor| tensor.data_location == 1) {
            let bytes = declared_bytes(tensor);
            self.grant(bytes);
            self.constant(&tensor.name, bytes);
        }
        self.check()?;
        // Each is taken on the account again when it is read.
        self.spent = before;
        Ok(())
    }

    /// Lets the model take so much more: its data lie elsewhere, and are as long.
    pub(super) fn grant(&mut self, bytes: u64) {
        self.proportion = self.proportion.saturating_add(bytes.saturating_mul(MEMORY_PER_BYTE));
    }

    fn spend(&mut self, bytes: u64) {
        self.spent = self.spent.saturating_add(bytes);
    }

    /// A constant that is there now.
    pub(super) fn constant(&mut self, name: &str, bytes: u64) {
        self.spend(bytes);
        if self.largest.as_ref().is_none_or(|(_, most)| bytes > *most) {
            self.largest = Some((name.to_owned(), bytes));
        }
    }

    /// A node that is there now.
    pub(super) fn node(&mut self) {
        self.spend(NODE_BYTES);
    }

    /// What may still be taken.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.limit.min(self.proportion).saturating_sub(self.spent))
            .unwrap_or(usize::MAX)
    }

    /// An error if the limit is passed.
    pub(super) fn check(&self) -> Result<(), ImportError> {
        if self.spent <= self.limit.min(self.proportion) {
            return Ok(());
        }
        if self.spent <= self.limit {
            let (file, spent) = (self.file, self.spent);
            return Err(ImportError::Decode(format!(
                "its {file} bytes describe what takes {spent}, out of all proportion"
            )));
        }
        let largest = self.largest.as_ref().filter(|(_, bytes)| *bytes > self.spent / 16);
        Err(ImportError::Memory {
            needed: self.spent,
            limit: self.limit,
            largest: largest.cloned(),
        })
    }
}

fn of_graph<'m>(graph: &'m GraphProto, found: &mut Vec<&'m TensorProto>) {
    found.extend(&graph.initializer);
    let sparse = graph.sparse_initializer.iter();
    found.extend(sparse.flat_map(|s| s.values.iter().chain(&s.indices)));
    of_nodes(&graph.node, found);
}

fn of_nodes<'m>(nodes: &'m [NodeProto], found: &mut Vec<&'m TensorProto>) {
    for attribute in nodes.iter().flat_map(|node| &node.attribute) {
        of_attribute(attribute, found);
    }
}

/// Graphs in attributes nest no deeper than the decoder allows.
fn of_attribute<'m>(attribute: &'m AttributeProto, found: &mut Vec<&'m TensorProto>) {
    found.extend(attribute.t.iter().chain(&attribute.tensors));
    let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors);
    found.extend(sparse.flat_map(|s| s.values.iter().chain(&s.indices)));
    attribute.g.iter().chain(&attribute.graphs).for_each(|g| of_graph(g, found));
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn empty_messages_are_refused() {
        let field = |tag: u8, inner: &[u8]| {
            let mut bytes = vec![tag << 3 | 2];
            prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
            bytes.extend_from_slice(inner);
            bytes
        };
        // A model's graph of one node with attributes of two bytes each.
        let attributes = field(5, &[]).repeat(1 << 19);
        let file = field(7, &field(1, &attributes));
        let few = ModelProto::decode(&field(7, &field(1, &attributes[..20]))[..]);
        let nodes = few.expect("a model").graph.expect("a graph").node;
        assert_eq!(nodes[0].attribute.len(), 10);
        let error = Budget::open(&file, u64::MAX).expect_err("is refused").to_string();
        assert!(error.contains("describe what takes"), "{error}");
    }
}
