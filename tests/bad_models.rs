//! Bad model files: each gives an error that says what and where; none crashes or hangs.
//!
//! The models are built here, field by field, so that nothing but this file says what is wrong
//! with them.

#[path = "bad_models/classical.rs"]
mod classical;
#[path = "bad_models/external.rs"]
mod external;
#[path = "../src/onnx/fixture.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the unit tests")]
mod fixture;
#[path = "bad_models/foreign.rs"]
mod foreign;
#[path = "bad_models/hostile.rs"]
mod hostile;
#[path = "bad_models/ports.rs"]
mod ports;

use fixture::*;
use nowcast::graph::{Bindings, Extent, Graph, Tensor};
use nowcast::onnx::{ImportError, import, proto};
use prost::Message;
use proto::{ModelProto, NodeProto, TensorProto};

fn load_with(model: &ModelProto, bindings: &Bindings) -> Result<Graph, ImportError> {
    import(&model.encode_to_vec(), None, bindings, &mut |_, _, _| None)
}

/// The error's text.
fn refused(model: &ModelProto) -> String {
    refused_with(model, &Bindings::default())
}

fn refused_with(model: &ModelProto, bindings: &Bindings) -> String {
    match load_with(model, bindings) {
        Err(error) => error.to_string(),
        Ok(graph) => panic!("accepted:\n{graph}"),
    }
}

