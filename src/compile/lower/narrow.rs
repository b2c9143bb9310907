//! Products with integers for weights.

use crate::graph::ops::WeightOnlyLinear;
use crate::graph::{Node, Tensor, ValueId};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::narrow::digits::digits_len;
use crate::kernels::gemm::narrow::unpacked_len;
use crate::kernels::narrow::{Bits, block_len};
use crate::runtime::KernelId;
use crate::runtime::record::In;
use crate::runtime::steps::narrow::LinearNarrowRecord;
use crate::tensor::DType;

use super::super::builder::{Builder, Lowered};
use super::product::{depth_and_columns, linear_record};
use super::{operand, optional};

/// Integers of eight bits as signed ones: unsigned ones are moved down by 128, and whoever counts
/// with them moves their zero points alike.
struct Signed {
    data: Vec<i8>,
    /// How far down.
    moved: i16,
}

impl Signed {
    /// Integers, which are packed in four bits where they all fit, whatever type they came in.
    fn new(tensor: &Tensor) -> (Self, Bits) {
        let least = |least: i16, most: i16| {
            let mut all = tensor.bytes().iter().map(|byte| Self::value(tensor, *byte));
            all.all(|x| (least..=most).contains(&x))
        };
        let (moved, bits) = match tensor.dtype() {
            DType::U8 if least(0, 15) => (8, Bits::Four),
            DType::U8 => (128, Bits::Eight),
            _ if least(-8, 7) => (0, Bits::Four),
            _ => (0, Bits::Eight),
        };
        let data = tensor.bytes().iter().map(|byte| (Self::value(tensor, *byte) - moved) as i8);
        (Self { data: data.collect(), moved }, bits)
    }

    fn value(tensor: &Tensor, byte: u8) -> i16 {
        match tensor.dtype() {
            DType::U8 => byte.into(),
            _ => byte.cast_signed().into(),
        }
    }
}

pub(super) fn linear(b: &mut Builder<'_>, node: &Node, op: &WeightOnlyLinear) -> Lowered<()> {
    let (x, w) = (operand(node, 0)?, operand(node, 1)?);
    let constant =
        |b: &Builder<'_>, v: ValueId| b.constant(v).cloned().ok_or("a constant is missing");
    let weights = constant(b, w)?;
    let scales = constant(b, operand(node, WeightOnlyLinear::SCALES)?)?;
    let zeros = optional(node, WeightOnlyLinear::SCALES + 1);
    let zeros = zeros.map(|v| constant(b, v)).transpose()?;
    let (k, n) = depth_and_columns(&weights, op.transposed)?;
    let (signed, bits) = Signed::new(&weights);
    let (row, column) = if op.transposed { (1, k) } else { (n, 1) };
    let len = bits.packed_len(k, n).ok_or("the weights are too large")?;
    let form = match (bits, op.transposed) {
        (Bits::Eight, false) => "groups_i8",
        (Bits::Eight, true) => "transposed_groups_i8",
        (Bits::Four, false) => "groups_i4",
        (Bits::Four, true) => "transposed_groups_i4",
    };
    let packed = b.packed(w, form, DType::U32, || {
        let mut words = vec![0u32; len];
        bits.pack(&signed.data, k, n, row, column, &mut words);
        bytemuck::cast_slice(&words).to_vec()
    });
    // One scale for a column is one for a single block, and blocks end where words do.
    let block = match op.block {
        block if block > 0 && block < k => block,
        _ => k.next_multiple_of(bits.rows()).max(bits.rows()),
    };
    let grid = Grid { k, n, block, blocked: op.block > 0, transposed: op.transposed };
    let scale = scales.as_slice::<f32>().ok_or("the scales are not f32")?;
    let scales = grid.table(b, |i| scale[i.min(scale.len() - 1)])?;
    let zero = |i: usize| match &zeros {
        Some(zeros) => {
            let byte = zeros.bytes()[i.min(zeros.bytes().len() - 1)];
            f32::from(Signed::value(zeros, byte) - signed.moved)
        }
        None => f32::from(-signed.moved),
    };
    let any = (0..zeros.as_ref().map_or(1, |z| z.bytes().len())).any(|i| zero(i) != 0.0);
    let zeros = if any { Some(grid.table(b, zero)?) } else { None };
    let shape = b.shape(x);
    let rows = b.max_len(&shape[..shape.len() - 1]);
    let linear = linear_record(b, node, op.activation, (k, n), packed)?;
    let len = unpacked_len(rows, k).ok_or("the operand is too large")?;
    let unpacked = (len > 0).then(|| b.scratch(DType::F32, len));
    let (bytes, sums) = digits_len(rows, k, block).ok_or("the operand is too large")?;
    let (digits, digit_sums) = (b.scratch(DType::U8, bytes), b.scratch(DType::F32, sums));
    let block = block as u32;
    let record = LinearNarrowRecord { linear, block, scales, zeros, unpacked, digits, digit_sums };
    let kernel = if bits == Bits::Four { KernelId::LinearW4 } else { KernelId::LinearW8 };
    b.step(kernel, &record);
    Ok(())
}

/// How scales lie over the weights.
struct Grid {
    k: usize,
    n: usize,
    block: usize,
    /// They are a matrix of blocks; else one for each column, or for all.
    blocked: bool,
    transposed: bool,
}

impl Grid {
    /// A number for each block of each column, as the kernel reads them: `of` says the one at a
    /// place in the model's tensor, or behind its end where there is one for all columns.
    fn table(&self, b: &mut Builder<'_>, of: impl Fn(usize) -> f32) -> Lowered<In> {
        let len = block_len(self.k, self.n, self.block).ok_or("the scales are too large")?;
        let blocks = self.k.div_ceil(self.block);
        let mut all = vec![0.0f32; len];
        for column in 0..self.n {
            for block in 0..blocks {
                let at = match (self.blocked, self.transposed) {
                    (false, _) => column,
                    (true, false) => block * self.n + column,
                    (true, true) => column * blocks + block,
                };
                all[(column / PANEL * blocks + block) * PANEL + column % PANEL] = of(at);
            }
        }
        Ok(b.table(&Tensor::vector(&all)))
    }
}

#[cfg(test)]
mod tests;
