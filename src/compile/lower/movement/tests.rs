use std::slice::from_ref;

use super::super::super::harness::{check, check_ranged, f32s, i64s};
use super::*;
use crate::graph::{Op, Tensor};

fn dims(list: &[i64]) -> Vec<Dim> {
    list.iter().map(|n| Dim::Fixed(*n)).collect()
}

#[test]
fn a_view_is_reshaped_where_its_strides_allow() {
    // Rows of a [4, 6] matrix, every second one: [2, 6] with strides [12, 1].
    let (from, strides) = (dims(&[2, 6]), dims(&[12, 1]));
    assert_eq!(reshaped(&from, &strides, &dims(&[2, 2, 3])), Some(dims(&[12, 3, 1])));
    assert_eq!(reshaped(&from, &strides, &dims(&[2, 1, 6])), Some(dims(&[12, 1, 1])));
    assert_eq!(reshaped(&from, &strides, &dims(&[12])), None);
    // A transposed matrix has no flat view.
    assert_eq!(reshaped(&dims(&[6, 4]), &dims(&[1, 6]), &dims(&[24])), None);
    assert_eq!(reshaped(&dims(&[6, 4]), &dims(&[1, 6]), &dims(&[2, 3, 4])), Some(dims(&[3, 1, 6])));
}

fn pad(mode: PadMode, before: &[i64], after: &[i64]) -> Op {
    Op::Pad(Pad { mode, before: dims(before), after: dims(after) })
}

#[test]
fn margins_of_every_mode() {
    let x = f32s(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    let seven = f32s(&[], &[7.]);
    let constant = pad(PadMode::Constant, &[0, 1], &[1, 0]);
    let want = [7., 1., 2., 3., 7., 4., 5., 6., 7., 7., 7., 7.];
    check(constant.clone(), &[x.clone(), seven], f32s(&[3, 4], &want));
    let want = want.map(|x| if x == 7. { 0. } else { x });
    check(constant, from_ref(&x), f32s(&[3, 4], &want));
    let want = [2., 1., 2., 3., 5., 4., 5., 6., 2., 1., 2., 3.];
    check(pad(PadMode::Reflect, &[0, 1], &[1, 0]), from_ref(&x), f32s(&[3, 4], &want));
    let want = [1., 1., 2., 3., 4., 4., 5., 6., 4., 4., 5., 6.];
    check(pad(PadMode::Edge, &[0, 1], &[1, 0]), from_ref(&x), f32s(&[3, 4], &want));
    let want = [3., 1., 2., 3., 6., 4., 5., 6., 3., 1., 2., 3.];
    check(pad(PadMode::Wrap, &[0, 1], &[1, 0]), from_ref(&x), f32s(&[3, 4], &want));
}

#[test]
fn negative_margins_cut() {
    let x = f32s(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    let want = f32s(&[1, 4], &[5., 6., 0., 0.]);
    check(pad(PadMode::Constant, &[-1, -1], &[0, 2]), from_ref(&x), want);
    let want = f32s(&[1, 4], &[5., 6., 5., 6.]);
    check(pad(PadMode::Reflect, &[-1, -1], &[0, 2]), from_ref(&x), want);
    check(pad(PadMode::Edge, &[0, -1], &[0, -2]), &[x], f32s(&[2, 0], &[]));
}

#[test]
fn margins_of_ranged_axes() {
    let op = |before: &[i64], after: &[i64]| {
        let (before, after) = (before.to_vec(), after.to_vec());
        move |_: Dim| pad(PadMode::Constant, &before, &after)
    };
    let x = f32s(&[2, 2], &[1., 2., 3., 4.]);
    let want = f32s(&[2, 3], &[0., 1., 2., 0., 3., 4.]);
    check_ranged(op(&[0, 1], &[0, 0]), from_ref(&x), &[(0, 0)], want.clone());
    check_ranged(op(&[0, 1], &[0, 0]), from_ref(&x), &[(0, 1)], want);
    let none = f32s(&[0, 2], &[]);
    check_ranged(op(&[1, 0], &[1, 0]), &[none], &[(0, 0)], f32s(&[2, 2], &[0.; 4]));
    // As far as the extent itself says.
    let grow = |n: Dim| {
        Op::Pad(Pad { mode: PadMode::Edge, before: vec![n, Dim::Fixed(0)], after: dims(&[0, 0]) })
    };
    let want = f32s(&[4, 2], &[1., 2., 1., 2., 1., 2., 3., 4.]);
    check_ranged(grow, &[x], &[(0, 0)], want);
}

#[test]
fn ranges() {
    let op = |n: i64| Op::Range { len: Dim::Fixed(n) };
    check(op(3), &[f32s(&[], &[1.]), f32s(&[], &[-0.5])], f32s(&[3], &[1., 0.5, 0.]));
    check(op(4), &[i64s(&[], &[5]), i64s(&[], &[-2])], i64s(&[4], &[5, 3, 1, -1]));
    check(op(0), &[i64s(&[], &[5]), i64s(&[], &[-2])], i64s(&[0], &[]));
}

#[test]
fn triangles() {
    let x = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let op = |upper, k| Op::Trilu { upper, k };
    check(op(true, 0), from_ref(&x), i64s(&[2, 3], &[1, 2, 3, 0, 5, 6]));
    check(op(true, 2), from_ref(&x), i64s(&[2, 3], &[0, 0, 3, 0, 0, 0]));
    check(op(true, -9), from_ref(&x), x.clone());
    check(op(false, 0), from_ref(&x), i64s(&[2, 3], &[1, 0, 0, 4, 5, 0]));
    check(op(false, -1), from_ref(&x), i64s(&[2, 3], &[0, 0, 0, 4, 0, 0]));
    check(op(false, i64::MAX), from_ref(&x), x.clone());
    check_ranged(|_| op(false, 0), &[x], &[(0, 0)], i64s(&[2, 3], &[1, 0, 0, 4, 5, 0]));
    let none = Some(Tensor::new::<i64>(&[2, 0, 3], &[]));
    check_ranged(|_| op(true, 1), from_ref(&none), &[(0, 1)], none.clone());
}

#[test]
fn one_value_everywhere() {
    let op = Op::Fill { shape: dims(&[2, 3]) };
    check(op, &[f32s(&[], &[7.0])], f32s(&[2, 3], &[7.0; 6]));
}
