//! Trees that are none, and text where none can be.

use super::fixture::*;
use super::proto::{AttributeProto, AttributeType, ModelProto, NodeProto};
use super::proto::{OperatorSetIdProto, TensorProto, ValueInfoProto};
use super::{Bindings, load_with, refused, through};

const TEXT: i32 = 8;

fn list(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind as i32, ..AttributeProto::default() }
}

fn reals(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto { floats: floats.to_vec(), ..list(name, AttributeType::Floats) }
}

fn texts(name: &str, texts: &[&str]) -> AttributeProto {
    let strings = texts.iter().map(|t| t.as_bytes().to_vec()).collect();
    AttributeProto { strings, ..list(name, AttributeType::Strings) }
}

/// The model with the classical operators in version 3.
fn classical(mut model: ModelProto) -> ModelProto {
    let domain = "ai.onnx.ml".to_owned();
    model.opset_import.push(OperatorSetIdProto { domain: domain.clone(), version: 3 });
    for node in &mut model.graph.as_mut().expect("a graph").node {
        let labels = ["LabelEncoder", "ZipMap"].contains(&node.op_type.as_str());
        if labels || node.op_type.contains("Tree") {
            node.domain.clone_from(&domain);
        }
    }
    model
}

/// One tree: node 0 leads to 1 and 2; `change` is made to the attributes.
fn tree(change: impl Fn(&mut Vec<AttributeProto>)) -> String {
    let mut attributes = vec![
        int("n_targets", 1),
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[1, 0, 0]),
        texts("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
        reals("nodes_values", &[0.5, 0.0, 0.0]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
        ints("target_treeids", &[0, 0]),
        ints("target_nodeids", &[1, 2]),
        ints("target_ids", &[0, 0]),
        reals("target_weights", &[1.0, 2.0]),
    ];
    change(&mut attributes);
    let node = node_with("TreeEnsembleRegressor", &["x"], &["y"], attributes);
    refused(&classical(through(vec![node], vec![])))
}

/// A tree with other lists in place of those of these names.
fn with(replaced: &[(&str, &[i64])]) -> String {
    tree(|attributes| {
        for (name, values) in replaced {
            let at = attributes.iter().position(|a| a.name == *name).expect("there");
            attributes[at] = ints(name, values);
        }
    })
}

#[test]
fn trees_that_are_none() {
    let node = "node #0 (TreeEnsembleRegressor): ";
    for (text, want) in [
        (
            with(&[("nodes_truenodeids", &[7, 0, 0])]),
            "node 0 of tree 0 leads to node 7, which is missing",
        ),
        (with(&[("nodes_truenodeids", &[2, 0, 0])]), "tree 0 has two roots"),
        (with(&[("nodes_truenodeids", &[0, 0, 0])]), "branch 0 is reached from no root"),
        (
            with(&[("nodes_falsenodeids", &[1, 0, 0]), ("nodes_truenodeids", &[1, 0, 0])]),
            "tree 0 has two roots",
        ),
        (with(&[("nodes_nodeids", &[0, 1, 1])]), "tree 0 has two nodes 1"),
        (
            with(&[("nodes_treeids", &[0, 0, 4])]),
            "node 0 of tree 0 leads to node 2, which is missing",
        ),
        (with(&[("nodes_featureids", &[3, 0, 0])]), "feature 3 is used, the data has 3"),
        (with(&[("nodes_featureids", &[-1, 0, 0])]), "attribute nodes_featureids holds -1"),
        (
            with(&[("nodes_featureids", &[1, 0])]),
            "attribute nodes_featureids has 2 elements, there are 3 nodes",
        ),
        (with(&[("target_nodeids", &[0, 2])]), "node 0 of tree 0 has a weight, but is no leaf"),
        (with(&[("target_nodeids", &[1, 9])]), "node 9 of tree 0 has a weight, but is missing"),
        (
            with(&[("target_nodeids", &[1, 1])]),
            "a leaf has no weight; engines differ on what that means",
        ),
        (with(&[("target_ids", &[0, 1])]), "attribute target_ids holds 1, there are 1 outputs"),
        (with(&[("target_ids", &[0])]), "attribute target_ids has 1 elements for 2 weights"),
    ] {
        assert_eq!(text, format!("{node}{want}"));
    }
    let unknown = tree(|a| a[4] = texts("nodes_modes", &["BRANCH_LEQ", "LEAF", "BUSH"]));
    assert_eq!(unknown, format!("{node}attribute nodes_modes holds \"BUSH\", which is unknown"));
    let circle = tree(|a| {
        a[4] = texts("nodes_modes", &["BRANCH_LEQ", "BRANCH_LT", "LEAF"]);
        a[6] = ints("nodes_truenodeids", &[1, 0, 0]);
        a[7] = ints("nodes_falsenodeids", &[2, 7, 0]);
    });
    assert_eq!(circle, format!("{node}node 1 of tree 0 leads to node 7, which is missing"));
    let logistic = tree(|a| a.push(string("post_transform", "LOGISTIC")));
    assert!(logistic.contains("engines do not apply to a single target"), "{logistic}");
}

fn names(name: &str) -> TensorProto {
    let string_data = vec![b"a".to_vec(), b"b".to_vec()];
    TensorProto {
        name: name.to_owned(),
        dims: vec![2],
        data_type: TEXT,
        string_data,
        ..TensorProto::default()
    }
}

#[test]
fn text_that_is_computed_with() {
    let model = through(vec![node("Exp", &["names"], &["y"])], vec![names("names")]);
    assert_eq!(
        refused(&model),
        "node #0 (Exp): input 0 is text; labels can be looked up, picked and arranged, but nothing \
         can be computed of them"
    );
    let pick = node("Gather", &["x", "names"], &["y"]);
    assert!(refused(&through(vec![pick], vec![names("names")])).contains("input 1 is text"));
    let mut broken = names("names");
    broken.dims = vec![3];
    let model = through(vec![node("Exp", &["x"], &["y"])], vec![broken]);
    assert_eq!(refused(&model), "tensor \"names\": the shape [3] needs 3 texts, the file has 2");
    let mut broken = names("names");
    broken.string_data[0] = vec![0xff];
    let model = through(vec![node("Exp", &["x"], &["y"])], vec![broken]);
    assert_eq!(refused(&model), "tensor \"names\": a text is not UTF-8");
}

#[test]
fn text_ports() {
    let as_text = |axes: &[&str]| vec![port("y", TEXT, axes)];
    let nodes = vec![node("Identity", &["names"], &["y"])];
    let x = || vec![port("x", F32, &["2", "3"])];
    let number = model(17, body(x(), vec![], vec![node("Exp", &["x"], &["y"])], as_text(&["2"])));
    assert_eq!(refused(&number), "output \"y\" is declared string, but computed as f32");
    let text = model(17, body(x(), vec![names("names")], nodes, vec![port("y", I64, &["2"])]));
    assert_eq!(refused(&text), "output \"y\" is declared i64, but computed as string");
    let keys = vec![texts("keys_strings", &["a"]), ints("values_int64s", &[1])];
    let encoder = node_with("LabelEncoder", &["x"], &["y"], keys);
    let text = refused(&classical(through(vec![encoder], vec![])));
    assert!(text.contains("the keys are text, but the data is not the labels"), "{text}");
}

/// The graph `name` whose nodes give the outputs `results`, all text.
fn gives(
    name: &str,
    nodes: Vec<NodeProto>,
    inputs: Vec<ValueInfoProto>,
    results: &[&str],
) -> AttributeProto {
    let results = results.iter().map(|result| port(result, TEXT, &["2"])).collect();
    graph(name, body(inputs, vec![], nodes, results))
}

#[test]
fn text_of_different_tables_in_one_value() {
    let mut other = names("other");
    other.string_data.reverse();
    let tables = || vec![names("names"), other.clone()];
    let branch = |name: &str, texts: &str| {
        gives(name, vec![node("Identity", &[texts], &["t"])], vec![], &["t"])
    };
    let choice = |texts: [&str; 2]| {
        let branches = vec![branch("then_branch", texts[0]), branch("else_branch", texts[1])];
        let nodes = vec![node_with("If", &["c"], &["y"], branches)];
        let condition = vec![port("c", BOOL, &["1"])];
        model(17, body(condition, tables(), nodes, vec![port("y", TEXT, &["2"])]))
    };
    let refusal = "it joins labels of different tables";
    assert_eq!(refused(&choice(["names", "other"])), format!("node #0 (If): {refusal}"));
    let same = load_with(&choice(["names", "names"]), &Bindings::default()).expect("one table");
    assert_eq!(same.labels[0].texts, ["a", "b"]);
    // Each iteration exchanges them.
    let inputs = vec![
        port("i", I64, &[]),
        port("on", BOOL, &[]),
        port("a", TEXT, &["2"]),
        port("b", TEXT, &["2"]),
    ];
    let nodes = vec![
        node("Identity", &["on"], &["still"]),
        node("Identity", &["b"], &["p"]),
        node("Identity", &["a"], &["q"]),
    ];
    let body_of = gives("body", nodes, inputs, &["still", "p", "q"]);
    let nodes = vec![node_with("Loop", &["n", "", "names", "other"], &["y", ""], vec![body_of])];
    let mut constants = tables();
    constants.push(numbers("n", &[2000]));
    let model = model(17, body(vec![], constants, nodes, vec![port("y", TEXT, &["2"])]));
    assert_eq!(refused(&model), format!("node #0 (Loop): {refusal}"));
}
