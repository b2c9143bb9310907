//! Which nodes of a model are quantized, and why the others are not.

use std::collections::HashSet;

use super::constants::Constants;
use super::model::{Model, node_name};
use super::options::{Mode, Options};
use crate::graph::Tensor;
use crate::graph::ops::QuantizedConv;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto};
use crate::tensor::DType;

/// A node that stays in float.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The node's name, or that of its output.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// Why, as the rest of a sentence about it.
    pub why: String,
}

/// What a layer computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    MatMul,
    Gemm {
        alpha: f32,
        beta: f32,
        trans_b: bool,
    },
    Conv,
    /// LSTM, GRU and RNN.
    Recurrent,
    Gather,
}

/// A node with constant weights.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) op: String,
    /// Its position among the nodes of the graph.
    pub(super) node: usize,
    pub(super) kind: Kind,
    /// The activation that it reads.
    pub(super) input: String,
    /// What it multiplies by, as f32; a recurrent layer has two.
    pub(super) weights: Vec<Weight>,
    /// What is added to its result, if that is a constant.
    pub(super) bias: Option<Bias>,
}

/// A constant that a layer adds itself, or that the one node which reads its result adds.
#[derive(Clone, Debug)]
pub(super) struct Bias {
    pub(super) tensor: Tensor,
    /// The node that adds it, and which of its inputs it is.
    pub(super) node: usize,
    pub(super) operand: usize,
}

/// A constant operand of a layer.
#[derive(Clone, Debug)]
pub(super) struct Weight {
    pub(super) name: String,
    /// Which input of the node it is.
    pub(super) operand: usize,
    pub(super) tensor: Tensor,
}

/// The layers that a mode quantizes, in the order of the model, and what it leaves.
pub(super) fn find(model: &Model, options: &Options) -> (Vec<Layer>, Vec<LeftOut>) {
    let constants = Constants::new(model);
    let functions: HashSet<(&str, &str)> =
        model.proto.functions.iter().map(|f| (f.domain.as_str(), f.name.as_str())).collect();
    let (mut layers, mut left_out) = (Vec::new(), Vec::new());
    for (i, node) in model.graph().node.iter().enumerate() {
        let found = if functions.contains(&(node.domain.as_str(), node.op_type.as_str())) {
            Err("is a function of the model, whose body stays in float".to_owned())
        } else if bodies(node).any(has_products) {
            Err("has a body, which stays in float".to_owned())
        } else if node.domain.is_empty() || node.domain == "ai.onnx" {
            layer(node, i, &constants, options).transpose()
        } else {
            continue;
        };
        match found {
            Ok(Some(layer)) => layers.push(layer),
            Ok(None) => {}
            Err(why) => {
                let (name, op) = (node_name(node).to_owned(), node.op_type.clone());
                left_out.push(LeftOut { name, op, why });
            }
        }
    }
    (layers, left_out)
}

fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs))
}

fn has_products(graph: &GraphProto) -> bool {
    let is_product =
        |node: &NodeProto| matches!(&node.op_type[..], "MatMul" | "Gemm" | "Conv" | "LSTM" | "GRU");
    graph.node.iter().any(|node| is_product(node) || bodies(node).any(has_products))
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// The integer attribute of a node.
pub(super) fn int(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|attribute| attribute.i)
}

/// Whether a node multiplies by a constant of f32.
fn has_constant_factor(node: &NodeProto, constants: &Constants<'_>) -> bool {
    let is_float = |x: Tensor| x.dtype() == DType::F32 && x.shape().len() > 1;
    node.input.iter().any(|name| constants.of(name).is_some_and(is_float))
}

/// Whether the matrix is transposed, where an Einsum is the product of rows with a matrix:
/// `...c,cd->...d` or `...c,dc->...d`.
fn matrix_product(node: &NodeProto) -> Option<bool> {
    let equation = String::from_utf8(attribute(node, "equation")?.s.clone()).ok()?;
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (operands, result) = equation.split_once("->")?;
    let (rows, matrix) = operands.split_once(',')?;
    let &[first, second] = matrix.as_bytes() else { return None };
    let (kept, summed) = rows.split_at(rows.len().checked_sub(1)?);
    let letters = |text: &str| text.bytes().filter(u8::is_ascii_alphabetic).collect::<Vec<_>>();
    let mut all = [letters(rows), vec![first, second]].concat();
    all.sort_unstable();
    all.dedup();
    // Every letter stands for an axis of its own, but for the one that is summed over.
    let distinct = all.len() == letters(rows).len() + 1;
    let (is_transposed, column) = match summed.as_bytes() {
        [c] if *c == first => (false, second),
        [c] if *c == second => (true, first),
        _ => return None,
    };
    let expected = [kept.as_bytes(), &[column]].concat();
    (distinct && result.as_bytes() == expected).then_some(is_transposed)
}

