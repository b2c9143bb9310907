use std::slice;
use std::sync::Arc;

use smallvec::smallvec;

use super::super::super::harness::{assert_same, check, check_ranged, f32s, i64s, run};
use crate::graph::dim::Dim;
use crate::graph::ops::trees::{Aggregate, Branch, Child, Ensemble, Split};
use crate::graph::ops::{SvmPairs, TreeEnsemble};
use crate::graph::{Op, Tensor};
use crate::kernels::suite::Rng;
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

/// Where a row of features leads, by the definition.
fn leaf_of(trees: &Ensemble, root: Child, row: &[f32]) -> usize {
    let mut at = root;
    loop {
        let branch = match at {
            Child::Leaf(leaf) => return leaf,
            Child::Branch(branch) => &trees.branches[branch],
        };
        let x = row[branch.feature];
        let holds = match branch.split {
            Split::LessOrEqual(v) => x <= v as f32,
            Split::Less(v) => x < v as f32,
            Split::GreaterOrEqual(v) => x >= v as f32,
            Split::Greater(v) => x > v as f32,
            _ => unreachable!("no comparison of order"),
        };
        at = branch.children[usize::from(!(holds || branch.nan_holds && x.is_nan()))];
    }
}

/// Trees of every shape, with few and with many features, one row and several, against a walk by
/// the definition: the same bits.
#[test]
fn comparisons_of_order_are_walked_exactly() {
    const THRESHOLDS: [f64; 8] = [0.0, -0.0, 0.5, 1.0, -1.5, f32::MAX as f64, f64::INFINITY, 1e-45];
    let mut rng = Rng::new(5);
    for case in 0..60 {
        let features = [1, 5, 8, 40][case % 4];
        let (targets, single) = (1 + case % 3, case % 5 < 3);
        let mut trees = Ensemble::default();
        for _ in 0..1 + rng.below(20) {
            let target = rng.below(targets);
            let mut leaves = 1 + rng.below(40);
            let mut children: Vec<Child> = Vec::new();
            while leaves > 0 || children.len() > 1 {
                // A new leaf, or a branch above two nodes, the last ones more often than not.
                if leaves > 0 && (children.len() < 2 || rng.below(2) == 0) {
                    leaves -= 1;
                    children.push(Child::Leaf(trees.leaves.len()));
                    let weight = |rng: &mut Rng| f64::from(rng.uniform(-2.0, 2.0));
                    trees.leaves.push(match single {
                        true => smallvec![(target, weight(&mut rng))],
                        false => {
                            (0..rng.below(3)).map(|t| (t % targets, weight(&mut rng))).collect()
                        }
                    });
                } else {
                    let (Some(b), Some(a)) = (children.pop(), children.pop()) else { break };
                    let v = match rng.below(3) {
                        0 => THRESHOLDS[rng.below(8)],
                        _ => f64::from(rng.uniform(-2.0, 2.0)),
                    };
                    let split = [
                        Split::LessOrEqual(v),
                        Split::Less(v),
                        Split::GreaterOrEqual(v),
                        Split::Greater(v),
                    ][if case % 2 == 0 { case % 4 } else { rng.below(4) }]
                    .clone();
                    children.push(Child::Branch(trees.branches.len()));
                    trees.branches.push(Branch {
                        feature: rng.below(features),
                        split,
                        nan_holds: rng.below(2) == 0,
                        children: [a, b],
                    });
                }
            }
            trees.roots.extend(children);
        }
        let rows = [1, 7, 8, 19][case / 4 % 4];
        let x: Vec<f32> = rng
            .any_vector(rows * features)
            .into_iter()
            .map(|x| if x == 2.5 { THRESHOLDS[3] as f32 } else { x })
            .collect();
        let mut want = vec![0f32; rows * targets];
        for (row, want) in x.chunks(features).zip(want.chunks_mut(targets)) {
            for root in &trees.roots {
                for (target, weight) in &trees.leaves[leaf_of(&trees, *root, row)] {
                    want[*target] += *weight as f32;
                }
            }
        }
        let (trees, aggregate) = (Arc::new(trees), Aggregate::Sum);
        let op = Op::TreeEnsemble(TreeEnsemble { trees, targets, aggregate });
        let got = run(op, &[f32s(&[rows, features], &x)]);
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(got[0].as_slice().unwrap()), bits(&want), "case {case}");
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
