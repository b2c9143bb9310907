//! Convolution of integers of eight bits.

use crate::graph::dim::{Dim, product};
use crate::graph::ops::{QuantizedConv, QuantizedLinear};
use crate::graph::{Node, Tensor};
use crate::kernels::conv::Geometry;
use crate::kernels::conv::int8::{are_alone, conv_i8_len, conv_runs, pack_pairs, packed_pairs_len};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::scratch_len;
use crate::runtime::KernelId;
use crate::runtime::record::In;
use crate::runtime::steps::integer::ColumnsRecord;
use crate::runtime::steps::integer::conv::ConvI8Record;
use crate::runtime::steps::product::MatrixRows;
use crate::runtime::steps::window::GeometryRecord;
use crate::tensor::DType;

use super::super::super::builder::{Builder, Lowered};
use super::super::window::direct::{in_order, largest, strided};
use super::super::window::window;
use super::super::{operand, optional, result};
use super::{Matrix, data_grid, given, integers, packed, scales, stages};

pub(in super::super) fn conv(b: &mut Builder<'_>, node: &Node, op: &QuantizedConv) -> Lowered<()> {
    let (x, w, y) = (operand(node, 0)?, operand(node, 3)?, result(node, 0)?);
    let weights = b.constant(w).ok_or("the weights are not constant")?;
    let &[n, channels, ..] = weights.shape() else {
        return Err("the weights are no window".into());
    };
    let groups = op.window.group.max(1);
    let mut geometry = Geometry {
        window: largest(b, &op.window, b.shape(x), b.shape(y)),
        batch: 1,
        groups,
        channels,
        outputs: n / groups,
    };
    let mut together = 1;
    if !are_alone(&geometry) {
        const { assert!(QuantizedConv::PANEL == PANEL) };
        together = QuantizedConv::groups_together(groups, n / groups).ok_or("too small groups")?;
        geometry.groups /= together;
        geometry.channels *= together;
        geometry.outputs *= together;
    }
    let positions: Vec<Dim> = b.shape(y)[2..].to_vec();
    // The columns of the product are channels, so that they lie side by side in the result.
    let space = positions.len();
    let order: Vec<usize> = [0].into_iter().chain(2..space + 2).chain([1]).collect();
    let (x_memory, x_offset, x_strides) = strided(b, x)?;
    let grid = data_grid(b, node, 0)?;
    let large = "the padded data is too large";
    let ((w, columns), scratch) = if are_alone(&geometry) {
        (alone(b, node, weights, &geometry)?, 0)
    } else {
        let [run, padded, runs] = conv_runs(&geometry).ok_or(large)?;
        let padded_too = padded != run || together > 1;
        let matrix = Matrix { k: padded * runs, n, transposed: true, padded: padded_too };
        let scratch = scratch_len(b.max_len(&positions), matrix.k).ok_or(large)?;
        let weights = spread(weights, zeros(b, node), [n / groups, together]);
        let weights = in_runs(&weights, zeros(b, node), geometry.channels, [run, padded]);
        (packed(b, node, &weights, matrix)?, scratch)
    };
    let stages = stages(b, node, QuantizedLinear::STAGES, &op.stages, |b, v| {
        let stride = b.extent(&Dim::Fixed(n as i64));
        Ok(MatrixRows { memory: in_order(b, v, &order)?, offset: b.extent(&Dim::Fixed(0)), stride })
    })?;
    let room = b.scratch(DType::U8, conv_i8_len(&geometry).ok_or(large)?);
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
            groups: geometry.groups as u32,
            channels: geometry.channels as u32,
            outputs: geometry.outputs as u32,
        },
    };
    b.step(KernelId::ConvI8, &record);
    Ok(())
}