/// The layer that a node is; none where the mode does not know the operator.
fn layer(
    node: &NodeProto,
    i: usize,
    constants: &Constants<'_>,
    options: &Options,
) -> Option<Result<Layer, String>> {
    let mode = options.mode;
    let kind = match &node.op_type[..] {
        "MatMul" => Kind::MatMul,
        "Gemm" => {
            let float = |name| attribute(node, name).map_or(1.0, |a| a.f);
            let trans_b = int(node, "transB").unwrap_or(0) != 0;
            Kind::Gemm { alpha: float("alpha"), beta: float("beta"), trans_b }
        }
        "Conv" => Kind::Conv,
        "Einsum" | "ConvTranspose" if !has_constant_factor(node, constants) => return None,
        "ConvTranspose" => return Some(Err("is not quantized in any mode".to_owned())),
        "Einsum" => match matrix_product(node) {
            Some(_) => Kind::MatMul,
            None => return Some(Err("is no product of rows with a matrix".to_owned())),
        },
        "LSTM" | "GRU" | "RNN" => Kind::Recurrent,
        "Gather" if mode == Mode::Weights => Kind::Gather,
        _ => return None,
    };
    let is_table = |x: Tensor| x.dtype() == DType::F32 && x.shape().len() == 2;
    if kind == Kind::Gather
        && !node.input.first().and_then(|x| constants.of(x)).is_some_and(is_table)
    {
        return None;
    }
    Some(described(node, i, kind, constants, mode))
}

fn described(
    node: &NodeProto,
    i: usize,
    kind: Kind,
    constants: &Constants<'_>,
    mode: Mode,
) -> Result<Layer, String> {
    let operands: &[usize] = match kind {
        Kind::Gather => &[0],
        Kind::Recurrent => &[1, 2],
        _ => &[1],
    };
    match (kind, mode) {
        (Kind::Recurrent, Mode::Static) => {
            return Err("has no static form: choose dynamic quantization or weights alone".into());
        }
        (Kind::Recurrent, Mode::Dynamic) if node.op_type != "LSTM" => {
            return Err("has no dynamic form: choose weights alone".into());
        }
        (Kind::Recurrent, Mode::Dynamic) if int(node, "layout").unwrap_or(0) != 0 => {
            return Err("has its batch first, which the dynamic form has not".into());
        }
        (Kind::Gemm { .. }, _) if int(node, "transA").unwrap_or(0) != 0 => {
            return Err("transposes its activation".into());
        }
        (Kind::Gather, _) if int(node, "axis").unwrap_or(0) != 0 => {
            return Err("takes no rows of its table".into());
        }
        _ => {}
    }
    let weight = |operand: &usize| {
        let name = node.input.get(*operand).map_or("", |name| name);
        let tensor = constants.of(name).ok_or_else(|| match kind {
            Kind::MatMul | Kind::Gemm { .. } => "has no constant as its second factor".to_owned(),
            _ => format!("has weights {name:?} that are no constant"),
        })?;
        if tensor.dtype() != DType::F32 {
            return Err(format!("has weights of {}, and only f32 is quantized", tensor.dtype()));
        }
        if tensor.shape().len() < 2 || tensor.is_empty() {
            return Err(format!("has weights of the shape {:?}", tensor.shape()));
        }
        if tensor.to_f64s().iter().any(|x| !x.is_finite()) {
            return Err("has weights that are not finite".to_owned());
        }
        let is_transposed = node.op_type == "Einsum" && matrix_product(node) == Some(true);
        Ok(match is_transposed && tensor.shape().len() == 2 {
            true => Weight {
                name: format!("{name}_transposed"),
                operand: *operand,
                tensor: transposed(&tensor),
            },
            false => Weight { name: name.to_owned(), operand: *operand, tensor },
        })
    };
    let weights: Vec<Weight> = operands.iter().map(weight).collect::<Result<_, String>>()?;
    let shape = weights[0].tensor.shape();
    let rank_is_right = match kind {
        Kind::MatMul => true,
        Kind::Gemm { .. } | Kind::Gather => shape.len() == 2,
        Kind::Conv => shape.len() >= 3,
        Kind::Recurrent => weights.iter().all(|w| w.tensor.shape().len() == 3),
    };
    if !rank_is_right {
        return Err(format!("has weights of the shape {shape:?}"));
    }
    if kind == Kind::Conv && mode != Mode::Weights {
        let group = int(node, "group").and_then(|n| usize::try_from(n).ok()).unwrap_or(1).max(1);
        if !QuantizedConv::takes_groups(group, shape[1], shape[0] / group) {
            let why = "has groups of a few outputs, which are faster in f32: choose weights alone";
            return Err(why.to_owned());
        }
    }
    let bias = match kind {
        Kind::Gemm { .. } | Kind::Conv => {
            let name = node.input.get(2).filter(|name| !name.is_empty());
            let tensor = name.and_then(|name| constants.of(name));
            tensor.map(|tensor| Bias { tensor, node: i, operand: 2 })
        }
        Kind::MatMul => added_behind(node, constants),
        _ => None,
    };
    Ok(Layer {
        name: node_name(node).to_owned(),
        op: node.op_type.clone(),
        node: i,
        kind,
        input: node.input.get(usize::from(kind == Kind::Gather)).cloned().unwrap_or_default(),
        weights,
        bias,
    })
}

