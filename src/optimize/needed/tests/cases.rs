//! Cases by hand: what is left of the shapes.

use super::*;
use crate::graph::ops::{
    Activation, Binary, Cell, CellActivation, Conv, Direction, Given, Pad, PadMode,
    QuantizedLinear, Recurrent, SliceAxis, Unary,
};
use crate::graph::{VarId, Variable};

fn slice(axis: usize, start: impl Into<Dim>, step: i64, extent: i64) -> Op {
    Op::Slice { axes: vec![SliceAxis { axis, start: start.into(), step, extent: extent.into() }] }
}

fn constant(g: &mut Graph, shape: &[usize]) -> ValueId {
    let seed = g.values.len() as u32;
    g.add_constant("w", noise(shape, seed))
}

fn conv(taps: usize, dilation: usize, before: usize) -> Op {
    Op::Conv(Conv {
        kernel: vec![taps],
        strides: vec![1],
        dilations: vec![dilation],
        pads_before: vec![before],
        pads_after: vec![0],
        group: 1,
        activation: Activation::None,
    })
}

/// The extents of `axis` in the results of the nodes that are a `name`.
fn extents(g: &Graph, name: &str, axis: usize) -> Vec<i64> {
    let nodes = g.nodes.iter().filter(|n| n.op.name() == name);
    let of = |v: ValueId| g.value(v).shape[axis].fixed().unwrap_or(-1);
    nodes.map(|n| of(n.outputs.iter().flatten().copied().next().expect("one"))).collect()
}

/// Five causal layers, of which the last column is read: twice as many columns in each.
#[test]
fn a_stack_of_dilated_convolutions_computes_a_tree() {
    for explicit in [false, true] {
        let mut g = Graph::default();
        let mut x = input(&mut g, dims(&[1, 3, 128]));
        for layer in 0..5 {
            let dilation = 1 << layer;
            let w = constant(&mut g, &[3, 3, 2]);
            let mut before = dilation;
            if explicit {
                let margins = |n: usize| vec![0.into(), 0.into(), Dim::Fixed(n as i64)];
                let (mode, after) = (PadMode::Constant, margins(0));
                x = node(&mut g, Op::Pad(Pad { mode, before: margins(before), after }), &[x]);
                before = 0;
            }
            let y = node(&mut g, conv(2, dilation, before), &[x, w]);
            x = node(&mut g, Op::Unary(Unary::Relu), &[y]);
        }
        let at = g.add_constant("at", Tensor::scalar(-1i64));
        let y = node(&mut g, Op::Gather { axis: 2 }, &[x, at]);
        output(&mut g, y);
        let (narrowed, _) = check(&g, &[&[]]);
        assert_eq!(extents(&narrowed, "Conv", 2), [16, 8, 4, 2, 1], "{narrowed}");
        assert_eq!(extents(&narrowed, "Pad", 2), [0; 0], "{narrowed}");
    }
}

/// Near the border a margin is left of what is read: the columns that it stands for are not.
#[test]
fn what_lies_in_the_margin_stays_a_margin() {
    for (start, step, extent) in [(0, 1, 1), (1, 1, 3), (0, 3, 3), (9, 1, 2), (10, 1, 1), (2, 4, 3)]
    {
        for (stride, dilation, before, after) in
            [(1, 1, 1, 1), (2, 1, 1, 3), (1, 3, 4, 2), (2, 4, 6, 6)]
        {
            let mut g = Graph::default();
            let length = 11 * stride + 2 * dilation + 1 - before - after;
            let x = input(&mut g, dims(&[2, 2, length]));
            let x = node(&mut g, Op::Unary(Unary::Tanh), &[x]);
            let w = constant(&mut g, &[4, 2, 3]);
            let op = Conv {
                kernel: vec![3],
                strides: vec![stride],
                dilations: vec![dilation],
                pads_before: vec![before],
                pads_after: vec![after],
                group: 1,
                activation: Activation::None,
            };
            let y = node(&mut g, Op::Conv(op), &[x, w]);
            let y = node(&mut g, slice(2, start, step, extent), &[y]);
            output(&mut g, y);
            let (narrowed, count) = check(&g, &[&[]]);
            assert_eq!(shape_of(&narrowed, "Conv"), [2, 4, extent]);
            assert!(count >= 1, "{narrowed}");
        }
    }
}

