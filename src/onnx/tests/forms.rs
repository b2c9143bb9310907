//! Forms of operators that no case of the node suite has: old operator sets, open dimensions,
//! and what is refused.

use super::*;

fn refusal(model: &ModelProto) -> String {
    load(model, &Bindings::default()).expect_err("it is refused").to_string()
}

fn of_one(
    version: i64,
    constants: Vec<super::super::proto::TensorProto>,
    node: NodeProto,
) -> ModelProto {
    let x = port("x", F32, &["2", "3", "4"]);
    model(version, body(vec![x], constants, vec![node], vec![port("y", F32, &[])]))
}

/// A model with the operators of ONNX Runtime; `b` and `t` are open.
fn rewritten(inputs: &[(&str, &[&str])], mut node: NodeProto) -> Graph {
    node.domain = "com.microsoft".into();
    let ports = inputs.iter().map(|(name, axes)| port(name, F32, axes)).collect();
    let mut model = model(20, body(ports, vec![], vec![node], vec![port("y", F32, &[])]));
    model.opset_import.push(OperatorSetIdProto { domain: "com.microsoft".into(), version: 1 });
    ranged(&model)
}

#[test]
fn operands_of_old_sets_lie_along_an_axis() {
    let add = |attributes| node_with("Add", &["x", "c"], &["y"], attributes);
    let column = || vec![floats("c", &[3], &[1.0, 2.0, 3.0])];
    let axis = |n| vec![int("broadcast", 1), int("axis", n)];
    let (ops, shape) = one(6, &["2", "3", "4"], column(), add(axis(1)));
    assert_eq!((ops.as_slice(), shape.as_str()), (&["Add"][..], "f32 [2, 3, 4]"));
    for (attributes, sentence) in [
        (vec![], "attribute broadcast is 0, but the operands differ in shape"),
        (vec![int("broadcast", 1)], "[3] does not broadcast to [2, 3, 4]"),
        (axis(0), "[3, 1, 1] does not broadcast to [2, 3, 4]"),
        (axis(3), "there is no axis 3 in rank 3"),
    ] {
        let text = refusal(&of_one(6, column(), add(attributes)));
        assert!(text.contains(sentence), "{text}");
    }
    // Later sets broadcast as NumPy does.
    let text = refusal(&of_one(7, column(), add(axis(2))));
    assert!(text.contains("do not broadcast"), "{text}");
}

#[test]
fn old_sets_say_whether_they_train() {
    let dropout = |is_test| node_with("Dropout", &["x"], &["y"], vec![int("is_test", is_test)]);
    let text = refusal(&of_one(6, vec![], dropout(0)));
    assert!(text.contains("attribute is_test is not 1"), "{text}");
    assert_eq!(one(6, &["2"], vec![], dropout(1)).1, "f32 [2]");
    let shape = vec![ints("shape", &[0, -1]), ints("consumed_inputs", &[0])];
    let reshape = node_with("Reshape", &["x"], &["y"], shape);
    assert_eq!(one(1, &["2", "3", "4"], vec![], reshape).1, "f32 [2, 12]");
}

#[test]
fn attention_over_open_dimensions() {
    let heads = || vec![int("num_heads", 4), int("unidirectional", 1)];
    let attention = node_with("Attention", &["x", "w"], &["y"], heads());
    let graph = rewritten(&[("x", &["b", "t", "8"]), ("w", &["8", "48"])], attention);
    assert_eq!(shape(&graph, 0), "f32 [b, t, 16]");
    let keys = ["b", "4", "t", "4"];
    let names = ["x", "k", "k", "", "", "", "past", "past"];
    let cached = node_with("MultiHeadAttention", &names, &["y"], heads());
    let flat: &[&str] = &["b", "1", "16"];
    let graph = rewritten(&[("x", flat), ("k", flat), ("past", &keys)], cached);
    assert_eq!(shape(&graph, 0), "f32 [b, 1, 16]");
}

