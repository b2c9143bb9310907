//! Random models that load: node by node from the bytes, each kept only if the importer takes it.
//!
//! Shapes are small, with extents of zero and one that is chosen per call; values are small
//! numbers, so that sums of products stay exact enough to compare.

mod nodes;

use nowcast::graph::{Bindings, Extent, Graph};
use nowcast::onnx::import;
use nowcast::onnx::proto::{
    AttributeProto, AttributeType, DimensionProto, DimensionValue, GraphProto, ModelProto,
    NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue,
    ValueInfoProto,
};
use nowcast::optimize;
use nowcast::tensor::DType;
use prost::Message;

use crate::choices::Choices;

/// Most nodes of a model.
const MOST_NODES: usize = 10;
/// Most elements of a value at the largest extents.
const MOST_ELEMENTS: i64 = 1 << 12;
/// The extent that is chosen per call.
pub const RANGE: (i64, i64) = (0, 5);

/// A value that nodes may read.
#[derive(Clone)]
pub struct Value {
    /// Its name.
    pub name: String,
    dtype: DType,
    /// Extents; `None` for one that is not a number.
    shape: Vec<Option<i64>>,
    /// Computed by operators alone that neither round nor depend on an order of additions.
    pub exact: bool,
}

/// A model, and which values each value is computed from.
pub struct Model {
    graph: GraphProto,
    /// Every value, in an order in which each is computed from earlier ones.
    pub values: Vec<Value>,
    constants: usize,
}

/// What a node is made of before it is tried.
struct Draft {
    node: NodeProto,
    /// Element types of the results.
    results: Vec<DType>,
    exact: bool,
}

impl Model {
    /// The model that `choices` make.
    pub fn random(choices: &mut Choices<'_>) -> Self {
        let mut model = Self { graph: GraphProto::default(), values: Vec::new(), constants: 0 };
        for i in 0..1 + choices.below(3) {
            model.input(&format!("x{i}"), choices);
        }
        for _ in 0..MOST_NODES {
            if choices.is_empty() {
                break;
            }
            if let Some(draft) = nodes::draft(&mut model, choices) {
                model.attempt(draft);
            }
        }
        model
    }

    fn input(&mut self, name: &str, choices: &mut Choices<'_>) {
        const TYPES: [DType; 9] = [
            DType::F32,
            DType::F32,
            DType::F32,
            DType::F32,
            DType::F64,
            DType::I64,
            DType::I32,
            DType::U8,
            DType::Bool,
        ];
        let dtype = TYPES[choices.below(TYPES.len())];
        let rank = choices.below(5);
        let shape: Vec<Option<i64>> = (0..rank)
            .map(|_| match choices.below(16) {
                0 => Some(0),
                1 | 2 => None,
                n => Some([1, 2, 3, 4, 5, 8, 17][n % 7]),
            })
            .collect();
        self.graph.input.push(port(name, dtype, Some(&shape)));
        self.values.push(Value { name: name.to_owned(), dtype, shape, exact: true });
    }

