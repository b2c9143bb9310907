//! Inputs and outputs of the model: open dimensions, bound values, states.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::graph::ops::Unary;
use crate::graph::{
    Bindings, Dim, Extent, Fact, Graph, Labels, Op, Port, State, ValueId, VarId, Variable,
};
use crate::tensor::DType;

use super::Names;
use super::builder::Builder;
use super::error::{ImportError, NodeRef};
use super::proto::{DimensionValue, GraphProto, TensorProto, TypeValue, ValueInfoProto};
use super::sweep::sweep;
use super::tensor::{decode_sparse, element_type};
use super::text::{TEXT_CODE, Texts};

/// Values by name.
pub(super) type Scope = HashMap<String, ValueId>;
/// Dense forms of sparse constants are at most this large.
const SPARSE_LIMIT: usize = 256 << 20;

fn port_error(kind: &'static str, name: &str, problem: impl Into<String>) -> ImportError {
    ImportError::Port { kind, name: name.to_owned(), problem: problem.into() }
}

/// One axis as the model declares it.
enum Axis {
    Fixed(usize),
    Open(String),
}

/// Whether a dimension's name says which one it is; some exporters write `?` for any that is open.
fn names_one(param: &str) -> bool {
    !matches!(param, "" | "?")
}

struct Declared<'m> {
    name: &'m str,
    dtype: DType,
    /// `None` where not even the number of axes is declared.
    axes: Option<Vec<Axis>>,
}

fn declared<'m>(kind: &'static str, info: &'m ValueInfoProto) -> Result<Declared<'m>, ImportError> {
    let name = info.name.as_str();
    let tensor = match info.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(TypeValue::Tensor(tensor)) => tensor,
        None => return Err(port_error(kind, name, "has no declared type; export the model again")),
        Some(other) => {
            let what = match other {
                TypeValue::Sequence(_) => "a sequence",
                TypeValue::Map(_) => "a map",
                TypeValue::Optional(_) => "an optional value",
                TypeValue::SparseTensor(_) => "a sparse tensor",
                _ => "of an unknown kind",
            };
            let problem = format!("is {what}; only dense tensors are supported");
            return Err(port_error(kind, name, problem));
        }
    };
    let dtype = element_type(tensor.elem_type)
        .map_err(|dtype| ImportError::ElementType { what: format!("{kind} {name:?}"), dtype })?;
    let axes = tensor.shape.as_ref().map(|shape| {
        let axis = |(i, dim): (usize, &super::proto::DimensionProto)| match &dim.value {
            Some(DimensionValue::Value(n)) if *n >= 0 => Axis::Fixed(*n as usize),
            Some(DimensionValue::Param(param)) if names_one(param) => Axis::Open(param.clone()),
            _ => Axis::Open(format!("{name}.{i}")),
        };
        shape.dim.iter().enumerate().map(axis).collect()
    });
    Ok(Declared { name, dtype, axes })
}

/// An input or output as it is declared.
pub(super) fn show_port(info: &ValueInfoProto) -> String {
    let name = &info.name;
    match info.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(TypeValue::Tensor(tensor)) => {
            let dtype = element_type(tensor.elem_type)
                .map_or_else(|unsupported| unsupported, |dtype| dtype.to_string());
            let dim = |dim: &super::proto::DimensionProto| match &dim.value {
                Some(DimensionValue::Value(n)) => n.to_string(),
                Some(DimensionValue::Param(param)) if !param.is_empty() => param.clone(),
                _ => "?".to_owned(),
            };
            let dims = tensor.shape.as_ref().map_or_else(
                || "..".to_owned(),
                |shape| shape.dim.iter().map(dim).collect::<Vec<_>>().join(", "),
            );
            format!("{name} {dtype}[{dims}]")
        }
        Some(TypeValue::Sequence(_)) => format!("{name} (a sequence)"),
        Some(TypeValue::Map(_)) => format!("{name} (a map)"),
        Some(TypeValue::Optional(_)) => format!("{name} (optional)"),
        _ => format!("{name} (no tensor)"),
    }
}

