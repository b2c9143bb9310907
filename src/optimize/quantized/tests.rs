//! What products of quantized values become, and what they must not.

use super::super::fixture::Formula;
use super::super::linear;
use super::*;
use crate::graph::Tensor;
use crate::graph::ops::{Activation, Binary, Conv, Given, QuantizedMatMul, Stage, Unary};

/// Quantizes to integers of the type of `zero`.
fn quantize(f: &mut Formula, x: ValueId, scale: f32, zero: u8) -> ValueId {
    let scale = f.number(scale);
    let zero = f.graph.add_constant("zero", Tensor::scalar(zero));
    let op = Quantization { axis: 0, block: 0, integer: DType::U8 };
    f.op(Op::QuantizeLinear(op), &[x, scale, zero])
}

fn dequantize(f: &mut Formula, q: ValueId, scale: f32, zero: u8) -> ValueId {
    let scale = f.number(scale);
    let zero = f.graph.add_constant("zero", Tensor::scalar(zero));
    let op = Quantization { axis: 0, block: 0, integer: DType::U8 };
    f.op(Op::DequantizeLinear(op), &[q, scale, zero])
}

fn round(f: &mut Formula, x: ValueId, scale: f32, zero: u8) -> ValueId {
    let q = quantize(f, x, scale, zero);
    dequantize(f, q, scale, zero)
}

/// Weights `[k, n]` of i8, one scale for each position of `axis`.
fn weights(f: &mut Formula, [k, n]: [usize; 2], axis: usize) -> ValueId {
    let data: Vec<i8> = (0..k * n).map(|i| ((i * 37 + 11) % 255) as u8 as i8).collect();
    let q = f.graph.add_constant("weights", Tensor::new(&[k, n], &data));
    let scales = f.row([k, n][axis], 0.25);
    f.op(Op::DequantizeLinear(Quantization { axis, block: 0, integer: DType::I8 }), &[q, scales])
}

/// The pass, once products have taken along what is beside them in f32.
fn run(graph: &mut Graph) -> usize {
    move_integers(graph);
    linear::fuse(graph);
    move_integers(graph);
    fuse(graph)
}

fn product(graph: &Graph) -> &QuantizedLinear {
    let mut products = graph.nodes.iter().rev().filter_map(|node| match &node.op {
        Op::QuantizedLinear(op) => Some(op),
        _ => None,
    });
    products.next().expect("a product")
}

#[test]
fn a_chain_of_products_stays_in_integers() {
    let (mut f, x) = Formula::of(&[-1, 20]);
    let x = round(&mut f, x, 0.05, 128);
    let w = weights(&mut f, [20, 33], 1);
    let y = f.op(Op::MatMul, &[x, w]);
    let bias = f.row(33, 0.5);
    let y = f.add(y, bias);
    let y = f.unary(Unary::Relu, y);
    let y = round(&mut f, y, 3.0, 0);
    let w = weights(&mut f, [33, 7], 1);
    let y = f.op(Op::MatMul, &[y, w]);
    f.output(y);
    let graph = f.becomes(run, &["Chain", "QuantizedLinear", "QuantizedLinear"]);
    let Op::QuantizedLinear(first) = &graph.nodes[1].op else { panic!() };
    assert!(matches!(first.given, Given::Quantized(Grid8 { zero: 0, signed: false, .. })));
    assert_eq!(first.stages.len(), 1, "the bias: the grid has no values below zero");
    assert_eq!(product(&graph).given, Given::Float);
}

/// What stands between two operators of a QDQ model is rounded as it stands there.
#[test]
fn rounding_on_the_way_is_kept() {
    let (mut f, x) = Formula::of(&[4, 16]);
    let x = round(&mut f, x, 0.05, 128);
    let w = weights(&mut f, [16, 16], 1);
    let y = f.op(Op::MatMul, &[x, w]);
    let y = round(&mut f, y, 20.0, 100);
    let bias = f.row(16, 0.5);
    let y = f.add(y, bias);
    let y = round(&mut f, y, 21.0, 100);
    let y = f.add(x, y);
    f.output(y);
    let graph = f.becomes(run, &["Chain", "QuantizedLinear"]);
    let stages = &product(&graph).stages;
    let kinds: Vec<_> = stages.iter().map(std::mem::discriminant).collect();
    let grid = Grid8 { scale: 1.0, zero: 0, signed: false };
    let wanted = [Stage::Round(grid), Stage::AddRow, Stage::Round(grid), Stage::AddQuantized(grid)];
    assert_eq!(kinds, wanted.iter().map(std::mem::discriminant).collect::<Vec<_>>());
}

