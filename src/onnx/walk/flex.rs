//! FlexAttention: attention whose scores and weights the model changes by graphs of its own.

use crate::graph::ops::Binary;
use crate::graph::{Op, ValueId};
use crate::tensor::DType;

use super::super::attributes::Attributes;
use super::super::call::Call;
use super::super::error::{ImportError, NodeRef};
use super::super::ops::attention::{four, grouped_product};
use super::super::ports::Scope;
use super::super::proto::{GraphProto, NodeProto};
use super::{Control, Frame, Walker};

pub(super) fn is_flex_attention(node: &NodeProto) -> bool {
    node.domain == "ai.onnx.preview" && node.op_type == "FlexAttention"
}

/// What the attributes say.
struct Parameters<'m> {
    scale: f64,
    /// The type of scores and weights.
    inner: DType,
    score_mod: Option<&'m GraphProto>,
    prob_mod: Option<&'m GraphProto>,
}

fn parameters<'m>(call: &Call<'_, 'm, '_>, q: ValueId) -> Result<Parameters<'m>, ImportError> {
    let size = four(call, q)?[3].clone();
    let scale = match call.float("scale")? {
        Some(scale) => f64::from(scale),
        None => 1.0 / (call.fixed(&size, "the head size")? as f64).sqrt(),
    };
    let usual = if call.dtype_of(q) == DType::F64 { DType::F64 } else { DType::F32 };
    let inner = call.dtype("softmax_precision")?.unwrap_or(usual);
    if !inner.is_float() {
        return call.refuse("softmax_precision", format!("is {inner}, not a float"));
    }
    let (score_mod, prob_mod) = (call.graph("score_mod")?, call.graph("prob_mod")?);
    if let Some(attribute) = call.attributes.unread() {
        return call.refuse(attribute, "is not known");
    }
    Ok(Parameters { scale, inner, score_mod, prob_mod })
}

impl<'m, 'f> Walker<'m, '_, 'f> {
    pub(super) fn flex_attention(
        &mut self,
        node: &'m NodeProto,
        name: &NodeRef,
        inputs: Vec<Option<ValueId>>,
        attributes: Attributes<'m>,
        frame: &Frame<'m, '_>,
    ) -> Result<Vec<ValueId>, ImportError> {
        let mut call = self.call(node, name, inputs.clone(), attributes, 1);
        let (q, k, v) = (call.input(0)?, call.input(1)?, call.input(2)?);
        let parameters = parameters(&call, q)?;
        let outer = call.dtype_of(q);
        let turned = call.transpose(k, vec![0, 1, 3, 2])?;
        let scores = grouped_product(&mut call, q, turned)?;
        let scores = call.with(Binary::Mul, scores, parameters.scale)?;
        let scores = call.cast(scores, parameters.inner)?;
        let of = Control { node, name, inputs: &inputs };
        let scores = self.modified(parameters.score_mod, scores, &of, frame)?;
        let mut call = self.call(node, name, inputs.clone(), Attributes::new(&[], &[]), 1);
        let weights = call.one(Op::Softmax { axis: 3 }, &[scores])?;
        let weights = self.modified(parameters.prob_mod, weights, &of, frame)?;
        let mut call = self.call(node, name, inputs, Attributes::new(&[], &[]), 1);
        let weights = call.cast(weights, outer)?;
        Ok(vec![grouped_product(&mut call, weights, v)?])
    }

    /// `x` as a graph of one input and one output makes it.
    fn modified(
        &mut self,
        body: Option<&'m GraphProto>,
        x: ValueId,
        of: &Control<'_, 'm>,
        frame: &Frame<'m, '_>,
    ) -> Result<ValueId, ImportError> {
        let Some(body) = body else { return Ok(x) };
        let ([input], [_]) = (&body.input[..], &body.output[..]) else {
            return of.fail("its graphs have one input and one output each");
        };
        let results = self.body(of, body, Scope::from([(input.name.clone(), x)]), frame)?;
        match results[..] {
            [y] if self.builder.fact(y) == self.builder.fact(x) => Ok(y),
            _ => of.fail("its graph changes the type or the shape"),
        }
    }
}
