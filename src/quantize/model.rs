//! A float model as it is in its file.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use super::error::QuantizeError;
use crate::onnx::proto::{
    AttributeType, GraphProto, ModelProto, NodeProto, TensorProto, TensorType, TypeProto,
    TypeValue, ValueInfoProto,
};
use crate::onnx::{DEFAULT_MAX_MEMORY, message, tensor_of};

/// The most bytes of a protobuf message.
const MAX_BYTES: usize = i32::MAX as usize;

/// A float model, with all its constants.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) proto: ModelProto,
    /// Fields of the file that [`ModelProto`] lacks, as they were: what a producer says of it.
    rest: Vec<u8>,
    file_bytes: usize,
}

impl Model {
    /// Reads an ONNX file. External data is read from the file's folder.
    ///
    /// **Errors**: the file cannot be read, or is no model.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, QuantizeError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|source| QuantizeError::Io { path: path.to_owned(), source })?;
        Self::read(bytes.into(), Some(path.parent().unwrap_or(Path::new(""))))
    }

    /// Reads an ONNX model in memory. External data is refused.
    ///
    /// **Errors**: the bytes are no model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, QuantizeError> {
        Self::read(Bytes::copy_from_slice(bytes), None)
    }

    fn read(bytes: Bytes, folder: Option<&Path>) -> Result<Self, QuantizeError> {
        let mut proto = message(bytes.clone(), DEFAULT_MAX_MEMORY)?;
        let mut file_bytes = bytes.len();
        let graph = proto.graph.get_or_insert_default();
        for tensor in graph.initializer.iter_mut().filter(|tensor| tensor.data_location == 1) {
            let decoded = tensor_of(tensor, folder)?;
            file_bytes += decoded.bytes().len();
            *tensor = raw(&tensor.name, tensor.data_type, &tensor.dims, decoded.bytes());
        }
        for node in &graph.node {
            for tensor in node.attribute.iter().filter_map(|attribute| attribute.t.as_ref()) {
                if tensor.data_location == 1 {
                    return Err(QuantizeError::Nothing(format!(
                        "the constant of {:?} lies in another file: save the model in one piece",
                        node_name(node)
                    )));
                }
            }
        }
        hoist_constants(graph);
        Ok(Self { rest: unknown_fields(&bytes), proto, file_bytes })
    }

    /// Bytes of its files.
    pub fn file_bytes(&self) -> usize {
        self.file_bytes
    }

    /// The names of its inputs, without those that are constants.
    pub fn input_names(&self) -> impl Iterator<Item = &str> {
        self.inputs().map(|info| info.name.as_str())
    }

    /// The file of a graph in place of this model's.
    pub(super) fn encode(&self, proto: &ModelProto) -> Result<Vec<u8>, QuantizeError> {
        let bytes = proto.encoded_len() + self.rest.len();
        if bytes > MAX_BYTES {
            return Err(QuantizeError::TooLarge { bytes });
        }
        let mut file = proto.encode_to_vec();
        file.extend_from_slice(&self.rest);
        Ok(file)
    }

    /// The file of this model, with its constants in it.
    ///
    /// **Errors**: more than 2 GiB, the most that a file of the format has.
    pub fn to_bytes(&self) -> Result<Vec<u8>, QuantizeError> {
        self.encode(&self.proto)
    }

    pub(super) fn graph(&self) -> &GraphProto {
        static EMPTY: GraphProto = GraphProto {
            node: Vec::new(),
            name: String::new(),
            initializer: Vec::new(),
            sparse_initializer: Vec::new(),
            input: Vec::new(),
            output: Vec::new(),
        };
        self.proto.graph.as_ref().unwrap_or(&EMPTY)
    }

    /// Inputs that are no constants.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &ValueInfoProto> {
        let constants: HashSet<&str> =
            self.graph().initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        self.graph().input.iter().filter(move |info| !constants.contains(info.name.as_str()))
    }

    /// The version of the standard operators.
    pub(super) fn opset(&self) -> i64 {
        let sets = self.proto.opset_import.iter();
        let standard = sets.filter(|set| set.domain.is_empty() || set.domain == "ai.onnx");
        standard.map(|set| set.version).max().unwrap_or(1)
    }

    /// Fails on a model with quantized operators.
    pub(super) fn refuse_quantized(&self) -> Result<(), QuantizeError> {
        let is_quantized = |node: &&NodeProto| {
            let op = node.op_type.as_str();
            op.starts_with("QLinear")
                || matches!(
                    op,
                    "QuantizeLinear"
                        | "DequantizeLinear"
                        | "DynamicQuantizeLinear"
                        | "MatMulInteger"
                        | "ConvInteger"
                        | "DynamicQuantizeLSTM"
                        | "DynamicQuantizeMatMul"
                        | "MatMulIntegerToFloat"
                        | "MatMulNBits"
                        | "QGemm"
                        | "QAttention"
                )
        };
        match self.graph().node.iter().find(is_quantized) {
            Some(node) => Err(QuantizeError::Quantized { op: node.op_type.clone() }),
            None => Ok(()),
        }
    }
}

/// What errors and reports call a node.
pub(super) fn node_name(node: &NodeProto) -> &str {
    let output = node.output.iter().find(|name| !name.is_empty());
    if node.name.is_empty() { output.map_or("", |name| name) } else { &node.name }
}

/// An output of a type and any shape.
pub(super) fn output(name: &str, elem_type: i32) -> ValueInfoProto {
    let tensor = TensorType { elem_type, shape: None };
    let r#type = Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) });
    ValueInfoProto { name: name.to_owned(), r#type }
}

/// A constant of raw bytes.
pub(super) fn raw(name: &str, data_type: i32, dims: &[i64], bytes: &[u8]) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type,
        name: name.to_owned(),
        raw_data: Some(Bytes::copy_from_slice(bytes)),
        ..TensorProto::default()
    }
}

/// Makes constants of the nodes that are one, so that there is one kind of them.
fn hoist_constants(graph: &mut GraphProto) {
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        let tensor = match (&node.op_type[..], &mut node.attribute[..], &node.output[..]) {
            ("Constant", [value], [output]) if value.r#type == AttributeType::Tensor as i32 => {
                value.t.take().map(|tensor| TensorProto { name: output.clone(), ..tensor })
            }
            _ => None,
        };
        match tensor {
            Some(tensor) => graph.initializer.push(tensor),
            None => nodes.push(node),
        }
    }
    graph.node = nodes;
}

/// The top-level fields of a model's file that the messages of the engine leave out.
fn unknown_fields(mut bytes: &[u8]) -> Vec<u8> {
    const KNOWN: [u64; 5] = [1, 2, 7, 8, 25];
    /// Training graphs speak of nodes and constants that may be gone.
    const TRAINING: u64 = 20;
    let mut rest = Vec::new();
    while !bytes.is_empty() {
        let start = bytes;
        let Some(key) = varint(&mut bytes) else { break };
        let len = match key & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut bytes),
            5 => Some(4),
            _ => None,
        };
        let Some(after) = len.and_then(|len| bytes.get(usize::try_from(len).ok()?..)) else {
            break;
        };
        bytes = after;
        if !KNOWN.contains(&(key >> 3)) && key >> 3 != TRAINING {
            rest.extend_from_slice(&start[..start.len() - bytes.len()]);
        }
    }
    rest
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
