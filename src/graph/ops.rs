//! Operators: their attributes and shape rules, one family a file.
//!
//! To add an operator: its variant here with its rule in the family's file, its lowering in
//! `compile::lower`, its record and kernel in `runtime::steps`, its line in the importer.

pub mod attention;
pub mod classical;
pub mod dynamic;
pub mod elementwise;
pub mod flow;
pub mod index;
pub mod integer;
pub mod movement;
pub mod normalize;
pub mod product;
pub mod quantize;
pub mod random;
pub mod recurrent;
pub mod reduce;
pub mod trees;
pub mod vision;

use crate::tensor::{DType, Rounding};

use super::dim::{Dim, Variable};

pub use crate::tensor::Grid8;
pub use attention::{Attention, Mask, Unseeing};
pub use classical::SvmPairs;
pub use dynamic::{Measure, NonMaxSuppression, Unique};
pub use elementwise::{Binary, Compare, Logic, Unary};
pub use flow::{Block, Branches, Collected, Loop};
pub use index::{ArgReduce, Scatter, TopK};
pub use integer::{Chain, Given, QuantizedConv, QuantizedLinear, QuantizedMatMul, Stage};
pub use movement::{Pad, PadMode, SliceAxis};
pub use product::{Activation, Conv, Gemm, MaxPositions, Pool, PoolKind, WeightOnlyLinear};
pub use quantize::Quantization;
pub use random::Random;
pub use recurrent::{Cell, CellActivation, Direction, QuantizedLstm, Recurrent};
pub use reduce::{Reduce, ReduceKind};
pub use trees::TreeEnsemble;
pub use vision::{DeformColumns, GridSample, MaxRoiPool, RoiAlign};

/// What shape inference knows of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: Vec<Dim>,
}

/// Operands that do not suit an operator: one sentence, without the node's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ShapeError(pub String);

