use super::super::fixture::Formula;
use super::*;
use crate::graph::Dim;
use crate::graph::ops::{Reduce, ReduceKind};

type Written = fn(&mut Formula, ValueId) -> ValueId;

/// Asserts that each formula becomes this operator alone.
fn all_become(op: &Op, formulas: &[Written]) {
    for formula in formulas {
        let (mut f, x) = Formula::of(&[-1, 3, 12]);
        let y = formula(&mut f, x);
        f.output(y);
        let graph = f.becomes(fuse, &[op.name()]);
        match (&graph.nodes[0].op, op) {
            (Op::Unary(Unary::Swish { alpha }), Op::Unary(Unary::Swish { alpha: wanted })) => {
                assert!((alpha - wanted).abs() < 1e-6);
            }
            (Op::Unary(Unary::HardSigmoid { alpha, .. }), Op::Unary(_)) => {
                assert!((alpha - 1.0 / 6.0).abs() < 1e-6);
            }
            (found, op) => assert_eq!(found, op),
        }
        assert_eq!(graph.nodes[0].inputs, [Some(x)]);
    }
}

/// Asserts that a formula stays as it is.
fn stays(formula: Written) {
    let (mut f, x) = Formula::of(&[2, 12]);
    let y = formula(&mut f, x);
    f.output(y);
    let before = f.graph.nodes.iter().map(|node| node.op.name()).collect::<Vec<_>>();
    f.becomes(fuse, &before);
}

fn gate(f: &mut Formula, op: Unary, x: ValueId) -> ValueId {
    let y = f.unary(op, x);
    f.mul(x, y)
}

#[test]
fn gelu() {
    all_become(
        &Op::Unary(Unary::Gelu),
        &[
            |f, x| {
                let root = f.number(std::f32::consts::SQRT_2);
                let u = f.div(x, root);
                let e = f.unary(Unary::Erf, u);
                let e = f.plus(e, 1.0);
                let y = f.mul(x, e);
                f.times(y, 0.5)
            },
            |f, x| {
                let u = f.times(x, 0.707_106_77);
                let e = f.unary(Unary::Erf, u);
                let one = f.number(1.0);
                let e = f.add(one, e);
                let half = f.times(e, 0.5);
                f.mul(half, x)
            },
            |f, x| {
                let u = f.times(x, 0.707_106_77);
                let e = f.unary(Unary::Erf, u);
                let e = f.times(e, 0.5);
                let e = f.plus(e, 0.5);
                f.mul(e, x)
            },
            // By what is left of the error function: 1 - erf(-x).
            |f, x| {
                let u = f.unary(Unary::Neg, x);
                let u = f.times(u, 0.707_106_77);
                let e = f.unary(Unary::Erf, u);
                let one = f.number(1.0);
                let e = f.sub(one, e);
                let two = f.number(2.0);
                let half = f.div(x, two);
                f.mul(half, e)
            },
        ],
    );
}

#[test]
fn gelu_of_a_scaled_value() {
    // The scale belongs to the argument, not to the function.
    let (mut f, a) = Formula::of(&[2, 12]);
    let x = f.times(a, 0.5);
    let u = f.times(x, 0.707_106_77);
    let e = f.unary(Unary::Erf, u);
    let e = f.plus(e, 1.0);
    let half = f.times(x, 0.5);
    let y = f.mul(half, e);
    f.output(y);
    f.becomes(fuse, &["Mul", "Gelu"]);
}

#[test]
fn gelu_by_the_hyperbolic_tangent() {
    all_become(
        &Op::Unary(Unary::GeluTanh),
        &[
            |f, x| {
                let three = f.number(3.0);
                let cube = f.binary(Binary::Pow, x, three);
                let cube = f.times(cube, 0.044715);
                let u = f.add(x, cube);
                let u = f.times(u, 0.797_884_6);
                let t = f.unary(Unary::Tanh, u);
                let t = f.plus(t, 1.0);
                let half = f.times(x, 0.5);
                f.mul(half, t)
            },
            |f, x| {
                let square = f.mul(x, x);
                let inner = f.times(square, 0.044715);
                let inner = f.plus(inner, 1.0);
                let outer = f.times(x, 0.797_884_6);
                let u = f.mul(outer, inner);
                let t = f.unary(Unary::Tanh, u);
                let t = f.plus(t, 1.0);
                let t = f.times(t, 0.5);
                f.mul(x, t)
            },
        ],
    );
}