/// Weights of channels by themselves in pairs of taps, without their zero points, and what belongs
/// to the channels.
fn alone(
    b: &mut Builder<'_>,
    node: &Node,
    weights: &Tensor,
    geometry: &Geometry,
) -> Lowered<(In, ColumnsRecord)> {
    let (n, window) = (geometry.groups, &geometry.window);
    let eight = "the weights are not of eight bits";
    let zeros = match optional(node, 5) {
        None => vec![0],
        Some(_) => zeros(b, node).and_then(integers).ok_or(eight)?,
    };
    if zeros.len() != 1 && zeros.len() != n {
        return Err("the zero points of the weights are neither one nor one a channel".into());
    }
    let weights = integers(weights).ok_or(eight)?;
    let each = weights.len() / n;
    let weights: Vec<i16> = weights
        .iter()
        .enumerate()
        .map(|(i, weight)| (weight - zeros[i / each.max(1) % zeros.len()]) as i16)
        .collect();
    let len = packed_pairs_len(window, n).ok_or("the weights are too large")?;
    let (mut words, mut sums) = (vec![0u32; len], vec![0i32; n.next_multiple_of(PANEL)]);
    pack_pairs(window, n, &weights, &mut words, &mut sums);
    let w = Tensor::from_bytes(DType::U32, &[len], bytemuck::cast_slice(&words));
    let w = b.table(&w);
    let scale = scales(b, node, n)?;
    let sums = b.table(&Tensor::vector(&sums));
    Ok((w, ColumnsRecord { sums, scale, zero: None }))
}

/// The zero points of the weights of a product.
fn zeros<'a>(b: &'a Builder<'_>, node: &Node) -> Option<&'a Tensor> {
    optional(node, 5).and_then(|v| b.constant(v))
}

/// Weights `[n, channels, kernel..]` with the channels of so many groups, each of so many outputs:
/// weights of other groups are what stands for zero.
fn spread(weights: &Tensor, zeros: Option<&Tensor>, [outputs, together]: [usize; 2]) -> Tensor {
    if together == 1 {
        return weights.clone();
    }
    let (bytes, zeros) = (weights.bytes(), zeros.map_or(&[0][..], Tensor::bytes));
    let mut shape = weights.shape().to_vec();
    let each: usize = shape[1..].iter().product();
    shape[1] *= together;
    let mut spread = Vec::with_capacity(bytes.len() * together);
    for (j, bytes) in bytes.chunks_exact(each.max(1)).enumerate() {
        let zero = zeros.get(j % zeros.len().max(1)).copied().unwrap_or(0);
        for group in 0..together {
            match group == j / outputs.max(1) % together {
                true => spread.extend(bytes),
                false => spread.extend(std::iter::repeat_n(zero, each)),
            }
        }
    }
    Tensor::from_bytes(weights.dtype(), &shape, &spread)
}

/// Weights `[n, channels, kernel..]` as `[n, kernel.. * channels]`, each run of so many elements
/// padded with the zero point of its output.
fn in_runs(
    weights: &Tensor,
    zeros: Option<&Tensor>,
    channels: usize,
    [run, padded]: [usize; 2],
) -> Tensor {
    let (bytes, zeros) = (weights.bytes(), zeros.map_or(&[0][..], Tensor::bytes));
    let n = weights.shape()[0];
    let k = bytes.len() / n.max(1);
    let taps = k / channels.max(1);
    let mut turned = Vec::with_capacity(n * k / run.max(1) * padded);
    for (j, bytes) in bytes.chunks_exact(k.max(1)).enumerate() {
        let zero = zeros.get(j % zeros.len().max(1)).copied().unwrap_or(0);
        for first in (0..k).step_by(run.max(1)) {
            turned.extend((first..first + run).map(|i| bytes[i % channels * taps + i / channels]));
            turned.extend(std::iter::repeat_n(zero, padded - run));
        }
    }
    let k = turned.len() / n.max(1);
    Tensor::from_bytes(weights.dtype(), &[n, k], &turned)
}

#[cfg(test)]
mod tests;
