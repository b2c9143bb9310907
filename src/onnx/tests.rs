//! Whole models through the importer, without folding.

mod forms;

use prost::Message;
use smallvec::smallvec;

use super::fixture::*;
use super::proto::{
    DimensionValue, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TypeValue,
};
use super::{ImportError, import};
use crate::graph::ops::trees::Weights;
use crate::graph::{Bindings, Extent, Graph, Op, Tensor};
use crate::tensor::DType;

fn load(model: &ModelProto, bindings: &Bindings) -> Result<Graph, ImportError> {
    import(&model.encode_to_vec(), None, bindings, &mut |_, _, _| None)
}

/// Imports with the open dimensions `b` of 2 to 8 and `t` of 0 to 16.
fn ranged(model: &ModelProto) -> Graph {
    try_ranged(model).unwrap_or_else(|e| panic!("{e}"))
}

fn try_ranged(model: &ModelProto) -> Result<Graph, ImportError> {
    let mut bindings = Bindings::default();
    bindings.dims.insert("b".into(), Extent::Range(2, 8));
    bindings.dims.insert("t".into(), Extent::Range(0, 16));
    load(model, &bindings)
}

/// Shape of an output as text.
fn shape(graph: &Graph, i: usize) -> String {
    let value = graph.value(graph.outputs[i].value);
    let dims: Vec<_> =
        value.shape.iter().map(|d| d.display(&graph.variables).to_string()).collect();
    format!("{} [{}]", value.dtype, dims.join(", "))
}

/// One node over `x` (f32) of `axes`, with initialisers; the names of the operators it became
/// and the shape of its result.
fn one(
    version: i64,
    axes: &[&str],
    initializers: Vec<super::proto::TensorProto>,
    node: NodeProto,
) -> (Vec<&'static str>, String) {
    let x = port("x", F32, axes);
    let graph = body(vec![x], initializers, vec![node], vec![port("y", F32, &[])]);
    let open = axes.iter().any(|a| *a == "b" || *a == "t");
    let mut bindings = Bindings::default();
    for (name, low, high) in [("b", 2, 8), ("t", 0, 16)] {
        if open && axes.contains(&name) {
            bindings.dims.insert(name.into(), Extent::Range(low, high));
        }
    }
    let graph = load(&model(version, graph), &bindings).unwrap_or_else(|e| panic!("{e}"));
    (graph.nodes.iter().map(|n| n.op.name()).collect(), shape(&graph, 0))
}

#[test]
fn shape_arithmetic_stays_symbolic() {
    // The classic exporter's "merge heads": Shape, Gather, Mul, Concat, Reshape.
    let nodes = vec![
        node("Shape", &["x"], &["s"]),
        node("Gather", &["s", "zero"], &["batch"]),
        node("Gather", &["s", "one"], &["time"]),
        node("Mul", &["batch", "time"], &["rows"]),
        node("Concat", &["rows", "rest"], &["target"]),
        node("Reshape", &["x", "target"], &["y"]),
    ];
    let mut nodes = nodes;
    nodes[4].attribute.push(int("axis", 0));
    let constants = vec![numbers("zero", &[0]), numbers("one", &[1]), numbers("rest", &[-1])];
    let graph = body(
        vec![port("x", F32, &["b", "t", "4", "8"])],
        constants,
        nodes,
        vec![port("y", F32, &[])],
    );
    let graph = ranged(&model(17, graph));
    assert_eq!(shape(&graph, 0), "f32 [b*t, 32]");
    assert_eq!(graph.nodes.len(), 1, "{graph}");
}

/// `Shape(x)[1]` cast to f32, then these nodes from `t` on, whose last gives `y`.
fn from_float_extent(
    constants: Vec<super::proto::TensorProto>,
    rest: Vec<NodeProto>,
) -> ModelProto {
    let mut nodes = vec![
        node("Shape", &["x"], &["s"]),
        node("Gather", &["s", "one"], &["n"]),
        node_with("Cast", &["n"], &["t"], vec![int("to", F32.into())]),
    ];
    nodes.extend(rest);
    let mut one = numbers("one", &[1]);
    one.dims.clear();
    let constants = constants.into_iter().chain([one]).collect();
    let x = port("x", F32, &["b", "t"]);
    model(17, body(vec![x], constants, nodes, vec![port("y", F32, &[])]))
}