/// What the only reader of a node's result adds to it, if that is constant.
fn added_behind(node: &NodeProto, constants: &Constants<'_>) -> Option<Bias> {
    let result = node.output.first()?;
    let at = constants.only_reader(result)?;
    let reader = constants.node(at);
    let is_sum = reader.op_type == "Add" && reader.domain.is_empty();
    let operand = reader.input.iter().position(|name| name != result).filter(|_| is_sum)?;
    let tensor = constants.of(&reader.input[operand])?;
    Some(Bias { tensor, node: at, operand })
}

/// A matrix with its axes exchanged.
pub(super) fn transposed(w: &Tensor) -> Tensor {
    let elements = w.as_slice::<f32>().unwrap_or_default();
    let [rows, cols] = [w.shape()[0], w.shape()[1]];
    let turned: Vec<f32> =
        (0..elements.len()).map(|i| elements[i % rows * cols + i / rows]).collect();
    Tensor::new(&[cols, rows], &turned)
}

impl Layer {
    /// The axis of the channels of a weight: each has a scale of its own. None where one axis
    /// does not tell them apart.
    pub(super) fn channel_axis(&self) -> Option<usize> {
        let shape = self.weights[0].tensor.shape();
        match self.kind {
            Kind::MatMul => (shape.len() == 2).then_some(1),
            Kind::Gemm { trans_b, .. } => Some(usize::from(!trans_b)),
            Kind::Conv | Kind::Gather => Some(0),
            Kind::Recurrent => (shape[0] == 1).then_some(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::model::raw;
    use super::*;
    use crate::onnx::proto::ModelProto;

    #[test]
    fn an_einsum_is_a_product_with_a_matrix_or_not() {
        let of = |equation: &str| {
            let s = equation.as_bytes().to_vec();
            let attribute = AttributeProto { name: "equation".into(), s, ..Default::default() };
            matrix_product(&NodeProto { attribute: vec![attribute], ..Default::default() })
        };
        for (equation, expected) in [
            ("abc,cd->abd", Some(false)),
            ("ac, dc -> ad", Some(true)),
            ("...c,cd->...d", Some(false)),
            ("abc,cd->adb", None),
            ("abc,cb->ab", None),
            ("aac,cd->ad", None),
            ("abc,cd", None),
            ("bhqd,bhkd->bhqk", None),
            (",ab->ab", None),
            ("ab,bc,cd->ad", None),
        ] {
            assert_eq!(of(equation), expected, "{equation}");
        }
    }

    #[test]
    fn groups_of_a_few_outputs_stay_in_float() {
        let layer_of = |group: i64, shape: [usize; 3], mode: Mode| {
            let attribute = AttributeProto { name: "group".into(), i: group, ..Default::default() };
            let bytes: Vec<u8> = [1.0f32.to_le_bytes()].repeat(shape.iter().product()).concat();
            let dims = shape.map(|n| n as i64);
            let graph = GraphProto {
                initializer: vec![raw("w", 1, &dims, &bytes)],
                node: vec![NodeProto {
                    op_type: "Conv".into(),
                    input: vec!["x".into(), "w".into()],
                    output: vec!["y".into()],
                    attribute: vec![attribute],
                    ..Default::default()
                }],
                ..Default::default()
            };
            let proto = ModelProto { graph: Some(graph), ..Default::default() };
            let model = Model::from_bytes(&proto.encode_to_vec()).expect("a model");
            let constants = Constants::new(&model);
            described(constants.node(0), 0, Kind::Conv, &constants, mode).map(|_| ())
        };
        for mode in [Mode::Static, Mode::Dynamic] {
            let error = layer_of(5, [10, 2, 3], mode).expect_err("two outputs a group");
            assert!(error.contains("groups of a few outputs"), "{error}");
            // One group, groups that fill a panel together, and channels by themselves.
            for (group, shape) in [(1, [10, 10, 3]), (4, [32, 8, 3]), (5, [5, 1, 3])] {
                assert_eq!(layer_of(group, shape, mode), Ok(()), "{group} groups");
            }
        }
        assert_eq!(layer_of(5, [10, 2, 3], Mode::Weights), Ok(()));
    }
}
