//! Files made to exhaust the stack, the memory or the patience of whoever reads them.

use std::time::{Duration, Instant};

use nowcast::graph::{Bindings, Extent};
use nowcast::onnx::{import, proto};
use proptest::prelude::*;
use prost::Message;
use proto::{FunctionProto, ModelProto, OperatorSetIdProto};

use super::fixture::*;
use super::{load_with, refused, through};

/// A length-delimited field.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![tag << 3 | 2];
    let mut len = bytes.len();
    while len >= 128 {
        out.push(len as u8 | 128);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(bytes);
    out
}

#[test]
fn nested_graphs() {
    let mut graph = Vec::new();
    for _ in 0..5_000 {
        // Graph, its node, the node's attribute, the attribute's graph.
        graph = field(1, &field(5, &field(6, &graph)));
    }
    let model = field(7, &graph);
    let error = import(&model, None, &Bindings::default(), &mut |_, _, _| None).unwrap_err();
    assert!(error.to_string().contains("nest too deep: recursion limit"), "{error}");
    assert!(error.to_string().len() < 200, "{error}");
}

fn function(name: &str, calls: &[&str]) -> FunctionProto {
    let mut node = Vec::new();
    let mut last = "a".to_owned();
    for (i, call) in calls.iter().enumerate() {
        let next = format!("v{i}");
        let mut step = super::fixture::node(call, &[&last], &[&next]);
        if *call != "Identity" {
            step.domain = "local".into();
        }
        node.push(step);
        last = next;
    }
    let version = |domain: &str| OperatorSetIdProto { domain: domain.into(), version: 17 };
    FunctionProto {
        name: name.into(),
        domain: "local".into(),
        input: vec!["a".into()],
        output: vec![last],
        node,
        opset_import: vec![version(""), version("local")],
        ..FunctionProto::default()
    }
}

fn calling(functions: Vec<FunctionProto>) -> ModelProto {
    let mut first = node("F0", &["x"], &["y"]);
    first.domain = "local".into();
    ModelProto { functions, ..through(vec![first], vec![]) }
}

#[test]
fn names_of_a_megabyte() {
    let name = "é".repeat(1 << 19);
    let model = through(vec![node("Add", &["x", &name], &["y"])], vec![]);
    let error = nowcast::load::from_bytes(&model.encode_to_vec(), &Default::default());
    let error = error.expect_err("nobody gives the value").to_string();
    assert!(error.len() < 5000, "{} bytes", error.len());
}

#[test]
fn functions_that_call_themselves() {
    let model = calling(vec![function("F0", &["F1"]), function("F1", &["F0"])]);
    assert_eq!(refused(&model), "node #0 (F0) of function F1: the function calls itself");
}