#[test]
fn whole_floats_are_followed() {
    let constants = || {
        let names = [("zero", 0.0), ("one_f", 1.0), ("two", 2.0), ("minus", -1.0), ("half", 0.5)];
        names.map(|(name, x)| floats(name, &[], &[x])).to_vec()
    };
    let range = |limit| node("Range", &["zero", limit, "one_f"], &["y"]);
    let graph = ranged(&from_float_extent(constants(), vec![range("t")]));
    assert_eq!(shape(&graph, 0), "f32 [t]");
    let twice = node("Mul", &["t", "two"], &["t2"]);
    let floor = node("Floor", &["t2"], &["f"]);
    let graph = ranged(&from_float_extent(constants(), vec![twice, floor, range("f")]));
    assert_eq!(shape(&graph, 0), "f32 [2*t]");
    // What rounding makes whole is followed too.
    for (by, constant, round, expected) in [
        ("Mul", "half", "Floor", "f32 [floor((t)/(2))]"),
        ("Div", "two", "Ceil", "f32 [floor((t + 1)/(2))]"),
    ] {
        let nodes = vec![node(by, &["t", constant], &["q"]), node(round, &["q"], &["f"])];
        let nodes = nodes.into_iter().chain([range("f")]).collect();
        assert_eq!(shape(&ranged(&from_float_extent(constants(), nodes)), 0), expected);
    }
    // A product with a negative number may be a zero with a sign; half of it may be broken.
    for other in ["minus", "half"] {
        let product = node("Mul", &["t", other], &["p"]);
        let model = from_float_extent(constants(), vec![product, range("p")]);
        let error = try_ranged(&model).expect_err(other);
        assert!(matches!(error, ImportError::NotConstant { .. }), "{error}");
    }
}

/// F.pad as TorchScript writes it: a margin up to a multiple, turned around through a matrix.
#[test]
fn a_margin_up_to_a_multiple() {
    let nodes = vec![
        node("Shape", &["x"], &["s"]),
        node("Gather", &["s", "one"], &["t"]),
        node("Neg", &["t"], &["minus_t"]),
        node("Mod", &["minus_t", "four"], &["more"]),
        node_with("Concat", &["zero", "zero", "more", "zero"], &["list"], vec![int("axis", 0)]),
        node("Reshape", &["list", "square"], &["pairs"]),
        node_with("Transpose", &["pairs"], &["sides"], vec![ints("perm", &[1, 0])]),
        node("Reshape", &["sides", "flat"], &["margins"]),
        node("Pad", &["x", "margins"], &["padded"]),
        node("Reshape", &["padded", "fours"], &["y"]),
    ];
    let constants = vec![
        numbers("zero", &[0]),
        numbers("one", &[1]),
        numbers("four", &[4]),
        numbers("square", &[2, 2]),
        numbers("flat", &[-1]),
        numbers("fours", &[0, -1, 4]),
    ];
    let x = port("x", F32, &["b", "t"]);
    let graph = ranged(&model(17, body(vec![x], constants, nodes, vec![port("y", F32, &[])])));
    assert_eq!(shape(&graph, 0), "f32 [b, floor((t + 3)/(4)), 4]");
}

#[test]
fn a_sum_divides_an_open_extent() {
    // One step joined to a cache, then its axis last: [b + 1, t] to [-1, b + 1].
    let nodes = vec![
        node("Pad", &["x", "p"], &["longer"]),
        node("Shape", &["longer"], &["s"]),
        node("Gather", &["s", "zero"], &["n"]),
        node_with("Concat", &["minus", "n"], &["target"], vec![int("axis", 0)]),
        node("Reshape", &["longer", "target"], &["y"]),
    ];
    let constants =
        vec![numbers("p", &[1, 0, 0, 0]), numbers("zero", &[0]), numbers("minus", &[-1])];
    let x = port("x", F32, &["b", "t"]);
    let graph = ranged(&model(17, body(vec![x], constants, nodes, vec![port("y", F32, &[])])));
    assert_eq!(shape(&graph, 0), "f32 [t, b + 1]");
}

#[test]
fn a_shape_that_is_data_is_written_out() {
    let graph = body(
        vec![port("x", F32, &["b", "t"])],
        vec![],
        vec![node("Shape", &["x"], &["y"])],
        vec![port("y", I64, &["2"])],
    );
    let graph = ranged(&model(17, graph));
    assert!(matches!(&graph.nodes[..], [n] if matches!(n.op, Op::Extents { .. })), "{graph}");
}

#[test]
fn operator_sets_differ() {
    let axes = || numbers("axes", &[1]);
    let by_attribute = node_with("Squeeze", &["x"], &["y"], vec![ints("axes", &[1])]);
    assert_eq!(one(11, &["b", "1"], vec![], by_attribute).1, "f32 [b]");
    assert_eq!(
        one(13, &["b", "1"], vec![axes()], node("Squeeze", &["x", "axes"], &["y"])).1,
        "f32 [b]"
    );
    let softmax = || node("Softmax", &["x"], &["y"]);
    assert_eq!(one(13, &["b", "3", "4"], vec![], softmax()).0, ["Softmax"]);
    assert_eq!(one(11, &["b", "3", "4"], vec![], softmax()).0, ["Reshape", "Softmax", "Reshape"]);
    let sum = node_with("ReduceSum", &["x"], &["y"], vec![int("noop_with_empty_axes", 1)]);
    assert_eq!(one(13, &["b", "3"], vec![], sum).1, "f32 [b, 3]");
}

