//! The static form: integers between a pair of `QuantizeLinear` and `DequantizeLinear` at each
//! operand of a product.
//!
//! An activation has one pair, which stands behind whatever made it and before its first product,
//! so that bias, activation function and residual are added without a rounding between. Nothing is
//! quantized that no product reads: a result of the model keeps its precision.
//!
//! **Source**: the operators' specification (ONNX, operator sets 10, 13 and 21); the form is the
//! one that ONNX Runtime's optimizer recognises.

use super::calibrate::Range;
use super::draft::{Draft, code, int, node};
use super::layers::{Kind, Layer};
use super::options::{Activations, Options};
use super::weights::symmetric;
use crate::graph::Tensor;

/// Quantizes one layer.
pub(super) fn write(draft: &mut Draft<'_>, layer: &Layer, range: Range, options: &Options) {
    let axis = layer.channel_axis().filter(|_| options.per_channel);
    draft.needs(if axis.is_some() { 13 } else { 10 });
    let (step, zero) = range.scale(options.activations);
    let activation = activation(draft, layer, (step, zero), options.activations);

    let weight = &layer.weights[0];
    let shape = weight.tensor.shape();
    let channels = axis.map_or(1, |axis| shape[axis]);
    let (alpha, beta) = match layer.kind {
        Kind::Gemm { alpha, beta, .. } => (alpha, beta),
        _ => (1.0, 1.0),
    };
    let bias = bias_of(layer, beta);
    let floors: Vec<f32> = match &bias {
        Some(bias) => floors(bias, channels, step),
        None => Vec::new(),
    };
    let scaled = scaled(&weight.tensor, alpha);
    let integers = symmetric(&scaled, axis, 127, &floors);
    // The same weights may be read again with other floors.
    let hash = integers
        .scales
        .iter()
        .fold(0u64, |hash, scale| hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(scale.to_bits()));
    let key = format!("w {axis:?} {alpha} {hash:x} {}", weight.name);
    let at = layer.node;
    let dequantized = draft.once(&key, |draft| {
        let like = &weight.name;
        let bytes: Vec<u8> = integers.values.iter().map(|q| *q as u8).collect();
        let q = draft.constant(&format!("{like}_quantized"), code::I8, shape, &bytes);
        let dims: &[usize] = if axis.is_some() { &[channels] } else { &[] };
        let scale = draft.floats(&format!("{like}_scale"), dims, &integers.scales);
        let zeros = vec![0; channels];
        let zero = draft.constant(&format!("{like}_zero_point"), code::I8, dims, &zeros);
        let output = draft.name(&format!("{like}_dequantized"));
        let name = draft.name(&format!("{like}_DequantizeLinear"));
        let mut dequantize = node("DequantizeLinear", &[&q, &scale, &zero], &[&output], &name);
        dequantize.attribute.extend(axis.map(|axis| int("axis", axis as i64)));
        draft.put_before(at, dequantize);
        vec![output]
    });

    let mut inputs = vec![(0, &activation[..]), (weight.operand, &dequantized[0][..])];
    let is_own = layer.bias.as_ref().is_some_and(|bias| bias.node == at);
    let name = match &bias {
        Some(bias) if is_own && bias.iter().all(|b| *b == 0.0) => Some(String::new()),
        Some(bias) => Some(dequantized_bias(draft, layer, bias, step, &integers.scales)),
        None => None,
    };
    if let (Some(bias), Some(name)) = (&layer.bias, &name) {
        if is_own {
            inputs.push((bias.operand, name));
        } else {
            let sum = draft.with_inputs(bias.node, &[(bias.operand, name)]);
            draft.put_instead(bias.node, sum);
        }
    }
    let mut product = draft.with_inputs(at, &inputs);
    if name.as_deref() == Some("") {
        product.input.truncate(2);
    }
    if matches!(layer.kind, Kind::Gemm { .. }) {
        // Alpha is in the weights; beta is in a constant bias.
        let beta_stays = bias.is_none() && product.input.len() > 2;
        product.attribute.retain(|a| a.name != "alpha" && (a.name != "beta" || beta_stays));
    }
    draft.put_instead(at, product);
}

