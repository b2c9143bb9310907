//! What a model uses, whether or not it can be loaded.

use std::collections::{BTreeMap, HashSet};

use super::error::{ImportError, UnsupportedOperator};
use super::functions::{Functions, function_key, node_key};
use super::ports::show_port;
use super::proto::{GraphProto, ModelProto, NodeProto};
use super::walk::{Opsets, is_known};

/// An operator of a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct UsedOperator {
    /// Its domain; empty for the standard one.
    pub domain: String,
    /// Its name.
    pub op: String,
    /// Number of nodes: of the graph, of bodies in it, and of functions that it calls, each
    /// function counted once.
    pub count: usize,
    /// Whether the importer knows it. It may still refuse a form of it.
    pub is_supported: bool,
}

/// What a model uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// Who wrote it.
    pub producer: String,
    /// Operator sets (domain, version).
    pub opsets: Vec<(String, i64)>,
    /// Inputs that are no constants, as `name type[shape]`.
    pub inputs: Vec<String>,
    /// Outputs, likewise.
    pub outputs: Vec<String>,
    /// Operators, by domain and name.
    pub operators: Vec<UsedOperator>,
}

/// Counts what a model uses.
pub(super) fn survey(model: &ModelProto) -> Survey {
    let Some(graph) = &model.graph else { return Survey::default() };
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|info| !constants.contains(info.name.as_str()));
    let sets = model.opset_import.iter();
    Survey {
        producer: model.producer_name.clone(),
        opsets: sets.map(|set| (set.domain.clone(), set.version)).collect(),
        inputs: inputs.map(show_port).collect(),
        outputs: graph.output.iter().map(show_port).collect(),
        operators: operators(
            graph,
            &Functions::new(&model.functions),
            &Opsets::of_model(&model.opset_import).unwrap_or_default(),
        ),
    }
}

/// All operators, bodies and functions included. Calls of functions are none.
fn operators(graph: &GraphProto, functions: &Functions<'_>, opsets: &Opsets) -> Vec<UsedOperator> {
    let mut counts: BTreeMap<(&str, &str), (usize, bool)> = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut open: Vec<(&[NodeProto], Opsets)> = vec![(&graph.node, opsets.clone())];
    while let Some((nodes, opsets)) = open.pop() {
        for node in nodes {
            let attributes = node.attribute.iter();
            let bodies = attributes.flat_map(|a| a.g.iter().chain(&a.graphs));
            open.extend(bodies.map(|body| (&body.node[..], opsets.clone())));
            let key = node_key(node);
            let known = is_known(node);
            match functions.find(key, opsets.version(key.0).ok()).filter(|_| !known) {
                Some(function) if seen.insert(function_key(function)) => {
                    let of_function = Opsets::of_model(&function.opset_import);
                    open.push((&function.node, of_function.unwrap_or_default()));
                }
                Some(_) => {}
                None => counts.entry((key.0, key.1)).or_insert((0, known)).0 += 1,
            }
        }
    }
    let each = counts.into_iter().map(|((domain, op), (count, is_supported))| UsedOperator {
        domain: domain.to_owned(),
        op: op.to_owned(),
        count,
        is_supported,
    });
    each.collect()
}

/// The error with every operator that is not supported, where it named one.
pub(super) fn completed(
    error: ImportError,
    graph: &GraphProto,
    functions: &Functions<'_>,
    opsets: &Opsets,
) -> ImportError {
    let ImportError::Unsupported { operators: named } = error else { return error };
    let all = operators(graph, functions, opsets).into_iter().filter(|o| !o.is_supported);
    let operators: Vec<UnsupportedOperator> =
        all.map(|o| UnsupportedOperator { domain: o.domain, op: o.op, count: o.count }).collect();
    let whole =
        named.iter().all(|n| operators.iter().any(|o| (&o.domain, &o.op) == (&n.domain, &n.op)));
    ImportError::Unsupported { operators: if whole { operators } else { named } }
}