#[test]
fn what_others_read_is_written() {
    let (mut f, x) = Formula::of(&[2, 16]);
    let x = round(&mut f, x, 0.05, 128);
    let w = weights(&mut f, [16, 16], 1);
    let y = f.op(Op::MatMul, &[x, w]);
    let q = quantize(&mut f, y, 20.0, 100);
    let a = dequantize(&mut f, q, 20.0, 100);
    let b = f.unary(Unary::Tanh, a);
    f.output(a);
    f.output(b);
    let c = f.unary(Unary::Tanh, y);
    f.output(c);
    // Somebody reads the product before it is rounded.
    let wanted = ["Chain", "QuantizedLinear", "Chain", "Tanh", "Tanh"];
    let graph = f.becomes(run, &wanted);
    assert_eq!(product(&graph).given, Given::Float);
}

#[test]
fn scales_along_what_is_summed_over_stay_in_f32() {
    let (mut f, x) = Formula::of(&[2, 16]);
    let x = round(&mut f, x, 0.05, 128);
    let w = weights(&mut f, [16, 9], 0);
    let y = f.op(Op::MatMul, &[x, w]);
    f.output(y);
    let mut graph = f.graph.clone();
    run(&mut graph);
    let kept = kept(&graph);
    f.becomes(
        |graph| {
            run(graph);
            constants::fold_all(graph);
            0
        },
        &["Chain", "Linear"],
    );
    assert_eq!(kept.len(), 1);
    assert!(kept[0].reason.contains("scales that differ"), "{}", kept[0].reason);
}

#[test]
fn what_is_moved_is_moved_as_integers() {
    let (mut f, x) = Formula::of(&[6, 4]);
    let x = round(&mut f, x, 0.05, 3);
    let y = f.op(Op::Transpose { perm: vec![1, 0] }, &[x]);
    let y = round(&mut f, y, 0.05, 3);
    let y = f.op(Op::Reshape { shape: vec![3.into(), 8.into()] }, &[y]);
    // Another grid is another rounding.
    let y = round(&mut f, y, 0.25, 3);
    f.output(y);
    f.becomes(run, &["Chain", "Transpose", "Reshape", "Chain"]);
}

#[test]
fn elements_on_their_way_are_one_step() {
    let (mut f, x) = Formula::of(&[3, 20]);
    let q = quantize(&mut f, x, 0.05, 128);
    let a = dequantize(&mut f, q, 0.05, 128);
    let b = f.unary(Unary::Sin, x);
    let b = round(&mut f, b, 0.01, 128);
    let y = f.add(a, b);
    let y = f.times(y, 0.5);
    let y = round(&mut f, y, 0.04, 77);
    let y = f.unary(Unary::Exp, y);
    f.output(y);
    let graph = f.becomes(run, &["Sin", "Chain", "Chain", "Exp"]);
    let Op::Chain(chain) = &graph.nodes[2].op else { panic!() };
    assert_eq!(chain.stages.len(), 4, "{:?}", chain.stages);
}

/// As exporters write a layer whose weights they keep as `[out, in]`.
#[test]
fn transposed_weights_are_weights() {
    let (mut f, x) = Formula::of(&[3, 20]);
    let x = round(&mut f, x, 0.05, 128);
    let w = weights(&mut f, [7, 20], 0);
    let w = f.op(Op::Transpose { perm: vec![1, 0] }, &[w]);
    let y = f.op(Op::MatMul, &[x, w]);
    f.output(y);
    f.becomes(run, &["Chain", "QuantizedLinear"]);
}

