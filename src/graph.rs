//! The typed graph between import and compilation.
//!
//! Owns values, nodes, operators with their shape rules, and dimensions. Invariants: every value
//! has an element type and a shape; nodes stand in topological order; a value is written once.
//! Inputs that decide shapes (the target of a reshape, the bounds of a slice) are attributes
//! here, as [`Dim`]s; where only a run knows the numbers, a [`Measure`](Op::Measure) node makes
//! them variables, and whatever has such a variable in its shape comes behind that node. The graph
//! knows nothing of files, memory or kernels.

mod bindings;
pub mod dim;
mod live;
pub mod ops;
mod tensor;

use std::fmt;

pub use bindings::{Bindings, Extent};
pub use dim::{Dim, VarId, Variable};
pub use live::Live;
pub use ops::{Block, Fact, Op, ShapeError};
pub use tensor::Tensor;
pub(crate) use tensor::size;

use crate::tensor::DType;

/// Position of a value in [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// A tensor that flows through the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its name in the model; unique names are not required of values made by passes.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Shape; a scalar has none.
    pub shape: Vec<Dim>,
    /// Its data, when it is a constant.
    pub constant: Option<Tensor>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name in the model, for messages and `inspect`.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Operands in the order of the operator; `None` for one left out.
    pub inputs: Vec<Option<ValueId>>,
    /// Results; `None` for one that nobody reads.
    pub outputs: Vec<Option<ValueId>>,
}

impl Node {
    /// Visits every value that it reads: its operands, and what its blocks read.
    pub fn each_read(&self, visit: &mut dyn FnMut(ValueId)) {
        self.inputs.iter().flatten().for_each(|id| visit(*id));
        self.op.blocks().for_each(|block| block.each_read(visit));
    }

    /// Lets go of what its blocks give and nobody reads. A carried value is read by the next
    /// iteration.
    pub fn release_results(&mut self) {
        let kept = match &self.op {
            Op::Loop(repeat) => repeat.carried.len(),
            _ => 0,
        };
        let unread: Vec<bool> = self.outputs.iter().map(Option::is_none).collect();
        for block in self.op.blocks_mut() {
            for (result, unread) in block.results.iter_mut().zip(&unread).skip(kept) {
                *result = result.filter(|_| !unread);
            }
        }
    }
}

/// An input or output of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name that callers use.
    pub name: String,
    /// The value.
    pub value: ValueId,
}

/// An output fed back to an input before the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Position among the inputs.
    pub input: usize,
    /// Position among the outputs.
    pub output: usize,
}

/// Texts that belong to an output: of i64 what each number means, of floats the names of the
/// columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Position among the outputs.
    pub output: usize,
    /// The texts.
    pub texts: Vec<String>,
}

/// A model as a graph of typed operations.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Name of the model.
    pub name: String,
    /// Dimension variables.
    pub variables: Vec<Variable>,
    /// Values.
    pub values: Vec<Value>,
    /// Nodes in topological order.
    pub nodes: Vec<Node>,
    /// Inputs in the model's order.
    pub inputs: Vec<Port>,
    /// Outputs in the model's order.
    pub outputs: Vec<Port>,
    /// Outputs that are kept as inputs between runs.
    pub states: Vec<State>,
    /// Texts of outputs, in the order of these.
    pub labels: Vec<Labels>,
}

impl Graph {
    /// The value with this id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// The value with this id, to change.
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    /// Adds a value.
    pub fn add_value(&mut self, name: impl Into<String>, fact: &Fact) -> ValueId {
        let (dtype, shape) = (fact.dtype, fact.shape.clone());
        self.values.push(Value { name: name.into(), dtype, shape, constant: None });
        ValueId(self.values.len() as u32 - 1)
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        let shape = tensor.shape().iter().map(|n| Dim::Fixed(*n as i64)).collect();
        let dtype = tensor.dtype();
        self.values.push(Value { name: name.into(), dtype, shape, constant: Some(tensor) });
        ValueId(self.values.len() as u32 - 1)
    }

    /// What is known of a value.
    pub fn fact(&self, id: ValueId) -> Fact {
        let value = self.value(id);
        Fact { dtype: value.dtype, shape: value.shape.clone() }
    }

    /// Infers the results of `op` on these operands, adds a node and its output values.
    ///
    /// **Errors** when the operands do not suit the operator; the graph is unchanged.
    pub fn add_node(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[Option<ValueId>],
        output_names: &[&str],
    ) -> Result<Vec<ValueId>, ShapeError> {
        let facts: Vec<Option<Fact>> = inputs.iter().map(|i| i.map(|v| self.fact(v))).collect();
        let results = op.infer(&facts, &self.variables)?;
        let ids: Vec<ValueId> = results
            .iter()
            .enumerate()
            .map(|(i, fact)| {
                let unnamed = format!("{name}:{i}");
                let given = output_names.get(i).copied().filter(|n| !n.is_empty());
                self.add_value(given.unwrap_or(&unnamed), fact)
            })
            .collect();
        self.nodes.push(Node {
            name: name.to_owned(),
            op,
            inputs: inputs.to_vec(),
            outputs: ids.iter().copied().map(Some).collect(),
        });
        Ok(ids)
    }

    /// How often each value is read by nodes, those in blocks included; outputs count as one
    /// reading each.
    pub fn use_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.values.len()];
        let mut count = |id: ValueId| counts[id.0 as usize] += 1;
        self.nodes.iter().for_each(|node| node.each_read(&mut count));
        self.outputs.iter().for_each(|port| count(port.value));
        counts
    }

    fn show_value(&self, f: &mut fmt::Formatter<'_>, id: Option<ValueId>) -> fmt::Result {
        let Some(id) = id else { return write!(f, "-") };
        let value = self.value(id);
        write!(f, "{} {}[", value.name, value.dtype)?;
        for (i, dim) in value.shape.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{}", dim.display(&self.variables))?;
        }
        write!(f, "]")
    }

    fn show_nodes(&self, f: &mut fmt::Formatter<'_>, nodes: &[Node], depth: usize) -> fmt::Result {
        let indent = 2 * depth;
        for node in nodes {
            write!(f, "{:indent$}", "")?;
            for (i, id) in node.outputs.iter().enumerate() {
                write!(f, "{}", if i > 0 { ", " } else { "" })?;
                self.show_value(f, *id)?;
            }
            write!(f, " = {}(", node.op.name())?;
            for (i, id) in node.inputs.iter().enumerate() {
                write!(f, "{}", if i > 0 { ", " } else { "" })?;
                self.show_value(f, *id)?;
            }
            writeln!(f, ")")?;
            for (i, block) in node.op.blocks().enumerate() {
                if i > 0 {
                    writeln!(f, "{:indent$}else", "")?;
                }
                self.show_nodes(f, &block.nodes, depth + 1)?;
                write!(f, "{:indent$}  gives ", "")?;
                for (i, id) in block.results.iter().enumerate() {
                    write!(f, "{}", if i > 0 { ", " } else { "" })?;
                    self.show_value(f, *id)?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// One line a node: results, operator, operands; blocks are indented.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show_nodes(f, &self.nodes, 0)
    }
}
