//! Runs one operator on every instruction set: for the tests of the families.

use crate::graph::{Dim, Graph, Op, Port, Tensor, ValueId, VarId, Variable};
use crate::kernels::{Isa, Level};
use crate::runtime::damage::{damage, damage_each_word};
use crate::runtime::{Program, Session};
use crate::tensor::DType;

use super::{CompileError, compile};

/// A graph of one node, with these operands as inputs, or as constants those that `constant`
/// says. `ranged` lists the axes (operand, axis) whose extent is the variable `n`.
fn graph(
    op: Op,
    operands: &[Option<Tensor>],
    constant: fn(usize) -> bool,
    ranged: &[(usize, usize)],
) -> Graph {
    let variables = vec![Variable::chosen("n", 0, 9)];
    let mut g = Graph { variables, ..Graph::default() };
    let ids: Vec<Option<ValueId>> = operands
        .iter()
        .enumerate()
        .map(|(i, operand)| {
            let tensor = operand.as_ref()?;
            let id = g.add_constant(format!("x{i}"), tensor.clone());
            if !constant(i) {
                g.value_mut(id).constant = None;
                for (_, axis) in ranged.iter().filter(|(operand, _)| *operand == i) {
                    g.value_mut(id).shape[*axis] = Dim::var(VarId(0));
                }
                g.inputs.push(Port { name: format!("x{i}"), value: id });
            }
            Some(id)
        })
        .collect();
    for (i, id) in g.add_node("node", op, &ids, &[]).expect("suits").into_iter().enumerate() {
        g.outputs.push(Port { name: format!("y{i}"), value: id });
    }
    g
}

/// Runs a program twice on every level: the results of the last run, which must be those of all.
pub(crate) fn run_program(program: &Program<'_>, inputs: &[&Tensor]) -> Vec<Tensor> {
    let mut results: Option<Vec<Tensor>> = None;
    for isa in Isa::ALL {
        let level = Level::detect().at_most(isa);
        let mut session = Session::new_at(program, level).expect("runs");
        for _ in 0..2 {
            for (i, tensor) in inputs.iter().enumerate() {
                session.set_input_shape(i, tensor.shape()).expect("suits");
                session.input_bytes_mut(i).expect("there").copy_from_slice(tensor.bytes());
            }
            session.run().expect("runs");
            let got: Vec<Tensor> = program
                .outputs()
                .enumerate()
                .map(|(i, port)| {
                    let shape = session.output_shape(i).expect("there");
                    Tensor::from_bytes(port.dtype, &shape, session.output_bytes(i).expect("there"))
                })
                .collect();
            if let Some(want) = &results {
                assert_same(&got, want);
            }
            results = Some(got);
        }
    }
    damage_each_word("an operator", program, false);
    damage("an operator", program, 1, 50);
    results.expect("there is a level")
}

/// The results of an operator, its operands being inputs; as constants they give the same.
pub(crate) fn run(op: Op, operands: &[Option<Tensor>]) -> Vec<Tensor> {
    let inputs: Vec<&Tensor> = operands.iter().flatten().collect();
    let program = compile(&graph(op.clone(), operands, |_| false, &[])).expect("compiles");
    let results = run_program(&program, &inputs);
    let program = compile(&graph(op, operands, |_| true, &[])).expect("compiles");
    assert_same(&run_program(&program, &[]), &results);
    results
}

/// The results of an operator whose `ranged` axes have an extent that is chosen per call: the
/// variable that `op` is given.
pub(crate) fn run_ranged(
    op: impl Fn(Dim) -> Op,
    operands: &[Option<Tensor>],
    ranged: &[(usize, usize)],
) -> Vec<Tensor> {
    let inputs: Vec<&Tensor> = operands.iter().flatten().collect();
    let op = op(Dim::var(VarId(0)));
    let program = compile(&graph(op, operands, |_| false, ranged)).expect("compiles");
    run_program(&program, &inputs)
}

/// The results of an operator of which operands 1 and 2 are constant weights.
pub(crate) fn run_weighted(
    op: Op,
    operands: &[Option<Tensor>],
    ranged: &[(usize, usize)],
) -> Vec<Tensor> {
    run_with_constants(op, operands, |i| matches!(i, 1 | 2), ranged)
}

/// The results of an operator of which these operands are constants.
pub(crate) fn run_with_constants(
    op: Op,
    operands: &[Option<Tensor>],
    constant: fn(usize) -> bool,
    ranged: &[(usize, usize)],
) -> Vec<Tensor> {
    let given = |i: &usize| !constant(*i);
    let inputs: Vec<&Tensor> = operands
        .iter()
        .enumerate()
        .filter(|(i, _)| given(i))
        .filter_map(|(_, operand)| operand.as_ref())
        .collect();
    let program = compile(&graph(op, operands, constant, ranged)).expect("compiles");
    run_program(&program, &inputs)
}

/// Why an operator is refused.
pub(crate) fn refusal(op: Op, operands: &[Option<Tensor>]) -> CompileError {
    compile(&graph(op, operands, |_| false, &[])).expect_err("is refused")
}

/// A tensor.
pub(crate) fn f32s(shape: &[usize], data: &[f32]) -> Option<Tensor> {
    Some(Tensor::new(shape, data))
}

/// A tensor.
pub(crate) fn i64s(shape: &[usize], data: &[i64]) -> Option<Tensor> {
    Some(Tensor::new(shape, data))
}

/// Elements that look random, between -2 and 2, the same for the same seed.
pub(crate) fn noise(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let len = shape.iter().product();
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    Tensor::new(shape, &std::iter::repeat_with(next).take(len).collect::<Vec<f32>>())
}

/// The same numbers in double precision.
pub(crate) fn doubled(x: &Tensor) -> Tensor {
    Tensor::new(x.shape(), &x.to_f64s())
}

/// Compares types, shapes and elements: floats within 1e-5 of the largest.
pub(crate) fn assert_same(got: &[Tensor], want: &[Tensor]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert_eq!((got.dtype(), got.shape()), (want.dtype(), want.shape()));
        assert_close(&got.to_f64s(), &want.to_f64s(), want.dtype());
    }
}

fn assert_close(got: &[f64], want: &[f64], dtype: DType) {
    let finite = want.iter().filter(|x| x.is_finite());
    let largest = finite.fold(0.0f64, |a, b| a.max(b.abs()));
    let tolerance = match dtype {
        DType::F32 => 1e-5 * largest,
        DType::F64 => 1e-12 * largest,
        _ => 0.0,
    };
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance;
        assert!(same, "element {i} is {a}, not {b}\n{got:?}\n{want:?}");
    }
}

/// Runs an operator and compares its first result.
pub(crate) fn check(op: Op, operands: &[Option<Tensor>], want: Option<Tensor>) {
    let got = run(op, operands);
    assert_same(&got[..1], &[want.expect("given")]);
}

/// As [`check`], with extents that are chosen per call.
pub(crate) fn check_ranged(
    op: impl Fn(Dim) -> Op,
    operands: &[Option<Tensor>],
    ranged: &[(usize, usize)],
    want: Option<Tensor>,
) {
    let got = run_ranged(op, operands, ranged);
    assert_same(&got[..1], &[want.expect("given")]);
}
