//! Attention with its projection, quantized attention, and attention of given heads.

use crate::graph::ops::Binary;
use crate::graph::{Dim, Op, ValueId};

use super::super::super::call::{Call, Imported};
use super::masks::{Extents, Scores, attend, causal, four, heads, key_mask, scale, split};
use super::quantized::dequantized;

/// Which inputs say what, in the operators that project.
struct Inputs {
    mask: usize,
    past: usize,
    bias: Option<usize>,
}

fn refuse_shared_cache(call: &Call) -> Imported<()> {
    for name in ["past_present_share_buffer", "do_rotary"] {
        if call.int_or(name, 0)? != 0 {
            return call.refuse(name, "is not supported; export without this optimization");
        }
    }
    call.attributes.ignore("rotary_embedding_dim");
    Ok(())
}

pub(in super::super) fn packed(call: &mut Call) -> Imported {
    let (x, weights) = (call.input(0)?, call.input(1)?);
    if call.optional(6).is_some() {
        return call.fail("past_sequence_length belongs to a shared cache, which is not supported");
    }
    let mut all = call.one(Op::MatMul, &[x, weights])?;
    if let Some(bias) = call.optional(2) {
        all = call.binary(Binary::Add, all, bias)?;
    }
    projected(call, all, &Inputs { mask: 3, past: 4, bias: Some(5) })
}

pub(in super::super) fn quantized(call: &mut Call) -> Imported {
    let (x, weights, bias) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let (x_scale, w_scale) = (call.input(3)?, call.input(4)?);
    let x = dequantized(call, x, x_scale, call.optional(6), 0)?;
    let weights = dequantized(call, weights, w_scale, call.optional(7), 1)?;
    let all = call.one(Op::MatMul, &[x, weights])?;
    let all = call.binary(Binary::Add, all, bias)?;
    projected(call, all, &Inputs { mask: 5, past: 8, bias: None })
}

/// Attention over queries, keys and values side by side: `[batch, time, sizes]`.
fn projected(call: &mut Call, all: ValueId, inputs: &Inputs) -> Imported {
    refuse_shared_cache(call)?;
    let heads = heads(call, "num_heads")?;
    let shape = call.shape(all);
    let [batch, time, width] = &shape[..] else {
        return call.fail(format!("the projection {} is not of rank 3", call.show(&shape)));
    };
    let sizes = match call.ints("qkv_hidden_sizes")? {
        None | Some([]) => {
            let Some(each) = width.exact_div(&Dim::Fixed(3)) else {
                return call.fail("the weights are not three matrices side by side");
            };
            [each.clone(), each.clone(), each]
        }
        Some([q, k, v]) if [*q, *k, *v].iter().all(|n| (0..1 << 30).contains(n)) => {
            [*q, *k, *v].map(Dim::Fixed)
        }
        Some(other) => return call.refuse("qkv_hidden_sizes", format!("is {other:?}")),
    };
    let total = sizes.iter().cloned().fold(Dim::Fixed(0), |a, b| a + b);
    if total != *width {
        return call.refuse("qkv_hidden_sizes", "does not add up to the width of the weights");
    }
    let mut start = Dim::Fixed(0);
    let mut parts = Vec::new();
    for size in sizes {
        let part = call.slice(all, 2, start.clone(), size.clone())?;
        parts.push(split(call, part, &heads)?);
        start = start + size;
    }
    let [q, mut k, mut v] = parts[..] else { return call.fail("there are not three parts") };
    let mut before = Dim::Fixed(0);
    if let Some(past) = call.optional(inputs.past) {
        let shape = call.shape(past);
        let [two, rest @ ..] = &shape[..] else { return call.fail("past has no axes") };
        let [_, _, len, _] = rest else {
            return call.fail(format!("past {} is not of rank 5", call.show(&shape)));
        };
        if !two.is(2) {
            return call.fail(format!("past {} is no pair", call.show(&shape)));
        }
        before = len.clone();
        for (i, slot) in [&mut k, &mut v].into_iter().enumerate() {
            let state = call.slice(past, 0, Dim::Fixed(i as i64), Dim::Fixed(1))?;
            let state = call.reshape(state, rest.to_vec())?;
            *slot = call.concat(&[state, *slot], 2)?;
        }
    }
    let extents = Extents {
        batch: batch.clone(),
        queries: time.clone(),
        keys: before.clone() + time.clone(),
    };
    let y = weighed(call, [q, k, v], &extents, &before, (inputs.mask, inputs.bias))?;
    let mut results = vec![y];
    if call.wants(1) {
        let (k, v) = (call.unsqueeze(k, &[0])?, call.unsqueeze(v, &[0])?);
        results.push(call.concat(&[k, v], 0)?);
    }
    Ok(results)
}