/// The grid is that of all rows, the product of the one that is read.
#[test]
fn a_dynamic_product_of_the_row_that_is_read() {
    let mut g = Graph::default();
    let x = input(&mut g, dims(&[1, 9, 8]));
    let x = node(&mut g, Op::Unary(Unary::Tanh), &[x]);
    let made = g.add_node("q", Op::DynamicQuantizeLinear, &[Some(x)], &[]).expect("suits");
    let weights: Vec<i8> = (0..8 * 6).map(|i| (i * 37 % 251) as u8 as i8).collect();
    let w = g.add_constant("w", Tensor::new(&[8, 6], &weights));
    let zeros = g.add_constant("zeros", Tensor::vector(&[3i8, -7, 0, 127, -128, 1]));
    let op = QuantizedLinear { transposed: false, stages: Vec::new(), given: Given::Sums };
    let operands = [Some(made[0]), None, Some(made[2]), Some(w), None, Some(zeros)];
    let sums = g.add_node("p", Op::QuantizedLinear(op), &operands, &[]).expect("suits")[0];
    let sums = node(&mut g, Op::Cast { to: DType::F32 }, &[sums]);
    let y = node(&mut g, Op::Binary(Binary::Mul), &[sums, made[1]]);
    let y = node(&mut g, slice(1, 8, 1, 1), &[y]);
    let y = node(&mut g, slice(2, 1, 2, 3), &[y]);
    output(&mut g, y);
    let (narrowed, _) = check(&g, &[&[]]);
    assert_eq!(shape_of(&narrowed, "QuantizedLinear"), [1, 1, 3], "{narrowed}");
    assert_eq!(shape_of(&narrowed, "DynamicQuantizeLinear"), [1, 9, 8]);
}

#[test]
fn rows_of_an_encoder_layer() {
    // Attention as exporters write it; the keys and values of all tokens are needed.
    let mut g = Graph::default();
    let x = input(&mut g, dims(&[1, 6, 8]));
    let mut heads = Vec::new();
    for _ in 0..3 {
        let w = constant(&mut g, &[8, 8]);
        let y = node(&mut g, Op::MatMul, &[x, w]);
        let split = node(&mut g, Op::Reshape { shape: dims(&[1, 6, 2, 4]) }, &[y]);
        heads.push(node(&mut g, Op::Transpose { perm: vec![0, 2, 1, 3] }, &[split]));
    }
    let keys = node(&mut g, Op::Transpose { perm: vec![0, 1, 3, 2] }, &[heads[1]]);
    let scores = node(&mut g, Op::MatMul, &[heads[0], keys]);
    let weights = node(&mut g, Op::Softmax { axis: 3 }, &[scores]);
    let y = node(&mut g, Op::MatMul, &[weights, heads[2]]);
    let y = node(&mut g, Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]);
    let y = node(&mut g, Op::Reshape { shape: dims(&[1, 6, 8]) }, &[y]);
    let y = node(&mut g, Op::Binary(Binary::Add), &[x, y]);
    let (scale, bias) = (constant(&mut g, &[8]), constant(&mut g, &[8]));
    let y = node(&mut g, Op::LayerNorm { axis: 2, epsilon: 0.1 }, &[y, scale, bias]);
    let y = node(&mut g, slice(1, 5, 1, 1), &[y]);
    output(&mut g, y);
    let (narrowed, count) = check(&g, &[&[]]);
    let rows: Vec<Vec<i64>> =
        [1, 2].iter().map(|axis| extents(&narrowed, "MatMul", *axis)).collect();
    // Queries, keys, values, scores, the sum: rows of tokens, or of heads.
    assert_eq!(rows, [vec![1, 6, 6, 2, 2], vec![8, 8, 8, 1, 1]], "{narrowed}");
    assert_eq!(shape_of(&narrowed, "LayerNormalization"), [1, 1, 8]);
    assert!(count >= 6, "{count}");
}

