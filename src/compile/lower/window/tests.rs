use std::slice::from_ref;

use super::super::super::harness::{
    assert_same, check, check_ranged, doubled, f32s, i64s, noise, refusal, run, run_program,
    run_ranged, run_weighted,
};
use super::*;
use crate::graph::ops::Activation;
use crate::graph::{Op, Tensor};

fn plain(kernel: &[usize]) -> Conv {
    let n = kernel.len();
    Conv {
        kernel: kernel.to_vec(),
        strides: vec![1; n],
        dilations: vec![1; n],
        pads_before: vec![0; n],
        pads_after: vec![0; n],
        group: 1,
        activation: Activation::None,
    }
}

fn narrowed(x: &Tensor) -> Tensor {
    let single: Vec<f32> = x.to_f64s().iter().map(|x| *x as f32).collect();
    Tensor::new(x.shape(), &single)
}

#[test]
fn a_causal_row() {
    let conv = Conv { pads_before: vec![2], dilations: vec![2], ..plain(&[2]) };
    let x = f32s(&[1, 1, 4], &[1., 2., 3., 4.]);
    let w = f32s(&[1, 1, 2], &[10., 1.]);
    let op = Op::Conv(conv);
    let want = f32s(&[1, 1, 4], &[1., 2., 13., 24.]);
    check(op.clone(), &[x.clone(), w.clone()], want.clone());
    check_ranged(|_| op.clone(), &[x.clone(), w.clone()], &[(0, 2)], want);
    let biased = f32s(&[1, 1, 4], &[6., 7., 18., 29.]);
    check(op.clone(), &[x, w.clone(), f32s(&[1], &[5.])], biased);
    let none = f32s(&[0, 1, 4], &[]);
    check_ranged(|_| op.clone(), &[none.clone(), w], &[(0, 0)], none);
}

#[test]
fn single_and_double_precision_agree() {
    let cases = [
        // Channels in, out, groups; strides, dilations, margins.
        (4, 6, 1, [1, 1], [1, 1], [1, 1]),
        (4, 6, 2, [2, 1], [1, 2], [0, 3]),
        (4, 8, 4, [1, 2], [2, 1], [2, 0]),
        (3, 3, 3, [1, 1], [1, 1], [1, 1]),
    ];
    for (channels, outputs, group, strides, dilations, pads) in cases {
        for kernel in [[1, 1], [2, 3], [3, 1]] {
            let conv = Conv {
                strides: strides.to_vec(),
                dilations: dilations.to_vec(),
                pads_before: pads.to_vec(),
                group,
                ..plain(&kernel)
            };
            let x = noise(&[2, channels, 4, 7], 1);
            let w = noise(&[outputs, channels / group, kernel[0], kernel[1]], 2);
            let bias = noise(&[outputs], 3);
            let op = Op::Conv(conv);
            let doubles = [&x, &w, &bias].map(|x| Some(doubled(x)));
            let want = narrowed(&run(op.clone(), &doubles)[0]);
            let singles = [x, w, bias].map(Some);
            check(op.clone(), &singles, Some(want.clone()));
            let got = run_ranged(|_| op.clone(), &singles, &[(0, 0)]);
            assert_same(&got, &[want]);
        }
    }
}

#[test]
fn a_cube() {
    let x = noise(&[1, 1, 2, 2, 2], 4);
    let w = Tensor::new(&[1, 1, 2, 2, 2], &[1.0f32; 8]);
    let sum: f64 = x.to_f64s().iter().sum();
    let want = f32s(&[1, 1, 1, 1, 1], &[sum as f32]);
    check(Op::Conv(plain(&[2, 2, 2])), &[Some(x), Some(w)], want);
}

#[test]
fn pools_of_every_kind() {
    let pool = |kind, window, ceil_mode| Op::Pool(Pool { kind, window, ceil_mode });
    let x = f32s(&[1, 1, 5], &[1., -2., 3., 4., -5.]);
    let pair = || Conv { strides: vec![2], pads_before: vec![1], ..plain(&[2]) };
    let two = |kind, want: [f32; 3]| {
        let op = pool(kind, pair(), false);
        check(op.clone(), from_ref(&x), f32s(&[1, 1, 3], &want));
        check_ranged(|_| op.clone(), from_ref(&x), &[(0, 2)], f32s(&[1, 1, 3], &want));
        let doubles = x.clone().map(|x| doubled(&x));
        check(op, &[doubles], Some(doubled(&Tensor::new(&[1, 1, 3], &want))));
    };
    two(PoolKind::Max, [1., 3., 4.]);
    two(PoolKind::Average { count_include_pad: false }, [1., 0.5, -0.5]);
    two(PoolKind::Average { count_include_pad: true }, [0.5, 0.5, -0.5]);
    two(PoolKind::Lp { p: 1 }, [1., 5., 9.]);
    check(
        pool(PoolKind::Lp { p: 2 }, plain(&[2]), false),
        &[f32s(&[1, 1, 2], &[3., -4.])],
        f32s(&[1, 1, 1], &[5.]),
    );
    // A last window that is not whole.
    let op = pool(PoolKind::Max, Conv { strides: vec![2], ..plain(&[2]) }, true);
    check(op, &[x], f32s(&[1, 1, 3], &[1., 4., -5.]));
    let op = pool(PoolKind::Max, plain(&[1, 2]), false);
    let bytes = Some(Tensor::new(&[1, 1, 2, 2], &[1u8, 2, 7, 3]));
    check(op.clone(), &[bytes], Some(Tensor::new(&[1, 1, 2, 1], &[2u8, 7])));
    let none = f32s(&[0, 3, 2, 2], &[]);
    check_ranged(|_| op.clone(), &[none], &[(0, 0)], f32s(&[0, 3, 2, 1], &[]));
}

