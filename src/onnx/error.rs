//! What is wrong with a model, in words.

use std::collections::BTreeMap;
use std::fmt;

use crate::graph::{Extent, size};

/// A node as errors name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRef {
    /// Its name; may be empty.
    pub name: String,
    /// Its position among the nodes around it.
    pub position: usize,
    /// Its operator.
    pub op: String,
    /// The function of the model that it stands in.
    pub function: Option<String>,
}

impl NodeRef {
    /// What the nodes made from it are called.
    pub(super) fn label(&self) -> String {
        Self::label_of(&self.name, &self.op, self.position)
    }

    /// The same of a node that is not being imported.
    pub(super) fn label_of(name: &str, op: &str, position: usize) -> String {
        if name.is_empty() { format!("{op}_{position}") } else { name.to_owned() }
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "node #{} ({})", self.position, self.op)?,
            name => write!(f, "node {name:?} ({})", self.op)?,
        }
        match &self.function {
            Some(function) => write!(f, " of function {function}"),
            None => Ok(()),
        }
    }
}

/// An operator that is not supported, and how often the model uses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnsupportedOperator {
    /// Its domain; empty for the standard one.
    pub domain: String,
    /// Its name.
    pub op: String,
    /// Number of nodes.
    pub count: usize,
}

fn list(operators: &[UnsupportedOperator]) -> String {
    let each = operators.iter().map(|o| {
        let domain = if o.domain.is_empty() { "" } else { "." };
        format!("{}{domain}{} ({} x)", o.domain, o.op, o.count)
    });
    each.collect::<Vec<_>>().join(", ")
}

fn most(constant: Option<&(String, u64)>) -> String {
    constant.map_or_else(String::new, |(name, bytes)| {
        format!(", {} of them for the constant {name:?}", size(*bytes))
    })
}

fn open_dimensions(
    input: &str,
    axis: usize,
    name: &str,
    others: &[(String, usize, String)],
) -> String {
    if others.is_empty() {
        return format!(
            "axis {axis} of input {input:?} is open; give it a size with --dim {name}=N"
        );
    }
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let (mut places, mut options) = (String::new(), String::new());
    let first = (input.to_owned(), axis, name.to_owned());
    for (i, (input, axis, name)) in std::iter::once(&first).chain(others).enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        places += &format!("{comma}{name} (axis {axis} of input {input:?})");
        let quote = if plain(name) { "" } else { "'" };
        options += &format!(" --dim {quote}{name}=N{quote}");
    }
    format!("{} dimensions are open: {places}; give each a size with{options}", others.len() + 1)
}

/// Whether one of the shapes that a text shows has this dimension.
fn shows(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "._".contains(c);
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        let whole = !before.ends_with(part) && !after.starts_with(part);
        whole && before.rfind('[') > before.rfind(']')
    })
}

/// The error with advice, where shapes do not fit for every size that is asked for.
pub(super) fn within_bounds(error: ImportError, dims: &BTreeMap<String, Extent>) -> ImportError {
    let ImportError::Node { node, problem } = error else { return error };
    let ranged = dims.iter().filter(|(_, extent)| matches!(extent, Extent::Range(a, b) if a < b));
    let shown: Vec<String> = ranged
        .filter(|(name, _)| shows(&problem, name))
        .map(|(name, _)| format!("--dim {name}=N"))
        .collect();
    if shown.is_empty() {
        return ImportError::Node { node, problem };
    }
    let advice = format!("not every size in bounds fits; give one to some of {}", shown.join(", "));
    ImportError::Node { node, problem: format!("{problem}; {advice}") }
}

