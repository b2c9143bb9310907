//! Changes to inputs that keep their form: a model stays a model, an image keeps its sections.
//!
//! Half of all changes are made here, by kind of field; the other half are those of the fuzzer.

use nowcast::onnx::proto::{
    AttributeProto, AttributeType, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
    TypeValue,
};
use prost::Message;

use crate::choices::Random;

/// Operators that a node may become.
const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "Attention",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "AffineGrid",
    "Col2Im",
    "CumProd",
    "CumSum",
    "DFT",
    "DeformConv",
    "Det",
    "GridSample",
    "MaxRoiPool",
    "MaxUnpool",
    "MelWeightMatrix",
    "RoiAlign",
    "STFT",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "DynamicQuantizeLinear",
    "Einsum",
    "Equal",
    "Expand",
    "EyeLike",
    "Flatten",
    "GRU",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GroupNormalization",
    "If",
    "InstanceNormalization",
    "LRN",
    "LSTM",
    "LayerNormalization",
    "LogSoftmax",
    "LpNormalization",
    "LpPool",
    "MatMul",
    "MatMulInteger",
    "Max",
    "MaxPool",
    "Mean",
    "MeanVarianceNormalization",
    "Min",
    "Mod",
    "Mul",
    "NonZero",
    "OneHot",
    "PRelu",
    "Pad",
    "Pow",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
    "RMSNormalization",
    "RNN",
    "Range",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceProd",
    "ReduceSum",
    "Reshape",
    "Resize",
    "ReverseSequence",
    "RotaryEmbedding",
    "ScatterElements",
    "ScatterND",
    "Scan",
    "Shape",
    "Size",
    "Slice",
    "Softmax",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Sum",
    "Swish",
    "TensorScatter",
    "Tile",
    "TopK",
    "Transpose",
    "Trilu",
    "Unsqueeze",
    "Where",
    "Loop",
    "Identity",
];

/// Changes the model in `data[..size]`; its new size, or `None` to leave the change to the fuzzer.
pub fn model(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
    let mut random = Random::new(seed);
    if random.below(2) == 0 {
        return None;
    }
    let mut model = ModelProto::decode(&data[..size]).ok()?;
    for _ in 0..1 + random.below(3) {
        if let (1, Some(set)) = (random.below(24), random.pick(&mut model.opset_import)) {
            set.version = 6 + random.below(23) as i64;
        } else {
            let function = random.below(8) == 0;
            match random.pick(&mut model.functions).filter(|_| function) {
                Some(function) => nodes(&mut function.node, &mut random),
                None => graph(model.graph.as_mut()?, &mut random),
            }
        }
    }
    let bytes = model.encode_to_vec();
    if bytes.len() > max_size {
        return None;
    }
    data[..bytes.len()].copy_from_slice(&bytes);
    Some(bytes.len())
}

fn graph(graph: &mut GraphProto, random: &mut Random) {
    match random.below(8) {
        0 => {
            if let Some(constant) = random.pick(&mut graph.initializer) {
                tensor(constant, random);
            }
        }
        1 => {
            let ports = if random.below(4) == 0 { &mut graph.output } else { &mut graph.input };
            let Some(kind) = random.pick(ports).and_then(|port| port.r#type.as_mut()) else {
                return;
            };
            let Some(TypeValue::Tensor(kind)) = &mut kind.value else { return };
            if random.below(5) == 0 {
                kind.elem_type = random.below(17) as i32;
            }
            let Some(shape) = &mut kind.shape else { return };
            match random.below(8) {
                0 => drop(shape.dim.pop()),
                1 => {
                    if let Some(dim) = shape.dim.first().cloned() {
                        shape.dim.insert(0, dim);
                    }
                }
                2 => {
                    if let Some(dim) = random.pick(&mut shape.dim) {
                        let name = ["n", "m", ""][random.below(3)];
                        dim.value = Some(DimensionValue::Param(name.into()));
                    }
                }
                _ => {
                    if let Some(dim) = random.pick(&mut shape.dim) {
                        dim.value = Some(DimensionValue::Value(random.edge()));
                    }
                }
            }
        }
        2 => {
            // An input becomes the first constant, or the other way.
            if let (Some(input), Some(constant)) =
                (random.pick(&mut graph.input), graph.initializer.first_mut())
            {
                constant.name.clone_from(&input.name);
            }
        }
        _ => nodes(&mut graph.node, random),
    }
}

