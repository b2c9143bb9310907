//! Operators of ONNX, one line each.

pub(super) mod attention;
mod constant;
mod dynamic;
mod einsum;
mod elementwise;
mod index;
mod integer;
mod layout;
mod linear_attention;
mod loss;
mod microsoft;
mod ml;
mod ngrams;
mod normalize;
mod old;
mod product;
mod quantize;
mod random;
mod recurrent;
mod reduce;
mod reshape;
mod resize;
mod sequence;
mod signal;
mod slice;
mod training;
mod vision;
mod window;

use super::call::{Call, Imported};

/// How an operator is imported.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Most inputs it takes.
    pub(super) inputs: usize,
    /// Outputs that are supported; more are refused where a model names them.
    pub(super) outputs: usize,
    /// Adds what it computes and returns its outputs.
    import: fn(&mut Call) -> Imported,
}

impl Entry {
    /// Imports a node of the domain.
    pub(super) fn import(self, domain: &str, call: &mut Call) -> Imported {
        if domain.is_empty() {
            old::modernize(call)?;
        }
        (self.import)(call)
    }
}

const ANY: usize = usize::MAX;

/// The importer of an operator.
pub(super) fn entry(domain: &str, op: &str) -> Option<Entry> {
    let (inputs, outputs, import): (_, _, fn(&mut Call) -> Imported) = match (domain, op) {
        ("" | "com.microsoft", "SimplifiedLayerNormalization") => (2, 1, normalize::rms_norm),
        ("com.microsoft", "CDist") => (2, 1, ml::distances),
        ("ai.onnx.ml", _) => ml_entry(op)?,
        ("com.microsoft", _) => microsoft::entry(op)?,
        ("ai.onnx.preview.training", "Adagrad") => (ANY, ANY, training::adagrad),
        ("ai.onnx.preview.training", "Adam") => (ANY, ANY, training::adam),
        ("ai.onnx.preview.training", "Momentum") => (ANY, ANY, training::momentum),
        ("", _) => standard(op)?,
        _ => return None,
    };
    Some(Entry { inputs, outputs, import })
}

/// Whether an operator knows what to do with sequences and optional values.
pub(super) fn takes_sequences(op: &str) -> bool {
    let starts = ["Sequence", "Optional"].iter().any(|start| op.starts_with(start));
    starts || matches!(op, "Identity" | "SplitToSequence" | "ConcatFromSequence")
}

type Line = (usize, usize, fn(&mut Call) -> Imported);

fn ml_entry(op: &str) -> Option<Line> {
    Some(match op {
        "ArrayFeatureExtractor" => (2, 1, ml::array_feature_extractor),
        "Binarizer" => (1, 1, ml::binarizer),
        "CategoryMapper" => (1, 1, ml::labels::category_mapper),
        "FeatureVectorizer" => (ANY, 1, ml::labels::vectorizer),
        "Imputer" => (1, 1, ml::imputer),
        "LabelEncoder" => (1, 1, ml::labels::encoder),
        "LinearClassifier" => (1, 2, ml::linear::classifier),
        "LinearRegressor" => (1, 1, ml::linear::regressor),
        "Normalizer" => (1, 1, ml::normalizer),
        "OneHotEncoder" => (1, 1, ml::labels::one_hot),
        "SVMClassifier" => (1, 2, ml::svm::classifier),
        "SVMRegressor" => (1, 1, ml::svm::regressor),
        "Scaler" => (1, 1, ml::scaler),
        "TreeEnsemble" => (1, 1, ml::tree::ensemble),
        "TreeEnsembleClassifier" => (1, 2, ml::tree::classifier),
        "TreeEnsembleRegressor" => (1, 1, ml::tree::regressor),
        "ZipMap" => (1, 1, ml::labels::zip_map),
        _ => return None,
    })
}