#[test]
fn silu_and_swish() {
    all_become(
        &Op::Unary(Unary::Silu),
        &[
            |f, x| gate(f, Unary::Sigmoid, x),
            |f, x| {
                let minus = f.unary(Unary::Neg, x);
                let e = f.unary(Unary::Exp, minus);
                let sum = f.plus(e, 1.0);
                f.div(x, sum)
            },
            |f, x| {
                let minus = f.times(x, -1.0);
                let e = f.unary(Unary::Exp, minus);
                let sum = f.plus(e, 1.0);
                let s = f.unary(Unary::Reciprocal, sum);
                f.mul(s, x)
            },
        ],
    );
    all_become(
        &Op::Unary(Unary::Swish { alpha: 1.702 }),
        &[|f, x| {
            let u = f.times(x, 1.702);
            let s = f.unary(Unary::Sigmoid, u);
            f.mul(s, x)
        }],
    );
}

#[test]
fn a_gate_of_a_product() {
    let (mut f, a) = Formula::of(&[2, 12]);
    let b = f.unary(Unary::Tanh, a);
    let x = f.mul(a, b);
    let y = gate(&mut f, Unary::Sigmoid, x);
    f.output(y);
    f.becomes(fuse, &["Tanh", "Mul", "Silu"]);
}

#[test]
fn sigmoid() {
    all_become(
        &Op::Unary(Unary::Sigmoid),
        &[
            |f, x| {
                let minus = f.unary(Unary::Neg, x);
                let e = f.unary(Unary::Exp, minus);
                let sum = f.plus(e, 1.0);
                let one = f.number(1.0);
                f.div(one, sum)
            },
            |f, x| {
                let zero = f.number(0.0);
                let minus = f.sub(zero, x);
                let e = f.unary(Unary::Exp, minus);
                let sum = f.plus(e, 1.0);
                f.unary(Unary::Reciprocal, sum)
            },
            |f, x| {
                let half = f.times(x, 0.5);
                let t = f.unary(Unary::Tanh, half);
                let t = f.times(t, 0.5);
                f.plus(t, 0.5)
            },
        ],
    );
}

#[test]
fn softplus_and_mish() {
    let far: Written = |f, x| {
        // The function, or x itself where that is the same.
        let bound = f.number(20.0);
        let condition = f.op(Op::Compare(Compare::Greater), &[x, bound]);
        let e = f.unary(Unary::Exp, x);
        let sum = f.plus(e, 1.0);
        let log = f.unary(Unary::Log, sum);
        f.op(Op::Where, &[condition, x, log])
    };
    let apart: Written = |f, x| {
        let size = f.unary(Unary::Abs, x);
        let minus = f.unary(Unary::Neg, size);
        let e = f.unary(Unary::Exp, minus);
        let sum = f.plus(e, 1.0);
        let log = f.unary(Unary::Log, sum);
        let zero = f.number(0.0);
        let above = f.binary(Binary::Max, x, zero);
        f.add(above, log)
    };
    all_become(&Op::Unary(Unary::Softplus), &[far, apart]);
    all_become(
        &Op::Unary(Unary::Mish),
        &[
            |f, x| {
                let e = f.unary(Unary::Exp, x);
                let one = f.number(1.0);
                let sum = f.add(one, e);
                let log = f.unary(Unary::Log, sum);
                gated_tanh(f, x, log)
            },
            |f, x| {
                let log = f.unary(Unary::Softplus, x);
                gated_tanh(f, x, log)
            },
        ],
    );
}

fn gated_tanh(f: &mut Formula, x: ValueId, log: ValueId) -> ValueId {
    let t = f.unary(Unary::Tanh, log);
    f.mul(x, t)
}