#[test]
fn cuts_of_open_axes() {
    let bounds = |starts: i64, ends: i64| {
        vec![numbers("s", &[starts]), numbers("e", &[ends]), numbers("a", &[0])]
    };
    let slice = || node("Slice", &["x", "s", "e", "a"], &["y"]);
    assert_eq!(one(13, &["b", "3"], bounds(-1, i64::MAX), slice()).1, "f32 [1, 3]");
    assert_eq!(one(13, &["b", "3"], bounds(1, i64::MAX), slice()).1, "f32 [b - 1, 3]");
    assert_eq!(one(13, &["b", "3"], bounds(0, -2), slice()).1, "f32 [b - 2, 3]");
    assert_eq!(one(13, &["b", "3"], bounds(0, i64::MAX), slice()).0, ["Identity"]);
    let backwards = vec![
        numbers("s", &[-1]),
        numbers("e", &[i64::MIN]),
        numbers("a", &[0]),
        numbers("p", &[-1]),
    ];
    let slice = node("Slice", &["x", "s", "e", "a", "p"], &["y"]);
    assert_eq!(one(13, &["b", "3"], backwards.clone(), slice.clone()).1, "f32 [b, 3]");
    // An axis without elements has none backwards.
    assert_eq!(one(13, &["t", "3"], backwards.clone(), slice.clone()).1, "f32 [t, 3]");
    assert_eq!(one(13, &["0", "3"], backwards, slice).1, "f32 [0, 3]");
}

#[test]
fn layouts_and_indices() {
    let pads = vec![numbers("p", &[1, 0, 0, 2])];
    assert_eq!(one(13, &["b", "3"], pads, node("Pad", &["x", "p"], &["y"])).1, "f32 [b + 1, 5]");
    let tile = vec![numbers("r", &[2, 1])];
    assert_eq!(one(13, &["b", "3"], tile, node("Tile", &["x", "r"], &["y"])).1, "f32 [2*b, 3]");
    let gather = node_with("Gather", &["x", "i"], &["y"], vec![int("axis", 1)]);
    assert_eq!(one(13, &["b", "3"], vec![numbers("i", &[0, 2])], gather).1, "f32 [b, 2]");
    let flat = node_with("Flatten", &["x"], &["y"], vec![int("axis", -1)]);
    assert_eq!(one(13, &["b", "3", "4"], vec![], flat).1, "f32 [3*b, 4]");
    let top = node_with("TopK", &["x", "k"], &["y"], vec![int("axis", 1)]);
    assert_eq!(one(13, &["b", "3"], vec![numbers("k", &[2])], top).1, "f32 [b, 2]");
}

#[test]
fn products_and_windows() {
    let weights = || vec![floats("w", &[3, 5], &[0.5; 15])];
    assert_eq!(
        one(13, &["b", "3"], weights(), node("MatMul", &["x", "w"], &["y"])).1,
        "f32 [b, 5]"
    );
    let einsum = node_with("Einsum", &["x", "w"], &["y"], vec![string("equation", "bi,ij->jb")]);
    assert_eq!(one(13, &["b", "3"], weights(), einsum).0, ["MatMul", "Transpose"]);
    let kernel = || vec![floats("w", &[4, 2, 3], &[0.5; 24])];
    let conv = |mode| node_with("Conv", &["x", "w"], &["y"], vec![string("auto_pad", mode)]);
    assert_eq!(one(13, &["b", "2", "9"], kernel(), conv("SAME_UPPER")).1, "f32 [b, 4, 9]");
    assert_eq!(one(13, &["b", "2", "9"], kernel(), conv("VALID")).1, "f32 [b, 4, 7]");
    // Whether rounding up adds a window depends on the extent.
    let attributes = vec![ints("kernel_shape", &[2]), ints("strides", &[3]), int("ceil_mode", 1)];
    let pool = node_with("MaxPool", &["x"], &["y"], attributes);
    let text = "f32 [1, 2, floor((b + 2)/(3))]";
    assert_eq!(one(13, &["1", "2", "b"], vec![], pool).1, text);
    let back = node_with("ConvTranspose", &["x", "v"], &["y"], vec![ints("strides", &[2])]);
    let turned = vec![floats("v", &[2, 4, 3], &[0.5; 24])];
    assert_eq!(one(13, &["b", "2", "9"], turned, back).1, "f32 [b, 4, 19]");
}

