//! Operators of classical models, as converters write them.

pub(super) mod labels;
pub(super) mod linear;
mod nodes;
mod scores;
pub(super) mod svm;
pub(super) mod tree;

use crate::graph::ops::{Binary, Compare, ReduceKind, Unary};
use crate::graph::{Dim, Op, Tensor, ValueId};
use crate::tensor::DType;

use super::super::call::{Call, Imported};
use super::normalize::divided;

/// The data as `[rows, features]` of f32.
fn features(call: &mut Call) -> Imported<(ValueId, Dim)> {
    let x = call.input(0)?;
    let x = call.cast(x, DType::F32)?;
    match &call.shape(x)[..] {
        [_, n] => Ok((x, n.clone())),
        [n] => Ok((call.reshape(x, vec![Dim::Fixed(1), n.clone()])?, n.clone())),
        other => call.fail(format!("the data {} is no table", call.show(other))),
    }
}

/// An attribute with one number for all features or one for each.
fn per_feature(call: &mut Call, name: &str, n: &Dim) -> Imported<Option<ValueId>> {
    let Some(values) = call.floats(name)? else { return Ok(None) };
    if values.len() != 1 && !n.is(values.len() as i64) {
        let n = n.display(call.variables()).to_string();
        return call.refuse(name, format!("has {} numbers for {n} features", values.len()));
    }
    Ok(Some(call.constant(Tensor::vector(values))))
}

pub(super) fn scaler(call: &mut Call) -> Imported {
    let (mut x, n) = features(call)?;
    if let Some(offset) = per_feature(call, "offset", &n)? {
        x = call.binary(Binary::Sub, x, offset)?;
    }
    if let Some(scale) = per_feature(call, "scale", &n)? {
        x = call.binary(Binary::Mul, x, scale)?;
    }
    Ok(vec![x])
}

/// Rows divided by their norm.
pub(super) fn normalizer(call: &mut Call) -> Imported {
    let (x, _) = features(call)?;
    let kind = match call.string_or("norm", "MAX")? {
        "L1" => ReduceKind::L1,
        "L2" => ReduceKind::L2,
        "MAX" => ReduceKind::Max,
        other => return call.refuse("norm", format!("is {other:?}, which is unknown")),
    };
    let norm = call.reduce(kind, x, vec![1])?;
    Ok(vec![divided(call, x, norm)?])
}

/// Missing values replaced.
pub(super) fn imputer(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let dtype = call.dtype_of(x);
    let n = call.shape(x).last().cloned().unwrap_or(Dim::Fixed(1));
    let (is_missing, filled) = if dtype == DType::F32 {
        let missing = call.float_or("replaced_value_float", 0.0)?;
        let is_missing = if missing.is_nan() {
            call.unary(Unary::IsNan, x)?
        } else {
            let missing = call.scalar(dtype, f64::from(missing));
            call.compare(Compare::Equal, x, missing)?
        };
        call.attributes.ignore("replaced_value_int64");
        (is_missing, per_feature(call, "imputed_value_floats", &n)?)
    } else if dtype == DType::I64 {
        let missing = call.int_or("replaced_value_int64", 0)?;
        let missing = call.constant(Tensor::scalar(missing));
        let values = call.ints("imputed_value_int64s")?;
        if values.is_some_and(|v| v.len() != 1 && !n.is(v.len() as i64)) {
            return call.refuse("imputed_value_int64s", "has not one number for each feature");
        }
        call.attributes.ignore("replaced_value_float");
        let filled = values.map(|v| call.constant(Tensor::vector(v)));
        (call.compare(Compare::Equal, x, missing)?, filled)
    } else {
        return call.fail(format!("the data is {dtype}, not f32 or i64"));
    };
    let Some(filled) = filled else { return call.fail("the values to fill in are missing") };
    Ok(vec![call.one(Op::Where, &[is_missing, filled, x])?])
}

/// Columns picked by number.
pub(super) fn array_feature_extractor(call: &mut Call) -> Imported {
    let (x, columns) = (call.input(0)?, call.input(1)?);
    let x = match &call.shape(x)[..] {
        [n] => call.reshape(x, vec![Dim::Fixed(1), n.clone()])?,
        _ => x,
    };
    let axis = match call.shape(x).len() {
        0 => return call.fail("the data is a scalar"),
        rank => rank - 1,
    };
    let count = crate::graph::dim::product(&call.shape(columns));
    let columns = call.reshape(columns, vec![count])?;
    Ok(vec![call.one(Op::Gather { axis }, &[x, columns])?])
}

pub(super) fn binarizer(call: &mut Call) -> Imported {
    let x = call.input(0)?;
    let threshold = call.float_or("threshold", 0.0)?;
    let dtype = call.dtype_of(x);
    if !dtype.is_float() && threshold.fract() != 0.0 {
        return call.refuse("threshold", format!("is {threshold}, the data {dtype}"));
    }
    let threshold = call.scalar(dtype, f64::from(threshold));
    let above = call.compare(Compare::Greater, x, threshold)?;
    Ok(vec![call.cast(above, dtype)?])
}

/// Distances between the rows of two tables (com.microsoft).
pub(super) fn distances(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let squared = match call.string_or("metric", "sqeuclidean")? {
        "sqeuclidean" => true,
        "euclidean" => false,
        other => return call.refuse("metric", format!("is {other:?}, which is not supported")),
    };
    Ok(vec![call.one(Op::Distances { squared }, &[a, b])?])
}
