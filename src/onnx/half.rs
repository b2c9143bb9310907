//! Floats of 16 bits: stored as they are, computed in f32.
//!
//! An operator that computes sees its operands of 16 bits as f32, and its results are rounded back
//! to the type that ONNX says they have. Between two such operators nothing is rounded: the second
//! takes what the first computed, as ONNX Runtime's CPU provider does, and the rounded value is
//! left to those who move it or give it out. What the model itself casts is rounded.
//!
//! Operators that only move elements, and those that convert them on their own, see them as they
//! are. They are listed here; any other operator computes.

use crate::graph::{Op, ValueId};
use crate::tensor::DType;

use super::builder::Builder;
use super::call::{Call, Imported};

/// Operators whose importers take elements of any type.
const TAKE_ANY: [&str; 37] = [
    "BitCast",
    "BlackmanWindow",
    "Cast",
    "CastLike",
    "CenterCropPad",
    "Compress",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "DepthToSpace",
    "DequantizeLinear",
    "Dropout",
    "Expand",
    "EyeLike",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "HammingWindow",
    "HannWindow",
    "Identity",
    "OneHot",
    "Pad",
    "QuantizeLinear",
    "Reshape",
    "ReverseSequence",
    "Shape",
    "Size",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "TensorScatter",
    "Tile",
    "Transpose",
    "Trilu",
    "Unsqueeze",
];

/// Operators of the standard domain whose float operands may be of different types.
const MIXED: [&str; 8] = [
    "Attention",
    "BatchNormalization",
    "GridSample",
    "Pow",
    "QLinearMatMul",
    "RMSNormalization",
    "Resize",
    "SimplifiedLayerNormalization",
];

/// Attributes that say themselves of what type a result is.
const TYPES: [&str; 3] = ["dtype", "output_dtype", "output_datatype"];

impl Builder<'_> {
    /// A half as the f32 that it was rounded from, or that it is.
    pub(super) fn widened(&mut self, name: &str, half: ValueId) -> Result<ValueId, String> {
        if let Some(wide) = self.wide.get(&half) {
            return Ok(*wide);
        }
        let dtype = self.fact(half).dtype;
        let wide = self.converted(name, half, DType::F32)?;
        self.wide.insert(half, wide);
        self.rounded.insert((wide, dtype), half);
        Ok(wide)
    }

    /// An f32 rounded to a half.
    pub(super) fn rounded(
        &mut self,
        name: &str,
        wide: ValueId,
        to: DType,
    ) -> Result<ValueId, String> {
        if let Some(half) = self.rounded.get(&(wide, to)) {
            return Ok(*half);
        }
        let half = self.converted(name, wide, to)?;
        self.wide.insert(half, wide);
        self.rounded.insert((wide, to), half);
        Ok(half)
    }

    /// The same for a result of the nodes from `first` on. One that they only moved is moved as
    /// a half, too: a cache stays a concatenation, which grows in place.
    fn rounded_result(
        &mut self,
        name: &str,
        wide: ValueId,
        to: DType,
        first: usize,
    ) -> Result<ValueId, String> {
        match self.moved(name, wide, to, first)? {
            Some(half) => Ok(half),
            None => self.rounded(name, wide, to),
        }
    }

    /// The half of what nodes from `first` on moved, where they took it from what has one.
    fn moved(
        &mut self,
        name: &str,
        wide: ValueId,
        to: DType,
        first: usize,
    ) -> Result<Option<ValueId>, String> {
        if let Some(half) = self.rounded.get(&(wide, to)) {
            return Ok(Some(*half));
        }
        let nodes = self.graph.nodes.get(first..).unwrap_or_default();
        let Some(node) = nodes.iter().find(|node| node.outputs.contains(&Some(wide))) else {
            return Ok(None);
        };
        if !matches!(node.op, Op::Concat { .. } | Op::Reshape { .. } | Op::Transpose { .. }) {
            return Ok(None);
        }
        let (op, operands) = (node.op.clone(), node.inputs.clone());
        let mut halves = Vec::with_capacity(operands.len());
        for operand in operands.into_iter().flatten() {
            match self.moved(name, operand, to, first)? {
                Some(half) => halves.push(Some(half)),
                None => return Ok(None),
            }
        }
        let half = self.emit(name, op, &halves)?.first().copied();
        if let Some(half) = half {
            self.wide.insert(half, wide);
            self.rounded.insert((wide, to), half);
        }
        Ok(half)
    }

    fn converted(&mut self, name: &str, x: ValueId, to: DType) -> Result<ValueId, String> {
        let results = self.emit(name, Op::Cast { to }, &[Some(x)])?;
        results.first().copied().ok_or_else(|| "the conversion has no result".to_owned())
    }
}

