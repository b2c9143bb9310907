//! Products of two computed operands.

use crate::graph::Node;
use crate::graph::ops::{QuantizedLinear, QuantizedMatMul};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::scratch_len;
use crate::kernels::int8::packed_quads_len;
use crate::runtime::KernelId;
use crate::runtime::steps::integer::MatMulI8Record;
use crate::tensor::DType;

use super::super::super::builder::{Builder, Lowered};
use super::super::product::{batch_strides, rows_of, sides};
use super::super::{operand, result};
use super::{data_grid, given, stages};

pub(in super::super) fn matmul(
    b: &mut Builder<'_>,
    node: &Node,
    op: &QuantizedMatMul,
) -> Lowered<()> {
    let (x, w, y) = (operand(node, 0)?, operand(node, 3)?, result(node, 0)?);
    let (left, right) = sides(b, [x, w], true)?;
    let (batch, of_a, of_b) = batch_strides(&left, &right);
    let (m, n, k) = (left.rows().clone(), right.cols().clone(), right.rows().clone());
    let [most_m, most_n, most_k] = [&m, &n, &k].map(|extent| b.upper(extent));
    let too_large = "an operand is too large";
    let quads = packed_quads_len(most_k, most_n).ok_or(too_large)?;
    let columns = most_n.checked_next_multiple_of(PANEL).ok_or(too_large)?;
    let rows = scratch_len(most_m, most_k).ok_or(too_large)?;
    let record = MatMulI8Record {
        batch: b.extents(&batch)?,
        m: b.extent(&m),
        n: b.extent(&n),
        k: b.extent(&k),
        a: left.matrix(b, &of_a)?,
        b: right.matrix(b, &of_b)?,
        quads: b.scratch(DType::U32, quads),
        sums: b.scratch(DType::I32, columns),
        scales: b.scratch(DType::F32, columns),
        grids: [data_grid(b, node, 0)?, data_grid(b, node, 3)?],
        stages: stages(b, node, QuantizedLinear::STAGES, &op.stages, rows_of)?,
        given: given(op.given),
        rows: (rows > 0).then(|| b.scratch(DType::U32, rows)),
        y: b.write(y),
    };
    b.step(KernelId::MatMulI8, &record);
    Ok(())
}

#[cfg(test)]
mod tests;