/// Attention with the masks that these operators share.
fn weighed(
    call: &mut Call,
    [q, k, v]: [ValueId; 3],
    extents: &Extents,
    past: &Dim,
    (mask, bias): (usize, Option<usize>),
) -> Imported<ValueId> {
    let size = four(call, q)?[3].clone();
    let mut biases: Vec<ValueId> = key_mask(call, mask, extents)?.into_iter().collect();
    biases.extend(bias.and_then(|i| call.optional(i)));
    let allowed = match call.int_or("unidirectional", 0)? {
        0 => None,
        _ => Some(causal(call, extents, past)?),
    };
    let scores = Scores { scale: scale(call, &size)?, cap: 0.0, biases, allowed, sink: None };
    attend(call, [q, k, v], &scores)
}

/// Part `i` of a bias for queries, keys and values of these widths.
fn bias_of(call: &mut Call, x: ValueId, start: Dim) -> Imported<ValueId> {
    let width = call.shape(x).last().cloned().unwrap_or(Dim::Fixed(0));
    let Some(bias) = call.optional(3) else { return Ok(x) };
    let part = call.slice(bias, 0, start, width)?;
    call.binary(Binary::Add, x, part)
}

/// Queries, keys and values as `[batch, time, heads * size]`, from one operand that interleaves
/// `count` of them by head.
fn interleaved(call: &mut Call, x: ValueId, heads: &Dim, count: i64) -> Imported {
    let shape = call.shape(x);
    let [batch, time, n, parts, size] = &shape[..] else {
        return call.fail(format!("{} is not of rank 5", call.show(&shape)));
    };
    if n != heads || !parts.is(count) {
        let shape = call.show(&shape);
        return call.fail(format!("{shape} does not interleave {count} parts by head"));
    }
    let flat = vec![batch.clone(), time.clone(), n.clone() * size.clone()];
    let part = |i| {
        let part = call.slice(x, 3, Dim::Fixed(i), Dim::Fixed(1))?;
        call.reshape(part, flat.clone())
    };
    (0..count).map(part).collect()
}

pub(in super::super) fn multi_head(call: &mut Call) -> Imported {
    if (8..10).any(|i| call.optional(i).is_some()) {
        return call.fail("a cache that is shared between beams is not supported");
    }
    let heads = heads(call, "num_heads")?;
    let query = call.input(0)?;
    let rank = |call: &Call, id: Option<ValueId>| id.map(|id| call.shape(id).len());
    let (key, value) = (call.optional(1), call.optional(2));
    let flat = match (call.shape(query).len(), rank(call, key), rank(call, value)) {
        (5, None, None) => interleaved(call, query, &heads, 3)?,
        (3, Some(5), None) => {
            let mut parts = interleaved(call, call.input(1)?, &heads, 2)?;
            parts.insert(0, query);
            parts
        }
        (3, Some(3 | 4), Some(3 | 4)) => vec![query, call.input(1)?, call.input(2)?],
        _ => return call.fail("queries, keys and values have ranks that do not go together"),
    };
    let [q, k, v] = flat[..] else { return call.fail("there are not three operands") };
    let width = call.shape(q).last().cloned().unwrap_or(Dim::Fixed(0));
    let q = bias_of(call, q, Dim::Fixed(0))?;
    let q = split(call, q, &heads)?;
    // Keys and values that stand by head already have their bias.
    let mut start = width;
    let mut both = [k, v];
    for x in &mut both {
        if call.shape(*x).len() == 3 {
            let width = call.shape(*x).last().cloned().unwrap_or(Dim::Fixed(0));
            *x = bias_of(call, *x, start.clone())?;
            *x = split(call, *x, &heads)?;
            start = start + width;
        }
    }
    let mut before = Dim::Fixed(0);
    let past = [call.optional(6), call.optional(7)];
    if past[0].is_some() != past[1].is_some() {
        return call.fail("past keys and past values belong together");
    }
    for (x, past) in both.iter_mut().zip(past) {
        if let Some(past) = past {
            before = four(call, past)?[2].clone();
            *x = call.concat(&[past, *x], 2)?;
        }
    }
    let [k, v] = both;
    let [batch, _, queries, _] = four(call, q)?;
    let keys = four(call, k)?[2].clone();
    let extents = Extents { batch, queries, keys };
    let y = weighed(call, [q, k, v], &extents, &before, (4, Some(5)))?;
    Ok(vec![y, k, v])
}