fn nodes(nodes: &mut Vec<NodeProto>, random: &mut Random) {
    let known: Vec<String> =
        nodes.iter().flat_map(|node| node.input.iter().chain(&node.output).cloned()).collect();
    if random.below(12) == 0 && nodes.len() < 64 && !nodes.is_empty() {
        // One more node, between one and those that read it.
        let at = random.below(nodes.len());
        let mut node = nodes[at].clone();
        if let Some(first) = nodes[at].output.first_mut() {
            node.input = vec![format!("{first}'")];
            node.output = vec![first.clone()];
            *first = format!("{first}'");
            node.op_type = OPERATORS[random.below(OPERATORS.len())].into();
        }
        nodes.insert(at + 1, node);
        return;
    }
    let Some(node) = random.pick(nodes) else { return };
    let anyone = |random: &mut Random| match random.below(8) {
        0 => String::new(),
        _ => known.get(random.below(known.len())).cloned().unwrap_or_default(),
    };
    match random.below(12) {
        0 => node.op_type = OPERATORS[random.below(OPERATORS.len())].into(),
        1 => {
            if let Some(input) = random.pick(&mut node.input) {
                *input = anyone(random);
            }
        }
        2 => {
            let name = anyone(random);
            node.input.push(name);
        }
        3 => drop(node.input.pop()),
        4 => {
            let name = format!("extra{}", random.below(9));
            node.output.push(name);
        }
        5 => drop(node.output.pop()),
        6 if !node.attribute.is_empty() => {
            node.attribute.swap_remove(random.below(node.attribute.len()));
        }
        7 => {
            let (name, kind) = [
                ("axis", AttributeType::Int),
                ("axes", AttributeType::Ints),
                ("keepdims", AttributeType::Int),
                ("pads", AttributeType::Ints),
                ("strides", AttributeType::Ints),
                ("dilations", AttributeType::Ints),
                ("kernel_shape", AttributeType::Ints),
                ("group", AttributeType::Int),
                ("to", AttributeType::Int),
                ("perm", AttributeType::Ints),
                ("ceil_mode", AttributeType::Int),
                ("transB", AttributeType::Int),
                ("block_size", AttributeType::Int),
                ("hidden_size", AttributeType::Int),
                ("num_outputs", AttributeType::Int),
            ][random.below(15)];
            node.attribute.push(AttributeProto {
                name: name.into(),
                r#type: kind as i32,
                i: random.edge(),
                ints: (0..random.below(5)).map(|_| random.edge()).collect(),
                ..AttributeProto::default()
            });
        }
        _ => match random.pick(&mut node.attribute) {
            Some(attribute) => value(attribute, random),
            None => {
                if let Some(input) = random.pick(&mut node.input) {
                    *input = anyone(random);
                }
            }
        },
    }
}

fn value(attribute: &mut AttributeProto, random: &mut Random) {
    match attribute.r#type {
        kind if kind == AttributeType::Ints as i32 => match random.below(5) {
            0 => drop(attribute.ints.pop()),
            1 => attribute.ints.push(random.edge()),
            _ => {
                if let Some(number) = random.pick(&mut attribute.ints) {
                    *number = random.edge();
                }
            }
        },
        kind if kind == AttributeType::Tensor as i32 => {
            if let Some(constant) = &mut attribute.t {
                tensor(constant, random);
            }
        }
        kind if kind == AttributeType::Graph as i32 => {
            if let Some(body) = &mut attribute.g {
                graph(body, random);
            }
        }
        kind if kind == AttributeType::Float as i32 => {
            attribute.f = [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40, 3.5e37][random.below(6)];
        }
        _ => attribute.i = random.edge(),
    }
}