/// Why a model cannot be imported. Each text is one sentence that says where and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are no protobuf message of this kind.
    #[error("this is not an ONNX model ({0}); check that the file is complete")]
    Decode(String),
    /// A file of another kind.
    #[error("this is {what}, not an ONNX model: {advice}")]
    OtherFile {
        /// What it is.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The message holds no graph.
    #[error("the file holds no graph; check that it is an ONNX model")]
    NoGraph,
    /// An operator set is missing or of a version that is not supported.
    #[error("operator set {domain:?}: {problem}")]
    Opset {
        /// Its domain.
        domain: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Constant data that cannot be read.
    #[error("tensor {tensor:?}: {problem}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// An element type that is not supported.
    #[error(
        "{what} is {dtype}, which is not supported; export the model with floats, integers or \
         bool"
    )]
    ElementType {
        /// Which tensor, input or output.
        what: String,
        /// Its element type.
        dtype: String,
    },
    /// More memory than loading may take.
    #[error(
        "reading the model takes more than the {} that are allowed{}; allow more with \
         --max-memory (Options::max_memory)",
        size(*.limit),
        most(.largest.as_ref())
    )]
    Memory {
        /// Bytes counted when the limit was passed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
        /// The constant that takes most, and its bytes.
        largest: Option<(String, u64)>,
    },
    /// Operators that are not supported, over the whole model.
    #[error("the model uses operators that are not supported: {}", list(.operators))]
    Unsupported {
        /// All of them.
        operators: Vec<UnsupportedOperator>,
    },
    /// An input or output of the graph that is not usable as declared.
    #[error("{kind} {name:?} {problem}")]
    Port {
        /// `input` or `output`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A binding that contradicts the model or another binding.
    #[error("{0}")]
    Binding(String),
    /// A dimension that the model leaves open and no binding fixes.
    #[error("{}", open_dimensions(.input, *.axis, .name, .others))]
    OpenDimension {
        /// The input.
        input: String,
        /// The axis.
        axis: usize,
        /// What the dimension is called in bindings.
        name: String,
        /// The other open dimensions: input, axis, name.
        others: Vec<(String, usize, String)>,
    },
    /// A value that no node, input or constant gives.
    #[error("{node} reads {value:?}, which no input, constant or node of the graph gives")]
    UnknownValue {
        /// The node that reads it.
        node: Box<NodeRef>,
        /// The name of the value.
        value: String,
    },
    /// Nodes that wait for each other.
    #[error("{node} is part of a cycle: it reads {value:?}, which depends on its own result")]
    Cycle {
        /// One node of the cycle.
        node: Box<NodeRef>,
        /// The value that it waits for.
        value: String,
    },
    /// A node that stands before the one whose result it reads.
    #[error("{node} reads {value:?} before the node that gives it; sort the nodes of the model")]
    Unsorted {
        /// The node that reads too early.
        node: Box<NodeRef>,
        /// The value.
        value: String,
    },
    /// A name that is given twice.
    #[error("{node} gives {value:?} a second time; every value is written once")]
    Duplicate {
        /// The second node.
        node: Box<NodeRef>,
        /// The value.
        value: String,
    },
    /// An input that decides a shape and is known only at run time.
    #[error("{node}: input {input:?} decides a shape but is computed at run time; {hint}")]
    NotConstant {
        /// The node.
        node: Box<NodeRef>,
        /// The name of the input.
        input: String,
        /// What to do.
        hint: String,
    },
    /// A branch that cannot be built, of a condition that is known only at run time.
    #[error(
        "{because}; the graph input {input:?} decides whether {node} takes that branch: give it a \
         fixed value (Options::bind_value, or --value {input}=FILE.npy)"
    )]
    Branch {
        /// The `If`.
        node: Box<NodeRef>,
        /// The graph input that its condition is computed from.
        input: String,
        /// What is wrong in the branch.
        because: Box<ImportError>,
    },
    /// An attribute that the operator does not know, or a value of one that is not supported.
    #[error("{node}: attribute {attribute} {problem}")]
    Attribute {
        /// The node.
        node: Box<NodeRef>,
        /// The attribute.
        attribute: String,
        /// What is wrong.
        problem: String,
    },
    /// Operands that do not suit the operator, or a form of it that is not supported.
    #[error("{node}: {problem}")]
    Node {
        /// The node.
        node: Box<NodeRef>,
        /// What is wrong.
        problem: String,
    },
    /// A pair of state names that does not fit.
    #[error("state {output:?} -> {input:?}: {problem}")]
    State {
        /// The output.
        output: String,
        /// The input.
        input: String,
        /// What is wrong.
        problem: String,
    },
}
