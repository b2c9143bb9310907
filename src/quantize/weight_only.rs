//! The form with quantized weights alone: a `DequantizeLinear` between a constant and its reader.

use super::draft::{Draft, code, int, node};
use super::layers::{Kind, Layer, Weight};
use super::options::Options;
use super::weights::{Integers, blocked, packed4, symmetric};

/// Quantizes the weights of one layer.
pub(super) fn write(draft: &mut Draft<'_>, layer: &Layer, options: &Options) {
    let names: Vec<(usize, String)> = layer
        .weights
        .iter()
        .map(|weight| (weight.operand, dequantized(draft, layer, weight, options)))
        .collect();
    let inputs: Vec<(usize, &str)> = names.iter().map(|(at, name)| (*at, &name[..])).collect();
    let reader = draft.with_inputs(layer.node, &inputs);
    draft.put_instead(layer.node, reader);
}

/// How the scales of a weight lie.
#[derive(Clone, Copy)]
enum Scales {
    One,
    /// One for each position of an axis.
    Channel(usize),
    /// One for each block along an axis.
    Block(usize),
}

/// The axis along which the elements of a weight are summed over, where there is one.
fn summed_axis(layer: &Layer, rank: usize) -> Option<usize> {
    match layer.kind {
        Kind::MatMul => Some(rank - 2),
        Kind::Gemm { trans_b, .. } => Some(usize::from(trans_b)),
        Kind::Gather => Some(1),
        Kind::Recurrent => Some(2),
        Kind::Conv => None,
    }
}

fn dequantized(draft: &mut Draft<'_>, layer: &Layer, weight: &Weight, options: &Options) -> String {
    let shape = weight.tensor.shape();
    // The gates of a second direction are channels of their own.
    let is_flat = matches!(layer.kind, Kind::Recurrent) && shape[0] > 1 && options.per_channel;
    let tensor = match is_flat {
        true => weight.tensor.reshaped(&[shape[0] * shape[1], shape[2]]),
        false => weight.tensor.clone(),
    };
    let stored = tensor.shape();
    let channel = if is_flat { Some(0) } else { layer.channel_axis() };
    let summed = summed_axis(layer, shape.len()).map(|axis| axis - usize::from(is_flat));
    let scales = match (options.per_channel, options.bits, channel, summed) {
        (false, ..) => Scales::One,
        (_, 4, _, Some(axis)) if stored[axis] > options.block => Scales::Block(axis),
        (_, _, Some(axis), _) => Scales::Channel(axis),
        _ => Scales::One,
    };
    let (limit, data_type) = if options.bits == 4 { (7, code::I4) } else { (127, code::I8) };
    draft.needs(match scales {
        _ if options.bits == 4 => 21,
        Scales::One => 10,
        _ => 13,
    });
    let Integers { values, scales: steps } = match scales {
        Scales::One => symmetric(&tensor, None, limit, &[]),
        Scales::Channel(axis) => symmetric(&tensor, Some(axis), limit, &[]),
        Scales::Block(axis) => blocked(&tensor, axis, options.block, limit),
    };
    let at = layer.node;
    let like = &weight.name;
    let key = match scales {
        Scales::One => format!("w {like}"),
        Scales::Channel(axis) => format!("c {axis} {like}"),
        Scales::Block(axis) => format!("b {axis} {like}"),
    };
    let made = draft.once(&key, |draft| {
        let bytes: Vec<u8> = match options.bits {
            4 => packed4(&values),
            _ => values.iter().map(|q| *q as u8).collect(),
        };
        let q = draft.constant(&format!("{like}_quantized"), data_type, stored, &bytes);
        let mut dims = stored.to_vec();
        match scales {
            Scales::One => dims.clear(),
            Scales::Channel(axis) => dims = vec![stored[axis]],
            Scales::Block(axis) => dims[axis] = stored[axis].div_ceil(options.block),
        }
        let scale = draft.floats(&format!("{like}_scale"), &dims, &steps);
        let (output, name) = (
            draft.name(&format!("{like}_dequantized")),
            draft.name(&format!("{like}_DequantizeLinear")),
        );
        let mut dequantize = node("DequantizeLinear", &[&q, &scale], &[&output], &name);
        match scales {
            Scales::One => {}
            Scales::Channel(axis) => dequantize.attribute.push(int("axis", axis as i64)),
            Scales::Block(axis) => dequantize
                .attribute
                .extend([int("axis", axis as i64), int("block_size", options.block as i64)]),
        }
        draft.put_before(at, dequantize);
        if !is_flat {
            return vec![output];
        }
        let dims: Vec<u8> = shape.iter().flat_map(|n| (*n as i64).to_le_bytes()).collect();
        let to = draft.constant(&format!("{like}_shape"), code::I64, &[shape.len()], &dims);
        let (whole, name) =
            (draft.name(&format!("{like}_whole")), draft.name(&format!("{like}_Reshape")));
        draft.put_before(at, node("Reshape", &[&output, &to], &[&whole], &name));
        vec![whole]
    });
    made[0].clone()
}
