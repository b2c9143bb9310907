//! What a step has to do, where its record says it: the figures behind `bench --profile`.
//!
//! A kernel that is not listed here is taken to touch each of its operands once.

use crate::runtime::record::{Field, Words};
use crate::runtime::step::{KernelId, Operands};

use super::attention::AttentionRecord;
use super::direct::DirectRecord;
use super::integer::conv::ConvI8Record;
use super::product::{LinearRecord, MatMulRecord};
use super::recurrent::RecurrentRecord;
use super::window::{ConvRecord, GeometryRecord};

/// What a kernel does beyond touching its operands once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) multiply_adds: Option<u64>,
    /// How often constants are read: a recurrent layer streams its weights in each step of time.
    /// None where the data decides which of them are read at all.
    pub(crate) passes: Option<u64>,
    /// No more is read than is written, however large what it is picked from.
    pub(crate) picks: bool,
    /// Bytes of values, where they are few of those that an operand has.
    pub(crate) value_bytes: Option<u64>,
}

/// What is known of a step, at the present extents.
pub(crate) fn known(kernel: KernelId, words: &[u32], operands: &Operands<'_>) -> Known {
    let words = &mut Words(words);
    let extent = |e| operands.extent(e) as u64;
    let product = |multiply_adds| Known {
        multiply_adds: Some(multiply_adds),
        passes: Some(1),
        ..Known::default()
    };
    match kernel {
        KernelId::LinearF32 | KernelId::LinearBf16 | KernelId::LinearW8 | KernelId::LinearW4 => {
            // Each record begins with that of the product.
            let record = LinearRecord::take(words);
            let (rows, k, n) = (extent(record.rows), u64::from(record.k), u64::from(record.n));
            let results = if record.residual.is_some() || record.accumulate { 2 * n } else { n };
            let value_bytes = Some(rows * (k + results) * size_of::<f32>() as u64);
            Known { value_bytes, ..product(rows * k * n) }
        }
        KernelId::MatMulF32 | KernelId::MatMul => {
            let record = MatMulRecord::take(words);
            let batch: u64 = record.batch.iter().map(|e| extent(*e)).product();
            product(batch * extent(record.m) * extent(record.n) * extent(record.k))
        }
        KernelId::ConvF32 | KernelId::ConvDepthwiseF32 | KernelId::Conv => {
            product(convolution(&ConvRecord::take(words).sizes, operands))
        }
        KernelId::ConvLinesF32
        | KernelId::ConvRowsF32
        | KernelId::DepthwiseLinesF32
        | KernelId::DepthwiseRowsF32 => {
            product(convolution(&DirectRecord::take(words).sizes, operands))
        }
        KernelId::ConvI8 => product(convolution(&ConvI8Record::take(words).sizes, operands)),
        KernelId::AttentionF32 => {
            let record = AttentionRecord::take(words);
            let batch: u64 = record.batch.iter().map(|e| extent(*e)).product();
            let scores = extent(record.queries) * extent(record.keys);
            product(batch * scores * (extent(record.size) + extent(record.width)))
        }
        KernelId::RnnF32 => recurrent(words, operands, 1),
        // Either record begins with that of the layer.
        KernelId::LstmF32 | KernelId::LstmI8 => recurrent(words, operands, 4),
        KernelId::GruLinearF32 | KernelId::GruResetF32 => recurrent(words, operands, 3),
        KernelId::TreeEnsemble | KernelId::TreeWalk | KernelId::Lookup => Known::default(),
        KernelId::Copy
        | KernelId::Pad
        | KernelId::Gather
        | KernelId::GatherNd
        | KernelId::GatherElements => Known { passes: Some(1), picks: true, ..Known::default() },
        _ => Known { passes: Some(1), ..Known::default() },
    }
}

/// Multiply-adds of a convolution; padding counts.
fn convolution(sizes: &GeometryRecord, operands: &Operands<'_>) -> u64 {
    let sizes = sizes.geometry(|e| operands.extent(e));
    let places = sizes.batch * sizes.window.output_len() * sizes.groups * sizes.outputs;
    (places * sizes.rows()) as u64
}

/// Both parts of a layer's gates.
fn recurrent(words: &mut Words<'_>, operands: &Operands<'_>, gates: u64) -> Known {
    let record = RecurrentRecord::take(words);
    let (time, batch) = (operands.extent(record.time) as u64, operands.extent(record.batch) as u64);
    let hidden = u64::from(record.hidden);
    let multiply_adds = Some(time * batch * gates * hidden * (u64::from(record.input) + hidden));
    Known { multiply_adds, passes: Some(time), ..Known::default() }
}
