//! Products and what follows them, fused and not, on the same data.

use crate::compile::compile;
use crate::graph::ops::{Activation, Binary, Gemm, Unary};
use crate::graph::{Dim, Fact, Graph, Op, Port, Tensor, ValueId, VarId, Variable};
use crate::optimize;
use crate::runtime::Session;
use crate::runtime::damage::damage;
use crate::tensor::DType;

/// Numbers between -1 and 1.
pub(in crate::optimize) fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + seed * 101 + 7) % 97) as f32 / 48.0 - 1.0).collect()
}

pub(in crate::optimize) fn input(g: &mut Graph, shape: Vec<Dim>) -> ValueId {
    let name = format!("x{}", g.inputs.len());
    let value = g.add_value(name.clone(), &Fact { dtype: DType::F32, shape });
    g.inputs.push(Port { name, value });
    value
}

pub(in crate::optimize) fn fixed(shape: &[usize]) -> Vec<Dim> {
    shape.iter().map(|n| Dim::Fixed(*n as i64)).collect()
}

pub(in crate::optimize) fn constant(g: &mut Graph, shape: &[usize], seed: usize) -> ValueId {
    let data = numbers(shape.iter().product(), seed);
    g.add_constant("c", Tensor::new(shape, &data))
}

pub(in crate::optimize) fn node(g: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    g.add_node("n", op, &inputs, &[]).expect("suits")[0]
}

pub(in crate::optimize) fn output(g: &mut Graph, value: ValueId) {
    g.outputs.push(Port { name: format!("y{}", g.outputs.len()), value });
}

fn answers(g: &Graph, extent: usize) -> Vec<Vec<f32>> {
    let program = compile(g).expect("compiles");
    let mut session = Session::new(&program).expect("runs");
    for variable in &g.variables {
        session.set_extent(&variable.name, extent).expect("in range");
    }
    for i in 0..g.inputs.len() {
        let x = session.input_mut::<f32>(i).expect("f32");
        let data = numbers(x.len(), i + 20);
        x.copy_from_slice(&data);
    }
    // The second run sees what the first one left.
    session.run().expect("runs");
    session.run().expect("runs");
    (0..g.outputs.len()).map(|i| session.output::<f32>(i).expect("f32").to_vec()).collect()
}

/// The operators that are left, after the answers have been compared with those of the graph as
/// it is.
pub(in crate::optimize) fn same_answers(g: &Graph) -> Vec<&'static str> {
    let mut fused = g.clone();
    optimize::run(&mut fused, &[]);
    damage("a fused product", &compile(&fused).expect("compiles"), 1, 20);
    for extent in [0, 1, 5, 6] {
        for (got, want) in answers(&fused, extent).iter().zip(answers(g, extent)) {
            assert_eq!(got.len(), want.len());
            let largest = want.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 2e-6 * largest, "{got} is not {want}\n{fused}");
            }
        }
        if g.variables.is_empty() {
            break;
        }
    }
    fused.nodes.iter().map(|n| n.op.name()).collect()
}

const PLAIN: Gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };

#[test]
fn factors_bias_residual_and_activation_move_in() {
    // [past, 7] rows, ranged.
    let mut g = Graph { variables: vec![Variable::chosen("n", 0, 6)], ..Graph::default() };
    let rows = Dim::var(VarId(0));
    let x = input(&mut g, vec![rows.clone(), Dim::Fixed(7)]);
    let residual = input(&mut g, vec![rows, Dim::Fixed(19)]);
    let w = constant(&mut g, &[19, 7], 1);
    let c = constant(&mut g, &[19], 2);
    let gemm = Gemm { alpha: 0.5, beta: 2.0, trans_b: true, ..PLAIN };
    let mut y = node(&mut g, Op::Gemm(gemm), &[x, w, c]);
    for (i, op) in [Binary::Mul, Binary::Add, Binary::Sub, Binary::Div].into_iter().enumerate() {
        let row = constant(&mut g, if i % 2 == 0 { &[19] } else { &[1, 19] }, i + 3);
        let row = if op == Binary::Div { g.add_constant("d", Tensor::scalar(3.0f32)) } else { row };
        y = node(&mut g, Op::Binary(op), &[y, row]);
    }
    let one = g.add_constant("one", Tensor::scalar(1.0f32));
    y = node(&mut g, Op::Binary(Binary::Sub), &[one, y]);
    y = node(&mut g, Op::Binary(Binary::Add), &[residual, y]);
    let late = constant(&mut g, &[19], 9);
    y = node(&mut g, Op::Binary(Binary::Add), &[y, late]);
    y = node(&mut g, Op::Unary(Unary::GeluTanh), &[y]);
    output(&mut g, y);
    assert_eq!(same_answers(&g), ["Linear"]);
}