#[test]
fn functions_by_limits() {
    let hard: Written = |f, x| {
        let three = f.plus(x, 3.0);
        let clip = f.unary(Unary::Clip { min: 0.0, max: 6.0 }, three);
        let six = f.number(6.0);
        f.div(clip, six)
    };
    let steps: Written = |f, x| {
        let u = f.times(x, 1.0 / 6.0);
        let u = f.plus(u, 0.5);
        let (zero, one) = (f.number(0.0), f.number(1.0));
        let low = f.binary(Binary::Max, u, zero);
        f.binary(Binary::Min, one, low)
    };
    let beta = 0.5;
    all_become(&Op::Unary(Unary::HardSigmoid { alpha: 1.0 / 6.0, beta }), &[hard, steps]);
    all_become(
        &Op::Unary(Unary::HardSwish),
        &[
            |f, x| {
                let three = f.plus(x, 3.0);
                let clip = f.unary(Unary::Clip { min: 0.0, max: 6.0 }, three);
                let y = f.mul(x, clip);
                f.times(y, 1.0 / 6.0)
            },
            |f, x| {
                let three = f.plus(x, 3.0);
                let clip = f.unary(Unary::Clip { min: 0.0, max: 6.0 }, three);
                let six = f.number(6.0);
                let s = f.div(clip, six);
                f.mul(s, x)
            },
        ],
    );
    all_become(
        &Op::Unary(Unary::Clip { min: -1.0, max: 2.0 }),
        &[
            |f, x| {
                let (low, high) = (f.number(-1.0), f.number(2.0));
                let y = f.binary(Binary::Max, x, low);
                f.binary(Binary::Min, high, y)
            },
            |f, x| {
                let (low, high) = (f.number(-1.0), f.number(2.0));
                let y = f.binary(Binary::Min, x, high);
                f.binary(Binary::Max, y, low)
            },
        ],
    );
    all_become(
        &Op::Unary(Unary::Relu),
        &[
            |f, x| {
                let zero = f.number(0.0);
                f.binary(Binary::Max, zero, x)
            },
            |f, x| {
                let zero = f.number(0.0);
                let condition = f.op(Op::Compare(Compare::Less), &[x, zero]);
                f.op(Op::Where, &[condition, zero, x])
            },
        ],
    );
    all_become(
        &Op::Unary(Unary::ThresholdedRelu { alpha: 0.0 }),
        &[|f, x| {
            let zero = f.number(0.0);
            let condition = f.op(Op::Compare(Compare::Greater), &[x, zero]);
            f.op(Op::Where, &[condition, x, zero])
        }],
    );
}

#[test]
fn one_function_above_zero_and_another_below() {
    all_become(
        &Op::Unary(Unary::LeakyRelu { alpha: 0.25 }),
        &[
            |f, x| {
                let zero = f.number(0.0);
                let condition = f.op(Op::Compare(Compare::GreaterOrEqual), &[x, zero]);
                let below = f.times(x, 0.25);
                f.op(Op::Where, &[condition, x, below])
            },
            |f, x| {
                let below = f.times(x, 0.25);
                f.binary(Binary::Max, below, x)
            },
        ],
    );
    all_become(
        &Op::Unary(Unary::Elu { alpha: 1.5 }),
        &[
            |f, x| {
                // The argument of the exponential kept from overflowing.
                let zero = f.number(0.0);
                let condition = f.op(Op::Compare(Compare::Greater), &[x, zero]);
                let safe = f.op(Op::Where, &[condition, zero, x]);
                let below = scaled_exponential(f, safe, 1.5);
                f.op(Op::Where, &[condition, x, below])
            },
            |f, x| {
                let below = scaled_exponential(f, x, 1.5);
                let zero = f.number(0.0);
                let above = f.binary(Binary::Max, x, zero);
                let below = f.binary(Binary::Min, zero, below);
                f.add(below, above)
            },
        ],
    );
    let op = Op::Unary(Unary::Selu { alpha: 1.673_263_2, gamma: 1.050_701 });
    all_become(
        &op,
        &[|f, x| {
            let zero = f.number(0.0);
            let condition = f.op(Op::Compare(Compare::Greater), &[x, zero]);
            let below = scaled_exponential(f, x, 1.673_263_2);
            let y = f.op(Op::Where, &[condition, x, below]);
            f.times(y, 1.050_701)
        }],
    );
}

fn scaled_exponential(f: &mut Formula, x: ValueId, alpha: f32) -> ValueId {
    let e = f.unary(Unary::Exp, x);
    let e = f.plus(e, -1.0);
    f.times(e, alpha)
}