#[test]
fn functions_that_multiply() {
    let started = Instant::now();
    let mut functions: Vec<FunctionProto> =
        (0..30).map(|i| function(&format!("F{i}"), &[format!("F{}", i + 1).as_str(); 2])).collect();
    functions.push(function("F30", &["Identity"]));
    let text = refused(&calling(functions));
    assert!(text.ends_with("call fewer, or nest them less"));
    let deep = (0..100).map(|i| function(&format!("F{i}"), &[format!("F{}", i + 1).as_str()]));
    let mut deep: Vec<FunctionProto> = deep.collect();
    deep.push(function("F100", &["Identity"]));
    assert!(refused(&calling(deep)).ends_with("functions nest deeper than 32"));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn dimensions_that_multiply() {
    // Each step squares a sum of two dimensions.
    let mut nodes = vec![node("Shape", &["x"], &["s"]), node("ReduceSum", &["s"], &["v0"])];
    for i in 0..40 {
        let (from, to) = (format!("v{i}"), format!("v{}", i + 1));
        nodes.push(node("Mul", &[&from, &from], &[&to]));
    }
    nodes.push(node("Expand", &["x", "v40"], &["y"]));
    let x = port("x", F32, &["a", "b"]);
    let model = model(17, body(vec![x], vec![], nodes, vec![port("y", F32, &[])]));
    let mut bindings = Bindings::default();
    bindings.dims.insert("a".into(), Extent::Range(1, 9));
    bindings.dims.insert("b".into(), Extent::Range(1, 9));
    let text = load_with(&model, &bindings).unwrap_err().to_string();
    assert!(text.contains("decides a shape but is computed at run time"), "{text}");
}

#[test]
fn shapes_beyond_memory() {
    let nodes = vec![node("ConstantOfShape", &["s"], &["y"])];
    let text = refused(&through(nodes, vec![numbers("s", &[1 << 40, 1 << 40])]));
    assert_eq!(
        text,
        "node #0 (ConstantOfShape): a value has 9223372036854775807 elements, at most 2^32 are \
         supported"
    );
    let tile = vec![node("Tile", &["x", "r"], &["y"])];
    let text = refused(&through(tile, vec![numbers("r", &[i64::MAX, i64::MAX])]));
    assert!(text.contains("at most 2^32 are supported"), "{text}");
    let cut = vec![node("Tile", &["x", "r"], &["y"])];
    let text = refused(&through(cut, vec![numbers("r", &[-1, 1])]));
    assert!(text.contains("can become negative"), "{text}");
}

/// A model with many kinds of fields, whose bytes are worth breaking.
fn rich() -> Vec<u8> {
    let nodes = vec![
        node_with("Conv", &["x", "w"], &["c"], vec![ints("pads", &[1, 1])]),
        node("Shape", &["c"], &["s"]),
        node_with("Gather", &["s", "i"], &["n"], vec![int("axis", 0)]),
        node_with("Concat", &["n", "rest"], &["t"], vec![int("axis", 0)]),
        node("Reshape", &["c", "t"], &["r"]),
        node_with("Softmax", &["r"], &["m"], vec![int("axis", 1)]),
        node_with("Slice", &["m", "i", "rest", "i"], &["y"], vec![]),
    ];
    let constants =
        vec![floats("w", &[4, 2, 3], &[0.5; 24]), numbers("i", &[0]), numbers("rest", &[-1])];
    let x = port("x", F32, &["2", "2", "8"]);
    model(17, body(vec![x], constants, nodes, vec![port("y", F32, &[])])).encode_to_vec()
}

#[test]
fn the_rich_model_loads() {
    import(&rich(), None, &Bindings::default(), &mut |_, _, _| None).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = import(&bytes, None, &Bindings::default(), &mut |_, _, _| None);
    }

    #[test]
    fn broken_bytes(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = rich();
        for (at, byte) in changes {
            let at = at as usize % bytes.len();
            bytes[at] = byte;
        }
        let _ = import(&bytes, None, &Bindings::default(), &mut |_, _, _| None);
    }

    #[test]
    fn random_numbers_in_attributes(
        op in 0..12usize,
        values in proptest::collection::vec(prop_oneof![
            any::<i64>(), -4i64..5, Just(i64::MIN), Just(i64::MAX)
        ], 0..5),
    ) {
        let first = values.first().copied().unwrap_or(0);
        let list = |name: &str| vec![ints(name, &values)];
        let one = |name: &str| vec![int(name, first)];
        let (version, node) = match op {
            0 => (17, node_with("Transpose", &["x"], &["y"], list("perm"))),
            1 => (11, node_with("Squeeze", &["x"], &["y"], list("axes"))),
            2 => (11, node_with("Unsqueeze", &["x"], &["y"], list("axes"))),
            3 => (17, node("Reshape", &["x", "v"], &["y"])),
            4 => (17, node("Slice", &["x", "v", "v", "v", "v"], &["y"])),
            5 => (17, node_with("Split", &["x", "v"], &["y", "z"], one("axis"))),
            6 => (17, node("Pad", &["x", "v"], &["y"])),
            7 => (17, node("Tile", &["x", "v"], &["y"])),
            8 => (17, node_with("MaxPool", &["x"], &["y"], list("kernel_shape"))),
            9 => (17, node("Expand", &["x", "v"], &["y"])),
            10 => (17, node_with("DepthToSpace", &["x"], &["y"], one("blocksize"))),
            _ => (17, node_with("TopK", &["x", "v"], &["y"], one("axis"))),
        };
        let x = port("x", F32, &["2", "4", "6", "1"]);
        let constants = vec![numbers("v", &values)];
        let graph = body(vec![x], constants, vec![node], vec![port("y", F32, &[])]);
        let _ = load_with(&model(version, graph), &Bindings::default());
    }
}
