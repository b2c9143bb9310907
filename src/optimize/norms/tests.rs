use super::super::fixture::Formula;
use super::*;
use crate::graph::Live;

const EPSILON: f32 = 1e-5;

/// `1 / sqrt(v + epsilon)`.
fn inverse_root(f: &mut Formula, v: ValueId) -> ValueId {
    let sum = f.plus(v, EPSILON);
    let root = f.unary(Unary::Sqrt, sum);
    f.unary(Unary::Reciprocal, root)
}

/// `x - mean(x)`, and the mean of its squares.
fn centered(f: &mut Formula, x: ValueId) -> [ValueId; 2] {
    let mean = f.mean(x);
    let centered = f.sub(x, mean);
    let two = f.number(2.0);
    let squares = f.binary(Binary::Pow, centered, two);
    [centered, f.mean(squares)]
}

#[test]
fn as_torchscript_writes_it() {
    let (mut f, x) = Formula::of(&[-1, 3, 12]);
    let [centered, variance] = centered(&mut f, x);
    let sum = f.plus(variance, EPSILON);
    let root = f.unary(Unary::Sqrt, sum);
    let normal = f.div(centered, root);
    let (scale, bias) = (f.row(12, 1.0), f.row(12, 2.0));
    let scaled = f.mul(normal, scale);
    let y = f.add(bias, scaled);
    f.output(y);
    let graph = f.becomes(fuse, &["LayerNormalization"]);
    assert_eq!(graph.nodes[0].op, Op::LayerNorm { axis: 2, epsilon: EPSILON });
    assert_eq!(graph.nodes[0].inputs.len(), 3);
}

#[test]
fn as_keras_writes_it() {
    // x * inv * gamma + (beta - mean * inv * gamma)
    let (mut f, x) = Formula::of(&[2, 12]);
    let [_, variance] = centered(&mut f, x);
    let mean = f.mean(x);
    let inverse = inverse_root(&mut f, variance);
    let (scale, bias) = (f.row(12, 1.0), f.row(12, 2.0));
    let factor = f.mul(inverse, scale);
    let (a, b) = (f.mul(x, factor), f.mul(mean, factor));
    let shift = f.sub(bias, b);
    let y = f.add(a, shift);
    f.output(y);
    f.becomes(fuse, &["LayerNormalization"]);
}

#[test]
fn as_flax_writes_it() {
    // The variance as the mean of squares less the square of the mean, on fewer axes.
    let (mut f, x) = Formula::of(&[2, 3, 12]);
    let squares = f.mul(x, x);
    let [mean, square] = [x, squares].map(|v| f.reduce(ReduceKind::Mean, v, &[2], false));
    let squared = f.mul(mean, mean);
    let difference = f.sub(square, squared);
    let zero = f.number(0.0);
    let variance = f.binary(Binary::Max, zero, difference);
    let kept = [2, 3, 1].map(Dim::Fixed).to_vec();
    let [mean, variance] =
        [mean, variance].map(|v| f.op(Op::Reshape { shape: kept.clone() }, &[v]));
    let inverse = inverse_root(&mut f, variance);
    let (scale, bias) = (f.row(12, 1.0), f.row(12, 2.0));
    let factor = f.mul(inverse, scale);
    let wide = f.op(Op::Expand { shape: [2, 3, 12].map(Dim::Fixed).to_vec() }, &[mean]);
    let centered = f.sub(x, wide);
    let scaled = f.mul(centered, factor);
    let y = f.add(scaled, bias);
    f.output(y);
    f.becomes(fuse, &["LayerNormalization"]);
}

#[test]
fn without_factors_over_two_axes() {
    let (mut f, x) = Formula::of(&[-1, 4, 6]);
    let sum = f.reduce(ReduceKind::Sum, x, &[1, 2], true);
    let mean = f.times(sum, 1.0 / 24.0);
    let centered = f.sub(x, mean);
    let squares = f.mul(centered, centered);
    let variance = f.reduce(ReduceKind::Mean, squares, &[1, 2], true);
    let inverse = inverse_root(&mut f, variance);
    let y = f.mul(inverse, centered);
    f.output(y);
    let graph = f.becomes(fuse, &["LayerNormalization"]);
    assert_eq!(graph.nodes[0].inputs, [Some(x)]);
    assert_eq!(graph.nodes[0].op, Op::LayerNorm { axis: 1, epsilon: EPSILON });
}

#[test]
fn a_variance_of_samples() {
    let (mut f, x) = Formula::of(&[2, 12]);
    let [centered, variance] = centered(&mut f, x);
    let samples = f.times(variance, 12.0 / 11.0);
    let inverse = inverse_root(&mut f, samples);
    let y = f.mul(centered, inverse);
    f.output(y);
    f.becomes(fuse, &["LayerNormalization"]);
}

