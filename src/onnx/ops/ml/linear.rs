//! Linear models.

use crate::graph::ops::Gemm;
use crate::graph::{Op, Tensor, ValueId};

use super::super::super::call::{Call, Imported};
use super::features;
use super::scores::{self, First, Labels};

/// `x · coefficients' + intercepts` with `n` columns.
fn product(call: &mut Call, n: usize, intercepts: Option<&[f32]>) -> Imported<ValueId> {
    let (x, features) = features(call)?;
    let coefficients = call.floats("coefficients")?;
    let coefficients = call.required("coefficients", coefficients)?;
    let features = call.size(&features, "the number of features")?;
    if n == 0 || n.checked_mul(features) != Some(coefficients.len()) {
        let have = coefficients.len();
        let problem = format!("has {have} numbers for {n} scores of {features} features");
        return call.refuse("coefficients", problem);
    }
    let weights = call.constant(Tensor::new(&[n, features], coefficients));
    let bias = match intercepts {
        None => None,
        Some(b) if b.len() == n => Some(call.constant(Tensor::vector(b))),
        Some(b) => return call.refuse("intercepts", format!("has {} numbers for {n}", b.len())),
    };
    let op = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true });
    call.first(op, &[Some(x), Some(weights), bias])
}

pub(in super::super) fn regressor(call: &mut Call) -> Imported {
    let targets = usize::try_from(call.int_or("targets", 1)?).unwrap_or(0);
    let how = scores::transform(call)?;
    let intercepts = call.floats("intercepts")?.filter(|b| !b.is_empty());
    let scores = product(call, targets, intercepts)?;
    Ok(vec![scores::of_targets(call, scores, targets, how)?])
}

pub(in super::super) fn classifier(call: &mut Call) -> Imported {
    let labels = Labels::read(call, "classlabels_ints", "classlabels_strings")?;
    let how = scores::transform(call)?;
    // How the model was fitted; the scores are computed in the same way.
    call.attributes.ignore("multi_class");
    let intercepts = call.floats("intercepts")?;
    let intercepts = call.required("intercepts", intercepts)?;
    let scores = product(call, intercepts.len(), Some(intercepts))?;
    if intercepts.len() == labels.len() && labels.len() > 1 {
        let top = scores::top(call, scores)?;
        let label = labels.pick(call, top)?;
        return Ok(vec![label, scores::transformed(call, scores, how)?]);
    }
    if (intercepts.len(), labels.len()) != (1, 2) {
        let problem = format!("has {} numbers for {} classes", intercepts.len(), labels.len());
        return call.refuse("intercepts", problem);
    }
    let second = scores::above(call, scores, 0.0)?;
    let label = labels.pick(call, second)?;
    Ok(vec![label, scores::both(call, scores, First::Complement, how)?])
}
