//! Chains against naive loops, bit by bit.

extern crate std;

use super::*;
use crate::kernels::isa::Level;
use crate::kernels::simd::dispatch;
use crate::kernels::suite::{Rng, levels};
use std::{vec, vec::Vec};

/// The nearest value of a grid, by the words of the specification.
fn nearest(x: f32, grid: Grid8) -> i32 {
    let q = x / grid.scale;
    let [low, high] = grid.range();
    let steps = if q.is_nan() { 0.0 } else { f64::from(libm::rintf(q)) };
    (steps + f64::from(grid.zero)).clamp(low.into(), high.into()) as i32
}

struct Bytes<'a>(Grid8, &'a [f32], &'a mut [u8]);

impl Vectorized for Bytes<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(grid, data, bytes) = self;
        let (rows, n) = (1, data.len());
        let (x, output) = (Elements::F32(data), Output::Quantized(bytes, grid.into()));
        chain(s, Chain { rows, n, x, x_row_stride: n, stages: &[], output });
    }
}

/// Where a product with the inverse of the scale would round to the other side of a half.
#[test]
fn halves_are_those_of_division() {
    let rng = &mut Rng::new(7);
    let mut data = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MAX, 1e-42];
    let mut grids = Vec::new();
    for _ in 0..40 {
        let scale = f32::from_bits(0x3b00_0000 + (rng.next() as u32 & 0x03ff_ffff));
        let signed = rng.below(2) == 0;
        let zero = rng.below(256) as i32 - if signed { 128 } else { 0 };
        grids.push(Grid8 { scale, zero, signed });
        for half in 0..300 {
            let at = (half as f32 - 150.0 + 0.5) * scale;
            let near = |steps: i32| f32::from_bits(at.to_bits().wrapping_add_signed(steps));
            data.extend([near(-2), near(-1), at, near(1), near(2)]);
        }
    }
    for scale in [0.0, 1e-45, 2e-39, 1e36, 5e36, 5e37, 1e38, 3e38, f32::INFINITY] {
        grids.push(Grid8 { scale, zero: 3, signed: false });
    }
    for level in levels() {
        for grid in &grids {
            let mut bytes = vec![0; data.len()];
            dispatch(level, Bytes(*grid, &data, &mut bytes));
            for (x, byte) in data.iter().zip(&bytes) {
                assert_eq!(grid.value(*byte), nearest(*x, *grid), "{x} {grid:?} {level:?}");
            }
        }
    }
}

struct Run<'a>(Chain<'a>);

impl Vectorized for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        chain(s, self.0);
    }
}

#[test]
fn stages_are_done_in_order() {
    let rng = &mut Rng::new(3);
    let grid = Grid8 { scale: 0.037, zero: -5, signed: true };
    for (rows, n) in [(1, 1), (3, 5), (2, 16), (1, 67), (4, 129), (0, 9), (7, 0)] {
        let x_row_stride = n + 3;
        let x: Vec<u8> = (0..rows * x_row_stride).map(|_| rng.next() as u8).collect();
        let (scale, row, matrix) = (rng.vector(n), rng.vector(n), rng.vector(rows * n));
        let stages = [
            Stage::MulRow(&scale),
            Stage::AddRow(&row),
            Stage::Times(1.5),
            Stage::Plus(-0.25),
            Stage::Round(grid.into()),
            Stage::Add { data: &matrix, row_stride: n },
            Stage::AddQuantized { data: &x, row_stride: x_row_stride, grid },
            Stage::Activate(Activation::Relu),
        ];
        let value = |q: u8| (grid.value(q) - grid.zero) as f32 * grid.scale;
        let wanted: Vec<f32> = (0..rows * n)
            .map(|i| {
                let (at, j) = (i / n * x_row_stride + i % n, i % n);
                let y = value(x[at]) * scale[j] + row[j];
                let y = y * 1.5 + -0.25;
                let y = (nearest(y, grid) - grid.zero) as f32 * grid.scale;
                let y = y + matrix[i] + value(x[at]);
                if y > 0.0 { y } else { 0.0 }
            })
            .collect();
        for level in levels() {
            let mut y = vec![7.0; rows * n];
            let output = Output::F32(&mut y);
            let x = Elements::Quantized(&x, grid);
            let chain = Chain { rows, n, x, x_row_stride, stages: &stages, output };
            dispatch(level, Run(chain));
            let _: Level = level;
            assert_eq!(y, wanted, "{rows} x {n} {level:?}");
        }
    }
}