#[test]
fn the_root_of_the_mean_square() {
    for square in 0..3 {
        let (mut f, x) = Formula::of(&[-1, 12]);
        let squares = match square {
            0 => f.mul(x, x),
            _ => {
                let two = f.number(2.0);
                f.binary(Binary::Pow, x, two)
            }
        };
        let mean = match square {
            2 => {
                let sum = f.reduce(ReduceKind::SumSquare, x, &[1], true);
                f.times(sum, 1.0 / 12.0)
            }
            _ => f.mean(squares),
        };
        let sum = f.plus(mean, EPSILON);
        let half = f.number(-0.5);
        let inverse = f.binary(Binary::Pow, sum, half);
        let scale = f.row(12, 1.0);
        let factor = if square == 1 { f.mul(inverse, scale) } else { inverse };
        let y = f.mul(x, factor);
        let y = if square == 1 { y } else { f.mul(scale, y) };
        f.output(y);
        let graph = f.becomes(fuse, &["RMSNormalization"]);
        assert_eq!(graph.nodes[0].op, Op::RmsNorm { axis: 1, epsilon: EPSILON });
    }
}

#[test]
fn other_readers_keep_what_they_read() {
    let (mut f, x) = Formula::of(&[2, 12]);
    let [centered, variance] = centered(&mut f, x);
    let inverse = inverse_root(&mut f, variance);
    let normal = f.mul(centered, inverse);
    let scale = f.row(12, 1.0);
    let y = f.mul(normal, scale);
    f.output(y);
    f.output(normal);
    f.becomes(fuse, &["LayerNormalization", "Mul"]);
}

#[test]
fn moments_that_are_needed_stay() {
    // What is normalised, and later given back its deviation and mean.
    let (mut f, x) = Formula::of(&[2, 12]);
    let mean = f.mean(x);
    let centered = f.sub(x, mean);
    let squares = f.mul(centered, centered);
    let variance = f.mean(squares);
    let sum = f.plus(variance, EPSILON);
    let deviation = f.unary(Unary::Sqrt, sum);
    let normal = f.div(centered, deviation);
    let changed = f.unary(Unary::Tanh, normal);
    let wide = f.mul(changed, deviation);
    let y = f.add(wide, mean);
    f.output(y);
    let before = f.graph.nodes.iter().map(|node| node.op.name()).collect::<Vec<_>>();
    f.becomes(fuse, &before);
}

/// Formulas that only look like a normalisation.
#[test]
fn what_is_none_stays() {
    let look_alikes: [fn(&mut Formula, ValueId) -> ValueId; 7] = [
        // The epsilon outside of the root.
        |f, x| {
            let [centered, variance] = centered(f, x);
            let root = f.unary(Unary::Sqrt, variance);
            let sum = f.plus(root, EPSILON);
            f.div(centered, sum)
        },
        // Not centered, but divided by the deviation.
        |f, x| {
            let [_, variance] = centered(f, x);
            let inverse = inverse_root(f, variance);
            f.mul(x, inverse)
        },
        // Centered, but divided by the root of the mean square.
        |f, x| {
            let [centered, _] = centered(f, x);
            let squares = f.mul(x, x);
            let square = f.mean(squares);
            let inverse = inverse_root(f, square);
            f.mul(centered, inverse)
        },
        // Twice the mean taken off.
        |f, x| {
            let [centered, variance] = centered(f, x);
            let mean = f.mean(x);
            let centered = f.sub(centered, mean);
            let inverse = inverse_root(f, variance);
            f.mul(centered, inverse)
        },
        // Moments of columns.
        |f, x| {
            let mean = f.reduce(ReduceKind::Mean, x, &[0], true);
            let centered = f.sub(x, mean);
            let squares = f.mul(centered, centered);
            let variance = f.reduce(ReduceKind::Mean, squares, &[0], true);
            let inverse = inverse_root(f, variance);
            f.mul(centered, inverse)
        },
        // The variance of one row taken for another: rows and columns are equally many.
        |f, x| {
            let mean = f.mean(x);
            let centered = f.sub(x, mean);
            let squares = f.mul(centered, centered);
            let variance = f.reduce(ReduceKind::Mean, squares, &[1], false);
            let inverse = inverse_root(f, variance);
            f.mul(centered, inverse)
        },
        // Factors of rows, not of columns.
        |f, x| {
            let [centered, variance] = centered(f, x);
            let inverse = inverse_root(f, variance);
            let rows = f.row(12, 1.0);
            let rows = f.op(Op::Reshape { shape: [12, 1].map(Dim::Fixed).to_vec() }, &[rows]);
            let factor = f.mul(inverse, rows);
            f.mul(centered, factor)
        },
    ];
    for formula in look_alikes {
        let (mut f, x) = Formula::of(&[12, 12]);
        let y = formula(&mut f, x);
        f.output(y);
        Live::keep(&mut f.graph);
        let before = f.graph.nodes.iter().map(|node| node.op.name()).collect::<Vec<_>>();
        f.becomes(fuse, &before);
    }
}
