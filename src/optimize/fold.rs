//! Evaluates operators whose operands are all constant.

use crate::compile::compile;
use crate::graph::{Dim, Fact, Graph, Op, Port, Tensor};
use crate::kernels::Level;
use crate::runtime::Session;

/// The results of `op` on constants, computed by the scalar kernels, so that every host gets the
/// same bytes. `None` where there is no kernel for it or a result has no fixed shape.
pub fn evaluate(op: &Op, inputs: &[Option<Tensor>], results: &[Fact]) -> Option<Vec<Tensor>> {
    let mut graph = Graph::default();
    let operands: Vec<_> = inputs
        .iter()
        .map(|tensor| tensor.clone().map(|t| graph.add_constant("constant", t)))
        .collect();
    let ids = graph.add_node("fold", op.clone(), &operands, &[]).ok()?;
    graph.outputs = ids.iter().map(|v| Port { name: String::new(), value: *v }).collect();
    let program = compile(&graph).ok()?;
    let mut session = Session::new_at(&program, Level::scalar()).ok()?;
    session.run().ok()?;
    results
        .iter()
        .enumerate()
        .map(|(i, fact)| {
            let extent = |d: &Dim| d.fixed().and_then(|n| usize::try_from(n).ok());
            let shape: Vec<usize> = fact.shape.iter().map(extent).collect::<Option<_>>()?;
            Some(Tensor::from_bytes(fact.dtype, &shape, session.output_bytes(i).ok()?))
        })
        .collect()
}
