//! The walk over the nodes: names to values, functions and branches inlined.

mod branch;
mod flex;
mod grow;
mod repeat;
mod scan;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use crate::graph::ValueId;

use super::attributes::{Attributes, Named};
use super::builder::Builder;
use super::call::Call;
use super::error::{ImportError, NodeRef, UnsupportedOperator};
use super::functions::{Functions, Key, function_key, node_key};
use super::ports::Scope;
use super::proto::{
    AttributeProto, AttributeType, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto,
};
use super::text::{TextUse, Texts, text_use};
use super::{half, ops, order};

type Imported<T = Vec<ValueId>> = Result<T, ImportError>;

/// The operator sets that are supported, of the standard domain.
const OPSETS: std::ops::RangeInclusive<i64> = 1..=28;
/// Nodes that a model may have whatever its size; functions that call functions multiply them.
const FREE_NODES: usize = 100_000;
/// Nodes that each node of the file may become.
const NODES_PER_NODE: usize = 16;
/// A greater extent that depends on data that nobody has bounded is a mistake.
const FAR: i64 = 1 << 28;
/// Functions and branches nest at most this deep.
const MAX_DEPTH: usize = 32;

pub(super) fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

/// Versions of the operator sets in use, by domain.
#[derive(Clone, Debug, Default)]
pub(super) struct Opsets(BTreeMap<String, i64>);

impl Opsets {
    /// The sets that a model or function declares.
    pub(super) fn of_model(imports: &[OperatorSetIdProto]) -> Result<Self, ImportError> {
        let mut versions = BTreeMap::new();
        for import in imports {
            let name = domain(&import.domain);
            if name.is_empty() && !OPSETS.contains(&import.version) {
                return Err(ImportError::Opset {
                    domain: String::new(),
                    problem: format!(
                        "version {} is not supported; export the model with a version from {} to {}",
                        import.version,
                        OPSETS.start(),
                        OPSETS.end()
                    ),
                });
            }
            versions.insert(name.to_owned(), import.version);
        }
        Ok(Self(versions))
    }

    pub(super) fn version(&self, name: &str) -> Result<i64, ImportError> {
        self.0.get(name).copied().ok_or_else(|| ImportError::Opset {
            domain: name.to_owned(),
            problem: "nodes use it, but the model does not declare its version".into(),
        })
    }
}

/// Whether a node runs graphs that are its attributes.
fn is_control(node: &NodeProto) -> bool {
    let names = ["If", "Loop", "Scan", "SequenceMap"];
    domain(&node.domain).is_empty() && names.contains(&node.op_type.as_str())
}

/// Whether the importer knows the node's operator, not counting functions of the model.
pub(super) fn is_known(node: &NodeProto) -> bool {
    let (domain, op, _) = node_key(node);
    ops::entry(domain, op).is_some() || is_control(node)
}

/// Collects operators that are not supported, over the graph and the functions that it calls.
///
/// Branches are not looked into: the one that is not taken may use anything.
pub(super) fn check_supported(
    graph: &GraphProto,
    functions: &Functions<'_>,
    opsets: &Opsets,
) -> Result<(), ImportError> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut open = vec![(&graph.node, opsets.clone())];
    while let Some((nodes, opsets)) = open.pop() {
        for node in nodes {
            let key = node_key(node);
            if is_known(node) {
                continue;
            }
            if flex::is_flex_attention(node) {
                let graphs = node.attribute.iter().filter_map(|a| a.g.as_ref());
                open.extend(graphs.map(|graph| (&graph.node, opsets.clone())));
                continue;
            }
            match functions.find(key, opsets.version(key.0).ok()) {
                Some(function) if seen.insert(function_key(function)) => {
                    open.push((&function.node, Opsets::of_model(&function.opset_import)?));
                }
                Some(_) => {}
                None => *counts.entry((key.0, key.1)).or_default() += 1,
            }
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let operators = counts
        .into_iter()
        .map(|((domain, op), count)| UnsupportedOperator {
            domain: domain.to_owned(),
            op: op.to_owned(),
            count,
        })
        .collect();
    Err(ImportError::Unsupported { operators })
}

/// What the nodes of one body share.
struct Frame<'m, 'o> {
    opsets: &'o Opsets,
    /// Attributes of the surrounding function's call.
    attributes: Vec<Named<'m>>,
    /// Functions that are being inlined, the innermost last.
    functions: Vec<Key<'m>>,
    /// The first scope whose names are visible.
    base: usize,
    depth: usize,
}

/// The state of the walk.
pub(super) struct Walker<'m, 'c, 'f> {
    builder: Builder<'f>,
    functions: &'m Functions<'m>,
    folder: Option<&'c Path>,
    scopes: Vec<Scope>,
    /// Nodes that may still be visited.
    nodes_left: usize,
    /// Bounds of loops that the caller gives, by the name of the node, and those that are used.
    trips: &'c BTreeMap<String, usize>,
    bounded: BTreeSet<String>,
}