#[test]
fn what_others_read_stays() {
    let mut g = Graph::default();
    let x = input(&mut g, fixed(&[3, 8]));
    let w = constant(&mut g, &[8, 8], 1);
    let first = node(&mut g, Op::MatMul, &[x, w]);
    let double = node(&mut g, Op::Binary(Binary::Add), &[first, first]);
    let active = node(&mut g, Op::Unary(Unary::Relu), &[double]);
    // Weights that two products read are not multiplied.
    let second = node(&mut g, Op::MatMul, &[active, w]);
    let half = g.add_constant("half", Tensor::scalar(0.5f32));
    let second = node(&mut g, Op::Binary(Binary::Mul), &[second, half]);
    output(&mut g, first);
    output(&mut g, second);
    assert_eq!(same_answers(&g), ["Linear", "Add", "Relu", "Linear", "Mul"]);
}

#[test]
fn a_residual_is_what_the_product_reads_or_what_comes_later() {
    for late in [false, true] {
        let mut g = Graph::default();
        let x = input(&mut g, fixed(&[2, 3, 8]));
        let x = node(&mut g, Op::Unary(Unary::Neg), &[x]);
        let w = constant(&mut g, &[8, 8], 1);
        let y = node(&mut g, Op::MatMul, &[x, w]);
        let other = if late { node(&mut g, Op::Unary(Unary::Tanh), &[x]) } else { x };
        let y = node(&mut g, Op::Binary(Binary::Add), &[y, other]);
        output(&mut g, y);
        let want: &[&str] = if late { &["Neg", "Tanh", "Linear"] } else { &["Neg", "Linear"] };
        assert_eq!(same_answers(&g), want);
    }
    // A summand that is repeated is none.
    let mut g = Graph::default();
    let x = input(&mut g, fixed(&[4, 3, 8]));
    let once = input(&mut g, fixed(&[3, 8]));
    let w = constant(&mut g, &[8, 8], 1);
    let y = node(&mut g, Op::MatMul, &[x, w]);
    let y = node(&mut g, Op::Binary(Binary::Add), &[y, once]);
    output(&mut g, y);
    assert_eq!(same_answers(&g), ["Linear", "Add"]);
}

#[test]
fn residuals_lie_in_the_result_or_apart_from_it() {
    // The stream of a transformer: each product adds to what it began with.
    let mut g = Graph::default();
    let x = input(&mut g, fixed(&[5, 24]));
    let mut stream = node(&mut g, Op::Unary(Unary::Neg), &[x]);
    for i in 0..2 {
        let active = node(&mut g, Op::Unary(Unary::Tanh), &[stream]);
        let w = constant(&mut g, &[24, 24], i);
        let y = node(&mut g, Op::MatMul, &[active, w]);
        stream = node(&mut g, Op::Binary(Binary::Add), &[stream, y]);
    }
    // A part of the rows of a wider value.
    let wide = input(&mut g, fixed(&[5, 40]));
    let cut = crate::graph::ops::SliceAxis {
        axis: 1,
        start: Dim::Fixed(9),
        step: 1,
        extent: Dim::Fixed(24),
    };
    let part = node(&mut g, Op::Slice { axes: vec![cut] }, &[wide]);
    let w = constant(&mut g, &[24, 24], 7);
    let y = node(&mut g, Op::MatMul, &[stream, w]);
    let y = node(&mut g, Op::Binary(Binary::Add), &[y, part]);
    output(&mut g, y);
    let left = same_answers(&g);
    assert_eq!(left, ["Neg", "Tanh", "Linear", "Tanh", "Linear", "Slice", "Linear"]);
}

