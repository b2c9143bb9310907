use super::super::super::harness::{check, check_ranged, f32s, i64s, refusal};
use crate::graph::dim::Dim;
use crate::graph::ops::Scatter;
use crate::graph::{Op, Tensor};
use crate::tensor::DType;

#[test]
fn rows_are_gathered_by_any_index() {
    let x = f32s(&[3, 2], &[1., 2., 3., 4., 5., 6.]);
    let op = Op::Gather { axis: 0 };
    let at = i64s(&[2, 2], &[0, -1, 7, -9]);
    check(op.clone(), &[x.clone(), at], f32s(&[2, 2, 2], &[1., 2., 5., 6., 5., 6., 1., 2.]));
    let narrow = Some(Tensor::new(&[2], &[1i32, -1]));
    check(op, &[x.clone(), narrow], f32s(&[2, 2], &[3., 4., 5., 6.]));
    // A single index is a view where it is known.
    let op = Op::Gather { axis: 1 };
    check(op.clone(), &[x.clone(), i64s(&[], &[-1])], f32s(&[3], &[2., 4., 6.]));
    check(op.clone(), &[x.clone(), i64s(&[1, 1], &[0])], f32s(&[3, 1, 1], &[1., 3., 5.]));
    check(op.clone(), &[x.clone(), i64s(&[], &[5])], f32s(&[3], &[2., 4., 6.]));
    check(op, &[x, i64s(&[0], &[])], f32s(&[3, 0], &[]));
}

#[test]
fn gathers_of_a_ranged_axis() {
    let gather = |axis| move |_: Dim| Op::Gather { axis };
    let at = i64s(&[2], &[-1, 3]);
    let x = f32s(&[3, 2], &[1., 2., 3., 4., 5., 6.]);
    check_ranged(gather(0), &[x, at.clone()], &[(0, 0)], f32s(&[2, 2], &[5., 6., 5., 6.]));
    let empty = f32s(&[0, 2], &[]);
    check_ranged(gather(0), &[empty, at.clone()], &[(0, 0)], f32s(&[2, 2], &[0.; 4]));
    let empty = f32s(&[2, 0], &[]);
    check_ranged(gather(0), &[empty, at], &[(0, 1)], f32s(&[2, 0], &[]));
}