/// A node that runs graphs, with its operands.
struct Control<'n, 'm> {
    node: &'m NodeProto,
    name: &'n NodeRef,
    inputs: &'n [Option<ValueId>],
}

impl<'m> Control<'_, 'm> {
    fn problem(&self, problem: impl Into<String>) -> ImportError {
        ImportError::Node { node: Box::new(self.name.clone()), problem: problem.into() }
    }

    fn fail<T>(&self, problem: impl Into<String>) -> Imported<T> {
        Err(self.problem(problem))
    }

    fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }

    /// Operands from `i` on, none of which may be left out.
    fn inputs_from(&self, i: usize) -> Imported {
        let rest = self.inputs.get(i..).unwrap_or_default();
        let all: Option<Vec<ValueId>> = rest.iter().copied().collect();
        all.ok_or_else(|| self.problem("one of its inputs is left out"))
    }

    /// What it is called where its name is missing, and what its output `i` is called.
    fn output_name(&self, i: usize) -> String {
        match self.node.output.get(i) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("{}:{i}", self.name.label()),
        }
    }

    /// The graph that is the attribute `name`.
    fn graph(&self, name: &str) -> Imported<&'m GraphProto> {
        let found = self.node.attribute.iter().find(|a| a.name == name);
        let graph = found.filter(|a| a.r#type == AttributeType::Graph as i32);
        graph.and_then(|a| a.g.as_ref()).ok_or_else(|| ImportError::Attribute {
            node: Box::new(self.name.clone()),
            attribute: name.to_owned(),
            problem: "is missing or no graph".into(),
        })
    }

    /// Refuses attributes that are not among `known`.
    fn only(&self, known: &[&str]) -> Imported<()> {
        match self.node.attribute.iter().find(|a| !known.contains(&a.name.as_str())) {
            None => Ok(()),
            Some(other) => Err(ImportError::Attribute {
                node: Box::new(self.name.clone()),
                attribute: other.name.clone(),
                problem: "is not known".into(),
            }),
        }
    }
}

impl<'m, 'c, 'f> Walker<'m, 'c, 'f> {
    pub(super) fn new(
        builder: Builder<'f>,
        functions: &'m Functions<'m>,
        folder: Option<&'c Path>,
        trips: &'c BTreeMap<String, usize>,
    ) -> Self {
        let (scopes, bounded) = (Vec::new(), BTreeSet::new());
        Self { builder, functions, folder, scopes, nodes_left: 0, trips, bounded }
    }

    /// Adds all nodes; returns the graph and the values by name.
    pub(super) fn run(
        mut self,
        nodes: &'m [NodeProto],
        scope: Scope,
        opsets: &Opsets,
    ) -> Result<(Builder<'f>, Scope), ImportError> {
        self.scopes.push(scope);
        self.nodes_left = (nodes.len() + self.functions.node_count()) * NODES_PER_NODE + FREE_NODES;
        let frame =
            Frame { opsets, attributes: Vec::new(), functions: Vec::new(), base: 0, depth: 0 };
        self.nodes(nodes, &frame)?;
        if let Some(name) = self.trips.keys().find(|name| !self.bounded.contains(*name)) {
            return Err(ImportError::Binding(format!(
                "no loop whose length is decided at run time is called {name:?}"
            )));
        }
        let scope = self.scopes.pop().unwrap_or_default();
        Ok((self.builder, scope))
    }