#[test]
fn the_product_is_made_under_the_last_shape() {
    // As TensorFlow writes a dense layer on three axes.
    let mut g = Graph { variables: vec![Variable::chosen("n", 0, 6)], ..Graph::default() };
    let rows = Dim::var(VarId(0));
    let x = input(&mut g, vec![rows.clone(), Dim::Fixed(2), Dim::Fixed(8)]);
    let flat = vec![rows.clone() * Dim::Fixed(2), Dim::Fixed(8)];
    let flat = node(&mut g, Op::Reshape { shape: flat }, &[x]);
    let w = constant(&mut g, &[8, 12], 1);
    let y = node(&mut g, Op::MatMul, &[flat, w]);
    let shape = vec![rows, Dim::Fixed(2), Dim::Fixed(12)];
    let y = node(&mut g, Op::Reshape { shape }, &[y]);
    let bias = constant(&mut g, &[12], 2);
    let y = node(&mut g, Op::Binary(Binary::Add), &[bias, y]);
    let y = node(&mut g, Op::Unary(Unary::Sigmoid), &[y]);
    output(&mut g, y);
    assert_eq!(same_answers(&g), ["Linear"]);
    // As PyTorch writes the product behind an attention, time before batch.
    for (batch, want) in [(1, 1), (2, 2)] {
        let mut g = Graph::default();
        let x = input(&mut g, fixed(&[5 * batch, 8]));
        let w = constant(&mut g, &[8, 12], 1);
        let y = node(&mut g, Op::MatMul, &[x, w]);
        let y = node(&mut g, Op::Reshape { shape: fixed(&[5, batch, 12]) }, &[y]);
        let y = node(&mut g, Op::Transpose { perm: vec![1, 0, 2] }, &[y]);
        let residual = input(&mut g, fixed(&[batch, 5, 12]));
        let y = node(&mut g, Op::Binary(Binary::Add), &[residual, y]);
        output(&mut g, y);
        let left = same_answers(&g);
        let computing = left.iter().filter(|op| !["Reshape", "Transpose"].contains(op)).count();
        assert_eq!(computing, want, "{left:?}");
    }
    // Nothing follows that would have to move.
    let mut g = Graph::default();
    let x = input(&mut g, fixed(&[4, 6]));
    let w = constant(&mut g, &[6, 6], 1);
    let y = node(&mut g, Op::MatMul, &[x, w]);
    let y = node(&mut g, Op::Reshape { shape: fixed(&[24]) }, &[y]);
    let y = node(&mut g, Op::Unary(Unary::Relu), &[y]);
    output(&mut g, y);
    assert_eq!(same_answers(&g), ["Linear", "Reshape", "Relu"]);
}

#[test]
fn weights_stand_on_either_side_and_have_any_rank() {
    let cases: &[(&[usize], &[usize], &[usize])] = &[
        // Left, right, what is added.
        (&[7], &[7, 5], &[5]),
        (&[4, 7], &[1, 7, 5], &[1, 1, 5]),
        (&[2, 3, 7], &[1, 1, 7, 5], &[5]),
        (&[3, 7], &[7], &[1]),
        (&[7], &[7], &[1]),
        (&[1, 7], &[7, 1], &[1, 1]),
    ];
    for (x, w, c) in cases {
        for constant_left in [false, true] {
            let mut g = Graph::default();
            let (a, b) = if constant_left {
                // The same product, transposed: `w' x'`.
                let turn = |shape: &[usize]| match shape {
                    [.., a, b] => vec![*b, *a],
                    one => one.to_vec(),
                };
                (constant(&mut g, &turn(w), 1), input(&mut g, fixed(&turn(x))))
            } else {
                (input(&mut g, fixed(x)), constant(&mut g, w, 1))
            };
            let y = node(&mut g, Op::MatMul, &[a, b]);
            let c = if constant_left { constant(&mut g, &[1], 2) } else { constant(&mut g, c, 2) };
            let y = node(&mut g, Op::Binary(Binary::Add), &[y, c]);
            output(&mut g, y);
            let left = same_answers(&g);
            let one_column = !constant_left || x.len() < 2 || x[x.len() - 2] == 1;
            assert_eq!(left.contains(&"Linear"), one_column, "{x:?} {w:?} {left:?}");
        }
    }
}

