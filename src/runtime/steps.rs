//! The steps: records, and the functions that run them, one family a file.
//!
//! A step function decodes its record, borrows its operands, and calls a numeric loop of
//! [`kernels`](crate::kernels). To add one: its record and function in the family's file, its
//! number in [`KernelId`], its line in [`KERNELS`].

pub(crate) mod elementwise;
pub(crate) mod index;
pub(crate) mod lanes;
pub(crate) mod movement;
pub(crate) mod normalize;
pub(crate) mod product;
pub(crate) mod quantize;
pub(crate) mod recurrent;
mod types;
pub(crate) mod walk;
pub(crate) mod window;

use super::step::Kernels;

macro_rules! kernel_ids {
    ($($(#[$doc:meta])* $name:ident = $n:literal, $text:literal;)*) => {
        /// Which kernel a step runs. The numbers are part of the image: they are pinned.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum KernelId { $($(#[$doc])* $name = $n,)* }

        impl KernelId {
            /// One more than the largest number.
            pub(crate) const LEN: usize = {
                let mut len = 0;
                $(if $n >= len { len = $n + 1; })*
                len
            };

            /// Its name, as `inspect` and errors print it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub(crate) const fn from_word(word: u32) -> Option<Self> {
                match word { $($n => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kernel_ids! {
    /// Strided copy of elements of any type.
    Copy = 1, "copy";
    /// One value everywhere.
    Fill = 2, "fill";
    /// Dimensions as numbers.
    Extents = 3, "extents";
    /// A function of each element, f32.
    UnaryF32 = 4, "unary_f32";
    /// A function of each element, other types.
    Unary = 5, "unary";
    /// Arithmetic, f32.
    BinaryF32 = 6, "binary_f32";
    /// Arithmetic, other types.
    Binary = 7, "binary";
    /// Comparison and boolean arithmetic.
    Compare = 8, "compare";
    /// Choice by a condition.
    Where = 9, "where";
    /// Conversion between types.
    Cast = 10, "cast";
    /// Margins around elements of any type.
    Pad = 20, "pad";
    /// Evenly spaced numbers.
    Range = 21, "range";
    /// One triangle of matrices.
    Trilu = 22, "trilu";
    /// Rows picked along an axis.
    Gather = 23, "gather";
    /// Elements picked along an axis.
    GatherElements = 24, "gather_elements";
    /// Slices picked by index tuples.
    GatherNd = 25, "gather_nd";
    /// Elements placed along an axis.
    ScatterElements = 26, "scatter_elements";
    /// Slices placed by index tuples.
    ScatterNd = 27, "scatter_nd";
    /// One value at an index, another elsewhere.
    OneHot = 28, "one_hot";
    /// Largest or smallest elements.
    TopK = 29, "top_k";
    /// Position of an extreme.
    ArgReduce = 30, "arg_reduce";
    /// Running sum.
    CumSum = 31, "cum_sum";
    /// A reduction, f32.
    ReduceF32 = 32, "reduce_f32";
    /// A reduction, other types.
    Reduce = 33, "reduce";
    /// Softmax, f32.
    SoftmaxF32 = 34, "softmax_f32";
    /// Softmax, f64.
    Softmax = 35, "softmax";
    /// Layer or root mean square normalization, f32.
    NormF32 = 36, "norm_f32";
    /// Layer or root mean square normalization, f64.
    Norm = 37, "norm";
    /// Mean and inverse deviation.
    Moments = 38, "moments";
    /// What a batch normalization multiplies and adds.
    BatchCoefficients = 39, "batch_coefficients";
    /// One factor and summand a channel, f32.
    ChannelAffineF32 = 40, "channel_affine_f32";
    /// One factor and summand a channel, f64.
    ChannelAffine = 41, "channel_affine";
    /// Normalization of groups of channels, f32.
    GroupNormF32 = 42, "group_norm_f32";
    /// Normalization of groups of channels, f64.
    GroupNorm = 43, "group_norm";
    /// f32 to integers.
    QuantizeF32 = 44, "quantize_f32";
    /// f64 to integers.
    Quantize = 45, "quantize";
    /// Integers to f32.
    DequantizeF32 = 46, "dequantize_f32";
    /// Integers to f64.
    Dequantize = 47, "dequantize";
    /// Convolution by products, f32.
    ConvF32 = 48, "conv_f32";
    /// Convolution of each channel by itself, f32.
    ConvDepthwiseF32 = 49, "conv_depthwise_f32";
    /// Convolution, f64 and i32.
    Conv = 50, "conv";
    /// Largest or mean element of windows, f32.
    PoolF32 = 51, "pool_f32";
    /// Pooling, other types and norms.
    Pool = 52, "pool";
    /// Product with packed weights, bias and activation.
    LinearF32 = 80, "linear_f32";
    /// Batched product of two operands, f32.
    MatMulF32 = 81, "matmul_f32";
    /// Batched product of two operands, other types.
    MatMul = 82, "matmul";
    /// Weights that are not constant, written in panels.
    PackF32 = 83, "pack_f32";
    /// Elman layer.
    RnnF32 = 90, "rnn_f32";
    /// LSTM layer.
    LstmF32 = 91, "lstm_f32";
    /// GRU layer, reset behind the product.
    GruLinearF32 = 92, "gru_linear_f32";
    /// GRU layer, reset before the product.
    GruResetF32 = 93, "gru_reset_f32";
    /// Biases of a recurrent layer that are not constant.
    RecurrentBias = 94, "recurrent_bias";
}

/// All kernels of this build.
pub static KERNELS: Kernels = Kernels::new(&[
    &movement::COPY,
    &movement::FILL,
    &movement::EXTENTS,
    &elementwise::UNARY_F32,
    &elementwise::UNARY,
    &elementwise::BINARY_F32,
    &elementwise::BINARY,
    &elementwise::COMPARE,
    &elementwise::WHERE,
    &elementwise::CAST,
    &movement::PAD,
    &movement::RANGE,
    &movement::TRILU,
    &index::GATHER,
    &index::GATHER_ELEMENTS,
    &index::GATHER_ND,
    &index::SCATTER_ELEMENTS,
    &index::SCATTER_ND,
    &index::ONE_HOT,
    &lanes::TOP_K,
    &lanes::ARG_REDUCE,
    &lanes::CUM_SUM,
    &normalize::REDUCE_F32,
    &normalize::REDUCE,
    &normalize::SOFTMAX_F32,
    &normalize::SOFTMAX,
    &normalize::NORM_F32,
    &normalize::NORM,
    &normalize::MOMENTS,
    &normalize::BATCH_COEFFICIENTS,
    &normalize::CHANNEL_AFFINE_F32,
    &normalize::CHANNEL_AFFINE,
    &normalize::GROUP_NORM_F32,
    &normalize::GROUP_NORM,
    &quantize::QUANTIZE_F32,
    &quantize::QUANTIZE,
    &quantize::DEQUANTIZE_F32,
    &quantize::DEQUANTIZE,
    &window::CONV_F32,
    &window::CONV_DEPTHWISE_F32,
    &window::CONV,
    &window::POOL_F32,
    &window::POOL,
    &product::LINEAR_F32,
    &product::MATMUL_F32,
    &product::MATMUL,
    &product::PACK_F32,
    &recurrent::RNN_F32,
    &recurrent::LSTM_F32,
    &recurrent::GRU_LINEAR_F32,
    &recurrent::GRU_RESET_F32,
    &recurrent::RECURRENT_BIAS,
]);
