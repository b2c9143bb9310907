//! Softmax and normalizations in double precision, and what no instruction set makes faster.

use core::cell::Cell;

use crate::kernels::number::Number;

/// As [`softmax_axis_f32`](super::softmax_axis_f32), element by element.
pub fn softmax_f64(log: bool, [outer, axis, inner]: [usize; 3], x: &[Cell<f64>], y: &[Cell<f64>]) {
    if outer * axis * inner == 0 {
        return;
    }
    for o in 0..outer {
        for lane in 0..inner {
            let at = |i: usize| (o * axis + i) * inner + lane;
            let max = (0..axis).map(|i| x[at(i)].get()).fold(f64::NEG_INFINITY, f64::max);
            let mut sum = 0.0;
            for i in 0..axis {
                let shifted = x[at(i)].get() - max;
                let e = libm::exp(shifted);
                sum += e;
                y[at(i)].set(if log { shifted } else { e });
            }
            let offset = if log { libm::log(sum) } else { 1.0 / sum };
            for i in 0..axis {
                let v = y[at(i)].get();
                y[at(i)].set(if log { v - offset } else { v * offset });
            }
        }
    }
}

/// Mean and variance of a row.
fn moments(x: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let len = x.len() as f64;
    let mean = x.clone().sum::<f64>() / len;
    (mean, x.map(|x| (x - mean) * (x - mean)).sum::<f64>() / len)
}

/// As [`layer_norm_f32`](super::layer_norm_f32), or without `center`
/// [`rms_norm_f32`](super::rms_norm_f32), element by element.
pub fn norm_f64(
    center: bool,
    [rows, cols]: [usize; 2],
    x: &[Cell<f64>],
    [scale, bias]: [Option<&[f64]>; 2],
    epsilon: f64,
    y: &[Cell<f64>],
) {
    if cols == 0 {
        return;
    }
    let lines = x[..rows * cols].chunks_exact(cols).zip(y[..rows * cols].chunks_exact(cols));
    for (x, y) in lines {
        let (mean, variance) = if center {
            moments(x.iter().map(Cell::get))
        } else {
            (0.0, x.iter().map(|x| x.get() * x.get()).sum::<f64>() / cols as f64)
        };
        let factor = 1.0 / libm::sqrt(variance + epsilon);
        for (i, (x, y)) in x.iter().zip(y).enumerate() {
            let v = (x.get() - mean) * factor * scale.map_or(1.0, |s| s[i]);
            y.set(v + bias.map_or(0.0, |b| b[i]));
        }
    }
}

/// Mean and inverse deviation of each row.
///
/// **Shapes and units**: `x` is `[rows, cols]`, the results `rows` elements where given.
///
/// **Panics**: if a slice is shorter than its shape.
pub fn moments_of_rows<T: Number>(
    [rows, cols]: [usize; 2],
    x: &[T],
    epsilon: f32,
    mut mean: Option<&mut [T]>,
    mut inverse: Option<&mut [T]>,
) {
    for row in 0..rows {
        let x = x[row * cols..][..cols].iter().map(|x| x.to_f64());
        let (m, variance) = moments(x);
        if let Some(mean) = &mut mean {
            mean[row] = T::from_f64(m);
        }
        if let Some(inverse) = &mut inverse {
            inverse[row] = T::from_f64(1.0 / libm::sqrt(variance + f64::from(epsilon)));
        }
    }
}
