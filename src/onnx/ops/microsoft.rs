//! Operators of com.microsoft: what the optimizer and the quantizers of ONNX Runtime write.
//!
//! All of them are compositions. Their contracts are those of ONNX Runtime's documentation of
//! contributed operators, in the form that its CPU kernels compute.

mod attention;
mod cache;
mod embed;
mod fused;
mod masks;
mod product;
mod quantized;

use super::super::call::Call;
use super::{ANY, Line};
use super::{elementwise, index, layout, linear_attention, normalize, quantize};

/// Versions of these operators count on their own; the standard operators that they resemble
/// follow this operator set.
const LIKE_VERSION: i64 = 20;

/// Imports a node as the standard operator that it repeats.
macro_rules! like {
    ($import:expr) => {
        |call: &mut Call| {
            call.version = LIKE_VERSION;
            $import(call)
        }
    };
}

/// How an operator is imported.
pub(super) fn entry(op: &str) -> Option<Line> {
    Some(match op {
        "FusedMatMul" | "TransposeMatMul" | "FusedMatMulActivation" => (2, 1, product::matmul),
        "FusedGemm" => (3, 1, product::gemm),
        "GemmFastGelu" => (3, 1, product::gemm_fast_gelu),
        "FusedConv" => (4, 1, product::conv),
        "MatMulNBits" => (6, 1, product::n_bits),

        "Gelu" | "BiasGelu" => (2, 1, fused::gelu),
        "FastGelu" => (2, 1, fused::fast_gelu),
        "QuickGelu" => (1, 1, fused::quick_gelu),
        "BiasSplitGelu" => (2, 1, fused::bias_split_gelu),
        "BiasAdd" => (3, 1, fused::bias_add),
        "BiasDropout" => (5, 2, fused::bias_dropout),
        "BitmaskDropout" => (3, 1, like!(elementwise::dropout)),
        "ExpandDims" => (2, 1, fused::expand_dims),

        "LayerNormalization" => (3, 3, normalize::layer_norm),
        "SkipLayerNormalization" => (5, 4, embed::skip_layer_norm),
        "SkipSimplifiedLayerNormalization" => (4, 4, embed::skip_rms_norm),
        "EmbedLayerNormalization" => (9, 3, embed::embed_layer_norm),

        "Attention" => (7, 2, attention::packed),
        "QAttention" => (9, 2, attention::quantized),
        "MultiHeadAttention" => (10, 3, attention::multi_head),
        "GroupQueryAttention" => (17, 3, cache::group_query),
        "RotaryEmbedding" => (4, 1, cache::rotary),
        "LinearAttention" => (6, 2, linear_attention::linear_attention),

        "QLinearAdd" | "QLinearMul" => (8, 1, quantized::arithmetic),
        "QLinearSigmoid" | "QLinearLeakyRelu" => (5, 1, quantized::activation),
        "QLinearSoftmax" => (5, 1, quantized::softmax),
        "QLinearConcat" => (ANY, 1, quantized::concat),
        "QLinearAveragePool" => (5, 1, quantized::average_pool),
        "QLinearGlobalAveragePool" => (5, 1, quantized::global_average_pool),
        "QLinearReduceMean" => (5, 1, quantized::reduce_mean),
        "QLinearWhere" => (9, 1, quantized::select),
        "QLinearConv" => (9, 1, quantized::conv),
        "QGemm" => (9, 1, quantized::gemm),
        "MulInteger" => (4, 1, quantized::mul_integer),
        "MatMulIntegerToFloat" => (7, 1, quantized::matmul_to_float),
        "DynamicQuantizeMatMul" => (5, 1, quantized::dynamic_matmul),
        "DynamicQuantizeLSTM" => (12, 3, quantized::lstm),
        "QuantizeLinear" => (3, 1, like!(quantize::quantize)),
        "DequantizeLinear" => (3, 1, like!(quantize::dequantize)),

        "Trilu" => (2, 1, like!(layout::trilu)),
        "Pad" => (3, 1, like!(layout::pad)),
        "GatherND" => (2, 1, like!(index::gather_nd)),
        "Range" => (3, 1, fused::range),
        _ => return None,
    })
}
