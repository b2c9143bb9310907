use std::slice;
use std::sync::Arc;

use smallvec::smallvec;

use super::super::super::harness::{assert_same, check, check_ranged, f32s, i64s, run};
use crate::graph::dim::Dim;
use crate::graph::ops::trees::{Aggregate, Branch, Child, Ensemble, Split};
use crate::graph::ops::{SvmPairs, TreeEnsemble};
use crate::graph::{Op, Tensor};
use crate::tensor::DType;

fn branch(feature: usize, split: Split, children: [Child; 2]) -> Branch {
    Branch { feature, split, nan_holds: feature == 1, children }
}

/// Two trees: `x0 <= 0.5 ? 1 : (x1 in {2, 4} ? 10 : both)`, and a leaf of 100.
fn op(aggregate: Aggregate) -> Op {
    let first = branch(0, Split::LessOrEqual(0.5), [Child::Leaf(0), Child::Branch(1)]);
    let second = branch(1, Split::Member(vec![2.0, 4.0]), [Child::Leaf(1), Child::Leaf(2)]);
    let both = smallvec![(0, 7.0), (1, 8.0)];
    let trees = Ensemble {
        branches: vec![first, second],
        leaves: vec![smallvec![(0, 1.0)], smallvec![(1, 10.0)], both, smallvec![(0, 100.0)]],
        roots: vec![Child::Branch(0), Child::Leaf(3)],
    };
    Op::TreeEnsemble(TreeEnsemble { trees: Arc::new(trees), targets: 2, aggregate })
}

#[test]
fn trees_are_walked() {
    let x = f32s(&[5, 2], &[0.5, 0., 0.6, 4., 0.6, 3., f32::NAN, f32::NAN, 9., 2.]);
    let rows = [x];
    let want = [101., 0., 100., 10., 107., 8., 100., 10., 100., 10.];
    check(op(Aggregate::Sum), &rows, f32s(&[5, 2], &want));
    let halves = want.map(|v| v / 2.0);
    check(op(Aggregate::Average), &rows, f32s(&[5, 2], &halves));
    let least = [1., 0., 100., 10., 7., 8., 100., 10., 100., 10.];
    check(op(Aggregate::Min), &rows, f32s(&[5, 2], &least));
    let most = [100., 0., 100., 10., 100., 8., 100., 10., 100., 10.];
    check(op(Aggregate::Max), &rows, f32s(&[5, 2], &most));
    check_ranged(|_| op(Aggregate::Sum), &rows, &[(0, 0)], f32s(&[5, 2], &want));
    let none = [f32s(&[0, 2], &[])];
    check_ranged(|_| op(Aggregate::Sum), &none, &[(0, 0)], f32s(&[0, 2], &[]));
}

#[test]
fn every_comparison() {
    let x = f32s(&[4, 1], &[1.0, 2.0, 3.0, f32::NAN]);
    for (split, want) in [
        (Split::LessOrEqual(2.0), [1.0, 1., 0., 0.]),
        (Split::Less(2.0), [1.0, 0., 0., 0.]),
        (Split::GreaterOrEqual(2.0), [0.0, 1., 1., 0.]),
        (Split::Greater(2.0), [0.0, 0., 1., 0.]),
        (Split::Equal(2.0), [0.0, 1., 0., 0.]),
        (Split::NotEqual(2.0), [1.0, 0., 1., 1.]),
        (Split::Member(vec![]), [0.0; 4]),
    ] {
        let trees = Ensemble {
            branches: vec![branch(0, split, [Child::Leaf(0), Child::Leaf(1)])],
            leaves: vec![smallvec![(0, 1.0)], smallvec![]],
            roots: vec![Child::Branch(0)],
        };
        let aggregate = Aggregate::Max;
        let op = Op::TreeEnsemble(TreeEnsemble { trees: Arc::new(trees), targets: 1, aggregate });
        check(op, slice::from_ref(&x), f32s(&[4, 1], &want));
    }
}

