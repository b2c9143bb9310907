//! Matrix products.

use crate::graph::Op;
use crate::graph::ops::Gemm;
use crate::tensor::DType;

use super::super::call::{Call, Imported};

pub(super) fn matmul(call: &mut Call) -> Imported {
    let (a, b) = (call.input(0)?, call.input(1)?);
    Ok(vec![call.one(Op::MatMul, &[a, b])?])
}

pub(super) fn gemm(call: &mut Call) -> Imported {
    let (a, b, c) = (call.input(0)?, call.input(1)?, call.optional(2));
    let truth = |name: &str| Ok(call.int_or(name, 0)? != 0);
    let op = Gemm {
        alpha: call.float_or("alpha", 1.0)?,
        beta: call.float_or("beta", 1.0)?,
        trans_a: truth("transA")?,
        trans_b: truth("transB")?,
    };
    if c.is_some_and(|c| call.dtype_of(c) != call.dtype_of(a)) {
        return call.fail("the addend is not of the operands' type");
    }
    if call.dtype_of(a) == DType::Bool {
        return call.fail("there is no product of bool");
    }
    Ok(vec![call.first(Op::Gemm(op), &[Some(a), Some(b), c])?])
}