#[test]
fn resampling_is_a_product() {
    let linear = node_with("Resize", &["x", "", "", "s"], &["y"], vec![string("mode", "linear")]);
    let sizes = || vec![numbers("s", &[2, 3, 8])];
    let (ops, result) = one(13, &["2", "3", "4"], sizes(), linear);
    assert_eq!((ops, result.as_str()), (vec!["MatMul"], "f32 [2, 3, 8]"));
    let nearest = node("Resize", &["x", "", "", "s"], &["y"]);
    assert_eq!(one(13, &["2", "3", "4"], sizes(), nearest).0, ["Gather"]);
    // An axis that keeps its size may be open.
    let nodes = vec![
        node("Shape", &["x"], &["n"]),
        node("Slice", &["n", "zero", "two"], &["kept"]),
        node_with("Concat", &["kept", "eight"], &["s"], vec![int("axis", 0)]),
        node("Resize", &["x", "", "", "s"], &["y"]),
    ];
    let constants = vec![numbers("zero", &[0]), numbers("two", &[2]), numbers("eight", &[8])];
    let x = port("x", F32, &["b", "t", "4"]);
    let graph = ranged(&model(13, body(vec![x], constants, nodes, vec![port("y", F32, &[])])));
    assert_eq!(shape(&graph, 0), "f32 [b, t, 8]");
    // An open extent that changes is resampled at positions that are computed when it runs.
    let wider = || vec![floats("w", &[3], &[1.0, 1.0, 1.5])];
    let open = node_with("Resize", &["x", "", "w"], &["y"], vec![string("mode", "linear")]);
    assert_eq!(one(13, &["2", "3", "b"], wider(), open).1, "f32 [2, 3, floor((b)/(2)) + b]");
}

#[test]
fn recurrent_layers_take_their_defaults() {
    let constants = vec![floats("w", &[2, 8, 3], &[0.1; 48]), floats("r", &[2, 8, 2], &[0.1; 32])];
    let attributes = vec![int("hidden_size", 2), string("direction", "bidirectional")];
    let lstm = node_with("LSTM", &["x", "w", "r"], &["y"], attributes);
    let (ops, shape) = one(14, &["t", "1", "3"], constants, lstm);
    assert_eq!((ops, shape.as_str()), (vec!["LSTM"], "f32 [t, 2, 1, 2]"));
}

#[test]
fn attention_is_decomposed() {
    let attributes = vec![int("q_num_heads", 4), int("kv_num_heads", 2), int("is_causal", 1)];
    let attention = node_with("Attention", &["x", "k", "k"], &["y"], attributes);
    let keys = vec![floats("k", &[1, 6, 16], &[0.1; 96])];
    let (ops, shape) = one(23, &["1", "6", "32"], keys, attention);
    assert_eq!(shape, "f32 [1, 6, 32]");
    assert!(ops.contains(&"Softmax") && ops.contains(&"Where"), "{ops:?}");
}

#[test]
fn quantized_constants_stay_integers() {
    let weights = super::proto::TensorProto {
        name: "q".into(),
        dims: vec![2, 3],
        data_type: U8,
        int32_data: vec![1; 6],
        ..Default::default()
    };
    let nodes =
        vec![node("DequantizeLinear", &["q", "scale"], &["w"]), node("Add", &["x", "w"], &["y"])];
    let constants = vec![weights, floats("scale", &[1], &[0.5])];
    let ports = (port("x", F32, &["2", "3"]), port("y", F32, &["2", "3"]));
    let graph = body(vec![ports.0], constants, nodes, vec![ports.1]);
    let graph =
        import(&model(17, graph).encode_to_vec(), None, &Bindings::default(), &mut |op, _, _| {
            panic!("{} was folded", op.name())
        });
    assert_eq!(graph.unwrap().nodes[0].op.name(), "DequantizeLinear");
}

#[test]
fn classical_models() {
    let mut regressor = node_with("LinearRegressor", &["x"], &["y"], vec![int("targets", 2)]);
    regressor.domain = "ai.onnx.ml".into();
    regressor.attribute.push(super::proto::AttributeProto {
        name: "coefficients".into(),
        r#type: 6,
        floats: vec![0.5; 6],
        ..Default::default()
    });
    let graph =
        body(vec![port("x", F32, &["b", "3"])], vec![], vec![regressor], vec![port("y", F32, &[])]);
    let mut model = model(17, graph);
    model.opset_import.push(OperatorSetIdProto { domain: "ai.onnx.ml".into(), version: 1 });
    let mut bindings = Bindings::default();
    bindings.dims.insert("b".into(), Extent::Fixed(4));
    let graph = load(&model, &bindings).unwrap();
    assert_eq!((graph.nodes[0].op.name(), shape(&graph, 0).as_str()), ("Gemm", "f32 [4, 2]"));
}

#[test]
fn folding_is_bounded() {
    // Each step doubles a constant; the importer must stop long before the last.
    let mut nodes = vec![node_with("Concat", &["c", "c"], &["v0"], vec![int("axis", 0)])];
    for i in 0..40 {
        let (from, to) = (format!("v{i}"), format!("v{}", i + 1));
        nodes.push(node_with("Concat", &[&from, &from], &[&to], vec![int("axis", 0)]));
    }
    nodes.push(node("Add", &["x", "c"], &["y"]));
    let graph = body(
        vec![port("x", F32, &["1"])],
        vec![floats("c", &[1], &[1.0])],
        nodes,
        vec![port("y", F32, &[])],
    );
    let mut taken = 0;
    let result = import(
        &model(17, graph).encode_to_vec(),
        None,
        &Bindings::default(),
        &mut |_, _, results| {
            let shape: Vec<usize> =
                results[0].shape.iter().map(|d| d.fixed().unwrap() as usize).collect();
            let bytes = vec![0; shape.iter().product::<usize>() * 4];
            taken += bytes.len();
            Some(vec![Tensor::from_bytes(DType::F32, &shape, &bytes)])
        },
    );
    assert!(result.is_err(), "2^40 elements");
    assert!(taken < 32 << 20, "{taken} bytes");
}