    /// Adds a constant.
    fn constant(&mut self, dtype: DType, shape: &[i64], numbers: &[f64]) -> String {
        let name = format!("c{}", self.constants);
        self.constants += 1;
        let mut raw = Vec::new();
        for x in numbers {
            match dtype {
                DType::F32 => raw.extend((*x as f32).to_le_bytes()),
                DType::F64 => raw.extend(x.to_le_bytes()),
                _ => raw.extend_from_slice(&(*x as i64).to_le_bytes()[..dtype.bytes()]),
            }
        }
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            dims: shape.to_vec(),
            data_type: code(dtype),
            raw_data: Some(raw.into()),
            ..TensorProto::default()
        });
        name
    }

    /// Integers as a constant, for operands that decide shapes.
    fn numbers(&mut self, numbers: &[i64]) -> String {
        let floats: Vec<f64> = numbers.iter().map(|n| *n as f64).collect();
        self.constant(DType::I64, &[numbers.len() as i64], &floats)
    }

    /// Keeps the node if the model with it loads and stays small.
    fn attempt(&mut self, draft: Draft) {
        let Draft { node, results, exact } = draft;
        let operands = |v: &&Value| node.input.contains(&v.name);
        let exact = exact && self.values.iter().filter(operands).all(|v| v.exact);
        let names: Vec<String> = node.output.clone();
        let before = self.graph.node.len();
        self.graph.node.push(node);
        for (name, dtype) in names.iter().zip(&results) {
            self.graph.output.push(port(name, *dtype, None));
        }
        let bindings = bindings(self.has_open_dim());
        let graph = import(&self.encoded(true), None, &bindings, &mut |op, inputs, results| {
            optimize::fold::evaluate(op, inputs, results)
        });
        let shapes = graph.ok().and_then(|graph| {
            names.iter().map(|name| shape(&graph, name)).collect::<Option<Vec<_>>>()
        });
        let Some(shapes) = shapes else {
            self.graph.node.truncate(before);
            self.graph.output.truncate(self.graph.output.len() - results.len());
            return;
        };
        for ((name, dtype), shape) in names.into_iter().zip(results).zip(shapes) {
            self.values.push(Value { name, dtype, shape, exact });
        }
    }

    /// The names that a value's node reads; none for an input.
    pub fn operands(&self, value: &str) -> &[String] {
        let gives = |node: &&NodeProto| node.output.iter().any(|name| name == value);
        self.graph.node.iter().find(gives).map_or(&[], |node| &node.input)
    }

    /// The operator that computes a value.
    pub fn operator(&self, value: &str) -> &str {
        let gives = |node: &&NodeProto| node.output.iter().any(|name| name == value);
        self.graph.node.iter().find(gives).map_or("", |node| &node.op_type)
    }

    /// The file, with every value as an output, or those that no node reads.
    pub fn encoded(&self, all: bool) -> Vec<u8> {
        let mut graph = self.graph.clone();
        if !all {
            let read = |name: &String| self.graph.node.iter().any(|n| n.input.contains(name));
            graph.output.retain(|port| !read(&port.name));
        }
        let version = OperatorSetIdProto { domain: String::new(), version: 20 };
        let model = ModelProto {
            ir_version: 10,
            graph: Some(graph),
            opset_import: vec![version],
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    /// Whether an input has the extent that is chosen per call.
    pub fn has_open_dim(&self) -> bool {
        self.values.iter().take(self.graph.input.len()).any(|v| v.shape.contains(&None))
    }

    /// Whether it computes nothing.
    pub fn is_empty(&self) -> bool {
        self.graph.node.is_empty()
    }
}

/// The choice of the open extent.
fn bindings(open: bool) -> Bindings {
    let mut bindings = Bindings::default();
    if open {
        bindings.dims.insert("n".to_owned(), Extent::Range(RANGE.0, RANGE.1));
    }
    bindings
}

/// The shape of an output that is small enough.
fn shape(graph: &Graph, name: &str) -> Option<Vec<Option<i64>>> {
    let port = graph.outputs.iter().find(|port| port.name == name)?;
    let dims = &graph.value(port.value).shape;
    let largest = dims.iter().map(|d| d.upper(&graph.variables).max(1));
    let elements = largest.fold(1i64, i64::saturating_mul);
    (elements <= MOST_ELEMENTS).then(|| dims.iter().map(|d| d.fixed()).collect())
}

fn port(name: &str, dtype: DType, shape: Option<&[Option<i64>]>) -> ValueInfoProto {
    let dim = |n: &Option<i64>| DimensionProto {
        value: Some(match n {
            Some(n) => DimensionValue::Value(*n),
            None => DimensionValue::Param("n".to_owned()),
        }),
    };
    let shape = shape.map(|shape| TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let kind = TensorType { elem_type: code(dtype), shape };
    let kind = TypeProto { value: Some(TypeValue::Tensor(kind)) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(kind) }
}

/// The number of an element type in the file.
fn code(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I8 => 3,
        DType::U16 => 4,
        DType::I16 => 5,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        DType::F64 => 11,
        DType::U32 => 12,
        DType::U64 => 13,
        #[allow(unreachable_patterns, reason = "types that are added later")]
        _ => 0,
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    let r#type = AttributeType::Int as i32;
    AttributeProto { name: name.to_owned(), r#type, i, ..AttributeProto::default() }
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.to_owned(), r#type, ints, ..AttributeProto::default() }
}

fn float(name: &str, f: f32) -> AttributeProto {
    let r#type = AttributeType::Float as i32;
    AttributeProto { name: name.to_owned(), r#type, f, ..AttributeProto::default() }
}

fn text(name: &str, s: &str) -> AttributeProto {
    let (r#type, s) = (AttributeType::String as i32, s.as_bytes().to_vec());
    AttributeProto { name: name.to_owned(), r#type, s, ..AttributeProto::default() }
}
