use std::slice::from_ref;

use super::super::super::harness::{
    assert_same, check, check_ranged, doubled, f32s, i64s, noise, run,
};
use crate::graph::dim::Dim;
use crate::graph::ops::vision::{GridMode, GridPadding};
use crate::graph::ops::{Activation, Conv, DeformColumns, GridSample, MaxRoiPool, RoiAlign};
use crate::graph::{Op, Tensor};

const PICTURE: [f32; 6] = [1., 2., 3., 4., 5., 6.];

fn sample(mode: GridMode, padding: GridPadding, align_corners: bool) -> Op {
    Op::GridSample(GridSample { mode, padding, align_corners })
}

#[test]
fn grids_sample_at_and_between_elements() {
    use {GridMode::*, GridPadding::*};
    let x = f32s(&[1, 1, 2, 3], &PICTURE);
    // The first corner, the center, the last corner, outside to the right, and no number.
    let grid = [-1., -1., 0., 0., 1., 1., 2., 0., f32::NAN, 0.];
    let grid = f32s(&[1, 1, 5, 2], &grid);
    let shape = [1, 1, 1, 5];
    for (mode, padding, corners, want) in [
        (Linear, Zeros, true, [1., 3.5, 6., 0., 0.]),
        (Linear, Border, true, [1., 3.5, 6., 4.5, 0.]),
        (Linear, Reflection, true, [1., 3.5, 6., 3.5, 0.]),
        (Linear, Zeros, false, [0.25, 3.5, 1.5, 0., 0.]),
        (Nearest, Border, true, [1., 2., 6., 3., 0.]),
        (Nearest, Zeros, true, [1., 2., 6., 0., 0.]),
        (Cubic, Border, true, [1., 3.5, 6., 4.5, 0.]),
    ] {
        let op = sample(mode, padding, corners);
        check(op, &[x.clone(), grid.clone()], f32s(&shape, &want));
    }
}

#[test]
fn grids_sample_volumes_and_ranged_pictures() {
    let x = noise(&[2, 2, 3, 2, 4], 1);
    let grid = noise(&[2, 1, 2, 2, 3], 2);
    for mode in [GridMode::Nearest, GridMode::Linear, GridMode::Cubic] {
        for padding in [GridPadding::Zeros, GridPadding::Border, GridPadding::Reflection] {
            let op = sample(mode, padding, false);
            let got = run(op.clone(), &[Some(x.clone()), Some(grid.clone())]);
            assert_eq!(got[0].shape(), [2, 2, 1, 2, 2]);
            let wide = run(op, &[Some(doubled(&x)), Some(doubled(&grid))]);
            let narrow: Vec<f32> = wide[0].to_f64s().iter().map(|v| *v as f32).collect();
            assert_same(&got, &[Tensor::new(wide[0].shape(), &narrow)]);
        }
    }
    let op = |_: Dim| sample(GridMode::Linear, GridPadding::Border, true);
    let grid = f32s(&[1, 1, 1, 2], &[1., 0.]);
    let want = f32s(&[1, 1, 1, 1], &[4.5]);
    check_ranged(op, &[f32s(&[1, 1, 2, 3], &PICTURE), grid.clone()], &[(0, 3)], want);
    let none = f32s(&[1, 1, 2, 0], &[]);
    check_ranged(op, &[none, grid.clone()], &[(0, 3)], f32s(&[1, 1, 1, 1], &[0.]));
}

fn align(largest: bool, half_pixel: bool, sampling: u32, size: [usize; 2]) -> Op {
    Op::RoiAlign(RoiAlign { largest, half_pixel, sampling, scale: 1.0, size })
}

