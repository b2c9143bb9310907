//! An LSTM on integers of eight bits.

use crate::graph::ops::QuantizedLstm;
use crate::graph::{Node, Tensor, ValueId};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::scratch_len;
use crate::kernels::int8::{pack_quads, packed_quads_len};
use crate::runtime::KernelId;
use crate::runtime::record::In;
use crate::runtime::steps::integer::{ColumnsRecord, GridRecord};
use crate::runtime::steps::recurrent::quantized::LstmI8Record;
use crate::tensor::DType;

use super::super::super::builder::{Builder, Lowered};
use super::super::operand;
use super::{Packed, Sizes, direction, results};

/// Forms under which packed weights and their sums are remembered, by direction.
const FORMS: [[&str; 2]; 2] = [["lstm_quads0", "lstm_sums0"], ["lstm_quads1", "lstm_sums1"]];

pub(in super::super) fn quantized(
    b: &mut Builder<'_>,
    node: &Node,
    QuantizedLstm(op): &QuantizedLstm,
) -> Lowered<()> {
    let (w, r) = (operand(node, 1)?, operand(node, 2)?);
    let sizes = Sizes::new(b, node, op, &b.shape(r)[1])?;
    let results = results(b, node);
    for d in 0..sizes.directions {
        let (packed_w, w) = weights(b, node, &sizes, (w, 1), (sizes.input, d))?;
        let (packed_r, r) = weights(b, node, &sizes, (r, 2), (sizes.hidden, d))?;
        let packed = Packed { w: packed_w, r: packed_r, r_hidden: None };
        let layer = direction(b, node, op, &sizes, d, results, packed)?;
        let (batch, input, hidden) = (b.upper(&sizes.batch), sizes.input, sizes.hidden);
        let columns = sizes.units.saturating_mul(sizes.gates);
        let mut room = |rows: usize, k: usize| -> Lowered<_> {
            let len = scratch_len(rows, k).ok_or("the layer is too large")?;
            Ok((len > 0).then(|| b.scratch(DType::U32, len)))
        };
        let input_room = room(batch.saturating_mul(layer.chunk as usize), input)?;
        let state_room = room(batch, hidden)?;
        let record = LstmI8Record {
            layer,
            grid: GridRecord {
                signed: false,
                scale: Some(b.read(operand(node, QuantizedLstm::SCALES)?)?),
                zero: Some(b.read(operand(node, QuantizedLstm::SCALES + 1)?)?),
            },
            w,
            r,
            state: b.scratch(DType::U8, batch.saturating_mul(hidden)),
            complete: b.scratch(DType::F32, batch.saturating_mul(columns)),
            input_room,
            state_room,
        };
        b.step(KernelId::LstmI8, &record);
    }
    Ok(())
}

/// The weights `v`, operand `i`, of direction `d` in quads of `k` rows, and what belongs to their
/// columns, in the order of the gates of groups of units.
fn weights(
    b: &mut Builder<'_>,
    node: &Node,
    sizes: &Sizes,
    (v, i): (ValueId, usize),
    (k, d): (usize, usize),
) -> Lowered<(In, ColumnsRecord)> {
    let constant = |v: ValueId| b.constant(v).ok_or("the weights of the layer are not constant");
    let tensor = constant(v)?;
    let scale = constant(operand(node, QuantizedLstm::SCALES + 2 * i)?)?;
    let zero = constant(operand(node, QuantizedLstm::SCALES + 2 * i + 1)?)?;
    let (gates, hidden) = (sizes.gates, sizes.hidden);
    // Unsigned weights are moved down by half of their range, and their zero points with them.
    let (flip, moved) = if tensor.dtype() == DType::U8 { (0x80, 128) } else { (0, 0) };
    let columns = sizes.units.checked_mul(gates).ok_or("the layer is too large")?;
    // Which of the model's columns a column is, if any.
    let place = |column: usize| {
        let unit = column / (gates * PANEL) * PANEL + column % PANEL;
        (unit < hidden).then(|| column / PANEL % gates * hidden + unit)
    };
    let places: Vec<Option<usize>> = (0..columns).map(place).collect();
    let len = packed_quads_len(k, columns).ok_or("the layer is too large")?;
    let mut ordered = vec![0u8; k.checked_mul(columns).ok_or("the layer is too large")?];
    for (row, to) in ordered.chunks_exact_mut(columns.max(1)).enumerate() {
        let from = &tensor.bytes()[(d * k + row) * gates * hidden..][..gates * hidden];
        for (to, place) in to.iter_mut().zip(&places) {
            *to = place.map_or(0, |place| from[place] ^ flip);
        }
    }
    let (mut quads, mut sums) = (vec![0u32; len], vec![0i32; columns]);
    pack_quads(&ordered, 0, (k, columns), (columns, 1), &mut quads, &mut sums);
    // One number for a direction, or one for each of its columns.
    let of = |tensor: &Tensor, place: usize| match tensor.shape().iter().product::<usize>() {
        all if all == sizes.directions => d,
        _ => d * gates * hidden + place,
    };
    let number = scale.as_slice::<f32>().ok_or("the scales are not f32")?;
    let by_column = |place: &Option<usize>| place.map_or(0.0, |place| number[of(scale, place)]);
    let scales: Vec<f32> = places.iter().map(by_column).collect();
    let zeros: Vec<i32> = places
        .iter()
        .map(|place| {
            let Some(place) = *place else { return 0 };
            let byte = zero.bytes()[of(zero, place)];
            match zero.dtype() {
                DType::U8 => i32::from(byte) - moved,
                _ => byte.cast_signed().into(),
            }
        })
        .collect();
    let packed = b.packed(v, FORMS[d][0], DType::U32, || bytemuck::cast_slice(&quads).to_vec());
    let record = ColumnsRecord {
        sums: b.packed(v, FORMS[d][1], DType::I32, || bytemuck::cast_slice(&sums).to_vec()),
        scale: b.table(&Tensor::vector(&scales)),
        zero: zeros.iter().any(|zero| *zero != 0).then(|| b.table(&Tensor::vector(&zeros))),
    };
    Ok((packed, record))
}

#[cfg(test)]
mod tests;