/// `x` (f32 `[2, 3]`) to `y` through these nodes.
fn through(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> ModelProto {
    let (x, y) = (port("x", F32, &["2", "3"]), port("y", F32, &[]));
    model(17, body(vec![x], constants, nodes, vec![y]))
}

#[test]
fn not_a_model() {
    let fail = |bytes: &[u8]| {
        import(bytes, None, &Bindings::default(), &mut |_, _, _| None).unwrap_err().to_string()
    };
    let empty = ModelProto { ir_version: 8, ..ModelProto::default() }.encode_to_vec();
    assert_eq!(fail(&empty), "the file holds no graph; check that it is an ONNX model");
    assert!(fail(b"\x89PNG\r\n\x1a\n").starts_with("this is not an ONNX model ("));
    let whole = through(vec![node("Exp", &["x"], &["y"])], vec![]).encode_to_vec();
    for len in 0..whole.len() {
        fail(&whole[..len]);
    }
}

#[test]
fn versions() {
    let mut old = through(vec![node("Exp", &["x"], &["y"])], vec![]);
    old.opset_import[0].version = 99;
    assert_eq!(
        refused(&old),
        "operator set \"\": version 99 is not supported; export the model with a version from 1 to 28"
    );
    old.opset_import.clear();
    assert_eq!(
        refused(&old),
        "operator set \"\": nodes use it, but the model does not declare its version"
    );
}

/// Of operators whose operands are looked at before anything else.
#[test]
fn weights_without_axes() {
    let byte = |name: &str| TensorProto {
        name: name.into(),
        data_type: 2,
        raw_data: Some(vec![7].into()),
        ..TensorProto::default()
    };
    for inputs in [&["x", "w"][..], &["x", "w", "zero"], &["w", "w"], &["x", "w", "zero", "zero"]] {
        let x = port("x", 2, &["1", "1", "3", "3"]);
        let nodes = vec![node("ConvInteger", inputs, &["y"])];
        let constants = vec![byte("w"), byte("zero")];
        let model = model(17, body(vec![x], constants, nodes, vec![port("y", 6, &[])]));
        let error = refused(&model);
        assert!(error.contains("ConvInteger"), "{error}");
    }
}

#[test]
fn names_of_values() {
    let exp = |from: &str, to: &str| node("Exp", &[from], &[to]);
    assert_eq!(
        refused(&through(vec![exp("weights", "y")], vec![])),
        "node #0 (Exp) reads \"weights\", which no input, constant or node of the graph gives"
    );
    let cycle = through(vec![exp("b", "a"), exp("a", "b"), exp("b", "y")], vec![]);
    assert_eq!(
        refused(&cycle),
        "node #0 (Exp) is part of a cycle: it reads \"b\", which depends on its own result"
    );
    let unsorted = through(vec![exp("a", "y"), exp("x", "a")], vec![]);
    assert_eq!(
        refused(&unsorted),
        "node #0 (Exp) reads \"a\" before the node that gives it; sort the nodes of the model"
    );
    let twice = through(vec![exp("x", "y"), exp("x", "y")], vec![]);
    assert_eq!(
        refused(&twice),
        "node #1 (Exp) gives \"y\" a second time; every value is written once"
    );
    let nothing = through(vec![exp("x", "z")], vec![]);
    assert_eq!(refused(&nothing), "output \"y\" is given by no node of the graph");
}

#[test]
fn operators() {
    let mut custom = node("Fancy", &["x"], &["a"]);
    custom.domain = "com.example".into();
    let nodes = vec![
        custom,
        node("ImageDecoder", &["x"], &["b"]),
        node("ImageDecoder", &["x"], &["c"]),
        node("Exp", &["x"], &["y"]),
    ];
    assert_eq!(
        refused(&through(nodes, vec![])),
        "the model uses operators that are not supported: ImageDecoder (2 x), \
         com.example.Fancy (1 x)"
    );
    let unknown = node_with("Exp", &["x"], &["y"], vec![int("fast", 1)]);
    assert_eq!(
        refused(&through(vec![unknown], vec![])),
        "node #0 (Exp): attribute fast is not known in operator set 17"
    );
    let mut named = node_with("Gelu", &["x"], &["y"], vec![string("approximate", "quick")]);
    named.name = "act".into();
    assert_eq!(
        refused(&through(vec![named], vec![])),
        "node \"act\" (Gelu): attribute approximate is \"quick\", not none or tanh"
    );
    let kind = node_with("Gather", &["x", "i"], &["y"], vec![ints("axis", &[0])]);
    assert_eq!(
        refused(&through(vec![kind], vec![numbers("i", &[0])])),
        "node #0 (Gather): attribute axis is of kind Ints, expected Int"
    );
    let far = node_with("Gather", &["x", "i"], &["y"], vec![int("axis", i64::MIN)]);
    assert_eq!(
        refused(&through(vec![far], vec![numbers("i", &[0])])),
        format!("node #0 (Gather): there is no axis {} in rank 2", i64::MIN)
    );
    let many = node("Exp", &["x", "x"], &["y"]);
    assert_eq!(
        refused(&through(vec![many], vec![])),
        "node #0 (Exp): it has 2 inputs, 1 are known"
    );
    let few = node("Add", &["x"], &["y"]);
    assert_eq!(refused(&through(vec![few], vec![])), "node #0 (Add): input 1 is missing");
}

#[test]
fn shapes_and_types() {
    let weights = vec![floats("w", &[4, 5], &[0.0; 20])];
    assert_eq!(
        refused(&through(vec![node("MatMul", &["x", "w"], &["y"])], weights)),
        "node #0 (MatMul): no product of [2, 3] and [4, 5]"
    );
    assert_eq!(
        refused(&through(vec![node("Add", &["x", "i"], &["y"])], vec![numbers("i", &[1])])),
        "node #0 (Add): operands are f32 and i64, not of one type"
    );
    let target = vec![numbers("s", &[4, -1])];
    assert_eq!(
        refused(&through(vec![node("Reshape", &["x", "s"], &["y"])], target)),
        "node #0 (Reshape): [2, 3] elements cannot take the shape [4, -1]"
    );
    let complex = model(
        17,
        body(
            vec![port("x", 14, &["2"])],
            vec![],
            vec![node("Exp", &["x"], &["y"])],
            vec![port("y", 14, &["2"])],
        ),
    );
    assert_eq!(
        refused(&complex),
        "input \"x\" is complex64, which is not supported; export the model with floats, integers \
         or bool"
    );
    let other = model(
        17,
        body(
            vec![port("x", F32, &["2"])],
            vec![],
            vec![node("Exp", &["x"], &["y"])],
            vec![port("y", I64, &["2"])],
        ),
    );
    assert_eq!(refused(&other), "output \"y\" is declared i64, but computed as f32");
}

#[test]
fn constants() {
    let with = |tensor: TensorProto| {
        refused(&through(vec![node("Add", &["x", "w"], &["y"])], vec![tensor]))
    };
    assert_eq!(
        with(floats("w", &[2, 3], &[0.0; 5])),
        "tensor \"w\": the shape [2, 3] of f32 needs 6 elements, the file has 5"
    );
    let raw = TensorProto { raw_data: Some(vec![0; 9].into()), ..floats("w", &[3], &[]) };
    assert_eq!(with(raw), "tensor \"w\": the shape [3] of f32 needs 12 bytes, the file has 9");
    assert_eq!(with(floats("w", &[-1], &[])), "tensor \"w\": the shape [-1] has a negative extent");
    let huge = [i64::MAX, i64::MAX];
    assert_eq!(
        with(floats("w", &huge, &[])),
        format!("tensor \"w\": the shape {huge:?} is larger than memory can be")
    );
    let narrow = TensorProto {
        data_type: U8,
        int32_data: vec![300],
        float_data: vec![],
        ..floats("w", &[1], &[])
    };
    assert_eq!(with(narrow), "tensor \"w\": the element 300 is no u8");
    let text = TensorProto { data_type: 8, ..floats("w", &[1], &[]) };
    assert_eq!(with(text), "tensor \"w\": the shape [1] needs 1 texts, the file has 0");
    let complex = TensorProto { data_type: 14, ..floats("w", &[1], &[]) };
    assert_eq!(
        with(complex),
        "tensor \"w\" is complex64, which is not supported; export the model with floats, integers \
         or bool"
    );
}

/// `x` (f32 `[b, ?]`) and `s` (i64 `[n]`), reshaped to `s`.
fn open_model() -> ModelProto {
    let inputs = vec![port("x", F32, &["b", "?"]), port("s", I64, &["2"])];
    let nodes = vec![node("Neg", &["s"], &["n"]), node("Reshape", &["x", "n"], &["y"])];
    model(17, body(inputs, vec![], nodes, vec![port("y", F32, &[])]))
}

#[test]
fn open_dimensions() {
    let mut bindings = Bindings::default();
    let fail = |bindings: &Bindings| refused_with(&open_model(), bindings);
    assert_eq!(
        fail(&bindings),
        "2 dimensions are open: b (axis 0 of input \"x\"), x.1 (axis 1 of input \"x\"); give each a \
         size with --dim b=N --dim x.1=N"
    );
    bindings.dims.insert("b".into(), Extent::Fixed(4));
    assert_eq!(fail(&bindings), "axis 1 of input \"x\" is open; give it a size with --dim x.1=N");
    bindings.dims.insert("x.1".into(), Extent::Range(1, 9));
    assert_eq!(
        fail(&bindings),
        "node #1 (Reshape): input \"n\" decides a shape but is computed at run time; whether the \
         extent n[0] is -1 is open: bound it (Options::value_range, or --value-range \
         n=MIN..MAX), or: it comes from the graph input \"s\": give that input a fixed value \
         (Options::bind_value, or --value s=FILE.npy)"
    );
    bindings.shapes.insert("x".into(), vec![5, 2]);
    assert_eq!(
        fail(&bindings),
        "dimension \"b\" is 4 by --dim b and 5 by the shape given for input \"x\", axis 0; make \
         them agree"
    );
    bindings.shapes.insert("x".into(), vec![4, 2, 1]);
    assert_eq!(fail(&bindings), "the shape given for input \"x\" has 3 axes, input \"x\" has 2");
    bindings.shapes.clear();
    bindings.dims.insert("x.1".into(), Extent::Range(3, 1));
    assert_eq!(fail(&bindings), "--dim x.1: 3..1 is no range of sizes");
    bindings.dims.insert("batch".into(), Extent::Fixed(1));
    assert_eq!(fail(&bindings), "there is no open dimension \"batch\"; the model has b, x.1");
}

#[test]
fn bound_values() {
    let mut bindings = Bindings::default();
    bindings.dims.insert("b".into(), Extent::Fixed(4));
    bindings.dims.insert("x.1".into(), Extent::Fixed(3));
    let fail = |name: &str, tensor: Tensor| {
        let mut bindings = bindings.clone();
        bindings.values.insert(name.into(), tensor);
        refused_with(&open_model(), &bindings)
    };
    assert_eq!(
        fail("s", Tensor::vector(&[1i32, 2])),
        "the value given for input \"s\" is i32, the model expects i64"
    );
    assert_eq!(
        fail("s", Tensor::vector(&[1i64])),
        "the value given for input \"s\" is 1 on axis 0, input \"s\" declares 2"
    );
    assert_eq!(
        fail("shape", Tensor::vector(&[1i64])),
        "there is no input \"shape\"; the model has s, x"
    );
    assert_eq!(
        fail("s", Tensor::vector(&[1i64, 2])),
        "node #1 (Reshape): the extent -2 is negative"
    );
}

#[test]
fn states() {
    let inputs = vec![port("x", F32, &["2", "1"]), port("past", F32, &["2", "p"])];
    let concat = node_with("Concat", &["past", "x"], &["present"], vec![int("axis", 1)]);
    let kinds = node_with("Cast", &["x"], &["whole"], vec![int("to", i64::from(I64))]);
    let outputs = vec![port("present", F32, &[]), port("whole", I64, &[])];
    let model = model(17, body(inputs, vec![], vec![concat, kinds], outputs));
    let fail = |extent: Extent, output: &str, input: &str| {
        let mut bindings = Bindings::default();
        bindings.dims.insert("p".into(), extent);
        bindings.states.push((output.into(), input.into()));
        refused_with(&model, &bindings)
    };
    assert_eq!(
        fail(Extent::Fixed(4), "present", "past"),
        "state \"present\" -> \"past\": the shapes differ, and not by one axis that grows over a \
         ranged dimension"
    );
    assert_eq!(
        fail(Extent::Range(0, 9), "whole", "past"),
        "state \"whole\" -> \"past\": the output is i64 of rank 2, the input f32 of rank 2"
    );
    assert_eq!(
        fail(Extent::Range(0, 9), "present", "cache"),
        "state \"present\" -> \"cache\": there is no input \"cache\"; the model has x, past"
    );
}