#[test]
fn regions_are_sampled() {
    let x = f32s(&[1, 1, 2, 3], &PICTURE);
    let images = i64s(&[1], &[0]);
    let all = |op, roi: [f32; 4], want: &[f32]| {
        let operands = [x.clone(), f32s(&[1, 4], &roi), images.clone()];
        check(op, &operands, f32s(&[1, 1, 1, want.len()], want));
    };
    // One sample in the middle of each of two bins.
    all(align(false, false, 1, [1, 2]), [0., 0., 2., 1.], &[3., 4.]);
    all(align(false, true, 1, [1, 2]), [0.5, 0.5, 2.5, 1.5], &[3., 4.]);
    // Of the parts of each sample the largest.
    all(align(true, false, 1, [1, 2]), [0., 0., 2., 1.], &[1.25, 1.5]);
    // Far outside is zero, however large the region is; no number is nowhere.
    all(align(false, false, 2, [1, 1]), [50., 50., 60., 60.], &[0.]);
    all(align(false, true, 0, [1, 1]), [-1e30, -1e30, 1e30, 1e30], &[0.]);
    all(align(false, true, 0, [1, 1]), [f32::NAN, 0., 1., 1.], &[0.]);
    all(align(true, true, 0, [1, 1]), [f32::INFINITY, 0., 1., 1.], &[0.]);
    // Any picture number means a picture.
    let rois = f32s(&[2, 4], &[0., 0., 2., 1., 0., 0., 2., 1.]);
    let operands = [x.clone(), rois, i64s(&[2], &[-7, 9])];
    check(align(false, false, 1, [1, 1]), &operands, f32s(&[2, 1, 1, 1], &[3.5, 3.5]));
    let none = [f32s(&[0, 1, 2, 3], &[]), f32s(&[1, 4], &[0.; 4]), images];
    let op = |_: Dim| align(false, false, 1, [1, 1]);
    check_ranged(op, &none, &[(0, 0)], f32s(&[1, 1, 1, 1], &[0.]));
}

#[test]
fn regions_are_pooled() {
    let x = f32s(&[1, 1, 2, 3], &PICTURE);
    let op = |size| Op::MaxRoiPool(MaxRoiPool { scale: 1.0, size });
    let roi = f32s(&[1, 5], &[0., 0., 0., 2., 1.]);
    check(op([1, 3]), &[x.clone(), roi.clone()], f32s(&[1, 1, 1, 3], &[4., 5., 6.]));
    check(op([2, 1]), &[x.clone(), roi], f32s(&[1, 1, 2, 1], &[3., 6.]));
    let far = f32s(&[2, 5], &[0., 9., 9., 9., 9., f32::NAN, f32::NAN, 0., 1e30, 1.]);
    let got = run(op([1, 1]), &[x.clone(), far]);
    assert_eq!(got[0].to_f64s()[0], 0.0);
}

#[test]
fn windows_are_shifted() {
    let window = |group| Conv {
        kernel: vec![1, 2],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        pads_before: vec![0, 0],
        pads_after: vec![0, 0],
        group,
        activation: Activation::None,
    };
    let op = |group| Op::DeformColumns(DeformColumns { window: window(group) });
    let x = f32s(&[1, 1, 2, 3], &PICTURE);
    let still = f32s(&[1, 4, 2, 2], &[0.; 16]);
    let plain = [1., 2., 4., 5., 2., 3., 5., 6.];
    check(op(1), &[x.clone(), still.clone()], f32s(&[1, 1, 2, 4], &plain));
    // Half a column to the right, half of it masked.
    let mut shift = [0.0; 16];
    shift[4..8].fill(0.5);
    let mask = f32s(&[1, 2, 2, 2], &[0.5; 8]);
    let want = [0.75, 1.25, 2.25, 2.75, 1., 1.5, 2.5, 3.];
    let shifted = f32s(&[1, 4, 2, 2], &shift);
    check(op(1), &[x.clone(), shifted, mask], f32s(&[1, 1, 2, 4], &want));
    let far = f32s(&[1, 4, 2, 2], &[f32::NAN; 16]);
    check(op(1), &[x.clone(), far], f32s(&[1, 1, 2, 4], &[0.; 8]));
    check_ranged(|_| op(1), &[x.clone(), still.clone()], &[], f32s(&[1, 1, 2, 4], &plain));
}

#[test]
fn determinants_of_batches() {
    let x = f32s(&[3, 2, 2], &[1., 2., 3., 4., 0., 1., 1., 0., 1., 2., 2., 4.]);
    check(Op::Det, from_ref(&x), f32s(&[3], &[-2., -1., 0.]));
    let wide = x.as_ref().map(doubled);
    check(Op::Det, &[wide], Some(Tensor::new(&[3], &[-2.0f64, -1., 0.])));
    let broken = f32s(&[2, 2], &[0., 1., f32::NAN, 0.]);
    check(Op::Det, &[broken], f32s(&[], &[f32::NAN]));
    let ranged = f32s(&[0, 2, 2], &[]);
    check_ranged(|_| Op::Det, &[ranged], &[(0, 0)], f32s(&[0], &[]));
}
