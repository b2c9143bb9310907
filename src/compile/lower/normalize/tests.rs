use std::slice::from_ref;

use super::super::super::harness::{
    assert_same, check, check_ranged, doubled, f32s, i64s, noise, run, run_ranged,
};
use super::*;
use crate::graph::Op;

const KINDS: [ReduceKind; 10] = [
    ReduceKind::Sum,
    ReduceKind::Mean,
    ReduceKind::Max,
    ReduceKind::Min,
    ReduceKind::Prod,
    ReduceKind::L1,
    ReduceKind::L2,
    ReduceKind::LogSum,
    ReduceKind::LogSumExp,
    ReduceKind::SumSquare,
];

fn reduce_of(kind: ReduceKind, axes: &[usize], keep_dims: bool) -> Op {
    Op::Reduce(Reduce { kind, axes: axes.to_vec(), keep_dims })
}

fn naive(kind: ReduceKind, x: &[f64]) -> f64 {
    let sum = |f: &dyn Fn(f64) -> f64| x.iter().map(|x| f(*x)).sum::<f64>();
    match kind {
        ReduceKind::Sum => sum(&|x| x),
        ReduceKind::Mean => sum(&|x| x) / x.len() as f64,
        ReduceKind::Max => x.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        ReduceKind::Min => x.iter().copied().fold(f64::INFINITY, f64::min),
        ReduceKind::Prod => x.iter().product(),
        ReduceKind::L1 => sum(&f64::abs),
        ReduceKind::L2 => sum(&|x| x * x).sqrt(),
        ReduceKind::LogSum => sum(&|x| x).ln(),
        ReduceKind::LogSumExp => sum(&f64::exp).ln(),
        ReduceKind::SumSquare => sum(&|x| x * x),
    }
}

/// The elements of a `[2, 3, 4]` tensor by what is kept of their index.
fn groups(x: &[f64], axes: &[usize]) -> Vec<Vec<f64>> {
    let mut groups = std::collections::BTreeMap::<Vec<usize>, Vec<f64>>::new();
    for (i, x) in x.iter().enumerate() {
        let index = [i / 12, i / 4 % 3, i % 4];
        let key = (0..3).filter(|a| !axes.contains(a)).map(|a| index[a]).collect();
        groups.entry(key).or_default().push(*x);
    }
    groups.into_values().collect()
}

#[test]
fn every_reduction_over_any_axes() {
    let x = noise(&[2, 3, 4], 1);
    // Away from zero, so that logarithms exist.
    let x = Tensor::new(&[2, 3, 4], &x.to_f64s().iter().map(|x| x + 3.0).collect::<Vec<f64>>());
    let single: Vec<f32> = x.to_f64s().iter().map(|x| *x as f32).collect();
    let single = Tensor::new(&[2, 3, 4], &single);
    for kind in KINDS {
        for axes in [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2], &[0, 1, 2], &[]] {
            let want: Vec<f64> =
                groups(&x.to_f64s(), axes).iter().map(|group| naive(kind, group)).collect();
            let shape: Vec<usize> =
                (0..3).map(|a| if axes.contains(&a) { 1 } else { [2, 3, 4][a] }).collect();
            let op = reduce_of(kind, axes, true);
            check(op.clone(), &[Some(x.clone())], Some(Tensor::new(&shape, &want)));
            let want: Vec<f32> = want.iter().map(|x| *x as f32).collect();
            let want = Tensor::new(&shape, &want);
            check(op.clone(), &[Some(single.clone())], Some(want.clone()));
            let ranged = [(0, 1)];
            check_ranged(|_| op.clone(), &[Some(single.clone())], &ranged, Some(want));
        }
    }
}

#[test]
fn integers_and_bytes_are_reduced() {
    let x = i64s(&[2, 3], &[1, -2, 3, 4, 5, 7]);
    let of = |kind| reduce_of(kind, &[1], false);
    check(of(ReduceKind::Sum), from_ref(&x), i64s(&[2], &[2, 16]));
    check(of(ReduceKind::Mean), from_ref(&x), i64s(&[2], &[0, 5]));
    check(of(ReduceKind::Prod), from_ref(&x), i64s(&[2], &[-6, 140]));
    check(of(ReduceKind::L2), &[x], i64s(&[2], &[3, 9]));
    let bools = Some(Tensor::from_bytes(DType::Bool, &[2, 2], &[0, 1, 0, 0]));
    let want = Some(Tensor::from_bytes(DType::Bool, &[2], &[1, 0]));
    check(of(ReduceKind::Max), &[bools], want);
    let bytes = Some(Tensor::new(&[1, 3], &[250u8, 251, 252]));
    check(of(ReduceKind::Mean), &[bytes], Some(Tensor::new(&[1], &[251u8])));
}

