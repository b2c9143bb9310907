//! Convolution of integers of eight bits.

use crate::graph::dim::{Dim, product};
use crate::graph::ops::{QuantizedConv, QuantizedLinear};
use crate::graph::{Node, Tensor};
use crate::kernels::conv::Geometry;
use crate::kernels::conv::int8::conv_i8_len;
use crate::kernels::gemm::int8::scratch_len;
use crate::runtime::KernelId;
use crate::runtime::steps::integer::conv::ConvI8Record;
use crate::runtime::steps::product::MatrixRows;
use crate::runtime::steps::window::GeometryRecord;
use crate::tensor::DType;

use super::super::super::builder::{Builder, Lowered};
use super::super::window::direct::{in_order, largest, strided};
use super::super::window::window;
use super::super::{operand, result};
use super::{data_grid, given, packed, stages};

pub(in super::super) fn conv(b: &mut Builder<'_>, node: &Node, op: &QuantizedConv) -> Lowered<()> {
    let (x, w, y) = (operand(node, 0)?, operand(node, 3)?, result(node, 0)?);
    let weights = b.constant(w).ok_or("the weights are not constant")?;
    let (n, channels) = match *weights.shape() {
        [n, channels, ..] if op.window.group == 1 => (n, channels),
        _ => return Err("the weights are not those of one group".into()),
    };
    let geometry = Geometry {
        window: largest(b, &op.window, b.shape(x), b.shape(y)),
        batch: 1,
        groups: 1,
        channels,
        outputs: n,
    };
    let k = geometry.rows();
    let positions: Vec<Dim> = b.shape(y)[2..].to_vec();
    // The columns of the product are channels, so that they lie side by side in the result.
    let space = positions.len();
    let order: Vec<usize> = [0].into_iter().chain(2..space + 2).chain([1]).collect();
    let (x_memory, x_offset, x_strides) = strided(b, x)?;
    let grid = data_grid(b, node, x)?;
    let (w, columns) = packed(b, node, &by_taps(weights, channels), (k, n), true)?;
    let stages = stages(b, node, QuantizedLinear::STAGES, &op.stages, |b, v| {
        let stride = b.extent(&Dim::Fixed(n as i64));
        Ok(MatrixRows { memory: in_order(b, v, &order)?, offset: b.extent(&Dim::Fixed(0)), stride })
    })?;
    let large = "the padded data is too large";
    let room = b.scratch(DType::U8, conv_i8_len(&geometry).ok_or(large)?);
    let scratch = scratch_len(b.max_len(&positions), k).ok_or(large)?;
    let record = ConvI8Record {
        x: x_memory,
        x_offset,
        x_strides,
        grid,
        w,
        columns,
        stages,
        given: given(op.given),
        room,
        scratch: (scratch > 0).then(|| b.scratch(DType::U32, scratch)),
        y: b.write_transposed(y, &order),
        sizes: GeometryRecord {
            window: window(b, &op.window, b.shape(x), b.shape(y))?,
            batch: b.extent(&product(&b.shape(x)[..1])),
            groups: 1,
            channels: channels as u32,
            outputs: n as u32,
        },
    };
    b.step(KernelId::ConvI8, &record);
    Ok(())
}

/// Weights `[n, channels, kernel..]` as `[n, kernel.. * channels]`.
fn by_taps(weights: &Tensor, channels: usize) -> Tensor {
    let bytes = weights.bytes();
    let n = weights.shape()[0];
    let k = bytes.len() / n.max(1);
    let taps = k / channels.max(1);
    let turned: Vec<u8> = (0..bytes.len())
        .map(|i| bytes[i / k * k + i % channels * taps + i % k / channels])
        .collect();
    Tensor::from_bytes(weights.dtype(), &[n, k], &turned)
}

#[cfg(test)]
mod tests;
