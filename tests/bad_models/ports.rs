//! Inputs, outputs and constants that cannot be used as they are declared, and problems of a whole
//! model, told at once.

use nowcast::onnx::{self, proto};
use prost::Message;
use proto::{
    ElementType, GraphProto, ModelProto, SegmentProto, SparseTensorProto, TensorProto, TypeProto,
    TypeValue, ValueInfoProto,
};

use super::fixture::*;
use super::{refused, through};

/// The model through Exp, changed.
fn changed(change: impl FnOnce(&mut GraphProto)) -> ModelProto {
    let mut model = through(vec![node("Exp", &["x"], &["y"])], vec![]);
    change(model.graph.as_mut().unwrap());
    model
}

#[test]
fn declarations() {
    let kind = |value| Some(TypeProto { value });
    let no_type = changed(|g| g.input[0].r#type = None);
    assert_eq!(refused(&no_type), "input \"x\" has no declared type; export the model again");
    let element = ElementType { elem_type: None };
    let sequence =
        changed(|g| g.input[0].r#type = kind(Some(TypeValue::Sequence(Box::new(element)))));
    assert_eq!(refused(&sequence), "input \"x\" is a sequence; only dense tensors are supported");
    let no_shape = changed(|g| {
        let value = g.input[0].r#type.as_mut().and_then(|t| t.value.as_mut());
        let Some(TypeValue::Tensor(tensor)) = value else { panic!("a tensor") };
        tensor.shape = None;
    });
    assert_eq!(refused(&no_shape), "input \"x\" declares no shape; give it one with --input-shape");
    let again = |info: &ValueInfoProto| info.clone();
    let twice = changed(|g| g.input.push(again(&g.input[0])));
    assert_eq!(refused(&twice), "input \"x\" is declared twice");
    let twice = changed(|g| g.output.push(again(&g.output[0])));
    assert_eq!(refused(&twice), "output \"y\" is declared twice");
    let none = changed(|g| g.output.clear());
    assert_eq!(refused(&none), "output \"\" is missing: the graph declares none");
}

#[test]
fn constants() {
    let with = |tensor: TensorProto| refused(&changed(|g| g.initializer.push(tensor)));
    let segment = Some(SegmentProto { begin: 0, end: 1 });
    assert_eq!(
        with(TensorProto { segment, ..floats("w", &[1], &[1.0]) }),
        "tensor \"w\": it is stored in segments; save it in one piece"
    );
    assert_eq!(
        with(TensorProto { data_location: 7, ..floats("w", &[1], &[1.0]) }),
        "tensor \"w\": the data location 7 is unknown"
    );
    let two = changed(|g| g.initializer.extend([numbers("w", &[1]), numbers("w", &[2])]));
    assert_eq!(refused(&two), "tensor \"w\": the model holds two of this name");
}

#[test]
fn sparse_constants() {
    let with = |values: Option<TensorProto>, indices: Option<TensorProto>, dims: &[i64]| {
        let sparse = SparseTensorProto { values, indices, dims: dims.to_vec() };
        refused(&changed(|g| g.sparse_initializer.push(sparse)))
    };
    let values = || Some(floats("w", &[1], &[1.0]));
    assert_eq!(with(None, None, &[4]), "tensor \"\": a sparse tensor needs values and indices");
    assert_eq!(
        with(values(), Some(numbers("", &[4])), &[4]),
        "tensor \"w\": an index lies outside the shape [4]"
    );
    assert_eq!(
        with(values(), Some(numbers("", &[0, 1])), &[4]),
        "tensor \"w\": indices [2] do not fit 1 values"
    );
    assert_eq!(
        with(values(), Some(floats("", &[1], &[0.0])), &[4]),
        "tensor \"w\": the indices are f32, not i64"
    );
    assert_eq!(
        with(values(), Some(numbers("", &[0])), &[1 << 40]),
        "tensor \"w\": its dense form of 4398046511104 bytes is too large"
    );
}

#[test]
fn operators_in_bodies_too() {
    // A branch that is not taken may hold anything; where the model is refused, all is named.
    let inner = |op: &str| {
        let mut custom = node(op, &["x"], &["r"]);
        custom.domain = "com.example".into();
        GraphProto {
            node: vec![custom],
            output: vec![port("r", F32, &[])],
            ..GraphProto::default()
        }
    };
    let attributes = vec![graph("then_branch", inner("Fast")), graph("else_branch", inner("Slow"))];
    let mut custom = node("Fancy", &["x"], &["b"]);
    custom.domain = "com.example".into();
    let flag =
        TensorProto { data_type: BOOL, int32_data: vec![1], dims: vec![], ..numbers("c", &[]) };
    let nodes = vec![custom, node_with("If", &["c"], &["y"], attributes)];
    let model = through(nodes, vec![flag]);
    assert_eq!(
        refused(&model),
        "the model uses operators that are not supported: com.example.Fancy (1 x), \
         com.example.Fast (1 x), com.example.Slow (1 x)"
    );
    let survey = onnx::survey(&model.encode_to_vec()).unwrap();
    let named = |op: &str| survey.operators.iter().find(|o| o.op == op).unwrap();
    assert!(named("If").is_supported && !named("Slow").is_supported);
    assert_eq!(survey.inputs, ["x f32[2, 3]"]);
}

#[test]
fn element_types_at_once() {
    let text = |name: &str| TensorProto { data_type: 8, ..floats(name, &[1], &[]) };
    let model = changed(|g| g.initializer.extend([text("a"), text("b"), text("c")]));
    assert_eq!(
        refused(&model),
        "tensor \"a\" [likewise tensor \"b\": string, tensor \"c\": string] is string, which is not \
         supported; export the model with float32, float64, bool or integers of 8 to 64 bits"
    );
}

#[test]
fn memory() {
    let weights = vec![floats("w", &[1 << 16], &vec![0.0; 1 << 16])];
    let model = through(vec![node("Add", &["x", "w"], &["y"])], weights);
    let bindings = nowcast::graph::Bindings { max_memory: Some(1 << 20), ..Default::default() };
    let text = super::refused_with(&model, &bindings);
    assert_eq!(
        text,
        "reading the model takes more than the 1.0 MiB that are allowed; allow more with \
         --max-memory (Options::max_memory)"
    );
}
