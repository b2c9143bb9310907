//! Linear attention: a state that each step of time reads and updates, unrolled.

use crate::graph::ops::{Binary, Unary};
use crate::graph::{Dim, Op, ValueId};

use super::super::call::{Call, Imported};

/// Steps that are unrolled at most.
const MAX_STEPS: i64 = 4096;

/// What a step does to the state before it adds its own product.
struct Rule {
    /// The state decays.
    gated: bool,
    /// What the state answers to the key is taken off the value.
    delta: bool,
}

/// Extents that all operands agree on.
struct Extents {
    batch: Dim,
    time: i64,
    /// Heads of keys and values, each with its own state.
    heads: Dim,
    /// Queries that share a state.
    group: Dim,
    key: Dim,
}

fn rule(call: &Call) -> Imported<Rule> {
    Ok(match call.string_or("update_rule", "gated_delta")? {
        "linear" => Rule { gated: false, delta: false },
        "gated" => Rule { gated: true, delta: false },
        "delta" => Rule { gated: false, delta: true },
        "gated_delta" => Rule { gated: true, delta: true },
        other => return call.refuse("update_rule", format!("is {other:?}")),
    })
}

fn heads(call: &Call, name: &str) -> Imported<i64> {
    let heads = call.int(name)?;
    match call.required(name, heads)? {
        n if n > 0 => Ok(n),
        n => call.refuse(name, format!("is {n}")),
    }
}

fn extents(call: &Call, query: ValueId) -> Imported<Extents> {
    let shape = call.shape(query);
    let [batch, time, width] = &shape[..] else {
        return call.fail(format!("the queries {} are not of rank 3", call.show(&shape)));
    };
    let time = call.fixed(time, "the number of steps")?;
    if time > MAX_STEPS {
        return call.fail(format!("{time} steps are too many to unroll, at most {MAX_STEPS} are"));
    }
    let (queries, heads) = (heads(call, "q_num_heads")?, heads(call, "kv_num_heads")?);
    if queries % heads != 0 {
        return call.refuse("kv_num_heads", format!("{heads} does not divide {queries}"));
    }
    let Some(key) = width.exact_div(&Dim::Fixed(queries)) else {
        return call.refuse("q_num_heads", "does not divide the last axis");
    };
    let (heads, group) = (Dim::Fixed(heads), Dim::Fixed(queries / heads));
    Ok(Extents { batch: batch.clone(), time, heads, group, key })
}

/// Step `t` of `[batch, time, ..]` as `shape`.
fn step(call: &mut Call, x: ValueId, t: i64, shape: Vec<Dim>) -> Imported<ValueId> {
    let x = call.slice(x, 1, Dim::Fixed(t), Dim::Fixed(1))?;
    call.reshape(x, shape)
}

pub(super) fn linear_attention(call: &mut Call) -> Imported {
    let (query, key, value) = (call.input(0)?, call.input(1)?, call.input(2)?);
    // It says how to compute, not what.
    call.attributes.ignore("chunk_size");
    if call.int_or("state_window", 0)? != 0 {
        return call.refuse("state_window", "keeps several states, which is not supported");
    }
    let Rule { gated, delta } = rule(call)?;
    let Extents { batch, time, heads, group, key: size } = extents(call, query)?;
    let width = call.shape(value).last().cloned().unwrap_or(Dim::Fixed(0));
    let Some(depth) = width.exact_div(&heads) else {
        return call.refuse("kv_num_heads", "does not divide the last axis of the values");
    };
    let dtype = call.dtype_of(query);
    let shape = vec![batch.clone(), heads.clone(), size.clone(), depth.clone()];
    let mut state = match call.optional(3) {
        Some(state) => state,
        None => {
            let zero = call.scalar(dtype, 0.0);
            call.one(Op::Fill { shape: shape.clone() }, &[zero])?
        }
    };
    if call.shape(state) != shape {
        let (is, expected) = (call.show(&call.shape(state)), call.show(&shape));
        return call.fail(format!("the state {is} is not {expected}"));
    }
    let inner = call.dtype_of(state);
    let mut operands = vec![query, key, value];
    let needed = [(gated, 4, "decay"), (delta, 5, "beta")];
    for (is_needed, i, name) in needed {
        if is_needed && call.optional(i).is_none() {
            return call.fail(format!("its update rule needs the input {name}"));
        }
        operands.extend(call.optional(i).filter(|_| is_needed));
    }
    for operand in &mut operands {
        *operand = call.cast(*operand, inner)?;
    }
    let scale = match call.float_or("scale", 0.0)? {
        0.0 => 1.0 / (call.fixed(&size, "the head size")? as f64).sqrt(),
        scale => f64::from(scale),
    };
    let query = call.with(Binary::Mul, operands[0], scale)?;
    let (key, value) = (operands[1], operands[2]);
    let decay = if gated { Some(call.unary(Unary::Exp, operands[3])?) } else { None };
    let beta = if delta { operands.last().copied() } else { None };
    let one = Dim::Fixed(1);
    let mut outputs = Vec::new();
    for t in 0..time {
        let row = |last: &Dim| vec![batch.clone(), heads.clone(), one.clone(), last.clone()];
        let column = |len: Dim| vec![batch.clone(), heads.clone(), len, one.clone()];
        if let Some(decay) = decay {
            let each = call.shape(decay).last() != Some(&heads);
            let decay =
                step(call, decay, t, column(if each { size.clone() } else { one.clone() }))?;
            state = call.binary(Binary::Mul, decay, state)?;
        }
        let mut add = step(call, value, t, row(&depth))?;
        if let Some(beta) = beta {
            let answer = step(call, key, t, row(&size))?;
            let answer = call.one(Op::MatMul, &[answer, state])?;
            let shared = call.shape(beta).last().is_some_and(|n| n.is(1));
            let by = if shared { one.clone() } else { heads.clone() };
            let beta = step(call, beta, t, vec![batch.clone(), by, one.clone(), one.clone()])?;
            add = call.binary(Binary::Sub, add, answer)?;
            add = call.binary(Binary::Mul, beta, add)?;
        }
        let at = step(call, key, t, column(size.clone()))?;
        let product = call.binary(Binary::Mul, at, add)?;
        state = call.binary(Binary::Add, state, product)?;
        let asked = vec![batch.clone(), heads.clone(), group.clone(), size.clone()];
        let asked = step(call, query, t, asked)?;
        let y = call.one(Op::MatMul, &[asked, state])?;
        let all = heads.clone() * group.clone() * depth.clone();
        outputs.push(call.reshape(y, vec![batch.clone(), one.clone(), all])?);
    }
    if outputs.is_empty() {
        return call.fail("there are no steps of time");
    }
    let y = call.concat(&outputs, 1)?;
    Ok(vec![call.cast(y, dtype)?, state])
}
