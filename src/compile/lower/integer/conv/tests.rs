use super::*;
use crate::compile::harness::{assert_same, run, run_with_constants};
use crate::graph::Op;
use crate::graph::ops::{Activation, Conv, Given, Grid8, Stage};

fn window(kernel: &[usize], stride: usize, dilation: usize, pads: [usize; 2]) -> Conv {
    let each = |n: usize| vec![n; kernel.len()];
    Conv {
        kernel: kernel.to_vec(),
        strides: each(stride),
        dilations: each(dilation),
        pads_before: each(pads[0]),
        pads_after: each(pads[1]),
        group: 1,
        activation: Activation::None,
    }
}

fn in_groups(window: Conv, group: usize) -> Conv {
    Conv { group, ..window }
}

fn bytes(dtype: DType, shape: &[usize], seed: usize) -> Tensor {
    let len: usize = shape.iter().product();
    let bytes: Vec<u8> = (0..len).map(|i| (((i + seed) * 40_503) >> 5) as u8).collect();
    Tensor::from_bytes(dtype, shape, &bytes)
}

/// The values of each slice without its zero point.
fn centred(x: &Tensor, zeros: &[f64]) -> Tensor {
    let each = x.len() / zeros.len();
    let values = x.to_f64s();
    let values: Vec<f64> = values.iter().enumerate().map(|(i, x)| x - zeros[i / each]).collect();
    Tensor::new(x.shape(), &values)
}

const CONSTANT: fn(usize) -> bool = |i| matches!(i, 3..=6);

#[test]
fn sums_are_exact_and_rounded_once() {
    let cases = [
        (window(&[3], 1, 2, [4, 0]), vec![2, 5, 7], DType::U8, DType::I8),
        (window(&[3, 2], 2, 1, [1, 1]), vec![1, 3, 5, 4], DType::U8, DType::U8),
        (window(&[1], 1, 1, [0, 0]), vec![1, 6, 3], DType::I8, DType::I8),
        // Groups that are whole panels, those that are so together, and those that are one.
        (in_groups(window(&[3], 1, 2, [2, 2]), 2), vec![2, 10, 9], DType::U8, DType::U8),
        (in_groups(window(&[2, 3], 1, 1, [1, 0]), 8), vec![1, 24, 4, 5], DType::I8, DType::I8),
        (in_groups(window(&[3], 2, 1, [1, 1]), 3), vec![2, 6, 9], DType::U8, DType::I8),
        (in_groups(window(&[1], 1, 1, [0, 0]), 4), vec![1, 4, 6], DType::I8, DType::U8),
    ];
    for (i, (conv, shape, of_x, of_w)) in cases.into_iter().enumerate() {
        let outputs = [5, 17, 16, 32, 64, 15, 16][i];
        let x = bytes(of_x, &shape, i);
        let w_shape: Vec<usize> =
            [outputs, shape[1] / conv.group].into_iter().chain(conv.kernel.clone()).collect();
        let w = bytes(of_w, &w_shape, 77);
        let (x_zero, w_zeros) = (bytes(of_x, &[], 5), bytes(of_w, &[outputs], 9));
        let operands = [centred(&x, &x_zero.to_f64s()), centred(&w, &w_zeros.to_f64s())];
        let exact = run(Op::Conv(conv.clone()), &operands.map(Some)).remove(0);
        let exact_sums: Vec<i32> = exact.to_f64s().iter().map(|x| *x as i32).collect();
        let op = QuantizedConv { window: conv, stages: Vec::new(), given: Given::Sums };
        let inputs = [Some(x), None, Some(x_zero), Some(w), None, Some(w_zeros)];
        let got = run_with_constants(Op::QuantizedConv(op.clone()), &inputs, CONSTANT, &[]);
        assert_same(&got, &[Tensor::new(exact.shape(), &exact_sums)]);
        if i == 1 {
            // The batch is chosen per call.
            let op = Op::QuantizedConv(op.clone());
            let got = run_with_constants(op, &inputs, CONSTANT, &[(0, 0)]);
            assert_same(&got, &[Tensor::new(exact.shape(), &exact_sums)]);
        }
        let scales: Vec<f32> = (0..outputs).map(|j| 0.01 + 0.001 * j as f32).collect();
        let bias: Vec<f32> = (0..outputs).map(|j| j as f32 - 2.0).collect();
        let (from, to) = (
            Grid8 { scale: 0.75, zero: 3, signed: true },
            Grid8 { scale: 1.5, zero: 100, signed: false },
        );
        let residual = bytes(DType::I8, exact.shape(), 31);
        let op = QuantizedConv {
            stages: vec![
                Stage::AddRow,
                Stage::AddQuantized(from),
                Stage::Activate(Activation::Relu),
            ],
            given: Given::Quantized(to),
            ..op
        };
        let mut inputs = inputs.to_vec();
        inputs[1] = Some(Tensor::scalar(0.5f32));
        inputs[4] = Some(Tensor::vector(&scales));
        inputs.push(Some(Tensor::vector(&bias)));
        inputs.push(Some(residual.clone()));
        let got = run_with_constants(Op::QuantizedConv(op), &inputs, CONSTANT, &[]);
        let added = residual.to_f64s();
        let positions = exact.len() / exact.shape()[0] / outputs;
        let want: Vec<u8> = exact_sums
            .iter()
            .enumerate()
            .map(|(j, sum)| {
                let channel = j / positions % outputs;
                let x = *sum as f32 * (0.5 * scales[channel]) + bias[channel];
                let x = (x + (added[j] as f32 - 3.0) * 0.75).max(0.0);
                (x / 1.5).clamp(-100.0, 155.0).round_ties_even() as i32 as u8 + 100
            })
            .collect();
        assert_same(&got, &[Tensor::new(exact.shape(), &want)]);
    }
}
