//! Attention over heads, and which keys a query sees.

use crate::graph::ops::{Binary, Compare, Unary};
use crate::graph::{Dim, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};
use super::super::attention::grouped_product;

/// Extents of the scores.
#[derive(Clone)]
pub(super) struct Extents {
    pub(super) batch: Dim,
    pub(super) queries: Dim,
    pub(super) keys: Dim,
}

/// How scores become weights.
pub(super) struct Scores {
    pub(super) scale: f64,
    /// Scores are bent below this; zero bends none.
    pub(super) cap: f64,
    /// Added to the scores.
    pub(super) biases: Vec<ValueId>,
    /// False where a key is not seen.
    pub(super) allowed: Option<ValueId>,
    /// A score of no key, which takes its share of each row: `[heads]`.
    pub(super) sink: Option<ValueId>,
}

/// `[batch, time, heads * size]` as `[batch, heads, time, size]`.
pub(super) fn split(call: &mut Call, x: ValueId, heads: &Dim) -> Imported<ValueId> {
    let x = apart(call, x, heads)?;
    call.transpose(x, vec![0, 2, 1, 3])
}

/// `[batch, time, heads * size]` as `[batch, time, heads, size]`.
pub(super) fn apart(call: &mut Call, x: ValueId, heads: &Dim) -> Imported<ValueId> {
    let shape = call.shape(x);
    let [batch, time, width] = &shape[..] else {
        return call.fail(format!("{} is not of rank 3", call.show(&shape)));
    };
    let Some(size) = width.exact_div(heads) else {
        return call.refuse("num_heads", format!("does not divide {}", call.show(&shape)));
    };
    call.reshape(x, vec![batch.clone(), time.clone(), heads.clone(), size])
}

/// The four extents of a value.
pub(super) fn four(call: &Call, x: ValueId) -> Imported<[Dim; 4]> {
    <[Dim; 4]>::try_from(call.shape(x))
        .map_err(|shape| call.problem(format!("{} is not of rank 4", call.show(&shape))))
}

/// A number of heads that an attribute gives.
pub(super) fn heads(call: &Call, name: &str) -> Imported<Dim> {
    let heads = call.int(name)?;
    match call.required(name, heads)? {
        n if n > 0 => Ok(Dim::Fixed(n)),
        n => call.refuse(name, format!("is {n}")),
    }
}

/// The scale that is stated, or one over the root of the head's size.
pub(super) fn scale(call: &Call, size: &Dim) -> Imported<f64> {
    match call.float_or("scale", 0.0)? {
        0.0 => Ok(1.0 / (call.fixed(size, "the head size")? as f64).sqrt()),
        scale => Ok(f64::from(scale)),
    }
}

/// `[batch, time, heads * size]` of values weighted by their keys' scores. Queries, keys and
/// values are `[batch, heads, time, size]`.
pub(super) fn attend(
    call: &mut Call,
    [q, k, v]: [ValueId; 3],
    scores: &Scores,
) -> Imported<ValueId> {
    let q = call.with(Binary::Mul, q, scores.scale)?;
    let turned = call.transpose(k, vec![0, 1, 3, 2])?;
    let mut y = grouped_product(call, q, turned)?;
    if scores.cap != 0.0 {
        let ratio = call.with(Binary::Div, y, scores.cap)?;
        let bent = call.unary(Unary::Tanh, ratio)?;
        y = call.with(Binary::Mul, bent, scores.cap)?;
    }
    for bias in &scores.biases {
        y = call.binary(Binary::Add, y, *bias)?;
    }
    if let Some(allowed) = scores.allowed {
        // The least number, not infinity: a row that sees nothing is no row of NaN.
        let far = call.scalar(call.dtype_of(y), f64::from(f32::MIN));
        y = call.one(Op::Where, &[allowed, y, far])?;
    }
    let weights = match scores.sink {
        None => call.one(Op::Softmax { axis: 3 }, &[y])?,
        Some(sink) => {
            let [batch, heads, rows, keys] = four(call, y)?;
            let one = Dim::Fixed(1);
            let sink =
                call.reshape(sink, vec![one.clone(), heads.clone(), one.clone(), one.clone()])?;
            let sink = call.expand(sink, vec![batch, heads, rows, one])?;
            let all = call.concat(&[y, sink], 3)?;
            let all = call.one(Op::Softmax { axis: 3 }, &[all])?;
            call.slice(all, 3, Dim::Fixed(0), keys)?
        }
    };
    let y = grouped_product(call, weights, v)?;
    let [batch, heads, rows, size] = four(call, y)?;
    let y = call.transpose(y, vec![0, 2, 1, 3])?;
    call.reshape(y, vec![batch, rows, heads * size])
}