/// An operator with its attributes.
///
/// Names are those of ONNX where one operator is meant. Several ONNX operators that differ only
/// in how they say the same thing are one here: Flatten, Squeeze and Unsqueeze are `Reshape`;
/// Split is one `Slice` for each part.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// One result for each element.
    Unary(Unary),
    /// Arithmetic on two broadcast operands.
    Binary(Binary),
    /// Comparison of two broadcast operands.
    Compare(Compare),
    /// Boolean arithmetic on two broadcast operands.
    Logic(Logic),
    /// `condition ? a : b`, broadcast.
    Where,
    /// Conversion to another element type.
    Cast {
        /// The type.
        to: DType,
    },
    /// Conversion to another element type with a rounding of its own. It matters only for 8-bit
    /// floats: [`Op::Cast`] is the same with [`Rounding::default`].
    RoundingCast {
        /// The type.
        to: DType,
        /// What happens to numbers that it does not have.
        rounding: Rounding,
    },
    /// The same bits as another element type of as many.
    BitCast {
        /// The type.
        to: DType,
    },
    /// The dimensions themselves as an i64 vector.
    Extents {
        /// What is written.
        dims: Vec<Dim>,
    },
    /// The same elements under another shape.
    Reshape {
        /// The shape, without wildcards.
        shape: Vec<Dim>,
    },
    /// Axes in another order: axis `i` of the result is axis `perm[i]` of the operand.
    Transpose {
        /// The order.
        perm: Vec<usize>,
    },
    /// Broadcast to a shape.
    Expand {
        /// The result's shape (after broadcasting with the operand's).
        shape: Vec<Dim>,
    },
    /// A strided window.
    Slice {
        /// The axes that are cut; the others stay whole.
        axes: Vec<SliceAxis>,
    },
    /// Operands one behind the other.
    Concat {
        /// Along this axis.
        axis: usize,
    },
    /// Margins added or cut. Operands: data, then an optional scalar value.
    Pad(Pad),
    /// Repetition.
    Tile {
        /// Times, for each axis.
        repeats: Vec<Dim>,
    },
    /// Every element the same. Operand: the scalar.
    Fill {
        /// The shape.
        shape: Vec<Dim>,
    },
    /// Random numbers. No operands.
    Random(Random),
    /// `start + i * step`. Operands: start, step (scalars).
    Range {
        /// Number of elements.
        len: Dim,
    },
    /// Lower or upper triangle, the rest zero. Operand: data.
    Trilu {
        /// Keep the upper triangle.
        upper: bool,
        /// The diagonal that is the border.
        k: i64,
    },
    /// Rows picked along an axis. Operands: data, indices.
    Gather {
        /// The axis.
        axis: usize,
    },
    /// Elements picked along an axis. Operands: data, indices.
    GatherElements {
        /// The axis.
        axis: usize,
    },
    /// Slices picked by index tuples. Operands: data, indices.
    GatherNd {
        /// Leading axes shared by both operands.
        batch_dims: usize,
    },
    /// Elements written along an axis. Operands: data, indices, updates.
    ScatterElements(Scatter),
    /// Slices written by index tuples. Operands: data, indices, updates (`axis` is not used).
    ScatterNd(Scatter),
    /// Operands: indices, values (`[off, on]`).
    OneHot {
        /// The axis of the result that is new.
        axis: usize,
        /// Its extent.
        depth: Dim,
    },
    /// Largest or smallest elements along an axis; results: values, indices (i64).
    TopK(TopK),
    /// Position of the largest or smallest element along an axis (i64).
    ArgReduce(ArgReduce),
    /// Running sum along an axis.
    CumSum {
        /// The axis.
        axis: usize,
        /// The element itself is left out.
        exclusive: bool,
        /// From the end.
        reverse: bool,
    },
    /// Running product along an axis.
    CumProd {
        /// The axis.
        axis: usize,
        /// The element itself is left out.
        exclusive: bool,
        /// From the end.
        reverse: bool,
    },
    /// A reduction over axes.
    Reduce(Reduce),
    /// Matrix product as NumPy's `matmul`.
    MatMul,
    /// `activation(a · b + bias + residual)`; made by fusion. Operands: a `[.., k]`, constant b
    /// `[k, n]`, optional bias `[n]`, optional residual of the result's shape.
    Linear {
        /// Applied to each element.
        activation: Activation,
        /// The constant is `[n, k]`.
        transposed: bool,
    },
    /// The same with integers for weights.
    WeightOnlyLinear(WeightOnlyLinear),
    /// `alpha * a' · b' + beta * c`. Operands: a, b, optional c.
    Gemm(Gemm),
    /// Scaled dot-product attention; made by fusion. Operands: q `[.., m, k]`, k `[.., n, k]`,
    /// v `[.., n, w]`, then its masks.
    Attention(Attention),
    /// Convolution. Operands: data `[n, c, spatial..]`, weights, optional bias.
    Conv(Conv),
    /// Largest or mean element of a window.
    Pool(Pool),
    /// Where the largest element of a window is (i64).
    MaxPositions(MaxPositions),
    /// Pictures sampled at normalised positions. Operands: data `[n, c, space..]`, grid
    /// `[n, .., axes]`.
    GridSample(GridSample),
    /// Regions sampled evenly. Operands: data `[n, c, h, w]`, regions `[r, 4]`, picture of each.
    RoiAlign(RoiAlign),
    /// Largest elements of regions. Operands: data `[n, c, h, w]`, regions `[r, 5]`.
    MaxRoiPool(MaxRoiPool),
    /// Windows shifted by data, unrolled to `[n, c, taps, oh * ow]`. Operands: data
    /// `[n, c, h, w]`, offsets `[n, groups * taps * 2, oh, ow]`, optional mask
    /// `[n, groups * taps, oh, ow]`.
    DeformColumns(DeformColumns),
    /// Determinants of the matrices on the last two axes.
    Det,
    /// Softmax over one axis.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// Logarithm of softmax over one axis.
    LogSoftmax {
        /// The axis.
        axis: usize,
    },
    /// Mean and variance removed over the axes from `axis` on. Operands: data, optional scale,
    /// optional bias; results: data, then mean and inverse deviation where asked for.
    LayerNorm {
        /// First axis.
        axis: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Root mean square removed over the axes from `axis` on. Operands: data, scale.
    RmsNorm {
        /// First axis.
        axis: usize,
        /// Added to the mean square.
        epsilon: f32,
    },
    /// Inference form. Operands: data `[n, c, ..]`, scale, bias, mean, variance (each `[c]`).
    BatchNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Mean and variance removed over channels groups and space. Operands: data `[n, c, ..]`,
    /// scale, bias (each `[c]`). Instance normalisation has as many groups as channels.
    GroupNorm {
        /// Number of groups.
        groups: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Recurrent layer. Operands as ONNX: x, w, r, b, sequence_lens, initial_h, and for LSTM
    /// initial_c, p; results: y, y_h, and for LSTM y_c.
    Recurrent(Recurrent),
    /// An LSTM on integers of eight bits.
    QuantizedLstm(QuantizedLstm),
    /// Makes numbers in the data dimensions. Operand: an i64 tensor; no result. Whatever has a
    /// measured variable in its shape comes behind the node that measures it, except for the
    /// results of the operator that the number comes from.
    Measure(Measure),
    /// Positions of elements that are not zero; results: positions `[rank, len]`, their number
    /// (an i64 scalar).
    NonZero {
        /// How many: a measured variable.
        len: Dim,
    },
    /// Distinct slices; results: values, position of the first of each, which each slice is,
    /// how often each occurs, their number (an i64 scalar).
    Unique(Unique),
    /// Boxes that no better box covers. Operands: boxes, scores, most boxes a class, optional
    /// intersection over union threshold, optional score threshold (scalars); results: `[len, 3]`
    /// of batch, class and box, their number (an i64 scalar).
    NonMaxSuppression(NonMaxSuppression),
    /// Float to integer. Operands: data, scale, optional zero point.
    QuantizeLinear(Quantization),
    /// Integer to float. Operands: data, scale, optional zero point.
    DequantizeLinear(Quantization),
    /// f32 to u8 by the range of all elements; results: the integers, their scale, their zero
    /// point.
    DynamicQuantizeLinear,
    /// Product of integers of eight bits with constant weights.
    QuantizedLinear(QuantizedLinear),
    /// Convolution of integers of eight bits with constant weights.
    QuantizedConv(QuantizedConv),
    /// Product of integers of eight bits that are both computed.
    QuantizedMatMul(QuantizedMatMul),
    /// What happens to each element, with integers of eight bits on the way.
    Chain(Chain),
    /// Softmax along the last axis, then what happens to each element.
    QuantizedSoftmax(Chain),
    /// Each byte replaced by that of a table at its place. Operands: eight-bit integers, 256 of
    /// eight bits.
    MapBytes,
    /// Decision trees.
    TreeEnsemble(TreeEnsemble),
    /// Where each element stands in a sorted list without repetition, or how long the list is
    /// where it stands nowhere (i64). Operands: data, list (of the same type).
    Lookup,
    /// Distances between the rows of two tables. Operands: `[m, k]`, `[n, k]`; result: `[m, n]`.
    Distances {
        /// Their squares.
        squared: bool,
    },
    /// Decisions of a support vector classifier between each two classes.
    SvmPairs(SvmPairs),
    /// Probabilities of classes from those between each two of them. Operand: `[rows, pairs]`.
    PairCoupling {
        /// Number of classes.
        classes: usize,
    },
    /// One of two blocks of nodes.
    If(Branches),
    /// A block of nodes, again and again.
    Loop(Loop),
}

impl Op {
    /// Its name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unary(op) => op.name(),
            Self::Binary(op) => op.name(),
            Self::Compare(op) => op.name(),
            Self::Logic(op) => op.name(),
            Self::Where => "Where",
            Self::Cast { .. } | Self::RoundingCast { .. } => "Cast",
            Self::BitCast { .. } => "BitCast",
            Self::Extents { .. } => "Shape",
            Self::Reshape { .. } => "Reshape",
            Self::Transpose { .. } => "Transpose",
            Self::Expand { .. } => "Expand",
            Self::Slice { .. } => "Slice",
            Self::Concat { .. } => "Concat",
            Self::Pad(_) => "Pad",
            Self::Tile { .. } => "Tile",
            Self::Fill { .. } => "ConstantOfShape",
            Self::Random(_) => "Random",
            Self::Range { .. } => "Range",
            Self::Trilu { .. } => "Trilu",
            Self::Gather { .. } => "Gather",
            Self::GatherElements { .. } => "GatherElements",
            Self::GatherNd { .. } => "GatherND",
            Self::ScatterElements(_) => "ScatterElements",
            Self::ScatterNd(_) => "ScatterND",
            Self::OneHot { .. } => "OneHot",
            Self::TopK(_) => "TopK",
            Self::ArgReduce(op) => op.name(),
            Self::CumSum { .. } => "CumSum",
            Self::CumProd { .. } => "CumProd",
            Self::Reduce(op) => op.kind.name(),
            Self::MatMul => "MatMul",
            Self::Linear { .. } => "Linear",
            Self::WeightOnlyLinear(_) => "WeightOnlyLinear",
            Self::Gemm(_) => "Gemm",
            Self::Attention(_) => "Attention",
            Self::Conv(_) => "Conv",
            Self::Pool(op) => op.name(),
            Self::MaxPositions(_) => "MaxPool",
            Self::GridSample(_) => "GridSample",
            Self::RoiAlign(_) => "RoiAlign",
            Self::MaxRoiPool(_) => "MaxRoiPool",
            Self::DeformColumns(_) => "DeformConv",
            Self::Det => "Det",
            Self::Softmax { .. } => "Softmax",
            Self::LogSoftmax { .. } => "LogSoftmax",
            Self::LayerNorm { .. } => "LayerNormalization",
            Self::RmsNorm { .. } => "RMSNormalization",
            Self::BatchNorm { .. } => "BatchNormalization",
            Self::GroupNorm { .. } => "GroupNormalization",
            Self::Recurrent(op) => op.cell.name(),
            Self::QuantizedLstm(_) => "QuantizedLSTM",
            Self::Measure(_) => "Measure",
            Self::NonZero { .. } => "NonZero",
            Self::Unique(_) => "Unique",
            Self::NonMaxSuppression(_) => "NonMaxSuppression",
            Self::QuantizeLinear(_) => "QuantizeLinear",
            Self::DequantizeLinear(_) => "DequantizeLinear",
            Self::DynamicQuantizeLinear => "DynamicQuantizeLinear",
            Self::QuantizedLinear(_) => "QuantizedLinear",
            Self::QuantizedConv(_) => "QuantizedConv",
            Self::QuantizedMatMul(_) => "QuantizedMatMul",
            Self::Chain(_) => "Chain",
            Self::QuantizedSoftmax(_) => "QuantizedSoftmax",
            Self::MapBytes => "MapBytes",
            Self::TreeEnsemble(_) => "TreeEnsemble",
            Self::Lookup => "Lookup",
            Self::Distances { .. } => "CDist",
            Self::SvmPairs(_) => "SVMClassifier",
            Self::PairCoupling { .. } => "PairCoupling",
            Self::If(_) => "If",
            Self::Loop(_) => "Loop",
        }
    }

    /// The dimensions that it carries as attributes.
    pub fn dims(&self) -> Vec<&[Dim]> {
        let one = std::slice::from_ref;
        match self {
            Self::Extents { dims } => vec![dims],
            Self::Reshape { shape } | Self::Expand { shape } | Self::Fill { shape } => vec![shape],
            Self::Tile { repeats } => vec![repeats],
            Self::Random(op) => vec![&op.shape],
            Self::Pad(pad) => vec![&pad.before, &pad.after],
            Self::Range { len } | Self::NonZero { len } => vec![one(len)],
            Self::Unique(op) => vec![one(&op.len)],
            Self::NonMaxSuppression(op) => vec![one(&op.len)],
            Self::OneHot { depth, .. } => vec![one(depth)],
            Self::TopK(op) => vec![one(&op.k)],
            Self::Loop(op) => vec![one(&op.trips)],
            Self::Attention(op) => op.causal.iter().map(one).collect(),
            Self::Slice { axes } => {
                axes.iter().flat_map(|cut| [one(&cut.start), one(&cut.extent)]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether it only moves or converts elements, so that they may be of any type.
    fn moves(&self) -> bool {
        match self {
            Self::Unary(op) => *op == Unary::Identity,
            Self::ScatterElements(op) | Self::ScatterNd(op) => {
                matches!(op, Scatter::Replace { .. })
            }
            Self::Where
            | Self::Cast { .. }
            | Self::RoundingCast { .. }
            | Self::BitCast { .. }
            | Self::Reshape { .. }
            | Self::Transpose { .. }
            | Self::Expand { .. }
            | Self::Slice { .. }
            | Self::Concat { .. }
            | Self::Pad(_)
            | Self::Tile { .. }
            | Self::Fill { .. }
            | Self::Trilu { .. }
            | Self::Gather { .. }
            | Self::GatherElements { .. }
            | Self::GatherNd { .. }
            | Self::OneHot { .. } => true,
            _ => false,
        }
    }

    /// Element types and shapes of the results.
    ///
    /// **Errors**: operands of the wrong number, type or shape, in one sentence.
    pub fn infer(
        &self,
        inputs: &[Option<Fact>],
        variables: &[Variable],
    ) -> Result<Vec<Fact>, ShapeError> {
        let operands = Operands { inputs, variables };
        if let Some(small) = inputs.iter().flatten().find(|fact| fact.dtype.is_small())
            && !self.moves()
        {
            let (name, dtype) = (self.name(), small.dtype);
            return Err(ShapeError(format!("no {name} of {dtype}: cast it to f32 first")));
        }
        match self {
            Self::Unary(op) => op.infer(&operands),
            Self::Binary(op) => op.infer(&operands),
            Self::Compare(_) => elementwise::infer_compare(&operands),
            Self::Logic(_) => elementwise::infer_logic(&operands),
            Self::Where => elementwise::infer_where(&operands),
            Self::Cast { to } | Self::RoundingCast { to, .. } => {
                Ok(vec![Fact { dtype: *to, shape: operands.at(0)?.shape.clone() }])
            }
            Self::BitCast { to } => elementwise::infer_bit_cast(&operands, *to),
            Self::Extents { dims } => {
                Ok(vec![Fact { dtype: DType::I64, shape: vec![Dim::Fixed(dims.len() as i64)] }])
            }
            Self::Reshape { shape } => movement::infer_reshape(&operands, shape),
            Self::Transpose { perm } => movement::infer_transpose(&operands, perm),
            Self::Expand { shape } => movement::infer_expand(&operands, shape),
            Self::Slice { axes } => movement::infer_slice(&operands, axes),
            Self::Concat { axis } => movement::infer_concat(&operands, *axis),
            Self::Pad(op) => op.infer(&operands),
            Self::Tile { repeats } => movement::infer_tile(&operands, repeats),
            Self::Fill { shape } => {
                Ok(vec![Fact { dtype: operands.at(0)?.dtype, shape: shape.clone() }])
            }
            Self::Random(op) => Ok(vec![Fact { dtype: DType::F32, shape: op.shape.clone() }]),
            Self::Range { len } => {
                Ok(vec![Fact { dtype: operands.at(0)?.dtype, shape: vec![len.clone()] }])
            }
            Self::Trilu { .. } | Self::CumSum { .. } | Self::CumProd { .. } => {
                Ok(vec![operands.at(0)?.clone()])
            }
            Self::Gather { axis } => index::infer_gather(&operands, *axis),
            Self::GatherElements { .. } => index::infer_gather_elements(&operands),
            Self::GatherNd { batch_dims } => index::infer_gather_nd(&operands, *batch_dims),
            Self::ScatterElements(_) | Self::ScatterNd(_) => Ok(vec![operands.at(0)?.clone()]),
            Self::OneHot { axis, depth } => index::infer_one_hot(&operands, *axis, depth),
            Self::TopK(op) => op.infer(&operands),
            Self::ArgReduce(op) => op.infer(&operands),
            Self::Reduce(op) => op.infer(&operands),
            Self::MatMul => product::infer_matmul(&operands),
            Self::Linear { transposed, .. } => product::infer_linear(&operands, *transposed),
            Self::WeightOnlyLinear(op) => op.infer(&operands),
            Self::Gemm(op) => op.infer(&operands),
            Self::Attention(op) => op.infer(&operands),
            Self::Conv(op) => op.infer(&operands),
            Self::Pool(op) => op.infer(&operands),
            Self::MaxPositions(op) => op.infer(&operands),
            Self::GridSample(_) => vision::infer_grid_sample(&operands),
            Self::RoiAlign(op) => op.infer(&operands),
            Self::MaxRoiPool(op) => op.infer(&operands),
            Self::DeformColumns(op) => op.infer(&operands),
            Self::Det => vision::infer_determinant(&operands),
            Self::Softmax { axis } | Self::LogSoftmax { axis } => {
                normalize::infer_softmax(&operands, *axis)
            }
            Self::LayerNorm { axis, .. } => normalize::infer_layer_norm(&operands, *axis),
            Self::RmsNorm { axis, .. } => normalize::infer_rms_norm(&operands, *axis),
            Self::BatchNorm { .. } => normalize::infer_channels(&operands, 5),
            Self::GroupNorm { .. } => normalize::infer_channels(&operands, 3),
            Self::Recurrent(op) => op.infer(&operands),
            Self::QuantizedLstm(op) => op.infer(&operands),
            Self::Measure(op) => op.infer(&operands),
            Self::NonZero { len } => dynamic::infer_non_zero(&operands, len),
            Self::Unique(op) => op.infer(&operands),
            Self::NonMaxSuppression(op) => op.infer(&operands),
            Self::QuantizeLinear(op) => op.infer_quantize(&operands),
            Self::DequantizeLinear(op) => op.infer_dequantize(&operands),
            Self::DynamicQuantizeLinear => integer::infer_dynamic(&operands),
            Self::QuantizedLinear(op) => op.infer(&operands),
            Self::QuantizedConv(op) => op.infer(&operands),
            Self::QuantizedMatMul(op) => op.infer(&operands),
            Self::Chain(op) | Self::QuantizedSoftmax(op) => op.infer(&operands),
            Self::MapBytes => integer::infer_map(&operands),
            Self::TreeEnsemble(op) => op.infer(&operands),
            Self::Lookup => classical::infer_lookup(&operands),
            Self::Distances { .. } => classical::infer_distances(&operands),
            Self::SvmPairs(op) => op.infer(&operands),
            Self::PairCoupling { classes } => classical::infer_coupling(&operands, *classes),
            Self::If(Branches { facts, .. }) | Self::Loop(Loop { facts, .. }) => Ok(facts.clone()),
        }
    }

    /// The blocks of nodes that it runs.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        let blocks = match self {
            Self::If(branches) => [Some(&branches.then), Some(&branches.otherwise)],
            Self::Loop(repeat) => [Some(&repeat.body), None],
            _ => [None, None],
        };
        blocks.into_iter().flatten()
    }

    /// The same, to change.
    pub fn blocks_mut(&mut self) -> impl Iterator<Item = &mut Block> {
        let blocks = match self {
            Self::If(branches) => [Some(&mut branches.then), Some(&mut branches.otherwise)],
            Self::Loop(repeat) => [Some(&mut repeat.body), None],
            _ => [None, None],
        };
        blocks.into_iter().flatten()
    }
}

/// The operands of an operator during inference.
pub struct Operands<'a> {
    /// What is known of each; `None` for one left out.
    pub inputs: &'a [Option<Fact>],
    /// Dimension variables.
    pub variables: &'a [Variable],
}