#[test]
fn rows_of_a_ranged_axis() {
    let n = Dim::var(VarId(0));
    let variables = vec![Variable::chosen("n", 1, 9)];
    let mut g = Graph { variables, ..Graph::default() };
    let x = input(&mut g, vec![Dim::Fixed(2), n.clone(), Dim::Fixed(4)]);
    let w = constant(&mut g, &[4, 4]);
    let y = node(&mut g, Op::MatMul, &[x, w]);
    let t = node(&mut g, Op::Transpose { perm: vec![0, 2, 1] }, &[x]);
    let scores = node(&mut g, Op::MatMul, &[y, t]);
    let weights = node(&mut g, Op::Softmax { axis: 2 }, &[scores]);
    let y = node(&mut g, Op::MatMul, &[weights, x]);
    let y = node(&mut g, Op::Binary(Binary::Add), &[x, y]);
    let scale = constant(&mut g, &[4]);
    let y = node(&mut g, Op::RmsNorm { axis: 2, epsilon: 0.1 }, &[y, scale]);
    let last = g.add_constant("last", Tensor::scalar(-1i64));
    let y = node(&mut g, Op::Gather { axis: 1 }, &[y, last]);
    output(&mut g, y);
    let (narrowed, count) = check(&g, &[&[1], &[2], &[9]]);
    assert_eq!(extents(&narrowed, "MatMul", 1), [1, 1, 1], "{narrowed}");
    assert!(count >= 5, "{count}");
}

/// Readers of the first and of the last row share what they read: nothing is computed twice.
#[test]
fn readers_share_the_hull_of_what_they_need() {
    let mut g = Graph::default();
    let x = input(&mut g, dims(&[9, 4]));
    let y = node(&mut g, Op::Unary(Unary::Tanh), &[x]);
    for start in [0, 8] {
        let y = node(&mut g, slice(0, start, 1, 1), &[y]);
        let y = node(&mut g, Op::Unary(Unary::Neg), &[y]);
        output(&mut g, y);
    }
    let (narrowed, _) = check(&g, &[&[]]);
    assert_eq!(shape_of(&narrowed, "Tanh"), [2, 4]);
    let more = node(&mut g, Op::Unary(Unary::Abs), &[y]);
    output(&mut g, more);
    let (narrowed, _) = check(&g, &[&[]]);
    assert_eq!(shape_of(&narrowed, "Tanh"), [9, 4]);
}

fn lstm(direction: Direction) -> Op {
    let activations = [CellActivation::Sigmoid, CellActivation::Tanh, CellActivation::Tanh];
    let directions = 1 + usize::from(direction == Direction::Bidirectional);
    Op::Recurrent(Recurrent {
        cell: Cell::Lstm { input_forget: false, rounded: false },
        direction,
        activations: activations.repeat(directions),
        clip: None,
        batch_major: false,
    })
}

/// A layer over 7 steps of which `start` is read: the steps that are run, by direction.
fn steps_for(direction: Direction, start: i64) -> (Graph, Vec<i64>) {
    let mut g = Graph::default();
    let x = input(&mut g, dims(&[7, 2, 3]));
    let d = if direction == Direction::Bidirectional { 2 } else { 1 };
    let (w, r) = (constant(&mut g, &[d, 16, 3]), constant(&mut g, &[d, 16, 4]));
    let b = constant(&mut g, &[d, 32]);
    let inputs = [x, w, r, b].map(Some);
    let y = g.add_node("lstm", lstm(direction), &inputs, &[]).expect("suits")[0];
    let at = g.add_constant("at", Tensor::scalar(start));
    let y = node(&mut g, Op::Gather { axis: 0 }, &[y, at]);
    output(&mut g, y);
    let (narrowed, _) = check(&g, &[&[]]);
    let layers = narrowed.nodes.iter().filter(|n| matches!(n.op, Op::Recurrent(_)));
    let steps = layers.map(|n| {
        assert_eq!(n.outputs[0], None, "the sequence is not stored\n{narrowed}");
        narrowed.value(n.inputs[0].expect("x")).shape[0].fixed().expect("fixed")
    });
    let steps = steps.collect();
    (narrowed, steps)
}