#[test]
fn work_of_folding_is_bounded() {
    // Products of 2^27 multiplications each.
    let name = |i: usize| if i == 0 { "c".to_owned() } else { format!("v{i}") };
    let product = |i: usize| node("MatMul", &[&name(i), "c"], &[&name(i + 1)]);
    let mut nodes: Vec<NodeProto> = (0..100).map(product).collect();
    nodes.push(node("Add", &["x", "v100"], &["y"]));
    let graph = body(
        vec![port("x", F32, &["1"])],
        vec![floats("c", &[512, 512], &vec![1.0; 512 * 512])],
        nodes,
        vec![port("y", F32, &[])],
    );
    let mut products = 0;
    let bytes = model(17, graph).encode_to_vec();
    let graph = import(&bytes, None, &Bindings::default(), &mut |_, _, _| {
        products += 1;
        Some(vec![Tensor::from_bytes(DType::F32, &[512, 512], &vec![0; 512 * 512 * 4])])
    });
    assert!(graph.is_ok(), "the rest is left to the run");
    assert!(products < 10, "{products} products");
}

#[test]
fn loops_that_multiply_are_not_written_out() {
    let constant = || super::proto::TensorProto { dims: vec![], ..numbers("trips", &[40]) };
    let inner = |nodes: Vec<NodeProto>, n: usize| GraphProto {
        input: vec![
            port(&format!("i{n}"), I64, &[]),
            port(&format!("c{n}"), BOOL, &[]),
            port(&format!("s{n}"), F32, &["3"]),
        ],
        output: vec![port(&format!("c{n}"), BOOL, &[]), port(&format!("r{n}"), F32, &["3"])],
        node: nodes,
        ..GraphProto::default()
    };
    let again = |from: &str, to: &str, body: GraphProto| {
        node_with("Loop", &["trips", "", from], &[to], vec![graph("body", body)])
    };
    let mut nodes = vec![node("Sin", &["s0"], &["r0"])];
    for n in 1..4 {
        let from = if n == 3 { "x".to_owned() } else { format!("s{n}") };
        let to = if n == 3 { "y".to_owned() } else { format!("r{n}") };
        nodes = vec![again(&from, &to, inner(nodes, n - 1))];
    }
    let x = port("x", F32, &["3"]);
    let graph = body(vec![x], vec![constant()], nodes, vec![port("y", F32, &[])]);
    let graph = load(&model(17, graph), &Bindings::default()).unwrap_or_else(|e| panic!("{e}"));
    let ops: Vec<_> = graph.nodes.iter().map(|n| n.op.name()).collect();
    assert_eq!(ops, ["Loop"], "64000 iterations");
}

#[test]
fn lists_that_loops_fill() {
    let filled = |also: Vec<NodeProto>, last: NodeProto| {
        let mut nodes = vec![
            node("Gather", &["x", "i"], &["p"]),
            node("Sin", &["p"], &["e"]),
            node("SequenceInsert", &["before", "e"], &["after"]),
        ];
        nodes.extend(also);
        let inner = GraphProto {
            input: vec![port("i", I64, &[]), port("c", BOOL, &[]), port("before", F32, &[])],
            output: vec![port("c", BOOL, &[]), port("after", F32, &[])],
            node: nodes,
            ..GraphProto::default()
        };
        let nodes = vec![
            node("Shape", &["x"], &["s"]),
            node_with("Gather", &["s", "zero"], &["n"], vec![int("axis", 0)]),
            node("SequenceEmpty", &[], &["none"]),
            node_with("Loop", &["n", "", "none"], &["list"], vec![graph("body", inner)]),
            last,
        ];
        let constants = vec![numbers("zero", &[0]), numbers("last", &[-1])];
        let x = port("x", F32, &["t", "3"]);
        try_ranged_t(&model(17, body(vec![x], constants, nodes, vec![port("y", F32, &[])])))
    };
    let joined = |axis, new| {
        let how = vec![int("axis", axis), int("new_axis", new)];
        let last = node_with("ConcatFromSequence", &["list"], &["y"], how);
        shape(&filled(vec![], last).unwrap_or_else(|e| panic!("{e}")), 0)
    };
    assert_eq!(joined(0, 1), "f32 [t, 3]");
    assert_eq!(joined(1, 1), "f32 [3, t]");
    assert_eq!(joined(-1, 0), "f32 [3*t]");
    let refused = |also, last| filled(also, last).expect_err("it is refused").to_string();
    let row = node("SequenceAt", &["list", "last"], &["y"]);
    let text = refused(vec![], row);
    assert!(text.contains("there may be no position -1 among [t]"), "{text}");
    let length = node("SequenceLength", &["before"], &["len"]);
    let last = node_with("ConcatFromSequence", &["list"], &["y"], vec![int("axis", 0)]);
    assert!(refused(vec![length], last).contains("a sequence or optional value enters"));
}