fn largest(f: &mut Formula, x: ValueId, axis: usize, keep_dims: bool) -> ValueId {
    f.op(Op::Reduce(Reduce { kind: ReduceKind::Max, axes: vec![axis], keep_dims }), &[x])
}

#[test]
fn softmax() {
    all_become(
        &Op::Softmax { axis: 2 },
        &[
            |f, x| {
                let max = largest(f, x, 2, true);
                let z = f.sub(x, max);
                let e = f.unary(Unary::Exp, z);
                let sum = f.reduce(ReduceKind::Sum, e, &[2], true);
                f.div(e, sum)
            },
            |f, x| {
                // The exponential written twice, and no largest element taken off.
                let [a, b] = [0, 1].map(|_| f.unary(Unary::Exp, x));
                let sum = f.reduce(ReduceKind::Sum, a, &[2], true);
                let inverse = f.unary(Unary::Reciprocal, sum);
                f.mul(inverse, b)
            },
        ],
    );
    all_become(
        &Op::LogSoftmax { axis: 1 },
        &[
            |f, x| {
                let max = largest(f, x, 1, true);
                let z = f.sub(x, max);
                let e = f.unary(Unary::Exp, z);
                let sum = f.reduce(ReduceKind::Sum, e, &[1], true);
                let log = f.unary(Unary::Log, sum);
                f.sub(z, log)
            },
            |f, x| {
                let sum = f.reduce(ReduceKind::LogSumExp, x, &[1], true);
                f.sub(x, sum)
            },
        ],
    );
}

#[test]
fn softmax_with_axes_taken_away_and_put_back() {
    let (mut f, x) = Formula::of(&[2, 3, 12]);
    let max = largest(&mut f, x, 1, false);
    let max = f.op(Op::Reshape { shape: [2, 1, 12].map(Dim::Fixed).to_vec() }, &[max]);
    let wide = f.op(Op::Expand { shape: [2, 3, 12].map(Dim::Fixed).to_vec() }, &[max]);
    let z = f.sub(x, wide);
    let e = f.unary(Unary::Exp, z);
    let sum = f.reduce(ReduceKind::Sum, e, &[1], false);
    let sum = f.op(Op::Reshape { shape: [2, 1, 12].map(Dim::Fixed).to_vec() }, &[sum]);
    let wide = f.op(Op::Expand { shape: [2, 3, 12].map(Dim::Fixed).to_vec() }, &[sum]);
    let y = f.div(e, wide);
    f.output(y);
    f.becomes(fuse, &["Softmax"]);
}

#[test]
fn what_only_looks_like_a_function_stays() {
    // A sum along another axis than it is divided along: rows and columns are equally many.
    let (mut f, x) = Formula::of(&[12, 12]);
    let e = f.unary(Unary::Exp, x);
    let sum = f.reduce(ReduceKind::Sum, e, &[1], false);
    let y = f.div(e, sum);
    f.output(y);
    f.becomes(fuse, &["Exp", "ReduceSum", "Div"]);

    stays(|f, x| {
        // Another constant.
        let u = f.times(x, 0.72);
        let e = f.unary(Unary::Erf, u);
        let e = f.plus(e, 1.0);
        let y = f.mul(x, e);
        f.times(y, 0.5)
    });
    stays(|f, x| {
        // Not centered.
        let u = f.plus(x, 1.0);
        let s = f.unary(Unary::Sigmoid, u);
        f.mul(x, s)
    });
    stays(|f, x| {
        let e = f.unary(Unary::Exp, x);
        let sum = f.plus(e, 2.0);
        f.unary(Unary::Log, sum)
    });
    stays(|f, x| {
        let bound = f.number(1.0);
        let condition = f.op(Op::Compare(Compare::Greater), &[x, bound]);
        let below = f.times(x, 0.25);
        f.op(Op::Where, &[condition, x, below])
    });
    stays(|f, x| {
        // Below a slope above one, the larger is the smaller.
        let steep = f.times(x, 1.5);
        f.binary(Binary::Max, x, steep)
    });
}

#[test]
fn a_function_that_somebody_else_reads_stays() {
    let (mut f, x) = Formula::of(&[2, 12]);
    let s = f.unary(Unary::Sigmoid, x);
    let y = f.mul(x, s);
    f.output(y);
    f.output(s);
    f.becomes(fuse, &["Sigmoid", "Mul"]);
}
