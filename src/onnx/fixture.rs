//! Small models, built field by field. Shared with `tests/bad_models.rs`.

use super::proto::{
    AttributeProto, AttributeType, DimensionProto, DimensionValue, GraphProto, ModelProto,
    NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue,
    ValueInfoProto,
};

/// Numbers of element types in the file format.
pub(crate) const F32: i32 = 1;
pub(crate) const U8: i32 = 2;
pub(crate) const I64: i32 = 7;
pub(crate) const BOOL: i32 = 9;

/// A node without a name.
pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect();
    NodeProto {
        op_type: op.to_owned(),
        input: names(inputs),
        output: names(outputs),
        ..NodeProto::default()
    }
}

/// A node with attributes.
pub(crate) fn node_with(
    op: &str,
    inputs: &[&str],
    outputs: &[&str],
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto { attribute, ..node(op, inputs, outputs) }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind as i32, ..AttributeProto::default() }
}

pub(crate) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, AttributeType::Int) }
}

pub(crate) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), ..attribute(name, AttributeType::Ints) }
}

pub(crate) fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto { s: s.as_bytes().to_vec(), ..attribute(name, AttributeType::String) }
}

pub(crate) fn graph(name: &str, g: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(g), ..attribute(name, AttributeType::Graph) }
}

/// An input or output; an axis is a number, a name, or `?` for neither.
pub(crate) fn port(name: &str, dtype: i32, axes: &[&str]) -> ValueInfoProto {
    let axis = |text: &&str| DimensionProto {
        value: match (text.parse(), *text) {
            (Ok(n), _) => Some(DimensionValue::Value(n)),
            (_, "?") => None,
            (_, name) => Some(DimensionValue::Param(name.to_owned())),
        },
    };
    let shape = TensorShapeProto { dim: axes.iter().map(axis).collect() };
    let tensor = TensorType { elem_type: dtype, shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) }),
    }
}

/// A constant of f32.
pub(crate) fn floats(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: F32,
        float_data: data.to_vec(),
        ..TensorProto::default()
    }
}

/// A vector of i64.
pub(crate) fn numbers(name: &str, data: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![data.len() as i64],
        data_type: I64,
        int64_data: data.to_vec(),
        ..TensorProto::default()
    }
}

/// A graph from its parts.
pub(crate) fn body(
    input: Vec<ValueInfoProto>,
    initializer: Vec<TensorProto>,
    node: Vec<NodeProto>,
    output: Vec<ValueInfoProto>,
) -> GraphProto {
    GraphProto { node, initializer, input, output, ..GraphProto::default() }
}

/// A model of the standard operator set in some version.
pub(crate) fn model(version: i64, graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version }],
        ..ModelProto::default()
    }
}