/// Refuses element types that are not supported, of inputs and constants, all at once.
fn check_types(model: &GraphProto, initializers: &[TensorProto]) -> Result<(), ImportError> {
    // Constant texts may be labels.
    let tensors = initializers.iter().filter(|t| t.data_type != TEXT_CODE);
    let tensors = tensors.map(|t| ("tensor", &t.name, t.data_type));
    let constants: BTreeSet<&str> = initializers.iter().map(|t| t.name.as_str()).collect();
    let inputs = model.input.iter().filter(|info| !constants.contains(info.name.as_str()));
    let inputs = inputs.filter_map(|info| match &info.r#type.as_ref()?.value {
        Some(TypeValue::Tensor(tensor)) => Some(("input", &info.name, tensor.elem_type)),
        _ => None,
    });
    let mut refused = inputs.chain(tensors).filter_map(|(kind, name, code)| {
        element_type(code).err().map(|dtype| (format!("{kind} {name:?}"), dtype))
    });
    let Some((mut what, dtype)) = refused.next() else { return Ok(()) };
    let others: Vec<(String, String)> = refused.collect();
    if !others.is_empty() {
        let shown = others.iter().take(4).map(|(what, dtype)| format!("{what}: {dtype}"));
        let shown: Vec<String> = shown.collect();
        let more = others.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        what = format!("{what} [likewise {}{more}]", shown.join(", "));
    }
    Err(ImportError::ElementType { what, dtype })
}

/// The inputs that are no constants: `initializers` are those of the graph.
fn inputs<'m>(
    model: &'m GraphProto,
    initializers: &[TensorProto],
) -> Result<Vec<Declared<'m>>, ImportError> {
    let constants: BTreeSet<&str> = initializers
        .iter()
        .chain(model.sparse_initializer.iter().filter_map(|s| s.values.as_ref()))
        .map(|t| t.name.as_str())
        .collect();
    let inputs = model.input.iter().filter(|info| !constants.contains(info.name.as_str()));
    inputs.map(|info| declared("input", info)).collect()
}

/// What bindings may name.
pub(super) fn names(model: &GraphProto) -> Result<Names, ImportError> {
    let inputs = inputs(model, &model.initializer)?;
    let outputs = model.output.iter().map(|info| info.name.clone()).collect();
    let dims = open_dims(&inputs).map(str::to_owned).collect();
    let inputs: BTreeSet<String> = inputs.iter().map(|input| input.name.to_owned()).collect();
    let results = model.node.iter().flat_map(|node| &node.output).cloned();
    let values = results.chain(inputs.iter().cloned()).collect();
    Ok(Names { inputs, outputs, dims, values, loops: loops(model) })
}

/// Names of the loops in a graph and the graphs in it.
fn loops(model: &GraphProto) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open = vec![model];
    while let Some(graph) = open.pop() {
        for (i, node) in graph.node.iter().enumerate() {
            if node.op_type == "Loop" {
                names.insert(NodeRef::label_of(&node.name, &node.op_type, i));
            }
            open.extend(node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)));
        }
    }
    names
}

fn open_dims<'d>(inputs: &'d [Declared<'_>]) -> impl Iterator<Item = &'d str> {
    inputs.iter().flat_map(|i| i.axes.iter().flatten()).filter_map(|axis| match axis {
        Axis::Open(name) => Some(name.as_str()),
        Axis::Fixed(_) => None,
    })
}

/// Open dimensions with the value that was found for each and where it was found.
struct Dimensions<'b> {
    bindings: &'b Bindings,
    found: BTreeMap<String, (Dim, String)>,
    variables: Vec<Variable>,
}