    fn lookup(&self, name: &str, base: usize) -> Option<ValueId> {
        let visible = self.scopes.get(base..).unwrap_or_default();
        visible.iter().rev().find_map(|scope| scope.get(name).copied())
    }

    fn node_ref(node: &NodeProto, i: usize, frame: &Frame<'m, '_>) -> Box<NodeRef> {
        Box::new(NodeRef {
            name: node.name.clone(),
            position: i,
            op: node.op_type.clone(),
            function: frame.functions.last().map(|(_, name, _)| (*name).to_owned()),
        })
    }

    fn nodes(&mut self, nodes: &'m [NodeProto], frame: &Frame<'m, '_>) -> Result<(), ImportError> {
        order::check(
            nodes,
            |name| self.lookup(name, frame.base).is_some(),
            |i, node| Self::node_ref(node, i, frame),
        )?;
        for (i, node) in nodes.iter().enumerate() {
            let name = Self::node_ref(node, i, frame);
            let results = self.node(node, name, frame)?;
            let scope = self.scopes.last_mut();
            if let Some(scope) = scope {
                let named = node.output.iter().zip(results).filter(|(name, _)| !name.is_empty());
                scope.extend(named.map(|(name, id)| (name.clone(), id)));
            }
        }
        Ok(())
    }