fn tensor(constant: &mut TensorProto, random: &mut Random) {
    match random.below(6) {
        0 => constant.data_type = random.below(17) as i32,
        1 => {
            if let Some(dim) = random.pick(&mut constant.dims) {
                *dim = random.edge();
            }
        }
        2 => {
            // The same elements in another shape.
            let len: i64 = constant.dims.iter().fold(1, |n: i64, d| n.saturating_mul(*d));
            constant.dims = match random.below(3) {
                0 => vec![len],
                1 => vec![len, 1],
                _ => vec![1, len],
            };
        }
        _ => {
            let edge = random.edge();
            if let Some(number) = random.pick(&mut constant.int64_data) {
                *number = edge;
            } else if let Some(number) = random.pick(&mut constant.float_data) {
                *number = edge as f32;
            } else if let Some(number) = random.pick(&mut constant.int32_data) {
                *number = edge as i32;
            } else if let Some(raw) = &constant.raw_data {
                let mut raw = raw.to_vec();
                let at = random.below(raw.len() / 8) * 8;
                if let Some(to) = raw.get_mut(at..at + 8) {
                    to.copy_from_slice(&edge.to_le_bytes());
                } else if let Some(byte) = random.pick(&mut raw) {
                    *byte = edge as u8;
                }
                constant.raw_data = Some(raw.into());
            }
        }
    }
}

/// Changes words of the image in `data[..size]`, those of the constants seldom.
pub fn words(data: &mut [u8], size: usize, seed: u32) -> Option<usize> {
    let mut random = Random::new(seed);
    let len = size / 4;
    if len < 34 || random.below(4) == 0 {
        return None;
    }
    let word = |data: &[u8], at: usize| {
        u32::from_le_bytes([data[at * 4], data[at * 4 + 1], data[at * 4 + 2], data[at * 4 + 3]])
    };
    // Where the section of constants starts: it is the last.
    let constants = (word(data, 8 + 2 * 7) as usize).clamp(32, len);
    for _ in 0..1 + random.below(3) {
        let most = if random.below(10) == 0 { len } else { constants };
        let at = match random.below(10) {
            0 => 3 + random.below(29),
            _ => 32 + random.below(most - 32),
        };
        if at >= len {
            continue;
        }
        let old = word(data, at);
        let new = match random.below(9) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_sub(1),
            2 => old ^ 1 << random.below(32),
            3 => random.below(32) as u32,
            4 => old.wrapping_mul(2),
            5 => random.edge() as u32,
            // A place in the table of dimensions.
            6 => 1 << 31 | random.below(12) as u32,
            7 => word(data, random.below(len)),
            _ => word(data, 32 + random.below(constants - 32).min(len - 33)),
        };
        data[at * 4..at * 4 + 4].copy_from_slice(&new.to_le_bytes());
    }
    Some(size)
}

/// Changes numbers of the bundle in `data[..size]`: its directory, or the front of a section, where
/// the tables are.
pub fn bundle(data: &mut [u8], size: usize, seed: u32) -> Option<usize> {
    let mut random = Random::new(seed);
    if size < 128 || random.below(4) == 0 {
        return None;
    }
    let word = |data: &[u8], at: usize| {
        u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
    };
    for _ in 0..1 + random.below(3) {
        let sections = (word(data, 28) as usize).clamp(1, 8);
        let entry = 64 + 32 * random.below(sections);
        let (from, len) = match random.below(6) {
            0 => (24, 40 + 32 * sections),
            _ if entry + 24 <= size => {
                let len = word(data, entry + 16) as usize;
                (
                    word(data, entry + 8) as usize,
                    if random.below(8) == 0 { len } else { len.min(2048) },
                )
            }
            _ => (24, 104),
        };
        let at = from.saturating_add(random.below(len / 4) * 4);
        if at >= size - 4 {
            continue;
        }
        let old = word(data, at);
        let new = match random.below(8) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_sub(1),
            2 => old ^ 1 << random.below(32),
            3 => random.below(32) as u32,
            4 => random.edge() as u32,
            5 => 1 << 31 | random.below(12) as u32,
            _ => word(data, from.saturating_add(random.below(len / 4) * 4).min(size - 4)),
        };
        data[at..at + 4].copy_from_slice(&new.to_le_bytes());
    }
    Some(size)
}

/// The last bytes of an input, which choose what is done with it.
pub fn tail(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(64)..]
}