#[test]
fn a_function_of_eight_bits_is_a_table() {
    let (mut f, x) = Formula::of(&[3, 20]);
    let a = round(&mut f, x, 0.05, 128);
    let w = weights(&mut f, [20, 17], 1);
    let y = f.op(Op::MatMul, &[a, w]);
    let y = round(&mut f, y, 0.5, 130);
    let y = f.unary(Unary::Gelu, y);
    let y = round(&mut f, y, 0.25, 3);
    let w = weights(&mut f, [17, 5], 1);
    let z = f.op(Op::MatMul, &[y, w]);
    f.output(z);
    let b = f.unary(Unary::Sigmoid, a);
    let b = round(&mut f, b, 1.0 / 255.0, 0);
    f.output(b);
    let wanted = ["Chain", "QuantizedLinear", "MapBytes", "QuantizedLinear", "Chain"];
    f.becomes(run, &wanted);
}

/// As exporters and quantizers write `x * sigmoid(x)`, with what else they put in between.
#[test]
fn a_function_of_several_operators_is_a_table() {
    for form in 0..5 {
        let (mut f, x) = Formula::of(&[-1, 20]);
        let a = round(&mut f, x, 0.05, 128);
        let w = weights(&mut f, [20, 17], 1);
        let y = f.op(Op::MatMul, &[a, w]);
        let q = quantize(&mut f, y, 0.5, 130);
        let y = dequantize(&mut f, q, 0.5, 130);
        let z = match form {
            0 => {
                let gate = f.unary(Unary::Sigmoid, y);
                let gate = round(&mut f, gate, 1.0 / 255.0, 0);
                f.mul(y, gate)
            }
            1 => f.unary(Unary::Exp, y),
            // Each reader with a dequantization of its own.
            2 => {
                let gate = f.unary(Unary::Sigmoid, y);
                let again = dequantize(&mut f, q, 0.5, 130);
                f.mul(again, gate)
            }
            3 => {
                let gate = f.unary(Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }, y);
                f.mul(gate, y)
            }
            _ => {
                let three = f.number(3.0);
                let z = f.binary(Binary::Sub, y, three);
                f.unary(Unary::Abs, z)
            }
        };
        let z = round(&mut f, z, 0.5, 20);
        let w = weights(&mut f, [17, 5], 1);
        let z = f.op(Op::MatMul, &[z, w]);
        f.output(z);
        f.becomes(run, &["Chain", "QuantizedLinear", "MapBytes", "QuantizedLinear"]);
    }
}

/// What else is read, or comes in on the way, is no function of eight bits.
#[test]
fn a_function_that_is_read_on_its_way_stays() {
    let (mut f, x) = Formula::of(&[3, 20]);
    let a = round(&mut f, x, 0.05, 128);
    let e = f.unary(Unary::Exp, a);
    let row = f.row(20, 0.5);
    let y = f.mul(e, row);
    let y = round(&mut f, y, 0.5, 20);
    f.output(y);
    let z = round(&mut f, e, 0.25, 0);
    f.output(z);
    f.becomes(run, &["Chain", "Exp", "Chain", "Chain"]);
}

/// A grid for each column on the way, and what is computed from constants alone.
#[test]
fn what_is_more_than_one_byte_is_no_table() {
    let (mut f, x) = Formula::of(&[3, 4]);
    let a = round(&mut f, x, 0.05, 128);
    let gate = f.unary(Unary::Sigmoid, a);
    let (scales, zero) = (f.row(4, 0.5), f.graph.add_constant("zeros", Tensor::vector(&[0u8; 4])));
    let op = Quantization { axis: 1, block: 0, integer: DType::U8 };
    let gate = f.op(Op::QuantizeLinear(op), &[gate, scales, zero]);
    let gate = f.op(Op::DequantizeLinear(op), &[gate, scales, zero]);
    let y = f.mul(a, gate);
    let y = round(&mut f, y, 0.5, 20);
    f.output(y);
    let mut graph = f.graph.clone();
    run(&mut graph);
    assert!(!graph.nodes.iter().any(|node| node.op == Op::MapBytes), "{graph}");

    let (mut f, x) = Formula::of(&[1]);
    let a = round(&mut f, x, 0.05, 128);
    let one = f.row(1, 0.5);
    let e = f.unary(Unary::Exp, one);
    let y = f.mul(a, e);
    let y = f.unary(Unary::Abs, y);
    let y = round(&mut f, y, 0.5, 20);
    f.output(y);
    let mut graph = f.graph.clone();
    run(&mut graph);
    assert!(!graph.nodes.iter().any(|node| node.op == Op::MapBytes), "{graph}");
}