#[test]
fn a_column_is_a_product_with_the_weights_on_the_left() {
    for (trans_a, trans_b) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut g = Graph::default();
        let w = constant(&mut g, if trans_a { &[7, 5] } else { &[5, 7] }, 1);
        let x = input(&mut g, fixed(if trans_b { &[1, 7] } else { &[7, 1] }));
        let c = constant(&mut g, &[5, 1], 2);
        let gemm = Gemm { trans_a, trans_b, ..PLAIN };
        let y = node(&mut g, Op::Gemm(gemm), &[w, x, c]);
        let column = constant(&mut g, &[5, 1], 3);
        let y = node(&mut g, Op::Binary(Binary::Mul), &[y, column]);
        let residual = input(&mut g, fixed(&[5, 1]));
        let y = node(&mut g, Op::Binary(Binary::Add), &[y, residual]);
        output(&mut g, y);
        let left = same_answers(&g);
        assert_eq!(left.iter().filter(|op| **op != "Reshape").count(), 1, "{left:?}");
    }
    // As many columns as rows are none.
    let mut g = Graph::default();
    let w = constant(&mut g, &[5, 7], 1);
    let x = input(&mut g, fixed(&[7, 5]));
    let y = node(&mut g, Op::MatMul, &[w, x]);
    output(&mut g, y);
    assert_eq!(same_answers(&g), ["MatMul"]);
}

#[test]
fn an_addend_of_the_result_is_a_residual() {
    let mut g = Graph::default();
    let x = input(&mut g, fixed(&[3, 7]));
    let c = input(&mut g, fixed(&[3, 5]));
    let w = constant(&mut g, &[7, 5], 1);
    let y = node(&mut g, Op::Gemm(PLAIN), &[x, w, c]);
    let full = constant(&mut g, &[3, 5], 2);
    let w = constant(&mut g, &[5, 5], 3);
    let y = node(&mut g, Op::Gemm(PLAIN), &[y, w, full]);
    output(&mut g, y);
    assert_eq!(same_answers(&g), ["Linear", "Linear"]);
}

#[test]
fn a_normalization_of_the_columns_moves_in() {
    let mut g = Graph::default();
    let x = input(&mut g, fixed(&[3, 7]));
    let w = constant(&mut g, &[7, 6], 1);
    let y = node(&mut g, Op::MatMul, &[x, w]);
    let given = [0, 1, 2].map(|i| constant(&mut g, &[6], i + 3));
    let variance = g.add_constant("v", Tensor::vector(&[0.5f32, 1.0, 2.0, 0.1, 3.0, 0.9]));
    let norm = Op::BatchNorm { epsilon: 1e-5 };
    let y = node(&mut g, norm, &[y, given[0], given[1], given[2], variance]);
    let y = node(&mut g, Op::Unary(Unary::Relu), &[y]);
    output(&mut g, y);
    assert_eq!(same_answers(&g), ["Linear"]);
}

#[test]
fn factors_that_would_lose_digits_stay() {
    for factor in [0.0, f32::INFINITY, 1e-39, 3e38] {
        let mut g = Graph::default();
        let x = input(&mut g, fixed(&[3, 7]));
        let w = g.add_constant("w", Tensor::new(&[7, 2], &[2.0f32; 14]));
        let y = node(&mut g, Op::MatMul, &[x, w]);
        let factor = g.add_constant("f", Tensor::scalar(factor));
        let y = node(&mut g, Op::Binary(Binary::Mul), &[y, factor]);
        output(&mut g, y);
        optimize::run(&mut g, &[]);
        let left: Vec<_> = g.nodes.iter().map(|n| n.op.name()).collect();
        assert_eq!(left, ["Linear", "Mul"]);
    }
}

#[test]
fn one_pass_finds_all_there_is() {
    let mut g = Graph::default();
    let x = input(&mut g, fixed(&[3, 7]));
    let w = constant(&mut g, &[7, 6], 1);
    let y = node(&mut g, Op::MatMul, &[x, w]);
    let y = node(&mut g, Op::Unary(Unary::Silu), &[y]);
    output(&mut g, y);
    optimize::run(&mut g, &[]);
    let op = Op::Linear { activation: Activation::Silu, transposed: false };
    assert_eq!(g.nodes[0].op, op);
    let before = g.nodes.clone();
    optimize::run(&mut g, &[]);
    assert_eq!(g.nodes, before);
}
