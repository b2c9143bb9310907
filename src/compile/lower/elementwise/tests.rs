use std::slice::from_ref;

use super::super::super::harness::{check, check_ranged, doubled, f32s, i64s, noise, run};
use super::*;
use crate::graph::{Graph, Op, Port, Tensor};
use crate::kernels::{Isa, Level};
use crate::runtime::Session;
use crate::tensor::{F16, Towards};

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

/// `x` converted, as the least steps say: by its numbers in double precision.
fn converted_exactly(x: &Tensor, to: DType) -> Tensor {
    let numbers = x.to_f64s();
    if to.is_small() {
        return Tensor::narrowed(to, x.shape(), &numbers);
    }
    run(Op::Cast { to }, &[Some(Tensor::new(x.shape(), &numbers))]).remove(0)
}

#[test]
fn small_types_are_converted_to_and_from_others() {
    let small = DType::ALL.into_iter().filter(|dtype| dtype.is_small());
    let wide = [DType::F32, DType::F64, DType::I32, DType::U16, DType::I8, DType::Bool];
    let numbers = Tensor::new(&[2, 3], &[0.0, 1.0, -2.0, 3.4, 100.7, -1e9]);
    for dtype in small {
        let x = Tensor::narrowed(dtype, &[2, 3], &numbers.to_f64s());
        for to in [DType::F32, DType::I64, DType::Bool, DType::F16, DType::U4] {
            check(Op::Cast { to }, &[Some(x.clone())], Some(converted_exactly(&x, to)));
        }
        for from in wide {
            let x = converted_exactly(&numbers, from);
            let want = converted_exactly(&x, dtype);
            check(Op::Cast { to: dtype }, &[Some(x)], Some(want));
        }
    }
}

#[test]
fn integers_become_small_ones_by_their_low_bits() {
    let x = Tensor::vector(&[8i64, -9, 0x1_0000_0007, 21]);
    let want = Tensor::from_bytes(DType::I4, &[4], &[8, 7, 7, 5]);
    check(Op::Cast { to: DType::I4 }, &[Some(x.clone())], Some(want));
    let want = Tensor::from_bytes(DType::U2, &[4], &[0, 3, 3, 1]);
    check(Op::Cast { to: DType::U2 }, &[Some(x)], Some(want));
}

#[test]
fn small_types_under_ranged_extents_and_strides() {
    let x = Tensor::narrowed(DType::BF16, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let want = f32s(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let to = |to| move |_| Op::Cast { to };
    check_ranged(to(DType::F32), &[Some(x.clone())], &[(0, 1)], want);
    let want = Tensor::narrowed(DType::F8E5M2, &[2, 3], &x.to_f64s());
    check_ranged(to(DType::F8E5M2), &[Some(x)], &[(0, 0)], Some(want));
    // A column of a transposed half.
    let mut graph = Graph::default();
    let x = Tensor::narrowed(DType::F16, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let x = graph.add_constant("x", x);
    graph.value_mut(x).constant = None;
    graph.inputs.push(Port { name: "x".into(), value: x });
    let turned = graph.add_node("t", Op::Transpose { perm: vec![1, 0] }, &[Some(x)], &["t"]);
    let turned = turned.expect("a matrix")[0];
    let y = graph.add_node("c", Op::Cast { to: DType::F64 }, &[Some(turned)], &["y"]);
    graph.outputs.push(Port { name: "y".into(), value: y.expect("any type")[0] });
    let program = crate::compile::compile(&graph).expect("compiles");
    let mut session = Session::new(&program).expect("runs");
    let bits = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(F16::from_f32);
    session.input_mut::<F16>(0).expect("halves").copy_from_slice(&bits);
    assert_eq!(session.input_mut::<u16>(0).expect("their bits")[0], 0x3c00);
    assert!(session.input_mut::<i16>(0).is_err() && session.input_mut::<f32>(0).is_err());
    session.run().expect("runs");
    assert_eq!(session.output::<f64>(0).expect("there"), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
}

#[test]
fn a_rounding_of_its_own() {
    let x = f32s(&[3], &[1e9, 1.25, f32::NAN]);
    let cast =
        |to, saturate, towards| Op::RoundingCast { to, rounding: Rounding { saturate, towards } };
    let bytes = |dtype, bytes: &[u8]| Some(Tensor::from_bytes(dtype, &[3], bytes));
    let e4m3 = DType::F8E4M3FN;
    check(cast(e4m3, true, Towards::Up), from_ref(&x), bytes(e4m3, &[0x7e, 0x3a, 0x7f]));
    check(cast(e4m3, false, Towards::Up), from_ref(&x), bytes(e4m3, &[0x7f, 0x3a, 0x7f]));
    let e8m0 = DType::F8E8M0;
    check(cast(e8m0, true, Towards::Down), from_ref(&x), bytes(e8m0, &[156, 127, 255]));
    check(cast(e8m0, true, Towards::Up), from_ref(&x), bytes(e8m0, &[157, 128, 255]));
}

#[test]
fn the_same_bits_as_another_type() {
    let x = f32s(&[2], &[1.0, -0.0]);
    let want = Tensor::vector(&[0x3f80_0000u32, 0x8000_0000]);
    check(Op::BitCast { to: DType::U32 }, &[x], Some(want.clone()));
    check(Op::BitCast { to: DType::F32 }, &[Some(want)], f32s(&[2], &[1.0, -0.0]));
    let x = Tensor::from_bytes(DType::U4, &[3], &[15, 8, 7]);
    let want = Tensor::from_bytes(DType::I4, &[3], &[15, 8, 7]);
    check(Op::BitCast { to: DType::I4 }, &[Some(x)], Some(want));
}

#[test]
fn nothing_is_computed_in_a_small_type() {
    let x = Tensor::narrowed(DType::F16, &[2], &[1.0, 2.0]);
    let mut graph = Graph::default();
    let x = graph.add_constant("x", x);
    let error = graph.add_node("add", Op::Binary(Binary::Add), &[Some(x), Some(x)], &["y"]);
    assert!(error.expect_err("halves").0.contains("no Add of f16: cast it to f32 first"));
}
