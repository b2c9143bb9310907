use std::slice::from_ref;

use super::super::super::harness::{check, check_ranged, doubled, f32s, i64s, noise, run};
use super::*;
use crate::graph::{Graph, Op, Port, Tensor};
use crate::kernels::{Isa, Level};
use crate::runtime::Session;

fn narrowed(x: &Tensor) -> Tensor {
    let single: Vec<f32> = x.to_f64s().iter().map(|x| *x as f32).collect();
    Tensor::new(x.shape(), &single)
}

const BINARY: [Binary; 8] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Min,
    Binary::Max,
    Binary::PRelu,
    Binary::Fmod,
];

#[test]
fn vectors_rows_and_scalars_agree_with_double_precision() {
    let shapes: [[&[usize]; 2]; 7] = [
        [&[3, 70], &[3, 70]],
        [&[3, 70], &[70]],
        [&[3, 1], &[3, 70]],
        [&[], &[3, 70]],
        [&[3, 70], &[1, 1]],
        [&[3, 1, 5], &[1, 70, 1]],
        [&[0, 3], &[3]],
    ];
    for op in BINARY {
        for [a, b] in shapes {
            let (a, b) = (noise(a, 1), noise(b, 2));
            let doubles = [&a, &b].map(|x| Some(doubled(x)));
            let want = narrowed(&run(Op::Binary(op), &doubles)[0]);
            check(Op::Binary(op), &[Some(a), Some(b)], Some(want));
        }
    }
}

#[test]
fn functions_agree_with_double_precision() {
    let all = [
        Unary::Neg,
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Erf,
        Unary::Softplus,
        Unary::LeakyRelu { alpha: 0.1 },
        Unary::Clip { min: -0.5, max: f64::INFINITY },
        Unary::Selu { alpha: 1.5, gamma: 0.5 },
        Unary::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Unary::ThresholdedRelu { alpha: 0.5 },
    ];
    let x = noise(&[5, 30], 3);
    for op in all {
        let want = narrowed(&run(Op::Unary(op), &[Some(doubled(&x))])[0]);
        check(Op::Unary(op), &[Some(x.clone())], Some(want.clone()));
        check_ranged(|_| Op::Unary(op), &[Some(x.clone())], &[(0, 0)], Some(want));
    }
    let none = f32s(&[0, 2], &[]);
    check_ranged(|_| Op::Unary(Unary::Exp), from_ref(&none), &[(0, 0)], none.clone());
}

#[test]
fn operands_under_any_strides() {
    // Both operands transposed, one of them reversed: nothing lies behind one another.
    let mut g = Graph::default();
    let x = noise(&[90, 3], 4);
    let a = g.add_value(
        "x",
        &crate::graph::Fact { dtype: DType::F32, shape: [90, 3].map(Dim::Fixed).to_vec() },
    );
    g.inputs.push(Port { name: "x".into(), value: a });
    let mut node = |op, inputs: &[ValueId]| {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        g.add_node("n", op, &inputs, &[]).expect("suits")[0]
    };
    let t = node(Op::Transpose { perm: vec![1, 0] }, &[a]);
    let cut = crate::graph::ops::SliceAxis {
        axis: 1,
        start: Dim::Fixed(89),
        step: -1,
        extent: Dim::Fixed(90),
    };
    let reversed = node(Op::Slice { axes: vec![cut] }, &[t]);
    let exp = node(Op::Unary(Unary::Exp), &[reversed]);
    let sum = node(Op::Binary(Binary::Sub), &[t, reversed]);
    let y = node(Op::Binary(Binary::Mul), &[exp, sum]);
    g.outputs.push(Port { name: "y".into(), value: y });
    let program = crate::compile::compile(&g).expect("compiles");
    let x = x.as_slice::<f32>().expect("f32");
    for isa in Isa::ALL {
        let level = Level::detect().at_most(isa);
        let mut session = Session::new_at(&program, level).expect("runs");
        session.input_mut::<f32>(0).expect("f32").copy_from_slice(x);
        session.run().expect("runs");
        for (i, y) in session.output::<f32>(0).expect("f32").iter().enumerate() {
            let (row, col) = (i / 90, i % 90);
            let (a, b) = (x[col * 3 + row], x[(89 - col) * 3 + row]);
            let want = b.exp() * (a - b);
            assert!((y - want).abs() <= 1e-5 * want.abs().max(1.0), "{i}: {y} {want}");
        }
    }
}

#[test]
fn powers_of_mixed_types() {
    let exponent = i64s(&[2], &[2, 3]);
    let op = Op::Binary(Binary::Pow);
    check(op.clone(), &[f32s(&[2], &[1.5, -2.]), exponent], f32s(&[2], &[2.25, -8.]));
    let base = i64s(&[2, 1], &[2, 9]);
    check(op, &[base, f32s(&[2], &[2., 0.5])], i64s(&[2, 2], &[4, 1, 81, 3]));
}