#[test]
fn integers_are_convolved() {
    let ints = |shape: &[usize], data: &[i32]| Some(Tensor::new(shape, data));
    let operands = [ints(&[1, 1, 3], &[1, 2, -3]), ints(&[1, 1, 2], &[10, 1])];
    check(Op::Conv(plain(&[2])), &operands, ints(&[1, 1, 2], &[12, 17]));
}

#[test]
fn places_of_the_largest() {
    let x = f32s(&[1, 2, 2, 3], &[1., 5., 3., 5., 2., f32::NAN, -1., -1., -2., -1., 0., 7.]);
    let window = Conv {
        kernel: vec![2, 2],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        pads_before: vec![0, 1],
        pads_after: vec![0, 0],
        group: 1,
        activation: Activation::None,
    };
    let op = |column_major| {
        let pool = Pool { kind: PoolKind::Max, window: window.clone(), ceil_mode: false };
        Op::MaxPositions(MaxPositions { pool, column_major })
    };
    let shape = [1, 2, 1, 3];
    check(op(false), from_ref(&x), i64s(&shape, &[3, 1, 5, 6, 10, 11]));
    check(op(true), &[x], i64s(&shape, &[1, 2, 5, 6, 9, 11]));
}

#[test]
fn a_residual_and_an_activation() {
    for (channels, group, kernel) in [(2, 1, [2, 2]), (4, 1, [1, 1]), (4, 4, [1, 3])] {
        let plain = Conv { pads_before: vec![1, 0], group, ..plain(&kernel) };
        let x = noise(&[1, channels, 2, 5], 1);
        let w = noise(&[4, channels / group, kernel[0], kernel[1]], 2);
        let bias = noise(&[4], 3);
        let doubles = [&x, &w, &bias].map(|x| Some(doubled(x)));
        let sum = run(Op::Conv(plain.clone()), &doubles).remove(0);
        let residual = noise(sum.shape(), 4);
        let sums = sum.to_f64s().into_iter().zip(residual.to_f64s());
        let want: Vec<f32> = sums.map(|(a, b)| (a + b).clamp(-1.0, 1.5) as f32).collect();
        let want = Tensor::new(sum.shape(), &want);
        let activation = Activation::Clip { min: -1.0, max: 1.5 };
        let op = Op::Conv(Conv { activation, ..plain });
        let operands = [x, w, bias, residual].map(Some);
        check(op.clone(), &operands, Some(want.clone()));
        let batch = [(0, 0), (3, 0)];
        assert_same(&run_ranged(|_| op.clone(), &operands, &batch), from_ref(&want));
        assert_same(&run_weighted(op, &operands, &batch), &[want]);
    }
}

#[test]
fn a_length_that_is_chosen_later() {
    // Lines and rows, of all channels and of each by itself.
    for (channels, outputs, group) in [(2, 3, 1), (1, 2, 1), (3, 3, 3), (2, 4, 2)] {
        for (stride, pad) in [(1, 0), (2, 3)] {
            let conv = Conv {
                strides: vec![stride],
                dilations: vec![2],
                pads_before: vec![pad],
                group,
                ..plain(&[2])
            };
            let x = noise(&[1, channels, 9], 1);
            let w = noise(&[outputs, channels / group, 2], 2);
            let doubles = [&x, &w].map(|x| Some(doubled(x)));
            let want = narrowed(&run(Op::Conv(conv.clone()), &doubles)[0]);
            let operands = [x, w].map(Some);
            let ranged: &[(usize, usize)] = if pad > 0 { &[(0, 2)] } else { &[(0, 0)] };
            assert_same(&run_weighted(Op::Conv(conv), &operands, ranged), &[want]);
        }
    }
}

#[test]
fn doubles_have_no_activation() {
    let operands = [noise(&[1, 1, 3], 1), noise(&[1, 1, 1], 2)].map(|x| Some(doubled(&x)));
    let op = Op::Conv(Conv { activation: Activation::Relu, ..plain(&[1]) });
    let text = refusal(op, &operands).to_string();
    assert!(text.contains("no activation or residual"), "{text}");
}

/// An operand whose elements along space are one that is repeated, and margins around it.
#[test]
fn repeated_elements_of_space() {
    use crate::graph::{Dim, Fact, Graph, Port};
    for (channels, kernel, pads) in [(8, 2, 1), (1, 3, 1), (3, 3, 2)] {
        let column = noise(&[1, channels, 1], 5);
        let whole: Vec<f32> = column.to_f64s().iter().flat_map(|x| [*x as f32; 5]).collect();
        let whole = Tensor::new(&[1, channels, 5], &whole);
        let w = noise(&[2, channels, kernel], 7);
        let op = Op::Conv(Conv { pads_before: vec![pads], ..plain(&[kernel]) });
        let want = run_weighted(op.clone(), &[Some(whole), Some(w.clone())], &[]);

        let mut graph = Graph::default();
        let dims = |shape: &[usize]| shape.iter().map(|n| Dim::Fixed(*n as i64)).collect();
        let fact = Fact { dtype: DType::F32, shape: dims(&[1, channels, 1]) };
        let x = graph.add_value("x", &fact);
        graph.inputs.push(Port { name: "x".into(), value: x });
        let w = graph.add_constant("w", w);
        let expand = Op::Expand { shape: dims(&[1, channels, 5]) };
        let x = graph.add_node("expand", expand, &[Some(x)], &[]).expect("suits")[0];
        let y = graph.add_node("conv", op, &[Some(x), Some(w)], &[]).expect("suits")[0];
        graph.outputs.push(Port { name: "y".into(), value: y });
        let program = crate::compile::compile(&graph).expect("compiles");
        assert_same(&run_program(&program, &[&column]), &want);
    }
}
