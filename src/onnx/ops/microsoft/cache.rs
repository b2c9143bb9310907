//! Rotary positions from a table, and attention over a cache that holds them.

use crate::graph::ops::{Binary, Compare, Logic, Pad, PadMode, Scatter};
use crate::graph::{Dim, Op, ValueId};
use crate::tensor::DType;

use super::super::super::call::{Call, Imported};
use super::super::attention::rotated;
use super::masks::{Scores, apart, attend, column, four, heads, one, scale};

/// Rows of the tables of cosines and sines at some positions: `[.., time, 1, pairs]`.
fn angles(call: &mut Call, tables: [ValueId; 2], at: ValueId) -> Imported<[ValueId; 2]> {
    let mut rows = tables;
    for row in &mut rows {
        let picked = call.one(Op::Gather { axis: 0 }, &[*row, at])?;
        let rank = call.shape(picked).len();
        *row = call.unsqueeze(picked, &[rank - 1])?;
    }
    Ok(rows)
}

pub(in super::super) fn rotary(call: &mut Call) -> Imported {
    let (x, positions) = (call.input(0)?, call.input(1)?);
    let tables = [call.input(2)?, call.input(3)?];
    if call.flag("is_packed_batching", false)? {
        return call.refuse("is_packed_batching", "is 1, which is not supported");
    }
    if call.float_or("scale", 1.0)? != 1.0 {
        return call.refuse("scale", "is not 1, which is not supported");
    }
    let original = call.shape(x);
    let half = match &call.shape(tables[0])[..] {
        [_, half] => half.clone(),
        other => return call.fail(format!("the table {} is no matrix", call.show(other))),
    };
    let partial = call.int_or("rotary_embedding_dim", 0)?;
    let stated = call.int_or("num_heads", 0)?;
    let data = match &original[..] {
        [_, _, _, _] => call.transpose(x, vec![0, 2, 1, 3])?,
        [_, _, width] => {
            let heads = match (partial, stated) {
                (0, 0) => width.exact_div(&(half.clone() * Dim::Fixed(2))),
                (_, n) if n > 0 => Some(Dim::Fixed(n)),
                _ => return call.refuse("num_heads", "is needed with rotary_embedding_dim"),
            };
            let Some(heads) = heads else {
                return call.fail("the table does not fit the width of the data");
            };
            apart(call, x, &heads)?
        }
        other => return call.fail(format!("{} is not of rank 3 or 4", call.show(other))),
    };
    if partial != 0 && half != Dim::Fixed(partial / 2) {
        return call.refuse("rotary_embedding_dim", "does not fit the table");
    }
    let time = four(call, data)?[1].clone();
    let at = if call.shape(positions).len() == 1 {
        // The position of the first step.
        let steps = call.range(0, time)?;
        let first = call.cast(positions, DType::I64)?;
        call.binary(Binary::Add, steps, first)?
    } else {
        positions
    };
    let angles = angles(call, tables, at)?;
    let interleaved = call.flag("interleaved", false)?;
    let mut y = rotated(call, data, angles, interleaved)?;
    if original.len() == 4 {
        y = call.transpose(y, vec![0, 2, 1, 3])?;
    }
    Ok(vec![call.reshape(y, original)?])
}

fn refuse_rare_forms(call: &Call) -> Imported<()> {
    let rare = [
        (12, "a quantized cache"),
        (13, "a quantized cache"),
        (14, "normalization of queries"),
        (15, "normalization of keys"),
        (16, "padded chunks (query_seqlens)"),
    ];
    for (i, what) in rare {
        if call.optional(i).is_some() {
            return call.fail(format!("{what} is not supported"));
        }
    }
    for name in ["sliding_window_cache", "qk_output", "kv_cache_bit_width"] {
        if call.int_or(name, 0)? != 0 {
            return call.refuse(name, "is not supported");
        }
    }
    for name in ["k_quant_type", "v_quant_type"] {
        if call.string_or(name, "NONE")? != "NONE" {
            return call.refuse(name, "names a quantized cache, which is not supported");
        }
    }
    for unused in ["qk_norm_epsilon", "q_norm_epsilon", "k_norm_epsilon"] {
        call.attributes.ignore(unused);
    }
    Ok(())
}

/// Queries, keys and values as `[batch, time, heads, size]`.
fn operands(call: &mut Call, heads: &Dim, kv_heads: &Dim) -> Imported<[ValueId; 3]> {
    let query = call.input(0)?;
    match (call.optional(1), call.optional(2)) {
        (Some(key), Some(value)) => Ok([
            apart(call, query, heads)?,
            apart(call, key, kv_heads)?,
            apart(call, value, kv_heads)?,
        ]),
        (None, None) => {
            let rows = heads.clone() + kv_heads.clone() * Dim::Fixed(2);
            let all = apart(call, query, &rows)?;
            let mut part = |start: Dim, n: &Dim| call.slice(all, 2, start, n.clone());
            Ok([
                part(Dim::Fixed(0), heads)?,
                part(heads.clone(), kv_heads)?,
                part(heads.clone() + kv_heads.clone(), kv_heads)?,
            ])
        }
        _ => call.fail("keys and values belong together"),
    }
}

