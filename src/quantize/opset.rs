//! Raising the operator set of a model.
//!
//! Most operators mean the same in a later set. Those that do not are rewritten where that is a
//! matter of form: attributes that became inputs, a default that is written out. What a rewrite
//! cannot be sure of is refused.
//!
//! **Source**: the change log of the ONNX operators.

use std::collections::HashMap;

use super::draft::{code, int};
use super::error::QuantizeError;
use super::model::{Model, raw};
use super::options::Options;
use super::samples::{Observed, Samples};
use crate::onnx::proto::{FunctionProto, GraphProto, NodeProto, TensorProto};

/// How an operator changed.
#[derive(Clone, Copy)]
enum Change {
    /// An attribute of integers became the input at a position.
    Input(&'static str, usize),
    /// The axis was the last by chance or not; what lies behind it was one axis with it.
    Flattened,
    /// A split in equal parts says how many.
    Parts,
    /// Otherwise.
    Meaning,
}

/// Operators with a version from which on they are read otherwise.
const CHANGES: [(&str, i64, Change); 43] = [
    ("Add", 7, Change::Meaning),
    ("Sub", 7, Change::Meaning),
    ("Mul", 7, Change::Meaning),
    ("Div", 7, Change::Meaning),
    ("Pow", 7, Change::Meaning),
    ("And", 7, Change::Meaning),
    ("Or", 7, Change::Meaning),
    ("Xor", 7, Change::Meaning),
    ("Equal", 7, Change::Meaning),
    ("Less", 7, Change::Meaning),
    ("Greater", 7, Change::Meaning),
    ("PRelu", 7, Change::Meaning),
    ("Gemm", 7, Change::Meaning),
    ("BatchNormalization", 9, Change::Meaning),
    ("Upsample", 10, Change::Meaning),
    ("Slice", 10, Change::Meaning),
    ("TopK", 10, Change::Input("k", 1)),
    ("Resize", 11, Change::Meaning),
    ("Pad", 11, Change::Meaning),
    ("Clip", 11, Change::Meaning),
    ("Scan", 9, Change::Meaning),
    ("Scatter", 11, Change::Meaning),
    ("Loop", 11, Change::Meaning),
    ("Dropout", 12, Change::Meaning),
    ("Squeeze", 13, Change::Input("axes", 1)),
    ("Unsqueeze", 13, Change::Input("axes", 1)),
    ("ReduceSum", 13, Change::Input("axes", 1)),
    ("Split", 13, Change::Input("split", 1)),
    ("Softmax", 13, Change::Flattened),
    ("LogSoftmax", 13, Change::Flattened),
    ("Hardmax", 13, Change::Flattened),
    ("RoiAlign", 16, Change::Meaning),
    ("ReduceMean", 18, Change::Input("axes", 1)),
    ("ReduceMax", 18, Change::Input("axes", 1)),
    ("ReduceMin", 18, Change::Input("axes", 1)),
    ("ReduceProd", 18, Change::Input("axes", 1)),
    ("ReduceL1", 18, Change::Input("axes", 1)),
    ("ReduceL2", 18, Change::Input("axes", 1)),
    ("ReduceLogSum", 18, Change::Input("axes", 1)),
    ("ReduceLogSumExp", 18, Change::Input("axes", 1)),
    ("ReduceSumSquare", 18, Change::Input("axes", 1)),
    ("Split", 18, Change::Parts),
    ("GridSample", 20, Change::Meaning),
];

/// Operators that changed later, in ways that are no matter of form.
const LATER: [(&str, i64); 2] = [("DFT", 20), ("GroupNormalization", 21)];

/// Ranks of the values of which a change asks it.
pub(super) type Ranks = HashMap<String, usize>;

/// The ranks that the loaded model tells; none where it cannot be loaded. Extents that are open
/// count for nothing here.
pub(super) fn ranks(model: &Model, options: &Options) -> Ranks {
    let flattened = |op: &str| {
        let mut changes = CHANGES.iter();
        changes.any(|(name, at, change)| {
            *name == op && model.opset() < *at && matches!(change, Change::Flattened)
        })
    };
    let nodes = model.graph().node.iter().filter(|node| flattened(&node.op_type));
    let names: Vec<&str> = nodes.filter_map(|node| Some(node.input.first()?.as_str())).collect();
    if names.is_empty() {
        return Ranks::new();
    }
    let with_extent = |extent: usize| {
        let file = model.to_bytes().ok()?;
        let open = crate::onnx::names(&file).ok()?.dims;
        let chosen = options.load.dims();
        let open = open.into_iter().filter(|dim| !chosen.contains_key(dim));
        let load = open.fold(options.load.clone(), |load, dim| load.dim(&dim, extent));
        Observed::load(model, &names, &Samples::none(), &options.clone().load(load)).ok()
    };
    let as_chosen = Observed::load(model, &names, &Samples::none(), options).ok();
    let loaded = as_chosen.or_else(|| [1, 8, 32].into_iter().find_map(with_extent));
    loaded.map_or_else(Ranks::new, |observed| observed.ranks())
}

/// Rewrites a graph of operator set `has` for the set `needed`.
pub(super) fn raise(
    graph: &mut GraphProto,
    functions: &[FunctionProto],
    has: i64,
    needed: i64,
    ranks: &Ranks,
) -> Result<(), QuantizeError> {
    let refuse =
        |op: &str, advice| Err(QuantizeError::Opset { needed, has, op: op.to_owned(), advice });
    if let Some(function) = functions.first() {
        return refuse(&function.name, "it is a function of the model; export it for that set");
    }
    let mut constants = Vec::new();
    for node in &mut graph.node {
        let is_standard = node.domain.is_empty() || node.domain == "ai.onnx";
        for attribute in &mut node.attribute {
            for body in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                raise(body, functions, has, needed, ranks)?;
            }
        }
        let passed = |version: i64| is_standard && has < version && version <= needed;
        if LATER.iter().any(|(op, version)| *op == node.op_type && passed(*version)) {
            return refuse(&node.op_type, "export the model for that set");
        }
        for (op, version, change) in CHANGES {
            if op != node.op_type || !passed(version) {
                continue;
            }
            match change {
                Change::Input(name, at) => attribute_to_input(node, name, at, &mut constants),
                Change::Parts => {
                    let split = node.input.get(1).is_some_and(|name| !name.is_empty());
                    if !split && !node.attribute.iter().any(|a| a.name == "num_outputs") {
                        node.attribute.push(int("num_outputs", node.output.len() as i64));
                    }
                }
                Change::Flattened => {
                    let axis = node.attribute.iter().find(|a| a.name == "axis").map_or(1, |a| a.i);
                    let is_last = axis == -1
                        || node.input.first().and_then(|x| ranks.get(x).copied())
                            == usize::try_from(axis + 1).ok();
                    if !is_last {
                        return refuse(&node.op_type, "export the model for that set");
                    }
                    node.attribute.retain(|a| a.name != "axis");
                    node.attribute.push(int("axis", -1));
                }
                Change::Meaning => return refuse(&node.op_type, "export the model for that set"),
            }
        }
    }
    graph.initializer.append(&mut constants);
    Ok(())
}