#[test]
fn attention_stays_in_integers() {
    for masked in [false, true] {
        let (mut f, x) = Formula::of(&[2, -1, 8]);
        let q = round(&mut f, x, 0.05, 128);
        let k = f.unary(Unary::Sin, x);
        let k = round(&mut f, k, 0.01, 128);
        let v = f.unary(Unary::Cos, x);
        let v = round(&mut f, v, 0.01, 100);
        let turned = f.op(Op::Transpose { perm: vec![0, 2, 1] }, &[k]);
        let y = f.op(Op::MatMul, &[q, turned]);
        let y = round(&mut f, y, 0.0973, 128);
        let y = f.times(y, 0.35);
        let mut y = round(&mut f, y, 0.0391, 127);
        if masked {
            let mask = f.row(1, 0.3);
            let mask = f.op(Op::Reshape { shape: vec![1.into(); 3] }, &[mask]);
            let mask = f.add(y, mask);
            y = round(&mut f, mask, 0.0391, 127);
        }
        let y = f.op(Op::Softmax { axis: 2 }, &[y]);
        let y = round(&mut f, y, 1.0 / 256.0, 0);
        let y = f.op(Op::MatMul, &[y, v]);
        let y = round(&mut f, y, 0.0217, 111);
        f.output(y);
        let makers = ["Chain", "Sin", "Chain", "Cos", "Chain", "Transpose"];
        // What is broadcast to the scores is added by itself.
        let mask = ["Reshape", "Add", "Chain"];
        let (mask, rest) = (&mask[..if masked { 3 } else { 0 }], "QuantizedSoftmax");
        let wanted = [&makers[..], &["QuantizedMatMul"], mask, &[rest, "QuantizedMatMul"]];
        let graph = f.becomes(run, &wanted.concat());
        assert!(kept(&graph).is_empty());
        let softmax = graph.nodes.iter().find_map(|node| match &node.op {
            Op::QuantizedSoftmax(op) => Some(op),
            _ => None,
        });
        assert!(softmax.is_some_and(|op| {
            op.from.is_some() && matches!(op.given, Given::Quantized(_)) && op.stages.is_empty()
        }));
    }
}

/// The axes of what follows may be others than those of the product.
#[test]
fn products_under_other_axes() {
    for form in 0..3 {
        let (mut f, x) = Formula::of(&[2, 1, 3, 8]);
        let a = round(&mut f, x, 0.0513, 128);
        let b = f.op(Op::Transpose { perm: vec![0, 1, 3, 2] }, &[a]);
        let y = f.op(Op::MatMul, &[a, b]);
        let y = match form {
            0 => f.op(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]),
            1 => f.op(Op::Reshape { shape: [6, 3].map(|n: i64| n.into()).to_vec() }, &[y]),
            _ => f.op(Op::Reshape { shape: [2, 3, 1, 1, 3].map(|n: i64| n.into()).to_vec() }, &[y]),
        };
        let y = f.plus(y, 0.25);
        let y = round(&mut f, y, 0.371, 111);
        f.output(y);
        f.becomes(run, &["Chain", "Transpose", "QuantizedMatMul"]);
    }
}

/// Scales and zero points may be those of a run, as dynamic quantization finds them.
#[test]
fn two_computed_operands_take_the_scales_of_a_run() {
    let (mut f, x) = Formula::of(&[3, -1, 8]);
    let turned = f.op(Op::Transpose { perm: vec![0, 2, 1] }, &[x]);
    let sines = f.unary(Unary::Sin, turned);
    let [a, b] = [x, sines].map(|x| {
        let made = f.graph.add_node("q", Op::DynamicQuantizeLinear, &[Some(x)], &[]);
        made.expect("suits")
    });
    let op = QuantizedMatMul { stages: Vec::new(), given: Given::Sums };
    let operands = [Some(a[0]), None, Some(a[2]), Some(b[0]), None, Some(b[2])];
    let sums = f.graph.add_node("p", Op::QuantizedMatMul(op), &operands, &[]).expect("suits")[0];
    let sums = f.op(Op::Cast { to: DType::F32 }, &[sums]);
    let scale = f.mul(a[1], b[1]);
    let y = f.mul(sums, scale);
    let y = f.times(y, 0.25);
    f.output(y);
    let dynamic = "DynamicQuantizeLinear";
    let wanted = ["Transpose", "Sin", dynamic, dynamic, "QuantizedMatMul"];
    let graph = f.becomes(run, &wanted);
    let Some(Op::QuantizedMatMul(op)) = graph.nodes.last().map(|node| &node.op) else { panic!() };
    assert_eq!((&op.stages[..], op.given), (&[Stage::Times(0.25)][..], Given::Float));
}