/// Whether key `j` is at or before query `i`, which stands behind `past` keys: `[queries, keys]`.
pub(super) fn causal(call: &mut Call, extents: &Extents, past: &Dim) -> Imported<ValueId> {
    let columns = call.range(0, extents.keys.clone())?;
    let rows = call.range(0, extents.queries.clone())?;
    let rows = call.unsqueeze(rows, &[1])?;
    let fact = crate::graph::Fact { dtype: DType::I64, shape: Vec::new() };
    let past = call.builder.add_known(&call.label, &fact, vec![past.clone()]);
    let rows = call.binary(Binary::Add, rows, past)?;
    call.compare(Compare::LessOrEqual, columns, rows)
}

/// What input `i`, a mask of keys, adds to the scores: `mask_filter_value` where a key is masked.
///
/// It is a length a batch, ends and then starts, or a flag for each key (of each query).
pub(super) fn key_mask(call: &mut Call, i: usize, extents: &Extents) -> Imported<Option<ValueId>> {
    let filter = f64::from(call.float_or("mask_filter_value", -10_000.0)?);
    let Some(mask) = call.optional(i) else { return Ok(None) };
    let shape = call.shape(mask);
    let Extents { batch, queries, keys } = extents.clone();
    let one = Dim::Fixed(1);
    let flags = |call: &mut Call, shape| -> Imported<ValueId> {
        let zero = call.scalar(call.dtype_of(mask), 0.0);
        let seen = call.compare(Compare::Greater, mask, zero)?;
        call.reshape(seen, shape)
    };
    let allowed = match &shape[..] {
        [n] if *n == batch => {
            let ends = column(call, mask, &batch)?;
            let columns = call.range(0, keys)?;
            call.compare(Compare::Less, columns, ends)?
        }
        [n] if *n == batch.clone() * Dim::Fixed(2) => {
            let ends = call.slice(mask, 0, Dim::Fixed(0), batch.clone())?;
            let starts = call.slice(mask, 0, batch.clone(), batch.clone())?;
            let (ends, starts) = (column(call, ends, &batch)?, column(call, starts, &batch)?);
            let columns = call.range(0, keys)?;
            let before = call.compare(Compare::Less, columns, ends)?;
            let behind = call.compare(Compare::GreaterOrEqual, columns, starts)?;
            call.one(Op::Logic(crate::graph::ops::Logic::And), &[before, behind])?
        }
        [b, n] if (*b == batch || b.is(1)) && *n == keys => {
            flags(call, vec![b.clone(), one.clone(), one, keys])?
        }
        [b, s, n] if *b == batch && *s == queries && *n == keys => {
            flags(call, vec![batch, one, queries, keys])?
        }
        other => {
            let expected = [batch, queries, keys];
            let (is, expected) = (call.show(other), call.show(&expected));
            return call.fail(format!(
                "a mask {is} is not supported for [batch, queries, keys] of {expected}"
            ));
        }
    };
    let (seen, far) = (call.scalar(DType::F32, 0.0), call.scalar(DType::F32, filter));
    call.one(Op::Where, &[allowed, seen, far]).map(Some)
}

/// A number for each batch as `[batch, 1, 1, 1]` of i64.
pub(super) fn column(call: &mut Call, x: ValueId, batch: &Dim) -> Imported<ValueId> {
    let x = call.cast(x, DType::I64)?;
    let one = Dim::Fixed(1);
    call.reshape(x, vec![batch.clone(), one.clone(), one.clone(), one])
}

/// The scalar one as i64.
pub(super) fn one(call: &mut Call) -> ValueId {
    call.constant(Tensor::scalar(1i64))
}
