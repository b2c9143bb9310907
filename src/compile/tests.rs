//! Whole graphs, compiled and run.

use crate::graph::dim::Dim;
use crate::graph::ops::{Binary, Unary};
use crate::graph::{Fact, Graph, Op, Port, State, Tensor, ValueId, VarId, Variable};
use crate::kernels::{Isa, Level};
use crate::runtime::{KERNELS, Program, RunError, Session};
use crate::tensor::DType;

use super::compile;

fn fixed(shape: &[i64]) -> Vec<Dim> {
    shape.iter().map(|n| Dim::Fixed(*n)).collect()
}

fn input(graph: &mut Graph, name: &str, shape: Vec<Dim>) -> ValueId {
    let value = graph.add_value(name, &Fact { dtype: DType::F32, shape });
    graph.inputs.push(Port { name: name.into(), value });
    value
}

fn output(graph: &mut Graph, name: &str, value: ValueId) {
    graph.outputs.push(Port { name: name.into(), value });
}

fn node(graph: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    graph.add_node("n", op, &inputs, &[]).expect("suits")[0]
}

fn run_all_levels(program: &Program<'_>, check: impl Fn(&mut Session<'_>)) {
    for isa in Isa::ALL {
        let level = Level::detect().at_most(isa);
        let mut session = Session::new_at(program, &KERNELS, level).expect("runs");
        check(&mut session);
    }
}

#[test]
fn views_cost_no_step_and_elementwise_runs_in_place() {
    let mut g = Graph::default();
    let x = input(&mut g, "x", fixed(&[2, 3]));
    let t = node(&mut g, Op::Transpose { perm: vec![1, 0] }, &[x]);
    let r = node(&mut g, Op::Unary(Unary::Neg), &[t]);
    let two = g.add_constant("two", Tensor::scalar(2.0f32));
    let s = node(&mut g, Op::Binary(Binary::Mul), &[r, two]);
    let y = node(&mut g, Op::Reshape { shape: fixed(&[6]) }, &[s]);
    output(&mut g, "y", y);
    let program = compile(&g).expect("compiles");
    assert_eq!(program.steps().len(), 2, "{:?}", program.steps().collect::<Vec<_>>());
    // The input and the result, each on a cache line.
    assert_eq!(program.memory().arena_bytes, 64 + 24);
    run_all_levels(&program, |session| {
        session.input_mut::<f32>(0).expect("f32").copy_from_slice(&[1., 2., 3., 4., 5., 6.]);
        session.run().expect("runs");
        assert_eq!(session.output::<f32>(0), Ok(&[-2., -8., -4., -10., -6., -12.][..]));
    });
}

#[test]
fn an_operand_read_twice_is_not_overwritten() {
    let mut g = Graph::default();
    let x = input(&mut g, "x", fixed(&[2, 2]));
    let a = node(&mut g, Op::Unary(Unary::Neg), &[x]);
    let t = node(&mut g, Op::Transpose { perm: vec![1, 0] }, &[a]);
    let y = node(&mut g, Op::Binary(Binary::Sub), &[a, t]);
    output(&mut g, "y", y);
    let program = compile(&g).expect("compiles");
    run_all_levels(&program, |session| {
        session.input_mut::<f32>(0).expect("f32").copy_from_slice(&[1., 2., 5., 4.]);
        session.run().expect("runs");
        assert_eq!(session.output::<f32>(0), Ok(&[0., 3., -3., 0.][..]));
    });
}

#[test]
fn a_cache_grows_with_each_run_until_it_is_full() {
    let mut g = Graph {
        variables: vec![Variable { name: "past".into(), min: 0, max: 3 }],
        ..Graph::default()
    };
    let past = Dim::var(VarId(0));
    let cache = input(&mut g, "cache", vec![past, Dim::Fixed(2)]);
    let new = input(&mut g, "new", fixed(&[1, 2]));
    let y = node(&mut g, Op::Concat { axis: 0 }, &[cache, new]);
    output(&mut g, "present", y);
    g.states.push(State { input: 0, output: 0 });
    let program = compile(&g).expect("compiles");
    run_all_levels(&program, |session| {
        for i in 0..4 {
            session.input_mut::<f32>(1).expect("f32").fill(i as f32);
            session.run().expect("runs");
            assert_eq!(session.output_shape(0).expect("there")[..], [i + 1, 2]);
            let want: Vec<f32> = (0..=i).flat_map(|j| [j as f32; 2]).collect();
            assert_eq!(session.output::<f32>(0), Ok(&want[..]));
        }
        assert_eq!(session.run(), Err(RunError::StateFull { max: 3 }));
        session.reset();
        session.run().expect("runs again");
        assert_eq!(session.output_shape(0).expect("there")[..], [1, 2]);
    });
}
