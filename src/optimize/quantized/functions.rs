//! Any function of eight bits is a table.
//!
//! Between one quantized value and the next there may be several operators, and the first may be
//! read by more than one of them, as `x * sigmoid(x)` is written. Where nothing but numbers comes in
//! on the way, the second integer depends on the first alone. What one product takes along is left
//! to it, and looked up by [`tables`](super::tables) then.

use std::collections::{BTreeSet, HashMap};

use crate::graph::ops::{Binary, Quantization};
use crate::graph::{Dim, Fact, Op, Tensor, ValueId};

use super::super::fold::evaluate;
use super::super::linear::follow::activation;
use super::super::pattern::Scope;
use super::Quantized;

/// More operators than this are no function.
const MOST_NODES: usize = 24;
/// What a byte may be.
const BYTES: usize = 256;

/// Makes node `i` a table if it quantizes a function of eight bits.
pub(super) fn tabulate(scope: &mut Scope<'_>, i: usize) -> Option<()> {
    if !matches!(scope.node(i).op, Op::QuantizeLinear(_)) {
        return None;
    }
    let mut function = Function::default();
    function.add(scope, i)?;
    // The value that was made last may be a function of the others.
    while function.sources.len() > 1 {
        let (q, maker) = function
            .sources
            .iter()
            .filter_map(|q| Some((*q, scope.maker(*q)?)))
            .max_by_key(|(_, maker)| *maker)?;
        if !matches!(scope.node(maker).op, Op::QuantizeLinear(_)) {
            return None;
        }
        function.sources.remove(&q);
        function.add(scope, maker)?;
    }
    let q = function.sources.first().copied()?;
    if !function.is_alone(scope, i, q) || !function.is_more_than_a_chain(scope) {
        return None;
    }
    let table = function.table(scope, i, q)?;
    let table = scope.graph.add_constant("table", table);
    scope.rewrite(i, Op::MapBytes, vec![Some(q), Some(table)]);
    Some(())
}

/// Operators between quantized values.
#[derive(Default)]
struct Function {
    nodes: BTreeSet<usize>,
    /// Integers that they begin with.
    sources: BTreeSet<ValueId>,
}

impl Function {
    /// Adds a node that quantizes, and what is before it up to what is dequantized.
    fn add(&mut self, scope: &Scope<'_>, i: usize) -> Option<()> {
        let mut pending = vec![i];
        while let Some(i) = pending.pop() {
            if !self.nodes.insert(i) {
                continue;
            }
            let node = scope.node(i);
            if self.nodes.len() > MOST_NODES {
                return None;
            }
            if matches!(node.op, Op::DequantizeLinear(_)) {
                let quantized = Quantized::of(scope.graph, node)?;
                quantized.grid(scope.graph)?;
                // A constant has no byte of a run.
                if scope.constant(quantized.q).is_some() {
                    return None;
                }
                self.sources.insert(quantized.q);
                continue;
            }
            let operands = match node.op {
                Op::Unary(_) | Op::Binary(_) => &node.inputs[..],
                Op::QuantizeLinear(_) => {
                    Quantized::of(scope.graph, node)?.grid(scope.graph)?;
                    &node.inputs[..1]
                }
                _ => return None,
            };
            let before = pending.len();
            for v in operands {
                let v = (*v)?;
                match scope.constant(v) {
                    Some(tensor) if tensor.len() == 1 && scope.is_f32(v) => {}
                    Some(_) => return None,
                    None => pending.push(scope.maker(v)?),
                }
            }
            // What is computed from constants alone is no function of a byte.
            if pending.len() == before {
                return None;
            }
        }
        Some(())
    }

    /// Whether nobody else reads what is computed on the way, and no axis comes in.
    fn is_alone(&self, scope: &Scope<'_>, last: usize, q: ValueId) -> bool {
        let reads = |v: ValueId| {
            let inputs = self.nodes.iter().flat_map(|i| &scope.node(*i).inputs);
            inputs.filter(|read| **read == Some(v)).count()
        };
        self.nodes.iter().all(|i| {
            let Some(y) = scope.result(*i) else { return false };
            // What is dequantized may be read elsewhere: so may the integers.
            let shared = *i == last || matches!(scope.node(*i).op, Op::DequantizeLinear(_));
            scope.same_shape(y, q) && (shared || scope.uses(y) == reads(y))
        })
    }

    /// Whether there is an operator that no product or chain takes along.
    fn is_more_than_a_chain(&self, scope: &Scope<'_>) -> bool {
        self.nodes.iter().any(|i| {
            let operands = (scope.operand(*i, 0), scope.operand(*i, 1));
            match (&scope.node(*i).op, operands) {
                (Op::Unary(op), _) => activation(*op).is_none(),
                (Op::Binary(Binary::Add | Binary::Mul), (Some(a), Some(b))) => {
                    scope.constant(a).is_none() && scope.constant(b).is_none()
                }
                (Op::Binary(_), _) => true,
                _ => false,
            }
        })
    }

    /// What each of the 256 bytes becomes, exactly as a run would compute it.
    fn table(&self, scope: &Scope<'_>, last: usize, q: ValueId) -> Option<Tensor> {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        let dtype = scope.graph.value(q).dtype;
        let mut values = HashMap::from([(q, Tensor::from_bytes(dtype, &[BYTES], &bytes))]);
        for i in &self.nodes {
            let node = scope.node(*i);
            let operand = |v: &Option<ValueId>| {
                let v = (*v)?;
                let scalar = |c: &Tensor| {
                    (c.len() == 1).then(|| Tensor::from_bytes(c.dtype(), &[], c.bytes()))
                };
                values.get(&v).cloned().or_else(|| scalar(scope.constant(v)?))
            };
            let operands: Vec<Option<Tensor>> = node.inputs.iter().map(operand).collect();
            let alike = |q: &Quantization| Quantization { axis: 0, ..*q };
            let op = match &node.op {
                Op::QuantizeLinear(q) => Op::QuantizeLinear(alike(q)),
                Op::DequantizeLinear(q) => Op::DequantizeLinear(alike(q)),
                op => op.clone(),
            };
            let y = scope.result(*i)?;
            let fact =
                Fact { dtype: scope.graph.value(y).dtype, shape: vec![Dim::Fixed(BYTES as i64)] };
            values.insert(y, evaluate(&op, &operands, &[fact])?.pop()?);
        }
        values.remove(&scope.result(last)?)
    }
}