#[test]
fn of_one_step_the_state_is_read() {
    assert_eq!(steps_for(Direction::Forward, -1).1, [7]);
    assert_eq!(steps_for(Direction::Forward, 2).1, [3]);
    assert_eq!(steps_for(Direction::Reverse, 0).1, [7]);
    assert_eq!(steps_for(Direction::Reverse, -1).1, [1]);
    assert_eq!(steps_for(Direction::Bidirectional, -1).1, [7, 1]);
    assert_eq!(steps_for(Direction::Bidirectional, 3).1, [4, 4]);
}

#[test]
fn a_state_that_is_read_needs_all_of_time() {
    let mut g = Graph::default();
    let x = input(&mut g, dims(&[7, 2, 3]));
    let (w, r) = (constant(&mut g, &[1, 16, 3]), constant(&mut g, &[1, 16, 4]));
    let inputs = [x, w, r].map(Some);
    let results = g.add_node("lstm", lstm(Direction::Forward), &inputs, &[]).expect("suits");
    let y = node(&mut g, slice(0, 1, 1, 2), &[results[0]]);
    output(&mut g, y);
    let y = node(&mut g, Op::Unary(Unary::Neg), &[results[2]]);
    output(&mut g, y);
    let (_, count) = check(&g, &[&[]]);
    assert_eq!(count, 0);
}

#[test]
fn empty_and_reversed_cuts() {
    for (start, step, extent) in [(3, 1, 0), (6, -1, 7), (5, -2, 3), (0, -1, 1), (2, 2, 2)] {
        let mut g = Graph::default();
        let x = input(&mut g, dims(&[7, 3]));
        let w = constant(&mut g, &[3, 5]);
        let y = node(&mut g, Op::MatMul, &[x, w]);
        let y = node(&mut g, slice(0, start, step, extent), &[y]);
        output(&mut g, y);
        let (narrowed, _) = check(&g, &[&[]]);
        let all = extent == 0 || extent == 7;
        assert_eq!(shape_of(&narrowed, "MatMul")[0], if all { 7 } else { extent });
    }
}

/// What blocks of control flow, outputs and measured dimensions read stays whole.
#[test]
fn outputs_stay_whole() {
    let mut g = Graph::default();
    let x = input(&mut g, dims(&[5, 3]));
    let y = node(&mut g, Op::Unary(Unary::Exp), &[x]);
    output(&mut g, y);
    let last = node(&mut g, slice(0, 4, 1, 1), &[y]);
    output(&mut g, last);
    let (narrowed, count) = check(&g, &[&[]]);
    assert_eq!((shape_of(&narrowed, "Exp"), count), (vec![5, 3], 0));
}

#[test]
fn columns_of_weights_are_cut_when_the_model_is_loaded() {
    let mut g = Graph::default();
    let x = input(&mut g, dims(&[2, 3]));
    let (w, bias) = (constant(&mut g, &[3, 40]), constant(&mut g, &[40]));
    let y = node(&mut g, Op::MatMul, &[x, w]);
    let y = node(&mut g, Op::Binary(Binary::Add), &[y, bias]);
    let y = node(&mut g, slice(1, 4, 3, 5), &[y]);
    output(&mut g, y);
    let (narrowed, count) = check(&g, &[&[]]);
    assert_eq!((shape_of(&narrowed, "MatMul"), count), (vec![2, 5], 2));
    let kept = |n: &i64| {
        narrowed.values.iter().any(|v| v.constant.is_some() && v.shape.contains(&Dim::Fixed(*n)))
    };
    assert!(kept(&5), "{narrowed}");
    let cuts = |n: &crate::graph::Node| matches!(&n.op, Op::Slice { axes } if !axes.is_empty());
    assert!(!narrowed.nodes.iter().any(cuts), "{narrowed}");
}

/// Relu of every fourth element of what is there anyway is no less work, one by one.
#[test]
fn a_cut_that_does_not_pay_is_left() {
    let mut g = Graph::default();
    let x = input(&mut g, dims(&[4, 64]));
    let y = node(&mut g, Op::Unary(Unary::Relu), &[x]);
    let y = node(&mut g, slice(1, 0, 4, 16), &[y]);
    output(&mut g, y);
    let (narrowed, _) = check(&g, &[&[]]);
    assert_eq!(shape_of(&narrowed, "Relu"), [4, 64]);
}