fn standard(op: &str) -> Option<Line> {
    Some(match op {
        "Identity" => (1, 1, elementwise::identity),
        "Dropout" => (3, 2, elementwise::dropout),
        "Cast" => (1, 1, elementwise::cast),
        "CastLike" => (2, 1, elementwise::cast_like),
        "BitCast" => (1, 1, elementwise::bit_cast),
        "Abs" | "Acos" | "Acosh" | "Asin" | "Asinh" | "Atan" | "Atanh" | "BitwiseNot" | "Ceil"
        | "Cos" | "Cosh" | "Erf" | "Exp" | "Floor" | "HardSwish" | "IsNaN" | "Log" | "Mish"
        | "Neg" | "Not" | "Reciprocal" | "Relu" | "Round" | "Sigmoid" | "Sign" | "Sin" | "Sinh"
        | "Softplus" | "Softsign" | "Sqrt" | "Tan" | "Tanh" => (1, 1, elementwise::plain),
        "Celu" | "Elu" | "Gelu" | "HardSigmoid" | "IsInf" | "LeakyRelu" | "Selu"
        | "ThresholdedRelu" => (1, 1, elementwise::parametric),
        "Clip" => (3, 1, elementwise::clip),
        "Shrink" => (1, 1, elementwise::shrink),
        "Swish" => (1, 1, elementwise::swish),
        "SwiGLU" => (2, 1, elementwise::swiglu),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor"
        | "Mod" | "BitShift" => (2, 1, elementwise::arithmetic),
        "PRelu" => (2, 1, elementwise::prelu),
        "Min" | "Max" | "Sum" | "Mean" => (ANY, 1, elementwise::variadic),
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" => {
            (2, 1, elementwise::comparison)
        }
        "And" | "Or" | "Xor" => (2, 1, elementwise::logic),
        "Where" => (3, 1, elementwise::select),

        "Constant" => (0, 1, constant::constant),
        "ConstantOfShape" => (1, 1, constant::constant_of_shape),
        "Shape" => (1, 1, constant::shape),
        "Size" => (1, 1, constant::size),
        "Range" => (3, 1, constant::range),
        "EyeLike" => (1, 1, constant::eye_like),
        "BlackmanWindow" | "HammingWindow" | "HannWindow" => (1, 1, constant::window),

        "Reshape" => (2, 1, reshape::reshape),
        "Flatten" => (1, 1, reshape::flatten),
        "Squeeze" => (2, 1, reshape::squeeze),
        "Unsqueeze" => (2, 1, reshape::unsqueeze),
        "Expand" => (2, 1, reshape::expand),
        "Transpose" => (1, 1, reshape::transpose),
        "DepthToSpace" => (1, 1, reshape::depth_to_space),
        "SpaceToDepth" => (1, 1, reshape::space_to_depth),
        "Resize" => (4, 1, resize::resize),
        "Upsample" => (2, 1, resize::upsample),

        "Slice" => (5, 1, slice::slice),
        "Split" => (2, ANY, slice::split),
        "Concat" => (ANY, 1, layout::concat),
        "Pad" => (4, 1, layout::pad),
        "Tile" => (2, 1, layout::tile),
        "CenterCropPad" => (2, 1, layout::center_crop_pad),
        "Trilu" => (2, 1, layout::trilu),
        "ReverseSequence" => (2, 1, layout::reverse_sequence),

        "Gather" => (2, 1, index::gather),
        "GatherElements" => (2, 1, index::gather_elements),
        "GatherND" => (2, 1, index::gather_nd),
        "Scatter" | "ScatterElements" => (3, 1, index::scatter_elements),
        "ScatterND" => (3, 1, index::scatter_nd),
        "TensorScatter" => (3, 1, index::tensor_scatter),
        "OneHot" => (3, 1, index::one_hot),
        "Compress" => (2, 1, dynamic::compress),
        "NonZero" => (1, 1, dynamic::non_zero),
        "Unique" => (1, 4, dynamic::unique),
        "NonMaxSuppression" => (5, 1, dynamic::non_max_suppression),

        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1"
        | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => {
            (2, 1, reduce::reduce)
        }
        "ArgMax" | "ArgMin" => (1, 1, reduce::arg_reduce),
        "TopK" => (2, 2, reduce::top_k),
        "CumSum" | "CumProd" => (2, 1, reduce::running),
        "Hardmax" => (1, 1, reduce::hardmax),
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => (1, 1, reduce::global_pool),

        "MatMul" => (2, 1, product::matmul),
        "Gemm" => (3, 1, product::gemm),
        "Einsum" => (ANY, 1, einsum::einsum),
        "Conv" => (3, 1, window::conv),
        "ConvTranspose" => (3, 1, window::conv_transpose),
        "CausalConvWithState" => (4, 2, window::causal_conv),
        "MaxPool" => (1, 2, window::pool),
        "AveragePool" | "LpPool" => (1, 1, window::pool),

        "AffineGrid" => (2, 1, vision::affine_grid),
        "Col2Im" => (3, 1, vision::col2im),
        "DeformConv" => (5, 1, vision::deform_conv),
        "Det" => (1, 1, vision::determinant),
        "GridSample" => (2, 1, vision::grid_sample),
        "MaxRoiPool" => (2, 1, vision::max_roi_pool),
        "MaxUnpool" => (3, 1, vision::max_unpool),
        "RoiAlign" => (3, 1, vision::roi_align),

        "DFT" => (3, 1, signal::dft),
        "MelWeightMatrix" => (5, 1, signal::mel_weights),
        "STFT" => (4, 1, signal::stft),

        "Softmax" | "LogSoftmax" => (1, 1, normalize::softmax),
        "LayerNormalization" => (3, 3, normalize::layer_norm),
        "RMSNormalization" => (2, 1, normalize::rms_norm),
        "BatchNormalization" => (5, 1, normalize::batch_norm),
        "InstanceNormalization" => (3, 1, normalize::instance_norm),
        "GroupNormalization" => (3, 1, normalize::group_norm),
        "LpNormalization" => (1, 1, normalize::lp_norm),
        "MeanVarianceNormalization" => (1, 1, normalize::mean_variance),
        "LRN" => (1, 1, normalize::local_response),

        "RNN" | "GRU" => (6, 2, recurrent::recurrent),
        "LSTM" => (8, 3, recurrent::recurrent),

        "QuantizeLinear" => (3, 1, quantize::quantize),
        "DequantizeLinear" => (3, 1, quantize::dequantize),
        "DynamicQuantizeLinear" => (1, 3, quantize::dynamic),
        "MatMulInteger" => (4, 1, integer::matmul_integer),
        "ConvInteger" => (4, 1, integer::conv_integer),
        "QLinearMatMul" => (8, 1, integer::qlinear_matmul),
        "QLinearConv" => (9, 1, integer::qlinear_conv),

        "SequenceConstruct" => (ANY, 1, sequence::construct),
        "SequenceEmpty" => (0, 1, sequence::empty),
        "SequenceInsert" => (3, 1, sequence::insert),
        "SequenceErase" => (2, 1, sequence::erase),
        "SequenceAt" => (2, 1, sequence::at),
        "SequenceLength" => (1, 1, sequence::length),
        "SplitToSequence" => (2, 1, sequence::split),
        "ConcatFromSequence" => (1, 1, sequence::concat),
        "Optional" => (1, 1, sequence::optional),
        "OptionalHasElement" => (1, 1, sequence::has_element),
        "OptionalGetElement" => (1, 1, sequence::get_element),

        "Attention" => (7, 4, attention::attention),
        "RotaryEmbedding" => (4, 1, attention::rotary),
        "LinearAttention" => (6, 2, linear_attention::linear_attention),

        "RandomNormal" | "RandomUniform" => (0, 1, random::random),
        "RandomNormalLike" | "RandomUniformLike" => (1, 1, random::random),
        "Bernoulli" => (1, 1, random::bernoulli),
        "Multinomial" => (1, 1, random::multinomial),

        "NegativeLogLikelihoodLoss" => (3, 1, loss::negative_log_likelihood),
        "SoftmaxCrossEntropyLoss" => (3, 2, loss::softmax_cross_entropy),
        "TfIdfVectorizer" => (1, 1, ngrams::tf_idf),
        _ => return None,
    })
}
