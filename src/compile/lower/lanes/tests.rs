use std::slice::from_ref;

use super::super::super::harness::{assert_same, check, check_ranged, f32s, i64s, run, run_ranged};
use crate::graph::dim::Dim;
use crate::graph::ops::{ArgReduce, TopK};
use crate::graph::{Op, Tensor};

#[test]
fn running_sums() {
    let x = f32s(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    let op = |axis, exclusive, reverse| Op::CumSum { axis, exclusive, reverse };
    check(op(1, false, false), from_ref(&x), f32s(&[2, 3], &[1., 3., 6., 4., 9., 15.]));
    check(op(1, true, false), from_ref(&x), f32s(&[2, 3], &[0., 1., 3., 0., 4., 9.]));
    check(op(1, true, true), from_ref(&x), f32s(&[2, 3], &[5., 3., 0., 11., 6., 0.]));
    check(op(0, false, true), from_ref(&x), f32s(&[2, 3], &[5., 7., 9., 4., 5., 6.]));
    let ranged = |_: Dim| op(1, false, false);
    check_ranged(ranged, &[f32s(&[2, 0], &[])], &[(0, 1)], f32s(&[2, 0], &[]));
    check_ranged(ranged, &[x], &[(0, 1)], f32s(&[2, 3], &[1., 3., 6., 4., 9., 15.]));
}

#[test]
fn positions_of_extremes() {
    let x = f32s(&[2, 3], &[1., 3., 3., 2., 2., 1.]);
    let op = |largest, axis, keep_dims, select_last| {
        Op::ArgReduce(ArgReduce { largest, axis, keep_dims, select_last })
    };
    check(op(true, 1, true, false), from_ref(&x), i64s(&[2, 1], &[1, 0]));
    check(op(true, 1, false, true), from_ref(&x), i64s(&[2], &[2, 1]));
    check(op(false, 0, false, false), from_ref(&x), i64s(&[3], &[0, 1, 1]));
    let none = f32s(&[2, 0], &[]);
    check_ranged(|_| op(true, 1, false, false), &[none], &[(0, 1)], i64s(&[2], &[0, 0]));
    check_ranged(|_| op(true, 0, false, false), &[x], &[(0, 0)], i64s(&[3], &[1, 0, 0]));
}

#[test]
fn the_largest_in_order() {
    let x = f32s(&[2, 4], &[1., 4., 3., 4., -1., -4., -3., -4.]);
    let op = |k, largest, axis| Op::TopK(TopK { axis, k, largest });
    let got = run(op(Dim::Fixed(3), true, 1), from_ref(&x));
    let values = Tensor::new(&[2, 3], &[4.0f32, 4., 3., -1., -3., -4.]);
    assert_same(&got, &[values, Tensor::new(&[2, 3], &[1i64, 3, 2, 0, 2, 1])]);
    let got = run(op(Dim::Fixed(1), false, 0), from_ref(&x));
    let values = Tensor::new(&[1, 4], &[-1.0f32, -4., -3., -4.]);
    assert_same(&got, &[values, Tensor::new(&[1, 4], &[1i64; 4])]);
    let got = run_ranged(|n| op(n, true, 1), &[x], &[(0, 1)]);
    let values = Tensor::new(&[2, 4], &[4.0f32, 4., 3., 1., -1., -3., -4., -4.]);
    assert_same(&got, &[values, Tensor::new(&[2, 4], &[1i64, 3, 2, 0, 0, 2, 1, 3])]);
    let got = run_ranged(|n| op(n, true, 0), &[f32s(&[0, 2], &[])], &[(0, 0)]);
    assert_same(&got, &[Tensor::new::<f32>(&[0, 2], &[]), Tensor::new::<i64>(&[0, 2], &[])]);
}

#[test]
fn running_products() {
    let x = f32s(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    let op = |axis, exclusive, reverse| Op::CumProd { axis, exclusive, reverse };
    check(op(1, false, false), from_ref(&x), f32s(&[2, 3], &[1., 2., 6., 4., 20., 120.]));
    check(op(1, true, true), from_ref(&x), f32s(&[2, 3], &[6., 3., 1., 30., 6., 1.]));
    check(op(0, true, false), &[x], f32s(&[2, 3], &[1., 1., 1., 1., 2., 3.]));
}