/// Makes a constant input of an attribute.
fn attribute_to_input(
    node: &mut NodeProto,
    name: &str,
    at: usize,
    constants: &mut Vec<TensorProto>,
) {
    let Some(i) = node.attribute.iter().position(|attribute| attribute.name == name) else {
        return;
    };
    let attribute = node.attribute.remove(i);
    let values = if attribute.ints.is_empty() { vec![attribute.i] } else { attribute.ints };
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    // Results have names that nothing else has.
    let of = node.output.iter().find(|output| !output.is_empty()).map_or("", |output| output);
    let constant = format!("{of}_{name}_of_{}", node.op_type);
    constants.push(raw(&constant, code::I64, &[values.len() as i64], &bytes));
    node.input.resize(at.max(node.input.len()), String::new());
    match node.input.get_mut(at) {
        Some(slot) => *slot = constant,
        None => node.input.push(constant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{AttributeProto, AttributeType};
    use crate::quantize::draft::node;

    fn ints(name: &str, ints: &[i64]) -> AttributeProto {
        let (name, ints) = (name.to_owned(), ints.to_vec());
        AttributeProto { name, r#type: AttributeType::Ints as i32, ints, ..Default::default() }
    }

    fn raised(nodes: Vec<NodeProto>, has: i64, needed: i64) -> Result<GraphProto, String> {
        let mut graph = GraphProto { node: nodes, ..Default::default() };
        let ranks = Ranks::from([("x".to_owned(), 3)]);
        let done = raise(&mut graph, &[], has, needed, &ranks);
        done.map(|()| graph).map_err(|error| error.to_string())
    }

    #[test]
    fn attributes_become_inputs_when_their_version_is_passed() {
        let mut squeeze = node("Squeeze", &["x"], &["y"], "");
        squeeze.attribute.push(ints("axes", &[0, 2]));
        let graph = raised(vec![squeeze.clone()], 11, 13).expect("raised");
        let [moved] = &graph.node[..] else { panic!("one node") };
        assert!(moved.attribute.is_empty());
        assert_eq!(moved.input, ["x", &graph.initializer[0].name]);
        let data = graph.initializer[0].raw_data.as_deref();
        assert_eq!(data, Some(&[[0u8; 8], 2i64.to_le_bytes()].concat()[..]));
        let graph = raised(vec![squeeze.clone()], 13, 21).expect("raised");
        assert_eq!(graph.node, [squeeze]);
    }

    #[test]
    fn a_split_in_equal_parts_says_how_many() {
        let graph = raised(vec![node("Split", &["x"], &["a", "b", "c"], "")], 11, 21);
        assert_eq!(graph.expect("raised").node[0].attribute, [int("num_outputs", 3)]);
    }

    #[test]
    fn a_softmax_over_the_last_axis_stays_one() {
        for (axis, is_last) in [(Some(2), true), (Some(-1), true), (Some(1), false), (None, false)]
        {
            let mut softmax = node("Softmax", &["x"], &["y"], "");
            softmax.attribute.extend(axis.map(|axis| int("axis", axis)));
            let graph = raised(vec![softmax], 11, 13);
            assert_eq!(graph.is_ok(), is_last, "{axis:?}");
            if let Ok(graph) = graph {
                assert_eq!(graph.node[0].attribute, [int("axis", -1)]);
            }
        }
    }

    #[test]
    fn what_has_another_meaning_is_refused_also_in_a_body() {
        let clip = node("Clip", &["x"], &["y"], "");
        let error = raised(vec![clip.clone()], 10, 13).expect_err("refused");
        assert!(error.contains("Clip has changed"), "{error}");
        assert!(raised(vec![clip.clone()], 11, 13).is_ok());
        let mut branch = node("If", &["c"], &["y"], "");
        let body = GraphProto { node: vec![clip], ..Default::default() };
        let name = "then_branch".to_owned();
        branch.attribute.push(AttributeProto { name, g: Some(body), ..Default::default() });
        assert!(raised(vec![branch], 10, 13).is_err());
    }
}
