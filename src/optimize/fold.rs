//! Evaluates operators whose operands are all constant.

use crate::compile::compile_within;
use crate::graph::{Dim, Fact, Graph, Op, Port, Tensor};
use crate::kernels::Level;
use crate::runtime::Session;

/// What computing a constant may take for each byte of operands and results, and in any case;
/// beyond that it is left to the run.
const SCRATCH_PER_BYTE: u64 = 32;
const FREE_BYTES: u64 = 16 << 20;

/// The results of `op` on constants, computed by the scalar kernels, so that every host gets the
/// same bytes. `None` where there is no kernel for it or a result has no fixed shape.
pub fn evaluate(op: &Op, inputs: &[Option<Tensor>], results: &[Fact]) -> Option<Vec<Tensor>> {
    // Where a loop cuts a constant, only a run knows what it gets.
    if op.dims().into_iter().flatten().any(|dim| dim.fixed().is_none()) {
        return None;
    }
    let mut graph = Graph::default();
    let operands: Vec<_> = inputs
        .iter()
        .map(|tensor| tensor.clone().map(|t| graph.add_constant("constant", t)))
        .collect();
    let ids = graph.add_node("fold", op.clone(), &operands, &[]).ok()?;
    graph.outputs = ids.iter().map(|v| Port { name: String::new(), value: *v }).collect();
    let taken: u64 = inputs.iter().flatten().map(|t| t.bytes().len() as u64).sum();
    let given = results.iter().map(|fact| {
        let len =
            fact.shape.iter().try_fold(1u64, |n, d| n.checked_mul(u64::try_from(d.fixed()?).ok()?));
        len.unwrap_or(u64::MAX).saturating_mul(fact.dtype.bytes() as u64)
    });
    let both = given.fold(taken, u64::saturating_add);
    let limit = both.saturating_mul(SCRATCH_PER_BYTE).saturating_add(FREE_BYTES);
    let program = compile_within(&graph, limit).ok()?;
    let mut session = Session::new_at(&program, Level::scalar()).ok()?;
    session.run().ok()?;
    results
        .iter()
        .enumerate()
        .map(|(i, fact)| {
            let extent = |d: &Dim| d.fixed().and_then(|n| usize::try_from(n).ok());
            let shape: Vec<usize> = fact.shape.iter().map(extent).collect::<Option<_>>()?;
            let bytes = session.output_bytes(i).ok()?;
            // Of operands of other shapes than the caller thinks, the result has another one.
            let len = shape.iter().product::<usize>() * fact.dtype.bytes();
            (bytes.len() == len).then(|| Tensor::from_bytes(fact.dtype, &shape, bytes))
        })
        .collect()
}