#[test]
fn tensors_that_loops_only_lengthen() {
    let inner = GraphProto {
        input: vec![port("i", I64, &[]), port("c", BOOL, &[]), port("before", F32, &["2", "1"])],
        output: vec![port("c", BOOL, &[]), port("after", F32, &[])],
        node: vec![
            node("Gather", &["x", "i"], &["p"]),
            node_with("Concat", &["before", "p", "p"], &["after"], vec![int("axis", -1)]),
        ],
        ..GraphProto::default()
    };
    let nodes = vec![
        node("Shape", &["x"], &["s"]),
        node_with("Gather", &["s", "zero"], &["n"], vec![int("axis", 0)]),
        node_with("Loop", &["n", "", "first"], &["y"], vec![graph("body", inner)]),
    ];
    let constants = vec![numbers("zero", &[0]), floats("first", &[2, 1], &[1.0, 2.0])];
    let x = port("x", F32, &["t", "2", "3"]);
    let model = model(17, body(vec![x], constants, nodes, vec![port("y", F32, &[])]));
    assert_eq!(shape(&ranged_t(&model), 0), "f32 [2, 6*t + 1]");
}

#[test]
fn nodes_that_trees_share() {
    // LightGBM's tests of one category against two numbers: both lead to leaf 2.
    let mut trees = node_with(
        "TreeEnsembleRegressor",
        &["x"],
        &["y"],
        vec![
            int("n_targets", 1),
            ints("nodes_treeids", &[0; 4]),
            ints("nodes_nodeids", &[0, 1, 2, 3]),
            ints("nodes_featureids", &[0; 4]),
            ints("nodes_truenodeids", &[2, 2, 0, 0]),
            ints("nodes_falsenodeids", &[1, 3, 0, 0]),
            ints("target_treeids", &[0, 0]),
            ints("target_nodeids", &[2, 3]),
            ints("target_ids", &[0, 0]),
        ],
    );
    trees.domain = "ai.onnx.ml".into();
    let floats_of = |name: &str, floats: &[f32]| super::proto::AttributeProto {
        name: name.into(),
        r#type: 6,
        floats: floats.to_vec(),
        ..Default::default()
    };
    trees.attribute.push(floats_of("nodes_values", &[1.0, 2.0, 0.0, 0.0]));
    trees.attribute.push(floats_of("target_weights", &[5.0, 7.0]));
    trees.attribute.push(super::proto::AttributeProto {
        name: "nodes_modes".into(),
        r#type: 8,
        strings: ["BRANCH_EQ", "BRANCH_EQ", "LEAF", "LEAF"].map(|s| s.as_bytes().to_vec()).into(),
        ..Default::default()
    });
    let x = port("x", F32, &["4", "1"]);
    let mut model = model(17, body(vec![x], vec![], vec![trees], vec![port("y", F32, &[])]));
    model.opset_import.push(OperatorSetIdProto { domain: "ai.onnx.ml".into(), version: 3 });
    let graph = load(&model, &Bindings::default()).unwrap_or_else(|e| panic!("{e}"));
    let Op::TreeEnsemble(op) = &graph.nodes[0].op else { panic!("trees") };
    assert_eq!(
        op.trees.leaves,
        [5.0, 7.0, 5.0].map(|weight| -> Weights { smallvec![(0, weight)] })
    );
}

#[test]
fn states_may_grow_along_one_ranged_axis() {
    let concat = node_with("Concat", &["past", "x"], &["present"], vec![int("axis", 1)]);
    let graph = body(
        vec![port("x", F32, &["2", "1"]), port("past", F32, &["2", "t"])],
        vec![],
        vec![concat],
        vec![port("present", F32, &[])],
    );
    let mut bindings = Bindings::default();
    bindings.dims.insert("t".into(), Extent::Range(0, 16));
    bindings.states.push(("present".into(), "past".into()));
    let graph = load(&model(17, graph.clone()), &bindings).unwrap();
    assert_eq!((graph.states.len(), shape(&graph, 0).as_str()), (1, "f32 [2, t + 1]"));
}

