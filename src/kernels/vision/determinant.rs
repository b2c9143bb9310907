//! Determinants of small matrices.

use crate::kernels::number::Number;

/// The determinant of each matrix, by elimination with the largest element of a column as pivot.
///
/// **Shapes and units**: `x` is `[count, n, n]`, `y` `[count]`, `scratch` `[n, n]`. Without
/// elements, one.
///
/// **Panics**: if a slice is shorter than its shape.
pub fn determinant<T: Number>(n: usize, x: &[T], scratch: &mut [f64], y: &mut [T]) {
    let scratch = &mut scratch[..n * n];
    for (i, y) in y.iter_mut().enumerate() {
        for (to, from) in scratch.iter_mut().zip(&x[i * n * n..][..n * n]) {
            *to = from.to_f64();
        }
        *y = T::from_f64(eliminate(n, scratch));
    }
}

fn eliminate(n: usize, a: &mut [f64]) -> f64 {
    let mut product = 1.0;
    for k in 0..n {
        let mut pivot = k;
        for row in k + 1..n {
            if libm::fabs(a[row * n + k]) > libm::fabs(a[pivot * n + k]) {
                pivot = row;
            }
        }
        if pivot != k {
            product = -product;
            for col in 0..n {
                a.swap(k * n + col, pivot * n + col);
            }
        }
        let lead = a[k * n + k];
        product *= lead;
        if lead == 0.0 {
            // The rest of the column is zero, or not a number.
            let whole = a.iter().all(|v| v.is_finite());
            return if whole { product } else { f64::NAN };
        }
        for row in k + 1..n {
            let factor = a[row * n + k] / lead;
            for col in k + 1..n {
                a[row * n + col] -= factor * a[k * n + col];
            }
        }
    }
    product
}