/// The activation behind its pair of nodes, which the first product that reads it brings.
fn activation(
    draft: &mut Draft<'_>,
    layer: &Layer,
    (step, zero): (f32, i32),
    dtype: Activations,
) -> String {
    let (at, x) = (layer.node, &layer.input[..]);
    let made = draft.once(&format!("x {x}"), |draft| {
        let scale = draft.floats(&format!("{x}_scale"), &[], &[step]);
        let code = match dtype {
            Activations::U8 => code::U8,
            Activations::I8 => code::I8,
        };
        let zero = draft.constant(&format!("{x}_zero_point"), code, &[], &[zero as u8]);
        let (q, y) =
            (draft.name(&format!("{x}_quantized")), draft.name(&format!("{x}_dequantized")));
        let name = draft.name(&format!("{x}_QuantizeLinear"));
        draft.put_before(at, node("QuantizeLinear", &[x, &scale, &zero], &[&q], &name));
        let name = draft.name(&format!("{x}_DequantizeLinear"));
        draft.put_before(at, node("DequantizeLinear", &[&q, &scale, &zero], &[&y], &name));
        vec![y]
    });
    made[0].clone()
}

/// The constant bias of a layer, one element for each channel of the result.
fn bias_of(layer: &Layer, beta: f32) -> Option<Vec<f32>> {
    let shape = layer.weights[0].tensor.shape();
    let channels = *match layer.kind {
        Kind::MatMul if shape.len() == 2 => shape.last(),
        Kind::Gemm { trans_b: false, .. } => shape.last(),
        Kind::Gemm { .. } | Kind::Conv => shape.first(),
        _ => None,
    }?;
    let bias = &layer.bias.as_ref()?.tensor;
    let elements = bias.as_slice::<f32>()?;
    let is_row = bias.shape().iter().rev().skip(1).all(|n| *n == 1);
    let spread: Vec<f32> = match elements {
        row if row.len() == channels && is_row => row.iter().map(|b| b * beta).collect(),
        [one] if layer.kind != Kind::MatMul => vec![one * beta; channels],
        _ => return None,
    };
    spread.iter().all(|b| b.is_finite()).then_some(spread)
}

/// Scales of weights below which the bias would have no place in 32 bits. Weights that are all
/// zero, or next to it, leave their channel to the bias.
fn floors(bias: &[f32], channels: usize, step: f32) -> Vec<f32> {
    const ROOM: f64 = (1u32 << 30) as f64;
    let floor = |b: f32| (f64::from(b.abs()) / (f64::from(step) * ROOM)) as f32;
    match channels {
        1 => vec![bias.iter().map(|b| floor(*b)).fold(0.0, f32::max)],
        _ => bias.iter().map(|b| floor(*b)).collect(),
    }
}

/// The bias as integers of 32 bits in steps of the product, which are exact enough; runtimes add
/// them to the sums.
fn dequantized_bias(
    draft: &mut Draft<'_>,
    layer: &Layer,
    bias: &[f32],
    step: f32,
    weight_scales: &[f32],
) -> String {
    let Some(at) = &layer.bias else { return String::new() };
    let like = draft.node(at.node).input.get(at.operand).cloned().unwrap_or_default();
    let scales: Vec<f32> = weight_scales.iter().map(|s| s * step).collect();
    let scale = |i: usize| if scales.len() == 1 { scales[0] } else { scales[i] };
    let integer =
        |(i, b): (usize, &f32)| (f64::from(*b) / f64::from(scale(i))).round_ties_even() as i32;
    let bytes: Vec<u8> = bias.iter().enumerate().flat_map(|x| integer(x).to_le_bytes()).collect();
    // A node that adds it elsewhere may broadcast by its rank.
    let row = [bias.len()];
    let shape = if at.node == layer.node { &row[..] } else { at.tensor.shape() };
    let q = draft.constant(&format!("{like}_quantized"), code::I32, shape, &bytes);
    let dims = if scales.len() == 1 { &[] } else { &row[..] };
    let scale = draft.floats(&format!("{like}_quantized_scale"), dims, &scales);
    let output = draft.name(&format!("{like}_dequantized"));
    let name = draft.name(&format!("{like}_DequantizeLinear"));
    let mut dequantize = node("DequantizeLinear", &[&q, &scale], &[&output], &name);
    if !dims.is_empty() {
        dequantize.attribute.push(int("axis", shape.len() as i64 - 1));
    }
    draft.put_before(layer.node, dequantize);
    output
}

/// Weights times a factor.
fn scaled(w: &Tensor, factor: f32) -> Tensor {
    if factor == 1.0 {
        return w.clone();
    }
    let elements: Vec<f32> =
        w.as_slice::<f32>().unwrap_or_default().iter().map(|x| x * factor).collect();
    Tensor::new(w.shape(), &elements)
}
