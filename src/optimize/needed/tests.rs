//! Graphs with and without the pass: the same answers, and less computed.

mod cases;
mod random;

use crate::compile::compile;
use crate::compile::harness::{assert_same, noise};
use crate::graph::{Dim, Fact, Graph, Op, Port, Tensor, ValueId};
use crate::kernels::Level;
use crate::runtime::Session;
use crate::tensor::DType;

use super::narrow;

fn dims(shape: &[usize]) -> Vec<Dim> {
    shape.iter().map(|n| Dim::Fixed(*n as i64)).collect()
}

fn input(g: &mut Graph, shape: Vec<Dim>) -> ValueId {
    let name = format!("x{}", g.inputs.len());
    let value = g.add_value(&name, &Fact { dtype: DType::F32, shape });
    g.inputs.push(Port { name, value });
    value
}

fn output(g: &mut Graph, value: ValueId) {
    g.outputs.push(Port { name: format!("y{}", g.outputs.len()), value });
}

fn node(g: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    g.add_node("n", op, &inputs, &[]).expect("suits")[0]
}

/// The answers of a graph, its inputs being noise, at these extents of its variables.
fn answers(g: &Graph, extents: &[usize]) -> Vec<Tensor> {
    let program = compile(g).unwrap_or_else(|e| panic!("{e}\n{g}"));
    let mut session = Session::new_at(&program, Level::scalar()).expect("runs");
    for (i, port) in g.inputs.iter().enumerate() {
        let extent = |dim: &Dim| match dim.fixed() {
            Some(n) => n as usize,
            None => {
                let mut var = 0;
                dim.variables(&mut |id| var = id.0 as usize);
                extents[var]
            }
        };
        let shape: Vec<usize> = g.value(port.value).shape.iter().map(extent).collect();
        session.set_input_shape(i, &shape).expect("suits");
        let data = noise(&shape, i as u32 + 1);
        session.input_bytes_mut(i).expect("there").copy_from_slice(data.bytes());
    }
    session.run().expect("runs");
    program
        .outputs()
        .enumerate()
        .map(|(i, port)| {
            let shape = session.output_shape(i).expect("there");
            Tensor::from_bytes(port.dtype, &shape, session.output_bytes(i).expect("there"))
        })
        .collect()
}

/// Checks that the pass keeps the answers; the graph it makes, and in how many nodes less is
/// computed.
fn check(g: &Graph, extents: &[&[usize]]) -> (Graph, usize) {
    let mut narrowed = g.clone();
    super::super::prune::prune(&mut narrowed);
    let count = narrow(&mut narrowed);
    super::super::prune::prune(&mut narrowed);
    for extents in extents {
        let (got, want) = (answers(&narrowed, extents), answers(g, extents));
        let same = std::panic::catch_unwind(|| assert_same(&got, &want));
        assert!(same.is_ok(), "at {extents:?}\n{g}\nbecame\n{narrowed}");
    }
    (narrowed, count)
}

/// The shape of the first result of the first node that is a `name`.
fn shape_of(g: &Graph, name: &str) -> Vec<i64> {
    let node = g.nodes.iter().find(|n| n.op.name() == name);
    let node = node.unwrap_or_else(|| panic!("no {name} in\n{g}"));
    let y = node.outputs.iter().flatten().next().expect("one");
    g.value(*y).shape.iter().map(|d| d.fixed().unwrap_or(-1)).collect()
}