    fn node(
        &mut self,
        node: &'m NodeProto,
        name: Box<NodeRef>,
        frame: &Frame<'m, '_>,
    ) -> Result<Vec<ValueId>, ImportError> {
        let Some(left) = self.nodes_left.checked_sub(1) else {
            let problem =
                "functions and loops multiply the nodes of the model beyond all measure; \
                           call fewer, or nest them less"
                    .into();
            return Err(ImportError::Node { node: name, problem });
        };
        self.nodes_left = left;
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            inputs.push(match (input.is_empty(), self.lookup(input, frame.base)) {
                (true, _) => None,
                (false, Some(id)) => Some(id),
                (false, None) => {
                    return Err(ImportError::UnknownValue { node: name, value: input.clone() });
                }
            });
        }
        let attributes = Attributes::new(&node.attribute, &frame.attributes);
        let key = node_key(node);
        let results = if is_control(node) {
            let node = Control { node, name: &name, inputs: &inputs };
            match node.node.op_type.as_str() {
                "If" => self.branch(&node, frame)?,
                "Loop" => self.repeat(&node, frame)?,
                "Scan" => self.scan(&node, frame)?,
                _ => self.map(&node, frame)?,
            }
        } else if flex::is_flex_attention(node) {
            self.flex_attention(node, &name, inputs, attributes, frame)?
        } else if let Some(entry) = ops::entry(key.0, key.1) {
            let version = frame.opsets.version(key.0)?;
            self.operator(node, &name, inputs, attributes, (entry, version))?
        } else if let Some(function) = self.functions.find(key, frame.opsets.version(key.0).ok()) {
            self.function(function, &name, &inputs, attributes.all(), frame)?
        } else {
            let (domain, op) = (key.0.to_owned(), key.1.to_owned());
            let operators = vec![UnsupportedOperator { domain, op, count: 1 }];
            return Err(ImportError::Unsupported { operators });
        };
        self.builder.budget.check()?;
        let wanted = node.output.iter().rposition(|o| !o.is_empty()).map_or(0, |i| i + 1);
        if results.len() < wanted {
            let problem = format!("it has {} outputs, {wanted} are read", results.len());
            return Err(ImportError::Node { node: name, problem });
        }
        Ok(results)
    }

    /// A node with its operands, for the importer of its operator.
    fn call(
        &mut self,
        node: &'m NodeProto,
        name: &NodeRef,
        inputs: Vec<Option<ValueId>>,
        attributes: Attributes<'m>,
        version: i64,
    ) -> Call<'_, 'm, 'f> {
        Call {
            label: name.label(),
            node: Box::new(name.clone()),
            version,
            inputs,
            input_names: &node.input,
            output_names: &node.output,
            attributes,
            folder: self.folder,
            unbounded: Vec::new(),
            builder: &mut self.builder,
        }
    }

    fn operator(
        &mut self,
        node: &'m NodeProto,
        name: &NodeRef,
        inputs: Vec<Option<ValueId>>,
        attributes: Attributes<'m>,
        (entry, version): (ops::Entry, i64),
    ) -> Result<Vec<ValueId>, ImportError> {
        let first_new = self.builder.graph.values.len();
        let mut call = self.call(node, name, inputs, attributes, version);
        if call.inputs.iter().rposition(Option::is_some).is_some_and(|i| i >= entry.inputs) {
            let known = entry.inputs;
            return call.fail(format!("it has {} inputs, {known} are known", call.inputs.len()));
        }
        if let Some(i) = (entry.outputs..node.output.len()).find(|i| call.wants(*i)) {
            return call.fail(format!("output {i} ({:?}) is not supported", node.output[i]));
        }
        let tensors = call.inputs.iter().flatten().all(|id| call.builder.is_tensor(*id));
        if !tensors && !ops::takes_sequences(&node.op_type) {
            return call.fail("it takes tensors, and one of its inputs is none");
        }
        let texts = passed_on(&call, text_use(domain(&node.domain), &node.op_type))?;
        let before = half::widen_operands(&mut call, domain(&node.domain))?;
        let results = match (entry.import(domain(&node.domain), &mut call), call.unbounded.first())
        {
            (Err(error), Some(i)) => return Err(call.not_bounded(*i, &error)),
            (Ok(results), Some(i)) => {
                let open = results.iter().flat_map(|id| call.shape(*id));
                let open = open.max_by_key(|dim| dim.upper(call.variables()));
                match open.filter(|dim| dim.upper(call.variables()) > FAR) {
                    Some(dim) => {
                        let extent = dim.display(call.variables()).to_string();
                        let error = call.problem(format!("the extent {extent} has no limit"));
                        return Err(call.not_bounded(*i, &error));
                    }
                    None => results,
                }
            }
            (results, None) => results?,
        };
        let results = half::round_results(&mut call, &before, results)?;
        if let Some(texts) = texts {
            results.iter().for_each(|id| call.builder.texts.set(*id, texts.clone()));
        }
        if let Some(attribute) = call.attributes.unread() {
            return call.refuse(attribute, format!("is not known in operator set {version}"));
        }
        for (id, name) in results.iter().zip(&node.output) {
            if id.0 as usize >= first_new && !name.is_empty() {
                self.builder.graph.value_mut(*id).name.clone_from(name);
            }
        }
        Ok(results)
    }

    /// Inlines the function's body.
    fn function(
        &mut self,
        function: &'m FunctionProto,
        name: &NodeRef,
        inputs: &[Option<ValueId>],
        mut attributes: Vec<Named<'m>>,
        frame: &Frame<'m, '_>,
    ) -> Result<Vec<ValueId>, ImportError> {
        let fail = |problem: String| ImportError::Node { node: Box::new(name.clone()), problem };
        let key = function_key(function);
        if frame.functions.contains(&key) {
            return Err(fail("the function calls itself".into()));
        }
        if frame.depth >= MAX_DEPTH {
            return Err(fail(format!("functions nest deeper than {MAX_DEPTH}")));
        }
        if inputs.len() > function.input.len() {
            let known = function.input.len();
            return Err(fail(format!("it has {} inputs, the function {known}", inputs.len())));
        }
        for default in &function.attribute_proto {
            if !attributes.iter().any(|(name, _)| *name == default.name) {
                attributes.push((&default.name, default));
            }
        }
        let known = |n: &str| {
            let mut defaults = function.attribute_proto.iter().map(|a: &AttributeProto| &a.name);
            defaults.any(|name| name == n) || function.attribute.iter().any(|name| name == n)
        };
        if let Some((unknown, _)) = attributes.iter().find(|(name, _)| !known(name)) {
            return Err(ImportError::Attribute {
                node: Box::new(name.clone()),
                attribute: (*unknown).to_owned(),
                problem: "is not known to the function".into(),
            });
        }
        let opsets = Opsets::of_model(&function.opset_import)?;
        let mut functions = frame.functions.clone();
        functions.push(key);
        let inner = Frame {
            opsets: &opsets,
            attributes,
            functions,
            base: self.scopes.len(),
            depth: frame.depth + 1,
        };
        let given = function.input.iter().zip(inputs);
        self.scopes.push(given.filter_map(|(n, id)| Some((n.clone(), (*id)?))).collect());
        self.nodes(&function.node, &inner)?;
        let scope = self.scopes.pop().unwrap_or_default();
        let output = |name: &String| {
            scope
                .get(name)
                .copied()
                .ok_or_else(|| fail(format!("no node of the function gives its output {name:?}")))
        };
        function.output.iter().map(output).collect()
    }

    /// The nodes of a graph that is an attribute; `scope` has the values of its inputs.
    fn body(
        &mut self,
        of: &Control<'_, 'm>,
        graph: &'m GraphProto,
        mut scope: Scope,
        frame: &Frame<'m, '_>,
    ) -> Imported {
        if frame.depth >= MAX_DEPTH {
            return of.fail(format!("graphs nest deeper than {MAX_DEPTH}"));
        }
        if !graph.sparse_initializer.is_empty() {
            return of.fail("a body with sparse constants is not supported");
        }
        for proto in &graph.initializer {
            let id = self.builder.add_stored(&proto.name, proto, self.folder)?;
            scope.insert(proto.name.clone(), id);
        }
        let inner = Frame {
            opsets: frame.opsets,
            attributes: frame.attributes.clone(),
            functions: frame.functions.clone(),
            base: frame.base,
            depth: frame.depth + 1,
        };
        self.scopes.push(scope);
        self.nodes(&graph.node, &inner)?;
        let found: Vec<Option<ValueId>> =
            graph.output.iter().map(|info| self.lookup(&info.name, frame.base)).collect();
        self.scopes.pop();
        let found: Option<Vec<ValueId>> = found.into_iter().collect();
        found.ok_or_else(|| of.problem("no node of the body gives one of its outputs"))
    }

    /// Makes `result` text where all that it is made of is.
    fn pass_text(
        &mut self,
        of: &Control<'_, 'm>,
        parts: &[ValueId],
        result: ValueId,
    ) -> Imported<()> {
        let texts = self.builder.texts.shared(parts.iter().copied());
        if let Some(texts) = texts.map_err(|problem| of.problem(problem))? {
            self.builder.texts.set(result, texts);
        }
        Ok(())
    }
}

/// The table that the results of an operator count into where its operands do.
fn passed_on(call: &Call<'_, '_, '_>, usage: TextUse) -> Result<Option<Texts>, ImportError> {
    if usage == TextUse::Reads || call.builder.texts.is_empty() {
        return Ok(None);
    }
    let texts = |i: usize| call.inputs[i].and_then(|id| call.builder.texts.of(id));
    let carries = |i: &usize| match usage {
        TextUse::Moves => *i == 0,
        TextUse::Joins(first) => *i >= first,
        TextUse::Reads | TextUse::Computes => false,
    };
    let (carrying, others): (Vec<usize>, Vec<usize>) = (0..call.inputs.len()).partition(carries);
    if let Some(i) = others.into_iter().find(|i| texts(*i).is_some()) {
        return call.fail(format!(
            "input {i} is text; labels can be looked up, picked and arranged, but nothing can be \
             computed of them"
        ));
    }
    let carrying = carrying.into_iter().filter_map(|i| call.inputs[i]);
    call.builder.texts.shared(carrying).or_else(|problem| call.fail(problem))
}