impl Dimensions<'_> {
    /// Notes that `name` is `n` for the reason `because`.
    fn set(&mut self, name: &str, dim: Dim, because: String) -> Result<(), ImportError> {
        match self.found.get(name) {
            Some((old, source)) if *old != dim => Err(ImportError::Binding(format!(
                "dimension {name:?} is {} by {source} and {} by {because}; make them agree",
                old.display(&self.variables),
                dim.display(&self.variables)
            ))),
            Some(_) => Ok(()),
            None => {
                self.found.insert(name.to_owned(), (dim, because));
                Ok(())
            }
        }
    }

    fn bind(&mut self, name: &str) -> Result<(), ImportError> {
        let wrong = |text: String| Err(ImportError::Binding(format!("--dim {name}: {text}")));
        let dim = match self.bindings.dims.get(name) {
            None => return Ok(()),
            Some(Extent::Fixed(n)) if *n < 0 => return wrong(format!("{n} is negative")),
            Some(Extent::Fixed(n)) => Dim::Fixed(*n),
            Some(Extent::Range(a, b)) if *a < 0 || a > b => {
                return wrong(format!("{a}..{b} is no range of sizes"));
            }
            Some(Extent::Range(a, b)) if a == b => Dim::Fixed(*a),
            Some(Extent::Range(min, max)) => match self.found.get(name) {
                Some((dim, _)) => dim.clone(),
                None => {
                    self.variables.push(Variable::chosen(name, *min, *max));
                    Dim::var(VarId(self.variables.len() as u32 - 1))
                }
            },
        };
        self.set(name, dim, format!("--dim {name}"))
    }

    /// Takes the extents of a whole shape.
    fn match_shape(
        &mut self,
        input: &Declared<'_>,
        shape: &[usize],
        source: &str,
    ) -> Result<(), ImportError> {
        let Some(axes) = &input.axes else { return Ok(()) };
        if axes.len() != shape.len() {
            return Err(ImportError::Binding(format!(
                "{source} has {} axes, input {:?} has {}",
                shape.len(),
                input.name,
                axes.len()
            )));
        }
        for (i, (axis, n)) in axes.iter().zip(shape).enumerate() {
            match axis {
                Axis::Fixed(declared) if declared != n => {
                    return Err(ImportError::Binding(format!(
                        "{source} is {n} on axis {i}, input {:?} declares {declared}",
                        input.name
                    )));
                }
                Axis::Fixed(_) => {}
                Axis::Open(name) => {
                    self.set(name, Dim::Fixed(*n as i64), format!("{source}, axis {i}"))?;
                }
            }
        }
        Ok(())
    }
}

/// Adds constants and inputs to an empty graph.
pub(super) fn open<'f>(
    mut builder: Builder<'f>,
    model: &GraphProto,
    initializers: Vec<TensorProto>,
    folder: Option<&Path>,
    bindings: &Bindings,
) -> Result<(Builder<'f>, Scope), ImportError> {
    let mut scope = Scope::new();
    builder.graph.name.clone_from(&model.name);
    check_types(model, &initializers)?;
    let inputs = inputs(model, &initializers)?;
    check_names(&inputs, bindings)?;
    let mut dims = Dimensions { bindings, found: BTreeMap::new(), variables: Vec::new() };
    for input in &inputs {
        for axis in input.axes.iter().flatten() {
            if let Axis::Open(name) = axis {
                dims.bind(name)?;
            }
        }
    }
    for input in &inputs {
        if let Some(shape) = bindings.shapes.get(input.name) {
            dims.match_shape(input, shape, &format!("the shape given for input {:?}", input.name))?;
        }
        if let Some(value) = bindings.values.get(input.name) {
            let source = format!("the value given for input {:?}", input.name);
            if value.dtype() != input.dtype {
                return Err(ImportError::Binding(format!(
                    "{source} is {}, the model expects {}",
                    value.dtype(),
                    input.dtype
                )));
            }
            dims.match_shape(input, value.shape(), &source)?;
        }
    }
    builder.graph.variables = std::mem::take(&mut dims.variables);
    for tensor in initializers {
        let id = builder.add_stored(&tensor.name, &tensor, folder)?;
        add_initializer(&mut builder, &mut scope, &tensor.name, id)?;
    }
    for sparse in &model.sparse_initializer {
        let name = sparse.values.as_ref().map_or("", |v| v.name.as_str());
        let limit = SPARSE_LIMIT.min(builder.budget.left() / 2);
        let id = builder.add_constant(name, decode_sparse(sparse, folder, limit)?);
        add_initializer(&mut builder, &mut scope, name, id)?;
    }
    for input in &inputs {
        let id = match bindings.values.get(input.name) {
            Some(value) => builder.add_constant(input.name, value.clone()),
            None => {
                let shape =
                    input_shape(input, &dims).map_err(|e| with_others(e, &inputs, &dims))?;
                builder
                    .check_shape(&shape)
                    .map_err(|problem| port_error("input", input.name, problem))?;
                let fact = Fact { dtype: input.dtype, shape };
                let value = builder.graph.add_value(input.name, &fact);
                builder.graph.inputs.push(Port { name: input.name.to_owned(), value });
                value
            }
        };
        if scope.insert(input.name.to_owned(), id).is_some() {
            return Err(port_error("input", input.name, "is declared twice"));
        }
    }
    Ok((builder, scope))
}