#[test]
fn nothing_is_reduced_to_what_is_neutral() {
    let none = || f32s(&[2, 0], &[]);
    let of = |kind| move |_: Dim| reduce_of(kind, &[1], false);
    check_ranged(of(ReduceKind::Sum), &[none()], &[(0, 1)], f32s(&[2], &[0.; 2]));
    check_ranged(of(ReduceKind::Prod), &[none()], &[(0, 1)], f32s(&[2], &[1.; 2]));
    check_ranged(of(ReduceKind::Max), &[none()], &[(0, 1)], f32s(&[2], &[f32::NEG_INFINITY; 2]));
    let all = |_: Dim| reduce_of(ReduceKind::Sum, &[0], false);
    check_ranged(all, &[none()], &[(0, 1)], f32s(&[0], &[]));
}

#[test]
fn softmax_along_any_axis() {
    let x = noise(&[2, 3, 4], 2);
    for axis in 0..3 {
        let sums = {
            let exp: Vec<f64> = x.to_f64s().iter().map(|x| x.exp()).collect();
            move |i: usize| -> f64 {
                let index = [i / 12, i / 4 % 3, i % 4];
                let stride = [12, 4, 1][axis];
                let first = i - index[axis] * stride;
                (0..[2, 3, 4][axis]).map(|j| exp[first + j * stride]).sum()
            }
        };
        let values = x.to_f64s();
        let logs: Vec<f64> = values.iter().enumerate().map(|(i, x)| x - sums(i).ln()).collect();
        let soft: Vec<f64> = logs.iter().map(|x| x.exp()).collect();
        for (op, want) in [(Op::Softmax { axis }, soft), (Op::LogSoftmax { axis }, logs)] {
            let single: Vec<f32> = want.iter().map(|x| *x as f32).collect();
            let single = Some(Tensor::new(&[2, 3, 4], &single));
            check(op.clone(), &[Some(x.clone())], single.clone());
            check_ranged(|_| op.clone(), &[Some(x.clone())], &[(0, axis)], single);
            check(op, &[Some(doubled(&x))], Some(Tensor::new(&[2, 3, 4], &want)));
        }
        let none = Some(noise(&[2, 0, 4], 1));
        check_ranged(|_| Op::Softmax { axis }, from_ref(&none), &[(0, 1)], none.clone());
    }
}

/// Rows normalized in double precision, then each element passed to `f` with its column.
fn normalized(x: &Tensor, cols: usize, epsilon: f64, f: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut y = Vec::new();
    for row in x.to_f64s().chunks(cols) {
        let mean = row.iter().sum::<f64>() / cols as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / cols as f64;
        let scale = 1.0 / (variance + epsilon).sqrt();
        y.extend(row.iter().enumerate().map(|(i, x)| f(i, (x - mean) * scale)));
    }
    y
}

fn single(shape: &[usize], data: &[f64]) -> Tensor {
    Tensor::new(shape, &data.iter().map(|x| *x as f32).collect::<Vec<f32>>())
}

#[test]
fn layer_norm_of_every_form_of_scale() {
    let (x, epsilon) = (noise(&[3, 4, 5], 3), 1e-3f32);
    let (scale, bias) = (noise(&[4, 5], 4), noise(&[5], 5));
    let (s, t) = (scale.to_f64s(), bias.to_f64s());
    let want = normalized(&x, 20, f64::from(epsilon), |i, v| v * s[i] + t[i % 5]);
    let op = Op::LayerNorm { axis: 1, epsilon };
    let operands = [Some(x.clone()), Some(scale.clone()), Some(bias.clone())];
    let got = run(op.clone(), &operands);
    assert_same(&got[..1], &[single(&[3, 4, 5], &want)]);
    assert_eq!(got[1].shape(), &[3, 1, 1]);
    // The moments are those of the rows.
    let mean: Vec<f64> = x.to_f64s().chunks(20).map(|r| r.iter().sum::<f64>() / 20.0).collect();
    assert_same(&got[1..2], &[single(&[3, 1, 1], &mean)]);
    let doubles = operands.map(|x| x.map(|x| doubled(&x)));
    let got = run(op, &doubles);
    let exact = normalized(&x, 20, f64::from(epsilon), |i, v| v * s[i] + t[i % 5]);
    assert_same(&got[..1], &[Tensor::new(&[3, 4, 5], &exact)]);
    // A scalar scale, no bias; a ranged batch.
    let want = normalized(&x, 5, f64::from(epsilon), |_, v| v * 0.5);
    let op = Op::LayerNorm { axis: 2, epsilon };
    let operands = [Some(x.clone()), f32s(&[], &[0.5])];
    assert_same(&run(op.clone(), &operands)[..1], &[single(&[3, 4, 5], &want)]);
    let got = run_ranged(|_| op.clone(), &operands, &[(0, 0)]);
    assert_same(&got[..1], &[single(&[3, 4, 5], &want)]);
    let none = [Some(noise(&[0, 4, 5], 1)), f32s(&[], &[0.5])];
    assert_eq!(run_ranged(|_| op.clone(), &none, &[(0, 0)])[0].len(), 0);
    // Scale and data are one value.
    let mut g = crate::graph::Graph::default();
    let fact = crate::graph::Fact { dtype: DType::F32, shape: vec![Dim::Fixed(3)] };
    let a = g.add_value("a", &fact);
    g.inputs.push(crate::graph::Port { name: "a".into(), value: a });
    let neg = Op::Unary(crate::graph::ops::Unary::Neg);
    let n = g.add_node("neg", neg, &[Some(a)], &[]).expect("suits")[0];
    let op = Op::LayerNorm { axis: 0, epsilon };
    let y = g.add_node("norm", op, &[Some(n), Some(n)], &[]).expect("suits")[0];
    g.outputs.push(crate::graph::Port { name: "y".into(), value: y });
    crate::compile::compile(&g).expect("compiles");
}