#[test]
fn two_computed_operands_of_several_scales_stay_in_f32() {
    let (mut f, x) = Formula::of(&[8, 8]);
    let a = round(&mut f, x, 0.05, 128);
    let scales = f.row(8, 0.5);
    let zero = f.graph.add_constant("zero", Tensor::vector(&[128u8; 8]));
    let op = Quantization { axis: 0, block: 0, integer: DType::U8 };
    let b = f.op(Op::QuantizeLinear(op), &[x, scales, zero]);
    let b = f.op(Op::DequantizeLinear(op), &[b, scales, zero]);
    let y = f.op(Op::MatMul, &[a, b]);
    f.output(y);
    let wanted = ["Chain", "QuantizeLinear", "DequantizeLinear", "MatMul"];
    let graph = f.becomes(run, &wanted);
    assert!(kept(&graph)[0].reason.starts_with("both operands are computed"));
}

/// A convolution with weights of i8 in rows of an axis, one scale for each output channel.
fn conv(f: &mut Formula, x: ValueId, shape: &[usize], dilation: usize, group: usize) -> ValueId {
    let data: Vec<i8> =
        (0..shape.iter().product()).map(|i: usize| ((i * 37 + 11) % 255) as u8 as i8).collect();
    let q = f.graph.add_constant("weights", Tensor::new(shape, &data));
    let scales = f.row(shape[0], 0.25);
    let op = Quantization { axis: 0, block: 0, integer: DType::I8 };
    let w = f.op(Op::DequantizeLinear(op), &[q, scales]);
    let bias = f.row(shape[0], 0.5);
    let space = shape.len() - 2;
    let window = Conv {
        kernel: shape[2..].to_vec(),
        strides: vec![1; space],
        dilations: vec![dilation; space],
        pads_before: shape[2..].iter().map(|taps| (taps - 1) * dilation).collect(),
        pads_after: vec![0; space],
        group,
        activation: Activation::None,
    };
    f.op(Op::Conv(window), &[x, w, bias])
}

#[test]
fn convolutions_stay_in_integers() {
    for shape in [&[2, 5, 13][..], &[1, 5, 6, 7]] {
        let (mut f, x) = Formula::of(&shape.iter().map(|n| *n as i64).collect::<Vec<_>>());
        let x = round(&mut f, x, 0.05, 128);
        let taps = vec![3; shape.len() - 2];
        let first: Vec<usize> = [8, 5].into_iter().chain(taps.iter().copied()).collect();
        let second: Vec<usize> = [8, 8].into_iter().chain(taps).collect();
        let y = conv(&mut f, x, &first, 1, 1);
        let y = f.unary(Unary::Relu, y);
        let y = round(&mut f, y, 3.0, 0);
        let z = conv(&mut f, y, &second, 2, 1);
        let z = round(&mut f, z, 30.0, 100);
        let z = f.add(z, y);
        let z = f.unary(Unary::Relu, z);
        let z = round(&mut f, z, 25.0, 0);
        f.output(z);
        let wanted = ["Chain", "QuantizedConv", "QuantizedConv"];
        let graph = f.becomes(run, &wanted);
        let Op::QuantizedConv(last) = &graph.nodes[2].op else { panic!() };
        assert_eq!(last.stages.len(), 3 + usize::from(last.given == Given::Float));
    }
}

#[test]
fn channels_by_themselves_stay_in_integers() {
    let (mut f, x) = Formula::of(&[1, 6, 9]);
    let x = round(&mut f, x, 0.05, 128);
    let y = conv(&mut f, x, &[6, 1, 3], 2, 6);
    let y = round(&mut f, y, 3.0, 100);
    f.output(y);
    f.becomes(run, &["Chain", "QuantizedConv"]);
}