#[test]
fn doubles_are_compared_as_doubles() {
    let trees = Ensemble {
        branches: vec![branch(0, Split::Less(0.5), [Child::Leaf(0), Child::Leaf(1)])],
        leaves: vec![smallvec![(0, 1.0)], smallvec![(0, 2.0)]],
        roots: vec![Child::Branch(0)],
    };
    let aggregate = Aggregate::Sum;
    let op = Op::TreeEnsemble(TreeEnsemble { trees: Arc::new(trees), targets: 1, aggregate });
    let x = Some(Tensor::new(&[3, 1], &[0.5 - 1e-12, 0.5, 0.5 + 1e-12]));
    check(op, &[x], Some(Tensor::new(&[3, 1], &[1.0, 2.0, 2.0])));
}

#[test]
fn places_in_a_list() {
    let list = f32s(&[3], &[-1.0, 0.0, f32::NAN]);
    let x = f32s(&[2, 3], &[0.0, -0.0, -1.0, 5.0, f32::NAN, -2.0]);
    check(Op::Lookup, &[x.clone(), list], i64s(&[2, 3], &[1, 1, 0, 3, 2, 3]));
    check(Op::Lookup, &[x, f32s(&[0], &[])], i64s(&[2, 3], &[0; 6]));
    let codes = i64s(&[2], &[i64::MAX, i64::MIN]);
    let list = i64s(&[2], &[i64::MIN, i64::MAX]);
    check_ranged(|_| Op::Lookup, &[codes, list], &[(0, 0)], i64s(&[2], &[1, 0]));
}

#[test]
fn distances_between_rows() {
    let a = f32s(&[2, 2], &[0., 0., 1., 1.]);
    let b = f32s(&[3, 2], &[3., 4., 1., 1., 0., 1.]);
    let squares = f32s(&[2, 3], &[25., 2., 1., 13., 0., 1.]);
    let op = |squared| Op::Distances { squared };
    check(op(true), &[a.clone(), b.clone()], squares.clone());
    let roots: Vec<f64> = squares.iter().flat_map(|t| t.to_f64s()).map(f64::sqrt).collect();
    let doubles = |t: &Option<Tensor>| t.as_ref().map(|t| Tensor::new(t.shape(), &t.to_f64s()));
    check(op(false), &[doubles(&a), doubles(&b)], Some(Tensor::new(&[2, 3], &roots)));
    check_ranged(|_| op(true), &[a, b], &[(0, 0)], squares);
    let none = f32s(&[2, 0], &[]);
    check(op(true), &[none.clone(), none], f32s(&[2, 2], &[0.0; 4]));
}

#[test]
fn decisions_between_pairs() {
    // Three classes with two, none and one vector.
    let kernel = f32s(&[2, 3], &[1., 2., 3., -1., 0., 1.]);
    let coefficients = f32s(&[2, 3], &[1., 10., 100., 2., 20., 200.]);
    let rho = f32s(&[3], &[0.5, -1000.0, 0.25]);
    let starts = Some(Tensor::vector(&[0u32, 2, 2, 3]));
    let operands = [kernel, coefficients, rho, starts];
    let got = run(Op::SvmPairs(SvmPairs { classes: 3 }), &operands);
    let scores = [21.5f32, 342.0 - 1000.0, 600.25, -0.5, 98.0 - 1000.0, 200.25];
    let votes = [1.0f32, 1., 1., 0., 2., 1.];
    assert_same(&got, &[Tensor::new(&[2, 3], &scores), Tensor::new(&[2, 3], &votes)]);
}

#[test]
fn probabilities_agree_with_their_pairs() {
    // Pairs made from probabilities give these back, as near as the rounds go.
    let p = [0.5f32, 0.3, 0.2];
    let pair = |i: usize, j: usize| p[i] / (p[i] + p[j]);
    let pairs = f32s(&[1, 3], &[pair(0, 1), pair(0, 2), pair(1, 2)]);
    let got = run(Op::PairCoupling { classes: 3 }, &[pairs]);
    for (got, want) in got[0].to_f64s().into_iter().zip(p) {
        assert!((got - f64::from(want)).abs() < 5e-3, "{got} {want}");
    }
    let two = run(Op::PairCoupling { classes: 2 }, &[f32s(&[2, 1], &[0.9, 0.2])]);
    assert_eq!(two[0].dtype(), DType::F32);
    let none = f32s(&[0, 1], &[]);
    check_ranged(|_: Dim| Op::PairCoupling { classes: 2 }, &[none], &[(0, 0)], f32s(&[0, 2], &[]));
}