#[test]
fn elements_are_gathered() {
    let x = f32s(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    let at = i64s(&[2, 2], &[2, -3, 0, 9]);
    let op = Op::GatherElements { axis: 1 };
    check(op.clone(), &[x.clone(), at], f32s(&[2, 2], &[3., 1., 4., 6.]));
    let op0 = Op::GatherElements { axis: 0 };
    let at = i64s(&[1, 3], &[1, 0, -1]);
    check(op0.clone(), &[x.clone(), at.clone()], f32s(&[1, 3], &[4., 2., 6.]));
    let empty = f32s(&[0, 3], &[]);
    check_ranged(|_| op0.clone(), &[empty, at.clone()], &[(0, 0)], f32s(&[1, 3], &[0.; 3]));
    check_ranged(|_| op0.clone(), &[x.clone(), at], &[(0, 0)], f32s(&[1, 3], &[4., 2., 6.]));
    refusal(op, &[x, i64s(&[3, 1], &[0; 3])]);
}

#[test]
fn tuples_gather_slices() {
    let x = f32s(&[2, 2, 2], &[1., 2., 3., 4., 5., 6., 7., 8.]);
    let op = |batch_dims| Op::GatherNd { batch_dims };
    check(op(0), &[x.clone(), i64s(&[2, 2], &[0, 1, -1, 5])], f32s(&[2, 2], &[3., 4., 7., 8.]));
    check(op(0), &[x.clone(), i64s(&[1, 3], &[1, 0, 1])], f32s(&[1], &[6.]));
    check(op(1), &[x.clone(), i64s(&[2, 1], &[1, 0])], f32s(&[2, 2], &[3., 4., 5., 6.]));
    check(op(1), &[x.clone(), i64s(&[2, 1, 2], &[1, 0, 0, 1])], f32s(&[2, 1], &[3., 6.]));
    let ranged = |_: Dim| op(1);
    let empty = f32s(&[0, 2, 2], &[]);
    check_ranged(ranged, &[empty, i64s(&[0, 1], &[])], &[(0, 0), (1, 0)], f32s(&[0, 2], &[]));
}

#[test]
fn elements_are_scattered_and_reduced() {
    let x = f32s(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    let at = i64s(&[2, 2], &[0, 0, -1, 8]);
    let new = f32s(&[2, 2], &[10., 20., 30., 40.]);
    let want: [(Scatter, [f32; 6]); 5] = [
        (Scatter::Replace { axis: 1 }, [20., 2., 3., 4., 5., 40.]),
        (Scatter::Add { axis: 1 }, [31., 2., 3., 4., 5., 76.]),
        (Scatter::Mul { axis: 1 }, [200., 2., 3., 4., 5., 7200.]),
        (Scatter::Min { axis: 1 }, [1., 2., 3., 4., 5., 6.]),
        (Scatter::Max { axis: 1 }, [20., 2., 3., 4., 5., 40.]),
    ];
    for (op, want) in want {
        let operands = [x.clone(), at.clone(), new.clone()];
        check(Op::ScatterElements(op), &operands, f32s(&[2, 3], &want));
    }
    let op = |_: Dim| Op::ScatterElements(Scatter::Add { axis: 0 });
    let none = [f32s(&[0, 2], &[]), i64s(&[0, 2], &[]), f32s(&[0, 2], &[])];
    check_ranged(op, &none, &[(0, 0), (1, 0), (2, 0)], f32s(&[0, 2], &[]));
}

#[test]
fn tuples_scatter_slices() {
    let x = f32s(&[3, 2], &[1., 2., 3., 4., 5., 6.]);
    let at = i64s(&[2, 1], &[-1, 0]);
    let new = f32s(&[2, 2], &[10., 20., 30., 40.]);
    let op = Op::ScatterNd(Scatter::Replace { axis: 0 });
    let want = f32s(&[3, 2], &[30., 40., 3., 4., 10., 20.]);
    check(op.clone(), &[x.clone(), at.clone(), new.clone()], want.clone());
    check_ranged(|_| op.clone(), &[x.clone(), at, new], &[(0, 0)], want);
    let op = Op::ScatterNd(Scatter::Add { axis: 0 });
    let at = i64s(&[3, 2], &[0, 0, 0, 0, 9, 9]);
    check(op, &[x, at, f32s(&[3], &[1., 1., 1.])], f32s(&[3, 2], &[3., 2., 3., 4., 5., 7.]));
}

#[test]
fn one_value_is_hot() {
    let values = f32s(&[2], &[0.5, 2.]);
    let op = |axis| Op::OneHot { axis, depth: Dim::Fixed(3) };
    let at = i64s(&[2], &[1, -1]);
    check(op(1), &[at.clone(), values.clone()], f32s(&[2, 3], &[0.5, 2., 0.5, 0.5, 0.5, 2.]));
    check(op(0), &[at, values.clone()], f32s(&[3, 2], &[0.5, 0.5, 2., 0.5, 0.5, 2.]));
    // Outside is off; other types of index are converted.
    check(op(0), &[f32s(&[1], &[3.]), values.clone()], f32s(&[3, 1], &[0.5; 3]));
    let bytes = Some(Tensor::from_bytes(DType::U8, &[1], &[2]));
    check(op(0), &[bytes, values.clone()], f32s(&[3, 1], &[0.5, 0.5, 2.]));
    let ranged = |n: Dim| Op::OneHot { axis: 1, depth: n };
    let at = i64s(&[3], &[0, 2, -2]);
    let want = [2., 0.5, 0.5, 0.5, 0.5, 2., 0.5, 2., 0.5];
    check_ranged(ranged, &[at, values], &[(0, 0)], f32s(&[3, 3], &want));
}

#[test]
fn elements_of_small_types_are_placed() {
    let data = Tensor::narrowed(DType::F16, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let updates = Tensor::narrowed(DType::F16, &[1, 2], &[5.0, 6.0]);
    let want = Tensor::narrowed(DType::F16, &[2, 2], &[1.0, 6.0, 5.0, 4.0]);
    let indices = i64s(&[1, 2], &[1, 0]);
    let op = Op::ScatterElements(Scatter::Replace { axis: 0 });
    check(op, &[Some(data.clone()), indices, Some(updates)], Some(want));
    let updates = Tensor::narrowed(DType::F16, &[1, 2], &[5.0, 6.0]);
    let want = Tensor::narrowed(DType::F16, &[2, 2], &[1.0, 2.0, 5.0, 6.0]);
    let op = Op::ScatterNd(Scatter::Replace { axis: 0 });
    check(op, &[Some(data), i64s(&[1, 1], &[1]), Some(updates)], Some(want));
}