/// What a node is before its operator is imported.
pub(super) struct Before {
    /// The types that its operands have in the model, where some of them became f32.
    dtypes: Option<Vec<Option<DType>>>,
    /// How many nodes the graph has.
    nodes: usize,
}

/// Makes halves among the operands f32, where the operator computes.
pub(super) fn widen_operands(call: &mut Call, domain: &str) -> Imported<Before> {
    let op = call.node.op.clone();
    let dtypes: Vec<Option<DType>> =
        call.inputs.iter().map(|id| id.map(|id| call.dtype_of(id))).collect();
    // Of eight bits and fewer, ONNX lets floats only be asked what they are.
    let asked = matches!(op.as_str(), "IsNaN" | "IsInf");
    let widens = |dtype: &DType| dtype.is_half() || (asked && dtype.is_small());
    if takes_any(call, domain)? || !dtypes.iter().flatten().any(widens) {
        return Ok(Before { dtypes: None, nodes: 0 });
    }
    let mut floats = dtypes.iter().flatten().filter(|dtype| dtype.is_float());
    if let Some(first) = floats.next()
        && let Some(other) = floats.find(|dtype| *dtype != first)
        && domain.is_empty()
        && !MIXED.contains(&op.as_str())
    {
        return call.fail(format!("operands are {first} and {other}, not of one type"));
    }
    for (i, dtype) in dtypes.iter().enumerate() {
        if let (Some(id), Some(dtype)) = (call.optional(i), dtype)
            && widens(dtype)
        {
            let wide = call.builder.widened(&call.label, id);
            let wide = wide.map_err(|problem| call.problem(problem))?;
            call.inputs[i] = Some(wide);
        }
    }
    Ok(Before { dtypes: Some(dtypes), nodes: call.builder.graph.nodes.len() })
}

fn takes_any(call: &Call, domain: &str) -> Imported<bool> {
    Ok(match call.node.op.as_str() {
        _ if !domain.is_empty() => false,
        "Where" => true,
        "Scatter" | "ScatterElements" | "ScatterND" => {
            call.string_or("reduction", "none")? == "none"
        }
        op => TAKE_ANY.contains(&op),
    })
}

/// Rounds results that ONNX says are halves.
pub(super) fn round_results(
    call: &mut Call,
    before: &Before,
    mut results: Vec<ValueId>,
) -> Imported {
    let Some(dtypes) = &before.dtypes else { return Ok(results) };
    if TYPES.iter().any(|name| call.attributes.has(name)) {
        return Ok(results);
    }
    for (i, result) in results.iter_mut().enumerate() {
        if call.dtype_of(*result) == DType::F32
            && let Some(to) = result_type(call, dtypes, i)
        {
            let half = call.builder.rounded_result(&call.label, *result, to, before.nodes);
            *result = half.map_err(|problem| call.problem(problem))?;
        }
    }
    Ok(results)
}

/// The half that result `i` is: the type of the first float operand, with few exceptions.
fn result_type(call: &Call, dtypes: &[Option<DType>], i: usize) -> Option<DType> {
    let of = |i: usize| dtypes.get(i).copied().flatten();
    let dtype = match (call.node.op.as_str(), i) {
        ("RMSNormalization" | "SimplifiedLayerNormalization", _) => of(1),
        // Mean and inverse deviation stay in the type that they are computed in.
        ("LayerNormalization", 1 | 2) => None,
        ("Attention", 1 | 2) => of(i),
        _ => dtypes.iter().flatten().copied().find(|dtype| dtype.is_float()),
    };
    dtype.filter(|dtype| dtype.is_half())
}
