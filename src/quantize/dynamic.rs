//! The dynamic form: each run takes the range of an activation from its data.
//!
//! **Source**: the operators' specification (ONNX, operator sets 10 and 11; com.microsoft for
//! `DynamicQuantizeLSTM`); the order of the operators is the one that ONNX Runtime's quantizer
//! writes and its optimizer recognises.

use super::draft::{Draft, MICROSOFT, code, int, node};
use super::layers::{self, Kind, Layer};
use super::options::Options;
use super::weights::{Integers, symmetric};
use crate::graph::Tensor;
use crate::onnx::proto::NodeProto;

/// Quantizes one layer.
pub(super) fn write(draft: &mut Draft<'_>, layer: &Layer, options: &Options) {
    draft.needs(11);
    match layer.kind {
        Kind::Recurrent => lstm(draft, layer, options),
        Kind::Conv => conv(draft, layer, options),
        _ => product(draft, layer, options),
    }
}

/// The activation as integers, their scale and zero point; each activation once.
fn activation(draft: &mut Draft<'_>, layer: &Layer) -> [String; 3] {
    let (at, x) = (layer.node, &layer.input[..]);
    let made = draft.once(&format!("x {x}"), |draft| {
        let names = ["quantized", "scale", "zero_point"].map(|s| draft.name(&format!("{x}_{s}")));
        let outputs = [&names[0][..], &names[1], &names[2]];
        let name = draft.name(&format!("{x}_DynamicQuantizeLinear"));
        draft.put_before(at, node("DynamicQuantizeLinear", &[x], &outputs, &name));
        names.to_vec()
    });
    [made[0].clone(), made[1].clone(), made[2].clone()]
}

/// Puts the nodes behind an integer product: its sums as floats, times both scales, plus `bias`.
fn rescale(
    draft: &mut Draft<'_>,
    layer: &Layer,
    sums: &str,
    scales: [&str; 2],
    bias: Option<&str>,
) {
    let at = layer.node;
    let result = draft.node(at).output.first().cloned().unwrap_or_default();
    let like = &layer.name;
    let (floats, factor) =
        (draft.name(&format!("{result}_as_float")), draft.name(&format!("{result}_scales")));
    let name = draft.name(&format!("{like}_Cast"));
    let mut cast = node("Cast", &[sums], &[&floats], &name);
    cast.attribute.push(int("to", i64::from(code::F32)));
    draft.put_instead(at, cast);
    let name = draft.name(&format!("{like}_scales_Mul"));
    draft.put_instead(at, node("Mul", &scales, &[&factor], &name));
    let scaled = match bias {
        Some(_) => draft.name(&format!("{result}_scaled")),
        None => result.clone(),
    };
    let name = draft.name(&format!("{like}_Mul"));
    draft.put_instead(at, node("Mul", &[&floats, &factor], &[&scaled], &name));
    if let Some(bias) = bias {
        let name = draft.name(&format!("{like}_Add"));
        draft.put_instead(at, node("Add", &[&scaled, bias], &[&result], &name));
    }
}

fn product(draft: &mut Draft<'_>, layer: &Layer, options: &Options) {
    let [x, x_scale, x_zero] = activation(draft, layer);
    let (weight, at) = (&layer.weights[0], layer.node);
    let (alpha, beta, trans_b) = match layer.kind {
        Kind::Gemm { alpha, beta, trans_b } => (alpha, beta, trans_b),
        _ => (1.0, 1.0, false),
    };
    let tensor = arranged(&weight.tensor, alpha, trans_b);
    let shape = tensor.shape();
    let axis = (options.per_channel && shape.len() == 2).then_some(1);
    let made = draft.once(&format!("w {alpha} {trans_b} {}", weight.name), |draft| {
        let Integers { values, scales } = symmetric(&tensor, axis, 127, &[]);
        let like = &weight.name;
        let bytes: Vec<u8> = values.iter().map(|q| *q as u8).collect();
        let dims: &[usize] = if axis.is_some() { &[scales.len()] } else { &[] };
        let zeros = vec![0; scales.len()];
        vec![
            draft.constant(&format!("{like}_quantized"), code::I8, shape, &bytes),
            draft.floats(&format!("{like}_scale"), dims, &scales),
            draft.constant(&format!("{like}_zero_point"), code::I8, dims, &zeros),
        ]
    });
    let sums = draft.name(&format!("{}_sums", layer.name));
    let name = draft.name(&format!("{}_MatMulInteger", layer.name));
    let inputs = [&x[..], &made[0], &x_zero, &made[2]];
    draft.put_instead(at, node("MatMulInteger", &inputs, &[&sums], &name));
    let bias = gemm_bias(draft, layer, beta);
    rescale(draft, layer, &sums, [&x_scale, &made[1]], bias.as_deref());
}

/// What a Gemm adds, times its beta.
fn gemm_bias(draft: &mut Draft<'_>, layer: &Layer, beta: f32) -> Option<String> {
    let Kind::Gemm { .. } = layer.kind else { return None };
    let bias = draft.node(layer.node).input.get(2).filter(|name| !name.is_empty())?.clone();
    if beta == 1.0 {
        return Some(bias);
    }
    let factor = draft.floats(&format!("{}_beta", layer.name), &[], &[beta]);
    let (scaled, name) =
        (draft.name(&format!("{bias}_times_beta")), draft.name(&format!("{bias}_Mul")));
    draft.put_instead(layer.node, node("Mul", &[&bias, &factor], &[&scaled], &name));
    Some(scaled)
}

