//! Which products and tables read integers, and that they answer as before.

use crate::compile::compile;
use crate::graph::ops::Quantization;
use crate::graph::{Dim, Fact, Graph, Op, Port, Tensor, ValueId};
use crate::optimize;
use crate::runtime::Session;
use crate::tensor::DType;

fn integers(shape: &[usize], seed: usize) -> Tensor {
    let len: usize = shape.iter().product();
    let bytes: Vec<u8> = (0..len).map(|i| ((i * 131 + seed * 17) % 251) as u8).collect();
    Tensor::from_bytes(DType::I8, shape, &bytes)
}

fn numbers(shape: &[usize], seed: usize) -> Tensor {
    let len: usize = shape.iter().product();
    let data: Vec<f32> =
        (0..len).map(|i| ((i * 37 + seed * 101) % 97) as f32 / 9700.0 + 0.001).collect();
    Tensor::new(shape, &data)
}

fn node(g: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    g.add_node("n", op, &inputs, &[]).expect("suits")[0]
}

fn dequantized(
    g: &mut Graph,
    shape: &[usize],
    scales: &[usize],
    axis: usize,
    block: usize,
) -> ValueId {
    let x = g.add_constant("q", integers(shape, 1));
    let scale = g.add_constant("s", numbers(scales, 2));
    let zero = g.add_constant("z", integers(scales, 3));
    let op = Quantization { axis, block, integer: DType::I8 };
    node(g, Op::DequantizeLinear(op), &[x, scale, zero])
}

fn input(g: &mut Graph, dtype: DType, shape: &[usize]) -> ValueId {
    let shape = shape.iter().map(|n| Dim::Fixed(*n as i64)).collect();
    let value = g.add_value("x", &Fact { dtype, shape });
    g.inputs.push(Port { name: "x".into(), value });
    value
}

fn answers(g: &Graph, set: impl Fn(&mut Session<'_>)) -> Vec<f32> {
    let program = compile(g).expect("compiles");
    let mut session = Session::new(&program).expect("runs");
    set(&mut session);
    session.run().expect("runs");
    session.output::<f32>(0).expect("f32").to_vec()
}

/// The operators that are left, after the answers have been compared with those without the pass.
fn same_answers(mut g: Graph, y: ValueId, set: impl Fn(&mut Session<'_>)) -> Vec<&'static str> {
    g.outputs.push(Port { name: "y".into(), value: y });
    let mut plain = g.clone();
    optimize::run(&mut plain, &["weights".to_owned()]);
    optimize::run(&mut g, &[]);
    let (got, wanted) = (answers(&g, &set), answers(&plain, &set));
    assert_eq!(got.len(), wanted.len());
    let largest = wanted.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    for (got, wanted) in got.iter().zip(&wanted) {
        assert!((got - wanted).abs() <= 1e-5 * largest, "{got} is not {wanted}\n{g}");
    }
    g.nodes.iter().map(|n| n.op.name()).collect()
}

fn fill(session: &mut Session<'_>) {
    for (i, x) in session.input_mut::<f32>(0).expect("f32").iter_mut().enumerate() {
        *x = (i as f32 * 1.7).sin();
    }
}

#[test]
fn products_of_one_row_read_integers_of_weights_that_are_large() {
    // Rows, depth, columns, shape of the scales, axis, block, what is left.
    let narrow = "WeightOnlyLinear";
    for (rows, [k, n], scales, axis, block, left) in [
        (1, [512, 520], vec![], 0, 0, narrow),
        (1, [512, 520], vec![520], 1, 0, narrow),
        (1, [512, 520], vec![16, 520], 0, 32, narrow),
        // Scales that differ along what is summed over, blocks of another axis, or too short.
        (1, [512, 520], vec![512], 0, 0, "Linear"),
        (1, [512, 520], vec![512, 65], 1, 8, "Linear"),
        (1, [512, 520], vec![128, 520], 0, 4, "Linear"),
        // Several rows, and small weights.
        (5, [512, 520], vec![520], 1, 0, "Linear"),
        (20, [512, 520], vec![520], 1, 0, "Linear"),
        (1, [64, 64], vec![64], 1, 0, "Linear"),
    ] {
        let mut g = Graph::default();
        let x = input(&mut g, DType::F32, &[rows, k]);
        let w = dequantized(&mut g, &[k, n], &scales, axis, block);
        let y = node(&mut g, Op::MatMul, &[x, w]);
        assert_eq!(same_answers(g, y, fill), [left], "{rows}x{k}x{n} {scales:?} {block}");
    }
}

#[test]
fn rows_of_large_tables_are_dequantized_when_they_are_read() {
    let (gather, dequantize) = ("Gather", "DequantizeLinear");
    let set = |session: &mut Session<'_>| {
        let at = session.input_mut::<i64>(0).expect("i64");
        for (i, at) in at.iter_mut().enumerate() {
            *at = (i * 311 % 1000) as i64;
        }
    };
    for (picked, scales, axis, block, left) in [
        (vec![7], vec![], 0, 0, vec![gather, dequantize]),
        (vec![2, 3], vec![], 0, 0, vec![gather, dequantize]),
        (vec![2, 3], vec![70], 1, 0, vec![gather, dequantize]),
        (vec![7], vec![1000], 0, 0, vec![gather, gather, gather, dequantize]),
        (vec![2, 3], vec![1000, 3], 1, 32, vec![gather, gather, gather, dequantize]),
        (vec![], vec![1000, 3], 1, 32, vec![gather, gather, gather, dequantize]),
        (vec![2, 3], vec![1000], 0, 0, vec![gather]),
        (vec![2, 3], vec![125, 70], 0, 8, vec![gather]),
    ] {
        let mut g = Graph::default();
        let at = input(&mut g, DType::I64, &picked);
        let table = dequantized(&mut g, &[1000, 70], &scales, axis, block);
        let y = node(&mut g, Op::Gather { axis: 0 }, &[table, at]);
        assert_eq!(same_answers(g, y, set), left, "{picked:?} {scales:?} {block}");
    }
}
