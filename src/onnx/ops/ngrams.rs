//! Counts of n-grams in sequences of integers.

use crate::graph::dim::product;
use crate::graph::ops::{Binary, Compare, ReduceKind, SliceAxis, Unary};
use crate::graph::{Dim, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};

/// N-grams of one length.
struct Grams<'m> {
    length: usize,
    /// One behind the other.
    items: &'m [i64],
}

impl Grams<'_> {
    fn count(&self) -> usize {
        self.items.len() / self.length
    }
}

/// The pool in its parts by length.
fn pool<'m>(call: &Call<'_, 'm, '_>) -> Imported<Vec<Grams<'m>>> {
    if call.strings("pool_strings")?.is_some_and(|pool| !pool.is_empty()) {
        return call.refuse("pool_strings", "holds texts, which are not supported; use integers");
    }
    let (pool, starts) = (call.ints("pool_int64s")?, call.ints("ngram_counts")?);
    let pool = call.required("pool_int64s", pool)?;
    let starts = call.required("ngram_counts", starts)?;
    let mut grams = Vec::with_capacity(starts.len());
    for (i, start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(pool.len() as i64);
        let range = usize::try_from(*start).ok().zip(usize::try_from(end).ok());
        let length = i + 1;
        let items = range.and_then(|(a, b)| pool.get(a..b));
        match items.filter(|items| items.len().is_multiple_of(length)) {
            Some(items) => grams.push(Grams { length, items }),
            None => {
                let problem = format!("does not cut the pool into {length}-grams at {start}");
                return call.refuse("ngram_counts", problem);
            }
        }
    }
    Ok(grams)
}

/// How often each n-gram stands in each row, its items `step` apart: `[rows, n-grams]` of f32.
fn count(call: &mut Call, x: ValueId, grams: &Grams<'_>, step: i64) -> Imported<Option<ValueId>> {
    let shape = call.shape(x);
    let [rows, len] = &shape[..] else { return call.fail("the data is no matrix") };
    let reach = (grams.length as i64 - 1) * step;
    let places = call.fixed(len, "the length of the sequence")? - reach;
    if places <= 0 {
        return Ok(None);
    }
    let mut found = None;
    for item in 0..grams.length {
        let start = Dim::Fixed(item as i64 * step);
        let cut = SliceAxis { axis: 1, start, step: 1, extent: Dim::Fixed(places) };
        let window = call.one(Op::Slice { axes: vec![cut] }, &[x])?;
        let window = call.reshape(window, vec![rows.clone(), Dim::Fixed(places), Dim::Fixed(1)])?;
        let wanted: Vec<i64> = grams.items.chunks(grams.length).map(|gram| gram[item]).collect();
        let wanted = call.constant(Tensor::vector(&wanted));
        let same = call.compare(Compare::Equal, window, wanted)?;
        found = Some(match found {
            None => same,
            Some(so_far) => call.one(Op::Logic(crate::graph::ops::Logic::And), &[so_far, same])?,
        });
    }
    let Some(found) = found else { return Ok(None) };
    let found = call.cast(found, DType::F32)?;
    let counts = call.reduce(ReduceKind::Sum, found, vec![1])?;
    call.reshape(counts, vec![rows.clone(), Dim::Fixed(grams.count() as i64)]).map(Some)
}

pub(super) fn tf_idf(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let shape = call.shape(x);
    let parts = pool(call)?;
    let number = |name| -> Imported<i64> {
        let value = call.int(name)?;
        match call.required(name, value)? {
            n if (0..=1 << 20).contains(&n) => Ok(n),
            n => call.refuse(name, format!("is {n}")),
        }
    };
    let (shortest, longest) = (number("min_gram_length")?, number("max_gram_length")?);
    let skips = number("max_skip_count")?;
    let places = call.ints("ngram_indexes")?;
    let places = call.required("ngram_indexes", places)?;
    let weights = call.floats("weights")?;
    let total: usize = parts.iter().map(Grams::count).sum();
    if places.len() != total || weights.is_some_and(|w| w.len() != total) {
        return call.refuse("ngram_indexes", format!("or weights are not {total}, one an n-gram"));
    }
    let mode = match call.string_or("mode", "")? {
        mode @ ("TF" | "IDF" | "TFIDF") => mode,
        other => return call.refuse("mode", format!("is {other:?}, not TF, IDF or TFIDF")),
    };
    let rows = match &shape[..] {
        [_] => Dim::Fixed(1),
        [rows, _] => rows.clone(),
        other => return call.fail(format!("{} is not of rank 1 or 2", call.show(other))),
    };
    let width = places.iter().max().map_or(0, |n| n + 1);
    if places.iter().any(|n| *n < 0) || width > 1 << 24 {
        return call.refuse("ngram_indexes", "holds a number below zero, or a huge one");
    }
    let mut distinct = places.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < places.len() {
        return call
            .refuse("ngram_indexes", "has two n-grams in one place, which is not supported");
    }
    let x = call.cast(x, DType::I64)?;
    let len = shape.last().cloned().unwrap_or(Dim::Fixed(0));
    let x = call.reshape(x, vec![rows.clone(), len])?;
    let mut all = Vec::new();
    for part in &parts {
        let mut sum = None;
        if (shortest..=longest).contains(&(part.length as i64)) && part.count() > 0 {
            // A single item skips nothing.
            let steps = if part.length == 1 { 1 } else { skips + 1 };
            for step in 1..=steps {
                let Some(next) = count(call, x, part, step)? else { break };
                sum = Some(match sum {
                    None => next,
                    Some(sum) => call.binary(Binary::Add, sum, next)?,
                });
            }
        }
        let zeros = vec![rows.clone(), Dim::Fixed(part.count() as i64)];
        all.push(match sum {
            Some(sum) => sum,
            None => {
                let zero = call.scalar(DType::F32, 0.0);
                call.one(Op::Fill { shape: zeros }, &[zero])?
            }
        });
    }
    let mut counts = call.concat(&all, 1)?;
    if mode == "IDF" {
        counts = call.unary(Unary::Clip { min: 0.0, max: 1.0 }, counts)?;
    }
    if let (Some(weights), "IDF" | "TFIDF") = (weights, mode) {
        let weights = call.constant(Tensor::vector(weights));
        counts = call.binary(Binary::Mul, counts, weights)?;
    }
    let y = placed(call, counts, places, width)?;
    let y_shape = if shape.len() == 1 { vec![product(&call.shape(y))] } else { call.shape(y) };
    Ok(vec![call.reshape(y, y_shape)?])
}

/// Column `i` at column `places[i]` of the result.
fn placed(call: &mut Call, x: ValueId, places: &[i64], width: i64) -> Imported<ValueId> {
    let rows = call.shape(x).first().cloned().unwrap_or(Dim::Fixed(1));
    // The column after the last one is zero: it stands where no n-gram does.
    let zero = call.scalar(DType::F32, 0.0);
    let zero = call.one(Op::Fill { shape: vec![rows, Dim::Fixed(1)] }, &[zero])?;
    let x = call.concat(&[x, zero], 1)?;
    let mut sources = vec![places.len() as i64; width as usize];
    for (i, place) in places.iter().enumerate() {
        if let Some(slot) = usize::try_from(*place).ok().and_then(|p| sources.get_mut(p)) {
            *slot = i as i64;
        }
    }
    let sources = call.constant(Tensor::vector(&sources));
    call.one(Op::Gather { axis: 1 }, &[x, sources])
}
