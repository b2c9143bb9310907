use super::super::super::harness::{assert_same, check, check_ranged, f32s, i64s, run};
use crate::graph::dim::Dim;
use crate::graph::ops::{Aggregate, SvmPairs, TreeEnsemble};
use crate::graph::{Op, Tensor};
use crate::kernels::trees::{HIGH_SHIFT, Mode, NAN_HOLDS, ONE_WEIGHT};
use crate::tensor::DType;

const LEAF: u32 = Mode::Leaf as u32;

/// A branch on feature `x`, its children at `next`.
fn branch(flags: u32, x: u32, next: u32, threshold: f32) -> [u32; 3] {
    [flags | x << HIGH_SHIFT, next, threshold.to_bits()]
}

fn leaf(at: u32, target: u32, weight: f32) -> [u32; 3] {
    [LEAF | ONE_WEIGHT | target << HIGH_SHIFT, at, weight.to_bits()]
}

fn u32s(values: &[u32]) -> Option<Tensor> {
    Some(Tensor::vector(values))
}

/// Two trees: `x0 <= 0.5 ? 1 : (x1 in {2, 4} ? 10 : both)`, and a leaf of 100.
fn trees() -> [Option<Tensor>; 4] {
    let nodes = [
        branch(Mode::LessOrEqual as u32, 0, 1, 0.5),
        leaf(1, 0, 1.0),
        [Mode::Member as u32 | NAN_HOLDS | 1 << HIGH_SHIFT, 3, 0],
        leaf(3, 1, 10.0),
        [LEAF | 2 << HIGH_SHIFT, 4, 3],
        leaf(5, 0, 100.0),
    ];
    let values = f32s(&[5], &[2.0, 4.0, f32::NAN, 7.0, 8.0]);
    [u32s(nodes.as_flattened()), u32s(&[0, 5]), u32s(&[0, 0, 0, 0, 1]), values]
}

fn op(aggregate: Aggregate) -> Op {
    Op::TreeEnsemble(TreeEnsemble { targets: 2, depth: 2, aggregate })
}

fn with_trees(x: Option<Tensor>) -> Vec<Option<Tensor>> {
    let [nodes, roots, targets, values] = trees();
    vec![x, nodes, roots, targets, values]
}

#[test]
fn trees_are_walked() {
    let x = f32s(&[5, 2], &[0.5, 0., 0.6, 4., 0.6, 3., f32::NAN, f32::NAN, 9., 2.]);
    let rows = with_trees(x.clone());
    let want = [101., 0., 100., 10., 107., 8., 100., 10., 100., 10.];
    check(op(Aggregate::Sum), &rows, f32s(&[5, 2], &want));
    let halves = want.map(|v| v / 2.0);
    check(op(Aggregate::Average), &rows, f32s(&[5, 2], &halves));
    let least = [1., 0., 100., 10., 7., 8., 100., 10., 100., 10.];
    check(op(Aggregate::Min), &rows, f32s(&[5, 2], &least));
    let most = [100., 0., 100., 10., 100., 8., 100., 10., 100., 10.];
    check(op(Aggregate::Max), &rows, f32s(&[5, 2], &most));
    check_ranged(|_| op(Aggregate::Sum), &rows, &[(0, 0)], f32s(&[5, 2], &want));
    let none = with_trees(f32s(&[0, 2], &[]));
    check_ranged(|_| op(Aggregate::Sum), &none, &[(0, 0)], f32s(&[0, 2], &[]));
}

#[test]
fn doubles_are_compared_as_doubles() {
    let near = 0.5 + 1e-12;
    let word = |v: f64| [v.to_bits() as u32, (v.to_bits() >> 32) as u32];
    let ([a, b], [c, d], [e, f]) = (word(0.5), word(1.0), word(2.0));
    let one = LEAF | ONE_WEIGHT;
    let nodes = [Mode::Less as u32, 1, a, b, one, 1, c, d, one, 2, e, f];
    let x = Some(Tensor::new(&[3, 1], &[0.5 - 1e-12, 0.5, near]));
    let tables = [u32s(&nodes), u32s(&[0]), u32s(&[]), Some(Tensor::vector::<f64>(&[]))];
    let op = Op::TreeEnsemble(TreeEnsemble { targets: 1, depth: 1, aggregate: Aggregate::Sum });
    let operands: Vec<_> = std::iter::once(x).chain(tables).collect();
    check(op, &operands, Some(Tensor::new(&[3, 1], &[1.0, 2.0, 2.0])));
}

#[test]
fn trees_that_lead_nowhere_give_nothing() {
    let circle = [branch(0, 0, 0, 0.0), branch(0, 0, 0, 0.0)];
    let outside = [branch(0, 9, 1, 0.0), branch(0, 0, u32::MAX, 0.0)];
    for nodes in [circle, outside] {
        let tables = [u32s(nodes.as_flattened()), u32s(&[0, 1, 77]), u32s(&[]), f32s(&[0], &[])];
        let x = f32s(&[1, 1], &[1.0]);
        let operands: Vec<_> = std::iter::once(x).chain(tables).collect();
        check(op(Aggregate::Max), &operands, f32s(&[1, 2], &[0.0, 0.0]));
    }
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
    let starts = u32s(&[0, 2, 2, 3]);
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
