//! The steps: records, and the functions that run them, one family a file.
//!
//! A step function decodes its record, borrows its operands, and calls a numeric loop of
//! [`kernels`](crate::kernels). To add one: its record, the check of the record and its function
//! in the family's file, and its line in the table below.

pub(crate) mod attention;
pub(crate) mod classical;
pub(crate) mod direct;
pub(crate) mod dynamic;
pub(crate) mod elementwise;
pub(crate) mod flow;
pub(crate) mod index;
pub(crate) mod integer;
pub(crate) mod lanes;
pub(crate) mod movement;
pub(crate) mod narrow;
pub(crate) mod normalize;
pub(crate) mod product;
pub(crate) mod quantize;
pub(crate) mod random;
pub(crate) mod recurrent;
pub(crate) mod small;
pub(super) mod types;
pub(crate) mod vision;
pub(crate) mod walk;
pub(crate) mod window;
#[cfg(feature = "std")]
pub(crate) mod work;

use super::step::Kernels;

macro_rules! kernels {
    ($($(#[$doc:meta])* $name:ident = $n:literal, $text:literal, $module:ident::$kernel:ident;)*) => {
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

            /// The name of its constant in [`kernels`].
            pub const fn constant(self) -> &'static str {
                match self { $(Self::$name => stringify!($kernel),)* }
            }

            pub(crate) const fn from_word(word: u32) -> Option<Self> {
                match word { $($n => Some(Self::$name),)* _ => None }
            }
        }

        /// The kernels one by one, for a table of those that a program needs.
        pub mod kernels {
            use crate::runtime::step::Kernel;

            $($(#[$doc])* pub const $kernel: &Kernel = &super::$module::$kernel;)*
        }

        /// All kernels.
        pub const KERNELS: Kernels = Kernels::new(&[$(kernels::$kernel,)*]);
    };
}

/// The table of kernels, given to the macro of this name: one row each of name, number, text and
/// place. Numbers and texts are pinned: images have the numbers, C programs the texts.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_kernel {
    ($use:ident) => {
        $use! {
            /// Strided copy of elements of any type.
            Copy = 1, "copy", movement::COPY;
            /// One value everywhere.
            Fill = 2, "fill", movement::FILL;
            /// Dimensions as numbers.
            Extents = 3, "extents", movement::EXTENTS;
            /// A function of each element, f32.
            UnaryF32 = 4, "unary_f32", elementwise::UNARY_F32;
            /// A function of each element, other types.
            Unary = 5, "unary", elementwise::UNARY;
            /// Arithmetic, f32.
            BinaryF32 = 6, "binary_f32", elementwise::BINARY_F32;
            /// Arithmetic, other types.
            Binary = 7, "binary", elementwise::BINARY;
            /// Comparison and boolean arithmetic.
            Compare = 8, "compare", elementwise::COMPARE;
            /// Choice by a condition.
            Where = 9, "where", elementwise::WHERE;
            /// Conversion between types.
            Cast = 10, "cast", elementwise::CAST;
            /// Margins around elements of any type.
            Pad = 20, "pad", movement::PAD;
            /// Evenly spaced numbers.
            Range = 21, "range", movement::RANGE;
            /// One triangle of matrices.
            Trilu = 22, "trilu", movement::TRILU;
            /// Rows picked along an axis.
            Gather = 23, "gather", index::GATHER;
            /// Elements picked along an axis.
            GatherElements = 24, "gather_elements", index::GATHER_ELEMENTS;
            /// Slices picked by index tuples.
            GatherNd = 25, "gather_nd", index::GATHER_ND;
            /// Elements placed along an axis.
            ScatterElements = 26, "scatter_elements", index::SCATTER_ELEMENTS;
            /// Slices placed by index tuples.
            ScatterNd = 27, "scatter_nd", index::SCATTER_ND;
            /// One value at an index, another elsewhere.
            OneHot = 28, "one_hot", index::ONE_HOT;
            /// Largest or smallest elements.
            TopK = 29, "top_k", lanes::TOP_K;
            /// Position of an extreme.
            ArgReduce = 30, "arg_reduce", lanes::ARG_REDUCE;
            /// Running sum.
            CumSum = 31, "cum_sum", lanes::CUM_SUM;
            /// A reduction, f32.
            ReduceF32 = 32, "reduce_f32", normalize::REDUCE_F32;
            /// A reduction, other types.
            Reduce = 33, "reduce", normalize::REDUCE;
            /// Softmax, f32.
            SoftmaxF32 = 34, "softmax_f32", normalize::SOFTMAX_F32;
            /// Softmax, f64.
            Softmax = 35, "softmax", normalize::SOFTMAX;
            /// Layer or root mean square normalization, f32.
            NormF32 = 36, "norm_f32", normalize::NORM_F32;
            /// Layer or root mean square normalization, f64.
            Norm = 37, "norm", normalize::NORM;
            /// Mean and inverse deviation.
            Moments = 38, "moments", normalize::MOMENTS;
            /// What a batch normalization multiplies and adds.
            BatchCoefficients = 39, "batch_coefficients", normalize::BATCH_COEFFICIENTS;
            /// One factor and summand a channel, f32.
            ChannelAffineF32 = 40, "channel_affine_f32", normalize::CHANNEL_AFFINE_F32;
            /// One factor and summand a channel, f64.
            ChannelAffine = 41, "channel_affine", normalize::CHANNEL_AFFINE;
            /// Normalization of groups of channels, f32.
            GroupNormF32 = 42, "group_norm_f32", normalize::GROUP_NORM_F32;
            /// Normalization of groups of channels, f64.
            GroupNorm = 43, "group_norm", normalize::GROUP_NORM;
            /// f32 to integers.
            QuantizeF32 = 44, "quantize_f32", quantize::QUANTIZE_F32;
            /// f64 to integers.
            Quantize = 45, "quantize", quantize::QUANTIZE;
            /// Integers to f32.
            DequantizeF32 = 46, "dequantize_f32", quantize::DEQUANTIZE_F32;
            /// Integers to f64.
            Dequantize = 47, "dequantize", quantize::DEQUANTIZE;
            /// Convolution by products, f32.
            ConvF32 = 48, "conv_f32", window::CONV_F32;
            /// Convolution of each channel by itself, f32.
            ConvDepthwiseF32 = 49, "conv_depthwise_f32", window::CONV_DEPTHWISE_F32;
            /// Convolution, f64 and i32.
            Conv = 50, "conv", window::CONV;
            /// Largest or mean element of windows, f32.
            PoolF32 = 51, "pool_f32", window::POOL_F32;
            /// Pooling, other types and norms.
            Pool = 52, "pool", window::POOL;
            /// Convolution with positions in the lanes of vectors, f32.
            ConvLinesF32 = 60, "conv_lines_f32", direct::CONV_LINES_F32;
            /// Convolution with output channels in the lanes of vectors, f32.
            ConvRowsF32 = 61, "conv_rows_f32", direct::CONV_ROWS_F32;
            /// Convolution of each channel by itself, positions in the lanes, f32.
            DepthwiseLinesF32 = 62, "depthwise_lines_f32", direct::DEPTHWISE_LINES_F32;
            /// Convolution of each channel by itself, channels in the lanes, f32.
            DepthwiseRowsF32 = 63, "depthwise_rows_f32", direct::DEPTHWISE_ROWS_F32;
            /// Product with packed weights, bias and activation.
            LinearF32 = 80, "linear_f32", product::LINEAR_F32;
            /// Batched product of two operands, f32.
            MatMulF32 = 81, "matmul_f32", product::MATMUL_F32;
            /// Batched product of two operands, other types.
            MatMul = 82, "matmul", product::MATMUL;
            /// Weights that are not constant, written in panels.
            PackF32 = 83, "pack_f32", product::PACK_F32;
            /// Elman layer.
            RnnF32 = 90, "rnn_f32", recurrent::RNN_F32;
            /// LSTM layer.
            LstmF32 = 91, "lstm_f32", recurrent::LSTM_F32;
            /// GRU layer, reset behind the product.
            GruLinearF32 = 92, "gru_linear_f32", recurrent::GRU_LINEAR_F32;
            /// GRU layer, reset before the product.
            GruResetF32 = 93, "gru_reset_f32", recurrent::GRU_RESET_F32;
            /// Biases of a recurrent layer that are not constant.
            RecurrentBias = 94, "recurrent_bias", recurrent::RECURRENT_BIAS;
            /// Weights of a recurrent layer that are not constant.
            RecurrentGates = 95, "recurrent_gates", recurrent::RECURRENT_GATES;
            /// LSTM on integers of eight bits, one direction.
            LstmI8 = 96, "lstm_i8", recurrent::LSTM_I8;
            /// A number in the data becomes a dimension.
            Measure = 100, "measure", dynamic::MEASURE;
            /// Positions of elements that are not zero.
            NonZero = 101, "non_zero", dynamic::NON_ZERO;
            /// Distinct slices along an axis.
            Unique = 102, "unique", dynamic::UNIQUE;
            /// Boxes that no better box covers.
            NonMaxSuppression = 103, "non_max_suppression", dynamic::NON_MAX_SUPPRESSION;
            /// Another step is next.
            Jump = 110, "jump", flow::JUMP;
            /// Another step is next unless a condition holds.
            JumpUnless = 111, "jump_unless", flow::JUMP_UNLESS;
            /// A loop begins.
            EnterLoop = 112, "enter_loop", flow::ENTER_LOOP;
            /// A loop ends, or goes on.
            RepeatLoop = 113, "repeat_loop", flow::REPEAT_LOOP;
            /// A dimension takes a value while the program runs.
            SetExtent = 114, "set_extent", flow::SET_EXTENT;
            /// Running product.
            CumProd = 120, "cum_prod", lanes::CUM_PROD;
            /// Where the largest element of a window is.
            PoolPositions = 121, "pool_positions", window::POOL_POSITIONS;
            /// Samples at the positions of a grid.
            GridSample = 122, "grid_sample", vision::GRID_SAMPLE;
            /// Samples of regions.
            RoiAlign = 123, "roi_align", vision::ROI_ALIGN;
            /// Largest elements of regions.
            RoiMax = 124, "roi_max", vision::ROI_MAX;
            /// Windows shifted by data, unrolled.
            DeformColumns = 125, "deform_columns", vision::DEFORM_COLUMNS;
            /// Determinants.
            Determinant = 126, "determinant", vision::DETERMINANT;
            /// Decision trees of ordered comparisons.
            TreeWalk = 127, "tree_walk", classical::TREE_WALK;
            /// Random numbers.
            Random = 150, "random", random::RANDOM;
            /// Decision trees.
            TreeEnsemble = 160, "tree_ensemble", classical::TREE_ENSEMBLE;
            /// Places in a sorted list.
            Lookup = 161, "lookup", classical::LOOKUP;
            /// Distances between rows.
            Distances = 162, "distances", classical::DISTANCES;
            /// Decisions between each two classes.
            SvmPairs = 163, "svm_pairs", classical::SVM_PAIRS;
            /// Probabilities of classes from those of pairs.
            PairCoupling = 164, "pair_coupling", classical::PAIR_COUPLING;
            /// Numbers of few bits to f32.
            Widen = 180, "widen", small::WIDEN;
            /// f32 and f64 to numbers of few bits.
            Narrow = 181, "narrow", small::NARROW;
            /// Attention of queries to keys and their values.
            AttentionF32 = 190, "attention_f32", attention::ATTENTION_F32;
            /// Product with packed weights in bf16, bias and activation.
            LinearBf16 = 200, "linear_bf16", product::LINEAR_BF16;
            /// Product of f32 with packed weights of eight bits, bias and activation.
            LinearW8 = 201, "linear_w8", narrow::LINEAR_W8;
            /// Product of f32 with packed weights of four bits, bias and activation.
            LinearW4 = 202, "linear_w4", narrow::LINEAR_W4;
            /// Convolution of integers of eight bits with packed weights, and what follows it.
            ConvI8 = 210, "conv_i8", integer::CONV_I8;
            /// Product of integers of eight bits with packed weights, and what follows it.
            LinearI8 = 220, "linear_i8", integer::LINEAR_I8;
            /// f32 to integers by their range.
            DynamicQuantize = 221, "dynamic_quantize", integer::DYNAMIC_QUANTIZE;
            /// Arithmetic of elements one behind the other, integers of eight bits on the way.
            Chain = 222, "chain", integer::CHAIN;
            /// Each byte replaced by that of a table.
            MapBytes = 223, "map_bytes", integer::MAP_BYTES;
            /// Product of integers of eight bits that are both computed, and what follows it.
            MatMulI8 = 224, "matmul_i8", integer::MATMUL_I8;
            /// Softmax of rows, integers of eight bits before or behind it.
            SoftmaxI8 = 225, "softmax_i8", integer::SOFTMAX_I8;
        }
    };
}

for_each_kernel!(kernels);