#[test]
fn draws_take_shapes_and_streams() {
    let random = |inputs: &[&str], output: &str| node("RandomNormalLike", inputs, &[output]);
    let nodes = vec![random(&["x"], "y"), random(&["y"], "z")];
    let x = port("x", F32, &["b", "t"]);
    let outputs = vec![port("y", F32, &[]), port("z", F32, &[])];
    let graph = ranged(&model(20, body(vec![x], vec![], nodes, outputs)));
    assert_eq!(shape(&graph, 1), "f32 [b, t]");
    let seeds: Vec<u64> = graph
        .nodes
        .iter()
        .filter_map(|n| match &n.op {
            Op::Random(op) => Some(op.seed),
            _ => None,
        })
        .collect();
    assert!(matches!(seeds[..], [a, b] if a != b), "{seeds:?}");
}

#[test]
fn texts_and_doubled_places_of_n_grams_are_refused() {
    let counts = |places: &[i64], pool: &[i64]| {
        let attributes = vec![
            string("mode", "TF"),
            ints("ngram_indexes", places),
            ints("ngram_counts", &[0]),
            ints("pool_int64s", pool),
            int("min_gram_length", 1),
            int("max_gram_length", 1),
            int("max_skip_count", 0),
        ];
        let x = port("x", I64, &["5"]);
        let node = node_with("TfIdfVectorizer", &["x"], &["y"], attributes);
        model(9, body(vec![x], vec![], vec![node], vec![port("y", F32, &[])]))
    };
    assert!(load(&counts(&[0, 3], &[7, 8]), &Bindings::default()).is_ok());
    let text = refusal(&counts(&[3, 3], &[7, 8]));
    assert!(text.contains("two n-grams in one place"), "{text}");
    let text = refusal(&counts(&[0], &[7, 8]));
    assert!(text.contains("are not 2, one an n-gram"), "{text}");
}

/// What one mask picks of two values has one length; what two masks pick has not.
#[test]
fn one_mask_picks_one_length() {
    let picks = |masks: [&str; 2]| {
        let nodes = vec![
            node_with("Compress", &["x", masks[0]], &["a"], vec![int("axis", 0)]),
            node_with("Compress", &["z", masks[1]], &["b"], vec![int("axis", 0)]),
            node("Add", &["a", "b"], &["y"]),
        ];
        let floats = ["x", "z"].map(|name| port(name, F32, &["4"]));
        let inputs = floats.into_iter().chain(["m", "n"].map(|name| port(name, BOOL, &["4"])));
        let graph = body(inputs.collect(), vec![], nodes, vec![port("y", F32, &[])]);
        load(&model(17, graph), &Bindings::default())
    };
    assert_eq!(shape(&picks(["m", "m"]).expect("one length"), 0), "f32 [Compress_0.len]");
    assert_eq!(
        picks(["m", "n"]).unwrap_err().to_string(),
        "node #2 (Add): shapes [Compress_0.len] and [Compress_1.len] do not broadcast: lengths \
         that are found in the data are equal only where one node finds them"
    );
}

/// A loop as often as an input says that the caller has bounded.
#[test]
fn a_bounded_value_says_how_often_a_loop_runs() {
    let results = vec![port("on", BOOL, &[]), port("q", F32, &[]), port("p", F32, &[])];
    let inputs = vec![port("i", I64, &[]), port("on", BOOL, &[]), port("p", F32, &["2"])];
    let step = body(inputs, vec![], vec![node("Neg", &["p"], &["q"])], results);
    let nodes = vec![node_with("Loop", &["n", "", "x"], &["", "y"], vec![graph("body", step)])];
    let inputs = vec![port("x", F32, &["2"]), port("n", I64, &[])];
    let model = model(17, body(inputs, vec![], nodes, vec![port("y", F32, &[])]));
    let mut bindings = Bindings::default();
    let error = load(&model, &bindings).unwrap_err().to_string();
    assert!(error.contains("bound the number of iterations"), "{error}");
    bindings.ranges.insert("n".into(), (0, 7));
    assert_eq!(shape(&load(&model, &bindings).expect("is bounded"), 0), "f32 [n, 2]");
}