#[test]
fn bounds_within_a_grid_are_kept() {
    let (mut f, x) = Formula::of(&[2, 16]);
    let x = round(&mut f, x, 0.05, 128);
    let w = weights(&mut f, [16, 9], 1);
    let y = f.op(Op::MatMul, &[x, w]);
    let y = f.unary(Unary::Relu, y);
    let y = round(&mut f, y, 3.0, 7);
    let w = weights(&mut f, [9, 3], 1);
    let z = f.op(Op::MatMul, &[y, w]);
    f.output(z);
    let graph = f.becomes(run, &["Chain", "QuantizedLinear", "QuantizedLinear"]);
    let Op::QuantizedLinear(first) = &graph.nodes[1].op else { panic!() };
    assert_eq!(first.stages, [Stage::Activate(Activation::Relu)]);
}

#[test]
fn groups_are_computed_together_where_that_pays() {
    let (mut f, x) = Formula::of(&[1, 6, 9]);
    let x = round(&mut f, x, 0.05, 128);
    let y = conv(&mut f, x, &[6, 2, 3], 1, 3);
    f.output(y);
    f.becomes(run, &["Chain", "QuantizedConv"]);

    let (mut f, x) = Formula::of(&[1, 10, 9]);
    let x = round(&mut f, x, 0.05, 128);
    let y = conv(&mut f, x, &[10, 2, 3], 1, 5);
    f.output(y);
    let mut graph = f.graph.clone();
    run(&mut graph);
    let kept = kept(&graph);
    assert_eq!(kept.len(), 1);
    assert!(kept[0].reason.contains("a few outputs"), "{}", kept[0].reason);
}

#[test]
fn a_reshape_of_elements_that_lie_transposed_takes_them_in_order() {
    let (mut f, x) = Formula::of(&[3, 8]);
    let y = f.op(Op::Transpose { perm: vec![1, 0] }, &[x]);
    let y = f.unary(Unary::Relu, y);
    let y = f.op(Op::Reshape { shape: vec![4.into(), 2.into(), 3.into()] }, &[y]);
    let y = round(&mut f, y, 0.25, 3);
    f.output(y);
    f.becomes(run, &["Transpose", "Chain"]);
}

#[test]
fn sums_beyond_32_bits_stay_in_f32() {
    let (mut f, x) = Formula::of(&[1, 40_000]);
    let x = round(&mut f, x, 0.05, 128);
    let w = weights(&mut f, [40_000, 1], 1);
    let y = f.op(Op::MatMul, &[x, w]);
    f.output(y);
    let mut graph = f.graph.clone();
    run(&mut graph);
    assert!(!graph.nodes.iter().any(|node| matches!(node.op, Op::QuantizedLinear(_))));
}

/// Fewer than eight bits are written as bounds of eight.
#[test]
fn bounds_of_integers_are_a_stage() {
    let (mut f, x) = Formula::of(&[3, 16]);
    let narrow = |f: &mut Formula, x, min, max| {
        let q = quantize(f, x, 0.25, 2);
        let q = f.unary(Unary::Clip { min, max }, q);
        dequantize(f, q, 0.25, 2)
    };
    let x = narrow(&mut f, x, f64::NEG_INFINITY, 15.5);
    let w = weights(&mut f, [16, 16], 1);
    let y = f.op(Op::MatMul, &[x, w]);
    let y = narrow(&mut f, y, 0.0, 300.0);
    f.output(y);
    let graph = f.becomes(run, &["Chain", "QuantizedLinear"]);
    let Op::Chain(Chain { stages, .. }) = &graph.nodes[0].op else { panic!() };
    let bounds = Activation::Clip { min: -0.5, max: 3.25 };
    assert_eq!(stages[..], [Stage::Activate(bounds)]);
    let stages = &product(&graph).stages;
    assert!(matches!(stages[..], [Stage::Round(_)]), "those of the type: {stages:?}");

    // The zero point is not within: what is no number would become another one.
    let (mut f, x) = Formula::of(&[3, 16]);
    let y = narrow(&mut f, x, 3.0, 15.0);
    f.output(y);
    f.becomes(run, &["Chain", "Clip", "Chain"]);
}
