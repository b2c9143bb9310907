//! Convolution with constant weights: which direct kernel, and how operands and result lie.

use crate::graph::dim::Dim;
use crate::graph::ops::{Conv, Stage};
use crate::graph::{Node, Op, Tensor, ValueId};
use crate::kernels::conv::{Geometry, Window, pack_taps_f32, packed_taps_len};
use crate::kernels::gemm::PANEL;
use crate::runtime::KernelId;
use crate::runtime::record::{Extent, In, Out};
use crate::runtime::steps::direct::DirectRecord;
use crate::runtime::steps::product::ActivationWords;
use crate::runtime::steps::window::GeometryRecord;
use crate::runtime::steps::window::WindowRecord;
use crate::tensor::DType;

use super::super::super::builder::{Builder, Lowered};
use super::super::super::place::contiguous;
use super::super::movement::copy;
use super::super::product::activation;
use super::super::{operand, optional, result};

/// Outputs of a group that are worth a vector across channels where the data lies for it.
const WORTH: usize = 5;

/// A convolution that a direct kernel computes.
pub(super) struct Direct<'a> {
    op: &'a Conv,
    kernel: KernelId,
    /// The sizes at the largest extents.
    geometry: Geometry,
    weights: Tensor,
}

impl<'a> Direct<'a> {
    /// The kernel that suits best; `None` where the weights are not known.
    pub(super) fn new(b: &mut Builder<'_>, node: &Node, op: &'a Conv) -> Option<Self> {
        let (x, w, y) = (operand(node, 0).ok()?, operand(node, 1).ok()?, result(node, 0).ok()?);
        let weights = b.constant(w).filter(|w| w.dtype() == DType::F32 && !w.is_empty())?.clone();
        let groups = op.group.max(1);
        let geometry = Geometry {
            window: largest(b, op, b.shape(x), b.shape(y)),
            batch: 1,
            groups,
            channels: weights.shape()[1],
            outputs: weights.shape()[0] / groups,
        };
        // A channel of many is as near to its neighbours as their elements are to one another.
        let beside =
            groups * geometry.channels > 1 && lies_beside(b.shape(x), &b.place(x).ok()?.strides);
        let turns = !beside && keeps_order(b, y);
        Some(Self { op, kernel: suited(&geometry, beside, turns), geometry, weights })
    }

    /// Writes the step.
    pub(super) fn lower(
        self,
        b: &mut Builder<'_>,
        node: &Node,
        window: WindowRecord,
    ) -> Lowered<()> {
        let (x, y) = (operand(node, 0)?, result(node, 0)?);
        let Geometry { groups, channels, outputs, .. } = self.geometry;
        let (memory, x_offset, x_strides) = strided(b, x)?;
        let space = self.op.kernel.len();
        let by_rows = matches!(self.kernel, KernelId::ConvRowsF32 | KernelId::DepthwiseRowsF32);
        let order: Vec<usize> = match by_rows {
            true => [0].into_iter().chain(2..space + 2).chain([1]).collect(),
            false => (0..space + 2).collect(),
        };
        let residual = optional(node, 3).map(|v| in_order(b, v, &order)).transpose()?;
        let all = groups * channels;
        let window_of = &self.geometry.window;
        let scratch = match self.kernel {
            KernelId::DepthwiseLinesF32 => window_of.depthwise_lines_len(all),
            _ if by_rows => window_of.rows_len(all),
            _ => window_of.lines_len(all),
        };
        let record = DirectRecord {
            x: memory,
            x_offset,
            x_strides,
            weights: self.packed(b, operand(node, 1)?)?,
            bias: optional(node, 2).map(|v| b.read(v)).transpose()?,
            residual,
            activation: ActivationWords::new(activation(self.op.activation)),
            y: b.write_transposed(y, &order),
            scratch: Some(b.scratch(DType::F32, scratch.ok_or("the padded data is too large")?)),
            sizes: GeometryRecord {
                window,
                batch: b.extent(&b.shape(x)[0]),
                groups: groups as u32,
                channels: channels as u32,
                outputs: outputs as u32,
            },
        };
        b.step(self.kernel, &record);
        Ok(())
    }

    /// The weights as the kernel wants them.
    fn packed(&self, b: &mut Builder<'_>, w: ValueId) -> Lowered<In> {
        let Geometry { window, groups, outputs, .. } = self.geometry;
        let data = self.weights.as_slice::<f32>().ok_or("the weights are not f32")?;
        let taps = window.kernel_len();
        match self.kernel {
            KernelId::DepthwiseLinesF32 => b.read(w),
            KernelId::DepthwiseRowsF32 => {
                let turned = || (0..data.len()).map(|i| data[i % groups * taps + i / groups]);
                Ok(b.packed(w, "depthwise_rows_f32", DType::F32, || {
                    bytemuck::cast_slice(&turned().collect::<Vec<f32>>()).to_vec()
                }))
            }
            _ => {
                let len = packed_taps_len(groups, outputs, self.geometry.rows());
                let len = len.ok_or("the weights are too large")?;
                let pack = || {
                    let mut panels = vec![0f32; len];
                    pack_taps_f32(&self.geometry, data, &mut panels);
                    panels
                };
                // How weights are cut into groups is no part of the name of a form.
                Ok(match groups {
                    1 => b.packed(w, "taps_f32", DType::F32, || {
                        bytemuck::cast_slice(&pack()).to_vec()
                    }),
                    _ => b.table(&Tensor::vector(&pack())),
                })
            }
        }
    }
}

