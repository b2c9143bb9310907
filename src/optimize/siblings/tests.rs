//! Products of one value, together and alone.

use crate::graph::ops::{Binary, Unary};
use crate::graph::{Dim, Graph, Op, ValueId, VarId, Variable};
use crate::optimize::linear::tests::{constant, fixed, input, node, output, same_answers};

fn product(g: &mut Graph, x: ValueId, n: usize, bias: bool, seed: usize) -> ValueId {
    let w = constant(g, &[8, n], seed);
    let y = node(g, Op::MatMul, &[x, w]);
    if !bias {
        return y;
    }
    let bias = constant(g, &[n], seed + 1);
    node(g, Op::Binary(Binary::Add), &[y, bias])
}

#[test]
fn queries_keys_and_values_are_one_product() {
    let mut g = Graph { variables: vec![Variable::chosen("n", 0, 6)], ..Graph::default() };
    let rows = Dim::var(VarId(0));
    let x = input(&mut g, vec![Dim::Fixed(2), rows.clone(), Dim::Fixed(8)]);
    let heads = [12, 12, 20].map(|n| (n, product(&mut g, x, n, n == 12, n)));
    let [q, k, v] = heads.map(|(n, y)| {
        let shape = vec![Dim::Fixed(2), rows.clone(), Dim::Fixed(4), Dim::Fixed(n as i64 / 4)];
        let split = node(&mut g, Op::Reshape { shape }, &[y]);
        node(&mut g, Op::Transpose { perm: vec![0, 2, 1, 3] }, &[split])
    });
    let k = node(&mut g, Op::Transpose { perm: vec![0, 1, 3, 2] }, &[k]);
    let scores = node(&mut g, Op::MatMul, &[q, k]);
    let y = node(&mut g, Op::MatMul, &[scores, v]);
    output(&mut g, y);
    let left = same_answers(&g);
    assert_eq!(left.iter().filter(|op| **op == "Linear").count(), 1, "{left:?}");
}

#[test]
fn what_would_be_copied_stays_alone() {
    let mut g = Graph::default();
    let x = input(&mut g, fixed(&[3, 8]));
    // An output, a softmax, another activation, and two that are read as they lie.
    let kept = product(&mut g, x, 5, true, 1);
    let soft = product(&mut g, x, 5, true, 2);
    let soft = node(&mut g, Op::Softmax { axis: 1 }, &[soft]);
    let active = product(&mut g, x, 5, true, 3);
    let active = node(&mut g, Op::Unary(Unary::Tanh), &[active]);
    let [a, b] = [4, 5].map(|i| product(&mut g, x, 5, i == 4, i));
    let gated = node(&mut g, Op::Binary(Binary::Mul), &[a, b]);
    let sum = node(&mut g, Op::Binary(Binary::Add), &[gated, active]);
    [kept, soft, sum].into_iter().for_each(|y| output(&mut g, y));
    let left = same_answers(&g);
    assert_eq!(left.iter().filter(|op| **op == "Linear").count(), 4, "{left:?}");
    assert_eq!(left.iter().filter(|op| **op == "Slice").count(), 2, "{left:?}");
}
