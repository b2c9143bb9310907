//! Random numbers.
//!
//! Each run of a session draws anew, and each session the same sequence: nothing but the model
//! decides what is drawn. A node's `seed` is its stream, as in ONNX Runtime two nodes of one seed
//! draw alike; a node without a seed takes its place in the graph. The numbers are those of
//! [`sampling`](crate::sampling), not of NumPy or ONNX Runtime.

use crate::graph::ops::{Binary, Compare, Random, ReduceKind};
use crate::graph::{Dim, Op, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

/// Seeds of nodes that have none lie above all that an attribute of 32 bits can give.
const PLACES: u64 = 1 << 32;

/// Draws of this node.
fn draw(call: &mut Call, shape: Vec<Dim>, normal: bool) -> Imported<ValueId> {
    let seed = match call.float("seed")? {
        Some(seed) => u64::from(seed.to_bits()),
        None => PLACES | call.builder.graph.nodes.len() as u64,
    };
    call.one(Op::Random(Random { shape, normal, seed }), &[])
}

/// `draw * factor + offset`, as another type.
fn moved(
    call: &mut Call,
    draw: ValueId,
    factor: f32,
    offset: f32,
    dtype: DType,
) -> Imported<ValueId> {
    if !dtype.is_float() {
        return call.refuse("dtype", format!("is {dtype}, not a float"));
    }
    let y = call.with(Binary::Mul, draw, f64::from(factor))?;
    let y = call.with(Binary::Add, y, f64::from(offset))?;
    call.cast(y, dtype)
}

/// RandomNormal and RandomUniform, and those that take the shape of an operand.
pub(super) fn random(call: &mut Call) -> Imported {
    let (shape, usual) = match call.optional(0) {
        Some(like) => (call.shape(like), call.dtype_of(like)),
        None => {
            let shape = call.ints("shape")?;
            let shape = call.required("shape", shape)?;
            if shape.iter().any(|n| *n < 0) {
                return call.refuse("shape", format!("is {shape:?}"));
            }
            (shape.iter().copied().map(Dim::Fixed).collect(), DType::F32)
        }
    };
    let dtype = call.dtype("dtype")?.unwrap_or(usual);
    let normal = call.node.op.starts_with("RandomNormal");
    let (factor, offset) = if normal {
        (call.float_or("scale", 1.0)?, call.float_or("mean", 0.0)?)
    } else {
        let (low, high) = (call.float_or("low", 0.0)?, call.float_or("high", 1.0)?);
        (high - low, low)
    };
    let draw = draw(call, shape, normal)?;
    Ok(vec![moved(call, draw, factor, offset, dtype)?])
}

/// One where a draw lies below the probability.
pub(super) fn bernoulli(call: &mut Call) -> Imported {
    let p = call.input(0)?;
    let dtype = call.dtype("dtype")?.unwrap_or(call.dtype_of(p));
    let draw = draw(call, call.shape(p), false)?;
    let draw = call.cast(draw, call.dtype_of(p))?;
    let one = call.compare(Compare::Less, draw, p)?;
    Ok(vec![call.cast(one, dtype)?])
}

/// Classes whose logarithms of weights are given: the first whose running sum of probabilities
/// exceeds a draw.
pub(super) fn multinomial(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let shape = call.shape(x);
    let [batch, classes] = &shape[..] else {
        return call.fail(format!("the data {} is no matrix", call.show(&shape)));
    };
    let dtype = call.dtype("dtype")?.unwrap_or(DType::I32);
    if !matches!(dtype, DType::I32 | DType::I64) {
        return call.refuse("dtype", format!("is {dtype}, not i32 or i64"));
    }
    let samples = match call.int_or("sample_size", 1)? {
        n if (0..1 << 30).contains(&n) => Dim::Fixed(n),
        n => return call.refuse("sample_size", format!("is {n}")),
    };
    if classes.bounds(call.variables()).0 < 1 {
        return call.fail("there may be no class");
    }
    let one = Dim::Fixed(1);
    let draw = draw(call, vec![batch.clone(), samples.clone(), one.clone()], false)?;
    let x = call.cast(x, DType::F32)?;
    let p = call.one(Op::Softmax { axis: 1 }, &[x])?;
    let sums = Op::CumSum { axis: 1, exclusive: false, reverse: false };
    let sums = call.one(sums, &[p])?;
    // The last class takes what rounding leaves.
    let others = call.slice(sums, 1, Dim::Fixed(0), classes.clone() - one.clone())?;
    let others = call.unsqueeze(others, &[1])?;
    let behind = call.compare(Compare::LessOrEqual, others, draw)?;
    let behind = call.cast(behind, dtype)?;
    let class = call.reduce(ReduceKind::Sum, behind, vec![2])?;
    Ok(vec![call.reshape(class, vec![batch.clone(), samples])?])
}