fn add_initializer(
    builder: &mut Builder<'_>,
    scope: &mut Scope,
    name: &str,
    id: ValueId,
) -> Result<(), ImportError> {
    builder.budget.check()?;
    match scope.insert(name.to_owned(), id) {
        None => Ok(()),
        Some(_) => Err(ImportError::Tensor {
            tensor: name.to_owned(),
            problem: "the model holds two of this name".into(),
        }),
    }
}

fn input_shape(input: &Declared<'_>, dims: &Dimensions<'_>) -> Result<Vec<Dim>, ImportError> {
    let given = dims.bindings.shapes.get(input.name);
    let Some(axes) = &input.axes else {
        let shape = given.ok_or_else(|| {
            port_error("input", input.name, "declares no shape; give it one with --input-shape")
        })?;
        return Ok(shape.iter().map(|n| Dim::Fixed(*n as i64)).collect());
    };
    let axis = |(i, axis): (usize, &Axis)| match axis {
        Axis::Fixed(n) => Ok(Dim::Fixed(*n as i64)),
        Axis::Open(name) => match dims.found.get(name) {
            Some((dim, _)) => Ok(dim.clone()),
            None => Err(ImportError::OpenDimension {
                input: input.name.to_owned(),
                axis: i,
                name: name.clone(),
                others: Vec::new(),
            }),
        },
    };
    axes.iter().enumerate().map(axis).collect()
}

/// The error with the other dimensions that are open too.
fn with_others(error: ImportError, inputs: &[Declared<'_>], dims: &Dimensions<'_>) -> ImportError {
    let ImportError::OpenDimension { input, axis, name, .. } = error else { return error };
    let mut seen = BTreeSet::from([name.clone()]);
    let mut others = Vec::new();
    for other in inputs.iter().filter(|i| !dims.bindings.values.contains_key(i.name)) {
        for (i, axis) in other.axes.iter().flatten().enumerate() {
            let Axis::Open(name) = axis else { continue };
            if !dims.found.contains_key(name) && seen.insert(name.clone()) {
                others.push((other.name.to_owned(), i, name.clone()));
            }
        }
    }
    ImportError::OpenDimension { input, axis, name, others }
}

/// Refuses bindings of names that the model does not have.
fn check_names(inputs: &[Declared<'_>], bindings: &Bindings) -> Result<(), ImportError> {
    let names: BTreeSet<&str> = inputs.iter().map(|i| i.name).collect();
    let open: BTreeSet<&str> = open_dims(inputs).collect();
    let list = |names: &BTreeSet<&str>| match names.len() {
        0 => "none".to_owned(),
        _ => names.iter().copied().collect::<Vec<_>>().join(", "),
    };
    if let Some(name) = bindings.dims.keys().find(|n| !open.contains(n.as_str())) {
        return Err(ImportError::Binding(format!(
            "there is no open dimension {name:?}; the model has {}",
            list(&open)
        )));
    }
    let mut bound = bindings.shapes.keys().chain(bindings.values.keys());
    if let Some(name) = bound.find(|n| !names.contains(n.as_str())) {
        return Err(ImportError::Binding(format!(
            "there is no input {name:?}; the model has {}",
            list(&names)
        )));
    }
    Ok(())
}

/// The texts that an output has, where `value` is what it declares: numbers; text, which is an
/// index of i64; or a list of maps, which is a table with named columns.
fn output_texts<'b>(
    builder: &'b Builder<'_>,
    info: &ValueInfoProto,
    value: ValueId,
) -> Result<Option<&'b Texts>, ImportError> {
    let (elements, columns) = (builder.texts.of(value), builder.texts.columns(value));
    let kind = info.r#type.as_ref().and_then(|t| t.value.as_ref());
    let mismatch = |declared: &str, computed: &str| {
        let problem = format!("is declared {declared}, but computed as {computed}");
        Err(port_error("output", &info.name, problem))
    };
    match (kind, elements) {
        (Some(TypeValue::Tensor(tensor)), Some(_)) if tensor.elem_type == TEXT_CODE => Ok(elements),
        (Some(TypeValue::Tensor(tensor)), None) if tensor.elem_type == TEXT_CODE => {
            mismatch("string", builder.fact(value).dtype.name())
        }
        (Some(TypeValue::Sequence(_)), _) if columns.is_some() => Ok(columns),
        _ => {
            let output = declared("output", info)?;
            let computed = builder.fact(value).dtype;
            match elements {
                Some(_) => mismatch(output.dtype.name(), "string"),
                None if computed != output.dtype => mismatch(output.dtype.name(), computed.name()),
                None => Ok(columns),
            }
        }
    }
}

