//! Attention and rotary positions, decomposed.

use crate::graph::dim::product;
use crate::graph::ops::{Binary, Compare, Logic, Pad, PadMode, ReduceKind, SliceAxis, Unary};
use crate::graph::{Dim, Fact, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

/// `[batch, time, heads * size]` as `[batch, heads, time, size]`; rank 4 is that already.
fn split_heads(call: &mut Call, x: ValueId, attribute: &'static str) -> Imported<ValueId> {
    let heads = call.int(attribute)?;
    match &call.shape(x)[..] {
        [_, n, _, _] => match heads {
            Some(heads) if !n.is(heads) => {
                let n = n.display(call.variables()).to_string();
                call.refuse(attribute, format!("is {heads}, the data has {n} heads"))
            }
            _ => Ok(x),
        },
        [batch, time, hidden] => {
            let heads = Dim::Fixed(call.required(attribute, heads)?);
            let size = hidden.exact_div(&heads).filter(|_| heads.bounds(&[]).0 > 0);
            let Some(size) = size else {
                return call.refuse(attribute, "does not divide the last axis");
            };
            let shape = vec![batch.clone(), time.clone(), heads, size];
            let x = call.reshape(x, shape)?;
            call.transpose(x, vec![0, 2, 1, 3])
        }
        other => call.fail(format!("{} is not of rank 3 or 4", call.show(other))),
    }
}

/// The four extents of a value that `split_heads` made.
pub(in super::super) fn four(call: &Call, x: ValueId) -> Imported<[Dim; 4]> {
    <[Dim; 4]>::try_from(call.shape(x))
        .map_err(|shape| call.problem(format!("{} is not of rank 4", call.show(&shape))))
}

/// What the scores are masked with.
struct Mask {
    /// Added to the scores.
    bias: Option<ValueId>,
    /// False where a key is not seen.
    allowed: Option<ValueId>,
    /// Whether every row surely sees a key.
    is_never_empty: bool,
}

/// `a && b`, where the first may not exist yet.
fn and(call: &mut Call, a: Option<ValueId>, b: ValueId) -> Imported<Option<ValueId>> {
    Ok(Some(match a {
        Some(a) => call.one(Op::Logic(Logic::And), &[a, b])?,
        None => b,
    }))
}

/// Positions `0, 1, ..` as a column, moved by the number of keys before the queries.
fn positions(call: &mut Call, queries: &Dim, past: &Dim) -> Imported<ValueId> {
    let rows = call.range(0, queries.clone())?;
    let rows = call.unsqueeze(rows, &[1])?;
    let lengths = match call.optional(6) {
        None => {
            let fact = Fact { dtype: DType::I64, shape: Vec::new() };
            call.builder.add_known(&call.label, &fact, vec![past.clone()])
        }
        Some(lengths) => {
            let lengths = column(call, lengths)?;
            let fact = Fact { dtype: DType::I64, shape: Vec::new() };
            let queries = call.builder.add_known(&call.label, &fact, vec![queries.clone()]);
            call.binary(Binary::Sub, lengths, queries)?
        }
    };
    call.binary(Binary::Add, rows, lengths)
}

/// Valid keys of each batch as `[batch, 1, 1, 1]`.
fn column(call: &mut Call, lengths: ValueId) -> Imported<ValueId> {
    let lengths = call.cast(lengths, DType::I64)?;
    let batch = product(&call.shape(lengths));
    call.reshape(lengths, vec![batch, Dim::Fixed(1), Dim::Fixed(1), Dim::Fixed(1)])
}

fn mask(call: &mut Call, queries: &Dim, keys: &Dim, past: &Dim) -> Imported<Mask> {
    let causal = call.int_or("is_causal", 0)? != 0;
    let window = |name| match call.int_or(name, -1)? {
        n if n >= -1 => Ok(n),
        n => call.refuse(name, format!("is {n}")),
    };
    let (left, right) = (window("left_window_size")?, window("right_window_size")?);
    let (given, lengths) = (call.optional(3), call.optional(6));
    let is_never_empty = given.is_none()
        && lengths.is_none()
        && left < 0
        && right < 0
        && keys.bounds(call.variables()).0 > 0;
    let mut mask = Mask { bias: None, allowed: None, is_never_empty };
    let columns = call.range(0, keys.clone())?;
    if causal || left >= 0 || right >= 0 {
        let rows = positions(call, queries, past)?;
        if causal {
            let seen = call.compare(Compare::LessOrEqual, columns, rows)?;
            mask.allowed = and(call, mask.allowed, seen)?;
        }
        for (reach, sign, relation) in [
            (left, Binary::Sub, Compare::GreaterOrEqual),
            (right, Binary::Add, Compare::LessOrEqual),
        ] {
            if reach >= 0 {
                let reach = call.constant(Tensor::scalar(reach));
                let edge = call.binary(sign, rows, reach)?;
                let seen = call.compare(relation, columns, edge)?;
                mask.allowed = and(call, mask.allowed, seen)?;
            }
        }
    }
    if let Some(lengths) = lengths {
        let lengths = column(call, lengths)?;
        let seen = call.compare(Compare::Less, columns, lengths)?;
        mask.allowed = and(call, mask.allowed, seen)?;
    }
    if let Some(given) = given {
        let dtype = call.dtype_of(given);
        let given = widened(call, given, keys)?;
        if dtype == DType::Bool {
            mask.allowed = and(call, mask.allowed, given)?;
        } else {
            mask.bias = Some(given);
        }
    }
    Ok(mask)
}

/// A mask that is shorter than the keys, with the rest masked out.
fn widened(call: &mut Call, mask: ValueId, keys: &Dim) -> Imported<ValueId> {
    let shape = call.shape(mask);
    let Some((last, outer)) = shape.split_last() else { return Ok(mask) };
    let missing = keys.clone() - last.clone();
    if missing.is(0) || (last.is(1) && outer.is_empty()) {
        return Ok(mask);
    }
    if missing.bounds(call.variables()).0 < 0 {
        return call.fail(format!("the mask {} has more keys than there are", call.show(&shape)));
    }
    let before = vec![Dim::Fixed(0); shape.len()];
    let mut after = before.clone();
    if let Some(slot) = after.last_mut() {
        *slot = missing;
    }
    let dtype = call.dtype_of(mask);
    let value = if dtype == DType::Bool { 0.0 } else { f64::NEG_INFINITY };
    let value = call.scalar(dtype, value);
    call.one(Op::Pad(Pad { mode: PadMode::Constant, before, after }), &[mask, value])
}

/// `[batch, heads, rows, ..]` times `[batch, kv heads, ..]`, each kv head used by its group.
pub(in super::super) fn grouped_product(
    call: &mut Call,
    a: ValueId,
    b: ValueId,
) -> Imported<ValueId> {
    let ([batch, heads, rows, inner], [_, groups, ..]) = (four(call, a)?, four(call, b)?);
    if heads == groups {
        return call.one(Op::MatMul, &[a, b]);
    }
    let Some(each) = heads.exact_div(&groups) else {
        return call.fail("the heads of the keys do not divide those of the queries");
    };
    let a = call.reshape(a, vec![batch.clone(), groups, each, rows.clone(), inner])?;
    let b = call.unsqueeze(b, &[2])?;
    let y = call.one(Op::MatMul, &[a, b])?;
    let cols = call.shape(y).last().cloned().unwrap_or(Dim::Fixed(1));
    call.reshape(y, vec![batch, heads, rows, cols])
}

/// Masked scores, and where rows may see no key, which rows those are.
fn masked(call: &mut Call, scores: ValueId, mask: &Mask) -> Imported<(ValueId, Option<ValueId>)> {
    let dtype = call.dtype_of(scores);
    let far = call.scalar(dtype, f64::NEG_INFINITY);
    let mut y = scores;
    let mut visible = mask.bias;
    if let Some(bias) = mask.bias {
        y = call.binary(Binary::Add, y, bias)?;
    }
    if let Some(allowed) = mask.allowed {
        y = call.one(Op::Where, &[allowed, y, far])?;
        let zero = call.scalar(dtype, 0.0);
        let bias = mask.bias.unwrap_or(zero);
        visible = Some(call.one(Op::Where, &[allowed, bias, far])?);
    }
    let Some(visible) = visible.filter(|_| !mask.is_never_empty) else { return Ok((y, None)) };
    let axis = call.shape(visible).len().saturating_sub(1);
    let best = call.reduce(ReduceKind::Max, visible, vec![axis])?;
    Ok((y, Some(call.compare(Compare::Equal, best, far)?)))
}

pub(super) fn attention(call: &mut Call) -> Imported {
    let is_flat = call.input(0).map(|q| call.shape(q).len())? == 3;
    let (q, k, v) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let q = split_heads(call, q, "q_num_heads")?;
    let mut k = split_heads(call, k, "kv_num_heads")?;
    let mut v = split_heads(call, v, "kv_num_heads")?;
    let mut past = Dim::Fixed(0);
    match (call.optional(4), call.optional(5)) {
        (None, None) => {}
        (Some(_), Some(_)) if call.optional(6).is_some() => {
            return call.fail("past keys and nonpad_kv_seqlen exclude each other");
        }
        (Some(keys), Some(values)) => {
            past = four(call, keys)?[2].clone();
            k = call.concat(&[keys, k], 2)?;
            v = call.concat(&[values, v], 2)?;
        }
        _ => return call.fail("past keys and past values belong together"),
    }
    let ([batch, heads, queries, size], [_, _, keys, _]) = (four(call, q)?, four(call, k)?);
    let scale = match call.float("scale")? {
        Some(scale) => f64::from(scale),
        None => 1.0 / (call.fixed(&size, "the head size")? as f64).sqrt(),
    };
    let scaled = call.with(Binary::Mul, q, scale)?;
    let turned = call.transpose(k, vec![0, 1, 3, 2])?;
    let raw = grouped_product(call, scaled, turned)?;
    let cap = f64::from(call.float_or("softcap", 0.0)?);
    let capped = if cap == 0.0 {
        raw
    } else {
        let ratio = call.with(Binary::Div, raw, cap)?;
        let bent = call.unary(Unary::Tanh, ratio)?;
        call.with(Binary::Mul, bent, cap)?
    };
    let mask = mask(call, &queries, &keys, &past)?;
    let (biased, empty) = masked(call, capped, &mask)?;
    let dtype = call.dtype_of(q);
    let inside = call.dtype("softmax_precision")?.unwrap_or(dtype);
    // Halves are computed in the type that they came as here.
    let inside = if inside.is_half() { dtype } else { inside };
    if !inside.is_float() {
        return call.refuse("softmax_precision", format!("is {inside}, not a float"));
    }
    let logits = call.cast(biased, inside)?;
    let weights = call.one(Op::Softmax { axis: 3 }, &[logits])?;
    let mut weights = call.cast(weights, dtype)?;
    if let Some(empty) = empty {
        let zero = call.scalar(dtype, 0.0);
        weights = call.one(Op::Where, &[empty, zero, weights])?;
    }
    let shown = match call.int_or("qk_matmul_output_mode", 0)? {
        0 => raw,
        1 => capped,
        2 => biased,
        3 => weights,
        other => return call.refuse("qk_matmul_output_mode", format!("is {other}")),
    };
    let mut y = grouped_product(call, weights, v)?;
    if is_flat {
        let width = heads * four(call, y)?[3].clone();
        y = call.transpose(y, vec![0, 2, 1, 3])?;
        y = call.reshape(y, vec![batch, queries, width])?;
    }
    Ok(vec![y, k, v, shown])
}

pub(super) fn rotary(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let original = call.shape(x);
    let heads = call.int_or("num_heads", 0)?;
    // Heads stand behind time here, so that one cosine row serves all of them.
    let data = match &original[..] {
        [_, _, _, _] => call.transpose(x, vec![0, 2, 1, 3])?,
        [batch, time, hidden] => {
            let heads = Dim::Fixed(heads.max(0));
            let Some(size) = hidden.exact_div(&heads).filter(|_| !heads.is(0)) else {
                return call.refuse("num_heads", "does not divide the last axis");
            };
            call.reshape(x, vec![batch.clone(), time.clone(), heads, size])?
        }
        other => return call.fail(format!("{} is not of rank 3 or 4", call.show(other))),
    };
    let shape = four(call, data)?;
    let size = call.fixed(&shape[3], "the head size")?;
    let turned = match call.int_or("rotary_embedding_dim", 0)? {
        0 => size,
        n if (1..=size).contains(&n) => n,
        n => return call.refuse("rotary_embedding_dim", format!("is {n}, a head has {size}")),
    };
    if turned % 2 != 0 {
        return call.fail(format!("{turned} numbers of a head cannot be turned in pairs"));
    }
    let half = Dim::Fixed(turned / 2);
    let mut angles = [call.input(1)?, call.input(2)?];
    for angle in &mut angles {
        if let Some(positions) = call.optional(3) {
            *angle = call.one(Op::Gather { axis: 0 }, &[*angle, positions])?;
        }
        let rows = call.shape(*angle);
        if rows.len() != 3 || rows.last() != Some(&half) {
            return call.fail(format!("the angles {} do not fit the head", call.show(&rows)));
        }
        *angle = call.unsqueeze(*angle, &[2])?;
    }
    let interleaved = call.flag("interleaved", false)?;
    let mut y = rotated(call, data, angles, interleaved)?;
    if original.len() == 4 {
        y = call.transpose(y, vec![0, 2, 1, 3])?;
    }
    Ok(vec![call.reshape(y, original)?])
}

/// `[batch, time, heads, size]` with pairs of each head's first numbers turned by the angles, whose
/// cosines and sines are `[.., time, 1, pairs]`.
///
/// A pair is two neighbours, or a number of the first half and its counterpart in the second.
pub(super) fn rotated(
    call: &mut Call,
    data: ValueId,
    [cos, sin]: [ValueId; 2],
    interleaved: bool,
) -> Imported<ValueId> {
    let shape = four(call, data)?;
    let size = call.fixed(&shape[3], "the head size")?;
    let half = call.shape(cos).last().cloned().unwrap_or(Dim::Fixed(0));
    let turned = 2 * call.fixed(&half, "the number of angles")?;
    if turned > size {
        return call.fail(format!("{turned} numbers of a head of {size} cannot be turned"));
    }
    let pick = |start: i64| {
        let (start, step) =
            if interleaved { (Dim::Fixed(start), 2) } else { (Dim::Fixed(start * turned / 2), 1) };
        Op::Slice { axes: vec![SliceAxis { axis: 3, start, step, extent: half.clone() }] }
    };
    let (a, b) = (call.one(pick(0), &[data])?, call.one(pick(1), &[data])?);
    let mut product = |x, y| call.binary(Binary::Mul, x, y);
    let (ac, bs, as_, bc) =
        (product(a, cos)?, product(b, sin)?, product(a, sin)?, product(b, cos)?);
    let (real, imaginary) = (call.binary(Binary::Sub, ac, bs)?, call.binary(Binary::Add, as_, bc)?);
    let y = if interleaved {
        let (real, imaginary) = (call.unsqueeze(real, &[4])?, call.unsqueeze(imaginary, &[4])?);
        let pairs = call.concat(&[real, imaginary], 4)?;
        let [batch, time, heads, _] = shape;
        call.reshape(pairs, vec![batch, time, heads, Dim::Fixed(turned)])?
    } else {
        call.concat(&[real, imaginary], 3)?
    };
    if turned == size {
        return Ok(y);
    }
    let rest = call.slice(data, 3, Dim::Fixed(turned), Dim::Fixed(size - turned))?;
    call.concat(&[y, rest], 3)
}