impl<'a> Operands<'a> {
    /// Operand `i`, which the operator requires.
    pub fn at(&self, i: usize) -> Result<&'a Fact, ShapeError> {
        self.optional(i).ok_or_else(|| ShapeError(format!("operand {i} is missing")))
    }

    /// Operand `i`, which may be left out.
    pub fn optional(&self, i: usize) -> Option<&'a Fact> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    /// A shape as text.
    pub fn show(&self, shape: &[Dim]) -> String {
        let dims: Vec<_> = shape.iter().map(|d| d.display(self.variables).to_string()).collect();
        format!("[{}]", dims.join(", "))
    }

    /// The shape two operands broadcast to.
    ///
    /// A dimension that is not a number equals only itself: whether it would be one at run time
    /// is not guessed.
    pub fn broadcast(&self, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, ShapeError> {
        let rank = a.len().max(b.len());
        let at = |shape: &[Dim], i: usize| {
            (i + shape.len()).checked_sub(rank).map_or(Dim::Fixed(1), |j| shape[j].clone())
        };
        (0..rank)
            .map(|i| match (at(a, i), at(b, i)) {
                (x, y) if x == y => Ok(x),
                (x, y) if x.is(1) => Ok(y),
                (x, y) if y.is(1) => Ok(x),
                (x, y) => {
                    let found = [x, y].iter().any(|dim| dim.is_measured(self.variables));
                    let hint = if found {
                        ": lengths that are found in the data are equal only where one node \
                         finds them"
                    } else {
                        ""
                    };
                    let (a, b) = (self.show(a), self.show(b));
                    Err(ShapeError(format!("shapes {a} and {b} do not broadcast{hint}")))
                }
            })
            .collect()
    }
}
