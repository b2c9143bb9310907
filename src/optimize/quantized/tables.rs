//! A function of eight bits is a table.
//!
//! Where a value has been rounded to a grid and nothing else comes in before it is rounded again,
//! the second integer depends on the first alone: the 256 answers are computed when a model is
//! loaded, exactly as a run would compute them. It is done where a function costs more than looking
//! up, that is, where it is no clamp.

use crate::graph::ops::{Activation, Chain, Given, Grid8, QuantizedLinear, Stage};
use crate::graph::{Dim, Fact, Graph, Node, Op, Tensor};

use super::super::fold::evaluate;

/// Rewrites a graph.
pub(super) fn look_up(graph: &mut Graph) {
    let nodes = std::mem::take(&mut graph.nodes);
    graph.nodes = rewrite(graph, nodes);
}

fn rewrite(graph: &mut Graph, nodes: Vec<Node>) -> Vec<Node> {
    let mut written = Vec::with_capacity(nodes.len());
    for mut node in nodes {
        for block in node.op.blocks_mut() {
            block.nodes = rewrite(graph, std::mem::take(&mut block.nodes));
        }
        let table = end(&node.op).and_then(|end| Some((tabulate(&end)?, end)));
        let Some((table, End { keep, grid, .. })) = table else {
            written.push(node);
            continue;
        };
        let Some(y) = node.outputs[0] else { continue };
        let table = Some(graph.add_constant("table", table));
        let name = node.name.clone();
        let q = match keep {
            // All of it is the table.
            None => node.inputs[0],
            Some(keep) => {
                let shape = graph.value(y).shape.clone();
                let q = graph.add_value(&*name, &Fact { dtype: grid.dtype(), shape });
                if let Op::QuantizedLinear(QuantizedLinear { stages, given, .. })
                | Op::Chain(Chain { stages, given, .. }) = &mut node.op
                {
                    stages.truncate(keep);
                    *given = Given::Quantized(grid);
                }
                node.outputs[0] = Some(q);
                written.push(node);
                Some(q)
            }
        };
        let (inputs, outputs) = (vec![q, table], vec![Some(y)]);
        written.push(Node { name, op: Op::MapBytes, inputs, outputs });
    }
    written
}

/// The end of a node that is a function of eight bits.
struct End {
    /// How many stages are before it; `None` where there are none and the node begins with bits.
    keep: Option<usize>,
    /// What the bits stand for.
    grid: Grid8,
    stages: Vec<Stage>,
    to: Grid8,
}

fn end(op: &Op) -> Option<End> {
    let (from, stages, given) = match op {
        Op::QuantizedLinear(op) => (None, &op.stages, op.given),
        Op::Chain(op) => (op.from, &op.stages, op.given),
        _ => return None,
    };
    let Given::Quantized(to) = given else { return None };
    // Behind the last operand.
    let alone = stages.iter().rposition(Stage::reads).map_or(0, |last| last + 1);
    let rounded = stages[alone..].iter().enumerate().find_map(|(i, stage)| match stage {
        Stage::Round(grid) => Some((alone + i, *grid)),
        _ => None,
    });
    let (keep, grid, first) = match (from, rounded) {
        (Some(grid), _) if alone == 0 => (None, grid, 0),
        (_, Some((at, grid))) => (Some(at), grid, at + 1),
        _ => return None,
    };
    let stages = stages[first..].to_vec();
    stages.iter().any(is_costly).then_some(End { keep, grid, stages, to })
}

/// Whether a stage takes longer than looking a byte up.
fn is_costly(stage: &Stage) -> bool {
    use Activation as A;
    match stage {
        Stage::Activate(A::None | A::Relu | A::LeakyRelu { .. } | A::Clip { .. }) => false,
        Stage::Activate(_) => true,
        _ => false,
    }
}

/// What each of the 256 bytes becomes.
fn tabulate(End { grid, stages, to, .. }: &End) -> Option<Tensor> {
    let bytes: Vec<u8> = (0..=255).collect();
    let all = Tensor::from_bytes(grid.dtype(), &[bytes.len()], &bytes);
    let given = Given::Quantized(*to);
    let op = Op::Chain(Chain { from: Some(*grid), stages: stages.clone(), given });
    let fact = Fact { dtype: to.dtype(), shape: vec![Dim::Fixed(256)] };
    evaluate(&op, &[Some(all)], &[fact])?.pop()
}