#[test]
fn rms_norm() {
    let x = noise(&[2, 6], 6);
    let scale = noise(&[6], 7);
    let mut want = Vec::new();
    for row in x.to_f64s().chunks(6) {
        let square = row.iter().map(|x| x * x).sum::<f64>() / 6.0;
        let scaled = row.iter().zip(scale.to_f64s());
        want.extend(scaled.map(|(x, s)| x / (square + f64::from(1e-5f32)).sqrt() * s));
    }
    let op = Op::RmsNorm { axis: 1, epsilon: 1e-5 };
    check(op.clone(), &[Some(x.clone()), Some(scale.clone())], Some(single(&[2, 6], &want)));
    let operands = [Some(doubled(&x)), Some(doubled(&scale))];
    check(op, &operands, Some(Tensor::new(&[2, 6], &want)));
}

#[test]
fn batch_norm_with_known_and_unknown_operands() {
    for shape in [&[2, 3, 5][..], &[2, 3]] {
        let x = noise(shape, 8);
        let inner = x.len() / 6;
        let [scale, bias, mean] = [9, 10, 11].map(|seed| noise(&[3], seed));
        let variance = Tensor::vector(&[0.5f32, 1.0, 2.0]);
        let [s, t, m, v] = [&scale, &bias, &mean, &variance].map(Tensor::to_f64s);
        let want: Vec<f64> = x
            .to_f64s()
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let c = i / inner % 3;
                (x - m[c]) / (v[c] + f64::from(1e-5f32)).sqrt() * s[c] + t[c]
            })
            .collect();
        let op = Op::BatchNorm { epsilon: 1e-5 };
        let operands = [x, scale, bias, mean, variance].map(Some);
        check(op.clone(), &operands, Some(single(shape, &want)));
        check_ranged(|_| op.clone(), &operands, &[(0, 0)], Some(single(shape, &want)));
        let doubles = operands.map(|x| x.map(|x| doubled(&x)));
        check(op, &doubles, Some(Tensor::new(shape, &want)));
    }
}

#[test]
fn group_norm() {
    let x = noise(&[2, 4, 3], 12);
    let (scale, bias) = (noise(&[4], 13), noise(&[4], 14));
    let (s, t) = (scale.to_f64s(), bias.to_f64s());
    for groups in [1, 2, 4] {
        let members = 4 / groups;
        let count = std::cell::Cell::new(0);
        let want = normalized(&x, members * 3, f64::from(1e-5f32), |_, v| {
            let c = count.replace(count.get() + 1) / 3 % 4;
            v * s[c] + t[c]
        });
        let op = Op::GroupNorm { groups, epsilon: 1e-5 };
        let operands = [&x, &scale, &bias].map(|x| Some(x.clone()));
        check(op.clone(), &operands, Some(single(&[2, 4, 3], &want)));
        let ranged = |_: Dim| op.clone();
        check_ranged(ranged, &operands, &[(0, 2)], Some(single(&[2, 4, 3], &want)));
        let doubles = operands.map(|x| x.map(|x| doubled(&x)));
        check(op, &doubles, Some(Tensor::new(&[2, 4, 3], &want)));
    }
}