/// The cache `past` with `new`, `[batch, heads, time, size]`, at the positions `at` of its third
/// axis, which has `room`.
fn appended(
    call: &mut Call,
    past: Option<ValueId>,
    new: ValueId,
    at: ValueId,
    room: &Dim,
) -> Imported<ValueId> {
    let mut shape = call.shape(new);
    let [_, _, time, _] = &mut shape[..] else { return call.fail("the keys are not of rank 4") };
    *time = room.clone();
    let cache = match past {
        None => {
            let zero = call.scalar(call.dtype_of(new), 0.0);
            call.one(Op::Fill { shape }, &[zero])?
        }
        Some(past) => {
            let have = four(call, past)?[2].clone();
            let mut after = vec![Dim::Fixed(0); 4];
            after[2] = room.clone() - have;
            if after[2].is(0) {
                past
            } else {
                let before = vec![Dim::Fixed(0); 4];
                let pad = Pad { mode: PadMode::Constant, before, after };
                call.one(Op::Pad(pad), &[past])?
            }
        }
    };
    let at = call.expand(at, call.shape(new))?;
    call.one(Op::ScatterElements(Scatter::Replace { axis: 2 }), &[cache, at, new])
}

/// Attention of groups of heads over a cache that is written in place or grows.
pub(in super::super) fn group_query(call: &mut Call) -> Imported {
    refuse_rare_forms(call)?;
    let (n, kv) = (heads(call, "num_heads")?, heads(call, "kv_num_heads")?);
    let [mut q, mut k, v] = operands(call, &n, &kv)?;
    let [batch, time, _, size] = four(call, q)?;
    let total = call.known_scalar(6)?;
    let past = [call.optional(3), call.optional(4)];
    if past[0].is_some() != past[1].is_some() {
        return call.fail("past keys and past values belong together");
    }
    let room = match past[0] {
        None => total.clone(),
        Some(past) => {
            let have = four(call, past)?[2].clone();
            Dim::max(&have, &total, call.variables())
        }
    };
    if (room.clone() - time.clone()).bounds(call.variables()).0 < 0 {
        return call.fail("the cache has less room than there are new keys");
    }
    // Keys that are valid in the end, and how many of them were there before.
    let lengths = call.input(5)?;
    let lengths = column(call, lengths, &batch)?;
    let one = one(call);
    let lengths = call.binary(Binary::Add, lengths, one)?;
    let fact = crate::graph::Fact { dtype: DType::I64, shape: Vec::new() };
    let new = call.builder.add_known(&call.label, &fact, vec![time.clone()]);
    let before = call.binary(Binary::Sub, lengths, new)?;
    let zero = call.scalar(DType::I64, 0.0);
    let before = call.binary(Binary::Max, before, zero)?;
    let steps = call.range(0, time.clone())?;
    let steps = call.unsqueeze(steps, &[1])?;
    // `[batch, 1, time, 1]`
    let at = call.binary(Binary::Add, before, steps)?;
    if call.flag("do_rotary", false)? {
        let tables = [call.input(7)?, call.input(8)?];
        let positions = match call.optional(9) {
            Some(positions) => positions,
            None => call.reshape(at, vec![batch.clone(), time.clone()])?,
        };
        let angles = angles(call, tables, positions)?;
        let interleaved = call.flag("rotary_interleaved", false)?;
        q = rotated(call, q, angles, interleaved)?;
        k = rotated(call, k, angles, interleaved)?;
    } else {
        call.attributes.ignore("rotary_interleaved");
    }
    let mut by_head = |x| call.transpose(x, vec![0, 2, 1, 3]);
    let (q, k, v) = (by_head(q)?, by_head(k)?, by_head(v)?);
    let k = appended(call, past[0], k, at, &room)?;
    let v = appended(call, past[1], v, at, &room)?;
    let columns = call.range(0, room.clone())?;
    let mut allowed = call.compare(Compare::Less, columns, lengths)?;
    let mut and = |call: &mut Call, seen: ValueId| -> Imported<()> {
        allowed = call.one(Op::Logic(Logic::And), &[allowed, seen])?;
        Ok(())
    };
    let window = call.int_or("local_window_size", -1)?;
    if call.flag("causal", true)? {
        let seen = call.compare(Compare::LessOrEqual, columns, at)?;
        and(call, seen)?;
        if window > 0 {
            let reach = call.scalar(DType::I64, window as f64);
            let edge = call.binary(Binary::Sub, at, reach)?;
            let seen = call.compare(Compare::Greater, columns, edge)?;
            and(call, seen)?;
        }
    } else if window > 0 {
        return call.refuse("local_window_size", "goes with causal attention");
    }
    let mut biases = Vec::new();
    if let Some(bias) = call.optional(10) {
        let bias = match (four(call, bias)?[3].clone(), &room) {
            (have, room) if have == *room => bias,
            (have, room) => {
                let mut after = vec![Dim::Fixed(0); 4];
                after[3] = room.clone() - have;
                let before = vec![Dim::Fixed(0); 4];
                let pad = Pad { mode: PadMode::Constant, before, after };
                call.one(Op::Pad(pad), &[bias])?
            }
        };
        biases.push(bias);
    }
    let sink = match (call.optional(11), call.int_or("smooth_softmax", 0)?) {
        (Some(sink), _) => Some(sink),
        (None, 1) => {
            let zero = call.scalar(call.dtype_of(q), 0.0);
            Some(call.one(Op::Fill { shape: vec![n] }, &[zero])?)
        }
        (None, _) => None,
    };
    let cap = f64::from(call.float_or("softcap", 0.0)?);
    let scores = Scores { scale: scale(call, &size)?, cap, biases, allowed: Some(allowed), sink };
    let y = attend(call, [q, k, v], &scores)?;
    Ok(vec![y, k, v])
}