/// Adds outputs and states, and removes what no output needs.
pub(super) fn close(
    mut builder: Builder<'_>,
    model: &GraphProto,
    scope: &Scope,
    bindings: &Bindings,
) -> Result<Graph, ImportError> {
    let mut taken: BTreeSet<ValueId> = builder.graph.inputs.iter().map(|p| p.value).collect();
    for info in &model.output {
        let name = info.name.as_str();
        let missing = || port_error("output", name, "is given by no node of the graph");
        let mut value = *scope.get(name).ok_or_else(missing)?;
        if !builder.is_tensor(value) {
            return Err(port_error("output", name, "is no tensor; only tensors are supported"));
        }
        if let Some(texts) = output_texts(&builder, info, value)? {
            let output = builder.graph.outputs.len();
            builder.graph.labels.push(Labels { output, texts: texts.to_vec() });
        }
        builder.materialise(value);
        // An output has memory of its own: it is no input, no constant and no other output.
        if !taken.insert(value) || builder.constant(value).is_some() {
            let op = Op::Unary(Unary::Identity);
            let copy = builder.graph.add_node(name, op, &[Some(value)], &[name]);
            let copy = copy.map_err(|e| port_error("output", name, e.0))?;
            value = *copy.first().ok_or_else(missing)?;
            taken.insert(value);
        }
        if builder.graph.outputs.iter().any(|port| port.name == name) {
            return Err(port_error("output", name, "is declared twice"));
        }
        builder.graph.outputs.push(Port { name: name.to_owned(), value });
    }
    if builder.graph.outputs.is_empty() {
        return Err(port_error("output", "", "is missing: the graph declares none"));
    }
    let mut graph = builder.graph;
    for (output, input) in &bindings.states {
        let state = state(&graph, output, input).map_err(|problem| ImportError::State {
            output: output.clone(),
            input: input.clone(),
            problem,
        })?;
        graph.states.push(state);
    }
    sweep(&mut graph);
    Ok(graph)
}

fn state(graph: &Graph, output: &str, input: &str) -> Result<State, String> {
    let find = |ports: &[Port], name: &str, kind: &str| {
        ports.iter().position(|port| port.name == name).ok_or_else(|| {
            let names: Vec<_> = ports.iter().map(|p| p.name.as_str()).collect();
            format!("there is no {kind} {name:?}; the model has {}", names.join(", "))
        })
    };
    let at = State {
        input: find(&graph.inputs, input, "input")?,
        output: find(&graph.outputs, output, "output")?,
    };
    if graph.states.iter().any(|s| s.input == at.input) {
        return Err("the input is kept from two outputs".into());
    }
    let fact = |ports: &[Port], i: usize| ports.get(i).map(|p| graph.fact(p.value));
    let (Some(from), Some(to)) = (fact(&graph.outputs, at.output), fact(&graph.inputs, at.input))
    else {
        return Err("the ports do not exist".into());
    };
    if from.dtype != to.dtype || from.shape.len() != to.shape.len() {
        return Err(format!(
            "the output is {} of rank {}, the input {} of rank {}",
            from.dtype,
            from.shape.len(),
            to.dtype,
            to.shape.len()
        ));
    }
    let differing: Vec<(&Dim, &Dim)> =
        from.shape.iter().zip(&to.shape).filter(|(a, b)| a != b).collect();
    let grows = |(a, b): &(&Dim, &Dim)| {
        b.fixed().is_none() && ((*a).clone() - (*b).clone()).bounds(&graph.variables).0 > 0
    };
    match &differing[..] {
        [] => Ok(at),
        [one] if grows(one) => Ok(at),
        _ => {
            Err("the shapes differ, and not by one axis that grows over a ranged dimension".into())
        }
    }
}