#[test]
fn branches_and_functions_are_inlined() {
    let branch = |op: &str| GraphProto {
        node: vec![node(op, &["x"], &["z"])],
        output: vec![port("z", F32, &[])],
        ..GraphProto::default()
    };
    let choice = node_with(
        "If",
        &["c"],
        &["y"],
        vec![graph("then_branch", branch("Exp")), graph("else_branch", branch("Log"))],
    );
    let graph = body(
        vec![port("x", F32, &["3"]), port("c", BOOL, &[])],
        vec![],
        vec![choice],
        vec![port("y", F32, &["3"])],
    );
    let mut bindings = Bindings::default();
    bindings.values.insert("c".into(), Tensor::from_bytes(DType::Bool, &[], &[0]));
    let graph = load(&model(17, graph), &bindings).unwrap();
    assert_eq!(graph.nodes[0].op.name(), "Log");

    let mut inner = node("LeakyRelu", &["a"], &["b"]);
    let mut slope = int("alpha", 0);
    slope.ref_attr_name = "slope".into();
    inner.attribute.push(slope);
    let function = FunctionProto {
        name: "Bend".into(),
        domain: "local".into(),
        input: vec!["a".into()],
        output: vec!["b".into()],
        attribute: vec!["slope".into()],
        node: vec![inner],
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        ..FunctionProto::default()
    };
    let mut call = node("Bend", &["x"], &["y"]);
    call.domain = "local".into();
    call.attribute.push(super::proto::AttributeProto {
        name: "slope".into(),
        r#type: 1,
        f: 0.25,
        ..Default::default()
    });
    let graph =
        body(vec![port("x", F32, &["3"])], vec![], vec![call], vec![port("y", F32, &["3"])]);
    let model = ModelProto { functions: vec![function], ..model(17, graph) };
    let graph = load(&model, &Bindings::default()).unwrap();
    let expected = Op::Unary(crate::graph::ops::Unary::LeakyRelu { alpha: 0.25 });
    assert_eq!(graph.nodes[0].op, expected);
}

#[test]
fn sizes_that_do_not_all_fit_are_named() {
    let graph = body(
        vec![port("x", F32, &["a", "t"]), port("y", F32, &["a", "u"])],
        vec![],
        vec![node("Add", &["x", "y"], &["z"])],
        vec![port("z", F32, &[])],
    );
    let mut bindings = Bindings::default();
    for name in ["a", "t", "u"] {
        bindings.dims.insert(name.into(), Extent::Range(1, 8));
    }
    let error = load(&model(17, graph), &bindings).unwrap_err().to_string();
    assert!(error.ends_with("give one to some of --dim a=N, --dim t=N, --dim u=N"), "{error}");
}

/// A model of two rates: the branch that is not taken cannot take the other's shape.
#[test]
fn a_branch_that_does_not_fit_names_the_input_that_decides() {
    let branch = |axis: &str| GraphProto {
        node: vec![node("Squeeze", &["x", axis], &["z"]), node("Exp", &["z"], &["e"])],
        output: vec![port("e", F32, &[])],
        ..GraphProto::default()
    };
    let branches =
        vec![graph("then_branch", branch("first")), graph("else_branch", branch("last"))];
    let choice = node_with("If", &["fast"], &["y"], branches);
    let constants = [("first", 0), ("last", 1), ("k", 8)].map(|(name, n)| numbers(name, &[n]));
    let graph = body(
        vec![port("x", F32, &["1", "3"]), port("rate", I64, &[])],
        constants.to_vec(),
        vec![node("Equal", &["rate", "k"], &["fast"]), choice],
        vec![port("y", F32, &[])],
    );
    let model = model(17, graph);
    let error = load(&model, &Bindings::default()).unwrap_err();
    assert!(matches!(&error, ImportError::Branch { input, .. } if input == "rate"), "{error}");
    assert!(error.to_string().contains("--value rate=FILE.npy"), "{error}");
    let mut bindings = Bindings::default();
    bindings.values.insert("rate".into(), Tensor::from_bytes(DType::I64, &[], &8i64.to_le_bytes()));
    assert_eq!(shape(&load(&model, &bindings).unwrap(), 0), "f32 [3]");
}

/// Dimensions that an exporter calls `?` are not one another.
#[test]
fn a_question_mark_is_no_name() {
    let mut x = port("x", F32, &["a", "b"]);
    let Some(TypeValue::Tensor(tensor)) = x.r#type.as_mut().and_then(|t| t.value.as_mut()) else {
        panic!("a tensor");
    };
    for axis in &mut tensor.shape.as_mut().unwrap().dim {
        axis.value = Some(DimensionValue::Param("?".into()));
    }
    let y = port("y", F32, &["?", "?"]);
    let graph = body(vec![x], vec![], vec![node("Exp", &["x"], &["y"])], vec![y]);
    let mut bindings = Bindings::default();
    bindings.shapes.insert("x".into(), vec![2, 3]);
    assert_eq!(shape(&load(&model(17, graph), &bindings).unwrap(), 0), "f32 [2, 3]");
}