/// A matrix times a factor, its rows the ones that are summed over.
fn arranged(w: &Tensor, factor: f32, transposed: bool) -> Tensor {
    let scaled = |x: &f32| if factor == 1.0 { *x } else { x * factor };
    let w = if transposed { layers::transposed(w) } else { w.clone() };
    let elements = w.as_slice::<f32>().unwrap_or_default();
    Tensor::new(w.shape(), &elements.iter().map(scaled).collect::<Vec<_>>())
}

fn conv(draft: &mut Draft<'_>, layer: &Layer, options: &Options) {
    let [x, x_scale, x_zero] = activation(draft, layer);
    let (weight, at) = (&layer.weights[0], layer.node);
    let shape = weight.tensor.shape();
    let spatial = shape.len() - 2;
    let axis = options.per_channel.then_some(0);
    let made = draft.once(&format!("w {}", weight.name), |draft| {
        let Integers { values, scales } = symmetric(&weight.tensor, axis, 127, &[]);
        let like = &weight.name;
        // ONNX Runtime's ConvInteger takes weights of u8 alone.
        let bytes: Vec<u8> = values.iter().map(|q| (i16::from(*q) + 128) as u8).collect();
        let mut dims = vec![1; spatial + 1];
        dims[0] = scales.len();
        vec![
            draft.constant(&format!("{like}_quantized"), code::U8, shape, &bytes),
            draft.floats(
                &format!("{like}_scale"),
                if axis.is_some() { &dims } else { &[] },
                &scales,
            ),
            draft.constant(&format!("{like}_zero_point"), code::U8, &[], &[128]),
        ]
    });
    let sums = draft.name(&format!("{}_sums", layer.name));
    let name = draft.name(&format!("{}_ConvInteger", layer.name));
    let product = NodeProto {
        attribute: draft.node(at).attribute.clone(),
        ..node("ConvInteger", &[&x, &made[0], &x_zero, &made[2]], &[&sums], &name)
    };
    draft.put_instead(at, product);
    let bias = draft.node(at).input.get(2).filter(|name| !name.is_empty()).cloned();
    let bias = bias.map(|bias| {
        let dims: Vec<i64> = [-1].into_iter().chain(vec![1; spatial]).collect();
        let bytes: Vec<u8> = dims.iter().flat_map(|n| n.to_le_bytes()).collect();
        let to = draft.constant(&format!("{bias}_shape"), code::I64, &[dims.len()], &bytes);
        let (column, name) =
            (draft.name(&format!("{bias}_column")), draft.name(&format!("{bias}_Reshape")));
        draft.put_instead(at, node("Reshape", &[&bias, &to], &[&column], &name));
        column
    });
    rescale(draft, layer, &sums, [&x_scale, &made[1]], bias.as_deref());
}

fn lstm(draft: &mut Draft<'_>, layer: &Layer, options: &Options) {
    let at = layer.node;
    let mut inputs = draft.node(at).input.clone();
    inputs.resize(8, String::new());
    for weight in &layer.weights {
        let &[directions, gates, inner] = weight.tensor.shape() else { return };
        let rows = weight.tensor.reshaped(&[directions * gates, inner]);
        let made = draft.once(&format!("w {}", weight.name), |draft| {
            // Without channels each direction has its own scale.
            let Integers { values, scales } = match options.per_channel {
                true => symmetric(&rows, Some(0), 127, &[]),
                false => symmetric(&rows.reshaped(&[directions, gates * inner]), Some(0), 127, &[]),
            };
            let like = &weight.name;
            // The operator wants the gates last.
            let turned = |i: usize| {
                let (direction, at) = (i / (gates * inner), i % (gates * inner));
                values[direction * gates * inner + at % gates * inner + at / gates] as u8
            };
            let bytes: Vec<u8> = (0..values.len()).map(turned).collect();
            let shape = [directions, inner, gates];
            let per_gate = [directions, gates];
            let dims = if options.per_channel { &per_gate[..] } else { &per_gate[..1] };
            let zeros = vec![0; scales.len()];
            vec![
                draft.constant(&format!("{like}_quantized"), code::I8, &shape, &bytes),
                draft.floats(&format!("{like}_scale"), dims, &scales),
                draft.constant(&format!("{like}_zero_point"), code::I8, dims, &zeros),
            ]
        });
        let [q, scale, zero] = [0, 1, 2].map(|i| made[i].clone());
        inputs[weight.operand] = q;
        inputs.extend([scale, zero]);
    }
    let mut quantized = draft.node(at).clone();
    quantized.attribute.retain(|attribute| attribute.name != "layout");
    if !quantized.attribute.iter().any(|attribute| attribute.name == "hidden_size") {
        let hidden = layer.weights[1].tensor.shape()[2];
        quantized.attribute.push(int("hidden_size", hidden as i64));
    }
    quantized.op_type = "DynamicQuantizeLSTM".to_owned();
    quantized.domain = MICROSOFT.to_owned();
    quantized.input = inputs;
    draft.put_instead(at, quantized);
}
