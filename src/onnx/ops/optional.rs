//! Optional values that surely are there: each is the value itself.

use crate::graph::Tensor;
use crate::tensor::DType;

use super::super::call::{Call, Imported};

/// Optional, and OptionalGetElement.
pub(super) fn present(call: &mut Call) -> Imported {
    call.attributes.ignore("type");
    match call.optional(0) {
        Some(x) => Ok(vec![x]),
        None => call.fail("a value that is not there is not supported; remove what reads it"),
    }
}

pub(super) fn has_element(call: &mut Call) -> Imported {
    let there = u8::from(call.optional(0).is_some());
    Ok(vec![call.constant(Tensor::from_bytes(DType::Bool, &[], &[there]))])
}