#[test]
fn outputs_have_memory_of_their_own() {
    let graph = body(
        vec![port("x", F32, &["3"])],
        vec![floats("c", &[2], &[1.0, 2.0])],
        vec![node("Identity", &["x"], &["y"]), node("Identity", &["x"], &["z"])],
        vec![port("y", F32, &["3"]), port("z", F32, &["3"]), port("c", F32, &["2"])],
    );
    let graph = load(&model(17, graph), &Bindings::default()).unwrap();
    assert_eq!(graph.nodes.len(), 3, "{graph}");
}

const F16: i32 = 10;

/// The operators that a chain over the f16 `x` becomes.
fn half_chain(nodes: Vec<NodeProto>, constants: Vec<super::proto::TensorProto>) -> Vec<String> {
    let graph = body(vec![port("x", F16, &["2"])], constants, nodes, vec![port("y", F16, &["2"])]);
    let graph = load(&model(21, graph), &Bindings::default()).unwrap_or_else(|e| panic!("{e}"));
    let text = |op: &Op| match op {
        Op::Cast { to } => format!("Cast to {to}"),
        op => op.name().to_owned(),
    };
    graph.nodes.iter().map(|n| text(&n.op)).collect()
}

#[test]
fn halves_are_rounded_once_behind_a_chain() {
    let nodes = vec![node("Exp", &["x"], &["a"]), node("Tanh", &["a"], &["b"])];
    let mut all = nodes.clone();
    all.push(node("Add", &["b", "x"], &["y"]));
    assert_eq!(
        half_chain(all, vec![]),
        ["Cast to f32", "Exp", "Tanh", "Add", "Cast to f16"],
        "x is converted once"
    );
    // What moves elements moves the rounded ones; what the model casts is rounded.
    let mut all = nodes.clone();
    all.push(node("Unsqueeze", &["b", "axis"], &["c"]));
    all.push(node("Squeeze", &["c", "axis"], &["d"]));
    all.push(node("Neg", &["d"], &["y"]));
    let axis = || vec![numbers("axis", &[0])];
    let moved = half_chain(all, axis());
    assert_eq!(
        moved,
        [
            "Cast to f32",
            "Exp",
            "Tanh",
            "Cast to f16",
            "Reshape",
            "Reshape",
            "Cast to f32",
            "Neg",
            "Cast to f16"
        ]
    );
    let cast =
        |from: &str, to: &str, code| node_with("Cast", &[from], &[to], vec![int("to", code)]);
    let mut all = nodes;
    all.push(cast("b", "c", i64::from(F32)));
    all.push(cast("c", "y", i64::from(F16)));
    assert_eq!(
        half_chain(all, vec![]),
        ["Cast to f32", "Exp", "Tanh", "Cast to f16", "Cast to f32", "Cast to f16"]
    );
}

#[test]
fn a_half_that_comes_back_is_the_half() {
    // In inference a dropout, and a sum of one, are their operand.
    let nodes = vec![
        node("Sum", &["x"], &["a"]),
        node("Dropout", &["a"], &["b"]),
        node("Identity", &["b"], &["y"]),
    ];
    assert_eq!(half_chain(nodes, vec![]), ["Identity"]);
}

#[test]
fn a_half_and_another_float_are_not_of_one_type() {
    let graph = body(
        vec![port("x", F16, &["2"]), port("w", F32, &["2"])],
        vec![],
        vec![node("Add", &["x", "w"], &["y"])],
        vec![port("y", F16, &["2"])],
    );
    let error = load(&model(21, graph), &Bindings::default()).expect_err("two types");
    assert_eq!(error.to_string(), "node #0 (Add): operands are f16 and f32, not of one type");
}

#[test]
fn a_cache_of_halves_stays_a_concatenation() {
    let axes: [&str; 4] = ["1", "2", "t", "4"];
    let new = |name| port(name, F16, &["1", "2", "1", "4"]);
    let past = |name| port(name, F16, &axes);
    let inputs = vec![new("q"), new("k"), new("v"), past("pk"), past("pv")];
    let attention = node("Attention", &["q", "k", "v", "", "pk", "pv"], &["y", "nk", "nv"]);
    let outputs = ["y", "nk", "nv"].map(|name| port(name, F16, &["?", "?", "?", "?"])).to_vec();
    let graph = ranged_t(&model(23, body(inputs, vec![], vec![attention], outputs)));
    for output in &graph.outputs[1..] {
        let node = graph.nodes.iter().find(|n| n.outputs.contains(&Some(output.value)));
        assert!(matches!(node, Some(n) if matches!(n.op, Op::Concat { axis: 2 })), "{graph}");
    }
}

/// Imports with the open dimension `t` of 0 to 16.
fn ranged_t(model: &ModelProto) -> Graph {
    try_ranged_t(model).unwrap_or_else(|e| panic!("{e}"))
}

fn try_ranged_t(model: &ModelProto) -> Result<Graph, ImportError> {
    let mut bindings = Bindings::default();
    bindings.dims.insert("t".into(), Extent::Range(0, 16));
    load(model, &bindings)
}
