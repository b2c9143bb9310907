use super::super::super::harness::{check, check_ranged, doubled, f32s, refusal};
use super::*;
use crate::graph::{Op, Tensor};

fn quantize_to(integer: DType, axis: usize, block: usize) -> Op {
    Op::QuantizeLinear(Quantization { axis, block, integer })
}

fn dequantize_from(integer: DType, axis: usize, block: usize) -> Op {
    Op::DequantizeLinear(Quantization { axis, block, integer })
}

#[test]
fn one_scale_for_all() {
    let x = f32s(&[2, 3], &[0.25, 0.75, -0.25, 1e9, -1e9, f32::NAN]);
    let scale = f32s(&[], &[0.5]);
    let zero = Some(Tensor::scalar(3u8));
    let want = Tensor::new(&[2, 3], &[3u8, 5, 3, 255, 0, 3]);
    let op = quantize_to(DType::U8, 1, 0);
    check(op.clone(), &[x.clone(), scale.clone(), zero.clone()], Some(want.clone()));
    let ranged = |_: Dim| op.clone();
    check_ranged(ranged, &[x.clone(), scale.clone(), zero.clone()], &[(0, 0)], Some(want.clone()));
    let doubles = [x.clone(), scale.clone()].map(|x| x.map(|x| doubled(&x)));
    check(op.clone(), &[doubles[0].clone(), doubles[1].clone(), zero.clone()], Some(want.clone()));
    let want16 = Tensor::new(&[2, 3], &[0i16, 2, 0, 32767, -32768, 0]);
    check(quantize_to(DType::I16, 1, 0), &[x.clone(), scale.clone()], Some(want16));
    let back = f32s(&[2, 3], &[0., 1., 0., 126., -1.5, 0.]);
    let op = dequantize_from(DType::U8, 1, 0);
    check(op.clone(), &[Some(want.clone()), scale.clone(), zero.clone()], back.clone());
    let back = back.map(|x| doubled(&x));
    check(op, &[Some(want), doubles[1].clone(), zero], back);
    refusal(quantize_to(DType::U8, 1, 0), &[x, doubles[1].clone()]);
    let none = f32s(&[0, 3], &[]);
    let want = Some(Tensor::new::<i8>(&[0, 3], &[]));
    check_ranged(|_| quantize_to(DType::I8, 1, 0), &[none, scale], &[(0, 0)], want);
}

#[test]
fn a_scale_for_each_position_of_an_axis() {
    let x = f32s(&[2, 2, 2], &[1., 2., 3., 4., 5., 6., 7., 8.]);
    let scale = f32s(&[2], &[1., 0.5]);
    let zero = Some(Tensor::vector(&[0i8, 10]));
    let by = |axis, want: [i8; 8], back: [f32; 8]| {
        let want = Some(Tensor::new(&[2, 2, 2], &want));
        let op = quantize_to(DType::I8, axis, 0);
        check(op.clone(), &[x.clone(), scale.clone(), zero.clone()], want.clone());
        let doubles = [x.clone(), scale.clone()].map(|x| x.map(|x| doubled(&x)));
        let [x64, scale64] = doubles.clone();
        check(op, &[x64, scale64, zero.clone()], want.clone());
        let op = dequantize_from(DType::I8, axis, 0);
        let back = f32s(&[2, 2, 2], &back);
        check(op.clone(), &[want.clone(), scale.clone(), zero.clone()], back.clone());
        let back = back.map(|x| doubled(&x));
        check(op, &[want, doubles[1].clone(), zero.clone()], back);
    };
    let all = [1., 2., 3., 4., 5., 6., 7., 8.];
    by(0, [1, 2, 3, 4, 20, 22, 24, 26], all);
    by(1, [1, 2, 16, 18, 5, 6, 24, 26], all);
    by(2, [1, 14, 3, 18, 5, 22, 7, 26], all);
    let want = Some(Tensor::new(&[2, 2, 2], &[1i8, 4, 3, 8, 5, 12, 7, 16]));
    check(quantize_to(DType::I8, 2, 0), &[x, scale], want);
}

#[test]
fn a_scale_for_each_block() {
    // Blocks of two along the last axis, which they do not all fill.
    let x = Tensor::new(&[2, 3], &[2i32, 4, 6, 8, 10, 12]);
    let scale = f32s(&[2, 2], &[1., 0.5, 2., 3.]);
    let op = dequantize_from(DType::I32, 1, 2);
    check(op, &[Some(x.clone()), scale.clone()], f32s(&[2, 3], &[2., 4., 3., 16., 20., 36.]));
    // Along the last axis, filled.
    let wide = Tensor::new(&[1, 4], &[2i32, 4, 6, 8]);
    let op = dequantize_from(DType::I32, 1, 2);
    let few = f32s(&[1, 2], &[1., 0.5]);
    check(op, &[Some(wide), few], f32s(&[1, 4], &[2., 4., 3., 4.]));
    // Along the first axis: every column has its own.
    let op = dequantize_from(DType::I32, 0, 2);
    let by_column = f32s(&[1, 3], &[1., 0.5, 2.]);
    check(op, &[Some(x), by_column], f32s(&[2, 3], &[2., 2., 12., 8., 5., 24.]));
    let x = f32s(&[2, 2], &[1., 2., 3., 4.]);
    let zero = Some(Tensor::new(&[1, 2], &[1u8, 2]));
    let op = quantize_to(DType::U8, 0, 2);
    let want = Some(Tensor::new(&[2, 2], &[2u8, 6, 4, 10]));
    check(op, &[x, f32s(&[1, 2], &[1., 0.5]), zero], want);
}