/// The kernel that suits best; `beside` says that the channels of the data lie side by side,
/// `turns` that they may do so in the result without being copied back.
///
/// Vectors across positions are mostly empty where there are few of them, and cut where a row
/// ends; with a stride they need the data in phases. Vectors across channels want many channels,
/// and the data turned where they do not lie side by side. The numbers are where measured times
/// meet (`benches/record/conv.md`).
fn suited(geometry: &Geometry, beside: bool, turns: bool) -> KernelId {
    let Geometry { window, groups, channels, outputs, .. } = *geometry;
    let positions = window.output_len();
    let picture = positions > window.output[2];
    if channels == 1 && (groups > 1 || outputs == 1) {
        return match outputs == 1 && (beside || positions <= 8 || turns && groups >= PANEL) {
            true => KernelId::DepthwiseRowsF32,
            false => KernelId::DepthwiseLinesF32,
        };
    }
    // What turning an element buys: the multiply-adds that read it.
    let work = outputs.saturating_mul(window.kernel_len()).saturating_mul(positions);
    let seen = window.rows_len(1).unwrap_or(usize::MAX);
    let worth = turns && work >= seen.saturating_mul(2 * PANEL);
    let few = if window.stride[2] > 1 { 2 * PANEL } else { PANEL };
    let rows = match outputs {
        ..WORTH => positions <= 4,
        WORTH..PANEL => beside || positions <= 8,
        _ => beside || positions <= few || picture && worth && outputs >= 2 * PANEL,
    };
    if rows { KernelId::ConvRowsF32 } else { KernelId::ConvLinesF32 }
}

/// Where data `[n, c, space..]` begins, and the strides of its axes, with space at the end of five.
pub(in super::super) fn strided(
    b: &mut Builder<'_>,
    x: ValueId,
) -> Lowered<(In, Extent, [Extent; 5])> {
    let backwards = |stride: &Dim| stride.bounds(&b.graph.variables).0 < 0;
    let (place, shape) = (b.place(x)?, b.shape(x));
    // The kernels walk along space from element to element: one that is repeated is written out.
    let repeated = |axis: usize| !shape[axis].is(1) && place.strides[axis].is(0);
    if place.strides.iter().any(backwards) || (2..shape.len()).any(repeated) {
        b.read(x)?;
    }
    let (memory, place) = b.view(x)?;
    let mut strides = [(); 5].map(|()| b.extent(&Dim::Fixed(0)));
    let rank = place.strides.len();
    for (axis, stride) in place.strides.iter().enumerate() {
        strides[if axis < 2 { axis } else { 5 - rank + axis }] = b.extent(stride);
    }
    Ok((memory, b.extent(&place.offset), strides))
}

/// The window at the largest extents.
pub(in super::super) fn largest(b: &Builder<'_>, op: &Conv, from: &[Dim], to: &[Dim]) -> Window {
    let space = op.kernel.len();
    let mut window = Window::POINT;
    for i in 0..space {
        let d = 3 - space + i;
        window.input[d] = b.upper(&from[i + 2]);
        window.output[d] = b.upper(&to[i + 2]);
        window.kernel[d] = op.kernel[i];
        window.stride[d] = op.strides[i].max(1);
        window.dilation[d] = op.dilations[i].max(1);
        window.pad_begin[d] = op.pads_before[i];
        window.pad_end[d] = op.pads_after[i];
    }
    window
}

/// Whether all that read `y` take its elements as they lie.
fn keeps_order(b: &Builder<'_>, y: ValueId) -> bool {
    let mut readers = b.graph.nodes.iter().filter(|node| node.inputs.contains(&Some(y)));
    let is_output = b.graph.outputs.iter().any(|port| port.value == y);
    let takes = |op: &Op| match op {
        Op::Conv(_) | Op::QuantizedConv(_) | Op::Reduce(_) => true,
        Op::Transpose { .. } | Op::Reshape { .. } => true,
        Op::Chain(chain) => !chain.stages.iter().any(Stage::reads),
        _ => false,
    };
    !is_output && readers.all(|node| takes(&node.op))
}

/// Whether the channels of `[n, c, space..]` are neighbours in memory, and positions are not.
fn lies_beside(shape: &[Dim], strides: &[Dim]) -> bool {
    let along = shape.iter().zip(strides).skip(2);
    strides[1].is(1) && along.clone().all(|(n, stride)| n.is(1) || !stride.is(1))
}

/// An operand that lies densely with its axes in this order; where it does not, a copy.
pub(in super::super) fn in_order(b: &mut Builder<'_>, v: ValueId, order: &[usize]) -> Lowered<In> {
    let dtype = b.dtype(v);
    let shape: Vec<Dim> = order.iter().map(|axis| b.shape(v)[*axis].clone()).collect();
    let dense = contiguous(&shape);
    let (memory, place) = b.view(v)?;
    let strides: Vec<Dim> = order.iter().map(|axis| place.strides[*axis].clone()).collect();
    let lies = shape.iter().zip(strides.iter().zip(&dense)).all(|(n, (a, b))| n.is(1) || a == b);
    if lies && place.offset.is(0) {
        return Ok(memory);
    }
    let len = b.max_len(&shape);
    let copied = b.temporary(dtype, len);
    copy(
        b,
        dtype,
        &shape,
        (memory, &place.offset, &strides),
        (Out(copied), &Dim::Fixed(0), &dense),
    )?;
    Ok(In(copied))
}
